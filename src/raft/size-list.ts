import { assert } from '../lib/assert.ts'
import { elementAt } from '../lib/element-at.ts'
import { logIndex, type LogIndex } from './types.ts'

/** Small batches are counted together up to this size, so that the list stays small however long the log is. */
export const SIZE_GROUP_BYTES_MIN = 16 * 1024

interface Group {
  /** The group's last entry; it begins after the last of the group before. */
  last: LogIndex
  /** Bytes of this group and of all groups before it since the list was made. */
  total: number
}

export interface SizeListOptions {
  readonly groupBytesMin: number
  readonly groupEntriesMax: number
}

/**
 * How many bytes the retained entries have, in groups of consecutive entries. All entries of a group are taken to have the same size. A
 * batch as large as a group stands alone, so no size is wrong by more than two small groups: exact enough to fill messages, to bound what is
 * in flight or uncommitted, and to decide how much of the log to keep.
 */
export class SizeList {
  private readonly options: SizeListOptions
  private groups: Group[] = []
  /** The entry before the first group, and the total up to that entry. */
  private start: Group

  constructor(options: SizeListOptions, purged: LogIndex) {
    this.options = options
    this.start = { last: purged, total: 0 }
  }

  get last(): LogIndex {
    return this.groups.at(-1)?.last ?? this.start.last
  }

  get length(): number {
    return this.groups.length
  }

  append(last: LogIndex, bytes: number): void {
    assert(last > this.last && bytes >= 0, 'sizes are given for entries after the last')
    const end = this.groups.at(-1)
    const before = this.groups.at(-2) ?? this.start
    const total = (end ?? this.start).total + bytes
    const joins =
      end !== undefined &&
      bytes < this.options.groupBytesMin &&
      end.total - before.total < this.options.groupBytesMin &&
      last - before.last <= this.options.groupEntriesMax
    if (joins) {
      end.last = last
      end.total = total
    } else {
      this.groups.push({ last, total })
    }
  }

  truncate(from: LogIndex): void {
    const total = this.totalAt(logIndex(from - 1))
    while (this.groups.length > 0 && (this.groups.at(-2) ?? this.start).last >= from - 1) this.groups.pop()
    const end = this.groups.at(-1)
    if (end !== undefined && end.last >= from) {
      end.last = logIndex(from - 1)
      end.total = total
    }
  }

  purge(upTo: LogIndex): void {
    const total = this.totalAt(upTo)
    const first = this.groups.findIndex((group) => group.last > upTo)
    this.groups.splice(0, first === -1 ? this.groups.length : first)
    this.start = { last: upTo, total }
  }

  reset(index: LogIndex): void {
    this.groups = []
    this.start = { last: index, total: 0 }
  }

  /** Bytes of the entries after `index`. */
  bytesAfter(index: LogIndex): number {
    return (this.groups.at(-1) ?? this.start).total - this.totalAt(index)
  }

  /**
   * Where a message that begins with entry `first` ends: it takes as many whole groups as the two limits allow, and at least the rest of
   * the group that holds `first`, however large that is.
   */
  messageEnd(
    first: LogIndex,
    bytesMax: number,
    entriesMax: number,
  ): { readonly last: LogIndex; readonly bytes: number } {
    assert(first > this.start.last && first <= this.last, 'a message begins with a retained entry')
    const from = this.totalAt(logIndex(first - 1))
    let at = this.groupOf(first)
    let end = elementAt(this.groups, at)
    for (;;) {
      const next = this.groups[at + 1]
      if (next === undefined || next.total - from > bytesMax || next.last - first + 1 > entriesMax) break
      end = next
      at += 1
    }
    return { last: end.last, bytes: end.total - from }
  }

  /** The lowest index such that the entries after it have at most `bytes` bytes; never below the purge mark. */
  tailWithin(bytes: number): LogIndex {
    const total = (this.groups.at(-1) ?? this.start).total
    if (total - this.start.total <= bytes) return this.start.last
    let at = this.groups.length - 1
    while (at > 0 && total - elementAt(this.groups, at - 1).total <= bytes) at -= 1
    return elementAt(this.groups, at).last
  }

  private totalAt(index: LogIndex): number {
    if (index <= this.start.last) return this.start.total
    const at = this.groupOf(index)
    const before = this.groups[at - 1] ?? this.start
    const group = elementAt(this.groups, at)
    if (index >= group.last) return group.total
    return before.total + ((group.total - before.total) * (index - before.last)) / (group.last - before.last)
  }

  private groupOf(index: LogIndex): number {
    let high = this.groups.length - 1
    // Followers that keep up ask for the last group.
    if (index > (this.groups[high - 1] ?? this.start).last) return high
    let low = 0
    while (low < high) {
      const middle = (low + high) >> 1
      if (elementAt(this.groups, middle).last >= index) high = middle
      else low = middle + 1
    }
    return low
  }
}
