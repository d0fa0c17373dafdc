import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { missing } from '../support/missing.ts'
import { runCli, type Ran } from '../support/run-cli.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { TestCluster } from './support/cluster.ts'
import { buildEarlier, earlierVersions, type EarlierVersion } from './support/earlier-version.ts'
import { eventually } from './support/eventually.ts'
import { builtProgram, type NodeProcess } from './support/node-process.ts'
import type { RestAnswer } from './support/rest-client.ts'
import { runCommand } from './support/run-command.ts'
import { SteadyLoad } from './support/steady-load.ts'
import { expectUnbroken } from './support/unbroken.ts'

const steady = { prefix: 'steady/', writers: 2, timeoutMs: 10_000 }

/** `quorate cluster ...` against the nodes that run; anything but success fails the test. */
async function command(cluster: TestCluster, ...words: string[]): Promise<Ran> {
  const servers = cluster.running.map(({ addresses }) => addresses.api).join(',')
  const ran = await runCli(['cluster', ...words, '--timeout', '60s', '--server', servers])
  if (ran.code !== 0) throw new Error(`quorate cluster ${words.join(' ')}: ${ran.err}`)
  return ran
}

async function addLearner(cluster: TestCluster, node: NodeProcess): Promise<void> {
  const { id, raft, api } = node.addresses
  await command(cluster, 'add-learner', String(id), '--raft', raft, '--api', api)
}

t.test('every node is restarted in turn under load, and no request fails', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 3 })
  const load = new SteadyLoad(t, steady, cluster.nodes)
  for (const node of cluster.nodes) load.through(node)
  await load.untilWritten(100)
  const firstLeader = await cluster.leader()
  for (const node of cluster.nodes) {
    const end = await node.stop()
    t.match(end, { code: 0, err: '' }, `node ${node.id} stops as asked`)
    await load.untilWritten(50)
    await node.start()
    await cluster.untilReady()
    await load.untilWritten(50)
  }
  t.not((await cluster.status(firstLeader.id)).term, 1, 'the leader was among them')
  // A connection can break at the moment at which its server stops; then nothing of the request was read.
  await expectUnbroken(t, load, cluster.nodes, ['refused', 'broken'])
  const { digests } = await cluster.untilEqual()
  t.equal(new Set(digests).size, 1, 'equal digests')
})

/** Leases came with it, and so did keys that expire. */
const LEASES_LEVEL = 1

async function upgrade(t: Test, earlier: EarlierVersion): Promise<void> {
  const cluster = await TestCluster.formed(t, { size: 3, command: await buildEarlier(t, earlier) })
  const load = new SteadyLoad(t, steady, cluster.nodes)
  for (const node of cluster.nodes) load.through(node)
  await load.untilWritten(100)
  const leader = await cluster.leader()
  // A client whose request was cut off repeats it at another node, which may be of another build.
  const once = async ({ client }: NodeProcess): Promise<RestAnswer> =>
    await client.putKey('once', 'x', { headers: { 'idempotency-key': 'once' } })
  const revision = (await once(leader)).json()
  const perishable = async (node: NodeProcess): Promise<RestAnswer> =>
    await node.client.putKey('perishable', 'x', { query: '?ttl=60s' })
  // As in docs/OPERATIONS.md: the leader comes last.
  for (const node of [...cluster.others(leader.id), leader]) {
    t.match(await node.stop(), { code: 0, err: '' }, `node ${node.id} stops as asked`)
    await load.untilWritten(50)
    node.replaceProgram(builtProgram)
    await node.start()
    await cluster.untilReady()
    await load.untilWritten(50)
    t.same((await once(node)).json(), revision, 'a retry through a newer build gets the first answer')
    if (node === leader) continue
    const early = await perishable(node)
    if (earlier.level >= LEASES_LEVEL) t.equal(early.status, 200, early.summary)
    else t.match(early.problem, { code: 'feature-unavailable' }, 'a member that does not know it holds it back')
  }
  await eventually('what is new can be used once every member knows it', async () => {
    const { status, summary } = await perishable(leader)
    if (status === 200) return true
    throw new Error(summary)
  })
  for (const node of cluster.nodes)
    t.same((await once(node)).json(), revision, 'also when the level has been raised since')
  await expectUnbroken(t, load, cluster.nodes, ['refused', 'broken'])
  const { digests } = await cluster.untilEqual()
  t.equal(new Set(digests).size, 1, 'equal digests')
}

t.test('every node is upgraded from earlier versions in turn under load, and no request fails', async (t) => {
  const versions = await earlierVersions()
  if (versions.length === 0) return missing(t, 'the history', 'this clone does not have the oldest version')
  for (const earlier of versions) await t.test(`from ${earlier.name}`, async (t) => await upgrade(t, earlier))
})

t.test(
  'an upgrade is tried from the oldest and the newest release, and from those that raised the level',
  async (t) => {
    const repository = await temporaryDirectory(t)
    const git = async (...words: string[]): Promise<void> => {
      const { code, err } = await runCommand(t, ['git', '-C', repository, ...words])
      if (code !== 0) throw new Error(err)
    }
    const commit = async (tag: string, level: number): Promise<void> => {
      const text = `export const FEATURE_LEVEL = ${level}\n// ${tag}\n`
      await writeFile(join(repository, 'src', 'kv', 'feature-level.ts'), level === 0 ? `// ${tag}\n` : text)
      await git('add', '.')
      await git('-c', 'user.name=a', '-c', 'user.email=a@b.example', 'commit', '--quiet', '--message', tag)
      await git('tag', tag)
    }
    await git('init', '--quiet')
    t.same(await earlierVersions(repository), [], 'nothing without a history')
    await mkdir(join(repository, 'src', 'kv'), { recursive: true })
    const levels = { 'v0.8.0': 0, 'v0.9.0': 0, 'v0.10.0': 1, 'v1.0.0-rc.1': 1, 'v1.0.0': 1, 'v1.1.0': 2, other: 2 }
    for (const [tag, level] of Object.entries(levels)) await commit(tag, level)
    await commit('v1.2.0', 2)
    const found = (await earlierVersions(repository)).map(({ name, level }) => `${name} ${level}`)
    t.same(found, ['v0.8.0 0', 'v0.10.0 1', 'v1.1.0 2'], 'not what is checked out')
    await commit('v1.3.0', 2)
    const later = (await earlierVersions(repository)).map(({ name }) => name)
    t.same(later, ['v0.8.0', 'v0.10.0', 'v1.1.0', 'v1.2.0'])
  },
)

t.test('every node is replaced by a new one under load, and no request fails', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 3 })
  const old = [...cluster.nodes]
  for (let count = 0; count < 3; count++) await cluster.add()
  const load = new SteadyLoad(t, steady, cluster.nodes)
  for (const node of old) load.through(node)
  await load.untilWritten(100)
  for (const leaving of old) {
    const joining = cluster.node(leaving.id + 3)
    await joining.start()
    await addLearner(cluster, joining)
    const voters = cluster.running.map(({ id }) => id).filter((id) => id !== leaving.id)
    // It stays as a learner, and serves, until it has been stopped.
    await command(cluster, 'set-voters', voters.join(','), '--retain')
    load.through(joining)
    await load.untilWritten(50)
    t.match(await leaving.stop(), { code: 0, err: '' })
    await command(cluster, 'remove', String(leaving.id))
    await load.untilWritten(50)
  }
  const nodes = cluster.running
  t.same((await cluster.status(4)).membership?.effective.membership, {
    configs: [[4, 5, 6]],
    learners: [],
    nodes: Object.fromEntries(nodes.map(({ addresses: { id, raft, api } }) => [String(id), { raft, api }])),
  })
  await expectUnbroken(t, load, nodes, ['refused', 'broken'])
  const { digests } = await cluster.untilEqual()
  t.equal(new Set(digests).size, 1, 'equal digests')
})

t.test('from one node to five and back to one under writes through every node', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 1 })
  for (let count = 0; count < 4; count++) await cluster.add()
  const load = new SteadyLoad(t, steady, cluster.nodes)
  load.through(cluster.node(1))
  await load.untilWritten(50)
  for (const id of [2, 3, 4, 5]) {
    await cluster.node(id).start()
    await addLearner(cluster, cluster.node(id))
    await command(cluster, 'promote', String(id))
    load.through(cluster.node(id))
    await load.untilWritten(20 * id)
  }
  t.match(await cluster.status(1), {
    failureTolerance: 2,
    membership: { effective: { membership: { configs: [[1, 2, 3, 4, 5]] } } },
  })
  await cluster.untilReady()

  let leadersRemoved = 0
  for (const id of [1, 2, 3, 4]) {
    // The first is the leader whatever happened before; whoever leads later may be met again.
    if (id === 1) await command(cluster, 'transfer', '1')
    const leader = (await cluster.leader()).id
    await command(cluster, 'remove', String(id))
    if (leader === id) leadersRemoved += 1
    const removed = cluster.node(id)
    await eventually(`node ${id} shows that it was removed`, async () =>
      (await cluster.status(id)).node.state === 'removed' ? true : null,
    )
    await load.untilWritten(20)
    t.match(await removed.stop(), { code: 0, err: '' })
  }
  t.ok(leadersRemoved > 0, `${leadersRemoved} of the four led when they were removed`)
  const last = cluster.node(5)
  t.match(await cluster.status(5), { leader: 5, failureTolerance: 0, membership: { joint: false } })
  await load.untilWritten(20)
  const away = ['refused', 'broken', 'removed', 'outcome-unknown', 'no-leader', 'not-initialized']
  await expectUnbroken(t, load, [last], away)

  const first = cluster.node(1)
  await first.start()
  const knows = await first.client.getKey('a')
  t.match(knows.json(), { status: 503, code: 'removed' }, 'a removed node knows it, also after a restart')
  await first.stop()
  await rm(first.directory, { recursive: true })
  await first.start()
  await addLearner(cluster, first)
  const { digests } = await cluster.untilEqual([first, last])
  t.equal(new Set(digests).size, 1, 'wiped, it may join again, and what it is sent has the digest of what was left')
})
