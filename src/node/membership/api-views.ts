import type { LogIdView, MemberSpec, MembershipAnswer, MembershipView, VoteView } from '../../api/cluster.ts'
import type { LogId, Membership, NodeAddresses, NodeId, StoredMembership, Vote } from '../../raft/index.ts'
import { nodeId } from '../../raft/index.ts'

/* The core's types as the API shows them. */

export function logIdView(logId: LogId | null): LogIdView | null {
  return logId === null ? null : { term: logId.leaderId.term, node: logId.leaderId.nodeId, index: logId.index }
}

export function voteView(vote: Vote): VoteView {
  return { term: vote.leaderId.term, node: vote.leaderId.nodeId, committed: vote.committed }
}

export function votersOfMembership(membership: Membership): Set<NodeId> {
  return new Set(membership.configs.flat())
}

export function membershipView(membership: Membership): MembershipView {
  const voters = votersOfMembership(membership)
  const ids = [...membership.nodes.keys()].sort((a, b) => a - b)
  const nodes: Record<string, NodeAddresses> = {}
  for (const id of ids) {
    const addresses = membership.nodes.get(id)
    if (addresses !== undefined) nodes[String(id)] = { raft: addresses.raft, api: addresses.api }
  }
  return { configs: membership.configs, learners: ids.filter((id) => !voters.has(id)), nodes }
}

export function membershipAnswer(stored: StoredMembership, committed: StoredMembership): MembershipAnswer {
  return {
    membership: membershipView(stored.membership),
    logId: logIdView(stored.logId),
    committed: stored.logId !== null && committed.logId !== null && committed.logId.index >= stored.logId.index,
    joint: stored.membership.configs.length > 1,
  }
}

/** A membership in which all of `members` vote. */
export function membershipOfVoters(members: readonly MemberSpec[]): Membership {
  const ids = members.map(({ id }) => nodeId(id)).sort((a, b) => a - b)
  const nodes = new Map(ids.map((id) => [id, addressesOf(members, id)]))
  return { configs: [ids], nodes, removing: [] }
}

function addressesOf(members: readonly MemberSpec[], id: NodeId): NodeAddresses {
  const member = members.find((one) => one.id === id)
  return { raft: member?.raft ?? '', api: member?.api ?? '' }
}

/** How many voters may fail before some configuration loses its majority. */
export function failureToleranceOf(membership: Membership): number {
  const tolerances = membership.configs.map((voters) => Math.ceil(voters.length / 2) - 1)
  return tolerances.length === 0 ? 0 : Math.min(...tolerances)
}
