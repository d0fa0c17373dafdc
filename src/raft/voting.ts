import type { RaftState } from './state.ts'
import type { PreVoteRequest, PreVoteResponse, VoteRequest, VoteResponse } from './message.ts'
import { compareLeaderIds, compareLogIds, type LogId, type NodeId } from './types.ts'

/** Tells whether a leader, this node or another, must not be disturbed by `candidate` now. */
export interface LeaderProtection {
  protects(candidate: NodeId): boolean
  /** This node has voted for another node. */
  yielded(): void
}

/**
 * Answers other nodes' requests for votes. The order of the checks matters (raft.md 5): lease, last log id, vote. Only a request that
 * passes all of them changes anything, so a candidate with a short log never raises this node's vote. Every node answers, including
 * learners and pristine nodes: it may be a voter already without knowing it.
 */
export class Voting {
  private readonly raft: RaftState
  private readonly election: LeaderProtection

  constructor(raft: RaftState, election: LeaderProtection) {
    this.raft = raft
    this.election = election
  }

  onPreVoteRequest(message: PreVoteRequest): void {
    const { raft } = this
    const reason = this.ignoreRequest(message)
    if (reason !== null) return raft.note(message.type, message.from, reason)
    const granted =
      this.refusal(message.from, message.last, false) === null &&
      compareLeaderIds(message.vote.leaderId, raft.vote.leaderId) > 0
    const { from: to, vote: asked } = message
    const response: PreVoteResponse = { type: 'pre-vote-response', from: raft.id, to, asked, granted, vote: raft.vote }
    raft.outbox.sendAfter(raft.voteSeq, response)
  }

  onVoteRequest(message: VoteRequest): void {
    const { raft } = this
    const reason = this.ignoreRequest(message)
    if (reason !== null) return raft.note(message.type, message.from, reason)
    const order = compareLeaderIds(message.vote.leaderId, raft.vote.leaderId)
    const granted = this.refusal(message.from, message.last, message.transfer) === null && order >= 0
    if (granted && order > 0) {
      raft.saveVote(message.vote)
      this.election.yielded()
    }
    const { from: to, vote: asked } = message
    const response: VoteResponse = { type: 'vote-response', from: raft.id, to, asked, granted, vote: raft.vote }
    // A grant is a promise: it leaves only once the vote, and everything written before it, is on disk.
    raft.outbox.sendAfter(raft.voteSeq, response)
  }

  /** Only its owner may ask for a ballot, and no ballot is committed before anyone has granted it. */
  private ignoreRequest({ from, vote }: PreVoteRequest | VoteRequest): string | null {
    if (vote.leaderId.nodeId !== from) return 'not from the owner of the vote'
    return vote.committed ? 'a vote that is committed already' : null
  }

  /** Why this node does not vote for `candidate` now, whatever its ballot; null when nothing speaks against it. */
  private refusal(candidate: NodeId, last: LogId | null, transfer: boolean): string | null {
    const { raft } = this
    if (raft.recoverUntil !== null) return 'the log is being repaired'
    if (!transfer && this.election.protects(candidate)) return 'a leader is heard'
    return compareLogIds(last, raft.log.last) < 0 ? 'a shorter log' : null
  }
}
