import { assert } from '../../lib/assert.ts'
import { StorageError } from '../../lib/errors.ts'
import type {
  CompactionOutcome,
  StateInstall,
  StateRange,
  StateRow,
  StateStore,
  StateView,
  StateWrite,
} from '../../ports/state-store.ts'

/** Rows in the order of their keys. A table that a view has seen is never changed: the next write works on a copy. */
interface Table {
  rows: StateRow[]
  bytes: number
  meta: Uint8Array | null
  shared: boolean
}

/** An ordered map in memory that lives as long as this object. For tests, and for nodes embedded in another process. */
export class MemoryStateStore implements StateStore {
  private table: Table = emptyTable()
  private opened = false
  private installing = false

  async open(): Promise<Uint8Array | null> {
    assert(!this.opened, 'a state is opened once')
    this.opened = true
    this.installing = false
    return this.table.meta
  }

  async getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | null)[]> {
    this.checkOpen()
    return valuesOf(this.table.rows, keys)
  }

  async write(writes: readonly StateWrite[], meta: Uint8Array): Promise<void> {
    this.checkOpen()
    if (this.table.shared) this.table = { ...this.table, rows: [...this.table.rows], shared: false }
    for (const write of writes) applyWrite(this.table, write)
    this.table.meta = Buffer.from(meta)
  }

  async flush(): Promise<void> {
    this.checkOpen()
  }

  async view(): Promise<StateView> {
    this.checkOpen()
    this.table.shared = true
    return new MemoryView(this.table)
  }

  async beginInstall(): Promise<StateInstall> {
    this.checkOpen()
    assert(!this.installing, 'one install runs at a time')
    this.installing = true
    const table = emptyTable()
    const end = (): void => {
      this.checkOpen()
      assert(this.installing, 'an install ends once')
      this.installing = false
    }
    return {
      write: async (rows) => {
        this.checkOpen()
        for (const row of rows) appendRow(table, row)
      },
      commit: async (meta) => {
        end()
        table.meta = Buffer.from(meta)
        this.table = table
      },
      abort: async () => end(),
    }
  }

  async compact(): Promise<CompactionOutcome> {
    this.checkOpen()
    return 'nothing'
  }

  sizeBytes(): number {
    return this.table.bytes
  }

  async close(): Promise<void> {
    this.opened = false
  }

  private checkOpen(): void {
    if (!this.opened) throw new StorageError('failed', 'The state is not open.')
  }
}

class MemoryView implements StateView {
  readonly meta: Uint8Array | null
  private readonly bytes: number
  private rows: readonly StateRow[] | null

  constructor(table: Table) {
    this.meta = table.meta
    this.bytes = table.bytes
    this.rows = table.rows
  }

  async getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | null)[]> {
    if (this.rows === null) throw new StorageError('failed', 'The view is closed.')
    return valuesOf(this.rows, keys)
  }

  async scan(range: StateRange): Promise<readonly StateRow[]> {
    return this.select(range, ({ key, value }) => key.length + value.length)
  }

  async keys(range: StateRange): Promise<readonly Uint8Array[]> {
    return this.select(range, ({ key }) => key.length).map(({ key }) => key)
  }

  private select(range: StateRange, sizeOf: (row: StateRow) => number): StateRow[] {
    if (this.rows === null) throw new StorageError('failed', 'The view is closed.')
    const rows = this.rows
    const begin = range.start === null ? 0 : positionOf(rows, range.start)
    const end = range.end === null ? rows.length : positionOf(rows, range.end)
    const found: StateRow[] = []
    let bytes = 0
    for (let i = 0; i < end - begin && found.length < range.limit; i++) {
      const row = rows[range.reverse ? end - 1 - i : begin + i]
      assert(row !== undefined, 'a scan stays inside the table')
      bytes += sizeOf(row)
      if (found.length > 0 && bytes > range.bytesMax) break
      found.push(row)
    }
    return found
  }

  async fractionUpTo(key: Uint8Array): Promise<number> {
    if (this.rows === null) throw new StorageError('failed', 'The view is closed.')
    const { length } = this.rows
    return length === 0 ? 1 : Math.min(positionOf(this.rows, key) + 1, length) / length
  }

  async sizeBytes(): Promise<number> {
    if (this.rows === null) throw new StorageError('failed', 'The view is closed.')
    return this.bytes
  }

  async close(): Promise<void> {
    this.rows = null
  }
}

function emptyTable(): Table {
  return { rows: [], bytes: 0, meta: null, shared: false }
}

function valuesOf(rows: readonly StateRow[], keys: readonly Uint8Array[]): readonly (Uint8Array | null)[] {
  return keys.map((key) => {
    const row = rows[positionOf(rows, key)]
    return row !== undefined && Buffer.compare(row.key, key) === 0 ? row.value : null
  })
}

/** The position of the first row whose key is not below `key`. */
function positionOf(rows: readonly StateRow[], key: Uint8Array): number {
  let low = 0
  let high = rows.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const row = rows[middle]
    assert(row !== undefined, 'a search stays inside the table')
    if (Buffer.compare(row.key, key) < 0) low = middle + 1
    else high = middle
  }
  return low
}

function applyWrite(table: Table, write: StateWrite): void {
  assert(write.key.length > 0, 'a key is not empty')
  const at = positionOf(table.rows, write.key)
  const present = table.rows[at]
  const exists = present !== undefined && Buffer.compare(present.key, write.key) === 0
  if (exists) table.bytes -= present.key.length + present.value.length
  if (write.type === 'delete') {
    if (exists) table.rows.splice(at, 1)
    return
  }
  const row = copyRow(write)
  table.rows.splice(at, exists ? 1 : 0, row)
  table.bytes += row.key.length + row.value.length
}

function appendRow(table: Table, row: StateRow): void {
  const before = table.rows.at(-1)
  assert(row.key.length > 0, 'a key is not empty')
  assert(before === undefined || Buffer.compare(before.key, row.key) < 0, 'the keys of an install ascend')
  table.rows.push(copyRow(row))
  table.bytes += row.key.length + row.value.length
}

/** Callers pass slices of large buffers, which must not be kept alive by a row. */
function copyRow(row: StateRow): StateRow {
  return { key: Buffer.from(row.key), value: Buffer.from(row.value) }
}
