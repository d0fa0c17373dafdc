import type { Socket } from 'node:net'

/** Moments of the clock, and the bytes that the connection had taken by then. */
interface Measure {
  since: number
  bytes: number
  progressAt: number
  progressBytes: number
}

/** How fast a client takes its answers. */
export class Taking {
  private readonly socket: Socket
  private measure: Measure | null = null
  /** Answers without an end. */
  private continuous = 0

  constructor(socket: Socket) {
    this.socket = socket
  }

  /** The connection has so many answers without an end more than before. */
  onContinuous(count: 1 | -1): void {
    this.continuous += count
    this.measure = null
  }

  get isContinuous(): boolean {
    return this.continuous > 0
  }

  /** Measures; call it at intervals. `bytesMin`: how much the client must take to restart its time. */
  watch(now: number, bytesMin: number): void {
    const { socket, measure } = this
    if (socket.writableLength === 0) {
      this.measure = null
      return
    }
    const bytes = socket.bytesWritten - socket.writableLength
    if (measure === null) {
      this.measure = { since: now, bytes, progressAt: now, progressBytes: bytes }
      return
    }
    if (bytes > measure.progressBytes) {
      measure.progressAt = now
      measure.progressBytes = bytes
    }
    if (bytes - measure.bytes < bytesMin) return
    measure.since = now
    measure.bytes = bytes
  }

  /** How long the client has taken less than it must; 0 while nothing waits for the client. */
  slowMs(now: number): number {
    return this.measure === null || this.isContinuous ? 0 : now - this.measure.since
  }

  /** How long the client has taken nothing at all. */
  idleMs(now: number): number {
    return this.measure === null ? 0 : now - this.measure.progressAt
  }
}
