import type { IteratorOptions } from 'rocksdb-native'
import { limits } from '../../limits.ts'
import type { StateRow } from '../../ports/state-store.ts'
import type { Database } from './binding.ts'
import { Cursor } from './cursor.ts'

/** The intended size of one read. */
const READ_BYTES = 256 * 1024

/** How many rows each of `walks` may request at once when no row is larger than `rowBytesMax`. */
export function rowsAtOnceMax(rowBytesMax: number, walks: number): number {
  const fitting = Math.floor(limits.rowsSurpriseBytesMax / (rowBytesMax * Math.max(1, walks)))
  return Math.max(limits.rowsReadAtOnceMin, Math.min(limits.rowsReadAtOnceMax, fitting))
}

/**
 * Rows in order, read through one iterator that stays open. Positioning an iterator reads a block of every file that may hold
 * the key, and a large row is a block of its own. An iterator for each page would read many times what it returns.
 *
 * RocksDB reads a number of rows, however large they are. So the first read requests one row, and the size of the rows of each
 * read decides how many the next one requests. Nothing is read before it is wanted.
 */
export class RowReader {
  /** How many rows, and bytes of them, the caller will take; set before `readMore`. */
  wantedRows = 1
  wantedBytes = 1
  private readonly rowsMax: () => number
  private readonly cursor: Cursor
  /** The rows of the latest read, and how many of them were taken. */
  private rows: readonly StateRow[] = []
  private taken = 0
  private readBytes = 0
  private takenBytes = 0
  /** Mean size of the rows before the latest read; null before the first. */
  private rowBytes: number | null

  /** `rowBytes`: the size that rows in this range are known to have, null when it is unknown. */
  constructor(
    database: Database,
    bounds: IteratorOptions,
    size: { readonly rowsMax: () => number; readonly rowBytes: number | null },
  ) {
    this.rowsMax = size.rowsMax
    this.rowBytes = size.rowBytes
    this.cursor = new Cursor(database, bounds, limits.rowsReadAtOnceMax)
  }

  /** The next row, which stays the next until it is taken; null when more has to be read, and after that at the end. */
  peek(): StateRow | null {
    return this.rows[this.taken] ?? null
  }

  take({ key, value }: StateRow): void {
    this.taken += 1
    this.takenBytes += key.length + value.length
  }

  /** To be called when all rows that were read have been taken. */
  async readMore(): Promise<void> {
    this.rowBytes = this.latestRowBytes
    const rows = await this.cursor.read(this.capacity())
    this.rows = rows
    this.taken = 0
    this.takenBytes = 0
    this.readBytes = rows.reduce((bytes, { key, value }) => bytes + key.length + value.length, 0)
  }

  /** Whether it holds more than may stay in memory until the next scan. */
  get holdsTooMuch(): boolean {
    return this.rows.length - this.taken > 1 && this.readBytes - this.takenBytes > limits.rowsHeldBytesMax
  }

  get latestRowBytes(): number | null {
    return this.rows.length === 0 ? this.rowBytes : Math.max(1, this.readBytes / this.rows.length)
  }

  async close(): Promise<void> {
    this.rows = []
    await this.cursor.close()
  }

  /** The number of rows of the next read. */
  private capacity(): number {
    if (this.rowBytes === null) return 1
    const fitting = Math.floor(Math.min(READ_BYTES, this.wantedBytes) / this.rowBytes) + 1
    // One more than is wanted, because callers ask whether anything follows.
    return Math.max(1, Math.min(fitting, this.wantedRows + 1, this.rowsMax()))
  }
}
