import type { RowKey } from './key.ts'
import type { RowRange } from './row.ts'

/** The rows a command may look at, which the caller loads before it executes. */
export interface ReadSet {
  readonly rows: readonly RowKey[]
  /** Ranges of rows, none of them empty. Rare: each costs a scan. */
  readonly ranges: readonly RangeRead[]
}

/** The first `limit` rows that are present in a range. Their bytes are not asked for. */
export interface RangeRead extends RowRange {
  readonly limit: number
}

/** The store as one command sees it: what was loaded, under the writes of the commands before it. */
export interface Workspace {
  /** The row's bytes; null when absent. The row is in the read set of this command or of one before it in the batch. */
  get(row: RowKey): Uint8Array | null
  /** The machine gives `bytes` away and does not change them. */
  put(row: RowKey, bytes: Uint8Array): void
  remove(row: RowKey): void
  /** The first rows present in a range of the read set, up to its limit, ascending. The answer stays the same when rows of it are removed later. */
  rowsIn(start: RowKey, end: RowKey | null): readonly RowKey[]
}
