import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { randomFillSync } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { mebibytes, residentBytes } from '../soak/memory.ts'
import { soakDefaults } from '../soak/options.ts'
import { soak } from '../soak/soak.ts'
import { missing } from '../support/missing.ts'
import { RawConnection } from '../support/raw-client.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { TestCluster } from './support/cluster.ts'
import { eventually } from './support/eventually.ts'
import { builtProgram, type NodeProcess } from './support/node-process.ts'
import type { RestAnswer, RestClient } from './support/rest-client.ts'
import { runCommand } from './support/run-command.ts'

const MB = 1_000_000
const value = randomFillSync(Buffer.alloc(MB))

async function put(node: NodeProcess, key: string, bytes: Uint8Array): Promise<void> {
  const answer = await node.client.putKey(key, bytes)
  if (answer.status !== 200) throw new Error(answer.summary)
}

async function residentOf({ process }: NodeProcess): Promise<number> {
  return mebibytes((await residentBytes(process.pid)) ?? Number.NaN)
}

/** Everything that the process has read so far, from files and sockets. */
function bytesRead({ process }: NodeProcess): number {
  return Number(/^rchar: (\d+)$/m.exec(readFileSync(`/proc/${process.pid}/io`, 'utf8'))?.[1])
}

t.test(
  'large values pass through a leader, a follower and a learner that catches up, and leave their memory',
  async (t) => {
    const cluster = await TestCluster.formed(t, { size: 3 })
    const leader = await cluster.leader()
    const nodes = [...cluster.nodes]
    // By now every cache is full.
    for (let number = 0; number < 150; number++) await put(leader, `k${number % 20}`, value)
    const learner = await cluster.add()
    await learner.start()
    const { id, raft, api } = learner.addresses
    const joined = await leader.client.post('/cluster/learners?timeout=60s', { id, raft, api, wait: true })
    t.equal(joined.status, 200, joined.summary)
    const before = await Promise.all(nodes.map(residentOf))
    for (let number = 0; number < 300; number++) await put(leader, `k${number % 20}`, value)
    await cluster.untilEqual()
    for (const [at, node] of nodes.entries()) {
      const grown = (await residentOf(node)) - (before[at] ?? 0)
      t.ok(grown < 120, `node ${node.id}: 300 MB were written, and it takes ${grown} MiB more than ${before[at]}`)
    }
    const held = await residentOf(learner)
    t.ok(held < 480, `the learner takes ${held} MiB`)
  },
)

t.test(
  'a state of large values is read once for a backup, a stream or a listing, and for readers that do not read',
  async (t) => {
    const cluster = await TestCluster.formed(t, { size: 1 })
    const node = cluster.node(1)
    // Small rows first: what they say of the size of the rows is wrong.
    for (let number = 0; number < 30; number++) await put(node, `a${number}`, Buffer.from('x'))
    const count = 100
    for (let number = 0; number < count; number++) await put(node, `k${number}`, value)
    t.equal((await node.client.post('/cluster/purge')).status, 200)
    const measured = async (path: string, accept: string): Promise<number> => {
      const before = bytesRead(node)
      const answer = await node.client.get(path, { accept })
      t.equal(answer.status, 200)
      t.ok(answer.body.length >= count * MB, `${answer.body.length} bytes`)
      return (bytesRead(node) - before) / (count * MB)
    }
    for (const [path, accept] of [
      ['/cluster/snapshot', '*/*'],
      ['/kv', 'application/x-ndjson'],
    ] as const) {
      const times = await measured(path, accept)
      // Compaction of what was written reads along.
      t.ok(times < 3, `${path}: ${times.toFixed(2)} times the values' size was read`)
    }
    const before = await residentOf(node)
    const readers = Array.from({ length: 32 }, () => new RawConnection(Number(new URL(node.addresses.api).port)))
    t.teardown(() => readers.forEach(({ socket }) => socket.destroy()))
    for (const reader of readers) {
      reader.socket.pause()
      reader.send('GET /cluster/snapshot HTTP/1.1\r\nHost: test\r\n\r\n')
    }
    let read = bytesRead(node)
    await eventually('all of them are stuck', async () => {
      await delay(500)
      const stuck = bytesRead(node) - read < MB
      read = bytesRead(node)
      return stuck ? true : null
    })
    const held = (await residentOf(node)) - before
    t.ok(held < 32 * 16, `32 readers that do not read take ${held} MiB`)
  },
)

/** Writes at the end of a process how much memory it had at most, in KiB. Not `maxRSS`, in which its parent's counts. */
const tellingPeak = `import { readFileSync } from 'node:fs'
process.on('exit', () => console.error(/^VmHWM:.*kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))[0]))`

/** The most memory that a command has had, in MiB. */
async function peakOf(t: Test, words: readonly string[]): Promise<number> {
  const [node = '', program = ''] = builtProgram
  const preloaded = ['--import', `data:text/javascript,${encodeURIComponent(tellingPeak)}`]
  const { code, err } = await runCommand(t, [node, ...preloaded, program, ...words])
  const [, peak] = /^VmHWM:\s+(\d+) kB$/m.exec(err) ?? []
  if (code !== 0 || peak === undefined) throw new Error(`quorate ${words.join(' ')}: exit code ${code}: ${err}`)
  return mebibytes(Number(peak) * 1024)
}

t.test('a backup is taken, verified and restored without the state in memory', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 1 })
  const source = cluster.node(1)
  const count = 300
  for (let number = 0; number < count; number++) await put(source, `k${number}`, value)
  const target = await cluster.add()
  const file = join(cluster.directory, 'backup')
  const { id, raft, api } = target.addresses
  const taken = await peakOf(t, ['backup', file, '--server', source.addresses.api])
  t.ok((await stat(file)).size > count * MB, 'the values do not compress')
  const verified = await peakOf(t, ['backup', 'verify', file])
  const place = ['--data-dir', target.directory, '--id', String(id), '--members', `${id},${raft},${api}`]
  const restored = await peakOf(t, ['restore', file, ...place])
  t.comment(`backup ${taken} MiB, verify ${verified} MiB, restore ${restored} MiB`)
  t.ok(taken < 200, `backup takes ${taken} MiB`)
  t.ok(verified < 200, `backup verify takes ${verified} MiB`)
  // RocksDB has its buffers of writes.
  t.ok(restored < 400, `restore takes ${restored} MiB`)
})

t.test('a soak of half a minute', async (t) => {
  // Other tests run beside it.
  const options = { ...soakDefaults, minutes: 0.5, valueBytesMax: 1024 * 1024, mayElect: true }
  const { lines, complaints } = await soak(t, options)
  for (const line of lines) t.comment(line)
  t.same(complaints, [])
})

/** Makes tokens and uses them. `told`: what the node may have in its memory; `secrets`: what it may not. */
async function useTokens(client: RestClient) {
  const admin = (await client.post('/auth/bootstrap')).json<{ readonly secret: string }>().secret
  const under = (secret: string) => ({ headers: { authorization: `Bearer ${secret}` } })
  const role = { grants: [{ access: 'read-write', prefix: 'a/' }] }
  await expectStatus(201, client.request('PUT', '/auth/roles/app', { ...under(admin), body: role }))
  const body = { name: 'the-holder-of-it', roles: ['app'] }
  const made = await client.request('POST', '/auth/tokens', { ...under(admin), body })
  const { secret } = made.json<{ readonly secret: string }>()
  for (let count = 0; count < 50; count++) {
    await expectStatus(200, client.putKey('a/x', `value ${count}`, under(secret)))
    await expectStatus(200, client.getKey('a/x', under(secret)))
    await expectStatus(403, client.putKey('b', 'x', under(secret)))
    await expectStatus(401, client.getKey('a/x', under(`${secret}x`)))
  }
  return { told: body.name, secrets: [admin, secret].map((one) => one.slice(8, 24)) }
}

async function expectStatus(status: number, asked: Promise<RestAnswer>): Promise<void> {
  const answer = await asked
  if (answer.status !== status) throw new Error(answer.summary)
}

t.test('nothing in the heap of a node holds the secret of a token once its requests are answered', async (t) => {
  const directory = await temporaryDirectory(t)
  const [node = '', program = ''] = builtProgram
  const command = [node, '--heapsnapshot-signal=SIGUSR2', `--diagnostic-dir=${directory}`, program]
  const cluster = await TestCluster.formed(t, { size: 1, command })
  const one = cluster.node(1)
  const { client } = one
  const { told, secrets } = await useTokens(client)
  client.close()
  // Connections that have ended are let go by what comes after them.
  for (let count = 0; count < 50; count++) t.equal((await client.get('/livez')).status, 200)

  one.process.signal('SIGUSR2')
  const file = await eventually('the heap is written', async () => {
    const [name] = await readdir(directory)
    // It is whole when the node answers again.
    return name !== undefined && (await client.get('/livez')).status === 200 ? join(directory, name) : null
  })
  const heap = await readFile(file)
  t.ok(heap.includes(told), 'the file has the texts of the node')
  for (const secret of secrets) t.notOk(heap.includes(secret), 'and no secret among them')
})

/** Where a process that crashes leaves its memory, in a directory in which it is started; null: nowhere that a test could look. */
async function dumpIn(directory: string): Promise<Buffer | null> {
  const name = (await readdir(directory)).find((one) => one.startsWith('core'))
  return name === undefined ? null : await readFile(join(directory, name))
}

/** In front of a program that is to be started in `directory`, so that it leaves its memory there when it crashes. */
const dumping = (directory: string): readonly string[] => [
  'sh',
  '-c',
  'ulimit -c unlimited && cd "$0" && exec "$@"',
  directory,
]

t.test('what the kernel writes of a node that crashes has no secret, and nothing else of its memory', async (t) => {
  const [directory, elsewhere] = [await temporaryDirectory(t), await temporaryDirectory(t)]
  const [node = '', program = ''] = builtProgram
  const cluster = await TestCluster.formed(t, { size: 1, command: [...dumping(directory), node, program] })
  const one = cluster.node(1)
  const { told, secrets } = await useTokens(one.client)
  const filter = readFileSync(`/proc/${one.process.pid}/coredump_filter`, 'utf8')
  t.equal(Number.parseInt(filter, 16), 0)
  one.process.signal('SIGABRT')
  t.match(await one.process.ended, { signal: 'SIGABRT' })

  const crash = `globalThis.kept = ['${told}', '${secrets.join()}'].join(); process.abort()`
  const [shell, ...words] = [...dumping(elsewhere), node, '-e', crash]
  const ran = spawnSync(shell, words, { env: { PATH: process.env['PATH'] } })
  t.equal(ran.signal, 'SIGABRT', ran.stderr.toString())
  const whole = await dumpIn(elsewhere)
  if (whole === null)
    return missing(t, 'core dumps', 'this machine keeps them elsewhere, or none (kernel.core_pattern)')
  t.ok(whole.includes(told), 'the dump of another program has its memory')
  const dump = await dumpIn(directory)
  if (dump === null) return t.comment('the node has left none')
  for (const text of [told, ...secrets, 'value 49']) t.notOk(dump.includes(text), 'a text of the node')
})
