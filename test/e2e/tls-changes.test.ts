import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { block, blocksBelow } from '../documents/blocks.ts'
import { authority, issue, writePems } from '../support/certificates.ts'
import { temporaryDirectory, type Owner } from '../support/temporary-directory.ts'
import { patientElections, TestCluster } from './support/cluster.ts'
import { eventually } from './support/eventually.ts'
import { builtProgram, type NodeProcess } from './support/node-process.ts'
import { runCommand } from './support/run-command.ts'
import { SteadyLoad } from './support/steady-load.ts'
import { answerAt, nameShownAt } from './support/tls-caller.ts'
import { expectUnbroken } from './support/unbroken.ts'

const page = 'docs/OPERATIONS.md'
const steady = { prefix: 'steady/', writers: 1, timeoutMs: 10_000 }

interface Place {
  readonly cwd: string
  readonly environment: Readonly<Record<string, string>>
}

/** Runs code of a document. Anything but success fails the test. Returns what was printed. */
async function carryOut(owner: Owner, code: string, place: Place): Promise<string> {
  const program = builtProgram.map((word) => `'${word}'`).join(' ')
  const {
    code: ended,
    out,
    err,
  } = await runCommand(owner, ['bash', '-euo', 'pipefail', '-c', `quorate() { ${program} "$@"; }\n${code}`], place)
  if (ended !== 0) throw new Error(`${code}\nended with ${ended}: ${out}${err}`)
  return out
}

function loadOn(owner: Owner, nodes: readonly NodeProcess[], options: Partial<SteadyLoad['options']> = {}): SteadyLoad {
  const load = new SteadyLoad(owner, { ...steady, ...options }, nodes)
  for (const node of nodes) load.through(node)
  return load
}

/** Waits until no node warns of any of `codes`. */
async function untilUnwarned(cluster: TestCluster, ...codes: readonly string[]): Promise<void> {
  await eventually(`nobody warns of ${codes.join(', ')}`, async () => {
    const statuses = await Promise.all(cluster.nodes.map(async ({ id }) => await cluster.status(id)))
    const found = statuses.flatMap(({ warnings }) => warnings).filter(({ code }) => codes.includes(code))
    if (found.length === 0) return true
    throw new Error(found.map(({ detail }) => detail).join('; '))
  })
}

t.test('the CA of peers is changed as the document says, under load and with a restart after each step', async (t) => {
  const [functions = '', ...steps] = blocksBelow(page, 'Change the CA of peers')
  t.equal(steps.length, 3)
  const directory = await temporaryDirectory(t)
  await carryOut(t, block(page, 'Make certificates'), { cwd: directory, environment: { TMPDIR: directory } })
  const [made = ''] = await readdir(directory)
  const pki = join(directory, made)
  const cluster = await TestCluster.start(t, { size: 0, flags: patientElections })
  for (const id of [1, 2, 3]) {
    const node = await cluster.add()
    const own = join(pki, `node-${id}`)
    const [cert = '', key = '', ca = ''] = ['peer.pem', 'peer-key.pem', 'peer-ca.pem'].map((name) => join(own, name))
    const files = `mkdir ${own}; cp node-1.pem ${cert}; cp node-1-key.pem ${key}; cp ca.pem ${ca}`
    await carryOut(t, files, { cwd: pki, environment: {} })
    node.addFlags(['--peer-tls-cert', cert, '--peer-tls-key', key, '--peer-tls-ca', ca])
    await node.start()
  }
  await cluster.form()
  const load = loadOn(t, cluster.nodes)
  await load.untilWritten(100)

  const addresses = cluster.nodes.map(({ id, addresses: { raft } }) => [`RAFT${id}`, raft] as const)
  const leader = await cluster.leader()
  for (const [at, node] of [...cluster.others(leader.id), leader].entries()) {
    await carryOut(t, `${functions}${steps[at]}`, { cwd: pki, environment: Object.fromEntries(addresses) })
    await load.untilWritten(50)
    t.match(await node.stop(), { code: 0, err: '' }, `node ${node.id} stops as asked`)
    await load.untilWritten(50)
    await node.start()
    await cluster.untilReady()
    await untilUnwarned(cluster, 'peer-tls', 'certificate-files')
    await load.untilWritten(50)
  }
  await expectUnbroken(t, load, cluster.nodes, ['refused', 'broken'])
  t.equal(new Set((await cluster.untilEqual()).digests).size, 1, 'equal digests')

  const pem = async (...path: readonly string[]): Promise<string> => await readFile(join(pki, ...path), 'utf8')
  const old = { cert: await pem('node-1.pem'), key: await pem('node-1-key.pem'), ca: await pem('new-ca.pem') }
  for (const {
    id,
    addresses: { raft },
  } of cluster.nodes) {
    t.equal(await nameShownAt(raft, old), `node-${id}`, `node ${id} shows a certificate of the new CA`)
    t.match(await answerAt(raft, old), /was not issued by a CA that is trusted here/, 'and takes none of the old one')
  }
})

t.test('TLS is turned on as the document says: for clients node by node under load, for peers at once', async (t) => {
  const step = block(page, 'Turn TLS on for a cluster that runs without')
  const directory = await temporaryDirectory(t)
  const { cert: ca } = await authority()
  const files = await writePems(directory, await issue(), ca)
  const cluster = await TestCluster.formed(t, { size: 3, flags: patientElections })
  const load = loadOn(t, cluster.nodes, {
    tls: { ca },
    serversOf: ({ addresses: { api } }) => ['https', 'http'].map((scheme) => api.replace(/^https?/, scheme)),
  })
  await load.untilWritten(100)

  const leader = await cluster.leader()
  for (const node of [...cluster.others(leader.id), leader]) {
    const { id } = node
    t.match(await node.stop(), { code: 0, err: '' }, `node ${id} stops as asked`)
    node.addFlags(['--tls-cert', files.cert, '--tls-key', files.key], { ca })
    await node.start()
    const { api, raft } = node.addresses
    await eventually('the others name the command that is due', async () => {
      const [other = node] = cluster.others(id)
      const { warnings } = await cluster.status(other.id)
      const due = `quorate cluster set-addresses ${id} --raft ${raft} --api ${api}`
      if (warnings.some(({ code, detail }) => code === 'wrong-address' && detail.includes(due))) return true
      throw new Error(JSON.stringify(warnings))
    })
    const environment = { ID: String(id), API: api.replace('https://', ''), RAFT: raft, QUORATE_CA: files.ca }
    const printed = await carryOut(t, step, { cwd: directory, environment })
    t.match(printed, new RegExp(`${api}`), 'the status shows where it is')
    await untilUnwarned(cluster, 'wrong-address')
    await cluster.untilReady()
    await load.untilWritten(50)
  }
  await load.stop()

  for (const node of cluster.nodes) await node.stop()
  for (const node of cluster.nodes)
    node.addFlags(['--peer-tls-cert', files.cert, '--peer-tls-key', files.key, '--peer-tls-ca', files.ca])
  await Promise.all(cluster.nodes.map(async (node) => await node.start()))
  await cluster.untilReady()
  const mine = { ...(await issue()), ca }
  for (const {
    addresses: { raft },
  } of cluster.nodes)
    t.equal(await nameShownAt(raft, mine), 'node')
  await expectUnbroken(t, load, cluster.nodes, ['refused', 'broken', 'https-required'])
})
