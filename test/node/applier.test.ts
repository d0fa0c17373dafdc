import t from 'tap'
import type {
  Command,
  CommandResult,
  EntryChanges,
  Key,
  KvMachineOptions,
  MachineState,
  RowKey,
  TransactionCommand,
} from '../../src/kv/index.ts'
import { KvMachine, encodeCommand, recordRow, rowBytes } from '../../src/kv/index.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { toError } from '../../src/lib/to-error.ts'
import { Applier } from '../../src/node/state/applier.ts'
import { commandEntryBytes, commandEntryInto } from '../../src/node/codec/entry.ts'
import { RowCache } from '../../src/node/state/row-cache.ts'
import { Rows } from '../../src/node/state/rows.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { StateRange, StateView, StateWrite } from '../../src/ports/state-store.ts'
import { NO_MEMBERSHIP, logIndex, nodeId, term, type LogBatch } from '../../src/raft/index.ts'
import { MemoryStateStore } from '../../src/storage/memory/memory-state-store.ts'
import { BatchStore } from '../kv/support/batch-store.ts'

const OPTIONS: KvMachineOptions = {
  idempotentWritesMax: 100,
  keptValues: { inlineBytesMax: 10, rings: [{ valueBytesMax: 1_000_000, slots: 4 }] },
  rangeDeleteKeysMax: 10,
  transaction: { readBytesMax: 10_000, listBytesMax: 1_000 },
  leases: { leasesMax: 100, attachedKeysMax: 100, endKeysMax: 10, endBytesMax: 10_000 },
  history: { rangeBytesMax: 100_000, stepRevisionsMax: 10, stepRecordsMax: 20, stepBytesMax: 10_000 },
}
const META = Buffer.from('meta')
const LEADER = { term: term(1), nodeId: nodeId(1) }

/** Counts what is asked of it, and keeps writes and reads of rows until they are let go. */
class WatchedStore extends MemoryStateStore {
  held: (() => void)[] | null = null
  heldReads: (() => void)[] | null = null
  readError: Error | null = null
  readonly readsOfRows: number[] = []
  keysRead = 0
  scans = 0

  override async write(writes: readonly StateWrite[], meta: Uint8Array): Promise<void> {
    const { held } = this
    if (held !== null) await new Promise<void>((resolve) => held.push(resolve))
    await super.write(writes, meta)
  }

  /** As a real store answers: with what was there when it was asked. */
  override async getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | null)[]> {
    this.readsOfRows.push(keys.length)
    const { heldReads, readError } = this
    if (readError !== null) throw readError
    const found = super.getMany(keys)
    if (heldReads !== null) await new Promise<void>((resolve) => heldReads.push(resolve))
    return found
  }

  override async view(): Promise<StateView> {
    const view = await super.view()
    return {
      meta: view.meta,
      getMany: (keys) => view.getMany(keys),
      scan: (range) => {
        this.scans += 1
        return view.scan(range)
      },
      keys: async (range: StateRange) => {
        const keys = await view.keys(range)
        this.keysRead += keys.length
        return keys
      },
      fractionUpTo: (key) => view.fractionUpTo(key),
      sizeBytes: () => view.sizeBytes(),
      close: () => view.close(),
    }
  }

  letGo(): void {
    for (const resolve of this.held?.splice(0) ?? []) resolve()
  }

  letReadsGo(): void {
    for (const resolve of this.heldReads?.splice(0) ?? []) resolve()
  }
}

const key = (n: number): Key => `k${String(n).padStart(6, '0')}` as Key

function put(n: number, value = 'v'): Command {
  return {
    type: 'put',
    key: key(n),
    value: Buffer.from(value),
    condition: null,
    wantsPrevious: false,
    idempotency: null,
  }
}

function remove(n: number): Command {
  return { type: 'delete', key: key(n), condition: null, wantsPrevious: false, idempotency: null }
}

function removeRange(start: number, end: number, upToLimit = false): Command {
  return { type: 'delete-range', start: key(start), end: key(end), upToLimit, idempotency: null }
}

/** An applier over a log of `commands`, in batches of `perBatch`. */
async function applierOf(
  commands: readonly Command[],
  perBatch: number,
  options: Partial<KvMachineOptions> = {},
  restored: MachineState | null = null,
  cacheBytesMax = 100,
) {
  const store = new WatchedStore()
  await store.open()
  const rows = new Rows(store, new RowCache(cacheBytesMax, [1, 2]))
  const turns: (() => void)[] = []
  const clock: Clock = {
    now: () => 0,
    wall: () => 0,
    after: () => () => {},
    nextTurn: (callback) => void turns.push(callback),
  }
  const results: CommandResult[] = []
  const changed: EntryChanges[] = []
  const consequences = {
    onLeaseEvents: () => {},
    onApplied: () => {},
    isWatched: true,
    onChanged: (entries: readonly EntryChanges[]): void => void changed.push(...entries),
  }
  const faults: Error[] = []
  const read = (first: number): readonly LogBatch[] => [batchOf(commands, first, perBatch)]
  const applier = new Applier(
    { batchBytesMax: 1_000_000 },
    {
      rows,
      clock,
      log: { readCached: read, read: async (first) => read(first) },
      proposals: { onResult: (_, result) => results.push(result) },
      consequences,
      times: null,
      faults: { report: (error) => faults.push(toError(error)) },
    },
    {
      machine: new KvMachine({ ...OPTIONS, ...options }, restored),
      applied: { leaderId: LEADER, index: logIndex(0) },
      membership: NO_MEMBERSHIP,
    },
  )
  return { store, rows, applier, turns, results, changed, consequences, faults }
}

function batchOf(commands: readonly Command[], first: number, count: number): LogBatch {
  const encoded = commands.slice(first - 1, first - 1 + count).map(encodeCommand)
  const body = Buffer.alloc(encoded.reduce((sum, { length }) => sum + commandEntryBytes(length), 0))
  let at = 0
  for (const command of encoded) at = commandEntryInto(body, at, { node: nodeId(1), nonce: 1 }, 0, command)
  return {
    leaderId: LEADER,
    first: logIndex(first),
    last: logIndex(first + encoded.length - 1),
    body,
    membershipCount: 0,
  }
}

/** Everything that needs no further turn of the clock. */
async function quiet(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
}

t.test('the rows of a range are those of the store under the changes on their way to it', async (t) => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new SeededRandom(seed)
    const store = new WatchedStore()
    await store.open()
    const rows = new Rows(store, new RowCache(100, [1, 2]))
    const model = new Map<RowKey, string>()
    let writing: Promise<void> = Promise.resolve()
    for (let round = 0; round < 30; round++) {
      for (let n = random.integer(0, 40); n > 0; n--) {
        const row = recordRow(key(random.integer(0, 60)))
        if (random.fraction() < 0.5) {
          rows.remove(row)
          model.delete(row)
        } else {
          const value = String(round).repeat(random.integer(1, 20))
          rows.put(row, Buffer.from(value))
          model.set(row, value)
        }
      }
      if (!rows.isWriting && random.fraction() < 0.7) {
        store.held = random.fraction() < 0.5 ? [] : null
        writing = rows.flush(META)
      }
      if (random.fraction() < 0.5) {
        store.letGo()
        // Now and then the write ends while the range is read.
        if (random.fraction() < 0.5) await writing
      }
      const [a, b] = [random.integer(0, 61), random.integer(0, 61)]
      const start = recordRow(key(Math.min(a, b)))
      const end = random.fraction() < 0.2 ? null : recordRow(key(Math.max(a, b) + 1))
      const limit = random.integer(1, 30)
      const bytesMax = random.fraction() < 0.5 ? 0 : random.integer(1, 400)
      const range = { start, end, limit, bytesMax }
      await (bytesMax === 0 ? rows.loadRange(range) : rows.loadBounded({ rows: [], ranges: [range], bytesMax: 300 }))
      const inside = [...model.keys()].filter((row) => row >= start && (end === null || row < end))
      const expected = inside.sort().slice(0, limit)
      if (rows.rowsIn(range).join() !== expected.join()) {
        t.same(rows.rowsIn(range), expected, `seed ${seed}, round ${round}`)
      }
      let bytes = 0
      for (const row of expected) {
        if (bytes > Math.min(bytesMax, 300) || bytesMax === 0) break
        const value = model.get(row) ?? ''
        bytes += row.length + value.length
        if (Buffer.from(rows.get(row) ?? []).toString() !== value)
          t.fail(`seed ${seed}, round ${round}: value of ${row}`)
      }
      rows.release()
    }
    store.letGo()
    await writing
  }
  t.pass('whatever was asked')
})

t.test('a compaction reads the changes that it removes in pages, and no row by its name', async (t) => {
  const retention = { revisions: 1000, ageMs: 1000, bytes: 1_000_000 }
  const commands: Command[] = [
    { type: 'raise-level', level: 1, version: '1', retention, idempotency: null },
    ...Array.from({ length: 200 }, (_, n) => put(n % 50)),
    { type: 'compaction', revision: 150, idempotency: null },
  ]
  const history = { rangeBytesMax: 100_000, stepRevisionsMax: 100, stepRecordsMax: 200, stepBytesMax: 10_000 }
  const { store, rows, applier, results, faults } = await applierOf(commands, 67, { history })
  applier.commitTo(logIndex(201))
  await quiet()
  await applier.settle()
  const [readsBefore, scansBefore] = [store.readsOfRows.length, store.scans]
  applier.commitTo(logIndex(202))
  await quiet()
  t.match(results.at(-1), { type: 'compacted', done: false })
  t.equal(store.readsOfRows.length, readsBefore)
  t.ok(store.scans > scansBefore && store.scans <= scansBefore + 2, `${store.scans - scansBefore} pages`)
  t.equal(rows.waitingRows, 150, '100 lists of changes, and the 50 records that were superseded by then')
  t.same(faults, [])
})

t.test('what commands change is told after their answers, while anybody wants to know', async (t) => {
  const commands = [put(1), put(2), remove(3), put(1, 'w'), removeRange(1, 3), put(4)]
  const { applier, results, changed, consequences } = await applierOf(commands, 5)
  consequences.onChanged = (entries) => {
    t.ok(results.length >= (entries.at(-1)?.revision ?? 0), 'all of these are answered')
    changed.push(...entries)
  }
  applier.commitTo(logIndex(5))
  await quiet()
  t.match(changed, [
    { revision: 1, changes: [{ kind: 'put', key: key(1), previousRow: null }] },
    { revision: 2, changes: [{ kind: 'put', key: key(2), previousRow: null }] },
    { revision: 4, changes: [{ kind: 'put', key: key(1), previousRevision: 1 }] },
    {
      revision: 5,
      changes: [
        { kind: 'delete', key: key(1), row: null },
        { kind: 'delete', key: key(2), row: null },
      ],
    },
  ])
  t.equal(changed.length, 4, 'an entry that changes nothing is not told of')
  consequences.isWatched = false
  applier.commitTo(logIndex(6))
  await quiet()
  t.equal(results.length, 6)
  t.equal(changed.length, 4)
})

t.test('a range delete is answered while the store has not taken what came before it', async (t) => {
  const commands = [put(1), put(2), put(3), removeRange(1, 3), put(1), removeRange(0, 9)]
  const { store, applier, results, faults } = await applierOf(commands, 6)
  store.held = []
  applier.commitTo(logIndex(6))
  await quiet()
  t.match(results.slice(3), [{ type: 'deleted', deleted: 2 }, { type: 'put', version: 1 }, { deleted: 2 }])
  t.same(faults, [])
  const settled = applier.settle()
  for (let i = 0; i < 5; i++) {
    store.letGo()
    await quiet()
  }
  t.match(await settled, { index: 6 })
  const view = await store.view()
  t.same(await view.keys({ start: null, end: null, reverse: false, limit: 10, bytesMax: 1000 }), [])
})

t.test('a range delete that names too much costs no more than its limit, values not at all', async (t) => {
  const commands = [...Array.from({ length: 3000 }, (_, n) => put(n)), removeRange(0, 9999), removeRange(0, 9999, true)]
  const { store, applier, results, turns } = await applierOf(commands, 500)
  applier.commitTo(logIndex(3000))
  for (let i = 0; i < 40; i++) {
    await quiet()
    for (const turn of turns.splice(0)) turn()
  }
  await applier.settle()
  applier.commitTo(logIndex(3002))
  await quiet()
  t.match(results.slice(3000), [
    { type: 'range-too-large', limit: 10, found: 11 },
    { type: 'range-deleted', deleted: 10, next: key(10) },
  ])
  t.equal(store.keysRead, 22)
  t.equal(store.scans, 0)
})

t.test('rows are read while the entries that look at them are on their way to the disks', async (t) => {
  const CACHE = 1_000_000

  t.test('once some were missing; the command then asks for nothing more', async (t) => {
    const commands = [put(1), put(2), put(3), remove(4), put(1), put(5)]
    const { store, rows, applier, results } = await applierOf(commands, 1, {}, null, CACHE)
    applier.foresee(batchOf(commands, 1, 1))
    t.same(store.readsOfRows, [], 'nothing is known to be missing yet')
    applier.commitTo(logIndex(1))
    await quiet()
    t.same(store.readsOfRows, [1])
    applier.foresee(batchOf(commands, 2, 4))
    applier.foresee(batchOf(commands, 2, 4))
    t.same(store.readsOfRows, [1, 3], 'the row of the first command is known, and none is read twice')
    await quiet()
    applier.commitTo(logIndex(5))
    await quiet()
    t.match(results, [{ version: 1 }, { version: 1 }, { version: 1 }, { deleted: 0 }, { version: 2 }])
    t.same(store.readsOfRows, [1, 3])
    for (let n = 0; n < 100; n++) applier.foresee(batchOf(commands, 1, 5))
    t.notOk(rows.isMissingRows, 'nothing was missing for a while')
    applier.foresee(batchOf(commands, 6, 1))
    t.same(store.readsOfRows, [1, 3])
  })

  t.test('a command that is committed before they arrive waits for them', async (t) => {
    const commands = [put(1), put(2), put(3)]
    const { store, applier, results } = await applierOf(commands, 1, {}, null, CACHE)
    applier.commitTo(logIndex(1))
    await quiet()
    store.heldReads = []
    applier.foresee(batchOf(commands, 2, 1))
    applier.commitTo(logIndex(2))
    await quiet()
    t.equal(results.length, 1)
    store.letReadsGo()
    await quiet()
    t.equal(results.length, 2)
    t.same(store.readsOfRows, [1, 1])
  })

  t.test('what changed meanwhile is not taken for what it was', async (t) => {
    const commands = [put(1), put(2), removeRange(1, 3), put(1)]
    const { store, rows, applier, results } = await applierOf(commands, 1, {}, null, CACHE)
    applier.commitTo(logIndex(2))
    await quiet()
    await applier.settle()
    // The cache is empty then.
    rows.reset()
    store.heldReads = []
    applier.foresee(batchOf(commands, 1, 1))
    applier.commitTo(logIndex(3))
    await quiet()
    t.match(results.at(-1), { deleted: 2 })
    await applier.settle()
    store.letReadsGo()
    await quiet()
    t.equal(rows.peek(recordRow(key(1))), null)
    store.heldReads = null
    applier.commitTo(logIndex(4))
    await quiet()
    t.match(results.at(-1), { type: 'put', version: 1 })
  })

  t.test('a state that is swapped in is not mixed with rows of the one before', async (t) => {
    const commands = [put(1), put(2)]
    const { store, rows, applier } = await applierOf(commands, 1, {}, null, CACHE)
    applier.commitTo(logIndex(1))
    await quiet()
    await applier.settle()
    store.heldReads = []
    applier.foresee(batchOf(commands, 2, 1))
    await applier.pause()
    applier.foresee(batchOf(commands, 2, 1))
    t.same(store.readsOfRows, [1, 1], 'nothing is read for a node that is paused')
    await rows.replace(async () => {})
    rows.readAhead([recordRow(key(7))])
    t.same(store.readsOfRows, [1, 1], 'nor while the state is replaced')
    rows.reset()
    store.letReadsGo()
    await quiet()
    t.equal(rows.peek(recordRow(key(2))), undefined)
  })

  t.test('a read that fails is left to the command that needs it, and few are on their way at once', async (t) => {
    const commands = Array.from({ length: 100 }, (_, n) => put(n))
    const { store, applier, results, faults } = await applierOf(commands, 1, {}, null, CACHE)
    applier.commitTo(logIndex(1))
    await quiet()
    store.readError = new Error('it cannot be read')
    applier.foresee(batchOf(commands, 2, 99))
    t.same(store.readsOfRows, [1, 32])
    await quiet()
    store.readError = null
    applier.commitTo(logIndex(2))
    await quiet()
    t.equal(results.length, 2)
    t.same(faults, [])
  })
})

t.test('however much there is to apply, other work has its turn in between', async (t) => {
  const puts = Array.from({ length: 20_000 }, (_, n) => put(n))
  const ranges = Array.from({ length: 20 }, (_, n) => removeRange(n * 1000, (n + 1) * 1000))
  const commands = [...puts, ...ranges]
  const { applier, results, turns, faults } = await applierOf(commands, 8192, { rangeDeleteKeysMax: 1000 })
  applier.commitTo(logIndex(commands.length))
  let turnsTaken = 0
  for (let before = 0; results.length < commands.length && turnsTaken < 1000; before = results.length) {
    await quiet()
    const worked = results.slice(before).reduce((sum, one) => sum + (one.type === 'deleted' ? one.deleted : 2), 0)
    if (worked > 4096) t.fail(`${worked} pieces of work in one turn`)
    turnsTaken += 1
    for (const turn of turns.splice(0)) turn()
  }
  t.equal(results.length, commands.length)
  t.equal(
    results.reduce((sum, one) => sum + (one.type === 'deleted' ? one.deleted : 0), 0),
    20_000,
  )
  t.same(faults, [])
})

t.test('rows waiting for the store are bounded: applying waits for it', async (t) => {
  const commands = Array.from({ length: 20_000 }, (_, n) => put(n))
  const { store, rows, applier, results, turns } = await applierOf(commands, 1000)
  store.held = []
  applier.commitTo(logIndex(commands.length))
  const pass = async (): Promise<void> => {
    for (let i = 0; i < 30; i++) {
      await quiet()
      for (const turn of turns.splice(0)) turn()
    }
  }
  await pass()
  t.ok(results.length < 10_000, `${results.length} executed while nothing was stored`)
  t.ok(rows.waitingRows <= 4096 + 1024)
  for (let i = 0; i < 20; i++) {
    store.letGo()
    await pass()
  }
  t.equal(results.length, commands.length, 'all of them once the store goes on')
})

t.test(
  'commands that look at large rows are executed in steps: their rows are not all in memory at once',
  async (t) => {
    const large = 'v'.repeat(1024 * 1024)
    const { store, applier, results } = await applierOf(
      Array.from({ length: 200 }, (_, n) => remove(n)),
      200,
    )
    const writes = Array.from({ length: 200 }, (_, n): StateWrite => {
      const record = Buffer.concat([Buffer.from([1]), Buffer.alloc(32), Buffer.from(large)])
      return { type: 'put', key: rowBytes(recordRow(key(n))), value: record }
    })
    await store.write(writes, META)
    const executedBefore: number[] = []
    const getMany = store.getMany.bind(store)
    store.getMany = async (keys) => {
      executedBefore.push(results.length)
      return getMany(keys)
    }
    applier.commitTo(logIndex(200))
    await quiet()
    t.equal(results.length, 200)
    t.ok(
      store.readsOfRows.every((count) => count <= 32),
      store.readsOfRows.join(),
    )
    t.ok(
      executedBefore.every((executed, at) => at * 32 - executed <= 32),
      'each is followed by the commands it was for',
    )
  },
)

type Operations = TransactionCommand['success']

function transaction(success: Operations, failure: Operations = []): Command {
  return { type: 'transaction', compares: [], success, failure, idempotency: null }
}

t.test('a transaction reads no more than it may', async (t) => {
  const names = Array.from({ length: 200 }, (_, n) => key(n))
  const gets = names.map((name) => ({ type: 'get', key: name }) as const)
  const command = transaction(gets.slice(100), gets.slice(0, 100))
  const options = { transaction: { readBytesMax: 30_000, listBytesMax: 900 } }
  const { store, applier, results } = await applierOf([command], 1, options, new BatchStore().raise().machine.state())
  const record = Buffer.concat([Buffer.from([1]), Buffer.alloc(32), Buffer.alloc(1_000)])
  await store.write(
    names.map((name): StateWrite => ({ type: 'put', key: rowBytes(recordRow(name)), value: record })),
    META,
  )
  applier.commitTo(logIndex(1))
  await quiet()
  t.same(results, [{ type: 'transaction-too-large', limitBytes: 30_000 }])
  t.same(store.readsOfRows, [32], 'the rest of the 200 rows was not even read')
})

t.test('a transaction sees all that was executed before it, in whatever batch', async (t) => {
  const all = { type: 'list', start: key(5), end: null, limit: 100, keysOnly: false } as const
  const commands = [
    put(5, 'x'.repeat(400)),
    transaction([all]),
    put(6, 'y'.repeat(400)),
    put(7, 'z'.repeat(400)),
    put(8, '!'.repeat(400)),
    transaction([all]),
    transaction([
      { type: 'get', key: key(6) },
      { type: 'delete-range', start: key(6), end: null },
    ]),
    transaction([all]),
  ]
  for (const perBatch of [1, 3, commands.length]) {
    const options = { transaction: { readBytesMax: 30_000, listBytesMax: 1_000 } }
    const state = new BatchStore().raise().machine.state()
    const { applier, results, faults } = await applierOf(commands, perBatch, options, state)
    applier.commitTo(logIndex(commands.length))
    await quiet()
    t.same(faults, [])
    const listed = results.flatMap((result) =>
      result.type === 'transaction'
        ? result.results.flatMap((one) => (one.type === 'list' ? [[one.items.length, one.more]] : []))
        : [],
    )
    t.same(listed, [
      [1, false],
      [3, true],
      [1, false],
    ])
    t.match(results[6], { revision: 7, results: [{ record: { version: 1 } }, { deleted: 3 }] })
  }
})
