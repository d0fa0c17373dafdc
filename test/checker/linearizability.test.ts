import t from 'tap'
import type { Key, TransactionCommand, TransactionResult } from '../../src/kv/index.ts'
import { excerptOf } from '../../src/checker/excerpt.ts'
import { jointCalls, jointModel } from '../../src/checker/joint-model.ts'
import { callsOn, keyModel } from '../../src/checker/key-model.ts'
import { checkLinearizable, type Call, type Model } from '../../src/checker/linearizability.ts'
import type { Answer, ClientCommand, Operation, Outcome, Request, WriteResult } from '../../src/checker/operation.ts'
import { Draw } from '../sim/world/draw.ts'

/** A register that holds one number. */
type Register = { readonly op: 'write' | 'read'; readonly value: number }

const register: Model<number, Register> = {
  initial: 0,
  step: (state, { op, value }) => (op === 'write' ? [value] : state === value ? [state] : []),
  keyOf: String,
}

function call(op: Register['op'], value: number, invokedAt: number, returnedAt: number, belief = 0): Call<Register> {
  return { input: { op, value }, invokedAt, returnedAt, belief }
}

const kindOf = (...history: Call<Register>[]): string => checkLinearizable(history, register, 100_000).kind

t.test('a register', (t) => {
  t.equal(kindOf(), 'linearizable', 'nothing happened')
  t.equal(kindOf(call('write', 1, 0, 1), call('read', 1, 2, 3)), 'linearizable', 'a read sees the write before it')
  t.equal(kindOf(call('write', 1, 0, 1), call('read', 0, 2, 3)), 'violation', 'a stale read')
  t.equal(
    kindOf(call('write', 1, 0, 4), call('read', 0, 1, 2), call('read', 1, 3, 5)),
    'linearizable',
    'a write that overlaps',
  )
  t.equal(kindOf(call('write', 1, 0, 9), call('read', 1, 1, 2), call('read', 0, 3, 4)), 'violation', 'new, then old')
  t.equal(
    kindOf(call('write', 1, 0, 9), call('write', 2, 0, 9), call('read', 2, 1, 2), call('read', 1, 3, 4)),
    'linearizable',
    'two writes at once, in either order',
  )
  t.equal(
    kindOf(
      call('write', 1, 0, 9),
      call('write', 2, 0, 9),
      call('read', 2, 1, 2),
      call('read', 1, 3, 4),
      call('read', 2, 5, 6),
    ),
    'violation',
    'but not in both orders',
  )
  t.equal(kindOf(call('read', 7, 0, 1)), 'violation', 'a value that nobody wrote')
  t.end()
})

t.test('outcomes that nobody knows', (t) => {
  t.equal(kindOf(call('write', 1, 0, Infinity), call('read', 0, 1, 2)), 'linearizable', 'it may not have happened')
  t.equal(kindOf(call('write', 1, 0, Infinity), call('read', 1, 1, 2)), 'linearizable', 'it may have happened')
  t.equal(
    kindOf(call('write', 1, 0, Infinity), call('read', 0, 1, 2), call('read', 1, 50, 51)),
    'linearizable',
    'it may happen much later',
  )
  t.equal(
    kindOf(call('write', 1, 0, Infinity), call('read', 1, 1, 2), call('read', 0, 3, 4)),
    'violation',
    'but not be undone',
  )
  t.equal(
    kindOf(call('write', 1, 5, Infinity), call('read', 1, 1, 2)),
    'violation',
    'nor happen before it was asked for',
  )
  t.equal(
    kindOf(call('write', 1, 0, Infinity), call('write', 2, 1, 2), call('read', 1, 3, 4), call('read', 2, 5, 6)),
    'violation',
    'nor happen twice',
  )
  t.end()
})

t.test('a violation names the call that fits nowhere', (t) => {
  const verdict = checkLinearizable(
    [call('write', 1, 0, 1), call('write', 2, 2, 3), call('read', 1, 4, 5)],
    register,
    1000,
  )
  t.match(verdict, { kind: 'violation', longest: [0, 1], stuck: 2 })
  t.end()
})

t.test('the search is bounded', (t) => {
  const history: Call<Register>[] = []
  for (let i = 1; i <= 30; i++) history.push(call('write', i, 0, Infinity))
  history.push(call('read', 99, 1, 2))
  t.equal(checkLinearizable(history, register, 500).kind, 'undecided')
  t.end()
})

t.test('the search agrees with trying every order', (t) => {
  const draw = new Draw(4)
  let violations = 0
  for (let round = 0; round < 3000; round++) {
    const history: Call<Register>[] = []
    const count = draw.integer(1, 6)
    for (let i = 0; i < count; i++) {
      const invokedAt = draw.integer(0, 8)
      const op = draw.chance(0.5) ? 'write' : 'read'
      const returnedAt = op === 'write' && draw.chance(0.3) ? Infinity : invokedAt + draw.integer(1, 5)
      // No belief may change the result.
      const belief = draw.chance(0.2) ? Infinity : draw.integer(0, 9)
      history.push(call(op, draw.integer(0, 3), invokedAt, returnedAt, belief))
    }
    const expected = someOrderIsLegal(history, [], 0)
    if (!expected) violations += 1
    t.equal(checkLinearizable(history, register, 100_000).kind === 'linearizable', expected, JSON.stringify(history))
  }
  t.ok(violations > 500 && violations < 2500, 'both kinds were among them')
  t.end()
})

t.test('finished calls are told apart behind a call that may never have been, however many there are', (t) => {
  const draw = new Draw(5)
  let violations = 0
  for (let round = 0; round < 300; round++) {
    const before = draw.integer(4, 20)
    const history = [call('write', 9, -100, Infinity, Infinity)]
    for (let at = before; at > 0; at--) history.push(call('write', at === 1 ? 0 : 9, -2 * at, 1 - 2 * at))
    for (let i = draw.integer(2, 6); i > 0; i--) {
      const invokedAt = draw.integer(0, 8)
      const op = draw.chance(0.5) ? 'write' : 'read'
      const returnedAt = op === 'write' && draw.chance(0.3) ? Infinity : invokedAt + draw.integer(1, 5)
      history.push(call(op, draw.integer(0, 3), invokedAt, returnedAt, draw.integer(0, 9)))
    }
    const expected = someOrderIsLegal(history, [], 0)
    if (!expected) violations += 1
    t.equal(checkLinearizable(history, register, 100_000).kind === 'linearizable', expected, JSON.stringify(history))
  }
  t.ok(violations > 50 && violations < 250, 'both kinds were among them')
  t.end()
})

/** Tries every order of every subset that contains all calls with a known outcome. */
function someOrderIsLegal(left: readonly Call<Register>[], done: readonly Call<Register>[], state: number): boolean {
  if (left.every((open) => open.returnedAt === Infinity)) return true
  return left.some((next) => {
    if (left.some((other) => other !== next && other.returnedAt < next.invokedAt)) return false
    const rest = left.filter((other) => other !== next)
    return register.step(state, next.input).some((after) => someOrderIsLegal(rest, [...done, next], after))
  })
}

const A = 'a' as Key

function operation(id: number, request: Request, span: readonly [number, number], outcome: Outcome): Operation {
  return { id, client: 1, request, invokedAt: span[0], returnedAt: span[1], outcome }
}

function put(
  id: number,
  value: string,
  span: readonly [number, number],
  answer: [revision: number, version: number] | null,
) {
  const command: ClientCommand = {
    type: 'put',
    key: A,
    value: Buffer.from(value),
    condition: null,
    wantsPrevious: false,
    idempotency: null,
  }
  if (answer === null)
    return operation(id, { type: 'write', command }, [span[0], Infinity], { kind: 'unknown', code: 'x' })
  const [revision, version] = answer
  const createRevision = version === 1 ? revision : 1
  const result = { type: 'put' as const, revision, createRevision, version, previous: null }
  return operation(id, { type: 'write', command }, span, {
    kind: 'answered',
    answer: { type: 'write', result, revision },
  })
}

function get(
  id: number,
  span: readonly [number, number],
  seen: [value: string, revision: number, version: number] | null,
) {
  const record =
    seen === null
      ? null
      : { value: Buffer.from(seen[0]), modRevision: seen[1], createRevision: 1, version: seen[2], lease: 0 }
  const answer: Answer = { type: 'get', record, revision: seen?.[1] ?? 0, given: 'linearizable' }
  const request: Request = { type: 'get', key: A, consistency: 'linearizable', minRevision: null }
  return operation(id, request, span, { kind: 'answered', answer })
}

function verdictOf(...operations: Operation[]): string {
  return checkLinearizable(
    callsOn(A, operations, () => 0),
    keyModel,
    100_000,
  ).kind
}

t.test('a key', (t) => {
  t.equal(verdictOf(put(1, 'x', [0, 1], [1, 1]), get(2, [2, 3], ['x', 1, 1])), 'linearizable')
  t.equal(verdictOf(put(1, 'x', [0, 1], [1, 1]), get(2, [2, 3], null)), 'violation', 'an acknowledged write is missing')
  t.equal(
    verdictOf(put(1, 'x', [0, 1], [1, 1]), put(2, 'y', [2, 3], [2, 2]), get(3, [4, 5], ['y', 2, 2])),
    'linearizable',
    'versions count the writes',
  )
  t.equal(
    verdictOf(put(1, 'x', [0, 1], [1, 1]), put(2, 'y', [2, 3], [2, 3])),
    'violation',
    'a version too many: applied twice',
  )
  t.equal(
    verdictOf(put(1, 'x', [0, 1], [1, 1]), put(2, 'y', [2, 3], null), put(3, 'z', [4, 5], [5, 3])),
    'linearizable',
    'the version shows that an unknown write took effect',
  )
  t.equal(
    verdictOf(
      put(1, 'x', [0, 1], [1, 1]),
      put(2, 'y', [2, 3], null),
      get(3, [4, 5], ['y', 4, 2]),
      get(4, [6, 7], ['y', 3, 2]),
    ),
    'violation',
    'a revision once seen stays',
  )
  t.end()
})

t.test('conditions, deletes and ranges on a key', (t) => {
  const write = (id: number, command: ClientCommand, span: [number, number], outcome: Outcome): Operation =>
    operation(id, { type: 'write', command }, span, outcome)
  const remove: ClientCommand = { type: 'delete', key: A, condition: null, wantsPrevious: false, idempotency: null }
  const removeAll: ClientCommand = { type: 'delete-range', start: null, end: null, upToLimit: false, idempotency: null }
  const deleted = (count: number): Outcome => ({
    kind: 'answered',
    answer: { type: 'write', result: { type: 'deleted', revision: 2, deleted: count, previous: null }, revision: 2 },
  })
  const refused = (currentRevision: number | null): Outcome => ({
    kind: 'answered',
    answer: { type: 'write', result: { type: 'condition-failed', currentRevision }, revision: 2 },
  })
  const x = put(1, 'x', [0, 1], [1, 1])
  t.equal(verdictOf(x, write(2, remove, [2, 3], deleted(1)), get(3, [4, 5], null)), 'linearizable')
  t.equal(verdictOf(x, write(2, remove, [2, 3], deleted(0))), 'violation', 'there was something to delete')
  t.equal(verdictOf(x, write(2, removeAll, [2, 3], deleted(1)), get(3, [4, 5], null)), 'linearizable')
  t.equal(verdictOf(x, write(2, removeAll, [2, 3], deleted(1)), get(3, [4, 5], ['x', 1, 1])), 'violation')
  const ifAbsent: ClientCommand = { ...remove, condition: { type: 'absent' } }
  t.equal(verdictOf(x, write(2, ifAbsent, [2, 3], refused(1))), 'linearizable')
  t.equal(verdictOf(x, write(2, ifAbsent, [2, 3], refused(null))), 'violation', 'refused, but for no reason')
  const ifAtOne: ClientCommand = { ...remove, condition: { type: 'mod-revision', revision: 1 } }
  t.equal(verdictOf(x, write(2, ifAtOne, [2, 3], refused(1))), 'violation', 'the condition held')
  t.equal(verdictOf(x, write(2, ifAtOne, [2, 3], deleted(1))), 'linearizable')
  t.equal(
    verdictOf(x, write(2, { ...ifAtOne, condition: { type: 'mod-revision', revision: 9 } }, [2, 3], deleted(1))),
    'violation',
  )
  t.end()
})

t.test('an excerpt of a violation ends with the call at fault, and leaves out what explains nothing', (t) => {
  const history: Operation[] = [put(0, 'v0', [0, 1], [1, 1])]
  for (let id = 1; id <= 40; id++) {
    const at = id * 10
    history.push(put(2 * id, `v${id}`, [at, at + 1], [id + 1, id + 1]))
    // Each read is right, but for one.
    const [value, revision, version] = id === 25 ? ['v3', 4, 4] : [`v${id}`, id + 1, id + 1]
    history.push(get(2 * id + 1, [at + 2, at + 3], [String(value), Number(revision), Number(version)]))
  }
  const calls = callsOn(A, history, () => 0)
  const excerpt = excerptOf(calls)
  t.equal(excerpt?.culprit?.id, 51, 'the stale read')
  t.same(
    excerpt?.operations.map(({ id }) => id),
    [6, 44, 46, 48, 50, 51],
    'the write that it reads from, and the last writes before it; no other read',
  )
  t.equal(excerpt?.leftOut, 51 - 6)
  t.end()
})

t.test('an excerpt keeps a read without which there is no violation', (t) => {
  const history = [
    put(1, 'x', [0, 1], [1, 1]),
    put(2, 'y', [2, 9], [2, 2]),
    get(3, [3, 4], ['y', 2, 2]),
    get(4, [5, 6], ['x', 1, 1]),
  ]
  const excerpt = excerptOf(callsOn(A, history, () => 0))
  t.equal(excerpt?.culprit?.id, 4)
  t.same(
    excerpt?.operations.map(({ id }) => id),
    [1, 2, 3, 4],
  )
  t.end()
})

t.test('keys that transactions join', async (t) => {
  const B = 'b' as Key
  type Parts = Partial<Pick<TransactionCommand, 'compares' | 'success' | 'failure'>>
  const put = (key: Key) => ({ type: 'put', key, value: Buffer.from('1'), wantsPrevious: false }) as const
  const read = (key: Key) => ({ type: 'get', key }) as const
  const absent = (key: Key) => ({ key, target: 'version', operator: '=', value: 0 }) as const
  const wrote = (revision: number) => ({ type: 'put', createRevision: revision, version: 1, previous: null }) as const
  const saw = (revision: number) => {
    const record = { value: Buffer.from('1'), createRevision: revision, modRevision: revision, version: 1, lease: 0 }
    return { type: 'get', record: revision === 0 ? null : record } as const
  }
  let ids = 0
  const write = (command: ClientCommand, span: readonly [number, number], result: WriteResult | null): Operation => {
    const request = { type: 'write', command } as const
    if (result === null)
      return operation(ids++, request, [span[0], Infinity], { kind: 'unknown', code: 'no answer came' })
    return operation(ids++, request, span, { kind: 'answered', answer: { type: 'write', result, revision: 9 } })
  }
  const transact = (
    parts: Parts,
    span: readonly [number, number],
    told: { succeeded?: boolean; revision?: number; results: TransactionResult['results'] } | null,
  ): Operation => {
    const command = {
      type: 'transaction',
      compares: [],
      success: [],
      failure: [],
      idempotency: null,
      ...parts,
    } as const
    return write(command, span, told && { type: 'transaction', succeeded: true, revision: 9, ...told })
  }
  const remove = (deleted: number, span: readonly [number, number]): Operation => {
    const command = { type: 'delete-range', start: null, end: null, upToLimit: false, idempotency: null } as const
    return write(command, span, { type: 'deleted', revision: 9, deleted, previous: null })
  }
  const verdictsOf = (...operations: Operation[]) => ({
    alone: [A, B].map(
      (key) =>
        checkLinearizable(
          callsOn(key, operations, ({ id }) => id),
          keyModel,
          1_000,
        ).kind,
    ),
    together: checkLinearizable(
      jointCalls([A, B], operations, ({ id }) => id),
      jointModel([A, B]),
      1_000,
    ).kind,
  })
  const RIGHT = { alone: ['linearizable', 'linearizable'], together: 'linearizable' }
  const TORN = { alone: ['linearizable', 'linearizable'], together: 'violation' }
  const both = transact({ success: [put(A), put(B)] }, [0, 9], { revision: 5, results: [wrote(5), wrote(5)] })
  const seen = (a: number, b: number, span: readonly [number, number] = [1, 8]) =>
    transact({ success: [read(A), read(B)] }, span, { results: [saw(a), saw(b)] })
  t.same(verdictsOf(both, seen(5, 5)), RIGHT)
  t.same(verdictsOf(both, seen(0, 0)), RIGHT)
  t.same(verdictsOf(both, seen(5, 0)), TORN, 'one half of it is seen')
  t.same(verdictsOf(both, seen(0, 5)), TORN, 'the other half of it is seen')
  const unclear = transact({ success: [put(A), put(B)] }, [0, 9], null)
  t.same(verdictsOf(unclear, seen(5, 5)), RIGHT, 'it may have been carried out')
  t.same(verdictsOf(unclear, seen(5, 0), seen(5, 5)), TORN, 'but whole')

  const guarded = (mine: Key, other: Key, revision: number) =>
    transact({ compares: [absent(other)], success: [put(mine)] }, [0, 9], { revision, results: [wrote(revision)] })
  t.same(verdictsOf(guarded(A, B, 5)), RIGHT)
  t.same(verdictsOf(guarded(A, B, 5), guarded(B, A, 6)), TORN, 'each comes before the other')
  const failed = (span: readonly [number, number]) =>
    transact({ compares: [absent(A), absent(B)], success: [put(A)] }, span, { succeeded: false, results: [] })
  t.same(verdictsOf(failed([0, 1])), TORN, 'every comparison holds, and it fails')
  t.same(verdictsOf(both, failed([10, 11])), RIGHT)
  const either = { compares: [absent(A), absent(B)], success: [put(A)], failure: [put(B)] }
  t.same(verdictsOf(transact(either, [0, 9], null), seen(5, 0)), RIGHT)
  t.same(verdictsOf(transact(either, [0, 9], null), seen(5, 5)), TORN, 'one branch or the other')
  const refused = write(
    { type: 'transaction', compares: [], success: [put(A), put(B)], failure: [], idempotency: null },
    [0, 1],
    { type: 'transaction-too-large', limitBytes: 1 },
  )
  t.same(verdictsOf(refused, seen(0, 0)), RIGHT)

  t.same(verdictsOf(both, remove(2, [10, 11]), seen(0, 0, [12, 13])), RIGHT)
  t.same(verdictsOf(both, remove(1, [10, 11])), TORN, 'a removal tells how many it has removed')
  const step: ClientCommand = { type: 'delete-range', start: null, end: null, upToLimit: true, idempotency: null }
  const lost = (upToLimit: boolean) => write({ ...step, upToLimit }, [10, 11], null)
  const one = transact({ success: [put(A)] }, [0, 9], { revision: 5, results: [wrote(5)] })
  const after = (a: number, b: number) => seen(a, b, [12, 13])
  t.same(verdictsOf(one, lost(false), after(0, 0)), RIGHT, 'what is not there needs no removal')
  t.same(verdictsOf(both, lost(false), after(0, 0)), RIGHT)
  t.same(verdictsOf(both, lost(false), after(0, 5)), TORN, 'all of the range, or nothing')
  t.same(verdictsOf(both, lost(true), after(0, 5)), RIGHT, 'up to a limit: the first')
  t.same(verdictsOf(both, lost(true), after(0, 0)), RIGHT)
  t.same(verdictsOf(both, lost(true), after(5, 0)), TORN, 'but not the last alone')
  const first = write(step, [10, 11], { type: 'range-deleted', revision: 9, deleted: 1, next: B })
  t.same(verdictsOf(both, first, seen(0, 5, [12, 13])), RIGHT)
})
