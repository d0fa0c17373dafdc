/** Time and turns of the event loop, so that a test can control both. */
export interface Clock {
  /** Milliseconds of a monotonic clock, with fractions; comparable only within one process. */
  now(): number
  /**
   * Milliseconds of the wall clock. Unlike `now`, it goes on while the machine is suspended, and it may be set at any time: good only for
   * finding out that the two clocks have moved apart, and for telling people when something was.
   */
  wall(): number
  /** Calls `callback` once, `delayMs` from now at the earliest. Returns a function that cancels the call. */
  after(delayMs: number, callback: () => void): () => void
  /** Calls `callback` after everything that is on the event loop now has had its turn. */
  nextTurn(callback: () => void): void
}
