import type { ServerResponse } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Guard } from '../../api/services.ts'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import { ApiResponse } from '../protocol/api-response.ts'
import type { EventFormat } from './event-format.ts'
import type { WatchStream } from './watch-stream.ts'

export interface WatchStreamsOptions {
  readonly commentMs: number
  readonly stallMsMax: number
  readonly sentBytesMax: number
}

export const watchStreamsDefaults: WatchStreamsOptions = {
  commentMs: limits.watchSignMs,
  stallMsMax: limits.watchStallMsMax,
  sentBytesMax: limits.watchSentBytesMax,
}

/** A stream, and how fast its reader takes it. */
interface Sending {
  readonly stream: WatchStream
  readonly response: ServerResponse
  readonly format: EventFormat
  readonly guard: Guard
  /** When it said last that it lives. */
  saidAt: number
  /** Bytes that the connection had taken when it last took something, and when that was. */
  taken: number
  takenAt: number
}

/** The most that a look at all streams is late. */
const TICKS = 15

/** All streams of watches: what they hold together, comments for those that are quiet, and the end of those whose reader takes nothing. */
export class WatchStreams {
  private readonly options: WatchStreamsOptions
  private readonly now: () => number
  private readonly open = new Set<Sending>()
  private readonly timer: NodeJS.Timeout
  private isLooking = false

  /** `now`: monotonic milliseconds. */
  constructor(options: WatchStreamsOptions, now: () => number) {
    this.options = options
    this.now = now
    this.timer = setInterval(() => void this.look(), this.everyMs)
    this.timer.unref()
  }

  add(stream: WatchStream, { format, guard, response }: Pick<Sending, 'format' | 'guard' | 'response'>): void {
    const now = this.now()
    const sending: Sending = { stream, response, format, guard, saidAt: now, taken: 0, takenAt: now }
    this.open.add(sending)
    if (response instanceof ApiResponse) response.beginContinuous()
    stream.once('last', () => this.onLast(sending))
    stream.once('close', () => this.open.delete(sending))
    // Rights may have changed since the watch began, and nobody told this stream.
    this.isAllowed(sending)
  }

  /** Ends the streams whose clients may not watch any more. To be called when rights have changed. */
  checkGuards(): void {
    for (const sending of this.open) this.isAllowed(sending)
  }

  close(): void {
    clearInterval(this.timer)
  }

  private get everyMs(): number {
    return Math.min(this.options.commentMs, this.options.stallMsMax) / TICKS
  }

  /** Never rejects. Looks at a bounded number of streams in each turn of the event loop. */
  private async look(): Promise<void> {
    if (this.isLooking) return
    this.isLooking = true
    const isFull = this.heldBytes() > this.options.sentBytesMax
    let looked = 0
    for (const sending of this.open) {
      this.lookAt(sending, isFull)
      looked += 1
      if (looked % limits.watchStepMax === 0) await nextTurn()
    }
    this.isLooking = false
  }

  private heldBytes(): number {
    let bytes = 0
    for (const { stream, response } of this.open) bytes += stream.readableLength + response.writableLength
    return bytes
  }

  private lookAt(sending: Sending, isFull: boolean): void {
    const { stream, response, format } = sending
    // Nothing tells of a client that has closed its sending side and goes away, until something is sent.
    if (response instanceof ApiResponse && response.isGone) return void stream.destroy()
    const now = this.now()
    const left = stream.readableLength + response.writableLength
    const taken = (response.socket?.bytesWritten ?? 0) - response.writableLength
    if (left === 0 || taken > sending.taken) {
      sending.taken = taken
      sending.takenAt = now
    }
    const idleMs = now - sending.takenAt
    const isStalled = idleMs >= (isFull ? limits.watchPatienceMs : this.options.stallMsMax)
    if (stream.isEnding) {
      // How long it may take to read the end is a matter of the connection, unless others need the room.
      if (isFull && isStalled) stream.destroy()
      return
    }
    // A token may have come to its end.
    if (!this.isAllowed(sending)) return
    if (isStalled) return this.cutOff(sending, idleMs)
    if (format.comment === null || left > 0 || now - sending.saidAt + this.everyMs <= this.options.commentMs) return
    sending.saidAt = now
    stream.say(format.comment)
  }

  /** From here on it is an answer like others: a reader that does not take it is cut off. */
  private onLast(sending: Sending): void {
    sending.takenAt = this.now()
    if (sending.response instanceof ApiResponse) sending.response.endContinuous()
  }

  private isAllowed({ stream, guard }: Sending): boolean {
    try {
      guard.check()
      return true
    } catch (error) {
      if (!(error instanceof RequestError)) throw error
      stream.cutOff(error)
      return false
    }
  }

  /** The events that were on their way are still sent, if the reader begins to take it again. */
  private cutOff({ stream }: Sending, sinceMs: number): void {
    const seconds = Math.round(sinceMs / 1000)
    stream.cutOff(
      new RequestError(
        'too-slow',
        `nothing of this watch was taken for ${seconds} s: read faster, and resume after the last revision that was received whole`,
      ),
    )
  }
}
