import type { LogStore } from '../../ports/log-store.ts'
import type { StateStore } from '../../ports/state-store.ts'
import type { LogId, LogIndex } from '../../raft/index.ts'
import type { Faults, NodeOptions } from '../options.ts'
import type { Applier } from './applier.ts'

export type StateFlusherOptions = Pick<NodeOptions, 'purgeEveryEntries' | 'purgeEveryBytes'>

export interface StateFlusherDependencies {
  readonly log: LogStore
  readonly state: StateStore
  readonly applier: Applier
  /** Told that the state on disk covers `logId`: a restart no longer needs the log up to there. */
  readonly core: { onStateDurable(logId: LogId): void }
  readonly faults: Faults
}

/** Makes the state durable from time to time, so that the log below it may be purged (raft.md 8). */
export class StateFlusher {
  private readonly options: StateFlusherOptions
  private readonly deps: StateFlusherDependencies
  private flushedAt: LogIndex
  /** The least size of the log since the last flush: what is purged then goes some time after it. */
  private logBytesLeast: number
  private busy = false
  private stopped = false

  constructor(options: StateFlusherOptions, deps: StateFlusherDependencies, flushedAt: LogIndex) {
    this.options = options
    this.deps = deps
    this.flushedAt = flushedAt
    this.logBytesLeast = deps.log.sizeBytes()
  }

  /** Flushes when enough was applied, or the log has grown enough, since the last time. */
  onApplied(applied: LogIndex): void {
    const { purgeEveryEntries, purgeEveryBytes } = this.options
    const logBytes = this.deps.log.sizeBytes()
    this.logBytesLeast = Math.min(this.logBytesLeast, logBytes)
    const isDue = applied - this.flushedAt >= purgeEveryEntries || logBytes - this.logBytesLeast >= purgeEveryBytes
    if (!isDue || this.busy || this.stopped) return
    this.busy = true
    this.flush().then(
      () => {
        this.busy = false
      },
      (error: unknown) => {
        if (!this.stopped) this.deps.faults.report(error)
      },
    )
  }

  /** Resolves once everything that is applied now is durable. */
  async flush(): Promise<void> {
    const stored = await this.deps.applier.settle()
    if (stored === null || this.stopped) return
    await this.deps.state.flush()
    this.flushedAt = stored.index
    this.logBytesLeast = this.deps.log.sizeBytes()
    if (!this.stopped) this.deps.core.onStateDurable(stored)
  }

  stop(): void {
    this.stopped = true
  }
}
