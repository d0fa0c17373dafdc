import { assert } from '../lib/assert.ts'
import { elementAt } from '../lib/element-at.ts'
import type { LeaderRun } from './options.ts'
import {
  BEFORE_FIRST,
  compareLeaderIds,
  indexOf,
  logIndex,
  sameLeaderId,
  type LeaderId,
  type LogId,
  type LogIndex,
} from './types.ts'

/**
 * Answers "who wrote entry i?" for the whole retained log from one record per leader, so that the core never waits for the disk.
 *
 * Guarantees:
 *  1. Runs ascend by first index and by ballot; neighbours have different ballots.
 *  2. The first run begins right after `purged`; the last one ends at `last`.
 */
export class LeaderList {
  private runs: LeaderRun[]
  private purgedId: LogId | null
  private lastId: LogId | null

  constructor(purged: LogId | null, last: LogId | null, runs: readonly LeaderRun[]) {
    this.purgedId = purged
    this.lastId = last
    this.runs = [...runs]
    this.clipFront()
    assert(indexOf(purged) <= indexOf(last), 'a log does not end before what is purged')
    assert(this.runs.length > 0 === indexOf(last) > indexOf(purged), 'every retained entry has a leader')
  }

  get purged(): LogId | null {
    return this.purgedId
  }

  /** Equal to `purged` when nothing is retained. */
  get last(): LogId | null {
    return this.lastId
  }

  get all(): readonly LeaderRun[] {
    return this.runs
  }

  /** Null below the purge mark and beyond the end. */
  leaderIdAt(index: LogIndex): LeaderId | null {
    if (index > indexOf(this.lastId)) return null
    if (index === indexOf(this.purgedId)) return this.purgedId?.leaderId ?? null
    if (index < indexOf(this.purgedId)) return null
    return elementAt(this.runs, this.runAt(index)).leaderId
  }

  logIdAt(index: LogIndex): LogId | null {
    const leaderId = this.leaderIdAt(index)
    return leaderId === null ? null : { leaderId, index }
  }

  append(leaderId: LeaderId, last: LogIndex): void {
    const end = indexOf(this.lastId)
    assert(last > end, 'an append makes the log longer')
    const before = this.lastId?.leaderId
    assert(before === undefined || compareLeaderIds(before, leaderId) <= 0, 'ballots ascend along the log')
    const run = this.runs.at(-1)
    if (run === undefined || !sameLeaderId(run.leaderId, leaderId))
      this.runs.push({ leaderId, first: logIndex(end + 1) })
    this.lastId = { leaderId, index: last }
  }

  /** Forgets the entries from `from` on. */
  truncate(from: LogIndex): void {
    assert(from > indexOf(this.purgedId) && from <= indexOf(this.lastId), 'a truncation cuts retained entries')
    const last = this.logIdAt(logIndex(from - 1))
    while ((this.runs.at(-1)?.first ?? BEFORE_FIRST) >= from) this.runs.pop()
    this.lastId = last
  }

  purge(upTo: LogIndex): LogId {
    const purged = this.logIdAt(upTo)
    assert(purged !== null && upTo > indexOf(this.purgedId), 'a purge frees retained entries')
    this.purgedId = purged
    this.clipFront()
    return purged
  }

  reset(purged: LogId): void {
    this.purgedId = purged
    this.lastId = purged
    this.runs = []
  }

  /** The last index in `[from, to]` up to which `leaderId` wrote every entry; `from - 1` when there is none. `from` is retained. */
  matchEnd(leaderId: LeaderId, from: LogIndex, to: LogIndex): LogIndex {
    const at = this.runAt(from)
    const run = this.runs[at]
    assert(run !== undefined && run.first <= from, 'comparison begins at a retained entry')
    if (!sameLeaderId(run.leaderId, leaderId)) return logIndex(from - 1)
    const next = this.runs[at + 1]
    return logIndex(Math.min(to, next === undefined ? indexOf(this.lastId) : next.first - 1))
  }

  /**
   * The last index, at most `upTo`, whose entry has no higher ballot than `leaderId`. Entries after it cannot agree with a log that has
   * `leaderId` at `upTo` or later: ballots ascend along every log, so a divergent tail is skipped leader by leader. Below the purge mark
   * nothing is known, and the answer is the highest possible one.
   */
  lastNotAbove(leaderId: LeaderId, upTo: LogIndex): LogIndex {
    let candidate = Math.min(upTo, indexOf(this.lastId))
    for (let at = this.runs.length - 1; at >= 0; at--) {
      const run = this.runs[at]
      if (run === undefined || run.first > candidate) continue
      if (compareLeaderIds(run.leaderId, leaderId) <= 0) return logIndex(candidate)
      candidate = run.first - 1
    }
    const purged = this.purgedId
    if (purged !== null && candidate === purged.index && compareLeaderIds(purged.leaderId, leaderId) > 0) candidate -= 1
    return logIndex(candidate)
  }

  /** The number of the run that holds `index`. Most questions are about the last run. */
  private runAt(index: LogIndex): number {
    let high = this.runs.length - 1
    if ((this.runs[high]?.first ?? Infinity) <= index) return high
    let low = 0
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (elementAt(this.runs, middle).first <= index) low = middle
      else high = middle - 1
    }
    return low
  }

  private clipFront(): void {
    const first = logIndex(indexOf(this.purgedId) + 1)
    if (first > indexOf(this.lastId)) {
      this.runs = []
      return
    }
    const at = this.runAt(first)
    const run = this.runs[at]
    if (run !== undefined) this.runs.splice(0, at + 1, { leaderId: run.leaderId, first })
  }
}
