import { readU16, readU32, readU64, readU8 } from './integers.ts'
import { latin1Of } from './latin1.ts'

/** The bytes are not what a `ByteWriter` has written. */
export class DamagedBytesError extends Error {
  override readonly name = 'DamagedBytesError'
}

/** Reads what a `ByteWriter` has written. Every method throws `DamagedBytesError` when the bytes are not as they should be. */
export class ByteReader {
  private readonly source: Uint8Array
  private at = 0

  constructor(source: Uint8Array) {
    this.source = source
  }

  u8(): number {
    return readU8(this.source, this.take(1))
  }

  u32(): number {
    return readU32(this.source, this.take(4))
  }

  u64(): number {
    const value = readU64(this.source, this.take(8))
    if (!Number.isSafeInteger(value)) throw new DamagedBytesError('a number is out of range')
    return value
  }

  text(): string {
    const length = readU16(this.source, this.take(2))
    const from = this.take(length)
    return latin1Of(this.source, from, from + length)
  }

  /** A slice, not a copy. */
  bytes(): Uint8Array {
    const length = this.u32()
    const from = this.take(length)
    return this.source.subarray(from, from + length)
  }

  /** To be called after the last part: nothing may follow. */
  end(): void {
    if (this.at !== this.source.length) {
      throw new DamagedBytesError(`${this.source.length - this.at} bytes follow the end`)
    }
  }

  private take(length: number): number {
    const from = this.at
    if (from + length > this.source.length)
      throw new DamagedBytesError(`it is cut off after ${this.source.length} bytes`)
    this.at = from + length
    return from
  }
}

/** Reads all of `bytes` with `read`; what is wrong with them becomes an error of the caller's kind. */
export function readWhole<T>(bytes: Uint8Array, read: (reader: ByteReader) => T, damaged: (what: string) => Error): T {
  try {
    const reader = new ByteReader(bytes)
    const value = read(reader)
    reader.end()
    return value
  } catch (error) {
    if (error instanceof DamagedBytesError) throw damaged(error.message)
    throw error
  }
}
