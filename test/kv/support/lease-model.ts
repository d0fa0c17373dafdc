import {
  ReceivedRows,
  attachmentOfRow,
  decodeLease,
  decodeLock,
  isHistoryRow,
  leaseOfRow,
  lengthOf,
  rowBytes,
  waiterOfRow,
} from '../../../src/kv/index.ts'
import type {
  CommandResult,
  Key,
  KeyLease,
  KeyRecord,
  Lease,
  LeaseCommand,
  LeaseEvent,
  LeaseLimits,
  LeasesState,
  Lock,
  RowKey,
} from '../../../src/kv/index.ts'
import { assert } from '../../../src/lib/assert.ts'
import type { BatchStore } from './batch-store.ts'
import type { StoredRows } from './stored-past.ts'
import { rowBytesOf } from './transaction-model.ts'

interface ModelLease {
  readonly ttlMs: number
  readonly waitMs: number
  renewedAt: number
  use: 'keys' | 'key' | 'holder' | 'waiter'
  readonly lock: Key | null
  readonly owner: string
  /** The name of the token that it was granted to; empty: none, or it is that of one key. */
  readonly grantee: string
  ending: boolean
  hasKeys: boolean
  readonly keys: Set<Key>
}

interface ModelLock {
  readonly holder: number
  readonly token: number
  readonly owner: string
  readonly queue: number[]
}

/** The records among which leases have their keys. */
export interface ModelKeys {
  readonly current: ReadonlyMap<Key, KeyRecord>
  /** The last revision at which a record changed. */
  readonly revision: () => number
  readonly remove: (key: Key, at: number) => void
}

/** What the state of a machine holds of leases and locks: their numbers, and each of their rows in words. */
export interface ModelLeases {
  readonly counts: LeasesState
  readonly rows: readonly string[]
}

/**
 * What happened to a lease. `started`: by its grant, a renewal, or when it received the lock for which it waited. `ending`: some of its keys
 * are removed.
 */
export interface LeaseMoment {
  readonly type: 'started' | 'ending' | 'ended'
  readonly lease: number
  readonly use: ModelLease['use']
  readonly lock: Key | null
  /** For how long it lasts from its last start on. */
  readonly lengthMs: number
  /** The index of the entry that has started it last. */
  readonly startedAt: number
  readonly index: number
}

/** A key that is to be written. `lease` null: it gets one of its own. */
interface LeasedKey {
  readonly lease: number | null
  readonly current: KeyRecord | null
}

type Refusal = Extract<CommandResult, { type: 'lease-not-found' | 'too-many-attached-keys' | 'too-many-leases' }>

const GRANTED = 1_000_000_000_000_000
const OF_KEY = 2_000_000_000_000_000
const OF_LOCK = 3_000_000_000_000_000

/** Leases and locks as the documents describe them, on plain maps. */
export class LeaseModel {
  readonly leases = new Map<number, ModelLease>()
  readonly locks = new Map<Key, ModelLock>()
  /** All that has ever happened, in the order of the log. */
  readonly moments: LeaseMoment[] = []
  private readonly limits: LeaseLimits
  private readonly store: ModelKeys
  private shown: ModelLeases | null = null

  constructor(limits: LeaseLimits, store: ModelKeys) {
    this.limits = limits
    this.store = store
  }

  get attachedKeys(): number {
    return [...this.leases.values()].reduce((sum, { keys }) => sum + keys.size, 0)
  }

  /** It changes no more. */
  state(): ModelLeases {
    this.shown ??= { counts: this.counts(), rows: this.rows().sort() }
    return this.shown
  }

  /** `grantee`: the name of the token behind the command. */
  execute(command: LeaseCommand, at: number, grantee: string): CommandResult {
    this.shown = null
    switch (command.type) {
      case 'lease-grant':
        return this.grant({ ...command, grantee }, at)
      case 'lease-renew': {
        const lease = this.leases.get(command.id)
        if (lease === undefined || lease.ending || lease.use === 'waiter')
          return { type: 'lease-not-found', lease: command.id }
        lease.renewedAt = at
        this.tell('started', command.id, lease, at)
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
        return this.acquire({ ...command, grantee }, at)
      case 'lock-release': {
        const lock = this.locks.get(command.name)
        const lease = this.leases.get(command.lease)
        if (lock?.holder !== command.lease || lease === undefined)
          return { type: 'lock-not-held', holder: lock === undefined ? null : holderOf(lock) }
        return { type: 'lock-released', ...this.end(command.lease, lease, at) }
      }
    }
  }

  /** Why these keys cannot be written; null when they can. */
  refuseKeys(keys: readonly LeasedKey[]): Refusal | null {
    for (const { lease } of keys) {
      const found = lease === null ? null : this.leases.get(lease)
      if (lease === null || found === null) continue
      if (found === undefined || found.ending || found.use === 'key' || found.use === 'waiter')
        return { type: 'lease-not-found', lease }
    }
    const more = keys.filter(({ current }) => current === null || current.lease === 0).length
    const limit = this.limits.attachedKeysMax
    return more > 0 && this.attachedKeys + more > limit ? { type: 'too-many-attached-keys', limit } : null
  }

  refuseKey(lease: KeyLease, current: KeyRecord | null): Refusal | null {
    if (lease.type === 'granted') return this.refuseKeys([{ lease: lease.id, current }])
    const replaced = this.leases.get(current?.lease ?? 0)?.use === 'key' ? 1 : 0
    const limit = this.limits.leasesMax
    const isFull = this.leases.size - replaced >= limit
    return this.refuseKeys([{ lease: null, current }]) ?? (isFull ? { type: 'too-many-leases', limit } : null)
  }

  /** The lease of a key that is written at `at`; 0: none. */
  leaseFor(lease: KeyLease | undefined, at: number): number {
    if (lease === undefined) return 0
    if (lease.type === 'granted') return lease.id
    this.add(OF_KEY + at, fresh('key', lease.ttlMs, at), at)
    return OF_KEY + at
  }

  /** `key` belonged to the lease `from`, and from now on to `to`; 0: to none. */
  move(key: Key, from: number, to: number, at: number): void {
    if (from === to) return
    this.shown = null
    const before = this.leases.get(from)
    before?.keys.delete(key)
    if (before?.use === 'key') this.remove(from, before, at)
    const after = this.leases.get(to)
    if (to === 0) return
    assert(after !== undefined, 'a key belongs to a lease that is there')
    after.keys.add(key)
    after.hasKeys = true
  }

  private grant(
    { id: chosen, ttlMs, grantee }: Extract<LeaseCommand, { type: 'lease-grant' }> & { readonly grantee: string },
    at: number,
  ): CommandResult {
    const id = chosen ?? GRANTED + at
    if (this.leases.has(id)) return { type: 'lease-exists', lease: id }
    const limit = this.limits.leasesMax
    if (this.leases.size === limit) return { type: 'too-many-leases', limit }
    this.add(id, { ...fresh('keys', ttlMs, at), grantee }, at)
    return { type: 'lease-granted', lease: id, ttlMs }
  }

  private acquire(
    {
      name,
      ttlMs,
      waitMs,
      owner,
      grantee,
    }: Extract<LeaseCommand, { type: 'lock-acquire' }> & { readonly grantee: string },
    at: number,
  ): CommandResult {
    const lock = this.locks.get(name)
    if (lock !== undefined && waitMs === 0) return { type: 'lock-held', holder: holderOf(lock) }
    const limit = this.limits.leasesMax
    if (this.leases.size === limit) return { type: 'too-many-leases', limit }
    const id = OF_LOCK + at
    const use = lock === undefined ? 'holder' : 'waiter'
    this.add(id, { ...fresh(use, ttlMs, at), waitMs, lock: name, owner, grantee }, at)
    if (lock === undefined) {
      this.locks.set(name, { holder: id, token: at, owner, queue: [] })
      return { type: 'lock-acquired', lease: id, token: at }
    }
    lock.queue.push(id)
    return { type: 'lock-queued', lease: id }
  }

  private end(id: number, lease: ModelLease, at: number) {
    const doomed = this.removable(lease)
    for (const key of doomed) this.store.remove(key, at)
    const isDone = lease.keys.size === 0
    const ending = { revision: this.store.revision(), deleted: doomed.length, isDone }
    if (!isDone) {
      lease.ending = true
      this.tell('ending', id, lease, at)
      return ending
    }
    // The lease of one key has gone with the key.
    if (lease.use !== 'key') this.remove(id, lease, at)
    const lock = lease.lock === null ? undefined : this.locks.get(lease.lock)
    if (lock === undefined || lease.lock === null) return ending
    if (lease.use === 'holder') this.passOn(lease.lock, lock, at)
    else lock.queue.splice(lock.queue.indexOf(id), 1)
    return ending
  }

  /** The first keys of a lease that one entry removes: up to the one with which there are too many, or too many bytes. */
  private removable({ keys }: ModelLease): Key[] {
    const { endKeysMax, endBytesMax } = this.limits
    const doomed: Key[] = []
    let bytes = 0
    for (const key of [...keys].sort()) {
      if (doomed.length === endKeysMax || bytes > endBytesMax) break
      doomed.push(key)
      bytes += rowBytesOf(key, this.store.current.get(key))
    }
    return doomed
  }

  private passOn(name: Key, { queue }: ModelLock, at: number): void {
    const next = queue.shift()
    const lease = next === undefined ? undefined : this.leases.get(next)
    if (next === undefined || lease === undefined) {
      this.locks.delete(name)
      return
    }
    lease.use = 'holder'
    lease.renewedAt = at
    this.locks.set(name, { holder: next, token: at, owner: lease.owner, queue })
    this.tell('started', next, lease, at)
  }

  private add(id: number, lease: ModelLease, at: number): void {
    this.shown = null
    this.leases.set(id, lease)
    this.tell('started', id, lease, at)
  }

  private remove(id: number, lease: ModelLease, at: number): void {
    this.leases.delete(id)
    this.tell('ended', id, lease, at)
  }

  private tell(type: LeaseMoment['type'], id: number, lease: ModelLease, index: number): void {
    const { use, lock, ttlMs, waitMs, renewedAt: startedAt } = lease
    const lengthMs = use === 'waiter' ? waitMs : ttlMs
    this.moments.push({ type, lease: id, use, lock, lengthMs, startedAt, index })
  }

  private counts(): LeasesState {
    const lockWaiters = [...this.locks.values()].reduce((sum, { queue }) => sum + queue.length, 0)
    return { leases: this.leases.size, attachedKeys: this.attachedKeys, locks: this.locks.size, lockWaiters }
  }

  private rows(): string[] {
    const leases = [...this.leases].flatMap(([id, lease]) => {
      const { use, ttlMs, waitMs, renewedAt, ending, lock, owner, grantee, hasKeys, keys } = lease
      const token = use === 'holder' && lock !== null ? (this.locks.get(lock)?.token ?? null) : null
      const facts = { use, ttlMs, renewedAt, ending, lock, owner, grantee, token }
      const wait = use === 'waiter' ? waitMs : null
      const own = use === 'key' ? ([...keys][0] ?? null) : null
      const attached = use === 'key' ? [] : [...keys].map((key) => attachmentText(id, key))
      return [leaseText(id, { ...facts, waitMs: wait, key: own, hasKeys: use !== 'key' && hasKeys }), ...attached]
    })
    const locks = [...this.locks].flatMap(([name, { holder, token, owner, queue }]) => [
      lockText(name, { lease: holder, token, owner, waiting: queue.length }),
      ...queue.map((lease) => waiterText(name, lease)),
    ])
    return [...leases, ...locks]
  }
}

/** What is wrong with the rows of leases and locks among `rows`; null when nothing is. */
export function leasesFault(rows: StoredRows, expected: ModelLeases): string | null {
  const seen = rows.keys().flatMap((row) => textOfRow(row as RowKey, rows.get(row) ?? new Uint8Array(0)) ?? [])
  const [one, other] = [new Set(seen), new Set(expected.rows)]
  const missing = expected.rows.find((text) => !one.has(text))
  const extra = seen.find((text) => !other.has(text))
  if (missing === undefined && extra === undefined) return null
  return `shows of leases ${extra ?? 'nothing'} where ${missing ?? 'nothing'} belongs`
}

/** The row in words; null when it is none of a lease or a lock. */
function textOfRow(row: RowKey, bytes: Uint8Array): string | null {
  switch (row[0]) {
    case '\x20':
      return leaseInWords(leaseOfRow(row) ?? -1, decodeLease(bytes))
    case '\x21': {
      const found = attachmentOfRow(row)
      return attachmentText(found?.lease ?? -1, found?.key ?? '')
    }
    case '\x30':
      return lockText(row.slice(1), decodeLock(bytes))
    case '\x31': {
      const found = waiterOfRow(row)
      return waiterText(found?.lock ?? '', found?.lease ?? -1)
    }
    default:
      return null
  }
}

/** A lease that a node tells of, as the model says it. */
export function leaseInWords(id: number, { use, ttlMs, renewedAt, isEnding: ending, grantee }: Lease): string {
  return leaseText(id, {
    use: use.type,
    ttlMs,
    renewedAt,
    ending,
    lock: 'lock' in use ? use.lock : null,
    owner: 'owner' in use ? use.owner : '',
    grantee,
    token: use.type === 'holder' ? use.token : null,
    waitMs: use.type === 'waiter' ? use.waitMs : null,
    key: use.type === 'key' ? use.key : null,
    hasKeys: 'hasKeys' in use && use.hasKeys,
  })
}

/** The leases among the rows, with their ids. */
export function leasesAmong({ rows }: ModelLeases): { readonly id: number; readonly words: string }[] {
  return rows.flatMap((words) => {
    const [, id] = LEASE_TEXT.exec(words) ?? []
    return id === undefined ? [] : [{ id: Number(id), words }]
  })
}

/** The keys that go with a lease, in their order. */
export function keysOf({ rows }: ModelLeases, id: number): Key[] {
  const found = rows.find((words) => words.startsWith(`lease ${id} [`))
  const facts = found === undefined ? null : (JSON.parse(found.slice(found.indexOf('['))) as unknown[])
  if (facts?.[0] === 'key') return [facts[KEY_FACT] as Key]
  const end = ` of lease ${id}`
  const keys = rows.flatMap((words) =>
    words.startsWith('key ') && words.endsWith(end) ? [JSON.parse(words.slice(4, -end.length)) as Key] : [],
  )
  return keys.sort()
}

/** Where the text of a lease has the name of its lock, and the key that the lease is of. */
const LOCK_FACT = 4
const KEY_FACT = 9

/** The name of the lock that a lease is for; null: for none, or there is no such lease. */
export function lockOf({ rows }: ModelLeases, id: number): Key | null {
  const found = rows.find((words) => words.startsWith(`lease ${id} [`))
  const facts = found === undefined ? null : (JSON.parse(found.slice(found.indexOf('['))) as unknown[])
  return (facts?.[LOCK_FACT] ?? null) as Key | null
}

/** The locks that somebody holds, in the order of their names. */
export function locksAmong({ rows }: ModelLeases): { readonly name: Key; readonly words: string }[] {
  return rows
    .filter((words) => words.startsWith('lock '))
    .map((words) => ({ name: (JSON.parse(words.slice(5)) as [Key])[0], words }))
    .sort((one, other) => (one.name < other.name ? -1 : 1))
}

/** A lock that a node tells of, as the model says it. */
export function lockInWords(name: Key, lock: Lock): string {
  return lockText(name, lock)
}

/** Who waits for a lock, in the order in which they came: their leases, and what they say of themselves. */
export function waitersOf({ rows }: ModelLeases, name: Key): { readonly lease: number; readonly owner: string }[] {
  return rows
    .flatMap((words) => {
      const [, id, facts] = LEASE_FACTS.exec(words) ?? []
      if (id === undefined || facts === undefined) return []
      const [use, , , , lock, owner] = JSON.parse(facts) as [string, number, number, boolean, Key | null, string]
      return use === 'waiter' && lock === name ? [{ lease: Number(id), owner }] : []
    })
    .sort((one, other) => one.lease - other.lease)
}

const LEASE_TEXT = /^lease (\d+) \[/
const LEASE_FACTS = /^lease (\d+) (\[.*)$/

interface LeaseFacts {
  readonly use: ModelLease['use']
  readonly ttlMs: number
  readonly renewedAt: number
  readonly ending: boolean
  readonly lock: Key | null
  readonly owner: string
  readonly grantee: string
  readonly token: number | null
  readonly waitMs: number | null
  readonly key: Key | null
  readonly hasKeys: boolean
}

function leaseText(id: number, facts: LeaseFacts): string {
  const { use, ttlMs, renewedAt, ending, lock, owner, grantee, token, waitMs, key, hasKeys } = facts
  return `lease ${id} ${JSON.stringify([use, ttlMs, renewedAt, ending, lock, owner, grantee, token, waitMs, key, hasKeys])}`
}

function attachmentText(lease: number, key: string): string {
  return `key ${JSON.stringify(key)} of lease ${lease}`
}

function lockText(
  name: string,
  { lease, token, owner, waiting }: { lease: number; token: number; owner: string; waiting: number },
): string {
  return `lock ${JSON.stringify([name, lease, token, owner, waiting])}`
}

function waiterText(name: string, lease: number): string {
  return `lease ${lease} waits for ${JSON.stringify(name)}`
}

function holderOf({ holder, token, owner }: ModelLock) {
  return { lease: holder, token, owner }
}

function fresh(use: ModelLease['use'], ttlMs: number, at: number): ModelLease {
  assert(ttlMs > 0, 'a lease has a length')
  const nothing = { waitMs: 0, lock: null, owner: '', grantee: '', ending: false, hasKeys: false }
  return { ttlMs, renewedAt: at, use, ...nothing, keys: new Set() }
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
