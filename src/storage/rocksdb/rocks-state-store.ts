import { setTimeout as delay } from 'node:timers/promises'
import { assert, type InvariantError } from '../../lib/assert.ts'
import { deferred } from '../../lib/deferred.ts'
import { StorageError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type {
  CompactionOutcome,
  StateInstall,
  StateRow,
  StateStore,
  StateView,
  StateWrite,
} from '../../ports/state-store.ts'
import { DamagedStateError, type Database, loadRocksDb, type RocksDbClass, stateFault } from './binding.ts'
import { Compaction } from './compaction.ts'
import { openDatabase } from './database.ts'
import { DiskWatch, type DiskWatchDependencies } from './disk-watch.ts'
import { Generations, nodeStateFiles, type StateFiles } from './generations.ts'
import { rowsAtOnceMax } from './row-reader.ts'
import { RocksView } from './rocks-view.ts'
import { META_KEY, readMany, RowScan } from './row-scan.ts'
import { batchBytes, WriteGate } from './write-gate.ts'

export interface RocksStateStoreOptions {
  /** A directory for the state alone. It is created when it does not exist. */
  readonly directory: string
  /** Rows gathered in memory before they are written out as one file. Two such buffers may exist. */
  readonly writeBufferBytes?: number
  /** A write or a flush is examined after this time. */
  readonly slowMs?: number
  /** Files that each database keeps open. */
  readonly openFilesMax?: number
  /** The expected maximum size of a row, which limits how many rows are read at once. Default: a value of the default maximum. */
  readonly rowBytesMax?: number
}

/** All are optional. */
export interface RocksStateStoreDependencies extends DiskWatchDependencies {
  readonly files?: StateFiles
  readonly load?: () => Promise<{ default: RocksDbClass }>
}

const WRITE_BUFFER_BYTES = 64 * 1024 * 1024
/** The size on disk is looked up again after this many writes. */
const SIZE_EVERY_WRITES = 256

/** One database, and the number of its users. */
interface Generation {
  readonly number: number
  readonly database: Database
  readonly gate: WriteGate
  /** Views and calls in progress. */
  users: number
  /** Called when the last user has gone. Set when the generation was replaced. */
  onUnused: (() => void) | null
}

/** The state in RocksDB. Rows and meta share one key space and are written in one batch, so no crash can separate them. */
export class RocksStateStore implements StateStore {
  private readonly options: RocksStateStoreOptions
  private readonly generations: Generations
  private readonly load: (() => Promise<{ default: RocksDbClass }>) | undefined
  private readonly disk: DiskWatch
  private rocks: RocksDbClass | null = null
  private current: Generation | null = null
  private readonly views = new Set<RocksView>()
  /** The install in progress; `beginning` until its database is open. */
  private installing: Generation | null = null
  private beginning = false
  private writesUntilSize = 0
  private size = 0
  /** Rows were deleted since the last compaction, or may have been by an earlier process. */
  private hasDeleted = true
  /** Work that `close` waits for. Its outcomes are reported elsewhere. */
  private readonly work = new Set<Promise<void>>()
  private fault: StorageError | InvariantError | null = null
  private readonly failed = deferred<void>()
  private closing: Promise<void> | null = null

  constructor(options: RocksStateStoreOptions, dependencies: RocksStateStoreDependencies = {}) {
    this.options = options
    this.generations = new Generations(options.directory, dependencies.files ?? nodeStateFiles)
    this.load = dependencies.load
    const { directory, slowMs = limits.storeSlowMs } = options
    this.disk = new DiskWatch({ directory, slowMs }, dependencies)
  }

  async open(): Promise<Uint8Array | null> {
    assert(this.current === null && this.closing === null, 'a state is opened once')
    return this.track('open the state', async () => {
      this.rocks = await loadRocksDb(this.load)
      const number = await this.generations.open()
      this.current = await this.openGeneration(number)
      await this.measure(this.current.database)
      const [meta] = await readMany(this.current.database, [META_KEY])
      return meta ?? null
    })
  }

  async getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | null)[]> {
    const current = this.checkOpen()
    if (keys.length === 0) return []
    return this.track('read the state', async () => this.using(current, async (database) => readMany(database, keys)))
  }

  async write(writes: readonly StateWrite[], meta: Uint8Array): Promise<void> {
    const current = this.checkOpen()
    return this.change('write to the state', current, async (database) => {
      // A batch that was started and not flushed would keep the database open for ever, so the checks come first.
      for (const { key } of writes) assert(key.length > 0, 'a key is not empty')
      await current.gate.admit(batchBytes(writes))
      const batch = database.write({ capacity: writes.length + 1, autoDestroy: true })
      for (const write of writes) {
        if (write.type === 'put') batch.tryPut(write.key, write.value)
        else batch.tryDelete(write.key)
      }
      this.hasDeleted ||= writes.some(({ type }) => type === 'delete')
      batch.tryPut(META_KEY, meta)
      await batch.flush()
      this.writesUntilSize -= 1
      if (this.writesUntilSize <= 0) await this.measure(database)
    })
  }

  async flush(): Promise<void> {
    const current = this.checkOpen()
    return this.change('flush the state', current, async (database) => {
      await current.gate.flush()
      await this.measure(database)
    })
  }

  async view(): Promise<StateView> {
    const current = this.checkOpen()
    return this.track('open a view of the state', async () => {
      current.users += 1
      const session = current.database.snapshot()
      const [meta] = await readMany(session, [META_KEY])
      const { rowBytesMax = limits.valueBytesMaxDefault } = this.options
      const rows = new RowScan(session, () => rowsAtOnceMax(rowBytesMax, this.views.size))
      const view = new RocksView(
        meta ?? null,
        { session, rows },
        {
          read: async (work) => this.track('read the state', work),
          sizeBytes: () => sizeOf(current.database),
          onClose: () => {
            this.views.delete(view)
            release(current)
          },
        },
      )
      this.views.add(view)
      return view
    })
  }

  async beginInstall(): Promise<StateInstall> {
    this.checkOpen()
    assert(!this.beginning && this.installing === null, 'one install runs at a time')
    this.beginning = true
    return this.track('begin an install', async () => {
      const generation = await this.openGeneration(this.generations.next())
      this.installing = generation
      this.beginning = false
      let lastKey: Uint8Array = META_KEY
      return {
        write: async (rows) => {
          this.checkInstalling(generation)
          return this.change('write an install', generation, async () => {
            lastKey = await putRows(generation, rows, lastKey)
          })
        },
        commit: async (meta) => {
          this.checkInstalling(generation)
          return this.change('commit an install', generation, async () => this.commit(generation, meta))
        },
        abort: async () => {
          this.checkInstalling(generation)
          return this.track('abort an install', async () => {
            this.installing = null
            await generation.database.close()
            await this.generations.remove(generation.number)
          })
        },
      }
    })
  }

  async compact(): Promise<CompactionOutcome> {
    const current = this.checkOpen()
    if (!this.hasDeleted) return 'nothing'
    this.hasDeleted = false
    // Less room while a compaction runs does not mean that it hangs, so the disk is not watched.
    const outcome = await this.track('compact the state', async () =>
      this.using(current, async (database) => {
        const isStopping = (): boolean => this.closing !== null || this.current !== current
        const freeBytes = async (): Promise<number> => this.disk.free()
        const reached = await new Compaction(database, { freeBytes, isStopping }).run()
        await this.measure(database)
        return reached
      }),
    )
    this.hasDeleted ||= outcome === 'no-room'
    return outcome
  }

  sizeBytes(): number {
    return this.size
  }

  async close(): Promise<void> {
    // After a failure, calls may never end. Giving up the wait loses nothing: what must be kept was flushed or is in the log.
    const given = this.failed.promise.then(async () => delay(limits.failedStoreCloseMsMax, undefined, { ref: false }))
    this.closing ??= Promise.race([this.closeAfterWork(), given])
    return this.closing
  }

  private async closeAfterWork(): Promise<void> {
    while (this.work.size > 0) await Promise.all(this.work)
    for (const view of this.views) await view.close()
    while (this.work.size > 0) await Promise.all(this.work)
    try {
      // An install that was not committed stays on the disk, and the next opening removes it.
      await this.installing?.database.close()
      await this.current?.database.close()
    } catch (error) {
      throw this.fail(error, 'close the state')
    }
  }

  private async openGeneration(number: number): Promise<Generation> {
    assert(this.rocks !== null, 'RocksDB is loaded before a database is opened')
    const { writeBufferBytes = WRITE_BUFFER_BYTES, openFilesMax = limits.stateFilesMax } = this.options
    const path = this.generations.path(number)
    const database = await openDatabase(this.rocks, { path, writeBufferBytes, openFilesMax })
    return { number, database, gate: new WriteGate(database, writeBufferBytes), users: 0, onUnused: null }
  }

  /** Once `current` is renamed, a restart finds the new state. Views of the old state stay valid. */
  private async commit(generation: Generation, meta: Uint8Array): Promise<void> {
    const old = this.checkOpen()
    const batch = generation.database.write({ capacity: 1, autoDestroy: true })
    batch.tryPut(META_KEY, meta)
    await batch.flush()
    await generation.gate.flush()
    await this.generations.publish(generation.number)
    this.current = generation
    this.installing = null
    await this.measure(generation.database)
    const retire = (): void => {
      void this.track('remove the old state', async () => {
        await old.database.close()
        await this.generations.remove(old.number)
      }).catch(() => undefined)
    }
    if (old.users === 0) retire()
    else old.onUnused = retire
  }

  private async measure(database: Database): Promise<void> {
    this.writesUntilSize = SIZE_EVERY_WRITES
    this.size = await sizeOf(database)
  }

  /** Runs a write or a flush. It fails when RocksDB waits for space on a full disk. */
  private async change<T>(
    action: string,
    generation: Generation,
    work: (database: Database) => Promise<T>,
  ): Promise<T> {
    return this.track(action, async () =>
      this.using(generation, async (database) => this.disk.during(work(database), action, database)),
    )
  }

  private async using<T>(generation: Generation, work: (database: Database) => Promise<T>): Promise<T> {
    generation.users += 1
    try {
      return await work(generation.database)
    } finally {
      release(generation)
    }
  }

  /** Runs `work` so that `close` waits for it and its error is remembered. */
  private async track<T>(action: string, work: () => Promise<T>): Promise<T> {
    const running = work().catch(async (error: unknown) => {
      throw await this.failDurably(error, action)
    })
    const ended = running.then(
      () => undefined,
      () => undefined,
    )
    this.work.add(ended)
    try {
      return await running
    } finally {
      this.work.delete(ended)
    }
  }

  private async failDurably(error: unknown, action: string): Promise<Error> {
    const fault = this.fail(error, action)
    // Damaged rows are found by chance. Without a note, the node would start and stop again and again.
    if (fault instanceof DamagedStateError && this.current !== null) {
      await this.generations.markDamaged(fault.message).catch(() => undefined)
    }
    return fault
  }

  private fail(error: unknown, action: string): StorageError | InvariantError {
    this.fault ??= stateFault(error, this.options.directory, action)
    this.failed.resolve()
    for (const generation of [this.current, this.installing]) generation?.gate.close()
    return this.fault
  }

  private checkOpen(): Generation {
    if (this.fault !== null) throw this.fault
    if (this.current === null || this.closing !== null) throw new StorageError('failed', 'The state is not open.')
    return this.current
  }

  private checkInstalling(generation: Generation): void {
    this.checkOpen()
    assert(this.installing === generation, 'an install ends once')
  }
}

async function sizeOf(database: Database): Promise<number> {
  const files = Number(await database.getProperty('rocksdb.total-sst-files-size'))
  const memory = Number(await database.getProperty('rocksdb.cur-size-all-mem-tables'))
  return files + memory
}

function release(generation: Generation): void {
  generation.users -= 1
  if (generation.users > 0) return
  generation.onUnused?.()
  generation.onUnused = null
}

/** Writes rows whose keys ascend from `after`. Resolves to the last key. */
async function putRows(
  { database, gate }: Generation,
  rows: readonly StateRow[],
  after: Uint8Array,
): Promise<Uint8Array> {
  if (rows.length === 0) return after
  let last = after
  for (const { key } of rows) {
    assert(Buffer.compare(last, key) < 0, 'the keys of an install ascend')
    last = key
  }
  await gate.admit(batchBytes(rows))
  const batch = database.write({ capacity: rows.length, autoDestroy: true })
  for (const { key, value } of rows) batch.tryPut(key, value)
  await batch.flush()
  return last
}
