import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { parseTarGzip } from 'nanotar'
import t from 'tap'
import { exitCodes } from '../../src/cli/terminal.ts'
import { newTokenSecret, ProblemError, QuorateClient } from '../../src/client/index.ts'
import { toError } from '../../src/lib/to-error.ts'
import { limits } from '../../src/limits.ts'
import { eventually } from '../e2e/support/eventually.ts'
import { filesBelow } from '../support/files-below.ts'
import { runCli } from '../support/run-cli.ts'
import { temporaryDirectory, type Owner } from '../support/temporary-directory.ts'
import { startTestNode } from '../support/test-node.ts'
import { listenUntilEnd } from '../support/loopback-server.ts'

const program = fileURLToPath(new URL('../../dist/quorate.cjs', import.meta.url))
const SECRET = /^quorate_[A-Za-z0-9_-]{43}\n$/
const PROOF = 'a secret that only the file has'

/** A cluster of one node, with its log; `run` carries out one command line on it. */
async function open(owner: Owner, more: readonly string[] = []) {
  const directory = await temporaryDirectory(owner)
  const data = join(directory, 'data')
  const proofFile = join(directory, 'proof')
  await writeFile(proofFile, `${PROOF}\n`)
  const lines: string[] = []
  const flags = ['--auth-bootstrap-file', proofFile, ...more]
  const server = await startTestNode(owner, 1, data, flags, { write: (line) => void lines.push(line) })
  const { api } = server.addresses
  const run = async (words: readonly string[], environment: Readonly<Record<string, string>> = {}) =>
    await runCli([...words, '--server', api], { environment })
  const initialized = await run(['cluster', 'initialize'])
  if (initialized.code !== 0) throw new Error(initialized.err)
  return { server, directory, data, proofFile, lines, api, run }
}

t.test('roles and tokens are made, shown, used and revoked', async (t) => {
  const { directory, api, run } = await open(t)
  t.equal((await run(['auth', 'self'])).out, 'the cluster has no tokens: everybody may do everything\n')
  const made = await run(['auth', 'bootstrap', '--name', 'root'])
  t.match(made.out, SECRET)
  t.match(made.err, /token \d+ of root; its secret is not shown again/)
  const file = join(directory, 'admin.token')
  await writeFile(file, made.out)
  const admin = { QUORATE_TOKEN_FILE: file }
  const bare = await run(['kv', 'get', 'a'])
  t.equal(bare.code, exitCodes.requestFailed)
  t.match(bare.err, /A valid token is needed: .*\(unauthenticated\)/s)
  t.match((await run(['auth', 'self'], admin)).out, /^token \d+ of root\n {2}read-write every key\n {2}cluster:read\n/)

  const grants = [
    '--grant',
    'read-write:prefix=app/',
    '--grant',
    'read:key=k',
    '--grant',
    'read:range=x..',
    '--right',
    'cluster:read',
  ]
  const role = await run(['auth', 'role', 'put', 'app', ...grants], admin)
  t.equal(role.out, 'role app\n  read-write prefix app/\n  read key k\n  read range x..\n  cluster:read\n', role.err)
  t.equal((await run(['auth', 'role', 'get', 'app'], admin)).out, role.out)
  t.match((await run(['auth', 'role', 'list'], admin)).out, /^role admin\n.*role app\n/s)
  t.match(JSON.parse((await run(['auth', 'role', 'get', 'app', '--json'], admin)).out), {
    grants: [{ access: 'read-write', prefix: 'app/' }, { key: 'k' }, { access: 'read', start: 'x' }],
  })
  const limited = ['--ttl', '12h', '--requests-per-second', '500', '--bytes-per-second', '1000000']
  const token = await run(['auth', 'token', 'create', 'web', '--role', 'app', ...limited, '--json'], admin)
  const { id, secret } = JSON.parse(token.out) as { readonly id: number; readonly secret: string }
  t.match(
    (await run(['auth', 'token', 'list'], admin)).out,
    /TOKEN +NAME +ROLES +ENDS +CERTIFICATE +LIMITS\n\d+ +root +admin +never *\n\d+ +web +app +20\S+Z +500 requests\/s, 1000000 bytes\/s\n/,
  )
  const certified = ['auth', 'token', 'create', 'robot', '--role', 'app', '--certificate-name', 'machine 7']
  const robot = await run(certified, admin)
  t.match(robot.out, /^token \d+ of robot: certificates with the name machine 7 stand for it\n$/, robot.err)
  t.match((await run(certified, admin)).err, /certificates of this name stand for token \d+ already/)
  t.match((await run(['auth', 'token', 'list'], admin)).out, /\d+ +robot +app +never +machine 7 *\n/)
  const [robotId = ''] = /\d+/.exec(robot.out) ?? []
  t.equal((await run(['auth', 'token', 'revoke', robotId], admin)).code, 0)
  t.equal((await run(['kv', 'put', 'app/a', 'v', '--token', secret])).code, 0)
  t.equal((await run(['kv', 'get', 'app/a'], { QUORATE_TOKEN: `${secret}\n` })).out, 'v')
  const denied = await run(['kv', 'put', 'b', 'v', '--token', secret])
  t.equal(denied.code, exitCodes.requestFailed)
  t.match(denied.err, /it needs write access to "b"/)
  t.equal((await run(['cluster', 'status', '--token', secret])).code, 0)
  const health = ['check', 'health', '--cluster']
  t.equal((await run(health, admin)).code, 0)
  const given = join(directory, 'given.token')
  await writeFile(given, `${secret}\n`)
  for (const how of [
    ['--token', secret],
    ['--token-file', given],
  ])
    t.equal((await run([...health, ...how])).code, 0, how.join(' '))
  t.match((await run(health)).err, /\(unauthenticated\)/)
  t.match((await run(['check', 'health', '--token-file', given])).err, /--token and --token-file are for --cluster/)
  t.match((await run(['auth', 'role', 'delete', 'app'], admin)).err, /a token has the role app/)

  const client = new QuorateClient({ servers: [api], token: async () => secret })
  t.teardown(() => client.close())
  t.match(await client.auth.self(), { enabled: true, token: { id, name: 'web' } })
  const watch = client.watch({ prefix: 'app/' })
  const ended = (async () => {
    for await (const _ of watch);
  })()
  const refused = t.rejects(ended, { code: 'unauthenticated' }, 'the library does not try again')
  await client.put('app/a', 'w')
  t.equal((await run(['auth', 'token', 'revoke', String(id)], admin)).out, `token ${id} is revoked\n`)
  await refused
  await t.rejects(client.get('app/a'), ProblemError)
  t.equal((await run(['auth', 'role', 'delete', 'app'], admin)).out, 'role app is deleted\n')
})

t.test('what would allow nothing is refused', async (t) => {
  const { run } = await open(t)
  const admin = { QUORATE_TOKEN: (await run(['auth', 'bootstrap'])).out.trim() }
  t.equal((await run(['auth', 'role', 'put', 'app', '--grant', 'read:prefix=a'], admin)).code, 0)
  const bare = await run(['auth', 'role', 'put', 'app'], admin)
  t.equal(bare.code, exitCodes.usage)
  t.match(bare.err, /^quorate: without --grant and --right, role app would allow nothing, .*, or --nothing\n$/)
  t.equal((await run(['auth', 'role', 'get', 'app'], admin)).out, 'role app\n  read prefix a\n', 'it is as it was')
  const both = await run(['auth', 'role', 'put', 'app', '--nothing', '--right', 'cluster:read'], admin)
  t.equal(both.code, exitCodes.usage)
  t.match(both.err, /--nothing .* without --grant and --right/)
  const emptied = await run(['auth', 'role', 'put', 'app', '--nothing'], admin)
  t.equal(emptied.out, 'role app\n  nothing\n', emptied.err)

  const token = await run(['auth', 'token', 'create', 'web'], admin)
  t.equal(token.code, exitCodes.usage)
  t.equal(token.out, '')
  t.match(token.err, /^quorate: without --role, the token of web could do nothing, .*`quorate auth role list`/)
  t.notMatch((await run(['auth', 'token', 'list'], admin)).out, / web /, 'none was made')
})

t.test('a token is exchanged in its file under a command that goes on', async (t) => {
  const { directory, api, run } = await open(t)
  const file = join(directory, 'admin.token')
  const admin = { QUORATE_TOKEN_FILE: file }
  await writeFile(file, (await run(['auth', 'bootstrap'])).out)
  const exchange = async (): Promise<void> => {
    const { token } = JSON.parse((await run(['auth', 'self', '--json'], admin)).out) as {
      readonly token: { readonly id: number }
    }
    const next = await run(['auth', 'token', 'create', 'admin', '--role', 'admin'], admin)
    // The file is empty for a moment, as it is with a shell's redirection.
    await writeFile(file, '')
    await pause(limits.clientTokenFileReadMs * 2)
    await writeFile(file, next.out)
    await pause(limits.clientTokenFileReadMs * 2)
    t.equal((await run(['auth', 'token', 'revoke', String(token.id)], admin)).code, 0)
  }
  const interrupt = async (printed: () => string): Promise<void> => {
    await run(['kv', 'put', 'a', '1'], admin)
    await eventually('change 1', () => printed().includes('put  a  1') || null)
    await exchange()
    await run(['kv', 'put', 'a', '2'], admin)
    await eventually('change 2', () => printed().includes('put  a  2') || null)
  }
  const watch = ['kv', 'watch', 'a', '--since', '0', '--server', api]
  t.match(await runCli(watch, { environment: admin, interrupt }), { code: 0, err: '' })
  const piped = spawn('sh', [
    '-c',
    'cat "$0" | "$@" --token-file /dev/stdin',
    file,
    program,
    'auth',
    'self',
    '--server',
    api,
  ])
  t.match(await text(piped.stdout), /^token \d+ of admin\n/, 'a pipe is read once')
})

t.test('mistakes are named, and never with the secret', async (t) => {
  const { directory, run } = await open(t)
  const spaced = join(directory, 'spaced')
  await writeFile(spaced, 'quorate_a b')
  const long = join(directory, 'long')
  await writeFile(long, 'q'.repeat(limits.clientTokenBytesMax + 1))
  const token = 'q'.repeat(limits.clientTokenBytesMax + 1)
  const tooLong = { name: 'TypeError', message: /^the token has 16385 characters, and at most 16384 are sent$/ }
  t.throws(() => new QuorateClient({ servers: ['http://127.0.0.1:1'], token }), tooLong)
  const client = new QuorateClient({ servers: ['http://127.0.0.1:1'], token: () => token })
  t.teardown(() => client.close())
  await t.rejects(client.get('a'), tooLong, 'nothing is sent, to a server that is not there')
  const endless = '/dev/zero'
  const cases: readonly [readonly string[], RegExp][] = [
    [
      ['kv', 'get', 'a', '--token-file', long],
      /--token-file \S+: the token has 16385 characters, and at most 16384 are/,
    ],
    [['kv', 'get', 'a', '--token-file', endless], /--token-file \S+ cannot be read: it has more than 65536 bytes/],
    [['auth', 'bootstrap', '--secret-file', endless], /--secret-file \S+ cannot be read: it has more than 65536 bytes/],
    [['auth', 'bootstrap', '--token-secret-file', endless], /--token-secret-file \S+ cannot be read: it has more than/],
    [['kv', 'get', 'a', '--ca', endless], /--ca \S+ cannot be read: it has more than 1048576 bytes/],
    [['kv', 'get', 'a', '--token', 'x', '--token-file', 'y'], /--token and --token-file: give one of them/],
    [['kv', 'get', 'a', '--token-file', '/no/such'], /--token-file \/no\/such cannot be read/],
    [['kv', 'get', 'a', '--token-file', spaced], /--token-file \S+: the token is empty, or holds a space/],
    [['kv', 'get', 'a', '--token', ''], /--token: the token is empty/],
    [['auth', 'bootstrap', '--secret-file', '/no/such'], /--secret-file \/no\/such cannot be read/],
    [['auth', 'bootstrap', '--token-secret-file', '/no/such'], /--token-secret-file \/no\/such cannot be read/],
    [
      ['auth', 'bootstrap', '--token-secret-file', spaced],
      /--token-secret-file \S+: what it holds is no secret of a token/,
    ],
    [
      ['auth', 'role', 'put', 'r', '--grant', 'all'],
      /--grant all: expected read, write or read-write, then :prefix=TEXT/,
    ],
    [['auth', 'role', 'put', 'r', '--grant', 'read:range=a'], /expected a range as START\.\.END/],
    [['auth', 'role', 'put', 'r', '--right', 'root'], /--right root: expected cluster:read, cluster:admin, auth:admin/],
    [['auth', 'token', 'create', 'n', '--ttl', 'soon'], /--ttl soon/],
    [['auth', 'token', 'revoke', 'x'], /the token x: expected a whole number/],
  ]
  for (const [words, message] of cases) {
    const { code, err } = await run(words)
    t.equal(code, exitCodes.usage, words.join(' '))
    t.match(err, message)
    t.notMatch(err, /quorate_a/)
  }
  t.throws(() => new QuorateClient({ servers: ['http://127.0.0.1:1'], token: 'a\nb' }), /the token is empty, or holds/)
})

/** Stands in front of a node, and loses the first `lost` of its answers. Resolves with its address. */
async function losesAnswers(owner: Owner, api: string, lost: number): Promise<string> {
  let left = lost
  const server = createServer((request, response) => {
    void text(request)
      .then(async (body) => {
        const headers = { 'content-type': 'application/json' }
        const answer = await fetch(`${api}${request.url}`, { method: request.method ?? 'GET', headers, body })
        const said = await answer.text()
        if (left-- > 0) return void request.socket.destroy()
        response.writeHead(answer.status, { 'content-type': 'application/json' }).end(said)
      })
      .catch((error: unknown) => response.destroy(toError(error)))
  })
  const host = await listenUntilEnd(owner, server)
  return `http://${host}`
}

t.test('a lost answer to the first bootstrap locks nobody out', async (t) => {
  t.test('one that is lost once is asked for again', async (t) => {
    const { api, lines } = await open(t)
    const behind = await losesAnswers(t, api, 1)
    const made = await runCli(['auth', 'bootstrap', '--server', behind])
    t.equal(made.code, 0, made.err)
    t.match(made.out, SECRET)
    t.match((await runCli(['auth', 'self', '--server', api, '--token', made.out.trim()])).out, /^token \d+ of admin\n/)
    t.notMatch(lines.join(''), made.out.trim().slice(8, 24))
  })

  t.test('one that never comes leaves the secret with the caller, who asks again', async (t) => {
    const { api, directory } = await open(t)
    const behind = await losesAnswers(t, api, Number.POSITIVE_INFINITY)
    const lost = await runCli(['auth', 'bootstrap', '--server', behind, '--timeout', '500ms'])
    t.equal(lost.code, exitCodes.outcomeUnknown)
    t.match(lost.out, SECRET)
    t.match(lost.err, /the token may have been made; its secret is in the output\. .* --token-secret-file FILE\n/)
    const file = join(directory, 'admin.token')
    await writeFile(file, lost.out)
    const words = ['auth', 'bootstrap', '--server', api, '--token-secret-file', file]
    const again = await runCli(words)
    t.match(again, { code: 0, out: '' }, 'the secret is not printed once more')
    t.match(again.err, /^token \d+ of admin; its secret is the one in the file\n$/)
    t.same(await runCli(words), again)
    t.match(JSON.parse((await runCli([...words, '--json'])).out), { name: 'admin', secret: lost.out.trim() })
    t.equal((await runCli(['kv', 'put', 'a', 'v', '--server', api, '--token-file', file])).code, 0)
    const json = await runCli(['auth', 'bootstrap', '--server', behind, '--timeout', '500ms', '--json'])
    t.match(JSON.parse(json.out), { secret: /^quorate_/ })
    const named = await runCli(['auth', 'bootstrap', '--server', behind, '--timeout', '500ms', '--name', 'root'])
    t.match(named.err, / run this again with --name root --token-secret-file FILE\n/, 'another name has another answer')
    t.match(JSON.parse(json.err), { code: 'unreachable', ambiguous: true })
    const stranger = await runCli(['auth', 'bootstrap', '--server', api])
    t.match(stranger, { code: exitCodes.requestFailed, out: '' })
    t.match(stranger.err, /\(auth-begun-before\)/)
  })
})

t.test('whoever ends the command while it asks has the secret of what may have been made', async (t) => {
  const asked: (() => void)[] = []
  const dumb = createServer(() => asked.splice(0).forEach((tell) => tell()))
  const server = `http://${await listenUntilEnd(t, dumb)}`
  const file = join(await temporaryDirectory(t), 'admin.token')
  await writeFile(file, `${newTokenSecret()}\n`)
  for (const [signal, code, more] of [
    ['SIGINT', 130, []],
    ['SIGTERM', 143, ['--token-secret-file', file]],
  ] as const) {
    const words = [program, 'auth', 'bootstrap', '--server', server, '--name', 'root', ...more]
    const isAsked = new Promise<void>((resolve) => asked.push(resolve))
    const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] })
    t.teardown(() => void child.kill('SIGKILL'))
    const [out, err, ended] = [text(child.stdout), text(child.stderr), once(child, 'close')]
    await isAsked
    child.kill(signal)
    t.same(await ended, [code, null])
    t.match(await out, more.length === 0 ? SECRET : /^$/)
    t.match(await err, more.length === 0 ? / with --name root --token-secret-file FILE\n$/ : /^$/)
  }
})

t.test('the loop of the manual asks again where that may help, and ends where it cannot', async (t) => {
  const page = await readFile(new URL('../../docs/OPERATIONS.md', import.meta.url), 'utf8')
  const [, block = ''] =
    /^```sh needs=machines\n((?:(?!^```)[\s\S])*auth bootstrap --token-secret-file[\s\S]*?)^```$/m.exec(page) ?? []
  const { noQuorum, unreachable, outcomeUnknown, requestFailed, usage } = exitCodes
  for (const [codes, code] of [
    [[noQuorum, unreachable, outcomeUnknown, 0], 0],
    [[unreachable, requestFailed], requestFailed],
    [[usage], usage],
  ] as const) {
    const cwd = await temporaryDirectory(t)
    const stand = `sleep() { :; }; quorate() { echo "$*" >> asked; return "$(sed -n "$(wc -l < asked)p" codes)"; }`
    await writeFile(join(cwd, 'codes'), codes.map((one) => `${one}\n`).join(''))
    const ran = spawnSync('bash', ['-c', `${stand}\n${block}`], { cwd, encoding: 'utf8', timeout: 60_000 })
    t.equal(ran.status, code, ran.stderr)
    const asked = (await readFile(join(cwd, 'asked'), 'utf8')).split('\n').slice(0, -1)
    t.same(
      asked,
      codes.map(() => 'auth bootstrap --token-secret-file admin.token'),
    )
    t.match(await readFile(join(cwd, 'admin.token'), 'utf8'), SECRET)
  }
})

for (const level of ['error', 'silent']) {
  t.test(`lines of audit with --log-level ${level}`, async (t) => {
    const { lines, run } = await open(t, ['--log-level', level])
    const made = await run(['auth', 'bootstrap'])
    t.match(made.out, SECRET)
    t.equal((await run(['kv', 'get', 'a'])).code, exitCodes.requestFailed)
    const admin = { QUORATE_TOKEN: made.out.trim() }
    t.equal((await run(['auth', 'token', 'create', 'brief', '--role', 'admin', '--ttl', '1ms'], admin)).code, 0)
    const left = async () => (await run(['auth', 'token', 'list', '--json'], admin)).out.trim().split('\n').length
    await eventually('the leader revokes what is over', async () => ((await left()) === 1 ? true : null))
    const messages = lines.map((line) => JSON.parse(line) as { readonly msg: string; readonly audit?: object })
    const audited = messages.filter(({ msg }) => msg === 'audit').map(({ audit }) => audit)
    const expected =
      level === 'silent'
        ? []
        : [
            { operation: 'initializeCluster', token: null, status: 200 },
            { operation: 'bootstrapAuth', token: null, status: 201 },
            { operation: 'listKeys', token: null, status: 401, code: 'unauthenticated' },
            { operation: 'createToken', name: 'admin', status: 201, asked: { name: 'brief' } },
            { operation: 'deleteToken', by: 'expiry', asked: { name: 'brief' }, reason: 'its time is up' },
          ]
    t.equal(audited.length, expected.length)
    t.match(audited, expected)
    t.same(audited.length, messages.length, 'nothing else is logged at this level')
  })
}

t.test('no secret is in a log, metric, error, backup, archive or file of a node', async (t) => {
  const { server, directory, data, proofFile, lines, api, run } = await open(t)
  const made = await run(['auth', 'bootstrap', '--secret-file', proofFile])
  const admin = made.out.trim()
  const file = join(directory, 'admin.token')
  await writeFile(file, admin)
  const environment = { QUORATE_TOKEN_FILE: file }
  await run(['auth', 'role', 'put', 'app', '--grant', 'read-write:prefix=a/'], environment)
  const app = (await run(['auth', 'token', 'create', 'web', '--role', 'app'], environment)).out.trim()
  const said: string[] = []
  const note = async (words: readonly string[], given = environment): Promise<void> => {
    const { out, err } = await run(words, given)
    said.push(out, err)
  }
  await note(['kv', 'put', 'a/1', 'v', '--token', app])
  await note(['kv', 'put', 'b', 'v', '--token', app])
  await note(['kv', 'get', 'a/1', '--token', `${app}x`])
  await note(['auth', 'token', 'list', '--json'])
  await note(['auth', 'self', '--json'])
  await note(['auth', 'bootstrap', '--secret-file', proofFile])
  for (const header of [app, `Basic ${app}`, `Bearer  ${app} ${app}`, `Bearer ${app}${'x'.repeat(60_000)}`])
    said.push(await (await fetch(`${api}/kv/a`, { headers: { authorization: header } })).text())
  const authorization = `Bearer ${admin}`
  for (const path of ['/metrics', '/cluster', '/auth/tokens', '/auth/roles'])
    said.push(await (await fetch(api + path, { headers: { authorization } })).text())
  const backup = join(directory, 'state.backup')
  await note(['backup', backup])
  const archive = join(directory, 'diagnose.tar.gz')
  await note(['diagnose', archive])
  const files = await parseTarGzip(await readFile(archive))
  const logText = files.find(({ name }) => name.endsWith('/log.ndjson'))?.text ?? ''
  t.match(logText, /"audit":{"operation":"createToken"/, 'the log is in the archive, which is searched below')
  await server.stop()

  const places = new Map(await filesBelow(data))
  places.set('backup', await readFile(backup))
  places.set('archive', gunzipSync(await readFile(archive)))
  places.set('log', Buffer.from(lines.join('')))
  places.set('output', Buffer.from(said.join('\n')))
  for (const [place, bytes] of places) {
    for (const secret of [admin, app, PROOF]) {
      // A piece of it would be as bad.
      t.notOk(bytes.includes(secret.slice(8, 24)), `${secret.slice(0, 12)}... in ${place}`)
    }
  }
  const hash = createHash('sha256').update(app).digest()
  t.ok(
    [...places.values()].some((bytes) => bytes.includes(hash)),
    'what is looked for in the files would be found there',
  )
  t.match(lines.join(''), /"audit":{"operation":"createToken","token":\d+,"name":"admin"/)
})

t.test('diagnose says what it may not have, and what an older node does not tell', async (t) => {
  const { directory, api, proofFile, run } = await open(t)
  const admin = (await run(['auth', 'bootstrap', '--secret-file', proofFile])).out.trim()
  await run(['auth', 'role', 'put', 'see', '--right', 'cluster:read'], { QUORATE_TOKEN: admin })
  const seer = (await run(['auth', 'token', 'create', 'seer', '--role', 'see'], { QUORATE_TOKEN: admin })).out.trim()
  const headers = { authorization: `Bearer ${seer}` }
  t.equal((await fetch(`${api}/diagnostics`, { headers })).status, 403)

  const file = join(directory, 'seen.tar.gz')
  const ran = await run(['diagnose', file], { QUORATE_TOKEN: seer })
  t.equal(ran.code, 0, ran.err)
  const withheld = 'that takes a token with the right cluster:admin'
  t.match(ran.err, `without the settings and the log of ${api}: ${withheld}\n`)
  const files = await parseTarGzip(await readFile(file))
  const names = files.map(({ name }) => name)
  t.ok(names.some((name) => name.endsWith('/metrics.txt')))
  t.notOk(names.some((name) => /\/(settings\.json|log\.ndjson)$/.test(name)))
  const summary = JSON.parse(files.find(({ name }) => name === 'summary.json')?.text ?? '') as object
  t.match(summary, { nodes: [{ origin: api, log: null, withheld }] })

  const older = createServer((request, response) => {
    const path = request.url === '/diagnostics' ? '/nothing' : request.url
    void fetch(`${api}${path}`, { headers: { authorization: request.headers.authorization ?? '' } }).then(
      async (answer) => response.writeHead(answer.status).end(await answer.text()),
    )
  })
  const olderHost = await listenUntilEnd(t, older)
  const words = ['diagnose', '-', '--server', `http://${olderHost}`]
  const { code, err } = await runCli(words, { environment: { QUORATE_TOKEN: admin } })
  t.equal(code, 0, err)
  t.match(err, `without the settings and the log of http://${olderHost}: its version does not tell them\n`)
  t.notMatch(err, `log of ${api}`, 'the node itself tells them')
})
