import { IncomingMessage } from 'node:http'

/** A request of the API. A client that asks before it sends a body (`Expect: 100-continue`) is answered when somebody wants the body. */
export class ApiRequest extends IncomingMessage {
  private continues: (() => void) | null = null

  /** The client has not been told to send its body. */
  get awaitsContinue(): boolean {
    return this.continues !== null
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
