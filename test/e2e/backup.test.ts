import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import type { BackupSummary } from '../../src/backup.ts'
import { BlockReader, type Block } from '../../src/node/backup/block-reader.ts'
import type { RestoreReport } from '../../src/restore.ts'
import { runCli } from '../support/run-cli.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { TestCluster } from './support/cluster.ts'
import { eventually } from './support/eventually.ts'
import { contradictions, holdingsOf } from './support/holdings.ts'
import { Load } from './support/load.ts'
import type { NodeProcess } from './support/node-process.ts'
import { listenUntilEnd } from '../support/loopback-server.ts'

const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

const specOf = ({ addresses: { id, raft, api } }: NodeProcess): string => `${id},${raft},${api}`

function restoreWords(file: string, node: NodeProcess, members: readonly NodeProcess[], ...more: string[]): string[] {
  const words = ['restore', file, '--data-dir', node.directory, '--id', String(node.id)]
  return [...words, '--members', ...members.map(specOf), ...more]
}

async function restoredAt(file: string, nodes: readonly NodeProcess[], ...more: string[]): Promise<RestoreReport[]> {
  const reports: RestoreReport[] = []
  for (const node of nodes) {
    const done = await runCli(restoreWords(file, node, nodes, '--json', ...more))
    if (done.code !== 0) throw new Error(done.err)
    reports.push(JSON.parse(done.out) as RestoreReport)
  }
  return reports
}

/** One node with some keys, its backup, and a place for files. */
async function backedUp(test: Test) {
  const cluster = await TestCluster.formed(test, { size: 1 })
  const node = cluster.node(1)
  for (let number = 0; number < 20; number++) await node.client.putKey(`k${number}`, 'x'.repeat(1_000))
  const directory = await temporaryDirectory(test)
  const file = join(directory, 'a.backup')
  const taken = await runCli(['backup', file, '--server', node.addresses.api])
  if (taken.code !== 0) throw new Error(taken.err)
  test.match(taken.out, /^20 keys at revision \d+ of cluster [0-9a-f]+-[0-9a-f]+, 0\.0 MB\n$/)
  return { cluster, node, directory, file, bytes: await readFile(file) }
}

t.test('a backup under load of a follower becomes a cluster of three, which the old members cannot join', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 3 })
  const load = new Load(t, { clients: 4, prefix: 'load/', valueBytes: 500 }, cluster.nodes)
  await eventually('writes are acknowledged', () => (load.count('acknowledged') > 400 ? true : null))
  const leader = await cluster.leader()
  const follower = cluster.others(leader.id)[0] ?? leader
  const file = join(cluster.directory, 'cluster.backup')
  const during = load.count('acknowledged')
  const taken = await runCli(['backup', file, '--server', follower.addresses.api, '--json'])
  t.equal(taken.code, 0, taken.err)
  const summary = JSON.parse(taken.out) as BackupSummary
  t.match(summary, { node: follower.id, clusterId: (await cluster.status(leader.id)).clusterId, format: 1 })
  t.ok(summary.keys >= during, 'everything that was acknowledged before is in it')
  t.equal((await stat(file)).mode & 0o777, 0o600, 'only its owner can read it')
  await eventually('writes go on', () => (load.count('acknowledged') > during + 50 ? true : null))
  await load.stop()
  const verified = await runCli(['backup', 'verify', file])
  t.equal(verified.code, 0, verified.err)
  t.match(verified.out, new RegExp(`revision +${summary.revision}\nkeys +${summary.keys}\n`))
  const metrics = (await follower.client.get('/metrics')).text
  t.match(metrics, /^quorate_backups_total 1$/m)
  t.match(metrics, new RegExp(`^quorate_backup_last_size_bytes ${(await stat(file)).size}$`, 'm'))
  await cluster.untilEqual()
  const then = await holdingsOf(leader, 'load/', `&revision=${summary.revision}`)
  for (const node of cluster.nodes) await node.stop()

  const fresh = [await cluster.add(), await cluster.add(), await cluster.add()]
  const [first = leader] = fresh
  const dry = await runCli(restoreWords(file, first, fresh, '--dry-run'))
  t.match(dry, {
    code: 0,
    out: /This would become[\s\S]*voters +4 at [\s\S]*Nothing was changed\. To do it: quorate restore /,
  })
  t.same((await readdir(cluster.directory)).sort(), ['cluster.backup', 'node-1', 'node-2', 'node-3'])
  const reports = await restoredAt(file, fresh, '--revision-gap', '0')
  t.equal(new Set(reports.map(({ clusterId }) => clusterId)).size, 1)
  t.match(reports[0], { isDone: true, revision: summary.revision, membership: { configs: [[4, 5, 6]] } })
  t.same((await readdir(first.directory)).sort(), ['identity.json', 'lock', 'log', 'state'])
  await Promise.all(fresh.map(async (node) => await node.start()))
  await cluster.untilReady(fresh)
  const { digests } = await cluster.untilEqual(fresh)
  t.same(
    digests,
    fresh.map(() => summary.digest),
    'the digest of the backup, on every node',
  )
  for (const node of fresh)
    t.same(await holdingsOf(node, 'load/'), then, `node ${node.id} has what was there at that revision`)
  t.equal((await first.client.putKey('after', 'restore')).status, 200)
  const now = await cluster.leader(fresh)
  t.match(await cluster.status(now.id), { clusterId: reports[0]?.clusterId, failureTolerance: 1, warnings: [] })
  await now.kill()
  const rest = fresh.filter(({ id }) => id !== now.id)
  await cluster.untilReady(rest)
  t.equal((await (rest[0] ?? now).client.putKey('after', 'failover')).status, 200, 'one of three may fail')

  await leader.start()
  const refused = await (rest[0] ?? now).client.post('/cluster/learners', leader.addresses)
  t.match(refused.json(), { status: 409, code: 'peer-disagrees' }, 'a node of the old cluster is not taken in')
  t.match(await cluster.status(leader.id), { clusterId: summary.clusterId })
})

t.test('revisions go on behind a gap unless it is told otherwise', async (t) => {
  const { cluster, node, file } = await backedUp(t)
  await node.client.putKey('lost', '1')
  const lost = (await node.client.get('/kv?key=lost')).headers['quorate-mod-revision']
  await node.stop()
  const fresh = await cluster.add()
  const [report] = await restoredAt(file, [fresh])
  if (report === undefined) throw new Error('one node')
  t.ok(report.revision > 1_000_000_000 && report.compactedRevision === report.revision)
  await fresh.start()
  await cluster.untilReady([fresh])
  t.match((await fresh.client.get(`/kv?key=k1&revision=${String(lost)}`)).json(), { code: 'compacted' })
  t.match((await fresh.client.get(`/watch?key=k1&since=${String(lost)}`)).json(), { code: 'compacted' })
  t.equal((await fresh.client.get('/kv?key=k1')).text, 'x'.repeat(1_000))
  const put = (await fresh.client.putKey('k1', 'new')).json<{ readonly revision: number }>()
  t.ok(put.revision > report.revision)
  await fresh.stop()
  const other = { ...fresh.addresses, id: 2 }
  const named = ['restore', file, '--data-dir', join(cluster.directory, 'again'), '--id', '2', '--json', '--dry-run']
  const words = [...named, '--members', `2,${other.raft},${other.api}`]
  const ids = [words, [...words, '--name', 'second']].map(
    async (one) => (JSON.parse((await runCli(one)).out) as RestoreReport).clusterId,
  )
  const [one, two] = await Promise.all(ids)
  t.equal(one, report.clusterId, 'the same words, the same cluster')
  t.not(one, two, 'a name makes another one')
})

t.test('a flipped bit in any part, and every other file, is refused by name; nothing is made of it', async (t) => {
  const { node, directory, file, bytes } = await backedUp(t)
  const target = join(directory, 'target')
  const members = ['--id', '1', '--members', '1,127.0.0.1:7101,127.0.0.1:7001']
  const bad = join(directory, 'bad.backup')
  const isRefused = async (content: Uint8Array, code: string, detail: RegExp): Promise<void> => {
    await writeFile(bad, content)
    for (const words of [
      ['backup', 'verify', bad],
      ['restore', bad, '--data-dir', target, ...members],
    ]) {
      const told = await runCli(words)
      t.match(told, { code: 12, out: '', err: detail }, `${words.join(' ')}: ${told.err}`)
      t.ok(told.err.startsWith(`quorate: ${bad} cannot be used: `))
      const json = await runCli([...words, '--json'])
      t.match(JSON.parse(json.err), { code, detail })
    }
    t.same((await readdir(directory)).sort(), ['a.backup', 'bad.backup'], 'nothing is half done')
  }
  const parts = await partsOf(bytes)
  t.same([...parts.keys()], ['header', 'meta', 'rows', 'trailer', 'end'])
  const names = {
    header: 'its description',
    meta: 'the facts about its state',
    rows: 'rows',
    trailer: 'the counts of its rows',
    end: 'its end',
  }
  for (const [kind, { at, end }] of parts) {
    const flipped = Buffer.from(bytes)
    flipped[end - 1] = (flipped[end - 1] ?? 0) ^ 4
    await isRefused(flipped, 'backup-damaged', new RegExp(`block \\d+ \\(${names[kind]}, at byte ${at}\\) is damaged`))
  }
  const magic = Buffer.from(bytes)
  magic[1] = 0
  await isRefused(magic, 'backup-damaged', /its first bytes are damaged/)
  await isRefused(
    bytes.subarray(0, 5_000),
    'backup-cut',
    /cut off: it ends after 5000 bytes, in the middle of block \d/,
  )
  await isRefused(Buffer.alloc(0), 'backup-empty', /it is empty/)
  await isRefused(gzipSync(bytes), 'backup-foreign', /compressed with gzip: unpack it first/)
  await isRefused(
    Buffer.from((await node.client.get('/kv', { accept: 'application/x-ndjson' })).text),
    'backup-foreign',
    /quorate kv import/,
  )

  const usage: [string[], RegExp][] = [
    [['backup', 'verify', directory], /is a directory/],
    [['backup', 'verify', join(directory, 'none')], /cannot be read: ENOENT/],
    [['backup', 'verify', '-'], /no backup on the standard input/],
    [['backup', directory], /is a directory/],
    [['backup', join(directory, 'none', 'x')], /ENOENT/],
    [['backup'], /name the file/],
    [
      ['restore', file, '--data-dir', target, '--id', '2', ...members.slice(2)],
      /node 2, for which this directory is, is not among them/,
    ],
    [['restore', file, '--data-dir', target, ...members, members[3] ?? ''], /two members have the id 1/],
    [
      ['restore', file, '--data-dir', target, ...members, '2,127.0.0.1:7101,127.0.0.1:7002'],
      /two members have the raft/,
    ],
    [['restore', file, '--data-dir', target, ...members, '2'], /--members 2: expected ID,RAFT,API/],
    [['restore', file, '--data-dir', '', ...members], /--data-dir ''/],
    [
      ['restore', file, '--data-dir', target, ...members, '9999999999,127.0.0.1:1,127.0.0.1:2'],
      /id 9999999999 is too large/,
    ],
    [['restore', file, '--data-dir', target, ...members, '--revision-gap', '-1'], /--revision-gap -1/],
    [['restore', file, '--data-dir', target, ...members, '--name', 'x'.repeat(200)], /--name has 200 characters/],
  ]
  for (const [words, err] of usage) t.match(await runCli(words), { code: 1, err }, words.join(' '))
  t.match(await runCli(['backup', '-'], { interactive: true }), { code: 1, err: /not for a terminal/ })
  const data = await readdir(node.directory)
  t.match(await runCli(['restore', file, '--data-dir', node.directory, ...members]), {
    code: 2,
    err: /is the data directory of a node/,
  })
  t.same(await readdir(node.directory), data)
  t.match(await runCli(['restore', file, '--data-dir', directory, ...members]), {
    code: 2,
    err: /is not empty \(a\.backup/,
  })
  t.match(await runCli(['restore', file, '--data-dir', file, ...members]), { code: 2, err: /is not a directory/ })
  const far = ['restore', file, '--data-dir', target, ...members, '--revision-gap', '999999999999999']
  t.match(await runCli(far), { code: 2, err: /beyond the highest possible index/ })
  const strange = join(directory, 'strange')
  await mkdir(join(strange, 'restoring', 'mine'), { recursive: true })
  await mkdir(join(strange, 'log'))
  t.match(await runCli(['restore', file, '--data-dir', strange, ...members]), { code: 2, err: /is not empty/ })
  t.same((await readdir(strange)).sort(), ['log', 'restoring'], 'what only looks like an unfinished restore stays')
  await mkdir(target)
  t.match(await runCli(far), { code: 2 })
  t.same(await readdir(target), [], 'an empty directory stays one')
})

/** The first block of each kind. */
async function partsOf(bytes: Uint8Array): Promise<Map<Block['kind'], { readonly at: number; readonly end: number }>> {
  async function* whole(): AsyncGenerator<Uint8Array> {
    yield bytes
  }
  const reader = new BlockReader(whole())
  await reader.prefix()
  const parts = new Map<Block['kind'], { readonly at: number; readonly end: number }>()
  while (!parts.has('end')) {
    const at = reader.bytes
    const { kind } = await reader.next()
    if (!parts.has(kind)) parts.set(kind, { at, end: reader.bytes })
  }
  return parts
}

t.test('what is cut on its way gets no name', async (t) => {
  const { directory, bytes } = await backedUp(t)
  let ending: 'cleanly' | 'broken' = 'cleanly'
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'quorate-revision': '1', 'quorate-snapshot-bytes': '1' })
    response.write(bytes.subarray(0, 9_000), () => (ending === 'cleanly' ? response.end() : response.destroy()))
  })
  const host = await listenUntilEnd(t, server)
  const words = ['backup', join(directory, 'b.backup'), '--server', `http://${host}`]
  t.match(await runCli(words), { code: 12, err: /what the node has sent cannot be used: it is cut off/ })
  ending = 'broken'
  t.match(await runCli(words), { code: 9, err: /the answer was cut off/ })
  t.match(await runCli(['backup', join(directory, 'b.backup'), '--server', 'http://127.0.0.1:1']), { code: 9 })
  t.same(await readdir(directory), ['a.backup'], 'nothing is left, also not under another name')
  await writeFile(join(directory, 'b.backup'), 'the one before')
  t.match(await runCli(words), { code: 9 })
  t.equal(await readFile(join(directory, 'b.backup'), 'utf8'), 'the one before', 'an earlier one stays')
})

t.test('a backup goes through a pipe; a restore that is killed is begun anew', async (t) => {
  const { cluster, node, file, bytes } = await backedUp(t)
  const piped = await runCli(['backup', '-', '--server', node.addresses.api, '--json'])
  t.equal(piped.code, 0)
  t.match(JSON.parse(piped.err), { file: '-', keys: 20, bytes: piped.bytes.length })
  await node.stop()

  const fresh = await cluster.add()
  const child = spawn(process.execPath, [main, ...restoreWords('-', fresh, [fresh])], {
    stdio: ['pipe', 'ignore', 'pipe'],
  })
  const closed = once(child, 'close')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await closed
  })
  child.stdin.on('error', () => undefined)
  child.stdin.write(bytes.subarray(0, 9_000))
  const made = join(fresh.directory, 'restoring')
  await eventually('it has begun', async () =>
    (await readdir(join(made, 'state')).catch(() => [])).length > 1 ? true : null,
  )
  t.match(await runCli(restoreWords(file, fresh, [fresh])), { code: 2, err: /in use by process/ }, 'one at a time')
  child.kill('SIGKILL')
  await closed
  for (const kill of ['in the middle', 'near the end'] as const) {
    // Of the last steps, the one after which it would be whole is missing.
    if (kill === 'near the end') {
      await rename(join(made, 'log'), join(fresh.directory, 'log'))
      await rename(join(made, 'state'), join(fresh.directory, 'state'))
    }
    const refused = fresh.launch()
    refused.mayEnd = true
    t.match(
      await refused.ended,
      { code: 2, err: /A restore into .* has not ended/ },
      `killed ${kill}: no node starts on it`,
    )
  }
  const again = await runCli(restoreWords(file, fresh, [fresh], '--revision-gap', '0'))
  t.match(again, { code: 0, out: /Done\. Start node 2\./ }, again.err)
  t.same((await readdir(fresh.directory)).sort(), ['identity.json', 'lock', 'log', 'state'])
  await fresh.start()
  await cluster.untilReady([fresh])
  t.equal((await holdingsOf(fresh, 'k')).size, 20)
  const load = new Load(t, { clients: 2, prefix: 'more/', valueBytes: 100 }, [fresh])
  await eventually('it writes', () => (load.count('acknowledged') > 50 ? true : null))
  await load.stop()
  await fresh.kill()
  await fresh.start()
  await cluster.untilReady([fresh])
  t.same(contradictions(load, await holdingsOf(fresh, load.prefix)), [], 'and starts again like any other')
})
