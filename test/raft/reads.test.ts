import t from 'tap'
import type { LogIndex, RaftOptions } from '../../src/raft/index.ts'
import { Cluster, type Node } from './support/cluster.ts'
import { bodyOf, id, members, membership } from './support/entries.ts'
import { Solo, logId, vote, type SoloOptions } from './support/solo.ts'

const index = (value: number): LogIndex => value as LogIndex

/** A leader of term 2 (node 1), elected just now; its blank entry is number 3. */
function young(options: SoloOptions = {}): Solo {
  const solo = new Solo({ log: ['0.0', '1.2', '1.2'], vote: '1.2!', ...options })
  for (const other of [2, 3]) solo.do((raft, now) => raft.peerConnected(now, id(other)))
  solo.advance(300)
  solo.elect(2, 3)
  return solo
}

function leader(options: SoloOptions = {}): Solo {
  const solo = young(options)
  for (const follower of solo.view.followers) solo.ack(follower.id)
  solo.clear()
  return solo
}

function read(solo: Solo, readId: number): unknown {
  return solo.do((raft, now) => raft.read(now, readId))
}

function leaseRead(solo: Solo): LogIndex | null {
  return solo.do((raft, now) => raft.leaseRead(now))
}

// --- linearizable reads ---------------------------------------------------------------------------------------------

t.test('thesis 6.4: a read waits until a quorum has answered something that was sent after it arrived', async (t) => {
  const solo = leader()
  solo.elapse(51)
  const before = solo.sent('append-plan', 2).at(-1)
  t.same(read(solo, 7), { kind: 'pending' })
  t.equal(solo.sent('append-plan', 2).length, 2, 'a prompt message asks for it')
  solo.ack(2, 3, before)
  t.same(solo.reads, [], 'an answer to what was sent earlier proves nothing')
  solo.ack(3)
  t.same(solo.reads, [{ readId: 7, kind: 'ready', index: 3 }])
})

t.test('reads that wait share one round; the next one begins when it is answered', async (t) => {
  const solo = leader()
  for (const readId of [1, 2, 3]) read(solo, readId)
  t.equal(solo.sent('append-plan', 2).length, 1)
  solo.ack(2)
  t.same(
    solo.reads.map(({ readId }) => readId),
    [1],
    'the round was sent when the first had arrived',
  )
  t.equal(solo.sent('append-plan', 2).length, 2)
  solo.ack(3, 3, solo.sent('append-plan', 3).at(-1))
  t.same(
    solo.reads.map(({ readId }) => readId),
    [1, 2, 3],
  )
})

t.test('reads of one step are confirmed together, by entries when there are any', async (t) => {
  const solo = leader()
  solo.do((raft, now) => {
    raft.propose(now, { count: 1, body: bodyOf(['x']) })
    raft.read(now, 1)
    raft.read(now, 2)
  })
  t.match(solo.sent('append-plan'), [
    { to: 2, last: 4 },
    { to: 3, last: 4 },
  ])
  solo.ack(2)
  t.same(solo.reads, [
    { readId: 1, kind: 'ready', index: 3 },
    { readId: 2, kind: 'ready', index: 3 },
  ])
})

t.test('a lost confirmation is made good by the next heartbeat', async (t) => {
  const solo = leader()
  read(solo, 1)
  solo.clear()
  solo.elapse(51)
  solo.ack(3)
  t.match(solo.reads, [{ readId: 1, kind: 'ready' }])
})

t.test('a read at the start of a ballot waits for the leader’s own blank entry, on one node too', async (t) => {
  const solo = young()
  read(solo, 1)
  t.equal(solo.sent('append-plan', 2).length, 1, 'the blank entry is on its way already')
  solo.ack(2)
  t.same(solo.reads, [], 'it was sent before the read arrived')
  t.equal(solo.view.established, true)
  solo.ack(2)
  t.same(
    solo.reads,
    [{ readId: 1, kind: 'ready', index: 3 }],
    'not at what it knew to be committed, but at its own entry',
  )

  const single = new Solo({ log: ['0.0'], vote: '1.1!', membership: members(1) })
  single.autoPersist = false
  single.elapse(0)
  single.persist(1)
  read(single, 1)
  t.same(single.reads, [])
  single.persist()
  t.same(single.reads, [{ readId: 1, kind: 'ready', index: 1 }])
  read(single, 2)
  t.match(single.reads[1], { readId: 2, kind: 'ready', index: 1 }, 'in the same step from then on')
})

t.test('a real majority has to answer, in both configurations; learners do not count', async (t) => {
  const five = young({ membership: membership([[1, 2, 3, 4, 5]], [6]) })
  for (const from of [2, 3, 4, 5, 6]) five.ack(from)
  five.clear()
  read(five, 1)
  t.same(five.sent('append-plan', 6), [], 'learners are not asked')
  five.ack(2)
  t.same(five.reads, [], 'two of five')
  five.ack(5)
  t.equal(five.reads.length, 1)

  const joint = membership([
    [1, 2, 3],
    [1, 4, 5],
  ])
  const both = new Solo({ log: ['0.0', '1.2'], vote: '1.2!', membership: members(1, 2, 3), changes: { 1: joint } })
  both.advance(300)
  both.elect(2, 4)
  for (const from of [2, 3]) both.ack(from, 2)
  both.ack(4, 2)
  both.ack(5, 2)
  t.equal(both.view.committed >= 2, true)
})

t.test('answers count only for the ballot and the session they belong to', async (t) => {
  const solo = leader()
  read(solo, 1)
  const plan = solo.sent('append-plan', 2).at(-1)
  if (plan === undefined) throw new Error('a plan was sent')
  solo.respond(plan, { kind: 'matched', matched: index(3) }, { asked: vote('1.2!') })
  solo.respond(plan, { kind: 'matched', matched: index(3) }, { session: 99 })
  t.same(solo.reads, [])
  solo.respond(plan, { kind: 'conflict', prev: index(3), hint: null })
  t.equal(solo.reads.length, 1, 'whoever answers at all accepts this leader')
})

t.test('an acknowledgement that answers no message proves nothing about now', async (t) => {
  const solo = leader()
  read(solo, 1)
  const plan = solo.sent('append-plan', 2).at(-1)
  if (plan === undefined) throw new Error('a plan was sent')
  solo.respond(plan, { kind: 'matched', matched: index(3) }, { sentAt: -1 })
  t.same(solo.reads, [])
})

t.test('a leader that stops leading fails its reads; nobody else takes any', async (t) => {
  const solo = leader()
  read(solo, 1)
  solo.append('3.3!', '2.1@3', [])
  t.same(solo.reads, [{ readId: 1, kind: 'failed' }])
  t.same(read(solo, 2), { kind: 'not-leader', leader: 3 })
  t.equal(leaseRead(solo), null)
})

t.test('an old leader that was replaced without knowing gives no answer', async (t) => {
  const cluster = new Cluster({ seed: 5 })
  const old = cluster.form(1, 2, 3)
  cluster.run(200)
  cluster.isolate(1)
  cluster.ask(old, (raft, now) => raft.read(now, 1))
  t.ok(cluster.until(() => cluster.leaders.some((node) => node !== old && node.view.established)))
  cluster.ask(old, (raft, now) => raft.read(now, 2))
  cluster.heal()
  t.ok(cluster.until(() => old.reads.length === 2))
  t.same(old.reads, [
    { readId: 1, kind: 'failed' },
    { readId: 2, kind: 'failed' },
  ])
})

t.test('reads under a stream of writes need no messages of their own', async (t) => {
  const cluster = new Cluster({ seed: 6 })
  const node = cluster.form(1, 2, 3)
  cluster.run(60)
  for (let i = 0; i < 50; i++) {
    cluster.propose(node)
    cluster.ask(node, (raft, now) => raft.read(now, i))
    cluster.run(1)
  }
  cluster.run(10)
  t.equal(node.reads.length, 50)
  t.ok(node.reads.every(({ kind }) => kind === 'ready'))
})

// --- reads of a bounded age -----------------------------------------------------------------------------------------

/** The moment of node 2's clock before which, as the last message to it says, everything is at or below the commit index. */
function freshAt(solo: Solo): number | null {
  return solo.sent('append-plan', 2).at(-1)?.freshAt?.at ?? null
}

function answer(solo: Solo, from: number, at: number): void {
  const plan = solo.sent('append-plan', from).at(-1)
  if (plan === undefined) throw new Error(`nothing was sent to ${from}`)
  const answeredAt = { life: 5, at }
  solo.respond(plan, { kind: 'matched', matched: plan.last }, { answeredAt })
}

t.test('a follower is told a moment of its own clock that was over when a quorum still answered', async (t) => {
  const solo = leader({ membership: members(1, 2, 3, 4, 5) })
  solo.elapse(60)
  answer(solo, 2, 7_000)
  solo.elapse(60)
  const before = freshAt(solo)
  t.not(before, 7_000, 'its own answer is no quorum of five')
  solo.ack(4)
  answer(solo, 2, 7_050)
  solo.elapse(60)
  t.equal(freshAt(solo), 7_000, 'a quorum has answered what was sent after that answer came')
  t.equal(solo.sent('append-plan', 2).at(-1)?.freshAt?.life, 5, 'the moment is that of the process that named it')
  for (let beats = 0; beats < 5; beats++) {
    for (const from of [3, 4]) solo.ack(from)
    solo.elapse(60)
  }
  t.equal(freshAt(solo), 7_050, 'who answers no more is told nothing later')
  for (let beats = 0; beats < 5; beats++) {
    answer(solo, 2, 8_000 + beats)
    solo.elapse(60)
  }
  t.equal(freshAt(solo), 7_050, 'nor is anybody when no quorum answers')
  solo.ack(4)
  solo.elapse(60)
  t.ok((freshAt(solo) ?? 0) >= 8_000)
})

t.test('a leader that has committed no entry of its own dates nothing', async (t) => {
  const solo = young()
  solo.autoPersist = false
  for (let beats = 0; beats < 4; beats++) {
    for (const from of [2, 3]) solo.ack(from, -1)
    solo.elapse(60)
  }
  t.same(
    solo.sent('append-plan').filter((plan) => plan.freshAt !== null),
    [],
  )
})

t.test('every answer of a follower names a moment of its own process', async (t) => {
  const solo = new Solo({ id: 2, log: ['0.0', '1.1'], vote: '1.1!', raft: { life: 77 } })
  solo.append('2.1!', '1.1@1', ['2.1'])
  solo.append('2.1!', '2.1@9', [])
  solo.append('1.1!', '1.1@1', [])
  const answers = solo.sent('append-response')
  t.same(
    answers.map(({ outcome }) => outcome.kind),
    ['matched', 'conflict', 'outvoted'],
  )
  for (const { answeredAt } of answers) t.match(answeredAt, { life: 77, at: Number })
})

// --- lease reads ----------------------------------------------------------------------------------------------------

t.test('thesis 6.4.1: a lease read is allowed for a lease from when the acknowledged message was sent', async (t) => {
  const solo = leader()
  t.equal(leaseRead(solo), 3)
  solo.advance(260)
  t.equal(leaseRead(solo), 3)
  solo.advance(11)
  t.equal(leaseRead(solo), null, '300 ms less 30 ms of drift')
  solo.elapse(1)
  const plan = solo.sent('append-plan', 2).at(-1)
  solo.advance(200)
  solo.ack(2, 3, plan)
  t.equal(leaseRead(solo), 3)
  solo.advance(80)
  t.equal(leaseRead(solo), null, 'the lease began when it was sent, not when the answer came')
})

t.test('a new leader has no lease, and none before its own entry is committed', async (t) => {
  const solo = young()
  t.equal(leaseRead(solo), null)
  solo.autoPersist = false
  solo.ack(2, -1)
  t.equal(leaseRead(solo), null)
  solo.ack(2)
  t.equal(leaseRead(solo), 3)
})

t.test('a single voter always has its lease', async (t) => {
  const single = new Solo({ log: ['0.0'], vote: '1.1!', membership: members(1) })
  single.elapse(0)
  single.elapse(10_000)
  t.equal(leaseRead(single), 1)
})

t.test('a lease is void while fewer than a quorum of peers are connected, and until they answer anew', async (t) => {
  const solo = leader()
  solo.do((raft, now) => raft.peerDisconnected(now, id(2)))
  t.equal(leaseRead(solo), 3, 'one of two is left')
  const early = solo.sent('append-plan', 3).at(-1) ?? solo.sent('append-plan', 2).at(-1)
  solo.do((raft, now) => raft.peerDisconnected(now, id(3)))
  t.equal(leaseRead(solo), null)
  solo.do((raft, now) => raft.peerConnected(now, id(3)))
  t.equal(leaseRead(solo), null, 'it may have voted for another one meanwhile')
  if (early !== undefined) solo.ack(3, 3, { ...early, to: id(3), session: 2 })
  t.equal(leaseRead(solo), null, 'an answer to what was sent before proves nothing')
  solo.ack(3)
  t.equal(leaseRead(solo), 3)
})

t.test(
  'after a suspension no lease rests on what was sent before it, and what is not certain shortens one',
  async (t) => {
    const solo = leader()
    t.equal(leaseRead(solo), 3)
    t.equal(
      solo.do((raft, now) => raft.leaseRead(now, 271)),
      null,
      'the machine may have slept for so long',
    )
    const early = solo.sent('append-plan', 2).at(-1)
    solo.elapse(60)
    const late = solo.sent('append-plan', 2).at(-1)
    solo.do((raft, now) => raft.woken(now))
    t.equal(leaseRead(solo), null)
    for (const plan of [early, late]) if (plan !== undefined) solo.ack(2, 3, plan)
    t.equal(leaseRead(solo), null, 'an answer to what was sent before proves nothing')
    solo.elapse(60)
    solo.ack(2)
    t.equal(leaseRead(solo), 3)
    const single = new Solo({ log: ['0.0'], vote: '1.1!', membership: members(1) })
    single.elapse(10)
    single.do((raft, now) => raft.woken(now))
    t.equal(leaseRead(single), 1, 'a single voter asks nobody')
  },
)

t.test('no lease of an old leader overlaps with a new one, under drift, delays and partitions', async (t) => {
  for (let seed = 1; seed <= 25; seed++) {
    const cluster = new Cluster({ seed, drift: 0.01, delayMs: [0.1, 30] })
    const old = cluster.form(1, 2, 3)
    cluster.run(200)
    cluster.isolate(old.id)
    const isNew = (node: Node): boolean => node !== old && node.view.established
    while (!cluster.leaders.some(isNew)) cluster.run(1)
    if (cluster.ask(old, (raft, now) => raft.leaseRead(now)) !== null) t.fail(`seed ${seed}`)
  }
  t.pass('twenty-five partitions')
})

// --- transfers ------------------------------------------------------------------------------------------------------

function transfer(solo: Solo, to: number | null): unknown {
  return solo.do((raft, now) => raft.transfer(now, to === null ? null : id(to)))
}

t.test('thesis 3.10: leadership goes to the voter that was asked for, without an election timeout', async (t) => {
  for (const to of [2, 3, null]) {
    const cluster = new Cluster({ seed: 7 })
    const old = cluster.form(1, 2, 3)
    cluster.run(20)
    cluster.propose(old, 5)
    const before = cluster.now
    const outcome = cluster.ask(old, (raft, now) => raft.transfer(now, to === null ? null : id(to)))
    t.same(outcome, { kind: 'started', to: to ?? 3 })
    t.ok(cluster.until(() => cluster.leader?.id === (to ?? 3) && cluster.leader.view.established))
    t.ok(cluster.now - before < 15, `${cluster.now - before} ms`)
    t.equal(old.view.state, 'follower')
    t.equal(old.view.transferringTo, null)
    t.match(
      old.events.filter(({ type }) => type.startsWith('transfer')),
      [{ type: 'transfer-started' }, { type: 'transfer-ended' }],
    )
  }
})

t.test('the target is brought to the end of the log first; meanwhile nothing new is taken', async (t) => {
  const solo = leader()
  solo.do((raft, now) => raft.propose(now, { count: 1, body: bodyOf(['x']) }))
  t.same(transfer(solo, 2), { kind: 'started', to: 2 })
  t.same(solo.sent('transfer-request'), [])
  t.equal(solo.raft.transferringTo, 2)
  t.same(solo.raft.vote, vote('2.1!'))
  const busy = { kind: 'transferring', to: 2 }
  t.same(
    solo.do((raft, now) => raft.propose(now, { count: 1, body: bodyOf(['y']) })),
    busy,
  )
  t.same(
    solo.do((raft, now) => raft.changeMembership(now, { type: 'remove-learner', id: id(9) }, null)),
    busy,
  )
  t.same(read(solo, 1), busy)
  t.same(transfer(solo, 3), busy)
  t.equal(leaseRead(solo), null)
  solo.ack(3)
  t.same(solo.sent('transfer-request'), [])
  solo.ack(2)
  t.match(solo.sent('transfer-request'), [{ to: 2, vote: vote('2.1!'), last: logId('2.1@4') }])
})

t.test(
  'an order that may be lost is repeated; after one election timeout the leader goes on, without a lease',
  async (t) => {
    const solo = leader()
    transfer(solo, 2)
    t.equal(solo.sent('transfer-request').length, 1)
    for (let beat = 0; beat < 5; beat++) {
      solo.elapse(51)
      solo.ack(2)
    }
    t.ok(solo.sent('transfer-request').length >= 4)
    for (let beat = 0; beat < 8; beat++) {
      solo.elapse(51)
      solo.ack(2)
    }
    t.equal(solo.view.transferringTo, null)
    t.ok(solo.events.some(({ type }) => type === 'transfer-ended'))
    t.match(
      solo.do((raft, now) => raft.propose(now, { count: 1, body: bodyOf(['x']) })),
      { kind: 'accepted' },
    )
    t.equal(leaseRead(solo), null, 'the order may still arrive and go against the lease')
    read(solo, 5)
    solo.ack(2)
    t.match(solo.reads, [{ readId: 5, kind: 'ready' }], 'reads by quorum go on')
  },
)

t.test('a transfer before the leader is established ends in time as well', async (t) => {
  const solo = young()
  solo.respond(firstPlan(solo), { kind: 'matched', matched: index(0) })
  t.match(transfer(solo, 2), { kind: 'started' })
  for (let beat = 0; beat < 13; beat++) {
    solo.elapse(50)
    solo.respond({ ...firstPlan(solo), sentAt: solo.now }, { kind: 'matched', matched: index(0) })
  }
  t.equal(solo.view.transferringTo, null)
})

function firstPlan(solo: Solo): Parameters<Solo['respond']>[0] {
  const plan = solo.sent('append-plan', 2)[0]
  if (plan === undefined) throw new Error('a plan was sent')
  return plan
}

t.test('who cannot take over is refused with the reason', async (t) => {
  const of = (raft: Partial<RaftOptions> = {}): Solo => leader({ membership: membership([[1, 2, 3]], [4]), raft })
  const reason = (solo: Solo, to: number | null): unknown => transfer(solo, to)
  t.same(reason(of(), 1), { kind: 'no-target', reason: 'node 1 leads already' })
  t.same(reason(of(), 4), { kind: 'no-target', reason: 'node 4 is not a voter' })
  t.same(reason(of(), 9), { kind: 'no-target', reason: 'node 9 is not a voter' })
  const single = new Solo({ log: ['0.0'], vote: '1.1!', membership: members(1) })
  single.elapse(0)
  t.same(reason(single, null), { kind: 'no-target', reason: 'no other voter is up to date' })
  const lagging = of({ caughtUpEntriesMax: 2 })
  lagging.do((raft, now) => raft.propose(now, { count: 3, body: bodyOf(['a', 'b', 'c']) }))
  t.same(reason(lagging, 2), { kind: 'no-target', reason: 'node 2 is not caught up' })
  t.same(reason(young(), 2), { kind: 'no-target', reason: 'node 2 does not answer' })
  const silent = of()
  for (let beat = 0; beat < 14; beat++) {
    silent.elapse(51)
    silent.ack(3)
  }
  t.same(reason(silent, 2), { kind: 'no-target', reason: 'node 2 does not answer' })
  t.same(reason(silent, null), { kind: 'started', to: 3 })
})

t.test('the target campaigns at once, against the lease, only if it may and holds everything', async (t) => {
  const of = (options: SoloOptions = {}): Solo => {
    const solo = new Solo({ log: ['0.0', '1.2', '1.2'], vote: '1.2!', ...options })
    solo.append('1.2!', '1.2@2', [])
    solo.clear()
    return solo
  }
  const order = (solo: Solo, fields: { ballot?: string; last?: string; from?: number } = {}): void =>
    solo.do((raft, now) =>
      raft.receive(now, {
        type: 'transfer-request',
        from: id(fields.from ?? 2),
        to: id(1),
        vote: vote(fields.ballot ?? '1.2!'),
        last: logId(fields.last ?? '1.2@2'),
      }),
    )
  const good = of()
  order(good)
  t.equal(good.view.state, 'candidate')
  t.match(good.sent('vote-request'), [
    { to: 2, transfer: true, vote: vote('2.1') },
    { to: 3, transfer: true },
  ])
  t.same(good.sent('pre-vote-request'), [])
  const refusals: [Solo, Parameters<typeof order>[1], string][] = [
    [of(), { ballot: '1.1!' }, 'not the current leader'],
    [of(), { from: 3 }, 'not from the owner of the vote'],
    [of(), { last: '1.2@3' }, 'the log is too short'],
    [of({ membership: membership([[2, 3]], [1]) }), {}, 'this node may not campaign'],
    [of({ recoverUntil: 9 }), {}, 'this node may not campaign'],
  ]
  for (const [solo, fields, reason] of refusals) {
    order(solo, fields)
    t.same(solo.ignored(), [reason])
    t.equal(solo.view.state, solo.view.effective.membership.configs[0]?.includes(id(1)) ? 'follower' : 'learner')
  }
  order(good)
  t.same(good.ignored(), ['not the current leader'], 'a repeated order finds it campaigning')
})

t.test('a dead target does not wedge the leader', async (t) => {
  const cluster = new Cluster({ seed: 8 })
  const node = cluster.form(1, 2, 3)
  cluster.run(20)
  cluster.crash(2, { told: false })
  t.equal(cluster.ask(node, (raft, now) => raft.transfer(now, id(2))).kind, 'started')
  t.ok(cluster.until(() => node.view.transferringTo === null, 700))
  t.ok(cluster.commit(node))
  cluster.run(1000)
  t.equal(cluster.leader, node)
})

t.test('a target whose process is gone ends the transfer at once', async (t) => {
  const solo = leader()
  transfer(solo, 2)
  solo.do((raft, now) => raft.peerUnreachable(now, id(3)))
  t.equal(solo.view.transferringTo, 2)
  solo.do((raft, now) => raft.peerUnreachable(now, id(2)))
  t.equal(solo.view.transferringTo, null)
})

t.test('a joint configuration waits for a transfer to end before it is finished', async (t) => {
  const solo = leader({ membership: membership([[1, 2, 3]], [4]) })
  solo.do((raft, now) =>
    raft.changeMembership(
      now,
      { type: 'set-voters', voters: [id(1), id(2), id(4)], retain: false, allowLagging: true, force: true },
      null,
    ),
  )
  t.same(transfer(solo, 3), { kind: 'no-target', reason: 'node 3 is not a voter' }, 'it is leaving')
  t.match(transfer(solo, 2), { kind: 'started' })
  solo.ack(2)
  solo.ack(4)
  t.equal(solo.view.effective.membership.configs.length, 2)
  solo.do((raft, now) => raft.peerUnreachable(now, id(2)))
  t.equal(solo.view.effective.membership.configs.length, 1)
})

t.test('leadership can be handed back and forth', async (t) => {
  const cluster = new Cluster({ seed: 9 })
  cluster.form(1, 2, 3)
  for (const to of [2, 1, 3, 1, 2]) {
    const node = cluster.electedLeader()
    cluster.run(60)
    t.ok(cluster.commit(node))
    t.equal(cluster.ask(node, (raft, now) => raft.transfer(now, id(to))).kind, 'started')
    t.ok(cluster.until(() => cluster.leader?.id === to && cluster.leader.view.established))
  }
})
