const SAMPLES = 8

/** The mean of the last few round trips, in milliseconds. */
export class RoundTrip {
  private readonly samples: number[] = []

  add(durationMs: number): void {
    this.samples.push(durationMs)
    if (this.samples.length > SAMPLES) this.samples.shift()
  }

  /** Null before the first round trip. */
  mean(): number | null {
    if (this.samples.length === 0) return null
    return this.samples.reduce((sum, sample) => sum + sample, 0) / this.samples.length
  }
}
