import t from 'tap'
import type * as keys from '../../src/api/keys.ts'
import type * as cluster from '../../src/api/cluster.ts'
import type * as transactions from '../../src/api/transactions.ts'
import {
  AmbiguousOutcomeError,
  CompactedError,
  ConnectionError,
  op,
  ProblemError,
  ResultsForgottenError,
  type KeyRecord,
} from '../../src/client/index.ts'
import type * as published from '../../src/client/index.ts'
import { deferred } from '../../src/lib/deferred.ts'
import { limits } from '../../src/limits.ts'
import { collect, thrownBy } from '../support/outcomes.ts'
import { until } from '../support/until.ts'
import { answer, bodyOf, clientOf, fail, nobody, stand } from './support/stand.ts'

/* Imports, exports and history of the library, and the types that programs see. */

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
    await until('both are closed', () => closed.length === 2, 20_000)
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
