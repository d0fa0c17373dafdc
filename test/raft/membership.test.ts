import t from 'tap'
import { nodeId, type ChangeOutcome, type LogIndex, type MembershipChange } from '../../src/raft/index.ts'
import { Cluster, type Node } from './support/cluster.ts'
import { addressesOf, bodyOf, id, members, membership, votersIn } from './support/entries.ts'
import { Solo, logId, setting, show, vote, type SoloOptions } from './support/solo.ts'

const index = (value: number): LogIndex => value as LogIndex

interface SetVoters {
  readonly retain?: boolean
  readonly allowLagging?: boolean
  readonly force?: boolean
}

function setVoters(
  voters: number[],
  { retain = false, allowLagging = false, force = false }: SetVoters = {},
): MembershipChange {
  return { type: 'set-voters', voters: voters.map(nodeId), retain, allowLagging, force }
}

const addLearner = (value: number, addresses = addressesOf(value)): MembershipChange => ({
  type: 'add-learner',
  id: id(value),
  addresses,
})

/** A leader of term 2 (node 1) whose blank entry, number 3, is committed. */
function leader(options: SoloOptions = {}): Solo {
  const solo = new Solo({ log: ['0.0', '1.2', '1.2'], vote: '1.2!', ...options })
  solo.advance(300)
  solo.elect(2, 3)
  for (const { id: other } of solo.view.followers) solo.ack(other)
  solo.clear()
  return solo
}

function change(solo: Solo, wanted: MembershipChange, at: number | null = null): ChangeOutcome {
  return solo.do((raft, now) => raft.changeMembership(now, wanted, at === null ? null : index(at)))
}

/** Waits until the change at `leader` has run its course. */
function settled(cluster: Cluster, node: Node, voters: number[]): boolean {
  return cluster.until(() => {
    const { effective, committedMembership } = node.view
    return effective === committedMembership && votersIn(effective).join() === voters.join()
  })
}

// --- single changes -------------------------------------------------------------------------------------------------

t.test('add learner: one entry, effective and replicated to at once', async (t) => {
  const solo = leader()
  const outcome = change(solo, addLearner(4))
  t.match(outcome, { kind: 'appended', logId: logId('2.1@4') })
  t.same([...solo.view.effective.membership.nodes.keys()], [1, 2, 3, 4])
  t.same(votersIn(solo.view.effective), [[1, 2, 3]])
  t.match(solo.sent('append-plan', 4), [{ prev: logId('2.1@4'), last: 4 }])
  t.match(solo.view.followers.at(-1), { id: 4, mode: 'probe', heardAt: null })
})

t.test('a change also writes down the incarnations of the members that the leader has met', async (t) => {
  const solo = leader({ membership: membership([[1, 2, 3]], [5]) })
  const added = { ...addressesOf(4), incarnation: 'of-4' }
  solo.do((raft, now) =>
    raft.changeMembership(now, { type: 'add-learner', id: id(4), addresses: added }, null, (member) =>
      member === 2 || member === 4 ? `met-${member}` : null,
    ),
  )
  const { nodes } = solo.view.effective.membership
  t.equal(nodes.get(id(2))?.incarnation, 'met-2')
  t.equal(nodes.get(id(4))?.incarnation, 'of-4', 'what the membership says already stays')
  t.same(nodes.get(id(3)), addressesOf(3), 'who was never met stays unknown')
})

t.test('identify: one entry for what is known and not written down, and none for nothing new', async (t) => {
  const solo = leader({ membership: membership([[1, 2, 3]], [5]) })
  const identify = (met: readonly number[]) =>
    solo.do((raft, now) =>
      raft.changeMembership(now, { type: 'identify' }, null, (member) =>
        met.includes(member) ? `met-${member}` : null,
      ),
    )
  const before = solo.view.effective.membership
  t.match(identify([]), { kind: 'unchanged' })
  t.same(solo.writes, [])
  const first = identify([1, 2])
  t.match(first, { kind: 'appended' })
  const { configs, nodes } = solo.view.effective.membership
  t.same(configs, before.configs)
  t.same(
    [...nodes].map(([member, { incarnation }]) => [member, incarnation]),
    [
      [1, 'met-1'],
      [2, 'met-2'],
      [3, undefined],
      [5, undefined],
    ],
  )
  t.match(identify([1, 2, 3]), { kind: 'in-progress' }, 'one change at a time')
})

t.test(
  'add learner: the same again is success without an entry; other addresses, or a taken address, are refused',
  async (t) => {
    const solo = leader({ membership: membership([[1, 2, 3]], [5]) })
    t.match(change(solo, addLearner(5)), { kind: 'unchanged', stored: { logId: logId('0.0@0') } })
    t.match(change(solo, addLearner(2)), { kind: 'unchanged' }, 'a voter is a member too')
    t.same(change(solo, addLearner(5, addressesOf(6))), { kind: 'address-conflict', id: 5, addresses: addressesOf(5) })
    t.same(change(solo, addLearner(6, { raft: 'x:1', api: addressesOf(2).api })), {
      kind: 'address-conflict',
      id: 2,
      addresses: addressesOf(2),
    })
    t.same(solo.writes, [])
  },
)

t.test('new addresses for a member; removal of a learner', async (t) => {
  const elsewhere = { raft: 'elsewhere:1', api: 'http://elsewhere:2' }
  const of = (): Solo => leader({ membership: membership([[1, 2, 3]], [4]) })
  const moved = of()
  t.match(change(moved, { type: 'set-addresses', moves: [{ id: id(2), addresses: elsewhere }] }), { kind: 'appended' })
  t.same(moved.view.effective.membership.nodes.get(id(2)), elsewhere)
  t.match(change(of(), { type: 'set-addresses', moves: [{ id: id(2), addresses: addressesOf(2) }] }), {
    kind: 'unchanged',
  })
  t.match(change(of(), { type: 'set-addresses', moves: [{ id: id(2), addresses: addressesOf(3) }] }), {
    kind: 'address-conflict',
    id: 3,
  })
  t.same(change(of(), { type: 'set-addresses', moves: [{ id: id(9), addresses: elsewhere }] }), {
    kind: 'learner-not-found',
    id: 9,
  })
  const removed = of()
  t.match(change(removed, { type: 'remove-learner', id: id(4) }), { kind: 'appended' })
  t.notOk(removed.view.effective.membership.nodes.has(id(4)))
  t.same(
    change(of(), { type: 'remove-learner', id: id(2) }),
    { kind: 'learner-not-found', id: 2 },
    'a voter is no learner',
  )
  t.same(change(of(), { type: 'remove-learner', id: id(9) }), { kind: 'learner-not-found', id: 9 })
})

t.test('a change of voters is checked before anything is written', async (t) => {
  const of = (): Solo => leader({ membership: membership([[1, 2, 3]], [4, 5]), raft: { caughtUpEntriesMax: 2 } })
  const solo = of()
  t.same(change(solo, setVoters([])), { kind: 'empty-membership' })
  t.same(change(solo, setVoters([1, 9])), { kind: 'unknown-voter', id: 9 })
  t.match(change(solo, setVoters([3, 2, 1, 1])), { kind: 'unchanged' })
  t.same(solo.writes, [])

  const lagging = of()
  lagging.do((raft, now) => raft.propose(now, { count: 3, body: bodyOf(['a', 'b', 'c']) }))
  t.same(change(lagging, setVoters([1, 2, 3, 4])), { kind: 'learner-lagging', id: 4, lag: 3 })
  t.match(change(lagging, setVoters([1, 2])), { kind: 'appended' }, 'who stays need not be up to date')
  const allowed = of()
  allowed.do((raft, now) => raft.propose(now, { count: 3, body: bodyOf(['a', 'b', 'c']) }))
  t.match(change(allowed, setVoters([1, 4], { allowLagging: true })), { kind: 'appended' })
})

t.test('a change of no known type is a broken belief', async (t) => {
  t.throws(() => change(leader(), { type: 'gossip' as 'remove-learner', id: id(2) }), { name: 'InvariantError' })
})

t.test('a learner that has never answered is not caught up, however short the log', async (t) => {
  const solo = leader()
  change(solo, addLearner(4))
  solo.ack(2)
  t.match(change(solo, setVoters([1, 2, 3, 4])), { kind: 'learner-lagging', id: 4, lag: 5 })
})

t.test('a node of which it is not known what it holds is not caught up, however short the log', async (t) => {
  const solo = leader()
  change(solo, addLearner(4))
  solo.ack(2)
  solo.conflict(4, null)
  t.match(solo.view.followers.at(-1), { id: 4, matched: -1, heardAt: Number, caughtUp: false })
  t.match(change(solo, setVoters([1, 2, 3, 4])), { kind: 'learner-lagging', id: 4, lag: 5 })
  solo.ack(4)
  t.match(solo.view.followers.at(-1), { id: 4, caughtUp: true })
  t.match(change(solo, setVoters([1, 2, 3, 4])), { kind: 'appended' })
})

t.test('a change that would leave no live quorum is refused unless forced', async (t) => {
  const of = (): Solo => {
    const solo = leader({ membership: membership([[1, 2, 3]], [4, 5]) })
    solo.elapse(500)
    solo.ack(2)
    solo.elapse(110)
    solo.clear()
    return solo
  }
  t.same(change(of(), setVoters([1, 4, 5])), { kind: 'quorum-at-risk', unreachable: [4, 5] })
  t.match(change(of(), setVoters([1, 2, 4])), { kind: 'appended' }, 'two of three are live')
  t.match(change(of(), setVoters([1, 4, 5], { force: true })), { kind: 'appended' })
})

t.test('the precondition is checked right after leadership, before anything else', async (t) => {
  const solo = leader()
  t.match(change(solo, setVoters([]), 7), { kind: 'precondition-failed', stored: { logId: logId('0.0@0') } })
  t.match(change(solo, addLearner(4), 0), { kind: 'appended' })
  t.match(change(solo, addLearner(5), 0), { kind: 'precondition-failed', stored: { logId: logId('2.1@4') } })
  const follower = new Solo({ log: ['0.0'], vote: '1.2!' })
  follower.append('1.2!', '0.0@0', [])
  t.same(change(follower, addLearner(4), 7), { kind: 'not-leader', leader: 2 })
})

t.test(
  'thesis 4.1: at most one uncommitted change, and none before the leader has committed an entry of its own',
  async (t) => {
    const young = new Solo({ log: ['0.0', '1.2'], vote: '1.2!' })
    young.advance(300)
    young.elect(2)
    t.match(change(young, addLearner(4)), { kind: 'in-progress', stored: { logId: logId('0.0@0') } })
    young.ack(2)
    t.match(change(young, addLearner(4)), { kind: 'appended' })
    t.match(change(young, addLearner(5)), { kind: 'in-progress', stored: { logId: logId('2.1@3') } })
    young.ack(2)
    t.match(change(young, addLearner(5)), { kind: 'appended' })
  },
)

// --- joint consensus ------------------------------------------------------------------------------------------------

t.test(
  'thesis 4.3: a change of voters goes through the joint configuration, and the leader finishes it by itself',
  async (t) => {
    const solo = leader({ membership: membership([[1, 2, 3]], [4]) })
    const outcome = change(solo, setVoters([1, 2, 4]))
    t.match(outcome, {
      kind: 'appended',
      membership: {
        configs: [
          [1, 2, 3],
          [1, 2, 4],
        ],
        removing: [3],
      },
    })
    t.match(change(solo, setVoters([1, 2, 4])), { kind: 'in-progress' })
    solo.ack(3)
    t.same(votersIn(solo.view.effective).length, 2, 'the old majority alone does not commit it')
    solo.ack(4)
    t.same(votersIn(solo.view.effective), [[1, 2, 4]])
    t.same(votersIn(solo.view.committedMembership).length, 2)
    t.match(change(solo, setVoters([1])), { kind: 'in-progress' })
    solo.ack(4)
    t.match(solo.view, { committed: 5, committedMembership: { logId: logId('2.1@5') } })
    t.notOk(solo.view.effective.membership.nodes.has(id(3)))
  },
)

t.test('retain: voters that leave stay as learners; learners that were not touched stay in any case', async (t) => {
  const solo = leader({ membership: membership([[1, 2, 3]], [4, 5]) })
  change(solo, setVoters([1, 2, 4], { retain: true }))
  for (const from of [2, 4]) solo.ack(from)
  t.same(votersIn(solo.view.effective), [[1, 2, 4]])
  t.same([...solo.view.effective.membership.nodes.keys()], [1, 2, 3, 4, 5])
})

t.test('the leader alone does not commit the joint configuration that adds its first two voters', async (t) => {
  const cluster = new Cluster({ seed: 21 }).start(3)
  const node = cluster.form(1)
  cluster.change(node, addLearner(2))
  cluster.run(20)
  cluster.change(node, addLearner(3))
  cluster.run(20)
  cluster.isolate(1)
  cluster.change(node, setVoters([1, 2, 3]))
  cluster.run(300)
  t.equal(votersIn(node.view.effective).length, 2)
  t.equal(node.view.committed, node.view.last === null ? -1 : node.view.last.index - 1)
  cluster.heal()
  t.ok(settled(cluster, node, [1, 2, 3]))
})

t.test('a new majority that is cut off commits nothing', async (t) => {
  const cluster = new Cluster({ seed: 22 })
  const node = cluster.form(1, 2, 3)
  for (const other of [4, 5]) {
    cluster.add(other)
    cluster.change(node, addLearner(other))
    cluster.run(30)
  }
  cluster.isolate(4)
  cluster.isolate(5)
  cluster.change(node, setVoters([3, 4, 5]))
  cluster.run(200)
  t.equal(votersIn(node.view.effective).length, 2)
  cluster.heal()
  t.ok(cluster.until(() => votersIn(cluster.electedLeader().view.committedMembership).join() === '3,4,5'))
})

t.test(
  'a joint configuration that outlives its leader is finished by the next one, after its own blank entry',
  async (t) => {
    const joint = membership([
      [1, 2, 3],
      [1, 2, 4],
    ])
    const solo = new Solo({ log: ['0.0', '1.2', '1.2'], vote: '1.2!', changes: { 2: { ...joint, removing: [id(3)] } } })
    solo.advance(300)
    solo.elect(2, 3, 4)
    solo.ack(2, 2)
    solo.ack(4, 2)
    t.equal(votersIn(solo.view.effective).length, 2, 'held by both majorities, but of an earlier ballot')
    solo.ack(2, 3)
    solo.ack(4, 3)
    t.equal(solo.view.committed, 3)
    t.same(votersIn(solo.view.effective), [[1, 2, 4]])
    t.same([...solo.view.effective.membership.nodes.keys()], [1, 2, 4])
  },
)

t.test('the leader crashes at every step of a change: somebody finishes or undoes it', async (t) => {
  for (let steps = 1; steps < 40; steps += 1) {
    const cluster = new Cluster({ seed: steps })
    const node = cluster.form(1, 2, 3)
    cluster.add(4)
    cluster.change(node, addLearner(4))
    cluster.run(50)
    cluster.change(node, setVoters([2, 3, 4]))
    const from = cluster.steps
    cluster.until(() => cluster.steps >= from + steps, 200)
    cluster.crash(1, { survivors: steps % 3 })
    const calm = (): boolean => {
      const { leader: now } = cluster
      return now !== null && now.view.established && now.view.effective === now.view.committedMembership
    }
    const done = cluster.until(calm, 5000)
    cluster.restart(1)
    const after = cluster.until(() => calm() && votersIn(cluster.electedLeader().view.effective).length === 1, 5000)
    if (!done || !after) t.fail(`after ${steps} steps`)
    const voters = votersIn(cluster.electedLeader().view.effective).join()
    if (voters !== '2,3,4' && voters !== '1,2,3') t.fail(`after ${steps} steps: ${voters}`)
  }
  t.pass('forty crashes')
})

// --- from one set of voters to another ------------------------------------------------------------------------------

interface Transition {
  readonly from: number[]
  readonly to: number[]
  readonly retain?: boolean
}

const transitions: Transition[] = [
  { from: [1], to: [1, 2] },
  { from: [1], to: [1, 2, 3] },
  { from: [1], to: [1, 2, 3, 4] },
  { from: [1, 2], to: [1, 2, 3] },
  { from: [1, 2], to: [1] },
  { from: [1, 2], to: [2] },
  { from: [1, 2], to: [1, 3] },
  { from: [1, 2], to: [2, 3] },
  { from: [1, 2, 3], to: [4] },
  { from: [1, 2, 3], to: [4, 5, 6] },
  { from: [1, 2, 3], to: [3, 4, 5], retain: true },
  { from: [1, 2, 3], to: [2, 3, 4] },
  { from: [1, 2, 3, 4, 5], to: [1, 2, 3, 4] },
  { from: [1, 2, 3, 4, 5], to: [2], retain: true },
  { from: [1, 2, 3, 4, 5], to: [1, 2, 3], retain: true },
  { from: [1, 2, 3], to: [2, 3] },
  { from: [1, 2, 3], to: [1, 2, 3] },
]

t.test('from any set of voters to any other: two entries, the leader is in the new set, writes go on', async (t) => {
  for (const { from, to, retain = false } of transitions) {
    const what = `${from.join('')} -> ${to.join('')}${retain ? ', retaining' : ''}`
    const cluster = new Cluster({ seed: from.length * 100 + to.length })
    const first = cluster.form(...from)
    for (const other of to) {
      if (from.includes(other)) continue
      cluster.add(other)
      cluster.change(first, addLearner(other))
      cluster.run(30)
    }
    const before = first.view.last?.index ?? -1
    const same = from.join() === to.join()
    t.equal(cluster.change(first, setVoters(to, { retain })), same ? 'unchanged' : 'appended', what)
    const done = cluster.until(() => {
      const { leader: now } = cluster
      return now !== null && now.view.established && to.includes(now.id) && settled(cluster, now, to)
    }, 3000)
    t.ok(done, `${what}: done`)
    const now = cluster.electedLeader()
    t.ok(to.includes(now.id), `${what}: the leader is in the new set`)
    const memberships = now.payloads.slice(before + 1).filter((payload) => payload.startsWith('membership'))
    t.equal(memberships.length, same ? 0 : 2, `${what}: entries`)
    const expected = [...to, ...(retain ? from : [])]
    t.ok(cluster.commit(now, 3, expected), `${what}: writes reach every member`)
    cluster.run(700)
    for (const gone of from.filter((other) => !expected.includes(other))) {
      const { view } = cluster.node(gone)
      t.equal(view.state, 'learner', `${what}: node ${gone} knows`)
      t.notOk(view.effective.membership.nodes.has(id(gone)), `${what}: node ${gone} is out`)
      const { last } = view
      t.ok(cluster.commit(now, 2, expected))
      t.same(cluster.node(gone).view.last, last, `${what}: and gets nothing more`)
    }
    const events = cluster.node(now.id).events.filter(({ type }) => type === 'stepped-down')
    t.same(events, [], `${what}: the new leader stays`)
  }
})

// --- removal --------------------------------------------------------------------------------------------------------

t.test(
  'a removed follower gets the final entry and its commit, so that it knows; then it hears nothing more',
  async (t) => {
    const cluster = new Cluster({ seed: 41 })
    const node = cluster.form(1, 2, 3)
    cluster.change(node, setVoters([1, 2]))
    t.ok(settled(cluster, node, [1, 2]))
    t.ok(cluster.until(() => votersIn(cluster.node(3).view.committedMembership).join() === '1,2'))
    cluster.run(400)
    let heard = 0
    cluster.filter = (message) => {
      if (message.to === 3) heard += 1
      return true
    }
    cluster.run(3000)
    t.equal(heard, 0)
    t.equal(cluster.node(3).view.state, 'learner')
    t.equal(cluster.node(3).raft.deadline(), Infinity, 'nor does it campaign')
  },
)

t.test('a removed follower that cannot be reached is let go one election timeout after the commit', async (t) => {
  const cluster = new Cluster({ seed: 42 })
  const node = cluster.form(1, 2, 3)
  cluster.crash(3)
  cluster.change(node, setVoters([1, 2]))
  t.ok(settled(cluster, node, [1, 2]))
  let heard = 0
  cluster.filter = (message) => {
    if (message.to === 3) heard += 1
    return true
  }
  cluster.run(200)
  t.ok(heard > 0)
  cluster.run(300)
  heard = 0
  cluster.run(2000)
  t.equal(heard, 0)
  cluster.restart(3)
  cluster.run(5000)
  t.equal(cluster.leader, node, 'one that never learned it disturbs nobody')
  t.equal(show(node.view.vote), '1.1!')
  t.ok(cluster.commit(node, 1, [1, 2]))
})

t.test('a removed node is sent nothing beyond the entry that removed it', async (t) => {
  const propose = (solo: Solo): unknown => solo.do((raft, now) => raft.propose(now, { count: 1, body: bodyOf(['x']) }))
  const farthest = (solo: Solo, to: number): number => Math.max(...solo.sent('append-plan', to).map(({ last }) => last))
  const options = { membership: membership([[1, 2, 3]], [4]) }
  const close = leader(options)
  change(close, { type: 'remove-learner', id: id(4) })
  propose(close)
  t.same([farthest(close, 2), farthest(close, 4)], [5, 4], 'before it has answered')
  close.ack(4)
  for (const from of [2, 3]) close.ack(from)
  t.equal(close.committed, 5)
  t.equal(farthest(close, 4), 4, 'nor once that is committed')
  t.match(close.sent('append-plan', 4).at(-1), { committed: 5, last: 4 }, 'its removal is told as committed')

  const behind = new Solo({ log: ['0.0', '1.2', '1.2'], vote: '1.2!', ...options, raft: { appendBytesMax: 1e6 } })
  behind.advance(300)
  behind.elect(2, 3)
  for (const from of [2, 3]) behind.ack(from)
  change(behind, { type: 'remove-learner', id: id(4) })
  propose(behind)
  behind.conflict(4, '0.0@0')
  t.match(behind.sent('append-plan', 4).at(-1), { prev: logId('0.0@0'), last: 4 }, 'one whose log has to be found')
})

t.test('a node that comes back is a new session: what it acknowledged before it left proves nothing', async (t) => {
  const solo = leader({ membership: membership([[1, 2, 3]], [4]) })
  const old = solo.do((raft, now) => raft.propose(now, { count: 1, body: bodyOf(['x']) }))
  t.equal(old.kind, 'accepted')
  const plan = solo.sent('append-plan', 4).at(-1)
  change(solo, { type: 'remove-learner', id: id(4) })
  for (const from of [2, 3]) solo.ack(from)
  change(solo, addLearner(4))
  t.not(solo.sent('append-plan', 4).at(-1)?.session, plan?.session)
  solo.ack(4, 4, plan)
  t.match(
    solo.view.followers.find((follower) => follower.id === 4),
    { matched: -1 },
  )
  t.ok(solo.ignored().includes('an earlier session'))
})

t.test('progress of a learner is kept when it becomes a voter', async (t) => {
  const solo = leader({ membership: membership([[1, 2, 3]], [4]) })
  const before = solo.view.followers.find((follower) => follower.id === 4)
  change(solo, setVoters([1, 2, 3, 4]))
  t.same(
    solo.view.followers.find((follower) => follower.id === 4),
    before,
  )
})

t.test(
  'a removed leader leads without counting itself until the final configuration is committed, then hands over',
  async (t) => {
    const solo = leader({ raft: { caughtUpEntriesMax: 100 } })
    change(solo, setVoters([2, 3]))
    solo.ack(2)
    t.equal(solo.view.committed, 3, 'its own disk and one of two are no majority of the new set')
    solo.ack(3)
    t.same(votersIn(solo.view.effective), [[2, 3]])
    solo.ack(2)
    t.equal(solo.view.committed, 4)
    t.equal(solo.view.state, 'leader')
    solo.clear()
    solo.ack(3, 5, { ...lastPlan(solo), to: id(3) })
    t.equal(solo.view.committed, 5)
    t.equal(solo.view.transferringTo, 3, 'the voter that is furthest ahead; of two, the higher id')
    t.match(solo.sent('transfer-request'), [{ to: 3, last: logId('2.1@5') }])
    t.match(solo.sent('append-plan', 2).at(-1), { committed: 5 }, 'everybody learns of the commit')
    t.same(
      solo.do((raft, now) => raft.propose(now, { count: 1, body: bodyOf(['x']) })),
      { kind: 'transferring', to: 3 },
    )
    solo.elapse(700)
    t.match(solo.view, { state: 'learner', leader: null })
    t.match(
      solo.events.filter(({ type }) => type === 'stepped-down'),
      [{ reason: 'no longer a voter' }],
    )
  },
)

function lastPlan(solo: Solo): Parameters<Solo['respond']>[0] {
  return {
    type: 'append-plan',
    from: id(1),
    to: id(3),
    vote: solo.view.vote,
    session: 2,
    prev: logId('2.1@4'),
    last: index(5),
    committed: index(4),
    sentAt: solo.now,
    freshAt: null,
  }
}

t.test('a leader that is leaving may be asked to stay, as long as it has not begun to hand over', async (t) => {
  const solo = leader({ raft: { caughtUpEntriesMax: 0 } })
  change(solo, setVoters([2, 3], { retain: true }))
  for (const from of [2, 3]) solo.ack(from)
  t.same(votersIn(solo.view.effective), [[2, 3]])
  solo.do((raft, now) => raft.propose(now, { count: 1, body: bodyOf(['x']) }))
  for (const from of [2, 3]) solo.ack(from, 5)
  t.match(solo.view, { committed: 5, transferringTo: null }, 'nobody is caught up')
  t.match(change(solo, setVoters([1, 2, 3])), { kind: 'appended' })
})

t.test('a removed leader that finds nobody to hand over to goes all the same', async (t) => {
  const cluster = new Cluster({ seed: 44 })
  const node = cluster.form(1, 2, 3)
  cluster.filter = (message) => message.type !== 'transfer-request'
  cluster.change(node, setVoters([2, 3]))
  t.ok(cluster.until(() => node.view.state === 'learner', 2000))
  t.ok(cluster.until(() => cluster.leader !== null && cluster.leader !== node))
  t.equal(node.view.vote.leaderId.term, 1)
})

t.test('a leader that becomes a learner hands over too, and follows on', async (t) => {
  const cluster = new Cluster({ seed: 45 })
  const node = cluster.form(1, 2, 3)
  cluster.change(node, setVoters([2, 3], { retain: true }))
  t.ok(cluster.until(() => cluster.leader !== node && cluster.leader !== null && cluster.leader.view.established))
  t.ok(cluster.commit(cluster.electedLeader(), 2))
  t.equal(node.view.state, 'learner')
})

t.test('a leader that wrote its own removal and crashed before anyone else had it can lead once more', async (t) => {
  for (const flushed of [false, true]) {
    const cluster = new Cluster({ seed: 46 })
    const node = cluster.form(1, 2)
    if (flushed) cluster.flush(1)
    cluster.change(node, setVoters([2]))
    // The joint entry reaches node 2, the final one does not.
    t.ok(cluster.until(() => votersIn(node.view.effective).join() === '2'))
    cluster.isolate(1)
    cluster.run(5)
    cluster.crash(1)
    cluster.run(2000)
    t.equal(cluster.leader, null, 'the joint configuration needs both')
    cluster.restart(1)
    cluster.heal()
    t.equal(cluster.node(1).view.state, 'learner')
    t.ok(cluster.until(() => cluster.leader?.id === 2 && cluster.leader.view.established, 5000))
    t.same(votersIn(cluster.node(2).view.committedMembership), [[2]])
  }
})

t.test('a candidate does not count its own vote once it is removed', async (t) => {
  const solo = new Solo({
    log: ['0.0', '1.1', '1.1'],
    vote: '1.1!',
    membership: members(1, 2, 3),
    changes: {
      1: {
        ...membership([
          [1, 2, 3],
          [2, 3],
        ]),
        removing: [id(1)],
      },
      2: members(2, 3),
    },
  })
  solo.do((raft, now) => raft.campaign(now))
  t.equal(solo.view.state, 'learner')
  const answer = (from: number, type: 'pre-vote-response' | 'vote-response'): void =>
    solo.do((raft, now) =>
      raft.receive(now, {
        type,
        from: id(from),
        to: id(1),
        asked: vote('2.1'),
        granted: true,
        vote: vote(type === 'vote-response' ? '2.1' : '1.1'),
      }),
    )
  answer(2, 'pre-vote-response')
  t.equal(solo.view.state, 'learner')
  answer(3, 'pre-vote-response')
  t.equal(solo.view.state, 'candidate')
  answer(2, 'vote-response')
  t.equal(solo.view.state, 'candidate')
  answer(3, 'vote-response')
  t.equal(solo.view.state, 'leader')
})

t.test('removing a node that hangs goes on; shrinking the quorum commits what waited', async (t) => {
  const cluster = new Cluster({ seed: 47 })
  const node = cluster.form(1, 2, 3, 4)
  cluster.pause(4)
  t.equal(cluster.change(node, setVoters([1, 2, 3])), 'appended')
  t.ok(settled(cluster, node, [1, 2, 3]))
  t.ok(cluster.commit(node, 2, [1, 2, 3]))
})

t.test(
  'a node removed from the middle of the log on does not come back by replay: it follows the last membership',
  async (t) => {
    const solo = new Solo({ id: 3 })
    solo.append('2.1!', null, [
      setting('0.0', members(3)),
      '1.3',
      setting('1.3', members(1, 3)),
      setting('2.1', members(1, 2)),
    ])
    t.equal(solo.view.state, 'learner')
    t.same(votersIn(solo.view.effective), [[1, 2]])
  },
)

t.test('concurrent writes and changes: everybody ends with everything', async (t) => {
  const cluster = new Cluster({ seed: 48, raft: { appendBytesMax: 60 } })
  const node = cluster.form(1, 2, 3)
  for (let other = 4; other <= 6; other++) {
    cluster.add(other)
    for (let i = 0; i < 10; i++) cluster.propose(node, 2)
    t.ok(cluster.until(() => cluster.change(node, addLearner(other)) === 'appended'))
    for (let i = 0; i < 10; i++) cluster.propose(node, 2)
  }
  cluster.run(100)
  t.ok(cluster.until(() => cluster.change(node, setVoters([1, 2, 3, 4, 5, 6])) === 'appended'))
  for (let i = 0; i < 10; i++) cluster.propose(node, 2)
  t.ok(settled(cluster, node, [1, 2, 3, 4, 5, 6]))
  t.ok(cluster.commit(node))
  t.equal(new Set([...cluster.nodes.values()].map(({ payloads }) => payloads.join())).size, 1)
})

t.test('adding voters does not make the leader lose contact with its quorum', async (t) => {
  const cluster = new Cluster({ seed: 49 })
  const node = cluster.form(1)
  for (const other of [2, 3]) {
    cluster.add(other)
    cluster.change(node, addLearner(other))
    cluster.run(30)
  }
  cluster.change(node, setVoters([1, 2, 3]))
  cluster.run(3000)
  t.equal(cluster.leader, node)
  t.equal(node.events.filter(({ type }) => type === 'stepped-down').length, 0)
})
