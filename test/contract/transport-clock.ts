import type { Clock } from '../../src/ports/clock.ts'

interface Timer {
  readonly at: number
  readonly order: number
  readonly callback: () => void
}

/** A clock that stands still until a test moves it. Turns of the event loop happen only while it is moved. */
export class ManualClock implements Clock {
  private time = 0
  private orders = 0
  private readonly timers = new Set<Timer>()
  private turns: (() => void)[] = []

  now(): number {
    return this.time
  }

  wall(): number {
    return this.time
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { at: this.time + delayMs, order: ++this.orders, callback }
    this.timers.add(timer)
    return () => this.timers.delete(timer)
  }

  nextTurn(callback: () => void): void {
    this.turns.push(callback)
  }

  /** Timers that are neither cancelled nor due yet. */
  get pending(): number {
    return this.timers.size
  }

  /** Lets every turn that is planned happen, and what follows from it. */
  async settle(): Promise<void> {
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve))
      const { turns } = this
      if (turns.length === 0) return
      this.turns = []
      for (const turn of turns) turn()
    }
  }

  /** Moves on by `ms`, calling each timer at its time. */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms
    await this.settle()
    for (;;) {
      const [next] = [...this.timers].sort((a, b) => a.at - b.at || a.order - b.order)
      if (next === undefined || next.at > end) break
      this.time = Math.max(this.time, next.at)
      this.timers.delete(next)
      next.callback()
      await this.settle()
    }
    this.time = end
  }

  /** Moves on by `ms` at once, as for a process that stood still: every timer that is due is called before anything else happens. */
  async jump(ms: number): Promise<void> {
    this.time += ms
    const due = [...this.timers].filter(({ at }) => at <= this.time).sort((a, b) => a.at - b.at || a.order - b.order)
    for (const timer of due) {
      if (this.timers.delete(timer)) timer.callback()
    }
    await this.settle()
  }
}
