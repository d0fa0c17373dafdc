import { connect, type Socket } from 'node:net'
import { randomFillSync } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { NodeProcess } from '../e2e/support/node-process.ts'
import { Unanswered } from '../e2e/support/rest-client.ts'
import { Tally } from './tally.ts'

/** Sizes of values, and how many keys each has: all keys together hold some hundreds of megabytes at most. */
const CLASSES = [
  { bytes: 16, keys: 5_000 },
  { bytes: 1_024, keys: 5_000 },
  { bytes: 64 * 1024, keys: 200 },
  { bytes: 1024 * 1024, keys: 24 },
  { bytes: 16 * 1024 * 1024, keys: 4 },
] as const

const PREFIX = 'soak/'

export interface ClientsOptions {
  readonly valueBytesMax: number
  readonly bytesPerSecond: number
  readonly writers: number
  /** Pauses of those who list, delete ranges, take snapshots and do not read. */
  readonly pauseMs: {
    readonly list: number
    readonly deleteRange: number
    readonly snapshot: number
    readonly stall: number
  }
}

/** Everybody who uses the cluster while it is watched: each does one thing after the other, with pauses. */
export class Clients {
  readonly tally = new Tally()
  private readonly options: ClientsOptions
  private readonly nodes: () => readonly NodeProcess[]
  private readonly value: Buffer
  private readonly stalled = new Set<Socket>()
  private readonly running: Promise<void>
  private stopping = false

  /** `nodes`: those that are well now. */
  constructor(options: ClientsOptions, nodes: () => readonly NodeProcess[]) {
    this.options = options
    this.nodes = nodes
    this.value = randomFillSync(Buffer.alloc(options.valueBytesMax))
    const { list, deleteRange, snapshot, stall } = options.pauseMs
    const writers = Array.from({ length: options.writers }, () => this.repeat(1, () => this.write()))
    this.running = Promise.all([
      ...writers,
      this.repeat(list, () => this.list()),
      this.repeat(deleteRange, () => this.deleteRange()),
      this.repeat(snapshot, () => this.snapshot()),
      this.repeat(stall, () => this.readNothing()),
      this.repeat(stall, () => this.readSlowly()),
    ]).then(() => undefined)
    // A failure is told by `stop`.
    this.running.catch(() => undefined)
  }

  async stop(): Promise<void> {
    this.stopping = true
    for (const socket of this.stalled) socket.destroy()
    await this.running
  }

  private async repeat(pauseMs: number, act: () => Promise<void>): Promise<void> {
    while (!this.stopping) {
      try {
        await act()
      } catch (error) {
        if (!(error instanceof Unanswered)) throw error
        this.tally.count('unanswered')
      }
      await this.wait(pauseMs)
    }
  }

  /** In short steps, so that the end does not wait for a pause. */
  private async wait(ms: number): Promise<void> {
    const until = performance.now() + ms
    while (!this.stopping && performance.now() < until) await delay(Math.min(100, until - performance.now()))
  }

  private anyNode(): NodeProcess {
    return pick(this.nodes())
  }

  private async write(): Promise<void> {
    const kind = pick(CLASSES.filter(({ bytes }) => bytes <= this.options.valueBytesMax))
    const at = Math.floor(Math.random() * (this.value.length - kind.bytes + 1))
    const value = this.value.subarray(at, at + kind.bytes)
    const key = `${PREFIX}${kind.bytes}/${Math.floor(Math.random() * kind.keys)}`
    const begun = performance.now()
    const answer = await this.anyNode().client.putKey(key, value, { query: '?timeout=20s' })
    this.tally.count(answer.status === 200 ? 'writes' : `write refused: ${answer.problem.code}`)
    // Together the writers send no more than they may.
    const { bytesPerSecond, writers } = this.options
    await this.wait((kind.bytes * writers * 1000) / bytesPerSecond - (performance.now() - begun))
  }

  private async list(): Promise<void> {
    const { bytes } = pick(CLASSES)
    const answer = await this.anyNode().client.get(`/kv?prefix=${PREFIX}${bytes}/&limit=1000`)
    this.tally.count(answer.status === 200 ? 'pages' : `page refused: ${answer.problem.code}`)
    const count = await this.anyNode().client.get(`/kv?prefix=${PREFIX}${bytes}/&countOnly=true&timeout=20s`)
    this.tally.count(count.status === 200 ? 'counts' : `count refused: ${count.problem.code}`)
  }

  private async deleteRange(): Promise<void> {
    const { bytes } = pick(CLASSES)
    const digit = Math.floor(Math.random() * 10)
    const path = `/kv?prefix=${PREFIX}${bytes}/${digit}&timeout=20s`
    const answer = await this.anyNode().client.request('DELETE', path)
    this.tally.count(answer.status === 200 ? 'range deletes' : `range delete refused: ${answer.problem.code}`)
  }

  /** Read to its end, and thrown away. */
  private async snapshot(): Promise<void> {
    const response = await fetch(`${this.anyNode().addresses.api}/cluster/snapshot`).catch(() => null)
    if (response === null) return this.tally.count('unanswered')
    let bytes = 0
    try {
      for await (const chunk of response.body ?? []) bytes += (chunk as Uint8Array).length
      this.tally.count(response.status === 200 ? 'snapshots' : `snapshot refused: ${response.status}`)
      this.tally.add('snapshot bytes', bytes)
    } catch {
      this.tally.count('snapshots broken off')
    }
  }

  /** Asks for everything in three ways, and reads none of it. */
  private async readNothing(): Promise<void> {
    const node = this.anyNode()
    const sockets = [
      this.ask(node, '/cluster/snapshot'),
      this.ask(node, `/kv?prefix=${PREFIX}`, 'application/x-ndjson'),
      this.ask(node, `/kv?prefix=${PREFIX}1048576/&limit=1000`),
    ]
    for (const socket of sockets) socket.pause()
    await this.wait(this.options.pauseMs.stall * 2)
    for (const socket of sockets) this.release(socket)
    this.tally.add('answers not read', sockets.length)
  }

  private async readSlowly(): Promise<void> {
    const socket = this.ask(this.anyNode(), `/kv?prefix=${PREFIX}`, 'application/x-ndjson')
    const until = performance.now() + this.options.pauseMs.stall * 2
    while (!this.stopping && performance.now() < until) {
      socket.resume()
      await delay(5)
      socket.pause()
      await this.wait(100)
    }
    this.release(socket)
    this.tally.count('answers read slowly')
  }

  private ask(node: NodeProcess, path: string, accept = '*/*'): Socket {
    const { hostname, port } = new URL(node.addresses.api)
    const socket = connect(Number(port), hostname)
    socket.on('error', () => undefined)
    socket.on('data', () => undefined)
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\nAccept: ${accept}\r\n\r\n`)
    this.stalled.add(socket)
    return socket
  }

  private release(socket: Socket): void {
    socket.destroy()
    this.stalled.delete(socket)
  }
}

function pick<Item>(items: readonly Item[]): Item {
  const item = items[Math.floor(Math.random() * items.length)]
  if (item === undefined) throw new Error('there is nothing to choose from')
  return item
}
