import type { Clock } from '../../ports/clock.ts'

export interface PacerOptions {
  /** Of everybody who shares the pacer, together. */
  readonly bytesPerSecondMax: number
  /** One pause; a larger one would look like silence to whoever waits for the bytes. */
  readonly pauseMsMax: number
}

/** Spreads bytes over time. What was not used is not made up for later: there are no bursts. */
export class Pacer {
  private readonly options: PacerOptions
  private readonly clock: Clock
  private freeAt = -Infinity

  constructor(options: PacerOptions, clock: Clock) {
    this.options = options
    this.clock = clock
  }

  /** Resolves when as much as was sent may be followed by more, and not before `restMs` have passed. */
  async sent(bytes: number, restMs: number): Promise<void> {
    const now = this.clock.now()
    this.freeAt = Math.max(this.freeAt, now) + (bytes * 1000) / this.options.bytesPerSecondMax
    const pauseMs = Math.min(Math.max(this.freeAt - now, restMs), this.options.pauseMsMax)
    await new Promise<void>((resolve) => this.clock.after(pauseMs, resolve))
  }
}
