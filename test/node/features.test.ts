import t, { type Test } from 'tap'
import {
  encodeCommand,
  FEATURE_LEVEL,
  NO_LEASES,
  type PutCommand,
  type TransactionCommand,
} from '../../src/kv/index.ts'
import { tagged } from '../../src/http/keys/writes.ts'
import { RequestError } from '../../src/lib/errors.ts'
import { limits } from '../../src/limits.ts'
import { encodeStateMeta } from '../../src/node/codec/state-meta.ts'
import { Complaints, newerBuild } from '../../src/node/peers/complaints.ts'
import { Features } from '../../src/node/requests/features.ts'
import { STATE_STREAM_FORMAT } from '../../src/node/snapshots/state-stream.ts'
import type { SnapshotAnswer } from '../../src/ports/transport.ts'
import { indexOf, logIndex, nodeId, term, type AppendRequest, type Vote } from '../../src/raft/index.ts'
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

t.test('a retry gets the first answer also through a node that saw another level, at first or now', async (t) => {
  const c = new TestCluster(t, [1, 2, 3], LEVEL)
  await c.form()
  const put = (value: string): PutCommand => {
    return {
      type: 'put',
      key: key('a'),
      value: Buffer.from(value),
      condition: null,
      wantsPrevious: false,
      idempotency: null,
    }
  }
  await c.on(1).execute(transaction)
  for (const [first, then] of [[0, 1] as const, [1, 0] as const]) {
    const asker = { headers: { 'idempotency-key': `seen-at-${first}` }, access: { token: null } }
    const answer = await c.on(1).execute(tagged(put('1'), asker, { level: first }))
    t.match(answer, { type: 'put' })
    t.same(await c.on(2).execute(tagged(put('1'), asker, { level: then })), answer)
    t.same(await c.on(3).execute(tagged(put('1'), asker, { level: first })), answer)
    for (const level of [first, then]) {
      const other = await c.on(2).execute(tagged(put('2'), asker, { level }))
      t.same(other, { type: 'key-reused' }, 'another request is told apart')
    }
  }
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
  const { raft, applier, reads, conditions } = c.at(1).node.replica
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
  const features = new Features(options, {
    raft,
    transport,
    applier,
    proposals: { submit },
    reads,
    conditions,
    clock,
    logger,
  })
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

t.test('a node that catches up does not say that the cluster knows no transactions', async (t) => {
  const c = new TestCluster(t, [1, 2, 3], LEVEL)
  const leader = await c.form()
  await c.on(1).execute(transaction)
  const [behind = 0] = [1, 2, 3].filter((id) => id !== leader)
  const { replica } = c.at(behind).node
  const { applier, reads } = replica
  // What it has applied is of long ago until it has caught up, after many times the patience with a new cluster.
  let hasCaughtUp = false
  Object.defineProperty(applier, 'level', { configurable: true, get: () => (hasCaughtUp ? 1 : 0) })
  const barrier = reads.barrier.bind(reads)
  reads.barrier = async (timeoutMs, caller) => {
    await new Promise<void>((resolve) => void c.clock.after(4_000, resolve))
    hasCaughtUp = true
    await barrier(timeoutMs, caller)
  }
  const answer = c.on(behind).execute(transaction)
  await c.pass(4_500)
  t.match(await answer, { type: 'transaction', succeeded: true })

  reads.barrier = barrier
  await c.settled()
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
        detail: new RegExp(`node ${leader} sends, .*level ${FEATURE_LEVEL + 1}.*run version 9.9.9 or`),
      },
    ])
    t.equal(warnings().length, 1, 'its sender is not taken for unsound')
    t.same(c.at(other).view.last, before)
    await outcome
  },
)

/** A cluster, and one that follows in it. */
async function following(t: Test) {
  const c = new TestCluster(t, [1, 2, 3], LEVEL)
  const leader = await c.form()
  await c.on(leader).execute(transaction)
  await c.settled()
  return { c, leader: nodeId(leader), follower: nodeId(leader === 1 ? 2 : 1) }
}

/** The next append of the leader, with one entry that holds `entry`. */
function appended({ c, leader, follower }: Awaited<ReturnType<typeof following>>, entry: Uint8Array): AppendRequest {
  const { vote, last, committed } = c.at(leader).view
  const [first, body] = [logIndex(indexOf(last) + 1), Buffer.alloc(4 + entry.length)]
  body.writeUInt32LE(entry.length)
  body.set(entry, 4)
  return {
    type: 'append-request',
    from: leader,
    to: follower,
    vote,
    session: 1,
    prev: last,
    batches: [{ leaderId: vote.leaderId, first, last: first, body, membershipCount: 0 }],
    memberships: [],
    committed,
    sentAt: 1,
    freshAt: null,
  }
}

/** An entry with a command of a type that nobody knows. */
function unknownCommand(): Uint8Array {
  const command = encodeCommand({ type: 'compaction', revision: null, idempotency: null }).fill(200, 1, 2)
  return Buffer.concat([Buffer.of(2), Buffer.alloc(14), command])
}

t.test(
  'entries that only a newer build knows are no unsound ones, where the raise itself is purged as well',
  async (t) => {
    for (const [entry, detail] of [
      [
        unknownCommand(),
        /node \d sends, .*once so far \(append-request: .*command of type 200, which this build does not know/,
      ],
      [Buffer.of(9, 9), /node \d sends, .*of kind 9, which this version does not know/],
    ] as const) {
      const scene = await following(t)
      const { c, leader, follower } = scene
      const before = c.at(follower).view
      c.at(leader).send(appended(scene, entry))
      await c.until('it is warned', () => c.on(follower).status().warnings.length > 0)
      t.match(c.on(follower).status().warnings, [{ code: 'build-too-old', detail }])
      t.equal(c.on(follower).status().warnings.length, 1)
      t.same(c.at(follower).view.last, before.last)
      await c.on(leader).put('still', 'there')
      await c.settled()
    }
  },
)

t.test('what only a newer build knows is no licence for any term or ballot', async (t) => {
  for (const [change, detail] of [
    [
      ({ leaderId }: Vote): Vote => ({ leaderId: { ...leaderId, term: term(2 ** 40) }, committed: true }),
      /than elections can explain/,
    ],
    [(vote: Vote): Vote => ({ ...vote, committed: false }), /not from the owner of the vote/],
  ] as const) {
    const scene = await following(t)
    const { c, leader, follower } = scene
    const append = appended(scene, unknownCommand())
    c.at(leader).send({ ...append, vote: change(append.vote) })
    await c.until('it is refused', () => {
      return detail.test(c.on(follower).status().warnings[0]?.detail ?? '')
    })
    t.match(c.on(follower).status().warnings, [{ code: 'unsound-peer', detail }])
    t.equal(c.on(follower).status().warnings.length, 1, 'it is not told to be a newer build')
  }
})

t.test('a state of a newer build is not taken, and warned of', async (t) => {
  const machine = {
    revision: 0,
    digest: 0,
    idempotentFirst: 0,
    idempotentNext: 0,
    keptValues: [],
    level: FEATURE_LEVEL + 1,
    history: { compactedRevision: 0, collectedRevision: 0, changes: 0, bytes: 0, retention: RETENTION },
    leases: NO_LEASES,
    auth: 0,
  }
  for (const [format, level, detail] of [
    [STATE_STREAM_FORMAT, FEATURE_LEVEL + 1, /node \d sends, .*\(snapshot: the state has feature level/],
    [STATE_STREAM_FORMAT + 1, FEATURE_LEVEL, /node \d sends, .*\(snapshot: format \d+ is not known/],
  ] as const) {
    const { c, leader, follower } = await following(t)
    const { vote, last, effective } = c.at(leader).view
    const logId = { leaderId: vote.leaderId, index: logIndex(indexOf(last) + 10) }
    const meta = encodeStateMeta({ applied: logId, membership: effective, machine: { ...machine, level } })
    const header = { vote, session: 1, logId, membership: effective, formatVersion: format, bytesEstimate: 1_000 }
    const answers: SnapshotAnswer[] = []
    const rowOfAnotherBuild = Uint8Array.of(1, 1, 0, 0, 0, 0, 0, 0, 0, 0xfe)
    c.at(follower).node.replica.snapshotReceiver.onSnapshot({
      from: leader,
      header,
      async *chunks() {
        yield Buffer.concat([Buffer.of(0), meta])
        yield rowOfAnotherBuild
      },
      finish: async (answer) => void answers.push(answer),
    })
    await c.until('it is answered', () => answers.length > 0)
    t.match(answers, [{ installed: false }])
    t.match(c.on(follower).status().warnings, [{ code: 'build-too-old', detail }])
    t.equal(c.on(follower).status().warnings.length, 1)
  }
})

t.test('messages of a newer build are logged now and then, whatever they say, and the warning ends after them', (t) => {
  let now = 0
  const lines: object[] = []
  const quiet = { debug: () => undefined, info: () => undefined, error: () => undefined }
  const warn = (facts: object, event: string): void => void lines.push({ ...facts, event })
  const complaints = new Complaints(newerBuild, () => now, { ...quiet, warn })
  t.same(complaints.warnings, [])
  for (let i = 0; i < 1_000; i++) complaints.add(nodeId(2), `version ${i}`)
  t.match(lines, [{ event: 'peer of a newer build', peer: 2, detail: 'version 0', times: 1 }])
  t.equal(lines.length, 1)
  t.match(complaints.warnings, [{ code: 'build-too-old', detail: /node 2 .* 1000 times so far \(version 999\)/ }])
  now += limits.complaintLogIntervalMs
  complaints.add(nodeId(3), 'again')
  t.match(lines[1], { peer: 3, detail: 'again', times: 1_000 })
  now += limits.complaintMsMax
  t.equal(complaints.warnings.length, 1)
  now += 1
  t.same(complaints.warnings, [], 'it is over')
  t.end()
})
