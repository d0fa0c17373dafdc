import { IncomingMessage } from 'node:http'
import type { RequestError } from '../../lib/errors.ts'

/** What a request needs of the connection on which it arrived. */
export interface BodyLine {
  /** Whether memory has room for `bytes` more of a body. */
  hasRoom(bytes: number): boolean
  /** Takes room for a piece of the body that has arrived; false when there is none. */
  onBody(request: ApiRequest, bytes: number): boolean
  /** The body of `request` may take any time: whoever reads it sees to its end. */
  onStream(request: ApiRequest): void
}

/** A request of the API. A client that asks before it sends a body (`Expect: 100-continue`) is told to go on when the body is read. */
export class ApiRequest extends IncomingMessage {
  /** Bytes of its body in memory. Their room is given back when the request is answered. */
  bodyBytes = 0
  /** When the last piece of its body arrived, in monotonic milliseconds; 0: it has none. */
  bodyAt = 0
  /** Its body is read while it arrives, and may take any time. */
  isStreamed = false
  /** Bytes of its body that have arrived. */
  receivedBytes = 0
  /** Why the rest of its body cannot be read. */
  cutBy: RequestError | null = null
  private line: BodyLine | null = null
  private continues: (() => void) | null = null

  /** Whether the client still waits to be told to send its body. */
  get awaitsContinue(): boolean {
    return this.continues !== null
  }

  attach(line: BodyLine): void {
    this.line = line
  }

  hasRoom(bytes: number): boolean {
    return this.line?.hasRoom(bytes) !== false
  }

  /** Notes that `bytes` more of its body are in memory; false when there is no room for them. */
  hold(bytes: number): boolean {
    if (this.line === null) return true
    if (!this.line.onBody(this, bytes)) return false
    this.bodyBytes += bytes
    return true
  }

  /** Its body may take longer to arrive than others: its reader watches the sender. */
  stream(): void {
    this.isStreamed = true
    this.line?.onStream(this)
  }

  /** The rest of its body cannot be read. Whoever reads it learns that from the event `cut`. */
  cut(error: RequestError): void {
    if (this.cutBy !== null) return
    this.cutBy = error
    this.emit('cut')
  }

  /** `send` tells the client to go on. */
  continueWhenRead(send: () => void): void {
    this.continues = send
  }

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (Buffer.isBuffer(chunk)) this.receivedBytes += chunk.length
    return super.push(chunk, encoding)
  }

  override _read(size: number): void {
    const send = this.continues
    this.continues = null
    send?.()
    super._read(size)
  }
}
