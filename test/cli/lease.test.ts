import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { constants } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { LockStatus } from '../../src/api/leases.ts'
import { limits } from '../../src/limits.ts'
import { runtimeVariables } from '../../src/runtime-variables.ts'
import { runCli, type CliWorld, type Ran } from '../support/run-cli.ts'
import { byBytes, strangeKeys } from '../support/strange.ts'
import { temporaryDirectory, type Owner } from '../support/temporary-directory.ts'
import { startTestNode } from '../support/test-node.ts'
import { listenUntilEnd } from '../support/loopback-server.ts'

const program = fileURLToPath(new URL('../../dist/quorate.cjs', import.meta.url))

/** A cluster of one node; `run` carries out one command line on it. */
async function open(owner: Owner) {
  const directory = await temporaryDirectory(owner)
  const { addresses } = await startTestNode(owner, 1, join(directory, 'data'))
  const server = ['--server', addresses.api]
  const run = async (words: readonly string[], world: CliWorld = {}): Promise<Ran> => await runCli(words, world)
  const initialized = await run(['cluster', 'initialize', ...server])
  if (initialized.code !== 0) throw new Error(initialized.err)
  const lockStatus = async (name: string): Promise<LockStatus> =>
    (await (await fetch(`${addresses.api}/locks?name=${encodeURIComponent(name)}`)).json()) as LockStatus
  return { directory, server, run, lockStatus, api: addresses.api }
}

async function until<T>(what: string, ask: () => Promise<T | null>): Promise<T> {
  const deadline = performance.now() + 60_000
  for (;;) {
    const found = await ask().catch(() => null)
    if (found !== null) return found
    if (performance.now() > deadline) throw new Error(`${what}: not in time`)
    await delay(20)
  }
}

t.test('leases are granted, shown, kept alive and ended', async (t) => {
  const { run, server, api } = await open(t)
  const granted = await run(['lease', 'grant', '30s', ...server])
  t.equal(granted.code, 0, granted.err)
  const id = granted.out.trim()
  t.match(id, /^[0-9]{16}$/)
  const named = await run(['lease', 'grant', '60', '--id', '7', '--json', ...server])
  t.same(JSON.parse(named.out), { id: 7, ttlMs: 60_000 })
  const taken = await run(['lease', 'grant', '60', '--id', '7', ...server])
  t.equal(taken.code, 5)
  t.match(taken.err, /Lease exists.*\(lease-exists\)/)
  await fetch(`${api}/kv/a?lease=${id}`, { method: 'PUT', body: 'x' })
  const shown = await run(['lease', 'get', id, ...server])
  t.match(shown.out, /^lease [0-9]{16} has [0-9.]+ s left of 30 s\nfor keys\na\n$/)
  t.match(JSON.parse((await run(['lease', 'get', id, '--json', ...server])).out), { keys: ['a'], ttlMs: 30_000 })
  await run(['lease', 'grant', '5m', '--id', '8', ...server])
  t.equal((await run(['kv', 'put', 'b', 'x', '--lease', '8', ...server])).code, 0)
  t.match(JSON.parse((await run(['lease', 'get', '8', '--json', ...server])).out), { keys: ['b'] })
  t.equal((await run(['kv', 'put', 'c', 'x', '--lease', '9', ...server])).code, 6, 'there is no such lease')
  t.equal((await run(['kv', 'put', 'b', 'x', '--ttl', '10m', ...server])).code, 0)
  t.match((await run(['lease', 'list', ...server])).out, / 600 s +of one key\n/)
  t.equal((await run(['kv', 'del', 'b', ...server])).code, 0)
  const listed = await run(['lease', 'list', ...server])
  t.match(listed.out, /^LEASE +LENGTH +USE\n7 +60 s +for keys\n8 +300 s +for keys\n[0-9]{16} +30 s +for keys\n$/)
  t.equal((await run(['lease', 'list', '--json', ...server])).out.split('\n').length, 4)
  t.equal((await run(['lease', 'keepalive', '7', '--once', ...server])).out, 'lease 7 lasts for 60 s\n')
  const interrupt = async (printed: () => string): Promise<void> => {
    await until('a renewal', async () => (printed().length > 0 ? true : null))
  }
  const kept = await run(['lease', 'keepalive', '7', '--json', ...server], { interrupt })
  t.same(JSON.parse(kept.out), { id: 7, remainingMs: 60_000 })
  t.equal((await run(['lease', 'revoke', id, ...server])).out, `lease ${id} has ended\n`)
  for (const command of ['get', 'keepalive', 'revoke']) {
    const gone = await run(['lease', command, id, ...server], {
      interrupt: async () => await new Promise(() => undefined),
    })
    t.equal(gone.code, 6)
    t.match(gone.err, /\(lease-not-found\)/)
  }
  for (const [words, message] of [
    [['lease', 'grant', '500ms'], /the length 500ms .*from 1s to 720h/],
    [['lease', 'grant', '721h'], /the length 721h/],
    [['lease', 'get', 'x'], /the lease x: expected a whole number/],
    [['lease', 'get', '9999999999999999'], /expected the id of a lease/],
    [['lock', '--wait', '61s', 'l', 'true'], /--wait 61s .*up to 1m/],
    [['lock', '--ttl', '0', 'l', 'true'], /--ttl 0 /],
    [['lock', 'l', '--ttl', '500ms', '--', 'true'], /--ttl 500ms /],
    [['lock', 'l', '--frob', '--', 'true'], /unknown option '--frob'/],
    [['lock', 'l', '--ttl', '5s', '--'], /there is no command/],
    [['lock', 'l', '--'], /there is no command/],
    [['lock', 'l', '--server', 'nowhere.invalid:1', '--', ''], /the command is ''/],
    [['lock', 'l'], /missing required argument 'command'/],
  ] as const) {
    const wrong = await run(words)
    t.equal(wrong.code, 1, words.join(' '))
    t.match(wrong.err, message)
  }
})

t.test('a command runs while it holds a lock, with the token, and the lock is free after it', async (t) => {
  const { directory, run, server, lockStatus } = await open(t)
  const file = join(directory, 'seen')
  const script = `echo $QUORATE_LOCK_TOKEN $QUORATE_LOCK_NAME $QUORATE_LOCK_LEASE > ${file}; exit 3`
  const ran = await run(['lock', ...server, '--owner', 'me', 'l', '--', 'sh', '-c', script])
  t.equal(ran.code, 3, ran.err)
  const [token, name, lease] = (await readFile(file, 'utf8')).trim().split(' ')
  t.ok(Number(token) > 0)
  t.equal(name, 'l')
  t.ok(Number(lease) > Number(token))
  t.same(await lockStatus('l'), { name: 'l', holder: null, waiting: 0 })
  const missing = await run(['lock', ...server, 'l', '--', '/nowhere/to/be/found'])
  t.equal(missing.code, 127)
  t.match(missing.err, /did not start/)
  t.same((await lockStatus('l')).holder, null)
  // Of some of these the system tells at once, of others later.
  for (const command of [`${file}/below`, 'x'.repeat(5000), directory, '/dev/null']) {
    const unusable = await run(['lock', ...server, 'l', '--', command])
    t.equal(unusable.code, 127, command.slice(0, 20))
    t.match(unusable.err, /^quorate: .* did not start: .*\n$/)
    t.same((await lockStatus('l')).holder, null)
  }
  const many = await run([
    'lock',
    ...server,
    'l',
    '--',
    'true',
    ...Array.from({ length: 100 }, () => 'x'.repeat(100_000)),
  ])
  t.equal(many.code, 127)
  t.match(many.err, /true did not start: .*E2BIG/)
  t.same((await lockStatus('l')).holder, null)
  t.equal((await run(['lock', ...server, 'l', 'true', '--wait', 'is of the command'])).code, 0)
  const behind = await run(['lock', 'l', ...server, '--owner', 'me', '--', 'sh', '-c', 'exit 4', '--ttl', '0'])
  t.equal(behind.code, 4, behind.err)
  t.match((await run(['lock', 'l', '--help'])).out, /run a command while it holds a lock/)
})

t.test('a lock has any name, and its lease holds keys of any kind', async (t) => {
  const { directory, run, server, lockStatus } = await open(t)
  const file = join(directory, 'name')
  // The system passes no NUL on, neither in arguments nor in the environment.
  const names = strangeKeys.filter((name) => !name.includes('\0'))
  for (const name of names) {
    const ran = await run(['lock', ...server, '--', name, 'sh', '-c', `printf %s "$QUORATE_LOCK_NAME" > ${file}`])
    t.equal(ran.code, 0, name.slice(0, 20) + ran.err)
    t.equal(await readFile(file, 'utf8'), name)
    t.match(await lockStatus(name), { name, holder: null })
  }
  await run(['lease', 'grant', '60s', '--id', '7', ...server])
  for (const key of strangeKeys)
    t.equal((await run(['kv', 'put', '--lease', '7', ...server, '--', key, 'x'])).code, 0, key.slice(0, 20))
  const shown = await run(['lease', 'get', '7', '--json', ...server])
  t.strictSame((JSON.parse(shown.out) as { readonly keys: unknown }).keys, byBytes(strangeKeys))
  t.equal((await run(['lease', 'get', '7', ...server])).out.split('\n').length, strangeKeys.length + 3)
  t.equal((await run(['lease', 'revoke', '7', ...server])).out, 'lease 7 has ended\n')
  t.equal((await run(['kv', 'ls', '--keys-only', ...server])).out, '', 'none of them is left')
})

t.test('a lock that somebody else holds is waited for, or the command does not run', async (t) => {
  const { directory, run, server, lockStatus } = await open(t)
  const gate = join(directory, 'gate')
  const first = run(['lock', ...server, 'l', '--', 'sh', '-c', `while [ ! -e ${gate} ]; do sleep 0.05; done`])
  await until('the first holds it', async () => (await lockStatus('l')).holder)
  const file = join(directory, 'ran')
  const refused = await run(['lock', ...server, 'l', '--', 'touch', file])
  t.equal(refused.code, 7)
  t.match(refused.err, /Lock is held.*\(lock-held\)/)
  await t.rejects(readFile(file), 'the command did not run')
  const second = run(['lock', ...server, '--wait', '60s', 'l', '--', 'touch', file])
  await until('the second waits', async () => ((await lockStatus('l')).waiting === 1 ? true : null))
  const listed = await run(['locks', ...server])
  t.match(listed.out, /^LOCK +STATE +LEASE +TOKEN +OWNER\nl +held, 1 waiting +[0-9]{16} +[0-9]+ +\S+:[0-9]+\n$/)
  const queue = await run(['locks', ...server, '--waiters', 'l'])
  t.match(queue.out, /\nl +held, 1 waiting .*\n +waits, 1\. +[0-9]{16} +\S+:[0-9]+\n$/)
  t.match(JSON.parse((await run(['locks', ...server, '--waiters', '--json'])).out), { name: 'l', waiters: [{}] })
  t.same((await run(['locks', ...server, 'nothing'])).out, '')
  t.equal((await run(['locks', ...server, '--limit', '0'])).code, 1)
  await run(['lock', ...server, 'other', '--', 'touch', gate])
  t.equal((await first).code, 0)
  t.equal((await second).code, 0)
  t.ok(await readFile(file))
})

t.test('a command whose lock is lost is told to end', async (t) => {
  const { run, server, lockStatus } = await open(t)
  const running = run(['lock', ...server, '--ttl', '2s', 'l', '--', 'sleep', '600'])
  const { lease } = await until('it is held', async () => (await lockStatus('l')).holder)
  // Longer than its length: it is kept alive.
  await delay(3_000)
  t.equal((await lockStatus('l')).holder?.lease, lease)
  t.equal((await run(['lease', 'revoke', String(lease), ...server])).code, 0)
  const ended = await running
  t.equal(ended.code, 143, 'by SIGTERM')
  t.match(ended.err, /the lock l is lost/)
})

t.test('a renewal that fails is repeated in the time of the lease, by one server too', async (t) => {
  let failing = 0
  let asked = 0
  const headers = { 'content-type': 'application/json', 'quorate-served-by': '1' }
  const server = createServer((request, response) => {
    const { url = '', socket } = request
    const isRenewal = url.includes('/keepalive')
    const document = isRenewal
      ? { id: 7, remainingMs: 3_000 }
      : { id: 7, ttlMs: 3_000, remainingMs: 3_000, use: 'keys', ending: false, keys: [] }
    asked += isRenewal ? 1 : 0
    if (isRenewal && failing > 0) {
      failing -= 1
      socket.destroy()
    } else response.writeHead(200, headers).end(JSON.stringify(document))
  })
  const host = await listenUntilEnd(t, server)
  const words = ['lease', 'keepalive', '7', '--server', `http://${host}`]
  failing = 3
  const interrupt = async (printed: () => string): Promise<void> => {
    await until('two renewals', async () => (printed().split('\n').length > 2 ? true : null))
  }
  const kept = await runCli(words, { interrupt })
  t.same([kept.code, asked], [0, 5])
  t.equal(kept.out, 'lease 7 lasts for 3 s\n'.repeat(2))
  t.match(kept.err, /^quorate: .*it is tried again\n$/)
  failing = Number.POSITIVE_INFINITY
  const lost = await runCli(words, { interrupt: async () => await new Promise(() => undefined) })
  t.equal(lost.code, 10)
})

t.test('a signal comes to the command once, whoever it was sent to', async (t) => {
  const { directory, server, lockStatus } = await open(t)
  const file = join(directory, 'signals')
  const script = `
    const { appendFileSync } = require('node:fs')
    for (const signal of ['SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2']) process.on(signal, () => appendFileSync(${JSON.stringify(file)}, signal + ' '))
    setInterval(() => undefined, 1000)
    appendFileSync(${JSON.stringify(file)}, 'begun ')`
  const words = [program, 'lock', ...server, 'l', '--', process.execPath, '-e', script]
  // A group of its own, as a shell gives to what it runs in a terminal.
  const child = spawn(process.execPath, words, { stdio: 'ignore', detached: true })
  const { pid = 0 } = child
  t.teardown(() => {
    if (child.exitCode === null) process.kill(-pid, 'SIGKILL')
  })
  const exited = once(child, 'exit')
  const told: string[] = []
  const seen = async (text: string): Promise<void> => {
    told.push(text)
    await until(text, async () => ((await readFile(file, 'utf8')).endsWith(`${text} `) ? true : null))
  }
  await seen('begun')
  process.kill(-pid, 'SIGINT')
  await seen('SIGINT')
  process.kill(pid, 'SIGHUP')
  await seen('SIGHUP')
  process.kill(-pid, 'SIGINT')
  await seen('SIGINT')
  // As `timeout` does it: to the process, and then to its group.
  process.kill(pid, 'SIGUSR2')
  process.kill(-pid, 'SIGUSR2')
  await seen('SIGUSR2')
  // No time between them in which anything could be made ready for the second one.
  const together = ['SIGQUIT', 'SIGUSR1'] as const
  for (const signal of together) process.kill(-pid, signal)
  const came = await until('both', async () => {
    const words = (await readFile(file, 'utf8')).trim().split(' ').slice(told.length)
    return words.length >= together.length ? words : null
  })
  t.same(new Set(came), new Set(together))
  told.push(...came)
  await delay(2 * limits.sameSignalMs)
  for (const signal of ['SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const) {
    process.kill(pid, signal)
    await seen(signal)
    t.not((await lockStatus('l')).holder, null)
  }
  process.kill(pid, 'SIGTERM')
  t.same(await exited, [143, null])
  t.equal(await readFile(file, 'utf8'), `${told.join(' ')} `)
  t.equal((await lockStatus('l')).holder, null)
})

/** Until the test ends, no process may be sent `refused`. Returns how often that was tried. */
function refuseSignal(owner: Owner, refused: NodeJS.Signals): () => number {
  const child = spawn('true') as ChildProcess & { readonly _handle: object }
  const handles = Object.getPrototypeOf(child._handle) as { kill: (this: object, signal: number) => number }
  const { kill } = handles
  let tried = 0
  handles.kill = function (signal) {
    if (signal !== constants.signals[refused]) return kill.call(this, signal)
    tried += 1
    return -constants.errno.EPERM
  }
  owner.teardown(async () => void (handles.kill = kill))
  return () => tried
}

t.test('a command that may not be sent a signal is waited for, and the lock is held until it ends', async (t) => {
  const { directory, run, server, lockStatus } = await open(t)
  const gate = join(directory, 'gate')
  const tried = refuseSignal(t, 'SIGHUP')
  const running = run(['lock', ...server, 'l', '--', 'sh', '-c', `while [ ! -e ${gate} ]; do sleep 0.05; done; exit 5`])
  await until('it is held', async () => (await lockStatus('l')).holder)
  await until('signals are passed on', async () => (process.listenerCount('SIGHUP') > 0 ? true : null))
  process.kill(process.pid, 'SIGHUP')
  await until('it is tried', async () => (tried() > 0 ? true : null))
  await delay(200)
  t.not((await lockStatus('l')).holder, null)
  await writeFile(gate, '')
  const { code, err } = await running
  t.equal(code, 5)
  t.match(
    err,
    /^quorate: SIGHUP could not be passed on to the command \(kill EPERM\); it runs on, and is waited for\n$/,
  )
  t.equal((await lockStatus('l')).holder, null)
})

t.test('a command that has lost its lock and may not be told so is waited for', async (t) => {
  const { directory, run, server, lockStatus } = await open(t)
  const gate = join(directory, 'gate')
  const tried = refuseSignal(t, 'SIGTERM')
  const running = run(['lock', ...server, 'l', '--', 'sh', '-c', `while [ ! -e ${gate} ]; do sleep 0.05; done; exit 5`])
  const { lease } = await until('it is held', async () => (await lockStatus('l')).holder)
  t.equal((await run(['lease', 'revoke', String(lease), ...server])).code, 0)
  await until('it is tried', async () => (tried() > 0 ? true : null))
  await writeFile(gate, '')
  const { code, err } = await running
  t.equal(code, 5)
  t.match(err, /the lock l is lost.*\n.*SIGTERM could not be passed on to the command/)
})

t.test('a command under a lock finds what it would find without it', async (t) => {
  const { directory, server } = await open(t)
  const file = join(directory, 'found')
  const filter = '/proc/self/coredump_filter'
  const look = `{ cat ${filter}; env; } > ${file} 2>&1`
  const child = spawn(program, ['lock', ...server, 'l', '--', 'sh', '-c', look], {
    stdio: 'ignore',
    env: { PATH: process.env['PATH'], MINE: 'is kept' },
  })
  t.same(await once(child, 'exit'), [0, null])
  const found = await readFile(file, 'utf8')
  t.match(found, /^MINE=is kept$/m)
  for (const name of Object.keys(runtimeVariables)) t.notMatch(found, name)
  const own = await readFile(filter, 'utf8').catch(() => null)
  if (own !== null) t.equal(found.split('\n')[0], own.trim())
})

t.test('a signal ends the command, and the lock is free at once', async (t) => {
  const { server, lockStatus } = await open(t)
  const words = [program, 'lock', ...server, '--ttl', '720h', 'l', '--', 'sleep', '600']
  // A group of its own, so that what it runs can be ended with it.
  const child = spawn(process.execPath, words, { stdio: 'ignore', detached: true })
  const { pid = 0 } = child
  t.teardown(() => {
    if (child.exitCode === null) process.kill(-pid, 'SIGKILL')
  })
  const exited = once(child, 'exit')
  await until('it is held', async () => (await lockStatus('l')).holder)
  child.kill('SIGTERM')
  t.same(await exited, [143, null])
  t.equal((await lockStatus('l')).holder, null)
})
