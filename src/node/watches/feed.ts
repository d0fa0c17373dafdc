import type { Change, Key } from '../../kv/index.ts'

/** A change as the feed on the disk tells of it: where its rows are, not the rows. */
export interface FeedChange {
  readonly kind: Change['kind']
  readonly key: Key
  readonly revision: number
  /** Of the record before; 0 when the key was absent. */
  readonly previousRevision: number
}

/** What one entry of the log changed. */
export interface FeedEntry {
  readonly revision: number
  readonly changes: readonly FeedChange[]
}

/** One consistent view of the changes on the disk. Costs what a view of the state costs until `close`. */
export interface Feed {
  /** It tells of all changes above the first and up to the second. */
  readonly compactedRevision: number
  readonly revision: number
  /** The next entries above `after`, which is not below `compactedRevision`; none when there are no more. */
  read(after: number): Promise<readonly FeedEntry[]>
  /** The changes with their rows, those before them too where `wantsPrevious` says so. */
  load(wanted: readonly WantedChange[]): Promise<readonly Change[]>
  close(): Promise<void>
}

export interface WantedChange {
  readonly change: FeedChange
  readonly wantsPrevious: boolean
}

export interface FeedSource {
  /** Opens the feed with all changes that were applied before the call. */
  open(): Promise<Feed>
}
