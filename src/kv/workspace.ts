import type { RowKey } from './key.ts'
import type { RowRange } from './row.ts'

/** The rows that a command may look at. The caller loads them before the command executes. */
export interface ReadSet {
  readonly rows: readonly RowKey[]
  /** Ranges of rows, none of them empty. Rare, because each costs a scan. */
  readonly ranges: readonly RangeRead[]
}

/** The first `limit` rows that are present in a range. Their values are not needed. */
export interface RangeRead extends RowRange {
  readonly limit: number
}

/** The store as one command sees it: what was loaded, overlaid with the writes of earlier commands. */
export interface Workspace {
  /** The row's bytes; null when it is absent. The row is in the read set of this command or of an earlier one in the batch. */
  get(row: RowKey): Uint8Array | null
  /** The machine gives `bytes` away and does not change them afterwards. */
  put(row: RowKey, bytes: Uint8Array): void
  remove(row: RowKey): void
  /**
   * The first rows present in a range of the read set, up to its limit, ascending. The answer stays the same when some of these rows are
   * removed later.
   */
  rowsIn(start: RowKey, end: RowKey | null): readonly RowKey[]
}
