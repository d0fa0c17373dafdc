import type { Clock } from '../../src/ports/clock.ts'
import type { ScheduledEvent } from './heap.ts'
import type { SimProcess } from './process.ts'
import { cancel, type World } from './world.ts'

interface Timer {
  readonly deadline: number
  readonly callback: () => void
  event: ScheduledEvent
}

/** A process's monotonic clock: begins anywhere, runs at its own speed, may jump forward, never goes back. */
export class SimClock implements Clock {
  private readonly world: World
  private readonly process: SimProcess
  private readonly timers = new Set<Timer>()
  private readonly anchorWorld: number
  private anchorLocal: number
  private readonly speed: number
  private lastTurnAt = 0

  constructor(
    options: { readonly rate: number; readonly startAt: number },
    dependencies: { readonly world: World; readonly process: SimProcess },
  ) {
    this.world = dependencies.world
    this.process = dependencies.process
    this.speed = options.rate
    this.anchorWorld = this.world.now()
    this.anchorLocal = options.startAt
  }

  now(): number {
    return this.anchorLocal + (this.world.now() - this.anchorWorld) * this.speed
  }

  after(delayMs: number, callback: () => void): () => void {
    // Timers of the platform are late by up to a millisecond, never early.
    const deadline = this.now() + Math.max(0, delayMs) + this.process.random.fraction()
    const timer: Timer = { deadline, callback, event: this.schedule(deadline, () => this.fire(timer)) }
    this.timers.add(timer)
    return () => {
      cancel(timer.event)
      this.timers.delete(timer)
    }
  }

  nextTurn(callback: () => void): void {
    const { turnMs } = this.process.pace
    // Callbacks keep their order: never before one that was asked for earlier.
    const at = Math.max(this.lastTurnAt, Math.ceil(this.world.now() / turnMs) * turnMs)
    this.lastTurnAt = at
    this.world.at(at, () => this.process.deliver('turn', callback))
  }

  jump(forwardMs: number): void {
    this.anchorLocal += forwardMs
    this.reschedule()
  }

  private schedule(deadline: number, run: () => void): ScheduledEvent {
    return this.world.after(Math.max(0, deadline - this.now()) / this.speed, run)
  }

  private reschedule(): void {
    for (const timer of this.timers) {
      cancel(timer.event)
      timer.event = this.schedule(timer.deadline, () => this.fire(timer))
    }
  }

  private fire(timer: Timer): void {
    if (!this.timers.has(timer)) return
    this.process.deliver('timer', () => {
      if (this.timers.delete(timer)) timer.callback()
    })
  }
}
