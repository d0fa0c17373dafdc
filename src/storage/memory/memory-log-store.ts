import { assert } from '../../lib/assert.ts'
import { StorageError } from '../../lib/errors.ts'
import type { HardState, LogContents, LogStore, LogWrite } from '../../ports/log-store.ts'
import type { LogBatch, LogIndex, Term } from '../../raft/index.ts'
import { BatchList } from '../batch-list.ts'
import { clipBatch } from '../clip.ts'
import { LogOutline } from '../outline.ts'

/** A log that lives as long as this object. After a close, the next open finds everything that was written. */
export class MemoryLogStore implements LogStore {
  private readonly outline = new LogOutline()
  private readonly batches = new BatchList()
  private hardState: HardState = {
    vote: { leaderId: { term: 0 as Term, nodeId: 0 }, committed: false },
    clusterId: null,
  }
  private opened = false

  async open(): Promise<LogContents> {
    assert(!this.opened, 'a log is opened once')
    this.opened = true
    const { purgedIndex, lastIndex } = this.outline
    const retained = [...this.batches].map((batch) => clipBatch(batch, (purgedIndex + 1) as LogIndex, lastIndex))
    return {
      hardState: this.hardState,
      purged: this.outline.purged,
      last: this.outline.last,
      runs: [...this.outline.runs],
      sizes: retained.map((batch) => ({ last: batch.last, bytes: batch.body.length })),
      membershipBatches: retained.filter((batch) => batch.membershipCount > 0),
      lostUpTo: null,
      findings: [],
    }
  }

  async write(writes: readonly LogWrite[]): Promise<void> {
    this.checkOpen()
    for (const write of writes) this.apply(write)
  }

  async read(first: LogIndex, last: LogIndex, bytesMax: number): Promise<readonly LogBatch[] | null> {
    return this.readCached(first, last, bytesMax)
  }

  readCached(first: LogIndex, last: LogIndex, bytesMax: number): readonly LogBatch[] | null {
    this.checkOpen()
    if (first <= this.outline.purgedIndex) return null
    return this.batches.select(first, last, bytesMax)
  }

  sizeBytes(): number {
    return this.batches.bytes
  }

  async close(): Promise<void> {
    this.opened = false
  }

  private apply(write: LogWrite): void {
    switch (write.type) {
      case 'hard-state':
        this.hardState = write.state
        return
      case 'append':
        this.outline.append(write.batch)
        this.batches.push(write.batch)
        return
      case 'truncate':
        this.outline.truncate(write.from)
        this.batches.truncate(write.from)
        return
      case 'reset':
        this.outline.reset(write.purged)
        this.batches.clear()
        return
      case 'purge':
        this.outline.purge(write.purged)
        this.batches.dropThrough(write.purged.index)
        return
    }
  }

  private checkOpen(): void {
    if (!this.opened) throw new StorageError('failed', 'The log is not open.')
  }
}
