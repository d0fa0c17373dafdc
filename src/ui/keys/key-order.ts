import { bounds } from '../bounds.ts'
import { bytesOf } from '../data/utf8.ts'

const SURROGATES = { first: 0xd800, afterLast: 0xe000 }
const LAST_CODE_POINT = 0x10ffff

/** The smallest text above `key` that a request can carry; null when no key can follow. */
export function afterKey(key: string): string | null {
  const next = `${key}\0`
  return bytesOf(next) <= bounds.keyBytesMax ? next : afterPrefix(key)
}

/**
 * The smallest text above every key that begins with `prefix`; null when there is none. UTF-8 orders texts by their code points, so this is
 * the prefix with its last code point one higher. If that is too long for a key, so is everything else that begins with the rest and
 * follows the prefix: the end of the rest does as well.
 */
export function afterPrefix(prefix: string): string | null {
  const points = Array.from(prefix, (character) => character.codePointAt(0) ?? 0)
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    if (last === LAST_CODE_POINT) continue
    const higher = last + 1 === SURROGATES.first ? SURROGATES.afterLast : last + 1
    const end = String.fromCodePoint(...points, higher)
    if (bytesOf(end) <= bounds.keyBytesMax) return end
  }
  return null
}
