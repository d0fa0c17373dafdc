import { dropOldest } from '../../lib/drop-oldest.ts'
import { limits } from '../../limits.ts'
import type { ForwardRefusal, ForwardRequest } from '../../ports/transport.ts'
import type { LeaderId, LogIndex, NodeId } from '../../raft/index.ts'
import { compareLeaderIds, sameLeaderId } from '../../raft/index.ts'
import { faultOfForwarded, originOf } from '../codec/entry.ts'
import type { ForwardedTimes } from './forwarded-times.ts'
import type { LeaderDirectory } from './leader-directory.ts'
import type { Proposer } from './proposals.ts'

/** Everything but `id` may be left out. */
export interface ForwardedOptions {
  readonly id: NodeId
  /** For how many batches of one origin the decision is remembered; of older ones it is only known that they were decided. */
  readonly forwardedBatchesMax?: number
  /** For how many origins decisions are remembered; of those used longer ago only how far their batches had come. */
  readonly forwardedOriginsMax?: number
  /** The most origins of which anything is remembered under one ballot. */
  readonly forwardedOriginsInAllMax?: number
}

export interface ForwardedDependencies {
  readonly leaders: Pick<LeaderDirectory, 'leading'>
  readonly core: Proposer & { stepDown(reason: string): void }
  readonly outbox: { send(message: ForwardRefusal): void }
  /** Null: nobody wants to know how long forwarded commands take. */
  readonly times: ForwardedTimes | null
}

type Decision = 'accepted' | ForwardRefusal['reason']

/** The decisions on the batches of one origin. */
class Decisions {
  readonly byBatch = new Map<number, Decision>()
  /** Batches up to this one that are not in `byBatch` are decided, but it is not known how. */
  private floor: number

  constructor(floor: number) {
    this.floor = floor
  }

  isForgotten(batchId: number): boolean {
    return batchId <= this.floor && !this.byBatch.has(batchId)
  }

  /** The last batch that may have been decided here; no later one was. */
  get end(): number {
    let end = this.floor
    for (const batchId of this.byBatch.keys()) if (batchId > end) end = batchId
    return end
  }

  record(batchId: number, decision: Decision, batchesMax: number): void {
    this.byBatch.set(batchId, decision)
    const [oldest] = dropOldest(this.byBatch, batchesMax) ?? []
    if (oldest !== undefined && oldest > this.floor) this.floor = oldest
  }
}

const NONE_DECIDED = -1

/**
 * Takes the commands that other nodes forward while this one leads.
 *
 * Guarantee: a batch is appended at most once, however often its frame arrives, and a refusal is final. A batch belongs to one ballot, so
 * decisions are remembered only for the latest ballot that this node led under since its process started. About batches for an earlier
 * ballot of its own it keeps silent, since it cannot know what it did with them. It also keeps silent about decisions under the present
 * ballot that it has forgotten: of an origin that was not used for long, it still knows which batches it has decided. It never forgets an
 * origin, because a forgotten one would look like a new one. Rather than forget one, it steps down to make room for another ballot.
 */
export class Forwarded {
  private readonly id: NodeId
  private readonly batchesMax: number
  private readonly originsMax: number
  private readonly originsInAllMax: number
  private readonly deps: ForwardedDependencies
  private ballot: LeaderId | null = null
  /** In the order of their last use. */
  private origins = new Map<string, Decisions>()
  /** The other origins, each with its last batch that may have been decided. */
  private ends = new Map<string, number>()

  constructor(options: ForwardedOptions, deps: ForwardedDependencies) {
    this.id = options.id
    this.batchesMax = options.forwardedBatchesMax ?? limits.forwardedBatchesMax
    this.originsMax = options.forwardedOriginsMax ?? limits.forwardedOriginsMax
    this.originsInAllMax = options.forwardedOriginsInAllMax ?? limits.forwardedOriginsInAllMax
    this.deps = deps
  }

  /** This node has begun to lead under `ballot`. */
  onLeading(ballot: LeaderId): void {
    if (this.ballot !== null && sameLeaderId(this.ballot, ballot)) return
    this.ballot = ballot
    this.origins = new Map()
    this.ends = new Map()
    this.deps.times?.onLeading()
  }

  /** Entries up to `index` are applied. */
  onApplied(index: LogIndex): void {
    this.deps.times?.onApplied(index)
  }

  /** Null, unless the batch is one that no sound member forwards. */
  onRequest(request: ForwardRequest): string | null {
    const { leaderId } = request.vote
    const fault = faultOfForwarded(request.body, request.count, request.from)
    if (fault !== null) return fault
    if (leaderId.nodeId !== this.id) this.refuse(request, 'not-leader')
    else if (this.ballot !== null && sameLeaderId(leaderId, this.ballot)) this.decide(request)
    // Otherwise the ballot is an earlier one: what became of the batch under it is no longer known.
    else if (this.ballot !== null && compareLeaderIds(leaderId, this.ballot) > 0) this.refuse(request, 'not-leader')
    return null
  }

  private decide(request: ForwardRequest): void {
    const decisions = this.decisionsOf(originOf(request.body))
    if (decisions === null) return this.makeRoom(request)
    const earlier = decisions.byBatch.get(request.batchId)
    if (earlier === undefined && decisions.isForgotten(request.batchId)) return
    const decision = earlier ?? this.propose(request)
    decisions.record(request.batchId, decision, this.batchesMax)
    if (decision !== 'accepted') this.refuse(request, decision)
  }

  private propose(request: ForwardRequest): Decision {
    if (!this.isLeadingUnder(request)) return 'not-leader'
    const outcome = this.deps.core.propose(request.count, request.body)
    if (outcome.kind === 'accepted') this.deps.times?.onAccepted(request, outcome.first, outcome.last)
    return outcome.kind
  }

  private isLeadingUnder({ vote }: ForwardRequest): boolean {
    const leading = this.deps.leaders.leading()
    return leading !== null && sameLeaderId(leading, vote.leaderId)
  }

  /** Null when the origin is new and there is no room for it. */
  private decisionsOf(origin: string): Decisions | null {
    const end = this.ends.get(origin)
    const known = this.origins.get(origin)
    if (known === undefined && end === undefined && this.isFull) return null
    const decisions = known ?? new Decisions(end ?? NONE_DECIDED)
    this.origins.delete(origin)
    this.ends.delete(origin)
    this.origins.set(origin, decisions)
    // Of the origin that was used longest ago, only the end is kept.
    const dropped = dropOldest(this.origins, this.originsMax)
    if (dropped !== null) this.ends.set(dropped[0], dropped[1].end)
    return decisions
  }

  private get isFull(): boolean {
    return this.origins.size + this.ends.size >= this.originsInAllMax
  }

  /**
   * Under the next ballot nothing has to be remembered yet. The origin is new, so none of its batches was appended, nor will this one be.
   */
  private makeRoom(request: ForwardRequest): void {
    if (this.isLeadingUnder(request)) this.deps.core.stepDown('too many processes have forwarded writes to it')
    this.refuse(request, 'not-leader')
  }

  private refuse(request: ForwardRequest, reason: ForwardRefusal['reason']): void {
    this.deps.outbox.send({
      type: 'forward-refusal',
      from: this.id,
      to: request.from,
      batchId: request.batchId,
      reason,
    })
  }
}
