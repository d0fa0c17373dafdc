import { bounds } from '../bounds.ts'
import { afterKey, afterPrefix } from './key-order.ts'

/** A key as a listing without values gives it. */
export interface ListedKey {
  readonly key: string
  readonly modRevision: number
  readonly version: number
  readonly lease: number
}

/** `start` inclusive, `end` exclusive, null unbounded. */
export interface KeyRange {
  readonly start: string | null
  readonly end: string | null
}

export interface KeyPage {
  readonly items: readonly ListedKey[]
  /** Whether the range holds further keys. */
  readonly hasMore: boolean
}

/** Where a level reads keys from, in the order of their bytes. */
export interface KeyListing {
  list(range: KeyRange, limit: number): Promise<KeyPage>
}

/** What a level shows on a line: a key, or all keys that go on behind a separator. */
export type LevelEntry =
  { readonly kind: 'key'; readonly key: ListedKey } | { readonly kind: 'branch'; readonly prefix: string }

export interface LevelPart {
  readonly entries: readonly LevelEntry[]
  /** The `from` of the next part; null: there are no more entries. */
  readonly next: string | null
}

export interface LevelOptions {
  /** The keys of the level begin with it. The empty prefix: all keys. */
  readonly prefix: string
  /** Empty: the level has no branches. */
  readonly separator: string
  /** The first key that is of interest; null: from the beginning. */
  readonly from: string | null
  /** A part ends when it has as many entries, */
  readonly entriesMax: number
  /** or has asked as often. */
  readonly requestsMax: number
}

/**
 * Reads a part of one level of the tree, without reading what is below its branches: behind the first key of a branch, the next request
 * begins where the branch ends. A listing says nothing about branches, so keys of one that come with it are read in vain. How many a request
 * asks for follows how many lines the one before gave.
 */
export async function readLevel(listing: KeyListing, options: LevelOptions): Promise<LevelPart> {
  const { prefix, entriesMax, requestsMax } = options
  const entries: LevelEntry[] = []
  const end = prefix === '' ? null : afterPrefix(prefix)
  let start = options.from ?? (prefix === '' ? null : prefix)
  let limit: number = bounds.listedKeys.first
  for (let requests = 0; requests < requestsMax && entries.length < entriesMax; requests++) {
    if (start !== null && start === end) return { entries, next: null }
    const { items, hasMore } = await listing.list({ start, end }, Math.min(limit, entriesMax - entries.length))
    const found = entriesIn(items, options)
    entries.push(...found)
    const last = found.at(-1)
    if (last === undefined) return { entries, next: null }
    const next = last.kind === 'key' ? afterKey(last.key.key) : afterPrefix(last.prefix)
    if (!hasMore || next === null) return { entries, next: null }
    start = next
    limit = Math.max(bounds.listedKeys.min, Math.min(found.length * 2, bounds.listedKeys.max))
  }
  return { entries, next: start }
}

function entriesIn(items: readonly ListedKey[], { prefix, separator }: LevelOptions): LevelEntry[] {
  const entries: LevelEntry[] = []
  let branch: string | null = null
  for (const item of items) {
    if (branch !== null && item.key.startsWith(branch)) continue
    const at = separator === '' ? -1 : item.key.indexOf(separator, prefix.length)
    branch = at < 0 ? null : item.key.slice(0, at + separator.length)
    entries.push(branch === null ? { kind: 'key', key: item } : { kind: 'branch', prefix: branch })
  }
  return entries
}
