import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import t, { type Test } from 'tap'
import { missing } from '../support/missing.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { TestCluster } from './support/cluster.ts'
import { editJson, filesBelow, filledBytes, flipByte } from './support/damage.ts'
import { eventually, patienceMs } from './support/eventually.ts'
import { contradictions, holdingsOf } from './support/holdings.ts'
import { Load } from './support/load.ts'
import { ServeProcess, type NodeProcess, type ProcessEnd } from './support/node-process.ts'
import { freePorts } from './support/ports.ts'
import { SmallDisk } from './support/small-disk.ts'

/** Runs `quorate serve` until it ends by itself. */
async function run(t: Test, words: readonly string[]): Promise<ProcessEnd> {
  const process = new ServeProcess(t, words)
  process.mayEnd = true
  return await process.ended
}

/** Starts a node that must refuse. */
async function refusal(t: Test, node: NodeProcess, err: RegExp, name: string): Promise<void> {
  const process = node.launch()
  process.mayEnd = true
  const end = await process.ended
  t.match(end, { code: 2, signal: null }, `${name}: exit code 2`)
  t.match(end.err, err, `${name}: says why`)
  t.equal(end.err.trim().split('\n').length, 1, `${name}: in one line: ${end.err}`)
  t.notMatch(end.err, /\bat .*\.[jt]s:\d+/, `${name}: without a stack`)
}

async function fill(node: NodeProcess, prefix: string, count: number): Promise<void> {
  for (let number = 0; number < count; number++) {
    const answer = await node.client.putKey(`${prefix}${number}`, `value ${number}`)
    if (answer.status !== 200) throw new Error(answer.summary)
  }
}

/** Keys below `prefix` that a node serves with another value than `fill` wrote, or not at all. */
async function wrongOn(node: NodeProcess, prefix: string, count: number): Promise<string[]> {
  const holdings = await holdingsOf(node, prefix)
  const keys = Array.from({ length: count }, (_, number) => number)
  const wrong = keys.filter((number) => holdings.get(`${prefix}${number}`)?.value.toString() !== `value ${number}`)
  return wrong.map((number) => `${prefix}${number}`)
}

t.test('wrong flags: exit 1, all mistakes at once, nothing made', async (t) => {
  const directory = join(await temporaryDirectory(t), 'never')
  const flags = ['--id', '-1', '--data-dir', directory, '--api', 'nowhere', '--raft', '[::1', '--heartbeat', '1s']
  const end = await run(t, [
    ...flags,
    '--purge-every',
    '1',
    '--discover',
    'dns:x',
    '--value-bytes-max',
    '1GiB',
    'stray',
  ])
  t.match(end, { code: 1, signal: null, out: '' })
  const mistakes = [
    '--id -1',
    '--api nowhere',
    '--raft \\[::1',
    '--purge-every 1',
    '--discover',
    '--value-bytes-max 1GiB',
    'stray',
  ]
  for (const mistake of [...mistakes, '--heartbeat 1s --election-timeout 300ms-600ms'])
    t.match(end.err, new RegExp(mistake))
  await t.rejects(readdir(directory), { code: 'ENOENT' }, 'the directory was not made')
})

t.test('ports and directories that are taken: exit 2, and whoever has them is not disturbed', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 1 })
  const node = cluster.node(1)
  t.equal((await node.client.putKey('k', 'v')).status, 200)
  const scratch = await temporaryDirectory(t)
  const [api = 0, raft = 0, taken = 0] = await freePorts(3)
  const free = ['--api', `127.0.0.1:${api}`, '--raft', `127.0.0.1:${raft}`]
  const other = ['--id', '2', '--data-dir', join(scratch, 'other')]

  const stranger = createServer()
  await new Promise<void>((resolve) => stranger.listen(taken, '127.0.0.1', resolve))
  t.teardown(async () => await new Promise((resolve) => stranger.close(resolve)))
  const foreign = join(scratch, 'foreign')
  await mkdir(foreign)
  await writeFile(join(foreign, 'thesis.txt'), 'not ours')
  const file = join(scratch, 'file')
  await writeFile(file, '')
  const apiHost = new URL(node.addresses.api).host
  const cases: [name: string, flags: string[], err: RegExp, code?: number][] = [
    [
      'the API port of a node',
      [...other, '--api', apiHost, '--raft', `127.0.0.1:${raft}`],
      new RegExp(`${apiHost}.*in use`),
    ],
    [
      'a raft port in use',
      [...other, '--api', `127.0.0.1:${api}`, '--raft', `127.0.0.1:${taken}`],
      new RegExp(`127.0.0.1:${taken}.*in use`),
    ],
    [
      'a directory in use',
      ['--id', '1', '--data-dir', node.directory, ...free],
      new RegExp(`in use by process ${node.process.pid}`),
    ],
    [
      'somebody else’s directory',
      ['--id', '1', '--data-dir', foreign, ...free],
      /not a data directory of Quorate.*thesis\.txt/,
    ],
    ['a file', ['--id', '1', '--data-dir', file, ...free], /file/],
    [
      'an address of another machine',
      [...other, '--api', '192.0.2.1:7001', '--raft', `127.0.0.1:${raft}`],
      /192\.0\.2\.1/,
      16,
    ],
  ]
  for (const [name, flags, err, code = 2] of cases) {
    const end = await run(t, flags)
    t.match(end, { code, signal: null }, `${name}: exit code ${code}`)
    t.match(end.err, err, `${name}: ${end.err.trim()}`)
    t.equal(end.err.trim().split('\n').length, 1, `${name}: in one line`)
  }
  t.same(await readdir(foreign), ['thesis.txt'], 'nothing was written where it does not belong')
  t.equal((await node.client.getKey('k')).text, 'v', 'the node goes on')

  t.match(await node.stop(), { code: 0, signal: null, err: '' }, 'SIGTERM: exit 0')
  const renamed = await run(t, ['--id', '2', '--data-dir', node.directory, ...free])
  t.match(renamed, { code: 2 }, 'the directory of another node')
  t.match(renamed.err, /belongs to node 1, and this is node 2/)

  const copy = join(scratch, 'copy')
  await cp(node.directory, copy, { recursive: true })
  await editJson(join(node.directory, 'identity.json'), { format: 2 })
  await refusal(t, node, /format 2/, 'a directory of a newer version')
  await rm(node.directory, { recursive: true })
  await cp(copy, node.directory, { recursive: true })
  const [segment] = await filesBelow(join(node.directory, 'log'), /^\d+\.log$/)
  if (segment === undefined) throw new Error('the log has segments')
  const content = await readFile(segment.path)
  content.writeUInt32LE(2, 8)
  content.writeUInt32LE(crc32(content.subarray(0, 12)), 12)
  await writeFile(segment.path, content)
  await refusal(t, node, /format 2/, 'a log segment of a newer version')
  await rm(node.directory, { recursive: true })
  await cp(copy, node.directory, { recursive: true })
  await rm(join(node.directory, 'log'), { recursive: true })
  await refusal(t, node, /log of node 1 is gone/, 'a directory without its log')
  await rm(join(node.directory, 'state'), { recursive: true })
  await rm(join(node.directory, 'peers.json'), { force: true })
  await refusal(t, node, /log of node 1 is gone/, 'and one that has nothing left but its name, after one life')
  await rm(node.directory, { recursive: true })
  await cp(copy, node.directory, { recursive: true })
  await node.start()
  await cluster.untilReady()
  t.equal((await node.client.getKey('k')).text, 'v', 'as it was, it serves')
})

t.test('a read-only disk: exit 2', async (t) => {
  const directory = join(await temporaryDirectory(t), 'disk')
  const disk = await SmallDisk.mount(t, directory, 4)
  if (typeof disk === 'string') return missing(t, 'mounts', disk)
  await disk.makeReadOnly()
  const [api, raft] = await freePorts(2)
  const end = await run(t, [
    '--id',
    '1',
    '--data-dir',
    join(directory, 'node'),
    '--api',
    `127.0.0.1:${api}`,
    '--raft',
    `127.0.0.1:${raft}`,
  ])
  t.match(end, { code: 2, signal: null })
  t.match(end.err, /EROFS|read-only/i, end.err.trim())
})

t.test('damage on one of three nodes: repaired from its peers or refused, never served', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 3, flags: ['--keep-entries', '0'] })
  const count = 300
  await fill(cluster.node(1), 'k/', count)
  await cluster.untilEqual()

  /** Stops a follower, harms its directory, and gives it back stopped. */
  const harm = async (harmful: (node: NodeProcess) => Promise<void>): Promise<NodeProcess> => {
    const leader = await cluster.leader()
    const [victim] = cluster.others(leader.id)
    if (victim === undefined) throw new Error('three nodes')
    await victim.stop()
    await harmful(victim)
    return victim
  }
  const segmentOf = async (node: NodeProcess): Promise<{ path: string; filled: number }> => {
    const segments = await filesBelow(join(node.directory, 'log'), /^\d+\.log$/)
    const path = segments[0]?.path ?? ''
    return { path, filled: await filledBytes(path) }
  }
  const expectHealed = async (victim: NodeProcess, name: string): Promise<void> => {
    await victim.start()
    await cluster.untilReady([victim])
    t.same(await wrongOn(victim, 'k/', count), [], `${name}: it serves what was written`)
    t.equal(new Set((await cluster.untilEqual()).digests).size, 1, `${name}: equal digests`)
  }

  /** In the first data block of the largest table: those who read it must find out. */
  const harmState = async (node: NodeProcess): Promise<void> => {
    const tables = await filesBelow(join(node.directory, 'state'), /\.sst$/)
    const largest = tables.toSorted((a, b) => b.bytes - a.bytes)[0]
    if (largest === undefined) throw new Error('the state has tables after a graceful stop')
    await flipByte(largest.path, 60)
  }

  await t.test('the state, while the log reaches back to the beginning: rebuilt from the log', async (t) => {
    const victim = await harm(harmState)
    await expectHealed(victim, 'a flipped byte in the state')
    t.match(victim.process.output, /state damaged; setting it aside/, 'and its log says so')
  })

  for (const share of [0.1, 0.5, 0.98]) {
    const victim = await harm(async (node) => {
      const { path, filled } = await segmentOf(node)
      await flipByte(path, Math.floor(filled * share))
    })
    await expectHealed(victim, `a flipped byte at ${share} of the log`)
    // Later ones may hit what an earlier repair has given up already.
    if (share === 0.1) t.match(victim.process.output, /log repaired at start/, 'and its log says so')
  }

  const halved = await harm(async (node) => await flipByte(join(node.directory, 'log', 'hard-state-a'), 40))
  await expectHealed(halved, 'one copy of the vote')
  const unmarked = await harm(async (node) => await flipByte(join(node.directory, 'log', 'watermark'), 40))
  await expectHealed(unmarked, 'the watermark')

  await t.test('both copies of the vote: it might vote twice, so it does not start', async (t) => {
    const victim = await harm(async (node) => {
      for (const copy of ['hard-state-a', 'hard-state-b']) await flipByte(join(node.directory, 'log', copy), 40)
    })
    await refusal(t, victim, /vote of this node .* cannot be read/, 'no vote')
    for (const copy of ['hard-state-a', 'hard-state-b']) await flipByte(join(victim.directory, 'log', copy), 40)
    await victim.start()
    await cluster.untilReady()
  })

  await t.test('the state, when the log is purged: refused; the node is replaced', async (t) => {
    for (const { client } of cluster.nodes) t.equal((await client.post('/cluster/purge')).status, 200)
    const victim = await harm(harmState)
    const process = victim.launch()
    process.mayEnd = true
    await eventually('it ends, or serves', async () =>
      process.hasEnded || (await victim.client.get('/readyz')).status === 200 ? true : null,
    )
    for (let number = 0; number < count && !process.hasEnded; number++) {
      const answer = await victim.client.getKey(`k/${number}`).catch(() => null)
      if (answer?.status === 200) t.equal(answer.text, `value ${number}`, 'what it serves is right')
    }
    const end = await eventually('it ends', async () => (process.hasEnded ? await process.ended : null))
    t.ok(end.code === 2 || end.code === 3, `exit code 2 or 3, not ${end.code}`)
    t.match(end.out, /state .* is damaged/, 'its log says what was found')
    t.match(end.err, /remove this node .* add it again/, `and the last line what to do: ${end.err.trim()}`)
    await refusal(t, victim, /remove this node .* add it again/, 'started again')

    const { client } = await cluster.leader()
    const change = (body: unknown) => client.request('PATCH', '/cluster/membership', { body })
    t.equal((await change({ remove: [victim.id] })).status, 200)
    await rm(victim.directory, { recursive: true })
    await victim.start()
    await eventually('it is added as new', async () => {
      const answer = await client.post('/cluster/learners', victim.addresses)
      if (answer.status !== 200) throw new Error(answer.summary)
      return answer.json<{ caughtUp: boolean }>().caughtUp ? true : null
    })
    t.equal((await change({ add: [victim.id] })).status, 200)
    await cluster.untilReady()
    t.same(await wrongOn(victim, 'k/', count), [])
    t.equal(new Set((await cluster.untilEqual()).digests).size, 1)
  })
})

t.test('a damaged log of a node that is alone', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 1 })
  const node = cluster.node(1)
  const damageLog = async (): Promise<void> => {
    const [segment] = await filesBelow(join(node.directory, 'log'), /^\d+\.log$/)
    const path = segment?.path ?? ''
    await flipByte(path, Math.floor((await filledBytes(path)) / 2))
  }
  const kept = join(await temporaryDirectory(t), 'state')
  await fill(node, 'a/', 50)
  await node.stop()
  await cp(join(node.directory, 'state'), kept, { recursive: true })
  await damageLog()
  await node.start()
  await cluster.untilReady()
  t.same(await wrongOn(node, 'a/', 50), [], 'the state has all that the log has lost: nothing is missing')

  await fill(node, 'b/', 50)
  await node.stop()
  await damageLog()
  await rm(join(node.directory, 'state'), { recursive: true })
  await cp(kept, join(node.directory, 'state'), { recursive: true })
  for (const name of ['an older state has not', 'and that stays so']) {
    await refusal(t, node, /lost acknowledged entries up to \d+/, name)
  }
})

t.test('a full disk: exit 3, nothing acknowledged is lost, and it goes on when there is room', async (t) => {
  const scratch = await temporaryDirectory(t)
  const cluster = await TestCluster.start(t, { size: 2 })
  const disk = await SmallDisk.mount(t, join(scratch, 'disk'), 40)
  if (typeof disk === 'string') return missing(t, 'mounts', disk)
  const small = await cluster.add(join(disk.directory, 'node'))
  await small.start()
  const formed = await small.client.post('/cluster/initialize?wait=committed', { members: cluster.members })
  t.equal(formed.status, 200, formed.summary)
  await cluster.untilReady()

  const load = new Load(t, { clients: 6, prefix: 'full/', valueBytes: 64 * 1024 }, cluster.nodes)
  small.process.mayEnd = true
  const end = await small.process.ended
  t.match(end, { code: 3, signal: null }, 'exit code 3')
  t.match(end.err, /storage fault.*(ENOSPC|[Nn]o space|the disk is full)/, end.err.trim())
  const before = load.acknowledgedAt.length
  await eventually('the others go on', () => (load.acknowledgedAt.length > before + 20 ? true : null))

  const retry = small.launch()
  retry.mayEnd = true
  await disk.resize(400)
  await load.stop()
  await eventually('it has ended or serves', async () =>
    retry.hasEnded || (await small.client.get('/readyz')).status === 200 ? true : null,
  )
  if (retry.hasEnded) await small.start()
  await cluster.untilReady()
  for (const node of cluster.nodes) {
    t.same(contradictions(load, await holdingsOf(node, load.prefix)).slice(0, 10), [], `node ${node.id}`)
  }
  t.equal(new Set((await cluster.untilEqual()).digests).size, 1)
  t.comment(`${load.count('acknowledged')} acknowledged, ${load.count('unknown')} unknown`)
})

t.test('bytes that are no requests, and requests cut short, on both ports of a real node', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 1 })
  const node = cluster.node(1)
  const api = Number(new URL(node.addresses.api).port)
  const raft = Number(node.addresses.raft.split(':')[1])
  /** Sends `bytes`, then closes its side; gives what came back until the node closed. */
  const send = async (port: number, bytes: string | Buffer): Promise<string> =>
    await new Promise((resolve, reject) => {
      let answer = ''
      const socket = connect(port, '127.0.0.1')
      socket.setTimeout(patienceMs, () => socket.destroy(new Error('the node keeps the connection')))
      socket.on('data', (chunk) => (answer += chunk.toString('latin1')))
      socket.on('error', (error: NodeJS.ErrnoException) =>
        error.code === 'ECONNRESET' || error.code === 'EPIPE' ? resolve(answer) : reject(error),
      )
      socket.on('close', () => resolve(answer))
      socket.end(bytes)
    })
  const requests: [name: string, bytes: string | Buffer, status: RegExp][] = [
    ['no HTTP', 'hello\r\n\r\n', /^HTTP\/1\.1 400 /],
    ['noise', Buffer.from(Array.from({ length: 4096 }, (_, at) => (at * 7919) % 256)), /^(HTTP\/1\.1 400 |$)/],
    ['a TLS greeting', Buffer.from('16030100a5010000a10303', 'hex'), /^(HTTP\/1\.1 400 |$)/],
    ['an unknown method', 'BREW /kv/a HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 40[05] /],
    [
      'two lengths',
      'PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd',
      /^HTTP\/1\.1 400 /,
    ],
    [
      'length and chunks',
      'PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      /^HTTP\/1\.1 400 /,
    ],
    [
      'a bad chunk',
      'PUT /kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
      /^(HTTP\/1\.1 400 |$)/,
    ],
    ['half a body', 'PUT /kv/half HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this', /^(HTTP\/1\.1 4|$)/],
    ['huge headers', `GET /kv/a HTTP/1.1\r\nHost: x\r\nX-Large: ${'x'.repeat(80_000)}\r\n\r\n`, /^(HTTP\/1\.1 431 |$)/],
  ]
  for (const [name, bytes, status] of requests) {
    const answer = await send(api, bytes)
    t.match(answer, status, `${name}: ${answer.slice(0, 40)}`)
    t.notMatch(answer, /\bat .*\.[jt]s:\d+/, `${name}: no stack`)
  }
  t.equal((await node.client.getKey('half')).status, 404, 'half a body writes nothing')
  for (const bytes of [
    'GET / HTTP/1.1\r\n\r\n',
    Buffer.alloc(64),
    Buffer.alloc(64, 255),
    Buffer.from('ff'.repeat(70_000), 'hex'),
  ]) {
    await send(raft, bytes)
  }
  t.equal((await node.client.putKey('still', 'alive')).status, 200)
  t.equal(node.process.hasEnded, false)
})
