import { StorageError } from '../../lib/errors.ts'
import type { StateRange, StateRow, StateView } from '../../ports/state-store.ts'
import type { Database } from './binding.ts'
import { BEYOND_KEYS, META_KEY, readMany, type RowScan, scanKeys } from './row-scan.ts'

export interface ViewOwner {
  read<T>(work: () => Promise<T>): Promise<T>
  sizeBytes(): Promise<number>
  onClose(): void
}

/** One snapshot of a database. Its reads are counted, so that it is closed when the last one has ended. */
export class RocksView implements StateView {
  readonly meta: Uint8Array | null
  private readonly session: Database
  private readonly owner: ViewOwner
  private readonly rows: RowScan
  private closing: Promise<void> | null = null
  private reads = 0
  private onIdle: (() => void) | null = null

  constructor(
    meta: Uint8Array | null,
    { session, rows }: { readonly session: Database; readonly rows: RowScan },
    owner: ViewOwner,
  ) {
    this.meta = meta
    this.session = session
    this.owner = owner
    this.rows = rows
  }

  async getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | null)[]> {
    return keys.length === 0 ? [] : this.reading(async () => readMany(this.session, keys))
  }

  async scan(range: StateRange): Promise<readonly StateRow[]> {
    return this.reading(async () => this.rows.rows(range))
  }

  async keys(range: StateRange): Promise<readonly Uint8Array[]> {
    return this.reading(async () => scanKeys(this.session, range))
  }

  /** Measured by bytes on disk, old versions that are not yet compacted included. They are spread evenly enough. */
  async fractionUpTo(key: Uint8Array): Promise<number> {
    const measure = async (end: Uint8Array): Promise<number> =>
      this.reading(() => this.session.approximateSize(META_KEY, end, { includeMemtables: true, includeFiles: true }))
    const [part, whole] = await Promise.all([measure(key), measure(BEYOND_KEYS)])
    return whole === 0 ? 1 : Math.min(1, part / whole)
  }

  async sizeBytes(): Promise<number> {
    return this.reading(() => this.owner.sizeBytes())
  }

  async close(): Promise<void> {
    this.closing ??= this.closeAfterReads()
    return this.closing
  }

  private async reading<T>(work: () => Promise<T>): Promise<T> {
    if (this.closing !== null) throw new StorageError('failed', 'The view is closed.')
    this.reads += 1
    try {
      return await this.owner.read(work)
    } finally {
      this.reads -= 1
      if (this.reads === 0) this.onIdle?.()
    }
  }

  private async closeAfterReads(): Promise<void> {
    if (this.reads > 0) await new Promise<void>((resolve) => (this.onIdle = resolve))
    await this.rows.close()
    await this.session.close()
    this.owner.onClose()
  }
}
