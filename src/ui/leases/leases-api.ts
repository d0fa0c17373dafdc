import { ProblemError } from '../api/problem.ts'
import { sendForJson } from '../api/request.ts'
import type { ListedLease } from './lock-table.ts'

/** A lease with what only the leader knows of it, and a page of its keys. */
export interface LeaseView extends ListedLease {
  readonly remainingMs: number
  readonly keys: readonly string[]
  /** Where the next page of keys begins; absent on the last. */
  readonly cursor?: string
}

export interface LeasesPart {
  readonly leases: readonly ListedLease[]
  readonly cursor?: string
}

interface Part {
  readonly limit: number
  readonly cursor: string | null
}

export async function listLeases(part: Part, signal: AbortSignal): Promise<LeasesPart> {
  return await sendForJson({ path: '/leases', query: { ...part }, signal })
}

/** Null: it has ended. */
export async function readLease(id: number, part: Part, signal: AbortSignal): Promise<LeaseView | null> {
  try {
    return await sendForJson<LeaseView>({ path: `/leases/${id}`, query: { ...part }, signal })
  } catch (error) {
    if (error instanceof ProblemError && error.code === 'lease-not-found') return null
    throw error
  }
}

export async function renewLease(id: number): Promise<{ readonly remainingMs: number }> {
  return await sendForJson({ method: 'POST', path: `/leases/${id}/keepalive` })
}

export interface LeaseEnd {
  readonly revision: number
  /** Keys that went with it. */
  readonly deleted: number
}

export async function revokeLease(id: number): Promise<LeaseEnd> {
  return await sendForJson({ method: 'DELETE', path: `/leases/${id}`, query: { timeout: '60s' } })
}

export interface LockView {
  readonly name: string
  readonly holder: { readonly lease: number; readonly token: number; readonly owner: string } | null
  readonly waiting: number
}

export async function readLock(name: string, signal: AbortSignal): Promise<LockView> {
  return await sendForJson({ path: '/locks', query: { name }, signal })
}

/** Ends the lease that holds the lock; refused when another one holds it by now. */
export async function releaseLock(name: string, lease: number): Promise<LeaseEnd> {
  return await sendForJson({ method: 'DELETE', path: '/locks', query: { name, lease, timeout: '60s' } })
}
