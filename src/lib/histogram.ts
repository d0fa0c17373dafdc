/** Counts of durations by upper bound in seconds. Recording costs a search in a short array, so it may be used on the hot path. */
export class Histogram {
  readonly bounds: readonly number[]
  readonly counts: number[]
  sum = 0
  count = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = bounds.map(() => 0)
  }

  record(seconds: number): void {
    this.sum += seconds
    this.count += 1
    for (let at = 0; at < this.bounds.length; at++) {
      const bound = this.bounds[at]
      if (bound === undefined || seconds > bound) continue
      this.counts[at] = (this.counts[at] ?? 0) + 1
      return
    }
  }
}

/** From 50 us to 3.3 s, doubling. */
export const STORAGE_SECONDS: readonly number[] = Array.from({ length: 17 }, (_, at) => 0.00005 * 2 ** at)
