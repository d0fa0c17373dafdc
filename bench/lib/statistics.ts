import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'

/** A point of a curve. */
export type Point = readonly [x: number, y: number]

/** In milliseconds. */
export interface Quantiles {
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

/** Percentages at which a distribution of latencies is drawn. */
export const PERCENTAGES = [1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99]

/** Latencies in an HDR histogram (the one that Node contains), exact to three figures, from 1 us on. */
export class Latencies {
  private readonly histogram: RecordableHistogram = createHistogram({ figures: 3 })

  record(ms: number): void {
    this.histogram.record(Math.max(1, Math.round(ms * 1000)))
  }

  reset(): void {
    this.histogram.reset()
  }

  /** All zero when there is nothing. */
  quantiles(): Quantiles {
    return {
      p50: this.at(50),
      p90: this.at(90),
      p99: this.at(99),
      p999: this.at(99.9),
      max: this.histogram.count === 0 ? 0 : this.histogram.max / 1000,
    }
  }

  distribution(): Point[] {
    return PERCENTAGES.map((percentage) => [percentage, this.at(percentage)])
  }

  private at(percentage: number): number {
    return this.histogram.count === 0 ? 0 : this.histogram.percentile(percentage) / 1000
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, one) => sum + one, 0) / values.length
}

/** The share of the samples, in percent, that is not larger, for each sample: what is drawn of few samples. */
export function cumulative(samples: readonly number[]): Point[] {
  return samples.toSorted((a, b) => a - b).map((sample, at) => [sample, (100 * (at + 1)) / samples.length])
}

/** The median of each field over repeated runs, and the spread of one of them as `min` and `max`. */
export function summarize<Field extends string>(
  runs: readonly Readonly<Record<Field, number>>[],
  spreadOf: Field,
): Record<string, number> {
  const first = runs[0]
  if (first === undefined) return {}
  const summary: Record<string, number> = {}
  for (const field of Object.keys(first) as Field[]) summary[field] = median(runs.map((run) => run[field]))
  summary[`${spreadOf}Min`] = Math.min(...runs.map((run) => run[spreadOf]))
  summary[`${spreadOf}Max`] = Math.max(...runs.map((run) => run[spreadOf]))
  return summary
}
