import type { WatchItem, WatchOptions } from '../../../src/api/services.ts'

/** What a watcher wants to be told. */
export type WatchInterest = Pick<WatchOptions, 'keys' | 'puts' | 'deletes' | 'wantsPrevious'>

export interface WatchEnd {
  readonly code: string
  /** With the code `compacted`: the oldest revision that can be watched. */
  readonly compactRevision: number | null
  readonly message?: string
}

/** One watch through one node, and everything that came of it. Times are virtual. */
export interface WatchSession {
  readonly watcher: number
  readonly machine: string
  readonly interest: WatchInterest
  readonly since: number | null
  /** The cluster that `since` is a revision of; null with none. */
  readonly sinceCluster: string | null
  readonly invokedAt: number
  /** The hash of the secret with which it was asked; null: without one. Undefined in a run without tokens. */
  readonly secret?: string | null
  /** When it has begun, and when it has ended; Infinity before. */
  beganAt: number
  endedAt: number
  /** The cluster of the node, once the node has said something. */
  clusterId: string | null
  /** The revision after which it begins; null until it has begun. */
  began: number | null
  /** In the order in which the watcher took them. */
  readonly items: WatchItem[]
  /** Null while it goes on. */
  end: WatchEnd | null
  /** At the end its node has everything, and had the time to tell it. */
  isDue: boolean
}

/** The revision up to which the watcher knows everything; null when the watch has not begun. */
export function reachedBy({ items, began }: WatchSession): number | null {
  return items.at(-1)?.revision ?? began
}

export function describeSession(session: WatchSession): string {
  const { watcher, machine, interest, since, began, items, end } = session
  const { keys, puts, deletes } = interest
  const what = typeof keys === 'string' ? keys : `${keys.start ?? ''}..${keys.end ?? ''}`
  const kinds = puts && deletes ? '' : puts ? ', puts' : ', deletes'
  const from = since === null ? 'from now on' : `since ${since}`
  const told = items
    .slice(-6)
    .map(({ type, revision }) => `${type === 'progress' ? 'p' : ''}${revision}`)
    .join(' ')
  const ended = end === null ? 'open' : `${end.code}${end.compactRevision === null ? '' : ` ${end.compactRevision}`}`
  return `w${watcher} at ${machine} watches ${what}${kinds} ${from}, began at ${began}: ${items.length} items, at last ${told}; ${ended}`
}
