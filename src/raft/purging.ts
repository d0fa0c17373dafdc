import type { Core } from './core.ts'
import { logIndex, type LogId, type LogIndex } from './types.ts'

/** Decides how much of the log may be freed (raft.md 8). Never more than the durable state covers. */
export class Purging {
  private readonly core: Core

  constructor(core: Core) {
    this.core = core
  }

  /** `held`: a follower is being sent the state and will need what comes after it. */
  stateDurable(logId: LogId, held: boolean): void {
    const { core } = this
    if (logId.index > core.stateDurable) core.stateDurable = logId.index
    const { keepEntries, keepBytes } = core.options
    const target = core.log.purgeTarget(core.stateDurable, keepEntries, keepBytes)
    if (!held && target > core.log.purgedIndex) core.purge(target)
  }

  purgeTo(index: LogIndex | null, held: boolean): LogId | null {
    const { core } = this
    const target = logIndex(Math.min(index ?? core.stateDurable, core.stateDurable))
    return held || target <= core.log.purgedIndex ? null : core.purge(target)
  }
}
