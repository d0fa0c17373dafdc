import { createHash } from 'node:crypto'
import t from 'tap'
import { limits } from '../../src/limits.ts'
import { SECRET, open, secured } from './support/asking.ts'

const DRAWN = `quorate_${createHash('sha256').update('one').digest('base64url')}`
const OTHER = `quorate_${createHash('sha256').update('two').digest('base64url')}`

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
