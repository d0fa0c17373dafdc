import type { LeasePage, LockWaiter, NamedLock, PageOf } from '../../api/services.ts'
import type { Key, KeyRange, Lease, Lock, RowRange } from '../../kv/index.ts'
import {
  attachedKeyOfRow,
  attachmentRange,
  decodeLease,
  decodeLock,
  leaseOfRow,
  leaseOfWaiterRow,
  leaseRange,
  leaseRow,
  lockOfRow,
  lockRange,
  lockRow,
  lockWaiters,
  rowBytes,
  rowFromBytes,
} from '../../kv/index.ts'
import { assert } from '../../lib/assert.ts'
import { limits } from '../../limits.ts'
import type { StateRow, StateView } from '../../ports/state-store.ts'
import { rowPages } from '../state/row-pages.ts'

/* What a view of the state has of leases and locks. */

/** Null: there is none. */
export async function leaseIn(view: StateView, id: number): Promise<Lease | null> {
  const [bytes = null] = await view.getMany([rowBytes(leaseRow(id))])
  return bytes === null ? null : decodeLease(bytes)
}

/** In the order of their ids. */
export async function leasesIn(
  view: StateView,
  { after, limit }: LeasePage<number>,
): Promise<PageOf<{ readonly id: number; readonly lease: Lease }>> {
  const { items, more } = await rowsIn(view, leaseRange(after ?? 0), limit)
  return { items: items.map(({ key, value }) => ({ id: idOf(key), lease: decodeLease(value) })), more }
}

/** The keys that go with a lease, in their order. */
export async function keysIn(view: StateView, id: number, { use }: Lease, page: LeasePage<Key>): Promise<PageOf<Key>> {
  if (use.type === 'key') return { items: page.after === null ? [use.key] : [], more: false }
  const { items, more } = await rowsIn(view, attachmentRange(id, page.after), page.limit)
  return { items: items.map(({ key }) => attachedKeyOfRow(rowFromBytes(key))), more }
}

/** Null: nobody holds it. */
export async function lockIn(view: StateView, name: Key): Promise<Lock | null> {
  const [bytes = null] = await view.getMany([rowBytes(lockRow(name))])
  return bytes === null ? null : decodeLock(bytes)
}

/** The locks with names in a range, in the order of the names. */
export async function locksIn(
  view: StateView,
  { start, end }: KeyRange,
  { after, limit }: LeasePage<Key>,
): Promise<PageOf<NamedLock>> {
  const from = after === null ? start : (`${after}\0` as Key)
  const { items, more } = await rowsIn(view, lockRange(from, end), limit)
  return {
    items: items.map(({ key, value }) => ({ name: lockOfRow(rowFromBytes(key)), lock: decodeLock(value) })),
    more,
  }
}

/** The first of those who wait for a lock, in the order in which they came. */
export async function waitersIn(view: StateView, name: Key, limit: number): Promise<readonly LockWaiter[]> {
  const { items } = await rowsIn(view, lockWaiters(name), limit)
  const ids = items.map(({ key }) => leaseOfWaiterRow(rowFromBytes(key)))
  const rows = await view.getMany(ids.map((id) => rowBytes(leaseRow(id))))
  return ids.map((lease, at) => {
    const bytes = rows[at] ?? null
    const use = bytes === null ? null : decodeLease(bytes).use
    assert(use?.type === 'waiter', 'who waits for a lock has a lease for it')
    return { lease, owner: use.owner }
  })
}

/** The first rows of a range; `more`: others follow. */
async function rowsIn(view: StateView, range: RowRange, limit: number): Promise<PageOf<StateRow>> {
  const items: StateRow[] = []
  for await (const rows of rowPages(view, range, { limit: limit + 1, bytesMax: limits.streamBytesMax })) {
    items.push(...rows)
    if (items.length > limit) return { items: items.slice(0, limit), more: true }
  }
  return { items, more: false }
}

function idOf(key: Uint8Array): number {
  const id = leaseOfRow(rowFromBytes(key))
  assert(id !== null, 'a row among the leases names one')
  return id
}
