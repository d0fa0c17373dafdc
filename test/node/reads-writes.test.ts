import type { JsonReader } from '../../src/lib/json.ts'
import { leaderRequests } from '../../src/node/requests/leader-requests.ts'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import { encodeCommand, type CommandResult } from '../../src/kv/index.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { commandEntryBytes, commandEntryInto } from '../../src/node/codec/entry.ts'
import { Forwarded } from '../../src/node/requests/forwarded.ts'
import type { LeaderHint } from '../../src/node/requests/leader-directory.ts'
import { Milestones } from '../../src/node/requests/milestones.ts'
import { Proposals } from '../../src/node/requests/proposals.ts'
import { WaitingRoom } from '../../src/node/requests/waiting-room.ts'
import type { ForwardRefusal, ForwardRequest, PeerMessage } from '../../src/ports/transport.ts'
import { type LeaderId, logIndex, nodeId, term } from '../../src/raft/index.ts'
import { key } from './support/client.ts'
import { refused, TestCluster } from './support/cluster.ts'
import { Ledger } from './support/ledger.ts'
import { VirtualClock } from './support/virtual-clock.ts'

async function formed(t: Test, ids: readonly number[] = [1, 2, 3], options = {}) {
  const c = new TestCluster(t, ids, options)
  const leader = await c.form()
  return { c, leader, followers: ids.filter((id) => id !== leader) }
}

function revisionOf(result: CommandResult): number {
  if (result.type !== 'put') throw new Error(`a put was answered with ${result.type}`)
  return result.revision
}

function drop(c: TestCluster, drops: (message: PeerMessage) => boolean): void {
  c.interference.intercept = (message) => (drops(message) ? [] : [message])
}

function passAll(c: TestCluster): void {
  c.interference.intercept = (message) => [message]
}

t.test(
  'a write is taken by every node and answered once it is applied there: the node reads its own writes',
  async (t) => {
    const { c } = await formed(t)
    let revision = 0
    for (let round = 0; round < 5; round++) {
      for (const id of [1, 2, 3]) {
        const value = `${round}-${id}`
        const result = await c.on(id).put('a', value)
        t.match(result, { type: 'put', version: round * 3 + id, createRevision: Number, previous: null })
        t.ok(revisionOf(result) > revision, 'revisions grow')
        revision = revisionOf(result)
        t.equal(await c.on(id).stale('a'), value, 'without asking anybody')
        for (const other of [1, 2, 3]) t.equal(await c.on(other).get('a'), value)
      }
    }
    const { record, context } = await c.on(2).read('a')
    t.match(record, { modRevision: revision, version: 15 })
    t.match(context, { revision, servedBy: 2, consistency: 'linearizable' })
    t.equal(await c.on(1).get('absent'), null)
    await c.settled()
  },
)

t.test('conditions are judged where the write takes effect', async (t) => {
  const { c, followers } = await formed(t)
  const [one = 0, two = 0] = followers
  const created = await c.on(one).put('a', '1', { condition: { type: 'absent' } })
  t.match(created, { type: 'put', version: 1 })
  t.match(await c.on(two).put('a', '2', { condition: { type: 'absent' } }), {
    type: 'condition-failed',
    currentRevision: revisionOf(created),
  })
  t.match(await c.on(two).put('b', '2', { condition: { type: 'present' } }), {
    type: 'condition-failed',
    currentRevision: null,
  })
  const replaced = await c
    .on(two)
    .put('a', '2', { condition: { type: 'mod-revision', revision: revisionOf(created) }, previous: true })
  t.match(replaced, { type: 'put', version: 2, previous: { version: 1 } })
  t.match(await c.on(one).delete('a', { condition: { type: 'mod-revision', revision: revisionOf(created) } }), {
    type: 'condition-failed',
  })
  t.match(await c.on(one).delete('a', { previous: true }), { type: 'deleted', deleted: 1, previous: { version: 2 } })
  t.match(await c.on(two).delete('a'), { type: 'deleted', deleted: 0 })
  // Increments by compare and set from all sides: none is lost.
  await c.on(1).put('counter', '0')
  let failures = 0
  const increment = async (id: number): Promise<void> => {
    for (let done = 0; done < 10;) {
      const { record, value } = await c.on(id).read('counter')
      const condition = { type: 'mod-revision', revision: record?.modRevision ?? 0 } as const
      const result = await c.on(id).put('counter', String(Number(value) + 1), { condition })
      if (result.type === 'put') done += 1
      else failures += 1
    }
  }
  await Promise.all([1, 2, 3, 1, 2, 3].map(increment))
  t.equal(await c.on(2).get('counter'), '60')
  t.ok(failures > 0, `${failures} attempts came too late`)
  await c.settled()
})

t.test(
  'a write with an idempotency key takes effect once: a retry gets the first answer, on every node, for ever',
  async (t) => {
    const { c, leader, followers } = await formed(t, [1, 2, 3], { idempotentWritesMax: 5 })
    const tag = { key: 'request-1', fingerprint: 17 }
    const first = await c.on(leader).put('a', '1', { idempotency: tag })
    await c.on(leader).put('a', '2')
    for (const id of [1, 2, 3]) t.same(await c.on(id).put('a', '1', { idempotency: tag }), first)
    t.same(await c.on(1).put('a', '1', { idempotency: { key: 'request-1', fingerprint: 18 } }), { type: 'key-reused' })
    t.same(await c.on(2).delete('a', { idempotency: { key: 'request-1', fingerprint: 18 } }), { type: 'key-reused' })
    await c.at(leader).crash()
    await c.leader(followers)
    for (const id of followers) t.same(await c.on(id).put('a', '1', { idempotency: tag }), first, 'after a failover')
    await c.start(leader)
    for (const id of [1, 2, 3]) await c.at(id).crash()
    await c.start(1, 2, 3)
    await c.leader()
    for (const id of [1, 2, 3])
      t.same(await c.on(id).put('a', '1', { idempotency: tag }), first, 'after a restart of all')
    t.equal(await c.on(2).get('a'), '2')
    // At once from all sides.
    const sides = await Promise.all(
      [1, 2, 3, 1, 2, 3].map((id) => c.on(id).put('b', 'x', { idempotency: { key: 'both', fingerprint: 1 } })),
    )
    for (const answer of sides) t.same(answer, sides[0])
    t.equal((await c.on(1).read('b')).record?.version, 1)
    for (let i = 0; i < 5; i++) await c.on(1).put('c', 'x', { idempotency: { key: `other-${i}`, fingerprint: 1 } })
    t.match(
      await c.on(1).put('a', '3', { idempotency: tag }),
      { type: 'put', version: 3 },
      'only so many are remembered',
    )
    await c.settled()
  },
)

t.test(
  'a linearizable read is never stale, whichever side of a partition it is asked on; nor is a lease read',
  async (t) => {
    let answered = 0
    let refusedReads = 0
    for (const consistency of ['linearizable', 'lease'] as const) {
      for (let round = 0; round < 4; round++) {
        const { c, leader, followers } = await formed(t)
        let acknowledged = 0
        await c.on(leader).put('a', '0')
        c.partition([leader])
        let stopped = false
        const readers = [leader, leader, ...followers].map(async (id) => {
          while (!stopped) {
            const floor = acknowledged
            const read = c.on(id).get('a', { consistency, timeoutMs: 50 })
            const value = await read.catch((error: { code?: unknown }) => {
              if (error.code !== 'no-leader' && error.code !== 'read-timeout') throw error
              refusedReads += 1
              return null
            })
            if (value === null) await c.pass(1)
            else {
              answered += 1
              if (Number(value) < floor)
                throw new Error(`${consistency}: ${value} was read on ${id} after ${floor} was acknowledged`)
            }
            await c.pass(0.5)
          }
        })
        await c.pass(round * 100)
        for (let i = 1; i <= 20; i++) {
          await c.on(followers[i % 2] ?? 0).put('a', String(i), { timeoutMs: 5_000 })
          acknowledged = i
          await c.pass(5)
        }
        c.heal()
        await c.settled()
        stopped = true
        await Promise.all(readers)
        t.equal(await c.on(leader).get('a'), '20')
        await Promise.all(c.up.map((machine) => machine.crash()))
      }
    }
    t.ok(answered > 100 && refusedReads > 20, `${answered} reads were answered, ${refusedReads} refused`)
  },
)

t.test(
  'lease reads: answered without a message by a leader that a quorum has just acknowledged, else linearizable',
  async (t) => {
    const { c, leader, followers } = await formed(t)
    await c.on(leader).put('a', '1')
    await c.pass(100)
    let sent = 0
    c.interference.intercept = (message) => {
      sent += 1
      return [message]
    }
    t.match((await c.on(leader).read('a', { consistency: 'lease' })).context, { consistency: 'lease' })
    t.equal(sent, 0)
    t.match((await c.on(followers[0] ?? 0).read('a', { consistency: 'lease' })).context, {
      consistency: 'linearizable',
    })
    // Cut off, the lease runs out before anybody else may lead.
    c.partition([leader])
    await c.pass(310)
    await refused(c.on(leader).get('a', { consistency: 'lease', timeoutMs: 100 }), 'no-leader', 'read-timeout')
    c.heal()
    const now = await c.leader()
    await c.pass(100)
    const [next = 0] = [1, 2, 3].filter((id) => id !== now)
    await c.on(now).transfer(next)
    t.equal(await c.on(next).get('a', { consistency: 'lease' }), '1')
  },
)

t.test('stale reads: local at once, within the bounds that are asked for', async (t) => {
  const { c, leader, followers } = await formed(t)
  const [away = 0, near = 0] = followers
  const first = revisionOf(await c.on(leader).put('a', '1'))
  await c.settled()
  c.partition([away])
  const second = revisionOf(await c.on(leader).put('a', '2'))
  t.equal(await c.on(away).stale('a'), '1')
  t.match((await c.on(away).read('a', { consistency: 'stale' })).context, { consistency: 'stale', revision: first })
  t.equal(await c.on(away).get('a', { consistency: 'stale', minRevision: first }), '1')
  const late = await refused(
    c.on(away).get('a', { consistency: 'stale', minRevision: second, timeoutMs: 100 }),
    'future-revision',
  )
  t.match(late.facts, { currentRevision: first })
  await c.pass(1_000)
  t.equal(await c.on(near).get('a', { consistency: 'stale', maxStalenessMs: 200 }), '2')
  t.equal(await c.on(leader).get('a', { consistency: 'stale', maxStalenessMs: 200 }), '2')
  await refused(c.on(away).get('a', { consistency: 'stale', maxStalenessMs: 500 }), 'not-ready')
  t.equal(await c.on(away).get('a', { consistency: 'stale', maxStalenessMs: 60_000 }), '1')
  const waiting = c.on(away).get('a', { consistency: 'stale', minRevision: second, timeoutMs: 10_000 })
  c.heal()
  t.equal(await waiting, '2', 'it comes as soon as the revision does')
  await c.settled()
  await c.pass(100)
  t.equal(await c.on(away).get('a', { consistency: 'stale', maxStalenessMs: 200 }), '2')
  await c.restart(away)
  await refused(c.on(away).get('a', { consistency: 'stale', maxStalenessMs: 60_000 }), 'not-ready')
  await refused(c.on(leader).get('a', { minRevision: second + 1_000, timeoutMs: 100 }), 'future-revision')
  await refused(c.on(leader).scan({ minRevision: second + 1_000, timeoutMs: 100 }), 'future-revision')
})

t.test('words of a leader that were long on their way are as old as they are', async (t) => {
  const { c, leader, followers } = await formed(t)
  const [away = 0] = followers
  await c.on(leader).put('a', '1')
  await c.settled()
  await c.pass(200)
  const bounded = (maxStalenessMs: number) => c.on(away).get('a', { consistency: 'stale', maxStalenessMs })
  t.equal(await bounded(200), '1')
  const held: PeerMessage[] = []
  c.interference.intercept = (message) => {
    if (message.to !== away || message.type !== 'append-request') return [message]
    held.push(message)
    return []
  }
  await c.pass(400)
  await c.on(leader).put('a', '2')
  const early = held.filter((message) => message.type === 'append-request' && message.batches.length === 0)
  t.ok(early.length > 3)
  await c.pass(2_000)
  const before = c.clock.now()
  for (const message of early) c.at(leader).send(message)
  await c.pass(1)
  t.ok(c.clock.now() - before < 5)
  await refused(bounded(200), 'not-ready')
  t.equal(await bounded(60_000), '1', 'whoever allows for it gets what there is')
  passAll(c)
  await c.settled()
  await c.pass(200)
  t.equal(await bounded(200), '2')
  // The clock of the next process is another one: the leader's knowledge of the earlier clock does not count.
  c.interference.intercept = (message) =>
    message.from === away && message.type === 'append-response'
      ? [{ ...message, answeredAt: { ...message.answeredAt, life: 1 } }]
      : [message]
  await c.restart(away)
  await c.settled()
  await c.pass(500)
  await refused(bounded(60_000), 'not-ready')
})

t.test('a machine that was suspended trusts no lease and dates no state until it is answered anew', async (t) => {
  const { c, leader, followers } = await formed(t)
  const [follower = 0] = followers
  await c.on(leader).put('a', '1')
  await c.settled()
  await c.pass(200)
  const lease = async () => (await c.on(leader).read('a', { consistency: 'lease' })).context.consistency
  const stale = (id: number) => c.on(id).get('a', { consistency: 'stale', maxStalenessMs: 1_000 })
  const expectVoid = async (what: string, suspend: () => void): Promise<void> => {
    t.equal(await lease(), 'lease')
    for (const id of [leader, follower]) t.equal(await stale(id), '1')
    suspend()
    const refusals = [leader, follower].map((id) => refused(stale(id), 'not-ready'))
    t.equal(await lease(), 'linearizable', `${what}: the leader asks`)
    await Promise.all(refusals)
    await c.pass(300)
    t.equal(await lease(), 'lease', `${what}: and then it has one again`)
    for (const id of [leader, follower]) t.equal(await stale(id), '1')
  }
  await expectVoid('suspended', () => c.clock.sleep(3_600_000))
  await expectVoid('the wall clock is set forward', () => c.clock.sleep(40))
  await expectVoid('the wall clock is set back', () => c.clock.sleep(-86_400_000))
  c.clock.sleep(20)
  t.equal(await lease(), 'lease', 'a little less than the margin is taken off the lease')
})

t.test('a step of the revision costs what it releases, however many reads wait for more', async (t) => {
  const clock = new VirtualClock()
  clock.start()
  t.teardown(() => clock.stop())
  const room = new WaitingRoom(5_000)
  let revision = 0
  let looks = 0
  const milestones = new Milestones(clock, room, () => {
    looks += 1
    return revision
  })
  const reached: number[] = []
  const waits = Array.from({ length: 5_000 }, async (_, at) => {
    // In an order that is neither the way up nor the way down.
    const value = 1 + ((at * 2_731) % 5_000)
    if (await milestones.reach(value, 60_000, null)) reached.push(value)
  })
  t.match(await refused(milestones.reach(1, 60_000, null), 'overloaded'), { code: 'overloaded' })
  looks = 0
  for (revision = 1; revision < 2_500; revision++) milestones.onGrown()
  t.equal(looks, 2_499, 'no read was looked at before its time')
  await clock.pass(1)
  t.same(
    reached,
    Array.from({ length: 2_499 }, (_, at) => at + 1),
    'released in the order of their revisions',
  )
  t.equal(room.count, 2_501)
  revision = 10_000
  milestones.onGrown()
  await Promise.all(waits)
  t.equal(room.count, 0)
})

t.test('an answer that names a revision is of that revision, whatever was written since', async (t) => {
  const { c, leader } = await formed(t)
  const { keys } = c.at(leader).node.services
  const command = (at: number) =>
    ({
      type: 'put',
      key: key(`k${at % 3}`),
      value: Buffer.from('x'),
      condition: null,
      wantsPrevious: false,
      idempotency: null,
    }) as const
  const answers = await Promise.all(Array.from({ length: 50 }, (_, at) => keys.execute(command(at), 5_000)))
  for (const { result, context } of answers) t.equal(context.revision, revisionOf(result))
})

t.test('a view of a state that cannot say what it is is closed by whoever opened it', async (t) => {
  const { c, leader, followers } = await formed(t)
  const [follower = 0, away = 0] = followers
  await c.on(leader).put('k', 'v')
  await c.settled()
  const { state } = c.at(leader)
  t.equal(state.viewsOpen, 0)
  await c.on(leader).scan()
  t.equal(state.viewsOpen, 0, 'one that was read to its end')

  // Of this version, with a membership that is not JSON.
  const meta = Buffer.alloc(40)
  meta[0] = 1
  meta.writeDoubleBE(1, 1)
  meta.writeUInt32BE(1, 9)
  meta.writeDoubleBE(1, 13)
  meta.writeUInt32BE(5, 21)
  state.metaOfViews = meta
  await t.rejects(c.on(leader).scan({ consistency: 'stale' }))
  t.equal(state.viewsOpen, 0, 'a listing')
  await t.rejects(c.on(leader).services.cluster.snapshot(1_000))
  t.equal(state.viewsOpen, 0, 'the state as a stream')

  await c.at(away).crash()
  c.at(away).wipe()
  const view = { to: nodeId(away), session: 1, vote: c.at(leader).view.vote }
  c.at(leader).node.replica.snapshotSender.start(view)
  await c.until('the transfer has failed', () => c.lines.some(({ event }) => event === 'snapshot not delivered'))
  t.equal(state.viewsOpen, 0, 'a state for a peer')
  t.equal(c.at(follower).state.viewsOpen, 0)
})

t.test('a failure that nobody expected on the leader stops it, and is told to whoever asked', async (t) => {
  const { c, leader, followers } = await formed(t)
  const [one = 0] = followers
  const replica = c.at(leader).node.replica
  const asking = c.at(one).node.replica
  const anything: JsonReader<unknown> = (value) => ({ value })
  const ask = (name: string, body: unknown, timeoutMs = 1_000): Promise<unknown> =>
    asking.leaderCalls.call({ name, body: anything, answer: anything }, body, timeoutMs, false)
  for (const body of [null, 7, 'x', { voters: 'x' }, { voters: [0] }, { voters: [1], retain: 1 }]) {
    await refused(ask('change-voters', body), 'invalid-request')
  }
  await refused(ask('add-learner', { member: { id: 4 }, wait: true }), 'invalid-request')
  await refused(ask('transfer', 'x'), 'invalid-request')
  t.same(c.faults, [], 'what a peer says ends nobody')
  replica.leaderCalls.handle({ name: 'odd', body: anything, answer: anything }, async () => ({ leader: 'x' }))
  await refused(
    asking.leaderCalls.call({ ...leaderRequests.transfer, name: 'odd' }, null, 1_000, false),
    'outcome-unknown',
  )
  const broken = { name: 'broken', body: anything, answer: anything }
  replica.leaderCalls.handle(broken, () => Promise.reject(new TypeError('a bug')))
  const began = c.clock.now()
  await refused(ask('broken', null, 10_000), 'internal')
  t.ok(c.clock.now() - began < 100, 'at once, not at its deadline')
  await c.until('the leader has stopped itself', () => c.faults.length === 1)
  t.match(c.faults.splice(0), [{ node: leader, error: { message: 'a bug' } }])
})

t.test('a read that waits ends with its client, its time or its node, and makes room', async (t) => {
  const { c, leader } = await formed(t)
  const { replica } = c.at(leader).node
  const future = { minRevision: 1_000_000, timeoutMs: 60_000 }
  const caller = { isGone: false }
  const left = refused(c.on(leader).get('a', { ...future, caller }), 'future-revision')
  const expired = refused(c.on(leader).get('a', { ...future, timeoutMs: 500 }), 'future-revision')
  const closed = refused(c.on(leader).get('a', future), 'shutting-down')
  await c.until('all three wait', () => replica.waits.revisions.size === 3)
  t.equal(replica.waits.room.count, 3)
  caller.isGone = true
  const asked = c.clock.now()
  await left
  t.ok(c.clock.now() - asked < 100, 'at once, not at its deadline')
  await expired
  t.equal(replica.waits.room.count, 1)

  c.partition([leader])
  await c.until('nobody leads here', () => c.at(leader).view.state !== 'leader')
  const other = { isGone: false }
  const leaderless = refused(c.on(leader).get('a', { timeoutMs: 60_000, caller: other }), 'no-leader', 'read-timeout')
  await c.pass(100)
  t.equal(replica.waits.room.count, 2, 'reads that wait for a leader count among the others')
  other.isGone = true
  await leaderless
  t.equal(replica.waits.room.count, 1)

  c.at(leader).node.endWaits()
  await closed
  t.equal(replica.waits.room.count, 0)
  await refused(c.on(leader).get('a', { ...future, consistency: 'stale' }), 'shutting-down')
  c.heal()
})

t.test('a new leader, and who hears it, bound no age before it knows what is committed', async (t) => {
  const { c, leader, followers } = await formed(t)
  const [one = 0, two = 0] = followers
  await c.on(leader).put('a', '1')
  await c.settled()
  // They are sent the next entry, and never that it is committed.
  drop(c, (message) => message.type === 'append-request' && message.batches.length === 0)
  await c.on(leader).put('a', '2')
  await c.at(leader).crash()
  drop(c, (message) => message.type === 'append-response')
  await c.until('a new leader', () => c.leaderOrNull() !== null)
  await c.pass(50)
  for (const id of [one, two]) {
    await refused(c.on(id).get('a', { consistency: 'stale', maxStalenessMs: 40 }), 'not-ready')
    t.equal(await c.on(id).stale('a'), '1')
  }
  passAll(c)
  await c.leader()
  await c.settled()
  for (const id of [one, two]) t.equal(await c.on(id).get('a', { consistency: 'stale', maxStalenessMs: 200 }), '2')
})

t.test('a follower that always has something left to apply is no older than that', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], { recordCacheBytesMax: 0 })
  const [follower = 0] = followers
  c.at(follower).state.readMs = 2
  // It applies as fast as new entries come, so that it stays a little behind: what it knows is never the latest.
  let stopped = false
  const writes: Promise<unknown>[] = []
  const writing = (async () => {
    for (let i = 0; !stopped; i++) {
      writes.push(c.on(leader).put(`k${i}`, 'v'))
      await c.pass(i < 40 ? 0.1 : 2.1)
    }
  })()
  await c.pass(300)
  for (let i = 0; i < 50; i++) {
    await c.pass(20)
    t.equal(await c.on(follower).get('k1', { consistency: 'stale', maxStalenessMs: 150 }), 'v')
  }
  stopped = true
  await writing
  await Promise.all(writes)
})

t.test(
  'the minority side of a partition: what is refused for certain never takes effect, what may is said to be unknown',
  async (t) => {
    const { c, leader, followers } = await formed(t, [1, 2, 3, 4, 5])
    const [apart = 0, ...rest] = followers
    await c.on(leader).put('a', '1')
    c.partition([leader, apart])
    const ledger = new Ledger()
    const onLeader = ledger.write(c.on(leader), { timeoutMs: 400 })
    const forwarded = ledger.write(c.on(apart), { timeoutMs: 400 })
    await refused(c.on(apart).get('a', { timeoutMs: 200 }), 'read-timeout', 'no-leader')
    await refused(c.on(leader).get('a', { timeoutMs: 200 }), 'read-timeout', 'no-leader')
    t.equal(await onLeader, 'unknown')
    t.equal(await forwarded, 'unknown', 'the leader may have it')
    await c.pass(2_000)
    t.not(c.at(leader).view.state, 'leader', 'a leader without a quorum gives up')
    for (const id of [leader, apart]) {
      t.equal(await ledger.write(c.on(id), { timeoutMs: 300 }), 'refused')
      await refused(c.on(id).get('a', { timeoutMs: 300 }), 'no-leader')
      await refused(c.on(id).scan({ timeoutMs: 300 }), 'no-leader')
      t.equal(await c.on(id).stale('a'), '1')
    }
    t.same(
      [...ledger.codes],
      [
        ['outcome-unknown', 2],
        ['no-leader', 2],
      ],
    )
    const now = await c.leader(rest)
    t.equal(await ledger.write(c.on(now)), 'acknowledged')
    c.heal()
    await c.settled()
    await ledger.check(c.on(leader))
    for (const id of [1, 2, 3, 4, 5]) await c.on(id).put('a', String(id))
  },
)

/** Bytes of buffers that something still refers to. */
async function bufferBytes(): Promise<number> {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  if (typeof collect !== 'function') throw new Error('this engine does not collect on demand')
  for (let round = 0; round < 3; round++) {
    collect()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return process.memoryUsage().arrayBuffers
}

t.test('writes that have their answer leave nothing behind, though no leader comes', async (t) => {
  const { c, leader, followers } = await formed(t)
  const [apart = 0] = followers
  await c.on(leader).put('a', '1')
  c.partition([apart])
  const value = 'x'.repeat(64 * 1024)
  const refuseMany = async (): Promise<void> => {
    const writes = Array.from({ length: 100 }, () => c.on(apart).put('a', value, { timeoutMs: 100 }))
    for (const write of writes) await refused(write, 'no-leader', 'outcome-unknown')
  }
  await refuseMany()
  await c.until('no leader is known', () => c.at(apart).view.leader === null)
  const before = await bufferBytes()
  for (let round = 0; round < 5; round++) await refuseMany()
  const left = (await bufferBytes()) - before
  t.ok(left < 4 * 1024 * 1024, `${left} bytes are left of ${500 * value.length}`)
  c.heal()
  t.match(await c.on(apart).put('a', '2'), { type: 'put', version: 2 })
})

/** The writes of node 1 alone, with whoever leads as `leader` says. */
function proposalsOf(leader: () => LeaderHint) {
  const clock = new VirtualClock()
  const sent: ForwardRequest[] = []
  const options = {
    id: nodeId(1),
    batchEntriesMax: 10,
    batchBytesMax: 1_000,
    pendingMax: 1_000,
    pendingBytesMax: 10_000,
    resendMs: 50,
  }
  const proposals = new Proposals(options, {
    clock,
    random: new SeededRandom(1),
    leaders: { leader },
    core: { propose: () => ({ kind: 'not-leader', leader: null }) },
    outbox: { send: (message) => sent.push(message) },
  })
  clock.start()
  return { clock, proposals, sent }
}

t.test('a forwarded batch counts for as long as it is kept, and so does each command in it', async (t) => {
  const vote = { leaderId: { term: term(1), nodeId: nodeId(2) }, committed: true }
  const { clock, proposals, sent } = proposalsOf(() => ({ kind: 'other', leader: nodeId(2), vote }))
  t.teardown(() => clock.stop())
  const early = refused(proposals.submit(Buffer.alloc(400), 100), 'outcome-unknown')
  const late = refused(proposals.submit(Buffer.alloc(400), 1_000), 'outcome-unknown')
  t.equal(proposals.heldBytes, 800)
  await clock.pass(10)
  const kept = sent[0]?.body.length ?? 0
  t.ok(kept > 800)
  t.equal(proposals.heldBytes, 800 + kept)
  await early
  t.equal(proposals.heldBytes, 400 + kept, 'the batch may have to be sent again whole')
  const more = Array.from({ length: 30 }, () => proposals.submit(Buffer.alloc(400), 1_000))
  const codes = await Promise.all([late, ...more.map((write) => refused(write, 'outcome-unknown', 'overloaded'))])
  t.ok(codes.some(({ code }) => code === 'overloaded'))
  t.equal(proposals.heldBytes, 0)
  t.equal(proposals.count, 0)
})

t.test('a write that no leader has taken goes with its client; one that is on its way stays', async (t) => {
  let hint: LeaderHint = { kind: 'none' }
  const { clock, proposals, sent } = proposalsOf(() => hint)
  t.teardown(() => clock.stop())
  const caller = { isGone: false }
  const first = refused(proposals.submit(Buffer.alloc(400), 10_000, caller), 'no-leader')
  await clock.pass(200)
  t.equal(proposals.count, 1)
  caller.isGone = true
  await first
  t.equal(proposals.heldBytes, 0)
  hint = { kind: 'other', leader: nodeId(2), vote: { leaderId: { term: term(1), nodeId: nodeId(2) }, committed: true } }
  const second = proposals.submit(Buffer.alloc(400), 10_000, caller)
  await clock.pass(200)
  t.ok(sent.length > 0)
  t.equal(proposals.count, 1, 'what may have taken effect is waited for')
  const { node: originNode, nonce: originNonce } = proposals.origin
  // The second write of this process.
  const entry = {
    kind: 'command',
    index: logIndex(1),
    originNode,
    originNonce,
    requestNumber: 1,
    command: Buffer.alloc(0),
  } as const
  proposals.onResult(
    { ...entry, originNonce: originNonce + 1 },
    { type: 'deleted', revision: 1, deleted: 0, previous: null },
  )
  t.equal(proposals.count, 1, 'another process has the same number')
  proposals.onResult(entry, { type: 'deleted', revision: 1, deleted: 0, previous: null })
  t.match(await second, { type: 'deleted' })
})

t.test('writes that were lost with a leader are proposed again and take effect once', async (t) => {
  // On a follower: forwarded to a leader that dies with them.
  for (const survives of [false, true]) {
    const { c, leader, followers } = await formed(t)
    const [one = 0, two = 0] = followers
    drop(
      c,
      (message) => message.type === 'append-request' && message.from === leader && (!survives || message.to === two),
    )
    const ledger = new Ledger()
    const before = c.at(leader).view.last?.index ?? 0
    const writes = [one, two, one, two].map((id) => ledger.write(c.on(id), { timeoutMs: 20_000 }))
    await c.until('the leader has them', () => (c.at(leader).view.last?.index ?? 0) >= before + 4)
    if (survives) await c.until('one more has them', () => (c.at(one).view.last?.index ?? 0) >= before + 4)
    await c.at(leader).crash()
    passAll(c)
    t.same(await Promise.all(writes), Array(4).fill('acknowledged'), survives ? 'kept by one' : 'lost')
    await c.start(leader)
    await c.settled()
    await ledger.check(c.on(leader))
  }
  // On the leader itself: deposed, then told what became of its entries.
  for (const survives of [false, true]) {
    const { c, leader, followers } = await formed(t)
    const [one = 0, two = 0] = followers
    c.partition(survives ? [leader, one] : [leader])
    const ledger = new Ledger()
    drop(c, ({ type, from }) => survives && type === 'append-response' && from === one)
    const writes = Array.from({ length: 10 }, () => ledger.write(c.on(leader), { timeoutMs: 30_000 }))
    if (survives) await c.until('one more has them', () => c.at(one).view.last?.index === c.at(leader).view.last?.index)
    await c.pass(100)
    c.partition([leader])
    c.hub.heal(c.at(one).id, c.at(two).id)
    c.hub.heal(c.at(two).id, c.at(one).id)
    c.cut(leader, one)
    c.cut(one, leader)
    passAll(c)
    await c.leader(followers)
    c.heal()
    t.same(await Promise.all(writes), Array(10).fill('acknowledged'))
    await c.settled()
    await ledger.check(c.on(two))
  }
})

t.test('a forwarded batch takes effect once, however often and however late its frame arrives', async (t) => {
  const { c, leader } = await formed(t)
  const seen: PeerMessage[] = []
  c.interference.intercept = (message) => {
    if (message.type !== 'forward-request') return [message]
    seen.push(message)
    return [message, message, message]
  }
  const ledger = new Ledger()
  for (let i = 0; i < 20; i++) await Promise.all([1, 2, 3].map((id) => ledger.write(c.on(id))))
  t.equal(ledger.total('acknowledged'), 60)
  t.ok(seen.length >= 20)
  const repeat = async (): Promise<void> => {
    for (const message of seen) if (c.at(message.from).isUp) c.at(message.from).send({ ...message })
    await c.pass(50)
  }
  await repeat()
  // The same after leadership has moved, has come back, and after the leader has lost its memory.
  const next = leader === 1 ? 2 : 1
  await c.on(leader).transfer(next)
  await repeat()
  await c.on(next).transfer(leader)
  await repeat()
  await c.restart(leader)
  await c.leader()
  await repeat()
  for (let i = 0; i < 5; i++) await Promise.all([1, 2, 3].map((id) => ledger.write(c.on(id))))
  await c.settled()
  await ledger.check(c.on(leader))
  for (let i = 0; i < 60; i++) t.equal((await c.on(1).read(`entry-${i}`)).record?.version, 1)
})

t.test('a batch is appended once, however many other processes have forwarded theirs since', (t) => {
  const ballot = { term: term(3), nodeId: nodeId(1) }
  let leading: LeaderId | null = ballot
  let appended: string[] = []
  let refusals: ForwardRefusal[] = []
  const reasons: string[] = []
  const make = (): Forwarded => {
    const forwarded = new Forwarded(
      { id: nodeId(1), forwardedBatchesMax: 2, forwardedOriginsMax: 2, forwardedOriginsInAllMax: 5 },
      {
        leaders: { leading: () => leading },
        core: {
          propose: (_, body) => {
            appended.push(Buffer.from(body).subarray(-2).toString())
            return { kind: 'accepted', leaderId: ballot, first: logIndex(1), last: logIndex(1) }
          },
          stepDown: (reason) => {
            reasons.push(reason)
            leading = null
          },
        },
        outbox: { send: (message) => refusals.push(message) },
      },
    )
    forwarded.onLeading(ballot)
    return forwarded
  }
  const batch = (origin: string, batchId: number): ForwardRequest => {
    const value = Buffer.from(`${origin}${batchId % 10}`)
    const plain = { condition: null, wantsPrevious: false, idempotency: null } as const
    const command = encodeCommand({ type: 'put', key: key('a'), value, ...plain })
    const body = Buffer.alloc(commandEntryBytes(command.length))
    commandEntryInto(body, 0, { node: nodeId(2), nonce: origin.charCodeAt(0) }, batchId, command)
    const vote = { leaderId: ballot, committed: true }
    return { type: 'forward-request', from: nodeId(2), to: nodeId(1), vote, batchId, count: 1, body }
  }
  const send = (forwarded: Forwarded, ...batches: readonly (readonly [string, number])[]): void => {
    appended = []
    refusals = []
    for (const [origin, batchId] of batches) forwarded.onRequest(batch(origin, batchId))
  }

  const forwarded = make()
  send(forwarded, ['a', 101], ['b', 201], ['a', 102], ['c', 301])
  t.same(appended, ['a1', 'b1', 'a2', 'c1'])
  send(forwarded, ['a', 101], ['a', 102])
  t.same([appended, refusals], [[], []], 'the origin that was used last is kept')
  send(forwarded, ['d', 401], ['b', 201], ['c', 301], ['a', 101], ['a', 102], ['d', 401])
  t.same(
    [appended, refusals],
    [['d1'], []],
    'of those that were forgotten nothing is appended twice, and nothing is said',
  )
  send(forwarded, ['a', 103], ['b', 202], ['c', 302], ['a', 103], ['b', 202], ['c', 302])
  t.same(appended, ['a3', 'b2', 'c2'], 'what they send next is taken')
  send(forwarded, ['a', 104], ['a', 105], ['a', 106], ['a', 103])
  t.same(appended, ['a4', 'a5', 'a6'], 'of the batches of one origin the older ones are forgotten likewise')

  send(forwarded, ['e', 501])
  t.same([appended, reasons], [['e1'], []])
  send(forwarded, ['f', 601], ['f', 601])
  t.same(appended, [], 'there is no room for another')
  t.same(reasons, ['too many processes have forwarded writes to it'], 'so another ballot is needed')
  t.match(
    refusals,
    [
      { batchId: 601, reason: 'not-leader' },
      { batchId: 601, reason: 'not-leader' },
    ],
    'it is for certain',
  )
  leading = { term: term(4), nodeId: nodeId(1) }
  forwarded.onLeading(leading)
  send(forwarded, ['f', 601], ['e', 501])
  t.same([appended, refusals], [[], []], 'what became of batches under the former ballot is not known any more')
  t.end()
})

t.test('answers to an earlier life of a process mean nothing to the present one', async (t) => {
  const { c, leader, followers } = await formed(t)
  const [restarted = 0] = followers
  await c.on(leader).put('a', 'old')
  const held: PeerMessage[] = []
  c.interference.intercept = (message) => {
    if (message.to !== restarted || message.type !== 'read-index-response') return [message]
    held.push(message)
    return []
  }
  const lost = c
    .on(restarted)
    .get('a')
    .then(
      () => 'answered',
      (error: Error) => error.name,
    )
  await c.until('the leader has answered', () => held.length > 0)
  await c.restart(restarted)
  t.equal(await lost, 'ProcessEndedError')
  await c.settled()
  drop(c, ({ type, to }) => type === 'append-request' && to === restarted)
  await c.on(leader).put('a', 'new')
  const asked: PeerMessage[] = []
  c.interference.intercept = (message) => {
    if (message.type === 'read-index-request') asked.push(message)
    return message.to === restarted && ['read-index-response', 'append-request'].includes(message.type) ? [] : [message]
  }
  const read = c.on(restarted).get('a')
  await c.until('the present one has asked', () => asked.length > 0)
  for (const message of held) c.at(leader).send(message)
  passAll(c)
  for (const message of held) c.at(leader).send(message)
  t.equal(await read, 'new')
  // Requests to the leader and forwarded batches are numbered apart as well.
  const numbers = {
    'forward-request': new Set<number>(),
    'control-request': new Set<number>(),
    'read-index-request': new Set<number>(),
  }
  let sent = 0
  c.interference.intercept = (message) => {
    if (message.type === 'forward-request') sent += Number(numbers[message.type].add(message.batchId).size > 0)
    if (message.type === 'control-request') sent += Number(numbers[message.type].add(message.requestId).size > 0)
    if (message.type === 'read-index-request') sent += Number(numbers[message.type].add(message.readId).size > 0)
    return [message]
  }
  for (let life = 0; life < 3; life++) {
    for (let i = 0; i < 5; i++) {
      await c.on(restarted).put('b', String(i))
      await c.on(restarted).get('b')
      await c.on(restarted).learners()
    }
    await c.restart(restarted)
    await c.settled()
  }
  for (const [type, distinct] of Object.entries(numbers))
    t.equal(distinct.size, 15, `no number of a ${type} was used twice`)
  t.equal(sent, 45)
})

t.test('a range is deleted in one change; a scan shows one moment, though writes go on', async (t) => {
  const { c, leader, followers } = await formed(t)
  for (let i = 0; i < 30; i++) await c.on((i % 3) + 1).put(`k${String(i).padStart(2, '0')}`, String(i))
  const deleted = await c.on(followers[0] ?? 0).deleteRange('k05', 'k25')
  t.match(deleted, { type: 'deleted', deleted: 20 })
  t.match(await c.on(leader).deleteRange('k05', 'k25'), { type: 'deleted', deleted: 0 })
  t.match(await c.on(leader).deleteRange('k25', 'k05'), { type: 'deleted', deleted: 0 })
  for (const id of [1, 2, 3]) {
    const { items } = await c.on(id).scan()
    t.same(
      items.map(([name]) => name),
      [0, 1, 2, 3, 4, 25, 26, 27, 28, 29].map((i) => `k${String(i).padStart(2, '0')}`),
    )
  }
  // The two ends are written one after the other, so that at every moment the first is at most one ahead.
  await c.on(leader).put('a-first', '0')
  await c.on(leader).put('z-last', '0')
  for (const machine of c.machines.values()) machine.state.writeMs = 1
  let stopped = false
  const writing = (async () => {
    for (let i = 1; !stopped; i++) {
      await c.on(leader).put('a-first', String(i))
      await c.on(leader).put('z-last', String(i))
    }
  })()
  const values = new Set<string>()
  for (let i = 0; i < 60; i++) {
    const id = (i % 3) + 1
    const before = c.clock.now()
    const { items, context } = await c.on(id).scan({ timeoutMs: 1_000 }, 2)
    t.ok(c.clock.now() - before < 100, 'it does not wait for a pause of the writers')
    const [first, last] = [Number(items[0]?.[1]), Number(items.at(-1)?.[1])]
    if (first !== last && first !== last + 1) throw new Error(`the scan shows ${first} and ${last}`)
    values.add(`${first} ${last}`)
    const read = await c.on(id).read('a-first', { consistency: 'stale' })
    if (read.context.revision < context.revision) throw new Error('a later read shows an earlier revision')
    await c.pass(1)
  }
  stopped = true
  await writing
  t.ok(values.size > 30, `${values.size} moments were seen`)
  await c.settled()
})

t.test('of many rows that clients ask for, only so many are on their way from the store', async (t) => {
  const { c } = await formed(t, [1], { recordCacheBytesMax: 0, rowsReadMax: 20 })
  const names = Array.from({ length: 200 }, (_, at) => `k${at}`)
  for (const name of names) await c.on(1).put(name, `value of ${name}`)
  await c.at(1).node.replica.applier.settle()
  const { state } = c.at(1)
  state.readMs = 1
  const read = (name: string) => c.on(1).read(name, { consistency: 'stale' })

  state.rowsReadingMost = 0
  state.calls = 0
  // All in one turn, some of them more than once.
  const values = await Promise.all([...names, ...names.slice(0, 50)].map(read))
  t.same(
    values.map(({ value }) => value),
    [...names, ...names.slice(0, 50)].map((name) => `value of ${name}`),
  )
  t.equal(state.rowsReadingMost, 20)
  t.equal(state.calls, 200 / 5, 'nothing is read twice')

  // A call that ends lets whoever asked have what came before more is read.
  let held = 0
  let heldMost = 0
  const answered = names.map(async (name) => {
    await read(name)
    held += 1
    heldMost = Math.max(heldMost, held + state.rowsReading)
    c.clock.nextTurn(() => (held -= 1))
  })
  await Promise.all(answered)
  t.ok(heldMost <= 40, `${heldMost} values were in memory`)

  state.calls = 0
  await Promise.all(names.slice(0, 5).map(read))
  t.equal(state.calls, 1, 'a few rows of one turn are one call')
})

t.test(
  'reads and writes on a slow store with nothing cached: nobody sees or makes anything out of order',
  async (t) => {
    const { c, leader } = await formed(t, [1, 2, 3], { recordCacheBytesMax: 0, batchEntriesMax: 3 })
    for (const { state, id } of c.machines.values()) {
      state.readMs = 0.3 * id
      state.writeMs = 0.7
    }
    const names = ['x', 'y']
    const acknowledged = new Map(names.map((name) => [name, 0]))
    let stopped = false
    const writers = names.map(async (name) => {
      for (let i = 1; i <= 150; i++) {
        const result = await c.on((i % 3) + 1).put(name, String(i))
        if (result.type !== 'put' || result.version !== i)
          throw new Error(`write ${i} of ${name} made version ${JSON.stringify(result)}`)
        acknowledged.set(name, i)
      }
    })
    let reads = 0
    const readers = [1, 2, 3, 1, 2, 3].map(async (id, at) => {
      const name = names[at % 2] ?? 'x'
      const seen = { revision: 0, value: 0 }
      for (; !stopped; reads++) {
        const floor = acknowledged.get(name) ?? 0
        const { value, record, context } = await c.on(id).read(name)
        if (Number(value) < floor) throw new Error(`${name} was ${value} after ${floor} was acknowledged`)
        if (record !== null && context.revision < record.modRevision)
          throw new Error('the revision is older than the record')
        if (Number(value) < seen.value || context.revision < seen.revision)
          throw new Error('a reader went back in time')
        seen.value = Number(value)
        seen.revision = context.revision
      }
    })
    await Promise.all(writers)
    stopped = true
    await Promise.all(readers)
    t.ok(reads > 200, `${reads} reads`)
    await c.settled()
    for (const name of names) t.equal((await c.on(leader).read(name)).record?.version, 150)
  },
)

t.test('a read that overlaps a write does not leave the replaced row behind', async (t) => {
  const { c } = await formed(t, [1], { recordCacheBytesMax: 1_000 })
  const { state } = c.at(1)
  state.writeMs = 1
  for (let turns = 0, version = 1; turns < 15; turns++) {
    const result = await c.on(1).put('x', String(version))
    t.match(result, { version }, 'the write before was seen by this one')
    version += 1
    for (let i = 0; i < 12; i++) await c.on(1).put(`filler-${i}`, 'v')
    await c.pass(30)
    const write = c.on(1).put('x', String(version))
    for (let turn = 0; turn < turns; turn++) await c.pass(0.01)
    const read = c.on(1).stale('x')
    t.match(await write, { version })
    await read
    await c.pass(30)
    t.equal(await c.on(1).get('x'), String(version))
    version += 1
  }
})

t.test('a leader with too much uncommitted takes no more: overloaded, and nothing of it was proposed', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], { uncommittedBytesMax: 4_000, batchEntriesMax: 4 })
  const ledger = new Ledger()
  drop(c, (message) => message.type === 'append-response' && message.to === leader)
  const writes = Array.from({ length: 200 }, async (_, i) => {
    await c.pass(i / 10)
    return ledger.write(c.on(i % 2 === 0 ? leader : (followers[0] ?? 0)), { timeoutMs: 20_000 })
  })
  await c.pass(150)
  passAll(c)
  await Promise.all(writes)
  t.ok((ledger.codes.get('overloaded') ?? 0) > 20, 'on the leader and through a follower')
  t.ok(ledger.total('acknowledged') > 20)
  t.equal(ledger.total('acknowledged') + ledger.total('refused'), 200)
  await c.settled()
  await ledger.check(c.on(leader))
  t.equal(await ledger.write(c.on(leader)), 'acknowledged', 'and it recovers')
})

t.test('every request ends by its deadline', async (t) => {
  const { c, leader, followers } = await formed(t)
  const [one = 0] = followers
  await c.on(leader).put('a', '1')
  drop(c, ({ type }) => type === 'read-index-response' || type === 'forward-request' || type === 'control-response')
  for (const [what, call] of [
    ['read', () => refused(c.on(one).get('a', { timeoutMs: 100 }), 'read-timeout')],
    ['scan', () => refused(c.on(one).scan({ timeoutMs: 100 }), 'read-timeout')],
    ['write', () => refused(c.on(one).put('a', '2', { timeoutMs: 100 }), 'outcome-unknown')],
    ['change', () => refused(c.on(one).change([1, 2, 3], {}, 100), 'outcome-unknown')],
  ] as const) {
    const before = c.clock.now()
    await call()
    const tookMs = c.clock.now() - before
    t.ok(tookMs >= 100 && tookMs < 200, `${what} took ${Math.round(tookMs)} ms`)
  }
  passAll(c)
  await c.settled()
})

t.test('writes and reads asked for during a transfer wait for the new leader', async (t) => {
  const { c, leader, followers } = await formed(t)
  const ledger = new Ledger()
  let stopped = false
  let slowestMs = 0
  const clients = [1, 2, 3].map(async (id) => {
    while (!stopped) {
      const before = c.clock.now()
      const outcome = await ledger.write(c.on(id))
      await c.on(id).get('entry-0')
      slowestMs = Math.max(slowestMs, c.clock.now() - before)
      if (outcome !== 'acknowledged') throw new Error(`a write was ${outcome}: ${[...ledger.codes.keys()].join(' ')}`)
      await c.pass(1)
    }
  })
  let from = leader
  for (const to of [...followers, leader, ...followers]) {
    t.same(await c.on(from).transfer(to), { leader: to })
    from = to
    await c.pass(60)
  }
  stopped = true
  await Promise.all(clients)
  t.ok(slowestMs < 200, `nobody waited longer than ${Math.round(slowestMs)} ms`)
  await c.settled()
  await ledger.check(c.on(leader))
})

t.test('under loss, partitions and crashes: acknowledged writes take effect once, refused ones never', async (t) => {
  for (const seed of [1, 2, 3]) {
    const { c } = await formed(t, [1, 2, 3], { batchEntriesMax: 5, inflightAppendsMax: 3 })
    for (const { log, id } of c.machines.values()) log.writeMs = 0.1 * id
    const ledger = new Ledger()
    let stopped = false
    const clients = [1, 2, 3, 1, 2, 3, 1, 2, 3].map(async (id) => {
      while (!stopped) {
        if (c.at(id).isUp) await ledger.write(c.on(id), { timeoutMs: 300 })
        await c.pass(3)
      }
    })
    c.hub.lose(0.05)
    for (let round = 0; round < 4; round++) {
      const victim = ((round + seed) % 3) + 1
      await c.pass(200)
      if ((round + seed) % 2 === 0) {
        c.partition([victim])
        await c.pass(700)
        c.heal()
      } else {
        await c.at(victim).crash(seed)
        await c.pass(400)
        await c.start(victim)
      }
      await c.pass(300)
    }
    c.hub.lose(0)
    stopped = true
    await Promise.all(clients)
    await c.settled()
    for (const id of [1, 2, 3]) await ledger.check(c.on(id))
    t.ok(
      ledger.total('acknowledged') > 200,
      `${ledger.total('acknowledged')} acknowledged, ${ledger.total('unknown')} unknown`,
    )
    t.ok(ledger.total('unknown') > 0)
    await Promise.all(c.up.map((machine) => machine.crash()))
  }
})
