import { crc32 } from '../lib/checksum.ts'
import { limits } from '../limits.ts'
import { DecodeError } from './decode-error.ts'
import { FRAME_HEADER_BYTES, FRAME_VERSION, type FrameHeader, readFrameHeader } from './frame-header.ts'
import { decodeFrame, type Frame, isFrameType } from './wire.ts'

/** Asked for room before a large, incomplete frame is read. */
export interface FrameGate {
  /** Whether there is room now. If not, the frame waits and asks again. */
  reserve(bytes: number): boolean
  /** The room that was reserved last is no longer needed. */
  release(): void
}

/**
 * Cuts a stream of bytes into frames.
 *
 * A frame that lies within one received chunk is decoded in place. A frame that spans chunks is gathered in a buffer of its own
 * size. In both cases the bodies of the decoded frame are slices of that buffer.
 */
export class FrameSplitter {
  /** The longest payload that is accepted. Small until the other side has introduced itself. */
  payloadBytesMax: number
  gate: FrameGate | null = null

  private chunks: Buffer[] = []
  /** The position of the first unused byte in `chunks[0]`. */
  private at = 0
  private readonly head = Buffer.alloc(FRAME_HEADER_BYTES)
  private headFilled = 0
  private header: FrameHeader | null = null
  private payload: Buffer | null = null
  private payloadFilled = 0

  constructor(payloadBytesMax: number) {
    this.payloadBytesMax = payloadBytesMax
  }

  /** A frame has been announced and there is no room for it, so nothing more should be read. */
  get isWaiting(): boolean {
    return this.header !== null && this.payload === null
  }

  push(chunk: Buffer): void {
    this.chunks.push(chunk)
  }

  /** The next frame; null when more bytes are needed. Throws DecodeError, and cannot be used after that. */
  next(): Frame | null {
    for (;;) {
      const chunk = this.chunks[0]
      if (this.isWaiting && !this.makeRoom()) return null
      if (chunk === undefined) return null
      const frame = this.header === null ? this.startFrame(chunk) : this.continueFrame(chunk, this.header)
      if (this.at === chunk.length) {
        this.chunks.shift()
        this.at = 0
      }
      if (frame !== null) return frame
    }
  }

  private startFrame(chunk: Buffer): Frame | null {
    const available = chunk.length - this.at
    if (this.headFilled > 0 || available < FRAME_HEADER_BYTES) {
      const taken = chunk.copy(this.head, this.headFilled, this.at)
      this.headFilled += taken
      this.at += taken
      if (this.headFilled < FRAME_HEADER_BYTES) return null
      this.headFilled = 0
      return this.expectPayload(this.checkHeader(readFrameHeader(this.head, 0)))
    }
    const header = this.checkHeader(readFrameHeader(chunk, this.at))
    this.at += FRAME_HEADER_BYTES
    if (available - FRAME_HEADER_BYTES < header.payloadBytes) return this.expectPayload(header)
    const payload = chunk.subarray(this.at, this.at + header.payloadBytes)
    this.at += header.payloadBytes
    return decodeChecked(header, payload)
  }

  private expectPayload(header: FrameHeader): Frame | null {
    if (header.payloadBytes === 0) return decodeChecked(header, this.head.subarray(0, 0))
    this.header = header
    this.makeRoom()
    return null
  }

  private makeRoom(): boolean {
    const bytes = this.header?.payloadBytes ?? 0
    if (isCounted(bytes) && this.gate?.reserve(bytes) === false) return false
    this.payload = Buffer.allocUnsafeSlow(bytes)
    this.payloadFilled = 0
    return true
  }

  private continueFrame(chunk: Buffer, header: FrameHeader): Frame | null {
    const { payload } = this
    if (payload === null) return null
    const taken = chunk.copy(payload, this.payloadFilled, this.at)
    this.payloadFilled += taken
    this.at += taken
    if (this.payloadFilled < header.payloadBytes) return null
    this.header = null
    this.payload = null
    if (isCounted(header.payloadBytes)) this.gate?.release()
    return decodeChecked(header, payload)
  }

  private checkHeader(header: FrameHeader): FrameHeader {
    if (header.version !== FRAME_VERSION || header.reserved !== 0) {
      throw new DecodeError('what was sent is not a frame of this protocol')
    }
    if (!isFrameType(header.type)) throw new DecodeError(`frame type ${header.type} does not exist`)
    if (header.payloadBytes > this.payloadBytesMax) {
      throw new DecodeError(`a frame of ${header.payloadBytes} bytes exceeds ${this.payloadBytesMax}`)
    }
    return header
  }
}

function isCounted(bytes: number): boolean {
  return bytes > limits.incomingFrameUncountedBytes
}

function decodeChecked(header: FrameHeader, payload: Buffer): Frame {
  if (crc32(payload, header.type) !== header.checksum) throw new DecodeError('a checksum does not fit')
  return decodeFrame(header.type, payload)
}
