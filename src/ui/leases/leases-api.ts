import { ProblemError } from '../api/problem.ts'
import { sendForJson } from '../api/request.ts'

/** A lease as a listing gives it. */
export interface ListedLease {
  readonly id: number
  readonly ttlMs: number
  readonly use: 'keys' | 'key' | 'lock' | 'lock-wait'
  readonly lock?: string
  readonly ending: boolean
}

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

/** `waiters`: the first of those who wait, in the order in which they get it. */
export interface LockQueue extends LockView {
  readonly waiters: readonly { readonly lease: number; readonly owner: string }[]
}

export interface LocksPart {
  readonly locks: readonly LockView[]
  readonly cursor?: string
}

/** Those with names that begin with `prefix`. */
export async function listLocks(prefix: string, part: Part, signal: AbortSignal): Promise<LocksPart> {
  return await sendForJson({ path: '/locks', query: { prefix, ...part }, signal })
}

export async function readLock(name: string, signal: AbortSignal): Promise<LockQueue> {
  return await sendForJson({ path: '/locks', query: { name, waiters: true }, signal })
}

/** Ends the lease that holds the lock; refused when another one holds it by now. */
export async function releaseLock(name: string, lease: number): Promise<LeaseEnd> {
  return await sendForJson({ method: 'DELETE', path: '/locks', query: { name, lease, timeout: '60s' } })
}
