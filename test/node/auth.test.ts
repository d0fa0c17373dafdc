import t, { type Test } from 'tap'
import type { Bearer, Guard, ReadOptions } from '../../src/api/services.ts'
import { NODE_ITSELF, recordRow, type AuthCommand, type Command, type Grant, type Need } from '../../src/kv/index.ts'
import type { NodeOptions } from '../../src/node/options.ts'
import { key, readOptions } from './support/client.ts'
import { refused, specOf, TestCluster } from './support/cluster.ts'
import { formed } from './support/formed.ts'

const NOW = { idempotency: null } as const
const READ_A: readonly Need[] = [{ access: 'read', key: key('a') }]
const TTL_MS = 20_000
const CURRENT: ReadOptions = { consistency: 'linearizable', minRevision: null, maxStalenessMs: null, timeoutMs: 5_000 }

const hash = (at: number): string => String(at).padStart(64, '0')
const everything: Grant = { access: 'read-write', keys: { type: 'prefix', prefix: '' } }

/** A cluster with its first token; `run` executes a command under it. */
async function secured(t: Test, ids: readonly number[] = [1, 2, 3], options: Partial<NodeOptions> = {}) {
  const all = await formed(t, ids, { featureLevelMax: 1, ...options })
  const { c, leader } = all
  await c.until('the level is raised', () => ids.every((id) => c.at(id).node.replica.applier.level === 1))
  const begun = await c.on(leader).execute({ type: 'auth-bootstrap', name: 'root', hash: hash(0), ...NOW })
  const admin = begun.type === 'auth-begun' ? begun.id : 0
  const run = (on: number, command: Command) => c.on(on).execute({ ...command, token: admin })
  await run(leader, { type: 'role-put', role: { name: 'app', grants: [everything], rights: [] }, ...NOW })
  return { ...all, admin, run }
}

let made = 0

async function newToken(
  run: (on: number, command: Command) => Promise<{ readonly type: string }>,
  on: number,
  { name = 'app', expiresAt = null }: { readonly name?: string; readonly expiresAt?: number | null } = {},
) {
  const unlimited = { requestsPerSecond: null, bytesPerSecond: null, certificateName: null }
  const created = { name, roles: ['app'], expiresAt, ...unlimited, hash: hash(++made) }
  const result = await run(on, { type: 'token-create', created, ...NOW })
  if (result.type !== 'token-created' || !('id' in result)) throw new Error(`not made: ${JSON.stringify(result)}`)
  return { id: Number(result.id), hash: created.hash }
}

function put(name: string, token?: number): Command {
  const plain = { condition: null, wantsPrevious: false, ...NOW } as const
  const command = { type: 'put', key: key(name), value: Buffer.from('v'), ...plain } as const
  return token === undefined ? command : { ...command, token }
}

function remove(id: number): AuthCommand {
  return { type: 'token-delete', id, ...NOW }
}

function services(c: TestCluster, on: number) {
  return c.at(on).node.services
}

async function guardOf(c: TestCluster, on: number, of: string, needs = READ_A): Promise<Guard> {
  const { auth } = services(c, on)
  const { token } = await auth.admit(of, needs, () => TTL_MS, null)
  return auth.guard({ token }, needs)
}

t.test(
  'a node that is behind lets a revoked token do nothing that begins after the revocation was answered',
  async (t) => {
    const { c, leader, followers, run } = await secured(t)
    const [behind = 0] = followers
    const token = await newToken(run, leader)
    await c.settled()
    const guard = await guardOf(c, behind, token.hash)
    t.equal(await c.on(behind).get('a', { guard }), null)
    const { applier } = c.at(behind).node.replica
    await applier.pause()
    t.equal((await run(leader, remove(token.id))).type, 'token-deleted')
    t.ok(services(c, behind).auth.table?.tokens.has(token.id), 'it does not know')

    const written = refused(c.on(behind).execute(put('a', token.id)), 'unauthenticated')
    const named = { ...put('b', token.id), idempotency: { key: 'n', fingerprint: 1 } } as Command
    const retried = refused(c.on(behind).execute(named), 'unauthenticated')
    const read = refused(c.on(behind).get('a', { guard }), 'unauthenticated')
    const past = refused(c.on(behind).get('a', { guard, revision: 0 }), 'unauthenticated')
    const watch = { keys: key('a'), puts: true, deletes: true, wantsPrevious: false, since: 0, timeoutMs: 5_000, guard }
    const watched = refused(c.on(behind).watch(watch), 'unauthenticated')
    const admitted = services(c, behind).auth.admit(hash(999), READ_A, () => TTL_MS, null)
    t.equal(await c.on(behind).get('a', { guard, consistency: 'stale' }), null, 'a stale read is as old as its node')
    await c.pass(200)
    applier.resume()
    await Promise.all([written, retried, read, past, watched])
    t.equal((await admitted).denied?.code, 'unauthenticated')
    t.equal((await run(leader, put('c'))).type, 'put')
    t.equal(await c.on(leader).get('a'), null)
    t.equal(await c.on(leader).get('b'), null)
  },
)

t.test('a node that is behind does not deny what was granted before', async (t) => {
  const { c, leader, followers, run } = await secured(t)
  const [behind = 0] = followers
  const { auth } = services(c, behind)
  await run(leader, { type: 'role-put', role: { name: 'app', grants: [], rights: [] }, ...NOW })
  const known = await newToken(run, leader)
  await c.settled()
  const guard = auth.guard({ token: auth.tokenWith(known.hash) }, READ_A)
  const stale = { guard, consistency: 'stale' } as const
  await refused(c.on(behind).get('a', stale), 'forbidden')
  const { applier } = c.at(behind).node.replica
  await applier.pause()
  await run(leader, { type: 'role-put', role: { name: 'app', grants: [everything], rights: [] }, ...NOW })
  const read = c.on(behind).get('a', stale)
  const token = await newToken(run, leader)
  const admitted = services(c, behind).auth.admit(token.hash, READ_A, () => TTL_MS, null)
  const written = c.on(behind).execute(put('a', token.id))
  await c.pass(200)
  applier.resume()
  t.match(await admitted, { token: { id: token.id } })
  t.equal((await written).type, 'put')
  t.equal(await read, null, 'a stale read is refused by what is so now')
  c.partition([behind])
  await c.until('it knows no leader', () => c.at(behind).node.replica.raft.leader === null)
  const other = auth.guard({ token: auth.tokenWith(known.hash) }, [{ right: 'cluster:admin' }])
  await refused(c.on(behind).get('a', { ...stale, guard: other }), 'forbidden')
})

t.test(
  'before a node knows of the first token, it takes writes without one, and none of them takes effect',
  async (t) => {
    const { c, leader, followers } = await formed(t, [1, 2, 3], { featureLevelMax: 1 })
    await c.until('the level is raised', () => [1, 2, 3].every((id) => c.at(id).node.replica.applier.level === 1))
    const [behind = 0] = followers
    await c.settled()
    const { applier } = c.at(behind).node.replica
    await applier.pause()
    await c.on(leader).execute({ type: 'auth-bootstrap', name: 'root', hash: hash(0), ...NOW })
    t.equal(services(c, behind).auth.table, null)
    const guard = await guardOf(c, behind, hash(0), READ_A)
    const written = refused(c.on(behind).execute(put('a')), 'unauthenticated')
    const read = refused(c.on(behind).get('a', { guard }), 'unauthenticated')
    await c.pass(200)
    applier.resume()
    await Promise.all([written, read])
  },
)

t.test('a node that serves nobody says why, and does not wait for a leader to confirm a token', async (t) => {
  const { c, leader, followers, run } = await secured(t)
  const [removed = 0] = followers
  await c.settled()
  const change = { voters: { add: [], remove: [removed] }, retain: false, allowLagging: true, force: false }
  await services(c, leader).cluster.changeVoters(
    { ...change, ifMembershipAt: null },
    TTL_MS,
    bearerOn(c, leader, hash(0)),
  )
  await c.until('it knows that it was removed', () => c.at(removed).node.replica.isRemoved)
  const { hash: late } = await newToken(run, leader)
  const { auth } = services(c, removed)
  t.match(await auth.admit(late, READ_A, () => TTL_MS, null), { token: null, denied: { code: 'removed' } })
  await refused(auth.confirm(TTL_MS, null), 'removed')
  const pristine = new TestCluster(t, [1])
  await pristine.start(1)
  await refused(services(pristine, 1).auth.confirm(TTL_MS, null), 'not-initialized')
})

t.test('without a leader a node judges by what it knows', async (t) => {
  const { c, leader, followers, run } = await secured(t)
  const [alone = 0] = followers
  const token = await newToken(run, leader)
  await c.settled()
  c.partition([alone])
  await c.until('it knows no leader', () => c.at(alone).node.replica.raft.leader === null)
  t.match(await services(c, alone).auth.admit(token.hash, READ_A, () => TTL_MS, null), { token: { id: token.id } })
  const denied = services(c, alone).auth.admit(hash(999), READ_A, () => TTL_MS, null)
  await c.pass(2_000)
  t.equal((await denied).denied?.code, 'unauthenticated')
})

t.test('roles and tokens survive restarts, and come with a snapshot', async (t) => {
  const { c, leader, followers, run } = await secured(t, [1, 2, 3], {
    keepEntries: 1,
    keepBytes: 1,
    purgeEveryEntries: 5,
  })
  const [one = 0, other = 0] = followers
  await c.at(other).crash()
  const token = await newToken(run, leader)
  for (let at = 0; at < 40; at++) await run(leader, put(`k${at}`))
  await c.settled([leader, one])
  await c.at(one).crash()
  await c.start(one)
  await c.until('it is back', () => services(c, one).auth.table?.tokens.has(token.id) === true)
  await c.start(other)
  await c.until('it has the state', () => services(c, other).auth.table?.tokens.has(token.id) === true)
  t.ok(c.at(other).node.replica.snapshotReceiver.installed > 0, 'by a snapshot')
  t.match(await services(c, other).auth.admit(token.hash, READ_A, () => TTL_MS, null), { token: { id: token.id } })
  await c.settled()
  t.equal(new Set([1, 2, 3].map((id) => c.at(id).node.replica.applier.digest)).size, 1)
})

t.test('the leader revokes a token whose time is up, also one that has just been elected', async (t) => {
  const { c, leader, run } = await secured(t)
  const until = Math.floor(c.clock.wall()) + TTL_MS
  const token = await newToken(run, leader, { expiresAt: until })
  const later = await newToken(run, leader, { expiresAt: until + TTL_MS })
  await c.pass(TTL_MS - 1_000)
  t.equal((await c.on(leader).execute(put('a', token.id))).type, 'put')
  await c.at(leader).crash()
  const next = await c.leader()
  await c.pass(2_000)
  t.notOk(services(c, next).auth.table?.tokens.has(token.id))
  t.ok(services(c, next).auth.table?.tokens.has(later.id))
  await refused(c.on(next).execute(put('a', token.id)), 'unauthenticated')
  t.match(
    c.lines.find(({ event }) => event === 'expired token revoked'),
    { node: next, facts: { token: token.id, name: 'app' } },
  )
  t.match(
    c.lines.filter(({ event }) => event === 'audit'),
    [
      {
        node: next,
        facts: { audit: { operation: 'deleteToken', by: 'expiry', asked: { id: token.id, name: 'app' } } },
      },
    ],
  )
  await c.pass(TTL_MS)
  t.notOk(services(c, next).auth.table?.tokens.has(later.id))
})

t.test('a node refuses a token whose time is up by its own clock, before the leader has revoked it', async (t) => {
  const { c, leader, run } = await secured(t)
  const token = await newToken(run, leader, { expiresAt: Math.floor(c.clock.wall()) + TTL_MS })
  await c.settled()
  const { permissions } = c.at(leader).node.replica
  c.at(leader).node.replica.expiry.stop()
  await c.pass(TTL_MS)
  t.ok(permissions.table?.tokens.has(token.id))
  t.equal(permissions.tokenWith(token.hash), null)
  await refused(c.on(leader).execute(put('a', token.id)), 'unauthenticated')
})

t.test('a request that waits for a lock gives up its place when its token is revoked', async (t) => {
  const { c, leader, followers, admin, run } = await secured(t)
  const [one = 0] = followers
  const token = await newToken(run, leader, { name: 'waiter' })
  const acquire = (on: number, by: number, waitMs: number, idempotency: Command['idempotency'] = null) =>
    services(c, on).leases.acquire(
      { type: 'lock-acquire', name: key('l'), ttlMs: 60_000, waitMs, owner: '', token: by, idempotency },
      5_000,
    )
  const { result: held } = await acquire(leader, admin, 0)
  const waiting = refused(acquire(one, token.id, 30_000), 'unauthenticated')
  const named = refused(acquire(one, token.id, 30_000, { key: 'n', fingerprint: 1 }), 'unauthenticated')
  await c.pass(300)
  const behind = acquire(leader, admin, 30_000)
  await c.pass(300)
  await run(leader, remove(token.id))
  await c.pass(300)
  await Promise.all([waiting, named])
  const lease = held.type === 'lock-acquired' ? held.lease : 0
  await run(leader, { type: 'lock-release', name: key('l'), lease, ...NOW })
  await c.pass(300)
  t.match((await behind).result, { type: 'lock-acquired' })
})

t.test(
  'a named request keeps the lock of which one of its tries was told, though another is refused since',
  async (t) => {
    const { c, leader, followers, admin, run } = await secured(t)
    const [one = 0] = followers
    const token = await newToken(run, leader, { name: 'holder', expiresAt: Math.floor(c.clock.wall()) + TTL_MS })
    c.at(leader).node.replica.expiry.stop()
    const acquire = (on: number, by: number, idempotency: Command['idempotency'] = null) =>
      services(c, on).leases.acquire(
        { type: 'lock-acquire', name: key('l'), ttlMs: 60_000, waitMs: 30_000, owner: '', token: by, idempotency },
        5_000,
      )
    const { result: before } = await acquire(leader, admin)
    const name = { key: 'n', fingerprint: 1 }
    const told = acquire(leader, token.id, name)
    const late = refused(acquire(one, token.id, name), 'outcome-unknown')
    await c.pass(300)
    const { applier } = c.at(one).node.replica
    await applier.pause()
    const lease = before.type === 'lock-acquired' ? before.lease : 0
    await run(leader, { type: 'lock-release', name: key('l'), lease, ...NOW })
    const { result: held } = await told
    // Its time is up before this node has learned that it has the lock.
    await c.pass(TTL_MS)
    applier.resume()
    await late
    const { lock } = await services(c, leader).leases.lock(key('l'), CURRENT)
    t.match(held, { type: 'lock-acquired', lease: lock?.lease }, 'nobody else has it before its time is over')
  },
)

t.test('what nodes do by themselves needs no token', async (t) => {
  const { c, leader, run } = await secured(t)
  await run(leader, { ...put('a'), lease: { type: 'own', ttlMs: 2_000 } } as Command)
  await c.pass(5_000)
  const read: Partial<ReadOptions> = { consistency: 'stale' }
  t.equal(await c.on(leader).get('a', read), null, 'a lease ends')
  await run(leader, { type: 'retention', retention: { revisions: 1, ageMs: 1_000, bytes: 65_536 }, ...NOW })
  for (let at = 0; at < 5; at++) await run(leader, put('b'))
  await c.pass(5_000)
  t.ok(c.at(leader).node.replica.applier.compactedRevision > 0, 'history is compacted')
  await refused(c.on(leader).execute({ type: 'compaction', revision: 1, ...NOW }), 'unauthenticated')
  t.equal(
    (await c.on(leader).execute({ type: 'compaction', revision: 1, token: NODE_ITSELF, ...NOW })).type,
    'compacted',
  )
})

t.test('whoever listens is told of each change, once, before anything later', async (t) => {
  const { c, leader, run } = await secured(t)
  const { auth } = services(c, leader)
  const seen: (number | undefined)[] = []
  const end = auth.onChange(() => seen.push(auth.table?.tokens.size))
  const token = await newToken(run, leader)
  await run(leader, put('a'))
  await run(leader, remove(token.id))
  end()
  await newToken(run, leader)
  t.same(seen, [2, 1])
})

t.test('without tokens a guard costs nothing: the past, and a watch of it, ask no leader', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], { featureLevelMax: 1 })
  await c.until('the level is raised', () => [1, 2, 3].every((id) => c.at(id).node.replica.applier.level === 1))
  const [alone = 0] = followers
  await c.on(leader).execute(put('a'))
  await c.settled()
  const { revision } = c.at(alone).node.replica.applier
  const guard = await guardOf(c, alone, hash(0))
  c.partition([alone])
  await c.until('it knows no leader', () => c.at(alone).node.replica.raft.leader === null)
  t.equal(await c.on(alone).get('a', { guard, revision }), 'v')
  const watch = { keys: key('a'), puts: true, deletes: true, wantsPrevious: false, since: 0, timeoutMs: 5_000, guard }
  ;(await c.on(alone).watch({ ...watch, since: revision })).close()
})

const ADMIN: readonly Need[] = [{ right: 'cluster:admin' }]
const NOBODY: Bearer = { hash: null, token: null }

/** A client that has sent the token with this hash to node `on`. */
function bearerOn(c: TestCluster, on: number, of: string): Bearer {
  return {
    hash: of,
    get token() {
      return services(c, on).auth.tokenWith(of)
    },
  }
}

/** A cluster with its first token, which a follower has yet to learn of: it applies nothing until `resume`. */
async function lately(t: Test) {
  const { c, leader, followers } = await formed(t, [1, 2, 3], { featureLevelMax: 1 })
  await c.until('the level is raised', () => [1, 2, 3].every((id) => c.at(id).node.replica.applier.level === 1))
  const [behind = 0, other = 0] = followers
  await c.settled()
  await c.at(behind).node.replica.applier.pause()
  const begin = async () => {
    await c.on(leader).execute({ type: 'auth-bootstrap', name: 'root', hash: hash(0), ...NOW })
    await c.on(leader).execute(put('a', services(c, leader).auth.tokenWith(hash(0))?.id))
  }
  return { c, leader, behind, other, begin, resume: () => c.at(behind).node.replica.applier.resume() }
}

t.test('the leader itself decides who may change members, whatever the node that was asked knows', async (t) => {
  const { c, leader, behind, begin } = await lately(t)
  await begin()
  const { cluster, auth } = services(c, behind)
  t.equal(auth.table, null, 'it knows of no tokens')
  for (const by of [NOBODY, bearerOn(c, behind, hash(999))]) {
    const change = { voters: { add: [], remove: [leader] }, retain: false, allowLagging: true, force: true }
    await refused(cluster.changeVoters({ ...change, ifMembershipAt: null }, 2_000, by), 'unauthenticated')
    await refused(cluster.addLearner(specOf(4), false, 2_000, by), 'unauthenticated')
    await refused(cluster.removeLearner(4, 2_000, by), 'unauthenticated')
    const move = { member: specOf(leader), force: true, ifMembershipAt: null }
    await refused(cluster.setAddresses(move, 2_000, by), 'unauthenticated')
    await refused(cluster.learners(2_000, by), 'unauthenticated')
    await refused(cluster.transfer(behind, 2_000, by), 'unauthenticated')
  }
  const root = bearerOn(c, behind, hash(0))
  t.equal(root.token, null)
  t.same(await cluster.learners(2_000, root), [])
  const [to = 0] = [1, 2, 3].filter((id) => id !== leader && id !== behind)
  t.same(await cluster.transfer(to, 2_000, root), { leader: to })
})

t.test('the first token that only the leader may make is made by no other leader', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], { featureLevelMax: 1 })
  await c.until('the level is raised', () => [1, 2, 3].every((id) => c.at(id).node.replica.applier.level === 1))
  const begin = (on: number) => {
    const command = { type: 'auth-bootstrap', name: 'root', hash: hash(0), ...NOW } as const
    return services(c, on).keys.execute(command, 2_000, undefined, { isOnlyHere: true })
  }
  for (const id of followers) await refused(begin(id), 'no-leader')
  const handingOver = c.on(leader).services.cluster.transfer(followers[0] ?? 0, 5_000, NOBODY)
  // Asked while it leads, and proposed when it hands over, or has done so.
  await refused(begin(leader), 'no-leader')
  const { leader: next } = await handingOver
  await refused(begin(leader), 'no-leader')
  await c.settled()
  t.same(
    [1, 2, 3].map((id) => services(c, id).auth.table),
    [null, null, null],
  )
  t.equal((await begin(next)).result.type, 'auth-begun')
})

t.test('a member that has yet to learn of the first token gives no backup without one', async (t) => {
  const { c, behind, begin, resume } = await lately(t)
  await begin()
  const { cluster, auth } = services(c, behind)
  const needs: readonly Need[] = [...ADMIN, { access: 'read', range: { start: null, end: null } }]
  const denied = refused(cluster.snapshot('linearizable', 5_000, auth.guard(NOBODY, needs)), 'unauthenticated')
  const given = cluster.snapshot('linearizable', 5_000, auth.guard(bearerOn(c, behind, hash(0)), needs))
  await c.pass(200)
  resume()
  await denied
  const { chunks } = await given
  let bytes = 0
  for await (const chunk of chunks) bytes += chunk.length
  t.ok(bytes > 0)
  t.equal(c.at(behind).state.viewsOpen, 0)
})

t.test('a valid token is not refused by a member that has yet to learn of it', async (t) => {
  const { c, behind, begin, resume } = await lately(t)
  await begin()
  const { auth, keys, leases } = services(c, behind)
  const bearer = bearerOn(c, behind, hash(0))
  const caller = { isGone: false, bearer }
  const read = c.on(behind).get('a', { guard: auth.guard(bearer, READ_A), timeoutMs: 5_000 })
  const written = keys.execute(put('b'), 5_000, caller)
  const lock = { type: 'lock-acquire', name: key('l'), ttlMs: 60_000, waitMs: 0, owner: '', idempotency: null } as const
  const locked = leases.acquire(lock, 5_000, caller)
  await c.pass(200)
  resume()
  t.equal(await read, 'v')
  t.equal((await written).result.type, 'put')
  t.equal((await locked).result.type, 'lock-acquired')
})

t.test('a node that has just started asks the leader whether there are tokens', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], { featureLevelMax: 1 })
  await c.until('the level is raised', () => [1, 2, 3].every((id) => c.at(id).node.replica.applier.level === 1))
  const [late = 0] = followers
  await c.on(leader).execute(put('a'))
  await c.settled()
  await c.at(late).crash()
  await c.on(leader).execute({ type: 'auth-bootstrap', name: 'root', hash: hash(0), ...NOW })
  await c.start(late)
  const { applier, raft } = c.at(late).node.replica
  await applier.pause()
  await c.until('it knows a leader', () => raft.leader === leader)
  const { auth } = services(c, late)
  t.equal(auth.table, null)
  const slow = auth.admit(null, ADMIN, () => TTL_MS, null)
  await c.pass(1_500)
  t.equal((await slow).denied?.code, 'read-timeout', 'while it cannot tell')
  const { revision } = applier
  const guard = auth.guard(NOBODY, READ_A)
  const past = refused(c.on(late).get('a', { guard, revision, timeoutMs: 5_000 }), 'unauthenticated')
  const watch = { keys: key('a'), puts: true, deletes: true, wantsPrevious: false, since: revision, timeoutMs: 5_000 }
  const watched = refused(c.on(late).watch({ ...watch, guard }), 'unauthenticated')
  const denied = auth.admit(null, ADMIN, () => TTL_MS, null)
  const admitted = auth.admit(hash(0), ADMIN, () => TTL_MS, null)
  await c.pass(200)
  applier.resume()
  await Promise.all([past, watched])
  t.equal((await denied).denied?.code, 'unauthenticated')
  t.match(await admitted, { token: { name: 'root' } })
})

t.test('a change of members that waits does not take effect once its token is revoked', async (t) => {
  const { c, leader, followers, run } = await secured(t, [1, 2, 3])
  const [next = 0] = followers
  await run(leader, { type: 'role-put', role: { name: 'app', grants: [], rights: ['cluster:admin'] }, ...NOW })
  const token = await newToken(run, leader)
  await c.settled()
  const [other = 0] = followers.filter((id) => id !== next)
  await c.at(other).crash()
  t.same(await c.on(leader).transfer(next), { leader: next })
  // The new leader has yet to hear of the voter that is away, and waits before it says that a majority is at risk.
  const change = { voters: [next, other], retain: false, allowLagging: true, force: false, ifMembershipAt: null }
  const { cluster } = services(c, next)
  const waiting = refused(cluster.changeVoters(change, 5_000, bearerOn(c, next, token.hash)), 'unauthenticated')
  t.equal((await run(leader, remove(token.id))).type, 'token-deleted')
  await c.pass(2_000)
  await waiting
})

t.test('a read that the store keeps waiting is given nothing once its token is revoked', async (t) => {
  const { c, leader, run } = await secured(t)
  const token = await newToken(run, leader)
  await run(leader, put('a'))
  const { revision } = c.at(leader).node.replica.applier
  await run(leader, put('a'))
  const { services: of, replica } = c.at(leader).node
  const guard = await guardOf(c, leader, token.hash)
  // The record of then is known once the store has what was written since.
  c.at(leader).state.writeMs = 500
  await run(leader, put('b'))
  const past = refused(c.on(leader).get('a', { guard, revision }), 'unauthenticated')
  await c.pass(50)
  t.equal((await run(leader, remove(token.id))).type, 'token-deleted')
  await past
  t.equal(replica.rows.peek(recordRow(key('none'))), undefined, 'it has to ask the store')

  c.at(leader).state.writeMs = 0
  c.at(leader).state.readMs = 500
  const other = await newToken(run, leader)
  const another = await guardOf(c, leader, other.hash)
  const present = refused(c.on(leader).get('none', { guard: another }), 'unauthenticated')
  const lock = refused(of.leases.lock(key('none'), readOptions({ guard: another })), 'unauthenticated')
  await c.pass(50)
  t.equal((await run(leader, remove(other.id))).type, 'token-deleted')
  await Promise.all([present, lock])
})

t.test('a backup breaks off when its token is revoked', async (t) => {
  const { c, leader, run } = await secured(t, [1, 2, 3], { snapshotChunkBytes: 1_000 })
  for (let at = 0; at < 20; at++) await run(leader, { ...put(`k${at}`), value: Buffer.alloc(1_000, at) } as Command)
  await run(leader, {
    type: 'role-put',
    role: { name: 'app', grants: [everything], rights: ['cluster:admin'] },
    ...NOW,
  })
  const token = await newToken(run, leader)
  const { cluster, auth } = services(c, leader)
  const { chunks } = await cluster.snapshot('linearizable', 5_000, auth.guard(bearerOn(c, leader, token.hash), ADMIN))
  const iterator = chunks[Symbol.asyncIterator]()
  t.equal((await iterator.next()).done, false)
  await run(leader, remove(token.id))
  await refused(iterator.next(), 'unauthenticated')
  t.equal(c.at(leader).state.viewsOpen, 0)
})
