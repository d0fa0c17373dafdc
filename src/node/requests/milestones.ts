import { RequestError } from '../../lib/errors.ts'
import { Heap } from '../../lib/heap.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Caller } from '../../api/services.ts'
import type { WaitingRoom } from './waiting-room.ts'
import { Sweep } from './sweep.ts'

interface Waiting {
  readonly value: number
  readonly deadline: number
  readonly caller: Caller | null
  readonly resolve: (reached: boolean) => void
  readonly reject: (error: RequestError) => void
}

const SWEEP_MS = 50

/**
 * Requests that wait until a number that only grows (a revision, the index of the last applied entry) has reached a value. When the number
 * grows, the cost depends on how many requests that releases, not on how many still wait.
 */
export class Milestones {
  private readonly clock: Clock
  private readonly room: WaitingRoom
  private readonly current: () => number
  private readonly waiting = new Heap<Waiting>((one, other) => one.value < other.value)
  private readonly sweep: Sweep
  private closed: RequestError | null = null

  /** `current`: the number as it is now. */
  constructor(clock: Clock, room: WaitingRoom, current: () => number) {
    this.clock = clock
    this.room = room
    this.current = current
    this.sweep = new Sweep(clock, SWEEP_MS, () => this.sweepOnce())
  }

  /** How many requests wait. */
  get size(): number {
    return this.waiting.size
  }

  /**
   * Resolves with true once the number is `value` or more, with false when `timeoutMs` have passed or the caller is gone. Rejects with
   * `RequestError`: `overloaded` when too many requests wait, or the error that `close` was given.
   */
  reach(value: number, timeoutMs: number, caller: Caller | null): Promise<boolean> {
    if (this.current() >= value) return Promise.resolve(true)
    if (this.closed !== null) return Promise.reject(this.closed)
    if (this.room.isFull) {
      return Promise.reject(new RequestError('overloaded', 'too many reads are waiting on this node; try again later'))
    }
    return new Promise((resolve, reject) => {
      this.room.enter()
      this.waiting.push({ value, deadline: this.clock.now() + timeoutMs, caller, resolve, reject })
      this.sweep.begin()
    })
  }

  /** To be called when the number has grown. */
  onGrown(): void {
    const now = this.waiting.size === 0 ? 0 : this.current()
    for (let first = this.waiting.peek(); first !== undefined && first.value <= now; first = this.waiting.peek()) {
      this.waiting.pop()
      this.room.leave(1)
      first.resolve(true)
    }
  }

  /** Answers all waiting requests with `error`, and from now on every request that would have to wait. */
  close(error: RequestError): void {
    this.closed = error
    this.sweep.stop()
    for (const { reject } of this.takeOut(() => false)) reject(error)
  }

  private takeOut(keep: (waiting: Waiting) => boolean): Waiting[] {
    const gone = this.waiting.sift(keep)
    this.room.leave(gone.length)
    return gone
  }

  /** Returns whether any request still waits. */
  private sweepOnce(): boolean {
    const now = this.clock.now()
    const over = this.takeOut(({ deadline, caller }) => deadline > now && caller?.isGone !== true)
    for (const { resolve } of over) resolve(false)
    return this.waiting.size > 0
  }
}
