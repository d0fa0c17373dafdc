import type { AppendRequest, LogIndex } from '../../raft/index.ts'

/** Everything that was acknowledged before `freshAt` is at or below `committed`. */
interface LeaderReport {
  readonly committed: LogIndex
  readonly freshAt: number
}

/**
 * How old the state that this node has applied can be: this bounds the staleness of a local read.
 *
 * A leader's report names a moment of this node's own clock, and is as old as that moment, not as its arrival: it may have waited
 * anywhere, even in this node while it was stopped.
 */
export class Freshness {
  private readonly life: number
  private known = -Infinity
  /** Reports whose entries are not applied yet: the one that will be applied first, and the latest one. */
  private first: LeaderReport | null = null
  private last: LeaderReport | null = null
  /** The commit index that the leader last reported, and when the report arrived. */
  private heard: { readonly committed: LogIndex; readonly at: number } | null = null

  /** `life`: identifies this process in the moments of its clock. */
  constructor(options: { readonly life: number }) {
    this.life = options.life
  }

  /** Every write that was acknowledged before this moment of the node's clock is applied; null when no moment is known yet. */
  get freshAt(): number | null {
    return this.known === -Infinity ? null : this.known
  }

  /** Whether a leader that was heard at `since` or later has committed entries beyond `last`. */
  isBehind(last: LogIndex, since: number): boolean {
    const { heard } = this
    return heard !== null && heard.committed > last && heard.at >= since
  }

  /** A leader's message arrived when the node's clock showed `at`. */
  onLeaderHeard(
    { committed, freshAt }: Pick<AppendRequest, 'committed' | 'freshAt'>,
    at: number,
    applied: LogIndex,
  ): void {
    this.heard = { committed, at }
    // A moment named by an earlier process of this node means nothing on the clock of this process.
    if (freshAt?.life !== this.life || freshAt.at <= this.known) return
    const report = { committed, freshAt: freshAt.at }
    if (this.first === null) this.first = report
    else this.last = report
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
