import type {
  CompactionOutcome,
  StateInstall,
  StateRange,
  StateRow,
  StateStore,
  StateView,
  StateWrite,
} from '../../ports/state-store.ts'
import type { Faults } from '../options.ts'

/**
 * A state store whose first failing call is a fault of the node, whichever part made the call. Otherwise a client's read, a snapshot for a
 * peer or a backup would carry the failure away, and the node would go on with a store whose content nobody knows. Failures of `open` are
 * handled at start-up.
 */
export class FailStopStore implements StateStore {
  private readonly inner: StateStore
  private readonly faults: Faults
  private isEnding = false

  constructor(inner: StateStore, faults: Faults) {
    this.inner = inner
    this.faults = faults
  }

  /** The node is about to close the store. A failure of something that still runs meanwhile does not matter any more. */
  onStopping(): void {
    this.isEnding = true
  }

  open(): Promise<Uint8Array | null> {
    return this.inner.open()
  }

  getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | null)[]> {
    return this.watch(this.inner.getMany(keys))
  }

  write(writes: readonly StateWrite[], meta: Uint8Array): Promise<void> {
    return this.watch(this.inner.write(writes, meta))
  }

  flush(): Promise<void> {
    return this.watch(this.inner.flush())
  }

  async view(): Promise<StateView> {
    const view = await this.watch(this.inner.view())
    return {
      meta: view.meta,
      getMany: (keys) => this.watch(view.getMany(keys)),
      scan: (range: StateRange): Promise<readonly StateRow[]> => this.watch(view.scan(range)),
      keys: (range: StateRange): Promise<readonly Uint8Array[]> => this.watch(view.keys(range)),
      fractionUpTo: (key) => this.watch(view.fractionUpTo(key)),
      sizeBytes: () => this.watch(view.sizeBytes()),
      close: () => view.close(),
    }
  }

  async beginInstall(): Promise<StateInstall> {
    const install = await this.watch(this.inner.beginInstall())
    return {
      write: (rows) => this.watch(install.write(rows)),
      commit: (meta) => this.watch(install.commit(meta)),
      abort: () => this.watch(install.abort()),
    }
  }

  compact(): Promise<CompactionOutcome> {
    return this.watch(this.inner.compact())
  }

  sizeBytes(): number {
    return this.inner.sizeBytes()
  }

  close(): Promise<void> {
    return this.inner.close()
  }

  private async watch<T>(call: Promise<T>): Promise<T> {
    try {
      return await call
    } catch (error) {
      if (!this.isEnding) this.faults.report(error)
      throw error
    }
  }
}
