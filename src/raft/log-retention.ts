import type { Core } from './state.ts'
import { logIndex, type LogId, type LogIndex } from './types.ts'

/** Decides how much of the log may be freed (raft.md 8). Never more than the durable state covers. */
export class Purging {
  private readonly core: Core

  constructor(core: Core) {
    this.core = core
  }

  /** `floor`: a follower will need what comes after it. */
  stateDurable(logId: LogId, floor: LogIndex): void {
    const { core } = this
    if (logId.index > core.stateDurable) core.stateDurable = logId.index
    const { keepEntries, keepBytes } = core.options
    const target = core.log.purgeTarget(logIndex(Math.min(core.stateDurable, floor)), keepEntries, keepBytes)
    if (target > core.log.purgedIndex) core.purge(target)
  }

  purgeTo(index: LogIndex | null, floor: LogIndex): LogId | null {
    const { core } = this
    const target = logIndex(Math.min(index ?? core.stateDurable, core.stateDurable, floor))
    return target <= core.log.purgedIndex ? null : core.purge(target)
  }
}
