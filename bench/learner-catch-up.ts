import { readdirSync } from 'node:fs'
import { constants, loadavg, setPriority } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import type { Bench } from './lib/bench.ts'
import { eventually, withCluster, type BenchCluster, type BenchNode } from './lib/cluster.ts'
import { committedAt, eventuallyEqual } from './lib/conditions.ts'
import { fill } from './lib/fill.ts'
import type { Figure } from './lib/report.ts'
import { getJson, sendJson } from './lib/rest.ts'
import { startLoad } from './lib/run-load.ts'
import { median, summarize } from './lib/statistics.ts'
import { watchUsage } from './lib/usage.ts'

export interface CatchUpOptions {
  readonly nodes: number
  readonly learners: readonly Learner[]
  readonly keys: number
  readonly valueBytes: number
  readonly connections: number
  /** The number of rounds, each with a new node. */
  readonly repeat: number
  /** How long the throughput is measured before the learner is added, and again after it has caught up. */
  readonly windowSeconds: number
  /** How long the writes go on before that. */
  readonly warmUpSeconds: number
}

const LOAD_SECONDS_MAX = 3_600
const CATCH_UP_TIMEOUT_MS = 600_000

/**
 * A learner that shares the cores equally with all other processes, and one that runs only when they leave time. The second is
 * closer to a learner on a machine of its own, and shows what sending costs the leader.
 */
const learners = ['equal share', 'lowest priority'] as const
type Learner = (typeof learners)[number]

type Round = Readonly<Record<RoundField, number>>
type RoundField =
  | `${'before' | 'during' | 'after'}${keyof Measured}`
  | 'dentPercent'
  | keyof Progress
  | 'learnerRssMaxMB'
  | 'errors'
  | 'loadAverage'

/** Figures of one period. */
interface Measured {
  /** The median of the figures of its seconds. */
  readonly PerSecond: number
  /** CPU time of the leader's process for each write. Unlike the rate, it depends little on other work of the machine. */
  readonly CpuUs: number
  /** The leader's largest resident set. */
  readonly RssMB: number
}

interface Progress {
  readonly catchUpSeconds: number
  readonly snapshotSeconds: number
  readonly snapshotMB: number
  /** The size that was announced at the start. */
  readonly estimateMB: number
  readonly snapshots: number
}

/** Measures what a learner without data costs a cluster that holds `keys` keys and is written to all the time. */
async function run(options: CatchUpOptions): Promise<Figure[]> {
  return await withCluster({ nodes: options.nodes, grows: true }, async (cluster) => {
    await fillAndPurge(cluster, options)
    const rounds = new Map<Learner, Round[]>(options.learners.map((learner) => [learner, []]))
    for (let round = 0; round < options.repeat; round++) {
      for (const [learner, list] of rounds) list.push(await measureRound(cluster, learner, options))
    }
    const { keys, valueBytes, connections, repeat } = options
    return [...rounds].map(([learner, list]) => ({
      bench: 'learner-catch-up',
      settings: { learner, keys, valueBytes, connections, runs: repeat },
      values: summarize(list, 'dentPercent'),
    }))
  })
}

/** Writes every key once, then has the log purged: a new node now needs the state. */
async function fillAndPurge(cluster: BenchCluster, { keys, valueBytes }: CatchUpOptions): Promise<void> {
  await fill(await cluster.leader(), keys, valueBytes)
  await eventuallyEqual(cluster.nodes)
  for (const { api } of cluster.nodes) await sendJson('POST', `${api}/cluster/purge`, undefined)
}

/** Writes continue from the start of a round to its end. */
async function measureRound(cluster: BenchCluster, kind: Learner, options: CatchUpOptions): Promise<Round> {
  const { keys, valueBytes, connections, windowSeconds } = options
  const leader = await cluster.leader()
  const targets = [leader.host]
  const load = startLoad({ method: 'PUT', targets, connections, seconds: LOAD_SECONDS_MAX, keys, valueBytes })
  try {
    await delay(options.warmUpSeconds * 1000)
    const before = await measureFor(leader, windowSeconds)
    const loadAverage = loadavg()[0] ?? NaN
    const learner = await cluster.grow()
    if (kind === 'lowest priority') yieldToOthers(learner)
    const learnerUsage = watchUsage(learner.pid)
    const measuring = measure(leader)
    const progress = await catchUp(leader, learner)
    const during = await measuring.stop()
    const after = await measureFor(leader, windowSeconds)
    await sendJson('PATCH', `${leader.api}/cluster/membership?timeout=60s`, { add: [learner.id] })
    const { errors } = await load.stop()
    await eventuallyEqual(cluster.nodes.filter(({ pid }) => pid !== undefined))
    const learnerRssMaxMB = learnerUsage.stop().maxMB
    await dismiss(leader, learner)
    const figures = {
      ...named('before', before),
      ...named('during', during),
      ...named('after', after),
      dentPercent: 100 * (1 - during.PerSecond / before.PerSecond),
      ...progress,
      learnerRssMaxMB,
      errors,
      loadAverage,
    }
    return figures
  } finally {
    await load.stop().catch(() => undefined)
  }
}

function named<When extends string>(when: When, { PerSecond, CpuUs, RssMB }: Measured) {
  const figures = { [`${when}PerSecond`]: PerSecond, [`${when}CpuUs`]: CpuUs, [`${when}RssMB`]: RssMB }
  return figures as Record<`${When}${keyof Measured}`, number>
}

/** Lowers the priority of every thread of the process. Threads that they create later inherit it. */
function yieldToOthers({ pid }: BenchNode): void {
  for (const thread of readdirSync(`/proc/${pid ?? 0}/task`)) {
    setPriority(Number(thread), constants.priority.PRIORITY_LOW)
  }
}

interface LearnerView {
  readonly id: number
  readonly caughtUp: boolean
  readonly snapshot: { readonly attempt: number; readonly bytesSent: number; readonly bytesEstimate: number } | null
}

/** Adds the learner and follows its progress. */
async function catchUp(leader: BenchNode, learner: BenchNode): Promise<Progress> {
  const begun = performance.now()
  const { id, raft, api } = learner
  await sendJson('POST', `${leader.api}/cluster/learners?timeout=20s`, { id, raft, api, wait: false })
  let last: LearnerView['snapshot'] = null
  let estimate = 0
  let snapshotEnded = begun
  await eventually(
    'the learner has caught up',
    async () => {
      const { learners } = (await getJson(`${leader.api}/cluster/learners`)) as { learners?: LearnerView[] }
      const seen = learners?.find((one) => one.id === id)
      if (seen?.snapshot !== undefined && seen.snapshot !== null) {
        if (last === null) estimate = seen.snapshot.bytesEstimate
        if (seen.snapshot.bytesSent !== last?.bytesSent) snapshotEnded = performance.now()
        last = seen.snapshot
      }
      await delay(50)
      return seen?.caughtUp === true ? true : null
    },
    CATCH_UP_TIMEOUT_MS,
  )
  const sent = last as LearnerView['snapshot']
  return {
    catchUpSeconds: (performance.now() - begun) / 1000,
    snapshotSeconds: (snapshotEnded - begun) / 1000,
    snapshotMB: (sent?.bytesSent ?? 0) / 1e6,
    estimateMB: estimate / 1e6,
    snapshots: sent?.attempt ?? 0,
  }
}

async function measureFor(leader: BenchNode, seconds: number): Promise<Measured> {
  const measuring = measure(leader)
  await delay(seconds * 1000)
  return measuring.stop()
}

/** Counts the entries committed in each second: each PUT is one. */
function measure(leader: BenchNode): { stop(): Promise<Measured> } {
  const rates: number[] = []
  const usage = watchUsage(leader.pid)
  let running = true
  const watch = async (): Promise<number> => {
    let at = performance.now()
    const first = await committedAt(leader)
    let index = first
    while (running) {
      await delay(1000)
      const nextIndex = await committedAt(leader)
      const now = performance.now()
      rates.push(((nextIndex - index) * 1000) / (now - at))
      index = nextIndex
      at = now
    }
    return index - first
  }
  const watching = watch()
  return {
    stop: async () => {
      running = false
      const writes = await watching
      const { cpuMs, maxMB } = usage.stop()
      return { PerSecond: median(rates), CpuUs: (cpuMs * 1000) / writes, RssMB: maxMB }
    },
  }
}

async function dismiss(leader: BenchNode, learner: BenchNode): Promise<void> {
  await sendJson('PATCH', `${leader.api}/cluster/membership?timeout=60s`, { remove: [learner.id] })
  await learner.signal('SIGKILL')
}

const usual = {
  nodes: 3,
  learners,
  keys: 1_000_000,
  valueBytes: 256,
  connections: 64,
  repeat: 1,
  warmUpSeconds: 5,
} as const

export const learnerCatchUp: Bench<CatchUpOptions> = {
  sizes: {
    smoke: {
      ...usual,
      nodes: 1,
      learners: ['equal share'],
      keys: 200,
      connections: 4,
      windowSeconds: 0.2,
      warmUpSeconds: 0.2,
    },
    quick: { ...usual, keys: 100_000, windowSeconds: 5 },
    normal: { ...usual, windowSeconds: 15 },
    full: { ...usual, repeat: 5, windowSeconds: 30 },
  },
  run,
}
