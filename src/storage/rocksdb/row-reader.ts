import type { IteratorOptions, RowIterator } from 'rocksdb-native'
import { limits } from '../../limits.ts'
import type { StateRow } from '../../ports/state-store.ts'
import type { Database } from './binding.ts'

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
  /** How many rows, and bytes of them, the caller will take; set before `peek`. */
  wantedRows = 1
  wantedBytes = 1
  private readonly rowsMax: () => number
  private readonly iterator: AsyncIterator<StateRow, unknown>
  private readonly stream: RowIterator
  private next: StateRow | null = null
  /** Mean size of the rows of the latest read; null before the first. */
  private rowBytes: number | null
  /** Rows and bytes of the latest read. */
  private readRows = 0
  private readBytes = 0
  /** Rows and bytes that were read and not taken. */
  private heldRows = 0
  private heldBytes = 0

  /** `rowBytes`: the size that rows in this range are known to have, null when it is unknown. */
  constructor(
    database: Database,
    bounds: IteratorOptions,
    size: { readonly rowsMax: () => number; readonly rowBytes: number | null },
  ) {
    this.rowsMax = size.rowsMax
    this.rowBytes = size.rowBytes
    this.stream = database.iterator({ ...bounds, capacity: limits.rowsReadAtOnceMax })
    // By default the stream reads ahead until it holds sixteen rows.
    this.stream._readableState.readAhead = false
    const read = this.stream._read.bind(this.stream)
    this.stream._read = (done) => {
      this.stream._capacity = this.capacity()
      read(done)
    }
    const push = this.stream.push.bind(this.stream)
    this.stream.push = (row) => {
      this.received(row)
      return push(row)
    }
    this.iterator = this.stream[Symbol.asyncIterator]()
  }

  /** The next row, which stays the next until it is taken; null at the end. */
  async peek(): Promise<StateRow | null> {
    if (this.next === null) {
      const { done, value } = await this.iterator.next()
      if (done === true) return null
      this.next = value
    }
    return this.next
  }

  take(): void {
    if (this.next === null) return
    this.heldRows -= 1
    this.heldBytes -= sizeOf(this.next)
    this.next = null
  }

  /** Whether it holds more than may stay in memory until the next scan. */
  get holdsTooMuch(): boolean {
    return this.heldRows > 1 && this.heldBytes > limits.rowsHeldBytesMax
  }

  get latestRowBytes(): number | null {
    return this.readRows === 0 ? this.rowBytes : Math.max(1, this.readBytes / this.readRows)
  }

  async close(): Promise<void> {
    this.next = null
    await this.iterator.return?.()
  }

  private received(row: StateRow | null): void {
    if (row === null) return
    const bytes = sizeOf(row)
    this.readRows += 1
    this.readBytes += bytes
    this.heldRows += 1
    this.heldBytes += bytes
  }

  /** The number of rows of the next read. Called when all rows of earlier reads have been handed out. */
  private capacity(): number {
    this.rowBytes = this.latestRowBytes
    this.readRows = 0
    this.readBytes = 0
    if (this.rowBytes === null) return 1
    const fitting = Math.floor(Math.min(READ_BYTES, this.wantedBytes) / this.rowBytes) + 1
    // One more than is wanted, because callers ask whether anything follows.
    return Math.max(1, Math.min(fitting, this.wantedRows + 1, this.rowsMax()))
  }
}

function sizeOf({ key, value }: StateRow): number {
  return key.length + value.length
}
