import type { PeerMessage, Refusal, TransportHandlers } from '../ports/transport.ts'
import type { NodeId } from '../raft/index.ts'
import type { Channel, CloseReason, Network } from './channel.ts'
import { EarlyMessages } from './early-messages.ts'
import { type HandshakeOutcome, judgeAnswer, shakeHands } from './handshake.ts'
import { RoundTrip } from './round-trip.ts'
import type { TransportContext } from './transport-options.ts'

/** More doublings than this make no difference. */
const ATTEMPTS_MAX = 16
/** Extra halvings of the shortest delay after a connection broke: a dying process may still accept for a moment before it refuses. */
const EAGER_ATTEMPTS = 3
/** A peer that had been reached counts at most this many failed attempts. */
const STOOD_ATTEMPTS = 1

/**
 * The outgoing connection to one peer. It is kept up, and made again when it breaks.
 *
 * A broken connection is dialled again at once, because a refusal then tells that the peer's process is gone
 * (docs/internals/raft.md, Elections). After that, and when it soon breaks again, attempts become rarer. A hello from the peer
 * itself triggers an attempt at once.
 */
export class PeerLink {
  readonly peer: NodeId
  readonly address: string
  private readonly context: TransportContext
  private readonly network: Network
  private readonly handlers: TransportHandlers

  private closed = false
  /** Not null while messages can be sent. */
  private channel: Channel | null = null
  /** Every open or closing channel; at most two. */
  private readonly channels = new Set<Channel>()
  private onAllClosed: (() => void) | null = null
  /** Messages that were sent during a dial. They include answers to a node that has just called, so that it need not ask again. */
  private readonly early: EarlyMessages
  /** The time when a broken connection was last dialled again at once. */
  private eagerAt = -Infinity
  private attempts = 0
  private cancelWait: (() => void) | null = null
  private cancelDial: (() => void) | null = null

  private cancelPing: (() => void) | null = null
  private pingNumber = 0
  private pingSentAt = 0
  private pingAnswered = true
  private roundTrip = new RoundTrip()

  constructor(
    options: { readonly peer: NodeId; readonly address: string },
    dependencies: {
      readonly context: TransportContext
      readonly network: Network
      readonly handlers: TransportHandlers
    },
  ) {
    this.peer = options.peer
    this.address = options.address
    this.context = dependencies.context
    this.network = dependencies.network
    this.handlers = dependencies.handlers
    this.early = new EarlyMessages(this.context.limits)
  }

  get connected(): boolean {
    return this.channel !== null
  }

  /** Null while the peer is not connected. */
  roundTripMs(): number | null {
    return this.channel === null ? null : this.roundTrip.mean()
  }

  /** Dials, unless the peer is connected or being dialled. */
  dial(): void {
    if (this.closed || this.channel !== null || this.cancelDial !== null) return
    this.cancelWait?.()
    this.cancelWait = null
    const { limits, clock } = this.context
    const hello = this.handlers.hello('messages', this.peer)
    const timeoutMs = limits.connectTimeoutMs + limits.handshakeTimeoutMs
    const request = { address: this.address, hello, connectTimeoutMs: limits.connectTimeoutMs, timeoutMs }
    this.cancelDial = shakeHands(request, { network: this.network, clock }, (outcome) => {
      this.cancelDial = null
      this.onOutcome(outcome)
    })
  }

  /**
   * Loses the message when the peer is neither connected nor being dialled. A queue that is too long is dropped as a whole,
   * with its connection.
   */
  send(message: PeerMessage): void {
    const { channel } = this
    if (channel === null) {
      if (this.cancelDial !== null) this.early.add(message)
      return
    }
    channel.send(message)
    if (channel.queuedBytes > this.context.limits.peerQueueBytesMax) {
      this.drop(`the peer does not keep up: ${channel.queuedBytes} bytes are waiting for it`)
    }
  }

  /** Resolves when everything is closed. Queued messages are still sent if that does not take long. */
  close(detail: string): Promise<void> {
    this.closed = true
    this.cancelWait?.()
    this.cancelDial?.()
    this.stopPinging()
    if (this.channel !== null) {
      this.channel.closeGently(detail)
      this.channel = null
    }
    if (this.channels.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.onAllClosed = resolve
    })
  }

  private onOutcome(outcome: HandshakeOutcome): void {
    if (outcome.kind !== 'answered') this.early.take()
    switch (outcome.kind) {
      case 'answered': {
        const refusal = judgeAnswer(outcome.answer, this.peer, this.handlers)
        // The report may cause the node to remove this peer.
        if (this.closed) return outcome.channel.close('closed', 'the peer is no longer listed')
        if (refusal === null) return this.onStanding(outcome.channel)
        this.early.take()
        outcome.channel.close('closed', refusal.detail)
        return this.onRefused(refusal, outcome.answer.kind === 'refused' ? 'peer' : 'us')
      }
      case 'refused':
        this.retryLater(outcome.detail)
        return this.handlers.onUnreachable(this.peer)
      case 'failed':
        this.retryLater(outcome.detail)
        return this.handlers.onUnanswered(this.peer)
    }
  }

  private onStanding(channel: Channel): void {
    this.channel = channel
    this.channels.add(channel)
    this.roundTrip = new RoundTrip()
    this.pingAnswered = true
    channel.listen({
      onFrame: (frame) => {
        if (frame.type === 'pong' && frame.number === this.pingNumber) return this.onPong()
        channel.close('malformed', `a ${frame.type} came where only answers to pings may`)
      },
      onDrained: () => undefined,
      onClosed: (reason) => this.onClosed(channel, reason),
    })
    this.context.logger.info({ peer: this.peer, address: this.address }, 'peer connected')
    for (const message of this.early.take()) channel.send(message)
    this.ping(channel)
    this.handlers.onConnected(this.peer)
  }

  private onClosed(channel: Channel, reason: CloseReason): void {
    this.channels.delete(channel)
    if (this.closed) {
      if (this.channels.size === 0) this.onAllClosed?.()
      return
    }
    if (this.channel === channel) {
      this.channel = null
      this.stopPinging()
    }
    const { clock, limits, logger } = this.context
    const level = reason.kind === 'malformed' ? 'warn' : 'info'
    logger[level]({ peer: this.peer, reason: reason.kind, detail: reason.detail }, 'peer disconnected')
    // The peer exists, and must not wait for its heartbeats because the network breaks connections.
    if (reason.kind !== 'malformed') this.attempts = Math.min(this.attempts, STOOD_ATTEMPTS)
    // At once, but not repeatedly: two nodes that disagree would do nothing else.
    const now = clock.now()
    if (now - this.eagerAt >= limits.reconnectDelayMsMax) {
      this.eagerAt = now
      this.attempts = -EAGER_ATTEMPTS
      this.dial()
    } else {
      this.retryLater(reason.detail)
    }
    this.handlers.onDisconnected(this.peer)
  }

  private onRefused(refusal: Refusal, by: 'peer' | 'us'): void {
    const { reconnectDelayMsMax, doubleDialDelayMsMax } = this.context.limits
    // Another process counts as this node until somebody stops it.
    const isDouble = by === 'peer' && refusal.code === 'same-id'
    this.retryLater(refusal.detail, isDouble ? doubleDialDelayMsMax : reconnectDelayMsMax)
    this.handlers.onRefused(this.peer, refusal, by)
  }

  /** Half of the delay is random, so that nodes that lost each other at the same time do not dial at the same time. */
  private retryLater(detail: string, delayMsMax = this.context.limits.reconnectDelayMsMax): void {
    const { limits, random, clock, logger } = this.context
    const fullMs = Math.min(delayMsMax, limits.reconnectDelayMsMin * 2 ** this.attempts)
    const delayMs = fullMs * (0.5 + random.fraction() / 2)
    this.attempts = Math.min(this.attempts + 1, ATTEMPTS_MAX)
    if (this.channel !== null || this.cancelDial !== null) return
    this.cancelWait?.()
    logger.debug({ peer: this.peer, address: this.address, detail, delayMs }, 'peer dial failed')
    this.cancelWait = clock.after(delayMs, () => {
      this.cancelWait = null
      this.dial()
    })
  }

  private drop(detail: string): void {
    const { channel } = this
    if (channel === null) return
    this.channel = null
    this.stopPinging()
    channel.close('closed', detail)
  }

  private ping(channel: Channel): void {
    this.pingNumber += 1
    this.pingSentAt = this.context.clock.now()
    this.pingAnswered = false
    channel.send({ type: 'ping', number: this.pingNumber })
    this.planPing(channel)
  }

  private planPing(channel: Channel): void {
    const { clock, limits } = this.context
    this.cancelPing = clock.after(limits.peerPingIntervalMs, () => {
      if (this.pingAnswered) return this.ping(channel)
      this.planPing(channel)
      // If this process was suspended, the answer is still waiting to be read. It is read before the silence is judged.
      if (this.pingOverdue()) clock.nextTurn(() => this.judgeSilence(channel))
    })
  }

  private judgeSilence(channel: Channel): void {
    if (this.channel === channel && this.pingOverdue()) this.drop('the peer does not answer pings')
  }

  private pingOverdue(): boolean {
    const { clock, limits } = this.context
    return !this.pingAnswered && clock.now() - this.pingSentAt > limits.peerPingTimeoutMs
  }

  private onPong(): void {
    if (this.pingAnswered) return
    this.pingAnswered = true
    this.roundTrip.add(this.context.clock.now() - this.pingSentAt)
  }

  private stopPinging(): void {
    this.cancelPing?.()
    this.cancelPing = null
  }
}
