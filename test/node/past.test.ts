import t from 'tap'
import type { ReadOptions } from '../../src/api/services.ts'
import { keyToText, type Command, type Key, type Retention } from '../../src/kv/index.ts'
import { limits } from '../../src/limits.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { Historian } from '../../src/node/history/historian.ts'
import { key, revisionOf } from './support/client.ts'
import { refused, type TestCluster } from './support/cluster.ts'
import { formed } from './support/formed.ts'
import { VirtualClock } from './support/virtual-clock.ts'

const HOUR = 3_600_000
const KEPT: Retention = { revisions: 1_000_000, ageMs: 24 * HOUR, bytes: 1024 ** 3 }

const raise = (retention: Retention): Command => ({
  type: 'raise-level',
  level: 1,
  version: '0.0.0-test',
  retention,
  idempotency: null,
})
const compaction = (revision: number | null): Command => ({ type: 'compaction', revision, idempotency: null })
const setting = (retention: Retention): Command => ({ type: 'retention', retention, idempotency: null })

function historyOf(c: TestCluster, id: number) {
  const { history } = c.at(id).node.replica.applier.machineState
  if (history === null) throw new Error('the cluster has no history')
  return history
}

function reading(options: Partial<ReadOptions>): ReadOptions {
  return { consistency: 'linearizable', minRevision: null, maxStalenessMs: null, timeoutMs: 2_000, ...options }
}

interface Range {
  readonly start: string | null
  readonly end: string | null
  readonly reverse: boolean
}

/** The records of a range at a revision, in pieces of `limit`; the next piece begins a new scan when `anew`. */
async function list(
  c: TestCluster,
  id: number,
  range: Range,
  revision: number,
  { limit = 3, bytes = 1e9, anew = false } = {},
) {
  const { keys } = c.at(id).node.services
  const bound = (text: string | null): Key | null => (text === null ? null : key(text))
  const bounds = { start: bound(range.start), end: bound(range.end), reverse: range.reverse }
  const items: [string, string, number][] = []
  let scan = await keys.scan({ ...bounds, after: null }, reading({ revision }))
  for (let done = false; !done;) {
    const piece = await scan.next(limit, bytes)
    for (const { key: found, record } of piece.items)
      items.push([keyToText(found), Buffer.from(record.value).toString(), record.modRevision])
    done = piece.done
    const last = piece.items.at(-1)
    if (!anew || done || last === undefined) continue
    await scan.close()
    scan = await keys.scan({ ...bounds, after: last.key }, reading({ revision }))
  }
  await scan.close()
  return items
}

const STRANGE = [
  'a',
  'a\0',
  'a\0\0',
  'a\0\xff',
  'a\x01',
  'aa',
  'b',
  '\0',
  '\0\0',
  '\xff',
  '😀',
  '😀😀',
  '__proto__',
  'constructor',
]

type Model = ReadonlyMap<string, { readonly value: string; readonly modRevision: number }>

function byBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other))
}

function inModel(model: Model, { start, end, reverse }: Range): [string, string, number][] {
  const items = [...model]
    .filter(([name]) => (start === null || byBytes(name, start) >= 0) && (end === null || byBytes(name, end) < 0))
    .sort(([one], [other]) => byBytes(one, other))
    .map(([name, { value, modRevision }]): [string, string, number] => [name, value, modRevision])
  return reverse ? items.reverse() : items
}

t.test('every read of the past gives what a read then would have given, whatever was written since', async (t) => {
  for (let seed = 1; seed <= 6; seed++) {
    const random = new SeededRandom(seed)
    const pick = <T>(among: readonly T[]): T => {
      const found = among[random.integer(0, among.length)]
      if (found === undefined) throw new Error('nothing to pick from')
      return found
    }
    const { c, leader } = await formed(t, [1])
    const client = c.on(leader)
    await client.put('before', 'history')
    await client.execute(raise(KEPT))
    const model = new Map<string, { value: string; modRevision: number }>([
      ['before', { value: 'history', modRevision: c.at(leader).node.replica.applier.revision }],
    ])
    const past: { revision: number; model: Model }[] = [
      { revision: c.at(leader).node.replica.applier.revision, model: new Map(model) },
    ]
    for (let step = 0; step < 150; step++) {
      const name = pick(STRANGE)
      const kind = random.integer(0, 10)
      if (kind < 6) {
        const value = random.integer(0, 8) === 0 ? 'x'.repeat(3000) : `${step}`
        const modRevision = revisionOf(await client.put(name, value))
        model.set(name, { value, modRevision })
      } else if (kind < 9) {
        await client.delete(name)
        model.delete(name)
      } else {
        await client.deleteRange(name, null)
        for (const one of model.keys()) if (byBytes(one, name) >= 0) model.delete(one)
      }
      const { revision } = c.at(leader).node.replica.applier
      if (past.at(-1)?.revision !== revision) past.push({ revision, model: new Map(model) })
      // Most reads come while the last changes are still on their way to the store.
      if (random.integer(0, 4) === 0) await c.pass(random.integer(0, 30))
      const then = pick(past)
      const one = await client.get(name, { revision: then.revision })
      if (one !== (then.model.get(name)?.value ?? null))
        throw new Error(`seed ${seed}: ${JSON.stringify(name)} at ${then.revision} was read as ${one}`)
      if (step % 5 !== 0) continue
      const [first, second] = [pick(STRANGE), pick(STRANGE)].sort(byBytes)
      const range = {
        start: random.integer(0, 3) === 0 ? null : (first ?? null),
        end: random.integer(0, 3) === 0 ? null : (second ?? null),
        reverse: random.integer(0, 2) === 0,
      }
      const paging = { limit: random.integer(1, 6), bytes: pick([1, 100, 1e9]), anew: random.integer(0, 2) === 0 }
      t.strictSame(await list(c, leader, range, then.revision, paging), inModel(then.model, range), `seed ${seed}`)
    }
    const oldest = past[40]?.revision ?? 0
    await client.execute(compaction(oldest))
    for (const then of past) {
      const range = { start: null, end: null, reverse: false }
      if (then.revision < oldest) await refused(list(c, leader, range, then.revision), 'compacted')
      else t.strictSame(await list(c, leader, range, then.revision), inModel(then.model, range), `after compaction`)
    }
    await Promise.all(c.up.map((machine) => machine.crash()))
  }
})

t.test('a listing of the past costs by its keys, not by how often they were written', async (t) => {
  const { c, leader } = await formed(t, [1])
  const client = c.on(leader)
  await client.execute(raise(KEPT))
  for (const name of ['a', 'b', 'c']) await client.put(name, 'old')
  const { revision } = c.at(leader).node.replica.applier
  for (let round = 0; round < 1_500; round++) await client.put('b', String(round))
  await c.at(leader).node.replica.applier.settle()
  const { state } = c.at(leader)
  for (const reverse of [false, true]) {
    const before = state.rowsScanned
    t.strictSame(
      (await list(c, leader, { start: null, end: null, reverse }, revision)).map(([name, value]) => `${name} ${value}`),
      reverse ? ['c old', 'b old', 'a old'] : ['a old', 'b old', 'c old'],
    )
    t.ok(state.rowsScanned - before < 100, `${state.rowsScanned - before} rows were read`)
  }
})

t.test('a range in which nothing was there yet is passed over in pieces', async (t) => {
  const { c, leader } = await formed(t, [1])
  const client = c.on(leader)
  await client.execute(raise(KEPT))
  await client.put('zzz', 'old')
  const { revision } = c.at(leader).node.replica.applier
  const many = limits.past.rowsMax * (limits.past.readsMax + 2)
  for (let at = 0; at < many; at += 100) {
    await Promise.all(
      Array.from({ length: Math.min(100, many - at) }, (_, i) =>
        client.put(`new/${String(at + i).padStart(6, '0')}`, ''),
      ),
    )
  }
  const range = { start: null, end: null, after: null, reverse: false }
  const scan = await c.at(leader).node.services.keys.scan(range, reading({ revision }))
  t.same(await scan.next(10, 1e9), { items: [], done: false })
  t.strictSame(await scan.count(10), { count: 1, done: true })
  await scan.close()
})

t.test('a revision ahead of a node is waited for; one ahead of the cluster is refused', async (t) => {
  const { c, leader, followers } = await formed(t)
  const [behind = 0] = followers
  await c.on(leader).execute(raise(KEPT))
  const first = revisionOf(await c.on(leader).put('a', '1'))
  await c.settled()
  c.cut(leader, behind)
  const second = revisionOf(await c.on(leader).put('a', '2'))
  const waiting = [
    c.on(behind).get('a', { revision: second, timeoutMs: 10_000 }),
    c.on(behind).get('a', { revision: second, timeoutMs: 10_000, consistency: 'stale' }),
  ]
  t.equal(await c.on(behind).get('a', { revision: first }), '1', 'the node itself has this one')
  await c.pass(50)
  c.heal()
  t.strictSame(await Promise.all(waiting), ['2', '2'])
  for (const id of [leader, behind]) {
    const startedAt = c.clock.now()
    const future = await refused(c.on(id).get('a', { revision: second + 100 }), 'future-revision')
    t.match(future.facts, { currentRevision: second })
    t.ok(c.clock.now() - startedAt < 1_000, 'nobody waits for a revision that does not exist')
    await refused(list(c, id, { start: null, end: null, reverse: false }, second + 100), 'future-revision')
  }
  await refused(
    c.on(behind).get('a', { revision: second + 100, consistency: 'stale', timeoutMs: 50 }),
    'future-revision',
  )
  // Cut off from the leader, a node still serves what it has.
  await c.settled()
  c.partition([behind])
  t.equal(await c.on(behind).get('a', { revision: first }), '1')
  await refused(c.on(behind).get('a', { revision: second + 1, timeoutMs: 100 }), 'no-leader', 'read-timeout')
})

t.test('without history only the present can be read, and its listings are not repeatable', async (t) => {
  const { c, leader } = await formed(t, [1])
  const client = c.on(leader)
  const range = { start: null, end: null, after: null, reverse: false }
  const isRepeatable = async (): Promise<boolean> => {
    const scan = await c.at(leader).node.services.keys.scan(range, reading({}))
    await scan.close()
    return scan.isRepeatable
  }
  const check = async (): Promise<void> => {
    const first = revisionOf(await client.put('a', '1'))
    t.equal(await client.get('a', { revision: first }), '1')
    t.equal(await isRepeatable(), false)
    const second = revisionOf(await client.put('b', '2'))
    const gone = await refused(client.get('a', { revision: first }), 'compacted')
    t.match(gone.facts, { compactRevision: second })
    await refused(list(c, leader, { start: null, end: null, reverse: false }, first), 'compacted')
  }
  await check()
  await client.execute(raise({ ...KEPT, revisions: 0 }))
  await check()
  await client.execute(setting(KEPT))
  t.equal(await isRepeatable(), true)
  const kept = revisionOf(await client.put('a', '3'))
  await client.put('a', '4')
  t.equal(await client.get('a', { revision: kept }), '3')
})

t.test('the record that a key still has is given without the store', async (t) => {
  const { c, leader } = await formed(t, [1])
  const client = c.on(leader)
  await client.execute(raise(KEPT))
  const revision = revisionOf(await client.put('a', '1'))
  await client.put('b', '1')
  c.at(leader).state.writeMs = 500
  await client.put('b', '2')
  const startedAt = c.clock.now()
  t.equal(await client.get('a', { revision }), '1')
  t.ok(c.clock.now() - startedAt < 100)
  t.equal(await client.get('b', { revision }), null)
  t.ok(c.clock.now() - startedAt > 300, 'what was superseded is read once the store has it')
})

t.test('the leader alone removes what is too old, and keeps what is not, through changes of leader', async (t) => {
  const ageMs = 10_000
  const { c, leader } = await formed(t)
  await c.on(leader).execute(raise({ ...KEPT, ageMs }))
  const writtenAt = new Map<number, number>()
  const write = async (id: number): Promise<void> => {
    const revision = revisionOf(await c.on(id).put('a', String(writtenAt.size), { timeoutMs: 10_000 }))
    writtenAt.set(revision, c.clock.now())
  }
  // While it was the present one at some moment within the time, a revision can be read.
  const check = (id: number, ledAt: number): void => {
    const { compactedRevision } = historyOf(c, id)
    const revisions = [...writtenAt.keys()]
    for (const [at, revision] of revisions.entries()) {
      const supersededAt = writtenAt.get(revisions[at + 1] ?? 0)
      if (supersededAt === undefined) continue
      const age = c.clock.now() - supersededAt
      if (age < ageMs - 100 && revision < compactedRevision) throw new Error(`${revision} went after ${age} ms`)
      // What an earlier leader has seen may live on until this one has led for as long.
      const isDue = c.clock.now() > Math.max(supersededAt, ledAt) + ageMs + 1_500
      if (isDue && revision >= compactedRevision) throw new Error(`${revision} stays after ${age} ms`)
    }
  }
  let now = leader
  for (let round = 0; round < 60; round++) {
    await write(now)
    await c.pass(400)
    check(now, 0)
  }
  t.ok(historyOf(c, now).compactedRevision > 20)
  for (let turn = 0; turn < 3; turn++) {
    const [next = 0] = [1, 2, 3].filter((id) => id !== now)
    if (turn === 1) {
      await c.at(now).crash()
      now = await c.leader()
    } else {
      await c.on(now).transfer(next)
      now = await c.leader()
    }
    const ledAt = c.clock.now()
    while (c.clock.now() < ledAt + ageMs + 4_000) {
      await write(now)
      await c.pass(400)
      check(now, ledAt)
    }
  }
  await c.pass(ageMs + 2_000)
  const { compactedRevision, collectedRevision, changes } = historyOf(c, now)
  t.strictSame(
    { compactedRevision, collectedRevision, changes },
    { compactedRevision: [...writtenAt.keys()].at(-1), collectedRevision: compactedRevision, changes: 0 },
    'when nothing is written, the last that was superseded goes too',
  )
  const { applied } = c.at(now)
  await c.pass(10 * ageMs)
  t.equal(c.at(now).applied, applied, 'and then nothing more is proposed')
})

t.test('what exceeds the number or the bytes is removed, many changes by each entry', async (t) => {
  const history = { rangeBytesMax: 100_000, stepRevisionsMax: 20, stepRecordsMax: 100, stepBytesMax: 10_000 }
  const { c, leader, followers } = await formed(t, [1, 2, 3], { history })
  const client = c.on(leader)
  await client.execute(raise({ ...KEPT, revisions: 64 }))
  const before = c.at(leader).applied
  let most = 0
  for (let round = 0; round < 400; round++) {
    await client.put(`k${round % 5}`, 'x'.repeat(100))
    most = Math.max(most, historyOf(c, leader).changes)
  }
  await c.settled()
  t.ok(most <= 64 + 4 + 5, `${most} changes`)
  const entries = c.at(leader).applied - before - 400
  t.ok(entries >= 50 && entries <= 90, `${entries} compactions for 400 writes`)
  await client.execute(setting({ ...KEPT, bytes: 4_000 }))
  let bytesMost = 0
  for (let round = 0; round < 100; round++) {
    await client.put(`k${round % 5}`, 'x'.repeat(100))
    if (round > 20) bytesMost = Math.max(bytesMost, historyOf(c, leader).bytes)
  }
  t.ok(bytesMost <= 4_000 * (1 + 1 / 16) + 1_000, `${bytesMost} bytes`)
  // Switched off, all of it goes, step by step.
  await client.execute(setting(KEPT))
  for (let round = 0; round < 100; round++) await client.put('a', String(round))
  await client.execute(setting({ ...KEPT, revisions: 0 }))
  await c.until('all history is gone', () => historyOf(c, leader).changes === 0)
  await c.settled()
  t.equal(historyOf(c, leader).bytes, 0)
  for (const id of followers) t.strictSame(historyOf(c, id), historyOf(c, leader))
  const { applied } = c.at(leader)
  await client.put('a', 'last')
  await c.pass(5_000)
  t.equal(c.at(leader).applied, applied + 1, 'without history a write is one entry')
})

t.test('a compaction that was begun goes on under the next leader', async (t) => {
  const history = { rangeBytesMax: 100_000, stepRevisionsMax: 5, stepRecordsMax: 10, stepBytesMax: 10_000 }
  const { c, leader } = await formed(t, [1, 2, 3], { history })
  await c.on(leader).execute(raise(KEPT))
  for (let round = 0; round < 60; round++) await c.on(leader).put('a', String(round))
  await c.settled()
  const { revision } = c.at(leader).node.replica.applier
  // Only this one entry of the old leader gets through.
  const first = c.on(leader).execute(compaction(revision))
  await first
  t.ok(historyOf(c, leader).changes > 0, 'one entry removes a part')
  await c.at(leader).crash()
  const next = await c.leader()
  await c.until('the rest is gone', () => historyOf(c, next).changes === 0)
  t.equal(historyOf(c, next).collectedRevision, revision)
  await refused(c.on(next).get('a', { revision: revision - 1 }), 'compacted')
  t.equal(await c.on(next).get('a', { revision }), '59')
})

t.test('a compaction of many steps leaves most of the time to writers, unless it would fall behind them', async (t) => {
  for (const { written, history, begunAt } of [
    { written: 0, history: limits.history, begunAt: [0, 160, 320, 480] },
    { written: 10, history: limits.history, begunAt: [0, 160, 200, 240] },
    { written: 0, history: { ...limits.history, stepRecordsMax: 600 }, begunAt: [0, 100, 200, 300] },
  ]) {
    const clock = new VirtualClock()
    clock.start()
    const startedAt = clock.now()
    const begun: number[] = []
    let changes = 100
    const historian = new Historian(
      { history, electionTimeoutMsMin: 150 },
      {
        clock,
        raft: { state: 'leader' },
        applier: {
          get machineState() {
            const bounds = { compactedRevision: 1_000, collectedRevision: 500, bytes: 0, retention: KEPT }
            return { revision: 1_000, history: { ...bounds, changes } }
          },
        },
        proposals: {
          submit: async () => {
            // A turn of the event loop takes a moment.
            begun.push(Math.floor((clock.now() - startedAt) / 10) * 10)
            await new Promise<void>((resolve) => clock.after(40, resolve))
            changes += written - 10
            return { type: 'compacted', compactedRevision: 1_000, done: false }
          },
        },
      },
    )
    historian.look()
    await clock.until(() => begun.length === 4, 1_000)
    historian.stop()
    clock.stop()
    t.strictSame(begun, begunAt)
  }
})
