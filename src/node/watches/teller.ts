import type { Change, EntryChanges } from '../../kv/index.ts'
import { elementAt } from '../../lib/element-at.ts'
import { limits } from '../../limits.ts'
import type { ChangeRing } from './change-ring.ts'
import { wantsKind } from './interest.ts'
import type { WatcherIndex } from './watcher-index.ts'
import type { Watcher } from './watcher.ts'

export interface TellerDependencies {
  readonly ring: Pick<ChangeRing, 'after' | 'last'>
  readonly watchers: WatcherIndex<Watcher>
  /** After so many watchers it stops, once it has told all of them of the change that it is at. */
  readonly visitsMax: number
  wake(watcher: Watcher): void
  /** `watcher` can take no more. The changes of `revision` are the last that were queued for it. */
  onFull(watcher: Watcher, revision: number): void
}

/**
 * Queues changes that are in memory for the watchers that want them. What it does at a time is bounded by how many watchers it looks at, so
 * an entry with many changes that many want takes several turns of the event loop. Each watcher is given the entry as a whole, with the
 * first of its changes that it wants.
 */
export class Teller {
  private readonly deps: TellerDependencies
  /** Of the entry after this revision, so many changes were told already. */
  private stoppedAt = 0
  private changesTold = 0

  constructor(deps: TellerDependencies) {
    this.deps = deps
  }

  /** Whether some were told of the entry after `revision`, and others not yet. */
  isWithin(revision: number): boolean {
    return this.changesTold > 0 && this.stoppedAt === revision
  }

  /** Goes on from `revision`, up to which everything is queued. Returns up to where everything is queued then. */
  tell(revision: number): number {
    const { ring, visitsMax } = this.deps
    let at = revision
    let visitsLeft = visitsMax
    while (at < ring.last) {
      for (const entry of ring.after(at, limits.watchStepMax)) {
        visitsLeft -= this.tellOf(entry, at, visitsLeft)
        if (this.changesTold > 0) return at
        at = entry.revision
        if (visitsLeft <= 0) return at
      }
    }
    return at
  }

  /** Returns how many watchers it has looked at. */
  private tellOf({ revision, changes }: EntryChanges, at: number, visitsMax: number): number {
    let visits = 0
    let next = this.isWithin(at) ? this.changesTold : 0
    while (next < changes.length && visits < visitsMax) {
      visits += this.tellChange(elementAt(changes, next), revision)
      next += 1
    }
    this.stoppedAt = at
    this.changesTold = next < changes.length ? next : 0
    return visits
  }

  private tellChange({ kind, key }: Change, revision: number): number {
    const full: Watcher[] = []
    let visits = 1
    this.deps.watchers.visit(key, (watcher) => {
      visits += 1
      if (!wantsKind(watcher.interest, kind) || revision <= watcher.reached) return
      if (!watcher.queue(revision)) full.push(watcher)
      this.deps.wake(watcher)
    })
    for (const watcher of full) this.deps.onFull(watcher, revision)
    return visits
  }
}
