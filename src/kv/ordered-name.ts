import { assert } from '../lib/assert.ts'
import { readU64, readU8, writeU64 } from './integers.ts'
import { latin1Of } from './latin1.ts'
import { UnreadableStateError } from './unreadable-state-error.ts'

/** Where a value lies that is kept apart from its answer: in which ring, and how many values the ring had taken before. */
export interface KeptPlace {
  readonly ring: number
  readonly taken: number
}

/** A remembered write, as the order of all of them names it. `kept`: where the large part of its answer lies; null when there is none. */
export interface OrderedName {
  readonly name: string
  readonly kept: KeptPlace | null
}

/** The name; then, if something is kept: a byte 0, which no name has, the ring u8, and `taken` u64. */
const PLACE_BYTES = 10

export function encodeOrderedName({ name, kept }: OrderedName): Uint8Array {
  if (kept === null) return Buffer.from(name, 'latin1')
  const bytes = Buffer.allocUnsafe(name.length + PLACE_BYTES)
  bytes.write(name, 'latin1')
  bytes[name.length] = 0
  bytes[name.length + 1] = kept.ring
  writeU64(bytes, name.length + 2, kept.taken)
  return bytes
}

/** `bytes`: the content of the row; null when it is absent, which a correct store and caller never let happen. Throws `UnreadableStateError`. */
export function decodeOrderedName(bytes: Uint8Array | null): OrderedName {
  assert(bytes !== null, 'the row that names a remembered idempotent write is loaded and present')
  const end = bytes.indexOf(0)
  if (end === -1) return { name: latin1Of(bytes, 0, bytes.length), kept: null }
  const taken = bytes.length === end + PLACE_BYTES ? readU64(bytes, end + 2) : Number.NaN
  if (!Number.isSafeInteger(taken)) throw new UnreadableStateError('the place of a kept value is damaged')
  return { name: latin1Of(bytes, 0, end), kept: { ring: readU8(bytes, end + 1), taken } }
}
