import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { Passages } from '../src/lib/passages.ts'
import { SeededRandom } from '../src/lib/random.ts'
import { RequestError } from '../src/lib/errors.ts'
import { SlowLog } from '../src/lib/slow-log.ts'
import { StageSums, stepOf, type StageEnd } from '../src/lib/stages.ts'
import { newSpanId, spanBelow, traceContextOf } from '../src/lib/trace-context.ts'
import type { Server } from '../src/server.ts'
import { VirtualClock } from './node/support/virtual-clock.ts'
import { openCheckedApi } from './support/checked-api.ts'
import { eventually, listen, RawConnection } from './support/raw-client.ts'
import { temporaryDirectory } from './support/temporary-directory.ts'
import { startTestNode } from './support/test-node.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const PARENT = 'b7ad6b7169203331'

t.test('a traceparent is taken as the standard says, and one that it does not know counts as none', async (t) => {
  const context = { traceId: TRACE, spanId: PARENT, flags: 1 }
  t.same(traceContextOf(`00-${TRACE}-${PARENT}-01`), context)
  t.same(traceContextOf(`00-${TRACE}-${PARENT}-00`), { ...context, flags: 0 })
  t.same(
    traceContextOf(`00-${TRACE}-${PARENT}-ff`),
    { ...context, flags: 3 },
    'flags without a meaning are not passed on',
  )
  t.same(traceContextOf(`cc-${TRACE}-${PARENT}-01`), context, 'a later version')
  t.same(traceContextOf(`cc-${TRACE}-${PARENT}-01-${'what comes '.repeat(1_000)}`), context, 'which may say more')
  const wrong = [
    '',
    '00',
    `00-${TRACE}-${PARENT}`,
    `00-${TRACE}-${PARENT}-1`,
    `00-${TRACE}-${PARENT}-01-`,
    `00-${TRACE}-${PARENT}-01.`,
    `00-${TRACE}-${PARENT}-01-more`,
    `cc-${TRACE}-${PARENT}-01.more`,
    `ff-${TRACE}-${PARENT}-01`,
    `0-${TRACE}-${PARENT}-01`,
    `00-${TRACE.toUpperCase()}-${PARENT}-01`,
    `00-${TRACE}-${PARENT.toUpperCase()}-01`,
    `00-${TRACE.slice(1)}-${PARENT}-01`,
    `00-${TRACE}-${PARENT.slice(1)}-01`,
    `00-${'0'.repeat(32)}-${PARENT}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE}-${PARENT}-xy`,
    ` 00-${TRACE}-${PARENT}-01`,
    `00-${TRACE}-${PARENT}-01, 00-${TRACE}-${PARENT}-01`,
  ]
  for (const header of wrong) t.equal(traceContextOf(header), null, JSON.stringify(header))
  const random = new SeededRandom(1)
  const ids = Array.from({ length: 100 }, () => newSpanId(random))
  t.equal(new Set(ids).size, 100)
  for (const id of ids) t.match(id, /^(?!0{16})[0-9a-f]{16}$/)
  t.same(spanBelow(context, 'c'.repeat(16)), { ...context, spanId: 'c'.repeat(16), parentId: PARENT })
})

t.test('the moment at which a growing number reached a value is known to within a step', async (t) => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = new SeededRandom(seed)
    const stepMs = random.integer(0, 3)
    const passages = new Passages({ marksMax: 8, stepMs })
    /** By value, the moment at which it was last reached. */
    const reached: number[] = []
    let at = 100
    for (let turn = 0; turn < 200; turn++) {
      at += random.integer(0, 4)
      if (random.integer(0, 6) === 0) {
        const from = random.integer(0, reached.length + 1)
        reached.splice(from)
        passages.forget(from)
      } else {
        for (let more = random.integer(0, 4); more > 0; more--) reached.push(at)
        if (reached.length > 0) passages.note(reached.length - 1, at)
      }
      if (passages.when(reached.length) !== null) throw new Error(`seed ${seed}: what was not reached is known`)
      for (const [value, moment] of reached.entries()) {
        const said = passages.when(value)
        if (said === null) throw new Error(`seed ${seed}: ${value} was reached`)
        const isEarly = said < moment && said <= moment - stepMs
        // Only the oldest mark stands for what is forgotten.
        const isLate = said > moment && said !== passages.when(0)
        if (isEarly || isLate) throw new Error(`seed ${seed}: ${value} was reached at ${moment}, not ${said}`)
      }
    }
  }
  const passages = new Passages({ marksMax: 4, stepMs: 0 })
  for (let value = 0; value < 10; value++) passages.note(value, value * 10)
  t.same(
    [6, 7, 8, 9, 10].map((value) => passages.when(value)),
    [60, 70, 80, 90, null],
  )
  t.equal(passages.when(0), 60, 'of what is forgotten, a moment after it is known')
  passages.note(5, 1_000)
  t.equal(passages.when(10), null, 'a number that does not grow changes nothing')
  passages.forget(8)
  passages.note(9, 2_000)
  t.same(
    [6, 7, 8, 9].map((value) => passages.when(value)),
    [60, 70, 2_000, 2_000],
  )
})

t.test('the time of a request adds up, whatever is known of its stages', async (t) => {
  const sums = new StageSums(100)
  const ends: readonly StageEnd[] = [
    { stage: 'body', at: 150 },
    { stage: 'leader', at: 140 },
    { stage: 'queue', at: 160 },
    { stage: 'sync', at: 190 },
    { stage: 'commit', at: 185 },
    { stage: 'apply', at: null },
    { stage: 'answer', at: 999 },
  ]
  sums.add(ends, 200)
  t.same(
    [...sums.times],
    [
      ['body', 50],
      ['leader', 0],
      ['queue', 10],
      ['sync', 30],
      ['commit', 0],
      ['apply', 10],
    ],
  )
  t.equal(sums.countedMs, 50, 'without the time of the client')
  t.equal(sums.longest, 'sync')
  sums.add(stepOf('wait', 900).ends(), 900)
  sums.add(ends, 1_000)
  t.equal(sums.countedMs, 150, 'a further step goes on where the last one ended')
  t.equal(sums.times.get('wait'), 700)
  t.equal(new StageSums(1).longest, 'answer')
})

/** A log of slow requests in virtual time, with its lines. */
function slowLog(options = { thresholdMs: 100, linesMax: 3, intervalMs: 1_000 }) {
  const clock = new VirtualClock()
  const lines: object[] = []
  const slow = new SlowLog(options, { clock, logger: { warn: (facts, event) => lines.push({ event, ...facts }) } })
  const tell = (ms: number): void => {
    const sums = new StageSums(0)
    sums.add(
      [
        { stage: 'sync', at: ms - 1 },
        { stage: 'answer', at: ms },
      ],
      ms,
    )
    slow.tell('slow request', { route: '/kv' }, sums)
  }
  return { clock, lines, slow, tell }
}

t.test(
  'few slow requests have a line each; many share one that tells how many, and where their time went',
  async (t) => {
    const { clock, lines, slow, tell } = slowLog()
    clock.start()
    t.teardown(() => clock.stop())
    tell(123.456)
    t.same(lines, [{ event: 'slow request', route: '/kv', ms: 123.5, syncMs: 122.5, answerMs: 1 }])
    for (let n = 0; n < 10; n++) tell(200 + n)
    t.equal(lines.length, 3)
    await clock.pass(1_001)
    const event = 'slow requests without a line of their own'
    t.same(lines.splice(3), [{ event, requests: 8, slowestMs: 209, syncMs: 8 * 204.5, answerMs: 8 }])
    tell(150)
    t.equal(lines.length, 4, 'the next interval has lines again')
    await clock.pass(5_000)
    t.equal(lines.length, 4, 'and nothing is told of nothing')
    for (let n = 0; n < 5; n++) tell(200)
    slow.close()
    t.match(lines.at(-1), { requests: 2 }, 'what is left is told at the end')
    await clock.pass(5_000)
    t.equal(lines.length, 8)
  },
)

/** The front of a node whose clock a test sets, with the lines about slow requests. */
async function served(t: Parameters<typeof openCheckedApi>[0], thresholdMs = 1_000) {
  let now = 5_000
  const lines: Record<string, unknown>[] = []
  const clock = { now: () => now, after: () => () => {} }
  const logger = { warn: (facts: object, event: string) => lines.push({ event, ...facts }) }
  const slow = new SlowLog({ thresholdMs, linesMax: 100, intervalMs: 1_000 }, { clock, logger })
  let begun = 0
  const beforeReady = (app: FastifyInstance): void =>
    void app.addHook('onRequest', (_request, _reply, done) => {
      begun += 1
      done()
    })
  const api = await openCheckedApi(t, { now: () => now, slow, wantsSpans: true, beforeReady })
  const port = await listen(api.app)
  const ask = (path: string, init: RequestInit = {}) => fetch(`http://127.0.0.1:${port}${path}`, init)
  const pass = (ms: number): void => void (now += ms)
  return { ...api, lines, port, ask, pass, now: () => now, begun: () => begun }
}

t.test(
  'a request that takes long has a line with its route, its answer and its trace, and without its key',
  async (t) => {
    const api = await served(t)
    const { keys } = api.services
    keys.beforeExecute = async () => api.pass(999)
    await api.ask('/kv/secret?prev=true', { method: 'PUT', body: 'hidden' })
    t.same(api.lines, [], 'what is faster has none')
    keys.beforeExecute = async () => api.pass(1_000)
    await api.ask('/kv/secret?prev=true', { method: 'PUT', body: 'hidden' })
    const facts = { event: 'slow request', status: 200, remote: '127.0.0.1', ms: 1_000, bodyMs: 0, answerMs: 1_000 }
    t.same(api.lines.splice(0), [{ ...facts, method: 'PUT', route: '/kv/*' }])
    const traceparent = `00-${TRACE}-${PARENT}-01`
    keys.beforeGet = async () => api.pass(2_000)
    await api.ask('/kv/absent', { headers: { traceparent } })
    const [line] = api.lines.splice(0)
    t.match(line, { method: 'GET', route: '/kv/*', status: 404, ms: 2_000, trace_id: TRACE, parent_id: PARENT })
    t.match(line?.['span_id'], /^[0-9a-f]{16}$/)
    t.not(line?.['span_id'], PARENT, 'a span of its own')
    await api.ask('/kv/absent', { headers: { traceparent: `00-${TRACE}-${PARENT}` } })
    t.notOk('trace_id' in (api.lines.splice(0)[0] ?? {}), 'a header that is none is no trace')
    keys.beforeGet = async () => {}
    keys.failure = new RequestError('no-leader', 'no leader')
    keys.beforeExecute = async () => api.pass(3_000)
    await api.ask('/kv?prefix=secret', { method: 'DELETE' })
    t.match(api.lines.splice(0), [{ method: 'DELETE', route: '/kv', status: 503, ms: 3_000 }])
    const { text } = await api.ask('/metrics').then(async (response) => ({ text: await response.text() }))
    t.match(text, /^quorate_slow_requests_total\{stage="answer"\} 4$/m)
    t.match(text, /^quorate_slow_requests_total\{stage="sync"\} 0$/m)
    t.notMatch(text, /stage="(body|wait)"/)
  },
)

t.test('an unexpected failure is reported with the span of its request', async (t) => {
  const api = await served(t)
  api.services.keys.failure = new TypeError('a bug')
  await api.ask('/kv/a', { headers: { traceparent: `00-${TRACE}-${PARENT}-01` } })
  api.services.keys.failure = new TypeError('a bug')
  await api.ask('/kv/a')
  t.match(api.unexpected, [
    { error: { message: 'a bug' }, span: { traceId: TRACE, parentId: PARENT, flags: 1 } },
    { error: { message: 'a bug' }, span: null },
  ])
})

t.test('the time that a client takes, or has asked for, makes no request slow', async (t) => {
  const api = await served(t)
  const { keys } = api.services
  const connection = new RawConnection(api.port)
  t.teardown(() => connection.destroy())
  const before = api.begun()
  connection.send('PUT /kv/a HTTP/1.1\r\nHost: node\r\nContent-Length: 4\r\n\r\nab')
  await eventually(() => api.begun() > before, 'the request has begun')
  api.pass(60_000)
  connection.send('cd')
  await connection.until((text) => text.includes('"revision"'))
  t.same(api.lines, [], 'a body that arrives slowly')

  keys.beforeExecute = async (caller) => {
    const since = api.now()
    api.pass(9_000)
    caller?.onStep?.(stepOf('wait', api.now()), since)
    api.pass(1_500)
  }
  await api.ask('/kv/a', { method: 'PUT', body: 'v' })
  t.match(api.lines.splice(0), [{ ms: 1_500, waitMs: 9_000, answerMs: 1_500 }], 'a wait that was asked for')
})

t.test('the steps of a request that takes several add up, and go on when its client leaves', async (t) => {
  const api = await served(t)
  const { keys } = api.services
  const spans: unknown[] = []
  keys.beforeExecute = async (caller) => {
    spans.push(caller?.span?.traceId)
    const since = api.now()
    api.pass(300)
    const at = api.now()
    api.pass(50)
    const ends = [
      { stage: 'sync', at },
      { stage: 'commit', at: api.now() },
    ] as const
    caller?.onStep?.({ ends: () => ends }, since, spans.length)
  }
  const headers = { traceparent: `00-${TRACE}-${PARENT}-01` }
  const body = Array.from({ length: 3 * 4_096 }, (_, n) => `${JSON.stringify({ key: `k/${n}`, value: '' })}\n`).join('')
  await api.ask('/kv', { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body })
  spans.length = 0
  await api.ask('/kv?prefix=k&chunked=true', { method: 'DELETE', headers })
  const steps = spans.length
  t.ok(steps >= 3)
  t.same([...new Set(spans)], [TRACE])
  const times = { ms: 350 * steps, syncMs: 300 * steps, commitMs: 50 * steps, answerMs: 0 }
  t.match(api.lines, [{ event: 'slow request', method: 'DELETE', route: '/kv', index: steps, ...times }])
})

t.test('of what is streamed, each step is looked at for itself', async (t) => {
  const api = await served(t)
  const { keys } = api.services
  keys.beforeExecute = async (caller) => {
    const since = api.now()
    api.pass(600)
    caller?.onStep?.(stepOf('sync', api.now()), since, 7)
  }
  const headers = { 'content-type': 'application/x-ndjson', traceparent: `00-${TRACE}-${PARENT}-00` }
  const records = (count: number): string =>
    Array.from({ length: count }, (_, n) => `${JSON.stringify({ key: `k/${n}`, value: 'v' })}\n`).join('')
  await api.ask('/kv', { method: 'POST', headers, body: records(1_500) })
  t.ok(keys.commands.length > 1)
  t.same(api.lines, [], 'an import takes as long as it has records')
  keys.beforeExecute = async (caller) => {
    const since = api.now()
    api.pass(1_200)
    caller?.onStep?.(stepOf('sync', api.now()), since, 7)
  }
  await api.ask('/kv', { method: 'POST', headers, body: records(1) })
  const step = { event: 'slow step of a request', route: '/kv', status: null }
  t.match(api.lines.splice(0), [{ ...step, method: 'POST', index: 7, ms: 1_200, syncMs: 1_200, trace_id: TRACE }])

  keys.beforePiece = async () => api.pass(900)
  const accept = { accept: 'application/x-ndjson' }
  t.ok((await (await api.ask('/kv', { headers: accept })).text()).length > 0)
  t.same(api.lines, [], 'so does an export')
  keys.beforePiece = async () => api.pass(1_100)
  await (await api.ask('/kv', { headers: accept })).text()
  t.match(api.lines[0], { method: 'GET', route: '/kv', ms: 1_100, answerMs: 1_100 })
})

t.test('a request that waits for others as long as it takes is never called slow', async (t) => {
  const api = await served(t)
  const { cluster } = api.services
  const initialize = cluster.initialize.bind(cluster)
  cluster.initialize = (...given) => {
    api.pass(30_000)
    return initialize(...given)
  }
  const response = await api.ask('/cluster/initialize', { method: 'POST' })
  t.equal(response.status, 200)
  t.same(api.lines, [])
})

t.test(
  'a write through a follower of a real cluster has lines with one trace and one index on both nodes',
  async (t) => {
    const directory = await temporaryDirectory(t)
    const lines = new Map<number, Record<string, unknown>[]>()
    const servers = new Map<number, Server>()
    for (const id of [1, 2, 3]) {
      const own: Record<string, unknown>[] = []
      lines.set(id, own)
      const log = { write: (line: string) => void own.push(JSON.parse(line) as Record<string, unknown>) }
      servers.set(id, await startTestNode(t, id, join(directory, String(id)), ['--slow-request', '1ms'], log))
    }
    const apiOf = (id: number): string => servers.get(id)?.addresses.api ?? ''
    const members = [...servers].map(([id, { addresses }]) => ({ id, ...addresses }))
    const json = { 'content-type': 'application/json' }
    const body = JSON.stringify({ members })
    const formed = await fetch(`${apiOf(1)}/cluster/initialize`, { method: 'POST', headers: json, body })
    t.equal(formed.status, 200, await formed.clone().text())
    const found = (event: string, index?: unknown) =>
      [...lines.values()]
        .flat()
        .find(({ msg, trace_id, index: at }) => msg === event && trace_id === TRACE && (index ?? at) === at)
    const headers = { traceparent: `00-${TRACE}-${PARENT}-01` }
    // The feature level that knows traces comes soon after the first leader.
    const deadline = Date.now() + 60_000
    while (found('slow forwarded write') === undefined && Date.now() < deadline) {
      for (const id of servers.keys())
        await (await fetch(`${apiOf(id)}/kv/secret`, { method: 'PUT', body: 'v', headers })).text()
    }
    const leaders = found('slow forwarded write')
    const own = found('slow request', leaders?.['index'])
    t.match(own, {
      method: 'PUT',
      route: '/kv/*',
      status: 200,
      parent_id: PARENT,
    })
    for (const stage of ['leader', 'forward', 'queue', 'sync', 'commit', 'apply', 'answer'])
      t.type(own?.[`${stage}Ms`], 'number', stage)
    t.type(leaders?.['syncMs'], 'number')
    t.equal(leaders?.['parent_id'], own?.['span_id'])
    t.notMatch(JSON.stringify([...lines.values()]), /secret/)
  },
)
