import type { ClusterStatus } from '../api/cluster.ts'
import { limits } from '../limits.ts'
import type { Connect } from './client-tls.ts'
import type { ClusterViews } from './cluster-views.ts'
import { describeWarnings } from './cluster-warnings.ts'
import { isClientFailure } from './connection.ts'
import { hasQuorum, leftToFail } from './quorum.ts'
import { exitCodes } from './terminal.ts'

/** One node that was asked. */
export interface NodeHealth {
  readonly origin: string
  /** Null: it did not answer. */
  readonly id: number | null
  readonly state: string | null
  readonly leader: number | null
  /** By how many entries it is behind; null when the leader does not say. */
  readonly lag: number | null
  readonly ready: boolean
}

export interface ClusterHealth {
  readonly healthy: boolean
  readonly clusterId: string | null
  readonly leader: number | null
  readonly nodes: readonly NodeHealth[]
  /** How many more voters may fail; negative without a quorum, null without a cluster. */
  readonly mayFail: number | null
  /** What is wrong, a sentence each. */
  readonly findings: readonly string[]
  /** The exit code that goes with it. */
  readonly code: number
}

/** Asks each node that answered whether it is ready, and judges what all of them said. */
export async function assessHealth(seen: ClusterViews, connect: Connect, timeoutMs: number): Promise<ClusterHealth> {
  const unready = await Promise.all(seen.views.map(async ({ origin }) => await whyNotReady(origin, connect, timeoutMs)))
  return judge(seen, unready)
}

/** `unready`: for each view, why its node is not ready; null when it is. */
export function judge(seen: ClusterViews, unready: readonly (string | null)[]): ClusterHealth {
  const { newest, views, silent } = seen
  const findings = [
    ...notThere(seen),
    ...views.flatMap(({ view }, at) => notReady(view, unready[at] ?? null)),
    ...disagreement(seen),
    ...missingVoters(newest),
    ...behind(newest),
    ...forked(seen),
    ...describeWarnings(seen),
  ]
  return {
    healthy: findings.length === 0,
    clusterId: newest.clusterId,
    leader: newest.leader,
    nodes: [
      ...views.map(({ origin, view }, at) => ({
        origin,
        id: view.node.id,
        state: view.node.state,
        leader: view.leader,
        lag: newest.nodes[view.node.id]?.lag ?? null,
        ready: (unready[at] ?? null) === null,
      })),
      ...silent.map(({ origin }) => ({ origin, id: null, state: null, leader: null, lag: null, ready: false })),
    ],
    mayFail: mayFail(newest),
    findings,
    code: codeOf(newest, findings),
  }
}

function codeOf(newest: ClusterStatus, findings: readonly string[]): number {
  if (!hasQuorum(newest)) return exitCodes.noQuorum
  return findings.length === 0 ? exitCodes.stopped : exitCodes.checkFailed
}

async function whyNotReady(origin: string, connect: Connect, timeoutMs: number): Promise<string | null> {
  const client = connect({ servers: [origin], timeoutMs, retry: false })
  try {
    await client.cluster.checkHealth('readyz')
    return null
  } catch (error) {
    if (!isClientFailure(error)) throw error
    return error.message.replace(`${origin}: `, '')
  } finally {
    client.close()
  }
}

function notThere({ newest, silent, foreign }: ClusterViews): string[] {
  const none = newest.clusterId === null ? [`node ${newest.node.id} belongs to no cluster yet`] : []
  const dumb = silent.map(({ origin, reason }) => `${origin} does not answer: ${reason}`)
  const others = foreign.map(({ origin, id, clusterId }) => {
    return `node ${id} at ${origin} belongs to ${clusterId === null ? 'no cluster yet' : `another cluster, ${clusterId}`}`
  })
  return [...none, ...dumb, ...others]
}

function notReady({ node, clusterId }: ClusterStatus, why: string | null): string[] {
  return why === null || clusterId === null ? [] : [`node ${node.id} is not ready: ${why}`]
}

/** Every node that answers has to know the same leader. */
function disagreement({ newest, views }: ClusterViews): string[] {
  if (newest.clusterId === null) return []
  if (newest.leader === null) return ['no leader is known']
  const others = views.filter(({ view }) => view.leader !== newest.leader)
  return others.map(({ view }) => {
    const named = view.leader === null ? 'knows no leader' : `takes node ${view.leader} for the leader`
    return `node ${view.node.id} ${named}, and others node ${newest.leader}`
  })
}

/** Members that the leader does not reach, whether or not their API answers here. */
function missingVoters({ membership, nodes }: ClusterStatus): string[] {
  const lost = Object.entries(nodes)
    .filter(([, { reachable }]) => reachable === false)
    .map(([id, { role }]) => `${role} ${id} is not connected to the node that knows most`)
  const short = (membership?.effective.membership.configs ?? []).some((voters) => leftToFail(voters, nodes) < 0)
  return short ? [...lost, 'a majority of the voters is missing'] : lost
}

function behind({ nodes }: ClusterStatus): string[] {
  return Object.entries(nodes).flatMap(([id, { lag }]) => {
    return lag !== null && lag > limits.caughtUpEntriesMax ? [`node ${id} is ${lag} entries behind`] : []
  })
}

/** Nodes that have applied the same entries have the same state, or one of them is wrong. */
function forked({ views }: ClusterViews): string[] {
  const first = new Map<number, ClusterStatus>()
  return views.flatMap(({ view }) => {
    if (view.applied === null) return []
    const other = first.get(view.applied.index)
    if (other === undefined) first.set(view.applied.index, view)
    if (other === undefined || other.digest === view.digest) return []
    return [
      `nodes ${other.node.id} and ${view.node.id} have applied the log up to ${view.applied.index}, and their states differ`,
    ]
  })
}

function mayFail({ membership, nodes }: ClusterStatus): number | null {
  if (membership === null) return null
  return Math.min(...membership.effective.membership.configs.map((voters) => leftToFail(voters, nodes)))
}
