import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test as Tap } from 'tap'
import { runnable, type Bench } from '../../bench/lib/bench.ts'
import { render } from '../../bench/lib/chart.ts'
import { AnswerReader } from '../../bench/lib/generator/answer-reader.ts'
import { Generator } from '../../bench/lib/generator/generator.ts'
import { Queue } from '../../bench/lib/generator/queue.ts'
import { Requests } from '../../bench/lib/generator/requests.ts'
import { Schedule } from '../../bench/lib/generator/schedule.ts'
import { Tally } from '../../bench/lib/generator/tally.ts'
import { etcdKey, putRequest, rangeRequest, valueField } from '../../bench/lib/grpc-messages.ts'
import { CoreCluster } from '../../bench/lib/core-cluster.ts'
import { cumulative, Latencies, median, summarize } from '../../bench/lib/statistics.ts'

t.test('the schedule of an open loop', async (t) => {
  const schedule = new Schedule([
    { perSecond: 100, seconds: 1 },
    { perSecond: 0, seconds: 2 },
    { perSecond: 1000, seconds: 0.5 },
  ])
  t.equal(schedule.total, 600)
  t.equal(schedule.durationMs, 3500)
  t.equal(schedule.dueMs(0), 0, 'the first request is due at the start')
  t.equal(schedule.dueMs(1), 10)
  t.equal(schedule.dueMs(99), 990)
  t.equal(schedule.dueMs(100), 3000, 'a phase begins when those before it are over, whatever their rates')
  t.equal(schedule.dueMs(101), 3001)
  t.equal(schedule.dueMs(600), Infinity, 'nothing is due after the last')
  t.equal(schedule.dueBy(-1), 0)
  t.equal(schedule.dueBy(0), 1)
  t.equal(schedule.dueBy(9.99), 1)
  t.equal(schedule.dueBy(10), 2)
  t.equal(schedule.dueBy(2999), 100, 'a rate of nothing is a pause')
  t.equal(schedule.dueBy(3000), 101)
  t.equal(schedule.dueBy(1e9), 600)
  const rough = new Schedule([{ perSecond: 333.3, seconds: 3 }])
  for (let n = 0; n < rough.total; n++) {
    if (rough.dueBy(rough.dueMs(n)) !== n + 1) t.fail(`request ${n} is not due when it is due`)
  }
})

t.test('the reader of answers takes them in pieces of any size', async (t) => {
  const text = [
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
    'HTTP/1.1 304 Not Modified\r\netag: "1"\r\n\r\n',
    'HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n',
    'HTTP/1.1 201 Created\r\ncontent-length: 4\r\nx: y\r\n\r\n\r\n\r\n',
  ].join('')
  for (let size = 1; size <= text.length; size++) {
    const seen: number[] = []
    const reader = new AnswerReader((status) => seen.push(status))
    for (let at = 0; at < text.length; at += size) reader.push(Buffer.from(text.slice(at, at + size)))
    t.strictSame(seen, [200, 304, 429, 201], `${size} bytes at a time`)
  }
  const reader = new AnswerReader(() => undefined)
  t.throws(() => reader.push(Buffer.from('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')), /content-length/)
  t.throws(() => reader.push(Buffer.from('SSH-2.0-OpenSSH\r\n\r\n')), /not an answer/)
})

t.test('a queue keeps its order, also of very many', async (t) => {
  const queue = new Queue<number>()
  let [added, taken] = [0, 0]
  for (let round = 0; round < 50; round++) {
    for (let n = 0; n < 100; n++) queue.add(added++)
    for (let n = 0; n < 90; n++) if (queue.take() !== taken++) t.fail('out of order')
  }
  t.equal(queue.size, 500)
  queue.remove(taken)
  t.equal(queue.take(), taken + 1)
  queue.clear()
  t.equal(queue.take(), null)
})

t.test('requests', async (t) => {
  const inOrder = new Requests({ method: 'PUT', keys: 2, valueBytes: 3, inOrder: true })
  const put = (n: number) => `PUT /kv/key-${n} HTTP/1.1\r\nhost: bench\r\ncontent-length: 3\r\n\r\nvvv`
  t.strictSame([inOrder.next(), inOrder.next(), inOrder.next()], [put(1), put(2), put(1)])
  const get = new Requests({ method: 'GET', keys: 1, valueBytes: 3, query: '?consistency=stale' })
  t.equal(get.next(), 'GET /kv/key-1?consistency=stale HTTP/1.1\r\nhost: bench\r\n\r\n')
  const mixed = new Requests({ method: 'MIXED', keys: 10, valueBytes: 3 })
  const gets = Array.from({ length: 10_000 }, () => mixed.next()).filter((one) => one.startsWith('GET')).length
  t.ok(gets > 8_700 && gets < 9_300, `${gets} of 10,000 are GETs`)
})

t.test('statistics', async (t) => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 2, 3]), 2.5)
  t.strictSame(cumulative([20, 10]), [
    [10, 50],
    [20, 100],
  ])
  const runs = [
    { rate: 1, p99: 9 },
    { rate: 5, p99: 7 },
    { rate: 2, p99: 8 },
  ]
  t.strictSame(summarize(runs, 'rate'), { rate: 2, p99: 8, rateMin: 1, rateMax: 5 })
  const latencies = new Latencies()
  t.equal(latencies.quantiles().max, 0, 'nothing recorded')
  for (let ms = 1; ms <= 1000; ms++) latencies.record(ms)
  const { p50, p99, p999, max } = latencies.quantiles()
  for (const [seen, exact] of [
    [p50, 500],
    [p99, 990],
    [p999, 999],
    [max, 1000],
  ] as const) {
    t.ok(Math.abs(seen / exact - 1) < 0.002, `${seen} is ${exact} to three figures`)
  }
})

t.test('a tally counts each second by itself', async (t) => {
  const tally = new Tally()
  tally.answer(200, 100, 1)
  tally.answer(429, 900, 1)
  tally.answer(200, 2_500, 7)
  tally.answer(503, 2_600, 1)
  tally.lost(2, 2_700)
  tally.reach(3_000)
  t.match(tally.seconds, [
    { ok: 1, refused: 1, failed: 0, max: 1 },
    { ok: 0, refused: 0, failed: 0, max: 0 },
    { ok: 1, refused: 0, failed: 3 },
  ])
  t.match(tally, { ok: 2, refused: 1, failed: 3 })
})

async function listen(t: Tap, handle: Parameters<typeof createServer>[1]): Promise<[Server, string]> {
  const server = createServer({}, handle)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.closeAllConnections())
  t.teardown(() => server.close())
  return [server, `127.0.0.1:${(server.address() as AddressInfo).port}`]
}

t.test(
  'an open loop counts from when a request was due, and a stall of the server delays all that were due meanwhile',
  async (t) => {
    let stalled = false
    const waiting: (() => void)[] = []
    const [, target] = await listen(t, (request, response) => {
      request.resume().on('end', () => {
        const answer = (): void => void response.end('{}')
        if (stalled) waiting.push(answer)
        else answer()
      })
    })
    const shape = { method: 'PUT', targets: [target], connections: 1, keys: 10, valueBytes: 8 } as const
    // Time enough at the end for what waits.
    const phases = [
      { perSecond: 100, seconds: 1 },
      { perSecond: 1, seconds: 2 },
    ]
    const generator = new Generator({ ...shape, phases })
    const running = generator.run()
    while (waiting.length === 0) {
      stalled = true
      await delay(1)
    }
    await delay(500)
    stalled = false
    for (const answer of waiting) answer()
    const { requests, errors, max, p90, unsent } = await running
    t.strictSame({ requests, errors, unsent }, { requests: 102, errors: 0, unsent: 0 }, 'all are sent, late')
    t.ok(max >= 480, `the first waited ${max} ms`)
    // One connection: a client that waited for each answer would have seen a single slow one among a hundred.
    t.ok(p90 >= 300, `one in ten waited ${p90} ms or more`)
  },
)

t.test('what is due while the generator itself stands still at its end is sent, late', async (t) => {
  const [, target] = await listen(t, (request, response) => {
    request.resume().on('end', () => response.end('{}'))
  })
  const shape = { method: 'PUT', targets: [target], connections: 4, keys: 10, valueBytes: 8 } as const
  const running = new Generator({ ...shape, phases: [{ perSecond: 100, seconds: 0.3 }] }).run()
  const begun = performance.now()
  await delay(200)
  // Far beyond the end, whenever the connections were there.
  while (performance.now() < begun + 2_000);
  const { requests, errors, unsent } = await running
  t.equal(requests + unsent, 30, 'nothing that was due is forgotten')
  t.equal(errors, 0)
})

t.test('a closed loop tells apart what is refused and what fails, and connects again', async (t) => {
  let count = 0
  const [, target] = await listen(t, (request, response) => {
    count += 1
    if (count % 10 === 0) return void request.socket.destroy()
    response.statusCode = count % 10 === 1 ? 429 : 200
    request.resume().on('end', () => response.end('{}'))
  })
  const generator = new Generator({
    method: 'GET',
    targets: [target],
    connections: 3,
    keys: 10,
    valueBytes: 8,
    seconds: 10,
  })
  const running = generator.run()
  while (count < 60) await delay(1)
  generator.stop()
  const { requests, refused, failed, errors } = await running
  t.ok(requests >= 60, `${requests} requests`)
  t.ok(refused >= 5 && failed >= 5, `${refused} refused, ${failed} failed`)
  t.equal(errors, refused + failed)
})

t.test('messages of etcd', async (t) => {
  const hex = (bytes: Buffer): string => bytes.toString('hex')
  t.equal(hex(rangeRequest('key')), `0000000005${'0a03'}6b6579`)
  t.equal(hex(putRequest('k', valueField(Buffer.from('vv')))), `0000000007${'0a01'}6b${'1202'}7676`)
  t.equal(etcdKey(7), 'key000007')
  const large = putRequest('k', valueField(Buffer.alloc(300)))
  t.equal(hex(large.subarray(0, 11)), `0000000132${'0a01'}6b${'12ac02'}`, 'a length of more than seven bits')
})

t.test('cores without disks and networks commit and agree', async (t) => {
  const cluster = new CoreCluster(3)
  t.ok(cluster.run(256, 1, 0.05) > 0)
  t.ok(cluster.run(256, 32, 0.05) > 0)
  cluster.check()
})

t.test('what is given replaces the options of the same name', async (t) => {
  const seen: object[] = []
  const bench: Bench<{ repeat: number }> = {
    sizes: { smoke: { repeat: 1 }, quick: { repeat: 2 }, normal: { repeat: 3 }, full: { repeat: 4 } },
    run: async (options) => {
      seen.push(options)
      return []
    },
  }
  await runnable(bench).run('full', {})
  await runnable(bench).run('smoke', { repeat: 9, keys: 5 })
  t.strictSame(seen, [{ repeat: 4 }, { repeat: 9 }])
})

t.test('a chart is an SVG of its own', async (t) => {
  const svg = await render({
    name: 'x',
    title: 'latency of everything',
    x: { title: 'percentile', scale: 'percentile' },
    y: { title: 'ms', scale: 'log' },
    lines: { one: [[50, 1], [99, 10], [99.9, 0]], other: [[50, 2], [99, NaN]] }, // prettier-ignore
  })
  t.match(svg, /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/)
  for (const text of ['latency of everything', 'percentile', 'one', 'other']) t.ok(svg.includes(text), text)
  t.notMatch(svg, /NaN/, 'what a logarithmic axis cannot show is left out')
})
