import type { PeerMessage } from '../ports/transport.ts'

/** What was sent to a peer while it was being dialled. The first few are kept; those that do not fit are lost, as all others would be. */
export class EarlyMessages {
  private readonly limits: { readonly peerEarlyMessagesMax: number; readonly peerEarlyBytesMax: number }
  private messages: PeerMessage[] = []
  private bodyBytes = 0

  constructor(limits: { readonly peerEarlyMessagesMax: number; readonly peerEarlyBytesMax: number }) {
    this.limits = limits
  }

  add(message: PeerMessage): void {
    const bytes = bodyBytesOf(message)
    const { peerEarlyMessagesMax, peerEarlyBytesMax } = this.limits
    if (this.messages.length >= peerEarlyMessagesMax || this.bodyBytes + bytes > peerEarlyBytesMax) return
    this.messages.push(message)
    this.bodyBytes += bytes
  }

  /** In the order in which they were sent; none are left. */
  take(): readonly PeerMessage[] {
    const { messages } = this
    this.messages = []
    this.bodyBytes = 0
    return messages
  }
}

/** Without the fields of fixed size, which the number of messages bounds. */
function bodyBytesOf(message: PeerMessage): number {
  switch (message.type) {
    case 'append-request':
      return message.batches.reduce((sum, batch) => sum + batch.body.length, 0)
    case 'forward-request':
    case 'control-request':
    case 'control-response':
      return message.body.length
    default:
      return 0
  }
}
