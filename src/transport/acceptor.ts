import { Repeats } from '../lib/repeats.ts'
import { limits as maxima } from '../limits.ts'
import type { Hello, PeerMessage, Refusal, TransportHandlers } from '../ports/transport.ts'
import type { NodeId } from '../raft/index.ts'
import type { Channel, CloseReason } from './channel.ts'
import { answerHello } from './handshake.ts'
import { type Holder, IncomingBudget } from './incoming-budget.ts'
import { IncomingSnapshot } from './incoming-snapshot.ts'
import type { TransportContext } from './transport-options.ts'
import type { Frame } from './wire.ts'

/** Rejected strangers are logged at most this often; the line says how many there were. */
const REJECTION_LOG_INTERVAL_MS = 1_000

interface Incoming extends Holder {
  readonly channel: Channel
  /** 0 until the hello is accepted, and for a stranger that probes. */
  peer: NodeId | 0
  phase: 'hello' | 'messages' | 'snapshot' | 'leaving'
  /** Something has arrived since the last check. */
  heard: boolean
  cancelTimer: (() => void) | null
}

/** The incoming connections of this node, from their first byte on. */
export class Acceptor {
  private readonly context: TransportContext
  private readonly handlers: TransportHandlers
  private readonly onGreeted: (peer: NodeId) => void
  /** In the order of arrival. */
  private readonly connections = new Set<Incoming>()
  /** A peer has one connection for messages; a new one replaces the old one. */
  private readonly messagesFrom = new Map<NodeId, Incoming>()
  private readonly budget: IncomingBudget
  private closed = false
  private readonly refusals: Repeats
  private rejections = 0
  private rejectionLoggedAt = Number.NEGATIVE_INFINITY

  /** `onGreeted`: a node that wants to send messages was accepted. */
  constructor(dependencies: {
    readonly context: TransportContext
    readonly handlers: TransportHandlers
    readonly onGreeted: (peer: NodeId) => void
  }) {
    this.context = dependencies.context
    this.handlers = dependencies.handlers
    this.onGreeted = dependencies.onGreeted
    const { refusalLogIntervalMs: intervalMs, refusalsKnownMax: causesMax } = maxima
    this.refusals = new Repeats({ intervalMs, causesMax }, () => this.context.clock.now())
    this.budget = new IncomingBudget(this.context.limits.incomingFramesBytesMax)
  }

  accept(channel: Channel): void {
    const incoming: Incoming = {
      channel,
      peer: 0,
      phase: 'hello',
      heard: false,
      cancelTimer: null,
      isMember: () => this.isMember(incoming),
      recheck: () => channel.recheck(),
      evict: () => channel.close('closed', 'its room was needed for frames of members'),
    }
    channel.acceptFrames(maxima.helloBytesMax)
    channel.guard(this.budget.gateOf(incoming))
    channel.listen({
      onFrame: (frame) => this.onFrame(incoming, frame),
      onDrained: () => undefined,
      onClosed: (reason) => this.onClosed(incoming, reason),
    })
    if (this.closed || !this.makeRoom()) return channel.close('closed', 'no more connections are accepted')
    this.connections.add(incoming)
    const { clock, limits } = this.context
    incoming.cancelTimer = clock.after(limits.handshakeTimeoutMs, () => {
      channel.close('malformed', `no hello came within ${limits.handshakeTimeoutMs} ms`)
    })
  }

  /** Closes the connection on which `peer` sends messages. When it connects again, its identity is checked again. */
  dropPeer(peer: NodeId): void {
    this.messagesFrom.get(peer)?.channel.close('closed', `node ${peer} is no longer a peer`)
  }

  close(): void {
    this.closed = true
    for (const { channel } of this.connections) channel.close('closed', 'this node stops')
  }

  /**
   * Closes a connection in favour of a new one, so that strangers cannot keep members out: first those without a hello, then
   * those of nodes that are not members; of each kind the oldest.
   */
  private makeRoom(): boolean {
    if (this.connections.size < this.context.limits.peerConnectionsMax) return true
    const evicted =
      this.oldest(({ phase }) => phase === 'hello' || phase === 'leaving') ?? this.oldest(({ isMember }) => !isMember())
    if (evicted === null) return false
    this.connections.delete(evicted)
    evicted.channel.close('closed', 'its room was needed for another connection')
    return true
  }

  private oldest(matches: (incoming: Incoming) => boolean): Incoming | null {
    for (const incoming of this.connections) if (matches(incoming)) return incoming
    return null
  }

  private isMember({ peer }: Incoming): boolean {
    return peer !== 0 && this.handlers.isMember(peer)
  }

  private onFrame(incoming: Incoming, frame: Frame): void {
    if (this.closed) return
    incoming.heard = true
    switch (incoming.phase) {
      case 'messages':
        return this.onMessage(incoming, frame)
      case 'hello':
        if (frame.type === 'hello') return this.onHello(incoming, frame.hello)
        break
      case 'snapshot':
        if (frame.type === 'snapshot-header' && incoming.peer !== 0)
          return this.onSnapshot(incoming, incoming.peer, frame.header)
        break
      case 'leaving':
        return
    }
    incoming.channel.close('malformed', `a ${frame.type} came where none is allowed`)
  }

  private onHello(incoming: Incoming, hello: Hello): void {
    const { channel } = incoming
    incoming.cancelTimer?.()
    const answer = answerHello(hello, channel, this.context.id, this.handlers)
    channel.send({ type: 'hello-answer', answer })
    if (answer.kind === 'refused') {
      incoming.phase = 'leaving'
      this.logRefusal(channel, hello.from, answer.refusal)
      return channel.closeGently(answer.refusal.detail)
    }
    if (hello.purpose === 'probe' || hello.from === 0) {
      incoming.phase = 'leaving'
      return channel.closeGently('the probe is answered')
    }
    incoming.peer = hello.from
    this.refusals.forget(`${hello.from} `)
    if (hello.purpose === 'snapshot') return this.awaitSnapshot(incoming)
    channel.acceptFrames(maxima.frameBytesMax)
    incoming.phase = 'messages'
    this.messagesFrom.get(hello.from)?.channel.close('closed', `node ${hello.from} connected again`)
    this.messagesFrom.set(hello.from, incoming)
    this.watchSilence(incoming)
    this.onGreeted(hello.from)
  }

  private onMessage(incoming: Incoming, frame: Frame): void {
    switch (frame.type) {
      case 'ping':
        return this.onPing(incoming, frame.number)
      case 'pong':
      case 'hello':
      case 'hello-answer':
      case 'snapshot-header':
      case 'snapshot-chunk':
      case 'snapshot-end':
      case 'snapshot-alive':
      case 'snapshot-answer':
        return incoming.channel.close('malformed', `a ${frame.type} came among messages`)
      default:
        if (frame.from !== incoming.peer || frame.to !== this.context.id) {
          const detail = `a message from node ${frame.from} to node ${frame.to} came from node ${incoming.peer}`
          return incoming.channel.close('malformed', detail)
        }
        this.hand(incoming, frame)
    }
  }

  private hand({ channel, peer }: Incoming, message: PeerMessage): void {
    const fault = this.handlers.onMessage(message)
    if (fault !== null) channel.close('malformed', `node ${peer} sent a message that no sound member sends: ${fault}`)
  }

  /** A peer that pings but does not read the answers is not waited for. */
  private onPing({ channel }: Incoming, number: number): void {
    if (channel.queuedBytes > maxima.peerPongQueueBytesMax)
      return channel.close('closed', 'answers to pings are not read')
    channel.send({ type: 'pong', number })
  }

  private awaitSnapshot(incoming: Incoming): void {
    incoming.phase = 'snapshot'
    incoming.channel.acceptFrames(maxima.handshakeBytesMax)
    const { clock, limits } = this.context
    incoming.cancelTimer = clock.after(limits.snapshotStallTimeoutMs, () => {
      incoming.channel.close('malformed', 'no snapshot followed the hello')
    })
  }

  private onSnapshot(incoming: Incoming, from: NodeId, header: IncomingSnapshot['header']): void {
    incoming.cancelTimer?.()
    const source = new IncomingSnapshot(
      { from, header },
      {
        channel: incoming.channel,
        context: this.context,
        onEnded: () => {
          this.connections.delete(incoming)
          this.budget.drop(incoming)
        },
      },
    )
    this.context.logger.info(
      { peer: from, session: header.session, bytesEstimate: header.bytesEstimate },
      'snapshot receive started',
    )
    this.handlers.onSnapshot(source)
  }

  /** The dialling side pings all the time, so a connection on which nothing arrives is dead. */
  private watchSilence(incoming: Incoming): void {
    const { clock, limits } = this.context
    incoming.heard = false
    const silenceMsMax = incoming.isMember() ? limits.peerSilenceMsMax : limits.strangerSilenceMsMax
    incoming.cancelTimer = clock.after(silenceMsMax, () => {
      // If this process was suspended, the bytes are still waiting to be read. They are read before the silence is judged.
      clock.nextTurn(() => {
        if (!this.connections.has(incoming)) return
        if (incoming.heard) this.watchSilence(incoming)
        else incoming.channel.close('closed', `nothing came within ${silenceMsMax} ms`)
      })
    })
  }

  private onClosed(incoming: Incoming, reason: CloseReason): void {
    incoming.cancelTimer?.()
    this.connections.delete(incoming)
    this.budget.drop(incoming)
    if (incoming.peer !== 0 && this.messagesFrom.get(incoming.peer) === incoming)
      this.messagesFrom.delete(incoming.peer)
    if (reason.kind === 'malformed') this.logRejection(incoming.channel, reason.detail, incoming.peer)
    else if (incoming.peer !== 0) {
      const { logger } = this.context
      logger.debug({ peer: incoming.peer, remote: incoming.channel.remote, detail: reason.detail }, 'peer left')
    }
  }

  /** A refused node calls again and again. A refusal that was logged once is only counted. */
  private logRefusal(channel: Channel, peer: NodeId | 0, { code, detail }: Refusal): void {
    if (this.isLogFull || this.refusals.add(`${peer} ${code}`) !== null)
      this.logRejection(channel, `${code}: ${detail}`, peer)
    else this.rejections += 1
  }

  private get isLogFull(): boolean {
    return this.context.clock.now() - this.rejectionLoggedAt < REJECTION_LOG_INTERVAL_MS
  }

  private logRejection(channel: Channel, detail: string, peer: NodeId | 0): void {
    this.rejections += 1
    if (this.isLogFull) return
    const rejections = this.rejections
    this.rejectionLoggedAt = this.context.clock.now()
    this.rejections = 0
    this.context.logger.warn({ remote: channel.remote, peer, detail, rejections }, 'peer connection rejected')
  }
}
