import { assert } from '../lib/assert.ts'
import { LeaderList } from './leader-list.ts'
import type { RaftOptions, RaftRestored } from './options.ts'
import { SIZE_GROUP_BYTES_MIN, SizeList } from './size-list.ts'
import { indexOf, logIndex, type LeaderId, type LogBatch, type LogId, type LogIndex } from './types.ts'

/** What the core knows about its log: who wrote each entry, and how large the entries are. The entries themselves are stored elsewhere. */
export class Log {
  readonly leaders: LeaderList
  readonly sizes: SizeList

  constructor(options: RaftOptions, restored: RaftRestored) {
    this.leaders = new LeaderList(restored.purged, restored.last, restored.runs)
    const groupBytesMin = Math.min(SIZE_GROUP_BYTES_MIN, Math.ceil(options.appendBytesMax / 4))
    this.sizes = new SizeList({ groupBytesMin, groupEntriesMax: options.appendEntriesMax }, indexOf(restored.purged))
    for (const { last, bytes } of restored.sizes) if (last > this.sizes.last) this.sizes.append(last, bytes)
    assert(this.sizes.last === indexOf(restored.last), 'every retained entry has a size')
  }

  get purged(): LogId | null {
    return this.leaders.purged
  }

  get last(): LogId | null {
    return this.leaders.last
  }

  get lastIndex(): LogIndex {
    return indexOf(this.leaders.last)
  }

  get purgedIndex(): LogIndex {
    return indexOf(this.leaders.purged)
  }

  leaderIdAt(index: LogIndex): LeaderId | null {
    return this.leaders.leaderIdAt(index)
  }

  logIdAt(index: LogIndex): LogId | null {
    return this.leaders.logIdAt(index)
  }

  /** Adds the entries `[from, batch.last]` after the last one. */
  append(batch: LogBatch, from: LogIndex): void {
    assert(from === this.lastIndex + 1 && batch.first <= from && from <= batch.last, 'an append leaves no gap')
    const share = (batch.last - from + 1) / (batch.last - batch.first + 1)
    this.leaders.append(batch.leaderId, batch.last)
    this.sizes.append(batch.last, Math.ceil(batch.body.length * share))
  }

  truncate(from: LogIndex): void {
    this.leaders.truncate(from)
    this.sizes.truncate(from)
  }

  purge(upTo: LogIndex): LogId {
    const purged = this.leaders.purge(upTo)
    this.sizes.purge(upTo)
    return purged
  }

  reset(purged: LogId): void {
    this.leaders.reset(purged)
    this.sizes.reset(purged.index)
  }

  /** How far a purge may go so that at most `entries` entries and `bytes` bytes remain; never beyond `upTo`. */
  purgeTarget(upTo: LogIndex, entries: number, bytes: number): LogIndex {
    return logIndex(Math.min(upTo, Math.max(this.lastIndex - entries, this.sizes.tailWithin(bytes))))
  }
}
