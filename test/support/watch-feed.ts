import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Change, EntryChanges } from '../../src/kv/index.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { Feed, FeedEntry, FeedSource, WantedChange } from '../../src/node/watches/feed.ts'

/** A feed in memory, with everything that was ever pushed to it and is not compacted. */
export class MemoryFeed implements FeedSource {
  readonly entries: EntryChanges[] = []
  compactedRevision = 0
  /** Entries that one read gives. */
  perRead = 4
  opened = 0
  openNow = 0
  openMost = 0
  reads = 0
  /** Runs before each answer. */
  beforeAnswer: () => Promise<unknown> = () => nextTurn()

  get revision(): number {
    return this.entries.at(-1)?.revision ?? 0
  }

  async open(): Promise<Feed> {
    this.opened += 1
    this.openNow += 1
    this.openMost = Math.max(this.openMost, this.openNow)
    await this.beforeAnswer()
    const entries = [...this.entries]
    const { compactedRevision, revision } = this
    return {
      compactedRevision,
      revision,
      read: async (after) => {
        this.reads += 1
        await this.beforeAnswer()
        return entries
          .filter((entry) => entry.revision > after)
          .slice(0, this.perRead)
          .map(feedEntry)
      },
      load: async (wanted) => {
        await this.beforeAnswer()
        return wanted.map((one) => loaded(entries, one))
      },
      close: async () => {
        this.openNow -= 1
      },
    }
  }
}

function feedEntry({ revision, changes }: EntryChanges): FeedEntry {
  return { revision, changes: changes.map(({ kind, key }) => ({ kind, key, revision, previousRevision: 0 })) }
}

function loaded(entries: readonly EntryChanges[], { change, wantsPrevious }: WantedChange): Change {
  const entry = entries.find(({ revision }) => revision === change.revision)
  const found = entry?.changes.find(({ key }) => key === change.key)
  if (found === undefined) throw new Error('the feed names what is there')
  return { ...found, previousRow: wantsPrevious ? found.previousRow : null }
}

/** Turns of the real event loop, and a time that a test moves. */
export class TurningClock implements Clock {
  private at = 0
  private timers: { readonly at: number; readonly callback: () => void }[] = []

  now(): number {
    return this.at
  }

  wall(): number {
    return this.at
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { at: this.at + delayMs, callback }
    this.timers.push(timer)
    return () => (this.timers = this.timers.filter((one) => one !== timer))
  }

  nextTurn(callback: () => void): void {
    setImmediate(callback)
  }

  pass(ms: number): void {
    const until = this.at + ms
    for (;;) {
      const [next] = this.timers.filter(({ at }) => at <= until).sort((one, other) => one.at - other.at)
      if (next === undefined) break
      this.timers = this.timers.filter((one) => one !== next)
      this.at = next.at
      next.callback()
    }
    this.at = until
  }
}
