/** 64 bits that nobody outside the process knows. */
export type HashKey = readonly [number, number]

/**
 * HalfSipHash-1-3 of texts of characters below 256: 32 bits. Who does not know the key cannot choose texts whose hashes lie together, as can
 * be done with any hash that has no key. For tables; too short to prove anything.
 */
export class KeyedHash {
  private readonly first: number
  private readonly second: number

  constructor([first, second]: HashKey) {
    this.first = first | 0
    this.second = second | 0
  }

  /** The rounds are written out: this runs for every row that is looked at. */
  of(text: string): number {
    const { length } = text
    let v0 = this.first
    let v1 = this.second
    let v2 = this.first ^ 0x6c79_6765
    let v3 = this.second ^ 0x7465_6462
    let word = 0
    for (let at = 0; at <= length; at += 4) {
      word = at + 4 <= length ? wordAt(text, at) : lastWord(text, at)
      v3 ^= word
      v0 = (v0 + v1) | 0
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
      v2 = (v2 + v3) | 0
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
      v0 = (((v0 << 16) | (v0 >>> 16)) + v3) | 0
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
      v2 = (v2 + v1) | 0
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
      v2 = (v2 << 16) | (v2 >>> 16)
      v0 ^= word
    }
    v2 ^= 0xff
    for (let round = 0; round < 3; round++) {
      v0 = (v0 + v1) | 0
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
      v2 = (v2 + v3) | 0
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
      v0 = (((v0 << 16) | (v0 >>> 16)) + v3) | 0
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
      v2 = (v2 + v1) | 0
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
      v2 = (v2 << 16) | (v2 >>> 16)
    }
    return (v1 ^ v3) >>> 0
  }
}

function wordAt(text: string, at: number): number {
  return (
    text.charCodeAt(at) |
    (text.charCodeAt(at + 1) << 8) |
    (text.charCodeAt(at + 2) << 16) |
    (text.charCodeAt(at + 3) << 24)
  )
}

/** Up to three characters, and the length. */
function lastWord(text: string, at: number): number {
  let word = text.length << 24
  for (let i = at; i < text.length; i++) word |= text.charCodeAt(i) << (8 * (i - at))
  return word
}
