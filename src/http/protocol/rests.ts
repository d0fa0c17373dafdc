export interface RestsOptions {
  /** How long a rest lasts. */
  readonly ms: number
  /** How long it lasts at most where many rest. */
  readonly msMax: number
  /** No more than this end in a second, as long as none lasts too long. */
  readonly endsPerSecond: number
}

/** Whoever rests. */
export interface Resting {
  /** The rest is over. */
  wake(): void
}

/** Connections that wake together are read in one long turn of the event loop. */
const WAKES_AT_ONCE = 32

/**
 * Connections that are not read for a while, since they were refused for want of time. Each of them that asks again costs a good part of what it
 * asks for. So the more there are, the longer they rest.
 */
export class Rests {
  private readonly options: RestsOptions
  /** Monotonic milliseconds. */
  private readonly now: () => number
  /** In the order of their ends. */
  private readonly resting: { readonly one: Resting; readonly until: number }[] = []
  private lastUntil = 0

  constructor(options: RestsOptions, now: () => number) {
    this.options = options
    this.now = now
  }

  begin(one: Resting): void {
    const { ms, msMax, endsPerSecond } = this.options
    const now = this.now()
    const turn = this.lastUntil + 1000 / endsPerSecond
    const until = Math.max(now + ms, Math.min(turn, now + msMax))
    this.lastUntil = until
    this.resting.push({ one, until })
    if (this.resting.length === 1) this.wakeIn(until - now)
  }

  private wakeIn(ms: number): void {
    setTimeout(() => this.wakeRested(), ms).unref()
  }

  private wakeRested(): void {
    const now = this.now()
    const left = this.resting.findIndex(({ until }, n) => until > now || n === WAKES_AT_ONCE)
    for (const { one } of this.resting.splice(0, left < 0 ? Infinity : left)) one.wake()
    const [next] = this.resting
    if (next !== undefined) this.wakeIn(next.until - now)
  }
}
