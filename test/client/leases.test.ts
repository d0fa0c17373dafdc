import { once } from 'node:events'
import t, { type Test } from 'tap'
import { AmbiguousOutcomeError, LeaseLostError, ProblemError } from '../../src/client/index.ts'
import { LeaseKeeper } from '../../src/client/lease-keeper.ts'
import { wakingClock } from '../../src/client/waking-clock.ts'
import { deferred } from '../../src/lib/deferred.ts'
import { limits } from '../../src/limits.ts'
import { collect, thrownBy } from '../support/outcomes.ts'
import { until } from '../support/until.ts'
import { answer, bodyOf, clientOf, fail, stand, type Stand } from './support/stand.ts'

/* Leases and locks of the library, on servers that speak the API as a script tells them. cluster.test.ts has them on nodes. */

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

t.test('a lease', { jobs: 4 }, async (t) => {
  void t.test('is kept alive and released', async (t) => {
    const server = await leasing(t, 1_500)
    const client = clientOf(t, [server.url], 5_000)
    {
      await using lease = await client.lease({ ttlMs: 1_500, id: 5 })
      t.match(lease, { id: 5, ttlMs: 1_500, isHeld: true })
      await until('three renewals', () => renewals(server) >= 3, 20_000)
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
    await until('a renewal', () => renewals(server) === 1, 20_000)
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

  void t.test('one that was granted, and whose renewal fails, may be there', async (t) => {
    const silent = await stand(t, (request, response) => {
      if (request.url?.includes('keepalive') !== true) answer(response, 201, { id: 5, ttlMs: 60_000 })
    })
    const client = clientOf(t, [silent.url], 500)
    const begun = performance.now()
    const error = await thrownBy(client.lease({ ttlMs: 60_000, idempotencyKey: 'worker-7' }))
    t.match(error, { name: 'AmbiguousOutcomeError', idempotencyKey: 'worker-7' })
    t.ok(performance.now() - begun < 30_000, 'after the time that the client gives a request')
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
      if (request.url?.includes('keepalive') !== true) return answer(response, 201, { id: 5, ttlMs: 5_000 })
      dead ??= request.socket
      if (request.socket !== dead) answer(response, 200, { id: 5, remainingMs: 5_000 })
    })
    await using lease = await clientOf(t, [server.url], 60_000).lease({ ttlMs: 5_000 })
    await until('a second renewal', () => renewals(server) >= 2 || lease.signal.aborted, 20_000)
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
  await until('time passes', () => performance.now() - monotonicBefore > 200, 20_000)
  const difference = real() - before - (performance.now() - monotonicBefore)
  t.ok(Math.abs(difference) < 100, `${difference} ms`)
})

t.test('a lease is lost soon after the machine has slept for too long, and renewed when it has not', async (t) => {
  let slept = 0
  const now = (): number => performance.now() + slept
  let renewed = 0
  const requests = {
    timeoutMs: 5_000,
    whenClosed: () => () => undefined,
    read: async <Answer>(): Promise<Answer> => {
      renewed += 1
      return { id: 5, remainingMs: 3_600_000 } as Answer
    },
  }
  const keeper = new LeaseKeeper({ id: 5, ttlMs: 3_600_000 }, now(), requests, now)
  t.teardown(() => keeper.stop())
  slept += 3_000_000
  await until('a renewal', () => renewed === 1, 20_000)
  t.ok(keeper.isHeld)
  slept += 3_600_000
  await until('the loss', () => keeper.signal.aborted, 20_000)
  t.equal(renewed, 1)
  t.match(keeper.signal.reason, { name: 'LeaseLostError', lease: 5 })
})

t.test(
  'a lease whose id others may choose is not released once its time is over, though nobody has noticed',
  async (t) => {
    const server = await stand(t, (request, response) => {
      if (request.method === 'DELETE') fail(response, 503, 'no-leader')
      else answer(response, 201, { id: 5, ttlMs: 1_000 })
    })
    const client = clientOf(t, [server.url], 60_000)
    const releases = (): number => server.asked.filter(({ method }) => method === 'DELETE').length
    const first = await client.lease({ ttlMs: 1_000, id: 5 })
    const begun = performance.now()
    // Nothing else runs until the time is over.
    while (performance.now() - begun < 1_100);
    t.notOk(first.isHeld)
    await first.release()
    t.equal(releases(), 0)
    const second = await client.lease({ ttlMs: 1_000, id: 5 })
    await t.rejects(second.release(), { code: 'no-leader' }, 'it is tried for as long as the lease lasts')
    const tried = releases()
    t.ok(tried > 0)
    t.ok(server.asked.every(({ timeoutMs, method }) => method !== 'DELETE' || (timeoutMs ?? 0) <= 1_000))
    await until('its time is over', () => performance.now() - begun > 2_300, 20_000)
    await second.release()
    t.equal(releases(), tried)
  },
)

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
  await until('renewals of both', () => renewals(other) >= 4 && renewals(server) >= 300, 20_000)
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
  await until(
    'renewals by the others',
    () => held.some(({ signal }) => signal.aborted) || renewed() >= 2 * held.length,
    20_000,
  )
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

  void t.test('asks more and more rarely when each wait is over at once, under no name of the caller', async (t) => {
    const server = await stand(t, (_request, response) => {
      fail(response, 409, 'lock-wait-ended', { retryable: false, lease: 4 })
    })
    const abort = new AbortController()
    setTimeout(() => abort.abort(new Error('enough')), 500)
    const options = { signal: abort.signal, idempotencyKey: 'mine' }
    await t.rejects(clientOf(t, [server.url], 5_000).lock('l', options), { message: 'enough' })
    t.ok(server.asked.length < 12, `${server.asked.length} requests`)
    t.notOk(server.asked.some(({ idempotencyKey }) => idempotencyKey === 'mine'))
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
