import type { Caller } from '../../api/services.ts'
import { RequestError } from '../../lib/errors.ts'
import { toError } from '../../lib/to-error.ts'
import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { StateRange, StateRow, StateView } from '../../ports/state-store.ts'
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
    if (this.isOver(until)) return Promise.reject(tooLate())
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
      const working = async (): Promise<T> => await work()
      working().then(
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

  private isOver({ deadline, caller }: Until): boolean {
    return deadline <= this.clock.now() || caller?.isGone === true
  }

  /** Returns whether any read still waits. */
  private sweepOnce(): boolean {
    this.waiting = this.waiting.filter((waiting) => {
      if (waiting.isOver) return false
      if (!this.isOver(waiting.until)) return true
      waiting.isOver = true
      waiting.giveUp()
      return false
    })
    return this.waiting.length > 0
  }
}

/** A view for one read: what it gives comes before the end of the read, or not at all. */
export class TimedView implements StateView {
  readonly meta: StateView['meta']
  /** The same view, which gives things whenever they come. */
  readonly untimed: StateView
  private readonly until: Until
  private readonly waits: StoreWaits
  /** Calls of the store that are under way. A view is not closed meanwhile. */
  private calls = 0
  private isClosing = false

  constructor(view: StateView, until: Until, waits: StoreWaits) {
    this.meta = view.meta
    this.untimed = view
    this.until = until
    this.waits = waits
  }

  getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | null)[]> {
    return this.call((view) => view.getMany(keys))
  }

  scan(range: StateRange): Promise<readonly StateRow[]> {
    return this.call((view) => view.scan(range))
  }

  keys(range: StateRange): Promise<readonly Uint8Array[]> {
    return this.call((view) => view.keys(range))
  }

  fractionUpTo(key: Uint8Array): Promise<number> {
    return this.call((view) => view.fractionUpTo(key))
  }

  sizeBytes(): Promise<number> {
    return this.call((view) => view.sizeBytes())
  }

  /** Nobody has to wait for it while the store is still busy. */
  close(): Promise<void> {
    if (this.calls === 0) return this.untimed.close()
    this.isClosing = true
    return Promise.resolve()
  }

  private call<T>(ask: (view: StateView) => Promise<T>): Promise<T> {
    return this.waits.within(this.until, async () => {
      this.calls += 1
      try {
        return await ask(this.untimed)
      } finally {
        this.calls -= 1
        if (this.calls === 0 && this.isClosing) void this.untimed.close().catch(() => undefined)
      }
    })
  }
}

function tooLate(): RequestError {
  return new RequestError(
    'read-timeout',
    'the disk of this node did not deliver in time what was asked for; allow more with timeout=, or ask another node',
  )
}
