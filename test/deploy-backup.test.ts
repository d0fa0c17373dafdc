import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { delimiter, join } from 'node:path'
import t, { type Test } from 'tap'
import { exitCodes } from '../src/cli/terminal.ts'
import { eventually } from './e2e/support/eventually.ts'
import { runCommand } from './e2e/support/run-command.ts'
import { root } from './support/deploy-files.ts'
import { missing } from './support/missing.ts'
import { temporaryDirectory } from './support/temporary-directory.ts'
import { listenUntilEnd } from './support/loopback-server.ts'

const script = join(root, 'deploy/backup/nightly.sh')
const DAY_S = 86_400

/** The address of a server that begins an answer and never ends it. */
async function hangingServer(t: Test): Promise<string> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'quorate-revision': '1', 'quorate-snapshot-bytes': '1' })
    response.write('a first piece')
  })
  const host = await listenUntilEnd(t, server)
  return `http://${host}`
}

/** A directory with the program as `quorate`, and variables with which a shell finds it. */
async function surroundings(t: Test, server: string) {
  const directory = await temporaryDirectory(t)
  const bin = join(directory, 'bin')
  await mkdir(bin)
  const program = `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'dist', 'quorate.cjs')}' "$@"\n`
  await writeFile(join(bin, 'quorate'), program, { mode: 0o755 })
  const place = join(directory, 'backups')
  await mkdir(place)
  const environment = { PATH: [bin, process.env['PATH'] ?? ''].join(delimiter), QUORATE_SERVER: server }
  return { place, environment }
}

/** Starts a program with these variables alone: a child of tap's would get hooks that take signals. */
function start(t: Test, environment: Readonly<Record<string, string>>, command: readonly string[]): ChildProcess {
  const variables = Object.entries(environment).map((pair) => pair.join('='))
  const child = spawn('env', ['-i', ...variables, ...command], { stdio: 'ignore' })
  t.teardown(async () => void child.kill('SIGKILL'))
  return child
}

/** Whether the process ended, and by what. */
async function endOf(child: ChildProcess): Promise<unknown> {
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
  return signal ?? code
}

t.test(
  'a command that writes a file and is ended by a signal leaves no part, and an earlier file as it was',
  async (t) => {
    const { place, environment } = await surroundings(t, await hangingServer(t))
    const file = join(place, 'a')
    await writeFile(file, 'the one before')
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      for (const command of [
        ['quorate', 'backup', file],
        ['quorate', 'kv', 'export', file],
        ['/bin/sh', script, place],
      ]) {
        const child = start(t, environment, command)
        const ended = endOf(child)
        await eventually('a part is there', async () =>
          (await readdir(place)).some((name) => name.endsWith('.part')) ? true : null,
        )
        child.kill(signal)
        t.equal(await ended, signal, `${command.join(' ')} was ended by ${signal}`)
        t.same(await readdir(place), ['a'])
      }
    }
    t.equal(await readFile(file, 'utf8'), 'the one before')
  },
)

t.test('process 1 of a container leaves no part either, and ends', async (t) => {
  const { place, environment } = await surroundings(t, await hangingServer(t))
  const words = ['unshare', '--map-root-user', '--pid', '--fork', '--kill-child', '/bin/sh', script, place]
  const tried = await runCommand(t, ['unshare', '--map-root-user', '--pid', '--fork', 'true'])
  if (tried.code !== 0) {
    missing(t, 'a process namespace', `this machine allows none: ${tried.err.trim()}`)
    return
  }
  const child = start(t, environment, words)
  const ended = endOf(child)
  await eventually('a part is there', async () => ((await readdir(place)).length > 0 ? true : null))
  const children = await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')
  process.kill(Number(children.trim()), 'SIGTERM')
  t.equal(await ended, 143)
  t.same(await readdir(place), [])
})

t.test('every night: what is old goes although backups fail, but never the newest seven', async (t) => {
  const { place, environment } = await surroundings(t, 'http://127.0.0.1:1')
  const put = async (name: string, days: number): Promise<void> => {
    await writeFile(join(place, name), name)
    const then = Date.now() / 1000 - days * DAY_S
    await utimes(join(place, name), then, then)
  }
  const nameOf = (days: number): string =>
    `${new Date(Date.now() - days * DAY_S * 1000).toISOString().slice(0, 10)}.backup`
  const night = async (...words: string[]) => {
    const ran = await runCommand(t, ['/bin/sh', script, place, ...words], { environment })
    return { ...ran, left: (await readdir(place)).toSorted() }
  }
  // Backups have failed for forty days: all that there are is old.
  const old = [40, 41, 42, 43, 44, 45, 46, 47, 48]
  for (const days of old) await put(nameOf(days), days)
  await put('before the upgrade.backup', 400)
  await put(`${nameOf(39)}.part`, 39)
  await put(`${nameOf(0)}.part`, 0)
  await put('from-elsewhere.backup.part', 2)
  const before = (await readdir(place)).toSorted()
  for (const wrong of [['0'], ['30', '0'], ['30', 'seven'], ['-1'], ['030']]) {
    const refused = await night(...wrong)
    t.match(refused, { code: 1, err: /DAYS and COUNT must be whole numbers from 1; nothing was removed/ }, wrong.join())
    t.same(refused.left, before, 'no number of backups is kept by mistake')
  }
  const failed = await night()
  t.equal(failed.code, exitCodes.unreachable, 'the failure of the backup is that of the run')
  const newest = old.slice(0, 7).map(nameOf)
  const kept = [...newest, 'before the upgrade.backup', 'from-elsewhere.backup.part']
  t.same(failed.left, kept.toSorted(), 'no part of its own is left but one of this hour, which the backup itself takes')
  t.same((await night()).left, kept.toSorted(), 'however often it fails')

  for (let days = 1; days < 12; days++) await put(nameOf(days), days)
  t.same(
    (await night()).left.filter((name) => newest.includes(name)),
    [],
    'with eleven newer ones, those of more than thirty days go',
  )
  t.equal((await night('5', '2')).left.length, 2 + 5, 'the days and the number may be given')
  const blocked = await runCommand(t, ['/bin/sh', script], { environment })
  t.match(blocked, { code: /[12]/, err: /name the directory of the backups/ })
  t.notOk(existsSync(join(place, `${nameOf(0)}.backup`)))
})
