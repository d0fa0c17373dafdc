import type { PeerMessage } from '../ports/transport.ts'

/**
 * Messages to a peer that is being dialled. The first few are kept; those that do not fit are lost, like all messages to a peer
 * without a connection.
 */
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

  /** Removes and returns the messages in the order in which they were sent. */
  take(): readonly PeerMessage[] {
    const { messages } = this
    this.messages = []
    this.bodyBytes = 0
    return messages
  }
}

/** Counts only fields of variable size; the number of messages bounds the rest. */
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
