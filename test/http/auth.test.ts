import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { NODE_ITSELF } from '../../src/kv/index.ts'
import { deferred } from '../../src/lib/deferred.ts'
import { RequestError } from '../../src/lib/errors.ts'
import type { Operation } from '../../src/http/protocol/operation.ts'
import { limits } from '../../src/limits.ts'
import { put } from '../kv/support/batch-store.ts'
import { openCheckedApi, type CheckedApi, type CheckedApiOptions } from '../support/checked-api.ts'
import { answerIn, eventually, listen, RawConnection } from '../support/raw-client.ts'
import { sampleOf, type Sample } from '../support/sample-requests.ts'

type Json = Record<string, unknown>

const SECRET = /^quorate_[A-Za-z0-9_-]{43}$/
const DRAWN = `quorate_${createHash('sha256').update('one').digest('base64url')}`
const OTHER = `quorate_${createHash('sha256').update('two').digest('base64url')}`

/** The API of a node, and those who ask it. */
class Asking {
  readonly api: CheckedApi
  admin = ''

  constructor(api: CheckedApi) {
    this.api = api
  }

  async ask(
    secret: string | null,
    method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    url: string,
    body?: unknown,
    given: Readonly<Record<string, string>> = {},
  ) {
    const isText = typeof body === 'string'
    const response = await this.api.inject({
      method,
      url,
      ...(body === undefined ? {} : { payload: isText ? body : JSON.stringify(body) }),
      headers: {
        ...(body === undefined || isText ? {} : { 'content-type': 'application/json' }),
        ...(secret === null ? {} : { authorization: `Bearer ${secret}` }),
        ...given,
      },
    })
    const { statusCode: status, headers, body: text } = response
    return { status, headers, text, body: text.startsWith('{') ? response.json<Json>() : {} }
  }

  async bootstrap(body?: object): Promise<Json> {
    const made = await this.ask(null, 'POST', '/auth/bootstrap', body)
    this.admin = String(made.body['secret'])
    return made.body
  }

  /** Makes a role and a token of the same name; returns its secret and its id. */
  async admit(
    name: string,
    role: object,
    more: object = {},
  ): Promise<{ readonly secret: string; readonly id: number }> {
    await this.ask(this.admin, 'PUT', `/auth/roles/${name}`, role)
    const made = await this.ask(this.admin, 'POST', '/auth/tokens', { name, roles: [name], ...more })
    return { secret: String(made.body['secret']), id: Number(made.body['id']) }
  }
}

async function open(t: Test, options: CheckedApiOptions = {}): Promise<Asking> {
  return new Asking(await openCheckedApi(t, options))
}

async function secured(t: Test, options: CheckedApiOptions = {}): Promise<Asking> {
  const asking = await open(t, options)
  await asking.bootstrap()
  return asking
}

const grants = (...given: readonly [access: string, prefix: string][]) => ({
  grants: given.map(([access, prefix]) => ({ access, prefix })),
})

t.test('the first token', async (t) => {
  t.test('is made once, may do everything, and from then on every request needs one', async (t) => {
    const asking = await open(t)
    t.equal((await asking.ask(null, 'PUT', '/kv/a', 'v')).status, 200)
    t.same((await asking.ask(null, 'GET', '/auth/self')).body, { enabled: false, token: null, grants: [], rights: [] })
    t.match(await asking.ask(null, 'GET', '/auth/tokens'), { status: 409, body: { code: 'auth-not-begun' } })
    t.match(await asking.ask('quorate_x', 'GET', '/kv/a'), { status: 200 }, 'a token where none is needed is no matter')
    const made = await asking.ask(null, 'POST', '/auth/bootstrap')
    t.equal(made.status, 201)
    t.equal(made.headers['cache-control'], 'no-store')
    t.match(made.body, { name: 'admin', roles: ['admin'], expiresAt: null, secret: SECRET })
    t.equal(asking.api.services.keys.commands.at(-1)?.isOnlyHere, true, 'nor by a leader that is elected meanwhile')
    asking.admin = String(made.body['secret'])
    t.equal((await asking.ask(asking.admin, 'GET', '/kv/a')).text, 'v')
    t.match(await asking.ask(asking.admin, 'GET', '/auth/self'), {
      body: {
        enabled: true,
        token: { name: 'admin' },
        grants: [{ access: 'read-write', prefix: '' }],
        rights: ['cluster:read', 'cluster:admin', 'auth:admin'],
      },
    })
    const again = await asking.ask(null, 'POST', '/auth/bootstrap')
    t.match(again, { status: 409, body: { code: 'auth-begun-before' } })
    for (const path of ['/livez', '/version', '/', '/openapi.json', '/docs/json'])
      t.equal((await asking.api.app.inject(path)).statusCode, 200, path)
  })

  t.test('is over once there are tokens: whoever asks learns nothing, and nothing is written', async (t) => {
    const asking = await secured(t)
    const { cluster, keys } = asking.api.services
    const entries = keys.commands.length
    cluster.known = { id: 2, raft: '127.0.0.1:7102', api: 'http://127.0.0.1:7002' }
    for (const query of ['', '?redirect=true']) {
      const answer = await asking.ask(null, 'POST', `/auth/bootstrap${query}`)
      t.match(answer, { status: 409, body: { code: 'auth-begun-before' } })
      t.notMatch(`${JSON.stringify(answer.headers)}${answer.text}`, /7002/)
    }
    const guess = await asking.ask(null, 'POST', '/auth/bootstrap', { secret: 'x'.repeat(32) })
    t.match(guess, { status: 409 }, 'nor whether a secret would have been the right one')
    t.equal(keys.commands.length, entries)
  })

  t.test('with a secret that its client has drawn: the same request has the same answer, also elsewhere', async (t) => {
    const asking = await open(t)
    const { cluster, keys } = asking.api.services
    const asked = { name: 'root', tokenSecret: DRAWN }
    const made = await asking.ask(null, 'POST', '/auth/bootstrap', asked)
    t.match(made, { status: 201, body: { name: 'root', roles: ['admin'], secret: DRAWN } })
    t.equal((await asking.ask(DRAWN, 'GET', '/kv/none')).status, 404)
    const entries = keys.commands.length
    cluster.known = { id: 2, raft: '127.0.0.1:7102', api: 'http://127.0.0.1:7002' }
    const again = await asking.api.app.inject({
      method: 'POST',
      url: '/auth/bootstrap',
      payload: asked,
      remoteAddress: '192.0.2.7',
    })
    t.equal(again.statusCode, 201, 'whoever knows the secret holds the token already')
    t.equal(again.body, made.text)
    t.equal(again.headers['cache-control'], 'no-store')
    t.equal(keys.commands.length, entries, 'and nothing is proposed')
    t.match(asking.api.audited.at(-1), {
      operation: 'bootstrapAuth',
      status: 201,
      asked: { name: 'root', again: true },
    })
    const said = (await asking.ask(null, 'POST', '/auth/bootstrap')).text
    for (const other of [
      { name: 'root', tokenSecret: OTHER },
      { tokenSecret: DRAWN },
      { name: 'other', tokenSecret: DRAWN },
      { name: 'root' },
    ]) {
      const refused = await asking.ask(null, 'POST', '/auth/bootstrap', other)
      t.match(refused, { status: 409, body: { code: 'auth-begun-before' } }, JSON.stringify(Object.keys(other)))
      t.equal(refused.text, said, 'a guess is told what everybody is told')
    }
    t.notMatch(JSON.stringify(asking.api.audited), DRAWN.slice(8, 24), 'no line has the secret')
  })

  t.test('reads its query as every request does, and sends no secret on to another address', async (t) => {
    const asking = await open(t, { bootstrapSecret: async () => 'a secret of a file' })
    const { cluster, keys } = asking.api.services
    cluster.known = { id: 2, raft: '127.0.0.1:7102', api: 'http://127.0.0.1:7002' }
    const bodies = [{ tokenSecret: DRAWN }, { secret: 'a secret of a file' }]
    const refusals = async (): Promise<void> => {
      for (const body of [...bodies, {}]) {
        const bogus = await asking.ask(null, 'POST', '/auth/bootstrap?bogus=1', body)
        t.match(bogus, { status: 400, body: { code: 'invalid-request', issues: [{ path: 'query/bogus' }] } })
      }
      for (const body of bodies) {
        const carried = await asking.ask(null, 'POST', '/auth/bootstrap?redirect=true', body)
        t.match(carried, { status: 400, body: { code: 'invalid-request', issues: [{ path: 'query/redirect' }] } })
        t.equal(carried.headers['location'], undefined)
      }
    }
    await refusals()
    t.equal((await asking.ask(null, 'POST', '/auth/bootstrap?redirect=true')).status, 307, 'nothing is carried')
    t.equal(keys.commands.length, 0)
    const proven = { ...bodies[0], ...bodies[1] }
    t.equal((await asking.ask(null, 'POST', '/auth/bootstrap?redirect=false', proven)).status, 201)
    await refusals()
  })

  t.test('with a drawn secret, on a node that is behind the first token', async (t) => {
    const asking = await open(t, { bootstrapSecret: async () => 'a secret of a file' })
    const asked = { tokenSecret: DRAWN, secret: 'a secret of a file' }
    const { keys } = asking.api.services
    keys.beforeExecute = async () => {
      keys.beforeExecute = async () => {}
      await asking.ask(null, 'POST', '/auth/bootstrap', asked)
    }
    t.match(await asking.ask(null, 'POST', '/auth/bootstrap', asked), { status: 201, body: { secret: DRAWN } })
    t.equal(keys.commands.filter(({ command }) => command.type === 'auth-bootstrap').length, 2)
  })

  t.test('with a drawn secret that is revoked since, or that stands for another token, makes nothing', async (t) => {
    const asking = await open(t)
    asking.admin = DRAWN
    const first = await asking.ask(null, 'POST', '/auth/bootstrap', { tokenSecret: DRAWN })
    const begunBefore = { status: 409, body: { code: 'auth-begun-before' } }
    const other = await asking.ask(DRAWN, 'POST', '/auth/tokens', { name: 'admin', roles: ['admin'] })
    asking.admin = String(other.body['secret'])
    const again = await asking.ask(null, 'POST', '/auth/bootstrap', { tokenSecret: asking.admin })
    t.match(again, begunBefore, 'a later token of the same name and roles is not the first')
    await asking.ask(asking.admin, 'DELETE', `/auth/tokens/${String(first.body['id'])}`)
    t.match(await asking.ask(null, 'POST', '/auth/bootstrap', { tokenSecret: DRAWN }), begunBefore)
    const limited = await asking.admit('admin2', { rights: ['cluster:read'] })
    const asLimited = { name: 'admin2', tokenSecret: limited.secret }
    t.match(await asking.ask(null, 'POST', '/auth/bootstrap', asLimited), begunBefore)
  })

  t.test('takes no secret that could be guessed, or that no header carries', async (t) => {
    const asking = await open(t)
    const refusedAs = async (tokenSecret: string, message: RegExp): Promise<void> => {
      const { status, body, text } = await asking.ask(null, 'POST', '/auth/bootstrap', { tokenSecret })
      t.match({ status, body }, { status: 400, body: { issues: [{ path: 'body/tokenSecret', message }] } })
      if (tokenSecret.length > 10) t.notMatch(text, tokenSecret.slice(8))
    }
    const form = /^is no secret of a token: it must be quorate_ and 43 of A-Z, a-z, 0-9, - and _/
    for (const text of ['', 'secret', DRAWN.slice(0, -1), `${DRAWN}x`, DRAWN.slice(8), ` ${DRAWN}`, `${DRAWN}\n`])
      await refusedAs(text, form)
    const weak = /^could be guessed: only \d+ of its 43 characters differ; draw 256 random bits/
    for (const text of ['x'.repeat(43), 'password'.repeat(6).slice(0, 43), '0123456789'.repeat(5).slice(0, 43)])
      await refusedAs(`quorate_${text}`, weak)
    t.equal(asking.api.services.auth.table, null)
    t.same(asking.api.services.keys.commands, [])
  })

  t.test('of a cluster with tokens, a failure before its client is known tells nothing', async (t) => {
    const asking = await secured(t)
    const foreign = { origin: 'http://evil.example' }
    const requests = [
      ['GET', '/kv/%ff', {}, 400],
      ['PUT', '/kv/a', foreign, 403],
      ['GET', '/kv/a', {}, 401],
    ] as const
    for (const [method, url, headers, status] of requests) {
      const answer = await asking.api.app.inject({ method, url, headers })
      t.equal(answer.statusCode, status, url)
      t.notMatch(Object.keys(answer.headers).join(), /quorate-leader|quorate-revision/, url)
    }
    const known = await asking.ask(asking.admin, 'GET', '/kv/none')
    t.match(known, { status: 404, headers: { 'quorate-leader': /1/ } })
  })

  t.test('is refused to whoever is not on the machine of the leader', async (t) => {
    const asking = await open(t)
    const { cluster } = asking.api.services
    const other = await asking.api.app.inject({ method: 'POST', url: '/auth/bootstrap', remoteAddress: '192.0.2.7' })
    t.match(other.json(), { code: 'forbidden', detail: /came from 192\.0\.2\.7, and not from a loopback address/ })
    const proxied = { 'x-forwarded-for': '192.0.2.7' }
    const proxy = await asking.ask(null, 'POST', '/auth/bootstrap', undefined, proxied)
    t.match(proxy.body, { code: 'forbidden', detail: /through a proxy, which has added the header x-forwarded-for/ })
    cluster.known = { id: 2, raft: '127.0.0.1:7102', api: 'http://127.0.0.1:7002' }
    t.match((await asking.ask(null, 'POST', '/auth/bootstrap')).body, { detail: /not the leader, which is node 2/ })
    cluster.known = null
    const during = await asking.ask(null, 'POST', '/auth/bootstrap')
    t.match(during, { status: 503, body: { code: 'no-leader', leader: null } }, 'nobody knows which machine that is')
    cluster.known = cluster.self
    for (const host of ['evil.example:7000', 'localhost.evil.example', '127.0.0.1.evil.example', '192.0.2.7:7000'])
      for (const page of [{}, { origin: `http://${host}`, 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' }])
        t.match((await asking.ask(null, 'POST', '/auth/bootstrap', undefined, { host, ...page })).body, {
          code: 'forbidden',
          detail: /its Host is neither localhost nor a loopback address/,
        })
    t.equal(asking.api.services.auth.table, null)
    for (const [remoteAddress, host] of [
      ['127.8.8.8', '127.8.8.8:7000'],
      ['::1', '[::1]:7000'],
      ['::ffff:127.0.0.1', 'localhost'],
    ] as const) {
      const here = await open(t)
      const headers = { host }
      const { statusCode } = await here.api.app.inject({
        method: 'POST',
        url: '/auth/bootstrap',
        remoteAddress,
        headers,
      })
      t.equal(statusCode, 201, remoteAddress)
    }
  })

  t.test('is given to whoever knows the secret in the file, and to nobody else who names one', async (t) => {
    let file: string | null | Error = 'a secret of a file'
    const bootstrapSecret = async (): Promise<string | null> => {
      if (file instanceof Error) throw file
      return file
    }
    let now = 0
    const asking = await open(t, { bootstrapSecret, now: () => now })
    const proxied = { 'x-forwarded-for': '192.0.2.7' }
    const ask = (secret: string) => asking.ask(null, 'POST', '/auth/bootstrap', { secret, name: 'root' }, proxied)
    const said = { code: 'forbidden', detail: /the secret is not accepted; the log of this node says why/ }
    const { audited } = asking.api
    const refusedAs = async (given: string, why: RegExp): Promise<void> => {
      const answer = await ask(given)
      t.match(answer.body, said)
      t.notMatch(answer.text, /auth-bootstrap-file cannot|no such file|fewer than|not the one|without --auth/)
      t.match(audited.at(-1), { operation: 'bootstrapAuth', status: 403, asked: { refused: why } })
      now += limits.auditRefusalIntervalMs
    }
    await refusedAs('another', /not the one in the file/)
    file = 'short'
    await refusedAs('short', /fewer than 16 characters/)
    file = new Error('no such file')
    await refusedAs('short', /cannot be read: no such file/)
    file = null
    await refusedAs('short', /without --auth-bootstrap-file/)
    file = 'a secret of a file'
    t.match(await ask('a secret of a file'), { status: 201, body: { name: 'root' } })
    t.equal(asking.api.services.keys.commands.at(-1)?.isOnlyHere, false, 'the secret counts on every node')
  })
})

t.test('the open page of the document names the node as long as everybody may know it', async (t) => {
  const asking = await open(t)
  const page = async (): Promise<string> => (await asking.api.app.inject({ method: 'GET', url: '/docs/json' })).body
  const named = JSON.stringify({ members: [asking.api.services.cluster.self] })
  t.ok((await page()).includes(named))
  await asking.bootstrap()
  const then = await page()
  t.ok(then.includes('initializeCluster'))
  t.notOk(then.includes(named))
})

t.test('whoever has no token cannot fill the log with answers to a bootstrap', async (t) => {
  let now = 0
  const asking = await open(t, { now: () => now })
  const { audited } = asking.api
  const { cluster } = asking.api.services
  const flood = async (body?: object, remoteAddress = '127.0.0.1'): Promise<void> => {
    for (let at = 0; at < 5; at++)
      await asking.api.app.inject({
        method: 'POST',
        url: '/auth/bootstrap',
        remoteAddress,
        ...(body && { payload: body }),
      })
  }
  cluster.known = null
  await flood()
  cluster.known = cluster.self
  await flood({ nonsense: 1 })
  await asking.bootstrap()
  await flood()
  await flood({ tokenSecret: OTHER })
  await flood(undefined, '192.0.2.7')
  const line = { operation: 'bootstrapAuth', token: null }
  t.match(audited, [
    { ...line, status: 503, times: 1 },
    { ...line, status: 400, times: 1 },
    { ...line, status: 201, times: undefined },
    { ...line, status: 409, times: 1, remote: '127.0.0.1' },
    { ...line, status: 409, times: 1, remote: '192.0.2.7' },
  ])
  t.equal(audited.length, 5)
  now = limits.auditRefusalIntervalMs
  await flood()
  t.match(audited.slice(5), [{ ...line, status: 409, times: 10 }])
  t.equal(audited.length, 6)
})

t.test('a request without a valid token gets one and the same answer', async (t) => {
  const asking = await secured(t)
  const app = await asking.admit('app', grants(['read', '']))
  await asking.ask(asking.admin, 'DELETE', `/auth/tokens/${app.id}`)
  const strange = `quorate_${'x'.repeat(43)}`
  const answers = []
  for (const authorization of [
    undefined,
    'Bearer',
    `Bearer ${strange}`,
    `Bearer ${app.secret}`,
    `Basic ${strange}`,
    strange,
    `Bearer ${asking.admin} `.repeat(2),
    `Bearer ${asking.admin}x`,
    `Bearer ${'x'.repeat(20_000)}`,
  ]) {
    const headers = authorization === undefined ? {} : { authorization }
    const response = await asking.api.inject({ url: '/kv/a', headers })
    t.equal(response.statusCode, 401, authorization?.slice(0, 60) ?? 'none')
    t.equal(response.headers['www-authenticate'], 'Bearer realm="quorate"')
    answers.push(response.body)
  }
  t.equal(new Set(answers).size, 1)
  t.notMatch(answers[0], asking.admin)
  t.equal(
    (await asking.api.inject({ url: '/kv/a', headers: { authorization: `bearer ${asking.admin}` } })).statusCode,
    404,
  )
})

t.test('a token ends when its time is up', async (t) => {
  const asking = await secured(t)
  const { auth } = asking.api.services
  const { secret } = await asking.admit('app', grants(['read', '']), { ttlMs: 60_000 })
  t.equal((await asking.ask(secret, 'GET', '/kv/a')).status, 404)
  const now = Date.now()
  auth.wall = () => now + 60_001
  t.equal((await asking.ask(secret, 'GET', '/kv/a')).status, 401)
  t.equal((await asking.ask(asking.admin, 'GET', '/kv/a')).status, 404)
})

t.test('a token that may write a/ reaches nothing else, and learns nothing of it', async (t) => {
  const asking = await secured(t)
  const { secret } = await asking.admit('app', grants(['read-write', 'a/']))
  await asking.ask(asking.admin, 'PUT', '/kv/b%2Fthere', 'secret value')
  await asking.ask(asking.admin, 'POST', '/locks/b%2Fheld', { ttlMs: 60_000 })
  const lease = { ttlMs: 60_000 }
  const txn = (operation: object, key: string) => ({ [key]: [operation] })
  const denied = async (
    what: string,
    ...[method, url, body]: Parameters<Asking['ask']> extends [unknown, ...infer Rest] ? Rest : never
  ) => {
    const { status, body: problem, text } = await asking.ask(secret, method, url, body)
    t.equal(status, 403, `${what}: ${method} ${url}`)
    return method === 'HEAD'
      ? ''
      : text.replaceAll('there', 'NAME').replaceAll('absent', 'NAME') + String(problem['code'])
  }
  const seen: string[][] = []
  for (const key of ['b/there', 'b/absent']) {
    const path = encodeURIComponent(key)
    seen.push([
      await denied('read', 'GET', `/kv/${path}`),
      await denied('head', 'HEAD', `/kv/${path}`),
      await denied('by query', 'GET', `/kv?key=${path}`),
      await denied('stale', 'GET', `/kv/${path}?consistency=stale`),
      await denied('past', 'GET', `/kv/${path}?revision=0`),
      await denied('write', 'PUT', `/kv/${path}`, 'v'),
      await denied('delete', 'DELETE', `/kv/${path}`),
      await denied('versions', 'GET', `/history?key=${path}`),
      await denied('watch', 'GET', `/watch?key=${path}`),
      await denied('acquire', 'POST', `/locks/${path}`, lease),
      await denied('look at the lock', 'GET', `/locks/${path}`),
      await denied('look who waits', 'GET', `/locks?name=${path}&waiters=true`),
      await denied('release', 'DELETE', `/locks/${path}?lease=7`),
      await denied('compare', 'POST', '/txn', {
        compare: [{ key, target: 'version', op: '=', value: 1 }],
        ...txn({ get: { key: 'a/k' } }, 'success'),
      }),
      await denied('get', 'POST', '/txn', txn({ get: { key } }, 'success')),
      await denied('get in the other branch', 'POST', '/txn', txn({ get: { key } }, 'failure')),
      await denied('put', 'POST', '/txn', txn({ put: { key, value: 'v' } }, 'success')),
      await denied('delete in a transaction', 'POST', '/txn', txn({ delete: { key } }, 'success')),
    ])
  }
  t.same(seen[0], seen[1], 'whether the key is there makes no difference')
  for (const range of ['', 'prefix=', 'prefix=a', 'start=a/', 'start=a/&end=a0z', 'prefix=b/']) {
    await denied('list', 'GET', `/kv?${range}`)
    await denied('count', 'GET', `/kv?${range}${range === '' ? '' : '&'}countOnly=true`)
    await denied('watch', 'GET', `/watch?${range}`)
    await denied('list locks', 'GET', `/locks?${range}`)
  }
  for (const range of ['prefix=a', 'start=a/', 'all=true', 'prefix=b/&chunked=true'])
    await denied('delete', 'DELETE', `/kv?${range}`)
  const record = JSON.stringify({ key: 'b/new', value: 'v' })
  const imported = await asking.ask(secret, 'POST', '/kv', record, { 'content-type': 'application/x-ndjson' })
  t.equal(imported.status, 403)
  await denied('status', 'GET', '/cluster')
  await denied('backup', 'GET', '/cluster/snapshot')
  await denied('metrics', 'GET', '/metrics')
  await denied('settings and log', 'GET', '/diagnostics')
  await denied('roles', 'GET', '/auth/roles')
  const body = (await asking.ask(secret, 'GET', '/kv/b%2Fthere')).body
  t.match(body, { code: 'forbidden', missing: { access: 'read', key: 'b/there' } })
  t.match((await asking.ask(secret, 'GET', '/kv?prefix=b/')).body, { missing: { access: 'read', prefix: 'b/' } })
  t.equal((await asking.ask(asking.admin, 'GET', '/kv/b%2Fthere')).text, 'secret value')
  t.same((await asking.ask(asking.admin, 'GET', '/kv?prefix=b/&countOnly=true')).body['count'], 1)

  for (const [method, url, payload] of [
    ['PUT', '/kv/a%2F1', 'v'],
    ['GET', '/kv/a%2F1', undefined],
    ['GET', '/kv?prefix=a/', undefined],
    ['GET', '/kv?start=a/&end=a0', undefined],
    ['GET', '/history?key=a/1', undefined],
    ['POST', '/txn', txn({ put: { key: 'a/2', value: 'v', prev: true } }, 'success')],
    ['POST', '/locks/a%2Fl', lease],
    ['GET', '/locks/a%2Fl', undefined],
    ['GET', '/locks?prefix=a/', undefined],
    ['DELETE', '/kv?prefix=a/', undefined],
  ] as const)
    t.equal((await asking.ask(secret, method, url, payload)).status, 200, `${method} ${url}`)
})

t.test('a lease shows those of its keys, and those locks, that may be read', async (t) => {
  const asking = await secured(t)
  const { secret } = await asking.admit('app', grants(['read-write', 'b/'], ['read', 'd/']))
  await asking.ask(asking.admin, 'POST', '/leases', { ttlMs: 60_000, id: 7 })
  for (const key of ['a/1', 'a/2', 'b/1', 'c/1', 'd/1', 'e/1'])
    await asking.ask(asking.admin, 'PUT', `/kv/${encodeURIComponent(key)}?lease=7`, 'v')
  await asking.ask(asking.admin, 'POST', '/locks/a%2Fl', { ttlMs: 60_000 })
  await asking.ask(asking.admin, 'POST', '/locks/b%2Fl', { ttlMs: 60_000 })
  const shown: unknown[] = []
  let cursor: string | undefined
  do {
    const { body } = await asking.ask(
      secret,
      'GET',
      `/leases/7?limit=1${cursor === undefined ? '' : `&cursor=${cursor}`}`,
    )
    shown.push(...(body['keys'] as unknown[]))
    cursor = body['cursor'] as string | undefined
    t.notMatch(Buffer.from(cursor ?? '', 'base64url').toString(), /^[ace]/, 'nor does a cursor name another')
  } while (cursor !== undefined)
  t.same(shown, ['b/1', 'd/1'])
  const { leases } = (await asking.ask(secret, 'GET', '/leases')).body as { leases: { use: string; lock?: string }[] }
  t.same(
    leases.filter(({ use }) => use === 'lock').map(({ lock }) => lock),
    [undefined, 'b/l'],
  )
  t.match(await asking.ask(secret, 'POST', '/leases/7/keepalive'), { status: 403, body: { missing: { lease: 7 } } })
  t.match(await asking.ask(secret, 'PUT', '/kv/b%2F2?lease=7', 'v'), { status: 403, body: { missing: { lease: 7 } } })
  const own = await asking.ask(secret, 'POST', '/leases', { ttlMs: 60_000 })
  t.equal((await asking.ask(secret, 'PUT', `/kv/b%2F2?lease=${Number(own.body['id'])}`, 'v')).status, 200)
  t.equal((await asking.ask(secret, 'DELETE', `/leases/${Number(own.body['id'])}`)).status, 200)
})

t.test('what is denied is looked at again with a state that is recent, and a revocation counts at once', async (t) => {
  const asking = await secured(t)
  const { auth, keys } = asking.api.services
  const { secret, id } = await asking.admit('app', grants(['write', 'a']))
  const role = { name: 'app', grants: [{ access: 'read', keys: { type: 'prefix', prefix: '' } }], rights: [] } as const
  // Another node has answered that the role is changed; this one learns of it when it asks.
  auth.beforeConfirmed = async () =>
    void keys.store.one({ type: 'role-put', role, token: NODE_ITSELF, idempotency: null })
  keys.beforeGet = async () => undefined
  t.equal((await asking.ask(secret, 'GET', '/cluster')).status, 403)
  t.equal((await asking.ask(secret, 'GET', '/kv/a')).status, 404, 'the read comes after that')
  auth.beforeConfirmed = async () => {}
  const before = auth.confirmations
  t.equal((await asking.ask(secret, 'GET', '/kv/a')).status, 404)
  t.equal(auth.confirmations, before, 'what is allowed costs nothing')
  t.equal((await asking.ask(asking.admin, 'DELETE', `/auth/tokens/${id}`)).status, 204)
  t.equal((await asking.ask(secret, 'GET', '/kv/a')).status, 401)
  auth.beforeConfirmed = async () => {
    throw Object.assign(new Error('planted'), { name: 'TypeError' })
  }
  t.equal((await asking.ask(secret, 'GET', '/kv/a')).status, 500, 'an unexpected error is one')
})

t.test('the state that shows whether a token counts is waited for no longer than the request may take', async (t) => {
  const asking = await secured(t)
  const { auth } = asking.api.services
  const { secret } = await asking.admit('app', grants(['read', 'a']))
  const confirmedIn = async (token: string, method: 'GET' | 'PUT', url: string, status: number, body?: object) => {
    auth.confirmedWithinMs = null
    t.equal((await asking.ask(token, method, url, body)).status, status, `${method} ${url}`)
    return auth.confirmedWithinMs
  }
  const { requestTimeoutMsDefault: usual } = limits
  for (const path of ['/auth/roles', '/auth/roles/app', '/auth/tokens']) {
    t.equal(await confirmedIn(asking.admin, 'GET', path, 200), usual)
    t.equal(await confirmedIn(asking.admin, 'GET', `${path}?timeout=300ms`, 200), 300)
    t.equal(await confirmedIn(asking.admin, 'GET', `${path}?timeout=1m`, 200), limits.requestTimeoutMsMax)
  }
  const retention = { revisions: 1_000, ageMs: 60_000, bytes: 1_000_000 }
  t.equal(await confirmedIn(asking.admin, 'PUT', '/compaction?redirect=false&timeout=2', 200, retention), 2_000)
  const { confirmMs } = limits.auth
  for (const path of ['/cluster', '/cluster/leader', '/cluster/membership', '/metrics', '/diagnostics']) {
    t.equal(await confirmedIn(secret, 'GET', path, 403), confirmMs, 'what is denied')
    t.equal(await confirmedIn(secret, 'GET', `${path}?timeout=300ms`, 403), 300)
    t.equal(await confirmedIn(secret, 'GET', `${path}?timeout=300ms&timeout=5s`, 403), confirmMs)
  }
  for (const text of ['timeout=0', 'timeout=61s', 'timeout=soon', 'timeout=1s&timeout=1s', 'timeout=%ff']) {
    t.equal(await confirmedIn(asking.admin, 'GET', `/auth/roles?${text}`, 400), usual, text)
    t.equal(
      await confirmedIn(secret, 'GET', `/auth/roles?${text}`, 403),
      confirmMs,
      `${text} by somebody who may not ask`,
    )
  }
})

t.test('a node that may not have learned of the first token asks before it lets anybody in', async (t) => {
  const asking = await secured(t)
  const { auth } = asking.api.services
  const behind = await open(t)
  const there = behind.api.services.auth
  there.isInformed = false
  for (const [method, url] of [
    ['GET', '/cluster'],
    ['GET', '/metrics'],
    ['GET', '/diagnostics'],
    ['GET', '/auth/self'],
    ['POST', '/cluster/purge'],
    ['POST', '/cluster/elections'],
    ['PATCH', '/cluster/membership'],
  ] as const) {
    const before = there.confirmations
    const body = method === 'PATCH' ? { add: [1], remove: [] } : undefined
    await behind.ask(null, method, url, body)
    t.ok(there.confirmations > before, `${method} ${url}`)
  }
  there.beforeConfirmed = () => Promise.reject(new RequestError('read-timeout', 'late'))
  t.match((await behind.ask(null, 'POST', '/cluster/purge')).body, { code: 'read-timeout' })
  t.equal((await behind.ask(null, 'GET', '/kv/a')).status, 404, 'keys are judged when they are read')
  auth.beforeConfirmed = () => Promise.reject(new RequestError('read-timeout', 'late'))
  const unknown = `quorate_${'x'.repeat(43)}`
  t.match((await asking.ask(unknown, 'GET', '/cluster')).body, { code: 'read-timeout' }, 'it may be valid')
})

t.test('a watch whose right was taken while it began ends at once', async (t) => {
  const asking = await secured(t)
  const { watches } = asking.api.services
  const { secret, id } = await asking.admit('app', grants(['read', 'a/']))
  const open = watches.open.bind(watches)
  watches.open = async (options) => {
    const watch = await open(options)
    await asking.ask(asking.admin, 'DELETE', `/auth/tokens/${id}`)
    await asking.ask(asking.admin, 'PUT', '/kv/a%2F1', 'late')
    return watch
  }
  const headers = { authorization: `Bearer ${secret}`, accept: 'application/x-ndjson' }
  const { body } = await asking.api.inject({ method: 'GET', url: '/watch?prefix=a/', headers })
  t.match(body, /"type":"error".*"code":"unauthenticated"/)
  t.notMatch(body, /a\/1/)
})

t.test('watches and streams end when a right is taken away', async (t) => {
  const asking = await secured(t)
  const port = await listen(asking.api.app)
  const { secret } = await asking.admit('app', grants(['read', 'a/']))
  const watcher = await asking.admit('watcher', grants(['read', '']))
  const watch = async (token: string, query: string): Promise<RawConnection> => {
    const connection = new RawConnection(port)
    t.teardown(() => connection.destroy())
    connection.send(
      `GET /watch?${query} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\naccept: application/x-ndjson\r\n\r\n`,
    )
    await connection.until((text) => text.includes('"progress"'))
    return connection
  }
  const one = await watch(secret, 'prefix=a/')
  const other = await watch(watcher.secret, 'prefix=a/')
  await asking.ask(asking.admin, 'PUT', '/auth/roles/app', grants(['read', 'b/']))
  await asking.ask(asking.admin, 'PUT', '/kv/a%2F1', 'late')
  const ended = await one.until((text) => text.includes('"type":"error"'))
  t.match(ended, /"code":"forbidden"/)
  t.match(ended, /"missing":{"access":"read","prefix":"a\/"}/)
  t.notMatch(ended, /late/)
  t.match(await other.until((text) => text.includes('late')), /a\/1/)
  await asking.ask(asking.admin, 'DELETE', `/auth/tokens/${watcher.id}`)
  t.match(await other.until((text) => text.includes('"type":"error"')), /"code":"unauthenticated"/)

  const reader = await asking.admit('reader', grants(['read', '']))
  const { keys } = asking.api.services
  const count = limits.streamRecordsMax + 1
  for (let at = 0; at < count; at++) keys.store.one({ ...put(`s${1_000 + at}`, 'v'), token: NODE_ITSELF })
  let pieces = 0
  keys.beforePiece = async () => {
    pieces += 1
    if (pieces === 2) keys.store.one({ type: 'token-delete', id: reader.id, token: NODE_ITSELF, idempotency: null })
  }
  const stream = new RawConnection(port)
  t.teardown(() => stream.destroy())
  stream.send(
    `GET /kv HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${reader.secret}\r\naccept: application/x-ndjson\r\n\r\n`,
  )
  await stream.untilClosed()
  t.match(stream.text, /s1000/)
  t.notMatch(stream.text, new RegExp(`s${1_000 + count - 1}`), 'an export breaks off')
})

t.test('keys of a lease that may be read are not looked for any more when their client has left', async (t) => {
  const asking = await secured(t)
  const port = await listen(asking.api.app)
  const { secret } = await asking.admit('reader', grants(['read', 'b/']))
  await asking.ask(asking.admin, 'POST', '/leases', { ttlMs: 60_000, id: 7 })
  await asking.ask(asking.admin, 'PUT', '/kv/a?lease=7', 'v')
  const { leases } = asking.api.services
  const get = leases.get.bind(leases)
  let [pages, askedAt] = [0, 0]
  leases.get = async (id, page, options) => {
    pages += 1
    askedAt = performance.now()
    await new Promise((done) => setTimeout(done, 1))
    const { lease, ...found } = await get(id, { ...page, after: null }, options)
    return { ...found, lease: lease === null ? null : { ...lease, keys: { ...lease.keys, more: true } } }
  }
  const opened = new RawConnection(port)
  opened.send(`GET /leases/7?timeout=60s HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${secret}\r\n\r\n`)
  await eventually(() => pages > 2, 'they are looked for')
  opened.destroy()
  await eventually(() => performance.now() - askedAt > 500, 'that ends')
})

t.test('a watch whose token is revoked while its reader takes nothing does not keep its connection', async (t) => {
  const asking = await secured(t, {
    valueBytesMax: 1_000_000,
    watches: { stallMsMax: 60_000 },
    server: { answerStallTimeoutMs: 300 },
  })
  const port = await listen(asking.api.app)
  const { secret, id } = await asking.admit('watcher', grants(['read', '']))
  const stalled = new RawConnection(port)
  t.teardown(() => stalled.destroy())
  stalled.send(`GET /watch HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${secret}\r\n\r\n`)
  await stalled.until((text) => text.includes('progress'))
  stalled.socket.pause()
  for (let n = 0; n < 12; n++) await asking.ask(asking.admin, 'PUT', '/kv/k', 'x'.repeat(1_000_000))
  await asking.ask(asking.admin, 'DELETE', `/auth/tokens/${id}`)
  let open = 1
  await eventually(() => {
    asking.api.app.server.getConnections((_error, count) => (open = count))
    return open === 0
  }, 'the connection is closed')
})

t.test('roles', async (t) => {
  const asking = await secured(t)
  const content = {
    grants: [
      { access: 'read', key: 'ä' },
      { access: 'write', prefix: 'p/' },
      { access: 'read-write', start: 'a', end: 'b' },
      { access: 'read', start: 'x' },
      { access: 'read', end: 'x' },
    ],
    rights: ['cluster:read'],
  }
  const ask = (method: 'GET' | 'PUT' | 'DELETE', name: string, body?: unknown) =>
    asking.ask(asking.admin, method, `/auth/roles/${name}`, body)
  t.match(await ask('PUT', 'app', content), { status: 201, body: { name: 'app', ...content } })
  t.match(await ask('PUT', 'app', content), { status: 200, body: { name: 'app', ...content } })
  t.match(await ask('GET', 'app'), { status: 200, body: { name: 'app', ...content } })
  t.same((await asking.ask(asking.admin, 'GET', '/auth/roles')).body['roles'], [
    {
      name: 'admin',
      grants: [{ access: 'read-write', prefix: '' }],
      rights: ['cluster:read', 'cluster:admin', 'auth:admin'],
    },
    { name: 'app', ...content },
  ])
  t.match(await ask('PUT', 'empty', {}), { status: 201, body: { grants: [], rights: [] } })
  t.equal((await ask('DELETE', 'empty')).status, 204)
  for (const name of ['empty', '-x', 'a%20b']) {
    t.match(await ask('DELETE', name), { status: 404, body: { code: 'role-not-found' } })
    t.match(await ask('GET', name), { status: 404, body: { code: 'role-not-found' } })
  }
  await asking.ask(asking.admin, 'POST', '/auth/tokens', { name: 'n', roles: ['app'] })
  t.match(await ask('DELETE', 'app'), { status: 409, body: { code: 'role-in-use', tokens: 1, detail: /a token has/ } })
  t.match(await ask('PUT', 'admin', {}), { status: 409, body: { code: 'last-admin' } })
  const mistakes: readonly [object, string, RegExp][] = [
    [{ grants: [{ access: 'read' }] }, 'body/grants/0', /names no keys/],
    [{ grants: [{ access: 'read', key: 'a', prefix: 'b' }] }, 'body/grants/0', /in one way/],
    [{ grants: [{ access: 'read', prefix: 'b', end: 'c' }] }, 'body/grants/0', /in one way/],
    [{ grants: [{ access: 'read', start: 'b', end: 'b' }] }, 'body/grants/0', /empty range/],
    [{ grants: [{ access: 'read', start: 'c', end: 'b' }] }, 'body/grants/0', /empty range/],
    [{ grants: [{ access: 'delete', key: 'a' }] }, 'body/grants/0/access', /must be one of/],
    [{ grants: [{ access: 'read', key: '' }] }, 'body/grants/0/key', /no key/],
    [{ rights: ['root'] }, 'body/rights/0', /must be one of/],
    [{ right: [] }, 'body/right', /is unknown/],
  ]
  for (const [body, path, message] of mistakes) {
    const { body: problem } = await ask('PUT', 'app', body)
    const [issue] = problem['issues'] as { path: string; message: string }[]
    t.equal(issue?.path, path)
    t.match(issue?.message, message)
  }
  t.match(await ask('PUT', '-x', {}), { status: 400, body: { issues: [{ path: 'path/name' }] } })
})

t.test('tokens', async (t) => {
  const asking = await secured(t)
  const ask = (method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown) =>
    asking.ask(asking.admin, method, `/auth/tokens${path}`, body)
  const before = Date.now()
  const made = await ask('POST', '', {
    name: 'ci',
    roles: ['admin'],
    ttlMs: 60_000,
    requestsPerSecond: 5,
    bytesPerSecond: 6,
  })
  t.match(made, { status: 201, body: { name: 'ci', requestsPerSecond: 5, bytesPerSecond: 6, secret: SECRET } })
  t.ok(Date.parse(String(made.body['expiresAt'])) >= before + 60_000)
  const { secret: _, ...view } = made.body
  t.same((await ask('GET', `/${Number(made.body['id'])}`)).body, view)
  const { tokens } = (await ask('GET', '')).body as { tokens: Json[] }
  t.same(
    tokens.map(({ name }) => name),
    ['admin', 'ci'],
  )
  t.notMatch(JSON.stringify(tokens), /quorate_|[0-9a-f]{64}/, 'neither secrets nor their hashes are shown')
  const certificateName = 'build machine 7'
  const named = await ask('POST', '', { name: 'x', roles: [], certificateName })
  t.match(named, { status: 201, body: { name: 'x', certificateName } })
  t.notOk('secret' in named.body, 'a certificate stands for it')
  t.match(await ask('POST', '', { name: 'y', roles: [], certificateName }), {
    status: 409,
    body: { code: 'certificate-in-use', id: named.body['id'] },
  })
  t.equal((await ask('DELETE', `/${Number(named.body['id'])}`)).status, 204)
  t.match(await ask('POST', '', { name: 'x', roles: ['none'] }), {
    status: 422,
    body: { code: 'unknown-role', role: 'none' },
  })
  t.match(await ask('DELETE', `/${Number(tokens[0]?.['id'])}`), { status: 409, body: { code: 'last-admin' } })
  t.equal((await ask('DELETE', `/${Number(made.body['id'])}`)).status, 204)
  for (const method of ['GET', 'DELETE'] as const) {
    t.match(await ask(method, `/${Number(made.body['id'])}`), { status: 404, body: { code: 'token-not-found' } })
    t.match(await ask(method, '/0'), { status: 400, body: { issues: [{ path: 'path/id' }] } })
  }
  for (const body of [
    { name: 'a b', roles: [] },
    { name: 'a' },
    { name: 'a', roles: [], ttlMs: 0 },
    { name: 'a', roles: ['r', 'r'] },
    { name: 'a', roles: [], certificateName: '' },
    { name: 'a', roles: [], certificateName: 'n'.repeat(65) },
    { name: 'a', roles: [], certificateName: 'ä' },
  ])
    t.equal((await ask('POST', '', body)).status, 400)
  for (let at = 2; at <= limits.auth.tokensMax; at++) await ask('POST', '', { name: 'many', roles: [] })
  t.match(await ask('POST', '', { name: 'many', roles: [] }), {
    status: 422,
    body: { code: 'auth-full', what: 'tokens', limit: limits.auth.tokensMax },
  })
})

t.test('a token with limits is told to wait, by each node for itself', async (t) => {
  let now = 0
  const asking = await secured(t, { now: () => now })
  const port = await listen(asking.api.app)
  const few = await asking.admit('few', grants(['read-write', '']), { requestsPerSecond: 2 })
  const statuses = async (count: number): Promise<number[]> => {
    const seen: number[] = []
    for (let at = 0; at < count; at++) seen.push((await asking.ask(few.secret, 'GET', '/kv/a')).status)
    return seen
  }
  t.same(await statuses(4), [404, 404, 429, 429])
  const refused = await asking.ask(few.secret, 'GET', '/kv/a')
  t.match(refused, {
    headers: { 'retry-after': '1' },
    body: { code: 'rate-limited', retryAfterSeconds: 1, retryable: true },
  })
  now = 500
  t.same(await statuses(2), [404, 429])
  now = 60_000
  t.same(await statuses(3), [404, 404, 429], 'what was not used is not saved up')
  t.equal((await asking.ask(asking.admin, 'GET', '/kv/a')).status, 404, 'others are not concerned')
  now = 120_000
  const denied = []
  for (let at = 0; at < 3; at++) denied.push((await asking.ask(few.secret, 'GET', '/cluster')).status)
  t.same(denied, [403, 403, 429], 'what is denied counts')

  const light = await asking.admit('light', grants(['read-write', '']), { bytesPerSecond: 1_000 })
  const send = async (method: string, body: string): Promise<ReturnType<typeof answerIn>> => {
    const connection = new RawConnection(port)
    connection.send(
      `${method} /kv/big HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${light.secret}\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
    )
    await connection.untilClosed()
    return answerIn(connection.text)
  }
  t.equal((await send('PUT', 'x'.repeat(1_000))).status, 200)
  const over = await send('GET', '')
  t.equal(over.status, 429)
  t.equal(over.headers.get('retry-after'), '1')
  now += 1_000
  t.equal((await send('GET', '')).status, 200)
  const id = light.id
  await asking.ask(asking.admin, 'DELETE', `/auth/tokens/${id}`)
  t.equal((await send('GET', '')).status, 401)
})

t.test('the audit tells who changed what, and who was refused, and never a secret', async (t) => {
  let now = 0
  const asking = await secured(t, { now: () => now })
  const { audited } = asking.api
  t.match(audited, [
    { operation: 'bootstrapAuth', token: null, status: 201, asked: { name: 'admin' }, remote: '127.0.0.1' },
  ])
  audited.length = 0
  const { secret, id } = await asking.admit('app', grants(['read', 'a/']))
  const [admin] = asking.api.services.auth.table?.tokens.keys() ?? []
  t.match(audited, [
    {
      operation: 'putRole',
      token: admin,
      name: 'admin',
      method: 'PUT',
      path: '/auth/roles/app',
      status: 201,
      asked: grants(['read', 'a/']),
    },
    { operation: 'createToken', token: admin, status: 201, asked: { name: 'app', roles: ['app'], id } },
  ])
  audited.length = 0
  for (let at = 0; at < 3; at++) await asking.ask(secret, 'GET', '/kv/b')
  await asking.ask(null, 'GET', '/kv/b?timeout=1s')
  const forbidden = {
    operation: 'getKey',
    token: id,
    name: 'app',
    status: 403,
    code: 'forbidden',
    path: '/kv/b',
    times: 1,
  }
  t.match(audited, [
    { ...forbidden, missing: { access: 'read', key: 'b' } },
    { operation: 'getKey', token: null, name: null, status: 401, code: 'unauthenticated', path: '/kv/b' },
  ])
  audited.length = 0
  now = limits.auditRefusalIntervalMs
  await asking.ask(secret, 'GET', '/kv/b')
  t.match(audited, [{ ...forbidden, times: 3 }], 'the same refusal is told of once in a while')
  audited.length = 0
  await asking.ask(asking.admin, 'POST', '/cluster/initialize')
  await asking.ask(asking.admin, 'PUT', '/cluster/membership', { voters: [9] })
  await asking.ask(asking.admin, 'GET', '/cluster/snapshot')
  await asking.ask(asking.admin, 'GET', '/kv/a')
  await asking.ask(secret, 'DELETE', `/auth/tokens/${id}`)
  t.match(audited, [
    { operation: 'initializeCluster', status: 200 },
    { operation: 'setVoters', status: 422 },
    { operation: 'getSnapshot', status: 200, answer: 'begun' },
    { operation: 'getSnapshot', status: 200, answer: 'whole' },
    { operation: 'deleteToken', status: 403, code: 'forbidden', missing: { right: 'auth:admin' } },
  ])
  t.notMatch(JSON.stringify(audited), /quorate_/)
})

t.test('each operation that changes anything but keys has one line of audit, done or refused', async (t) => {
  const operations = new Map<string, Operation>()
  const asking = await secured(t, {
    beforeReady: (app) =>
      void app.addHook('onRoute', ({ config }) => {
        const operation = config?.operation
        if (operation !== undefined) operations.set(operation.id, operation)
      }),
  })
  const idle = await asking.admit('idle', {})
  const { audited, document, app, services } = asking.api
  const [admin] = services.auth.table?.tokens.keys() ?? []
  const send = async (secret: string, { headers, ...sample }: Sample): Promise<number> => {
    audited.length = 0
    const authorization = `Bearer ${secret}`
    return (await app.inject({ ...sample, headers: { ...headers, authorization } })).statusCode
  }
  const seen: string[] = []
  for (const [pattern, methods] of Object.entries(document.paths)) {
    for (const [method, { operationId: operation }] of Object.entries(methods)) {
      const access = operations.get(operation)?.access
      if (access === 'keys' || method === 'get' || method === 'head') continue
      seen.push(operation)
      const sample = sampleOf(method.toUpperCase(), pattern)
      const line = { operation, method: sample.method, path: sample.url, remote: '127.0.0.1' }
      const status = await send(asking.admin, sample)
      // The first token is made by somebody who has none.
      const whose = access === 'open' ? { token: null, name: null } : { token: admin, name: 'admin' }
      t.match(audited, [{ ...line, ...whose, status }], `${operation}: what was done`)
      t.equal(audited.length, 1)
      if (access === 'open') continue
      t.equal(audited[0]?.asked === undefined, sample.payload === undefined, `${operation}: what was asked for`)
      t.equal(await send(idle.secret, sample), 403)
      const refused = { ...line, token: idle.id, name: 'idle', status: 403, code: 'forbidden', times: 1 }
      t.match(audited, [refused], `${operation}: what was refused`)
      t.equal(audited.length, 1)
    }
  }
  t.ok(seen.length > 15, seen.join(', '))
})

t.test('the audit tells of what was done for a client that leaves', async (t) => {
  const asking = await secured(t)
  const { audited, services, unexpected } = asking.api
  const port = await listen(asking.api.app)
  let left = 0
  asking.api.app.server.on('connection', (socket: Socket) => socket.once('close', () => (left += 1)))
  const send = (line: string, body = '', length = body.length): RawConnection => {
    const client = new RawConnection(port)
    t.teardown(() => client.destroy())
    const fields = ['Host: node', `Authorization: Bearer ${asking.admin}`, 'Content-Type: application/json']
    client.send([`${line} HTTP/1.1`, ...fields, `Content-Length: ${length}`, '', body].join('\r\n'))
    return client
  }
  const remote = '127.0.0.1'

  t.test('and takes only a part of a backup', async (t) => {
    const { cluster } = services
    await asking.ask(asking.admin, 'POST', '/cluster/initialize')
    cluster.snapshotChunks = Array.from({ length: 1000 }, () => Buffer.alloc(64 * 1024))
    audited.length = 0
    const reading = send('GET /cluster/snapshot')
    await reading.until((text) => text.length > 100_000)
    const backup = { operation: 'getSnapshot', name: 'admin', status: 200, remote }
    t.match(audited, [{ ...backup, answer: 'begun', bytes: undefined }], 'it has begun')
    reading.destroy()
    await eventually(() => audited.length > 1, 'the backup is over')
    t.match(audited.slice(1), [{ ...backup, answer: 'cut' }])
    const { bytes = 0 } = audited[1] ?? {}
    t.ok(bytes > 100_000 && bytes < 64_000 * 1024, `${bytes} bytes`)
    await eventually(() => cluster.openSnapshots === 0, 'the snapshot is closed')
    audited.length = 0
    cluster.snapshotChunks = [Buffer.alloc(70_000), Buffer.alloc(30_000)]
    await send('GET /cluster/snapshot').until((text) => text.endsWith('0\r\n\r\n'))
    await eventually(() => audited.length > 1, 'the backup is over')
    t.match(audited, [
      { ...backup, answer: 'begun' },
      { ...backup, answer: 'whole', bytes: 100_000 },
    ])
  })

  t.test('and asked for two backups at once', async (t) => {
    const { cluster } = services
    cluster.snapshotChunks = Array.from({ length: 100 }, () => Buffer.alloc(64 * 1024))
    audited.length = 0
    const { promise: released, resolve: release } = deferred<void>()
    let asked = 0
    cluster.beforeSnapshot = async () => {
      asked += 1
      if (asked === 1) await released
    }
    const client = send('GET /cluster/snapshot')
    client.send(`GET /cluster/snapshot HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer ${asking.admin}\r\n\r\n`)
    await eventually(() => audited.length > 0, 'the second one begins first')
    client.socket.resetAndDestroy()
    await eventually(() => audited.length > 1, 'the second one is over')
    release()
    await eventually(() => audited.length > 3, 'the first one is over')
    t.same(
      audited.map(({ answer }) => answer),
      ['begun', 'cut', 'begun', 'cut'],
    )
    for (const line of audited) t.match(line, { operation: 'getSnapshot', remote })
    cluster.beforeSnapshot = async () => {}
  })

  t.test('and has gone before the answer', async (t) => {
    audited.length = 0
    left = 0
    const { promise: released, resolve: release } = deferred<void>()
    let waiting = 0
    const wait = async (): Promise<void> => {
      waiting += 1
      await released
    }
    const bodies = [1, 2, 3].map((at) => JSON.stringify({ name: `t${at}`, roles: ['admin'] }))
    services.keys.beforeExecute = wait
    const clients = bodies.map((body) => send('POST /auth/tokens', body))
    await eventually(() => waiting === 3, 'the commands are on their way')
    let confirmed = 0
    services.auth.beforeConfirmed = async () => void (confirmed += 1)
    clients.push(send('POST /auth/tokens', '{"name":', 100))
    await eventually(() => confirmed === 1, 'a body is being read')
    services.auth.beforeConfirmed = wait
    clients.push(send('POST /auth/tokens', '{"name":', 100), send('POST /auth/tokens', bodies[0]))
    await eventually(() => waiting === 5, 'the others are confirmed')
    for (const { socket } of clients) socket.resetAndDestroy()
    await eventually(() => left === clients.length, 'the node has seen that they are gone')
    release()
    await eventually(() => audited.length === clients.length, 'each of them has its line')
    for (const line of audited) t.match(line, { operation: 'createToken', name: 'admin', remote })
    const made = audited.filter(({ status }) => status === 201)
    t.match(
      made.map(({ asked }) => asked),
      [1, 2, 3].map((at) => ({ name: `t${at}`, id: Number })),
    )
    t.equal(audited.filter(({ status }) => status === 400).length, 3, 'also those that were not read')
  })
  t.same(unexpected, [])
})

t.test('who may use which route', async (t) => {
  const asking = await secured(t)
  const roles: readonly [string, object][] = [
    ['nothing', {}],
    ['read a/', grants(['read', 'a/'])],
    ['read-write a/', grants(['read-write', 'a/'])],
    ['cluster:read', { rights: ['cluster:read'] }],
    ['cluster:admin', { rights: ['cluster:admin'] }],
    ['auth:admin', { rights: ['auth:admin'] }],
  ]
  const secrets: (readonly [string, string | null])[] = [['no token', null]]
  for (const [at, [name, role]] of roles.entries()) secrets.push([name, (await asking.admit(`r${at}`, role)).secret])
  secrets.push(['everything', asking.admin])
  const rows: string[][] = []
  for (const [pattern, methods] of Object.entries(asking.api.document.paths)) {
    for (const method of Object.keys(methods)) {
      const { payload, headers, ...sample } = sampleOf(method.toUpperCase(), pattern)
      const marks: string[] = []
      for (const [, secret] of secrets) {
        // A watch that has begun has no end.
        const response = await (sample.url.startsWith('/watch') ? beginning : whole)(asking, {
          ...sample,
          ...(payload === undefined ? {} : { payload }),
          headers: { ...headers, ...(secret === null ? {} : { authorization: `Bearer ${secret}` }) },
        })
        marks.push(response === 401 || response === 403 ? '' : 'x')
      }
      rows.push([`\`${method.toUpperCase()} ${pattern}\``, ...marks])
    }
  }
  const heads = ['route', ...secrets.map(([name]) => name)]
  const table = [heads, ...rows].map((cells) => cells.map((cell) => cell.trim()).join('|'))
  const documented = readFileSync(new URL('../../docs/SECURITY.md', import.meta.url), 'utf8')
  const written = documented
    .slice(documented.indexOf('| route'))
    .split('\n\n')[0]
    ?.split('\n')
    .filter((line) => !/^\|[ -]/.test(line) || !line.includes('---'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim())
        .join('|'),
    )
  t.same(written, table, `docs/SECURITY.md says who may use which route:\n\n${markdown([heads, ...rows])}`)
})

function markdown([heads = [], ...rows]: readonly (readonly string[])[]): string {
  return [heads, heads.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

type Request = Sample

async function whole(asking: Asking, request: Request): Promise<number> {
  return (await asking.api.app.inject(request)).statusCode
}

async function beginning(asking: Asking, request: Request): Promise<number> {
  const ended = new AbortController()
  const response = await asking.api.app.inject({ ...request, payloadAsStream: true, signal: ended.signal })
  const { statusCode } = response
  response
    .stream()
    .on('error', () => undefined)
    .destroy()
  ended.abort()
  return statusCode
}
