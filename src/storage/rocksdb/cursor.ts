import type { IteratorOptions, RowIterator } from 'rocksdb-native'
import type { Database } from './binding.ts'

/** A row as the binding gives it; without a value when only keys are read. */
export type ReadRow = Parameters<RowIterator['push']>[0] & object

/**
 * One iterator of the database, read in pieces. The package would make it a stream, which takes a promise and several calls for each row:
 * more than RocksDB takes to read one.
 */
export class Cursor {
  private readonly iterator: RowIterator
  private isOpen = false
  private isAtEnd = false
  private rows: ReadRow[] = []

  /** `capacity`: the most rows that one read will request. */
  constructor(database: Database, bounds: IteratorOptions, capacity: number) {
    this.iterator = database.iterator({ ...bounds, capacity })
    this.iterator.push = (row) => {
      if (row === null) this.isAtEnd = true
      else this.rows.push(row)
      return true
    }
  }

  /** Whether every row has been read. */
  get hasEnded(): boolean {
    return this.isAtEnd
  }

  /** The next `count` rows; fewer at the end. One call at a time. */
  async read(count: number): Promise<ReadRow[]> {
    if (this.isAtEnd) return []
    const { iterator } = this
    if (!this.isOpen) {
      await settled((done) => iterator._open(done))
      this.isOpen = true
    }
    iterator._capacity = count
    await settled((done) => iterator._read(done))
    const { rows } = this
    this.rows = []
    return rows
  }

  /** No read is in progress. */
  async close(): Promise<void> {
    await settled((done) => this.iterator._destroy(done))
  }
}

function settled(begin: (done: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    begin((error) => {
      if (error === null || error === undefined) resolve()
      else reject(error)
    })
  })
}
