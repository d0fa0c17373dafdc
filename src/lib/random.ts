/** A source of numbers that a test can repeat. */
export interface Random {
  /** An integer in `[from, to)`. Both are integers, `from < to`, at most 2^32 apart. */
  integer(from: number, to: number): number
  /** A number in `[0, 1)`. */
  fraction(): number
}

/**
 * The number from which a process counts its questions to others, so that an answer to an earlier process is not taken for one to this. An
 * integer below 2^51. Two starts are at least 2^20 apart, or equal with a probability of one in 2^31.
 */
export function firstNumber(random: Random): number {
  return random.integer(0, 2 ** 31) * 2 ** 20
}

/** xoshiro128** seeded through splitmix32: small, fast, good enough for timeouts and simulated faults; not for secrets. */
export class SeededRandom implements Random {
  private a: number
  private b: number
  private c: number
  private d: number

  /** The same seed (an unsigned 32-bit integer) always gives the same numbers. */
  constructor(seed: number) {
    let state = seed >>> 0
    const next = (): number => {
      state = (state + 0x9e3779b9) >>> 0
      let z = state
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
      return (z ^ (z >>> 15)) >>> 0
    }
    this.a = next()
    this.b = next()
    this.c = next()
    this.d = next()
  }

  fraction(): number {
    return this.next() / 4294967296
  }

  integer(from: number, to: number): number {
    return from + Math.floor(this.fraction() * (to - from))
  }

  private next(): number {
    const scrambled = Math.imul(rotateLeft(Math.imul(this.b, 5), 7), 9) >>> 0
    const t = this.b << 9
    this.c ^= this.a
    this.d ^= this.b
    this.b ^= this.c
    this.a ^= this.d
    this.c ^= t
    this.d = rotateLeft(this.d, 11)
    return scrambled
  }
}

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}
