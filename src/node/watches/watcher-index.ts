import type { Key } from '../../kv/index.ts'
import type { Interest } from './interest.ts'
import { IntervalTree } from './interval-tree.ts'

/** Watchers by the keys that they watch. A key costs by who watches it, not by how many watch anything. */
export class WatcherIndex<Watcher extends { readonly interest: Interest }> {
  private readonly all = new Set<Watcher>()
  private readonly byKey = new Map<Key, Set<Watcher>>()
  private readonly byRange = new IntervalTree<Watcher>()

  get size(): number {
    return this.all.size
  }

  has(watcher: Watcher): boolean {
    return this.all.has(watcher)
  }

  [Symbol.iterator](): Iterator<Watcher> {
    return this.all.values()
  }

  add(watcher: Watcher): void {
    if (this.all.has(watcher)) return
    this.all.add(watcher)
    const { keys } = watcher.interest
    if (typeof keys !== 'string') return this.byRange.add(intervalOf(keys), watcher)
    const sharing = this.byKey.get(keys)
    if (sharing === undefined) this.byKey.set(keys, new Set([watcher]))
    else sharing.add(watcher)
  }

  delete(watcher: Watcher): void {
    if (!this.all.delete(watcher)) return
    const { keys } = watcher.interest
    if (typeof keys !== 'string') return this.byRange.remove(intervalOf(keys), watcher)
    const sharing = this.byKey.get(keys)
    if (sharing?.delete(watcher) === true && sharing.size === 0) this.byKey.delete(keys)
  }

  /** Calls `visit` with each watcher of `key`. */
  visit(key: Key, visit: (watcher: Watcher) => void): void {
    const sharing = this.byKey.get(key)
    if (sharing !== undefined) for (const watcher of sharing) visit(watcher)
    this.byRange.visit(key, visit)
  }
}

function intervalOf({ start, end }: { readonly start: Key | null; readonly end: Key | null }) {
  return { start: start ?? '', end }
}
