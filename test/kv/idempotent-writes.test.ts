import t from 'tap'
import { askedBytes } from '../../src/kv/index.ts'
import type { Command, CommandResult, NameableCommand, Operation, TransactionCommand } from '../../src/kv/index.ts'
import { idempotentWriteOrderRow, idempotentWriteRow } from '../../src/kv/row.ts'
import { InvariantError } from '../../src/lib/assert.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { BatchStore, del, deleteRange, fingerprintOf, key, put } from './support/batch-store.ts'
import { ReferenceModel } from './support/reference-model.ts'

/** `command` under a client's name for it. */
function named(name: string, command: NameableCommand): Command {
  return { ...command, idempotency: { key: name, fingerprint: fingerprintOf(command) } }
}

t.test('a retry gets the first answer and changes nothing', async (t) => {
  const store = new BatchStore()
  const first = store.one(named('x', put('a', '1')))
  store.one(put('a', '2'))
  const before = store.dump()
  const { digest: _, ...state } = store.machine.state()
  t.same(store.one(named('x', put('a', '1'))), first)
  t.same(store.dump(), before)
  t.match(store.machine.state(), state)
})

t.test('every kind of answer is kept: also that nothing was deleted, and a refusal', async (t) => {
  const writes: readonly (readonly [string, NameableCommand])[] = [
    ['put', put('a', '2')],
    ['put with the record it replaced', put('a', '2', { wantsPrevious: true })],
    ['delete', del('a')],
    ['delete with the record it removed', del('a', { wantsPrevious: true })],
    ['delete of an absent key', del('none')],
    ['delete-range', deleteRange('a', 'z')],
    ['delete-range up to the limit', deleteRange('a', 'z', { upToLimit: true })],
    ['refused put', put('a', '2', { condition: { type: 'absent' } })],
    ['refused delete', del('none', { condition: { type: 'present' } })],
  ]
  for (const [what, command] of writes) {
    const store = new BatchStore()
    store.execute(put('a', '1'), put('b', 'x'.repeat(20_000)))
    const first = store.one(named('x', command))
    // By now every condition and record is another one.
    store.execute(deleteRange(null, null), put('none', '1'))
    t.equal(text(store.one(named('x', command))), text(first), what)
    t.equal(text(store.restored().one(named('x', command))), text(first), `${what}, after a restart`)
  }
})

t.test('the replaced record comes back whole, whatever its size', async (t) => {
  const store = new BatchStore()
  const value = 'v'.repeat(100_000)
  store.one(put('a', value))
  store.one(named('x', put('a', '', { wantsPrevious: true })))
  const retry = store.one(named('x', put('a', '', { wantsPrevious: true })))
  t.ok(retry.type === 'put' && retry.previous !== null && Buffer.from(retry.previous.value).toString() === value)
})

t.test('a refused delete-range, and the place where a step ended, are answers that are kept', async (t) => {
  const store = new BatchStore({ rangeDeleteKeysMax: 2 })
  for (const name of ['a', 'b', 'c']) store.one(put(name, '1'))
  const refused = store.one(named('x', deleteRange(null, null)))
  const step = store.one(named('y', deleteRange(null, null, { upToLimit: true })))
  t.match([refused, step], [{ type: 'range-too-large' }, { type: 'range-deleted', deleted: 2, next: 'c' }])
  store.one(put('a', '2'))
  t.same(store.one(named('x', deleteRange(null, null))), refused)
  t.same(store.restored().one(named('y', deleteRange(null, null, { upToLimit: true }))), step)
})

t.test(
  'two requests with one fingerprint: the second gets an answer of its kind, or is told that the key was used',
  async (t) => {
    const large = 'v'.repeat(1_000)
    const lease = { type: 'granted', id: 99 } as const
    const transaction = (success: Operation[], failure: Operation[] = []): NameableCommand => ({
      type: 'transaction',
      compares: [],
      success,
      failure,
      idempotency: null,
    })
    /** One whose comparison does not hold. */
    const otherwise = (failure: Operation[]): TransactionCommand => ({
      type: 'transaction',
      compares: [{ key: key('a'), target: 'version', operator: '=', value: 0 }],
      success: [],
      failure,
      idempotency: null,
    })
    const write: Operation = { type: 'put', key: key('a'), value: new Uint8Array(2), wantsPrevious: true }
    const leased: Operation = { ...write, lease: 99 }
    const read: Operation = { type: 'get', key: key('a') }
    const erase: Operation = { type: 'delete-range', start: null, end: null }
    const reused = { type: 'key-reused' } as const
    const cases: readonly (readonly [NameableCommand, NameableCommand, object])[] = [
      [put('a', '2'), del('a'), reused],
      [del('a'), put('a', '2'), reused],
      [put('a', '2'), put('b', '3'), { type: 'put', version: 2 }],
      // What is kept apart is not there for a command that keeps nothing.
      [put('a', '2', { wantsPrevious: true }), put('a', '3'), reused],
      [put('a', '2', { wantsPrevious: true }), put('b', '3', { wantsPrevious: true }), { type: 'put' }],
      [put('a', '2', { condition: { type: 'absent' } }), put('a', '2'), reused],
      [
        put('a', '2', { condition: { type: 'absent' } }),
        put('a', '3', { condition: { type: 'absent' } }),
        { type: 'condition-failed' },
      ],
      [put('a', '2', { lease }), put('a', '2'), reused],
      [put('a', '2', { lease }), put('b', '2', { lease }), { type: 'lease-not-found' }],
      [deleteRange(null, null), deleteRange('a', 'b'), { type: 'range-too-large' }],
      [deleteRange(null, null), deleteRange(null, null, { upToLimit: true }), reused],
      [deleteRange(null, null, { upToLimit: true }), deleteRange(null, null), reused],
      [deleteRange('a', 'b'), deleteRange('a', 'b', { upToLimit: true }), reused],
      [deleteRange('a', 'b'), del('b'), { type: 'deleted' }],
      [transaction([erase]), transaction([write]), reused],
      [transaction([erase]), transaction([erase, write]), { type: 'range-too-large' }],
      [transaction([leased]), transaction([write]), reused],
      [transaction([leased]), transaction([read, leased]), { type: 'lease-not-found' }],
      [transaction([leased]), put('a', '2'), reused],
      [transaction([read]), transaction([read, read]), reused],
      [transaction([read]), transaction([write]), reused],
      [transaction([write]), transaction([write, read]), reused],
      [transaction([write]), transaction([write], [read]), { type: 'transaction', succeeded: true }],
      [transaction([read]), put('a', '2', { wantsPrevious: true }), reused],
      [otherwise([read]), otherwise([write]), reused],
      [otherwise([read]), otherwise([read, read]), reused],
      [otherwise([read]), { ...otherwise([read]), compares: [] }, { type: 'transaction', succeeded: false }],
    ]
    const shown = (command: NameableCommand): string => Buffer.from(askedBytes(command)).toString('latin1')
    const under = (command: NameableCommand): Command => ({ ...command, idempotency: { key: 'x', fingerprint: 1 } })
    for (const [first, second, expected] of cases) {
      const store = new BatchStore({ rangeDeleteKeysMax: 2 }).raise()
      store.execute(put('a', large), put('b', '1'), put('c', '1'))
      store.one(under(first))
      const what = `${shown(first)}, then ${shown(second)}`
      t.match(store.one(under(second)), expected, what)
      t.match(store.restored().one(under(second)), expected, `${what}, after a restart`)
    }
  },
)

t.test('results that are no longer kept fit every transaction', async (t) => {
  const store = new BatchStore({
    keptValues: { inlineBytesMax: 10, rings: [{ valueBytesMax: 10_000, slots: 1 }] },
  }).raise()
  const read: Operation = { type: 'get', key: key('a') }
  const reads = (count: number): NameableCommand => {
    const success = Array.from({ length: count }, () => read)
    return { type: 'transaction', compares: [], success, failure: [], idempotency: null }
  }
  const under = (name: string, command: NameableCommand): Command => ({
    ...command,
    idempotency: { key: name, fingerprint: 1 },
  })
  store.one(put('a', 'v'.repeat(100)))
  store.one(under('x', reads(1)))
  store.one(under('y', reads(1)))
  t.match(store.one(under('x', reads(2))), { type: 'transaction', results: [], resultsForgotten: true })
})

t.test('the bytes of replaced values are bounded, and a retry says when the value is no longer kept', async (t) => {
  const keptValues = {
    inlineBytesMax: 10,
    rings: [
      { valueBytesMax: 100, slots: 2 },
      { valueBytesMax: 10_000, slots: 1 },
    ],
  }
  const apart = (store: BatchStore) => [...store.rows.keys()].filter((row) => row.startsWith('\x12')).length

  t.test('each size has its own room, and the oldest of a size goes first', async (t) => {
    const store = new BatchStore({ keptValues })
    const previousOf = (name: string) => {
      const result = store.one(named(name, put(name, '', { wantsPrevious: true })))
      if (result.type !== 'put') throw new TypeError('a put is answered as a put')
      return result.previousValueForgotten === true ? null : (result.previous?.value.length ?? -1)
    }
    const sizes = { a: 10, b: 50, c: 5_000, d: 60, e: 70, f: 10_001 }
    for (const [name, size] of Object.entries(sizes)) {
      store.one(put(name, 'v'.repeat(size)))
      t.equal(previousOf(name), size, `${name}, the first answer`)
    }
    t.equal(apart(store), 3)
    t.same(Object.keys(sizes).map(previousOf), [10, null, 5_000, 60, 70, null])
    const again = store.one(named('b', put('b', '', { wantsPrevious: true })))
    t.match(again, { type: 'put', revision: 4, version: 2, previous: { modRevision: 3, version: 1 } })
    store.one(put('g', 'v'.repeat(90)))
    const deleted = store.one(named('g', del('g', { wantsPrevious: true })))
    t.match(deleted, { type: 'deleted', deleted: 1, previous: { version: 1 } })
    t.same(store.one(named('g', del('g', { wantsPrevious: true }))), deleted, 'a deletion has its value again too')
    for (let n = 0; n < 20; n++) {
      store.one(put('z', 'v'.repeat(n % 2 === 0 ? 80 : 800)))
      store.one(named(`z${n}`, del('z', { wantsPrevious: true })))
    }
    t.equal(apart(store), 3, 'however many follow')
  })

  t.test('a value goes with its name: what is executed under the name later has nothing of it', async (t) => {
    const swap = (name: string) => named(name, put(name, '', { wantsPrevious: true }))
    const list = (name: string, limit = 9) => {
      const operation = { type: 'list', start: null, end: null, limit, keysOnly: false } as const
      const success = Array.from({ length: 2 }, () => operation)
      return named(name, { type: 'transaction', compares: [], success, failure: [], idempotency: null })
    }
    const store = new BatchStore({ keptValues, idempotentWritesMax: 2 }).raise()
    store.one(put('a', 'v'.repeat(50)))
    const first = store.one(list('n', 1))
    t.same(store.one(list('n', 1)), first, 'kept')
    const forget = () => store.execute(named('other', put('o', '1')), named('another', put('o', '2')))
    forget()
    t.equal(apart(store), 0, 'no value outlives its name')
    t.equal([...store.rows.keys()].filter((row) => row.startsWith('\x13')).length, 0, 'nor does its slot')
    for (const name of ['b', 'c']) store.one(put(name, 'w'.repeat(6_000)))
    t.match(store.one(list('n')), {
      type: 'transaction',
      succeeded: true,
      results: [{ type: 'list' }, { type: 'list' }],
    })
    t.match(store.one(list('n')), { resultsForgotten: true, results: [] }, 'too large to be kept, and not the old ones')

    const early = new BatchStore({ keptValues, idempotentWritesMax: 2 })
    early.one(put('n', 'v'.repeat(5_000)))
    early.one(swap('n'))
    early.execute(named('other', put('o', '1')), named('another', put('o', '2')))
    early.one(put('n', 'v'.repeat(50)))
    const again = early.one(swap('n'))
    early.one(put('m', 'v'.repeat(6_000)))
    early.one(swap('m'))
    t.same(early.one(swap('n')), again, 'a slot that the name had before does not push its new value out')
    t.same(early.restored().one(swap('n')), again, 'also after a restart')
  })

  t.test('random writes whose names are forgotten and come again: as the reference model says', async (t) => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = new SeededRandom(seed)
      const options = { keptValues, idempotentWritesMax: random.integer(1, 9) }
      let store = new BatchStore(options)
      const model = new ReferenceModel(store.options)
      for (let round = 0; round < 60; round++) {
        const batch = Array.from({ length: random.integer(1, 6) }, () => {
          const n = random.integer(0, 12)
          const value = 'v'.repeat([5, 50, 70, 500, 10_001][(n + random.integer(0, 5) * random.integer(0, 2)) % 5] ?? 0)
          return named(`n${n}`, put(`k${n % 2}`, value, { wantsPrevious: true }))
        })
        const answers = store.execute(...batch).map(text)
        const first = store.revision - batch.length + 1
        const expected = batch.map((command, at) => text(model.execute(command, first + at)))
        if (answers.join() !== expected.join()) t.same(answers, expected, `seed ${seed}, round ${round}`)
        if (random.fraction() < 0.2) store = store.restored()
      }
      const slots = [...store.rows.keys()].filter((row) => row.startsWith('\x13')).length
      t.equal(slots, apart(store), 'as many values as slots that name one')
    }
  })

  t.test('the same in every batching, and after a restart', async (t) => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = new SeededRandom(seed)
      const options = { keptValues, idempotentWritesMax: random.integer(2, 9) }
      let batched = new BatchStore(options)
      const single = new BatchStore(options)
      for (let round = 0; round < 40; round++) {
        const batch = Array.from({ length: random.integer(1, 9) }, () => {
          const value = 'v'.repeat([5, 50, 500][random.integer(0, 3)] ?? 0)
          const command = put(`k${random.integer(0, 3)}`, value, { wantsPrevious: random.fraction() < 0.8 })
          return random.fraction() < 0.2 ? command : named(`n${random.integer(0, 12)}`, command)
        })
        const answers = batched.execute(...batch).map(text)
        const expected = batch.map((command) => text(single.one(command)))
        if (answers.join() !== expected.join()) t.same(answers, expected, `seed ${seed}, round ${round}`)
        if (random.fraction() < 0.2) batched = batched.restored()
      }
      t.same(batched.dump(), single.dump(), `seed ${seed}`)
    }
  })
})

t.test('the same name with another request is refused, and keeps its first answer', async (t) => {
  const store = new BatchStore()
  const first = store.one(named('x', put('a', '1')))
  const before = store.dump()
  for (const other of [put('a', '2'), put('b', '1'), del('a'), put('a', '1', { wantsPrevious: true })]) {
    t.same(store.one(named('x', other)), { type: 'key-reused' })
  }
  t.same(store.dump(), before)
  t.equal(store.machine.state().revision, 1)
  t.same(store.one(named('x', put('a', '1'))), first)
})

t.test('a write and its retries in one batch are executed once', async (t) => {
  const store = new BatchStore({ idempotentWritesMax: 2 })
  const x = named('x', put('a', '1', { condition: { type: 'absent' } }))
  const results = store.execute(x, x, named('x', del('a')), named('y', put('b', '1')), x)
  t.same(
    results.map((result) => result.type),
    ['put', 'put', 'key-reused', 'put', 'put'],
  )
  t.same(results[1], results[0])
  t.same(results[4], results[0])
  t.match(store.machine.state(), { revision: 4, idempotentFirst: 0, idempotentNext: 2 })
})

t.test('exactly the last idempotent writes are remembered', async (t) => {
  const limit = 5
  const store = new BatchStore({ idempotentWritesMax: limit })
  for (let n = 0; n < 12; n++) {
    store.one(named(`w${n}`, put('a', `${n}`)))
    const kept = Array.from({ length: 12 }, (_, i) => i).filter((i) => store.rows.has(idempotentWriteRow(`w${i}`)))
    const from = Math.max(0, n - limit + 1)
    t.same(
      kept,
      Array.from({ length: n - from + 1 }, (_, i) => from + i),
      `after ${n + 1}`,
    )
    t.match(store.machine.state(), { idempotentFirst: from, idempotentNext: n + 1 })
    t.equal(store.rows.size, 1 + 2 * kept.length, 'a forgotten write leaves no row behind')
  }
  t.match(store.one(named('w7', put('a', '7'))), { revision: 8 }, 'the oldest kept one')
  const again = store.one(named('w6', put('a', '6')))
  t.match(again, { type: 'put', revision: 14 }, 'one that was forgotten is a new write')
  t.notOk(store.rows.has(idempotentWriteRow('w7')))
})

t.test('a retry does not make its write younger', async (t) => {
  const store = new BatchStore({ idempotentWritesMax: 2 })
  store.execute(named('x', put('a', '1')), named('y', put('b', '1')))
  store.one(named('x', put('a', '1')))
  store.one(named('z', put('c', '1')))
  t.notOk(store.rows.has(idempotentWriteRow('x')))
  t.ok(store.rows.has(idempotentWriteRow('y')))
})

t.test('a batch with more idempotent writes than are remembered forgets some of its own', async (t) => {
  const store = new BatchStore({ idempotentWritesMax: 3 })
  const batch = Array.from({ length: 10 }, (_, n) => named(`w${n}`, put(`k${n}`, '1')))
  store.execute(...batch)
  t.same(
    [...store.rows.keys()].filter((row) => row.startsWith('\x10')).sort(),
    ['w7', 'w8', 'w9'].map(idempotentWriteRow),
  )
  t.match(store.machine.state(), { idempotentFirst: 7, idempotentNext: 10 })
})

t.test('a lost order row stops the machine', async (t) => {
  const store = new BatchStore({ idempotentWritesMax: 1 })
  store.one(named('x', put('a', '1')))
  store.rows.delete(idempotentWriteOrderRow(0))
  t.throws(() => store.one(named('y', put('a', '1'))), InvariantError)
})

t.test(
  'random keyed commands in random batches: as the reference model says, and alike in every batching',
  async (t) => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = new SeededRandom(seed)
      const limit = random.integer(1, 7)
      let batched = new BatchStore({ idempotentWritesMax: limit })
      const single = new BatchStore({ idempotentWritesMax: limit })
      const model = new ReferenceModel(single.options)
      for (let round = 0; round < 50; round++) {
        const batch = Array.from({ length: random.integer(1, 12) }, () => randomKeyed(random))
        const results = batched.execute(...batch)
        for (const [i, command] of batch.entries()) {
          const actual = text(results[i])
          if (text(single.one(command)) !== actual) t.fail(`seed ${seed}: batching changed an answer`)
          const expected = text(model.execute(command, single.revision))
          if (actual !== expected) t.equal(actual, expected, `seed ${seed}, round ${round}`)
        }
        if (random.fraction() < 0.2) batched = batched.restored()
      }
      t.same(batched.dump(), single.dump(), `seed ${seed}`)
      t.same(batched.machine.state(), single.machine.state())
      const names = [...batched.rows.keys()].filter((row) => row.startsWith('\x10'))
      t.same(names.sort(), model.rememberedKeys().map(idempotentWriteRow).sort())
    }
  },
)

function randomKeyed(random: SeededRandom): Command {
  const key = `k${random.integer(0, 3)}`
  // The cluster has no leases yet: such a put is refused, and pushes no name out.
  const lease = random.fraction() < 0.15 ? { lease: { type: 'granted', id: 7 } as const } : {}
  const write = put(key, `${random.integer(0, 2)}`, { wantsPrevious: true, ...lease })
  const command = random.fraction() < 0.2 ? del(key) : write
  return random.fraction() < 0.2 ? command : named(`n${random.integer(0, 12)}`, command)
}

function text(result: CommandResult | undefined): string {
  return JSON.stringify(result, function (this: Record<string, unknown>, name, value: unknown) {
    // A Buffer is no longer one in `value`.
    const bytes = this[name]
    return bytes instanceof Uint8Array ? Buffer.from(bytes).toString('latin1') : value
  })
}
