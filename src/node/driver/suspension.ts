import type { Clock } from '../../ports/clock.ts'

export interface SuspensionDependencies {
  readonly clock: Clock
  /** Whatever rests on how long ago something was that lies before now is void. */
  readonly onWoken: () => void
}

/**
 * Time that the monotonic clock does not count: it stands still while the machine is suspended, and the wall clock goes on.
 *
 * A wall clock that is set looks the same, forward or back, and then costs a lease at worst. One that is set back by just as much as the
 * machine was suspended, before this node looks, hides the suspension: nothing else here can tell.
 */
export class Suspension {
  private readonly partMsMax: number
  private readonly deps: SuspensionDependencies
  /** By how much the wall clock was ahead of the monotonic one, at least, since the two parted last. */
  private lead: number

  /** `partMsMax`: clocks that part further were set, or the machine was suspended. Less is taken into account by `look`. */
  constructor(options: { readonly partMsMax: number }, dependencies: SuspensionDependencies) {
    this.partMsMax = options.partMsMax
    this.deps = dependencies
    this.lead = dependencies.clock.wall() - dependencies.clock.now()
  }

  /**
   * How much longer ago than the monotonic clock says anything may have been that was not declared void. To be called often: what is
   * compared has to lie close together.
   */
  look(): number {
    const { clock, onWoken } = this.deps
    const before = clock.now()
    const wall = clock.wall()
    const after = clock.now()
    // A process that is stopped between two of these has to err towards a larger difference.
    const uncounted = wall - before - this.lead
    const hasParted = Math.abs(uncounted) > this.partMsMax
    if (hasParted || wall - after < this.lead) this.lead = wall - after
    if (!hasParted) return wall - before - this.lead
    onWoken()
    return 0
  }
}
