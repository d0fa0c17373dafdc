import { Heap } from '../../lib/heap.ts'

/** How long one lease has, by the clock of this node. */
interface Term {
  /** The revision of the entry from which its time is measured. */
  revision: number
  startedAt: number
  lengthMs: number
  /** When the heap names it next, at the latest when it is over; null: its end is proposed. */
  dueAt: number | null
}

/** How many times that mean nothing any more may be kept, beside one for each lease. */
const SPARE_TIMES = 1_000

interface Due {
  readonly lease: number
  readonly at: number
}

/** A lease whose time is up. */
export interface OverdueLease {
  readonly lease: number
  readonly revision: number
}

/**
 * When each lease is over. A lease ends later than its holder may think by a part of its length: clocks of two nodes may differ in speed by
 * that much.
 *
 * A renewal only changes the term. The heap keeps the earlier time, and the lease is looked at once more when that has come; so ten thousand
 * renewals cost no more memory than ten thousand leases.
 */
export class LeaseTerms {
  private readonly drift: number
  private readonly terms = new Map<number, Term>()
  private due = LeaseTerms.emptyHeap()

  /** `drift`: that part, such as 0.1. */
  constructor(drift: number) {
    this.drift = drift
  }

  get count(): number {
    return this.terms.size
  }

  /** How many times are kept: not many more than there are leases. */
  get timeCount(): number {
    return this.due.size
  }

  /** When a lease has to be looked at next; null: there is none. */
  get nextAt(): number | null {
    return this.due.peek()?.at ?? null
  }

  has(lease: number): boolean {
    return this.terms.has(lease)
  }

  /** The time of `lease` begins, or begins again. */
  start(lease: number, lengthMs: number, revision: number, now: number): void {
    const term = this.terms.get(lease)
    if (term === undefined) {
      const fresh = { revision, startedAt: now, lengthMs, dueAt: null }
      this.terms.set(lease, fresh)
      return this.queue(lease, fresh, this.overAt(fresh))
    }
    term.revision = revision
    term.startedAt = now
    term.lengthMs = lengthMs
    if (term.dueAt === null || this.overAt(term) < term.dueAt) this.queue(lease, term, this.overAt(term))
  }

  /** The time of every lease begins again. */
  restartAll(now: number): void {
    for (const term of this.terms.values()) term.startedAt = now
  }

  /** The lease is named again by `takeOverdue` at `at`, whatever its term. */
  postpone(lease: number, at: number): void {
    const term = this.terms.get(lease)
    if (term !== undefined) this.queue(lease, term, at)
  }

  forget(lease: number): void {
    this.terms.delete(lease)
    if (this.terms.size === 0) this.due = LeaseTerms.emptyHeap()
  }

  clear(): void {
    this.terms.clear()
    this.due = LeaseTerms.emptyHeap()
  }

  /** Up to `max` leases whose time is up at `now`. They are not named again before they are started or postponed. */
  takeOverdue(now: number, max: number): OverdueLease[] {
    const overdue: OverdueLease[] = []
    for (let next = this.due.peek(); next !== undefined && next.at <= now; next = this.due.peek()) {
      if (overdue.length === max) return overdue
      this.due.pop()
      const { lease, at } = next
      const term = this.terms.get(lease)
      if (term === undefined || term.dueAt !== at) continue
      const overAt = this.overAt(term)
      term.dueAt = null
      if (overAt > now) this.queue(lease, term, overAt)
      else overdue.push({ lease, revision: term.revision })
    }
    return overdue
  }

  /** How much of its length is left, as its holder may count on it; null: no such lease is known. */
  remainingMs(lease: number, now: number): number | null {
    const term = this.terms.get(lease)
    return term === undefined ? null : Math.max(0, Math.floor(term.startedAt + term.lengthMs - now))
  }

  private overAt({ startedAt, lengthMs }: Term): number {
    return startedAt + lengthMs * (1 + this.drift)
  }

  private queue(lease: number, term: Term, at: number): void {
    term.dueAt = at
    this.due.push({ lease, at })
    // Leases that ended early leave their times behind, for up to a lease's whole length.
    if (this.due.size > 2 * this.terms.size + SPARE_TIMES)
      this.due.sift((one) => this.terms.get(one.lease)?.dueAt === one.at)
  }

  private static emptyHeap(): Heap<Due> {
    return new Heap((one, other) => one.at < other.at)
  }
}
