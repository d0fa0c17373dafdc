import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeDevTls } from '../src/cli/dev-tls.ts'
import { startCluster, type BenchCluster } from './lib/cluster.ts'
import { cpuSeconds } from './lib/cpu.ts'
import { summarize, type Figure } from './lib/report.ts'
import { hasWrk, runLoad } from './lib/wrk.ts'

export interface TlsCostOptions {
  readonly seconds: number
  readonly repeat: number
  readonly valueBytes: number
}

export const tlsCostDefaults: TlsCostOptions = { seconds: 5, repeat: 5, valueBytes: 256 }

const KEYS = 100_000
const CONNECTIONS = 64

/** PUTs to the leader by connections that stand: a cluster without TLS, and one with TLS for clients and peers, in turn. */
export async function tlsCost({ seconds, repeat, valueBytes }: TlsCostOptions = tlsCostDefaults): Promise<Figure[]> {
  if (!hasWrk()) throw new Error('the load generator wrk is missing (Debian: apt-get install wrk)')
  const directory = mkdtempSync(join(tmpdir(), 'quorate-bench-tls-'))
  const clusters: Record<string, BenchCluster> = {}
  try {
    const { flags } = await makeDevTls(directory)
    clusters['none'] = await startCluster()
    clusters['clients and peers'] = await startCluster({ flags })
    const runs: Record<string, Record<'putsPerSecond' | 'p50' | 'p99' | 'cpuMicrosPerPut', number>[]> = {}
    for (let run = 0; run <= repeat; run++) {
      for (const [name, cluster] of Object.entries(clusters)) {
        const { protocol, host } = new URL((await cluster.leader()).api)
        const shape = {
          method: 'PUT',
          targets: [host],
          connections: CONNECTIONS,
          keys: KEYS,
          valueBytes,
          seconds,
        } as const
        const before = cpuSeconds(cluster.nodes)
        const {
          requestsPerSecond: putsPerSecond,
          p50,
          p99,
        } = await runLoad({ ...shape, secure: protocol === 'https:' })
        const cpu = cpuSeconds(cluster.nodes) - before
        // The first run warms up.
        if (run === 0) continue
        ;(runs[name] ??= []).push({ putsPerSecond, p50, p99, cpuMicrosPerPut: (cpu * 1e6) / (putsPerSecond * seconds) })
      }
    }
    return Object.entries(runs).map(([tls, results]) => ({
      bench: 'tls-cost',
      settings: { tls, connections: CONNECTIONS, valueBytes, runs: repeat },
      values: summarize(results, 'putsPerSecond'),
    }))
  } finally {
    for (const cluster of Object.values(clusters)) await cluster.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}
