import type { RetentionBody } from '../src/api/history.ts'
import { eventually, startCluster, type BenchCluster, type BenchNode } from './lib/cluster.ts'
import { cpuSeconds } from './lib/cpu.ts'
import { summarize, type Figure } from './lib/report.ts'
import { getJson, sendJson } from './lib/rest.ts'
import { hasWrk, runLoad } from './lib/wrk.ts'

export interface HistoryCostOptions {
  readonly seconds: number
  readonly repeat: number
  readonly keys: number
  readonly valueBytes: number
}

export const historyCostDefaults: HistoryCostOptions = { seconds: 5, repeat: 5, keys: 100_000, valueBytes: 256 }

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
  const text = await (await fetch(`${leader.api}/metrics`)).text()
  const read = (name: string): number => Number(new RegExp(`^quorate_${name} (.*)$`, 'm').exec(text)?.[1])
  const MiB = 1024 ** 2
  return {
    changes: read('history_changes'),
    historyMiB: read('history_bytes') / MiB,
    stateMiB: read('state_size_bytes') / MiB,
  }
}

/** PUTs to the leader by 64 connections, with history off, on, and kept at a bound that is reached; then the size under overwrites. */
export async function historyCost(options: HistoryCostOptions = historyCostDefaults): Promise<Figure[]> {
  if (!hasWrk()) throw new Error('the load generator wrk is missing (Debian: apt-get install wrk)')
  const { seconds, repeat, keys, valueBytes } = options
  const cluster = await startCluster()
  try {
    const leader = await cluster.leader()
    const targets = [leader.api.slice('http://'.length)]
    const load = { method: 'PUT', targets, connections: 64, seconds, keys, valueBytes } as const
    await runLoad({ ...load, seconds: Math.max(10, seconds) })
    const runs: Record<string, Record<'putsPerSecond' | 'p50' | 'p99' | 'cpuMicrosPerPut', number>[]> = {}
    for (let run = 0; run < repeat; run++) {
      for (const [name, retention] of Object.entries(RETENTIONS)) {
        await settle(leader, retention)
        if (name === 'bounded') await runLoad({ ...load, seconds: 3 })
        const cpuBefore = cpuSeconds(cluster.nodes)
        const { requestsPerSecond: putsPerSecond, p50, p99 } = await runLoad(load)
        const cpu = cpuSeconds(cluster.nodes) - cpuBefore
        const cpuMicrosPerPut = (cpu * 1e6) / (putsPerSecond * seconds)
        ;(runs[name] ??= []).push({ putsPerSecond, p50, p99, cpuMicrosPerPut })
      }
    }
    const figures: Figure[] = Object.entries(runs).map(([history, results]) => ({
      bench: 'history-cost',
      settings: { history, connections: 64, valueBytes, runs: repeat },
      values: summarize(results, 'putsPerSecond'),
    }))
    await settle(leader, { ...KEPT, revisions: 20_000 })
    for (let part = 1; part <= 6; part++) {
      await runLoad({ ...load, keys: 1_000 })
      figures.push({
        bench: 'history-size',
        settings: { history: '20,000 changes', keysOverwritten: 1_000, valueBytes, afterSeconds: part * seconds },
        values: await sizes(cluster),
      })
    }
    return figures
  } finally {
    await cluster.stop()
  }
}
