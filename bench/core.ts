import type { Bench } from './lib/bench.ts'
import { CoreCluster } from './lib/core-cluster.ts'
import type { Figure } from './lib/report.ts'
import { summarize } from './lib/statistics.ts'

export interface CoreOptions {
  readonly seconds: number
  readonly repeat: number
  readonly inFlight: number
  /** Entries of one proposal. A node hands over together what arrives in one turn of its event loop. */
  readonly batches: readonly number[]
}

const COLD_SECONDS = 1

/** Three cores in this process, with memory for disks and function calls for a network, and always `inFlight` entries under way. */
async function run({ seconds, repeat, inFlight, batches }: CoreOptions): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const entries of batches) {
    const runs: Record<'committedPerSecond' | 'firstSecond', number>[] = []
    for (let n = 0; n < repeat; n++) {
      const cluster = new CoreCluster(3)
      const cold = cluster.run(inFlight, entries, Math.min(seconds, COLD_SECONDS))
      runs.push({ committedPerSecond: cluster.run(inFlight, entries, seconds), firstSecond: cold })
      cluster.check()
    }
    figures.push({
      bench: 'core',
      settings: { nodes: 3, inFlight, entriesEach: entries, runs: repeat },
      values: summarize(runs, 'committedPerSecond'),
    })
  }
  return figures
}

export const core: Bench<CoreOptions> = {
  sizes: {
    smoke: { seconds: 0.1, repeat: 1, inFlight: 256, batches: [1, 32] },
    quick: { seconds: 2, repeat: 1, inFlight: 256, batches: [1, 32] },
    normal: { seconds: 5, repeat: 3, inFlight: 256, batches: [1, 32, 256] },
    full: { seconds: 10, repeat: 5, inFlight: 256, batches: [1, 32, 256] },
  },
  run,
}
