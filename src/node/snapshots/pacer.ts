import type { Clock } from '../../ports/clock.ts'

export interface PacerOptions {
  /** The rate of everything that shares the pacer, together. */
  readonly bytesPerSecondMax: number
  /** The longest pause. A longer one would look like silence to the node that waits for the bytes. */
  readonly pauseMsMax: number
}

/** Spreads bytes over time. Unused rate is not made up for later, so there are no bursts. */
export class Pacer {
  private readonly options: PacerOptions
  private readonly clock: Clock
  private freeAt = -Infinity

  constructor(options: PacerOptions, clock: Clock) {
    this.options = options
    this.clock = clock
  }

  /**
   * To be called after sending `bytes`. Resolves once the rate allows more and `restMs` have passed, but after `pauseMsMax` at the latest.
   */
  async sent(bytes: number, restMs: number): Promise<void> {
    const now = this.clock.now()
    this.freeAt = Math.max(this.freeAt, now) + (bytes * 1000) / this.options.bytesPerSecondMax
    const pauseMs = Math.min(Math.max(this.freeAt - now, restMs), this.options.pauseMsMax)
    await new Promise<void>((resolve) => this.clock.after(pauseMs, resolve))
  }
}
