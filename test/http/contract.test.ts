import { readdirSync, readFileSync } from 'node:fs'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import t from 'tap'
import { failures, type ErrorCode, type Failure } from '../../src/lib/errors.ts'
import { limits } from '../../src/limits.ts'
import { negotiate } from '../../src/http/protocol/accept.ts'
import { buildApp } from '../../src/http/app.ts'
import { openCheckedApi, schemaValidator, type Document, type OperationDoc } from '../support/checked-api.ts'
import { boundsInWords, boundsTables, recording, untold } from '../support/documented-bounds.ts'
import { retries, type Ask } from '../support/retries.ts'
import { sampleOf } from '../support/sample-requests.ts'
import { memoryServices } from '../support/memory-services.ts'

const table: Readonly<Record<ErrorCode, Failure>> = failures
const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

/** The writes under whose keys first answers are kept: all that change keys, leases, locks and history. */
const KEPT = [
  'DELETE /kv',
  'DELETE /kv/{key}',
  'DELETE /leases/{id}',
  'DELETE /locks',
  'DELETE /locks/{name}',
  'POST /compaction',
  'POST /kv',
  'POST /leases',
  'POST /leases/{id}/keepalive',
  'POST /locks',
  'POST /locks/{name}',
  'POST /txn',
  'PUT /compaction',
  'PUT /kv',
  'PUT /kv/{key}',
]

interface Answered {
  readonly lease?: number
}

function keyDescriptionOf({ parameters = [] }: OperationDoc): string {
  return parameters.find((one) => one.name === 'Idempotency-Key')?.description ?? ''
}

interface Example {
  readonly path: string
  readonly schema: Readonly<Record<string, unknown>>
  readonly example: unknown
}

/** Those of parameters and bodies, which stand beside their schema, and those within a schema. */
function* examplesIn(part: unknown, path: string): Generator<Example> {
  if (typeof part !== 'object' || part === null) return
  const node = part as Readonly<Record<string, unknown>>
  const { schema = node, example, examples } = node
  const given: unknown[] = example === undefined ? [] : [example]
  if (Array.isArray(examples)) given.push(...(examples as readonly unknown[]))
  else
    given.push(...Object.values((examples ?? {}) as Readonly<Record<string, { readonly value: unknown }>>).map(valueOf))
  for (const one of given) yield { path, schema: schema as Example['schema'], example: one }
  for (const [name, inner] of Object.entries(node)) {
    if (name !== 'example' && name !== 'examples') yield* examplesIn(inner, `${path}/${name}`)
  }
}

const valueOf = ({ value }: { readonly value: unknown }): unknown => value

function operationsOf(paths: Readonly<Record<string, Readonly<Record<string, OperationDoc>>>>) {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )
}

t.test('the committed OpenAPI document is what the node answers', async (t) => {
  const { app, document } = await openCheckedApi(t)
  const committed: unknown = JSON.parse(read('openapi/openapi.json'))
  t.same(document, committed, 'run `npm run openapi` and commit the result')
  const response = await app.inject('/openapi.json')
  t.equal(response.headers['content-type'], 'application/json; charset=utf-8')
})

t.test('every operation is documented in full', async (t) => {
  const { document } = await openCheckedApi(t)
  t.equal(document.openapi, '3.1.0')
  const ids = new Set<string>()
  for (const { path, method, operation } of operationsOf(document.paths)) {
    const name = `${method} ${path}`
    t.ok(operation.summary.length > 0 && operation.tags.length === 1, `${name} has a summary and a tag`)
    t.notOk(ids.has(operation.operationId), `${name} has an id of its own`)
    ids.add(operation.operationId)
    for (const parameter of operation.parameters ?? []) {
      t.ok((parameter.description ?? '').length > 0, `${name} says what ${parameter.name} is`)
    }
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter)
    const declared = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path')
    t.same(
      declared.map((parameter) => parameter.name),
      inPath,
      `${name} declares what its path holds`,
    )
    for (const status of ['400', '408', '431', '500'])
      t.ok(status in operation.responses, `${name} may answer ${status}`)
    for (const [status, response] of Object.entries(operation.responses)) {
      const isHealth = status === '503' && ['getLiveness', 'getReadiness'].includes(operation.operationId)
      const types = isHealth ? ['application/problem+json', 'text/plain'] : ['application/problem+json']
      if (Number(status) >= 400) t.same(Object.keys(response.content ?? {}), types, `${name} ${status}`)
      if (status === '429' || status === '503') t.ok('Retry-After' in (response.headers ?? {}), `${name} ${status}`)
    }
  }
  const bodies = new Map(
    operationsOf(document.paths).map(({ operation }) => [operation.operationId, operation.requestBody]),
  )
  t.equal(bodies.get('initializeCluster')?.required, false)
  t.equal(bodies.get('putKey')?.required, false)
  t.equal(bodies.get('addLearner')?.required, true)
})

t.test('every request that can wait for anything takes its deadline', async (t) => {
  const { document, inject } = await openCheckedApi(t)
  const without: string[] = []
  for (const { path, method, operation } of operationsOf(document.paths)) {
    const name = `${method.toUpperCase()} ${path}`
    const parameter = operation.parameters?.find((one) => one.name === 'timeout' && one.in === 'query')
    if (parameter === undefined) {
      without.push(name)
      continue
    }
    t.match(parameter.description, new RegExp(`at most ${limits.requestTimeoutMsMax / 1000} s`), name)
    const { url, ...sample } = sampleOf(method.toUpperCase(), path)
    for (const timeout of ['0', '60001ms', 'soon']) {
      const refused = await inject({ ...sample, url: `${url}${url.includes('?') ? '&' : '?'}timeout=${timeout}` })
      t.equal(refused.statusCode, 400, `${name} within ${timeout}`)
      if (method !== 'head') t.match(refused.json(), { issues: [{ path: 'query/timeout', message: /from 1ms to 1m/ }] })
    }
  }
  t.same(without.sort(), ['GET /', 'GET /livez', 'GET /openapi.json', 'GET /readyz', 'GET /version'])
})

t.test('every route is in the document, and nothing else', async (t) => {
  const fail = (error: unknown) => t.fail(String(error))
  const app = buildApp(
    { now: () => 0, onUnexpected: fail, onFatal: fail, onConnectionsRefused: fail },
    memoryServices(),
  )
  t.teardown(() => app.close())
  const served = new Set<string>()
  app.addHook('onRoute', ({ method, url }) => {
    // The files of the pages.
    if (url.startsWith('/docs') || url.startsWith('/ui')) return
    for (const name of [method].flat())
      served.add(
        `${name} ${url
          .replace('/locks/*', '/locks/{name}')
          .replace('*', '{key}')
          .replace(/:(id|name)/, '{$1}')}`,
      )
  })
  const document = (await app.inject('/openapi.json')).json<Document>()
  const documented = operationsOf(document.paths).map(({ method, path }) => `${method.toUpperCase()} ${path}`)
  t.ok(served.size > 20)
  // HEAD needs no words of its own where it answers as GET does.
  const own = [...served].filter((name) => !name.startsWith('HEAD ') || documented.includes(name))
  t.same(documented.sort(), own.sort())
  const streams = ['GET /cluster/snapshot', 'GET /watch']
  for (const name of documented.filter((one) => one.startsWith('GET ') && !streams.includes(one))) {
    t.ok(served.has(name.replace('GET', 'HEAD')), `HEAD for ${name}`)
  }
})

t.test(
  'every write refuses a malformed idempotency key, and keeps its first answer or says what it does instead',
  async (t) => {
    const { document, inject, services } = await openCheckedApi(t)
    const writes = operationsOf(document.paths).filter(({ method }) => !['get', 'head'].includes(method))
    // Once there is a token, everything needs one.
    writes.sort((one, other) => Number(one.path === '/auth/bootstrap') - Number(other.path === '/auth/bootstrap'))
    t.ok(writes.length > 25)
    const kept: string[] = []
    for (const { path, method, operation } of writes) {
      const name = `${method.toUpperCase()} ${path}`
      const { headers, ...sample } = sampleOf(method.toUpperCase(), path)
      const under = (key: string) => inject({ ...sample, headers: { ...headers, 'idempotency-key': key } })
      for (const key of ['', 'a b', 'é', 'a\tb', 'k'.repeat(limits.idempotencyKeyBytesMax + 1)]) {
        const answer = (await under(key)).json<object>()
        t.match(answer, { status: 400, issues: [{ path: 'header/idempotency-key' }] }, `${name} under ${key}`)
      }
      const description = keyDescriptionOf(operation)
      const isKept = description.startsWith('Names this write')
      t.ok(isKept || /no first answer is kept under it\. Sent again/.test(description), `${name} says it`)
      const key = `${'k'.repeat(limits.idempotencyKeyBytesMax - 4)}${String(writes.length + kept.length).padStart(4, '0')}`
      const first = await under(key)
      t.notMatch(first.body, /idempotency-key/, `${name} takes the longest key`)
      if (!isKept) continue
      kept.push(name)
      const { revision } = services.keys.store.machine
      const again = await under(key)
      t.same([again.statusCode, again.body], [first.statusCode, first.body], `${name} gives its first answer`)
      t.equal(services.keys.store.machine.revision, revision, `${name} takes effect once`)
      t.match((await inject({ method: 'PUT', url: '/kv/b', headers: { 'idempotency-key': key } })).json(), {
        code: 'idempotency-key-reused',
      })
    }
    t.same(kept.sort(), KEPT)
  },
)

t.test('what a retry gets and does after a change in between is what the document says', async (t) => {
  const { document } = await openCheckedApi(t)
  t.same([...new Set(retries.map(({ operation }) => operation))].sort(), KEPT)
  for (const { operation, says, before, request, first, between, retry, after } of retries) {
    const [method = '', path = ''] = operation.split(' ')
    const documented = document.paths[path]?.[method.toLowerCase()]
    t.match(documented === undefined ? '' : keyDescriptionOf(documented), says, operation)
    const { inject } = await openCheckedApi(t)
    let lease = 0
    const ask = async ([asked, url, body, headers = {}]: Ask) => {
      const response = await inject({
        method: asked,
        url: url.replace('LEASE', String(lease)),
        ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
        headers: { ...(typeof body === 'object' ? { 'content-type': 'application/json' } : {}), ...headers },
      })
      const isJson = /json/.test(String(response.headers['content-type']))
      return { status: response.statusCode, body: isJson ? response.json<Answered>() : response.body }
    }
    for (const one of before) {
      const { status, body } = await ask(one)
      if (status >= 300) throw new Error(`${operation}: ${JSON.stringify(body)}`)
      if (typeof body === 'object' && typeof body.lease === 'number') lease = body.lease
    }
    const [asked, url, body, headers] = request
    const named: Ask = [asked, url.replace('LEASE', String(lease)), body, { ...headers, 'idempotency-key': 'n' }]
    const answer = await ask(named)
    t.match(answer, first, `${operation}: the first answer`)
    if (typeof answer.body === 'object' && typeof answer.body.lease === 'number') lease = answer.body.lease
    for (const one of between) t.ok((await ask(one)).status < 300, `${operation}: ${one[0]} ${one[1]} in between`)
    const again = await ask(named)
    if (retry === 'the first answer') t.same(again, answer, `${operation}: the retry`)
    else t.match(again, retry, `${operation}: the retry`)
    for (const [one, found] of after) t.match(await ask(one), found, `${operation}: ${one[0]} ${one[1]} afterwards`)
  }
})

t.test('table, document and OpenAPI agree on the codes of errors', async (t) => {
  const { document } = await openCheckedApi(t)
  const rows = new Map<string, readonly string[]>()
  for (const line of read('docs/ERRORS.md').split('\n')) {
    const cells = line.split('|').map((cell) => cell.trim())
    const code = /^`([a-z-]+)`$/.exec(cells[1] ?? '')?.[1]
    if (code !== undefined) rows.set(code, cells)
  }
  t.same([...rows.keys()].sort(), Object.keys(table).sort(), 'docs/ERRORS.md lists each code, and no other')
  for (const [code, failure] of Object.entries(table)) {
    const [, , status, retryable, ambiguous, meaning = '', advice = ''] = rows.get(code) ?? []
    const yesNo = (value: boolean) => (value ? 'yes' : 'no')
    t.same(
      [status, retryable, ambiguous],
      [String(failure.status), yesNo(failure.retryable), yesNo(failure.ambiguous)],
      code,
    )
    t.ok(meaning.length > 0 && advice.length > 0, `${code} says what it means and what to do`)
  }
  const statuses = [...rows.values()].map((cells) => Number(cells[2]))
  t.same(
    statuses,
    statuses.toSorted((a, b) => a - b),
    'in the order of their status',
  )

  const problem = document.components.schemas['Problem']
  t.match(problem, { properties: { code: { enum: Object.keys(table) } } })

  const answered = new Set<string>()
  for (const { path, method, operation } of operationsOf(document.paths)) {
    for (const [status, response] of Object.entries(operation.responses)) {
      const schema = JSON.stringify(response.content?.['application/problem+json']?.schema ?? {})
      for (const code of /"enum":(\[[^\]]*\])/.exec(schema)?.[1]?.match(/[a-z-]+/g) ?? []) {
        answered.add(code)
        t.equal(code in table && String(table[code as ErrorCode].status), status, `${code} of ${method} ${path}`)
      }
    }
  }
  // These belong to what reaches no operation of the document, and to what comes after an answer has begun.
  const elsewhere = ['route-not-found', 'method-not-allowed', 'too-slow']
  t.same([...answered, ...elsewhere].sort(), Object.keys(table).sort(), 'each other code belongs to an operation')
})

t.test('the limits that the documents name are the limits', async (t) => {
  const errors = read('docs/ERRORS.md')
  t.match(errors, `longer than ${limits.keyBytesMax} bytes`)
  t.match(errors, `larger than ${limits.httpHeaderBytesMax / 1024} KiB`)
  t.match(
    errors,
    `in full within ${limits.httpReceiveTimeoutMs / 1000} s, or its headers within ${limits.httpHeadersTimeoutMs / 1000} s`,
  )
})

t.test(
  'the bounds in the documents are those of the program, and none that a client can meet is missing',
  async (t) => {
    const { bounds, read: told } = recording()
    for (const { document, heading, rows } of boundsTables) {
      const section = (read(document).split(`\n${heading}\n`)[1] ?? '').split('\n## ')[0] ?? ''
      const table = section.split('\n\n').find((part) => /^\| what +\| bound/.test(part)) ?? ''
      const found = table
        .split('\n')
        .slice(2)
        .map((line) => line.split('|').map((cell) => cell.trim()))
        .map(([, what = '', bound = '']) => [what, bound])
      const expected = Object.entries(rows).map(([what, tell]) => [what, tell(bounds)])
      t.same(found, expected, `${document}, ${heading}`)
    }
    for (const [document, sentences] of Object.entries(boundsInWords)) {
      const words = read(document).replace(/\s+/g, ' ')
      for (const tell of sentences) t.ok(words.includes(tell(bounds)), `${document}: ${tell(bounds)}`)
    }
    const met = new Set<string>()
    for (const folder of ['src/http', 'src/api']) {
      for (const name of readdirSync(new URL(`../../${folder}`, import.meta.url), {
        recursive: true,
        encoding: 'utf8',
      })) {
        if (!name.endsWith('.ts')) continue
        for (const [, one = ''] of read(`${folder}/${name}`).matchAll(/\blimits\.((?!ts')\w+(?:\.\w+)?)/g)) met.add(one)
      }
    }
    t.ok(met.size > 60)
    t.same(
      [...met].filter((name) => !told.has(name) && !untold.includes(name)).sort(),
      [],
      'each is told, or nobody is refused by it',
    )
    t.same(
      untold.filter((name) => told.has(name) || !met.has(name)),
      [],
      'and no name is left over',
    )
  },
)

t.test('every example of the document is one of its schema', async (t) => {
  const { document } = await openCheckedApi(t)
  const validate = schemaValidator(document)
  const examples = [...examplesIn(document, '')]
  for (const { path, schema, example } of examples) t.equal(validate(schema, example), null, path)
  for (const kind of ['requestBody', 'responses', 'parameters', 'components'])
    t.ok(
      examples.some(({ path }) => path.includes(`/${kind}/`)),
      kind,
    )
  t.ok(examples.length > 200, `${examples.length} examples`)
})

t.test('the documentation page works without anything from elsewhere', async (t) => {
  const { app } = await openCheckedApi(t)
  const page = await app.inject('/docs')
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], /^text\/html/)
  const policy = String(page.headers['content-security-policy'])
  t.match(policy, /default-src 'none';script-src 'self';style-src 'self' 'unsafe-inline';.*connect-src 'self'/)
  t.notMatch(policy, /script-src [^;]*unsafe|upgrade-insecure-requests/)
  const headers = {
    'x-frame-options': 'DENY',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-resource-policy': 'same-origin',
  }
  t.match(page.headers, headers)
  t.notOk('strict-transport-security' in page.headers, 'that would bind other services of the host')
  t.notOk('content-security-policy' in (await app.inject('/openapi.json')).headers, 'other routes do without')
  const sources = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, source]) => source ?? '')
  t.ok(sources.length > 3)
  for (const source of sources) {
    t.match(source, /^\/docs\//)
    const file = await app.inject(source)
    t.equal(file.statusCode, 200, source)
    t.match(file.headers, headers, source)
  }
  const large = await app.inject('/docs/static/swagger-ui-bundle.js')
  t.match(large.headers, { 'content-type': 'text/javascript; charset=utf-8', 'cache-control': 'no-cache', etag: /^"/ })
  for (const path of ['none.js', 'csp.json', 'INDEX.CSS', '/index.css', ''])
    t.equal((await app.inject(`/docs/static/${path}`)).statusCode, 404, path)
  t.equal((await app.inject('/docs/static/%69ndex.css')).statusCode, 200, 'the same path, written otherwise')
  t.equal((await app.inject('/docs/static/..%2f..%2fpackage.json')).statusCode, 404)
  t.equal((await app.inject('/docs/static/%2e%2e/index.js')).statusCode, 404)
})

t.test(
  'the dashboard is files of the node: small, compressed, for ever or not at all, under a strict policy',
  async (t) => {
    const { app } = await openCheckedApi(t)
    const moved = await app.inject('/ui')
    t.match([moved.statusCode, moved.headers.location], [302, 'ui/'])
    const page = await app.inject('/ui/')
    t.equal(page.statusCode, 200)
    t.match(page.headers, { 'content-type': /^text\/html/, 'cache-control': 'no-cache', 'x-frame-options': 'DENY' })
    const policy = String(page.headers['content-security-policy'])
    t.match(policy, /default-src 'none';script-src 'self';style-src 'self';.*connect-src 'self'/)
    t.notMatch(policy, /unsafe|upgrade-insecure-requests/)
    t.notOk('strict-transport-security' in page.headers, 'that would bind other services of the host')
    const { etag } = page.headers
    t.match(etag, /^"[\w-]{22}"$/, 'made of its content: files of a package have one time in every version')
    const known = await app.inject({ url: '/ui/', headers: { 'if-none-match': String(etag) } })
    t.match([known.statusCode, known.body, known.headers.etag], [304, '', etag])
    const other = await app.inject({ url: '/ui/', headers: { 'if-none-match': '"x"' } })
    t.equal(other.statusCode, 200)
    t.notOk('content-security-policy' in (await app.inject('/livez')).headers, 'other routes do without')

    const sources = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, source]) => source ?? '')
    t.equal(sources.length, 3, 'an icon, a style sheet and a script')
    let scriptBytes = 0
    for (const source of sources) {
      t.match(source, /^\.\/assets\//)
      const url = source.replace('./', '/ui/')
      const plain = await app.inject(url)
      t.match(plain.headers, { 'cache-control': 'public, max-age=31536000, immutable', vary: 'accept-encoding' })
      const refused = { 'accept-encoding': 'br;q=0, deflate, *;q=0' }
      t.ok((await app.inject({ url, headers: refused })).rawPayload.equals(plain.rawPayload), source)
      for (const encoding of ['br', 'gzip']) {
        const packed = await app.inject({ url, headers: { 'accept-encoding': encoding } })
        t.equal(packed.headers['content-encoding'], encoding, source)
        const bytes = encoding === 'br' ? brotliDecompressSync(packed.rawPayload) : gunzipSync(packed.rawPayload)
        t.ok(bytes.equals(plain.rawPayload), source)
        if (encoding === 'gzip' && source.endsWith('.js')) scriptBytes += packed.rawPayload.length
      }
    }
    t.ok(scriptBytes > 10_000 && scriptBytes < 150_000, `${scriptBytes} bytes of compressed script`)
    const missing = await app.inject('/ui/assets/none.js')
    t.match([missing.statusCode, missing.json<{ code: string }>().code], [404, 'route-not-found'])
    t.notOk('cache-control' in missing.headers, 'a file that is missing is not kept')
    for (const path of ['/ui/..%2f..%2fpackage.json', '/ui/%2e%2e/main.js', '/ui/assets/..%2f..%2f..%2fpackage.json']) {
      t.equal((await app.inject(path)).statusCode, 404, path)
    }
    t.equal((await app.inject({ url: '/ui/', method: 'POST' })).statusCode, 405)
  },
)

t.test('Accept: the type with the most weight, and of equals the one named most exactly', async (t) => {
  const offers = ['a/b', 'a/c'] as const
  const cases: [string | undefined, string][] = [
    [undefined, 'a/b'],
    ['', 'a/b'],
    ['*/*', 'a/b'],
    ['a/*', 'a/b'],
    ['a/c', 'a/c'],
    ['a/c, */*', 'a/c'],
    ['*/*, A/C', 'a/c'],
    ['a/b;q=0.1, a/c;q=0.2', 'a/c'],
    ['a/c;q=0.1, */*', 'a/b'],
    ['a/b;q=0, */*;q=0.1', 'a/c'],
    ['a/c;q=nonsense', 'a/b'],
    ['a/c;q=7', 'a/b'],
    ['a/c ; level=1 ; q=1', 'a/c'],
    ['text/html', 'a/b'],
    [',,;q=1,', 'a/b'],
  ]
  for (const [header, expected] of cases) t.equal(negotiate(header, offers), expected, String(header))
})
