import {
  attachedKeyOfRow,
  attachmentRange,
  decodeLease,
  decodeLock,
  holderOf,
  leaseOfRow,
  leaseOfWaiterRow,
  leaseRange,
  leaseRow,
  lengthOf,
  lockOfRow,
  lockRange,
  lockRow,
  lockWaiters,
  NODE_ITSELF,
  type Key,
  type KeyRange,
  type Lease,
  type Lock,
  type LockAcquireCommand,
  type RowKey,
  type RowRange,
} from '../../src/kv/index.ts'
import type { LeaseAccess, LeasePage, LockOutcome, ReadOptions } from '../../src/api/services.ts'
import type { MemoryKeys } from './memory-keys.ts'

/** The leases and locks of a node alone. No time passes for them. */
export class MemoryLeases implements LeaseAccess {
  /** Runs while a request waits for a lock. */
  whileWaiting: () => Promise<void> = async () => {}
  private readonly keys: MemoryKeys

  constructor(keys: MemoryKeys) {
    this.keys = keys
  }

  async get(id: number, { after, limit }: LeasePage<Key>, options: ReadOptions) {
    const context = await this.keys.read(options)
    const lease = this.leaseOf(id)
    if (lease === null) return { lease: null, context }
    const rows = this.rowsIn(attachmentRange(id, after)).map(([row]) => attachedKeyOfRow(row))
    const keys = lease.use.type === 'key' ? [lease.use.key] : rows
    const page = { items: keys.slice(0, limit), more: keys.length > limit }
    return { lease: { id, lease, remainingMs: lengthOf(lease), keys: page }, context }
  }

  async list({ after, limit }: LeasePage<number>, options: ReadOptions) {
    const context = await this.keys.read(options)
    const rows = this.rowsIn(leaseRange(after ?? 0))
    const items = rows.map(([row, bytes]) => ({ id: leaseOfRow(row) ?? 0, lease: decodeLease(bytes) }))
    return { items: items.slice(0, limit), more: items.length > limit, context }
  }

  async lock(name: Key, options: ReadOptions) {
    return { context: await this.keys.read(options), lock: this.lockNamed(name) }
  }

  async lockQueue(name: Key, limit: number, options: ReadOptions) {
    const context = await this.keys.read(options)
    const ids = this.rowsIn(lockWaiters(name)).map(([row]) => leaseOfWaiterRow(row))
    const waiters = ids.slice(0, limit).map((lease) => {
      const use = this.leaseOf(lease)?.use
      return { lease, owner: use?.type === 'waiter' ? use.owner : '' }
    })
    return { lock: this.lockNamed(name), waiters, context }
  }

  async locks({ start, end }: KeyRange, { after, limit }: LeasePage<Key>, options: ReadOptions) {
    const context = await this.keys.read(options)
    const rows = this.rowsIn(lockRange(start, end)).map(([row, bytes]) => ({
      name: lockOfRow(row),
      lock: decodeLock(bytes),
    }))
    const items = rows.filter(({ name }) => after === null || name > after)
    return { items: items.slice(0, limit), more: items.length > limit, context }
  }

  async acquire(command: LockAcquireCommand, timeoutMs: number): Promise<LockOutcome> {
    const { result, context } = await this.keys.execute(command, timeoutMs)
    if (result.type === 'lock-acquired' && this.leaseOf(result.lease) === null)
      return { result: { type: 'lock-wait-ended', lease: result.lease }, context }
    if (result.type !== 'lock-queued') return { result, context }
    await this.whileWaiting()
    const { lease } = result
    const use = this.leaseOf(lease)?.use
    if (use?.type === 'holder') return { result: { type: 'lock-acquired', lease, token: use.token }, context }
    if (use === undefined) return { result: { type: 'lock-wait-ended', lease }, context }
    const leave = { type: 'lease-revoke', id: lease, ifRenewedAt: null, token: NODE_ITSELF, idempotency: null } as const
    await this.keys.execute(leave, timeoutMs)
    const lock = this.lockNamed(command.name)
    return { result: { type: 'lock-held', holder: lock === null ? null : holderOf(lock) }, context }
  }

  private leaseOf(id: number): Lease | null {
    const bytes = this.keys.store.rows.get(leaseRow(id))
    return bytes === undefined ? null : decodeLease(bytes)
  }

  private lockNamed(name: Key): Lock | null {
    const bytes = this.keys.store.rows.get(lockRow(name))
    return bytes === undefined ? null : decodeLock(bytes)
  }

  private rowsIn({ start, end }: RowRange): [RowKey, Uint8Array][] {
    const rows = [...this.keys.store.rows].filter(([row]) => row >= start && (end === null || row < end))
    return rows.sort(([one], [other]) => (one < other ? -1 : 1))
  }
}
