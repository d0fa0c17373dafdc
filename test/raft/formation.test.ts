import t from 'tap'
import { NO_MEMBERSHIP, VOTE_ZERO, nodeId } from '../../src/raft/index.ts'
import { Cluster } from './support/cluster.ts'
import { id, members, membership, membershipPayload, votersIn } from './support/entries.ts'
import { Solo, show, vote } from './support/solo.ts'

t.test('all nodes enter into the learner state when they first come online, which is completely passive', async (t) => {
  const cluster = new Cluster().start(3)
  cluster.run(60_000)
  t.equal(cluster.steps, 0, 'nothing happens by itself')
  for (const { view, raft } of cluster.nodes.values()) {
    t.equal(view.state, 'learner')
    t.equal(raft.deadline(), Infinity)
    t.same([view.vote, view.last, view.effective, view.leader], [VOTE_ZERO, null, NO_MEMBERSHIP, null])
  }
})

t.test('a pristine node answers every request with a refusal and nothing else', async (t) => {
  const solo = new Solo()
  t.same(
    solo.do((raft, now) => raft.propose(now, { count: 1, body: new Uint8Array(3) })),
    { kind: 'not-leader', leader: null },
  )
  t.same(
    solo.do((raft, now) => raft.read(now, 1)),
    { kind: 'not-leader', leader: null },
  )
  t.same(
    solo.do((raft, now) => raft.transfer(now, null)),
    { kind: 'not-leader', leader: null },
  )
  const change = { type: 'remove-learner', id: nodeId(2) } as const
  t.same(
    solo.do((raft, now) => raft.changeMembership(now, change, null)),
    { kind: 'not-leader', leader: null },
  )
  t.same(
    solo.do((raft, now) => raft.campaign(now)),
    { kind: 'refused', reason: 'this node is not a voter' },
  )
  t.equal(solo.raft.transferringTo, null)
  t.equal(
    solo.do((raft, now) => raft.leaseRead(now)),
    null,
  )
  t.equal(
    solo.do((raft, now) => raft.purgeTo(now, null)),
    null,
  )
  t.same([solo.writes, solo.sends], [[], []])
})

t.test(
  'initialize appends the membership at index 0 with log id ((0,0),0), effective at once, then asks for votes',
  async (t) => {
    const solo = new Solo({ id: 2 })
    solo.autoPersist = false
    t.same(
      solo.do((raft, now) => raft.initialize(now, members(1, 2, 3))),
      {
        kind: 'appended',
        logId: { leaderId: { term: 0, nodeId: 0 }, index: 0 },
      },
    )
    t.same(votersIn(solo.view.effective), [[1, 2, 3]], 'without consensus')
    t.equal(solo.view.state, 'follower')
    t.match(solo.writes, [{ type: 'append', from: 0, batch: { first: 0, last: 0, membershipCount: 1 } }])
    t.same(solo.sends, [], 'nobody is asked before the entry is durable')
    solo.persist(1)
    t.equal(solo.view.state, 'candidate', 'no timeout is waited for')
    t.equal(show(solo.view.vote), '1.2')
    t.same(solo.sends, [], 'nor before the vote is')
    solo.persist()
    t.match(solo.sent('vote-request'), [
      { to: 1, vote: vote('1.2'), last: { index: 0 } },
      { to: 3, vote: vote('1.2') },
    ])
  },
)

t.test('a single node becomes leader immediately, with one campaign, in term 1', async (t) => {
  const cluster = new Cluster().start(1)
  const before = cluster.now
  const leader = cluster.form(1)
  t.ok(cluster.now - before < 2, 'three syncs')
  t.equal(show(leader.view.vote), '1.1!')
  t.same(leader.payloads, [membershipPayload(members(1)), 'blank'])
  cluster.run(5000)
  t.equal(show(leader.view.vote), '1.1!')
  const campaigns = leader.events.filter((event) => event.type === 'campaign-started')
  t.equal(campaigns.length, 1)
})

t.test('a slow disk does not make a single node campaign twice', async (t) => {
  const cluster = new Cluster({ diskMs: [2000, 2000] }).start(1)
  cluster.form(1)
  t.equal(show(cluster.node(1).view.vote), '1.1!')
})

t.test('the elected leader commits a blank entry, which commits the membership', async (t) => {
  const cluster = new Cluster().start(3)
  const leader = cluster.form(1, 2, 3)
  t.equal(leader.id, 1)
  t.ok(cluster.until(() => [...cluster.nodes.values()].every(({ view }) => view.committed === 1)))
  for (const node of cluster.nodes.values()) {
    t.same(node.payloads, [membershipPayload(members(1, 2, 3)), 'blank'])
    t.same(node.view.committedMembership, node.view.effective)
    t.equal(node.view.leader, 1)
    t.equal(show(node.view.committedMembership.logId), '0.0@0')
  }
})

t.test('initialize fails on a node that was initialized, with its last log id, vote and membership', async (t) => {
  const cluster = new Cluster().start(3)
  const leader = cluster.form(1, 2, 3)
  const outcome = cluster.ask(leader, (raft, now) => raft.initialize(now, members(1)))
  t.match(outcome, {
    kind: 'already-initialized',
    last: leader.view.last,
    vote: vote('1.1!'),
    membership: leader.view.effective,
  })
  t.same(votersIn(leader.view.effective), [[1, 2, 3]], 'the node stays as it was')
  t.ok(cluster.commit(leader))

  const voted = new Solo({ vote: '1.2' })
  const asVoter = voted.do((raft, now) => raft.initialize(now, members(1)))
  t.match(
    asVoter,
    { kind: 'already-initialized', last: null, vote: vote('1.2'), membership: NO_MEMBERSHIP },
    'a vote is enough',
  )
  t.same(voted.writes, [])
})

t.test('initialize fails for a node that is not among the voters, and no election starts', async (t) => {
  const solo = new Solo({ id: 9 })
  t.same(
    solo.do((raft, now) => raft.initialize(now, members(1, 2))),
    { kind: 'not-in-members' },
  )
  t.same(
    solo.do((raft, now) => raft.initialize(now, membership([[1]], [9]))),
    { kind: 'not-in-members' },
  )
  solo.elapse(10_000)
  t.same([solo.writes, solo.sends], [[], []])
  t.throws(() => solo.raft.initialize(2000, { ...members(9), configs: [[id(9), id(9)]] }), { name: 'InvariantError' })
})

t.test('an initialiser that has voted for another one meanwhile does not campaign at once', async (t) => {
  const solo = new Solo({ id: 1 })
  solo.autoPersist = false
  solo.do((raft, now) => raft.initialize(now, members(1, 2)))
  const request = {
    type: 'vote-request',
    from: id(2),
    to: id(1),
    vote: vote('1.2'),
    last: solo.view.last,
    transfer: false,
  } as const
  solo.do((raft, now) => raft.receive(now, request))
  solo.persist()
  t.match(solo.sent('vote-response'), [{ granted: true }])
  t.equal(solo.view.state, 'follower')
})

/** Every way in which `voters` nodes can initialise one after the other, with time for some messages between. */
function* interleavings(voters: number): Generator<{ order: number[]; gaps: number[] }> {
  const orders =
    voters === 2
      ? [[1], [2], [1, 2], [2, 1]]
      : [
          [1, 2],
          [3, 1],
          [1, 2, 3],
          [2, 1, 3],
          [3, 2, 1],
          [2, 3, 1],
          [3, 1, 2],
          [1, 3, 2],
        ]
  const gaps = [0, 0.3, 1.1, 2.3]
  for (const order of orders)
    for (const first of gaps) for (const second of gaps) yield { order, gaps: [first, second, 0] }
}

t.test('NOTE WELL: it is safe for every node in the cluster to initialize in parallel', async (t) => {
  for (const voters of [2, 3]) {
    const all = Array.from({ length: voters }, (_, i) => i + 1)
    let histories = 0
    for (const { order, gaps } of interleavings(voters)) {
      for (const crashed of [0, ...all]) {
        const cluster = new Cluster({ seed: histories + 1 }).start(voters)
        order.forEach((node, i) => {
          if (cluster.node(node).live !== null) cluster.initialize(node, members(...all))
          cluster.run(gaps[i] ?? 0)
          if (i === 0 && crashed !== 0) {
            cluster.crash(crashed, { survivors: 1 })
            cluster.restart(crashed)
          }
        })
        // Its only initialiser may have lost the call: then whoever asked for it does so again.
        if ([...cluster.nodes.values()].every(({ view }) => view.last === null))
          cluster.initialize(order[0] ?? 1, members(...all))
        const leader = cluster.electedLeader()
        const ok = cluster.commit(leader)
        const logs = new Set([...cluster.nodes.values()].map(({ payloads }) => payloads.join('\n')))
        if (!ok || logs.size !== 1)
          t.fail(`initialised by ${order.join()} with gaps ${gaps.join()}, crash of ${crashed}`)
        histories += 1
      }
    }
    t.ok(histories > 100, `${histories} histories of ${voters} nodes`)
  }
})

t.test('a node that was not initialised itself takes the membership from the leader', async (t) => {
  const cluster = new Cluster().start(3)
  cluster.form(1, 2, 3)
  cluster.run(100)
  t.equal(cluster.node(3).view.state, 'follower')
  t.match(cluster.initialize(3, members(3)), 'already-initialized')
})

t.test('a crash before the entry is durable leaves a pristine node', async (t) => {
  const cluster = new Cluster().start(1)
  cluster.initialize(1, members(1))
  cluster.crash(1)
  cluster.restart(1)
  t.equal(cluster.node(1).view.last, null)
  t.equal(cluster.initialize(1, members(1)), 'appended')
})

t.test(
  'a crash after the entry is durable but before the vote is: the node elects without a second call',
  async (t) => {
    for (const voters of [[1], [1, 2]]) {
      const cluster = new Cluster().start(voters.length)
      cluster.initialize(1, members(...voters))
      cluster.crash(1, { survivors: 1 })
      cluster.restart(1)
      t.equal(cluster.node(1).view.state, 'follower')
      t.equal(cluster.initialize(1, members(...voters)), 'already-initialized')
      t.ok(cluster.commit(cluster.electedLeader()))
    }
  },
)

t.test(
  'when new nodes come online the leader adds them as learners, then as voters; removal needs no preliminary step',
  async (t) => {
    const cluster = new Cluster().start(2)
    const leader = cluster.form(1)
    cluster.propose(leader, 20)
    const addresses = { raft: 'b:1', api: 'http://b:2' }
    t.equal(cluster.change(leader, { type: 'add-learner', id: id(2), addresses }), 'appended')
    t.ok(
      cluster.until(() => leader.view.followers[0]?.matched === leader.view.last?.index),
      'it is synchronised',
    )
    t.equal(cluster.node(2).view.state, 'learner')
    const setVoters = { type: 'set-voters', retain: false, allowLagging: false, force: false } as const
    t.equal(cluster.change(leader, { ...setVoters, voters: [id(1), id(2)] }), 'appended')
    t.ok(
      cluster.until(
        () => cluster.node(2).view.state === 'follower' && votersIn(leader.view.committedMembership).join() === '1,2',
      ),
    )
    t.equal(cluster.change(leader, { ...setVoters, voters: [id(1)] }), 'appended')
    t.ok(cluster.until(() => leader.view.committedMembership.membership.nodes.size === 1))
    t.same(votersIn(leader.view.committedMembership), [[1]])
  },
)
