import type { IteratorOptions } from 'rocksdb-native'
import { limits } from '../../limits.ts'
import type { StateRange, StateRow } from '../../ports/state-store.ts'
import type { Database } from './binding.ts'
import { Cursor } from './cursor.ts'
import { RowReader } from './row-reader.ts'

/** The key of the meta value: the only empty key, so it is below all others. */
export const META_KEY = Buffer.alloc(0)
/** Above every key: no key begins with this byte. */
export const BEYOND_KEYS = Buffer.from([0xff])
/** The smallest key that a row can have. */
const LOWEST_KEY = Buffer.from([0])

type Bounds = Pick<StateRange, 'start' | 'end' | 'reverse'>

/** A reader, and the range that it has yet to read. */
interface OpenReader extends Bounds {
  readonly reader: RowReader
}

/** Reads rows in order. A scan that continues where the previous one ended takes over its reader. */
export class RowScan {
  private readonly database: Database
  private readonly rowsAtOnceMax: () => number
  private kept: OpenReader | null = null
  /** Recent size of the rows. */
  private rowBytes: number | null = null

  constructor(database: Database, rowsAtOnceMax: () => number) {
    this.database = database
    this.rowsAtOnceMax = rowsAtOnceMax
  }

  async rows(range: StateRange): Promise<StateRow[]> {
    if (isEmpty(range) || range.limit <= 0) return []
    const reader = this.takeOver(range) ?? this.open(range)
    const rows = await fill(range, reader).catch(async (error: unknown) => {
      await reader.close()
      throw error
    })
    await this.keep({ reader, ...rest(range, rows.at(-1)) })
    return rows
  }

  async close(): Promise<void> {
    const { kept } = this
    this.kept = null
    await kept?.reader.close()
  }

  private open(range: Bounds): RowReader {
    const size = { rowsMax: this.rowsAtOnceMax, rowBytes: this.rowBytes }
    return new RowReader(this.database, bounds(range), size)
  }

  private takeOver(range: Bounds): RowReader | null {
    const { kept } = this
    if (kept === null || !isSame(kept, range)) return null
    this.kept = null
    return kept.reader
  }

  /** Rows that turned out large are not kept but read again: a slow client may ask for the next page much later. */
  private async keep(kept: OpenReader): Promise<void> {
    const { reader } = kept
    const before = this.kept
    this.rowBytes = reader.latestRowBytes
    this.kept = reader.holdsTooMuch ? null : kept
    await before?.reader.close()
    if (reader.holdsTooMuch) await reader.close()
  }
}

/** Values in the order of `keys`; null for absent keys. */
export async function readMany(database: Database, keys: readonly Uint8Array[]): Promise<(Buffer | null)[]> {
  const batch = database.read({ capacity: keys.length, autoDestroy: true })
  const values = Promise.all(keys.map((key) => batch.get(key)))
  batch.tryFlush()
  return values
}

/** Only the keys, in order. RocksDB skips the values without copying them, so their size costs no memory. */
export async function scanKeys(database: Database, range: StateRange): Promise<Uint8Array[]> {
  const keys: Uint8Array[] = []
  if (isEmpty(range) || range.limit <= 0) return keys
  let bytes = 0
  const capacity = Math.min(range.limit, limits.keysReadAtOnceMax)
  const cursor = new Cursor(database, { ...bounds(range), values: false }, capacity)
  try {
    while (keys.length < range.limit && !cursor.hasEnded) {
      for (const { key } of await cursor.read(Math.min(range.limit - keys.length, capacity))) {
        bytes += key.length
        if (keys.length > 0 && bytes > range.bytesMax) return keys
        keys.push(key)
      }
    }
    return keys
  } finally {
    await cursor.close()
  }
}

async function fill({ limit, bytesMax }: StateRange, reader: RowReader): Promise<StateRow[]> {
  const rows: StateRow[] = []
  let bytes = 0
  while (rows.length < limit && (rows.length === 0 || bytes < bytesMax)) {
    reader.wantedRows = limit - rows.length
    reader.wantedBytes = bytesMax - bytes
    if (reader.peek() === null) await reader.readMore()
    const row = reader.peek()
    if (row === null) break
    const size = row.key.length + row.value.length
    if (rows.length > 0 && bytes + size > bytesMax) break
    reader.take(row)
    rows.push(row)
    bytes += size
  }
  return rows
}

function isEmpty({ start, end }: Bounds): boolean {
  return end !== null && Buffer.compare(end, start ?? LOWEST_KEY) <= 0
}

function isSame(one: Bounds, other: Bounds): boolean {
  return one.reverse === other.reverse && isSameKey(one.start, other.start) && isSameKey(one.end, other.end)
}

function isSameKey(one: Uint8Array | null, other: Uint8Array | null): boolean {
  return one === null || other === null ? one === other : Buffer.compare(one, other) === 0
}

/** The rest of a range after the row `last`. */
function rest({ start, end, reverse }: Bounds, last: StateRow | undefined): Bounds {
  if (last === undefined) return { start, end, reverse }
  if (reverse) return { start, end: last.key, reverse }
  return { start: Buffer.concat([last.key, Buffer.from([0])]), end, reverse }
}

function bounds({ start, end, reverse }: Bounds): IteratorOptions {
  const low = start === null || start.length === 0 ? LOWEST_KEY : start
  return { gte: low, reverse, ...(end === null ? {} : { lt: end }) }
}
