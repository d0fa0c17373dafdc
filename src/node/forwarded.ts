import type { ForwardRefusal, ForwardRequest } from '../ports/transport.ts'
import type { LeaderId, NodeId, ProposeOutcome } from '../raft/index.ts'
import { compareLeaderIds, sameLeaderId } from '../raft/index.ts'
import { faultOfForwarded, originOf } from './entry.ts'

export interface ForwardedDependencies {
  readonly id: NodeId
  /** The ballot under which this node leads now; null when it does not. */
  readonly leading: () => LeaderId | null
  readonly propose: (count: number, body: Uint8Array) => ProposeOutcome
  readonly send: (message: ForwardRefusal) => void
}

type Decision = 'accepted' | ForwardRefusal['reason']

/** Batches remembered for one origin; older ones count as decided. */
const REMEMBERED_MAX = 4096
const ORIGINS_MAX = 1024

class Decisions {
  readonly byBatch = new Map<number, Decision>()
  private floor = -1

  /** Whether the batch was forgotten: its decision stands, but nobody knows it any more. */
  isForgotten(batchId: number): boolean {
    return batchId <= this.floor && !this.byBatch.has(batchId)
  }

  record(batchId: number, decision: Decision): void {
    this.byBatch.set(batchId, decision)
    if (this.byBatch.size <= REMEMBERED_MAX) return
    for (const oldest of this.byBatch.keys()) {
      this.byBatch.delete(oldest)
      if (oldest > this.floor) this.floor = oldest
      return
    }
  }
}

/**
 * Takes the commands that other nodes forward while this one leads.
 *
 * Guarantee: a batch is appended at most once, however often its frame arrives, and a refusal is final. A batch belongs to one
 * ballot, so decisions are remembered only for the latest ballot that this node led in its present life; for an earlier one of its
 * own it keeps silent, since it cannot know what it did with the batch.
 */
export class Forwarded {
  private readonly deps: ForwardedDependencies
  private ballot: LeaderId | null = null
  private origins = new Map<string, Decisions>()

  constructor(deps: ForwardedDependencies) {
    this.deps = deps
  }

  /** This node has begun to lead under `ballot`. */
  onLeading(ballot: LeaderId): void {
    if (this.ballot !== null && sameLeaderId(this.ballot, ballot)) return
    this.ballot = ballot
    this.origins = new Map()
  }

  /** Null unless the batch is one that no sound member forwards. */
  onRequest(request: ForwardRequest): string | null {
    const { leaderId } = request.vote
    const fault = faultOfForwarded(request.body, request.count, request.from)
    if (fault !== null) return fault
    if (leaderId.nodeId !== this.deps.id) this.refuse(request, 'not-leader')
    else if (this.ballot !== null && sameLeaderId(leaderId, this.ballot)) this.decide(request)
    // Neither the ballot led last nor a later one: what became of the batch under it is not known any more.
    else if (this.ballot !== null && compareLeaderIds(leaderId, this.ballot) > 0) this.refuse(request, 'not-leader')
    return null
  }

  private decide(request: ForwardRequest): void {
    const decisions = this.decisionsOf(originOf(request.body))
    const earlier = decisions.byBatch.get(request.batchId)
    if (earlier === undefined && decisions.isForgotten(request.batchId)) return
    const decision = earlier ?? this.propose(request)
    decisions.record(request.batchId, decision)
    if (decision !== 'accepted') this.refuse(request, decision)
  }

  private propose(request: ForwardRequest): Decision {
    const leading = this.deps.leading()
    if (leading === null || !sameLeaderId(leading, request.vote.leaderId)) return 'not-leader'
    return this.deps.propose(request.count, request.body).kind
  }

  private decisionsOf(origin: string): Decisions {
    let decisions = this.origins.get(origin)
    if (decisions === undefined) {
      decisions = new Decisions()
      this.origins.set(origin, decisions)
      if (this.origins.size > ORIGINS_MAX)
        for (const oldest of this.origins.keys()) {
          this.origins.delete(oldest)
          break
        }
    }
    return decisions
  }

  private refuse(request: ForwardRequest, reason: ForwardRefusal['reason']): void {
    this.deps.send({
      type: 'forward-refusal',
      from: this.deps.id,
      to: request.from,
      batchId: request.batchId,
      reason,
    })
  }
}
