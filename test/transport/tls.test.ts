import { once } from 'node:events'
import { connect as connectPlain } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t, { type Test } from 'tap'
import type { Issued } from '../../src/cli/certificates.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { limits } from '../../src/limits.ts'
import { nodeId } from '../../src/raft/index.ts'
import { TcpTransport } from '../../src/transport/tcp.ts'
import { transportContract } from '../contract/transport.ts'
import { appendOf, machineClock, RecordingNode } from '../contract/transport-fixture.ts'
import { until } from '../support/until.ts'
import { authority, DAY_MS, GivenIdentity, identityOf, issue, LOOPBACK } from '../support/certificates.ts'

const [one, two] = [nodeId(1), nodeId(2)]

const trusted = (await authority()).cert
const good = identityOf(await issue(), trusted)
/** The nodes of the contract say that they live at names of their own. */
const named = identityOf(await issue({ hosts: [...LOOPBACK, 'node-1', 'node-2', 'node-3'] }), trusted)

transportContract(t, 'tls', () => ({
  create: (id, limits = {}, listen = '127.0.0.1:0') =>
    new TcpTransport(
      { id, listen, limits },
      {
        clock: machineClock,
        random: new SeededRandom(id),
        tls: { source: new GivenIdentity(named), sharedName: null },
      },
    ),
}))

interface Side {
  readonly node: RecordingNode
  readonly transport: TcpTransport
  readonly told: string[]
}

async function start(
  t: Test,
  id: typeof one,
  tls: GivenIdentity | null,
  sharedName: string | null = null,
): Promise<Side> {
  const node = new RecordingNode(id)
  const told: string[] = []
  const tell = (facts: object, event: string): void => void told.push(`${event}: ${JSON.stringify(facts)}`)
  const transport = new TcpTransport(
    { id, listen: '127.0.0.1:0', limits: { reconnectDelayMsMax: 50 } },
    {
      clock: machineClock,
      random: new SeededRandom(id),
      logger: { debug: () => undefined, info: () => undefined, warn: tell },
      tls: tls === null ? null : { source: tls, sharedName },
    },
  )
  t.teardown(() => transport.stop())
  await transport.start(node)
  // What it says of itself is where it listens.
  const hello = node.hello.bind(node)
  node.hello = (purpose, to) => ({ ...hello(purpose, to), addresses: { raft: transport.address, api: 'http://a:1' } })
  return { node, transport, told }
}

/** A certificate that is for the loopback interface and of the usual CA, unless told otherwise. */
async function source(
  options: Parameters<typeof issue>[0] = {},
  from?: string,
  trusts = trusted,
): Promise<GivenIdentity> {
  const issued: Issued = await issue(options, from === undefined ? undefined : await authority(from))
  return new GivenIdentity(identityOf(issued, trusts))
}

function detailsOf({ transport }: Side): string {
  return transport.warnings.map(({ detail }) => detail).join('\n')
}

t.test('a peer without a good certificate is refused in a sentence on both sides', async (t) => {
  const past = { notBefore: new Date(Date.now() - 9 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) }
  const other = (await authority('another CA')).cert
  const cases: [name: string, wrong: GivenIdentity, said: RegExp, heard: RegExp][] = [
    [
      'of another CA',
      await source({}, 'another CA', `${trusted}${other}`),
      /certificate of CN=node was not issued by a CA that is trusted here: compare --peer-tls-cert and --peer-tls-ca/,
      /its certificate was not issued by a CA that is trusted here: compare its --peer-tls-cert with --peer-tls-ca/,
    ],
    ['expired', await source(past), /certificate of CN=node has expired/, /its certificate has expired/],
    [
      'for other names',
      await source({ hosts: ['node-7.example'] }),
      /the certificate is for node-7\.example, not for 127\.0\.0\.1, where the node says that it is/,
      /its certificate is for node-7\.example, not for 127\.0\.0\.1/,
    ],
  ]
  for (const [name, wrong, said, heard] of cases) {
    await t.test(name, async (t) => {
      const sound = await start(t, one, new GivenIdentity(good))
      const faulty = await start(t, two, wrong)
      faulty.transport.setPeers(new Map([[one, sound.transport.address]]))
      await until('the caller is told', () => faulty.node.refused.length > 0)
      const [refused] = faulty.node.refused
      t.match(refused, { peer: one, by: 'peer', refusal: { code: 'wrong-certificate', detail: said } })
      await until('the other side tells', () => sound.told.length > 0)
      t.match(sound.told.join('\n'), said)

      sound.transport.setPeers(new Map([[two, faulty.transport.address]]))
      await until('the dialler tells', () => sound.told.some((line) => line.startsWith('peer fails TLS')))
      t.match(sound.told.join('\n'), heard)
      t.match(detailsOf(sound), heard)
      t.notOk(sound.transport.isConnected(two) || faulty.transport.isConnected(one))
      t.same(sound.node.hellos, [], 'nothing that it said of itself was believed')
    })
  }
})

t.test('a certificate is for the address that a node says it has, and it says one', async (t) => {
  const sound = await start(t, one, new GivenIdentity(good))
  const evasive = await start(t, two, await source({ hosts: ['node-7.example'] }))
  const hello = evasive.node.hello.bind(evasive.node)
  evasive.node.hello = (purpose, to) => ({ ...hello(purpose, to), addresses: { raft: '', api: '' } })
  evasive.transport.setPeers(new Map([[one, sound.transport.address]]))
  await until('it is refused', () => evasive.node.refused.length > 0)
  t.match(evasive.node.refused[0], { peer: one, by: 'peer', refusal: { code: 'bad-hello' } })
  t.same(sound.node.hellos, [])
})

t.test('a probe is refused like any caller', async (t) => {
  const sound = await start(t, one, new GivenIdentity(good))
  const foreign = await start(
    t,
    two,
    await source({}, 'another CA', `${trusted}${(await authority('another CA')).cert}`),
  )
  const outcome = await foreign.transport.probe(sound.transport.address, 5_000)
  t.match(outcome, { kind: 'refused', refusal: { code: 'wrong-certificate' } })
  const back = await sound.transport.probe(foreign.transport.address, 5_000)
  t.match(back, { kind: 'unreachable', detail: /its certificate was not issued by a CA/ })
})

t.test('a node with TLS and one without tell each other so', async (t) => {
  const secure = await start(t, one, new GivenIdentity(good))
  const plain = await start(t, two, null)
  plain.transport.setPeers(new Map([[one, secure.transport.address]]))
  await until('the plain one is told', () => plain.node.refused.length > 0)
  t.match(plain.node.refused[0], {
    by: 'peer',
    refusal: { code: 'wrong-protocol', detail: /peers speak TLS here.*start it with --peer-tls-cert/ },
  })
  t.match(secure.told.join('\n'), /peer caller fails TLS.*called without/)

  secure.transport.setPeers(new Map([[two, plain.transport.address]]))
  await until('both tell', () => plain.told.length > 0 && secure.told.some((line) => line.startsWith('peer fails TLS')))
  t.match(
    plain.told.join('\n'),
    /peer connection rejected.*it speaks TLS, and this node does not: start this node with --peer-tls-cert/,
  )
  t.match(secure.told.join('\n'), /closed the connection during the TLS handshake: it speaks without TLS/)
  t.match(detailsOf(secure), new RegExp(`the peer at ${plain.transport.address}: it closed`))
})

t.test('a warning ends when the peer is reached', async (t) => {
  const sound = await start(t, one, new GivenIdentity(good))
  const wrong = await source({ hosts: ['node-7'] })
  const faulty = await start(t, two, wrong)
  sound.transport.setPeers(new Map([[two, faulty.transport.address]]))
  await until('it is warned of', () => sound.transport.warnings.length === 1)
  wrong.replace(good)
  await until('they are connected', () => sound.transport.isConnected(two))
  t.same(sound.transport.warnings, [])
})

t.test('connections outlive a change of certificates and CA; new ones use what is new', async (t) => {
  const [a, b] = [new GivenIdentity(good), new GivenIdentity(good)]
  const first = await start(t, one, a)
  const second = await start(t, two, b)
  first.transport.setPeers(new Map([[two, second.transport.address]]))
  second.transport.setPeers(new Map([[one, first.transport.address]]))
  const connected = (): boolean => first.transport.isConnected(two) && second.transport.isConnected(one)
  await until('they are connected', connected)

  const renewed = await source({ commonName: 'renewed' }, 'another CA', (await authority('another CA')).cert)
  a.replace(renewed.identity)
  first.transport.send(appendOf(one, two, 0, 10))
  await until('the message arrives', () => second.node.messages.length === 1)
  t.ok(connected(), 'nothing was cut')

  first.transport.setPeers(new Map())
  await until('it is cut', () => !first.transport.isConnected(two))
  first.transport.setPeers(new Map([[two, second.transport.address]]))
  await until('the CA that was taken away counts no more', () => first.told.length > 0)
  t.match(first.told[0], /not issued by a CA that is trusted here/)
  b.replace(renewed.identity)
  await until('they are connected again', connected)
})

t.test('a name that all may share lets in those whom discovery found by it', async (t) => {
  const shared = await source({ hosts: ['quorate.example'] })
  const [a, b] = [await start(t, one, shared, 'quorate.example'), await start(t, two, shared, 'quorate.example')]
  a.transport.setPeers(new Map([[two, b.transport.address]]))
  await until('they are connected', () => a.transport.isConnected(two))
  const strict = await start(t, two, shared)
  const outcome = await strict.transport.probe(a.transport.address, 5_000)
  t.match(outcome, { kind: 'unreachable', detail: /is for quorate\.example, not for 127\.0\.0\.1/ })
})

t.test('a session that was begun without a certificate lets nobody in', async (t) => {
  const sound = await start(t, one, new GivenIdentity(good))
  const port = Number(sound.transport.address.split(':')[1])
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const ask = async (session?: Buffer): Promise<{ readonly text: string; readonly session: Buffer | undefined }> => {
      const given = session === undefined ? {} : { session }
      const socket = connectTls({ port, host: '127.0.0.1', ca: trusted, maxVersion, ...given })
      const sessions: Buffer[] = []
      let text = ''
      socket.on('session', (one) => sessions.push(one))
      socket.on('data', (chunk) => (text += String(chunk)))
      await once(socket, 'close')
      return { text, session: sessions.at(-1) }
    }
    const first = await ask()
    t.match(first.text, /this node showed none/)
    t.match((await ask(first.session)).text, /this node showed none/, maxVersion)
  }
})

t.test('versions before 1.2 are refused, and callers who never come to an end are cut off', async (t) => {
  const sound = await start(t, one, new GivenIdentity(good))
  const port = Number(sound.transport.address.split(':')[1])
  const old = connectTls({
    port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    maxVersion: 'TLSv1.1',
    minVersion: 'TLSv1.1',
  })
  const [error] = (await once(old, 'error')) as [NodeJS.ErrnoException]
  // One that takes them may fail at such a handshake as well, but by another alert.
  t.match(error.code, /^ERR_SSL_.*ALERT_PROTOCOL_VERSION$/)

  const silent = Array.from({ length: limits.peerTlsHandshakesMax + 1 }, () =>
    connectPlain({ port, host: '127.0.0.1' }),
  )
  for (const socket of silent) socket.on('error', () => undefined)
  t.teardown(async () => silent.forEach((socket) => socket.destroy()))
  await once(silent[0] ?? old, 'close')
  t.ok(
    silent.some(({ destroyed }) => !destroyed),
    'the one that came first makes room',
  )
  const begun = connectPlain({ port, host: '127.0.0.1' })
  t.teardown(async () => void begun.destroy())
  begun.on('error', () => undefined).write(Buffer.from([0x16, 0x03, 0x01]))
  await once(begun, 'close')
  t.ok(true, 'a handshake that does not go on ends')

  const peer = await start(t, two, new GivenIdentity(good))
  peer.transport.setPeers(new Map([[one, sound.transport.address]]))
  await until('a peer comes through', () => peer.transport.isConnected(one))
})
