import type { Random } from '../lib/random.ts'
import type { FollowerView } from './requests.ts'
import type { LeaderId, LogId, LogIndex, Membership, NodeId, NodeState, StoredMembership, Vote } from './types.ts'

/** Times are in milliseconds of the node's monotonic clock. Limits are for one follower unless said otherwise. */
export interface RaftOptions {
  readonly id: NodeId
  /** Drawn anew by each process, so that a moment of its clock is not mistaken for a moment of an earlier process's clock. Below 2^32. */
  readonly life: number
  readonly heartbeatMs: number
  /**
   * A campaign's timeout is drawn from `[electionTimeoutMsMin, electionTimeoutMsMax)`. The minimum is also the lease that protects a
   * leader.
   */
  readonly electionTimeoutMsMin: number
  readonly electionTimeoutMsMax: number
  /** How much shorter a leader's lease is than `electionTimeoutMsMin`: covers clocks that run at different speeds. */
  readonly leaseDriftMs: number
  /** The most bytes and entries in one append plan. A single group of entries that is larger is sent alone. */
  readonly appendBytesMax: number
  readonly appendEntriesMax: number
  /** The most append plans with entries, and the most bytes, in flight to one follower. */
  readonly inflightAppendsMax: number
  readonly inflightBytesMax: number
  /** The slowest transfer to a follower's disk that is not taken for a loss. Bytes per millisecond. */
  readonly transferBytesPerMsMin: number
  /** A leader with more uncommitted bytes than this takes no proposals. */
  readonly uncommittedBytesMax: number
  /** A learner that is at most this many entries behind counts as caught up. */
  readonly caughtUpEntriesMax: number
  /** How much of the log a purge leaves for followers that are slightly behind. */
  readonly keepEntries: number
  readonly keepBytes: number
  /**
   * The leader purges nothing that a node needs after it was sent the state: as long as the node makes progress at least once in
   * `snapshotHoldMs`, and as long as the log held back for it is at most `snapshotHoldBytes`.
   */
  readonly snapshotHoldMs: number
  readonly snapshotHoldBytes: number
}

/** Encodes the entries that the core itself proposes. Each method returns a batch body (lib/entries) of one entry. */
export interface EntryCodec {
  blank(): Uint8Array
  membership(membership: Membership): Uint8Array
}

export interface RaftDependencies {
  readonly random: Random
  readonly codec: EntryCodec
}

/** Entries of one leader, from `first` up to where the next run begins. */
export interface LeaderRun {
  readonly leaderId: LeaderId
  readonly first: LogIndex
}

/** What the disk held at start. */
export interface RaftRestored {
  readonly vote: Vote
  /** The last entry that was freed; null when none has been. */
  readonly purged: LogId | null
  /** The last entry of the log; equals `purged` when the log holds none. */
  readonly last: LogId | null
  /** Ascending, covering `(purged, last]`. */
  readonly runs: readonly LeaderRun[]
  /** Ascending: sizes of consecutive groups of entries covering `(purged, last]`. */
  readonly sizes: readonly { readonly last: LogIndex; readonly bytes: number }[]
  /** The last entry that the state machine holds. Never behind `purged`, never beyond `last`. */
  readonly applied: LogId | null
  readonly appliedMembership: StoredMembership
  /** The memberships in the retained log beyond `applied`, ascending. */
  readonly memberships: readonly StoredMembership[]
  /**
   * Set when the log lost entries that it had acknowledged: the node neither votes nor campaigns until its log agrees with a leader's up to
   * here.
   */
  readonly recoverUntil: LogIndex | null
}

/** A picture of the core for status pages and the driver's own decisions. */
export interface RaftView {
  readonly id: NodeId
  readonly state: NodeState
  readonly vote: Vote
  /** The node that leads under `vote`, if that is known. */
  readonly leader: NodeId | null
  /**
   * When the leader was last heard; null when this node knows of none but itself. A voter soon gives up a leader that is silent. A learner
   * has nobody else to turn to, and does not.
   */
  readonly leaderHeardAt: number | null
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
  /** One for each other node of the effective membership. Empty on a node that does not lead. */
  readonly followers: readonly FollowerView[]
  /** Leader only: the latest send time that a quorum has acknowledged; null when there is none yet. */
  readonly quorumAckedAt: number | null
  /** Anything that happened before this moment may be longer ago than the clock says; `-Infinity`: nothing is. See `Raft.woken`. */
  readonly wokenAt: number
}
