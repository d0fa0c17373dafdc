import type { Bench } from './lib/bench.ts'
import type { Chart } from './lib/chart.ts'
import { withCluster } from './lib/cluster.ts'
import type { Second } from './lib/load.ts'
import { measureCost, rolesOf } from './lib/measured.ts'
import type { Figure } from './lib/report.ts'
import { runLoad, runOpenLoad } from './lib/run-load.ts'
import { mean, type Point } from './lib/statistics.ts'

export interface OverloadOptions {
  readonly nodes: number
  readonly warmUpSeconds: number
  readonly peakSeconds: number
  /** Of each of the three parts: half the peak, `times` the peak, half the peak again. */
  readonly seconds: number
  readonly times: number
  readonly connections: number
  /** Requests in flight on one connection. */
  readonly depth: number
  readonly keys: number
  readonly valueBytes: number
}

const PEAK_CONNECTIONS = 256
const CALM = 0.5
const GOOD = 0.95

/** An open loop far above what the cluster can do: what it still does, how early it refuses the rest, and how soon it is well again. */
async function run(options: OverloadOptions): Promise<Figure[]> {
  return await withCluster(options, async (cluster) => {
    const leader = await cluster.leader()
    const { keys, valueBytes, seconds, times, connections, depth } = options
    const shape = { method: 'PUT', targets: [leader.host], keys, valueBytes } as const
    const closed = { ...shape, connections: Math.min(PEAK_CONNECTIONS, connections) }
    await runLoad({ ...closed, seconds: options.warmUpSeconds })
    const { requestsPerSecond: peak } = await runLoad({ ...closed, seconds: options.peakSeconds })
    const calm = { perSecond: peak * CALM, seconds }
    const phases = [calm, { perSecond: peak * times, seconds }, calm]
    const { result, cost } = await measureCost(await rolesOf(cluster), () =>
      runOpenLoad({ ...shape, connections, depth, phases }),
    )
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
      okP99Ms: Math.max(0, ...part(1).map(({ p99 }) => p99)),
      failed: result.failed,
      unsent: result.unsent,
      recoveredAfterSeconds: recovered < 0 ? NaN : recovered,
      calmP99Ms: rate(part(0), ({ p99 }) => p99),
      recoveredP99Ms: result.seconds.at(-1)?.p99 ?? NaN,
      ...cost,
      generatorCpuUs: result.generatorCpuUs,
    }
    const curve = (of: (second: Second) => number): Point[] => result.seconds.map((second, n) => [n, of(second)])
    return [
      {
        bench: 'overload',
        settings: { times, connections, depth, keys, valueBytes, seconds },
        values,
        curves: {
          'answered 2xx': curve(({ ok }) => ok),
          'refused 429': curve(({ refused }) => refused),
          failed: curve(({ failed }) => failed),
          p99: curve(({ p99 }) => p99),
        },
      },
    ]
  })
}

function charts(figures: readonly Figure[]): Chart[] {
  const { p99 = [], ...rates } = figures[0]?.curves ?? {}
  const x = { title: 'seconds' }
  return [
    {
      name: 'overload-rates',
      title: 'Answers while more is asked than can be done',
      x,
      y: { title: 'answers/s' },
      lines: rates,
    },
    {
      name: 'overload-p99',
      title: 'Latency of what is done meanwhile',
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
    quick: { ...usual, warmUpSeconds: 5, peakSeconds: 3, seconds: 5, connections: 1_024, depth: 128 },
    normal: { ...usual, connections: 1_024, depth: 128 },
    full: { ...usual, warmUpSeconds: 20, seconds: 30, connections: 1_024, depth: 128 },
  },
  run,
  charts,
}
