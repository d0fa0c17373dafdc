import t from 'tap'
import {
  changesRow,
  denialError,
  encodeChanges,
  NO_LEASES,
  encodeCommand,
  encodeRecord,
  recordRow,
  rowBytes,
  versionRow,
  type Command,
  type CommandResult,
  type Key,
  type MachineState,
} from '../../src/kv/index.ts'
import { commandEntryBytes, commandEntryInto } from '../../src/node/codec/entry.ts'
import { encodeStateMeta } from '../../src/node/codec/state-meta.ts'
import type { StateWrite } from '../../src/ports/state-store.ts'
import { NO_MEMBERSHIP, logIndex, nodeId, term } from '../../src/raft/index.ts'
import { StateImage, rowChanges } from './disk/state-disk.ts'
import { historyOf } from './history/clusters.ts'
import type { KeyVersion } from '../../src/api/services.ts'
import type { Answer, ClientCommand } from '../../src/checker/operation.ts'
import type { ImportEnd, ImportSession } from './history/import-session.ts'
import type { Heard, Operation } from './history/operation.ts'
import type { LeasesView, VersionsView } from './history/view.ts'
import type { WatchSession } from './history/watch-session.ts'
import { Ledger } from './machines/ledger.ts'
import { HistoryCheck } from './oracles/history.ts'
import { isAlike } from './oracles/plain.ts'

const PLENTY = { revisions: 1_000, ageMs: 1_000, bytes: 1_000_000 }

const A = 'a' as Key
/** The id of the lease of a lock, without the index of the entry that has asked for it. */
const LOCK_LEASES = 3_000_000_000_000_000
const leaderId = { term: term(1), nodeId: nodeId(1) }
const OPTIONS = {
  machine: {
    idempotentWritesMax: 10,
    keptValues: { inlineBytesMax: 1000, rings: [] },
    rangeDeleteKeysMax: 10,
    transaction: { readBytesMax: 1_000, listBytesMax: 100 },
    leases: { leasesMax: 20, attachedKeysMax: 30, endKeysMax: 3, endBytesMax: 200 },
    history: { rangeBytesMax: 1_000, stepRevisionsMax: 10, stepRecordsMax: 20, stepBytesMax: 1_000 },
  },
  leasesHold: true,
  stepsMax: 1_000,
}

/** A cluster that has committed `commands`, the first at index 0. */
function committed(...commands: Command[]): Ledger {
  const ledger = new Ledger('c1')
  for (const [index, command] of commands.entries()) {
    const bytes = encodeCommand(command)
    const body = Buffer.alloc(commandEntryBytes(bytes.length))
    commandEntryInto(body, 0, { node: nodeId(1), nonce: 1 }, index, bytes)
    const first = logIndex(index)
    const before = index === 0 ? null : { leaderId, index: logIndex(index - 1) }
    ledger.write({ leaderId, first, last: first, body, membershipCount: 0 }, before)
    ledger.commit({ leaderId, index: first }, leaderId)
  }
  return ledger
}

function put(value: string, name: string | null = null): ClientCommand {
  const idempotency = name === null ? null : { key: name, fingerprint: 1 }
  return { type: 'put', key: A, value: Buffer.from(value), condition: null, wantsPrevious: false, idempotency }
}

function removal(name: string): ClientCommand {
  return { type: 'delete', key: A, condition: null, wantsPrevious: false, idempotency: { key: name, fingerprint: 1 } }
}

function wrote(result: CommandResult): Answer {
  return { type: 'write', result, revision: 0 }
}

function heard(answer: Answer, clusterId = 'c1', freshAt: number | null = null): Heard {
  return { answer, clusterId, freshAt }
}

function operation(id: number, request: Operation['request'], ...answers: Heard[]): Operation {
  const [first] = answers
  const mark =
    request.type === 'write' && request.command.type === 'put'
      ? Buffer.from(request.command.value).toString('latin1')
      : null
  return {
    id,
    client: 1,
    request,
    invokedAt: id * 10,
    returnedAt: first === undefined ? Infinity : id * 10 + 5,
    outcome: first === undefined ? { kind: 'unknown', code: 'silent' } : { kind: 'answered', answer: first.answer },
    heard: answers,
    mark,
  }
}

function problem(ledger: Ledger, ...history: Operation[]): string | null {
  try {
    new HistoryCheck(OPTIONS, ledger).check(history)
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

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
  'a client is given what its token may have, and a refusal says what is missing as the documents have it',
  (t) => {
    const NOW = { idempotency: null } as const
    const hash = (digit: string): string => digit.repeat(64)
    const role = { name: 'r', grants: [{ access: 'read', keys: { type: 'key', key: A } }], rights: [] } as const
    const unlimited = { expiresAt: null, requestsPerSecond: null, bytesPerSecond: null, certificateName: null }
    const created = { name: 'b', roles: ['r'], ...unlimited, hash: hash('b') }
    const bootstrap = { type: 'auth-bootstrap', name: 'root', hash: hash('a'), ...NOW } as const
    const revocation = { type: 'token-delete', id: 3, ...NOW } as const
    const ledger = committed(
      { type: 'raise-level', level: 1, version: '1.0.0', retention: PLENTY, ...NOW },
      bootstrap,
      { type: 'role-put', role, token: 1, ...NOW },
      { type: 'token-create', created, token: 1, ...NOW },
      { ...revocation, token: 1 },
      { ...put('late'), token: 3 } as Command,
    )
    const times = { writtenAt: (index: number) => index * 10, committedAt: (index: number) => index * 10 }
    const changed = (
      command: ClientCommand,
      result: CommandResult,
      invokedAt: number,
      returnedAt: number,
    ): Operation => ({
      ...operation(0, { type: 'write', command }, heard(wrote(result))),
      invokedAt,
      returnedAt,
      secret: hash('a'),
    })
    // The entry at 1, the first token, is committed at 10 and answered at 12; the one at 4, a revocation, at 40 and at 45.
    const changes = [
      changed(bootstrap, { type: 'auth-begun', id: 1 }, 5, 12),
      changed({ type: 'token-create', created, ...NOW }, { type: 'token-created', id: 3 }, 25, 30.5),
      changed(revocation, { type: 'token-deleted' }, 35, 45),
    ]
    const check = (history: readonly Operation[], sessions: readonly WatchSession[] = []): string | null => {
      try {
        const checked = new HistoryCheck(OPTIONS, ledger, times)
        checked.checkRights([...changes, ...history], sessions, { clusterId: 'c1', calm: { from: 0, to: 100 } })
        return null
      } catch (error) {
        return error instanceof Error ? error.message : String(error)
      }
    }
    const READ = { type: 'get', key: A, consistency: 'linearizable', minRevision: null } as const
    const nothing = { type: 'get', record: null, revision: 0, given: 'linearizable' } as const
    const asked = (request: Operation['request'], answer: Answer, from: number, to: number): Operation => ({
      ...operation(1, request, { ...heard(answer), span: { from, to } }),
      secret: hash('b'),
    })
    t.equal(check([asked(READ, nothing, 31, 50)]), null, 'the revocation was not answered when it came')
    t.match(check([asked(READ, nothing, 46, 50)]), /its token may not do that/)
    t.match(check([asked(READ, { ...nothing, revision: 5 }, 31, 60)]), /its token may not/, 'shown what is behind it')
    const stale = { ...nothing, given: 'stale' } as const
    t.equal(check([asked({ ...READ, consistency: 'stale' }, stale, 46, 50)]), null)
    t.match(check([asked(READ, nothing, 15, 29)]), /may not/, 'a token that was not made yet')
    t.equal(check([{ ...asked(READ, nothing, 1, 9), secret: null }]), null, 'before the first token')

    const denied = (code: string, message: string, from: number, to: number): Operation => ({
      ...operation(1, { type: 'write', command: put('x') }),
      secret: hash('b'),
      denials: [{ clusterId: 'c1', span: { from, to }, code, message }],
    })
    const missing = denialError({ type: 'forbidden', missing: { access: 'write', key: A } }).message
    const nobody = denialError({ type: 'unauthenticated' }).message
    t.equal(check([denied('forbidden', missing, 31, 35)]), null)
    t.match(
      check([denied('forbidden', `${missing}, which is there`, 31, 35)]),
      /no roles and tokens until then explain/,
    )
    t.match(check([denied('unauthenticated', nobody, 31, 35)]), /no roles and tokens until then explain/)
    t.equal(check([denied('unauthenticated', nobody, 46, 50)]), null)

    const session = (revision: number): WatchSession => ({
      watcher: 1,
      machine: 'n1',
      interest: { keys: A, puts: true, deletes: true, wantsPrevious: false },
      since: null,
      sinceCluster: null,
      invokedAt: 31,
      secret: hash('b'),
      beganAt: 35,
      endedAt: Infinity,
      clusterId: 'c1',
      began: 3,
      items: [{ type: 'progress', revision }],
      end: null,
      isDue: false,
    })
    t.equal(check([], [session(4)]), null)
    t.match(check([], [session(5)]), /is told of 5, though its token may not watch that from 4 on/)
    t.match(check([], [{ ...session(3), beganAt: 50, invokedAt: 46 }]), /has begun, though/)
    t.match(
      check([{ ...operation(1, { type: 'write', command: put('late') }), secret: hash('a') }]),
      /is in the log at 5 under the token 3, which its client has not sent/,
    )
    t.end()
  },
)

const RAISE: Command = { type: 'raise-level', level: 1, version: '1', retention: PLENTY, idempotency: null }

/** A change of an import, with records as `key=value`. */
function change(name: string | null, ...records: string[]): Command {
  const idempotency = name === null ? null : { key: name, fingerprint: 1 }
  const success = records.map((record) => {
    const [key = '', value = ''] = record.split('=')
    return { type: 'put', key: key as Key, value: Buffer.from(value), wantsPrevious: false } as const
  })
  return { type: 'transaction', compares: [], success, failure: [], idempotency }
}

t.test(
  'an import is in the log as the changes that its records make, each whole and once, and a node tells no more',
  (t) => {
    const given = (records: readonly string[], name: string | null, ends: readonly ImportEnd[]): ImportSession => ({
      client: 1,
      name,
      records: records.map((record) => {
        const [key = '', value = ''] = record.split('=')
        return { key: key as Key, value: Buffer.from(value), isLeased: false }
      }),
      told: ends.map((end) => ({ clusterId: 'c1', end })),
    })
    const fault = (commands: readonly Command[], ...sessions: ImportSession[]): string | null => {
      try {
        new HistoryCheck(OPTIONS, committed(RAISE, ...commands)).checkImports(sessions, 'c1')
        return null
      } catch (error) {
        return error instanceof Error ? error.message : String(error)
      }
    }
    const RECORDS = ['a=1', 'b=2', 'a=3', 'c=4']
    const [first, second] = [change('i', 'a=1', 'b=2'), change('i 256', 'a=3', 'c=4')]
    const done = { type: 'done', imported: 4, revision: 2, leasesDropped: 0 } as const
    const ended = { type: 'ended', code: 'no-leader', imported: 2, line: 3, nextLine: 3, revision: 1 } as const
    const of = (...ends: ImportEnd[]): ImportSession => given(RECORDS, 'i', ends)
    t.equal(fault([first, second], of(done)), null)
    t.equal(fault([first, first, second, second], of(ended, { ...done, revision: 3 })), null, 'a retry puts nothing')
    t.equal(fault([first], of(ended)), null)
    t.equal(fault([], of({ ...ended, imported: 0, line: 2, nextLine: 1, revision: null })), null)
    const part = /has a change at 1 with no more than the records/
    t.match(fault([change('i', 'a=1')], of()), part, 'a change in part')
    t.match(fault([change(null, 'a=1', 'b=2', 'c=4')], of()), /records that do not follow each other/)
    t.match(fault([change(null, 'a=1', 'b=2', 'x=x')], of()), /together with what is not of it/)
    t.match(fault([first, change('j', 'a=1', 'b=2')], of()), /puts record 1 twice, at 1 and at 2/)
    t.match(fault([second, first], of()), /puts record 1 at 2, after a later one of the same key/)
    t.match(fault([first], of(done)), /and record 3 is not in the log/)
    t.match(fault([first, second], of({ ...done, imported: 3 })), /and has 4 records/)
    t.match(fault([first, second], of({ ...done, imported: 5 })), /and has 4 records/)
    t.match(fault([first, second], of({ ...done, revision: 1 })), /and its changes are at 1, 2/)
    t.match(fault([first, second], of({ ...done, revision: 3 })), /and its changes are at 1, 2/)
    t.match(fault([first, second], of({ ...done, leasesDropped: 1 })), /and 0 records name a lease/)
    t.match(fault([first], of({ ...ended, nextLine: 4 })), /does not lead on from what is in/)
    t.match(fault([first], of({ ...ended, line: 2 })), /does not lead on from what is in/)
    t.match(fault([first], of({ ...ended, revision: null })), /without a revision/)
    t.equal(
      fault([first], { ...of(), told: [{ clusterId: 'c2', end: done }] }),
      null,
      'another cluster answers for itself',
    )

    const large = `a=${'x'.repeat(990)}`
    const [whole, left, right] = [change(null, 'a=1', 'b=2', 'c=3'), change(null, 'a=1', 'b=2'), change(null, 'c=3')]
    const halved = given(['a=1', 'b=2', 'c=3'], null, [])
    t.equal(fault([change(null, large, 'd=4'), whole, left, right], halved), null, 'halves of what is too large')
    t.match(fault([left, right], halved), part, 'halves of what was not tried')
    t.match(fault([whole, left], halved), /has a change at 2 with/, 'halves of what is not too large')
    t.end()
  },
)

t.test('a page of versions has each that can be told, once, down from where it begins', (t) => {
  const compact: Command = { type: 'compaction', revision: 3, idempotency: null }
  // At 0 and 2 to 6: the deletion is at 4.
  const log = [put('0'), RAISE, put('1'), put('2'), removal('x'), put('3'), put('4'), compact]
  const record = (modRevision: number, createRevision: number, version: number, value: string): KeyVersion => {
    const numbers = { createRevision, modRevision, version, lease: 0 }
    return { revision: modRevision, record: { ...numbers, value: Buffer.from(value) } }
  }
  const all = [record(6, 5, 2, '4'), record(5, 5, 1, '3'), { revision: 4, record: null }, record(3, 0, 3, '2')]
  const request = { type: 'get', key: A, consistency: 'stale', minRevision: null } as const
  const fault = (view: Partial<VersionsView>, page: Partial<VersionsView['page']>, revision = 6): string | null => {
    const shown = operation(1, request, heard({ type: 'get', record: null, revision, given: 'stale' }))
    const told = { items: all, done: true, compactedRevision: 3, ...page }
    const pages = new Map([
      [shown.request, { type: 'versions' as const, key: A, before: null, limit: 9, ...view, page: told }],
    ])
    try {
      new HistoryCheck(OPTIONS, committed(...log)).check([], { operations: [shown], pages })
      return null
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }
  t.equal(fault({}, {}), null)
  t.equal(fault({ limit: 2 }, { items: all.slice(0, 2), done: false }), null)
  t.equal(fault({ limit: 2, before: 5 }, { items: all.slice(2) }), null)
  t.equal(fault({}, { items: all.slice(2), compactedRevision: 0 }, 4)?.includes('there are'), true, 'what is older')
  t.match(
    fault({}, { items: all.toSpliced(1, 1) }),
    /6 v2 4 deleted 3 v3\], and there are \[6 v2 5 v1 4 deleted 3 v3\]/,
  )
  t.match(fault({}, { items: [...all.slice(0, 1), ...all] }), /\[6 v2 6 v2 5 v1/, 'one is doubled')
  t.match(
    fault({ before: 5 }, { items: all.slice(1) }),
    /and there are \[4 deleted 3 v3\]/,
    'the last of the page before',
  )
  t.match(fault({ limit: 2 }, { items: all.slice(0, 2) }), /and 2 more are there/)
  t.match(fault({}, { done: false }), /and 0 more are there/)
  t.match(fault({}, { compactedRevision: 2 }), /which never were together/)
  t.match(fault({}, {}, 9), /reflects revision 9, which no committed entry made/)
  t.end()
})

t.test('a page of leases has those of one state with its revision, in their order', (t) => {
  const grant = (id: number): Command => ({ type: 'lease-grant', id, ttlMs: 1_000, idempotency: null })
  const shown = (id: number, renewedAt: number) => {
    const use = { type: 'keys', hasKeys: false } as const
    return { id, lease: { ttlMs: 1_000, renewedAt, isEnding: false, grantee: '', use } }
  }
  const all = [shown(2, 2), shown(10, 1)]
  const request = { type: 'scan', start: null, end: null, reverse: false, consistency: 'stale' } as const
  const fault = (view: Partial<LeasesView>, page: Partial<LeasesView['page']>): string | null => {
    const asked = operation(1, request, heard({ type: 'scan', items: [], revision: 0, given: 'stale' }))
    const told = { items: all, more: false, ...page }
    const pages = new Map([[asked.request, { type: 'leases' as const, after: null, limit: 9, ...view, page: told }]])
    try {
      new HistoryCheck(OPTIONS, committed(RAISE, grant(10), grant(2))).check([], { operations: [asked], pages })
      return null
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }
  t.equal(fault({}, {}), null)
  t.equal(fault({}, { items: all.slice(1) }), null, 'before the second was granted')
  t.equal(fault({}, { items: [] }), null)
  t.equal(fault({ limit: 1 }, { items: all.slice(0, 1), more: true }), null)
  t.equal(fault({ after: 2 }, { items: all.slice(1) }), null)
  t.match(fault({}, { items: all.slice(0, 1) }), /shows of the leases above none, up to 9/, 'one is missing')
  t.match(fault({}, { items: all.toReversed() }), /shows of the leases/)
  t.match(fault({ limit: 1 }, { items: all.slice(0, 1) }), /shows of the leases/, 'more are there')
  t.match(fault({}, { items: [shown(2, 1), shown(10, 1)] }), /shows of the leases/)
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
