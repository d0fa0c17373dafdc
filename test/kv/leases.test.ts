import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import {
  commandFault,
  decodeCommand,
  decodeLease,
  decodeLock,
  encodeCommand,
  encodeLease,
  encodeLock,
  leaseOfRow,
  leaseRange,
  leaseRow,
  lengthOf,
  levelOf,
  lockOfRow,
  lockRange,
  lockRow,
  lockWaiterRow,
  ReceivedRows,
  attachmentRange,
  attachmentRow,
  rowBytes,
  UnknownCommandError,
  UnreadableStateError,
} from '../../src/kv/index.ts'
import type {
  Command,
  CommandResult,
  NameableCommand,
  Lease,
  LeaseResult,
  PutCommand,
  RowKey,
} from '../../src/kv/index.ts'
import { decodeIdempotentWrite, encodeIdempotentWrite } from '../../src/kv/idempotent-write.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { limits } from '../../src/limits.ts'
import { BatchStore, del, deleteRange, key, put, fingerprintOf } from './support/batch-store.ts'
import { leasesFault, receive, ToldOf } from './support/lease-model.ts'
import { ReferenceModel } from './support/reference-model.ts'

const NOW = { idempotency: null }
const GRANTED = 1_000_000_000_000_000
const OF_KEY = 2_000_000_000_000_000
const OF_LOCK = 3_000_000_000_000_000

const raise: Command = {
  type: 'raise-level',
  level: 1,
  version: '1.0.0',
  retention: { revisions: 1000, ageMs: 0, bytes: 1_000_000 },
  idempotency: null,
}
const grant = (id: number | null, ttlMs = 5_000): NameableCommand => ({ type: 'lease-grant', id, ttlMs, ...NOW })
const renew = (id: number): NameableCommand => ({ type: 'lease-renew', id, ...NOW })
const revoke = (id: number, ifRenewedAt: number | null = null): NameableCommand => ({
  type: 'lease-revoke',
  id,
  ifRenewedAt,
  ...NOW,
})
const acquire = (name: string, waitMs = 0, owner = '', ttlMs = 5_000): NameableCommand => ({
  type: 'lock-acquire',
  name: key(name),
  ttlMs,
  waitMs,
  owner,
  ...NOW,
})
const release = (name: string, lease: number): NameableCommand => ({
  type: 'lock-release',
  name: key(name),
  lease,
  ...NOW,
})
const attached = (text: string, id: number): PutCommand => put(text, text, { lease: { type: 'granted', id } })
const own = (text: string, ttlMs = 3_000): PutCommand => put(text, text, { lease: { type: 'own', ttlMs } })

/** A store at level 1: its first command has raised the level. */
function levelOne(options: ConstructorParameters<typeof BatchStore>[0] = {}): BatchStore {
  const store = new BatchStore(options)
  store.one(raise)
  return store
}

function keysOf(store: BatchStore): string[] {
  return [...store.records().keys()]
}

t.test(
  'a lease has the id that its client chose, or one that no client can choose and no other lease gets',
  async (t) => {
    const store = levelOne()
    t.same(store.one(grant(7)), { type: 'lease-granted', lease: 7, ttlMs: 5_000 })
    t.same(store.one(grant(7)), { type: 'lease-exists', lease: 7 })
    t.same(store.one(grant(null)), { type: 'lease-granted', lease: GRANTED + 4, ttlMs: 5_000 })
    t.ok(GRANTED > limits.lease.idMax)
    t.match(store.one(revoke(GRANTED + 4)), { type: 'lease-revoked', isDone: true })
    t.match(store.one(grant(null)), { lease: GRANTED + 6 })
    t.equal(store.machine.state().revision, 0, 'no record changed')
    t.equal(store.machine.level, 1)
    const { start, end } = leaseRange(7)
    const above = [...store.rows.keys()].filter((row) => row >= start && end !== null && row < end)
    t.same(above.map(leaseOfRow), [GRANTED + 6])
  },
)

t.test('keys that are attached go with the lease, in one change', async (t) => {
  const store = levelOne()
  store.execute(grant(7), grant(8), attached('a', 7), attached('b', 7), attached('c', 8), put('d', 'free'))
  t.match(store.record(key('a')), { lease: 7 })
  t.same(store.one(revoke(7)), { type: 'lease-revoked', lease: 7, revision: 8, deleted: 2, isDone: true })
  t.same(keysOf(store), ['c', 'd'])
  t.same(
    store.machine.lastChanges()?.changes.map(({ kind, key: name }) => [kind, name]),
    [
      ['delete', 'a'],
      ['delete', 'b'],
    ],
  )
  t.match(store.machine.state().leases, { leases: 1, attachedKeys: 1 })
})

t.test('a key belongs to the lease that its last write named', async (t) => {
  const store = levelOne()
  store.execute(
    grant(7),
    grant(8),
    attached('moved', 7),
    attached('left', 7),
    attached('deleted', 7),
    attached('r1', 7),
  )
  store.execute(attached('moved', 8), put('left', 'alone'), del('deleted'), attached('again', 7), attached('again', 7))
  store.one(deleteRange('r', 's'))
  store.one(put('r1', 'new'))
  t.match(store.machine.state().leases, { leases: 2, attachedKeys: 2 })
  t.match(store.one(revoke(7)), { deleted: 1 })
  t.same(keysOf(store), ['left', 'moved', 'r1'])
  t.match(store.one(revoke(8)), { deleted: 1 })
  t.match(store.machine.state().leases, { leases: 0, attachedKeys: 0 })
})

t.test('no key is attached to a lease that is not there: nothing is written', async (t) => {
  const store = levelOne()
  t.same(store.one(attached('a', 7)), { type: 'lease-not-found', lease: 7 })
  store.one(own('k'))
  t.same(store.one(attached('a', OF_KEY + 3)), { type: 'lease-not-found', lease: OF_KEY + 3 }, 'that of another key')
  store.execute(acquire('l'), acquire('l', 1_000))
  t.same(store.one(attached('a', OF_LOCK + 6)), { type: 'lease-not-found', lease: OF_LOCK + 6 }, 'one that waits')
  t.match(store.one(attached('a', OF_LOCK + 5)), { type: 'put' }, 'one that holds a lock takes keys')
  t.same(keysOf(store), ['a', 'k'])
  const after = attachmentRange(OF_LOCK + 5, key('a'))
  t.ok(attachmentRow(OF_LOCK + 5, key('a')) < after.start && attachmentRow(OF_LOCK + 5, key('a\0')) >= after.start)
  store.one(revoke(OF_LOCK + 5))
  t.same(keysOf(store), ['k'])
})

t.test('a key with a time to live has a lease of its own, which ends with it, however it goes', async (t) => {
  const store = levelOne()
  store.execute(own('a'), own('b'), own('c'), own('d'))
  t.match(store.record(key('a')), { lease: OF_KEY + 2 })
  t.match(store.machine.state().leases, { leases: 4, attachedKeys: 4 })
  store.execute(own('a'), put('b', 'for ever'), del('c'))
  t.match(store.record(key('a')), { lease: OF_KEY + 6 }, 'another write begins another time')
  t.same(store.one(revoke(OF_KEY + 2)), { type: 'lease-not-found', lease: OF_KEY + 2 })
  t.match(store.one(renew(OF_KEY + 6)), { type: 'lease-renewed', ttlMs: 3_000 })
  t.match(store.one(revoke(OF_KEY + 6)), { type: 'lease-revoked', deleted: 1, isDone: true })
  t.same(keysOf(store), ['b', 'd'])
  store.one(deleteRange(null, null))
  t.match(store.machine.state().leases, { leases: 0, attachedKeys: 0 })
  receive(store)
})

t.test('a renewal that came first in the log wins over the end that was decided on before it', async (t) => {
  const store = levelOne()
  store.execute(grant(7), attached('a', 7), renew(7))
  t.same(store.one(revoke(7, 2)), { type: 'lease-kept', lease: 7, renewedAt: 4 })
  t.same(keysOf(store), ['a'])
  t.match(store.one(revoke(7, 4)), { type: 'lease-revoked', deleted: 1, isDone: true })
  t.same(store.one(renew(7)), { type: 'lease-not-found', lease: 7 })
  t.same(store.one(revoke(7, 4)), { type: 'lease-not-found', lease: 7 })
})

t.test('a lease with many keys ends in several entries, and takes neither keys nor renewals meanwhile', async (t) => {
  const store = levelOne()
  store.one(grant(7))
  for (let at = 0; at < 25; at++) store.one(attached(`k${String(at).padStart(2, '0')}`, 7))
  t.match(store.one(revoke(7, 2)), { type: 'lease-revoked', deleted: 10, isDone: false })
  t.same(store.one(attached('late', 7)), { type: 'lease-not-found', lease: 7 })
  t.same(store.one(renew(7)), { type: 'lease-not-found', lease: 7 })
  t.match(store.one(grant(7)), { type: 'lease-exists' })
  receive(store)
  t.match(store.one(del('k20')), { deleted: 1 })
  t.match(store.restored().one(revoke(7, 99)), { deleted: 10, isDone: false }, 'whoever goes on with it')
  t.match(store.one(revoke(7)), { deleted: 10, isDone: false })
  t.match(store.one(revoke(7)), { deleted: 4, isDone: true })
  t.same(keysOf(store), [])
  t.match(store.machine.state().leases, { leases: 0, attachedKeys: 0 })
})

t.test('the bytes of what one entry removes of a lease are limited; it removes one key at least', async (t) => {
  const store = levelOne({ leases: { leasesMax: 10, attachedKeysMax: 10, endKeysMax: 10, endBytesMax: 100 } })
  store.one(grant(7))
  for (const name of ['a', 'b', 'c']) store.one({ ...attached(name, 7), value: Buffer.alloc(150) })
  t.match(store.one(revoke(7)), { deleted: 1, isDone: false })
  t.match(store.one(revoke(7)), { deleted: 1, isDone: false })
  t.match(store.one(revoke(7)), { deleted: 1, isDone: true })
})

t.test('leases and attached keys are counted, and those beyond the limit refused', async (t) => {
  const store = levelOne({ leases: { leasesMax: 3, attachedKeysMax: 2, endKeysMax: 10, endBytesMax: 100 } })
  const tooMany = { type: 'too-many-leases', limit: 3 }
  const tooManyKeys = { type: 'too-many-attached-keys', limit: 2 }
  store.execute(grant(1), own('a'), acquire('l'))
  for (const one of [grant(2), grant(null), own('b'), acquire('m'), acquire('l', 1_000)])
    t.same(store.one(one), tooMany, one.type)
  t.match(store.one(own('a')), { type: 'put' }, 'in place of the lease that the key had')
  t.match(store.one(attached('b', 1)), { type: 'put' })
  t.same(store.one(attached('c', 1)), tooManyKeys)
  t.same(store.one(own('c')), tooManyKeys)
  t.match(store.one(attached('a', 1)), { type: 'put' }, 'it is attached already')
  t.match(store.one(grant(2)), { type: 'lease-granted' })
  t.same(store.one(attached('c', 9)), { type: 'lease-not-found', lease: 9 })
})

t.test('a write whose condition does not hold grants nothing', async (t) => {
  const store = levelOne()
  store.one(put('a', '1'))
  t.match(store.one({ ...own('a'), condition: { type: 'absent' } }), { type: 'condition-failed' })
  t.match(store.machine.state().leases, { leases: 0, attachedKeys: 0 })
})

t.test('transactions attach keys, and compare leases', async (t) => {
  const store = levelOne()
  store.execute(grant(7), put('a', '1'))
  const operation = (name: string, lease?: number) => {
    const plain = { type: 'put', key: key(name), value: Buffer.from(name), wantsPrevious: false } as const
    return lease === undefined ? plain : { ...plain, lease }
  }
  const transaction = (lease: number, ...names: readonly string[]): NameableCommand => ({
    type: 'transaction',
    compares: [{ key: key('a'), target: 'lease', operator: '=', value: 0 }],
    success: names.map((name) => operation(name, lease)),
    failure: [operation('a'), { type: 'delete', key: key('b'), wantsPrevious: false }],
    idempotency: null,
  })
  t.same(store.one(transaction(8, 'a', 'x')), { type: 'lease-not-found', lease: 8 })
  t.same(keysOf(store), ['a'], 'nothing is done')
  t.match(store.one(transaction(7, 'a', 'b', 'c')), { type: 'transaction', succeeded: true })
  t.match(store.machine.state().leases, { leases: 1, attachedKeys: 3 })
  t.match(store.one(transaction(8, 'a')), { type: 'transaction', succeeded: false }, 'only what is carried out counts')
  t.match(store.record(key('a')), { lease: 0 })
  t.match(store.machine.state().leases, { leases: 1, attachedKeys: 1 })
  const small = levelOne({ leases: { leasesMax: 3, attachedKeysMax: 2, endKeysMax: 10, endBytesMax: 100 } })
  small.execute(grant(7), put('a', '1'))
  t.same(small.one(transaction(7, 'a', 'b', 'c')), { type: 'too-many-attached-keys', limit: 2 })
  t.same(keysOf(small), ['a'])
})

t.test('a lock has one holder; its token is the revision of the entry that gave it', async (t) => {
  const store = levelOne()
  t.same(store.one(acquire('l', 0, 'one')), { type: 'lock-acquired', lease: OF_LOCK + 2, token: 2 })
  const holder = { lease: OF_LOCK + 2, token: 2, owner: 'one' }
  t.same(store.one(acquire('l')), { type: 'lock-held', holder })
  t.same(store.one(release('l', OF_LOCK + 9)), { type: 'lock-not-held', holder })
  t.same(store.one(release('m', OF_LOCK + 2)), { type: 'lock-not-held', holder: null })
  t.match(store.one(acquire('m')), { type: 'lock-acquired' }, 'another lock')
  t.same(store.one(release('l', OF_LOCK + 2)), { type: 'lock-released', revision: 0, deleted: 0, isDone: true })
  t.same(store.one(release('l', OF_LOCK + 2)), { type: 'lock-not-held', holder: null })
  t.match(store.one(acquire('l')), { type: 'lock-acquired', token: 9 })
})

t.test('those who wait for a lock get it in their order, in the entry that ends the lease before', async (t) => {
  const store = levelOne()
  store.execute(
    acquire('l', 0, 'a'),
    acquire('l', 1_000, 'b', 2_000),
    acquire('l', 9_000, 'c'),
    acquire('l', 1_000, 'd'),
  )
  store.machine.takeLeaseEvents()
  t.match(store.machine.state().leases, { leases: 4, locks: 1, lockWaiters: 3 })
  t.match(store.one(renew(OF_LOCK + 3)), { type: 'lease-not-found' }, 'a wait is not made longer')
  t.match(store.one(revoke(OF_LOCK + 4)), { type: 'lease-revoked', deleted: 0, isDone: true }, 'c leaves')
  receive(store)
  t.match(store.machine.state().leases, { leases: 3, locks: 1, lockWaiters: 2 })
  store.machine.takeLeaseEvents()
  store.one(release('l', OF_LOCK + 2))
  t.same(store.machine.takeLeaseEvents(), [
    { type: 'ended', lease: OF_LOCK + 2 },
    { type: 'started', lease: OF_LOCK + 3, lengthMs: 2_000, revision: 8 },
    { type: 'lock-acquired', lease: OF_LOCK + 3, token: 8 },
  ])
  t.same(store.machine.takeLeaseEvents(), [])
  t.same(store.one(acquire('l')), { type: 'lock-held', holder: { lease: OF_LOCK + 3, token: 8, owner: 'b' } })
  t.match(store.one(revoke(OF_LOCK + 3, 3)), { type: 'lease-kept', renewedAt: 8 }, 'it has begun anew with the lock')
  t.match(store.one(renew(OF_LOCK + 3)), { type: 'lease-renewed', ttlMs: 2_000 })
  store.one(revoke(OF_LOCK + 3, 11))
  t.same(store.one(acquire('l')), { type: 'lock-held', holder: { lease: OF_LOCK + 5, token: 12, owner: 'd' } })
  t.match(store.machine.state().leases, { leases: 1, locks: 1, lockWaiters: 0 })
  store.one(release('l', OF_LOCK + 5))
  t.match(store.machine.state().leases, { leases: 0, locks: 0, lockWaiters: 0 })
  t.same(
    [...store.rows.keys()].filter((row) => row >= '\x20'),
    [],
    'nothing is left',
  )
})

t.test('a lock passes on when the last of the keys of its lease is gone', async (t) => {
  const store = levelOne()
  store.execute(acquire('l'), acquire('l', 1_000))
  for (let at = 0; at < 12; at++) store.one(attached(`k${at}`, OF_LOCK + 2))
  t.match(store.one(release('l', OF_LOCK + 2)), { type: 'lock-released', deleted: 10, isDone: false })
  t.match(store.one(acquire('l')), { type: 'lock-held', holder: { lease: OF_LOCK + 2 } })
  t.match(store.one(release('l', OF_LOCK + 2)), { type: 'lock-released', deleted: 2, isDone: true })
  t.match(store.one(acquire('l')), { type: 'lock-held', holder: { lease: OF_LOCK + 3 } })
})

t.test('a retry of a named command gets the first answer, whatever that was', async (t) => {
  const store = levelOne()
  const commands: NameableCommand[] = [
    grant(7),
    grant(7),
    grant(null),
    renew(7),
    renew(8),
    attached('a', 8),
    own('k'),
    revoke(7, 1),
    acquire('l', 0, 'é'),
    acquire('l', 5_000),
    acquire('l', 0),
    release('l', 9),
    release('m', 9),
    release('l', OF_LOCK + 10),
    revoke(7),
  ]
  for (const [at, command] of commands.entries()) {
    const named = { ...command, idempotency: { key: `n${at}`, fingerprint: fingerprintOf(command) } }
    const first = store.one(named)
    t.same(store.one(named), first, `${command.type} ${first.type}`)
    t.same(store.restored().one(named), first)
    t.same(store.one({ ...named, idempotency: { key: `n${at}`, fingerprint: 1 } }), { type: 'key-reused' })
  }
})

const RESULTS: readonly LeaseResult[] = [
  { type: 'lease-granted', lease: 7, ttlMs: 1_000 },
  { type: 'lease-exists', lease: 7 },
  { type: 'lease-renewed', lease: 7, ttlMs: 1_000 },
  { type: 'lease-not-found', lease: 7 },
  { type: 'lease-revoked', lease: 7, revision: 9, deleted: 3, isDone: false },
  { type: 'lease-kept', lease: 7, renewedAt: 6 },
  { type: 'too-many-leases', limit: 100 },
  { type: 'too-many-attached-keys', limit: 100 },
  { type: 'lock-acquired', lease: 7, token: 5 },
  { type: 'lock-queued', lease: 7 },
  { type: 'lock-held', holder: { lease: 7, token: 5, owner: 'wer?' } },
  { type: 'lock-released', revision: 9, deleted: 3, isDone: true },
  { type: 'lock-not-held', holder: { lease: 7, token: 5, owner: '' } },
  { type: 'lock-not-held', holder: null },
]

t.test('results are kept whole, and damaged ones noticed', async (t) => {
  for (const result of RESULTS) {
    const bytes = encodeIdempotentWrite({ fingerprint: 1, result, valueApart: false })
    t.same(decodeIdempotentWrite(bytes).result, result)
    t.throws(() => decodeIdempotentWrite(bytes.subarray(0, bytes.length - 1)), UnreadableStateError)
    t.throws(() => decodeIdempotentWrite(Buffer.concat([bytes, Buffer.of(0)])), UnreadableStateError)
  }
  const [first] = RESULTS
  const bytes = first === undefined ? null : encodeIdempotentWrite({ fingerprint: 1, result: first, valueApart: false })
  if (bytes !== null) bytes[34] = 99
  t.throws(() => decodeIdempotentWrite(bytes ?? Buffer.alloc(0)), /of a type that this build does not know/)
})

const COMMANDS: readonly Command[] = [
  grant(null),
  grant(limits.lease.idMax, limits.lease.ttlMsMax),
  renew(GRANTED + 5),
  revoke(OF_KEY + 5),
  revoke(7, 0),
  acquire('a/b', limits.lockWaitMsMax, 'ö'.repeat(100), limits.lease.ttlMsMin),
  release('l', OF_LOCK + 1),
  attached('a', 7),
  { ...own('a'), condition: { type: 'mod-revision', revision: 5 }, idempotency: { key: 'n', fingerprint: 3 } },
  {
    type: 'transaction',
    compares: [],
    success: [{ type: 'put', key: key('a'), value: Buffer.from('1'), wantsPrevious: true, lease: 7 }],
    failure: [],
    idempotency: null,
  },
]

t.test('commands are decoded as they were encoded; damaged ones are noticed', async (t) => {
  for (const command of COMMANDS) {
    t.equal(levelOf(command), 1)
    const bytes = encodeCommand(command)
    t.same(decodeCommand(bytes), command)
    t.equal(commandFault(bytes), null)
    for (let end = 0; end < bytes.length; end++) {
      t.throws(() => decodeCommand(bytes.subarray(0, end)), UnknownCommandError)
      t.type(commandFault(bytes.subarray(0, end)), 'string')
    }
    for (let at = 0; at < bytes.length; at++) {
      const damaged = Buffer.from(bytes)
      damaged[at] = (damaged[at] ?? 0) ^ 0xff
      try {
        t.same(encodeCommand(decodeCommand(damaged)), damaged, 'another command, and no other error')
      } catch (error) {
        t.type(error, UnknownCommandError)
      }
    }
  }
  t.equal(levelOf(put('a', '1')), 0)
})

t.test('what no front proposes is no command', async (t) => {
  const faults: readonly [Command, RegExp][] = [
    [grant(limits.lease.idMax + 1), /no id that a client may choose/],
    [grant(7, limits.lease.ttlMsMin - 1), /a lease of 999 ms/],
    [grant(7, limits.lease.ttlMsMax + 1), /a lease of/],
    [renew(0), /0 is no id of a lease/],
    [renew(4_000_000_000_000_000), /no id of a lease/],
    [acquire('l', limits.lockWaitMsMax + 1), /a wait of 60001 ms/],
    [acquire('l', 0, 'x'.repeat(limits.lock.ownerBytesMax + 1)), /the owner of a lock is too long/],
    [{ ...release('l', 7), name: '' } as Command, /a name of 0 bytes/],
    [attached('a', 0), /its lease is out of range/],
    [own('a', 5), /the length of its lease is out of range/],
    [
      {
        type: 'transaction',
        compares: [],
        success: [{ type: 'put', key: key('a'), value: Buffer.from('1'), wantsPrevious: false, lease: 0 }],
        failure: [],
        idempotency: null,
      },
      /0 is no id of a lease/,
    ],
  ]
  for (const [command, message] of faults) t.match(commandFault(encodeCommand(command)), message)
  const both = Buffer.from(encodeCommand(attached('a', 7)))
  both[2] = 0b1100_0000
  t.match(commandFault(both), /to a granted lease and to one of its own/)
})

const LEASES: readonly Lease[] = [
  { ttlMs: 1_000, renewedAt: 5, isEnding: false, grantee: '', use: { type: 'keys', hasKeys: false } },
  { ttlMs: 1_000, renewedAt: 5, isEnding: true, grantee: 'app', use: { type: 'keys', hasKeys: true } },
  { ttlMs: 1_000, renewedAt: 5, isEnding: false, grantee: '', use: { type: 'key', key: key('a') } },
  {
    ttlMs: 1_000,
    renewedAt: 5,
    isEnding: false,
    grantee: 'worker-3',
    use: { type: 'holder', lock: key('l'), token: 5, owner: 'ü', hasKeys: true },
  },
  {
    ttlMs: 1_000,
    renewedAt: 5,
    isEnding: false,
    grantee: '',
    use: { type: 'waiter', lock: key('l'), waitMs: 50, owner: '' },
  },
]

t.test('rows of leases and locks are decoded as they were encoded; damaged ones are noticed', async (t) => {
  for (const lease of LEASES) {
    const bytes = encodeLease(lease)
    t.same(decodeLease(bytes), lease)
    t.equal(lengthOf(lease), lease.use.type === 'waiter' ? 50 : 1_000)
    for (let end = 0; end < bytes.length; end++)
      t.throws(() => decodeLease(bytes.subarray(0, end)), UnreadableStateError)
    for (const at of [0, 1]) t.throws(() => decodeLease(with99(bytes, at)), UnreadableStateError)
  }
  const lock = { lease: OF_LOCK + 1, token: 1, owner: 'ß', waiting: 3 }
  const bytes = encodeLock(lock)
  t.same(decodeLock(bytes), lock)
  for (let end = 0; end < bytes.length; end++) t.throws(() => decodeLock(bytes.subarray(0, end)), UnreadableStateError)
  t.throws(() => decodeLock(with99(bytes, 0)), /format 99/)
})

function with99(bytes: Uint8Array, at: number): Uint8Array {
  const damaged = Buffer.from(bytes)
  damaged[at] = 99
  return damaged
}

t.test('a received state is taken only when its leases, keys and locks belong together', async (t) => {
  const store = levelOne()
  store.execute(grant(7), attached('a', 7), own('k'), acquire('l', 0, 'x'), acquire('l', 1_000))
  receive(store)
  const lease = (use: Lease['use'], ttlMs = 5_000) =>
    encodeLease({ ttlMs, renewedAt: 5, isEnding: false, grantee: '', use })
  const none = new Uint8Array(0)
  const wrong: readonly [string, RowKey | string, Uint8Array | null][] = [
    ['a lease is missing', leaseRow(7), null],
    ['that of a key is missing', leaseRow(OF_KEY + 4), null],
    ['a lease too many', leaseRow(8), lease({ type: 'keys', hasKeys: false })],
    ['an attached key is missing', attachmentRow(7, key('a')), null],
    ['a key too many', attachmentRow(7, key('b')), none],
    ['a key of a lease that takes none', attachmentRow(8, key('b')), none],
    ['a key without a name', `${attachmentRow(7, key('b')).slice(0, -1)}`, none],
    ['a key that is too long', attachmentRow(7, key('b'.repeat(4096))) + 'c', none],
    ['a key with a value', attachmentRow(7, key('a')), Buffer.of(1)],
    ['a row too short', '\x20ab', lease({ type: 'keys', hasKeys: false })],
    ['an id out of range', leaseRow(4_000_000_000_000_000), lease({ type: 'keys', hasKeys: false })],
    ['a short lease', leaseRow(7), lease({ type: 'keys', hasKeys: true }, 5)],
    ['a lease of a key under another id', leaseRow(7), lease({ type: 'key', key: key('a') })],
    [
      'a lease of a lock under another id',
      leaseRow(7),
      lease({ type: 'waiter', lock: key('l'), waitMs: 5, owner: '' }),
    ],
    ['keys under the id of a lock', leaseRow(OF_LOCK + 5), lease({ type: 'keys', hasKeys: false })],
    ['keys under the id of a key', leaseRow(OF_KEY + 4), lease({ type: 'keys', hasKeys: false })],
    ['the lock is missing', lockRow(key('l')), null],
    ['a lock without a name', '\x30', encodeLock({ lease: 7, token: 1, owner: '', waiting: 0 })],
    [
      'a name that is too long',
      lockRow(key('l'.repeat(4096))) + 'l',
      encodeLock({ lease: 7, token: 1, owner: '', waiting: 0 }),
    ],
    ['nobody waits', lockWaiterRow(key('l'), 6), null],
    ['one waits twice', lockWaiterRow(key('l'), 7), none],
    ['a row of waiting with a value', lockWaiterRow(key('l'), 6), Buffer.of(1)],
    ['a row of waiting that is cut off', lockWaiterRow(key('l'), 6).slice(0, -1), none],
    ['a row of waiting without a name', '\x31\0\0' + '\0'.repeat(8), none],
    ['the key of the lease is missing', '\x01k', null],
  ]
  for (const [what, row, bytes] of wrong) {
    const rows = new Map<string, Uint8Array>(store.rows)
    if (bytes === null) rows.delete(row)
    else rows.set(row, bytes)
    t.throws(
      () => {
        const received = new ReceivedRows()
        for (const [name, value] of [...rows].sort(([a], [b]) => (a < b ? -1 : 1)))
          received.accept(rowBytes(name as RowKey), value)
        received.finish(store.machine.state(), 1000)
      },
      UnreadableStateError,
      what,
    )
  }
})

t.test('any course of commands leads where the documents say, on every replica and after every restart', async (t) => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
  for (let seed = 1; seed <= 60; seed++) {
    const random = new SeededRandom(seed)
    const options = { leasesMax: 9, attachedKeysMax: 7, endKeysMax: 2, endBytesMax: 10_000 }
    const store = levelOne({ leases: options })
    let other = levelOne({ leases: options })
    const model = new ReferenceModel(store.options)
    model.execute(raise, store.revision)
    const told = new ToldOf()
    const pick = <T>(from: readonly T[]): T => from[random.integer(0, from.length)] as T
    const anyLease = (): number => (random.integer(0, 8) === 0 ? 5 : pick([...model.leases.leases.keys(), 6]))
    const anyCommand = (): NameableCommand => {
      switch (random.integer(0, 15)) {
        case 14: {
          const [one, other] = [pick(names), pick(names)]
          const compare = {
            key: key(one),
            target: 'lease',
            operator: pick(['=', '>'] as const),
            value: pick([0, anyLease()]),
          } as const
          const written = [one, other].filter((name, at, all) => all.indexOf(name) === at)
          const success = written.map((name) => ({
            type: 'put' as const,
            key: key(name),
            value: Buffer.from(name),
            ...(random.integer(0, 2) === 0 ? { lease: anyLease() } : {}),
            wantsPrevious: false,
          }))
          return { type: 'transaction', compares: [compare], success, failure: [], ...NOW }
        }
        case 0:
          return grant(random.integer(1, 4))
        case 1:
          return grant(null)
        case 2:
          return renew(anyLease())
        case 3:
          return revoke(anyLease())
        case 4:
          return revoke(anyLease(), random.integer(0, store.revision + 1))
        case 5:
        case 6:
          return acquire(pick(['l', 'm']), pick([0, 1_000]), pick(['', 'x']), pick([2_000, 3_000]))
        case 7:
          return release(pick(['l', 'm']), anyLease())
        case 8:
          return own(pick(names))
        case 9:
          return put(pick(names), 'x')
        case 10:
          return del(pick(names))
        case 11:
          return deleteRange(pick(names), pick(names))
        default:
          return attached(pick(names), anyLease())
      }
    }
    for (let step = 0; step < 150; step++) {
      const command = anyCommand()
      const result: CommandResult = store.one(command)
      told.tell(store.machine.takeLeaseEvents())
      const expected = model.execute(command, store.revision)
      const decoded = decodeCommand(encodeCommand(command))
      if (random.integer(0, 10) === 0) other = other.restored()
      other.one(decoded)
      const difference =
        differing(result, expected) ??
        leasesFault(store.stored(), model.leases.state()) ??
        differing(store.machine.state().leases, model.leases.state().counts) ??
        told.difference(store) ??
        (other.machine.state().digest === store.machine.state().digest ? null : 'the digests')
      if (difference !== null) throw new Error(`seed ${seed}, step ${step}, ${command.type}: ${difference}`)
      if (step % 25 === 0) receive(store)
    }
    t.same(store.dump(), other.dump())
  }
})

function differing(found: object, expected: object): string | null {
  return isDeepStrictEqual(found, expected) ? null : `${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`
}

t.test('the rows of locks are in the order of their names, and tell them', (t) => {
  const names = ['a', 'a/b', 'b', 'é'].map(key)
  const rows = names.map(lockRow)
  const inRange = (start: string | null, end: string | null): readonly string[] => {
    const range = lockRange(start === null ? null : key(start), end === null ? null : key(end))
    return rows.filter((row) => row >= range.start && range.end !== null && row < range.end).map(lockOfRow)
  }
  t.same(inRange(null, null), names)
  t.same(inRange('a/', 'b'), ['a/b'])
  t.same(inRange('b', null), names.slice(2))
  t.ok(lockWaiterRow(key('a'), 1) >= (lockRange(null, null).end ?? ''), 'those who wait are elsewhere')
  t.end()
})
