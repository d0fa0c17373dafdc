import type {
  PeerMessage,
  ProbeOutcome,
  SnapshotHeader,
  SnapshotSink,
  Transport,
  TransportHandlers,
} from '../../../src/ports/transport.ts'
import type { NodeId } from '../../../src/raft/index.ts'
import type { SimProcess } from '../world/process.ts'
import { Connection } from './connection.ts'
import type { Network } from './network.ts'
import { SnapshotStream } from './snapshot-stream.ts'

export interface TransportDependencies {
  readonly network: Network
  readonly process: SimProcess
  /** Called before a message leaves. It may end the process; then nothing leaves. */
  readonly onSend: (message: PeerMessage) => void
  /** Called before a message is handed to the node. */
  readonly onReceive: (message: PeerMessage) => void
  /** Called when a chunk of a snapshot is handed to this node. It may end either process. */
  readonly onSnapshotChunk: (stream: SnapshotStream) => void
}

const UNSTARTED = 'the transport is started before it is used'

/** The transport of one process. */
export class SimTransport implements Transport {
  readonly id: NodeId
  readonly process: SimProcess
  private readonly address: string
  private readonly deps: TransportDependencies
  private started: TransportHandlers | null = null
  private connections = new Map<NodeId, Connection>()

  constructor(options: { readonly id: NodeId; readonly address: string }, dependencies: TransportDependencies) {
    this.id = options.id
    this.address = options.address
    this.process = dependencies.process
    this.deps = dependencies
    this.process.whenEnded(() => this.end())
  }

  get handlers(): TransportHandlers {
    if (this.started === null) throw new Error(UNSTARTED)
    return this.started
  }

  start(handlers: TransportHandlers): Promise<void> {
    return new Promise((resolve, reject) => {
      this.process.later(0.1, () => {
        this.started = handlers
        if (this.deps.network.listen(this.address, this)) resolve()
        else reject(new Error(`${this.address} is in use`))
      })
    })
  }

  setPeers(peers: ReadonlyMap<NodeId, string>): void {
    if (!this.process.alive) return
    const before = this.connections
    this.connections = new Map()
    for (const [id, address] of peers) {
      if (id === this.id) continue
      const kept = before.get(id)
      if (kept !== undefined && kept.address === address) {
        this.connections.set(id, kept)
        before.delete(id)
        continue
      }
      const connection = new Connection(id, address, this, this.deps.network)
      this.connections.set(id, connection)
      this.process.later(0, () => connection.dial())
    }
    for (const dropped of before.values()) dropped.close()
  }

  send(message: PeerMessage): void {
    if (!this.process.alive) return
    this.deps.onSend(message)
    if (!this.process.alive) return
    this.connections.get(message.to)?.send(message)
  }

  isConnected(peer: NodeId): boolean {
    return this.connections.get(peer)?.isUp ?? false
  }

  probe(raftAddress: string, timeoutMs: number): Promise<ProbeOutcome> {
    const { network } = this.deps
    const { world, links } = network
    const hello = this.handlers.hello('probe', 0)
    return new Promise((resolve) => {
      let ended = false
      const finish = (outcome: ProbeOutcome): void => {
        if (ended) return
        ended = true
        this.process.deliver('io', () => resolve(outcome))
      }
      world.after(timeoutMs, () => finish({ kind: 'unreachable', detail: 'no answer in time' }))
      world.after(network.delay(), () => {
        const host = network.hostAt(raftAddress)
        const presence = network.presenceAt(raftAddress)
        if (host === null || presence.kind === 'silent') return
        if (links.isCut(this.id, host.id) || links.isCut(host.id, this.id)) return
        if (presence.kind === 'refusing') return finish({ kind: 'unreachable', detail: 'connection refused' })
        const { transport } = presence
        transport.process.deliver('io', () => {
          const refusal = transport.handlers.admit(hello)
          const report = transport.handlers.report()
          const outcome: ProbeOutcome = refusal === null ? { kind: 'answered', report } : { kind: 'refused', refusal }
          world.after(network.delay(), () => {
            if (!links.isCut(host.id, this.id)) finish(outcome)
          })
        })
      })
    })
  }

  openSnapshot(to: NodeId, header: SnapshotHeader): Promise<SnapshotSink> {
    const address = this.connections.get(to)?.address
    if (address === undefined) return Promise.reject(new Error(`n${to} is not a peer`))
    const stream = new SnapshotStream({ to, address, header }, { sender: this, network: this.deps.network })
    return stream.open()
  }

  roundTripMs(peer: NodeId): number | null {
    return this.isConnected(peer) ? this.deps.network.weather.delayMsMean * 2 : null
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.process.later(0.1, () => {
        this.end()
        resolve()
      })
    })
  }

  /** A hello of `peer` was admitted: the peer is up, so dial it without waiting. */
  heardFrom(peer: NodeId): void {
    this.connections.get(peer)?.dial()
  }

  receive(message: PeerMessage): void {
    this.deps.onReceive(message)
    this.handlers.onMessage(message)
  }

  chunkArrives(stream: SnapshotStream): void {
    this.deps.onSnapshotChunk(stream)
  }

  /** The process of `peer` behind `transport` has ended. */
  peerClosed(peer: NodeId, transport: SimTransport): void {
    this.connections.get(peer)?.targetClosed(transport)
  }

  connectionTo(peer: NodeId): Connection | null {
    return this.connections.get(peer) ?? null
  }

  private end(): void {
    for (const connection of this.connections.values()) connection.close()
    this.deps.network.unlisten(this.address, this)
  }
}
