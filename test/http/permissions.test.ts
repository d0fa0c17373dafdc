import t from 'tap'
import { NODE_ITSELF } from '../../src/kv/index.ts'
import { RequestError } from '../../src/lib/errors.ts'
import { limits } from '../../src/limits.ts'
import { put } from '../kv/support/batch-store.ts'
import { eventually, listen, RawConnection } from '../support/raw-client.ts'
import { open, secured, grants, type Asking } from './support/asking.ts'

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
