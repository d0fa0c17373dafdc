import { meanBetween, quantileBetween, rateBetween, type Metrics } from '../lib/metrics.ts'

/** One line of a chart. */
export interface SeriesEntry {
  readonly name: string
  /** Its number at a reading, from that reading and the one before; null: not known. */
  readonly read: (before: Metrics, after: Metrics, seconds: number) => number | null
}

export interface ChartEntry {
  readonly name: string
  readonly title: string
  /** What the numbers mean, in a sentence. */
  readonly hint: string
  readonly unit: 'rate' | 'seconds' | 'bytes' | 'count' | 'share'
  readonly series: readonly SeriesEntry[]
}

const gauge = (name: string) => (_: Metrics, after: Metrics) => after.get(name) ?? null
const rate = (name: string) => (before: Metrics, after: Metrics, seconds: number) =>
  rateBetween(before, after, name, seconds)
const quantile = (name: string, share: number) => (before: Metrics, after: Metrics) =>
  quantileBetween(before, after, name, share)
/** The mean of what was counted between two readings. */
const mean = (name: string) => (before: Metrics, after: Metrics) => meanBetween(before, after, name)

function latency(name: string, title: string, hint: string, metric: string): ChartEntry {
  const series = [
    { name: 'median', read: quantile(metric, 0.5) },
    { name: '99%', read: quantile(metric, 0.99) },
  ]
  return { name, title, hint, unit: 'seconds', series }
}

/** The charts, in their order. */
export const charts: readonly ChartEntry[] = [
  {
    name: 'writes',
    title: 'Writes',
    hint: 'Entries of the log that were committed, as this node sees it, and writes of its own clients that failed.',
    unit: 'rate',
    series: [
      { name: 'committed', read: rate('quorate_proposals_committed_total') },
      { name: 'failed', read: rate('quorate_proposals_failed_total') },
    ],
  },
  {
    name: 'reads',
    title: 'Reads',
    hint: 'Reads of clients of this node: a page or a stream is one.',
    unit: 'rate',
    series: [{ name: 'reads', read: rate('quorate_reads_total') }],
  },
  latency(
    'commit',
    'Time of a write',
    'From when this node took a write from a client to when its outcome was known: forwarding, log, majority, state.',
    'quorate_write_duration_seconds',
  ),
  latency(
    'sync',
    'Sync of the log',
    'How long it took to write and sync a batch of the log. Every write waits for it.',
    'quorate_log_sync_duration_seconds',
  ),
  latency(
    'apply',
    'Application to the state',
    'How long it took to apply a batch to the state.',
    'quorate_apply_duration_seconds',
  ),
  {
    name: 'waiting',
    title: 'Waiting',
    hint: 'Requests of clients of this node that wait for their outcome.',
    unit: 'count',
    series: [
      { name: 'writes', read: gauge('quorate_proposals_pending') },
      { name: 'reads', read: gauge('quorate_reads_pending') },
    ],
  },
  {
    name: 'loop',
    title: 'Event loop',
    hint: 'How late the event loop is: at worst in the last half minute or the one before, and on average since the reading before. Half of an election timeout (150 ms) is too much.',
    unit: 'seconds',
    series: [
      { name: 'longest', read: gauge('quorate_event_loop_delay_seconds{quantile="1"}') },
      { name: 'mean', read: mean('quorate_event_loop_delay_seconds') },
    ],
  },
  {
    name: 'cpu',
    title: 'Processor',
    hint: 'What the process takes of one core.',
    unit: 'share',
    series: [{ name: 'used', read: rate('process_cpu_seconds_total') }],
  },
  {
    name: 'memory',
    title: 'Memory',
    hint: 'What the process takes of the memory of the machine, and what of it is heap and buffers of JavaScript.',
    unit: 'bytes',
    series: [
      { name: 'resident', read: gauge('process_resident_memory_bytes') },
      { name: 'heap', read: gauge('nodejs_heap_size_used_bytes') },
      { name: 'buffers', read: gauge('nodejs_external_memory_bytes') },
    ],
  },
  {
    name: 'watches',
    title: 'Watches',
    hint: 'Changes that watchers of this node were given.',
    unit: 'rate',
    series: [{ name: 'changes', read: rate('quorate_watch_changes_sent_total') }],
  },
  {
    name: 'disk',
    title: 'Disk',
    hint: 'The log, which is freed as the state covers it, and the state.',
    unit: 'bytes',
    series: [
      { name: 'log', read: gauge('quorate_log_size_bytes') },
      { name: 'state', read: gauge('quorate_state_size_bytes') },
    ],
  },
]

/** What the charts have drawn: for each reading the time, and one number for each line of each chart. */
export class ChartHistory {
  /** Seconds since 1970, ascending. */
  readonly times: number[] = []
  private readonly lines = new Map<string, (number | null)[]>()
  private readonly spanMs: number
  private readonly readingsMax: number

  constructor(spanMs: number, readingsMax: number) {
    this.spanMs = spanMs
    this.readingsMax = readingsMax
  }

  /** Takes two readings, one after the other. */
  push(at: number, before: Metrics, after: Metrics, seconds: number): void {
    // A clock that was set back would fold the lines.
    if (at / 1000 <= (this.times.at(-1) ?? 0)) this.clear()
    this.times.push(at / 1000)
    for (const { name, series } of charts) {
      for (const line of series) this.line(name, line.name).push(line.read(before, after, seconds))
    }
    this.trim(at)
  }

  /** The numbers of one line, as many as there are times. */
  line(chart: string, series: string): (number | null)[] {
    const name = `${chart} ${series}`
    const line = this.lines.get(name) ?? []
    this.lines.set(name, line)
    return line
  }

  private trim(at: number): void {
    const oldest = (at - this.spanMs) / 1000
    const late = this.times.findIndex((time) => time >= oldest)
    const extra = Math.max(late, this.times.length - this.readingsMax, 0)
    if (extra === 0) return
    this.times.splice(0, extra)
    for (const line of this.lines.values()) line.splice(0, extra)
  }

  private clear(): void {
    this.times.length = 0
    for (const line of this.lines.values()) line.length = 0
  }
}
