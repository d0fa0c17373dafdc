import { monitorEventLoopDelay, type IntervalHistogram } from 'node:perf_hooks'

const NAME = 'quorate_event_loop_delay_seconds'
const HELP = 'How late the event loop is. The quantiles are of the time since the last reading.'
const QUANTILES = [0.5, 0.9, 0.99, 1]
const RESOLUTION_MS = 10

/** How late the event loop is, as a summary in the text format of Prometheus. */
export class EventLoopDelay {
  private readonly sampled: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  /** Sum and count cover all samples up to the last reading. */
  private sumSeconds = 0
  private count = 0

  constructor() {
    this.sampled.enable()
  }

  /** Each reading starts the quantiles afresh. Sum and count are never reset, so several readers may share them. */
  text(): string {
    const { count, mean } = this.sampled
    if (count > 0) this.sumSeconds += lateSeconds(mean) * count
    this.count += count
    const lines = [`# HELP ${NAME} ${HELP}`, `# TYPE ${NAME} summary`]
    for (const quantile of QUANTILES) {
      const seconds = count > 0 ? lateSeconds(this.sampled.percentile(quantile * 100)) : Number.NaN
      lines.push(`${NAME}{quantile="${quantile}"} ${seconds}`)
    }
    this.sampled.reset()
    lines.push(`${NAME}_sum ${this.sumSeconds}`, `${NAME}_count ${this.count}`, '')
    return lines.join('\n')
  }

  close(): void {
    this.sampled.disable()
  }
}

/** The sampler measures from one tick to the next. The result includes its own interval, which is subtracted here. */
function lateSeconds(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1000)
}
