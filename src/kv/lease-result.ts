import type { LockHolder } from './lock.ts'

/** The outcome of a command on a lease or a lock, or why a key cannot belong to a lease. */
export type LeaseResult =
  | { readonly type: 'lease-granted'; readonly lease: number; readonly ttlMs: number }
  /** A lease with the chosen id is there. Nothing changed. */
  | { readonly type: 'lease-exists'; readonly lease: number }
  | { readonly type: 'lease-renewed'; readonly lease: number; readonly ttlMs: number }
  /** There is no such lease, or it does not take this. Nothing changed. */
  | { readonly type: 'lease-not-found'; readonly lease: number }
  /** `deleted`: keys that this entry has removed. `isDone`: the lease is gone; otherwise it goes on ending in further entries. */
  | {
      readonly type: 'lease-revoked'
      readonly lease: number
      readonly revision: number
      readonly deleted: number
      readonly isDone: boolean
    }
  /** It was renewed at the revision `renewedAt`, after its end was decided on. Nothing changed. */
  | { readonly type: 'lease-kept'; readonly lease: number; readonly renewedAt: number }
  /** There are as many leases as there may be. Nothing changed. */
  | { readonly type: 'too-many-leases'; readonly limit: number }
  /** As many keys belong to leases as may. Nothing changed. */
  | { readonly type: 'too-many-attached-keys'; readonly limit: number }
  | { readonly type: 'lock-acquired'; readonly lease: number; readonly token: number }
  /** Another lease holds the lock; `lease` waits for it. */
  | { readonly type: 'lock-queued'; readonly lease: number }
  /** Nothing changed. */
  | { readonly type: 'lock-held'; readonly holder: LockHolder }
  /** As `lease-revoked`. */
  | {
      readonly type: 'lock-released'
      readonly revision: number
      readonly deleted: number
      readonly isDone: boolean
    }
  /** The lease does not hold the lock; `holder` null: nobody does. Nothing changed. */
  | { readonly type: 'lock-not-held'; readonly holder: LockHolder | null }
