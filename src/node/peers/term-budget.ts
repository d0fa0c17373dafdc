import { limits } from '../../limits.ts'
import type { Term } from '../../raft/index.ts'

/**
 * How far peers may raise this node's term: by the number of elections that it can have missed while it was away, and after that by as many
 * as can be held as time goes by. A sound member stays below that by orders of magnitude. A peer that speaks of higher terms could, step by
 * step, use up all terms that there are.
 */
export class TermBudget {
  private readonly now: () => number
  private readonly own: () => Term
  private left: number = limits.termsMissedMax
  private seen: Term
  private seenAt: number

  constructor(now: () => number, own: () => Term) {
    this.now = now
    this.own = own
    this.seen = own()
    this.seenAt = now()
  }

  /** Whether elections cannot explain that a peer speaks of `term`. */
  isExceededBy(term: Term): boolean {
    if (term <= this.seen) return false
    this.settle()
    return term - this.seen > this.left
  }

  private settle(): void {
    const [now, own] = [this.now(), this.own()]
    const earned = ((now - this.seenAt) / 1_000) * limits.termsPerSecondMax
    this.left = Math.max(0, Math.min(limits.termsMissedMax, this.left + earned - (own - this.seen)))
    this.seen = own
    this.seenAt = now
  }
}
