import t, { type Test } from 'tap'
import { keyFromText, type Key, type TransactionCommand } from '../../src/kv/index.ts'
import { RequestError } from '../../src/lib/errors.ts'
import { deferred } from '../../src/lib/deferred.ts'
import { limits } from '../../src/limits.ts'
import { importsMax } from '../../src/http/protocol/stream-slots.ts'
import { openCheckedApi, type CheckedApi, type CheckedApiOptions } from '../support/checked-api.ts'
import { byBytes, strangeKeys, strangersToKeys, strangeValues } from '../support/strange.ts'
import { answerIn, eventually, listen, RawConnection } from '../support/raw-client.ts'

const NDJSON = 'application/x-ndjson'
const CHUNK = limits.importChunkRecordsMax

interface Sent {
  readonly query?: string
  readonly headers?: Readonly<Record<string, string>>
}

async function send(api: CheckedApi, payload: string | Buffer, { query = '', headers = {} }: Sent = {}) {
  return api.inject({
    method: 'POST',
    url: `/kv${query}`,
    payload,
    headers: { 'content-type': NDJSON, ...headers },
  })
}

async function open(t: Test, options: CheckedApiOptions = {}): Promise<CheckedApi> {
  return openCheckedApi(t, options)
}

function keyOf(text: string): Key {
  const outcome = keyFromText(text, limits.keyBytesMax)
  if (outcome.kind !== 'key') throw new Error(outcome.reason)
  return outcome.key
}

/** The value of a key as text; null when it is absent. */
function valueOf(api: CheckedApi, key: string): string | null {
  const record = api.services.keys.store.record(keyOf(key))
  return record === null ? null : Buffer.from(record.value).toString()
}

const countOf = (api: CheckedApi): number => [...api.services.keys.store.records()].length

const lineOf = (record: unknown): string => `${JSON.stringify(record)}\n`

function linesOf(from: number, to: number, value = 'v'): string {
  let text = ''
  for (let n = from; n < to; n++) text += lineOf({ key: `k/${String(n).padStart(6, '0')}`, value })
  return text
}

/** How many records each change has written. */
function sizesOf({ services }: CheckedApi): readonly number[] {
  return services.keys.commands.map(({ command }) => (command.type === 'transaction' ? command.success.length : 1))
}

t.test('an import takes what a listing streams, as it is', async (t) => {
  const source = await open(t, { valueBytesMax: 4096 })
  const values = strangeValues(4096)
  // Each key at least once, and each value.
  const count = Math.max(strangeKeys.length, values.length)
  const keys = Array.from({ length: count }, (_, at) => strangeKeys[at] ?? `value ${at}`)
  for (const [at, key] of keys.entries()) {
    const payload = values[at % values.length] ?? ''
    await source.inject({ method: 'PUT', url: `/kv?key=${encodeURIComponent(key)}`, payload })
  }
  const list = { url: '/kv', headers: { accept: NDJSON } }
  const exported = (await source.inject(list)).rawPayload
  const target = await open(t, { valueBytesMax: 4096 })
  const answer = await send(target, exported)
  t.equal(answer.statusCode, 200)
  t.same(answer.json(), { imported: keys.length, revision: 1, leasesDropped: 0 })
  t.match(answer.headers, { 'quorate-revision': '1', 'quorate-consistency': 'linearizable' })
  const contents = (text: string) =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => {
        const { key, value, valueBase64 } = JSON.parse(line) as Record<string, unknown>
        return { key, value, valueBase64 }
      })
  t.strictSame(contents((await target.inject(list)).body), contents(exported.toString()))
  t.strictSame(
    contents(exported.toString()).map(({ key }) => key),
    byBytes(keys),
  )
  for (const [at, key] of keys.entries()) {
    const { rawPayload } = await target.inject(`/kv?key=${encodeURIComponent(key)}`)
    t.ok(rawPayload.equals(values[at % values.length] ?? Buffer.of()), key.slice(0, 20))
  }
  for (const key of strangersToKeys) {
    const refused = await send(target, JSON.stringify({ key, value: '' }))
    t.match(refused.json(), { status: 400, line: 1, imported: 0 }, `${key.slice(0, 10)} is no key`)
  }
  for (const large of [{ value: 'x'.repeat(4097) }, { valueBase64: Buffer.alloc(4097, 0xfe).toString('base64') }]) {
    const refused = await send(target, JSON.stringify({ key: 'a', ...large }))
    t.match(refused.json(), { status: 413, code: 'value-too-large', limitBytes: 4096, line: 1 })
  }
})

t.test('a lease that a record names is left behind, and the answer counts these records', async (t) => {
  const source = await open(t)
  await source.inject({ method: 'POST', url: '/leases', payload: { ttlMs: 60_000, id: 7 } })
  await source.inject({ method: 'PUT', url: '/kv/a?lease=7', payload: '1' })
  await source.inject({ method: 'PUT', url: '/kv/b?ttl=60s', payload: '2' })
  await source.inject({ method: 'PUT', url: '/kv/c', payload: '3' })
  const exported = (await source.inject({ url: '/kv', headers: { accept: NDJSON } })).rawPayload
  const target = await open(t)
  await target.inject({ method: 'POST', url: '/leases', payload: { ttlMs: 60_000, id: 7 } })
  const answer = await send(target, exported)
  t.match(answer.json(), { imported: 3, leasesDropped: 2 })
  t.equal((await target.inject('/kv/a')).headers['quorate-lease'], undefined)
  t.same((await target.inject('/leases/7')).json().keys, [], 'the lease 7 of another cluster is another lease')
  for (const lease of ['"7"', '-1', '1.5', 'null', '{}']) {
    const wrong = await send(target, `{"key":"d","value":"","lease":${lease}}\n`)
    t.match(wrong.json(), { status: 400, issues: [{ path: 'line/1/lease' }], imported: 0 }, lease)
  }
  for (const [name, wrong] of [
    ['createRevision', '[1]'],
    ['modRevision', '{}'],
    ['version', '"abc"'],
    ['version', '-1'],
    ['version', '1.5'],
    ['version', 'null'],
  ] as const) {
    const refused = await send(target, `{"key":"d","value":"","${name}":${wrong}}\n`)
    t.match(refused.json(), { status: 400, issues: [{ path: `line/1/${name}` }], imported: 0 }, `${name} ${wrong}`)
  }
})

t.test('records go into changes of many, each with one revision', async (t) => {
  const api = await open(t)
  const answer = await send(api, linesOf(0, 2 * CHUNK + 1))
  t.same(answer.json(), { imported: 2 * CHUNK + 1, revision: 3, leasesDropped: 0 })
  t.same(sizesOf(api), [CHUNK, CHUNK, 1])
  t.same(
    api.services.keys.commands.map(({ command }) => command.type),
    ['transaction', 'transaction', 'put'],
  )
  t.same(
    api.services.keys.commands.map(({ timeoutMs }) => timeoutMs <= limits.requestTimeoutMsDefault),
    [true, true, true],
  )
})

t.test('a change ends before it has too many bytes', async (t) => {
  const api = await open(t, { valueBytesMax: limits.valueBytesMaxDefault })
  const half = limits.importChunkBytesMax / 2
  const large = limits.importChunkBytesMax + 1
  const records = [half - 1, half - 1, half, large, 1, 1].map((bytes, n) => ({
    key: String(n),
    value: 'x'.repeat(bytes),
  }))
  t.equal((await send(api, records.map(lineOf).join(''))).statusCode, 200)
  t.same(sizesOf(api), [2, 1, 1, 2])
})

t.test('a key that comes again is written again, in a later change', async (t) => {
  const api = await open(t)
  const records = ['a=1', 'b=1', 'a=2', 'c=1', 'a=3', 'b=2'].map((text) => ({ key: text[0], value: text.slice(2) }))
  t.same((await send(api, records.map(lineOf).join(''))).json(), { imported: 6, revision: 3, leasesDropped: 0 })
  t.same(sizesOf(api), [2, 2, 2])
  t.same(
    ['a', 'b', 'c'].map((key) => valueOf(api, key)),
    ['3', '2', '1'],
  )
})

t.test('a change waits for an earlier one that writes one of its keys', async (t) => {
  const api = await open(t)
  const { promise, resolve } = deferred<void>()
  let begun = 0
  api.services.keys.beforeExecute = async () => {
    begun += 1
    // The first change takes longest.
    if (begun === 1) await promise
  }
  const lines = ['a', 'b', 'a', 'c'].map((key, n) => lineOf({ key, value: String(n) })).join('')
  const answer = send(api, lines)
  await eventually(() => begun === 1, 'the first change has begun')
  await new Promise((done) => setImmediate(done))
  t.equal(begun, 1)
  resolve()
  t.equal((await answer).statusCode, 200)
  t.equal(valueOf(api, 'a'), '2')
})

t.test('where lines end, and how they arrive, changes nothing', async (t) => {
  const text = linesOf(0, CHUNK + 3, 'é🔑')
  const whole = await open(t)
  await send(whole, text)
  const port = await listen(whole.app)
  const before = whole.services.keys.commands.splice(0)
  const connection = new RawConnection(port)
  t.teardown(() => connection.destroy())
  connection.send(`POST /kv HTTP/1.1\r\nhost: a\r\ncontent-type: ${NDJSON}\r\ntransfer-encoding: chunked\r\n\r\n`)
  const bytes = Buffer.from(text.replaceAll('\n', '\r\n').trimEnd())
  for (let at = 0; at < bytes.length; at += 7) {
    const piece = bytes.subarray(at, at + 7)
    connection.send(Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]))
  }
  connection.send('0\r\n\r\n')
  t.equal(answerIn(await connection.until((so) => so.includes('imported'))).status, 200)
  t.same(
    whole.services.keys.commands.map(({ command }) => command),
    before.map(({ command }) => command),
  )
})

t.test('nothing to import is no mistake', async (t) => {
  const api = await open(t)
  await api.inject({ method: 'PUT', url: '/kv/a', payload: 'v' })
  for (const payload of ['', '\n', '\r\n \n\t\n']) {
    const answer = await send(api, payload)
    t.same(answer.json(), { imported: 0, revision: 1, leasesDropped: 0 })
    t.equal(answer.headers['quorate-revision'], '1')
  }
  t.equal(api.services.keys.openScans, 0)
})

t.test('a line that cannot be taken is named, with what is in before it', async (t) => {
  const large = 'x'.repeat(101)
  const cases: readonly (readonly [line: string | Buffer, code: string, path: string, message: RegExp])[] = [
    ['{', 'invalid-request', '', /not valid JSON/],
    ['{"key":"a","value":"v"}{}', 'invalid-request', '', /not valid JSON/],
    [Buffer.from([0x7b, 0xff, 0x7d]), 'invalid-request', '', /not valid UTF-8/],
    ['[]', 'invalid-request', '', /must be an object/],
    ['null', 'invalid-request', '', /must be an object/],
    ['{"key":"a","value":"v","ttl":1}', 'invalid-request', '/ttl', /is unknown; expected key, value/],
    ['{"key":"a","value":"v","__proto__":{}}', 'invalid-request', '/__proto__', /is unknown/],
    ['{"key":"a","value":"v","key":"b"}', 'invalid-request', '', /has the name "key" twice/],
    ['{"value":"v"}', 'invalid-request', '', /lacks key/],
    ['{"key":7,"value":"v"}', 'invalid-request', '/key', /must be a string/],
    ['{"key":"","value":"v"}', 'invalid-key', '/key', /is empty/],
    [`{"key":"${'k'.repeat(4097)}","value":"v"}`, 'invalid-key', '/key', /at most 4096/],
    ['{"key":"\\ud800","value":"v"}', 'invalid-key', '/key', /surrogate/],
    ['{"key":"a"}', 'invalid-request', '', /lacks value or valueBase64/],
    ['{"key":"a","value":"v","valueBase64":"dg=="}', 'invalid-request', '', /give one of them/],
    ['{"key":"a","value":null}', 'invalid-request', '/value', /must be a string/],
    ['{"key":"a","valueBase64":1}', 'invalid-request', '/valueBase64', /must be a string/],
    ['{"key":"a","value":"\\udfff"}', 'value-encoding', '/value', /surrogate/],
    ['{"key":"a","valueBase64":"dg"}', 'value-encoding', '/valueBase64', /not base64/],
    ['{"key":"a","valueBase64":"-_=="}', 'value-encoding', '/valueBase64', /not base64/],
    [`{"key":"a","value":"${large}"}`, 'value-too-large', '/value', /has 101 bytes; at most 100/],
    [
      lineOf({ key: 'a', valueBase64: Buffer.from(large).toString('base64') }).trim(),
      'value-too-large',
      '/valueBase64',
      /101/,
    ],
    ['{"key":"","valueBase64":"?"}', 'invalid-request', '/key', /is empty/],
    [`{"key":"a","value":"${' '.repeat(30_000)}"}`, 'request-too-large', '', /longer than/],
  ]
  for (const [line, code, path, message] of cases) {
    const api = await open(t, { valueBytesMax: 100 })
    // Two changes are whole before the line; the records between are in none.
    const before = linesOf(0, 2 * CHUNK + 5)
    const after = linesOf(1000, 2000)
    const answer = await send(api, Buffer.concat([Buffer.from(before), Buffer.from(line), Buffer.from(`\n${after}`)]))
    const at = 2 * CHUNK + 6
    const facts = { code, line: at, imported: 2 * CHUNK, nextLine: 2 * CHUNK + 1, revision: 2, ambiguous: false }
    t.match(answer.json(), facts, `${code}: ${String(line).slice(0, 60)}`)
    t.match(answer.json().issues[0], { path: `line/${at}${path}`, message })
    t.match(
      answer.json().detail,
      new RegExp(`${2 * CHUNK} records are in, up to revision 2; go on at line ${2 * CHUNK + 1}$`),
    )
    t.equal(countOf(api), 2 * CHUNK)
    if (code === 'value-too-large') t.equal(answer.json().limitBytes, 100)
  }
  const api = await open(t)
  const first = await send(api, '{"key":"a"}\n')
  t.match(first.json(), { line: 1, imported: 0, nextLine: 1, detail: /; no record is in; go on at line 1$/ })
  t.notOk('revision' in first.json())
})

t.test('every mistake of a line is named', async (t) => {
  const api = await open(t)
  const answer = await send(api, '\n{"key":"","valueBase64":"?","a":1}\n')
  t.same(
    answer.json().issues.map(({ path }: { path: string }) => path),
    ['line/2/a', 'line/2/key', 'line/2/valueBase64'],
  )
})

t.test('a line may be as long as the largest value needs, in any notation', async (t) => {
  const api = await open(t, { valueBytesMax: 1000 })
  const key = '\u0001'.repeat(4096)
  for (const record of [
    { key, value: '\u0001'.repeat(1000) },
    { key, valueBase64: Buffer.alloc(1000, 0xff).toString('base64') },
  ]) {
    t.equal((await send(api, lineOf(record))).statusCode, 200)
  }
})

t.test('a request that is none of an import is refused before its body is read', async (t) => {
  const api = await open(t)
  const line = lineOf({ key: 'a', value: 'v' })
  for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded']) {
    const answer = await send(api, line, { headers: { 'content-type': type } })
    t.match(answer.json(), { code: 'unsupported-media-type', detail: /send application\/x-ndjson, in UTF-8$/ })
  }
  t.equal((await api.inject({ method: 'POST', url: '/kv' })).statusCode, 415)
  t.equal((await send(api, line, { headers: { 'content-type': `${NDJSON}; charset=utf-8` } })).statusCode, 200)
  const other = await send(api, line, { headers: { 'content-type': `${NDJSON}; charset=utf-16` } })
  t.match(other.json(), { status: 415, code: 'unsupported-media-type' }, 'it would be read as UTF-8')
  t.match((await send(api, line, { query: '?key=a' })).json(), { issues: [{ path: 'query/key' }] })
  t.match((await send(api, line, { headers: { 'if-match': '"1"' } })).json(), { issues: [{ path: 'header/if-match' }] })
  t.match((await send(api, line, { headers: { 'idempotency-key': 'a b' } })).json(), {
    issues: [{ path: 'header/idempotency-key' }],
  })
  t.equal(api.services.keys.commands.length, 1)
})

t.test('a retry under an idempotency key writes nothing twice', async (t) => {
  const api = await open(t)
  const headers = { 'idempotency-key': 'import-1' }
  const text = linesOf(0, 2 * CHUNK + 1)
  const first = await send(api, text, { headers })
  t.same(first.json(), { imported: 2 * CHUNK + 1, revision: 3, leasesDropped: 0 })
  const retry = await send(api, text, { headers })
  t.same(retry.json(), first.json())
  t.same(api.services.keys.store.record(keyOf('k/000000'))?.version, 1)

  // It goes on from where an attempt ended, and a mended line is no other stream.
  const mended = { 'idempotency-key': 'import-2' }
  const broken = await send(api, `${linesOf(0, CHUNK + 1, 'w')}{`, { headers: mended })
  t.match(broken.json(), { imported: CHUNK, line: CHUNK + 2 })
  t.equal((await send(api, linesOf(0, CHUNK + 9, 'w'), { headers: mended })).json().imported, CHUNK + 9)
  t.same(api.services.keys.store.record(keyOf('k/000000'))?.version, 2)

  const other = await send(api, linesOf(0, CHUNK, 'other'), { headers })
  t.match(other.json(), { code: 'idempotency-key-reused', line: 1, imported: 0 })
})

t.test('a change that would replace too many bytes is written in halves, down to one record', async (t) => {
  const machine = { transaction: { readBytesMax: 1000, listBytesMax: 1000 } }
  const api = await open(t, { machine })
  const value = Buffer.alloc(600, 'x')
  for (const key of ['a', 'b', 'c', 'd', 'e']) {
    api.services.keys.store.plant(keyOf(key), { createRevision: 1, modRevision: 1, version: 1, lease: 0, value })
  }
  const text = ['a', 'b', 'c', 'x', 'y'].map((key) => lineOf({ key, value: 'new' })).join('')
  const headers = { 'idempotency-key': 'halves' }
  const first = await send(api, text, { headers })
  t.equal(first.json().imported, 5)
  t.same(sizesOf(api), [5, 3, 2, 1, 1, 1, 2])
  t.same(
    ['a', 'b', 'c', 'x', 'y', 'd'].map((key) => valueOf(api, key)?.slice(0, 3)),
    ['new', 'new', 'new', 'new', 'new', 'xxx'],
  )
  const names = api.services.keys.commands.map(({ command }) => command.idempotency?.key)
  t.equal(new Set(names).size, names.length, 'each part has a name of its own')
  t.same((await send(api, text, { headers })).json(), first.json())
  t.equal(api.services.keys.store.record(keyOf('a'))?.version, 2)
})

/** Fails the changes of these numbers, from 1, with an error each. */
function failing(api: CheckedApi, errors: Readonly<Record<number, Error>>): void {
  let number = 0
  api.services.keys.beforeExecute = async () => {
    number += 1
    api.services.keys.failure = errors[number] ?? null
  }
}

t.test('a change that fails ends the import: everything before it is in', async (t) => {
  const codes = { 'no-leader': 503, 'outcome-unknown': 504 } as const
  for (const code of ['no-leader', 'outcome-unknown'] as const) {
    const api = await open(t)
    failing(api, { 3: new RequestError(code, 'that was it') })
    const answer = await send(api, linesOf(0, 20 * CHUNK))
    t.equal(answer.statusCode, codes[code])
    t.match(answer.json(), {
      code,
      ambiguous: code === 'outcome-unknown',
      imported: 2 * CHUNK,
      line: 2 * CHUNK + 1,
      nextLine: 2 * CHUNK + 1,
      detail:
        /^that was it; of the \d+ records that were on their way behind it, some may be in too; 256 records are in/,
    })
    t.ok(countOf(api) <= (2 + limits.importChunksInFlightMax) * CHUNK, 'those behind it are not begun any more')
  }
})

t.test('an unknown outcome counts more than a refusal before it', async (t) => {
  const api = await open(t)
  failing(api, { 1: new RequestError('no-leader', 'none'), 2: new RequestError('outcome-unknown', 'unclear') })
  const answer = await send(api, linesOf(0, 4 * CHUNK))
  t.match(answer.json(), {
    code: 'outcome-unknown',
    imported: 0,
    line: 1,
    detail: /; no record is surely in; go on at/,
  })
})

t.test('a change that fails counts more than a bad line behind it', async (t) => {
  const api = await open(t)
  failing(api, { 2: new RequestError('outcome-unknown', 'unclear') })
  const answer = await send(api, `${linesOf(0, 2 * CHUNK + 1)}{`)
  t.match(answer.json(), { code: 'outcome-unknown', imported: CHUNK, line: CHUNK + 1 })
})

t.test('a bug is no answer of the cluster', async (t) => {
  const api = await open(t)
  failing(api, { 1: new TypeError('planted') })
  t.match((await send(api, linesOf(0, 3))).json(), { code: 'internal' })
  t.match(api.unexpected, [{ message: 'planted' }])
})

t.test('a change for which there is no room is proposed again, as long as its time allows', async (t) => {
  const full = new RequestError('overloaded', 'too many')
  const api = await open(t)
  failing(api, { 1: full, 2: full })
  t.same((await send(api, linesOf(0, 3))).json(), { imported: 3, revision: 1, leasesDropped: 0 })
  t.equal(api.services.keys.commands.length, 3)
  api.services.keys.beforeExecute = async () => {
    api.services.keys.failure = full
  }
  const answer = await send(api, linesOf(0, 3), { query: '?timeout=100ms' })
  t.match(answer.json(), { code: 'overloaded', imported: 0, line: 1 })
})

t.test('the number of imports at once depends on how large values may be', async (t) => {
  t.equal(importsMax(1024), limits.importsMax)
  t.equal(importsMax(limits.valueBytesMaxDefault), 7)
  t.equal(importsMax(limits.valueBytesMaxCeiling), 2)
})

async function serve(t: Test, options: CheckedApiOptions = {}) {
  const api = await open(t, options)
  const port = await listen(api.app)
  const connection = (): RawConnection => {
    const opened = new RawConnection(port)
    t.teardown(() => opened.destroy())
    return opened
  }
  return { ...api, connection }
}

const head = `POST /kv HTTP/1.1\r\nhost: a\r\ncontent-type: ${NDJSON}\r\ntransfer-encoding: chunked\r\n`

function piece(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
}

async function problemOn(connection: RawConnection) {
  const { status, headers, body } = answerIn(await connection.untilClosed())
  return { status, headers, problem: JSON.parse(body) as Record<string, unknown> }
}

t.test('a connection that breaks leaves whole changes', async (t) => {
  const api = await serve(t)
  const connection = api.connection()
  connection.send(`${head}\r\n${piece(linesOf(0, 2 * CHUNK + 50))}`)
  await eventually(() => countOf(api) === 2 * CHUNK, 'whole changes are written')
  connection.socket.resetAndDestroy()
  t.equal((await send(api, linesOf(5000, 5001))).statusCode, 200)
  t.equal(countOf(api), 2 * CHUNK + 1)
  t.same(api.unexpected, [])
})

t.test('an import whose body cannot be read to its end says what is in', async (t) => {
  const lines = linesOf(0, 2 * CHUNK + 50)
  const sized = head.replace('transfer-encoding: chunked', `content-length: ${lines.length + 100}`)
  const begun = `${head}\r\n${piece(lines)}`
  const [incomplete, unreadable] = [
    /^the request is incomplete: /,
    /^this is not an HTTP\/1.1 request: Invalid character in/,
  ]
  for (const [bytes, after, isEnded, detail] of [
    [begun, 'zz\r\n', false, unreadable],
    [begun, '', true, incomplete],
    [`${sized}\r\n${lines}`, '', true, incomplete],
    [begun, `1;${'x'.repeat(limits.httpChunkExtensionsBytesMax + 1)}\r\n`, false, /^the extensions of a chunk have/],
  ] as const) {
    const api = await serve(t)
    const connection = api.connection()
    connection.send(bytes)
    await eventually(() => countOf(api) === 2 * CHUNK, 'whole changes are written')
    connection.send(after)
    if (isEnded) connection.socket.end()
    const { headers, problem } = await problemOn(connection)
    t.equal(headers.get('connection'), 'close')
    t.match(problem, { ambiguous: false, imported: 2 * CHUNK, nextLine: 2 * CHUNK + 1, revision: 2, detail })
    t.match(problem['detail'], /; 256 records are in, up to revision 2; go on at line 257$/)
    t.same(api.unexpected, [])
  }
})

t.test('a byte order mark before the first line is none of it', async (t) => {
  const api = await open(t)
  t.match((await send(api, `\ufeff${linesOf(0, 2)}`)).json(), { imported: 2 })
  const second = await send(api, `${linesOf(0, 1)}\ufeff${linesOf(1, 2)}`)
  t.match(second.json(), { status: 400, line: 2, imported: 0 })
})

t.test('a sender that sends nothing is given up', async (t) => {
  const api = await serve(t, { imports: { silenceMsMax: 200 } })
  const connection = api.connection()
  connection.send(`${head}\r\n${piece(linesOf(0, CHUNK + 50))}`)
  const { status, headers, problem } = await problemOn(connection)
  t.equal(status, 408)
  t.equal(headers.get('connection'), 'close')
  t.match(problem, { code: 'request-timeout', imported: CHUNK, nextLine: CHUNK + 1, line: CHUNK + 51 })
  t.match(problem['detail'], /^nothing came for 0.2 s; 128 records are in/)
})

t.test('a sender that sends next to nothing is given up too', async (t) => {
  const api = await serve(t, { imports: { silenceMsMax: 10_000, slowMsMax: 300 } })
  const connection = api.connection()
  connection.send(`${head}\r\n`)
  const drip = setInterval(() => connection.send(piece('\n')), 20)
  t.teardown(() => clearInterval(drip))
  const { status, problem } = await problemOn(connection)
  t.equal(status, 408)
  t.match(problem['detail'], /^less than 64 KiB came in the 0.3 s that the node waited for them/)
})

t.test('an import may take longer than other requests have for their bodies', async (t) => {
  const api = await serve(t, { server: { headersTimeoutMs: 50, receiveTimeoutMs: 100, connectionsCheckMs: 20 } })
  const connection = api.connection()
  connection.send(`${head}\r\n`)
  for (let n = 0; n < 20; n++) {
    connection.send(piece(linesOf(n, n + 1)))
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  connection.send('0\r\n\r\n')
  const answer = answerIn(await connection.until((text) => text.includes('imported')))
  t.equal(answer.status, 200)
  // The same connection is watched again.
  connection.send('PUT /kv/a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab')
  t.match(await connection.untilClosed(), /HTTP\/1.1 408/)
})

t.test('the sender is read no faster than changes are written', async (t) => {
  const api = await serve(t, { valueBytesMax: limits.valueBytesMaxDefault })
  const { promise, resolve } = deferred<void>()
  let begun = 0
  api.services.keys.beforeExecute = async () => {
    begun += 1
    await promise
  }
  const connection = api.connection()
  const value = 'x'.repeat(256 * 1024)
  connection.send(`${head}\r\n`)
  const records = 300
  for (let n = 0; n < records; n++) connection.send(piece(lineOf({ key: `k${n}`, value })))
  connection.send('0\r\n\r\n')
  let waiting = -1
  // It has stopped when it stands still for much longer than a piece takes.
  while (waiting !== connection.socket.writableLength || begun === 0) {
    waiting = connection.socket.writableLength
    await new Promise((done) => setTimeout(done, 300))
  }
  t.ok(waiting > 40 * 1024 * 1024, `${waiting} bytes wait with the sender`)
  t.ok(begun <= limits.importChunksInFlightMax)
  resolve()
  t.match(await connection.until((text) => text.includes('imported')), new RegExp(`{"imported":${records},`))
})

t.test('a failure is answered while the sender waits for nothing', async (t) => {
  const api = await serve(t)
  failing(api, { 1: new RequestError('no-leader', 'none') })
  const connection = api.connection()
  connection.send(`${head}\r\n${piece(linesOf(0, CHUNK + 1))}`)
  const { status, problem } = await problemOn(connection)
  t.equal(status, 503)
  t.match(problem, { code: 'no-leader', imported: 0, line: 1 })
})

t.test('a sender that asks first is told to go on, or why not', async (t) => {
  const api = await serve(t)
  const going = api.connection()
  going.send(`${head}expect: 100-continue\r\n\r\n`)
  await going.until((text) => text.includes('100 Continue'))
  going.send(`${piece(linesOf(0, 1))}0\r\n\r\n`)
  await going.until((text) => text.includes('{"imported":1,'))
  const refused = api.connection()
  refused.send(`${head.replace('/kv', '/kv?a=b')}expect: 100-continue\r\n\r\n`)
  t.match(await refused.untilClosed(), /^HTTP\/1.1 400/)
})

t.test('there are only so many imports at once', async (t) => {
  const api = await serve(t, { imports: { max: 2 } })
  const opened = [api.connection(), api.connection()]
  for (const one of opened) {
    one.send(`${head}expect: 100-continue\r\n\r\n`)
    await one.until((text) => text.includes('100 Continue'))
  }
  const third = await send(api, linesOf(0, 1))
  t.match(third.json(), { code: 'overloaded', detail: /^2 imports are open on this node/ })
  t.equal(third.headers['retry-after'], '1')
  opened[0]?.destroy()
  opened[1]?.send('0\r\n\r\n')
  await opened[1]?.until((text) => text.includes('imported'))
  let status = 0
  await eventually(() => {
    void send(api, linesOf(0, 1)).then(({ statusCode }) => (status = statusCode))
    return status === 200
  }, 'both places are free')
})

t.test('a mistake in a short body leaves the connection as it is', async (t) => {
  const api = await serve(t)
  const connection = api.connection()
  const body = `{\n${linesOf(0, 100)}`
  connection.send(
    `POST /kv HTTP/1.1\r\nhost: a\r\ncontent-type: ${NDJSON}\r\ncontent-length: ${body.length}\r\n\r\n{\n`,
  )
  await connection.until((text) => text.includes('"code":"invalid-request"'))
  connection.send(body.slice(2))
  connection.send('GET /version HTTP/1.1\r\nhost: a\r\n\r\n')
  t.match(await connection.until((text) => text.includes('"version"')), /HTTP\/1.1 200/)
})

t.test('the sizes of an import fit those of a transaction', async (t) => {
  t.ok(limits.importChunkRecordsMax <= limits.transactionOperationsMax)
  t.ok(limits.importChunkBytesMax <= limits.transactionValueBytesMax)
  const api = await open(t)
  await send(api, linesOf(0, CHUNK))
  const command = api.services.keys.commands[0]?.command
  t.match(command, { type: 'transaction', compares: [], failure: [] } as Partial<TransactionCommand>)
})

t.test('a line of very many small values is refused before it is parsed', async (t) => {
  const api = await open(t, { valueBytesMax: 1024 * 1024 })
  const parsed = t.capture(JSON, 'parse', JSON.parse)
  const refused = await send(api, `${linesOf(0, 2)}[${'{},'.repeat(1_000_000)}{}]\n`)
  t.equal(refused.statusCode, 400)
  const issues = [{ path: 'line/3', message: /holds more than 16 values/ }]
  t.match(JSON.parse(refused.body), { code: 'invalid-request', issues })
  const texts = parsed().map(({ args: [text] }) => text.length)
  t.ok(Math.max(...texts) < 4096, 'only the records before it were parsed')
  const value = '[{},"'.repeat(100_000)
  t.equal((await send(api, lineOf({ key: 'a', value }))).statusCode, 200, 'what stands in a value does not count')
  t.ok(valueOf(api, 'a') === value)
})
