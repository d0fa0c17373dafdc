import type { SnapshotAnswer, SnapshotHeader, SnapshotSink, SnapshotSource } from '../../../src/ports/transport.ts'
import type { NodeId } from '../../../src/raft/index.ts'
import type { Network } from './network.ts'
import type { SimTransport } from './transport.ts'

/** Chunks in transit, or waiting at the receiver. */
const WINDOW = 2
const STALL_MS_MAX = 2000

interface Pull {
  readonly resolve: (result: IteratorResult<Uint8Array, undefined>) => void
  readonly reject: (error: Error) => void
}

interface Waiting {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

interface Way {
  lastArrival: number
  /** Deliveries that wait until the cut link is mended. */
  held: (() => void)[]
}

/** One snapshot in transit from one process to another, on a connection of its own. */
export class SnapshotStream {
  readonly to: NodeId
  readonly header: SnapshotHeader
  readonly sender: SimTransport
  receiver: SimTransport | null = null
  private readonly address: string
  private readonly network: Network
  private broken: Error | null = null
  private closed: Error | null = null
  private inWindow = 0
  private ended = false
  private endArrived = false
  private readonly arrived: Uint8Array[] = []
  private pull: Pull | null = null
  private room: Waiting[] = []
  private answer: { resolve: (answer: SnapshotAnswer) => void; reject: (error: Error) => void } | null = null
  /** The receiver's answer, once it has reached the sender. */
  private answered: SnapshotAnswer | null = null
  private refuseOpening: ((error: Error) => void) | null = null
  /** The direction to the receiver. Deliveries keep their order. */
  private readonly there: Way = { lastArrival: 0, held: [] }
  private readonly back: Way = { lastArrival: 0, held: [] }

  constructor(
    options: { readonly to: NodeId; readonly address: string; readonly header: SnapshotHeader },
    deps: {
      readonly sender: SimTransport
      readonly network: Network
    },
  ) {
    this.to = options.to
    this.address = options.address
    this.header = options.header
    this.sender = deps.sender
    this.network = deps.network
    this.sender.process.whenEnded(() => this.breakOff('the sender is gone'))
  }

  open(): Promise<SnapshotSink> {
    const { world, links } = this.network
    const hello = this.sender.handlers.hello('snapshot', this.to)
    world.note(this.sender.process.name, `opens a snapshot to n${this.to} at ${this.header.logId.index}`)
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => this.sender.process.deliver('io', () => reject(new Error(why)))
      this.refuseOpening = reject
      world.after(STALL_MS_MAX, () => {
        if (this.refuseOpening !== null) this.breakOff('no answer in time')
      })
      world.after(this.network.delay(), () => {
        const presence = this.network.presenceAt(this.address)
        const cut = links.isCut(this.sender.id, this.to) || links.isCut(this.to, this.sender.id)
        if (cut || presence.kind === 'silent') {
          world.after(STALL_MS_MAX / 4, () => fail('no answer in time'))
          return
        }
        if (presence.kind === 'refusing') return fail('connection refused')
        const { transport } = presence
        this.receiver = transport
        transport.process.whenEnded(() => this.breakOff('the receiver is gone'))
        transport.process.deliver('io', () => {
          const refusal = transport.handlers.admit(hello)
          const report = transport.handlers.report()
          world.after(this.network.delay(), () => {
            this.sender.process.deliver('io', () => {
              this.refuseOpening = null
              const refused = refusal ?? this.sender.handlers.admitReport(this.to, report)
              if (refused !== null) return reject(new Error(refused.detail))
              if (this.broken !== null) return reject(this.broken)
              world.census.count('snapshot-sent')
              this.deliverHeader(transport)
              resolve(this.sink())
            })
          })
        })
      })
    })
  }

  /** The connection breaks, and both sides learn of it. */
  breakOff(why: string): void {
    if (this.broken !== null || this.ended) return
    this.broken = new Error(`the snapshot connection broke: ${why}`)
    this.network.world.note(this.sender.process.name, `the snapshot connection to n${this.to} breaks: ${why}`)
    const { broken, pull, room, answer, refuseOpening } = this
    this.refuseOpening = null
    this.pull = null
    this.room = []
    this.answer = null
    const { world } = this.network
    world.after(this.network.delay(), () => {
      this.sender.process.deliver('io', () => {
        for (const waiting of room) waiting.reject(broken)
        answer?.reject(broken)
        refuseOpening?.(broken)
      })
    })
    world.after(this.network.delay(), () => this.receiver?.process.deliver('io', () => pull?.reject(broken)))
  }

  private deliverHeader(receiver: SimTransport): void {
    this.carry(() => receiver.process.deliver('io', () => receiver.handlers.onSnapshot(this.source())))
  }

  private sink(): SnapshotSink {
    return {
      write: (chunk) => this.write(chunk),
      finish: () =>
        new Promise((resolve, reject) => {
          if (this.answered !== null) return resolve(this.answered)
          if (this.broken !== null) return reject(this.broken)
          this.answer = { resolve, reject }
          this.carry(() => {
            this.endArrived = true
            this.handOver()
          })
        }),
      abort: () => this.breakOff('the sender gave up'),
    }
  }

  private source(): SnapshotSource {
    return {
      from: this.sender.id,
      header: this.header,
      chunks: () => ({ [Symbol.asyncIterator]: () => ({ next: () => this.next(), return: () => this.abandon() }) }),
      finish: (answer) => this.finish(answer),
    }
  }

  private write(chunk: Uint8Array): Promise<void> {
    if (this.broken !== null) return Promise.reject(this.broken)
    const { weather, random, world } = this.network
    if (weather.snapshotCutProbability > 0 && random.chance(weather.snapshotCutProbability)) {
      world.census.count('snapshot-cut')
      this.breakOff('cut')
      return Promise.reject(this.broken ?? new Error('cut'))
    }
    if (weather.snapshotCorruptProbability > 0 && random.chance(weather.snapshotCorruptProbability)) {
      // The checksum of the chunk does not match: the receiver drops the connection and never sees the chunk.
      world.census.count('snapshot-corrupted')
      this.carry(() => this.breakOff('a damaged chunk'))
    } else {
      const copy = Uint8Array.from(chunk)
      this.carry(() => {
        this.arrived.push(copy)
        this.handOver()
      })
    }
    this.inWindow += 1
    if (this.answered !== null) return Promise.resolve()
    return new Promise((resolve, reject) => {
      if (this.inWindow < WINDOW) this.sender.process.later(0.01, resolve)
      else this.room.push({ resolve, reject })
    })
  }

  private next(): Promise<IteratorResult<Uint8Array, undefined>> {
    return new Promise((resolve, reject) => {
      const gone = this.broken ?? this.closed
      if (gone !== null) {
        this.receiver?.process.later(0.01, () => reject(gone))
        return
      }
      this.pull = { resolve, reject }
      this.network.world.after(0.01, () => this.handOver())
    })
  }

  /** The receiver reads no further. A call that waits for a chunk fails. */
  private closeReading(why: Error): void {
    const { pull } = this
    this.pull = null
    this.closed = why
    if (pull !== null) this.receiver?.process.later(0.01, () => pull.reject(why))
  }

  private abandon(): Promise<IteratorResult<Uint8Array, undefined>> {
    return Promise.resolve({ done: true, value: undefined })
  }

  /** Gives the receiver the item that it waits for, if it is there. */
  private handOver(): void {
    const { pull, receiver } = this
    if (pull === null || receiver === null || this.broken !== null) return
    const chunk = this.arrived.shift()
    if (chunk === undefined && !this.endArrived) return
    this.pull = null
    if (chunk === undefined) return receiver.process.deliver('io', () => pull.resolve({ done: true, value: undefined }))
    this.inWindow -= 1
    const waiting = this.room.shift()
    if (waiting !== undefined) {
      this.network.world.after(this.network.delay(), () => this.sender.process.deliver('io', waiting.resolve))
    }
    receiver.process.deliver('io', () => {
      receiver.chunkArrives(this)
      pull.resolve({ done: false, value: chunk })
    })
  }

  private finish(answer: SnapshotAnswer): Promise<void> {
    this.closeReading(new Error('the receiver has closed the snapshot connection'))
    if (this.broken !== null) return Promise.resolve()
    this.carryOn(this.to, this.sender.id, () => {
      this.ended = true
      this.answered = answer
      const { room, answer: waiting } = this
      this.room = []
      this.answer = null
      // A receiver that has decided reads no further, so later writes are discarded.
      this.sender.process.deliver('io', () => {
        for (const { resolve } of room) resolve()
        waiting?.resolve(answer)
      })
    })
    return new Promise((resolve) => {
      this.receiver?.process.later(0.1, resolve)
    })
  }

  private carry(run: () => void): void {
    this.carryOn(this.sender.id, this.to, run)
  }

  /** Keeps the order, also of what a cut link holds back. */
  private carryOn(from: NodeId, to: NodeId, run: () => void): void {
    const { world, links } = this.network
    const way = from === this.sender.id ? this.there : this.back
    const release = (): void => {
      for (const held of way.held.splice(0)) held()
    }
    const arrive = (what: () => void): void => {
      if (!links.isCut(from, to)) return what()
      way.held.push(() => arrive(what))
      if (way.held.length > 1) return
      links.whenHealed(from, to, release)
      world.after(STALL_MS_MAX, () => {
        if (way.held.length > 0) this.breakOff('silence')
      })
    }
    way.lastArrival = Math.max(way.lastArrival, world.now() + this.network.delay())
    world.at(way.lastArrival, () => arrive(run))
  }
}
