import type { LeaderId, LogId, LogIndex, Membership, NodeAddresses, NodeId, StoredMembership, Vote } from './types.ts'

/** Why this node cannot take a request that only a leader can take. */
export type NotLeading =
  | { readonly kind: 'not-leader'; readonly leader: NodeId | null }
  /** Leadership is being handed to `to`: nothing new is taken. */
  | { readonly kind: 'transferring'; readonly to: NodeId }

export type ProposeOutcome =
  | { readonly kind: 'accepted'; readonly leaderId: LeaderId; readonly first: LogIndex; readonly last: LogIndex }
  | NotLeading
  /** Too many uncommitted bytes are waiting already. Nothing was appended. */
  | { readonly kind: 'overloaded' }

export type InitializeOutcome =
  | { readonly kind: 'appended'; readonly logId: LogId }
  | {
      readonly kind: 'already-initialized'
      readonly last: LogId | null
      readonly vote: Vote
      readonly membership: StoredMembership
    }
  | { readonly kind: 'not-in-members' }

/** The incarnation by which the driver knows a member; null when it has not met the member. */
export type IncarnationOf = (id: NodeId) => string | null

/** From now on the member is reached at another address. */
export interface Move {
  readonly id: NodeId
  readonly addresses: NodeAddresses
}

export type MembershipChange =
  | { readonly type: 'add-learner'; readonly id: NodeId; readonly addresses: NodeAddresses }
  | { readonly type: 'remove-learner'; readonly id: NodeId }
  /** Nothing but the incarnations that the driver knows and the membership lacks. */
  | { readonly type: 'identify' }
  /** New addresses for nodes that are members already. */
  | { readonly type: 'set-addresses'; readonly moves: readonly Move[] }
  /**
   * Makes `voters` the voters, through a joint configuration unless they are the same. `retain`: voters that leave stay as learners.
   * `allowLagging`: promotes learners that are not caught up. `force`: skips the check for a live quorum of the new configuration.
   */
  | {
      readonly type: 'set-voters'
      readonly voters: readonly NodeId[]
      readonly retain: boolean
      readonly allowLagging: boolean
      readonly force: boolean
    }

export type ChangeOutcome =
  /** The entry is in the leader's log. For `set-voters`, the final configuration follows by itself once the joint one is committed. */
  | { readonly kind: 'appended'; readonly logId: LogId; readonly membership: Membership }
  /** The membership is as requested already. */
  | { readonly kind: 'unchanged'; readonly stored: StoredMembership }
  | NotLeading
  /** An earlier change is uncommitted, a joint configuration is not finished, or this leader has not committed an entry of its own yet. */
  | { readonly kind: 'in-progress'; readonly stored: StoredMembership }
  | { readonly kind: 'precondition-failed'; readonly stored: StoredMembership }
  | { readonly kind: 'address-conflict'; readonly id: NodeId; readonly addresses: NodeAddresses }
  | { readonly kind: 'learner-not-found'; readonly id: NodeId }
  | { readonly kind: 'unknown-voter'; readonly id: NodeId }
  | { readonly kind: 'empty-membership' }
  | { readonly kind: 'learner-lagging'; readonly id: NodeId; readonly lag: number }
  | { readonly kind: 'quorum-at-risk'; readonly unreachable: readonly NodeId[] }

export type ReadOutcome = { readonly kind: 'pending' } | NotLeading

export type TransferOutcome =
  | { readonly kind: 'started'; readonly to: NodeId }
  | NotLeading
  /** No voter (or not the one asked for) can take over now. */
  | { readonly kind: 'no-target'; readonly reason: string }

export type CampaignOutcome = { readonly kind: 'started' } | { readonly kind: 'refused'; readonly reason: string }

/** How a transfer of the state goes, as its sender sees it; `sending` whenever it has made progress. */
export type SnapshotReport = 'sending' | 'installed' | 'failed'

/** How far one follower or learner is, as the leader sees it. */
export interface FollowerView {
  readonly id: NodeId
  /** As in `SnapshotPlan`: tells a node from the same node after it was removed and added again. */
  readonly session: number
  readonly mode: 'probe' | 'replicate' | 'snapshot'
  readonly matched: LogIndex
  /** When the follower last answered, by the leader's clock; null: not since this node began to lead. */
  readonly heardAt: number | null
  /** Close enough behind the leader to vote, or to lead. */
  readonly caughtUp: boolean
}
