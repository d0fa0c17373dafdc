import { IncomingMessage } from 'node:http'

/** What a request needs of the connection that it came by. */
export interface BodyLine {
  /** Whether `bytes` of a body have room in memory. */
  hasRoom(bytes: number): boolean
  /** Takes that room for a piece that has come; false when there is none. */
  onBody(request: ApiRequest, bytes: number): boolean
}

/** A request of the API. A client that asks before it sends a body (`Expect: 100-continue`) is answered when somebody wants the body. */
export class ApiRequest extends IncomingMessage {
  /** Bytes of its body that are in memory; given back when it is answered. */
  bodyBytes = 0
  private line: BodyLine | null = null
  private continues: (() => void) | null = null

  /** The client has not been told to send its body. */
  get awaitsContinue(): boolean {
    return this.continues !== null
  }

  attach(line: BodyLine): void {
    this.line = line
  }

  hasRoom(bytes: number): boolean {
    return this.line?.hasRoom(bytes) !== false
  }

  /** Notes that `bytes` of its body are in memory from now on; false when there is no room for them. */
  hold(bytes: number): boolean {
    if (this.line === null) return true
    if (!this.line.onBody(this, bytes)) return false
    this.bodyBytes += bytes
    return true
  }

  /** `send` tells the client to go on. */
  continueWhenRead(send: () => void): void {
    this.continues = send
  }

  override _read(size: number): void {
    const send = this.continues
    this.continues = null
    send?.()
    super._read(size)
  }
}
