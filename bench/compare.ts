import type { Bench } from './lib/bench.ts'
import type { Chart } from './lib/chart.ts'
import { withCluster, type BenchCluster } from './lib/cluster.ts'
import { hasEtcd, runGateway, startEtcd, type EtcdCluster } from './lib/etcd.ts'
import { fill } from './lib/fill.ts'
import { startGenerator } from './lib/generator/own.ts'
import type { Load, LoadResult } from './lib/load.ts'
import { figuresOf, measureCost, rolesOf, type Cost, type LoadFigures, type Roles } from './lib/measured.ts'
import type { Figure } from './lib/report.ts'
import { runLoad } from './lib/run-load.ts'
import { median, summarize, type Point } from './lib/statistics.ts'
import { inTurns } from './lib/turns.ts'
import { hasWrk } from './lib/wrk.ts'
import { measureYouth } from './lib/young.ts'

export interface CompareOptions {
  readonly seconds: number
  readonly repeat: number
  readonly warmUpSeconds: number
  /** How long processes that have just started are measured, twice. */
  readonly youngSeconds: number
  /** Of Quorate. etcd has three members. */
  readonly nodes: number
  readonly loads: readonly { readonly method: 'PUT' | 'GET'; readonly connections: number }[]
  readonly keys: number
  readonly valueBytes: number
}

interface System {
  readonly name: string
  readonly roles: Roles
  readonly target: string
  run(load: Load): Promise<LoadResult>
  /** The process that leads now. */
  leader(): Promise<number | undefined>
}

type Sample = LoadFigures & Cost

const FILL_SECONDS_MAX = 600

/** The same work for Quorate and for etcd, in turns, each on three processes of this machine. */
async function run(options: CompareOptions): Promise<Figure[]> {
  if (!hasEtcd() || !hasWrk()) {
    process.stderr.write('compare: left out, it needs etcd and wrk (Debian: apt-get install etcd-server wrk)\n')
    return []
  }
  return await withCluster(options, async (cluster) => {
    // Alone: what has just started would otherwise share the machine with what starts next.
    const figures = [await cold(cluster, options)]
    const etcd = await startEtcd()
    try {
      const systems = await systemsOf(cluster, etcd)
      await fill(await cluster.leader(), options.keys, options.valueBytes)
      await fillEtcd(etcd, options)
      for (const system of systems) {
        await system.run(loadOf(system, { method: 'PUT', connections: 64 }, options, options.warmUpSeconds))
      }
      for (const load of options.loads) figures.push(...(await compareUnder(systems, load, options)))
    } finally {
      await etcd.stop()
    }
    return figures
  })
}

async function cold(cluster: BenchCluster, { keys, valueBytes, youngSeconds }: CompareOptions): Promise<Figure> {
  const { host } = await cluster.leader()
  const shape = { method: 'PUT', connections: 64, keys, valueBytes } as const
  const { values } = await measureYouth(cluster, { ...shape, targets: [host], seconds: youngSeconds })
  return { bench: 'compare', settings: { system: 'Quorate, first seconds', ...shape, runs: 1 }, values: { ...values } }
}

async function systemsOf(cluster: BenchCluster, etcd: EtcdCluster): Promise<System[]> {
  const leader = await cluster.leader()
  return [
    {
      name: 'Quorate',
      roles: await rolesOf(cluster),
      target: leader.host,
      run: runLoad,
      leader: async () => (await cluster.leader()).pid,
    },
    { name: 'etcd gRPC', roles: etcd.roles, target: etcd.leader, run: grpc, leader: () => etcd.leaderPid() },
    { name: 'etcd JSON', roles: etcd.roles, target: etcd.leader, run: runGateway, leader: () => etcd.leaderPid() },
  ]
}

async function fillEtcd(etcd: EtcdCluster, { keys, valueBytes }: CompareOptions): Promise<void> {
  const load = { method: 'PUT', targets: [etcd.leader], connections: 256, keys, valueBytes, inOrder: true } as const
  const { errors } = await grpc({ ...load, seconds: FILL_SECONDS_MAX })
  if (errors > 0) throw new Error(`etcd: ${errors} keys were not written`)
}

function grpc(load: Load): Promise<LoadResult> {
  return startGenerator<LoadResult>('grpc-process.js', load).result
}

function loadOf(
  { target }: System,
  load: CompareOptions['loads'][number],
  { keys, valueBytes }: CompareOptions,
  seconds: number,
): Load {
  return { ...load, targets: [target], keys, valueBytes, seconds }
}

async function compareUnder(
  systems: readonly System[],
  load: CompareOptions['loads'][number],
  options: CompareOptions,
): Promise<Figure[]> {
  const { repeat, seconds, keys, valueBytes } = options
  const curves = new Map<System, readonly Point[]>()
  const samples = await inTurns(systems, repeat, async (system): Promise<Sample> => {
    const { result, cost } = await measureCost(system.roles, () => system.run(loadOf(system, load, options, seconds)))
    if ((await system.leader()) !== system.roles.leader) throw new Error(`${system.name}: the leader has changed`)
    curves.set(system, result.distribution)
    return { ...figuresOf(result), ...cost }
  })
  const [ours = []] = samples
  return systems.map((system, at) => {
    const theirs = samples[at] ?? []
    const times = ours.map(({ requestsPerSecond }, n) => requestsPerSecond / (theirs[n]?.requestsPerSecond ?? NaN))
    return {
      bench: 'compare',
      settings: { system: system.name, ...load, keys, valueBytes, runs: repeat },
      /** `quorateTimes`: how many times as many requests Quorate serves, the median over the rounds. */
      values: { ...summarize(theirs, 'requestsPerSecond'), quorateTimes: median(times) },
      curves: { latency: curves.get(system) ?? [] },
    }
  })
}

function charts(figures: readonly Figure[]): Chart[] {
  const warm = figures.filter(({ curves }) => curves !== undefined)
  const groups = new Map<string, Figure[]>()
  for (const figure of warm) {
    const { method, connections } = figure.settings
    const key = `${method}-${connections}`
    groups.set(key, [...(groups.get(key) ?? []), figure])
  }
  return [...groups].map(([key, some]) => ({
    name: `compare-${key}`,
    title: `Latency, ${key.replace('-', ', ')} in flight`,
    x: { title: 'percentile', scale: 'percentile' },
    y: { title: 'ms', scale: 'log' },
    lines: Object.fromEntries(
      some.map(({ settings, curves }) => [String(settings['system']), curves?.['latency'] ?? []]),
    ),
  }))
}

function loads(puts: readonly number[], gets: readonly number[]): CompareOptions['loads'] {
  const of = (method: 'PUT' | 'GET', counts: readonly number[]) =>
    counts.map((connections) => ({ method, connections }))
  return [...of('PUT', puts), ...of('GET', gets)]
}

const usual = { nodes: 3, keys: 100_000, valueBytes: 256, youngSeconds: 5 } as const

export const compare: Bench<CompareOptions> = {
  sizes: {
    smoke: {
      ...usual,
      nodes: 1,
      keys: 100,
      seconds: 1,
      repeat: 1,
      warmUpSeconds: 1,
      youngSeconds: 0.2,
      loads: loads([4], []),
    },
    quick: { ...usual, seconds: 3, repeat: 1, warmUpSeconds: 8, loads: loads([64], [64]) },
    normal: { ...usual, seconds: 5, repeat: 3, warmUpSeconds: 15, loads: loads([1, 64, 256], [64]) },
    full: { ...usual, seconds: 8, repeat: 7, warmUpSeconds: 30, loads: loads([1, 64, 256], [1, 64, 256]) },
  },
  run,
  charts,
}
