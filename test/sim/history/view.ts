import type { HistoryStatus, KeyVersion, LockWaiter, NamedLock, VersionPage } from '../../../src/api/services.ts'
import type { Request } from '../../../src/checker/operation.ts'
import type { Key, Lease, Lock } from '../../../src/kv/index.ts'
import type { Operation } from './operation.ts'

/** A part of the versions of one key, the newest first, below revision `before` if it is given. */
export interface VersionsView {
  readonly type: 'versions'
  readonly key: Key
  readonly before: number | null
  readonly limit: number
  readonly page: Pick<VersionPage, 'done' | 'compactedRevision'> & { readonly items: readonly KeyVersion[] }
}

/** A part of the leases, in the order of their ids, above `after` if it is given. */
export interface LeasesView {
  readonly type: 'leases'
  readonly after: number | null
  readonly limit: number
  readonly page: { readonly items: readonly { readonly id: number; readonly lease: Lease }[]; readonly more: boolean }
}

/** One lease, and a part of its keys above `after` if it is given. */
export interface LeaseView {
  readonly type: 'lease'
  readonly id: number
  readonly after: Key | null
  readonly limit: number
  readonly page: {
    /** Null: there is none. */
    readonly lease: Lease | null
    readonly remainingMs: number
    /** Those that the client may read. */
    readonly keys: readonly Key[]
    readonly more: boolean
    /** The name of its lock, if it is for one and the client may read it. */
    readonly lock: Key | null
  }
}

/** One lock. `waiters` null: the client has not asked for them. */
export interface LockView {
  readonly type: 'lock'
  readonly name: Key
  readonly limit: number
  readonly page: { readonly lock: Lock | null; readonly waiters: readonly LockWaiter[] | null }
}

/** A part of the locks with names in `[start, end)`, in the order of their names, above `after` if it is given. */
export interface LocksView {
  readonly type: 'locks'
  readonly start: Key | null
  readonly end: Key | null
  readonly after: Key | null
  readonly limit: number
  readonly page: { readonly items: readonly NamedLock[]; readonly more: boolean }
}

/** How much of the past can be read. */
export interface CompactionView {
  readonly type: 'compaction'
  readonly page: HistoryStatus
}

export type View = VersionsView | LeasesView | LeaseView | LockView | LocksView | CompactionView

/**
 * What clients were shown that is more than the present records. To whoever orders and judges operations each of them is a read that tells of
 * no record, but of a revision; what else it tells is here.
 */
export interface Views {
  readonly operations: Operation[]
  readonly pages: Map<Request, View>
}
