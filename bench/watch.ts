import { setTimeout as delay } from 'node:timers/promises'
import type { Bench } from './lib/bench.ts'
import { withCluster, type BenchCluster, type BenchNode } from './lib/cluster.ts'
import { metric, statusOf } from './lib/conditions.ts'
import { measureLed } from './lib/measured.ts'
import type { Figure } from './lib/report.ts'
import { runLoad, runOpenLoad } from './lib/run-load.ts'
import { median } from './lib/statistics.ts'
import { memoryOver, residentMB, watchUsage } from './lib/usage.ts'
import { inTurns } from './lib/turns.ts'
import { Watchers } from './lib/watchers.ts'

export interface WatchOptions {
  readonly nodes: number
  readonly seconds: number
  /** How often the load runs without and with watchers, in turns. */
  readonly repeat: number
  /** Watchers beside the writers, none of whose keys is written. */
  readonly watchers: number
  /** Watchers of which each is told of every change. */
  readonly fanOut: readonly number[]
  /** Events for each second that they are told in all; fewer writes for more watchers. */
  readonly eventsPerSecond: number
  /** Watchers at one time on one node. */
  readonly most: number
  /** How long the memory is watched beside writers, in seconds, and how many writes come in each of them. */
  readonly memorySeconds: number
  readonly memoryPuts: number
}

const PUTS_MAX = 2_000
const SETTLE_MS = 1_000
const SHAPE = { keys: 100_000, valueBytes: 256 } as const

/** What watches cost: writers that match none of them, changes that many want, and the most that a node serves. */
async function run(options: WatchOptions): Promise<Figure[]> {
  return await withCluster(options, async (cluster) => {
    const leader = await cluster.leader()
    const cold = await load(leader, options.seconds)
    const figures = [await beside(cluster, leader, options, cold), await memory(leader, options)]
    for (const count of options.fanOut) figures.push(await fanOut(cluster, leader, count, options))
    figures.push(await most(leader, options))
    return figures
  })
}

async function load({ host }: BenchNode, seconds: number): Promise<number> {
  return (await runLoad({ method: 'PUT', targets: [host], connections: 64, seconds, ...SHAPE })).requestsPerSecond
}

async function beside(
  cluster: BenchCluster,
  leader: BenchNode,
  { seconds, repeat, watchers: count }: WatchOptions,
  cold: number,
): Promise<Figure> {
  const shape = { method: 'PUT', targets: [leader.host], connections: 64, seconds, ...SHAPE } as const
  const [without = [], within = []] = await inTurns([0, count], repeat, async (some) => {
    const watchers = new Watchers(leader)
    await watchers.open(some, (at) => (at % 2 === 0 ? `key=other-${at}` : `prefix=other-${at}/`))
    const { result, cost } = await measureLed(cluster, leader, () => runLoad(shape))
    await watchers.close()
    return { rate: result.requestsPerSecond, cpuUs: cost.leaderCpuUs }
  })
  const lost = within.map(({ rate }, at) => 100 * (1 - rate / (without[at]?.rate ?? rate)))
  const values = {
    coldPutsPerSecond: cold,
    without: median(without.map(({ rate }) => rate)),
    with: median(within.map(({ rate }) => rate)),
    lostPercent: median(lost),
    leaderCpuUsWithout: median(without.map(({ cpuUs }) => cpuUs)),
    leaderCpuUsWith: median(within.map(({ cpuUs }) => cpuUs)),
    rssMB: residentMB(leader.pid),
  }
  return { bench: 'watch', settings: { what: 'PUT/s beside', watchers: count, runs: repeat }, values }
}

/** Whether the leader takes more and more memory while it compares what is written with what is watched. */
async function memory(leader: BenchNode, options: WatchOptions): Promise<Figure> {
  const { watchers: count, memorySeconds: seconds, memoryPuts: perSecond } = options
  const watchers = new Watchers(leader)
  await watchers.open(count, (at) => `prefix=other-${at}/`)
  const usage = watchUsage(leader.pid)
  const { requestsPerSecond, errors } = await runOpenLoad({
    method: 'PUT',
    targets: [leader.host],
    connections: 64,
    phases: [{ perSecond, seconds }],
    ...SHAPE,
  })
  const values = { putsPerSecond: requestsPerSecond, errors, ...memoryOver(usage.stop()) }
  await watchers.close()
  return { bench: 'watch', settings: { what: 'memory beside', watchers: count, rate: perSecond, seconds }, values }
}

/** The work is the same for each number of watchers: as many events in all. */
async function fanOut(
  cluster: BenchCluster,
  leader: BenchNode,
  count: number,
  { seconds, eventsPerSecond }: WatchOptions,
): Promise<Figure> {
  const watchers = new Watchers(leader)
  await watchers.open(count, () => 'prefix=key-')
  const perSecond = Math.min(PUTS_MAX, eventsPerSecond / count)
  const shape = {
    method: 'PUT',
    targets: [leader.host],
    connections: 64,
    phases: [{ perSecond, seconds }],
    ...SHAPE,
  } as const
  const [events, bytes] = [watchers.events, watchers.bytes]
  const { result, cost } = await measureLed(cluster, leader, () => runOpenLoad(shape))
  await delay(SETTLE_MS)
  const told = watchers.events - events
  const values = {
    putsPerSecond: result.requestsPerSecond,
    p50: result.p50,
    p99: result.p99,
    eventsPerSecond: told / seconds,
    missed: (result.requests - result.errors) * count - told,
    MBPerSecond: (watchers.bytes - bytes) / seconds / 1e6,
    leaderCpuUsPerEvent: (cost.leaderCpuUs * result.requests) / Math.max(1, told),
    fallenBehind: await metric(leader, 'quorate_watchers_fallen_behind_total'),
    rssMB: residentMB(leader.pid),
  }
  await watchers.close()
  return { bench: 'watch', settings: { what: 'told of every change', watchers: count, rate: perSecond }, values }
}

async function most(leader: BenchNode, { most: count, seconds }: WatchOptions): Promise<Figure> {
  const rssBeforeMB = residentMB(leader.pid)
  const watchers = new Watchers(leader)
  const begun = performance.now()
  await watchers.open(count, (n) => `key=many-${n}`)
  const openSeconds = (performance.now() - begun) / 1000
  await delay(SETTLE_MS)
  const rssOpenMB = residentMB(leader.pid)
  const putsPerSecond = await load(leader, seconds)
  const values = {
    openSeconds,
    rssBeforeMB,
    rssOpenMB,
    putsPerSecond,
    rssMB: residentMB(leader.pid),
    term: (await statusOf(leader)).term,
  }
  await watchers.close()
  return { bench: 'watch', settings: { what: 'as many as a node serves', watchers: count }, values }
}

const usual = {
  nodes: 3,
  seconds: 5,
  watchers: 1_000,
  fanOut: [1, 100, 1_000],
  eventsPerSecond: 20_000,
  memoryPuts: 5_000,
} as const

export const watch: Bench<WatchOptions> = {
  sizes: {
    smoke: {
      nodes: 1,
      seconds: 0.2,
      repeat: 1,
      watchers: 10,
      fanOut: [5],
      eventsPerSecond: 500,
      most: 20,
      memoryPuts: 50,
      memorySeconds: 0.5,
    },
    quick: { ...usual, seconds: 3, repeat: 2, most: 1_000, memorySeconds: 10 },
    normal: { ...usual, repeat: 4, most: 10_000, memorySeconds: 60 },
    full: { ...usual, seconds: 8, repeat: 8, most: 10_000, memorySeconds: 240 },
  },
  run,
}
