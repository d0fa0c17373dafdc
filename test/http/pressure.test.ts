import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import type { ReadOptions } from '../../src/api/services.ts'
import { AnswerRoom } from '../../src/http/protocol/answer-room.ts'
import { Gathering } from '../../src/http/protocol/gathering.ts'
import { Rests, type RestsOptions } from '../../src/http/protocol/rests.ts'
import { Turns } from '../../src/http/protocol/turns.ts'
import type { Key } from '../../src/kv/index.ts'
import { RequestError } from '../../src/lib/errors.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { limits } from '../../src/limits.ts'
import { answerIn, eventually, type RawAnswer, type RawConnection } from '../support/raw-client.ts'
import { head, host, last, problemIn, serve } from './support/raw-api.ts'

t.test('answers have a bound together: more is refused, and who takes nothing makes room', async (t) => {
  const megabytes = 1024 * 1024
  const api = await serve(t, { answerBytesMax: 39 * megabytes })
  const value = Buffer.alloc(16 * megabytes, 'x')
  for (const key of ['one', 'two'])
    api.services.keys.store.plant(key as Key, { createRevision: 1, modRevision: 1, version: 1, lease: 0, value })
  const idle = ['one', 'two'].map((key) => {
    const opened = api.connection()
    opened.socket.pause()
    opened.send(head(`GET /kv/${key} HTTP/1.1`, host, last))
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
  // Which of them had taken nothing for long enough by then depends on when that was looked at.
  const taken = await Promise.all(idle.map(async (opened) => (await opened.untilClosed()).length))
  t.ok(Math.min(...taken) < value.length, 'one that was idle was ended for it')
})

t.test('what the answers of writes may hold is reserved in turn, before they are carried out', async (t) => {
  const room = new AnswerRoom(10)
  const first = await room.reserveInTurn(6, 1_000)
  t.equal(first.leftMs, 1_000)
  const done: string[] = []
  const second = room.reserveInTurn(6, 60_000).then((reserved) => (done.push('second'), reserved))
  const third = room.reserveInTurn(1, 60_000).then((reserved) => (done.push('third'), reserved))
  await t.rejects(room.reserveInTurn(1, 20), { code: 'overloaded' }, 'no longer than the request lasts')
  t.same(done, [], 'what is small does not overtake')
  first.give()
  const [two, three] = [await second, await third]
  t.same(done, ['second', 'third'])
  t.ok(two.leftMs < 60_000)
  await t.rejects(room.reserveInTurn(6, 60_000), { code: 'overloaded' }, 'and not for long')
  two.give()
  three.give()
  ;(await room.reserveInTurn(1_000, 1)).give()

  const api = await serve(t, { answerBytesMax: 12 * 1024 * 1024 })
  const { keys } = api.services
  let waiting = 0
  let most = 0
  const execute = keys.execute.bind(keys)
  keys.execute = async (...given) => {
    waiting += 1
    most = Math.max(most, waiting)
    await new Promise((resolve) => setTimeout(resolve, 20))
    waiting -= 1
    return await execute(...given)
  }
  const body = JSON.stringify({ success: Array(8).fill({ list: {} }) })
  const about = ['Content-Type: application/json', `Content-Length: ${body.length}`]
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => api.exchange(head('POST /txn HTTP/1.1', host, last, ...about) + body)),
  )
  t.ok(answers.every(({ status }) => status === 200))
  t.equal(most, 1, 'two of them could hold more than there is room for')
})

t.test('pages are read in turn, and refused only when their text is larger than what was reserved', async (t) => {
  const room = new AnswerRoom(10)
  const options = { consistency: 'linearizable', minRevision: null, maxStalenessMs: null, timeoutMs: 1_000 } as const
  const read = async ({ prepare }: ReadOptions): Promise<string> => {
    await prepare?.()
    t.throws(() => room.check(7), { code: 'overloaded' }, 'what is read has room')
    // A read that looks several times has room already.
    await prepare?.()
    return 'x'
  }
  const page = async (times: number): Promise<string> => {
    let sent = ''
    const send = (_: string, text: string): void => {
      t.throws(() => room.check(7), { code: 'overloaded' }, 'up to the moment when it is counted as an answer')
      sent = text
    }
    await room.page({ bytesMax: 4, options, read, textOf: (found) => found.repeat(times), send })
    return sent
  }
  t.equal(await page(3), 'xxx')
  room.check(10)
  const failing = { bytesMax: 4, options, textOf: () => '', send: () => t.fail('nothing is sent') }
  await t.rejects(room.page({ ...failing, read: () => Promise.reject(new TypeError('no')) }), { message: 'no' })
  room.take(5)
  await t.rejects(page(6), { code: 'overloaded' })
  t.equal(await page(5), 'xxxxx')
  t.equal(await page(4), 'xxxx')
  room.check(5)

  // There is room for one page, and for nothing beside it.
  for (const answerBytesMax of [limits.listBytesMax + 2 * limits.recordMembersBytesMax, 12 * 1024 * 1024]) {
    const api = await serve(t, { answerBytesMax })
    for (let i = 0; i < 3; i++) await api.exchange(head(`PUT /kv/key-${i} HTTP/1.1`, host, last, 'Content-Length: 0'))
    api.services.keys.beforePiece = () => new Promise((resolve) => void setTimeout(resolve, 5))
    const pages = await Promise.all(
      Array.from({ length: 6 }, () => api.exchange(head('GET /kv?limit=2 HTTP/1.1', host, last))),
    )
    t.same([...new Set(pages.map(({ status }) => status))], [200])
  }
})

t.test('an answer that is no longer in memory makes room for those who wait for it', async (t) => {
  const megabytes = 1024 * 1024
  const api = await serve(t, { answerBytesMax: 17 * megabytes })
  const { keys } = api.services
  const value = Buffer.alloc(16 * megabytes, 'x')
  keys.store.plant('large' as Key, { createRevision: 1, modRevision: 1, version: 1, lease: 0, value })
  const reader = api.connection()
  reader.socket.pause()
  reader.send(head('GET /kv/large HTTP/1.1', host, last))
  const isFull = async (): Promise<boolean> =>
    (await api.exchange(head('GET /kv/large HTTP/1.1', host, last))).status === 429
  const deadline = Date.now() + 10_000
  while (!(await isFull())) if (Date.now() > deadline) throw new Error('the answer takes no room')
  let reached = (): void => undefined
  const asked = new Promise<void>((resolve) => (reached = resolve))
  keys.beforePrepare = () => reached()
  const page = api.exchange(head('GET /kv?limit=1&keysOnly=true HTTP/1.1', host, last))
  await asked
  reader.socket.destroy()
  t.equal((await page).status, 200)
})

t.test('a body takes the memory that its bytes take, however small its pieces are', async (t) => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const memory = (): number => {
    collect()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  const random = new SeededRandom(1)
  for (const largest of [1, 100, 10_000]) {
    const gathering = new Gathering()
    const pieces: Buffer[] = []
    for (let bytes = 0; bytes < 100_000;) {
      const piece = Buffer.alloc(random.integer(0, largest + 1), bytes % 256)
      pieces.push(piece)
      gathering.add(piece)
      bytes += piece.length
    }
    t.ok(gathering.take().equals(Buffer.concat(pieces)), `pieces of up to ${largest} bytes`)
    t.equal(gathering.take().length, 0)
  }
  const before = memory()
  const gathering = new Gathering()
  for (let at = 0; at < 200_000; at++) gathering.add(Buffer.from(new ArrayBuffer(1)))
  const taken = memory() - before
  t.equal(gathering.bytes, 200_000)
  t.ok(taken < 5_000_000, `${taken} bytes`)

  const api = await serve(t)
  const value = Array.from({ length: 500 }, (_, at) => String(at % 10))
  const chunks = `${value.map((byte) => `1\r\n${byte}\r\n`).join('')}0\r\n\r\n`
  const written = await api.exchange(head('PUT /kv/c HTTP/1.1', host, last, 'Transfer-Encoding: chunked') + chunks)
  t.equal(written.status, 200)
  t.equal((await api.exchange(head('GET /kv/c HTTP/1.1', host, last))).body, value.join(''))
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
