import type { Phase } from '../load.ts'

interface Stretch {
  readonly startMs: number
  readonly perMs: number
  /** The number of the first request, and of the one after the last. */
  readonly first: number
  readonly end: number
}

/** When the requests of an open loop are due: evenly over each phase, beginning at its start. Times in milliseconds from the start. */
export class Schedule {
  readonly total: number
  readonly durationMs: number
  private readonly stretches: readonly Stretch[]

  constructor(phases: readonly Phase[]) {
    const stretches: Stretch[] = []
    let [startMs, first] = [0, 0]
    for (const { perSecond, seconds } of phases) {
      const end = first + Math.round(perSecond * seconds)
      stretches.push({ startMs, perMs: perSecond / 1000, first, end })
      startMs += seconds * 1000
      first = end
    }
    this.stretches = stretches
    this.total = first
    this.durationMs = startMs
  }

  /** When request number `n` (from 0) is due; `Infinity` after the last. */
  dueMs(n: number): number {
    const stretch = this.stretches.find(({ end }) => n < end)
    return stretch === undefined ? Infinity : stretch.startMs + (n - stretch.first) / stretch.perMs
  }

  /** How many requests are due by then, that moment included. */
  dueBy(elapsedMs: number): number {
    const stretch = this.stretches.findLast(({ startMs }) => startMs <= elapsedMs)
    if (stretch === undefined) return 0
    const begun = Math.floor((elapsedMs - stretch.startMs) * stretch.perMs + 1e-9) + 1
    return Math.min(stretch.end, stretch.first + begun)
  }
}
