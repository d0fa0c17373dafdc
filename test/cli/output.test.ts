import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync } from 'node:fs'
import { lstat, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { PartFile } from '../../src/cli/part-file.ts'
import { silentTerminal } from '../support/run-cli.ts'
import { temporaryDirectory, type Owner } from '../support/temporary-directory.ts'
import { startTestNode } from '../support/test-node.ts'

const program = fileURLToPath(new URL('../../dist/quorate.cjs', import.meta.url))
const withoutDescriptors = !existsSync('/dev/fd') && 'needs /dev/fd'

interface Ended {
  readonly code: number | null
  readonly err: string
}

function begin(owner: Owner, line: string, server: string): { child: ChildProcess; ended: Promise<Ended> } {
  // `$Q` is the program.
  const child = spawn('bash', ['-c', line], {
    env: { PATH: process.env['PATH'] ?? '', QUORATE_SERVER: server, Q: program },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let err = ''
  child.stderr.on('data', (chunk) => (err += String(chunk)))
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, err }))
  owner.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    child.stdout.destroy()
    await ended
  })
  return { child, ended }
}

/** A cluster of one node with a few keys; `shell` runs a line with the built program as `$Q`. */
async function open(owner: Owner) {
  const directory = await temporaryDirectory(owner)
  const { addresses } = await startTestNode(owner, 1, join(directory, 'data'))
  const shell = async (line: string): Promise<Ended> => {
    const { child, ended } = begin(owner, line, addresses.api)
    child.stdout?.resume()
    return await ended
  }
  const initialized = await fetch(`${addresses.api}/cluster/initialize?wait=committed`, { method: 'POST' })
  if (initialized.status !== 200) throw new Error(await initialized.text())
  for (const key of ['a', 'b']) await fetch(`${addresses.api}/kv/${key}`, { method: 'PUT', body: 'x'.repeat(200_000) })
  return { directory, shell, api: addresses.api }
}

t.test('what a command prints is written whole, or it is lost', { skip: withoutDescriptors }, async (t) => {
  const { directory, shell } = await open(t)
  const file = join(directory, 'out')
  for (const command of ['kv get a', 'kv export', 'kv ls --json']) {
    const cut = await shell(`ulimit -f 100; "$Q" ${command} > ${file}`)
    t.equal(cut.code, 11, command)
    t.match(cut.err, /the output could not be written .*EFBIG/)
    t.equal((await lstat(file)).size, 100 * 1024)
    t.match(JSON.parse((await shell(`ulimit -f 100; "$Q" ${command} --json > ${file}`)).err), { code: 'output-lost' })
  }
  t.equal((await shell(`"$Q" kv get a > ${file}`)).code, 0)
  t.equal((await lstat(file)).size, 200_000)
  for (const command of ['kv export', 'kv export -', 'backup -', 'diagnose -']) {
    const left = await shell(`{ "$Q" ${command}; echo "ended with $?" >&2; } | true`)
    t.match(left.err, /the output could not be written whole \(.*EPIPE\)\n[^]*ended with 11\n$/, command)
  }
  const failed = await shell('{ "$Q" check health --server 127.0.0.1:1; echo "ended with $?" >&2; } | true')
  t.match(failed.err, /ended with 9\n$/, 'a reader that has seen enough hides no failure')
})

t.test('a file that is open already is written to as it is', { skip: withoutDescriptors }, async (t) => {
  const { directory, shell } = await open(t)
  const file = join(directory, 'log')
  for (const place of ['/dev/stdout', '/dev/fd/1', '/proc/self/fd/1']) {
    await writeFile(file, 'before\n')
    const appended = await shell(`{ "$Q" kv export ${place}; echo after; } >> ${file}`)
    t.equal(appended.code, 0, appended.err)
    const [first, ...rest] = (await readFile(file, 'utf8')).split('\n')
    t.equal(first, 'before', place)
    t.same(rest.slice(2), ['after', ''], place)
    t.same(
      rest.slice(0, 2).map((line) => (JSON.parse(line) as { readonly key: string }).key),
      ['a', 'b'],
      place,
    )
  }
  const third = await shell(`{ echo one; "$Q" backup /dev/fd/3 3>&1 >&2; } > ${file}`)
  t.equal(third.code, 0, third.err)
  const whole = await readFile(file)
  t.equal(whole.subarray(0, 4).toString(), 'one\n')
  await writeFile(file, whole.subarray(4))
  t.equal((await shell(`"$Q" backup verify ${file}`)).code, 0)
  t.equal((await shell(`"$Q" backup /dev/stdout > ${file} && "$Q" backup verify ${file}`)).code, 0)
  t.equal((await shell(`"$Q" diagnose /dev/stdout | gzip -t`)).code, 0)
  const none = await shell('"$Q" kv export /dev/fd/77')
  t.equal(none.code, 1)
  t.match(none.err, /\/dev\/fd\/77 cannot be written/)
})

t.test('a part takes the place of what a symbolic link leads to, also when nothing is there yet', async (t) => {
  const directory = await temporaryDirectory(t)
  await symlink('second', join(directory, 'first'))
  await symlink(join(directory, 'third'), join(directory, 'second'))
  for (const text of ['new', 'newer']) {
    const part = await PartFile.create(silentTerminal, join(directory, 'first'), 0o600)
    await part.write(Buffer.from(text))
    t.equal(await part.finish(), null)
    t.ok((await lstat(join(directory, 'first'))).isSymbolicLink())
    t.equal(await readFile(join(directory, 'third'), 'utf8'), text)
  }
  await symlink('loop', join(directory, 'loop'))
  await t.rejects(PartFile.create(silentTerminal, join(directory, 'loop'), 0o600), /cannot be written: .*links/)
})

t.test('an open file goes on where it is', { skip: withoutDescriptors }, async (t) => {
  const file = join(await temporaryDirectory(t), 'file')
  const descriptor = openSync(file, 'w')
  t.teardown(async () => closeSync(descriptor))
  for (const text of ['one ', 'two']) {
    const part = await PartFile.create(silentTerminal, `/dev/fd/${descriptor}`, 0o600, { replaces: false })
    await part.write(Buffer.from(text))
    t.equal(await part.finish(), null)
  }
  t.equal(await readFile(file, 'utf8'), 'one two')
})

t.test('the secret of a token that cannot be printed where it belongs is not lost', async (t) => {
  const { directory, shell } = await open(t)
  const file = join(directory, 'token')
  const lost = await shell(`{ "$Q" auth bootstrap; echo "ended with $?" >&2; } | true`)
  t.match(lost.err, /the output could not be written .*EPIPE[^]*ended with 11\n$/)
  const [secret = ''] = /quorate_\S+(?=:)/.exec(lost.err) ?? []
  await writeFile(file, secret)
  t.equal((await shell(`"$Q" auth self --token-file ${file}`)).code, 0)
  const json = await shell(
    `{ "$Q" auth token create other --role admin --json --token-file ${file}; echo "ended with $?" >&2; } | true`,
  )
  const [said = '', token = '', ended] = json.err.split('\n')
  t.match(JSON.parse(said), { code: 'output-lost' })
  t.match(JSON.parse(token), { name: 'other', secret: /^quorate_/ })
  t.equal(ended, 'ended with 11')
  await rm(file)
})

t.test('a watch ends when it is told to, also when nobody reads its output', async (t) => {
  const { api } = await open(t)
  const { child, ended } = begin(t, 'exec "$Q" kv watch --json --since 0', api)
  // The pipe holds less than one change.
  await new Promise<void>((resolve) => {
    child.stdout?.once('data', () => {
      child.stdout?.pause()
      resolve()
    })
  })
  child.kill('SIGTERM')
  const [code] = (await once(child, 'exit')) as [number | null]
  t.equal(code, 0)
  child.stdout?.resume()
  t.equal((await ended).err, '')
})
