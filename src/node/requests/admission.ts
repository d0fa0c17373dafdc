import { Rate } from '../../lib/rate.ts'

export interface AdmissionOptions {
  /** How long the writes before it may keep a write waiting. */
  readonly waitMsMax: number
  /** So many writes, of so many bytes together, are never too many. */
  readonly fewMax: number
  readonly fewBytesMax: number
}

/** The writes without an answer. */
export interface WaitingWrites {
  readonly count: number
  readonly bytes: number
  /** When the oldest of them came. */
  readonly oldestAt: number
}

/** How long the pace of answers is measured: long enough that a pause for the collector or a slow sync does not count for much. */
const PACE_MS = 500
/** How much longer than a write on its own one may take that waits. Two syncs are what it takes when others are on their way. */
const WAIT_FACTOR = 3
/** Each write weighs so much in the mean of what writes take on their own. */
const MEAN_SHARE = 1 / 8

/**
 * Whether a node takes one more write, or refuses it at once because those before it would take too long. A refused client can go elsewhere or
 * slow down. One that waits until its deadline cannot, and does not even know whether its write was carried out.
 *
 * Writes are answered in the order in which they came, so a new one waits for as long as the pace of the answers needs for those before it.
 * Moments without any write that waits do not count for the pace. Even so it says what the node, its leader and the disks can do only while
 * there is enough to do. So it counts only once a write has really waited for half the bound.
 *
 * Where each write takes long although hardly any others are under way, on a slow disk or between far places, refusing some would not make the
 * others faster, because a sync carries any number of them. So the bound is never less than a few times what a write takes on its own.
 */
export class Admission {
  private readonly options: AdmissionOptions
  /** Measured in time during which something waits. */
  private readonly answers = new Rate(PACE_MS)
  private busyMs = 0
  private busySince: number | null = null
  /** The present leader has the writes since then at the earliest. */
  private ledSince = 0
  /** What a write takes on its own. */
  private ownMs = 0

  constructor(options: AdmissionOptions) {
    this.options = options
  }

  /** The first write begins to wait. */
  onBusy(now: number): void {
    this.busySince = now
  }

  /** Nothing waits any more. */
  onIdle(now: number): void {
    this.busyMs = this.busyAt(now)
    this.busySince = null
  }

  /** All that wait may have to wait anew, for another leader. */
  onLeader(now: number): void {
    this.ledSince = now
    this.answers.begin(this.busyAt(now))
  }

  /** Whether one more write than `waiting` has hardly any before it. */
  isAmongFew({ count, bytes }: Omit<WaitingWrites, 'oldestAt'>): boolean {
    const { fewMax, fewBytesMax } = this.options
    return count < fewMax && bytes <= fewBytesMax
  }

  /** A write that came at `since` is answered. */
  onAnswered(now: number, since: number, wasAmongFew: boolean): void {
    this.answers.add(this.busyAt(now))
    const tookMs = this.waitedMs(now, since)
    if (tookMs < this.ownMs) this.ownMs = tookMs
    else if (wasAmongFew) this.ownMs += (tookMs - this.ownMs) * MEAN_SHARE
  }

  /** Whether a write may wait behind those that are `waiting`. `timeoutMs`: how long its client waits. */
  admits(now: number, waiting: WaitingWrites, timeoutMs: number): boolean {
    if (this.isAmongFew(waiting)) return true
    const boundMs = Math.min(Math.max(this.options.waitMsMax, this.ownMs * WAIT_FACTOR), timeoutMs / 2)
    if (this.waitedMs(now, waiting.oldestAt) <= boundMs / 2) return true
    return waiting.count < this.answers.perMs(this.busyAt(now)) * boundMs
  }

  private busyAt(now: number): number {
    return this.busyMs + (this.busySince === null ? 0 : now - this.busySince)
  }

  private waitedMs(now: number, since: number): number {
    return now - Math.max(since, this.ledSince)
  }
}
