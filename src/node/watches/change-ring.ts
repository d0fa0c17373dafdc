import { assert } from '../../lib/assert.ts'
import type { EntryChanges } from '../../kv/index.ts'
import { elementAt } from '../../lib/element-at.ts'

export interface ChangeRingOptions {
  /** How many entries it keeps, and how many bytes of them; the last one is kept whatever its size. */
  readonly entriesMax: number
  readonly bytesMax: number
}

/** What a change takes besides its rows. */
const CHANGE_BYTES = 96
/** Places at the front that may be empty before the list is made anew. */
const EMPTY_MAX = 1024

/** The changes of the last entries, in memory: all that came after `floor`, up to `last`. */
export class ChangeRing {
  private readonly options: ChangeRingOptions
  private entries: EntryChanges[] = []
  /** Where the first of them stands; what was before it is gone. */
  private first = 0
  private bytes = 0
  private before = 0
  private latest = 0

  constructor(options: ChangeRingOptions) {
    this.options = options
  }

  /** Every change above this revision is here, up to `last`. */
  get floor(): number {
    return this.before
  }

  get last(): number {
    return this.latest
  }

  get sizeBytes(): number {
    return this.bytes
  }

  /** Begins anew, with nothing, after `revision`. */
  reset(revision: number): void {
    this.entries = []
    this.first = 0
    this.bytes = 0
    this.before = revision
    this.latest = revision
  }

  push(entry: EntryChanges): void {
    assert(entry.revision > this.latest, 'changes come in the order of their revisions')
    this.entries.push(entry)
    this.latest = entry.revision
    this.bytes += bytesOf(entry)
    const { entriesMax, bytesMax } = this.options
    while (this.size > 1 && (this.size > entriesMax || this.bytes > bytesMax)) this.dropFirst()
    if (this.first < EMPTY_MAX || this.first < this.size) return
    this.entries = this.entries.slice(this.first)
    this.first = 0
  }

  /** The entry of `revision`; undefined when it is not here any more. */
  find(revision: number): EntryChanges | undefined {
    const entry = this.entries[this.positionAfter(revision - 1)]
    return entry?.revision === revision ? entry : undefined
  }

  /** Up to `limit` entries above `revision`, which is not below the floor. */
  after(revision: number, limit: number): readonly EntryChanges[] {
    assert(revision >= this.before, 'what is read from memory is there')
    const at = this.positionAfter(revision)
    return this.entries.slice(at, at + limit)
  }

  private get size(): number {
    return this.entries.length - this.first
  }

  private dropFirst(): void {
    const entry = elementAt(this.entries, this.first)
    this.bytes -= bytesOf(entry)
    this.before = entry.revision
    // The place is left empty, so that the rows are not kept.
    this.entries[this.first] = GONE
    this.first += 1
  }

  /** Where the first entry above `revision` stands. */
  private positionAfter(revision: number): number {
    let low = this.first
    let high = this.entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (elementAt(this.entries, middle).revision <= revision) low = middle + 1
      else high = middle
    }
    return low
  }
}

const GONE: EntryChanges = { revision: 0, changes: [] }

/** Roughly what an entry takes in memory. */
export function bytesOf({ changes }: EntryChanges): number {
  let bytes = 0
  for (const { key, row, previousRow } of changes) {
    bytes += CHANGE_BYTES + key.length + (row?.length ?? 0) + (previousRow?.length ?? 0)
  }
  return bytes
}
