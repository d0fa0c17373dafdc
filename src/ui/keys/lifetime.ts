import type { LeaseView } from '../leases/leases-api.ts'

/** For how long a written key stays. */
export type Lifetime =
  | { readonly kind: 'unlimited' }
  /** As long as a lease that others may share. */
  | { readonly kind: 'lease'; readonly lease: number }
  /** As long as a lease of its own, which begins again with each write. A duration as the API takes it. */
  | { readonly kind: 'own'; readonly ttl: string }

/** The lifetime that a key has at present. A write that says nothing of it would set the key free. */
export function lifetimeOf(lease: LeaseView | null): Lifetime {
  if (lease === null) return { kind: 'unlimited' }
  return lease.use === 'key' ? { kind: 'own', ttl: `${lease.ttlMs}ms` } : { kind: 'lease', lease: lease.id }
}
