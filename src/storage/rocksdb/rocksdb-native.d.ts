/** The part of rocksdb-native that the state store uses; the package has no types of its own. */
declare module 'rocksdb-native' {
  export interface DatabaseOptions {
    /** Flushes and compactions at once. */
    maxBackgroundJobs?: number
    /** Buffers of rows in memory that exist at once, those on their way to the disk included; with one more RocksDB stops writers. */
    maxWriteBufferNumber?: number
    /** Size at which rows in memory are written out. */
    writeBufferSize?: number
    /** Beyond, files are closed and opened again as they are needed; a few files more are always open. */
    maxOpenFiles?: number
  }

  export interface ReadBatch {
    get(key: Uint8Array): Promise<Buffer | null>
    tryFlush(): void
  }

  export interface WriteBatch {
    tryPut(key: Uint8Array, value: Uint8Array): void
    tryDelete(key: Uint8Array): void
    flush(): Promise<void>
  }

  /** Bounds that are absent or empty do not bound. */
  export interface IteratorOptions {
    gte?: Uint8Array
    lt?: Uint8Array
    reverse?: boolean
    /** False: `value` of each row is null, and is not copied out of the database. */
    values?: boolean
    limit?: number
    /** Rows read at a time. */
    capacity?: number
  }

  /**
   * A stream of rows. What begins with an underscore is the package's own: its version is exact in package.json, and the tests of
   * `RowReader` hold what is done with it.
   */
  export interface RowIterator extends AsyncIterable<{ key: Buffer; value: Buffer }> {
    /** Rows of the next read; no more than the iterator was made with. */
    _capacity: number
    _read(done: (error: Error | null) => void): void
    /** Called for each row that was read, and with null at the end. */
    push(row: { key: Buffer; value: Buffer } | null): boolean
    readonly _readableState: { readAhead: boolean }
  }

  export interface BatchOptions {
    capacity: number
    /** The batch frees itself after its flush. */
    autoDestroy: true
  }

  export default class RocksDB {
    constructor(path: string, options?: DatabaseOptions)
    ready(): Promise<void>
    close(): Promise<void>
    /** A session that sees the database as it is now, until it is closed. */
    snapshot(): RocksDB
    read(options: BatchOptions): ReadBatch
    write(options: BatchOptions): WriteBatch
    iterator(options: IteratorOptions): RowIterator
    /** Resolves once every row in memory is on stable storage. */
    flush(): Promise<void>
    /** About how many bytes the rows between two keys have, older versions of them included. */
    approximateSize(
      start: Uint8Array,
      end: Uint8Array,
      options: { readonly includeMemtables: boolean; readonly includeFiles: boolean },
    ): Promise<number>
    getProperty(name: string): Promise<string>
  }
}
