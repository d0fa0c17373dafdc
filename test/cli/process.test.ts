import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, existsSync, openSync, readFileSync, writeSync } from 'node:fs'
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { DiagnosticsAnswer } from '../../src/api/diagnostics.ts'
import { findRunningNodes } from '../../src/cli/running-nodes.ts'
import { runtimeVariables } from '../../src/runtime-variables.ts'
import { freePorts as takePorts } from '../e2e/support/ports.ts'
import { missing } from '../support/missing.ts'
import { temporaryDirectory, type Owner } from '../support/temporary-directory.ts'

// The built program, as users run it: `npm test` builds first.
const executable = fileURLToPath(new URL('../../dist/quorate.cjs', import.meta.url))
const startMsMax = 30_000
const withoutProc = !existsSync('/proc/self/fd') && 'needs /proc'

interface Started {
  readonly child: ChildProcess
  readonly ended: Promise<{ readonly code: number | null; readonly out: string; readonly err: string }>
  out(): string
  err(): string
}

interface Surroundings {
  /** Descriptors that the process may have. */
  readonly descriptors?: number
  /** Where its standard output goes: to the test, or to this descriptor. */
  readonly stdout?: 'pipe' | number
}

function start(
  owner: Owner,
  words: readonly string[],
  environment: Record<string, string> = {},
  surroundings: Surroundings = {},
): Started {
  return spawned(owner, [process.execPath, executable, ...words], environment, surroundings)
}

function spawned(
  owner: Owner,
  command: readonly string[],
  environment: Record<string, string> = {},
  { descriptors, stdout = 'pipe' }: Surroundings = {},
): Started {
  // `env -i`: a child of tap's gets hooks through its environment, which load ES modules before the program does.
  const variables = Object.entries({ PATH: process.env['PATH'] ?? '', ...environment }).map(
    ([name, text]) => `${name}=${text}`,
  )
  const limited = descriptors === undefined ? '' : `ulimit -n ${descriptors}; `
  const words = ['-c', `${limited}exec "$@"`, 'sh', 'env', '-i', ...variables, ...command]
  const child = spawn('sh', words, { stdio: ['ignore', stdout, 'pipe'] })
  let out = ''
  let err = ''
  child.stdout?.on('data', (chunk) => (out += String(chunk)))
  child.stderr?.on('data', (chunk) => (err += String(chunk)))
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, out, err }))
  owner.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await ended
  })
  return { child, ended, out: () => out, err: () => err }
}

async function until(started: Started, found: (out: string) => boolean): Promise<void> {
  const deadline = performance.now() + startMsMax
  while (!found(started.out())) {
    if (started.child.exitCode !== null) throw new Error(`ended with ${started.child.exitCode}: ${started.err()}`)
    if (performance.now() > deadline) throw new Error(`not seen in time: ${started.out()}${started.err()}`)
    await delay(10)
  }
}

/** For a process that has to end by itself. */
async function end(started: Started): Started['ended'] {
  const giveUp = new AbortController()
  const late = delay(startMsMax, null, { signal: giveUp.signal }).catch(() => null)
  const ended = await Promise.race([started.ended, late])
  giveUp.abort()
  if (ended === null) throw new Error(`still runs: ${started.out()}${started.err()}`)
  return ended
}

const freePorts = ['--api', '127.0.0.1:0', '--raft', '127.0.0.1:0', '--segment-bytes', '1MiB']
const isReady = (out: string): boolean => out.includes('ready to serve')

function readyLine(out: string): { readonly api: string; readonly raft: string } {
  const line = out.split('\n').find(isReady) ?? '{}'
  return JSON.parse(line) as { api: string; raft: string }
}

t.test('serve: says where it serves, answers, and stops with 0 on SIGTERM and SIGINT', async (t) => {
  const directory = await temporaryDirectory(t)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const node = start(t, ['serve', '--data-dir', join(directory, 'one'), ...freePorts], { QUORATE_ID: '7' })
    await until(node, isReady)
    const { api } = readyLine(node.out())
    const version = await fetch(`${api}/version`)
    t.equal(version.status, 200)
    if (signal === 'SIGTERM') {
      const initialized = await fetch(`${api}/cluster/initialize?wait=committed`, { method: 'POST' })
      t.equal(initialized.status, 200)
      t.equal((await fetch(`${api}/kv/kept`, { method: 'PUT', body: 'yes' })).status, 200)
    } else {
      t.equal(await (await fetch(`${api}/kv/kept`)).text(), 'yes', 'the data is there after a restart')
    }
    node.child.kill(signal)
    const { code, err } = await end(node)
    t.equal(code, 0, signal)
    t.equal(err, '')
  }
})

t.test('serve: the thread pool has the size that the launcher sets', { skip: withoutProc }, async (t) => {
  const directory = await temporaryDirectory(t)
  const threads = async (size: Record<string, string>): Promise<number> => {
    const node = start(
      t,
      ['serve', '--id', '1', '--data-dir', join(directory, size['UV_THREADPOOL_SIZE'] ?? 'default'), ...freePorts],
      size,
    )
    await until(node, isReady)
    const { length } = await readdir(`/proc/${node.child.pid}/task`)
    node.child.kill('SIGTERM')
    await end(node)
    return length
  }
  t.equal((await threads({})) - (await threads({ UV_THREADPOOL_SIZE: '4' })), 4)
})

t.test('the executable, the scripts and the documents set the same variables of the runtime', async (t) => {
  const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
  const { UV_THREADPOOL_SIZE: threads, ...malloc } = runtimeVariables
  const source = read('src/quorate.cts')
  const [shebang = ''] = source.split('\n')
  t.same(
    Object.fromEntries([...shebang.matchAll(/(\w+)=(\S*)/g)].map(([, name, value]) => [name, value])),
    malloc,
    'before Node starts',
  )
  t.equal(/env\['UV_THREADPOOL_SIZE'\] \?\?= '(\d+)'/.exec(source)?.[1], threads, 'before any module is loaded')
  for (const [path, names] of [
    ['package.json', ['UV_THREADPOOL_SIZE']],
    ['docs/OPERATIONS.md', Object.keys(runtimeVariables)],
  ] as const) {
    const found = [...read(path).matchAll(/\b(UV_THREADPOOL_SIZE|MALLOC_\w+)=(\d+)/g)].map(([, name, value]) => {
      t.equal(value, { ...runtimeVariables }[name ?? ''], `${path}: ${name}`)
      return name
    })
    t.same([...new Set(found)], names, `${path} names them with their values`)
  }
})

t.test('serve: wrong usage ends with 1, all mistakes listed', async (t) => {
  const { code, err } = await end(start(t, ['serve', '--id', '0', '--heartbeat', '1s', '--discover', 'dns:a']))
  t.equal(code, 1)
  for (const mistake of ['--id 0', '--data-dir', '--discover', '--heartbeat 1s --election-timeout'])
    t.match(err, mistake)
})

t.test('serve: refuses to start with 2, and says why', async (t) => {
  const directory = await temporaryDirectory(t)
  const mine = join(directory, 'mine')
  const node = start(t, ['serve', '--id', '1', '--data-dir', mine, ...freePorts])
  await until(node, isReady)
  const { api, raft } = readyLine(node.out())

  const foreign = join(directory, 'foreign')
  await mkdir(foreign)
  await writeFile(join(foreign, 'thesis.txt'), 'not ours')
  const other = join(directory, 'other')
  const file = join(directory, 'file')
  await writeFile(file, '')
  const cases: [name: string, flags: string[], err: RegExp, code?: number][] = [
    [
      'a file',
      ['--id', '1', '--data-dir', file, ...freePorts],
      /file is not a directory: name another path with --data-dir/,
    ],
    [
      'below a file',
      ['--id', '1', '--data-dir', join(file, 'a'), ...freePorts],
      /a part of the path is not a directory/,
    ],
    [
      'the API address of another machine',
      ['--id', '2', '--data-dir', other, '--api', '192.0.2.1:7001', '--raft', '127.0.0.1:0'],
      /The API address 192\.0\.2\.1:7001 is not an address of this machine: .*--api-advertise/,
      16,
    ],
    [
      'the peer address of another machine',
      ['--id', '2', '--data-dir', other, '--api', '127.0.0.1:0', '--raft', '192.0.2.1:0'],
      /The peer address 192\.0\.2\.1:0 is not an address of this machine: .*--raft-advertise/,
      16,
    ],
    ['a directory in use', ['--id', '1', '--data-dir', mine, ...freePorts], /in use/],
    ['somebody else’s directory', ['--id', '1', '--data-dir', foreign, ...freePorts], /refused to start/],
    [
      'an API port in use',
      ['--id', '2', '--data-dir', other, '--api', new URL(api).host, '--raft', '127.0.0.1:0'],
      /in use/,
    ],
    ['a raft port in use', ['--id', '2', '--data-dir', other, '--api', '127.0.0.1:0', '--raft', raft], /in use/],
  ]
  if (existsSync('/proc/self')) {
    const flags = ['--id', '1', '--data-dir', '/proc/nope/at/all', ...freePorts]
    cases.push(['where no directory can be made', flags, /cannot be created: the file system there does not allow it/])
  }
  for (const [name, flags, err, code = 2] of cases) {
    const ended = await end(start(t, ['serve', ...flags]))
    t.equal(ended.code, code, name)
    t.match(ended.err, err, name)
    t.notMatch(`${ended.out}${ended.err}`, /^ +at |\\n +at |stack/m, `${name}: without a stack trace`)
  }
  node.child.kill('SIGTERM')
  t.equal((await end(node)).code, 0)
  const renamed = await end(start(t, ['serve', '--id', '2', '--data-dir', mine, ...freePorts]))
  t.equal(renamed.code, 2, "another node's directory")
})

t.test(
  'serve: a request that does not end holds a stop up for a bounded time, and not at all at the second signal',
  async (t) => {
    const directory = await temporaryDirectory(t)
    const hang = async (flags: readonly string[]): Promise<Started> => {
      const node = start(t, ['serve', '--id', '1', '--data-dir', join(directory, 'one'), ...freePorts, ...flags])
      await until(node, isReady)
      const { port } = new URL(readyLine(node.out()).api)
      const socket = connect(Number(port), '127.0.0.1')
      socket.on('error', () => undefined)
      t.teardown(async () => void socket.destroy())
      await once(socket, 'connect')
      // The node has begun with the request once it says so.
      socket.write('PUT /kv/a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\nabc')
      await once(socket, 'data')
      node.child.kill('SIGTERM')
      await until(node, (out) => out.includes('"stopping"'))
      return node
    }
    const twice = await hang(['--shutdown-timeout', '10m'])
    twice.child.kill('SIGTERM')
    t.equal((await end(twice)).code, 143)
    t.equal((await end(await hang(['--shutdown-timeout', '500ms']))).code, 0)
  },
)

t.test(
  'leaving: with the code, and by force when a call to the disk hangs in the thread pool',
  { skip: process.platform === 'win32' && 'needs a named pipe' },
  async (t) => {
    const pipe = join(await temporaryDirectory(t), 'pipe')
    t.equal(spawnSync('mkfifo', [pipe]).status, 0)
    const leaving = new URL('../../dist/cli/leaving.js', import.meta.url).href
    const leave = (before: string): Started['ended'] => {
      const program = `const { leaveForSure } = await import('${leaving}'); ${before} leaveForSure(3, 500)`
      const { child, ended } = spawned(t, [process.execPath, '--input-type=module', '-e', program])
      return ended.then((outcome) => ({
        ...outcome,
        code: outcome.code ?? (child.signalCode === 'SIGKILL' ? 137 : -1),
      }))
    }
    t.match(await leave(''), { code: 3, err: '' })
    // Nobody writes into the pipe, so that the thread that opens it waits for ever.
    const hanging = `(await import('node:fs')).open(${JSON.stringify(pipe)}, 'r', () => undefined);`
    t.match(await leave(hanging), { code: 137, err: '' })
  },
)

t.test('serve: a storage fault ends it with 3', async (t) => {
  if (spawnSync('prlimit', ['--version']).status !== 0) return missing(t, 'prlimit', 'it is not installed here')
  const node = start(t, ['serve', '--id', '1', '--data-dir', await temporaryDirectory(t), ...freePorts])
  await until(node, isReady)
  const { api } = readyLine(node.out())
  t.equal((await fetch(`${api}/cluster/initialize?wait=committed`, { method: 'POST' })).status, 200)
  // From here on the file system refuses what lies beyond the first bytes of any file.
  t.equal(spawnSync('prlimit', ['--pid', String(node.child.pid), '--fsize=1024:1024']).status, 0)
  const answer = await fetch(`${api}/kv/a`, { method: 'PUT', body: 'x'.repeat(4096) }).catch(() => null)
  t.not(answer?.status, 200, 'a write that failed is not acknowledged')
  const { code, out, err } = await end(node)
  t.equal(code, 3)
  t.match(err, /stopped by a storage fault: Could not/)
  t.match(JSON.parse(out.trimEnd().split('\n').at(-1) ?? ''), { level: 60, exitCode: 3 })
})

t.test('serve: SIGTERM ends a start wherever it is, with 0, and the next start finds everything well', async (t) => {
  const directory = join(await temporaryDirectory(t), 'one')
  // From the first moment that the program can tell, in steps that meet the loading, the opening and the listening.
  const plant = "process.on('newListener',(name)=>{if(name==='SIGTERM')console.log('begins')})"
  const environment = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(plant)}` }
  let early = 0
  for (let step = 0; step < 8; step++) {
    const node = start(t, ['serve', '--id', '1', '--data-dir', directory, ...freePorts], environment)
    await until(node, (out) => out.includes('begins'))
    await delay(step * step * 20)
    const wasReady = isReady(node.out())
    node.child.kill('SIGTERM')
    const { code, out, err } = await end(node)
    t.equal(code, 0, `${err}${out}`)
    if (!wasReady && out.includes('stopping before the start is complete')) early += 1
  }
  t.ok(early > 0, `${early} starts were ended`)
  const node = start(t, ['serve', '--id', '1', '--data-dir', directory, ...freePorts])
  await until(node, isReady)
  t.notMatch(node.out(), /damaged|repaired|incomplete/)
  node.child.kill('SIGTERM')
  t.equal((await end(node)).code, 0)
})

t.test('serve: a log that nobody can write or read costs lines, never the node', { skip: withoutProc }, async (t) => {
  const directory = await temporaryDirectory(t)
  const fifo = (name: string): { reader: number; writer: number } => {
    const path = join(directory, name)
    if (spawnSync('mkfifo', [path]).status !== 0) throw new Error(`no ${path}`)
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    return { reader, writer: openSync(path, constants.O_WRONLY | constants.O_NONBLOCK) }
  }
  const gone = fifo('gone')
  closeSync(gone.reader)
  const stopped = fifo('stopped')
  t.throws(() => {
    for (;;) writeSync(stopped.writer, 'x'.repeat(1024))
  }, /EAGAIN/)
  const places: [name: string, fd: number, drops: boolean][] = [
    ['a full disk', openSync('/dev/full', 'w'), true],
    ['a reader that has gone', gone.writer, true],
    ['a reader that reads nothing', stopped.writer, false],
  ]
  for (const [name, fd, drops] of places) {
    const { port } = await freePort()
    const api = `127.0.0.1:${port}`
    const words = ['serve', '--id', '1', '--data-dir', join(directory, name), ...freePorts.slice(2), '--api', api]
    const node = start(t, [...words, '--log-format', 'text'], {}, { stdout: fd })
    const ask = async (path: string, method = 'GET'): Promise<Response | null> =>
      await fetch(`http://${api}${path}`, { method }).catch(() => null)
    const deadline = performance.now() + startMsMax
    while ((await ask('/version')) === null && performance.now() < deadline) await delay(20)
    const initialized = await ask('/cluster/initialize?wait=committed', 'POST')
    t.equal(initialized?.status, 200, `${name}: no request fails because of a line`)
    const metrics = (await (await ask('/metrics'))?.text()) ?? ''
    const dropped = Number(/^quorate_log_lines_dropped_total (\d+)$/m.exec(metrics)?.[1])
    t.equal(dropped > 0, drops, `${name}: ${dropped} lines were dropped`)
    const told = JSON.parse((await (await ask('/diagnostics'))?.text()) ?? '{}') as DiagnosticsAnswer
    t.match(
      told.log.lines.find(({ msg }) => msg === 'ready to serve'),
      { level: 30, api: `http://${api}` },
      `${name}: they can be asked for all the same`,
    )
    t.match(
      told.settings.find((setting) => setting.name === 'log-format'),
      { value: 'text', source: 'flag' },
    )
    node.child.kill('SIGTERM')
    t.equal((await end(node)).code, 0, name)
    closeSync(fd)
  }
  closeSync(stopped.reader)
})

const oftenPurged = ['--purge-every-bytes', '4MiB', '--keep-bytes', '0', '--keep-entries', '0']

/** 300 connections on which nothing is sent. */
function idleClients(t: Owner, api: string): void {
  const idle = Array.from({ length: 300 }, () => connect(Number(new URL(api).port), '127.0.0.1'))
  t.teardown(async () => idle.forEach((socket) => socket.destroy()))
  for (const socket of idle) socket.on('error', () => undefined)
}

/** So many writes that were answered with 200: enough for segments to be made and freed and for the state to be written out. */
async function writesThrough(api: string, count: number): Promise<number> {
  const deadline = performance.now() + startMsMax
  const request = { method: 'PUT', body: 'x'.repeat(256 * 1024), headers: { connection: 'close' } }
  let written = 0
  while (written < count && performance.now() < deadline) {
    const answer = await fetch(`${api}/kv/a`, request).catch(() => null)
    written += answer?.status === 200 ? 1 : 0
  }
  return written
}

t.test('serve: idle clients never take the descriptors that the node needs', { skip: withoutProc }, async (t) => {
  const flags = ['serve', '--id', '1', '--data-dir', await temporaryDirectory(t), ...freePorts, ...oftenPurged]
  const node = start(t, flags, {}, { descriptors: 160 })
  await until(node, isReady)
  t.match(node.out(), /only 160 files and connections open at once, so it serves at most/)
  const { api } = readyLine(node.out())
  t.equal((await fetch(`${api}/cluster/initialize?wait=committed`, { method: 'POST' })).status, 200)
  idleClients(t, api)
  t.equal(await writesThrough(api, 60), 60)
  const open = await readdir(`/proc/${node.child.pid}/fd`)
  t.ok(open.length < 160, `${open.length} are open`)
  node.child.kill('SIGTERM')
  t.equal((await end(node)).code, 0)
  const refused = await end(start(t, flags, {}, { descriptors: 100 }))
  t.equal(refused.code, 2)
  t.match(refused.err, /only 100 files and connections open at once, and this node needs at least/)
})

t.test('serve: nor those that a follower needs, through which writes go on', { skip: withoutProc }, async (t) => {
  const directory = await temporaryDirectory(t)
  const nodes = [1, 2, 3].map((id) => {
    const flags = ['serve', '--id', `${id}`, '--data-dir', join(directory, `${id}`), ...freePorts, ...oftenPurged]
    return start(t, flags, {}, id === 3 ? { descriptors: 160 } : {})
  })
  for (const node of nodes) await until(node, isReady)
  const members = nodes.map((node, at) => {
    const { raft, api } = readyLine(node.out())
    return { id: at + 1, raft, api }
  })
  const [api = '', , follower = ''] = members.map((member) => member.api)
  const post = async (path: string, body: object): Promise<number> => {
    const headers = { 'content-type': 'application/json' }
    return (await fetch(`${api}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).status
  }
  t.equal(await post('/cluster/initialize?wait=committed', { members }), 200)
  t.equal(await post('/cluster/leader', { id: 1 }), 200)
  idleClients(t, follower)
  t.equal(await writesThrough(follower, 60), 60)
  const { leader } = (await (await fetch(`${api}/cluster/leader`)).json()) as { leader: number }
  t.equal(leader, 1, 'all of them went through a follower')
  const limited = nodes[2]?.child
  const open = await readdir(`/proc/${limited?.pid}/fd`)
  t.ok(open.length < 160, `${open.length} are open`)
  const sizes = await Promise.all(
    members.map(async ({ api: one }) => (await (await fetch(`${one}/kv/a?consistency=stale`)).text()).length),
  )
  t.same(sizes, [256 * 1024, 256 * 1024, 256 * 1024])
  for (const { child } of nodes) child.kill('SIGTERM')
  for (const node of nodes) t.equal((await end(node)).code, 0)
})

t.test('serve: an unexpected error ends it with 4', async (t) => {
  const plant = "process.on('SIGUSR2',()=>{Promise.reject(new Error('planted'))})"
  const node = start(t, ['serve', '--id', '1', '--data-dir', await temporaryDirectory(t), ...freePorts], {
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(plant)}`,
  })
  await until(node, isReady)
  node.child.kill('SIGUSR2')
  const { code, err } = await end(node)
  t.equal(code, 4)
  t.match(err, /stopped by an unexpected error: planted/)
})

t.test('dev: a directory that cannot be made is wrong usage', { skip: withoutProc }, async (t) => {
  const { code, err } = await end(start(t, ['dev', '--data-dir', '/proc/nope']))
  t.equal(code, 1)
  t.match(err, /--data-dir \/proc\/nope cannot be created or used/)
})

t.test('dev: three nodes, formed and ready; nothing is left when it stops', async (t) => {
  const cluster = start(t, ['dev', '--json'])
  await until(cluster, (out) => out.includes('\n'))
  const { directory, nodes } = JSON.parse(cluster.out()) as DevDocument
  t.equal(nodes.length, 3)
  t.equal((await fetch(`${nodes[0]?.api}/kv/hello`, { method: 'PUT', body: 'world' })).status, 200)
  t.equal(await (await fetch(`${nodes[2]?.api}/kv/hello`)).text(), 'world')
  cluster.child.kill('SIGINT')
  t.equal((await end(cluster)).code, 0)
  await t.rejects(readdir(directory), { code: 'ENOENT' }, 'the temporary directory is gone')
  for (const { pid } of nodes) t.throws(() => process.kill(pid, 0), { code: 'ESRCH' }, `node ${pid} is gone`)
})

interface DevDocument {
  readonly directory: string
  readonly nodes: readonly { readonly id: number; readonly api: string; readonly pid: number }[]
}

t.test('dev: --data-dir keeps the data and the ports; a node that dies ends all', async (t) => {
  const directory = join(await temporaryDirectory(t), 'kept')
  const first = start(t, ['dev', '--json', '--data-dir', directory])
  await until(first, (out) => out.includes('\n'))
  const before = JSON.parse(first.out()) as DevDocument
  t.equal((await fetch(`${before.nodes[1]?.api}/kv/kept`, { method: 'PUT', body: 'yes' })).status, 200)
  first.child.kill('SIGTERM')
  t.equal((await end(first)).code, 0)

  const second = start(t, ['dev', '--data-dir', directory])
  await until(second, (out) => out.includes('Ctrl-C stops all of them'))
  for (const { api } of before.nodes) t.match(second.out(), api)
  t.equal(await (await fetch(`${before.nodes[0]?.api}/kv/kept`)).text(), 'yes')
  t.match(second.err(), /^Starting 3 nodes\.\.\.\n$/, 'says what it does; nothing has to be formed any more')
  const pid = Number(/^2 +http\S+ +\S+ +(\d+)/m.exec(second.out())?.[1])
  process.kill(pid, 'SIGKILL')
  const { code, err } = await end(second)
  t.equal(code, 2)
  t.match(err, /node 2 ended by SIGKILL; stopping the others/)
  await t.resolves(readdir(directory))
})

t.test(
  'dev: --nodes and --port choose; a port that is taken, and a directory of another plan, are refused',
  async (t) => {
    const directory = join(await temporaryDirectory(t), 'alone')
    const holder = createServer().listen(0, '127.0.0.1')
    await once(holder, 'listening')
    t.teardown(() => void holder.close())
    const { port: taken } = holder.address() as AddressInfo
    const refused = await end(start(t, ['dev', '--nodes', '1', '--port', String(Math.min(taken, 65_000))]))
    if (taken <= 65_000) {
      t.equal(refused.code, 1)
      t.match(refused.err, `one of the ports ${taken}, ${taken + 100} is in use: choose another --port`)
    }
    const { port } = await freePort()
    const alone = start(t, ['dev', '--nodes', '1', '--port', String(port), '--data-dir', directory])
    await until(alone, (out) => out.includes('Ctrl-C stops it'))
    t.match(alone.err(), /^Starting 1 node\.\.\.\nForming the cluster\.\.\.\n$/)
    t.match(alone.out(), `export QUORATE_SERVER=http://127.0.0.1:${port}`)
    t.equal((await fetch(`http://127.0.0.1:${port}/readyz`)).status, 200)
    const twice = await end(start(t, ['dev', '--data-dir', directory]))
    t.equal(twice.code, 1)
    t.match(
      twice.err,
      `one of the ports ${port}, ${port + 100} of the cluster in ${directory} is in use: it may be running`,
    )
    alone.child.kill('SIGTERM')
    t.equal((await end(alone)).code, 0)
    const foreign = await end(start(t, ['dev', '--data-dir', join(directory, 'node-1')]))
    t.equal(foreign.code, 1)
    t.match(foreign.err, `node-1 is not of \`quorate dev\`, and not empty (`)
    const other = await end(start(t, ['dev', '--nodes', '3', '--data-dir', directory]))
    t.equal(other.code, 1)
    t.match(other.err, `holds a cluster of 1 node from port ${port} on: omit --nodes and --port`)
  },
)

/** Free together with the port a hundred further on, a moment ago. */
async function freePort(): Promise<{ readonly port: number }> {
  for (;;) {
    const servers = [createServer(), createServer()]
    const [first, second] = servers
    if (first === undefined || second === undefined) throw new Error('no servers')
    await new Promise<void>((listening) => first.listen(0, '127.0.0.1', listening))
    const { port } = first.address() as AddressInfo
    const isFree = await new Promise<boolean>((known) => {
      if (port > 65_000) known(false)
      second.once('error', () => known(false)).listen(port + 100, '127.0.0.1', () => known(true))
    })
    for (const server of servers) server.close()
    if (isFree) return { port }
  }
}

t.test('a command that has done its work says so when its output cannot be written', async (t) => {
  const node = start(t, ['serve', '--id', '1', '--data-dir', await temporaryDirectory(t), ...freePorts])
  await until(node, isReady)
  const { api } = readyLine(node.out())
  t.equal((await fetch(`${api}/cluster/initialize?wait=committed`, { method: 'POST' })).status, 200)
  const shell = async (line: string): Promise<{ code: number | null; err: string }> => {
    const child = spawn('sh', ['-c', line, 'sh', process.execPath, executable], {
      env: { PATH: process.env['PATH'] ?? '', QUORATE_SERVER: api },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let err = ''
    child.stderr.on('data', (chunk) => (err += String(chunk)))
    const [code] = (await once(child, 'close')) as [number | null]
    return { code, err }
  }
  const full = await shell('"$1" "$2" kv put a b > /dev/full')
  t.equal(full.code, 11)
  t.match(full.err, /^quorate: the output could not be written \(.*ENOSPC.*\), but the command was carried out\n$/)
  t.equal(await (await fetch(`${api}/kv/a`)).text(), 'b')
  const left = await shell('{ "$1" "$2" kv ls; echo "ended with $?" >&2; } | true')
  t.strictSame(left, { code: 0, err: 'ended with 0\n' }, 'a reader that has seen enough')
  const preload = `data:text/javascript,${encodeURIComponent('URL.canParse = () => { throw new Error("a fault") }')}`
  const faulty = await shell(`NODE_OPTIONS='--import ${preload}' "$1" "$2" kv get a`)
  t.equal(faulty.code, 4, 'what nobody expects is no mistake of the user')
  t.match(faulty.err, /^quorate: an unexpected error, which is a fault of quorate: report it\nError: a fault\n {4}at /)
  const nothing = await shell('"$1" "$2" kv put a')
  t.equal(nothing.code, 1, 'the standard input is /dev/null')
  t.match(nothing.err, /there is no value/)
  const closed = await shell('"$1" "$2" kv put a <&-')
  t.equal(closed.code, 1)
  const ill = await shell(String.raw`"$1" "$2" kv put a "$(printf 'x\377')"`)
  t.equal(ill.code, 1)
  t.match(ill.err, /argument 4 holds bytes that are not UTF-8/)
  t.equal((await shell(String.raw`"$1" "$2" kv put typed "$(printf '\357\277\275')"`)).code, 0, 'U+FFFD itself')
  const piped = await shell('printf c | "$1" "$2" kv put a')
  t.equal(piped.code, 0, piped.err)
  t.equal(await (await fetch(`${api}/kv/a`)).text(), 'c')
})

t.test('a command that is refused waits for no more of its input, and takes no more than can be sent', async (t) => {
  const directory = await temporaryDirectory(t)
  const node = start(t, ['serve', '--id', '1', '--data-dir', join(directory, 'node'), ...freePorts])
  await until(node, isReady)
  const { api } = readyLine(node.out())
  t.equal((await fetch(`${api}/cluster/initialize?wait=committed`, { method: 'POST' })).status, 200)
  const pipe = join(directory, 'pipe')
  t.equal(spawnSync('mkfifo', [pipe]).status, 0)
  const shell = async (line: string): Started['ended'] =>
    await end(spawned(t, ['sh', '-c', line, 'sh', process.execPath, executable, pipe], { QUORATE_SERVER: api }))
  // The shell writes one line, and has the pipe open as long as it runs.
  const begun = `exec 3<>"$3"; echo '{"no":1}' >&3;`
  for (const command of ['"$1" "$2" kv import - <"$3"', '"$1" "$2" kv import "$3"']) {
    const { code, err } = await shell(`${begun} ${command}`)
    t.equal(code, 5, command)
    t.match(err, /line\/1\/no: is unknown/)
  }
  const endless = 'head -c 1000000000 /dev/zero'
  for (const command of ['kv put a -', 'kv put a --file /dev/zero', 'kv txn -', 'kv txn /dev/zero']) {
    const { code, err } = await shell(`${endless} | "$1" "$2" ${command}`)
    t.equal(code, 1, command)
    t.match(err, /^quorate: (the standard input|\/dev\/zero) has more than \d+ bytes, the most that can be sent\n/)
  }
})

t.test('dev: nodes do not outlive a parent that is killed', async (t) => {
  const cluster = start(t, ['dev', '--json', '--data-dir', await temporaryDirectory(t)])
  await until(cluster, (out) => out.includes('\n'))
  const { nodes } = JSON.parse(cluster.out()) as DevDocument
  const alive = (pid: number): boolean => {
    try {
      return process.kill(pid, 0)
    } catch {
      return false
    }
  }
  t.teardown(() => {
    for (const { pid } of nodes) if (alive(pid)) process.kill(pid, 'SIGKILL')
  })
  cluster.child.kill('SIGKILL')
  const deadline = performance.now() + startMsMax
  while (nodes.some(({ pid }) => alive(pid)) && performance.now() < deadline) await delay(20)
  for (const { pid } of nodes) t.notOk(alive(pid), `node ${pid} is gone`)
})

t.test(
  'check health: finds the node that runs here, however it was told where to listen',
  { skip: withoutProc },
  async (t) => {
    const directory = await temporaryDirectory(t)
    const [port = 0, other = 0] = await takePorts(2)
    // Other nodes may run on this machine.
    const id = String(1_000_000_000 + port)
    const ask = async (...words: string[]): Promise<{ code: number | null; out: string; err: string }> =>
      await end(start(t, ['check', 'health', '--timeout', '10s', ...words], { QUORATE_SERVER: 'nowhere:1' }))
    const check = async (...words: string[]) => await ask('--id', id, ...words)
    const listening = `127.0.0.1:${port}`
    const flags = ['--data-dir', join(directory, 'one'), '--raft', '127.0.0.1:0', '--segment-bytes', '1MiB']

    t.same(await check(), { code: 9, out: '', err: `quorate: no node ${id} is running on this machine\n` })
    t.same(await check('--json'), { code: 9, out: '{"checks":[]}\n', err: '' })
    const node = start(t, ['serve', '--id', id, '--api', listening, ...flags], { QUORATE_API: `127.0.0.1:${other}` })
    await until(node, isReady)
    t.same(await check(), { code: 0, out: `http://${listening}: ok\n`, err: '' }, 'a flag counts before its variable')
    const unready = await check('--ready', '--json')
    t.equal(unready.code, 5)
    t.match(JSON.parse(unready.out), {
      checks: [{ server: `http://${listening}`, code: 5, detail: /^Not ready: failed: member/ }],
    })
    node.child.kill('SIGSTOP')
    const hung = await check('--timeout', '300ms')
    node.child.kill('SIGCONT')
    t.equal(hung.code, 9, 'a node that hangs')
    t.match(hung.out, /no answer within/)
    node.child.kill('SIGTERM')
    t.equal((await end(node)).code, 0)

    const variables = { QUORATE_ID: id, QUORATE_API: listening }
    const second = start(t, ['serve', ...flags], variables)
    await until(second, isReady)
    t.same(await check(), { code: 0, out: `http://${listening}: ok\n`, err: '' }, 'told by variables')
    second.child.kill('SIGTERM')
    await end(second)

    const third = start(t, ['serve', '--id', id, '--api', '127.0.0.1:0', ...flags])
    await until(third, isReady)
    t.equal((await check('--server', listening)).code, 1, 'one or the other')
    const unknown = await check()
    t.equal(unknown.code, 1)
    t.match(unknown.err, /listens on a port that the system chose: give its address with --server/)
    const named = await ask('--server', readyLine(third.out()).api)
    t.equal(named.code, 0, 'by its address')
    const two = await ask('--server', `${readyLine(third.out()).api},${listening}`)
    t.equal(two.code, 9, 'all that are named have to be alive')
    t.match(two.out, /: ok\n.*no server answers there/)
  },
)

t.test('nodes are told from other processes, and those of other networks are left out', async (t) => {
  const proc = await temporaryDirectory(t)
  const add = async (
    pid: string,
    network: string,
    line: readonly string[],
    variables: readonly string[] = [],
  ): Promise<void> => {
    await mkdir(join(proc, pid, 'ns'), { recursive: true })
    await symlink(`net:[${network}]`, join(proc, pid, 'ns', 'net'))
    await writeFile(join(proc, pid, 'cmdline'), line.map((word) => `${word}\0`).join(''))
    await writeFile(join(proc, pid, 'environ'), variables.map((word) => `${word}\0`).join(''))
  }
  const serve = ['serve', '--id', '3', '--data-dir', 'd']
  t.equal(await findRunningNodes(proc), null, 'a system without such files')
  await add('self', '1', [])
  t.same(await findRunningNodes(proc), [])
  await add('1', '1', ['tini', '--', 'quorate', ...serve])
  await add('20', '1', ['/usr/bin/node', '/usr/local/bin/quorate', ...serve, '--api', '[::]:8001'], ['QUORATE_API=a:1'])
  await add(
    '3',
    '1',
    ['node', '--enable-source-maps', 'dist/main.js', 'serve'],
    ['QUORATE_ID=4', 'QUORATE_DATA_DIR=a=b', 'TEXT='],
  )
  await add('5', '2', ['node', '/usr/local/bin/quorate', ...serve])
  await add('6', '1', ['node', '/usr/local/bin/quorate', 'kv', 'put', 'serve', 'x'])
  await add('7', '1', ['node', '/usr/local/bin/quorate', 'serve', '--id', 'wrong'])
  await add('8', '1', ['node', '/usr/bin/serve', 'directory'])
  await writeFile(join(proc, 'node.yaml'), 'id: 9\ndata-dir: d\napi: 127.0.0.1:9001\n')
  await add('30', '1', ['node', '/usr/local/bin/quorate', 'serve', '--config', 'node.yaml'])
  await symlink(proc, join(proc, '30', 'cwd'))
  await mkdir(join(proc, '9'))
  const found = (await findRunningNodes(proc)) ?? []
  t.same(
    found.map(({ config, ...node }) => ({ ...node, directory: config.dataDirectory })),
    [
      { id: 4, pid: 3, api: { host: '127.0.0.1', port: 7001 }, scheme: 'http', directory: 'a=b' },
      { id: 3, pid: 20, api: { host: '::', port: 8001 }, scheme: 'http', directory: 'd' },
      { id: 9, pid: 30, api: { host: '127.0.0.1', port: 9001 }, scheme: 'http', directory: 'd' },
    ],
  )
})

t.test('stack traces name the lines of the sources', async (t) => {
  const built = new URL('../../dist/', import.meta.url).href
  const source = readFileSync(fileURLToPath(new URL('../../src/lib/assert.ts', import.meta.url)), 'utf8').split('\n')
  const program = `
    import '${built}source-positions.js'
    import { assert } from '${built}lib/assert.js'
    try { assert(false, 'it is so') } catch (error) { console.log(error.stack) }
    console.log(Object.assign(new Error('x'), { toString: null }).stack)
    console.log(new Error('no map').stack)
    try { new Function('throw new Error("made of a text")')() } catch (error) { console.log(error.stack) }`
  const { ended } = spawned(t, [process.execPath, '--input-type=module', '--eval', program])
  const { out, err, code } = await ended
  t.equal(code, 0, err)
  const [first = '', second = ''] = out.split('\n')
  t.match(first, /it is so$/)
  const place = /^ {4}at assert \((.*)\/src\/lib\/assert\.ts:(\d+):(\d+)\)$/.exec(second)
  t.equal(source[Number(place?.[2]) - 1]?.trim(), 'if (!condition) throw new InvariantError(invariant)', second)
  t.match(out, /no map\n {4}at .*\[eval1\]:/, 'what has no map is shown as it is')
  t.match(out, /made of a text\n {4}at eval \(eval at /)
})
