import { limits } from '../../limits.ts'
import type { Faults } from '../options.ts'
import { Walk, type WalkDependencies, type WalkHome } from './walk.ts'
import type { Watcher } from './watcher.ts'

export interface WalksDependencies extends Omit<WalkDependencies, 'home'> {
  readonly home: Omit<WalkHome, 'joining'>
  readonly faults: Faults
}

/**
 * The walks through the past that are in progress: few at a time, however many watchers are behind. Those that wait board a walk that comes
 * by, or the next one that begins, which does so where the one that has waited longest is.
 */
export class Walks {
  private readonly deps: WalksDependencies
  /** In the order in which they came. */
  private readonly waiting = new Set<Watcher>()
  private readonly walks = new Set<Walk>()
  private readonly boarded = new Map<Watcher, Walk>()
  private isPlanned = false
  private stopped = false

  constructor(deps: WalksDependencies) {
    this.deps = deps
  }

  /** How many watchers wait for a walk, or ride along. */
  get size(): number {
    return this.waiting.size + this.boarded.size
  }

  /** How many walks are in progress. */
  get count(): number {
    return this.walks.size
  }

  /** The watcher wants what comes after its `reached`. */
  add(watcher: Watcher): void {
    this.waiting.add(watcher)
    this.beginSoon()
  }

  remove(watcher: Watcher): void {
    this.waiting.delete(watcher)
    this.boarded.get(watcher)?.remove(watcher)
    this.boarded.delete(watcher)
  }

  /** Up to which revision the watcher has everything. */
  positionOf(watcher: Watcher): number {
    return Math.max(watcher.reached, this.boarded.get(watcher)?.position ?? 0)
  }

  async onInstalled(): Promise<void> {
    for (const walk of this.walks) await walk.onInstalled()
  }

  stop(): void {
    this.stopped = true
    for (const walk of this.walks) walk.stop()
  }

  /** Those who begin to wait in one turn of the event loop begin together. */
  private beginSoon(): void {
    if (this.isPlanned || this.waiting.size === 0) return
    this.isPlanned = true
    this.deps.clock.nextTurn(() => {
      this.isPlanned = false
      this.begin()
    })
  }

  private begin(): void {
    for (const first of this.waiting) {
      if (this.stopped || this.walks.size >= limits.watchWalksMax) return
      this.beginAt(first.reached)
    }
  }

  private beginAt(position: number): void {
    const { home, faults, ...rest } = this.deps
    const walk: Walk = new Walk(position, {
      ...rest,
      home: {
        joining: (position) => this.board(walk, position),
        onLeft: (watcher) => {
          this.boarded.delete(watcher)
          home.onLeft(watcher)
        },
        onCaughtUp: (watcher) => {
          this.boarded.delete(watcher)
          home.onCaughtUp(watcher)
        },
        onCompacted: (watcher, compactRevision) => {
          this.boarded.delete(watcher)
          home.onCompacted(watcher, compactRevision)
        },
        wake: (watcher) => home.wake(watcher),
      },
    })
    this.walks.add(walk)
    walk.board()
    walk
      .run()
      .catch((error: unknown) => {
        if (!this.stopped) faults.report(error)
      })
      .finally(() => {
        this.walks.delete(walk)
        this.beginSoon()
      })
      .catch((error: unknown) => faults.report(error))
  }

  private board(walk: Walk, position: number): Watcher[] {
    const joining: Watcher[] = []
    for (const watcher of this.waiting) {
      if (watcher.reached < position || watcher.reached > position + limits.watchBoardingRevisionsMax) continue
      this.waiting.delete(watcher)
      this.boarded.set(watcher, walk)
      joining.push(watcher)
    }
    return joining
  }
}
