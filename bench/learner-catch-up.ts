import { readdirSync, readFileSync } from 'node:fs'
import { constants, loadavg, setPriority } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import type { BenchCluster, BenchNode } from './lib/cluster.ts'
import { eventually, startCluster } from './lib/cluster.ts'
import { watchMemory } from './lib/memory.ts'
import type { Figure } from './lib/report.ts'
import { median, summarize } from './lib/report.ts'
import { call, getJson, sendJson } from './lib/rest.ts'
import { hasWrk, startLoad } from './lib/wrk.ts'

export interface CatchUpOptions {
  readonly keys: number
  readonly valueBytes: number
  readonly connections: number
  /** The number of rounds, each with a new node. */
  readonly repeat: number
  /** How long the throughput is measured before the learner is added, and again after it has caught up. */
  readonly windowSeconds: number
}

export const catchUpDefaults: CatchUpOptions = {
  keys: 1_000_000,
  valueBytes: 256,
  connections: 64,
  repeat: 3,
  windowSeconds: 15,
}

const LOAD_SECONDS_MAX = 3_600
const CATCH_UP_TIMEOUT_MS = 600_000
const EQUAL_TIMEOUT_MS = 120_000
const WARM_UP_MS = 5_000
/** The unit of times in /proc; the same on every Linux. */
const TICK_MS = 10

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
export async function learnerCatchUp(options: CatchUpOptions = catchUpDefaults): Promise<Figure[]> {
  if (!hasWrk()) throw new Error('the load generator wrk is missing (Debian: apt-get install wrk)')
  const cluster = await startCluster()
  try {
    await fill(cluster, options)
    const rounds = new Map<Learner, Round[]>(learners.map((learner) => [learner, []]))
    for (let round = 0; round < options.repeat; round++) {
      for (const [learner, list] of rounds) list.push(await measureRound(cluster, learner, options))
    }
    const { keys, valueBytes, connections, repeat } = options
    return [...rounds].map(([learner, list]) => ({
      bench: 'learner-catch-up',
      settings: { learner, keys, valueBytes, connections, runs: repeat },
      values: summarize(list, 'dentPercent'),
    }))
  } finally {
    await cluster.stop()
  }
}

function hostOf({ api }: BenchNode): string {
  return api.slice('http://'.length)
}

async function committedAt(node: BenchNode): Promise<number> {
  const { committed } = (await getJson(`${node.api}/cluster`)) as { committed?: { index: number } | null }
  return committed?.index ?? 0
}

/** Writes every key once, through all nodes, then has the log purged: a new node now needs the state. */
async function fill(cluster: BenchCluster, { keys, valueBytes }: CatchUpOptions): Promise<void> {
  const leader = await cluster.leader()
  const begun = await committedAt(leader)
  const load = startLoad({
    method: 'PUT',
    targets: [hostOf(leader)],
    connections: 256,
    seconds: LOAD_SECONDS_MAX,
    keys,
    valueBytes,
    inOrder: true,
  })
  while ((await committedAt(leader)) - begun < keys) await delay(200)
  await load.stop()
  for (const { api } of cluster.nodes) {
    const answer = await call('POST', `${api}/cluster/purge`)
    if (answer.status !== 200) throw new Error(`not purged: ${answer.status} ${answer.body.toString()}`)
  }
}

/** Writes continue from the start of a round to its end. */
async function measureRound(cluster: BenchCluster, kind: Learner, options: CatchUpOptions): Promise<Round> {
  const { keys, valueBytes, connections, windowSeconds } = options
  const leader = await cluster.leader()
  const targets = [hostOf(leader)]
  const load = startLoad({ method: 'PUT', targets, connections, seconds: LOAD_SECONDS_MAX, keys, valueBytes })
  try {
    await delay(WARM_UP_MS)
    const before = await measureFor(leader, windowSeconds)
    const loadAverage = loadavg()[0] ?? NaN
    const learner = await cluster.grow()
    if (kind === 'lowest priority') yieldToOthers(learner)
    const learnerMemory = watchMemory(learner)
    const measuring = measure(leader)
    const progress = await catchUp(leader, learner)
    const during = await measuring.stop()
    const after = await measureFor(leader, windowSeconds)
    await sendJson('PATCH', `${leader.api}/cluster/membership?timeout=60s`, { add: [learner.id] })
    const { errors } = await load.stop()
    await checkEqual(cluster)
    const learnerRssMaxMB = learnerMemory.stop().maxMB
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
    process.stderr.write(`learner-catch-up, ${kind}: ${JSON.stringify(figures)}\n`)
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
  const memory = watchMemory(leader)
  let running = true
  const watch = async (): Promise<number> => {
    let at = performance.now()
    const first = await committedAt(leader)
    const cpuBefore = cpuMsOf(leader)
    let index = first
    while (running) {
      await delay(1000)
      const nextIndex = await committedAt(leader)
      const now = performance.now()
      rates.push(((nextIndex - index) * 1000) / (now - at))
      index = nextIndex
      at = now
    }
    return ((cpuMsOf(leader) - cpuBefore) * 1000) / (index - first)
  }
  const watching = watch()
  return {
    stop: async () => {
      running = false
      const CpuUs = await watching
      return { PerSecond: median(rates), CpuUs, RssMB: memory.stop().maxMB }
    },
  }
}

/** The CPU time of all threads of a process since its start. */
function cpuMsOf({ pid }: BenchNode): number {
  const fields = readFileSync(`/proc/${pid ?? 0}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}

/** Without writes, all nodes must reach the same state. */
async function checkEqual(cluster: BenchCluster): Promise<void> {
  const running = await Promise.all(
    cluster.nodes.map(async (node) => ((await answers(node)) ? [node] : ([] as BenchNode[]))),
  )
  let seen = ''
  await eventually(
    'every node holds the same',
    async () => {
      const views = await Promise.all(running.flat().map(({ api }) => getJson(`${api}/cluster`)))
      const holdings = views.map((view) => {
        const { applied, digest } = view as { applied?: { index: number } | null; digest?: string }
        return `${applied?.index ?? '-'} ${digest ?? '-'}`
      })
      seen = holdings.join(', ')
      return new Set(holdings).size === 1 ? true : null
    },
    EQUAL_TIMEOUT_MS,
  ).catch((error: unknown) => {
    throw new Error(`applied and digest of each: ${seen}`, { cause: error })
  })
}

async function answers({ api }: BenchNode): Promise<boolean> {
  return (await call('GET', `${api}/livez`).catch(() => null))?.status === 200
}

async function dismiss(leader: BenchNode, learner: BenchNode): Promise<void> {
  await sendJson('PATCH', `${leader.api}/cluster/membership?timeout=60s`, { remove: [learner.id] })
  await learner.signal('SIGKILL')
}
