import type { LeaseView } from '../leases/leases-api.ts'
import { duration } from '../lib/format.ts'

/** For how long a written key stays. */
export type Lifetime =
  | { readonly kind: 'unlimited' }
  /** As long as a lease that others may share. */
  | { readonly kind: 'lease'; readonly lease: number }
  /** As long as a lease of its own, which begins again with each write. */
  | { readonly kind: 'own'; readonly ttlMs: number }

/** One that somebody may have typed: a duration as the API takes it. */
export type WrittenLifetime = Lifetime | { readonly kind: 'typed'; readonly ttl: string }

/** The lifetime of a key that goes with lease `id`. A lease that has ended takes the key with it: a write that asks for it is refused. */
export function lifetimeUnder(id: number, lease: LeaseView | null): Lifetime {
  if (lease === null) return { kind: 'lease', lease: id }
  return lease.use === 'key' ? { kind: 'own', ttlMs: lease.ttlMs } : { kind: 'lease', lease: lease.id }
}

/** What a write with this lifetime does to that of the key, in a sentence. */
export function lifetimeSentence(lifetime: Lifetime): string {
  switch (lifetime.kind) {
    case 'unlimited':
      return 'It goes with no lease: it stays until it is deleted.'
    case 'lease':
      return `It goes with lease ${lifetime.lease}, as it does now.`
    case 'own':
      return `Its time to live, ${duration(lifetime.ttlMs)}, begins again.`
  }
}
