import type { RowKey } from './key.ts'

/** The rows a command may look at, which the caller loads before it executes. */
export interface ReadSet {
  readonly rows: readonly RowKey[]
  /** Ranges of rows, `end` exclusive, null unbounded. Rare: each costs a scan. */
  readonly ranges: readonly { readonly start: RowKey; readonly end: RowKey | null }[]
}

/** The store as one command sees it: what was loaded, under the writes of the commands before it. */
export interface Workspace {
  /** The row's bytes; null when absent. The row is in the read set. */
  get(row: RowKey): Uint8Array | null
  put(row: RowKey, bytes: Uint8Array): void
  remove(row: RowKey): void
  /** The rows present in a range of the read set, ascending. */
  rowsIn(start: RowKey, end: RowKey | null): readonly RowKey[]
}
