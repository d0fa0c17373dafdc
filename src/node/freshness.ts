import type { LeaderId, LogIndex } from '../raft/index.ts'
import { sameLeaderId } from '../raft/index.ts'

/** The leader's commit index, and when it came. */
interface Word {
  readonly at: number
  readonly committed: LogIndex
  readonly leaderId: LeaderId
}

/**
 * How old the state that this node has applied can be: what bounds the staleness of a local read.
 *
 * A leader knows what is committed once an entry of its own ballot is (thesis 6.4); what it says before may be older than anything that
 * was acknowledged, and makes nothing fresh.
 */
export class Freshness {
  /** When everything this node has applied was known to be current, on its own clock; null before the first word from a leader. */
  freshAt: number | null = null
  /** Words of the leader that are not applied yet: the oldest, which will be applied first, and the latest. */
  private heard: Word | null = null
  private latest: Word | null = null
  private readonly leaderIdAt: (index: LogIndex) => LeaderId | null

  /** `leaderIdAt`: who wrote an entry, of those applied; null when that is not known any more. */
  constructor(leaderIdAt: (index: LogIndex) => LeaderId | null) {
    this.leaderIdAt = leaderIdAt
  }

  /** Whether a leader, heard at `since` or later, has committed more than the log up to `last`. */
  isBehind(last: LogIndex, since: number): boolean {
    const word = this.latest ?? this.heard
    return word !== null && word.committed > last && word.at >= since
  }

  onLeaderHeard(word: Word, applied: LogIndex): void {
    if (this.heard === null) this.heard = word
    else this.latest = word
    this.onApplied(applied)
  }

  onApplied(applied: LogIndex): void {
    while (this.heard !== null && this.heard.committed <= applied) {
      const { at, committed, leaderId } = this.heard
      const wrote = this.leaderIdAt(committed)
      if (wrote !== null && sameLeaderId(wrote, leaderId)) this.freshAt = at
      this.heard = this.latest
      this.latest = null
    }
  }
}
