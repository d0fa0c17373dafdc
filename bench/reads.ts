import type { Bench } from './lib/bench.ts'
import type { Chart } from './lib/chart.ts'
import { withCluster, type BenchCluster } from './lib/cluster.ts'
import { fill } from './lib/fill.ts'
import type { Load } from './lib/load.ts'
import { figuresOf, measureLed, type Cost, type LoadFigures } from './lib/measured.ts'
import type { Figure } from './lib/report.ts'
import { runLoad } from './lib/run-load.ts'
import { summarize, type Point } from './lib/statistics.ts'

export interface ReadsOptions {
  readonly nodes: number
  readonly seconds: number
  readonly repeat: number
  readonly warmUpSeconds: number
  readonly connections: readonly number[]
  readonly keys: number
  readonly valueBytes: number
}

interface Kind {
  readonly name: string
  readonly method: Load['method']
  readonly query?: string
}

const kinds: readonly Kind[] = [
  { name: 'linearizable', method: 'GET' },
  { name: 'lease', method: 'GET', query: '?consistency=lease' },
  { name: 'bounded, 1 s', method: 'GET', query: '?consistency=stale&maxStaleness=1s' },
  { name: 'stale', method: 'GET', query: '?consistency=stale' },
  { name: '90% linearizable GET, 10% PUT', method: 'MIXED' },
]

/** Reads of existing keys by how fresh they must be, at the leader, at a follower and at all nodes. */
async function run(options: ReadsOptions): Promise<Figure[]> {
  const { nodes, keys, valueBytes, warmUpSeconds } = options
  return await withCluster({ nodes }, async (cluster) => {
    await fill(await cluster.leader(), keys, valueBytes)
    const young = { ...options, repeat: 1, connections: [64] }
    const cold = await measureKinds(cluster, kinds.slice(0, 1), young, 'cold')
    const targets = cluster.nodes.map(({ host }) => host)
    await runLoad({ method: 'MIXED', targets, connections: 64, seconds: warmUpSeconds, keys, valueBytes })
    return [...cold, ...(await measureKinds(cluster, kinds, options, 'warm'))]
  })
}

async function measureKinds(
  cluster: BenchCluster,
  some: readonly Kind[],
  options: ReadsOptions,
  process: 'cold' | 'warm',
): Promise<Figure[]> {
  const leader = await cluster.leader()
  const [follower] = cluster.nodes.filter(({ id }) => id !== leader.id)
  const places: Record<string, readonly string[]> = { leader: [leader.host] }
  // A process is cold only once.
  if (follower !== undefined && process === 'warm') {
    places['follower'] = [follower.host]
    places['all'] = cluster.nodes.map(({ host }) => host)
  }
  const figures: Figure[] = []
  const { repeat, keys, valueBytes, seconds } = options
  for (const connections of options.connections) {
    for (const { name, ...kind } of some) {
      for (const [at, targets] of Object.entries(places)) {
        const samples: (LoadFigures & Cost)[] = []
        let latency: readonly Point[] = []
        for (let n = 0; n < repeat; n++) {
          const load = { ...kind, targets, connections, seconds, keys, valueBytes }
          const { result, cost } = await measureLed(cluster, leader, () => runLoad(load))
          samples.push({ ...figuresOf(result), ...cost })
          latency = result.distribution
        }
        figures.push({
          bench: 'reads',
          settings: { read: name, at, process, connections, keys, valueBytes, runs: repeat },
          values: summarize(samples, 'requestsPerSecond'),
          curves: { latency },
        })
      }
    }
  }
  return figures
}

function charts(figures: readonly Figure[]): Chart[] {
  const warm = figures.filter(({ settings }) => settings['process'] === 'warm' && settings['connections'] === 64)
  return ['leader', 'follower'].map((place) => ({
    name: `reads-${place}`,
    title: `Latency of reads at the ${place}, 64 connections`,
    x: { title: 'percentile', scale: 'percentile' },
    y: { title: 'ms', scale: 'log' },
    lines: Object.fromEntries(
      warm
        .filter(({ settings }) => settings['at'] === place)
        .map(({ settings, curves }) => [String(settings['read']), curves?.['latency'] ?? []]),
    ),
  }))
}

const usual = { nodes: 3, seconds: 5, repeat: 3, warmUpSeconds: 10, keys: 100_000, valueBytes: 256 } as const

export const reads: Bench<ReadsOptions> = {
  sizes: {
    smoke: { ...usual, nodes: 1, seconds: 0.2, repeat: 1, warmUpSeconds: 0.2, connections: [4], keys: 100 },
    quick: { ...usual, seconds: 3, repeat: 1, warmUpSeconds: 5, connections: [64] },
    normal: { ...usual, connections: [1, 64] },
    full: { ...usual, seconds: 8, repeat: 5, warmUpSeconds: 20, connections: [1, 64, 256] },
  },
  run,
  charts,
}
