import { monitorEventLoopDelay, type IntervalHistogram } from 'node:perf_hooks'

const NAME = 'quorate_event_loop_delay_seconds'
const HELP = 'How late the event loop is. The quantiles are of half a minute at least.'
const QUANTILES = [0.5, 0.9, 0.99, 1]
const RESOLUTION_MS = 10
/** A spike stays in the quantiles for this long, and for no more than twice as long while somebody reads. */
const WINDOW_MS = 30_000

interface Sampler {
  readonly histogram: IntervalHistogram
  /** When it began, or began anew. */
  since: number
}

/**
 * How late the event loop is, as a summary in the text format of Prometheus. There may be several readers, such as Prometheus and a dashboard:
 * a reading takes nothing from the others. Two samplers run, which begin anew in turn, and the one that has run longer is read.
 */
export class EventLoopDelay {
  private readonly now: () => number
  private longer: Sampler
  private shorter: Sampler
  /** Sum and count of what no sampler has any more. */
  private forgotten = { sumSeconds: 0, count: 0 }
  private sumSeconds = 0

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.now = now
    this.longer = this.start()
    this.shorter = this.start()
  }

  text(): string {
    const { histogram } = this.longer
    const { count, sumSeconds } = totalOf(histogram)
    // A tick that is early by a few microseconds would let the sum shrink.
    this.sumSeconds = Math.max(this.sumSeconds, this.forgotten.sumSeconds + sumSeconds)
    const lines = [`# HELP ${NAME} ${HELP}`, `# TYPE ${NAME} summary`]
    for (const quantile of QUANTILES) {
      const seconds = count > 0 ? lateSeconds(histogram.percentile(quantile * 100)) : Number.NaN
      lines.push(`${NAME}{quantile="${quantile}"} ${Math.max(0, seconds)}`)
    }
    lines.push(`${NAME}_sum ${this.sumSeconds}`, `${NAME}_count ${this.forgotten.count + count}`, '')
    this.beginAnew()
    return lines.join('\n')
  }

  close(): void {
    for (const { histogram } of [this.longer, this.shorter]) histogram.disable()
  }

  /** Once the shorter sampler has run for a window, it takes the place of the longer, which begins anew. */
  private beginAnew(): void {
    if (this.now() - this.shorter.since < WINDOW_MS) return
    const [longer, shorter] = [totalOf(this.longer.histogram), totalOf(this.shorter.histogram)]
    this.forgotten = {
      sumSeconds: this.forgotten.sumSeconds + longer.sumSeconds - shorter.sumSeconds,
      count: this.forgotten.count + longer.count - shorter.count,
    }
    this.longer.histogram.reset()
    this.longer.since = this.now()
    ;[this.longer, this.shorter] = [this.shorter, this.longer]
  }

  private start(): Sampler {
    const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
    histogram.enable()
    return { histogram, since: this.now() }
  }
}

function totalOf({ count, mean }: IntervalHistogram): { readonly count: number; readonly sumSeconds: number } {
  return { count, sumSeconds: count > 0 ? lateSeconds(mean) * count : 0 }
}

/** The sampler measures from one tick to the next. The result includes its own interval, which is subtracted here. */
function lateSeconds(nanoseconds: number): number {
  return nanoseconds / 1e9 - RESOLUTION_MS / 1000
}
