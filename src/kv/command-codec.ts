import { assert } from '../lib/assert.ts'
import { limits } from '../limits.ts'
import { isAuthCommand } from './auth-codec.ts'
import { bodyFault, bodyNumberOf, encodeBody, isBodyNumber, LevelTooHighError, readBody } from './command-bodies.ts'
import type { Command, Condition, DeleteRangeCommand, IdempotencyTag, KeyLease, PutCommand } from './command.ts'
import { readU8, readU16, readU32, readU64, writeU16, writeU32, writeU64 } from './integers.ts'
import type { Key, RowKey } from './key.ts'
import { latin1Of } from './latin1.ts'
import { isLeaseTtl } from './lease-codec.ts'
import { isLeaseId } from './lease-id.ts'
import { recordRow } from './row.ts'

/*
 * A command as a log entry holds it. Integers are big-endian.
 *
 *   0  format u8        1  type u8         2  flags u8       3  length of the idempotency key u8, 0: none
 *   4  length of the key or start u16      6  length of the value or end u32
 *  10  id of the token u64, only in a command of WITH_TOKEN
 *      revision u64, only with CONDITION_MOD_REVISION
 *      id of a lease u64, only with LEASE_GRANTED; or its ttlMs u64, only with LEASE_OWN
 *      fingerprint u64 and idempotency key, only if the idempotency key has a length other than 0
 *      key or start, value or end; of a command of another type: its body, in a codec of its own, in place of the value
 *
 * The header determines the length of the whole, so an entry that was cut or extended is never taken for another command.
 */
const COMMAND_FORMAT = 1
/** The format of a command that was asked for under a token. One without is the same to builds that know no tokens. */
const WITH_TOKEN = 2
const HEADER_BYTES = 10
const TOKEN_BYTES = 8

const PUT = 1
const DELETE = 2
const DELETE_RANGE = 3
// command-bodies.ts has the numbers of the other types.

const WANTS_PREVIOUS = 0b0_0001
const CONDITION = 0b0_0110
const CONDITION_ABSENT = 0b0_0010
const CONDITION_PRESENT = 0b0_0100
const CONDITION_MOD_REVISION = 0b0_0110
const HAS_START = 0b0_1000
const HAS_END = 0b1_0000
const UP_TO_LIMIT = 0b10_0000
const LEASE = 0b1100_0000
const LEASE_GRANTED = 0b0100_0000
const LEASE_OWN = 0b1000_0000

const FLAGS_OF: ReadonlyMap<number, number> = new Map([
  [PUT, WANTS_PREVIOUS | CONDITION | LEASE],
  [DELETE, WANTS_PREVIOUS | CONDITION],
  [DELETE_RANGE, HAS_START | HAS_END | UP_TO_LIMIT],
])

const NO_BYTES: Uint8Array = new Uint8Array(0)
/** Visible ASCII, optionally followed by a space and the number of a step. */
const TAG_NAME = new RegExp(`^[\\x21-\\x7e]{1,${limits.idempotencyKeyBytesMax}}( [1-9][0-9]{0,15})?$`)

/** Whether `name` may stand in an idempotency tag: a name that a client gave, alone or with the number of a step. */
export function isTagName(name: string): boolean {
  return TAG_NAME.test(name)
}

/**
 * A committed entry that this build cannot execute: a newer build proposed it, or it is damaged. The node must stop applying there:
 * skipping the entry would make this replica differ from the others.
 */
export class UnknownCommandError extends Error {
  override readonly name: string = 'UnknownCommandError'
}

/** Nothing says that the command is damaged: this build does not know it, and a newer one may. */
class NewerCommandError extends UnknownCommandError {
  override readonly name = 'NewerCommandError'
}

/**
 * Whether a command that this build cannot execute may be one that a newer build can: it raises the feature level beyond this build, or has a
 * format, type or flags that this build does not know. The entry that raised the level may have been purged.
 */
export function isBeyondThisBuild(bytes: Uint8Array): boolean {
  try {
    decodeCommand(bytes)
    return false
  } catch (error) {
    return error instanceof NewerCommandError
  }
}

/** Encodes the command into bytes of its own. Every command that passes the checks here decodes to an equal one. */
export function encodeCommand(command: Command): Uint8Array {
  switch (command.type) {
    case 'put':
      return encodeParts(command, PUT, flagsOfKeyWrite(command) | flagOfLease(command), command.key, command.value)
    case 'delete':
      return encodeParts(command, DELETE, flagsOfKeyWrite(command), command.key, NO_BYTES)
    case 'delete-range':
      return encodeDeleteRange(command)
    default:
      return encodeParts(command, bodyNumberOf(command), 0, '', encodeBody(command))
  }
}

function encodeDeleteRange(command: DeleteRangeCommand): Uint8Array {
  const { start, end, upToLimit } = command
  const flags = (start === null ? 0 : HAS_START) | (end === null ? 0 : HAS_END) | (upToLimit ? UP_TO_LIMIT : 0)
  return encodeParts(command, DELETE_RANGE, flags, start ?? '', end === null ? NO_BYTES : Buffer.from(end, 'latin1'))
}

function flagsOfKeyWrite(command: Extract<Command, { type: 'put' | 'delete' }>): number {
  assert(command.key.length > 0, 'a key has at least one byte')
  const wantsPrevious = command.wantsPrevious ? WANTS_PREVIOUS : 0
  if (command.condition === null) return wantsPrevious
  switch (command.condition.type) {
    case 'absent':
      return wantsPrevious | CONDITION_ABSENT
    case 'present':
      return wantsPrevious | CONDITION_PRESENT
    case 'mod-revision':
      return wantsPrevious | CONDITION_MOD_REVISION
  }
}

function flagOfLease({ lease }: PutCommand): number {
  if (lease === undefined) return 0
  return lease.type === 'granted' ? LEASE_GRANTED : LEASE_OWN
}

function encodeParts(command: Command, type: number, flags: number, first: string, second: Uint8Array): Uint8Array {
  const tag = command.idempotency
  const expected = expectedRevisionOf(command)
  const lease = leaseNumberOf(command)
  const { token = null } = command
  assert(first.length <= 0xffff && second.length <= 0xffff_ffff, 'the lengths of a command fit their fields')
  const size =
    HEADER_BYTES +
    (token === null ? 0 : TOKEN_BYTES) +
    (expected === null ? 0 : 8) +
    (lease === null ? 0 : 8) +
    (tag === null ? 0 : 8 + tag.key.length) +
    first.length +
    second.length
  const bytes = Buffer.allocUnsafe(size)
  bytes[0] = token === null ? COMMAND_FORMAT : WITH_TOKEN
  bytes[1] = type
  bytes[2] = flags
  bytes[3] = tag === null ? 0 : tag.key.length
  writeU16(bytes, 4, first.length)
  writeU32(bytes, 6, second.length)
  let at = HEADER_BYTES
  if (token !== null) {
    assert(Number.isSafeInteger(token) && token >= 0, 'the id of a token is a safe integer, not negative')
    writeU64(bytes, at, token)
    at += TOKEN_BYTES
  }
  if (expected !== null) {
    assert(Number.isSafeInteger(expected) && expected >= 0, 'an expected revision is a safe integer, not negative')
    writeU64(bytes, at, expected)
    at += 8
  }
  if (lease !== null) {
    assert(Number.isSafeInteger(lease) && lease >= 0, 'a lease is a safe integer, not negative')
    writeU64(bytes, at, lease)
    at += 8
  }
  if (tag !== null) at = writeTag(bytes, at, tag)
  bytes.write(first, at, 'latin1')
  bytes.set(second, at + first.length)
  return bytes
}

function expectedRevisionOf(command: Command): number | null {
  if (command.type !== 'put' && command.type !== 'delete') return null
  if (command.condition === null) return null
  return command.condition.type === 'mod-revision' ? command.condition.revision : null
}

/** The id of the lease, or its length. */
function leaseNumberOf(command: Command): number | null {
  if (command.type !== 'put' || command.lease === undefined) return null
  return command.lease.type === 'granted' ? command.lease.id : command.lease.ttlMs
}

/** Returns the offset after the tag. */
function writeTag(bytes: Buffer, at: number, tag: IdempotencyTag): number {
  assert(isTagName(tag.key), 'an idempotency key is visible ASCII, no longer than its maximum')
  assert(Number.isSafeInteger(tag.fingerprint) && tag.fingerprint >= 0, 'a fingerprint is a safe integer, not negative')
  writeU64(bytes, at, tag.fingerprint)
  bytes.write(tag.key, at + 8, 'latin1')
  return at + 8 + tag.key.length
}

/** Where the parts of an encoded command are. */
interface Layout {
  readonly type: number
  readonly flags: number
  readonly hasToken: boolean
  readonly revisionAt: number
  readonly leaseAt: number
  readonly tagAt: number
  readonly tagBytes: number
  readonly firstAt: number
  readonly secondAt: number
}

/** Values are slices of `bytes`, not copies. Throws `UnknownCommandError` and nothing else. */
export function decodeCommand(bytes: Uint8Array): Command {
  const layout = layoutOf(bytes)
  const command = decodeParts(bytes, layout)
  // The token comes first: a copy that gets one more property afterwards takes V8 a microsecond.
  return layout.hasToken ? { token: readToken(bytes), ...command } : command
}

function decodeParts(bytes: Uint8Array, layout: Layout): Command {
  const { type, flags, revisionAt, leaseAt, tagAt, tagBytes, firstAt, secondAt } = layout
  const idempotency = tagBytes > 0 ? readTag(bytes, tagAt, tagBytes) : null
  if (isBodyNumber(type)) return withTag(readBodyAt(bytes, secondAt, type), idempotency)
  const first = latin1Of(bytes, firstAt, secondAt)
  if (type === DELETE_RANGE) {
    const start = (flags & HAS_START) === 0 ? null : (first as Key)
    const end = (flags & HAS_END) === 0 ? null : (latin1Of(bytes, secondAt, bytes.length) as Key)
    return { type: 'delete-range', start, end, upToLimit: (flags & UP_TO_LIMIT) !== 0, idempotency }
  }
  const key = first as Key
  const condition = readCondition(bytes, revisionAt, flags & CONDITION)
  const wantsPrevious = (flags & WANTS_PREVIOUS) !== 0
  if (type === PUT) {
    const put = { type: 'put', key, value: bytes.subarray(secondAt), condition, wantsPrevious, idempotency } as const
    const lease = readKeyLease(bytes, leaseAt, flags & LEASE)
    return lease === null ? put : { lease, ...put }
  }
  return { type: 'delete', key, condition, wantsPrevious, idempotency }
}

/**
 * Why `bytes`, which somebody else wants in the log, are not a command that this build executes; null when they are one. Every command of
 * the API passes. Cheaper than decoding, because every entry that a peer sends is checked like this.
 */
export function commandFault(bytes: Uint8Array): string | null {
  try {
    const { type, flags, hasToken, revisionAt, leaseAt, tagAt, tagBytes, firstAt, secondAt } = layoutOf(bytes)
    if (hasToken) readToken(bytes)
    const tag = tagBytes > 0 ? readTag(bytes, tagAt, tagBytes) : null
    if (type === DELETE_RANGE) return null
    if (isBodyNumber(type)) {
      const body = readBodyAt(bytes, secondAt, type)
      withTag(body, tag)
      return bodyFault(body)
    }
    readCondition(bytes, revisionAt, flags & CONDITION)
    readKeyLease(bytes, leaseAt, flags & LEASE)
    if (secondAt - firstAt > limits.keyBytesMax) return `a key of ${secondAt - firstAt} bytes`
    const valueBytes = bytes.length - secondAt
    return valueBytes > limits.valueBytesMaxCeiling ? `a value of ${valueBytes} bytes` : null
  } catch (error) {
    if (error instanceof UnknownCommandError) return error.message
    throw error
  }
}

function layoutOf(bytes: Uint8Array): Layout {
  const format = bytes[0] ?? COMMAND_FORMAT
  if (format !== COMMAND_FORMAT && format !== WITH_TOKEN) {
    throw new NewerCommandError(
      `an entry holds a command of format ${format}; this build only knows formats ${COMMAND_FORMAT} and ${WITH_TOKEN}: run a newer one`,
    )
  }
  if (bytes.length < HEADER_BYTES) throw damaged(`it has ${bytes.length} bytes; its header alone has ${HEADER_BYTES}`)
  const type = readU8(bytes, 1)
  const flags = readU8(bytes, 2)
  const tagBytes = readU8(bytes, 3)
  const firstBytes = readU16(bytes, 4)
  const secondBytes = readU32(bytes, 6)
  checkFlags(type, flags)

  const hasToken = format === WITH_TOKEN
  const revisionAt = HEADER_BYTES + (hasToken ? TOKEN_BYTES : 0)
  const leaseAt = revisionAt + ((flags & CONDITION) === CONDITION_MOD_REVISION ? 8 : 0)
  const tagAt = leaseAt + ((flags & LEASE) === 0 ? 0 : 8)
  const firstAt = tagAt + (tagBytes > 0 ? 8 + tagBytes : 0)
  const secondAt = firstAt + firstBytes
  if (bytes.length !== secondAt + secondBytes) {
    throw damaged(`it has ${bytes.length} bytes; its header says ${secondAt + secondBytes}`)
  }
  if (type === DELETE_RANGE) {
    const isExtra = ((flags & HAS_START) === 0 && firstBytes > 0) || ((flags & HAS_END) === 0 && secondBytes > 0)
    if (isExtra) throw damaged('a bound that is absent has bytes')
  } else if (isBodyNumber(type)) {
    if (firstBytes > 0) throw damaged('it has a key beside its body')
  } else {
    if (firstBytes === 0) throw damaged('its key is empty')
    if (type === DELETE && secondBytes > 0) throw damaged('a delete carries a value')
  }
  return { type, flags, hasToken, revisionAt, leaseAt, tagAt, tagBytes, firstAt, secondAt }
}

function checkFlags(type: number, flags: number): void {
  const known = isBodyNumber(type) ? 0 : FLAGS_OF.get(type)
  if (known === undefined) {
    throw new NewerCommandError(
      `an entry holds a command of type ${type}, which this build does not know: run a newer one`,
    )
  }
  if ((flags & ~known) !== 0) {
    throw new NewerCommandError(
      `an entry holds a command with flags ${flags}, which this build does not know: run a newer one`,
    )
  }
}

function readBodyAt(bytes: Uint8Array, at: number, type: number) {
  try {
    return readBody(type, bytes.subarray(at), damaged)
  } catch (error) {
    throw error instanceof LevelTooHighError ? new NewerCommandError(error.message, { cause: error }) : error
  }
}

function readCondition(bytes: Uint8Array, at: number, flags: number): Condition | null {
  if (flags === 0) return null
  if (flags === CONDITION_ABSENT) return { type: 'absent' }
  if (flags === CONDITION_PRESENT) return { type: 'present' }
  const revision = readU64(bytes, at)
  if (!Number.isSafeInteger(revision)) throw damaged('its expected revision is out of range')
  return { type: 'mod-revision', revision }
}

function readKeyLease(bytes: Uint8Array, at: number, flags: number): KeyLease | null {
  if (flags === 0) return null
  const number = readU64(bytes, at)
  if (flags === LEASE_GRANTED) {
    if (!isLeaseId(number)) throw damaged('its lease is out of range')
    return { type: 'granted', id: number }
  }
  if (flags !== LEASE_OWN) throw damaged('it belongs to a granted lease and to one of its own')
  if (!isLeaseTtl(number)) throw damaged('the length of its lease is out of range')
  return { type: 'own', ttlMs: number }
}

function readToken(bytes: Uint8Array): number {
  const token = readU64(bytes, HEADER_BYTES)
  if (!Number.isSafeInteger(token)) throw damaged('the id of its token is out of range')
  return token
}

/** Throws for a name where there is none. */
function withTag(body: ReturnType<typeof readBodyAt>, idempotency: IdempotencyTag | null): Command {
  if (!isAuthCommand(body)) return { idempotency, ...body }
  if (idempotency !== null) throw damaged('it changes roles or tokens, and has an idempotency key')
  return { ...body, idempotency }
}

function readTag(bytes: Uint8Array, at: number, keyBytes: number): IdempotencyTag {
  const fingerprint = readU64(bytes, at)
  if (!Number.isSafeInteger(fingerprint)) throw damaged('its fingerprint is out of range')
  const key = latin1Of(bytes, at + 8, at + 8 + keyBytes)
  if (!isTagName(key)) throw damaged('its idempotency key is not visible ASCII, or is too long')
  return { key, fingerprint }
}

function damaged(what: string): UnknownCommandError {
  return new UnknownCommandError(`an entry holds a damaged command: ${what}`)
}

/** The record that a write of one key looks at; null for other commands. Cheaper than decoding it. Throws `UnknownCommandError`. */
export function rowOfWrite(bytes: Uint8Array): RowKey | null {
  const { type, firstAt, secondAt } = layoutOf(bytes)
  return type === PUT || type === DELETE ? recordRow(latin1Of(bytes, firstAt, secondAt) as Key) : null
}

/**
 * What the command asks for, without its idempotency tag, as bytes that are the same on every node: `IdempotencyTag.fingerprint` is a hash of
 * them. The format number and the token are left out, so that a retry through another build, or under a new token, has the same ones. So is how
 * long to wait for a lock: a retry waits for what is left.
 */
export function askedBytes(command: Command): Uint8Array {
  const asked = command.type === 'lock-acquire' ? { ...command, waitMs: 0 } : command
  const bytes = encodeCommand({ ...asked, idempotency: null })
  return command.token === undefined ? bytes.subarray(1) : withoutToken(bytes)
}

function withoutToken(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([bytes.subarray(1, HEADER_BYTES), bytes.subarray(HEADER_BYTES + TOKEN_BYTES)])
}
