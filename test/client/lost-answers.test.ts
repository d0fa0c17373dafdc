import t, { type Test } from 'tap'
import { AuthClient } from '../../src/client/auth-client.ts'
import { ClusterClient } from '../../src/client/cluster-client.ts'
import { History } from '../../src/client/history.ts'
import {
  AmbiguousOutcomeError,
  compare,
  op,
  QuorateClient,
  type ClientOptions,
  type MembershipView,
} from '../../src/client/index.ts'
import { Leases } from '../../src/client/leases.ts'
import { collect, thrownBy } from '../support/outcomes.ts'
import { startTestNode } from '../support/test-node.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { formedNodes } from './support/formed-nodes.ts'
import { LossyProxies, type Passed } from './support/lossy-proxy.ts'
import { clientOf } from './support/stand.ts'

/*
 * Every method of the client that changes something, on nodes: the change is carried out, and the answer to it is lost. Before the client learns
 * of that, somebody else changes the same thing, so that a second execution would show.
 */

interface Run {
  readonly t: Test
  /** Reaches the nodes through proxies that lose answers. */
  readonly client: QuorateClient
  /** Loses none. */
  readonly others: QuorateClient
  /** The answer to the next write of `client` is lost. */
  readonly lose: (meanwhile?: () => Promise<unknown>) => void
}

type Writes = Readonly<Record<string, (run: Run) => Promise<void>>>

const ttlMs = 600_000

/** By method: the client sends the write again under the same name, it is executed once, and the caller gets the answer that was lost. */
const repeated: Writes = {
  'QuorateClient.put': async ({ t, client, others, lose }) => {
    lose(async () => await others.put('put', 'theirs'))
    t.match(await client.put('put', 'mine', { ifAbsent: true, prev: true }), { version: 1, prev: null })
    t.match(await others.get('put'), { text: 'theirs', version: 2 })
  },
  'QuorateClient.delete': async ({ t, client, others, lose }) => {
    const { revision: ifRevision } = await others.put('delete', 'before')
    lose(async () => await others.put('delete', 'theirs'))
    t.match(await client.delete('delete', { ifRevision, prev: true }), { deleted: 1, prev: { text: 'before' } })
    t.match(await others.get('delete'), { text: 'theirs', version: 1 })
  },
  'QuorateClient.deleteRange': async ({ t, client, others, lose }) => {
    for (const chunked of [false, true]) {
      for (const key of ['range/a', 'range/b']) await others.put(key, '')
      lose(async () => await others.put('range/c', 'theirs'))
      t.match(await client.deleteRange({ prefix: 'range/' }, { chunked }), { deleted: 2 })
      t.match(await collect(others.list({ prefix: 'range/' })), [{ key: 'range/c', text: 'theirs' }])
      await others.delete('range/c')
    }
  },
  'QuorateClient.transaction': async ({ t, client, others, lose }) => {
    lose(async () => await others.delete('txn'))
    const written = client.transaction().if(compare.absent('txn')).do(op.put('txn', 'mine'), op.get('txn'))
    t.match(await written.commit(), { succeeded: true, results: [{ version: 1 }, { text: 'mine' }] })
    t.equal(await others.get('txn'), null)
  },
  'QuorateClient.sendTransaction': async ({ t, client, others, lose }) => {
    const body = { success: [{ put: { key: 'sent', value: 'mine' } }] }
    lose(async () => await others.put('sent', 'theirs'))
    const done = await client.sendTransaction(Buffer.from(JSON.stringify(body)))
    t.match(done, { succeeded: true, results: [{ put: { version: 1 } }] })
    t.match(await others.get('sent'), { text: 'theirs', version: 2 })
  },
  'QuorateClient.import': async ({ t, client, others, lose }) => {
    const records = [{ key: 'import', value: 'mine' }]
    for (const source of [records, () => records]) {
      lose(async () => await others.put('import', 'theirs'))
      t.match(await client.import(source), { imported: 1 })
      t.match(await others.get('import'), { text: 'theirs' })
    }
  },
  'QuorateClient.lease': async ({ t, client, others, lose }) => {
    const before = (await collect(others.leases.list())).length
    lose()
    await using lease = await client.lease({ ttlMs })
    t.ok(lease.isHeld)
    t.match(await others.leases.get(lease.id), { ttlMs, use: 'keys' })
    t.equal((await collect(others.leases.list())).length, before + 1)
  },
  'Lease.release': async ({ t, client, others, lose }) => {
    const lease = await client.lease({ ttlMs, id: 4 })
    await client.put('held', '', { lease: lease.id })
    lose(async () => await others.leases.grant({ ttlMs, id: lease.id }))
    await lease.release()
    t.equal(await others.get('held'), null)
    t.match(await others.leases.get(lease.id), { id: lease.id, ending: false }, 'that of somebody else lives')
  },
  'Leases.grant': async ({ t, client, others, lose }) => {
    lose(async () => await others.leases.revoke(5))
    t.match(await client.leases.grant({ ttlMs, id: 5 }), { id: 5, ttlMs })
    t.equal(await others.leases.get(5), null)
  },
  'Leases.revoke': async ({ t, client, others, lose }) => {
    await others.leases.grant({ ttlMs, id: 6 })
    lose(async () => await others.leases.grant({ ttlMs, id: 6 }))
    await client.leases.revoke(6)
    t.match(await others.leases.get(6), { id: 6, ending: false })
  },
  'QuorateClient.lock': async ({ t, client, others, lose }) => {
    lose()
    await using lock = await client.lock('lock', { ttlMs })
    const { token, lease } = lock
    t.strictSame(await others.lockStatus('lock'), { name: 'lock', holder: { lease, token, owner: '' }, waiting: 0 })
  },
  'QuorateClient.tryLock': async ({ t, client, others, lose }) => {
    lose()
    await using lock = await client.tryLock('tried', { ttlMs })
    t.match(await others.lockStatus('tried'), { holder: { token: lock?.token }, waiting: 0 })
  },
  'Lock.release': async ({ t, client, others, lose }) => {
    const lock = await client.lock('released', { ttlMs })
    const next = others.lock('released', { ttlMs })
    lose(async () => await next)
    await lock.release()
    t.match(await others.lockStatus('released'), { holder: { token: (await next).token } }, 'the next one keeps it')
    t.ok((await next).token > lock.token)
  },
  'History.compact': async ({ t, client, others, lose }) => {
    const { revision } = await others.put('compact', '1')
    const later = await others.put('compact', '2')
    lose(async () => await others.history.compact(later.revision))
    t.match(await client.history.compact(revision), { compactRevision: later.revision }, 'as of now')
    t.equal((await others.history.status()).compactRevision, later.revision)
  },
  'History.retain': async ({ t, client, others, lose }) => {
    const retention = { revisions: 5_000, ageMs: 3_600_000, bytes: 1_000_000 }
    const theirs = { ...retention, revisions: 7_000 }
    lose(async () => await others.history.retain(theirs))
    t.match(await client.history.retain(retention), { retention: theirs }, 'as of now')
    t.match((await others.history.status()).retention, theirs)
  },
}

const renewal: Writes = {
  'Leases.keepAlive': async ({ t, client, others, lose }) => {
    await others.leases.grant({ ttlMs, id: 7 })
    lose()
    t.match(await client.leases.keepAlive(7), { id: 7 })
  },
}

/** What these answer is as of now, also to a retry. */
const answeredAsOfNow = new Set(['History.compact', 'History.retain'])

/** By method: the client does not send it again, it is executed once, and the caller is told that it may have been. */
const askedOnce: Writes = {
  'QuorateClient.importLines': async ({ t, client, others, lose }) => {
    lose()
    const lines = (async function* () {
      yield await Promise.resolve(Buffer.from('{"key":"lines","value":"mine"}\n'))
    })()
    const error = await thrownBy(client.importLines(lines))
    t.ok(error instanceof AmbiguousOutcomeError && error.idempotencyKey !== null, 'it has a name to be repeated under')
    t.match(await others.get('lines'), { text: 'mine', version: 1 })
  },
  'ClusterClient.addLearner, ClusterClient.removeLearner': async ({ t, client, others, lose }) => {
    const { addresses } = await startTestNode(t, 4, await temporaryDirectory(t))
    lose()
    await ambiguous(t, client.cluster.addLearner({ id: 4, raft: addresses.raft, api: addresses.api }))
    t.match(await membershipOf(others), { nodes: { 4: { raft: addresses.raft } } })
    lose()
    await ambiguous(t, client.cluster.removeLearner(4))
    t.notOk('4' in (await membershipOf(others)).nodes)
  },
  'ClusterClient.setVoters, ClusterClient.addVoters, ClusterClient.removeVoter': async ({
    t,
    client,
    others,
    lose,
  }) => {
    lose()
    await ambiguous(t, client.cluster.setVoters([1, 2], { retain: true }))
    t.same((await membershipOf(others)).configs, [[1, 2]])
    lose()
    await ambiguous(t, client.cluster.addVoters([3], { allowLagging: true }))
    t.same((await membershipOf(others)).configs, [[1, 2, 3]])
    lose()
    await ambiguous(t, client.cluster.removeVoter(3, { retain: true }))
    t.same((await membershipOf(others)).configs, [[1, 2]])
    await others.cluster.addVoters([3], { allowLagging: true })
  },
  'ClusterClient.setAddresses': async ({ t, client, others, lose }) => {
    const { raft = '' } = (await membershipOf(others)).nodes['3'] ?? {}
    const api = 'http://node-3.example:7001'
    lose()
    await ambiguous(t, client.cluster.setAddresses({ id: 3, raft, api }))
    t.match(await membershipOf(others), { nodes: { 3: { raft, api } } })
  },
  'ClusterClient.transfer': async ({ t, client, others, lose }) => {
    const { leader } = await others.cluster.status()
    lose()
    await ambiguous(t, client.cluster.transfer())
    t.not((await others.cluster.status()).leader, leader)
  },
}

/** The same for what begins a cluster of one node, in this order. */
const beginning: Writes = {
  'ClusterClient.initialize': async ({ t, client, others, lose }) => {
    lose()
    await ambiguous(t, client.cluster.initialize(null))
    t.match(await others.cluster.status(), { leader: 1 })
  },
}

/** The first token. The client has drawn its secret, so that the same request is answered in the same way. */
const founding: Writes = {
  'AuthClient.bootstrap': async ({ t, client, others, lose }) => {
    lose()
    t.match(await client.auth.bootstrap(), { name: 'admin', secret: /^quorate_/ })
    await t.rejects(others.get('a'), { code: 'unauthenticated' })
  },
}

/** The same for roles and tokens, in this order. */
const access: Writes = {
  'AuthClient.putRole, AuthClient.deleteRole': async ({ t, client, others, lose }) => {
    lose()
    await ambiguous(t, client.auth.putRole('mine', { rights: ['cluster:read'] }))
    t.match(await others.auth.role('mine'), { name: 'mine', rights: ['cluster:read'] })
    lose()
    await ambiguous(t, client.auth.deleteRole('mine'))
    t.notOk((await others.auth.roles()).some(({ name }) => name === 'mine'))
  },
  'AuthClient.createToken, AuthClient.createCertificateToken, AuthClient.revokeToken': async ({
    t,
    client,
    others,
    lose,
  }) => {
    lose()
    await ambiguous(t, client.auth.createToken('secret', ['admin']))
    lose()
    await ambiguous(t, client.auth.createCertificateToken('shown', ['admin'], 'cn.example'))
    const made = (await others.auth.tokens()).filter(({ name }) => ['secret', 'shown'].includes(name))
    t.match(made, [{ name: 'secret' }, { name: 'shown', certificateName: 'cn.example' }], 'each of them once')
    lose()
    await ambiguous(t, client.auth.revokeToken(made[0]?.id ?? 0))
    t.notOk((await others.auth.tokens()).some(({ name }) => name === 'secret'))
  },
}

async function ambiguous(t: Test, write: Promise<unknown>): Promise<void> {
  const error = await thrownBy(write)
  t.ok(error instanceof AmbiguousOutcomeError, String(error))
  t.match(error, { idempotencyKey: null })
}

async function membershipOf(client: QuorateClient): Promise<MembershipView> {
  return (await client.cluster.membership()).membership
}

/** Carries the writes out, and says what nodes were sent for them. */
async function carriedOut(
  t: Test,
  writes: Writes,
  origins: readonly string[],
  options: Pick<ClientOptions, 'token'> = {},
): Promise<ReadonlyMap<string, readonly Passed[]>> {
  const passed = new Map<string, readonly Passed[]>()
  for (const [name, write] of Object.entries(writes)) {
    await t.test(name, async (t) => {
      const proxies = await LossyProxies.before(t, origins)
      const [client, others] = [proxies.urls, origins.map((origin) => new URL(origin))].map((servers) =>
        clientOf(t, servers, 30_000, options),
      )
      if (client === undefined || others === undefined) throw new Error('there are two')
      await write({ t, client, others, lose: (meanwhile) => proxies.loseNext(meanwhile) })
      passed.set(name, proxies.passed)
    })
  }
  return passed
}

const { origins } = await formedNodes(t)

t.test('a write under a name is executed once, and the retry gets the answer that was lost', async (t) => {
  for (const [name, passed] of await carriedOut(t, repeated, origins)) {
    const lost = passed.filter(({ isLost }) => isLost)
    t.ok(lost.length > 0, name)
    for (const { method, path, idempotencyKey, status, answer } of lost) {
      t.ok(idempotencyKey !== null && status < 300, `${name}: ${status} ${answer}`)
      const again = passed.filter((one) => !one.isLost && one.idempotencyKey === idempotencyKey)
      t.match(again, [{ method, path, status }], name)
      t.equal(again.length, 1, name)
      if (!answeredAsOfNow.has(name)) t.equal(again[0]?.answer, answer, name)
    }
  }
})

t.test('a renewal is carried out at each attempt', async (t) => {
  const passed = await carriedOut(t, renewal, origins)
  t.match(passed.get('Leases.keepAlive'), [
    { status: 200, idempotencyKey: null, isLost: true },
    { status: 200, idempotencyKey: null, isLost: false },
  ])
})

t.test('a write without a name is sent once', async (t) => {
  const check = (all: ReadonlyMap<string, readonly Passed[]>): void => {
    for (const [name, passed] of all) {
      t.ok(passed.length > 0, name)
      for (const { isLost, status, answer } of passed) t.ok(isLost && status < 300, `${name}: ${status} ${answer}`)
    }
  }
  check(await carriedOut(t, askedOnce, origins))
  const alone = await startTestNode(t, 1, await temporaryDirectory(t))
  check(await carriedOut(t, beginning, [alone.addresses.api]))
  const founded = await carriedOut(t, founding, [alone.addresses.api])
  t.match(founded.get('AuthClient.bootstrap'), [
    { status: 201, isLost: true },
    { status: 201, isLost: false },
  ])
  const other = await startTestNode(t, 1, await temporaryDirectory(t))
  const founder = clientOf(t, [new URL(other.addresses.api)], 30_000)
  await founder.cluster.initialize(null)
  const { secret } = await founder.auth.bootstrap()
  check(await carriedOut(t, access, [other.addresses.api], { token: secret ?? '' }))
})

/** Methods that change nothing. */
const reading = new Set([
  ...[
    'get',
    'list',
    'listKeys',
    'count',
    'export',
    'exportLines',
    'watch',
    'lockStatus',
    'listLocks',
    'pages',
    'close',
  ].map((name) => `QuorateClient.${name}`),
  ...['status', 'membership', 'backup', 'isReady', 'checkHealth', 'health', 'metrics', 'diagnostics', 'version'].map(
    (name) => `ClusterClient.${name}`,
  ),
  ...['self', 'roles', 'role', 'tokens', 'token'].map((name) => `AuthClient.${name}`),
  ...['get', 'keys', 'list', 'page'].map((name) => `Leases.${name}`),
  ...['versions', 'status'].map((name) => `History.${name}`),
])
/** Methods that send what the tables have by way of another one. */
const covered = new Set(['ClusterClient.changeVoters', 'Leases.keep'])

t.test('no method is left out', async (t) => {
  const methods = Object.entries({ QuorateClient, ClusterClient, AuthClient, Leases, History }).flatMap(
    ([name, { prototype }]) =>
      Object.getOwnPropertyNames(prototype)
        .filter((method) => method !== 'constructor')
        .map((method) => `${name}.${method}`),
  )
  const tested = [repeated, renewal, askedOnce, beginning, founding, access].flatMap((writes) =>
    Object.keys(writes).flatMap((names) => names.split(', ')),
  )
  t.same(
    methods.filter((method) => !tested.includes(method) && !reading.has(method) && !covered.has(method)),
    [],
  )
})
