import { readdirSync, readFileSync } from 'node:fs'
import { constants, loadavg, setPriority } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import type { BenchCluster, BenchNode } from './lib/cluster.ts'
import { eventually, startCluster } from './lib/cluster.ts'
import type { Figure } from './lib/report.ts'
import { median, summarize } from './lib/report.ts'
import { call, getJson, sendJson } from './lib/rest.ts'
import { hasWrk, startLoad } from './lib/wrk.ts'

export interface CatchUpOptions {
  readonly keys: number
  readonly valueBytes: number
  readonly connections: number
  /** Each time with a new node. */
  readonly repeat: number
  /** How long the throughput is measured before the learner comes, and again after it has caught up. */
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
const RSS_EVERY_MS = 200
const WARM_UP_MS = 5_000

/**
 * A learner that takes its share of the same cores as everybody else, and one that runs only when they leave it some: the latter is
 * nearer to a machine of its own, and shows what sending costs the leader.
 */
const learners = ['equal share', 'lowest priority'] as const
type Learner = (typeof learners)[number]

type Round = Readonly<Record<RoundField, number>>
type RoundField =
  | 'beforePerSecond'
  | 'duringPerSecond'
  | 'afterPerSecond'
  | 'dentPercent'
  | 'catchUpSeconds'
  | 'snapshotSeconds'
  | 'snapshotMB'
  | 'estimateMB'
  | 'snapshots'
  | 'leaderRssBeforeMB'
  | 'leaderRssMaxMB'
  | 'learnerRssMaxMB'
  | 'errors'
  | 'loadAverage'

/** What a learner that starts with nothing costs a cluster that holds `keys` keys and is written to all the time. */
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

/** Every key once, through every node, then the log purged: whoever comes now needs the state. */
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

/** Writes go on from the first moment of a round to its last. */
async function measureRound(cluster: BenchCluster, kind: Learner, options: CatchUpOptions): Promise<Round> {
  const { keys, valueBytes, connections, windowSeconds } = options
  const leader = await cluster.leader()
  const targets = [hostOf(leader)]
  const load = startLoad({ method: 'PUT', targets, connections, seconds: LOAD_SECONDS_MAX, keys, valueBytes })
  const leaderMemory = watchMemory(leader)
  try {
    await delay(WARM_UP_MS)
    const before = await throughputFor(leader, windowSeconds)
    const leaderRssBeforeMB = leaderMemory.maxMB()
    const loadAverage = loadavg()[0] ?? NaN
    const learner = await cluster.grow()
    if (kind === 'lowest priority') yieldToOthers(learner)
    const learnerMemory = watchMemory(learner)
    const during = watchThroughput(leader)
    const progress = await catchUp(leader, learner)
    const duringPerSecond = median(await during.stop())
    const after = await throughputFor(leader, windowSeconds)
    await sendJson('PATCH', `${leader.api}/cluster/membership?timeout=60s`, { add: [learner.id] })
    const { errors } = await load.stop()
    await checkEqual(cluster)
    const learnerRssMaxMB = learnerMemory.stop()
    await dismiss(leader, learner)
    const figures = {
      beforePerSecond: before,
      duringPerSecond,
      afterPerSecond: after,
      dentPercent: 100 * (1 - duringPerSecond / before),
      ...progress,
      leaderRssBeforeMB,
      leaderRssMaxMB: leaderMemory.stop(),
      learnerRssMaxMB,
      errors,
      loadAverage,
    }
    process.stderr.write(`learner-catch-up, ${kind}: ${JSON.stringify(figures)}\n`)
    return figures
  } finally {
    leaderMemory.stop()
    await load.stop().catch(() => undefined)
  }
}

/** Every thread of the process; those that it makes later take after the one that makes them. */
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
async function catchUp(
  leader: BenchNode,
  learner: BenchNode,
): Promise<Pick<Round, 'catchUpSeconds' | 'snapshotSeconds' | 'snapshotMB' | 'estimateMB' | 'snapshots'>> {
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

async function throughputFor(leader: BenchNode, seconds: number): Promise<number> {
  const watch = watchThroughput(leader)
  await delay(seconds * 1000)
  return median(await watch.stop())
}

/** Entries committed in each second that passes: each PUT is one. */
function watchThroughput(leader: BenchNode): { stop(): Promise<number[]> } {
  const rates: number[] = []
  let running = true
  const watch = async (): Promise<void> => {
    let at = performance.now()
    let index = await committedAt(leader)
    while (running) {
      await delay(1000)
      const nextIndex = await committedAt(leader)
      const now = performance.now()
      rates.push(((nextIndex - index) * 1000) / (now - at))
      index = nextIndex
      at = now
    }
  }
  const watching = watch()
  return {
    stop: async () => {
      running = false
      await watching
      return rates
    },
  }
}

/** The largest resident set of a process, looked at again and again. */
function watchMemory({ pid }: BenchNode): { maxMB(): number; stop(): number } {
  let max = 0
  const look = (): void => {
    try {
      const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid ?? 0}/status`, 'utf8'))
      max = Math.max(max, (Number(line?.[1] ?? 0) * 1024) / 1e6)
    } catch (error) {
      // The process has ended.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  look()
  const timer = setInterval(look, RSS_EVERY_MS)
  return {
    maxMB: () => max,
    stop: () => {
      clearInterval(timer)
      return max
    },
  }
}

/** Without writes everybody comes to hold the same. */
async function checkEqual(cluster: BenchCluster): Promise<void> {
  const running = await Promise.all(
    cluster.nodes.map(async (node) => ((await answers(node)) ? [node] : ([] as BenchNode[]))),
  )
  await eventually('every node holds the same', async () => {
    const views = await Promise.all(running.flat().map(({ api }) => getJson(`${api}/cluster`)))
    const applied = new Set(views.map((view) => (view['applied'] as { index: number } | null)?.index))
    if (applied.size !== 1) return null
    const digests = new Set(views.map((view) => view['digest']))
    if (digests.size !== 1) throw new Error(`the digests differ: ${[...digests].join(' ')}`)
    return true
  })
}

async function answers({ api }: BenchNode): Promise<boolean> {
  return (await call('GET', `${api}/livez`).catch(() => null))?.status === 200
}

async function dismiss(leader: BenchNode, learner: BenchNode): Promise<void> {
  await sendJson('PATCH', `${leader.api}/cluster/membership?timeout=60s`, { remove: [learner.id] })
  await learner.signal('SIGKILL')
}
