import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { keyToText } from '../../src/kv/index.ts'
import { RequestError } from '../../src/lib/errors.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { BlockReader } from '../../src/node/backup/block-reader.ts'
import type { NodeOptions } from '../../src/node/options.ts'
import { StateReceiver } from '../../src/node/snapshots/state-stream.ts'
import { MemoryStateStore } from '../../src/storage/memory/memory-state-store.ts'
import { systemClock } from '../../src/system-clock.ts'
import { LoopbackHub } from '../../src/transport/loopback.ts'
import { eventually } from '../e2e/support/eventually.ts'
import { recordEnds } from '../storage/rocks-log.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { key } from './support/client.ts'
import { refused, specOf, specsOf, TestCluster } from './support/cluster.ts'
import { drop, formed, passAll } from './support/formed.ts'
import { Ledger } from './support/ledger.ts'
import { RealNode } from './support/real-node.ts'

/** Logs that are purged soon, and states that take many chunks. */
const SMALL: Partial<NodeOptions> = {
  purgeEveryEntries: 20,
  keepEntries: 5,
  keepBytes: 2_000,
  appendBytesMax: 1_000,
  snapshotChunkBytes: 200,
}

async function fill(c: TestCluster, id: number, count: number, prefix = 'k'): Promise<void> {
  for (let i = 0; i < count; i++) await c.on(id).put(`${prefix}${i}`, `value-${i}`)
}

function metricsOf(c: TestCluster, id: number) {
  return c.on(id).services.health.metrics()
}

t.test('one node crashes at any moment under load and comes back: nothing acknowledged is lost', async (t) => {
  for (const which of ['leader', 'follower'] as const) {
    for (const kept of [0, 3]) {
      const { c, leader, followers } = await formed(t)
      for (const { log, state } of c.machines.values()) {
        log.writeMs = 0.3
        state.writeMs = 0.5
      }
      const victim = which === 'leader' ? leader : (followers[0] ?? 0)
      const ledger = new Ledger()
      let stopped = false
      const clients = [...followers, ...followers].map(async (id) => {
        while (!stopped) {
          if (c.at(id).isUp) await ledger.write(c.on(id), { timeoutMs: 5_000 })
          await c.pass(5)
        }
      })
      for (let round = 0; round < 3; round++) {
        await c.pass(40 + round * 0.37)
        await c.at(victim).crash(kept)
        await c.pass(round === 0 ? 5 : 700)
        await c.start(victim)
        await c.until('it has caught up', () => c.at(victim).applied >= (c.leaderOrNull()?.applied ?? Infinity) - 5)
      }
      stopped = true
      await Promise.all(clients)
      await c.settled()
      await ledger.check(c.on(victim))
      t.ok(ledger.total('acknowledged') > 100, `${which}, ${kept} kept: ${ledger.total('acknowledged')} acknowledged`)
      t.equal(ledger.total('refused'), 0)
      await Promise.all(c.up.map((machine) => machine.crash()))
    }
  }
})

t.test('counters begin with the process: a restart is no leap, also where the log is long', async (t) => {
  const { c, leader, followers } = await formed(t)
  const [victim = 0] = followers
  await fill(c, leader, 50)
  await c.settled()
  const before = metricsOf(c, victim)
  t.ok(before.committedIndex >= 50)
  t.ok(before.proposalsCommitted >= 50 && before.proposalsCommitted <= before.committedIndex + 1)
  t.ok(before.proposalsApplied >= 50 && before.proposalsApplied <= before.appliedIndex + 1)
  await c.at(victim).stop()
  await c.start(victim)
  const fresh = metricsOf(c, victim)
  t.match(fresh, { proposalsCommitted: 0, proposalsApplied: 0 }, 'what a counter shows after a reset counts as new')
  await fill(c, leader, 5, 'l')
  await c.settled()
  const after = metricsOf(c, victim)
  t.equal(after.proposalsApplied, after.appliedIndex - fresh.appliedIndex)
  t.equal(after.proposalsCommitted, after.committedIndex - fresh.committedIndex)
  t.ok(after.proposalsApplied >= 5 && after.proposalsApplied < 50, `${after.proposalsApplied} entries`)
})

t.test('all nodes lose power at once: what was acknowledged is there when they are back', async (t) => {
  for (let round = 0; round < 8; round++) {
    const { c } = await formed(t, [1, 2, 3], round % 2 === 0 ? {} : SMALL)
    for (const { log, state, id } of c.machines.values()) {
      log.writeMs = 0.2 + 0.1 * id
      state.writeMs = 0.4
      state.flushMs = 1
    }
    const ledger = new Ledger()
    const clients = [1, 2, 3, 1, 2, 3].map(async (id) => {
      while (c.at(id).isUp) await ledger.write(c.on(id))
    })
    await c.pass(10 + round * 1.13)
    await Promise.all([1, 2, 3].map((id) => c.at(id).crash(round % 4)))
    await Promise.all(clients)
    for (const id of [3, 1, 2]) await c.start(id)
    await c.leader()
    await c.on(2).put('after', '1')
    await c.settled()
    for (const id of [1, 2, 3]) await ledger.check(c.on(id))
    t.ok(ledger.total('acknowledged') > 10, `${ledger.total('acknowledged')} acknowledged`)
    await Promise.all(c.up.map((machine) => machine.crash()))
  }
})

t.test('the log is purged each time it has grown by so many bytes, however often it was before', async (t) => {
  const [purgeEveryBytes, keepBytes] = [64 * 1024, 16 * 1024]
  const { c, leader } = await formed(t, [1, 2, 3], { purgeEveryBytes, keepBytes, keepEntries: 1 })
  let most = 0
  for (let i = 0; i < 120; i++) {
    await c.on(leader).put(`k${i % 8}`, 'v'.repeat(8_192))
    await c.pass(20)
    for (const id of [1, 2, 3]) most = Math.max(most, metricsOf(c, id).logBytes)
  }
  // Entries come while the state is written.
  t.ok(most < purgeEveryBytes + 3 * keepBytes, `at most ${most} bytes`)
})

t.test('a follower that needs what is purged gets the state, and then the log', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3, 4], SMALL)
  const [away = 0] = followers
  await c.at(away).crash()
  await fill(c, leader, 150)
  await c.on(leader).delete('k3')
  t.ok((c.at(leader).view.purged?.index ?? 0) > 100, 'the log is short')
  await c.start(away)
  let stopped = false
  const writing = (async () => {
    for (let i = 0; !stopped; i++) {
      await c.on(leader).put(`during-${i}`, String(i))
      await c.pass(1)
    }
  })()
  await c.until('it is close', () => c.at(away).applied >= c.at(leader).applied - 3 && c.at(away).applied > 150)
  stopped = true
  await writing
  await c.settled()
  t.equal(metricsOf(c, away).snapshotsInstalled, 1)
  t.ok(metricsOf(c, leader).snapshotsSent >= 1)
  t.equal(await c.on(away).get('k149'), 'value-149')
  t.equal(await c.on(away).get('k3'), null)
  t.same((await c.on(away).scan()).items, (await c.on(leader).scan()).items)
  // It restarts from what it was given, at once and after more.
  await c.restart(away)
  await c.settled()
  await fill(c, leader, 3, 'more')
  await c.restart(away)
  await c.settled()
  t.equal(metricsOf(c, away).snapshotsInstalled, 0, 'and needs no other')
  t.same((await c.on(away).scan()).items, (await c.on(leader).scan()).items)
  await c.at(leader).crash()
  await c.leader(followers)
  t.equal(await c.on(away).get('more2'), 'value-2')
  t.match(await c.on(away).put('k1', 'x'), { version: 2 })
})

t.test('a node that joins late gets the state with the membership, and keeps both over a restart', async (t) => {
  const { c, leader } = await formed(t, [1, 2, 3], SMALL)
  const d = new TestCluster(t, [1, 2], SMALL)
  await d.start(1, 2)
  await d.on(1).initialize([specOf(1)])
  await fill(d, 1, 60)
  await d.on(1).addLearner(specOf(2))
  await d.settled()
  t.equal(metricsOf(d, 2).snapshotsInstalled, 1)
  await d.restart(2)
  t.equal(d.on(2).status().node.state, 'learner')
  t.same(d.on(2).membership().membership.learners, [2])
  await d.on(1).change([1, 2])
  await d.settled()
  await d.at(2).crash()
  await d.start(2)
  await d.settled()
  t.same(d.on(2).membership().membership.configs, [[1, 2]])
  t.ok(leader)
  await c.settled()
})

t.test('the stream of the state breaks off anywhere: it is sent again until it arrives', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], SMALL)
  const [away = 0] = followers
  await c.at(away).crash()
  await fill(c, leader, 100)
  let breaks = 0
  const seen = new Set<number>()
  c.interference.breaksOff = (_header, to, chunk) => {
    seen.add(chunk)
    if (to !== away || chunk < breaks * 3) return false
    breaks += 1
    return breaks <= 8
  }
  let progress = 0
  let failure: string | null = null
  const attempts = new Set<number>()
  await c.start(away)
  await c.until(
    'it has arrived',
    () => {
      const snapshot = c.on(leader).status().nodes[String(away)]?.snapshot ?? null
      progress = Math.max(progress, snapshot?.bytesSent ?? 0)
      failure = snapshot?.lastFailure ?? failure
      attempts.add(snapshot?.attempt ?? 1)
      return metricsOf(c, away).snapshotsInstalled > 0
    },
    60_000,
  )
  await c.settled()
  t.equal(breaks, 9, 'eight were cut off')
  t.ok(seen.size > 20, `a state has ${seen.size} chunks`)
  t.ok(progress > 0, 'progress is shown')
  t.ok(attempts.has(9), 'with the number of the attempt')
  t.match(failure, /./, 'and why an earlier one failed')
  await c.until('and gone when it is over', () => c.on(leader).status().nodes[String(away)]?.snapshot === null)
  t.same((await c.on(away).scan()).items, (await c.on(leader).scan()).items)
})

t.test(
  'the receiver crashes anywhere while it receives or installs: it has the old state or the new one',
  async (t) => {
    const outcomes = new Set<boolean>()
    for (const [chunk, commitMs, logMs, waitMs] of [
      [0, 0, 0, 0],
      [5, 0, 0, 0],
      [20, 0, 0, 0],
      [null, 5, 0, 2],
      [null, 0.1, 5, 2],
      [null, 0.1, 0.1, 0.3],
      [null, 0.1, 0.1, 1],
    ] as const) {
      const { c, leader, followers } = await formed(t, [1, 2, 3], SMALL)
      const [away = 0] = followers
      await fill(c, leader, 10, 'early')
      await c.settled()
      await c.at(away).crash(1_000)
      await fill(c, leader, 100)
      let reached = false
      c.interference.breaksOff = (_header, to, at) => {
        if (to === away && (chunk === null || at === chunk)) reached = true
        return false
      }
      c.at(away).state.commitMs = commitMs
      await c.start(away)
      await c.until('the stream is there', () => reached)
      c.at(away).log.writeMs = logMs
      if (chunk === null) {
        await c.until(
          'the stream has ended',
          () => c.at(away).state.flushed.at(-1)?.type === 'install' || commitMs === 5,
          5_000,
        )
        await c.pass(waitMs)
      }
      await c.at(away).crash()
      c.at(away).log.writeMs = 0
      c.at(away).state.commitMs = 0
      await c.start(away)
      const { applied } = c.at(away)
      outcomes.add(applied > 50)
      await c.settled()
      t.same((await c.on(away).scan()).items, (await c.on(leader).scan()).items)
      await fill(c, away, 5, 'late')
      await c.settled()
      await Promise.all(c.up.map((machine) => machine.crash()))
    }
    t.equal(outcomes.size, 2, 'both were met')
  },
)

t.test('a write that arrives by way of the state is not waited for any longer, and not proposed again', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], SMALL)
  const [away = 0] = followers
  drop(c, (message) => message.type === 'append-request' && message.to === away && message.batches.length > 0)
  const ledger = new Ledger()
  const before = c.clock.now()
  const write = ledger.write(c.on(away), { timeoutMs: 60_000 })
  await c.until('the leader has it', () => (c.at(leader).view.last?.index ?? 0) >= 2)
  await fill(c, leader, 60)
  t.equal(await write, 'unknown')
  t.ok(c.clock.now() - before < 5_000, `after ${Math.round(c.clock.now() - before)} ms`)
  t.equal(metricsOf(c, away).snapshotsInstalled, 1)
  passAll(c)
  await c.settled()
  await ledger.check(c.on(away))
  t.equal(await c.on(away).get('entry-0'), 'entry-0')
})

t.test('leadership changes while the state is sent: the next leader sends it', async (t) => {
  for (const how of ['crash', 'transfer', 'partition'] as const) {
    const { c, leader, followers } = await formed(t, [1, 2, 3, 4, 5], { ...SMALL, snapshotBytesPerSecondMax: 100_000 })
    const [away = 0, next = 0] = followers
    await c.at(away).crash()
    await fill(c, leader, 100)
    let chunks = 0
    c.interference.breaksOff = (_header, to) => {
      if (to === away) chunks += 1
      return false
    }
    await c.start(away)
    await c.until('some of it is sent', () => chunks > 5)
    const before = c.clock.now()
    if (how === 'crash') await c.at(leader).crash()
    else if (how === 'transfer') await c.on(leader).transfer(next)
    else c.partition([leader])
    const rest = [1, 2, 3, 4, 5].filter((id) => id !== leader && id !== away)
    await c.leader(rest)
    await c.until('it has arrived', () => metricsOf(c, away).snapshotsInstalled > 0, 60_000)
    const tookMs = c.clock.now() - before
    t.ok(tookMs < 5_000, `after ${how} it took ${Math.round(tookMs)} ms`)
    c.heal()
    await fill(c, next, 10, 'more')
    if (how === 'crash') await c.start(leader)
    await c.settled()
    t.same((await c.on(away).scan()).items, (await c.on(next).scan()).items)
    await Promise.all(c.up.map((machine) => machine.crash()))
  }
})

t.test(
  'purge: frees what the state covers, on this node alone, and a node that needs it is sent the state',
  async (t) => {
    const { c, leader, followers } = await formed(t)
    const [one = 0, away = 0] = followers
    await fill(c, leader, 30)
    await c.settled()
    await c.at(away).crash()
    await fill(c, leader, 30, 'more')
    await c.settled([leader, one])
    const { purged } = await c.on(leader).purge()
    t.match(purged, { index: c.at(leader).applied })
    t.match(c.on(leader).status().purged, purged)
    t.equal(c.on(one).status().purged, null)
    t.match((await c.on(leader).purge()).purged, { index: purged?.index }, 'nothing is left to free')
    await c.start(away)
    await c.settled()
    t.equal(metricsOf(c, away).snapshotsInstalled, 1)
    await c.restart(leader)
    await c.settled()
    t.equal(await c.on(leader).stale('more29'), 'value-29')
    for (const id of [1, 2, 3]) await c.at(id).crash()
    await c.start(1, 2, 3)
    await c.leader()
    t.equal(await c.on(leader).get('k0'), 'value-0')
    await c.settled()
  },
)

t.test('a node whose log has lost acknowledged entries does not vote until a leader has repaired it', async (t) => {
  // The last loses its first entry as well, and with it all that it knew of its peers.
  for (const lost of [1, 5, 12, Infinity]) {
    const { c, leader, followers } = await formed(t)
    const [damaged = 0, other = 0] = followers
    await fill(c, leader, 10)
    await c.settled()
    // The third one has nothing of the rest, so that leader and damaged node were the quorum.
    await c.at(other).crash()
    await fill(c, leader, 3, 'acknowledged')
    await c.settled([leader, damaged])
    await c.at(damaged).crash()
    const last = c.at(leader).view.last?.index ?? 0
    c.at(damaged).log.loseTail(last as never, Math.min(lost, last + 1))
    await c.at(leader).crash()
    await c.start(damaged, other)
    t.ok(c.at(damaged).view.recovering)
    await c.pass(10_000)
    t.equal(c.leaderOrNull(), null, 'the two of them would lose what was acknowledged')
    t.equal(metricsOf(c, damaged).elections, 0)
    t.throws(() => c.on(damaged).campaign(), { code: lost === Infinity ? 'no-leader' : 'no-transfer-target' })
    await c.restart(damaged)
    t.ok(c.at(damaged).view.recovering, 'a restart is no repair')
    await c.start(leader)
    await c.leader()
    await c.settled()
    t.notOk(c.at(damaged).view.recovering)
    t.equal(await c.on(damaged).get('acknowledged2'), 'value-2')
    await c.at(leader).crash()
    await c.leader([damaged, other])
    t.match(await c.on(damaged).put('acknowledged2', 'x'), { version: 2 }, 'now it votes again')
    await c.restart(damaged)
    t.notOk(c.at(damaged).view.recovering)
    await Promise.all(c.up.map((machine) => machine.crash()))
  }
})

t.test('what must not be served is refused at the start, with a reason', async (t) => {
  const { c } = await formed(t, [1], SMALL)
  await fill(c, 1, 60)
  await c.at(1).stop()
  const { flushed } = c.at(1).state
  c.at(1).state.flushed = []
  await t.rejects(c.at(1).start(), { name: 'StorageError', kind: 'refused', message: /state/ })
  c.at(1).state.flushed = flushed
  await c.start(1)
  await c.leader()
  t.equal(await c.on(1).get('k59'), 'value-59')
  const last = c.at(1).view.last?.index ?? 0
  await c.at(1).crash()
  c.at(1).log.loseTail(last as never, 1)
  await t.rejects(c.at(1).start(), { name: 'StorageError', kind: 'refused', message: /backup/ })
})

t.test('a node whose disk fails stops, acknowledges nothing more, and the others go on', async (t) => {
  const { c, leader, followers } = await formed(t)
  await c.on(leader).put('a', '1')
  c.at(leader).log.failure = new Error('EIO: the disk is broken')
  const ledger = new Ledger()
  const writes = [leader, ...followers].map((id) => ledger.write(c.on(id), { timeoutMs: 20_000 }))
  await c.until('it has stopped itself', () => c.faults.length > 0)
  t.match(c.faults.splice(0), [{ node: leader, error: { message: /the disk is broken/ } }])
  await refused(c.on(leader).put('b', '1'), 'shutting-down')
  await refused(c.on(leader).get('a'), 'shutting-down')
  t.ok(
    c
      .on(leader)
      .services.health.live()
      .some(({ ok }) => !ok),
  )
  await c.at(leader).crash()
  t.ok(['unknown', 'refused'].includes((await writes[0]) ?? ''))
  await Promise.all(writes)
  await c.leader(followers)
  await c.on(followers[0] ?? 0).put('a', '2')
  c.at(leader).log.failure = null
  await c.start(leader)
  await c.settled()
  await ledger.check(c.on(leader))
})

t.test('a leader whose disk stands still for a moment goes on leading, and its followers commit', async (t) => {
  const { c, leader, followers } = await formed(t)
  const { term } = c.at(leader).view.vote.leaderId
  c.at(leader).log.writeMs = 6_000
  for (let i = 0; i < 60; i++) {
    await c.on(leader).put(`k${i}`, 'v', { timeoutMs: 300 })
    await c.pass(100)
  }
  c.at(leader).log.writeMs = 0
  t.ok(followers.every((id) => c.at(id).view.leader === leader))
  t.equal(c.at(leader).view.vote.leaderId.term, term, 'nobody stood')
  await c.settled()
})

t.test('a leader whose disk stands still while much waits makes room for another one at once', async (t) => {
  const { c, leader, followers } = await formed(t)
  c.at(leader).log.writeMs = Infinity
  const before = c.clock.now()
  const value = 'x'.repeat(8 * 1024 * 1024)
  for (let i = 0; i < 9; i++) await c.on(leader).put(`k${i}`, value)
  await c.until('another one leads', () => followers.some((id) => c.at(id).view.state === 'leader'))
  t.ok(c.clock.now() - before < 4_500, `after ${Math.round(c.clock.now() - before)} ms`)
  await c.at(leader).crash()
})

t.test('a leader whose disk hangs makes room for another one', async (t) => {
  const { c, leader, followers } = await formed(t)
  await c.on(leader).put('a', '1')
  c.at(leader).log.writeMs = Infinity
  const ledger = new Ledger()
  const before = c.clock.now()
  let stopped = false
  const clients = followers.map(async (id) => {
    while (!stopped) {
      await ledger.write(c.on(id), { timeoutMs: 20_000 })
      await c.pass(5)
    }
  })
  await c.until('another one leads', () => followers.some((id) => c.at(id).view.state === 'leader'))
  t.ok(c.clock.now() - before < 10_500, `after ${Math.round(c.clock.now() - before)} ms`)
  await c.pass(500)
  stopped = true
  await Promise.all(clients)
  t.ok(ledger.total('acknowledged') > 20)
  await c.at(leader).crash()
  c.at(leader).log.writeMs = 0
  await c.start(leader)
  await c.settled()
  await ledger.check(c.on(leader))
})

t.test('a leader whose disk takes long for a large write goes on leading', async (t) => {
  const { c, leader, followers } = await formed(t)
  const { term } = c.at(leader).view.vote.leaderId
  c.at(leader).log.writeMs = 2_500
  await c.on(leader).put('a', 'x'.repeat(16 * 1024 * 1024))
  await c.pass(2_600)
  t.ok(followers.every((id) => c.at(id).view.leader === leader))
  t.equal(c.at(leader).view.vote.leaderId.term, term, 'nobody stood')
})

t.test(
  'stop under load answers everything that is asked, at once, and hands leadership over first if told to',
  async (t) => {
    for (const transfer of [true, false]) {
      for (const who of ['leader', 'follower'] as const) {
        const { c, leader, followers } = await formed(t)
        for (const { log } of c.machines.values()) log.writeMs = 0.4
        const stopping = who === 'leader' ? leader : (followers[0] ?? 0)
        const rest = [1, 2, 3].filter((id) => id !== stopping)
        const node = c.on(stopping)
        const ledger = new Ledger()
        let open = 0
        const orders: boolean[] = []
        c.interference.intercept = (message) => {
          if (message.type === 'vote-request') orders.push(message.transfer)
          return [message]
        }
        await c.on(leader).put('a', '1')
        const writes = Array.from({ length: 40 }, async (_, i) => {
          await c.pass(i * 0.2)
          open += 1
          await ledger.write(node)
          open -= 1
        })
        const codes = new Set<unknown>()
        const others = Array.from({ length: 20 }, async (_, i) => {
          await c.pass(i * 0.4)
          for (const call of [
            () => node.get('a'),
            () => node.scan(),
            () => node.learners(),
            () => node.change([1, 2, 3]),
          ]) {
            open += 1
            await call().catch((error: { name: unknown; code: unknown }) => {
              if (error.name !== 'RequestError') throw error
              codes.add(error.code)
            })
            open -= 1
          }
        })
        let gapMs = 0
        let stopped = false
        const beside = (async () => {
          for (let last = c.clock.now(); !stopped; last = c.clock.now()) {
            if ((await ledger.write(c.on(rest[0] ?? 0))) !== 'acknowledged')
              throw new Error('a write beside was not acknowledged')
            gapMs = Math.max(gapMs, c.clock.now() - last)
            await c.pass(1)
          }
        })()
        await c.pass(3)
        const before = c.clock.now()
        await c.at(stopping).node.stop({ transfer })
        t.ok(c.clock.now() - before < 700, `it took ${Math.round(c.clock.now() - before)} ms`)
        await c.until('all is answered', () => open === 0, 10)
        await Promise.all([...writes, ...others])
        await c.at(stopping).stop()
        for (const code of codes)
          t.ok(['shutting-down', 'outcome-unknown', 'no-leader'].includes(String(code)), String(code))
        t.ok(codes.has('shutting-down'), [...codes].join())
        await c.leader(rest)
        if (who === 'leader') t.equal(orders[0], transfer, 'the next one is told to campaign, or finds out by itself')
        await c.pass(200)
        stopped = true
        await beside
        t.ok(
          gapMs < (who === 'follower' || transfer ? 150 : 700),
          `writes beside it waited ${Math.round(gapMs)} ms (${who}, ${transfer})`,
        )
        await c.start(stopping)
        await c.settled()
        await ledger.check(c.on(stopping))
        await Promise.all(c.up.map((machine) => machine.crash()))
      }
    }
  },
)

t.test('a state stream that is not what it claims to be is refused', async (t) => {
  const { c, leader } = await formed(t, [1], SMALL)
  await fill(c, leader, 40)
  const whole: Uint8Array[] = []
  const { chunks } = await c.on(leader).services.cluster.snapshot('linearizable', 5_000)
  const reader = new BlockReader(chunks)
  await reader.prefix()
  for (let block = await reader.next(); block.kind !== 'end'; block = await reader.next())
    if (block.kind !== 'header') whole.push(Buffer.from(block.body))
  const [meta, first, second] = whole
  const trailer = whole.at(-1)
  if (meta === undefined || first === undefined || second === undefined || trailer === undefined)
    throw new Error('the stream is short')
  const flipped = Buffer.from(first)
  flipped[flipped.length - 1] = (flipped.at(-1) ?? 0) ^ 1
  const cases: [string, readonly Uint8Array[], RegExp][] = [
    ['rows that change places', [meta, second, first], /out of order/],
    ['rows that come twice', [meta, first, first], /out of order/],
    ['rows left out', [meta, first, trailer], /do not match the trailer/],
    ['a flipped bit', [meta, flipped, ...whole.slice(2)], /do not match the trailer/],
    ['two metas', [meta, meta], /two metas/],
    ['a row that is cut off', [meta, first.subarray(0, 5)], /cut off/],
    ['an end before the trailer', whole.slice(0, -1), /before its trailer/],
    ['something behind the trailer', [...whole, first], /follows the trailer/],
    ['a chunk of another kind', [Buffer.from([7])], /kind 7/],
    ['an empty chunk', [Buffer.alloc(0)], /kind none/],
  ]
  for (const [name, stream, message] of cases) {
    const store = new MemoryStateStore()
    await store.open()
    const receiver = new StateReceiver(await store.beginInstall())
    const received = (async () => {
      for (const chunk of stream) await receiver.accept(chunk)
      receiver.finish()
    })()
    await t.rejects(received, { name: 'StateStreamError', message }, name)
  }
})

t.test('entries that are only on disk are read from there, for followers and for the state machine', async (t) => {
  const { c, leader, followers } = await formed(t, [1, 2, 3], { appendBytesMax: 500 })
  const [away = 0] = followers
  await c.at(away).crash()
  await fill(c, leader, 80)
  for (const { log } of c.machines.values()) log.readMs = 0.5
  await c.start(away)
  const ledger = new Ledger()
  for (let i = 0; i < 20; i++) await ledger.write(c.on(followers[1] ?? 0))
  await c.settled()
  t.equal(metricsOf(c, away).snapshotsInstalled, 0)
  for (const id of [1, 2, 3]) await c.at(id).crash()
  await c.start(1, 2, 3)
  await c.leader()
  await c.settled()
  await ledger.check(c.on(away))
  // A leader that loses leadership while it reads sends nothing of what it read.
  const now = await c.leader()
  const [slow = 0, next = 0] = [1, 2, 3].filter((id) => id !== now)
  c.partition([slow])
  await fill(c, now, 40, 'more')
  c.at(now).log.readMs = 30
  c.heal()
  await c.pass(200)
  await c.on(now).transfer(next)
  c.at(now).log.readMs = 0
  await c.settled()
  t.equal(await c.on(slow).get('more39'), 'value-39')
})

t.test('a divergent tail is replaced by what was agreed on', async (t) => {
  const { c, leader, followers } = await formed(t)
  await fill(c, leader, 5)
  await c.settled()
  c.partition([leader])
  const lost = Array.from({ length: 30 }, (_, i) =>
    refused(c.on(leader).put(`lost-${i}`, 'x', { timeoutMs: 50 }), 'outcome-unknown'),
  )
  await Promise.all(lost)
  const now = await c.leader(followers)
  await fill(c, now, 10, 'kept')
  drop(c, ({ type }) => type === 'vote-request')
  c.heal()
  await c.settled()
  passAll(c)
  for (const id of [1, 2, 3]) {
    t.equal(await c.on(id).get('lost-0'), null)
    t.equal(await c.on(id).get('kept9'), 'value-9')
  }
  await c.restart(leader)
  await c.settled()
  t.equal(await c.on(leader).get('lost-29'), null)
})

t.test(
  'on the real stores: restarts, purged logs and a state sent to a newcomer lose nothing',
  { timeout: 240_000 },
  async (t) => {
    const root = await temporaryDirectory(t)
    const hub = new LoopbackHub({ clock: systemClock, random: new SeededRandom(1) })
    const up = new Map<number, RealNode>()
    const at = (id: number): RealNode => {
      const node = up.get(id)
      if (node === undefined) throw new Error(`node ${id} does not run`)
      return node
    }
    const start = async (...ids: number[]): Promise<void> => {
      for (const id of ids) up.set(id, await RealNode.start(id, join(root, String(id)), hub))
    }
    const stop = async (...ids: number[]): Promise<void> => {
      await Promise.all(ids.map((id) => at(id).stop()))
      for (const id of ids) up.delete(id)
    }
    t.teardown(async () => await stop(...up.keys()))
    const written = new Map<string, string>()
    const write = async (id: number, name: string, value: string): Promise<void> => {
      const command = { type: 'put', key: key(name), value: Buffer.from(value), condition: null } as const
      await at(id).services.keys.execute({ ...command, wantsPrevious: false, idempotency: null }, 30_000)
      written.set(name, value)
    }
    const fill = async (ids: readonly number[], count: number, prefix: string): Promise<void> => {
      const unknown = new Set<string>()
      const writes = Array.from({ length: count }, async (_, i) => {
        const name = `${prefix}${i % 70}`
        try {
          await write(ids[i % ids.length] ?? 1, name, `${prefix}-${i}`.repeat(20))
        } catch (error) {
          // A node so slow that it is sent the state never learns what became of its own writes before.
          if (!(error instanceof RequestError && error.code === 'outcome-unknown')) throw error
          unknown.add(name)
        }
      })
      await Promise.all(writes)
      for (const name of unknown) await write(1, name, 'once more')
    }
    const check = async (id: number): Promise<void> => {
      const options = {
        consistency: 'linearizable',
        minRevision: null,
        maxStalenessMs: null,
        timeoutMs: 30_000,
      } as const
      const scan = await at(id).services.keys.scan({ start: null, end: null, after: null, reverse: false }, options)
      const { items } = await scan.next(10_000, 1e9)
      await scan.close()
      t.equal(items.length, written.size)
      t.ok(
        items.every(({ key: name, record }) => written.get(keyToText(name)) === Buffer.from(record.value).toString()),
        `node ${id} has everything`,
      )
    }
    await start(1, 2, 3)
    await at(1).services.cluster.initialize(specsOf([1, 2, 3]), 'committed', 30_000)
    for (const id of [2, 3]) await at(id).until('it knows the cluster', ({ membership }) => membership !== null)
    for (let round = 0; round < 4; round++) await fill([1, 2, 3], 60, `a${round}-`)
    await stop(3)
    for (let round = 0; round < 4; round++) await fill([1, 2], 60, `b${round}-`)
    t.ok((at(1).status().purged?.index ?? 0) > 0, 'the log is purged')
    await stop(1, 2)
    await start(1, 2, 3)
    await fill([3], 60, 'c')
    for (const id of [1, 2, 3]) await check(id)
    await start(4)
    await at(2).services.cluster.addLearner(specOf(4), true, 30_000)
    await at(2).services.cluster.changeVoters(
      { voters: { add: [4], remove: [1] }, retain: false, allowLagging: false, force: false, ifMembershipAt: null },
      30_000,
    )
    t.equal(at(4).services.health.metrics().snapshotsInstalled, 1)
    await at(1).until('node 1 knows that it left', ({ node }) => node.state === 'removed')
    await stop(2, 3, 4)
    await start(2, 3, 4)
    await fill([4], 30, 'd')
    for (const id of [2, 3, 4]) await check(id)
    const last = at(4).status().lastLogId?.index
    for (const id of [2, 3, 4]) await at(id).until('everything is applied', ({ applied }) => applied?.index === last)
    t.equal(new Set([2, 3, 4].map((id) => at(id).status().digest)).size, 1)
  },
)

t.test('on the real stores: a power cut while RocksDB switches buffers loses nothing acknowledged', async (t) => {
  const root = await temporaryDirectory(t)
  const hub = new LoopbackHub({ clock: systemClock, random: new SeededRandom(1) })
  const options = { purgeEveryEntries: 1_000_000, writeBufferBytes: 512 * 1024 }
  let node = await RealNode.start(1, join(root, 'live'), hub, options)
  let runs = true
  const stop = async (): Promise<void> => {
    if (runs) await node.stop()
    runs = false
  }
  t.teardown(stop)
  await node.services.cluster.initialize(specsOf([1]), 'committed', 30_000)
  const written: string[] = []
  const write = async (): Promise<void> => {
    const name = `k${String(written.length).padStart(4, '0')}`
    const command = { type: 'put', key: key(name), value: Buffer.alloc(20_000, name), condition: null } as const
    await node.services.keys.execute({ ...command, wantsPrevious: false, idempotency: null }, 30_000)
    written.push(name)
  }
  const generation = join(root, 'live', 'state', 'generation-1')
  const logs = async (): Promise<Map<string, Buffer>> => {
    const names = (await readdir(generation)).filter((name) => name.endsWith('.log'))
    const found = new Map<string, Buffer>()
    // One that is gone by now has been written out.
    for (const name of names) found.set(name, await readFile(join(generation, name)).catch(() => Buffer.alloc(0)))
    return found
  }

  // Each gets a record of its own in the log of the first buffer.
  for (let count = 1; count <= 4; count++) {
    await write()
    await eventually('the state has it', async () => {
      const [log] = (await logs()).values()
      return log !== undefined && recordEnds(log).length >= count ? true : null
    })
  }
  await cp(join(root, 'live', 'state'), join(root, 'before'), { recursive: true })
  const [[first, whole] = ['', Buffer.alloc(0)]] = await logs()
  const next = await eventually('the log of the next buffer', async () => {
    await write()
    for (const [name, log] of await logs()) if (name !== first && log.length > 0) return { name, log }
    return null
  })
  await cp(join(root, 'live', 'log'), join(root, 'log'), { recursive: true })
  await stop()

  const ends = recordEnds(whole)
  t.ok(ends.length >= 4, `${ends.length} records`)
  for (const end of [0, ...ends]) {
    const image = join(root, `image-${end}`)
    await cp(join(root, 'before'), join(image, 'state'), { recursive: true })
    await cp(join(root, 'log'), join(image, 'log'), { recursive: true })
    await writeFile(join(image, 'state', 'generation-1', first), whole.subarray(0, end))
    await writeFile(join(image, 'state', 'generation-1', next.name), next.log)
    node = await RealNode.start(1, image, hub, options)
    runs = true
    const consistency = { consistency: 'linearizable', minRevision: null, maxStalenessMs: null } as const
    const range = { start: null, end: null, after: null, reverse: false }
    const scan = await node.services.keys.scan(range, { ...consistency, timeoutMs: 30_000 })
    const { items } = await scan.next(10_000, 1e9)
    await scan.close()
    t.same(
      items.map(({ key: name }) => keyToText(name)),
      written,
      `the first log up to byte ${end} of ${whole.length}`,
    )
    await stop()
    await rm(image, { recursive: true })
  }
})
