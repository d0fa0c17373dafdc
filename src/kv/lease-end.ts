import { assert } from '../lib/assert.ts'
import type { Digest } from './digest.ts'
import type { Key, RowKey } from './key.ts'
import type { Lease, LeaseUse } from './lease.ts'
import { revisionOfLockLease } from './lease-id.ts'
import type { LeaseLedger } from './lease-ledger.ts'
import type { LeaseLimits } from './leases.ts'
import { decodeLock, encodeLock, type Lock } from './lock.ts'
import { decodeRecord } from './record.ts'
import type { Records } from './records.ts'
import {
  attachedKeyOfRow,
  attachmentRange,
  leaseOfWaiterRow,
  leaseRow,
  lockRow,
  lockWaiterRow,
  lockWaiters,
} from './lease-row.ts'
import { recordRow } from './row.ts'
import type { RangeRead, ReadSet, Workspace } from './workspace.ts'

/** What one entry has done about a lease that ends. `isDone`: no more of it is left. */
export interface LeaseEnding {
  readonly revision: number
  readonly deleted: number
  readonly isDone: boolean
}

/** What became of a lease or a lock, as the digest keeps it. A number once used never means anything else. */
const ENDED = 38
const ENDING = 39
const HANDED_OVER = 40
const FREED = 41

/**
 * Ends leases, with all that they have: the keys, a lock, or a place among those who wait for one.
 *
 * A lease with many keys ends in several entries, so that none of them stops a replica. From the first one on the lease is ending: whoever
 * proposes the next, it goes on where the last one stopped. A lock passes on in the last of them, in the order in which the waiters came.
 */
export class LeaseEnd {
  private readonly limits: LeaseLimits
  private readonly ledger: LeaseLedger
  private readonly records: Records
  private readonly digest: Digest

  constructor(limits: LeaseLimits, ledger: LeaseLedger, records: Records, digest: Digest) {
    this.limits = limits
    this.ledger = ledger
    this.records = records
    this.digest = digest
  }

  /**
   * What `end` looks at besides the row of the lease. `step`: how often this was asked before. Each answer follows from what the one before
   * has named. Null: nothing more.
   */
  readsOf(id: number, step: number, workspace: Workspace): ReadSet | null {
    const lease = this.ledger.find(id, workspace)
    if (lease === null) return null
    const { use } = lease
    if (step === 0) {
      if (use.type === 'key') return { rows: [recordRow(use.key)], ranges: [], bounded: null }
      const rows = 'lock' in use ? [lockRow(use.lock)] : []
      return { rows, ranges: hasKeys(use) ? [this.attachments(id)] : [], bounded: null }
    }
    if (step === 1) {
      const rows = hasKeys(use) ? this.attachedRows(id, workspace) : []
      const bounded = rows.length === 0 ? null : { rows, ranges: [], bytesMax: this.limits.endBytesMax }
      return { rows: [], ranges: this.waitersBehind(use, workspace), bounded }
    }
    const next = step === 2 ? this.nextWaiter(use, workspace) : null
    return next === null ? null : { rows: [leaseRow(next)], ranges: [], bounded: null }
  }

  end(id: number, lease: Lease, revision: number, workspace: Workspace): LeaseEnding {
    const { use } = lease
    if (use.type === 'key') return this.endKeyLease(id, use.key, revision, workspace)
    const { deleted, isDone } = hasKeys(use) ? this.removeKeys(id, revision, workspace) : { deleted: 0, isDone: true }
    this.digest.absorb(isDone ? ENDED : ENDING)
    this.digest.absorbInteger(id)
    const ending = { revision: this.records.revision, deleted, isDone }
    if (!isDone) {
      this.ledger.replace(id, { ...lease, isEnding: true }, workspace)
      this.ledger.tell({ type: 'ending', lease: id, revision: lease.renewedAt })
      return ending
    }
    this.ledger.remove(id, workspace)
    if (use.type === 'holder') this.passOn(use.lock, revision, workspace)
    if (use.type === 'waiter') this.leaveQueue(use.lock, id, workspace)
    return ending
  }

  /** The lease goes with its key. */
  private endKeyLease(id: number, key: Key, revision: number, workspace: Workspace): LeaseEnding {
    this.digest.absorb(ENDED)
    this.digest.absorbInteger(id)
    const deleted = this.records.remove(key, this.records.find(key, workspace), revision, workspace)
    return { revision: this.records.revision, deleted, isDone: true }
  }

  /** Removes the first keys of the lease, as many as one entry may; one at least. */
  private removeKeys(id: number, revision: number, workspace: Workspace): { deleted: number; isDone: boolean } {
    const rows = workspace.rowsIn(this.attachments(id))
    let deleted = 0
    let bytes = 0
    for (const row of rows) {
      if (deleted === this.limits.endKeysMax || bytes > this.limits.endBytesMax) return { deleted, isDone: false }
      const key = attachedKeyOfRow(row)
      const named = recordRow(key)
      const found = workspace.get(named)
      assert(found !== null, 'an attached key is there')
      const record = decodeRecord(found)
      assert(record.lease === id, 'an attached key names its lease')
      bytes += named.length + found.length
      deleted += this.records.remove(key, record, revision, workspace)
    }
    return { deleted, isDone: true }
  }

  /** The lock goes to the lease that has waited longest, or is free. */
  private passOn(name: Key, revision: number, workspace: Workspace): void {
    const lock = lockNamed(name, workspace)
    const [first] = lock.waiting === 0 ? [] : workspace.rowsIn(this.firstWaiter(name))
    this.digest.absorb(first === undefined ? FREED : HANDED_OVER)
    this.digest.absorbInteger(lock.token)
    if (first === undefined) {
      this.ledger.locks -= 1
      return workspace.remove(lockRow(name))
    }
    const id = leaseOfWaiterRow(first)
    const lease = this.ledger.find(id, workspace)
    assert(lease !== null && lease.use.type === 'waiter', 'a lease that waits for a lock is there')
    const { owner } = lease.use
    const use = { type: 'holder', lock: name, token: revision, owner, hasKeys: false } as const
    this.ledger.lockWaiters -= 1
    workspace.remove(first)
    const held = { lease: id, token: revision, owner, waiting: lock.waiting - 1 }
    workspace.put(lockRow(name), encodeLock(held))
    this.ledger.restart(id, { ...lease, renewedAt: revision, use }, workspace)
    this.ledger.tell({ type: 'lock-acquired', lease: id, token: revision })
  }

  private leaveQueue(name: Key, id: number, workspace: Workspace): void {
    const lock = lockNamed(name, workspace)
    this.ledger.lockWaiters -= 1
    workspace.remove(lockWaiterRow(name, revisionOfLockLease(id)))
    workspace.put(lockRow(name), encodeLock({ ...lock, waiting: lock.waiting - 1 }))
  }

  private attachedRows(id: number, workspace: Workspace): readonly RowKey[] {
    return workspace.rowsIn(this.attachments(id)).map((row) => recordRow(attachedKeyOfRow(row)))
  }

  private waitersBehind(use: LeaseUse, workspace: Workspace): readonly RangeRead[] {
    if (use.type !== 'holder') return []
    return lockNamed(use.lock, workspace).waiting === 0 ? [] : [this.firstWaiter(use.lock)]
  }

  private nextWaiter(use: LeaseUse, workspace: Workspace): number | null {
    const [range] = this.waitersBehind(use, workspace)
    const [first] = range === undefined ? [] : workspace.rowsIn(range)
    return first === undefined ? null : leaseOfWaiterRow(first)
  }

  /** One row more than may be removed shows whether any would be left. */
  private attachments(id: number): RangeRead {
    return { ...attachmentRange(id), limit: this.limits.endKeysMax + 1, bytesMax: 0 }
  }

  private firstWaiter(name: Key): RangeRead {
    return { ...lockWaiters(name), limit: 1, bytesMax: 0 }
  }
}

/** The lock of a lease that holds it or waits for it. */
function lockNamed(name: Key, workspace: Workspace): Lock {
  const bytes = workspace.get(lockRow(name))
  assert(bytes !== null, 'a lock that a lease holds or waits for is there')
  return decodeLock(bytes)
}

function hasKeys(use: LeaseUse): boolean {
  return 'hasKeys' in use && use.hasKeys
}
