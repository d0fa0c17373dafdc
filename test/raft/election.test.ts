import t from 'tap'
import { BEFORE_FIRST, type RaftMessage, type VoteRequest } from '../../src/raft/index.ts'
import { Cluster, type Node } from './support/cluster.ts'
import { id, members, membership } from './support/entries.ts'
import { Solo, logId, setting, show, vote, type SoloOptions } from './support/solo.ts'

function request(from: number, ballot: string, last: string | null, transfer = false): VoteRequest {
  const lastId = last === null ? null : logId(last)
  return { type: 'vote-request', from: id(from), to: id(1), vote: vote(ballot), last: lastId, transfer }
}

function receive(solo: Solo, message: RaftMessage): void {
  solo.do((raft, now) => raft.receive(now, message))
}

const LOG = ['0.0', '1.2', '1.2']

/** A voter that has heard nobody lately. */
function follower(options: SoloOptions = {}): Solo {
  const solo = new Solo({ log: LOG, vote: '1.2!', ...options })
  solo.advance(299)
  solo.do((raft, now) => raft.tick(now))
  solo.advance(1)
  solo.clear()
  return solo
}

// --- votes that are asked for ---------------------------------------------------------------------------------------

t.test('thesis 3.4: a vote is granted first come first served, and at most once in a ballot', async (t) => {
  const solo = follower()
  receive(solo, request(2, '2.2', '1.2@2'))
  t.match(solo.sent('vote-response'), [{ to: 2, granted: true, asked: vote('2.2'), vote: vote('2.2') }])
  receive(solo, request(2, '2.2', '1.2@2'))
  t.match(solo.sent('vote-response', 2).at(-1), { granted: true }, 'a repeated request is answered the same')
  receive(solo, request(1 + 0, '2.1', '1.2@2'))
  t.same(solo.ignored(), ['from this node itself'])
  receive(solo, request(3, '1.3', '1.2@2'))
  t.match(solo.sent('vote-response', 3), [{ granted: false, vote: vote('2.2') }])
})

t.test('a higher node id of the same term wins where classic Raft would split the vote', async (t) => {
  const solo = follower()
  receive(solo, request(2, '2.2', '1.2@2'))
  receive(solo, request(3, '2.3', '1.2@2'))
  t.match(solo.sent('vote-response'), [{ granted: true }, { granted: true, vote: vote('2.3') }])
  receive(solo, request(2, '2.2', '1.2@2'))
  t.match(solo.sent('vote-response').at(-1), { granted: false, vote: vote('2.3') })
})

t.test('thesis 3.6.1: the voter denies its vote if its own log is more up-to-date', async (t) => {
  const rows: [string | null, boolean][] = [
    ['1.2@2', true],
    ['1.2@3', true],
    ['1.3@0', true],
    ['2.1@1', true],
    ['1.2@1', false],
    ['1.1@9', false],
    [null, false],
  ]
  for (const [last, granted] of rows) {
    const solo = follower()
    receive(solo, request(3, '3.3', last))
    t.match(solo.sent('vote-response'), [{ granted }], `${last}`)
    t.equal(show(solo.view.vote), granted ? '3.3' : '1.2!', 'a candidate with a short log never raises our vote')
  }
})

t.test('nobody gets a vote while a leader is heard, whatever its log and ballot', async (t) => {
  const solo = follower()
  solo.append('1.2!', '1.2@2', [])
  solo.advance(299)
  receive(solo, request(3, '9.3', '8.3@99'))
  t.match(solo.sent('vote-response'), [{ granted: false, vote: vote('1.2!') }])
  t.equal(show(solo.view.vote), '1.2!')
  solo.advance(2)
  receive(solo, request(3, '9.3', '8.3@99'))
  t.match(solo.sent('vote-response').at(-1), { granted: true }, 'the lease is over')
})

t.test(
  'thesis 4.2.3: the lease does not stand against a leadership transfer, nor against the leader itself',
  async (t) => {
    const solo = follower()
    solo.append('1.2!', '1.2@2', [])
    receive(solo, request(2, '2.2', '1.2@2'))
    t.match(solo.sent('vote-response', 2), [{ granted: true }], 'the leader asks: it leads no more')
    receive(solo, request(3, '3.3', '1.2@2', true))
    t.match(solo.sent('vote-response', 3), [{ granted: true }])
  },
)

t.test('a vote does not prolong the lease; only entries, heartbeats and snapshots of a leader do', async (t) => {
  const solo = follower()
  receive(solo, request(3, '2.3', '1.2@2'))
  receive(solo, request(2, '3.2', '1.2@2'))
  t.match(solo.sent('vote-response', 2), [{ granted: true }])
})

t.test(
  'a restarted voter keeps the promise it made before: no vote within the lease of the leader it knew',
  async (t) => {
    const solo = new Solo({ log: LOG, vote: '1.2!' })
    receive(solo, request(3, '2.3', '1.2@2'))
    t.match(solo.sent('vote-response'), [{ granted: false }])
    solo.advance(300)
    receive(solo, request(3, '2.3', '1.2@2'))
    t.match(solo.sent('vote-response').at(-1), { granted: true })
  },
)

t.test('a learner that is asked votes: it may have been promoted without knowing', async (t) => {
  const solo = follower({ id: 1, membership: membership([[2, 3]], [1]) })
  t.equal(solo.view.state, 'learner')
  receive(solo, request(3, '2.3', '1.2@2'))
  t.match(solo.sent('vote-response'), [{ granted: true }])
  const pristine = new Solo()
  receive(pristine, request(3, '1.3', '0.0@0'))
  t.match(pristine.sent('vote-response'), [{ granted: true }])
  t.equal(pristine.raft.deadline(), Infinity, 'and stays passive')
})

t.test('a grant leaves after the vote, and everything written before it, is on disk', async (t) => {
  const solo = follower()
  solo.autoPersist = false
  solo.append('1.2!', '1.2@2', ['1.2'])
  solo.advance(300)
  receive(solo, request(3, '2.3', '1.2@3'))
  t.same(solo.sent('vote-response'), [])
  solo.persist(1)
  t.same(solo.sent('vote-response'), [], 'the entry alone is not enough')
  solo.persist(2)
  t.match(solo.sent('vote-response'), [{ granted: true }])
  t.match(solo.writes, [{ type: 'append' }, { type: 'vote', vote: vote('2.3') }])
})

t.test('a ballot that is not the sender’s own, or is committed already, is not asked for', async (t) => {
  const solo = follower()
  receive(solo, request(3, '9.2', '1.2@2'))
  receive(solo, request(3, '9.3!', '1.2@2'))
  const preVote = { type: 'pre-vote-request', from: id(3), to: id(1), vote: vote('9.2'), last: logId('1.2@2') } as const
  receive(solo, preVote)
  const strange = 'not from the owner of the vote'
  t.same(solo.ignored(), [strange, 'a vote that is committed already', strange])
  t.same([solo.sends, solo.writes], [[], []])
})

t.test('a refusal that shows a new vote waits for it too', async (t) => {
  const solo = follower()
  solo.autoPersist = false
  receive(solo, request(3, '2.3', '1.2@2'))
  receive(solo, request(2, '2.2', '1.2@2'))
  t.same(solo.sends, [])
  solo.persist()
  t.equal(solo.sent('vote-response').length, 2)
})

// --- pre-vote -------------------------------------------------------------------------------------------------------

t.test(
  'thesis 9.6: a node asks for pre-votes before it raises its term, and a pre-vote changes nothing anywhere',
  async (t) => {
    const solo = follower()
    solo.elapse(600)
    t.equal(solo.view.state, 'follower')
    t.equal(show(solo.view.vote), '1.2!')
    t.same(solo.writes, [])
    t.match(solo.sent('pre-vote-request', 3)[0], { vote: vote('2.1'), last: logId('1.2@2') })

    const other = follower()
    const preVote = {
      type: 'pre-vote-request',
      from: id(3),
      to: id(1),
      vote: vote('2.3'),
      last: logId('1.2@2'),
    } as const
    receive(other, preVote)
    t.match(other.sent('pre-vote-response'), [{ granted: true, asked: vote('2.3'), vote: vote('1.2!') }])
    t.same(other.writes, [])
    receive(other, { ...preVote, last: logId('1.2@1') })
    t.match(other.sent('pre-vote-response').at(-1), { granted: false }, 'a short log')
    receive(other, { ...preVote, vote: vote('1.1') })
    t.match(
      other.sent('pre-vote-response').at(-1),
      { granted: false, vote: vote('1.2!') },
      'a ballot that is not higher',
    )
    other.append('1.2!', '1.2@2', [])
    receive(other, preVote)
    t.match(other.sent('pre-vote-response').at(-1), { granted: false }, 'a leader is heard')
  },
)

const preVoteAnswer = (from: number, asked: string, granted: boolean, own = '1.2!'): RaftMessage => ({
  type: 'pre-vote-response',
  from: id(from),
  to: id(1),
  asked: vote(asked),
  granted,
  vote: vote(own),
})

const voteAnswer = (from: number, asked: string, granted: boolean, own = asked): RaftMessage => ({
  type: 'vote-response',
  from: id(from),
  to: id(1),
  asked: vote(asked),
  granted,
  vote: vote(own),
})

t.test('silence is not a grant, and a refusal teaches the higher vote without ever counting', async (t) => {
  const solo = follower()
  solo.do((raft, now) => raft.campaign(now))
  receive(solo, preVoteAnswer(3, '2.1', false))
  t.same(solo.ignored(), ['refused'], 'an equal or lower vote does not end the round')
  receive(solo, preVoteAnswer(3, '2.1', false, '7.3!'))
  t.equal(show(solo.view.vote), '7.3', 'recorded, as uncommitted')
  t.equal(solo.view.leader, null)
  receive(solo, preVoteAnswer(2, '2.1', true))
  t.equal(solo.view.state, 'follower', 'the round is over')
  solo.elapse(600)
  t.match(solo.sent('pre-vote-request', 2).at(-1), { vote: vote('8.1') }, 'the next one asks above it')
  receive(solo, preVoteAnswer(2, '8.1', true))
  t.equal(solo.view.state, 'candidate')
})

t.test('answers to an earlier round are told apart', async (t) => {
  const solo = follower()
  solo.do((raft, now) => raft.campaign(now))
  receive(solo, preVoteAnswer(3, '1.1', true))
  receive(solo, voteAnswer(3, '1.1', true))
  t.equal(solo.view.state, 'follower')
  t.same(solo.ignored(), ['not the current round', 'not the current campaign'])
})

t.test('an isolated node keeps its term, and rejoins without disturbing anybody', async (t) => {
  const cluster = new Cluster({ seed: 5 })
  const leader = cluster.form(1, 2, 3)
  cluster.isolate(3)
  cluster.run(5000)
  t.equal(show(cluster.node(3).view.vote), show(leader.view.vote))
  t.equal(cluster.node(3).view.leader, null, 'it knows that it has lost its leader')
  cluster.heal()
  cluster.run(1000)
  t.equal(cluster.leader, leader)
  t.equal(show(leader.view.vote), '1.1!')
  t.equal(cluster.node(3).view.leader, 1)
})

t.test(
  'a one-way partition: who can receive does not campaign, who cannot does, in vain while a leader is heard',
  async (t) => {
    const cluster = new Cluster({ seed: 6 })
    const leader = cluster.form(1, 2, 3)
    cluster.cutOneWay(3, 1)
    cluster.cutOneWay(3, 2)
    const campaigns = (): number => cluster.node(3).events.filter(({ type }) => type === 'campaign-started').length
    cluster.run(3000)
    t.equal(campaigns(), 0)
    cluster.heal()
    cluster.cutOneWay(1, 3)
    cluster.run(3000)
    t.ok(campaigns() > 0)
    t.equal(cluster.leader, leader)
  },
)

t.test('a bridge: a node that cannot see the leader does not unseat it through one that can', async (t) => {
  const cluster = new Cluster({ seed: 8 })
  const leader = cluster.form(1, 2, 3)
  cluster.cutBoth(1, 3)
  cluster.run(5000)
  t.equal(cluster.leader, leader)
  t.ok(cluster.commit(leader, 1, [1, 2]))
})

// --- campaigns ------------------------------------------------------------------------------------------------------

t.test(
  'thesis 3.4: to begin an election a follower increments its term, votes for itself and asks the others',
  async (t) => {
    const solo = follower()
    solo.autoPersist = false
    solo.do((raft, now) => raft.campaign(now))
    receive(solo, preVoteAnswer(2, '2.1', true))
    t.equal(solo.view.state, 'candidate')
    t.same(
      solo.sent('vote-request'),
      [],
      'not before its own vote is durable: it could ask again after a crash, with another log',
    )
    solo.persist()
    t.match(solo.sent('vote-request'), [{ to: 2 }, { to: 3, vote: vote('2.1'), last: logId('1.2@2'), transfer: false }])
  },
)

t.test(
  'a candidate wins with a majority, its own durable vote included, and commits its vote before its first entry',
  async (t) => {
    const solo = follower()
    solo.do((raft, now) => raft.campaign(now))
    receive(solo, preVoteAnswer(2, '2.1', true))
    solo.clear()
    receive(solo, voteAnswer(2, '2.1', true))
    t.equal(solo.view.state, 'leader')
    t.match(solo.writes, [
      { type: 'vote', vote: vote('2.1!') },
      { type: 'append', from: 3 },
    ])
    t.match(solo.sent('append-plan'), [
      { to: 2, prev: logId('1.2@2'), last: 3 },
      { to: 3, prev: logId('1.2@2'), last: 3 },
    ])
    t.same(
      solo.events.map(({ type }) => type),
      ['state-changed', 'leader-changed'],
    )
  },
)

t.test('an election is won in one round by cluster size and number of grants', async (t) => {
  const rows: [number, number[], string][] = [
    [1, [], 'leader'],
    [2, [], 'candidate'],
    [2, [2], 'leader'],
    [3, [], 'candidate'],
    [3, [2], 'leader'],
    [4, [2], 'candidate'],
    [4, [2, 3], 'leader'],
    [5, [2], 'candidate'],
    [5, [2, 5], 'leader'],
    [5, [2, 3, 4, 5], 'leader'],
  ]
  for (const [size, grants, state] of rows) {
    const all = Array.from({ length: size }, (_, i) => i + 1)
    const solo = follower({ membership: members(...all) })
    solo.do((raft, now) => raft.campaign(now))
    for (const from of all.slice(1)) receive(solo, preVoteAnswer(from, '2.1', true))
    for (const from of grants) receive(solo, voteAnswer(from, '2.1', true))
    t.equal(solo.view.state, state, `${grants.length} grants of ${size}`)
  }
})

t.test('an equal vote in an answer is not a grant, and a grant of another ballot neither', async (t) => {
  const solo = follower()
  solo.do((raft, now) => raft.campaign(now))
  receive(solo, preVoteAnswer(2, '2.1', true))
  receive(solo, voteAnswer(2, '2.1', false, '2.1'))
  receive(solo, voteAnswer(3, '2.1', true, '1.2!'))
  t.equal(solo.view.state, 'candidate')
  t.same(solo.ignored().slice(-2), ['refused', 'a grant of another ballot'])
})

t.test('a joint configuration needs both majorities, in pre-votes and in votes', async (t) => {
  const joint = membership([
    [1, 2, 3],
    [1, 4, 5],
  ])
  const solo = follower({ membership: joint })
  solo.do((raft, now) => raft.campaign(now))
  for (const from of [2, 3]) receive(solo, preVoteAnswer(from, '2.1', true))
  t.equal(solo.view.state, 'follower')
  receive(solo, preVoteAnswer(4, '2.1', true))
  t.equal(solo.view.state, 'candidate')
  for (const from of [4, 5]) receive(solo, voteAnswer(from, '2.1', true))
  t.equal(solo.view.state, 'candidate')
  receive(solo, voteAnswer(3, '2.1', true))
  t.equal(solo.view.state, 'leader')
})

t.test('a higher vote in an answer ends the candidacy', async (t) => {
  const solo = follower()
  solo.do((raft, now) => raft.campaign(now))
  receive(solo, preVoteAnswer(2, '2.1', true))
  receive(solo, voteAnswer(2, '2.1', false, '4.3'))
  t.equal(solo.view.state, 'follower')
  t.equal(show(solo.view.vote), '4.3')
  receive(solo, voteAnswer(3, '2.1', true))
  t.equal(solo.view.state, 'follower', 'a late grant counts for nothing')
})

t.test(
  'thesis 3.4: a candidate that hears a leader of its term or higher returns to follower; a lower one is refused',
  async (t) => {
    const solo = follower()
    solo.do((raft, now) => raft.campaign(now))
    receive(solo, preVoteAnswer(2, '2.1', true))
    solo.append('1.2!', '1.2@2', [])
    t.equal(solo.view.state, 'candidate')
    t.match(solo.sent('append-response'), [{ outcome: { kind: 'outvoted' }, vote: vote('2.1'), asked: vote('1.2!') }])
    solo.append('2.3!', '1.2@2', [])
    t.equal(solo.view.state, 'follower')
    t.equal(solo.view.leader, 3)
  },
)

t.test(
  'a candidacy that nobody answers is tried again, by pre-vote, with a higher term only if that succeeds',
  async (t) => {
    const solo = follower()
    solo.do((raft, now) => raft.campaign(now))
    receive(solo, preVoteAnswer(2, '2.1', true))
    solo.elapse(600)
    t.equal(solo.view.state, 'follower')
    t.equal(show(solo.view.vote), '2.1')
    t.match(solo.sent('pre-vote-request', 2).at(-1), { vote: vote('3.1') })
  },
)

t.test('while its own vote is not durable a candidate does not begin another campaign', async (t) => {
  const solo = follower()
  solo.autoPersist = false
  solo.do((raft, now) => raft.campaign(now))
  receive(solo, preVoteAnswer(2, '2.1', true))
  solo.elapse(3000)
  t.equal(show(solo.view.vote), '2.1')
  t.equal(solo.view.state, 'candidate')
})

t.test('a campaign is refused where it makes no sense', async (t) => {
  const refusal = (solo: Solo): unknown => solo.do((raft, now) => raft.campaign(now))
  const leader = follower().elect(2)
  t.match(refusal(leader), { reason: 'this node leads already' })
  t.match(refusal(follower({ membership: members(2, 3) })), { reason: 'this node is not a voter' })
  t.match(refusal(follower({ recoverUntil: 9 })), { reason: 'the log is being repaired' })
  const heard = follower()
  heard.append('1.2!', '1.2@2', [])
  t.match(refusal(heard), { reason: 'a leader is heard' })
  const candidate = follower()
  candidate.do((raft, now) => raft.campaign(now))
  receive(candidate, preVoteAnswer(2, '2.1', true))
  t.match(refusal(candidate), { reason: 'this node is a candidate already' })
})

t.test('every node can be elected in turn', async (t) => {
  const cluster = new Cluster({ seed: 3 })
  cluster.form(1, 2, 3)
  for (const next of [2, 3, 1, 3]) {
    cluster.ask(cluster.electedLeader(), (raft, now) => raft.transfer(now, id(next)))
    cluster.run(20)
    t.equal(cluster.electedLeader().id, next)
  }
  t.equal(cluster.node(1).view.vote.leaderId.term, 5)
})

t.test('thesis 3.4: election timeouts are drawn anew from the whole range for each campaign', async (t) => {
  const solo = follower()
  const seen: number[] = []
  for (let i = 0; i < 300; i++) {
    const before = solo.raft.deadline()
    solo.now = before
    solo.do((raft, now) => raft.tick(now))
    seen.push(solo.raft.deadline() - solo.now)
  }
  t.ok(Math.min(...seen) >= 300 && Math.max(...seen) < 601)
  t.ok(Math.min(...seen) < 315 && Math.max(...seen) > 585)
  t.equal(new Set(seen.map((timeout) => Math.floor(timeout / 50))).size, 6)
})

t.test('elections seldom collide', async (t) => {
  let rounds = 0
  for (let seed = 1; seed <= 60; seed++) {
    const cluster = new Cluster({ seed })
    const leader = cluster.form(1, 2, 3, 4, 5)
    cluster.crash(leader.id)
    rounds += cluster.electedLeader().view.vote.leaderId.term - 1
  }
  t.ok(rounds < 60 * 1.3, `${rounds} terms for 60 elections`)
})

// --- restart --------------------------------------------------------------------------------------------------------

t.test('after a restart a node never resumes leadership or candidacy, and never writes a smaller vote', async (t) => {
  const leader = new Solo({ log: ['0.0', '1.1'], vote: '1.1!' })
  t.match(leader.view, { state: 'follower', leader: null, vote: vote('1.1!') })
  leader.elapse(600)
  t.match(leader.sent('pre-vote-request')[0], { vote: vote('2.1') })
  const candidate = new Solo({ log: LOG, vote: '3.1' })
  t.equal(candidate.view.state, 'follower')
  receive(candidate, voteAnswer(2, '3.1', true))
  t.equal(candidate.view.state, 'follower', 'votes for the campaign before the crash count for nothing')
})

t.test('a learner restarts as learner, a single voter leads again at once', async (t) => {
  const learner = new Solo({ log: LOG, membership: membership([[2, 3]], [1]) })
  t.equal(learner.view.state, 'learner')
  t.equal(learner.raft.deadline(), Infinity)
  const single = new Solo({ log: LOG, vote: '1.2!', membership: members(1) })
  single.elapse(0)
  t.match(single.view, { state: 'leader', vote: vote('2.1!'), committed: 3 })
})

t.test('a node whose state says less than its log takes the last membership of the log as effective', async (t) => {
  const solo = new Solo({
    log: ['0.0', '1.2', '1.2'],
    membership: members(2, 3),
    changes: { 2: members(1, 2, 3) },
    applied: 1,
  })
  t.equal(solo.view.state, 'follower')
  t.equal(show(solo.view.effective.logId), '1.2@2')
  t.equal(show(solo.view.committedMembership.logId), '0.0@0')
})

// --- leaders that lose their quorum ---------------------------------------------------------------------------------

t.test(
  'thesis 6.2: a leader that no quorum answers for an election timeout steps down; learners do not count',
  async (t) => {
    const solo = new Solo({ log: LOG, vote: '1.2!', membership: membership([[1, 2, 3]], [4]) })
    solo.advance(300)
    solo.elect(2)
    solo.clear()
    for (let beat = 0; beat < 11; beat++) {
      solo.elapse(51)
      solo.ack(4, BEFORE_FIRST)
    }
    t.equal(solo.view.state, 'leader')
    solo.elapse(60)
    t.equal(solo.view.state, 'follower')
    t.match(
      solo.events.filter(({ type }) => type === 'stepped-down'),
      [{ reason: 'no quorum answers' }],
    )
    t.equal(solo.view.leader, null)
    solo.clear()
    solo.elapse(299)
    t.same(solo.sent('append-plan'), [], 'and is silent')
  },
)

t.test('a leader stays while a quorum answers', async (t) => {
  const cluster = new Cluster({ seed: 4 })
  const leader = cluster.form(1, 2, 3)
  cluster.crash(3)
  cluster.run(5000)
  t.equal(cluster.leader, leader)
  t.equal(show(leader.view.vote), '1.1!')
})

t.test('a leader that is heard gives its vote to nobody; one that has lost its quorum does', async (t) => {
  const solo = follower().elect(2)
  receive(solo, request(3, '9.3', '8.3@9'))
  t.match(solo.sent('vote-response'), [{ granted: false, vote: vote('2.1!') }])
  solo.advance(301)
  receive(solo, request(3, '9.3', '8.3@9'))
  t.match(solo.sent('vote-response').at(-1), { granted: true })
  t.equal(solo.view.state, 'follower')
  t.match(
    solo.events.filter(({ type }) => type === 'stepped-down'),
    [{ reason: 'a higher ballot' }],
  )
})

t.test(
  'a higher vote in an answer unseats a leader, which tries again at once and frees the node that is stuck',
  async (t) => {
    const cluster = new Cluster({ seed: 9 })
    const leader = cluster.form(1, 2, 3)
    cluster.run(1000)
    cluster.crash(3)
    const stuck = cluster.node(3)
    stuck.disk.durable.vote = vote('5.3')
    stuck.disk.current = stuck.disk.durable.clone()
    cluster.restart(3)
    const before = cluster.now
    t.ok(cluster.until(() => leader.view.vote.leaderId.term > 5 && leader.view.established))
    t.ok(cluster.now - before < 150, `${cluster.now - before} ms`)
    t.ok(cluster.until(() => stuck.view.leader === 1))
  },
)

t.test('a deposed leader stays follower under a new leader and its entries give way', async (t) => {
  const cluster = new Cluster({ seed: 12 })
  const old = cluster.form(1, 2, 3)
  cluster.isolate(1)
  cluster.propose(old, 3, 'never committed')
  t.ok(cluster.until(() => cluster.leaders.some((node) => node !== old && node.view.established)))
  const next = cluster.leaders.find((node) => node !== old)
  t.ok(next !== undefined)
  t.ok(
    cluster.until(() => old.view.state === 'follower'),
    'no quorum answers it',
  )
  cluster.heal()
  if (next !== undefined) t.ok(cluster.commit(next, 2))
  t.same(old.payloads, next?.payloads)
  t.notOk(old.payloads.includes('never committed'))
})

t.test('a stall of the event loop: what has arrived is judged before the timeout, once', async (t) => {
  const solo = follower()
  solo.append('1.2!', '1.2@2', [])
  solo.clear()
  solo.advance(5000)
  solo.do((raft, now) => raft.tick(now))
  t.same(solo.sends, [], 'time has jumped: the leader may have spoken')
  t.equal(solo.raft.deadline(), solo.now + 50)
  solo.append('1.2!', '1.2@2', [])
  solo.elapse(299)
  t.same(solo.sent('pre-vote-request'), [])
  solo.advance(5000)
  solo.do((raft, now) => raft.tick(now))
  solo.advance(500)
  solo.do((raft, now) => raft.tick(now))
  t.equal(solo.sent('pre-vote-request').length, 2, 'a second stall is not forgiven')
})

t.test('a leader that was paused reads the answers that wait before it judges its quorum', async (t) => {
  const solo = follower().elect(2)
  solo.ack(2)
  solo.advance(2000)
  solo.do((raft, now) => raft.tick(now))
  t.equal(solo.view.state, 'leader')
  solo.elapse(100)
  t.equal(solo.view.state, 'follower')
})

t.test('step-down on request: a leader, a candidate and a follower', async (t) => {
  const leader = follower().elect(2)
  leader.do((raft, now) => raft.stepDown(now, 'the disk is too slow'))
  t.match(leader.view, { state: 'follower', vote: vote('2.1!'), leader: null, followers: [] })
  t.match(
    leader.events.find(({ type }) => type === 'stepped-down'),
    { reason: 'the disk is too slow' },
  )
  const again = leader.raft.deadline() - leader.now
  t.ok(again >= 300 && again < 600, 'it does not compete at once')
  const candidate = follower()
  candidate.do((raft, now) => raft.campaign(now))
  receive(candidate, preVoteAnswer(2, '2.1', true))
  candidate.do((raft, now) => raft.stepDown(now, 'shutting down'))
  t.equal(candidate.view.state, 'follower')
})

// --- fast failure detection -----------------------------------------------------------------------------------------

t.test('kill -9 of the leader: a refused connection starts the election without waiting for the timeout', async (t) => {
  let slowest = 0
  for (let seed = 1; seed <= 40; seed++) {
    for (const voters of [
      [1, 2, 3],
      [1, 2, 3, 4, 5],
    ]) {
      const cluster = new Cluster({ seed })
      const leader = cluster.form(...voters)
      cluster.run(500)
      cluster.crash(leader.id)
      // Each follower learns it in its own time.
      for (const other of cluster.nodes.values()) {
        cluster.at(cluster.random.fraction() * 8, () =>
          cluster.input(other, (raft, now) => raft.peerUnreachable(now, leader.id)),
        )
      }
      const before = cluster.now
      cluster.electedLeader()
      slowest = Math.max(slowest, cluster.now - before)
    }
  }
  t.ok(slowest < 100, `${slowest} ms`)
})

t.test('the stagger: the highest id first, a node that is known to be behind last', async (t) => {
  const wait = (node: number, committed: number): number => {
    const solo = follower({ id: node, vote: '1.4!', membership: members(1, 2, 3, 4) })
    solo.append('1.4!', '1.2@2', [], { committed: committed as typeof BEFORE_FIRST })
    solo.do((raft, now) => raft.peerUnreachable(now, id(4)))
    return Math.round(solo.raft.deadline() - solo.now)
  }
  t.same(
    [3, 2, 1].map((node) => wait(node, 2)),
    [0, 10, 20],
  )
  t.equal(wait(3, 5), 30)
})

t.test('only the present leader’s refused connection counts, and it ends its lease here', async (t) => {
  const solo = follower()
  solo.append('1.2!', '1.2@2', [])
  solo.do((raft, now) => raft.peerUnreachable(now, id(3)))
  t.equal(solo.view.leader, 2)
  receive(solo, request(3, '2.3', '1.2@2'))
  t.match(solo.sent('vote-response').at(-1), { granted: false })
  solo.do((raft, now) => raft.peerUnreachable(now, id(2)))
  t.equal(solo.view.leader, null)
  receive(solo, request(3, '2.3', '1.2@2'))
  t.match(solo.sent('vote-response').at(-1), { granted: true })
  solo.do((raft, now) => raft.peerUnreachable(now, id(3)))
  t.ok(solo.raft.deadline() >= solo.now + 290, 'a candidate is not a leader')
})

t.test(
  'a closed connection alone changes nothing; a leader that can be reached again gets its normal time',
  async (t) => {
    const solo = follower()
    solo.append('1.2!', '1.2@2', [])
    solo.do((raft, now) => raft.peerDisconnected(now, id(2)))
    t.ok(solo.raft.deadline() >= solo.now + 299)
    solo.do((raft, now) => raft.peerUnreachable(now, id(2)))
    t.ok(solo.raft.deadline() <= solo.now + 20)
    const before = solo.raft.deadline()
    solo.do((raft, now) => raft.peerUnreachable(now, id(2)))
    t.equal(solo.raft.deadline(), before, 'told twice, decided once')
    solo.do((raft, now) => raft.peerConnected(now, id(2)))
    t.ok(solo.raft.deadline() >= solo.now + 299)
    solo.append('1.2!', '1.2@2', [])
    t.equal(solo.view.leader, 2)
  },
)

t.test('a failed pre-vote is repeated soon while the leader is known to be gone, then patiently', async (t) => {
  const solo = follower()
  solo.append('1.2!', '1.2@2', [])
  solo.do((raft, now) => raft.peerUnreachable(now, id(2)))
  solo.elapse(250)
  const rounds = solo.sent('pre-vote-request', 3).length
  t.ok(rounds >= 5 && rounds <= 8, `${rounds} rounds`)
  solo.clear()
  solo.elapse(1000)
  t.ok(solo.sent('pre-vote-request', 3).length <= 6)
})

t.test('requests that were lost with a connection are sent again on the next', async (t) => {
  const solo = follower()
  solo.do((raft, now) => raft.campaign(now))
  solo.clear()
  solo.do((raft, now) => raft.peerConnected(now, id(3)))
  solo.do((raft, now) => raft.peerConnected(now, id(9)))
  t.match(solo.sends, [{ type: 'pre-vote-request', to: 3 }])
  receive(solo, preVoteAnswer(3, '2.1', true))
  receive(solo, voteAnswer(9, '2.1', true))
  solo.clear()
  solo.do((raft, now) => raft.peerConnected(now, id(2)))
  t.match(solo.sends, [{ type: 'vote-request', to: 2 }])
})

t.test('a learner is not moved by a refused connection', async (t) => {
  const solo = follower({ membership: membership([[2, 3]], [1]) })
  solo.append('1.2!', '1.2@2', [])
  solo.do((raft, now) => raft.peerUnreachable(now, id(2)))
  t.equal(solo.view.leader, null)
  t.equal(solo.raft.deadline(), Infinity)
})

t.test('a node that is no voter any more stops its timer; one that becomes a voter starts it', async (t) => {
  const solo = follower()
  solo.append('1.2!', '1.2@2', [setting('1.2', members(2, 3))], { committed: 3 as typeof BEFORE_FIRST })
  t.equal(solo.view.state, 'learner')
  t.equal(solo.raft.deadline(), Infinity)
  solo.append('1.2!', '1.2@3', [setting('1.2', members(1, 2, 3))])
  t.equal(solo.view.state, 'follower')
  t.ok(solo.raft.deadline() < solo.now + 600)
})

t.test('clocks that run apart still give one stable leader', async (t) => {
  const cluster = new Cluster({ seed: 31, drift: 0.01, delayMs: [0.5, 20] })
  const leader = cluster.form(1, 2, 3, 4, 5)
  cluster.run(20_000)
  t.equal(cluster.leader, leader)
  const terms = (node: Node): number => node.view.vote.leaderId.term
  t.same([...cluster.nodes.values()].map(terms), [1, 1, 1, 1, 1])
})
