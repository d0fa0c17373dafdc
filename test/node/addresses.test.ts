import { PROTOCOL_VERSION } from '../../src/transport/frame-header.ts'
import t, { type Test } from 'tap'
import type { MemberSpec } from '../../src/api/cluster.ts'
import { Peers } from '../../src/node/peers/peers.ts'
import { DialAddresses } from '../../src/node/peers/dial-addresses.ts'
import type { Hello } from '../../src/ports/transport.ts'
import { nodeId, NO_MEMBERSHIP } from '../../src/raft/index.ts'
import { refused, specOf, TestCluster } from './support/cluster.ts'
import { VirtualClock } from './support/virtual-clock.ts'

function movedSpec(id: number): MemberSpec {
  return { id, raft: `10.0.1.${id}:7100`, api: `http://10.0.1.${id}:7000` }
}

async function formed(t: Test, ids: readonly number[], voters: readonly number[]) {
  const c = new TestCluster(t, ids)
  const leader = await c.form(voters)
  return { c, leader, followers: voters.filter((id) => id !== leader) }
}

/** The node's next process listens elsewhere. */
async function move(c: TestCluster, id: number): Promise<void> {
  if (c.at(id).isUp) await c.at(id).stop(true)
  const { raft, api } = movedSpec(id)
  c.at(id).addresses = { raft, api }
  await c.start(id)
}

function warningsOf(c: TestCluster, id: number): string[] {
  return c
    .on(id)
    .status()
    .warnings.map(({ code }) => code)
}

function connectsAll(c: TestCluster): boolean {
  return c.up.every(({ client }) => Object.values(client.status().nodes).every(({ reachable }) => reachable === true))
}

t.test('a member that restarts elsewhere rejoins by itself, and everybody says which command is due', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], [1, 2, 3])
  for (const id of [followers[0] ?? 0, leader]) {
    await move(c, id)
    await c.leader()
    await c.until('all are connected again', () => connectsAll(c))
    const { raft, api } = movedSpec(id)
    const command = `quorate cluster set-addresses ${id} --raft ${raft} --api ${api}`
    for (const machine of c.up) {
      const warning = machine.client.status().warnings.find(({ detail }) => detail.includes(command))
      t.match(warning, { code: 'wrong-address' }, `node ${machine.id} warns of node ${id}`)
    }
    t.ok(
      c.lines.some(
        ({ node, level, facts }) => node === id && level === 'warn' && JSON.stringify(facts).includes(command),
      ),
      'in the log too',
    )
    const answer = await c.on(1).setAddresses(movedSpec(id))
    t.match(answer, { committed: true, joint: false, membership: { nodes: { [id]: { raft, api } } } })
    await c.until('the warnings are gone', () => [1, 2, 3].every((one) => warningsOf(c, one).length === 0))
    await c.on(2).put('k', String(id))
    t.equal(await c.on(3).get('k'), String(id))
  }
  await c.settled()
})

t.test('addresses of a member that is down: changed first, found there when it comes back', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], [1, 2, 3])
  const [moving = 0, other = 0] = followers
  await c.at(moving).crash()
  const before = c.at(leader).view.last?.index ?? 0
  const answer = await c.on(other).setAddresses(movedSpec(moving))
  t.equal(answer.logId?.index, before + 1, 'one entry')
  t.same((await c.on(leader).setAddresses(movedSpec(moving))).logId, answer.logId, 'repeated: the same answer')
  await move(c, moving)
  await c.until('all are connected', () => connectsAll(c))
  await c.until('there is nothing to warn of', () => [1, 2, 3].every((id) => warningsOf(c, id).length === 0))
  await c.settled()
  t.equal(await c.leader(), leader, 'and nobody was disturbed')
})

t.test('a new address for a member that is still at the old one disturbs nobody, whoever it is', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], [1, 2, 3])
  const { term } = c.on(leader).status()
  for (const id of [leader, followers[0] ?? 0]) {
    await c.on(leader).setAddresses(movedSpec(id))
    await c.pass(3_000)
    t.equal(c.on(leader).status().term, term, `no election after the change of node ${id}`)
    t.ok(connectsAll(c))
    await c.on(leader).put('k', 'v')
    t.same(warningsOf(c, id), ['wrong-address'], 'it says that it is not where the membership has it')
  }
  // Without its quorum the leader must still be found where it is.
  await c.at(followers[1] ?? 0).crash()
  await c.restart(followers[0] ?? 0)
  await c.until('the two find each other', () => connectsAllOf(c, [leader, followers[0] ?? 0]))
  await c.on(leader).put('k', 'w')
  for (const id of [leader, followers[0] ?? 0]) await move(c, id)
  await c.leader([leader, followers[0] ?? 0])
  t.equal(await c.on(leader).get('k'), 'w', 'and at the new addresses')
})

function connectsAllOf(c: TestCluster, ids: readonly number[]): boolean {
  return ids.every((id) => ids.every((other) => c.on(id).status().nodes[String(other)]?.reachable === true))
}

t.test('a member that answers at both addresses is dialled at the new one, without a gap', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], [1, 2, 3])
  const [id = 0] = followers
  const second = c.hub.alias(movedSpec(id).raft, specOf(id).raft)
  await c.on(leader).setAddresses(movedSpec(id))
  await c.until('everybody uses the new address', () => second.dials >= 2)
  await c.until('all are connected', () => connectsAll(c))
  t.equal(await c.leader(), leader)
})

t.test('what is refused writes nothing', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3, 4, 5], [1, 2, 3])
  const [first = 0, second = 0] = followers
  await c.start(4, 5)
  await c.on(5).initialize(null)
  const before = c.at(leader).view.last?.index ?? 0
  await refused(c.on(leader).setAddresses(movedSpec(4)), 'node-not-found')
  const conflict = await refused(
    c.on(first).setAddresses({ ...movedSpec(first), api: specOf(second).api }),
    'address-conflict',
  )
  t.match(conflict.facts, { id: second })
  await refused(c.on(first).setAddresses({ ...specOf(leader), id: first }), 'address-conflict')
  const other = await refused(
    c.on(second).setAddresses({ ...movedSpec(first), raft: specOf(4).raft }),
    'member-mismatch',
  )
  t.match(other.facts, { found: 4 })
  const foreign = await refused(
    c.on(leader).setAddresses({ ...movedSpec(first), raft: specOf(5).raft }),
    'member-mismatch',
    'peer-disagrees',
  )
  t.ok(foreign.message.includes('5'))
  await refused(c.on(leader).setAddresses(movedSpec(first), { ifMembershipAt: before + 7 }), 'precondition-failed')
  await c.at(first).crash()
  c.at(first).wipe()
  await move(c, first)
  const wiped = await refused(c.on(leader).setAddresses(movedSpec(first)), 'member-mismatch')
  t.match(wiped.message, /lost its data/)
  t.equal(c.at(leader).view.last?.index, before)
  await c.at(first).crash()
  const forced = await c.on(leader).setAddresses({ ...movedSpec(first), raft: specOf(4).raft }, { force: true })
  t.equal(forced.logId?.index, before + 1, 'forced, nobody is asked')
})

t.test('routes: which of two addresses is dialled', async (t) => {
  let now = 0
  let connected = false
  const id = nodeId(2)
  const members = (raft: string) => new Map([[id, { raft, api: 'http://x:1' }]])
  const routes = new DialAddresses({ now: () => now, isConnected: () => connected, patienceMs: 500, saidMax: 2 })
  t.equal(routes.addressOf(id), null)
  t.notOk(routes.announce(nodeId(9), 'z'), 'a stranger')
  t.ok(routes.isWhereItLives(id))
  t.same(routes.update(members('a')), [])
  t.equal(routes.addressOf(id), 'a')
  t.notOk(routes.onFailed(id), 'there is no other address')
  t.ok(routes.isWhereItLives(id), 'as far as is known')
  t.ok(routes.announce(id, 'b'), 'it called from elsewhere')
  t.equal(routes.addressOf(id), 'b')
  t.ok(routes.onFailed(id), 'the listed one has its turn at once')
  t.equal(routes.addressOf(id), 'a')
  t.notOk(routes.isWhereItLives(id), 'which proves nothing when it is refused')
  t.notOk(routes.onFailed(id), 'then only after a while')
  now += 500
  t.ok(routes.onHeard(id))
  t.equal(routes.addressOf(id), 'b')
  t.ok(routes.isWhereItLives(id))
  connected = true
  routes.onConnected(id)
  t.notOk(routes.onHeard(id), 'what works is kept')
  t.same(routes.update(members('c')), [id], 'a new address has to be proven while the old one works')
  t.equal(routes.addressOf(id), 'b')
  t.notOk(routes.prove(id, 'a'), 'an answer from somewhere else')
  t.ok(routes.prove(id, 'c'))
  t.equal(routes.addressOf(id), 'c')
  t.notOk(routes.prove(id, 'c'))
  t.notOk(routes.announce(id, 'b'), 'connected, it stays there')
  connected = false
  t.ok(routes.onHeard(id))
  t.equal(routes.addressOf(id), 'b')
  t.same(routes.update(members('d')), [], 'not connected: nothing to lose')
  t.equal(routes.addressOf(id), 'd')
  routes.update(new Map())
  t.equal(routes.addressOf(id), null)
  routes.update(members('a'))
  t.equal(routes.addressOf(id), 'a', 'listed again')
  t.ok(routes.onFailed(id))
  t.equal(routes.addressOf(id), 'b', 'where it said last that it is, though it left meanwhile')
  routes.update(new Map())
  t.notOk(routes.announce(id, 'e'), 'a stranger by now')
  routes.update(members('a'))
  t.ok(routes.onFailed(id))
  t.equal(routes.addressOf(id), 'e', 'it had called before it was listed')
  routes.update(new Map())
  for (const other of [7, 8]) routes.announce(nodeId(other), 'y')
  routes.update(members('a'))
  t.notOk(routes.onFailed(id), 'only so many are kept in mind')
})

/** The peers of node 1 in a cluster of nodes 1 and 2, without a network. `forgotten` are nodes that the register forgets. */
async function peersOfOne(t: Test, isConnected: boolean) {
  const clock = new VirtualClock()
  clock.start()
  t.teardown(() => clock.stop())
  const forgotten: number[] = []
  const addresses = (id: number) => ({ raft: `host-${id}:1`, api: `http://host-${id}:2` })
  const peers = new Peers(
    { id: nodeId(1), incarnation: 'one', addresses: addresses(1), lingerMs: 1_000, callersMax: 4 },
    {
      transport: {
        setPeers: () => undefined,
        isConnected: () => isConnected,
        probe: () => Promise.resolve({ kind: 'unreachable', detail: 'nobody' }),
      } as never,
      clock,
      register: {
        load: () => Promise.resolve(new Map([[nodeId(2), 'two']])),
        remember: () => Promise.resolve(),
        forget: (id) => {
          forgotten.push(id)
          return Promise.resolve()
        },
      },
      logger: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
      clusterId: () => 'cluster',
      acceptsClusterId: () => true,
      mayAdopt: () => true,
      isBehind: () => false,
      effective: () => NO_MEMBERSHIP,
      onFault: (error) => {
        throw error
      },
    },
  )
  await peers.load()
  const ids = [1, 2].map(nodeId)
  const members = new Map(ids.map((id) => [id, addresses(id)]))
  const membership = { configs: [ids], nodes: members, removing: [] }
  peers.onMembership(membership, membership)
  const hello = (from: number, incarnation: string): Hello => ({
    protocol: PROTOCOL_VERSION,
    purpose: 'messages',
    from: nodeId(from),
    to: nodeId(1),
    clusterId: null,
    incarnation,
    addresses: addresses(from),
  })
  return { peers, hello, clock, forgotten }
}

t.test(
  'another node under the id of a member that is connected is told so, not that the member lost its data',
  async (t) => {
    const { peers, hello } = await peersOfOne(t, true)
    t.equal(peers.admit(hello(2, 'two')), null)
    t.match(peers.admit(hello(2, 'other')), { code: 'same-id', detail: /two nodes have the id 2; the member/ })
    t.same(peers.warnings, [], 'nothing is wrong with the member')
    const gone = await peersOfOne(t, false)
    t.equal(gone.peers.admit(gone.hello(2, 'two')), null)
    t.match(
      gone.peers.admit(gone.hello(2, 'other')),
      { code: 'wrong-incarnation' },
      'which it may have when it is away',
    )
  },
)

t.test('callers under ever new ids are remembered up to a bound, members always', async (t) => {
  const { peers, hello } = await peersOfOne(t, true)
  peers.admit(hello(2, 'two'))
  for (let id = 3; id < 1_000; id++) t.equal(peers.admit({ ...hello(id, `caller-${id}`), clusterId: 'cluster' }), null)
  t.match(peers.admit(hello(2, 'other')), { code: 'same-id' })
  t.equal(peers.adoptionFrom(nodeId(3)), null)
})

t.test('who leaves is forgotten after a while, but not by a node that has stopped', async (t) => {
  const alone = {
    configs: [[nodeId(1)]],
    nodes: new Map([[nodeId(1), { raft: 'host-1:1', api: 'http://host-1:2' }]]),
    removing: [],
  }
  for (const stops of [false, true]) {
    const { peers, clock, forgotten } = await peersOfOne(t, true)
    peers.onMembership(alone, alone)
    peers.onCommittedMembership(alone)
    t.same(forgotten, [], 'what it is still told must not reach another node')
    if (stops) peers.stop()
    await clock.pass(5_000)
    t.same(forgotten, stops ? [] : [2])
  }
})
