/** How often something happens: over the last one to two periods, or since the count began if that is less. */
export class Rate {
  private readonly periodMs: number
  private periodAt = 0
  private count = 0
  /** In the whole period before this one; null: the count began in this one. */
  private countBefore: number | null = null

  constructor(periodMs: number) {
    this.periodMs = periodMs
  }

  /** Begins to count anew. */
  begin(now: number): void {
    this.periodAt = now
    this.count = 0
    this.countBefore = null
  }

  add(now: number): void {
    this.reach(now)
    this.count += 1
  }

  perMs(now: number): number {
    this.reach(now)
    const countedMs = now - this.periodAt + (this.countBefore === null ? 0 : this.periodMs)
    return countedMs === 0 ? 0 : (this.count + (this.countBefore ?? 0)) / countedMs
  }

  private reach(now: number): void {
    const periods = Math.floor((now - this.periodAt) / this.periodMs)
    if (periods < 1) return
    this.countBefore = periods === 1 ? this.count : 0
    this.count = 0
    this.periodAt += periods * this.periodMs
  }
}
