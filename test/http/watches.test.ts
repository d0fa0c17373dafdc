import t from 'tap'
import { serverSentEvents } from '../../src/http/watches/event-format.ts'
import { EventTexts } from '../../src/http/watches/event-texts.ts'
import { encodeRecord, type Change, type Key } from '../../src/kv/index.ts'
import { RequestError } from '../../src/lib/errors.ts'
import { limits } from '../../src/limits.ts'
import { openCheckedApi, type CheckedApi, type CheckedApiOptions } from '../support/checked-api.ts'
import type { MemoryServices } from '../support/memory-services.ts'
import { answerIn, eventually, listen, RawConnection } from '../support/raw-client.ts'

interface Event {
  readonly id?: string
  readonly event?: string
  readonly data: Readonly<Record<string, unknown>>
}

/** The events of a stream as a browser reads them; comments are left out. */
function eventsIn(text: string): Event[] {
  return text
    .split('\n\n')
    .filter((block) => block !== '' && !block.startsWith(':'))
    .map((block) => {
      const fields = block
        .split('\n')
        .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)])
      const { data = '', ...rest } = Object.fromEntries(fields) as { id?: string; event?: string; data?: string }
      return { ...rest, data: JSON.parse(data) as Event['data'] }
    })
}

function linesIn(text: string): Readonly<Record<string, unknown>>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

const STOPPING = new RequestError('shutting-down', 'this node is shutting down; ask another one')

/** The whole answer to a watch that is ended when all its changes were told. */
async function watched(api: CheckedApi, url: string, headers: Record<string, string> = {}): Promise<string> {
  const { hub } = api.services.watches
  const answer = api.inject({ url, headers })
  await eventually(() => hub.view().watchers === 1 && hub.view().behind === 0, 'the watch is live')
  let sent = -1
  await eventually(() => {
    const isQuiet = hub.view().changesSent === sent
    sent = hub.view().changesSent
    return isQuiet
  }, 'all is told')
  hub.abandon(STOPPING)
  return (await answer).body
}

async function put(api: CheckedApi, key: string, value: string): Promise<void> {
  await api.inject({ method: 'PUT', url: `/kv?key=${encodeURIComponent(key)}`, body: value })
}

async function remove(api: CheckedApi, key: string): Promise<void> {
  await api.inject({ method: 'DELETE', url: `/kv?key=${encodeURIComponent(key)}` })
}

/** Revisions 1 to 6: two puts, an overwrite, a deletion, a transaction over three keys, and a value that is not text. */
async function openStory(t: { teardown: (close: () => Promise<unknown>) => void }, options: CheckedApiOptions = {}) {
  const api = await openCheckedApi(t, options)
  await put(api, 'a', 'one')
  await put(api, 'b/1', 'x')
  await put(api, 'a', 'two')
  await remove(api, 'a')
  const success = ['b/1', 'b/2', 'c'].map((key) => ({ put: { key, value: `${key}!` } }))
  await api.inject({ method: 'POST', url: '/txn', payload: { success } })
  await api.app.inject({ method: 'PUT', url: '/kv/d', payload: Buffer.from([0xff, 0]) })
  return api
}

t.test('Server-Sent Events: the revision as id, what happened, and the record', async (t) => {
  const api = await openStory(t)
  const events = eventsIn(await watched(api, '/watch?since=0'))
  t.same(events.slice(0, 4), [
    {
      id: '1',
      event: 'put',
      data: { key: 'a', value: 'one', createRevision: 1, modRevision: 1, version: 1, lease: 0 },
    },
    {
      id: '2',
      event: 'put',
      data: { key: 'b/1', value: 'x', createRevision: 2, modRevision: 2, version: 1, lease: 0 },
    },
    {
      id: '3',
      event: 'put',
      data: { key: 'a', value: 'two', createRevision: 1, modRevision: 3, version: 2, lease: 0 },
    },
    { id: '4', event: 'delete', data: { key: 'a', modRevision: 4 } },
  ])
  t.match(events.slice(7), [
    { id: '6', event: 'put', data: { key: 'd', valueBase64: '/wA=' } },
    { id: '6', event: 'progress', data: { revision: 6 } },
    { event: 'error', data: { code: 'shutting-down', retryable: true, status: 503 } },
  ])
  t.equal(events.length, 10)
  t.notOk('id' in (events[9] ?? {}), 'the end of a watch moves no client on')
})

t.test('only the last event of a revision has its id, so that a client that was cut off misses nothing', async (t) => {
  const api = await openStory(t)
  const events = eventsIn(await watched(api, '/watch?since=4'))
  t.match(events.slice(0, 3), [
    { event: 'put', data: { key: 'b/1', modRevision: 5 } },
    { event: 'put', data: { key: 'b/2', modRevision: 5 } },
    { id: '5', event: 'put', data: { key: 'c', modRevision: 5 } },
  ])
  t.notOk('id' in (events[0] ?? {}))
  t.notOk('id' in (events[1] ?? {}))
  t.match(eventsIn(await watched(api, '/watch?since=4&prefix=b/')).slice(0, 2), [{ data: { key: 'b/1' } }, { id: '5' }])
})

t.test('NDJSON: an event a line, with the same members', async (t) => {
  const api = await openStory(t)
  const headers = { accept: 'application/x-ndjson' }
  const lines = linesIn(await watched(api, '/watch?since=3&prev=true', headers))
  const record = { createRevision: 1, modRevision: 3, version: 2, lease: 0 }
  t.same(lines[0], {
    type: 'delete',
    revision: 4,
    key: 'a',
    modRevision: 4,
    prev: { key: 'a', value: 'two', ...record },
  })
  t.match(lines.slice(1), [
    { type: 'put', revision: 5, more: true, key: 'b/1', value: 'b/1!', prev: { value: 'x', version: 1 } },
    { type: 'put', revision: 5, more: true, key: 'b/2', prev: null },
    { type: 'put', revision: 5, key: 'c', prev: null },
    { type: 'put', revision: 6, valueBase64: '/wA=' },
    { type: 'progress', revision: 6 },
    { type: 'error', problem: { code: 'shutting-down' } },
  ])
  t.notOk('more' in (lines[3] ?? {}), 'the revision is whole')
})

t.test('what is watched: a key, a prefix, a range, all; puts or deletions', async (t) => {
  const api = await openStory(t)
  const keysOf = async (query: string): Promise<unknown[]> =>
    eventsIn(await watched(api, `/watch?since=0&${query}`))
      .filter(({ event }) => event === 'put' || event === 'delete')
      .map(({ data }) => data['key'])
  t.same(await keysOf('key=a'), ['a', 'a', 'a'])
  t.same(await keysOf('prefix=b'), ['b/1', 'b/1', 'b/2'])
  t.same(await keysOf('prefix='), await keysOf('timeout=5s'), 'the empty prefix is everything')
  t.same(await keysOf('start=b&end=c'), ['b/1', 'b/1', 'b/2'])
  t.same(await keysOf('start=c'), ['c', 'd'])
  t.same(await keysOf('end=b'), ['a', 'a', 'a'])
  t.same(await keysOf('key=a&types=delete'), ['a'])
  t.same(await keysOf('key=a&types=put'), ['a', 'a'])
  t.same(await keysOf('types=put,delete&end=b'), ['a', 'a', 'a'])
  for (const key of ['__proto__', 'constructor', '🦊', '/', '//a//', 'a%2F?#+ b', 'x'.repeat(limits.keyBytesMax)]) {
    const since = api.services.watches.feed.revision
    await put(api, key, 'v')
    const events = eventsIn(await watched(api, `/watch?since=${since}&key=${encodeURIComponent(key)}`))
    t.match(events[0], { event: 'put', data: { key } })
  }
})

t.test('the text of a large change is in memory once, for all who are told of it', async (t) => {
  const texts = new EventTexts(800)
  const row = (bytes: number): Uint8Array =>
    encodeRecord({ createRevision: 1, modRevision: 2, version: 2, lease: 0, value: Buffer.alloc(bytes, 'x') })
  const told = (change: Change, wantsPrevious = false) =>
    texts.of(serverSentEvents, { revision: 2, change, isLast: true, wantsPrevious })
  for (const bytes of [1, 100_000]) {
    const change: Change = { kind: 'put', key: 'k' as Key, row: row(bytes), previousRow: null, previousRevision: 0 }
    const first = told(change)
    t.match(first.toString(), /^id: 2\nevent: put\ndata: /)
    t.equal(told(change).buffer, first.buffer)
    t.ok(told(change).equals(first))
    const other = told(change, true)
    t.match(other.toString(), /"prev":null/, 'in each of the ways in which it is told')
    t.notOk(other.equals(first))
  }
})

t.test('values: empty, the largest, and texts longer than what is sent at a time', async (t) => {
  const api = await openCheckedApi(t, { valueBytesMax: 300_000 })
  for (const value of ['', 'x'.repeat(300_000), '\n\r\n data: "'.repeat(20_000)]) await put(api, 'k', value)
  const events = eventsIn(await watched(api, '/watch?since=0&prev=true'))
  t.same(
    events.slice(0, 3).map(({ data }) => String(data['value']).length),
    [0, 300_000, 220_000],
  )
})

t.test('bad requests are told what is wrong', async (t) => {
  const api = await openStory(t)
  const cases: readonly (readonly [query: string, path: string, headers?: Record<string, string>])[] = [
    ['key=a&prefix=b', 'query/key'],
    ['key=a&end=b', 'query/key'],
    ['prefix=a&start=b', 'query/prefix'],
    ['start=b&end=a', 'query/start'],
    ['since=-1', 'query/since'],
    ['since=1.5', 'query/since'],
    ['since=9007199254740993', 'query/since'],
    ['since=', 'query/since'],
    ['since=1&since=1', 'query/since'],
    ['prev=1', 'query/prev'],
    ['types=', 'query/types'],
    ['types=put,put', 'query/types'],
    ['types=put,patch', 'query/types'],
    ['timeout=61s', 'query/timeout'],
    ['follow=true', 'query/follow'],
    ['', 'header/last-event-id', { 'last-event-id': 'x' }],
    ['', 'header/last-event-id', { 'last-event-id': '' }],
    ['', 'header/last-event-id', { 'last-event-id': '-1' }],
    ['since=2', 'header/last-event-id', { 'last-event-id': '3' }],
    ['', 'header/if-none-match', { 'if-none-match': '"1"' }],
  ]
  for (const [query, path, headers = {}] of cases) {
    const answer = await api.inject({ url: `/watch?${query}`, headers })
    t.equal(answer.statusCode, 400, query)
    t.equal(answer.json<{ issues: { path: string }[] }>().issues[0]?.path, path)
  }
  t.match((await api.inject('/watch?key=')).json(), { status: 400, code: 'invalid-key' })
  t.equal((await api.inject({ method: 'HEAD', url: '/watch' })).statusCode, 405)
  t.equal((await api.inject({ method: 'POST', url: '/watch' })).statusCode, 405)
  const future = await api.inject('/watch?since=99')
  t.match(future.json(), { status: 400, code: 'future-revision' })
  t.match(
    future.headers,
    { 'quorate-revision': /^\d+$/, 'quorate-served-by': '1' },
    'it tells the state that decided it',
  )
  api.services.watches.feed.compactedRevision = 3
  t.match((await api.inject('/watch?since=2')).json(), { status: 410, code: 'compacted', compactRevision: 3 })
  t.equal(api.services.watches.hub.view().watchers, 0)
})

t.test('redirect=true sends a watch to the leader, unless its revision says where it begins', async (t) => {
  const api = await openStory(t)
  api.services.cluster.known = { id: 2, raft: '127.0.0.1:7102', api: 'http://127.0.0.1:7002' }
  const url = '/watch?prefix=a%2F&redirect=true'
  const sent = await api.inject(url)
  t.equal(sent.statusCode, 307)
  t.equal(sent.headers['location'], `http://127.0.0.1:7002${url}`)
  t.equal(sent.headers['quorate-leader'], '2')
  t.match((await api.inject('/watch?redirect=yes')).json(), {
    status: 400,
    issues: [{ path: 'query/redirect', message: 'must be true or false' }],
  })
  t.equal((await api.inject('/watch?redirect=true&since=99')).statusCode, 400, 'judged here')
  t.equal((await api.inject({ url: '/watch?redirect=true', headers: { 'last-event-id': '99' } })).statusCode, 400)
  t.equal(api.services.watches.hub.view().watchers, 0)
})

t.test('Last-Event-ID resumes, with since or without it', async (t) => {
  const api = await openStory(t)
  const first = async (query: string, id: string) =>
    eventsIn(await watched(api, `/watch${query}`, { 'last-event-id': id }))[0]
  t.match(await first('', '3'), { id: '4', event: 'delete' })
  t.match(await first('?since=3', '3'), { id: '4', event: 'delete' })
  t.match(await first('', '6'), { id: '6', event: 'progress' })
})

async function openRaw(t: { teardown: (close: () => Promise<unknown>) => void }, options: CheckedApiOptions = {}) {
  const api = await openCheckedApi(t, options)
  const port = await listen(api.app)
  const open = (query = '', headers = ''): RawConnection => {
    const connection = new RawConnection(port)
    t.teardown(async () => connection.destroy())
    connection.send(`GET /watch${query} HTTP/1.1\r\nhost: x\r\n${headers}\r\n`)
    return connection
  }
  return { ...api, api, open }
}

function untilClosed({ app }: CheckedApi, what: string): Promise<void> {
  let open = 1
  return eventually(() => {
    app.server.getConnections((_error, count) => (open = count))
    return open === 0
  }, what)
}

/** What has arrived of a body in chunks. */
function bodyIn(text: string): string {
  let body = ''
  for (let at = text.indexOf('\r\n\r\n') + 4; at < text.length;) {
    const end = text.indexOf('\r\n', at)
    const length = Number.parseInt(text.slice(at, end), 16)
    body += text.slice(end + 2, end + 2 + length)
    at = end + length + 4
  }
  return body
}

function watchers({ watches }: MemoryServices): number {
  return watches.hub.view().watchers
}

t.test('a watch begins at the present, and says where that is before anything happens', async (t) => {
  const { api, open, services } = await openRaw(t)
  await put(api, 'a', '1')
  const connection = open()
  const { status, headers, body } = answerIn(await connection.until((text) => text.includes('progress')))
  t.equal(status, 200)
  t.match(Object.fromEntries(headers), {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'quorate-revision': '1',
    'quorate-served-by': '1',
    'quorate-leader': '1',
    'quorate-consistency': 'linearizable',
  })
  t.match(body, 'id: 1\nevent: progress\ndata: {"revision":1}\n\n')
  t.equal(services.watches.asked[0]?.since, null)
  await put(api, 'a', '2')
  await connection.until((text) => text.includes('"value":"2"'))
  connection.destroy()
  await eventually(() => watchers(services) === 0, 'the watch is closed when the client leaves')
})

t.test('the headers come at once, though nothing of the past is read yet', async (t) => {
  const { api, open, services } = await openRaw(t)
  let letGo = (): void => {}
  await put(api, 'a', '1')
  services.watches.feed.beforeAnswer = () => new Promise<void>((resolve) => (letGo = resolve))
  const connection = open('?since=0')
  const text = await connection.until((so) => so.includes('\r\n\r\n'))
  t.match(answerIn(text), { status: 200 })
  services.watches.feed.beforeAnswer = async () => {}
  letGo()
  await connection.until((so) => so.includes('progress'))
})

t.test('a quiet stream carries comments', async (t) => {
  const { open } = await openRaw(t, { watches: { commentMs: 60 } })
  const connection = open()
  const text = await connection.until((so) => so.split('\n:\n\n').length > 3)
  t.match(eventsIn(bodyIn(text)), [{ event: 'progress' }])
})

t.test('a reader that takes nothing is told why its watch ended, when it reads again', async (t) => {
  const { api, open, services } = await openRaw(t, {
    valueBytesMax: 1_000_000,
    watches: { stallMsMax: 3_000 },
    // Any other answer would be cut off by then; after it, the reader has this long to go on.
    server: { answerStallTimeoutMs: 1_500 },
  })
  const slow = open()
  const other = open()
  await slow.until((text) => text.includes('progress'))
  await other.until((text) => text.includes('progress'))
  slow.socket.pause()
  for (let n = 0; n < 20; n++) await put(api, 'k', 'x'.repeat(1_000_000))
  await eventually(() => watchers(services) === 1, 'the slow one is closed')
  slow.socket.resume()
  const events = eventsIn(bodyIn(await slow.until((so) => so.includes('event: error') && so.endsWith('\n\r\n'))))
  t.match(events.at(-1), { event: 'error', data: { code: 'too-slow' } })
  const sizes = new Set(events.slice(1, -1).map(({ data }) => String(data['value']).length))
  t.same([...sizes], [1_000_000], 'what came before it is whole')
  t.equal(Number(events.at(-2)?.id), events.length - 2)
  await other.until((so) => so.includes('id: 20\n'))
})

t.test('a reader that is slow, but reads, stays', async (t) => {
  const { api, open, services } = await openRaw(t, {
    valueBytesMax: 1_000_000,
    watches: { stallMsMax: 1_500 },
    server: { answerStallTimeoutMs: 100 },
  })
  const slow = open()
  await slow.until((text) => text.includes('progress'))
  slow.socket.pause()
  for (let n = 0; n < 12; n++) await put(api, 'k', 'x'.repeat(1_000_000))
  const reading = setInterval(() => {
    slow.socket.resume()
    setImmediate(() => slow.socket.pause())
  }, 20)
  t.teardown(() => clearInterval(reading))
  const begun = Date.now()
  await eventually(() => Date.now() - begun > 2_500, 'longer than a reader may take nothing')
  t.equal(watchers(services), 1)
  clearInterval(reading)
  slow.socket.resume()
  await slow.until((so) => so.includes('id: 12\n'))
})

t.test('when memory is short, readers that take nothing are cut off early', async (t) => {
  const { api, open, services } = await openRaw(t, {
    valueBytesMax: 1_000_000,
    watches: { sentBytesMax: 50_000, commentMs: 150 },
  })
  const slow = open()
  await slow.until((text) => text.includes('progress'))
  slow.socket.pause()
  for (let n = 0; n < 20; n++) await put(api, 'k', 'x'.repeat(1_000_000))
  await eventually(() => watchers(services) === 0, 'it is closed long before the usual time')
})

t.test('as many watches as the node serves; one more is refused, and let in when another leaves', async (t) => {
  const { open, services } = await openRaw(t)
  services.watches.limit({ watchersMax: 2 })
  const first = open()
  await first.until((text) => text.includes('progress'))
  await open('?key=a').until((text) => text.includes('progress'))
  const refused = answerIn(await open('?key=b').until((text) => text.includes('}')))
  t.equal(refused.status, 429)
  t.match(JSON.parse(refused.body), { code: 'overloaded', detail: /2 watches are open/ })
  t.equal(refused.headers.get('retry-after'), '1')
  first.destroy()
  await eventually(() => watchers(services) === 1, 'there is room')
  await open('?key=b').until((text) => text.includes('progress'))
})

t.test('a watch that cannot go on ends with an event, and its answer is complete', async (t) => {
  const { api, open, services } = await openRaw(t)
  for (let n = 0; n < 10; n++) await put(api, 'a', String(n))
  let letGo = (): void => {}
  services.watches.feed.beforeAnswer = () => new Promise<void>((resolve) => (letGo = resolve))
  const connection = open('?since=2', 'connection: close\r\n')
  await connection.until((so) => so.includes('\r\n\r\n'))
  services.watches.feed.compactedRevision = 5
  services.watches.feed.beforeAnswer = async () => {}
  letGo()
  const text = await connection.untilClosed()
  t.match(text, /event: error\ndata: \{.*"code":"compacted".*"compactRevision":5/)
  t.ok(text.endsWith('\r\n0\r\n\r\n'))
  t.equal(watchers(services), 0)
})

t.test('when memory is short, a watch that has ended gives it back early', async (t) => {
  const { api, open, services } = await openRaw(t, {
    valueBytesMax: 1_000_000,
    watches: { sentBytesMax: 50_000, commentMs: 150 },
    server: { answerStallTimeoutMs: 60_000 },
  })
  const stalled = open()
  await stalled.until((text) => text.includes('progress'))
  stalled.socket.pause()
  for (let n = 0; n < 12; n++) await put(api, 'k', 'x'.repeat(1_000_000))
  services.watches.hub.abandon(STOPPING)
  await untilClosed(api, 'long before its time')
})

t.test('a watch that fails for a reason that nobody expects is cut off', async (t) => {
  const { open, services } = await openRaw(t)
  services.watches.failure = new Error('planted')
  const answer = answerIn(await open().until((text) => text.includes('}')))
  t.equal(answer.status, 500)
  t.equal(watchers(services), 0)
})
