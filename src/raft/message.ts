import type { LogBatch, LogId, LogIndex, NodeId, StoredMembership, Vote } from './types.ts'

interface Envelope {
  readonly from: NodeId
  readonly to: NodeId
}

/** "Would you vote for me?" Changes nothing on either side. `vote` is the ballot that the candidate would ask for. */
export interface PreVoteRequest extends Envelope {
  readonly type: 'pre-vote-request'
  readonly vote: Vote
  readonly last: LogId | null
}

/** `asked` echoes the request's ballot, so that an answer to an earlier round can be told apart. `vote` is the responder's own. */
export interface PreVoteResponse extends Envelope {
  readonly type: 'pre-vote-response'
  readonly asked: Vote
  readonly granted: boolean
  readonly vote: Vote
}

export interface VoteRequest extends Envelope {
  readonly type: 'vote-request'
  readonly vote: Vote
  readonly last: LogId | null
  /** Set by the target of a leadership transfer: voters then ignore the lease of the leader that asked for it. */
  readonly transfer: boolean
}

/** A grant says: `vote` (equal to `asked`, or its committed form) is on the responder's disk. */
export interface VoteResponse extends Envelope {
  readonly type: 'vote-response'
  readonly asked: Vote
  readonly granted: boolean
  readonly vote: Vote
}

/** A moment on the clock of one process. `life` tells that process from any other of the same node. */
export interface Moment {
  readonly life: number
  /** On the process's own monotonic clock. */
  readonly at: number
}

/** Entries after `prev`, or none (a heartbeat, or news of a commit). */
export interface AppendRequest extends Envelope {
  readonly type: 'append-request'
  readonly vote: Vote
  /** Tells this replication session from earlier sessions with the same node (thesis 4.1; raft.md 6). */
  readonly session: number
  readonly prev: LogId | null
  /** In order, without gaps, starting at `prev.index + 1`. */
  readonly batches: readonly LogBatch[]
  /** The memberships set by entries of `batches`, ascending. The receiver's driver derives them from the bodies; they are not sent. */
  readonly memberships: readonly StoredMembership[]
  /** The leader's commit index; `BEFORE_FIRST` for none. */
  readonly committed: LogIndex
  /** When the leader sent this, on its own monotonic clock; echoed. */
  readonly sentAt: number
  /**
   * A moment of the receiver's clock, or null when the leader knows of none. Every write that had been acknowledged to anybody before that
   * moment is at or below `committed`, however long this message was on its way.
   */
  readonly freshAt: Moment | null
}

export type AppendOutcome =
  /** Everything up to `matched` equals the leader's log and is on this node's disk. */
  | { readonly kind: 'matched'; readonly matched: LogIndex }
  /** `prev` is not in the log. `hint`: our last log id that can still agree with the leader; null: start at the beginning. */
  | { readonly kind: 'conflict'; readonly prev: LogIndex; readonly hint: LogId | null }
  /** The request's vote is below ours (`vote`). */
  | { readonly kind: 'outvoted' }

/** The `sentAt` of an acknowledgement that answers no request (after a snapshot): it proves nothing about when the leader was heard. */
export const SENT_NEVER = -1

export interface AppendResponse extends Envelope {
  readonly type: 'append-response'
  readonly vote: Vote
  /** Echoed from the request, with the ballot that it carried, so that late answers of an earlier session can be told apart. */
  readonly asked: Vote
  readonly session: number
  readonly sentAt: number
  /** When this answer was given, by the clock of the node that gives it. */
  readonly answeredAt: Moment
  readonly outcome: AppendOutcome
}

/** The leader's order to campaign at once. `last`: the leader's last log id; the target must hold the log up to it. */
export interface TransferRequest extends Envelope {
  readonly type: 'transfer-request'
  readonly vote: Vote
  readonly last: LogId | null
}

export type RaftMessage =
  PreVoteRequest | PreVoteResponse | VoteRequest | VoteResponse | AppendRequest | AppendResponse | TransferRequest
