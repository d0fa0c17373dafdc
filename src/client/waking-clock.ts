import { uptime } from 'node:os'

/** A shorter sleep cannot be told from the steps of the clocks. */
const sleepMsMin = 100

/**
 * A clock for what ends by itself elsewhere: monotonic milliseconds that run on while the machine sleeps. The monotonic clock of the process
 * stands still then; the time since the machine was started does not, but comes in coarse steps.
 *
 * @param monotonicMs the one, @param uptimeMs the other.
 */
export function wakingClock(
  monotonicMs: () => number = () => performance.now(),
  uptimeMs: () => number = () => uptime() * 1000,
): () => number {
  const aheadAtStart = uptimeMs() - monotonicMs()
  let sleptMs = 0
  return () => {
    const now = monotonicMs()
    const ahead = uptimeMs() - now - aheadAtStart
    // A sleep that was seen stays: this clock does not go back either.
    if (ahead - sleptMs >= sleepMsMin) sleptMs = ahead
    return now + sleptMs
  }
}
