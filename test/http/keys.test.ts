import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import t from 'tap'
import { fingerprintOf } from '../../src/http/keys/writes.ts'
import { askedBytes, keyFromText, type Key, type KeyOutcome } from '../../src/kv/index.ts'
import { InvariantError } from '../../src/lib/assert.ts'
import { RequestError } from '../../src/lib/errors.ts'
import { limits } from '../../src/limits.ts'
import { put as putCommand } from '../kv/support/batch-store.ts'
import { openCheckedApi, type CheckedApi } from '../support/checked-api.ts'
import type { MemoryKeysOptions } from '../support/memory-keys.ts'
import { byBytes, strangeKeys, strangeValues } from '../support/strange.ts'

function keyOf(text: string): Key {
  const outcome: KeyOutcome = keyFromText(text, limits.keyBytesMax)
  if (outcome.kind !== 'key') throw new Error(outcome.reason)
  return outcome.key
}

async function put(api: CheckedApi, url: string, payload: string | Buffer, headers: Record<string, string> = {}) {
  return api.inject({ method: 'PUT', url, payload, headers })
}

t.test('PUT writes bytes of any type and answers with the revision', async (t) => {
  const api = await openCheckedApi(t)
  const first = await put(api, '/kv/a', 'one')
  t.equal(first.statusCode, 200)
  t.same(first.json(), { revision: 1, createRevision: 1, version: 1 })
  t.match(first.headers, {
    etag: '"1"',
    'quorate-revision': '1',
    'quorate-served-by': '1',
    'quorate-leader': '1',
    'quorate-consistency': 'linearizable',
  })
  const types = ['application/json', 'text/plain; charset=latin1', 'application/x-www-form-urlencoded', 'image/png']
  for (const type of types)
    t.equal((await put(api, '/kv/a', '{"not json', { 'content-type': type })).statusCode, 200, type)
  const last = await put(api, '/kv/a', Buffer.from([0, 255, 1]))
  t.same(last.json(), { revision: 6, createRevision: 1, version: 6 })
  t.same((await api.inject('/kv/a')).rawPayload, Buffer.from([0, 255, 1]))

  const empty = await api.inject({ method: 'PUT', url: '/kv/empty' })
  t.equal(empty.statusCode, 200, 'no body is the empty value')
  const read = await api.inject('/kv/empty')
  t.equal(read.headers['content-length'], '0')
  t.equal(read.rawPayload.length, 0)
})

t.test('PUT with prev=true answers with the record before', async (t) => {
  const api = await openCheckedApi(t)
  t.same((await put(api, '/kv/a?prev=true', 'one')).json().prev, null)
  const record = { key: 'a', value: 'one', createRevision: 1, modRevision: 1, version: 1, lease: 0 }
  t.same((await put(api, '/kv/a?prev=true', 'two')).json().prev, record)
  t.notOk('prev' in (await put(api, '/kv/a?prev=false', 'three')).json())
})

t.test('conditions of writes', async (t) => {
  const api = await openCheckedApi(t)
  const ifAbsent = { 'if-none-match': '*' }
  t.equal((await put(api, '/kv/a', 'one', ifAbsent)).statusCode, 200)
  const exists = await put(api, '/kv/a', 'two', ifAbsent)
  t.equal(exists.statusCode, 412)
  t.match(exists.json(), { code: 'precondition-failed', currentRevision: 1, retryable: false, ambiguous: false })
  t.equal(exists.headers['quorate-revision'], '1', 'a refused write tells the revision')
  t.equal((await put(api, '/kv/a', 'two', { 'if-match': '"1"' })).statusCode, 200)
  t.match((await put(api, '/kv/a', 'x', { 'if-match': '"1"' })).json(), {
    code: 'precondition-failed',
    currentRevision: 3,
  })
  t.equal((await put(api, '/kv/a', 'three', { 'if-match': '*' })).statusCode, 200)
  t.match((await put(api, '/kv/b', 'x', { 'if-match': '*' })).json(), {
    code: 'precondition-failed',
    currentRevision: null,
  })

  const remove = async (headers: Record<string, string>) => api.inject({ method: 'DELETE', url: '/kv/a', headers })
  t.equal((await remove({ 'if-match': '"1"' })).statusCode, 412)
  t.same((await remove({ 'if-match': '"5"' })).json(), { revision: 8, deleted: 1 }, 'every command takes a revision')
})

t.test('conditions that make no sense are refused, and nothing is written', async (t) => {
  const api = await openCheckedApi(t)
  const cases: [method: 'PUT' | 'DELETE' | 'GET', headers: Record<string, string>, path: string][] = [
    ['PUT', { 'if-match': '12' }, 'header/if-match'],
    ['PUT', { 'if-match': '"12", "13"' }, 'header/if-match'],
    ['PUT', { 'if-match': '"0"' }, 'header/if-match'],
    ['PUT', { 'if-match': '' }, 'header/if-match'],
    ['PUT', { 'if-none-match': '"12"' }, 'header/if-none-match'],
    ['PUT', { 'if-none-match': '*', 'if-match': '*' }, 'header/if-match'],
    ['DELETE', { 'if-none-match': '*' }, 'header/if-none-match'],
    ['GET', { 'if-match': '"1"' }, 'header/if-match'],
    ['GET', { 'if-none-match': 'W/1' }, 'header/if-none-match'],
    ['GET', { 'if-none-match': '"1" "2"' }, 'header/if-none-match'],
    ['GET', { 'if-none-match': ' , ' }, 'header/if-none-match'],
    ['GET', { 'if-none-match': '"1", x' }, 'header/if-none-match'],
    ['PUT', { 'if-match': ',' }, 'header/if-match'],
    ['GET', { 'if-none-match': '*, "1"' }, 'header/if-none-match'],
    ['PUT', { 'idempotency-key': '' }, 'header/idempotency-key'],
    ['PUT', { 'idempotency-key': 'a b' }, 'header/idempotency-key'],
    ['PUT', { 'idempotency-key': 'x'.repeat(129) }, 'header/idempotency-key'],
  ]
  for (const [method, headers, path] of cases) {
    const response = await api.inject({ method, url: '/kv/a', headers })
    t.equal(response.statusCode, 400, `${method} ${JSON.stringify(headers)}`)
    t.match(response.json(), { code: 'invalid-request', issues: [{ path }] })
  }
  t.equal(api.services.keys.commands.length, 0)
})

t.test(
  'a request under an idempotency key has 52 bits of its SHA-256 as its fingerprint, alike on every node and in every build',
  async (t) => {
    const digest = createHash('sha256')
      .update(askedBytes(putCommand('a', 'one')))
      .digest()
    t.equal(fingerprintOf(putCommand('a', 'one'), 1), Number(digest.readBigUInt64BE() >> 12n))
    t.equal(fingerprintOf(putCommand('a', 'one'), 1), 4_173_469_193_694_557)
  },
)

t.test('while the cluster has level 0, the fingerprint is the one that its builds give', async (t) => {
  t.equal(fingerprintOf(putCommand('a', 'one'), 0), 5_546_007_766_311_298)
  const headers = { 'idempotency-key': 'order-7' }
  const tagOf = async (machine: MemoryKeysOptions): Promise<unknown> => {
    const api = await openCheckedApi(t, { machine })
    await put(api, '/kv/a', 'one', headers)
    return api.services.keys.commands[0]?.command.idempotency
  }
  t.match(await tagOf({ level: 0 }), { key: 'order-7', fingerprint: 5_546_007_766_311_298 })
  t.match(await tagOf({}), { key: 'order-7', fingerprint: 4_173_469_193_694_557 })
})

t.test('an idempotency key gives a retry the first answer, and another request none', async (t) => {
  const api = await openCheckedApi(t)
  const headers = { 'idempotency-key': 'order-7' }
  const first = await put(api, '/kv/a', 'one', headers)
  t.same((await put(api, '/kv/a', 'one', headers)).json(), first.json())
  for (const retry of [
    put(api, '/kv/a', 'two', headers),
    put(api, '/kv/b', 'one', headers),
    put(api, '/kv/a?prev=true', 'one', headers),
  ]) {
    const response = await retry
    t.equal(response.statusCode, 422)
    t.match(response.json(), { code: 'idempotency-key-reused', retryable: false })
  }
  const remove = { method: 'DELETE', url: '/kv?prefix=a', headers: { 'idempotency-key': 'x'.repeat(128) } } as const
  t.same((await api.inject(remove)).json(), { revision: 6, deleted: 1 })
  t.same((await api.inject(remove)).json(), { revision: 6, deleted: 1 })
  t.equal((await api.inject({ ...remove, url: '/kv/a' })).statusCode, 422)
})

t.test('GET answers with bytes, or with the record', async (t) => {
  const api = await openCheckedApi(t)
  await put(api, '/kv/a', 'text')
  await put(api, '/kv/b', Buffer.from([0xff, 0xfe]))
  const raw = await api.inject('/kv/a')
  t.match(raw.headers, {
    'content-type': 'application/octet-stream',
    'content-length': '4',
    'x-content-type-options': 'nosniff',
    etag: '"1"',
    'quorate-create-revision': '1',
    'quorate-mod-revision': '1',
    'quorate-version': '1',
    'quorate-revision': '2',
    'quorate-consistency': 'linearizable',
  })
  t.notOk('quorate-lease' in raw.headers, 'no lease, no header')
  const accept = async (value: string, url = '/kv/a') => api.inject({ url, headers: { accept: value } })
  const record = { key: 'a', value: 'text', createRevision: 1, modRevision: 1, version: 1, lease: 0 }
  t.same((await accept('application/json')).json(), record)
  t.same((await accept('Application/JSON; q=0.5')).json(), record)
  t.same((await accept('application/json, text/plain, */*')).json(), record, 'a type in full beats a wildcard')
  t.match((await accept('application/json', '/kv/b')).json(), { key: 'b', valueBase64: '//4=' })
  const bytes = [
    '*/*',
    'text/html',
    'text/html,*/*;q=0.8',
    'application/octet-stream,application/json;q=0.9',
    'application/json;q=0, */*',
  ]
  for (const value of bytes) t.equal((await accept(value)).body, 'text', value)

  api.services.keys.store.plant(keyOf('leased'), {
    createRevision: 1,
    modRevision: 2,
    version: 2,
    lease: 77,
    value: new Uint8Array([65]),
  })
  t.equal((await api.inject('/kv/leased')).headers['quorate-lease'], '77')
  api.services.keys.leader = null
  t.notOk('quorate-leader' in (await api.inject('/kv/a?consistency=stale')).headers, 'no header for an unknown leader')
})

t.test('GET of an absent key, and of one that the reader has', async (t) => {
  const api = await openCheckedApi(t)
  const absent = await api.inject('/kv/a')
  t.equal(absent.statusCode, 404)
  t.match(absent.json(), { code: 'key-not-found', retryable: false })
  t.equal(absent.headers['quorate-revision'], '0', 'an absence has a revision too')
  await put(api, '/kv/a', 'one')
  const known = async (tag: string) => api.inject({ url: '/kv/a', headers: { 'if-none-match': tag } })
  const unchanged = await known('"1"')
  t.equal(unchanged.statusCode, 304)
  t.equal(unchanged.headers['etag'], '"1"')
  t.equal(unchanged.rawPayload.length, 0)
  t.notOk('content-length' in unchanged.headers)
  t.equal((await known('*')).statusCode, 304)
  t.equal((await known('"7"')).body, 'one')
  for (const tags of ['W/"1"', '"7", W/"1"', '"other" , "1"', 'W/"other","1"', '"1",', ' ,, "7",, "1"']) {
    t.equal((await known(tags)).statusCode, 304, `${tags}: compared weakly, one of them is enough`)
  }
  for (const tags of ['"other"', 'W/"7", "8"', '""', '"01"']) t.equal((await known(tags)).body, 'one', tags)
  const head = await api.inject({ method: 'HEAD', url: '/kv/a' })
  t.equal(head.statusCode, 200)
  t.equal(head.headers['content-length'], '3')
  t.equal((await api.inject({ method: 'HEAD', url: '/kv/b' })).statusCode, 404)
  t.equal((await api.inject({ method: 'HEAD', url: '/kv?key=a' })).headers['etag'], '"1"')
  t.equal((await api.inject({ method: 'HEAD', url: '/kv' })).statusCode, 400)
})

t.test('tags that are weak or of others fulfil no If-Match', async (t) => {
  const api = await openCheckedApi(t)
  await put(api, '/kv/a', 'one')
  const write = async (tags: string) =>
    (await api.inject({ method: 'PUT', url: '/kv/a', payload: 'two', headers: { 'if-match': tags } })).statusCode
  for (const tags of ['W/"1"', '"other"', 'W/"1", "other"', '"-1"', '"01"']) t.equal(await write(tags), 412, tags)
  t.equal((await api.inject('/kv/a')).body, 'one')
  t.equal(await write('"other", "1", W/"7"'), 200)
})

t.test('HEAD answers as GET does, without the body', async (t) => {
  const api = await openCheckedApi(t)
  await api.inject({ method: 'POST', url: '/cluster/initialize' })
  for (const url of [
    '/livez',
    '/readyz?verbose',
    '/metrics',
    '/diagnostics',
    '/version',
    '/openapi.json',
    '/cluster',
    '/cluster/leader',
  ]) {
    const get = await api.app.inject({ method: 'GET', url })
    const head = await api.app.inject({ method: 'HEAD', url })
    t.equal(head.statusCode, 200, url)
    t.equal(head.body, '', url)
    t.equal(head.headers['content-type'], get.headers['content-type'], url)
    t.ok(Number(head.headers['content-length']) > 0, url)
  }
  t.equal((await api.app.inject({ method: 'HEAD', url: '/livez?unknown=1' })).statusCode, 400)
})

t.test('the options of a read reach the node', async (t) => {
  const api = await openCheckedApi(t)
  await put(api, '/kv/a', 'one')
  await api.inject('/kv/a')
  await api.inject('/kv/a?consistency=stale&maxStaleness=1.5s&minRevision=1&timeout=250ms')
  await api.inject('/kv?consistency=lease&timeout=1m')
  t.same(api.services.keys.reads, [
    { consistency: 'linearizable', minRevision: null, maxStalenessMs: null, timeoutMs: 10_000 },
    { consistency: 'stale', minRevision: 1, maxStalenessMs: 1500, timeoutMs: 250 },
    { consistency: 'lease', minRevision: null, maxStalenessMs: null, timeoutMs: 60_000 },
  ])
  t.equal((await api.inject('/kv/a?consistency=stale')).headers['quorate-consistency'], 'stale')
  t.match((await api.inject('/kv/a?minRevision=9')).json(), { code: 'future-revision', currentRevision: 1 })
  await put(api, '/kv/a?timeout=3', 'two')
  t.equal(api.services.keys.commands.at(-1)?.timeoutMs, 3000)
})

t.test('query strings are read strictly', async (t) => {
  const api = await openCheckedApi(t)
  const cases: [url: string, path: string][] = [
    ['/kv/a?unknown=1', 'query/unknown'],
    ['/kv/a?__proto__=1', 'query/__proto__'],
    ['/kv/a?constructor=1', 'query/constructor'],
    ['/kv/a?limit=1', 'query/limit'],
    ['/kv/a?revision=x', 'query/revision'],
    ['/kv/a?prefix=a', 'query/prefix'],
    ['/kv/a?consistency=strong', 'query/consistency'],
    ['/kv/a?consistency=', 'query/consistency'],
    ['/kv/a?consistency=lease&consistency=lease', 'query/consistency'],
    ['/kv/a?minRevision=-1', 'query/minRevision'],
    ['/kv/a?minRevision=1.5', 'query/minRevision'],
    ['/kv/a?minRevision=0x10', 'query/minRevision'],
    ['/kv/a?minRevision=9007199254740992', 'query/minRevision'],
    ['/kv/a?maxStaleness=1s', 'query/maxStaleness'],
    ['/kv/a?maxStaleness=1d&consistency=stale', 'query/maxStaleness'],
    ['/kv/a?timeout=0', 'query/timeout'],
    ['/kv/a?timeout=61', 'query/timeout'],
    ['/kv/a?timeout=1e3', 'query/timeout'],
    ['/kv/a?timeout=-1s', 'query/timeout'],
    ['/kv/a?timeout=10%20s', 'query/timeout'],
    ['/kv/a?redirect=yes', 'query/redirect'],
    ['/kv/a?redirect', 'query/redirect'],
    ['/kv/a?timeout=%zz', 'query'],
    ['/kv/a?timeout=%ff', 'query'],
    ['/kv/a?x=a%2', 'query'],
    ['/kv/a?key=b', 'query/key'],
    ['/kv?key=a&prefix=b', 'query/prefix'],
    ['/kv?limit=0', 'query/limit'],
    ['/kv?limit=1001', 'query/limit'],
    ['/kv?limit=', 'query/limit'],
    ['/kv?prefix=a&start=b', 'query/prefix'],
    ['/kv?prefix=a&end=b', 'query/prefix'],
    ['/kv?start=b&end=a', 'query/start'],
    ['/kv?countOnly=true&limit=5', 'query/limit'],
    ['/kv?countOnly=true&reverse=true', 'query/reverse'],
    ['/kv?countOnly=true&keysOnly=true', 'query/keysOnly'],
    ['/kv?cursor=', 'query/cursor'],
    ['/kv?cursor=***', 'query/cursor'],
    ['/kv?cursor=AAAA', 'query/cursor'],
  ]
  for (const [url, path] of cases) {
    const response = await api.inject(url)
    t.equal(response.statusCode, 400, url)
    t.match(response.json(), { code: 'invalid-request', issues: [{ path, message: String }] }, url)
  }
  const unknown = await api.inject('/kv/a?consistancy=stale')
  t.match(
    unknown.json().detail,
    /is unknown; expected revision, consistency, minRevision, maxStaleness, timeout, redirect/,
  )
  t.equal(api.services.keys.reads.length, 0)
  t.equal((await put(api, '/kv/a?tll=5', 'x')).statusCode, 400)
  t.equal((await api.inject('/kv/a?')).statusCode, 404, 'an empty query string is none')
  t.equal((await api.inject('/kv/a?&timeout=1&')).statusCode, 404)
})

t.test('keys are bytes', async (t) => {
  const api = await openCheckedApi(t)
  const same: [string, string][] = [
    ['/kv/a/b', '/kv/a%2Fb'],
    ['/kv/a%20b', '/kv?key=a+b'],
    ['/kv/caf%C3%A9', '/kv?key=caf%c3%a9'],
    ['/kv//x//', '/kv?key=%2Fx%2F%2F'],
    ['/kv/%252F', '/kv?key=%252F'],
    ['/kv/a%25b%2Fc%3F%23', '/kv?key=a%25b/c?%23'],
    ['/kv/%00', '/kv?key=%00'],
    ['/kv/__proto__', '/kv?key=__proto__'],
    ['/kv/constructor/', '/kv?key=constructor/'],
    ['/kv/%F0%9F%92%BE', '/kv?key=%F0%9F%92%BE'],
    ['/kv/a;b=c', '/kv?key=a;b=c'],
    ['/kv/*', '/kv?key=*'],
  ]
  for (const [written, read] of same) {
    t.equal((await put(api, written, written)).statusCode, 200, written)
    t.equal((await api.inject(read)).body, written, `${written} is ${read}`)
  }
  t.equal(api.services.keys.store.records().size, same.length)
  for (const dots of ['.', '..', '../etc', '/', '//']) {
    const url = `/kv?key=${encodeURIComponent(dots)}`
    t.equal((await put(api, url, dots)).statusCode, 200, url)
    t.match((await api.inject({ url, headers: { accept: 'application/json' } })).json(), { key: dots, value: dots })
  }
  const longest = 'é'.repeat(limits.keyBytesMax / 2)
  t.equal((await put(api, `/kv/${encodeURIComponent(longest)}`, 'x')).statusCode, 200)
  t.equal((await put(api, `/kv?key=${encodeURIComponent(longest)}`, 'x')).json().version, 2)
  const invalid = [
    '/kv/',
    '/kv?key=',
    `/kv/${encodeURIComponent(`${longest}a`)}`,
    `/kv/${'a'.repeat(5000)}`,
    `/kv?key=${'a'.repeat(5000)}`,
    '/kv/%zz',
    '/locks/%ff',
    '/kv/%',
    '/kv/%ff',
    '/kv/%c3',
    '/kv/a%E0%A4%A',
    '/kv/%ed%a0%80',
    '/kv?prefix=a&start=',
  ]
  const codes = new Map<string, number>()
  for (const url of invalid) {
    const response = await put(api, url, 'x')
    t.equal(response.statusCode, 400, url.slice(0, 40))
    codes.set(response.json().code, (codes.get(response.json().code) ?? 0) + 1)
  }
  t.equal(codes.get('invalid-key'), invalid.length - 1)
  t.match((await api.inject('/kv?start=')).json(), { code: 'invalid-key' })
  t.match((await api.inject('/kv?key=%ff')).json(), { code: 'invalid-request' })
})

t.test('keys and values of every kind come back as they were, however they are asked for', async (t) => {
  const api = await openCheckedApi(t, { valueBytesMax: 4096 })
  const values = strangeValues(4096)
  for (const [at, key] of strangeKeys.entries()) {
    const value = values[at % values.length] ?? Buffer.of()
    const name = encodeURIComponent(key)
    const isPlain = !/^\.{0,2}$/.test(key)
    const places = [`/kv?key=${name}`, ...(isPlain ? [`/kv/${name}`] : [])]
    const said = key.slice(0, 20)
    const { revision } = (await put(api, places.at(-1) ?? '', value)).json<{ readonly revision: number }>()
    const text = isUtf8(value) ? { value: value.toString() } : { valueBase64: value.toString('base64') }
    const record = { key, ...text, createRevision: revision, modRevision: revision, version: 1, lease: 0 }
    for (const url of places) {
      t.ok((await api.inject(url)).rawPayload.equals(value), said)
      t.strictSame((await api.inject({ url, headers: { accept: 'application/json' } })).json(), record, said)
      t.equal((await api.inject({ method: 'HEAD', url })).headers['content-length'], String(value.length))
    }
    const compare = [{ key, target: 'value', op: '=', ...text }]
    const success = [{ get: { key } }, { list: { start: key, limit: 1 } }]
    const payload = JSON.stringify({ compare, success })
    const answer = await api.inject({
      method: 'POST',
      url: '/txn',
      payload,
      headers: { 'content-type': 'application/json' },
    })
    t.match(answer.json(), { succeeded: true, results: [{ get: { record } }, { list: { items: [record] } }] }, said)
    for (const bound of ['prefix', 'start']) {
      const { items } = (await api.inject(`/kv?${bound}=${name}&limit=1`)).json<{ readonly items: readonly object[] }>()
      t.strictSame(items[0], record, `${said} by ${bound}`)
    }
  }
  const listed = (await api.inject('/kv?keysOnly=true')).json<{ readonly items: readonly { readonly key: string }[] }>()
  t.strictSame(
    listed.items.map(({ key }) => key),
    byBytes(strangeKeys),
  )
  for (const key of strangeKeys)
    t.match((await api.inject({ method: 'DELETE', url: `/kv?key=${encodeURIComponent(key)}` })).json(), { deleted: 1 })
  t.equal(api.services.keys.store.records().size, 0)
})

t.test('values have a limit', async (t) => {
  const api = await openCheckedApi(t, { valueBytesMax: 100 })
  t.equal((await put(api, '/kv/a', Buffer.alloc(100))).statusCode, 200)
  for (const url of ['/kv/a', '/kv?key=a']) {
    const response = await put(api, url, Buffer.alloc(101))
    t.equal(response.statusCode, 413)
    t.match(response.json(), { code: 'value-too-large', limitBytes: 100 })
  }
  t.equal(api.services.keys.commands.length, 1)
})

t.test('DELETE of a key', async (t) => {
  const api = await openCheckedApi(t)
  await put(api, '/kv/a', 'one')
  const remove = async (url: string, payload?: string) =>
    api.inject({ method: 'DELETE', url, ...(payload === undefined ? {} : { payload }) })
  t.equal((await remove('/kv/a', 'a body')).statusCode, 400, 'a DELETE meant as a PUT')
  const deleted = await remove('/kv/a?prev=true')
  t.match(deleted.json(), { revision: 2, deleted: 1, prev: { key: 'a', value: 'one' } })
  t.same((await remove('/kv/a?prev=true')).json(), { revision: 2, deleted: 0, prev: null })
  t.same((await remove('/kv?key=a')).json(), { revision: 2, deleted: 0 })
})

async function fill(api: CheckedApi, count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, at) => `item/${String(at).padStart(5, '0')}`)
  api.services.keys.store.execute(...names.map((name, at) => putCommand(name, `value ${at}`)))
  return names
}

interface Page {
  readonly items: { readonly key: string; readonly value?: string }[]
  readonly revision: number
  readonly cursor?: string
}

async function pages(api: CheckedApi, query: string): Promise<Page[]> {
  const found: Page[] = []
  let cursor: string | undefined
  do {
    const page: Page = (await api.inject(`/kv?${query}${cursor === undefined ? '' : `&cursor=${cursor}`}`)).json<Page>()
    found.push(page)
    cursor = page.cursor
  } while (cursor !== undefined)
  return found
}

t.test('GET /kv lists a range in pages', async (t) => {
  const api = await openCheckedApi(t)
  const names = await fill(api, 250)
  await put(api, '/kv/z', 'behind')
  const all = await pages(api, '')
  t.same(
    all.map((page) => page.items.length),
    [100, 100, 51],
    'a hundred a page',
  )
  t.same(
    all.flatMap((page) => page.items.map((item) => item.key)),
    [...names, 'z'],
  )
  t.match(all[0], {
    revision: 251,
    items: [{ key: 'item/00000', value: 'value 0', createRevision: 1, modRevision: 1, version: 1, lease: 0 }],
  })

  const listed = async (query: string) => (await pages(api, query)).map((page) => page.items.map((item) => item.key))
  t.same(await listed('prefix=item/0024&limit=4'), [names.slice(240, 244), names.slice(244, 248), names.slice(248)])
  t.same(await listed('prefix=item/0024&limit=7&reverse=true'), [
    names.slice(243).reverse(),
    names.slice(240, 243).reverse(),
  ])
  t.same(await listed('start=item/00247&end=item/00249'), [names.slice(247, 249)])
  t.same(await listed('start=item/00248'), [[...names.slice(248), 'z']])
  t.same(await listed('end=item/00002'), [names.slice(0, 2)])
  t.same(await listed('start=b&end=b'), [[]])
  t.equal((await listed('prefix=')).flat().length, 251)
  t.same(await listed('prefix=nothing'), [[]])
  const [keysOnly] = await pages(api, 'prefix=item/0024&limit=1&keysOnly=true')
  t.same(keysOnly?.items, [{ key: 'item/00240', createRevision: 241, modRevision: 241, version: 1, lease: 0 }])
  t.same((await api.inject('/kv?countOnly=true&prefix=item/')).json(), { count: 250, revision: 251 })
  t.equal(api.services.keys.openScans, 0, 'every scan was closed')
})

t.test('a cursor belongs to its range and its direction, and never leads back in time', async (t) => {
  const api = await openCheckedApi(t)
  await fill(api, 30)
  const { cursor } = (await api.inject('/kv?prefix=item/&limit=10')).json<Page>()
  t.ok(cursor)
  t.equal((await api.inject(`/kv?prefix=item/&limit=5&cursor=${cursor}`)).statusCode, 200, 'pages may differ in size')
  t.equal(api.services.keys.reads.at(-1)?.minRevision, 30, 'no older state than the first page')
  await api.inject(`/kv?prefix=item/&cursor=${cursor}&minRevision=3`)
  t.equal(api.services.keys.reads.at(-1)?.minRevision, 30)
  for (const other of ['', 'prefix=item', 'start=item/', 'prefix=item/&reverse=true']) {
    const response = await api.inject(`/kv?${other}&cursor=${cursor}`)
    t.match(response.json(), { code: 'invalid-request', issues: [{ path: 'query/cursor' }] }, other)
  }
  for (const listing of ['/locks?prefix=item/', '/history?key=item/']) {
    const response = await api.inject(`${listing}&cursor=${cursor}`)
    t.match(response.json(), { issues: [{ path: 'query/cursor', message: /^belongs to another listing/ }] }, listing)
  }
  const bytes = Buffer.from(cursor ?? '', 'base64url')
  const damaged = (at: number, value: number) => {
    const copy = Buffer.from(bytes)
    copy[at] = value
    return copy.toString('base64url')
  }
  const outside = Buffer.concat([bytes.subarray(0, 13), Buffer.from('zzz')]).toString('base64url')
  const empty = bytes.subarray(0, 13).toString('base64url')
  const long = Buffer.concat([bytes, Buffer.alloc(5000)]).toString('base64url')
  for (const text of [damaged(0, 9), damaged(1, 0), damaged(5, 0xff), outside, empty, long]) {
    t.equal((await api.inject(`/kv?prefix=item/&cursor=${text}`)).statusCode, 400)
  }
})

t.test('a page ends early when its values are large', async (t) => {
  const api = await openCheckedApi(t)
  const value = Buffer.alloc(limits.listBytesMax / 2 + 1, 'x')
  for (const name of ['a', 'b', 'c']) {
    api.services.keys.store.plant(keyOf(name), { createRevision: 1, modRevision: 1, version: 1, lease: 0, value })
  }
  const found = await pages(api, 'limit=10')
  t.same(
    found.map((page) => page.items.map((item) => item.key)),
    [['a', 'b'], ['c']],
  )
})

t.test('GET /kv streams a whole range as NDJSON', async (t) => {
  const api = await openCheckedApi(t)
  const names = await fill(api, 1500)
  const accept = { accept: 'application/x-ndjson' }
  const stream = await api.inject({ url: '/kv?prefix=item/', headers: accept })
  t.match(stream.headers, { 'content-type': 'application/x-ndjson', 'quorate-revision': '1500' })
  const lines = stream.body
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.same(
    lines.map((line) => line.key),
    names,
  )
  t.match(lines[7], { key: 'item/00007', value: 'value 7', modRevision: 8 })
  const last = await api.inject({ url: '/kv?start=item/01498&reverse=true&keysOnly=true', headers: accept })
  t.same(
    last.body
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line).key),
    ['item/01499', 'item/01498'],
  )
  for (const query of ['limit=5', 'cursor=x']) {
    t.equal((await api.inject({ url: `/kv?${query}`, headers: accept })).statusCode, 400, query)
  }
  t.same((await api.inject({ url: '/kv?countOnly=true', headers: accept })).json(), { count: 1500, revision: 1500 })
  t.equal(api.services.keys.openScans, 0)
})

t.test('a count has the deadline of its request, and closes its scan', async (t) => {
  let now = 0
  const api = await openCheckedApi(t, { now: () => now })
  await fill(api, 1200)
  api.services.keys.beforePiece = async () => {
    now += 600
  }
  t.match((await api.inject('/kv?countOnly=true&timeout=500ms')).json(), { code: 'read-timeout' })
  t.match((await api.inject('/kv?countOnly=true&timeout=2s')).json(), { count: 1200 })
  t.equal(api.services.keys.openScans, 0)
})

t.test('DELETE /kv removes a range in one change', async (t) => {
  const api = await openCheckedApi(t)
  await fill(api, 30)
  const remove = async (url: string) => api.inject({ method: 'DELETE', url })
  for (const url of [
    '/kv',
    '/kv?prefix=',
    '/kv?all=false',
    '/kv?all=true&prefix=a',
    '/kv?prefix=a&end=b',
    '/kv?limit=3',
    '/kv?start=b&end=a',
  ]) {
    t.equal((await remove(url)).statusCode, 400, url)
  }
  t.equal((await api.inject({ method: 'DELETE', url: '/kv?prefix=a', headers: { 'if-match': '"1"' } })).statusCode, 400)
  t.equal(api.services.keys.commands.length, 0)
  t.same((await remove('/kv?prefix=item/0000')).json(), { revision: 31, deleted: 10 })
  t.same((await remove('/kv?start=item/00010&end=item/00012')).json(), { revision: 32, deleted: 2 })
  t.same((await remove('/kv?prefix=nothing')).json(), { revision: 32, deleted: 0 })
  t.same((await remove('/kv?all=true')).json(), { revision: 34, deleted: 18 })
  t.same(api.services.keys.commands.at(-1)?.command, {
    type: 'delete-range',
    start: null,
    end: null,
    upToLimit: false,
    idempotency: null,
  })
})

t.test('a range of more keys than one change may remove', async (t) => {
  const open = async (options: Parameters<typeof openCheckedApi>[1] = {}) => {
    const api = await openCheckedApi(t, { machine: { rangeDeleteKeysMax: 10 }, ...options })
    await fill(api, 25)
    const remove = async (query: string, headers: Record<string, string> = {}) =>
      (await api.inject({ method: 'DELETE', url: `/kv?prefix=item/${query}`, headers })).json()
    return { keys: api.services.keys, remove }
  }

  await t.test('is refused whole, with the limit, what was found at least, and what to do', async (t) => {
    const { keys, remove } = await open()
    const refused = await remove('')
    t.match(refused, { status: 422, code: 'range-too-large', limit: 10, found: 11, retryable: false, ambiguous: false })
    t.match(refused.detail, /nothing was deleted.*chunked=true/)
    t.equal(keys.store.records().size, 25)
  })

  await t.test('and so is one whose records have more bytes than one change may remove', async (t) => {
    const history = { ...limits.history, rangeBytesMax: 1024 ** 2 }
    const { app, inject, services } = await openCheckedApi(t, { valueBytesMax: 1024 ** 2, machine: { history } })
    for (const key of ['big/1', 'big/2', 'big/3'])
      t.equal((await inject({ method: 'PUT', url: `/kv/${key}`, payload: 'v'.repeat(600 * 1024) })).statusCode, 200)
    const asked = { method: 'DELETE', url: '/kv?prefix=big/' } as const
    const refused = await inject(asked)
    const expected = { status: 422, code: 'range-too-large', limitBytes: 1024 ** 2, retryable: false, ambiguous: false }
    t.match(refused.json(), expected)
    t.match(
      refused.json<{ detail: string }>().detail,
      /^the records of the range have more than 1 MiB together, .*nothing was deleted: .*chunked=true$/,
    )
    t.equal(services.keys.store.records().size, 3, 'nothing is gone')
    const chunked = await app.inject({ ...asked, url: `${asked.url}&chunked=true` })
    t.match(
      chunked.json(),
      { deleted: 3, chunks: 2 },
      'but in several changes it goes, each ended by the record that reaches the bound',
    )
  })

  await t.test('goes in several changes when asked for, one at a time', async (t) => {
    const { keys, remove } = await open()
    t.same(await remove('&chunked=true'), { revision: 28, deleted: 25, chunks: 3 })
    t.equal(keys.store.records().size, 0)
    t.same(await remove('&chunked=true'), { revision: 28, deleted: 0, chunks: 1 })
  })

  await t.test('what ended early says what was deleted by then, and whether more may go', async (t) => {
    const { keys, remove } = await open()
    let steps = 0
    keys.beforeExecute = async () => {
      steps += 1
      if (steps === 3) throw new RequestError('outcome-unknown', 'its outcome was not known in time')
    }
    const ended = await remove('&chunked=true')
    t.match(ended, { code: 'outcome-unknown', ambiguous: true, deleted: 20, revision: 27, chunks: 2 })
    t.match(
      ended.detail,
      /20 keys were deleted before that, in 2 changes up to revision 27; keys from "item\/00020" on/,
    )
    steps = 2
    t.match(await remove('&chunked=true'), { code: 'outcome-unknown', ambiguous: true, deleted: undefined })
  })

  await t.test('it leaves others as much time as each of its changes takes', async (t) => {
    const { keys, remove } = await open()
    const begun: number[] = []
    keys.beforeExecute = async () => {
      begun.push(performance.now())
      await new Promise((resolve) => void setTimeout(resolve, 60))
    }
    t.match(await remove('&chunked=true'), { chunks: 3 })
    const [first = 0, second = 0, third = 0] = begun
    t.ok(second - first > 110 && third - second > 110, `they began at ${begun.join(', ')}`)
  })

  await t.test('the time of the request is for all of its changes', async (t) => {
    let now = 0
    const { keys, remove } = await open({ now: () => now })
    keys.beforeExecute = async () => {
      now += 600
    }
    const ended = await remove('&chunked=true&timeout=1s')
    t.match(ended, { status: 503, code: 'deletion-unfinished', retryable: true, ambiguous: false, deleted: 20 })
    t.same(
      keys.commands.slice(-2).map(({ timeoutMs }) => timeoutMs),
      [1000, 400],
    )
  })

  await t.test(
    'a retry under the same name goes on where the first try ended, and its answer counts both',
    async (t) => {
      const { keys, remove } = await open()
      const name = { 'idempotency-key': 'x' }
      let steps = 0
      keys.beforeExecute = async () => {
        steps += 1
        if (steps === 2) throw new RequestError('no-leader', 'nobody leads')
      }
      t.match(await remove('&chunked=true', name), { code: 'no-leader', deleted: 10, chunks: 1 })
      t.same(await remove('&chunked=true', name), { revision: 29, deleted: 25, chunks: 3 })
      t.same(await remove('&chunked=true', name), { revision: 29, deleted: 25, chunks: 3 })
      t.match(await remove('1&chunked=true', name), { code: 'idempotency-key-reused' })
      t.match(await remove('', name), { code: 'idempotency-key-reused' }, 'not chunked is another request')
    },
  )
})

t.test('a retry whose previous value is no longer kept gets the rest of the first answer', async (t) => {
  const keptValues = { inlineBytesMax: 0, rings: [{ valueBytesMax: 100, slots: 1 }] }
  const api = await openCheckedApi(t, { machine: { keptValues } })
  await put(api, '/kv/a', 'old')
  const replace = async () => (await put(api, '/kv/a?prev=true', 'new', { 'idempotency-key': 'x' })).json()
  const first = await replace()
  t.match(first, { revision: 2, version: 2, prev: { key: 'a', modRevision: 1, value: 'old' } })
  const headers = { 'idempotency-key': 'y' }
  const remove = async () => (await api.inject({ method: 'DELETE', url: '/kv/a?prev=true', headers })).json()
  t.match(await remove(), { deleted: 1, prev: { key: 'a', modRevision: 2, value: 'new' } })
  const { value: _, ...prev } = first.prev
  t.same(await replace(), { ...first, prev, prevValueForgotten: true }, 'the only place was taken')
  await put(api, '/kv/b', 'old')
  await put(api, '/kv/b?prev=true', 'new', { 'idempotency-key': 'z' })
  t.match(await remove(), { deleted: 1, prev: { key: 'a', modRevision: 2 }, prevValueForgotten: true })
})

t.test('redirect=true sends what needs the leader to it', async (t) => {
  const api = await openCheckedApi(t)
  api.services.cluster.known = { id: 2, raft: '127.0.0.1:7102', api: 'http://127.0.0.1:7002' }
  const url = '/kv/a%2Fb?redirect=true&timeout=5s'
  for (const method of ['PUT', 'GET', 'DELETE'] as const) {
    const response = await api.inject({ method, url })
    t.equal(response.statusCode, 307, method)
    t.equal(response.headers['location'], `http://127.0.0.1:7002${url}`)
  }
  t.equal((await api.inject('/kv?redirect=true')).statusCode, 307)
  t.equal((await api.inject({ method: 'DELETE', url: '/kv?all=true&redirect=true' })).statusCode, 307)
  t.equal(api.services.keys.commands.length, 0)
  t.equal((await api.inject('/kv/a?redirect=true&consistency=stale')).statusCode, 404, 'a stale read needs no leader')
  t.equal((await api.inject('/kv/a')).statusCode, 404, 'forwarded unless asked')
  api.services.cluster.known = api.services.cluster.self
  t.equal((await api.inject('/kv/a?redirect=true')).statusCode, 404, 'this node leads')
  api.services.cluster.known = null
  t.equal((await api.inject('/kv/a?redirect=true')).statusCode, 404, 'nobody to send to: the node decides')
})

t.test('failures of the node', async (t) => {
  const api = await openCheckedApi(t)
  const { keys } = api.services
  const fail = async (failure: Error, request: 'PUT' | 'GET' | 'DELETE' = 'PUT', url = '/kv/a') => {
    keys.failure = failure
    return api.inject({ method: request, url })
  }
  const noLeader = await fail(new RequestError('no-leader', 'nobody leads'))
  t.equal(noLeader.statusCode, 503)
  t.match(noLeader.json(), { code: 'no-leader', leader: null, retryable: true, ambiguous: false })
  t.match((await fail(new RequestError('no-leader', 'x', { leader: 2 }), 'GET')).json(), { leader: 2 })
  t.match((await fail(new RequestError('outcome-unknown', 'x'))).json(), { status: 504, ambiguous: true })
  t.match((await fail(new RequestError('overloaded', 'x'))).headers, { 'retry-after': /^\d+$/ })
  t.match((await fail(new RequestError('shutting-down', 'x'), 'DELETE')).json(), { status: 503 })
  t.equal((await fail(new RequestError('no-leader', 'x'), 'GET', '/kv')).statusCode, 503)
  t.equal(api.unexpected.length, 0)

  const bug = await fail(new TypeError('secret of the code'), 'PUT', '/kv/secret-key?ttl=10s')
  t.match(bug.json(), { code: 'internal', status: 500, ambiguous: true })
  t.notMatch(bug.body, /secret/)
  t.equal(api.unexpected.length, 1)
  t.match(api.blamed, [{ method: 'PUT', route: '/kv/*' }])
  t.notMatch(JSON.stringify(api.blamed), /secret/, 'a log line of it holds neither key nor query')
  t.equal(api.fatal.length, 0)
  t.equal((await fail(new InvariantError('a leader has a term'), 'GET')).statusCode, 500)
  t.match(api.fatal, [{ message: 'a leader has a term' }], 'a broken belief stops the node')
  t.equal(keys.openScans, 0)
})

t.test('what is no route', async (t) => {
  const api = await openCheckedApi(t)
  t.match((await api.inject('/nothing?x=1')).json(), { code: 'route-not-found', detail: 'there is no path /nothing' })
  t.match((await api.inject('/kvx')).json(), { code: 'route-not-found' })
  for (const [method, url, allow] of [
    ['POST', '/kv/a', 'DELETE, GET, HEAD, PUT'],
    ['PATCH', '/kv?key=a', 'DELETE, GET, HEAD, POST, PUT'],
    ['OPTIONS', '/kv/a', 'DELETE, GET, HEAD, PUT'],
    ['DELETE', '/cluster', 'GET, HEAD'],
    ['GET', '/cluster/learners/4', 'DELETE'],
    ['GET', '/cluster/initialize', 'POST'],
  ] as const) {
    const response = await api.inject({ method, url })
    t.equal(response.statusCode, 405, `${method} ${url}`)
    t.equal(response.headers['allow'], allow)
    t.equal(response.json().code, 'method-not-allowed')
  }
})
