import { assert } from '../../lib/assert.ts'
import type { BoundedReads, RangeRead, RowKey, Workspace } from '../../kv/index.ts'
import { isHistoryRow, rowBytes } from '../../kv/index.ts'
import { limits } from '../../limits.ts'
import type { StateStore, StateWrite } from '../../ports/state-store.ts'
import { type PresentRow, presentRows } from './present-rows.ts'
import type { RowCache } from './row-cache.ts'

type Changes = Map<RowKey, Uint8Array | null>

/** For how many appended batches rows are read ahead after one that was missing. */
const READ_AHEAD_STEPS = 64

/** Rows that changed while a watch was open. `all`: the whole state was replaced. */
export interface DirtyRows {
  readonly rows: Set<RowKey>
  all: boolean
}

interface Replacement {
  readonly ended: Promise<void>
  readonly end: () => void
  readonly fail: (error: Error) => void
}

/**
 * The rows of the state as the applier has left them: changes on their way to the store, over a cache, over the store.
 *
 * Changes are gathered in `gathered` while an earlier batch (`writing`) is being written. Both are visible to every lookup, so nobody waits
 * for a write. Guarantee: the store receives the changes in order, each batch whole, with the meta that belongs to it.
 */
export class Rows implements Workspace {
  private readonly store: StateStore
  private readonly cache: RowCache
  private gathered: Changes = new Map()
  private gatheredBytes = 0
  private writing: Changes | null = null
  /** What the present commands may look at. It is kept here because the cache may drop any row at any time. */
  private loaded: Changes = new Map()
  private ranges = new Map<string, readonly RowKey[]>()
  private exceeded = false
  /** Grows with every change: a value read from the store may be cached only if nothing has changed meanwhile. */
  private changes = 0
  private readonly watches = new Set<DirtyRows>()
  /** Rows that are read ahead of the commands that look at them, each with the end of its read. A row that changes is no longer among them. */
  private readonly ahead = new Map<RowKey, Promise<void>>()
  private missedLately = 0
  /** Another state is being swapped in; null otherwise. Ends with `reset`. */
  private replacement: Replacement | null = null

  constructor(store: StateStore, cache: RowCache) {
    this.store = store
    this.cache = cache
  }

  /** The row, if it is known without the store: its bytes, or null when it is absent. Undefined when the store must be asked. */
  peek(row: RowKey): Uint8Array | null | undefined {
    const gathered = this.gathered.get(row)
    if (gathered !== undefined) return gathered
    const writing = this.writing?.get(row)
    if (writing !== undefined) return writing
    return this.cache.get(row)
  }

  /** Records which rows change from now on, until `unwatch`. */
  watch(): DirtyRows {
    const watch = { rows: new Set<RowKey>(), all: false }
    this.watches.add(watch)
    return watch
  }

  unwatch(dirtyRows: DirtyRows): void {
    this.watches.delete(dirtyRows)
  }

  /** Looks up rows in the store, for reads that run beside the applier. Caches them only when no change interferes. */
  async fetch(rows: readonly RowKey[]): Promise<readonly (Uint8Array | null)[]> {
    await this.replacement?.ended
    const changesBefore = this.changes
    // While a change is on its way, lookups see it rather than the store's old value. The old value must not be cached: it would still be
    // there after the change has arrived.
    const isSettled = rows.every((row) => !this.gathered.has(row) && this.writing?.has(row) !== true)
    const values = await this.store.getMany(rows.map(rowBytes))
    if (isSettled && this.changes === changesBefore) this.remember(rows, values)
    return values
  }

  /** Keeps a row that is known now until `release`. Returns whether it is known; if not, it has to be loaded. */
  pin(row: RowKey): boolean {
    const known = this.peek(row)
    if (known === undefined) return this.loaded.has(row)
    this.loaded.set(row, known)
    return true
  }

  /** Whether reading ahead is worth its while: of late, rows had to be read. */
  get isMissingRows(): boolean {
    return this.missedLately > 0
  }

  /** Begins to read those of `rows` that are not known, for commands that are not committed yet. What arrives goes to the cache. */
  readAhead(rows: readonly RowKey[]): void {
    if (this.isReplacing) return
    this.missedLately -= 1
    const missing = new Set<RowKey>()
    for (const row of rows) {
      // Their size is unknown.
      if (this.ahead.size + missing.size >= limits.rowsLoadedAtOnceMax) break
      if (!this.ahead.has(row) && !this.isKnown(row)) missing.add(row)
    }
    if (missing.size === 0) return
    this.missedLately = READ_AHEAD_STEPS
    const names = [...missing]
    const read: Promise<void> = this.store.getMany(names.map(rowBytes)).then(
      (values) => {
        for (const [at, row] of names.entries()) {
          if (this.ahead.get(row) !== read) continue
          this.ahead.delete(row)
          this.cache.set(row, values[at] ?? null)
        }
      },
      () => {
        // A failure of the store is reported where it is watched, and a command that needs the row reads it itself.
        for (const row of names) if (this.ahead.get(row) === read) this.ahead.delete(row)
      },
    )
    for (const row of names) this.ahead.set(row, read)
  }

  /** Loads `rows`, so that `get` finds them; resolves to the number of bytes. Only the applier calls it, between its batches. */
  async load(rows: readonly RowKey[]): Promise<number> {
    const changesBefore = this.changes
    const missing = await this.awaitAhead(rows)
    if (missing.length > 0) {
      this.missedLately = READ_AHEAD_STEPS
      const values = await this.store.getMany(missing.map(rowBytes))
      for (const [at, row] of missing.entries()) this.loaded.set(row, values[at] ?? null)
      this.remember(missing, values)
    }
    assert(this.changes === changesBefore, 'nothing changes rows while the applier loads some')
    return rows.reduce((bytes, row) => bytes + (this.loaded.get(row)?.length ?? 0), 0)
  }

  /** Waits for those of `rows` that are read ahead; resolves to the others, and those that the cache did not keep. */
  private async awaitAhead(rows: readonly RowKey[]): Promise<readonly RowKey[]> {
    const reads = new Set<Promise<void>>()
    for (const row of rows) {
      const read = this.ahead.get(row)
      if (read !== undefined) reads.add(read)
    }
    if (reads.size === 0) return rows
    await Promise.all(reads)
    return rows.filter((row) => !this.pin(row))
  }

  private isKnown(row: RowKey): boolean {
    return this.gathered.has(row) || this.writing?.has(row) === true || this.cache.has(row)
  }

  /** Loads which rows of a range are present. Only the applier calls it, between its batches. */
  loadRange(range: RangeRead): Promise<unknown> {
    return this.findRange(range, 0)
  }

  /** Loads what one command may look at, until it has too many bytes. Only the applier calls it, between its batches. */
  async loadBounded({ rows, ranges, bytesMax }: BoundedReads): Promise<void> {
    let left = bytesMax - (await this.loadUpTo(rows, bytesMax))
    for (const range of ranges) {
      if (left < 0) break
      const bytesOfRange = Math.min(left, range.bytesMax)
      const present = await this.findRange(range, bytesOfRange)
      const names = present.map(({ row }) => row)
      if (range.bytesMax === 0) {
        left -= names.reduce((bytes, { length }) => bytes + length, 0)
        continue
      }
      for (const { row, bytes } of present) if (bytes !== undefined) this.loaded.set(row, bytes)
      left -= await this.loadUpTo(names, bytesOfRange)
    }
    this.exceeded = left < 0
  }

  /** Keeps which rows of a range are present, and returns them; those that have the first `valueBytesMax` bytes or so with their bytes. */
  private async findRange(range: RangeRead, valueBytesMax: number): Promise<readonly PresentRow[]> {
    const changesBefore = this.changes
    // Taken before the view is opened: changes that reach the store meanwhile are included here all the same.
    const changes = this.writing === null ? [this.gathered] : [this.writing, this.gathered]
    const view = await this.store.view()
    try {
      const present = await presentRows(range, view, changes, valueBytesMax)
      this.ranges.set(
        rangeName(range),
        present.map(({ row }) => row),
      )
      assert(this.changes === changesBefore, 'nothing changes rows while the applier loads a range')
      return present
    } finally {
      await view.close()
    }
  }

  /** Loads the first of `rows`, up to the one that exceeds `bytesMax`; resolves to the bytes of those, their names included. */
  private async loadUpTo(rows: readonly RowKey[], bytesMax: number): Promise<number> {
    let bytes = 0
    for (let at = 0; at < rows.length; at += limits.rowsLoadedAtOnceMax) {
      const some = rows.slice(at, at + limits.rowsLoadedAtOnceMax)
      const missing = some.filter((row) => !this.pin(row))
      if (missing.length > 0) await this.load(missing)
      for (const row of some) {
        bytes += row.length + (this.get(row)?.length ?? 0)
        if (bytes > bytesMax) return bytes
      }
    }
    return bytes
  }

  get isExceeded(): boolean {
    return this.exceeded
  }

  get(row: RowKey): Uint8Array | null {
    // Each row of a read set is in `loaded`; it was changed since then if it is in `gathered` too.
    const changed = this.gathered.get(row)
    const bytes = changed === undefined ? this.loaded.get(row) : changed
    assert(bytes !== undefined, 'a command looks only at rows of its read set')
    return bytes
  }

  put(row: RowKey, bytes: Uint8Array): void {
    this.change(row, bytes)
  }

  remove(row: RowKey): void {
    this.change(row, null)
  }

  rowsIn(range: RangeRead): readonly RowKey[] {
    const rows = this.ranges.get(rangeName(range))
    assert(rows !== undefined, 'a command looks only at ranges of its read set')
    return rows
  }

  /** The commands for which rows and ranges were loaded have been executed. */
  release(): void {
    this.loaded = new Map()
    if (this.ranges.size > 0) this.ranges = new Map()
    this.exceeded = false
  }

  get waitingBytes(): number {
    return this.gatheredBytes
  }

  /** The number of rows that will go to the store in one batch. */
  get waitingRows(): number {
    return this.gathered.size
  }

  /** How many times a row has been changed so far. */
  get changeCount(): number {
    return this.changes
  }

  get isClean(): boolean {
    return this.gathered.size === 0 && this.writing === null
  }

  get isWriting(): boolean {
    return this.writing !== null
  }

  /** Writes all gathered changes to the store, in one batch with `meta`. */
  async flush(meta: Uint8Array): Promise<void> {
    assert(this.writing === null, 'one batch at a time is on its way to the store')
    this.writing = this.gathered
    this.gathered = new Map()
    this.gatheredBytes = 0
    const writes: StateWrite[] = []
    for (const [row, bytes] of this.writing) {
      const key = rowBytes(row)
      writes.push(bytes === null ? { type: 'delete', key } : { type: 'put', key, value: bytes })
    }
    await this.store.write(writes, meta)
    this.writing = null
  }

  get isReplacing(): boolean {
    return this.replacement !== null
  }

  /**
   * Swaps another state in. Meanwhile nobody can tell from which of the two states the store answers. So lookups wait until `reset`, which
   * happens in one step with the change to the new state's revision. Lookups in progress are void.
   */
  async replace(commit: () => Promise<void>): Promise<void> {
    this.replacement = beginReplacement()
    this.invalidate()
    await commit()
  }

  /** The store holds another state now. */
  reset(): void {
    assert(this.isClean, 'no change is on its way when the state is replaced')
    this.invalidate()
    this.cache.clear()
    this.replacement?.end()
    this.replacement = null
  }

  /** Waiting lookups fail with `error`. */
  close(error: Error): void {
    this.replacement?.fail(error)
  }

  private invalidate(): void {
    this.changes += 1
    for (const dirtyRows of this.watches) dirtyRows.all = true
    this.ahead.clear()
  }

  private change(row: RowKey, bytes: Uint8Array | null): void {
    this.changes += 1
    for (const dirtyRows of this.watches) dirtyRows.rows.add(row)
    if (this.ahead.size > 0) this.ahead.delete(row)
    this.gathered.set(row, bytes)
    this.gatheredBytes += row.length + (bytes?.length ?? 0)
    // Written once and seldom read: it would only push out rows that are in use.
    if (!isHistoryRow(row)) this.cache.set(row, bytes)
  }

  private remember(rows: readonly RowKey[], values: readonly (Uint8Array | null)[]): void {
    for (const [at, row] of rows.entries()) this.cache.set(row, values[at] ?? null)
  }
}

function beginReplacement(): Replacement {
  let end: Replacement['end'] = () => undefined
  let fail: Replacement['fail'] = () => undefined
  const ended = new Promise<void>((resolve, reject) => {
    end = resolve
    fail = reject
  })
  // It may reject while nobody waits for it.
  ended.catch(() => undefined)
  return { ended, end, fail }
}

function rangeName({ start, end, limit }: RangeRead): string {
  return `${limit}:${start.length}:${start}${end ?? ''}:${end === null}`
}
