import type { Stage, StageSums, StageTimes } from './stages.ts'

export interface SlowLogOptions {
  /** A request that takes at least this long is slow. */
  readonly thresholdMs: number
  /** Lines in one interval. What is slow beyond them is told in one line at its end. */
  readonly linesMax: number
  readonly intervalMs: number
}

export interface SlowLogDependencies {
  /** Monotonic milliseconds, and a timer that can be cancelled. */
  readonly clock: { now(): number; after(delayMs: number, callback: () => void): () => void }
  readonly logger: { warn(facts: object, event: string): void }
}

/** The slow requests without a line of their own. */
interface LeftOut {
  count: number
  slowestMs: number
  readonly sums: Map<Stage, number>
}

/** Writes a line about each request that was slow, as long as they are few. A slow disk makes all of them slow, and then the log must not grow with them. */
export class SlowLog {
  readonly thresholdMs: number
  private readonly options: SlowLogOptions
  private readonly deps: SlowLogDependencies
  private intervalAt = -Infinity
  private lines = 0
  private leftOut: LeftOut | null = null
  private cancelTimer: (() => void) | null = null

  constructor(options: SlowLogOptions, deps: SlowLogDependencies) {
    this.thresholdMs = options.thresholdMs
    this.options = options
    this.deps = deps
  }

  tell(event: string, facts: object, sums: StageSums): void {
    const { clock, logger } = this.deps
    const now = clock.now()
    if (now - this.intervalAt >= this.options.intervalMs) {
      this.tellLeftOut()
      this.intervalAt = now
      this.lines = 0
    }
    const { times, countedMs } = sums
    if (this.lines >= this.options.linesMax) return this.leaveOut(times, countedMs, now)
    this.lines += 1
    logger.warn({ ...facts, ms: rounded(countedMs), ...timeFacts(times) }, event)
  }

  /** Tells what is left to tell. */
  close(): void {
    this.tellLeftOut()
  }

  private leaveOut(times: StageTimes, ms: number, now: number): void {
    const leftOut = this.leftOut ?? { count: 0, slowestMs: 0, sums: new Map<Stage, number>() }
    this.leftOut = leftOut
    leftOut.count += 1
    leftOut.slowestMs = Math.max(leftOut.slowestMs, ms)
    for (const [stage, spent] of times) leftOut.sums.set(stage, (leftOut.sums.get(stage) ?? 0) + spent)
    const leftMs = this.intervalAt + this.options.intervalMs - now
    this.cancelTimer ??= this.deps.clock.after(leftMs, () => this.tellLeftOut())
  }

  private tellLeftOut(): void {
    this.cancelTimer?.()
    this.cancelTimer = null
    if (this.leftOut === null) return
    const { count, slowestMs, sums } = this.leftOut
    this.leftOut = null
    this.deps.logger.warn(
      { requests: count, slowestMs: rounded(slowestMs), ...timeFacts(sums) },
      'slow requests without a line of their own',
    )
  }
}

function timeFacts(times: StageTimes): Record<string, number> {
  return Object.fromEntries([...times].map(([stage, ms]) => [`${stage}Ms`, rounded(ms)]))
}

/** To a tenth of a millisecond. */
function rounded(ms: number): number {
  return Math.round(ms * 10) / 10
}
