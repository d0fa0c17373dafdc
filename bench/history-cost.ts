import type { RetentionBody } from '../src/api/history.ts'
import type { Bench } from './lib/bench.ts'
import { eventually, withCluster, type BenchCluster, type BenchNode } from './lib/cluster.ts'
import { metric } from './lib/conditions.ts'
import { figuresOf, measureLed, type Cost, type LoadFigures } from './lib/measured.ts'
import type { Figure } from './lib/report.ts'
import { getJson, sendJson } from './lib/rest.ts'
import { runLoad } from './lib/run-load.ts'
import { summarize } from './lib/statistics.ts'
import { inTurns } from './lib/turns.ts'

export interface HistoryCostOptions {
  readonly nodes: number
  readonly seconds: number
  readonly repeat: number
  readonly warmUpSeconds: number
  /** How often the size is read while the same keys are overwritten. */
  readonly parts: number
  readonly keys: number
  readonly valueBytes: number
}

const KEPT: RetentionBody = { revisions: 1_000_000, ageMs: 24 * 3_600_000, bytes: 1024 ** 3 }

/** `bounded`: as much as is written is removed at the same time. */
const RETENTIONS: Readonly<Record<string, RetentionBody>> = {
  off: { ...KEPT, revisions: 0 },
  on: KEPT,
  bounded: { ...KEPT, revisions: 20_000 },
}

async function settle(leader: BenchNode, retention: RetentionBody): Promise<void> {
  await sendJson('PUT', `${leader.api}/compaction`, { ...retention })
  const most = retention.revisions * (1 + 1 / 16) + 1
  await eventually(
    'what is too much has gone',
    async () => {
      const { changes } = await getJson(`${leader.api}/compaction`)
      return typeof changes === 'number' && changes <= most ? true : null
    },
    120_000,
  )
}

async function sizes(cluster: BenchCluster): Promise<{ changes: number; historyMiB: number; stateMiB: number }> {
  const leader = await cluster.leader()
  const MiB = 1024 ** 2
  return {
    changes: await metric(leader, 'quorate_history_changes'),
    historyMiB: (await metric(leader, 'quorate_history_bytes')) / MiB,
    stateMiB: (await metric(leader, 'quorate_state_size_bytes')) / MiB,
  }
}

/** PUTs to the leader by 64 connections, with history off, on, and kept at a bound that is reached; then the size under overwrites. */
async function run(options: HistoryCostOptions): Promise<Figure[]> {
  const { seconds, repeat, keys, valueBytes, warmUpSeconds, parts } = options
  return await withCluster(options, async (cluster) => {
    const leader = await cluster.leader()
    const load = { method: 'PUT', targets: [leader.host], connections: 64, seconds, keys, valueBytes } as const
    await runLoad({ ...load, seconds: warmUpSeconds })
    const histories = Object.entries(RETENTIONS)
    const runs = await inTurns(histories, repeat, async ([name, retention]): Promise<LoadFigures & Cost> => {
      await settle(leader, retention)
      if (name === 'bounded') await runLoad({ ...load, seconds: Math.min(3, seconds) })
      const { result, cost } = await measureLed(cluster, leader, () => runLoad(load))
      return { ...figuresOf(result), ...cost }
    })
    const figures: Figure[] = histories.map(([history], at) => ({
      bench: 'history-cost',
      settings: { history, connections: 64, valueBytes, runs: repeat },
      values: summarize(runs[at] ?? [], 'requestsPerSecond'),
    }))
    await settle(leader, { ...KEPT, revisions: 20_000 })
    for (let part = 1; part <= parts; part++) {
      await runLoad({ ...load, keys: 1_000 })
      figures.push({
        bench: 'history-size',
        settings: { history: '20,000 changes', keysOverwritten: 1_000, valueBytes, afterSeconds: part * seconds },
        values: await sizes(cluster),
      })
    }
    return figures
  })
}

const usual = { nodes: 3, seconds: 5, warmUpSeconds: 10, parts: 6, keys: 100_000, valueBytes: 256 } as const

export const historyCost: Bench<HistoryCostOptions> = {
  sizes: {
    smoke: { ...usual, nodes: 1, seconds: 0.2, warmUpSeconds: 0.2, repeat: 1, parts: 1, keys: 100 },
    quick: { ...usual, seconds: 3, repeat: 1 },
    normal: { ...usual, repeat: 3 },
    full: { ...usual, repeat: 7 },
  },
  run,
}
