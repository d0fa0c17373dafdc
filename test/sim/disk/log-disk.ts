import type { LogIndex } from '../../../src/raft/index.ts'
import { BEFORE_FIRST, logIndex } from '../../../src/raft/index.ts'
import { LogImage } from './log-image.ts'

/** The log on a machine's disk. It outlives the processes that write it. */
export class LogDisk {
  durable = new LogImage()
  /** The last index of an acknowledged write: the watermark of the real store. */
  acknowledged: LogIndex = BEFORE_FIRST
  /** Set when acknowledged entries were lost; cleared when the log has reached that index again. */
  lostUpTo: LogIndex | null = null
  /** Neither copy of the vote can be read: the store refuses to open. */
  voteUnreadable = false
  readonly findings: string[] = []

  /** Damages the entry at `index`: the scan at the next start drops everything from there on. */
  damageFrom(index: LogIndex): void {
    this.durable.apply({ type: 'truncate', from: index })
    this.findings.push(`a record at ${index} is damaged`)
    if (this.durable.lastIndex < this.acknowledged)
      this.lostUpTo = logIndex(Math.max(this.acknowledged, this.lostUpTo ?? 0))
  }

  wrote(): void {
    this.acknowledged = this.durable.lastIndex
    if (this.lostUpTo !== null && this.acknowledged >= this.lostUpTo) this.lostUpTo = null
  }
}
