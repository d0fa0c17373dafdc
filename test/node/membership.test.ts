import t, { type Test } from 'tap'
import { RequestError } from '../../src/lib/errors.ts'
import { Briefing } from '../../src/node/peers/briefing.ts'
import type { NodeReport } from '../../src/ports/transport.ts'
import type { NodeId, StoredMembership } from '../../src/raft/index.ts'
import { logIndex, nodeId, term } from '../../src/raft/index.ts'
import { refused, specOf, TestCluster } from './support/cluster.ts'
import { drop, passAll } from './support/formed.ts'
import { addressesOf } from './support/machine.ts'

const REPORT: NodeReport = {
  id: nodeId(1),
  incarnation: 'of-1',
  token: null,
  clusterId: null,
  initialized: true,
  vote: { leaderId: { term: term(1), nodeId: nodeId(1) }, committed: true },
  last: null,
  leader: null,
  effective: { logId: null, membership: { configs: [], nodes: new Map(), removing: [] } },
  addresses: addressesOf(1),
  version: '0.0.0-test',
  candidacy: null,
  leaderPriority: 0,
  level: 0,
}

/** A running cluster of `voters` on machines `ids`; returns its leader. */
async function formed(t: Test, ids: readonly number[], voters: readonly number[], options = {}) {
  const c = new TestCluster(t, ids, options)
  const leader = await c.form(voters)
  return { c, leader, followers: voters.filter((id) => id !== leader) }
}

function votersOf(c: TestCluster, id: number): readonly (readonly number[])[] {
  return c.on(id).membership().membership.configs
}

function lastIndex(c: TestCluster, id: number): number {
  return c.at(id).view.last?.index ?? -1
}

t.test(
  'add learner: one entry; repeated, also through followers, it is the same answer without an entry',
  async (t) => {
    const { c, leader, followers } = await formed(t, [1, 2, 3, 4, 5], [1, 2, 3])
    await c.start(4, 5)
    const before = lastIndex(c, leader)
    const first = await c.on(leader).addLearner(specOf(4))
    t.equal(lastIndex(c, leader), before + 1)
    t.match(first, { caughtUp: true, logId: { index: before + 1 }, membership: { learners: [4] } })
    for (const id of [leader, ...followers, 4]) {
      const again = await c.on(id).addLearner(specOf(4))
      t.same(again.logId, first.logId)
      t.match(again, { caughtUp: true, membership: { learners: [4] } })
    }
    t.match(
      await c.on(leader).addLearner(specOf(leader)),
      { caughtUp: true },
      'a member is added already, the leader too',
    )
    t.match(await c.on(leader).addLearner(specOf(followers[0] ?? 0)), { caughtUp: true })
    t.equal(lastIndex(c, leader), before + 1)
    t.match(await c.on(followers[0] ?? 0).addLearner(specOf(5)), { caughtUp: true, membership: { learners: [4, 5] } })
    t.equal(lastIndex(c, leader), before + 2)
    const learners = await c.on(followers[1] ?? 0).learners()
    t.match(learners, [
      { id: 4, role: 'learner', caughtUp: true, reachable: true },
      { id: 5, role: 'learner', caughtUp: true },
    ])
    await c.at(4).crash()
    t.match(
      await c.on(leader).addLearner(specOf(4), { timeoutMs: 500 }),
      { logId: { index: before + 2 } },
      'even while it is down',
    )
  },
)

t.test('add learner: conflicts of ids and addresses are refused and write nothing', async (t) => {
  const { c, leader } = await formed(t, [1, 2, 3, 4, 5, 6], [1, 2, 3])
  await c.start(4, 5)
  await c.on(leader).addLearner(specOf(4))
  const before = lastIndex(c, leader)
  const spec = specOf(4)
  for (const member of [
    { ...spec, raft: specOf(5).raft },
    { ...spec, api: 'http://elsewhere:1' },
    { ...spec, raft: 'nobody:1' },
    { ...specOf(5), raft: spec.raft },
    { ...specOf(5), api: spec.api },
    { ...specOf(5), api: specOf(leader).api },
  ]) {
    const { facts } = await refused(c.on(leader).addLearner(member), 'address-conflict')
    t.match(facts, { id: Number, raft: String, api: String })
  }
  const unreachable = await refused(c.on(leader).addLearner(specOf(6)), 'not-ready')
  t.match(unreachable.message, /10\.0\.0\.6/)
  const wrong = await refused(c.on(leader).addLearner({ ...specOf(6), raft: specOf(5).raft }), 'member-mismatch')
  t.match(wrong.facts, { found: 5 })
  await c.start(6)
  await c.on(6).initialize(null)
  const foreign = await refused(c.on(leader).addLearner(specOf(6)), 'peer-disagrees')
  t.match(foreign.facts, { peer: 6 })
  t.match(foreign.message, c.on(6).status().clusterId ?? '')
  t.equal(lastIndex(c, leader), before)
})

t.test('add learner: wait ends with the time given, and says how far the node is', async (t) => {
  const { c, leader } = await formed(t, [1, 2, 3, 4], [1, 2, 3], { caughtUpEntriesMax: 10 })
  for (let i = 0; i < 30; i++) await c.on(leader).put(`k${i}`, 'v')
  await c.start(4)
  drop(c, ({ type, to, from }) => type === 'append-request' && to === 4 && from !== 4)
  const before = c.clock.now()
  const late = await c.on(leader).addLearner(specOf(4), { timeoutMs: 2_000 })
  t.match(late, { caughtUp: false, membership: { learners: [4] } })
  t.ok(late.lag > 10, `it lags by ${late.lag}`)
  t.ok(c.clock.now() - before >= 1_990)
  await c.on(leader).put('goes-on', 'v')
  t.match(await c.on(leader).addLearner(specOf(4), { wait: false }), { caughtUp: false })
  await refused(c.on(leader).change([1, 2, 3, 4]), 'learner-lagging')
  passAll(c)
  t.match(await c.on(leader).addLearner(specOf(4)), { caughtUp: true })
  await c.settled()
})

t.test('change of voters: what is refused is refused with its reason, and writes nothing', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3, 4, 5], [1, 2, 3])
  await c.start(4)
  await c.on(leader).addLearner(specOf(4))
  const before = lastIndex(c, leader)
  for (const id of [leader, ...followers, 4]) {
    t.match((await refused(c.on(id).change([1, 2, 3, 5]), 'unknown-voter')).facts, { id: 5 })
    await refused(c.on(id).change([]), 'empty-membership')
    await refused(c.on(id).change({ add: [5], remove: [] }), 'unknown-voter')
    await refused(c.on(id).change({ add: [], remove: [4] }), 'unknown-voter')
    await refused(c.on(id).change({ add: [], remove: [1, 2, 3] }), 'empty-membership')
    await refused(c.on(id).removeLearner(5), 'learner-not-found')
    await refused(c.on(id).removeLearner(leader), 'learner-not-found')
    await t.rejects(c.on(id).removeLearner(leader), {
      message: /is a voter: remove it with PATCH \/cluster\/membership/,
    })
    const stale = await refused(c.on(id).change([1, 2, 3, 4], { ifMembershipAt: 0 }), 'precondition-failed')
    t.match(stale.facts, { currentRevision: before })
    const same = await c.on(id).change([3, 2, 1])
    t.match(same, { committed: true, joint: false, logId: { index: before } })
    t.match(await c.on(id).change({ add: [1], remove: [] }), { logId: { index: before } })
  }
  t.equal(lastIndex(c, leader), before)
  t.same(votersOf(c, leader), [[1, 2, 3]])
})

t.test(
  'promotion and demotion: through joint consensus, on any node, with If-Match, add and remove, retained or not',
  async (t) => {
    const { c, leader, followers } = await formed(t, [1, 2, 3, 4, 5], [1, 2, 3])
    const [first = 0, second = 0] = followers
    await c.start(4, 5)
    await c.on(leader).addLearner(specOf(4))
    const { logId } = await c.on(leader).addLearner(specOf(5))
    const before = lastIndex(c, leader)
    const promoted = await c.on(first).change({ add: [4], remove: [] }, { ifMembershipAt: logId?.index ?? -1 })
    t.match(promoted, { committed: true, joint: false, membership: { configs: [[1, 2, 3, 4]], learners: [5] } })
    t.equal(lastIndex(c, leader), before + 2, 'a joint configuration and the final one')
    await refused(
      c.on(second).change({ add: [5], remove: [] }, { ifMembershipAt: logId?.index ?? -1 }),
      'precondition-failed',
    )
    const replaced = await c.on(4).change({ add: [5], remove: [first] }, { retain: true })
    t.same(replaced.membership.configs, [[1, 2, 3, 4, 5].filter((id) => id !== first)])
    t.same(replaced.membership.learners, [first], 'retained as a learner')
    await c.until('it is a learner now', () => c.on(first).status().node.state === 'learner')
    await c.on(first).put('a', '1')
    t.equal(await c.on(first).get('a'), '1', 'which still serves')
    t.match(await c.on(5).removeLearner(first), { membership: { learners: [] } })
    await c.until('it learns that it left', () => c.on(first).status().node.state === 'removed')
    await c.settled([1, 2, 3, 4, 5].filter((id) => id !== first))
  },
)

t.test('every kind of change of the set of voters commits, and writes go on meanwhile', async (t) => {
  const changes: [number[], number[]][] = [
    [[1], [1, 2]],
    [[1], [1, 2, 3]],
    [[1], [2]],
    [[1, 2], [1]],
    [[1, 2], [2]],
    [
      [1, 2],
      [1, 3],
    ],
    [[1, 2], [3]],
    [[1, 2, 3], [3]],
    [
      [1, 2, 3],
      [4, 5],
    ],
    [
      [1, 2, 3],
      [4, 5, 6],
    ],
    [
      [1, 2, 3, 4, 5],
      [1, 2, 3, 4],
    ],
    [
      [1, 2, 3, 4, 5],
      [5, 6],
    ],
  ]
  for (const [before, after] of changes) {
    const ids = [...new Set([...before, ...after])]
    const { c } = await formed(t, ids, before)
    for (const id of after.filter((one) => !before.includes(one))) {
      await c.start(id)
      await c.on(before[0] ?? 0).addLearner(specOf(id))
    }
    let writes = 0
    let stopped = false
    const writing = (async () => {
      const id = after[0] ?? 0
      for (; !stopped; writes++) await c.on(id).put('counter', String(writes))
    })()
    const changed = await c.on(before[0] ?? 0).change(after)
    t.same(changed.membership.configs, [after], `${before.join('')} to ${after.join('')}`)
    const seen = writes
    await c.until('writes go on', () => writes > seen + 5)
    stopped = true
    await writing
    const leader = await c.leader(after)
    t.ok(after.includes(leader))
    for (const id of before.filter((one) => !after.includes(one))) {
      await c.until(`node ${id} shows that it was removed`, () => c.on(id).status().node.state === 'removed')
      await refused(c.on(id).put('a', '1'), 'removed')
      await refused(c.on(id).get('a'), 'removed')
      await refused(c.on(id).stale('a'), 'removed')
      await refused(c.on(id).change([id]), 'removed')
    }
    const { term } = c.on(leader).status()
    await c.pass(5_000)
    t.equal(c.on(leader).status().term, term, 'nodes that left disturb nobody')
    await c.settled(after)
    t.equal(await c.on(leader).get('counter'), String(writes - 1))
    const { record } = await c.on(leader).read('counter')
    t.equal(record?.version, writes, 'every write took effect once')
    await Promise.all(c.up.map((machine) => machine.crash()))
  }
})

t.test('a node that joins takes requests while it reads the log from before it was added', async (t) => {
  const { c, leader } = await formed(t, [1, 2, 3, 4], [1, 2, 3], { appendEntriesMax: 1, inflightAppendsMax: 1 })
  for (let i = 0; i < 30; i++) await c.on(leader).put(`k${i}`, 'v')
  await c.start(4)
  await c.on(leader).addLearner(specOf(4), { wait: false })
  await c.until('it reads the log', () => lastIndex(c, 4) >= 3)
  const shown: string[] = []
  const writing = c.on(4).put('through-a-joiner', 'v')
  const catchingUp = c.until('it has caught up', () => {
    if (lastIndex(c, 4) < lastIndex(c, leader)) shown.push(c.on(4).status().node.state)
    return lastIndex(c, 4) === lastIndex(c, leader)
  })
  await Promise.all([writing, catchingUp])
  t.ok(shown.length > 3, 'that took a while')
  t.same(new Set(shown), new Set(['learner']), 'it is none that was removed')
  t.equal(await c.on(4).get('through-a-joiner'), 'v')
})

t.test(
  'a leader that removed itself, and was added again before it heard of the next one, is not removed',
  async (t) => {
    const { c, leader, followers } = await formed(t, [1, 2, 3], [1, 2, 3])
    await c.on(leader).change({ add: [], remove: [leader] })
    for (const id of followers) c.cut(id, leader)
    const writing = c.on(leader).put('a', '1', { timeoutMs: 5_000 })
    const next = await c.leader(followers)
    c.heal()
    await c.on(next).addLearner(specOf(leader), { wait: false })
    await writing
    t.equal(await c.on(leader).get('a'), '1')
  },
)

t.test('requests under way on a node that is removed are answered at once', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], [1, 2, 3])
  for (const id of [followers[0] ?? 0, leader]) {
    let answered = 0
    let stopped = false
    const writing = Array.from({ length: 4 }, async (_, writer) => {
      for (let i = 0; !stopped; i++) {
        const from = c.clock.now()
        const key = `w${writer}/${i}`
        const outcome = await c
          .on(id)
          .put(key, 'v', { timeoutMs: 20_000 })
          .then(
            () => 'done',
            (error: unknown) => (error instanceof RequestError ? error.code : String(error)),
          )
        t.ok(c.clock.now() - from < 2_000, `${key} on node ${id}: ${outcome} after ${c.clock.now() - from} ms`)
        answered += 1
        if (outcome === 'done') continue
        t.ok(['outcome-unknown', 'removed'].includes(outcome), outcome)
        return
      }
    })
    await c.until('writes go on', () => answered > 50)
    await c.on(leader).change({ add: [], remove: [id] })
    await c.until('it shows that it was removed', () => c.on(id).status().node.state === 'removed')
    await Promise.all(writing)
    stopped = true
    await refused(c.on(id).get('w0/0', { timeoutMs: 20_000 }), 'removed')
    const logged = c.lines.filter(({ node, event }) => node === id && event === 'state changed').at(-1)
    t.match(logged?.facts, { state: 'removed' }, 'its log calls that by the name that GET /cluster has for it')
  }
})

t.test('removing the leader: it hands over, steps down and shows it; the gap is short', async (t) => {
  for (const retain of [false, true]) {
    const { c, leader, followers } = await formed(t, [1, 2, 3], [1, 2, 3])
    let gapMs = 0
    let stopped = false
    const writing = (async () => {
      let last = c.clock.now()
      for (let i = 0; !stopped; i++) {
        await c.pass(2)
        await c.on(followers[0] ?? 0).put('a', String(i))
        gapMs = Math.max(gapMs, c.clock.now() - last)
        last = c.clock.now()
      }
    })()
    const answer = await c.on(leader).change({ add: [], remove: [leader] }, { retain })
    t.match(answer, { joint: false, committed: true, membership: { configs: [followers] } })
    t.not(await c.leader(followers), leader)
    await c.pass(1_000)
    stopped = true
    await writing
    t.ok(gapMs < 200, `no write took longer than ${Math.round(gapMs)} ms`)
    if (retain) {
      await c.until('it is a learner', () => c.on(leader).status().node.state === 'learner')
      const logged = c.lines.filter(({ node, event }) => node === leader && event === 'state changed').at(-1)
      t.match(logged?.facts, { state: 'learner' })
      t.equal(await c.on(leader).get('a'), await c.on(followers[0] ?? 0).get('a'))
    } else {
      await c.until('it shows that it was removed', () => c.on(leader).status().node.state === 'removed')
      await refused(c.on(leader).put('b', '1'), 'removed')
      await c.restart(leader)
      await c.until('a restart does not change that', () => c.on(leader).status().node.state === 'removed')
    }
  }
})

t.test('a removed follower that was away learns it when it comes back', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], [1, 2, 3])
  const [gone = 0, stays = 0] = followers
  await c.at(gone).crash()
  await c.on(leader).change({ add: [], remove: [gone] })
  t.same(votersOf(c, leader), [[leader, stays].sort((a, b) => a - b)])
  await c.pass(10_000)
  await c.start(gone)
  await c.until('it learns that it was removed', () => c.on(gone).status().node.state === 'removed')
  await refused(c.on(gone).put('a', '1'), 'removed')
  t.ok(
    c
      .on(gone)
      .status()
      .warnings.some(({ code }) => code === 'removed'),
  )
  await c.pass(5_000)
  t.equal(await c.leader([leader, stays]), leader, 'and disturbs nobody')
  t.equal(c.on(leader).status().term, 1)
  // Its id may be used again by an empty machine.
  await c.at(gone).crash()
  c.at(gone).wipe()
  await c.start(gone)
  await c.on(leader).addLearner(specOf(gone))
  await c.on(leader).change({ add: [gone], remove: [] })
  await c.settled()
  t.equal(c.on(gone).status().node.state, 'follower')
})

t.test('one change at a time: another waits for it, and is refused when its own time is over', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3, 4, 5], [1, 2, 3])
  await c.start(4, 5)
  await c.on(leader).addLearner(specOf(4))
  await c.on(leader).addLearner(specOf(5))
  c.partition([leader])
  const stuck = c.on(leader).change([1, 2, 3, 4], {}, 100)
  const early = await refused(c.on(leader).change([1, 2, 3, 5], {}, 50), 'membership-change-in-progress')
  t.match(early.facts, { joint: true })
  await refused(stuck, 'outcome-unknown')
  c.heal()
  const now = await c.leader([1, 2, 3])
  const both = await Promise.all([
    c.on(followers[0] ?? 0).change({ add: [4], remove: [] }),
    c.on(followers[1] ?? 0).change({ add: [5], remove: [] }),
  ])
  for (const answer of both) t.match(answer, { joint: false, committed: true })
  t.same(votersOf(c, now), [[1, 2, 3, 4, 5]], 'neither is lost')
  const { logId } = c.on(now).membership()
  const racing = await Promise.allSettled(
    [4, 5].map((id) => c.on(now).change({ add: [], remove: [id] }, { ifMembershipAt: logId?.index ?? -1 })),
  )
  t.equal(racing.filter(({ status }) => status === 'fulfilled').length, 1, 'with a precondition one of two wins')
  await c.settled(votersOf(c, now)[0] ?? [])
})

t.test('a change that would leave no live quorum is refused unless forced', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], [1, 2, 3])
  const [dead = 0, live = 0] = followers
  await c.at(dead).crash()
  await c.pass(2_000)
  const { facts, message } = await refused(c.on(live).change({ add: [], remove: [live] }), 'quorum-at-risk')
  t.same(facts, { unreachable: [dead] })
  t.match(message, `node ${dead} does not answer, so`)
  t.same(votersOf(c, leader), [[1, 2, 3]])
  await refused(c.on(leader).change({ add: [], remove: [live] }, { force: true }, 1_000), 'outcome-unknown')
  t.ok(c.on(leader).membership().joint, 'forced, it waits for the missing one')
  await c.start(dead)
  await c.until('it is finished by itself', () => !c.on(leader).membership().joint)
  t.same(votersOf(c, leader), [[leader, dead].sort((a, b) => a - b)])
  await c.settled([leader, dead])
})

t.test('a leader lost in the middle of a joint change: the next one finishes it', async (t) => {
  for (const killAtFinal of [true, false]) {
    const { c, leader } = await formed(t, [1, 2, 3, 4], [1, 2, 3])
    await c.start(4)
    await c.on(leader).addLearner(specOf(4))
    const before = lastIndex(c, leader)
    // Everybody gets the joint entry, nobody the final one; or not even the joint one is known to be committed.
    drop(
      c,
      (message) =>
        message.type === 'append-request' && killAtFinal && message.batches.some(({ last }) => last > before + 1),
    )
    const call = c.on(leader).change([1, 2, 3, 4])
    const ended = t.rejects(call, { name: 'ProcessEndedError' })
    await c.until('the joint entry is everywhere', () => c.up.every(({ view }) => (view.last?.index ?? -1) > before))
    if (killAtFinal) await c.until('it is committed', () => lastIndex(c, leader) === before + 2)
    await c.at(leader).crash()
    await ended
    passAll(c)
    const rest = [1, 2, 3, 4].filter((id) => id !== leader)
    const next = await c.leader(rest)
    await c.until('it is finished', () => !c.on(next).membership().joint && c.on(next).membership().committed)
    t.same(votersOf(c, next), [[1, 2, 3, 4]])
    await c.on(rest[0] ?? 0).put('a', '1')
    await c.start(leader)
    await c.settled()
    t.same(votersOf(c, leader), [[1, 2, 3, 4]])
  }
})

t.test(
  'a leader that removed itself and crashed before anyone else knew does not take the cluster with it',
  async (t) => {
    const { c, leader, followers } = await formed(t, [1, 2], [1, 2])
    const [other = 0] = followers
    const before = lastIndex(c, leader)
    drop(c, (message) => message.type === 'append-request' && message.batches.some(({ last }) => last > before + 1))
    const call = c.on(leader).change([other])
    const ended = t.rejects(call, { name: 'ProcessEndedError' })
    await c.until('the final entry is on its own disk', () =>
      c.at(leader).log.synced.some((write) => write.type === 'append' && write.batch.last === before + 2),
    )
    await c.at(leader).crash()
    await ended
    passAll(c)
    await c.pass(3_000)
    await c.start(leader)
    await c.until('the other one leads', () => c.at(other).view.state === 'leader' && c.at(other).view.established)
    await c.until('alone', () => c.on(other).membership().membership.configs.join() === String(other))
    await c.on(other).put('a', '1')
    await c.until('the removed one knows', () => c.on(leader).status().node.state === 'removed')
  },
)

t.test('a change that its leader lost is not reported as done', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3, 4, 5], [1, 2, 3])
  await c.start(4, 5)
  await c.on(leader).addLearner(specOf(4))
  await c.on(leader).addLearner(specOf(5))
  await c.settled()
  const index = c.on(leader).membership().logId?.index ?? -1
  // The old leader writes down a change that nobody else will ever see; meanwhile the others agree on another.
  c.partition([leader])
  const lost = c.on(leader).change([1, 2, 3, 4], { ifMembershipAt: index }, 30_000)
  const outcome = lost.then(
    (answer) => answer.membership.configs,
    (error: { code?: unknown }) => error.code,
  )
  await c.until('it is in its log', () => c.on(leader).membership().joint)
  await c.leader(followers)
  await c.on(followers[0] ?? 0).change([1, 2, 3, 5])
  c.heal()
  t.equal(await outcome, 'precondition-failed')
  t.same(votersOf(c, followers[0] ?? 0), [[1, 2, 3, 5]])
  await c.settled([1, 2, 3, 5])
})

t.test('a change asked for without a precondition survives the loss of its leader', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3, 4, 5], [1, 2, 3])
  await c.start(4)
  await c.on(leader).addLearner(specOf(4))
  await c.settled()
  c.partition([leader])
  const onOldLeader = c.on(leader).change([1, 2, 3, 4], {}, 30_000)
  await c.until('it is in its log', () => c.on(leader).membership().joint)
  await c.leader(followers)
  c.heal()
  t.match(await onOldLeader, { joint: false, committed: true, membership: { configs: [[1, 2, 3, 4]] } })
  // And when the leader dies that a follower has asked.
  const now = await c.leader([1, 2, 3, 4])
  const asking = [1, 2, 3].find((id) => id !== now) ?? 0
  drop(c, (message) => message.type === 'append-request' && message.from === now && message.batches.length > 0)
  const call = c.on(asking).change({ add: [], remove: [4] }, {}, 30_000)
  await c.until('it has reached the leader', () => c.on(now).membership().joint)
  await c.at(now).crash()
  passAll(c)
  t.match(await call, { joint: false, committed: true, membership: { configs: [[1, 2, 3]] } })
})

t.test('a voter is removed though the answer is lost, as it may be when the leader removes itself', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], [1, 2, 3])
  const [asking = 0] = followers
  drop(c, ({ type, from }) => type === 'control-response' && from === c.at(leader).id)
  const answer = await c.on(asking).change({ add: [], remove: [leader] }, {}, 30_000)
  t.match(answer, { joint: false, committed: true, membership: { configs: [followers] } })
  passAll(c)
  const again = await refused(c.on(asking).change({ add: [], remove: [leader] }), 'unknown-voter')
  t.same(again.facts, { id: leader }, 'who asks once more is told')
})

t.test('requests to the leader survive lost frames and broken connections', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3, 4], [1, 2, 3])
  const [asking = 0] = followers
  await c.start(4)
  for (const type of ['control-request', 'control-response'] as const) {
    let lost = 0
    drop(c, (message) => message.type === type && lost++ === 0)
    const before = c.clock.now()
    const call = c.on(asking).addLearner(specOf(4), { timeoutMs: 20_000 })
    await c.until('one is lost', () => lost > 0)
    c.hub.disconnect(c.at(asking).id, c.at(leader).id)
    t.match(await call, { caughtUp: true })
    t.ok(c.clock.now() - before < 5_000, 'without waiting for the end of its time')
    passAll(c)
  }
})

t.test(
  'who leaves while it is added again, and does not answer, is not added: nobody knows who would come',
  async (t) => {
    const { c, leader } = await formed(t, [1, 2, 3, 4], [1, 2, 3])
    await c.start(4)
    await c.on(leader).addLearner(specOf(4))
    for (const [from, to] of [
      [leader, 4],
      [4, leader],
    ] as const)
      c.cut(from, to)
    t.match(
      await c.on(leader).addLearner(specOf(4), { wait: false }),
      { membership: { learners: [4] } },
      'a member stays',
    )
    const adding = refused(c.on(leader).addLearner(specOf(4), { wait: false }), 'not-ready')
    await c.pass(10)
    await c.on(leader).removeLearner(4)
    t.match(await adding, { message: /no node answers at .*; start node 4 there first, or/ })
    t.notOk(c.at(leader).view.effective.membership.nodes.has(c.at(4).id))
    await c.settled([1, 2, 3])
  },
)

t.test('a wiped voter is refused and shown until it has been removed and added again', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], [1, 2, 3])
  const [wiped = 0, other = 0] = followers
  await c.on(leader).put('a', '1')
  await c.settled()
  await c.at(wiped).crash()
  c.at(wiped).wipe()
  await c.start(wiped)
  await c.until('the leader shows it', () =>
    c
      .on(leader)
      .status()
      .warnings.some(({ code, detail }) => code === 'wiped-voter' && detail.includes(`node ${wiped}`)),
  )
  await c.until('it shows it itself', () =>
    c
      .on(wiped)
      .status()
      .warnings.some(({ code }) => code === 'wiped-voter'),
  )
  t.equal(c.on(wiped).status().lastLogId, null)
  const told = (): string[] =>
    c.lines
      .filter(({ event }) => /refused|warning/.test(event))
      .map(({ node, event, facts }) => {
        const { peer, code, detail } = facts as {
          readonly peer?: number
          readonly code: string
          readonly detail: string
        }
        return `${node}: ${event} ${peer ?? detail} ${code}`
      })
  const before = told()
  await c.pass(10_000)
  t.same(told(), before, 'it is told once, though it is refused again and again')
  t.same(before, [...new Set(before)], 'and nothing twice')
  const alone = await refused(c.on(wiped).initialize(null), 'peer-disagrees')
  t.match(
    alone.message,
    /already a member of a cluster.*has lost its data/,
    'nor is it made a cluster of its own by mistake',
  )
  // It counts for nothing: with the other one away there is no quorum, neither of acknowledgements nor of votes.
  await c.at(other).crash()
  await refused(c.on(leader).put('b', '1', { timeoutMs: 3_000 }), 'outcome-unknown', 'no-leader')
  await c.restart(leader)
  await c.pass(10_000)
  t.equal(c.leaderOrNull(), null)
  t.equal(c.on(wiped).status().term, 0)
  await c.start(other)
  const now = await c.leader([leader, other])
  await refused(c.on(now).addLearner(specOf(wiped)), 'member-mismatch')
  await c.on(now).change({ add: [], remove: [wiped] })
  await c.on(now).addLearner(specOf(wiped))
  await c.on(now).change({ add: [wiped], remove: [] })
  await c.settled()
  t.equal(c.on(wiped).status().node.state, 'follower')
  for (const id of [1, 2, 3]) {
    await c.until(
      `node ${id} has no warning left`,
      () =>
        !c
          .on(id)
          .status()
          .warnings.some(({ code }) => code === 'wiped-voter'),
    )
  }
  const [quorum = 0] = [1, 2, 3].filter((id) => id !== wiped && id !== now)
  await c.at(quorum).crash()
  t.match(await c.on(wiped).put('c', '1'), { type: 'put' }, 'and it counts again')
})

t.test('who a voter was before it was replaced is refused, whatever peers heard of it in earlier days', async (t) => {
  for (const restarts of [false, true]) {
    const { c } = await formed(t, [1, 2, 3, 4], [1, 2, 3])
    await c.start(4)
    // Writes down who everybody is; whoever restarts is told by its peers.
    await c.on(await c.leader([1, 2, 3])).addLearner(specOf(4))
    await c.settled()
    for (const id of restarts ? [1, 2, 3] : []) {
      await c.restart(id)
      await c.leader()
      await c.settled()
    }
    await c.at(3).crash()
    c.at(3).wipe()
    await c.on(await c.leader([1, 2, 4])).change({ add: [], remove: [3] })
    await c.pass(5_000)
    await c.start(3)
    await c.on(await c.leader([1, 2, 4])).addLearner(specOf(3))
    await c.on(await c.leader([1, 2, 4])).change({ add: [3], remove: [] })
    await c.settled()
    await c.at(3).crash()
    c.at(3).restoreEmptied()
    await c.start(3)
    await c.until('it is refused', () =>
      [1, 2, 4].every((id) =>
        c
          .on(id)
          .status()
          .warnings.some(({ code }) => code === 'wiped-voter'),
      ),
    )
    for (const id of [1, 2, 4]) t.not(c.on(id).status().nodes['3']?.reachable, true, `node ${id} does not reach it`)
    t.equal(c.on(3).status().lastLogId, null)
    await Promise.all(c.up.map((machine) => machine.crash()))
  }
})

t.test(
  'a member that slept while another was replaced accepts the new one, whether it learns of it from the log, a snapshot or others',
  async (t) => {
    for (const [purge, leads] of [
      [false, false],
      [true, false],
      // Nobody but the new one sends entries by then: the others have to vouch for it.
      [false, true],
      [true, true],
    ] as const) {
      const options = purge ? { purgeEveryEntries: 10, keepEntries: 2 } : {}
      const { c } = await formed(t, [1, 2, 3, 4, 5], [1, 2, 3, 4, 5], options)
      const first = await c.leader()
      const [sleeper = 0, replaced = 0] = [1, 2, 3, 4, 5].filter((id) => id !== first)
      await c.settled()
      await c.at(sleeper).crash()
      await c.on(first).change({ add: [], remove: [replaced] })
      await c.until('it knows', () => c.on(replaced).status().node.state === 'removed')
      await c.at(replaced).crash()
      c.at(replaced).wipe()
      await c.start(replaced)
      await c.on(first).addLearner(specOf(replaced))
      await c.on(first).change({ add: [replaced], remove: [] })
      for (let i = 0; i < 40; i++) await c.on(first).put(`k${i}`, String(i))
      if (leads) t.same(await c.on(first).transfer(replaced), { leader: replaced })
      await c.start(sleeper)
      await c.settled()
      await c.until('the sleeper and the new one talk', () => {
        const { nodes, warnings } = c.on(sleeper).status()
        return nodes[String(replaced)]?.reachable === true && warnings.length === 0
      })
      // They must do without the others: with the leader and one more gone, both are needed for a quorum.
      const more = [1, 2, 3, 4, 5].find((id) => ![first, sleeper, replaced].includes(id)) ?? 0
      await c.at(first).crash()
      await c.at(more).crash()
      t.match(await c.on(sleeper).put('b', '1', { timeoutMs: 20_000 }), { type: 'put' })
      await Promise.all(c.up.map((machine) => machine.crash()))
    }
  },
)

t.test(
  'a learner never campaigns, restarts as a learner, and a voter of a removed configuration does not come back',
  async (t) => {
    const { c, leader } = await formed(t, [1, 2], [1])
    await c.start(2)
    await c.on(1).put('a', '1')
    await c.on(1).addLearner(specOf(2))
    await c.settled()
    await c.restart(2)
    t.equal(c.on(2).status().node.state, 'learner')
    await c.settled()
    await c.at(leader).crash()
    await c.pass(20_000)
    t.equal(c.on(2).status().node.state, 'learner')
    t.equal(c.on(2).services.health.metrics().elections, 0)
    t.throws(() => c.on(2).campaign(), { code: 'no-transfer-target' })
    t.equal(await c.on(2).stale('a'), '1')
    await refused(c.on(2).get('a', { timeoutMs: 500 }), 'no-leader', 'read-timeout')
  },
)

t.test(
  'transfer: to whom it is told, to the best when not told, refused with a reason, over at the latest after an election timeout',
  async (t) => {
    const { c, leader, followers } = await formed(t, [1, 2, 3, 4], [1, 2, 3])
    const [first = 0, second = 0] = followers
    await c.start(4)
    await c.on(leader).addLearner(specOf(4))
    t.same(await c.on(leader).transfer(first), { leader: first })
    await c.leader()
    t.same(await c.on(second).transfer(leader), { leader }, 'through a follower')
    await c.leader()
    t.same(await c.on(leader).transfer(leader), { leader }, 'to itself: it leads')
    const { leader: best } = await c.on(first).transfer(null)
    t.equal(await c.leader(), best)
    t.not(best, leader)
    await refused(c.on(first).transfer(4), 'no-transfer-target')
    await refused(c.on(first).transfer(9), 'node-not-found')
    const target = [1, 2, 3].find((id) => id !== best) ?? 0
    await c.at(target).crash()
    await refused(c.on(best).transfer(target), 'no-transfer-target')
    t.equal(await c.leader(), best)
    await c.start(target)
    await c.settled()
    // The target falls silent after it was chosen: writes wait for the end of the attempt, not longer.
    c.partition([target])
    const attempt = c.on(best).transfer(target)
    const before = c.clock.now()
    const write = c.on(best).put('a', '1')
    await refused(attempt, 'no-transfer-target')
    t.match(await write, { type: 'put' })
    t.ok(c.clock.now() - before < 1_000)
    c.heal()
    await c.settled()
  },
)

t.test('a node that was told of a removal which was then undone goes on as the member it is', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3, 4], [1, 2, 3])
  await c.start(4)
  await c.on(leader).addLearner(specOf(4))
  await c.settled()
  // The leader writes the removal down, and only the removed one can still hear it.
  c.partition([leader, 4])
  drop(c, (message) => message.type === 'append-request' && message.to === 4)
  const call = c.on(leader).removeLearner(4, 100)
  c.hub.disconnect(c.at(4).id, c.at(leader).id)
  await refused(call, 'outcome-unknown')
  await c.until('it is told', () => c.on(4).status().node.state === 'removed')
  await c.leader(followers)
  passAll(c)
  c.heal()
  await c.leader([1, 2, 3, 4])
  await c.on(followers[0] ?? 0).put('a', '1')
  await c.settled()
  t.equal(c.on(4).status().node.state, 'learner')
  t.equal(await c.on(4).get('a'), '1')
  t.same(c.on(4).membership().membership.learners, [4])
})

t.test(
  'a voter that lost its data does not count at a member that has never met it, however little that has',
  async (t) => {
    // What the third node holds when the leader dies: nothing, the first entry, ...
    for (const held of [-1, 0, 1, 2, 3, 6]) {
      const c = new TestCluster(t, [1, 2, 3], { appendEntriesMax: 1, inflightAppendsMax: 1 })
      await c.start(1, 2)
      await c.on(1).initialize([1, 2, 3].map(specOf))
      const first = await c.leader([1, 2])
      const wiped = 3 - first
      await c.identified([1, 2], first)
      for (let i = 0; i < 10; i++) await c.on(first).put(`k${i}`, String(i))
      await c.at(wiped).crash()
      c.at(wiped).wipe()
      const isFull = (): boolean => c.at(3).isUp && lastIndex(c, 3) >= held
      drop(c, (message) => message.type === 'append-request' && message.to === 3 && isFull())
      await c.start(3)
      await (held < 0 ? c.pass(1_000) : c.until('the third node holds this much', () => lastIndex(c, 3) === held))
      await c.at(first).crash()
      passAll(c)
      await c.start(wiped)
      await c.pass(10_000)
      t.equal(c.leaderOrNull()?.id, undefined, `nobody leads when the third node holds entries up to ${held}`)
      await c.start(first)
      await c.leader([first, 3])
      t.equal(await c.on(3).get('k9'), '9', 'and what was acknowledged is there')
      for (const { id } of c.up) await c.at(id).crash()
    }
  },
)

t.test('a node without entries takes none before it has written down whom their sender knows', (t) => {
  const written: (() => void)[] = []
  const learned: (readonly [number, string])[] = []
  const nothing: StoredMembership = { logId: null, membership: { configs: [], nodes: new Map(), removing: [] } }
  const raft = { effectiveMembership: nothing }
  const briefing = new Briefing({
    raft,
    incarnations: {
      of: (id) => (id === 1 ? 'of-1' : null),
      learn: (told, onWritten) => {
        learned.push(...told)
        if (told.size === 0) onWritten()
        else written.push(onWritten)
      },
    },
  })
  const [one, two] = [nodeId(1), nodeId(2)]
  const logId = { leaderId: { term: term(1), nodeId: one }, index: logIndex(2) }
  const nodes = new Map([one, two].map((id) => [id, { ...addressesOf(id), incarnation: `of-${id}` }]))
  const named = { logId, membership: { configs: [[one, two]], nodes, removing: [] } }
  const report = (id: NodeId, effective: StoredMembership): NodeReport => ({ ...REPORT, id, effective })

  t.notOk(briefing.isOver(one), 'it has not said yet whom it knows')
  briefing.onReport(report(one, named))
  t.same(learned, [], 'what it says is believed when it sends entries')
  t.notOk(briefing.isOver(one))
  t.notOk(briefing.isOver(one))
  t.same(
    learned,
    [...nodes].map(([id, { incarnation }]) => [id, incarnation]),
    'written once',
  )
  for (const done of written) done()
  t.ok(briefing.isOver(one))
  t.notOk(briefing.isOver(two), 'nor has another one')
  briefing.onReport(report(two, nothing))
  t.ok(briefing.isOver(two), 'who knows nobody has told everything')

  learned.length = 0
  const without = new Map([one, two].map((id) => [id, addressesOf(id)]))
  raft.effectiveMembership = {
    logId: { ...logId, index: logIndex(0) },
    membership: { ...named.membership, nodes: without },
  }
  t.ok(briefing.isOver(nodeId(3)), 'a node with entries takes more')
  briefing.onReport(report(one, named))
  t.same(learned, [[2, 'of-2']], 'and learns of members that it knows nothing of')
  t.end()
})

t.test('a change that was lost is not answered as done when a snapshot covers what took its place', async (t) => {
  const options = { purgeEveryEntries: 10, keepEntries: 2 }
  const { c, leader, followers } = await formed(t, [1, 2, 3, 4], [1, 2, 3], options)
  await c.settled([1, 2, 3])
  const [removed = 0] = followers
  c.partition([leader])
  const change = refused(c.on(leader).change({ add: [], remove: [removed] }, {}, 60_000), 'outcome-unknown')
  const { index } = c.at(leader).view.effective.logId ?? { index: Infinity }
  const next = await c.leader(followers)
  await c.start(4)
  c.heal()
  c.partition([leader])
  await c.on(next).addLearner(specOf(4))
  for (let i = 0; i < 60; i++) await c.on(next).put(`k${i}`, String(i))
  await c.until('what took its place is purged', () => (c.at(next).view.purged?.index ?? -1) > index)
  c.heal()
  const error = await change
  t.match(error.message, /GET \/cluster\/membership/)
  t.same([...c.at(leader).view.effective.membership.configs], [[1, 2, 3]], 'nobody was removed')
})
