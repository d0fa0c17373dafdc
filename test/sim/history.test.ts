import t from 'tap'
import {
  changesRow,
  encodeChanges,
  NO_LEASES,
  encodeRecord,
  recordRow,
  rowBytes,
  versionRow,
  type Command,
  type CommandResult,
  type MachineState,
} from '../../src/kv/index.ts'
import { encodeStateMeta } from '../../src/node/codec/state-meta.ts'
import type { StateWrite } from '../../src/ports/state-store.ts'
import { NO_MEMBERSHIP, logIndex } from '../../src/raft/index.ts'
import { StateImage, rowChanges } from './disk/state-disk.ts'
import { historyOf } from './history/clusters.ts'
import type { ClientCommand } from '../../src/checker/operation.ts'
import type { Operation } from './history/operation.ts'
import { HistoryCheck } from './oracles/history.ts'
import { isAlike } from './oracles/plain.ts'
import {
  A,
  committed,
  heard,
  leaderId,
  LOCK_LEASES,
  operation,
  OPTIONS,
  PLENTY,
  problem,
  put,
  RAISE,
  removal,
  wrote,
} from './oracles/samples.ts'

t.test('two answers to one named write say the same', (t) => {
  const none: CommandResult = { type: 'deleted', revision: 0, deleted: 0, previous: null }
  const ledger = committed(removal('r'))
  const twice = (other: CommandResult): Operation =>
    operation(1, { type: 'write', command: removal('r') }, heard(wrote(none)), heard(wrote(other)))
  t.equal(problem(ledger, twice(none)), null)
  t.match(problem(ledger, twice({ ...none, revision: 1 })), /answered otherwise by another node/)
  t.match(problem(ledger, twice({ type: 'condition-failed', currentRevision: null })), /answered otherwise/)
  const alone = operation(1, { type: 'write', command: removal('r') }, heard(wrote({ ...none, deleted: 1 })))
  t.match(problem(ledger, alone), /is acknowledged, but/, 'a removal tells what it removed')
  const failed = operation(1, { type: 'write', command: removal('r') })
  failed.outcome = { kind: 'failed', code: 'no-leader' }
  t.match(problem(ledger, failed), /failed for certain but is in the log at 0/, 'whatever the kind of the write')
  t.end()
})

t.test('a write without a name is in the log once, and once more under a token that its node did not know', (t) => {
  const bootstrap = { type: 'auth-bootstrap', name: 'root', hash: 'a'.repeat(64), idempotency: null } as const
  const level = { type: 'raise-level', level: 1, version: '1.0.0', retention: PLENTY, idempotency: null } as const
  const early = put('x')
  const known = { ...early, token: 1 } as Command
  const asked = operation(1, { type: 'write', command: early })
  t.equal(problem(committed(level, bootstrap, early, known), asked), null)
  const more = /has no name and is in the log 2 times, at 2, 3/
  t.match(problem(committed(level, bootstrap, early, early), asked), more, 'refused twice')
  t.match(problem(committed(level, bootstrap, known, known), asked), more, 'done twice')
  t.match(problem(committed(level, bootstrap, known, early), asked), more)
  t.match(problem(committed(level, bootstrap, early, known, known), asked), /in the log 3 times/)
  t.match(problem(committed(early, level, bootstrap, known), asked), /at 0, 3/, 'done before there were tokens')
  t.end()
})

t.test('a read of a bounded age reflects everything that had ended longer ago', (t) => {
  const ledger = committed(put('1'), put('2'))
  const first: CommandResult = { type: 'put', revision: 0, createRevision: 0, version: 1, previous: null }
  const second: CommandResult = { type: 'put', revision: 1, createRevision: 0, version: 2, previous: null }
  const writes = [
    operation(1, { type: 'write', command: put('1') }, heard(wrote(first))),
    operation(2, { type: 'write', command: put('2') }, heard(wrote(second))),
  ]
  const record = { createRevision: 0, modRevision: 0, version: 1, lease: 0, value: Buffer.from('1') }
  const request = { type: 'get', key: A, consistency: 'stale', minRevision: null, maxStalenessMs: 5 } as const
  const read = (freshAt: number): Operation =>
    operation(4, request, heard({ type: 'get', record, revision: 0, given: 'stale' }, 'c1', freshAt))
  t.equal(problem(ledger, ...writes, read(20)), null)
  t.match(problem(ledger, ...writes, read(30)), /ended longer ago than the bound/)
  t.end()
})

t.test('a key is searched though a write on it was executed again after its name was forgotten', (t) => {
  const later = Array.from({ length: OPTIONS.machine.idempotentWritesMax }, (_, n) => put(`${n}`, `later-${n}`))
  const commands = [put('once', 'first'), ...later, put('once', 'first')]
  const ledger = committed(...commands)
  const made = commands.slice(0, -1).map((command, at) => {
    const result: CommandResult = { type: 'put', revision: at, createRevision: 0, version: at + 1, previous: null }
    return operation(at + 1, { type: 'write', command }, heard({ ...wrote(result), revision: at }))
  })
  const last = commands.length - 1
  const record = { createRevision: 0, modRevision: last, version: last + 1, lease: 0, value: Buffer.from('once') }
  const request = { type: 'get', key: A, consistency: 'linearizable', minRevision: null } as const
  const read = operation(last + 1, request, heard({ type: 'get', record, revision: last, given: 'linearizable' }))
  const check = new HistoryCheck(OPTIONS, ledger)
  check.check([...made, read])
  t.match(check.figures, { keysChecked: 1, keysUndecided: 0, executedAgain: 1 })
  const silent = {
    ...made[0],
    outcome: { kind: 'unknown', code: 'silent' },
    heard: [],
    returnedAt: Infinity,
  } as Operation
  t.equal(problem(ledger, silent, ...made.slice(1), read), null, 'also where nobody was told of the first time')
  t.end()
})

t.test('each cluster answers for what it said', (t) => {
  const result: CommandResult = { type: 'put', revision: 0, createRevision: 0, version: 1, previous: null }
  const elsewhere = operation(1, { type: 'write', command: put('1') }, heard(wrote(result), 'c2'))
  t.match(historyOf('c1', [elsewhere]), [{ outcome: { kind: 'failed' } }], 'it was tried once')
  t.match(problem(committed(put('1')), ...historyOf('c1', [elsewhere])), /failed for certain but is in the log/)
  const named = operation(1, { type: 'write', command: put('1', 'n') }, heard(wrote(result), 'c2'))
  t.match(historyOf('c1', [named]), [{ outcome: { kind: 'unknown' }, returnedAt: Infinity }])
  const both = operation(1, { type: 'write', command: put('1', 'n') }, heard(wrote(result), 'c2'), heard(wrote(result)))
  t.match(historyOf('c1', [both]), [{ outcome: { kind: 'answered' }, heard: [{ clusterId: 'c1' }] }])
  const request = { type: 'get', key: A, consistency: 'linearizable', minRevision: null } as const
  const read = operation(1, request, heard({ type: 'get', record: null, revision: 0, given: 'linearizable' }, 'c2'))
  t.same(historyOf('c1', [read]), [])
  t.end()
})

t.test('a state on disk is that of the model at its index', (t) => {
  const check = new HistoryCheck(OPTIONS, committed(removal('x'), removal('y'), put('1'), put('2')))
  const meta = (index: number): Uint8Array =>
    encodeStateMeta({
      applied: { leaderId, index: logIndex(index) },
      membership: NO_MEMBERSHIP,
      machine: {
        revision: index,
        digest: 0,
        idempotentFirst: 0,
        idempotentNext: 0,
        keptValues: [],
        level: 0,
        history: null,
        leases: NO_LEASES,
        auth: 0,
      },
    })
  const image = (index: number, value: string, version: number): StateImage => {
    const image = new StateImage()
    const record = { createRevision: 2, modRevision: index, version, lease: 0, value: Buffer.from(value) }
    const write: StateWrite = { type: 'put', key: rowBytes(recordRow(A)), value: encodeRecord(record) }
    image.apply(rowChanges([write]), meta(index))
    return image
  }
  const empty = new StateImage()
  check.checkState('n1', empty)
  check.checkState('n1', image(2, '1', 1))
  check.checkState('n1', image(3, '2', 2))
  t.equal(check.figures.statesCompared, 2)
  t.throws(() => check.checkState('n1', image(3, '1', 1)), /holds .* not /)
  empty.apply([], meta(3))
  t.throws(() => check.checkState('n1', empty), /holds \[\], not \[a\]/)
  t.end()
})

t.test('a copy of a state on disk keeps what it has when the state changes, and lists it in order', (t) => {
  const write = (key: string, value: string | null): StateWrite =>
    value === null
      ? { type: 'delete', key: Buffer.from(key) }
      : { type: 'put', key: Buffer.from(key), value: Buffer.from(value) }
  const image = new StateImage()
  image.apply(rowChanges([write('b', '1'), write('d', '2'), write('a', '3'), write('c', '4')]), Buffer.from('m1'))
  const { digest } = image
  const copy = image.copy()
  image.apply(rowChanges([write('b', null), write('x', null), write('d', '5'), write('e', '6')]), Buffer.from('m2'))
  t.same([copy.keys(), copy.size, copy.digest, String(copy.get('b'))], [['a', 'b', 'c', 'd'], 4, digest, '1'])
  t.same([image.keys(), image.get('b'), String(image.get('d'))], [['a', 'c', 'd', 'e'], null, '5'])
  t.same(copy.keysBetween('b', 'd'), ['b', 'c'])
  t.same(copy.keysBetween('bb', null), ['c', 'd'])
  t.same(copy.keysBetween(null, 'a'), [])
  t.not(image.digest, digest)
  image.apply(rowChanges([write('e', null), write('b', '1'), write('d', '2')]), Buffer.from('m3'))
  t.equal(image.digest, digest, 'the order of changes does not matter')
  t.end()
})

t.test('values are alike when all their fields are, buffers by their bytes', (t) => {
  t.ok(isAlike({ a: [1, Buffer.from('x')], b: null }, { b: null, a: [1, new Uint8Array([120])] }))
  t.notOk(isAlike({ a: Buffer.from('x') }, { a: Buffer.from('y') }))
  t.notOk(isAlike({ a: Buffer.from('x') }, { a: { 0: 120 } }))
  t.notOk(isAlike({ a: 1 }, { a: 1, b: undefined }))
  t.notOk(isAlike({ a: 1, c: undefined }, { a: 1, b: undefined }))
  t.notOk(isAlike({ a: null }, { a: {} }))
  t.notOk(isAlike(1, '1'))
  t.end()
})

t.test('a state on disk has the past that the model says, and no more', (t) => {
  const raise: Command = { type: 'raise-level', level: 1, version: '1', retention: PLENTY, idempotency: null }
  const compact: Command = { type: 'compaction', revision: 3, idempotency: null }
  const commands = [put('0'), raise, put('1'), put('2'), removal('x'), compact]
  const check = new HistoryCheck(OPTIONS, committed(...commands))
  const machine = (history: MachineState['history']): MachineState => ({
    revision: 4,
    digest: 0,
    idempotentFirst: 0,
    idempotentNext: 0,
    keptValues: [],
    level: 1,
    leases: NO_LEASES,
    auth: 0,
    history,
  })
  const version = (revision: number, value: string): StateWrite => {
    const record = { createRevision: 0, modRevision: revision, version: revision, lease: 0, value: Buffer.from(value) }
    return { type: 'put', key: rowBytes(versionRow(A, revision)), value: encodeRecord(record) }
  }
  const change = { kind: 'delete', key: A, previousRevision: 3, previousBytes: 46 } as const
  const listed: StateWrite = { type: 'put', key: rowBytes(changesRow(4)), value: encodeChanges([change]) }
  const deleted: StateWrite = { type: 'put', key: rowBytes(versionRow(A, 4)), value: new Uint8Array(0) }
  const history = { compactedRevision: 3, collectedRevision: 3, changes: 1, bytes: 88, retention: PLENTY }
  const fault = (told: MachineState['history'], ...writes: StateWrite[]): string => {
    const image = new StateImage()
    const applied = { leaderId, index: logIndex(5) }
    image.apply(rowChanges(writes), encodeStateMeta({ applied, membership: NO_MEMBERSHIP, machine: machine(told) }))
    try {
      check.checkState('n1', image)
      return ''
    } catch (error) {
      return String(error)
    }
  }
  const all = [version(3, '2'), listed, deleted]
  t.equal(fault(history, ...all), '')
  t.match(fault({ ...history, collectedRevision: 2 }, ...all), /has the state/)
  t.match(fault(history, listed, deleted), /keeps "a" of 4: nothing where "a" of 3/)
  t.match(fault(history, version(3, '2'), listed), /keeps nothing more where "a" of 4/)
  t.match(fault(history, version(3, '2'), deleted), /lists nothing more/)
  t.match(fault(history, ...all, version(2, '1')), /keeps "a" of 2/)
  t.match(fault(history, version(3, '3'), listed, deleted), /keeps/)
  t.end()
})

t.test(
  'a request for a lock may fail though it is in the log only where its place is given up for want of a right',
  (t) => {
    const asks = (owner: string): ClientCommand => {
      return { type: 'lock-acquire', name: A, ttlMs: 1_000, waitMs: 1_000, owner, idempotency: null }
    }
    const first = asks('one')
    const second = asks('two')
    const denials = [{ clusterId: 'c1', span: { from: 0, to: 1 }, code: 'forbidden', message: '' }]
    const failed = (command: ClientCommand, denied: boolean): Operation => ({
      ...operation(1, { type: 'write', command }),
      outcome: { kind: 'failed', code: 'forbidden' },
      ...(denied ? { denials } : {}),
    })
    const lease = LOCK_LEASES + 2
    const leaves: Command = { type: 'lease-revoke', id: lease, ifRenewedAt: null, idempotency: null }
    const left = [RAISE, first, second, leaves]
    t.equal(problem(committed(...left), failed(second, true)), null)
    const inLog = /failed for certain but is in the log/
    t.match(problem(committed(...left), failed(second, false)), inLog, 'nobody has refused it')
    t.match(problem(committed(RAISE, first, second), failed(second, true)), inLog, 'it waits still')
    t.match(problem(committed(...left), failed(first, true)), inLog, 'it has the lock')
    t.end()
  },
)
