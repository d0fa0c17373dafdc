import type { IncomingMessage } from 'node:http'
import t from 'tap'
import { CompactedError, ConnectionError, type WatchEvent, type WatchProgress } from '../../src/client/index.ts'
import { collect, thrownBy } from '../support/outcomes.ts'
import { until } from '../support/until.ts'
import { clientOf, fail, nobody, stand, type Answering, type Stand } from './support/stand.ts'

/* Watches of the library, on servers that speak the API as a script tells them. */

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
      'requests on the way',
      () => proxy.asked.slice(asked).some(({ timeoutMs }) => timeoutMs === 200) && proxy.asked.length > asked + 6,
      20_000,
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

  void t.test('outlasts a function that gives no token for a while, unless that takes too long', async (t) => {
    const server = await stand(t, script(events(4, put('a', 5), 'ends'), events(5, put('b', 6), 'stays')))
    let asked = 0
    const token = (): string => {
      asked += 1
      if (asked > 1 && asked < 4) throw new Error('the vault is down')
      return 'quorate_x'
    }
    const client = clientOf(t, [server.url], 1_000, { token })
    t.same(seen(await take(client.watch({}), 2)), ['5 a', '6 b'])
    t.equal(asked, 4)
    const broken = clientOf(t, [server.url], 1_000, { token: () => Promise.reject(new Error('the vault is gone')) })
    t.match(await thrownBy(collect(broken.watch({}, { unreachableMsMax: 100 }))), { message: /the vault is gone/ })
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
