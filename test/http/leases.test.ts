import t, { type Test } from 'tap'
import { decodeLease, leaseRow, type Command } from '../../src/kv/index.ts'
import { RequestError } from '../../src/lib/errors.ts'
import { limits } from '../../src/limits.ts'
import { put } from '../kv/support/batch-store.ts'
import { openCheckedApi, type CheckedApi, type CheckedApiOptions } from '../support/checked-api.ts'
import { byBytes, strangeKeys, strangersToKeys } from '../support/strange.ts'

const GRANTED = 1_000_000_000_000_000
const OF_KEY = 2_000_000_000_000_000
const OF_LOCK = 3_000_000_000_000_000

async function open(t: Test, options: CheckedApiOptions = {}) {
  const api = await openCheckedApi(t, options)
  const retention = { revisions: 100, ageMs: 0, bytes: 1_000_000 }
  api.services.keys.store.one({ type: 'retention', retention, idempotency: null })
  return api
}

async function ask(
  api: CheckedApi,
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  url: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
) {
  const isValue = method === 'PUT'
  const response = await api.inject({
    method,
    url,
    ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
    headers: body === undefined || isValue ? headers : { 'content-type': 'application/json', ...headers },
  })
  return { status: response.statusCode, body: response.json<Record<string, unknown>>(), headers: response.headers }
}

t.test('JSON that says to be in another encoding than UTF-8 is refused', async (t) => {
  const api = await openCheckedApi(t)
  const grant = async (charset: string) =>
    api.inject({
      method: 'POST',
      url: '/leases',
      payload: '{"ttlMs":60000}',
      headers: { 'content-type': `application/json; ${charset}` },
    })
  for (const charset of ['charset=utf-16', 'Charset="ISO-8859-1"', 'x=1; charset=latin1'])
    t.match((await grant(charset)).json(), { status: 415, code: 'unsupported-media-type' }, charset)
  for (const charset of ['charset=utf-8', 'charset="UTF-8"', 'charset=us-ascii', 'x=1'])
    t.equal((await grant(charset)).statusCode, 201, charset)
})

t.test('a lease is granted, kept alive, shown with its keys, and ended', async (t) => {
  const api = await open(t)
  const granted = await ask(api, 'POST', '/leases', { ttlMs: 10_000 })
  const id = GRANTED + 2
  t.same(granted.body, { id, ttlMs: 10_000 })
  t.equal(granted.status, 201)
  t.match(granted.headers, { 'quorate-served-by': '1', 'quorate-consistency': 'linearizable' })
  t.same(await ask(api, 'POST', '/leases', { ttlMs: 1_000, id: 7 }).then(({ body }) => body), { id: 7, ttlMs: 1_000 })
  for (const key of ['a', 'b/c', 'é']) {
    t.equal((await ask(api, 'PUT', `/kv/${encodeURIComponent(key)}?lease=${id}`, 'x')).status, 200)
  }
  t.same((await ask(api, 'POST', `/leases/${id}/keepalive`)).body, { id, remainingMs: 10_000 })
  const status = { id, ttlMs: 10_000, use: 'keys', ending: false }
  t.same((await ask(api, 'GET', `/leases/${id}`)).body, { ...status, remainingMs: 10_000, keys: ['a', 'b/c', 'é'] })
  const page = (await ask(api, 'GET', `/leases/${id}?limit=2`)).body
  t.same(page['keys'], ['a', 'b/c'])
  const rest = (await ask(api, 'GET', `/leases/${id}?limit=2&cursor=${String(page['cursor'])}`)).body
  t.same([rest['keys'], rest['cursor']], [['é'], undefined])
  const first = { id: 7, ttlMs: 1_000, use: 'keys', ending: false }
  t.same((await ask(api, 'GET', '/leases')).body, { leases: [first, status] })
  t.same((await ask(api, 'GET', '/leases?limit=1')).body, { leases: [first], cursor: '7' })
  t.same((await ask(api, 'GET', '/leases?limit=1&cursor=7')).body, { leases: [status] })
  t.same((await ask(api, 'DELETE', `/leases/${id}`)).body, { revision: 8, deleted: 3 })
  t.equal((await ask(api, 'GET', '/kv/a')).status, 404)
})

t.test('what a lease cannot do is told, and nothing is done', async (t) => {
  const api = await open(t)
  await ask(api, 'POST', '/leases', { ttlMs: 1_000, id: 7 })
  const gone = { code: 'lease-not-found', lease: 8, retryable: false }
  t.match((await ask(api, 'POST', '/leases', { ttlMs: 1_000, id: 7 })).body, { code: 'lease-exists', lease: 7 })
  t.match((await ask(api, 'POST', '/leases/8/keepalive')).body, gone)
  t.match((await ask(api, 'DELETE', '/leases/8')).body, gone)
  t.match((await ask(api, 'GET', '/leases/8')).body, gone)
  t.match((await ask(api, 'PUT', '/kv/a?lease=8', 'x')).body, gone)
  const put = { put: { key: 'a', value: 'x', lease: 8 } }
  t.match((await ask(api, 'POST', '/txn', { success: [put] })).body, gone)
  t.equal((await ask(api, 'GET', '/kv/a')).status, 404)
  t.match((await ask(api, 'POST', '/txn', { success: [{ put: { ...put.put, lease: 7 } }] })).body, { succeeded: true })
  t.equal((await ask(api, 'GET', '/kv/a', undefined, { accept: 'application/json' })).body['lease'], 7)
})

t.test('mistakes are named with their bounds', async (t) => {
  const api = await open(t)
  const mistakes: readonly [Promise<{ readonly body: object }>, string, RegExp][] = [
    [ask(api, 'POST', '/leases', { ttlMs: 999 }), 'body/ttlMs', /must be at least 1000/],
    [ask(api, 'POST', '/leases', { ttlMs: limits.lease.ttlMsMax + 1 }), 'body/ttlMs', /must be at most 2592000000/],
    [ask(api, 'POST', '/leases', { ttlMs: '5s' }), 'body/ttlMs', /must be a whole number/],
    [ask(api, 'POST', '/leases', {}), 'body', /lacks ttlMs/],
    [ask(api, 'POST', '/leases', { ttlMs: 1_000, id: 0 }), 'body/id', /must be at least 1/],
    [ask(api, 'POST', '/leases', { ttlMs: 1_000, id: GRANTED }), 'body/id', /must be at most 999999999999999/],
    [ask(api, 'POST', '/leases', { ttlMs: 1_000, keys: [] }), 'body/keys', /is unknown; expected ttlMs, id/],
    [ask(api, 'GET', '/leases/x'), 'path/id', /must be the id of a lease/],
    [ask(api, 'GET', '/leases/0'), 'path/id', /must be the id of a lease/],
    [ask(api, 'DELETE', '/leases/9007199254740993'), 'path/id', /must be the id of a lease/],
    [ask(api, 'GET', '/leases/7?cursor=!'), 'query/cursor', /is not a cursor/],
    [ask(api, 'GET', '/leases/7?cursor=_w'), 'query/cursor', /is not a cursor/],
    [ask(api, 'GET', `/leases/7?cursor=${'YWFh'.repeat(2_000)}`), 'query/cursor', /is not a cursor/],
    [ask(api, 'GET', '/leases?limit=1001'), 'query/limit', /from 1 to 1000/],
    [ask(api, 'PUT', '/kv/a?ttl=999ms', 'x'), 'query/ttl', /from 1s to 720h/],
    [ask(api, 'PUT', '/kv/a?ttl=721h', 'x'), 'query/ttl', /must be a duration/],
    [ask(api, 'PUT', '/kv/a?ttl=5s&lease=7', 'x'), 'query/ttl', /cannot be combined with lease/],
    [ask(api, 'PUT', '/kv/a?lease=9007199254740991', 'x'), 'query/lease', /is no id of a lease/],
    [
      ask(api, 'POST', '/txn', { success: [{ put: { key: 'a', value: 'x', lease: 5e15 } }] }),
      'body/success/0/put/lease',
      /is no id of a lease/,
    ],
    [ask(api, 'DELETE', '/kv/a?lease=7'), 'query/lease', /is unknown/],
    [ask(api, 'POST', '/locks/l', { ttlMs: 1_000, waitMs: 60_001 }), 'body/waitMs', /must be at most 60000/],
    [ask(api, 'POST', '/locks/l', { ttlMs: 1_000, waitMs: -1 }), 'body/waitMs', /must be at least 0/],
    [ask(api, 'POST', '/locks/l', { ttlMs: 1_000, owner: 'é'.repeat(513) }), 'body/owner', /1026 bytes; at most 1024/],
    [ask(api, 'POST', '/locks/l', { ttlMs: 1_000, owner: '\ud800' }), 'body/owner', /lone surrogate/],
    [ask(api, 'POST', '/locks', { ttlMs: 1_000 }), 'query/name', /is missing/],
    [ask(api, 'DELETE', '/locks/l'), 'query/lease', /is missing/],
    [ask(api, 'DELETE', '/locks/l?lease=x'), 'query/lease', /must be the id of a lease/],
  ]
  for (const [asked, path, message] of mistakes) {
    const { body } = await asked
    t.match(body, { status: 400, code: 'invalid-request', issues: [{ path, message }] })
  }
  t.match((await ask(api, 'POST', `/locks/${'n'.repeat(4097)}`, { ttlMs: 1_000 })).body, { status: 400 })
  t.match((await ask(api, 'GET', `/locks?name=${'n'.repeat(4097)}`)).body, { code: 'invalid-key' })
  t.same(api.services.keys.commands, [], 'nothing was proposed')
})

t.test('a key with a time to live has a lease of its own', async (t) => {
  const api = await open(t)
  const lease = OF_KEY + 2
  const put = await ask(api, 'PUT', '/kv/a?ttl=30s&prev=true', 'x')
  t.same(put.body, { revision: 2, createRevision: 2, version: 1, lease, prev: null })
  const { body } = await ask(api, 'GET', `/leases/${lease}`)
  t.match(body, { ttlMs: 30_000, use: 'key', keys: ['a'] })
  const got = await api.inject('/kv/a')
  t.equal(got.headers['quorate-lease'], String(lease))
  t.same((await ask(api, 'PUT', '/kv?key=a', 'y')).body, { revision: 3, createRevision: 2, version: 2 })
  t.equal((await ask(api, 'GET', `/leases/${lease}`)).status, 404)
  t.match((await ask(api, 'PUT', '/kv?key=..&ttl=1', 'y')).body, { lease: OF_KEY + 4 })
})

t.test('a lease with many keys ends in several changes, counted as one', async (t) => {
  let time = 0
  const leases = { ...limits.leases, endKeysMax: 2 }
  const api = await open(t, { machine: { leases }, now: () => (time += 1) })
  await ask(api, 'POST', '/leases', { ttlMs: 1_000, id: 7 })
  for (const key of ['a', 'b', 'c', 'd', 'e']) await ask(api, 'PUT', `/kv/${key}?lease=7`, 'x')
  t.same((await ask(api, 'DELETE', '/leases/7', undefined, { 'idempotency-key': 'n' })).body, {
    revision: 10,
    deleted: 5,
  })
  t.same((await ask(api, 'DELETE', '/leases/7', undefined, { 'idempotency-key': 'n' })).body, {
    revision: 10,
    deleted: 5,
  })
  await ask(api, 'POST', '/leases', { ttlMs: 1_000, id: 7 })
  for (const key of ['a', 'b', 'c']) await ask(api, 'PUT', `/kv/${key}?lease=7`, 'x')
  const unfinished = (await ask(api, 'DELETE', '/leases/7?timeout=2ms')).body
  t.match(unfinished, { code: 'deletion-unfinished', deleted: 2 })
  t.match((await ask(api, 'GET', '/leases/7')).body, { ending: true, keys: ['c'] })
  t.match((await ask(api, 'POST', '/leases/7/keepalive')).body, { code: 'lease-not-found' })
  // The leader ends it between two steps of the request.
  await ask(api, 'DELETE', '/leases/7')
  await ask(api, 'POST', '/leases', { ttlMs: 1_000, id: 8 })
  for (const key of ['a', 'b', 'c']) await ask(api, 'PUT', `/kv/${key}?lease=8`, 'x')
  const { keys } = api.services
  let steps = 0
  keys.beforeExecute = async () => {
    steps += 1
    if (steps === 2) keys.store.one({ type: 'lease-revoke', id: 8, ifRenewedAt: null, idempotency: null })
  }
  t.match((await ask(api, 'DELETE', '/leases/8')).body, { deleted: 2 })
})

t.test('whatever prevents the rest of the end of a lease, the answer says that it is over', async (t) => {
  const leases = { ...limits.leases, endKeysMax: 2 }
  for (const code of ['no-leader', 'overloaded', 'forbidden', 'outcome-unknown'] as const) {
    const api = await open(t, { machine: { leases } })
    await ask(api, 'POST', '/leases', { ttlMs: 1_000, id: 8 })
    for (const key of ['a', 'b', 'c']) await ask(api, 'PUT', `/kv/${key}?lease=8`, 'x')
    let steps = 0
    api.services.keys.beforeExecute = async () => {
      steps += 1
      if (steps % 2 === 0) throw new RequestError(code, 'for a reason')
    }
    const ended = (await ask(api, 'DELETE', '/leases/8')).body
    t.match(ended, { status: 503, code: 'deletion-unfinished', ambiguous: false, deleted: 2, revision: 6 })
    t.match(ended, { detail: /^the lease is over: 2 of its keys are deleted, .* the rest; for a reason$/ })
    t.equal(steps, 2)
  }
})

t.test('the rest of a lease that ends is not mistaken for another that is granted under its id', async (t) => {
  const leases = { ...limits.leases, endKeysMax: 2 }
  for (const headers of [{}, { 'idempotency-key': 'n' }]) {
    const api = await open(t, { machine: { leases } })
    await ask(api, 'POST', '/leases', { ttlMs: 1_000, id: 8 })
    for (const key of ['a', 'b', 'c']) await ask(api, 'PUT', `/kv/${key}?lease=8`, 'x')
    const { keys } = api.services
    const end: Command = { type: 'lease-revoke', id: 8, ifRenewedAt: null, idempotency: null }
    let steps = 0
    keys.beforeExecute = async () => {
      steps += 1
      if (steps !== 2) return
      // The leader ends it, and somebody else is granted the id.
      keys.store.execute(end)
      keys.store.execute({ type: 'lease-grant', id: 8, ttlMs: 2_000, idempotency: null })
    }
    t.match((await ask(api, 'DELETE', '/leases/8', undefined, headers)).body, { deleted: 2 })
    t.match((await ask(api, 'GET', '/leases/8')).body, { ttlMs: 2_000, ending: false })
    keys.beforeExecute = async () => {}
    const retry = await ask(api, 'DELETE', '/leases/8', undefined, { 'idempotency-key': 'n' })
    t.match(retry.status, 200)
    const isThere = (await ask(api, 'GET', '/leases/8')).status === 200
    t.equal(isThere, 'idempotency-key' in headers, 'a retry does not end it either, another request does')
  }
})

t.test(
  'a keepalive under an idempotency key is carried out at each try: its answer is about the present',
  async (t) => {
    const api = await open(t)
    const renew = async () =>
      (await ask(api, 'POST', '/leases/7/keepalive', undefined, { 'idempotency-key': 'n' })).body
    await ask(api, 'POST', '/leases', { ttlMs: 1_000, id: 7 })
    const first = await renew()
    const { store } = api.services.keys
    t.same(await renew(), first)
    t.equal(
      decodeLease(store.rows.get(leaseRow(7)) ?? Buffer.alloc(0)).renewedAt,
      store.revision,
      'its time begins again',
    )
    await ask(api, 'DELETE', '/leases/7')
    t.match(await renew(), { status: 404, code: 'lease-not-found' }, 'no lease that is gone is said to last')
  },
)

t.test('what the log has refused stays refused under its idempotency key, and says so', async (t) => {
  const api = await open(t, { machine: { leases: { ...limits.leases, leasesMax: 1, attachedKeysMax: 1 } } })
  await ask(api, 'POST', '/leases', { ttlMs: 1_000, id: 7 })
  await ask(api, 'PUT', '/kv/a?lease=7', 'x')
  const transaction = { success: [{ put: { key: 'b', value: 'x', lease: 7 } }] }
  const requests = [
    ['POST', '/leases', { ttlMs: 1_000 }, 'too-many-leases'],
    ['PUT', '/kv/b?ttl=1s', 'x', 'too-many-attached-keys'],
    ['PUT', '/kv/b?lease=7', 'x', 'too-many-attached-keys'],
    ['POST', '/txn', transaction, 'too-many-attached-keys'],
    ['POST', '/locks/l', { ttlMs: 1_000 }, 'too-many-leases'],
    ['POST', '/compaction', { revision: 100 }, 'future-revision'],
  ] as const
  for (const [at, [method, url, body, code]] of requests.entries()) {
    t.match((await ask(api, method, url, body)).body, { code, retryable: true }, `${method} ${url}`)
    const refused = (await ask(api, method, url, body, { 'idempotency-key': `n${at}` })).body
    t.match(refused, { code, retryable: false, detail: /under this Idempotency-Key the answer stays the same/ })
  }
  await ask(api, 'DELETE', '/leases/7')
  for (let n = 0; n < 100; n++) api.services.keys.store.one(put('n', `${n}`))
  for (const [at, [method, url, body, code]] of requests.entries()) {
    const again = (await ask(api, method, url, body, { 'idempotency-key': `n${at}` })).body
    t.match(again, { code, retryable: false }, `the retry of ${method} ${url}`)
  }
  await ask(api, 'POST', '/locks/l', { ttlMs: 1_000 })
  t.match((await ask(api, 'POST', '/locks/l', { ttlMs: 1_000 })).body, { code: 'lock-held', retryable: true })
  const held = await ask(api, 'POST', '/locks/l', { ttlMs: 1_000 }, { 'idempotency-key': 'held' })
  t.match(held.body, { code: 'lock-held', retryable: false })
})

t.test('a lock is held by one, and passes on with a larger token', async (t) => {
  const api = await open(t)
  const first = await ask(api, 'POST', '/locks/jobs/nightly', { ttlMs: 5_000, owner: 'one' })
  const lease = OF_LOCK + 2
  t.same(first.body, { token: 2, lease })
  const holder = { lease, token: 2, owner: 'one' }
  const held = await ask(api, 'POST', '/locks?name=jobs%2Fnightly', { ttlMs: 5_000 })
  t.match(held.body, { status: 409, code: 'lock-held', holder, retryable: true })
  t.same((await ask(api, 'GET', '/locks/jobs/nightly')).body, { name: 'jobs/nightly', holder, waiting: 0 })
  t.match((await ask(api, 'GET', `/leases/${lease}`)).body, { use: 'lock', lock: 'jobs/nightly' })
  t.match((await ask(api, 'POST', `/leases/${lease}/keepalive`)).body, { remainingMs: 5_000 })
  const { keys, leases } = api.services
  leases.whileWaiting = async () => {
    t.match((await ask(api, 'GET', '/locks?name=jobs/nightly')).body, { waiting: 1 })
    t.match((await ask(api, 'GET', '/leases')).body, { leases: [{ use: 'lock' }, { use: 'lock-wait' }] })
    t.match((await ask(api, 'DELETE', `/locks/jobs/nightly?lease=${lease}`)).body, { deleted: 0 })
  }
  const second = await ask(api, 'POST', '/locks/jobs/nightly', { ttlMs: 5_000, waitMs: 1_000 })
  t.match(second.body, { lease: Number })
  t.ok(Number(second.body['token']) > 2)
  leases.whileWaiting = async () => {}
  t.match((await ask(api, 'POST', '/locks/jobs/nightly', { ttlMs: 5_000, waitMs: 1 })).body, { code: 'lock-held' })
  t.match((await ask(api, 'DELETE', `/locks/jobs/nightly?lease=${lease}`)).body, { status: 409, code: 'lock-not-held' })
  t.match((await ask(api, 'DELETE', `/locks?name=jobs/nightly&lease=${String(second.body['lease'])}`)).body, {
    deleted: 0,
  })
  t.match((await ask(api, 'DELETE', `/locks/jobs/nightly?lease=${lease}`)).body, {
    code: 'lock-not-held',
    holder: null,
  })
  t.same((await ask(api, 'GET', '/locks/jobs/nightly')).body, { name: 'jobs/nightly', holder: null, waiting: 0 })
  t.equal(keys.openScans, 0)
})

t.test('locks are listed by their names, a page at a time, with who holds them', async (t) => {
  const api = await open(t)
  t.same((await ask(api, 'GET', '/locks')).body, { locks: [] })
  const names = ['a/1', 'a/2', 'a/2b', 'b', 'é']
  const held = new Map<string, unknown>()
  for (const name of names.toReversed()) {
    const { body } = await ask(api, 'POST', `/locks?name=${encodeURIComponent(name)}`, {
      ttlMs: 5_000,
      owner: `of ${name}`,
    })
    held.set(name, { name, holder: { ...body, owner: `of ${name}` }, waiting: 0 })
  }
  await ask(api, 'PUT', '/kv/a%2F3', 'a key is no lock')
  const list = async (query: string) => await ask(api, 'GET', `/locks?${query}`)
  t.same((await list('')).body, { locks: names.map((name) => held.get(name)) })
  t.same((await list('prefix=a/')).body, { locks: [held.get('a/1'), held.get('a/2'), held.get('a/2b')] })
  t.same((await list('start=a/2&end=b')).body, { locks: [held.get('a/2'), held.get('a/2b')] })
  t.same((await list('start=b&end=b')).body, { locks: [] })
  t.same((await list('prefix=c')).body, { locks: [] })

  const paged: unknown[] = []
  let cursor: string | undefined
  do {
    const { body } = await list(`limit=2${cursor === undefined ? '' : `&cursor=${cursor}`}`)
    paged.push(...(body['locks'] as unknown[]))
    cursor = body['cursor'] as string | undefined
  } while (cursor !== undefined)
  t.same(
    paged,
    names.map((name) => held.get(name)),
  )
  const first = (await list('limit=1&prefix=a/')).body['cursor']
  t.match((await list(`cursor=${String(first)}&prefix=b`)).body, {
    issues: [{ path: 'query/cursor', message: /^belongs to another listing/ }],
  })
  t.match((await list(`cursor=${String(first)}&prefix=a/&limit=1`)).body, { locks: [held.get('a/2')], cursor: String })
  for (const [query, path] of [
    ['cursor=x', 'query/cursor'],
    ['limit=0', 'query/limit'],
    ['limit=1001', 'query/limit'],
    ['prefix=a&end=b', 'query/prefix'],
    ['start=b&end=a', 'query/start'],
    ['waiters=true', 'query/waiters'],
    ['name=b&prefix=b', 'query/prefix'],
    ['name=b&waiters=yes', 'query/waiters'],
  ] as const)
    t.match((await list(query)).body, { status: 400, code: 'invalid-request', issues: [{ path }] }, query)
  t.match(await ask(api, 'GET', '/locks', undefined, { 'if-match': '"1"' }), { status: 400 })
  t.equal(api.services.keys.openScans, 0)
})

t.test('those who wait for a lock are listed in their order when somebody asks for them', async (t) => {
  const api = await open(t)
  await ask(api, 'POST', '/locks/l', { ttlMs: 5_000, owner: 'one' })
  let place = 0
  api.services.leases.whileWaiting = async () => {
    place += 1
    if (place < 3) await ask(api, 'POST', '/locks/l', { ttlMs: 5_000, waitMs: 1_000, owner: `waiter ${place + 1}` })
    else {
      const waiters = [1, 2, 3].map((at) => ({ lease: OF_LOCK + 2 + at, owner: at === 1 ? '' : `waiter ${at}` }))
      for (const url of ['/locks/l?waiters=true', '/locks?name=l&waiters=true'])
        t.match((await ask(api, 'GET', url)).body, { name: 'l', holder: { owner: 'one' }, waiting: 3, waiters })
      t.notOk('waiters' in (await ask(api, 'GET', '/locks/l')).body)
      t.match((await ask(api, 'GET', '/locks')).body, { locks: [{ name: 'l', waiting: 3 }] })
    }
  }
  await ask(api, 'POST', '/locks/l', { ttlMs: 5_000, waitMs: 1_000 })
  t.equal(place, 3)
  t.same((await ask(api, 'GET', '/locks/free?waiters=true')).body, {
    name: 'free',
    holder: null,
    waiting: 0,
    waiters: [],
  })
})

t.test('the wait for a lock may end without anybody holding it', async (t) => {
  const api = await open(t)
  const { body } = await ask(api, 'POST', '/locks/l', { ttlMs: 5_000 })
  api.services.leases.whileWaiting = async () => {
    await ask(api, 'DELETE', `/leases/${OF_LOCK + 3}`)
    await ask(api, 'DELETE', `/leases/${String(body['lease'])}`)
  }
  const ended = (await ask(api, 'POST', '/locks/l', { ttlMs: 5_000, waitMs: 1_000 })).body
  t.match(ended, { status: 409, code: 'lock-wait-ended', lease: OF_LOCK + 3, retryable: false, detail: /another one$/ })
})

t.test('names of locks follow the rules of keys', async (t) => {
  const api = await open(t)
  for (const name of strangeKeys) {
    const url = `/locks?name=${encodeURIComponent(name)}`
    const { body } = await ask(api, 'POST', url, { ttlMs: 1_000 })
    t.match((await ask(api, 'GET', url)).body, { name, holder: { token: body['token'] } })
    t.equal((await ask(api, 'DELETE', `${url}&lease=${String(body['lease'])}`)).status, 200)
    t.match((await ask(api, 'GET', url)).body, { name, holder: null })
  }
  for (const name of strangersToKeys) {
    for (const [method, body, more] of [
      ['POST', { ttlMs: 1_000 }, ''],
      ['GET', undefined, ''],
      ['DELETE', undefined, '&lease=7'],
    ] as const) {
      const { body: answer } = await ask(api, method, `/locks?name=${encodeURIComponent(name)}${more}`, body)
      t.match(answer, { status: 400, code: 'invalid-key' }, `${method} ${name.slice(0, 10)}`)
    }
  }
})

t.test('keys of every kind belong to a lease, and go with it', async (t) => {
  const api = await open(t)
  await ask(api, 'POST', '/leases', { ttlMs: 60_000, id: 7 })
  for (const key of strangeKeys)
    t.equal((await ask(api, 'PUT', `/kv?key=${encodeURIComponent(key)}&lease=7`, 'x')).status, 200, key.slice(0, 20))
  const success = [{ put: { key: 'by a transaction', value: '', lease: 7 } }]
  t.equal((await ask(api, 'POST', '/txn', { success })).status, 200)
  const listed: string[] = []
  for (let cursor: unknown = null; cursor !== undefined;) {
    const more = typeof cursor === 'string' ? `&cursor=${cursor}` : ''
    const { body } = await ask(api, 'GET', `/leases/7?limit=10${more}`)
    listed.push(...(body['keys'] as string[]))
    cursor = body['cursor']
  }
  t.strictSame(listed, byBytes([...strangeKeys, 'by a transaction']))
  t.match((await ask(api, 'DELETE', '/leases/7')).body, { deleted: strangeKeys.length + 1 })
  t.equal(api.services.keys.store.records().size, 0)
})

t.test('bounds that are reached are told', async (t) => {
  const leases = { ...limits.leases, leasesMax: 2, attachedKeysMax: 1 }
  const api = await open(t, { machine: { leases } })
  await ask(api, 'POST', '/leases', { ttlMs: 1_000, id: 7 })
  await ask(api, 'PUT', '/kv/a?ttl=5s', 'x')
  const tooMany = { status: 422, code: 'too-many-leases', limit: 2, retryable: true }
  t.match((await ask(api, 'POST', '/leases', { ttlMs: 1_000 })).body, tooMany)
  t.match((await ask(api, 'POST', '/locks/l', { ttlMs: 1_000 })).body, tooMany)
  const tooManyKeys = { status: 422, code: 'too-many-attached-keys', limit: 1 }
  t.match((await ask(api, 'PUT', '/kv/b?ttl=5s', 'x')).body, tooManyKeys)
  t.match((await ask(api, 'PUT', '/kv/b?lease=7', 'x')).body, tooManyKeys)
  const put = { put: { key: 'b', value: 'x', lease: 7 } }
  t.match((await ask(api, 'POST', '/txn', { success: [put] })).body, tooManyKeys)
  await ask(api, 'PUT', '/kv/a', 'x')
  await ask(api, 'POST', '/leases', { ttlMs: 1_000 })
  t.match((await ask(api, 'PUT', '/kv/b?ttl=5s', 'x')).body, tooMany)
})

t.test('every write has its first answer kept under its idempotency key', async (t) => {
  const api = await open(t)
  const requests = [
    ['POST', '/leases', { ttlMs: 1_000 }],
    ['POST', '/leases', { ttlMs: 1_000, id: 7 }],
    ['POST', '/leases/7/keepalive', undefined],
    ['DELETE', '/leases/7', undefined],
    ['POST', '/locks/l', { ttlMs: 1_000 }],
    ['DELETE', `/locks/l?lease=${OF_LOCK + 10}`, undefined],
    ['DELETE', '/locks/l?lease=9', undefined],
  ] as const
  for (const [at, [method, url, body]] of requests.entries()) {
    const headers = { 'idempotency-key': `n${at}` }
    const first = await ask(api, method, url, body, headers)
    t.same((await ask(api, method, url, body, headers)).body, first.body, `${method} ${url}`)
  }
  for (const [method, url, body] of [
    ['POST', '/leases', { ttlMs: 2_000 }],
    ['POST', '/leases/8/keepalive', undefined],
    ['DELETE', '/leases/8', undefined],
    ['POST', '/locks/m', { ttlMs: 1_000 }],
    ['DELETE', '/locks/m?lease=9', undefined],
  ] as const) {
    const { body: answer } = await ask(api, method, url, body, { 'idempotency-key': 'n0' })
    t.match(answer, { status: 422, code: 'idempotency-key-reused' }, `${method} ${url}`)
  }
})

t.test('conditions, bodies and redirects are treated as everywhere', async (t) => {
  const api = await open(t)
  const all = [
    ['POST', '/leases', { ttlMs: 1_000 }],
    ['GET', '/leases', undefined],
    ['GET', '/leases/7', undefined],
    ['DELETE', '/leases/7', undefined],
    ['POST', '/leases/7/keepalive', undefined],
    ['POST', '/locks/l', { ttlMs: 1_000 }],
    ['GET', '/locks/l', undefined],
    ['DELETE', '/locks/l?lease=7', undefined],
  ] as const
  for (const [method, url, body] of all) {
    const { body: answer } = await ask(api, method, url, body, { 'if-match': '"5"' })
    t.match(answer, { status: 400, issues: [{ path: 'header/if-match' }] }, `${method} ${url}`)
  }
  for (const url of ['/leases/7', '/locks/l?lease=7', '/locks?name=l&lease=7'])
    t.match((await ask(api, 'DELETE', url, {})).body, { status: 400, issues: [{ path: 'body' }] })
  t.match((await ask(api, 'POST', '/leases/7/keepalive', {})).body, { issues: [{ path: 'body' }] })
  api.services.cluster.known = { id: 2, raft: '127.0.0.1:7102', api: 'http://127.0.0.1:7002' }
  api.services.keys.commands.length = 0
  for (const [method, url, body] of all) {
    const target = `${url}${url.includes('?') ? '&' : '?'}redirect=true`
    const response = await api.inject({
      method,
      url: target,
      ...(body === undefined ? {} : { payload: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    })
    t.equal(response.statusCode, 307, `${method} ${url}`)
    t.equal(response.headers['location'], `http://127.0.0.1:7002${target}`)
  }
  t.same(api.services.keys.commands, [])
})
