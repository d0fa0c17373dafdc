import type { StageEnd, Step } from '../../lib/stages.ts'
import type { LogIndex } from '../../raft/index.ts'
import { logIndex } from '../../raft/index.ts'

/** When entries of the log got how far on this node; null: not yet. */
export interface EntryTimes {
  appendedAt(index: LogIndex): number | null
  writingAt(index: LogIndex): number | null
  syncedAt(index: LogIndex): number | null
  committedAt(index: LogIndex): number | null
  appliedAt(index: LogIndex): number | null
}

/** The commands of one batch: a step of the requests that they came from. The number of a command is the index of its entry. */
export class WriteTimes implements Step {
  private readonly sentAt: number
  /** The last entry of the batch; null when another node appends it. */
  private readonly last: LogIndex | null
  private readonly entries: EntryTimes

  constructor(sentAt: number, last: LogIndex | null, entries: EntryTimes) {
    this.sentAt = sentAt
    this.last = last
    this.entries = entries
  }

  ends(number?: number): readonly StageEnd[] {
    const index = number === undefined ? this.last : logIndex(number)
    const { sentAt, entries } = this
    const leader: StageEnd = { stage: 'leader', at: sentAt }
    if (index === null) return [leader, { stage: 'forward', at: null }]
    const forward: readonly StageEnd[] = this.last === null ? [{ stage: 'forward', at: entries.appendedAt(index) }] : []
    return [leader, ...forward, ...logEnds(entries, index), { stage: 'apply', at: entries.appliedAt(index) }]
  }
}

/** From the log of this node to the majority. */
export function logEnds(entries: EntryTimes, index: LogIndex): readonly StageEnd[] {
  return [
    { stage: 'queue', at: entries.writingAt(index) },
    { stage: 'sync', at: entries.syncedAt(index) },
    { stage: 'commit', at: entries.committedAt(index) },
  ]
}
