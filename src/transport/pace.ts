import { limits } from '../limits.ts'

/** Even with short election timeouts, a peer that is down is dialled with pauses. */
const PAUSE_MS_LEAST = 100

/**
 * The longest pause between two attempts to connect, in milliseconds, for members that elect within `electionTimeoutMsMax`.
 * When the network works again, the pauses must not keep a leader and its majority apart for longer than an election would.
 */
export function longestPauseMs(electionTimeoutMsMax: number): number {
  return Math.min(limits.reconnectDelayMsMax, Math.max(PAUSE_MS_LEAST, electionTimeoutMsMax))
}
