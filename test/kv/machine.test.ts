import t from 'tap'
import {
  NO_LEASES,
  KvMachine,
  decodeRecord,
  encodeRecord,
  isResultOf,
  keyToText,
  recordRow,
} from '../../src/kv/index.ts'
import type { Command, CommandResult, Condition, KeyRecord } from '../../src/kv/index.ts'
import { InvariantError } from '../../src/lib/assert.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { BatchStore, MACHINE_OPTIONS, del, deleteRange, key, put } from './support/batch-store.ts'
import { ReferenceModel } from './support/reference-model.ts'

const is = (revision: number): Condition => ({ type: 'mod-revision', revision })
const ABSENT: Condition = { type: 'absent' }
const PRESENT: Condition = { type: 'present' }

t.test('put', async (t) => {
  t.test('the revision is the index of the entry; versions count from the creation', async (t) => {
    const store = new BatchStore()
    store.revision = 6
    t.same(store.one(put('a', '1')), { type: 'put', revision: 7, createRevision: 7, version: 1, previous: null })
    t.same(store.one(put('a', '2')), { type: 'put', revision: 8, createRevision: 7, version: 2, previous: null })
    store.one(del('a'))
    t.same(store.one(put('a', '3')), { type: 'put', revision: 10, createRevision: 10, version: 1, previous: null })
    t.match(store.machine.state(), { revision: 10, idempotentFirst: 0, idempotentNext: 0 })
    t.same(records(store), { a: { createRevision: 10, modRevision: 10, version: 1, lease: 0, value: '3' } })
  })

  t.test('the replaced record is given when it was asked for', async (t) => {
    const store = new BatchStore()
    t.match(store.one(put('a', '1', { wantsPrevious: true })), { previous: null })
    const result = store.one(put('a', '2', { wantsPrevious: true }))
    t.same(shown(result), {
      type: 'put',
      revision: 2,
      createRevision: 1,
      version: 2,
      previous: { createRevision: 1, modRevision: 1, version: 1, lease: 0, value: '1' },
    })
  })

  t.test('commands of one batch see each other', async (t) => {
    const store = new BatchStore()
    const results = store.execute(put('a', '1'), put('a', '2', { condition: is(1) }), del('a'), put('a', '3'))
    t.match(results, [{ version: 1 }, { version: 2 }, { deleted: 1 }, { version: 1, createRevision: 4 }])
  })
})

t.test('conditions', async (t) => {
  t.test('each holds or fails by the current record, for put and delete alike', async (t) => {
    const cases: readonly (readonly [Condition, boolean, boolean])[] = [
      [ABSENT, true, false],
      [PRESENT, false, true],
      [is(1), false, true],
      [is(2), false, false],
      [is(0), false, false],
    ]
    for (const [condition, whenAbsent, whenPresent] of cases) {
      for (const command of [put('a', 'new', { condition }), del('a', { condition })]) {
        const what = `${command.type} if ${JSON.stringify(condition)}`
        const empty = new BatchStore()
        t.equal(empty.one(command).type !== 'condition-failed', whenAbsent, `${what}, absent`)
        const full = new BatchStore()
        full.one(put('a', 'old'))
        t.equal(full.one(command).type !== 'condition-failed', whenPresent, `${what}, present`)
      }
    }
  })

  t.test('a condition that fails changes no row and no revision, and says what is there', async (t) => {
    const store = new BatchStore()
    t.same(store.one(put('a', '1', { condition: PRESENT })), { type: 'condition-failed', currentRevision: null })
    t.equal(store.machine.state().revision, 0)
    store.one(put('a', '1'))
    const before = store.dump()
    t.same(store.one(put('a', '2', { condition: ABSENT, wantsPrevious: true })), {
      type: 'condition-failed',
      currentRevision: 2,
    })
    t.same(store.one(del('a', { condition: is(1) })), { type: 'condition-failed', currentRevision: 2 })
    t.same(store.dump(), before)
    t.equal(store.machine.state().revision, 2)
  })
})

t.test('delete', async (t) => {
  t.test('an absent key is not an error and no change', async (t) => {
    const store = new BatchStore()
    t.same(store.one(del('a')), { type: 'deleted', revision: 0, deleted: 0, previous: null })
    store.one(put('b', '1'))
    t.same(store.one(del('a', { wantsPrevious: true })), { type: 'deleted', revision: 2, deleted: 0, previous: null })
    t.equal(store.machine.state().revision, 2)
  })

  t.test('a present key goes, and its record is given when it was asked for', async (t) => {
    const store = new BatchStore()
    store.execute(put('a', '1'), put('b', '2'))
    t.same(store.one(del('a')), { type: 'deleted', revision: 3, deleted: 1, previous: null })
    t.match(shown(store.one(del('b', { wantsPrevious: true }))), {
      revision: 4,
      deleted: 1,
      previous: { value: '2', modRevision: 2 },
    })
    t.same(records(store), {})
  })
})

t.test('delete-range', async (t) => {
  const names = ['a', 'a/1', 'a/2', 'a0', 'b', 'é', '\u{1f600}']
  const rangeOver = (start: string | null, end: string | null) => {
    const store = new BatchStore()
    store.execute(...names.map((name) => put(name, name)))
    const result = store.one(deleteRange(start, end))
    return { result, left: Object.keys(records(store)), revision: store.machine.state().revision }
  }

  t.test('removes what lies between the bounds in one change', async (t) => {
    t.same(rangeOver('a/', 'a0'), {
      result: { type: 'deleted', revision: 8, deleted: 2, previous: null },
      left: ['a', 'a0', 'b', 'é', '\u{1f600}'],
      revision: 8,
    })
    t.same(rangeOver(null, 'b').left, ['b', 'é', '\u{1f600}'])
    t.same(rangeOver('b', null).left, ['a', 'a/1', 'a/2', 'a0'])
    t.same(rangeOver(null, null), {
      result: { type: 'deleted', revision: 8, deleted: 7, previous: null },
      left: [],
      revision: 8,
    })
  })

  t.test('an empty range, or one with its bounds in reverse, is no change', async (t) => {
    for (const [start, end] of [
      ['c', 'd'],
      ['b', 'b'],
      ['b', 'a'],
    ] as const) {
      // prettier-ignore
      const { result, left, revision } = rangeOver(start, end)
      t.same(result, { type: 'deleted', revision: 7, deleted: 0, previous: null })
      t.equal(left.length, names.length)
      t.equal(revision, 7)
    }
  })

  t.test('sees the writes before it in the batch and leaves other keyspaces alone', async (t) => {
    const store = new BatchStore()
    store.one(put('old', '1', { idempotency: { key: 'first', fingerprint: 1 } }))
    const results = store.execute(put('new', '2'), del('old'), deleteRange(null, null), put('after', '3'))
    t.match(results[2], { type: 'deleted', deleted: 1 })
    t.same(Object.keys(records(store)), ['after'])
    t.match(store.one(put('old', '1', { idempotency: { key: 'first', fingerprint: 1 } })), { type: 'put', revision: 1 })
  })
})

t.test('a delete-range removes no more keys than one entry may', async (t) => {
  const filled = (count: number) => {
    const store = new BatchStore({ rangeDeleteKeysMax: 3 })
    for (let n = 0; n < count; n++) store.one(put(`k${n}`, 'v'))
    return store
  }

  t.test('a range with more is refused: nothing goes, and no more rows are looked at than that takes', async (t) => {
    const store = filled(7)
    const before = store.dump()
    t.same(
      store.machine.readsOf([deleteRange(null, null)])[0]?.ranges.map(({ limit }) => limit),
      [4],
    )
    t.same(store.one(deleteRange(null, null)), { type: 'range-too-large', limit: 3, found: 4 })
    t.same(store.dump(), before)
    t.equal(store.machine.state().revision, 7)
    t.same(store.one(deleteRange('k2', 'k5')), { type: 'deleted', revision: 9, deleted: 3, previous: null })
  })

  t.test('exactly as many as it may go in one change', async (t) => {
    t.match(filled(3).one(deleteRange(null, null)), { type: 'deleted', deleted: 3 })
    t.match(filled(4).one(deleteRange(null, null)), { type: 'range-too-large' })
  })

  t.test('up to the limit: the first ones go, and the answer names the first that is left', async (t) => {
    const store = filled(7)
    const first = store.one(deleteRange(null, null, { upToLimit: true }))
    t.same(first, { type: 'range-deleted', revision: 8, deleted: 3, next: 'k3' })
    t.same(store.one(deleteRange('k3', null, { upToLimit: true })), {
      type: 'range-deleted',
      revision: 9,
      deleted: 3,
      next: 'k6',
    })
    t.same(store.one(deleteRange('k6', null, { upToLimit: true })), {
      type: 'range-deleted',
      revision: 10,
      deleted: 1,
      next: null,
    })
    t.same(store.one(deleteRange(null, null, { upToLimit: true })), {
      type: 'range-deleted',
      revision: 10,
      deleted: 0,
      next: null,
    })
  })

  t.test('replicas that differ in the number of keys have other digests, also when both refuse', async (t) => {
    const [a, b] = [filled(4), filled(4)]
    b.rows.delete(recordRow(key('k0')))
    b.rows.set(recordRow(key('k9')), Buffer.from('x'))
    t.equal(a.machine.state().digest, b.machine.state().digest)
    for (const store of [a, b]) t.match(store.one(deleteRange(null, null)), { type: 'range-too-large' })
    t.not(a.machine.state().digest, b.machine.state().digest)
  })
})

t.test('beliefs', async (t) => {
  const store = new BatchStore()
  store.one(put('a', '1'))
  store.revision = 0
  t.throws(() => store.one(put('a', '2')), InvariantError, 'a revision is used once')
  store.revision = 0.5
  t.throws(() => store.one(put('a', '2')), InvariantError, 'a revision is an integer')
  t.throws(() => new KvMachine({ ...MACHINE_OPTIONS, idempotentWritesMax: 0 }, null), InvariantError)
  t.throws(
    () =>
      new KvMachine(
        { ...MACHINE_OPTIONS, idempotentWritesMax: 4 },
        {
          revision: 1,
          digest: 0,
          idempotentFirst: 0,
          idempotentNext: 5,
          keptValues: [0],
          level: 0,
          history: null,
          leases: NO_LEASES,
          auth: 0,
        },
      ),
    InvariantError,
  )
})

t.test('a store that follows random commands in random batches is what the reference model says', async (t) => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = new SeededRandom(seed)
    let store = new BatchStore({ idempotentWritesMax: 3, rangeDeleteKeysMax: random.integer(1, 5) })
    const model = new ReferenceModel(store.options)
    for (let round = 0; round < 60; round++) {
      const commands = Array.from({ length: random.integer(1, 8) }, () => randomCommand(random, model.revision))
      const results = store.execute(...commands)
      const expected = commands.map((command, i) => model.execute(command, store.revision - commands.length + 1 + i))
      const [actual, wanted] = [results.map(shown), expected.map(shown)]
      if (JSON.stringify(actual) !== JSON.stringify(wanted)) t.same(actual, wanted, `seed ${seed}, round ${round}`)
      if (random.fraction() < 0.1) store = store.restored()
    }
    t.same(records(store), records(model), `seed ${seed}`)
    t.equal(store.machine.state().revision, model.revision)
    t.equal(store.machine.revision, model.revision)
  }
})

t.test('digest', async (t) => {
  const after = (...commands: readonly Command[]) => {
    const store = new BatchStore()
    for (const command of commands) store.one(command)
    return store.machine.state().digest
  }

  t.test(
    'equal histories have equal digests, however they were batched and wherever the machine was restored',
    async (t) => {
      for (let seed = 1; seed <= 20; seed++) {
        const random = new SeededRandom(seed)
        const commands = Array.from({ length: 200 }, () => randomCommand(random, 100))
        const one = new BatchStore({ idempotentWritesMax: 5 })
        one.execute(...commands)
        let other = new BatchStore({ idempotentWritesMax: 5 })
        for (let at = 0; at < commands.length;) {
          const next = at + random.integer(1, 10)
          other.execute(...commands.slice(at, next))
          at = next
          other = other.restored()
        }
        t.same(other.machine.state(), one.machine.state())
        t.same(other.dump(), one.dump())
      }
    },
  )

  t.test('other commands, another order, other revisions or other rows make another digest', async (t) => {
    const histories: readonly (readonly Command[])[] = [
      [],
      [put('a', '1')],
      [put('b', '1')],
      [put('a', '2')],
      [put('a', '')],
      [put('a', '1', { condition: PRESENT })],
      [put('a', '1', { idempotency: { key: 'x', fingerprint: 1 } })],
      [put('a', '1', { idempotency: { key: 'y', fingerprint: 1 } })],
      [put('a', 'x'.repeat(100))],
      [put('a', 'x'.repeat(99) + 'y')],
      [put('a', 'y' + 'x'.repeat(99))],
      [put('a', 'x'.repeat(101))],
      [put('k'.repeat(100), '1')],
      [put('k'.repeat(101), '1')],
      [put('j' + 'k'.repeat(99), '1')],
      [put('k'.repeat(99) + 'j', '1')],
      [del('a')],
      [del('b')],
      [deleteRange('a', 'b')],
      [put('a', '1'), put('b', '1')],
      [put('b', '1'), put('a', '1')],
      [put('a', '1'), del('a')],
      [put('a', '1'), deleteRange('a', 'b')],
      [put('b', '1'), deleteRange('b', 'c')],
    ]
    const digests = histories.map((history) => after(...history))
    t.equal(new Set(digests).size, histories.length)
    t.ok(digests.every((digest) => Number.isSafeInteger(digest) && digest >= 0))
    const later = new BatchStore()
    later.revision = 1
    later.one(put('a', '1'))
    t.not(later.machine.state().digest, after(put('a', '1')))
  })

  t.test('a row that differs shows at the next command that sees it, even one that is refused', async (t) => {
    for (const command of [put('a', '3'), del('a'), put('a', '3', { condition: ABSENT })]) {
      const good = new BatchStore()
      good.execute(put('a', '1'), put('a', '2'))
      for (const change of [{ modRevision: 3 }, { version: 1 }, { value: Buffer.from('22') }]) {
        const bad = good.restored()
        const row = recordRow(key('a'))
        const bytes = bad.rows.get(row)
        t.ok(bytes)
        if (bytes !== undefined) bad.rows.set(row, encodeRecord({ ...decodeRecord(bytes), ...change }))
        const fresh = good.restored()
        t.equal(bad.machine.state().digest, fresh.machine.state().digest)
        bad.one(command)
        fresh.one(command)
        t.not(
          bad.machine.state().digest,
          fresh.machine.state().digest,
          `${command.type}, ${Object.keys(change).join()}`,
        )
      }
    }
  })

  t.test(
    'differences spread: a hundred thousand histories that differ in one number have as many digests',
    async (t) => {
      const digests = new Set<number>()
      const command = put('a', '1', { condition: PRESENT })
      const nothing = { get: () => null, put: () => {}, remove: () => {}, rowsIn: () => [], isExceeded: false }
      for (let revision = 1; revision <= 100_000; revision++) {
        const machine = new KvMachine(MACHINE_OPTIONS, null)
        machine.execute(command, revision, nothing)
        digests.add(machine.state().digest)
      }
      t.equal(digests.size, 100_000)
    },
  )
})

function randomCommand(random: SeededRandom, revision: number): Command {
  const names = ['a', 'b', 'c', 'd', 'e']
  const name = () => names[random.integer(0, names.length)] ?? 'a'
  const conditions = [null, null, ABSENT, PRESENT, is(Math.max(0, revision - random.integer(0, 6)))]
  const condition = conditions[random.integer(0, conditions.length)] ?? null
  const wantsPrevious = random.fraction() < 0.5
  const drawn = random.fraction()
  if (drawn < 0.05) {
    const upToLimit = random.fraction() < 0.5
    return deleteRange(drawn < 0.02 ? null : name(), random.fraction() < 0.2 ? null : name(), { upToLimit })
  }
  if (drawn < 0.3) return del(name(), { condition, wantsPrevious })
  return put(name(), 'v'.repeat(random.integer(0, 40)), { condition, wantsPrevious })
}

function shownRecord(record: KeyRecord) {
  return { ...record, value: Buffer.from(record.value).toString('latin1') }
}

/** A result with its values as text. */
function shown(result: CommandResult): object {
  if (result.type !== 'put' && result.type !== 'deleted') return result
  return { ...result, previous: result.previous === null ? null : shownRecord(result.previous) }
}

/** The records of a store or of the model by key, with their values as text. */
function records(store: Pick<BatchStore | ReferenceModel, 'records'>): Readonly<Record<string, object>> {
  return Object.fromEntries([...store.records()].map(([name, record]) => [keyToText(name), shownRecord(record)]))
}

t.test('what a command may come to, by its kind', async (t) => {
  const store = new BatchStore()
  const written = store.one(put('a', '1'))
  const refused = store.one(put('a', '2', { condition: ABSENT }))
  const removed = store.one(del('a'))
  const cleared = store.one(deleteRange(null, null))
  for (const result of [written, refused]) t.ok(isResultOf(put('a', '1'), result))
  for (const result of [removed, cleared]) t.notOk(isResultOf(put('a', '1'), result))
  t.ok(isResultOf(del('a'), removed))
  t.notOk(isResultOf(del('a'), written))
  t.ok(isResultOf(deleteRange(null, null), cleared))
  t.notOk(isResultOf(deleteRange(null, null), refused), 'a range has no condition')
})
