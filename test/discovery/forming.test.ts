import t from 'tap'
import { createHash } from 'node:crypto'
import { clusterIdOf } from '../../src/node/codec/cluster-id.ts'
import { membershipOfVoters } from '../../src/node/membership/api-views.ts'
import { nodeId } from '../../src/raft/index.ts'
import { addressesOf, type Machine } from '../node/support/machine.ts'
import { refused, specsOf, TestCluster } from '../node/support/cluster.ts'
import { automate, checkOne, clustersOf, votersOf } from './support/automatic.ts'

t.test('three nodes with the same configuration form one cluster, and a restart resumes it', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  automate(c, { expected: 3 })
  await c.start(1, 2)
  await c.pass(5_000)
  t.match(c.on(1).status().formation, {
    mode: 'automatic',
    decision: 'wait',
    reason: '2 of 3 expected nodes are present; no node answers at 10.0.0.3:7100',
    seen: 2,
    expected: 3,
    failure: null,
    sightings: [
      { address: '10.0.0.2:7100', node: 2, detail: 'has no cluster yet' },
      { address: '10.0.0.3:7100', node: null },
    ],
  })
  t.equal(c.on(1).status().clusterId, null, 'two of three form nothing')
  await c.start(3)
  await checkOne(t, c, [1, 2, 3], 'formed')
  await c.pass(200)
  for (const id of [1, 2, 3]) {
    const { formation } = c.on(id).status()
    t.match(formation, { decision: 'resume', seen: 3, expected: 3, failure: null })
    t.same(formation.sightings, [], 'a member looks at nobody')
  }
  const { clusterId } = c.on(1).status()
  for (const id of [1, 2, 3]) await c.restart(id)
  await checkOne(t, c, [1, 2, 3], 'resumed')
  t.equal(c.on(3).status().clusterId, clusterId, 'the same cluster')
  const said = c.lines.filter(({ event }) => event === 'formation decided').map(({ facts }) => JSON.stringify(facts))
  t.equal(
    new Set(said).size <= said.length && said.length < 60,
    true,
    'a decision is logged when it changes, not each time',
  )
})

t.test('a node that expects only itself forms a cluster alone', async (t) => {
  const c = new TestCluster(t, [1])
  automate(c, { expected: 1, delayMs: 300 })
  await c.start(1)
  await checkOne(t, c, [1], 'alone')
})

t.test(
  'of five nodes the three with the lowest ids form, the others join and learn, or vote up to the target',
  async (t) => {
    for (const votersTarget of [3, 4, 5]) {
      const c = new TestCluster(t, [1, 2, 3, 4, 5])
      automate(c, { expected: 3, votersTarget })
      await c.start(5, 3, 1, 4, 2)
      await checkOne(t, c, [1, 2, 3, 4, 5].slice(0, votersTarget), `${votersTarget} voters`)
    }
  },
)

t.test('a node that starts when the cluster exists joins it, whichever member it knows', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4])
  automate(c, { expected: 3, votersTarget: 4 }, [1, 2, 3])
  // The members do not discover node 4, and node 4 knows one member only.
  const three = { addresses: specsOf([1, 2, 3]).map(({ raft }) => raft), problem: null }
  automate(c, { expected: 3, votersTarget: 4, lookUp: () => three }, [1, 2, 3])
  await c.start(1, 2, 3)
  const leader = await c.leader([1, 2, 3])
  const follower = leader === 1 ? 2 : 1
  const one = { addresses: specsOf([follower]).map(({ raft }) => raft), problem: null }
  automate(c, { expected: 3, lookUp: () => one }, [4])
  await c.start(4)
  await checkOne(t, c, [1, 2, 3, 4], 'joined through a follower')
})

t.test('with automatic joining off, nobody is taken in', async (t) => {
  const c = new TestCluster(t, [1, 2])
  automate(c, { expected: 1, delayMs: 300, autoJoin: false })
  await c.start(1)
  await c.leader([1])
  automate(c, { expected: 1, delayMs: 60_000, autoJoin: false }, [2])
  await c.start(2)
  await c.pass(20_000)
  t.match(c.on(2).status().formation, {
    decision: 'join',
    reason: /node 1 belongs to cluster .*: this node asks to join it/,
  })
  t.match(c.on(1).status().joining, { mode: 'off', decision: 'none', reason: 'automatic joining is off' })
  t.equal(c.at(1).view.effective.membership.nodes.size, 1)
  await c.on(1).addLearner(specsOf([2])[0] ?? fail())
  t.equal(c.on(2).status().node.state, 'learner', 'by request it works all the same')
})

t.test('nodes of another token, and nodes that are led by hand, are left alone', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4])
  automate(c, { expected: 2, votersTarget: 4 })
  c.at(3).options = { ...c.at(3).options, clusterToken: 'other' }
  c.at(4).automation = null
  await c.start(1, 2, 3, 4)
  await c.leader([1, 2])
  await c.pass(20_000)
  t.equal(votersOf(c, 1), '1,2')
  t.same([...c.at(1).view.effective.membership.nodes.keys()], [1, 2])
  t.match(c.on(3).status().formation, {
    decision: 'wait',
    reason:
      /1 of 2 expected nodes is present; another cluster or cluster token at 10\.0\.0\.1:7100, 10\.0\.0\.2:7100, 10\.0\.0\.4:7100$/,
  })
  t.match(c.on(4).status(), { clusterId: null, formation: { mode: 'manual', decision: 'none' } })
  await c.on(4).initialize(specsOf([4]))
  t.equal(clustersOf(c).length, 2, 'by hand it may form its own')
})

/** Other machines with the ids of machines of `c`, 10.0.0.11 for 1 and so on, empty, and of another token. */
function greenTwins(c: TestCluster, ids: readonly number[]): Machine[] {
  return ids.map((id) => {
    const twin = c.copyOf(id, addressesOf(10 + id), 10 + id)
    twin.wipe()
    twin.options = { ...twin.options, clusterToken: 'green' }
    twin.automation = c.at(id).automation
    return twin
  })
}

function found(ids: readonly number[]) {
  return { addresses: ids.map((id) => addressesOf(id).raft), problem: null }
}

t.test(
  'two clusters with tokens of their own form side by side, with the same ids and one source of addresses',
  async (t) => {
    const c = new TestCluster(t, [1, 2])
    automate(c, { expected: 2, lookUp: () => found([1, 2, 11, 12]) })
    const green = greenTwins(c, [1, 2])
    await c.start(1, 2)
    for (const twin of green) await twin.start()
    const all = [...c.up, ...green]
    await c.until('both have a leader', () => all.every(({ view }) => view.leader !== null))
    await c.pass(10_000)
    const clusters = all.map(({ client }) => client.status().clusterId)
    t.equal(clusters[0], clusters[1])
    t.equal(clusters[2], clusters[3])
    t.not(clusters[0], clusters[2])
    for (const { client } of all) {
      t.equal(client.status().membership?.effective.membership.learners.length, 0)
      t.notOk(client.status().warnings.some(({ code }) => code === 'same-id' || code === 'wiped-voter'))
    }
  },
)

t.test('a node of another token with the id of a member that is down is not taken for that member', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  automate(c, { expected: 3, lookUp: () => found([1, 2, 3, 13]) })
  await c.start(1, 2, 3)
  await checkOne(t, c, [1, 2, 3], 'formed')
  await c.at(3).crash()
  const [green = fail()] = greenTwins(c, [3])
  await green.start()
  await c.pass(10_000)
  for (const id of [1, 2]) t.same(c.on(id).status().warnings, [], 'the member has its data, and comes back with it')
  t.match(green.client.status().formation, {
    decision: 'wait',
    reason:
      /another cluster or cluster token at 10\.0\.0\.1:7100, 10\.0\.0\.2:7100; no node answers at 10\.0\.0\.3:7100/,
  })
  await c.start(3)
  await checkOne(t, c, [1, 2, 3], 'it is back')
  await c.at(3).crash()
  await green.crash()
  green.addresses = addressesOf(3)
  await green.start()
  await c.pass(5_000)
  t.match(c.on(await c.leader([1, 2])).status().warnings, [
    { code: 'foreign-cluster', detail: /^node 3: cluster .* was formed with another cluster token than node 3 has$/ },
  ])
})

t.test('two nodes with one id are told so, and form nothing until that is mended', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4])
  automate(c, { expected: 3 })
  c.at(4).options = { ...c.at(4).options, id: nodeId(3), incarnation: 'another' }
  await c.start(1, 2, 3, 4)
  await c.until('both of them, and the others, say so', () => {
    return [1, 2, 3, 4].every((id) => c.on(id).status().formation.decision === 'refuse')
  })
  t.match(c.on(3).status().formation.reason, /10\.0\.0\.4:7100: two nodes have the id 3/)
  t.match(c.on(4).status().formation.reason, /10\.0\.0\.3:7100: two nodes have the id 3/)
  t.match(c.on(1).status().formation.reason, /two nodes have the id 3, at 10.0.0.3:7100 and at 10.0.0.4:7100/)
  await c.pass(10_000)
  t.same(clustersOf(c), [])
  await c.at(4).crash()
  await checkOne(t, c, [1, 2, 3], 'mended')
})

t.test('a member that lost its data does not form anything again, and comes back once it was removed', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  automate(c, { expected: 3 })
  await c.start(1, 2, 3)
  await checkOne(t, c, [1, 2, 3], 'formed')
  await c.at(3).crash()
  c.at(3).wipe()
  await c.start(3)
  await c.until('node 3 refuses', () => c.on(3).status().formation.decision === 'refuse')
  t.match(
    c.on(3).status().formation.reason,
    /node 3 has lost its data .*remove it from the membership, then add it again/,
  )
  await c.pass(10_000)
  t.equal(c.on(3).status().clusterId, null)
  await c.on(await c.leader([1, 2])).change({ add: [], remove: [3] })
  await checkOne(t, c, [1, 2, 3], 'removed by the operator, joined again by itself')
})

t.test('a node that was removed by its operator stays out', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4])
  automate(c, { expected: 4 })
  await c.start(1, 2, 3, 4)
  await checkOne(t, c, [1, 2, 3, 4], 'formed')
  await c.on(1).change({ add: [], remove: [4] })
  await c.pass(20_000)
  t.notOk(c.at(1).view.effective.membership.nodes.has(c.at(4).id))
  await c.restart(4)
  await c.pass(20_000)
  t.notOk(c.at(1).view.effective.membership.nodes.has(c.at(4).id), 'also when it is started again')
})

t.test('initialize by hand goes before the delay, and the others follow', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  automate(c, { expected: 3, delayMs: 60_000 })
  await c.start(1, 2, 3)
  await c.on(2).initialize(specsOf([2]))
  await checkOne(t, c, [1, 2, 3], 'one by hand, the rest by themselves')
  await refused(c.on(1).initialize(specsOf([1])), 'already-initialized')
})

function fail(): never {
  throw new Error('it is there')
}

t.test('who has met a cluster forms no other while its members are away', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4, 5])
  automate(c, { expected: 3, autoJoin: false })
  await c.start(1, 2, 3)
  await checkOne(t, c, [1, 2, 3], 'formed')
  await c.start(4, 5)
  const decisions = (): string[] => [4, 5].map((id) => c.on(id).status().formation.decision)
  await c.until('the others have met it', () => decisions().join() === 'join,join')
  for (const id of [1, 2, 3]) await c.at(id).crash()
  c.at(3).wipe()
  await c.start(3)
  await c.pass(20_000)
  t.same(clustersOf(c), [], 'with the one that has lost its data they would be enough')
  t.match(c.on(4).status().formation, {
    decision: 'wait',
    reason: /none of its members is present: start them/,
  })
  await c.start(1, 2)
  await c.until('its members are back', () => decisions().join() === 'join,join')
  for (const id of [1, 2, 4, 5]) await c.at(id).crash()
  await c.restart(3)
  await c.start(4, 5)
  await c.pass(20_000)
  t.same(clustersOf(c), [], 'nor are they when they are started again')
  t.match(
    c.on(5).status().formation.reason,
    /if they are gone for good, empty the data directories of the remaining nodes/,
  )
  for (const id of [3, 4, 5]) {
    await c.at(id).crash()
    c.at(id).wipe()
  }
  await c.start(3, 4, 5)
  await checkOne(t, c, [3, 4, 5], 'emptied, they know of nothing else')
})

t.test(
  'who has met a cluster does not vote for the first leader of another, and follows one that has its leader',
  async (t) => {
    const c = new TestCluster(t, [1, 2, 3, 4, 5])
    automate(c, { expected: 2, autoJoin: false })
    await c.start(3)
    await c.on(3).initialize(specsOf([3, 4, 5]), 'appended')
    await c.at(3).crash()
    await c.start(1, 2, 4)
    await c.until('node 4 has met the cluster of the others', () => c.on(4).status().formation.decision === 'join')
    for (const id of [1, 2]) await c.at(id).crash()
    await c.start(3)
    await c.pass(20_000)
    t.equal(c.on(4).status().clusterId, null)
    t.match(c.on(4).status().formation, {
      decision: 'wait',
      reason:
        /^node 3 belongs to .* has never had a leader, but this node has met cluster .* empty its data directory and start it again$/,
    })
    await c.start(5)
    await c.until('the other one has a leader', () => c.on(4).status().clusterId !== null)
    await checkOne(t, c, [3, 4, 5], 'it was begun before, and found its majority elsewhere')
  },
)

t.test('a node that sees two clusters of its token remembers one of them, and writes that once', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  await c.start(1, 2)
  for (const id of [1, 2]) await c.on(id).initialize(specsOf([id]))
  automate(c, { expected: 2 }, [3])
  await c.start(3)
  await c.until('it has met both', () =>
    c.on(3).status().formation.reason.startsWith('several clusters have this token'),
  )
  await c.pass(5_000)
  t.equal(c.at(3).memoryWrites, 1)
  const met = [1, 2].find((id) => c.on(id).status().clusterId === c.at(3).memory.metCluster) ?? 0
  await c.at(met).crash()
  const other = c.on(3 - met).status().clusterId
  await c.until('the other one, when that is the only one left', () => c.at(3).memory.metCluster === other)
  await c.pass(5_000)
  t.equal(c.at(3).memoryWrites, 2)
})

/** The next process of each of them listens elsewhere, and is found there. */
async function moveAll(
  c: TestCluster,
  places: ReadonlyMap<number, string>,
  wishes: { autoJoin?: boolean } = {},
): Promise<void> {
  for (const id of places.keys()) if (c.at(id).isUp) await c.at(id).crash()
  for (const [id, host] of places) c.at(id).addresses = { raft: `${host}:7100`, api: `http://${host}:7000` }
  const lookUp = () => ({
    addresses: [...c.machines.values()].map(({ addresses }) => addresses.raft).sort(),
    problem: null,
  })
  automate(c, { expected: 3, lookUp, ...wishes })
  await c.start(...places.keys())
}

function listedAt(c: TestCluster, on: number): string {
  return [...c.at(on).view.effective.membership.nodes.values()].map(({ raft }) => raft).join(' ')
}

t.test('members that have all moved at once find each other, elect, and put the membership right', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  automate(c, { expected: 3 })
  await c.start(1, 2, 3)
  await checkOne(t, c, [1, 2, 3], 'formed')
  const { clusterId } = c.on(1).status()
  const rounds: [name: string, hosts: readonly string[]][] = [
    ['to new addresses', ['10.0.7.1', '10.0.7.2', '10.0.7.3']],
    ["to each other's", ['10.0.7.2', '10.0.7.3', '10.0.7.1']],
    ['two of them', ['10.0.8.1', '10.0.7.3', '10.0.8.3']],
  ]
  for (const [name, hosts] of rounds) {
    await moveAll(c, new Map(hosts.map((host, at) => [at + 1, host])))
    await checkOne(t, c, [1, 2, 3], name)
    const expected = hosts.map((host) => `${host}:7100`).join(' ')
    await c.until(`the membership has it: ${name}`, () => [1, 2, 3].every((id) => listedAt(c, id) === expected))
    await c.until('nobody warns', () => [1, 2, 3].every((id) => c.on(id).status().warnings.length === 0))
    t.equal(c.on(2).status().clusterId, clusterId, `the same cluster: ${name}`)
  }
})

t.test('with automatic joining off they elect all the same, and say which commands are due', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  automate(c, { expected: 3, autoJoin: false })
  await c.start(1, 2, 3)
  await checkOne(t, c, [1, 2, 3], 'formed')
  const before = listedAt(c, 1)
  await moveAll(c, new Map([1, 2, 3].map((id) => [id, `10.0.7.${id}`])), { autoJoin: false })
  const leader = await c.leader()
  await c.on(leader).put('k', 'v')
  await c.pass(10_000)
  t.equal(listedAt(c, leader), before, 'nobody changes the membership')
  for (const id of [1, 2, 3]) {
    const command = `quorate cluster set-addresses ${id} --raft 10.0.7.${id}:7100 --api http://10.0.7.${id}:7000`
    t.ok(
      c
        .on(leader)
        .status()
        .warnings.some(({ detail }) => detail.includes(command)),
      command,
    )
  }
})

t.test(
  'a learner that has moved finds a leader that has never heard of its move, when its own leader is silent',
  async (t) => {
    const c = new TestCluster(t, [1, 2, 3])
    automate(c, { expected: 3, autoJoin: false })
    await c.start(1, 2, 3)
    await checkOne(t, c, [1, 2, 3], 'formed')
    await c.on(1).change([1, 2], { retain: true })
    await c.until('a learner', () => votersOf(c, 3) === '1,2')
    // Node 1 finds the learner where it has moved; node 2 does not, and neither does the learner find node 2.
    for (const id of [1, 2, 3]) await c.at(id).crash()
    for (const id of [1, 2, 3]) c.at(id).addresses = { raft: `10.0.7.${id}:7100`, api: `http://10.0.7.${id}:7000` }
    const found = (...ids: number[]) => ({ addresses: ids.map((id) => `10.0.7.${id}:7100`), problem: null })
    let everybody = false
    automate(c, { expected: 3, autoJoin: false, lookUp: () => found(1, 2) }, [1, 2])
    automate(c, { expected: 3, autoJoin: false, lookUp: () => (everybody ? found(1, 2) : found(1)) }, [3])
    await c.start(1, 2)
    const first = await c.leader([1, 2])
    if (first !== 1) await c.on(first).transfer(1)
    await c.start(3)
    await c.until('the learner follows node 1', () => c.on(3).status().leader === 1)
    await c.pass(5_000)
    everybody = true
    await c.on(1).transfer(2)
    await c.on(2).put('k', 'after')
    await c.until('the learner follows node 2', () => c.on(3).status().leader === 2)
    await c.settled([1, 2, 3])
  },
)

t.test("a node with a member's id and other data is never taken for that member, wherever it is found", async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  automate(c, { expected: 3 })
  await c.start(1, 2, 3)
  await checkOne(t, c, [1, 2, 3], 'formed')
  for (const id of [1, 2, 3]) await c.at(id).crash()
  c.at(2).wipe()
  c.at(3).wipe()
  await moveAll(c, new Map([1, 2, 3].map((id) => [id, `10.0.7.${id}`])))
  await c.pass(30_000)
  t.equal(c.on(1).status().leader, null, 'the one that is left stays without a majority')
  t.not(c.on(2).status().clusterId, c.on(1).status().clusterId)
})

t.test('an operator who lists a member elsewhere before it moves is not overruled', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  automate(c, { expected: 3 })
  await c.start(1, 2, 3)
  await checkOne(t, c, [1, 2, 3], 'formed')
  const there = { id: 3, raft: '10.0.7.3:7100', api: 'http://10.0.7.3:7000' }
  await c.on(1).setAddresses(there)
  await c.pass(10_000)
  t.equal(
    c.at(1).view.effective.membership.nodes.get(nodeId(3))?.raft,
    there.raft,
    'while it is still at the old place',
  )
  await moveAll(c, new Map([[3, '10.0.7.3']]))
  await checkOne(t, c, [1, 2, 3], 'moved')
  t.equal(c.at(1).view.effective.membership.nodes.get(nodeId(3))?.raft, there.raft)
})

t.test('those who agreed finish what a founder that died began, and restarts do not set them free', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4])
  automate(c, { expected: 3 })
  await c.start(1, 2, 3)
  await c.until('somebody has begun', () => clustersOf(c).length === 1)
  const founder = [1, 2, 3].find((id) => c.on(id).status().clusterId !== null) ?? 0
  await c.at(founder).crash()
  const others = [1, 2, 3].filter((id) => id !== founder)
  await c.start(4)
  for (const id of others) await c.restart(id)
  await c.pass(20_000)
  for (const id of [...others, 4]) {
    const { clusterId } = c.on(id).status()
    t.ok(clusterId === null || clusterId === clustersOf(c)[0], 'there is one cluster, or none yet')
  }
  await c.start(founder)
  await checkOne(t, c, [1, 2, 3], 'the list that was agreed on')
})

t.test('a node that was lost when two had agreed with it is started again empty, and the cluster forms', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4])
  automate(c, { expected: 3 })
  await c.start(1, 2, 3)
  const hasPledged = (id: number): boolean => c.at(id).memory.pledge !== null
  await c.until('two have agreed', () => [1, 2, 3].filter(hasPledged).length >= 2)
  const lost = [3, 2, 1].find((id) => c.on(id).status().clusterId === null) ?? 3
  await c.at(lost).crash()
  c.at(lost).wipe()
  await c.start(4)
  await c.pass(10_000)
  t.notOk(
    clustersOf(c).some((id) => id !== c.at([1, 2, 3].find((one) => hasPledged(one)) ?? 1).memory.pledge?.clusterId),
  )
  await c.start(lost)
  await c.until('the cluster is there', () => c.up.every(({ client }) => client.status().leader !== null))
  t.equal(clustersOf(c).length, 1)
})

t.test('a node that has agreed to a cluster forms no other by hand, and that one it does', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  automate(c, { expected: 3 })
  const members = specsOf([1, 2, 3])
  const clusterId = clusterIdOf(membershipOfVoters(members), '', (text) =>
    createHash('sha256').update(text).digest('hex'),
  )
  c.at(1).memory = { round: 1, pledge: { clusterId, members }, metCluster: null }
  await c.start(1, 2)
  await c.until('it waits for the third', () => /waits to hear that nodes? .*3/.test(c.on(1).status().formation.reason))
  for (const id of [1, 2]) {
    const error = await refused(c.on(id).initialize(specsOf([1, 2])), 'peer-disagrees')
    t.match(error.message, /agreed to form cluster .* of 1,10\.0\.0\.1:7100,http/, 'it names the members to ask for')
  }
  await c.on(1).initialize(members)
  await c.leader([1, 2])
  t.same(clustersOf(c), [clusterId], 'two of the three are a majority')
})
