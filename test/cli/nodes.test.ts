import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { ClusterStatus } from '../../src/api/cluster.ts'
import type { Server } from '../../src/server.ts'
import { prints, runCli, type CliWorld, type Ran } from '../support/run-cli.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { startTestNode } from '../support/test-node.ts'
import { eventually, listen, problem } from './support/stand-in.ts'

t.test('against four nodes', async (t) => {
  const directory = await temporaryDirectory(t)
  const nodes: Server[] = []
  for (const id of [1, 2, 3, 4]) nodes.push(await startTestNode(t, id, join(directory, String(id))))
  const cli = async (node: number, words: readonly string[], world: CliWorld = {}): Promise<Ran> =>
    await runCli(words, { ...world, environment: { QUORATE_SERVER: nodes[node - 1]?.addresses.api ?? '' } })
  const memberOf = (id: number): string => {
    const { raft, api } = nodes[id - 1]?.addresses ?? { raft: '', api: '' }
    return `${id},${raft},${api}`
  }

  /** A leader that has just taken over refuses changes that need nodes which it has not heard yet. */
  const untilHeard = async (leader: number): Promise<void> => {
    const deadline = performance.now() + 10_000
    for (;;) {
      const { nodes: members } = JSON.parse((await cli(leader, ['cluster', 'status', '--json'])).out) as ClusterStatus
      const others = Object.entries(members).filter(([id]) => id !== String(leader))
      if (others.every(([, member]) => member.matched !== null && member.lastContactMs !== null)) return
      if (performance.now() > deadline)
        throw new Error(`node ${leader} does not hear from all: ${JSON.stringify(members)}`)
      await delay(10)
    }
  }

  await t.test('a pristine node shows that it belongs to nothing', async (t) => {
    const ran = await cli(1, ['cluster', 'status'])
    t.equal(ran.code, 0)
    t.match(ran.out, /cluster +\(none yet\)\nanswered +1\nas seen by +node 1 \(learner, version/)
    const write = await cli(1, ['kv', 'put', 'a', 'b', '--timeout', '200ms'])
    t.equal(write.code, 5)
    t.match(
      write.err,
      /\((no-leader|not-initialized|not-ready)\)\n {2}(The same request may succeed later|Nothing was changed|Form one)/,
    )
  })

  await t.test('initialize', async (t) => {
    const members = [1, 2, 3].flatMap((id) => ['--member', memberOf(id)])
    const formed = await cli(2, ['cluster', 'initialize', ...members])
    t.equal(formed.code, 0, formed.err)
    t.match(formed.out, /^cluster [0-9a-f-]+\nvoters {2}1, 2, 3\n$/)
    const again = await cli(2, ['cluster', 'initialize', ...members])
    prints(t, again, `${/^cluster \S+/.exec(formed.out)?.[0] ?? ''} has already been formed of these members\n`)
    const asJson = await cli(2, ['cluster', 'initialize', ...members, '--json'])
    t.match(JSON.parse(asJson.out), { clusterId: String, membership: { configs: [[1, 2, 3]] } })
    const others = ['--member', memberOf(2), '--member', memberOf(4)]
    const moved = ['--member', memberOf(1), '--member', memberOf(2), '--member', '3,127.0.0.1:1,127.0.0.1:2']
    for (const words of [others, moved, members.slice(0, 4), []]) {
      const refused = await cli(2, ['cluster', 'initialize', ...words])
      t.equal(refused.code, 5, words.join(' '))
      t.match(refused.err, /already-initialized/)
    }
    await untilHeard((JSON.parse((await cli(2, ['cluster', 'status', '--json'])).out) as ClusterStatus).leader ?? 0)
    const status = await cli(2, ['cluster', 'status'])
    t.match(status.out, /voters +1, 2, 3\n/)
    t.match(status.out, /may fail +1 voter\n/)
    t.match(status.out, /NODE +ROLE +PRIORITY +RAFT +API +REACHABLE +MATCHED +LAG +CONTACT\n1 +/)
    const document: unknown = JSON.parse((await cli(2, ['cluster', 'status', '--json'])).out)
    t.match(document, {
      clusterId: String,
      node: { state: 'leader' },
      failureTolerance: 1,
      nodes: { 1: { role: 'voter' } },
    })
  })

  await t.test('kv put, get and del', async (t) => {
    t.match((await cli(1, ['kv', 'put', 'hello', 'world'])).out, /^revision \d+\n$/)
    t.equal((await cli(2, ['kv', 'get', 'hello'])).out, 'world', 'the very bytes when no person reads')
    t.equal((await cli(3, ['kv', 'get', 'hello'], { interactive: true })).out, 'world\n')
    const record = JSON.parse((await cli(3, ['kv', 'get', 'hello', '--json'])).out) as { modRevision: number }
    t.match(record, { key: 'hello', value: 'world', version: 1 })

    await cli(1, ['kv', 'put', 'from/input'], { input: 'typed in' })
    t.equal((await cli(1, ['kv', 'get', 'from/input'])).out, 'typed in')
    const file = join(directory, 'value')
    await writeFile(file, Buffer.from([0, 255, 10, 128]))
    await cli(1, ['kv', 'put', '..', '--file', file])
    t.strictSame((await cli(2, ['kv', 'get', '..'])).bytes, Buffer.from([0, 255, 10, 128]))
    await cli(1, ['kv', 'put', 'empty', ''])
    t.equal((await cli(1, ['kv', 'get', 'empty'])).out, '')

    const stale = await cli(1, ['kv', 'put', 'hello', 'x', '--if-revision', String(record.modRevision - 1)])
    t.equal(stale.code, 7)
    t.match(stale.err, /precondition-failed/)
    const create = await cli(1, ['kv', 'put', 'hello', 'x', '--create', '--json'])
    t.match(JSON.parse(create.err), { code: 'precondition-failed', currentRevision: record.modRevision })
    t.equal((await cli(1, ['kv', 'put', 'hello', 'moon', '--if-revision', String(record.modRevision)])).code, 0)

    const missing = await cli(1, ['kv', 'get', 'nothing'])
    t.equal(missing.code, 6)
    t.match(missing.err, /key-not-found/)
    t.match((await cli(1, ['kv', 'del', 'hello'])).out, /^1 deleted, revision \d+\n$/)
    t.match(JSON.parse((await cli(1, ['kv', 'del', 'hello', '--json'])).out), { deleted: 0 })
    for (const consistency of ['linearizable', 'lease', 'stale']) {
      t.equal((await cli(1, ['kv', 'get', 'from/input', '--consistency', consistency])).out, 'typed in', consistency)
    }
  })

  await t.test('kv ls', async (t) => {
    for (const key of ['l/a', 'l/b', 'l/c\n']) await cli(1, ['kv', 'put', key, `value of ${key}`])
    const table = (await cli(2, ['kv', 'ls', 'l/'])).out.split('\n')
    t.match(table[0], /^KEY +REVISION {2}VALUE$/)
    t.match(table[1], /^l\/a +\d+ +value of l\/a$/)
    t.match(table[3], /^l\/c\\x0a +\d+ +value of l\/c\\x0a$/, 'control characters are shown')
    t.equal((await cli(2, ['kv', 'ls', 'l/', '--keys-only'])).out, 'l/a\nl/b\nl/c\\x0a\n')
    t.equal((await cli(2, ['kv', 'ls', 'l/', '--keys-only', '--reverse', '--limit', '2'])).out, 'l/c\\x0a\nl/b\n')
    const lines = (await cli(3, ['kv', 'ls', 'l/', '--json'])).out.trimEnd().split('\n')
    t.match(
      lines.map((line) => JSON.parse(line) as unknown),
      [{ key: 'l/a' }, { key: 'l/b' }, { key: 'l/c\n', value: 'value of l/c\n' }],
    )
    t.match((await cli(1, ['kv', 'ls'])).out, /\(4 bytes\)/, 'bytes that are no text are counted')
    t.match((await cli(1, ['kv', 'del', 'l/', '--prefix'])).out, /^3 deleted/)
    t.equal((await cli(2, ['kv', 'ls', 'l/', '--keys-only'])).out, '')
    t.match((await cli(1, ['kv', 'del', '--all'])).out, /^[1-9]\d* deleted/)
    t.equal((await cli(2, ['kv', 'ls', '--keys-only'])).out, '')
    await cli(1, ['kv', 'put', 'from/input'], { input: 'typed in' })
  })

  await t.test('kv export and kv import', async (t) => {
    let input = ''
    for (let n = 0; n < 300; n++) input += `${JSON.stringify({ key: `x/${n + 1000}`, value: `v${n}` })}\n`
    const imported = await cli(1, ['kv', 'import'], { input })
    t.equal(imported.code, 0, imported.err)
    t.match(imported.out, /^300 imported, revision \d+\n$/)
    const file = join(directory, 'export.ndjson')
    t.match((await cli(2, ['kv', 'export', file, '--prefix', 'x/'])).out, /^300 exported, revision \d+\n$/)
    const exported = await readFile(file, 'utf8')
    t.equal((await cli(3, ['kv', 'export', '-', '--prefix', 'x/'])).out, exported)
    t.match(JSON.parse((await cli(3, ['kv', 'export', file, '--start', 'x/1001', '--end', 'x/1003', '--json'])).out), {
      exported: 2,
      bytes: Number,
      revision: Number,
    })
    t.match((await cli(1, ['kv', 'del', 'x/', '--prefix'])).out, /^300 deleted/)
    await writeFile(file, `${exported}{`)
    const broken = await cli(2, ['kv', 'import', file, '--idempotency-key', 'again'])
    t.equal(broken.code, 5)
    t.equal(broken.out, '')
    t.match(
      broken.err,
      /^quorate: Invalid request: line\/301 is not valid JSON.* 256 records are in.* go on at line 257/,
    )
    t.match(broken.err, `tail -n +257 ${file} | quorate kv import -\n`)
    await writeFile(file, exported)
    const mended = await cli(3, ['kv', 'import', file, '--idempotency-key', 'again', '--json'])
    t.match(JSON.parse(mended.out), { imported: 300, revision: Number })
    const first = JSON.parse((await cli(1, ['kv', 'get', 'x/1000', '--json'])).out) as object
    t.match(first, { value: 'v0', version: 1 }, 'it is not written a second time')
    t.match((await cli(1, ['kv', 'del', 'x/', '--prefix'])).out, /^300 deleted/)
    const leased = await cli(1, ['kv', 'import'], { input: '{"key":"x/1","value":"","lease":7}\n' })
    t.match(leased, { code: 0, err: 'quorate: 1 of them named a lease; they are attached to none\n' })
    await cli(1, ['kv', 'del', 'x/1'])
  })

  await t.test('the past: --revision, kv history, kv compact', async (t) => {
    const put = async (value: string): Promise<string> => {
      const { revision } = JSON.parse((await cli(1, ['kv', 'put', 'past/\n', value, '--json'])).out) as {
        revision: number
      }
      return String(revision)
    }
    const first = await put('one')
    const second = await put('two')
    await cli(1, ['kv', 'del', 'past/\n'])
    t.equal((await cli(2, ['kv', 'get', 'past/\n', '--revision', first])).out, 'one')
    t.match(JSON.parse((await cli(2, ['kv', 'get', 'past/\n', '--revision', second, '--json'])).out), { value: 'two' })
    t.match((await cli(3, ['kv', 'ls', 'past/', '--revision', second])).out, /^past\/\\x0a +\d+ +two$/m)
    t.equal((await cli(3, ['kv', 'ls', 'past/', '--keys-only'])).out, '')
    const table = (await cli(2, ['kv', 'history', 'past/\n'])).out.trimEnd().split('\n')
    t.same(
      table.map((line) => line.split(/ {2,}/)),
      [
        ['REVISION', 'VERSION', 'VALUE'],
        [String(Number(second) + 1), '(deleted)'],
        [second, '2', 'two'],
        [first, '1', 'one'],
      ],
    )
    const lines = (await cli(2, ['kv', 'history', 'past/\n', '--limit', '2', '--json'])).out.trimEnd().split('\n')
    t.match(
      lines.map((line) => JSON.parse(line) as unknown),
      [{ deleted: true }, { deleted: false, value: 'two' }],
    )
    const shown = (await cli(1, ['kv', 'compact', '--show'])).out
    t.match(
      shown,
      /^readable +revisions \d+ to \d+\nrecorded +\d+ changes, \d+ bytes\nkept +1000000 changes, 24h, 1073741824 bytes at most\n$/,
    )
    t.match((await cli(1, ['kv', 'compact', second])).out, new RegExp(`^readable +revisions ${second} to `))
    t.match(JSON.parse((await cli(2, ['kv', 'compact', '--show', '--json'])).out), { compactRevision: Number(second) })
    t.match(
      (await cli(2, ['kv', 'retention', '--revisions', '5000', '--age', '2h'])).out,
      /^kept +5000 changes, 2h, 1073741824 bytes at most$/m,
    )
    const less = (await cli(3, ['kv', 'retention', '--bytes', '64MiB', '--json'])).out
    const retention = { revisions: 5_000, ageMs: 7_200_000, bytes: 64 * 1024 ** 2 }
    t.match(JSON.parse(less), { retention }, 'what no option names stays as it is')
    t.match(
      JSON.parse((await cli(1, ['kv', 'retention', '--json'])).out),
      { retention },
      'without options it only shows',
    )
    for (const [option, value, wrong] of [
      ['--revisions', '-1', /expected a whole number from 0/],
      ['--revisions', '1000000001', /is above 1000000000/],
      ['--age', '24', /--age '?24'? is not a duration/],
      ['--age', '1ms', /is below 1s/],
      ['--bytes', '1KiB', /is below 64KiB/],
    ] as const)
      t.match(await cli(1, ['kv', 'retention', `${option}=${value}`]), { code: 1, err: wrong }, `${option} ${value}`)
    const gone = await cli(1, ['kv', 'get', 'past/\n', '--revision', first])
    t.match(gone, { code: 5, err: /cannot be read any more: the oldest one that can is/ })
    for (const wrong of [
      ['compact'],
      ['compact', 'x'],
      ['compact', '5', '--show'],
      ['history', ''],
      ['get', 'a', '--revision', 'x'],
    ])
      t.equal((await cli(1, ['kv', ...wrong])).code, 1, wrong.join(' '))
  })

  await t.test('kv txn', async (t) => {
    const compare = [{ key: 't/lock', target: 'version', op: '=', value: 0 }]
    const success = [
      { list: { prefix: 't/', limit: 5 } },
      { put: { key: 't/lock', value: 'mine', prev: true } },
      { put: { key: 't/\n', valueBase64: '/w==' } },
      { get: { key: 't/lock' } },
    ]
    const failure = [
      { get: { key: 't/\n' } },
      { get: { key: 't/none' } },
      { list: { start: 't/', end: 't0', limit: 1, keysOnly: true } },
      { delete: { key: 't/lock', prev: true } },
    ]
    const body = JSON.stringify({ compare, success, failure })
    const file = join(directory, 'transaction.json')
    await writeFile(file, body)
    const first = await cli(2, ['kv', 'txn', file])
    t.equal(first.code, 0, first.err)
    const [head = '', ...table] = first.out.trimEnd().split('\n')
    const [, revision = ''] = /^succeeded, revision (\d+)$/.exec(head) ?? []
    t.same(
      table.map((line) => line.split(/ {2,}/)),
      [
        ['OPERATION', 'KEY', 'REVISION', 'RESULT'],
        ['list', 't/*', '0 records'],
        ['put', 't/lock', revision, 'version 1'],
        ['', 'before', 't/lock', '(absent)'],
        ['put', 't/\\x0a', revision, 'version 1'],
        ['get', 't/lock', revision, 'mine'],
      ],
    )
    const second = await cli(3, ['kv', 'txn'], { input: body })
    t.equal(second.code, 7, 'a comparison that does not hold is a condition that failed')
    t.equal(second.err, '')
    t.match(second.out, /^failed, revision \d+\n/)
    t.match(second.out, /\nget +t\/\\x0a +\d+ +\(1 bytes\)\nget +t\/none +\(absent\)\n/)
    t.match(second.out, /\nlist +t\/\.\.t0 +1 records, and there are more\n +t\/\\x0a +\d+\n/)
    t.match(second.out, /\ndelete +t\/lock +\d+ +1 deleted\n {2}before +t\/lock +\d+ +mine\n$/)
    const asJson = await cli(1, ['kv', 'txn', '-', '--json'], { input: body })
    t.equal(asJson.code, 0)
    t.match(JSON.parse(asJson.out), {
      succeeded: true,
      results: [{ list: {} }, { put: { version: 1, prev: null } }, {}, {}],
    })
    const nothing = await cli(1, ['kv', 'txn'], { input: JSON.stringify({ compare, success }) })
    t.equal(nothing.code, 7)
    t.match(nothing.out, /^failed, revision \d+\n$/)

    const mistakes = await cli(1, ['kv', 'txn'], { input: '{"success": [{"get": {}}, {"put": {"key": "a"}}]}' })
    t.equal(mistakes.code, 5)
    t.match(
      mistakes.err,
      /\n {2}body\/success\/0\/get: lacks key\n {2}body\/success\/1\/put: lacks value or valueBase64\n/,
    )
    const twice = await cli(1, ['kv', 'txn'], { input: '{"success": [{"get": {"key": "a", "key": "b"}}]}' })
    t.match(twice.err, /has an object with the name "key" twice/, 'the text is sent as it is')
    t.match((await cli(1, ['kv', 'del', 't/', '--prefix'])).out, /^2 deleted/)
  })

  await t.test('status, watched until Ctrl-C', async (t) => {
    const shown = async (words: readonly string[], interactive: boolean, pattern: RegExp): Promise<Ran> =>
      await cli(1, ['cluster', 'status', '--watch', '100ms', ...words], {
        interactive,
        interrupt: async (printed) => {
          while ((printed().match(pattern) ?? []).length < 3) await delay(10)
        },
      })
    const redrawn = await shown([], true, /may fail/g)
    t.equal(redrawn.code, 0)
    t.ok(redrawn.out.split('\u001b[H\u001b[J').length >= 4, 'the screen is cleared each time')
    const lines = await shown(['--json'], true, /\n/g)
    t.match(
      lines.out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
      [{ node: { state: 'leader' } }, { node: { state: 'leader' } }, { node: { state: 'leader' } }],
      'one document a line',
    )
    t.notMatch((await shown([], false, /may fail/g)).out, /\u001b/, 'no control characters when no person reads')
    const nobody = await runCli(['cluster', 'status', '--watch', '100ms', '--server', '127.0.0.1:1'], {
      interrupt: async () => await delay(250),
    })
    t.equal(nobody.code, 0, 'a node that is away does not end the watch')
    t.match(nobody.err, /no server answers there[\s\S]*no server answers there/)
  })

  await t.test('learners, voters, transfer, removal', async (t) => {
    const [, raft = '', api = ''] = memberOf(4).split(',')
    const unknown = await cli(1, ['cluster', 'set-voters', '1,2,4'])
    t.equal(unknown.code, 5)
    t.match(unknown.err, /unknown-voter/)
    prints(t, await cli(1, ['cluster', 'add-learner', '4', '--raft', raft, '--api', api]), 'learner 4: caught up\n')
    prints(t, await cli(4, ['kv', 'get', 'from/input']), 'typed in')
    prints(t, await cli(1, ['cluster', 'promote', '4']), 'voters    1, 2, 3, 4\nlearners  -\n')
    prints(t, await cli(1, ['cluster', 'set-voters', '1,2,3', '--retain']), 'voters    1, 2, 3\nlearners  4\n')
    prints(t, await cli(1, ['cluster', 'set-voters', '1,2,3,4']), 'voters    1, 2, 3, 4\nlearners  -\n')
    const same = ['cluster', 'set-addresses', '4', '--raft', raft, '--api', api]
    prints(t, await cli(2, same), `node 4: raft ${raft}, API ${api}\n`)
    t.match(JSON.parse((await cli(2, [...same, '--json'])).out), { membership: { nodes: { 4: { raft, api } } } })
    const taken = await cli(2, ['cluster', 'set-addresses', '3', '--raft', raft, '--api', api])
    t.equal(taken.code, 5)
    t.match(taken.err, /address-conflict/)
    const nobody = await cli(2, ['cluster', 'set-addresses', '9', '--raft', 'a:1', '--api', 'a:2'])
    t.match(nobody.err, /node-not-found/)
    prints(t, await cli(3, ['cluster', 'transfer', '4']), 'leader 4\n')
    await untilHeard(4)
    prints(t, await cli(4, ['cluster', 'transfer', '1', '--json']), '{"leader":1}\n')
    await untilHeard(1)
    prints(t, await cli(4, ['cluster', 'set-voters', '1,2,3', '--retain']), 'voters    1, 2, 3\nlearners  4\n')
    prints(t, await cli(2, ['cluster', 'remove', '4']), 'voters    1, 2, 3\nlearners  -\n')
    prints(t, await cli(1, ['cluster', 'remove', '3']), 'voters    1, 2\nlearners  -\n')
    const unknownNode = await cli(1, ['cluster', 'remove', '7'])
    t.equal(unknownNode.code, 5)
    t.match(unknownNode.err, /^quorate: .*node 7 is not a member \(node-not-found\)\n$/)
    const atRaft = await runCli(['cluster', 'status', '--server', memberOf(1).split(',')[1] ?? ''])
    t.equal(atRaft.code, 9)
    t.match(atRaft.err, /closed without an answer; .* may be the raft address of a node/)
  })
})

t.test('kv watch prints changes until Ctrl-C', async (t) => {
  const node = await startTestNode(t, 1, await temporaryDirectory(t))
  const environment = { QUORATE_SERVER: node.addresses.api }
  const run = async (...words: string[]) => await runCli(words, { environment })
  await run('cluster', 'initialize')
  /** Watches until `lines` lines are printed; `meanwhile` runs once the first of them is. */
  const watched = async (words: string[], lines: number, meanwhile: () => Promise<unknown> = async () => {}) => {
    const interrupt = async (printed: () => string): Promise<void> => {
      await meanwhile()
      await eventually(() => printed().split('\n').length > lines)
    }
    return await runCli(['kv', 'watch', ...words], { environment, interrupt })
  }
  const json = await watched(['--json'], 2, async () => {
    await eventually(() => true)
    await run('kv', 'put', 'a/1', 'one')
  })
  const [first, second] = json.out
    .split('\n')
    .map((line) => (line === '' ? {} : (JSON.parse(line) as { revision?: number })))
  t.match(first, { type: 'progress' })
  t.match(second, { type: 'put', key: 'a/1', value: 'one', version: 1 })
  t.equal(json.code, 0)
  const since = String((second?.revision ?? 0) - 1)
  await run('kv', 'put', 'a/1', 'two')
  await run('kv', 'put', 'b', 'x')
  await run('kv', 'del', 'a/1')
  const text = await watched(['--prefix', 'a/', '--since', since, '--prev'], 3)
  t.match(
    text.out,
    /^\d+ {2}put {2}a\/1 {2}one {2}\(new\)\n\d+ {2}put {2}a\/1 {2}two {2}\(was one\)\n\d+ {2}delete {2}a\/1 {2}\(was two\)\n$/,
  )
  t.match((await watched(['b', '--since', since], 1)).out, /^\d+ {2}put {2}b {2}x\n$/)
  t.match((await watched(['--start', 'b', '--end', 'c', '--since', since], 1)).out, /put {2}b/)
  const uninterrupted = { environment, interrupt: () => new Promise<void>(() => undefined) }
  t.match(await runCli(['kv', 'watch', '--since', '999999'], uninterrupted), { code: 5, err: /future-revision/ })
  const compacted = await listen(t, (_, response) => problem(response, 410, 'compacted'))
  t.match(await runCli(['kv', 'watch', '--server', compacted, '--timeout', '300ms'], uninterrupted), {
    code: 5,
    err: /compacted/,
  })
  for (const words of [
    ['a', '--prefix', 'b'],
    ['--prefix', 'a', '--end', 'b'],
    ['', '--json'],
    ['--since', 'x'],
  ]) {
    t.match(await run('kv', 'watch', ...words), { code: 1 }, words.join(' '))
  }
  t.match(await runCli(['kv', 'watch', '--server', '127.0.0.1:1', '--timeout', '300ms'], uninterrupted), { code: 9 })
})

t.test('kv watch goes on at another server after the last revision that it has whole', async (t) => {
  const asked: (string | undefined)[] = []
  const put = (revision: number, key: string, isLast = true): string => {
    const record = { key, value: 'v', createRevision: 1, modRevision: revision, version: 1, lease: 0 }
    return `${isLast ? `id: ${revision}\n` : ''}event: put\ndata: ${JSON.stringify(record)}\n\n`
  }
  const begun = { 'content-type': 'text/event-stream', 'quorate-revision': '3' }
  const cutOff = await listen(t, ({ url }, response) => {
    asked.push(url)
    if (asked.length > 1) return problem(response, 503, 'shutting-down')
    response.writeHead(200, begun)
    response.write(put(5, 'a') + put(7, 'b', false))
    setTimeout(() => response.destroy(), 50)
  })
  const other = await listen(t, ({ url }, response) => {
    asked.push(url)
    response.writeHead(200, begun)
    response.write(put(7, 'b', false) + put(7, 'c').slice(0, 9))
    setTimeout(() => response.write(put(7, 'c').slice(9)), 50)
  })
  const interrupt = async (printed: () => string): Promise<void> =>
    await eventually(() => printed().includes('7  put  c'))
  const ran = await runCli(['kv', 'watch', '--prefix', 'ä&', '--server', `${cutOff},${other}`], { interrupt })
  t.equal(ran.out, '5  put  a  v\n7  put  b  v\n7  put  c  v\n')
  t.match(asked[0], /^\/watch\?prefix=%C3%A4%26(?!.*since)/)
  t.match(asked.at(-1), /^\/watch\?prefix=%C3%A4%26&since=5\b/)
})
