export interface RepeatsOptions {
  /** How long what was told once is only counted. */
  readonly intervalMs: number
  /** Causes that are kept in mind; of more, the one that was told longest ago is told anew. */
  readonly causesMax: number
}

/** What happens again and again is told once, and now and then how often it has happened since. */
export class Repeats {
  private readonly options: RepeatsOptions
  private readonly now: () => number
  private readonly causes = new Map<string, { readonly toldAt: number; untold: number }>()

  /** `now`: monotonic milliseconds. */
  constructor(options: RepeatsOptions, now: () => number) {
    this.options = options
    this.now = now
  }

  /** How many times `cause` has come since it was told last, this time included, if it is to be told now; null if not. */
  add(cause: string): number | null {
    const known = this.causes.get(cause)
    const now = this.now()
    if (known !== undefined && now - known.toldAt < this.options.intervalMs) {
      known.untold += 1
      return null
    }
    this.causes.delete(cause)
    this.causes.set(cause, { toldAt: now, untold: 0 })
    for (const oldest of this.causes.keys()) {
      if (this.causes.size <= this.options.causesMax) break
      this.causes.delete(oldest)
    }
    return (known?.untold ?? 0) + 1
  }

  /** All causes that begin with `start` are over: the next time is news. */
  forget(start: string): void {
    for (const cause of this.causes.keys()) if (cause.startsWith(start)) this.causes.delete(cause)
  }
}
