import { setTimeout as delay } from 'node:timers/promises'
import type { BenchCluster } from './cluster.ts'
import { committedAt } from './conditions.ts'
import type { Load } from './load.ts'
import { figuresOf, measureLed, type Cost, type LoadFigures } from './measured.ts'
import { runLoad } from './run-load.ts'
import { mean, type Point } from './statistics.ts'

const SAMPLE_MS = 500

/** Writes of a cluster's first seconds. */
export interface Youth {
  /** Of the first half; `thirdSecondOn`: the mean rate from the third second to the end. */
  readonly values: LoadFigures & Cost & { readonly thirdSecondOn: number }
  /** Commits for each second, by the time since the first request. */
  readonly rates: readonly Point[]
}

/**
 * Loads a cluster whose processes have just started, for twice `load.seconds`. Latencies are those of the first half; rates come from
 * the commit index: one entry is one write.
 */
export async function measureYouth(cluster: BenchCluster, load: Load): Promise<Youth> {
  const leader = await cluster.leader()
  const rates: Point[] = []
  let running = true
  const begun = performance.now()
  const follow = async (): Promise<void> => {
    let at = begun
    let index = await committedAt(leader)
    while (running) {
      await delay(SAMPLE_MS)
      const next = await committedAt(leader)
      const now = performance.now()
      rates.push([(at + now) / 2 - begun, ((next - index) * 1000) / (now - at)])
      index = next
      at = now
    }
  }
  const following = follow()
  try {
    const { result, cost } = await measureLed(cluster, leader, () => runLoad(load))
    await runLoad(load)
    const between = (from: number, to: number): number =>
      mean(rates.filter(([ms]) => ms >= from * 1000 && ms < to * 1000).map(([, rate]) => rate))
    const values = { ...figuresOf(result), ...cost, thirdSecondOn: between(2, 2 * load.seconds) }
    return { values, rates: rates.map(([ms, rate]): Point => [ms / 1000, rate]) }
  } finally {
    running = false
    await following
  }
}
