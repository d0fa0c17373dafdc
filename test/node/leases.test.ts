import t from 'tap'
import type { Caller, ReadOptions } from '../../src/api/services.ts'
import type { Command, CommandResult, LockAcquireCommand } from '../../src/kv/index.ts'
import { buildApp } from '../../src/http/app.ts'
import { limits } from '../../src/limits.ts'
import { LeaseTerms } from '../../src/node/leases/lease-terms.ts'
import { Lessor } from '../../src/node/leases/lessor.ts'
import type { NodeOptions } from '../../src/node/options.ts'
import { key } from './support/client.ts'
import { nodeId } from '../../src/raft/index.ts'
import { Life } from './support/life.ts'
import { DiskStateStore, StateDisk } from './support/state-disk.ts'
import { refused, type Harness, type TestCluster } from './support/cluster.ts'
import { formed } from './support/formed.ts'

const LENGTH_MS = 4_000
/** By how much a lease may end later than its length while its leader stands: clocks may differ, and the entry has to be committed. */
const SLACK_MS = LENGTH_MS * 0.1 + 200
const ELECTION_MS = 2_000
const READ: ReadOptions = { consistency: 'linearizable', minRevision: null, maxStalenessMs: null, timeoutMs: 5_000 }
const NOW = { idempotency: null }

/** A cluster whose nodes know leases. */
async function leasing(t: Harness, ids: readonly number[] = [1, 2, 3], options: Partial<NodeOptions> = {}) {
  const all = await formed(t, ids, { featureLevelMax: 1, ...options })
  const { c } = all
  await c.until('the level is raised', () => ids.every((id) => c.at(id).node.replica.applier.level === 1))
  return all
}

function leaseOf(result: CommandResult): number {
  if (!('lease' in result)) throw new Error(`no lease: ${JSON.stringify(result)}`)
  return result.lease
}

const grant = (ttlMs = LENGTH_MS, id: number | null = null): Command => ({ type: 'lease-grant', id, ttlMs, ...NOW })
const renew = (id: number): Command => ({ type: 'lease-renew', id, ...NOW })
const attached = (name: string, id: number): Command => ({
  type: 'put',
  key: key(name),
  value: Buffer.from(name),
  lease: { type: 'granted', id },
  condition: null,
  wantsPrevious: false,
  ...NOW,
})
const own = (name: string, ttlMs: number): Command => ({
  type: 'put',
  key: key(name),
  value: Buffer.from(name),
  lease: { type: 'own', ttlMs },
  condition: null,
  wantsPrevious: false,
  ...NOW,
})

function services(c: TestCluster, id: number) {
  return c.at(id).node.services.leases
}

function acquire(c: TestCluster, on: number, name: string, waitMs = 0, caller?: Caller) {
  const command = {
    type: 'lock-acquire',
    name: key(name),
    ttlMs: LENGTH_MS,
    waitMs,
    owner: `on ${on}`,
    ...NOW,
  } as const
  return services(c, on)
    .acquire(command, 5_000, caller)
    .then(({ result }) => result)
}

/** A client that can leave. */
class Leaver implements Caller {
  isGone = false
  hasEnded = false
  /** Closes the connection before the answer has left. */
  close = (): void => undefined

  onUndelivered(then: () => void): void {
    this.close = then
  }
}

function release(c: TestCluster, on: number, name: string, lease: number) {
  return c.on(on).execute({ type: 'lock-release', name: key(name), lease, ...NOW })
}

/** Waits until the key is gone from node `on`; returns when that happened. */
async function goneAt(c: TestCluster, on: number, name: string, ms = 60_000): Promise<number> {
  const row = `\x01${name}`
  let isGone = false
  const deadline = c.clock.now() + ms
  while (!isGone && c.clock.now() < deadline) {
    await c.pass(25)
    isGone = (await c.on(on).get(name, { consistency: 'stale' })) === null
  }
  if (!isGone) throw new Error(`${row.slice(1)} is still there`)
  return c.clock.now()
}

t.test('a lease ends after its length, not before, and its keys go with it on every node', async (t) => {
  const { c, followers } = await leasing(t)
  const [one = 0] = followers
  const sentAt = c.clock.now()
  const id = leaseOf(await c.on(one).execute(grant()))
  const answeredAt = c.clock.now()
  await c.on(one).execute(attached('a', id))
  await c.on(one).execute(own('b', LENGTH_MS))
  const ownAt = c.clock.now()
  for (const [name, from, to] of [
    ['a', sentAt, answeredAt],
    ['b', answeredAt, ownAt],
  ] as const) {
    const at = await goneAt(c, one, name)
    t.ok(at >= from + LENGTH_MS, `${name} stayed for ${at - from} ms`)
    t.ok(at <= to + LENGTH_MS + SLACK_MS, `${name} was gone after ${at - to} ms`)
  }
  t.match(await c.on(one).execute(renew(id)), { type: 'lease-not-found' })
  await c.settled()
  for (const on of [1, 2, 3]) t.same((await services(c, on).list({ after: null, limit: 5 }, READ)).items, [])
})

t.test('a lease that is kept alive, through any node, does not end', async (t) => {
  const { c } = await leasing(t)
  const id = leaseOf(await c.on(1).execute(grant()))
  await c.on(1).execute(attached('a', id))
  let renewedAt = 0
  for (let round = 0; round < 12; round++) {
    await c.pass(LENGTH_MS - 300)
    renewedAt = c.clock.now()
    t.match(await c.on((round % 3) + 1).execute(renew(id)), { type: 'lease-renewed', ttlMs: LENGTH_MS })
  }
  t.equal(await c.on(2).get('a'), 'a')
  const at = await goneAt(c, 1, 'a')
  t.ok(at >= renewedAt + LENGTH_MS, 'not before the last renewal is over')
})

t.test('the leader tells every node how much time is left', async (t) => {
  const { c, leader, followers } = await leasing(t)
  const [one = 0] = followers
  const id = leaseOf(await c.on(leader).execute(grant()))
  for (const name of ['a', 'b', 'c']) await c.on(leader).execute(attached(name, id))
  await c.pass(1_000)
  const { lease, context } = await services(c, one).get(id, { after: null, limit: 2 }, READ)
  t.equal(context.servedBy, one)
  t.match(lease, { id, lease: { ttlMs: LENGTH_MS }, keys: { items: ['a', 'b'], more: true } })
  const remainingMs = lease?.remainingMs ?? 0
  t.ok(remainingMs > LENGTH_MS - 1_500 && remainingMs <= LENGTH_MS - 1_000, `${remainingMs} ms are left`)
  t.match((await services(c, one).get(id, { after: key('b'), limit: 2 }, READ)).lease?.keys, {
    items: ['c'],
    more: false,
  })
  t.equal((await services(c, one).get(99, { after: null, limit: 1 }, READ)).lease, null)
  await c.on(leader).execute(own('k', LENGTH_MS))
  const page = await services(c, one).list({ after: null, limit: 1 }, READ)
  t.match(page, { items: [{ id }], more: true })
  const rest = await services(c, one).list({ after: id, limit: 1 }, READ)
  t.match(rest, { items: [{ lease: { use: { type: 'key', key: 'k' } } }], more: false })
  const [last] = rest.items
  t.match((await services(c, one).get(last?.id ?? 0, { after: null, limit: 1 }, READ)).lease?.keys, { items: ['k'] })
})

t.test('an elected leader begins every lease again: none ends early, and none stays', async (t) => {
  const { c, leader } = await leasing(t)
  const ids: number[] = []
  // More than one read of the rows brings.
  for (let at = 0; at < 40; at++) ids.push(leaseOf(await c.on(leader).execute(grant())))
  await c.on(leader).execute(attached('a', ids[0] ?? 0))
  await c.pass(LENGTH_MS - 1_000)
  const crashedAt = c.clock.now()
  await c.at(leader).crash()
  const next = await c.leader()
  const electedAt = c.clock.now()
  const at = await goneAt(c, next, 'a')
  t.ok(at >= crashedAt + LENGTH_MS, `it ended ${at - crashedAt} ms after the crash`)
  t.ok(at <= electedAt + LENGTH_MS + SLACK_MS, `it ended ${at - electedAt} ms after the election`)
  t.ok(at <= crashedAt - (LENGTH_MS - 1_000) + 2 * LENGTH_MS + ELECTION_MS + SLACK_MS)
  await c.pass(500)
  t.same((await services(c, next).list({ after: null, limit: 50 }, READ)).items, [])
})

t.test('a leader that is cut off ends no lease that a later leader has renewed', async (t) => {
  const { c, leader, followers } = await leasing(t)
  const [one = 0] = followers
  const id = leaseOf(await c.on(leader).execute(grant()))
  await c.on(leader).execute(attached('a', id))
  c.partition([leader])
  await c.leader(followers)
  // The old leader may still believe that it leads when the time is up by its clock.
  for (let round = 0; round < 4; round++) {
    await c.pass(LENGTH_MS / 2)
    t.match(await c.on(one).execute(renew(id)), { type: 'lease-renewed' })
  }
  c.heal()
  await c.pass(500)
  await c.settled()
  for (const on of [1, 2, 3]) t.equal(await c.on(on).get('a'), 'a')
})

t.test('a renewal that is ahead in the log keeps the lease, though its end is proposed already', async (t) => {
  const { c, leader } = await leasing(t)
  const id = leaseOf(await c.on(leader).execute(grant()))
  await c.on(leader).execute(attached('a', id))
  const { lessor, applier } = c.at(leader).node.replica
  // Nothing is executed any more, so the leader sees no renewal, and proposes the end behind it.
  await applier.pause()
  await c.pass(LENGTH_MS - 100)
  const renewed = c.on(leader).execute(renew(id))
  await c.pass(LENGTH_MS)
  t.equal(lessor.remainingMs(id), 0)
  applier.resume()
  t.match(await renewed, { type: 'lease-renewed' })
  await c.pass(100)
  t.equal(await c.on(leader).get('a'), 'a')
  const at = c.clock.now()
  t.ok((await goneAt(c, leader, 'a')) >= at + LENGTH_MS - 200, 'its time began with the renewal')
})

t.test('a suspension makes all ages void: every lease begins again', async (t) => {
  const { c, leader } = await leasing(t, [1])
  const id = leaseOf(await c.on(leader).execute(grant()))
  await c.on(leader).execute(attached('a', id))
  await c.pass(LENGTH_MS - 100)
  c.clock.sleep(3_600_000)
  const wokenAt = c.clock.now()
  const at = await goneAt(c, leader, 'a')
  t.ok(at >= wokenAt + LENGTH_MS, `it ended ${at - wokenAt} ms after the machine woke`)
})

t.test('a lease with many keys goes in steps, whoever leads meanwhile', async (t) => {
  const { c, leader } = await leasing(t, [1, 2, 3], { leases: { ...limits.leases, endKeysMax: 3 } })
  const id = leaseOf(await c.on(leader).execute(grant()))
  for (let at = 0; at < 20; at++) await c.on(leader).execute(attached(`k${at}`, id))
  // The first step only; a client that goes away does not go on.
  t.match(await c.on(leader).execute({ type: 'lease-revoke', id, ifRenewedAt: null, ...NOW }), { isDone: false })
  await c.at(leader).crash()
  const next = await c.leader()
  await c.until('all keys are gone', () => c.at(next).node.replica.applier.leaseCount === 0, 3_000)
  t.same((await c.on(next).scan()).items, [])
})

t.test('whoever ends a lease with many keys takes the steps, and the leader those that are late', async (t) => {
  const { c, leader } = await leasing(t, [1, 2, 3], { leases: { ...limits.leases, endKeysMax: 3 } })
  const follower = (leader % 3) + 1
  const granted = async (name: string): Promise<number> => {
    const id = leaseOf(await c.on(leader).execute(grant()))
    for (let at = 0; at < 8; at++) await c.on(leader).execute(attached(`${name}${at}`, id))
    return id
  }
  const step = (id: number) => c.on(follower).execute({ type: 'lease-revoke', id, ifRenewedAt: null, ...NOW })
  const taken = await granted('a')
  t.match(await step(taken), { deleted: 3, isDone: false })
  await c.pass(500)
  t.match(await step(taken), { deleted: 3, isDone: false })
  await c.pass(500)
  t.match(await step(taken), { deleted: 2, isDone: true })
  const left = await granted('b')
  t.match(await step(left), { deleted: 3, isDone: false })
  await c.until('the leader has taken over', () => c.at(leader).node.replica.applier.leaseCount === 0, 1_500)
  t.equal(c.on(leader).services.health.metrics().leases.expired, 0, 'neither has expired')
})

t.test('many leases that end at once do not pile up in the log', async (t) => {
  const { c, leader } = await leasing(t)
  await Promise.all(Array.from({ length: 1_000 }, (_, at) => c.on(leader).execute(own(`k${at}`, 1_000))))
  let most = 0
  const before = c.at(leader).view.last?.index ?? 0
  await c.until(
    'all have ended',
    () => {
      const { view, applied } = c.at(leader)
      most = Math.max(most, (view.last?.index ?? 0) - applied)
      return c.at(leader).node.replica.applier.leaseCount === 0
    },
    10_000,
  )
  t.ok(most <= limits.lease.endsInFlightMax, `${most} entries at once`)
  t.equal((c.at(leader).view.last?.index ?? 0) - before, 1_000, 'one entry for each')
  await c.settled()
  const expired = [1, 2, 3].map((id) => c.on(id).services.health.metrics().leases.expired)
  t.same(
    expired,
    [1, 2, 3].map((id) => (id === leader ? 1_000 : 0)),
    'as the metrics of the leader tell',
  )
})

t.test(
  'those who wait for a lock get it in their order, on whichever node they wait, with growing tokens',
  async (t) => {
    const { c } = await leasing(t)
    const first = await acquire(c, 1, 'l')
    t.match(first, { type: 'lock-acquired' })
    t.match(await acquire(c, 2, 'l'), {
      type: 'lock-held',
      holder: { lease: leaseOf(first as CommandResult), owner: 'on 1' },
    })
    const order: number[] = []
    const tokens: number[] = []
    const waits: Promise<void>[] = []
    for (const on of [3, 1, 2, 3]) {
      waits.push(
        acquire(c, on, 'l', 30_000).then(async (result) => {
          if (result.type !== 'lock-acquired') throw new Error(result.type)
          order.push(on)
          tokens.push(result.token)
          await release(c, on, 'l', result.lease)
        }),
      )
      await c.pass(50)
    }
    t.match((await services(c, 2).lock(key('l'), READ)).lock, { owner: 'on 1', waiting: 4 })
    await acquire(c, 2, 'l/other')
    await acquire(c, 2, 'm')
    for (const id of [1, 2, 3]) {
      const queue = await services(c, id).lockQueue(key('l'), 3, READ)
      t.match(queue.lock, { owner: 'on 1', waiting: 4 })
      t.same(
        queue.waiters.map(({ owner }) => owner),
        ['on 3', 'on 1', 'on 2'],
        'the first of them, in their order',
      )
      const range = { start: key('l'), end: key('m') }
      const first = await services(c, id).locks(range, { after: null, limit: 1 }, READ)
      t.match(first, { items: [{ name: 'l', lock: { waiting: 4 } }], more: true })
      const rest = await services(c, id).locks(range, { after: key('l'), limit: 1 }, READ)
      t.match(rest, { items: [{ name: 'l/other', lock: { owner: 'on 2', waiting: 0 } }], more: false })
    }
    for (const name of ['l/other', 'm']) {
      const { lock } = await services(c, 1).lock(key(name), READ)
      await release(c, 3, name, lock?.lease ?? 0)
    }
    t.same((await services(c, 1).lockQueue(key('m'), 3, READ)).waiters, [])
    for (const id of [1, 2, 3])
      t.match(c.on(id).services.health.metrics().leases, { leases: 5, locks: 1, lockWaiters: 4, expired: 0 })
    if (first.type === 'lock-acquired') {
      await release(c, 2, 'l', first.lease)
      tokens.unshift(first.token)
    }
    await Promise.all(waits)
    t.same(order, [3, 1, 2, 3])
    t.same(
      tokens,
      [...tokens].sort((a, b) => a - b),
    )
    t.equal((await services(c, 2).lock(key('l'), READ)).lock, null)
    await c.settled()
    for (const id of [1, 2, 3])
      t.match(c.on(id).services.health.metrics().leases, { leases: 0, locks: 0, lockWaiters: 0, expired: 0 })
  },
)

t.test('a wait ends with its time: the place in the queue is free, and the holder is told', async (t) => {
  const { c } = await leasing(t)
  const held = await acquire(c, 1, 'l')
  const lease = leaseOf(held as CommandResult)
  const keepAlive = async (): Promise<void> => void (await c.on(1).execute(renew(lease)))
  const waiting = acquire(c, 2, 'l', 5_000)
  for (let round = 0; round < 2; round++) {
    await c.pass(2_000)
    await keepAlive()
  }
  t.match(await waiting, { type: 'lock-held', holder: { lease } })
  t.same((await waiting) as unknown, await acquire(c, 1, 'l'), 'as one that did not wait is told')
  t.match((await services(c, 1).lock(key('l'), READ)).lock, { lease, waiting: 0 })
  t.equal((await services(c, 1).list({ after: null, limit: 9 }, READ)).items.length, 1)
})

t.test('no more requests wait for locks than a node has places for, and each that has one is answered', async (t) => {
  const { c, leader, followers } = await leasing(t, [1, 2, 3], { lockWaitsMax: 3 })
  const [on = 0] = followers
  const lasting = async (at: number, name: string, waitMs = 0, caller?: Caller) => {
    const ttlMs = limits.lease.ttlMsMax
    const command = { type: 'lock-acquire', name: key(name), ttlMs, waitMs, owner: '', ...NOW } as const
    return (await services(c, at).acquire(command, 5_000, caller)).result
  }
  const waiting = async () => (await services(c, on).lock(key('l'), READ)).lock?.waiting
  const held = leaseOf((await lasting(on, 'l')) as CommandResult)
  const callers = Array.from({ length: 5 }, () => new Leaver())
  // None of them is in the log yet when the last one comes.
  const asked = callers.map(async (caller) => await lasting(on, 'l', limits.lockWaitMsMax, caller))
  for (const one of asked.slice(3)) {
    const { message } = await refused(one, 'overloaded')
    t.match(
      message,
      /^3 requests for locks wait on this node, as many as may at once; nothing was proposed: ask another/,
    )
  }
  await c.pass(500)
  t.equal(await waiting(), 3)
  t.match(await lasting(on, 'l'), { type: 'lock-held' }, 'one that does not wait needs no place')
  t.match(await lasting(leader, 'm', limits.lockWaitMsMax), { type: 'lock-acquired' }, 'nor does another node lack one')

  const [leaver] = callers
  if (leaver !== undefined) leaver.hasEnded = true
  t.match(await refused(asked[0] ?? Promise.resolve(), 'outcome-unknown'), { message: /client has left/ })
  const late = lasting(on, 'l', limits.lockWaitMsMax)
  await c.pass(500)
  t.equal(await waiting(), 3)
  await refused(lasting(on, 'l', limits.lockWaitMsMax), 'overloaded')
  let lease = held
  for (const one of [asked[1], asked[2], late]) {
    await release(c, on, 'l', lease)
    const got = await one
    t.match(got, { type: 'lock-acquired' })
    lease = leaseOf(got as CommandResult)
  }
  t.equal(await waiting(), 0)
})

t.test(
  'a request over HTTP that may not wait for a lock is told so, and a place that is left serves the next',
  async (t) => {
    const { c } = await leasing(t, [1], { lockWaitsMax: 2 })
    const { services: own, replica } = c.at(1).node
    const fail = (error: unknown): void => void t.fail(String(error))
    const app = buildApp(
      { now: () => c.clock.now(), onUnexpected: fail, onFatal: fail, onConnectionsRefused: fail },
      {
        ...own,
        version: '0.1.0',
        valueBytesMax: 1024,
        logLinesDropped: () => 0,
        certificates: () => [],
        diagnostics: { settings: [], log: { lines: [], forgotten: 0 } },
      },
    )
    t.teardown(() => app.close())
    const ask = async (waitMs: number) =>
      await app.inject({ method: 'POST', url: '/locks/l', payload: { ttlMs: limits.lease.ttlMsMax, waitMs } })
    const leave = replica.lockWaits.enter()
    const last = replica.lockWaits.enter()
    const answer = await ask(1_000)
    t.match(answer.json(), { status: 429, code: 'overloaded', retryable: true, ambiguous: false })
    t.match(answer.json(), { detail: /^2 requests for locks wait on this node, .*nothing was proposed/ })
    t.ok(Number(answer.headers['retry-after']) >= 1)
    t.equal((await services(c, 1).lock(key('l'), READ)).lock, null)
    last()
    t.equal((await ask(1_000)).statusCode, 200, 'the place is free')
    t.equal((await ask(1)).statusCode, 409, 'and again, once that is answered')
    t.equal((await ask(1)).statusCode, 409, 'also where the wait was in vain')
    leave()
  },
)

t.test('a client that leaves while it waits leaves the queue', async (t) => {
  const { c } = await leasing(t)
  const first = await acquire(c, 1, 'l')
  const caller = { isGone: false }
  const leaving = acquire(c, 2, 'l', 30_000, caller)
  await c.pass(100)
  const staying = acquire(c, 3, 'l', 30_000)
  await c.pass(100)
  caller.isGone = true
  await refused(leaving, 'outcome-unknown')
  await c.pass(100)
  t.match((await services(c, 1).lock(key('l'), READ)).lock, { waiting: 1 })
  await release(c, 1, 'l', leaseOf(first as CommandResult))
  t.match(await staying, { type: 'lock-acquired' })
})

t.test('a lock that comes to a client that has left goes back at once', async (t) => {
  const { c, followers } = await leasing(t)
  const [one = 0] = followers
  const holder = async () => (await services(c, one).lock(key('l'), READ)).lock
  const isFree = async (what: string): Promise<void> => {
    await c.pass(100)
    t.equal(await holder(), null, what)
  }
  const first = await acquire(c, one, 'l')
  const half = new Leaver()
  const waiting = refused(acquire(c, one, 'l', 30_000, half), 'outcome-unknown')
  await c.pass(100)
  const released = release(c, one, 'l', leaseOf(first as CommandResult))
  half.hasEnded = true
  await released
  await waiting
  await isFree('it waited')
  await refused(acquire(c, one, 'l', 0, half), 'outcome-unknown')
  await isFree('it had the lock at once')
  const cut = new Leaver()
  t.match(await acquire(c, one, 'l', 0, cut), { type: 'lock-acquired' })
  t.match(await holder(), { waiting: 0 })
  cut.close()
  await isFree('the answer did not leave')
})

t.test('a lock of a named request stays with those who may have been told of it', async (t) => {
  const { c, followers } = await leasing(t)
  const [one = 0] = followers
  const caller = new Leaver()
  const { result } = await services(c, one).acquire(named('n'), 5_000, caller)
  t.match(result, { type: 'lock-acquired' })
  caller.hasEnded = true
  caller.close()
  t.same((await services(c, one).acquire(named('n'), 5_000, caller)).result, result)
  await c.pass(200)
  t.match((await services(c, one).lock(key('l'), READ)).lock, { lease: leaseOf(result as CommandResult) })
})

t.test('a lock whose holder is silent passes on when its lease ends, also after its leader has crashed', async (t) => {
  const { c, leader, followers } = await leasing(t)
  const [one = 0, two = 0] = followers
  const first = await acquire(c, one, 'l')
  const waiting = acquire(c, two, 'l', 60_000)
  await c.pass(500)
  await c.at(leader).crash()
  const second = await waiting
  t.match(second, { type: 'lock-acquired' })
  if (first.type === 'lock-acquired' && second.type === 'lock-acquired') t.ok(second.token > first.token)
  t.match(await release(c, one, 'l', leaseOf(first as CommandResult)), { type: 'lock-not-held' })
})

t.test('the place of a node that has crashed is free when its wait would have ended', async (t) => {
  const { c, leader, followers } = await leasing(t)
  const [one = 0, two = 0] = followers
  const first = await acquire(c, leader, 'l')
  const lost = acquire(c, one, 'l', 3_000)
  lost.catch(() => undefined)
  await c.pass(200)
  await c.at(one).crash()
  const waiting = acquire(c, two, 'l', 30_000)
  await c.pass(2_000)
  await c.on(leader).execute(renew(leaseOf(first as CommandResult)))
  await c.pass(1_500)
  await release(c, leader, 'l', leaseOf(first as CommandResult))
  t.match(await waiting, { type: 'lock-acquired' })
})

t.test('a node that stops ends the waits for locks, and frees their places', async (t) => {
  const { c, leader, followers } = await leasing(t)
  const [one = 0] = followers
  await acquire(c, leader, 'l')
  const waiting = acquire(c, one, 'l', 30_000)
  await c.pass(200)
  c.at(one).node.endWaits()
  await refused(waiting, 'outcome-unknown')
  await refused(acquire(c, one, 'l', 30_000), 'shutting-down')
  await c.pass(200)
  t.match((await services(c, leader).lock(key('l'), READ)).lock, { waiting: 0 })
})

t.test('a wait that is over, and cannot leave the queue, is not answered as if nothing had been done', async (t) => {
  const { c, leader, followers } = await leasing(t)
  const [one = 0] = followers
  await acquire(c, leader, 'l')
  const waiting = acquire(c, one, 'l', 1_000)
  await c.pass(200)
  c.partition([one])
  await refused(waiting, 'outcome-unknown')
  c.heal()
  await c.pass(200)
  t.equal((await services(c, leader).lock(key('l'), READ)).lock, null, 'and its place is given up')
})

t.test('a lock that came with an installed state is told to the request that waits for it', async (t) => {
  const { c, leader, followers } = await leasing(t, [1, 2, 3], { keepEntries: 5, purgeEveryEntries: 10 })
  const [one = 0, two = 0] = followers
  const first = await acquire(c, leader, 'l')
  const waiting = acquire(c, one, 'l', 60_000)
  await c.pass(200)
  c.partition([one])
  await release(c, leader, 'l', leaseOf(first as CommandResult))
  const { lock } = await services(c, leader).lock(key('l'), READ)
  const lease = lock?.lease ?? 0
  for (let at = 0; at < 60; at++) await c.on(two).put(`k${at}`, 'x')
  await c.on(leader).execute(renew(lease))
  c.heal()
  t.same(await waiting, { type: 'lock-acquired', lease, token: lock?.token })
  t.ok(c.at(one).node.replica.snapshotReceiver.installed > 0, 'a state was installed')
})

/** A request that waits for the lock `l`. */
function named(name: string): LockAcquireCommand {
  const idempotency = { key: name, fingerprint: 1 }
  return { type: 'lock-acquire', name: key('l'), ttlMs: LENGTH_MS, waitMs: 20_000, owner: '', idempotency }
}

t.test('a retry of a named request for a lock joins its wait', async (t) => {
  const { c } = await leasing(t)
  const first = await acquire(c, 1, 'l')
  const command = named('n')
  const [one, other] = [services(c, 1).acquire(command, 5_000), services(c, 2).acquire(command, 5_000)]
  await c.pass(300)
  t.match((await services(c, 1).lock(key('l'), READ)).lock, { waiting: 1 })
  await release(c, 1, 'l', leaseOf(first as CommandResult))
  const answer = (await one).result
  t.match(answer, { type: 'lock-acquired' })
  t.same((await other).result, answer)
  await release(c, 1, 'l', leaseOf(answer as CommandResult))
  const lease = leaseOf(answer as CommandResult)
  t.same((await services(c, 3).acquire(command, 5_000)).result, { type: 'lock-wait-ended', lease })
})

t.test(
  'a retry of a named request that had the lock at once has it as long as its lease lasts, and no longer',
  async (t) => {
    const { c } = await leasing(t)
    const command = named('n')
    const { result } = await services(c, 1).acquire(command, 5_000)
    t.match(result, { type: 'lock-acquired' })
    t.same((await services(c, 2).acquire(command, 5_000)).result, result)
    const lease = leaseOf(result as CommandResult)
    await release(c, 1, 'l', lease)
    for (const id of [1, 2, 3]) {
      const retry = (await services(c, id).acquire(command, 5_000)).result
      t.same(retry, { type: 'lock-wait-ended', lease }, `node ${id} tells nobody that they have a lock that is free`)
    }
  },
)

t.test("a lock whose lease is ending is nobody's to be told of", async (t) => {
  const { c } = await leasing(t, [1, 2, 3], { leases: { ...limits.leases, endKeysMax: 2 } })
  const first = await acquire(c, 1, 'l')
  const [atOnce, waited] = [{ ...named('n'), name: key('m') }, named('w')]
  const direct = (await services(c, 1).acquire(atOnce, 5_000)).result
  const waiting = services(c, 2).acquire(waited, 5_000)
  await c.pass(100)
  await release(c, 1, 'l', leaseOf(first as CommandResult))
  const held = [
    [atOnce, leaseOf(direct as CommandResult)],
    [waited, leaseOf((await waiting).result as CommandResult)],
  ] as const
  for (const [command, lease] of held) {
    for (let at = 0; at < 40; at++) await c.on(1).execute(attached(`${lease} ${at}`, lease))
    await c.on(1).execute({ type: 'lease-revoke', id: lease, ifRenewedAt: null, ...NOW })
    const retry = (await services(c, 2).acquire(command, 5_000)).result
    t.same(retry, { type: 'lock-wait-ended', lease })
    t.match((await services(c, 2).get(lease, { after: null, limit: 1 }, READ)).lease, { lease: { isEnding: true } })
  }
})

t.test(
  'a retry of a wait whose client had left is told that the wait is over, and another request waits anew',
  async (t) => {
    const { c } = await leasing(t)
    const first = await acquire(c, 1, 'l')
    const caller = { isGone: false }
    const command = named('n')
    const left = services(c, 2).acquire(command, 5_000, caller)
    await c.pass(100)
    caller.isGone = true
    await refused(left, 'outcome-unknown')
    await c.pass(100)
    t.match((await services(c, 3).acquire(command, 5_000)).result, { type: 'lock-wait-ended' })
    const anew = services(c, 3).acquire(named('m'), 5_000)
    await c.pass(100)
    await release(c, 1, 'l', leaseOf(first as CommandResult))
    t.match((await anew).result, { type: 'lock-acquired' })
  },
)

t.test('a lock that a retry holds is not given up for the client that left the first request', async (t) => {
  const { c, leader, followers } = await leasing(t)
  const [one = 0, two = 0] = followers
  const first = await acquire(c, leader, 'l')
  const caller = { isGone: false }
  const left = services(c, one).acquire(named('n'), 5_000, caller)
  const retry = services(c, two).acquire(named('n'), 5_000)
  await c.pass(300)
  c.partition([one])
  await release(c, leader, 'l', leaseOf(first as CommandResult))
  const held = (await retry).result
  t.match(held, { type: 'lock-acquired' })
  caller.isGone = true
  await refused(left, 'outcome-unknown')
  c.heal()
  await c.leader()
  await c.pass(1_000)
  t.match((await services(c, two).lock(key('l'), READ)).lock, { lease: leaseOf(held as CommandResult) })
})

t.test('a lease of 30 days is not looked at more than once an hour, by timers that the platform has', async (t) => {
  const delays: number[] = []
  let time = 0
  let due: () => void = () => {}
  const clock = {
    now: () => time,
    wall: () => time,
    after: (delayMs: number, callback: () => void) => {
      delays.push(delayMs)
      due = callback
      return () => {}
    },
    nextTurn: (callback: () => void) => callback(),
  }
  const proposed: number[] = []
  const lessor = new Lessor(
    { leaseDrift: 0.1 },
    {
      clock,
      core: {
        propose: (count) => {
          proposed.push(count)
          return { kind: 'overloaded' }
        },
      },
      state: new DiskStateStore(new StateDisk(), new Life(clock)),
      applier: { leaseCount: 0, settle: async () => {} },
      suspension: { look: () => 0 },
      origin: { node: nodeId(1), nonce: 1 },
      faults: { report: (error) => t.fail(String(error)) },
    },
  )
  lessor.onLeading(true)
  lessor.onEvents([{ type: 'started', lease: 7, lengthMs: limits.lease.ttlMsMax, revision: 1 }])
  while (proposed.length === 0 && delays.length < 1_000) {
    time += delays.at(-1) ?? 0
    due()
  }
  t.ok(Math.max(...delays) < 2 ** 31)
  t.equal(delays.length, 1 + 33 * 24, 'in 33 days')
  t.ok(time >= limits.lease.ttlMsMax * 1.1)
  // Refused: it is tried again soon, not at once.
  t.equal(delays.at(-1), 50)
  lessor.stop()
})

t.test('terms: ten thousand renewals cost no more than the leases', async (t) => {
  const terms = new LeaseTerms(0.1)
  for (let round = 0; round < 10; round++)
    for (let lease = 1; lease <= 1_000; lease++) terms.start(lease, 1_000, round, round)
  t.equal(terms.count, 1_000)
  t.equal(terms.nextAt, 1_100)
  t.same(terms.takeOverdue(1_100, 5_000), [], 'they were renewed since')
  t.equal(terms.takeOverdue(1_109, 600).length, 600)
  t.equal(terms.takeOverdue(1_109, 600).length, 400)
  t.equal(terms.nextAt, null)
  terms.postpone(7, 1_200)
  terms.postpone(8_000, 1_200)
  t.same(terms.takeOverdue(1_200, 5), [{ lease: 7, revision: 9 }])
  terms.start(7, 500, 10, 1_200)
  terms.start(7, 100, 11, 1_200)
  t.equal(terms.nextAt, 1_310, 'a shorter one counts at once')
  t.equal(terms.remainingMs(7, 1_250), 50)
  t.equal(terms.remainingMs(8_000, 1_250), null)
  terms.restartAll(2_000)
  t.same(terms.takeOverdue(2_099, 5), [])
  terms.forget(7)
  t.same(terms.takeOverdue(9_000, 5_000), [], 'those whose end was proposed are not named again')
  t.equal(terms.has(7), false)
})

t.test('terms: leases that end early leave no times behind, however long they would have lasted', async (t) => {
  const terms = new LeaseTerms(0.1)
  terms.start(1, 5_000, 1, 0)
  for (let lease = 2; lease <= 100_000; lease++) {
    terms.start(lease, limits.lease.ttlMsMax, lease, lease)
    terms.forget(lease)
  }
  t.equal(terms.count, 1)
  t.ok(terms.timeCount < 1_100, `${terms.timeCount} times for one lease`)
  t.same(terms.takeOverdue(5_500, 5), [{ lease: 1, revision: 1 }])
})
