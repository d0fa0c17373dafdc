import { limits } from '../limits.ts'

/** How long one server may take. */
export interface Patience {
  /** The timeout that is sent to the server, if the request has one. */
  readonly timeoutMs: number
  /** How long the connection may take. */
  readonly connectMsMax: number
  /** How long the server may be silent before its answer begins. */
  readonly silenceMsMax: number
}

/** Among how many servers the time that is left is divided. */
export interface Shares {
  /** While nothing has been sent any other server may be asked instead. */
  readonly ofConnection: number
  readonly ofAnswer: number
}

/** How much longer than the server's own deadline the client waits, so that the server's answer wins. */
const graceMs = 2_000
/** The least time that one of several servers gets. A smaller share could give up every server before a healthy one has answered. */
const shareMsMin = 500

/**
 * The time of one call over all attempts on all servers: its timeout, and on top of that how long a server is asked to wait for something. What
 * passes uses up the wait first.
 */
export class CallTime {
  private readonly timeoutMs: number
  private waitUntil: number

  constructor(timeoutMs: number, waitMs: number) {
    this.timeoutMs = timeoutMs
    this.waitUntil = performance.now() + waitMs
  }

  /** No attempt begins after this. */
  get deadline(): number {
    return this.waitUntil + this.timeoutMs
  }

  /** So much time does not count. */
  extend(ms: number): void {
    this.waitUntil += ms
  }

  /** What is left of the wait. */
  get waitMs(): number {
    return Math.max(0, Math.ceil(this.waitUntil - performance.now()))
  }

  /** What is left of the timeout. */
  get leftMs(): number {
    const now = performance.now()
    return Math.max(1, Math.round(this.deadline - Math.max(now, this.waitUntil)))
  }

  /** The longest that an attempt may take from now on, its answer included. */
  get wholeMsMax(): number {
    return this.waitMs + this.leftMs + graceMs
  }

  /** An equal part of what is left for each of so many servers. */
  shareMs(servers: number): number {
    return Math.min(this.leftMs, Math.max(shareMsMin, Math.ceil(this.leftMs / servers)))
  }

  /**
   * What one server gets. A server that hangs, or that waits for a leader that it cannot reach, leaves time for the others. A server that gets all
   * the remaining time is also given the grace. Only an answer takes as long as what the server is asked to wait for.
   */
  patience({ ofConnection, ofAnswer }: Shares): Patience {
    return {
      timeoutMs: Math.min(this.shareMs(ofAnswer), limits.requestTimeoutMsMax),
      connectMsMax: this.patienceMs(ofConnection),
      silenceMsMax: this.waitMs + this.patienceMs(ofAnswer),
    }
  }

  private patienceMs(servers: number): number {
    const shareMs = this.shareMs(servers)
    return shareMs < this.leftMs ? shareMs : Math.min(shareMs, limits.requestTimeoutMsMax) + graceMs
  }
}
