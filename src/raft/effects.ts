import type {
  AppendResponse,
  Moment,
  PreVoteRequest,
  PreVoteResponse,
  TransferRequest,
  VoteRequest,
  VoteResponse,
} from './message.ts'
import type { LogBatch, LogId, LogIndex, NodeId, NodeState, StoredMembership, Vote } from './types.ts'

/** A change of what is on disk. Writes are carried out in the order given; one that has begun is never reordered. */
export type Write =
  | { readonly type: 'vote'; readonly vote: Vote }
  /** Removes every entry from `from` on. */
  | { readonly type: 'truncate'; readonly from: LogIndex }
  /**
   * Appends the entries of `batch` from index `from` on (`batch.first <= from <= batch.last`; the entries before `from` are there already).
   */
  | { readonly type: 'append'; readonly batch: LogBatch; readonly from: LogIndex }
  /** Drops the whole log: the state machine now stands at `purged` (a snapshot), and the next entry follows it. */
  | { readonly type: 'reset'; readonly purged: LogId }
  /** Entries up to and including `purged` may be freed. */
  | { readonly type: 'purge'; readonly purged: LogId }

/**
 * "Send to `to` what your log holds in (prev, last]": an append request whose entries the driver looks up. `last` equals `prev`'s index
 * when there are no entries. If the entries cannot be read any more, drop the plan: the core tries again.
 */
export interface AppendPlan {
  readonly type: 'append-plan'
  readonly from: NodeId
  readonly to: NodeId
  readonly vote: Vote
  readonly session: number
  readonly prev: LogId | null
  readonly last: LogIndex
  readonly committed: LogIndex
  readonly sentAt: number
  readonly freshAt: Moment | null
}

export type Outgoing =
  PreVoteRequest | PreVoteResponse | VoteRequest | VoteResponse | AppendPlan | AppendResponse | TransferRequest

/** A message that claims something about this node's disk: it may leave only after write number `afterSeq` is durable. */
export interface HeldMessage {
  readonly afterSeq: number
  readonly message: Outgoing
}

/** Begin (or restart) streaming the state, as it is now or later, to `to`. Report with `snapshotReport(now, to, session, ...)`. */
export interface SnapshotPlan {
  readonly to: NodeId
  readonly session: number
  readonly vote: Vote
}

export type ReadRelease =
  /** Serve the read once everything up to `index` is applied. */
  | { readonly readId: number; readonly kind: 'ready'; readonly index: LogIndex }
  /** This node stopped leading before it could confirm. Nothing was read; ask the new leader. */
  | { readonly readId: number; readonly kind: 'failed' }

/** What happened, for logs, metrics and traces. Never needed for correctness. */
export type RaftEvent =
  | { readonly type: 'state-changed'; readonly state: NodeState; readonly vote: Vote }
  | { readonly type: 'leader-changed'; readonly leader: NodeId | null; readonly vote: Vote }
  | { readonly type: 'membership-changed'; readonly stored: StoredMembership; readonly committed: boolean }
  | { readonly type: 'campaign-started'; readonly preVote: boolean; readonly vote: Vote }
  | { readonly type: 'stepped-down'; readonly reason: string }
  | { readonly type: 'message-ignored'; readonly message: string; readonly from: NodeId; readonly reason: string }
  | { readonly type: 'truncated'; readonly from: LogIndex }
  | { readonly type: 'transfer-started' | 'transfer-ended'; readonly to: NodeId }
  | { readonly type: 'recovered' }

/** Everything the core asks of the world since the last call. The driver must honour the order of the fields. */
export interface Effects {
  /**
   * Numbered consecutively from 1 over the life of the process; `lastSeq` is the number of the last write here (unchanged if there is
   * none).
   */
  readonly writes: readonly Write[]
  readonly lastSeq: number
  /** Messages that say nothing about this node's disk: they may leave while writes are still in flight. */
  readonly sends: readonly Outgoing[]
  readonly held: readonly HeldMessage[]
  readonly snapshots: readonly SnapshotPlan[]
  /** The present commit index; apply up to it. Never decreases. */
  readonly committed: LogIndex
  readonly reads: readonly ReadRelease[]
  readonly events: readonly RaftEvent[]
}
