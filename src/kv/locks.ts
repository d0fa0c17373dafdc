import type { LockAcquireCommand, LockReleaseCommand } from './command.ts'
import type { Digest } from './digest.ts'
import type { Key } from './key.ts'
import type { LeaseEnd } from './lease-end.ts'
import { lockLeaseId } from './lease-id.ts'
import type { LeaseLedger } from './lease-ledger.ts'
import type { Leases } from './leases.ts'
import { decodeLock, encodeLock, holderOf, type Lock } from './lock.ts'
import type { ResultOf } from './result.ts'
import { lockRow, lockWaiterRow } from './lease-row.ts'
import type { Workspace } from './workspace.ts'

type First<Kind extends LockAcquireCommand | LockReleaseCommand> = Exclude<ResultOf<Kind>, { type: 'key-reused' }>

/** What became of a request for a lock, as the digest keeps it. A number once used never means anything else. */
const ACQUIRED = 42
const QUEUED = 43
const HELD = 44
const NOT_HELD = 45

const NOTHING: Uint8Array = new Uint8Array(0)

/**
 * Executes the commands on locks. A lock is held by a lease of its own, and ends with it; whoever waits for the lock has a lease too, so that
 * nobody who is gone keeps a place in the queue.
 */
export class Locks {
  private readonly leases: Leases
  private readonly ledger: LeaseLedger
  private readonly ends: LeaseEnd
  private readonly digest: Digest

  constructor(leases: Leases, ledger: LeaseLedger, ends: LeaseEnd, digest: Digest) {
    this.leases = leases
    this.ledger = ledger
    this.ends = ends
    this.digest = digest
  }

  acquire(
    command: LockAcquireCommand,
    grantee: string,
    revision: number,
    workspace: Workspace,
  ): First<LockAcquireCommand> {
    const { name, ttlMs, waitMs, owner } = command
    const held = find(name, workspace)
    if (held !== null && waitMs === 0) {
      this.absorb(HELD, held.token)
      return { type: 'lock-held', holder: holderOf(held) }
    }
    const refusal = this.leases.refuseLease()
    if (refusal !== null) return refusal
    const lease = lockLeaseId(revision)
    const common = { ttlMs, renewedAt: revision, isEnding: false, grantee }
    if (held === null) {
      const use = { type: 'holder', lock: name, token: revision, owner, hasKeys: false } as const
      workspace.put(lockRow(name), encodeLock({ lease, token: revision, owner, waiting: 0 }))
      this.ledger.add(lease, { ...common, use }, workspace)
      this.absorb(ACQUIRED, lease)
      return { type: 'lock-acquired', lease, token: revision }
    }
    workspace.put(lockRow(name), encodeLock({ ...held, waiting: held.waiting + 1 }))
    workspace.put(lockWaiterRow(name, revision), NOTHING)
    this.ledger.add(lease, { ...common, use: { type: 'waiter', lock: name, waitMs, owner } }, workspace)
    this.absorb(QUEUED, lease)
    return { type: 'lock-queued', lease }
  }

  release({ name, lease: id }: LockReleaseCommand, revision: number, workspace: Workspace): First<LockReleaseCommand> {
    const lock = find(name, workspace)
    const lease = this.ledger.find(id, workspace)
    if (lock === null || lease === null || lock.lease !== id) {
      this.absorb(NOT_HELD, id)
      return { type: 'lock-not-held', holder: lock === null ? null : holderOf(lock) }
    }
    return { type: 'lock-released', ...this.ends.end(id, lease, revision, workspace) }
  }

  private absorb(outcome: number, number: number): void {
    this.digest.absorb(outcome)
    this.digest.absorbInteger(number)
  }
}

function find(name: Key, workspace: Workspace): Lock | null {
  const bytes = workspace.get(lockRow(name))
  return bytes === null ? null : decodeLock(bytes)
}
