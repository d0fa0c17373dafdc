import type { Bench } from './lib/bench.ts'
import type { Axis, Chart } from './lib/chart.ts'
import { withCluster, type BenchCluster } from './lib/cluster.ts'
import { fill } from './lib/fill.ts'
import type { Load } from './lib/load.ts'
import { figuresOf, measureLed } from './lib/measured.ts'
import type { Figure } from './lib/report.ts'
import { runLoad } from './lib/run-load.ts'
import type { Point } from './lib/statistics.ts'

export interface GrowthOptions {
  readonly seconds: number
  readonly warmUpSeconds: number
  readonly keyCounts: readonly number[]
  readonly nodeCounts: readonly number[]
  readonly connectionCounts: readonly number[]
  readonly valueSizes: readonly number[]
  /** How long one load goes on, and how much of it is one point. */
  readonly lastingSeconds: number
  readonly pieceSeconds: number
  /** Of what does not grow. */
  readonly standard: Standard
}

interface Standard {
  readonly nodes: number
  readonly keys: number
  readonly connections: number
  readonly valueBytes: number
}

/** What grows, by the name of its column. */
type Dimension = keyof Standard | 'lastsSeconds'

/** How throughput, latency, CPU time and memory change when one thing grows and the others do not. */
async function run(options: GrowthOptions): Promise<Figure[]> {
  const { standard } = options
  const figures: Figure[] = []
  for (const keys of options.keyCounts) figures.push(...(await fresh('keys', { ...standard, keys }, options)))
  for (const nodes of options.nodeCounts) figures.push(...(await fresh('nodes', { ...standard, nodes }, options)))
  await withCluster(standard, async (cluster) => {
    await fill(await cluster.leader(), standard.keys, standard.valueBytes)
    figures.push(...(await lasting(cluster, options)))
    for (const connections of options.connectionCounts) {
      figures.push(...(await measure(cluster, 'connections', { ...standard, connections }, options.seconds)))
    }
    for (const valueBytes of options.valueSizes) {
      figures.push(...(await measure(cluster, 'valueBytes', { ...standard, valueBytes }, options.seconds)))
    }
  })
  return figures
}

function loadOf(
  method: Load['method'],
  host: string,
  { keys, connections, valueBytes }: Standard,
  seconds: number,
): Load {
  return { method, targets: [host], connections, keys, valueBytes, seconds }
}

async function fresh(dimension: Dimension, shape: Standard, options: GrowthOptions): Promise<Figure[]> {
  return await withCluster(shape, async (cluster) => {
    const leader = await cluster.leader()
    await fill(leader, shape.keys, shape.valueBytes)
    await runLoad(loadOf('PUT', leader.host, shape, options.warmUpSeconds))
    return await measure(cluster, dimension, shape, options.seconds)
  })
}

async function measure(
  cluster: BenchCluster,
  grows: Dimension,
  shape: Standard,
  seconds: number,
  settings: Record<string, number> = {},
  methods: readonly Load['method'][] = ['PUT', 'GET'],
): Promise<Figure[]> {
  const leader = await cluster.leader()
  const figures: Figure[] = []
  for (const method of methods) {
    const { result, cost } = await measureLed(cluster, leader, () =>
      runLoad(loadOf(method, leader.host, shape, seconds)),
    )
    figures.push({
      bench: 'growth',
      settings: { grows, method, ...shape, ...settings },
      values: { ...figuresOf(result), ...cost },
    })
  }
  return figures
}

/** From the first write of the processes on. */
async function lasting(cluster: BenchCluster, options: GrowthOptions): Promise<Figure[]> {
  const { standard, lastingSeconds, pieceSeconds } = options
  const figures: Figure[] = []
  for (let at = 0; at < lastingSeconds; at += pieceSeconds) {
    const settings = { lastsSeconds: at + pieceSeconds }
    figures.push(...(await measure(cluster, 'lastsSeconds', standard, pieceSeconds, settings, ['PUT'])))
  }
  return figures
}

const dimensions: Readonly<Record<Dimension, Axis>> = {
  keys: { title: 'keys', scale: 'log' },
  nodes: { title: 'nodes' },
  connections: { title: 'connections', scale: 'log' },
  valueBytes: { title: 'bytes in a value', scale: 'log' },
  lastsSeconds: { title: 'seconds of load' },
}

interface Aspect {
  readonly name: string
  readonly y: Axis
  /** What each field of the figures is called in the chart. */
  readonly fields: Readonly<Record<string, string>>
}

const aspects: readonly Aspect[] = [
  { name: 'throughput', y: { title: 'requests/s' }, fields: { requestsPerSecond: 'requests/s' } },
  { name: 'latency', y: { title: 'ms', scale: 'log' }, fields: { p50: 'p50', p99: 'p99' } },
  {
    name: 'cpu',
    y: { title: 'us of CPU for each request' },
    fields: { leaderCpuUs: 'leader', followerCpuUs: 'follower' },
  },
  { name: 'memory', y: { title: 'MB resident' }, fields: { leaderRssMB: 'leader', followerRssMB: 'follower' } },
]

function charts(figures: readonly Figure[]): Chart[] {
  return Object.entries(dimensions).flatMap(([grows, x]) => {
    const some = figures.filter(({ settings }) => settings['grows'] === grows)
    return aspects.map(({ name, y, fields }): Chart => {
      const lines: Record<string, Point[]> = {}
      for (const { settings, values } of some) {
        for (const [field, label] of Object.entries(fields)) {
          const line = (lines[`${settings['method']}, ${label}`] ??= [])
          line.push([Number(settings[grows]), values[field] ?? NaN])
        }
      }
      return { name: `growth-${grows}-${name}`, title: `${name} by ${x.title}`, x, y, lines }
    })
  })
}

const standard: Standard = { nodes: 3, keys: 100_000, connections: 64, valueBytes: 256 }

export const growth: Bench<GrowthOptions> = {
  sizes: {
    smoke: {
      seconds: 0.2,
      warmUpSeconds: 0.2,
      keyCounts: [100],
      nodeCounts: [],
      connectionCounts: [1],
      valueSizes: [16],
      lastingSeconds: 0.2,
      pieceSeconds: 0.2,
      standard: { nodes: 1, keys: 100, connections: 4, valueBytes: 256 },
    },
    quick: {
      seconds: 3,
      warmUpSeconds: 5,
      keyCounts: [10_000, 100_000],
      nodeCounts: [1, 3],
      connectionCounts: [1, 64, 256],
      valueSizes: [16, 256, 4_096],
      lastingSeconds: 20,
      pieceSeconds: 5,
      standard,
    },
    normal: {
      seconds: 5,
      warmUpSeconds: 10,
      keyCounts: [10_000, 100_000, 1_000_000],
      nodeCounts: [1, 3, 5],
      connectionCounts: [1, 16, 64, 256, 1_024],
      valueSizes: [16, 256, 4_096, 65_536],
      lastingSeconds: 60,
      pieceSeconds: 5,
      standard,
    },
    full: {
      seconds: 10,
      warmUpSeconds: 20,
      keyCounts: [10_000, 100_000, 1_000_000],
      nodeCounts: [1, 3, 5],
      connectionCounts: [1, 4, 16, 64, 256, 1_024],
      valueSizes: [16, 64, 256, 1_024, 4_096, 16_384, 65_536],
      lastingSeconds: 600,
      pieceSeconds: 10,
      standard: { ...standard, keys: 1_000_000 },
    },
  },
  run,
  charts,
}
