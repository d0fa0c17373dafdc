import type { Key } from '../../kv/index.ts'
import { limits } from '../../limits.ts'
import type { ImportRecord } from './import-record.ts'

/** Records that are written as one change. No key is in it twice. */
export interface ImportChunk {
  /** At least one. */
  readonly records: readonly ImportRecord[]
  readonly keys: ReadonlySet<Key>
  /** Of keys and values. */
  readonly bytes: number
}

/**
 * Gathers the records of a stream into chunks. Where a chunk ends depends on the records alone, not on when they arrive: a retry of the same
 * stream has the same chunks.
 */
export class ImportChunks {
  private records: ImportRecord[] = []
  private keys = new Set<Key>()
  private bytes = 0

  /** Adds the next record. Returns the chunk that ended before it; null when it joins the others. */
  add(record: ImportRecord): ImportChunk | null {
    const bytes = record.key.length + record.value.length
    const isFull = this.records.length === limits.importChunkRecordsMax
    // A change has one revision, so it writes no key twice.
    const fits = !isFull && this.bytes + bytes <= limits.importChunkBytesMax && !this.keys.has(record.key)
    const ended = fits ? null : this.take()
    this.records.push(record)
    this.keys.add(record.key)
    this.bytes += bytes
    return ended
  }

  /** The line of the first record that is in no chunk yet; null when there is none. */
  get firstLine(): number | null {
    return this.records[0]?.line ?? null
  }

  /** The chunk at the end of the stream; null when nothing is left. */
  take(): ImportChunk | null {
    const { records, keys, bytes } = this
    this.records = []
    this.keys = new Set()
    this.bytes = 0
    return records.length === 0 ? null : { records, keys, bytes }
  }
}
