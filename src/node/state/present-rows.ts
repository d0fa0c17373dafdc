import type { RangeRead, RowKey } from '../../kv/index.ts'
import { rowBytes, rowFromBytes } from '../../kv/index.ts'
import type { StateRow, StateView } from '../../ports/state-store.ts'

/** What became of rows that changed: their bytes, or null for rows that were removed. */
export type Changes = ReadonlyMap<RowKey, Uint8Array | null>

/** A row that is present. `bytes` undefined: they were not read. */
export interface PresentRow {
  readonly row: RowKey
  readonly bytes: Uint8Array | undefined
}

const PAGE_ROWS = 1024
const PAGE_BYTES = 1024 * 1024

/**
 * The first rows of a range, as many as it asks for: the rows of `view`, overlaid with `changes`, in which later changes hide earlier ones.
 * The first of them are read, until they have `valueBytesMax` bytes or more, and the others only named. The cost depends on the rows asked
 * for and on the changes, not on how much the range holds.
 *
 * `view` may include some of the changes already: they only repeat what it then holds.
 */
export async function presentRows(
  range: RangeRead,
  view: StateView,
  changes: readonly Changes[],
  valueBytesMax: number,
): Promise<PresentRow[]> {
  const { end, limit } = range
  const changed = changedIn(range, changes)
  const found: PresentRow[] = []
  let at = 0
  let bytesLeft = valueBytesMax
  let from = rowBytes(range.start)
  for (;;) {
    const wanted = {
      start: from,
      end: end === null ? null : rowBytes(end),
      reverse: false,
      limit: Math.min(limit - found.length, PAGE_ROWS),
    }
    const stored: readonly PresentRow[] =
      bytesLeft > 0
        ? (await view.scan({ ...wanted, bytesMax: Math.min(bytesLeft, PAGE_BYTES) })).map(withBytes)
        : (await view.keys({ ...wanted, bytesMax: PAGE_BYTES })).map(named)
    for (const { row, bytes } of stored) bytesLeft -= row.length + (bytes?.length ?? 0)
    const last = stored.at(-1)
    // When there is no further page, every remaining change comes after the rows that were found.
    const upTo = last === undefined ? null : last.row
    let next = 0
    for (let change = changed[at]; change !== undefined; change = changed[at]) {
      if (upTo !== null && change.row > upTo) break
      for (let row = stored[next]; row !== undefined && row.row < change.row; row = stored[++next]) found.push(row)
      if (stored[next]?.row === change.row) next += 1
      if (change.bytes !== null) found.push({ row: change.row, bytes: change.bytes })
      at += 1
    }
    for (let row = stored[next]; row !== undefined; row = stored[++next]) found.push(row)
    if (found.length >= limit) return found.slice(0, limit)
    if (last === undefined) return found
    from = Buffer.concat([rowBytes(last.row), Buffer.from([0])])
  }
}

function withBytes({ key, value }: StateRow): PresentRow {
  return { row: rowFromBytes(key), bytes: value }
}

function named(key: Uint8Array): PresentRow {
  return { row: rowFromBytes(key), bytes: undefined }
}

interface Change {
  readonly row: RowKey
  /** Null: the row was removed. */
  readonly bytes: Uint8Array | null
}

/** The changes inside the range, ascending; only the latest of each row. */
function changedIn({ start, end }: RangeRead, changes: readonly Changes[]): Change[] {
  const latest = new Map<RowKey, Uint8Array | null>()
  for (const some of changes) {
    for (const [row, bytes] of some) {
      if (row >= start && (end === null || row < end)) latest.set(row, bytes)
    }
  }
  return [...latest.keys()].sort().map((row) => ({ row, bytes: latest.get(row) ?? null }))
}
