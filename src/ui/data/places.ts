import { hrefOf } from '../lib/route.ts'

/* Addresses of the pages of keys, watches, leases and locks, for links between them. */

export interface KeysPlace {
  /** Only keys that begin with it. */
  readonly prefix?: string
  /** The key that is open. */
  readonly key?: string
  /** The branch that is open. */
  readonly branch?: string
  /** What the name of a new key begins with. */
  readonly new?: string
  readonly tab?: 'history'
}

export function keysHref({ prefix, key, branch, tab, new: fresh }: KeysPlace): string {
  return hrefOf('keys', [], { prefix: prefix === '' ? undefined : prefix, key, branch, new: fresh, tab })
}

export function keysPlaceIn(query: URLSearchParams): KeysPlace {
  const [prefix, key, branch, fresh] = ['prefix', 'key', 'branch', 'new'].map((name) => query.get(name))
  return {
    ...(prefix === null || prefix === undefined || prefix === '' ? {} : { prefix }),
    ...(key === null || key === undefined || key === '' ? {} : { key }),
    ...(branch === null || branch === undefined ? {} : { branch }),
    ...(fresh === null || fresh === undefined ? {} : { new: fresh }),
    ...(query.get('tab') === 'history' ? { tab: 'history' } : {}),
  }
}

/** What is watched: one key, the keys with a prefix, or, with the empty prefix, all of them. */
export type WatchTarget = { readonly key: string } | { readonly prefix: string }

/** `since`: the events after that revision; absent: those from now on. */
export function watchHref(target: WatchTarget, since?: string): string {
  return hrefOf('watch', [], { ...target, since })
}

export function leaseHref(lease: number): string {
  return hrefOf('leases', [], { lease: String(lease) })
}

/** `lock`: the one that is open. `prefix`: only locks whose names begin with it are listed. */
export function locksHref({ lock, prefix }: { readonly lock?: string; readonly prefix?: string }): string {
  return hrefOf('locks', [], { prefix: prefix === '' ? undefined : prefix, lock })
}

export function lockHref(lock: string): string {
  return locksHref({ lock })
}
