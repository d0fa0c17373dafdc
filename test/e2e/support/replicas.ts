import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterStatus } from '../../../src/api/cluster.ts'
import { patienceMs } from './eventually.ts'
import type { NodeProcess } from './node-process.ts'

export type Replica = Pick<NodeProcess, 'id'> & { readonly client: Pick<NodeProcess['client'], 'request'> }

/** How much of a replica's status tells what it holds. */
type ReplicaStatus = Pick<
  ClusterStatus,
  'clusterId' | 'leader' | 'committed' | 'applied' | 'digest' | 'membership' | 'node'
>

export interface ComparisonOptions {
  /** The secret of a token, for a cluster that has tokens. */
  readonly token?: string | undefined
  /** How long replicas that follow one leader may take to come level. */
  readonly levelMsMax?: number
}

/** Replicas that follow no leader together, because a test has cut them off, get this long to come level, and need not. */
const APART_MS_MAX = 3_000
const SILENCE_MS_MAX = 1_000
const POLL_MS = 50

/** What is wrong with replicas of a cluster that have applied the same and hold different states; null when nothing is. */
function differenceAmong(statuses: readonly ReplicaStatus[]): string | null {
  for (const [at, one] of statuses.entries()) {
    const other = statuses.slice(at + 1).find((status) => isAtSame(one, status) && status.digest !== one.digest)
    if (other === undefined) continue
    const ids = `nodes ${one.node.id} and ${other.node.id}`
    return `${ids} have both applied ${one.applied?.index}, with the digests ${one.digest} and ${other.digest}`
  }
  return null
}

/** Whether replicas of one cluster have all applied the same. */
function areLevel(statuses: readonly ReplicaStatus[]): boolean {
  return statuses.every((one) =>
    statuses.every((other) => one.clusterId !== other.clusterId || isAtSame(one, other) || one.clusterId === null),
  )
}

/** While a replica applies entries, its digest is ahead of what it calls applied. */
function isAtSame(one: ReplicaStatus, other: ReplicaStatus): boolean {
  if (one.clusterId === null || one.clusterId !== other.clusterId) return false
  const indexes = [one, other].flatMap(({ applied, committed }) => [applied?.index, committed?.index])
  return new Set(indexes).size === 1
}

/** Whether replicas of one cluster follow the same leader, so that all of them come to the same entry once clients are silent. */
function followOneLeader(statuses: readonly ReplicaStatus[]): boolean {
  return statuses.every((one) =>
    statuses.every(
      (other) => one.clusterId !== other.clusterId || (one.leader !== null && one.leader === other.leader),
    ),
  )
}

/**
 * Throws when two of `nodes` hold different states. Those that follow one leader have to come level for that: throws when they do not in their
 * time. Those that follow none together are compared where they have applied the same. A node that does not answer, or is no member, is left out.
 */
export async function expectEqualReplicas(
  nodes: readonly Replica[],
  { token, levelMsMax = patienceMs }: ComparisonOptions = {},
): Promise<void> {
  if (nodes.length < 2) return
  const startedAt = performance.now()
  for (;;) {
    const answers = await Promise.all(nodes.map(async (node) => await statusOf(node, token)))
    const statuses = answers.filter((status) => status !== null)
    const difference = differenceAmong(statuses)
    if (difference !== null) throw new Error(`replicas differ: ${difference}`)
    if (areLevel(statuses)) return
    const tookMs = performance.now() - startedAt
    if (!followOneLeader(statuses)) {
      if (tookMs > APART_MS_MAX) return
    } else if (tookMs > levelMsMax) {
      throw new Error(
        `replicas are not compared: in ${levelMsMax} ms they have not come level: ${progressOf(statuses)}`,
      )
    }
    await delay(POLL_MS)
  }
}

function progressOf(statuses: readonly ReplicaStatus[]): string {
  return statuses
    .map(({ node, applied, committed }) => {
      return `node ${node.id} has applied ${applied?.index ?? 0} of ${committed?.index ?? 0}`
    })
    .join(', ')
}

/** Null: the node does not answer, or is no member. Throws when it wants a token, since nothing would be compared then. */
async function statusOf(node: Replica, token: string | undefined): Promise<ReplicaStatus | null> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const answer = await node.client
    .request('GET', '/cluster', { silenceMsMax: SILENCE_MS_MAX, headers })
    .catch(() => null)
  if (answer?.status === 401 || answer?.status === 403) {
    const advice = 'give the cluster one that may read it (`token` of TestCluster)'
    throw new Error(`replicas are not compared: node ${node.id} wants a token: ${advice}`)
  }
  const status = answer?.status === 200 ? answer.json<ReplicaStatus>() : null
  return status?.membership?.effective.membership.nodes[String(node.id)] === undefined ? null : status
}
