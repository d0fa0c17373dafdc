import { assert } from '../lib/assert.ts'
import type { LeaderId, LeaderRun, LogBatch, LogId, LogIndex } from '../raft/index.ts'

/** A batch without its entries. */
export type BatchSpan = Pick<LogBatch, 'leaderId' | 'first' | 'last'>

const NO_INDEX = -1 as LogIndex

/** The ends of a log, and which leader wrote which part of it: everything that a log store knows without reading entries. */
export class LogOutline {
  purged: LogId | null = null
  /** Equal to `purged` when there are no entries. */
  last: LogId | null = null
  /** Ascending, covering `(purged, last]`. */
  runs: LeaderRun[] = []

  get purgedIndex(): LogIndex {
    return this.purged?.index ?? NO_INDEX
  }

  get lastIndex(): LogIndex {
    return this.last?.index ?? NO_INDEX
  }

  copyFrom(other: LogOutline): void {
    this.purged = other.purged
    this.last = other.last
    this.runs = [...other.runs]
  }

  /** Why `batch` cannot follow the last entry; null when it can. */
  ignoreAppend(batch: BatchSpan): string | null {
    if (batch.last < batch.first) return `entries ${batch.first} to ${batch.last} are in the wrong order`
    if (batch.first !== this.lastIndex + 1) return `entry ${batch.first} follows entry ${this.lastIndex}`
    if (this.last !== null && compareLeaders(batch.leaderId, this.last.leaderId) < 0) {
      return `entry ${batch.first} of term ${batch.leaderId.term} follows one of term ${this.last.leaderId.term}`
    }
    return null
  }

  append(batch: BatchSpan): void {
    const reason = this.ignoreAppend(batch)
    assert(reason === null, `a batch continues the log: ${reason ?? ''}`)
    const run = this.runs.at(-1)
    if (run === undefined || compareLeaders(run.leaderId, batch.leaderId) !== 0) {
      this.runs.push({ leaderId: batch.leaderId, first: batch.first })
    }
    this.last = { leaderId: batch.leaderId, index: batch.last }
  }

  truncate(from: LogIndex): void {
    assert(from > this.purgedIndex, 'a truncation begins above the purge mark')
    if (from > this.lastIndex) return
    while ((this.runs.at(-1)?.first ?? NO_INDEX) >= from) this.runs.pop()
    const run = this.runs.at(-1)
    this.last = run === undefined ? this.purged : { leaderId: run.leaderId, index: (from - 1) as LogIndex }
  }

  reset(purged: LogId): void {
    this.purged = purged
    this.last = purged
    this.runs = []
  }

  purge(purged: LogId): void {
    assert(purged.index <= this.lastIndex, 'a purge frees only what the log holds')
    if (purged.index <= this.purgedIndex) return
    this.purged = purged
    const kept = this.runs.findLastIndex((run) => run.first <= purged.index + 1)
    this.runs = this.runs.slice(Math.max(kept, 0))
    if (purged.index === this.lastIndex) {
      this.runs = []
      this.last = purged
      return
    }
    const front = this.runs[0]
    assert(front !== undefined, 'the runs cover every entry')
    this.runs[0] = { leaderId: front.leaderId, first: (purged.index + 1) as LogIndex }
  }
}

function compareLeaders(a: LeaderId, b: LeaderId): number {
  return a.term - b.term || a.nodeId - b.nodeId
}
