import type { Socket } from 'node:net'
import { limits } from '../limits.ts'
import type { Clock } from '../ports/clock.ts'
import type { Channel, ChannelEvents, CloseReason } from './channel.ts'
import { DecodeError } from './decode-error.ts'
import { type FrameGate, FrameSplitter } from './frame-splitter.ts'
import { FrameWriter } from './frame-writer.ts'
import { formatHostPort } from '../lib/host-port.ts'
import type { FarEnd } from './sockets.ts'
import { encodeFrame, type Frame } from './wire.ts'

/** At most this many bytes of something that is not a frame are shown in messages. */
const EXCERPT_BYTES = 24

/** How the first message of TLS begins. */
const TLS_HANDSHAKE = [0x16, 0x03] as const
const HTTP_ANSWER = Buffer.from('HTTP/1.')

/**
 * Frames over one socket.
 *
 * Frames sent during one callback of the event loop leave in one gathered write. While the kernel accepts no more, they are
 * gathered here, densely packed, and not in the socket's own queue.
 */
export class TcpChannel implements Channel {
  readonly remote: string
  private readonly socket: Socket
  private readonly clock: Clock
  private readonly farEnd: FarEnd
  private readonly writer = new FrameWriter()
  private readonly splitter = new FrameSplitter(limits.handshakeBytesMax)
  private events: ChannelEvents | null = null
  private flushPlanned = false
  private waitsForDrain = false
  private paused = false
  private delivering = false
  private excerpt: Buffer | null = null
  private receivedAny = false
  private reason: CloseReason | null = null
  private gone = false
  private cancelGrace: (() => void) | null = null

  constructor(socket: Socket, clock: Clock, farEnd: FarEnd) {
    this.socket = socket
    this.clock = clock
    this.farEnd = farEnd
    this.remote = formatHostPort({ host: socket.remoteAddress ?? 'unknown', port: socket.remotePort ?? 0 })
    socket.on('data', (chunk: Buffer) => this.onData(chunk))
    socket.on('end', () => this.settle({ kind: 'ended', detail: 'the other side closed the connection' }))
    socket.on('error', (error) => this.settle({ kind: 'failed', detail: farEnd.describe(error) }))
    socket.on('close', () => this.onSocketClosed())
    socket.pause()
  }

  get queuedBytes(): number {
    return this.writer.bytes + this.socket.writableLength
  }

  objectionTo(raftAddress: string): string | null {
    return this.farEnd.objectionTo(raftAddress)
  }

  listen(events: ChannelEvents): void {
    if (this.gone) {
      this.clock.nextTurn(() => events.onClosed(this.closeReason()))
      return
    }
    const first = this.events === null
    this.events = events
    if (first && !this.paused) this.socket.resume()
  }

  acceptFrames(bytesMax: number): void {
    this.splitter.payloadBytesMax = bytesMax
  }

  guard(gate: FrameGate): void {
    this.splitter.gate = gate
  }

  recheck(): void {
    this.clock.nextTurn(() => this.deliver())
  }

  send(frame: Frame): void {
    if (this.reason !== null) return
    encodeFrame(frame, this.writer)
    if (this.flushPlanned || this.waitsForDrain) return
    this.flushPlanned = true
    process.nextTick(flushPlanned, this)
  }

  flush(): void {
    this.flushPlanned = false
    if (this.waitsForDrain || this.writer.bytes === 0 || !this.socket.writable) return
    const chunks = this.writer.take()
    const last = chunks.pop()
    if (last === undefined) return
    if (chunks.length > 0) this.socket.cork()
    for (const chunk of chunks) this.socket.write(chunk)
    this.socket.write(last, this.onWritten)
    if (chunks.length > 0) this.socket.uncork()
    this.waitsForDrain = this.socket.writableLength > 0
  }

  pause(): void {
    this.paused = true
    this.socket.pause()
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    if (this.events === null || this.reason !== null) return
    // Frames that were received before the pause are delivered first, but never from within the caller's own call.
    this.clock.nextTurn(() => this.deliver())
  }

  close(kind: 'malformed' | 'closed', detail: string): void {
    this.settle({ kind, detail })
    this.socket.destroy()
  }

  closeGently(detail: string): void {
    if (this.reason !== null) return
    if (this.flushPlanned) this.flush()
    this.reason = { kind: 'closed', detail }
    if (this.writer.bytes > 0) {
      for (const chunk of this.writer.take()) this.socket.write(chunk)
    }
    this.socket.end()
    // Bytes that arrive are read and discarded: closing with unread bytes would reset the connection and lose what was sent.
    this.socket.resume()
    this.cancelGrace = this.clock.after(limits.peerStopGraceMs, () => this.socket.destroy())
  }

  private onData(chunk: Buffer): void {
    if (this.reason !== null) return
    if (!this.receivedAny) {
      this.receivedAny = true
      this.excerpt = chunk.subarray(0, EXCERPT_BYTES)
    }
    this.splitter.push(chunk)
    this.deliver()
  }

  private deliver(): void {
    if (this.delivering) return
    this.delivering = true
    for (;;) {
      if (this.paused || this.reason !== null) break
      const frame = this.nextFrame()
      if (frame === null) break
      this.excerpt = null
      this.events?.onFrame(frame)
    }
    this.delivering = false
    if (this.paused || this.reason !== null) return
    if (this.splitter.isWaiting) this.socket.pause()
    else this.socket.resume()
  }

  private nextFrame(): Frame | null {
    try {
      return this.splitter.next()
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      this.close('malformed', `${error.message}${this.beginning()}`)
      return null
    }
  }

  /** What the other end began with, when it has sent no frame at all. */
  private beginning(): string {
    const { excerpt } = this
    if (excerpt === null) return ''
    if (excerpt[0] === TLS_HANDSHAKE[0] && excerpt[1] === TLS_HANDSHAKE[1])
      return '; it speaks TLS, and this node does not: start this node with --peer-tls-cert, --peer-tls-key and --peer-tls-ca, as the others'
    if (excerpt.subarray(0, HTTP_ANSWER.length).equals(HTTP_ANSWER))
      return '; it answers with HTTP: this may be the API address of a node, not its raft address'
    return `; it began with ${JSON.stringify(excerpt.toString('latin1'))}`
  }

  /** The kernel has accepted a write. It is also called, late, for a write that never had to wait. */
  private readonly onWritten = (): void => {
    if (!this.waitsForDrain || this.socket.writableLength > 0 || this.reason !== null) return
    this.waitsForDrain = false
    this.flush()
    if (this.queuedBytes === 0) this.events?.onDrained()
  }

  /** The first reason is the true one. Errors that follow from closing are ignored. */
  private settle(reason: CloseReason): void {
    this.reason ??= reason
    this.socket.destroy()
  }

  private closeReason(): CloseReason {
    return this.reason ?? { kind: 'ended', detail: 'the connection closed' }
  }

  private onSocketClosed(): void {
    this.cancelGrace?.()
    this.gone = true
    this.events?.onClosed(this.closeReason())
    this.events = null
  }
}

function flushPlanned(channel: TcpChannel): void {
  channel.flush()
}
