import { EventEmitter, once } from 'node:events'
import dns from 'node:dns'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import type { TransactionBody } from '../../src/api/transactions.ts'
import {
  AmbiguousOutcomeError,
  ClosedError,
  compare,
  ConnectionError,
  op,
  ProblemError,
  QuorateClient,
} from '../../src/client/index.ts'
import { sameUnderKey } from '../../src/lib/errors.ts'
import { limits } from '../../src/limits.ts'
import { thrownBy } from '../support/outcomes.ts'
import { clientOf, fail, hang, isolated, nobody, stand, succeed, type Answering } from './support/stand.ts'

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
      t.match(await client.put('a', value), { revision: 7 })
      t.match(bad.asked, [{ method: 'PUT', path: '/kv' }])
      const [shareMs = 0, restMs = 0] = [bad, good].map(({ asked }) => asked[0]?.timeoutMs ?? 0)
      // A request arrives after it was sent, so that less was left by then; the times that are told are whole milliseconds.
      const [leftMs = 0, lastMs = 0] = [bad, good].map(({ asked }) => timeoutMs - ((asked[0]?.at ?? 0) - startedAt) - 1)
      t.ok(shareMs >= leftMs / 2 && shareMs <= timeoutMs / 2, `half of the time is its share: ${shareMs} ms`)
      t.ok(restMs >= lastMs && restMs <= timeoutMs - shareMs, `the last one gets all that is left: ${restMs} ms`)
      await client.put('a', value)
      t.equal(bad.asked.length, 1, 'the client stays with the one that serves')
    })
  }

  void t.test('a read that could not be confirmed in its share', async (t) => {
    const [bad, good] = [await stand(t, isolated('read-timeout')), await stand(t, succeed)]
    const early: Answering = (_request, response) => fail(response, 503, 'read-timeout')
    const quick = await stand(t, early)
    const startedAt = performance.now()
    await clientOf(t, [bad.url, quick.url, good.url], timeoutMs).get('a')
    t.same([bad.asked.length, quick.asked.length, good.asked.length], [1, 1, 1])
    const [asked] = bad.asked
    const shareMs = asked?.timeoutMs ?? 0
    const leftMs = timeoutMs - ((asked?.at ?? 0) - startedAt) - 1
    t.ok(shareMs >= leftMs / 3 && shareMs <= Math.ceil(timeoutMs / 3), `${shareMs} ms`)
  })

  void t.test('a look that names no time', async (t) => {
    const [bad, good] = [await stand(t, hang), await stand(t, succeed)]
    await clientOf(t, [bad.url, good.url], timeoutMs).cluster.status()
    t.match(good.asked, [{ method: 'GET', path: '/cluster', timeoutMs: null }])
    const lone = await stand(t, succeed)
    const { auth } = clientOf(t, [lone.url], timeoutMs)
    await Promise.allSettled([auth.self(), auth.roles(), auth.role('r'), auth.tokens(), auth.token(1)])
    t.equal(lone.asked.length, 5)
    t.ok(
      lone.asked.every((one) => one.timeoutMs !== null && one.timeoutMs <= timeoutMs),
      'but one that is confirmed by a leader does',
    )
  })

  void t.test('a node of an earlier build that refuses the time of a look is asked without it', async (t) => {
    const refused = (response: Parameters<Answering>[1], path: string): void => {
      const issues = [{ path, message: 'is unknown; expected nothing' }]
      fail(response, 400, 'invalid-request', { retryable: false, issues })
    }
    const old = await stand(t, (request, response, askedMs) =>
      askedMs > 0 ? refused(response, 'query/timeout') : succeed(request, response, 0),
    )
    const reasons: unknown[] = []
    const { auth, cluster } = clientOf(t, [old.url], timeoutMs, { onElsewhere: (reason) => reasons.push(reason) })
    await auth.self()
    t.match(old.asked, [{ path: '/auth/self' }, { path: '/auth/self', timeoutMs: null }])
    t.ok((old.asked[0]?.timeoutMs ?? 0) > 0)
    t.same(reasons, [{ kind: 'answered', code: 'invalid-request' }])
    await cluster.status()
    t.equal(old.asked.length, 3, 'what is answered at once names no time in the first place')
    const other = await stand(t, (_request, response) => refused(response, 'query/limit'))
    await t.rejects(clientOf(t, [other.url], timeoutMs).auth.self(), { code: 'invalid-request' })
    t.equal(other.asked.length, 1, 'another mistake is that of the caller')
  })

  void t.test('shares are not too short to be of use', async (t) => {
    const bad = [await stand(t, isolated('no-leader')), await stand(t, hang)]
    const last = await stand(t, isolated('no-leader'))
    const client = clientOf(
      t,
      [...bad, last].map(({ url }) => url),
      1_400,
    )
    const error: unknown = await client.put('a', value).catch((error: unknown) => error)
    t.match(error, { name: 'AmbiguousOutcomeError' }, 'one that hangs may have done it')
    t.match(error, { cause: { code: 'no-leader' } }, 'the answer of the last one is what is reported')
    t.same(
      bad.map(({ asked }) => asked.map((one) => one.timeoutMs)),
      [[500], [500]],
    )
    t.equal(last.asked.length, 1)
  })

  void t.test('what must not be done twice has all the time where it is', async (t) => {
    const [first, second] = [await stand(t, isolated('no-leader')), await stand(t, succeed)]
    const client = clientOf(t, [first.url, second.url], 400)
    const startedAt = performance.now()
    await t.rejects(client.cluster.transfer(null), ProblemError)
    const [asked] = first.asked
    const givenMs = asked?.timeoutMs ?? 0
    const leftMs = 400 - ((asked?.at ?? 0) - startedAt) - 1
    t.ok(givenMs >= leftMs && givenMs <= 400, `${givenMs} ms`)
    t.equal(second.asked.length, 0)
  })
})

t.test('a server that hangs holds up no request that waits for another', { jobs: 4 }, async (t) => {
  void t.test('many requests at once: those that were not sent yet go elsewhere', async (t) => {
    const [bad, good] = [await stand(t, hang), await stand(t, succeed)]
    const timeoutMs = 6_000
    const client = clientOf(t, [bad.url, good.url], timeoutMs)
    // One that waited longer than its time would reject.
    await Promise.all(Array.from({ length: 96 }, async () => await client.put('a', value)))
    t.same([bad.asked.length, good.asked.length], [limits.clientSocketsMax, 96])
  })

  void t.test('the only server: what was not sent has certainly not happened', async (t) => {
    const bad = await stand(t, hang)
    const client = clientOf(t, [bad.url], 300)
    const startedAt = performance.now()
    const errors = await Promise.all(
      Array.from({ length: 40 }, async () => {
        const error: unknown = await client.put('a', value).catch((error: unknown) => error)
        return { error, afterMs: performance.now() - startedAt }
      }),
    )
    const unsent = errors.filter(({ error }) => error instanceof ConnectionError && error.refused)
    t.equal(unsent.length, 40 - limits.clientSocketsMax)
    t.equal(bad.asked.length, limits.clientSocketsMax)
    const first = Math.min(...unsent.map(({ afterMs }) => afterMs))
    t.ok(first >= 300, `each waits for its turn as long as it may: ${Math.round(first)} ms`)
    t.match(unsent[0]?.error, { message: /16 requests before this one/ })
    t.ok(errors.every(({ error }) => error instanceof ConnectionError || error instanceof AmbiguousOutcomeError))
  })

  void t.test('the time that a request has waited is not given to the server as well', async (t) => {
    const sockets = new Set<unknown>()
    const slow = await stand(t, (request, response, timeoutMs) => {
      sockets.add(request.socket)
      setTimeout(() => succeed(request, response, timeoutMs), 400)
    })
    const client = clientOf(t, [slow.url], 5_000)
    const puts = Array.from({ length: 2 * limits.clientSocketsMax }, async () => await client.put('a', value))
    await Promise.all(puts)
    const given = slow.asked.map(({ timeoutMs }) => timeoutMs ?? 0)
    t.ok(given.slice(0, limits.clientSocketsMax).every((ms) => ms > 4_500))
    const later = given.slice(limits.clientSocketsMax)
    t.ok(
      later.every((ms) => ms <= 4_600),
      later.join(),
    )
    t.equal(sockets.size, limits.clientSocketsMax, 'connections are used again')
  })

  void t.test('a request that waits ends with its signal and with the client', async (t) => {
    const bad = await stand(t, hang)
    const client = clientOf(t, [bad.url], 60_000)
    const stuck = Array.from({ length: limits.clientSocketsMax }, async () => await client.get('a').catch(() => null))
    const [abort, reason] = [new AbortController(), new Error('no longer wanted')]
    const aborted = client.put('a', value, { signal: abort.signal }).catch((error: unknown) => error)
    const closed = client.put('a', value)
    abort.abort(reason)
    t.equal(await aborted, reason)
    client.close()
    await t.rejects(closed, ClosedError)
    await Promise.all(stuck)
  })

  void t.test('the others are asked before it for a while', async (t) => {
    let busy = -1
    const healthy = [0, 1].map(
      (at): Answering =>
        (request, response) =>
          busy === at ? fail(response, 503, 'no-leader') : succeed(request, response, 0),
    )
    const [bad, ...good] = [
      await stand(t, hang),
      await stand(t, healthy[0] ?? hang),
      await stand(t, healthy[1] ?? hang),
    ]
    const client = clientOf(
      t,
      [bad, ...good].map(({ url }) => url),
      3_000,
    )
    await client.put('a', value)
    for (busy of [0, 1, 0]) await client.put('a', value)
    t.same([bad.asked.length, ...good.map(({ asked }) => asked.length)], [1, 4, 3])
  })

  void t.test('what must not be repeated moves the client on too', async (t) => {
    const [bad, good] = [await stand(t, hang), await stand(t, succeed)]
    const client = clientOf(t, [bad.url, good.url], 100)
    await t.rejects(client.cluster.transfer(), AmbiguousOutcomeError)
    await client.put('a', value)
    t.same([bad.asked.length, good.asked.length], [1, 1])
  })
})

t.test('nothing is waited for without an end', { jobs: 4 }, async (t) => {
  void t.test('an answer that comes drop by drop', async (t) => {
    const slow = await stand(t, (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      const drops = setInterval(() => response.write(' '), 20)
      response.on('close', () => clearInterval(drops))
    })
    await t.rejects(clientOf(t, [slow.url], 200).count(), { name: 'ConnectionError', message: /no whole answer/ })
  })

  void t.test('a token that the program does not give', async (t) => {
    const server = await stand(t, succeed)
    const never = async (): Promise<string> => await new Promise(() => undefined)
    const client = clientOf(t, [server.url], 100, { token: never })
    await t.rejects(client.get('a'), { name: 'ConnectionError', refused: true, message: /no token within 100 ms/ })
    const patient = { timeoutMs: 60_000 }
    const [abort, reason] = [new AbortController(), new Error('no longer wanted')]
    const aborted = thrownBy(client.get('a', { ...patient, signal: abort.signal }))
    abort.abort(reason)
    t.equal(await aborted, reason)
    const closed = thrownBy(client.put('a', value, patient))
    client.close()
    t.ok((await closed) instanceof ClosedError)
    t.ok((await thrownBy(client.get('a', patient))) instanceof ClosedError, 'nor is one asked for any more')
    t.same(server.asked, [])
  })

  void t.test('a function that fails to give a token', async (t) => {
    const server = await stand(t, succeed)
    const cause = new Error('the vault is down')
    const failing = {
      'at once': () => {
        throw cause
      },
      'in its promise': async () => await Promise.reject(cause),
    }
    for (const [when, token] of Object.entries(failing)) {
      const error = await thrownBy(clientOf(t, [server.url], 1_000, { token }).put('a', value))
      t.match(
        error,
        { name: 'ConnectionError', refused: true, retryable: true, message: /token.*the vault is down/ },
        when,
      )
      t.equal((error as Error).cause, cause, when)
    }
    t.same(server.asked, [])
  })

  void t.test('a token that takes its time leaves the rest of it to the servers', async (t) => {
    const server = await stand(t, succeed)
    const slowly = async (): Promise<string> => {
      await new Promise((resolve) => setTimeout(resolve, 200))
      return 'quorate_x'
    }
    await clientOf(t, [server.url], 5_000, { token: slowly }).get('a')
    const givenMs = server.asked[0]?.timeoutMs ?? 0
    t.ok(givenMs > 0 && givenMs <= 4_801, `${givenMs} ms`)
  })

  void t.test('a TLS handshake', async (t) => {
    const client = clientOf(t, [await neverConnects(t)], 100)
    await t.rejects(client.put('a', value), { name: 'ConnectionError', refused: true, message: /no connection within/ })
  })

  void t.test('a connection takes its share of the time at most, whatever is asked', async (t) => {
    const answers: Readonly<Record<string, object>> = {
      '/locks/l': { token: 9, lease: 5 },
      '/kv': { imported: 1, bytes: 1, changes: 1, revision: 7 },
      '/cluster/leader': { leader: 2, term: 3 },
      '/auth/tokens': { id: 2, name: 'n', roles: [], secret: 'quorate_x' },
    }
    const waits: number[] = []
    const server = await stand(t, (request, response) => {
      void text(request).then((sent) => {
        const { pathname } = new URL(request.url ?? '', 'http://stand')
        if (pathname === '/locks/l') waits.push((JSON.parse(sent) as { readonly waitMs: number }).waitMs)
        response.setHeader('quorate-revision', 7)
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answers[pathname]))
      })
    })
    async function* records(): AsyncGenerator<{ readonly key: string; readonly value: string }> {
      yield await Promise.resolve({ key: 'a', value: 'b' })
    }
    const calls: Readonly<Record<string, (client: QuorateClient) => Promise<unknown>>> = {
      lock: async (client) => await client.lock('l', { ttlMs: 60_000, waitMs: 30_000 }),
      'import of a list': async (client) => await client.import([{ key: 'a', value: 'b' }]),
      'import of what is made meanwhile': async (client) => await client.import(records()),
      transfer: async (client) => await client.cluster.transfer(),
      'new token': async (client) => await client.auth.createToken('n', ['r']),
    }
    const dead = await neverConnects(t)
    await Promise.all(
      Object.entries(calls).map(async ([name, call]) => {
        const startedAt = performance.now()
        await call(clientOf(t, [dead, server.url], 4_000))
        const tookMs = performance.now() - startedAt
        // Half of the timeout is its share. It was the whole of the wait, or of the silence in which a body may be taken.
        t.ok(tookMs < limits.clientStreamSilenceMsMax / 2, `${name}: ${tookMs} ms`)
      }),
    )
    t.equal(waits.length, 1)
    t.ok((waits[0] ?? 0) > 15_000, `what is left of the wait: ${waits[0]} ms`)
  })

  void t.test('the address of a name', async (t) => {
    const { lookup } = dns
    dns.lookup = Object.assign(() => undefined, lookup)
    t.teardown(() => void (dns.lookup = lookup))
    const client = clientOf(t, [new URL('http://node-1.example:7001')], 100)
    await t.rejects(client.put('a', value), { name: 'ConnectionError', refused: true, message: /no connection within/ })
  })
})

/** The address of a server that takes connections and does not answer the handshake of TLS. */
async function neverConnects(t: Test): Promise<URL> {
  const sockets: Socket[] = []
  const server = createTcpServer((socket) => void sockets.push(socket)).listen(0, '127.0.0.1')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return new URL(`https://127.0.0.1:${port}`)
}

t.test('requests that fail together on one server go on to the same next one', async (t) => {
  const together = 3
  const held: IncomingMessage[] = []
  const bad = await stand(t, (request) => {
    held.push(request)
    if (held.length === together) for (const { socket } of held) socket.destroy()
  })
  const [good, other] = [await stand(t, succeed), await stand(t, succeed)]
  const client = clientOf(t, [bad.url, good.url, other.url], 5_000)
  await Promise.all(Array.from({ length: together }, async () => await client.put('a', value)))
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
  const a = client.put('a', value)
  const [response] = await held
  // From the second server by way of the third to the first, which has failed the other request already.
  await client.put('b', value)
  fail(response, 503, 'no-leader')
  await a
  t.same([first.asked.length, second.asked.length, third.asked.length], [2, 2, 2])
})

t.test('what is about one node is asked of the first server alone', async (t) => {
  const other = await stand(t, succeed)
  const client = clientOf(t, [await nobody(), other.url], 2_000)
  await t.rejects(
    client.cluster.initialize(null, 'committed'),
    ConnectionError,
    'no other node forms a cluster of itself',
  )
  await t.rejects(client.cluster.isReady(), ConnectionError)
  t.same(other.asked, [])

  await client.cluster.status()
  t.equal(other.asked.length, 1)
  await t.rejects(client.cluster.isReady(), ConnectionError, 'even when the client stays with another one')
  await client.cluster.initialize([member], 'committed')
  t.equal(other.asked.at(-1)?.path, '/cluster/initialize', 'a list of members means the same on every node')

  const stopping = await stand(t, (_request, response) => fail(response, 503, 'shutting-down'))
  const both = clientOf(t, [stopping.url, other.url], 2_000)
  const before = other.asked.length
  await t.rejects(both.cluster.initialize(null, 'committed'), ProblemError)
  t.equal(await both.cluster.isReady(), false)
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
  t.strictSame(await clientOf(t, [torn.url, good.url], 5_000).sendTransaction(body), answer)
  const [first, second] = sent
  t.strictSame(first?.body, body)
  t.equal(typeof first?.name, 'string')
  t.strictSame(second, first)
  t.match(good.asked, [{ method: 'POST', path: '/txn' }])
  t.equal(good.asked.length, 1)
  const alone = clientOf(t, [torn.url], 5_000, { retry: false }).sendTransaction(body, { idempotencyKey: 'mine' })
  const error: unknown = await alone.catch((error: unknown) => error)
  t.ok(error instanceof AmbiguousOutcomeError && error.cause instanceof ConnectionError)
  t.match(
    error,
    { idempotencyKey: 'mine', message: /may have taken effect/ },
    'the caller can ask again under that name',
  )
})

/** Breaks off the first answers, and then gives one. */
function tearing(times: number, then: Answering): Answering {
  let left = times
  return (request, response, timeoutMs) => {
    if (left > 0) {
      left -= 1
      request.socket.destroy()
    } else then(request, response, timeoutMs)
  }
}

t.test('what is sent again, and when', { jobs: 6 }, async (t) => {
  void t.test('one server: every write again under its own name, until there is an answer', async (t) => {
    const server = await stand(t, tearing(2, succeed))
    const client = clientOf(t, [server.url], 10_000)
    t.match(await client.put('a', value), { revision: 7 })
    await client.put('a', value)
    await client.put('a', value, { idempotencyKey: 'order-17' })
    const names = server.asked.map(({ idempotencyKey }) => idempotencyKey)
    t.equal(names.length, 5)
    t.equal(new Set(names.slice(0, 3)).size, 1, 'the same on each attempt')
    t.equal(new Set(names).size, 3, 'another for each write')
    t.equal(names.at(-1), 'order-17')
    for (const idempotencyKey of ['', ' ', 'ä', 'x'.repeat(129)]) {
      await t.rejects(client.put('a', value, { idempotencyKey }), /visible ASCII/)
    }
    t.equal(server.asked.length, 5)
  })

  void t.test('Retry-After', async (t) => {
    let busy = true
    const server = await stand(t, (request, response) => {
      if (!busy) return succeed(request, response, 0)
      busy = false
      fail(response, 429, 'overloaded', {}, { 'retry-after': '1' })
    })
    const startedAt = performance.now()
    await clientOf(t, [server.url], 10_000).put('a', value)
    t.ok(performance.now() - startedAt >= 1_000, 'the server is left alone for so long')

    // Longer than this test may take.
    const hours = { 'retry-after': '9000' }
    const long = await stand(t, (_request, response) => fail(response, 503, 'no-leader', {}, hours))
    await t.rejects(clientOf(t, [long.url], 8_000_000).put('a', value), { code: 'no-leader' }, 'it is too late by then')
    t.equal(long.asked.length, 1)

    const other = await stand(t, tearing(2, succeed))
    await clientOf(t, [long.url, other.url], 8_000).put('a', value)
    t.same([long.asked.length, other.asked.length], [2, 3], 'meanwhile the others are asked')
  })

  void t.test('the pauses grow', async (t) => {
    const server = await stand(t, (_request, response) => fail(response, 503, 'no-leader'))
    await t.rejects(clientOf(t, [server.url], 1_500).put('a', value), { code: 'no-leader' })
    t.ok(server.asked.length >= 3 && server.asked.length <= 8, `${server.asked.length} attempts in 1.5 s`)
  })

  void t.test('a refusal says nothing of an earlier attempt that broke', async (t) => {
    const closing = await stand(
      t,
      tearing(1, (_request, response) => fail(response, 503, 'shutting-down')),
    )
    const client = clientOf(t, [closing.url], 400)
    const error: unknown = await client.put('a', value).catch((error: unknown) => error)
    t.ok(error instanceof AmbiguousOutcomeError && error.cause instanceof ProblemError)
    t.match(error, { idempotencyKey: closing.asked[0]?.idempotencyKey })
    const large = await stand(
      t,
      tearing(1, (_request, response) => fail(response, 413, 'value-too-large', { retryable: false })),
    )
    await t.rejects(clientOf(t, [large.url], 2_000).put('a', value), AmbiguousOutcomeError)
    const decided = await stand(
      t,
      tearing(1, (_request, response) => fail(response, 412, 'precondition-failed', { retryable: false })),
    )
    await t.rejects(
      clientOf(t, [decided.url], 2_000).put('a', value),
      { name: 'ProblemError', code: 'precondition-failed' },
      'but what the log decided covers both',
    )
  })

  void t.test('reads are never ambiguous, and changes of the cluster are not repeated', async (t) => {
    const torn = await stand(t, tearing(100, succeed))
    const client = clientOf(t, [torn.url], 300)
    await t.rejects(client.get('a'), { name: 'ConnectionError', refused: false })
    t.ok(torn.asked.length > 1)
    const before = torn.asked.length
    const error: unknown = await client.cluster.transfer().catch((error: unknown) => error)
    t.ok(error instanceof AmbiguousOutcomeError && error.idempotencyKey === null)
    t.equal(torn.asked.length, before + 1)
  })

  void t.test('a proxy that has lost its node', async (t) => {
    let lost = true
    const proxy = await stand(t, (request, response) => {
      if (!lost) return succeed(request, response, 0)
      lost = false
      response.writeHead(502).end('<html>')
    })
    await clientOf(t, [proxy.url], 5_000).put('a', value)
    t.equal(proxy.asked.length, 2)
  })

  void t.test('a node that was removed is not asked again', async (t) => {
    const gone = await stand(t, (_request, response) => fail(response, 503, 'removed', { retryable: false }))
    await t.rejects(clientOf(t, [gone.url], 2_000).put('a', value), { code: 'removed', retryable: false })
    t.equal(gone.asked.length, 1)
    const twice = clientOf(t, [gone.url, gone.url], 60_000)
    await t.rejects(twice.put('a', value), { code: 'removed', retryable: false })
    t.equal(gone.asked.length, 3, 'and nobody else is there to ask')
    const once = clientOf(t, [gone.url, await nobody()], 2_000, { retry: false })
    await t.rejects(once.put('a', value), { code: 'removed', retryable: true }, 'another server may serve it')
  })

  void t.test('a leader that was removed says nothing of the server that has named it', async (t) => {
    const leader = await stand(t, (_request, response) => fail(response, 503, 'removed', { retryable: false }))
    const follower = await stand(t, (request, response) => {
      const { url = '' } = request
      if (!url.includes('redirect=true')) return succeed(request, response, 0)
      response.writeHead(307, { location: leader.url.origin + url, 'quorate-leader': '2' }).end()
    })
    await clientOf(t, [follower.url], 5_000, { preferLeader: true }).put('a', value)
    t.same([follower.asked.length, leader.asked.length], [2, 1])
  })
})

t.test('aborting and closing', { jobs: 4 }, async (t) => {
  const reason = new Error('no longer wanted')
  void t.test('while a server is silent', async (t) => {
    const server = await stand(t, hang)
    const abort = new AbortController()
    const written = clientOf(t, [server.url], 60_000).put('a', value, { signal: abort.signal })
    setTimeout(() => abort.abort(reason), 50)
    t.equal(await written.catch((error: unknown) => error), reason)
  })
  void t.test('between two attempts, and before the first', async (t) => {
    const abort = new AbortController()
    const server = await stand(t, (_request, response) => {
      fail(response, 503, 'no-leader', {}, { 'retry-after': '20' })
      setTimeout(() => abort.abort(reason), 50)
    })
    const client = clientOf(t, [server.url], 60_000)
    const written = client.put('a', value, { signal: abort.signal })
    t.equal(await written.catch((error: unknown) => error), reason)
    t.equal(await client.get('a', { signal: abort.signal }).catch((error: unknown) => error), reason)
    t.equal(server.asked.length, 1)
  })
  void t.test('the client', async (t) => {
    const server = await stand(t, hang)
    const client = clientOf(t, [server.url], 60_000)
    const written = client.put('a', value)
    setTimeout(() => client.close(), 50)
    await t.rejects(written, ClosedError)
    await t.rejects(client.get('a'), ClosedError)
    // The next attempt would come later than this test may end.
    const resting = await stand(t, (_request, response) =>
      fail(response, 503, 'no-leader', {}, { 'retry-after': '9000' }),
    )
    const patient = clientOf(t, [resting.url], 10_000_000)
    setTimeout(() => patient.close(), 50)
    await t.rejects(patient.put('a', value), ClosedError, 'a request between two attempts does not wait for the next')
  })
  void t.test('a time for one request', async (t) => {
    const server = await stand(t, hang)
    const client = clientOf(t, [server.url], 60_000)
    await t.rejects(client.get('a', { timeoutMs: 100 }), { name: 'ConnectionError', message: /no answer within/ })
    const givenMs = server.asked[0]?.timeoutMs ?? 0
    t.ok(givenMs > 0 && givenMs <= 100, `${givenMs} ms`)
    await t.rejects(client.get('a', { timeoutMs: Number.NaN }), TypeError)
  })
})

t.test('requests go to the leader when they are to, and do without it', async (t) => {
  const redirecting: { to: URL | null } = { to: null }
  const headers = { 'quorate-served-by': '1', 'quorate-leader': '2' }
  const follower = await stand(t, (request, response) => {
    const { url = '' } = request
    if (redirecting.to !== null && url.includes('redirect=true')) {
      response.writeHead(307, { location: redirecting.to.origin + url, ...headers }).end()
    } else {
      for (const [name, text] of Object.entries(headers)) response.setHeader(name, text)
      succeed(request, response, 0)
    }
  })
  let leads = true
  const leader = await stand(t, (request, response) => {
    response.setHeader('quorate-served-by', '2')
    response.setHeader('quorate-leader', leads ? '2' : '3')
    succeed(request, response, 0)
  })
  redirecting.to = leader.url
  const client = clientOf(t, [follower.url], 5_000, { preferLeader: true })
  const counts = (): readonly number[] => [follower.asked.length, leader.asked.length]
  await client.put('a', value)
  t.same(counts(), [1, 1], 'the leader that the follower names')
  t.equal(leader.asked[0]?.query.get('redirect'), null)
  await client.put('a', value)
  await client.get('a')
  t.same(counts(), [1, 3], 'from then on without a detour')
  await client.get('a', { consistency: 'stale' })
  t.same(counts(), [2, 3], 'what any server can serve stays')
  leads = false
  await client.put('a', value)
  leads = true
  await client.put('a', value)
  t.same(counts(), [3, 5], 'one that leads no longer is asked once more')

  redirecting.to = await nobody()
  const unlucky = clientOf(t, [follower.url], 5_000, { preferLeader: true })
  await unlucky.put('a', value)
  t.same(counts(), [5, 5], 'an address that does not answer is done without')
  await unlucky.put('a', value)
  t.equal(follower.asked.at(-1)?.query.get('redirect'), null)
})

t.test('options that are of no use are refused', async (t) => {
  t.throws(() => new QuorateClient({ servers: [] }), /at least one node/)
  for (const server of [
    '127.0.0.1:7001',
    'ftp://a:1',
    'http://a:1/path',
    'http://a:1/?b',
    'http://u@a:1',
    'raft://a:1',
  ]) {
    t.throws(() => new QuorateClient({ servers: [server] }), /expected http:\/\/host:port/, server)
  }
  t.throws(() => new QuorateClient({ servers: ['http://a:1'], timeoutMs: -1 }), TypeError)
  const client = clientOf(t, [await nobody()], 100)
  await t.rejects(client.get('\ud800'), /surrogate/)
  await t.rejects(client.put('a', value, { ifAbsent: true, ifRevision: 3 }), /give one of them/)
  await t.rejects(client.deleteRange({ prefix: '' }), /delete every key/)
  await t.rejects(client.deleteRange({}), /delete every key/)
})

/** As a program in JavaScript passes it. */
function untyped(given: unknown): never {
  return given as never
}

t.test('arguments that cannot be written are refused by name, before anything is sent', async (t) => {
  const server = await stand(t, succeed)
  const client = clientOf(t, [server.url], 1_000)
  const ill = 'a\ud800b'
  const [isString, isValue] = [/^key must be a string, not a number$/, /^value must be a string, a Uint8Array/]
  const cases: [name: string, refused: () => unknown, message: RegExp][] = [
    ['put, ill-formed value', async () => await client.put('a', ill), /^value is not well-formed Unicode/],
    ['op.put, ill-formed value', () => op.put('a', ill), /^value is not well-formed Unicode/],
    ['compare.value', () => compare.value('a', '=', ill), /^value is not well-formed Unicode/],
    ['history', async () => await client.history.versions(ill).next(), /^key "a\\ud800b" is not well-formed/],
    ['watch', async () => await client.watch({ prefix: ill })[Symbol.asyncIterator]().next(), /^prefix .* well-formed/],
    ['role', async () => await client.auth.role(ill), /^name .* well-formed/],
    ['lock', async () => await client.lock(ill), /^name .* well-formed/],
    ['put, key', async () => await client.put(untyped(5), 'x'), isString],
    ['get, key', async () => await client.get(untyped(5)), isString],
    ['delete, key', async () => await client.delete(untyped(5)), isString],
    ['op.get, key', () => op.get(untyped(5)), isString],
    [
      'list, bound',
      async () => await client.list({ start: untyped(null) }).next(),
      /^start must be a string, not null$/,
    ],
    ['put, value', async () => await client.put('v', untyped(5)), isValue],
    ['put, no value', async () => await client.put('v', untyped(undefined)), /not undefined$/],
    ['put, array', async () => await client.put('v', untyped([1])), /not an array$/],
    ['put, object', async () => await client.put('v', untyped(new Map())), /not an object \(Map\)$/],
    ['op.put, value', () => op.put('v', untyped(5)), isValue],
    [
      'name',
      async () => await client.put('v', 'x', { idempotencyKey: untyped(7) }),
      /^idempotencyKey must be a string/,
    ],
  ]
  for (const [name, refused, message] of cases) {
    const error = await Promise.resolve()
      .then(refused)
      .catch((error: unknown) => error)
    t.ok(error instanceof TypeError, name)
    t.match(error, { message }, name)
  }
  t.equal(server.asked.length, 0)
})

t.test('a token that no server would take is refused before anything is sent, and is not in the message', async (t) => {
  const server = await stand(t, succeed)
  const most = limits.clientTokenBytesMax
  const cases: [token: string, message: string][] = [
    ['secret'.padEnd(most + 1, '!'), `the token has ${most + 1} characters, and at most ${most} are sent`],
    ...['', 'secret of two', 'secret\r\nx: y', 'secret\u00e9'].map((token): [string, string] => [
      token,
      'the token is empty, or holds a space, a line break or a character that is not ASCII',
    ]),
  ]
  for (const [token, message] of cases) {
    const expected = new TypeError(message)
    t.throws(() => clientOf(t, [server.url], 1_000, { token }), expected)
    await t.rejects(clientOf(t, [server.url], 1_000, { token: () => token }).get('a'), expected)
    await t.rejects(clientOf(t, [server.url], 1_000, { token: async () => token }).put('a', value), expected)
  }
  t.same(server.asked, [])
  await clientOf(t, [server.url], 1_000, { token: 'q'.repeat(1_000) }).get('a')
  t.equal(server.asked.length, 1)
})

t.test('a value is text, or bytes in whatever holds them', async (t) => {
  const received: Buffer[] = []
  const server = await stand(t, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      received.push(Buffer.concat(chunks))
      succeed(request, response, 0)
    })
  })
  const client = clientOf(t, [server.url], 5_000)
  const within = new Uint8Array([9, 1, 2, 255, 9])
  const expected = Buffer.from([1, 2, 255])
  const held = [
    within.subarray(1, 4),
    within.slice(1, 4).buffer,
    new DataView(within.buffer, 1, 3),
    Buffer.from(expected),
  ]
  for (const one of held) {
    await client.put('a', one)
    t.strictSame(received.at(-1), expected)
    t.match(op.put('a', one).body, { put: { valueBase64: expected.toString('base64') } })
  }
})

t.test('a refusal does not speak of the name that the client has drawn', async (t) => {
  const told = 'the lock l is held'
  const server = await stand(t, (_request, response) => {
    const detail = told + sameUnderKey
    fail(response, 409, 'lock-held', { detail, retryable: false })
  })
  const client = clientOf(t, [server.url], 1_000)
  const drawn = await thrownBy(client.lock('l', { waitMs: 0 }))
  t.match(drawn, { code: 'lock-held', retryable: true, problem: { retryable: true } })
  t.equal((drawn as ProblemError).problem.detail, told)
  const idempotencyKey = 'mine'
  const named = await thrownBy(client.history.compact(99_999, { idempotencyKey }))
  t.match(named, { retryable: false, problem: { detail: told + sameUnderKey } }, 'the caller knows a name of its own')
})
