import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { RecoveryReport } from '../../src/recovery.ts'
import { runCli } from '../support/run-cli.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { TestCluster } from './support/cluster.ts'
import { eventually } from './support/eventually.ts'
import { contradictions, holdingsOf } from './support/holdings.ts'
import { Load } from './support/load.ts'
import type { NodeProcess } from './support/node-process.ts'

t.test('two of three nodes are lost for ever: the third is recovered, and the cluster grows again', async (t) => {
  // Purged early, so that the survivor has its state and a log that does not begin at the beginning.
  const flags = ['--purge-every', '200', '--keep-entries', '20']
  const cluster = await TestCluster.formed(t, { size: 3, flags })
  const load = new Load(t, { clients: 8, prefix: 'load/', valueBytes: 200 }, cluster.nodes)
  await eventually('writes are acknowledged', () => (load.count('acknowledged') > 1500 ? true : null))
  const leader = await cluster.leader()
  const survivor = cluster.others(leader.id)[0] ?? leader
  const lost = cluster.others(survivor.id)
  await load.stop()
  await cluster.untilEqual()
  const { clusterId, lastLogId } = await cluster.status(survivor.id)

  const running = await runCli(['recover', '--data-dir', survivor.directory, '--yes'])
  t.match(running, { code: 2, err: /in use by process/ }, 'not while the node runs')
  for (const node of cluster.nodes) await node.kill()

  const words = ['recover', '--data-dir', survivor.directory]
  await t.test('a dry run says what would be done, and does nothing', async (t) => {
    const seen = await runCli(words)
    t.equal(seen.code, 0, seen.err)
    t.match(seen.out, new RegExp(`node +${survivor.id} \\(voter\\)\ncluster +${clusterId ?? ''}\n`))
    t.match(seen.out, /voters +1, 2, 3\n/)
    t.match(seen.out, new RegExp(`leaving +${lost.map(({ id }) => id).join(', ')}\n`))
    t.match(seen.out, /revisions +above 10000\d+\n/)
    t.match(seen.out, /What was acknowledged after index \d+ \(term \d+, node \d\) and is only on other nodes is lost/)
    t.match(seen.out, /The membership was not changed\. To do it: quorate recover --data-dir .* --yes\n$/)
    const { newClusterId, kind } = JSON.parse((await runCli([...words, '--json'])).out) as RecoveryReport
    t.same({ newClusterId, kind }, { newClusterId: null, kind: 'needed' })
    t.match(await runCli([...words, '--id', '9', '--yes']), { code: 2, err: /belongs to node \d, not to node 9/ })
    t.match(await runCli([...words, '--id', 'x']), { code: 1, err: /--id x: expected a whole number from 1/ })
    t.match(await runCli([...words, '--raft', 'here']), { code: 1, err: /--raft here is not of the form HOST:PORT/ })
    t.match(await runCli(['recover', '--yes']), { code: 1, err: /--data-dir/ })
    t.match(await runCli([...words, '--revision-gap', '-1']), {
      code: 1,
      err: /--revision-gap -1: expected a whole number from 0/,
    })
    const without = await runCli([...words, '--revision-gap', '0'])
    t.match(without.out, new RegExp(`revisions +above ${(lastLogId?.index ?? 0) + 1}\n`))
    t.match(without.out, /--revision-gap 0 --yes\n$/)
    await survivor.start()
    t.match(
      await cluster.status(survivor.id),
      { clusterId, lastLogId, leader: null },
      'it is as it was: without a quorum',
    )
    await survivor.kill()
  })

  const done = await runCli([...words, '--yes', '--json'])
  t.equal(done.code, 0, done.err)
  const report = JSON.parse(done.out) as RecoveryReport
  t.match(report, { node: survivor.id, clusterId, lastLogId, newMembership: { configs: [[survivor.id]] } })
  const again = await runCli([...words, '--yes'])
  t.match(again, { code: 0, out: /is already a cluster of its own: there is nothing to recover/ })

  await survivor.start()
  await cluster.untilReady([survivor])
  t.match(await cluster.status(survivor.id), {
    clusterId: report.newClusterId,
    leader: survivor.id,
    failureTolerance: 0,
  })
  t.same(contradictions(load, await holdingsOf(survivor, load.prefix)), [], 'all that was acknowledged is there')
  const written = await survivor.client.putKey('after', 'recovery')
  t.equal(written.status, 200)
  t.ok((written.json() as { revision: number }).revision > report.revisionsAfter)

  for (const node of lost) await node.start()
  await eventually('the old nodes are refused when they return', async () => {
    const { warnings } = await cluster.status(survivor.id)
    return lost.every(({ id }) =>
      warnings.some(({ code, detail }) => code === 'foreign-cluster' && detail.includes(`node ${id} to`)),
    )
      ? true
      : null
  })
  for (const node of lost) {
    const refused = await survivor.client.post('/cluster/learners', node.addresses)
    t.match(
      refused.json(),
      { status: 409, code: /peer-disagrees|member-mismatch/ },
      'and are not taken in with old data',
    )
    await node.kill()
    await rm(node.directory, { recursive: true })
    await node.start()
    const environment = { QUORATE_SERVER: survivor.addresses.api }
    const { raft, api } = node.addresses
    const added = await runCli(['cluster', 'add-learner', String(node.id), '--raft', raft, '--api', api], {
      environment,
    })
    t.equal(added.out, `learner ${node.id}: caught up\n`, added.err)
    t.equal((await runCli(['cluster', 'promote', String(node.id)], { environment })).code, 0)
  }
  await cluster.untilReady()
  const { digests } = await cluster.untilEqual()
  t.equal(new Set(digests).size, 1, 'three nodes again, with equal digests')
  await survivor.kill()
  await cluster.untilReady(lost)
  for (const node of lost) t.same(contradictions(load, await holdingsOf(node, load.prefix)), [])
})

t.test('all admin tokens are lost: one node is recovered without them, and the cluster gets new ones', async (t) => {
  const directory = await temporaryDirectory(t)
  const cluster = await TestCluster.formed(t, { size: 3 })
  const leader = await cluster.leader()
  const servers = cluster.members.map(({ api }) => api)
  const bootstrap = async (node: NodeProcess, name: string): Promise<string> => {
    const made = await runCli(['auth', 'bootstrap', '--server', node.addresses.api])
    t.equal(made.code, 0, made.err)
    const path = join(directory, name)
    await writeFile(path, made.out)
    cluster.token = made.out.trim()
    return path
  }
  const lost = await bootstrap(leader, 'lost.token')
  const asLost = ['--server', servers.join(','), '--token-file', lost]
  t.equal((await runCli(['auth', 'role', 'put', 'app', '--grant', 'read-write:prefix=app/', ...asLost])).code, 0)
  t.equal((await runCli(['auth', 'token', 'create', 'web', '--role', 'app', ...asLost])).code, 0)
  t.equal((await runCli(['kv', 'put', 'app/a', 'before', ...asLost])).code, 0)
  for (const { client } of cluster.nodes) t.equal((await client.getKey('app/a')).status, 401)
  for (const node of cluster.nodes) await node.kill()

  const words = ['recover', '--data-dir', leader.directory, '--reset-auth']
  const dry = await runCli(words)
  t.match(
    dry,
    { code: 0, out: /tokens +none: roles and tokens are removed, and everybody may do everything\n/ },
    dry.err,
  )
  t.match(dry.out, /To do it: quorate recover --data-dir \S+ --reset-auth --yes\n$/)
  const done = await runCli([...words, '--yes'])
  t.match(done, { code: 0, out: /tokens +none/ }, done.err)
  await leader.start()
  await cluster.untilReady([leader])
  t.equal((await leader.client.getKey('app/a')).text, 'before', 'what it holds is there, and nobody needs a token')
  t.equal((await leader.client.putKey('app/a', 'after')).status, 200)
  const found = ['--server', leader.addresses.api, '--token-file', await bootstrap(leader, 'new.token')]
  t.match(await runCli(['kv', 'get', 'app/a', ...found]), { code: 0, out: 'after' })
  t.match(await runCli(['auth', 'role', 'get', 'app', ...found]), { code: 5, err: /role-not-found/ })
  const listed = await runCli(['auth', 'token', 'list', ...found])
  t.match(listed.out, /admin/)
  t.notMatch(listed.out, /web/, 'the tokens from before are gone')
  const old = await runCli(['kv', 'get', 'app/a', '--server', leader.addresses.api, '--token-file', lost])
  t.match(old, { code: 5, err: /unauthenticated/ }, 'the secret from before opens nothing')

  for (const node of cluster.others(leader.id)) {
    await rm(node.directory, { recursive: true })
    await node.start()
    const { id, raft, api } = node.addresses
    const added = await runCli(['cluster', 'add-learner', String(id), '--raft', raft, '--api', api, ...found])
    t.equal(added.code, 0, added.err)
    const promoted = await runCli(['cluster', 'promote', String(id), ...found])
    t.equal(promoted.code, 0, promoted.err)
    const read = await runCli(['kv', 'get', 'app/a', '--server', api, ...found.slice(2)])
    t.match(read, { code: 0, out: 'after' }, read.err)
    t.equal((await node.client.getKey('app/a')).status, 401, 'and demands the new tokens as well')
  }
})

t.test('recover refuses what is no survivor, and leaves it alone', async (t) => {
  const directory = await temporaryDirectory(t)
  const empty = join(directory, 'empty')
  await mkdir(empty)
  for (const path of [empty, join(directory, 'missing')]) {
    t.match(await runCli(['recover', '--data-dir', path, '--yes']), {
      code: 2,
      err: /is not the data directory of a node/,
    })
  }
  const asJson = await runCli(['recover', '--data-dir', empty, '--json'])
  t.match(JSON.parse(asJson.err), { code: 'refused', detail: /is not the data directory of a node/ })
  t.same(await readdir(directory), ['empty'])
  t.same(await readdir(empty), [])
  const pristine = (await TestCluster.start(t, { size: 1 })).node(1)
  await pristine.stop()
  const refused = await runCli(['recover', '--data-dir', pristine.directory, '--yes'])
  t.match(refused, { code: 2, err: /node 1 belongs to no cluster: there is nothing to recover/ })
  await pristine.start()
  t.equal((await pristine.client.post('/cluster/initialize')).status, 200, 'a pristine node stays one')
  await pristine.stop()
  await writeFile(join(pristine.directory, 'identity.json'), 'x')
  t.match(await runCli(['recover', '--data-dir', pristine.directory]), {
    code: 2,
    err: /identity\.json cannot be read/,
  })
})
