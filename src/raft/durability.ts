import { assert } from '../lib/assert.ts'
import { logIndex, type LogIndex } from './types.ts'

/**
 * Tells which writes, and thus which entries of the log as it is now, are on stable storage.
 *
 * A log index is not enough to tell: an entry can be truncated and its index used again while the first write is still in flight. So
 * entries are tied to the number of the write that carries them, and a truncation lowers what those writes will prove durable.
 */
export class Durability {
  /** The entry of the current log up to which everything is known to be on disk. Falls only by truncation or reset. */
  index: LogIndex
  /** The last write known to be durable. Monotonic. */
  seq = 0
  /** Appends in flight; both numbers ascend. */
  private pending: { readonly seq: number; last: LogIndex }[] = []

  constructor(last: LogIndex) {
    this.index = last
  }

  appended(seq: number, last: LogIndex): void {
    this.pending.push({ seq, last })
  }

  truncated(from: LogIndex): void {
    const last = logIndex(from - 1)
    if (this.index > last) this.index = last
    for (const write of this.pending) if (write.last > last) write.last = last
  }

  /** The log was dropped; it continues after `index` once write `seq` is durable. */
  reset(seq: number, index: LogIndex): void {
    this.index = logIndex(Math.min(this.index, index))
    for (const write of this.pending) write.last = this.index
    this.pending.push({ seq, last: index })
  }

  persisted(seq: number): void {
    if (seq <= this.seq) return
    this.seq = seq
    let done = 0
    for (const write of this.pending) {
      if (write.seq > seq) break
      if (write.last > this.index) this.index = write.last
      done += 1
    }
    if (done > 0) this.pending.splice(0, done)
  }

  /** The write after which everything up to `index` is durable; 0 when it is durable already. */
  seqFor(index: LogIndex): number {
    if (index <= this.index) return 0
    const write = this.pending.find((candidate) => candidate.last >= index)
    assert(write !== undefined, 'an entry that is not durable is on its way to the disk')
    return write.seq
  }
}
