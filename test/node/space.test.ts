import t, { type Test } from 'tap'
import type { Command } from '../../src/kv/index.ts'
import type { NodeOptions } from '../../src/node/options.ts'
import { clusterRoom, reserveFor, roomOf, type VoterRoom } from '../../src/node/space/room.ts'
import type { Room } from '../../src/node/requests/disk-report.ts'
import { nodeId } from '../../src/raft/index.ts'
import { membershipOfVoters } from '../../src/node/membership/api-views.ts'
import { key } from './support/client.ts'
import { refused, specOf, specsOf, TestCluster } from './support/cluster.ts'

const MIB = 1024 * 1024
const RESERVE = 400 * MIB
const AMPLE = 10 * RESERVE
const SHORT = RESERVE - 1
const SCARCE = RESERVE / 2 - 1
/** Free again: a quarter of the reserve above it. */
const BACK = RESERVE * 1.25
const OPTIONS: Partial<NodeOptions> = { diskReserveBytes: RESERVE, featureLevelMax: 1, leaderPriority: 50 }

function statusOf(c: TestCluster, id: number) {
  return c.on(id).services.cluster.status()
}

function warningsOf(c: TestCluster, id: number): string[] {
  return statusOf(c, id).warnings.map(({ code }) => code)
}

/** A cluster whose disks have all room, and whose nodes all know it. */
async function roomy(t: Test, ids: readonly number[], options: Partial<NodeOptions> = {}) {
  const c = new TestCluster(t, ids, { ...OPTIONS, ...options })
  for (const id of ids) c.at(id).freeBytes = AMPLE
  const leader = await c.form()
  await c.on(leader).put('first', '1')
  await c.until('the level is raised', () => c.at(leader).node.replica.level === 1)
  return { c, leader, followers: ids.filter((id) => id !== leader) }
}

async function untilRefusing(c: TestCluster, isRefusing: boolean): Promise<void> {
  await c.until(`refusing: ${isRefusing}`, () =>
    c.up.every(({ id }) => c.on(id).services.health.metrics().refusesGrowth === isRefusing),
  )
}

t.test('room goes at the reserve and at half of it, and comes back a quarter of the reserve later', async (t) => {
  const cases: [free: number, before: Room, after: Room][] = [
    [400, 'ample', 'ample'],
    [399, 'ample', 'short'],
    [200, 'ample', 'short'],
    [199, 'ample', 'scarce'],
    [499, 'short', 'short'],
    [500, 'short', 'ample'],
    [200, 'short', 'short'],
    [199, 'short', 'scarce'],
    [299, 'scarce', 'scarce'],
    [300, 'scarce', 'short'],
    [499, 'scarce', 'short'],
    [500, 'scarce', 'ample'],
  ]
  for (const [free, before, after] of cases) t.equal(roomOf(free, 400, before), after, `${free} after ${before}`)
  for (const before of ['ample', 'short', 'scarce'] as const) {
    t.equal(roomOf(0, 0, before), 'ample', 'without a reserve no disk is ever short')
  }
})

t.test('the reserve of a node that was given none has room for what frees space, and fits its disk', async (t) => {
  const needs = { totalBytes: 100 * 1024 * MIB, segmentBytes: 64 * MIB, stateBytes: 0 }
  t.equal(reserveFor(needs), 320 * MIB)
  t.equal(reserveFor({ ...needs, stateBytes: 100 * MIB }), 420 * MIB, 'a small state is compacted as a whole')
  t.equal(reserveFor({ ...needs, stateBytes: 50 * 1024 * MIB }), 1088 * MIB, 'a large one in parts')
  t.equal(reserveFor({ ...needs, totalBytes: 400 * MIB }), 200 * MIB, 'half of a small disk')
})

t.test('a cluster has the room that a quorum has', async (t) => {
  const three = membershipOfVoters(specsOf([1, 2, 3]))
  const judge = (rooms: Record<number, Room | 'away'>, membership = three): Room =>
    clusterRoom(membership, (id): VoterRoom => {
      const room = rooms[id] ?? 'ample'
      return room === 'away' ? { room: 'ample', isConnected: false } : { room, isConnected: true }
    })
  t.equal(judge({}), 'ample')
  t.equal(judge({ 1: 'short' }), 'ample', 'two others commit')
  t.equal(judge({ 1: 'short', 2: 'short' }), 'short')
  t.equal(judge({ 1: 'short', 2: 'scarce' }), 'short', 'a quorum is short, not scarce')
  t.equal(judge({ 1: 'scarce', 2: 'scarce' }), 'scarce')
  t.equal(judge({ 1: 'away' }), 'ample', 'who is away is no matter of room')
  t.equal(judge({ 1: 'away', 2: 'away' }), 'ample')
  t.equal(judge({ 1: 'short', 2: 'away' }), 'short', 'the short one is needed for each commit')
  t.equal(judge({ 1: 'scarce', 2: 'away' }), 'scarce')
  t.equal(judge({ 4: 'scarce' }), 'ample', 'a learner is needed for none')
  const [one, two, four, five] = [1, 2, 4, 5].map(nodeId)
  const configs = [three.configs[0] ?? [], [one, two, four, five].filter((id) => id !== undefined)]
  const joint = { ...three, configs }
  t.equal(judge({ 4: 'short' }, joint), 'ample')
  t.equal(judge({ 4: 'short', 5: 'short' }, joint), 'short', 'both parts of a change need a quorum with room')
  t.equal(judge({ 1: 'short' }, membershipOfVoters([specOf(1)])), 'short')
})

t.test('with a quorum short, every node refuses what takes space, and takes the rest', async (t) => {
  const { c, leader, followers } = await roomy(t, [1, 2, 3])
  const ids = [leader, ...followers]
  const [one = 0, two = 0] = followers
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) await c.on(leader).put(name, 'x')
  const grant: Command = { type: 'lease-grant', id: 7, ttlMs: 600_000, idempotency: null }
  t.match(await c.on(leader).execute(grant), { type: 'lease-granted' })

  c.at(one).freeBytes = SHORT
  await c.until('it warns', () => warningsOf(c, one).includes('disk-reserve'))
  await c.pass(6_000)
  for (const id of ids) t.match(await c.on(id).put('a', 'y'), { type: 'put' }, 'two others have room')
  t.match(statusOf(c, one).node.disk, { totalBytes: 1024 ** 4, freeBytes: SHORT, reserveBytes: RESERVE, short: true })
  t.match(statusOf(c, two).node.disk, { freeBytes: AMPLE, short: false })

  c.at(two).freeBytes = SHORT
  await untilRefusing(c, true)
  const put = { type: 'put', key: key('n'), value: Buffer.from('1'), wantsPrevious: false } as const
  const growing: readonly Command[] = [
    { ...put, condition: null, idempotency: null },
    { type: 'transaction', compares: [], success: [put], failure: [], idempotency: null },
    { type: 'transaction', compares: [], success: [], failure: [put], idempotency: null },
    { ...grant, id: 8 },
    { type: 'lock-acquire', name: key('l'), ttlMs: 5_000, waitMs: 0, owner: '', idempotency: null },
  ]
  for (const id of ids) {
    for (const command of growing) {
      const error = await refused(c.on(id).execute(command), 'no-space')
      for (const short of [one, two])
        t.match(
          error.message,
          `node ${short} has 399.9 MiB of 1024 GiB free, and its reserve is 400 MiB: it has room again at 500 MiB`,
        )
      t.match(error.message, /nothing was proposed.*Delete keys, compact the history/)
      t.match(error.facts, { nodes: [{ freeBytes: SHORT, reserveBytes: RESERVE }, { totalBytes: 1024 ** 4 }] })
    }
    t.ok(warningsOf(c, id).includes('writes-refused'))
    t.equal(c.on(id).services.health.metrics().growthRefused, growing.length)
  }
  const details = ids.map((id) => statusOf(c, id).warnings.find(({ code }) => code === 'writes-refused')?.detail)
  t.equal(new Set(details).size, 1, 'what all say alike is heard once')

  const freeing: readonly Command[] = [
    { type: 'delete', key: key('a'), condition: null, wantsPrevious: false, idempotency: null },
    { type: 'delete-range', start: key('b'), end: key('c'), upToLimit: false, idempotency: null },
    {
      type: 'transaction',
      compares: [],
      success: [{ type: 'delete', key: key('d'), wantsPrevious: false }],
      failure: [],
      idempotency: null,
    },
    { type: 'lease-renew', id: 7, idempotency: null },
    { type: 'compaction', revision: 1, idempotency: null },
    { type: 'lease-revoke', id: 7, ifRenewedAt: null, idempotency: null },
  ]
  for (const command of freeing) {
    const result = await c.on(one).execute(command)
    t.not(result.type, 'level-too-low', command.type)
  }
  t.equal(await c.on(leader).get('a'), null)
  t.equal(await c.on(two).get('e'), 'x', 'reads are served')

  c.at(two).freeBytes = BACK - 1
  await c.pass(10_000)
  await refused(c.on(leader).put('n', '1'), 'no-space')
  c.at(two).freeBytes = BACK
  await untilRefusing(c, false)
  for (const id of ids) t.match(await c.on(id).put('n', '1'), { type: 'put' }, 'by themselves')
  t.same(warningsOf(c, two), [])
  t.same(warningsOf(c, one), ['disk-reserve'], 'its own disk is short still')
  await c.settled()
})

t.test('a voter that is short is needed once another is away, and no more when that comes back', async (t) => {
  const { c, leader, followers } = await roomy(t, [1, 2, 3])
  const [one = 0, two = 0] = followers
  c.at(one).freeBytes = SHORT
  await c.pass(6_000)
  await c.on(leader).put('a', '1')
  await c.at(two).crash()
  await untilRefusing(c, true)
  const error = await refused(c.on(leader).put('a', '2'), 'no-space')
  t.match(error.message, `node ${one} has 399.9 MiB of`)
  t.match(error.message, `; not connected: node ${two}; nothing was proposed`)
  await c.start(two)
  await untilRefusing(c, false)
  await c.on(leader).put('a', '3')
  await c.settled()
})

t.test('a leader whose disk is short hands over to a node with room, and does not get the lead back', async (t) => {
  const { c, leader, followers } = await roomy(t, [1, 2, 3])
  c.at(leader).freeBytes = SHORT
  await c.until('another node leads', () => followers.includes(Number(c.leaderOrNull()?.id)), 30_000)
  const next = await c.leader()
  await c.on(next).put('a', '1')
  t.same(warningsOf(c, next), [])
  t.ok(c.lines.some(({ node, event, facts }) => node === leader && event.includes('handed over') && 'room' in facts))
  c.at(leader).freeBytes = AMPLE
  for (const id of followers) c.at(id).freeBytes = SHORT
  await c.until('it leads again: now it alone has room', () => c.leaderOrNull()?.id === leader, 120_000)
  await untilRefusing(c, true)
  c.at(leader).freeBytes = SHORT
  await c.pass(120_000)
  t.equal(c.leaderOrNull()?.id, leader, 'where all are short, leadership stays')
})

t.test('what is scarce is not spent on copies of what is deleted: history is switched off first', async (t) => {
  const { c, leader } = await roomy(t, [1])
  for (const name of ['a', 'b', 'c']) await c.on(leader).put(name, 'x')
  c.at(leader).freeBytes = SCARCE
  await untilRefusing(c, true)
  const remove = (name: string): Command => ({
    type: 'delete',
    key: key(name),
    condition: null,
    wantsPrevious: false,
    idempotency: null,
  })
  const error = await refused(c.on(leader).execute(remove('a')), 'no-space')
  t.match(error.message, /history copies what is deleted.*Switch history off \(PUT \/compaction with 0 revisions\)/)
  t.match(statusOf(c, leader).warnings.at(-1)?.detail, /and deletes that history copies, are refused/)
  const retention = { revisions: 0, ageMs: 1_000, bytes: 64 * 1024 }
  await c.on(leader).execute({ type: 'retention', retention, idempotency: null })
  await c.until('the history is gone', () => c.on(leader).services.health.metrics().historyChanges === 0)
  t.match(await c.on(leader).execute(remove('a')), { type: 'delete' })
  await refused(c.on(leader).put('b', 'y'), 'no-space')
})

t.test('a node whose disk is short flushes, purges and compacts, and again only when more was applied', async (t) => {
  const { c, leader } = await roomy(t, [1], { keepEntries: 10 })
  const machine = c.at(leader)
  for (let at = 0; at < 50; at++) await c.on(leader).put(`k${at % 5}`, 'x')
  const { compactions } = machine.state
  t.equal(compactions, 0)
  t.equal(machine.view.purged, null)
  machine.freeBytes = SHORT
  await c.until('it has compacted', () => machine.state.compactions === 1)
  t.ok((machine.view.purged?.index ?? 0) >= 40, 'the log that the state covers is gone')
  await c.pass(60_000)
  t.equal(machine.state.compactions, 1, 'nothing has happened since')
  await c
    .on(leader)
    .execute({ type: 'delete', key: key('k0'), condition: null, wantsPrevious: false, idempotency: null })
  await c.until('it compacts what was deleted', () => machine.state.compactions === 2)
})

t.test('a disk that does not tell, or hangs, stays as it was', async (t) => {
  const { c, leader } = await roomy(t, [1])
  const machine = c.at(leader)
  machine.freeBytes = SHORT
  await untilRefusing(c, true)
  let release: (error: Error) => void = () => undefined
  let calls = 0
  machine.diskUsage = () => {
    calls += 1
    return new Promise((_resolve, reject) => (release = reject))
  }
  await c.until('it hangs', () => calls === 1)
  await c
    .on(leader)
    .execute({ type: 'delete', key: key('first'), condition: null, wantsPrevious: false, idempotency: null })
  await c.pass(60_000)
  t.equal(calls, 1, 'one call at a time')
  await refused(c.on(leader).put('a', '1'), 'no-space')
  machine.diskUsage = () => Promise.reject(new Error('no such device'))
  release(new Error('no such device'))
  await c.pass(60_000)
  await refused(c.on(leader).put('a', '1'), 'no-space')
  const lines = c.lines.filter(({ event }) => event === 'free space of the disk is not known')
  t.match(lines, [{ level: 'warn', facts: { error: 'no such device' } }], 'one line')
  t.equal(lines.length, 1)
  calls = 0
  machine.diskUsage = async () => {
    calls += 1
    return { totalBytes: machine.totalBytes, freeBytes: machine.freeBytes }
  }
  await c.pass(10_000)
  t.ok(calls >= 19 && calls <= 21, `every half second while little is free: ${calls}`)
  machine.freeBytes = AMPLE
  await untilRefusing(c, false)
  calls = 0
  await c.pass(60_000)
  t.ok(calls >= 11 && calls <= 13, `every five seconds while much is free: ${calls}`)
})

t.test('what a leader has said that is not heard any more holds for half a minute', async (t) => {
  const { c, leader, followers } = await roomy(t, [1, 2, 3])
  const [one = 0, two = 0] = followers
  for (const id of followers) c.at(id).freeBytes = SHORT
  await untilRefusing(c, true)
  c.partition([one])
  await c.pass(20_000)
  t.equal(c.on(one).services.health.metrics().refusesGrowth, true)
  await c.pass(20_000)
  t.equal(c.on(one).services.health.metrics().refusesGrowth, false, 'nobody knows')
  for (const id of [leader, two]) t.equal(c.on(id).services.health.metrics().refusesGrowth, true)
  c.heal()
  await untilRefusing(c, true)
})

t.test('a reserve of nothing leaves writes alone', async (t) => {
  const { c, leader } = await roomy(t, [1], { diskReserveBytes: 0 })
  c.at(leader).freeBytes = 0
  await c.pass(20_000)
  await c.on(leader).put('a', '1')
  t.match(statusOf(c, leader).node.disk, { freeBytes: 0, reserveBytes: 0, short: false })
})

t.test('a new leader leaves in force what was said before it, until it has heard from all', async (t) => {
  const { c, leader, followers } = await roomy(t, [1, 2, 3])
  const [one = 0, two = 0] = followers
  for (const id of [leader, one]) c.at(id).freeBytes = SHORT
  await untilRefusing(c, true)
  await c.until('the one with room leads', () => c.leaderOrNull()?.id === two, 120_000)
  await c.pass(20_000)
  for (const id of [leader, one, two]) {
    const changes = c.lines.filter(({ node, event }) => node === id && /^writes .* (refused|again)$/.test(event))
    t.match(changes, [{ event: 'writes that take space are refused' }], `node ${id} has changed its mind once`)
    t.equal(changes.length, 1)
  }
})
