import type { MemberSpec } from '../../api/cluster.ts'
import { firstDouble } from '../../lib/first-double.ts'
import { limits } from '../../limits.ts'
import type { LogStore } from '../../ports/log-store.ts'
import type { LogId, Membership, StoredMembership } from '../../raft/index.ts'
import { logIndex, nodeId, term } from '../../raft/index.ts'
import { restoredClusterId } from '../codec/cluster-id.ts'
import { encodeMembership } from '../codec/membership-codec.ts'
import { machineAfter, type StateMeta } from '../codec/state-meta.ts'
import { membershipOfVoters } from '../membership/api-views.ts'
import type { Backup } from './backup-reader.ts'

/** What every node of the new cluster is told, in the same words. */
export interface RestoreWishes {
  readonly members: readonly MemberSpec[]
  readonly clusterToken: string
  /** Tells two restores of one backup for the same members apart. */
  readonly name: string
  /**
   * How many revisions lie between the last one of the backup and the first one of the new cluster. 0: they go on without a gap, and so does
   * the history.
   */
  readonly revisionGap: number
}

export interface RestorePlan {
  readonly clusterId: string
  readonly membership: Membership
  /** The state with which every node of the new cluster begins. */
  readonly meta: StateMeta
}

type Hash = (text: string) => string

/** Why no cluster of these members can be restored on node `id`; null when nothing speaks against it. */
export function membersProblem(members: readonly MemberSpec[], id: number): string | null {
  if (members.length === 0) return 'no members are named'
  if (members.length > limits.membersMax)
    return `${members.length} members are named; at most ${limits.membersMax} are allowed`
  const beyond = members.find((member) => member.id > limits.nodeIdMax)
  if (beyond !== undefined) return `the id ${beyond.id} is too large; at most ${limits.nodeIdMax} is allowed`
  const double = firstDouble(members, ['id', 'raft', 'api'])
  if (double !== null) return `two members have the ${double.field} ${double.value}`
  if (!members.some((member) => member.id === id))
    return `node ${id}, for which this directory is, is not among them; name every member, this node included`
  return null
}

/**
 * What a backup becomes. Every node computes the same from the same backup and the same wishes, so that their directories form one cluster.
 *
 * The state is that of the backup as of one more entry, which sets the new membership: as if a leader of a later term had written it, all
 * nodes had applied it, and the log before had been freed. The cluster has a name of its own, so no node of the old one is heard.
 *
 * With a gap, every revision that clients of the old cluster may have seen after the backup lies in it (`machineAfter`).
 */
export function planRestore({ header, meta }: Backup, wishes: RestoreWishes, hash: Hash): RestorePlan | string {
  const { members, clusterToken, name, revisionGap } = wishes
  const membership = membershipOfVoters(members)
  const { applied, machine } = meta
  const index = applied.index + revisionGap + 1
  const ballot = applied.leaderId.term + 1
  if (index > limits.logIndexMax || ballot > limits.termMax)
    return `revisions would go on at ${index}, beyond the highest possible index, ${limits.logIndexMax}: choose a smaller --revision-gap`
  const [first = nodeId(1)] = membership.nodes.keys()
  const base: LogId = { leaderId: { term: term(ballot), nodeId: first }, index: logIndex(index) }
  const stored: StoredMembership = { logId: base, membership }
  const way = [header.id, index, ballot, name, Buffer.from(encodeMembership(membership)).toString('utf8')]
  return {
    clusterId: restoredClusterId(clusterToken, way, hash),
    membership,
    meta: { applied: base, membership: stored, machine: machineAfter(revisionGap, index, machine) },
  }
}

/** Makes the log that belongs to the state of `plan`, in a log that is open and empty. */
export async function writeRestoredLog({ clusterId, meta }: RestorePlan, log: LogStore): Promise<void> {
  const { applied } = meta
  const vote = { leaderId: applied.leaderId, committed: true }
  await log.write([{ type: 'hard-state', state: { vote, clusterId } }])
  await log.write([{ type: 'reset', purged: applied }])
}
