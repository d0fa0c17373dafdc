import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import type { TransactionBody } from '../../src/api/transactions.ts'
import { ConnectionError } from '../../src/client/exchange.ts'
import { ProblemError, QuorateClient, type WriteConditions } from '../../src/client/quorate-client.ts'

interface Asked {
  readonly method: string
  readonly path: string
  readonly timeoutMs: number | null
}

/** A server that is no node: it notes what it is asked. */
interface Stand {
  readonly url: URL
  readonly asked: readonly Asked[]
}

type Answering = (request: IncomingMessage, response: ServerResponse, timeoutMs: number) => void

async function stand(t: Test, answer: Answering): Promise<Stand> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://stand')
    const timeout = searchParams.get('timeout')
    const timeoutMs = timeout === null ? null : Number(timeout.replace(/ms$/, ''))
    asked.push({ method: request.method ?? '', path: pathname, timeoutMs })
    answer(request, response, timeoutMs ?? 0)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return { url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`), asked }
}

/** Takes requests and never answers, as a stopped process does. */
const hang: Answering = () => undefined

const succeed: Answering = (_request, response) => {
  response.writeHead(200).end('{"revision":7,"createRevision":7,"version":1}')
}

function fail(response: ServerResponse, status: number, code: string): void {
  const problem = { status, title: 'No', detail: 'not here', code, retryable: true, ambiguous: false }
  response.writeHead(status, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem))
}

/** Waits for something until its time is up, as a node does that is cut off from the others. */
function isolated(code: string): Answering {
  return (_request, response, timeoutMs) => {
    const timer = setTimeout(() => fail(response, 503, code), timeoutMs)
    response.on('close', () => clearTimeout(timer))
  }
}

function clientOf(t: Test, servers: readonly URL[], timeoutMs: number): QuorateClient {
  const client = new QuorateClient({ servers, timeoutMs })
  t.teardown(() => client.close())
  return client
}

/** A port on which nobody listens any more. */
async function nobody(): Promise<URL> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return new URL(`http://127.0.0.1:${port}`)
}

const plain: WriteConditions = { ifRevision: null, create: false }
const value = Buffer.from('v')
const member = { id: 1, raft: '127.0.0.1:1', api: '127.0.0.1:2' }

t.test('a server that hangs or is cut off leaves time for the others', { jobs: 4 }, async (t) => {
  const timeoutMs = 2_000
  for (const [name, answering] of [
    ['hung', hang],
    ['without a leader', isolated('no-leader')],
  ] as const) {
    void t.test(`a write, one server ${name}`, async (t) => {
      const [bad, good] = [await stand(t, answering), await stand(t, succeed)]
      const client = clientOf(t, [bad.url, good.url], timeoutMs)
      const startedAt = performance.now()
      t.match(await client.put('a', value, plain), { revision: 7 })
      t.ok(performance.now() - startedAt < timeoutMs, 'within the time of the request')
      t.strictSame(bad.asked, [{ method: 'PUT', path: '/kv', timeoutMs: 1_000 }], 'half of the time is its share')
      const [{ timeoutMs: rest } = { timeoutMs: null }] = good.asked
      t.ok(rest !== null && rest > 500 && rest <= 1_000, `the last one gets all that is left: ${rest} ms`)
      await client.put('a', value, plain)
      t.equal(bad.asked.length, 1, 'the client stays with the one that serves')
    })
  }

  void t.test('a read that could not be confirmed in its share', async (t) => {
    const [bad, good] = [await stand(t, isolated('read-timeout')), await stand(t, succeed)]
    const early: Answering = (_request, response) => fail(response, 503, 'read-timeout')
    const quick = await stand(t, early)
    await clientOf(t, [bad.url, quick.url, good.url], timeoutMs).get('a', 'linearizable')
    t.same([bad.asked.length, quick.asked.length, good.asked.length], [1, 1, 1])
    t.equal(bad.asked[0]?.timeoutMs, Math.ceil(timeoutMs / 3))
  })

  void t.test('a look that names no time', async (t) => {
    const [bad, good] = [await stand(t, hang), await stand(t, succeed)]
    const startedAt = performance.now()
    await clientOf(t, [bad.url, good.url], timeoutMs).cluster()
    t.ok(performance.now() - startedAt < timeoutMs)
    t.strictSame(good.asked, [{ method: 'GET', path: '/cluster', timeoutMs: null }])
  })

  void t.test('shares are not too short to be of use', async (t) => {
    const bad = [await stand(t, isolated('no-leader')), await stand(t, hang)]
    const last = await stand(t, isolated('no-leader'))
    const client = clientOf(
      t,
      [...bad, last].map(({ url }) => url),
      1_400,
    )
    await t.rejects(client.put('a', value, plain), ProblemError, 'the answer of the last one is what is reported')
    t.same(
      bad.map(({ asked }) => asked.map((one) => one.timeoutMs)),
      [[500], [500]],
    )
    t.equal(last.asked.length, 1)
  })

  void t.test('what must not be done twice has all the time where it is', async (t) => {
    const [first, second] = [await stand(t, isolated('no-leader')), await stand(t, succeed)]
    const client = clientOf(t, [first.url, second.url], 400)
    await t.rejects(client.transfer(null), ProblemError)
    t.equal(first.asked[0]?.timeoutMs, 400)
  })
})

t.test('requests that fail together on one server go on to the same next one', async (t) => {
  const together = 3
  const held: IncomingMessage[] = []
  const bad = await stand(t, (request) => {
    held.push(request)
    if (held.length === together) for (const { socket } of held) socket.destroy()
  })
  const [good, other] = [await stand(t, succeed), await stand(t, succeed)]
  const client = clientOf(t, [bad.url, good.url, other.url], 5_000)
  await Promise.all(Array.from({ length: together }, async () => await client.put('a', value, plain)))
  t.same([bad.asked.length, good.asked.length, other.asked.length], [together, together, 0])
})

t.test('a request asks each server once in a round, wherever others move the client meanwhile', async (t) => {
  const isOf = (key: string, { url = '' }: IncomingMessage): boolean => url.includes(`key=${key}`)
  const asked = new EventEmitter()
  const held = once(asked, 'a') as Promise<[ServerResponse]>
  const first = await stand(t, (request, response) => {
    if (isOf('a', request)) fail(response, 503, 'no-leader')
    else succeed(request, response, 0)
  })
  const second = await stand(t, (request, response) => {
    if (isOf('a', request)) asked.emit('a', response)
    else fail(response, 503, 'no-leader')
  })
  const third = await stand(t, (request, response) => {
    if (isOf('a', request)) succeed(request, response, 0)
    else fail(response, 503, 'no-leader')
  })
  const client = clientOf(t, [first.url, second.url, third.url], 20_000)
  const a = client.put('a', value, plain)
  const [response] = await held
  // From the second server by way of the third to the first, which has failed the other request already.
  await client.put('b', value, plain)
  fail(response, 503, 'no-leader')
  await a
  t.same([first.asked.length, second.asked.length, third.asked.length], [2, 2, 2])
})

t.test('what is about one node is asked of the first server alone', async (t) => {
  const other = await stand(t, succeed)
  const client = clientOf(t, [await nobody(), other.url], 2_000)
  await t.rejects(client.initialize(null, 'committed'), ConnectionError, 'no other node forms a cluster of itself')
  await t.rejects(client.isReady(), ConnectionError)
  t.same(other.asked, [])

  await client.cluster()
  t.equal(other.asked.length, 1)
  await t.rejects(client.isReady(), ConnectionError, 'even when the client stays with another one')
  await client.initialize([member], 'committed')
  t.equal(other.asked.at(-1)?.path, '/cluster/initialize', 'a list of members means the same on every node')

  const stopping = await stand(t, (_request, response) => fail(response, 503, 'shutting-down'))
  const both = clientOf(t, [stopping.url, other.url], 2_000)
  const before = other.asked.length
  await t.rejects(both.initialize(null, 'committed'), ProblemError)
  t.equal(await both.isReady(), false)
  t.equal(other.asked.length, before)
})

t.test('a transaction whose answer is lost is sent to the next server, under the same name', async (t) => {
  const sent: { readonly name: unknown; readonly body: unknown }[] = []
  const answering =
    (end: (response: ServerResponse) => void): Answering =>
    (request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        sent.push({ name: request.headers['idempotency-key'], body: JSON.parse(Buffer.concat(chunks).toString()) })
        end(response)
      })
    }
  const answer = { succeeded: true, revision: 7, results: [{ put: { createRevision: 7, version: 1 } }] }
  const torn = await stand(
    t,
    answering(({ socket }) => socket?.destroy()),
  )
  const good = await stand(
    t,
    answering((response) => void response.writeHead(200).end(JSON.stringify(answer))),
  )
  const body: TransactionBody = {
    compare: [{ key: 'a', target: 'version', op: '=', value: 0 }],
    success: [{ put: { key: 'a', value: 'v' } }],
  }
  t.strictSame(await clientOf(t, [torn.url, good.url], 5_000).transaction(body), answer)
  const [first, second] = sent
  t.strictSame(first?.body, body)
  t.equal(typeof first?.name, 'string')
  t.strictSame(second, first)
  t.strictSame(good.asked, [{ method: 'POST', path: '/txn', timeoutMs: good.asked[0]?.timeoutMs ?? null }])
  const alone = clientOf(t, [torn.url], 5_000).transaction(body)
  t.match(
    await alone.catch((error: unknown) => error),
    { name: 'ConnectionError', ambiguous: true },
    'with one, nothing is retried',
  )
})
