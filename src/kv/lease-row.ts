import type { Key, RowKey } from './key.ts'
import { lockLeaseId } from './lease-id.ts'
import { ATTACHMENTS, LEASES, LOCKS, LOCK_WAITERS, u64, u64At, type RowRange } from './row.ts'

const ID_BYTES = 8
/** The length of a lock's name u16, before the name. */
const NAME_AT = 3

/** Where a lease is kept. Rows of leases are in the order of their ids. */
export function leaseRow(id: number): RowKey {
  return (LEASES + u64(id)) as RowKey
}

/** The id that the row of a lease names; null when it is no such row. */
export function leaseOfRow(row: RowKey): number | null {
  return row.length === 1 + ID_BYTES ? u64At(row, 1) : null
}

/** The rows of the leases with ids above `after`. */
export function leaseRange(after: number): RowRange {
  return { start: leaseRow(after + 1), end: ATTACHMENTS as RowKey }
}

/** Says that `key` is attached to a lease. */
export function attachmentRow(lease: number, key: Key): RowKey {
  return (ATTACHMENTS + u64(lease) + key) as RowKey
}

/** The rows of the keys that are attached to a lease, in the order of the keys; `after` null: all, otherwise those after that key. */
export function attachmentRange(lease: number, after: Key | null = null): RowRange {
  const start = after === null ? attachmentRow(lease, '' as Key) : attachmentRow(lease, `${after}\0` as Key)
  return { start, end: attachmentRow(lease + 1, '' as Key) }
}

export function attachedKeyOfRow(row: RowKey): Key {
  return row.slice(1 + ID_BYTES) as string as Key
}

/** What the row of an attached key says; null when it is no such row. */
export function attachmentOfRow(row: RowKey): { readonly lease: number; readonly key: Key } | null {
  return row.length > 1 + ID_BYTES ? { lease: u64At(row, 1), key: attachedKeyOfRow(row) } : null
}

/** Where the holder of a lock is kept. */
export function lockRow(name: Key): RowKey {
  return (LOCKS + name) as RowKey
}

/** The rows of the locks with names in `[start, end)`; null is unbounded. They are in the order of the names. */
export function lockRange(start: Key | null, end: Key | null): RowRange {
  return { start: lockRow(start ?? ('' as Key)), end: end === null ? (LOCK_WAITERS as RowKey) : lockRow(end) }
}

/** The name of a lock; `row` is one of `lockRange`. */
export function lockOfRow(row: RowKey): Key {
  return row.slice(1) as string as Key
}

/** Says that a lease waits for a lock since the entry with this revision. Rows of one lock are in the order in which the leases came. */
export function lockWaiterRow(name: Key, revision: number): RowKey {
  return (waitersOf(name) + u64(revision)) as RowKey
}

/** The rows of those who wait for a lock. */
export function lockWaiters(name: Key): RowRange {
  return { start: lockWaiterRow(name, 0), end: lockWaiterRow(name, Number.MAX_SAFE_INTEGER) }
}

/** The lease that waits. */
export function leaseOfWaiterRow(row: RowKey): number {
  return lockLeaseId(u64At(row, row.length - ID_BYTES))
}

/** The name of the lock and the lease that waits for it; null when it is no row of one that waits. */
export function waiterOfRow(row: RowKey): { readonly lock: Key; readonly lease: number } | null {
  const length = (row.charCodeAt(1) << 8) | row.charCodeAt(2)
  if (row.length !== NAME_AT + length + ID_BYTES || length === 0) return null
  return { lock: row.slice(NAME_AT, NAME_AT + length) as string as Key, lease: leaseOfWaiterRow(row) }
}

function waitersOf(name: Key): string {
  return LOCK_WAITERS + String.fromCharCode(name.length >>> 8, name.length & 0xff) + name
}
