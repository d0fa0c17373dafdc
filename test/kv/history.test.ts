import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { decodeChanges } from '../../src/kv/change.ts'
import {
  changesAfter,
  decodeMachineState,
  decodeRecord,
  encodeMachineState,
  isHistoryKept,
  isHistoryRecorded,
  isHistoryRow,
  oldestRevision,
  recordRow,
  revisionOfChangesRow,
  runsAlone,
  versionOfRow,
  versionRange,
  versionRow,
  versionsUpTo,
  type Command,
  type CommandResult,
  type CompactionCommand,
  type IdempotencyTag,
  type Key,
  type KeyRecord,
  type NameableCommand,
  type Operation,
  type RaiseLevelCommand,
  type Retention,
  type RetentionCommand,
  type RowKey,
  type RowRange,
  type TransactionCommand,
} from '../../src/kv/index.ts'
import { assert } from '../../src/lib/assert.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { BatchStore, del, deleteRange, key, put, fingerprintOf } from './support/batch-store.ts'
import { ReferenceModel } from './support/reference-model.ts'
import { pastFault } from './support/stored-past.ts'

const PLENTY: Retention = { revisions: 1_000_000, ageMs: 0, bytes: 1_000_000_000 }
const NONE: Retention = { revisions: 0, ageMs: 0, bytes: 0 }

function raise(retention = PLENTY): RaiseLevelCommand {
  return { type: 'raise-level', level: 1, version: '1.2.3', retention, idempotency: null }
}

function compact(revision: number | null, idempotency: IdempotencyTag | null = null): CompactionCommand {
  return { type: 'compaction', revision, idempotency }
}

function retain(retention: Retention): RetentionCommand {
  return { type: 'retention', retention, idempotency: null }
}

function transaction(...success: readonly Operation[]): TransactionCommand {
  return { type: 'transaction', compares: [], success, failure: [], idempotency: null }
}

function historyOf(store: BatchStore) {
  const { history } = store.machine.state()
  assert(history !== null, 'history is kept')
  return history
}

function compacted(store: BatchStore): number {
  return historyOf(store).compactedRevision
}

/** The rows of a range, ascending. */
function rowsIn(store: BatchStore, { start, end }: RowRange): RowKey[] {
  return [...store.rows.keys()].filter((row) => row >= start && (end === null || row < end)).sort()
}

/** What the rows say about `key` at `revision`, read as docs/internals/storage.md describes it. */
function recordAt(store: BatchStore, key: Key, revision: number): KeyRecord | null {
  const current = store.record(key)
  if (current !== null && current.modRevision <= revision) return current
  const [row] = rowsIn(store, versionsUpTo(key, revision))
  const bytes = row === undefined ? undefined : store.rows.get(row)
  return bytes === undefined || bytes.length === 0 ? null : decodeRecord(bytes)
}

function text(record: KeyRecord | null | undefined): string | null {
  return record === null || record === undefined ? null : Buffer.from(record.value).toString()
}

/** The list of changes after `revision`, as `revision kind key previous`. */
function feed(store: BatchStore, revision: number): string[] {
  return rowsIn(store, changesAfter(revision)).flatMap((row) =>
    decodeChanges(store.rows.get(row) ?? Buffer.alloc(0)).map(
      ({ kind, key, previousRevision }) => `${revisionOfChangesRow(row)} ${kind} ${key} ${previousRevision}`,
    ),
  )
}

function historyRows(store: BatchStore): number {
  return [...store.rows.keys()].filter(isHistoryRow).length
}

/** The bytes that the rows of history have in fact. */
function historyBytes(store: BatchStore): number {
  let bytes = 0
  for (const [row, value] of store.rows) if (isHistoryRow(row)) bytes += row.length + value.length
  return bytes
}

t.test('before the level is raised nothing of the past is kept, and an older build can read the state', async (t) => {
  const store = new BatchStore()
  store.execute(put('a', '1'), put('a', '2'), del('a'))
  t.equal(historyRows(store), 0)
  t.match(store.machine.state(), { level: 0, history: null })
  t.equal(encodeMachineState(store.machine.state())[0], 2)
  t.match(store.machine.lastChanges(), { revision: 3, changes: [{ kind: 'delete', key: 'a' }] }, 'the change is told')
})

t.test('a command of a level that its cluster does not have is refused, and nothing of it is remembered', async (t) => {
  const lease = { type: 'granted', id: 7 } as const
  const commands: readonly NameableCommand[] = [
    transaction({ type: 'put', key: key('a'), value: Buffer.from('1'), wantsPrevious: false }),
    compact(1),
    retain(PLENTY),
    { ...put('a', '1'), lease },
    { type: 'lease-grant', id: 7, ttlMs: 1_000, idempotency: null },
    { type: 'lease-renew', id: 7, idempotency: null },
    { type: 'lease-revoke', id: 7, ifRenewedAt: null, idempotency: null },
    { type: 'lock-acquire', name: key('l'), ttlMs: 1_000, waitMs: 0, owner: '', idempotency: null },
    { type: 'lock-release', name: key('l'), lease: 7, idempotency: null },
  ]
  const refusal = { type: 'level-too-low', level: 1, clusterLevel: 0 } as const
  for (const [at, command] of commands.entries()) {
    const store = new BatchStore()
    store.one(put('a', 'old'))
    const { digest, ...before } = store.machine.state()
    const rows = store.dump()
    const named = { ...command, idempotency: { key: 'name', fingerprint: at } }
    for (const one of [command, named]) {
      t.same(store.one(one), refusal, command.type)
      t.equal(store.machine.lastChanges(), null)
    }
    const { digest: after, ...state } = store.machine.state()
    t.same(state, before)
    t.same(store.dump(), rows)
    t.not(after, digest, 'replicas that differ in it are told apart')
    store.one(raise())
    t.not(store.one(named).type, 'level-too-low', 'the retry is executed')
    t.equal(store.machine.state().idempotentNext, 1)
  }
  const [first] = commands
  assert(first !== undefined, 'there is one')
  const store = new BatchStore()
  t.match(store.execute(put('a', '1'), raise()), [{ type: 'put' }, { type: 'level-raised' }])
  t.match(store.one(first), { type: 'transaction', succeeded: true })
})

t.test('the past begins where the level is raised, and is raised once', async (t) => {
  const store = new BatchStore()
  store.execute(put('a', 'old'), put('b', 'old'))
  t.same(store.one(raise()), { type: 'level-raised', level: 1 })
  t.equal(store.machine.lastChanges(), null)
  t.equal(compacted(store), 2)
  store.one(put('a', 'new'))
  t.equal(text(recordAt(store, key('a'), 2)), 'old')
  t.same(store.one(raise(NONE)), { type: 'level-raised', level: 1 })
  t.same(historyOf(store).retention, PLENTY, 'the first retention stays')
  t.equal(compacted(store), 2)
})

t.test('the record of a key at each revision, and the list of all changes', async (t) => {
  const store = new BatchStore()
  store.one(raise())
  store.execute(put('a', '1'), put('b', 'x'), put('a', '2'), del('a'), del('a'), put('a', '3'))
  const told = [1, 2, 3, 4, 5, 6, 7, 8].map((revision) => text(recordAt(store, key('a'), revision)))
  t.same(told, [null, '1', '1', '2', null, null, '3', '3'])
  t.same(feed(store, 0), ['2 put a 0', '3 put b 0', '4 put a 2', '5 delete a 4', '7 put a 0'])
  t.same(feed(store, 4), ['5 delete a 4', '7 put a 0'])
  t.equal(historyOf(store).bytes, historyBytes(store))
  t.equal(historyOf(store).changes, 5)
})

t.test('all changes of one entry are listed under its revision', async (t) => {
  const store = new BatchStore()
  store.one(raise())
  store.execute(put('a', '1'), put('b', '2'), put('c', '3'))
  const more = [
    { type: 'put', key: key('a'), value: Buffer.from('4'), wantsPrevious: false },
    { type: 'delete-range', start: key('b'), end: null },
    { type: 'get', key: key('a') },
  ] as const
  store.one(transaction(...more))
  t.same(feed(store, 4), ['5 put a 2', '5 delete b 3', '5 delete c 4'])
  const { changes = [] } = store.machine.lastChanges() ?? {}
  t.same(
    changes.map(({ row, previousRow }) =>
      [row, previousRow].map((bytes) => (bytes === null ? null : text(decodeRecord(bytes)))),
    ),
    [
      ['4', '1'],
      [null, '2'],
      [null, '3'],
    ],
  )
  store.one(put('d', ''))
  store.one(deleteRange('a', 'd'))
  t.same(feed(store, 6), ['7 delete a 5'])
  t.equal(text(recordAt(store, key('c'), 4)), '3')
  store.one(put('a', '', { condition: { type: 'present' } }))
  t.equal(store.machine.lastChanges(), null, 'a refused command changes nothing')
})

t.test('keys that begin with another key, and keys with zeros, keep their own past and their order', async (t) => {
  const store = new BatchStore()
  store.one(raise())
  const keys = ['a', 'a\u0000', 'a\u0000\u0000', 'a\u0000b', 'a\u0001', 'aa', 'b', '\u{10ffff}'].map(key)
  for (const one of keys) store.execute({ ...put('x', one), key: one }, { ...put('x', ''), key: one })
  const versions = rowsIn(store, versionRange(null, null)).map((row) => versionOfRow(row))
  t.same(
    versions.map((version) => version?.key),
    keys,
  )
  for (const [at, one] of keys.entries()) {
    t.equal(text(recordAt(store, one, 2 + 2 * at)), one, JSON.stringify(one))
    t.equal(recordAt(store, one, 1 + 2 * at), null)
  }
  const some = rowsIn(store, versionRange(key('a\u0000'), key('aa'))).map((row) => versionOfRow(row)?.key)
  t.same(some, keys.slice(1, 5))
  t.equal(versionOfRow(recordRow(key('a'))), null)
  t.equal(revisionOfChangesRow(recordRow(key('a'))), null)
})

t.test('compaction', async (t) => {
  t.test('what is older than the revision is gone, what can be read at it stays', async (t) => {
    const store = new BatchStore()
    store.one(raise())
    store.execute(put('a', '1'), put('a', '2'), put('b', '1'), del('b'), put('a', '3'), put('b', '2'))
    t.same(store.one(compact(5)), { type: 'compacted', compactedRevision: 5, done: true })
    t.equal(store.machine.lastChanges(), null)
    t.same(
      [5, 6, 7].map((revision) => text(recordAt(store, key('a'), revision))),
      ['2', '3', '3'],
    )
    t.same(
      [5, 6, 7].map((revision) => text(recordAt(store, key('b'), revision))),
      [null, null, '2'],
    )
    t.same(feed(store, 0), ['6 put a 3', '7 put b 0'])
    t.equal(historyRows(store), 3)
    t.equal(historyOf(store).bytes, historyBytes(store))
    t.same(store.one(compact(3)), { type: 'compacted', compactedRevision: 5, done: true }, 'it never goes back')
    t.same(store.one(compact(7)), { type: 'compacted', compactedRevision: 7, done: true })
    t.equal(historyRows(store), 0)
    t.same(store.one(compact(8)), { type: 'future-revision', revision: 7 })
    t.same(store.one(compact(7)), { type: 'compacted', compactedRevision: 7, done: true })
  })

  t.test('one entry removes a limited part, and the rest is refused to readers at once', async (t) => {
    const limits = { rangeBytesMax: 100_000, stepRevisionsMax: 3, stepRecordsMax: 4, stepBytesMax: 10_000 }
    const store = new BatchStore({ history: limits })
    store.one(raise())
    for (let i = 0; i < 8; i++) store.one(put('a', String(i)))
    const steps: CommandResult[] = []
    do steps.push(store.one(compact(9)))
    while (steps.length < 10 && !isDone(steps.at(-1)))
    t.same(steps.map(isDone), [false, false, true])
    t.ok(steps.every((step) => step.type === 'compacted' && step.compactedRevision === 9))
    t.equal(historyRows(store), 0)
  })

  t.test('the records and the bytes of one step are limited too', async (t) => {
    for (const limit of [{ stepRecordsMax: 4 }, { stepBytesMax: 60 }]) {
      const limits = { rangeBytesMax: 100_000, stepRevisionsMax: 100, stepRecordsMax: 100, stepBytesMax: 10_000 }
      const store = new BatchStore({ history: { ...limits, ...limit } })
      store.one(raise())
      for (let i = 0; i < 12; i++) store.one(put('a', String(i)))
      const steps: CommandResult[] = []
      do steps.push(store.one(compact(13)))
      while (steps.length < 20 && !isDone(steps.at(-1)))
      t.ok(steps.length >= 3 && steps.length < 20, JSON.stringify(limit))
      t.equal(historyRows(store), 0)
    }
  })

  t.test('what exceeds the retention goes, by count and by bytes', async (t) => {
    const store = new BatchStore()
    store.one(raise({ ...PLENTY, revisions: 3 }))
    for (let i = 0; i < 5; i++) store.one(put('a', String(i)))
    t.same(store.one(compact(null)), { type: 'compacted', compactedRevision: 3, done: true })
    t.equal(historyOf(store).changes, 3)
    const heavy = new BatchStore()
    heavy.one(raise({ ...PLENTY, bytes: 500 }))
    for (let i = 0; i < 5; i++) heavy.one(put('a', 'x'.repeat(150)))
    t.match(heavy.one(compact(null)), { type: 'compacted', done: true })
    t.ok(historyOf(heavy).bytes <= 500 && historyOf(heavy).changes > 0)
    t.equal(historyOf(heavy).bytes, historyBytes(heavy))
  })

  t.test('a retry of a named one gets the first answer', async (t) => {
    const store = new BatchStore()
    store.one(raise())
    store.execute(put('a', '1'), put('a', '2'))
    const tag = { key: 'once', fingerprint: 1 }
    const first = store.one(compact(3, tag))
    store.one(put('a', '3'))
    store.one(compact(5))
    t.same(store.one(compact(3, tag)), first)
  })
})

t.test(
  'history that is switched off keeps nothing and can be read nowhere but now; switched on it begins anew',
  async (t) => {
    const store = new BatchStore()
    store.one(raise())
    store.execute(put('a', '1'), put('a', '2'))
    t.same(store.one(retain(NONE)), { type: 'retention-set' })
    t.equal(compacted(store), 3)
    store.execute(put('a', '3'), put('b', '1'))
    t.equal(compacted(store), 6)
    t.same(store.one(compact(null)), { type: 'compacted', compactedRevision: 6, done: true })
    t.equal(historyRows(store), 0)
    store.one(deleteRange('b', null))
    t.equal(historyRows(store), 0)
    store.one(retain(PLENTY))
    t.equal(compacted(store), 8)
    store.one(put('a', '4'))
    t.equal(text(recordAt(store, key('a'), 8)), '3')
    store.one(retain({ ...PLENTY, revisions: 10 }))
    t.equal(compacted(store), 8, 'another retention alone loses nothing')
  },
)

t.test('what was deleted while history was switched off does not come back with it', async (t) => {
  const store = new BatchStore()
  store.one(raise())
  store.execute(put('a', '1'), put('a', '2'))
  store.one(retain(NONE))
  store.execute(del('a'), put('b', '1'))
  store.one(retain(PLENTY))
  t.equal(compacted(store), 6)
  t.equal(recordAt(store, key('a'), 6), null)
  store.one(put('a', '3'))
  t.equal(recordAt(store, key('a'), 6), null)
  t.equal(text(recordAt(store, key('a'), 8)), '3')
  t.same(store.one(compact(6)), { type: 'compacted', compactedRevision: 6, done: true })
  t.same(feed(store, 0), ['8 put a 0'])
})

t.test('an entry copies no more of a range than it may', async (t) => {
  const limits = { rangeBytesMax: 1000, stepRevisionsMax: 10, stepRecordsMax: 10, stepBytesMax: 1000 }
  const store = new BatchStore({ history: limits })
  store.one(raise())
  for (const name of ['a', 'b', 'c', 'd']) store.one(put(name, 'x'.repeat(600)))
  t.same(store.one(deleteRange(null, null)), { type: 'range-too-heavy', limitBytes: 1000 })
  t.equal(store.records().size, 4)
  const step = deleteRange(null, null, { upToLimit: true })
  t.match(store.one(step), { type: 'range-deleted', deleted: 2, next: 'c' })
  t.match(store.one(step), { type: 'range-deleted', deleted: 2, next: null })
  t.equal(historyOf(store).bytes, historyBytes(store))
  store.one(put('a', 'x'.repeat(60_000)))
  store.one(put('b', 'x'.repeat(60_000)))
  const both = transaction({ type: 'delete-range', start: null, end: null })
  t.match(store.one(both), { type: 'transaction-too-large' })
})

t.test('any history of commands: every revision that is not compacted reads as it was', async (t) => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new SeededRandom(seed)
    let store = new BatchStore({ rangeDeleteKeysMax: 3, idempotentWritesMax: 5 })
    const names = ['a', 'a\u0000', 'ab', 'b', 'c'].map(key)
    /** What each key had at each revision, from the records alone. */
    const past: Map<Key, KeyRecord | null>[] = []
    for (let step = 0; step < 120; step++) {
      if (step === 10) store.one(raise({ ...PLENTY, revisions: random.integer(5, 80) }))
      else store.execute(...draw(random, names, store.revision))
      past[store.revision] = new Map(names.map((name) => [name, store.record(name)]))
      const { changes } = store.machine.lastChanges() ?? {}
      if (changes?.some(({ key, row }) => (row === null) !== (store.record(key) === null)))
        t.fail(`seed ${seed}: a change is told wrong`)
      if (random.integer(0, 10) === 0) store = store.restored()
    }
    const { level, history } = decodeMachineState(encodeMachineState(store.machine.state()))
    assert(level === 1 && history !== null, 'the state survives encoding')
    for (let revision = history.compactedRevision; revision <= store.revision; revision++) {
      // A batch of several commands is looked at after the last one.
      for (const [name, expected] of past[revision] ?? []) {
        const found = recordAt(store, name, revision)
        if (JSON.stringify(found) !== JSON.stringify(expected))
          t.fail(`seed ${seed}: ${JSON.stringify(name)} at ${revision}: ${text(found)}, not ${text(expected)}`)
      }
    }
    if (rowsIn(store, changesAfter(0)).length !== history.changes) t.fail(`seed ${seed}: changes are counted`)
    // The marks of zeros in keys are not counted.
    if (Math.abs(history.bytes - historyBytes(store)) > 2 * historyRows(store))
      t.fail(`seed ${seed}: bytes are counted`)
  }
})

function draw(random: SeededRandom, names: readonly Key[], revision: number) {
  const name = names[random.integer(0, names.length)] ?? key('a')
  const write = () => ({ ...put('x', String(random.integer(0, 1000))), key: name })
  switch (random.integer(0, 9)) {
    case 0:
      return [{ ...del('x'), key: name }]
    case 1:
      return [deleteRange('a', 'b', { upToLimit: random.integer(0, 2) === 0 })]
    case 2:
      return [compact(random.integer(0, 2) === 0 ? null : random.integer(0, revision + 2))]
    case 3: {
      const value = Buffer.from(String(random.integer(0, 1000)))
      return [
        transaction(
          { type: 'put', key: name, value, wantsPrevious: true },
          { type: 'delete-range', start: key('x'), end: null },
        ),
      ]
    }
    default:
      // Only what runs in one batch with others.
      return [write(), { ...write(), key: key('b') }]
  }
}

function isDone(result: CommandResult | undefined): boolean {
  return result?.type === 'compacted' && result.done
}

/** The same for every result, whatever holds its bytes. */
function plain(value: unknown): string {
  return JSON.stringify(value, (_, field: unknown) =>
    field instanceof Uint8Array ? Buffer.from(field).toString('latin1') : field,
  )
}

/** A command of any kind, all of them small enough to meet every limit now and then. */
function anyCommand(random: SeededRandom, revision: number): Command {
  const names = ['a', 'a\u0000', 'ab', 'b', 'c'].map(key)
  const name = () => names[random.integer(0, names.length)] ?? key('a')
  const chance = (one: number) => random.integer(0, one) === 0
  const value = () => Buffer.from('v'.repeat(random.integer(0, 60)))
  const idempotency = null
  const bounds = () => ({ start: chance(3) ? null : name(), end: chance(3) ? null : name() })
  switch (random.integer(0, 12)) {
    case 0:
      return { ...deleteRange(null, null, { upToLimit: chance(2), idempotency }), ...bounds() }
    case 1: {
      const more = { type: 'delete-range', start: key('b'), end: null } as const
      const write: Operation = { type: 'put', key: key('a'), value: value(), wantsPrevious: chance(2) }
      const list = { type: 'list', start: null, end: key('a'), limit: 2, keysOnly: false } as const
      return { ...transaction(write, list, ...(chance(2) ? [more] : [])), idempotency }
    }
    case 2:
      return compact(chance(2) ? null : random.integer(0, revision + 2), idempotency)
    case 3: {
      const retention = { revisions: random.integer(0, 30), ageMs: 0, bytes: random.integer(0, 3000) }
      return chance(4) ? { ...retain(retention), idempotency } : compact(null)
    }
    case 4:
    case 5:
    case 6:
      return { ...del('x', { wantsPrevious: chance(2), idempotency }), key: name() }
    default:
      return { ...put('x', '', { wantsPrevious: chance(2), idempotency }), key: name(), value: value() }
  }
}

/** Some commands have names: new ones, and those that came `before` under the same name. */
function anyNamed(random: SeededRandom, revision: number, before: Map<string, Command>): Command {
  const command = anyCommand(random, revision)
  if (random.integer(0, 3) !== 0) return command
  const name = `n${random.integer(0, 8)}`
  const asked = (random.integer(0, 2) === 0 ? before.get(name) : undefined) ?? command
  before.set(name, asked)
  return { ...asked, idempotency: { key: name, fingerprint: fingerprintOf(asked) } } as Command
}

/** At most a few commands that may be in one batch. */
function anyBatch(random: SeededRandom, revision: number, before: Map<string, Command>): Command[] {
  const commands = Array.from({ length: random.integer(1, 6) }, () => anyNamed(random, revision, before))
  const at = commands.findIndex((command) => runsAlone(command))
  return at === -1 ? commands : commands.slice(at, at + 1)
}

t.test(
  'a machine that follows commands of every kind is what the reference model says, its past included',
  async (t) => {
    const seen = new Set<string>()
    for (let seed = 1; seed <= 60; seed++) {
      const random = new SeededRandom(seed)
      let store = new BatchStore({
        rangeDeleteKeysMax: random.integer(1, 5),
        idempotentWritesMax: 5,
        transaction: { readBytesMax: 200, listBytesMax: 60 },
        history: { rangeBytesMax: 150, stepRevisionsMax: random.integer(1, 6), stepRecordsMax: 4, stepBytesMax: 150 },
      })
      const model = new ReferenceModel(store.options)
      const before = new Map<string, Command>()
      for (let round = 0; round < 70; round++) {
        const commands =
          round === 10
            ? [raise({ ...PLENTY, revisions: random.integer(0, 40) })]
            : anyBatch(random, store.revision, before)
        const results = store.execute(...commands)
        const expected = commands.map((one, at) => model.execute(one, store.revision - commands.length + 1 + at))
        for (const { type } of expected) seen.add(type)
        const where = `seed ${seed}, round ${round}`
        if (plain(results) !== plain(expected)) t.equal(plain(results), plain(expected), where)
        const { revision, level, history, leases } = store.machine.state()
        const told = model.stateAt(store.revision)
        const { auth } = store.machine
        const state = { revision, level, past: history, leases: { ...told.leases, counts: leases }, auth }
        if (!isDeepStrictEqual(state, told)) t.same(state, told, where)
        const changes = (store.machine.lastChanges()?.changes ?? []).map(({ kind, key, row, previousRow }) => {
          const [before, after] = [previousRow, row].map((bytes) => (bytes === null ? null : decodeRecord(bytes)))
          if ((kind === 'delete') !== (after === null)) t.fail(`${where}: a deletion leaves a record`)
          return { key, before, after }
        })
        // The machine reads what a range removes only once there is a past to keep it for.
        if (level > 0 && plain(changes) !== plain(model.lastChanges()))
          t.equal(plain(changes), plain(model.lastChanges()), where)
        const fault = pastFault(store.stored(), model, store.revision)
        if (fault !== null) t.fail(`${where}: ${fault}`)
        if (random.integer(0, 10) === 0) store = store.restored()
      }
    }
    const kinds = ['put', 'deleted', 'range-deleted', 'range-too-large', 'range-too-heavy', 'transaction'] as const
    const more = [
      'transaction-too-large',
      'level-raised',
      'compacted',
      'future-revision',
      'retention-set',
      'key-reused',
      'level-too-low',
    ] as const
    t.same(
      [...kinds, ...more].filter((kind) => !seen.has(kind)),
      [],
      'every outcome has been met',
    )
  },
)

t.test('versions of a key lie from the newest to the oldest', async (t) => {
  const revisions = [2 ** 53 - 1, 2 ** 40, 2 ** 32 + 1, 2 ** 32, 2 ** 32 - 1, 2 ** 31, 256, 255, 1, 0]
  const rows = revisions.map((revision) => versionRow(key('a'), revision))
  t.same([...rows].sort(), rows)
  t.same(
    rows.map((row) => versionOfRow(row)?.revision),
    revisions,
  )
})

t.test('the state says from which revision on one can read, and whether that lasts', async (t) => {
  const store = new BatchStore()
  store.execute(put('a', '1'), put('a', '2'))
  const told = () => [oldestRevision(store.machine.state()), isHistoryKept(store.machine.state())]
  const isRecorded = (): boolean => isHistoryRecorded(store.machine.state())
  t.same(told(), [2, false], 'without history only what is there now')
  t.notOk(isRecorded())
  store.one(raise())
  store.execute(put('a', '3'), put('a', '4'))
  t.same(told(), [2, true])
  t.ok(isRecorded())
  store.one(compact(4))
  t.same(told(), [4, true])
  store.one(retain(NONE))
  t.same(told(), [5, false])
  t.ok(isRecorded(), 'what is left of it goes on')
  store.one(compact(null))
  t.notOk(isRecorded())
})
