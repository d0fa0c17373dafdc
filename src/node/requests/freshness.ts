import type { AppendRequest, LogIndex } from '../../raft/index.ts'

/** Everything that was acknowledged before `freshAt` is at or below `committed`. */
interface Word {
  readonly committed: LogIndex
  readonly freshAt: number
}

/**
 * How old the state that this node has applied can be: what bounds the staleness of a local read.
 *
 * A word is as old as the moment of this node's own clock that the leader names in it, not as its arrival: it may have waited anywhere,
 * also in this node while it was stopped.
 */
export class Freshness {
  private readonly life: number
  private known = -Infinity
  /** Words that are not applied yet: the first, which will be applied first, and the last. */
  private first: Word | null = null
  private last: Word | null = null
  /** What the leader said last was committed, and when that came. */
  private heard: { readonly committed: LogIndex; readonly at: number } | null = null

  /** `life`: names this process in the moments of its clock. */
  constructor(options: { readonly life: number }) {
    this.life = options.life
  }

  /** Everything that was acknowledged before this moment of the node's clock is applied; null before the first such word. */
  get freshAt(): number | null {
    return this.known === -Infinity ? null : this.known
  }

  /** Whether a leader, heard at `since` or later, has committed more than the log up to `last`. */
  isBehind(last: LogIndex, since: number): boolean {
    const { heard } = this
    return heard !== null && heard.committed > last && heard.at >= since
  }

  /** A leader's message came `at` this time. */
  onLeaderHeard(
    { committed, freshAt }: Pick<AppendRequest, 'committed' | 'freshAt'>,
    at: number,
    applied: LogIndex,
  ): void {
    this.heard = { committed, at }
    // A moment that an earlier process of this node has named lies nowhere on the clock of this one.
    if (freshAt?.life !== this.life || freshAt.at <= this.known) return
    const word = { committed, freshAt: freshAt.at }
    if (this.first === null) this.first = word
    else this.last = word
    this.onApplied(applied)
  }

  onApplied(applied: LogIndex): void {
    while (this.first !== null && this.first.committed <= applied) {
      if (this.first.freshAt > this.known) this.known = this.first.freshAt
      this.first = this.last
      this.last = null
    }
  }
}
