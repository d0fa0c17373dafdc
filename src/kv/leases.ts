import type { KeyLease, LeaseGrantCommand, LeaseRenewCommand, LeaseRevokeCommand } from './command.ts'
import type { Digest } from './digest.ts'
import type { Key } from './key.ts'
import { isKeyLease, grantedLeaseId, keyLeaseId } from './lease-id.ts'
import { takesKeys } from './lease.ts'
import type { LeaseEnd } from './lease-end.ts'
import type { LeaseLedger } from './lease-ledger.ts'
import type { KeyRecord } from './record.ts'
import type { ResultOf } from './result.ts'
import type { Workspace } from './workspace.ts'

/** Results depend on these: the same on every node, changed only with the format. */
export interface LeaseLimits {
  /** Leases of all kinds: of clients, of keys, of locks and of those who wait for one. */
  readonly leasesMax: number
  /** Keys that belong to a lease. */
  readonly attachedKeysMax: number
  /** What one entry removes of a lease that ends: keys, and the bytes of their records. */
  readonly endKeysMax: number
  readonly endBytesMax: number
}

type First<Kind extends LeaseGrantCommand | LeaseRenewCommand | LeaseRevokeCommand> = Exclude<
  ResultOf<Kind>,
  { type: 'key-reused' }
>

/** Why a key cannot be attached to a lease. */
export type AttachmentRefusal =
  | { readonly type: 'lease-not-found'; readonly lease: number }
  | { readonly type: 'too-many-attached-keys'; readonly limit: number }

export interface TooManyLeases {
  readonly type: 'too-many-leases'
  readonly limit: number
}

/** A key that is to be written. `lease`: the granted one to which it is attached; null: it gets one of its own. */
export interface LeasedKey {
  readonly lease: number | null
  /** Its present record; null when it is absent. */
  readonly current: KeyRecord | null
}

/** What became of a lease, as the digest keeps it. A number once used never means anything else. */
const GRANTED = 32
const EXISTS = 33
const RENEWED = 34
const NOT_FOUND = 35
const KEPT = 36
const TOO_MANY = 37

/** Executes the commands on leases. */
export class Leases {
  private readonly limits: LeaseLimits
  private readonly ledger: LeaseLedger
  private readonly ends: LeaseEnd
  private readonly digest: Digest

  constructor(limits: LeaseLimits, ledger: LeaseLedger, ends: LeaseEnd, digest: Digest) {
    this.limits = limits
    this.ledger = ledger
    this.ends = ends
    this.digest = digest
  }

  grant(command: LeaseGrantCommand, grantee: string, revision: number, workspace: Workspace): First<LeaseGrantCommand> {
    const { id, ttlMs } = command
    const lease = id ?? grantedLeaseId(revision)
    if (id !== null && this.ledger.find(id, workspace) !== null) {
      this.absorb(EXISTS, lease)
      return { type: 'lease-exists', lease }
    }
    const refusal = this.refuseLease()
    if (refusal !== null) return refusal
    const use = { type: 'keys', hasKeys: false } as const
    this.ledger.add(lease, { ttlMs, renewedAt: revision, isEnding: false, grantee, use }, workspace)
    this.absorb(GRANTED, lease)
    return { type: 'lease-granted', lease, ttlMs }
  }

  /** A lease that is ending has no time left to begin again, and one that waits for a lock ends when its wait does. */
  renew({ id }: LeaseRenewCommand, revision: number, workspace: Workspace): First<LeaseRenewCommand> {
    const lease = this.ledger.find(id, workspace)
    if (lease === null || lease.isEnding || lease.use.type === 'waiter') return this.notFound(id)
    this.ledger.restart(id, { ...lease, renewedAt: revision }, workspace)
    this.absorb(RENEWED, id)
    return { type: 'lease-renewed', lease: id, ttlMs: lease.ttlMs }
  }

  /** A lease that was renewed after its end was decided on stays: its renewal came first in the log. */
  revoke(command: LeaseRevokeCommand, revision: number, workspace: Workspace): First<LeaseRevokeCommand> {
    const { id, ifRenewedAt } = command
    const lease = this.ledger.find(id, workspace)
    if (lease === null) {
      this.ledger.tell({ type: 'ended', lease: id })
      return this.notFound(id)
    }
    if (ifRenewedAt !== null && !lease.isEnding && lease.renewedAt !== ifRenewedAt) {
      this.absorb(KEPT, id)
      this.ledger.tell({ type: 'kept', lease: id })
      return { type: 'lease-kept', lease: id, renewedAt: lease.renewedAt }
    }
    return { type: 'lease-revoked', lease: id, ...this.ends.end(id, lease, revision, workspace) }
  }

  /** Null: another lease may be added, in place of `replaced` that end with it. */
  refuseLease(replaced = 0): TooManyLeases | null {
    const limit = this.limits.leasesMax
    if (this.ledger.leases - replaced < limit) return null
    this.absorb(TOO_MANY, this.ledger.leases)
    return { type: 'too-many-leases', limit }
  }

  /** Null: all of these keys may be written. To be asked before anything changes. */
  refuseKeys(keys: readonly LeasedKey[], workspace: Workspace): AttachmentRefusal | null {
    for (const { lease } of keys) {
      if (lease === null) continue
      const found = this.ledger.find(lease, workspace)
      if (found === null || !takesKeys(found)) return this.notFound(lease)
    }
    const attached = keys.filter(({ current }) => current === null || current.lease === 0).length
    const limit = this.limits.attachedKeysMax
    if (attached === 0 || this.ledger.attachedKeys + attached <= limit) return null
    this.absorb(TOO_MANY, this.ledger.attachedKeys)
    return { type: 'too-many-attached-keys', limit }
  }

  /** The same for one key. Its present lease ends when it was its own. */
  refuseKey(
    lease: KeyLease,
    current: KeyRecord | null,
    workspace: Workspace,
  ): AttachmentRefusal | TooManyLeases | null {
    if (lease.type === 'granted') return this.refuseKeys([{ lease: lease.id, current }], workspace)
    const replaced = current !== null && isKeyLease(current.lease) ? 1 : 0
    return this.refuseKeys([{ lease: null, current }], workspace) ?? this.refuseLease(replaced)
  }

  /** The lease of a key that is written now; 0: none. One of its own is granted here. */
  leaseFor(key: Key, lease: KeyLease | undefined, revision: number, workspace: Workspace): number {
    if (lease === undefined) return 0
    if (lease.type === 'granted') return lease.id
    const id = keyLeaseId(revision)
    const use = { type: 'key', key } as const
    this.ledger.add(id, { ttlMs: lease.ttlMs, renewedAt: revision, isEnding: false, grantee: '', use }, workspace)
    return id
  }

  private notFound(lease: number) {
    this.absorb(NOT_FOUND, lease)
    return { type: 'lease-not-found', lease } as const
  }

  private absorb(outcome: number, number: number): void {
    this.digest.absorb(outcome)
    this.digest.absorbInteger(number)
  }
}
