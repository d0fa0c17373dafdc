import { SimClock } from './clock.ts'
import type { Draw } from './draw.ts'
import type { World } from './world.ts'

/** The kind of work that is to run in a process. */
export type WorkKind = 'timer' | 'turn' | 'io' | 'request'

interface Work {
  readonly kind: WorkKind
  readonly run: () => void
}

/** How much a process is slowed down. Milliseconds of virtual time. */
export interface ProcessPace {
  /** The mean cost of one piece of work; 0 for none. */
  readonly workMs: number
  /** Callbacks of `nextTurn` run at multiples of this. */
  readonly turnMs: number
}

/**
 * One life of a node's program. It begins with a start and ends with a stop or a crash; nothing of it runs afterwards.
 *
 * Every call into the program (a timer, a message, the end of a write) passes through `deliver`. A paused or slow process
 * therefore gets it late, and a dead one never.
 */
export class SimProcess {
  readonly name: string
  readonly clock: SimClock
  readonly random: Draw
  pace: ProcessPace
  private readonly world: World
  private ended = false
  private isPaused = false
  private busyUntil = 0
  private backlog: Work[] = []
  private draining = false
  private readonly onEnd: (() => void)[] = []

  constructor(options: { readonly name: string; readonly pace: ProcessPace; readonly rate: number }, world: World) {
    this.name = options.name
    this.pace = options.pace
    this.world = world
    this.random = world.random.fork()
    this.clock = new SimClock(
      { rate: options.rate, startAt: this.random.between(1_000, 1_000_000) },
      { world, process: this },
    )
  }

  get alive(): boolean {
    return !this.ended
  }

  get paused(): boolean {
    return this.isPaused
  }

  /** Nothing of this process runs from now on. */
  end(): void {
    if (this.ended) return
    this.ended = true
    this.backlog = []
    for (const run of this.onEnd) run()
  }

  whenEnded(run: () => void): void {
    this.onEnd.push(run)
  }

  pause(): void {
    this.isPaused = true
  }

  /** Suspends the whole machine: its monotonic clock stands still until `resume`. */
  suspend(): void {
    this.pause()
    this.clock.suspend()
  }

  resume(timersFirst: boolean): void {
    if (!this.isPaused) return
    this.isPaused = false
    this.clock.wake()
    if (timersFirst) {
      const isTimer = (work: Work): boolean => work.kind === 'timer'
      this.backlog = [...this.backlog.filter(isTimer), ...this.backlog.filter((work) => !isTimer(work))]
    }
    this.mixRequests()
    this.drainSoon(0)
  }

  /** Clients have connections of their own, so the order in which waiting requests are read is random. */
  private mixRequests(): void {
    const requests = this.backlog.filter(({ kind }) => kind === 'request')
    const rest = this.backlog.filter(({ kind }) => kind !== 'request')
    const share = this.random.fraction()
    this.backlog = []
    while (requests.length > 0 || rest.length > 0) {
      const work = this.random.chance(share) ? (requests.shift() ?? rest.shift()) : (rest.shift() ?? requests.shift())
      if (work !== undefined) this.backlog.push(work)
    }
  }

  /** Blocks the event loop for a while. What arrives meanwhile is handled afterwards. */
  stall(durationMs: number): void {
    this.busyUntil = Math.max(this.busyUntil, this.world.now() + durationMs)
  }

  /** Runs `run` in this process, at once if possible. One event of the world delivers at most one piece of work. */
  deliver(kind: WorkKind, run: () => void): void {
    if (this.ended) return
    if (this.isPaused || this.backlog.length > 0 || this.world.now() < this.busyUntil) {
      this.backlog.push({ kind, run })
      if (!this.isPaused) this.drainSoon(this.busyUntil - this.world.now())
      return
    }
    this.perform(run)
  }

  /** Calls `run` in this process after a delay, as the end of something that the process has requested. */
  later(delayMs: number, run: () => void): void {
    this.world.after(delayMs, () => this.deliver('io', run))
  }

  private perform(run: () => void): void {
    if (this.pace.workMs > 0) this.busyUntil = this.world.now() + this.random.exponential(this.pace.workMs)
    run()
  }

  private drainSoon(delayMs: number): void {
    if (this.draining || this.ended) return
    this.draining = true
    this.world.after(delayMs, () => {
      this.draining = false
      if (this.ended || this.isPaused) return
      if (this.world.now() >= this.busyUntil) {
        const work = this.backlog.shift()
        if (work !== undefined) this.perform(work.run)
      }
      if (this.backlog.length > 0) this.drainSoon(Math.max(0, this.busyUntil - this.world.now()))
    })
  }
}
