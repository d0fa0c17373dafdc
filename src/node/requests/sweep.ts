import type { Clock } from '../../ports/clock.ts'

/**
 * Looks at everything that waits, again and again as long as something does: a timer for each request would cost more than most
 * requests take.
 */
export class Sweep {
  private readonly clock: Clock
  private readonly everyMs: number
  private readonly look: () => boolean
  private cancel: (() => void) | null = null

  /** `look` answers whether anything still waits. */
  constructor(clock: Clock, everyMs: number, look: () => boolean) {
    this.clock = clock
    this.everyMs = everyMs
    this.look = look
  }

  /** Something began to wait. */
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
