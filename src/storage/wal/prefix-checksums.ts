import { crc32 } from 'node:zlib'
import { elementAt } from '../../lib/element-at.ts'

const BLOCK_BYTES = 1024
/** The polynomial of CRC-32, its lowest power in the highest bit. */
const POLYNOMIAL = 0xedb8_8320
/** Lengths of buffers are below 2 to this. */
const LENGTH_BITS = 32
const ONE = 0x8000_0000

/**
 * Checksums of any parts of one buffer, each at the cost of a block, however long the part is. Whoever searches old content for records checks
 * as many of them as a client has written there on purpose, and each of these may claim to be as long as the buffer.
 */
export class PrefixChecksums {
  private readonly content: Buffer
  /** `blocks[i]`: the checksum of the first i blocks. */
  private readonly blocks: number[] = [0]

  constructor(content: Buffer) {
    this.content = content
    for (let end = BLOCK_BYTES; end <= content.length; end += BLOCK_BYTES)
      this.blocks.push(crc32(content.subarray(end - BLOCK_BYTES, end), this.blocks.at(-1)))
  }

  /** The same as `crc32(content.subarray(from, to), seed)`. */
  of(from: number, to: number, seed: number): number {
    return (shifted(seed ^ this.upTo(from), to - from) ^ this.upTo(to)) >>> 0
  }

  private upTo(end: number): number {
    const block = Math.floor(end / BLOCK_BYTES)
    return crc32(this.content.subarray(block * BLOCK_BYTES, end), elementAt(this.blocks, block))
  }
}

/** The checksum of what `checksum` is of, followed by `bytes` zeros, but for what is added at the beginning and the end of each. */
function shifted(checksum: number, bytes: number): number {
  let result = checksum >>> 0
  for (let bit = 0; bytes >>> bit > 0; bit++) {
    if (((bytes >>> bit) & 1) === 1) result = product(result, elementAt(SHIFTS, bit))
  }
  return result
}

/** The product of two polynomials over bits, modulo that of CRC-32. */
function product(one: number, other: number): number {
  let sum = 0
  let rest = other
  for (let bit = ONE; bit !== 0; bit >>>= 1) {
    if ((one & bit) !== 0) sum ^= rest
    rest = (rest & 1) === 0 ? rest >>> 1 : (rest >>> 1) ^ POLYNOMIAL
  }
  return sum >>> 0
}

/** By how much 1, 2, 4, 8 and so on bytes multiply. */
const SHIFTS: readonly number[] = shifts()

function shifts(): number[] {
  let power = ONE >>> 8
  const all = [power]
  while (all.length < LENGTH_BITS) all.push((power = product(power, power)))
  return all
}
