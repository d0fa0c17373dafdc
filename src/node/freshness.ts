import type { LogIndex } from '../raft/index.ts'

/** How old the state that this node has applied can be: what bounds the staleness of a local read. */
export class Freshness {
  /** When everything this node has applied was known to be current, on its own clock; null before the first word from a leader. */
  freshAt: number | null = null
  /** The leader's commit index in its latest word, and when that came: fresh once it is applied. */
  private heard: { readonly at: number; readonly committed: LogIndex } | null = null

  onLeaderHeard(at: number, committed: LogIndex, applied: LogIndex): void {
    this.heard = { at, committed }
    this.onApplied(applied)
  }

  onApplied(applied: LogIndex): void {
    if (this.heard === null || this.heard.committed > applied) return
    this.freshAt = this.heard.at
    this.heard = null
  }
}
