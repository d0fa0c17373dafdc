import type { LogIndex } from '../raft/index.ts'

/** The leader's commit index, and when it came. */
interface Word {
  readonly at: number
  readonly committed: LogIndex
}

/** How old the state that this node has applied can be: what bounds the staleness of a local read. */
export class Freshness {
  /** When everything this node has applied was known to be current, on its own clock; null before the first word from a leader. */
  freshAt: number | null = null
  /** Words of the leader that are not applied yet: the oldest, which will be applied first, and the latest. */
  private heard: Word | null = null
  private latest: Word | null = null

  /** Whether a leader, heard at `since` or later, has committed more than the log up to `last`. */
  isBehind(last: LogIndex, since: number): boolean {
    const word = this.latest ?? this.heard
    return word !== null && word.committed > last && word.at >= since
  }

  onLeaderHeard(at: number, committed: LogIndex, applied: LogIndex): void {
    if (this.heard === null) this.heard = { at, committed }
    else this.latest = { at, committed }
    this.onApplied(applied)
  }

  onApplied(applied: LogIndex): void {
    while (this.heard !== null && this.heard.committed <= applied) {
      this.freshAt = this.heard.at
      this.heard = this.latest
      this.latest = null
    }
  }
}
