import { once } from 'node:events'
import { Agent } from 'node:https'
import { connect as connectPlain } from 'node:net'
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { ConnectionError } from '../../src/client/errors.ts'
import { LeaderHints } from '../../src/client/leader-hints.ts'
import { ProblemError, QuorateClient, type ClientOptions, type TlsOptions } from '../../src/client/index.ts'
import { closeGracefully } from '../../src/http/protocol/closing.ts'
import { limits } from '../../src/limits.ts'
import { authority, DAY_MS, GivenIdentity, identityOf, issue } from '../support/certificates.ts'
import { openCheckedApi, type CheckedApi, type CheckedApiOptions } from '../support/checked-api.ts'
import { answerIn, eventually, listen, RawConnection } from '../support/raw-client.ts'

const trusted = (await authority()).cert
const good = identityOf(await issue(), null)

interface Served extends CheckedApi {
  readonly port: number
  readonly source: GivenIdentity
  readonly client: (tls?: TlsOptions, options?: Partial<ClientOptions>) => QuorateClient
}

async function serve(t: Test, identity = good, options: CheckedApiOptions = {}): Promise<Served> {
  const source = new GivenIdentity(identity)
  const api = await openCheckedApi(t, { ...options, tls: source })
  const port = await listen(api.app)
  const client = (tls: TlsOptions = { ca: trusted }, more: Partial<ClientOptions> = {}): QuorateClient => {
    const made = new QuorateClient({ servers: [`https://127.0.0.1:${port}`], retry: false, tls, ...more })
    t.teardown(() => made.close())
    return made
  }
  return { ...api, port, source, client }
}

async function secure(t: Test, port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connectTls({ port, host: '127.0.0.1', ca: trusted, ...options })
  t.teardown(() => socket.destroy())
  await once(socket, 'secureConnect')
  return socket
}

async function reasonOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => 'it succeeded',
    (error: unknown) => String(error),
  )
}

t.test('the API over https, from small to large', async (t) => {
  const { client } = await serve(t, good, { valueBytesMax: limits.valueBytesMaxDefault })
  const quorate = client()
  await quorate.put('a', 'one')
  t.equal((await quorate.get('a'))?.text, 'one')
  const large = Buffer.alloc(limits.valueBytesMaxDefault, 'x')
  await quorate.put('large', large)
  t.ok(large.equals(Buffer.from((await quorate.get('large'))?.value ?? '')))
  await Promise.all(Array.from({ length: 200 }, async (_, at) => await quorate.put(`many/${at}`, String(at))))
  const keys: string[] = []
  for await (const { key } of quorate.list({ prefix: 'many/' })) keys.push(key)
  t.equal(keys.length, 200)
})

t.test('half-closed, pipelined, kept: connections behave as without TLS', async (t) => {
  const { port } = await serve(t)
  const socket = await secure(t, port)
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.end('GET /livez HTTP/1.1\r\nHost: a\r\n\r\nGET /version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  await once(socket, 'close')
  const text = Buffer.concat(chunks).toString()
  t.equal(text.match(/HTTP\/1\.1 200 OK/g)?.length, 2, text)
})

t.test('an http request at an https port gets a 400 that says so, and the node tells', async (t) => {
  const { port, mistaken, client } = await serve(t)
  for (const bytes of [
    'GET /kv/a HTTP/1.1\r\nHost: a\r\n\r\n',
    `PUT /kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n${'x'.repeat(500_000)}`,
    'hello',
  ]) {
    const connection = new RawConnection(port)
    t.teardown(() => connection.destroy())
    connection.send(bytes)
    const answer = answerIn(await connection.untilClosed())
    t.equal(answer.status, 400)
    t.match(JSON.parse(answer.body), { code: 'https-required', detail: /this port speaks https.*use https:\/\// })
  }
  t.same(new Set(mistaken), new Set(['it speaks http, and this port speaks https']))
  const lost = client({}, { servers: [`http://127.0.0.1:${port}`] })
  t.match(await reasonOf(lost.get('a')), /Https is required: this port speaks https/)
  const both = client(
    { ca: trusted },
    { servers: [`http://127.0.0.1:${port}`, `https://127.0.0.1:${port}`], retry: true },
  )
  t.equal(await reasonOf(both.put('a', 'b')), 'it succeeded', 'a client that knows both goes on to the one that serves')
})

t.test('TLS at an http port is told of on both sides', async (t) => {
  const { app, mistaken } = await openCheckedApi(t)
  const port = await listen(app)
  const client = new QuorateClient({ servers: [`https://127.0.0.1:${port}`], retry: false, tls: { ca: trusted } })
  t.teardown(() => client.close())
  const error = await client.put('a', 'b').catch((reason: unknown) => reason)
  t.match(String(error), /it does not speak TLS: use http:\/\//)
  t.ok(error instanceof ConnectionError && error.refused, 'nothing of the request has left')
  t.same(mistaken, ['it speaks TLS, and this port speaks http'])
})

t.test('a client says what is wrong with the certificate of a server, and what to do', async (t) => {
  const past = { notBefore: new Date(Date.now() - 9 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) }
  const { client, port, source, mistaken } = await serve(t)
  t.match(
    await reasonOf(client({}).get('a')),
    /ConnectionError: https:\/\/127\.0\.0\.1:\d+: its certificate was not issued by a CA that is trusted here: name the CA with --ca, QUORATE_CA or the option tls\.ca/,
  )
  t.match(await reasonOf(client({ ca: (await authority('another CA')).cert }).get('a')), /not issued by a CA/)
  source.replace(identityOf(await issue(past), null))
  t.match(await reasonOf(client().get('a')), /its certificate has expired/)
  source.replace(identityOf(await issue({ hosts: ['node-7.example'] }), null))
  t.match(
    await reasonOf(client().get('a')),
    /its certificate is for other names \(node-7\.example\): name the server as/,
  )
  t.match(await reasonOf(client({ ca: trusted, verify: false }).put('a', 'b')), 'it succeeded')

  const strict = connectTls({ port, host: '127.0.0.1', ca: trusted, minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1' })
  await once(strict, 'error')
  await eventually(() => mistaken.length > 0, 'the node tells of a client that speaks no version from 1.2 on')
  t.match(mistaken, [/version/])
})

t.test('options of TLS that are of no use are refused before anything is sent', async (t) => {
  const make = (tls: TlsOptions) => () => new QuorateClient({ servers: ['https://a:1'], tls })
  const { cert, key } = await issue()
  t.throws(make({ cert }), /tls\.cert and tls\.key belong together/)
  t.throws(make({ key }), /belong together/)
  t.throws(make({ cert: 'x', key }), /tls cannot be used/)
  t.throws(make({ cert, key: (await issue()).key }), /tls cannot be used: .*mismatch/)
})

t.test(
  'with --tls-client-ca a client without a good certificate gets a 403 with the reason, and reaches nothing',
  async (t) => {
    const { client, services, source, mistaken } = await serve(t, identityOf(await issue(), trusted))
    const mine = await issue({ commonName: 'client', hosts: [] })
    t.equal(await reasonOf(client({ ca: trusted, ...mine }).put('a', 'b')), 'it succeeded')
    const commands = services.keys.commands.length
    t.match(
      await reasonOf(client().put('a', 'c')),
      /Forbidden: clients have to show a certificate here, and this one showed none: use --cert and --key/,
    )
    const foreign = await issue({ commonName: 'mallory' }, await authority('another CA'))
    t.match(
      await reasonOf(client({ ca: trusted, ...foreign }).put('a', 'c')),
      /Forbidden: the certificate of the client \(CN=mallory\) was not issued by a CA that is trusted here/,
    )
    const past = { notBefore: new Date(Date.now() - 9 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) }
    t.match(await reasonOf(client({ ca: trusted, ...(await issue(past)) }).get('a')), /\(CN=node\) has expired/)
    t.equal(services.keys.commands.length, commands)
    t.equal(mistaken.length, 3)

    source.replace({ ...source.identity, ca: Buffer.from((await authority('another CA')).cert) })
    t.match(
      await reasonOf(client({ ca: trusted, ...mine }).get('a')),
      /not issued by a CA that is trusted here/,
      'another CA',
    )
    t.equal(await reasonOf(client({ ca: trusted, ...foreign }).put('a', 'd')), 'it succeeded')
  },
)

t.test('a client certificate stands for a token', async (t) => {
  const { client, port, services, audited } = await serve(t, identityOf(await issue(), trusted))
  const certified = async (commonName: string, more: Partial<ClientOptions> = {}): Promise<QuorateClient> =>
    client({ ca: trusted, ...(await issue({ commonName, hosts: [] })) }, more)
  const codeOf = async (work: Promise<unknown>): Promise<unknown> =>
    await work.then(
      () => null,
      (error: unknown) => (error instanceof ProblemError ? error.code : error),
    )
  const { secret } = await (await certified('anybody')).auth.bootstrap()
  const admin = await certified('anybody', { token: secret })
  await admin.auth.putRole('app', { grants: [{ access: 'read-write', prefix: 'a/' }] })
  const machine = await certified('machine 7')
  t.equal(await codeOf(machine.put('a/x', '1')), 'unauthenticated', 'nothing has this name yet')
  const { id } = await admin.auth.createCertificateToken('robot', ['app'], 'machine 7')

  t.test('with the rights of that token, and no others', async (t) => {
    await machine.put('a/x', '1')
    t.match(await machine.auth.self(), { enabled: true, token: { id, name: 'robot', certificateName: 'machine 7' } })
    t.equal(await codeOf(machine.put('b', '1')), 'forbidden')
    t.match(audited.at(-1), { operation: 'putKey', token: id, name: 'robot', code: 'forbidden' })
    const twin = admin.auth.createCertificateToken('another', [], 'machine 7')
    t.equal(await codeOf(twin), 'certificate-in-use')
  })

  t.test('and no other certificate does', async (t) => {
    for (const commonName of ['machine 8', 'machine 7 ', 'Machine 7', 'certificate machine 7', ''])
      t.equal(await codeOf((await certified(commonName)).get('a/x')), 'unauthenticated', JSON.stringify(commonName))
    const foreign = await issue({ commonName: 'machine 7', hosts: [] }, await authority('another CA'))
    t.equal(await codeOf(client({ ca: trusted, ...foreign }).get('a/x')), 'forbidden', 'of another CA')
    const past = { notBefore: new Date(Date.now() - 9 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) }
    const ended = await issue({ commonName: 'machine 7', hosts: [], ...past })
    t.equal(await codeOf(client({ ca: trusted, ...ended }).get('a/x')), 'forbidden', 'its time is up')
  })

  t.test('a header wins over it, also a wrong one', async (t) => {
    const asAdmin = await certified('machine 7', { token: secret })
    t.match(await asAdmin.auth.self(), { token: { name: 'admin' } })
    const wrong = await certified('machine 7', { token: `quorate_${'x'.repeat(43)}` })
    t.equal(await codeOf(wrong.get('a/x')), 'unauthenticated')
    const hash = services.auth.table?.tokens.get(id)?.hash ?? ''
    t.equal(await codeOf((await certified('anybody', { token: hash })).get('a/x')), 'unauthenticated', 'nor its hash')
  })

  t.test('not on a connection that outlives the certificate', async (t) => {
    const soon = await issue({ commonName: 'machine 7', hosts: [] })
    const socket = await secure(t, port, soon)
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    const ask = async (): Promise<number> => {
      chunks.length = 0
      socket.write('GET /kv/a%2Fx HTTP/1.1\r\nHost: a\r\n\r\n')
      await eventually(() => chunks.length > 0, 'an answer')
      return answerIn(Buffer.concat(chunks).toString()).status
    }
    t.equal(await ask(), 200)
    services.auth.wall = () => Date.now() + 100 * 365 * DAY_MS
    t.teardown(() => (services.auth.wall = () => Date.now()))
    t.equal(await ask(), 401)
  })

  t.test('nor where certificates are not demanded', async (t) => {
    const open = await serve(t)
    const { secret: other } = await open.client().auth.bootstrap()
    await open.client(undefined, { token: other }).auth.createCertificateToken('robot', ['admin'], 'machine 7')
    const shown = { ca: trusted, ...(await issue({ commonName: 'machine 7', hosts: [] })) }
    t.equal(await codeOf(open.client(shown).get('a/x')), 'unauthenticated')
  })

  t.test('until it is revoked', async (t) => {
    await admin.auth.revokeToken(id)
    t.equal(await codeOf(machine.get('a/x')), 'unauthenticated')
  })
})

t.test('a session that was begun without a certificate opens no door', async (t) => {
  const { port, services } = await serve(t, identityOf(await issue(), trusted))
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const ask = async (session?: Buffer): Promise<{ readonly text: string; readonly session: Buffer | null }> => {
      const options = {
        port,
        host: '127.0.0.1',
        ca: trusted,
        maxVersion,
        ...(session === undefined ? {} : { session }),
      }
      const socket = connectTls(options)
      t.teardown(() => socket.destroy())
      const sessions: Buffer[] = []
      const chunks: Buffer[] = []
      socket.on('session', (given) => sessions.push(given))
      socket.on('data', (chunk: Buffer) => chunks.push(chunk))
      socket.write('PUT /kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx')
      await eventually(() => Buffer.concat(chunks).includes('}'), 'an answer')
      return { text: Buffer.concat(chunks).toString(), session: sessions.at(-1) ?? socket.getSession() ?? null }
    }
    const first = await ask()
    t.match(first.text, /^HTTP\/1\.1 403 /)
    t.match((await ask(first.session ?? Buffer.alloc(0))).text, /^HTTP\/1\.1 403 /, maxVersion)
  }
  t.same(services.keys.commands, [])
})

t.test('certificates are changed under load without a failed request', async (t) => {
  const { source, client, port } = await serve(t)
  const agent = new Agent({ keepAlive: false })
  t.teardown(() => agent.destroy())
  const kept = client()
  let going = true
  let [done, failed] = [0, 0]
  const load = async (quorate: () => QuorateClient, at: number): Promise<void> => {
    for (let count = 0; going; count++) {
      const made = quorate()
      await made.put(`${at}/${count}`, 'x').then(
        () => (done += 1),
        () => (failed += 1),
      )
      if (made !== kept) made.close()
    }
  }
  const fresh = (): QuorateClient =>
    new QuorateClient({ servers: [`https://127.0.0.1:${port}`], retry: false, tls: { ca: trusted } })
  const loads = [load(() => kept, 1), load(() => kept, 2), load(fresh, 3), load(fresh, 4)]
  const seen = new Set<string>()
  try {
    for (let round = 0; round < 8; round++) {
      source.replace(identityOf(await issue({ commonName: `round ${round}` }), null))
      const before = done
      await eventually(() => done > before + 20, 'the load goes on')
      const socket = await secure(t, port)
      seen.add(String(socket.getPeerX509Certificate()?.subject))
      socket.destroy()
    }
  } finally {
    // A client that is closed refuses at once: the load would leave no turn to anything else.
    going = false
    await Promise.all(loads)
  }
  t.equal(failed, 0, `of ${done} requests`)
  t.equal(seen.size, 8, 'each certificate was in use')
})

t.test('whoever does not come to the end of a handshake takes no place for long', async (t) => {
  const { port, client, refused } = await serve(t, good, {
    connections: { max: 3, idleMsMin: 0 },
    server: { headersTimeoutMs: 1_000 },
  })
  const silent = Array.from({ length: 6 }, () => connectPlain({ port, host: '127.0.0.1' }))
  for (const socket of silent) socket.on('error', () => undefined)
  silent[5]?.write(Buffer.from([0x16, 0x03, 0x01]))
  t.teardown(() => silent.forEach((socket) => socket.destroy()))
  await eventually(() => silent.filter(({ destroyed }) => destroyed).length >= 3, 'the oldest make room')
  t.equal(await reasonOf(client().put('a', 'b')), 'it succeeded')
  await eventually(() => silent.every(({ destroyed }) => destroyed), 'the rest is cut off in time')
  t.same(refused, [])
})

t.test('connections on which nothing has come do not hold up a stop', async (t) => {
  const { port, app } = await serve(t)
  const silent = new RawConnection(port)
  await silent.connected()
  const secured = await secure(t, port)
  secured.on('error', () => undefined)
  const half = new RawConnection(port)
  half.send(Buffer.from([0x16, 0x03, 0x01]))
  await eventually(() => half.socket.bytesWritten === 3, 'it has begun')
  await closeGracefully(app, 60_000)
  await silent.untilClosed()
  await half.untilClosed()
  await eventually(() => secured.destroyed, 'the one that was secured is closed too')
})

t.test('when all connections are busy, another one is told so over TLS or closed', async (t) => {
  const { port, client, refused } = await serve(t, good, { connections: { max: 1, idleMsMin: 60_000 } })
  const first = await secure(t, port)
  t.match(await reasonOf(client().get('a')), /ConnectionError/)
  t.equal(refused.length, 1)
  first.destroy()
  await once(first, 'close')
  const deadline = Date.now() + 10_000
  let reason = ''
  // Each attempt gives its place back: it may be that the node has not yet heard of the end of the one before.
  while (reason !== 'it succeeded' && Date.now() < deadline) {
    const next = client()
    reason = await reasonOf(next.put('a', 'b'))
    next.close()
  }
  t.equal(reason, 'it succeeded', 'the place is free again')
})

t.test('a redirect leads from https to https alone', async (t) => {
  const leads = (from: string, location: string): string | null =>
    new LeaderHints().redirected(new URL(from), { location, 'quorate-leader': 'b' })?.origin ?? null
  t.equal(leads('https://a:1', 'https://b:1/kv/x'), 'https://b:1')
  t.equal(leads('http://a:1', 'http://b:1/kv/x'), 'http://b:1')
  t.equal(leads('http://a:1', 'https://b:1/kv/x'), 'https://b:1')
  t.equal(leads('https://a:1', 'http://b:1/kv/x'), null)
  t.equal(leads('http://a:1', 'ftp://b:1/'), null)
})
