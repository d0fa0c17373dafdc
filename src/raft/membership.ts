import { assert } from '../lib/assert.ts'
import { elementAt } from '../lib/element-at.ts'
import type { IncarnationOf } from './requests.ts'
import type { Membership, NodeAddresses, NodeId } from './types.ts'

/** The first guarantee of `Membership` that `membership` breaks, in words; null when it breaks none. */
export function membershipProblem(membership: Membership): string | null {
  const { configs, nodes, removing } = membership
  if (configs.length !== 1 && configs.length !== 2) return 'a membership has one configuration, or two while it changes'
  for (const config of configs) {
    if (config.length === 0) return 'a configuration has at least one voter'
    if (!ascends(config)) return 'voters ascend without repeats'
    if (!config.every((id) => nodes.has(id))) return 'every voter has addresses'
  }
  if (configs.length === 1 && removing.length > 0) return 'only a joint configuration names nodes to remove'
  if (!ascends(removing)) return 'nodes to remove ascend without repeats'
  const [oldVoters = [], newVoters = []] = configs
  if (!removing.every((id) => oldVoters.includes(id) && !newVoters.includes(id))) {
    return 'only voters of the old configuration alone are removed'
  }
  return null
}

/** For memberships that this code built or has accepted already: a broken one is a broken belief. */
export function checkMembership(membership: Membership): void {
  const problem = membershipProblem(membership)
  assert(problem === null, problem ?? '')
}

export function isVoter(membership: Membership, id: NodeId): boolean {
  return membership.configs.some((config) => config.includes(id))
}

export function isJoint(membership: Membership): boolean {
  return membership.configs.length > 1
}

/** The voters of all configurations, ascending. */
export function votersOf(membership: Membership): NodeId[] {
  const [first = [], second = []] = membership.configs
  if (second.length === 0) return [...first]
  return ascending([...first, ...second])
}

/** The voters once the change in progress, if any, is done. */
export function futureVotersOf(membership: Membership): readonly NodeId[] {
  return membership.configs.at(-1) ?? []
}

/** The membership that follows a joint one: the new configuration alone, without the nodes that were to be removed (thesis 4.3). */
export function finalMembershipOf(joint: Membership): Membership {
  assert(isJoint(joint), 'only a joint membership has a final one')
  const nodes = new Map([...joint.nodes].filter(([id]) => !joint.removing.includes(id)))
  return { configs: [futureVotersOf(joint)], nodes, removing: [] }
}

/**
 * Adds the known incarnations of members that carry none yet. A node that joins later has never met these members, and must be able to tell
 * a member that lost its data from the one it was before (raft.md 4). Returns `membership` itself when there is nothing to add.
 */
export function identified(membership: Membership, incarnationOf: IncarnationOf): Membership {
  const nodes = new Map<NodeId, NodeAddresses>()
  for (const [id, addresses] of membership.nodes) {
    const incarnation = addresses.incarnation ?? incarnationOf(id)
    nodes.set(id, incarnation === null ? addresses : { ...addresses, incarnation })
  }
  const isSame = [...nodes].every(([id, { incarnation }]) => membership.nodes.get(id)?.incarnation === incarnation)
  return isSame ? membership : { ...membership, nodes }
}

export function sameAddresses(a: NodeAddresses, b: NodeAddresses): boolean {
  return a.raft === b.raft && a.api === b.api
}

export function sameIds(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i])
}

/** Sorted, without repeats. */
export function ascending(ids: readonly NodeId[]): NodeId[] {
  return [...new Set(ids)].sort((a, b) => a - b)
}

function ascends(ids: readonly NodeId[]): boolean {
  return ids.every((id, i) => i === 0 || id > elementAt(ids, i - 1))
}
