import type { BenchCluster, BenchNode } from './lib/cluster.ts'
import { eventually, startCluster } from './lib/cluster.ts'
import type { Figure } from './lib/report.ts'
import { median } from './lib/report.ts'
import { call, getJson } from './lib/rest.ts'

export type Failure = 'SIGKILL' | 'SIGTERM' | 'SIGSTOP'

export interface ElectionOptions {
  readonly rounds: number
  readonly failures: readonly Failure[]
}

export const electionDefaults: ElectionOptions = { rounds: 20, failures: ['SIGKILL', 'SIGTERM', 'SIGSTOP'] }

interface Round {
  /** The time from the signal until a surviving node names another leader. */
  readonly leaderMs: number
  /** The time from the signal until a surviving node acknowledges a write that was started after the signal. */
  readonly writeMs: number
  /** The longest time between two acknowledged writes of a client that keeps writing to a surviving node. */
  readonly gapMs: number
}

const GAP_WATCH_MS = 1_500
const WRITE_TIMEOUT_MS = 10_000

/** Measures how long the cluster accepts no writes when its leader is killed, asked to stop, or frozen. */
export async function electionLatency(options: ElectionOptions = electionDefaults): Promise<Figure[]> {
  const figures: Figure[] = []
  const cluster = await startCluster()
  try {
    for (const failure of options.failures) {
      const rounds: Round[] = []
      for (let round = 0; round < options.rounds; round++) rounds.push(await failOver(cluster, failure))
      for (const field of ['leaderMs', 'writeMs', 'gapMs'] as const) {
        const values = rounds.map((round) => round[field])
        figures.push({
          bench: 'election-latency',
          settings: { failure, until: field, rounds: options.rounds },
          values: { min: Math.min(...values), median: median(values), max: Math.max(...values) },
        })
      }
    }
    return figures
  } finally {
    await cluster.stop()
  }
}

async function failOver(cluster: BenchCluster, failure: Failure): Promise<Round> {
  const leader = await cluster.leader()
  const survivors = cluster.nodes.filter(({ id }) => id !== leader.id)
  const witness = survivors[0] ?? leader
  const gap = watchGap(witness)
  await new Promise((resolve) => setTimeout(resolve, 300))
  const signalled = performance.now()
  const ended = leader.signal(failure)
  const [leaderMs, writeMs] = await Promise.all([
    newLeader(survivors, leader.id).then(() => performance.now() - signalled),
    firstWrite(witness).then(() => performance.now() - signalled),
  ])
  await new Promise((resolve) => setTimeout(resolve, GAP_WATCH_MS))
  const gapMs = await gap.stop()
  await recover(cluster, leader, failure, ended)
  return { leaderMs, writeMs, gapMs }
}

function newLeader(survivors: readonly BenchNode[], old: number): Promise<number> {
  return eventually('another leader', async () => {
    for (const { api } of survivors) {
      const { leader } = await getJson(`${api}/cluster`)
      if (typeof leader === 'number' && leader !== old) return leader
    }
    return null
  })
}

/** One write with a long deadline: the node itself waits for the next leader. */
async function firstWrite(node: BenchNode): Promise<void> {
  const answer = await call('PUT', `${node.api}/kv/probe?timeout=10s`, 'x', {}, WRITE_TIMEOUT_MS)
  if (answer.status !== 200) throw new Error(`the write after the failure: ${answer.status} ${answer.body.toString()}`)
}

function watchGap(node: BenchNode): { stop(): Promise<number> } {
  let running = true
  let longest = 0
  const watch = async (): Promise<void> => {
    let last = performance.now()
    while (running) {
      const answer = await call('PUT', `${node.api}/kv/gap`, 'x', {}, WRITE_TIMEOUT_MS).catch(() => null)
      if (answer?.status !== 200) continue
      const now = performance.now()
      longest = Math.max(longest, now - last)
      last = now
    }
  }
  const watching = watch()
  return {
    stop: async () => {
      running = false
      await watching
      return longest
    },
  }
}

/** Brings the failed node back, and waits until all nodes follow the same leader and have caught up. */
async function recover(
  cluster: BenchCluster,
  failed: BenchNode,
  failure: Failure,
  ended: Promise<void>,
): Promise<void> {
  if (failure === 'SIGSTOP') await failed.signal('SIGCONT')
  else {
    await ended
    await failed.start()
  }
  await eventually('the cluster is whole again', async () => {
    const views = await Promise.all(cluster.nodes.map(({ api }) => getJson(`${api}/cluster`)))
    const leaders = new Set(views.map((view) => view['leader']))
    const lead = views.find((view) => view['leader'] === (view['node'] as { id: number }).id)
    const members = Object.values((lead?.['nodes'] ?? {}) as Record<string, { lag: number | null; reachable: boolean }>)
    const whole =
      members.length === cluster.nodes.length &&
      members.every(({ lag, reachable }) => lag !== null && lag < 10 && reachable)
    return leaders.size === 1 && whole ? true : null
  })
}
