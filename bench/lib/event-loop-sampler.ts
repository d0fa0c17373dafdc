import { Latencies } from './statistics.ts'

/**
 * Loaded into the process of each node before its program (`--import`): says how late the event loop is between two messages of the bench.
 * A probe is due every `EVERY_MS`. While the loop is blocked, each probe that is due counts with the time until the loop is free, so that a
 * long block weighs as much as it lasts.
 */

/** To the node: `begin` forgets what was before, `end` asks for what has been since. */
export type SamplerRequest = 'begin' | 'end'

export interface LoopDelays {
  readonly p99Ms: number
  readonly maxMs: number
}

const EVERY_MS = 5

class Sampler {
  private readonly delays = new Latencies()
  private timer: NodeJS.Timeout | null = null

  begin(): void {
    this.delays.reset()
    if (this.timer === null) this.wait()
  }

  end(): LoopDelays {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    const { p99, max } = this.delays.quantiles()
    return { p99Ms: p99, maxMs: max }
  }

  private wait(): void {
    const due = performance.now() + EVERY_MS
    this.timer = setTimeout(() => {
      for (let late = performance.now() - due; late > 0; late -= EVERY_MS) this.delays.record(late)
      this.wait()
    }, EVERY_MS).unref()
  }
}

const sampler = new Sampler()
process.on('message', (request: SamplerRequest) => {
  if (request === 'begin') sampler.begin()
  // The timer of a loop that was blocked until now comes first.
  else setTimeout(() => process.send?.(sampler.end()), 2 * EVERY_MS).unref()
})
process.channel?.unref()
