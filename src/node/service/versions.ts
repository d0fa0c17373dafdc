import type { Key, RowRange } from '../../kv/index.ts'
import {
  decodeRecord,
  recordRow,
  rowBytes,
  rowFromBytes,
  versionOfRow,
  versionRange,
  versionsEnd,
  versionsUpTo,
} from '../../kv/index.ts'
import { assert } from '../../lib/assert.ts'
import { limits } from '../../limits.ts'
import type { StateRow, StateView } from '../../ports/state-store.ts'

/** The row of a record as it was from `revision` on. Empty: the key was deleted then. */
export interface VersionRow {
  readonly revision: number
  readonly row: Uint8Array
}

/** The newest of the superseded records of `key` that it had at `revision` or before: its row, empty when the key was deleted then. */
export async function newestUpTo(view: StateView, key: Key, revision: number): Promise<Uint8Array | null> {
  const [row] = await scanRows(view, versionsUpTo(key, revision), 1)
  return row === undefined ? null : row.value
}

/** All versions of `key` that the store holds, the newest first; with `before` only those of lower revisions. */
export async function* versionsBelow(view: StateView, key: Key, before: number | null): AsyncGenerator<VersionRow> {
  const row = recordRow(key)
  const [current] = await scanRows(view, { start: row, end: `${row}\0` as typeof row }, 1)
  if (current !== undefined) {
    const { modRevision } = decodeRecord(current.value)
    if (before === null || modRevision < before) yield { revision: modRevision, row: current.value }
  }
  let upTo = before === null ? Number.MAX_SAFE_INTEGER : before - 1
  for (;;) {
    const rows = await scanRows(view, versionsUpTo(key, upTo), limits.past.rowsMax)
    if (rows.length === 0) return
    for (const one of rows) {
      const { revision } = versionOf(one)
      yield { revision, row: one.value }
      upTo = revision - 1
    }
  }
}

/** What one key had at the revision of a walk: the row of its record, empty when the key was deleted by then. */
export interface KeyedVersion {
  readonly key: Key
  readonly row: Uint8Array
}

export interface VersionWalkOptions {
  readonly range: RowRange
  readonly revision: number
  readonly reverse: boolean
}

const ROWS_MIN = 4

/**
 * A walk over the superseded records of a range: for each key, in order, the one that it had at a revision. It passes over the others of a
 * key without reading them all, however many there are.
 */
export class VersionWalk {
  private readonly view: StateView
  private readonly revision: number
  private readonly reverse: boolean
  private range: RowRange
  /** How many rows are read at once: more while most of them are wanted. */
  private rowsMax = ROWS_MIN
  private done = false

  constructor(view: StateView, { range, revision, reverse }: VersionWalkOptions) {
    this.view = view
    this.range = range
    this.revision = revision
    this.reverse = reverse
  }

  get isDone(): boolean {
    return this.done
  }

  /** The next versions; there may be none before the end. */
  async next(): Promise<readonly KeyedVersion[]> {
    const { view, range, rowsMax, reverse, revision } = this
    const rows = await scanRows(view, range, rowsMax, reverse)
    const choice = new Choice(revision, reverse)
    for (const row of rows) choice.offer(row)
    const found = [...choice.made]
    const { last } = choice
    if (last === null) this.done = true
    else {
      const row = last.isMade ? last.row : await newestUpTo(view, last.key, revision)
      if (row !== null) found.push({ key: last.key, row })
      this.continueBeyond(last.key)
    }
    this.rowsMax =
      found.length * 2 >= rows.length ? Math.min(rowsMax * 2, limits.past.rowsMax) : Math.max(rowsMax / 2, ROWS_MIN)
    return found
  }

  continueBeyond(key: Key): void {
    const { start, end } = this.range
    this.range = this.reverse ? { start, end: versionRange(key, null).start } : { start: versionsEnd(key), end }
  }
}

/** Chooses for each key one of the rows that are offered, which are those of one key after the other. */
class Choice {
  readonly made: KeyedVersion[] = []
  /** The key of the last row: further rows of it may follow unless the choice is made. */
  last: { readonly key: Key; row: Uint8Array | null; isMade: boolean } | null = null
  private readonly upTo: number
  private readonly ascending: boolean

  constructor(upTo: number, ascending: boolean) {
    this.upTo = upTo
    this.ascending = ascending
  }

  offer(offered: StateRow): void {
    const { key, revision } = versionOf(offered)
    let { last } = this
    if (last?.key !== key) {
      this.close()
      last = { key, row: null, isMade: false }
      this.last = last
    }
    if (last.isMade) return
    const isOldEnough = revision <= this.upTo
    if (isOldEnough) last.row = offered.value
    // The newest that is old enough comes first when revisions descend; when they ascend, it is the one before the first that is too new.
    last.isMade = isOldEnough !== this.ascending
  }

  /** No further row of the last key follows. */
  private close(): void {
    const { last } = this
    if (last !== null && last.row !== null) this.made.push({ key: last.key, row: last.row })
  }
}

function versionOf({ key }: StateRow): { readonly key: Key; readonly revision: number } {
  const version = versionOfRow(rowFromBytes(key))
  assert(version !== null, 'only rows of superseded records are among them')
  return version
}

function scanRows(
  view: StateView,
  { start, end }: RowRange,
  limit: number,
  reverse = false,
): Promise<readonly StateRow[]> {
  return view.scan({
    start: rowBytes(start),
    end: end === null ? null : rowBytes(end),
    reverse,
    limit,
    bytesMax: limits.past.bytesMax,
  })
}
