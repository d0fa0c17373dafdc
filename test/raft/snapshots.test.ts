import t from 'tap'
import { indexOf, type LogIndex, type StoredMembership } from '../../src/raft/index.ts'
import { Cluster } from './support/cluster.ts'
import { bodyOf, id, members, membership, votersIn } from './support/entries.ts'
import { Solo, logId, setting, show, vote, type SoloOptions } from './support/solo.ts'

const index = (value: number): LogIndex => value as LogIndex

const stored = (text: string, ...voters: number[]): StoredMembership => ({
  logId: logId(text),
  membership: members(...voters),
})

function follower(options: SoloOptions = {}): Solo {
  return new Solo({ log: ['0.0', '1.2', '1.2'], vote: '1.2!', ...options })
}

interface Offered {
  readonly ballot?: string
  readonly session?: number
  readonly from?: number
}

function offer(solo: Solo, at: string, { ballot = '1.2!', session = 4, from = 2 }: Offered = {}): string {
  return solo.do((raft, now) => raft.offerSnapshot(now, id(from), { vote: vote(ballot), session, logId: logId(at) }))
}

function install(
  solo: Solo,
  at: string,
  known: StoredMembership,
  { ballot = '1.2!', session = 4, from = 2 }: Offered = {},
): void {
  solo.do((raft, now) =>
    raft.installSnapshot(now, id(from), { vote: vote(ballot), session, logId: logId(at), membership: known }),
  )
}

// --- the receiver ---------------------------------------------------------------------------------------------------

t.test(
  'a snapshot is wanted when it is ahead, needless when its entry is here, refused from a lower vote',
  async (t) => {
    const solo = follower({ applied: 1 })
    t.equal(offer(solo, '1.2@9'), 'accept')
    t.equal(offer(solo, '1.2@1'), 'have-it', 'committed')
    t.match(solo.answered, { kind: 'matched', matched: 1 })
    t.equal(offer(solo, '1.2@2'), 'have-it', 'in the log: it is committed')
    t.match(solo.sent('append-response').at(-1), {
      outcome: { matched: 2 },
      session: 4,
      sentAt: -1,
      asked: vote('1.2!'),
    })
    t.equal(solo.committed, 2)
    t.equal(offer(solo, '1.2@9', { ballot: '1.1!' }), 'outvoted')
    t.equal(show(solo.view.vote), '1.2!')
    t.equal(
      offer(solo, '2.3@2', { ballot: '2.3!', from: 3 }),
      'have-it',
      'at or below the commit index nothing is compared',
    )
  },
)

t.test('an offer counts as hearing the leader and adopts its vote', async (t) => {
  const solo = follower()
  solo.advance(250)
  t.equal(offer(solo, '2.3@9', { ballot: '2.3!', from: 3 }), 'accept')
  t.match(solo.view, { vote: vote('2.3!'), leader: 3 })
  t.ok(solo.raft.deadline() >= solo.now + 299)
})

t.test(
  'a node that is receiving a snapshot elects nobody else meanwhile, whatever the log of the candidate',
  async (t) => {
    const solo = follower()
    offer(solo, '1.2@50')
    const ask = (): boolean | undefined => {
      const request = {
        type: 'vote-request',
        from: id(3),
        to: id(1),
        vote: vote('9.3'),
        last: logId('1.3@99'),
        transfer: false,
      } as const
      solo.do((raft, now) => raft.receive(now, request))
      return solo.sent('vote-response').at(-1)?.granted
    }
    for (let i = 0; i < 5; i++) {
      solo.advance(200)
      solo.do((raft, now) => raft.snapshotProgress(now, id(2), vote('1.2!')))
    }
    solo.advance(200)
    t.equal(ask(), false)
    solo.do((raft, now) => raft.snapshotProgress(now, id(2), vote('1.1!')))
    t.same(solo.ignored(), ['not the current leader'])
    solo.advance(150)
    t.equal(ask(), true)
  },
)

t.test(
  'installing drops a log that does not hold the entry, resets the memberships and is acknowledged when durable',
  async (t) => {
    const solo = follower({ changes: { 2: members(1, 9) }, applied: 0 })
    t.same(votersIn(solo.view.effective), [[1, 9]])
    offer(solo, '1.2@50')
    solo.autoPersist = false
    solo.clear()
    install(solo, '1.2@50', stored('1.2@40', 1, 2, 3, 4))
    t.match(solo.writes, [{ type: 'reset', purged: logId('1.2@50') }])
    t.match(solo.view, { committed: 50, applied: 50, last: logId('1.2@50'), purged: logId('1.2@50') })
    t.same(votersIn(solo.view.effective), [[1, 2, 3, 4]], 'an uncommitted membership of the old log is gone')
    t.equal(solo.view.effective, solo.view.committedMembership)
    t.same(solo.sends, [])
    solo.persist()
    t.match(solo.sent('append-response'), [{ outcome: { kind: 'matched', matched: 50 }, session: 4 }])
    solo.autoPersist = true
    solo.append('1.2!', '1.2@50', ['1.2'], { committed: index(51) })
    t.match(solo.answered, { matched: 51 }, 'the log goes on from there')
  },
)

t.test('installing keeps a log that holds the entry, and the memberships beyond it', async (t) => {
  const solo = follower({ changes: { 2: members(1, 9) }, applied: 0 })
  solo.clear()
  install(solo, '1.2@1', stored('0.0@0', 1, 2, 3))
  t.same(solo.log, ['0.0', '1.2', '1.2'])
  t.same(solo.writes, [])
  t.match(solo.view, { committed: 1, applied: 1 })
  t.same(votersIn(solo.view.effective), [[1, 9]])
  t.same(votersIn(solo.view.committedMembership), [[1, 2, 3]])
})

t.test('entries that contradict the snapshot are dropped with it', async (t) => {
  const solo = follower({ log: ['0.0', '1.2', '1.3', '1.3', '1.3'], vote: '1.3!', applied: 1 })
  offer(solo, '2.2@3', { ballot: '2.2!' })
  install(solo, '2.2@3', stored('0.0@0', 1, 2, 3), { ballot: '2.2!' })
  t.same(solo.log, [])
  t.match(solo.view, { last: logId('2.2@3'), committed: 3 })
})

t.test(
  'a snapshot that was swapped in counts although the vote has moved on; the old leader is not answered',
  async (t) => {
    const solo = follower()
    offer(solo, '1.2@50')
    solo.append('2.3!', '1.2@2', [])
    solo.clear()
    install(solo, '1.2@50', stored('0.0@0', 1, 2, 3))
    t.equal(solo.view.committed, 50)
    t.same(solo.sent('append-response'), [])
    t.same(solo.ignored(), ['not the current leader'])
  },
)

t.test('a snapshot never takes the state machine back', async (t) => {
  const solo = follower({ applied: 2 })
  t.throws(() => install(solo, '1.2@1', stored('0.0@0', 1, 2, 3)), { name: 'InvariantError' })
})

t.test('a state that went beyond the commit index while the snapshot came is still whole', async (t) => {
  const solo = follower({ applied: 0 })
  offer(solo, '1.2@4')
  solo.append('1.2!', '1.2@2', ['1.2', '1.2', '1.2'], { committed: index(5) })
  t.equal(offer(solo, '1.2@4'), 'have-it', 'asked again before the swap: not wanted any more')
  solo.do((raft, now) => raft.applied(now, index(2)))
  install(solo, '1.2@4', stored('0.0@0', 1, 2, 3))
  t.match(solo.view, { committed: 5, applied: 4 })
  t.same(
    solo.writes.filter(({ type }) => type === 'reset'),
    [],
  )
})

// --- the sender -----------------------------------------------------------------------------------------------------

/** A leader of term 2 whose log begins at 11; its blank entry is number 13. */
function leader(options: SoloOptions = {}): Solo {
  const solo = new Solo({ log: ['1.2', '1.2'], purged: '1.2@10', vote: '1.2!', ...options })
  solo.advance(300)
  return solo.elect(2, 3)
}

t.test('a follower whose next entry is purged gets the state; only heartbeats go meanwhile', async (t) => {
  const solo = leader()
  solo.conflict(2, '1.2@5')
  t.match(solo.snapshots, [{ to: 2, session: 1, vote: vote('2.1!') }])
  t.match(solo.view.followers[0], { mode: 'snapshot' })
  solo.clear()
  solo.do((raft, now) => raft.propose(now, { count: 1, body: bodyOf(['x']) }))
  solo.elapse(51)
  t.match(solo.sent('append-plan', 2), [{ prev: null, last: -1 }], 'which every log agrees with')
  solo.ack(2, -1)
  t.match(solo.view.followers[0], { mode: 'snapshot', matched: -1 })
  t.same(solo.snapshots, [], 'once')
})

t.test('a pristine node gets the state although there are no new writes', async (t) => {
  const solo = new Solo({ log: [], purged: '1.2@10', vote: '1.2!' })
  solo.advance(300)
  solo.elect(2, 3)
  t.match(solo.sent('append-plan', 3), [{ prev: logId('1.2@10'), last: 11 }])
  solo.conflict(3, null)
  t.match(solo.snapshots, [{ to: 3 }])
})

t.test('the acknowledgement of the snapshot ends it, and entries follow', async (t) => {
  const solo = leader()
  solo.conflict(2, null)
  const plan = solo.sent('append-plan', 2).at(-1)
  if (plan === undefined) throw new Error('a plan was sent')
  solo.clear()
  solo.respond(plan, { kind: 'matched', matched: index(12) }, { sentAt: -1 })
  t.match(solo.view.followers[0], { mode: 'replicate', matched: 12 })
  t.match(solo.sent('append-plan', 2), [{ prev: logId('1.2@12'), last: 13 }])
  solo.do((raft, now) => raft.snapshotReport(now, id(2), 1, 'installed'))
  t.same(solo.ignored(), ['not the current transfer'], 'the report that comes late changes nothing')
})

t.test('an acknowledgement below the purge mark is not enough', async (t) => {
  const solo = leader()
  solo.conflict(2, null)
  const plan = solo.sent('append-plan', 2).at(-1)
  if (plan === undefined) throw new Error('a plan was sent')
  solo.respond(plan, { kind: 'matched', matched: index(9) })
  t.match(solo.view.followers[0], { mode: 'snapshot', matched: 9 })
})

t.test('a finished transfer whose acknowledgement was lost is found out by a probe', async (t) => {
  const solo = leader()
  solo.conflict(2, null)
  solo.clear()
  solo.do((raft, now) => raft.snapshotReport(now, id(2), 1, 'installed'))
  t.match(solo.sent('append-plan', 2), [{ prev: logId('2.1@13'), last: 13 }])
  solo.conflict(2, '1.2@12')
  t.match(solo.sent('append-plan', 2).at(-1), { prev: logId('1.2@12'), last: 13 })
})

t.test('a failed transfer is tried again, later each time, while the follower answers', async (t) => {
  const solo = leader({ membership: members(1, 2, 3) })
  solo.conflict(2, null)
  const started: number[] = [solo.now]
  for (let i = 0; i < 200; i++) {
    if (solo.snapshots.length > 0) {
      if (i > 0) started.push(solo.now)
      solo.clear()
      solo.do((raft, now) => raft.snapshotReport(now, id(2), 1, 'failed'))
    }
    solo.elapse(51)
    solo.ack(2, -1)
    solo.ack(3)
  }
  const gaps = started.slice(1).map((at, i) => at - (started[i] ?? 0))
  t.ok(gaps.length >= 6)
  t.ok(
    gaps.every((gap, i) => i === 0 || gap + 60 >= (gaps[i - 1] ?? 0)),
    gaps.join(),
  )
  t.ok((gaps.at(-1) ?? 0) < 1800, 'bounded')
})

t.test('the state is not sent to a node that does not answer', async (t) => {
  const solo = leader()
  solo.conflict(2, null)
  for (let beat = 0; beat < 14; beat++) {
    solo.elapse(51)
    solo.ack(3)
  }
  solo.do((raft, now) => raft.snapshotReport(now, id(2), 1, 'failed'))
  solo.clear()
  for (let beat = 0; beat < 40; beat++) {
    solo.elapse(51)
    solo.ack(3)
  }
  t.same(solo.snapshots, [])
  solo.ack(2, -1)
  t.equal(solo.snapshots.length, 1)
})

t.test('what is needed may be in the log again when the next attempt comes', async (t) => {
  const solo = leader()
  solo.conflict(2, null)
  solo.do((raft, now) => raft.snapshotReport(now, id(2), 1, 'failed'))
  const plan = solo.sent('append-plan', 2).at(-1)
  if (plan === undefined) throw new Error('a plan was sent')
  solo.respond(plan, { kind: 'matched', matched: index(11) })
  t.match(solo.view.followers[0], { mode: 'replicate', matched: 11 })
})

t.test('reports about no transfer, an earlier session or to a node that does not lead are ignored', async (t) => {
  const solo = leader()
  const report = (to: number, session: number): void =>
    solo.do((raft, now) => raft.snapshotReport(now, id(to), session, 'failed'))
  report(2, 1)
  solo.conflict(2, null)
  report(2, 9)
  report(9, 1)
  t.same(
    solo.ignored().slice(-3),
    Array.from({ length: 3 }, () => 'not the current transfer'),
  )
  const other = follower()
  other.do((raft, now) => raft.snapshotReport(now, id(2), 1, 'failed'))
  t.same(other.ignored(), ['this node does not lead'])
})

t.test('a follower that has not answered yet is asked at the end of the log before the state is sent', async (t) => {
  const solo = leader({ raft: { keepEntries: 0 } })
  solo.ack(3)
  solo.clear()
  solo.do((raft, now) => {
    raft.propose(now, { count: 1, body: bodyOf(['x']) })
  })
  solo.ack(3)
  solo.do((raft, now) => raft.applied(now, index(14)))
  solo.do((raft, now) => raft.stateDurable(now, logId('2.1@14')))
  t.equal(show(solo.view.purged), '2.1@14')
  solo.clear()
  solo.do((raft, now) => raft.peerConnected(now, id(2)))
  t.match(solo.sent('append-plan', 2), [{ prev: logId('2.1@14'), last: 14 }])
  t.same(solo.snapshots, [])
  solo.conflict(2, '1.2@12')
  t.match(solo.snapshots, [{ to: 2 }])
})

t.test('a follower in the middle of a stream that a purge has overtaken turns to the state', async (t) => {
  const solo = leader({ raft: { keepEntries: 0 } })
  for (const from of [2, 3]) solo.ack(from)
  solo.do((raft, now) => raft.propose(now, { count: 1, body: bodyOf(['x']) }))
  solo.ack(3)
  solo.do((raft, now) => raft.applied(now, index(14)))
  solo.do((raft, now) => raft.stateDurable(now, logId('2.1@14')))
  solo.do((raft, now) => raft.peerConnected(now, id(2)))
  t.match(solo.view.followers[0], { mode: 'snapshot', matched: 13 })
  solo.elapse(51)
  t.match(solo.sent('append-plan', 2).at(-1), { prev: null, last: -1 })
})

t.test('a new learner of a purged log is brought up by a snapshot and follows from there', async (t) => {
  const cluster = new Cluster({ seed: 3, raft: { keepEntries: 0 } })
  const node = cluster.form(1, 2)
  t.ok(cluster.commit(node, 20))
  cluster.flush(1)
  t.equal(node.view.purged?.index, node.view.committed)
  cluster.add(3)
  let plans = 0
  cluster.onSnapshot = (from, plan) => {
    plans += 1
    // The first attempt breaks off.
    cluster.sendSnapshot(from, plan, plans === 1 ? 'failed' : 'installed')
  }
  cluster.change(node, { type: 'add-learner', id: id(3), addresses: { raft: 'c:1', api: 'http://c:1' } })
  t.ok(cluster.until(() => cluster.node(3).view.committed === node.view.committed))
  t.equal(plans, 2)
  t.ok(cluster.commit(node, 3), 'logs follow the snapshot')
  t.same(cluster.node(3).view.effective, node.view.effective)
  cluster.crash(3)
  cluster.restart(3)
  t.equal(cluster.node(3).view.state, 'learner')
  t.ok(cluster.commit(node))
  cluster.flush(1)
  cluster.flush(3)
  t.same(votersIn(cluster.node(3).view.committedMembership), [[1, 2]], 'a second purge keeps the membership')
})

t.test('a transfer that cannot reach its target does not hold the others up', async (t) => {
  const cluster = new Cluster({ seed: 4, raft: { keepEntries: 0 } })
  const node = cluster.form(1, 2, 3)
  cluster.run(50)
  cluster.isolate(3)
  t.ok(cluster.commit(node, 20, [1, 2]))
  cluster.flush(1)
  cluster.heal()
  cluster.onSnapshot = () => {}
  cluster.run(500)
  t.equal(node.view.followers.find((other) => other.id === 3)?.mode, 'snapshot')
  t.ok(cluster.commit(node, 20, [1, 2]))
})

// --- purging --------------------------------------------------------------------------------------------------------

const TEN = Array.from({ length: 10 }, () => '1.2')

function full(raft: SoloOptions['raft'] = {}): Solo {
  return new Solo({ log: ['0.0', ...TEN], vote: '1.2!', applied: 0, raft: { appendBytesMax: 1, ...raft } })
}

function durable(solo: Solo, at: number): string {
  solo.append('1.2!', '1.2@10', [], { committed: index(10) })
  solo.do((raft, now) => raft.applied(now, index(at)))
  solo.clear()
  solo.do((raft, now) => raft.stateDurable(now, logId(`1.2@${at}`)))
  return show(solo.view.purged)
}

t.test('the log is purged as far as the durable state goes, keeping a tail by count and by bytes', async (t) => {
  const rows: [SoloOptions['raft'], number, string][] = [
    [{ keepEntries: 0 }, 8, '1.2@8'],
    [{ keepEntries: 4 }, 10, '1.2@6'],
    [{ keepEntries: 4 }, 5, '1.2@5'],
    [{ keepEntries: 100 }, 10, '-'],
    [{ keepEntries: 100, keepBytes: 3 }, 10, '1.2@7'],
    [{ keepEntries: 2, keepBytes: 3 }, 10, '1.2@8'],
  ]
  for (const [raft, at, purged] of rows) {
    const solo = full(raft)
    t.equal(durable(solo, at), purged)
    t.match(solo.writes, purged === '-' ? [] : [{ type: 'purge', purged: logId(purged) }])
  }
})

t.test(
  'a purge on demand frees all that the durable state covers, up to an index, and says where it stopped',
  async (t) => {
    const solo = full({ keepEntries: 100 })
    const purge = (to: number | null): unknown =>
      solo.do((raft, now) => raft.purgeTo(now, to === null ? null : index(to)))
    durable(solo, 8)
    t.same(purge(3), logId('1.2@3'))
    t.same(purge(2), null)
    t.same(purge(null), logId('1.2@8'))
    t.same(purge(10), null, 'never more than the durable state covers')
    t.match(solo.raft.leaderIdAt(index(3)), null)
    t.same(solo.raft.logIdAt(index(9)), logId('1.2@9'))
    t.equal(solo.raft.logIdAt(index(99)), null)
  },
)

t.test('the durable state is never behind what was said before', async (t) => {
  const solo = full({ keepEntries: 0 })
  durable(solo, 8)
  solo.do((raft, now) => raft.stateDurable(now, logId('1.2@5')))
  t.equal(show(solo.view.purged), '1.2@8')
})

/** A leader that sends the state of entry 10 to node 2 and has committed up to 13. */
function sender(raft: SoloOptions['raft'] = {}): Solo {
  const solo = leader({ raft: { keepEntries: 0, caughtUpEntriesMax: 0, ...raft } })
  solo.ack(3)
  solo.conflict(2, null)
  solo.do((raft, now) => raft.applied(now, index(13)))
  return solo
}

function purged(solo: Solo): string {
  solo.do((raft, now) => raft.stateDurable(now, logId(`2.1@${solo.view.applied}`)))
  return show(solo.view.purged)
}

function report(solo: Solo, what: 'sending' | 'installed' | 'failed'): void {
  solo.do((raft, now) => raft.snapshotReport(now, id(2), 1, what))
}

/** `count` more entries, committed and applied. */
function write(solo: Solo, count: number): void {
  const payloads = Array.from({ length: count }, () => 'x')
  solo.do((raft, now) => raft.propose(now, { count, body: bodyOf(payloads) }))
  solo.ack(3)
  solo.do((raft, now) => raft.applied(now, index(solo.committed)))
}

function beats(solo: Solo, count: number): void {
  for (let beat = 0; beat < count; beat++) {
    solo.elapse(51)
    solo.ack(3)
  }
}

t.test('a transfer that does not get on holds the purge, but not for ever', async (t) => {
  const solo = sender({ snapshotHoldMs: 500 })
  t.equal(purged(solo), '1.2@10')
  t.equal(
    solo.do((raft, now) => raft.purgeTo(now, null)),
    null,
  )
  beats(solo, 10)
  t.equal(purged(solo), '2.1@13')
  report(solo, 'sending')
  write(solo, 1)
  t.equal(purged(solo), '2.1@14', 'what it needs next is gone: there is nothing to hold any more')
})

t.test('while it gets on it holds the purge for as long as it takes', async (t) => {
  const solo = sender({ snapshotHoldMs: 500 })
  for (let round = 0; round < 10; round++) {
    beats(solo, 6)
    report(solo, 'sending')
    write(solo, 1)
    t.equal(purged(solo), '1.2@10')
  }
  t.notOk(solo.ignored().includes('not the current transfer'))
  report(solo, 'failed')
  t.equal(purged(solo), '2.1@23', 'the next attempt begins with a newer state')
})

t.test('a node that has got the state holds the purge of the log behind it until it has caught up', async (t) => {
  const solo = sender({ snapshotHoldMs: 500 })
  report(solo, 'installed')
  solo.conflict(2, '1.2@10')
  solo.ack(2, 10)
  for (let matched = 11; matched < 19; matched++) {
    beats(solo, 6)
    write(solo, 1)
    solo.ack(2, matched)
    t.equal(indexOf(solo.view.purged), Math.max(10, matched - 1))
    t.equal(purged(solo).replace(/.*@/, ''), String(matched))
  }
  solo.ack(2)
  t.equal(purged(solo), `2.1@${solo.committed}`)
  write(solo, 3)
  t.equal(purged(solo), `2.1@${solo.committed}`, 'from then on it may fall behind like any other')
})

t.test('no more of the log is held than it may have bytes', async (t) => {
  const solo = sender({ snapshotHoldMs: 60_000, snapshotHoldBytes: 100 })
  t.equal(purged(solo), '1.2@10')
  write(solo, 100)
  t.equal(purged(solo), '2.1@113')
})

t.test('a node that is removed meanwhile holds nothing', async (t) => {
  const solo = leader({ membership: membership([[1, 3]], [2]), raft: { keepEntries: 0, snapshotHoldMs: 60_000 } })
  solo.ack(3)
  solo.conflict(2, null)
  solo.do((raft, now) => raft.applied(now, index(13)))
  t.equal(purged(solo), '1.2@10')
  solo.do((raft, now) => raft.changeMembership(now, { type: 'remove-learner', id: id(2) }, null))
  t.equal(purged(solo), '2.1@13')
})

t.test('a node that is removed is sent no state: it would hold what came after its removal', async (t) => {
  const options = { membership: membership([[1, 3]], [2]) }
  const remove = (solo: Solo): unknown =>
    solo.do((raft, now) => raft.changeMembership(now, { type: 'remove-learner', id: id(2) }, null))
  const before = leader(options)
  before.ack(3)
  remove(before)
  before.conflict(2, null)
  t.same(before.snapshots, [])

  const during = leader(options)
  during.ack(3)
  during.conflict(2, null)
  t.match(during.snapshots, [{ to: 2 }])
  remove(during)
  during.clear()
  during.do((raft, now) => raft.snapshotReport(now, id(2), 1, 'failed'))
  during.elapse(1000)
  t.same(during.snapshots, [], 'nor again')
})

// --- recovery and restart -------------------------------------------------------------------------------------------

const voteRequest = {
  type: 'vote-request',
  from: id(3),
  to: id(1),
  vote: vote('9.3'),
  last: logId('1.3@99'),
  transfer: false,
} as const

t.test(
  'a node that lost acknowledged entries gives no vote and does not campaign until a leader has repaired it',
  async (t) => {
    const solo = new Solo({ log: ['0.0', '1.2', '1.2'], vote: '1.2!', recoverUntil: 6 })
    t.ok(solo.view.recovering)
    solo.elapse(3000)
    t.same(solo.sends, [])
    solo.do((raft, now) => raft.receive(now, voteRequest))
    solo.do((raft, now) => raft.receive(now, { ...voteRequest, type: 'pre-vote-request' }))
    t.match([solo.sent('vote-response'), solo.sent('pre-vote-response')], [[{ granted: false }], [{ granted: false }]])
    t.equal(show(solo.view.vote), '1.2!')

    solo.append('1.2!', '1.2@2', ['1.2', '1.2', '1.2'])
    t.ok(solo.view.recovering)
    solo.autoPersist = false
    solo.append('1.2!', '1.2@5', ['1.2', '1.2'])
    t.ok(solo.view.recovering, 'not before it is on disk')
    solo.persist()
    t.notOk(solo.view.recovering)
    t.ok(solo.events.some(({ type }) => type === 'recovered'))
    t.ok(solo.raft.deadline() < solo.now + 600, 'its timer runs again')
  },
)

t.test('entries of its own beyond the loss do not repair it, only those known to be a leader’s', async (t) => {
  const solo = new Solo({ log: ['0.0', '1.2', '1.2', '1.2'], vote: '1.2!', recoverUntil: 3 })
  solo.append('2.3!', '1.2@1', [])
  t.ok(solo.view.recovering)
  solo.append('2.3!', '1.2@3', [])
  t.notOk(solo.view.recovering)
})

t.test('a snapshot repairs it too', async (t) => {
  const solo = new Solo({ log: ['0.0'], vote: '1.2!', recoverUntil: 6 })
  install(solo, '1.2@9', stored('0.0@0', 1, 2, 3))
  t.notOk(solo.view.recovering)
})

t.test('a damaged node of three is repaired by the others, and every acknowledged entry survives', async (t) => {
  const cluster = new Cluster({ seed: 11 })
  const node = cluster.form(1, 2, 3)
  t.ok(cluster.commit(node, 20))
  cluster.run(100)
  cluster.crash(3, { told: false })
  const { durable: disk } = cluster.node(3).disk
  const lost = disk.lastIndex
  disk.entries.length = 5
  cluster.node(3).disk.current = disk.clone()
  cluster.restart(3, lost)
  t.ok(cluster.node(3).view.recovering)
  t.ok(
    cluster.until(() => !cluster.node(3).view.recovering, 2000),
    'a leader that counted it finds out',
  )
  t.ok(cluster.commit(node))
  t.same(cluster.node(3).payloads, node.payloads)
})

t.test('what was applied is known to be committed after a restart, and nothing more', async (t) => {
  const solo = new Solo({ log: ['0.0', '1.2', '1.2', '1.2'], vote: '1.2!', applied: 2, membership: members(1, 2, 3) })
  t.match(solo.view, { committed: 2, applied: 2 })
  t.equal(solo.raft.membershipAt(index(2)), solo.raft.effectiveMembership)
})

t.test('directories that contradict themselves are refused', async (t) => {
  const refused = (options: SoloOptions): void => {
    t.throws(() => new Solo(options), { name: 'InvariantError' })
  }
  refused({ log: ['0.0', '2.1'], vote: '1.2!' })
  refused({ log: ['1.2'], purged: '1.2@5', vote: '1.2!', applied: 4 })
})

t.test('a restart in the middle of a joint configuration goes on with both majorities', async (t) => {
  const joint = {
    ...membership([
      [1, 2, 3],
      [1, 4, 5],
    ]),
    removing: [],
  }
  const solo = new Solo({ log: ['0.0', '1.2'], vote: '1.2!', changes: { 1: joint } })
  t.equal(votersIn(solo.view.effective).length, 2)
  solo.append('1.2!', '1.2@1', [setting('1.2', members(1, 4, 5))], { committed: index(1) })
  t.same(votersIn(solo.view.committedMembership).length, 2)
  t.same(votersIn(solo.view.effective), [[1, 4, 5]])
})

t.test('all nodes crash at once at any moment: what was committed is there when they are back', async (t) => {
  for (let seed = 1; seed <= 30; seed++) {
    const cluster = new Cluster({ seed, diskMs: [0.1, 3] })
    const node = cluster.form(1, 2, 3)
    for (let i = 0; i < 8; i++) {
      if (node.live?.raft.state === 'leader') cluster.propose(node, 3)
      cluster.run(cluster.random.fraction() * 4)
    }
    for (const other of cluster.nodes.values()) {
      cluster.crash(other.id, { survivors: cluster.random.integer(0, other.disk.pendingCount + 1), told: false })
    }
    for (const other of cluster.nodes.values()) cluster.restart(other.id)
    // The oracle of the harness compares what is committed from now on with what was.
    if (!cluster.commit(cluster.electedLeader())) t.fail(`seed ${seed}`)
  }
  t.pass('thirty power cuts')
})
