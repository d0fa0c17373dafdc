import type { Bench } from './lib/bench.ts'
import type { Chart } from './lib/chart.ts'
import { withCluster, type BenchCluster } from './lib/cluster.ts'
import type { Second } from './lib/load.ts'
import { measureLed } from './lib/measured.ts'
import type { Figure } from './lib/report.ts'
import { runLoad, runOpenLoad } from './lib/run-load.ts'
import type { SlowDisk } from './lib/slow-disk.ts'
import { mean, type Point } from './lib/statistics.ts'
import { keepUp } from './lib/upkeep.ts'

export interface OverloadOptions {
  readonly nodes: number
  readonly warmUpSeconds: number
  readonly peakSeconds: number
  /** Of each of the three parts: half the peak, `times` the peak, half the peak again. */
  readonly seconds: number
  readonly times: number
  /** More than the node can answer in the time that it lets writes wait. */
  readonly connections: number
  /** Requests in flight on one connection. More than one wait for each other there, however little the node has to do. */
  readonly depth: number
  readonly keys: number
  readonly valueBytes: number
}

const PEAK_CONNECTIONS = 256
const CALM = 0.5
const GOOD = 0.95
/** A disk whose writes take a few milliseconds, and which takes few bytes a second: it is the disk that limits. */
const SLOW_DISK: SlowDisk = { syncMs: 5, bytesPerMs: 600 }

/** An open loop far above what the cluster can do: what it still does, how early it refuses the rest, and how soon it is well again. */
async function run(options: OverloadOptions): Promise<Figure[]> {
  const { nodes } = options
  return [
    await withCluster({ nodes }, (cluster) => measure(cluster, 'usual', options)),
    await withCluster({ nodes, slowDisk: SLOW_DISK }, (cluster) => measure(cluster, 'slow', options)),
  ]
}

async function measure(cluster: BenchCluster, disk: string, options: OverloadOptions): Promise<Figure> {
  const leader = await cluster.leader()
  const { keys, valueBytes, seconds, times, connections, depth } = options
  const shape = { method: 'PUT', targets: [leader.host], keys, valueBytes } as const
  const closed = { ...shape, connections: Math.min(PEAK_CONNECTIONS, connections) }
  await runLoad({ ...closed, seconds: options.warmUpSeconds })
  const { requestsPerSecond: peak } = await runLoad({ ...closed, seconds: options.peakSeconds })
  const calm = { perSecond: peak * CALM, seconds }
  const phases = [calm, { perSecond: peak * times, seconds }, calm]
  const endUpkeep = await keepUp(leader)
  const loop = leader.watchEventLoop()
  const { result, cost } = await measureLed(cluster, leader, () =>
    runOpenLoad({ ...shape, connections, depth, phases }),
  )
  const upkeep = await endUpkeep()
  const late = await loop.end()
  const part = (n: number): readonly Second[] => result.seconds.slice(n * seconds, (n + 1) * seconds)
  const rate = (some: readonly Second[], of: (second: Second) => number): number => mean(some.map(of))
  const goodput = rate(part(1), ({ ok }) => ok)
  const recovered = part(2).findIndex(
    ({ ok, failed, refused }) => ok >= GOOD * calm.perSecond && failed + refused === 0,
  )
  const values = {
    peak,
    offered: peak * times,
    goodput,
    goodputPercent: (100 * goodput) / peak,
    refusedPerSecond: rate(part(1), ({ refused }) => refused),
    refusedP99Ms: result.refusedP99,
    okP50Ms: rate(part(1), ({ p50 }) => p50),
    okP99Ms: Math.max(0, ...part(1).map(({ p99 }) => p99)),
    failed: result.failed,
    unsent: result.unsent,
    recoveredAfterSeconds: recovered < 0 ? NaN : recovered,
    calmP99Ms: rate(part(0), ({ p99 }) => p99),
    recoveredP99Ms: result.seconds.at(-1)?.p99 ?? NaN,
    ...upkeep,
    leaderLateP99Ms: late.p99Ms,
    leaderLateMaxMs: late.maxMs,
    ...cost,
    generatorCpuUs: result.generatorCpuUs,
  }
  const curve = (of: (second: Second) => number): Point[] => result.seconds.map((second, n) => [n, of(second)])
  return {
    bench: 'overload',
    settings: { disk, times, connections, depth, keys, valueBytes, seconds },
    values,
    curves: {
      'answered 2xx': curve(({ ok }) => ok),
      'refused 429': curve(({ refused }) => refused),
      failed: curve(({ failed }) => failed),
      p99: curve(({ p99 }) => p99),
    },
  }
}

function charts(figures: readonly Figure[]): Chart[] {
  return figures.flatMap((figure) => chartsOf(figure))
}

function chartsOf({ settings, curves = {} }: Figure): Chart[] {
  const { p99 = [], ...rates } = curves
  const x = { title: 'seconds' }
  const [suffix, where] = settings['disk'] === 'slow' ? ['-slow-disk', ', on a slow disk'] : ['', '']
  return [
    {
      name: `overload-rates${suffix}`,
      title: `Answers while more is asked than can be done${where}`,
      x,
      y: { title: 'answers/s' },
      lines: rates,
    },
    {
      name: `overload-p99${suffix}`,
      title: `Latency of what is done meanwhile${where}`,
      x,
      y: { title: 'p99, ms', scale: 'log' },
      lines: { p99 },
    },
  ]
}

const usual = {
  nodes: 3,
  warmUpSeconds: 10,
  peakSeconds: 5,
  seconds: 10,
  times: 3,
  keys: 100_000,
  valueBytes: 256,
} as const

export const overload: Bench<OverloadOptions> = {
  sizes: {
    smoke: {
      ...usual,
      nodes: 1,
      warmUpSeconds: 0.2,
      peakSeconds: 0.2,
      seconds: 1,
      times: 2,
      connections: 32,
      depth: 4,
    },
    quick: { ...usual, warmUpSeconds: 5, peakSeconds: 3, seconds: 5, connections: 8_192, depth: 1 },
    normal: { ...usual, connections: 8_192, depth: 1 },
    full: { ...usual, warmUpSeconds: 20, seconds: 30, connections: 8_192, depth: 1 },
  },
  run,
  charts,
}
