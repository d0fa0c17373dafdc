import { assert } from './assert.ts'

/**
 * The body of a batch of log entries: the entries one after the other, each a length (u32, little-endian, of what follows) and that many
 * bytes. The same bytes are in the log, on the wire and in memory. Only its writer knows what an entry holds.
 */
export const ENTRY_LENGTH_BYTES = 4

/** The byte offset at which entry number `n` (from 0) of `body` begins; `body.length` when there are exactly `n`. */
export function offsetOfEntry(body: Uint8Array, n: number): number {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  let offset = 0
  for (let i = 0; i < n; i++) {
    assert(offset + ENTRY_LENGTH_BYTES <= body.length, 'a batch body holds as many entries as it says')
    offset += ENTRY_LENGTH_BYTES + view.getUint32(offset, true)
  }
  assert(offset <= body.length, 'an entry ends inside its batch body')
  return offset
}

/** How many entries `body` holds, or `null` when its lengths do not add up: the check for bytes from outside. */
export function countEntries(body: Uint8Array): number | null {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  let offset = 0
  let count = 0
  while (offset < body.length) {
    if (offset + ENTRY_LENGTH_BYTES > body.length) return null
    offset += ENTRY_LENGTH_BYTES + view.getUint32(offset, true)
    count += 1
  }
  return offset === body.length ? count : null
}
