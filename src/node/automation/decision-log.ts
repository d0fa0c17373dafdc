import type { Clock } from '../../ports/clock.ts'
import type { Logger } from '../options.ts'

/** The last decision with its reason, and since when it holds. It is logged when it changes, and only then. */
export class DecisionLog<Decision extends string> {
  private readonly about: string
  private readonly clock: Clock
  private readonly logger: Logger
  private decided: Decision | 'none' = 'none'
  private because: string
  private since: number

  constructor(about: string, deps: { readonly clock: Clock; readonly logger: Logger }) {
    this.about = about
    this.clock = deps.clock
    this.logger = deps.logger
    this.because = 'nothing has been decided yet'
    this.since = deps.clock.now()
  }

  note(decision: Decision | 'none', reason: string, facts: object = {}): void {
    if (decision === this.decided && reason === this.because) return
    const level = decision === 'refuse' ? 'warn' : decision === 'none' ? 'debug' : 'info'
    this.logger[level]({ decision, reason, ...facts }, `${this.about} decided`)
    this.decided = decision
    this.because = reason
    this.since = this.clock.now()
  }

  view(): { readonly decision: Decision | 'none'; readonly reason: string; readonly sinceMs: number } {
    const sinceMs = Math.max(0, Math.round(this.clock.now() - this.since))
    return { decision: this.decided, reason: this.because, sinceMs }
  }
}
