import { assert } from '../lib/assert.ts'
import type { RaftState } from './state.ts'
import type { Election } from './election.ts'
import { SENT_NEVER, type AppendOutcome, type AppendRequest, type TransferRequest } from './message.ts'
import { brokenAppend } from './soundness.ts'
import {
  BEFORE_FIRST,
  compareLogIds,
  compareVotes,
  indexOf,
  logIndex,
  sameLeaderId,
  sameLogId,
  type LogBatch,
  type LogId,
  type LogIndex,
  type NodeId,
  type StoredMembership,
  type Vote,
} from './types.ts'

/** What a snapshot is about and which replication session it belongs to. */
export interface SnapshotOffer {
  readonly vote: Vote
  readonly session: number
  readonly logId: LogId
}

/** Takes what a leader sends: entries, commit news, snapshots, the order to take over (thesis 3.5, 5, 3.10). */
export class Follower {
  private readonly raft: RaftState
  private readonly election: Election

  constructor(raft: RaftState, election: Election) {
    this.raft = raft
    this.election = election
  }

  onAppendRequest(message: AppendRequest): void {
    const { raft } = this
    const reason = brokenAppend(message)
    if (reason !== null) return raft.note(message.type, message.from, reason)
    if (compareVotes(message.vote, raft.vote) < 0) return this.answer(message, { kind: 'outvoted' })
    this.election.heard(message.vote, message.committed)
    if (message.prev !== null && !this.holds(message.prev)) {
      return this.answer(message, { kind: 'conflict', prev: message.prev.index, hint: this.hintBelow(message.prev) })
    }
    const end = this.take(message)
    if (end > raft.consistent) raft.consistent = end
    raft.commitTo(logIndex(Math.min(message.committed, end)))
    this.answerMatched(message, end)
  }

  /** Anything at or below the committed index is a match: leaders hold everything that is committed (thesis 3.6.3). */
  private holds(logId: LogId): boolean {
    const leaderId = this.raft.log.leaderIdAt(logId.index)
    if (logId.index > this.raft.committed) return leaderId !== null && sameLeaderId(leaderId, logId.leaderId)
    assert(leaderId === null || sameLeaderId(leaderId, logId.leaderId), 'a leader holds everything that is committed')
    return true
  }

  /** The last entry of ours that can still agree with a log that holds `prev`. Skips all entries of a leader at once, not one by one. */
  private hintBelow(prev: LogId): LogId | null {
    const { log, committed } = this.raft
    const index = log.leaders.lastNotAbove(prev.leaderId, logIndex(Math.min(prev.index - 1, log.lastIndex)))
    return log.logIdAt(logIndex(Math.max(index, committed)))
  }

  /**
   * Adds the missing entries. Entries that are there already are skipped, and the log is cut only at the first entry that really differs: a
   * late request must not remove entries that this node has acknowledged since. Returns the last entry known to be the leader's.
   */
  private take(message: AppendRequest): LogIndex {
    const { raft } = this
    let end = indexOf(message.prev)
    for (const batch of message.batches) {
      end = batch.last
      const from = this.firstMissing(batch)
      if (from > batch.last) continue
      if (from <= raft.log.lastIndex) raft.truncate(from)
      const memberships = message.memberships.filter((stored) => isWithin(stored, from, batch.last))
      raft.append(batch, from, memberships)
    }
    return end
  }

  /** The first entry of `batch` that the log does not hold; beyond `batch.last` when it holds all of them. */
  private firstMissing(batch: LogBatch): LogIndex {
    const { log, committed } = this.raft
    const from = logIndex(Math.max(batch.first, committed + 1))
    if (from > batch.last || from > log.lastIndex) return from
    return logIndex(log.leaders.matchEnd(batch.leaderId, from, batch.last) + 1)
  }

  private answerMatched(request: AppendRequest, end: LogIndex): void {
    const { committed, outbox } = this.raft
    // Committed entries are the leader's too, even those beyond the end of this request.
    this.answer(request, {
      kind: 'matched',
      matched: logIndex(Math.max(end, Math.min(committed, outbox.durability.index))),
    })
  }

  private answer(request: Answerable, outcome: AppendOutcome): void {
    const { raft } = this
    const { from: to, vote: asked, session, sentAt } = request
    const matchedSeq = outcome.kind === 'matched' ? raft.outbox.durability.seqFor(outcome.matched) : 0
    raft.outbox.sendAfter(Math.max(raft.voteSeq, matchedSeq), {
      type: 'append-response',
      from: raft.id,
      to,
      vote: raft.vote,
      asked,
      session,
      sentAt,
      answeredAt: { life: raft.options.life, at: raft.now },
      outcome,
    })
  }

  /** `have-it`: this node already holds what the snapshot holds; an acknowledgement tells the sender so as well. */
  offerSnapshot(from: NodeId, offer: SnapshotOffer): 'accept' | 'have-it' | 'outvoted' {
    const { raft } = this
    if (compareVotes(offer.vote, raft.vote) < 0) return 'outvoted'
    this.election.heard(offer.vote, offer.logId.index)
    if (offer.logId.index > raft.committed && !this.holds(offer.logId)) return 'accept'
    raft.commitTo(offer.logId.index)
    if (offer.logId.index > raft.consistent) raft.consistent = offer.logId.index
    const { vote, session } = offer
    this.answer({ from, vote, session, sentAt: SENT_NEVER }, { kind: 'matched', matched: offer.logId.index })
    return 'have-it'
  }

  /** Chunks count as hearing the leader, so that a node that is being brought up to date does not start an election meanwhile. */
  snapshotProgress(from: NodeId, vote: Vote): void {
    if (compareVotes(vote, this.raft.vote) !== 0) return this.raft.note('snapshot', from, 'not the current leader')
    this.election.heard(vote, BEFORE_FIRST)
  }

  installSnapshot(from: NodeId, offer: SnapshotOffer, membership: StoredMembership): void {
    const { raft } = this
    const logKept = sameLogId(raft.log.logIdAt(offer.logId.index), offer.logId)
    raft.installSnapshot(offer.logId, membership, logKept)
    // The state was swapped in, whatever has happened to the vote since then; an answer goes only to a leader that still leads.
    if (compareVotes(offer.vote, raft.vote) !== 0) return raft.note('snapshot', from, 'not the current leader')
    this.election.heard(offer.vote, offer.logId.index)
    const { vote, session } = offer
    this.answer({ from, vote, session, sentAt: SENT_NEVER }, { kind: 'matched', matched: offer.logId.index })
  }

  onTransferRequest(message: TransferRequest): void {
    const reason = this.ignoreTransferRequest(message)
    if (reason !== null) return this.raft.note(message.type, message.from, reason)
    this.election.startCampaign(true)
  }

  private ignoreTransferRequest(message: TransferRequest): string | null {
    const { raft } = this
    if (compareVotes(message.vote, raft.vote) !== 0) return 'not the current leader'
    if (message.vote.leaderId.nodeId !== message.from) return 'not from the owner of the vote'
    if (!raft.mayCampaign()) return 'this node may not campaign'
    return compareLogIds(raft.log.last, message.last) < 0 ? 'the log is too short' : null
  }
}

/** The fields of a request that an acknowledgement echoes. */
interface Answerable {
  readonly from: NodeId
  readonly vote: Vote
  readonly session: number
  readonly sentAt: number
}

function isWithin(stored: StoredMembership, from: LogIndex, last: LogIndex): boolean {
  const index = indexOf(stored.logId)
  return from <= index && index <= last
}
