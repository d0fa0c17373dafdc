import type { WatchesView } from '../../api/health.ts'
import type { EntryChanges } from '../../kv/index.ts'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Faults, NodeOptions } from '../options.ts'
import { ChangeRing } from './change-ring.ts'
import type { FeedSource } from './feed.ts'
import { HeldRoom } from './held-room.ts'
import type { Interest } from './interest.ts'
import { WakeUps } from './wake-ups.ts'
import { Teller } from './teller.ts'
import { Walks } from './walks.ts'
import { WatcherIndex } from './watcher-index.ts'
import { Watcher, type WatcherHome } from './watcher.ts'

export type WatchHubOptions = Pick<
  NodeOptions,
  'watchersMax' | 'watchRecentEntriesMax' | 'watchRecentBytesMax' | 'watchVisitsMax'
>

export interface WatchHubDependencies {
  readonly clock: Clock
  readonly source: FeedSource
  readonly applier: { readonly revision: number }
  readonly membership: { readonly isRemoved: boolean }
  readonly faults: Faults
}

const SWEEP_MS = 1_000

/**
 * All watches of this node. While anybody watches, it keeps recent changes in memory. A watcher that has everything up to the last of them
 * is live: it is told of changes as they come. One that is behind reads what it has missed (`Walk`), and goes live in the same step in
 * which it has everything. So there is neither a gap nor a change told twice.
 */
export class WatchHub implements WatcherHome {
  readonly ring: ChangeRing
  private readonly watchersMax: number
  private readonly deps: WatchHubDependencies
  private readonly all = new Set<Watcher>()
  private readonly live = new WatcherIndex<Watcher>()
  private readonly teller: Teller
  /** Everything up to this revision is queued for those who are live, and all that they want of the next for some of them. */
  private told = 0
  private isTellingPlanned = false
  private readonly room = new HeldRoom(limits.watchHeldBytesInAllMax)
  private readonly wakeUps: WakeUps
  private readonly walks: Walks
  private changesSent = 0
  private fallenBehind = 0
  private cancelSweep: (() => void) | null = null
  private closed: RequestError | null = null

  constructor(options: WatchHubOptions, deps: WatchHubDependencies) {
    this.deps = deps
    this.watchersMax = options.watchersMax ?? limits.watchersMax
    const { watchRecentEntriesMax: entriesMax = limits.watchRecentEntriesMax } = options
    const { watchRecentBytesMax: bytesMax = limits.watchRecentBytesMax } = options
    const { watchVisitsMax: visitsMax = limits.watchVisitsMax } = options
    this.ring = new ChangeRing({ entriesMax, bytesMax })
    this.wakeUps = new WakeUps(deps.clock)
    const { source, clock, faults } = deps
    const { ring, room } = this
    this.walks = new Walks({ ring, source, clock, room, visitsMax, faults, home: this })
    this.teller = new Teller({
      ring,
      watchers: this.live,
      visitsMax,
      wake: (watcher) => this.wake(watcher),
      onFull: (watcher, revision) => this.fallBehind(watcher, revision),
    })
  }

  /** Whether anybody watches: if not, nobody need be told of changes. */
  get isWatched(): boolean {
    return this.all.size > 0
  }

  get now(): number {
    return this.deps.clock.now()
  }

  view(): WatchesView {
    const { watchersMax, changesSent, fallenBehind, all, live, ring } = this
    return {
      watchers: all.size,
      watchersMax,
      behind: all.size - live.size,
      changesSent,
      fallenBehind,
      recentBytes: ring.sizeBytes,
    }
  }

  /** Throws `RequestError` when no further watch can be opened. */
  checkRoom(): void {
    if (this.closed !== null) throw this.closed
    if (this.all.size < this.watchersMax) return
    throw new RequestError(
      'overloaded',
      `${this.all.size} watches are open on this node, as many as it serves at once; watch through another node, or try again later`,
    )
  }

  /** Begins a watch after `since`, which is not above the revision that is applied. Throws as `checkRoom`. */
  open(interest: Interest, since: number): Watcher {
    this.checkRoom()
    if (!this.isWatched) this.resetRing(this.deps.applier.revision)
    const watcher = new Watcher(interest, since, this)
    this.all.add(watcher)
    if (since >= this.ring.last) this.onCaughtUp(watcher)
    this.cancelSweep ??= this.deps.clock.after(SWEEP_MS, () => this.sweep())
    return watcher
  }

  /** What entries have changed, in their order; called while anybody watches, after the requests behind them were answered. */
  onChanges(entries: readonly EntryChanges[]): void {
    for (const entry of entries) this.ring.push(entry)
    if (!this.isTellingPlanned) this.tell()
  }

  /** The state was replaced by that of `revision`. What came between is read from it, if it tells of that. */
  onInstalled(revision: number): void {
    if (!this.isWatched) return
    this.leaveAllBehind()
    this.resetRing(revision)
    this.walks.onInstalled().catch((error: unknown) => this.deps.faults.report(error))
  }

  /** Ends all watches with `error`. */
  abandon(error: RequestError): void {
    for (const watcher of this.all) this.endNow(watcher, error)
  }

  /** The node stops. */
  close(error: RequestError): void {
    this.closed ??= error
    this.abandon(error)
    this.walks.stop()
    this.room.letIn()
    this.cancelSweep?.()
    this.cancelSweep = null
  }

  positionOf(watcher: Watcher): number {
    return watcher.mode === 'live' ? Math.max(watcher.reached, this.told) : this.walks.positionOf(watcher)
  }

  wake(watcher: Watcher): void {
    this.wakeUps.add(watcher)
  }

  onSent(changes: number): void {
    this.changesSent += changes
  }

  onHeld(bytes: number): void {
    this.room.add(bytes)
  }

  /** It has been slow: what it was to be told is read again. */
  onLost(watcher: Watcher, revision: number): void {
    if (watcher.mode === 'ended') return
    if (watcher.mode === 'live') this.fallBehind(watcher, revision - 1)
    this.walks.remove(watcher)
    watcher.mode = 'resting'
    watcher.reached = revision - 1
  }

  onDrained(watcher: Watcher): void {
    watcher.mode = 'walking'
    this.walks.add(watcher)
  }

  onClosed(watcher: Watcher): void {
    this.remove(watcher)
  }

  onLeft(watcher: Watcher): void {
    watcher.mode = 'resting'
  }

  onCaughtUp(watcher: Watcher): void {
    watcher.mode = 'live'
    watcher.reached = Math.max(watcher.reached, this.ring.last)
    watcher.progressDue = true
    this.live.add(watcher)
    this.wake(watcher)
  }

  onCompacted(watcher: Watcher, compactRevision: number): void {
    this.remove(watcher)
    watcher.end(compacted(Math.max(watcher.reached, 0), compactRevision))
    this.wake(watcher)
  }

  /** Tells those who are live of what is in memory, a part in each turn of the event loop. */
  private tell(): void {
    const { ring, live, teller } = this
    if (this.told < ring.floor) this.leaveAllBehind()
    this.told = live.size === 0 ? ring.last : teller.tell(this.told)
    this.isTellingPlanned = this.told < ring.last
    if (this.isTellingPlanned) this.deps.clock.nextTurn(() => this.tell())
  }

  /** All who are live have to read on from the disk: the changes that come next are not in memory any more. */
  private leaveAllBehind(): void {
    for (const watcher of this.live) this.fallBehind(watcher, Math.max(watcher.reached, this.told))
  }

  private resetRing(revision: number): void {
    this.ring.reset(revision)
    this.told = revision
  }

  private fallBehind(watcher: Watcher, reached: number): void {
    this.fallenBehind += 1
    this.live.delete(watcher)
    watcher.mode = 'resting'
    watcher.reached = reached
    // One that waits has taken everything, and asks for more.
    if (watcher.isWaiting && watcher.isEmpty) this.onDrained(watcher)
  }

  private endNow(watcher: Watcher, error: RequestError): void {
    this.remove(watcher)
    watcher.drop()
    watcher.end(error)
    this.wake(watcher)
  }

  private remove(watcher: Watcher): void {
    this.all.delete(watcher)
    this.live.delete(watcher)
    this.walks.remove(watcher)
    if (!this.isWatched) this.resetRing(this.ring.last)
  }

  private sweep(): void {
    const { clock, membership } = this.deps
    // Nothing that is committed from now on would be told.
    if (membership.isRemoved) this.abandon(removed())
    this.cancelSweep = this.isWatched ? clock.after(SWEEP_MS, () => this.sweep()) : null
    const { now } = this
    for (const watcher of this.all) {
      if (now - watcher.progressAt >= limits.watchSignMs && !watcher.progressDue) {
        watcher.progressDue = true
        this.wake(watcher)
      }
      if (this.room.isFull && watcher.holdsBytes && now - watcher.takenAt >= limits.watchPatienceMs)
        this.unload(watcher)
    }
  }

  /** Throws away what was read for a watcher that does not take it, so that others can go on. */
  private unload(watcher: Watcher): void {
    if (watcher.mode === 'live') this.live.delete(watcher)
    this.walks.remove(watcher)
    if (watcher.mode !== 'ended') watcher.mode = 'resting'
    watcher.reached = watcher.drop()
    this.fallenBehind += 1
  }
}

function removed(): RequestError {
  return new RequestError('removed', 'this node was removed from its cluster; watch through a member')
}

export function compacted(since: number, compactRevision: number): RequestError {
  return new RequestError(
    'compacted',
    `the changes after revision ${since} are not kept any more: the oldest that can be watched are those after ${compactRevision}; ` +
      'list the keys anew, and watch from the revision of that list',
    { compactRevision },
  )
}
