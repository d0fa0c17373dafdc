import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import type * as keys from '../../src/api/keys.ts'
import type * as cluster from '../../src/api/cluster.ts'
import type * as transactions from '../../src/api/transactions.ts'
import {
  AmbiguousOutcomeError,
  CompactedError,
  ConnectionError,
  LeaseLostError,
  op,
  ProblemError,
  ResultsForgottenError,
  type KeyRecord,
  type WatchEvent,
  type WatchProgress,
} from '../../src/client/index.ts'
import type * as published from '../../src/client/index.ts'
import { wakingClock } from '../../src/client/waking-clock.ts'
import { deferred } from '../../src/lib/deferred.ts'
import { limits } from '../../src/limits.ts'
import { collect, thrownBy } from '../support/outcomes.ts'
import { clientOf, fail, nobody, stand, type Answering, type Stand } from './support/stand.ts'

/* What the library does beyond single requests, on servers that speak the API as a script tells them. cluster.test.ts has it on nodes. */

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
/** The types that programs see are those of the API, to the letter. The compiler checks this. */
const sameTypes: readonly [
  Same<published.PutAnswer, keys.PutAnswer>,
  Same<published.ListAnswer, keys.ListAnswer>,
  Same<published.TransactionBody, transactions.TransactionBody>,
  Same<published.TransactionAnswer, transactions.TransactionAnswer>,
  Same<published.ClusterStatus, cluster.ClusterStatus>,
  Same<published.MembershipAnswer, cluster.MembershipAnswer>,
] = [true, true, true, true, true, true]

t.ok(sameTypes.every(Boolean))

/** Ends with one server's answer after another: each request gets the next one. */
function script(...answers: readonly Answering[]): Answering {
  let at = 0
  return (request, response, timeoutMs) => {
    const answer = answers[Math.min(at, answers.length - 1)]
    at += 1
    answer?.(request, response, timeoutMs)
  }
}

function events(revision: number, text: string, end: 'stays' | 'ends' | 'breaks'): Answering {
  return (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'quorate-revision': String(revision) })
    response.write(text)
    if (end === 'ends') response.end()
    // The text has to leave before the connection breaks.
    if (end === 'breaks') response.write('data: half', () => setTimeout(() => response.destroy(), 20))
  }
}

function refuse(code: string): Answering {
  return (_request, response) => fail(response, 503, code, { retryable: false })
}

/** The last event of a watch that the node ends. */
function ended(code: string): string {
  return `event: error\ndata: {"status":503,"title":"No","detail":"d","code":"${code}","retryable":false}\n\n`
}

function put(key: string, revision: number, isLast = true): string {
  const record = { key, value: `v${revision}`, createRevision: 1, modRevision: revision, version: 1, lease: 0 }
  return `${isLast ? `id: ${revision}\n` : ''}event: put\ndata: ${JSON.stringify(record)}\n\n`
}

async function take<Item>(items: AsyncIterable<Item>, count: number): Promise<Item[]> {
  const taken: Item[] = []
  for await (const item of items) {
    taken.push(item)
    if (taken.length === count) break
  }
  return taken
}

const seen = (all: readonly (WatchEvent | WatchProgress)[]): readonly string[] =>
  all.map((event) => `${event.revision} ${event.kind === 'progress' ? 'progress' : event.key}`)

function sinceOf({ asked }: Stand): readonly (string | null)[] {
  return asked.map(({ query }) => query.get('since'))
}

t.test('a watch', { jobs: 4 }, async (t) => {
  void t.test('tells each change once, across servers that break off, in the middle of a revision too', async (t) => {
    const half = put('a', 5) + put('b', 8, false) + put('c', 8, false)
    const whole = put('b', 8, false) + put('c', 8, false) + put('d', 8) + ': comment\r\n\r\n' + put('e', 9)
    const first = await stand(
      t,
      script(events(4, half, 'breaks'), (_, response) => fail(response, 503, 'shutting-down')),
    )
    const second = await stand(
      t,
      script(events(8, put('b', 8, false), 'breaks'), events(9, whole, 'ends'), events(9, put('f', 12), 'stays')),
    )
    const client = clientOf(t, [first.url, second.url], 5_000)
    const watch = client.watch({ prefix: 'x/+ &' }, { prev: true, types: ['put'] })
    t.equal(watch.revision, null)
    const told = await take(watch, 6)
    t.same(seen(told), ['5 a', '8 b', '8 c', '8 d', '9 e', '12 f'])
    t.same(
      told.map((event) => event.isLast),
      [true, false, false, true, true, true],
    )
    t.equal(watch.revision, 12)
    t.same(
      [sinceOf(first), sinceOf(second)],
      [
        [null, '5'],
        ['5', '5', '9'],
      ],
      'after the last revision that came whole',
    )
    t.equal(first.asked[0]?.query.get('prefix'), 'x/+ &')
    t.match(Object.fromEntries(first.asked[0]?.query ?? []), { prev: 'true', types: 'put' })
    t.ok(told[0]?.kind === 'put' && told[0].record.text === 'v5')
  })

  void t.test('tells no change of a revision twice when another server lags behind its beginning', async (t) => {
    const progress = (revision: number): string =>
      `id: ${revision}\nevent: progress\ndata: {"revision":${revision}}\n\n`
    const half = put('b', 100, false) + put('c', 100, false)
    const server = await stand(
      t,
      script(
        events(90, put('a', 90) + half, 'breaks'),
        events(90, progress(95) + progress(94), 'breaks'),
        events(95, put('b', 100, false), 'breaks'),
        events(95, half + put('d', 100) + put('e', 101), 'breaks'),
        events(101, put('f', 102, false), 'breaks'),
        events(101, progress(110) + put('g', 111, false) + put('h', 111), 'stays'),
      ),
    )
    const watch = clientOf(t, [server.url], 5_000).watch({}, { since: 89, progress: true })
    const told = ['90 a', '100 b', '100 c', '95 progress', '100 d', '101 e', '102 f', '110 progress', '111 g', '111 h']
    t.same(seen(await take(watch, told.length)), told)
    t.same(sinceOf(server), ['89', '90', '95', '95', '101', '101'])
  })

  void t.test('begins where the server was, even when nothing came before the break', async (t) => {
    const server = await stand(
      t,
      script(
        events(41, '', 'ends'),
        events(41, 'id: 44\nevent: progress\ndata: {"revision":44}\n\n', 'ends'),
        events(44, put('a', 45), 'stays'),
      ),
    )
    const watch = clientOf(t, [server.url], 5_000).watch({ key: '..' }, { progress: true })
    t.same(seen(await take(watch, 2)), ['44 progress', '45 a'])
    t.same(sinceOf(server), [null, '41', '44'])
    t.equal(server.asked[0]?.query.get('key'), '..')
  })

  void t.test('deletions, and records before', async (t) => {
    const record = { key: 'k', valueBase64: '/w==', createRevision: 1, modRevision: 2, version: 2, lease: 0 }
    const text =
      `id: 3\nevent: delete\ndata: {"key":"k","modRevision":3,"prev":${JSON.stringify(record)}}\n\n` +
      `id: 4\nevent: put\ndata: ${JSON.stringify({ ...record, modRevision: 4, prev: null })}\n\n`
    const server = await stand(t, events(2, text, 'stays'))
    const [gone, written] = await take(clientOf(t, [server.url], 5_000).watch({}, { since: 2, prev: true }), 2)
    t.match(gone, { kind: 'delete', key: 'k', revision: 3, prev: { key: 'k', modRevision: 2 } })
    t.strictSame(gone?.prev?.value, Buffer.from([0xff]))
    t.match(written, { kind: 'put', prev: null })
  })

  void t.test(
    'says when its history is gone, at once or in mid-stream; and goes on when it was too slow',
    async (t) => {
      const compacted = { retryable: false, compactRevision: 70 }
      const server = await stand(
        t,
        script(
          (_, response) => fail(response, 410, 'compacted', compacted),
          events(
            70,
            `event: error\ndata: ${JSON.stringify({ status: 410, title: 'Gone', detail: 'd', code: 'compacted', ...compacted })}\n\n`,
            'ends',
          ),
          events(
            70,
            `event: error\ndata: {"status":429,"title":"Slow","detail":"d","code":"overloaded","retryable":true}\n\n`,
            'ends',
          ),
          events(70, put('a', 71), 'stays'),
        ),
      )
      const client = clientOf(t, [server.url], 5_000)
      for (const _ of ['at once', 'in mid-stream']) {
        const error = await thrownBy(collect(client.watch({}, { since: 3 })))
        t.ok(error instanceof CompactedError && error.compactRevision === 70 && error.code === 'compacted')
      }
      t.same(seen(await take(client.watch({}, { since: 70 }), 1)), ['71 a'])
      const ahead = await stand(t, (_, response) => fail(response, 400, 'future-revision'))
      await t.rejects(collect(clientOf(t, [ahead.url], 5_000).watch({}, { since: 9 })), { code: 'future-revision' })
    },
  )

  void t.test('goes on at another server when its node is removed, whatever `retry` says', async (t) => {
    for (const retry of [true, false]) {
      const first = await stand(t, script(events(4, put('a', 5) + ended('removed'), 'ends'), refuse('removed')))
      const second = await stand(t, script(events(5, put('b', 6), 'stays')))
      const client = clientOf(t, [first.url, second.url], 5_000, { retry })
      t.same(seen(await take(client.watch({}), 2)), ['5 a', '6 b'])
      t.same([sinceOf(first), sinceOf(second)], [[null, '5'], ['5']])
    }
  })

  void t.test('goes on at a server that comes back while the other one is removed', async (t) => {
    const first = await stand(t, refuse('removed'))
    const second = await stand(
      t,
      script(
        ...Array.from({ length: 4 }, () => (request: IncomingMessage) => void request.socket.destroy()),
        events(5, put('b', 6), 'stays'),
      ),
    )
    t.same(seen(await take(clientOf(t, [first.url, second.url], 5_000).watch({}), 1)), ['6 b'])
    t.equal(first.asked.length, 1, 'and is asked once')
  })

  void t.test('ends when each of its servers is removed', async (t) => {
    const gone = [
      await stand(t, script(events(4, ended('removed'), 'ends'), refuse('removed'))),
      await stand(t, refuse('removed')),
    ]
    for (const retry of [true, false]) {
      const client = clientOf(
        t,
        gone.map(({ url }) => url),
        5_000,
        { retry },
      )
      await t.rejects(collect(client.watch({})), { code: 'removed', retryable: false })
    }
    const [alone] = [await stand(t, events(4, ended('removed'), 'ends'))]
    await t.rejects(collect(clientOf(t, [alone.url], 5_000).watch({})), { code: 'removed', retryable: false })
    t.equal(alone.asked.length, 1)
  })

  void t.test('outlasts a proxy that does not reach its node, unless that takes too long', async (t) => {
    let isDown = true
    const proxy = await stand(t, (request, response, timeoutMs) => {
      if (isDown) response.writeHead(502, { 'content-type': 'application/json' }).end('{"code":502,"detail":"down"}')
      else events(5, put('b', 6), 'stays')(request, response, timeoutMs)
    })
    const client = clientOf(t, [proxy.url], 200)
    const error = await thrownBy(collect(client.watch({}, { unreachableMsMax: 1 })))
    t.match(error, { code: 'unknown', status: 502, retryable: true, message: /a proxy/ })
    const asked = proxy.asked.length
    const watching = take(client.watch({}), 1)
    // Each request gets the 502 until its time is up.
    await until(
      () => proxy.asked.slice(asked).some(({ timeoutMs }) => timeoutMs === 200) && proxy.asked.length > asked + 6,
    )
    isDown = false
    t.same(seen(await watching), ['6 b'])
  })

  void t.test('ends with its signal, and when nobody can be reached for too long', async (t) => {
    const server = await stand(t, events(1, put('a', 2), 'stays'))
    const abort = new AbortController()
    const reason = new Error('enough')
    const told: string[] = []
    const error = await thrownBy(
      (async () => {
        for await (const event of clientOf(t, [server.url], 5_000).watch({}, { signal: abort.signal })) {
          told.push(event.key)
          abort.abort(reason)
        }
      })(),
    )
    t.equal(error, reason)
    t.same(told, ['a'])
    const nowhere = clientOf(t, [await nobody()], 200).watch({}, { unreachableMsMax: 500 })
    await t.rejects(collect(nowhere), ConnectionError)
  })

  void t.test('takes no connection from requests', async (t) => {
    const server = await stand(t, (request, response) => {
      if (request.url?.startsWith('/watch') === true) events(1, '', 'stays')(request, response, 0)
      else response.writeHead(200).end('{"revision":7,"createRevision":7,"version":1}')
    })
    const client = clientOf(t, [server.url], 5_000)
    const abort = new AbortController()
    const watches = Array.from(
      { length: 40 },
      async () => await thrownBy(collect(client.watch({}, { signal: abort.signal }))),
    )
    t.match(await client.put('a', 'b'), { revision: 7 })
    abort.abort()
    await Promise.all(watches)
  })
})

function answer(response: ServerResponse, status: number, document: object): void {
  response
    .writeHead(status, { 'content-type': 'application/json', 'quorate-revision': '7' })
    .end(JSON.stringify(document))
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(Buffer.from(chunk as Uint8Array))
  return Buffer.concat(chunks).toString('utf8')
}

/** A server with one lease, which it renews while it is alive. */
async function leasing(
  t: Test,
  ttlMs: number,
): Promise<Stand & { alive: boolean; silent: boolean; readonly bodies: string[] }> {
  const bodies: string[] = []
  const state = { alive: true, silent: false, bodies }
  const server = await stand(t, (request, response) => {
    if (state.silent) return
    const { method, url = '' } = request
    if (url.includes('/keepalive')) {
      if (state.alive) return answer(response, 200, { id: 5, remainingMs: ttlMs })
      return fail(response, 404, 'lease-not-found', { retryable: false })
    }
    void bodyOf(request).then((body) => {
      bodies.push(`${method} ${url.replace(/[?&]timeout=[^&]*/, '')} ${body}`)
      if (method === 'POST' && url.startsWith('/leases')) answer(response, 201, { id: 5, ttlMs })
      else if (method === 'POST') answer(response, 200, { token: 31, lease: 5 })
      else answer(response, 200, { revision: 8, deleted: 0 })
    })
  })
  return Object.assign(state, server)
}

const renewals = ({ asked }: Stand): number => asked.filter(({ path }) => path.endsWith('/keepalive')).length

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('it did not come in time')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

t.test('a lease', { jobs: 4 }, async (t) => {
  void t.test('is kept alive and released', async (t) => {
    const server = await leasing(t, 1_500)
    const client = clientOf(t, [server.url], 5_000)
    {
      await using lease = await client.lease({ ttlMs: 1_500, id: 5 })
      t.match(lease, { id: 5, ttlMs: 1_500, isHeld: true })
      await until(() => renewals(server) >= 3)
      t.notOk(lease.signal.aborted)
    }
    const before = renewals(server)
    t.same(server.bodies, ['POST /leases {"ttlMs":1500,"id":5}', 'DELETE /leases/5 '])
    t.equal(
      new Set(
        server.asked.filter(({ path }) => !path.endsWith('/keepalive')).map(({ idempotencyKey }) => idempotencyKey),
      ).size,
      2,
    )
    await new Promise((resolve) => setTimeout(resolve, 800))
    t.equal(renewals(server), before, 'and then no more')
  })

  void t.test('is not renewed after its release, by a renewal under way either', async (t) => {
    const left: string[] = []
    const server = await stand(t, ({ method, url = '' }, response) => {
      if (url.includes('/keepalive')) response.once('close', () => left.push(url))
      else answer(response, method === 'POST' ? 201 : 200, { id: 5, ttlMs: 1_500, revision: 8, deleted: 0 })
    })
    const client = clientOf(t, [server.url], 5_000)
    const lease = await client.lease({ ttlMs: 4_000 })
    await until(() => renewals(server) === 1)
    await lease.release()
    // Far less than the renewal would wait for its answer.
    for (let round = 0; round < 20; round++) await client.leases.grant({ ttlMs: 4_000 })
    t.equal(left.length, 1)
    t.notOk(lease.signal.aborted, 'it was not lost')
  })

  void t.test('is lost at once when the server says so', async (t) => {
    const server = await leasing(t, 1_500)
    const client = clientOf(t, [server.url], 5_000)
    await using lease = await client.lease({ ttlMs: 1_500 })
    const lost = once(lease.signal, 'abort')
    server.alive = false
    await lost
    t.ok(lease.signal.reason instanceof LeaseLostError && lease.signal.reason.lease === 5)
    t.notOk(lease.isHeld)
  })

  void t.test('is lost when it cannot be renewed in its time, and not before', async (t) => {
    const server = await leasing(t, 600)
    // The request itself would wait longer than this test may take.
    const client = clientOf(t, [server.url], 8_000_000)
    const grantedAt = performance.now()
    await using lease = await client.lease({ ttlMs: 600 })
    server.silent = true
    await once(lease.signal, 'abort')
    const after = performance.now() - grantedAt
    t.ok(after >= 600, `after ${Math.round(after)} ms`)
    t.match(lease.signal.reason, /could not be renewed/)
  })

  void t.test('is released once', async (t) => {
    const server = await leasing(t, 60_000)
    const client = clientOf(t, [server.url], 5_000)
    {
      await using lease = await client.lease({ ttlMs: 60_000, id: 5 })
      await using lock = await client.lock('l')
      await Promise.all([lease.release(), lease.release(), lock.release(), lock.release()])
      await lease.release()
    }
    const ended = server.bodies.filter((body) => body.startsWith('DELETE'))
    t.same(ended.toSorted(), ['DELETE /leases/5 ', 'DELETE /locks/l?lease=5 '])
  })

  void t.test('a release that failed is repeated under its name', async (t) => {
    let torn = 0
    const server = await stand(t, (request, response) => {
      if (request.method !== 'DELETE') return answer(response, 201, { id: 5, ttlMs: 60_000 })
      torn += 1
      if (torn <= 2) request.socket.destroy()
      else fail(response, 404, 'lease-not-found', { retryable: false })
    })
    const client = clientOf(t, [server.url], 5_000, { retry: false })
    const lease = await client.lease({ ttlMs: 60_000, id: 5 })
    const released = lease.release()
    const disposed = lease[Symbol.asyncDispose]()
    await t.rejects(released, AmbiguousOutcomeError)
    await disposed
    await t.rejects(lease.release(), { code: 'lease-not-found' })
    await lease.release()
    const names = server.asked.filter(({ method }) => method === 'DELETE').map(({ idempotencyKey }) => idempotencyKey)
    t.equal(names.length, 3)
    t.equal(new Set(names).size, 1)
    const named = await client.lease({ ttlMs: 60_000 })
    await named.release({ idempotencyKey: 'mine' }).catch(() => undefined)
    t.equal(server.asked.at(-1)?.idempotencyKey, 'mine')
  })

  void t.test('one that nobody can release at present ends by itself, whatever the block has come to', async (t) => {
    for (const [status, code] of [
      [503, 'no-leader'],
      [429, 'overloaded'],
      [403, 'forbidden'],
    ] as const) {
      const server = await stand(t, (request, response) => {
        if (request.method === 'DELETE') fail(response, status, code, { retryable: status !== 403 })
        else answer(response, 200, { id: 5, ttlMs: 60_000, token: 1, lease: 5 })
      })
      const client = clientOf(t, [server.url], 300)
      const owned = [await client.lease({ ttlMs: 60_000 }), await client.lock('l')]
      for (const one of owned) t.equal(await thrownBy(Promise.resolve(one[Symbol.asyncDispose]())), null, code)
      const told = await thrownBy((await client.lock('l')).release())
      t.ok(told instanceof ProblemError && told.code === code, 'who asks for it is told')
    }
  })

  void t.test('one that is gone, or whose id somebody else may have chosen by now, is not released', async (t) => {
    const server = await leasing(t, 1_000)
    const client = clientOf(t, [server.url], 5_000)
    const gone = await client.lease({ ttlMs: 1_000 })
    server.alive = false
    await once(gone.signal, 'abort')
    server.alive = true
    const [chosen, own] = [await client.lease({ ttlMs: 1_000, id: 5 }), await client.lease({ ttlMs: 1_000 })]
    server.silent = true
    await Promise.all([once(chosen.signal, 'abort'), once(own.signal, 'abort')])
    server.silent = false
    const releases = (): number => server.bodies.filter((body) => body.startsWith('DELETE')).length
    for (const lease of [gone, chosen]) await lease.release()
    t.equal(releases(), 0)
    await own.release()
    t.equal(releases(), 1, 'one that may still be there, under an id that only the server gives')
  })

  void t.test('one that may have been granted before counts once a renewal says that it is alive', async (t) => {
    const server = await leasing(t, 60_000)
    const client = clientOf(t, [server.url], 5_000)
    t.ok((await client.lease({ ttlMs: 60_000 })).isHeld)
    t.equal(renewals(server), 0)
    const again = await client.lease({ ttlMs: 60_000, idempotencyKey: 'worker-7' })
    t.ok(again.isHeld)
    t.equal(renewals(server), 1)
    server.alive = false
    await t.rejects(client.lease({ ttlMs: 60_000, idempotencyKey: 'worker-7' }), { name: 'LeaseLostError', lease: 5 })
  })

  void t.test('a connection that has died unnoticed leaves time for another', async (t) => {
    let dead: unknown = null
    const server = await stand(t, (request, response) => {
      if (request.url?.includes('keepalive') !== true) return answer(response, 201, { id: 5, ttlMs: 8_000 })
      dead ??= request.socket
      if (request.socket !== dead) answer(response, 200, { id: 5, remainingMs: 8_000 })
    })
    await using lease = await clientOf(t, [server.url], 60_000).lease({ ttlMs: 8_000 })
    await until(() => renewals(server) >= 2 || lease.signal.aborted)
    t.ok(lease.isHeld)
  })

  void t.test('ends with the client', async (t) => {
    const server = await leasing(t, 60_000)
    const client = clientOf(t, [server.url], 5_000)
    const lease = await client.lease({ ttlMs: 60_000 })
    client.close()
    t.ok(lease.signal.aborted)
    t.match(lease.signal.reason, /the client was closed/)
    await lease[Symbol.asyncDispose]()
  })
})

t.test('the clock of leases runs on while the machine sleeps', async (t) => {
  let [monotonic, up] = [1_000, 50_000]
  const now = wakingClock(
    () => monotonic,
    () => up,
  )
  t.equal(now(), 1_000)
  ;[monotonic, up] = [1_500, 50_490]
  t.equal(now(), 1_500, 'steps of the coarse clock do not count')
  ;[monotonic, up] = [1_600, 80_600]
  t.equal(now(), 31_600, 'thirty seconds of sleep')
  ;[monotonic, up] = [1_700, 80_690]
  t.equal(now(), 31_700)
  const real = wakingClock()
  const [before, monotonicBefore] = [real(), performance.now()]
  await until(() => performance.now() - monotonicBefore > 200)
  const difference = real() - before - (performance.now() - monotonicBefore)
  t.ok(Math.abs(difference) < 100, `${difference} ms`)
})

t.test('what is told of leases and locks', async (t) => {
  const summary = { id: 5, ttlMs: 1_000, use: 'keys', ending: false }
  const server = await stand(t, (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://stand')
    const isSecond = searchParams.get('cursor') === 'next'
    const cursor = isSecond ? {} : { cursor: 'next' }
    if (pathname === '/leases/6') return fail(response, 404, 'lease-not-found', { retryable: false })
    if (pathname === '/locks/l') return answer(response, 200, { name: 'l', holder: null, waiting: 2 })
    if (pathname === '/leases')
      return answer(response, 200, { leases: [{ ...summary, id: isSecond ? 9 : 5 }], ...cursor })
    answer(response, 200, { ...summary, remainingMs: 9, keys: [isSecond ? 'b' : 'a'], ...cursor })
  })
  const client = clientOf(t, [server.url], 5_000)
  t.strictSame(await client.leases.get(5), { ...summary, remainingMs: 9 })
  t.equal(await client.leases.get(6), null)
  t.same(await collect(client.leases.keys(5)), ['a', 'b'])
  t.same(
    (await collect(client.leases.list())).map(({ id }) => id),
    [5, 9],
  )
  t.match(await client.lockStatus('l'), { holder: null, waiting: 2 })
})

t.test('hundreds of leases are kept, and what that takes is not delayed by other requests', async (t) => {
  const server = await leasing(t, 9_000)
  const client = clientOf(t, [server.url], 60_000)
  const held = await Promise.all(Array.from({ length: 300 }, async () => await client.lease({ ttlMs: 9_000 })))
  const other = await stand(t, (request, response) => {
    if (request.url?.includes('keepalive') === true) answer(response, 200, { id: 5, remainingMs: 3_000 })
    else if (request.url?.startsWith('/leases') === true) answer(response, 201, { id: 5, ttlMs: 3_000 })
  })
  const busy = clientOf(t, [other.url], 5_000)
  const lease = await busy.lease({ ttlMs: 3_000 })
  const stuck = Array.from({ length: 100 }, async () => await thrownBy(busy.get('a')))
  t.match(await busy.leases.keepAlive(5), { remainingMs: 3_000 }, 'nor is a renewal by hand')
  await until(() => renewals(other) >= 4 && renewals(server) >= 300)
  t.ok(lease.isHeld)
  t.ok(held.every(({ isHeld }) => isHeld))
  busy.close()
  await Promise.all(stuck)
})

t.test('no lease is lost while one of three servers hangs', async (t) => {
  const [first, ...others] = [await leasing(t, 9_000), await leasing(t, 9_000), await leasing(t, 9_000)]
  const client = clientOf(
    t,
    [first, ...others].map(({ url }) => url),
    5_000,
  )
  const held = await Promise.all(Array.from({ length: 60 }, async () => await client.lease({ ttlMs: 9_000 })))
  first.silent = true
  const renewed = (): number => others.reduce((sum, other) => sum + renewals(other), 0)
  await until(() => held.some(({ signal }) => signal.aborted) || renewed() >= 2 * held.length)
  t.equal(held.filter(({ signal }) => signal.aborted).length, 0)
  t.ok(renewals(first) <= limits.clientSocketsMax, `${renewals(first)} were sent to the one that hangs`)
})

t.test('a lock', { jobs: 4 }, async (t) => {
  void t.test('is held with a token until it is released', async (t) => {
    const server = await leasing(t, 10_000)
    const client = clientOf(t, [server.url], 5_000)
    {
      await using lock = await client.lock('a/b ..', { owner: 'me', waitMs: 0 })
      t.match(lock, { name: 'a/b ..', token: 31, lease: 5, isHeld: true })
    }
    t.same(server.bodies, [
      'POST /locks/a%2Fb%20.. {"ttlMs":10000,"waitMs":0,"owner":"me"}',
      'DELETE /locks/a%2Fb%20..?lease=5 ',
    ])
  })

  void t.test('of any name', async (t) => {
    const server = await leasing(t, 10_000)
    const client = clientOf(t, [server.url], 5_000)
    for (const name of ['..', 'a/../b', '//', '__proto__', '%2F?#+ 🔑']) await (await client.lock(name)).release()
    t.same(
      server.bodies.map((body) => body.replace(/ [^ ]*$/, '')),
      [
        'POST /locks?name=..',
        'DELETE /locks?name=..&lease=5',
        'POST /locks?name=a%2F..%2Fb',
        'DELETE /locks?name=a%2F..%2Fb&lease=5',
        'POST /locks?name=%2F%2F',
        'DELETE /locks?name=%2F%2F&lease=5',
        'POST /locks/__proto__',
        'DELETE /locks/__proto__?lease=5',
        'POST /locks/%252F%3F%23%2B%20%F0%9F%94%91',
        'DELETE /locks/%252F%3F%23%2B%20%F0%9F%94%91?lease=5',
      ],
    )
    await t.rejects(client.lock('\udc00'), TypeError)
  })

  void t.test('its signal says when it is lost, and then nothing is released', async (t) => {
    const server = await leasing(t, 1_500)
    const client = clientOf(t, [server.url], 5_000)
    const lock = await client.lock('l', { ttlMs: 1_500 })
    const lost = once(lock.signal, 'abort')
    server.alive = false
    await lost
    t.ok(lock.signal.reason instanceof LeaseLostError)
    await lock[Symbol.asyncDispose]()
    t.equal(server.bodies.length, 1)
  })

  void t.test('waits as long as it takes, or as long as it may', async (t) => {
    let held = 3
    const server = await stand(t, (request, response) => {
      if (request.url?.includes('keepalive') === true) return answer(response, 200, { id: 5, remainingMs: 10_000 })
      held -= 1
      if (held > 0) fail(response, 409, 'lock-held', { retryable: false, owner: 'you' })
      else answer(response, 200, { token: 9, lease: 5 })
    })
    const client = clientOf(t, [server.url], 5_000)
    t.equal((await client.lock('l')).token, 9)
    t.equal(new Set(server.asked.map(({ idempotencyKey }) => idempotencyKey)).size, 3, 'each a new request')
    held = 1_000_000
    t.equal(await client.tryLock('l'), null)
    const error = await thrownBy(client.lock('l', { waitMs: 50 }))
    t.ok(error instanceof ProblemError && error.code === 'lock-held')
    const abort = new AbortController()
    setTimeout(() => abort.abort(new Error('enough')), 50)
    await t.rejects(client.lock('l', { signal: abort.signal }), { message: 'enough' })
  })

  void t.test('a retry waits for what is left, and has its own time after that', async (t) => {
    const sent: { readonly waitMs: number; readonly timeoutMs: number }[] = []
    const server = await stand(t, (request, response, timeoutMs) => {
      void bodyOf(request).then((body) => {
        const { waitMs } = JSON.parse(body) as { waitMs: number }
        sent.push({ waitMs, timeoutMs })
        if (sent.length % 2 === 1) setTimeout(() => response.destroy(), 1_500)
        else answer(response, 200, { token: 9, lease: 5 })
      })
    })
    const client = clientOf(t, [server.url], 3_000)
    await client.lock('l', { ttlMs: 60_000, waitMs: 5_000 })
    const [first, retry] = sent
    t.ok((first?.waitMs ?? 0) > 4_500, `${first?.waitMs}`)
    t.ok((retry?.waitMs ?? 0) > 0 && (retry?.waitMs ?? 0) <= 3_500, `${retry?.waitMs}`)
    t.equal(retry?.timeoutMs, 3_000, 'the wait comes first')
    await client.lock('l', { ttlMs: 60_000, waitMs: 800 })
    const last = sent.at(-1)
    t.equal(last?.waitMs, 0)
    t.ok((last?.timeoutMs ?? 0) > 0 && (last?.timeoutMs ?? 0) <= 2_300, `${last?.timeoutMs}`)
    t.equal(new Set(server.asked.map(({ idempotencyKey }) => idempotencyKey)).size, 2, 'one name for each call')
  })

  void t.test('asks anew when the wait of a request that broke off is over', async (t) => {
    let asked = 0
    const server = await stand(t, (request, response) => {
      if (request.url?.includes('keepalive') === true) return answer(response, 200, { id: 5, remainingMs: 10_000 })
      asked += 1
      if (asked === 1) return response.destroy()
      if (asked === 2) fail(response, 409, 'lock-wait-ended', { retryable: false, lease: 4 })
      else answer(response, 200, { token: 9, lease: 5 })
    })
    const client = clientOf(t, [server.url], 5_000)
    t.equal((await client.lock('l', { waitMs: 1 })).token, 9, 'though the time of the wait is over')
    const [first, retry, anew] = server.asked.map(({ idempotencyKey }) => idempotencyKey)
    t.equal(first, retry)
    t.not(anew, first)
  })

  void t.test('a lock that came late counts only when its lease still lives', async (t) => {
    let leases = 0
    const server = await stand(t, (request, response) => {
      const { url = '' } = request
      if (url.includes('/leases/1/')) return fail(response, 404, 'lease-not-found', { retryable: false })
      if (url.includes('keepalive')) return answer(response, 200, { id: 2, remainingMs: 1_000 })
      leases += 1
      // Longer than a third of the time to live.
      setTimeout(() => answer(response, 200, { token: leases, lease: leases }), leases === 1 ? 400 : 0)
    })
    const lock = await clientOf(t, [server.url], 5_000).lock('l', { ttlMs: 1_000 })
    t.match(lock, { token: 2, lease: 2, isHeld: true })
    await lock.release().catch(() => undefined)
  })

  void t.test('a lock that nobody gets is given back', async (t) => {
    const [abort, reason, givenBack] = [new AbortController(), new Error('enough'), deferred<string>()]
    const server = await stand(t, (request, response) => {
      const { url = '', method } = request
      if (url.includes('keepalive')) return abort.abort(reason)
      if (method === 'DELETE') {
        givenBack.resolve(url.replace(/&timeout=.*/, ''))
        return answer(response, 200, { revision: 8, deleted: 0 })
      }
      // Longer than a third of the time to live.
      setTimeout(() => answer(response, 200, { token: 1, lease: 5 }), 400)
    })
    const client = clientOf(t, [server.url], 5_000)
    t.equal(await thrownBy(client.lock('l', { ttlMs: 1_000, signal: abort.signal })), reason)
    t.equal(await givenBack.promise, '/locks/l?lease=5')
  })
})

t.test('records as streams', { jobs: 4 }, async (t) => {
  const many = 20_000
  function* records(): Generator<{ key: string; value: string | Uint8Array }> {
    for (let at = 0; at < many; at++)
      yield { key: `__proto__/${at}`, value: at % 2 === 0 ? `v${at}` : Buffer.from([0xff]) }
  }

  void t.test('out and in', async (t) => {
    const received: string[] = []
    const sink = await stand(t, (request, response) => {
      void bodyOf(request).then((body) => {
        received.push(body)
        answer(response, 200, { imported: body.split('\n').length - 1, revision: 9, leasesDropped: 0 })
      })
    })
    const client = clientOf(t, [sink.url], 5_000)
    t.same(await client.import(records()), { imported: many, revision: 9, leasesDropped: 0 })
    t.equal(sink.asked[0]?.method, 'POST')
    t.match(sink.asked[0]?.idempotencyKey, /./)
    const [lines = ''] = received
    t.ok(lines.startsWith('{"key":"__proto__/0","value":"v0"}\n{"key":"__proto__/1","valueBase64":"/w=="}\n'))
    const source = await stand(t, (_, response) => {
      response.writeHead(200, { 'quorate-revision': '9' })
      const numbers = ',"createRevision":1,"modRevision":2,"version":1,"lease":0}'
      response.end(lines.replaceAll('"}\n', `"${numbers}\n`))
    })
    let count = 0
    for await (const record of clientOf(t, [source.url], 5_000).export({ prefix: '__proto__/' })) {
      if (count === 1) t.strictSame(record.value, Buffer.from([0xff]))
      count += 1
    }
    t.equal(count, many)
    t.equal(source.asked[0]?.query.get('prefix'), '__proto__/')
    const copied = await client.import(clientOf(t, [source.url], 5_000).export())
    t.equal(copied.imported, many, 'what one gives the other takes')
    t.equal(received[1], lines)
  })

  void t.test('what can be begun again is sent again under the same name, and nothing else is', async (t) => {
    const bodies: string[] = []
    const torn = await stand(t, (request) => {
      request.once('data', () => request.socket.destroy())
    })
    const good = await stand(t, (request, response) => {
      void bodyOf(request).then((body) => {
        bodies.push(body)
        answer(response, 200, { imported: 1, revision: 9 })
      })
    })
    const client = clientOf(t, [torn.url, good.url], 5_000)
    const one = [{ key: 'a', value: 'b' }]
    await client.import(() => one)
    t.equal(torn.asked[0]?.idempotencyKey, good.asked[0]?.idempotencyKey)
    const again = clientOf(t, [torn.url, good.url], 5_000)
    await again.import(one)
    t.equal(bodies.length, 2)
    const once = clientOf(t, [torn.url, good.url], 5_000)
    await t.rejects(once.import(one.values()), AmbiguousOutcomeError)
    t.equal(bodies.length, 2)
    const dead = clientOf(t, [await nobody(), good.url], 5_000)
    await dead.import(one.values())
    t.equal(bodies.at(-1), '{"key":"a","value":"b"}\n', 'nothing was taken from it for a server that is not there')
  })

  void t.test(
    'an import that breaks late is sent again, also when it had run for longer than its timeout',
    async (t) => {
      const timeoutMs = 500
      /** Goes on until it is `broken` in its middle. */
      const broken = deferred<null>()
      const piece = 'v'.repeat(limits.clientPieceBytes)
      async function* slowly(): AsyncGenerator<{ key: string; value: string }> {
        yield { key: 'a', value: piece }
        await broken.promise
        yield { key: 'b', value: '2' }
      }
      const torn = await stand(t, (request) => {
        request.once('data', () =>
          setTimeout(() => {
            request.socket.destroy()
            broken.resolve(null)
          }, 2 * timeoutMs),
        )
      })
      const bodies: string[] = []
      const good = await stand(t, (request, response) => {
        void bodyOf(request).then((body) => {
          bodies.push(body)
          answer(response, 200, { imported: 2, revision: 9, leasesDropped: 0 })
        })
      })
      const client = clientOf(t, [torn.url, good.url], timeoutMs)
      t.match(await client.import(slowly), { imported: 2 })
      t.same(bodies, [`{"key":"a","value":"${piece}"}\n{"key":"b","value":"2"}\n`])
      t.equal(torn.asked[0]?.idempotencyKey, good.asked[0]?.idempotencyKey)
      t.ok((good.asked[0]?.timeoutMs ?? 0) > 100, `and has time left: ${good.asked[0]?.timeoutMs} ms`)
    },
  )

  void t.test('an import is not sent again for ever: what a server takes none of counts', async (t) => {
    const slow = await stand(t, (request) => {
      request.resume()
      request.once('end', () => setTimeout(() => request.socket.destroy(), 150))
    })
    const error = await thrownBy(clientOf(t, [slow.url], 500).import([{ key: 'a', value: '1' }]))
    t.ok(error instanceof AmbiguousOutcomeError)
    t.ok(slow.asked.length <= 4, `${slow.asked.length} attempts`)
  })

  void t.test('a stream that is left before its first piece keeps no connection', async (t) => {
    const closed: string[] = []
    const source = await stand(t, (request, response) => {
      response.writeHead(200, { 'quorate-revision': '9' })
      response.write('{')
      response.once('close', () => closed.push(request.url?.replace(/\?.*/, '') ?? ''))
    })
    const client = clientOf(t, [source.url], 5_000)
    const left = [await client.exportLines(), await client.cluster.backup()]
    for (const { pieces } of left) await pieces[Symbol.asyncIterator]().return?.()
    await until(() => closed.length === 2)
    t.same(closed.toSorted(), ['/cluster/snapshot', '/kv'])
  })

  void t.test('an early answer ends the sending, and says how far it came', async (t) => {
    const facts = { retryable: false, line: 3, imported: 2, issues: [] }
    const server = await stand(t, (request, response) => {
      request.once('data', () => fail(response, 400, 'invalid-request', facts))
    })
    const ended = deferred<string>()
    async function* endless(): AsyncGenerator<{ key: string; value: string }> {
      try {
        for (;;) {
          await Promise.resolve()
          yield { key: 'k', value: 'v'.repeat(1000) }
        }
      } finally {
        ended.resolve('closed')
      }
    }
    const error = await thrownBy(clientOf(t, [server.url], 5_000).import(endless()))
    t.ok(error instanceof ProblemError)
    t.match(error, { code: 'invalid-request', problem: { line: 3, imported: 2 } })
    t.equal(await ended.promise, 'closed')
  })

  void t.test('a source that fails, a stream that is cut off, a signal', async (t) => {
    const server = await stand(t, () => undefined)
    const client = clientOf(t, [server.url], 5_000)
    const failure = new Error('no more')
    async function* failing(): AsyncGenerator<{ key: string; value: string }> {
      yield { key: 'a', value: 'b' }
      await Promise.resolve()
      throw failure
    }
    t.equal(await thrownBy(client.import(failing())), failure)
    const abort = new AbortController()
    setTimeout(() => abort.abort(failure), 50)
    t.equal(await thrownBy(client.import([], { signal: abort.signal })), failure)
    const line = '{"key":"a","value":"b","createRevision":1,"modRevision":1,"version":1,"lease":0}\n'
    const torn = await stand(t, (_, response) => {
      response.writeHead(200, { 'quorate-revision': '9' })
      response.write(line + line.slice(0, 9), () => setTimeout(() => response.destroy(), 20))
    })
    const got: KeyRecord[] = []
    const error = await thrownBy(
      (async () => {
        for await (const record of clientOf(t, [torn.url], 5_000).export()) got.push(record)
      })(),
    )
    t.ok(error instanceof ConnectionError)
    t.equal(got.length, 1)
    const page = await stand(t, (_, response) => void response.writeHead(200).end('<html>'))
    await t.rejects(collect(clientOf(t, [page.url], 5_000).export()), { code: 'unknown' })
  })
})

t.test('history, and answers of a later day', async (t) => {
  const view = {
    compactRevision: 3,
    revision: 9,
    changes: 6,
    bytes: 100,
    retention: { revisions: 1, ageMs: 2, bytes: 3 },
  }
  const bodies: string[] = []
  const server = await stand(t, (request, response) => {
    const { method = '', url = '' } = request
    if (method === 'PUT' && url.startsWith('/kv')) {
      const prev = { key: 'k', createRevision: 1, modRevision: 2, version: 2, lease: 0 }
      return answer(response, 200, { revision: 3, createRevision: 1, version: 3, prev, prevValueForgotten: true })
    }
    if (url.startsWith('/kv')) return fail(response, 410, 'compacted', { retryable: false, compactRevision: 3 })
    if (url.startsWith('/txn'))
      return answer(response, 200, { succeeded: true, revision: 9, results: [], resultsForgotten: true })
    void bodyOf(request).then((body) => {
      bodies.push(`${method} ${body}`)
      answer(response, 200, view)
    })
  })
  const client = clientOf(t, [server.url], 5_000)
  t.same(await client.history.status(), view)
  t.same(await client.history.compact(3), view)
  t.same(await client.history.retain(view.retention), view)
  t.same(bodies, ['GET ', 'POST {"revision":3}', 'PUT {"revisions":1,"ageMs":2,"bytes":3}'])
  for (const reading of [client.get('a', { revision: 2 }), collect(client.list({}, { revision: 2 }))]) {
    const error = await thrownBy(reading)
    t.ok(error instanceof CompactedError && error.compactRevision === 3)
  }
  t.equal(server.asked.at(-1)?.query.get('revision'), '2')
  const forgotten = await thrownBy(client.transaction().do(op.get('a')).commit())
  t.ok(forgotten instanceof ResultsForgottenError && forgotten.succeeded && forgotten.revision === 9)
  const late = await client.put('k', 'v', { prev: true })
  t.match(late, { version: 3, prevForgotten: { key: 'k', modRevision: 2 } })
  t.notOk('prev' in late)
})
