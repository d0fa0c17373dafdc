/** Time and turns of the event loop, so that a test can own both. */
export interface Clock {
  /** Milliseconds of a monotonic clock, with fractions; comparable only within one process. */
  now(): number
  /**
   * Milliseconds of the wall clock. It goes on while the machine is suspended, which `now` does not, and may be set at any time: good only
   * to find out that the two have parted.
   */
  wall(): number
  /** Calls `callback` once, not before `delayMs` from now. Returns a function that cancels. */
  after(delayMs: number, callback: () => void): () => void
  /** Calls `callback` after what is on the event loop now has had its turn. */
  nextTurn(callback: () => void): void
}
