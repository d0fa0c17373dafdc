import type { Socket } from 'node:net'
import type { Server, TLSSocket } from 'node:tls'

export interface GateOptions {
  /** How long a caller may take from its first byte to the end of the handshake. */
  readonly handshakeTimeoutMs: number
}

export interface GateEvents {
  /** Somebody connects. False: the socket has been closed. */
  admits(raw: Socket): boolean
  /** The caller speaks something else than TLS. What it sends has not been read. */
  onPlain(raw: Socket): void
  /** The handshake is done. `raw` carries it, and `pass` hands it to the listeners of the server. */
  onSecured(secured: TLSSocket, raw: Socket, pass: () => void): void
}

/** The first byte of every handshake of TLS, and of no request and no frame. */
const HANDSHAKE_BYTE = 0x16

/**
 * Stands between a TLS server and those who call it. It looks at the first byte, because a caller without TLS has to be answered without
 * TLS, and bounds the time until a handshake is done. To be made when all listeners of the server are in their places.
 */
export class TlsGate {
  private readonly events: GateEvents
  private readonly options: GateOptions
  /** Sockets whose handshake is not done, by their addresses; the oldest comes first. */
  private readonly pending = new Map<string, Socket>()
  private isClosed = false

  constructor(server: Server, options: GateOptions, events: GateEvents) {
    this.options = options
    this.events = events
    const begin = takeListeners(server, 'connection')
    const serve = takeListeners(server, 'secureConnection')
    server.on('connection', (raw: Socket) => this.onConnection(raw, () => callAll(begin, server, raw)))
    server.on('secureConnection', (secured: TLSSocket) =>
      this.onSecured(secured, () => callAll(serve, server, secured)),
    )
  }

  get pendingCount(): number {
    return this.pending.size
  }

  /** Ends whatever has not come through, also what is still to come. */
  close(): void {
    this.isClosed = true
    for (const raw of this.pending.values()) raw.destroy()
  }

  dropOldest(): void {
    for (const raw of this.pending.values()) return void raw.destroy()
  }

  private onConnection(raw: Socket, begin: () => void): void {
    if (this.isClosed) return void raw.destroy()
    if (!this.events.admits(raw)) return
    const key = keyOf(raw)
    this.pending.set(key, raw)
    const late = setTimeout(() => {
      if (this.pending.get(key) === raw) raw.destroy()
    }, this.options.handshakeTimeoutMs)
    // The next owner of the socket hears of its errors as well.
    raw.on('error', () => undefined)
    raw.once('close', () => {
      clearTimeout(late)
      if (this.pending.get(key) === raw) this.pending.delete(key)
    })
    const onReadable = (): void => {
      const chunk = raw.read() as Buffer | null
      if (chunk === null) return
      raw.off('readable', onReadable)
      raw.unshift(chunk)
      if (chunk[0] === HANDSHAKE_BYTE) return begin()
      this.pending.delete(key)
      this.events.onPlain(raw)
    }
    raw.on('readable', onReadable)
    // One that ends without a word.
    raw.once('end', () => {
      if (this.pending.get(key) === raw) raw.destroy()
    })
  }

  private onSecured(secured: TLSSocket, pass: () => void): void {
    const key = keyOf(secured)
    const raw = this.pending.get(key)
    this.pending.delete(key)
    if (raw === undefined) secured.destroy()
    else this.events.onSecured(secured, raw, pass)
  }
}

type Listener = (...words: never[]) => void

function takeListeners(server: Server, event: 'connection' | 'secureConnection'): readonly Listener[] {
  const listeners = server.listeners(event) as Listener[]
  server.removeAllListeners(event)
  return listeners
}

function callAll(listeners: readonly Listener[], server: Server, socket: Socket): void {
  for (const listener of listeners) Reflect.apply(listener, server, [socket])
}

/** Node does not tell which socket carries a TLS socket. Both have the same addresses, and no other connection has. */
function keyOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`
}
