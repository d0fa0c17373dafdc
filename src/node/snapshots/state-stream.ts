import { ReceivedRows } from '../../kv/index.ts'
import { crc32 } from '../../lib/checksum.ts'
import { refuseNewer } from '../codec/state-meta.ts'
import type { StateInstall, StateRow, StateView } from '../../ports/state-store.ts'

/**
 * A state as a stream of chunks, between nodes and in backups (src/node/backup/format.ts):
 *
 *   meta      u8 0, the state's meta
 *   rows      u8 1, then for each row u32 key length, u32 value length, key, value; rows ascend over the whole stream
 *   trailer   u8 2, f64 rows in all, f64 bytes of keys and values in all, u32 CRC-32 over all row chunks
 *
 * Numbers are little-endian. The meta comes first and once, the trailer last and once.
 */
const CHUNK_META = 0
const CHUNK_ROWS = 1
const CHUNK_TRAILER = 2

export const STATE_STREAM_FORMAT = 1

const ROW_HEADER_BYTES = 8
const TRAILER_BYTES = 1 + 8 + 8 + 4
const PAGE_ROWS = 4096

/** The stream does not match its trailer or its format. */
export class StateStreamError extends Error {
  override readonly name = 'StateStreamError'
}

export interface StateChunk {
  readonly kind: 'meta' | 'rows' | 'trailer'
  readonly chunk: Uint8Array
  readonly rows: number
  /** The key of the last row in the chunk; null for the meta and the trailer. */
  readonly lastKey: Uint8Array | null
}

/** Streams `view`, whose meta is `meta`, in chunks of about `chunkBytes`. The caller closes the view. */
export async function* stateChunks(view: StateView, meta: Uint8Array, chunkBytes: number): AsyncGenerator<StateChunk> {
  yield { kind: 'meta', chunk: Buffer.concat([Buffer.from([CHUNK_META]), meta]), rows: 0, lastKey: null }
  let rows = 0
  let bytes = 0
  let checksum = 0
  let start: Uint8Array | null = null
  for (;;) {
    const page: readonly StateRow[] = await view.scan({
      start,
      end: null,
      reverse: false,
      limit: PAGE_ROWS,
      bytesMax: chunkBytes,
    })
    const last = page.at(-1)
    if (last === undefined) break
    const chunk = encodeRows(page)
    rows += page.length
    bytes += chunk.length - 1 - page.length * ROW_HEADER_BYTES
    checksum = crc32(chunk, checksum)
    yield { kind: 'rows', chunk, rows: page.length, lastKey: last.key }
    start = Buffer.concat([last.key, Buffer.from([0])])
  }
  const trailer = Buffer.allocUnsafe(TRAILER_BYTES)
  trailer[0] = CHUNK_TRAILER
  trailer.writeDoubleLE(rows, 1)
  trailer.writeDoubleLE(bytes, 9)
  trailer.writeUInt32LE(checksum, 17)
  yield { kind: 'trailer', chunk: trailer, rows: 0, lastKey: null }
}

function encodeRows(rows: readonly StateRow[]): Buffer {
  let size = 1
  for (const { key, value } of rows) size += ROW_HEADER_BYTES + key.length + value.length
  const chunk = Buffer.allocUnsafe(size)
  chunk[0] = CHUNK_ROWS
  let offset = 1
  for (const { key, value } of rows) {
    chunk.writeUInt32LE(key.length, offset)
    chunk.writeUInt32LE(value.length, offset + 4)
    chunk.set(key, offset + ROW_HEADER_BYTES)
    chunk.set(value, offset + ROW_HEADER_BYTES + key.length)
    offset += ROW_HEADER_BYTES + key.length + value.length
  }
  return chunk
}

/** Writes a received stream into an install. Checks every row, and the whole stream against its trailer. */
export class StateReceiver {
  readonly received = new ReceivedRows()
  private readonly install: Pick<StateInstall, 'write'>
  private meta: Uint8Array | null = null
  private lastKey: Uint8Array | null = null
  private complete = false
  private rows = 0
  private bytes = 0
  private checksum = 0

  constructor(install: Pick<StateInstall, 'write'>) {
    this.install = install
  }

  /** How many rows have arrived, and the checksum of their chunks. */
  get taken(): { readonly rows: number; readonly checksum: number } {
    return { rows: this.rows, checksum: this.checksum }
  }

  /** Throws `StateStreamError`, or `UnreadableStateError`, for a chunk that does not fit; the install must then be aborted. */
  async accept(chunk: Uint8Array): Promise<void> {
    if (this.complete) throw new StateStreamError('a chunk follows the trailer')
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    switch (bytes[0]) {
      case CHUNK_META:
        if (this.meta !== null) throw new StateStreamError('the stream has two metas')
        this.meta = Buffer.from(bytes.subarray(1))
        // A state of a newer build may have rows of kinds that this one does not know. They would be taken for damage.
        refuseNewer(this.meta)
        return
      case CHUNK_ROWS: {
        if (this.meta === null) throw new StateStreamError('rows come before the meta')
        const rows = decodeRows(bytes)
        this.check(rows)
        this.rows += rows.length
        this.bytes += bytes.length - 1 - rows.length * ROW_HEADER_BYTES
        this.checksum = crc32(bytes, this.checksum)
        await this.install.write(rows)
        return
      }
      case CHUNK_TRAILER:
        this.checkTrailer(bytes)
        this.complete = true
        return
      default:
        throw new StateStreamError(`a chunk is of kind ${bytes[0] ?? 'none'}, which this version does not know`)
    }
  }

  /** The meta of a stream that has arrived whole. */
  finish(): Uint8Array {
    if (!this.complete || this.meta === null) throw new StateStreamError('the stream ends before its trailer')
    return this.meta
  }

  private check(rows: readonly StateRow[]): void {
    for (const { key, value } of rows) {
      this.received.accept(key, value)
      if (this.lastKey !== null && Buffer.compare(this.lastKey, key) >= 0)
        throw new StateStreamError('the rows are out of order')
      this.lastKey = key
    }
  }

  private checkTrailer(bytes: Buffer): void {
    const sound =
      bytes.length === TRAILER_BYTES &&
      bytes.readDoubleLE(1) === this.rows &&
      bytes.readDoubleLE(9) === this.bytes &&
      bytes.readUInt32LE(17) === this.checksum
    if (!sound) throw new StateStreamError('the rows do not match the trailer')
  }
}

function decodeRows(chunk: Buffer): StateRow[] {
  const rows: StateRow[] = []
  let offset = 1
  while (offset < chunk.length) {
    if (offset + ROW_HEADER_BYTES > chunk.length) throw new StateStreamError('a row is cut off')
    const keyEnd = offset + ROW_HEADER_BYTES + chunk.readUInt32LE(offset)
    const valueEnd = keyEnd + chunk.readUInt32LE(offset + 4)
    if (valueEnd > chunk.length) throw new StateStreamError('a row is cut off')
    rows.push({ key: chunk.subarray(offset + ROW_HEADER_BYTES, keyEnd), value: chunk.subarray(keyEnd, valueEnd) })
    offset = valueEnd
  }
  return rows
}
