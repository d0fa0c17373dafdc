import t from 'tap'
import { RequestError } from '../../src/lib/errors.ts'
import { limits } from '../../src/limits.ts'
import { openCheckedApi, type CheckedApi } from '../support/checked-api.ts'

const member = (id: number) => ({ id, raft: `127.0.0.1:710${id}`, api: `http://127.0.0.1:700${id}` })
type Method = 'POST' | 'PUT' | 'PATCH'

async function send(api: CheckedApi, method: Method, url: string, body: unknown, headers: Record<string, string> = {}) {
  const payload = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
  return api.inject({ method, url, payload, headers: { 'content-type': 'application/json', ...headers } })
}

async function formed(t: { readonly teardown: (close: () => Promise<unknown>) => void }): Promise<CheckedApi> {
  const api = await openCheckedApi(t)
  await send(api, 'POST', '/cluster/initialize', { members: [member(1), member(2), member(3)] })
  return api
}

t.test('initialize forms a cluster of this node alone, or of the members given', async (t) => {
  for (const headers of [{}, { 'content-type': 'application/json' }]) {
    const api = await openCheckedApi(t)
    const alone = await api.inject({ method: 'POST', url: '/cluster/initialize', headers })
    t.equal(alone.statusCode, 200)
    t.match(alone.json(), { clusterId: String, logId: { term: 0, node: 0, index: 0 }, membership: { configs: [[1]] } })
    t.same(api.services.cluster.calls, [{ members: null, wait: 'appended', timeoutMs: 10_000 }])
    const again = await api.inject({ method: 'POST', url: '/cluster/initialize' })
    t.equal(again.statusCode, 409)
    t.match(again.json(), { code: 'already-initialized', lastLogId: { index: 0 }, vote: { term: 1 }, membership: {} })
  }
  const api = await openCheckedApi(t)
  const members = [member(1), member(2)]
  t.equal((await send(api, 'POST', '/cluster/initialize?wait=committed&timeout=3s', { members })).statusCode, 200)
  t.same(api.services.cluster.calls, [{ members, wait: 'committed', timeoutMs: 3000 }])
})

t.test('initialize refuses what nobody can have meant, and says where it is wrong', async (t) => {
  const api = await openCheckedApi(t)
  const cases: [body: unknown, path: string][] = [
    [{}, 'body'],
    [null, 'body'],
    [[], 'body'],
    ['"text"', 'body'],
    [{ members: [] }, 'body/members'],
    [{ members: 'all' }, 'body/members'],
    [{ members: [member(1)], force: true }, 'body/force'],
    [{ members: [{ ...member(1), id: '1' }] }, 'body/members/0/id'],
    [{ members: [{ ...member(1), id: 0 }] }, 'body/members/0/id'],
    [{ members: [{ ...member(1), id: 2 ** 31 }] }, 'body/members/0/id'],
    [{ members: [{ ...member(1), id: 1.5 }] }, 'body/members/0/id'],
    [{ members: [member(1), { id: 2, raft: '127.0.0.1:7102' }] }, 'body/members/1'],
    [{ members: [{ ...member(1), role: 'voter' }] }, 'body/members/0/role'],
    [{ members: [{ ...member(1), raft: '127.0.0.1' }] }, 'body/members/0/raft'],
    [{ members: [{ ...member(1), raft: 'http://127.0.0.1:1' }] }, 'body/members/0/raft'],
    [{ members: [{ ...member(1), raft: 'user@host:1' }] }, 'body/members/0/raft'],
    [{ members: [{ ...member(1), raft: 'host:0' }] }, 'body/members/0/raft'],
    [{ members: [{ ...member(1), raft: 'host:65536' }] }, 'body/members/0/raft'],
    [{ members: [{ ...member(1), api: 'http://127.0.0.1:7001/' }] }, 'body/members/0/api'],
    [{ members: [{ ...member(1), api: 'ftp://127.0.0.1:7001' }] }, 'body/members/0/api'],
    [{ members: [{ ...member(1), api: 'http://a:1\r\nx: y' }] }, 'body/members/0/api'],
    [{ members: [member(1), member(1)] }, 'body/members/1/id'],
    [{ members: [member(1), { ...member(2), raft: member(1).raft }] }, 'body/members/1/raft'],
    [{ members: [member(1), { ...member(2), api: member(1).api }] }, 'body/members/1/api'],
    [{ members: Array.from({ length: limits.membersMax + 1 }, (_, at) => member(at + 1)) }, 'body/members'],
    ['{"members": [', 'body'],
    ['{"__proto__": {"members": []}}', 'body'],
    ['{"constructor": {"prototype": {}}}', 'body'],
    ['['.repeat(100_000), 'body'],
    [`${'['.repeat(50_000)}${']'.repeat(50_000)}`, 'body'],
    [`{"members": ${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}}`, 'body'],
    [{ members: Array.from({ length: limits.jsonBodyValuesMax }, () => 0) }, 'body'],
  ]
  for (const [body, path] of cases) {
    const response = await send(api, 'POST', '/cluster/initialize', body)
    const shown = JSON.stringify(body).slice(0, 70)
    t.equal(response.statusCode, 400, shown)
    t.match(response.json(), { code: 'invalid-request', issues: [{ path, message: String }] }, shown)
  }
  const worded: [body: unknown, detail: string][] = [
    [{}, 'body lacks members'],
    [{ members: [] }, 'body/members must not be empty'],
    [{ members: 'all' }, 'body/members must be a list'],
    [{ members: [member(1)], force: true }, 'body/force is unknown; expected members'],
    [{ members: [{ ...member(1), role: 'v' }] }, 'body/members/0/role is unknown; expected id, raft, api'],
    [{ members: [{ ...member(1), id: '1' }] }, 'body/members/0/id must be a whole number'],
    [{ members: [{ ...member(1), id: 0 }] }, 'body/members/0/id must be at least 1'],
    [{ members: [{ ...member(1), id: 2 ** 31 }] }, 'body/members/0/id must be at most 2147483647'],
    ['{"__proto__": {}}', 'body holds the name __proto__, or a prototype of a constructor'],
    ['{"members": [', 'body is not valid JSON'],
    [
      `{"members": [${JSON.stringify(member(2))}], "members": [${JSON.stringify(member(1))}]}`,
      'body has an object with the name "members" twice',
    ],
    [
      `{"members": [{"i\\u0064": 2, ${JSON.stringify(member(1)).slice(1)}]}`,
      'body has an object with the name "id" twice',
    ],
    [
      `{"members": [${JSON.stringify(member(1))}], "\\\\\\"": 1, "\\\\\\"" : [{"": 2}]}`,
      'body has an object with the name "\\\\\\"" twice',
    ],
    [
      Buffer.from(JSON.stringify({ members: [{ ...member(1), raft: 'n\xf8de:7101' }] }), 'latin1'),
      'body is not valid UTF-8',
    ],
    [
      { members: [{ ...member(1), raft: 'http://127.0.0.1:1' }] },
      'body/members/0/raft is not of the form HOST:PORT; expected HOST:PORT, such as 127.0.0.1:7101',
    ],
    [
      { members: [{ ...member(1), api: '127.0.0.1:7001' }] },
      'body/members/0/api is not of the form http://HOST:PORT; expected http://HOST:PORT, such as http://127.0.0.1:7001',
    ],
  ]
  for (const [body, detail] of worded) {
    t.match((await send(api, 'POST', '/cluster/initialize', body)).json(), { detail })
  }
  const valid = { members: [{ id: 1, raft: '[::1]:7101', api: 'https://node-1.example_x.org:443' }] }
  t.equal((await send(api, 'POST', '/cluster/initialize?wait=now', valid)).statusCode, 400)
  t.equal(api.services.cluster.calls.length, 0)
  t.equal((await send(api, 'POST', '/cluster/initialize', valid)).statusCode, 200)
  t.match((await send(api, 'POST', '/cluster/initialize', { members: [member(2)] })).statusCode, 409)
})

t.test('no route takes an address at which nobody can be reached, or one for clients and peers alike', async (t) => {
  const api = await formed(t)
  const calls = api.services.cluster.calls.length
  const wildcards = [
    '0.0.0.0',
    '[::]',
    '[0::0]',
    '[0:0:0:0:0:0:0:0]',
    '[::0.0.0.0]',
    '[::ffff:0.0.0.0]',
    '0x0',
    '0x0.0',
  ]
  const { id, raft, api: origin } = member(4)
  const bad: [address: { raft: string; api: string }, path: string, message: RegExp][] = [
    ...wildcards.flatMap((host): typeof bad => [
      [{ raft: `${host}:7104`, api: origin }, 'raft', /"all addresses" and cannot be reached; expected HOST:PORT/],
      [{ raft, api: `http://${host}:7004` }, 'api', /"all addresses" and cannot be reached; expected http/],
      [{ raft, api: `https://${host}:7004` }, 'api', /cannot be reached/],
    ]),
    [{ raft: '127.0.0.1:0', api: origin }, 'raft', /names port 0, which cannot be reached/],
    [{ raft: '1234:7104', api: origin }, 'raft', /names the host 1234, which is not a valid name/],
    [{ raft: '127.0.0.1:99999', api: origin }, 'raft', /above 65535/],
    [{ raft, api: `http://${raft}` }, 'api', /is also the address in raft/],
  ]
  for (const [address, field, message] of bad) {
    const requests: [Method, string, unknown, string][] = [
      ['PUT', '/cluster/nodes/1', address, `body/${field}`],
      ['POST', '/cluster/learners', { id, ...address }, `body/${field}`],
      ['POST', '/cluster/initialize', { members: [member(1), { id, ...address }] }, `body/members/1/${field}`],
    ]
    for (const [method, url, body, path] of requests) {
      const response = await send(api, method, url, body)
      t.match(response.json(), { status: 400, issues: [{ path, message }] }, `${method} ${JSON.stringify(body)}`)
    }
  }
  t.equal(api.services.cluster.calls.length, calls)
})

t.test('all mistakes of a request are named, within a bound', async (t) => {
  const api = await openCheckedApi(t)
  const bad = { members: [{ id: 0, raft: '0.0.0.0:1', api: 'x' }, { id: 2 }, { ...member(2), role: 'x' }], force: true }
  const initialize = await send(api, 'POST', '/cluster/initialize', bad)
  t.same(
    initialize
      .json()
      .issues.map(({ path }: { path: string }) => path)
      .sort(),
    [
      'body/force',
      'body/members/0/api',
      'body/members/0/id',
      'body/members/0/raft',
      'body/members/1',
      'body/members/1',
      'body/members/2/id',
      'body/members/2/role',
    ],
  )
  for (const { path, message } of initialize.json().issues) t.match(initialize.json().detail, `${path} ${message}`)
  const cases: [Method, string, unknown, string[]][] = [
    ['PATCH', '/cluster/membership', { add: [1, 2], remove: [2, 1], force: 'yes' }, ['add/0', 'add/1', 'force']],
    ['PUT', '/cluster/membership', { voters: ['1', 0], retain: 1 }, ['retain', 'voters/0', 'voters/1']],
    ['POST', '/cluster/learners', { id: '4', raft: 'x', wait: 1 }, ['', 'id', 'raft', 'wait']],
    ['PUT', '/cluster/nodes/1', { raft: '[::]:1', api: '', force: 0 }, ['api', 'force', 'raft']],
    ['POST', '/cluster/leader', { id: 0, to: 2 }, ['id', 'to']],
  ]
  for (const [method, url, body, places] of cases) {
    const { issues } = (await send(api, method, url, body)).json() as { issues: { path: string }[] }
    const paths = issues.map(({ path }) => path).sort()
    t.same(
      paths,
      places.map((place) => (place === '' ? 'body' : `body/${place}`)),
      `${method} ${url}`,
    )
  }
  const query = (await api.inject('/kv?limit=0&reverse=maybe&what=1')).json() as { issues: { path: string }[] }
  t.same(
    query.issues.map(({ path }) => path),
    ['query/limit', 'query/reverse', 'query/what'],
  )

  const many = {
    members: Array.from({ length: limits.membersMax }, (_, at) => ({ id: -at, raft: `x${at}`, api: `y${at}` })),
  }
  const answer = (await send(api, 'POST', '/cluster/initialize', many)).json() as { issues: object[]; detail: string }
  t.equal(answer.issues.length, limits.issuesMax)
  t.match(answer.detail, new RegExp(`; and ${3 * limits.membersMax - limits.issuesMax} more$`))
  t.equal(api.services.cluster.calls.length, 0)
})

t.test('bodies must be JSON, say so, and be small', async (t) => {
  const api = await openCheckedApi(t)
  const body = JSON.stringify({ members: [member(1)] })
  const types = [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonx',
  ]
  for (const type of [...types, 'application/json, text/plain', 'nonsense', '']) {
    const response = await send(api, 'POST', '/cluster/initialize', body, { 'content-type': type })
    t.equal(response.statusCode, 415, type)
    t.match(response.json(), { code: 'unsupported-media-type', detail: /: send application\/json, in UTF-8$/ }, type)
  }
  const untyped = await api.inject({
    method: 'PUT',
    url: '/cluster/membership',
    payload: Buffer.from('{"voters":[1]}'),
  })
  t.equal(untyped.statusCode, 415)
  const large = await send(api, 'POST', '/cluster/learners', `{"id": 4${' '.repeat(limits.jsonBodyBytesMax)}}`)
  t.equal(large.statusCode, 413)
  t.match(large.json(), { code: 'request-too-large', limitBytes: limits.jsonBodyBytesMax })
  for (const url of ['/cluster/purge', '/cluster/elections'])
    t.equal((await send(api, 'POST', url, {})).statusCode, 400, url)
  t.equal((await send(api, 'PUT', '/cluster/membership', '')).statusCode, 400, 'a body that is needed')
  t.equal(api.services.cluster.calls.length, 0)
  const typed = await send(api, 'POST', '/cluster/initialize', body, {
    'content-type': 'application/json; charset=utf-8',
  })
  t.equal(typed.statusCode, 200)
})

const changes: [Method | 'DELETE', string, unknown?][] = [
  ['POST', '/cluster/initialize'],
  ['POST', '/cluster/leader'],
  ['POST', '/cluster/elections'],
  ['POST', '/cluster/purge'],
  ['POST', '/cluster/learners', member(4)],
  ['DELETE', '/cluster/learners/4'],
  ['PUT', '/cluster/nodes/1', { raft: '127.0.0.1:1', api: 'http://127.0.0.1:2' }],
  ['PUT', '/cluster/membership', { voters: [1] }],
  ['PATCH', '/cluster/membership', { remove: [2] }],
  ['PUT', '/kv/key'],
  ['PUT', '/kv?key=key'],
  ['DELETE', '/kv/key'],
  ['DELETE', '/kv?all=true'],
]

t.test('pages of other sites change nothing, whatever browsers say of them', async (t) => {
  const api = await formed(t)
  const { calls } = api.services.cluster
  const before = calls.length
  const host = 'node:7001'
  const foreign: Record<string, string>[] = [
    { host, origin: 'http://evil.example' },
    { host, origin: 'null' },
    { host, origin: '' },
    { host, origin: 'http://node' },
    { host, origin: 'http://node:7002' },
    { host, origin: 'http://node:7001.evil.example' },
    { host, origin: 'http://evil.example, http://node:7001' },
    { host, origin: 'ftp://node:7001' },
    { host, origin: 'http://evil.example', 'sec-fetch-site': 'same-origin' },
    { host, 'sec-fetch-site': 'cross-site' },
    { host, 'sec-fetch-site': 'same-site' },
    { host, 'sec-fetch-mode': 'no-cors' },
    { host, origin: 'http://node:7001', 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'navigate' },
  ]
  for (const headers of foreign) {
    for (const [method, url, body] of changes) {
      const json = body === undefined ? {} : { payload: JSON.stringify(body) }
      const type: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' }
      const response = await api.inject({ method, url, ...json, headers: { ...headers, ...type } })
      t.equal(response.statusCode, 403, `${method} ${url} ${JSON.stringify(headers)}`)
      t.equal(response.json().code, 'forbidden')
      t.notOk('access-control-allow-origin' in response.headers)
    }
  }
  const { detail } = (
    await api.inject({ method: 'PUT', url: '/kv/key', headers: { host, origin: 'http://evil.example' } })
  ).json()
  t.match(detail, /"http:\/\/evil\.example" may not change anything at "node:7001".*--api-origins/)
  // A form sends no JSON, with a body or without, even from a browser that does not tell its origin.
  for (const type of ['application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'text/plain']) {
    for (const payload of ['', 'a=b']) {
      const headers = { 'content-type': type }
      const response = await api.inject({ method: 'POST', url: '/cluster/purge', payload, headers })
      t.equal(response.statusCode, 415, `${type} ${payload}`)
    }
  }
  t.equal(calls.length, before)
  t.equal(api.services.keys.commands.length, 0)
})

t.test(
  'pages of the node itself, of named origins, and clients that are no browsers change what they ask for',
  async (t) => {
    const welcome: [Record<string, string>, string[]?][] = [
      [{}],
      [{ host: 'node:7001', origin: 'http://node:7001' }],
      [{ host: 'node', origin: 'http://node' }],
      [{ host: 'node:80', origin: 'http://node' }],
      [{ host: 'NODE', origin: 'https://node' }],
      [{ host: '[::1]:7001', origin: 'http://[::1]:7001' }],
      [
        {
          host: 'localhost:7001',
          origin: 'http://localhost:7001',
          'sec-fetch-site': 'same-origin',
          'sec-fetch-mode': 'cors',
        },
      ],
      [{ host: 'node:7001', origin: 'https://ui.example', 'sec-fetch-site': 'cross-site' }, ['https://ui.example']],
    ]
    for (const [headers, origins = []] of welcome) {
      const api = await openCheckedApi(t, { origins })
      for (const [method, url, body] of changes) {
        const json = body === undefined ? {} : { payload: JSON.stringify(body) }
        const type: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' }
        const response = await api.inject({ method, url, ...json, headers: { ...headers, ...type } })
        t.not(response.statusCode, 403, `${method} ${url} ${JSON.stringify(headers)}`)
        const allowed = response.headers['access-control-allow-origin']
        t.equal(allowed, origins[0], 'only a named origin is told that it is')
      }
      t.ok(api.services.cluster.calls.length > 5)
    }
  },
)

t.test('a browser that asks beforehand is answered for named origins alone', async (t) => {
  const api = await openCheckedApi(t, { origins: ['https://ui.example'] })
  const ask = async (origin: string) =>
    api.app.inject({
      method: 'OPTIONS',
      url: '/kv/key',
      headers: { origin, 'access-control-request-method': 'PUT', 'access-control-request-headers': 'if-match' },
    })
  const named = await ask('https://ui.example')
  t.equal(named.statusCode, 204)
  t.match(named.headers, {
    'access-control-allow-origin': 'https://ui.example',
    'access-control-allow-methods': /\bPUT\b.*\bDELETE\b/,
    'access-control-allow-headers': /idempotency-key, if-match/,
    vary: 'origin',
  })
  const other = await ask('https://evil.example')
  t.equal(other.statusCode, 405)
  t.notOk('access-control-allow-origin' in other.headers)
  await api.inject({ method: 'PUT', url: '/kv/key', payload: 'x' })
  const read = await api.inject({ url: '/kv/key', headers: { origin: 'https://ui.example' } })
  t.equal(read.headers['access-control-allow-origin'], 'https://ui.example')
  t.equal(read.headers['vary'], 'accept, origin', 'a cache keeps the answers apart')
})

t.test('GET /cluster answers in any state', async (t) => {
  const api = await openCheckedApi(t)
  t.match((await api.inject('/cluster')).json(), {
    clusterId: null,
    lastLogId: null,
    membership: null,
    node: { state: 'learner' },
  })
  await api.inject({ method: 'POST', url: '/cluster/initialize' })
  t.match((await api.inject('/cluster')).json(), {
    clusterId: 'c-1',
    node: { id: 1, state: 'leader' },
    membership: { effective: { membership: { configs: [[1]] } }, joint: false },
    nodes: { 1: { role: 'voter' } },
  })
  t.equal((await api.inject('/cluster?verbose=true')).statusCode, 400)
})

t.test('membership is read with its tag, and changed on condition of it', async (t) => {
  const api = await openCheckedApi(t)
  t.match((await api.inject('/cluster/membership')).json(), { code: 'not-initialized', status: 409, retryable: true })
  await send(api, 'POST', '/cluster/initialize', { members: [member(1), member(2), member(3)] })
  const read = await api.inject('/cluster/membership')
  t.equal(read.headers['etag'], '"0"')
  t.match(read.json(), { membership: { configs: [[1, 2, 3]], learners: [] }, committed: true, joint: false })

  const put = await send(api, 'PUT', '/cluster/membership', { voters: [3, 1], retain: true }, { 'if-match': '"0"' })
  t.equal(put.statusCode, 200)
  t.equal(put.headers['etag'], '"1"')
  t.match(put.json(), { membership: { configs: [[1, 3]], learners: [2] } })
  const change = { voters: [3, 1], retain: true, allowLagging: false, force: false, ifMembershipAt: 0 }
  t.same(api.services.cluster.calls.at(-1), { change, timeoutMs: 10_000 })
  const stale = await send(api, 'PUT', '/cluster/membership', { voters: [1] }, { 'if-match': '"0"' })
  t.equal(stale.statusCode, 412)

  const patch = await send(api, 'PATCH', '/cluster/membership?timeout=1m', {
    add: [2],
    remove: [3],
    allowLagging: true,
    force: true,
  })
  t.match(patch.json(), { membership: { configs: [[1, 2]] } })
  t.same(api.services.cluster.calls.at(-1), {
    change: { voters: { add: [2], remove: [3] }, retain: false, allowLagging: true, force: true, ifMembershipAt: null },
    timeoutMs: 60_000,
  })
  t.match((await send(api, 'PUT', '/cluster/membership', { voters: [] })).json(), {
    status: 422,
    code: 'empty-membership',
  })
  t.match((await send(api, 'PUT', '/cluster/membership', { voters: [9] })).json(), {
    status: 422,
    code: 'unknown-voter',
  })
  const cases: [Method, unknown, string][] = [
    ['PUT', {}, 'body'],
    ['PUT', { voters: [1, 1] }, 'body/voters'],
    ['PUT', { voters: ['1'] }, 'body/voters/0'],
    ['PUT', { voters: [1], add: [2] }, 'body/add'],
    ['PUT', { voters: [1], retain: 'yes' }, 'body/retain'],
    ['PUT', { voters: [1], force: 1 }, 'body/force'],
    ['PATCH', {}, 'body'],
    ['PATCH', { add: [], remove: [] }, 'body'],
    ['PATCH', { add: [4, 5], remove: [5] }, 'body/add/1'],
    ['PATCH', { voters: [1] }, 'body/voters'],
  ]
  for (const [method, body, path] of cases) {
    const response = await send(api, method, '/cluster/membership', body)
    t.match(response.json(), { code: 'invalid-request', issues: [{ path }] }, `${method} ${JSON.stringify(body)}`)
  }
  for (const tag of ['W/"1"', '"other"']) {
    const response = await send(api, 'PUT', '/cluster/membership', { voters: [1] }, { 'if-match': tag })
    t.equal(response.statusCode, 412, `${tag} matches nothing`)
  }
  for (const tag of ['*', '12', '"1", "2"']) {
    t.equal((await send(api, 'PUT', '/cluster/membership', { voters: [1] }, { 'if-match': tag })).statusCode, 400, tag)
  }
})

t.test('learners are added, listed and removed', async (t) => {
  const api = await formed(t)
  const added = await send(api, 'POST', '/cluster/learners', member(4))
  t.match(added.json(), { caughtUp: true, lag: 0, membership: { learners: [4] }, logId: { index: 1 } })
  t.same((await send(api, 'POST', '/cluster/learners', member(4))).json(), added.json(), 'repeated: the same answer')
  t.match(api.services.cluster.calls.at(-1), { member: member(4), wait: true, timeoutMs: 10_000 })
  t.match((await send(api, 'POST', '/cluster/learners?timeout=2s', { ...member(5), wait: false })).json(), {
    caughtUp: false,
  })
  t.match(api.services.cluster.calls.at(-1), { wait: false, timeoutMs: 2000 })
  const moved = await send(api, 'POST', '/cluster/learners', { ...member(4), raft: '127.0.0.1:9999' })
  t.match(moved.json(), { status: 409, code: 'address-conflict' })
  t.equal((await send(api, 'POST', '/cluster/learners', { ...member(4), wait: 'no' })).statusCode, 400)

  t.match((await api.inject('/cluster/learners')).json(), { learners: [{ id: 4, lag: 0, caughtUp: true }, { id: 5 }] })
  const remove = async (id: string) => api.inject({ method: 'DELETE', url: `/cluster/learners/${id}` })
  const removed = await remove('4')
  t.match(removed.json(), { membership: { learners: [5] } })
  t.equal(removed.headers['etag'], '"3"')
  t.match((await remove('4')).json(), { status: 404, code: 'learner-not-found' })
  for (const id of ['0', '-1', 'x', '01', '2147483648', '99999999999', '1.5', '__proto__', '%00']) {
    t.match((await remove(id)).json(), { code: 'invalid-request', issues: [{ path: 'path/id' }] }, id)
  }
})

t.test('addresses of a member are changed, on condition of the membership', async (t) => {
  const api = await formed(t)
  const { raft, api: origin } = member(7)
  const url = '/cluster/nodes/2'
  const changed = await send(api, 'PUT', `${url}?timeout=3s`, { raft, api: origin }, { 'if-match': '"0"' })
  t.equal(changed.statusCode, 200)
  t.match(changed.json(), { membership: { nodes: { 2: { raft, api: origin } } }, committed: true, joint: false })
  t.equal(changed.headers['etag'], '"1"')
  t.same(api.services.cluster.calls.at(-1), {
    change: { member: { ...member(7), id: 2 }, force: false, ifMembershipAt: 0 },
    timeoutMs: 3000,
  })
  t.equal((await send(api, 'PUT', url, { raft, api: origin, force: true })).statusCode, 200)
  t.match(api.services.cluster.calls.at(-1), { change: { force: true, ifMembershipAt: null } })
  t.match((await send(api, 'PUT', '/cluster/nodes/9', { raft, api: origin })).json(), { code: 'node-not-found' })
  for (const code of ['address-conflict', 'member-mismatch', 'peer-disagrees'] as const) {
    api.services.cluster.failure = new RequestError(code, 'somebody else')
    t.match((await send(api, 'PUT', url, { raft, api: origin })).json(), { status: 409, code })
  }
  const cases: [body: unknown, path: string][] = [
    [{}, 'body'],
    [{ raft }, 'body'],
    [{ raft, api: 'localhost:1' }, 'body/api'],
    [{ raft: origin, api: origin }, 'body/raft'],
    [{ raft, api: origin, id: 2 }, 'body/id'],
    [{ raft, api: origin, force: 'yes' }, 'body/force'],
  ]
  for (const [body, path] of cases) {
    t.match((await send(api, 'PUT', url, body)).json(), { code: 'invalid-request', issues: [{ path }] }, path)
  }
  const noId = await send(api, 'PUT', '/cluster/nodes/x', { raft, api: origin })
  t.match(noId.json(), { code: 'invalid-request', issues: [{ path: 'path/id' }] })
})

t.test('leadership is asked for, handed over, and stood for', async (t) => {
  const api = await openCheckedApi(t)
  api.services.cluster.known = null
  t.same((await api.inject('/cluster/leader')).json(), { leader: null, raft: null, api: null })
  await send(api, 'POST', '/cluster/initialize', { members: [member(1), member(2)] })
  t.same((await api.inject('/cluster/leader')).json(), {
    leader: 1,
    raft: '127.0.0.1:7101',
    api: 'http://127.0.0.1:7001',
  })
  t.same((await send(api, 'POST', '/cluster/leader', { id: 2 })).json(), { leader: 2 })
  t.same((await api.inject({ method: 'POST', url: '/cluster/leader?timeout=1s' })).json(), { leader: 2 })
  t.same(api.services.cluster.calls.at(-1), { to: null, timeoutMs: 1000 })
  t.match((await send(api, 'POST', '/cluster/leader', { id: 9 })).json(), { code: 'node-not-found' })
  for (const body of [{ id: '2' }, { to: 2 }, null, []])
    t.equal((await send(api, 'POST', '/cluster/leader', body)).statusCode, 400)
  api.services.cluster.failure = new RequestError('outcome-unknown', 'not in time')
  t.match((await api.inject({ method: 'POST', url: '/cluster/leader' })).json(), { status: 504, ambiguous: true })

  const campaign = await api.inject({ method: 'POST', url: '/cluster/elections' })
  t.equal(campaign.statusCode, 202)
  t.equal(api.services.cluster.calls.at(-1), 'campaign')
  api.services.cluster.failure = new RequestError('removed', 'no longer a member')
  t.match((await api.inject({ method: 'POST', url: '/cluster/elections' })).json(), { status: 503, code: 'removed' })
  t.match((await api.inject({ method: 'POST', url: '/cluster/purge' })).json(), { purged: { index: 0 } })
})

t.test('redirect=true sends cluster changes to the leader', async (t) => {
  const api = await formed(t)
  api.services.cluster.known = member(2)
  const calls = api.services.cluster.calls.length
  const requests: [Method | 'GET' | 'DELETE', string, unknown][] = [
    ['PUT', '/cluster/membership', { voters: [1] }],
    ['PATCH', '/cluster/membership', { remove: [3] }],
    ['POST', '/cluster/learners', member(4)],
    ['GET', '/cluster/learners', undefined],
    ['DELETE', '/cluster/learners/4', undefined],
    ['PUT', '/cluster/nodes/2', { raft: '127.0.0.1:1', api: 'http://127.0.0.1:2' }],
    ['POST', '/cluster/leader', {}],
    ['GET', '/cluster/snapshot', undefined],
  ]
  for (const [method, path, body] of requests) {
    const url = `${path}?redirect=true`
    const json =
      body === undefined ? {} : { payload: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
    const response = await api.inject({ method, url, ...json })
    t.equal(response.statusCode, 307, `${method} ${path}`)
    t.equal(response.headers['location'], `http://127.0.0.1:7002${url}`)
  }
  t.equal(
    (await send(api, 'PUT', '/cluster/membership?redirect=true', { voters: 1 })).statusCode,
    400,
    'what is wrong stays here',
  )
  t.equal(api.services.cluster.calls.length, calls)
  const here = await api.inject('/cluster/snapshot?redirect=true&consistency=stale')
  t.equal(here.statusCode, 200, 'what this node has needs no leader')
})

t.test('the state is streamed with its log id', async (t) => {
  const api = await openCheckedApi(t)
  t.match((await api.inject('/cluster/snapshot')).json(), { code: 'not-initialized' })
  await send(api, 'POST', '/cluster/initialize', { members: [member(1)] })
  const response = await api.inject('/cluster/snapshot')
  t.equal(response.body, 'state of the store')
  t.match(response.headers, {
    'content-type': 'application/octet-stream',
    'quorate-snapshot-term': '0',
    'quorate-snapshot-node': '0',
    'quorate-snapshot-index': '0',
    'quorate-snapshot-bytes': '18',
    'quorate-revision': '0',
    'content-disposition': /attachment/,
  })
  t.equal(api.services.cluster.openSnapshots, 0)
})
