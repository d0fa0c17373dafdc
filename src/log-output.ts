import { writeSync } from 'node:fs'
import { limits } from './limits.ts'

export interface LogOutputOptions {
  /** A file descriptor: 1 for the standard output. */
  readonly fd: number
}

/** All are optional. */
export interface LogOutputDependencies {
  /** Monotonic milliseconds. */
  readonly now?: () => number
  /** Holds the process up for so many milliseconds. */
  readonly pause?: (ms: number) => void
  /** Writes some of `bytes`, at least one, and returns how many; or throws. */
  readonly write?: (fd: number, bytes: Uint8Array) => number
  /** Lines are written again after `dropped` lines were lost. */
  readonly onRegained?: (dropped: number) => void
}

/** A line, or the rest of one, that waits to be written. */
interface Waiting {
  readonly bytes: Buffer
  /** The bytes continue what was written last, or begin with the line break that separates them from it. */
  readonly joined: boolean
}

/**
 * The destination of log lines. Whatever happens to it (a full volume, a terminal or a reader that is gone, a reader that has
 * stopped reading), `write` returns at once and never throws: a line that cannot be written is dropped and counted.
 *
 * A line is handed to the system before `write` returns, so the line before a crash is not lost. Only what does not fit into a
 * full pipe waits here, up to `limits.logWaitingBytesMax`.
 */
export class LogOutput {
  private readonly fd: number
  private readonly writeSome: (fd: number, bytes: Uint8Array) => number
  private readonly onRegained: (dropped: number) => void
  private readonly now: () => number
  private readonly pause: (ms: number) => void
  private waiting: Waiting[] = []
  private waitingBytes = 0
  private retry: NodeJS.Timeout | null = null
  /** The last write ended in the middle of a line. */
  private torn = false
  private droppedInAll = 0
  private droppedUntold = 0

  constructor(options: LogOutputOptions, dependencies: LogOutputDependencies = {}) {
    this.fd = options.fd
    this.writeSome = dependencies.write ?? writeSync
    this.onRegained = dependencies.onRegained ?? (() => undefined)
    this.now = dependencies.now ?? (() => performance.now())
    this.pause = dependencies.pause ?? standStill
  }

  /** Lines that were not written, or not completely. */
  get dropped(): number {
    return this.droppedInAll
  }

  write(line: string): void {
    const bytes = Buffer.from(line)
    if (this.waiting.length > 0) this.keep({ bytes, joined: false })
    else if (this.send({ bytes, joined: false })) this.tellDropped()
  }

  /** For the end of the process: gives the reader of a full pipe a last chance to make room. */
  flush(): void {
    const deadline = this.now() + limits.logFlushMsMax
    while (this.waiting.length > 0 && this.now() < deadline) {
      this.pause(limits.logRetryMs)
      this.sendWaiting()
    }
  }

  /** Whether the line was written. If not, it waits or is dropped. */
  private send({ bytes, joined }: Waiting): boolean {
    let rest = this.torn && !joined ? Buffer.concat([Buffer.from('\n'), bytes]) : bytes
    try {
      while (rest.length > 0) {
        rest = rest.subarray(this.writeSome(this.fd, rest))
        this.torn = rest.length > 0
      }
      return true
    } catch (error) {
      if (isFull(error)) this.keep({ bytes: rest, joined: true })
      else this.drop()
      return false
    }
  }

  private keep(waiting: Waiting): void {
    const { length } = waiting.bytes
    if (this.waitingBytes + length > limits.logWaitingBytesMax) return this.drop()
    this.waiting.push(waiting)
    this.waitingBytes += length
    this.retry ??= setTimeout(() => {
      this.retry = null
      if (this.sendWaiting()) this.tellDropped()
    }, limits.logRetryMs).unref()
  }

  /** Whether nothing waits any more and the last line was written. */
  private sendWaiting(): boolean {
    const lines = this.waiting
    this.waiting = []
    this.waitingBytes = 0
    let isSent = false
    for (const line of lines) {
      if (this.waiting.length > 0) this.keep(line)
      else isSent = this.send(line)
    }
    return isSent && this.waiting.length === 0
  }

  private drop(): void {
    this.droppedInAll += 1
    this.droppedUntold += 1
  }

  /** Called only after a line was written, because the report is a log line too. */
  private tellDropped(): void {
    if (this.droppedUntold === 0) return
    const dropped = this.droppedUntold
    this.droppedUntold = 0
    this.onRegained(dropped)
  }
}

function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/** Whether the error means a full pipe: its reader is slower than its writer. */
function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN'
}
