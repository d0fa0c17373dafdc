import { decodeLease, decodeLock, isHistoryRow, rowBytes, ReceivedRows, lengthOf } from '../../../src/kv/index.ts'
import type { Command, CommandResult, LeaseEvent, RowKey } from '../../../src/kv/index.ts'
import { assert } from '../../../src/lib/assert.ts'
import type { BatchStore } from './batch-store.ts'

interface ModelLease {
  ttlMs: number
  waitMs: number
  renewedAt: number
  use: 'keys' | 'key' | 'holder' | 'waiter'
  lock: string | null
  owner: string
  ending: boolean
  keys: Set<string>
}

interface ModelLock {
  holder: number
  token: number
  owner: string
  queue: number[]
}

export interface ModelLimits {
  readonly leasesMax: number
  readonly attachedKeysMax: number
  readonly endKeysMax: number
}

/** Leases and locks as the documents describe them, on plain maps. */
export class LeaseModel {
  readonly leases = new Map<number, ModelLease>()
  readonly locks = new Map<string, ModelLock>()
  /** The lease of each key; 0: none. */
  readonly keys = new Map<string, number>()
  revision = 0
  private readonly limits: ModelLimits

  constructor(limits: ModelLimits) {
    this.limits = limits
  }

  get attachedKeys(): number {
    return [...this.keys.values()].filter((lease) => lease !== 0).length
  }

  execute(command: Command, at: number): Partial<CommandResult> {
    switch (command.type) {
      case 'put':
        return this.put(command, at)
      case 'delete':
        if (this.unset(command.key)) this.revision = at
        return { type: 'deleted', revision: this.revision }
      case 'delete-range': {
        const doomed = [...this.keys.keys()].filter(
          (key) => (command.start === null || key >= command.start) && (command.end === null || key < command.end),
        )
        for (const key of doomed) this.unset(key)
        if (doomed.length > 0) this.revision = at
        return { type: 'deleted', deleted: doomed.length }
      }
      case 'lease-grant':
        return this.grant(command.id ?? 1_000_000_000_000_000 + at, command.ttlMs, at)
      case 'lease-renew': {
        const lease = this.leases.get(command.id)
        if (lease === undefined || lease.ending || lease.use === 'waiter')
          return { type: 'lease-not-found', lease: command.id }
        lease.renewedAt = at
        return { type: 'lease-renewed', lease: command.id, ttlMs: lease.ttlMs }
      }
      case 'lease-revoke': {
        const lease = this.leases.get(command.id)
        if (lease === undefined) return { type: 'lease-not-found', lease: command.id }
        if (command.ifRenewedAt !== null && !lease.ending && command.ifRenewedAt !== lease.renewedAt)
          return { type: 'lease-kept', lease: command.id, renewedAt: lease.renewedAt }
        return { type: 'lease-revoked', lease: command.id, ...this.end(command.id, lease, at) }
      }
      case 'lock-acquire':
        return this.acquire(command.name, command, at)
      case 'lock-release': {
        const lock = this.locks.get(command.name)
        const lease = this.leases.get(command.lease)
        if (lock?.holder !== command.lease || lease === undefined)
          return { type: 'lock-not-held', holder: lock === undefined ? null : holderOf(lock) }
        return { type: 'lock-released', ...this.end(command.lease, lease, at) }
      }
      default:
        throw new Error(`the model knows no ${command.type}`)
    }
  }

  private put(command: Extract<Command, { type: 'put' }>, at: number): Partial<CommandResult> {
    const { key, lease } = command
    const before = this.keys.get(key) ?? 0
    if (lease?.type === 'granted') {
      const found = this.leases.get(lease.id)
      if (found === undefined || found.ending || found.use === 'key' || found.use === 'waiter')
        return { type: 'lease-not-found', lease: lease.id }
    }
    if (lease !== undefined && before === 0 && this.attachedKeys === this.limits.attachedKeysMax)
      return { type: 'too-many-attached-keys', limit: this.limits.attachedKeysMax }
    if (lease?.type === 'own') {
      const replaces = this.leases.get(before)?.use === 'key' ? 1 : 0
      if (this.leases.size - replaces >= this.limits.leasesMax)
        return { type: 'too-many-leases', limit: this.limits.leasesMax }
    }
    this.unset(key)
    this.revision = at
    let id = 0
    if (lease?.type === 'granted') id = lease.id
    if (lease?.type === 'own') {
      id = 2_000_000_000_000_000 + at
      this.leases.set(id, fresh('key', lease.ttlMs, at))
    }
    this.keys.set(key, id)
    this.leases.get(id)?.keys.add(key)
    return { type: 'put', revision: at }
  }

  /** Whether the key was there. */
  private unset(key: string): boolean {
    const id = this.keys.get(key)
    if (id === undefined) return false
    this.keys.delete(key)
    const lease = this.leases.get(id)
    lease?.keys.delete(key)
    if (lease?.use === 'key') this.leases.delete(id)
    return true
  }

  private grant(id: number, ttlMs: number, at: number): Partial<CommandResult> {
    if (this.leases.has(id)) return { type: 'lease-exists', lease: id }
    if (this.leases.size === this.limits.leasesMax) return { type: 'too-many-leases', limit: this.limits.leasesMax }
    this.leases.set(id, fresh('keys', ttlMs, at))
    return { type: 'lease-granted', lease: id, ttlMs }
  }

  private acquire(
    name: string,
    { ttlMs, waitMs, owner }: Extract<Command, { type: 'lock-acquire' }>,
    at: number,
  ): Partial<CommandResult> {
    const lock = this.locks.get(name)
    if (lock !== undefined && waitMs === 0) return { type: 'lock-held', holder: holderOf(lock) }
    if (this.leases.size === this.limits.leasesMax) return { type: 'too-many-leases', limit: this.limits.leasesMax }
    const id = 3_000_000_000_000_000 + at
    const lease = { ...fresh(lock === undefined ? 'holder' : 'waiter', ttlMs, at), waitMs, lock: name, owner }
    this.leases.set(id, lease)
    if (lock === undefined) {
      this.locks.set(name, { holder: id, token: at, owner, queue: [] })
      return { type: 'lock-acquired', lease: id, token: at }
    }
    lock.queue.push(id)
    return { type: 'lock-queued', lease: id }
  }

  private end(id: number, lease: ModelLease, at: number) {
    const doomed = [...lease.keys].sort().slice(0, this.limits.endKeysMax)
    for (const key of doomed) this.unset(key)
    if (doomed.length > 0) this.revision = at
    const ending = { revision: this.revision, deleted: doomed.length, isDone: lease.keys.size === 0 }
    if (!ending.isDone) {
      lease.ending = true
      return ending
    }
    this.leases.delete(id)
    const lock = lease.lock === null ? undefined : this.locks.get(lease.lock)
    if (lock === undefined || lease.lock === null) return ending
    if (lease.use === 'waiter') lock.queue = lock.queue.filter((one) => one !== id)
    else this.passOn(lease.lock, lock, at)
    return ending
  }

  private passOn(name: string, lock: ModelLock, at: number): void {
    const next = lock.queue.shift()
    const lease = next === undefined ? undefined : this.leases.get(next)
    if (next === undefined || lease === undefined) {
      this.locks.delete(name)
      return
    }
    lease.use = 'holder'
    lease.renewedAt = at
    this.locks.set(name, { holder: next, token: at, owner: lease.owner, queue: lock.queue })
  }

  /** What differs between the model and the rows of `store`; null: nothing. */
  difference(store: BatchStore): string | null {
    const shown = JSON.stringify(this.shown())
    const found = JSON.stringify(shownRows(store))
    return shown === found ? null : `expected ${shown}\nfound    ${found}`
  }

  private shown(): unknown {
    const leases = [...this.leases]
      .sort(([a], [b]) => a - b)
      .map(([id, one]) => [id, one.use, one.ttlMs, one.renewedAt, one.ending, one.lock, [...one.keys].sort()])
    const locks = [...this.locks]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, one]) => [name, one.holder, one.token, one.owner, one.queue.length])
    return { leases, locks, counts: [this.leases.size, this.attachedKeys], revision: this.revision }
  }
}

function shownRows(store: BatchStore): unknown {
  const rows = [...store.rows].sort(([a], [b]) => (a < b ? -1 : 1))
  const inside = (first: string) => rows.filter(([row]) => row.startsWith(first))
  const id = (row: RowKey, at: number): number => Number(Buffer.from(row, 'latin1').readBigUInt64BE(at))
  const keysOf = new Map<number, string[]>()
  for (const [row] of inside('\x21')) keysOf.set(id(row, 1), [...(keysOf.get(id(row, 1)) ?? []), row.slice(9)])
  const leases = inside('\x20').map(([row, bytes]) => {
    const { use, ttlMs, renewedAt, isEnding } = decodeLease(bytes)
    const keys = use.type === 'key' ? [use.key] : (keysOf.get(id(row, 1)) ?? [])
    return [id(row, 1), use.type, ttlMs, renewedAt, isEnding, 'lock' in use ? use.lock : null, keys]
  })
  const locks = inside('\x30').map(([row, bytes]) => {
    const { lease, token, owner, waiting } = decodeLock(bytes)
    return [row.slice(1), lease, token, owner, waiting]
  })
  const { leases: counts, revision } = store.machine.state()
  return { leases, locks, counts: [counts.leases, counts.attachedKeys], revision }
}

/** Holds the rows against the checks of a node that receives them. */
export function receive(store: BatchStore): void {
  const received = new ReceivedRows()
  for (const [row, bytes] of [...store.rows].sort(([a], [b]) => (a < b ? -1 : 1))) received.accept(rowBytes(row), bytes)
  received.finish(store.machine.state(), store.options.idempotentWritesMax)
}

/** The leases that a lessor knows that was told of everything, with their lengths and what they are measured from. */
export class ToldOf {
  private readonly leases = new Map<number, string>()

  tell(events: readonly LeaseEvent[]): void {
    for (const event of events) {
      if (event.type === 'started') this.leases.set(event.lease, `${event.lengthMs} ${event.revision}`)
      if (event.type === 'ended') this.leases.delete(event.lease)
    }
  }

  difference(store: BatchStore): string | null {
    const rows = [...store.rows].filter(([row]) => row.startsWith('\x20') && !isHistoryRow(row))
    const expected = rows.map(([row, bytes]) => {
      const lease = decodeLease(bytes)
      const id = Number(Buffer.from(row, 'latin1').readBigUInt64BE(1))
      return `${id} ${lengthOf(lease)} ${lease.renewedAt}`
    })
    const told = [...this.leases].map(([id, what]) => `${id} ${what}`)
    const [one, other] = [expected.sort().join(), told.sort().join()]
    return one === other ? null : `expected ${one}\ntold     ${other}`
  }
}

function holderOf({ holder, token, owner }: ModelLock) {
  return { lease: holder, token, owner }
}

function fresh(use: ModelLease['use'], ttlMs: number, at: number): ModelLease {
  assert(ttlMs > 0, 'a lease has a length')
  return { ttlMs, waitMs: 0, renewedAt: at, use, lock: null, owner: '', ending: false, keys: new Set() }
}
