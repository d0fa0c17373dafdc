import type { Random } from '../lib/random.ts'
import type { Clock } from '../ports/clock.ts'
import type { NodeId } from '../raft/index.ts'
import type { Channel, DialOutcome, Listener, Network } from './channel.ts'
import { LoopbackChannel } from './loopback-channel.ts'
import { PeerTransport } from './peer-transport.ts'
import type { TransportLimits, TransportLogger } from './transport-options.ts'
import type { Frame } from './wire.ts'

interface Listening {
  readonly id: NodeId
  readonly onAccepted: (channel: Channel) => void
}

interface Connection {
  readonly ids: readonly [NodeId, NodeId]
  readonly ends: readonly [LoopbackChannel, LoopbackChannel]
}

/** A network within one process, for tests. Everything except the sockets is the same as between processes, and links can fail. */
export class LoopbackHub {
  private readonly clock: Clock
  private readonly random: Random
  private readonly listening = new Map<string, Listening>()
  private readonly cuts = new Set<string>()
  private connections: Connection[] = []
  private lossFraction = 0

  constructor(dependencies: { readonly clock: Clock; readonly random: Random }) {
    this.clock = dependencies.clock
    this.random = dependencies.random
  }

  /** Makes a transport for node `id`, which listens at `address` (any text) once it is started. */
  join(
    id: NodeId,
    address: string,
    options: { readonly limits?: Partial<TransportLimits>; readonly logger?: TransportLogger } = {},
  ): PeerTransport {
    const { logger } = options
    const network = new LoopbackNetwork(this, id)
    return new PeerTransport(
      { id, listen: address, limits: options.limits ?? {} },
      { clock: this.clock, random: this.random, network, ...(logger === undefined ? {} : { logger }) },
    )
  }

  /** From now on everything that `from` sends to `to` is lost, and neither of them is told. */
  cut(from: NodeId, to: NodeId): void {
    this.cuts.add(linkName(from, to))
  }

  heal(from: NodeId, to: NodeId): void {
    this.cuts.delete(linkName(from, to))
  }

  /** Loses each message between nodes with this probability. Handshakes, pings and snapshots are never lost. */
  lose(fraction: number): void {
    this.lossFraction = fraction
  }

  /** Breaks every connection between two nodes. They may connect again at once. */
  disconnect(a: NodeId, b: NodeId): void {
    for (const { ids, ends } of this.connections) {
      if (!ids.includes(a) || !ids.includes(b)) continue
      for (const end of ends) end.close('failed', 'the connection was reset')
    }
    this.connections = this.connections.filter(({ ids }) => !ids.includes(a) || !ids.includes(b))
  }

  /** Makes the node that listens at `existing` reachable at `address` too. The result counts the dials there. */
  alias(address: string, existing: string): { readonly dials: number } {
    const target = this.listening.get(existing)
    const counter = { dials: 0 }
    if (target === undefined) return counter
    const onAccepted = (channel: Channel): void => {
      counter.dials += 1
      target.onAccepted(channel)
    }
    this.listening.set(address, { id: target.id, onAccepted })
    return counter
  }

  listen(id: NodeId, address: string, onAccepted: (channel: Channel) => void): Promise<Listener> {
    if (this.listening.has(address)) {
      return Promise.reject(new Error(`The peer address ${address} is in use. Choose another address.`))
    }
    this.listening.set(address, { id, onAccepted })
    const close = (): Promise<void> => {
      this.listening.delete(address)
      return Promise.resolve()
    }
    return Promise.resolve({ address, close })
  }

  dial(from: NodeId, address: string, timeoutMs: number, onOutcome: (outcome: DialOutcome) => void): () => void {
    let given = false
    let cancelTimeout = (): void => undefined
    this.clock.nextTurn(() => {
      if (given) return
      const target = this.listening.get(address)
      if (target === undefined) return onOutcome({ kind: 'refused', detail: `no node listens at ${address}` })
      if (this.isCut(from, target.id) || this.isCut(target.id, from)) {
        const detail = `${address} did not answer within ${timeoutMs} ms`
        cancelTimeout = this.clock.after(timeoutMs, () => onOutcome({ kind: 'failed', detail }))
        return
      }
      const here = this.connect(from, target)
      onOutcome({ kind: 'connected', channel: here })
    })
    return () => {
      given = true
      cancelTimeout()
    }
  }

  private connect(from: NodeId, target: Listening): LoopbackChannel {
    const to = target.id
    const ends = LoopbackChannel.pair(
      this.clock,
      { name: `node ${from}`, isLost: (frame) => this.isLost(from, to, frame) },
      { name: `node ${to}`, isLost: (frame) => this.isLost(to, from, frame) },
    )
    this.connections = this.connections.filter((connection) => !connection.ends.every((end) => end.isGone))
    this.connections.push({ ids: [from, to], ends })
    target.onAccepted(ends[1])
    return ends[0]
  }

  private isLost(from: NodeId, to: NodeId, frame: Frame): boolean {
    if (this.isCut(from, to)) return true
    return this.lossFraction > 0 && 'from' in frame && this.random.fraction() < this.lossFraction
  }

  private isCut(from: NodeId, to: NodeId): boolean {
    return this.cuts.has(linkName(from, to))
  }
}

/** The hub from the point of view of one node. */
class LoopbackNetwork implements Network {
  private readonly hub: LoopbackHub
  private readonly id: NodeId

  constructor(hub: LoopbackHub, id: NodeId) {
    this.hub = hub
    this.id = id
  }

  listen(address: string, onAccepted: (channel: Channel) => void): Promise<Listener> {
    return this.hub.listen(this.id, address, onAccepted)
  }

  dial(address: string, timeoutMs: number, onOutcome: (outcome: DialOutcome) => void): () => void {
    return this.hub.dial(this.id, address, timeoutMs, onOutcome)
  }
}

function linkName(from: NodeId, to: NodeId): string {
  return `${from}>${to}`
}
