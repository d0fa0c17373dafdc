export interface TurnsOptions {
  /** For how long requests are taken in one turn of the event loop. */
  readonly msMax: number
  /** So many connections are read again in the turn that follows, and twice as many after each turn that was short. */
  readonly readAgainMin: number
}

/** A connection that can do without being read for a few turns. */
export interface Deferrable {
  /** It is not read until `goOn`. False: it is not read anyway, or must not wait. */
  waitForTurn(): boolean
  goOn(): void
}

/**
 * Keeps turns of the event loop short, however many connections have something to read at once.
 *
 * libuv hands over what has arrived on up to 48 times 1,024 connections before it looks at a timer again, and what peers and the disk have to
 * say waits among them. Thousands of requests at once would keep a leader silent for longer than an election takes. So once a turn is long
 * enough, connections without a request in progress are left unread. They are read again in the turns that follow, those that have waited longest
 * first, and only as many in each turn as keep it short.
 */
export class Turns {
  private readonly options: TurnsOptions
  /** Monotonic milliseconds. */
  private readonly now: () => number
  private readonly connections: () => Iterable<Deferrable>
  private waiting: Deferrable[] = []
  /** When the first request of this turn came; null: none has come. */
  private startedAt: number | null = null
  private isOver = false
  private isEndAwaited = false
  private readAgain: number

  constructor(options: TurnsOptions, now: () => number, connections: () => Iterable<Deferrable>) {
    this.options = options
    this.now = now
    this.connections = connections
    this.readAgain = options.readAgainMin
  }

  /** To be called for each request that arrives. */
  onRequest(): void {
    if (this.startedAt === null) {
      this.startedAt = this.now()
      this.awaitEnd()
    } else if (!this.isOver && this.now() - this.startedAt >= this.options.msMax) {
      this.isOver = true
      for (const one of this.connections()) if (one.waitForTurn()) this.waiting.push(one)
    }
  }

  private awaitEnd(): void {
    if (this.isEndAwaited) return
    this.isEndAwaited = true
    setImmediate(() => this.end())
  }

  /** libuv has handed over everything: timers come next. */
  private end(): void {
    const { msMax, readAgainMin } = this.options
    const tookMs = this.startedAt === null ? 0 : this.now() - this.startedAt
    if (this.isOver || this.waiting.length === 0) this.readAgain = Math.max(readAgainMin, this.readAgain / 2)
    else if (tookMs < msMax / 2) this.readAgain *= 2
    this.startedAt = null
    this.isOver = false
    this.isEndAwaited = false
    for (const one of this.waiting.splice(0, this.readAgain)) one.goOn()
    if (this.waiting.length > 0) this.awaitEnd()
  }
}
