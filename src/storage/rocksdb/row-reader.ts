import type { IteratorOptions, RowIterator } from 'rocksdb-native'
import type { StateRow } from '../../ports/state-store.ts'
import type { Database } from './binding.ts'

/** What one read should bring, and how many rows at most, whatever their size. */
const READ_BYTES = 256 * 1024
const READ_ROWS_MAX = 512
const READ_ROWS_MAX_LEAST = 4
/** What may be left of a read until the next scan, beside a single row. */
const HELD_BYTES_MAX = 1024 * 1024
/** What the reads of all walks together may bring when rows of the largest size follow small ones: their size is known only afterwards. */
const SURPRISE_BYTES_MAX = 256 * 1024 * 1024

/** How many rows each of `walks` may ask for at once when none is larger than `rowBytesMax`. */
export function rowsAtOnceMax(rowBytesMax: number, walks: number): number {
  const fitting = Math.floor(SURPRISE_BYTES_MAX / (rowBytesMax * Math.max(1, walks)))
  return Math.max(READ_ROWS_MAX_LEAST, Math.min(READ_ROWS_MAX, fitting))
}

/**
 * Rows in order, over one iterator that stays open. Positioning an iterator reads a block of every file that may hold the key, and
 * a large row is a block of its own: an iterator for each page would read many times what it returns.
 *
 * RocksDB reads a number of rows, however large they are. So the first read asks for one row, and each read tells the next how
 * many to ask for. Nothing is read before it is wanted.
 */
export class RowReader {
  /** How many rows, and bytes of them, the caller will take; set before `peek`. */
  wantedRows = 1
  wantedBytes = 1
  private readonly rowsMax: () => number
  private readonly iterator: AsyncIterator<StateRow, unknown>
  private readonly stream: RowIterator
  private next: StateRow | null = null
  /** Size of the rows of the latest read on average; null before the first. */
  private rowBytes: number | null
  /** The latest read. */
  private readRows = 0
  private readBytes = 0
  /** What was read and not taken. */
  private heldRows = 0
  private heldBytes = 0

  /** `rowBytes`: what is known of the size of the rows there. */
  constructor(
    database: Database,
    bounds: IteratorOptions,
    size: { readonly rowsMax: () => number; readonly rowBytes: number | null },
  ) {
    this.rowsMax = size.rowsMax
    this.rowBytes = size.rowBytes
    this.stream = database.iterator({ ...bounds, capacity: READ_ROWS_MAX })
    // The stream behind the iterator would read ahead until it held sixteen rows.
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

  /** Whether more is held than should lie in memory until somebody wants it. */
  get holdsTooMuch(): boolean {
    return this.heldRows > 1 && this.heldBytes > HELD_BYTES_MAX
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

  /** Called when every row of the reads before has been handed out. */
  private capacity(): number {
    this.rowBytes = this.latestRowBytes
    this.readRows = 0
    this.readBytes = 0
    if (this.rowBytes === null) return 1
    const fitting = Math.floor(Math.min(READ_BYTES, this.wantedBytes) / this.rowBytes) + 1
    // One more than is wanted: callers like to know whether anything follows.
    return Math.max(1, Math.min(fitting, this.wantedRows + 1, this.rowsMax()))
  }
}

function sizeOf({ key, value }: StateRow): number {
  return key.length + value.length
}
