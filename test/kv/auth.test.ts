import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import {
  AuthTable,
  commandFault,
  decodeAuthTable,
  decodeCommand,
  denialError,
  encodeCommand,
  isAuthName,
  levelOf,
  needsOf,
  NODE_ITSELF,
  Rights,
  rowBytes,
  UnknownCommandError,
  UnreadableStateError,
  ReceivedRows,
} from '../../src/kv/index.ts'
import type {
  AccessToken,
  AuthCommand,
  Command,
  CommandResult,
  Grant,
  NameableCommand,
  Need,
  Operation,
  Role,
} from '../../src/kv/index.ts'
import { isSecretHash } from '../../src/kv/auth-codec.ts'
import { encodeAuthTable } from '../../src/kv/auth-table.ts'
import { AUTH_ROW } from '../../src/kv/row.ts'
import { limits } from '../../src/limits.ts'
import { BatchStore, del, deleteRange, key, put, fingerprintOf } from './support/batch-store.ts'
import { Draw } from '../sim/world/draw.ts'
import { authFault } from './support/auth-model.ts'
import { leasesFault, receive } from './support/lease-model.ts'
import { ReferenceModel } from './support/reference-model.ts'

const NOW = { idempotency: null } as const
const ADMIN = 2

const hash = (digit: string): string => digit.repeat(64)
const prefix = (access: Grant['access'], text: string): Grant => ({
  access,
  keys: { type: 'prefix', prefix: text === '' ? '' : key(text) },
})
const roleOf = (name: string, grants: readonly Grant[], rights: Role['rights'] = []): Role => ({ name, grants, rights })
const bootstrap: AuthCommand = { type: 'auth-bootstrap', name: 'root', hash: hash('a'), ...NOW }
const putRole = (role: Role, token = ADMIN): AuthCommand => ({ type: 'role-put', role, token, ...NOW })
const deleteRole = (name: string, token = ADMIN): AuthCommand => ({ type: 'role-delete', name, token, ...NOW })
const deleteToken = (id: number, token = ADMIN): AuthCommand => ({ type: 'token-delete', id, token, ...NOW })
const newToken = (
  name: string,
  roles: readonly string[],
  digit: string,
  other: Partial<AccessToken> = {},
): AuthCommand => ({
  type: 'token-create',
  created: {
    name,
    roles,
    expiresAt: null,
    requestsPerSecond: null,
    bytesPerSecond: null,
    certificateName: null,
    hash: hash(digit),
    ...other,
  },
  token: ADMIN,
  ...NOW,
})

/** A store at level 1 whose first token, with the id 2, may do everything. */
function secured(): BatchStore {
  const store = new BatchStore()
  const retention = { revisions: 1000, ageMs: 0, bytes: 1_000_000 }
  store.one({ type: 'raise-level', level: 1, version: '1.0.0', retention, ...NOW })
  store.one(bootstrap)
  return store
}

/** Adds a role of the same name, and a token that has it; returns the id of the token. */
function admit(store: BatchStore, name: string, grants: readonly Grant[], rights: Role['rights'] = []): number {
  store.one(putRole(roleOf(name, grants, rights)))
  const digit = String(store.revision).padStart(64, '0')
  const made = store.one(newToken(name, [name], '0', { hash: digit }))
  return made.type === 'token-created' ? made.id : 0
}

const under = <Kind extends Command>(token: number, command: Kind): Kind => ({ ...command, token })

t.test('rights', async (t) => {
  const range = (start: string | null, end: string | null): Grant => ({
    access: 'read',
    keys: { type: 'range', start: start === null ? null : key(start), end: end === null ? null : key(end) },
  })
  const bounds = (start: string | null, end: string | null) => ({
    start: start === null ? null : key(start),
    end: end === null ? null : key(end),
  })
  const rightsOf = (...grants: readonly Grant[]): Rights => new Rights([roleOf('r', grants)])

  t.test('a range is allowed when grants cover all of it together', async (t) => {
    const rights = rightsOf(range('m', 'p'), range('a', 'c'), range('c', 'f'), range('b', 'd'), range('x', null))
    for (const [start, end] of [
      ['a', 'f'],
      ['a', 'b'],
      ['b', 'e'],
      ['m', 'p'],
      ['x', null],
      ['z', 'zz'],
    ] as const)
      t.ok(rights.may('read', bounds(start, end)), `${start}..${end}`)
    for (const [start, end] of [
      ['a', 'g'],
      ['a', 'p'],
      [null, 'b'],
      ['m', null],
      ['f', 'g'],
      ['p', 'q'],
      ['e', 'n'],
      ['w', null],
    ] as const)
      t.notOk(rights.may('read', bounds(start, end)), `${start}..${end}`)
    t.notOk(rights.may('write', bounds('a', 'b')))
    t.ok(rightsOf(range(null, 'm'), range('c', null)).may('read', bounds(null, null)))
    t.ok(
      rightsOf(range('c', null), range('d', 'e')).may('read', bounds('d', null)),
      'one without an end takes in the rest',
    )
  })

  t.test('a key is one key, a prefix all that begin with it, and the empty prefix all', async (t) => {
    const one = rightsOf({ access: 'write', keys: { type: 'key', key: key('a') } })
    t.ok(one.may('write', bounds('a', 'a\0')))
    t.notOk(one.may('write', bounds('a', 'a\0\0')))
    t.notOk(one.may('write', bounds('a', 'b')))
    t.ok(rightsOf(prefix('write', 'a/')).may('write', bounds('a/', 'a0')))
    t.notOk(rightsOf(prefix('write', 'a/')).may('write', bounds('a', 'a0')))
    t.ok(rightsOf(prefix('read-write', '')).may('write', bounds(null, null)))
    t.notOk(rightsOf().may('read', bounds(null, null)))
  })

  t.test('who may administer the cluster may look at it, and nothing else follows from another right', async (t) => {
    const has = (...rights: Role['rights']) => new Rights([roleOf('r', [], rights)])
    t.ok(has('cluster:admin').has('cluster:read'))
    t.notOk(has('cluster:read').has('cluster:admin'))
    t.notOk(has('cluster:admin').has('auth:admin'))
    t.ok(has('auth:admin').has('auth:admin'))
    t.notOk(has('auth:admin').mayAny('read'))
    t.ok(rightsOf(prefix('write', 'a')).mayAny('write'))
  })

  t.test('names', async (t) => {
    for (const name of ['a', 'deploy@ci', 'a.b:c_d-e', 'a'.repeat(64)]) t.ok(isAuthName(name), name)
    for (const name of ['', '-a', 'a b', 'ä', 'a/b', 'a'.repeat(65), 'a\n']) t.notOk(isAuthName(name), name)
    t.ok(isSecretHash(hash('0')))
    t.notOk(isSecretHash(hash('G')))
  })
})

t.test('without tokens everybody may do everything, and nothing of them is stored', async (t) => {
  const store = new BatchStore().raise()
  t.equal(store.one(put('a', '1')).type, 'put')
  t.equal(store.one(under(7, put('a', '1'))).type, 'put', 'a token that nobody has asked for is no matter')
  for (const command of [putRole(roleOf('r', [])), deleteRole('r'), newToken('n', [], '1'), deleteToken(1)])
    t.same(store.one(command), { type: 'auth-not-begun' })
  t.equal(store.machine.auth?.revision ?? 0, 0)
  t.equal(store.machine.auth, null)
  t.notOk(store.rows.has(AUTH_ROW))
})

t.test('the first token may do everything, and ends what could be done without one', async (t) => {
  const store = secured()
  t.match(store.machine.auth?.tokens.get(ADMIN), { id: ADMIN, name: 'root', roles: ['admin'], expiresAt: null })
  t.equal(store.machine.auth?.revision ?? 0, ADMIN)
  t.same(store.one(put('a', '1')), { type: 'unauthenticated' })
  t.same(store.one(under(99, put('a', '1'))), { type: 'unauthenticated' })
  t.equal(store.one(under(ADMIN, put('a', '1'))).type, 'put')
  t.same(store.one(bootstrap), { type: 'auth-begun-before' })
  const retention = { revisions: 5, ageMs: 0, bytes: 1_000_000 }
  t.equal(store.one({ type: 'raise-level', level: 1, version: '1', retention, ...NOW }).type, 'level-raised')
  t.equal(store.one({ type: 'compaction', revision: 4, token: NODE_ITSELF, ...NOW }).type, 'compacted')
  t.same(store.one({ type: 'compaction', revision: 4, ...NOW }), { type: 'unauthenticated' })
})

t.test('needs', async (t) => {
  const [a, b] = [key('a'), key('b')]
  const value = Buffer.from('v')
  const operations: readonly Operation[] = [
    { type: 'put', key: a, value, wantsPrevious: false },
    { type: 'put', key: a, value, wantsPrevious: true, lease: 7 },
    { type: 'get', key: b },
    { type: 'delete', key: b, wantsPrevious: false },
    { type: 'delete-range', start: a, end: b },
    { type: 'list', start: a, end: null, limit: 1, keysOnly: true },
  ]
  const compares = [{ key: b, target: 'version', operator: '=', value: 1 }] as const
  const write = { access: 'write', key: a } as const
  const cases: readonly [Command, readonly Need[]][] = [
    [put('a', '1'), [write]],
    [put('a', '1', { wantsPrevious: true }), [write, { access: 'read', key: a }]],
    [put('a', '1', { condition: { type: 'absent' } }), [write, { access: 'read', key: a }]],
    [put('a', '1', { lease: { type: 'own', ttlMs: 5_000 } }), [write]],
    [put('a', '1', { lease: { type: 'granted', id: 7 } }), [write, { lease: 7 }]],
    [del('a', { wantsPrevious: true }), [write, { access: 'read', key: a }]],
    [del('a', { condition: { type: 'mod-revision', revision: 7 } }), [write, { access: 'read', key: a }]],
    [deleteRange('a', null), [{ access: 'write', range: { start: a, end: null } }]],
    [
      { type: 'transaction', compares, success: operations.slice(0, 3), failure: operations.slice(3), ...NOW },
      [
        { access: 'read', key: b },
        write,
        write,
        { access: 'read', key: a },
        { lease: 7 },
        { access: 'read', key: b },
        { access: 'write', key: b },
        { access: 'write', range: { start: a, end: b } },
        { access: 'read', range: { start: a, end: null } },
      ],
    ],
    [{ type: 'retention', retention: { revisions: 1, ageMs: 0, bytes: 65_536 }, ...NOW }, [{ right: 'cluster:admin' }]],
    [{ type: 'lease-grant', id: 7, ttlMs: 5_000, ...NOW }, [{ access: 'write', any: true }]],
    [{ type: 'lease-renew', id: 7, ...NOW }, [{ access: 'write', any: true }, { lease: 7 }]],
    [{ type: 'lease-revoke', id: 7, ifRenewedAt: null, ...NOW }, [{ access: 'write', any: true }, { lease: 7 }]],
    [{ type: 'lock-acquire', name: a, ttlMs: 5_000, waitMs: 0, owner: '', ...NOW }, [write]],
    [{ type: 'lock-release', name: a, lease: 7, ...NOW }, [write, { lease: 7 }]],
    [putRole(roleOf('r', [])), [{ right: 'auth:admin' }]],
    [bootstrap, []],
    [{ type: 'raise-level', level: 1, version: '1', retention: { revisions: 1, ageMs: 0, bytes: 1 }, ...NOW }, []],
    [{ type: 'compaction', revision: 1, ...NOW }, [{ right: 'cluster:admin' }]],
  ]
  for (const [command, needs] of cases) t.same(needsOf(command), needs, command.type)
})

t.test(
  'a holder may do what the roles allow, whether or not the key is there, and is told what was missing',
  async (t) => {
    const store = secured()
    const app = admit(store, 'app', [prefix('read-write', 'a/'), prefix('write', 'log/')])
    store.one(under(ADMIN, put('b/there', 'secret')))
    const forbidden = (missing: Need): CommandResult => ({ type: 'forbidden', missing })
    const write = (text: string): Need => ({ access: 'write', key: key(text) })
    const value = Buffer.from('v')
    const transaction = (success: readonly Operation[], failure: readonly Operation[] = []): Command => ({
      type: 'transaction',
      compares: [],
      success,
      failure,
      ...NOW,
    })
    const putOf = (text: string): Operation => ({ type: 'put', key: key(text), value, wantsPrevious: false })
    const before = store.records()
    for (const name of ['b/there', 'b/absent']) {
      t.same(store.one(under(app, put(name, 'x'))), forbidden(write(name)))
      t.same(store.one(under(app, put(name, 'x', { condition: { type: 'absent' } }))), forbidden(write(name)))
      t.same(store.one(under(app, del(name))), forbidden(write(name)))
      const inFailure = transaction([putOf('a/1')], [putOf(name)])
      t.same(store.one(under(app, inFailure)), forbidden(write(name)), 'in the branch that is not carried out')
      const acquire = { type: 'lock-acquire', name: key(name), ttlMs: 5_000, waitMs: 0, owner: '', ...NOW } as const
      t.same(store.one(under(app, acquire)), forbidden(write(name)))
    }
    const wide = { access: 'write', range: { start: key('a/'), end: key('b0') } } as const
    t.same(store.one(under(app, deleteRange('a/', 'b0'))), forbidden(wide))
    t.same(store.records(), before)
    t.equal(store.one(under(app, put('a/1', 'x', { wantsPrevious: true }))).type, 'put')
    t.equal(store.one(under(app, put('log/1', 'x'))).type, 'put')
    const read = { access: 'read', key: key('log/1') } as const
    t.same(store.one(under(app, put('log/1', 'x', { wantsPrevious: true }))), forbidden(read), 'prev reads')
    for (const condition of [{ type: 'absent' }, { type: 'present' }, { type: 'mod-revision', revision: 3 }] as const) {
      t.same(store.one(under(app, put('log/1', 'x', { condition }))), forbidden(read), 'and so does a condition')
      t.equal(store.one(under(app, put('a/1', 'x', { condition }))).type.startsWith('forbidden'), false)
    }
    t.same(store.one(under(app, del('log/1', { condition: { type: 'mod-revision', revision: 3 } }))), forbidden(read))
    t.same(store.one(under(app, putRole(roleOf('app', [])))), forbidden({ right: 'auth:admin' }))
    t.equal(store.one(under(app, deleteRange('a/', 'a0'))).type, 'deleted')
  },
)

t.test('a lease belongs to the holders of one name', async (t) => {
  const store = secured()
  const grants = [prefix('read-write', 'a/')]
  const app = admit(store, 'app', grants)
  const other = admit(store, 'other', [...grants, prefix('write', 'l')])
  const idle = admit(store, 'idle', [prefix('read', '')])
  const far = admit(store, 'far', [prefix('write', 'z')])
  const grant = (id: number): NameableCommand => ({ type: 'lease-grant', id, ttlMs: 5_000, ...NOW })
  const renew = (id: number): NameableCommand => ({ type: 'lease-renew', id, ...NOW })
  const revoke = (id: number): NameableCommand => ({ type: 'lease-revoke', id, ifRenewedAt: null, ...NOW })
  const attach = (id: number): Command => put('a/k', '1', { lease: { type: 'granted', id } })
  t.same(store.one(under(idle, grant(7))), { type: 'forbidden', missing: { access: 'write', any: true } })
  t.equal(store.one(under(app, grant(7))).type, 'lease-granted')
  const refused = { type: 'forbidden', missing: { lease: 7 } }
  const inTransaction: Command = {
    type: 'transaction',
    compares: [],
    success: [{ type: 'put', key: key('a/k'), value: Buffer.from('1'), wantsPrevious: false, lease: 7 }],
    failure: [],
    ...NOW,
  }
  for (const command of [renew(7), revoke(7), attach(7), inTransaction])
    t.same(store.one(under(other, command)), refused)
  t.equal(store.restored().one(under(app, attach(7))).type, 'put', 'the state knows whose it is')
  t.equal(store.one(under(app, attach(7))).type, 'put')
  t.equal(store.one(under(app, renew(7))).type, 'lease-renewed')
  t.equal(store.one(under(ADMIN, renew(7))).type, 'lease-renewed', 'one that may write everything may rule every lease')
  const made = store.one(newToken('app', ['app'], 'b'))
  const heir = made.type === 'token-created' ? made.id : 0
  store.one(deleteToken(app))
  t.equal(
    store.one(under(heir, renew(7))).type,
    'lease-renewed',
    'a token that takes the place of another has its leases',
  )
  t.match(store.one(under(heir, revoke(7))), { type: 'lease-revoked', deleted: 1 })
  t.equal(store.one(under(other, renew(7))).type, 'lease-not-found')

  const own = store.one(under(heir, put('a/t', '1', { lease: { type: 'own', ttlMs: 5_000 } })))
  const ownLease = 2_000_000_000_000_000 + (own.type === 'put' ? own.revision : 0)
  t.same(store.one(under(far, renew(ownLease))), { type: 'forbidden', missing: { lease: ownLease } })
  t.equal(
    store.one(under(other, renew(ownLease))).type,
    'lease-renewed',
    'that of a key belongs to those who may write the key',
  )

  const acquire = { type: 'lock-acquire', name: key('l'), ttlMs: 5_000, waitMs: 0, owner: '', ...NOW } as const
  const taken = store.one(under(ADMIN, acquire))
  const lease = taken.type === 'lock-acquired' ? taken.lease : 0
  const release = { type: 'lock-release', name: key('l'), lease, ...NOW } as const
  t.same(store.one(under(heir, release)), { type: 'forbidden', missing: { access: 'write', key: key('l') } })
  t.same(store.one(under(other, release)), { type: 'forbidden', missing: { lease } }, 'keys may be attached to it')
  t.equal(store.one(under(ADMIN, release)).type, 'lock-released')

  t.equal(store.one(under(NODE_ITSELF, grant(8))).type, 'lease-granted')
  t.same(store.one(under(heir, renew(8))), { type: 'forbidden', missing: { lease: 8 } }, 'one of the node itself')

  const early = new BatchStore().raise()
  early.one(grant(7))
  early.one(bootstrap)
  early.one(putRole(roleOf('app', grants), early.revision))
  early.one({ ...newToken('app', ['app'], 'b'), token: early.machine.auth?.tokens.keys().next().value ?? 0 })
  t.same(early.one(under(early.revision, renew(7))), refused, 'one of before the tokens is nobodys')
})

t.test('from the entry that revokes a token on, nothing under it is executed', async (t) => {
  const store = secured()
  const app = admit(store, 'app', [prefix('read-write', '')])
  const named: Command = { ...put('a', '1'), idempotency: { key: 'n', fingerprint: 1 }, token: app }
  t.equal(store.one(named).type, 'put')
  store.one(deleteToken(app))
  t.same(store.one(named), { type: 'unauthenticated' }, 'not even the first answer to a retry is told')
  t.same(store.restored().one(named), { type: 'unauthenticated' })
  t.same(store.one(deleteToken(app)), { type: 'token-not-found', id: app })
  t.equal(store.one({ ...named, token: ADMIN }).type, 'put', 'under another token it is the same retry')
  t.equal(store.machine.state().idempotentNext, 1)
})

t.test('a refusal is no answer to a named write, and changes the digest alone', async (t) => {
  const store = secured()
  const app = admit(store, 'app', [])
  const named: Command = { ...put('a', '1'), idempotency: { key: 'n', fingerprint: 1 }, token: app }
  const { digest: before, ...state } = store.machine.state()
  const rows = store.dump()
  t.equal(store.one(named).type, 'forbidden')
  const { digest: after, ...left } = store.machine.state()
  t.same(left, state)
  t.same(store.dump(), rows)
  t.not(after, before)
  store.one(putRole(roleOf('app', [prefix('write', 'a')])))
  t.equal(store.one(named).type, 'put', 'once the right is there the retry is executed')
})

t.test('roles and tokens', async (t) => {
  t.test(
    'a role takes the place of its predecessor for all that have it, and goes only when nobody has it',
    async (t) => {
      const store = secured()
      const app = admit(store, 'app', [prefix('read', 'a')])
      t.same(store.one(putRole(roleOf('app', [prefix('write', 'a')]))), { type: 'role-put', isNew: false })
      t.equal(store.one(under(app, put('a', '1'))).type, 'put')
      t.same(store.one(deleteRole('app')), { type: 'role-in-use', role: 'app', tokens: 1 })
      store.one(deleteToken(app))
      t.same(store.one(deleteRole('app')), { type: 'role-deleted' })
      t.same(store.one(deleteRole('app')), { type: 'role-not-found', role: 'app' })
      t.same(store.one(newToken('x', ['app'], 'c')), { type: 'unknown-role', role: 'app' })
      t.same(store.one(newToken('x', [], 'a')), { type: 'secret-in-use' })
    },
  )

  t.test('certificates of one name stand for one token', async (t) => {
    const store = secured()
    const named = { certificateName: 'CN with a space', hash: hash('c') }
    const made = store.one(newToken('machine', [], '0', named))
    t.match(made, { type: 'token-created' })
    const id = made.type === 'token-created' ? made.id : 0
    t.same(store.one(newToken('other', [], '0', named)), { type: 'certificate-in-use', id })
    t.match(store.machine.auth?.withHash(hash('c')), { id, name: 'machine', certificateName: 'CN with a space' })
    store.one(deleteToken(id))
    t.match(store.one(newToken('other', [], '0', named)), { type: 'token-created' })
  })

  t.test('somebody can always grant rights', async (t) => {
    const store = secured()
    t.same(store.one(deleteToken(ADMIN)), { type: 'last-admin' })
    t.same(store.one(putRole(roleOf('admin', [], ['cluster:admin']))), { type: 'last-admin' })
    store.one(newToken('soon', ['admin'], 'b', { expiresAt: 5 }))
    t.same(store.one(deleteToken(ADMIN)), { type: 'last-admin' }, 'one that ends does not count')
    const made = store.one(newToken('second', ['admin'], 'c'))
    t.same(store.one(deleteToken(ADMIN)), { type: 'token-deleted' })
    t.same(store.one(deleteToken(made.type === 'token-created' ? made.id : 0, store.revision - 1)), {
      type: 'last-admin',
    })
  })

  t.test('the leader removes a token whose time is up', async (t) => {
    const store = secured()
    const made = store.one(newToken('soon', ['admin'], 'b', { expiresAt: 5 }))
    const id = made.type === 'token-created' ? made.id : 0
    t.same(store.one(deleteToken(id, NODE_ITSELF)), { type: 'token-deleted' })
    t.same(store.one(under(id, put('a', '1'))), { type: 'unauthenticated' })
  })

  t.test('an operator who has lost every token begins anew', async (t) => {
    const store = secured()
    const app = admit(store, 'app', [prefix('read', 'a')])
    const reset = { type: 'auth-reset', token: NODE_ITSELF, ...NOW } as const
    t.same(store.one(reset), { type: 'auth-reset' })
    t.notOk(store.rows.has(AUTH_ROW))
    t.equal(store.machine.state().auth, 0)
    t.same(store.one(reset), { type: 'auth-not-begun' })
    t.equal(store.restored().one(put('a', '1')).type, 'put')
    store.one(bootstrap)
    t.same(store.one(under(app, put('a', '1'))), { type: 'unauthenticated' })
  })

  t.test('there is a limited number of them, and of their bytes', async (t) => {
    const store = secured()
    const full = (what: string, limit: number) => ({ type: 'auth-full', what, limit })
    for (let at = 1; at < limits.auth.rolesMax; at++) store.one(putRole(roleOf(`r${at}`, [])))
    t.same(store.one(putRole(roleOf('more', []))), full('roles', limits.auth.rolesMax))
    t.same(store.one(putRole(roleOf('r1', []))), { type: 'role-put', isNew: false })
    const table = store.machine.auth
    const [admin] = table?.tokens.values() ?? []
    if (table === null || admin === undefined) throw new Error('there is a table')
    const tokens = new Map(
      Array.from({ length: limits.auth.tokensMax }, (_, at) => [at + ADMIN, { ...admin, id: at + ADMIN }]),
    )
    store.rows.set(AUTH_ROW, encodeAuthTable(new AuthTable(store.machine.auth?.revision ?? 0, table.roles, tokens)))
    const crowded = store.restored()
    t.same(crowded.one(newToken('x', [], 'b')), full('tokens', limits.auth.tokensMax))
    const long = 'k'.repeat(limits.keyBytesMax - 2)
    const wide = Array.from({ length: 64 }, (_, at) => prefix('read', `${at + 10}${long}`))
    const heavy = secured()
    const results = Array.from({ length: 5 }, (_, at) => heavy.one(putRole(roleOf(`h${at}`, wide))).type)
    t.same(results.slice(0, 3), ['role-put', 'role-put', 'role-put'])
    t.same(heavy.one(putRole(roleOf('h9', wide))), full('bytes', limits.auth.tableBytesMax))
  })

  t.test('equal logs give equal states, also after a restart in the middle', async (t) => {
    const [one, other] = [secured(), secured()]
    for (const store of [one, other]) admit(store, 'app', [prefix('read', 'a')], ['cluster:read'])
    const again = other.restored()
    for (const store of [one, again]) {
      store.one(putRole(roleOf('app', [prefix('read', 'b')])))
      store.one(newToken('x', ['app'], 'd', { requestsPerSecond: 5, bytesPerSecond: 0, expiresAt: 0 }))
    }
    t.equal(again.machine.state().digest, one.machine.state().digest)
    t.same(again.dump(), one.dump())
    again.one(putRole(roleOf('app', [prefix('read', 'c')])))
    one.one(putRole(roleOf('app', [prefix('read', 'd')])))
    t.not(again.machine.state().digest, one.machine.state().digest)
  })
})

const KEYS: readonly Grant[] = [
  { access: 'read', keys: { type: 'key', key: key('ä') } },
  prefix('write', 'p/'),
  prefix('read-write', ''),
  { access: 'read', keys: { type: 'range', start: key('a'), end: null } },
  { access: 'read', keys: { type: 'range', start: null, end: key('z') } },
]

t.test('encoding', async (t) => {
  const commands: readonly Command[] = [
    bootstrap,
    putRole(roleOf('app', KEYS, ['cluster:read', 'auth:admin'])),
    deleteRole('app'),
    newToken('ci', ['app', 'x'], 'e', { expiresAt: 12, requestsPerSecond: 0, bytesPerSecond: 2 ** 40 }),
    newToken('machine', ['app'], 'f', { certificateName: 'CN=x, with more' }),
    deleteToken(9),
    { type: 'auth-reset', token: NODE_ITSELF, ...NOW },
    under(
      2 ** 50,
      put('a', '1', { lease: { type: 'granted', id: 7 }, condition: { type: 'mod-revision', revision: 3 } }),
    ),
    under(NODE_ITSELF, { type: 'lease-revoke', id: 7, ifRenewedAt: 3, ...NOW }),
    { ...under(3, del('a')), idempotency: { key: 'n', fingerprint: 5 } },
    under(3, deleteRange('a', 'b')),
  ]
  for (const command of commands) {
    const bytes = encodeCommand(command)
    t.same(
      decodeCommand(bytes),
      command.type === 'put' ? { ...command, value: Buffer.from('1') } : command,
      command.type,
    )
    t.equal(commandFault(bytes), null)
    t.equal(levelOf(command), 1)
    for (let end = 0; end < bytes.length; end++)
      t.throws(() => decodeCommand(bytes.subarray(0, end)), UnknownCommandError, `${command.type} cut at ${end}`)
  }

  t.test('a command without a token is as it was before there were any', async (t) => {
    t.equal(encodeCommand(put('a', '1'))[0], 1)
    t.equal(levelOf(put('a', '1')), 0)
    t.equal(fingerprintOf(under(5, put('a', '1'))), fingerprintOf(put('a', '1')))
    t.not(fingerprintOf(under(5, put('a', '2'))), fingerprintOf(put('a', '1')))
  })

  t.test('what no front proposes is refused', async (t) => {
    const damaged = (command: Command, change: (bytes: Buffer) => void): Buffer => {
      const bytes = Buffer.from(encodeCommand(command))
      change(bytes)
      return bytes
    }
    const far = damaged(under(5, put('a', '1')), (bytes) => bytes.fill(0xff, 10, 18))
    t.match(commandFault(far), /the id of its token is out of range/)
    t.throws(() => decodeCommand(far), /out of range/)
    t.match(commandFault(damaged(put('a', '1'), (bytes) => (bytes[0] = 3))), /format 3; .* formats 1 and 2/)
    const named = encodeCommand({ type: 'lease-renew', id: 7, idempotency: { key: 'n', fingerprint: 5 } })
    const body = encodeCommand({ ...deleteToken(7), token: 1 }).subarray(18)
    const both = Buffer.concat([named.subarray(0, named.length - 8), body])
    both[1] = 68
    t.match(commandFault(both), /changes roles or tokens, and has an idempotency key/)
    const roles = encodeCommand(putRole(roleOf('a', [KEYS[0] ?? prefix('read', 'x')])))
    // After the header, the token, the name and the number of grants.
    const grantAt = 18 + 3 + 1
    const wrong: readonly [number, number, RegExp][] = [
      [20, 0x20, /a name of a role or a token is none/],
      [21, 65, /there are 65 of one kind/],
      [grantAt, 3, /a grant is of a kind/],
      [grantAt + 1, 3, /a grant is of a kind/],
      [roles.length - 1, 8, /a right that this build does not know/],
    ]
    for (const [at, byte, message] of wrong) {
      const bytes = Buffer.from(roles)
      bytes[at] = byte
      t.match(commandFault(bytes), message)
    }
    const empty = roleOf('a', [prefix('read', '')])
    const noKey = damaged(putRole(empty), (bytes) => (bytes[grantAt + 1] = 0))
    t.match(commandFault(noKey), /an empty key/)
    const long = 'k'.repeat(limits.keyBytesMax + 1) as ReturnType<typeof key>
    t.match(
      commandFault(encodeCommand(putRole(roleOf('a', [{ access: 'read', keys: { type: 'key', key: long } }])))),
      /a key of 4097 bytes/,
    )
    for (const certificateName of ['\n', 'n'.repeat(65)])
      t.match(
        commandFault(encodeCommand(newToken('a', [], 'b', { certificateName }))),
        /a name in certificates is none/,
      )
    t.match(commandFault(encodeCommand({ type: 'auth-bootstrap', name: 'r', hash: 'ab', ...NOW })), /a hash of 1 bytes/)
  })

  t.test('the table is decoded as it was encoded; a damaged one is noticed', async (t) => {
    const store = secured()
    store.one(putRole(roleOf('app', KEYS)))
    store.one(newToken('ci', ['app'], 'e', { requestsPerSecond: 3 }))
    const bytes = store.rows.get(AUTH_ROW) ?? Buffer.alloc(0)
    const table = decodeAuthTable(bytes)
    t.same([...table.roles], [...(store.machine.auth?.roles ?? [])])
    t.same([...table.tokens], [...(store.machine.auth?.tokens ?? [])])
    t.equal(table.withHash(hash('e'))?.name, 'ci')
    t.equal(table.withHash(hash('f')), null)
    t.equal(table.holdersOf('app'), 1)
    for (let end = 0; end < bytes.length; end++)
      t.throws(() => decodeAuthTable(bytes.subarray(0, end)), UnreadableStateError)
    const future = Buffer.from(bytes)
    future[0] = 2
    t.throws(() => decodeAuthTable(future), /format 2/)
    const many = Buffer.from(bytes)
    many.writeUInt32BE(257, 9)
    t.throws(() => decodeAuthTable(many), /there are 257/)
  })
})

t.test('a received state has the roles and tokens that it says', async (t) => {
  const store = secured()
  admit(store, 'app', [prefix('read', 'a')])
  receive(store)
  const without = store.restored()
  without.rows.delete(AUTH_ROW)
  t.throws(() => receive(without), /roles and tokens of revision 4; those of revision 0 arrived/)
  const stale = store.restored()
  stale.rows.set(AUTH_ROW, secured().rows.get(AUTH_ROW) ?? Buffer.alloc(0))
  t.throws(() => receive(stale), /roles and tokens of revision 4; those of revision 2 arrived/)
  const rows = new ReceivedRows()
  t.equal(rows.authTable, null)
  rows.accept(rowBytes(AUTH_ROW), store.rows.get(AUTH_ROW) ?? Buffer.alloc(0))
  t.equal(rows.authTable?.revision, store.machine.auth?.revision)
  t.throws(() => rows.accept(Buffer.concat([rowBytes(AUTH_ROW), Buffer.from('x')]), Buffer.alloc(0)), /has a name/)
  t.throws(() => rows.accept(rowBytes(AUTH_ROW), Buffer.from('x')), UnreadableStateError)
})

t.test('a denial says what was missing in the words of the request', async (t) => {
  const facts = (missing: Need) => denialError({ type: 'forbidden', missing })
  const range = (start: string | null, end: string | null): Need => ({
    access: 'read',
    range: { start: start === null ? null : key(start), end: end === null ? null : key(end) },
  })
  const cases: readonly [Need, object, RegExp][] = [
    [{ access: 'write', key: key('ä') }, { access: 'write', key: 'ä' }, /write access to "ä"/],
    [range('a/', 'a0'), { access: 'read', prefix: 'a/' }, /every key of {"prefix":"a\/"}/],
    [range(null, null), { access: 'read', prefix: '' }, /every key of/],
    [range('a', 'x'), { access: 'read', start: 'a', end: 'x' }, /every key of/],
    [range(null, 'x'), { access: 'read', end: 'x' }, /every key of/],
    [range('x', null), { access: 'read', start: 'x' }, /every key of/],
    [{ access: 'write', any: true }, { access: 'write' }, /write access to some key/],
    [{ right: 'auth:admin' }, { right: 'auth:admin' }, /the right auth:admin/],
    [{ lease: 7 }, { lease: 7 }, /lease 7 belongs to a token with another name/],
  ]
  for (const [need, missing, message] of cases) {
    const error = facts(need)
    t.equal(error.code, 'forbidden')
    t.same(error.facts, { missing })
    t.match(error.message, message)
  }
  t.equal(denialError({ type: 'unauthenticated' }).code, 'unauthenticated')
})

t.test('whatever happens to roles and tokens, the machine decides as the documents say', (t) => {
  const keys = ['a', 'a/1', 'b', 'c']
  for (let seed = 1; seed <= 60; seed++) {
    const random = new Draw(seed)
    const store = secured()
    const model = new ReferenceModel(store.options)
    const retention = { revisions: 1000, ageMs: 0, bytes: 1_000_000 }
    model.execute({ type: 'raise-level', level: 1, version: '1.0.0', retention, ...NOW }, 1)
    model.execute(bootstrap, 2)
    const name = () => key(random.pick(keys))
    const bounds = () => {
      const [start, end] = [random.pick([null, ...keys]), random.pick([null, ...keys])]
      return { start: start === null ? null : key(start), end: end === null ? null : key(end) }
    }
    const grant = (): Grant => {
      const access = random.pick(['read', 'write', 'read-write'] as const)
      const type = random.pick(['key', 'prefix', 'range'] as const)
      if (type === 'range') return { access, keys: { type, ...bounds() } }
      return type === 'key' ? { access, keys: { type, key: name() } } : prefix(access, random.pick(['', ...keys]))
    }
    const operation = (): Operation =>
      random.pick<() => Operation>([
        () => ({ type: 'put', key: name(), value: Buffer.from('v'), wantsPrevious: random.chance(0.5) }),
        () => ({ type: 'get', key: name() }),
        () => ({ type: 'delete', key: name(), wantsPrevious: random.chance(0.5) }),
        () => ({ type: 'list', ...bounds(), limit: 2, keysOnly: false }),
        () => ({ type: 'delete-range', ...bounds() }),
      ])()
    const lease = () => random.integer(1, 4)
    const roles = () => random.sample(['r', 's', 'admin'], random.integer(1, 3))
    const draws: readonly (() => Command)[] = [
      () => putRole(roleOf(random.pick(['r', 's']), [grant(), grant()], random.chance(0.3) ? ['cluster:admin'] : [])),
      () => putRole(roleOf('admin', [prefix('read-write', '')], random.chance(0.5) ? ['auth:admin'] : [])),
      () => deleteRole(random.pick(['r', 's', 'admin'])),
      () => newToken(random.pick(['x', 'y']), roles(), '', { hash: String(random.integer(0, 9)).repeat(64) }),
      () => newToken('x', roles(), '', { hash: String(store.revision).padStart(64, '0') }),
      () => deleteToken(random.pick([...(store.machine.auth?.tokens.keys() ?? []), 999])),
      () => put(random.pick(keys), 'v', { wantsPrevious: random.chance(0.5) }),
      () => put(random.pick(keys), 'v', { lease: { type: 'granted', id: lease() } }),
      () => put(random.pick(keys), 'v', { idempotency: { key: random.pick(keys), fingerprint: 1 } }),
      () => del(random.pick(keys), { wantsPrevious: random.chance(0.5) }),
      () => ({ type: 'delete-range', ...bounds(), upToLimit: false, ...NOW }),
      () => ({ type: 'transaction', compares: [], success: [operation()], failure: [operation()], ...NOW }),
      () => ({ type: 'lease-grant', id: lease(), ttlMs: 1_000, ...NOW }),
      () => ({ type: 'lease-renew', id: lease(), ...NOW }),
      () => ({ type: 'lease-revoke', id: lease(), ifRenewedAt: null, ...NOW }),
      () => ({ type: 'lock-acquire', name: name(), ttlMs: 1_000, waitMs: 10, owner: '', ...NOW }),
      () => ({ type: 'compaction', revision: 1, ...NOW }),
    ]
    for (let step = 0; step < 80; step++) {
      const drawn = random.pick(draws)()
      const ids = [...(store.machine.auth?.tokens.keys() ?? []), 999, NODE_ITSELF]
      const { token: _, ...nobodys } = drawn
      const command: Command = random.chance(0.05) ? nobodys : { ...drawn, token: random.pick(ids) }
      const result = store.one(command)
      const expected = model.execute(command, store.revision)
      const where = `seed ${seed}, ${JSON.stringify(command)}`
      if (!isDeepStrictEqual(result, expected)) t.same(result, expected, where)
      const fault =
        authFault(store.machine.auth, model.auth.present) ?? leasesFault(store.stored(), model.leases.state())
      if (fault !== null) throw new Error(`${where}: ${fault}`)
    }
  }
  t.pass('every command was decided alike')
  t.end()
})
