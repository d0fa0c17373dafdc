import { assert } from '../../../src/lib/assert.ts'
import { StorageError } from '../../../src/lib/errors.ts'
import { rowBytes, rowFromBytes, type RowKey } from '../../../src/kv/index.ts'
import type {
  CompactionOutcome,
  StateInstall,
  StateRange,
  StateRow,
  StateStore,
  StateView,
  StateWrite,
} from '../../../src/ports/state-store.ts'
import type { SimProcess } from '../world/process.ts'
import { Violation } from '../world/violation.ts'
import type { World } from '../world/world.ts'
import { Calls } from './calls.ts'
import type { DiskWeather } from './faults.ts'
import { StateImage, rowChanges, type StateDisk } from './state-disk.ts'

export interface StateStoreDependencies {
  readonly world: World
  readonly process: SimProcess
  readonly disk: StateDisk
  readonly weather: DiskWeather
  /** The store shows `image` from now on: after an open, a write or an install. */
  readonly onState: (image: StateImage) => void
  /** A write is about to reach the store. May end the process. */
  readonly onWrite: () => void
  /** An install is about to take effect. This may end the process, which leaves one of the two states. */
  readonly onCommit: () => void
}

/** At most this many writes stay unsynced: the real store flushes from time to time. */
const UNSYNCED_MAX = 64
/** Assumed size of a row on disk, besides key and value. */
const ROW_BYTES = 64

/** A state store that after a crash has all writes up to some point, but at least those that were flushed. */
export class SimStateStore implements StateStore {
  private readonly deps: StateStoreDependencies
  private image = new StateImage()
  private readonly calls: Calls
  private writing = false
  private installing = false
  private committing: { readonly image: StateImage } | null = null

  constructor(dependencies: StateStoreDependencies) {
    this.deps = dependencies
    this.calls = new Calls(dependencies.process, dependencies.world, dependencies.weather)
    dependencies.process.whenEnded(() => this.crash())
  }

  open(): Promise<Uint8Array | null> {
    const { disk } = this.deps
    return this.calls.run(0.2, () => {
      // Every opening makes new files, so a node does not start on a full disk.
      this.calls.useDisk('grow', 'opening the state', 'disk-state-error')
      if (disk.damaged) throw this.calls.poison('Corruption: block checksum mismatch')
      this.image = disk.current()
      this.deps.onState(this.image)
      return this.image.meta
    })
  }

  getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | null)[]> {
    // The content may be taken when the caller asks or when it is answered. Both are allowed, so both happen.
    const { process } = this.deps
    const early = process.random.chance(0.5) ? keys.map((key) => this.image.get(rowFromBytes(key))) : null
    return this.calls.run(this.readTime(), () => {
      this.calls.useDisk('read', 'reading the state', 'disk-state-error')
      return early ?? keys.map((key) => this.image.get(rowFromBytes(key)))
    })
  }

  write(writes: readonly StateWrite[], meta: Uint8Array): Promise<void> {
    const { world, process, disk, weather } = this.deps
    if (this.calls.refused !== null) return Promise.reject(this.calls.refused)
    if (this.writing || this.committing !== null) {
      world.fail(new Violation('port-contract', 'writes of the state come one at a time, and none during a commit'))
    }
    this.writing = true
    return this.calls.run(0.02 + process.random.exponential(weather.writeMs / 2), () => {
      this.writing = false
      this.calls.useDisk('grow', 'writing the state', 'disk-state-error')
      this.deps.onWrite()
      if (!process.alive) return
      const changes = rowChanges(writes)
      this.image.apply(changes, meta)
      disk.unsynced.push({ changes, meta })
      if (disk.unsynced.length > UNSYNCED_MAX) disk.sync(UNSYNCED_MAX / 2)
      this.deps.onState(this.image)
    })
  }

  flush(): Promise<void> {
    const { disk, process, weather } = this.deps
    const count = disk.unsynced.length
    const target = disk.unsynced[count - 1]
    return this.calls.run(0.1 + process.random.exponential(weather.writeMs * 2), () => {
      this.calls.useDisk('grow', 'flushing the state', 'disk-state-error')
      const at = target === undefined ? -1 : disk.unsynced.indexOf(target)
      disk.sync(at + 1)
    })
  }

  view(): Promise<StateView> {
    return this.calls.run(
      this.readTime(),
      () => new SimStateView(this.image.copy(), (run) => this.calls.run(this.readTime(), run)),
    )
  }

  beginInstall(): Promise<StateInstall> {
    return this.calls.run(this.readTime(), () => {
      assert(!this.installing, 'one install at a time')
      this.calls.useDisk('grow', 'beginning an install', 'disk-state-error')
      this.installing = true
      return new SimStateInstall({
        write: (run) =>
          this.calls.run(this.readTime(), () => {
            this.calls.useDisk('grow', 'writing an install', 'disk-state-error')
            run()
          }),
        abort: (run) => this.calls.run(this.readTime(), run),
        commit: (rows, meta) => this.commit(rows, meta),
        ended: () => {
          this.installing = false
        },
      })
    })
  }

  compact(): Promise<CompactionOutcome> {
    return Promise.resolve('nothing')
  }

  sizeBytes(): number {
    return this.image.size * ROW_BYTES
  }

  close(): Promise<void> {
    return this.calls.close(() => this.deps.disk.sync(this.deps.disk.unsynced.length))
  }

  /** The new state may be visible some time before the caller is told. */
  private async commit(rows: ReadonlyMap<string, Uint8Array>, meta: Uint8Array): Promise<void> {
    const { process, weather, world } = this.deps
    if (this.writing) world.fail(new Violation('port-contract', 'no write of the state runs while an install commits'))
    this.committing = { image: StateImage.of(rows, meta) }
    await this.calls.run(1 + process.random.exponential(weather.writeMs * 4), () => {
      this.calls.useDisk('grow', 'committing an install', 'disk-state-error')
      this.deps.onCommit()
      if (!process.alive) return
      this.swap()
    })
    await this.calls.run(process.random.exponential(weather.writeMs * 4), () => undefined)
  }

  private swap(): void {
    const { disk } = this.deps
    if (this.committing === null) return
    disk.unsynced = []
    disk.durable = this.committing.image.copy()
    this.image = this.committing.image
    this.committing = null
    this.deps.onState(this.image)
  }

  /** The process ends while one state replaces another, which leaves one of the two. */
  private crash(): void {
    const { process, disk } = this.deps
    if (this.committing === null || process.random.chance(0.5)) return
    disk.unsynced = []
    disk.durable = this.committing.image
  }

  private readTime(): number {
    return 0.01 + this.deps.process.random.exponential(this.deps.weather.readMs)
  }
}

class SimStateView implements StateView {
  private readonly image: StateImage
  private readonly call: <T>(run: () => T) => Promise<T>
  private closed = false

  constructor(image: StateImage, call: <T>(run: () => T) => Promise<T>) {
    this.image = image
    this.call = call
  }

  get meta(): Uint8Array | null {
    return this.image.meta
  }

  getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | null)[]> {
    return this.call(() => {
      if (this.closed) throw new StorageError('failed', 'the view is closed')
      return keys.map((key) => this.image.get(rowFromBytes(key)))
    })
  }

  scan(range: StateRange): Promise<readonly StateRow[]> {
    return this.read(range, 'rows')
  }

  async keys(range: StateRange): Promise<readonly Uint8Array[]> {
    return (await this.read(range, 'keys')).map(({ key }) => key)
  }

  private read(range: StateRange, counts: 'keys' | 'rows'): Promise<readonly StateRow[]> {
    return this.call(() => {
      if (this.closed) throw new StorageError('failed', 'the view is closed')
      return rowsOf(this.image, range, counts)
    })
  }

  fractionUpTo(key: Uint8Array): Promise<number> {
    if (this.closed) return Promise.reject(new StorageError('failed', 'the view is closed'))
    const keys = this.image.keys()
    const last = rowFromBytes(key)
    return Promise.resolve(keys.filter((one) => one <= last).length / Math.max(1, keys.length))
  }

  sizeBytes(): Promise<number> {
    return this.call(() => {
      if (this.closed) throw new StorageError('failed', 'the view is closed')
      let bytes = 0
      for (const key of this.image.keys()) bytes += key.length + (this.image.get(key)?.length ?? 0)
      return bytes
    })
  }

  close(): Promise<void> {
    this.closed = true
    return this.call(() => undefined)
  }
}

function rowsOf(image: StateImage, range: StateRange, counts: 'keys' | 'rows'): StateRow[] {
  const start = range.start === null ? null : rowFromBytes(range.start)
  const end = range.end === null ? null : rowFromBytes(range.end)
  const keys = image.keysBetween(start, end)
  if (range.reverse) keys.reverse()
  const rows: StateRow[] = []
  let bytes = 0
  for (const key of keys) {
    const value = image.get(key)
    if (value === null) continue
    bytes += key.length + (counts === 'rows' ? value.length : 0)
    if (rows.length >= range.limit || (rows.length > 0 && bytes > range.bytesMax)) break
    rows.push({ key: rowBytes(key as RowKey), value })
  }
  return rows
}

class SimStateInstall implements StateInstall {
  private readonly parts: {
    readonly write: (run: () => void) => Promise<void>
    readonly abort: (run: () => void) => Promise<void>
    readonly commit: (rows: ReadonlyMap<string, Uint8Array>, meta: Uint8Array) => Promise<void>
    readonly ended: () => void
  }
  private readonly rows = new Map<string, Uint8Array>()
  private lastKey = ''

  constructor(parts: SimStateInstall['parts']) {
    this.parts = parts
  }

  write(rows: readonly StateRow[]): Promise<void> {
    return this.parts.write(() => {
      for (const { key, value } of rows) {
        const name = rowFromBytes(key)
        assert(this.rows.size === 0 || name > this.lastKey, 'the rows of an install ascend')
        this.lastKey = name
        this.rows.set(name, value)
      }
    })
  }

  async commit(meta: Uint8Array): Promise<void> {
    await this.parts.commit(this.rows, meta)
    this.parts.ended()
  }

  abort(): Promise<void> {
    return this.parts.abort(() => {
      this.rows.clear()
      this.parts.ended()
    })
  }
}
