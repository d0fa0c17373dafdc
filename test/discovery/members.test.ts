import t from 'tap'
import type { OwnChange } from '../../src/node/options.ts'
import { TestCluster } from '../node/support/cluster.ts'
import { addressesOf } from '../node/support/machine.ts'
import { automate, checkOne, votersOf, type Wishes } from './support/automatic.ts'

const autopilot: Wishes['autopilot'] = { mode: 'on', deadNodeAfterMs: 3_000, minVoters: 3 }

/** Voters, learners: as the leader sees them. */
function roles(c: TestCluster): string {
  const leader = c.leaderOrNull()
  if (leader === null) return 'no leader'
  const { learners } = c.on(leader.id).membership().membership
  return `${votersOf(c, leader.id)} | ${learners.join()}`
}

/** What the cluster has changed by itself. Each node may form the cluster. */
function auditedIn(c: TestCluster): unknown[] {
  const own = c.lines.flatMap(({ event, facts }) =>
    event === 'audit' && 'audit' in facts ? [facts.audit as OwnChange] : [],
  )
  return own.map(({ operation, by, asked, code }) => [operation, by, asked, ...(code === undefined ? [] : [code])])
}

t.test(
  'a dead voter is replaced by a learner that keeps up, and what comes back stays out until it is wiped',
  async (t) => {
    const c = new TestCluster(t, [1, 2, 3, 4])
    automate(c, { expected: 3, autopilot })
    await c.start(1, 2, 3, 4)
    await c.until('three voters and a learner', () => roles(c) === '1,2,3 | 4')
    await c.pass(4_000)
    await c.at(3).crash()
    await c.pass(2_000)
    t.equal(roles(c), '1,2,3 | 4', 'not before its time')
    await c.until('node 4 votes in place of node 3', () => roles(c) === '1,2,4 | ')
    await c.settled([1, 2, 4])
    t.ok(
      c.lines.some(
        ({ event, facts }) => event === 'autopilot decided' && JSON.stringify(facts).includes('replace-voter'),
      ),
    )
    const member = (id: number) => ({ id, ...addressesOf(id) })
    const members = [1, 2, 3].map(member)
    t.same(auditedIn(c), [
      ...[1, 2, 3].map(() => ['initializeCluster', 'formation', { members }]),
      ['addLearner', 'joining', member(4)],
      ['changeVoters', 'autopilot', { add: [4], remove: [3] }],
    ])
    await c.start(3)
    await c.pass(10_000)
    t.equal(roles(c), '1,2,4 | ')
    t.equal(c.on(3).status().node.state, 'removed')
    await c.at(3).crash()
    c.at(3).wipe()
    await c.start(3)
    await c.until('wiped, node 3 comes back as a learner', () => roles(c) === '1,2,4 | 3')
    await c.until('the change is over', () => auditedIn(c).length > 5)
    t.same(auditedIn(c).slice(5), [['addLearner', 'joining', member(3)]])
  },
)

t.test('a dry run shows what it would do, and does nothing', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4])
  automate(c, { expected: 3, autopilot: { mode: 'dry-run', deadNodeAfterMs: 3_000, minVoters: 3 } })
  await c.start(1, 2, 3, 4)
  await c.until('three voters and a learner', () => roles(c) === '1,2,3 | 4')
  await c.at(3).crash()
  await c.pass(20_000)
  t.equal(roles(c), '1,2,3 | 4')
  const leader = await c.leader([1, 2])
  t.match(c.on(leader).status().autopilot, {
    mode: 'dry-run',
    decision: 'replace-voter',
    reason: 'voter 3 has been silent for too long, and node 4 keeps up',
  })
  const follower = leader === 1 ? 2 : 1
  t.match(c.on(follower).status().autopilot, { mode: 'dry-run', decision: 'none', reason: 'this node does not lead' })
})

t.test('without a learner a dead voter goes only while enough remain, one at a time, and the leader too', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4, 5])
  automate(c, { expected: 5, autopilot })
  await c.start(1, 2, 3, 4, 5)
  await checkOne(t, c, [1, 2, 3, 4, 5], 'formed')
  const victims = [await c.leader()]
  await c.at(victims[0] ?? 0).crash()
  const left = (): string => [1, 2, 3, 4, 5].filter((id) => !victims.includes(id)).join()
  await c.until('four voters', () => roles(c) === `${left()} | `)
  victims.push(await c.leader())
  await c.at(victims[1] ?? 0).crash()
  await c.until('three voters', () => roles(c) === `${left()} | `)
  const three = roles(c)
  const last = await c.leader()
  await c.at(c.up.map(({ id }) => Number(id)).find((id) => id !== last) ?? 0).crash()
  await c.pass(20_000)
  t.equal(roles(c), three, 'three are the least')
  t.match(
    c.on(await c.leader()).status().autopilot.reason,
    /no learner can take its place, and at least 3 voters must remain/,
  )
})

t.test('with fewer than a majority alive nothing is changed, and everything is well when they come back', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4])
  automate(c, { expected: 3, autopilot })
  await c.start(1, 2, 3, 4)
  await c.until('three voters and a learner', () => roles(c) === '1,2,3 | 4')
  await c.at(2).crash()
  await c.at(3).crash()
  await c.pass(20_000)
  await c.start(2, 3)
  await c.until('as before', () => roles(c) === '1,2,3 | 4')
  await c.settled()
})

t.test('a dead learner is removed, and comes back by itself only without its data', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4])
  automate(c, { expected: 3, autopilot })
  await c.start(1, 2, 3, 4)
  await c.until('three voters and a learner', () => roles(c) === '1,2,3 | 4')
  await c.at(4).crash()
  await c.until('the learner is gone', () => roles(c) === '1,2,3 | ')
  c.at(4).wipe()
  await c.start(4)
  await c.until('and back', () => roles(c) === '1,2,3 | 4')
})

t.test('a voter that lost its data is replaced by itself', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4])
  automate(c, { expected: 4, autopilot })
  await c.start(1, 2, 3, 4)
  await checkOne(t, c, [1, 2, 3, 4], 'formed')
  await c.on(await c.leader()).transfer(1)
  await c.at(4).crash()
  c.at(4).wipe()
  await c.start(4)
  await checkOne(t, c, [1, 2, 3, 4], 'the empty voter was removed, and taken in again')
})

t.test('the autopilot works without discovery as well', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4])
  automate(c, { expected: 3, autopilot })
  for (const id of [1, 2, 3, 4]) {
    const { automation } = c.at(id)
    c.at(id).automation = automation === null ? null : { ...automation, formation: null }
  }
  const leader = await c.form([1, 2, 3])
  t.match(c.on(leader).status(), { formation: { mode: 'manual' }, joining: { mode: 'off' }, autopilot: { mode: 'on' } })
  await c.start(4)
  await c.pass(5_000)
  t.equal(roles(c), '1,2,3 | ', 'nobody is taken in')
  await c.on(leader).addLearner({ id: 4, raft: '10.0.0.4:7100', api: 'http://10.0.0.4:7000' })
  const victim = leader === 3 ? 2 : 3
  await c.at(victim).crash()
  await c.until('the learner votes', () => roles(c) === `${[1, 2, 3, 4].filter((id) => id !== victim).join()} | `)
})

t.test('a learner is promoted only after it has kept up for long enough', async (t) => {
  const c = new TestCluster(t, [1, 2])
  automate(c, { expected: 1, delayMs: 300, votersTarget: 2, stabilizationMs: 5_000 }, [1])
  automate(c, { expected: 2 }, [2])
  await c.start(1)
  await c.leader([1])
  await c.start(2)
  await c.until('a learner', () => roles(c) === '1 | 2')
  await c.pass(3_000)
  // Silence begins the count anew.
  c.partition([2])
  await c.pass(2_000)
  c.heal()
  const healed = c.clock.now()
  await c.until('a voter', () => roles(c) === '1,2 | ')
  t.ok(c.clock.now() - healed > 5_000, `${c.clock.now() - healed} ms after it was heard again`)
})

t.test('time in which the leader itself stood still is not the silence of its followers', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4, 5])
  automate(c, { expected: 5, autopilot })
  await c.start(1, 2, 3, 4, 5)
  await checkOne(t, c, [1, 2, 3, 4, 5], 'formed')
  await c.pass(4_000)
  const leader = await c.leader()
  const [first = 0, second = 0, ...late] = [1, 2, 3, 4, 5].filter((id) => id !== leader)
  for (const id of [1, 2, 3, 4, 5]) c.at(id).pause()
  await c.pass(6_000)
  for (const id of [leader, first, second]) c.at(id).resume()
  await c.pass(1_500)
  t.equal(await c.leader([leader, first, second]), leader, 'the leader leads on')
  for (const id of late) c.at(id).resume()
  await c.pass(10_000)
  t.equal(roles(c), '1,2,3,4,5 | ', 'nobody is removed who was only stopped as long as the leader, and a little longer')
  const gone = late[0] ?? 0
  await c.at(gone).crash()
  await c.until(
    'a voter that is dead goes',
    () => roles(c) === `${[1, 2, 3, 4, 5].filter((id) => id !== gone).join()} | `,
  )
})

t.test('silence from before the machine of the leader was suspended does not count', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4])
  automate(c, { expected: 4, autopilot })
  await c.start(1, 2, 3, 4)
  await checkOne(t, c, [1, 2, 3, 4], 'formed')
  await c.pass(4_000)
  const leader = await c.leader()
  const victim = leader === 4 ? 3 : 4
  await c.at(victim).crash()
  await c.pass(2_500)
  c.clock.sleep(60_000)
  await c.pass(2_500)
  t.equal(roles(c), '1,2,3,4 | ', 'not before its time, counted from when the machines woke')
  await c.until('the dead voter goes', () => roles(c) === `${[1, 2, 3, 4].filter((id) => id !== victim).join()} | `)
})
