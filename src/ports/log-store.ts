import type { LeaderRun, LogBatch, LogId, LogIndex, Vote } from '../raft/index.ts'

/** Two values that must survive together, kept apart from the log. `clusterId` is null until the node belongs to a cluster. */
export interface HardState {
  readonly vote: Vote
  readonly clusterId: string | null
}

export type LogWrite =
  | { readonly type: 'hard-state'; readonly state: HardState }
  /** Removes every entry from `from` on. `from` is above the purge mark. */
  | { readonly type: 'truncate'; readonly from: LogIndex }
  /** `batch.first` is the index after the last entry. */
  | { readonly type: 'append'; readonly batch: LogBatch }
  /** Drops every entry; the log then begins after `purged`. */
  | { readonly type: 'reset'; readonly purged: LogId }
  /** Frees entries up to and including `purged`, which the log holds. May free less, never more. */
  | { readonly type: 'purge'; readonly purged: LogId }

/** What `open` found. `open` rejects when it finds damage that cannot be worked around; no field tells of such damage. */
export interface LogContents {
  readonly hardState: HardState
  readonly purged: LogId | null
  /** Equal to `purged` when there are no entries. */
  readonly last: LogId | null
  readonly runs: readonly LeaderRun[]
  /** Groups of consecutive entries covering `(purged, last]`, with the bytes of their bodies. */
  readonly sizes: readonly { readonly last: LogIndex; readonly bytes: number }[]
  /** Every batch that sets a membership, clipped to what is retained; ascending. */
  readonly membershipBatches: readonly LogBatch[]
  /**
   * The last index that this log had acknowledged, when the log no longer holds everything up to there: its tail is lost, or was cut off at
   * a damaged record (everything from the damage on is dropped). Null when nothing acknowledged is missing.
   */
  readonly lostUpTo: LogIndex | null
  /** One line for the node's log for each thing that the start-up scan repaired or cut off. */
  readonly findings: readonly string[]
}

/** Looks entries up. */
export interface LogReader {
  /**
   * The batches that hold `[first, last]`, clipped at both ends to that range, and at the far end to as many whole batches as fit
   * `bytesMax` (at least one batch). Null when `first` is purged or beyond the end.
   */
  read(first: LogIndex, last: LogIndex, bytesMax: number): Promise<readonly LogBatch[] | null>
  /** The same from memory alone; null when part of what `read` would return is not cached. */
  readCached(first: LogIndex, last: LogIndex, bytesMax: number): readonly LogBatch[] | null
}

/**
 * Where a node keeps its log, its vote and nothing else. There is one writer: it calls `write` only after the call before has resolved.
 * Reads see everything that was passed to `write`, durable or not.
 *
 * When any call rejects, the store is unusable: after a failed write nobody knows what is on the disk. The caller stops the process.
 */
export interface LogStore extends LogReader {
  /** Reads and checks everything that is retained. Called once, before anything else. */
  open(): Promise<LogContents>
  /** Carries out `writes` in order; resolves once all of them are on stable storage. */
  write(writes: readonly LogWrite[]): Promise<void>
  /** The size of the log on disk, in bytes. */
  sizeBytes(): number
  close(): Promise<void>
}
