import type { Clock } from '../../ports/clock.ts'

/**
 * Since when this node has looked at its members without a gap. A node that stood still (a stopped process, a frozen container, a suspended
 * machine) heard nobody meanwhile, and its members may have stood still with it: that time says nothing about them.
 */
export class Attention {
  private readonly gapMsMax: number
  private readonly clock: Clock
  private lookedAt: { readonly now: number; readonly wall: number } | null = null
  private since = -Infinity

  /** `gapMsMax`: between two looks that lie further apart, the node stood still. */
  constructor(options: { readonly gapMsMax: number }, dependencies: { readonly clock: Clock }) {
    this.gapMsMax = options.gapMsMax
    this.clock = dependencies.clock
  }

  /**
   * To be called at every look. Returns the moment, on the monotonic clock, from which on silence counts; `-Infinity` when there was no gap.
   * The wall clock is read as well because the monotonic clock stops while the machine is suspended. A wall clock that is set forward looks
   * the same, and only makes the node wait longer.
   */
  look(): number {
    const now = this.clock.now()
    const wall = this.clock.wall()
    const { lookedAt } = this
    this.lookedAt = { now, wall }
    if (lookedAt !== null && Math.max(now - lookedAt.now, wall - lookedAt.wall) > this.gapMsMax) this.since = now
    return this.since
  }
}
