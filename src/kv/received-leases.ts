import { limits } from '../limits.ts'
import { rowFromBytes } from './key.ts'
import { isLeaseTtl } from './lease-codec.ts'
import { isKeyLease, isLeaseId, isLockLease } from './lease-id.ts'
import type { LeasesState } from './lease-ledger.ts'
import { attachmentOfRow, leaseOfRow, waiterOfRow } from './lease-row.ts'
import { decodeLease, type Lease } from './lease.ts'
import { decodeLock } from './lock.ts'
import { UnreadableStateError } from './unreadable-state-error.ts'

/**
 * Checks the rows of leases and locks in a state that another node sends. Each refers to others, and a machine relies on finding them; the
 * numbers of both sides show whether any is missing.
 */
export class ReceivedLeases {
  private leases = 0
  private keyLeases = 0
  private holders = 0
  private waiterLeases = 0
  /** Leases to which keys may be attached. Their rows come before those of the keys. */
  private readonly withKeys = new Set<number>()
  private attachedRecords = 0
  private keyLeaseRecords = 0
  private attachments = 0
  private locks = 0
  private waiting = 0
  private waiters = 0

  /** `lease`: the one that a record names; 0: none. */
  onRecord(lease: number): void {
    if (lease === 0) return
    this.attachedRecords += 1
    if (isKeyLease(lease)) this.keyLeaseRecords += 1
  }

  acceptLease(key: Uint8Array, value: Uint8Array): void {
    const id = leaseOfRow(rowFromBytes(key))
    if (id === null || !isLeaseId(id)) throw new UnreadableStateError('the row of a lease has no id')
    const lease = decodeLease(value)
    this.leases += 1
    if (!isLeaseTtl(lease.ttlMs)) throw new UnreadableStateError(`a lease of ${lease.ttlMs} ms`)
    if (!isUsedAsNamed(id, lease)) throw new UnreadableStateError(`lease ${id} is used for something else`)
    const { use } = lease
    if (use.type === 'key') this.keyLeases += 1
    if (use.type === 'holder') this.holders += 1
    if (use.type === 'waiter') this.waiterLeases += 1
    if ('hasKeys' in use && use.hasKeys) this.withKeys.add(id)
  }

  acceptAttachment(key: Uint8Array, value: Uint8Array): void {
    const attachment = attachmentOfRow(rowFromBytes(key))
    if (attachment === null || attachment.key.length > limits.keyBytesMax || value.length > 0)
      throw new UnreadableStateError('the row of an attached key has no lease or no key')
    if (!this.withKeys.has(attachment.lease))
      throw new UnreadableStateError(`a key is attached to lease ${attachment.lease}, which has none`)
    this.attachments += 1
  }

  acceptLock(key: Uint8Array, value: Uint8Array): void {
    if (key.length - 1 > limits.keyBytesMax || key.length < 2)
      throw new UnreadableStateError(`the name of a lock has ${key.length - 1} bytes`)
    this.locks += 1
    this.waiting += decodeLock(value).waiting
  }

  acceptWaiter(key: Uint8Array, value: Uint8Array): void {
    if (waiterOfRow(rowFromBytes(key)) === null || value.length > 0)
      throw new UnreadableStateError('the row of a lease that waits for a lock has no name or no lease')
    this.waiters += 1
  }

  /** To be called after the last row. Throws `UnreadableStateError` when rows are missing. */
  finish({ leases, attachedKeys, locks, lockWaiters }: LeasesState): void {
    const isWhole =
      this.leases === leases &&
      this.attachedRecords === attachedKeys &&
      this.attachments + this.keyLeases === attachedKeys &&
      this.keyLeaseRecords === this.keyLeases &&
      this.locks === locks &&
      this.locks === this.holders &&
      this.waiters === lockWaiters &&
      this.waiters === this.waiterLeases &&
      this.waiters === this.waiting
    if (isWhole) return
    throw new UnreadableStateError(
      `the state has ${leases} leases and ${attachedKeys} keys that belong to them; ${this.leases} and ${this.attachedRecords} arrived, ` +
        `with ${this.attachments} attached keys, ${this.locks} locks and ${this.waiters} that wait for one`,
    )
  }
}

function isUsedAsNamed(id: number, { use }: Lease): boolean {
  switch (use.type) {
    case 'keys':
      return !isKeyLease(id) && !isLockLease(id)
    case 'key':
      return isKeyLease(id)
    default:
      return isLockLease(id)
  }
}
