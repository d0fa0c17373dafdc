import type { Watch, WatchAccess, WatchOptions } from '../../src/api/services.ts'
import type { EntryChanges } from '../../src/kv/index.ts'
import { RequestError } from '../../src/lib/errors.ts'
import { compacted, WatchHub, type WatchHubOptions } from '../../src/node/watches/watch-hub.ts'
import { systemClock } from '../../src/system-clock.ts'
import { NODE } from './memory-keys.ts'
import { MemoryFeed } from './watch-feed.ts'

/** The watches of a node alone: those of a real one, over changes in memory. */
export class MemoryWatches implements WatchAccess {
  readonly feed = new MemoryFeed()
  readonly asked: Omit<WatchOptions, 'guard'>[] = []
  hub: WatchHub
  /** The next call fails with this error. */
  failure: Error | null = null

  constructor(options: WatchHubOptions = {}) {
    this.hub = this.hubWith(options)
  }

  /** Begins anew, with another bound on what is open at once. */
  limit(options: WatchHubOptions): void {
    this.hub = this.hubWith(options)
  }

  onChanged(changes: EntryChanges): void {
    this.feed.entries.push(changes)
    if (this.hub.isWatched) this.hub.onChanges([changes])
  }

  async open(options: WatchOptions): Promise<Watch> {
    const { failure } = this
    this.failure = null
    if (failure !== null) throw failure
    const { guard, ...asked } = options
    this.asked.push(asked)
    guard?.check()
    const { revision, compactedRevision } = this.feed
    const since = options.since ?? revision
    const context = { revision, servedBy: NODE, leader: NODE, consistency: 'linearizable' } as const
    if (since > revision) throw new RequestError('future-revision', `nothing has revision ${since} yet`, {}, context)
    if (since < compactedRevision) throw compacted(since, compactedRevision).reflecting(context)
    const watcher = this.hub.open(options, since)
    return {
      context: { ...context, revision: since },
      next: (bytesMax) => watcher.next(bytesMax),
      close: () => watcher.close(),
    }
  }

  private hubWith(options: WatchHubOptions): WatchHub {
    const report = (error: unknown): void => {
      throw error
    }
    return new WatchHub(options, {
      clock: systemClock,
      source: this.feed,
      applier: this.feed,
      membership: { isRemoved: false },
      faults: { report },
    })
  }
}
