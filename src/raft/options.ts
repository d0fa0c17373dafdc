import type { Random } from '../lib/random.ts'
import type { FollowerView } from './requests.ts'
import type { LeaderId, LogId, LogIndex, Membership, NodeId, NodeState, StoredMembership, Vote } from './types.ts'

/** Times in milliseconds of the node's monotonic clock; limits for one follower unless said otherwise. */
export interface RaftOptions {
  readonly id: NodeId
  /** Drawn anew for each process: a moment of this one's clock is not taken for one of an earlier one's. Below 2^32. */
  readonly life: number
  readonly heartbeatMs: number
  /** A campaign's timeout is drawn from `[electionTimeoutMsMin, electionTimeoutMsMax)`. The minimum is also the lease that protects a leader. */
  readonly electionTimeoutMsMin: number
  readonly electionTimeoutMsMax: number
  /** How much shorter a leader's lease is than `electionTimeoutMsMin`: covers clocks that run at different speeds. */
  readonly leaseDriftMs: number
  /** The most bytes and entries in one append plan; a single larger group of entries goes alone. */
  readonly appendBytesMax: number
  readonly appendEntriesMax: number
  /** The most append plans with entries, and the most bytes, on their way to one follower. */
  readonly inflightAppendsMax: number
  readonly inflightBytesMax: number
  /** Beyond this many uncommitted bytes a leader takes no more proposals. */
  readonly uncommittedBytesMax: number
  /** A learner that is at most this many entries behind counts as caught up. */
  readonly caughtUpEntriesMax: number
  /** How much of the log a purge leaves for followers that are slightly behind. */
  readonly keepEntries: number
  readonly keepBytes: number
  /** A node that was sent the state holds the purge of what it needs next: so long without getting on, and up to so many bytes. */
  readonly snapshotHoldMs: number
  readonly snapshotHoldBytes: number
}

/** Writes the entries that the core itself proposes. Each returns a batch body (lib/entries) of one entry. */
export interface EntryCodec {
  blank(): Uint8Array
  membership(membership: Membership): Uint8Array
}

export interface RaftDependencies {
  readonly random: Random
  readonly codec: EntryCodec
}

/** Entries of one leader begin at `first`; they end where the next run begins. */
export interface LeaderRun {
  readonly leaderId: LeaderId
  readonly first: LogIndex
}

/** What the disk held at start. */
export interface RaftRestored {
  readonly vote: Vote
  /** The last entry that was freed; null when none was. */
  readonly purged: LogId | null
  /** The last entry of the log; equals `purged` when the log holds none. */
  readonly last: LogId | null
  /** Ascending, covering `(purged, last]`. */
  readonly runs: readonly LeaderRun[]
  /** Ascending: sizes of consecutive groups of entries covering `(purged, last]`. */
  readonly sizes: readonly { readonly last: LogIndex; readonly bytes: number }[]
  /** What the state machine holds. Never behind `purged`, never beyond `last`. */
  readonly applied: LogId | null
  readonly appliedMembership: StoredMembership
  /** The memberships in the retained log beyond `applied`, ascending. */
  readonly memberships: readonly StoredMembership[]
  /** Set when the log lost entries that had been acknowledged: no voting, no campaigning until the log is consistent with a leader up to here. */
  readonly recoverUntil: LogIndex | null
}

/** A picture of the core for status pages and the driver's own decisions. */
export interface RaftView {
  readonly id: NodeId
  readonly state: NodeState
  readonly vote: Vote
  /** The node that leads under `vote`, if that is known. */
  readonly leader: NodeId | null
  readonly last: LogId | null
  readonly committed: LogIndex
  readonly applied: LogIndex
  readonly purged: LogId | null
  readonly effective: StoredMembership
  readonly committedMembership: StoredMembership
  /** Leader only: whether an entry of its own ballot is committed (so that it may change memberships and serve reads at once). */
  readonly established: boolean
  readonly transferringTo: NodeId | null
  readonly recovering: boolean
  /** Leader only, else empty. One for each other node of the effective membership. */
  readonly followers: readonly FollowerView[]
  /** Leader only: the latest send time that a quorum has acknowledged; null when there is none yet. */
  readonly quorumAckedAt: number | null
  /** What lies before this moment was longer ago than the clock says; `-Infinity`: nothing. See `Raft.woken`. */
  readonly wokenAt: number
}
