export type StateWrite =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'delete'; readonly key: Uint8Array }

export interface StateRow {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** `start` inclusive, `end` exclusive; null is unbounded. At most `limit` rows and, after the first, about `bytesMax` bytes. */
export interface StateRange {
  readonly start: Uint8Array | null
  readonly end: Uint8Array | null
  readonly reverse: boolean
  readonly limit: number
  readonly bytesMax: number
}

/**
 * What a compaction came to. `nothing`: nothing was deleted since the last one. `no-room`: a part of the store was left out, because even a
 * compaction needs some room on the disk first.
 */
export type CompactionOutcome = 'nothing' | 'done' | 'no-room'

/** A consistent view of the store at one moment. Costs memory and disk until `close`. */
export interface StateView {
  /** The `meta` of the last write that this view includes; null for a store that was never written. */
  readonly meta: Uint8Array | null
  /** Values in the order of `keys`; null for absent keys. */
  getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | null)[]>
  scan(range: StateRange): Promise<readonly StateRow[]>
  /** The keys of the rows that `scan` would return, without reading values into memory; `bytesMax` limits the bytes of the keys. */
  keys(range: StateRange): Promise<readonly Uint8Array[]>
  /** Roughly what fraction of the state, by size, is at or below `key`: from 0 to 1. Cheap, and good enough to show progress. */
  fractionUpTo(key: Uint8Array): Promise<number>
  /** Roughly how many bytes the store takes now, measured by this call. */
  sizeBytes(): Promise<number>
  close(): Promise<void>
}

/** Another state that is received beside the current one. None of it is visible before `commit`. */
export interface StateInstall {
  /** Adds rows; keys ascend over the whole install. */
  write(rows: readonly StateRow[]): Promise<void>
  /**
   * Syncs the new state with its meta and swaps it in atomically: after a crash at any moment the store holds either the old or the new
   * state.
   */
  commit(meta: Uint8Array): Promise<void>
  /** Throws the received rows away. */
  abort(): Promise<void>
}

/**
 * An ordered map of byte strings with one `meta` value that changes atomically with the rows. Keys have at least one byte. Writes reach the
 * disk in order but are not synced: after a crash the store holds everything up to some write, never a mix, and at least everything that
 * was flushed. The same holds after `close`. When `open`, `write`, `flush` or `commit` rejects, the store is unusable; the caller stops the
 * process.
 */
export interface StateStore {
  /** Returns the stored meta; null for an empty store. Removes the remains of an interrupted install. */
  open(): Promise<Uint8Array | null>
  /** Values in the order of `keys`; null for absent keys. Sees every write that has resolved. */
  getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | null)[]>
  /** Atomic, not synced. One call at a time. A key occurs at most once in a batch. */
  write(writes: readonly StateWrite[], meta: Uint8Array): Promise<void>
  /** Resolves once every write that resolved before this call is on stable storage. */
  flush(): Promise<void>
  /** A view that includes every write that has resolved. */
  view(): Promise<StateView>
  /** Begins an install; at most one at a time. No `write` may run while `commit` runs. */
  beginInstall(): Promise<StateInstall>
  /** Gives the disk back what deleted rows took, with what room there is. Takes long, beside everything else. One call at a time. */
  compact(): Promise<CompactionOutcome>
  /** Roughly how many bytes the store takes, as last measured. */
  sizeBytes(): number
  close(): Promise<void>
}
