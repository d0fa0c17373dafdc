import t from 'tap'
import { problemOf } from '../../src/http/protocol/problem.ts'
import { failures, RequestError, type ErrorCode, type Failure } from '../../src/lib/errors.ts'
import { limits } from '../../src/limits.ts'
import { watchStreamsDefaults } from '../../src/http/watches/watch-streams.ts'
import { openCheckedApi, type CheckedApi, type Document } from '../support/checked-api.ts'
import { sampleOf, type Sample } from '../support/sample-requests.ts'

/* What the contract says of every operation at once, asked of each operation of the document. */

interface Asked {
  readonly name: string
  readonly sample: Sample
  readonly parameters: readonly string[]
  readonly takesJson: boolean
}

/** Every operation, with a request that is in order. The one that makes the first token comes last: from then on all need one. */
function operationsOf({ paths }: Document): readonly Asked[] {
  const all = Object.entries(paths).flatMap(([pattern, methods]) =>
    Object.entries(methods).map(([method, { parameters = [], requestBody }]) => ({
      name: `${method.toUpperCase()} ${pattern}`,
      sample: sampleOf(method.toUpperCase(), pattern),
      parameters: parameters.filter((one) => one.in === 'query').map((one) => one.name),
      takesJson: 'application/json' in (requestBody?.content ?? {}),
    })),
  )
  const isLast = ({ name }: Asked): number => Number(name === 'POST /auth/bootstrap')
  return all.sort((one, other) => isLast(one) - isLast(other))
}

function withQuery({ sample }: Asked, more: string): Sample {
  return { ...sample, url: `${sample.url}${sample.url.includes('?') ? '&' : '?'}${more}` }
}

interface Refused {
  readonly status: number
  readonly code: string
  readonly issues?: readonly { readonly path: string; readonly message: string }[]
}

/** The issues of a request that has to be refused as invalid. HEAD has no body that would name them. */
async function issuesOf(api: CheckedApi, sample: Sample): Promise<Refused['issues'] | null> {
  const answer = await api.inject(sample)
  if (answer.statusCode !== 400) throw new Error(`${sample.method} ${sample.url}: ${answer.statusCode} ${answer.body}`)
  return sample.method === 'HEAD' ? null : (answer.json<Refused>().issues ?? [])
}

t.test('every operation refuses parameters that it does not know or that come twice, and does nothing', async (t) => {
  const api = await openCheckedApi(t)
  for (const asked of operationsOf(api.document)) {
    for (const name of ['nonsense', '__proto__', 'constructor', 'Timeout']) {
      const issues = await issuesOf(api, withQuery(asked, `${name}=1`))
      if (issues !== null) t.match(issues, [{ path: `query/${name}`, message: /is unknown; expected/ }], asked.name)
    }
    for (const name of asked.parameters) {
      const issues = await issuesOf(api, withQuery(asked, `${name}=1&${name}=1`))
      if (issues !== null) t.match(issues, [{ path: `query/${name}`, message: 'is given twice' }], asked.name)
    }
  }
  t.same(api.services.keys.commands, [])
  t.same(api.services.cluster.calls, [])
})

const place = { raft: '127.0.0.1:9', api: 'http://127.0.0.1:10' }
const flags = { retain: false, allowLagging: false, force: false }
const lock = { ttlMs: 60_000, waitMs: 1_000, owner: 'me' }
const operations = [
  { put: { key: 'a', value: 'v', lease: 7, prev: true } },
  { get: { key: 'b' } },
  { delete: { key: 'c', prev: false } },
  { delete: { prefix: 'd' } },
  { list: { start: 'e', end: 'f', limit: 1, keysOnly: true } },
]

/** Bodies with all that they may have. */
const FULL: Readonly<Record<string, object>> = {
  'POST /txn': {
    compare: [
      { key: 'a', target: 'value', op: '=', value: 'v' },
      { key: 'a', target: 'version', op: '<', value: 1 },
    ],
    success: operations,
    failure: operations,
  },
  'POST /leases': { ttlMs: 60_000, id: 7 },
  'POST /locks': lock,
  'POST /locks/{name}': lock,
  'POST /compaction': { revision: 1 },
  'PUT /compaction': { revisions: 1_000, ageMs: 60_000, bytes: 1_000_000 },
  'POST /cluster/initialize': { members: [{ id: 1, ...place }] },
  'POST /cluster/leader': { id: 2 },
  'PUT /cluster/membership': { voters: [1], ...flags },
  'PATCH /cluster/membership': { add: [2], remove: [3], ...flags },
  'POST /cluster/learners': { id: 9, ...place, wait: true },
  'PUT /cluster/nodes/{id}': { ...place, force: false },
  'POST /auth/bootstrap': {
    name: 'n',
    secret: 's',
    tokenSecret: `quorate_${'0123456789abcdef'.repeat(3).slice(0, 43)}`,
  },
  'PUT /auth/roles/{name}': {
    grants: [
      { access: 'read', key: 'k' },
      { access: 'write', start: 'a', end: 'b' },
    ],
    rights: ['cluster:read'],
  },
  'POST /auth/tokens': {
    name: 'n',
    roles: ['r'],
    ttlMs: 60_000,
    requestsPerSecond: 1,
    bytesPerSecond: 1,
    certificateName: 'c',
  },
}

/** The same of another type, such that a conversion would give it back. */
function otherTypeOf(value: unknown): unknown {
  switch (typeof value) {
    case 'number':
      return String(value)
    case 'boolean':
      return Number(value)
    case 'string':
      return [value]
    default:
      return Array.isArray(value) ? { 0: value[0] as unknown } : [value]
  }
}

interface Wrong {
  readonly what: string
  readonly body: unknown
}

/** Every body that differs from `value` in one place: a field more, or a value of another type. */
function wrongOnes(value: unknown, at = 'body'): readonly Wrong[] {
  const here: Wrong[] = [{ what: `${at} of another type`, body: otherTypeOf(value) }]
  if (at !== 'body') here.push({ what: `${at} null`, body: null })
  if (typeof value !== 'object' || value === null) return here
  if (!Array.isArray(value)) {
    for (const name of ['nonsense', 'constructor', 'toString'])
      here.push({ what: `${at}/${name} unknown`, body: { ...value, [name]: 1 } })
  }
  const inside = Object.entries(value).flatMap(([name, part]: [string, unknown]) =>
    wrongOnes(part, `${at}/${name}`).map(({ what, body }) => ({ what, body: replaced(value, name, body) })),
  )
  return [...here, ...inside]
}

function replaced(whole: object, name: string, by: unknown): unknown {
  return Array.isArray(whole)
    ? whole.map((part: unknown, at) => (String(at) === name ? by : part))
    : { ...whole, [name]: by }
}

t.test('every body in JSON is taken as it is: no unknown field, no conversion, no null', async (t) => {
  const api = await openCheckedApi(t)
  const taking = operationsOf(api.document).filter(({ takesJson }) => takesJson)
  t.same(taking.map(({ name }) => name).sort(), Object.keys(FULL).sort(), 'the table has all of them')
  for (const { name, sample } of taking) {
    const headers = { 'content-type': 'application/json' }
    for (const { what, body } of wrongOnes(FULL[name])) {
      const issues = await issuesOf(api, { ...sample, headers, payload: JSON.stringify(body) })
      t.ok(issues?.[0]?.path.startsWith('body'), `${name}: ${what}`)
    }
    for (const payload of ['null', '1', '"x"', 'true', '[]', '{', '{}x', '{"a":1,"a":1}', '\u0000'])
      t.match(await issuesOf(api, { ...sample, headers, payload }), [{ path: /^body/ }], `${name}: ${payload}`)
  }
  t.same(api.services.keys.commands, [])
  t.same(api.services.cluster.calls, [])
})

t.test('every operation that may wait has a deadline: 10 s, or what is asked for, up to 60 s', async (t) => {
  const api = await openCheckedApi(t)
  const withoutTime: string[] = []
  for (const asked of operationsOf(api.document)) {
    if (!asked.parameters.includes('timeout')) {
      withoutTime.push(asked.name)
      continue
    }
    for (const wrong of ['0', '61', '61s', '60001ms', '2m', '1h', '1d', '-1s', '', '1e1', '10%20s', 'x'])
      await issuesOf(api, withQuery(asked, `timeout=${wrong}`))
  }
  const atOnce = ['GET /', 'GET /livez', 'GET /openapi.json', 'GET /readyz', 'GET /version']
  t.same(withoutTime.sort(), atOnce, 'what does not wait takes no time')
  const { keys } = api.services
  const times: readonly (readonly [text: string, ms: number])[] = [
    ['500ms', 500],
    ['30s', 30_000],
    ['1m', 60_000],
    ['7', 7_000],
    ['1.5s', 1_500],
  ]
  for (const [text, ms] of times) {
    await api.inject(`/kv/a?timeout=${text}`)
    t.equal(keys.reads.at(-1)?.timeoutMs, ms, text)
    await api.inject({ method: 'PUT', url: `/kv/a?timeout=${text}` })
    t.equal(keys.commands.at(-1)?.timeoutMs, ms, text)
  }
  await api.inject({ method: 'PUT', url: '/kv/a?ttl=5m' })
  t.match(keys.commands.at(-1), { command: { lease: { ttlMs: 300_000 } }, timeoutMs: 10_000 })
})

t.test(
  'every answer to a request for data says which state it reflects, who gave it, who leads, and how sure that is',
  async (t) => {
    const api = await openCheckedApi(t)
    await api.inject({ method: 'PUT', url: '/kv/a/k', payload: 'v' })
    const told = ['quorate-revision', 'quorate-served-by', 'quorate-leader', 'quorate-consistency']
    const asks = operationsOf(api.document).filter(({ name }) => {
      const [method = '', pattern = ''] = name.split(' ')
      const { responses } = api.document.paths[pattern]?.[method.toLowerCase()] ?? {}
      return Object.values(responses ?? {}).some(({ headers = {} }) => 'Quorate-Served-By' in headers)
    })
    t.ok(asks.length > 20)
    for (const { name, sample } of asks.filter((one) => one.name !== 'GET /watch')) {
      const answer = await api.inject(sample)
      for (const header of told) t.ok(header in answer.headers, `${name}: ${answer.statusCode} with ${header}`)
      api.services.keys.leader = null
      api.services.cluster.known = null
      const leaderless = await api.inject(sample)
      t.notOk('quorate-leader' in leaderless.headers, `${name}: no leader is known`)
      for (const header of told.filter((one) => one !== 'quorate-leader')) t.ok(header in leaderless.headers, name)
      api.services.keys.leader = 1
      api.services.cluster.known = api.services.cluster.self
    }
  },
)

t.test('HEAD says what GET would, without the body', async (t) => {
  const api = await openCheckedApi(t)
  await api.inject({ method: 'PUT', url: '/kv/a/k', payload: 'value' })
  await api.inject({ method: 'POST', url: '/cluster/initialize' })
  const without: string[] = []
  for (const { name, sample } of operationsOf(api.document)) {
    const [method, pattern = ''] = name.split(' ')
    if (method !== 'GET') continue
    if (pattern === '/watch' || pattern === '/cluster/snapshot') {
      t.equal((await api.app.inject({ ...sample, method: 'HEAD' })).statusCode, 405, name)
      without.push(pattern)
      continue
    }
    // `HEAD /kv` is about a single key.
    if (pattern === '/kv') continue
    const get = await api.inject(sample)
    const head = await api.app.inject({ ...sample, method: 'HEAD' })
    t.equal(head.statusCode, get.statusCode, name)
    // Node leaves out the value of a key (test/http/sockets.test.ts).
    if (pattern !== '/kv/{key}') t.equal(head.rawPayload.length, 0, name)
    const { date: _date, 'content-length': length, ...of } = get.headers
    const { date: _other, 'content-length': headLength, ...same } = head.headers
    t.strictSame(same, of, name)
    if (!VARYING.has(pattern)) t.equal(headLength, length, name)
  }
  t.same(without, ['/watch', '/cluster/snapshot'])
})

/** What they tell changes from one request to the next. */
const VARYING = new Set(['/cluster', '/metrics'])

/** The table of the contract. Codes may be added, and none of these may change. */
const CODES: Readonly<Record<number, readonly ErrorCode[]>> = {
  400: ['invalid-request', 'invalid-key', 'value-encoding', 'future-revision'],
  401: ['unauthenticated'],
  403: ['forbidden'],
  404: ['key-not-found', 'lease-not-found', 'learner-not-found', 'node-not-found', 'route-not-found'],
  409: [
    'already-initialized',
    'not-initialized',
    'member-mismatch',
    'peer-disagrees',
    'membership-change-in-progress',
    'address-conflict',
    'learner-lagging',
    'lease-exists',
    'lock-held',
  ],
  410: ['compacted'],
  412: ['precondition-failed'],
  413: ['value-too-large', 'request-too-large'],
  415: ['unsupported-media-type'],
  422: ['not-in-members', 'unknown-voter', 'empty-membership', 'quorum-at-risk', 'idempotency-key-reused'],
  429: ['overloaded'],
  503: ['no-leader', 'not-ready', 'transferring', 'removed', 'shutting-down', 'read-timeout'],
  504: ['outcome-unknown'],
}

t.test('codes, statuses and bounds are those that clients depend on', async (t) => {
  const table: Readonly<Record<ErrorCode, Failure>> = failures
  for (const [status, codes] of Object.entries(CODES)) {
    for (const code of codes) t.equal(table[code].status, Number(status), code)
  }
  for (const code of Object.keys(table) as ErrorCode[]) {
    const { status, title, retryable, ambiguous } = table[code]
    const words = { type: `urn:quorate:error:${code}`, title, status, detail: 'why', code, retryable, ambiguous }
    const problem = JSON.stringify(problemOf(new RequestError(code, 'why')))
    t.ok(problem.startsWith(JSON.stringify(words).slice(0, -1)), `${code}: ${problem}`)
  }
  t.match(problemOf(new RequestError('no-leader', 'why')), { leader: null })
  const ambiguous = Object.entries(table).filter(([, failure]) => failure.ambiguous)
  t.same(
    ambiguous.map(([code]) => code),
    ['internal', 'outcome-unknown'],
  )
  t.match(limits, {
    keyBytesMax: 4096,
    valueBytesMaxDefault: 1024 * 1024,
    requestTimeoutMsDefault: 10_000,
    requestTimeoutMsMax: 60_000,
    idempotencyKeyBytesMax: 128,
    listItemsDefault: 100,
    listItemsMax: 1_000,
    transactionComparesMax: 128,
    transactionOperationsMax: 128,
  })
  t.ok(limits.idempotentWritesMax >= 100_000)
  t.equal(watchStreamsDefaults.commentMs, 15_000)
})
