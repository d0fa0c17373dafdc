import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Key } from '../../src/kv/index.ts'
import { deferred } from '../../src/lib/deferred.ts'
import { limits } from '../../src/limits.ts'
import { answerIn, eventually } from '../support/raw-client.ts'
import { head, host, last, problemIn, serve } from './support/raw-api.ts'

t.test('requests of one connection take effect in their order, though safe ones run side by side', async (t) => {
  const { connection, services } = await serve(t)
  const opened = connection()
  const put = (value: string): string =>
    `${head('PUT /kv/a HTTP/1.1', host, `Content-Length: ${value.length}`)}${value}`
  const get = head('GET /kv/a HTTP/1.1', host)
  const execute = services.keys.execute.bind(services.keys)
  services.keys.execute = async (command, timeoutMs) => {
    // The first of them takes longest.
    await new Promise((done) => setTimeout(done, services.keys.commands.length === 0 ? 60 : 5))
    return execute(command, timeoutMs)
  }
  opened.send([put('one'), head('DELETE /kv/a HTTP/1.1', host), get, put('two'), get, get].join(''))
  opened.send(head('GET /kv/a HTTP/1.1', host, last))
  const answers = (await opened.untilClosed()).split(/(?=HTTP\/1\.1 \d)/).map(answerIn)
  t.same(
    answers.map(({ status, body }) =>
      body.startsWith('{') ? [status, JSON.parse(body).deleted ?? null] : [status, body],
    ),
    [
      [200, null],
      [200, 1],
      [404, null],
      [200, null],
      [200, 'two'],
      [200, 'two'],
      [200, 'two'],
    ],
  )

  const { promise, resolve } = deferred<void>()
  services.keys.beforePiece = async () => promise
  const many = connection()
  const scans = limits.httpParallelMax + 10
  many.send(head('GET /kv HTTP/1.1', host).repeat(scans) + put('three') + head('GET /kv/a HTTP/1.1', host, last))
  await eventually(() => services.keys.openScans === limits.httpParallelMax, 'so many run')
  await new Promise((done) => setTimeout(done, 50))
  t.equal(services.keys.openScans, limits.httpParallelMax, 'and no more')
  t.equal(services.keys.commands.length, 3, 'the write waits for the reads before it')
  resolve()
  const text = await many.untilClosed()
  t.equal(text.match(/"items":\[/g)?.length, scans)
  t.notMatch(text, /"value":"three"/, 'none of them saw the write behind it')
  t.ok(text.endsWith('three'))
})

t.test('what waits behind an answer that ends the connection is not carried out', async (t) => {
  const { connection, services } = await serve(t, { valueBytesMax: 10 })
  const opened = connection()
  const body = 'x'.repeat(100_000)
  opened.send(`${head('PUT /kv/a HTTP/1.1', host, `Content-Length: ${body.length}`)}${body}`)
  opened.send(`${head('PUT /kv/b HTTP/1.1', host, 'Content-Length: 1', last)}x`)
  t.match((await opened.untilClosed()).match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 413'])
  t.equal(services.keys.commands.length, 0)
})

t.test('a connection that sends requests without end is not read beyond its bound', async (t) => {
  const { app, connection, services } = await serve(t)
  const { promise, resolve } = deferred<void>()
  services.keys.beforePiece = async () => promise
  let seen = 0
  app.server.on('request', () => (seen += 1))
  const opened = connection()
  const requests = 20_000
  opened.send(head('GET /kv HTTP/1.1', host).repeat(limits.httpParallelMax))
  opened.send(head('GET /version HTTP/1.1', host).repeat(requests))
  opened.send(head('GET /version HTTP/1.1', host, last))
  await eventually(() => services.keys.openScans === limits.httpParallelMax, 'it has begun')
  let before = -1
  while (before !== seen) {
    before = seen
    await new Promise((done) => setTimeout(done, 200))
  }
  t.ok(seen < 4_000, `${seen} requests were taken`)
  resolve()
  const text = await opened.untilClosed()
  t.equal(text.match(/HTTP\/1\.1 200/g)?.length, requests + limits.httpParallelMax + 1, 'it is served to the end')
})

t.test('answers that are given at once fill their connection, and more are begun as they leave', async (t) => {
  const answer = 'x'.repeat(200_000)
  let begun = 0
  const beforeReady = (app: FastifyInstance): void => {
    app.get('/large', async () => {
      begun += 1
      return answer
    })
    app.get('/at-once', (_request, reply) => {
      begun += 1
      reply.send(answer)
    })
  }
  const { connection } = await serve(t, { beforeReady })
  for (const path of ['/large', '/at-once']) {
    begun = 0
    const opened = connection()
    await opened.connected()
    opened.socket.pause()
    const requests = 400
    opened.send(head(`GET ${path} HTTP/1.1`, host).repeat(requests - 1) + head(`GET ${path} HTTP/1.1`, host, last))
    await eventually(() => begun > 0, 'it has begun')
    let before = -1
    while (before !== begun) {
      before = begun
      await new Promise((done) => setTimeout(done, 200))
    }
    // Buffers of the system take some of them as well.
    t.ok(begun < 150, `${path}: ${begun} answers were made for a reader that takes none`)
    opened.socket.resume()
    t.equal(
      (await opened.untilClosed()).match(/HTTP\/1\.1 200/g)?.length,
      requests,
      'all are answered when they are read',
    )
  }
})

t.test('while answers take more than they may together, only small ones are given', async (t) => {
  const api = await serve(t, { answerBytesMax: 1024 * 1024 })
  const value = Buffer.alloc(16 * 1024 * 1024, 'x')
  api.services.keys.store.plant('one' as Key, { createRevision: 1, modRevision: 1, version: 1, lease: 0, value })
  const silent = api.connection()
  silent.socket.pause()
  silent.send(head('GET /kv/one HTTP/1.1', host))
  await eventually(() => api.services.keys.reads.length === 1, 'it is read')
  for (const path of ['/cluster', '/metrics', '/kv/none']) {
    const answer = await api.exchange(head(`GET ${path} HTTP/1.1`, host, last))
    t.match(problemIn(answer), { code: 'overloaded', detail: /of answers left to read/ }, path)
    t.equal(answer.headers.get('retry-after'), '1')
  }
  for (const path of ['/livez', '/readyz?verbose']) {
    t.equal((await api.exchange(head(`GET ${path} HTTP/1.1`, host, last))).status, 200, path)
  }
  t.equal((await api.exchange(head('PUT /kv/two HTTP/1.1', host, last, 'Content-Length: 1') + 'x')).status, 200)
  silent.destroy()
  const isServed = async (): Promise<boolean> =>
    (await api.exchange(head('GET /cluster HTTP/1.1', host, last))).status === 200
  while (!(await isServed())) await new Promise((done) => setTimeout(done, 20))
})

t.test('documents that everybody may read take no room from others, however many are left unread', async (t) => {
  const api = await serve(t, { answerBytesMax: 1024 * 1024 })
  let made = 0
  api.app.server.on('request', () => (made += 1))
  for (const path of ['/openapi.json', '/docs/json', '/docs/yaml', '/docs/static/swagger-ui-bundle.js', '/ui/']) {
    const whole = await api.exchange(head(`GET ${path} HTTP/1.1`, host, last))
    t.equal(whole.status, 200)
    t.equal(Buffer.byteLength(whole.body, 'latin1'), Number(whole.headers.get('content-length')), path)
    const silent = Array.from({ length: 4 }, () => api.connection())
    made = 0
    for (const opened of silent) {
      opened.socket.pause()
      opened.send(head(`GET ${path} HTTP/1.1`, host).repeat(50))
    }
    await eventually(() => made === silent.length * 50, `${path}: all have arrived`)
    t.equal((await api.exchange(head('GET /cluster HTTP/1.1', host, last))).status, 200, path)
    for (const opened of silent) opened.destroy()
    await eventually(() => silent.every((opened) => opened.closed), `${path}: all are closed`)
    const again = await api.exchange(head(`GET ${path} HTTP/1.1`, host, last))
    t.same([again.body, again.headers.get('content-type')], [whole.body, whole.headers.get('content-type')], path)
  }
})

t.test('whoever hangs up is no caller any more', async (t) => {
  const { connection, services } = await serve(t)
  const opened = connection()
  opened.send(head('GET /kv/a?minRevision=0 HTTP/1.1', host))
  await eventually(() => services.keys.reads.length === 1, 'it is asked')
  const [read] = services.keys.reads
  t.equal(read?.caller?.isGone, false)
  opened.destroy()
  await eventually(() => read?.caller?.isGone === true, 'it is gone')
  const half = connection()
  half.send(head('GET /kv HTTP/1.1', host))
  const { promise, resolve } = deferred<void>()
  services.keys.beforePiece = async () => promise
  await eventually(() => services.keys.reads.length === 2, 'it is asked')
  const caller = services.keys.reads[1]?.caller
  half.socket.end()
  const began = performance.now()
  await eventually(() => caller?.isGone === true, 'it is taken for gone')
  t.ok(performance.now() - began >= limits.httpHalfClosedWaitMs * 0.9, 'not before it was waited for')
  resolve()
})

t.test('a few connections with thousands of requests each do not take the places of all others', async (t) => {
  const { app, connection, exchange, services } = await serve(t)
  const { promise, resolve } = deferred<void>()
  services.keys.beforeGet = async () => promise
  let held = 0
  app.server.on('request', ({ socket }, response) => {
    // What else is in the packet of a connection that is closed is told, and not taken.
    if (socket.destroyed) return
    held += 1
    response.once('close', () => (held -= 1))
  })
  const few = Array.from({ length: 20 }, () => connection())
  for (const opened of few) {
    await opened.connected()
    opened.send(head('GET /kv/a HTTP/1.1', host).repeat(3_000))
  }
  await eventually(() => few.some((opened) => opened.closed), 'those that ask for too much are closed')
  await exchange(head('GET /version HTTP/1.1', host, last))
  const most = limits.httpRequestsCrowded + few.length * limits.httpPipelinedMax
  t.ok(held > limits.httpRequestsCrowded / 2 && held <= most, `${held} wait`)
  // Whoever asks for less is served, however many others wait.
  t.equal((await exchange(head('GET /version HTTP/1.1', host, last))).status, 200)
  const modest = connection()
  modest.send(
    head('GET /version HTTP/1.1', host).repeat(limits.httpPipelinedMax - 1) + head('GET /version HTTP/1.1', host, last),
  )
  t.equal((await modest.untilClosed()).match(/HTTP\/1\.1 200/g)?.length, limits.httpPipelinedMax)
  resolve()
  for (const opened of few) opened.destroy()
})

t.test('a page or a count is not looked for any more when its client has left', async (t) => {
  const api = await serve(t, {})
  const { keys } = api.services
  const given = await keys.scan({ start: null, end: null, after: null, reverse: false }, {
    consistency: 'stale',
  } as never)
  let [pieces, closed] = [0, 0]
  const nothing = async () => {
    pieces += 1
    await new Promise((done) => setTimeout(done, 1))
    return { items: [], count: 0, done: false }
  }
  const close = async (): Promise<void> => {
    closed += 1
  }
  keys.scan = async () => ({ ...given, next: nothing, count: nothing, close })
  for (const [nth, query] of ['limit=1', 'countOnly=true'].entries()) {
    const opened = api.connection()
    const before = pieces
    opened.send(head(`GET /kv?${query}&timeout=60s HTTP/1.1`, host))
    await eventually(() => pieces > before + 2, 'it is looked for')
    opened.socket.destroy()
    await eventually(() => closed === nth + 1, `${query} ends`)
  }
})

t.test(
  'no more requests of a connection are begun than may be open on it, also when they arrive at once',
  async (t) => {
    let open = 0
    let most = 0
    const { connection } = await serve(t, {
      beforeReady: (app) => {
        app.addHook('onRequest', (_request, reply, done) => {
          open += 1
          most = Math.max(most, open)
          reply.raw.prependOnceListener('close', () => (open -= 1))
          done()
        })
      },
    })
    const opened = connection()
    const requests = 1_000
    const unsound = head('GET /kv/a HTTP/1.1')
    opened.send(head('GET /version HTTP/1.1', host).repeat(requests) + unsound.repeat(requests))
    const statuses = (await opened.untilClosed()).match(/HTTP\/1\.1 \d+/g) ?? []
    t.ok(most <= limits.httpPipelinedMax, `${most} were open`)
    t.same(statuses, [...Array(requests).fill('HTTP/1.1 200'), 'HTTP/1.1 400'], 'in order, up to the one that ends it')
  },
)
