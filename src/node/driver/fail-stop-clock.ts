import type { Clock } from '../../ports/clock.ts'
import type { Faults } from '../options.ts'

/** A clock that reports a callback that throws as a fault of the node: nobody else would hear of an exception in a timer. */
export class FailStopClock implements Clock {
  private readonly inner: Clock
  private readonly faults: Faults

  constructor(inner: Clock, faults: Faults) {
    this.inner = inner
    this.faults = faults
  }

  now(): number {
    return this.inner.now()
  }

  wall(): number {
    return this.inner.wall()
  }

  after(delayMs: number, callback: () => void): () => void {
    return this.inner.after(delayMs, () => this.run(callback))
  }

  nextTurn(callback: () => void): void {
    this.inner.nextTurn(() => this.run(callback))
  }

  private run(callback: () => void): void {
    try {
      callback()
    } catch (error) {
      this.faults.report(error)
    }
  }
}
