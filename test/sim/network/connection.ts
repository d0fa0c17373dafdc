import type { PeerMessage } from '../../../src/ports/transport.ts'
import { limits } from '../../../src/limits.ts'
import type { NodeId } from '../../../src/raft/index.ts'
import { EarlyMessages } from '../../../src/transport/early-messages.ts'
import { describeMessage } from './describe.ts'
import { HELD_MAX, type Network } from './network.ts'
import type { SimTransport } from './transport.ts'

const RETRY_MS_MIN = 20
/** How long a dialler waits for an answer. */
const DIAL_TIMEOUT_MS = 400
/** Mean time after which a connection without acknowledgements is given up. Each time is drawn at random. */
const SILENCE_MS_MEAN = 3000
const GHOST_SHARE = 0.3
const GHOST_MS_MEAN = 1000

/**
 * One node's outgoing connection to one peer. It is dialled again and again while the peer is listed. It delivers in order
 * while it is up. It breaks when either process ends, after a long silence, or at random.
 */
export class Connection {
  readonly peer: NodeId
  readonly address: string
  private readonly owner: SimTransport
  private readonly network: Network
  private state: 'idle' | 'dialling' | 'up' | 'closed' = 'idle'
  /** Incremented by every dial, so that events of an earlier dial are recognised. */
  private epoch = 0
  private retryMs = RETRY_MS_MIN
  /** The process of the peer, in its current life, that this connection leads to. */
  private target: SimTransport | null = null
  private lastArrival = 0
  private held: PeerMessage[] = []
  private readonly early = new EarlyMessages(limits)

  constructor(peer: NodeId, address: string, owner: SimTransport, network: Network) {
    this.peer = peer
    this.address = address
    this.owner = owner
    this.network = network
  }

  get isUp(): boolean {
    return this.state === 'up'
  }

  close(): void {
    this.state = 'closed'
    this.epoch += 1
  }

  /** Dials now, unless it is up or dialling. */
  dial(): void {
    if (this.state !== 'idle' || !this.owner.process.alive) return
    this.state = 'dialling'
    const epoch = ++this.epoch
    const { world, links } = this.network
    const hello = this.owner.handlers.hello('messages', this.peer)
    world.after(this.network.delay(), () => {
      if (!this.isCurrent(epoch)) return
      const silent = links.isCut(this.owner.id, this.peer) || links.isCut(this.peer, this.owner.id)
      const presence = this.network.presenceAt(this.address)
      if (silent || presence.kind === 'silent') return this.retryIfUnanswered(epoch)
      if (presence.kind === 'refusing') return this.refused(epoch)
      const { transport } = presence
      // A paused process accepts, because its kernel does, but says nothing.
      this.retryIfUnanswered(epoch)
      transport.process.deliver('io', () => {
        const refusal = transport.handlers.admit(hello)
        const answer = { refusal, report: transport.handlers.report() }
        if (refusal === null) transport.heardFrom(this.owner.id)
        world.after(this.network.delay(), () => this.answered(epoch, transport, answer))
      })
    })
  }

  send(message: PeerMessage): void {
    if (this.state === 'dialling') this.early.add(message)
    if (this.state === 'up') this.transmit(message)
  }

  private transmit(message: PeerMessage): void {
    const { weather, random, world } = this.network
    if (weather.resetProbability > 0 && random.chance(weather.resetProbability)) {
      world.census.count('net-connection-reset')
      this.breakOff('reset')
      return
    }
    if (weather.lossProbability > 0 && random.chance(weather.lossProbability)) {
      world.census.count('net-loss')
      return
    }
    const translated = this.network.translate(message)
    this.carry(translated)
    if (weather.duplicateProbability === 0 || !random.chance(weather.duplicateProbability)) return
    world.census.count('net-duplicate')
    if (random.chance(GHOST_SHARE)) this.haunt(translated)
    else this.carry(translated)
  }

  /** The connection breaks. Its owner is told, and dials again at once. */
  breakOff(why: string): void {
    if (this.state !== 'up') return
    this.state = 'idle'
    this.epoch += 1
    this.held = []
    this.network.world.note(this.owner.process.name, `connection to n${this.peer} breaks: ${why}`)
    this.owner.process.later(0.01, () => {
      this.owner.handlers.onDisconnected(this.peer)
      this.dial()
    })
  }

  /** The process behind `transport` has ended, and its kernel says so. */
  targetClosed(transport: SimTransport): void {
    const epoch = this.epoch
    if (this.target !== transport) return
    this.network.world.after(this.network.delay(), () => {
      if (this.epoch === epoch) this.breakOff('peer closed')
    })
  }

  /** Refuses a connection attempt although the peer is alive. */
  lie(): void {
    this.breakOff('a lie')
    if (this.state !== 'idle') return
    this.state = 'dialling'
    this.refused(++this.epoch)
  }

  private carry(message: PeerMessage): void {
    const { weather, random, world } = this.network
    const { epoch, target } = this
    let arrival = world.now() + this.network.delay()
    if (weather.reorderProbability > 0 && random.chance(weather.reorderProbability)) {
      arrival += random.exponential(20)
      world.census.count('net-reorder')
    } else {
      arrival = Math.max(arrival, this.lastArrival)
      this.lastArrival = arrival
    }
    world.at(arrival, () => this.arrive(epoch, target, message))
  }

  /** Delivers a copy very late: leaders may have changed, and changed back, since then. */
  private haunt(message: PeerMessage): void {
    const { links, random, world } = this.network
    const { target } = this
    world.census.count('net-ghost')
    world.after(random.exponential(GHOST_MS_MEAN), () => {
      if (target?.process.alive !== true || links.isCut(this.owner.id, this.peer)) return
      if (world.isTracing) world.note(target.process.name, `<- n${this.owner.id} ghost of ${describeMessage(message)}`)
      target.process.deliver('io', () => target.receive(message))
    })
  }

  private arrive(epoch: number, target: SimTransport | null, message: PeerMessage): void {
    const { links, random, world } = this.network
    if (target === null) return
    if (links.isCut(this.owner.id, this.peer)) {
      if (this.epoch === epoch && this.state === 'up') this.hold(epoch, message)
      return
    }
    if (!target.process.alive) {
      // The machine is there but the process is not: its kernel does not know this connection.
      if (this.network.presenceAt(this.address).kind !== 'silent') this.targetClosed(target)
      else this.giveUpLater(epoch, () => this.target === target)
      return
    }
    // Bytes in the receiver's buffers may still be read after their connection broke.
    if (this.epoch !== epoch && random.chance(0.7)) return
    if (world.isTracing) world.note(target.process.name, `<- n${this.owner.id} ${describeMessage(message)}`)
    target.process.deliver('io', () => target.receive(message))
  }

  private hold(epoch: number, message: PeerMessage): void {
    const { world, links } = this.network
    if (this.held.length === 0) {
      links.whenHealed(this.owner.id, this.peer, () => this.releaseHeld(epoch))
      this.giveUpLater(epoch, () => this.held.length > 0)
    }
    this.held.push(message)
    if (this.held.length <= HELD_MAX) return
    world.census.count('net-queue-overflow')
    this.breakOff('queue full')
  }

  private giveUpLater(epoch: number, isStillSilent: () => boolean): void {
    this.network.world.after(this.network.random.exponential(SILENCE_MS_MEAN), () => {
      if (this.epoch === epoch && isStillSilent()) this.breakOff('silence')
    })
  }

  private releaseHeld(epoch: number): void {
    if (this.epoch !== epoch) return
    const messages = this.held
    this.held = []
    if (messages.length > 0) this.network.world.census.count('net-held-released')
    for (const message of messages) this.carry(message)
  }

  private answered(
    epoch: number,
    target: SimTransport,
    answer: {
      readonly refusal: ReturnType<SimTransport['handlers']['admit']>
      readonly report: ReturnType<SimTransport['handlers']['report']>
    },
  ): void {
    if (!this.isCurrent(epoch)) return
    if (this.network.links.isCut(this.peer, this.owner.id)) return
    this.owner.process.deliver('io', () => {
      if (!this.isCurrent(epoch)) return
      const refusal = answer.refusal ?? this.owner.handlers.admitReport(this.peer, answer.report)
      if (refusal !== null) {
        this.retryLater(epoch, 0)
        this.owner.handlers.onRefused(this.peer, refusal, answer.refusal === null ? 'us' : 'peer')
        return
      }
      this.state = 'up'
      this.retryMs = RETRY_MS_MIN
      this.target = target
      this.lastArrival = this.network.world.now()
      for (const message of this.early.take()) this.send(message)
      this.owner.handlers.onConnected(this.peer)
      if (!target.process.alive) this.targetClosed(target)
    })
  }

  private refused(epoch: number): void {
    this.network.world.after(this.network.delay(), () => {
      this.owner.process.deliver('io', () => {
        if (!this.isCurrent(epoch)) return
        this.retryLater(epoch, 0)
        this.owner.handlers.onUnreachable(this.peer)
      })
    })
  }

  private retryIfUnanswered(epoch: number): void {
    this.network.world.after(DIAL_TIMEOUT_MS, () => {
      if (!this.isCurrent(epoch) || this.state !== 'dialling') return
      this.owner.process.deliver('timer', () => {
        if (!this.isCurrent(epoch) || this.state !== 'dialling') return
        this.retryLater(epoch, 0)
        this.owner.handlers.onUnanswered(this.peer)
      })
    })
  }

  private retryLater(epoch: number, extraMs: number): void {
    if (!this.isCurrent(epoch)) return
    this.state = 'idle'
    this.early.take()
    const idleEpoch = ++this.epoch
    const delay = extraMs + this.retryMs * this.network.random.between(0.5, 1)
    this.retryMs = Math.min(this.network.options.pauseMsMax, this.retryMs * 2)
    this.network.world.after(delay, () => {
      if (this.isCurrent(idleEpoch)) this.owner.process.deliver('timer', () => this.dial())
    })
  }

  private isCurrent(epoch: number): boolean {
    return this.epoch === epoch && this.state !== 'closed' && this.owner.process.alive
  }
}
