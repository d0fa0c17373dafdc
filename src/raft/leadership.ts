import type { RaftState } from './state.ts'
import { planChange } from './membership-change.ts'
import { finalMembershipOf, identified, isJoint } from './membership.ts'
import type { AppendResponse } from './message.ts'
import { PendingReads } from './pending-reads.ts'
import { Replication } from './replication.ts'
import type {
  ChangeOutcome,
  IncarnationOf,
  MembershipChange,
  NotLeading,
  ProposeOutcome,
  ReadOutcome,
  TransferOutcome,
} from './requests.ts'
import { Transfer } from './transfer.ts'
import { indexOf, type LogIndex, type Membership, type NodeId, type Vote } from './types.ts'

/** Everything that exists only while this node leads, under one ballot. Made when it wins, thrown away when it stops. */
export class Leadership {
  private readonly raft: RaftState
  /** The ballot that was won, as a committed vote. */
  readonly vote: Vote
  readonly replication: Replication
  private readonly reads: PendingReads
  private readonly transfer: Transfer
  private readonly electedAt: number
  /** This leader's first entry. Once it is committed, so is everything before it, and the leader knows its commit index (thesis 6.4). */
  private readonly blank: LogIndex
  /** When a leader that is no longer a voter gives up leading, whether or not a successor was found. */
  private departAt = Infinity
  /** The contact time for which a jump of time was forgiven: only once for each contact time. */
  private forgivenAt = -Infinity

  constructor(raft: RaftState, vote: Vote) {
    this.raft = raft
    this.vote = vote
    this.electedAt = raft.now
    // Followers are probed at the end of the log as it was before the blank entry, so they are created first.
    this.replication = new Replication(raft, vote)
    this.reads = new PendingReads(raft)
    this.transfer = new Transfer(raft, vote, this.replication)
    this.blank = raft.appendOwn(vote.leaderId, 1, raft.codec.blank(), null).first
  }

  /** An entry of this ballot is committed. */
  get established(): boolean {
    return this.raft.committed >= this.blank
  }

  get transferringTo(): NodeId | null {
    return this.transfer.to
  }

  get quorumAckedAt(): number {
    return this.replication.quorumAckedAt
  }

  get deadline(): number {
    return Math.min(this.replication.heartbeatAt, this.transfer.deadline, this.departAt)
  }

  /** While a quorum has lately acknowledged this leader, it votes for nobody else. */
  protects(): boolean {
    return this.raft.now < this.contactAt + this.raft.options.electionTimeoutMsMin
  }

  /** When this leader was last certain of a quorum; its election counts as well. */
  private get contactAt(): number {
    return Math.max(this.electedAt, this.replication.quorumAckedAt)
  }

  private get busy(): NotLeading | null {
    const to = this.transfer.to
    return to === null ? null : { kind: 'transferring', to }
  }

  propose(count: number, body: Uint8Array): ProposeOutcome {
    const { raft } = this
    if (this.busy !== null) return this.busy
    // Entries that no quorum acknowledges must not pile up without limit. A single large proposal on an empty tail is always taken.
    const uncommitted = raft.committed === raft.log.lastIndex ? 0 : raft.log.sizes.bytesAfter(raft.committed)
    if (uncommitted > 0 && uncommitted + body.length > raft.options.uncommittedBytesMax) return { kind: 'overloaded' }
    const { leaderId, first, last } = raft.appendOwn(this.vote.leaderId, count, body, null)
    return { kind: 'accepted', leaderId, first, last }
  }

  changeMembership(
    change: MembershipChange,
    ifMembershipAt: LogIndex | null,
    incarnationOf: IncarnationOf,
  ): ChangeOutcome {
    const { raft } = this
    if (this.busy !== null) return this.busy
    const stored = raft.effective
    const index = indexOf(stored.logId)
    if (ifMembershipAt !== null && ifMembershipAt !== index) return { kind: 'precondition-failed', stored }
    // At most one uncommitted change, and none before this leader knows what is committed (thesis 4.1 and its correction of 2015).
    if (!this.established || index > raft.committed || isJoint(stored.membership))
      return { kind: 'in-progress', stored }
    const plan = planChange(stored.membership, change, {
      isLive: (id) => this.isLive(id),
      lagOf: (id) => this.lagOf(id),
    })
    if (plan.kind === 'unchanged') return { kind: 'unchanged', stored }
    if (plan.kind !== 'next') return plan
    const next = identified(plan.membership, incarnationOf)
    return next === stored.membership ? { kind: 'unchanged', stored } : this.appendMembership(next)
  }

  private appendMembership(membership: Membership): Extract<ChangeOutcome, { kind: 'appended' }> {
    const { raft } = this
    const { leaderId, last: index } = raft.appendOwn(
      this.vote.leaderId,
      1,
      raft.codec.membership(membership),
      membership,
    )
    this.replication.followMembership()
    return { kind: 'appended', logId: { leaderId, index }, membership }
  }

  private isLive(id: NodeId): boolean {
    const heardAt = this.replication.progressOf(id)?.heardAt ?? -Infinity
    return id === this.raft.id || this.raft.now <= heardAt + this.raft.options.electionTimeoutMsMax
  }

  /** Every other member has a progress; only this node itself has none. */
  private lagOf(id: NodeId): number | null {
    const progress = this.replication.progressOf(id)
    if (progress === null || this.replication.isCaughtUp(progress)) return null
    return this.raft.log.lastIndex - progress.matched
  }

  read(readId: number): ReadOutcome {
    if (this.busy !== null) return this.busy
    this.reads.add(readId, this.readIndex)
    return { kind: 'pending' }
  }

  /** Everything that was committed before this moment is at or below this index. */
  private get readIndex(): LogIndex {
    return this.established ? this.raft.committed : this.blank
  }

  /**
   * A lease (thesis 6.4.1), measured from when the message was sent that a quorum acknowledged, so that the followers' promise always ends
   * later.
   */
  leaseRead(uncountedMs: number): LogIndex | null {
    const { now, options, committed } = this.raft
    if (!this.established || this.transfer.ordered || this.busy !== null) return null
    const leaseMs = options.electionTimeoutMsMin - options.leaseDriftMs
    return now + uncountedMs < this.replication.leaseStart() + leaseMs ? committed : null
  }

  transferTo(to: NodeId | null): TransferOutcome {
    return this.busy ?? this.transfer.start(to)
  }

  onAppendResponse(message: AppendResponse): void {
    this.replication.onAppendResponse(message)
  }

  peerUnreachable(id: NodeId): void {
    this.transfer.peerUnreachable(id)
  }

  /** Sends heartbeats and checks that a quorum is still there. Returns why this node must stop leading, or null. */
  tick(): string | null {
    const { raft } = this
    if (raft.now < this.deadline) return null
    const late = raft.now > this.deadline + raft.options.heartbeatMs
    if (raft.now >= this.replication.heartbeatAt) this.replication.beat()
    this.replication.countAcknowledgements()
    if (raft.now >= this.departAt) return 'no longer a voter'
    if (raft.now < this.contactAt + raft.options.electionTimeoutMsMax) return null
    // Check quorum (thesis 6.2). After a jump of time the answers may still be waiting to be read, so judge at the next beat.
    if (late && this.forgivenAt !== this.contactAt) {
      this.forgivenAt = this.contactAt
      return null
    }
    return 'no quorum answers'
  }

  /** Called after every input: does what follows from what is known now. */
  settle(): void {
    const { raft } = this
    this.replication.countAcknowledgements()
    // Only entries of this ballot are committed by counting; earlier entries are committed with them (thesis 3.6.2).
    const held = this.replication.heldByQuorum()
    if (held >= this.blank) raft.commitTo(held)
    this.transfer.settle()
    if (!this.established) return
    this.reads.release(this.replication.quorumAckedAt)
    const { logId, membership } = raft.effective
    if (indexOf(logId) <= raft.committed) {
      // Once a joint configuration is committed, the present leader finishes it, whoever began it (raft.md 4).
      if (isJoint(membership) && this.busy === null) this.appendMembership(finalMembershipOf(membership))
      else if (!raft.isVoter()) this.depart()
    }
  }

  /** The change that removed this leader is committed: it hands over to the voter that is furthest ahead, and stops leading in any case. */
  private depart(): void {
    const { raft } = this
    if (this.departAt === Infinity) this.departAt = raft.now + raft.options.electionTimeoutMsMax
    if (this.transfer.to !== null || this.transfer.ordered) return
    this.transfer.start(null)
    this.transfer.settle()
  }

  /** Sends everything that is due, gathered so that one message to each follower carries the work of several inputs. */
  flush(): void {
    this.replication.flush()
    const since = this.established ? this.reads.wantsRound(this.replication.quorumAckedAt) : null
    if (since !== null) this.replication.confirm(since)
  }

  end(): void {
    this.reads.fail()
    this.transfer.end()
  }
}
