import { assert } from '../lib/assert.ts'
import { writeU16, writeU32, writeU64 } from './integers.ts'

/** The most bytes of a text whose length is written as u16. */
const SHORT_TEXT_BYTES_MAX = 0xffff

/** Gathers parts of an encoding. Integers are big-endian, and everything of variable length has its length in front. */
export class ByteWriter {
  private readonly parts: Uint8Array[] = []
  private size = 0

  u8(value: number): this {
    return this.add(Uint8Array.of(value))
  }

  u32(value: number): this {
    const bytes = new Uint8Array(4)
    writeU32(bytes, 0, value)
    return this.add(bytes)
  }

  /** `value` is a safe integer, not negative. */
  u64(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, 'a number in an encoding is a safe integer, not negative')
    const bytes = new Uint8Array(8)
    writeU64(bytes, 0, value)
    return this.add(bytes)
  }

  /** One byte for each character, as keys are held in memory. Up to 65,535 of them. */
  text(text: string): this {
    assert(text.length <= SHORT_TEXT_BYTES_MAX, 'the length of a text fits its field')
    const bytes = Buffer.allocUnsafe(2 + text.length)
    writeU16(bytes, 0, text.length)
    bytes.write(text, 2, 'latin1')
    return this.add(bytes)
  }

  /** Keeps `bytes`; they must not change before `done`. */
  bytes(bytes: Uint8Array): this {
    return this.u32(bytes.length).add(bytes)
  }

  done(): Uint8Array {
    return Buffer.concat(this.parts, this.size)
  }

  private add(bytes: Uint8Array): this {
    this.parts.push(bytes)
    this.size += bytes.length
    return this
  }
}
