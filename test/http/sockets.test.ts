import { readdirSync, readlinkSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { closeGracefully } from '../../src/http/protocol/closing.ts'
import { Rests, type RestsOptions } from '../../src/http/protocol/rests.ts'
import { Turns } from '../../src/http/protocol/turns.ts'
import type { Key } from '../../src/kv/index.ts'
import { deferred } from '../../src/lib/deferred.ts'
import { RequestError } from '../../src/lib/errors.ts'
import { limits } from '../../src/limits.ts'
import { openCheckedApi, type CheckedApi, type CheckedApiOptions } from '../support/checked-api.ts'
import { answerIn, eventually, listen, RawConnection, type RawAnswer } from '../support/raw-client.ts'

interface Test {
  readonly teardown: (close: () => unknown) => void
}

interface Served extends CheckedApi {
  readonly port: number
  readonly connection: () => RawConnection
  /** Sends bytes and reads until the other side closes. */
  readonly exchange: (bytes: string | Uint8Array) => Promise<RawAnswer>
}

async function serve(t: Test, options: CheckedApiOptions = {}): Promise<Served> {
  const api = await openCheckedApi(t, options)
  const port = await listen(api.app)
  const connection = (): RawConnection => {
    const opened = new RawConnection(port)
    t.teardown(() => opened.destroy())
    return opened
  }
  const exchange = async (bytes: string | Uint8Array): Promise<RawAnswer> => {
    const opened = connection()
    opened.send(bytes)
    return answerIn(await opened.untilClosed())
  }
  return { ...api, port, connection, exchange }
}

const head = (line: string, ...headers: string[]): string => [line, ...headers, '', ''].join('\r\n')
const last = 'Connection: close'
const host = 'Host: node'

function problemIn(answer: RawAnswer): { readonly code: string; readonly status: number } {
  return JSON.parse(answer.body)
}

t.test('bytes that are no request are told what is wrong with them', async (t) => {
  const { connection, services } = await serve(t)
  for (const [bytes, detail] of [
    [head('GET /kv/\xc3\xbc HTTP/1.1', host), /^the URL holds a character that has to be percent-encoded/],
    [head('GET /kv/a b HTTP/1.1', host), /^the URL holds a character/],
    [head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 1', 'Content-Length: 1') + 'x', /: Duplicate Content-Length$/],
    [head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 9') + 'short', /^the request is incomplete/],
    [head('GET /kv/a HTTP/1.1', host).slice(0, -2), /^the request is incomplete/],
    [head('get /kv/a HTTP/1.1', host), /^this is not an HTTP\/1.1 request: Invalid method/],
  ] as const) {
    const opened = connection()
    opened.send(bytes)
    opened.socket.end()
    const answer = answerIn(await opened.untilClosed())
    t.match(JSON.parse(answer.body), { code: 'invalid-request', detail })
  }
  t.equal(services.keys.commands.length, 0)
})

t.test('bytes that are no request get a problem, and the connection closes', async (t) => {
  const { exchange, services } = await serve(t)
  const cases: [name: string, bytes: string, status: number, code: string][] = [
    ['noise', '\x00\x01\x02\x03\r\n\r\n', 400, 'invalid-request'],
    ['a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01', 400, 'invalid-request'],
    ['a method that does not exist', head('BREW /kv/a HTTP/1.1', host), 400, 'invalid-request'],
    ['a method in lower case', head('get /kv/a HTTP/1.1', host), 400, 'invalid-request'],
    ['no version', head('GET /kv/a', host), 400, 'invalid-request'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'invalid-request'],
    ['HTTP/9', head('GET /kv/a HTTP/9.9', host), 400, 'invalid-request'],
    ['a blank in the path', head('GET /kv/a b HTTP/1.1', host), 400, 'invalid-request'],
    ['NUL in the path', head('GET /kv/a\x00b HTTP/1.1', host), 400, 'invalid-request'],
    ['NUL in a header', head('GET /kv/a HTTP/1.1', host, 'X-A: a\x00b'), 400, 'invalid-request'],
    ['a header without a colon', head('GET /kv/a HTTP/1.1', host, 'nonsense'), 400, 'invalid-request'],
    ['a blank before the colon', head('GET /kv/a HTTP/1.1', host, 'X-A : b'), 400, 'invalid-request'],
    ['a folded header', head('GET /kv/a HTTP/1.1', host, 'X-A: b', ' c'), 400, 'invalid-request'],
    ['no Host', head('GET /kv/a HTTP/1.1', last), 400, 'invalid-request'],
    ['Content-Length of letters', head('PUT /kv/a HTTP/1.1', host, 'Content-Length: abc'), 400, 'invalid-request'],
    ['a negative Content-Length', head('PUT /kv/a HTTP/1.1', host, 'Content-Length: -1'), 400, 'invalid-request'],
    ['a signed Content-Length', head('PUT /kv/a HTTP/1.1', host, 'Content-Length: +1') + 'x', 400, 'invalid-request'],
    [
      'an endless Content-Length',
      head('PUT /kv/a HTTP/1.1', host, `Content-Length: ${'9'.repeat(30)}`),
      400,
      'invalid-request',
    ],
    [
      'two Content-Lengths',
      head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 1', 'Content-Length: 2') + 'xx',
      400,
      'invalid-request',
    ],
    ['a list of lengths', head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 1, 1') + 'x', 400, 'invalid-request'],
    [
      'length and chunks',
      head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 4', 'Transfer-Encoding: chunked') +
        '0\r\n\r\nGET /kv/b HTTP/1.1\r\n\r\n',
      400,
      'invalid-request',
    ],
    [
      'chunked and more',
      head('PUT /kv/a HTTP/1.1', host, 'Transfer-Encoding: chunked, identity') + '0\r\n\r\n',
      400,
      'invalid-request',
    ],
    [
      'chunked in disguise',
      head('PUT /kv/a HTTP/1.1', host, 'Transfer-Encoding: xchunked') + '0\r\n\r\n',
      400,
      'invalid-request',
    ],
    [
      'a chunk size of letters',
      head('PUT /kv/a HTTP/1.1', host, 'Transfer-Encoding: chunked') + 'zz\r\nx\r\n0\r\n\r\n',
      400,
      'invalid-request',
    ],
    [
      'a chunk that is longer',
      head('PUT /kv/a HTTP/1.1', host, 'Transfer-Encoding: chunked') + '1\r\nxyz\r\n0\r\n\r\n',
      400,
      'invalid-request',
    ],
    [
      'large headers',
      head('GET /kv/a HTTP/1.1', host, `X-A: ${'a'.repeat(limits.httpHeaderBytesMax)}`),
      431,
      'header-too-large',
    ],
    ['a large path', head(`GET /kv/${'a'.repeat(limits.httpHeaderBytesMax)} HTTP/1.1`, host), 431, 'header-too-large'],
  ]
  for (const [name, bytes, status, code] of cases) {
    const answer = await exchange(Buffer.from(bytes, 'latin1'))
    t.equal(answer.status, status, name)
    t.equal(answer.headers.get('content-type'), 'application/problem+json; charset=utf-8', name)
    t.match(problemIn(answer), { code, status }, name)
    t.notMatch(answer.body, /node:|\.ts:|\.js:/, name)
  }
  t.equal(services.keys.commands.length, 0, 'nothing reached the store')
  t.equal(services.keys.reads.length, 0)
})

t.test('requests that are odd but whole are answered in their own right', async (t) => {
  const { exchange, inject } = await serve(t)
  const path = async (bytes: string) =>
    exchange(Buffer.from(head(`PUT ${bytes} HTTP/1.1`, host, last, 'Content-Length: 1') + 'x', 'latin1'))
  for (const target of [
    '/kv/%zz',
    '/kv/%',
    '/kv/%ff',
    '/kv/%ed%a0%80',
    `/kv/${'a'.repeat(5000)}`,
    '/kv/',
    '/kv/?key=a',
  ]) {
    const answer = await path(target)
    t.equal(answer.status, 400, target.slice(0, 30))
    t.match(problemIn(answer).code, /^invalid-(key|request)$/)
  }
  for (const target of ['/kv/caf\xc3\xa9', '/kv/caf\xe9', '/kv?key=\xe9']) {
    const answer = await path(target)
    t.equal(answer.status, 400, `${target}: bytes that are not percent-encoded`)
  }
  t.equal((await path('/kv/a#b')).status, 400, 'a fragment is no part of a request')
  t.equal((await path('/kv/../x/./y')).status, 200, 'dots are a key like any other')
  t.equal((await inject('/kv?key=../x/./y')).body, 'x')
  t.equal((await path('/kv/%00')).status, 200)
  t.equal((await path('http://elsewhere/kv/absolute')).status, 200)
  t.equal((await inject('/kv/absolute')).body, 'x')
  t.equal((await path('*')).status, 404)

  const put = async (...headers: string[]) => exchange(head('PUT /kv/a HTTP/1.1', host, last, ...headers))
  t.match(problemIn(await put('If-Match: "1"', 'If-Match: "2"')), { code: 'invalid-request' }, 'a condition twice')
  t.match(problemIn(await put('Idempotency-Key: a', 'Idempotency-Key: b')), { code: 'invalid-request' })
  t.equal((await put('Content-Type: nonsense')).status, 415)
  t.equal((await put('Expect: something')).status, 200)
  t.equal((await put('Upgrade: websocket', 'Connection: upgrade, close')).status, 200)
  t.equal((await exchange(head('GET /kv/a HTTP/1.0'))).status, 200, 'HTTP/1.0 has no Host')
  for (const method of ['TRACE', 'PROPFIND', 'PATCH', 'QUERY']) {
    const answer = await exchange(head(`${method} /kv/a HTTP/1.1`, host, last))
    t.equal(answer.status, 405, method)
  }
  t.equal((await exchange(head('CONNECT node:1 HTTP/1.1', host))).headers.size, 0, 'no tunnels')
})

t.test('a target in absolute form means the same as its path', async (t) => {
  const { exchange, services } = await serve(t)
  const { cluster, keys } = services
  await exchange(head('PUT http://node/kv/a HTTP/1.1', host, last, 'Content-Length: 1') + 'x')
  t.match(await exchange(head('GET HTTP://node:7001/kv/a?consistency=stale HTTP/1.1', host, last)), { body: 'x' })
  t.equal((await exchange(head('GET http://node HTTP/1.1', host, last))).status, 200, 'without a path')
  keys.refusal = new RequestError('overloaded', 'there is too much to do')
  const refused = await exchange(head('PUT http://node/kv/a HTTP/1.1', host, last, 'Content-Length: 1') + 'x')
  t.match(problemIn(refused), { code: 'overloaded' }, 'a write is known as one')
  keys.refusal = null
  cluster.known = { id: 2, raft: 'b:7101', api: 'http://b:7001' }
  const redirected = await exchange(head('GET http://other.example/kv/a?redirect=true HTTP/1.1', host, last))
  t.equal(redirected.status, 307)
  t.equal(redirected.headers.get('location'), 'http://b:7001/kv/a?redirect=true', 'the host is that of the leader')
})

t.test('HEAD and 304 carry no body, and the connection goes on', async (t) => {
  const { connection, inject } = await serve(t)
  await inject({ method: 'PUT', url: '/kv/a', payload: 'value' })
  const requests = [
    head('HEAD /kv/a HTTP/1.1', host),
    head('GET /kv/a HTTP/1.1', host, 'If-None-Match: "1"'),
    head('HEAD /kv/b HTTP/1.1', host),
    head('GET /kv/%zz HTTP/1.1', host),
    head('GET /kv/a HTTP/1.1', host, last),
  ]
  const opened = connection()
  opened.send(requests.join(''))
  const text = await opened.untilClosed()
  t.same(
    text.match(/HTTP\/1\.1 \d+/g),
    ['200', '304', '404', '400', '200'].map((status) => `HTTP/1.1 ${status}`),
  )
  t.ok(text.endsWith('\r\n\r\nvalue'))
  t.equal(text.split('value').length, 2)
})

t.test('a body over the limit is refused, whether its length is said or not', async (t) => {
  const { exchange, services } = await serve(t, { valueBytesMax: 1000 })
  const said = await exchange(head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 1001', last) + 'x'.repeat(1001))
  t.equal(said.status, 413)
  t.match(JSON.parse(said.body), { code: 'value-too-large', limitBytes: 1000 })
  const waiting = await exchange(head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 99999999', last))
  t.equal(waiting.status, 413, 'before the body has come')
  const chunk = `1f4\r\n${'x'.repeat(500)}\r\n`
  const chunked = head('PUT /kv/a HTTP/1.1', host, 'Transfer-Encoding: chunked', last)
  t.equal((await exchange(`${chunked}${chunk}${chunk}${chunk}0\r\n\r\n`)).status, 413)
  t.equal(services.keys.commands.length, 0)
  t.equal((await exchange(`${chunked}${chunk}${chunk}0\r\n\r\n`)).status, 200, 'exactly at the limit')
})

t.test('extensions of a chunk over the limit are refused, and the answer tells the limit', async (t) => {
  const { exchange, services } = await serve(t)
  const max = limits.httpChunkExtensionsBytesMax
  const chunked = head('PUT /kv/a HTTP/1.1', host, 'Transfer-Encoding: chunked', last)
  const withExtensions = (bytes: number): string => `${chunked}1;${'x'.repeat(bytes)}\r\nv\r\n0\r\n\r\n`
  const answer = await exchange(withExtensions(max + 1))
  t.equal(answer.status, 413)
  t.match(JSON.parse(answer.body), { code: 'request-too-large', limitBytes: max })
  t.equal(services.keys.commands.length, 0)
  t.equal((await exchange(withExtensions(max))).status, 200, 'exactly at the limit')
})

t.test('what would change the meaning of a request and be ignored is refused', async (t) => {
  const { exchange, inject, services } = await serve(t)
  await inject({ method: 'PUT', url: '/kv/a', payload: 'whole' })
  const put = (...headers: string[]): string => `${head('PUT /kv/a HTTP/1.1', host, last, ...headers)}part`
  const four = 'Content-Length: 4'
  const chunks = '4\r\npart\r\n0\r\n\r\n'
  const cases: [name: string, bytes: string, status: number, path: string | null][] = [
    ['a part of a value', put(four, 'Content-Range: bytes 0-3/5'), 400, 'header/content-range'],
    [
      'a part without bytes',
      head('PUT /kv/a HTTP/1.1', host, last, 'Content-Range: bytes */5'),
      400,
      'header/content-range',
    ],
    ['a compressed value', put(four, 'Content-Encoding: gzip'), 415, null],
    ['two types', put(four, 'Content-Type: text/plain', 'Content-Type: text/html'), 400, 'header/content-type'],
    ['another coding', head('PUT /kv/a HTTP/1.1', host, 'Transfer-Encoding: gzip, chunked') + chunks, 501, null],
    ['chunks in HTTP/1.0', head('PUT /kv/a HTTP/1.0', 'Transfer-Encoding: chunked') + chunks, 400, null],
    ['two hosts', head('GET /kv/a HTTP/1.1', host, 'hOST: other', last), 400, null],
    ['a fragment', head('GET /kv/a#b HTTP/1.1', host, last), 400, 'path'],
    ['a fragment in the query', head('GET /kv?key=a#b HTTP/1.1', host, last), 400, 'path'],
    ['a GET with a body', head('GET /kv/a HTTP/1.1', host, last, four) + 'part', 400, 'body'],
    ['a GET with chunks', head('GET /kv/a HTTP/1.1', host, last, 'Transfer-Encoding: chunked') + chunks, 400, 'body'],
  ]
  for (const [name, bytes, status, path] of cases) {
    const answer = await exchange(bytes)
    t.equal(answer.status, status, name)
    t.match(problemIn(answer), path === null ? { status } : { status, issues: [{ path }] }, name)
  }
  t.equal((await exchange(put(four, 'Content-Encoding: gzip'))).headers.get('accept-encoding'), 'identity')
  t.equal(services.keys.commands.length, 1, 'nothing was written')
  t.equal((await exchange(put(four, 'Content-Encoding: identity'))).status, 200)
  t.equal((await exchange(head('GET /kv/a HTTP/1.1', host, last, 'Content-Length: 0'))).status, 200)
  t.equal((await exchange(put(four, 'Transfer-Encoding: xchunked'))).status, 400, 'no length at all')
})

t.test('an early refusal reaches a client that is still sending, and what it sends is read past', async (t) => {
  const { connection, services } = await serve(t, { valueBytesMax: 1000 })
  const much = Buffer.alloc(8 * 1024 * 1024)
  const cases: [name: string, status: number, start: string][] = [
    ['a value that is too large', 413, head('PUT /kv/a HTTP/1.1', host, `Content-Length: ${much.length}`)],
    ['a route that is not there', 404, head('GET /nothing HTTP/1.1', host, 'Content-Type: text/plain')],
    ['a method that is not there', 405, head('PATCH /kv/a HTTP/1.1', host, `Content-Length: ${much.length}`)],
    [
      'a body of a wrong type',
      415,
      head('PUT /kv/a HTTP/1.1', host, 'Content-Type: x', `Content-Length: ${much.length}`),
    ],
    ['a body on GET', 400, head('GET /kv/a HTTP/1.1', host, `Content-Length: ${much.length}`)],
    ['noise', 400, 'noise\r\n\r\n'],
  ]
  for (const [name, status, start] of cases) {
    const opened = connection()
    let failure: unknown = null
    opened.socket.on('error', (error) => (failure = error))
    opened.send(start)
    if (status !== 404) opened.send(much)
    else opened.send(head('GET /nothing HTTP/1.1', host, last))
    const answer = answerIn(await opened.untilClosed())
    t.equal(answer.status, status, name)
    t.equal(failure, null, `${name}: no reset`)
    if (status !== 404) t.ok(opened.socket.bytesWritten > much.length, `${name}: everything was sent`)
  }
  t.equal(services.keys.commands.length, 0)
})

t.test('a client that asks before it sends a body is told to go on only when the body is wanted', async (t) => {
  const { connection, services } = await serve(t, { valueBytesMax: 1000 })
  const refused = connection()
  refused.send(head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 5000', 'Expect: 100-continue'))
  t.match(await refused.untilClosed(), /^HTTP\/1\.1 413 /)
  const wanted = connection()
  wanted.send(head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 5', 'Expect: 100-continue', last))
  await wanted.until((text) => text.startsWith('HTTP/1.1 100 Continue'))
  t.equal(services.keys.commands.length, 0)
  wanted.send('value')
  t.match(await wanted.untilClosed(), /HTTP\/1\.1 200 OK/)
})

t.test('a client that ends its side behind its request gets its answer', async (t) => {
  const { connection, services, inject } = await serve(t)
  const opened = connection()
  opened.socket.end(`${head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 5')}value`)
  t.match(await opened.untilClosed(), /^HTTP\/1\.1 200 OK/)
  await inject('/kv/a')
  const { promise, resolve } = deferred<void>()
  services.keys.beforePiece = async () => promise
  const slow = connection()
  slow.socket.end(`${head('GET /kv HTTP/1.1', host)}${head('GET /version HTTP/1.1', host)}`)
  await eventually(() => services.keys.openScans === 1, 'the first is under way')
  resolve()
  const text = await slow.untilClosed()
  t.match(text, /"value":"value"/)
  t.match(text, /"version":"/, 'and that of every request before the end')
})

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

t.test('whoever is too slow is told so, and the connection closes', async (t) => {
  const server = { headersTimeoutMs: 150, receiveTimeoutMs: 300, connectionsCheckMs: 50 }
  const { connection, services } = await serve(t, { server })
  const cases = [
    ['nothing at all', ''],
    ['half a request line', 'GET /kv'],
    ['headers without an end', 'GET /kv/a HTTP/1.1\r\nHost: node\r\n'],
    ['half a body', head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 10') + 'half'],
    ['chunks without an end', head('PUT /kv/a HTTP/1.1', host, 'Transfer-Encoding: chunked') + '4\r\nhalf\r\n'],
  ] as const
  for (const [name, bytes] of cases) {
    const opened = connection()
    opened.send(bytes)
    const answer = answerIn(await opened.untilClosed())
    t.equal(answer.status, 408, name)
    t.match(problemIn(answer), { code: 'request-timeout', status: 408 }, name)
  }
  t.equal(services.keys.commands.length, 0)
})

t.test('noise behind a request that is being worked on is not taken for its answer', async (t) => {
  const { connection, services, inject } = await serve(t)
  await inject({ method: 'PUT', url: '/kv/a', payload: 'value' })
  const { promise, resolve } = deferred<void>()
  services.keys.beforePiece = async () => promise
  const opened = connection()
  opened.send(`${head('GET /kv HTTP/1.1', host)}noise\r\n\r\n`)
  await eventually(() => services.keys.openScans === 1, 'the scan has begun')
  opened.send(head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 1') + 'x')
  resolve()
  const text = await opened.untilClosed()
  t.match(
    text,
    /^HTTP\/1\.1 200 OK\r\n[^]*"key":"a"[^]*HTTP\/1\.1 400 [^]*"code":"invalid-request"/,
    'each has its answer',
  )
  t.equal(services.keys.openScans, 0, 'the scan is closed')
  t.equal((await inject({ url: '/kv/a' })).body, 'value', 'what follows the noise is no request')
})

t.test('who sends more than was announced is answered first, and told then', async (t) => {
  const { connection, inject } = await serve(t)
  const put = (value: string, ...more: string[]): string =>
    head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 1', ...more) + value
  const one = connection()
  one.send(put('ab'))
  t.match(await one.untilClosed(), /^HTTP\/1\.1 200 OK\r\n[^]*HTTP\/1\.1 400 [^]*"code":"invalid-request"/)
  t.equal((await inject({ url: '/kv/a' })).body, 'a')
  const closing = connection()
  closing.send(put('cd', last))
  const text = await closing.untilClosed()
  t.match(text, /^HTTP\/1\.1 200 OK\r\n/)
  t.equal(text.match(/HTTP\/1\.1 /g)?.length, 1, 'nothing follows the answer that ends the connection')
  for (const begins of [false, true]) {
    const watching = connection()
    watching.send(head('GET /watch?prefix= HTTP/1.1', host))
    if (begins) await watching.until((text) => text.includes('200 OK'))
    watching.send('noise\r\n\r\n')
    t.notMatch(await watching.untilClosed(), /HTTP\/1\.1 400/, 'an answer without an end has no other behind it')
  }
})

function fill(api: CheckedApi, count: number, bytes: number): void {
  const value = Buffer.alloc(bytes, 'x')
  for (let at = 0; at < count; at++) {
    const key = `item/${at}` as Key
    api.services.keys.store.plant(key, { createRevision: 1, modRevision: 1, version: 1, lease: 0, value })
  }
}

const exportRequest = head('GET /kv HTTP/1.1', host, 'Accept: application/x-ndjson', last)

t.test('a stream asks the store for no more than its reader takes', async (t) => {
  const api = await serve(t)
  fill(api, 1000, 32 * 1024)
  let pieces = 0
  api.services.keys.beforePiece = async () => {
    pieces += 1
  }
  const opened = api.connection()
  await opened.connected()
  opened.socket.pause()
  opened.send(exportRequest)
  await eventually(() => pieces > 0, 'the stream has begun')
  // It has stopped when it stands still for much longer than a piece takes.
  let seen = 0
  while (seen !== pieces) {
    seen = pieces
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
  t.ok(pieces < 80, `${pieces} of 125 pieces for a reader that takes none`)
  opened.socket.resume()
  const text = await opened.untilClosed()
  t.equal(text.match(/"key":"item\/\d+"/g)?.length, 1000)
  t.ok(text.endsWith('0\r\n\r\n'), 'the end of the stream is marked')
  await eventually(() => api.services.keys.openScans === 0, 'the scan is closed')
})

t.test('a reader that goes away leaves no scan behind', async (t) => {
  const api = await serve(t)
  fill(api, 2000, 32 * 1024)
  for (const taken of [0, 1, 100_000]) {
    const opened = api.connection()
    opened.send(exportRequest)
    await eventually(() => api.services.keys.openScans === 1, 'the scan is open')
    await opened.until((text) => text.length >= taken)
    opened.destroy()
    await eventually(() => api.services.keys.openScans === 0, `the scan is closed after ${taken} bytes`)
  }
  const { promise, resolve } = deferred<void>()
  api.services.keys.beforePiece = async () => promise
  const opened = api.connection()
  opened.send(exportRequest)
  await eventually(() => api.services.keys.openScans === 1, 'the scan is open')
  opened.destroy()
  resolve()
  await eventually(() => api.services.keys.openScans === 0, 'the scan is closed after the piece that it was reading')
  t.same(api.unexpected, [], 'and it is no fault of the node')
})

t.test('a snapshot is closed, however soon its reader goes', async (t) => {
  const api = await serve(t)
  const { cluster } = api.services
  await api.inject({ method: 'POST', url: '/cluster/initialize' })
  cluster.snapshotChunks = Array.from({ length: 1000 }, () => Buffer.alloc(64 * 1024))
  const request = head('GET /cluster/snapshot HTTP/1.1', host)
  const reading = api.connection()
  reading.send(request)
  await reading.until((text) => text.length > 100_000)
  t.equal(cluster.openSnapshots, 1)
  reading.destroy()
  await eventually(() => cluster.openSnapshots === 0, 'closed when the reader goes')

  const { promise, resolve } = deferred<void>()
  let asked = false
  cluster.beforeSnapshot = async () => {
    asked = true
    await promise
  }
  const gone = api.connection()
  gone.send(request)
  await eventually(() => asked, 'the snapshot is asked for')
  gone.destroy()
  await eventually(() => gone.closed, 'the reader is gone')
  await new Promise((done) => api.app.server.getConnections((_error, count) => done(count)))
  resolve()
  await new Promise((done) => setImmediate(done))
  await eventually(() => cluster.openSnapshots === 0, 'closed when the reader had gone before')
  t.same(api.unexpected, [])
})

/** Sends `requests` behind one that never ends, and leaves once `isBegun`. */
async function leaveBehindAWatch({ connection }: Served, requests: string, isBegun: () => boolean): Promise<void> {
  const opened = connection()
  opened.send(head('GET /watch?key=q HTTP/1.1', host) + requests)
  await eventually(isBegun, 'what is queued has begun')
  opened.destroy()
}

t.test('streams that are queued behind another answer learn that their connection has closed', async (t) => {
  const api = await serve(t)
  fill(api, 100, 32 * 1024)
  const { cluster, keys } = api.services
  const exports = head('GET /kv HTTP/1.1', host, 'Accept: application/x-ndjson').repeat(2)
  for (let round = 0; round <= limits.httpStreamsMax / 2; round++) {
    await leaveBehindAWatch(api, exports, () => keys.openScans === 2)
    await eventually(() => keys.openScans === 0, `both scans are closed, round ${round}`)
  }
  t.equal((await api.exchange(exportRequest)).status, 200, 'their slots are free again')

  await api.inject({ method: 'POST', url: '/cluster/initialize' })
  cluster.snapshotChunks = Array.from({ length: 1000 }, () => Buffer.alloc(64 * 1024))
  const snapshot = head('GET /cluster/snapshot HTTP/1.1', host)
  await leaveBehindAWatch(api, snapshot, () => cluster.openSnapshots === 1)
  await eventually(() => cluster.openSnapshots === 0, 'the snapshot is closed')

  const { promise, resolve } = deferred<void>()
  let asked = false
  cluster.beforeSnapshot = async () => {
    asked = true
    await promise
  }
  await leaveBehindAWatch(api, snapshot, () => asked)
  await new Promise((done) => api.app.server.getConnections((_error, count) => done(count)))
  await eventually(() => api.services.watches.hub.view().watchers === 0, 'the node knows that the connection is closed')
  resolve()
  await new Promise((done) => setImmediate(done))
  await eventually(() => cluster.openSnapshots === 0, 'a snapshot that opens after its reader has gone is closed')
  t.same(api.unexpected, [])
})

const hasDescriptors = process.platform === 'linux' ? false : 'the open files of a process are seen under Linux alone'

t.test('no file stays open for whoever asks for it and reads nothing', { skip: hasDescriptors }, async (t) => {
  const api = await serve(t)
  let asked = 0
  api.app.server.on('request', () => (asked += 1))
  const page = (await api.exchange(head('GET /ui/ HTTP/1.1', host, last))).body
  const script = /assets\/(\S+\.js)/.exec(page)?.[1] ?? ''
  const file = 'swagger-ui-bundle.js'
  const paths = [
    `/docs/static/${file}`,
    `/docs/static//${file}`,
    `/docs/static/./${file}`,
    `/ui/assets/${script}`,
    `/ui//assets/${script}`,
  ]
  asked = 0
  const silent = paths.map(() => api.connection())
  for (const [at, opened] of silent.entries()) {
    await opened.connected()
    opened.socket.pause()
    opened.send(head(`GET ${paths[at]} HTTP/1.1`, host).repeat(limits.httpPipelinedMax))
  }
  await eventually(() => asked === silent.length * limits.httpPipelinedMax, 'all have arrived')
  await eventually(() => openFiles(file) + openFiles(script) === 0, 'none is open')
  for (const path of [paths[0] ?? '', paths[3] ?? ''])
    t.equal((await api.exchange(head(`GET ${path} HTTP/1.1`, host, last))).status, 200, path)
  t.equal(openFiles(file) + openFiles(script), 0, 'nor does one last')
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

/** How many descriptors of this process are of a file of that name. */
function openFiles(name: string): number {
  const targets = readdirSync('/proc/self/fd').map((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`)
    } catch {
      // The descriptor with which the folder was read.
      return ''
    }
  })
  return targets.filter((target) => target.endsWith(`/${name}`)).length
}

t.test('a reader that takes nothing for too long is cut off', async (t) => {
  const api = await serve(t, { server: { answerStallTimeoutMs: 200 } })
  fill(api, 1000, 32 * 1024)
  const opened = api.connection()
  await opened.connected()
  opened.socket.pause()
  opened.send(exportRequest)
  await eventually(() => api.services.keys.openScans === 1, 'the scan is open')
  await eventually(() => api.services.keys.openScans === 0, 'the scan is closed')
  opened.socket.resume()
  const text = await opened.untilClosed()
  t.notOk(text.endsWith('0\r\n\r\n'), 'the stream is not whole')

  await api.inject({ method: 'POST', url: '/cluster/initialize' })
  const patient = api.connection()
  patient.send(head('GET /cluster/snapshot HTTP/1.1', host))
  await patient.until((received) => received.endsWith('0\r\n\r\n'))
  await new Promise((resolve) => setTimeout(resolve, 400))
  patient.send(head('GET /version HTTP/1.1', host, last))
  t.match(await patient.untilClosed(), /"version"/, 'the time limit ends with the stream')
})

t.test('answers that nobody takes are ended, whatever they are; slow readers go on', async (t) => {
  const api = await serve(t, { server: { answerStallTimeoutMs: 400 } })
  const value = Buffer.alloc(24 * 1024 * 1024, 'x')
  api.services.keys.store.plant('big' as Key, { createRevision: 1, modRevision: 1, version: 1, lease: 0, value })
  for (const request of ['GET /kv/big HTTP/1.1', 'GET /kv HTTP/1.1']) {
    const opened = api.connection()
    await opened.connected()
    opened.socket.pause()
    opened.send(head(request, host))
    let isEnded = false
    await eventually(() => {
      api.app.server.getConnections((_error, count) => (isEnded = count === 0))
      return isEnded
    }, `${request}: the connection is ended`)
    opened.socket.resume()
    t.ok((await opened.untilClosed()).length < value.length, request)
  }
  const trickle = api.connection()
  trickle.send(head('GET /kv/big HTTP/1.1', host))
  // A byte now and then is no progress.
  const reading = setInterval(() => trickle.socket.read(1), 50)
  t.teardown(() => clearInterval(reading))
  trickle.socket.pause()
  let open = 1
  await eventually(() => {
    api.app.server.getConnections((_error, count) => (open = count))
    return open === 0
  }, 'a reader of single bytes is ended')
  trickle.destroy()

  const slow = api.connection()
  slow.send(head('GET /kv/big HTTP/1.1', host, last))
  const timer = setInterval(() => {
    slow.socket.resume()
    setTimeout(() => slow.socket.pause(), 20)
  }, 100)
  t.teardown(() => clearInterval(timer))
  await eventually(() => slow.closed, 'a slow reader gets everything')
  t.equal(answerIn(slow.text).body.length, value.length)
})

t.test('answers have a bound together: more is refused, and who takes nothing makes room', async (t) => {
  const megabytes = 1024 * 1024
  const api = await serve(t, { answerBytesMax: 39 * megabytes })
  const value = Buffer.alloc(16 * megabytes, 'x')
  for (const key of ['one', 'two'])
    api.services.keys.store.plant(key as Key, { createRevision: 1, modRevision: 1, version: 1, lease: 0, value })
  const idle = ['one', 'two'].map((key) => {
    const opened = api.connection()
    opened.socket.pause()
    opened.send(head(`GET /kv/${key} HTTP/1.1`, host))
    return opened
  })
  await eventually(() => api.services.keys.reads.length === 2, 'both are read')
  const refused = await api.exchange(head('GET /kv/one HTTP/1.1', host, last))
  t.equal(refused.status, 429)
  t.match(problemIn(refused), { code: 'overloaded' })
  t.equal(refused.headers.get('retry-after'), '1')
  t.equal((await api.exchange(head('GET /version HTTP/1.1', host, last))).status, 200, 'what is small has room')
  const page = await api.exchange(head('GET /kv?limit=1 HTTP/1.1', host, last))
  t.equal(page.status, 429, 'before it is made')
  t.equal(api.services.keys.openScans, 0)
  api.services.diagnostics.log.lines.push(JSON.stringify({ level: 30, time: 1, msg: 'x'.repeat(8 * megabytes) }))
  t.equal((await api.exchange(head('GET /diagnostics HTTP/1.1', host, last))).status, 429)
  const lists = JSON.stringify({ success: Array(8).fill({ list: {} }) })
  const about = ['Content-Type: application/json', `Content-Length: ${lists.length}`]
  t.equal((await api.exchange(head('POST /txn HTTP/1.1', host, last, ...about) + lists)).status, 429)
  t.equal(api.services.keys.commands.length, 0, 'before it is done')
  const write = await api.exchange(head('DELETE /kv/none?prev=true HTTP/1.1', host, last))
  t.equal(write.status, 200)
  const again = async (): Promise<number> => (await api.exchange(head('GET /kv/one HTTP/1.1', host, last))).status
  const deadline = Date.now() + 10_000
  while ((await again()) !== 200) {
    if (Date.now() > deadline) throw new Error('no room comes')
    await new Promise((done) => setTimeout(done, 100))
  }
  for (const opened of idle) opened.socket.resume()
  for (const opened of idle) t.ok((await opened.untilClosed()).length < value.length, 'the idle ones were ended for it')
})

t.test('bodies have a bound together: what exceeds it is refused, and who sends nothing more makes room', async (t) => {
  const megabytes = 1024 * 1024
  const api = await serve(t, { bodyBytesMax: 5 * megabytes, valueBytesMax: 4 * megabytes })
  const announced = (key: string, bytes: number, ...headers: string[]): string =>
    head(`PUT /kv/${key} HTTP/1.1`, host, `Content-Length: ${bytes}`, ...headers)
  const chunked = head('PUT /kv/c HTTP/1.1', host, 'Transfer-Encoding: chunked')
  const written = (key: string): number | undefined => api.services.keys.store.record(key as Key)?.value.length

  const slow = api.connection()
  slow.send(announced('slow', 4 * megabytes))
  slow.send(Buffer.alloc(3 * megabytes))
  await eventually(() => slow.socket.writableLength === 0, 'the most of it is sent')
  const small = async (): Promise<number> => (await api.exchange(announced('small', 1, last) + 'x')).status
  t.equal(await small(), 200, 'what fits beside it is taken')

  // The request may not have arrived yet: a connection that is accepted meanwhile hears nothing, and hangs up.
  const refusalOf = async (bytes: string): Promise<RawAnswer> => {
    const deadline = Date.now() + 10_000
    while (Date.now() < deadline) {
      const opened = api.connection()
      opened.send(bytes)
      const patience = Date.now() + 500
      await eventually(() => opened.text.endsWith('}') || Date.now() > patience, 'an answer, or none')
      if (opened.text.endsWith('}')) return answerIn(opened.text)
      opened.destroy()
    }
    throw new Error('nobody is refused')
  }
  const long = await refusalOf(announced('long', 3 * megabytes))
  t.equal(long.status, 429, 'before anything of it is sent')
  t.match(problemIn(long), { code: 'overloaded', detail: /nothing was done, try again later/ })
  t.equal(long.headers.get('retry-after'), '1')
  const expecting = await refusalOf(announced('long', 3 * megabytes, 'Expect: 100-continue'))
  t.equal(expecting.status, 429, 'and before it is asked for')

  const unsaid = api.connection()
  unsaid.send(chunked)
  for (let piece = 0; piece < 12; piece++) {
    unsaid.send('40000\r\n')
    unsaid.send(Buffer.alloc(0x40000))
    unsaid.send('\r\n')
  }
  const refused = answerIn(await unsaid.until((text) => text.includes('"code"')))
  t.equal(refused.status, 429, 'one whose length is not said as soon as it has no room')
  t.match(refused.headers.get('connection'), 'close')
  t.equal(written('c'), undefined)
  t.equal(await small(), 200)

  const again = async (): Promise<number> => {
    const opened = api.connection()
    opened.send(announced('again', 4 * megabytes, last))
    opened.send(Buffer.alloc(4 * megabytes))
    return answerIn(await opened.until((text) => text.includes('\r\n\r\n'))).status
  }
  const deadline = Date.now() + 10_000
  while ((await again()) !== 200) {
    if (Date.now() > deadline) throw new Error('no room comes')
    await new Promise((done) => setTimeout(done, 100))
  }
  t.equal(written('again'), 4 * megabytes)
  await slow.untilClosed()
  t.equal(slow.text, '', 'the one that stood still was ended for it')
  t.equal(written('slow'), undefined)
})

t.test(
  'while a node has too much to do, writes of keys are refused before their body; all else is served',
  async (t) => {
    const api = await serve(t)
    const { services } = api
    services.keys.refusal = new RequestError('overloaded', 'too many writes wait')
    for (const line of ['PUT /kv/a', 'PUT /kv?key=a', 'DELETE /kv/a', 'DELETE /kv?prefix=a', 'POST /txn']) {
      const opened = api.connection()
      opened.send(head(`${line} HTTP/1.1`, host, 'Content-Length: 1000', 'Content-Type: application/json'))
      const refused = answerIn(await opened.until((text) => text.endsWith('}')))
      t.equal(refused.status, 429, `${line}: nothing of its body is waited for`)
      t.match(problemIn(refused), { code: 'overloaded', detail: 'too many writes wait', retryable: true })
      t.equal(refused.headers.get('retry-after'), '1')
      opened.send(Buffer.alloc(1_000))
      opened.send(head('GET /version HTTP/1.1', host, last))
      t.match(await opened.untilClosed(), /}HTTP\/1.1 200 /, `${line}: the connection goes on`)
    }
    t.equal(services.keys.commands.length, 0)
    t.equal((await api.inject({ method: 'POST', url: '/leases', payload: { ttlMs: 5_000 } })).statusCode, 201)
    t.match(services.keys.commands, [{ command: { type: 'lease-grant' } }])
    const lines = '{"key":"a","value":"1"}\n'
    const about = ['Content-Type: application/x-ndjson', `Content-Length: ${lines.length}`]
    const imported = await api.exchange(head('POST /kv HTTP/1.1', host, last, ...about) + lines)
    t.equal(imported.status, 200, 'an import waits by itself')
    const renewed = await api.exchange(head('POST /leases/1/keepalive HTTP/1.1', host, last, 'Content-Length: 0'))
    t.not(renewed.status, 429)
    for (const line of ['GET /kv/a', 'GET /livez', 'GET /metrics', 'GET /cluster', 'POST /cluster/purge'])
      t.not((await api.exchange(head(`${line} HTTP/1.1`, host, last))).status, 429, line)
  },
)

t.test('writes that have arrived and are not done count, one for each connection', async (t) => {
  const api = await serve(t)
  const { keys } = api.services
  const begin = head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 1')
  const underWay = async (): Promise<number> => {
    const asking = api.connection()
    asking.send(begin + 'x')
    await asking.until((text) => text.endsWith('}'))
    return keys.underWay
  }
  /** The test's own deadline ends this. */
  const until = async (count: number): Promise<void> => {
    while ((await underWay()) !== count) t.comment('not yet')
  }
  t.equal(await underWay(), 0)
  const [one, other] = [api.connection(), api.connection()]
  for (const opened of [one, other]) opened.send(begin)
  await until(2)
  one.send('x' + begin + 'x' + begin + 'x')
  await one.until((text) => text.split('HTTP/1.1 200').length === 4)
  await until(1)
  other.destroy()
  await until(0)
})

t.test('a connection that was refused because there is too much to do is not read for a while', async (t) => {
  const put = head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 1') + 'x'
  const version = head('GET /version HTTP/1.1', host, last)
  const api = await serve(t, { server: { refusedRests: { ms: 600_000, msMax: 600_000, endsPerSecond: 1_000 } } })
  api.services.keys.refusal = new RequestError('overloaded', 'too many writes wait')
  const opened = api.connection()
  opened.send(put)
  const refused = await opened.until((text) => text.endsWith('}'))
  opened.send(version)
  for (let round = 0; round < 5; round++) t.equal((await api.exchange(version)).status, 200, 'others are served')
  t.equal(opened.text, refused)

  const quick = await serve(t, { server: { refusedRests: { ms: 1, msMax: 1, endsPerSecond: 1_000 } } })
  quick.services.keys.refusal = new RequestError('overloaded', 'too many writes wait')
  const insistent = quick.connection()
  for (let round = 1; round <= 20; round++) {
    insistent.send(put)
    await insistent.until((text) => text.split('HTTP/1.1 429').length > round && text.endsWith('}'))
  }
  quick.services.keys.refusal = null
  insistent.send(put + put + version)
  t.match(await insistent.untilClosed(), /}(HTTP\/1.1 200 [^]*){3}$/)
})

t.test('a connection rests after a refusal that came late, and briefly when leases are kept alive on it', async (t) => {
  const put = head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 1') + 'x'
  const version = head('GET /version HTTP/1.1', host, last)
  // The next to rest would be read again in ten minutes, but for those that must not be late.
  const api = await serve(t, { server: { refusedRests: { ms: 50, msMax: 600_000, endsPerSecond: 0.001 } } })
  const { keys } = api.services
  const refuse = async (opened: RawConnection, isLate: boolean): Promise<string> => {
    const overloaded = new RequestError('overloaded', 'too many writes wait')
    if (isLate) keys.failure = overloaded
    else keys.refusal = overloaded
    const count = opened.text.split('HTTP/1.1 429').length
    opened.send(put)
    const text = await opened.until((so) => so.split('HTTP/1.1 429').length > count && so.endsWith('}'))
    keys.refusal = null
    return text
  }
  const [first, late, holder] = [api.connection(), api.connection(), api.connection()]
  await refuse(first, false)
  const refused = await refuse(late, true)
  late.send(version)
  const lease = '{"ttlMs":1000,"id":7}'
  const grant = ['Content-Type: application/json', `Content-Length: ${lease.length}`]
  holder.send(head('POST /leases HTTP/1.1', host, ...grant) + lease)
  await holder.until((text) => text.endsWith('}'))
  for (const isLate of [false, true]) {
    await refuse(holder, isLate)
    const { length } = holder.text
    holder.send(head('POST /leases/7/keepalive HTTP/1.1', host))
    await holder.until((text) => text.slice(length).includes('"remainingMs":'))
  }
  t.equal(late.text, refused, 'a late refusal is followed by a rest like any other')
  t.ok(3 * limits.httpRefusedRestMs < limits.lease.ttlMsMin, 'a renewal after a third has time for a rest, and another')
})

t.test('the more connections rest, the longer each of them does, up to a maximum', async (t) => {
  const count = 100
  // The timers of rests keep no process alive.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(alive))
  const restAll = async (
    options: RestsOptions,
  ): Promise<readonly { readonly n: number; readonly afterMs: number }[]> => {
    const rests = new Rests(options, () => performance.now())
    const begunAt = performance.now()
    const woken: { readonly n: number; readonly afterMs: number }[] = []
    await new Promise<void>((resolve) => {
      const wake = (n: number): void => {
        woken.push({ n, afterMs: performance.now() - begunAt })
        if (woken.length === count) resolve()
      }
      for (let n = 0; n < count; n++) rests.begin({ wake: () => wake(n) })
    })
    return woken
  }
  const paced = await restAll({ ms: 20, msMax: 60_000, endsPerSecond: 1_000 })
  t.same(
    paced.map(({ n }) => n),
    Array.from({ length: count }, (_, n) => n),
    'who began first is woken first',
  )
  for (const { n, afterMs } of paced) t.ok(afterMs >= 20 + n, `${n}: ${afterMs} ms`)
  const bounded = await restAll({ ms: 1, msMax: 20, endsPerSecond: 0.001 })
  t.equal(bounded.length, count, 'none waits for its turn, which would come in hours')
  for (const { n, afterMs } of bounded) t.ok(n === 0 || afterMs >= 20, `${n}: ${afterMs} ms`)
})

t.test('requests that arrive together are taken in many short turns of the event loop', async (t) => {
  const count = 400
  let taken = 0
  let inTurn = 0
  let longest = 0
  const api = await serve(t, {
    // Each request takes a millisecond.
    now: () => taken,
    server: { turns: { msMax: 10, readAgainMin: 2 } },
    beforeReady: (app) => {
      app.addHook('onRequest', (_request, _reply, done) => {
        if (inTurn === 0) setImmediate(() => (inTurn = 0))
        taken += 1
        inTurn += 1
        longest = Math.max(longest, inTurn)
        done()
      })
    },
  })
  const opened = Array.from({ length: count }, () => api.connection())
  const askAll = async (answers: number): Promise<void> => {
    for (const one of opened) one.send(head('GET /livez HTTP/1.1', host))
    await Promise.all(opened.map(async (one) => await one.until((text) => text.split('ok\n').length > answers)))
  }
  // While connections are made, few of them are ready in one turn.
  await askAll(1)
  longest = 0
  await askAll(2)
  t.ok(longest < count / 4, `${longest} of ${count} requests in one turn`)
})

t.test('a turn that was long enough is followed by short ones, until all connections are read again', async (t) => {
  let now = 0
  let begun: number[] = []
  const read = new Set(Array.from({ length: 100 }, (_, n) => n))
  const connections = [...read].map((n) => ({
    waitForTurn: () => n !== 7 && read.delete(n),
    goOn: () => {
      read.add(n)
      begun.push(n)
    },
  }))
  const turns = new Turns(
    { msMax: 50, readAgainMin: 4 },
    () => now,
    () => connections,
  )
  /** Resolves to those that are read again after a turn in which requests take so long. */
  const turnOf = async (ms: number): Promise<readonly number[]> => {
    begun = []
    turns.onRequest()
    now += ms
    turns.onRequest()
    await new Promise((resolve) => setImmediate(resolve))
    return begun
  }
  t.same(await turnOf(49), [], 'a turn that is short enough holds nobody up')
  t.same(await turnOf(50), [0, 1, 2, 3])
  t.same(
    [...read].toSorted((a, b) => a - b),
    [0, 1, 2, 3, 7],
    'who must not wait is read on',
  )
  t.same(await turnOf(0), [4, 5, 6, 8, 9, 10, 11, 12], 'twice as many after a turn with little to do')
  t.equal((await turnOf(24)).length, 16)
  t.equal((await turnOf(25)).length, 16, 'as many after a turn that was half as long as it may be')
  const fewer = await turnOf(50)
  t.same([fewer.length, fewer[0]], [8, 45], 'half as many after a turn that was too long, who waits longest first')
  while (read.size < 100) t.not((await turnOf(0)).length, 0)
  t.same(await turnOf(0), [])
})

t.test('a body gives its room back, however its request ends', async (t) => {
  const megabyte = 1024 * 1024
  const api = await serve(t, { bodyBytesMax: megabyte, valueBytesMax: megabyte })
  const whole = head('PUT /kv/a HTTP/1.1', host, `Content-Length: ${megabyte}`, last)
  const put = async (): Promise<number> => {
    const opened = api.connection()
    opened.send(whole)
    opened.send(Buffer.alloc(megabyte))
    return answerIn(await opened.until((text) => text.includes('\r\n\r\n'))).status
  }
  for (let round = 0; round < 3; round++) t.equal(await put(), 200, 'answered')
  for (let round = 0; round < 3; round++) {
    const gone = api.connection()
    gone.send(head('PUT /kv/a HTTP/1.1', host, `Content-Length: ${megabyte}`))
    gone.send(Buffer.alloc(megabyte / 2))
    await eventually(() => gone.socket.writableLength === 0, 'half of it is sent')
    gone.destroy()
    const deadline = Date.now() + 10_000
    while ((await put()) !== 200) if (Date.now() > deadline) throw new Error('no room comes')
  }
  const body = '{"members":'.padEnd(200_000)
  const json = head(
    'POST /cluster/initialize HTTP/1.1',
    host,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    last,
  )
  for (let round = 0; round < 8; round++) t.equal((await api.exchange(json + body)).status, 400, 'refused')
  t.equal(await put(), 200)
})

t.test('a stream that fails in the middle does not end as if it were whole', async (t) => {
  const api = await serve(t)
  fill(api, 100, 32 * 1024)
  let pieces = 0
  api.services.keys.beforePiece = async () => {
    pieces += 1
    if (pieces === 4) throw new Error('the disk is gone')
  }
  const opened = api.connection()
  opened.send(exportRequest)
  const text = await opened.untilClosed()
  t.match(text, /^HTTP\/1\.1 200/)
  t.notOk(text.endsWith('0\r\n\r\n'), 'no mark of the end')
  t.equal(api.services.keys.openScans, 0)
  pieces = 3
  t.equal((await api.exchange(exportRequest)).body.endsWith('0\r\n\r\n'), false)
  api.services.keys.store.rows.clear()
  const empty = await api.exchange(exportRequest)
  t.equal(empty.status, 200)
  t.equal(empty.headers.get('content-length'), '0', 'an empty range is an empty stream')
})

t.test('streams have a number that they do not exceed', async (t) => {
  const api = await serve(t)
  fill(api, 10, 10)
  const { promise, resolve } = deferred<void>()
  api.services.keys.beforePiece = async () => promise
  const exportsMax = limits.httpStreamsMax - limits.httpStreamsForBackups
  const connections = Array.from({ length: exportsMax }, () => api.connection())
  for (const opened of connections) opened.send(exportRequest)
  await eventually(() => api.services.keys.openScans === exportsMax, 'all are open')
  const refused = await api.inject({ url: '/kv', headers: { accept: 'application/x-ndjson' } })
  t.equal(refused.statusCode, 429)
  t.match(refused.json(), { code: 'overloaded', retryable: true })
  await api.inject({ method: 'POST', url: '/cluster/initialize' })
  t.equal((await api.exchange(head('GET /cluster/snapshot HTTP/1.1', host, last))).status, 200, 'a backup has a place')
  resolve()
  for (const opened of connections) t.match(await opened.untilClosed(), /item\/9/)
  await eventually(() => api.services.keys.openScans === 0, 'all are closed')
  t.equal((await api.exchange(exportRequest)).status, 200, 'there is room again')

  api.services.keys.failure = new Error('no scan')
  for (let at = 0; at <= limits.httpStreamsMax; at++) {
    api.services.keys.failure = new Error('no scan')
    t.equal((await api.inject({ url: '/kv', headers: { accept: 'application/x-ndjson' } })).statusCode, 500)
  }
  t.equal((await api.exchange(exportRequest)).status, 200, 'a scan that does not open takes no room')
})

t.test('a connection on which nothing has come does not hold up a stop', async (t) => {
  const { app, connection } = await serve(t)
  const silent = connection()
  await silent.connected()
  await closeGracefully(app, 60_000)
  await silent.untilClosed()
})

t.test('closing lets requests finish, and cuts off what does not', async (t) => {
  const api = await serve(t)
  fill(api, 10, 10)
  const { promise, resolve } = deferred<void>()
  api.services.keys.beforePiece = async () => promise
  const idle = api.connection()
  idle.send(head('GET /version HTTP/1.1', host))
  await idle.until((text) => text.includes('"version"'))
  const busy = api.connection()
  busy.send(head('GET /kv HTTP/1.1', host))
  await eventually(() => api.services.keys.openScans === 1, 'the request is under way')
  const closing = closeGracefully(api.app, 5000)
  await idle.untilClosed()
  t.notOk(busy.closed)
  resolve()
  const answer = answerIn(await busy.untilClosed())
  t.equal(answer.status, 200)
  t.equal(JSON.parse(answer.body).items.length, 10)
  await closing

  const stuck = await serve(t)
  fill(stuck, 10, 10)
  const never = deferred<void>()
  stuck.services.keys.beforePiece = async () => never.promise
  const opened = stuck.connection()
  opened.send(exportRequest)
  await eventually(() => stuck.services.keys.openScans === 1, 'the stream is under way')
  const began = performance.now()
  await closeGracefully(stuck.app, 200)
  t.ok(performance.now() - began >= 150, 'not before the time is up')
  await opened.untilClosed()
  never.resolve()
  await eventually(() => stuck.services.keys.openScans === 0, 'its scan is closed')
})

const isAnswered = (text: string): boolean => text.includes('key-not-found')

async function untilBegun({ keys }: CheckedApi['services'], reads: number): Promise<void> {
  await eventually(() => keys.reads.length === reads, `${reads} reads have begun`)
}

t.test('a new connection takes the place of the one that was idle longest, never of one at work', async (t) => {
  let now = 0
  const connections = { max: 3, idleMsMin: 1_000 }
  const { connection, services } = await serve(t, { connections, now: () => now })
  const get = head('GET /kv/a?consistency=stale HTTP/1.1', host)
  const silent = connection()
  const used = connection()
  used.send(get)
  await used.until(isAnswered)
  const working = connection()
  const held = deferred<void>()
  services.keys.beforeGet = async () => held.promise
  working.send(get)
  await untilBegun(services, 2)
  now += 1_000
  const fourth = connection()
  fourth.send(get)
  await silent.untilClosed()
  await untilBegun(services, 3)
  const fifth = connection()
  fifth.send(get)
  await used.untilClosed()
  await untilBegun(services, 4)
  held.resolve()
  for (const busy of [working, fourth, fifth]) await busy.until(isAnswered)
})

t.test('when every connection is at work a new one is told so', async (t) => {
  const { connection, exchange, services, refused } = await serve(t, { connections: { max: 2, idleMsMin: 0 } })
  const held = deferred<void>()
  services.keys.beforeGet = async () => held.promise
  const get = head('GET /kv/a?consistency=stale HTTP/1.1', host)
  const busy = [connection(), connection()]
  for (const one of busy) one.send(get)
  await untilBegun(services, 2)
  for (let i = 0; i < limits.httpRefusalsMax + 2; i++) {
    const answer = await exchange(get)
    t.match(problemIn(answer), { code: 'overloaded', status: 429, retryable: true, detail: /at most 2 connections/ })
    t.equal(answer.headers.get('retry-after'), '1')
  }
  t.equal(services.keys.reads.length, 2, 'what came on them was not begun')
  t.same(refused, [1], 'reported once in a while')
  held.resolve()
  for (const one of busy) await one.until(isAnswered)
  t.equal((await exchange(head('GET /version HTTP/1.1', host, last))).status, 200, 'there is room again')
})

t.test('a connection that the system cannot accept leaves the listener working', async (t) => {
  const { app, exchange, refused } = await serve(t)
  const failure = Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' })
  app.server.emit('error', failure)
  t.same(refused, [failure])
  t.equal((await exchange(head('GET /version HTTP/1.1', host, last))).status, 200)
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
