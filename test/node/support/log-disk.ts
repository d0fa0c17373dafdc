import type { LogContents, LogStore, LogWrite } from '../../../src/ports/log-store.ts'
import type { LogBatch, LogIndex } from '../../../src/raft/index.ts'
import { logIndex } from '../../../src/raft/index.ts'
import { MemoryLogStore } from '../../../src/storage/memory/memory-log-store.ts'
import type { Life } from './life.ts'

/** The log's part of a disk. Outlives processes; holds what was synced. */
export class LogDisk {
  /** Everything that was synced, in order. */
  synced: LogWrite[] = []
  /** How long a write takes. `Infinity`: it never ends. */
  writeMs = 0
  /** How much longer it takes for each byte of entries. */
  writeMsPerByte = 0
  /** Reads that are not in memory; `readCached` finds nothing while this is above 0. */
  readMs = 0
  /** The next write fails with this. */
  failure: Error | null = null
  private lostUpTo: LogIndex | null = null

  /** The last `count` entries disappear, as from a disk that lied about a sync. The start-up scan will find out. */
  loseTail(last: LogIndex, count: number): void {
    this.synced.push({ type: 'truncate', from: logIndex(last - count + 1) })
    this.lostUpTo = last
  }

  /** The part of the log that the scan finds missing. It is reported until the log has grown over it. */
  missingAt(last: LogIndex): LogIndex | null {
    if (this.lostUpTo !== null && last >= this.lostUpTo) this.lostUpTo = null
    return this.lostUpTo
  }

  wipe(): void {
    this.synced = []
    this.lostUpTo = null
  }
}

/** A log whose writes take time: what had not been synced when the process ended is gone. */
export class DiskLogStore implements LogStore {
  private readonly disk: LogDisk
  private readonly life: Life
  private readonly inner = new MemoryLogStore()

  constructor(disk: LogDisk, life: Life) {
    this.disk = disk
    this.life = life
  }

  async open(): Promise<LogContents> {
    await this.inner.open()
    await this.inner.write(this.disk.synced)
    await this.inner.close()
    const contents = await this.inner.open()
    return { ...contents, lostUpTo: this.disk.missingAt(logIndex(contents.last?.index ?? -1)) }
  }

  async write(writes: readonly LogWrite[]): Promise<void> {
    const { disk } = this
    const written = this.inner.write(writes)
    const bytes = writes.reduce((sum, write) => sum + (write.type === 'append' ? write.batch.body.length : 0), 0)
    await this.life.later(disk.writeMs + bytes * disk.writeMsPerByte, async () => {
      if (disk.failure !== null) throw disk.failure
      await written
      for (const write of writes) disk.synced.push(write)
    })
  }

  read(first: LogIndex, last: LogIndex, bytesMax: number): Promise<readonly LogBatch[] | null> {
    return this.life.later(this.disk.readMs, () => this.inner.read(first, last, bytesMax))
  }

  readCached(first: LogIndex, last: LogIndex, bytesMax: number): readonly LogBatch[] | null {
    return this.disk.readMs > 0 ? null : this.inner.readCached(first, last, bytesMax)
  }

  sizeBytes(): number {
    return this.inner.sizeBytes()
  }

  close(): Promise<void> {
    return this.inner.close()
  }
}
