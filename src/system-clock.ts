import type { Clock } from './ports/clock.ts'

/** The machine's monotonic clock and this process's event loop. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (delayMs, callback) => {
    const due = performance.now() + delayMs
    let timer: NodeJS.Timeout
    const arm = (ms: number): void => {
      timer = setTimeout(() => {
        // Timers count whole milliseconds from a cached time, so they may fire a fraction of one too early.
        const left = due - performance.now()
        if (left > 0) arm(left)
        else callback()
      }, Math.ceil(ms))
    }
    arm(delayMs)
    return () => clearTimeout(timer)
  },
  nextTurn: (callback) => void setImmediate(callback),
}
