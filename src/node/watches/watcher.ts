import type { WatchItem } from '../../api/services.ts'
import type { Change, EntryChanges } from '../../kv/index.ts'
import type { RequestError } from '../../lib/errors.ts'
import { assert } from '../../lib/assert.ts'
import { limits } from '../../limits.ts'
import { bytesOf, type ChangeRing } from './change-ring.ts'
import { wants, type Interest } from './interest.ts'

/** What a watcher needs of the hub. */
export interface WatcherHome {
  readonly ring: Pick<ChangeRing, 'find'>
  readonly now: number
  /** Everything up to this revision was queued for the watcher, or does not concern it. */
  positionOf(watcher: Watcher): number
  /** The changes of `revision`, and perhaps later ones, are not in memory any more. */
  onLost(watcher: Watcher, revision: number): void
  /** The watcher is resting, and has taken everything that it had. */
  onDrained(watcher: Watcher): void
  /** It holds so many bytes more than before (fewer when negative). */
  onHeld(bytes: number): void
  onSent(changes: number): void
  onClosed(watcher: Watcher): void
}

/**
 * `live`: it is told of changes as they are applied. `walking`: it reads what it has missed, together with others. `resting`: it has
 * something left to take, or has not asked for more; it costs nothing until it does. `ended`: nothing more comes.
 */
export type WatcherMode = 'live' | 'walking' | 'resting' | 'ended'

/**
 * One watch. What it is to be told stands in two queues, each bounded: first the changes that were read from the disk for it, then the
 * revisions of changes that are in memory for everybody. Both can be thrown away at any time: what is lost is read again.
 */
export class Watcher {
  readonly interest: Interest
  mode: WatcherMode = 'resting'
  /** Everything up to this revision was queued or does not concern it; while it is live or walking, perhaps more was (`positionOf`). */
  reached: number
  /** It is to be told how far it is, when nothing else is left to tell. */
  progressDue = false
  progressAt: number
  /** When it last took something, or began to wait for it. */
  takenAt: number
  private readonly home: WatcherHome
  private fromDisk: EntryChanges[] = []
  private fromDiskBytes = 0
  private fromMemory: number[] = []
  private told: number
  private error: RequestError | null = null
  private wakeUp: (() => void) | null = null

  constructor(interest: Interest, since: number, home: WatcherHome) {
    this.interest = interest
    this.reached = since
    this.told = since
    this.home = home
    this.takenAt = home.now
    this.progressAt = home.now
  }

  get isEmpty(): boolean {
    return this.fromDisk.length === 0 && this.fromMemory.length === 0
  }

  get isWaiting(): boolean {
    return this.wakeUp !== null
  }

  get holdsBytes(): boolean {
    return this.fromDiskBytes > 0
  }

  get holdsRevisions(): boolean {
    return this.fromMemory.length > 0
  }

  /** Queues a change that is in memory. Returns whether it can take another one. */
  queue(revision: number): boolean {
    this.reached = revision
    return this.fromMemory.push(revision) < limits.watchQueuedMax
  }

  /** Queues changes that were read from the disk. Returns whether it can take more. */
  hold(entry: EntryChanges): boolean {
    assert(this.fromMemory.length === 0, 'what was read from the disk comes before what is in memory')
    const bytes = bytesOf(entry)
    this.fromDisk.push(entry)
    this.fromDiskBytes += bytes
    this.home.onHeld(bytes)
    return this.fromDiskBytes < limits.watchHeldBytesMax && this.fromDisk.length < limits.watchQueuedMax
  }

  /** Throws away what it has not taken. Returns the revision up to which it has everything. */
  drop(): number {
    const first = this.fromDisk[0]?.revision ?? this.fromMemory[0]
    this.forget()
    return first === undefined ? this.reached : first - 1
  }

  private forget(): void {
    this.home.onHeld(-this.fromDiskBytes)
    this.fromDisk = []
    this.fromDiskBytes = 0
    this.fromMemory = []
  }

  async next(bytesMax: number): Promise<readonly WatchItem[]> {
    assert(this.wakeUp === null, 'a watch is asked for one thing at a time')
    for (;;) {
      const items = this.take(bytesMax)
      if (items.length > 0) return items
      if (this.error !== null) throw this.error
      if (this.mode === 'ended') return []
      await new Promise<void>((resolve) => (this.wakeUp = resolve))
    }
  }

  /** To be called when it may have something to take. */
  wake(): void {
    const { wakeUp } = this
    this.wakeUp = null
    wakeUp?.()
  }

  /** Nothing more comes; what it has is still taken, and then it fails with `error`. */
  end(error: RequestError): void {
    this.error = error
    this.mode = 'ended'
  }

  close(): void {
    if (this.mode !== 'ended' || this.error !== null) this.home.onClosed(this)
    this.mode = 'ended'
    this.error = null
    this.forget()
    this.wake()
  }

  private take(bytesMax: number): WatchItem[] {
    const { home, interest } = this
    const items: WatchItem[] = []
    this.takenAt = home.now
    for (let bytes = 0; bytes < bytesMax;) {
      const entry = this.shift()
      if (entry === null) break
      const changes = entry.changes.filter((change) => wants(interest, change))
      bytes += this.sizeOf(changes)
      this.told = entry.revision
      home.onSent(changes.length)
      items.push({ type: 'changes', revision: entry.revision, changes })
    }
    if (items.length === 0 && this.progressDue && this.mode !== 'ended') items.push(this.progress())
    if (this.mode === 'resting' && this.isEmpty) home.onDrained(this)
    return items
  }

  private progress(): WatchItem {
    this.progressDue = false
    this.progressAt = this.home.now
    this.told = Math.max(this.told, this.home.positionOf(this))
    return { type: 'progress', revision: this.told }
  }

  private sizeOf(changes: readonly Change[]): number {
    const { wantsPrevious } = this.interest
    let bytes = 0
    for (const { key, row, previousRow } of changes) {
      bytes += key.length + (row?.length ?? 0) + (wantsPrevious ? (previousRow?.length ?? 0) : 0)
    }
    return bytes
  }

  private shift(): EntryChanges | null {
    const entry = this.fromDisk.shift()
    if (entry !== undefined) {
      const bytes = bytesOf(entry)
      this.fromDiskBytes -= bytes
      this.home.onHeld(-bytes)
      return entry
    }
    const revision = this.fromMemory.shift()
    if (revision === undefined) return null
    const found = this.home.ring.find(revision)
    if (found !== undefined) return found
    this.forget()
    this.home.onLost(this, revision)
    return null
  }
}
