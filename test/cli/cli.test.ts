import { spawnSync } from 'node:child_process'
import { readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { createServer as createSecureServer } from 'node:https'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { runProgram } from '../../src/cli/program.ts'
import { StreamProgress } from '../../src/cli/stream-progress.ts'
import { formatTable } from '../../src/cli/table.ts'
import { exitCodes } from '../../src/cli/terminal.ts'
import type { ClusterStatus, NodeStateView } from '../../src/api/cluster.ts'
import { authority, issue, writePems } from '../support/certificates.ts'
import { prints, runCli, silentTerminal, type Ran } from '../support/run-cli.ts'
import { byBytes, strangeKeys, strangersToKeys, strangeValues } from '../support/strange.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { startTestNode } from '../support/test-node.ts'
import { eventually, listen, problem } from './support/stand-in.ts'
import { listenUntilEnd } from '../support/loopback-server.ts'

const stance = { decision: 'none', reason: '', sinceMs: 0 } as const
/** A node that belongs to nothing. */
const clusterAnswer: ClusterStatus = {
  clusterId: null,
  node: { id: 1, state: 'learner', incarnation: 'i', version: '1.0.0', uptimeMs: 1, disk: null },
  leader: null,
  term: 0,
  vote: { term: 0, node: 0, committed: false },
  lastLogId: null,
  committed: null,
  applied: null,
  purged: null,
  membership: null,
  nodes: {},
  failureTolerance: 0,
  digest: '0',
  formation: { ...stance, mode: 'manual', seen: 0, expected: null, failure: null, sightings: [] },
  joining: { ...stance, mode: 'off', failure: null },
  autopilot: { ...stance, mode: 'off' },
  warnings: [],
}

t.test('wrong usage ends with 1 and says what is allowed', async (t) => {
  const cases: [words: string[], err: RegExp][] = [
    [['frobnicate'], /unknown command 'frobnicate'/],
    [['kv', 'gte', 'a'], /Did you mean get/],
    [['kv', 'get'], /missing required argument 'key'/],
    [['kv', 'get', 'a', '--jsn'], /unknown option '--jsn'/],
    [['kv', 'get', 'a', '--server', 'ftp://a:1'], /--server ftp:\/\/a:1: expected/],
    [['kv', 'get', 'a', '--server', 'http://a:1/path'], /expected the API of a node/],
    [['kv', 'get', 'a', '--timeout', '5x'], /--timeout 5x is not a duration[\s\S]*or a whole number of seconds/],
    [['kv', 'get', 'a', '--timeout', '61'], /--timeout 61 is above 1m/],
    [['kv', 'get', 'a', '--server', ''], /--server '': expected/],
    [['kv', 'get', 'a', '--timeout', '2m'], /above 1m/],
    [['check', 'health', '--id', 'x'], /--id x: expected a whole number from 1/],
    [
      ['check', 'health', '--id', '1', '--server', 'a:1'],
      /--id chooses among the nodes that run on this machine.*give only one of the two/,
    ],
    [['check', 'health', '--server', ''], /--server '': expected/],
    [['kv', 'get', 'a', '--consistency', 'eventual'], /expected linearizable, lease or stale/],
    [['kv', 'put', 'a', 'b', '--if-revision', '0'], /--if-revision 0: expected a whole number from 1/],
    [['kv', 'put', 'a', 'b', '--ttl', '10s', '--lease', '7'], /--ttl and --lease cannot be combined/],
    [['kv', 'put', 'a', 'b', '--ttl', '500ms'], /--ttl 500ms .*from 1s to 720h/],
    [['kv', 'put', 'a', 'b', '--lease', 'x'], /the lease x: expected a whole number/],
    [['kv', 'put', 'a', 'b', '--file', 'c'], /a value and --file cannot be combined/],
    [['kv', 'put', 'a', '--file', '/nonexistent/file'], /\/nonexistent\/file cannot be read: ENOENT/],
    [['kv', 'del', 'a', '--prefix', '--if-revision', '3'], /cannot be combined: the condition is about a single key/],
    [['kv', 'del', '', '--prefix'], /the prefix is empty, which would delete every key: to do that, use --all/],
    [['kv', 'del', '--prefix'], /name a key, or use --all/],
    [['kv', 'del', 'a', '--chunked'], /--chunked needs --prefix or --all/],
    [['kv', 'del'], /name a key, or use --all/],
    [['kv', 'del', '', '--all'], /--all deletes every key: it cannot be combined with a key/],
    [['kv', 'del', '--all', '--prefix'], /--all deletes every key/],
    [['kv', 'del', ''], /the key is empty/],
    [['kv', 'get', ''], /the key is empty/],
    [['kv', 'put', '', 'x'], /the key is empty/],
    [['kv', 'put', 'a'], /there is no value: give one, --file PATH, or - for the standard input/],
    [['kv', 'put', 'a', '--file', ''], /'' cannot be read: ENOENT/],
    [['kv', 'put', 'a', '--file', '/tmp'], /^quorate: \/tmp is a directory: name a file/],
    [['kv', 'put', 'a', '--file', '/dev/zero'], /\/dev\/zero has more than 16777216 bytes, the most that can be sent/],
    [['kv', 'txn'], /there is no transaction: name a file, or give it on the standard input/],
    [['kv', 'txn', '-'], /there is no transaction/],
    [['kv', 'txn', '/nonexistent/file'], /\/nonexistent\/file cannot be read: ENOENT/],
    [['kv', 'txn', ''], /'' cannot be read: ENOENT/],
    [['kv', 'txn', '/tmp'], /^quorate: \/tmp is a directory: name a file/],
    [['kv', 'txn', '/dev/zero'], /\/dev\/zero has more than [0-9]+ bytes, the most that can be sent/],
    [['kv', 'import'], /there are no records: name a file, or give them on the standard input/],
    [['kv', 'import', '-'], /there are no records/],
    [['kv', 'import', '/nonexistent/file'], /\/nonexistent\/file cannot be read: ENOENT/],
    [['kv', 'import', '--idempotency-key', 'a b', '-'], /--idempotency-key a b: expected 1 to 128 visible ASCII/],
    [['kv', 'export', '/nonexistent/file'], /\/nonexistent\/file cannot be written: ENOENT/],
    [['kv', 'export', '/tmp'], /^quorate: \/tmp is a directory: name a file/],
    [['kv', 'export', '--prefix', 'a', '--end', 'b'], /--prefix cannot be combined with --start or --end/],
    [['kv', 'export', '--consistency', 'any'], /--consistency any: expected/],
    [['cluster', 'remove', ''], /node id '': expected/],
    [['cluster', 'transfer', ''], /node id '': expected/],
    [['kv', 'ls', '--limit', '0'], /--limit 0: expected a whole number from 1/],
    [['cluster', 'add-learner', '4'], /required option '--raft/],
    [['cluster', 'add-learner', 'x', '--raft', 'a:1', '--api', 'a:2'], /node id x: expected/],
    [['cluster', 'add-learner', '4', '--raft', 'a', '--api', 'a:2'], /raft address a is not of the form HOST:PORT/],
    [
      ['cluster', 'add-learner', '4', '--raft', 'a:1', '--api', 'ftp://a:2'],
      /API address ftp:\/\/a:2 has the scheme ftp/,
    ],
    [['cluster', 'initialize', '--member', '1'], /--member 1: expected ID,RAFT,API/],
    [['cluster', 'initialize', '--wait', 'soon'], /--wait soon: expected appended/],
    [
      ['cluster', 'initialize', '--server', '127.0.0.1:1,127.0.0.1:2'],
      /without --member a single node forms a cluster of its own, but --server names several \(127\.0\.0\.1:1, 127\.0\.0\.1:2\)/,
    ],
    [['cluster', 'set-voters', '1,,2'], /node id '': expected/],
    [['cluster', 'promote', '4;5'], /node id 4;5: expected/],
    [['cluster', 'promote'], /missing required argument 'ids'/],
    [['cluster', 'remove', '4', '--forse'], /unknown option '--forse'/],
    [['cluster', 'set-addresses', '4', '--raft', 'a:1'], /required option '--api/],
    [['cluster', 'set-addresses', '4', '--raft', '0.0.0.0:1', '--api', 'a:1'], /raft address 0\.0\.0\.0:1 names/],
    [['cluster', 'status', '--watch', '5'], /--watch 5 is not a duration[\s\S]*such as 2s/],
    [['cluster', 'status', '--server', 'a:1,,b:2'], /--server '': expected the API of a node/],
    [['cluster', 'status', 'now'], /too many arguments/],
    [['dev', '--log-level', 'loud'], /--log-level loud: expected one of/],
    [['dev', '--nodes', '10'], /--nodes 10: expected a whole number from 1 to 9/],
    [['dev', '--port', '65500'], /--port 65500: expected a whole number from 1 to 65335/],
    [['dev', '--data-dir', ''], /--data-dir '': expected the path of a directory/],
    [['recover', '--data-dir', ''], /--data-dir '': expected the directory of the survivor/],
    [
      ['serve', '--id', 'x', '--hartbeat', '1'],
      /--hartbeat[\s\S]*--heartbeat, if that was meant[\s\S]*--id x[\s\S]*--data-dir/,
    ],
  ]
  for (const [words, err] of cases) {
    const ran = await runCli(words)
    t.equal(ran.code, 1, words.join(' '))
    t.match(ran.err, err)
    t.equal(ran.out, '')
  }
  const unset = await runCli(['kv', 'get', 'a'], { environment: { QUORATE_SERVER: '' } })
  t.match(unset.err, /^quorate: QUORATE_SERVER='': expected the API of a node/)
  const empty = await runCli(['kv', 'put', 'a'], { input: '' })
  t.equal(empty.code, 1)
  t.match(empty.err, /the standard input is empty; to write an empty value, give '' or -/)
  for (const [input, err] of [
    ['', /the standard input holds no JSON: /],
    ['{"success": [', /the standard input holds no JSON: /],
    ['[]', /the standard input holds no transaction: \{"compare"/],
  ] as const) {
    const ran = await runCli(['kv', 'txn'], { input })
    t.equal(ran.code, 1, input)
    t.match(ran.err, err)
  }
})

t.test('help and version end with 0', async (t) => {
  for (const words of [['--help'], ['kv', '--help'], ['cluster', 'add-learner', '--help'], ['help', 'dev']]) {
    const ran = await runCli(words)
    t.equal(ran.code, 0, words.join(' '))
    t.match(ran.out, /Usage: quorate/)
  }
  t.match((await runCli(['cluster', 'add-learner', '--help'])).out, /where its peers reach it \(required\)/)
  const mistyped = await runCli(['cluster', 'stats'])
  t.match(
    mistyped.err,
    /^quorate: unknown command 'stats'[\s\S]*\n--help after a command shows its arguments and options\.\n$/,
  )
  t.match((await runCli(['--version'])).out, /^\d+\.\d+\.\d+/)
  t.match((await runCli(['config', 'show', '--help'])).out, /--json/)
  const serve = await runCli(['serve', '--help'])
  t.match(serve.out, /--election-timeout MIN-MAX \(default 300ms-600ms\)[\s\S]*Exit codes:[\s\S]* 16 +an address/)
})

t.test('every exit code is one that the documents explain', async (t) => {
  const page = await readFile(new URL('../../docs/OPERATIONS.md', import.meta.url), 'utf8')
  const explained = [...page.matchAll(/^\| (\d+) +\| \S/gm)].map(([, code]) => Number(code))
  const numbersOf = (codes: readonly number[]) => codes.toSorted((one, other) => one - other)
  t.same(numbersOf(explained), numbersOf(Object.values(exitCodes)), 'each once')
  const { stopped, usage, refused, storageFault, brokenInvariant } = exitCodes
  t.same([stopped, usage, refused, storageFault, brokenInvariant], [0, 1, 2, 3, 4], 'those of the contract')
})

t.test('config: a file is checked by itself, and what takes effect is shown with its source', async (t) => {
  const file = join(await temporaryDirectory(t), 'quorate.yaml')
  await writeFile(file, 'data-dir: d\nheartbeat: 40ms\ncluster-token: blue\n')
  const environment = { QUORATE_LOG_LEVEL: 'loud' }
  const checked = await runCli(['config', 'check', file], { environment })
  t.match(checked, { code: 0, out: `${file}: ok; a start also needs --id\n`, err: '' }, 'without the environment')
  t.match(await runCli(['config', 'show', '--config', file, '--id', '3'], { environment }), {
    code: 1,
    err: /config show: the configuration is wrong\n +QUORATE_LOG_LEVEL=loud /,
  })
  const shown = await runCli(['config', 'show', '--config', file, '--id', '3'], {
    environment: { QUORATE_RAFT: 'a:1' },
  })
  t.match(shown, { code: 0, out: /^id: 3 +# flag\ndata-dir: d +# .*quorate\.yaml:1\n[^]*^raft: a:1 +# QUORATE_RAFT$/m })
  t.notMatch(shown.out, 'blue')
  const json = await runCli(['config', 'show', '--id', '3', '--config', file, '--json'])
  const { settings } = JSON.parse(json.out) as { settings: unknown[] }
  t.match(settings[0], { name: 'id', value: '3', source: 'flag', secret: false })
  t.notMatch(json.out, 'blue')

  await writeFile(file, 'id: 1\ndata-dir: d\nhartbeat: 40ms\n')
  const wrong = await runCli(['config', 'check', file])
  t.match(wrong, { code: 1, out: '', err: /quorate\.yaml:3: hartbeat {2}is an unknown key\n +allowed: heartbeat, if/ })
  t.match(await runCli(['serve', '--config', file]), { code: 1, err: /serve: the configuration is wrong\n.*hartbeat/ })
})

t.test('a server that is not there, or is something else', async (t) => {
  const nobody = await runCli(['kv', 'get', 'a', '--server', '127.0.0.1:1'])
  t.equal(nobody.code, 9)
  t.equal(nobody.err, 'quorate: http://127.0.0.1:1: no server answers there (ECONNREFUSED)\n')
  const two = await runCli(['kv', 'get', 'a'], { environment: { QUORATE_SERVER: '127.0.0.1:1,127.0.0.1:2' } })
  t.match(two.err, /\n {2}Asked: http:\/\/127\.0\.0\.1:1, http:\/\/127\.0\.0\.1:2 \(QUORATE_SERVER\)\n$/)
  const named = await runCli(['cluster', 'status', '--server', '127.0.0.1:1,127.0.0.1:2'])
  t.match(named.err, /\n {2}Asked: http:\/\/127\.0\.0\.1:1, http:\/\/127\.0\.0\.1:2\n$/)
  for (const [api, server] of [
    ['0.0.0.0:1', 'http://127.0.0.1:1'],
    ['[::]:1', 'http://localhost:1'],
    ['127.0.0.2:1', 'http://127.0.0.2:1'],
    ['[::1]:1', 'http://[::1]:1'],
  ] as const) {
    const own = await runCli(['kv', 'get', 'a'], { environment: { QUORATE_API: api } })
    t.ok(own.err.startsWith(`quorate: ${server}: no server answers there`), `in the environment of a node at ${api}`)
    t.ok(own.err.endsWith(`\n  Asked: ${server} (QUORATE_API; --server names others)\n`), 'which is said')
  }
  const asJson = await runCli(['kv', 'put', 'a', 'b', '--json', '--server', '127.0.0.1:1'])
  t.match(JSON.parse(asJson.err), { code: 'unreachable', retryable: true, ambiguous: false })

  const server = await listen(t, (request, response) => {
    if (request.method === 'PUT') request.socket.destroy()
    else response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>Not here</h1>')
  })
  const page = await runCli(['kv', 'get', 'a'], { environment: { QUORATE_SERVER: server } })
  t.equal(page.code, 5)
  t.match(page.err, /^quorate: Status 404: this is not an answer of a Quorate node: .*\(unknown\)\n$/)
  const torn = await runCli(['kv', 'put', 'a', 'b', '--json', '--server', server])
  t.equal(torn.code, 10)
  t.match(JSON.parse(torn.err), { code: 'unreachable', ambiguous: true }, 'a torn write may have taken effect')
})

t.test('what can be done is said in flags and commands, by the code of a problem; JSON has the problem', async (t) => {
  let problem = {}
  const server = await listen(t, (_request, response) => {
    const common = { type: 'about:blank', status: 503, title: 'Refused', retryable: true, ambiguous: false }
    const document = { ...common, detail: 'set this=that', ...problem }
    response.writeHead(503, { 'content-type': 'application/problem+json' }).end(JSON.stringify(document))
  })
  const told = async (code: string, facts: object = {}): Promise<string> => {
    problem = { code, ...facts }
    return (await runCli(['kv', 'get', 'a', '--server', server])).err
  }
  t.match(
    await told('no-leader'),
    /^quorate: Refused: none was found within .*\(no-leader\)\n {2}Nothing was changed\. .*--consistency stale\.\n$/,
  )
  t.match(
    await told('unauthenticated', { retryable: false }),
    /^quorate: Refused: none was sent, .*\(unauthenticated\)\n {2}.*--token-file, QUORATE_TOKEN_FILE or QUORATE_TOKEN\.\n$/,
  )
  t.match(
    await told('not-initialized'),
    /no cluster yet \(not-initialized\)\n.*`quorate cluster initialize`.*`quorate cluster add-learner`\.\n$/,
  )
  t.match(
    await told('range-too-large', { limit: 4096, found: 5000 }),
    /5000 keys at least, and .* at most 4096 \(range-too-large\)\n {2}Nothing was deleted\. .*--chunked\.\n$/,
  )
  t.match(await told('learner-lagging', { id: 4, lag: 7 }), /node 4 is 7 entries behind \(.*\n.*--allow-lagging\.\n$/)
  t.match(
    await told('quorum-at-risk', { unreachable: [2, 3] }),
    /nodes 2, 3 do not answer.*\n.*--force to do it anyway\.\n$/,
  )
  t.match(
    await told('quorum-at-risk', { unreachable: [2] }),
    /: node 2 does not answer, so .*majority \(quorum-at-risk\)/,
  )
  // A node of another version may leave facts out, or give others.
  for (const facts of [{}, { limit: 'many', found: 2 }, { id: 1, unreachable: ['a'] }]) {
    for (const code of ['range-too-large', 'learner-lagging', 'quorum-at-risk']) {
      t.match(await told(code, facts), /^quorate: Refused: set this=that \([a-z-]+\)\n {2}\S.*--[a-z-]+.*\n$/, code)
    }
  }
  t.equal(
    await told('overloaded'),
    'quorate: Refused: set this=that (overloaded)\n  The same request may succeed later.\n',
  )
  t.equal(await told('constructor', { retryable: false }), 'quorate: Refused: set this=that (constructor)\n')
  t.notMatch(await told('no-leader', { ambiguous: true }), /may have taken effect/, 'a read changes nothing')
  const { err } = await runCli(['kv', 'put', 'a', 'b', '--server', server])
  t.match(err, /\(no-leader\)\n {2}The change may have taken effect/)
  problem = { code: 'no-leader' }
  const asJson = await runCli(['kv', 'get', 'a', '--json', '--server', server])
  t.match(JSON.parse(asJson.err), { ...problem, detail: 'set this=that' })
})

t.test('a member is removed in the role that it has, whatever the node that is asked knows', async (t) => {
  const membership = (learners: readonly number[]): string => {
    return JSON.stringify({ membership: { configs: [[1, 2]], learners, nodes: {} }, effective: true })
  }
  const roles = ['/cluster/membership', '/cluster/learners/4'] as const
  for (const known of [[], [4]]) {
    for (const role of [...roles, null]) {
      const asked: string[] = []
      const server = await listen(t, (request, response) => {
        const { pathname } = new URL(request.url ?? '', 'http://stand')
        asked.push(`${request.method} ${pathname}`)
        if (request.method === 'GET' && asked.length === 1) response.end(membership(known))
        else if (pathname === role) response.end(membership([]))
        else if (pathname === roles[0]) problem(response, 422, 'unknown-voter')
        else problem(response, 404, 'learner-not-found')
      })
      const { code, out, err } = await runCli(['cluster', 'remove', '4', '--server', server])
      const told = `${String(role)}, known as ${known.length === 1 ? 'a learner' : 'a voter'}: ${asked.join()}`
      if (role === null) t.match(err, /node 4 is not a member \(node-not-found\)/, told)
      else t.strictSame({ code, out }, { code: 0, out: 'voters    1, 2\nlearners  -\n' }, `${told} ${err}`)
    }
  }
})

t.test('what may have happened is said of a change, and never of a read', async (t) => {
  const may = /The change may have taken effect, or may still do so: check before you repeat it\./
  const page = await listen(t, (_request, response) => void response.writeHead(200).end('<h1>It works!</h1>'))
  const torn = await listen(t, (request) => void request.socket.destroy())
  const stopping = await listen(t, (_request, response) => problem(response, 503, 'shutting-down'))
  const member = ['--member', '1,127.0.0.1:1,127.0.0.1:2']
  const reads = [
    ['kv', 'get', 'a'],
    ['kv', 'ls'],
    ['kv', 'export'],
    ['kv', 'get', 'a', '--json'],
    ['cluster', 'status'],
  ]
  const changes = [
    ['kv', 'put', 'a', 'b'],
    ['kv', 'del', 'a'],
    ['kv', 'del', 'a', '--prefix'],
    ['kv', 'del', 'a', '--prefix', '--chunked'],
    ['kv', 'del', '--all'],
    ['cluster', 'initialize', ...member],
    ['cluster', 'add-learner', '4', '--raft', 'a:1', '--api', 'a:2'],
    ['cluster', 'promote', '4'],
    ['cluster', 'set-voters', '1,2'],
    ['cluster', 'set-addresses', '4', '--raft', 'a:1', '--api', 'a:2'],
    ['cluster', 'transfer'],
  ]
  for (const server of [page, torn]) {
    for (const words of reads) {
      const ran = await runCli([...words, '--server', server])
      t.equal(ran.code, server === torn ? 9 : 5, words.join(' '))
      t.notMatch(ran.err, /may have taken effect|ambiguous":true/)
      t.equal(ran.out, '', 'a page of somebody else is not a value')
    }
    for (const words of changes) {
      const ran = await runCli([...words, '--server', server])
      t.equal(ran.code, 10, words.join(' '))
      t.match(ran.err, may)
    }
  }
  for (const words of changes) {
    const ran = await runCli([...words, '--server', '127.0.0.1:1'])
    t.equal(ran.code, 9, 'nothing was sent')
    t.notMatch(ran.err, may)
  }
  const [write] = changes
  for (const after of ['127.0.0.1:1', stopping]) {
    const lost = await runCli([...(write ?? []), '--timeout', '300ms', '--server', `${torn},${after}`])
    t.equal(lost.code, 10, 'the first server may have carried it out before it fell silent')
    t.match(lost.err, may)
  }
})

t.test('status: asks all that are known, and shows the view that knows most', async (t) => {
  const views = new Map<string, ClusterStatus>()
  const addresses: string[] = []
  for (const at of [0, 1, 2, 3]) {
    addresses.push(
      await listen(t, (_request, response) => {
        const view = views.get(addresses[at] ?? '')
        if (view === undefined) response.destroy()
        else response.writeHead(200).end(JSON.stringify(view))
      }),
    )
  }
  const [leader = '', follower = '', removed = '', pristine = ''] = addresses
  const logId = (index: number) => ({ term: 3, node: 1, index })
  const member = {
    raft: 'a:1',
    role: 'voter' as const,
    priority: null,
    matched: 8,
    lag: 0,
    lastContactMs: 3,
    phase: null,
    remainingMs: null,
    snapshot: null,
  }
  const view = (
    id: number,
    state: NodeStateView,
    term: number,
    index: number,
    known: readonly string[],
  ): ClusterStatus => {
    const nodes = Object.fromEntries(known.map((api, at) => [at + 1, { raft: 'a:1', api: `http://${api}` }]))
    const membership = { configs: [known.map((_, at) => at + 1)], learners: [], nodes }
    const effective = { membership, logId: logId(0), committed: true, joint: false }
    return {
      ...clusterAnswer,
      clusterId: 'one',
      leader: 1,
      term,
      committed: logId(index),
      node: { ...clusterAnswer.node, id, state },
      membership: { effective, committed: effective, joint: false },
      nodes: Object.fromEntries(known.map((api, at) => [at + 1, { ...member, api: `http://${api}`, reachable: true }])),
    }
  }
  views.set(leader, view(1, 'leader', 3, 8, [leader, follower]))
  views.set(follower, view(2, 'follower', 3, 9, [leader, follower]))
  views.set(removed, view(3, 'removed', 2, 7, [leader, follower, removed]))
  views.set(pristine, { ...clusterAnswer, node: { ...clusterAnswer.node, id: 4 } })

  for (const asked of [leader, follower, removed, `${pristine},${removed}`]) {
    const ran = await runCli(['cluster', 'status', '--server', asked])
    t.equal(ran.code, 0, asked)
    t.match(ran.out, /\nas seen by +node 1 \(leader/)
    t.match(ran.out, asked.includes(removed) ? /answered +1, 2, 3\n/ : /answered +1, 2\n/)
  }
  const refused = { code: 'certificate-files', detail: 'the new file is of no use' }
  const uneven = { code: 'even-voters', detail: 'four voters' }
  views.set(leader, { ...view(1, 'leader', 3, 8, [leader, follower]), warnings: [uneven] })
  views.set(follower, { ...view(2, 'follower', 3, 9, [leader, follower]), warnings: [refused, uneven] })
  const warned = await runCli(['cluster', 'status', '--server', leader])
  t.match(
    warned.out,
    '\nwarning: four voters (even-voters)\nwarning: the new file is of no use (certificate-files, says node 2)\n' +
      '\nnext: see to the warnings above\n',
    'each once, also those that only a node knows whose view is not shown',
  )
  t.match(JSON.parse((await runCli(['cluster', 'status', '--json', '--server', leader])).out), {
    node: { id: 1 },
    warnings: [
      { ...uneven, nodes: [1, 2] },
      { ...refused, nodes: [2] },
    ],
  })
  const unanswered = await runCli(['cluster', 'status', '--server', `127.0.0.1:1,${leader}`])
  t.match(unanswered.out, /warning: four voters \(even-voters, say nodes 1, 2\)\n/)
  const beside = await runCli(['cluster', 'status', '--server', `${pristine},${leader}`])
  t.match(beside.out, `node 4 at http://${pristine} belongs to no cluster yet`)
  views.delete(follower)
  const silent = await runCli(['cluster', 'status', '--server', `127.0.0.1:1,${leader}`])
  t.equal(silent.code, 0)
  t.match(silent.out, /no answer from http:\/\/127\.0\.0\.1:1: no server answers there \(ECONNREFUSED\)\n/)
  t.match(silent.out, `no answer from http://${follower}: the connection was closed`)
  const json = await runCli(['cluster', 'status', '--json', '--server', removed])
  t.match(JSON.parse(json.out), { node: { id: 1, state: 'leader' } })

  views.set(leader, { ...view(1, 'follower', 4, 8, [leader, follower]), leader: null })
  const leaderless = await runCli(['cluster', 'status', '--server', removed])
  t.equal(leaderless.code, 8, 'no quorum is an exit code of its own')
  t.match(leaderless.out, /leader +\(unknown\)/)
  views.delete(leader)
  views.delete(removed)
  t.equal((await runCli(['cluster', 'status', '--server', removed])).code, 9)
})

t.test(
  'cluster initialize without members, once more: the same cluster, as long as the node is alone in it',
  async (t) => {
    const node = await startTestNode(t, 1, await temporaryDirectory(t))
    const environment = { QUORATE_SERVER: node.addresses.api }
    const run = async (...words: readonly string[]): Promise<Ran> =>
      await runCli(['cluster', ...words], { environment })
    const formed = JSON.parse((await run('initialize', '--json')).out) as { readonly clusterId: string }
    const again = await run('initialize')
    t.equal(again.code, 0, again.err)
    t.equal(again.out, `cluster ${formed.clusterId} has already been formed of this node alone\n`)
    t.match(JSON.parse((await run('initialize', '--json')).out), { clusterId: formed.clusterId })
    const other = await run('initialize', '--member', '2,127.0.0.1:1,127.0.0.1:2')
    t.equal(other.code, 5, 'it is not the one that was asked for')

    const two = await startTestNode(t, 1, await temporaryDirectory(t))
    const server = two.addresses.api
    const members = ['--member', `1,${two.addresses.raft},${server}`, '--member', '2,127.0.0.1:1,127.0.0.1:2']
    t.equal((await runCli(['cluster', 'initialize', ...members, '--wait', 'appended', '--server', server])).code, 0)
    const alone = await runCli(['cluster', 'initialize', '--server', server])
    t.equal(alone.code, 5, 'that cluster has two voters')
    t.match(alone.err, /\(already-initialized\)/)
  },
)

t.test('kv get reads whatever can be written', async (t) => {
  const node = await startTestNode(t, 1, await temporaryDirectory(t), ['--value-bytes-max', '16MiB'])
  const environment = { QUORATE_SERVER: node.addresses.api }
  t.equal((await runCli(['cluster', 'initialize'], { environment })).code, 0)
  const value = Buffer.alloc(16 * 1024 * 1024, 1)
  const file = join(await temporaryDirectory(t), 'value')
  await writeFile(file, value)
  t.equal((await runCli(['kv', 'put', 'large', '--file', file], { environment })).code, 0)
  t.ok((await runCli(['kv', 'get', 'large'], { environment })).bytes.equals(value), 'as it is')
  const record = await runCli(['kv', 'get', 'large', '--json'], { environment })
  t.equal(record.code, 0, record.err)
  t.equal((JSON.parse(record.out) as { value: string }).value.length, value.length, 'and as JSON, six times as large')
  t.match((await runCli(['kv', 'ls'], { environment })).out, /^large +\d+ +/m)
})

t.test('kv takes keys and values of every kind, and gives them back', async (t) => {
  const directory = await temporaryDirectory(t)
  const kept = ['--history-retention', '7m', '--history-revisions-max', '123456']
  const node = await startTestNode(t, 1, join(directory, 'data'), ['--value-bytes-max', '4096', ...kept])
  const environment = { QUORATE_SERVER: node.addresses.api }
  const run = async (words: readonly string[], input?: string): Promise<Ran> =>
    await runCli(words, { environment, ...(input === undefined ? {} : { input }) })
  t.equal((await run(['cluster', 'initialize'])).code, 0)
  const retention = async (): Promise<object | null> =>
    (JSON.parse((await run(['kv', 'retention', '--json'])).out) as { readonly retention: object | null }).retention
  // History begins once the level is raised. The test's own deadline ends this.
  while ((await retention()) === null) t.comment('not yet')
  t.match(await retention(), { revisions: 123_456, ageMs: 420_000 }, 'as much is kept as the flags say')
  const values = strangeValues(4096)
  const file = join(directory, 'value')
  for (const [at, key] of strangeKeys.entries()) {
    const said = key.slice(0, 20)
    const value = values[at % values.length] ?? Buffer.of()
    await writeFile(file, value)
    // Behind the two dashes a word is no option, whatever it looks like.
    const put = await run(['kv', 'put', '--file', file, '--', key])
    t.equal(put.code, 0, said + put.err)
    t.ok((await run(['kv', 'get', '--', key])).bytes.equals(value), said)
    t.match(JSON.parse((await run(['kv', 'get', '--json', '--', key])).out), { key, version: 1 }, said)
    const [version, ...others] = (await run(['kv', 'history', '--json', '--', key])).out.trimEnd().split('\n')
    t.match(JSON.parse(version ?? ''), { key, version: 1, deleted: false }, said)
    t.same(others, [], said)
    const [first = ''] = (await run(['kv', 'ls', '--json', '--limit', '1', '--', key])).out.split('\n')
    t.match(JSON.parse(first), { key }, `${said} as a prefix`)
    t.equal((await run(['kv', 'history', '--', key])).code, 0)
  }
  const keysIn = (lines: string): unknown[] =>
    lines
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { readonly key: string }).key)
  t.strictSame(keysIn((await run(['kv', 'ls', '--json'])).out), byBytes(strangeKeys))
  const table = await run(['kv', 'ls'])
  t.match(table.out, /^\\x202e +\d+ +/m, 'a key that turns the text around is shown, and does not do it')
  t.notMatch(table.out, /[\u0000\u202e\ufeff]/)
  const exported = (await run(['kv', 'export'])).out
  t.strictSame(keysIn(exported), byBytes(strangeKeys))
  for (const key of strangeKeys) t.match((await run(['kv', 'del', '--', key])).out, /^1 deleted/, key.slice(0, 20))
  t.equal((await run(['kv', 'ls'])).out.split('\n').length, 2, 'a heading')
  const imported = await run(['kv', 'import'], exported)
  t.equal(imported.code, 0, imported.err)
  for (const [at, key] of strangeKeys.entries())
    t.ok(
      (await run(['kv', 'get', '--', key])).bytes.equals(values[at % values.length] ?? Buffer.of()),
      key.slice(0, 20),
    )
  for (const key of strangersToKeys) {
    for (const words of [['put', '--file', file], ['get'], ['del'], ['history']])
      t.not((await run(['kv', ...words, '--', key])).code, 0, `${words[0]} ${key.slice(0, 10)}`)
  }
  await writeFile(file, Buffer.alloc(4097))
  t.match((await run(['kv', 'put', 'a', '--file', file])).err, /value-too-large/)
})

t.test('several servers: what one cannot serve is asked of the next', async (t) => {
  const asked: string[] = []
  const keys = new Set<string>()
  const stopping = await listen(t, (request, response) => {
    asked.push(`stopping ${request.method}`)
    problem(response, 503, 'shutting-down')
  })
  const torn = await listen(t, (request) => {
    asked.push(`torn ${request.method}`)
    keys.add(String(request.headers['idempotency-key']))
    request.socket.destroy()
  })
  const good = await listen(t, (request, response) => {
    asked.push(`good ${request.method}`)
    keys.add(String(request.headers['idempotency-key']))
    if (request.url?.includes('lost') === true) return problem(response, 404, 'key-not-found')
    const isRaw = request.headers.accept === 'application/octet-stream'
    const revisions = { 'quorate-create-revision': '7', 'quorate-mod-revision': '7', 'quorate-version': '1' }
    response.writeHead(200, revisions).end(isRaw ? 'v' : '{"revision":7,"leader":3}')
  })
  const run = async (servers: readonly string[], ...words: string[]): Promise<Ran> => {
    asked.length = 0
    keys.clear()
    return await runCli([...words, '--server', servers.join(',')])
  }
  prints(t, await run(['127.0.0.1:1', stopping, torn, good], 'kv', 'put', 'a', 'b'), 'revision 7\n')
  t.same(asked, ['stopping PUT', 'torn PUT', 'good PUT'])
  t.equal(keys.size, 1, 'a write whose answer was lost is repeated under one idempotency key')
  t.notOk(keys.has('undefined'))
  prints(t, await run([torn, good], 'kv', 'get', 'a'), 'v')
  t.equal((await run([good, stopping], 'kv', 'get', 'lost')).code, 6)
  t.same(asked, ['good GET'], 'an answer is an answer')
  const broken = await run([torn, good], 'cluster', 'transfer')
  t.equal(broken.code, 10, 'what must not be done twice is not repeated')
  t.same(asked, ['torn POST'])
  prints(t, await run([stopping, good], 'cluster', 'transfer'), 'leader 3\n')
  const nowhere = await run([stopping, '127.0.0.1:1'], 'kv', 'put', 'a', 'b', '--timeout', '300ms')
  t.ok([5, 9].includes(nowhere.code), 'nothing was done')
  t.match(nowhere.err, /shutting-down|no server answers there/)
  t.ok(asked.length > 1, 'again and again until the time is up')
  t.equal((await run([torn], 'kv', 'put', 'a', 'b')).code, 10)
  t.same(asked, ['torn PUT'], 'with one server a request is sent once')
})

t.test('an export that breaks off leaves no file', async (t) => {
  const headers = { 'content-type': 'application/x-ndjson', 'quorate-revision': '7' }
  const line = `${JSON.stringify({ key: 'a', value: 'v' })}\n`
  const breaking = await listen(t, (request, response) => {
    response.writeHead(200, headers).write(line)
    setTimeout(() => request.socket.destroy(), 50)
  })
  const file = join(await temporaryDirectory(t), 'export')
  await writeFile(file, 'an earlier export')
  const ran = await runCli(['kv', 'export', file, '--server', breaking])
  t.equal(ran.code, 9)
  t.match(ran.err, /^quorate: http:.*: the answer was cut off/)
  t.equal(await readFile(file, 'utf8'), 'an earlier export')
  t.same(await readdir(join(file, '..')), ['export'])
  const printed = await runCli(['kv', 'export', '--server', breaking])
  t.same([printed.code, printed.out], [9, line], 'the code tells that there is more')

  const whole = await listen(t, (_request, response) => void response.writeHead(200, headers).end(line))
  const link = join(file, '..', 'link')
  await symlink(file, link)
  t.equal((await runCli(['kv', 'export', link, '--server', whole])).out, '1 exported, revision 7\n')
  t.equal(await readFile(file, 'utf8'), line, 'the file behind the link is replaced')
  t.equal((await stat(file)).mode & 0o777, 0o600, 'it holds the data of the cluster')
  const full = await runCli(['kv', 'export', '/dev/full', '--server', whole])
  t.equal(full.code, 11)
  t.match(full.err, /^quorate: \/dev\/full cannot be written: ENOSPC/)
  t.ok((await stat('/dev/full')).isCharacterDevice(), 'what is no file is not replaced')
})

t.test('an import is sent to the first server that takes it, and is answered while it is sent', async (t) => {
  const keys: unknown[] = []
  let received = 0
  const early = await listen(t, (request, response) => {
    keys.push(request.headers['idempotency-key'])
    request.once('data', () => {
      const facts = { line: 2, imported: 0, nextLine: 1, retryable: true, ambiguous: false }
      response
        .writeHead(503)
        .end(JSON.stringify({ code: 'no-leader', title: 'No leader', detail: 'none', status: 503, ...facts }))
    })
    request.on('data', (piece: Buffer) => (received += piece.length))
  })
  const file = join(await temporaryDirectory(t), 'records')
  const size = 64 * 1024 * 1024
  await writeFile(file, Buffer.alloc(size, '\n'))
  const ran = await runCli(['kv', 'import', file, '--server', `127.0.0.1:1,${early}`, '--idempotency-key', 'mine'])
  t.equal(ran.code, 8)
  t.match(ran.err, /Nothing is written twice if the same records are imported again with --idempotency-key mine\n/)
  t.match(ran.err, `tail -n +1 ${file} | quorate kv import -`)
  t.same(keys, ['mine'])
  t.ok(received < size, 'the rest is not sent')

  const torn = await listen(t, (request) => void request.once('data', () => request.socket.destroy()))
  const unclear = await runCli(['kv', 'import', '--server', torn], { input: '{}' })
  t.equal(unclear.code, 10)
  t.match(unclear.err, /may have taken effect[\s\S]*with --idempotency-key [0-9a-f-]{36}\n$/)
  const gateway = await listen(
    t,
    (request, response) => void request.resume().once('end', () => response.writeHead(504).end()),
  )
  const lost = await runCli(['kv', 'import', '--server', gateway], { input: '{}' })
  t.equal(lost.code, 10)
  t.match(lost.err, /may have taken effect[\s\S]*with --idempotency-key [0-9a-f-]{36}\n$/)
  const nobody = await runCli(['kv', 'import', '--server', '127.0.0.1:1'], { input: '{}' })
  t.equal(nobody.code, 9)
  t.notMatch(nobody.err, /idempotency-key/)
  const directory = await runCli(['kv', 'import', '/tmp', '--server', torn])
  t.equal(directory.code, 1)
  t.match(directory.err, /^quorate: \/tmp is a directory: name a file/)
})

t.test('how far a stream is is told at a terminal, now and then, and cleared at the end', async (t) => {
  let now = 0
  let told = ''
  const terminal = (interactiveErrors: boolean) => ({
    interactiveErrors,
    printError: (text: string) => void (told += text),
  })
  const piece = Buffer.from('{}\n{}\n'.padEnd(1_000_000))
  const run = async (progress: StreamProgress): Promise<void> => {
    const pieces = async function* () {
      for (let n = 0; n < 4; n++) {
        now += 250
        yield piece
      }
    }
    for await (const passed of progress.counted(pieces())) t.equal(passed, piece)
    progress.end()
  }
  const known = new StreamProgress(terminal(true), {
    isShown: true,
    hasRecords: true,
    bytesMax: 5_000_000,
    now: () => now,
  })
  await run(known)
  t.same([known.records, known.bytes], [8, 4_000_000])
  t.same(told.split('\r\u001b[2K'), [
    '',
    '4 records, 2.0 MB of 5.0 MB, 8 records/s, 4.0 MB/s',
    '8 records, 4.0 MB of 5.0 MB, 8 records/s, 4.0 MB/s',
    '',
  ])
  told = ''
  await run(new StreamProgress(terminal(false), { isShown: true, hasRecords: true, now: () => now }))
  await run(new StreamProgress(terminal(true), { isShown: false, hasRecords: true, now: () => now }))
  t.equal(told, '')
})

t.test('a table has more rows than a call takes arguments', (t) => {
  const rows = Array.from({ length: 300_000 }, (_, at) => [`key/${at}`, '1'])
  const lines = formatTable(['KEY', 'REVISION'], rows).split('\n')
  t.same([lines[0], lines[1], lines.at(-2)], ['KEY         REVISION', 'key/0       1', 'key/299999  1'])
  t.end()
})

t.test('watching keeps nothing of what it has shown', async (t) => {
  const answerBytes = 1024 * 1024
  let answers = 0
  const server = await listen(t, (_request, response) => {
    answers += 1
    response.writeHead(200).end(JSON.stringify({ ...clusterAnswer, filler: `${answers}`.padEnd(answerBytes) }))
  })
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const heapAfter = async (count: number): Promise<number> => {
    await eventually(() => answers >= count)
    collect()
    return process.memoryUsage().heapUsed
  }
  let grown = Number.NaN
  const code = await runProgram(['cluster', 'status', '--watch', '100ms', '--server', server], {
    ...silentTerminal,
    printError: (text) => t.fail(text),
    untilInterrupted: async () => {
      const early = await heapAfter(4)
      grown = (await heapAfter(16)) - early
    },
  })
  t.equal(code, 0)
  t.ok(grown < 6 * answerBytes, `12 more answers of ${answerBytes} bytes, and ${grown} more bytes in use`)
})

t.test('Ctrl-C cuts a look short that hangs', async (t) => {
  let asked = 0
  let brokenOff = 0
  const hung = await listen(t, (request) => {
    asked += 1
    request.socket.on('close', () => (brokenOff += 1))
  })
  for (const servers of [hung, `${hung},${hung}`]) {
    const askedBefore = asked
    // Longer than it is waited for that the connections end.
    const patient = ['--timeout', '1m']
    const ran = await runCli(['cluster', 'status', '--watch', '--server', servers, ...patient], {
      interrupt: async () => await eventually(() => asked > askedBefore),
    })
    prints(t, ran, '')
    t.equal(asked, askedBefore + 1, 'nobody else is asked then')
    await eventually(() => brokenOff === asked)
  }
})

t.test(
  'status: voters that are down are no longer there to fail; what the autopilot only shows it does not do',
  async (t) => {
    const catchUp = { phase: null, remainingMs: null, snapshot: null }
    const alive = { raft: 'a:1', api: 'http://a:2', priority: null, matched: null, lag: null, lastContactMs: null }
    const node = (reachable: boolean | null) => ({ ...alive, ...catchUp, role: 'voter' as const, reachable })
    let shown: ClusterStatus = clusterAnswer
    const server = await listen(t, (_request, response) => void response.writeHead(200).end(JSON.stringify(shown)))
    const cases: [configs: number[][], down: number[], out: RegExp][] = [
      [[[1, 2, 3]], [], /may fail +1 voter\n/],
      [[[1, 2, 3, 4, 5]], [], /may fail +2 voters\n/],
      [[[1, 2, 3, 4, 5]], [2], /may fail +1 more \(1 of 5 is down\)\n/],
      [[[1, 2, 3]], [2], /may fail +0 more \(1 of 3 is down\)\n/],
      [[[1, 2, 3]], [2, 3], /may fail +no quorum: 2 of 3 are down\n/],
      [[[1, 2, 3]], [4], /may fail +1 voter\n/],
      [[[1]], [], /may fail +0 voters\n/],
      [
        [
          [1, 2, 3],
          [1, 2, 3, 4],
        ],
        [4],
        /may fail +1 voter -> 0 more \(1 of 4 is down\)\n/,
      ],
    ]
    for (const [configs, down, out] of cases) {
      const nodes = Object.fromEntries([1, 2, 3, 4, 5].map((id) => [id, node(!down.includes(id))]))
      const membership = { configs, learners: [], nodes: {} }
      const joint = configs.length > 1
      const effective = { membership, logId: null, committed: true, joint }
      shown = {
        ...clusterAnswer,
        nodes,
        membership: { effective, committed: effective, joint },
      }
      t.match((await runCli(['cluster', 'status', '--server', server])).out, out, JSON.stringify({ configs, down }))
    }
    type Stance = ClusterStatus['autopilot']
    const modes: [mode: Stance['mode'], decision: Stance['decision'], out: RegExp][] = [
      ['dry-run', 'replace-voter', /\nautopilot +dry-run, would replace-voter: why\n/],
      ['dry-run', 'none', /\nautopilot +dry-run, none: why\n/],
      ['on', 'remove-voter', /\nautopilot +on, remove-voter: why\n/],
    ]
    for (const [mode, decision, out] of modes) {
      shown = { ...clusterAnswer, autopilot: { mode, decision, reason: 'why', sinceMs: 0 } }
      t.match((await runCli(['cluster', 'status', '--server', server])).out, out)
    }
  },
)

t.test('recover: a dry run prints the command that does it, with all it was given', async (t) => {
  const directory = join(await temporaryDirectory(t), "node 1's")
  const node = await startTestNode(t, 1, directory)
  const { raft, api } = node.addresses
  const members = ['--member', `1,${raft},${api}`, '--member', '2,127.0.0.1:1,127.0.0.1:2']
  const formed = await runCli(['cluster', 'initialize', ...members, '--wait', 'appended', '--server', api])
  t.equal(formed.code, 0, formed.err)
  await node.stop()

  const words = ['recover', '--data-dir', directory, '--id', '1', '--raft', '10.0.0.1:7101', '--api', '10.0.0.1:7001']
  const tried = await runCli(words)
  t.equal(tried.code, 0, tried.err)
  const [, printed = ''] = /\nThe membership was not changed\. To do it: (quorate .*)\n$/.exec(tried.out) ?? []
  const shell = spawnSync('sh', ['-c', `quorate() { printf '%s\\n' "$@"; }; ${printed}`], { encoding: 'utf8' })
  const typed = shell.stdout.trimEnd().split('\n')
  t.strictSame(typed, [...words, '--yes'], 'as a shell reads it')
  const done = await runCli([...typed, '--json'])
  t.match(JSON.parse(done.out), {
    newMembership: { configs: [[1]], nodes: { 1: { raft: '10.0.0.1:7101', api: /10\.0\.0\.1:7001/ } } },
  })
  const plain = await runCli(['recover', '--data-dir', directory])
  t.match(plain.out, /there is nothing to recover/)
})

t.test('a token that goes by https is sent nowhere by http, whatever the members list', async (t) => {
  const directory = await temporaryDirectory(t)
  const { ca } = await writePems(directory, await issue(), (await authority()).cert)
  const { cert, key } = await issue()
  const asked: (string | undefined)[] = []
  const clear = await listen(t, (request, response) => {
    asked.push(request.headers.authorization)
    response.destroy()
  })
  const nodes = { 1: { raft: 'a:1', api: '' }, 2: { raft: 'a:2', api: `http://${clear}` } }
  const tokens: (string | undefined)[] = []
  const server = createSecureServer({ cert, key }, (request, response) => {
    tokens.push(request.headers.authorization)
    const membership = { configs: [[1, 2]], learners: [], nodes }
    const effective = { membership, logId: { term: 1, node: 1, index: 0 }, committed: true, joint: false }
    const shown = { effective, committed: effective, joint: false }
    const view = { ...clusterAnswer, clusterId: 'one', leader: 1, membership: shown }
    response.writeHead(200, { 'quorate-revision': '1' }).end(JSON.stringify(view))
  })
  const host = await listenUntilEnd(t, server)
  const origin = `https://${host}`
  nodes[1].api = origin
  const secret = ['--token', 'quorate_secret', '--ca', ca, '--server', origin]

  const status = await runCli(['cluster', 'status', ...secret])
  const told = new RegExp(`http://${clear}.*does not go on by http.*quorate cluster set-addresses`)
  t.match(status.out, told, 'the address that is to be changed')
  const environment = { QUORATE_TOKEN: 'quorate_secret' }
  const healthy = await runCli(['check', 'health', '--cluster', '--ca', ca, '--server', origin], { environment })
  t.match(healthy.out, told)
  const archived = await runCli(['diagnose', join(directory, 'archive'), ...secret])
  t.equal(archived.code, 0, archived.err)
  t.match(archived.err, told)
  const consistency = await runCli(['check', 'consistency', '--duration', '1s', ...secret])
  t.equal(consistency.code, 9, 'it would say nothing about the whole cluster')
  t.match(consistency.err, told)
  t.ok(tokens.length > 3 && tokens.every((token) => token === 'Bearer quorate_secret'))
  t.same(asked, [], 'nothing came by http')
  await runCli(['cluster', 'status', ...secret, '--server', `${origin},http://${clear}`])
  t.equal(asked.length, 1, 'one that the user has named is asked')
})

t.test('an argument that is no UTF-8 is refused, since it would become another one', async (t) => {
  const line = (...words: readonly (string | Buffer)[]): Buffer =>
    Buffer.concat(['node', 'quorate', ...words].flatMap((word) => [Buffer.from(word), Buffer.from([0])]))
  const words = ['kv', 'put', 'x', 'a\ufffd', '--server', '127.0.0.1:1']
  const [, , , , ...rest] = words
  const ill = await runCli(words, { commandLine: line('kv', 'put', 'x', Buffer.from([0x61, 0xff]), ...rest) })
  t.equal(ill.code, 1)
  t.match(ill.err, /argument 4 holds bytes that are not UTF-8.*--file or by the standard input/)
  const typed = await runCli(words, { commandLine: line(...words) })
  t.equal(typed.code, 9, 'who types U+FFFD means it')
  const unknown = await runCli(words)
  t.equal(unknown.code, 1)
  t.match(unknown.err, /argument 4 holds U\+FFFD, which may stand for bytes/)
})
