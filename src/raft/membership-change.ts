import { unreachable } from '../lib/assert.ts'
import { ascending, futureVotersOf, isVoter, sameAddresses, sameIds } from './membership.ts'
import { hasQuorum } from './quorum.ts'
import type { ChangeOutcome, MembershipChange, Move } from './requests.ts'
import type { Membership, NodeAddresses, NodeId } from './types.ts'

/** What the leader knows about its followers, as far as a change depends on it. */
export interface FollowerHealth {
  /** How many entries `id` is behind; null when it has caught up. */
  lagOf(id: NodeId): number | null
  /** Whether it has answered within an election timeout; the leader itself always has. */
  isLive(id: NodeId): boolean
}

type Refusal = Extract<
  ChangeOutcome,
  {
    kind:
      | 'address-conflict'
      | 'learner-not-found'
      | 'unknown-voter'
      | 'empty-membership'
      | 'learner-lagging'
      | 'quorum-at-risk'
  }
>

export type PlannedChange =
  { readonly kind: 'next'; readonly membership: Membership } | { readonly kind: 'unchanged' } | Refusal

/** The membership that `change` turns `current` into. `current` is committed and not joint (raft.md 4). */
export function planChange(current: Membership, change: MembershipChange, health: FollowerHealth): PlannedChange {
  switch (change.type) {
    case 'add-learner':
      return planAddLearner(current, change.id, change.addresses)
    case 'remove-learner':
      return planRemoveLearner(current, change.id)
    case 'identify':
      return { kind: 'next', membership: current }
    case 'set-addresses':
      return planSetAddresses(current, change.moves)
    case 'set-voters':
      return planSetVoters(current, change, health)
    default:
      return unreachable(change, 'membership change')
  }
}

function planAddLearner(current: Membership, id: NodeId, addresses: NodeAddresses): PlannedChange {
  const known = current.nodes.get(id)
  if (known !== undefined && sameAddresses(known, addresses)) return { kind: 'unchanged' }
  if (known !== undefined) return { kind: 'address-conflict', id, addresses: known }
  return ownerOf(current, id, addresses) ?? withNode(current, id, addresses)
}

function planRemoveLearner(current: Membership, id: NodeId): PlannedChange {
  if (!current.nodes.has(id) || isVoter(current, id)) return { kind: 'learner-not-found', id }
  const nodes = new Map(current.nodes)
  nodes.delete(id)
  return { kind: 'next', membership: { ...current, nodes } }
}

/** All moves at once: members may have taken each other's addresses. */
function planSetAddresses(current: Membership, moves: readonly Move[]): PlannedChange {
  const nodes = new Map(current.nodes)
  for (const { id, addresses } of moves) {
    const known = nodes.get(id)
    if (known === undefined) return { kind: 'learner-not-found', id }
    if (!sameAddresses(known, addresses)) nodes.set(id, { ...known, ...addresses })
  }
  if ([...nodes].every(([id, addresses]) => current.nodes.get(id) === addresses)) return { kind: 'unchanged' }
  const next = { ...current, nodes }
  for (const { id, addresses } of moves) {
    const owner = ownerOf(next, id, addresses)
    if (owner !== null) return owner
  }
  return { kind: 'next', membership: next }
}

/** Two ids behind one address would let one process count twice. */
function ownerOf(current: Membership, id: NodeId, addresses: NodeAddresses): Refusal | null {
  for (const [other, theirs] of current.nodes) {
    if (other !== id && (theirs.raft === addresses.raft || theirs.api === addresses.api)) {
      return { kind: 'address-conflict', id: other, addresses: theirs }
    }
  }
  return null
}

function withNode(current: Membership, id: NodeId, addresses: NodeAddresses): PlannedChange {
  const nodes = new Map([...current.nodes, [id, addresses] as const].sort(([a], [b]) => a - b))
  return { kind: 'next', membership: { ...current, nodes } }
}

function planSetVoters(
  current: Membership,
  change: Extract<MembershipChange, { type: 'set-voters' }>,
  health: FollowerHealth,
): PlannedChange {
  const voters = ascending(change.voters)
  const oldVoters = futureVotersOf(current)
  if (voters.length === 0) return { kind: 'empty-membership' }
  const stranger = voters.find((id) => !current.nodes.has(id))
  if (stranger !== undefined) return { kind: 'unknown-voter', id: stranger }
  if (sameIds(voters, oldVoters)) return { kind: 'unchanged' }
  if (!change.allowLagging) {
    for (const id of voters) {
      if (oldVoters.includes(id)) continue
      const lag = health.lagOf(id)
      if (lag !== null) return { kind: 'learner-lagging', id, lag }
    }
  }
  const leaving = oldVoters.filter((id) => !voters.includes(id))
  const joint = { configs: [oldVoters, voters], nodes: current.nodes, removing: change.retain ? [] : leaving }
  if (!change.force && !hasQuorum({ ...joint, configs: [voters] }, (id) => health.isLive(id))) {
    return { kind: 'quorum-at-risk', unreachable: voters.filter((id) => !health.isLive(id)) }
  }
  return { kind: 'next', membership: joint }
}
