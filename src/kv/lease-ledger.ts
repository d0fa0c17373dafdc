import { assert } from '../lib/assert.ts'
import type { Key } from './key.ts'
import { decodeLease, encodeLease, lengthOf, type Lease } from './lease.ts'
import type { LeaseEvent } from './lease-event.ts'
import { isKeyLease } from './lease-id.ts'
import { attachmentRow, leaseRow } from './lease-row.ts'
import type { Workspace } from './workspace.ts'

/** What the machine carries of leases from command to command, apart from the rows. */
export interface LeasesState {
  readonly leases: number
  /** Keys that belong to a lease. */
  readonly attachedKeys: number
  /** Locks that are held. */
  readonly locks: number
  /** Leases that wait for a lock. */
  readonly lockWaiters: number
}

const NOTHING: Uint8Array = new Uint8Array(0)

/**
 * The rows of leases and of the keys that are attached to them, and their numbers.
 *
 * Guarantee: a record names a lease if and only if that lease exists and names its key, in a row of attachments or, if it is the lease of one
 * key, in its own row.
 */
export class LeaseLedger {
  leases: number
  attachedKeys: number
  locks: number
  lockWaiters: number
  private events: LeaseEvent[] = []

  constructor({ leases, attachedKeys, locks, lockWaiters }: LeasesState) {
    this.leases = leases
    this.attachedKeys = attachedKeys
    this.locks = locks
    this.lockWaiters = lockWaiters
  }

  state(): LeasesState {
    const { leases, attachedKeys, locks, lockWaiters } = this
    return { leases, attachedKeys, locks, lockWaiters }
  }

  /** What has happened to leases since the last call. */
  takeEvents(): readonly LeaseEvent[] {
    if (this.events.length === 0) return this.events
    const { events } = this
    this.events = []
    return events
  }

  tell(event: LeaseEvent): void {
    this.events.push(event)
  }

  /** Null: there is no such lease. Its row is in the read set. */
  find(id: number, workspace: Workspace): Lease | null {
    const bytes = workspace.get(leaseRow(id))
    return bytes === null ? null : decodeLease(bytes)
  }

  add(id: number, lease: Lease, workspace: Workspace): void {
    this.leases += 1
    if (lease.use.type === 'holder') this.locks += 1
    if (lease.use.type === 'waiter') this.lockWaiters += 1
    this.restart(id, lease, workspace)
  }

  /** The lease is as `lease` says, and its time is measured from the present entry on. */
  restart(id: number, lease: Lease, workspace: Workspace): void {
    this.replace(id, lease, workspace)
    this.tell({ type: 'started', lease: id, lengthMs: lengthOf(lease), revision: lease.renewedAt })
  }

  replace(id: number, lease: Lease, workspace: Workspace): void {
    workspace.put(leaseRow(id), encodeLease(lease))
  }

  /** None of its keys is left. */
  remove(id: number, workspace: Workspace): void {
    this.leases -= 1
    workspace.remove(leaseRow(id))
    this.tell({ type: 'ended', lease: id })
  }

  /** `key` belonged to the lease `from`, and from now on to `to`; 0: to none. */
  move(key: Key, from: number, to: number, workspace: Workspace): void {
    if (from === to) return
    if (from !== 0) this.detach(key, from, workspace)
    if (to !== 0) this.attach(key, to, workspace)
  }

  private detach(key: Key, from: number, workspace: Workspace): void {
    this.attachedKeys -= 1
    if (isKeyLease(from)) this.remove(from, workspace)
    else workspace.remove(attachmentRow(from, key))
  }

  private attach(key: Key, to: number, workspace: Workspace): void {
    this.attachedKeys += 1
    if (isKeyLease(to)) return
    workspace.put(attachmentRow(to, key), NOTHING)
    const lease = this.find(to, workspace)
    assert(lease !== null && 'hasKeys' in lease.use, 'a key is attached to a lease that takes keys')
    if (!lease.use.hasKeys) this.replace(to, { ...lease, use: { ...lease.use, hasKeys: true } }, workspace)
  }
}
