import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { AddressInfo, LookupFunction, Server } from 'node:net'
import { join } from 'node:path'
import { connect, createServer, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { serversOf, type ConnectionOptions } from '../src/cli/connection.ts'
import type { Terminal } from '../src/cli/terminal.ts'
import { judge } from '../src/tls/judge.ts'
import type { Plane, TlsIdentity } from '../src/tls/identity.ts'
import { PeerTlsFaults } from '../src/transport/peer-tls-faults.ts'
import { TlsSockets } from '../src/transport/tls-sockets.ts'
import { block } from './documents/blocks.ts'
import { runCommand } from './e2e/support/run-command.ts'
import { GivenIdentity } from './support/certificates.ts'
import { read, statefulSet, variablesOf } from './support/deploy-files.ts'
import { temporaryDirectory } from './support/temporary-directory.ts'

/** Any name is this machine, as in a cluster any name of the table is a pod. */
const lookup: LookupFunction = (_name, options, callback) => {
  if (options.all === true) callback(null, [{ address: '127.0.0.1', family: 4 }])
  else callback(null, '127.0.0.1', 4)
}

/** What the page makes, with the names of `change`; as a node whose host is `host` judges it. */
async function identityFrom(t: Test, change = (names: string): string => names) {
  const ca = block('docs/OPERATIONS.md', 'Make certificates')
  const pods = block('docs/OPERATIONS.md', 'Names in certificates on Kubernetes')
  const directory = await temporaryDirectory(t)
  const lines = ['set -eu', ca, change(pods), `cp pods.pem pods-key.pem ca.pem '${directory}'`, 'cd / && rm -r "$P"']
  const made = await runCommand(t, ['bash', '-c', lines.join('\n')])
  if (made.code !== 0) throw new Error(made.err)
  const paths = {
    cert: join(directory, 'pods.pem'),
    key: join(directory, 'pods-key.pem'),
    ca: join(directory, 'ca.pem'),
  }
  const contents = { cert: await readFile(paths.cert), key: await readFile(paths.key), ca: await readFile(paths.ca) }
  const identityOf = (plane: Plane, host: string): TlsIdentity => {
    const judgement = judge({ plane, paths, host }, contents, Date.now())
    if (judgement.kind === 'faulty') throw new Error(judgement.faults.join(' '))
    return judgement.identity
  }
  return { identityOf, ca: contents.ca }
}

/** The host of an address that a pod advertises, in the namespace of the page. */
function advertisedBy(ordinal: number, variable: string): string {
  const address = String(variablesOf(statefulSet().template.spec.containers[0], ordinal)[variable])
  return address.replace('.store.', '.quorate.').replace(/:\d+$/, '')
}

async function portOf(t: Test, server: Server): Promise<number> {
  server.listen(0, '0.0.0.0')
  await once(server, 'listening')
  t.teardown(async () => void server.close())
  return (server.address() as AddressInfo).port
}

async function faultOf(socket: TLSSocket): Promise<string | null> {
  try {
    await once(socket, 'secureConnect')
    return null
  } catch (error) {
    return String(error)
  } finally {
    socket.destroy()
  }
}

/** Dials `host` as a node does, at a node with the same certificate. */
async function dialledAt(t: Test, host: string, identity: TlsIdentity): Promise<string | null> {
  const logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  const [, sharedName = ''] = /^discover: dns:(.*):\d+$/m.exec(read('deploy/kubernetes/quorate.yaml')) ?? []
  const dependencies = { source: new GivenIdentity(identity), faults: new PeerTlsFaults(() => 0, logger) }
  const sockets = new TlsSockets({ sharedName }, dependencies)
  const told: (string | null)[] = []
  const advertised = `${advertisedBy(2, 'QUORATE_RAFT_ADVERTISE')}:7101`
  const port = await portOf(
    t,
    sockets.createServer((socket, farEnd) => {
      told.push(farEnd.objectionTo(advertised))
      socket.destroy()
    }),
  )
  const fault = await faultOf(sockets.dial({ host, port, lookup }).socket as TLSSocket)
  return fault ?? told.find((objection) => objection !== null) ?? null
}

t.test(
  'TLS on Kubernetes: peers take the certificate of the page at every address at which they call each other',
  async (t) => {
    const raft = [1, 2, 3].map((ordinal) => advertisedBy(ordinal, 'QUORATE_RAFT_ADVERTISE'))
    const { identityOf } = await identityFrom(t)
    // A bare address is what discovery by DNS finds. It is not in the certificate.
    for (const host of [...raft, '127.0.0.2'])
      t.equal(await dialledAt(t, host, identityOf('peer', raft[0] ?? '')), null, host)
    t.equal(
      await dialledAt(t, 'elsewhere.quorate.svc', identityOf('peer', raft[0] ?? '')),
      null,
      'its shared name is enough',
    )

    const without = await identityFrom(t, (lines) => lines.replace('DNS:quorate-peers,', ''))
    const other = without.identityOf('peer', raft[0] ?? '')
    t.match(await dialledAt(t, '127.0.0.2', other), /its certificate is for .*, not for 127\.0\.0\.2/)
    t.equal(await dialledAt(t, raft[1] ?? '', other), null)
    const narrow = await identityFrom(t, (lines) => lines.replace('DNS:*.quorate-peers.quorate.svc,', ''))
    t.throws(() => narrow.identityOf('peer', raft[0] ?? ''), /add that name to it/)
  },
)

t.test('TLS on Kubernetes: clients take the certificate of the page at every address of the table', async (t) => {
  const api = [1, 2, 3].map((ordinal) => advertisedBy(ordinal, 'QUORATE_API_ADVERTISE'))
  const { identityOf, ca } = await identityFrom(t)
  const { cert, key } = identityOf('api', api[0] ?? '')
  const port = await portOf(t, createServer({ cert, key }))
  const called = async (host: string): Promise<string | null> =>
    await faultOf(connect({ host, port, lookup, ca, ...(/^\d/.test(host) ? {} : { servername: host }) }))
  const page =
    read('docs/OPERATIONS.md').split('### Names in certificates on Kubernetes\n')[1]?.split('\n### ')[0] ?? ''
  const listed = [...page.matchAll(/`([a-z0-9.-]+):7001`/g)].map(([, host = '']) => host)
  t.same(new Set(listed), new Set([api[0], 'quorate', 'quorate.quorate.svc', '127.0.0.1', 'localhost']))
  for (const host of [...listed, ...api]) t.equal(await called(host), null, host)
  t.match(read('deploy/kubernetes/backup/cron-job.yaml'), /value: quorate:7001$/m, 'the backup calls one of them')
  t.match(await called('127.0.0.2'), /ALTNAME|altnames/, 'the address of a pod is none of them')
  t.match(await called('quorate.elsewhere.svc'), /altnames/)
})

t.test('a command with a CA and no server asks the node on its own machine by https', (t) => {
  const terminal = { environment: {} } as Terminal
  const asked = (options: ConnectionOptions) => serversOf(terminal, options).map(({ origin }) => origin)
  t.same(asked({ ca: 'ca.pem' }), ['https://127.0.0.1:7001'])
  t.same(asked({}), ['http://127.0.0.1:7001'])
  t.end()
})
