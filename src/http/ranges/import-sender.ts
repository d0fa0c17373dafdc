import type { IncomingMessage } from 'node:http'
import { RequestError } from '../../lib/errors.ts'
import { ApiRequest } from '../protocol/api-request.ts'
import { invalidRequest } from '../protocol/query.ts'

export interface ImportSenderOptions {
  /** The sender is waited for this long at a time. */
  readonly silenceMsMax: number
  /** For each so many bytes, the sender is waited for this long in all. */
  readonly sentBytesMin: number
  readonly slowMsMax: number
}

/**
 * The body of an import as its sender sends it. The connection is read only while somebody waits for the next piece. A sender that lets the
 * import wait too long is given up; time that the import takes for itself does not count.
 */
export class ImportSender {
  private readonly options: ImportSenderOptions
  private readonly request: IncomingMessage
  private readonly now: () => number
  private piece: Buffer | null = null
  private hasEnded = false
  private failure: RequestError | null = null
  private wake: () => void = () => {}
  /** How long the sender was waited for since it was last fast enough, and the bytes that came meanwhile. */
  private waitedMs = 0
  private bytes = 0

  /** `now`: monotonic milliseconds. */
  constructor(options: ImportSenderOptions, request: IncomingMessage, now: () => number) {
    this.options = options
    this.request = request
    this.now = now
    request.pause()
    request.on('data', this.onData).once('end', this.onEnd)
    request.once('error', this.onBreak).once('close', this.onBreak).once('cut', this.onBreak)
  }

  /** The next bytes; null at the end. Throws a `RequestError` when no more will come. */
  async next(): Promise<Buffer | null> {
    const since = this.now()
    const patienceMs = Math.min(this.options.silenceMsMax, this.options.slowMsMax - this.waitedMs)
    while (this.piece === null && !this.hasEnded && this.failure === null) {
      const leftMs = since + patienceMs - this.now()
      if (leftMs <= 0) throw this.tooSlow()
      await this.change(leftMs)
    }
    const { piece } = this
    if (piece !== null) {
      this.piece = null
      this.count(piece.length, this.now() - since)
      return piece
    }
    if (this.failure !== null) throw this.failure
    return null
  }

  /** The next bytes are not wanted: whoever waits for them is told that the body ends. */
  stop(): void {
    this.hasEnded = true
    this.wake()
  }

  /** Lets go of the body: whatever still comes is not wanted. */
  leave(): void {
    this.request.off('data', this.onData).off('end', this.onEnd)
    this.request.off('error', this.onBreak).off('close', this.onBreak).off('cut', this.onBreak)
    // A break must not become an unhandled error.
    this.request.on('error', () => {})
    this.request.resume()
  }

  private async change(msMax: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, msMax)
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
      this.request.resume()
    })
  }

  private count(bytes: number, waitedMs: number): void {
    this.bytes += bytes
    this.waitedMs += waitedMs
    if (this.bytes < this.options.sentBytesMin) return
    this.bytes = 0
    this.waitedMs = 0
  }

  private readonly onData = (piece: Buffer): void => {
    this.request.pause()
    this.piece = piece
    this.wake()
  }

  private readonly onEnd = (): void => {
    this.hasEnded = true
    this.wake()
  }

  private readonly onBreak = (): void => {
    if (this.hasEnded) return
    const { request } = this
    const cutBy = request instanceof ApiRequest ? request.cutBy : null
    this.failure ??= cutBy ?? invalidRequest({ path: 'body', message: 'is incomplete' })
    this.wake()
  }

  private tooSlow(): RequestError {
    const { silenceMsMax, slowMsMax, sentBytesMin } = this.options
    const isSilent = slowMsMax - this.waitedMs >= silenceMsMax
    const detail = isSilent
      ? `nothing came for ${silenceMsMax / 1000} s`
      : `less than ${sentBytesMin / 1024} KiB came in the ${slowMsMax / 1000} s that the node waited for them`
    return new RequestError('request-timeout', detail)
  }
}
