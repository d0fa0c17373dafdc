import { assert } from '../lib/assert.ts'
import type { Key, RowKey } from './key.ts'

/** Keyspaces of the state store: the first byte of every row. A byte once used never means anything else. */
const RECORDS = '\x01'
const AFTER_RECORDS = '\x02'
const IDEMPOTENT_WRITES = '\x10'
const IDEMPOTENT_WRITE_ORDER = '\x11'
const KEPT_VALUES = '\x12'
const KEPT_VALUE_SLOTS = '\x13'

/** The keyspace of a row of the store, by its key; null for a row that has no meaning to this build. */
export function keyspaceOf(
  key: Uint8Array,
): 'records' | 'idempotent-writes' | 'idempotent-write-order' | 'kept-values' | 'kept-value-slots' | null {
  switch (key[0]) {
    case RECORDS.charCodeAt(0):
      return 'records'
    case IDEMPOTENT_WRITES.charCodeAt(0):
      return 'idempotent-writes'
    case IDEMPOTENT_WRITE_ORDER.charCodeAt(0):
      return 'idempotent-write-order'
    case KEPT_VALUES.charCodeAt(0):
      return 'kept-values'
    case KEPT_VALUE_SLOTS.charCodeAt(0):
      return 'kept-value-slots'
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

/** Where the first answer to the write that a client named `key` is kept. */
export function idempotentWriteRow(key: string): RowKey {
  return (IDEMPOTENT_WRITES + key) as RowKey
}

/** Where the name of idempotent write number `sequence` is kept, so that the write can be removed later. */
export function idempotentWriteOrderRow(sequence: number): RowKey {
  return (IDEMPOTENT_WRITE_ORDER + u32(Math.floor(sequence / 0x1_0000_0000)) + u32(sequence >>> 0)) as RowKey
}

/** Where a previous value is kept apart from its answer, which belongs to the write named `key`. */
export function keptValueRow(key: string): RowKey {
  return (KEPT_VALUES + key) as RowKey
}

/** Where the name of the write is kept whose value occupies `slot` of a ring. */
export function keptValueSlotRow(ring: number, slot: number): RowKey {
  return (KEPT_VALUE_SLOTS + String.fromCharCode(ring) + u32(slot)) as RowKey
}

function u32(value: number): string {
  return String.fromCharCode(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff)
}
