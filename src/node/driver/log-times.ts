import { Passages } from '../../lib/passages.ts'
import { limits } from '../../limits.ts'
import type { LogIndex } from '../../raft/index.ts'

/**
 * When the entries of the log got how far on this node. A moment is noted for each batch, not for each entry, and asked for only when a
 * request was slow.
 */
export class LogTimes {
  private readonly appended: Passages
  private readonly writing: Passages
  private readonly synced: Passages
  private readonly committed: Passages
  private readonly applied: Passages

  constructor(thresholdMs: number) {
    const { slowRequestMarksMax: marksMax, slowRequestSteps } = limits
    const options = { marksMax, stepMs: thresholdMs / slowRequestSteps }
    this.appended = new Passages(options)
    this.writing = new Passages(options)
    this.synced = new Passages(options)
    this.committed = new Passages(options)
    this.applied = new Passages(options)
  }

  onAppended(last: LogIndex, at: number): void {
    this.appended.note(last, at)
  }

  /** The write to the log that has the entries up to `last` begins. */
  onWriting(last: LogIndex, at: number): void {
    this.writing.note(last, at)
  }

  onSynced(last: LogIndex, at: number): void {
    this.synced.note(last, at)
  }

  onCommitted(index: LogIndex, at: number): void {
    this.committed.note(index, at)
  }

  onApplied(index: LogIndex, at: number): void {
    this.applied.note(index, at)
  }

  /** The entries from `from` on are removed; others will take their places. */
  onTruncated(from: LogIndex): void {
    for (const passages of [this.appended, this.writing, this.synced]) passages.forget(from)
  }

  appendedAt(index: LogIndex): number | null {
    return this.appended.when(index)
  }

  writingAt(index: LogIndex): number | null {
    return this.writing.when(index)
  }

  /** When the entry had to wait for this node's disk no longer: it is synced, or a majority of others has it already. */
  syncedAt(index: LogIndex): number | null {
    const synced = this.synced.when(index)
    const committed = this.committed.when(index)
    if (synced === null || committed === null) return synced ?? committed
    return Math.min(synced, committed)
  }

  committedAt(index: LogIndex): number | null {
    return this.committed.when(index)
  }

  appliedAt(index: LogIndex): number | null {
    return this.applied.when(index)
  }
}
