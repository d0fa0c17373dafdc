import type { RangeRead, RowKey } from '../../kv/index.ts'
import { rowBytes, rowFromBytes } from '../../kv/index.ts'
import type { StateView } from '../../ports/state-store.ts'

/** What became of rows that changed: their bytes, or null for rows that were removed. */
export type Changes = ReadonlyMap<RowKey, Uint8Array | null>

const PAGE_ROWS = 1024
const PAGE_BYTES = 1024 * 1024

/**
 * The first rows of a range, as many as it asks for: the rows of `view`, overlaid with `changes`, in which later changes hide earlier ones.
 * Values are not read. The cost depends on the rows asked for and on the changes, not on how much the range holds.
 *
 * `view` may include some of the changes already: they only repeat what it then holds.
 */
export async function presentRows(range: RangeRead, view: StateView, changes: readonly Changes[]): Promise<RowKey[]> {
  const { end, limit } = range
  const changed = changedIn(range, changes)
  const found: RowKey[] = []
  let at = 0
  let from = rowBytes(range.start)
  for (;;) {
    const page = await view.keys({
      start: from,
      end: end === null ? null : rowBytes(end),
      reverse: false,
      limit: Math.min(limit - found.length, PAGE_ROWS),
      bytesMax: PAGE_BYTES,
    })
    const last = page.at(-1)
    // When there is no further page, every remaining change comes after the rows that were found.
    const upTo = last === undefined ? null : rowFromBytes(last)
    const stored = page.map(rowFromBytes)
    let next = 0
    for (let change = changed[at]; change !== undefined; change = changed[at]) {
      if (upTo !== null && change.row > upTo) break
      for (let row = stored[next]; row !== undefined && row < change.row; row = stored[++next]) found.push(row)
      if (stored[next] === change.row) next += 1
      if (change.isPresent) found.push(change.row)
      at += 1
    }
    for (const row of stored.slice(next)) found.push(row)
    if (found.length >= limit) return found.slice(0, limit)
    if (last === undefined) return found
    from = Buffer.concat([last, Buffer.from([0])])
  }
}

interface Change {
  readonly row: RowKey
  readonly isPresent: boolean
}

/** The changes inside the range, ascending; only the latest of each row. */
function changedIn({ start, end }: RangeRead, changes: readonly Changes[]): Change[] {
  const latest = new Map<RowKey, boolean>()
  for (const some of changes) {
    for (const [row, bytes] of some) {
      if (row >= start && (end === null || row < end)) latest.set(row, bytes !== null)
    }
  }
  return [...latest.keys()].sort().map((row) => ({ row, isPresent: latest.get(row) === true }))
}
