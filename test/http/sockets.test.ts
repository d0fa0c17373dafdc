import t from 'tap'
import { deferred } from '../../src/lib/deferred.ts'
import { RequestError } from '../../src/lib/errors.ts'
import { limits } from '../../src/limits.ts'
import { answerIn, eventually } from '../support/raw-client.ts'
import { head, host, last, problemIn, serve } from './support/raw-api.ts'

t.test('bytes that are no request are told what is wrong with them', async (t) => {
  const { connection, services } = await serve(t)
  for (const [bytes, detail] of [
    [head('GET /kv/\xc3\xbc HTTP/1.1', host), /^the URL holds a character that has to be percent-encoded/],
    [head('GET /kv/a b HTTP/1.1', host), /^the URL holds a character/],
    [head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 1', 'Content-Length: 1') + 'x', /: Duplicate Content-Length$/],
    [head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 9') + 'short', /^the request is incomplete/],
    [head('GET /kv/a HTTP/1.1', host).slice(0, -2), /^the request is incomplete/],
    [head('get /kv/a HTTP/1.1', host), /^this is not an HTTP\/1.1 request: Invalid method/],
  ] as const) {
    const opened = connection()
    opened.send(bytes)
    opened.socket.end()
    const answer = answerIn(await opened.untilClosed())
    t.match(JSON.parse(answer.body), { code: 'invalid-request', detail })
  }
  t.equal(services.keys.commands.length, 0)
})

t.test('bytes that are no request get a problem, and the connection closes', async (t) => {
  const { exchange, services } = await serve(t)
  const cases: [name: string, bytes: string, status: number, code: string][] = [
    ['noise', '\x00\x01\x02\x03\r\n\r\n', 400, 'invalid-request'],
    ['a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01', 400, 'invalid-request'],
    ['a method that does not exist', head('BREW /kv/a HTTP/1.1', host), 400, 'invalid-request'],
    ['a method in lower case', head('get /kv/a HTTP/1.1', host), 400, 'invalid-request'],
    ['no version', head('GET /kv/a', host), 400, 'invalid-request'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'invalid-request'],
    ['HTTP/9', head('GET /kv/a HTTP/9.9', host), 400, 'invalid-request'],
    ['a blank in the path', head('GET /kv/a b HTTP/1.1', host), 400, 'invalid-request'],
    ['NUL in the path', head('GET /kv/a\x00b HTTP/1.1', host), 400, 'invalid-request'],
    ['NUL in a header', head('GET /kv/a HTTP/1.1', host, 'X-A: a\x00b'), 400, 'invalid-request'],
    ['a header without a colon', head('GET /kv/a HTTP/1.1', host, 'nonsense'), 400, 'invalid-request'],
    ['a blank before the colon', head('GET /kv/a HTTP/1.1', host, 'X-A : b'), 400, 'invalid-request'],
    ['a folded header', head('GET /kv/a HTTP/1.1', host, 'X-A: b', ' c'), 400, 'invalid-request'],
    ['no Host', head('GET /kv/a HTTP/1.1', last), 400, 'invalid-request'],
    ['Content-Length of letters', head('PUT /kv/a HTTP/1.1', host, 'Content-Length: abc'), 400, 'invalid-request'],
    ['a negative Content-Length', head('PUT /kv/a HTTP/1.1', host, 'Content-Length: -1'), 400, 'invalid-request'],
    ['a signed Content-Length', head('PUT /kv/a HTTP/1.1', host, 'Content-Length: +1') + 'x', 400, 'invalid-request'],
    [
      'an endless Content-Length',
      head('PUT /kv/a HTTP/1.1', host, `Content-Length: ${'9'.repeat(30)}`),
      400,
      'invalid-request',
    ],
    [
      'two Content-Lengths',
      head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 1', 'Content-Length: 2') + 'xx',
      400,
      'invalid-request',
    ],
    ['a list of lengths', head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 1, 1') + 'x', 400, 'invalid-request'],
    [
      'length and chunks',
      head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 4', 'Transfer-Encoding: chunked') +
        '0\r\n\r\nGET /kv/b HTTP/1.1\r\n\r\n',
      400,
      'invalid-request',
    ],
    [
      'chunked and more',
      head('PUT /kv/a HTTP/1.1', host, 'Transfer-Encoding: chunked, identity') + '0\r\n\r\n',
      400,
      'invalid-request',
    ],
    [
      'chunked in disguise',
      head('PUT /kv/a HTTP/1.1', host, 'Transfer-Encoding: xchunked') + '0\r\n\r\n',
      400,
      'invalid-request',
    ],
    [
      'a chunk size of letters',
      head('PUT /kv/a HTTP/1.1', host, 'Transfer-Encoding: chunked') + 'zz\r\nx\r\n0\r\n\r\n',
      400,
      'invalid-request',
    ],
    [
      'a chunk that is longer',
      head('PUT /kv/a HTTP/1.1', host, 'Transfer-Encoding: chunked') + '1\r\nxyz\r\n0\r\n\r\n',
      400,
      'invalid-request',
    ],
    [
      'large headers',
      head('GET /kv/a HTTP/1.1', host, `X-A: ${'a'.repeat(limits.httpHeaderBytesMax)}`),
      431,
      'header-too-large',
    ],
    ['a large path', head(`GET /kv/${'a'.repeat(limits.httpHeaderBytesMax)} HTTP/1.1`, host), 431, 'header-too-large'],
  ]
  for (const [name, bytes, status, code] of cases) {
    const answer = await exchange(Buffer.from(bytes, 'latin1'))
    t.equal(answer.status, status, name)
    t.equal(answer.headers.get('content-type'), 'application/problem+json; charset=utf-8', name)
    t.match(problemIn(answer), { code, status }, name)
    t.notMatch(answer.body, /node:|\.ts:|\.js:/, name)
  }
  t.equal(services.keys.commands.length, 0, 'nothing reached the store')
  t.equal(services.keys.reads.length, 0)
})

t.test('requests that are odd but whole are answered in their own right', async (t) => {
  const { exchange, inject } = await serve(t)
  const path = async (bytes: string) =>
    exchange(Buffer.from(head(`PUT ${bytes} HTTP/1.1`, host, last, 'Content-Length: 1') + 'x', 'latin1'))
  for (const target of [
    '/kv/%zz',
    '/kv/%',
    '/kv/%ff',
    '/kv/%ed%a0%80',
    `/kv/${'a'.repeat(5000)}`,
    '/kv/',
    '/kv/?key=a',
  ]) {
    const answer = await path(target)
    t.equal(answer.status, 400, target.slice(0, 30))
    t.match(problemIn(answer).code, /^invalid-(key|request)$/)
  }
  for (const target of ['/kv/caf\xc3\xa9', '/kv/caf\xe9', '/kv?key=\xe9']) {
    const answer = await path(target)
    t.equal(answer.status, 400, `${target}: bytes that are not percent-encoded`)
  }
  t.equal((await path('/kv/a#b')).status, 400, 'a fragment is no part of a request')
  t.equal((await path('/kv/../x/./y')).status, 200, 'dots are a key like any other')
  t.equal((await inject('/kv?key=../x/./y')).body, 'x')
  t.equal((await path('/kv/%00')).status, 200)
  t.equal((await path('http://elsewhere/kv/absolute')).status, 200)
  t.equal((await inject('/kv/absolute')).body, 'x')
  t.equal((await path('*')).status, 404)

  const put = async (...headers: string[]) => exchange(head('PUT /kv/a HTTP/1.1', host, last, ...headers))
  t.match(problemIn(await put('If-Match: "1"', 'If-Match: "2"')), { code: 'invalid-request' }, 'a condition twice')
  t.match(problemIn(await put('Idempotency-Key: a', 'Idempotency-Key: b')), { code: 'invalid-request' })
  t.equal((await put('Content-Type: nonsense')).status, 415)
  t.equal((await put('Expect: something')).status, 200)
  t.equal((await put('Upgrade: websocket', 'Connection: upgrade, close')).status, 200)
  t.equal((await exchange(head('GET /kv/a HTTP/1.0'))).status, 200, 'HTTP/1.0 has no Host')
  for (const method of ['TRACE', 'PROPFIND', 'PATCH', 'QUERY']) {
    const answer = await exchange(head(`${method} /kv/a HTTP/1.1`, host, last))
    t.equal(answer.status, 405, method)
  }
  t.equal((await exchange(head('CONNECT node:1 HTTP/1.1', host))).headers.size, 0, 'no tunnels')
})

t.test('a target in absolute form means the same as its path', async (t) => {
  const { exchange, services } = await serve(t)
  const { cluster, keys } = services
  await exchange(head('PUT http://node/kv/a HTTP/1.1', host, last, 'Content-Length: 1') + 'x')
  t.match(await exchange(head('GET HTTP://node:7001/kv/a?consistency=stale HTTP/1.1', host, last)), { body: 'x' })
  t.equal((await exchange(head('GET http://node HTTP/1.1', host, last))).status, 200, 'without a path')
  keys.refusal = new RequestError('overloaded', 'there is too much to do')
  const refused = await exchange(head('PUT http://node/kv/a HTTP/1.1', host, last, 'Content-Length: 1') + 'x')
  t.match(problemIn(refused), { code: 'overloaded' }, 'a write is known as one')
  keys.refusal = null
  cluster.known = { id: 2, raft: 'b:7101', api: 'http://b:7001' }
  const redirected = await exchange(head('GET http://other.example/kv/a?redirect=true HTTP/1.1', host, last))
  t.equal(redirected.status, 307)
  t.equal(redirected.headers.get('location'), 'http://b:7001/kv/a?redirect=true', 'the host is that of the leader')
})

t.test('HEAD and 304 carry no body, and the connection goes on', async (t) => {
  const { connection, inject } = await serve(t)
  await inject({ method: 'PUT', url: '/kv/a', payload: 'value' })
  const requests = [
    head('HEAD /kv/a HTTP/1.1', host),
    head('GET /kv/a HTTP/1.1', host, 'If-None-Match: "1"'),
    head('HEAD /kv/b HTTP/1.1', host),
    head('GET /kv/%zz HTTP/1.1', host),
    head('GET /kv/a HTTP/1.1', host, last),
  ]
  const opened = connection()
  opened.send(requests.join(''))
  const text = await opened.untilClosed()
  t.same(
    text.match(/HTTP\/1\.1 \d+/g),
    ['200', '304', '404', '400', '200'].map((status) => `HTTP/1.1 ${status}`),
  )
  t.ok(text.endsWith('\r\n\r\nvalue'))
  t.equal(text.split('value').length, 2)
})

t.test('a body over the limit is refused, whether its length is said or not', async (t) => {
  const { exchange, services } = await serve(t, { valueBytesMax: 1000 })
  const said = await exchange(head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 1001', last) + 'x'.repeat(1001))
  t.equal(said.status, 413)
  t.match(JSON.parse(said.body), { code: 'value-too-large', limitBytes: 1000 })
  const waiting = await exchange(head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 99999999', last))
  t.equal(waiting.status, 413, 'before the body has come')
  const chunk = `1f4\r\n${'x'.repeat(500)}\r\n`
  const chunked = head('PUT /kv/a HTTP/1.1', host, 'Transfer-Encoding: chunked', last)
  t.equal((await exchange(`${chunked}${chunk}${chunk}${chunk}0\r\n\r\n`)).status, 413)
  t.equal(services.keys.commands.length, 0)
  t.equal((await exchange(`${chunked}${chunk}${chunk}0\r\n\r\n`)).status, 200, 'exactly at the limit')
})

t.test('extensions of a chunk over the limit are refused, and the answer tells the limit', async (t) => {
  const { exchange, services } = await serve(t)
  const max = limits.httpChunkExtensionsBytesMax
  const chunked = head('PUT /kv/a HTTP/1.1', host, 'Transfer-Encoding: chunked', last)
  const withExtensions = (bytes: number): string => `${chunked}1;${'x'.repeat(bytes)}\r\nv\r\n0\r\n\r\n`
  const answer = await exchange(withExtensions(max + 1))
  t.equal(answer.status, 413)
  t.match(JSON.parse(answer.body), { code: 'request-too-large', limitBytes: max })
  t.equal(services.keys.commands.length, 0)
  t.equal((await exchange(withExtensions(max))).status, 200, 'exactly at the limit')
})

t.test('what would change the meaning of a request and be ignored is refused', async (t) => {
  const { exchange, inject, services } = await serve(t)
  await inject({ method: 'PUT', url: '/kv/a', payload: 'whole' })
  const put = (...headers: string[]): string => `${head('PUT /kv/a HTTP/1.1', host, last, ...headers)}part`
  const four = 'Content-Length: 4'
  const chunks = '4\r\npart\r\n0\r\n\r\n'
  const cases: [name: string, bytes: string, status: number, path: string | null][] = [
    ['a part of a value', put(four, 'Content-Range: bytes 0-3/5'), 400, 'header/content-range'],
    [
      'a part without bytes',
      head('PUT /kv/a HTTP/1.1', host, last, 'Content-Range: bytes */5'),
      400,
      'header/content-range',
    ],
    ['a compressed value', put(four, 'Content-Encoding: gzip'), 415, null],
    ['two types', put(four, 'Content-Type: text/plain', 'Content-Type: text/html'), 400, 'header/content-type'],
    ['another coding', head('PUT /kv/a HTTP/1.1', host, 'Transfer-Encoding: gzip, chunked') + chunks, 501, null],
    ['chunks in HTTP/1.0', head('PUT /kv/a HTTP/1.0', 'Transfer-Encoding: chunked') + chunks, 400, null],
    ['two hosts', head('GET /kv/a HTTP/1.1', host, 'hOST: other', last), 400, null],
    ['a fragment', head('GET /kv/a#b HTTP/1.1', host, last), 400, 'path'],
    ['a fragment in the query', head('GET /kv?key=a#b HTTP/1.1', host, last), 400, 'path'],
    ['a GET with a body', head('GET /kv/a HTTP/1.1', host, last, four) + 'part', 400, 'body'],
    ['a GET with chunks', head('GET /kv/a HTTP/1.1', host, last, 'Transfer-Encoding: chunked') + chunks, 400, 'body'],
  ]
  for (const [name, bytes, status, path] of cases) {
    const answer = await exchange(bytes)
    t.equal(answer.status, status, name)
    t.match(problemIn(answer), path === null ? { status } : { status, issues: [{ path }] }, name)
  }
  t.equal((await exchange(put(four, 'Content-Encoding: gzip'))).headers.get('accept-encoding'), 'identity')
  t.equal(services.keys.commands.length, 1, 'nothing was written')
  t.equal((await exchange(put(four, 'Content-Encoding: identity'))).status, 200)
  t.equal((await exchange(head('GET /kv/a HTTP/1.1', host, last, 'Content-Length: 0'))).status, 200)
  t.equal((await exchange(put(four, 'Transfer-Encoding: xchunked'))).status, 400, 'no length at all')
})

t.test('an early refusal reaches a client that is still sending, and what it sends is read past', async (t) => {
  const { connection, services } = await serve(t, { valueBytesMax: 1000 })
  const much = Buffer.alloc(8 * 1024 * 1024)
  const cases: [name: string, status: number, start: string][] = [
    ['a value that is too large', 413, head('PUT /kv/a HTTP/1.1', host, `Content-Length: ${much.length}`)],
    ['a route that is not there', 404, head('GET /nothing HTTP/1.1', host, 'Content-Type: text/plain')],
    ['a method that is not there', 405, head('PATCH /kv/a HTTP/1.1', host, `Content-Length: ${much.length}`)],
    [
      'a body of a wrong type',
      415,
      head('PUT /kv/a HTTP/1.1', host, 'Content-Type: x', `Content-Length: ${much.length}`),
    ],
    ['a body on GET', 400, head('GET /kv/a HTTP/1.1', host, `Content-Length: ${much.length}`)],
    ['noise', 400, 'noise\r\n\r\n'],
  ]
  for (const [name, status, start] of cases) {
    const opened = connection()
    let failure: unknown = null
    opened.socket.on('error', (error) => (failure = error))
    opened.send(start)
    if (status !== 404) opened.send(much)
    else opened.send(head('GET /nothing HTTP/1.1', host, last))
    const answer = answerIn(await opened.untilClosed())
    t.equal(answer.status, status, name)
    t.equal(failure, null, `${name}: no reset`)
    if (status !== 404) t.ok(opened.socket.bytesWritten > much.length, `${name}: everything was sent`)
  }
  t.equal(services.keys.commands.length, 0)
})

t.test('a client that asks before it sends a body is told to go on only when the body is wanted', async (t) => {
  const { connection, services } = await serve(t, { valueBytesMax: 1000 })
  const refused = connection()
  refused.send(head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 5000', 'Expect: 100-continue'))
  t.match(await refused.untilClosed(), /^HTTP\/1\.1 413 /)
  const wanted = connection()
  wanted.send(head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 5', 'Expect: 100-continue', last))
  await wanted.until((text) => text.startsWith('HTTP/1.1 100 Continue'))
  t.equal(services.keys.commands.length, 0)
  wanted.send('value')
  t.match(await wanted.untilClosed(), /HTTP\/1\.1 200 OK/)
})

t.test('a client that ends its side behind its request gets its answer', async (t) => {
  const { connection, services, inject } = await serve(t)
  const opened = connection()
  opened.socket.end(`${head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 5')}value`)
  t.match(await opened.untilClosed(), /^HTTP\/1\.1 200 OK/)
  await inject('/kv/a')
  const { promise, resolve } = deferred<void>()
  services.keys.beforePiece = async () => promise
  const slow = connection()
  slow.socket.end(`${head('GET /kv HTTP/1.1', host)}${head('GET /version HTTP/1.1', host)}`)
  await eventually(() => services.keys.openScans === 1, 'the first is under way')
  resolve()
  const text = await slow.untilClosed()
  t.match(text, /"value":"value"/)
  t.match(text, /"version":"/, 'and that of every request before the end')
})

t.test('whoever is too slow is told so, and the connection closes', async (t) => {
  const server = { headersTimeoutMs: 150, receiveTimeoutMs: 300, connectionsCheckMs: 50 }
  const { connection, services } = await serve(t, { server })
  const cases = [
    ['nothing at all', ''],
    ['half a request line', 'GET /kv'],
    ['headers without an end', 'GET /kv/a HTTP/1.1\r\nHost: node\r\n'],
    ['half a body', head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 10') + 'half'],
    ['chunks without an end', head('PUT /kv/a HTTP/1.1', host, 'Transfer-Encoding: chunked') + '4\r\nhalf\r\n'],
  ] as const
  for (const [name, bytes] of cases) {
    const opened = connection()
    opened.send(bytes)
    const answer = answerIn(await opened.untilClosed())
    t.equal(answer.status, 408, name)
    t.match(problemIn(answer), { code: 'request-timeout', status: 408 }, name)
  }
  t.equal(services.keys.commands.length, 0)
})

t.test('noise behind a request that is being worked on is not taken for its answer', async (t) => {
  const { connection, services, inject } = await serve(t)
  await inject({ method: 'PUT', url: '/kv/a', payload: 'value' })
  const { promise, resolve } = deferred<void>()
  services.keys.beforePiece = async () => promise
  const opened = connection()
  opened.send(`${head('GET /kv HTTP/1.1', host)}noise\r\n\r\n`)
  await eventually(() => services.keys.openScans === 1, 'the scan has begun')
  opened.send(head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 1') + 'x')
  resolve()
  const text = await opened.untilClosed()
  t.match(
    text,
    /^HTTP\/1\.1 200 OK\r\n[^]*"key":"a"[^]*HTTP\/1\.1 400 [^]*"code":"invalid-request"/,
    'each has its answer',
  )
  t.equal(services.keys.openScans, 0, 'the scan is closed')
  t.equal((await inject({ url: '/kv/a' })).body, 'value', 'what follows the noise is no request')
})

t.test('who sends more than was announced is answered first, and told then', async (t) => {
  const { connection, inject } = await serve(t)
  const put = (value: string, ...more: string[]): string =>
    head('PUT /kv/a HTTP/1.1', host, 'Content-Length: 1', ...more) + value
  const one = connection()
  one.send(put('ab'))
  t.match(await one.untilClosed(), /^HTTP\/1\.1 200 OK\r\n[^]*HTTP\/1\.1 400 [^]*"code":"invalid-request"/)
  t.equal((await inject({ url: '/kv/a' })).body, 'a')
  const closing = connection()
  closing.send(put('cd', last))
  const text = await closing.untilClosed()
  t.match(text, /^HTTP\/1\.1 200 OK\r\n/)
  t.equal(text.match(/HTTP\/1\.1 /g)?.length, 1, 'nothing follows the answer that ends the connection')
  for (const begins of [false, true]) {
    const watching = connection()
    watching.send(head('GET /watch?prefix= HTTP/1.1', host))
    if (begins) await watching.until((text) => text.includes('200 OK'))
    watching.send('noise\r\n\r\n')
    t.notMatch(await watching.untilClosed(), /HTTP\/1\.1 400/, 'an answer without an end has no other behind it')
  }
})
