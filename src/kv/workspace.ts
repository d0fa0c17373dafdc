import type { RowKey } from './key.ts'
import type { RowRange } from './row.ts'

/**
 * The rows that a command may look at. The caller loads them before the command executes. What they are follows from the command alone, except
 * for what a command that runs alone names later (`KvMachine.moreReadsOf`).
 */
export interface ReadSet {
  readonly rows: readonly RowKey[]
  /** Ranges of rows, none of them empty. Rare, because each costs a scan. */
  readonly ranges: readonly RangeRead[]
  /** Further rows and ranges, which are loaded only as far as they have few bytes; null when there are none. */
  readonly bounded: BoundedReads | null
}

/**
 * Rows and ranges that may have `bytesMax` bytes together, names of rows included. Loading stops when there are more, and
 * `Workspace.isExceeded` says so. A command that has them executes alone (`runsAlone`), so that every replica finds the same.
 */
export interface BoundedReads {
  readonly rows: readonly RowKey[]
  readonly ranges: readonly RangeRead[]
  readonly bytesMax: number
}

/** The first `limit` rows that are present in a range. */
export interface RangeRead extends RowRange {
  readonly limit: number
  /** How many bytes of these rows are read, and the row that exceeds them. 0: the rows are only named. */
  readonly bytesMax: number
}

/** The store as one command sees it: what was loaded, overlaid with the writes of earlier commands. */
export interface Workspace {
  /** The row's bytes; null when it is absent. The row is in the read set of this command or of an earlier one in the batch. */
  get(row: RowKey): Uint8Array | null
  /** The machine gives `bytes` away and does not change them afterwards. */
  put(row: RowKey, bytes: Uint8Array): void
  remove(row: RowKey): void
  /** The rows of a range of the read set, ascending. The answer stays the same when some of these rows are removed later. */
  rowsIn(range: RangeRead): readonly RowKey[]
  /** The command's bounded reads have too many bytes, and are not loaded whole. */
  readonly isExceeded: boolean
}
