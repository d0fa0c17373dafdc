import { DamagedBytesError, readWhole } from './byte-reader.ts'
import { writeU16, writeU32, writeU64 } from './integers.ts'
import type { Key } from './key.ts'
import { UnreadableStateError } from './unreadable-state-error.ts'

/** What an entry did to one key. */
export interface Change {
  readonly kind: 'put' | 'delete'
  readonly key: Key
  /** The record as its row holds it; null when it was removed. */
  readonly row: Uint8Array | null
  /** The record that it took the place of; null when the key was absent. */
  readonly previousRow: Uint8Array | null
  /** The modification revision of that record; 0 when the key was absent. */
  readonly previousRevision: number
}

/** All that one entry changed. */
export interface EntryChanges {
  readonly revision: number
  readonly changes: readonly Change[]
}

/** A change as history lists it. The records themselves are among the versions. */
export interface ListedChange {
  readonly kind: Change['kind']
  readonly key: Key
  readonly previousRevision: number
  /** How many bytes the record takes that was superseded, row and all; 0 when there was none. */
  readonly previousBytes: number
}

/*
 * The changes of one entry: format u8, their number u32, then each: kind u8, previous revision u64, previous bytes u32, length of the key
 * u16, key.
 */
const CHANGES_FORMAT = 1
const HEADER_BYTES = 5
const CHANGE_BYTES = 15
const KINDS = ['put', 'delete'] as const

export function encodeChanges(changes: readonly ListedChange[]): Uint8Array {
  const size = changes.reduce((sum, { key }) => sum + CHANGE_BYTES + key.length, HEADER_BYTES)
  const bytes = Buffer.allocUnsafe(size)
  bytes[0] = CHANGES_FORMAT
  writeU32(bytes, 1, changes.length)
  let at = HEADER_BYTES
  for (const { kind, key, previousRevision, previousBytes } of changes) {
    bytes[at] = KINDS.indexOf(kind)
    writeU64(bytes, at + 1, previousRevision)
    writeU32(bytes, at + 9, previousBytes)
    writeU16(bytes, at + 13, key.length)
    bytes.write(key, at + CHANGE_BYTES, 'latin1')
    at += CHANGE_BYTES + key.length
  }
  return bytes
}

/** Throws `UnreadableStateError`. */
export function decodeChanges(bytes: Uint8Array): readonly ListedChange[] {
  return readWhole(
    bytes,
    (reader) => {
      const format = reader.u8()
      if (format !== CHANGES_FORMAT)
        throw new DamagedBytesError(`they have format ${format}; this build only knows format ${CHANGES_FORMAT}`)
      const count = reader.u32()
      const changes: ListedChange[] = []
      // One at a time: a damaged number must not reserve memory.
      while (changes.length < count) {
        const kind = KINDS[reader.u8()]
        if (kind === undefined) throw new DamagedBytesError('one is of a kind that this build does not know')
        const [previousRevision, previousBytes] = [reader.u64(), reader.u32()]
        changes.push({ kind, key: reader.text() as Key, previousRevision, previousBytes })
      }
      return changes
    },
    (what) => new UnreadableStateError(`the changes of a revision are damaged: ${what}`),
  )
}
