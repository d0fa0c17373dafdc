/** The part of rocksdb-native that the state store uses; the package has no types of its own. */
declare module 'rocksdb-native' {
  export interface DatabaseOptions {
    /** Flushes and compactions that may run at once. */
    maxBackgroundJobs?: number
    /** Buffers of rows that may exist at once, those being flushed included. When one more is needed, RocksDB stops writers. */
    maxWriteBufferNumber?: number
    /** Size at which a buffer of rows is flushed. */
    writeBufferSize?: number
    /** With more files than this, RocksDB closes files and opens them again when they are needed. A few more are always open. */
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

  /** An absent or empty bound does not limit the range. */
  export interface IteratorOptions {
    gte?: Uint8Array
    lt?: Uint8Array
    reverse?: boolean
    /** False: `value` of each row is null; values are not copied out of the database. */
    values?: boolean
    limit?: number
    /** Rows of one read. */
    capacity?: number
  }

  /**
   * A stream of rows. Names with an underscore are private to the package. Its version is pinned in package.json, and the tests
   * of scans check how they are used.
   */
  export interface RowIterator {
    /** Rows of the next read; at most as many as the iterator was made with. */
    _capacity: number
    _open(done: (error?: Error | null) => void): void
    _read(done: (error?: Error | null) => void): void
    _destroy(done: (error?: Error | null) => void): void
    /** Called for each row that was read, and with null when fewer were there than requested. */
    push(row: { readonly key: Buffer; readonly value: Buffer } | null): boolean
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
    /** Merges the files that hold keys between two, or all of them. Resolves once that has ended. */
    compactRange(start?: Uint8Array, end?: Uint8Array): Promise<void>
    /** Estimates the bytes of the rows between two keys, older versions of them included. */
    approximateSize(
      start: Uint8Array,
      end: Uint8Array,
      options: { readonly includeMemtables: boolean; readonly includeFiles: boolean },
    ): Promise<number>
    getProperty(name: string): Promise<string>
  }
}
