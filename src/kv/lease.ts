import { DamagedBytesError, readWhole, type ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import type { Key } from './key.ts'
import { UnreadableStateError } from './unreadable-state-error.ts'

/** What a lease is for. */
export type LeaseUse =
  /** Keys are attached to it. `hasKeys`: some may be; false: none ever were. */
  | { readonly type: 'keys'; readonly hasKeys: boolean }
  /** The lease of one key, which was written with a time to live. It ends with the key. */
  | { readonly type: 'key'; readonly key: Key }
  /** It holds a lock, since the entry with the revision `token`. Keys may be attached to it as well. */
  | {
      readonly type: 'holder'
      readonly lock: Key
      readonly token: number
      readonly owner: string
      readonly hasKeys: boolean
    }
  /** It waits for a lock, for `waitMs` at most. */
  | { readonly type: 'waiter'; readonly lock: Key; readonly waitMs: number; readonly owner: string }

export interface Lease {
  readonly ttlMs: number
  /** The revision of the entry from which its time is measured: its grant, its last renewal, or when it received a lock. */
  readonly renewedAt: number
  /** Some of its keys are removed. It takes no more keys and no renewal. */
  readonly isEnding: boolean
  /** The name of the token that it was granted to; empty: there were no tokens then. */
  readonly grantee: string
  readonly use: LeaseUse
}

/** For how long the lease lasts, from the entry `renewedAt` on. */
export function lengthOf({ ttlMs, use }: Lease): number {
  return use.type === 'waiter' ? use.waitMs : ttlMs
}

/** Whether keys may be attached to the lease now. */
export function takesKeys({ isEnding, use }: Lease): boolean {
  return !isEnding && 'hasKeys' in use
}

/*
 * Format u8, use u8, flags u8, ttlMs u64, renewedAt u64, then by use:
 *
 *   key     key
 *   holder  lock, token u64, owner as bytes of UTF-8
 *   waiter  lock, waitMs u64, owner as bytes of UTF-8
 *
 * and the name of the grantee, only with HAS_GRANTEE.
 */
const FORMAT = 1
const USES = ['keys', 'key', 'holder', 'waiter'] as const
const IS_ENDING = 0b01
const HAS_KEYS = 0b10
const HAS_GRANTEE = 0b100

export function encodeLease({ ttlMs, renewedAt, isEnding, grantee, use }: Lease): Uint8Array {
  const hasKeys = 'hasKeys' in use && use.hasKeys
  const writer = new ByteWriter()
    .u8(FORMAT)
    .u8(USES.indexOf(use.type))
    .u8((isEnding ? IS_ENDING : 0) | (hasKeys ? HAS_KEYS : 0) | (grantee === '' ? 0 : HAS_GRANTEE))
    .u64(ttlMs)
    .u64(renewedAt)
  switch (use.type) {
    case 'keys':
      break
    case 'key':
      writer.text(use.key)
      break
    case 'holder':
      writer.text(use.lock).u64(use.token).bytes(Buffer.from(use.owner))
      break
    case 'waiter':
      writer.text(use.lock).u64(use.waitMs).bytes(Buffer.from(use.owner))
  }
  if (grantee !== '') writer.text(grantee)
  return writer.done()
}

/** Throws `UnreadableStateError`. */
export function decodeLease(bytes: Uint8Array): Lease {
  return readWhole(bytes, readLease, (what) => new UnreadableStateError(`a lease is damaged: ${what}`))
}

function readLease(reader: ByteReader): Lease {
  const format = reader.u8()
  if (format !== FORMAT) throw new DamagedBytesError(`it has format ${format}; this build only knows ${FORMAT}`)
  const type = USES[reader.u8()]
  const flags = reader.u8()
  const [ttlMs, renewedAt] = [reader.u64(), reader.u64()]
  const use = readUse(type, (flags & HAS_KEYS) !== 0, reader)
  const grantee = (flags & HAS_GRANTEE) === 0 ? '' : reader.text()
  return { ttlMs, renewedAt, isEnding: (flags & IS_ENDING) !== 0, grantee, use }
}

function readUse(type: LeaseUse['type'] | undefined, hasKeys: boolean, reader: ByteReader): LeaseUse {
  switch (type) {
    case 'keys':
      return { type, hasKeys }
    case 'key':
      return { type, key: reader.text() as Key }
    case 'holder':
      return { type, lock: reader.text() as Key, token: reader.u64(), owner: readOwner(reader), hasKeys }
    case 'waiter':
      return { type, lock: reader.text() as Key, waitMs: reader.u64(), owner: readOwner(reader) }
    default:
      throw new DamagedBytesError('it has a use that this build does not know')
  }
}

function readOwner(reader: ByteReader): string {
  return Buffer.from(reader.bytes()).toString()
}
