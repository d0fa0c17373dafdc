import type { Second } from '../load.ts'
import { Latencies, type Point, type Quantiles } from '../statistics.ts'

const NOTHING: Second = { ok: 0, refused: 0, failed: 0, p50: 0, p99: 0, max: 0 }
const SECOND_MS = 1000

/** Counts answers, as a whole and for each second since the start. */
export class Tally {
  readonly seconds: Second[] = []
  ok = 0
  refused = 0
  failed = 0
  private readonly latencies = new Latencies()
  private readonly refusals = new Latencies()
  private readonly ofSecond = new Latencies()
  private present = { ok: 0, refused: 0, failed: 0 }

  answer(status: number, atMs: number, latencyMs: number): void {
    this.reach(atMs)
    if (status >= 200 && status < 300) {
      this.ok += 1
      this.present.ok += 1
      this.latencies.record(latencyMs)
      this.ofSecond.record(latencyMs)
    } else if (status === 429) {
      this.refused += 1
      this.present.refused += 1
      this.refusals.record(latencyMs)
    } else {
      this.lost(1, atMs)
    }
  }

  lost(count: number, atMs: number): void {
    this.reach(atMs)
    this.failed += count
    this.present.failed += count
  }

  /** Completes every second before `atMs`. */
  reach(atMs: number): void {
    while (atMs >= (this.seconds.length + 1) * SECOND_MS) {
      const { p50, p99, max } = this.ofSecond.quantiles()
      const { ok, refused, failed } = this.present
      this.seconds.push(ok + refused + failed === 0 ? NOTHING : { ok, refused, failed, p50, p99, max })
      this.ofSecond.reset()
      this.present = { ok: 0, refused: 0, failed: 0 }
    }
  }

  quantiles(): Quantiles {
    return this.latencies.quantiles()
  }

  distribution(): Point[] {
    return this.latencies.distribution()
  }

  refusedP99(): number {
    return this.refusals.quantiles().p99
  }
}
