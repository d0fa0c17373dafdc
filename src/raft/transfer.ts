import type { RaftState } from './state.ts'
import { futureVotersOf } from './membership.ts'
import type { Progress } from './progress.ts'
import type { Replication } from './replication.ts'
import type { TransferOutcome } from './requests.ts'
import type { NodeId, Vote } from './types.ts'

interface Handover {
  readonly to: NodeId
  /** One election timeout after the start. The transfer ends by then on every path. */
  readonly deadline: number
  orderedAt: number | null
}

/** Hands leadership to another voter on purpose (thesis 3.10). While a transfer lasts, the leader takes no new proposals. */
export class Transfer {
  private readonly raft: RaftState
  private readonly vote: Vote
  private readonly replication: Replication
  private handover: Handover | null = null
  /**
   * An order to campaign despite this leader's lease has left. It may arrive at any time, even after the transfer was given up, so there is
   * no lease any more under this ballot.
   */
  ordered = false

  constructor(raft: RaftState, vote: Vote, replication: Replication) {
    this.raft = raft
    this.vote = vote
    this.replication = replication
  }

  get to(): NodeId | null {
    return this.handover?.to ?? null
  }

  get deadline(): number {
    return this.handover?.deadline ?? Infinity
  }

  /** `to` null: hands over to the voter that is furthest ahead. */
  start(to: NodeId | null): TransferOutcome {
    const { raft } = this
    const voters = futureVotersOf(raft.membership)
    if (to === null) {
      const others = voters.flatMap((id) => this.replication.progressOf(id) ?? [])
      const fit = others.filter((progress) => this.unfit(progress) === null)
      const best = fit.sort((a, b) => b.matched - a.matched || b.id - a.id)[0]
      return best === undefined ? { kind: 'no-target', reason: 'no other voter is up to date' } : this.begin(best.id)
    }
    if (to === raft.id) return { kind: 'no-target', reason: `node ${to} leads already` }
    const progress = voters.includes(to) ? this.replication.progressOf(to) : null
    const reason = progress === null ? `node ${to} is not a voter` : this.unfit(progress)
    return reason === null ? this.begin(to) : { kind: 'no-target', reason }
  }

  private begin(to: NodeId): TransferOutcome {
    this.handover = { to, deadline: this.raft.now + this.raft.options.electionTimeoutMsMax, orderedAt: null }
    this.raft.outbox.event({ type: 'transfer-started', to })
    return { kind: 'started', to }
  }

  /** Why a voter cannot take over now; null when it can. */
  private unfit(progress: Progress): string | null {
    const { raft } = this
    const { id, heardAt } = progress
    if (heardAt === null || raft.now > heardAt + raft.options.electionTimeoutMsMax) return `node ${id} does not answer`
    return this.replication.isCaughtUp(progress) ? null : `node ${id} is not caught up`
  }

  /** Gives the order once the target holds the whole log, and again with each heartbeat in case the order was lost. */
  settle(): void {
    const { raft, handover } = this
    if (handover === null) return
    if (raft.now >= handover.deadline) return this.end()
    if (handover.orderedAt !== null && raft.now < handover.orderedAt + raft.options.heartbeatMs) return
    if (this.replication.progressOf(handover.to)?.matched !== raft.log.lastIndex) return
    const { vote } = this
    raft.outbox.send({ type: 'transfer-request', from: raft.id, to: handover.to, vote, last: raft.log.last })
    handover.orderedAt = raft.now
    this.ordered = true
  }

  peerUnreachable(id: NodeId): void {
    if (this.handover?.to === id) this.end()
  }

  end(): void {
    if (this.handover !== null) this.raft.outbox.event({ type: 'transfer-ended', to: this.handover.to })
    this.handover = null
  }
}
