import { readU8 } from './integers.ts'

/**
 * Integer hashes: equal on every machine, cheap, and 53 bits wide so that they are plain numbers. They detect accidental differences; they
 * do not resist somebody who looks for collisions.
 */

const TWO_TO_32 = 0x1_0000_0000
/** How many bytes at either end of a longer text are absorbed, so that its digest need not cost as much as the text is long. */
const SAMPLED_END_MAX = 32

/** A running hash of everything absorbed so far, in order. `value` is its whole state, so it can be stored and continued later. */
export class Digest {
  /** 32 bits. */
  private low: number
  /** The upper 21 bits, kept to that width at every step so that `value` loses nothing. */
  private high: number

  /** `value`: that of an earlier digest to continue, 0 for a new one. */
  constructor(value: number) {
    this.low = value | 0
    this.high = Math.floor(value / TWO_TO_32)
  }

  get value(): number {
    return this.high * TWO_TO_32 + (this.low >>> 0)
  }

  /** From a given state, two different words never lead to the same state. Only the lower 32 bits of `word` count. */
  absorb(word: number): void {
    const mixed = this.low ^ word
    this.low = (Math.imul((mixed << 15) | (mixed >>> 17), 0x85eb_ca6b) + 0x2545_f491) | 0
    this.high = Math.imul(this.high ^ ((word << 16) | (word >>> 16)) ^ this.low, 0xc2b2_ae35) >>> 11
  }

  /** `value` is a safe integer, not negative. */
  absorbInteger(value: number): void {
    this.absorb(Math.floor(value / TWO_TO_32))
    this.absorb(value)
  }

  /** Absorbs all of `bytes`. */
  absorbBytes(bytes: Uint8Array): void {
    this.absorb(bytes.length)
    const whole = bytes.length & ~3
    for (let at = 0; at < whole; at += 4) this.absorb(wordAt(bytes, at))
    for (let at = whole; at < bytes.length; at++) this.absorb(readU8(bytes, at))
  }

  /** Absorbs the length of `bytes` and the eight bytes at either end. */
  absorbEnds(bytes: Uint8Array): void {
    if (bytes.length <= 16) return this.absorbBytes(bytes)
    this.absorb(bytes.length)
    this.absorb(wordAt(bytes, 0))
    this.absorb(wordAt(bytes, 4))
    this.absorb(wordAt(bytes, bytes.length - 8))
    this.absorb(wordAt(bytes, bytes.length - 4))
  }

  /**
   * Absorbs the length of `text`, a string of one-byte characters, and up to `SAMPLED_END_MAX` characters at either end: all of a short
   * text.
   */
  absorbText(text: string): void {
    this.absorb(text.length)
    const head = Math.min(text.length, SAMPLED_END_MAX)
    this.absorbCharacters(text, 0, head)
    this.absorbCharacters(text, Math.max(head, text.length - SAMPLED_END_MAX), text.length)
  }

  private absorbCharacters(text: string, from: number, to: number): void {
    let at = from
    for (; at + 4 <= to; at += 4) {
      this.absorb(
        text.charCodeAt(at) |
          (text.charCodeAt(at + 1) << 8) |
          (text.charCodeAt(at + 2) << 16) |
          (text.charCodeAt(at + 3) << 24),
      )
    }
    for (; at < to; at++) this.absorb(text.charCodeAt(at))
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (
    readU8(bytes, at) | (readU8(bytes, at + 1) << 8) | (readU8(bytes, at + 2) << 16) | (readU8(bytes, at + 3) << 24)
  )
}
