import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { revisionOf } from './support/client.ts'
import { refused, type TestCluster } from './support/cluster.ts'
import { formed, drop, passAll } from './support/formed.ts'
import { Ledger } from './support/ledger.ts'

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

t.test('a node counts the reads and times the writes of its own clients, and not those of others', async (t) => {
  const { c, leader, followers } = await formed(t)
  const [one = 0, two = 0] = followers
  const count = (id: number): number[] => {
    const { readsServed, writeSeconds } = c.on(id).services.health.metrics()
    return [readsServed, writeSeconds.count]
  }
  const before = count(one)
  const others = [leader, two].map(count)
  await c.on(one).put('a', '1')
  await c.on(one).put('a', '2')
  await c.on(one).get('a')
  await c.on(one).stale('a')
  t.same(count(one), [(before[0] ?? 0) + 2, (before[1] ?? 0) + 2])
  t.same([leader, two].map(count), others)
  const { sum } = c.on(one).services.health.metrics().writeSeconds
  t.ok(sum > 0, 'a forwarded write takes time')

  c.partition([one])
  await refused(c.on(one).put('a', '3', { timeoutMs: 50 }), 'outcome-unknown', 'no-leader')
  await refused(c.on(one).get('a', { timeoutMs: 50 }), 'no-leader', 'read-timeout')
  t.same(count(one), [(before[0] ?? 0) + 2, (before[1] ?? 0) + 2], 'what was not answered is not counted')
})

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

/** What became of writes that came at a steady rate, and how long those took that were acknowledged or refused. */
interface Stream {
  readonly outcomes: readonly { readonly outcome: string; readonly tookMs: number }[]
  readonly count: (outcome: string) => number
  readonly slowestMs: (outcome: string) => number
}

/** Writes through `ids` in turns, one every `everyMs`, whatever becomes of those before: for `ms`. */
async function writeSteadily(
  { c, ledger }: { readonly c: TestCluster; readonly ledger: Ledger },
  ids: readonly number[],
  { everyMs, ms }: { readonly everyMs: number; readonly ms: number },
): Promise<Stream> {
  const writes: Promise<Stream['outcomes'][number]>[] = []
  const write = async (id: number): Promise<Stream['outcomes'][number]> => {
    const since = c.clock.now()
    const outcome = await ledger.write(c.on(id), { timeoutMs: 10_000 })
    return { outcome, tookMs: c.clock.now() - since }
  }
  const begin = c.clock.now()
  while (c.clock.now() < begin + ms) {
    writes.push(write(ids[writes.length % ids.length] ?? 0))
    const next = begin + writes.length * everyMs
    if (c.clock.now() < next) await c.pass(next - c.clock.now())
  }
  const outcomes = await Promise.all(writes)
  const of = (wanted: string) => outcomes.filter(({ outcome }) => outcome === wanted)
  return {
    outcomes,
    count: (outcome) => of(outcome).length,
    slowestMs: (outcome) => Math.max(0, ...of(outcome).map(({ tookMs }) => tookMs)),
  }
}

t.test(
  'three times as much as the disks take: the rest is refused at once, what is taken is answered soon, leases live on',
  async (t) => {
    const waitMs = 100
    const { c, leader, followers } = await formed(t, [1, 2, 3], { writeWaitMsMax: waitMs, writesFewMax: 8 })
    await c.on(leader).keepHistory()
    for (const { log } of c.machines.values()) log.writeMsPerByte = 0.02
    const ledger = new Ledger()
    const at = { c, ledger }
    const ids = [leader, ...followers]
    // As many as there is room for, one after the other.
    let isOver = false
    const begun = c.clock.now()
    const before = ledger.total('acknowledged')
    const busy = Array.from({ length: 24 }, async (_, n) => {
      while (!isOver) await ledger.write(c.on(ids[n % 3] ?? 0))
    })
    await c.pass(500)
    isOver = true
    await Promise.all(busy)
    const peakPerMs = (ledger.total('acknowledged') - before) / (c.clock.now() - begun)
    t.same([...ledger.codes], [], 'as much as the disks take is not refused')

    const granted = await c.on(leader).execute({ type: 'lease-grant', id: 7, ttlMs: 1_000, idempotency: null })
    t.match(granted, { type: 'lease-granted' })
    let renewals = 0
    let isStressed = true
    const keeping = (async () => {
      while (isStressed) {
        const via = c.on(ids[renewals % 3] ?? 0)
        t.match(await via.execute({ type: 'lease-renew', id: 7, idempotency: null }), { type: 'lease-renewed' })
        renewals += 1
        await c.pass(300)
      }
    })()
    const stress = await writeSteadily(at, ids, { everyMs: 1 / (3 * peakPerMs), ms: 3_000 })
    isStressed = false
    await keeping
    t.ok(renewals > 5)
    t.same([...ledger.codes.keys()], ['overloaded'])
    t.ok(stress.count('refused') > 0.5 * stress.outcomes.length, 'most of it is refused')
    t.ok(stress.slowestMs('refused') < waitMs / 10, `at once: in ${stress.slowestMs('refused')} ms`)
    const goodput = stress.count('acknowledged') / 3_000 / peakPerMs
    t.ok(goodput > 0.8, `${goodput} of the peak are done`)
    t.ok(stress.slowestMs('acknowledged') < 6 * waitMs, `the slowest takes ${stress.slowestMs('acknowledged')} ms`)

    const calm = await writeSteadily(at, ids, { everyMs: 2 / peakPerMs, ms: 1_000 })
    t.equal(calm.count('acknowledged'), calm.outcomes.length, 'it recovers by itself, at once')
    await c.settled()
    await ledger.check(c.on(leader))
  },
)

t.test('a disk that takes long for each sync, but any number of writes in one, is no reason to refuse', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], { writeWaitMsMax: 20, writesFewMax: 8 })
  for (const { log } of c.machines.values()) log.writeMs = 60
  const at = { c, ledger: new Ledger() }
  // The node learns what a write takes.
  await writeSteadily(at, [leader, ...followers], { everyMs: 2, ms: 1_000 })
  const later = await writeSteadily(at, [leader, ...followers], { everyMs: 2, ms: 1_000 })
  t.equal(later.count('acknowledged'), later.outcomes.length)
  await c.settled()
})

t.test('writes that wait for a leader are not too many, and neither is what comes at once', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], { writeWaitMsMax: 100, writesFewMax: 4 })
  const ledger = new Ledger()
  const at = { c, ledger }
  await writeSteadily(at, followers, { everyMs: 5, ms: 200 })
  const burst = await Promise.all(
    Array.from({ length: 300 }, (_, n) => ledger.write(c.on(followers[n % 2] ?? 0), { timeoutMs: 10_000 })),
  )
  t.same([...new Set(burst)], ['acknowledged'])
  await c.at(leader).crash()
  const [, meanwhile] = await Promise.all([
    c.leader(followers),
    writeSteadily(at, followers, { everyMs: 1, ms: 1_000 }),
  ])
  t.same([...ledger.codes], [])
  t.equal(meanwhile.count('acknowledged') + meanwhile.count('unknown'), meanwhile.outcomes.length)
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
