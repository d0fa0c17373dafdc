import type { RaftState } from './state.ts'
import { logIndex, type LogId, type LogIndex } from './types.ts'

/** Decides how much of the log may be freed (raft.md 8). Never more than the durable state covers. */
export class LogRetention {
  private readonly raft: RaftState

  constructor(raft: RaftState) {
    this.raft = raft
  }

  /** `floor`: entries after this index are still needed by a follower. */
  stateDurable(logId: LogId, floor: LogIndex): void {
    const { raft } = this
    if (logId.index > raft.stateDurable) raft.stateDurable = logId.index
    const { keepEntries, keepBytes } = raft.options
    const target = raft.log.purgeTarget(logIndex(Math.min(raft.stateDurable, floor)), keepEntries, keepBytes)
    if (target > raft.log.purgedIndex) raft.purge(target)
  }

  purgeTo(index: LogIndex | null, floor: LogIndex): LogId | null {
    const { raft } = this
    const target = logIndex(Math.min(index ?? raft.stateDurable, raft.stateDurable, floor))
    return target <= raft.log.purgedIndex ? null : raft.purge(target)
  }
}
