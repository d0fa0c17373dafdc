/** What a load test measured. Times in seconds. */
export interface PerfSummary {
  readonly puts: number
  readonly failed: number
  readonly putsPerSecond: number
  readonly p50Seconds: number
  readonly p99Seconds: number
  readonly slowestSeconds: number
  readonly stddevSeconds: number
}

export interface Criterion {
  readonly ok: boolean
  readonly text: string
}

/** The measures of etcd's `check perf`. */
const shareMin = 0.9
const slowestSecondsMax = 0.5
const stddevSecondsMax = 0.1

export function summaryOf(seconds: readonly number[], failed: number, lastedSeconds: number): PerfSummary {
  const sorted = Float64Array.from(seconds).sort()
  const puts = sorted.length
  const mean = sorted.reduce((sum, one) => sum + one, 0) / Math.max(1, puts)
  const variance = sorted.reduce((sum, one) => sum + (one - mean) ** 2, 0) / Math.max(1, puts)
  const quantile = (share: number): number => sorted[Math.max(0, Math.ceil(share * puts) - 1)] ?? 0
  return {
    puts,
    failed,
    putsPerSecond: puts / lastedSeconds,
    p50Seconds: quantile(0.5),
    p99Seconds: quantile(0.99),
    slowestSeconds: sorted.at(-1) ?? 0,
    stddevSeconds: Math.sqrt(variance),
  }
}

/** `rate`: how many puts a second were asked for. */
export function verdictOf(summary: PerfSummary, rate: number): readonly Criterion[] {
  const { putsPerSecond, slowestSeconds, stddevSeconds, failed } = summary
  return [
    { ok: putsPerSecond >= shareMin * rate, text: `throughput is ${putsPerSecond.toFixed(0)} put/s` },
    { ok: slowestSeconds <= slowestSecondsMax, text: `slowest put took ${slowestSeconds.toFixed(6)} s` },
    { ok: stddevSeconds <= stddevSecondsMax, text: `standard deviation is ${stddevSeconds.toFixed(6)} s` },
    { ok: failed === 0, text: `${failed} puts failed` },
  ]
}
