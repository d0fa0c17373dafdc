import { isUtf8 } from 'node:buffer'
import { DecodeError } from './decode-error.ts'

const TWO_TO_32 = 4294967296
/** The largest upper half of an integer below 2^53. */
const HIGH_MAX = 0x1fffff

/** Reads the fields of one payload in order. Throws only DecodeError, when the fields make no sense. */
export class FieldReader {
  private readonly payload: Buffer
  private readonly view: DataView
  private at = 0

  constructor(payload: Buffer) {
    this.payload = payload
    this.view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  }

  get remaining(): number {
    return this.payload.length - this.at
  }

  u8(): number {
    this.need(1)
    return this.view.getUint8(this.at++)
  }

  flag(): boolean {
    const value = this.u8()
    if (value > 1) throw new DecodeError(`a flag holds ${value}`)
    return value === 1
  }

  u32(): number {
    this.need(4)
    const value = this.view.getUint32(this.at, true)
    this.at += 4
    return value
  }

  /** An integer from 0 to `max`, which is at most 2^53 - 1. */
  u64(max: number = Number.MAX_SAFE_INTEGER): number {
    this.need(8)
    const low = this.view.getUint32(this.at, true)
    const high = this.view.getUint32(this.at + 4, true)
    if (high > HIGH_MAX) throw new DecodeError('an integer is not safe')
    const value = high * TWO_TO_32 + low
    if (value > max) throw new DecodeError(`an integer is ${value}, beyond ${max}`)
    this.at += 8
    return value
  }

  f64(): number {
    this.need(8)
    const value = this.view.getFloat64(this.at, true)
    if (!Number.isFinite(value)) throw new DecodeError('a number is not finite')
    this.at += 8
    return value
  }

  text(bytesMax: number = Infinity): string {
    const length = this.u32()
    if (length > bytesMax) throw new DecodeError(`a text of ${length} bytes exceeds ${bytesMax}`)
    const bytes = this.raw(length)
    if (!isUtf8(bytes)) throw new DecodeError('a text is not UTF-8')
    return bytes.toString('utf8')
  }

  /** A slice of the payload, not a copy. */
  raw(length: number): Buffer {
    this.need(length)
    const bytes = this.payload.subarray(this.at, this.at + length)
    this.at += length
    return bytes
  }

  /** The element of `names` at the index that one byte holds. */
  oneOf<T>(names: readonly T[]): T {
    const position = this.u8()
    const name = names[position]
    if (name === undefined) throw new DecodeError(`choice ${position} of ${names.length} does not exist`)
    return name
  }

  /** A count of elements of at least `bytesEach`. A count that the payload cannot hold is refused before memory is allocated for it. */
  count(bytesEach: number): number {
    const count = this.u32()
    if (count * bytesEach > this.remaining) throw new DecodeError(`${count} elements do not fit`)
    return count
  }

  /** A second reader of the same payload, which starts `bytes` after this one. */
  fork(bytes: number): FieldReader {
    this.need(bytes)
    const forked = new FieldReader(this.payload)
    forked.at = this.at + bytes
    return forked
  }

  /** Continues where `forked` stopped. */
  join(forked: FieldReader): void {
    this.at = forked.at
  }

  end(): void {
    if (this.remaining > 0) throw new DecodeError(`${this.remaining} bytes too many`)
  }

  private need(bytes: number): void {
    if (this.at + bytes > this.payload.length) throw new DecodeError('the payload is too short')
  }
}
