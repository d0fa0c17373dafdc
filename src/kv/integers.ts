/**
 * Big-endian unsigned integers at an offset in a byte array. Readers and writers check the bounds first: an access outside reads 0 and
 * writes nothing.
 */

const TWO_TO_32 = 0x1_0000_0000

export function writeU16(target: Uint8Array, at: number, value: number): void {
  target[at] = value >>> 8
  target[at + 1] = value
}

export function writeU32(target: Uint8Array, at: number, value: number): void {
  target[at] = value >>> 24
  target[at + 1] = value >>> 16
  target[at + 2] = value >>> 8
  target[at + 3] = value
}

/** `value` is a safe integer, not negative. */
export function writeU64(target: Uint8Array, at: number, value: number): void {
  writeU32(target, at, Math.floor(value / TWO_TO_32))
  writeU32(target, at + 4, value >>> 0)
}

export function readU8(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0
}

export function readU16(bytes: Uint8Array, at: number): number {
  return (readU8(bytes, at) << 8) | readU8(bytes, at + 1)
}

export function readU32(bytes: Uint8Array, at: number): number {
  return ((readU16(bytes, at) << 16) | readU16(bytes, at + 2)) >>> 0
}

/** When the bytes hold 2^53 or more, the result is not a safe integer; the caller decides what that means. */
export function readU64(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at) * TWO_TO_32 + readU32(bytes, at + 4)
}
