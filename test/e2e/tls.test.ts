import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { exitCodes } from '../../src/cli/terminal.ts'
import { QuorateClient } from '../../src/client/index.ts'
import { authority, DAY_MS, issue, writePems, type PemFiles } from '../support/certificates.ts'
import { runCli } from '../support/run-cli.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { patientElections, TestCluster } from './support/cluster.ts'
import { eventually } from './support/eventually.ts'
import { ServeProcess, type NodeProcess } from './support/node-process.ts'
import { freePorts } from './support/ports.ts'
import { RestClient } from './support/rest-client.ts'
import { runCommand } from './support/run-command.ts'
import { SteadyLoad } from './support/steady-load.ts'
import { nameShownAt } from './support/tls-caller.ts'
import { expectUnbroken } from './support/unbroken.ts'

const trusted = (await authority()).cert
const program = fileURLToPath(new URL('../../dist/quorate.cjs', import.meta.url))

function apiFlags({ cert, key }: PemFiles): string[] {
  return ['--tls-cert', cert, '--tls-key', key]
}

function peerFlags({ cert, key, ca }: PemFiles): string[] {
  return ['--peer-tls-cert', cert, '--peer-tls-key', key, '--peer-tls-ca', ca]
}

/** The files that all nodes of one test share, and a directory beside them. */
async function filesFor(t: Test): Promise<PemFiles & { readonly directory: string }> {
  const directory = await temporaryDirectory(t)
  return { ...(await writePems(directory, await issue(), trusted)), directory }
}

/** True once the process has logged `text`. */
function told({ output }: ServeProcess, text: string): true | null {
  return output.includes(text) ? true : null
}

interface Warned {
  readonly warnings: readonly { readonly code: string; readonly detail: string }[]
}

t.test('three nodes with TLS for clients and peers', async (t) => {
  const files = await filesFor(t)
  const flags = [...apiFlags(files), ...peerFlags(files), ...patientElections]
  const cluster = await TestCluster.formed(t, { size: 3, flags, tls: { ca: trusted } })
  const leader = await cluster.leader()
  const [follower, third] = cluster.others(leader.id)
  if (follower === undefined || third === undefined) throw new Error('there are three nodes')
  const servers = cluster.members.map(({ api }) => api)
  const client = new QuorateClient({ servers, tls: { ca: trusted } })
  t.teardown(() => client.close())

  await t.test('advertised and carried to the leader by https', async (t) => {
    const { members, nodes } = { members: cluster.members, nodes: (await cluster.status(follower.id)).nodes }
    for (const { id, api } of members) t.equal(nodes[id]?.api, api)
    t.ok(servers.every((api) => api.startsWith('https://')))
    const answer = await follower.client.putKey('a', 'b', { query: '?redirect=true' })
    t.equal(answer.status, 307)
    t.equal(answer.header('location'), `${leader.addresses.api}/kv/a?redirect=true`)
    t.equal((await follower.client.putKey('a', 'b')).status, 200, 'through a follower')
    t.equal((await leader.client.getKey('a')).text, 'b')
    const preferring = new QuorateClient({
      servers: [follower.addresses.api],
      preferLeader: true,
      tls: { ca: trusted },
    })
    t.teardown(() => preferring.close())
    await preferring.put('c', 'd')
    t.equal((await preferring.get('c'))?.text, 'd')
  })

  await t.test('a watch goes on through the restart of its node', async (t) => {
    const watching = new QuorateClient({ servers: [third.addresses.api, ...servers], tls: { ca: trusted } })
    t.teardown(() => watching.close())
    const seen: string[] = []
    const until = new AbortController()
    const watch = watching.watch({ prefix: 'w/' }, { signal: until.signal })
    const reading = (async () => {
      for await (const event of watch) if (event.kind === 'put') seen.push(event.record.key)
    })().catch(() => undefined)
    await client.put('w/1', 'x')
    await eventually('the first change', async () => {
      await client.put('w/1', 'x')
      return seen.length > 0 ? true : null
    })
    await third.stop()
    await client.put('w/2', 'x')
    await third.start()
    await cluster.untilReady()
    await client.put('w/3', 'x')
    await eventually('all changes', async () => (seen.includes('w/2') && seen.includes('w/3') ? true : null))
    until.abort()
    await reading
    t.ok(true)
  })

  await t.test('the command line, with its CA by flag or variable', async (t) => {
    const server = follower.addresses.api
    const inEnvironment = await runCli(['kv', 'get', 'a', '--server', server], {
      environment: { QUORATE_CA: files.ca },
    })
    t.same([inEnvironment.code, inEnvironment.out], [0, 'b'])
    const bare = server.replace('https://', '')
    const byFlag = await runCli(['cluster', 'status', '--server', bare, '--ca', files.ca])
    t.equal(byFlag.code, 0, byFlag.err)
    t.match(byFlag.out, /answered +1, 2, 3/, 'the members that it names are asked as well')
    const untrusting = await runCli(['kv', 'get', 'a', '--server', server])
    t.equal(untrusting.code, exitCodes.unreachable)
    t.match(untrusting.err, /was not issued by a CA that is trusted here: name the CA with --ca/)
    const plain = await runCli(['kv', 'get', 'a', '--server', `http://${bare}`])
    t.equal(plain.code, exitCodes.requestFailed)
    t.match(plain.err, /this port speaks https/)
    const cases: [words: string[], said: RegExp][] = [
      [['--ca', '/no/such'], /--ca \/no\/such cannot be read/],
      [['--ca', files.key], /--ca \S+: expected a PEM file with a certificate/],
      [['--cert', files.cert], /--cert \S+: expected --key as well/],
      [['--cert', files.cert, '--key', files.cert], /--key \S+: expected a PEM file with a private key/],
    ]
    for (const [words, said] of cases) {
      const ran = await runCli(['kv', 'get', 'a', '--server', server, ...words])
      t.equal(ran.code, exitCodes.usage)
      t.match(ran.err, said)
    }
  })

  await t.test('certificates are renewed under load, and nodes show them to clients and peers', async (t) => {
    const options = { prefix: 'renewal/', writers: 1, timeoutMs: 10_000, tls: { ca: trusted } }
    const load = new SteadyLoad(t, options, cluster.nodes)
    for (const node of cluster.nodes) load.through(node)
    await load.untilWritten(100)
    const mine = { ...(await issue({ commonName: 'caller' })), ca: trusted }
    const namesShown = async (node: NodeProcess): Promise<string[]> => {
      const { api, raft } = node.addresses
      return await Promise.all([api.replace('https://', ''), raft].map(async (at) => await nameShownAt(at, mine)))
    }
    for (const node of cluster.nodes) t.same(await namesShown(node), ['node', 'node'])
    await writePems(files.directory, await issue({ commonName: 'renewed' }), trusted)
    await eventually('each node has replaced both', async () => {
      const texts = await Promise.all(cluster.nodes.map(async ({ client: rest }) => (await rest.get('/metrics')).text))
      return texts.every((text) => text.includes('quorate_tls_reloads_total 2')) ? true : null
    })
    await load.untilWritten(100)
    t.same([...load.turned], [], 'no connection broke')
    for (const node of cluster.nodes) t.same(await namesShown(node), ['renewed', 'renewed'])
    const text = (await leader.client.get('/metrics')).text
    t.match(text, /quorate_tls_certificate_expiry_timestamp_seconds\{plane="peer",role="ca"\} \d{10}/)

    t.match(await follower.stop(), { code: 0, err: '' })
    await follower.start()
    await cluster.untilReady()
    await load.untilWritten(100)
    t.same((await cluster.status(follower.id)).warnings, [], 'peers took it back with the new ones')
    await expectUnbroken(t, load, cluster.nodes, ['refused', 'broken'])
  })

  await t.test('SIGHUP reads them at once; broken ones change nothing, and are warned of', async (t) => {
    const good = await readFile(files.cert, 'utf8')
    await writeFile(files.cert, 'noise')
    follower.process.signal('SIGHUP')
    const warned = await eventually('a warning', async () => {
      const { warnings } = (await follower.client.get('/cluster')).json<Warned>()
      return warnings.some(({ code }) => code === 'certificate-files') ? warnings : null
    })
    t.match(warned[0]?.detail, /goes on with the ones before: --tls-cert \S+ holds no certificate/)
    t.match(follower.process.output, /certificate files refused/)
    const fresh = new QuorateClient({ servers: [follower.addresses.api], retry: false, tls: { ca: trusted } })
    await fresh.put('still', 'x')
    fresh.close()
    await writeFile(files.cert, good)
    follower.process.signal('SIGHUP')
    await eventually('no warning', async () => {
      const { warnings } = (await follower.client.get('/cluster')).json<Warned>()
      return warnings.length === 0 ? true : null
    })
    t.ok(follower.isRunning)
  })
})

t.test('a node that peers may not trust stays out, and both sides say why', async (t) => {
  const files = await filesFor(t)
  const cluster = await TestCluster.start(t, { size: 1, flags: peerFlags(files) })
  const foreign = join(files.directory, 'foreign')
  const other = await authority('another CA')
  const wrong = await writePems(foreign, await issue({}, other), `${trusted}${other.cert}`)
  const sound = cluster.node(1)
  const [api = 0, raft = 0] = await freePorts(2)
  const place = ['--id', '3', '--data-dir', join(files.directory, 'data'), '--segment-bytes', '4MiB']
  const listen = ['--api', `127.0.0.1:${api}`, '--raft', `127.0.0.1:${raft}`]
  const discover = ['--discover', `static:${sound.addresses.raft},127.0.0.1:${raft}`]
  const lone = new ServeProcess(t, [...place, ...listen, ...discover, ...peerFlags(wrong)])
  const own = new RestClient(`http://127.0.0.1:${api}`)
  t.teardown(async () => own.close())
  await eventually('the stranger shows what it was told', async () => {
    const { text } = await own.get('/cluster')
    return text.includes('the certificate of CN=node was not issued by a CA that is trusted here') ? true : null
  })
  await eventually('the node tells', async () => told(sound.process, 'peer caller fails TLS'))
  t.match(sound.process.output, /certificate of CN=node was not issued by a CA that is trusted here/)
  const { warnings } = (await sound.client.get('/cluster')).json<Warned>()
  t.match(warnings, [{ code: 'peer-tls', detail: /a caller from 127\.0\.0\.1: the certificate of CN=node/ }])
  lone.signal('SIGKILL')
  await lone.ended
})

t.test('a start with files of no use is refused before anything is opened', async (t) => {
  const files = await filesFor(t)
  const past = { notBefore: new Date(Date.now() - 9 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) }
  const expired = await writePems(join(files.directory, 'expired'), await issue(past), trusted)
  const data = join(files.directory, 'data')
  const serve = async (flags: string[]): Promise<{ code: number | null; err: string }> => {
    const place = ['--id', '1', '--data-dir', data, '--api', '127.0.0.1:0', '--raft', '127.0.0.1:0']
    const run = new ServeProcess(t, [...place, ...flags])
    run.mayEnd = true
    return await run.ended
  }
  const cases: [flags: string[], code: number, said: RegExp][] = [
    [
      ['--tls-cert', files.cert],
      exitCodes.usage,
      /--tls-cert \S+ +comes without its private key\n +allowed: --tls-key/,
    ],
    [
      ['--peer-tls-cert', files.cert, '--peer-tls-key', files.key],
      exitCodes.usage,
      /is not enough for TLS between peers/,
    ],
    [
      ['--tls-cert', '/no/such', '--tls-key', files.key],
      exitCodes.refused,
      /refused to start: --tls-cert \/no\/such cannot be read/,
    ],
    [
      [...apiFlags(expired), ...peerFlags(expired)],
      exitCodes.refused,
      /--tls-cert \S+ has expired.*--peer-tls-cert \S+ has expired/,
    ],
  ]
  for (const [flags, code, said] of cases) {
    const ended = await serve(flags)
    t.equal(ended.code, code, ended.err)
    t.match(ended.err, said)
    t.notMatch(ended.err, /\n +at /, 'no stack')
  }
  await t.rejects(readFile(join(data, 'identity.json')), 'nothing was made')
})

t.test('dev --tls: one command, and what it prints works', async (t) => {
  const [port = 0] = await freePorts(1)
  const asked: Promise<string>[] = []
  const ran = await runCommand(t, [process.execPath, program, 'dev', '--tls', '--nodes', '1', '--port', String(port)], {
    onOutput: (out, stop) => {
      const ca = /curl --cacert (\S+ca\.pem)/.exec(out)?.[1]
      if (ca === undefined || !out.includes('Ctrl-C') || asked.length > 0) return
      const ask = async (): Promise<string> => {
        const client = new QuorateClient({ servers: [`https://localhost:${port}`], tls: { ca: await readFile(ca) } })
        await client.put('hello', 'world')
        const text = (await client.get('hello'))?.text ?? ''
        client.close()
        return text
      }
      asked.push(ask().finally(stop))
    },
  })
  t.equal(ran.code, 0, ran.err)
  t.same(await Promise.all(asked), ['world'])
  t.match(ran.out, /QUORATE_SERVER=https:\/\/127\.0\.0\.1:\d+ QUORATE_CA=\S+ca\.pem/)
})
