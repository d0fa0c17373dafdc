import type { EntryChanges } from '../../kv/index.ts'
import { elementAt } from '../../lib/element-at.ts'
import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { ChangeRing } from './change-ring.ts'
import type { Feed, FeedEntry, FeedSource, WantedChange } from './feed.ts'
import { wantsKind } from './interest.ts'
import { Teller } from './teller.ts'
import { WatcherIndex } from './watcher-index.ts'
import type { Watcher } from './watcher.ts'

export interface WalkDependencies {
  readonly ring: ChangeRing
  readonly source: FeedSource
  readonly clock: Clock
  /** Bounds what watchers hold of what was read for them. */
  readonly room: { readonly isFull: boolean; whenFree(): Promise<void> }
  /** How many watchers it looks at in one turn for changes in memory, or somewhat more. */
  readonly visitsMax: number
  readonly home: WalkHome
}

/** Where watchers come from, and go to. */
export interface WalkHome {
  /** Watchers that may join a walk that is at `position`. */
  joining(position: number): Iterable<Watcher>
  /** The watcher has left the walk, and has everything up to its `reached`. */
  onLeft(watcher: Watcher): void
  /** The watcher has everything that there is. */
  onCaughtUp(watcher: Watcher): void
  onCompacted(watcher: Watcher, compactRevision: number): void
  wake(watcher: Watcher): void
}

/** A change that some watchers want, with those. */
interface Wanted extends WantedChange {
  readonly watchers: readonly Watcher[]
}

interface WantedEntry {
  readonly revision: number
  readonly wanted: readonly Wanted[]
}

/**
 * Reads the changes of the past once for many watchers: from the disk up to what is in memory, then in memory up to the present. Watchers
 * get on when it comes to where they are, and leave it when they have enough for now, or when it has caught up.
 */
export class Walk {
  private readonly deps: WalkDependencies
  private readonly riders = new WatcherIndex<Watcher>()
  private readonly teller: Teller
  private at: number
  private feed: Feed | null = null
  private stopped = false

  constructor(position: number, deps: WalkDependencies) {
    this.at = position
    this.deps = deps
    this.teller = new Teller({
      ring: deps.ring,
      watchers: this.riders,
      visitsMax: deps.visitsMax,
      wake: (watcher) => deps.home.wake(watcher),
      onFull: (watcher, revision) => this.leave(watcher, revision),
    })
  }

  /** Its riders have everything up to here. */
  get position(): number {
    return this.at
  }

  has(watcher: Watcher): boolean {
    return this.riders.has(watcher)
  }

  remove(watcher: Watcher): void {
    this.riders.delete(watcher)
  }

  /** Lets those in who wait here. */
  board(): void {
    for (const watcher of this.deps.home.joining(this.at)) this.riders.add(watcher)
  }

  /** Ends when nobody rides along any more. Rejects when the feed cannot be read. */
  async run(): Promise<void> {
    try {
      for (;;) {
        // Other work has its turn, and everybody who begins to wait in this one is there.
        await new Promise<void>((resolve) => this.deps.clock.nextTurn(resolve))
        // A watcher that joins is told the whole of the next entry, so none joins in its middle.
        if (!this.teller.isWithin(this.at)) this.board()
        if (this.riders.size === 0 || this.stopped) return
        await this.step()
      }
    } finally {
      await this.leaveFeed()
    }
  }

  stop(): void {
    this.stopped = true
  }

  /** The state was replaced: what is left of the old one is not read any more. */
  onInstalled(): Promise<void> {
    return this.leaveFeed()
  }

  private async step(): Promise<void> {
    const { ring, room } = this.deps
    if (this.at >= ring.floor) {
      // The changes in memory may be gone once the feed is closed.
      return this.feed === null ? this.stepInMemory() : this.leaveFeed()
    }
    if (room.isFull) {
      await this.leaveFeed()
      return room.whenFree()
    }
    // The changes that such a rider has are in memory. Those that are read from the disk must not follow them.
    for (const watcher of this.riders) if (watcher.holdsRevisions) this.leave(watcher)
    await this.stepOnDisk()
  }

  private stepInMemory(): void {
    const { ring, home } = this.deps
    this.at = this.teller.tell(this.at)
    if (this.at < ring.last) return
    let joined = 0
    for (const watcher of this.riders) {
      this.riders.delete(watcher)
      home.onCaughtUp(watcher)
      joined += 1
      if (joined === limits.watchStepMax) return
    }
  }

  private async stepOnDisk(): Promise<void> {
    const feed = this.feed ?? (await this.enterFeed())
    const read = await feed.read(this.at)
    if (this.feed !== feed) return
    // The disk may be ahead of what is in memory, as while a state is being installed. Until memory has it too, this node does not know
    // whether a watcher has lost its right.
    const { last } = this.deps.ring
    const entries = read.filter(({ revision }) => revision <= last)
    if (entries.length === 0) {
      this.at = Math.max(this.at, Math.min(feed.revision, last))
      return this.leaveFeed()
    }
    for (let at = 0; at < entries.length;) {
      if (this.riders.size === 0 || this.deps.room.isFull || this.stopped) return
      const group = this.groupFrom(entries, at)
      const changes = await feed.load(group.flatMap(({ wanted }) => wanted))
      if (this.feed !== feed) return
      let loaded = 0
      for (const { revision, wanted } of group) {
        this.hand({ revision, changes: changes.slice(loaded, loaded + wanted.length) }, wanted)
        loaded += wanted.length
        this.at = revision
      }
      at += group.length
    }
  }

  /** The next entries of which the rows are looked up together. */
  private groupFrom(entries: readonly FeedEntry[], from: number): WantedEntry[] {
    const group: WantedEntry[] = []
    let count = 0
    for (let at = from; at < entries.length && count < limits.watchFeedRowsMax; at++) {
      const entry = elementAt(entries, at)
      const wanted = this.wantedOf(entry)
      group.push({ revision: entry.revision, wanted })
      count += wanted.length
    }
    return group
  }

  private async enterFeed(): Promise<Feed> {
    const feed = await this.deps.source.open()
    this.feed = feed
    const { compactedRevision } = feed
    for (const watcher of this.riders) {
      if (Math.max(watcher.reached, this.at) >= compactedRevision) continue
      this.riders.delete(watcher)
      this.deps.home.onCompacted(watcher, compactedRevision)
    }
    this.at = Math.max(this.at, compactedRevision)
    return feed
  }

  private async leaveFeed(): Promise<void> {
    const { feed } = this
    this.feed = null
    await feed?.close()
  }

  private wantedOf({ revision, changes }: FeedEntry): Wanted[] {
    const wanted: Wanted[] = []
    for (const change of changes) {
      const watchers: Watcher[] = []
      this.riders.visit(change.key, (watcher) => {
        if (wantsKind(watcher.interest, change.kind) && revision > watcher.reached) watchers.push(watcher)
      })
      if (watchers.length === 0) continue
      wanted.push({ change, watchers, wantsPrevious: watchers.some(({ interest }) => interest.wantsPrevious) })
    }
    return wanted
  }

  private hand(entry: EntryChanges, wanted: readonly Wanted[]): void {
    for (const watcher of new Set(wanted.flatMap(({ watchers }) => watchers))) {
      // It may have left while the rows were read.
      if (!this.riders.has(watcher)) continue
      const hasRoom = watcher.hold(entry)
      this.deps.home.wake(watcher)
      if (!hasRoom) this.leave(watcher, entry.revision)
    }
  }

  private leave(watcher: Watcher, position = this.at): void {
    this.riders.delete(watcher)
    watcher.reached = Math.max(watcher.reached, position)
    this.deps.home.onLeft(watcher)
  }
}
