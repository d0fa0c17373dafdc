import { setTimeout as delay } from 'node:timers/promises'
import type { Bench } from './lib/bench.ts'
import type { Chart } from './lib/chart.ts'
import { eventually, withCluster, type BenchCluster, type BenchNode } from './lib/cluster.ts'
import { eventuallyWhole, statusOf } from './lib/conditions.ts'
import type { Figure } from './lib/report.ts'
import { call } from './lib/rest.ts'
import { cumulative, median } from './lib/statistics.ts'

/** `partition`: nothing passes between the leader and the others any more, as in a network that loses every packet. */
export type Failure = 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'partition'

export interface ElectionOptions {
  readonly repeat: number
  readonly failures: readonly Failure[]
}

const every: readonly Failure[] = ['SIGKILL', 'SIGTERM', 'SIGSTOP', 'partition']

interface Round {
  /** The time from the failure until a surviving node names another leader. */
  readonly leaderMs: number
  /** The time from the failure until a surviving node acknowledges a write that was started after the failure. */
  readonly writeMs: number
  /** The longest time between two acknowledged writes of a client that keeps writing to a surviving node. */
  readonly gapMs: number
}

const SETTLE_MS = 300
const GAP_WATCH_MS = 1_500
const WRITE_TIMEOUT_MS = 10_000

/** Measures how long the cluster accepts no writes when its leader is killed, asked to stop, frozen, or cut off. */
async function run(options: ElectionOptions): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const failure of options.failures) {
    // Only a partition needs proxies: they would hide from the peers that a process has ended.
    await withCluster({ withLinks: failure === 'partition' }, async (cluster) => {
      const rounds: Round[] = []
      for (let round = 0; round < options.repeat; round++) rounds.push(await failOver(cluster, failure))
      for (const until of ['leaderMs', 'writeMs', 'gapMs'] as const) {
        const samples = rounds.map((round) => round[until])
        figures.push({
          bench: 'election-latency',
          settings: { failure, until, rounds: options.repeat },
          values: { min: Math.min(...samples), median: median(samples), max: Math.max(...samples) },
          curves: { cumulative: cumulative(samples) },
        })
      }
    })
  }
  return figures
}

async function failOver(cluster: BenchCluster, failure: Failure): Promise<Round> {
  const leader = await cluster.leader()
  const survivors = cluster.nodes.filter(({ id }) => id !== leader.id)
  const witness = survivors[0] ?? leader
  const gap = watchGap(witness)
  await delay(SETTLE_MS)
  const failedAt = performance.now()
  const ended = fail(cluster, leader, failure)
  const [leaderMs, writeMs] = await Promise.all([
    newLeader(survivors, leader.id).then(() => performance.now() - failedAt),
    firstWrite(witness).then(() => performance.now() - failedAt),
  ])
  await delay(GAP_WATCH_MS)
  const gapMs = await gap.stop()
  await recover(cluster, leader, failure, ended)
  return { leaderMs, writeMs, gapMs }
}

async function fail(cluster: BenchCluster, leader: BenchNode, failure: Failure): Promise<void> {
  if (failure !== 'partition') return leader.signal(failure)
  const others = cluster.nodes.map(({ id }) => id).filter((id) => id !== leader.id)
  cluster.links?.part([leader.id], others)
}

function newLeader(survivors: readonly BenchNode[], old: number): Promise<number> {
  return eventually('another leader', async () => {
    for (const node of survivors) {
      const { leader } = await statusOf(node)
      if (leader !== null && leader !== old) return leader
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
  await ended
  if (failure === 'partition') cluster.links?.heal()
  else if (failure === 'SIGSTOP') await failed.signal('SIGCONT')
  else await failed.start()
  await eventuallyWhole(cluster.nodes)
}

function charts(figures: readonly Figure[]): Chart[] {
  const of = (until: string): Chart['lines'] =>
    Object.fromEntries(
      figures
        .filter(({ settings }) => settings['until'] === until)
        .map(({ settings, curves }) => [String(settings['failure']), curves?.['cumulative'] ?? []]),
    )
  const chart = (until: string, title: string): Chart => ({
    name: `election-latency-${until}`,
    title,
    x: { title: 'ms', scale: 'log' },
    y: { title: '% of the failures' },
    lines: of(until),
  })
  return [
    chart('writeMs', 'From the failure of the leader to the first acknowledged write'),
    chart('gapMs', 'Longest gap between two acknowledged writes of one client'),
  ]
}

export const electionLatency: Bench<ElectionOptions> = {
  sizes: {
    smoke: { repeat: 1, failures: ['partition'] },
    quick: { repeat: 3, failures: every },
    normal: { repeat: 7, failures: every },
    full: { repeat: 20, failures: every },
  },
  run,
  charts,
}
