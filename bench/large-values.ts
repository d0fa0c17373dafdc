import type { Bench } from './lib/bench.ts'
import { withCluster, type BenchCluster } from './lib/cluster.ts'
import { figuresOf, measureLed, type Cost, type LoadFigures } from './lib/measured.ts'
import type { Figure } from './lib/report.ts'
import { runLoad, runOpenLoad } from './lib/run-load.ts'
import { summarize } from './lib/statistics.ts'

export interface LargeValuesOptions {
  readonly nodes: number
  readonly seconds: number
  readonly repeat: number
  readonly warmUpSeconds: number
  /** Writes of 256 B for each second. */
  readonly smallPerSecond: number
  /** Writes of `valueBytes` for each second beside them; 0: none. */
  readonly largePerSecond: readonly number[]
  readonly valueBytes: number
}

const SMALL = { keys: 100_000, valueBytes: 256 } as const
const LARGE_KEYS = 100

/** What large values beside them do to the latency of small writes, both at fixed rates. */
async function run(options: LargeValuesOptions): Promise<Figure[]> {
  const { seconds, repeat, warmUpSeconds, largePerSecond, smallPerSecond, valueBytes } = options
  return await withCluster(options, async (cluster) => {
    const leader = await cluster.leader()
    await runLoad({ method: 'PUT', targets: [leader.host], connections: 64, seconds: warmUpSeconds, ...SMALL })
    const runs = new Map<number, (LoadFigures & Cost)[]>(largePerSecond.map((rate) => [rate, []]))
    for (let n = 0; n < repeat; n++) {
      for (const [rate, samples] of runs)
        samples.push(await measure(cluster, rate, { smallPerSecond, valueBytes, seconds }))
    }
    return [...runs].map(([rate, samples]) => ({
      bench: 'large-values',
      settings: { smallPerSecond, largePerSecond: rate, valueBytes, runs: repeat },
      values: summarize(samples, 'p99'),
    }))
  })
}

async function measure(
  cluster: BenchCluster,
  largePerSecond: number,
  { smallPerSecond, valueBytes, seconds }: Pick<LargeValuesOptions, 'smallPerSecond' | 'valueBytes' | 'seconds'>,
): Promise<LoadFigures & Cost & { largeP99: number; largeRate: number }> {
  const leader = await cluster.leader()
  const shape = { method: 'PUT', targets: [leader.host] } as const
  const small = { ...shape, connections: 64, ...SMALL, phases: [{ perSecond: smallPerSecond, seconds }] }
  const large = {
    ...shape,
    connections: 16,
    keys: LARGE_KEYS,
    valueBytes,
    phases: [{ perSecond: largePerSecond, seconds }],
  }
  const { result, cost } = await measureLed(cluster, leader, async () => {
    const [ofSmall, ofLarge] = await Promise.all([runOpenLoad(small), largePerSecond > 0 ? runOpenLoad(large) : null])
    return { ...ofSmall, largeP99: ofLarge?.p99 ?? 0, largeRate: ofLarge?.requestsPerSecond ?? 0 }
  })
  return { ...figuresOf(result), ...cost, largeP99: result.largeP99, largeRate: result.largeRate }
}

const usual = {
  nodes: 3,
  seconds: 10,
  warmUpSeconds: 10,
  smallPerSecond: 500,
  largePerSecond: [0, 1, 10, 40],
} as const
const MiB = 1024 * 1024

export const largeValues: Bench<LargeValuesOptions> = {
  sizes: {
    smoke: {
      nodes: 1,
      seconds: 0.2,
      repeat: 1,
      warmUpSeconds: 0.2,
      smallPerSecond: 100,
      largePerSecond: [10],
      valueBytes: 65_536,
    },
    quick: { ...usual, seconds: 5, repeat: 1, warmUpSeconds: 5, largePerSecond: [0, 10], valueBytes: MiB },
    normal: { ...usual, repeat: 2, valueBytes: MiB },
    full: { ...usual, seconds: 20, repeat: 5, valueBytes: MiB },
  },
  run,
}
