import t from 'tap'
import { FEATURE_LEVEL, type TransactionCommand } from '../../src/kv/index.ts'
import { RequestError } from '../../src/lib/errors.ts'
import { Features } from '../../src/node/requests/features.ts'
import { nodeId } from '../../src/raft/index.ts'
import { key } from './support/client.ts'
import { refused, specOf, TestCluster } from './support/cluster.ts'

const transaction: TransactionCommand = {
  type: 'transaction',
  compares: [],
  success: [{ type: 'put', key: key('a'), value: Buffer.from('1'), wantsPrevious: false }],
  failure: [],
  idempotency: null,
}

const RETENTION = { revisions: 10, ageMs: 1_000, bytes: 10_000 }
const LEVEL = { featureLevelMax: 1 }

t.test('the leader raises the level once every member knows it, and transactions go through at once', async (t) => {
  const c = new TestCluster(t, [1, 2, 3], LEVEL)
  await c.form()
  t.match(await c.on(2).execute(transaction), { type: 'transaction', succeeded: true }, 'though nobody waited')
  await c.settled()
  const index = c.at(1).applied
  await c.pass(5_000)
  t.equal(c.at(1).applied, index, 'the level is raised once')
  for (const id of [1, 2, 3]) t.equal(c.at(id).node.replica.applier.level, 1, `node ${id}`)
})

t.test('a member of an older build holds it back, and is named; upgraded one by one the cluster has it', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  c.at(1).options = { ...c.at(1).options, ...LEVEL }
  c.at(2).options = { ...c.at(2).options, ...LEVEL, version: '0.0.1-older' }
  await c.form()
  await c.on(1).put('k', 'v')
  const error = await refused(c.on(1).execute(transaction), 'feature-unavailable')
  t.match(error.message, /feature level 1, and the cluster has 0: node 3 runs version 0.0.0-test; nothing was changed/)
  t.match(error.facts, { level: 1, clusterLevel: 0, members: [3] })
  await c.settled()
  for (const id of [1, 2, 3]) t.equal(c.at(id).node.replica.applier.level, 0, `node ${id}`)

  await c.at(3).crash()
  c.at(3).options = { ...c.at(3).options, ...LEVEL }
  await refused(c.on(1).execute(transaction), 'feature-unavailable')
  await c.start(3)
  await c.leader()
  t.match(await c.on(3).execute(transaction), { type: 'transaction' })
  await c.settled()
})

t.test('a command that a node lets through too early is executed nowhere, and not remembered', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  const leader = await c.form()
  const { features } = c.at(leader).node.replica
  const require = features.require.bind(features)
  features.require = (_, timeoutMs) => Promise.resolve(timeoutMs)
  const named = { ...transaction, idempotency: { key: 'once', fingerprint: 1 } }
  for (const command of [transaction, named]) {
    const error = await refused(c.on(leader).execute(command), 'feature-unavailable')
    t.match(error.facts, { level: 1, clusterLevel: 0 })
  }
  features.require = require
  await c.settled()
  for (const id of [1, 2, 3]) t.equal(c.at(id).node.replica.applier.revision, 0, `node ${id}`)
  await c.on(leader).keepHistory(RETENTION)
  t.match(await c.on(leader).execute(named), { type: 'transaction', succeeded: true }, 'the retry is executed')
  await c.settled()
})

t.test('a learner counts as well, and a level once raised stays', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4])
  for (const id of [1, 2, 3]) c.at(id).options = { ...c.at(id).options, ...LEVEL }
  await c.start(4)
  await c.start(1)
  await c.on(1).initialize([specOf(1)])
  await c.leader([1])
  t.match(await c.on(1).execute(transaction), { type: 'transaction' }, 'a cluster of one')
  await c.restart(1)
  await c.leader([1])
  t.match(await c.on(1).execute(transaction), { type: 'transaction' })

  const d = new TestCluster(t, [1, 2, 3], LEVEL)
  d.at(3).options = { ...d.at(3).options, featureLevelMax: 0 }
  await d.start(3)
  await d.start(1)
  // The learner is in the membership before the level can be raised.
  d.at(1).options = { ...d.at(1).options, featureLevelMax: 0 }
  await d.restart(1)
  await d.on(1).initialize([specOf(1)])
  await d.leader([1])
  await d.on(1).addLearner(specOf(3))
  await d.at(1).crash()
  d.at(1).options = { ...d.at(1).options, ...LEVEL }
  await d.start(1)
  await d.leader([1])
  await refused(d.on(1).execute(transaction), 'feature-unavailable')
  await d.at(3).crash()
  d.at(3).options = { ...d.at(3).options, ...LEVEL }
  await d.start(3)
  t.match(await d.on(1).execute(transaction), { type: 'transaction' })
})

t.test('a member that went back to an older build does not count as the one that it was', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  const leader = await c.form()
  const [returning = 0, last = 0] = [1, 2, 3].filter((id) => id !== leader)
  const run = async (id: number, level: number): Promise<void> => {
    await c.at(id).crash()
    c.at(id).options = { ...c.at(id).options, featureLevelMax: level }
    await c.start(id)
  }
  await run(returning, 1)
  await run(leader, 1)
  await c.leader()
  await c.settled()
  await c.at(returning).crash()
  await run(last, 1)
  await c.leader([leader, last])
  const whileGone = await refused(c.on(leader).execute(transaction), 'feature-unavailable')
  t.match(whileGone.message, `node ${returning} is not connected`)
  c.at(returning).options = { ...c.at(returning).options, featureLevelMax: 0 }
  await c.start(returning)
  await c.settled()
  t.match((await refused(c.on(leader).execute(transaction), 'feature-unavailable')).facts, { members: [returning] })
  for (const id of [1, 2, 3]) t.equal(c.at(id).node.replica.applier.level, 0, `node ${id}`)

  await run(returning, 1)
  t.match(await c.on(returning).execute(transaction), { type: 'transaction' })
  await c.settled()
})

t.test('a new leader raises the level that its predecessor could not', async (t) => {
  const c = new TestCluster(t, [1, 2, 3], LEVEL)
  c.at(3).options = { ...c.at(3).options, featureLevelMax: 0 }
  const first = await c.form()
  const others = [1, 2, 3].filter((id) => id !== first)
  await refused(c.on(first).execute(transaction), 'feature-unavailable')
  if (first !== 3) await c.at(3).crash()
  else {
    await c.at(3).crash()
    await c.leader(others)
  }
  c.at(3).options = { ...c.at(3).options, ...LEVEL }
  const leader = c.leaderOrNull()
  await c.start(3)
  if (leader !== null) await c.restart(leader.id)
  await c.leader()
  t.match(await c.on(others[0] ?? 1).execute(transaction), { type: 'transaction' })
  await c.settled()
})

t.test('a refused raise is tried again after a pause, and no more once the node stops', async (t) => {
  const c = new TestCluster(t, [1])
  await c.form()
  const { raft, applier, conditions } = c.at(1).node.replica
  let raises = 0
  const submit = (): Promise<never> => {
    raises += 1
    // Without a pause nothing else would ever get a turn.
    if (raises > 10) return new Promise(() => undefined)
    return Promise.reject(new RequestError('overloaded', 'no room'))
  }
  const options = { id: nodeId(1), version: '1', electionTimeoutMsMax: 300, ...LEVEL, historyRetention: RETENTION }
  const logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  const { clock } = c
  const transport = { isConnected: () => true }
  const features = new Features(options, { raft, transport, applier, proposals: { submit }, conditions, clock, logger })
  features.look()
  await c.pass(100)
  t.equal(raises, 1)
  await c.pass(300)
  t.equal(raises, 2)
  features.stop()
  features.look()
  await c.pass(1_000)
  t.equal(raises, 2)
})

t.test('a node that does not know the level of the cluster is not taken in', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4], LEVEL)
  c.at(4).options = { ...c.at(4).options, featureLevelMax: 0, version: '0.0.1-older' }
  const leader = await c.form([1, 2, 3])
  await c.on(leader).execute(transaction)
  await c.start(4)
  const error = await refused(c.on(leader).addLearner(specOf(4)), 'member-mismatch')
  t.match(
    error.message,
    /node 4 runs version 0.0.1-older, which knows feature level 0; this cluster has level 1: start that node with/,
  )
  await c.at(4).crash()
  c.at(4).options = { ...c.at(4).options, ...LEVEL }
  await c.start(4)
  await c.on(leader).addLearner(specOf(4))
})

t.test(
  'a node that is sent what is beyond its build takes none of it, goes on, and says which version it needs',
  async (t) => {
    const c = new TestCluster(t, [1, 2, 3], LEVEL)
    const leader = await c.form()
    await c.on(leader).execute(transaction)
    await c.settled()
    const other = leader === 1 ? 2 : 1
    const before = c.at(other).view.last
    const raise = { type: 'raise-level', level: FEATURE_LEVEL + 1, version: '9.9.9', retention: RETENTION } as const
    const outcome = refused(c.on(leader).execute({ ...raise, idempotency: null }), 'outcome-unknown')
    const warnings = () => c.on(other).status().warnings
    await c.until('it is warned of', () => warnings().some(({ code }) => code === 'build-too-old'))
    t.match(warnings(), [
      {
        code: 'build-too-old',
        detail: new RegExp(`no entries of node ${leader}: .*level ${FEATURE_LEVEL + 1}.*run version 9.9.9 or`),
      },
    ])
    t.equal(warnings().length, 1, 'its sender is not taken for unsound')
    t.same(c.at(other).view.last, before)
    await outcome
  },
)
