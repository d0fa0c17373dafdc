import { limits } from '../limits.ts'
import type { Clock } from '../ports/clock.ts'
import type { Channel, ChannelEvents, CloseReason } from './channel.ts'
import { DecodeError } from './decode-error.ts'
import { type FrameGate, FrameSplitter } from './frame-splitter.ts'
import { FrameWriter } from './frame-writer.ts'
import { encodeFrame, type Frame } from './wire.ts'

/** One end of a connection within one process. Every frame is encoded and decoded, as on a real connection. */
export class LoopbackChannel implements Channel {
  readonly remote: string
  private readonly clock: Clock
  /** Whether this frame, sent from here, is lost. */
  private readonly isLost: (frame: Frame) => boolean
  private other: LoopbackChannel | null = null
  private readonly writer = new FrameWriter()
  private readonly splitter = new FrameSplitter(limits.handshakeBytesMax)
  private inbox: Buffer[] = []
  private inboxBytes = 0
  private events: ChannelEvents | null = null
  private paused = false
  private deliveryPlanned = false
  private reason: CloseReason | null = null
  /** The other end is closed. What it sent before that is still delivered. */
  private ending = false
  private gone = false

  private constructor(remote: string, clock: Clock, isLost: (frame: Frame) => boolean) {
    this.remote = remote
    this.clock = clock
    this.isLost = isLost
  }

  /** The two ends of a new connection. */
  static pair(
    clock: Clock,
    first: { readonly name: string; readonly isLost: (frame: Frame) => boolean },
    second: { readonly name: string; readonly isLost: (frame: Frame) => boolean },
  ): [LoopbackChannel, LoopbackChannel] {
    const a = new LoopbackChannel(second.name, clock, first.isLost)
    const b = new LoopbackChannel(first.name, clock, second.isLost)
    a.other = b
    b.other = a
    return [a, b]
  }

  /** Nothing more is delivered here. */
  get isGone(): boolean {
    return this.gone
  }

  get queuedBytes(): number {
    return this.other?.inboxBytes ?? 0
  }

  objectionTo(): null {
    return null
  }

  listen(events: ChannelEvents): void {
    if (this.gone) {
      const reason = this.reason ?? ENDED
      this.clock.nextTurn(() => events.onClosed(reason))
      return
    }
    this.events = events
    this.planDelivery()
  }

  acceptFrames(bytesMax: number): void {
    this.splitter.payloadBytesMax = bytesMax
  }

  guard(gate: FrameGate): void {
    this.splitter.gate = gate
  }

  recheck(): void {
    this.planDelivery()
  }

  send(frame: Frame): void {
    if (this.reason !== null || this.other === null) return
    encodeFrame(frame, this.writer)
    const bytes = Buffer.concat(this.writer.take())
    if (!this.isLost(frame)) this.other.receive(bytes)
  }

  flush(): void {
    // This channel holds nothing back.
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    this.planDelivery()
  }

  close(kind: CloseReason['kind'], detail: string): void {
    if (this.reason !== null) return
    this.reason = { kind, detail }
    this.other?.breakOff()
    this.planGone()
  }

  closeGently(detail: string): void {
    if (this.reason !== null) return
    this.reason = { kind: 'closed', detail }
    this.other?.onOtherClosed()
    this.planGone()
  }

  private receive(bytes: Buffer): void {
    this.inbox.push(bytes)
    this.inboxBytes += bytes.length
    this.planDelivery()
  }

  private breakOff(): void {
    this.inbox = []
    this.inboxBytes = 0
    this.onOtherClosed()
  }

  private onOtherClosed(): void {
    this.ending = true
    this.planDelivery()
  }

  private planDelivery(): void {
    if (this.deliveryPlanned) return
    this.deliveryPlanned = true
    this.clock.nextTurn(() => {
      this.deliveryPlanned = false
      this.deliver()
    })
  }

  private deliver(): void {
    const hadWaiting = this.inboxBytes > 0
    while (this.events !== null && this.reason === null && !this.paused) {
      const frame = this.nextFrame()
      if (frame === null) break
      this.events.onFrame(frame)
    }
    if (this.reason !== null) return
    if (hadWaiting && this.inboxBytes === 0) this.other?.onTaken()
    if (this.ending && this.inboxBytes === 0 && this.events !== null) {
      this.reason = ENDED
      this.planGone()
    }
  }

  private nextFrame(): Frame | null {
    const bytes = this.inbox.shift()
    if (bytes === undefined) return null
    this.inboxBytes -= bytes.length
    try {
      this.splitter.push(bytes)
      return this.splitter.next()
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      this.close('malformed', error.message)
      return null
    }
  }

  private onTaken(): void {
    if (this.reason === null) this.events?.onDrained()
  }

  private planGone(): void {
    this.inbox = []
    this.inboxBytes = 0
    this.clock.nextTurn(() => {
      this.gone = true
      this.events?.onClosed(this.reason ?? ENDED)
      this.events = null
    })
  }
}

const ENDED: CloseReason = { kind: 'ended', detail: 'the other side closed the connection' }
