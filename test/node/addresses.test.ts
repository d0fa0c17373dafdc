import { PROTOCOL_VERSION } from '../../src/transport/frame-header.ts'
import t, { type Test } from 'tap'
import type { MemberSpec } from '../../src/api/cluster.ts'
import { OwnCluster } from '../../src/node/peers/own-cluster.ts'
import { Peers } from '../../src/node/peers/peers.ts'
import { DialAddresses } from '../../src/node/peers/dial-addresses.ts'
import type { Hello } from '../../src/ports/transport.ts'
import { nodeId, NO_MEMBERSHIP, term } from '../../src/raft/index.ts'
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

const COPY = 103

function refusedAsCopy(c: TestCluster, id: number, there: string, copy: string): boolean {
  const detail = `two processes answer as node ${id}, at ${there} and ${copy}: stop the one that was copied; the membership names ${there}`
  return c.up
    .filter((machine) => machine.id !== id)
    .every(({ client }) => {
      const [warning, ...others] = client.status().warnings
      return others.length === 0 && warning?.code === 'same-id' && warning.detail === detail
    })
}

t.test('a copy of a node that runs is refused and becomes quiet, and nobody advises to list it', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], [1, 2, 3])
  for (const id of [followers[0] ?? 0, leader]) {
    const { raft, api } = movedSpec(id)
    const there = specOf(id).raft
    const { term } = c.on(leader).status()
    await c.on(leader).put('k', String(id))
    await c.settled()
    const copy = c.copyOf(id, { raft, api }, COPY)
    c.lines.length = 0
    await copy.start()
    await c.until('everybody says that there are two', () => refusedAsCopy(c, id, there, raft))
    await c.pass(10_000)
    const dials = c.machines.get(id === 1 ? 2 : 1)
    if (dials === undefined) throw new Error('three nodes')
    const counter = c.hub.alias(dials.addresses.raft, dials.addresses.raft)
    await c.pass(20_000)
    t.ok(counter.dials <= 3, `${counter.dials} attempts in 20 s`)
    t.ok(refusedAsCopy(c, id, there, raft), 'which stays so')
    t.ok(connectsAll(c))
    t.equal(c.on(leader).status().term, term, 'nobody is disturbed')
    const own = copy.client.status().warnings
    t.match(own, [
      { code: 'same-id', detail: /this node is not heard: two processes answer as node \d, .*: stop the one/ },
    ])
    t.equal(own.length, 1)
    const lines = c.lines.filter(({ node, level }) => node === COPY && level === 'warn')
    t.ok(lines.length > 0 && lines.length <= 5, `${lines.length} lines of the copy`)
    for (const other of c.up.filter((machine) => machine.id !== id)) {
      const told = c.lines.filter(({ node, facts }) => node === other.id && JSON.stringify(facts).includes(raft))
      t.equal(told.length, 1, 'logged once')
    }
    await copy.crash()
    await c.until('the warning passes', () => c.up.every((machine) => warningsOf(c, machine.id).length === 0), 200_000)
  }
  await c.settled()
})

t.test('a copy counts while the node that the membership names is away, and no longer', async (t) => {
  const { c, followers } = await formed(t, [1, 2, 3], [1, 2, 3])
  const [id = 0, other = 0] = followers
  const { raft, api } = movedSpec(id)
  const copy = c.copyOf(id, { raft, api }, COPY)
  await c.at(id).crash()
  await copy.start()
  await c.until('it has moved, as far as anybody can tell', () => warningsOf(c, other).includes('wrong-address'))
  await c.restart(id)
  await c.until('the named one counts', () => refusedAsCopy(c, id, specOf(id).raft, raft))
  await c.until('all are connected', () => connectsAll(c))
  await c.settled()
  await c.pass(5_000)
  t.ok(connectsAll(c))
})

t.test('a process that called before the named one answered is not heard once it does', async (t) => {
  const { peers, hello, link, clock } = await peersOfOne(t, false)
  const two = nodeId(2)
  const call = { ...hello(2, 'two'), clusterId: 'cluster' }
  const copied = { ...call, addresses: { raft: 'elsewhere:1', api: 'http://elsewhere:2' } }
  const vote = { type: 'vote-response', from: two, to: nodeId(1) } as never
  const codes = () => peers.warnings.map(({ code }) => code)
  const turn = () => clock.pass(1)
  t.equal(peers.admit(copied), null)
  t.ok(peers.speaksForUs(vote), 'it may have moved')
  t.same(codes(), [], 'and may be a copy')
  await turn()
  t.same(codes(), ['wrong-address'], 'nobody answers where it should be')
  t.equal(peers.admit(copied), null)
  link.answers = { id: 2, incarnation: 'two', clusterId: 'cluster', addresses: call.addresses }
  peers.admit(copied)
  await turn()
  t.same(codes(), ['same-id'])
  t.notOk(peers.speaksForUs(vote), 'the one where the membership has it answers')
  for (const purpose of ['messages', 'snapshot'] as const)
    t.match(peers.admit({ ...copied, purpose }), { code: 'same-id' })
  const report = { ...link.answers, effective: NO_MEMBERSHIP }
  t.match(peers.admitReport(two, { ...report, addresses: copied.addresses } as never), { code: 'same-id' })
  t.equal(peers.admitReport(two, report as never), null)
  t.equal(peers.admit(call), null)
  t.ok(peers.speaksForUs(vote))
  link.answers = null
  t.match(peers.admit(copied), { code: 'same-id' }, 'the process is gone, which nobody knows yet')
  await turn()
  t.equal(peers.admit(copied), null, 'now it is known')
  t.same(codes(), ['wrong-address'])
})

t.test('who has moved, and is reached at both addresses, is no double', async (t) => {
  const { peers, hello, link, clock } = await peersOfOne(t, false)
  const call = { ...hello(2, 'two'), clusterId: 'cluster' }
  const addresses = { raft: 'elsewhere:1', api: 'http://elsewhere:2' }
  for (const answers of [
    { id: 2, incarnation: 'two', clusterId: 'cluster', addresses },
    { id: 2, incarnation: 'three', clusterId: 'cluster', addresses: call.addresses },
    { id: 3, incarnation: 'two', clusterId: 'cluster', addresses: call.addresses },
  ]) {
    link.answers = answers
    t.equal(peers.admit({ ...call, addresses }), null)
    await clock.pass(1)
    t.equal(peers.admit({ ...call, addresses }), null)
    t.same(
      peers.warnings.map(({ code }) => code),
      ['wrong-address'],
      JSON.stringify(answers),
    )
  }
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

/**
 * The peers of node 1 without a network, in a cluster of nodes 1 and 2 unless it has none (`own`). `forgotten` are nodes that the register
 * forgets.
 */
async function peersOfOne(t: Test, isConnected: boolean, own: string | null = 'cluster') {
  const link: { answers: object | null } = { answers: null }
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
        probe: () =>
          Promise.resolve(
            link.answers === null
              ? { kind: 'unreachable', detail: 'nobody' }
              : { kind: 'answered', report: link.answers },
          ),
      } as never,
      clock,
      register: {
        load: () => Promise.resolve(new Map()),
        remember: () => Promise.resolve(),
        forget: (id) => {
          forgotten.push(id)
          return Promise.resolve()
        },
      },
      known: new Map([[nodeId(2), 'two']]),
      logger: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
      ownCluster: new OwnCluster(own),
      token: { digest: '', isCarriedBy: () => true, digestOf: () => '' },
      adoption: { mayAdopt: () => true },
      backlog: { isBehind: false },
      raft: { effectiveMembership: NO_MEMBERSHIP },
      faults: {
        report: (error) => {
          throw error
        },
      },
    },
  )
  const ids = [1, 2].map(nodeId)
  const members = new Map(ids.map((id) => [id, addresses(id)]))
  const membership = { configs: [ids], nodes: members, removing: [] }
  if (own !== null) peers.onMembership(membership, membership)
  const hello = (from: number, incarnation: string): Hello => ({
    protocol: PROTOCOL_VERSION,
    purpose: 'messages',
    from: nodeId(from),
    to: nodeId(1),
    clusterId: null,
    incarnation,
    addresses: addresses(from),
    token: null,
  })
  return { peers, hello, clock, forgotten, link }
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

t.test('a node that has lost its data, as members say, is brought into their cluster by no candidate', async (t) => {
  const { peers, hello } = await peersOfOne(t, true, null)
  const [member, founder] = [nodeId(2), nodeId(3)]
  // It was removed before it held anything, has initialized again, and has met nobody.
  t.equal(peers.admit({ ...hello(founder, 'three'), clusterId: 'cluster' }), null)
  const parts = { from: founder, to: nodeId(1), term: term(1), last: null, transfer: false }
  const says = (type: 'vote-request' | 'pre-vote-request'): boolean => peers.speaksForUs({ ...parts, type } as never)
  t.ok(says('vote-request'))
  peers.onRefused(member, { code: 'wrong-incarnation', detail: 'node 1 has lost its data' }, 'peer')
  t.notOk(says('vote-request'))
  t.notOk(says('pre-vote-request'))
  peers.onConnected(member)
  t.ok(says('vote-request'), 'the member takes it for the node that it should be')
})

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
