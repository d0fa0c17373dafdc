import type { Branded } from '../lib/brand.ts'
import { latin1Of } from './latin1.ts'

/**
 * A key as the store orders it: the UTF-8 bytes of the client's key, each as one code unit (latin1).
 * Comparing two with `<` compares their bytes; for ASCII it is the client's own text.
 */
export type Key = Branded<string, 'Key'>

/** A row of the state store, in the same representation: one byte that names the keyspace, followed by the key inside it. */
export type RowKey = Branded<string, 'RowKey'>

export type KeyOutcome =
  { readonly kind: 'key'; readonly key: Key } | { readonly kind: 'invalid'; readonly reason: string }

const ASCII_ONLY = /^[\x00-\x7f]*$/

/** Checks a client's key: well-formed, 1 to `bytesMax` bytes of UTF-8. */
export function keyFromText(text: string, bytesMax: number): KeyOutcome {
  if (text.length === 0) return { kind: 'invalid', reason: 'the key is empty; a key has at least one byte' }
  if (ASCII_ONLY.test(text)) {
    return text.length <= bytesMax ? { kind: 'key', key: text as Key } : tooLong(text.length, bytesMax)
  }
  if (!text.isWellFormed()) {
    return { kind: 'invalid', reason: 'the key holds a lone surrogate, which UTF-8 cannot carry' }
  }
  const bytes = Buffer.from(text, 'utf8')
  return bytes.length <= bytesMax
    ? { kind: 'key', key: bytes.toString('latin1') as Key }
    : tooLong(bytes.length, bytesMax)
}

function tooLong(bytes: number, bytesMax: number): KeyOutcome {
  return { kind: 'invalid', reason: `the key has ${bytes} bytes; at most ${bytesMax} are allowed` }
}

export function keyToText(key: Key): string {
  return ASCII_ONLY.test(key) ? key : Buffer.from(key, 'latin1').toString('utf8')
}

/** The smallest key above every key that starts with `prefix`; null when there is none (the prefix is all 0xff bytes). */
export function endOfPrefix(prefix: Key): Key | null {
  for (let length = prefix.length; length > 0; length--) {
    const last = prefix.charCodeAt(length - 1)
    if (last < 0xff) return (prefix.slice(0, length - 1) + String.fromCharCode(last + 1)) as Key
  }
  return null
}

export function rowBytes(row: RowKey): Uint8Array {
  return Buffer.from(row, 'latin1')
}

export function rowFromBytes(bytes: Uint8Array): RowKey {
  return latin1Of(bytes, 0, bytes.length) as RowKey
}
