import t from 'tap'
import { SeededRandom } from '../../src/lib/random.ts'
import {
  BEFORE_FIRST,
  checkMembership,
  compareLogIds,
  compareVotes,
  finalMembershipOf,
  futureVotersOf,
  hasQuorum,
  isJoint,
  isVoter,
  logIndex,
  membershipProblem,
  nodeId,
  reachedByQuorum,
  sameLogId,
  votersOf,
  type LogIndex,
  type Membership,
  type NodeId,
  type Vote,
} from '../../src/raft/index.ts'
import { Durability } from '../../src/raft/durability.ts'
import { LeaderList } from '../../src/raft/leader-list.ts'
import { MembershipHistory } from '../../src/raft/membership-history.ts'
import { SizeList } from '../../src/raft/size-list.ts'
import { members, membership } from './support/entries.ts'
import { ballot, logId, show, vote } from './support/solo.ts'

t.test('votes are ordered by term, then node, then committed', async (t) => {
  const ascending = ['0.0', '1.1', '1.1!', '1.2', '1.2!', '2.1', '2.1!'].map(vote)
  const shuffled = [6, 2, 4, 0, 3, 1, 5].map((i) => ascending[i] ?? vote('0.0'))
  t.same(shuffled.sort(compareVotes), ascending)
})

t.test('thesis 3.6.1: log ids are compared by ballot first, then by index (not index first)', async (t) => {
  t.ok(compareLogIds(logId('2.1@1'), logId('1.1@9')) > 0)
  t.ok(compareLogIds(logId('1.1@2'), logId('1.1@1')) > 0)
  t.ok(compareLogIds(null, logId('0.0@0')) < 0, 'no log is the smallest')
  t.ok(sameLogId(null, null))
})

t.test('a quorum is a majority of every configuration', async (t) => {
  const holds =
    (...ids: number[]) =>
    (id: NodeId): boolean =>
      ids.includes(id)
  t.ok(hasQuorum(members(1), holds(1)))
  t.notOk(hasQuorum(members(1, 2), holds(1)), 'one of two')
  t.ok(hasQuorum(members(1, 2, 3), holds(1, 3)))
  t.notOk(hasQuorum(members(1, 2, 3, 4), holds(1, 3)), 'half is no majority')
  const joint = membership([
    [1, 2, 3],
    [3, 4, 5],
  ])
  t.notOk(hasQuorum(joint, holds(1, 2, 3)), 'the old configuration alone')
  t.notOk(hasQuorum(joint, holds(3, 4, 5)), 'the new configuration alone')
  t.ok(hasQuorum(joint, holds(1, 3, 4)))
  t.notOk(
    hasQuorum(membership([]), () => true),
    'no configuration, no quorum',
  )
  t.notOk(hasQuorum(membership([[1]], [2, 3]), holds(2, 3)), 'learners never count')
})

t.test('what a quorum has reached equals the slow definition, whatever the order of updates', async (t) => {
  const random = new SeededRandom(11)
  for (let round = 0; round < 2000; round++) {
    const draw = (): number[] => [1, 2, 3, 4, 5, 6, 7].filter(() => random.fraction() < 0.5)
    const configs = [draw(), draw()].filter((config) => config.length > 0)
    const value = new Map([1, 2, 3, 4, 5, 6, 7].map((id) => [nodeId(id), random.integer(-1, 6)]))
    const found = membership(configs)
    const reached = reachedByQuorum(found, (id) => value.get(id) ?? -1)
    const candidates = [-1, 0, 1, 2, 3, 4, 5].filter((least) =>
      hasQuorum(found, (id) => (value.get(id) ?? -1) >= least),
    )
    if (reached !== (candidates.at(-1) ?? -Infinity)) t.equal(reached, candidates.at(-1), JSON.stringify(configs))
  }
  t.equal(
    reachedByQuorum(membership([]), () => 9),
    -Infinity,
  )
  t.equal(
    reachedByQuorum(members(1, 2, 3), (id) => (id === 1 ? 5 : -Infinity)),
    -Infinity,
    'infinities are ordered',
  )
})

t.test('a membership keeps its guarantees', async (t) => {
  const problem = (changed: Partial<Membership>): string | null => membershipProblem({ ...members(1, 2), ...changed })
  t.equal(problem({}), null)
  t.match(problem({ configs: [] }), /one configuration, or two/)
  t.match(problem({ configs: [[]] }), /at least one voter/)
  t.match(problem({ configs: [[nodeId(2), nodeId(1)]] }), /ascend/)
  t.match(problem({ configs: [[nodeId(1), nodeId(1)]] }), /ascend/)
  t.match(problem({ configs: [[nodeId(1), nodeId(9)]] }), /addresses/)
  t.match(problem({ removing: [nodeId(1)] }), /only a joint/)
  const configs = [[nodeId(1), nodeId(2)], [nodeId(2)]]
  t.equal(problem({ configs, removing: [nodeId(1)] }), null)
  t.match(problem({ configs, removing: [nodeId(2)] }), /old configuration alone/)
  t.match(problem({ configs, removing: [nodeId(1), nodeId(1)] }), /ascend/)
  t.throws(() => checkMembership({ ...members(1), configs: [] }), { name: 'InvariantError' })

  const joint = {
    ...membership(
      [
        [1, 2],
        [2, 3],
      ],
      [4],
    ),
    removing: [nodeId(1)],
  }
  t.same(votersOf(joint), [1, 2, 3])
  t.same(futureVotersOf(joint), [2, 3])
  t.same(futureVotersOf(membership([])), [])
  t.ok(isJoint(joint))
  t.ok(isVoter(joint, nodeId(1)))
  t.notOk(isVoter(joint, nodeId(4)))
  const final = finalMembershipOf(joint)
  t.same(final.configs, [[2, 3]])
  t.same(
    [...final.nodes.keys()].toSorted((a, b) => a - b),
    [2, 3, 4],
    'learners that were not touched stay',
  )
  t.throws(() => finalMembershipOf(final), { name: 'InvariantError' })
})

const runsOf = (list: LeaderList): string[] => list.all.map(({ leaderId, first }) => `${show(leaderId)}@${first}`)

function leaderList(purged: string | null, ...ballots: string[]): LeaderList {
  const list = new LeaderList(purged === null ? null : logId(purged), purged === null ? null : logId(purged), [])
  for (const text of ballots) list.append(ballot(text), logIndex((list.last?.index ?? -1) + 1))
  return list
}

t.test('the leader list answers who wrote an entry', async (t) => {
  const list = leaderList(null, '0.0', '1.1', '1.1', '1.2', '3.1')
  t.same(runsOf(list), ['0.0@0', '1.1@1', '1.2@3', '3.1@4'])
  const writers = (of: LeaderList): string[] => [-1, 0, 1, 2, 3, 4, 5].map((i) => show(of.leaderIdAt(logIndex(i))))
  t.same(writers(list), ['-', '0.0', '1.1', '1.1', '1.2', '3.1', '-'])
  t.equal(show(list.logIdAt(logIndex(3))), '1.2@3')

  t.equal(show(list.purge(logIndex(1))), '1.1@1')
  t.same(runsOf(list), ['1.1@2', '1.2@3', '3.1@4'])
  t.same(writers(list), ['-', '-', '1.1', '1.1', '1.2', '3.1', '-'], 'the last purged entry is still known')
  list.truncate(logIndex(3))
  t.equal(show(list.last), '1.1@2')
  list.truncate(logIndex(2))
  t.same([runsOf(list), show(list.last)], [[], '1.1@1'], 'down to the purge mark')
  t.throws(() => list.truncate(logIndex(1)), { name: 'InvariantError' })
  t.throws(() => list.purge(logIndex(1)), { name: 'InvariantError' })
  list.reset(logId('4.1@40'))
  t.equal(show(list.last), '4.1@40')
  t.throws(() => list.append(ballot('3.1'), logIndex(41)), { name: 'InvariantError' }, 'ballots ascend')
  list.append(ballot('4.1'), logIndex(45))
  t.throws(() => list.append(ballot('4.1'), logIndex(45)), { name: 'InvariantError' })
  list.purge(logIndex(45))
  t.same(runsOf(list), [])
})

t.test('the leader list as found on the disk begins at the purge mark', async (t) => {
  const runs = [
    { leaderId: ballot('1.1'), first: logIndex(0) },
    { leaderId: ballot('2.1'), first: logIndex(5) },
    { leaderId: ballot('3.1'), first: logIndex(9) },
  ]
  t.same(runsOf(new LeaderList(logId('2.1@6'), logId('3.1@9'), runs)), ['2.1@7', '3.1@9'])
  t.throws(() => new LeaderList(logId('2.1@6'), logId('2.1@5'), []), { name: 'InvariantError' })
  t.throws(() => new LeaderList(null, logId('2.1@5'), []), { name: 'InvariantError' })
})

t.test('the leader list compares a batch by runs', async (t) => {
  const list = leaderList(null, '0.0', '1.1', '1.1', '1.2', '1.2')
  const end = (text: string, from: number, to: number): number =>
    list.matchEnd(ballot(text), logIndex(from), logIndex(to))
  t.equal(end('1.1', 1, 2), 2)
  t.equal(end('1.1', 1, 9), 2, 'the run ends')
  t.equal(end('1.2', 3, 9), 4, 'the log ends')
  t.equal(end('1.2', 2, 9), 1, 'nothing matches')
  t.equal(end('1.1', 2, 2), 2)
})

t.test('the leader list finds the last entry that can agree, leader by leader', async (t) => {
  const list = leaderList('1.1@9', '1.1', '2.1', '2.1', '4.1', '4.1')
  const last = (text: string, upTo: number): number => list.lastNotAbove(ballot(text), logIndex(upTo))
  t.equal(last('4.1', 99), 14)
  t.equal(last('3.1', 99), 12)
  t.equal(last('2.1', 11), 11)
  t.equal(last('1.2', 99), 10)
  t.equal(last('1.1', 9), 9, 'the purge mark')
  t.equal(last('0.1', 99), 8, 'below the purge mark nothing is known')
  t.equal(last('0.1', 4), 4)
  t.equal(leaderList(null, '2.1').lastNotAbove(ballot('1.1'), logIndex(0)), BEFORE_FIRST)
})

t.test('a leader list of many leaders is searched by halves', async (t) => {
  const list = leaderList(null, ...Array.from({ length: 100 }, (_, i) => `${i + 1}.1`))
  t.same(
    [0, 1, 42, 98, 99].map((i) => list.leaderIdAt(logIndex(i))?.term),
    [1, 2, 43, 99, 100],
  )
})

function sizes(groupBytesMin: number, groupEntriesMax: number, ...bytes: number[]): SizeList {
  const list = new SizeList({ groupBytesMin, groupEntriesMax }, BEFORE_FIRST)
  for (const size of bytes) list.append(logIndex(list.last + 1), size)
  return list
}

t.test('sizes: messages are filled with whole groups up to both limits', async (t) => {
  const list = sizes(0, 1, 10, 10, 10, 50, 10)
  const end = (first: number, bytesMax: number, entriesMax: number): unknown =>
    list.messageEnd(logIndex(first), bytesMax, entriesMax)
  t.same(end(0, 30, 99), { last: 2, bytes: 30 })
  t.same(end(0, 29, 99), { last: 1, bytes: 20 })
  t.same(end(0, 1000, 2), { last: 1, bytes: 20 })
  t.same(end(3, 20, 99), { last: 3, bytes: 50 }, 'one that is too large goes alone')
  t.same(end(4, 20, 99), { last: 4, bytes: 10 })
  t.equal(list.bytesAfter(logIndex(2)), 60)
  t.equal(list.bytesAfter(logIndex(4)), 0)
  t.equal(list.bytesAfter(BEFORE_FIRST), 90)
  t.throws(() => list.messageEnd(logIndex(5), 1, 1), { name: 'InvariantError' })
  t.throws(() => list.append(logIndex(4), 1), { name: 'InvariantError' })
})

t.test('sizes: small batches are counted together, so that the list stays small', async (t) => {
  const list = sizes(100, 1000, ...Array.from({ length: 1000 }, () => 10))
  t.equal(list.length, 100)
  t.same(list.messageEnd(logIndex(0), 250, 99), { last: 19, bytes: 200 })
  t.same(list.messageEnd(logIndex(15), 250, 99), { last: 39, bytes: 250 }, 'from the middle of a group')
  t.equal(list.bytesAfter(logIndex(994)), 50, 'part of a group')
  t.equal(sizes(100, 4, 1, 1, 1, 1, 1).length, 2, 'bounded by entries too')
  list.purge(logIndex(14))
  t.equal(list.bytesAfter(logIndex(14)), 9850)
  t.same(list.messageEnd(logIndex(15), 60, 99), { last: 19, bytes: 50 })
  list.truncate(logIndex(995))
  t.equal(list.last, 994)
  t.equal(list.bytesAfter(logIndex(984)), 100)
  list.truncate(logIndex(990))
  t.equal(list.last, 989)
  list.truncate(logIndex(15))
  t.equal(list.last, 14)
  list.append(logIndex(15), 7)
  t.equal(list.bytesAfter(logIndex(14)), 7)
  list.reset(logIndex(50))
  t.equal(list.last, 50)
  t.equal(list.bytesAfter(BEFORE_FIRST), 0)
})

t.test('sizes: a batch as large as a group stands alone, so that it is counted as what it is', async (t) => {
  const list = sizes(100, 1000, 10, 10, 5_000, 10, 10)
  t.same(list.messageEnd(logIndex(2), 100, 99), { last: 2, bytes: 5_000 }, 'not a third of it')
  t.same(list.messageEnd(logIndex(0), 100, 99), { last: 1, bytes: 20 }, 'nor do small ones travel with it')
  t.equal(list.bytesAfter(logIndex(2)), 20)
  t.equal(list.bytesAfter(logIndex(1)), 5_020)
})

t.test('sizes: the tail within a number of bytes', async (t) => {
  const list = sizes(0, 1, 10, 10, 10, 10)
  const tail = (bytes: number): LogIndex => list.tailWithin(bytes)
  t.same([0, 9, 10, 25, 30, 39, 40, 99].map(tail), [3, 3, 2, 1, 0, 0, -1, -1])
  list.purge(logIndex(3))
  t.equal(list.tailWithin(0), 3)
  t.equal(list.length, 0)
})

t.test('durability follows writes, not indexes: an index may be used again (append, truncate, append)', async (t) => {
  const disk = new Durability(BEFORE_FIRST)
  disk.appended(1, logIndex(9))
  disk.truncated(logIndex(5))
  disk.appended(3, logIndex(7))
  t.equal(disk.seqFor(logIndex(4)), 1)
  t.equal(disk.seqFor(logIndex(5)), 3)
  disk.persisted(1)
  t.equal(disk.index, 4, 'the first append proves nothing beyond the truncation')
  disk.persisted(2)
  t.equal(disk.index, 4)
  disk.persisted(3)
  t.equal(disk.index, 7)
  t.equal(disk.seqFor(logIndex(7)), 0)
  disk.persisted(2)
  t.equal(disk.seq, 3, 'completions out of order never take it back')
  disk.truncated(logIndex(6))
  t.equal(disk.index, 5)
  t.throws(() => disk.seqFor(logIndex(6)), { name: 'InvariantError' })
  disk.appended(5, logIndex(8))
  disk.reset(6, logIndex(100))
  disk.persisted(5)
  t.equal(disk.index, 5)
  disk.persisted(6)
  t.equal(disk.index, 100)
})

t.test('the membership history keeps the committed one and what may still be truncated', async (t) => {
  const stored = (text: string, ...voters: number[]) => ({ logId: logId(text), membership: members(...voters) })
  const history = new MembershipHistory(stored('0.0@0', 1), [stored('1.1@5', 1, 2), stored('1.1@8', 2)])
  t.same(futureVotersOf(history.effective.membership), [2])
  t.equal(history.at(logIndex(7))?.logId?.index, 5)
  t.equal(history.at(BEFORE_FIRST), null)
  t.ok(history.mayCampaign(nodeId(1)), 'it may have written its own removal and be alone with it')
  history.truncate(logIndex(8))
  t.same(futureVotersOf(history.effective.membership), [1, 2])
  history.append(stored('2.1@8', 1))
  t.throws(() => history.append(stored('2.1@8', 1)), { name: 'InvariantError' })
  history.commit(logIndex(4))
  t.equal(history.committed.logId?.index, 0)
  history.commit(logIndex(8))
  t.equal(history.committed.logId?.index, 8)
  t.notOk(history.mayCampaign(nodeId(2)), 'removed for good')
  t.throws(() => history.truncate(logIndex(8)), { name: 'InvariantError' })
  history.append(stored('2.1@20', 1, 3))
  history.install(stored('2.1@12', 1, 2), logIndex(12), true)
  t.same(
    history.all.map(({ logId: id }) => id?.index),
    [12, 20],
  )
  history.install(stored('2.1@30', 4), logIndex(30), false)
  t.same(
    history.all.map(({ logId: id }) => id?.index),
    [30],
  )
})

t.test('a committed vote is above the same ballot uncommitted', async (t) => {
  const order = (a: Vote, b: Vote): number => Math.sign(compareVotes(a, b))
  t.equal(order(vote('1.1!'), vote('1.1')), 1)
  t.equal(order(vote('1.1!'), vote('1.2')), -1)
})
