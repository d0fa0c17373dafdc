import { ProblemError } from '../api/problem.ts'
import { readsOwn } from '../data/read-terms.ts'
import { readLease } from '../leases/leases-api.ts'
import { readKey, readKeyAgain, type Stored } from './keys-api.ts'
import { lifetimeUnder, type Lifetime } from './lifetime.ts'

/** What a key has, and for how long. */
export interface Present {
  /** Null: it is absent. */
  readonly stored: Stored | null
  readonly lifetime: Lifetime
}

/** What the key has now, without reading a value that is known. A lease is read once for each write: what it is for does not change. */
export async function readPresent(name: string, signal: AbortSignal, before: Present | null): Promise<Present> {
  const known = before?.stored ?? null
  const found = known === null ? await readKey(name, signal) : await readKeyAgain(name, known.modRevision, signal)
  if (found === 'unchanged' && before !== null) return before
  return await withLifetime(found === 'unchanged' ? known : found, signal)
}

/** What a write of the key was refused for: what the leader has, also where reads ask this node alone. */
export async function readLatest(name: string, signal: AbortSignal): Promise<Present> {
  return await withLifetime(await readKey(name, signal, { isLatest: true }), signal)
}

async function withLifetime(stored: Stored | null, signal: AbortSignal): Promise<Present> {
  if (stored === null || stored.lease === 0) return { stored, lifetime: { kind: 'unlimited' } }
  return { stored, lifetime: await readLifetime(stored.lease, signal) }
}

async function readLifetime(id: number, signal: AbortSignal): Promise<Lifetime> {
  try {
    return lifetimeUnder(id, await readLease(id, { limit: 1, cursor: null }, signal))
  } catch (error) {
    if (!readsOwn.value || !(error instanceof ProblemError)) throw error
    // Only a leader knows more of it. A write that asks for too much is refused.
    return { kind: 'lease', lease: id }
  }
}
