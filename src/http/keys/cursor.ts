import { crc32 } from 'node:zlib'
import type { Key } from '../../kv/index.ts'
import { limits } from '../../limits.ts'
import type { KeyRange } from './key-range.ts'
import { invalidQuery } from '../protocol/query.ts'

/**
 * The place where a listing continues. `revision`: the revision of the first page; later pages show the same one when it is repeatable, and
 * otherwise nothing older.
 */
export interface Cursor {
  readonly after: Key
  readonly revision: number
  readonly isRepeatable: boolean
}

/** Version u8, which tells whether the revision is repeatable, check of the range u32, revision f64, key. Opaque to clients: the format may change. */
const VERSIONS = { other: 1, repeatable: 2 } as const
const CHECK_AT = 1
const REVISION_AT = 5
const KEY_AT = 13

/** The things that a listing can show of a range. */
export type Listed = 'keys' | 'versions' | 'locks'

/** Ties a cursor to what is listed, its range and direction. */
function checkOf(listed: Listed, range: KeyRange, reverse: boolean): number {
  const what = listed === 'keys' ? [] : [listed]
  return crc32(JSON.stringify([range.start, range.end, reverse, ...what]))
}

export function cursorText(cursor: Cursor, listed: Listed, range: KeyRange, reverse: boolean): string {
  const bytes = Buffer.alloc(KEY_AT + cursor.after.length)
  bytes.writeUInt8(cursor.isRepeatable ? VERSIONS.repeatable : VERSIONS.other, 0)
  bytes.writeUInt32BE(checkOf(listed, range, reverse), CHECK_AT)
  bytes.writeDoubleBE(cursor.revision, REVISION_AT)
  bytes.write(cursor.after, KEY_AT, 'latin1')
  return bytes.toString('base64url')
}

const BASE64URL = /^[A-Za-z0-9_-]+$/

export function cursorFromText(text: string, listed: Listed, range: KeyRange, reverse: boolean): Cursor {
  const bytes = BASE64URL.test(text) ? Buffer.from(text, 'base64url') : Buffer.alloc(0)
  const keyBytes = bytes.length - KEY_AT
  const isRepeatable = bytes[0] === VERSIONS.repeatable
  if (keyBytes < 1 || keyBytes > limits.keyBytesMax || !(isRepeatable || bytes[0] === VERSIONS.other)) {
    throw invalidQuery('cursor', 'is not a cursor of this store')
  }
  if (bytes.readUInt32BE(CHECK_AT) !== checkOf(listed, range, reverse)) {
    throw invalidQuery('cursor', 'belongs to another listing; repeat the parameters of the first page')
  }
  const after = bytes.toString('latin1', KEY_AT) as Key
  const revision = bytes.readDoubleBE(REVISION_AT)
  const inside = (range.start === null || after >= range.start) && (range.end === null || after < range.end)
  if (!inside || !Number.isSafeInteger(revision) || revision < 0) {
    throw invalidQuery('cursor', 'is not a cursor of this store')
  }
  return { after, revision, isRepeatable }
}
