import { assert, unreachable } from '../lib/assert.ts'
import { Voting } from './voting.ts'
import { RaftState } from './state.ts'
import type { Effects } from './effects.ts'
import { Election } from './election.ts'
import { Follower, type SnapshotOffer } from './follower.ts'
import { Formation } from './formation.ts'
import { Leadership } from './leadership.ts'
import type { RaftMessage } from './message.ts'
import type { RaftDependencies, RaftOptions, RaftRestored, RaftView } from './options.ts'
import { LogRetention } from './log-retention.ts'
import { StateEvents } from './state-events.ts'
import type {
  CampaignOutcome,
  ChangeOutcome,
  InitializeOutcome,
  IncarnationOf,
  MembershipChange,
  NotLeading,
  ProposeOutcome,
  ReadOutcome,
  SnapshotReport,
  TransferOutcome,
} from './requests.ts'
import {
  sameLeaderId,
  type LeaderId,
  type LogId,
  type LogIndex,
  type Membership,
  type NodeId,
  type NodeState,
  type StoredMembership,
  type Vote,
} from './types.ts'
import { viewOf } from './view.ts'

/**
 * One node's part in Raft, as a pure state machine: inputs in, effects out, time as an argument.
 *
 * Call any method with the present time (milliseconds of a monotonic clock, not negative), then call `takeEffects` and carry the effects
 * out in the order of their fields. Everything that is said here about what other nodes know rests on that order.
 */
export class Raft {
  private readonly raft: RaftState
  private readonly election: Election
  private readonly voting: Voting
  private readonly follower: Follower
  private readonly formation: Formation
  private readonly logRetention: LogRetention
  private readonly stateEvents: StateEvents
  private leadership: Leadership | null = null

  constructor(options: RaftOptions, restored: RaftRestored, dependencies: RaftDependencies, now: number) {
    this.raft = new RaftState(options, restored, dependencies, now)
    this.election = new Election(this.raft)
    this.voting = new Voting(this.raft, {
      protects: (candidate) => this.leadership?.protects() ?? this.election.protects(candidate),
      yielded: () => this.election.yielded(),
    })
    this.follower = new Follower(this.raft, this.election)
    this.formation = new Formation(this.raft, this.election)
    this.logRetention = new LogRetention(this.raft)
    this.stateEvents = new StateEvents(this.raft)
    this.election.settle(false)
    this.election.hurryIfAlone()
    this.stateEvents.begin(this.state, this.leader)
  }

  // --- from peers ---------------------------------------------------------------------------------------------------

  receive(now: number, message: RaftMessage): void {
    this.raft.advance(now)
    const reason = this.ignore(message)
    if (reason === null) this.dispatch(message)
    else this.raft.note(message.type, message.from, reason)
    this.settle()
  }

  private ignore(message: RaftMessage): string | null {
    if (message.to !== this.raft.id) return 'not addressed to this node'
    return message.from === this.raft.id ? 'from this node itself' : null
  }

  private dispatch(message: RaftMessage): void {
    switch (message.type) {
      case 'pre-vote-request':
        return this.voting.onPreVoteRequest(message)
      case 'pre-vote-response':
        return this.election.onPreVoteResponse(message)
      case 'vote-request':
        return this.voting.onVoteRequest(message)
      case 'vote-response':
        return this.election.onVoteResponse(message)
      case 'append-request':
        return this.follower.onAppendRequest(message)
      case 'append-response':
        if (this.leadership !== null) return this.leadership.onAppendResponse(message)
        this.raft.note(message.type, message.from, 'this node does not lead')
        return
      case 'transfer-request':
        return this.follower.onTransferRequest(message)
      default:
        return unreachable(message, 'message')
    }
  }

  /** This node's outgoing connection to `id` is established. */
  peerConnected(now: number, id: NodeId): void {
    this.raft.advance(now)
    this.raft.connectedAt.set(id, this.raft.now)
    this.leadership?.replication.connectionChanged(id)
    this.election.peerConnected(id)
    this.settle()
  }

  /** The connection to `id` broke: messages in flight may be lost. */
  peerDisconnected(now: number, id: NodeId): void {
    this.raft.advance(now)
    this.raft.connectedAt.delete(id)
    this.leadership?.replication.connectionChanged(id)
    this.settle()
  }

  /** Nobody listens at `id`'s address: as far as the kernel knows, its process is gone. */
  peerUnreachable(now: number, id: NodeId): void {
    this.raft.advance(now)
    this.leadership?.peerUnreachable(id)
    this.election.peerUnreachable(id)
    this.settle()
  }

  // --- from the clock, the disk and the state machine ------------------------------------------------------------------

  /** Call at or after `deadline()`; harmless at any time. Messages that have arrived must be handed in first. */
  tick(now: number): void {
    this.raft.advance(now)
    this.election.tick()
    const reason = this.leadership?.tick() ?? null
    if (reason !== null) this.endLeadership(reason)
    this.settle()
  }

  /** When `tick` must be called if nothing else happens; `Infinity` for a passive node. */
  deadline(): number {
    return this.leadership?.deadline ?? this.election.deadline
  }

  /** The clock stood still for a while, or may have: from now on no lease rests on anything that was sent before. */
  woken(now: number): void {
    this.raft.advance(now)
    this.raft.wokenAt = this.raft.now
    this.settle()
  }

  /** All writes up to number `seq` are durable. */
  persisted(now: number, seq: number): void {
    this.raft.advance(now)
    this.raft.outbox.persisted(seq)
    this.settle()
  }

  /** The state machine has applied everything up to `index`, in memory. */
  applied(now: number, index: LogIndex): void {
    this.raft.advance(now)
    assert(index <= this.raft.committed, 'only what is committed is applied')
    if (index > this.raft.applied) this.raft.applied = index
    this.settle()
  }

  /** The state on disk covers `logId`: the log up to there may be freed as far as the policy allows. */
  stateDurable(now: number, logId: LogId): void {
    this.raft.advance(now)
    this.logRetention.stateDurable(logId, this.leadership?.replication.purgeFloor() ?? this.raft.log.lastIndex)
    this.settle()
  }

  /** Frees everything that the durable state covers, up to `index` (null: everything it covers). Returns the last entry freed, or null. */
  purgeTo(now: number, index: LogIndex | null): LogId | null {
    this.raft.advance(now)
    const purged = this.logRetention.purgeTo(
      index,
      this.leadership?.replication.purgeFloor() ?? this.raft.log.lastIndex,
    )
    this.settle()
    return purged
  }

  // --- requests -------------------------------------------------------------------------------------------------------

  /** Appends `count` entries, encoded as `body`. O(1). */
  propose(now: number, proposal: { readonly count: number; readonly body: Uint8Array }): ProposeOutcome {
    this.raft.advance(now)
    assert(proposal.count > 0, 'a proposal has entries')
    const outcome = this.leadership?.propose(proposal.count, proposal.body) ?? this.notLeader()
    this.settle()
    return outcome
  }

  /** Forms a new cluster (raft.md 3). Other nodes may rely on it once the entry is durable. */
  initialize(now: number, membership: Membership): InitializeOutcome {
    this.raft.advance(now)
    const outcome = this.formation.initialize(membership)
    this.settle()
    return outcome
  }

  /** `ifMembershipAt`: only if the effective membership was set by the entry at that index. */
  changeMembership(
    now: number,
    change: MembershipChange,
    ifMembershipAt: LogIndex | null,
    incarnationOf: IncarnationOf = () => null,
  ): ChangeOutcome {
    this.raft.advance(now)
    const outcome = this.leadership?.changeMembership(change, ifMembershipAt, incarnationOf) ?? this.notLeader()
    this.settle()
    return outcome
  }

  /** Begins a linearizable read; it is released through `Effects.reads`, possibly in the same step. */
  read(now: number, readId: number): ReadOutcome {
    this.raft.advance(now)
    const outcome = this.leadership?.read(readId) ?? this.notLeader()
    this.settle()
    return outcome
  }

  /**
   * An index that is safe to read at right now under the leader's lease; null when there is none. `uncountedMs`: how much longer ago than
   * `now` says any event may have been.
   */
  leaseRead(now: number, uncountedMs = 0): LogIndex | null {
    this.raft.advance(now)
    return this.leadership?.leaseRead(uncountedMs) ?? null
  }

  /** `to` null: hands over to the voter that is furthest ahead. */
  transfer(now: number, to: NodeId | null): TransferOutcome {
    this.raft.advance(now)
    const outcome = this.leadership?.transferTo(to) ?? this.notLeader()
    this.settle()
    return outcome
  }

  /** Tries to become leader, with pre-vote: a leader that is heard stays. */
  campaign(now: number): CampaignOutcome {
    this.raft.advance(now)
    const outcome: CampaignOutcome =
      this.leadership === null ? this.election.tryNow() : { kind: 'refused', reason: 'this node leads already' }
    this.settle()
    return outcome
  }

  /** Gives up leadership or candidacy: the disk is too slow, or the node shuts down. */
  stepDown(now: number, reason: string): void {
    this.raft.advance(now)
    if (this.leadership !== null) this.endLeadership(reason)
    else this.election.standBack()
    this.settle()
  }

  // --- snapshots ------------------------------------------------------------------------------------------------------

  /**
   * Receiver: call before the stream is read, and again before the received state is swapped in. Tells whether it is still wanted.
   * `have-it` and `accept` count as hearing the leader; `have-it` also sends the acknowledgement.
   */
  offerSnapshot(now: number, from: NodeId, offer: SnapshotOffer): 'accept' | 'have-it' | 'outvoted' {
    this.raft.advance(now)
    const answer = this.follower.offerSnapshot(from, offer)
    this.settle()
    return answer
  }

  /** Receiver: chunks are arriving from the leader of `vote`. */
  snapshotProgress(now: number, from: NodeId, vote: Vote): void {
    this.raft.advance(now)
    this.follower.snapshotProgress(from, vote)
    this.settle()
  }

  /** Receiver: the state was swapped in and is durable. `offer.logId` is not below what was applied before. */
  installSnapshot(now: number, from: NodeId, offer: SnapshotOffer & { readonly membership: StoredMembership }): void {
    this.raft.advance(now)
    this.follower.installSnapshot(from, offer, offer.membership)
    this.settle()
  }

  /** Sender: how the transfer of a `SnapshotPlan` goes. */
  snapshotReport(now: number, to: NodeId, session: number, report: SnapshotReport): void {
    this.raft.advance(now)
    if (this.leadership === null) this.raft.note('snapshot', to, 'this node does not lead')
    else this.leadership.replication.snapshotReport(to, session, report)
    this.settle()
  }

  // --- out ------------------------------------------------------------------------------------------------------------

  takeEffects(): Effects {
    this.leadership?.flush()
    return this.raft.outbox.take(this.raft.committed)
  }

  /** The leader that wrote entry `index`; null when it is purged or beyond the end. */
  leaderIdAt(index: LogIndex): LeaderId | null {
    return this.raft.log.leaderIdAt(index)
  }

  logIdAt(index: LogIndex): LogId | null {
    return this.raft.log.logIdAt(index)
  }

  /** The last membership at or before `index`; null when that is no longer known. */
  membershipAt(index: LogIndex): StoredMembership | null {
    return this.raft.memberships.at(index)
  }

  get effectiveMembership(): StoredMembership {
    return this.raft.effective
  }

  get vote(): Vote {
    return this.raft.vote
  }

  /** The node that this leader is handing over to; null when there is none, or this node does not lead. */
  get transferringTo(): NodeId | null {
    return this.leadership?.transferringTo ?? null
  }

  get state(): NodeState {
    if (this.leadership !== null) return 'leader'
    if (this.election.candidate) return 'candidate'
    return this.raft.isVoter() ? 'follower' : 'learner'
  }

  /** The node that leads under the current vote, as far as this node knows. */
  get leader(): NodeId | null {
    return this.leadership === null ? this.election.leader : this.raft.id
  }

  view(): RaftView {
    const { state, leader } = this
    const leaderHeardAt = this.leadership === null ? this.election.leaderHeardAt : null
    return viewOf(this.raft, this.leadership, { state, leader, leaderHeardAt })
  }

  /** The core's parts, for the checks of invariants.ts and soundness.ts. Not for drivers. */
  inspect(): { readonly state: RaftState; readonly leadership: Leadership | null } {
    return { state: this.raft, leadership: this.leadership }
  }

  // --- after every input ----------------------------------------------------------------------------------------------

  private settle(): void {
    const { raft, election } = this
    if (this.leadership !== null && !sameLeaderId(raft.vote.leaderId, this.leadership.vote.leaderId)) {
      this.endLeadership('a higher ballot')
    }
    this.formation.settle()
    if (election.hasWon()) this.beginLeadership()
    this.leadership?.settle()
    this.settleRecovery()
    election.settle(this.leadership !== null)
    this.stateEvents.report(this.state, this.leader)
  }

  private beginLeadership(): void {
    const vote = { leaderId: this.raft.vote.leaderId, committed: true }
    this.election.abandon()
    this.raft.saveVote(vote)
    this.leadership = new Leadership(this.raft, vote)
  }

  private endLeadership(reason: string): void {
    this.leadership?.end()
    this.leadership = null
    this.raft.outbox.event({ type: 'stepped-down', reason })
    // A ballot that was only seen in an answer has no leader. The quickest way to get one again is to campaign once more.
    const outvoted = this.raft.vote.leaderId.nodeId !== this.raft.id && this.election.deadline === Infinity
    if (outvoted) this.election.rearmSoon()
    else if (this.election.deadline === Infinity) this.election.rearm()
  }

  private settleRecovery(): void {
    const { raft } = this
    const until = raft.recoverUntil
    if (until === null || raft.consistent < until || raft.outbox.durability.index < until) return
    raft.recoverUntil = null
    raft.outbox.event({ type: 'recovered' })
  }

  private notLeader(): NotLeading {
    return { kind: 'not-leader', leader: this.leader }
  }
}
