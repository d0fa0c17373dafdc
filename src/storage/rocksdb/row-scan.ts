import type { IteratorOptions } from 'rocksdb-native'
import type { StateRange, StateRow } from '../../ports/state-store.ts'
import type { Database } from './binding.ts'

/** The key of the meta value: the only empty key, so below all others. */
export const META_KEY = Buffer.alloc(0)
/** Above every key: none begins with this byte. */
export const BEYOND_KEYS = Buffer.from([0xff])
/** The smallest key that a row can have. */
const LOWEST_KEY = Buffer.from([0])
/** Rows read at a time while nothing is known of their size, and the bounds afterwards. */
const CAPACITY_FIRST = 8
const CAPACITY_MAX = 1024
/** What one read from an iterator should bring at most. */
const READ_BYTES = 256 * 1024

/**
 * Reads rows in order. RocksDB's iterator reads a fixed number of rows ahead, however large they are;
 * so the first few rows tell how many to ask for, and what was learnt serves the next scan of the same view.
 */
export class RowScan {
  private readonly database: Database
  private rowBytes: number | null = null

  constructor(database: Database) {
    this.database = database
  }

  async rows(range: StateRange): Promise<StateRow[]> {
    const rows: StateRow[] = []
    if (isEmpty(range) || range.limit <= 0) return rows
    let bytes = 0
    for (;;) {
      const wanted = range.limit - rows.length
      const capacity = this.capacity(wanted, range.bytesMax - bytes)
      const isProbe = this.rowBytes === null
      const limit = isProbe ? Math.min(wanted, capacity) : wanted
      let count = 0
      for await (const row of this.database.iterator({ ...bounds(range, rows.at(-1)?.key), limit, capacity })) {
        const size = row.key.length + row.value.length
        if (rows.length > 0 && bytes + size > range.bytesMax) return rows
        rows.push(row)
        bytes += size
        count += 1
        // Leaving now spares the iterator a read that would find nothing.
        if (count === limit) break
      }
      if (count > 0) this.rowBytes = Math.max(1, bytes / rows.length)
      if (count < limit || rows.length >= range.limit) return rows
    }
  }

  private capacity(wanted: number, bytesLeft: number): number {
    if (this.rowBytes === null) return Math.min(wanted, CAPACITY_FIRST)
    const fitting = Math.ceil(Math.min(READ_BYTES, Math.max(bytesLeft, 1)) / this.rowBytes) + 1
    return Math.max(1, Math.min(wanted, fitting, CAPACITY_MAX))
  }
}

/** Keys alone in order. RocksDB passes over the values and copies none of them, so their size does not count in memory. */
export async function scanKeys(database: Database, range: StateRange): Promise<Uint8Array[]> {
  const keys: Uint8Array[] = []
  if (isEmpty(range) || range.limit <= 0) return keys
  let bytes = 0
  const { limit } = range
  const capacity = Math.min(limit, CAPACITY_MAX)
  for await (const { key } of database.iterator({ ...bounds(range, undefined), values: false, limit, capacity })) {
    bytes += key.length
    if (keys.length > 0 && bytes > range.bytesMax) break
    keys.push(key)
    // Leaving now spares the iterator a read that would find nothing.
    if (keys.length === limit) break
  }
  return keys
}

function isEmpty({ start, end }: StateRange): boolean {
  return end !== null && Buffer.compare(end, start ?? LOWEST_KEY) <= 0
}

/** The bounds of what is left of `range` after the row with key `done`. */
function bounds({ start, end, reverse }: StateRange, done: Buffer | Uint8Array | undefined): IteratorOptions {
  const low = start === null || start.length === 0 ? LOWEST_KEY : start
  if (reverse) {
    const high = done ?? end
    return { gte: low, reverse, ...(high === null ? {} : { lt: high }) }
  }
  return { ...(done === undefined ? { gte: low } : { gt: done }), ...(end === null ? {} : { lt: end }) }
}
