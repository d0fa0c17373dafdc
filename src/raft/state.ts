import { assert } from '../lib/assert.ts'
import type { Random } from '../lib/random.ts'
import { Log } from './log.ts'
import { MembershipHistory } from './membership-history.ts'
import { checkMembership, isVoter } from './membership.ts'
import type { EntryCodec, RaftDependencies, RaftOptions, RaftRestored } from './options.ts'
import { Outbox } from './outbox.ts'
import { hasQuorum } from './quorum.ts'
import {
  compareLeaderIds,
  compareVotes,
  indexOf,
  logIndex,
  type LeaderId,
  type LogBatch,
  type LogId,
  type LogIndex,
  type Membership,
  type NodeId,
  type StoredMembership,
  type Vote,
} from './types.ts'

/** The least amount by which the core's time grows with each input, so that "sent after" is a strict comparison. A power of two: exact. */
const TIME_STEP_MS = 1 / 1024

/**
 * What every part of a node shares: its time, vote, log, memberships, commit index and outbox. Only this class changes them. It keeps the
 * one ordered stream of writes (raft.md 1): a vote comes before every entry of that vote.
 */
export class RaftState {
  readonly id: NodeId
  readonly options: RaftOptions
  readonly random: Random
  readonly codec: EntryCodec
  readonly log: Log
  readonly memberships: MembershipHistory
  readonly outbox: Outbox
  /** Since when this node's connection to a peer has been established. A peer without an entry is not connected. */
  readonly connectedAt = new Map<NodeId, number>()
  /** Strictly increasing over inputs. */
  now: number
  /** Anything that happened before this may be longer ago than the clock says. Monotonic. */
  wokenAt = -Infinity
  /** Monotonic (`compareVotes`). */
  vote: Vote
  /** The write that carries `vote`; 0 when the vote was read from the disk. */
  voteSeq = 0
  /** Monotonic within a process life. */
  committed: LogIndex
  /** The last entry that the state machine has applied. Monotonic, at most `committed`. */
  applied: LogIndex
  /** The last entry that the state on disk covers. Monotonic, at most `applied`. */
  stateDurable: LogIndex
  /** See `RaftRestored.recoverUntil`. Null once the log is whole again. */
  recoverUntil: LogIndex | null
  /** The last entry known to be the leader's too, for the ballot of `vote`. */
  consistent: LogIndex

  constructor(options: RaftOptions, restored: RaftRestored, dependencies: RaftDependencies, now: number) {
    this.id = options.id
    this.options = options
    this.random = dependencies.random
    this.codec = dependencies.codec
    this.now = now
    this.vote = restored.vote
    this.log = new Log(options, restored)
    this.memberships = new MembershipHistory(restored.appliedMembership, restored.memberships)
    this.outbox = new Outbox(this.log.lastIndex)
    this.applied = indexOf(restored.applied)
    this.stateDurable = this.applied
    // Everything that was applied was committed. Whether later entries are committed has to be learned again (thesis 3.8).
    this.committed = this.applied
    this.consistent = this.applied
    this.recoverUntil = restored.recoverUntil
    assert(this.log.purgedIndex <= this.applied, 'what is purged was applied')
    assert(this.applied <= this.log.lastIndex, 'what is applied is not beyond the log')
    const last = this.log.last?.leaderId
    assert(
      last === undefined || compareLeaderIds(last, this.vote.leaderId) <= 0,
      'a vote is durable before its entries',
    )
  }

  get effective(): StoredMembership {
    return this.memberships.effective
  }

  get membership(): Membership {
    return this.memberships.effective.membership
  }

  /** Whether `id` is a voter in the effective membership. */
  isVoter(id: NodeId = this.id): boolean {
    return isVoter(this.membership, id)
  }

  mayCampaign(): boolean {
    return this.recoverUntil === null && this.memberships.mayCampaign(this.id)
  }

  /** This node alone is a quorum. */
  isAlone(): boolean {
    return hasQuorum(this.membership, (id) => id === this.id)
  }

  advance(now: number): void {
    this.now = Math.max(now, this.now + TIME_STEP_MS)
  }

  saveVote(vote: Vote): void {
    assert(compareVotes(vote, this.vote) > 0, 'a vote only grows')
    if (compareLeaderIds(vote.leaderId, this.vote.leaderId) > 0) this.consistent = this.committed
    this.vote = vote
    this.voteSeq = this.outbox.write({ type: 'vote', vote })
  }

  /** A vote seen in a reply is somebody's promise, never a grant, so it is kept as uncommitted. Returns whether it was news. */
  observe(vote: Vote): boolean {
    if (compareLeaderIds(vote.leaderId, this.vote.leaderId) <= 0) return false
    this.saveVote({ leaderId: vote.leaderId, committed: false })
    return true
  }

  /** Adds the entries `[from, batch.last]`; `memberships` are those that these entries set. */
  append(batch: LogBatch, from: LogIndex, memberships: readonly StoredMembership[]): void {
    assert(compareLeaderIds(batch.leaderId, this.vote.leaderId) <= 0, 'an entry is not above the vote')
    this.log.append(batch, from)
    const seq = this.outbox.write({ type: 'append', batch, from })
    this.outbox.durability.appended(seq, batch.last)
    for (const stored of memberships) {
      checkMembership(stored.membership)
      this.memberships.append(stored)
    }
  }

  /** Writes `count` entries as the leader `leaderId`. */
  appendOwn(leaderId: LeaderId, count: number, body: Uint8Array, membership: Membership | null): LogBatch {
    const first = logIndex(this.log.lastIndex + 1)
    const last = logIndex(this.log.lastIndex + count)
    const batch: LogBatch = { leaderId, first, last, body, membershipCount: membership === null ? 0 : 1 }
    this.append(batch, first, membership === null ? [] : [{ logId: { leaderId, index: last }, membership }])
    return batch
  }

  truncate(from: LogIndex): void {
    assert(from > this.committed, 'a committed entry is never truncated')
    this.log.truncate(from)
    this.outbox.write({ type: 'truncate', from })
    this.outbox.durability.truncated(from)
    this.memberships.truncate(from)
    this.outbox.event({ type: 'truncated', from })
  }

  /** Everything up to `index` is committed and in the log. Lower values than before are old news. */
  commitTo(index: LogIndex): void {
    if (index <= this.committed) return
    assert(index <= this.log.lastIndex, 'what is committed here is in the log')
    this.committed = index
    this.memberships.commit(index)
  }

  purge(upTo: LogIndex): LogId {
    assert(upTo <= this.stateDurable, 'only what the durable state covers is purged')
    const purged = this.log.purge(upTo)
    this.outbox.write({ type: 'purge', purged })
    return purged
  }

  /**
   * A snapshot was installed: the state machine now stands at `logId` with `membership`. `logKept`: the log holds that very entry and
   * stays.
   */
  installSnapshot(logId: LogId, membership: StoredMembership, logKept: boolean): void {
    assert(logId.index >= this.applied, 'a snapshot never takes the state machine back')
    if (!logKept) {
      assert(this.committed <= logId.index, 'a log that is dropped holds nothing committed beyond the snapshot')
      this.log.reset(logId)
      this.outbox.durability.reset(this.outbox.write({ type: 'reset', purged: logId }), logId.index)
    }
    this.memberships.install(membership, logId.index, logKept)
    this.committed = logIndex(Math.max(this.committed, logId.index))
    this.memberships.commit(this.committed)
    this.applied = logId.index
    this.stateDurable = logId.index
    this.consistent = logIndex(Math.max(this.consistent, logId.index))
  }

  note(message: string, from: NodeId, reason: string): void {
    this.outbox.event({ type: 'message-ignored', message, from, reason })
  }
}
