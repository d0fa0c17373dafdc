import { dropOldest } from './drop-oldest.ts'

export interface RepeatsOptions {
  /** After a cause was reported, it is only counted for this long. */
  readonly intervalMs: number
  /**
   * How many causes are remembered. Beyond that, the cause that was reported longest ago is forgotten, and reported again the next time.
   */
  readonly causesMax: number
}

/** Reports a recurring cause once, and after that now and then with the number of times that it has recurred. */
export class Repeats {
  private readonly options: RepeatsOptions
  private readonly now: () => number
  private readonly causes = new Map<string, { readonly toldAt: number; untold: number }>()

  /** `now`: monotonic milliseconds. */
  constructor(options: RepeatsOptions, now: () => number) {
    this.options = options
    this.now = now
  }

  /**
   * Counts `cause`. Returns how often it has come since it was last reported, this time included, if it is to be reported now; null if not.
   */
  add(cause: string): number | null {
    const known = this.causes.get(cause)
    const now = this.now()
    if (known !== undefined && now - known.toldAt < this.options.intervalMs) {
      known.untold += 1
      return null
    }
    this.causes.delete(cause)
    this.causes.set(cause, { toldAt: now, untold: 0 })
    dropOldest(this.causes, this.options.causesMax)
    return (known?.untold ?? 0) + 1
  }

  /** All causes that begin with `start` are over: the next occurrence is reported. */
  forget(start: string): void {
    for (const cause of this.causes.keys()) if (cause.startsWith(start)) this.causes.delete(cause)
  }
}
