import type { Clock } from '../../ports/clock.ts'

/** A clock that reports a callback that throws as a fault of the node: nobody else would hear of an exception in a timer. */
export class FailStopClock implements Clock {
  private readonly inner: Clock
  private readonly onFault: (error: unknown) => void

  constructor(inner: Clock, onFault: (error: unknown) => void) {
    this.inner = inner
    this.onFault = onFault
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
      this.onFault(error)
    }
  }
}
