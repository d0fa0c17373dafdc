import type { Caller, Scan } from '../../api/services.ts'
import { RequestError } from '../../lib/errors.ts'
import { toError } from '../../lib/to-error.ts'
import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import { Sweep } from '../requests/sweep.ts'

/** How long a read may wait. */
export interface Until {
  readonly deadline: number
  readonly caller: Caller | null
}

interface Waiting {
  readonly until: Until
  readonly giveUp: () => void
  isOver: boolean
}

const SWEEP_MS = 20

/**
 * The waits of reads for the store of this node. However long the disk takes, a read is answered when its time is up, and given up when its client
 * leaves. What the store was asked for it goes on, and counts until it is done.
 */
export class StoreWaits {
  private readonly clock: Clock
  private readonly workMax: number
  private readonly sweep: Sweep
  /** With those that were over at the last look. */
  private waiting: Waiting[] = []
  private underWay = 0

  constructor(clock: Clock, workMax: number = limits.pendingReadsMax) {
    this.clock = clock
    this.workMax = workMax
    this.sweep = new Sweep(clock, SWEEP_MS, () => this.sweepOnce())
  }

  /** The end of a read that begins now. */
  until({ timeoutMs, caller }: { readonly timeoutMs: number; readonly caller?: Caller | null }): Until {
    return { deadline: this.clock.now() + timeoutMs, caller: caller ?? null }
  }

  /** `discard`: is given what comes when nobody waits for it any more. Rejects with `RequestError`: `read-timeout`, `overloaded`. */
  within<T>(until: Until, work: () => Promise<T>, discard: (late: T) => void = () => undefined): Promise<T> {
    if (this.underWay >= this.workMax)
      return Promise.reject(
        new RequestError('overloaded', 'too many reads are waiting for the disk of this node; try again later'),
      )
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { until, isOver: false, giveUp: () => reject(tooLate()) }
      this.underWay += 1
      const leave = (): boolean => {
        this.underWay -= 1
        const { isOver } = waiting
        waiting.isOver = true
        return isOver
      }
      work().then(
        (value) => (leave() ? discard(value) : resolve(value)),
        (error: unknown) => {
          leave()
          reject(toError(error))
        },
      )
      this.waiting.push(waiting)
      this.sweep.begin()
    })
  }

  /** Returns whether any read still waits. */
  private sweepOnce(): boolean {
    const now = this.clock.now()
    this.waiting = this.waiting.filter((waiting) => {
      const { until, isOver } = waiting
      if (isOver) return false
      if (until.deadline > now && until.caller?.isGone !== true) return true
      waiting.isOver = true
      waiting.giveUp()
      return false
    })
    return this.waiting.length > 0
  }
}

/** A scan whose pieces come before the end of the read, or not at all. */
export class TimedScan implements Scan {
  readonly context: Scan['context']
  readonly isRepeatable: boolean
  private readonly scan: Scan
  private readonly until: Until
  private readonly waits: StoreWaits
  /** The piece that the store is working on. A view must not be closed meanwhile. */
  private piece: Promise<unknown> | null = null

  constructor(scan: Scan, until: Until, waits: StoreWaits) {
    this.scan = scan
    this.context = scan.context
    this.isRepeatable = scan.isRepeatable
    this.until = until
    this.waits = waits
  }

  next(limit: number, bytesMax: number): ReturnType<Scan['next']> {
    return this.read(() => this.scan.next(limit, bytesMax))
  }

  count(limit: number): ReturnType<Scan['count']> {
    return this.read(() => this.scan.count(limit))
  }

  /** Nobody has to wait for it while the store is still busy. */
  async close(): Promise<void> {
    if (this.piece === null) await this.scan.close()
    else void this.piece.then(() => this.scan.close()).catch(() => undefined)
  }

  private read<T>(work: () => Promise<T>): Promise<T> {
    return this.waits.within(this.until, () => {
      const piece = work()
      this.piece = piece.catch(() => undefined)
      return piece.finally(() => (this.piece = null))
    })
  }
}

function tooLate(): RequestError {
  return new RequestError(
    'read-timeout',
    'the disk of this node did not deliver in time what was asked for; allow more with timeout=, or ask another node',
  )
}
