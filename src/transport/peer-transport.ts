import { assert } from '../lib/assert.ts'
import { limits } from '../limits.ts'
import type {
  PeerMessage,
  ProbeOutcome,
  SnapshotHeader,
  SnapshotSink,
  Transport,
  TransportHandlers,
} from '../ports/transport.ts'
import type { NodeId } from '../raft/index.ts'
import { Acceptor } from './acceptor.ts'
import type { Listener, Network } from './channel.ts'
import { ConnectionError } from './connection-error.ts'
import { type HandshakeOutcome, judgeAnswer, shakeHands } from './handshake.ts'
import { PeerLink } from './peer-link.ts'
import { OutgoingSnapshot } from './outgoing-snapshot.ts'
import {
  silentLogger,
  type TransportContext,
  type TransportDependencies,
  type TransportOptions,
} from './transport-options.ts'

/** The state that exists between `start` and `stop`. */
interface Running {
  readonly handlers: TransportHandlers
  readonly acceptor: Acceptor
  readonly listener: Listener
}

/**
 * A transport over any network that carries frames: one outgoing connection to each listed peer for messages, one more for each
 * snapshot or probe, and all incoming connections.
 */
export class PeerTransport implements Transport {
  private readonly context: TransportContext
  private readonly network: Network
  private readonly listenAddress: string
  private running: Running | null = null
  private stopping: Promise<void> | null = null
  /** The peers of the latest `setPeers`. */
  private peers: ReadonlyMap<NodeId, string> = new Map()
  private readonly links = new Map<NodeId, PeerLink>()
  private readonly snapshots = new Set<OutgoingSnapshot>()
  /** Functions that cancel the handshakes in progress for probes and snapshots. */
  private readonly giveUps = new Set<() => void>()

  constructor(options: TransportOptions, dependencies: TransportDependencies & { readonly network: Network }) {
    const { clock, random, logger } = dependencies
    this.context = {
      id: options.id,
      limits: { ...limits, ...options.limits },
      clock,
      random,
      logger: logger ?? silentLogger,
    }
    this.network = dependencies.network
    this.listenAddress = options.listen
  }

  /** `host:port` of the listener for peers. Valid only between `start` and `stop`. */
  get address(): string {
    assert(this.running !== null, 'the address of a transport is known between start and stop')
    return this.running.listener.address
  }

  async start(handlers: TransportHandlers): Promise<void> {
    assert(this.running === null && this.stopping === null, 'a transport is started once')
    const acceptor = new Acceptor({
      context: this.context,
      handlers,
      onGreeted: (peer) => this.links.get(peer)?.dial(),
    })
    const listener = await this.network.listen(this.listenAddress, (channel) => acceptor.accept(channel))
    if (this.stopping !== null) {
      await listener.close()
      throw new ConnectionError('the transport was stopped while it started')
    }
    this.running = { handlers, acceptor, listener }
    this.context.logger.info({ address: listener.address }, 'listening for peers')
    this.linkPeers(this.running)
  }

  /** May be called at any time: before `start` the peers are remembered; after `stop` the call does nothing. */
  setPeers(peers: ReadonlyMap<NodeId, string>): void {
    this.peers = new Map(peers)
    if (this.running !== null) this.linkPeers(this.running)
  }

  send(message: PeerMessage): void {
    assert(message.from === this.context.id, 'a node sends messages in its own name')
    this.links.get(message.to)?.send(message)
  }

  isConnected(peer: NodeId): boolean {
    return this.links.get(peer)?.connected ?? false
  }

  roundTripMs(peer: NodeId): number | null {
    return this.links.get(peer)?.roundTripMs() ?? null
  }

  async probe(raftAddress: string, timeoutMs: number): Promise<ProbeOutcome> {
    if (this.running === null) return { kind: 'unreachable', detail: 'this node is not running' }
    const hello = this.running.handlers.hello('probe', 0)
    const request = { address: raftAddress, hello, connectTimeoutMs: timeoutMs, timeoutMs }
    const outcome = await this.greet(request)
    if (outcome.kind !== 'answered') return { kind: 'unreachable', detail: outcome.detail }
    outcome.channel.close('closed', 'the probe is answered')
    const { answer } = outcome
    if (answer.kind === 'refused') return { kind: 'refused', refusal: answer.refusal }
    return { kind: 'answered', report: answer.report }
  }

  async openSnapshot(to: NodeId, header: SnapshotHeader): Promise<SnapshotSink> {
    if (this.running === null) throw new ConnectionError('this node is not running')
    const { handlers } = this.running
    const link = this.links.get(to)
    if (link === undefined) throw new ConnectionError(`node ${to} is not a peer`)
    const { connectTimeoutMs, handshakeTimeoutMs } = this.context.limits
    const hello = handlers.hello('snapshot', to)
    const timeoutMs = connectTimeoutMs + handshakeTimeoutMs
    const outcome = await this.greet({ address: link.address, hello, connectTimeoutMs, timeoutMs })
    if (outcome.kind !== 'answered') throw new ConnectionError(`node ${to} cannot be reached: ${outcome.detail}`)
    if (this.stopping !== null) {
      outcome.channel.close('closed', 'this node stops')
      throw new ConnectionError('this node stops')
    }
    const refusal = judgeAnswer(outcome.answer, to, handlers)
    if (refusal !== null) {
      outcome.channel.close('closed', refusal.detail)
      handlers.onRefused(to, refusal, outcome.answer.kind === 'refused' ? 'peer' : 'us')
      throw new ConnectionError(`node ${to} cannot be sent the snapshot: ${refusal.detail}`)
    }
    const sender: OutgoingSnapshot = new OutgoingSnapshot(
      { to, header },
      { channel: outcome.channel, context: this.context, onEnded: () => this.snapshots.delete(sender) },
    )
    this.snapshots.add(sender)
    return sender
  }

  stop(): Promise<void> {
    this.stopping ??= this.closeAll()
    return this.stopping
  }

  private async closeAll(): Promise<void> {
    const { running } = this
    this.running = null
    for (const giveUp of this.giveUps) giveUp()
    for (const snapshot of this.snapshots) snapshot.abort()
    const closing = [...this.links.values()].map((link) => link.close('this node stops'))
    this.links.clear()
    if (running !== null) {
      running.acceptor.close()
      closing.push(running.listener.close())
    }
    await Promise.all(closing)
  }

  private linkPeers({ handlers, acceptor }: Running): void {
    const { peers } = this
    for (const [peer, link] of this.links) {
      if (peers.get(peer) === link.address) continue
      this.unlink(link, handlers)
      if (!peers.has(peer)) acceptor.dropPeer(peer)
    }
    for (const [peer, address] of peers) {
      if (peer === this.context.id || this.links.has(peer)) continue
      const link = new PeerLink({ peer, address }, { context: this.context, network: this.network, handlers })
      this.links.set(peer, link)
      link.dial()
    }
  }

  /** A handshake that ends when the transport stops, if not before. */
  private greet(request: Parameters<typeof shakeHands>[0]): Promise<HandshakeOutcome> {
    return new Promise((resolve) => {
      const cancel = shakeHands(request, { network: this.network, clock: this.context.clock }, (outcome) => {
        this.giveUps.delete(giveUp)
        resolve(outcome)
      })
      const giveUp = (): void => {
        this.giveUps.delete(giveUp)
        cancel()
        resolve({ kind: 'failed', detail: 'this node stops' })
      }
      this.giveUps.add(giveUp)
    })
  }

  private unlink(link: PeerLink, handlers: TransportHandlers): void {
    const { connected, peer } = link
    this.links.delete(peer)
    void link.close('the peer is no longer listed at this address')
    if (!connected) return
    this.context.clock.nextTurn(() => {
      if (this.stopping === null) handlers.onDisconnected(peer)
    })
  }
}
