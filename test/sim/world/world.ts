import { Census } from './census.ts'
import { Draw } from './draw.ts'
import { EventHeap, type ScheduledEvent } from './heap.ts'
import type { Trace } from './trace.ts'
import { Violation } from './violation.ts'

/** Events put on the real event loop at once. Between two of them Node runs all waiting microtasks. */
const EVENTS_PER_TURN = 64

export interface WorldOptions {
  readonly seed: number
  readonly eventsMax: number
}

/**
 * Virtual time, and all events to come. Simulated programs act only within an event.
 *
 * Each event runs in a real `setImmediate` callback of its own. Node drains the microtasks between two of these, so every
 * promise chain that an event started has settled before the next event begins. Nothing else of the platform is used, so the
 * same seed gives the same run.
 */
export class World {
  readonly seed: number
  readonly random: Draw
  readonly census = new Census()
  readonly trace: Trace
  events = 0
  private time = 0
  private nextSeq = 0
  private readonly heap = new EventHeap()
  private readonly eventsMax: number
  private violation: Violation | null = null

  constructor(options: WorldOptions, dependencies: { readonly trace: Trace }) {
    this.seed = options.seed
    this.eventsMax = options.eventsMax
    this.random = new Draw(options.seed)
    this.trace = dependencies.trace
  }

  now(): number {
    return this.time
  }

  /** The first violation; nothing runs after it. */
  failure(): Violation | null {
    return this.violation
  }

  fail(violation: Violation): void {
    if (this.violation !== null) return
    this.violation = violation
    this.note('world', `VIOLATION ${violation.oracle}: ${violation.message}`)
  }

  get isTracing(): boolean {
    return this.trace.isOn
  }

  note(who: string, what: string): void {
    this.trace.add(this.time, who, what)
  }

  after(delayMs: number, run: () => void): ScheduledEvent {
    return this.at(this.time + Math.max(0, delayMs), run)
  }

  at(time: number, run: () => void): ScheduledEvent {
    const event = { time: Math.max(time, this.time), seq: this.nextSeq++, run }
    this.heap.push(event)
    return event
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, resolve))
  }

  /** Runs all events up to `time`, or until `done` is true or a violation occurs. */
  runUntil(time: number, done: () => boolean = () => false): Promise<void> {
    return new Promise((resolve) => {
      let ended = false
      const finish = (): void => {
        if (ended) return
        ended = true
        if (this.violation === null && !done()) this.time = Math.max(this.time, time)
        resolve()
      }
      const turn = (): void => {
        if (ended) return
        if (this.violation !== null || done() || !this.step(time)) finish()
      }
      const fill = (): void => {
        if (ended) return
        for (let i = 0; i < EVENTS_PER_TURN; i++) setImmediate(turn)
        setImmediate(fill)
      }
      fill()
    })
  }

  /** Runs the next event that is not later than `until`; false when there is none. */
  private step(until: number): boolean {
    for (;;) {
      const event = this.heap.peek()
      if (event === undefined || event.time > until) return false
      this.heap.pop()
      if (event.run === null) continue
      this.time = event.time
      this.events += 1
      const run = event.run
      event.run = null
      try {
        run()
      } catch (error) {
        this.fail(asViolation(error))
      }
      if (this.events > this.eventsMax) {
        this.fail(
          new Violation('bounded-events', `more than ${this.eventsMax} events: something goes round without end`),
        )
      }
      return true
    }
  }
}

export function cancel(event: ScheduledEvent | null): void {
  if (event !== null) event.run = null
}

export function asViolation(error: unknown): Violation {
  if (error instanceof Violation) return error
  const known = error instanceof Error ? error : new Error(String(error))
  return new Violation('uncaught', `${known.name}: ${known.message}\n${known.stack ?? ''}`, { cause: known })
}
