/** A lease as a listing gives it. */
export interface ListedLease {
  readonly id: number
  readonly ttlMs: number
  readonly use: 'keys' | 'key' | 'lock' | 'lock-wait'
  readonly lock?: string
  readonly ending: boolean
}

export interface LockRow {
  readonly name: string
  /** Null: nobody has it yet; it is on its way to the first who waits. */
  readonly holder: ListedLease | null
  /** By their ids, which grow in the order in which they came. */
  readonly waiters: readonly ListedLease[]
}

/** The locks that `leases` hold or wait for, by name. No route lists locks, and there is none without a lease. */
export function locksOf(leases: readonly ListedLease[]): readonly LockRow[] {
  const rows = new Map<string, { holder: ListedLease | null; waiters: ListedLease[] }>()
  for (const lease of leases) {
    if (lease.lock === undefined) continue
    const row = rows.get(lease.lock) ?? { holder: null, waiters: [] }
    rows.set(lease.lock, row)
    if (lease.use === 'lock') row.holder = lease
    else row.waiters.push(lease)
  }
  return [...rows]
    .map(([name, { holder, waiters }]) => ({ name, holder, waiters: waiters.toSorted((a, b) => a.id - b.id) }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
}
