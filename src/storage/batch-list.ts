import { assert } from '../lib/assert.ts'
import type { LogBatch, LogIndex } from '../raft/index.ts'
import { clipBatch } from './clip.ts'

/** Free slots at the front of the array after which the rest is moved to the front. */
const COMPACT_AT = 1024

/** Consecutive batches, ascending, without gaps. */
export class BatchList {
  /** Slots before `head` are free and null. */
  private batches: (LogBatch | null)[] = []
  private head = 0
  private totalBytes = 0

  /** Bytes of the bodies held. */
  get bytes(): number {
    return this.totalBytes
  }

  get size(): number {
    return this.batches.length - this.head
  }

  /** The first index held; null when empty. */
  get first(): LogIndex | null {
    return this.front?.first ?? null
  }

  get last(): LogIndex | null {
    return this.size === 0 ? null : (this.batches.at(-1)?.last ?? null)
  }

  push(batch: LogBatch): void {
    assert(this.last === null || batch.first === this.last + 1, 'a batch follows the one before it')
    this.batches.push(batch)
    this.totalBytes += batch.body.length
  }

  /** Removes every entry from `from` on. */
  truncate(from: LogIndex): void {
    for (;;) {
      const tail = this.size === 0 ? null : (this.batches.at(-1) ?? null)
      if (tail === null || tail.last < from) return
      this.batches.pop()
      this.totalBytes -= tail.body.length
      if (tail.first < from) this.push(clipBatch(tail, tail.first, (from - 1) as LogIndex))
    }
  }

  /** Drops the first batch. */
  shift(): void {
    const batch = this.front
    if (batch === null) return
    this.totalBytes -= batch.body.length
    // A free slot keeps no batch: a thousand batches that are no longer counted may be gigabytes.
    this.batches[this.head] = null
    this.head += 1
    if (this.head < COMPACT_AT || this.head * 2 < this.batches.length) return
    this.batches = this.batches.slice(this.head)
    this.head = 0
  }

  /** Drops whole batches up to and including `index`. A batch that reaches beyond stays whole. */
  dropThrough(index: LogIndex): void {
    while ((this.front?.last ?? Infinity) <= index) this.shift()
  }

  /** Drops batches from the front, none of them beyond `through`, until the rest is no larger than `bytesMax`. */
  evict(bytesMax: number, through: LogIndex): void {
    while (this.totalBytes > bytesMax && (this.front?.last ?? Infinity) <= through) this.shift()
  }

  clear(): void {
    this.batches = []
    this.head = 0
    this.totalBytes = 0
  }

  /**
   * The batches that hold `[first, last]`, clipped to it: as many whole ones as fit `bytesMax`, but at least one. Null when
   * `first` is not held.
   */
  select(first: LogIndex, last: LogIndex, bytesMax: number): LogBatch[] | null {
    const found = this.find(first)
    if (found === null || last < first) return null
    const selected: LogBatch[] = []
    let bytes = 0
    for (let i = found; i < this.batches.length; i++) {
      const batch = this.batches[i] ?? null
      if (batch === null || batch.first > last) break
      const clipped = clipBatch(batch, first, last)
      bytes += clipped.body.length
      if (selected.length > 0 && bytes > bytesMax) break
      selected.push(clipped)
    }
    return selected
  }

  *[Symbol.iterator](): Generator<LogBatch> {
    for (let i = this.head; i < this.batches.length; i++) {
      const batch = this.batches[i] ?? null
      if (batch !== null) yield batch
    }
  }

  private get front(): LogBatch | null {
    return this.batches[this.head] ?? null
  }

  /** The position of the batch that holds `index`. */
  private find(index: LogIndex): number | null {
    let low = this.head
    let high = this.batches.length - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      const batch = this.batches[middle] ?? null
      assert(batch !== null, 'a search stays inside the list')
      if (batch.last < index) low = middle + 1
      else if (batch.first > index) high = middle - 1
      else return middle
    }
    return null
  }
}
