import t, { type Test } from 'tap'
import { StorageError } from '../../src/lib/errors.ts'
import { limits } from '../../src/limits.ts'
import {
  carryOutRecovery,
  planRecovery,
  recoveryView,
  type RecoveryGround,
  type RecoveryPlan,
  type Survivor,
} from '../../src/node/membership/lost-quorum.ts'
import { openStores, type Startup } from '../../src/node/startup.ts'
import { NO_MEMBERSHIP } from '../../src/raft/index.ts'
import { key } from './support/client.ts'
import { refused, specOf, TestCluster } from './support/cluster.ts'
import { Life } from './support/life.ts'
import { DiskLogStore } from './support/log-disk.ts'
import { DiskStateStore } from './support/state-disk.ts'
import { EVERYTHING } from './support/watching.ts'

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
const moved = { raft: '10.0.9.9:7100', api: 'http://10.0.9.9:7000' }

/** Opens what a machine that is down has on its disk. */
async function opened(c: TestCluster, id: number) {
  const machine = c.at(id)
  const life = new Life(c.clock)
  const [log, state] = [new DiskLogStore(machine.log, life), new DiskStateStore(machine.state, life)]
  const startup = await openStores(machine.id, log, state, silent)
  const ground = { log, state, clock: life.clock, hashKey: [1, 2], machine: limits, randomHex } as const
  return { machine, ground, startup }
}

type Wishes = Partial<Omit<Survivor, 'id' | 'incarnation'>>

const billion = 1_000_000_000

async function planned(c: TestCluster, id: number, wishes: Wishes = {}) {
  const found = await opened(c, id)
  const { machine, startup } = found
  const asked = { raft: null, api: null, resetAuth: false, revisionGap: billion, ...wishes }
  return { ...found, plan: planRecovery(startup, { id: machine.id, incarnation: machine.incarnation, ...asked }) }
}

let drawn = 0
function randomHex(digits: number): string {
  drawn += 1
  return String(drawn).padStart(digits, '0')
}

async function recovered(
  c: TestCluster,
  id: number,
  wishes: Wishes = {},
): Promise<{ readonly plan: RecoveryPlan; readonly name: string }> {
  const { plan, startup, ground } = await planned(c, id, wishes)
  return { plan, name: await carryOutRecovery(plan, startup, ground) }
}

async function withoutQuorum(t: Test, ids: readonly number[], voters: readonly number[]) {
  const c = new TestCluster(t, ids)
  const leader = await c.form(voters)
  for (let i = 0; i < 50; i++) await c.on(leader).put(`k${i}`, `v${i}`)
  return { c, leader, followers: voters.filter((id) => id !== leader) }
}

t.test('the survivor goes on alone with all it has, the others are refused, and the cluster grows again', async (t) => {
  for (const survives of ['leader', 'follower'] as const) {
    const { c, leader, followers } = await withoutQuorum(t, [1, 2, 3], [1, 2, 3])
    await c.settled()
    const { clusterId, term } = c.on(leader).status()
    const survivor = survives === 'leader' ? leader : (followers[0] ?? 0)
    const others = [1, 2, 3].filter((id) => id !== survivor)
    for (const id of [1, 2, 3]) await c.at(id).crash()
    const { plan, name } = await recovered(c, survivor)
    t.match(recoveryView(plan), {
      kind: 'needed',
      clusterId,
      role: 'voter',
      vote: { term },
      membership: { configs: [[1, 2, 3]] },
      newMembership: { configs: [[survivor]], learners: [] },
      leaving: others,
    })
    t.not(name, clusterId)
    t.equal(name.split('-')[0], clusterId?.split('-')[0], 'nodes with the same token may still join')
    await c.start(survivor)
    t.equal(await c.leader([survivor]), survivor)
    for (let i = 0; i < 50; i++) t.equal(await c.on(survivor).get(`k${i}`), `v${i}`)
    t.match(c.on(survivor).status(), { clusterId: name, failureTolerance: 0, membership: { joint: false } })
    t.ok(c.on(survivor).status().term > term)

    await c.start(...others)
    await c.until('they warn of each other', () =>
      [1, 2, 3].every((id) =>
        c
          .on(id)
          .status()
          .warnings.some(({ code }) => code === 'foreign-cluster'),
      ),
    )
    await c.on(survivor).put('new', '1')
    const old = await c.leader(others)
    t.equal(await c.on(old).get('new'), null, 'the old cluster hears nothing of the new one')
    await refused(c.on(survivor).addLearner(specOf(old)), 'peer-disagrees', 'member-mismatch')

    for (const id of others) {
      await c.at(id).crash()
      c.at(id).wipe()
      await c.start(id)
      await c.on(survivor).addLearner(specOf(id))
      await c.on(survivor).change({ add: [id], remove: [] })
    }
    t.same(c.on(survivor).membership().membership.configs, [[1, 2, 3]])
    await c.settled()
    await c.at(survivor).crash()
    const next = await c.leader(others)
    t.equal(await c.on(next).get('k49'), 'v49', 'which is whole again')
    await Promise.all(c.up.map((machine) => machine.crash()))
  }
})

/** Fails after `count` steps that change a disk, as a crash does. */
function stoppingAfter(count: number, ground: RecoveryGround): RecoveryGround {
  let left = count
  const steps = <Store extends object>(store: Store): Store =>
    new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name)
        if (typeof member !== 'function') return member
        return (...given: unknown[]): unknown => {
          if ((name === 'write' || name === 'flush') && left-- <= 0) return Promise.reject(new Error('crash'))
          return Reflect.apply(member, target, given)
        }
      },
    })
  return { ...ground, log: steps(ground.log), state: steps(ground.state) }
}

t.test('a crash at any step leaves the old node, a silent one, or the new one; a second run ends it', async (t) => {
  const outcomes: string[] = []
  for (const kept of [0, Infinity]) {
    for (let [count, isDone] = [0, false]; !isDone; count++) {
      const { c, leader } = await withoutQuorum(t, [1, 2, 3], [1, 2, 3])
      const { clusterId } = c.on(leader).status()
      for (const id of [1, 2, 3]) await c.at(id).crash()
      const first = await planned(c, 1)
      const run = carryOutRecovery(first.plan, first.startup, stoppingAfter(count, first.ground))
      const error = await run.then(
        () => null,
        (thrown: unknown) => thrown,
      )
      isDone = error === null
      if (!isDone) t.match(error, { message: 'crash' })
      c.at(1).state.crash(kept)
      const second = await planned(c, 1)
      const isOld = second.plan.clusterId === clusterId
      const outcome = isOld ? 'old' : second.plan.kind === 'alone' ? 'new' : 'silent'
      outcomes.push(outcome)
      if (outcome === 'silent') {
        await c.start(1, 2, 3)
        await c.leader([2, 3])
        await c.pass(5_000)
        t.not(c.at(1).view.state, 'leader', 'it cannot lead')
        t.equal(c.at(1).view.leader, null, 'and follows nobody')
        t.not(c.on(1).status().clusterId, clusterId)
        await refused(c.on(1).put('a', 'b', { timeoutMs: 500 }), 'no-leader', 'outcome-unknown')
        for (const id of [1, 2, 3]) await c.at(id).crash()
      }
      if (outcome !== 'new') await recovered(c, 1)
      await c.start(1)
      t.equal(await c.leader([1]), 1)
      for (const key of [0, 25, 49]) t.equal(await c.on(1).get(`k${key}`), `v${key}`)
      await c.at(1).crash()
    }
  }
  t.equal(outcomes[0], 'old')
  t.same([...new Set(outcomes)], ['old', 'silent', 'new'])
})

t.test(
  'no revision, token or lease that the lost nodes have given out is given out again, unless that is asked for',
  async (t) => {
    for (const revisionGap of [billion, 0]) {
      const { c, leader, followers } = await withoutQuorum(t, [1, 2, 3], [1, 2, 3])
      const client = c.on(leader)
      await client.keepHistory()
      await client.put('k0', 'then')
      const then = (await client.read('k0')).context.revision
      await c.settled()
      const [survivor = 0, other = 0] = followers
      await c.at(survivor).crash()
      for (let i = 0; i < 50; i++) await client.put('more', `${i}`)
      const before = await lockedOn(c, leader)
      const lost = (await client.read('lost')).record?.modRevision ?? 0
      t.ok(before.token > then && lost > then)
      for (const id of [leader, other]) await c.at(id).crash()

      const { plan } = await recovered(c, survivor, { revisionGap })
      await c.start(survivor)
      await c.leader([survivor])
      const alone = c.on(survivor)
      t.equal(await alone.get('lost'), null)
      const after = await lockedOn(c, survivor)
      const { record } = await alone.read('lost')
      const goneOn = [after.token, after.lease % 1e15, record?.modRevision ?? 0]
      if (revisionGap === 0) {
        for (const number of goneOn) t.ok(number < before.token, 'as it would be without a gap')
        t.equal(await alone.get('k0', { revision: then }), 'then', 'and what was can be read')
      } else {
        const { revisionsAfter } = recoveryView(plan)
        t.ok(revisionsAfter > lost + billion / 2)
        for (const number of goneOn) t.ok(number > revisionsAfter)
        for (const revision of [then, lost]) await refused(alone.get('k0', { revision }), 'compacted')
        await refused(
          alone.watch({ ...EVERYTHING, since: lost }).then((watch) => alone.guard(watch.next(1_000))),
          'compacted',
        )
        t.equal(await alone.get('k0', { revision: revisionsAfter }), 'then')
      }
      await c.at(survivor).crash()
    }
  },
)

/** A lock, and a write, by clients of node `id`. */
async function lockedOn(c: TestCluster, id: number) {
  const command = {
    type: 'lock-acquire',
    name: key('lock'),
    ttlMs: 60_000,
    waitMs: 0,
    owner: '',
    idempotency: null,
  } as const
  const { result } = await c.on(id).guard(c.on(id).services.leases.acquire(command, 5_000))
  if (result.type !== 'lock-acquired') throw new Error(result.type)
  await c.on(id).put('lost', `on ${id}`)
  return result
}

t.test('in the middle of a change, with a tail that nobody else has, under a new address', async (t) => {
  const { c, leader } = await withoutQuorum(t, [1, 2, 3, 4], [1, 2, 3])
  await c.start(4)
  await c.on(leader).addLearner(specOf(4))
  for (const id of [1, 2, 3, 4]) if (id !== leader) await c.at(id).crash()
  const joint = c.on(leader).change([leader, 4], { force: true }, 300)
  const tail = c.on(leader).put('tail', 'kept', { timeoutMs: 300 })
  await refused(joint, 'outcome-unknown', 'no-leader')
  await refused(tail, 'outcome-unknown', 'no-leader')
  t.ok(c.on(leader).status().membership?.joint, 'a joint configuration is in the log')
  await c.at(leader).crash()
  const { plan, startup, ground } = await planned(c, leader, moved)
  t.ok(recoveryView(plan).uncertain >= 2, 'entries that may not have been committed are kept')
  t.match(recoveryView(plan), { newMembership: { nodes: { [leader]: moved } } })
  await carryOutRecovery(plan, startup, ground)
  c.at(leader).addresses = moved
  await c.start(leader)
  t.equal(await c.leader([leader]), leader)
  t.equal(await c.on(leader).get('tail'), 'kept')
  t.match(c.on(leader).membership(), { joint: false, membership: { configs: [[leader]], nodes: { [leader]: moved } } })
  t.same(c.on(leader).status().warnings, [])
})

t.test('a learner can be the survivor; what cannot be recovered is refused', async (t) => {
  const { c, leader } = await withoutQuorum(t, [1, 2, 3, 4, 5], [1, 2, 3])
  await c.start(4, 5)
  await c.on(leader).addLearner(specOf(4))
  await c.on(leader).addLearner(specOf(5))
  await c.settled()
  await c.on(leader).removeLearner(5)
  await c.until('node 5 has left', () => c.on(5).status().node.state === 'removed')
  for (const id of [1, 2, 3, 4, 5]) await c.at(id).crash()

  await t.rejects(
    planned(c, 5),
    new StorageError('refused', 'node 5 was removed from its cluster: recover a node that was not'),
  )
  const { startup } = await opened(c, 4)
  const { restored } = startup
  const survivor = { id: c.at(4).id, incarnation: 'x', raft: null, api: null, resetAuth: false, revisionGap: 0 }
  const wrong: [Startup, RegExp][] = [
    [{ ...startup, clusterId: null }, /belongs to no cluster/],
    [{ ...startup, restored: { ...restored, last: null } }, /belongs to no cluster/],
    [
      { ...startup, restored: { ...restored, memberships: [], appliedMembership: NO_MEMBERSHIP } },
      /belongs to no cluster/,
    ],
    [
      { ...startup, restored: { ...restored, recoverUntil: restored.last?.index ?? null } },
      /has lost acknowledged entries up to/,
    ],
  ]
  for (const [found, message] of wrong) t.throws(() => planRecovery(found, survivor), { kind: 'refused', message })
  await t.rejects(planned(c, 4, { revisionGap: limits.logIndexMax }), {
    kind: 'refused',
    message: /smaller --revision-gap/,
  })

  const { plan } = await recovered(c, 4)
  t.equal(plan.role, 'learner')
  await c.start(4)
  t.equal(await c.leader([4]), 4)
  t.equal(await c.on(4).get('k49'), 'v49')
})

t.test('an operator who has lost every token gets back in, with all that the survivor has', async (t) => {
  for (const ids of [[1, 2, 3], [1]]) {
    const c = new TestCluster(t, ids, { featureLevelMax: 1 })
    const leader = await c.form(ids)
    await c.until('the level is raised', () => c.at(leader).node.replica.applier.level === 1)
    await c.on(leader).put('a', '1')
    await c.on(leader).execute({ type: 'auth-bootstrap', name: 'root', hash: 'a'.repeat(64), idempotency: null })
    await refused(c.on(leader).put('a', '2'), 'unauthenticated')
    for (const id of ids) await c.at(id).crash()
    const { plan } = await recovered(c, leader, { resetAuth: true })
    t.match(recoveryView(plan), { kind: 'needed', resetAuth: true })
    await c.start(leader)
    await c.leader([leader])
    t.equal(await c.on(leader).get('a'), '1')
    t.equal((await c.on(leader).put('a', '3')).type, 'put')
    t.equal(c.on(leader).services.auth.table, null)
  }
})
