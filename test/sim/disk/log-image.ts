import { assert } from '../../../src/lib/assert.ts'
import { offsetOfEntry } from '../../../src/lib/entries.ts'
import type { HardState, LogWrite } from '../../../src/ports/log-store.ts'
import type { LeaderRun, LogBatch, LogId, LogIndex } from '../../../src/raft/index.ts'
import { BEFORE_FIRST, VOTE_ZERO, compareLeaderIds, indexOf, logIndex, sameLeaderId } from '../../../src/raft/index.ts'

/** The part `[first, last]` of a batch; the batch itself when it is covered completely. */
export function clip(batch: LogBatch, first: LogIndex, last: LogIndex): LogBatch {
  if (first <= batch.first && last >= batch.last) return batch
  const from = logIndex(Math.max(first, batch.first))
  const to = logIndex(Math.min(last, batch.last))
  const begin = offsetOfEntry(batch.body, from - batch.first)
  const end = offsetOfEntry(batch.body, to - batch.first + 1)
  // A clipped batch does not tell which of its entries set a membership, so the count is an upper bound, as in the real log.
  const membershipCount = Math.min(batch.membershipCount, to - from + 1)
  return { leaderId: batch.leaderId, first: from, last: to, body: batch.body.subarray(begin, end), membershipCount }
}

/** Bytes of a batch in the log besides its body. */
const HEAD_BYTES = 40

/** The content of a log at one moment: on the platter, or as the writing process sees it. */
export class LogImage {
  hardState: HardState = { vote: VOTE_ZERO, clusterId: null }
  purged: LogId | null = null
  batches: LogBatch[] = []
  /** Null: to be counted again. */
  private bytes: number | null = 0

  get sizeBytes(): number {
    this.bytes ??= this.batches.reduce((sum, { body }) => sum + body.length + HEAD_BYTES, 0)
    return this.bytes
  }

  get last(): LogId | null {
    const batch = this.batches.at(-1)
    return batch === undefined ? this.purged : { leaderId: batch.leaderId, index: batch.last }
  }

  get lastIndex(): LogIndex {
    return indexOf(this.last)
  }

  copy(): LogImage {
    const copy = new LogImage()
    copy.hardState = this.hardState
    copy.purged = this.purged
    copy.batches = [...this.batches]
    copy.bytes = this.bytes
    return copy
  }

  apply(write: LogWrite): void {
    switch (write.type) {
      case 'hard-state':
        this.hardState = write.state
        return
      case 'truncate':
        this.truncate(write.from)
        return
      case 'append':
        assert(write.batch.first === this.lastIndex + 1, 'a log has no holes and no overlaps')
        assert(
          this.last === null || compareLeaderIds(this.last.leaderId, write.batch.leaderId) <= 0,
          'ballots ascend along the log',
        )
        this.bytes = this.sizeBytes + write.batch.body.length + HEAD_BYTES
        this.batches.push(write.batch)
        return
      case 'reset':
        this.batches = []
        this.bytes = 0
        this.purged = write.purged
        return
      case 'purge':
        this.purge(write.purged)
    }
  }

  /** The log id of entry `index`; null when the entry is not held. The purge mark counts as held. */
  logIdAt(index: LogIndex): LogId | null {
    if (this.purged !== null && index === this.purged.index) return this.purged
    const batch = this.batchAt(index)
    return batch === null ? null : { leaderId: batch.leaderId, index }
  }

  runs(): LeaderRun[] {
    const runs: LeaderRun[] = []
    for (const batch of this.batches) {
      const last = runs.at(-1)
      if (last === undefined || !sameLeaderId(last.leaderId, batch.leaderId)) {
        runs.push({ leaderId: batch.leaderId, first: batch.first })
      }
    }
    return runs
  }

  /** Implements `read` of the port. */
  read(first: LogIndex, wanted: LogIndex, bytesMax: number): LogBatch[] | null {
    const last = logIndex(Math.min(wanted, this.lastIndex))
    if (first <= indexOf(this.purged) || first > last) return null
    const found: LogBatch[] = []
    let bytes = 0
    for (let at = this.positionOf(first); at < this.batches.length; at++) {
      const batch = this.batches[at]
      if (batch === undefined || batch.first > last) break
      const part = clip(batch, first, last)
      bytes += part.body.length
      if (found.length > 0 && bytes > bytesMax) break
      found.push(part)
    }
    return found
  }

  private batchAt(index: LogIndex): LogBatch | null {
    if (index <= indexOf(this.purged) || index > this.lastIndex || index <= BEFORE_FIRST) return null
    return this.batches[this.positionOf(index)] ?? null
  }

  /** The position of the batch that holds `index`, found by bisection. */
  private positionOf(index: LogIndex): number {
    let low = 0
    let high = this.batches.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      const batch = this.batches[middle]
      if (batch !== undefined && batch.last < index) low = middle + 1
      else high = middle
    }
    return low
  }

  private truncate(from: LogIndex): void {
    for (;;) {
      const batch = this.batches.at(-1)
      if (batch === undefined || batch.last < from) return
      this.batches.pop()
      this.bytes = null
      if (batch.first < from) this.batches.push(clip(batch, batch.first, logIndex(from - 1)))
    }
  }

  private purge(purged: LogId): void {
    if (purged.index <= indexOf(this.purged)) return
    this.bytes = null
    while (this.batches[0] !== undefined && this.batches[0].last <= purged.index) this.batches.shift()
    const first = this.batches[0]
    if (first !== undefined && first.first <= purged.index) {
      this.batches[0] = clip(first, logIndex(purged.index + 1), first.last)
    }
    this.purged = purged
  }
}
