import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { ClusterStatus } from '../../src/api/cluster.ts'
import { checkBackup } from '../../src/backup.ts'
import { TestCluster } from './support/cluster.ts'
import { eventually } from './support/eventually.ts'
import { holdingsOf } from './support/holdings.ts'
import type { NodeProcess } from './support/node-process.ts'
import { SteadyLoad } from './support/steady-load.ts'

/** One counter or gauge of `GET /metrics`. */
async function metric(node: NodeProcess, name: string): Promise<number> {
  const { text } = await node.client.get('/metrics')
  const line = new RegExp(`^${name} (\\S+)$`, 'm').exec(text)
  if (line === null) throw new Error(`node ${node.id} has no metric ${name}`)
  return Number(line[1])
}

/** Writes `count` keys below `prefix` through `nodes`, each acknowledged. */
async function fill(nodes: readonly NodeProcess[], prefix: string, count: number, valueBytes: number): Promise<void> {
  let next = 0
  const workers = Array.from({ length: 64 }, async (_, worker) => {
    const node = nodes[worker % nodes.length]
    for (let number = next++; node !== undefined && number < count; number = next++) {
      const answer = await node.client.putKey(`${prefix}${number}`, valueOf(number, valueBytes))
      if (answer.status !== 200) throw new Error(`${prefix}${number} through node ${node.id}: ${answer.summary}`)
    }
  })
  await Promise.all(workers)
}

function valueOf(number: number, bytes: number): string {
  return `${number} `.repeat(bytes).slice(0, bytes)
}

async function missing(node: NodeProcess, prefix: string, count: number, valueBytes: number): Promise<string[]> {
  const holdings = await holdingsOf(node, prefix)
  const wrong: string[] = []
  for (let number = 0; number < count; number++) {
    const key = `${prefix}${number}`
    if (holdings.get(key)?.value.toString() !== valueOf(number, valueBytes)) wrong.push(key)
  }
  return wrong
}

async function purgeAll(nodes: readonly NodeProcess[]): Promise<void> {
  for (const node of nodes) {
    const answer = await node.client.post('/cluster/purge')
    if (answer.status !== 200) throw new Error(answer.summary)
  }
}

async function lastIndex(cluster: TestCluster, id: number): Promise<number> {
  return (await cluster.status(id)).lastLogId?.index ?? -1
}

async function purgedIndex(cluster: TestCluster, id: number): Promise<number> {
  return (await cluster.status(id)).purged?.index ?? -1
}

const purging = ['--purge-every', '4000', '--keep-entries', '100']

t.test('a follower that missed 20,000 writes and a purge comes back through a snapshot', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 3, flags: purging })
  await fill(cluster.nodes, 'early/', 200, 50)
  const leader = await cluster.leader()
  const [other, absent] = cluster.others(leader.id)
  if (other === undefined || absent === undefined) throw new Error('three nodes')
  const reached = await lastIndex(cluster, absent.id)
  await absent.kill()

  const startedAt = performance.now()
  await fill([leader, other], 'late/', 20_000, 50)
  t.comment(`20,000 writes in ${Math.round(performance.now() - startedAt)} ms`)
  t.equal((await leader.client.request('DELETE', '/kv?prefix=early/1')).status, 200)
  await eventually('the log is purged by itself', async () =>
    (await purgedIndex(cluster, leader.id)) > reached ? true : null,
  )
  await purgeAll([leader, other])
  t.ok((await purgedIndex(cluster, leader.id)) > reached + 15_000, 'and when asked to')

  await absent.start()
  await cluster.untilReady()
  t.ok((await metric(absent, 'quorate_snapshots_installed_total')) >= 1, 'a snapshot was installed')
  t.same(await missing(absent, 'late/', 20_000, 50), [], 'everything is there')
  const early = await holdingsOf(absent, 'early/')
  t.notOk(
    [...early.keys()].some((key) => key.startsWith('early/1')),
    'and what was deleted meanwhile is gone',
  )
  const { digests } = await cluster.untilEqual()
  t.equal(new Set(digests).size, 1, 'equal digests')

  await t.test('and it is a full member again, also after a restart of all', async (t) => {
    await other.kill()
    t.equal((await absent.client.putKey('with', 'the node that was away')).status, 200)
    await Promise.all([leader.kill(), absent.kill()])
    await Promise.all(cluster.nodes.map(async (node) => await node.start()))
    await cluster.untilReady()
    for (const node of cluster.nodes) {
      t.same(await missing(node, 'late/', 20_000, 50), [], `node ${node.id}`)
      t.equal((await node.client.getKey('with')).text, 'the node that was away')
    }
    t.equal(new Set((await cluster.untilEqual()).digests).size, 1)
  })
})

t.test('a snapshot that is cut off, by either side, is sent again', async (t) => {
  const slowly = [...purging, '--snapshot-rate', '1MiB']
  const cluster = await TestCluster.formed(t, { size: 3, flags: slowly })
  const count = 3_000
  const bytes = 2_000
  const leader = await cluster.leader()
  const [other, absent] = cluster.others(leader.id)
  if (other === undefined || absent === undefined) throw new Error('three nodes')
  await absent.kill()
  await fill([leader, other], 'k/', count, bytes)
  await purgeAll([leader, other])

  /** The leader, once it has sent some of the snapshot. */
  const sending = async (among: readonly NodeProcess[]): Promise<NodeProcess> =>
    await eventually('a snapshot is on its way', async () => {
      for (const node of among) {
        const { snapshot } = (await cluster.status(node.id)).nodes[String(absent.id)] ?? { snapshot: null }
        if (snapshot !== null && snapshot.bytesSent > 0) return node
      }
      return null
    })

  await absent.start()
  await sending([leader, other])
  t.equal((await absent.client.get('/readyz')).status, 503, 'not ready while it is received')
  await absent.kill()
  await absent.start()
  const sender = await sending([leader, other])
  await sender.kill()
  await sender.start()
  t.equal((await other.client.putKey('meanwhile', 'x')).status, 200, 'the others go on')
  await cluster.untilReady()
  for (const node of cluster.nodes) t.same(await missing(node, 'k/', count, bytes), [], `node ${node.id}`)
  t.equal(new Set((await cluster.untilEqual()).digests).size, 1)

  await t.test('a node that lost its disk is replaced under a new id, through a snapshot', async (t) => {
    const spare = await cluster.add()
    await absent.kill()
    await rm(absent.directory, { recursive: true })
    await spare.start()
    const { client } = await cluster.leader()
    const added = await client.post('/cluster/learners?timeout=60s', spare.addresses)
    t.match(added.json(), { caughtUp: true, membership: { learners: [spare.id] } }, added.summary)
    const change = { add: [spare.id], remove: [absent.id] }
    const changed = await client.request('PATCH', '/cluster/membership?timeout=30s', { body: change })
    t.equal(changed.status, 200, changed.summary)
    const members = cluster.others(absent.id)
    await cluster.untilReady(members)
    t.same(await missing(spare, 'k/', count, bytes), [])
    t.equal(new Set((await cluster.untilEqual(members)).digests).size, 1)
  })
})

interface LearnerView {
  readonly id: number
  readonly caughtUp: boolean
  readonly phase: string
  readonly snapshot: ClusterStatus['nodes'][string]['snapshot']
}

/** The report of the leader about learner `id`; null while no leader reports it. */
async function learnerSeenBy(node: NodeProcess, id: number): Promise<LearnerView | null> {
  const answer = await node.client.get('/cluster/learners')
  if (answer.status !== 200) return null
  return answer.json<{ learners: LearnerView[] }>().learners.find((learner) => learner.id === id) ?? null
}

t.test('a learner comes to a large state under constant writes, and is cut off in between', async (t) => {
  const flags = ['--purge-every', '4000', '--keep-entries', '100', '--snapshot-rate', '3MiB', '--snapshot-hold', '2s']
  const cluster = await TestCluster.formed(t, { size: 3, flags, withLinks: true })
  const voters = [...cluster.nodes]
  const [witness] = voters
  if (witness === undefined) throw new Error('three nodes')
  const startedAt = performance.now()
  const say = (what: string): void => t.comment(`${Math.round(performance.now() - startedAt)} ms: ${what}`)
  await fill(voters, 'large/', 50_000, 200)
  await purgeAll(voters)
  say('filled')
  const load = new SteadyLoad(t, { prefix: 'meanwhile/', writers: 2, timeoutMs: 30_000 }, voters)
  for (const node of voters) load.through(node)

  const learner = await cluster.add()
  await learner.start()
  const added = await witness.client.post('/cluster/learners?timeout=30s', { ...learner.addresses, wait: false })
  t.equal(added.status, 200, added.summary)

  /** Waits until `percent` of an attempt after `attempt` have been sent. */
  const sent = async (percent: number, attempt: number): Promise<NonNullable<LearnerView['snapshot']>> =>
    await eventually(`${percent}% are sent after attempt ${attempt}`, async () => {
      const { snapshot } = (await learnerSeenBy(witness, learner.id)) ?? { snapshot: null }
      return snapshot !== null && snapshot.attempt > attempt && snapshot.percent >= percent ? snapshot : null
    })

  const first = await sent(20, 0)
  t.ok(first.rowsSent > 5_000 && first.bytesSent > 1_000_000, `${first.bytesSent} of ${first.bytesEstimate} bytes`)
  t.ok((first.remainingMs ?? 0) > 500, `${first.remainingMs} ms are left`)
  await learner.kill()
  await learner.start()
  say('killed and started')
  const second = await sent(20, first.attempt)
  t.type(second.lastFailure, 'string')
  t.ok((cluster.links?.reset(learner.id) ?? 0) > 0)
  say('cut')

  await sent(0, second.attempt)
  const seen: { attempt: number; percent: number; bytesEstimate: number; bytesSent: number }[] = []
  await eventually('it has caught up', async () => {
    const view = await learnerSeenBy(witness, learner.id)
    if (view?.snapshot) seen.push(view.snapshot)
    return view?.caughtUp === true && view.phase === 'caught-up' ? true : null
  })
  say('caught up')
  const percents = seen.map(({ percent }) => percent)
  t.same(
    percents,
    percents.toSorted((a, b) => a - b),
    'never backwards',
  )
  t.ok(new Set(percents).size > 5, 'step by step')
  t.equal(new Set(seen.map(({ attempt }) => attempt)).size, 1, 'in one attempt, though it takes longer than the hold')
  const total = seen.at(-1)?.bytesSent ?? 0
  const middle = seen.find(({ percent }) => percent >= 30)?.bytesEstimate ?? 0
  t.ok(Math.abs(middle - total) < total / 4, `${middle} bytes were expected, ${total} came`)
  t.equal(await metric(learner, 'quorate_snapshots_installed_total'), 1)

  const promoted = await witness.client.request('PATCH', '/cluster/membership?timeout=30s', {
    body: { add: [learner.id] },
  })
  t.equal(promoted.status, 200, promoted.summary)
  await load.stop()
  t.same(load.failures, [])
  say(`${load.acknowledged} writes meanwhile`)
  await cluster.untilReady()
  t.equal(new Set((await cluster.untilEqual()).digests).size, 1)
  const left = (await readdir(join(learner.directory, 'state'))).filter((name) => name.startsWith('generation-'))
  t.equal(left.length, 1, 'nothing is left of what was cut off')
  say('done')
})

t.test('backups of all nodes hold the same rows while nothing changes', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 3 })
  await fill(cluster.nodes, 'b/', 500, 300)
  await cluster.untilEqual()
  const backups = await Promise.all(cluster.nodes.map(async ({ client }) => await client.get('/cluster/snapshot')))
  const [first] = backups
  if (first === undefined) throw new Error('three nodes')
  for (const backup of backups) {
    t.equal(backup.status, 200)
    t.equal(backup.headers['content-type'], 'application/octet-stream')
    t.equal(backup.headers['quorate-snapshot-index'], first.headers['quorate-snapshot-index'])
    t.equal((await checkBackup(bodyOf(backup))).checksum, (await checkBackup(bodyOf(first))).checksum)
    t.equal(backup.body.length, first.body.length)
  }
})

async function* bodyOf({ body }: { readonly body: Buffer }): AsyncGenerator<Uint8Array> {
  yield body
}
