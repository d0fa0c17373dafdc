import { assert } from '../lib/assert.ts'
import { crc32 } from '../lib/checksum.ts'
import { limits } from '../limits.ts'
import { FRAME_HEADER_BYTES, writeFrameHeader } from './frame-header.ts'

const SLAB_BYTES = 16 * 1024
/** Up to this size, copying costs less than one more buffer in a gathered write. */
const COPY_BYTES_MAX = 2048
const TWO_TO_32 = 4294967296

/**
 * Encodes frames into a list of buffers that can be written with one call. Small fields go into slabs. Large bodies are only
 * referred to, so they must not change until they are written.
 */
export class FrameWriter {
  private slab: Buffer = Buffer.alloc(0)
  private view = new DataView(this.slab.buffer, 0, 0)
  private at = 0
  /** The position of the first byte in `slab` that is not in `chunks` yet. */
  private sealedUpTo = 0
  private chunks: Uint8Array[] = []
  private finishedBytes = 0

  private headerSlab: Buffer = this.slab
  private headerAt = 0
  private type = 0
  private payloadBytes = 0
  private checksum = 0
  /** The position of the first byte in `slab` that `payloadBytes` and `checksum` do not cover yet. */
  private foldedUpTo = 0

  /** Bytes of the finished frames that were not taken yet. */
  get bytes(): number {
    return this.finishedBytes
  }

  begin(type: number): void {
    this.reserve(FRAME_HEADER_BYTES)
    this.headerSlab = this.slab
    this.headerAt = this.at
    this.at += FRAME_HEADER_BYTES
    this.type = type
    this.payloadBytes = 0
    this.checksum = type
    this.foldedUpTo = this.at
  }

  end(): void {
    this.fold()
    assert(this.payloadBytes <= limits.frameBytesMax, 'a frame between peers is no larger than every peer accepts')
    writeFrameHeader(this.headerSlab, this.headerAt, this.type, this.payloadBytes, this.checksum)
    this.finishedBytes += FRAME_HEADER_BYTES + this.payloadBytes
  }

  /** Removes and returns all finished frames, to be written in this order. */
  take(): Uint8Array[] {
    this.seal()
    const taken = this.chunks
    this.chunks = []
    this.finishedBytes = 0
    return taken
  }

  u8(value: number): void {
    this.reserve(1)
    this.slab[this.at] = value
    this.at += 1
  }

  flag(value: boolean): void {
    this.u8(value ? 1 : 0)
  }

  u32(value: number): void {
    assert(Number.isInteger(value) && value >= 0 && value < TWO_TO_32, 'a 32-bit field of a frame fits')
    this.reserve(4)
    this.view.setUint32(this.at, value, true)
    this.at += 4
  }

  /** An integer from 0 to 2^53 - 1, in 8 bytes. */
  u64(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'an integer in a frame is safe and not negative')
    this.reserve(8)
    const low = value >>> 0
    this.view.setUint32(this.at, low, true)
    this.view.setUint32(this.at + 4, (value - low) / TWO_TO_32, true)
    this.at += 8
  }

  f64(value: number): void {
    this.reserve(8)
    this.view.setFloat64(this.at, value, true)
    this.at += 8
  }

  /** UTF-8 after its length in bytes. */
  text(value: string): void {
    const length = Buffer.byteLength(value)
    this.u32(length)
    this.reserve(length)
    this.slab.write(value, this.at, 'utf8')
    this.at += length
  }

  /** Raw bytes without a length; large ones are not copied. */
  raw(bytes: Uint8Array): void {
    if (bytes.length <= COPY_BYTES_MAX) {
      this.reserve(bytes.length)
      this.slab.set(bytes, this.at)
      this.at += bytes.length
      return
    }
    this.fold()
    this.seal()
    this.chunks.push(bytes)
    this.checksum = crc32(bytes, this.checksum)
    this.payloadBytes += bytes.length
  }

  private reserve(bytes: number): void {
    if (this.at + bytes <= this.slab.length) return
    this.fold()
    this.seal()
    this.slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, bytes))
    this.view = new DataView(this.slab.buffer)
    this.at = 0
    this.sealedUpTo = 0
    this.foldedUpTo = 0
  }

  /** Adds the bytes written to the slab since the last call to size and checksum. */
  private fold(): void {
    if (this.foldedUpTo < this.at) {
      const piece = this.slab.subarray(this.foldedUpTo, this.at)
      this.checksum = crc32(piece, this.checksum)
      this.payloadBytes += piece.length
      this.foldedUpTo = this.at
    }
  }

  private seal(): void {
    if (this.sealedUpTo < this.at) {
      this.chunks.push(this.slab.subarray(this.sealedUpTo, this.at))
      this.sealedUpTo = this.at
    }
  }
}
