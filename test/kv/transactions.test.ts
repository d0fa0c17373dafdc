import t from 'tap'
import {
  branchFaults,
  commandFault,
  decodeCommand,
  decodeRecord,
  encodeCommand,
  keyOfRow,
  keyToText,
  UnknownCommandError,
} from '../../src/kv/index.ts'
import type { Compare, CommandResult, TransactionCommand } from '../../src/kv/index.ts'
import {
  bulkOf,
  decodeIdempotentWrite,
  encodeIdempotentWrite,
  withBulk,
  type FirstResult,
} from '../../src/kv/idempotent-write.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { limits } from '../../src/limits.ts'
import { BatchStore, key, put, fingerprintOf } from './support/batch-store.ts'

type Operation = TransactionCommand['success'][number]

const putOf = (text: string, value = text, wantsPrevious = false): Operation => ({
  type: 'put',
  key: key(text),
  value: Buffer.from(value),
  wantsPrevious,
})
const getOf = (text: string): Operation => ({ type: 'get', key: key(text) })
const deleteOf = (text: string, wantsPrevious = false): Operation => ({ type: 'delete', key: key(text), wantsPrevious })
const bound = (text: string | null) => (text === null ? null : key(text))
const clear = (start: string | null, end: string | null): Operation => ({
  type: 'delete-range',
  start: bound(start),
  end: bound(end),
})
const listOf = (start: string | null, end: string | null, limit = 100, keysOnly = false): Operation => ({
  type: 'list',
  start: bound(start),
  end: bound(end),
  limit,
  keysOnly,
})
const absent = (text: string): Compare => ({ key: key(text), target: 'version', operator: '=', value: 0 })

function transaction(
  success: readonly Operation[],
  options: Partial<Pick<TransactionCommand, 'compares' | 'failure' | 'idempotency'>> = {},
): TransactionCommand {
  return { type: 'transaction', compares: [], success, failure: [], idempotency: null, ...options }
}

/** With values as text. */
function shown(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString()
  if (Array.isArray(value)) return value.map(shown)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, shown(member)]))
}

function records(store: BatchStore): Record<string, string> {
  const found = [...store.rows].filter(([row]) => row.startsWith('\x01'))
  return Object.fromEntries(
    found.map(([row, bytes]) => [keyToText(keyOfRow(row)), Buffer.from(decodeRecord(bytes).value).toString()]),
  )
}

t.test('all changes have the one revision of the entry, and each operation has its result', async (t) => {
  const store = new BatchStore().raise()
  store.execute(put('a', '1'), put('b', '2'), put('c', '3'), put('c', '4'))
  const result = store.one(
    transaction([
      listOf('a', 'c'),
      putOf('a', 'new', true),
      putOf('d'),
      getOf('a'),
      getOf('x'),
      deleteOf('b', true),
      deleteOf('x'),
      clear('c', 'd'),
    ]),
  )
  const record = (value: string, numbers: object) => ({ lease: 0, ...numbers, value })
  const a = record('1', { createRevision: 1, modRevision: 1, version: 1 })
  const b = record('2', { createRevision: 2, modRevision: 2, version: 1 })
  t.same(shown(result), {
    type: 'transaction',
    succeeded: true,
    revision: 5,
    results: [
      {
        type: 'list',
        items: [
          { key: 'a', record: a },
          { key: 'b', record: b },
        ],
        more: false,
      },
      { type: 'put', createRevision: 1, version: 2, previous: a },
      { type: 'put', createRevision: 5, version: 1, previous: null },
      { type: 'get', record: record('new', { createRevision: 1, modRevision: 5, version: 2 }) },
      { type: 'get', record: null },
      { type: 'delete', deleted: 1, previous: b },
      { type: 'delete', deleted: 0, previous: null },
      { type: 'delete', deleted: 1, previous: null },
    ],
  })
  t.same(records(store), { a: 'new', d: 'd' })
  t.equal(store.machine.state().revision, 5)
})

t.test('a transaction that changes nothing keeps the revision of the store', async (t) => {
  const store = new BatchStore().raise()
  store.execute(put('a', '1'), put('b', '2'))
  t.match(store.one(transaction([getOf('a'), deleteOf('x'), clear('x', 'y')])), { succeeded: true, revision: 2 })
  t.match(store.one(transaction([], { compares: [absent('a')] })), { succeeded: false, revision: 2, results: [] })
  t.equal(store.machine.state().revision, 2)
})

t.test('compares: every target with every operator, of a key that is there and of one that is not', async (t) => {
  const store = new BatchStore().raise()
  store.execute(put('z', '0'), put('a', 'm'), put('a', 'm'), put('a', 'm'))
  // createRevision 2, modRevision 4, version 3, lease 0.
  const numbers = { version: 3, 'create-revision': 2, 'mod-revision': 4, lease: 0 } as const
  const outcome = (compare: Compare): boolean => {
    const result = store.one(transaction([], { compares: [compare] }))
    return result.type === 'transaction' && result.succeeded
  }
  for (const [target, present] of Object.entries(numbers) as [keyof typeof numbers, number][]) {
    for (const [name, there] of [
      ['a', present],
      ['absent', 0],
    ] as const) {
      for (const value of [0, 1, 2, 3, 4, 5]) {
        const expected = { '=': there === value, '!=': there !== value, '<': there < value, '>': there > value }
        for (const operator of ['=', '!=', '<', '>'] as const)
          t.equal(
            outcome({ key: key(name), target, operator, value }),
            expected[operator],
            `${name} ${target} ${there} ${operator} ${value}`,
          )
      }
    }
  }
  for (const [value, holds] of [
    ['m', ['=']],
    ['l', ['!=', '>']],
    ['n', ['!=', '<']],
    ['', ['!=', '>']],
    ['mm', ['!=', '<']],
    ['\u00e9', ['!=', '<']],
  ] as const) {
    for (const operator of ['=', '!=', '<', '>'] as const) {
      const compare = { target: 'value', operator, value: Buffer.from(value) } as const
      t.equal(outcome({ key: key('a'), ...compare }), (holds as readonly string[]).includes(operator))
      t.notOk(outcome({ key: key('absent'), ...compare }), 'no comparison holds of the value of an absent key')
    }
  }
})

t.test('all compares have to hold; otherwise the other branch is carried out', async (t) => {
  const store = new BatchStore().raise()
  store.one(put('a', '1'))
  const compares = [absent('b'), absent('a')]
  const result = store.one(transaction([putOf('b')], { compares, failure: [putOf('c'), getOf('a')] }))
  t.match(shown(result), { succeeded: false, revision: 2, results: [{ type: 'put' }, { record: { value: '1' } }] })
  t.same(records(store), { a: '1', c: 'c' })
})

t.test('lists end at their limit, and where their bytes are exceeded', async (t) => {
  const store = new BatchStore({ transaction: { readBytesMax: 100_000, listBytesMax: 1_000 } }).raise()
  for (let i = 0; i < 9; i++) store.one(put(`k${i}`, 'x'.repeat(i < 5 ? 10 : 400)))
  const sizes = (operation: Operation) => {
    const result = store.one(transaction([operation]))
    const list = result.type === 'transaction' ? result.results[0] : undefined
    if (list?.type !== 'list') throw new Error('a list')
    return [list.items.length, list.more]
  }
  t.same(sizes(listOf('k', 'l', 3)), [3, true])
  t.same(sizes(listOf('k', 'k3', 3)), [3, false])
  t.same(sizes(listOf('x', 'k', 3)), [0, false], 'bounds in reverse')
  t.same(sizes(listOf(null, null, 100)), [7, true], 'five small ones, and as many large ones as exceed 1,000 bytes')
  t.same(sizes(listOf('k5', null, 100, true)), [3, true], 'what is read counts, not what is given')
  const result = store.one(transaction([listOf('k8', null, 1, true)]))
  t.match(shown(result), { results: [{ items: [{ key: 'k8', record: { value: '', version: 1, modRevision: 9 } }] }] })
})

t.test('what is too much is refused before anything changes', async (t) => {
  const store = new BatchStore({
    rangeDeleteKeysMax: 3,
    transaction: { readBytesMax: 2_000, listBytesMax: 10_000 },
  }).raise()
  for (let i = 0; i < 6; i++) store.one(put(`k${i}`, 'x'.repeat(300)))
  const before = store.dump()
  const digest = store.machine.state().digest
  const some = (...names: string[]) => names.map((name) => getOf(name))
  const refused: readonly [TransactionCommand, CommandResult][] = [
    [transaction([putOf('new'), clear('k0', 'k4')]), { type: 'range-too-large', limit: 3, found: 4 }],
    [
      transaction([putOf('new'), clear('k0', 'k2'), clear('k2', 'k4')]),
      { type: 'range-too-large', limit: 3, found: 4 },
    ],
    [
      transaction([putOf('new'), ...some('k0', 'k1', 'k2', 'k3', 'k4', 'k5')]),
      { type: 'transaction-too-large', limitBytes: 2_000 },
    ],
    [
      transaction([putOf('new')], { failure: some('k0', 'k1', 'k2', 'k3', 'k4', 'k5') }),
      { type: 'transaction-too-large', limitBytes: 2_000 },
    ],
    [
      transaction([putOf('new'), ...some('k0', 'k0', 'k0', 'k0', 'k0', 'k0')]),
      { type: 'transaction-too-large', limitBytes: 2_000 },
    ],
    [transaction([listOf(null, null), putOf('new')]), { type: 'transaction-too-large', limitBytes: 2_000 }],
    [
      transaction([listOf('k0', 'k3'), putOf('new')], { compares: [absent('k3'), absent('k4'), absent('k5')] }),
      { type: 'transaction-too-large', limitBytes: 2_000 },
    ],
  ]
  for (const [command, expected] of refused) {
    t.same(store.one(command), expected)
    t.same(store.dump(), before)
  }
  t.equal(store.machine.state().revision, 6)
  t.not(store.machine.state().digest, digest, 'a refusal is part of what replicas are compared by')
  t.match(store.one(transaction([clear('k0', 'k3'), ...some('k3', 'k4', 'x')])), { revision: 14 })
})

t.test('a retry gets the first answer, also after the results were too large to be kept', async (t) => {
  const store = new BatchStore({
    keptValues: { inlineBytesMax: 60, rings: [{ valueBytesMax: 500, slots: 1 }] },
  }).raise()
  const named = (name: string, success: readonly Operation[]): TransactionCommand => {
    const command = transaction(success, { compares: [absent('none')] })
    return { ...command, idempotency: { key: name, fingerprint: fingerprintOf(command) } }
  }
  const small = named('small', [putOf('a', '1'), deleteOf('x')])
  const large = named('large', [putOf('a', 'y'.repeat(100), true), getOf('a')])
  const first = store.one(small)
  const second = store.one(large)
  store.one(put('a', 'other'))
  const before = store.dump()
  t.same(shown(store.one(small)), shown(first))
  t.same(shown(store.one(large)), shown(second))
  t.same(shown(store.restored().one(large)), shown(second))
  t.same(store.dump(), before, 'a retry changes nothing')
  t.same(store.one({ ...large, success: [], idempotency: { key: 'large', fingerprint: 1 } }), { type: 'key-reused' })
  store.one(named('larger', [putOf('b', 'z'.repeat(100)), getOf('b')]))
  t.same(store.one(large), { type: 'transaction', succeeded: true, revision: 2, results: [], resultsForgotten: true })
  const refused = named('refused', [listOf(null, null)])
  const tiny = new BatchStore({ transaction: { readBytesMax: 10, listBytesMax: 10 } }).raise()
  tiny.one(put('a', 'x'.repeat(50)))
  t.same(tiny.one(refused), { type: 'transaction-too-large', limitBytes: 10 })
  t.same(tiny.one(refused), { type: 'transaction-too-large', limitBytes: 10 }, 'a refusal is an answer too')
})

const EVERYTHING = transaction([putOf('a', 'v', true), getOf('b'), deleteOf('c', true), clear('d', null)], {
  compares: [
    { key: key('a'), target: 'value', operator: '<', value: Buffer.from([0, 255]) },
    { key: key('日本'), target: 'mod-revision', operator: '>', value: 2 ** 53 - 1 },
    { key: key('b'), target: 'lease', operator: '!=', value: 0 },
    { key: key('b'), target: 'create-revision', operator: '=', value: 5 },
  ],
  failure: [listOf(null, 'z', 1, true), listOf('a', 'b', 1000), clear(null, 'a'), putOf('\u{1f600}', '')],
  idempotency: { key: 'order-17', fingerprint: 2 ** 53 - 1 },
})

t.test('a transaction survives encoding; whatever is not one is refused', async (t) => {
  for (const command of [EVERYTHING, transaction([]), { ...EVERYTHING, idempotency: null }]) {
    const bytes = encodeCommand(command)
    t.same(shown(decodeCommand(bytes)), shown(command))
    t.same(encodeCommand(decodeCommand(bytes)), bytes)
    t.equal(commandFault(bytes), null)
    for (let length = 0; length < bytes.length; length++) {
      t.throws(() => decodeCommand(bytes.subarray(0, length)), UnknownCommandError)
    }
    t.throws(() => decodeCommand(Buffer.concat([bytes, Buffer.alloc(1)])), UnknownCommandError)
  }
  const bytes = encodeCommand(EVERYTHING)
  const random = new SeededRandom(5)
  for (let i = 0; i < 3_000; i++) {
    const damaged = Buffer.from(bytes)
    damaged[random.integer(0, bytes.length)] = random.integer(0, 256)
    let again: Uint8Array
    try {
      again = encodeCommand(decodeCommand(damaged))
    } catch (error) {
      if (!(error instanceof UnknownCommandError)) throw error
      continue
    }
    if (!damaged.equals(again)) t.fail('what is decoded is what was encoded')
  }
  t.not(fingerprintOf(EVERYTHING), fingerprintOf({ ...EVERYTHING, success: EVERYTHING.failure }))
})

t.test('what no client can ask for is not taken from a peer', async (t) => {
  const many = Array.from({ length: limits.transactionOperationsMax + 1 }, (_, i) => getOf(`k${i}`))
  t.throws(() => encodeCommand(transaction(many)), { name: 'InvariantError' })
  t.equal(commandFault(encodeCommand(transaction(many.slice(1)))), null)
  for (const branch of [
    [putOf('a'), putOf('a')],
    [putOf('a'), listOf(null, null)],
  ]) {
    t.type(commandFault(encodeCommand(transaction(branch))), 'string')
    t.type(commandFault(encodeCommand(transaction([], { failure: branch }))), 'string')
  }
  const large = 'x'.repeat(limits.valueBytesMaxCeiling + 1)
  t.match(commandFault(encodeCommand(transaction([putOf('a', large)]))), /a value of 16777217 bytes/)
  const keyed = Buffer.concat([encodeCommand(transaction([])), Buffer.from('k')])
  keyed[5] = 1
  t.match(commandFault(keyed), /it has a key beside its body/)
  const store = new BatchStore().raise()
  store.execute(put('a', '1'), put('b', '2'))
  const result = shown(store.one(transaction([deleteOf('a'), listOf(null, null)])))
  t.match(result, { results: [{ deleted: 1 }, { items: [{ key: 'b' }] }] }, 'and would stop nobody')
})

t.test('a branch writes no key twice, and lists nothing that it has written', async (t) => {
  const faults = (...branch: Operation[]) => branchFaults(branch).map(({ index }) => index)
  t.same(faults(putOf('a'), getOf('a'), putOf('b'), getOf('b'), listOf('c', null)), [])
  t.same(faults(listOf(null, null), putOf('a'), clear('b', null)), [])
  t.same(faults(putOf('a'), deleteOf('a'), putOf('a')), [1, 2])
  t.same(faults(putOf('b'), clear('a', 'b'), clear('a', 'c')), [2])
  t.same(faults(clear('b', 'd'), putOf('a'), putOf('b'), putOf('c'), putOf('d')), [2, 3])
  t.same(faults(clear('b', 'd'), clear('a', 'b'), clear('d', null), clear(null, 'c'), clear('c', 'd')), [3, 4])
  t.same(faults(putOf('b'), listOf('a', 'b'), listOf('b', 'c'), listOf(null, null)), [2, 3])
  t.same(faults(clear('b', 'd'), listOf('d', 'e'), listOf('c', null)), [2])
})

t.test('the first answer survives encoding, with its results or without them', async (t) => {
  const record = { createRevision: 1, modRevision: 2, version: 2, lease: 0, value: Buffer.from('value') }
  const result: FirstResult = {
    type: 'transaction',
    succeeded: false,
    revision: 9,
    results: [
      { type: 'put', createRevision: 1, version: 3, previous: record },
      { type: 'put', createRevision: 9, version: 1, previous: null },
      { type: 'get', record: null },
      { type: 'get', record },
      { type: 'delete', deleted: 4096, previous: null },
      { type: 'list', items: [{ key: key('é'), record }], more: true },
      { type: 'list', items: [], more: false },
    ],
  }
  const write = { fingerprint: 7, result, valueApart: false }
  t.same(shown(decodeIdempotentWrite(encodeIdempotentWrite(write))), shown(write))
  const apart = decodeIdempotentWrite(encodeIdempotentWrite({ ...write, valueApart: true }))
  t.ok(apart.valueApart)
  t.same(shown(withBulk(apart.result, bulkOf(result))), shown(result))
  t.match(withBulk(apart.result, null), { results: [], resultsForgotten: true })
  const bytes = encodeIdempotentWrite(write)
  for (let length = 35; length < bytes.length; length++)
    t.throws(() => decodeIdempotentWrite(bytes.subarray(0, length)), { name: 'UnreadableStateError' })
  const unknown = Buffer.from(bytes)
  unknown[35] = 200
  t.throws(() => decodeIdempotentWrite(unknown), /type that this build does not know/)
  const outOfOrder = { ...record, createRevision: 9 }
  const unreadable: FirstResult = { ...result, results: [{ type: 'get', record: outOfOrder }] }
  t.throws(() => decodeIdempotentWrite(encodeIdempotentWrite({ ...write, result: unreadable })), /out of order/)
  const failed: FirstResult = { type: 'condition-failed', currentRevision: 5 }
  const absentKey: FirstResult = { type: 'deleted', revision: 5, deleted: 0, previous: null }
  for (const one of [failed, absentKey]) t.equal(withBulk(one, null), one, 'nothing of it was kept apart')
  const neither = Buffer.from(bytes)
  neither[25] = 2
  t.throws(() => decodeIdempotentWrite(neither), /neither succeeded nor failed/)
  const refusal = {
    fingerprint: 7,
    result: { type: 'transaction-too-large', limitBytes: 5 },
    valueApart: false,
  } as const
  t.same(decodeIdempotentWrite(encodeIdempotentWrite(refusal)), refusal)
})
