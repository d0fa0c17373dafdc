import type { PeerMessage } from '../../../src/ports/transport.ts'
import type { NodeId } from '../../../src/raft/index.ts'
import type { Draw } from '../world/draw.ts'
import type { World } from '../world/world.ts'
import { Links } from './links.ts'
import { passThroughCodec } from './codec.ts'
import type { SimTransport } from './transport.ts'
import { calmNetwork } from './weather.ts'

/** The other side of an address: a listening process, a kernel that refuses, or nothing. */
export type Presence =
  | { readonly kind: 'listening'; readonly transport: SimTransport }
  | { readonly kind: 'refusing' }
  | { readonly kind: 'silent' }

export interface NetworkOptions {
  /** Every message passes through the real wire format. */
  readonly usesCodec: boolean
  /** The longest pause between two attempts to connect. */
  readonly pauseMsMax: number
}

interface Host {
  readonly id: NodeId
  transport: SimTransport | null
  powered: boolean
}

/** Messages that wait on a cut link before the sender gives up the connection. */
export const HELD_MAX = 100

/** Hosts, the links between them, and the listeners at their addresses. */
export class Network {
  readonly weather = calmNetwork()
  readonly links = new Links()
  readonly world: World
  readonly random: Draw
  readonly options: NetworkOptions
  private readonly hosts = new Map<string, Host>()
  private readonly vacant = new Set<string>()

  constructor(options: NetworkOptions, world: World) {
    this.options = options
    this.world = world
    this.random = world.random.fork()
  }

  addHost(id: NodeId, address: string): void {
    this.hosts.set(address, { id, transport: null, powered: true })
  }

  /** Moves the host to another address. At the old one a kernel refuses, or nothing answers. */
  moveHost(from: string, to: string, refuses: boolean): void {
    const host = this.hosts.get(from)
    if (host === undefined) return
    this.hosts.delete(from)
    this.hosts.set(to, host)
    this.vacant.delete(to)
    if (refuses) this.vacant.add(from)
  }

  setPowered(address: string, powered: boolean): void {
    const host = this.hosts.get(address)
    if (host !== undefined) host.powered = powered
  }

  listen(address: string, transport: SimTransport): boolean {
    const host = this.hosts.get(address)
    if (host === undefined || host.transport !== null) return false
    host.transport = transport
    return true
  }

  /** The process behind `transport` is gone. Unless the machine lost power, its kernel tells everybody who was connected. */
  unlisten(address: string, transport: SimTransport): void {
    const host = this.hosts.get(address)
    if (host === undefined || host.transport !== transport) return
    host.transport = null
    if (!host.powered) return
    for (const other of this.hosts.values()) {
      if (other.transport === null || other.id === host.id || this.links.isCut(host.id, other.id)) continue
      other.transport.peerClosed(host.id, transport)
    }
  }

  hostAt(address: string): { readonly id: NodeId } | null {
    return this.hosts.get(address) ?? null
  }

  presenceAt(address: string): Presence {
    const host = this.hosts.get(address)
    if (this.vacant.has(address)) return { kind: 'refusing' }
    if (host === undefined || !host.powered) return { kind: 'silent' }
    if (host.transport === null) return { kind: 'refusing' }
    return { kind: 'listening', transport: host.transport }
  }

  transportOf(id: NodeId): SimTransport | null {
    for (const host of this.hosts.values()) if (host.id === id) return host.transport
    return null
  }

  delay(): number {
    const { delayMsMin, delayMsMean, spikeProbability, spikeMs } = this.weather
    let delay = delayMsMin + this.random.exponential(delayMsMean)
    if (spikeProbability > 0 && this.random.chance(spikeProbability)) {
      delay += this.random.exponential(spikeMs)
      this.world.census.count('net-delay')
    }
    return delay
  }

  /** A copy of `message` for the receiver: it is equal, but does not share all objects with the original. */
  translate(message: PeerMessage): PeerMessage {
    if (this.options.usesCodec) return passThroughCodec(message)
    return message.type === 'append-request' ? { ...message, memberships: [] } : message
  }
}
