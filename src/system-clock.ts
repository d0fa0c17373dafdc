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
        // Timers count in whole milliseconds from a cached time, and may be early by a fraction of one.
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
