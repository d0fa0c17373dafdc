import { assert } from '../lib/assert.ts'
import type { RaftState } from './state.ts'
import { votersOf } from './membership.ts'
import type { PreVoteRequest, PreVoteResponse, VoteRequest, VoteResponse } from './message.ts'
import { hasQuorum } from './quorum.ts'
import type { CampaignOutcome } from './requests.ts'
import { compareVotes, sameLeaderId, term, type LogIndex, type NodeId, type Vote } from './types.ts'

/** A round of "would you vote for me?". Promises nothing. */
interface PreVoteRound {
  readonly vote: Vote
  readonly granted: Set<NodeId>
}

interface Campaign {
  readonly vote: Vote
  /** The write that carries this node's own vote. Until it is durable, nobody is asked and the node does not count its own vote. */
  readonly seq: number
  readonly transfer: boolean
  readonly granted: Set<NodeId>
}

/**
 * This node's own attempts to lead, and what it knows about the present leader (thesis 3.4, 9.6; raft.md 5). Answers to other nodes'
 * attempts are in voting.ts.
 */
export class Election {
  private readonly raft: RaftState
  /** When this node tries to lead unless it hears a leader first; `Infinity` when it may not campaign. */
  deadline = Infinity
  /**
   * When a leader was last heard, and which one. While this is recent, this node votes for nobody else, whatever has become of `vote` since
   * then: that leader may be answering reads on the strength of it.
   */
  private heardAt = -Infinity
  private heardFrom: NodeId | 0 = 0
  /** The leader of `vote` has been heard during this life of the process, and nothing has spoken against it since then. */
  private leaderAlive = false
  private round: PreVoteRound | null = null
  private campaign: Campaign | null = null
  /** Until this time a failed pre-vote is repeated soon: the leader's process is known to be gone. */
  private hurryUntil = -Infinity
  private leaderCommitted: LogIndex
  /** The armed deadline has been put off once already because time had jumped. */
  private graceUsed = false

  constructor(raft: RaftState) {
    this.raft = raft
    this.leaderCommitted = raft.committed
    const { leaderId, committed } = raft.vote
    // A leader may rely on an acknowledgement that this node gave before it restarted. A lease of this node's own ended with its process.
    if (leaderId.nodeId !== 0 && leaderId.nodeId !== raft.id) this.heardAt = raft.now
    if (committed) this.heardFrom = leaderId.nodeId
  }

  get candidate(): boolean {
    return this.campaign !== null
  }

  /** The leader under the current vote; null when it is unknown or lost. Never this node, which knows by itself whether it leads. */
  get leader(): NodeId | null {
    const { vote, id } = this.raft
    const owner = vote.leaderId.nodeId
    return vote.committed && this.leaderAlive && owner !== 0 && owner !== id ? owner : null
  }

  /** When `leader` was last heard; null when it is. */
  get leaderHeardAt(): number | null {
    return this.leader === null ? null : this.heardAt
  }

  /** Protects a leader from candidates that it did not ask for (thesis 4.2.3, 6.4.1). */
  protects(candidate: NodeId): boolean {
    const { now, options } = this.raft
    // A leader that asks for votes itself has given up leading: this node need not keep that leader's lease against it.
    return candidate !== this.heardFrom && now < this.heardAt + options.electionTimeoutMsMin
  }

  /** The leader of `vote` spoke: any election that this node was in is over (thesis 3.4). */
  heard(vote: Vote, leaderCommitted: LogIndex): void {
    if (compareVotes(vote, this.raft.vote) > 0) this.raft.saveVote(vote)
    this.abandon()
    this.heardAt = this.raft.now
    this.heardFrom = vote.leaderId.nodeId
    this.leaderAlive = true
    this.hurryUntil = -Infinity
    if (leaderCommitted > this.leaderCommitted) this.leaderCommitted = leaderCommitted
    this.rearm()
  }

  /** A vote went to another candidate. */
  yielded(): void {
    this.abandon()
    this.leaderAlive = false
    this.rearm()
  }

  /** An answer showed a higher vote. A leader has no timer here; it decides by itself when to try again. */
  private outvoted(): void {
    this.abandon()
    this.leaderAlive = false
    if (this.deadline !== Infinity) this.rearm()
  }

  abandon(): void {
    this.round = null
    this.campaign = null
  }

  /** Whether a quorum has granted the current campaign. */
  hasWon(): boolean {
    const { campaign, raft } = this
    if (campaign === null || campaign.seq > raft.outbox.durability.seq) return false
    return hasQuorum(raft.membership, (id) => id === raft.id || campaign.granted.has(id))
  }

  /** Sets or removes the timer after a change of membership or of role. */
  settle(leading: boolean): void {
    if (leading || !this.raft.mayCampaign()) this.deadline = Infinity
    else if (this.deadline === Infinity) this.rearm()
  }

  /** At start-up and after formation, a node that is a quorum by itself does not wait. */
  hurryIfAlone(): void {
    if (this.raft.mayCampaign() && this.raft.isAlone()) this.deadline = this.raft.now
  }

  rearm(): void {
    const { electionTimeoutMsMin: min, electionTimeoutMsMax: max } = this.raft.options
    this.wait(min + this.raft.random.fraction() * (max - min))
  }

  /** Tries again soon: for a leader that was unseated by a ballot under which nobody leads. */
  rearmSoon(): void {
    this.wait(this.raft.random.fraction() * this.raft.options.heartbeatMs)
  }

  /** Gives up a candidacy without voting for anyone. */
  standBack(): void {
    this.abandon()
    this.rearm()
  }

  private wait(delayMs: number): void {
    this.deadline = this.raft.mayCampaign() ? this.raft.now + delayMs : Infinity
    this.graceUsed = false
  }

  tick(): void {
    const { now, options, outbox } = this.raft
    if (now < this.deadline) return
    if (now > this.deadline + options.heartbeatMs && !this.graceUsed) {
      // Time has jumped (a pause, a long garbage collection): the leader may have spoken in the meantime.
      this.deadline = now + options.heartbeatMs
      this.graceUsed = true
      return
    }
    // One campaign at a time: until this node's own vote is durable, the present one has not even begun.
    if (this.campaign !== null && this.campaign.seq > outbox.durability.seq) return this.rearm()
    this.startPreVote()
  }

  /** Campaigns because the operator says so. Pre-vote applies, so it cannot disturb a leader that is heard. */
  tryNow(): CampaignOutcome {
    const { raft } = this
    if (raft.recoverUntil !== null) return { kind: 'refused', reason: 'the log is being repaired' }
    if (!raft.mayCampaign()) return { kind: 'refused', reason: 'this node is not a voter' }
    if (this.campaign !== null) return { kind: 'refused', reason: 'this node is a candidate already' }
    if (this.protects(raft.id)) return { kind: 'refused', reason: 'a leader is heard' }
    this.startPreVote()
    return { kind: 'started' }
  }

  /** Asks without changing anything anywhere, so that a node that cannot win raises nobody's vote (thesis 9.6). */
  private startPreVote(): void {
    const { raft } = this
    this.abandon()
    this.leaderAlive = false
    assert(raft.mayCampaign(), 'only a node that may lead asks for votes')
    this.round = { vote: this.nextVote(), granted: new Set() }
    if (raft.now < this.hurryUntil) this.wait(this.staggerStep() * (votersOf(raft.membership).length + 1))
    else this.rearm()
    raft.outbox.event({ type: 'campaign-started', preVote: true, vote: this.round.vote })
    for (const id of this.others()) this.ask(id)
    this.concludePreVote(this.round)
  }

  private concludePreVote(round: PreVoteRound): void {
    const { raft } = this
    if (hasQuorum(raft.membership, (id) => id === raft.id || round.granted.has(id))) this.startCampaign(false)
  }

  /** Starts a real campaign. `transfer`: on the leader's own order, without pre-vote and regardless of its lease (thesis 3.10). */
  startCampaign(transfer: boolean): void {
    const { raft } = this
    const vote = this.nextVote()
    this.abandon()
    this.leaderAlive = false
    raft.saveVote(vote)
    this.campaign = { vote, seq: raft.voteSeq, transfer, granted: new Set() }
    this.rearm()
    raft.outbox.event({ type: 'campaign-started', preVote: false, vote })
    for (const id of this.others()) this.ask(id)
  }

  /** Requests may have been lost with the connection, so they are sent again. */
  peerConnected(id: NodeId): void {
    if (this.leader === null && id === this.raft.vote.leaderId.nodeId && this.hurryUntil > this.raft.now) {
      // The process is there after all. The normal timeout applies again, unless the process stays silent.
      this.hurryUntil = -Infinity
      this.round = null
      if (this.campaign === null) this.rearm()
    }
    if (this.raft.isVoter(id)) this.ask(id)
  }

  /**
   * The kernel says that nobody listens where the leader was: its lease ends, and this node may pre-vote without waiting. The stagger keeps
   * two nodes from colliding: a node that is known to be behind waits longer, and so does one with a lower id.
   */
  peerUnreachable(id: NodeId): void {
    const { raft } = this
    const { vote, now } = raft
    if (!vote.committed || vote.leaderId.nodeId !== id || id === raft.id) return
    this.heardAt = -Infinity
    if (this.hurryUntil > now || this.campaign !== null) return
    this.leaderAlive = false
    this.hurryUntil = now + raft.options.electionTimeoutMsMin
    if (!raft.mayCampaign()) return
    const rivals = votersOf(raft.membership).filter((other) => other !== id)
    const rank = rivals.filter((other) => other > raft.id).length
    const behind = raft.log.lastIndex < this.leaderCommitted ? rivals.length : 0
    this.deadline = Math.min(this.deadline, now + this.staggerStep() * (rank + behind))
    this.graceUsed = false
  }

  onPreVoteResponse(message: PreVoteResponse): void {
    const { round } = this
    const reason = this.ignorePreVoteResponse(message, round)
    if (reason !== null) return this.raft.note(message.type, message.from, reason)
    assert(round !== null, 'an answer that is not ignored belongs to a round')
    round.granted.add(message.from)
    this.concludePreVote(round)
  }

  private ignorePreVoteResponse(message: PreVoteResponse, round: PreVoteRound | null): string | null {
    // A refusal teaches the higher vote, even when it is late: otherwise the next round would again ask for a ballot that is too low. A
    // vote that comes with a grant is below the ballot asked for, even when it is above this node's own: no reason to give up.
    if (!message.granted && this.raft.observe(message.vote)) {
      this.outvoted()
      return 'a higher vote'
    }
    if (round === null || !sameLeaderId(message.asked.leaderId, round.vote.leaderId)) return 'not the current round'
    return message.granted ? null : 'refused'
  }

  onVoteResponse(message: VoteResponse): void {
    const reason = this.ignoreVoteResponse(message)
    if (reason !== null) return this.raft.note(message.type, message.from, reason)
    this.campaign?.granted.add(message.from)
  }

  private ignoreVoteResponse(message: VoteResponse): string | null {
    if (this.raft.observe(message.vote)) {
      this.outvoted()
      return 'a higher vote'
    }
    if (this.campaign === null || !sameLeaderId(message.asked.leaderId, this.campaign.vote.leaderId))
      return 'not the current campaign'
    if (!message.granted) return 'refused'
    // An equal vote is not a grant; only the word "granted" about this very ballot is one.
    return sameLeaderId(message.vote.leaderId, this.campaign.vote.leaderId) ? null : 'a grant of another ballot'
  }

  private ask(to: NodeId): void {
    const { raft, round, campaign } = this
    const last = raft.log.last
    if (round !== null) {
      const request: PreVoteRequest = { type: 'pre-vote-request', from: raft.id, to, vote: round.vote, last }
      raft.outbox.send(request)
    } else if (campaign !== null && !campaign.granted.has(to)) {
      const { vote, transfer, seq } = campaign
      const request: VoteRequest = { type: 'vote-request', from: raft.id, to, vote, last, transfer }
      // After a crash, the same ballot must not be asked for again with another log. So the vote is made durable first.
      raft.outbox.sendAfter(seq, request)
    }
  }

  private nextVote(): Vote {
    const { vote, id } = this.raft
    return { leaderId: { term: term(vote.leaderId.term + 1), nodeId: id }, committed: false }
  }

  private others(): NodeId[] {
    return votersOf(this.raft.membership).filter((id) => id !== this.raft.id)
  }

  /** Long enough for a pre-vote and a vote, with their disk syncs, on a local network. */
  private staggerStep(): number {
    return this.raft.options.heartbeatMs / 5
  }
}
