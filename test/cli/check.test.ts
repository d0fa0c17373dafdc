import { spawnSync } from 'node:child_process'
import { readFile, stat } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseTarGzip } from 'nanotar'
import t, { type Test } from 'tap'
import type { ClusterStatus, MemberStatus } from '../../src/api/cluster.ts'
import { judge } from '../../src/cli/cluster-health.ts'
import type { ClusterViews } from '../../src/cli/cluster-views.ts'
import { nextStep } from '../../src/cli/next-step.ts'
import { summaryOf, verdictOf } from '../../src/cli/perf-verdict.ts'
import { QuorateClient } from '../../src/client/quorate-client.ts'
import { withoutSecrets } from '../../src/cli/secrets.ts'
import { START_OVER } from '../../src/node/membership/unformed.ts'
import { wrongAddress } from '../../src/node/peers/warnings.ts'
import { nodeId } from '../../src/raft/index.ts'
import type { Server } from '../../src/server.ts'
import { missing } from '../support/missing.ts'
import { runCli, type Ran } from '../support/run-cli.ts'
import { temporaryDirectory, type Owner } from '../support/temporary-directory.ts'
import { startTestNode } from '../support/test-node.ts'
import { listenUntilEnd } from '../support/loopback-server.ts'

const never = async (): Promise<void> => await new Promise(() => undefined)

async function run(...words: string[]): Promise<Ran> {
  return await runCli(words, { interrupt: never })
}

/** A cluster of one node within this process. */
async function formedAlone(t: Test): Promise<{ api: string; directory: string }> {
  const directory = await temporaryDirectory(t)
  const { api } = (await startTestNode(t, 1, join(directory, 'data'))).addresses
  const formed = await run('cluster', 'initialize', '--server', api)
  t.equal(formed.code, 0, formed.err)
  return { api, directory }
}

/** A proxy in front of a node that answers every `nth` read of a key with the first answer that it has seen for that key. */
async function lyingProxy(owner: Owner, origin: string, nth: number): Promise<string> {
  const first = new Map<string, { status: number; headers: object; body: Buffer }>()
  let reads = 0
  const server = createServer((inbound, outbound) => {
    const { url = '', method, headers } = inbound
    const key = method === 'GET' ? new URL(url, origin).searchParams.get('key') : null
    const known = key === null ? undefined : first.get(key)
    reads += known === undefined ? 0 : 1
    if (known !== undefined && reads % nth === 0) {
      outbound.writeHead(known.status, { ...known.headers }).end(known.body)
      return
    }
    const forwarded = request(`${origin}${url}`, { method, headers }, (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('end', () => {
        const body = Buffer.concat(chunks)
        const { statusCode: status = 500 } = answer
        if (key !== null && status === 200 && !first.has(key)) first.set(key, { status, headers: answer.headers, body })
        outbound.writeHead(status, answer.headers).end(body)
      })
    })
    forwarded.on('error', () => outbound.destroy())
    inbound.pipe(forwarded)
  })
  const host = await listenUntilEnd(owner, server)
  return `http://${host}`
}

t.test('check consistency', async (t) => {
  const { api } = await formedAlone(t)

  await t.test('passes on a node that keeps its word, and leaves nothing behind', async (t) => {
    const ran = await run('check', 'consistency', '--duration', '1500ms', '--server', api)
    t.equal(ran.code, 0, ran.out + ran.err)
    t.match(ran.out, /^clients +2, on http\S+\noperations +[0-9]+: [0-9]+ answered/)
    t.match(ran.out, /linearizable: one order of the operations explains every answer\n$/)
    t.equal((await run('kv', 'ls', '--keys-only', '--server', api)).out, '')
  })

  await t.test('finds a stale read, and shows what it comes from', async (t) => {
    const proxy = await lyingProxy(t, api, 7)
    // It ends with the round in which the lie is met, however long it might go on.
    const ran = await run('check', 'consistency', '--duration', '60s', '--server', proxy, '--prefix', 'mine/')
    t.equal(ran.code, 14, ran.out + ran.err)
    t.match(ran.out, /NOT linearizable: no order of the operations on mine\/consistency\/[0-9a-f]+\/1\/[0-3] explains/)
    const lines = ran.out.split('\n').filter((line) => /^[> ] c[0-9]/.test(line))
    const culprits = lines.filter((line) => line.startsWith('>'))
    t.equal(culprits.length, 1, ran.out)
    t.match(culprits[0], new RegExp(`get .* -> "[0-9]+" m[0-9]+ .*, by ${proxy}$`))
    t.ok(lines.length >= 2 && lines.length <= 7, `${lines.length} lines`)
    const value = /-> ("[0-9]+")/.exec(culprits[0] ?? '')?.[1]?.replaceAll('"', '')
    t.ok(
      lines.some((line) => line.includes(`=${value}`)),
      'the write whose value was read is among them',
    )
    t.equal((await run('kv', 'ls', '--keys-only', '--server', api)).out, '', 'the keys are removed all the same')

    const json = await run('check', 'consistency', '--duration', '60s', '--server', proxy, '--json')
    t.equal(json.code, 14)
    t.match(JSON.parse(json.out), { verdict: 'violation', offence: { key: String, culprit: String, lines: [String] } })
  })

  await t.test('says nothing about what nobody answers', async (t) => {
    const away = await run('check', 'consistency', '--server', '127.0.0.1:1')
    t.equal(away.code, 9)
    const pristine = (await startTestNode(t, 2, join(await temporaryDirectory(t), 'data'))).addresses.api
    t.equal((await run('check', 'consistency', '--server', pristine)).code, 5)
    const mixed = await run('check', 'consistency', '--server', `${api},${pristine}`)
    t.equal(mixed.code, 1)
    t.match(mixed.err, /node 2 at \S+ does not belong to the cluster of the others/)
  })
})

t.test('a check that breaks off takes its keys with it', async (t) => {
  const { api } = await formedAlone(t)
  const { prototype } = QuorateClient
  const descriptor = Object.getOwnPropertyDescriptor(prototype, 'put') ?? {}
  const put = descriptor.value as QuorateClient['put']
  t.teardown(() => void Object.defineProperty(prototype, 'put', descriptor))
  for (const check of ['perf', 'consistency']) {
    let puts = 0
    const value = async function (this: QuorateClient, ...given: Parameters<QuorateClient['put']>) {
      puts += 1
      if (puts === 20) throw new TypeError('a bug')
      return await put.apply(this, given)
    }
    Object.defineProperty(prototype, 'put', { ...descriptor, value })
    await t.rejects(run('check', check, '--duration', '30s', '--server', api), { message: 'a bug' }, check)
    t.ok(puts >= 20, 'after some were written')
    const after = puts
    t.equal((await run('kv', 'ls', '--keys-only', '--server', api)).out, '', check)
    t.equal(puts, after, 'and nobody writes any more')
  }
})

t.test('check perf', async (t) => {
  t.test('judges by the measures of etcd', async (t) => {
    const fast = summaryOf([0.002, 0.001, 0.003, 0.004], 0, 0.02)
    t.match(fast, { puts: 4, putsPerSecond: 200, p50Seconds: 0.002, p99Seconds: 0.004, slowestSeconds: 0.004 })
    t.same(
      verdictOf(fast, 222).map(({ ok }) => ok),
      [true, true, true, true],
    )
    t.same(
      verdictOf(summaryOf([0.001, 0.6], 1, 0.02), 150).map(({ ok }) => ok),
      [false, false, false, false],
    )
    t.match(summaryOf([], 3, 1), { puts: 0, putsPerSecond: 0, p99Seconds: 0, stddevSeconds: 0 })
  })

  await t.test('measures a healthy cluster, and leaves nothing behind', async (t) => {
    const { api } = await formedAlone(t)
    const ran = await run('check', 'perf', '--duration', '1s', '--server', api)
    t.match(ran.out, /^puts +[0-9]+ of 256 \+ 1024 bytes, 0 failed\nput\/s +[0-9]+ of 150 asked for\np50 /)
    t.equal(ran.code, ran.out.endsWith('\nPASS\n') ? 0 : 13, ran.out)
    t.equal((await run('kv', 'ls', '--keys-only', '--server', api)).out, '')
    const json = await run('check', 'perf', '--duration', '1s', '--server', api, '--json')
    const { passed, puts } = JSON.parse(json.out) as { passed: boolean; puts: number }
    t.equal(json.code, passed ? 0 : 13)
    t.ok(puts > 0)
  })

  await t.test('does not run on a cluster that is not healthy', async (t) => {
    const { api } = await formedAlone(t)
    const ran = await run('check', 'perf', '--duration', '1s', '--server', `${api},127.0.0.1:1`)
    t.equal(ran.code, 13)
    t.match(
      ran.err,
      /the cluster is not healthy, so nothing was measured:\n {2}- http:\/\/127\.0\.0\.1:1 does not answer/,
    )
    t.equal(ran.out, '')
  })
})

const stance = { decision: 'none', reason: '', sinceMs: 0 } as const
const logId = (index: number) => ({ term: 2, node: 1, index })

function member(id: number, changes: Partial<MemberStatus> = {}): MemberStatus {
  return {
    raft: `a:${id}`,
    api: `http://a:${7000 + id}`,
    role: 'voter',
    priority: 1,
    reachable: true,
    matched: 9,
    lag: 0,
    lastContactMs: 1,
    phase: 'caught-up',
    remainingMs: null,
    snapshot: null,
    ...changes,
  }
}

/** What node `id` of a cluster of three says that is well. */
function view(id: number, changes: Partial<ClusterStatus> = {}): ClusterStatus {
  const membership = { configs: [[1, 2, 3]], learners: [], nodes: {} }
  const effective = { membership, logId: logId(0), committed: true, joint: false }
  return {
    clusterId: 'one',
    node: { id, state: id === 1 ? 'leader' : 'follower', incarnation: 'i', version: '1.0.0', uptimeMs: 1, disk: null },
    leader: 1,
    term: 2,
    vote: { term: 2, node: 1, committed: true },
    lastLogId: logId(9),
    committed: logId(9),
    applied: logId(9),
    purged: null,
    membership: { effective, committed: effective, joint: false },
    nodes: { 1: member(1), 2: member(2), 3: member(3) },
    failureTolerance: 1,
    digest: 'd',
    formation: { ...stance, mode: 'manual', seen: 0, expected: null, failure: null, sightings: [] },
    joining: { ...stance, mode: 'off', failure: null },
    autopilot: { ...stance, mode: 'off' },
    warnings: [],
    ...changes,
  }
}

function seen(views: readonly ClusterStatus[], more: Partial<ClusterViews> = {}): ClusterViews {
  const [newest = view(1)] = views
  return {
    newest,
    views: views.map((one) => ({ origin: `http://a:${7000 + one.node.id}`, view: one })),
    answered: views.map(({ node }) => node.id),
    silent: [],
    foreign: [],
    ...more,
  }
}

t.test('check health --cluster: what is wrong, a sentence each', async (t) => {
  const well = [view(1), view(2), view(3)]
  const found = (
    views: readonly ClusterStatus[],
    more: Partial<ClusterViews> = {},
    unready: (string | null)[] = [],
  ) => {
    const { findings, code, healthy, mayFail } = judge(seen(views, more), unready)
    t.equal(healthy, findings.length === 0)
    return { findings, code, mayFail }
  }
  t.same(found(well), { findings: [], code: 0, mayFail: 1 })
  const cases: [string, ReturnType<typeof found>, RegExp, number][] = [
    ['silent', found(well, { silent: [{ origin: 'http://x', reason: 'no' }] }), /http:\/\/x does not answer: no/, 13],
    [
      'foreign',
      found(well, { foreign: [{ origin: 'http://x', id: 9, clusterId: 'two' }] }),
      /another cluster, two/,
      13,
    ],
    ['not ready', found(well, {}, [null, 'late']), /node 2 is not ready: late/, 13],
    [
      'another leader',
      found([view(1), view(2, { leader: 3 })]),
      /node 2 takes node 3 for the leader, and others node 1/,
      13,
    ],
    ['lag', found([view(1, { nodes: { 2: member(2, { lag: 5000 }) } })]), /node 2 is 5000 entries behind/, 13],
    [
      'a voter down',
      found([view(1, { nodes: { 3: member(3, { reachable: false }) } })]),
      /voter 3 is not connected/,
      13,
    ],
    [
      'states that differ',
      found([view(1), view(2, { digest: 'e' })]),
      /nodes 1 and 2 have applied the log up to 9, and their states differ/,
      13,
    ],
    [
      'a warning',
      found([view(1), view(2, { warnings: [{ code: 'same-id', detail: 'two of them' }] })]),
      /two of them \(same-id, says node 2\)/,
      13,
    ],
    ['no leader', found([view(1, { leader: null }), view(2, { leader: null })]), /no leader is known/, 8],
    [
      'no quorum',
      found([view(1, { nodes: { 2: member(2, { reachable: false }), 3: member(3, { reachable: false }) } })]),
      /a majority of the voters is missing/,
      8,
    ],
    [
      'no cluster',
      found([view(1, { clusterId: null, membership: null, leader: null })]),
      /belongs to no cluster yet/,
      13,
    ],
  ]
  for (const [name, { findings, code }, text, expected] of cases) {
    t.match(findings.join('\n'), text, name)
    t.equal(code, expected, name)
  }
})

t.test('check health --cluster, on nodes', async (t) => {
  const directory = await temporaryDirectory(t)
  const nodes: Server[] = []
  const logged: string[] = []
  const log = { write: (line: string) => void logged.push(line) }
  const flags = ['--cluster-token', 'open-sesame', '--log-level', 'info']
  for (const id of [1, 2, 3]) nodes.push(await startTestNode(t, id, join(directory, String(id)), flags, log))
  const [first = '', second = ''] = nodes.map(({ addresses }) => addresses.api)
  const members = nodes.flatMap(({ addresses: { raft, api } }, at) => ['--member', `${at + 1},${raft},${api}`])
  t.equal((await run('cluster', 'initialize', ...members, '--server', first)).code, 0)
  const until = async (code: number): Promise<Ran> => {
    const deadline = performance.now() + 30_000
    for (;;) {
      const ran = await run('check', 'health', '--cluster', '--server', second)
      if (ran.code === code) return ran
      if (performance.now() > deadline) throw new Error(`never ${code}, at last ${ran.code}: ${ran.out}${ran.err}`)
      await delay(50)
    }
  }
  const well = await until(0)
  t.match(well.out, /^API +NODE +STATE +READY +LEADER +LAG\nhttp/)
  t.match(well.out, /\nhealthy: node [1-3] leads, 1 more may fail\n$/)
  const json = await run('check', 'health', '--cluster', '--json', '--server', second)
  t.match(JSON.parse(json.out), { healthy: true, findings: [], mayFail: 1, nodes: [{ ready: true }, {}, {}] })
  const names = `${first},${first.replace('127.0.0.1', 'localhost')}`
  const twice = await run('check', 'health', '--cluster', '--json', '--server', names)
  const ids = (JSON.parse(twice.out) as { nodes: { id: number; origin: string }[] }).nodes
  t.strictSame(
    ids.map(({ id, origin }) => [id, origin]),
    nodes.map(({ addresses }, at) => [at + 1, addresses.api]),
    'a node that is named twice counts once, under the first name',
  )
  t.match((await run('cluster', 'status', '--server', names)).out, /\nanswered +1, 2, 3\n/)

  await t.test('diagnose has the settings and the last log lines of every node', async (t) => {
    const file = join(directory, 'whole.tar.gz')
    const ran = await run('diagnose', file, '--server', second)
    t.match(ran.err, /^wrote \S+: [0-9]+ bytes, 3 nodes\n$/, 'nothing is missing')
    const files = await parseTarGzip(await readFile(file))
    const textOf = (name: string): string => files.find((one) => one.name === name)?.text ?? ''
    const summary = JSON.parse(textOf('summary.json')) as { nodes: { origin: string; folder: string }[] }
    t.equal(summary.nodes.length, 3)
    for (const { origin, folder, ...told } of summary.nodes) {
      const id = nodes.findIndex(({ addresses }) => addresses.api === origin) + 1
      const lines = textOf(`${folder}/log.ndjson`).split('\n').slice(0, -1)
      t.match(told, { withheld: null, log: { lines: lines.length, forgotten: 0 } })
      const events = lines.map((line) => JSON.parse(line) as { msg: string })
      t.match(
        events.find(({ msg }) => msg === 'ready to serve'),
        { level: 30, api: origin },
      )
      const written = new Set(logged.map((line) => JSON.stringify(JSON.parse(line))))
      t.same(
        lines.filter((line) => !written.has(line)),
        [],
        'each as it was written',
      )
      const settings = JSON.parse(textOf(`${folder}/settings.json`)) as { name: string }[]
      const setting = (name: string) => settings.find((one) => one.name === name)
      t.match(setting('id'), { value: String(id), source: 'flag', secret: false })
      t.match(setting('log-level'), { value: 'info' })
      t.match(setting('log-format'), { value: 'json', source: 'default' })
      t.match(setting('cluster-token'), { value: null, source: 'flag', secret: true })
    }
    t.notOk(
      files.some(({ text }) => text.includes('sesame')),
      'and no secret',
    )
  })

  await nodes[2]?.stop()
  const ill = await until(13)
  t.match(ill.out, /- http\S+ does not answer: /)
  t.match(ill.out, /\nnot healthy, 0 more may fail\n$/)
  const status = await run('cluster', 'status', '--server', second)
  t.match(status.out, /\n\nnext: start node 3 again; or, if it is gone for good, `quorate cluster remove 3`\n$/)

  t.test('diagnose puts what the nodes say into one archive, and names those that say nothing', async (t) => {
    const file = join(directory, 'report.tar.gz')
    const ran = await run('diagnose', file, '--server', second)
    t.equal(ran.code, 0, ran.err)
    t.match(ran.err, /^wrote \S+report\.tar\.gz: [0-9]+ bytes, 2 nodes\nwithout http\S+: /)
    t.equal((await stat(file)).mode & 0o777, 0o600)
    const files = await parseTarGzip(await readFile(file))
    const names = files.map(({ name }) => name)
    for (const name of ['status.json', 'version.json', 'live.txt', 'ready.txt', 'metrics.txt']) {
      t.equal(names.filter((one) => one.endsWith(`/${name}`)).length, 2, name)
    }
    const textOf = (ending: string): string => files.find(({ name }) => name.endsWith(ending))?.text ?? ''
    t.match(textOf('metrics.txt'), /^quorate_/m)
    t.match(textOf('live.txt'), /livez check passed/)
    t.match(JSON.parse(textOf('version.json')), { version: String })
    const summary = JSON.parse(textOf('summary.json')) as { unreachable: unknown[] }
    t.match(summary, { version: String, clusterId: String, nodes: [{}, {}], unreachable: [{ reason: String }] })
    t.equal(names.filter((one) => /\/(settings\.json|log\.ndjson)$/.test(one)).length, 4)
    t.match(JSON.parse(textOf('health.json')), { healthy: false })
    t.ok(Array.isArray(JSON.parse(textOf('configuration.json'))))

    const again = await run('diagnose', file, '--server', second)
    t.equal(again.code, 1)
    t.match(again.err, /report\.tar\.gz is there already: name another file/)
    const full = await run('diagnose', '/dev/full', '--server', second)
    t.equal(full.code, 11, 'as a backup whose disk is full')
    t.match(full.err, /^quorate: the archive \/dev\/full cannot be written: ENOSPC/)
    const piped = await run('diagnose', '-', '--server', second)
    t.equal((await parseTarGzip(piped.bytes)).length, files.length)
    t.equal((await run('diagnose', '-', '--server', '127.0.0.1:1')).code, 9)
  })
})

t.test('settings lose their secrets before they are shown', async (t) => {
  const settings = {
    id: 1,
    clusterToken: 'open sesame',
    emptyToken: '',
    authTokenFile: '/etc/token',
    discover: ['http://user:word@host/'],
    nested: { password: 'x', port: 5 },
  }
  t.same(withoutSecrets(settings), {
    id: 1,
    clusterToken: '(removed)',
    emptyToken: '',
    authTokenFile: '/etc/token',
    discover: ['http://(removed)@host/'],
    nested: { password: '(removed)', port: 5 },
  })
})

t.test('cluster status ends with what to do next, if anything', async (t) => {
  const down = { reachable: false }
  const listed = { raft: 'a:2', api: 'a:7002' }
  const wrong = wrongAddress(nodeId(2), listed, { raft: 'b:1', api: 'b:2' })
  const movedAway = { code: 'wrong-address', detail: wrong } as const
  const unformed = { code: 'unformed', detail: START_OVER } as const
  const cases: [string, ClusterViews, RegExp | null][] = [
    ['all is well', seen([view(1), view(2), view(3)]), null],
    ['no cluster', seen([view(1, { clusterId: null, membership: null })]), /quorate cluster initialize.*add-learner 1/],
    [
      'a cluster forms by itself',
      seen([view(1, { clusterId: null, membership: null, formation: { ...view(1).formation, mode: 'automatic' } })]),
      null,
    ],
    [
      'a majority is gone',
      seen([view(1, { nodes: { 2: member(2, down), 3: member(3, down) } })]),
      /^start nodes 2, 3 again.*quorate recover/,
    ],
    ['no leader', seen([view(1, { leader: null })]), /^wait a moment for an election/],
    ['one is down', seen([view(1, { nodes: { 2: member(2, down) } })]), /^start node 2 again.*cluster remove 2/],
    [
      'one answers its peers alone',
      seen([view(1)], { silent: [{ origin: 'http://a:7002', reason: 'no' }] }),
      /the peers of node 2 reach it/,
    ],
    [
      'one is down, and a warning says why',
      seen([view(1, { nodes: { 2: member(2, down) }, warnings: [movedAway] })]),
      /^run `quorate cluster set-addresses 2 --raft b:1 --api b:2`, or do what else the warning above says$/,
    ],
    [
      'one does not answer here, and a warning says why',
      seen([view(1, { warnings: [movedAway] })], { silent: [{ origin: 'http://a:7002', reason: 'no' }] }),
      /^run `quorate cluster set-addresses 2 /,
    ],
    [
      'one is down, and a warning may say why',
      seen([view(1, { nodes: { 2: member(2, down) }, warnings: [{ code: 'wrong-node', detail: 'x' }] })]),
      /^see to the warnings above; if they say nothing of it, start node 2 again.*cluster remove 2/,
    ],
    [
      'no leader, and a warning',
      seen([view(1, { leader: null, warnings: [unformed] })]),
      /^wait a moment .* if no leader appears, see to the warnings above$/,
    ],
    [
      'a majority of a cluster is gone that never had a leader',
      seen([view(1, { nodes: { 2: member(2, down), 3: member(3, down) }, warnings: [unformed] })]),
      /^start nodes 2, 3 again.*If that cannot be, see to the warnings above$/,
    ],
    ['a warning that names a command without arguments', seen([view(1, { warnings: [unformed] })]), /^see to the warn/],
    ['a warning', seen([view(1, { warnings: [{ code: 'same-id', detail: 'x' }] })]), /^see to the warnings above/],
    [
      'a warning of a node whose view is not shown',
      seen([view(1), view(2, { warnings: [{ code: 'certificate-files', detail: 'x' }] }), view(3)]),
      /^see to the warnings above/,
    ],
    [
      'a learner is ready',
      seen([view(1, { nodes: { 4: member(4, { role: 'learner' }) } })]),
      /`quorate cluster promote 4`/,
    ],
  ]
  for (const [name, views, text] of cases) {
    const step = nextStep(views)
    if (text === null) t.equal(step, null, name)
    else t.match(step, text, name)
  }
  const joining: ClusterStatus['joining'] = { ...stance, mode: 'on', failure: null }
  const learner = member(5, { role: 'learner' })
  const withVoters = (ids: number[]) => {
    const effective = {
      membership: { configs: [ids], learners: [5], nodes: {} },
      logId: logId(0),
      committed: true,
      joint: false,
    }
    return view(1, { joining, membership: { effective, committed: effective, joint: false }, nodes: { 5: learner } })
  }
  t.match(
    nextStep(seen([withVoters([1, 2, 3, 4])])),
    /^node 5 has caught up, and 4 voters bear no more losses than 3.*`quorate cluster promote 5`.*--voters-target/,
  )
  t.equal(nextStep(seen([withVoters([1, 2, 3])])), null, 'a spare beside an odd number of voters is as it should be')
  const membership = { configs: [[1, 2]], learners: [], nodes: {} }
  const two = { membership, logId: logId(0), committed: true, joint: false }
  const pair = view(1, { membership: { effective: two, committed: two, joint: false } })
  t.match(nextStep(seen([pair])), /^add a third voter/)
})

/** What a shell offers for a command line whose last word is being typed. */
const completers = {
  bash: (script: string, words: readonly string[]) => `${script}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')})
COMP_CWORD=${words.length - 1}
_quorate
printf '%s\\n' "\${COMPREPLY[@]}"
`,
  fish: (script: string, words: readonly string[]) => `${script}
complete -C '${words.join(' ')}'
`,
} as const

t.test('completion', async (t) => {
  const lines: [words: string[], offered: string[], not: string[]][] = [
    [
      ['quorate', ''],
      ['kv', 'cluster', 'check', 'diagnose'],
      ['get', 'health'],
    ],
    [['quorate', 'kv', 'g'], ['get'], ['put', 'kv']],
    [['quorate', 'kv', 'ls', '--server', 'put', '--key'], ['--keys-only'], ['--file']],
    [['quorate', 'cluster', 'status', '--se'], ['--server'], ['--member']],
    [['quorate', 'kv', 'get', '--server', 'a:1', '--con'], ['--consistency'], ['--timeout']],
    [['quorate', 'serve', '--snap'], ['--snapshot-hold-bytes'], ['--data-dir']],
    [['quorate', 'completion', ''], ['bash', 'zsh', 'fish'], ['kv']],
  ]
  for (const shell of ['bash', 'fish'] as const) {
    const there = spawnSync(shell, ['--version']).status === 0
    await t.test(shell, async (t) => {
      if (!there) return missing(t, shell, 'it is not installed here')
      const ran = await run('completion', shell)
      t.equal(ran.code, 0)
      for (const [words, offered, not] of lines) {
        const { stdout, stderr } = spawnSync(shell, ['-c', completers[shell](ran.out, words)], { encoding: 'utf8' })
        const found = stdout.split('\n').map((line) => line.split('\t')[0] ?? '')
        for (const word of offered) t.ok(found.includes(word), `${words.join(' ')} offers ${word}: ${stdout}${stderr}`)
        for (const word of not) t.notOk(found.includes(word), `${words.join(' ')} does not offer ${word}`)
      }
    })
  }
  await t.test('zsh', async (t) => {
    if (spawnSync('zsh', ['--version']).status !== 0) return missing(t, 'zsh', 'it is not installed here')
    const ran = await run('completion', 'zsh')
    const stub = `compdef() { : }
_files() { print -r -- FILES }
_describe() { local name=\${@[-1]}; print -rl -- \${(P)name} }
`
    for (const [words, offered] of lines) {
      const typed = `words=(${words.map((word) => `'${word}'`).join(' ')}); CURRENT=${words.length}; _quorate\n`
      const { stdout, stderr } = spawnSync('zsh', ['-f'], { input: `${stub}${ran.out}${typed}`, encoding: 'utf8' })
      const found = stdout.split('\n').map((line) => line.split(':')[0] ?? '')
      for (const word of offered) t.ok(found.includes(word), `${words.join(' ')} offers ${word}: ${stdout}${stderr}`)
    }
  })
  const wrong = await run('completion', 'csh')
  t.equal(wrong.code, 1)
  t.match(wrong.err, /Allowed choices are bash, zsh, fish/)
})

t.test('wrong usage of checks', async (t) => {
  const cases: [words: string[], err: RegExp][] = [
    [['check', 'health', '--cluster', '--id', '1'], /--id names one node, and --cluster means all/],
    [['check', 'consistency', '--duration', '5'], /--duration 5 is not a duration.*expected a duration from 1s to 10m/],
    [['check', 'consistency', '--clients', '33'], /--clients 33: at most 32 on each node/],
    [['check', 'consistency', '--prefix', 'ä'], /--prefix ä: expected at most 100 visible ASCII characters/],
    [['check', 'perf', '--load', 'xxl'], /--load xxl: expected s, m or l/],
    [['check', 'perf', '--duration', '2m'], /--duration 2m is above 1m/],
  ]
  for (const [words, err] of cases) {
    const ran = await run(...words)
    t.equal(ran.code, 1, words.join(' '))
    t.match(ran.err, err)
  }
})
