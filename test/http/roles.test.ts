import { readFileSync } from 'node:fs'
import t from 'tap'
import { limits } from '../../src/limits.ts'
import { answerIn, listen, RawConnection } from '../support/raw-client.ts'
import { sampleOf, type Sample } from '../support/sample-requests.ts'
import { SECRET, secured, grants, type Asking, type Json } from './support/asking.ts'

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
