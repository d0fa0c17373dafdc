import t from 'tap'
import { type LogIndex, type RaftMessage } from '../../src/raft/index.ts'
import { Cluster } from './support/cluster.ts'
import { bodyOf, id, members, membership, votersIn } from './support/entries.ts'
import { Solo, appendRequest, ballot, logId, setting, show, vote, type SoloOptions } from './support/solo.ts'

const index = (value: number): LogIndex => value as LogIndex

/** A leader of term 2 whose blank entry is number 3; nobody has answered yet. */
function leader(options: SoloOptions = {}): Solo {
  const solo = new Solo({ log: ['0.0', '1.2', '1.2'], vote: '1.2!', ...options })
  solo.advance(300)
  return solo.elect(2, 3)
}

function propose(solo: Solo, count = 1, bytes = 10): unknown {
  return solo.do((raft, now) =>
    raft.propose(now, { count, body: bodyOf(Array.from({ length: count }, () => 'x'.repeat(bytes))) }),
  )
}

function follower(options: SoloOptions = {}): Solo {
  return new Solo({ log: ['0.0', '1.2', '1.2'], vote: '1.2!', ...options })
}

// --- the follower's side --------------------------------------------------------------------------------------------

t.test('thesis 3.5: answers to an append request, case by case', async (t) => {
  const log = ['0.0', '1.2', '1.2', '2.3', '2.3']
  interface Row {
    readonly what: string
    readonly prev: string | null
    readonly entries: string[]
    readonly outcome: unknown
    readonly after?: string[]
  }
  const rows: Row[] = [
    {
      what: 'extends the log',
      prev: '2.3@4',
      entries: ['3.2'],
      outcome: { kind: 'matched', matched: 5 },
      after: [...log, '3.2'],
    },
    { what: 'empty, at the end', prev: '2.3@4', entries: [], outcome: { kind: 'matched', matched: 4 } },
    { what: 'empty, in the middle', prev: '1.2@1', entries: [], outcome: { kind: 'matched', matched: 1 } },
    { what: 'from nothing, empty', prev: null, entries: [], outcome: { kind: 'matched', matched: -1 } },
    { what: 'all there already', prev: null, entries: ['0.0', '1.2'], outcome: { kind: 'matched', matched: 1 } },
    {
      what: 'overlaps and extends',
      prev: '1.2@2',
      entries: ['2.3', '2.3', '2.3'],
      outcome: { matched: 5 },
      after: [...log, '2.3'],
    },
    {
      what: 'differs at once',
      prev: '1.2@2',
      entries: ['3.2'],
      outcome: { matched: 3 },
      after: ['0.0', '1.2', '1.2', '3.2'],
    },
    {
      what: 'differs in the middle',
      prev: '1.2@1',
      entries: ['1.2', '2.3', '3.2'],
      outcome: { matched: 4 },
      after: ['0.0', '1.2', '1.2', '2.3', '3.2'],
    },
    {
      what: 'prev differs',
      prev: '3.2@4',
      entries: ['3.2'],
      outcome: { kind: 'conflict', prev: 4, hint: logId('2.3@3') },
    },
    {
      what: 'prev differs, empty',
      prev: '3.2@4',
      entries: [],
      outcome: { kind: 'conflict', prev: 4, hint: logId('2.3@3') },
    },
    {
      what: 'prev is beyond the end',
      prev: '3.2@9',
      entries: [],
      outcome: { kind: 'conflict', prev: 9, hint: logId('2.3@4') },
    },
    {
      what: 'prev is of a lower ballot',
      prev: '1.3@4',
      entries: [],
      outcome: { kind: 'conflict', prev: 4, hint: logId('1.2@2') },
    },
    {
      what: 'nothing can agree',
      prev: '0.1@3',
      entries: [],
      outcome: { kind: 'conflict', prev: 3, hint: logId('0.0@0') },
    },
  ]
  for (const { what, prev, entries, outcome, after = log } of rows) {
    const solo = new Solo({ log, vote: '2.3!' })
    solo.append('3.2!', prev, entries)
    t.match(solo.answered, outcome, what)
    t.same(solo.log, after, what)
    t.equal(show(solo.view.vote), '3.2!')
  }
})

t.test('thesis 3.3: a request of a lower ballot is refused with the higher vote, and changes nothing', async (t) => {
  const solo = follower({ vote: '2.3' })
  solo.append('1.2!', '1.2@2', ['1.2'], { committed: index(3) })
  t.match(solo.sent('append-response'), [{ outcome: { kind: 'outvoted' }, vote: vote('2.3') }])
  t.equal(solo.view.committed, -1)
  t.same(solo.writes, [])
})

t.test('a pristine node takes a whole log', async (t) => {
  const solo = new Solo()
  solo.append('2.2!', '1.2@5', [])
  t.match(solo.answered, { kind: 'conflict', prev: 5, hint: null })
  solo.append('2.2!', null, [setting('0.0', members(1, 2)), '1.2', '2.2'], { committed: index(1) })
  t.match(solo.answered, { kind: 'matched', matched: 2 })
  t.match(solo.view, { state: 'follower', committed: 1, leader: 2 })
})

t.test('only the first entry that really differs is cut, never what follows a match (a late request)', async (t) => {
  const solo = follower()
  solo.append('1.2!', '1.2@2', ['1.2', '1.2'])
  solo.append('1.2!', '1.2@1', ['1.2'])
  t.same(solo.log, ['0.0', '1.2', '1.2', '1.2', '1.2'])
  t.match(solo.answered, { matched: 2 })
})

t.test('anything at or below the commit index is a match, and an acknowledgement covers it', async (t) => {
  const solo = follower({ applied: 2 })
  solo.append('2.3!', null, ['0.0'])
  t.match(solo.answered, { matched: 2 }, 'committed entries are the leader’s too')
  solo.append('2.3!', '1.2@1', ['1.2', '2.3'])
  t.same(solo.log, ['0.0', '1.2', '1.2', '2.3'])
  const purged = new Solo({ log: ['1.2'], purged: '1.2@4', vote: '1.2!' })
  purged.append('2.3!', '1.1@2', ['1.1', '1.2', '1.2', '2.3'])
  t.match(purged.answered, { matched: 6 })
  t.same(purged.log, ['1.2', '2.3'])
})

t.test('a leader that contradicts what is committed is a broken belief: the node stops', async (t) => {
  const solo = follower({ applied: 2 })
  t.throws(() => solo.append('2.3!', '1.3@1', []), { name: 'InvariantError' })
})

t.test('the hint skips whole leaders, so that a divergent tail is resolved in few steps', async (t) => {
  const solo = new Solo({ log: ['0.0', '1.1', '1.1', ...Array.from({ length: 300 }, () => '3.3')], vote: '3.3!' })
  solo.append('4.2!', '2.2@200', [])
  t.match(solo.answered, { kind: 'conflict', hint: logId('1.1@2') })
})

t.test('the commit index moves up to the last entry known to be the leader’s, not to the end of the log', async (t) => {
  const solo = new Solo({ log: ['0.0', '1.2', '1.2', '1.2'], vote: '1.2!' })
  solo.append('2.3!', '1.2@1', [], { committed: index(3) })
  t.equal(solo.committed, 1)
  solo.append('2.3!', '1.2@1', ['2.3'], { committed: index(9) })
  t.equal(solo.committed, 2)
  solo.append('2.3!', '2.3@2', [], { committed: index(0) })
  t.equal(solo.committed, 2, 'never back')
})

t.test(
  'an acknowledgement leaves after the vote and the entries that it covers are durable, also those of earlier steps',
  async (t) => {
    const solo = follower()
    solo.autoPersist = false
    solo.append('2.3!', '1.2@2', ['2.3'])
    t.match(solo.writes, [
      { type: 'vote', vote: vote('2.3!') },
      { type: 'append', from: 3 },
    ])
    t.same(solo.sends, [])
    solo.append('2.3!', '2.3@3', ['2.3'])
    solo.append('2.3!', '1.2@2', ['2.3'])
    t.same(
      solo.held.map(({ afterSeq }) => afterSeq),
      [2, 3, 2],
      'a repetition waits for the first write only',
    )
    solo.persist(1)
    solo.append('2.3!', '1.2@2', [])
    t.match(solo.sent('append-response'), [{ outcome: { matched: 2 } }], 'a heartbeat does not wait for entries')
    solo.persist(2)
    t.match(
      solo
        .sent('append-response')
        .slice(1)
        .map(({ outcome }) => outcome),
      [{ matched: 3 }, { matched: 3 }],
    )
    solo.persist(3)
    t.match(solo.answered, { matched: 4 })
  },
)

t.test('an index that was truncated and written again is durable by the second write only', async (t) => {
  const solo = follower()
  solo.autoPersist = false
  solo.append('1.2!', '1.2@2', ['1.2', '1.2'])
  solo.append('2.3!', '1.2@2', ['2.3'])
  t.same(
    solo.writes.map(({ type }) => type),
    ['append', 'vote', 'truncate', 'append'],
  )
  solo.persist(1)
  solo.append('2.3!', '2.3@3', [])
  t.same(
    solo.held.map(({ afterSeq }) => afterSeq),
    [4, 4],
  )
  t.same(
    solo.sent('append-response').map(({ asked }) => show(asked)),
    ['1.2!'],
  )
  solo.persist(4)
  t.match(solo.answered, { matched: 3 })
})

t.test(
  'memberships of appended entries are effective at once, of skipped ones not again, of truncated ones no more',
  async (t) => {
    const base = follower({ membership: members(1, 2, 3) })
    base.append('1.2!', '1.2@2', [setting('1.2', members(1, 2)), '1.2', setting('1.2', members(1, 3))])
    t.same(votersIn(base.view.effective), [[1, 3]], 'the last of three in one request')
    t.equal(show(base.view.committedMembership.logId), '-')
    base.append('1.2!', '1.2@2', [setting('1.2', members(1, 2)), '1.2'])
    t.same(votersIn(base.view.effective), [[1, 3]])
    base.append('2.3!', '1.2@4', ['2.3'])
    t.same(votersIn(base.view.effective), [[1, 2]])
    base.append('3.3!', '1.2@2', ['3.3'])
    t.same(votersIn(base.view.effective), [[1, 2, 3]])
    const told = base.events.filter(({ type }) => type === 'membership-changed')
    t.equal(told.length, 3, 'each change is told')
  },
)

t.test('requests that only a broken sender makes are ignored', async (t) => {
  const solo = follower()
  const entry = { leaderId: ballot('1.2'), body: bodyOf(['x']), membershipCount: 0 }
  solo.append('1.2!', '1.2@2', [], { batches: [{ ...entry, first: index(4), last: index(4) }] })
  solo.append('1.2!', '1.2@2', [], { batches: [{ ...entry, first: index(3), last: index(2) }] })
  solo.append('2.2!', '2.2@2', [], { batches: [{ ...entry, first: index(3), last: index(3) }] })
  solo.append('1.2!', '1.2@2', ['1.3'])
  solo.append('1.2!', '1.2@2', [], { vote: vote('1.2') })
  solo.append('1.2!', '1.2@2', [], { from: id(3) })
  solo.append('1.2!', '1.2@2', [], { to: id(3) })
  t.same(solo.ignored(), [
    'a gap between entries',
    'a gap between entries',
    'ballots that do not ascend',
    'an entry above the vote',
    'not from the owner of the vote',
    'not from the owner of the vote',
    'not addressed to this node',
  ])
  t.same(solo.sends, [])
})

t.test('answers to nobody: a node that does not lead ignores them', async (t) => {
  const solo = follower()
  solo.do((raft, now) =>
    raft.receive(now, {
      type: 'append-response',
      from: id(2),
      to: id(1),
      vote: vote('9.9'),
      asked: vote('1.1!'),
      session: 1,
      sentAt: 1,
      answeredAt: { life: 1, at: 1 },
      outcome: { kind: 'matched', matched: index(1) },
    }),
  )
  t.same(solo.ignored(), ['this node does not lead'])
  t.equal(show(solo.view.vote), '1.2!')
})

// --- the leader's side ----------------------------------------------------------------------------------------------

t.test('a new leader probes at the end of its log, with its blank entry, and then sends ahead', async (t) => {
  const solo = leader()
  t.match(solo.sent('append-plan', 2), [{ prev: logId('1.2@2'), last: 3, session: 1 }])
  propose(solo)
  t.equal(solo.sent('append-plan', 2).length, 1, 'one probe at a time')
  solo.ack(2)
  t.match(solo.view.followers[0], { mode: 'replicate', matched: 3 })
  propose(solo)
  propose(solo)
  t.same(
    solo
      .sent('append-plan', 2)
      .slice(1)
      .map(({ prev, last }) => [show(prev), last]),
    [
      ['2.1@3', 4],
      ['2.1@4', 5],
      ['2.1@5', 6],
    ],
  )
})

t.test('a conflict moves the probe back by whole leaders, down to the start if need be', async (t) => {
  const solo = leader({ log: ['0.0', '1.1', '1.1', '1.2', '1.2'], vote: '1.2!' })
  solo.conflict(2, '1.1@3')
  t.match(solo.sent('append-plan', 2).at(-1), { prev: logId('1.1@2'), last: 5 })
  solo.conflict(2, null)
  t.match(solo.sent('append-plan', 2).at(-1), { prev: null, last: 5 })
  solo.ack(2)
  t.match(solo.view.followers[0], { mode: 'replicate', matched: 5 })
})

t.test('a hint that does not help still moves the probe, and a stale conflict does not', async (t) => {
  const solo = leader()
  const first = solo.sent('append-plan', 2)[0]
  solo.conflict(2, '1.2@2')
  t.match(solo.sent('append-plan', 2).at(-1), { prev: logId('1.2@1') })
  const count = solo.sent('append-plan', 2).length
  solo.conflict(2, null, first)
  t.equal(solo.sent('append-plan', 2).length, count)
})

t.test('thesis figure 3.6: every kind of divergent follower ends with the leader’s log', async (t) => {
  const of = (...runs: [string, number][]): string[] =>
    runs.flatMap(([text, count]) => Array.from({ length: count }, () => text))
  const own = of(['0.0', 1], ['1.1', 3], ['4.1', 2], ['5.1', 2], ['6.1', 3])
  const followers: Record<string, string[]> = {
    a: of(['0.0', 1], ['1.1', 3], ['4.1', 2], ['5.1', 2], ['6.1', 2]),
    b: of(['0.0', 1], ['1.1', 3]),
    c: [...own, '6.1'],
    d: [...own, '7.3', '7.3'],
    e: of(['0.0', 1], ['1.1', 3], ['4.1', 4]),
    f: of(['0.0', 1], ['1.1', 3], ['2.3', 3], ['3.3', 5]),
    g: [],
    h: of(['0.0', 1], ['1.1', 3], ['2.3', 60]),
  }
  for (const [name, log] of Object.entries(followers)) {
    const from = leader({ log: own, vote: '7.3', membership: members(1, 2, 3) })
    const to = new Solo({ id: 2, log, vote: log.at(-1) ?? '0.0' })
    let rounds = 0
    for (; rounds < 12 && to.log.join() !== from.log.join(); rounds++) deliver(from, to)
    t.same(to.log, [...own, '8.1'], name)
    t.ok(rounds <= 5, `${name}: ${rounds} rounds`)
  }
})

/** Carries the last plan to node 2 over, and the answer back. */
function deliver(from: Solo, to: Solo): void {
  const plan = from.sent('append-plan', 2).at(-1)
  if (plan === undefined) return
  const entries = from.log.slice((plan.prev?.index ?? -1) + 1, plan.last + 1)
  const message = appendRequest(id(2), show(plan.vote), plan.prev === null ? null : show(plan.prev), entries)
  to.do((raft, now) =>
    raft.receive(now, { ...message, session: plan.session, sentAt: plan.sentAt, committed: plan.committed }),
  )
  const answer = to.sent('append-response').at(-1)
  if (answer !== undefined) from.do((raft, now) => raft.receive(now, answer))
}

t.test('more than fifty conflicting entries of many leaders are replaced without a livelock', async (t) => {
  const own = ['0.0', ...Array.from({ length: 100 }, (_, i) => `${2 * i + 2}.2`)]
  const theirs = ['0.0', ...Array.from({ length: 100 }, (_, i) => `${2 * i + 1}.3`)]
  const from = leader({ log: own, vote: '300.2!' })
  const to = new Solo({ id: 2, log: theirs, vote: '300.2!' })
  let rounds = 0
  for (; rounds < 400 && to.log.join() !== from.log.join(); rounds++) deliver(from, to)
  t.same(to.log, from.log)
  t.ok(rounds < 220, `${rounds} rounds`)
})

t.test('messages are limited by bytes and by count; what is larger than the limit goes alone', async (t) => {
  const solo = leader({ raft: { appendBytesMax: 100, appendEntriesMax: 4 } })
  solo.ack(2)
  solo.clear()
  propose(solo, 1, 500)
  for (let i = 0; i < 6; i++) propose(solo, 1, 8)
  t.same(
    solo.sent('append-plan', 2).map(({ last }) => last),
    [4, 5, 6, 7, 8, 9, 10],
    'one proposal at a time goes at once',
  )
  const late = leader({ raft: { appendBytesMax: 100, appendEntriesMax: 4 } })
  propose(late, 1, 500)
  for (let i = 0; i < 6; i++) propose(late, 1, 8)
  late.clear()
  late.ack(2, 3, leaderPlan(late))
  t.same(
    late.sent('append-plan', 2).map(({ last }) => last),
    [4, 7, 10],
  )
})

function leaderPlan(solo: Solo): Parameters<Solo['respond']>[0] {
  const { vote: own } = solo.view
  return {
    type: 'append-plan',
    from: id(1),
    to: id(2),
    vote: own,
    session: 1,
    prev: logId('1.2@2'),
    last: index(3),
    committed: index(-1),
    sentAt: solo.now,
    freshAt: null,
  }
}

t.test('the window bounds what is on its way, by count and by bytes; a full one still gets heartbeats', async (t) => {
  const solo = leader({ raft: { inflightAppendsMax: 3 } })
  solo.ack(2)
  solo.clear()
  for (let i = 0; i < 6; i++) propose(solo)
  const plans = solo.sent('append-plan', 2)
  t.same(
    plans.map(({ last }) => last),
    [4, 5, 6],
  )
  solo.elapse(51)
  t.match(
    solo.sent('append-plan', 2).at(-1),
    { prev: logId('2.1@3'), last: 3 },
    'a heartbeat from what is known to match',
  )
  solo.ack(2, 5, plans[1])
  t.same(
    solo
      .sent('append-plan', 2)
      .slice(4)
      .map(({ last }) => last),
    [9],
    'room for what has gathered, in one message',
  )

  const bytes = leader({ raft: { inflightBytesMax: 100 } })
  bytes.ack(2)
  bytes.clear()
  for (let i = 0; i < 6; i++) propose(bytes, 1, 60)
  t.same(
    bytes.sent('append-plan', 2).map(({ last }) => last),
    [4, 5],
  )
})

t.test('heartbeats begin at what the follower is known to hold, not at the commit index', async (t) => {
  const solo = leader()
  solo.ack(3)
  solo.clear()
  solo.elapse(51)
  t.match(solo.sent('append-plan', 2).at(-1), { prev: null, last: -1, committed: 3 })
  t.match(solo.sent('append-plan', 3).at(-1), { prev: logId('2.1@3'), last: 3, committed: 3 })
})

t.test(
  'thesis 3.4: every follower hears something each heartbeat interval, also under a stream of unanswered entries',
  async (t) => {
    const solo = leader({ raft: { inflightAppendsMax: 1000 } })
    solo.ack(2)
    solo.clear()
    for (let i = 0; i < 20; i++) {
      solo.elapse(20)
      propose(solo)
    }
    const empty = solo.sent('append-plan', 2).filter(({ prev, last }) => prev?.index === last)
    t.ok(empty.length >= 6, `${empty.length} heartbeats in 400 ms: entries are answered only when they are on disk`)
  },
)

t.test('a tick before the deadline does nothing', async (t) => {
  const solo = leader()
  solo.clear()
  solo.do((raft, now) => raft.tick(now))
  t.same([solo.sends, solo.events], [[], []])
})

t.test('entries that were answered stand in for a heartbeat', async (t) => {
  const solo = leader()
  solo.ack(2)
  solo.elapse(51)
  solo.clear()
  for (let i = 0; i < 10; i++) {
    propose(solo)
    solo.ack(2)
    solo.elapse(10)
  }
  const empty = solo.sent('append-plan', 2).filter(({ prev, last }) => prev?.index === last)
  const entries = solo.sent('append-plan', 2).length - empty.length
  t.equal(entries, 10)
  // One for the news of each commit.
  t.equal(empty.length, 10)
})

t.test('the news of a commit is sent at once to who has nothing else coming', async (t) => {
  const solo = leader()
  solo.ack(2)
  t.match(solo.sent('append-plan', 2).at(-1), { prev: logId('2.1@3'), last: 3, committed: 3 })
  t.equal(solo.sent('append-plan', 3).at(-1)?.committed, -1, 'not to one that could not use it')
  solo.ack(3)
  t.match(solo.sent('append-plan', 3).at(-1), { committed: 3, last: 3 })
  solo.clear()
  solo.do((raft, now) => raft.applied(now, index(3)))
  t.same(solo.sends, [], 'once')
})

t.test('several proposals of one step travel in one message', async (t) => {
  const solo = leader()
  solo.ack(2)
  solo.clear()
  solo.do((raft, now) => {
    for (let i = 0; i < 5; i++) raft.propose(now, { count: 2, body: bodyOf(['a', 'b']) })
  })
  t.match(solo.sent('append-plan', 2), [{ prev: logId('2.1@3'), last: 13 }])
})

t.test(
  'what is lost is sent again: after an election timeout without an answer, or when the connection is new',
  async (t) => {
    const solo = leader()
    solo.ack(2)
    propose(solo)
    propose(solo)
    solo.clear()
    solo.elapse(280)
    t.equal(solo.view.followers[0]?.mode, 'replicate')
    solo.elapse(80)
    t.equal(solo.view.followers[0]?.mode, 'probe')
    t.match(solo.sent('append-plan', 2).at(-1), { prev: logId('2.1@3'), last: 5 }, 'one message from what is known')
    solo.ack(2)
    t.match(solo.view.followers[0], { mode: 'replicate', matched: 5 })

    propose(solo)
    solo.clear()
    solo.do((raft, now) => raft.peerDisconnected(now, id(2)))
    t.match(solo.sent('append-plan', 2), [{ prev: logId('2.1@5'), last: 6 }])
    solo.do((raft, now) => raft.peerConnected(now, id(2)))
    t.equal(solo.sent('append-plan', 2).length, 2)
    solo.do((raft, now) => raft.peerConnected(now, id(9)))
    t.equal(solo.sends.length, 2, 'a stranger')
  },
)

/** Time passes, and node 3 answers all the while. */
function elapseWithAQuorum(solo: Solo, ms: number): void {
  for (let passed = 0; passed < ms; passed += 20) {
    solo.elapse(20)
    solo.ack(3)
  }
}

t.test('what is merely large is not taken for lost, and not sent twice', async (t) => {
  // 3,000 bytes at 10 bytes per millisecond: 300 ms more than an election timeout.
  const solo = leader({ raft: { transferBytesPerMsMin: 10 } })
  solo.ack(2)
  propose(solo, 1, 3_000)
  const sent = () => solo.sent('append-plan', 2).filter(({ last }) => last === 4).length
  elapseWithAQuorum(solo, 580)
  t.equal(solo.view.followers[0]?.mode, 'replicate')
  t.equal(sent(), 1)
  elapseWithAQuorum(solo, 80)
  t.equal(solo.view.followers[0]?.mode, 'probe', 'now it must be lost')
  t.equal(sent(), 2)
  elapseWithAQuorum(solo, 560)
  t.equal(sent(), 2, 'a probe gets the same time')
  elapseWithAQuorum(solo, 100)
  t.equal(sent(), 3)
})

t.test('a follower that makes progress loses nothing, however much is on its way', async (t) => {
  const solo = leader()
  solo.ack(2)
  for (let i = 0; i < 5; i++) propose(solo)
  const plans = solo.sent('append-plan', 2)
  for (const last of [4, 5, 6, 7]) {
    elapseWithAQuorum(solo, 200)
    solo.ack(2, last, plans.at(-1))
    t.equal(solo.view.followers[0]?.mode, 'replicate', `800 ms are not too long for five messages: ${last}`)
  }
})

t.test('a probe that is lost is repeated', async (t) => {
  const solo = leader()
  solo.clear()
  solo.elapse(360)
  const probes = solo.sent('append-plan', 3).filter(({ last }) => last === 3)
  t.match(probes, [{ prev: logId('1.2@2') }])
})

t.test('a rejection in the middle of a stream leads back to probing from what is known', async (t) => {
  const solo = leader()
  solo.ack(2)
  propose(solo)
  propose(solo)
  solo.conflict(2, '2.1@3')
  t.match(solo.view.followers[0], { mode: 'probe', matched: 3 })
  t.match(solo.sent('append-plan', 2).at(-1), { prev: logId('2.1@3'), last: 5 })
})

t.test('acknowledgements are cumulative, may come late or twice, and never lower what is known', async (t) => {
  const solo = leader()
  solo.ack(2)
  propose(solo)
  propose(solo)
  const [, , first, second] = solo.sent('append-plan', 2)
  solo.ack(2, 5, second)
  solo.ack(2, 4, first)
  solo.ack(2, 4, first)
  t.equal(solo.view.followers[0]?.matched, 5)
})

t.test('late answers of another ballot, session or node are ignored', async (t) => {
  const solo = leader()
  const plan = solo.sent('append-plan', 2)[0]
  if (plan === undefined) throw new Error('a plan was sent')
  const matched = { kind: 'matched', matched: index(3) } as const
  solo.respond(plan, matched, { asked: vote('1.1!') })
  solo.respond(plan, matched, { session: 7 })
  solo.respond(plan, matched, { from: id(9) })
  solo.respond(plan, matched, { sentAt: solo.now + 1000 })
  solo.respond(plan, { kind: 'outvoted' }, { vote: vote('1.3!') })
  t.same(solo.ignored().slice(-5), [
    'an earlier ballot',
    'an earlier session',
    'not a follower',
    'sent in the future',
    'outvoted by no higher vote',
  ])
  t.equal(solo.view.committed, -1)
})

t.test('an answer of a higher vote ends leadership and is never an acknowledgement', async (t) => {
  const solo = leader()
  const plan = solo.sent('append-plan', 2)[0]
  if (plan === undefined) throw new Error('a plan was sent')
  solo.respond(plan, { kind: 'outvoted' }, { vote: vote('3.3!') })
  t.match(solo.view, { state: 'follower', vote: vote('3.3'), committed: -1 })
  t.ok(solo.raft.deadline() < solo.now + 50, 'it tries again soon')
})

t.test('a follower that acknowledges more than the leader has is a broken belief', async (t) => {
  const solo = leader()
  t.throws(() => solo.ack(2, 99), { name: 'InvariantError' })
})

t.test('a follower that lost part of its log is counted from the start again, but only on good evidence', async (t) => {
  const solo = leader()
  solo.ack(2)
  const early = solo.sent('append-plan', 2)[0]
  solo.advance(10)
  propose(solo)
  solo.ack(2)
  solo.conflict(2, '1.2@1', early)
  t.match(solo.view.followers[0], { mode: 'replicate', matched: 4 }, 'sent before it had acknowledged: old news')
  solo.elapse(60)
  const heartbeat = solo.sent('append-plan', 2).at(-1)
  solo.conflict(2, '1.2@1', heartbeat)
  t.match(solo.view.followers[0], { mode: 'probe', matched: -1 })
  t.match(solo.sent('append-plan', 2).at(-1), { prev: logId('1.2@1'), last: 4, session: 3 })
  solo.ack(2, 4, heartbeat)
  t.equal(solo.view.followers[0]?.matched, -1, 'acknowledgements of the earlier session prove nothing any more')
  solo.ack(2)
  t.match(solo.view.followers[0], { mode: 'replicate', matched: 4 })
})

t.test('a learner is replicated to and never counted', async (t) => {
  const solo = leader({ membership: membership([[1, 2, 3]], [4]) })
  solo.ack(4)
  t.equal(solo.view.committed, -1)
  solo.ack(3)
  t.equal(solo.view.committed, 3)
})

// --- commit ---------------------------------------------------------------------------------------------------------

t.test('thesis 3.6.2 (figure 3.7): no entry of an earlier leader is committed by counting', async (t) => {
  const solo = new Solo({ log: ['0.0', '1.2', '2.1'], vote: '3.3', membership: members(1, 2, 3, 4, 5) })
  solo.advance(300)
  solo.elect(2, 3)
  for (const from of [2, 3, 4]) solo.ack(from, 2)
  t.equal(solo.view.committed, -1, 'on four of five disks, yet a later leader may replace it')
  solo.ack(2, 3)
  t.equal(solo.view.committed, -1)
  solo.ack(4, 3)
  t.equal(solo.view.committed, 3, 'committed with the entry of its own ballot, and everything before it')
})

t.test(
  'figure 3.7 as a history: the entry that was on a majority is replaced, and nobody had committed it',
  async (t) => {
    const cluster = new Cluster({ seed: 2 })
    cluster.form(1, 2, 3)
    cluster.run(100)
    // Node 1 writes what reaches nobody; node 3, elected without it, writes something else at the same index.
    cluster.isolate(1)
    cluster.propose(cluster.node(1), 1, 'lost')
    t.ok(cluster.until(() => cluster.leaders.some(({ id: other }) => other !== 1)))
    const next = cluster.leaders.find(({ id: other }) => other !== 1)
    cluster.heal()
    if (next !== undefined) t.ok(cluster.commit(next, 1))
    t.notOk(cluster.node(1).payloads.includes('lost'))
  },
)

t.test('thesis 10.2.1: the leader sends before its own disk is done, and counts itself only then', async (t) => {
  const solo = leader()
  solo.ack(2)
  solo.autoPersist = false
  propose(solo)
  t.equal(solo.sent('append-plan', 2).at(-1)?.last, 4)
  t.equal(solo.view.committed, 3)
  solo.ack(2)
  t.equal(solo.view.committed, 3, 'one follower and no own disk')
  solo.ack(3, 4)
  t.equal(solo.view.committed, 4, 'two followers are a majority without it')
  propose(solo)
  solo.ack(2)
  solo.persist()
  t.equal(solo.view.committed, 5)
})

t.test('a single voter commits when its own disk is done', async (t) => {
  const solo = new Solo({ log: ['0.0'], vote: '1.1!', membership: members(1) })
  solo.elapse(0)
  solo.autoPersist = false
  t.equal(solo.view.committed, 1)
  propose(solo)
  t.equal(solo.view.committed, 1)
  solo.persist()
  t.equal(solo.view.committed, 2)
})

t.test('commit by cluster size and acknowledgements', async (t) => {
  const rows: [number, number[], boolean][] = [
    [2, [], false],
    [2, [2], true],
    [3, [2], true],
    [4, [2], false],
    [4, [2, 3], true],
    [5, [2], false],
    [5, [2, 4], true],
  ]
  for (const [size, acks, committed] of rows) {
    const all = Array.from({ length: size }, (_, i) => i + 1)
    const solo = new Solo({ log: ['0.0'], vote: '1.2!', membership: members(...all) })
    solo.advance(300)
    solo.elect(...all.slice(1))
    for (const from of acks) solo.ack(from)
    t.equal(solo.view.committed, committed ? 1 : -1, `${acks.length} of ${size}`)
  }
})

t.test('a commit follows every order of acknowledgements exactly', async (t) => {
  const solo = leader({ membership: members(1, 2, 3, 4, 5) })
  for (const from of [2, 3, 4, 5]) solo.ack(from)
  solo.clear()
  propose(solo)
  propose(solo)
  propose(solo)
  const plans = (from: number): NonNullable<ReturnType<typeof solo.sent<'append-plan'>>[0]>[] =>
    solo.sent('append-plan', from)
  solo.ack(5, 6, plans(5)[2])
  t.equal(solo.view.committed, 3)
  solo.ack(4, 4, plans(4)[0])
  t.equal(solo.view.committed, 4)
  solo.ack(2, 5, plans(2)[1])
  t.equal(solo.view.committed, 5)
  solo.ack(4, 6, plans(4)[2])
  t.equal(solo.view.committed, 6)
})

t.test(
  'uncommitted bytes are bounded; a large proposal on an empty tail is always taken; commits make room',
  async (t) => {
    const solo = leader({ raft: { uncommittedBytesMax: 200, appendBytesMax: 4 } })
    solo.ack(2)
    t.match(propose(solo, 1, 500), { kind: 'accepted', first: 4, last: 4, leaderId: ballot('2.1') })
    t.same(propose(solo, 1, 1), { kind: 'overloaded' })
    solo.ack(2)
    t.match(propose(solo, 3, 20), { kind: 'accepted', first: 5, last: 7 })
    t.match(propose(solo, 3, 20), { kind: 'accepted' })
    t.same(propose(solo, 3, 20), { kind: 'overloaded' })
    t.throws(() => propose(solo, 0), { name: 'InvariantError' })
  },
)

t.test('only what is committed is applied; only what was asked for becomes durable', async (t) => {
  const solo = leader()
  t.throws(() => solo.raft.applied(3000, index(3)), { name: 'InvariantError' })
  t.throws(() => solo.raft.persisted(3000, 99), { name: 'InvariantError' })
})

t.test('a lossy, reordering, duplicating network still gives equal logs', async (t) => {
  const cluster = new Cluster({
    seed: 77,
    loss: 0.2,
    duplication: 0.2,
    delayMs: [0.5, 30],
    raft: { appendBytesMax: 40 },
  })
  cluster.form(1, 2, 3)
  for (let i = 0; i < 60; i++) {
    const { leader: now } = cluster
    if (now !== null) cluster.propose(now, 2)
    cluster.run(20)
  }
  cluster.loss = 0
  t.ok(cluster.commit(cluster.electedLeader()))
  const logs = new Set([...cluster.nodes.values()].map(({ payloads }) => payloads.join()))
  t.equal(logs.size, 1)
  t.ok(cluster.node(1).payloads.length > 60)
})

t.test('a follower with a slow disk does not hold the majority up', async (t) => {
  const cluster = new Cluster({ seed: 78 })
  const now = cluster.form(1, 2, 3)
  cluster.node(3).diskPaused = true
  t.ok(cluster.commit(now, 5, [1, 2]))
  cluster.run(2000)
  t.equal(cluster.leader, now)
  cluster.resumeDisk(3)
  t.ok(cluster.until(() => cluster.node(3).view.committed === now.view.committed))
})

t.test('a leader whose own disk stands still goes on with the others until it is told to give up', async (t) => {
  const cluster = new Cluster({ seed: 79 })
  const now = cluster.form(1, 2, 3)
  now.diskPaused = true
  t.ok(cluster.commit(now, 3))
  cluster.ask(now, (raft, at) => raft.stepDown(at, 'the disk is too slow'))
  t.ok(cluster.until(() => cluster.leader !== null && cluster.leader !== now))
})

const unknown = (value: RaftMessage): RaftMessage =>
  ({ ...value, type: 'gossip' as RaftMessage['type'] }) as RaftMessage

t.test('a message of no known type is a broken belief', async (t) => {
  const solo = follower()
  const message = unknown(appendRequest(id(1), '1.2!', null, []))
  t.throws(() => solo.raft.receive(2000, message), { name: 'InvariantError' })
})
