import { setTimeout as delay } from 'node:timers/promises'
import { StorageError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type { Database } from './binding.ts'

/** Approximate memory of a row besides its key and value. */
const ROW_BYTES = 64
const SORTED_POLL_MS = 20

/** Approximate memory of a batch; a deletion has no value. */
export function batchBytes(rows: Iterable<{ readonly key: Uint8Array; readonly value?: Uint8Array }>): number {
  let bytes = 0
  for (const { key, value } of rows) bytes += ROW_BYTES + key.length + (value?.length ?? 0)
  return bytes
}

/**
 * Delays batches and flushes before RocksDB would stop their writer, for too many rows in memory or too many files that are not
 * compacted yet.
 *
 * A writer that RocksDB stops occupies a thread, and after a disk error RocksDB may never wake it. The process could not even
 * exit, because its exit waits for the thread. A call that waits here occupies nothing.
 */
export class WriteGate {
  private readonly database: Database
  private readonly bytesMax: number
  private closed = false
  /** Bytes in memory at RocksDB's last answer, and bytes admitted since then. */
  private seen = 0
  private since = 0

  constructor(database: Database, writeBufferBytes: number) {
    this.database = database
    this.bytesMax = 2 * writeBufferBytes
  }

  /** Resolves when a batch of `bytes` may be written. Only one call at a time. */
  async admit(bytes: number): Promise<void> {
    if (this.seen + this.since + bytes > this.bytesMax) {
      await this.look()
      if (this.seen > this.bytesMax) await this.flush()
      else await this.untilMerged()
    }
    this.since += bytes
  }

  /** Resolves once every row in memory is on stable storage. */
  async flush(): Promise<void> {
    await this.untilMerged()
    await this.database.flush()
    await this.look()
  }

  /** Fails the calls that wait. */
  close(): void {
    this.closed = true
  }

  private async look(): Promise<void> {
    this.seen = Number(await this.database.getProperty('rocksdb.cur-size-all-mem-tables'))
    this.since = 0
  }

  private async untilMerged(): Promise<void> {
    for (;;) {
      const files = Number(await this.database.getProperty('rocksdb.num-files-at-level0'))
      if (files < limits.stateFilesUnmergedMax) return
      if (this.closed) throw new StorageError('failed', 'The state is not open.')
      await delay(SORTED_POLL_MS)
    }
  }
}
