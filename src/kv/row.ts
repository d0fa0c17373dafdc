import { assert } from '../lib/assert.ts'
import type { Key, RowKey } from './key.ts'

/** Keyspaces of the state store: the first byte of every row. A byte once used never means anything else. */
const RECORDS = '\x01'
const AFTER_RECORDS = '\x02'
const VERSIONS = '\x03'
const CHANGES = '\x04'
const AFTER_CHANGES = '\x05'
const IDEMPOTENT_WRITES = '\x10'
const IDEMPOTENT_WRITE_ORDER = '\x11'
const KEPT_VALUES = '\x12'
const KEPT_VALUE_SLOTS = '\x13'
// lease-row.ts
export const LEASES = '\x20'
export const ATTACHMENTS = '\x21'
export const LOCKS = '\x30'
export const LOCK_WAITERS = '\x31'
const AUTH = '\x40'

/** Where all roles and tokens are kept, once there are any (auth-table.ts). */
export const AUTH_ROW = AUTH as RowKey

/** The keyspace of a row of the store, by its key; null for a row that has no meaning to this build. */
export function keyspaceOf(
  key: Uint8Array,
):
  | 'records'
  | 'versions'
  | 'changes'
  | 'idempotent-writes'
  | 'idempotent-write-order'
  | 'kept-values'
  | 'kept-value-slots'
  | 'leases'
  | 'attachments'
  | 'locks'
  | 'lock-waiters'
  | 'auth'
  | null {
  switch (key[0]) {
    case RECORDS.charCodeAt(0):
      return 'records'
    case VERSIONS.charCodeAt(0):
      return 'versions'
    case CHANGES.charCodeAt(0):
      return 'changes'
    case IDEMPOTENT_WRITES.charCodeAt(0):
      return 'idempotent-writes'
    case IDEMPOTENT_WRITE_ORDER.charCodeAt(0):
      return 'idempotent-write-order'
    case KEPT_VALUES.charCodeAt(0):
      return 'kept-values'
    case KEPT_VALUE_SLOTS.charCodeAt(0):
      return 'kept-value-slots'
    case LEASES.charCodeAt(0):
      return 'leases'
    case ATTACHMENTS.charCodeAt(0):
      return 'attachments'
    case LOCKS.charCodeAt(0):
      return 'locks'
    case LOCK_WAITERS.charCodeAt(0):
      return 'lock-waiters'
    case AUTH.charCodeAt(0):
      return 'auth'
    default:
      return null
  }
}

/** Ascending, `end` exclusive, null unbounded. */
export interface RowRange {
  readonly start: RowKey
  readonly end: RowKey | null
}

/** Where the current record of `key` is kept. Rows of records are in the order of their keys. */
export function recordRow(key: Key): RowKey {
  return (RECORDS + key) as RowKey
}

/** The key of a record's row; `row` is a row from `recordRange`. */
export function keyOfRow(row: RowKey): Key {
  assert(row.charCodeAt(0) === RECORDS.charCodeAt(0), 'a row that is read as a record is in the keyspace of records')
  return row.slice(1) as string as Key
}

/** The rows of the records with keys in `[start, end)`; null is unbounded. Holds nothing when `end` is not above `start`. */
export function recordRange(start: Key | null, end: Key | null): RowRange {
  return { start: recordRow(start ?? ('' as Key)), end: end === null ? (AFTER_RECORDS as RowKey) : recordRow(end) }
}

/** A row of history: written once, seldom read. */
export function isHistoryRow(row: RowKey): boolean {
  return row.charCodeAt(0) === VERSIONS.charCodeAt(0) || row.charCodeAt(0) === CHANGES.charCodeAt(0)
}

/*
 * The superseded records of all keys: in the order of their keys, and for each key the newest first. The end of a key is marked so that no
 * key is the start of another, and its order is kept: a byte 0 in it becomes 00 FF, and 00 00 follows it.
 */
const KEY_END = '\0\0'
const REVISION_BYTES = 8

/** Where the record that `key` had from `revision` on is kept, now that another has taken its place. Empty: the key was deleted then. */
export function versionRow(key: Key, revision: number): RowKey {
  return (versionsOf(key) + descending(revision)) as RowKey
}

/** Roughly how long such a row is: without what marks the bytes 0 in a key. */
export function versionRowBytes(key: Key): number {
  return VERSIONS.length + key.length + KEY_END.length + REVISION_BYTES
}

/** The rows of the records that `key` had at `revision` or before, the newest first. */
export function versionsUpTo(key: Key, revision: number): RowRange {
  return { start: versionRow(key, revision), end: versionsEnd(key) }
}

/** The rows of all superseded records with keys in `[start, end)`; null is unbounded. */
export function versionRange(start: Key | null, end: Key | null): RowRange {
  return {
    start: (start === null ? VERSIONS : versionsOf(start)) as RowKey,
    end: (end === null ? CHANGES : versionsOf(end)) as RowKey,
  }
}

/** The first row after all superseded records of `key`. */
export function versionsEnd(key: Key): RowKey {
  return (VERSIONS + escaped(key) + '\0\x01') as RowKey
}

/** Which record of which key a row of superseded records holds; null for a row that is none. */
export function versionOfRow(row: RowKey): { readonly key: Key; readonly revision: number } | null {
  const keyEnd = row.length - REVISION_BYTES - KEY_END.length
  if (row.charCodeAt(0) !== VERSIONS.charCodeAt(0) || keyEnd < 2) return null
  const key = row.slice(1, keyEnd).replaceAll('\0\xff', '\0') as Key
  const revision = ascendingFrom(row, keyEnd + KEY_END.length)
  return Number.isSafeInteger(revision) && versionRow(key, revision) === row ? { key, revision } : null
}

/** Where the changes that were made with `revision` are listed. */
export function changesRow(revision: number): RowKey {
  return (CHANGES + u64(revision)) as RowKey
}

/** The rows of all changes with revisions above `revision`, ascending. */
export function changesAfter(revision: number): RowRange {
  return { start: changesRow(revision + 1), end: AFTER_CHANGES as RowKey }
}

/** The revision of a row of changes; null for a row that is none. */
export function revisionOfChangesRow(row: RowKey): number | null {
  if (row.charCodeAt(0) !== CHANGES.charCodeAt(0) || row.length !== 1 + REVISION_BYTES) return null
  const revision = u64At(row, 1)
  return Number.isSafeInteger(revision) ? revision : null
}

function versionsOf(key: Key): string {
  return VERSIONS + escaped(key) + KEY_END
}

function escaped(key: Key): string {
  return key.includes('\0') ? key.replaceAll('\0', '\0\xff') : key
}

/** Where the first answer to the write that a client named `key` is kept. */
export function idempotentWriteRow(key: string): RowKey {
  return (IDEMPOTENT_WRITES + key) as RowKey
}

/** Where the name of idempotent write number `sequence` is kept, so that the write can be removed later. */
export function idempotentWriteOrderRow(sequence: number): RowKey {
  return (IDEMPOTENT_WRITE_ORDER + u64(sequence)) as RowKey
}

/** Where a previous value is kept apart from its answer, which belongs to the write named `key`. */
export function keptValueRow(key: string): RowKey {
  return (KEPT_VALUES + key) as RowKey
}

/** Where the name of the write is kept whose value occupies `slot` of a ring. */
export function keptValueSlotRow(ring: number, slot: number): RowKey {
  return (KEPT_VALUE_SLOTS + String.fromCharCode(ring) + u32(slot)) as RowKey
}

/** Eight bytes, in the order of the numbers. */
export function u64(value: number): string {
  return u32(Math.floor(value / 0x1_0000_0000)) + u32(value >>> 0)
}

/** What `u64` has written at this place. */
export function u64At(text: string, at: number): number {
  return numberAt(text, at) * 0x1_0000_0000 + numberAt(text, at + 4)
}

/** Eight bytes whose order is the reverse of that of the numbers. */
function descending(value: number): string {
  return u32(~Math.floor(value / 0x1_0000_0000)) + u32(~value)
}

function ascendingFrom(text: string, at: number): number {
  return (~numberAt(text, at) >>> 0) * 0x1_0000_0000 + (~numberAt(text, at + 4) >>> 0)
}

function numberAt(text: string, at: number): number {
  const [high, low] = [text.charCodeAt(at), text.charCodeAt(at + 2)]
  return ((high << 24) | (text.charCodeAt(at + 1) << 16) | (low << 8) | text.charCodeAt(at + 3)) >>> 0
}

function u32(value: number): string {
  return String.fromCharCode(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff)
}
