import t from 'tap'
import {
  NO_LEASES,
  FEATURE_LEVEL,
  levelOf,
  growthOf,
  isUpkeep,
  ReceivedRows,
  UnknownCommandError,
  commandFault,
  isBeyondThisBuild,
  UnreadableStateError,
  decodeCommand,
  decodeMachineState,
  decodeRecord,
  encodeCommand,
  encodeMachineState,
  encodeRecord,
  endOfPrefix,
  askedBytes,
  keyFromText,
  keyOfRow,
  keyToText,
  recordRange,
  recordRow,
  rowOfWrite,
  stepName,
  rowBytes,
  rowFromBytes,
} from '../../src/kv/index.ts'
import { readU16, readU32, readU64, readU8 } from '../../src/kv/integers.ts'
import type { Command, Key, KeyRecord, NameableCommand, Operation, RowKey } from '../../src/kv/index.ts'
import { decodeIdempotentWrite, encodeIdempotentWrite } from '../../src/kv/idempotent-write.ts'
import type { IdempotentWrite } from '../../src/kv/idempotent-write.ts'
import { decodeOrderedName, encodeOrderedName } from '../../src/kv/ordered-name.ts'
import { encodeChanges } from '../../src/kv/change.ts'
import {
  changesRow,
  keptValueRow,
  keptValueSlotRow,
  idempotentWriteOrderRow,
  idempotentWriteRow,
  versionRow,
} from '../../src/kv/row.ts'
import { InvariantError } from '../../src/lib/assert.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { limits } from '../../src/limits.ts'
import { del, deleteRange, key, put } from './support/batch-store.ts'

const TEXTS = [
  'a', 'b', 'aa', 'ab', 'a/b', 'a\u0000', '\u0000', '\u007f', '\u0080', 'é', 'zé', '\u07ff', '\u0800', '\ud7ff',
  '\ue000', '\ufffd', '\uffff', '\u{10000}', '\u{1f600}', '\u{10ffff}', 'a\u{1f600}', 'a\uffff', '日本', '日本語',
] // prettier-ignore

function hexOf(command: Command): string {
  return Buffer.from(askedBytes(command)).toString('hex')
}

t.test('keys', async (t) => {
  t.test('a key keeps its text and is ordered by the bytes of its UTF-8', async (t) => {
    for (const a of TEXTS) {
      t.equal(keyToText(key(a)), a)
      for (const b of TEXTS) {
        const bytes = Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b)))
        const keys = key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0
        if (keys !== bytes) t.fail(`${JSON.stringify(a)} and ${JSON.stringify(b)} are ordered ${keys}, not ${bytes}`)
      }
    }
    t.ok(key('\uffff') < key('\u{10000}'), 'UTF-16 would order these two the other way round')
  })

  t.test('the rules of a key count bytes, not characters', async (t) => {
    t.match(keyFromText('', 8), { kind: 'invalid', reason: /empty/ })
    t.match(keyFromText('x'.repeat(8), 8), { kind: 'key' })
    t.match(keyFromText('x'.repeat(9), 8), { kind: 'invalid', reason: /9 bytes; at most 8/ })
    t.match(keyFromText('éééé', 8), { kind: 'key' })
    t.match(keyFromText('ééééx', 8), { kind: 'invalid', reason: /9 bytes; at most 8/ })
    t.match(keyFromText('a\ud800', 8), { kind: 'invalid', reason: /surrogate/ })
    t.match(keyFromText('\udc00a', 8), { kind: 'invalid', reason: /surrogate/ })
  })

  t.test('endOfPrefix is the first key behind all that start with the prefix', async (t) => {
    t.equal(endOfPrefix(key('a')), 'b')
    t.equal(endOfPrefix(key('a/')), 'a0')
    t.equal(endOfPrefix('a\xff' as Key), 'b')
    t.equal(endOfPrefix('a\xfe\xff\xff' as Key), 'a\xff')
    t.equal(endOfPrefix('\xff\xff' as Key), null)
    t.equal(endOfPrefix('' as Key), null)
    const random = new SeededRandom(7)
    for (let i = 0; i < 2000; i++) {
      const prefix = randomKey(random, 3)
      const other = randomKey(random, 5)
      const end = endOfPrefix(prefix)
      const inside = other >= prefix && (end === null || other < end)
      if (inside !== other.startsWith(prefix)) t.fail(`${JSON.stringify(prefix)} and ${JSON.stringify(other)}`)
    }
  })

  t.test('rows of records are ordered as their keys, and apart from all other rows', async (t) => {
    const all = recordRange(null, null)
    for (const text of TEXTS) {
      const row = recordRow(key(text))
      t.equal(keyOfRow(row), key(text))
      t.equal(rowFromBytes(rowBytes(row)), row)
      t.ok(row >= all.start && all.end !== null && row < all.end)
    }
    t.equal(rowFromBytes(new Uint8Array([1, 0xff, 0x80])), '\x01\xff\x80', 'a plain Uint8Array will do')
    t.same(recordRange(key('b'), key('d')), { start: recordRow(key('b')), end: recordRow(key('d')) })
    t.throws(() => keyOfRow('\x10a' as RowKey), InvariantError)
  })

  t.test('the order rows of idempotent writes ascend with their numbers', async (t) => {
    const numbers = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 5, 2 ** 53 - 1]
    const rows = numbers.map(idempotentWriteOrderRow)
    t.same([...rows].sort(), rows)
    t.equal(new Set(rows).size, numbers.length)
    t.ok(rows.every((row) => row.length === 9))
  })
})

const RECORDS: readonly KeyRecord[] = [
  { createRevision: 1, modRevision: 1, version: 1, lease: 0, value: Buffer.alloc(0) },
  { createRevision: 3, modRevision: 2 ** 33 + 1, version: 70_000, lease: 2 ** 53 - 1, value: Buffer.from('value') },
  { createRevision: 2 ** 53 - 1, modRevision: 2 ** 53 - 1, version: 1, lease: 1, value: Buffer.alloc(5000, 0xff) },
]

t.test('records', async (t) => {
  t.test('a record survives encoding, and its value is a slice of the row', async (t) => {
    for (const record of RECORDS) {
      const bytes = encodeRecord(record)
      t.same(plain(decodeRecord(bytes)), plain(record))
      t.equal(decodeRecord(bytes).value.buffer, bytes.buffer)
      t.same(plain(decodeRecord(Uint8Array.from(bytes))), plain(record), 'from a plain Uint8Array')
    }
    const value = Buffer.from('mine')
    const bytes = encodeRecord({ createRevision: 1, modRevision: 1, version: 1, lease: 0, value })
    value.fill(0)
    t.equal(Buffer.from(decodeRecord(bytes).value).toString(), 'mine', 'the row has a copy of its own')
  })

  t.test('what cannot be a record is refused', async (t) => {
    const bytes = encodeRecord({ createRevision: 5, modRevision: 6, version: 2, lease: 0, value: Buffer.from('v') })
    for (let length = 0; length < 33; length++) mustBeUnreadable(() => decodeRecord(bytes.subarray(0, length)))
    eachOtherByte(bytes, 0, (other) => mustBeUnreadable(() => decodeRecord(other)))
    for (const at of [1, 9, 17, 25]) {
      const damaged = Uint8Array.from(bytes)
      damaged[at] = 0xff
      t.throws(() => decodeRecord(damaged), UnreadableStateError, `the number at ${at}`)
    }
  })
})

const TAG = { key: 'order-17', fingerprint: 2 ** 53 - 1 }
const COMMANDS: readonly Command[] = [
  put('a', 'value'),
  put('日本', '', { wantsPrevious: true }),
  put('k', 'v', { condition: { type: 'absent' }, idempotency: TAG }),
  put('k', 'v', { condition: { type: 'present' } }),
  put('k', 'v', { condition: { type: 'mod-revision', revision: 2 ** 40 + 3 }, wantsPrevious: true, idempotency: TAG }),
  put('x'.repeat(4096), 'y'.repeat(70_000), { idempotency: { key: '~'.repeat(128), fingerprint: 0 } }),
  del('a'),
  del('a', { wantsPrevious: true, condition: { type: 'absent' } }),
  del('é', { condition: { type: 'mod-revision', revision: 0 }, idempotency: TAG }),
  deleteRange(null, null),
  deleteRange('a', null),
  deleteRange(null, '\u{10ffff}', { idempotency: TAG }),
  deleteRange('a', 'b', { idempotency: TAG }),
  deleteRange('a', 'b', { upToLimit: true, idempotency: { key: `${'~'.repeat(128)} 12`, fingerprint: 1 } }),
  { type: 'delete-range', start: '' as Key, end: '' as Key, upToLimit: false, idempotency: null },
  {
    type: 'raise-level',
    level: 1,
    version: '1.2.3',
    retention: { revisions: 2 ** 40, ageMs: 5, bytes: 2 ** 50 },
    idempotency: null,
  },
  { type: 'compaction', revision: null, idempotency: null },
  { type: 'compaction', revision: 0, idempotency: TAG },
  { type: 'compaction', revision: 2 ** 40 + 3, idempotency: TAG },
  { type: 'retention', retention: { revisions: 0, ageMs: 2 ** 41, bytes: 0 }, idempotency: TAG },
]

t.test('commands', async (t) => {
  t.test('a command survives encoding, and its value is a slice of the entry', async (t) => {
    for (const command of COMMANDS) {
      const bytes = encodeCommand(command)
      t.same(plain(decodeCommand(bytes)), plain(command))
      t.same(plain(decodeCommand(Uint8Array.from(bytes))), plain(command), 'from a plain Uint8Array')
      const inside = new Uint8Array(bytes.length + 20).fill(0xee)
      inside.set(bytes, 7)
      t.same(plain(decodeCommand(inside.subarray(7, 7 + bytes.length))), plain(command), 'from the middle of a batch')
      const again = decodeCommand(bytes)
      if (again.type === 'put') t.equal(again.value.buffer, bytes.buffer)
    }
  })

  t.test('the bytes of format 1 stay what they are', async (t) => {
    const command = put('ké', 'v1', {
      condition: { type: 'mod-revision', revision: 258 },
      wantsPrevious: true,
      idempotency: { key: 'id', fingerprint: 2 ** 32 + 1 },
    })
    t.equal(
      Buffer.from(encodeCommand(command)).toString('hex'),
      '0101070200030000000200000000000001020000000100000001' + '6964' + '6bc3a9' + '7631',
    )
    t.equal(hexOf(command), '0107000003000000020000000000000102' + '6bc3a9' + '7631')
  })

  t.test('an entry that was cut, extended or is of another format is refused', async (t) => {
    for (const command of COMMANDS) {
      const bytes = encodeCommand(command)
      const step = bytes.length > 1000 ? 997 : 1
      for (let length = 0; length < bytes.length; length += step) {
        const cut = bytes.subarray(0, length)
        if (!refuses(cut)) t.fail(`${command.type} cut to ${length} of ${bytes.length} bytes was taken for a command`)
      }
      t.ok(refuses(Buffer.concat([bytes, Buffer.alloc(1)])), 'one byte more')
      eachOtherByte(bytes, 0, (other) => {
        if (!refuses(other)) t.fail(`format ${other[0]} was read`)
      })
    }
    t.throws(() => decodeCommand(new Uint8Array([3])), { name: 'NewerCommandError', message: /format 3.*newer/ })
    t.throws(() => decodeCommand(new Uint8Array([1, 9, 0, 0, 0, 1, 0, 0, 0, 0, 65])), { message: /type 9/ })
    t.throws(() => decodeCommand(new Uint8Array([1, 1, 0x20, 0, 0, 1, 0, 0, 0, 0, 65])), { message: /flags 32/ })
  })

  t.test('fields that contradict each other are refused', async (t) => {
    const refused: readonly (readonly [string, Command, number, number])[] = [
      ['a put with the flag of a range', put('a', ''), 2, 0b1000],
      ['a range with a condition', deleteRange('a', 'b'), 2, 0b11010],
      ['a start that is absent and has bytes', deleteRange('a', 'b'), 2, 0b10000],
      ['an end that is absent and has bytes', deleteRange('a', 'b'), 2, 0b01000],
      ['a delete with a value', put('a', 'v'), 1, 2],
      ['an expected revision of 2^53', put('a', 'v', { condition: { type: 'mod-revision', revision: 1 } }), 11, 0x20],
      ['a fingerprint of 2^53', put('a', 'v', { idempotency: { key: 'i', fingerprint: 0 } }), 11, 0x20],
      [
        'an idempotency key that is not visible ASCII',
        put('a', 'v', { idempotency: { key: 'i', fingerprint: 0 } }),
        18,
        32,
      ],
    ]
    for (const [what, command, at, byte] of refused) {
      const bytes = encodeCommand(command)
      bytes[at] = byte
      t.ok(refuses(bytes), what)
    }
    t.ok(refuses(new Uint8Array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])), 'an empty key')
  })

  t.test('damage and noise give a command that encodes to the same bytes, or the refusal, nothing else', async (t) => {
    const random = new SeededRandom(11)
    const short = COMMANDS.map(encodeCommand).filter((bytes) => bytes.length < 1000)
    let read = 0
    for (let i = 0; i < 20_000; i++) {
      const from = short[random.integer(0, short.length)] ?? new Uint8Array(0)
      const bytes = i % 4 === 0 ? randomBytes(random, 40) : Uint8Array.from(from)
      for (let n = random.integer(0, 3); n >= 0 && bytes.length > 0; n--) {
        bytes[random.integer(0, bytes.length)] = random.integer(0, 256)
      }
      if (refuses(bytes)) continue
      read += 1
      if (!Buffer.from(encodeCommand(decodeCommand(bytes))).equals(bytes)) t.fail(Buffer.from(bytes).toString('hex'))
    }
    t.ok(read > 1000, 'damage to keys and values alone is not seen here')
  })

  t.test('which record a write of one key looks at can be told without decoding it', async (t) => {
    const named = { key: 'a/b' as Key, condition: null, wantsPrevious: false, idempotency: null }
    const put: Command = { type: 'put', ...named, value: Buffer.from('v') }
    t.equal(rowOfWrite(encodeCommand(put)), recordRow(named.key))
    const tagged: Command = {
      ...put,
      idempotency: { key: 'name', fingerprint: 1 },
      lease: { type: 'own', ttlMs: 1000 },
    }
    t.equal(rowOfWrite(encodeCommand(tagged)), recordRow(named.key))
    t.equal(rowOfWrite(encodeCommand({ type: 'delete', ...named })), recordRow(named.key))
    const range: Command = { type: 'delete-range', start: named.key, end: null, upToLimit: false, idempotency: null }
    t.equal(rowOfWrite(encodeCommand(range)), null)
    t.equal(rowOfWrite(encodeCommand({ type: 'compaction', revision: 7, idempotency: null })), null)
    t.throws(() => rowOfWrite(encodeCommand(put).subarray(1)))
  })

  t.test('a build that is too old for the cluster is told which one it needs', async (t) => {
    const retention = { revisions: 1, ageMs: 0, bytes: 1 }
    const raise = (level: number, version: string) =>
      encodeCommand({ type: 'raise-level', level, version, retention, idempotency: null })
    t.throws(() => decodeCommand(raise(FEATURE_LEVEL + 1, '9.8.7')), {
      name: 'NewerCommandError',
      message: /feature level 2, .* version 9\.8\.7 .* this build knows level 1: run version 9\.8\.7 or a newer one/,
    })
    const far = raise(FEATURE_LEVEL + 1, 'x'.repeat(60_000))
    t.match(commandFault(far), /^.{1,500}$/)
    for (const unfit of ['', 'x'.repeat(101), '1.0 and more', '1\n2', '1\u001b[2J', '1\u009b2J'])
      t.match(
        commandFault(raise(FEATURE_LEVEL + 1, unfit)),
        /^[ -~]*which a newer version has raised;[ -~]*: run a newer version$/,
      )
    t.ok(isBeyondThisBuild(far), 'it is sound')
    t.notOk(isBeyondThisBuild(raise(FEATURE_LEVEL, '1')), 'this build executes it')
    t.notOk(isBeyondThisBuild(far.subarray(0, -1)), 'it is damaged')
    const changed = (at: number, byte: number): Uint8Array => raise(FEATURE_LEVEL, '1').fill(byte, at, at + 1)
    t.ok(isBeyondThisBuild(changed(0, 9)), 'a format that is not known')
    t.ok(isBeyondThisBuild(changed(1, 200)), 'a type that is not known')
    t.ok(isBeyondThisBuild(changed(2, 1)), 'flags that are not known')
    t.notOk(isBeyondThisBuild(changed(6, 1)), 'a length that is wrong')
    t.match(commandFault(raise(0, '1')), /raises the level to 0/)
    const levels = COMMANDS.map((command) => [command.type, levelOf(command)] as const)
    t.same(Object.fromEntries(levels), {
      put: 0,
      delete: 0,
      'delete-range': 0,
      'raise-level': 0,
      compaction: 1,
      retention: 1,
    })
  })

  t.test('what keeps something alive or makes less of what there is counts as upkeep', async (t) => {
    const ofLeases: readonly Command[] = [
      { type: 'lease-grant', id: null, ttlMs: 1_000, idempotency: null },
      { type: 'lease-renew', id: 1, idempotency: null },
      { type: 'lease-revoke', id: 1, ifRenewedAt: null, idempotency: null },
      { type: 'lock-acquire', name: key('l'), ttlMs: 1_000, waitMs: 0, owner: '', idempotency: null },
      { type: 'lock-release', name: key('l'), lease: 1, idempotency: null },
    ]
    t.same(new Set([...COMMANDS, ...ofLeases].filter(isUpkeep).map(({ type }) => type)), new Set([
      'raise-level', 'compaction', 'retention', 'lease-renew', 'lease-revoke', 'lock-release',
    ])) // prettier-ignore
  })

  t.test('what a command leaves on the disks', async (t) => {
    const remove = { type: 'delete', key: key('a'), wantsPrevious: false } as const
    const removeRange = { type: 'delete-range', start: null, end: null } as const
    const write = { type: 'put', key: key('a'), value: Buffer.from(''), wantsPrevious: false } as const
    const read = { type: 'get', key: key('a') } as const
    const transaction = (success: readonly Operation[], failure: readonly Operation[] = []): Command => ({
      type: 'transaction',
      compares: [],
      success,
      failure,
      idempotency: null,
    })
    const cases: readonly (readonly [ReturnType<typeof growthOf>, Command])[] = [
      ['store', put('a', '')],
      ['store', { type: 'lease-grant', id: null, ttlMs: 1_000, idempotency: null }],
      ['store', { type: 'lock-acquire', name: key('l'), ttlMs: 1_000, waitMs: 0, owner: '', idempotency: null }],
      ['store', transaction([write])],
      ['store', transaction([read], [remove, write])],
      ['history', del('a')],
      ['history', { type: 'delete-range', start: null, end: null, upToLimit: true, idempotency: null }],
      ['history', transaction([remove])],
      ['history', transaction([read], [removeRange])],
      ['nothing', transaction([read])],
      ['nothing', transaction([])],
      ['nothing', { type: 'lease-renew', id: 1, idempotency: null }],
      ['nothing', { type: 'compaction', revision: 1, idempotency: null }],
    ]
    for (const [growth, command] of cases) t.equal(growthOf(command), growth, JSON.stringify(command))
    for (const command of COMMANDS.filter(isUpkeep)) t.equal(growthOf(command), 'nothing', command.type)
  })

  t.test('what no node could decode is never encoded', async (t) => {
    const bad: readonly Command[] = [
      { ...put('a', ''), key: '' as Key },
      { ...del('a'), key: '' as Key },
      { ...put('a', ''), key: 'x'.repeat(65_536) as Key },
      put('a', '', { condition: { type: 'mod-revision', revision: -1 } }),
      put('a', '', { condition: { type: 'mod-revision', revision: 1.5 } }),
      put('a', '', { idempotency: { key: '', fingerprint: 1 } }),
      put('a', '', { idempotency: { key: 'a b', fingerprint: 1 } }),
      put('a', '', { idempotency: { key: 'x'.repeat(129), fingerprint: 1 } }),
      put('a', '', { idempotency: { key: 'x', fingerprint: 2 ** 53 } }),
      put('a', '', { idempotency: { key: 'x', fingerprint: -1 } }),
    ]
    for (const command of bad) t.throws(() => encodeCommand(command), InvariantError)
  })

  t.test('a fingerprint covers the request and nothing else', async (t) => {
    const requests: readonly NameableCommand[] = [
      put('a', 'value'),
      put('a', 'valuf'),
      put('a', 'value', { wantsPrevious: true }),
      put('a', 'value', { condition: { type: 'absent' } }),
      put('a', 'value', { condition: { type: 'present' } }),
      put('a', 'value', { condition: { type: 'mod-revision', revision: 1 } }),
      put('a', 'value', { condition: { type: 'mod-revision', revision: 2 } }),
      put('av', 'alue'),
      put('b', 'value'),
      put('a', 'x'.repeat(1000)),
      put('a', 'x'.repeat(500) + 'y' + 'x'.repeat(499)),
      del('a'),
      deleteRange('a', null),
      deleteRange(null, 'a'),
      deleteRange(null, null),
    ]
    const prints = requests.map(hexOf)
    t.equal(new Set(prints).size, requests.length)
    for (const [i, request] of requests.entries()) {
      t.equal(hexOf({ ...request, idempotency: TAG }), prints[i])
    }
    const lock = {
      type: 'lock-acquire',
      name: key('l'),
      ttlMs: 1_000,
      waitMs: 0,
      owner: '',
      idempotency: null,
    } as const
    t.equal(hexOf({ ...lock, waitMs: 500 }), hexOf(lock), 'a retry waits for what is left')
    t.not(hexOf({ ...lock, owner: 'me' }), hexOf(lock))
  })
})

t.test('machine state', async (t) => {
  const state = {
    revision: 2 ** 40 + 1,
    digest: 2 ** 53 - 1,
    idempotentFirst: 5,
    idempotentNext: 2 ** 33,
    keptValues: [3, 2 ** 40],
    level: 0,
    history: null,
    leases: NO_LEASES,
    auth: 0,
  }
  const bytes = encodeMachineState(state)
  t.same(decodeMachineState(bytes), state)
  t.same(decodeMachineState(Uint8Array.from(bytes)), state)
  for (let length = 0; length < bytes.length; length++) {
    mustBeUnreadable(() => decodeMachineState(bytes.subarray(0, length)))
  }
  t.throws(() => decodeMachineState(Buffer.concat([bytes, Buffer.alloc(1)])), UnreadableStateError)
  eachOtherByte(bytes, 0, (other) => mustBeUnreadable(() => decodeMachineState(other)))
  for (const at of [1, 9, 17, 25, 34, 42]) {
    const damaged = Uint8Array.from(bytes)
    damaged[at] = 0xff
    t.throws(() => decodeMachineState(damaged), UnreadableStateError, `the number at ${at}`)
  }

  t.test('from level 1 on', async (t) => {
    const retention = { revisions: 2 ** 40, ageMs: 7, bytes: 2 ** 50 }
    const history = { compactedRevision: 9, collectedRevision: 8, changes: 7, bytes: 6, retention }
    const raised = { ...state, level: 1, history }
    const encoded = encodeMachineState(raised)
    t.same(decodeMachineState(encoded), raised)
    for (let length = 0; length < encoded.length; length++) {
      mustBeUnreadable(() => decodeMachineState(encoded.subarray(0, length)))
    }
    const levelAt = bytes.length
    for (const [at, byte, message, name = 'UnreadableStateError'] of [
      [0, 4, /format 4; this build only knows formats 2 and 3/, 'NewerStateError'],
      [0, 1, /format 1; this build only knows formats 2 and 3/],
      [levelAt, 0, /feature level 0/],
      [levelAt, 2, /feature level 2; this build knows 1 to 1/, 'NewerStateError'],
      [levelAt + 1, 0xff, /out of range/],
      [levelAt + 9 + 6, 1, /out of order/],
      [levelAt + 1 + 2, 2, /out of order/],
    ] as const) {
      const damaged = Uint8Array.from(encoded)
      damaged[at] = byte
      t.throws(() => decodeMachineState(damaged), { name, message }, `${byte} at ${at}`)
    }
  })
})

t.test('idempotent writes', async (t) => {
  const writes: readonly IdempotentWrite[] = [
    { fingerprint: 7, result: { type: 'put', revision: 9, createRevision: 3, version: 4, previous: null } },
    {
      fingerprint: 2 ** 53 - 1,
      result: { type: 'put', revision: 9, createRevision: 3, version: 4, previous: record() },
    },
    { fingerprint: 0, result: { type: 'deleted', revision: 0, deleted: 0, previous: null } },
    { fingerprint: 0, result: { type: 'deleted', revision: 12, deleted: 1, previous: record() } },
    { fingerprint: 1, result: { type: 'condition-failed', currentRevision: null } },
    { fingerprint: 1, result: { type: 'condition-failed', currentRevision: 0 } },
    { fingerprint: 1, result: { type: 'condition-failed', currentRevision: 12 } },
    { fingerprint: 1, result: { type: 'range-deleted', revision: 12, deleted: 3, next: null } },
    { fingerprint: 1, result: { type: 'range-deleted', revision: 12, deleted: 3, next: key('é') } },
    { fingerprint: 1, result: { type: 'range-too-large', limit: 3, found: 4 } },
    { fingerprint: 1, result: { type: 'range-too-heavy', limitBytes: 9 } },
    { fingerprint: 1, result: { type: 'level-raised', level: 1 } },
    { fingerprint: 1, result: { type: 'compacted', compactedRevision: 4, done: true } },
    { fingerprint: 1, result: { type: 'compacted', compactedRevision: 4, done: false } },
    { fingerprint: 1, result: { type: 'future-revision', revision: 4 } },
    { fingerprint: 1, result: { type: 'retention-set' } },
  ].map((write) => ({ ...write, valueApart: false }) as IdempotentWrite)
  for (const write of writes) {
    const bytes = encodeIdempotentWrite(write)
    t.same(JSON.stringify(decodeIdempotentWrite(bytes)), JSON.stringify(write))
    const header = bytes.subarray(0, 34)
    for (let length = 0; length < 34; length++) {
      mustBeUnreadable(() => decodeIdempotentWrite(header.subarray(0, length)))
    }
    eachOtherByte(header, 0, (other) => mustBeUnreadable(() => decodeIdempotentWrite(other)))
    for (const [at, byte] of [
      [1, 0],
      [1, 0x7f],
      [2, 0xff],
      [10, 0xff],
      [18, 0xff],
      [26, 0xff],
    ] as const) {
      // prettier-ignore
      const damaged = Uint8Array.from(bytes)
      damaged[at] = byte
      t.throws(() => decodeIdempotentWrite(damaged), UnreadableStateError, `${byte} at ${at}`)
    }
  }
})

t.test('the name of a remembered write, with the place of what is kept of it', async (t) => {
  const places = [
    null,
    { ring: 0, taken: 0 },
    { ring: 2, taken: 2 ** 40 },
    { ring: 255, taken: Number.MAX_SAFE_INTEGER },
  ]
  for (const kept of places) {
    const ordered = { name: 'order-17 3', kept }
    const bytes = encodeOrderedName(ordered)
    t.same(decodeOrderedName(bytes), ordered)
    if (kept === null) continue
    t.throws(() => decodeOrderedName(bytes.subarray(0, -1)), UnreadableStateError, 'cut')
    t.throws(() => decodeOrderedName(Buffer.concat([bytes, bytes])), UnreadableStateError, 'too long')
    t.throws(
      () => decodeOrderedName(Buffer.concat([bytes.subarray(0, -8), Buffer.alloc(8, 0xff)])),
      UnreadableStateError,
    )
  }
  t.throws(() => decodeOrderedName(null), InvariantError)
})

function record(): KeyRecord {
  return { createRevision: 2, modRevision: 5, version: 3, lease: 0, value: Buffer.alloc(10_000, 0xab) }
}

function refuses(bytes: Uint8Array): boolean {
  try {
    decodeCommand(bytes)
    return false
  } catch (error) {
    if (error instanceof UnknownCommandError) return true
    throw error
  }
}

/** As `t.throws`, for thousands of cases: an assertion each would cost seconds. */
function mustBeUnreadable(decode: () => unknown): void {
  try {
    decode()
  } catch (error) {
    if (error instanceof UnreadableStateError) return
    throw error
  }
  throw new Error('bytes that are damaged were read')
}

/** Calls `check` with copies of `bytes` in which the byte at `at` has each other value. */
function eachOtherByte(bytes: Uint8Array, at: number, check: (other: Uint8Array) => void): void {
  for (let byte = 0; byte < 256; byte++) {
    if (byte === bytes[at]) continue
    const other = Uint8Array.from(bytes)
    other[at] = byte
    check(other)
  }
}

/** With values as text, so that Buffers and plain arrays compare. */
function plain(from: Command | KeyRecord): object {
  return 'value' in from ? { ...from, value: Buffer.from(from.value).toString('latin1') } : from
}

function randomBytes(random: SeededRandom, lengthMax: number): Uint8Array {
  return Uint8Array.from({ length: random.integer(0, lengthMax + 1) }, () => random.integer(0, 256))
}

function randomKey(random: SeededRandom, lengthMax: number): Key {
  const characters = ['a', 'b', '\xfe', '\xff']
  const length = random.integer(1, lengthMax + 1)
  return Array.from({ length }, () => characters[random.integer(0, characters.length)]).join('') as Key
}

t.test('what peers send is looked at before it is kept', async (t) => {
  t.test('a command of the API passes, and what no node would propose does not', async (t) => {
    const tag = { key: 'once', fingerprint: 7 }
    const commands: Command[] = [
      put('a', 'x'),
      { ...put('a', 'x'), condition: { type: 'mod-revision', revision: 3 }, idempotency: tag },
      { ...del('a'), idempotency: { ...tag, key: 'once 2' } },
      deleteRange('a', null),
      put('k'.repeat(limits.keyBytesMax), ''),
    ]
    for (const command of [...commands, ...COMMANDS])
      t.equal(commandFault(encodeCommand(command)), null, JSON.stringify(command))
    t.match(
      commandFault(encodeCommand({ ...put('a', ''), key: 'k'.repeat(limits.keyBytesMax + 1) as Key })),
      /a key of 4097 bytes/,
    )
    const large = put('a', 'x'.repeat(limits.valueBytesMaxCeiling + 1))
    t.match(commandFault(encodeCommand(large)), /a value of 16777217 bytes/)
    t.match(commandFault(Buffer.alloc(3)), /format 0/)
    const cut = encodeCommand({ ...put('a', 'x'), idempotency: tag })
    t.match(commandFault(cut.subarray(0, cut.length - 1)), /its header says/)
    const spaced = Buffer.from(cut)
    spaced[spaced.indexOf('once')] = 0x20
    t.match(commandFault(spaced), /not visible ASCII/)
    const unreadable = new Proxy(cut, {
      get: (bytes, name) => {
        if (name === 'length') throw new RangeError('out of reach')
        return Reflect.get(bytes, name)
      },
    })
    t.throws(() => commandFault(unreadable), /out of reach/, 'a failure of this build is no fault of the command')
  })

  const name = Buffer.from('once')
  const write = encodeIdempotentWrite({
    fingerprint: 7,
    result: { type: 'condition-failed', currentRevision: null },
    valueApart: false,
  })
  const record = encodeRecord({ createRevision: 1, modRevision: 1, version: 1, lease: 0, value: Buffer.from('x') })
  const state = {
    revision: 1,
    digest: 1,
    idempotentFirst: 3,
    idempotentNext: 5,
    keptValues: [1],
    level: 0,
    history: null,
    leases: NO_LEASES,
    auth: 0,
  }
  const rows: [row: RowKey, bytes: Uint8Array][] = [
    [recordRow(key('a')), record],
    [idempotentWriteRow('once'), write],
    [idempotentWriteRow('once 2'), write],
    [idempotentWriteOrderRow(3), name],
    [idempotentWriteOrderRow(4), encodeOrderedName({ name: 'once 2', kept: { ring: 0, taken: 0 } })],
    [keptValueRow('once 2'), Buffer.from('value')],
    [keptValueSlotRow(0, 0), Buffer.from('once 2')],
  ]
  const change = { kind: 'put', key: key('a'), previousRevision: 4, previousBytes: 9 } as const
  const past: [row: RowKey, bytes: Uint8Array][] = [
    [versionRow(key('a'), 4), record],
    [versionRow(key('a\u0000'), 5), Buffer.alloc(0)],
    [changesRow(7), encodeChanges([change])],
  ]
  const received = (given: readonly (readonly [RowKey | Uint8Array, Uint8Array])[]): ReceivedRows => {
    const all = new ReceivedRows()
    for (const [row, bytes] of given) all.accept(typeof row === 'string' ? rowBytes(row) : row, bytes)
    return all
  }

  t.test('the rows of a machine are accepted, all or none of its idempotent writes', async (t) => {
    t.doesNotThrow(() => received(rows).finish(state, 2))
    t.doesNotThrow(() => received([[recordRow(key('a')), record]]).finish({ ...state, idempotentFirst: 5 }, 2))
    t.throws(() => received(rows).finish(state, 1), UnreadableStateError, 'more than are remembered')
    for (const missing of [1, 3, 4]) {
      const incomplete = received(rows.filter((_, at) => at !== missing))
      t.throws(() => incomplete.finish(state, 2), /has 2 idempotent writes from number 3 on/, `without row ${missing}`)
    }
    t.throws(() => received(rows).finish({ ...state, idempotentFirst: 4, idempotentNext: 6 }, 2), UnreadableStateError)
    t.throws(() => received(rows).finish({ ...state, keptValues: [0, 1] }, 2), /kept at place 0 of ring 0/)
    t.throws(() => received(rows).finish({ ...state, keptValues: [] }, 2), /kept at place 0 of ring 0/)
    const retention = { revisions: 1, ageMs: 0, bytes: 0 }
    const history = { compactedRevision: 0, collectedRevision: 0, changes: 1, bytes: 9, retention }
    t.doesNotThrow(() => received([...rows, ...past]).finish({ ...state, history }, 2))
    t.throws(() => received(rows).finish({ ...state, history }, 2), /changes of 1 revisions; 0 arrived/)
    t.throws(() => received([...rows, ...past]).finish(state, 2), /changes of 0 revisions; 1 arrived/)
  })

  t.test('what no machine writes is refused', async (t) => {
    const longName = 'x'.repeat(limits.idempotencyKeyBytesMax + 1)
    const large = Buffer.alloc(limits.valueBytesMaxCeiling + 1)
    const cases: [what: string, row: RowKey | Uint8Array, bytes: Uint8Array, message: RegExp][] = [
      ['no keyspace', Buffer.alloc(0), record, /begins with nothing/],
      ['an unknown keyspace', Buffer.from([0x7f, 1]), record, /begins with 127/],
      ['an empty key', recordRow('' as Key), record, /a key has 0 bytes/],
      ['a long key', recordRow('x'.repeat(limits.keyBytesMax + 1) as Key), record, /a key has 4097 bytes/],
      ['a cut record', recordRow(key('a')), record.subarray(0, 5), /record/],
      ['a large value', recordRow(key('a')), Buffer.concat([record, large]), /a value has \d+ bytes/],
      ['a long name', idempotentWriteRow(longName), write, /idempotency key/],
      ['a name with a space', idempotentWriteRow('a b'), write, /idempotency key/],
      ['a cut idempotent write', idempotentWriteRow('once'), write.subarray(0, 9), /idempotent write/],
      [
        'a cut number',
        rowBytes(idempotentWriteOrderRow(3)).subarray(0, 5),
        name,
        /the number of an idempotent write has 5 bytes/,
      ],
      ['a number without a name', idempotentWriteOrderRow(3), Buffer.alloc(0), /idempotency key/],
      ['a name with half a place', idempotentWriteOrderRow(3), Buffer.from('once\0\0'), /the place of a kept value/],
      ['a kept value without a name', keptValueRow(''), name, /idempotency key/],
      ['a kept value without bytes', keptValueRow('once'), Buffer.alloc(0), /a kept value has 0 bytes/],
      ['a large kept value', keptValueRow('once'), large, /a kept value has 16777217 bytes/],
      ['a cut slot', rowBytes(keptValueSlotRow(0, 1)).subarray(0, 4), name, /a kept-value slot has 4 bytes/],
      ['a version without a key', versionRow('' as Key, 4), record, /no key or no revision/],
      [
        'a version with half a mark',
        Buffer.from('\x03a\0b\0\0\xff\xff\xff\xff\xff\xff\xff\xfb', 'latin1'),
        record,
        /no key/,
      ],
      ['a version without a revision', Buffer.from('\x03a\0\0\0\0\0\0\0\0\0\0', 'latin1'), record, /no key/],
      ['a cut version', versionRow(key('a'), 4), record.subarray(0, 5), /record/],
      [
        'a version of a long key',
        versionRow('x'.repeat(limits.keyBytesMax + 1) as Key, 4),
        record,
        /a key has 4097 bytes/,
      ],
      [
        'a version with a large value',
        versionRow(key('a'), 4),
        Buffer.concat([record, large]),
        /a value has \d+ bytes/,
      ],
      ['changes with half a revision', rowBytes(changesRow(7)).subarray(0, 5), encodeChanges([change]), /no revision/],
      ['changes without a revision', Buffer.alloc(9, 4), encodeChanges([change]), /no revision/],
      ['changes of an empty key', changesRow(7), encodeChanges([{ ...change, key: '' as Key }]), /a key has 0 bytes/],
      ['changes of another format', changesRow(7), Buffer.alloc(20, 9), /they have format 9/],
      ['a change of another kind', changesRow(7), Buffer.from([1, 0, 0, 0, 1, 7]), /a kind that this build/],
      ['cut changes', changesRow(7), encodeChanges([change]).subarray(0, 9), /changes of a revision are damaged/],
      ['a slot without a name', keptValueSlotRow(0, 1), Buffer.alloc(0), /idempotency key/],
    ]
    for (const [what, row, bytes, message] of cases) {
      t.throws(() => received([[row, bytes]]), { name: 'UnreadableStateError', message }, what)
    }
  })
})

t.test('integers: big-endian, and zero beyond the end', async (t) => {
  const bytes = Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8])
  t.equal(readU8(bytes, 7), 8)
  t.equal(readU16(bytes, 0), 0x0102)
  t.equal(readU32(bytes, 4), 0x05060708)
  t.equal(readU32(Uint8Array.from([255, 255, 255, 255]), 0), 0xffff_ffff, 'never negative')
  t.equal(readU64(bytes.subarray(1), 0), 0x02030405 * 2 ** 32 + 0x06070800)
  for (const read of [readU8, readU16, readU32, readU64]) t.equal(read(bytes, 8), 0)
})

t.test('steps of one request have names that no client can give', async (t) => {
  t.equal(stepName('once', 0), 'once', 'the first is the request itself')
  const later = { ...del('a'), idempotency: { key: stepName('once', 12), fingerprint: 7 } }
  t.equal(later.idempotency.key, 'once 12')
  t.same(decodeCommand(encodeCommand(later)), later)
})
