import { assert } from '../lib/assert.ts'
import { readU64, writeU64 } from './integers.ts'
import { latin1Of } from './latin1.ts'
import { decodeRecord, encodeRecord } from './record.ts'
import type { KeyRecord } from './record.ts'
import type { CommandResult } from './result.ts'
import { UnreadableStateError } from './unreadable-state-error.ts'

/** The first answer to a write that its client named. `fingerprint` tells a retry from another request under the same name. */
export interface KeyedWrite {
  readonly fingerprint: number
  readonly result: FirstResult
}

/** A refusal for the name itself is not an answer to the write, and is never stored. */
export type FirstResult = Exclude<CommandResult, { type: 'key-reused' }>

/*
 *   0  format u8    1  type u8    2  fingerprint u64
 *  10  three u64, by type:
 *        put               revision, createRevision, version
 *        deleted           revision, deleted, 0
 *        condition-failed  1 + currentRevision or 0, 0, 0
 *  34  the previous record, as its own row would hold it; nothing when the answer had none
 *
 * The previous record is kept whole, whatever its size: a retry is promised the first answer, not part of it.
 * Only clients that name a write and ask for the previous record pay for it.
 */
const KEYED_WRITE_FORMAT = 1
const HEADER_BYTES = 34

const PUT = 1
const DELETED = 2
const CONDITION_FAILED = 3

export function encodeKeyedWrite(write: KeyedWrite): Uint8Array {
  const { fingerprint, result } = write
  switch (result.type) {
    case 'put':
      return encode(PUT, fingerprint, [result.revision, result.createRevision, result.version], result.previous)
    case 'deleted':
      return encode(DELETED, fingerprint, [result.revision, result.deleted, 0], result.previous)
    case 'condition-failed':
      return encode(
        CONDITION_FAILED,
        fingerprint,
        [result.currentRevision === null ? 0 : result.currentRevision + 1, 0, 0],
        null,
      )
  }
}

function encode(
  type: number,
  fingerprint: number,
  numbers: readonly [number, number, number],
  previous: KeyRecord | null,
): Uint8Array {
  const record = previous === null ? null : encodeRecord(previous)
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + (record === null ? 0 : record.length))
  bytes[0] = KEYED_WRITE_FORMAT
  bytes[1] = type
  writeU64(bytes, 2, fingerprint)
  writeU64(bytes, 10, numbers[0])
  writeU64(bytes, 18, numbers[1])
  writeU64(bytes, 26, numbers[2])
  if (record !== null) bytes.set(record, HEADER_BYTES)
  return bytes
}

/** Throws `UnreadableStateError`. */
export function decodeKeyedWrite(bytes: Uint8Array): KeyedWrite {
  if (bytes.length < HEADER_BYTES) {
    throw new UnreadableStateError(`a keyed write has ${bytes.length} bytes; its header alone has ${HEADER_BYTES}`)
  }
  if (bytes[0] !== KEYED_WRITE_FORMAT)
    throw new UnreadableStateError(`a keyed write has format ${bytes[0]}; known is 1`)
  const fingerprint = readU64(bytes, 2)
  const first = readU64(bytes, 10)
  const second = readU64(bytes, 18)
  const third = readU64(bytes, 26)
  if (![fingerprint, first, second, third].every(Number.isSafeInteger)) {
    throw new UnreadableStateError('a keyed write has a number out of range')
  }
  const previous = bytes.length === HEADER_BYTES ? null : decodeRecord(bytes.subarray(HEADER_BYTES))
  switch (bytes[1]) {
    case PUT:
      return { fingerprint, result: { type: 'put', revision: first, createRevision: second, version: third, previous } }
    case DELETED:
      return { fingerprint, result: { type: 'deleted', revision: first, deleted: second, previous } }
    case CONDITION_FAILED:
      return { fingerprint, result: { type: 'condition-failed', currentRevision: first === 0 ? null : first - 1 } }
    default:
      throw new UnreadableStateError(`a keyed write has a result of type ${bytes[1]}, which this build does not know`)
  }
}

/** The name of a keyed write as its row in the order holds it. */
export function encodeKeyedWriteName(key: string): Uint8Array {
  return Buffer.from(key, 'latin1')
}

/** `bytes`: of the row, null when it is absent, which a correct store and caller never let happen. */
export function decodeKeyedWriteName(bytes: Uint8Array | null): string {
  assert(bytes !== null, 'the order row of every remembered keyed write is loaded and present')
  return latin1Of(bytes, 0, bytes.length)
}
