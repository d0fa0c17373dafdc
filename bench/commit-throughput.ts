import type { Bench } from './lib/bench.ts'
import type { Chart } from './lib/chart.ts'
import { withCluster, type BenchCluster } from './lib/cluster.ts'
import { startFloor, type Floor } from './lib/floor.ts'
import type { Load } from './lib/load.ts'
import { figuresOf, measureLed, type Cost, type LoadFigures } from './lib/measured.ts'
import type { Figure } from './lib/report.ts'
import { runLoad, runOpenLoad } from './lib/run-load.ts'
import { summarize, type Point } from './lib/statistics.ts'
import { inTurns } from './lib/turns.ts'
import { measureYouth, type Youth } from './lib/young.ts'

export interface ThroughputOptions {
  readonly nodes: number
  readonly seconds: number
  readonly repeat: number
  readonly warmUpSeconds: number
  /** How long processes that have just started are measured, twice. */
  readonly youngSeconds: number
  readonly shapes: readonly Shape[]
  /** PUTs of 256 B for each second, in the open loop. */
  readonly rates: readonly number[]
  readonly keys: number
}

interface Shape {
  readonly connections: number
  readonly valueBytes: number
}

interface Target {
  readonly name: 'leader' | 'follower' | 'all' | 'floor'
  readonly hosts: readonly string[]
}

type Sample = LoadFigures & Cost

const VALUE_BYTES = 256
const CONNECTIONS = 64
const STANDARD: Shape = { connections: CONNECTIONS, valueBytes: VALUE_BYTES }

function shapes(connections: readonly number[], sizes: readonly number[]): Shape[] {
  return connections.flatMap((count) => sizes.map((valueBytes) => ({ connections: count, valueBytes })))
}

/** PUTs over all keys: of processes that have just started, then at fixed rates and in a closed loop once they are warm. */
async function run(options: ThroughputOptions): Promise<Figure[]> {
  const youths: Youth[] = []
  const young = async (cluster: BenchCluster): Promise<void> => {
    const { host } = await cluster.leader()
    youths.push(await measureYouth(cluster, loadOf(options, STANDARD, [host], options.youngSeconds)))
  }
  for (let n = 1; n < options.repeat; n++) await withCluster(options, young)
  const floor = await startFloor()
  try {
    return await withCluster(options, async (cluster) => {
      await young(cluster)
      const figures = [cold(youths)]
      const targets = await targetsOf(cluster, floor)
      const hosts = targets.flatMap((target) => target.hosts)
      await runLoad(loadOf(options, STANDARD, hosts, options.warmUpSeconds))
      // Before the other sizes: a value that takes the place of another writes that one too, into history.
      for (const rate of options.rates) figures.push(await openLoop(cluster, rate, options))
      for (const shape of options.shapes) figures.push(...(await closedLoop(cluster, targets, shape, options)))
      return figures
    })
  } finally {
    await floor.stop()
  }
}

/** Each run had a cluster of its own. */
function cold(youths: readonly Youth[]): Figure {
  return {
    bench: 'commit-throughput',
    settings: { loop: 'cold', to: 'leader', ...STANDARD, runs: youths.length },
    values: summarize(
      youths.map(({ values }) => values),
      'requestsPerSecond',
    ),
    curves: Object.fromEntries(youths.map(({ rates }, n) => [`run ${n + 1}`, rates])),
  }
}

function loadOf({ keys }: ThroughputOptions, shape: Shape, targets: readonly string[], seconds: number): Load {
  return { method: 'PUT', targets, seconds, keys, ...shape }
}

async function closedLoop(
  cluster: BenchCluster,
  targets: readonly Target[],
  shape: Shape,
  options: ThroughputOptions,
): Promise<Figure[]> {
  const leader = await cluster.leader()
  const curves = new Map<Target, readonly Point[]>()
  const runs = await inTurns(targets, options.repeat, async (target): Promise<Sample> => {
    const load = loadOf(options, shape, target.hosts, options.seconds)
    const { result, cost } = await measureLed(cluster, leader, () => runLoad(load))
    curves.set(target, result.distribution)
    return { ...figuresOf(result), ...cost }
  })
  return targets.map((target, at) => ({
    bench: 'commit-throughput',
    settings: { loop: 'closed', to: target.name, ...shape, runs: options.repeat },
    values: summarize(runs[at] ?? [], 'requestsPerSecond'),
    curves: { latency: curves.get(target) ?? [] },
  }))
}

async function openLoop(cluster: BenchCluster, rate: number, options: ThroughputOptions): Promise<Figure> {
  const leader = await cluster.leader()
  const load = {
    method: 'PUT',
    targets: [leader.host],
    connections: 256,
    keys: options.keys,
    valueBytes: VALUE_BYTES,
  } as const
  const phases = [{ perSecond: rate, seconds: 2 * options.seconds }]
  const { result, cost } = await measureLed(cluster, leader, () => runOpenLoad({ ...load, phases }))
  return {
    bench: 'commit-throughput',
    settings: { loop: 'open', to: 'leader', connections: load.connections, valueBytes: VALUE_BYTES, rate, runs: 1 },
    values: { ...figuresOf(result), ...cost, unsent: result.unsent, lateP99: result.lateP99 },
    curves: { latency: result.distribution },
  }
}

async function targetsOf(cluster: BenchCluster, floor: Floor): Promise<Target[]> {
  const leader = await cluster.leader()
  const [follower] = cluster.nodes.filter(({ id }) => id !== leader.id)
  const targets: Target[] = [{ name: 'leader', hosts: [leader.host] }]
  if (follower !== undefined) {
    targets.push({ name: 'follower', hosts: [follower.host] })
    targets.push({ name: 'all', hosts: cluster.nodes.map(({ host }) => host) })
  }
  return [...targets, { name: 'floor', hosts: [floor.host] }]
}

function charts(figures: readonly Figure[]): Chart[] {
  const of = (loop: string, rest: Record<string, string | number> = {}): readonly Figure[] =>
    figures.filter(({ settings }) =>
      Object.entries({ loop, ...rest }).every(([name, value]) => settings[name] === value),
    )
  const latency = (name: string, title: string, some: readonly Figure[], label: string): Chart => ({
    name: `commit-throughput-${name}`,
    title,
    x: { title: 'percentile', scale: 'percentile' },
    y: { title: 'ms', scale: 'log' },
    lines: Object.fromEntries(some.map(({ settings, curves }) => [String(settings[label]), curves?.['latency'] ?? []])),
  })
  const toLeader = of('closed', { to: 'leader', valueBytes: VALUE_BYTES })
  return [
    {
      name: 'commit-throughput-cold',
      title: `PUT/s of a cluster that has just started, ${CONNECTIONS} connections`,
      x: { title: 'seconds since the first request' },
      y: { title: 'PUT/s' },
      lines: of('cold')[0]?.curves ?? {},
    },
    latency('connections', 'PUT latency by connections, closed loop, to the leader', toLeader, 'connections'),
    latency(
      'targets',
      `PUT latency by target, ${CONNECTIONS} connections`,
      of('closed', { connections: CONNECTIONS, valueBytes: VALUE_BYTES }),
      'to',
    ),
    latency('rates', 'PUT latency by requests/s, open loop', of('open'), 'rate'),
  ]
}

const usual = { nodes: 3, keys: 100_000, repeat: 3, warmUpSeconds: 15, youngSeconds: 5 } as const

export const commitThroughput: Bench<ThroughputOptions> = {
  sizes: {
    smoke: {
      ...usual,
      nodes: 1,
      seconds: 0.2,
      repeat: 1,
      warmUpSeconds: 0.2,
      youngSeconds: 0.2,
      shapes: shapes([4], [VALUE_BYTES]),
      rates: [200],
    },
    quick: {
      ...usual,
      seconds: 3,
      repeat: 1,
      warmUpSeconds: 8,
      shapes: shapes([1, 64, 256], [VALUE_BYTES]),
      rates: [2_000, 8_000],
    },
    normal: {
      ...usual,
      seconds: 5,
      shapes: [...shapes([1, 64, 256], [VALUE_BYTES]), ...shapes([CONNECTIONS], [16, 4096, 65_536])],
      rates: [1_000, 2_000, 4_000, 8_000, 12_000],
    },
    full: {
      ...usual,
      seconds: 8,
      repeat: 5,
      warmUpSeconds: 30,
      shapes: shapes([1, 16, 64, 256, 1024], [16, 256, 4096, 65_536]),
      rates: [1_000, 2_000, 4_000, 8_000, 12_000, 16_000, 20_000],
    },
  },
  run,
  charts,
}
