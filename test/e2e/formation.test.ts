import { randomInt } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { ClusterStatus } from '../../src/api/cluster.ts'
import { TestCluster } from './support/cluster.ts'
import { eventually } from './support/eventually.ts'
import type { NodeProcess } from './support/node-process.ts'

const rounds = 10

/** Places of `size` nodes, none of them started. */
async function placesFor(t: Test, size: number): Promise<TestCluster> {
  const cluster = await TestCluster.start(t, { size: 0 })
  for (let count = 0; count < size; count++) await cluster.add()
  return cluster
}

/** The command line that every node has for ever. */
function commonFlags(cluster: TestCluster, expect: number, formationDelay: string): string[] {
  return flagsFor(
    cluster.members.map(({ raft }) => raft),
    expect,
    formationDelay,
  )
}

function flagsFor(addresses: readonly string[], expect: number, formationDelay: string): string[] {
  const discover = ['--discover', `static:${addresses.join(',')}`, '--expect', String(expect)]
  return [
    ...discover,
    '--cluster-formation-delay',
    formationDelay,
    '--stabilization',
    '300ms',
    '--cluster-token',
    'e2e',
  ]
}

/** Waits until every node that runs is ready in one cluster with these voters, in which a write is read everywhere. */
async function expectOneCluster(t: Test, cluster: TestCluster, voters: readonly number[], name: string): Promise<void> {
  const { running } = cluster
  await eventually(`voters ${voters.join()}`, async () => {
    const statuses = await Promise.all(running.map(async ({ id }) => await cluster.status(id)))
    const clusters = new Set(statuses.flatMap(({ clusterId }) => clusterId ?? []))
    if (clusters.size > 1) throw new Error(`clusters ${[...clusters].join(' ')}`)
    const isMember = ({ membership }: ClusterStatus): boolean => {
      const effective = membership?.effective.membership
      if (effective?.configs.join('/') !== voters.join()) return false
      return running.every(({ id }) => effective.nodes[String(id)] !== undefined)
    }
    if (statuses.every(isMember)) return true
    throw new Error(statuses.map(({ node, formation }) => `${node.id}: ${node.state}, ${formation.reason}`).join('\n'))
  })
  await cluster.untilReady()
  for (const { id, client } of running) {
    const written = await client.putKey(`from/${id}`, name)
    t.equal(written.status, 200, `${name}: node ${id} takes a write: ${written.summary}`)
  }
  const { digests } = await cluster.untilEqual()
  t.equal(new Set(digests).size, 1, `${name}: all hold the same`)
}

const launch = async (node: NodeProcess, flags: readonly string[]): Promise<void> => {
  await delay(randomInt(400))
  if (!node.isRunning) node.launch(flags)
}

for (let round = 1; round <= rounds; round++) {
  const variant = (['random starts', 'kills while it forms', 'a delay that is too short for some'] as const)[round % 3]
  t.test(`round ${round}: ${variant ?? ''}`, async (t) => {
    const cluster = await placesFor(t, 3)
    const flags = commonFlags(cluster, 3, '500ms')
    if (variant === 'a delay that is too short for some') {
      // Node 1 knows nobody else, takes itself for enough and does not wait: the others find its cluster, and join.
      const first = cluster.node(1)
      await launch(first, [...flagsFor([first.addresses.raft], 1, '0ms'), '--voters-target', '3'])
      await Promise.all([2, 3].map(async (id) => await launch(cluster.node(id), flags)))
    } else {
      await Promise.all(cluster.nodes.map(async (node) => await launch(node, flags)))
    }
    if (variant === 'kills while it forms') {
      for (let kills = 0; kills < 3; kills++) {
        const victim = cluster.node(1 + randomInt(3))
        await delay(randomInt(600))
        await victim.kill()
        victim.launch(flags)
      }
    }
    await expectOneCluster(t, cluster, [1, 2, 3], `round ${round}`)
  })
}

t.test('five nodes with one command line form a cluster, a sixth joins, and all of them start again', async (t) => {
  const cluster = await placesFor(t, 6)
  const flags = commonFlags(cluster, 5, '500ms')
  const sixth = cluster.node(6)
  const first = cluster.others(6)
  for (const node of first) node.launch(flags)
  await expectOneCluster(t, cluster, [1, 2, 3, 4, 5], 'formed')
  const { clusterId, formation } = await cluster.status(2)
  t.match(formation, { mode: 'automatic', decision: 'resume', expected: 5 })

  await sixth.start(flags)
  await expectOneCluster(t, cluster, [1, 2, 3, 4, 5], 'the sixth joined as a learner, since five voters are wanted')

  await Promise.all(cluster.nodes.map(async (node) => await node.kill()))
  for (const node of cluster.nodes) node.launch(flags)
  await expectOneCluster(t, cluster, [1, 2, 3, 4, 5], 'started again with the same words')
  t.equal((await cluster.status(6)).clusterId, clusterId, 'it is the same cluster')
})

t.test('a node that waits says for what, in GET /cluster and in its log', async (t) => {
  const cluster = await placesFor(t, 3)
  const flags = commonFlags(cluster, 3, '200ms')
  const [first, second] = [cluster.node(1), cluster.node(2)]
  await first.start(flags)
  const waits = await eventually('it waits for the others', async () => {
    const { formation } = await cluster.status(1)
    return formation.reason.startsWith('1 of 3') ? formation : null
  })
  t.match(waits, { mode: 'automatic', decision: 'wait', seen: 1, expected: 3, failure: null })
  const others = [second.addresses.raft, cluster.node(3).addresses.raft].sort()
  t.match(waits.reason, `no node answers at ${others.join(', ')}`)
  t.same(
    waits.sightings.map(({ address, node }) => ({ address, node })),
    others.map((address) => ({ address, node: null })),
  )
  t.match(first.process.output, '1 of 3 expected nodes is present')
  t.equal((await first.client.get('/readyz')).status, 503, 'it is not ready')

  await t.test('two nodes with another token form a cluster of their own, and the first one waits on', async (t) => {
    const other = commonFlags(cluster, 2, '200ms').map((word) => (word === 'e2e' ? 'other' : word))
    await second.start(other)
    await cluster.node(3).start(other)
    await cluster.untilReady([second, cluster.node(3)])
    const status = await eventually('it has seen them', async () => {
      const seen = await cluster.status(1)
      return /another cluster or cluster token at 127\.0\.0\.1:\d+, 127\.0\.0\.1:\d+/.test(seen.formation.reason)
        ? seen
        : null
    })
    t.equal(status.clusterId, null)
    t.match(status.formation, { decision: 'wait', seen: 1 })
  })
})

t.test(
  'three nodes that all start again at other addresses are one cluster, and its membership says where',
  async (t) => {
    const before = await placesFor(t, 3)
    const list = join(before.directory, 'addresses')
    const flags = ['--discover', `file:${list}`, '--expect', '3', '--cluster-formation-delay', '500ms']
    const tell = (cluster: TestCluster): Promise<void> =>
      writeFile(list, cluster.members.map(({ raft }) => `${raft}\n`).join(''))
    await tell(before)
    for (const node of before.nodes) node.launch(flags)
    await expectOneCluster(t, before, [1, 2, 3], 'formed')
    const { clusterId } = await before.status(1)

    const after = await TestCluster.start(t, { size: 0 })
    for (const id of [1, 2, 3]) await after.add(join(before.directory, `node-${id}`))
    await Promise.all(before.nodes.map(async (node) => await node.kill()))
    await tell(after)
    for (const node of after.nodes) node.launch(flags)
    await expectOneCluster(t, after, [1, 2, 3], 'moved')
    t.equal((await after.status(1)).clusterId, clusterId, 'it is the same cluster')
    t.equal((await after.node(2).client.getKey('from/3')).status, 200)
    await eventually('the membership says where they are', async () => {
      const { membership, warnings } = await after.status(1)
      const nodes = membership?.committed.membership.nodes ?? {}
      for (const { id, raft, api } of after.members) {
        if (nodes[String(id)]?.raft !== raft || nodes[String(id)]?.api !== api) throw new Error(JSON.stringify(nodes))
      }
      if (warnings.length > 0) throw new Error(JSON.stringify(warnings))
      return true
    })
  },
)
