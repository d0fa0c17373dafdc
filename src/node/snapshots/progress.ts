import type { SnapshotProgressView } from '../../api/cluster.ts'
import type { LogIndex, SnapshotPlan } from '../../raft/index.ts'

/** Where the replication of the log after a delivered state began. */
export interface Delivery {
  readonly at: number
  /** The last entry that the state holds. */
  readonly index: LogIndex
  /** The leader's last entry when it was delivered. */
  readonly last: LogIndex
}

/** A speed that was measured over less time than this means nothing. */
const MEASURED_MS_MIN = 500
/** From a smaller fraction of the rows than this, the rest cannot be estimated. */
const FRACTION_MIN = 0.01

/** One attempt to transfer the state to a node, with what is known about the attempts before it. */
export class SnapshotProgress {
  readonly plan: SnapshotPlan
  readonly attempt: number
  private readonly startedAt: number
  private state: SnapshotProgressView['state'] = 'sending'
  private bytesSent = 0
  private rowsSent = 0
  private bytesEstimate: number
  private percent = 0
  private lastFailure: string | null
  private deliveredAs: Delivery | null = null

  /** `before`: the previous attempt for the same node under the same leadership. */
  constructor(plan: SnapshotPlan, bytesEstimate: number, now: number, before: SnapshotProgress | null) {
    this.plan = plan
    this.startedAt = now
    this.bytesEstimate = bytesEstimate
    this.attempt = (before?.attempt ?? 0) + 1
    this.lastFailure = before?.lastFailure ?? null
    if (before?.state === 'delivered') {
      this.lastFailure = 'the log was purged beyond the state that was sent before the node had caught up'
    }
  }

  get isUnderWay(): boolean {
    return this.state === 'sending' || this.state === 'installing'
  }

  get bytes(): number {
    return this.bytesSent
  }

  get delivery(): Delivery | null {
    return this.deliveredAs
  }

  sentChunk(bytes: number, rows: number): void {
    this.bytesSent += bytes
    this.rowsSent += rows
    // More than was expected: the end cannot be far.
    this.bytesEstimate = Math.max(this.bytesEstimate, this.bytesSent)
    this.showPercent()
  }

  /** `fraction` of the rows are sent: a better basis for the estimate than anything known before. */
  measured(fraction: number): void {
    if (fraction < FRACTION_MIN || fraction > 1) return
    this.bytesEstimate = Math.ceil(this.bytesSent / fraction)
    this.showPercent()
  }

  sentAll(): void {
    this.state = 'installing'
    this.bytesEstimate = this.bytesSent
    this.percent = 100
  }

  failed(detail: string): void {
    this.state = 'waiting'
    this.lastFailure = detail
  }

  delivered(delivery: Delivery): void {
    this.state = 'delivered'
    this.deliveredAs = delivery
  }

  view(now: number): SnapshotProgressView {
    const { state, attempt, bytesSent, bytesEstimate, percent, rowsSent, lastFailure } = this
    const remainingMs = this.remainingMs(now)
    return { state, attempt, bytesSent, bytesEstimate, percent, rowsSent, remainingMs, lastFailure }
  }

  /** Never goes back, whatever becomes of the estimate, and shows less than 100 until everything is sent. */
  private showPercent(): void {
    const percent = this.bytesEstimate === 0 ? 0 : Math.floor((this.bytesSent * 100) / this.bytesEstimate)
    this.percent = Math.max(this.percent, Math.min(99, percent))
  }

  private remainingMs(now: number): number | null {
    if (this.state === 'installing' || this.state === 'delivered') return 0
    const elapsedMs = now - this.startedAt
    if (this.state === 'waiting' || this.bytesSent === 0 || elapsedMs < MEASURED_MS_MIN) return null
    return Math.round(((this.bytesEstimate - this.bytesSent) * elapsedMs) / this.bytesSent)
  }
}

/** How long the log after a delivered state will take, judged by how much the node has caught up since; null while that is unknown. */
export function remainingOfLog(delivery: Delivery, matched: LogIndex, last: LogIndex, now: number): number | null {
  const elapsedMs = now - delivery.at
  const closer = delivery.last - delivery.index - (last - matched)
  if (elapsedMs < MEASURED_MS_MIN || closer <= 0) return null
  return Math.round(((last - matched) * elapsedMs) / closer)
}
