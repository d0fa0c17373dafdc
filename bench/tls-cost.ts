import { makeDevTls } from '../src/cli/dev-tls.ts'
import type { Bench } from './lib/bench.ts'
import { makeDirectory, removeDirectory } from './lib/children.ts'
import { withCluster, type BenchCluster } from './lib/cluster.ts'
import { figuresOf, measureLed, type Cost, type LoadFigures } from './lib/measured.ts'
import type { Figure } from './lib/report.ts'
import { closedLoopGenerator, runLoad } from './lib/run-load.ts'
import { summarize } from './lib/statistics.ts'
import { inTurns } from './lib/turns.ts'

export interface TlsCostOptions {
  readonly nodes: number
  /** Whole ones: only wrk speaks TLS. */
  readonly seconds: number
  readonly repeat: number
  readonly connections: number
  readonly valueBytes: number
}

const KEYS = 100_000

/** PUTs to the leader by connections that stand: a cluster without TLS, and one with TLS for clients and peers, in turn. */
async function run(options: TlsCostOptions): Promise<Figure[]> {
  if (closedLoopGenerator() !== 'wrk') {
    process.stderr.write('tls-cost: left out, it needs wrk (Debian: apt-get install wrk)\n')
    return []
  }
  const directory = makeDirectory()
  try {
    const { flags } = await makeDevTls(directory)
    const { nodes } = options
    return await withCluster({ nodes }, (plain) =>
      withCluster({ nodes, flags }, (secure) => compare({ none: plain, 'clients and peers': secure }, options)),
    )
  } finally {
    removeDirectory(directory)
  }
}

async function compare(
  clusters: Readonly<Record<string, BenchCluster>>,
  { seconds, repeat, connections, valueBytes }: TlsCostOptions,
): Promise<Figure[]> {
  const entries = Object.entries(clusters)
  const runs = await inTurns(entries, repeat + 1, async ([, cluster]): Promise<LoadFigures & Cost> => {
    const leader = await cluster.leader()
    const shape = { method: 'PUT', targets: [leader.host], connections, keys: KEYS, valueBytes, seconds } as const
    const load = { ...shape, secure: leader.api.startsWith('https:') }
    const { result, cost } = await measureLed(cluster, leader, () => runLoad(load))
    return { ...figuresOf(result), ...cost }
  })
  return entries.map(([tls], at) => ({
    bench: 'tls-cost',
    settings: { tls, connections, valueBytes, runs: repeat },
    // The first run warms up.
    values: summarize(runs[at]?.slice(1) ?? [], 'requestsPerSecond'),
  }))
}

const usual = { nodes: 3, seconds: 5, repeat: 5, connections: 64, valueBytes: 256 } as const

export const tlsCost: Bench<TlsCostOptions> = {
  sizes: {
    smoke: { ...usual, nodes: 1, seconds: 1, repeat: 1, connections: 4 },
    quick: { ...usual, seconds: 3, repeat: 2 },
    normal: usual,
    full: { ...usual, seconds: 8, repeat: 7 },
  },
  run,
}
