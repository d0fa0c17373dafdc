import { connect, type Socket } from 'node:net'
import { AnswerReader } from './answer-reader.ts'
import { Queue } from './queue.ts'

const RECONNECT_MS = 20

export interface ConnectionListener {
  /** The answer to the oldest request in flight, that was begun with `startedMs`. */
  onAnswer(connection: Connection, status: number, startedMs: number): void
  /** It broke: `count` requests will get no answer. */
  onLost(connection: Connection, count: number): void
  /** Connected, for the first time or again. */
  onOpen(connection: Connection): void
}

/** One connection to a server. Opens itself again when it breaks, until it is closed. */
export class Connection {
  private readonly host: string
  private readonly port: number
  private readonly listener: ConnectionListener
  /** When each request in flight began. */
  private readonly started = new Queue<number>()
  private socket: Socket | null = null
  private closed = false

  constructor(target: string, listener: ConnectionListener) {
    const colon = target.lastIndexOf(':')
    this.host = target.slice(0, colon)
    this.port = Number(target.slice(colon + 1))
    this.listener = listener
    this.open()
  }

  get inFlight(): number {
    return this.started.size
  }

  send(request: string, startedMs: number): void {
    this.started.add(startedMs)
    this.socket?.write(request, 'latin1')
  }

  close(): void {
    this.closed = true
    this.socket?.destroy()
  }

  private open(): void {
    const socket = connect(this.port, this.host)
    const reader = new AnswerReader((status) => {
      this.listener.onAnswer(this, status, this.started.take() ?? NaN)
    })
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('connect', () => this.listener.onOpen(this))
    socket.on('data', (bytes) => {
      try {
        reader.push(bytes)
      } catch {
        socket.destroy()
      }
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.lost())
  }

  private lost(): void {
    const count = this.started.size
    this.started.clear()
    if (this.closed) return
    this.listener.onLost(this, count)
    setTimeout(() => {
      if (!this.closed) this.open()
    }, RECONNECT_MS)
  }
}
