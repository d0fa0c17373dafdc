import type {
  CompactionOutcome,
  StateInstall,
  StateRow,
  StateStore,
  StateView,
  StateWrite,
} from '../../../src/ports/state-store.ts'
import { MemoryStateStore } from '../../../src/storage/memory/memory-state-store.ts'
import type { Life } from './life.ts'

type Change =
  | { readonly type: 'write'; readonly writes: readonly StateWrite[]; readonly meta: Uint8Array }
  | { readonly type: 'install'; readonly rows: readonly StateRow[]; readonly meta: Uint8Array }

/** The state's part of a disk. Outlives processes; what was not flushed is lost with the process that wrote it. */
export class StateDisk {
  flushed: Change[] = []
  unflushed: Change[] = []
  readMs = 0
  writeMs = 0
  flushMs = 0
  /** From the call that swaps an installed state in until it is done. */
  commitMs = 0
  /** From when the installed state can be seen until the caller hears of it. */
  commitTellMs = 0
  flushes = 0
  compactions = 0
  viewsOpen = 0
  /** Rows that views have given, with their values. */
  rowsScanned = 0
  /** Rows that were asked for and have not come. */
  rowsReading = 0
  rowsReadingMost = 0
  calls = 0
  /** Replaces the meta that views report; null: they report the one that was written. */
  metaOfViews: Uint8Array | null = null

  /** The process ended. `kept`: how many of the writes that were not flushed had reached the disk by themselves. */
  crash(kept: number): void {
    this.flushed.push(...this.unflushed.splice(0, kept))
    this.unflushed = []
  }

  copyFrom(other: StateDisk): void {
    this.flushed = [...other.flushed, ...other.unflushed]
    this.unflushed = []
  }

  wipe(): void {
    this.flushed = []
    this.unflushed = []
  }
}

export class DiskStateStore implements StateStore {
  private readonly disk: StateDisk
  private readonly life: Life
  private readonly inner = new MemoryStateStore()

  constructor(disk: StateDisk, life: Life) {
    this.disk = disk
    this.life = life
  }

  async open(): Promise<Uint8Array | null> {
    await this.inner.open()
    for (const change of this.disk.flushed) {
      if (change.type === 'write') await this.inner.write(change.writes, change.meta)
      else await this.replay(change.rows, change.meta)
    }
    await this.inner.close()
    return this.inner.open()
  }

  /** As a real store answers: with what was there when it was asked. */
  getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | null)[]> {
    const { disk } = this
    const found = this.inner.getMany(keys)
    disk.calls += 1
    disk.rowsReading += keys.length
    disk.rowsReadingMost = Math.max(disk.rowsReadingMost, disk.rowsReading)
    return this.life.later(disk.readMs, () => {
      disk.rowsReading -= keys.length
      return found
    })
  }

  write(writes: readonly StateWrite[], meta: Uint8Array): Promise<void> {
    const { disk, life } = this
    const copied = Buffer.from(meta)
    return life.later(disk.writeMs, async () => {
      await this.inner.write(writes, copied)
      disk.unflushed.push({ type: 'write', writes, meta: copied })
    })
  }

  flush(): Promise<void> {
    const { disk, life } = this
    const count = disk.unflushed.length
    return life.later(disk.flushMs, () => {
      disk.flushed.push(...disk.unflushed.splice(0, count))
      disk.flushes += 1
    })
  }

  async view(): Promise<StateView> {
    const { disk, life } = this
    const view = await this.inner.view()
    disk.viewsOpen += 1
    return {
      meta: disk.metaOfViews ?? view.meta,
      getMany: (keys) => (disk.readMs > 0 ? life.later(disk.readMs, () => view.getMany(keys)) : view.getMany(keys)),
      scan: async (range) => {
        const rows = await (disk.readMs > 0 ? life.later(disk.readMs, () => view.scan(range)) : view.scan(range))
        disk.rowsScanned += rows.length
        return rows
      },
      keys: (range) => (disk.readMs > 0 ? life.later(disk.readMs, () => view.keys(range)) : view.keys(range)),
      fractionUpTo: (key) => view.fractionUpTo(key),
      sizeBytes: () => view.sizeBytes(),
      close: () => {
        disk.viewsOpen -= 1
        return view.close()
      },
    }
  }

  async beginInstall(): Promise<StateInstall> {
    const { disk, life } = this
    const install = await this.inner.beginInstall()
    const rows: StateRow[] = []
    return {
      write: async (added) => {
        for (const { key, value } of added) rows.push({ key: Buffer.from(key), value: Buffer.from(value) })
        await install.write(added)
      },
      commit: (meta) =>
        life.later(disk.commitMs, async () => {
          await install.commit(meta)
          disk.unflushed = []
          disk.flushed = [{ type: 'install', rows, meta: Buffer.from(meta) }]
          await life.later(disk.commitTellMs, () => undefined)
        }),
      abort: () => install.abort(),
    }
  }

  compact(): Promise<CompactionOutcome> {
    this.disk.compactions += 1
    return this.inner.compact()
  }

  sizeBytes(): number {
    return this.inner.sizeBytes()
  }

  close(): Promise<void> {
    return this.inner.close()
  }

  private async replay(rows: readonly StateRow[], meta: Uint8Array): Promise<void> {
    const install = await this.inner.beginInstall()
    await install.write(rows)
    await install.commit(meta)
  }
}
