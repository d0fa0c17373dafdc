import { assert } from '../lib/assert.ts'
import type { Core } from './state.ts'
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
  /** The write that carries this node's own vote: until it is durable nobody is asked and the node does not count itself. */
  readonly seq: number
  readonly transfer: boolean
  readonly granted: Set<NodeId>
}

/**
 * This node's own attempts to lead, and what it knows of who leads now (thesis 3.4, 9.6; raft.md 5).
 * Answers to other nodes' attempts are in ballot-box.ts.
 */
export class Election {
  private readonly core: Core
  /** When this node tries to lead unless it hears a leader first; `Infinity` when it may not campaign. */
  deadline = Infinity
  /**
   * When a leader was last heard, and which. While this is recent nobody else gets a vote from here, whatever became of `vote` since:
   * that leader may be answering reads on the strength of it.
   */
  private heardAt = -Infinity
  private heardFrom: NodeId | 0 = 0
  /** The leader of `vote` has been heard in this life of the process, and nothing speaks against it since. */
  private leaderAlive = false
  private round: PreVoteRound | null = null
  private campaign: Campaign | null = null
  /** Until then a failed pre-vote is repeated soon: the leader's process is known to be gone. */
  private hurryUntil = -Infinity
  private leaderCommitted: LogIndex
  /** The armed deadline was already put off once because time had jumped. */
  private graceUsed = false

  constructor(core: Core) {
    this.core = core
    this.leaderCommitted = core.committed
    const { leaderId, committed } = core.vote
    // A leader may rely on an acknowledgement that this node gave before it restarted. Its own lease ended with its process.
    if (leaderId.nodeId !== 0 && leaderId.nodeId !== core.id) this.heardAt = core.now
    if (committed) this.heardFrom = leaderId.nodeId
  }

  get candidate(): boolean {
    return this.campaign !== null
  }

  /** Who leads under the current vote; null when unknown or lost. Never this node: it knows better. */
  get leader(): NodeId | null {
    const { vote, id } = this.core
    const owner = vote.leaderId.nodeId
    return vote.committed && this.leaderAlive && owner !== 0 && owner !== id ? owner : null
  }

  /** Protects a leader from candidates that it did not ask for (thesis 4.2.3, 6.4.1). */
  protects(candidate: NodeId): boolean {
    const { now, options } = this.core
    // A leader that asks for votes itself has given up leading: its own lease need not be kept against it.
    return candidate !== this.heardFrom && now < this.heardAt + options.electionTimeoutMsMin
  }

  /** The leader of `vote` spoke: whatever election this node was in is over (thesis 3.4). */
  heard(vote: Vote, leaderCommitted: LogIndex): void {
    if (compareVotes(vote, this.core.vote) > 0) this.core.saveVote(vote)
    this.abandon()
    this.heardAt = this.core.now
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

  /** An answer showed a higher vote. A leader, which has no timer here, decides itself when to try again. */
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
    const { campaign, core } = this
    if (campaign === null || campaign.seq > core.outbox.durability.seq) return false
    return hasQuorum(core.membership, (id) => id === core.id || campaign.granted.has(id))
  }

  /** Sets or removes the timer after a change of membership or of role. */
  settle(leading: boolean): void {
    if (leading || !this.core.mayCampaign()) this.deadline = Infinity
    else if (this.deadline === Infinity) this.rearm()
  }

  /** At start-up and after formation a node that needs nobody else does not wait. */
  hurryIfAlone(): void {
    if (this.core.mayCampaign() && this.core.isAlone()) this.deadline = this.core.now
  }

  rearm(): void {
    const { electionTimeoutMsMin: min, electionTimeoutMsMax: max } = this.core.options
    this.wait(min + this.core.random.fraction() * (max - min))
  }

  /** Another try soon, for a leader that was unseated by a ballot that nobody leads under. */
  rearmSoon(): void {
    this.wait(this.core.random.fraction() * this.core.options.heartbeatMs)
  }

  /** Gives a candidacy up without giving the vote to anyone. */
  standBack(): void {
    this.abandon()
    this.rearm()
  }

  private wait(delayMs: number): void {
    this.deadline = this.core.mayCampaign() ? this.core.now + delayMs : Infinity
    this.graceUsed = false
  }

  tick(): void {
    const { now, options, outbox } = this.core
    if (now < this.deadline) return
    if (now > this.deadline + options.heartbeatMs && !this.graceUsed) {
      // Time has jumped (a pause, a long garbage collection): the leader may have spoken in the meantime.
      this.deadline = now + options.heartbeatMs
      this.graceUsed = true
      return
    }
    // One campaign at a time: without its own durable vote this one has not even begun.
    if (this.campaign !== null && this.campaign.seq > outbox.durability.seq) return this.rearm()
    this.startPreVote()
  }

  /** On the operator's word. Pre-vote applies, so that it cannot disturb a leader that is heard. */
  tryNow(): CampaignOutcome {
    const { core } = this
    if (core.recoverUntil !== null) return { kind: 'refused', reason: 'the log is being repaired' }
    if (!core.mayCampaign()) return { kind: 'refused', reason: 'this node is not a voter' }
    if (this.campaign !== null) return { kind: 'refused', reason: 'this node is a candidate already' }
    if (this.protects(core.id)) return { kind: 'refused', reason: 'a leader is heard' }
    this.startPreVote()
    return { kind: 'started' }
  }

  /** Asks without changing anything anywhere, so that a node that cannot win does not raise anyone's vote (thesis 9.6). */
  private startPreVote(): void {
    const { core } = this
    this.abandon()
    this.leaderAlive = false
    assert(core.mayCampaign(), 'only a node that may lead asks for votes')
    this.round = { vote: this.nextVote(), granted: new Set() }
    if (core.now < this.hurryUntil) this.wait(this.staggerStep() * (votersOf(core.membership).length + 1))
    else this.rearm()
    core.outbox.event({ type: 'campaign-started', preVote: true, vote: this.round.vote })
    for (const id of this.others()) this.ask(id)
    this.concludePreVote(this.round)
  }

  private concludePreVote(round: PreVoteRound): void {
    const { core } = this
    if (hasQuorum(core.membership, (id) => id === core.id || round.granted.has(id))) this.startCampaign(false)
  }

  /** A campaign in earnest. `transfer`: on the leader's own order, without pre-vote and against its lease (thesis 3.10). */
  startCampaign(transfer: boolean): void {
    const { core } = this
    const vote = this.nextVote()
    this.abandon()
    this.leaderAlive = false
    core.saveVote(vote)
    this.campaign = { vote, seq: core.voteSeq, transfer, granted: new Set() }
    this.rearm()
    core.outbox.event({ type: 'campaign-started', preVote: false, vote })
    for (const id of this.others()) this.ask(id)
  }

  /** Requests may have been lost with the connection. */
  peerConnected(id: NodeId): void {
    if (this.leader === null && id === this.core.vote.leaderId.nodeId && this.hurryUntil > this.core.now) {
      // The process is there after all: back to the normal timeout, unless it says nothing.
      this.hurryUntil = -Infinity
      this.round = null
      if (this.campaign === null) this.rearm()
    }
    if (this.core.isVoter(id)) this.ask(id)
  }

  /**
   * The kernel says that nobody listens where the leader was: its lease ends, and this node may pre-vote without waiting.
   * The stagger (a node that is known to be behind, then the lower ids, wait longer) keeps two nodes from colliding.
   */
  peerUnreachable(id: NodeId): void {
    const { core } = this
    const { vote, now } = core
    if (!vote.committed || vote.leaderId.nodeId !== id || id === core.id) return
    this.heardAt = -Infinity
    if (this.hurryUntil > now || this.campaign !== null) return
    this.leaderAlive = false
    this.hurryUntil = now + core.options.electionTimeoutMsMin
    if (!core.mayCampaign()) return
    const rivals = votersOf(core.membership).filter((other) => other !== id)
    const rank = rivals.filter((other) => other > core.id).length
    const behind = core.log.lastIndex < this.leaderCommitted ? rivals.length : 0
    this.deadline = Math.min(this.deadline, now + this.staggerStep() * (rank + behind))
    this.graceUsed = false
  }

  onPreVoteResponse(message: PreVoteResponse): void {
    const { round } = this
    const reason = this.ignorePreVoteResponse(message, round)
    if (reason !== null) return this.core.note(message.type, message.from, reason)
    assert(round !== null, 'an answer that is not ignored belongs to a round')
    round.granted.add(message.from)
    this.concludePreVote(round)
  }

  private ignorePreVoteResponse(message: PreVoteResponse, round: PreVoteRound | null): string | null {
    // A refusal teaches the higher vote, even when it is late: otherwise the next round would ask for a ballot too low again.
    // A vote that comes with a grant is below the ballot asked for, also when it is above this node's own: no reason to give up.
    if (!message.granted && this.core.observe(message.vote)) {
      this.outvoted()
      return 'a higher vote'
    }
    if (round === null || !sameLeaderId(message.asked.leaderId, round.vote.leaderId)) return 'not the current round'
    return message.granted ? null : 'refused'
  }

  onVoteResponse(message: VoteResponse): void {
    const reason = this.ignoreVoteResponse(message)
    if (reason !== null) return this.core.note(message.type, message.from, reason)
    this.campaign?.granted.add(message.from)
  }

  private ignoreVoteResponse(message: VoteResponse): string | null {
    if (this.core.observe(message.vote)) {
      this.outvoted()
      return 'a higher vote'
    }
    if (this.campaign === null || !sameLeaderId(message.asked.leaderId, this.campaign.vote.leaderId))
      return 'not the current campaign'
    if (!message.granted) return 'refused'
    // An equal vote is not a grant; only the word "granted" about this very ballot is.
    return sameLeaderId(message.vote.leaderId, this.campaign.vote.leaderId) ? null : 'a grant of another ballot'
  }

  private ask(to: NodeId): void {
    const { core, round, campaign } = this
    const last = core.log.last
    if (round !== null) {
      const request: PreVoteRequest = { type: 'pre-vote-request', from: core.id, to, vote: round.vote, last }
      core.outbox.send(request)
    } else if (campaign !== null && !campaign.granted.has(to)) {
      const { vote, transfer, seq } = campaign
      const request: VoteRequest = { type: 'vote-request', from: core.id, to, vote, last, transfer }
      // After a crash the same ballot must not be asked for again with another log, so the vote is durable first.
      core.outbox.sendAfter(seq, request)
    }
  }

  private nextVote(): Vote {
    const { vote, id } = this.core
    return { leaderId: { term: term(vote.leaderId.term + 1), nodeId: id }, committed: false }
  }

  private others(): NodeId[] {
    return votersOf(this.core.membership).filter((id) => id !== this.core.id)
  }

  /** Long enough for a pre-vote and a vote with their syncs on a local network. */
  private staggerStep(): number {
    return this.core.options.heartbeatMs / 5
  }
}
