import t, { type Test } from 'tap'
import type { TransactionAnswer } from '../../src/api/transactions.ts'
import { keyFromText, type Key } from '../../src/kv/index.ts'
import { limits } from '../../src/limits.ts'
import { openCheckedApi, type CheckedApi, type CheckedApiOptions } from '../support/checked-api.ts'

interface Sent {
  readonly query?: string
  readonly headers?: Readonly<Record<string, string>>
}

async function send(api: CheckedApi, body: unknown, { query = '', headers = {} }: Sent = {}) {
  const payload = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
  return api.inject({
    method: 'POST',
    url: `/txn${query}`,
    payload,
    headers: { 'content-type': 'application/json', ...headers },
  })
}

async function transact(api: CheckedApi, body: unknown): Promise<TransactionAnswer> {
  const response = await send(api, body)
  if (response.statusCode !== 200) throw new Error(response.body.slice(0, 1000))
  return response.json()
}

async function open(t: Test, keys: Readonly<Record<string, string>> = {}, options: CheckedApiOptions = {}) {
  const api = await openCheckedApi(t, options)
  for (const [key, payload] of Object.entries(keys)) {
    await api.inject({ method: 'PUT', url: `/kv?key=${encodeURIComponent(key)}`, payload })
  }
  api.services.keys.commands.length = 0
  return api
}

function keyOf(text: string): Key {
  const outcome = keyFromText(text, limits.keyBytesMax)
  if (outcome.kind !== 'key') throw new Error(outcome.reason)
  return outcome.key
}

const record = (key: string, value: string, revision: number) => ({
  key,
  value,
  createRevision: revision,
  modRevision: revision,
  version: 1,
  lease: 0,
})

t.test('carries out one branch, with one revision, and answers for each operation', async (t) => {
  const api = await open(t, { a: 'one', b: 'two', 'p/1': 'x', 'p/2': 'y' })
  const response = await send(api, {
    compare: [{ key: 'a', target: 'value', op: '=', value: 'one' }],
    success: [
      { list: { prefix: 'p/', limit: 1 } },
      { put: { key: 'a', value: 'new', prev: true } },
      { put: { key: 'c', valueBase64: '/w==' } },
      { get: { key: 'b' } },
      { get: { key: 'absent' } },
      { delete: { key: 'b', prev: true } },
      { delete: { key: 'absent' } },
      { delete: { prefix: 'p/' } },
    ],
    failure: [{ delete: { key: 'a' } }],
  })
  t.equal(response.statusCode, 200)
  t.match(response.headers, {
    'content-type': 'application/json; charset=utf-8',
    'quorate-revision': '5',
    'quorate-served-by': '1',
    'quorate-leader': '1',
    'quorate-consistency': 'linearizable',
  })
  t.strictSame(response.json(), {
    succeeded: true,
    revision: 5,
    results: [
      { list: { items: [record('p/1', 'x', 3)], more: true } },
      { put: { createRevision: 1, version: 2, prev: record('a', 'one', 1) } },
      { put: { createRevision: 5, version: 1 } },
      { get: { record: record('b', 'two', 2) } },
      { get: { record: null } },
      { delete: { deleted: 1, prev: record('b', 'two', 2) } },
      { delete: { deleted: 0 } },
      { delete: { deleted: 2 } },
    ],
  })
  t.match((await api.inject({ url: '/kv/c', headers: { accept: 'application/json' } })).json(), {
    valueBase64: '/w==',
    modRevision: 5,
  })
  t.equal((await api.inject('/kv?countOnly=true')).json().count, 2)
})

t.test('a comparison that does not hold carries out the other branch, which may be empty', async (t) => {
  const api = await open(t, { a: 'one' })
  const compare = [
    { key: 'a', target: 'value', op: '=', value: 'one' },
    { key: 'a', target: 'version', op: '>', value: 1 },
  ]
  const put = { put: { key: 'a', value: 'two', prev: false } }
  t.strictSame(await transact(api, { compare, success: [put] }), { succeeded: false, revision: 1, results: [] })
  t.strictSame(await transact(api, { compare, failure: [put] }), {
    succeeded: false,
    revision: 3,
    results: [{ put: { createRevision: 1, version: 2 } }],
  })
  t.strictSame(await transact(api, { success: [{ get: { key: 'b' } }] }), {
    succeeded: true,
    revision: 3,
    results: [{ get: { record: null } }],
  })
})

t.test('each target is compared with each operator', async (t) => {
  const api = await open(t, { other: '-', a: 'm' })
  await api.inject({ method: 'PUT', url: '/kv/a', payload: 'm' })
  const holds = async (target: string, op: string, value: unknown, key = 'a'): Promise<boolean> => {
    const given = Buffer.isBuffer(value) ? { valueBase64: value.toString('base64') } : { value }
    return (await transact(api, { compare: [{ key, target, op, ...given }], success: [{ get: { key } }] })).succeeded
  }
  const orders = [
    ['version', 2],
    ['createRevision', 2],
    ['modRevision', 3],
    ['lease', 0],
  ] as const
  for (const [target, value] of orders) {
    t.ok(await holds(target, '=', value), target)
    t.notOk(await holds(target, '!=', value), target)
    t.equal(await holds(target, '>', Math.max(0, value - 1)), value > 0, target)
    t.ok(await holds(target, '<', value + 1), target)
    t.ok(await holds(target, '=', 0, 'absent'), `an absent key has 0 as its ${target}`)
  }
  t.ok(await holds('value', '=', 'm'))
  t.ok(await holds('value', '<', 'n'))
  t.ok(await holds('value', '>', 'l'))
  t.ok(await holds('value', '<', Buffer.from([0xff])), 'bytes')
  t.ok(await holds('value', '>', ''), 'the empty value')
  t.notOk(await holds('value', '!=', 'm', 'absent'), 'nothing holds of the value of an absent key')
})

t.test('lists: bounds, limit, keysOnly', async (t) => {
  const api = await open(t, { a: '1', b: '2', c: '3', d: '4' })
  const list = async (given: object) => {
    const [result] = (await transact(api, { success: [{ list: given }] })).results
    const { items, more } = result !== undefined && 'list' in result ? result.list : { items: [], more: null }
    return [items.map(({ key }) => key).join(''), more]
  }
  t.same(await list({}), ['abcd', false], 'no bounds: all keys')
  t.same(await list({ prefix: '' }), ['abcd', false])
  t.same(await list({ prefix: 'b' }), ['b', false])
  t.same(await list({ start: 'b' }), ['bcd', false])
  t.same(await list({ end: 'c' }), ['ab', false])
  t.same(await list({ start: 'b', end: 'd' }), ['bc', false])
  t.same(await list({ start: 'b', end: 'b' }), ['', false])
  t.same(await list({ limit: 3 }), ['abc', true])
  t.same(await list({ limit: 4 }), ['abcd', false])
  const [keys] = (await transact(api, { success: [{ list: { limit: 1, keysOnly: true } }] })).results
  const { value: _, ...known } = record('a', '1', 1)
  t.strictSame(keys, { list: { items: [known], more: true } })
  t.match(api.services.keys.commands[0]?.command, { success: [{ limit: limits.listItemsDefault }] })
})

t.test('keys and values of every kind come through unharmed', async (t) => {
  const keys = ['__proto__', 'constructor', '🔑', 'k'.repeat(limits.keyBytesMax), '/', '//a//', '..', '%2F?#+ ', '\0']
  const values = ['', '🔑', '__proto__', '\0\u0001"\\\u2028', 'x'.repeat(1024)]
  const api = await open(t)
  for (const [at, key] of keys.entries()) {
    const value = values[at % values.length] ?? ''
    const [put, list, remove] = (
      await transact(api, { success: [{ put: { key, value, prev: true } }, { list: { end: '\0' } }] })
    ).results
    t.match(put, { put: { version: 1, prev: null } }, key.slice(0, 20))
    t.same(list, { list: { items: [], more: false } })
    t.equal(remove, undefined)
    const equal = { key, target: 'value', op: '=', value }
    const answer = await transact(api, {
      compare: [equal],
      success: [{ get: { key } }, { delete: { key, prev: true } }],
    })
    t.ok(answer.succeeded, key.slice(0, 20))
    const found = { key, value, version: 1 }
    t.match(answer.results, [{ get: { record: found } }, { delete: { deleted: 1, prev: found } }])
  }
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString('base64')
  const put = { put: { key: 'bytes', valueBase64: bytes } }
  await transact(api, { success: [put] })
  t.match(await transact(api, { success: [{ get: { key: 'bytes' } }] }), {
    results: [{ get: { record: { valueBase64: bytes } } }],
  })
  const base64 = Buffer.from('text').toString('base64')
  await transact(api, { success: [{ put: { key: 'text', valueBase64: base64 } }] })
  t.match(await transact(api, { success: [{ get: { key: 'text' } }] }), {
    results: [{ get: { record: { value: 'text' } } }],
  })
})

const compare = (given: object) => ({
  compare: [{ key: 'a', target: 'version', op: '=', value: 0, ...given }],
  success: [{ get: { key: 'a' } }],
})
const operation = (given: unknown) => ({ success: [{ get: { key: 'a' } }, given] })
const many = (count: number) => Array.from({ length: count }, (_, at) => ({ get: { key: `k${at}` } }))

t.test('a transaction has 128 comparisons and 128 operations in each branch, and no more', async (t) => {
  const api = await open(t)
  const comparesOf = (count: number) =>
    Array.from({ length: count }, (_, at) => ({ key: `c${at}`, target: 'version', op: '=', value: 0 }))
  const putsOf = (count: number, value: string) =>
    Array.from({ length: count }, (_, at) => ({ put: { key: `k${at}`, value } }))
  const full = { compare: comparesOf(128), success: putsOf(128, 'yes'), failure: putsOf(128, 'no') }
  for (const path of ['compare', 'success', 'failure'] as const) {
    const more = { compare: comparesOf(129), success: putsOf(129, 'yes'), failure: putsOf(129, 'no') }
    t.match((await send(api, { ...full, [path]: more[path] })).json(), {
      status: 400,
      code: 'invalid-request',
      issues: [{ path: `body/${path}`, message: 'must have at most 128 items' }],
    })
  }
  t.equal(api.services.keys.store.records().size, 0, 'nothing was done')
  const done = await transact(api, full)
  t.match([done.succeeded, done.results.length], [true, 128])
  await transact(api, { success: [{ put: { key: 'c127', value: 'there' } }] })
  const other = await transact(api, full)
  t.match([other.succeeded, other.results.length], [false, 128], 'the last comparison counts')
})

t.test('each mistake is refused with its path, and nothing is done', async (t) => {
  const api = await open(t)
  const cases: [body: unknown, path: string, message: RegExp][] = [
    [[], 'body', /must be an object/],
    [null, 'body', /must be an object/],
    ['', 'body', /must be an object/],
    [{}, 'body', /has no operations/],
    [{ success: [], failure: [] }, 'body', /has no operations/],
    [{ compare: [{ key: 'a', target: 'version', op: '=', value: 0 }] }, 'body', /has no operations/],
    [{ success: {}, failure: many(1) }, 'body/success', /must be a list/],
    [{ success: many(1), finally: [] }, 'body/finally', /is unknown; expected compare, success, failure/],
    [{ success: many(129) }, 'body/success', /must have at most 128 items/],
    [{ success: many(1), failure: many(129) }, 'body/failure', /must have at most 128 items/],
    [{ compare: Array(129).fill(compare({}).compare[0]), success: many(1) }, 'body/compare', /at most 128 items/],
    [{ success: many(5000) }, 'body', /holds more than 4096 values/],
    [compare({ key: undefined }), 'body/compare/0', /lacks key/],
    [compare({ key: '' }), 'body/compare/0/key', /is no key: the key is empty/],
    [compare({ key: 1 }), 'body/compare/0/key', /must be a string/],
    [compare({ op: '>=' }), 'body/compare/0/op', /must be one of =, !=, <, >/],
    [compare({ op: undefined }), 'body/compare/0', /lacks op/],
    [
      compare({ target: 'age' }),
      'body/compare/0/target',
      /must be one of value, version, createRevision, modRevision, lease/,
    ],
    [compare({ target: undefined }), 'body/compare/0/target', /must be one of value, version/],
    [compare({ target: 7 }), 'body/compare/0/target', /must be one of value, version/],
    [compare({ value: '0' }), 'body/compare/0/value', /must be a whole number/],
    [compare({ value: 1.5 }), 'body/compare/0/value', /must be a whole number/],
    [compare({ value: -1 }), 'body/compare/0/value', /must be at least 0/],
    [compare({ value: 2 ** 53 }), 'body/compare/0/value', /must be at most 9007199254740991/],
    [compare({ value: undefined }), 'body/compare/0', /lacks value/],
    [compare({ valueBase64: '' }), 'body/compare/0/valueBase64', /is unknown; expected key, target, op, value/],
    [compare({ target: 'value' }), 'body/compare/0/value', /must be a string/],
    [compare({ target: 'value', value: undefined }), 'body/compare/0', /lacks value or valueBase64/],
    [compare({ target: 'value', value: '', valueBase64: '' }), 'body/compare/0', /has value and valueBase64: give one/],
    [compare({ target: 'value', value: undefined, valueBase64: 'QQ' }), 'body/compare/0/valueBase64', /is not base64/],
    [{ compare: ['a'], success: many(1) }, 'body/compare/0', /must be an object/],
    [operation({}), 'body/success/1', /must have exactly one of put, get, delete, list/],
    [operation({ get: { key: 'a' }, put: { key: 'b', value: '' } }), 'body/success/1', /must have exactly one of put/],
    [operation({ patch: {} }), 'body/success/1/patch', /is unknown; expected put, get, delete, list/],
    [operation(null), 'body/success/1', /must be an object/],
    [operation({ get: 'a' }), 'body/success/1/get', /must be an object/],
    [operation({ get: {} }), 'body/success/1/get', /lacks key/],
    [operation({ get: { key: '\ud800' } }), 'body/success/1/get/key', /lone surrogate/],
    [
      operation({ get: { key: 'é'.repeat(2049) } }),
      'body/success/1/get/key',
      /has 4098 bytes; at most 4096 are allowed/,
    ],
    [operation({ get: { key: 'a', consistency: 'stale' } }), 'body/success/1/get/consistency', /is unknown/],
    [operation({ put: { value: 'x' } }), 'body/success/1/put', /lacks key/],
    [operation({ put: { key: 'a' } }), 'body/success/1/put', /lacks value or valueBase64/],
    [operation({ put: { key: 'a', value: 7 } }), 'body/success/1/put/value', /must be a string/],
    [operation({ put: { key: 'a', value: null } }), 'body/success/1/put/value', /must be a string/],
    [operation({ put: { key: 'a', value: '', prev: 1 } }), 'body/success/1/put/prev', /must be true or false/],
    [operation({ put: { key: 'a', value: '\udc00' } }), 'body/success/1/put/value', /lone surrogate/],
    [operation({ put: { key: 'a', value: '', valueBase64: '' } }), 'body/success/1/put', /has value and valueBase64/],
    [operation({ put: { key: 'a', valueBase64: '_-==' } }), 'body/success/1/put/valueBase64', /is not base64/],
    [operation({ put: { key: 'a', valueBase64: 'QQ=a' } }), 'body/success/1/put/valueBase64', /is not base64/],
    [operation({ put: { key: 'a', value: '', ttl: 1 } }), 'body/success/1/put/ttl', /is unknown; expected key, value/],
    [operation({ delete: {} }), 'body/success/1/delete', /names no keys: give key, prefix, start, end/],
    [operation({ delete: { prev: true } }), 'body/success/1/delete', /names no keys/],
    [operation({ delete: { prefix: '' } }), 'body/success/1/delete/prefix', /is empty, which would be every key/],
    [operation({ delete: { key: 'a', prefix: 'a' } }), 'body/success/1/delete/key', /cannot be combined with a range/],
    [operation({ delete: { start: 'a', prev: true } }), 'body/success/1/delete/prev', /goes with key/],
    [operation({ delete: { prefix: 'a', end: 'b' } }), 'body/success/1/delete/prefix', /combined with start or end/],
    [operation({ delete: { start: 'b', end: 'a' } }), 'body/success/1/delete/start', /is above end/],
    [operation({ delete: { start: '' } }), 'body/success/1/delete/start', /is no key: the key is empty/],
    [operation({ list: { start: '🔑', end: '\uffff' } }), 'body/success/1/list/start', /is above end/],
    [operation({ list: { prefix: 'a', start: 'b' } }), 'body/success/1/list/prefix', /combined with start or end/],
    [operation({ list: { key: 'a' } }), 'body/success/1/list/key', /is unknown/],
    [operation({ list: { limit: 0 } }), 'body/success/1/list/limit', /must be at least 1/],
    [operation({ list: { limit: 1001 } }), 'body/success/1/list/limit', /must be at most 1000/],
    [operation({ list: { limit: '5' } }), 'body/success/1/list/limit', /must be a whole number/],
    [operation({ list: { keysOnly: 'yes' } }), 'body/success/1/list/keysOnly', /must be true or false/],
    ['{"success":[{"get":{"key":"a"}}],"success":[]}', 'body', /has an object with the name "success" twice/],
    ['{"success":[{"get":{"key":"a","k\\u0065y":"b"}}]}', 'body', /has an object with the name "key" twice/],
    ['{"success":[', 'body', /is not valid JSON/],
    [Buffer.from([...Buffer.from('{"success":[{"get":{"key":"'), 0xff, ...Buffer.from('"}}]}')]), 'body', /UTF-8/],
  ]
  for (const [body, path, message] of cases) {
    const response = await send(api, body)
    const name = Buffer.isBuffer(body) ? 'bytes' : JSON.stringify(body).slice(0, 150)
    t.equal(response.statusCode, 400, name)
    t.match(response.json(), { retryable: false, ambiguous: false, issues: [{ path, message }] }, name)
    t.equal(response.json().issues.length, 1, `${name}: ${response.body}`)
  }
  t.equal(api.services.keys.commands.length, 0)
})

t.test('a branch writes no key twice, and lists and deletes nothing that it has written', async (t) => {
  const put = { put: { key: 'p/a', value: '' } }
  const get = { get: { key: 'p/a' } }
  const remove = { delete: { key: 'p/a' } }
  const removeRange = { delete: { prefix: 'p/' } }
  const list = { list: { start: 'p', end: 'q' } }
  const api = await open(t)
  const refused: [branch: readonly unknown[], at: number][] = [
    [[put, get, put], 2],
    [[put, remove], 1],
    [[remove, put], 1],
    [[removeRange, put], 1],
    [[put, removeRange], 1],
    [[removeRange, removeRange], 1],
    [[put, list], 1],
    [[removeRange, list], 1],
  ]
  for (const [branch, at] of refused) {
    for (const name of ['success', 'failure']) {
      const response = await send(api, { [name]: branch })
      t.equal(response.statusCode, 400, JSON.stringify(branch))
      t.match(response.json(), {
        code: 'invalid-request',
        issues: [{ path: `body/${name}/${at}`, message: /an earlier operation of this branch writes/ }],
      })
    }
  }
  t.equal(api.services.keys.commands.length, 0)
  for (const branch of [
    [list, put],
    [get, put, get],
    [get, get, list, remove],
    [list, removeRange],
  ]) {
    t.equal((await send(api, { success: branch, failure: branch })).statusCode, 200, JSON.stringify(branch))
  }
})

t.test('all mistakes are named at once, twenty of them, and a code says when they are of one kind', async (t) => {
  const api = await open(t)
  const paths = async (body: unknown) => {
    const problem = (await send(api, body)).json()
    return {
      code: problem.code,
      paths: problem.issues.map(({ path }: { path: string }) => path),
      detail: problem.detail,
    }
  }
  const twice = [{ put: { key: 'a', value: '' } }, { put: { key: 'a', value: '' } }]
  const mixed = await paths({
    compare: [{ key: '', target: 'value', op: '~', value: 1 }, { target: 'none' }],
    success: [{ put: { key: 'a' } }, { delete: {} }, { list: { limit: 0, keysOnly: 1 } }],
    failure: twice,
    more: 1,
  })
  t.equal(mixed.code, 'invalid-request')
  t.same(
    new Set(mixed.paths),
    new Set([
      'body/more',
      'body/compare/0/key',
      'body/compare/0/op',
      'body/compare/0/value',
      'body/compare/1/target',
      'body/success/0/put',
      'body/success/1/delete',
      'body/success/2/list/limit',
      'body/success/2/list/keysOnly',
      'body/failure/1',
    ]),
  )
  const crowd = await paths({ success: many(128).map(() => ({ get: {} })) })
  t.equal(crowd.paths.length, limits.issuesMax)
  t.match(crowd.detail, /and 108 more$/)

  const badKey = { get: { key: '' } }
  const badValue = { put: { key: 'a', value: '\ud800' } }
  t.equal((await paths({ success: [badKey, badKey] })).code, 'invalid-key')
  t.equal((await paths({ success: [badValue, { put: { key: 'b', valueBase64: '!' } }] })).code, 'value-encoding')
  t.equal((await paths({ success: [badKey, badValue] })).code, 'invalid-request')
  t.equal((await paths({ success: [badKey], failure: twice })).code, 'invalid-request')
})

t.test('values: the maximum is taken, one byte more is refused, for each and for all', async (t) => {
  const api = await open(t)
  const value = 'v'.repeat(1024)
  const tooLarge = [
    [{ success: [{ put: { key: 'a', value: `${value}v` } }] }, 'body/success/0/put'],
    [{ failure: [{ put: { key: 'a', valueBase64: Buffer.alloc(1025).toString('base64') } }] }, 'body/failure/0/put'],
    [{ compare: [{ key: 'a', target: 'value', op: '=', value: 'é'.repeat(513) }], success: many(1) }, 'body/compare/0'],
  ] as const
  for (const [body, path] of tooLarge) {
    const response = await send(api, body)
    t.equal(response.statusCode, 413)
    t.match(response.json(), {
      code: 'value-too-large',
      limitBytes: 1024,
      issues: [{ path, message: /has a value of 102/ }],
    })
  }
  t.equal((await send(api, { success: [{ put: { key: 'a', value } }] })).statusCode, 200)

  const roomy = await open(t, {}, { valueBytesMax: 1024 * 1024 })
  const mebibyte = '\0'.repeat(1024 * 1024)
  const puts = Array.from({ length: 8 }, (_, at) => ({ put: { key: `k${at}`, value: mebibyte } }))
  const most = await send(roomy, { success: puts })
  t.equal(most.statusCode, 200, 'with six characters for each byte')
  const more = await send(roomy, { success: puts, failure: [{ put: { key: 'a', value: '1' } }] })
  t.equal(more.statusCode, 413)
  t.match(more.json(), { code: 'request-too-large', limitBytes: limits.transactionValueBytesMax })
  const gets = puts.map(({ put: { key } }) => ({ get: { key } }))
  const read = { method: 'POST', url: '/txn', payload: { success: gets } } as const
  t.ok((await roomy.app.inject(read)).body.length > 6 * 8 * 1024 * 1024, 'an answer of the same size')
  const heavy = await roomy.inject({
    method: 'POST',
    url: '/txn',
    headers: { 'content-type': 'application/json', 'content-length': String(limits.transactionBodyBytesMax + 1) },
  })
  t.match(heavy.json(), { code: 'request-too-large', limitBytes: limits.transactionBodyBytesMax })
})

t.test('what would read or delete too much is refused whole', async (t) => {
  const narrow = await open(t, { a: '', b: '', c: '' }, { machine: { rangeDeleteKeysMax: 2 } })
  const wide = await send(narrow, { success: [{ delete: { end: 'z' } }] })
  t.equal(wide.statusCode, 422)
  t.match(wide.json(), {
    code: 'range-too-large',
    limit: 2,
    found: 3,
    detail: /nothing was done: name smaller ranges$/,
  })
  t.equal(wide.headers['quorate-revision'], '3')

  const transaction = { readBytesMax: 1024 * 1024, listBytesMax: 1024 * 1024 }
  const api = await open(t, {}, { machine: { transaction } })
  const value = Buffer.alloc(1000)
  for (const { key } of many(1100).map(({ get }) => get)) {
    api.services.keys.store.plant(keyOf(key), { createRevision: 1, modRevision: 1, version: 1, lease: 0, value })
  }
  const lists = [{ list: { end: 'k5', limit: 1000 } }, { list: { start: 'k5', limit: 1000 } }]
  const heavy = await send(api, { success: [...lists, { put: { key: 'd', value: '' } }] })
  t.equal(heavy.statusCode, 422)
  t.match(heavy.json(), {
    code: 'transaction-too-large',
    limitBytes: 1024 * 1024,
    detail: /more than 1 MiB together; nothing was done/,
  })
  t.equal((await api.inject('/kv/d')).statusCode, 404)
  t.equal((await send(api, { success: [lists[0]] })).statusCode, 200)
})

t.test('an idempotency key gives a retry the first answer, and another request none', async (t) => {
  const keptValues = { inlineBytesMax: 0, rings: [{ valueBytesMax: 1000, slots: 1 }] }
  const api = await open(t, { a: 'one' }, { machine: { keptValues } })
  const headers = { 'idempotency-key': 'swap-1' }
  const body = { success: [{ put: { key: 'a', value: 'two', prev: true } }] }
  const first = await send(api, body, { headers })
  t.strictSame(
    (await send(api, JSON.stringify(body, null, 2), { headers })).json(),
    first.json(),
    'however it is written',
  )
  for (const other of [
    { success: [{ put: { key: 'a', value: 'two' } }] },
    { failure: body.success },
    { ...body, compare: compare({}).compare },
  ]) {
    const response = await send(api, other, { headers })
    t.equal(response.statusCode, 422)
    t.match(response.json(), { code: 'idempotency-key-reused', retryable: false })
  }
  await send(api, { success: many(1) }, { headers: { 'idempotency-key': 'another' } })
  t.strictSame((await send(api, body, { headers })).json(), {
    succeeded: true,
    revision: 2,
    results: [],
    resultsForgotten: true,
  })
  const wrong = await send(api, body, { headers: { 'idempotency-key': 'a b' } })
  t.match(wrong.json(), { code: 'invalid-request', issues: [{ path: 'header/idempotency-key' }] })
})

t.test('parameters and headers', async (t) => {
  const api = await open(t)
  const body = { success: many(1) }
  t.equal((await send(api, body, { query: '?timeout=3s' })).statusCode, 200)
  t.equal(api.services.keys.commands[0]?.timeoutMs, 3000)
  t.match((await send(api, body, { query: '?prev=true' })).json(), { issues: [{ path: 'query/prev' }] })
  t.match((await send(api, body, { headers: { 'if-match': '"1"' } })).json(), { issues: [{ path: 'header/if-match' }] })
  t.equal((await send(api, body, { headers: { 'content-type': 'text/plain' } })).statusCode, 415)
  t.equal((await api.inject({ method: 'POST', url: '/txn' })).statusCode, 400)
  t.equal((await api.inject('/txn')).statusCode, 405)

  api.services.cluster.known = { id: 2, raft: '127.0.0.1:7102', api: 'http://127.0.0.1:7002' }
  const elsewhere = await send(api, body, { query: '?redirect=true&timeout=1s' })
  t.equal(elsewhere.statusCode, 307)
  t.equal(elsewhere.headers['location'], 'http://127.0.0.1:7002/txn?redirect=true&timeout=1s')
  t.equal((await send(api, { success: [] }, { query: '?redirect=true' })).statusCode, 400, 'mistakes are told here')
})

interface Exemplified {
  readonly requestBody: { readonly content: Readonly<Record<string, { readonly example?: unknown }>> }
}

t.test('the example in the document is carried out', async (t) => {
  const api = await open(t)
  const { paths } = (await api.inject('/openapi.json')).json<{ paths: { '/txn': { post: Exemplified } } }>()
  const example = paths['/txn'].post.requestBody.content['application/json']?.example
  t.match(await transact(api, example), { succeeded: true, results: [{ put: { version: 1 } }] })
  t.match(await transact(api, example), { succeeded: false, results: [{ get: { record: { value: 'paid' } } }] })
})

t.test('a body of very many small values is refused before it is parsed', async (t) => {
  const api = await open(t)
  const parsed = t.capture(JSON, 'parse', JSON.parse)
  const size = 4 * 1024 * 1024
  const bodies = {
    objects: `[${'{},'.repeat(size / 3)}{}]`,
    numbers: `{"compare":[${'1,'.repeat(size / 2)}1]}`,
    depth: '['.repeat(size),
    members: `{"success":[{${'"":1,'.repeat(size / 5)}"":1}]}`,
    'a quote in a name': `{"\\\\\\"":[${'[],'.repeat(size / 3)}[]]}`,
  }
  for (const [name, body] of Object.entries(bodies)) {
    const refused = await send(api, body)
    t.equal(refused.statusCode, 400, name)
    t.match(refused.json(), {
      code: 'invalid-request',
      issues: [{ path: 'body', message: /holds more than 4096 values/ }],
    })
  }
  const grant = await api.inject({
    method: 'POST',
    url: '/leases',
    payload: `[${'{},'.repeat(80_000)}{}]`,
    headers: { 'content-type': 'application/json' },
  })
  t.match(grant.json(), { issues: [{ message: /holds more than 1024 values/ }] }, 'other bodies as well')
  const texts = parsed().map(({ args: [text] }) => text.length)
  t.ok(Math.max(0, ...texts) < 4096, 'none was parsed')
})

t.test('what stands in strings does not count as values', async (t) => {
  const api = await open(t, {}, { valueBytesMax: 1024 * 1024 })
  for (const value of ['[{},'.repeat(100_000), '\\"],['.repeat(100_000), '\\'.repeat(100_000)]) {
    const answer = await send(api, { success: [{ put: { key: 'a', value } }, { get: { key: 'a' } }] })
    t.equal(answer.statusCode, 200)
    t.ok(answer.body.includes(JSON.stringify(value)), 'it is read as it was written')
  }
})
