import type { Socket } from 'node:net'
import t from 'tap'
import { deferred } from '../../src/lib/deferred.ts'
import type { Operation } from '../../src/http/protocol/operation.ts'
import { limits } from '../../src/limits.ts'
import { eventually, listen, RawConnection } from '../support/raw-client.ts'
import { sampleOf, type Sample } from '../support/sample-requests.ts'
import { secured, grants } from './support/asking.ts'

t.test('the audit tells who changed what, and who was refused, and never a secret', async (t) => {
  let now = 0
  const asking = await secured(t, { now: () => now })
  const { audited } = asking.api
  t.match(audited, [
    { operation: 'bootstrapAuth', token: null, status: 201, asked: { name: 'admin' }, remote: '127.0.0.1' },
  ])
  audited.length = 0
  const { secret, id } = await asking.admit('app', grants(['read', 'a/']))
  const [admin] = asking.api.services.auth.table?.tokens.keys() ?? []
  t.match(audited, [
    {
      operation: 'putRole',
      token: admin,
      name: 'admin',
      method: 'PUT',
      path: '/auth/roles/app',
      status: 201,
      asked: grants(['read', 'a/']),
    },
    { operation: 'createToken', token: admin, status: 201, asked: { name: 'app', roles: ['app'], id } },
  ])
  audited.length = 0
  for (let at = 0; at < 3; at++) await asking.ask(secret, 'GET', '/kv/b')
  await asking.ask(null, 'GET', '/kv/b?timeout=1s')
  const forbidden = {
    operation: 'getKey',
    token: id,
    name: 'app',
    status: 403,
    code: 'forbidden',
    path: '/kv/b',
    times: 1,
  }
  t.match(audited, [
    { ...forbidden, missing: { access: 'read', key: 'b' } },
    { operation: 'getKey', token: null, name: null, status: 401, code: 'unauthenticated', path: '/kv/b' },
  ])
  audited.length = 0
  now = limits.auditRefusalIntervalMs
  await asking.ask(secret, 'GET', '/kv/b')
  t.match(audited, [{ ...forbidden, times: 3 }], 'the same refusal is told of once in a while')
  audited.length = 0
  await asking.ask(asking.admin, 'POST', '/cluster/initialize')
  await asking.ask(asking.admin, 'PUT', '/cluster/membership', { voters: [9] })
  await asking.ask(asking.admin, 'GET', '/cluster/snapshot')
  await asking.ask(asking.admin, 'GET', '/kv/a')
  await asking.ask(secret, 'DELETE', `/auth/tokens/${id}`)
  t.match(audited, [
    { operation: 'initializeCluster', status: 200 },
    { operation: 'setVoters', status: 422 },
    { operation: 'getSnapshot', status: 200, answer: 'begun' },
    { operation: 'getSnapshot', status: 200, answer: 'whole' },
    { operation: 'deleteToken', status: 403, code: 'forbidden', missing: { right: 'auth:admin' } },
  ])
  t.notMatch(JSON.stringify(audited), /quorate_/)
})

t.test('each operation that changes anything but keys has one line of audit, done or refused', async (t) => {
  const operations = new Map<string, Operation>()
  const asking = await secured(t, {
    beforeReady: (app) =>
      void app.addHook('onRoute', ({ config }) => {
        const operation = config?.operation
        if (operation !== undefined) operations.set(operation.id, operation)
      }),
  })
  const idle = await asking.admit('idle', {})
  const { audited, document, app, services } = asking.api
  const [admin] = services.auth.table?.tokens.keys() ?? []
  const send = async (secret: string, { headers, ...sample }: Sample): Promise<number> => {
    audited.length = 0
    const authorization = `Bearer ${secret}`
    return (await app.inject({ ...sample, headers: { ...headers, authorization } })).statusCode
  }
  const seen: string[] = []
  for (const [pattern, methods] of Object.entries(document.paths)) {
    for (const [method, { operationId: operation }] of Object.entries(methods)) {
      const access = operations.get(operation)?.access
      if (access === 'keys' || method === 'get' || method === 'head') continue
      seen.push(operation)
      const sample = sampleOf(method.toUpperCase(), pattern)
      const line = { operation, method: sample.method, path: sample.url, remote: '127.0.0.1' }
      const status = await send(asking.admin, sample)
      // The first token is made by somebody who has none.
      const whose = access === 'open' ? { token: null, name: null } : { token: admin, name: 'admin' }
      t.match(audited, [{ ...line, ...whose, status }], `${operation}: what was done`)
      t.equal(audited.length, 1)
      if (access === 'open') continue
      t.equal(audited[0]?.asked === undefined, sample.payload === undefined, `${operation}: what was asked for`)
      t.equal(await send(idle.secret, sample), 403)
      const refused = { ...line, token: idle.id, name: 'idle', status: 403, code: 'forbidden', times: 1 }
      t.match(audited, [refused], `${operation}: what was refused`)
      t.equal(audited.length, 1)
    }
  }
  t.ok(seen.length > 15, seen.join(', '))
})

t.test('the audit tells of what was done for a client that leaves', async (t) => {
  const asking = await secured(t)
  const { audited, services, unexpected } = asking.api
  const port = await listen(asking.api.app)
  let left = 0
  asking.api.app.server.on('connection', (socket: Socket) => socket.once('close', () => (left += 1)))
  const send = (line: string, body = '', length = body.length): RawConnection => {
    const client = new RawConnection(port)
    t.teardown(() => client.destroy())
    const fields = ['Host: node', `Authorization: Bearer ${asking.admin}`, 'Content-Type: application/json']
    client.send([`${line} HTTP/1.1`, ...fields, `Content-Length: ${length}`, '', body].join('\r\n'))
    return client
  }
  const remote = '127.0.0.1'

  t.test('and takes only a part of a backup', async (t) => {
    const { cluster } = services
    await asking.ask(asking.admin, 'POST', '/cluster/initialize')
    cluster.snapshotChunks = Array.from({ length: 1000 }, () => Buffer.alloc(64 * 1024))
    audited.length = 0
    const reading = send('GET /cluster/snapshot')
    await reading.until((text) => text.length > 100_000)
    const backup = { operation: 'getSnapshot', name: 'admin', status: 200, remote }
    t.match(audited, [{ ...backup, answer: 'begun', bytes: undefined }], 'it has begun')
    reading.destroy()
    await eventually(() => audited.length > 1, 'the backup is over')
    t.match(audited.slice(1), [{ ...backup, answer: 'cut' }])
    const { bytes = 0 } = audited[1] ?? {}
    t.ok(bytes > 100_000 && bytes < 64_000 * 1024, `${bytes} bytes`)
    await eventually(() => cluster.openSnapshots === 0, 'the snapshot is closed')
    audited.length = 0
    cluster.snapshotChunks = [Buffer.alloc(70_000), Buffer.alloc(30_000)]
    await send('GET /cluster/snapshot').until((text) => text.endsWith('0\r\n\r\n'))
    await eventually(() => audited.length > 1, 'the backup is over')
    t.match(audited, [
      { ...backup, answer: 'begun' },
      { ...backup, answer: 'whole', bytes: 100_000 },
    ])
  })

  t.test('and asked for two backups at once', async (t) => {
    const { cluster } = services
    cluster.snapshotChunks = Array.from({ length: 100 }, () => Buffer.alloc(64 * 1024))
    audited.length = 0
    const { promise: released, resolve: release } = deferred<void>()
    let asked = 0
    cluster.beforeSnapshot = async () => {
      asked += 1
      if (asked === 1) await released
    }
    const client = send('GET /cluster/snapshot')
    client.send(`GET /cluster/snapshot HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer ${asking.admin}\r\n\r\n`)
    await eventually(() => audited.length > 0, 'the second one begins first')
    client.socket.resetAndDestroy()
    await eventually(() => audited.length > 1, 'the second one is over')
    release()
    await eventually(() => audited.length > 3, 'the first one is over')
    t.same(
      audited.map(({ answer }) => answer),
      ['begun', 'cut', 'begun', 'cut'],
    )
    for (const line of audited) t.match(line, { operation: 'getSnapshot', remote })
    cluster.beforeSnapshot = async () => {}
  })

  t.test('and has gone before the answer', async (t) => {
    audited.length = 0
    left = 0
    const { promise: released, resolve: release } = deferred<void>()
    let waiting = 0
    const wait = async (): Promise<void> => {
      waiting += 1
      await released
    }
    const bodies = [1, 2, 3].map((at) => JSON.stringify({ name: `t${at}`, roles: ['admin'] }))
    services.keys.beforeExecute = wait
    const clients = bodies.map((body) => send('POST /auth/tokens', body))
    await eventually(() => waiting === 3, 'the commands are on their way')
    let confirmed = 0
    services.auth.beforeConfirmed = async () => void (confirmed += 1)
    clients.push(send('POST /auth/tokens', '{"name":', 100))
    await eventually(() => confirmed === 1, 'a body is being read')
    services.auth.beforeConfirmed = wait
    clients.push(send('POST /auth/tokens', '{"name":', 100), send('POST /auth/tokens', bodies[0]))
    await eventually(() => waiting === 5, 'the others are confirmed')
    for (const { socket } of clients) socket.resetAndDestroy()
    await eventually(() => left === clients.length, 'the node has seen that they are gone')
    release()
    await eventually(() => audited.length === clients.length, 'each of them has its line')
    for (const line of audited) t.match(line, { operation: 'createToken', name: 'admin', remote })
    const made = audited.filter(({ status }) => status === 201)
    t.match(
      made.map(({ asked }) => asked),
      [1, 2, 3].map((at) => ({ name: `t${at}`, id: Number })),
    )
    t.equal(audited.filter(({ status }) => status === 400).length, 3, 'also those that were not read')
  })
  t.same(unexpected, [])
})
