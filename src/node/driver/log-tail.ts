import { assert } from '../../lib/assert.ts'
import { offsetOfEntry } from '../../lib/entries.ts'
import type { LogReader } from '../../ports/log-store.ts'
import type { LogBatch, LogIndex } from '../../raft/index.ts'
import { logIndex } from '../../raft/index.ts'
import { membershipsOf } from '../codec/entry.ts'

/**
 * The log as the core has it: what the store knows, changed at its end by the writes that are still queued. `LogWriter` says what they
 * change, and when the store has been given them.
 */
export class LogTail implements LogReader {
  private readonly store: LogReader
  /** The batches from `from` on, which the store does not know yet. */
  private batches: LogBatch[] = []
  private from = Infinity

  constructor(store: LogReader) {
    this.store = store
  }

  readCached(first: LogIndex, last: LogIndex, bytesMax: number): readonly LogBatch[] | null {
    if (first >= this.from) return this.readQueued(first, last, bytesMax)
    return this.store.readCached(first, this.lastInStore(last), bytesMax)
  }

  async read(first: LogIndex, last: LogIndex, bytesMax: number): Promise<readonly LogBatch[] | null> {
    if (first >= this.from) return this.readQueued(first, last, bytesMax)
    return this.store.read(first, this.lastInStore(last), bytesMax)
  }

  /** Returns what is to be written of `batch`: the entries at `from` and behind it. */
  append(whole: LogBatch, from: LogIndex): LogBatch {
    const batch = clip(whole, from, whole.last)
    this.batches.push(batch)
    if (batch.first < this.from) this.from = batch.first
    return batch
  }

  truncate(from: LogIndex): void {
    this.batches = this.batches
      .filter((batch) => batch.first < from)
      .map((batch) => clip(batch, batch.first, min(batch.last, from - 1)))
    if (from < this.from) this.from = from
  }

  /** The log begins anew behind `purged`. */
  reset(purged: LogIndex): void {
    this.batches = []
    this.from = purged + 1
  }

  /** The store has been given all that was queued. */
  handedOver(): void {
    this.batches = []
    this.from = Infinity
  }

  private lastInStore(last: LogIndex): LogIndex {
    return last >= this.from ? logIndex(this.from - 1) : last
  }

  private readQueued(first: LogIndex, last: LogIndex, bytesMax: number): readonly LogBatch[] | null {
    const found: LogBatch[] = []
    let bytes = 0
    for (const batch of this.batches) {
      if (batch.last < first) continue
      if (batch.first > last || (found.length > 0 && bytes + batch.body.length > bytesMax)) break
      found.push(clip(batch, first, last))
      bytes += batch.body.length
    }
    return found.length === 0 ? null : found
  }
}

function min(a: LogIndex, b: number): LogIndex {
  return a < b ? a : logIndex(b)
}

/** The part of `batch` in `[first, last]`, which overlaps it. The body is a slice. */
function clip(batch: LogBatch, first: LogIndex, last: LogIndex): LogBatch {
  const from = first > batch.first ? first : batch.first
  const to = min(last, batch.last)
  if (from === batch.first && to === batch.last) return batch
  assert(from <= to, 'a clip leaves at least one entry')
  const start = offsetOfEntry(batch.body, from - batch.first)
  const end = offsetOfEntry(batch.body, to - batch.first + 1)
  const body = batch.body.subarray(start, end)
  const clipped: LogBatch = { leaderId: batch.leaderId, first: from, last: to, body, membershipCount: 0 }
  if (batch.membershipCount === 0) return clipped
  const inside = membershipsOf(batch).filter(({ logId }) => logId !== null && logId.index >= from && logId.index <= to)
  return { ...clipped, membershipCount: inside.length }
}
