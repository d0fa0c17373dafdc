import type { Clock } from '../../ports/clock.ts'

/**
 * Checks everything that waits, repeatedly for as long as something waits: a timer for each request would cost more than most requests do.
 */
export class Sweep {
  private readonly clock: Clock
  private readonly everyMs: number
  private readonly look: () => boolean
  private cancel: (() => void) | null = null

  /** `look` returns whether anything still waits. */
  constructor(clock: Clock, everyMs: number, look: () => boolean) {
    this.clock = clock
    this.everyMs = everyMs
    this.look = look
  }

  /** To be called when something begins to wait. */
  begin(): void {
    if (this.cancel !== null) return
    this.cancel = this.clock.after(this.everyMs, () => {
      this.cancel = null
      if (this.look()) this.begin()
    })
  }

  stop(): void {
    this.cancel?.()
    this.cancel = () => undefined
  }
}
