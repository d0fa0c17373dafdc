import t, { type Test } from 'tap'
import type { CompactionAnswer, HistoryAnswer } from '../../src/api/history.ts'
import { buildApp } from '../../src/http/app.ts'
import type { Retention } from '../../src/kv/index.ts'
import { deferred } from '../../src/lib/deferred.ts'
import { RequestError } from '../../src/lib/errors.ts'
import { limits } from '../../src/limits.ts'
import { formed } from '../node/support/formed.ts'
import { openCheckedApi, type CheckedApi } from '../support/checked-api.ts'
import { strangeKeys, strangersToKeys } from '../support/strange.ts'

const KEPT: Retention = { revisions: 1_000_000, ageMs: 86_400_000, bytes: 1024 ** 3 }
const json = { 'content-type': 'application/json' }

async function open(t: Test, retention: Retention | null = KEPT): Promise<CheckedApi> {
  const api = await openCheckedApi(t, retention === null ? { machine: { level: 0 } } : {})
  if (retention !== null) {
    await api.services.keys.execute({ type: 'retention', retention, idempotency: null }, 1_000)
  }
  return api
}

async function put(api: CheckedApi, key: string, payload: string): Promise<number> {
  const response = await api.inject({ method: 'PUT', url: `/kv?key=${encodeURIComponent(key)}`, payload })
  return response.json<{ revision: number }>().revision
}

async function change(api: CheckedApi, method: 'POST' | 'PUT', payload: object, headers: Record<string, string> = {}) {
  return api.inject({ method, url: '/compaction', payload: JSON.stringify(payload), headers: { ...json, ...headers } })
}

const status = async (api: CheckedApi) => (await api.inject('/compaction')).json<CompactionAnswer>()

t.test('GET, HEAD and GET /kv read at a revision', async (t) => {
  const api = await open(t)
  const first = await put(api, 'a', 'one')
  const second = await put(api, 'a', 'two')
  await api.inject({ method: 'DELETE', url: '/kv/a' })
  await put(api, 'b', 'three')
  const read = await api.inject(`/kv/a?revision=${first}`)
  t.equal(read.body, 'one')
  t.match(read.headers, { 'quorate-revision': String(first), etag: `"${first}"`, 'quorate-version': '1' })
  t.equal((await api.inject(`/kv?key=a&revision=${second}`)).body, 'two')
  t.equal((await api.inject(`/kv/a?revision=${second + 1}`)).statusCode, 404)
  const head = await api.inject({ method: 'HEAD', url: `/kv/a?revision=${first}` })
  t.match(head.headers, { 'content-length': '3', etag: `"${first}"` })
  t.equal(
    (await api.inject({ url: `/kv/a?revision=${first}`, headers: { 'if-none-match': `"${first}"` } })).statusCode,
    304,
  )
  const page = (await api.inject(`/kv?revision=${second}`)).json()
  t.match(page, { items: [{ key: 'a', value: 'two' }], revision: second })
  t.same((await api.inject(`/kv?countOnly=true&revision=${second}`)).json(), { count: 1, revision: second })
  t.same((await api.inject(`/kv?countOnly=true&revision=${second + 1}`)).json(), { count: 0, revision: second + 1 })
  const stream = await api.inject({ url: `/kv?revision=${first}`, headers: { accept: 'application/x-ndjson' } })
  t.match(JSON.parse(stream.body), { key: 'a', value: 'one' })
  t.equal(stream.headers['quorate-revision'], String(first))
})

t.test('a revision that is gone, one to come, and what does not go with one', async (t) => {
  const api = await open(t)
  const first = await put(api, 'a', 'one')
  const second = await put(api, 'a', 'two')
  t.equal((await change(api, 'POST', { revision: second })).statusCode, 200)
  for (const url of [`/kv/a?revision=${first}`, `/kv?revision=${first}`, `/kv?revision=${first}&countOnly=true`]) {
    const gone = await api.inject(url)
    t.equal(gone.statusCode, 410, url)
    t.match(gone.json(), { code: 'compacted', compactRevision: second, retryable: false })
    const reflected = {
      'quorate-revision': String(second),
      'quorate-served-by': '1',
      'quorate-consistency': 'linearizable',
    }
    t.match(gone.headers, reflected, 'a failure tells the state that decided it')
  }
  const future = await api.inject('/kv/a?revision=999')
  t.equal(future.statusCode, 400)
  t.match(future.json(), { code: 'future-revision', currentRevision: second })
  for (const other of ['minRevision=1', 'maxStaleness=5s&consistency=stale']) {
    for (const path of ['/kv/a', '/kv']) {
      const refused = await api.inject(`${path}?revision=${second}&${other}`)
      t.equal(refused.statusCode, 400, other)
      t.match(refused.json().detail, /cannot be combined with revision/)
    }
  }
  for (const wrong of ['-1', 'x', '1.5', '9007199254740992'])
    t.equal((await api.inject(`/kv/a?revision=${wrong}`)).statusCode, 400, wrong)
})

t.test('a page of versions takes room among the answers once nothing is waited for any more', async (t) => {
  const api = await openCheckedApi(t, { answerBytesMax: limits.listBytesMax })
  await put(api, 'a', 'one')
  const { keys } = api.services
  const [asked, reached] = [deferred<void>(), deferred<void>()]
  keys.beforeVersions = async () => {
    asked.resolve()
    await reached.promise
  }
  const waiting = api.inject('/history?key=a')
  await asked.promise
  t.equal((await api.inject('/kv/a')).statusCode, 200, 'others are served meanwhile')
  reached.resolve()
  t.equal((await waiting).statusCode, 200)
  t.equal((await api.inject('/kv/a')).statusCode, 200)
})

t.test('GET /history lists the versions of a key, the newest first', async (t) => {
  const api = await open(t)
  for (const key of ['a', 'a\0', ...strangeKeys]) {
    const name = encodeURIComponent(key)
    const first = await put(api, key, 'one')
    const second = await put(api, key, 'two')
    await api.inject({ method: 'DELETE', url: `/kv?key=${name}` })
    const last = await put(api, key, 'three')
    const whole = (await api.inject(`/history?key=${name}`)).json<HistoryAnswer>()
    t.strictSame(
      whole.items.map(({ deleted, modRevision, value = null }) => [deleted, modRevision, value]),
      [
        [false, last, 'three'],
        [true, second + 1, null],
        [false, second, 'two'],
        [false, first, 'one'],
      ],
    )
    t.ok(whole.items.every((item) => item.key === key))
    const order = Object.keys(whole.items[0] ?? {})
    for (const item of whole.items)
      t.strictSame(
        Object.keys(item),
        order.filter((name) => name in item),
        'the members of a version have one order',
      )
    t.equal(whole.cursor, undefined)
    const paged: number[] = []
    for (let cursor: string | undefined = ''; cursor !== undefined;) {
      const more: string = cursor === '' ? '' : `&cursor=${cursor}`
      const page = (await api.inject(`/history?key=${name}&limit=1&keysOnly=true${more}`)).json<HistoryAnswer>()
      for (const { modRevision, value } of page.items) {
        paged.push(modRevision)
        t.equal(value, undefined)
      }
      cursor = page.cursor
    }
    t.strictSame(paged, [last, second + 1, second, first])
  }
  t.match((await api.inject('/history?key=absent')).json(), { items: [] })
  for (const key of strangersToKeys) {
    const answer = await api.inject(`/history?key=${encodeURIComponent(key)}`)
    t.match(answer.json(), { status: 400, code: 'invalid-key' }, key.slice(0, 10))
  }
  for (const url of [
    '/history',
    '/history?key=',
    '/history?key=a&limit=0',
    '/history?key=a&cursor=x',
    '/history?key=a&x=1',
  ])
    t.equal((await api.inject(url)).statusCode, 400, url)
})

t.test('/compaction shows, compacts and sets the retention', async (t) => {
  const api = await open(t)
  const first = await put(api, 'a', 'one')
  const second = await put(api, 'a', 'two')
  const before = await status(api)
  t.match(before, { revision: second, changes: 2, retention: KEPT })
  t.ok(before.bytes > 0)
  const idempotent = { 'idempotency-key': 'compact-1' }
  t.match((await change(api, 'POST', { revision: second }, idempotent)).json(), { compactRevision: second, changes: 0 })
  t.match((await change(api, 'POST', { revision: second }, idempotent)).json(), { compactRevision: second })
  t.match((await change(api, 'POST', { revision: first }, idempotent)).json(), { code: 'idempotency-key-reused' })
  t.equal((await change(api, 'POST', { revision: first })).statusCode, 200, 'what is compacted already changes nothing')
  t.equal((await status(api)).compactRevision, second)
  const future = await change(api, 'POST', { revision: second + 1 })
  t.match(future.json(), { status: 400, code: 'future-revision', currentRevision: second })

  const retention = { revisions: 0, ageMs: 60_000, bytes: 65_536 }
  t.match((await change(api, 'PUT', retention, { 'idempotency-key': 'r' })).json(), { retention })
  t.match((await change(api, 'PUT', KEPT, { 'idempotency-key': 'r' })).json(), { code: 'idempotency-key-reused' })
  t.strictSame((await status(api)).retention, retention)
  const third = await put(api, 'a', 'three')
  t.match(await status(api), { compactRevision: third, changes: 0 })
  t.equal((await api.inject('/compaction?revision=1')).statusCode, 400)
})

t.test('a change that was carried out is answered so, even if the node has begun to shut down', async (t) => {
  const api = await open(t)
  const revision = await put(api, 'a', 'one')
  const { keys } = api.services
  keys.status = async () => {
    throw new RequestError('shutting-down', 'this node is shutting down; nothing was done')
  }
  const answer = await change(api, 'POST', { revision })
  t.equal(answer.statusCode, 200)
  t.match(answer.json(), { compactRevision: revision })
})

t.test('bodies of /compaction are checked strictly, and nothing is done', async (t) => {
  const api = await open(t)
  api.services.keys.commands.length = 0
  const compactions = [
    {},
    { revision: 0 },
    { revision: '1' },
    { revision: 1.5 },
    { revision: 1, x: 1 },
    { revision: null },
  ]
  for (const body of compactions) t.equal((await change(api, 'POST', body)).statusCode, 400, JSON.stringify(body))
  const retentions = [
    {},
    { revisions: 1, ageMs: 1_000 },
    { ...KEPT, revisions: -1 },
    { ...KEPT, revisions: limits.historyRevisionsMax + 1 },
    { ...KEPT, ageMs: limits.historyAgeMsMin - 1 },
    { ...KEPT, ageMs: limits.historyAgeMsMax + 1 },
    { ...KEPT, bytes: limits.historyBytesMin - 1 },
    { ...KEPT, bytes: limits.historyBytesMax + 1 },
    { ...KEPT, bytes: '1GiB' },
    { ...KEPT, x: 1 },
  ]
  for (const body of retentions) {
    const refused = await change(api, 'PUT', body)
    t.equal(refused.statusCode, 400, JSON.stringify(body))
    t.ok(refused.json().issues.length > 0)
  }
  t.equal((await change(api, 'PUT', KEPT, { 'if-match': '"1"' })).statusCode, 400)
  t.strictSame(api.services.keys.commands, [])
})

t.test('before every member knows history, there is none, and it says so', async (t) => {
  const api = await open(t, null)
  const revision = await put(api, 'a', 'one')
  t.strictSame(await status(api), { compactRevision: revision, revision, changes: 0, bytes: 0, retention: null })
})

t.test(
  'the pages of a listing show one revision, or none; without history they go on with what is there',
  async (t) => {
    const { c, leader } = await formed(t, [1], { historyRetention: KEPT, featureLevelMax: 1 })
    await c.until('the level', () => c.at(leader).node.replica.applier.level === 1)
    const ignore = (): void => {}
    const options = { now: () => c.clock.now(), onUnexpected: ignore, onFatal: ignore, onConnectionsRefused: ignore }
    const services = {
      ...c.at(leader).node.services,
      valueBytesMax: 1024,
      logLinesDropped: () => 0,
      diagnostics: { settings: [], log: { lines: [], forgotten: 0 } },
      certificates: () => [],
    }
    const app = buildApp(options, services)
    await app.ready()
    t.teardown(() => app.close())
    const client = c.on(leader)
    const page = async (more: string) => (await app.inject(`/kv?limit=2${more}`)).json()
    const values = ({ items }: { items: { key: string; value: string }[] }) =>
      items.map(({ key, value }) => `${key}${value}`)
    for (const name of ['a', 'b', 'c', 'd', 'e']) await client.put(name, '1')
    const first = await page('')
    for (const name of ['a', 'c', 'd', 'cc']) await client.put(name, '2')
    await client.delete('e')
    const second = await page(`&cursor=${first.cursor}`)
    t.strictSame(
      [values(first), values(second)],
      [
        ['a1', 'b1'],
        ['c1', 'd1'],
      ],
    )
    t.equal(second.revision, first.revision)
    t.strictSame(values(await page(`&cursor=${second.cursor}`)), ['e1'])
    t.strictSame(values(await page(`&cursor=${second.cursor}&revision=${first.revision}`)), ['e1'])
    t.match(await page(`&cursor=${second.cursor}&revision=1`), { status: 400 })
    t.strictSame(values(await page(`&cursor=${second.cursor}&minRevision=${first.revision}`)), ['e1'])
    const later = await page(`&cursor=${second.cursor}&minRevision=${first.revision + 1}`)
    t.match(later, { status: 400, issues: [{ path: 'query/minRevision' }] }, 'no page goes beyond the first')
    const compact = await app.inject({
      method: 'POST',
      url: '/compaction',
      payload: { revision: first.revision + 1 },
    })
    t.equal(compact.statusCode, 200, compact.body)
    t.match(await page(`&cursor=${second.cursor}`), {
      status: 410,
      code: 'compacted',
      compactRevision: first.revision + 1,
    })

    const kept = await page('')
    const off = await app.inject({ method: 'PUT', url: '/compaction', payload: { ...KEPT, revisions: 0 } })
    t.equal(off.statusCode, 200, off.body)
    await client.put('d', '3')
    t.match(
      await page(`&cursor=${kept.cursor}`),
      { status: 410 },
      'a listing that was begun with history is never a mixture',
    )
    const plain = await page('')
    await client.put('d', '4')
    t.strictSame(values(await page(`&cursor=${plain.cursor}`)), ['c2', 'cc2'])
  },
)
