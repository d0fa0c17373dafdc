import type { AuthResult } from './auth-result.ts'
import { readWhole } from './byte-reader.ts'
import type { Denial } from './denial.ts'
import { readU8, readU64, writeU64 } from './integers.ts'
import type { Key } from './key.ts'
import { decodeOperationResults, encodeOperationResults } from './operation-result-codec.ts'
import { latin1Of } from './latin1.ts'
import { encodeLeaseResult, readLeaseResult } from './lease-result-codec.ts'
import { decodeRecord, encodeRecord } from './record.ts'
import type { KeyRecord } from './record.ts'
import type { CommandResult, LevelTooLow } from './result.ts'
import { UnreadableStateError } from './unreadable-state-error.ts'

/** The first answer to a write that its client named. `fingerprint` tells a retry from another request under the same name. */
export interface IdempotentWrite {
  readonly fingerprint: number
  readonly result: FirstResult
  /** What `bulkOf` tells of the result is in a row of its own, if it is still kept; here it is empty. */
  readonly valueApart: boolean
}

/** A refusal because of the name itself, of the level of the cluster, or of a right, is not an answer to the write, and is never stored. */
export type FirstResult = Exclude<CommandResult, { type: 'key-reused' } | LevelTooLow | Denial | AuthResult>

/*
 *   0  format u8    1  type u8, with VALUE_APART    2  fingerprint u64
 *  10  three u64, by type:
 *        put               revision, createRevision, version
 *        deleted           revision, deleted, 0
 *        condition-failed  1 + currentRevision or 0, 0, 0
 *        range-deleted     revision, deleted, 0
 *        range-too-large   limit, found, 0
 *        transaction       revision, 1 if it succeeded, 0
 *        transaction-too-large  limitBytes, 0, 0
 *        range-too-heavy   limitBytes, 0, 0
 *        level-raised      level, 0, 0
 *        compacted         compactedRevision, 1 if it is done, 0
 *        future-revision   revision, 0, 0
 *        retention-set     0, 0, 0
 *        of a lease or a lock  0, 0, 0
 *  34  put, deleted: the previous record, as its own row would hold it, with an empty value if the value is kept apart; nothing when
 *      the answer had none
 *      range-deleted: the next key; nothing when there is none
 *      transaction: its results (operation-result-codec.ts); nothing if they are kept apart
 *      of a lease or a lock: the result (lease-result-codec.ts)
 */
const IDEMPOTENT_WRITE_FORMAT = 2
const HEADER_BYTES = 34

const PUT = 1
const DELETED = 2
const CONDITION_FAILED = 3
const RANGE_DELETED = 4
const RANGE_TOO_LARGE = 5
const TRANSACTION = 6
const TRANSACTION_TOO_LARGE = 7
const RANGE_TOO_HEAVY = 8
const LEVEL_RAISED = 9
const COMPACTED = 10
const FUTURE_REVISION = 11
const RETENTION_SET = 12
const OF_LEASE = 32
const VALUE_APART = 0x80

const NO_BYTES: Uint8Array = new Uint8Array(0)

/** The part of an answer that can be large: the previous value, or the results of a transaction. Null when there is none. */
export function bulkOf(result: FirstResult): Uint8Array | null {
  switch (result.type) {
    case 'put':
    case 'deleted':
      return result.previous === null ? null : result.previous.value
    case 'transaction':
      return encodeOperationResults(result.results)
    default:
      return null
  }
}

/** The answer to which `bulk` belongs; null when that is forgotten. */
export function withBulk(result: FirstResult, bulk: Uint8Array | null): FirstResult {
  switch (result.type) {
    case 'put':
    case 'deleted':
      if (result.previous === null) return result
      if (bulk === null) return { ...result, previousValueForgotten: true }
      return { ...result, previous: { ...result.previous, value: bulk } }
    case 'transaction':
      if (bulk === null) return { ...result, resultsForgotten: true }
      return { ...result, results: decodeOperationResults(bulk) }
    default:
      return result
  }
}

export function encodeIdempotentWrite(write: IdempotentWrite): Uint8Array {
  const { fingerprint, result, valueApart } = write
  const typeBit = valueApart ? VALUE_APART : 0
  switch (result.type) {
    case 'put': {
      const numbers = [result.revision, result.createRevision, result.version] as const
      return encode(PUT | typeBit, fingerprint, numbers, tailOf(result.previous, valueApart))
    }
    case 'deleted':
      return encode(
        DELETED | typeBit,
        fingerprint,
        [result.revision, result.deleted, 0],
        tailOf(result.previous, valueApart),
      )
    case 'condition-failed': {
      const current = result.currentRevision === null ? 0 : result.currentRevision + 1
      return encode(CONDITION_FAILED, fingerprint, [current, 0, 0], NO_BYTES)
    }
    case 'range-deleted': {
      const tail = result.next === null ? NO_BYTES : Buffer.from(result.next, 'latin1')
      return encode(RANGE_DELETED, fingerprint, [result.revision, result.deleted, 0], tail)
    }
    case 'range-too-large':
      return encode(RANGE_TOO_LARGE, fingerprint, [result.limit, result.found, 0], NO_BYTES)
    case 'transaction': {
      const tail = valueApart ? NO_BYTES : encodeOperationResults(result.results)
      return encode(TRANSACTION | typeBit, fingerprint, [result.revision, result.succeeded ? 1 : 0, 0], tail)
    }
    case 'transaction-too-large':
      return encode(TRANSACTION_TOO_LARGE, fingerprint, [result.limitBytes, 0, 0], NO_BYTES)
    case 'range-too-heavy':
      return encode(RANGE_TOO_HEAVY, fingerprint, [result.limitBytes, 0, 0], NO_BYTES)
    case 'level-raised':
      return encode(LEVEL_RAISED, fingerprint, [result.level, 0, 0], NO_BYTES)
    case 'compacted':
      return encode(COMPACTED, fingerprint, [result.compactedRevision, result.done ? 1 : 0, 0], NO_BYTES)
    case 'future-revision':
      return encode(FUTURE_REVISION, fingerprint, [result.revision, 0, 0], NO_BYTES)
    case 'retention-set':
      return encode(RETENTION_SET, fingerprint, [0, 0, 0], NO_BYTES)
    default:
      return encode(OF_LEASE, fingerprint, [0, 0, 0], encodeLeaseResult(result))
  }
}

function tailOf(previous: KeyRecord | null, valueApart: boolean): Uint8Array {
  if (previous === null) return NO_BYTES
  return encodeRecord(valueApart ? { ...previous, value: NO_BYTES } : previous)
}

function encode(
  type: number,
  fingerprint: number,
  numbers: readonly [number, number, number],
  tail: Uint8Array,
): Uint8Array {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + tail.length)
  bytes[0] = IDEMPOTENT_WRITE_FORMAT
  bytes[1] = type
  writeU64(bytes, 2, fingerprint)
  writeU64(bytes, 10, numbers[0])
  writeU64(bytes, 18, numbers[1])
  writeU64(bytes, 26, numbers[2])
  bytes.set(tail, HEADER_BYTES)
  return bytes
}

/** Throws `UnreadableStateError`. */
export function decodeIdempotentWrite(bytes: Uint8Array): IdempotentWrite {
  if (bytes.length < HEADER_BYTES) {
    throw new UnreadableStateError(
      `an idempotent write has ${bytes.length} bytes; its header alone has ${HEADER_BYTES}`,
    )
  }
  if (bytes[0] !== IDEMPOTENT_WRITE_FORMAT) {
    throw new UnreadableStateError(
      `an idempotent write has format ${bytes[0]}; this build only knows format ${IDEMPOTENT_WRITE_FORMAT}`,
    )
  }
  const fingerprint = readU64(bytes, 2)
  const first = readU64(bytes, 10)
  const second = readU64(bytes, 18)
  const third = readU64(bytes, 26)
  if (![fingerprint, first, second, third].every(Number.isSafeInteger)) {
    throw new UnreadableStateError('a number in an idempotent write is out of range')
  }
  const type = readU8(bytes, 1)
  const tail = bytes.subarray(HEADER_BYTES)
  const result = resultFrom(type & ~VALUE_APART, [first, second, third], tail)
  return { fingerprint, result, valueApart: (type & VALUE_APART) !== 0 }
}

function resultFrom(type: number, numbers: readonly [number, number, number], tail: Uint8Array): FirstResult {
  const [first, second, third] = numbers
  switch (type) {
    case PUT:
      return { type: 'put', revision: first, createRevision: second, version: third, previous: previousFrom(tail) }
    case DELETED:
      return { type: 'deleted', revision: first, deleted: second, previous: previousFrom(tail) }
    case CONDITION_FAILED:
      return { type: 'condition-failed', currentRevision: first === 0 ? null : first - 1 }
    case RANGE_DELETED: {
      const next = tail.length === 0 ? null : (latin1Of(tail, 0, tail.length) as Key)
      return { type: 'range-deleted', revision: first, deleted: second, next }
    }
    case RANGE_TOO_LARGE:
      return { type: 'range-too-large', limit: first, found: second }
    case TRANSACTION: {
      if (second > 1) throw new UnreadableStateError('a transaction has neither succeeded nor failed')
      const results = tail.length === 0 ? [] : decodeOperationResults(tail)
      return { type: 'transaction', succeeded: second === 1, revision: first, results }
    }
    case TRANSACTION_TOO_LARGE:
      return { type: 'transaction-too-large', limitBytes: first }
    case RANGE_TOO_HEAVY:
      return { type: 'range-too-heavy', limitBytes: first }
    case LEVEL_RAISED:
      return { type: 'level-raised', level: first }
    case COMPACTED:
      return { type: 'compacted', compactedRevision: first, done: second === 1 }
    case FUTURE_REVISION:
      return { type: 'future-revision', revision: first }
    case RETENTION_SET:
      return { type: 'retention-set' }
    case OF_LEASE:
      return readWhole(
        tail,
        readLeaseResult,
        (what) => new UnreadableStateError(`the result of a lease is damaged: ${what}`),
      )
    default:
      throw new UnreadableStateError(`an idempotent write has a result of type ${type}, which this build does not know`)
  }
}

function previousFrom(tail: Uint8Array): KeyRecord | null {
  return tail.length === 0 ? null : decodeRecord(tail)
}
