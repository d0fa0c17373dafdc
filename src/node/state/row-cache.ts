import type { RowKey } from '../../kv/index.ts'
import { type HashKey, KeyedHash } from '../../lib/keyed-hash.ts'
import { FlatRows } from './flat-rows.ts'
import { LargeRows } from './large-rows.ts'

/** Which part of the budget is for small rows. */
const FLAT_SHARE = 2 / 3

/** Recently used rows, limited by bytes. Absent rows are remembered too (as `null`). */
export class RowCache {
  private readonly flat: FlatRows
  private readonly large: LargeRows

  constructor(bytesMax: number, hashKey: HashKey) {
    this.flat = new FlatRows(bytesMax * FLAT_SHARE, new KeyedHash(hashKey))
    this.large = new LargeRows(bytesMax * (1 - FLAT_SHARE))
  }

  /** The row's bytes; null when it is known to be absent; undefined when nothing is known. */
  get(row: RowKey): Uint8Array | null | undefined {
    const bytes = this.flat.get(row)
    return bytes === undefined ? this.large.get(row) : bytes
  }

  has(row: RowKey): boolean {
    return this.flat.has(row) || this.large.get(row) !== undefined
  }

  set(row: RowKey, bytes: Uint8Array | null): void {
    if (this.flat.takes(row.length + (bytes?.length ?? 0))) {
      this.flat.set(row, bytes)
      this.large.delete(row)
    } else {
      this.flat.delete(row)
      this.large.set(row, bytes)
    }
  }

  clear(): void {
    this.flat.clear()
    this.large.clear()
  }
}
