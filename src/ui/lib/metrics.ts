/** The series of `/metrics` by name and labels, as they stand there: `quorate_peer_connected{peer="2"}`. */
export type Metrics = ReadonlyMap<string, number>

/** Only what the dashboard draws is kept. */
const WANTED =
  /^(quorate_|process_resident_memory_bytes|process_cpu_seconds_total|nodejs_heap_size_used_bytes|nodejs_external_memory_bytes)/

/** Reads the text format of Prometheus, without timestamps. A line that is not understood is left out. */
export function parseMetrics(text: string): Metrics {
  const metrics = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (!WANTED.test(line)) continue
    const at = line.lastIndexOf(' ')
    const value = numberOf(line.slice(at + 1))
    if (at > 0 && value !== null) metrics.set(line.slice(0, at), value)
  }
  return metrics
}

function numberOf(text: string): number | null {
  if (text === '+Inf') return Infinity
  if (text === '-Inf') return -Infinity
  const value = Number(text)
  return Number.isNaN(value) || text === '' ? null : value
}

/** The durations that were counted between two readings of a histogram, by upper bound in seconds. */
interface Counted {
  readonly bound: number
  /** At or below the bound. */
  readonly below: number
}

/**
 * A quantile of the durations between two readings, in seconds, as Prometheus estimates it: linear inside a bucket. Null when there were none, or
 * when the node was started anew in between.
 */
export function quantileBetween(before: Metrics, after: Metrics, name: string, quantile: number): number | null {
  const counted = countedBetween(before, after, name)
  const total = counted.at(-1)?.below ?? 0
  if (total <= 0 || counted.some(({ below }) => below < 0)) return null
  const rank = quantile * total
  const at = counted.findIndex(({ below }) => below >= rank)
  const { bound, below } = counted[at] ?? { bound: 0, below: 0 }
  const { bound: from, below: already } = counted[at - 1] ?? { bound: 0, below: 0 }
  // Beyond the last bound nothing is known but that.
  if (bound === Infinity) return from
  return from + ((bound - from) * (rank - already)) / Math.max(1, below - already)
}

function countedBetween(before: Metrics, after: Metrics, name: string): readonly Counted[] {
  const start = `${name}_bucket{le="`
  return [...after]
    .flatMap(([series, value]): Counted[] => {
      if (!series.startsWith(start)) return []
      const bound = numberOf(series.slice(start.length, -2))
      return bound === null ? [] : [{ bound, below: value - (before.get(series) ?? 0) }]
    })
    .toSorted((a, b) => a.bound - b.bound)
}

/** How much a counter grew for each second; null when it is not there, or was started anew. */
export function rateBetween(before: Metrics, after: Metrics, name: string, seconds: number): number | null {
  const [from, to] = [before.get(name), after.get(name)]
  if (from === undefined || to === undefined || to < from || seconds <= 0) return null
  return (to - from) / seconds
}

/** The mean of what a summary or a histogram counted between two readings; null when that was nothing, or when it was started anew. */
export function meanBetween(before: Metrics, after: Metrics, name: string): number | null {
  const grown = (series: string): number => (after.get(series) ?? 0) - (before.get(series) ?? 0)
  const count = grown(`${name}_count`)
  return count > 0 ? Math.max(0, grown(`${name}_sum`)) / count : null
}

/** The last round trip to each peer, in milliseconds. */
export function roundTripsIn(metrics: Metrics): ReadonlyMap<number, number> {
  const trips = new Map<number, number>()
  for (const [series, value] of metrics) {
    const peer = /^quorate_peer_round_trip_seconds\{peer="(\d+)"\}$/.exec(series)?.[1]
    if (peer !== undefined) trips.set(Number(peer), value * 1000)
  }
  return trips
}
