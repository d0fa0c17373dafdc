import { readU64, writeU64 } from './integers.ts'
import { UnreadableStateError } from './unreadable-state-error.ts'

/** What the store keeps for a key. `version` counts the writes since the key was created, from 1. `lease` 0 means none. */
export interface KeyRecord {
  readonly createRevision: number
  readonly modRevision: number
  readonly version: number
  readonly lease: number
  readonly value: Uint8Array
}

/** Format u8, createRevision u64, modRevision u64, version u64, lease u64; the value is the rest. */
const RECORD_FORMAT = 1
const RECORD_HEADER_BYTES = 33

/** Copies the value, so that the row does not keep the batch alive in which the value arrived. */
export function encodeRecord(record: KeyRecord): Uint8Array {
  const bytes = Buffer.allocUnsafe(RECORD_HEADER_BYTES + record.value.length)
  bytes[0] = RECORD_FORMAT
  writeU64(bytes, 1, record.createRevision)
  writeU64(bytes, 9, record.modRevision)
  writeU64(bytes, 17, record.version)
  writeU64(bytes, 25, record.lease)
  bytes.set(record.value, RECORD_HEADER_BYTES)
  return bytes
}

/** The value is a slice of `bytes`, not a copy. Throws `UnreadableStateError`. */
export function decodeRecord(bytes: Uint8Array): KeyRecord {
  if (bytes.length < RECORD_HEADER_BYTES) {
    throw new UnreadableStateError(`a record has ${bytes.length} bytes; its header alone has ${RECORD_HEADER_BYTES}`)
  }
  if (bytes[0] !== RECORD_FORMAT)
    throw new UnreadableStateError(`a record has format ${bytes[0]}; this build only knows format ${RECORD_FORMAT}`)
  const createRevision = readU64(bytes, 1)
  const modRevision = readU64(bytes, 9)
  const version = readU64(bytes, 17)
  const lease = readU64(bytes, 25)
  if (!Number.isSafeInteger(modRevision) || createRevision > modRevision || version > modRevision) {
    throw new UnreadableStateError('the revisions of a record are out of order')
  }
  if (!Number.isSafeInteger(lease)) throw new UnreadableStateError('the lease of a record is out of range')
  return { createRevision, modRevision, version, lease, value: bytes.subarray(RECORD_HEADER_BYTES) }
}
