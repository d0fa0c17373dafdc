import type { Clock } from '../../../src/ports/clock.ts'
import type { ScheduledEvent } from './heap.ts'
import type { SimProcess } from './process.ts'
import { cancel, type World } from './world.ts'

const WALL_MS = 1_700_000_000_000

interface Timer {
  readonly deadline: number
  readonly callback: () => void
  event: ScheduledEvent
}

/**
 * A process's monotonic clock. It starts at any value, runs at its own speed, may jump forward, and never goes back. It stands
 * still while the machine is suspended. The wall clock continues then, and may be set at any time.
 */
export class SimClock implements Clock {
  private readonly world: World
  private readonly process: SimProcess
  private readonly timers = new Set<Timer>()
  private anchorWorld: number
  private anchorLocal: number
  private readonly speed: number
  private lastTurnAt = 0
  /** How far the wall clock is ahead of the monotonic one, in addition to `WALL_MS`. */
  private slept = 0
  /** The time of the suspension on the world's clock; null while the clock runs. */
  private suspendedAt: number | null = null

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
    const worldNow = this.suspendedAt ?? this.world.now()
    return this.anchorLocal + (worldNow - this.anchorWorld) * this.speed
  }

  wall(): number {
    const sleeping = this.suspendedAt === null ? 0 : this.world.now() - this.suspendedAt
    return WALL_MS + this.now() + this.slept + sleeping
  }

  after(delayMs: number, callback: () => void): () => void {
    // Timers of the platform fire up to a millisecond late, never early.
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
    // Callbacks keep their order: none runs before one that was requested earlier.
    const at = Math.max(this.lastTurnAt, Math.ceil(this.world.now() / turnMs) * turnMs)
    this.lastTurnAt = at
    this.world.at(at, () => this.process.deliver('turn', callback))
  }

  jump(forwardMs: number): void {
    this.anchorLocal += forwardMs
    if (this.suspendedAt === null) this.reschedule()
  }

  setWall(byMs: number): void {
    this.slept += byMs
  }

  suspend(): void {
    if (this.suspendedAt !== null) return
    this.suspendedAt = this.world.now()
    for (const timer of this.timers) cancel(timer.event)
  }

  wake(): void {
    if (this.suspendedAt === null) return
    const sleptMs = this.world.now() - this.suspendedAt
    this.slept += sleptMs
    this.anchorWorld += sleptMs
    this.suspendedAt = null
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
