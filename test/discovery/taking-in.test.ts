import t from 'tap'
import { createHash } from 'node:crypto'
import { clusterIdOf } from '../../src/node/codec/cluster-id.ts'
import { membershipOfVoters } from '../../src/node/membership/api-views.ts'
import { refused, specOf, specsOf, TestCluster } from '../node/support/cluster.ts'
import { addressesOf } from '../node/support/machine.ts'
import { automate, checkOne, votersOf } from './support/automatic.ts'

/** Records which node probes which address, from now on, in running processes and in those that are started later. */
function recordProbes(c: TestCluster): { readonly from: number; readonly address: string }[] {
  const probes: { readonly from: number; readonly address: string }[] = []
  const join = c.hub.join.bind(c.hub)
  c.hub.join = (id, address) => {
    const transport = join(id, address)
    const probe = transport.probe.bind(transport)
    transport.probe = (raftAddress, timeoutMs) => {
      probes.push({ from: id, address: raftAddress })
      return probe(raftAddress, timeoutMs)
    }
    return transport
  }
  return probes
}

t.test('a voter that was removed stays out, though it holds a membership that nobody else has', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4])
  automate(c, { expected: 3 })
  await c.start(1, 2, 3)
  await checkOne(t, c, [1, 2, 3], 'formed')
  const old = await c.leader([1, 2, 3])
  const rest = [1, 2, 3].filter((id) => id !== old)
  c.partition([old, 4])
  await c.start(4)
  await c.until('the leader that is cut off begins to take node 4 in', () => {
    return c.at(old).view.effective.membership.nodes.has(c.at(4).id)
  })
  const now = await c.leader(rest)
  await c.at(4).crash()
  await c.at(old).crash()
  await c.on(now).change({ add: [], remove: [old] })
  // The others tell it of its removal no longer.
  await c.pass(20_000)
  c.heal()
  await c.start(old)
  await c.pass(20_000)
  t.equal(votersOf(c, now), rest.join())
  t.notOk(c.at(now).view.effective.membership.nodes.has(c.at(old).id))
  c.at(4).wipe()
  await c.start(4)
  await c.until('an empty node comes in', () => votersOf(c, now) === [...rest, 4].join())
})

t.test('a learner that was taken in half by a leader that was unseated is taken in by the next', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4])
  automate(c, { expected: 3 })
  await c.start(1, 2, 3)
  await checkOne(t, c, [1, 2, 3], 'formed')
  const old = await c.leader([1, 2, 3])
  c.partition([old, 4])
  await c.start(4)
  await c.until('node 4 holds what makes it a learner', () => {
    return c.at(4).view.effective.membership.nodes.has(c.at(4).id)
  })
  await c.leader([1, 2, 3].filter((id) => id !== old))
  await c.at(old).crash()
  c.heal()
  await c.until('the next leader takes it in', () => {
    const leader = c.leaderOrNull()
    return leader?.id !== old && leader?.view.committed === c.at(4).view.committed && c.at(4).view.committed > 0
  })
  await c.start(old)
  await checkOne(t, c, [1, 2, 3], 'everybody is a member')
})

t.test('a leader asks only addresses at which somebody could be, and none when it takes nobody in', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4, 5])
  const probes = recordProbes(c)
  const one = { addresses: [addressesOf(1).raft], problem: null }
  const strange = ['nonsense', `${'a'.repeat(300)}:7100`]
  automate(c, { expected: 1, delayMs: 300, lookUp: () => one })
  for (const [at, raft] of strange.entries()) c.at(3 + at).addresses = { ...addressesOf(3 + at), raft }
  await c.start(1)
  await c.leader([1])
  await c.start(2, 3, 4)
  await c.until('node 2 is a member', () => c.at(1).view.effective.membership.nodes.has(c.at(2).id))
  // From now on node 2 hears of them, and node 1 through it.
  const two = { addresses: [addressesOf(2).raft], problem: null }
  automate(c, { expected: 1, delayMs: 300, lookUp: () => two }, [3, 4])
  await c.restart(3)
  await c.restart(4)
  await c.pass(10_000)
  t.ok(probes.some(({ from, address }) => from === 3 && address === addressesOf(2).raft))
  t.same(
    probes.filter(({ address }) => strange.includes(address)),
    [],
  )
  t.equal(c.on(1).status().joining.failure, null)
  await c.at(2).crash()
  automate(c, { expected: 1, delayMs: 300, autoJoin: false, lookUp: () => one })
  await c.restart(1)
  await c.leader([1])
  probes.length = 0
  await c.start(5)
  await c.pass(10_000)
  t.ok(probes.some(({ from }) => from === 5))
  t.same(
    probes.filter(({ from, address }) => from === 1 && address === addressesOf(5).raft),
    [],
    'who wishes to join is not asked by a leader that takes nobody in',
  )
})

t.test('a node that can never be taken in is warned of once, and shown for as long as it tries', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  automate(c, { expected: 1, delayMs: 300 })
  await c.start(1)
  const leader = await c.leader([1])
  c.at(3).addresses = { ...addressesOf(3), api: addressesOf(1).api }
  await c.start(3)
  await c.pass(20_000)
  const warnings = (): number => c.lines.filter(({ event }) => event === 'automatic membership change failed').length
  const wishes = (): number => {
    return c.lines.filter(({ event, facts }) => event === 'joining decided' && JSON.stringify(facts).includes('node 3'))
      .length
  }
  t.equal(warnings(), 1)
  t.equal(wishes(), 1)
  const own = c.lines.filter(({ event, facts }) => event === 'audit' && JSON.stringify(facts).includes('"id":3'))
  t.equal(own.length, 1, 'what fails again and again is one line of audit')
  t.match(own, [
    { facts: { audit: { operation: 'addLearner', by: 'joining', asked: { id: 3 }, code: 'address-conflict' } } },
  ])
  t.match(c.on(leader).status().joining, { decision: 'add-learner', failure: /^node 3: address-conflict: / })
  await c.start(2)
  await c.until('it keeps nobody else out', () => c.at(1).view.effective.membership.nodes.has(c.at(2).id))
  await c.pass(5_000)
  t.equal(warnings(), 1, 'also when another change went well')
  t.match(c.on(leader).status().joining.failure, /^node 3: address-conflict: /)
  await c.at(3).crash()
  await c.until('it is gone', () => c.on(leader).status().joining.failure === null)
})

t.test('what came in the way of a leader or founder is not shown by a node that is neither any more', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4])
  automate(c, { expected: 3 })
  await c.start(1, 2, 3)
  await checkOne(t, c, [1, 2, 3], 'formed')
  const old = await c.leader()
  c.at(4).addresses = { ...addressesOf(4), api: addressesOf(1).api }
  await c.start(4)
  await c.until('a failure', () => c.on(old).status().joining.failure !== null)
  await c.on(old).transfer(old === 1 ? 2 : 1)
  await c.pass(1_000)
  t.match(c.on(old).status().joining, { decision: 'none', reason: 'this node does not lead', failure: null })
  const { formation } = c.on(old).status()
  t.match(formation, { decision: 'resume', seen: 3, expected: 3, failure: null })
  t.same(formation.sightings, [])
})

t.test('a demoted voter is promoted again below the target, unless automatic joining is off', async (t) => {
  for (const autoJoin of [true, false]) {
    const c = new TestCluster(t, [1, 2, 3])
    automate(c, { expected: 3, autoJoin })
    await c.start(1, 2, 3)
    await checkOne(t, c, [1, 2, 3], 'formed')
    const leader = await c.leader()
    const demoted = leader === 3 ? 2 : 3
    await c.on(leader).change({ add: [], remove: [demoted] }, { retain: true })
    const rest = [1, 2, 3].filter((id) => id !== demoted).join()
    t.equal(votersOf(c, leader), rest)
    await c.pass(10_000)
    t.equal(votersOf(c, leader), autoJoin ? '1,2,3' : rest, `--auto-join ${autoJoin}`)
  }
})

t.test('nodes that have agreed to another cluster are not taken in, and are once they are emptied', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4])
  automate(c, { expected: 3 })
  const members = specsOf([1, 2, 3])
  const hash = (text: string): string => createHash('sha256').update(text).digest('hex')
  const clusterId = clusterIdOf(membershipOfVoters(members), '', hash)
  for (const id of [1, 2]) c.at(id).memory = { round: 1, pledge: { clusterId, members }, metCluster: null }
  await c.start(1, 2, 4)
  await c.on(4).initialize(specsOf([4]))
  await c.leader([4])
  await c.pass(5_000)
  t.same([...c.at(4).view.effective.membership.nodes.keys()], [4], 'they would never follow')
  t.match(c.on(1).status().formation, { decision: 'wait', reason: /has met cluster .*empty the data directories/ })
  const error = await refused(c.on(4).addLearner(specOf(1)), 'peer-disagrees')
  t.match(error.facts, { peer: 1, peerClusterId: clusterId })
  t.match(error.message, /^node 1 has agreed to form cluster .* of nodes 1, 2, 3.*empty its data directory/)
  await c.at(1).crash()
  c.at(1).wipe()
  await c.start(1)
  // Once the first has joined, what the second agreed to cannot come to be, and it asks to join by itself.
  await c.until('emptied as told, it votes, and so does the other', () => votersOf(c, 1) === '1,2,4')
  await c.start(3)
  await checkOne(t, c, [1, 2, 4], 'one that has agreed to nothing comes in as it is')
})
