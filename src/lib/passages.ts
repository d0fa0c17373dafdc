export interface PassagesOptions {
  /** How many moments are remembered. A power of two. */
  readonly marksMax: number
  /** Moments that are closer together than this count as one. */
  readonly stepMs: number
}

/** Remembers when a number that grows has reached a value, for the latest values. Noting a moment costs a comparison and two stores. */
export class Passages {
  private readonly stepMs: number
  private readonly mask: number
  private readonly values: Float64Array
  private readonly times: Float64Array
  /** Marks are numbered. Those from `begin` up to before `end` are remembered, in the order of their values and moments. */
  private begin = 0
  private end = 0

  constructor({ marksMax, stepMs }: PassagesOptions) {
    this.stepMs = stepMs
    this.mask = marksMax - 1
    this.values = new Float64Array(marksMax)
    this.times = new Float64Array(marksMax)
  }

  /** The number is `value` at the moment `at`. */
  note(value: number, at: number): void {
    const isFirst = this.end === this.begin
    if (!isFirst) {
      const last = this.end - 1
      if (value <= this.valueAt(last)) return
      // The moment of the earlier mark stands for both.
      if (at - this.timeAt(last) < this.stepMs) return this.setValue(last, value)
    }
    this.times[this.end & this.mask] = at
    this.setValue(this.end, value)
    this.end += 1
    if (this.end - this.begin > this.values.length) this.begin += 1
  }

  /** When the number reached `value`, or, if that is forgotten, a moment after it; null: it has not yet. */
  when(value: number): number | null {
    let low = this.begin
    let high = this.end
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.valueAt(middle) < value) low = middle + 1
      else high = middle
    }
    return low === this.end ? null : this.timeAt(low)
  }

  /** The number is below `value` again, and will reach it anew. */
  forget(value: number): void {
    while (this.end > this.begin && this.valueAt(this.end - 1) >= value) {
      const standsForLess = this.end - 1 === this.begin || this.valueAt(this.end - 2) < value - 1
      if (standsForLess) return this.setValue(this.end - 1, value - 1)
      this.end -= 1
    }
  }

  private setValue(mark: number, value: number): void {
    this.values[mark & this.mask] = value
  }

  private valueAt(mark: number): number {
    return this.values[mark & this.mask] ?? 0
  }

  private timeAt(mark: number): number {
    return this.times[mark & this.mask] ?? 0
  }
}
