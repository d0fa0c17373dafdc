import { warningCodes } from '../../src/api/warnings.ts'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request, type IncomingMessage } from 'node:http'
import t from 'tap'
import { OperationCounts } from '../../src/http/protocol/request-counts.ts'
import { EventLoopDelay } from '../../src/http/operating/event-loop-delay.ts'
import { RequestError } from '../../src/lib/errors.ts'
import { openCheckedApi, type CheckedApi } from '../support/checked-api.ts'
import { missing } from '../support/missing.ts'
import { listen, RawConnection } from '../support/raw-client.ts'
import { sampleOf, type Sample } from '../support/sample-requests.ts'

t.test('health checks tell by their status, and in words when asked', async (t) => {
  const api = await openCheckedApi(t)
  const ok = await api.inject('/readyz')
  t.equal(ok.body, 'ok\n')
  t.match(ok.headers, { 'content-type': /^text\/plain/, 'cache-control': 'no-store' })
  t.equal((await api.inject('/readyz?verbose')).body, '[+]store ok\n[+]leader ok\nreadyz check passed\n')
  t.equal((await api.inject('/livez?verbose=true')).body, '[+]store ok\nlivez check passed\n')

  api.services.health.checks = [
    { name: 'store', ok: true, detail: 'open' },
    { name: 'leader', ok: false, detail: 'none is known' },
  ]
  t.equal((await api.inject('/livez')).statusCode, 200, 'liveness does not depend on a quorum')
  const failed = await api.inject('/readyz')
  t.equal(failed.statusCode, 503)
  t.match(failed.json(), {
    code: 'not-ready',
    detail: 'failed: leader (none is known)',
    checks: [{ ok: true }, { ok: false }],
  })
  const verbose = await api.inject('/readyz?verbose')
  t.equal(verbose.statusCode, 503)
  t.match(verbose.headers, {
    'content-type': 'text/plain; charset=utf-8',
    'retry-after': '1',
    'cache-control': 'no-store',
  })
  t.equal(
    verbose.body,
    '[+]store ok\n[-]leader failed: none is known\nreadyz check failed\n',
    'text, as when it passes',
  )
  const excluded = await api.inject('/readyz?verbose&exclude=leader')
  t.equal(excluded.statusCode, 200)
  t.match(excluded.body, '[+]leader excluded: ok')
  t.equal((await api.inject('/readyz?exclude=leader,store')).body, 'ok\n')
  t.match((await api.inject('/readyz?exclude=leda')).json(), {
    issues: [{ path: 'query/exclude', message: /store, leader/ }],
  })
  t.equal((await api.inject('/readyz?verbose=maybe')).statusCode, 400)
  t.equal((await api.inject('/livez?x=1')).statusCode, 400)
})

t.test('metrics are those of the node, in the text format of Prometheus', async (t) => {
  const api = await openCheckedApi(t)
  const response = await api.inject('/metrics')
  t.match(response.headers['content-type'], /^text\/plain; version=0\.0\.4/)
  const lines = response.body.split('\n')
  const expected = [
    'quorate_has_leader 1',
    'quorate_term 3',
    'quorate_committed_index 41',
    'quorate_proposals_committed_total 30',
    'quorate_proposals_pending 1',
    'quorate_leader_changes_total 2',
    'quorate_reads_total 12',
    'quorate_write_duration_seconds_count 4',
    'quorate_log_lines_dropped_total 5',
    'quorate_watchers_max 100',
    'quorate_tls_certificate_lifetime_seconds{plane="api",role="certificate"} 7776000',
    'quorate_peer_connected{peer="2"} 1',
    'quorate_peer_round_trip_seconds{peer="2"} 0.0004',
    '# TYPE quorate_log_sync_duration_seconds histogram',
    'quorate_log_sync_duration_seconds_bucket{le="0.001"} 2',
    'quorate_log_sync_duration_seconds_bucket{le="0.01"} 3',
    'quorate_log_sync_duration_seconds_bucket{le="+Inf"} 4',
    'quorate_log_sync_duration_seconds_sum 0.5',
    'quorate_log_sync_duration_seconds_count 4',
    'quorate_apply_duration_seconds_count 4',
    `quorate_build_info{version="0.1.0",node="${process.version}"} 1`,
  ]
  for (const line of expected) t.ok(lines.includes(line), line)
  t.notOk(
    lines.some((line) => line.startsWith('quorate_peer_matched_index{')),
    'what is not known is left out',
  )
  t.match(response.body, /^quorate_event_loop_delay_seconds\{quantile="0\.99"\} (?:\d|NaN$)/m)
  t.match(response.body, /^process_resident_memory_bytes \d/m)
  const again = await api.inject('/metrics')
  t.ok(again.body.split('\n').includes('quorate_proposals_committed_total 30'), 'a counter is read, not summed up')
  for (const line of lines) t.match(line, /^$|^# (HELP|TYPE) |^[a-z0-9_]+(\{.*\})? \S+$/, line)
  t.equal((await api.inject('/metrics?x=1')).statusCode, 400)
})

t.test('each warning that GET /cluster can show is a series, 1 while it stands', async (t) => {
  const api = await openCheckedApi(t)
  const standing = async (): Promise<readonly string[]> => {
    const samples = await samplesOf(api, 'quorate_warnings')
    t.same(
      [...samples.keys()],
      warningCodes.map((code) => `code="${code}"`),
      'all of them, once each',
    )
    return [...samples].flatMap(([labels, value]) => (value === 1 ? [labels] : []))
  }
  t.same(await standing(), [])
  await api.inject({ method: 'POST', url: '/cluster/initialize' })
  t.match((await api.inject('/cluster')).json(), { warnings: [{ code: 'same-id' }] })
  t.same(await standing(), ['code="same-id"'])
  api.services.cluster.at = null
  t.same(await standing(), [], 'and 0 again when it is over')
})

t.test('the root says in a line what runs here and where to go on', async (t) => {
  const api = await openCheckedApi(t)
  const response = await api.inject('/')
  t.match(response.body, /^\{[^\n]*\}\n$/)
  const { links, ...rest } = response.json() as { links: Record<string, string> }
  t.same(rest, { name: 'quorate', version: '0.1.0', node: 1 })
  for (const path of Object.values(links)) {
    const { statusCode } = await api.app.inject(path)
    t.ok(statusCode < 400, `${path}: ${statusCode}`)
  }
  t.equal((await api.inject('/?x=1')).statusCode, 400)
  t.equal((await api.inject({ method: 'POST', url: '/' })).statusCode, 405)
})

t.test(
  'a summary of the event loop: sum and count since the start, and quantiles that every reader sees',
  async (t) => {
    const api = await openCheckedApi(t)
    const read = async (name: string): Promise<number> => {
      const { body } = await api.inject('/metrics')
      const line = body.split('\n').find((one) => one.startsWith(`quorate_event_loop_delay_seconds${name} `))
      return Number(line?.split(' ')[1])
    }
    t.match((await api.inject('/metrics')).body, '# TYPE quorate_event_loop_delay_seconds summary')
    const ticks = async (enough: number): Promise<number> => {
      for (;;) {
        const count = await read('_count')
        if (count >= enough) return count
        // The sampler needs two ticks of 10 ms after a reading for its first sample.
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
    const before = await ticks(3)
    t.ok((await ticks(before + 3)) > before, 'a reading takes nothing from the next one')
    t.ok((await read('_sum')) >= 0)
    const until = performance.now() + 60
    while (performance.now() < until);
    await ticks((await read('_count')) + 2)
    for (const reader of ['one', 'another']) t.ok((await read('{quantile="1"}')) >= 0.04, `${reader} sees the spike`)
  },
)

t.test('a spike of the event loop leaves the quantiles after a minute, and sum and count go on', async (t) => {
  let now = 0
  const delay = new EventLoopDelay(() => now)
  t.teardown(() => delay.close())
  const read = (): { longest: number; sum: number; count: number } => {
    const values = delay
      .text()
      .split('\n')
      .map((line) => Number(line.split(' ')[1]))
    const [longest = Number.NaN, sum = Number.NaN, count = Number.NaN] = values.slice(-4)
    return { longest, sum, count }
  }
  const sampled = async (enough: number): Promise<void> => {
    while (read().count < enough) await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await sampled(3)
  const until = performance.now() + 500
  while (performance.now() < until);
  await sampled(read().count + 3)
  const [first, second] = [read(), read()]
  t.ok(first.longest > 0.4 && second.longest > 0.4 && first.sum > 0.4, JSON.stringify({ first, second }))
  now = 30_000
  t.ok(read().longest > 0.4, 'the reading at which a sampler begins anew has it')
  t.ok(read().longest > 0.4, 'and so has the other sampler')
  now = 60_000
  read()
  await sampled(second.count + 3)
  const last = read()
  t.ok(last.longest < 0.4, `${last.longest}`)
  t.ok(last.sum >= second.sum && last.count > second.count)
})

/** The samples of `/metrics` that begin with `name{`, by their labels. */
async function samplesOf({ app }: CheckedApi, name: string): Promise<ReadonlyMap<string, number>> {
  const { body } = await app.inject('/metrics')
  const rows = [...body.matchAll(/^(\w+)\{(.*)\} (\S+)$/gm)].filter(([, one]) => one === name)
  return new Map(rows.map(([, , labels = '', value]) => [labels, Number(value)]))
}

const requestsTotal = 'quorate_http_requests_total'
const labelsOf = (operation: string, code: number): string => `operation="${operation}",code="${code}"`

/** Sends a request on a connection of its own, and returns the status as soon as the answer begins. */
async function statusOf(port: number, { method, url, payload, headers }: Sample): Promise<number> {
  const sent = request({ host: '127.0.0.1', port, method, path: url, headers, agent: false })
  sent.on('error', () => undefined)
  sent.end(payload)
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  answer.on('error', () => undefined)
  answer.destroy()
  return answer.statusCode ?? 0
}

const bare = (method: string, url: string): Sample => ({ method: method as Sample['method'], url, headers: {} })

t.test('requests are counted by operation and code, and timed by operation', async (t) => {
  const api = await openCheckedApi(t)
  const port = await listen(api.app)
  t.equal((await samplesOf(api, requestsTotal)).get(labelsOf('putKey', 200)), 0, 'a success is there before it happens')
  const asked: [operation: string, status: number][] = []
  for (const [pattern, methods] of Object.entries(api.document.paths))
    for (const [method, { operationId }] of Object.entries(methods)) {
      const sample = sampleOf(method.toUpperCase(), pattern)
      // With a token in the cluster, the metrics would need one.
      const url = operationId === 'bootstrapAuth' ? `${sample.url}?x=1` : sample.url
      asked.push([operationId, await statusOf(port, { ...sample, url })])
    }
  t.ok(asked.length > 50)
  const counts = await samplesOf(api, requestsTotal)
  for (const [operation, status] of asked) t.equal(counts.get(labelsOf(operation, status)), 1, `${operation} ${status}`)
  const total = [...counts.values()].reduce((sum, value) => sum + value)
  t.equal(total, asked.length, 'each is counted once')
  const timed = await samplesOf(api, 'quorate_http_request_duration_seconds_count')
  t.same([...timed.keys()].sort(), asked.map(([operation]) => `operation="${operation}"`).sort())
  const watch = 'operation="watchKeys",le="+Inf"'
  t.equal((await samplesOf(api, 'quorate_http_request_duration_seconds_bucket')).get(watch), 1, 'once it has begun')

  for (const methods of Object.values(api.document.paths)) {
    for (const status of Object.values(methods).flatMap(({ responses }) => Object.keys(responses))) {
      const one = new OperationCounts('one', [])
      one.onAnswer(Number(status), null)
      t.same([...one.byCode()], [[status, 1]], 'a status of the document is counted by itself')
    }
  }
  const said = promtool(['check', 'metrics'], (await api.app.inject('/metrics')).body)
  if (said !== null) t.equal(said, '')
})

t.test(
  'what asks for no operation, or is refused before its turn, is counted too, in a bounded number of series',
  async (t) => {
    const api = await openCheckedApi(t, { origins: ['https://ui.example'] })
    const port = await listen(api.app)
    const counted = async (operation: string, code: number): Promise<number> =>
      (await samplesOf(api, requestsTotal)).get(labelsOf(operation, code)) ?? 0
    const exchange = async (at: number, bytes: string): Promise<void> => {
      const connection = new RawConnection(at)
      connection.send(bytes)
      await connection.until((text) => text.includes('\r\n\r\n'))
      connection.destroy()
    }
    const unknown = async (at: number): Promise<void> => {
      t.equal(await statusOf(port, bare('GET', `/nowhere/${at}`)), 404)
      t.equal(await statusOf(port, bare('MKCOL', `/kv/${at}`)), 405)
      t.equal(await statusOf(port, bare('PATCH', '/livez')), 405)
      t.equal(await statusOf(port, bare('GET', `/docs/${at}`)), 404)
    }
    await unknown(0)
    const series = (await samplesOf(api, requestsTotal)).size
    for (let at = 1; at <= 5; at++) await unknown(at)
    t.equal((await samplesOf(api, requestsTotal)).size, series, 'other paths make no other series')
    t.equal(await counted('none', 404), 12)
    t.equal(await counted('none', 405), 12)

    api.services.keys.refusal = new RequestError('overloaded', 'too many writes wait')
    t.equal(await statusOf(port, { ...bare('PUT', '/kv/a/b'), payload: 'v' }), 429)
    api.services.keys.refusal = null
    t.equal(await counted('putKey', 429), 1, 'refused for overload before any route')
    t.equal(await statusOf(port, { ...bare('DELETE', '/kv/a'), headers: { 'sec-fetch-site': 'cross-site' } }), 403)
    t.equal(await counted('deleteKey', 403), 1, 'refused by the first hook')
    await exchange(port, 'GET /kv/a HTTP/1.1\r\n\r\n')
    t.equal(await counted('getKey', 400), 1, 'refused by the rules of HTTP')
    await exchange(port, 'nonsense\r\n\r\n')
    t.equal(await counted('none', 400), 1, 'no request at all')
    await exchange(port, `GET /kv/a HTTP/1.1\r\nhost: a\r\nx-large: ${'x'.repeat(60_000)}\r\n\r\n`)
    t.equal(await counted('none', 431), 1, 'not read to its end')
    const timed = await samplesOf(api, 'quorate_http_request_duration_seconds_count')
    for (const operation of ['putKey', 'getKey'])
      t.equal(timed.get(`operation="${operation}"`), undefined, 'what had no turn took no time')

    const full = await openCheckedApi(t, { connections: { max: 0 } })
    await exchange(await listen(full.app), 'GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    t.equal((await samplesOf(full, requestsTotal)).get(labelsOf('none', 429)), 1, 'a connection that was refused')
  },
)

t.test('a request whose body does not come is counted once, as it was answered', async (t) => {
  const api = await openCheckedApi(t, {
    server: { receiveTimeoutMs: 100, headersTimeoutMs: 100, connectionsCheckMs: 20 },
  })
  const connection = new RawConnection(await listen(api.app))
  connection.send('PUT /kv/a HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nv')
  t.match(await connection.untilClosed(), /^HTTP\/1\.1 408 /)
  const counts = [...(await samplesOf(api, requestsTotal))].filter(([, value]) => value > 0)
  t.same(counts, [[labelsOf('none', 408), 1]])
})

/** What `promtool` says of `input`, and null where it is not installed. */
function promtool(words: readonly string[], input: string): string | null {
  const { error, status, stdout, stderr } = spawnSync('promtool', words, { input, encoding: 'utf8' })
  if (error !== undefined && 'code' in error && error.code === 'ENOENT') return null
  return status === 0 ? stderr : `exit code ${status}: ${stdout}${stderr}`
}

t.test('promtool has nothing to say against names, types and labels of the metrics', async (t) => {
  const api = await openCheckedApi(t)
  const { body } = await api.inject('/metrics')
  const said = promtool(['check', 'metrics'], body)
  if (said === null) return missing(t, 'promtool', 'it is not installed here')
  t.equal(said, '')
  t.not(promtool(['check', 'metrics'], body.replace(/ summary$/m, ' gauge')), '', 'it would complain')
})

t.test('docs/METRICS.md lists every metric with its type, and its expressions are of these', async (t) => {
  const api = await openCheckedApi(t)
  const { body } = await api.inject('/metrics')
  const served = [...body.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => `${name} ${type}`)
  const text = readFileSync(new URL('../../docs/METRICS.md', import.meta.url), 'utf8')
  const rows = [...text.matchAll(/^\| `([a-z0-9_]+)` +\| (gauge|counter|histogram|summary) +\|/gm)]
  const listed = rows.map(([, name, type]) => `${name} ${type}`)
  t.ok(served.length > 50)
  // Only what needs /proc may be missing, and only where there is none.
  const missing = process.platform === 'linux' ? [] : listed.filter((one) => one.startsWith('process_'))
  t.same([...new Set([...served, ...missing])].sort(), listed.toSorted())

  const names = new Set(rows.map(([, name]) => name))
  const used = [...text.matchAll(/\b(?:quorate|process|nodejs)_[a-z0-9_]+\b/g)].map(([name]) => name)
  for (const name of used) {
    const isListed = names.has(name) || names.has(name.replace(/_(bucket|count|sum)$/, ''))
    t.ok(isListed, `${name} is a metric`)
  }
})

t.test('the version', async (t) => {
  const api = await openCheckedApi(t)
  t.same((await api.inject('/version')).json(), { version: '0.1.0', node: process.version })
  t.equal((await api.inject('/version?x=1')).statusCode, 400)
  t.equal((await api.inject('/openapi.json?x=1')).statusCode, 400)
})

t.test('settings and the last log lines of the node are told, and that they were asked for', async (t) => {
  const api = await openCheckedApi(t)
  const response = await api.inject('/diagnostics')
  t.equal(response.headers['cache-control'], 'no-store')
  const { settings, log } = api.services.diagnostics
  t.strictSame(response.json(), {
    node: 1,
    settings,
    log: { lines: log.lines.map((line) => JSON.parse(line) as object), forgotten: 3 },
  })
  t.match(api.audited, [{ operation: 'getDiagnostics', path: '/diagnostics', status: 200 }])
  t.equal((await api.inject('/diagnostics?x=1')).statusCode, 400)
})
