import type { Clock } from '../../ports/clock.ts'

export interface SuspensionDependencies {
  readonly clock: Clock
  /** Told when the machine may have been suspended: nothing may rely any more on how long ago something before that moment happened. */
  readonly core: { onWoken(): void }
}

/**
 * Measures time that the monotonic clock does not count: it stands still while the machine is suspended, but the wall clock goes on.
 *
 * Setting the wall clock, forward or back, looks the same as a suspension, and costs a lease at worst. A suspension stays hidden when the
 * wall clock is set back by just as much, before this node looks: nothing else here can reveal it.
 */
export class Suspension {
  private readonly partMsMax: number
  private readonly deps: SuspensionDependencies
  /** By how much the wall clock was ahead of the monotonic clock, at least, since the two last moved apart. */
  private lead: number

  /**
   * `partMsMax`: when the clocks move further apart than this, the wall clock was set or the machine suspended. `look` returns lesser
   * differences.
   */
  constructor(options: { readonly partMsMax: number }, dependencies: SuspensionDependencies) {
    this.partMsMax = options.partMsMax
    this.deps = dependencies
    this.lead = dependencies.clock.wall() - dependencies.clock.now()
  }

  /**
   * How much longer ago than the monotonic clock says any event may have been, unless it was declared void. To be called often: the clock
   * readings that are compared must lie close together.
   */
  look(): number {
    const { clock, core } = this.deps
    const before = clock.now()
    const wall = clock.wall()
    const after = clock.now()
    // If the process is stopped between two of these readings, the error must be towards a larger difference.
    const uncounted = wall - before - this.lead
    const hasParted = Math.abs(uncounted) > this.partMsMax
    if (hasParted || wall - after < this.lead) this.lead = wall - after
    if (!hasParted) return wall - before - this.lead
    core.onWoken()
    return 0
  }
}
