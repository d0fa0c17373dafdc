import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterStatus } from '../../../src/api/cluster.ts'
import type { NodeProcess } from './node-process.ts'

export type Replica = Pick<NodeProcess, 'id'> & { readonly client: Pick<NodeProcess['client'], 'request'> }

/** How much of a replica's status tells what it holds. */
type ReplicaStatus = Pick<ClusterStatus, 'clusterId' | 'committed' | 'applied' | 'digest' | 'membership' | 'node'>

/** Replicas come level within moments once clients are silent. One that cannot, because a test has cut it off, need not. */
const LEVEL_MS_MAX = 3_000
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

/** Throws when two of `nodes` hold different states. Waits for those that are on the way to the same entry, and not for others. */
export async function expectEqualReplicas(nodes: readonly Replica[]): Promise<void> {
  if (nodes.length < 2) return
  const deadline = performance.now() + LEVEL_MS_MAX
  for (;;) {
    const statuses = (await Promise.all(nodes.map(statusOf))).filter((status) => status !== null)
    const difference = differenceAmong(statuses)
    if (difference !== null) throw new Error(`replicas differ: ${difference}`)
    if (areLevel(statuses) || performance.now() > deadline) return
    await delay(POLL_MS)
  }
}

/** Null: it does not answer, is no member, or wants a token. */
async function statusOf(node: Replica): Promise<ReplicaStatus | null> {
  try {
    const answer = await node.client.request('GET', '/cluster', { silenceMsMax: SILENCE_MS_MAX })
    const status = answer.status === 200 ? answer.json<ReplicaStatus>() : null
    return status?.membership?.effective.membership.nodes[String(node.id)] === undefined ? null : status
  } catch {
    return null
  }
}
