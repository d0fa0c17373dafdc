import type { ServerResponse } from 'node:http'
import t from 'tap'
import {
  AmbiguousOutcomeError,
  ClosedError,
  ConnectionError,
  ProblemError,
  type QuorateClient,
} from '../../src/client/index.ts'
import { collect, thrownBy } from '../support/outcomes.ts'
import { clientOf, fail, foreign, stand, succeed, type Stand } from './support/stand.ts'

/* What the client makes of answers: whether they are those of a node, and what they say of changes that were made in part. */

const member = { id: 2, raft: '10.0.0.2:7002', api: 'http://10.0.0.2:7001' }

/** A call of each kind, by what it asks for. */
const reads: Readonly<Record<string, (client: QuorateClient) => Promise<unknown>>> = {
  get: async (client) => await client.get('a'),
  list: async (client) => await collect(client.list()),
  count: async (client) => await client.count(),
  export: async (client) => await collect(client.export()),
  watch: async (client) => await collect(client.watch({})),
  lockStatus: async (client) => await client.lockStatus('a'),
  leases: async (client) => await collect(client.leases.list()),
  history: async (client) => await client.history.status(),
  status: async ({ cluster }) => await cluster.status(),
  membership: async ({ cluster }) => await cluster.membership(),
  version: async ({ cluster }) => await cluster.version(),
  diagnostics: async ({ cluster }) => await cluster.diagnostics(),
  self: async ({ auth }) => await auth.self(),
  roles: async ({ auth }) => await auth.roles(),
  role: async ({ auth }) => await auth.role('a'),
  tokens: async ({ auth }) => await auth.tokens(),
  token: async ({ auth }) => await auth.token(1),
}
const writes: Readonly<Record<string, (client: QuorateClient) => Promise<unknown>>> = {
  put: async (client) => await client.put('a', '1'),
  delete: async (client) => await client.delete('a'),
  deleteRange: async (client) => await client.deleteRange({ prefix: 'a' }),
  transaction: async (client) => await client.transaction().commit(),
  import: async (client) => await client.import([{ key: 'a', value: '1' }]),
  lease: async (client) => await client.lease({ ttlMs: 5_000 }),
  revoke: async (client) => await client.leases.revoke(1),
  lock: async (client) => await client.lock('a'),
  compact: async (client) => await client.history.compact(1),
  initialize: async ({ cluster }) => await cluster.initialize([member]),
  addLearner: async ({ cluster }) => await cluster.addLearner(member),
  removeLearner: async ({ cluster }) => await cluster.removeLearner(2),
  setVoters: async ({ cluster }) => await cluster.setVoters([1]),
  setAddresses: async ({ cluster }) => await cluster.setAddresses(member),
  transfer: async ({ cluster }) => await cluster.transfer(),
  bootstrap: async ({ auth }) => await auth.bootstrap(),
  createToken: async ({ auth }) => await auth.createToken('a', ['b']),
  putRole: async ({ auth }) => await auth.putRole('a', {}),
  deleteRole: async ({ auth }) => await auth.deleteRole('a'),
}

t.test('a success that something else than a node tells is not believed', async (t) => {
  for (const [body, status] of [
    ['{"error":"the backend did not answer"}', 200],
    ['[]', 200],
    ['', 200],
    ['{"status":"accepted","id":"7"}', 202],
  ] as const) {
    const page = await stand(t, foreign(status, body, { 'content-type': 'application/json' }))
    const client = clientOf(t, [page.url], 5_000)
    t.equal(await client.cluster.isReady(), false)
    for (const [name, read] of Object.entries(reads)) {
      const error = await thrownBy(read(client))
      t.ok(error instanceof ProblemError, name)
      t.match(error, { code: 'unknown', status, retryable: false, message: /not an answer of a Quorate node/ }, name)
    }
    for (const [name, write] of Object.entries(writes)) {
      const error = await thrownBy(write(client))
      t.ok(error instanceof AmbiguousOutcomeError, `${name}: it may have been passed on`)
      t.match(error, { cause: { code: 'unknown', status } }, name)
    }
  }
})

t.test('a failure is that of a node only when it has all that nodes say', async (t) => {
  const proxy = '{"code":"UPSTREAM_TIMEOUT","detail":"the backend did not answer"}'
  const gateway = await stand(t, foreign(504, proxy, { 'content-type': 'application/json' }))
  const client = clientOf(t, [gateway.url], 300)
  t.match(await thrownBy(client.put('a', '1')), {
    name: 'AmbiguousOutcomeError',
    cause: { code: 'unknown', status: 504, retryable: true },
  })
  t.ok(gateway.asked.length > 1, 'a proxy that has lost its node is asked again')
  t.match(await thrownBy(client.get('a')), { name: 'ProblemError', code: 'unknown', status: 504, retryable: true })
  const others = await stand(t, foreign(404, '{"code":"key-not-found","detail":"no such page","status":404}'))
  t.match(await thrownBy(clientOf(t, [others.url], 5_000).get('a')), { code: 'unknown', status: 404 })
})

t.test('what was done in part before a server stopped is not taken for nothing', { jobs: 4 }, async (t) => {
  const deleted = { deleted: 8_192, chunks: 2, revision: 99 }
  const imported = { imported: 4_096, line: 4_097, nextLine: 4_097, revision: 99 }
  const cases = [
    ['a deletion', deleted, async (client: QuorateClient) => await client.deleteRange('all', { chunked: true })],
    ['an import', imported, async (client: QuorateClient) => await client.import([{ key: 'a', value: '1' }])],
  ] as const
  for (const [name, facts, write] of cases) {
    void t.test(`${name}, and nobody answers after it`, async (t) => {
      const answers = [
        (response: ServerResponse) => fail(response, 503, 'shutting-down', facts),
        (response: ServerResponse) => void response.destroy(),
      ]
      const server = await stand(t, (_request, response) =>
        (answers.length > 1 ? answers.shift() : answers[0])?.(response),
      )
      const error = await thrownBy(write(clientOf(t, [server.url], 300)))
      t.ok(error instanceof AmbiguousOutcomeError, String(error))
    })
    void t.test(`${name}, and another server has come less far, or refuses it`, async (t) => {
      for (const [status, code] of [
        [503, 'no-leader'],
        [422, 'invalid-lease'],
        [403, 'forbidden'],
      ] as const) {
        const first: Stand = await stand(t, (_request, response) =>
          fail(response, 503, 'no-leader', first.asked.length === 1 ? facts : {}),
        )
        const retryable = status === 503
        const second = await stand(t, (_request, response) => fail(response, status, code, { retryable, imported: 0 }))
        const error = await thrownBy(write(clientOf(t, [first.url, second.url], 800)))
        t.equal(second.asked[0]?.idempotencyKey, first.asked[0]?.idempotencyKey)
        t.ok(error instanceof AmbiguousOutcomeError, `${code}: ${String(error)}`)
      }
    })
    void t.test(`${name} that each server tells of in the same way`, async (t) => {
      const server = await stand(t, (_request, response) => fail(response, 503, 'no-leader', facts))
      const error = await thrownBy(write(clientOf(t, [server.url], 300)))
      t.ok(server.asked.length > 1)
      t.match(error, { name: 'ProblemError', code: 'no-leader', problem: facts })
    })
  }
})

t.test('an attempt that broke leaves open what an import has come to, whatever is refused after it', async (t) => {
  const answers = [
    (response: ServerResponse) => void response.destroy(),
    (response: ServerResponse) => fail(response, 422, 'invalid-lease', { retryable: false, imported: 0 }),
  ]
  const server = await stand(t, (_request, response) => answers.shift()?.(response))
  const error = await thrownBy(clientOf(t, [server.url], 5_000).import([{ key: 'a', value: '1' }]))
  t.ok(error instanceof AmbiguousOutcomeError, String(error))
  t.match(error, { cause: { code: 'invalid-lease' } })
})

t.test('a node that is initialized, and waits for a leader, is not initialized once more', async (t) => {
  const server: Stand = await stand(t, (_request, response) => {
    if (server.asked.length === 1) fail(response, 503, 'no-leader', { detail: 'this node is initialized' })
    else fail(response, 409, 'already-initialized', { retryable: false })
  })
  const error = await thrownBy(clientOf(t, [server.url], 5_000).cluster.initialize([member]))
  t.match(error, { name: 'ProblemError', code: 'no-leader', message: /this node is initialized/ })
  t.equal(server.asked.length, 1)
})

t.test('a leader is one that a node names, and that answers as a node', async (t) => {
  const other = await stand(t, foreign(404, '<html>'))
  const follower = await stand(t, (request, response) => {
    if (request.url?.includes('redirect=true') !== true) return succeed(request, response, 0)
    response.writeHead(307, { location: other.url.origin + request.url, ...named }).end()
  })
  let named: Readonly<Record<string, string>> = { 'quorate-leader': '2' }
  const client = clientOf(t, [follower.url], 5_000, { preferLeader: true })
  await t.rejects(client.put('a', '1'), AmbiguousOutcomeError)
  await client.put('a', '1')
  await client.put('a', '1')
  t.equal(other.asked.length, 1, 'the address is done without')
  named = {}
  await t.rejects(clientOf(t, [follower.url], 5_000, { preferLeader: true }).put('a', '1'), AmbiguousOutcomeError)
  t.equal(other.asked.length, 1, 'a redirect of something else is not followed')
})

t.test('a server that is not ready to show something leaves it to another', async (t) => {
  const behind = await stand(t, (_request, response) => fail(response, 503, 'not-ready'))
  const ready = await stand(t, succeed)
  const client = clientOf(t, [behind.url, ready.url], 5_000)
  t.match(await client.get('a', { consistency: 'stale', maxStalenessMs: 1_000 }), { version: 1 })
  t.same([behind.asked.length, ready.asked.length], [1, 1])
  const change = clientOf(t, [behind.url, ready.url], 5_000).cluster.addLearner(member)
  await t.rejects(change, { code: 'not-ready' }, 'a change of members is not tried elsewhere')
})

t.test('a stream that ends in the middle of a line was cut off', async (t) => {
  const record = '{"key":"a","value":"1","createRevision":1,"modRevision":1,"version":1,"lease":0}\n'
  const server: Stand = await stand(t, (_request, response) => {
    response.writeHead(200, { 'quorate-revision': '9' }).end(`${record}{"key":"b","val`)
  })
  const client = clientOf(t, [server.url], 5_000)
  const keys: string[] = []
  const read = async (): Promise<void> => {
    for await (const { key } of client.export()) keys.push(key)
  }
  await t.rejects(read(), ConnectionError)
  t.same(keys, ['a'])
  await t.rejects(collect((await client.exportLines()).pieces), ConnectionError)
})

t.test('a watch that is left, or whose reader fails, ends at once', async (t) => {
  const server: Stand = await stand(t, (_request, response) => {
    response.writeHead(200, { 'quorate-revision': '5' })
    const record = { key: 'a', value: '1', createRevision: 6, modRevision: 6, version: 1, lease: 0 }
    if (server.asked.length === 1) response.write(`id: 6\nevent: put\ndata: ${JSON.stringify(record)}\n\n`)
    else response.flushHeaders()
  })
  const client = clientOf(t, [server.url], 5_000)
  const read = client.watch({})[Symbol.asyncIterator]()
  t.match(await read.next(), { value: { key: 'a' } })
  const failure = new ConnectionError('the sink failed', false)
  t.equal(await thrownBy(read.throw?.(failure) ?? Promise.resolve()), failure)
  t.equal(server.asked.length, 1, 'no other connection is made')
  const waiting = client.watch({})[Symbol.asyncIterator]()
  const next = waiting.next()
  t.match(await waiting.return?.(), { done: true })
  t.match(await next, { done: true })
})

t.test('a token that fails when nobody waits for it any more is no fault of the process', async (t) => {
  const unhandled: unknown[] = []
  const note = (error: unknown): void => void unhandled.push(error)
  process.on('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  const options = { token: async () => await Promise.reject(new Error('the vault is down')) }
  const client = clientOf(t, [new URL('http://127.0.0.1:9')], 5_000, options)
  await t.rejects(client.get('a', { signal: AbortSignal.abort(new Error('left')) }), /left/)
  await t.rejects(client.get('a', { timeoutMs: 0 }), ConnectionError)
  client.close()
  await t.rejects(client.get('a'), ClosedError)
  await new Promise((resolve) => setImmediate(resolve))
  t.same(unhandled, [])
})

t.test('a lease and a client that is closed', async (t) => {
  const server: Stand = await stand(t, (request, response) => {
    if (request.method === 'DELETE') client.close()
    else response.writeHead(200).end('{"id":7,"ttlMs":5000}')
  })
  const client = clientOf(t, [server.url], 5_000)
  const lease = await client.lease({ ttlMs: 5_000 })
  await t.rejects(lease.release({ idempotencyKey: 'has a space' }), TypeError)
  t.ok(lease.isHeld, 'a call that is refused ends nothing')
  await t.resolves(async () => await lease[Symbol.asyncDispose](), 'the client is closed meanwhile')
  t.equal(server.asked.at(-1)?.method, 'DELETE')
})

t.test('a stream that is being read ends with its client', async (t) => {
  const server: Stand = await stand(t, (_request, response) => {
    response.writeHead(200, { 'quorate-revision': '9' }).write('\n')
  })
  const client = clientOf(t, [server.url], 5_000)
  const { pieces } = await client.exportLines()
  const read = collect(pieces)
  client.close()
  t.ok((await thrownBy(read)) instanceof ClosedError)
})

t.test('headers may be as long as a redirection to the largest request', async (t) => {
  const server = await stand(t, (request, response) => {
    response.setHeader('location', `http://other/${'a'.repeat(48 * 1024)}`)
    succeed(request, response, 0)
  })
  t.match(await clientOf(t, [server.url], 5_000).put('a', '1'), { revision: 7 })
})
