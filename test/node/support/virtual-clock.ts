import type { Clock } from '../../../src/ports/clock.ts'

interface Timer {
  readonly at: number
  readonly callback: () => void
  cancelled: boolean
}

interface Waiter {
  readonly holds: () => boolean
  readonly deadline: number
  readonly settle: (held: boolean) => void
}

/** The duration of one turn of the event loop: time passes even while there is always something to do. */
const TURN_MS = 0.02

/**
 * Time that jumps to the next timer whenever nothing else is left to do, so that a test neither waits nor depends on how busy the
 * machine is. It passes only while the test waits for something: between two lines without `await` nothing happens.
 */
export class VirtualClock implements Clock {
  private time = 1_000
  /** How far the wall clock is ahead of the monotonic one. */
  private slept = 0
  private turns: (() => void)[] = []
  /** The time that is left of the current turn. */
  private round: (() => void)[] = []
  /** Ascending by time; equal times in the order of their making. */
  private timers: Timer[] = []
  private waiters = new Set<Waiter>()
  private running = false

  now(): number {
    return this.time
  }

  wall(): number {
    return 1_700_000_000_000 + this.time + this.slept
  }

  /** The machine was suspended for so long, or its wall clock was set. */
  sleep(ms: number): void {
    this.slept += ms
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer: Timer = { at: this.time + Math.max(0, delayMs), callback, cancelled: false }
    let at = this.timers.length
    while (at > 0 && (this.timers[at - 1]?.at ?? 0) > timer.at) at -= 1
    this.timers.splice(at, 0, timer)
    return () => {
      timer.cancelled = true
    }
  }

  nextTurn(callback: () => void): void {
    this.turns.push(callback)
  }

  /** Resolves with true once `holds()` does, looked at after every turn; with false when `timeoutMs` have passed. */
  until(holds: () => boolean, timeoutMs: number): Promise<boolean> {
    if (holds()) return Promise.resolve(true)
    return new Promise((resolve, reject) => {
      const settle = (held: boolean): void => {
        this.waiters.delete(waiter)
        resolve(held)
      }
      const guarded = (): boolean => {
        try {
          return holds()
        } catch (error) {
          this.waiters.delete(waiter)
          reject(error instanceof Error ? error : new Error(String(error)))
          return false
        }
      }
      const waiter: Waiter = { holds: guarded, deadline: this.time + timeoutMs, settle }
      this.waiters.add(waiter)
    })
  }

  /** Lets `ms` pass. */
  pass(ms: number): Promise<boolean> {
    return this.until(() => false, ms)
  }

  start(): void {
    if (this.running) return
    this.running = true
    setImmediate(this.turn)
  }

  stop(): void {
    this.running = false
  }

  /** Every callback is a task of its own, with what its promises lead to before the next, as on the real event loop. */
  private readonly turn = (): void => {
    if (!this.running) return
    for (const waiter of this.waiters) {
      if (waiter.holds()) waiter.settle(true)
      else if (this.time >= waiter.deadline) waiter.settle(false)
    }
    // The test goes on before anything else does: it sees the very moment that it waited for.
    setImmediate(this.beginRound)
  }

  private readonly beginRound = (): void => {
    this.round = this.turns
    this.turns = []
    this.time += TURN_MS
    if (this.round.length === 0) this.skip()
    this.work()
  }

  private readonly work = (): void => {
    if (!this.running) return
    const callback = this.round.shift() ?? this.dueTimer()
    if (callback === undefined) return void setImmediate(this.turn)
    callback()
    setImmediate(this.work)
  }

  /** Nothing is to be done now: on to the next timer, or to whoever waits no longer. */
  private skip(): void {
    while (this.timers[0]?.cancelled === true) this.timers.shift()
    let next = this.timers[0]?.at ?? Infinity
    for (const { deadline } of this.waiters) if (deadline < next) next = deadline
    if (next !== Infinity && next > this.time) this.time = next
  }

  private dueTimer(): (() => void) | undefined {
    while (this.timers[0] !== undefined && this.timers[0].at <= this.time) {
      const timer = this.timers.shift()
      if (timer !== undefined && !timer.cancelled) return timer.callback
    }
    return undefined
  }
}
