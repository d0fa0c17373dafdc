import t from 'tap'
import type { ReadOptions } from '../../src/api/services.ts'
import { Milestones } from '../../src/node/requests/milestones.ts'
import { WaitingRoom } from '../../src/node/requests/waiting-room.ts'
import { StoreWaits } from '../../src/node/service/store-waits.ts'
import type { PeerMessage } from '../../src/ports/transport.ts'
import { nodeId } from '../../src/raft/index.ts'
import { key, revisionOf } from './support/client.ts'
import { refused } from './support/cluster.ts'
import { formed, drop, passAll } from './support/formed.ts'
import { VirtualClock } from './support/virtual-clock.ts'

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
  // What the leader knows of the clock of an earlier process says nothing about that of the next.
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

  // Of this version, with a membership that is no JSON.
  const meta = Buffer.alloc(40)
  meta[0] = 1
  meta.writeDoubleBE(1, 1)
  meta.writeUInt32BE(1, 9)
  meta.writeDoubleBE(1, 13)
  meta.writeUInt32BE(5, 21)
  state.metaOfViews = meta
  await t.rejects(c.on(leader).scan({ consistency: 'stale' }))
  t.equal(state.viewsOpen, 0, 'a listing')
  await t.rejects(c.on(leader).services.cluster.snapshot('linearizable', 1_000))
  t.equal(state.viewsOpen, 0, 'the state as a stream')

  await c.at(away).crash()
  c.at(away).wipe()
  const view = { to: nodeId(away), session: 1, vote: c.at(leader).view.vote }
  c.at(leader).node.replica.snapshotSender.start(view)
  await c.until('the transfer has failed', () => c.lines.some(({ event }) => event === 'snapshot not delivered'))
  t.equal(state.viewsOpen, 0, 'a state for a peer')
  t.equal(c.at(follower).state.viewsOpen, 0)
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

t.test('a read that waits for the disk ends when its time is up, or its client leaves', async (t) => {
  const { c } = await formed(t, [1], { recordCacheBytesMax: 0 })
  await c.on(1).keepHistory()
  const first = revisionOf(await c.on(1).put('a', '1'))
  await c.on(1).put('a', '2')
  // The rows of the last writes may still be in memory.
  for (let i = 0; i < 50; i++) await c.on(1).put(`other-${i}`, 'value')
  await c.on(1).execute({ type: 'lease-grant', id: 7, ttlMs: 600_000, idempotency: null })
  await c.at(1).node.replica.applier.settle()
  const { state } = c.at(1)
  const { keys, history, leases } = c.at(1).node.services
  const everything = { start: null, end: null }
  const range = { ...everything, after: null, reverse: false }
  const page = { after: null, limit: 10 }
  let asked = 0

  const opened = { consistency: 'linearizable', minRevision: null, maxStalenessMs: null } as const
  const all: Record<string, (options: ReadOptions) => Promise<unknown>> = {
    // A row that was read may be in memory afterwards, so each read is of another key.
    key: (options) => keys.get(key(`other-${(asked += 1)}`), options),
    'key in the past': (options) => keys.get(key('a'), { ...options, revision: first }),
    page: async (options) => {
      const scan = await keys.scan(range, options)
      try {
        await scan.next(10, 1e6)
      } finally {
        await scan.close()
      }
    },
    count: async (options) => {
      const scan = await keys.scan(range, options)
      try {
        await scan.count(10)
      } finally {
        await scan.close()
      }
    },
    versions: (options) => history.versions(key('a'), { before: null, limit: 10, bytesMax: 1e6 }, options),
    lease: (options) => leases.get(7, page, options),
    leases: (options) => leases.list(page, options),
    lock: (options) => leases.lock(key(`other-${(asked += 1)}`), options),
    queue: (options) => leases.lockQueue(key('l'), 10, options),
    locks: (options) => leases.locks(everything, page, options),
  }
  for (const [name, read] of Object.entries(all)) {
    await read({ ...opened, timeoutMs: 100 })
    state.readMs = 5_000
    const before = c.clock.now()
    await refused(read({ ...opened, timeoutMs: 100 }), 'read-timeout')
    t.ok(c.clock.now() - before < 200, `${name}: when its time is up`)
    const caller = { isGone: false }
    const left = refused(read({ ...opened, timeoutMs: 60_000, caller }), 'read-timeout')
    await c.pass(50)
    caller.isGone = true
    await left
    t.ok(c.clock.now() - before < 400, `${name}: when its client leaves`)
    state.readMs = 0
    await c.pass(30_000)
    t.equal(state.viewsOpen, 0, `${name}: what it opened is closed when the disk has answered`)
  }
})

t.test(
  'of reads that wait for the disk there are only so many, those included that nobody waits for any more',
  async (t) => {
    const clock = new VirtualClock()
    clock.start()
    t.teardown(() => clock.stop())
    const waits = new StoreWaits(clock, 2)
    const discarded: number[] = []
    const answers: ((value: number) => void)[] = []
    const read = () =>
      waits.within(
        waits.until({ timeoutMs: 100 }),
        () => new Promise<number>((resolve) => answers.push(resolve)),
        (late) => discarded.push(late),
      )
    const [one, two] = [refused(read(), 'read-timeout'), refused(read(), 'read-timeout')]
    await refused(read(), 'overloaded')
    await clock.pass(200)
    await Promise.all([one, two])
    await refused(read(), 'overloaded')
    t.equal(answers.length, 2, 'what is refused does not begin')
    answers[1]?.(7)
    await clock.pass(1)
    t.same(discarded, [7])
    const third = read()
    answers[2]?.(8)
    t.equal(await third, 8)
    t.same(discarded, [7])
  },
)

t.test('reads that have nothing to wait for are answered together, at the end of their turn', async (t) => {
  const { c, leader } = await formed(t)
  await c.on(leader).keepHistory()
  const revision = revisionOf(await c.on(leader).put('a', '1'))
  await c.pass(100)
  for (const options of [{ consistency: 'stale' }, { consistency: 'lease' }, { revision }] as const) {
    const events: string[] = []
    const read = async (): Promise<void> => {
      await c.on(leader).get('a', options)
      events.push('answer')
    }
    const ended = new Promise<void>((resolve) => {
      c.clock.nextTurn(() => {
        events.push('turn')
        resolve()
      })
    })
    await Promise.all([read(), read(), ended])
    t.same(events, ['turn', 'answer', 'answer'], JSON.stringify(options))
  }
})
