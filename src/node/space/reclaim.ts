import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { StateStore } from '../../ports/state-store.ts'
import type { LogIndex } from '../../raft/index.ts'
import type { Faults, Logger } from '../options.ts'
import type { Room } from '../requests/disk-report.ts'

export interface ReclaimDependencies {
  readonly clock: Clock
  readonly logger: Logger
  readonly applier: { readonly appliedIndex: LogIndex }
  /** Makes everything that is applied durable, and has the log below it purged. */
  readonly flusher: { flush(): Promise<void> }
  readonly state: Pick<StateStore, 'compact'>
  /** Measures the disk anew. */
  readonly measure: () => void
  readonly faults: Faults
}

/**
 * Gives back the space that nothing needs any more, while the disk of this node is short: the log that the state covers, and rows that were
 * deleted or superseded. RocksDB would let them lie until enough is written after them, and little is written then.
 */
export class Reclaim {
  private readonly deps: ReclaimDependencies
  private reclaimedAt: LogIndex | null = null
  private isRunning = false
  private notBefore = -Infinity
  private stopped = false

  constructor(dependencies: ReclaimDependencies) {
    this.deps = dependencies
  }

  /** To be called after each measurement. Does nothing while nothing was applied since the last time, or soon after it. */
  look(room: Room): void {
    const { clock, applier, faults } = this.deps
    if (room === 'ample' || this.isRunning || this.stopped || clock.now() < this.notBefore) return
    if (this.reclaimedAt === applier.appliedIndex) return
    this.isRunning = true
    this.run().catch((error: unknown) => {
      if (!this.stopped) faults.report(error)
    })
  }

  stop(): void {
    this.stopped = true
  }

  private async run(): Promise<void> {
    const { clock, logger, applier, flusher, state, measure } = this.deps
    const startedAt = clock.now()
    this.reclaimedAt = applier.appliedIndex
    await flusher.flush()
    if (this.stopped) return
    const outcome = await state.compact()
    const tookMs = clock.now() - startedAt
    const { reclaimPauseMs, reclaimPauseFactor } = limits.diskReserve
    this.notBefore = clock.now() + Math.max(reclaimPauseMs, tookMs * reclaimPauseFactor)
    this.isRunning = false
    if (this.stopped) return
    if (outcome !== 'nothing') logger.info({ outcome, tookMs }, 'space reclaimed')
    measure()
  }
}
