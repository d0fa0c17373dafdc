import type { PeerMessage, Transport } from '../../ports/transport.ts'

/** Sends what requests have to say to other nodes, until this node stops. */
export class Outbox {
  private readonly transport: Pick<Transport, 'send'>
  private closed = false

  constructor(transport: Pick<Transport, 'send'>) {
    this.transport = transport
  }

  send(message: PeerMessage): void {
    if (!this.closed) this.transport.send(message)
  }

  close(): void {
    this.closed = true
  }
}
