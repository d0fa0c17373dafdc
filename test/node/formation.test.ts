import t, { type Test } from 'tap'
import { entriesOf } from '../../src/node/codec/entry.ts'
import type { PeerMessage } from '../../src/ports/transport.ts'
import type { LogBatch } from '../../src/raft/index.ts'
import { refused, specOf, specsOf, TestCluster } from './support/cluster.ts'
import { drop, passAll } from './support/formed.ts'
import { ProcessEndedError } from './support/life.ts'
import type { Machine } from './support/machine.ts'

/** Every non-empty subset of `ids`. */
function subsetsOf(ids: readonly number[]): number[][] {
  const subsets: number[][] = []
  for (let bits = 1; bits < 1 << ids.length; bits++) subsets.push(ids.filter((_, at) => (bits & (1 << at)) !== 0))
  return subsets
}

/** The log entry at index 0 on the disk of `machine`; null when there is none. Later writes at index 0 would be a fault. */
function entryZeroOf(machine: Machine): { readonly batch: LogBatch; readonly hex: string } | null {
  const found: LogBatch[] = []
  for (const write of machine.log.synced) {
    if (write.type === 'truncate' && write.from === 0) throw new Error(`node ${machine.id} has replaced entry 0`)
    if (write.type === 'append' && write.batch.first === 0) found.push(write.batch)
  }
  const [batch] = found
  if (found.length > 1) throw new Error(`node ${machine.id} has written entry 0 ${found.length} times`)
  return batch === undefined ? null : { batch, hex: Buffer.from(batch.body).toString('hex') }
}

/** One cluster, formed well: one leader, one cluster id, entry 0 the same everywhere, committed and effective equal, and it works. */
async function checkOneCluster(t: Test, c: TestCluster, ids: readonly number[]): Promise<void> {
  const leader = await c.leader(ids)
  if (ids.length > 1) await c.identified(ids, leader)
  await c.settled(ids)
  for (const id of ids) await c.on(id).put(`written-on-${id}`, `by-${id}`)
  await c.settled(ids)
  const zero = entryZeroOf(c.at(leader))
  const clusterIds = new Set(ids.map((id) => c.on(id).status().clusterId))
  if (zero?.batch.leaderId.term !== 0 || zero.batch.leaderId.nodeId !== 0)
    throw new Error('entry 0 is not of ballot (0, 0)')
  if (clusterIds.size !== 1 || clusterIds.has(null)) throw new Error(`there are clusters ${[...clusterIds].join(' ')}`)
  for (const id of ids) {
    if (entryZeroOf(c.at(id))?.hex !== zero.hex) throw new Error(`node ${id} has another entry 0 than node ${leader}`)
    const { membership, joint, committed, logId } = c.on(id).membership()
    if (joint || !committed) throw new Error(`node ${id} has membership ${JSON.stringify(logId)}`)
    if (membership.configs.join() !== ids.join()) throw new Error(`node ${id} has voters ${membership.configs.join()}`)
  }
  t.pass(`${ids.length} nodes are one cluster, which node ${leader} leads`)
}

t.test('a node that comes online in a pristine state is a learner, completely passive', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  await c.start(1, 2, 3)
  await c.pass(30_000)
  for (const id of [1, 2, 3]) {
    const { node, term, vote, clusterId, lastLogId, leader, membership, nodes } = c.on(id).status()
    t.equal(node.state, 'learner')
    t.match(
      { term, vote, clusterId, lastLogId, leader, membership },
      {
        term: 0,
        vote: { term: 0, node: 0, committed: false },
        clusterId: null,
        lastLogId: null,
        leader: null,
        membership: null,
      },
    )
    t.same(nodes, {})
    t.equal(c.on(id).services.health.metrics().elections, 0, 'it never campaigns')
    t.same(c.at(id).log.synced, [], 'and writes nothing')
    await refused(c.on(id).put('a', '1'), 'not-initialized')
    await refused(c.on(id).get('a'), 'not-initialized')
    await refused(c.on(id).stale('a'), 'not-initialized')
    await refused(c.on(id).scan(), 'not-initialized')
    await refused(c.on(id).change([1]), 'not-initialized')
    await refused(c.on(id).addLearner(specOf(2)), 'not-initialized')
    t.throws(() => c.on(id).membership(), { code: 'not-initialized' })
    t.throws(() => c.on(id).campaign(), { code: 'not-initialized' })
    const member = (await c.on(id).ready()).find(({ name }) => name === 'member')
    t.match(member, { ok: false, detail: /POST \/cluster\/initialize/ }, 'it is not ready, and says what it needs')
  }
})

t.test(
  'standalone: initialized with only its own id, a node becomes leader at once, with one campaign, in term 1',
  async (t) => {
    for (const members of [null, specsOf([1])]) {
      const c = new TestCluster(t, [1])
      await c.start(1)
      const before = c.clock.now()
      const answer = await c.on(1).initialize(members)
      t.ok(c.clock.now() - before < 10, 'no timeout was waited for')
      t.same(answer.logId, { term: 0, node: 0, index: 0 })
      t.same(answer.membership.configs, [[1]])
      const { node, term, leader, committed, lastLogId } = c.on(1).status()
      t.match({ state: node.state, term, leader }, { state: 'leader', term: 1, leader: 1 })
      t.same(committed, { term: 1, node: 1, index: 1 }, 'the blank entry is committed, and entry 0 with it')
      t.same(lastLogId, committed)
      t.equal(c.on(1).services.health.metrics().elections, 1)
      t.match(await c.on(1).put('a', '1'), { type: 'put', version: 1 })
      t.equal(await c.on(1).get('a'), '1')
      await c.pass(10_000)
      t.equal(c.on(1).status().term, 1, 'and it stays so')
      await c.restart(1)
      await c.leader([1])
      t.equal(await c.on(1).get('a'), '1')
      t.equal(c.on(1).status().term, 2, 'a restart is a campaign of its own')
    }
  },
)

t.test('multi-node: the node submits vote requests to all of the members, without waiting for a timeout', async (t) => {
  for (const ids of [
    [1, 2],
    [1, 2, 3],
    [1, 2, 3, 4, 5],
  ]) {
    const c = new TestCluster(t, ids)
    await c.start(...ids)
    const sent: PeerMessage[] = []
    c.interference.intercept = (message) => {
      sent.push(message)
      return [message]
    }
    const before = c.clock.now()
    await c.on(2).initialize(specsOf(ids), 'leader')
    await c.leader()
    t.ok(c.clock.now() - before < 200, 'the election follows at once')
    const asked = sent.filter(({ type, from }) => type === 'vote-request' && from === 2).map(({ to }) => to)
    t.same(
      [...new Set(asked)].sort((a, b) => a - b),
      ids.filter((id) => id !== 2),
      'everybody is asked',
    )
    t.equal(c.at(2).view.vote.leaderId.term, 1)
    t.notOk(
      sent.some(({ type }) => type === 'pre-vote-request'),
      'there is no leader that a pre-vote would protect',
    )
  }
})

t.test('it is safe for every node to initialize in parallel, and so for every subset of them', async (t) => {
  for (const ids of [
    [1, 2],
    [1, 2, 3],
    [1, 2, 3, 4, 5],
  ]) {
    for (const initializers of subsetsOf(ids)) {
      const c = new TestCluster(t, ids)
      await c.start(...ids)
      const outcomes = await Promise.all(
        initializers.map((id) =>
          c
            .on(id)
            .initialize(specsOf(ids))
            .then(
              () => 'formed',
              (error: unknown) => error,
            ),
        ),
      )
      for (const outcome of outcomes) t.equal(outcome, 'formed')
      await checkOneCluster(t, c, ids)
      await Promise.all(c.up.map((machine) => machine.crash()))
    }
  }
})

t.test(
  'initializing one after the other, at any distance, is as safe: who comes too late is told that all is done',
  async (t) => {
    for (const delayMs of [0.1, 0.3, 0.5, 1, 5, 100, 700]) {
      const c = new TestCluster(t, [1, 2, 3])
      for (const machine of c.machines.values()) machine.log.writeMs = 0.4
      await c.start(1, 2, 3)
      const calls: Promise<unknown>[] = []
      for (const id of [3, 1, 2]) {
        calls.push(
          c
            .on(id)
            .initialize(specsOf([1, 2, 3]), 'appended')
            .then(
              () => 'formed',
              (error: { code?: unknown }) => error.code,
            ),
        )
        await c.pass(delayMs)
      }
      const outcomes = await Promise.all(calls)
      t.equal(outcomes[0], 'formed')
      for (const outcome of outcomes) t.ok(outcome === 'formed' || outcome === 'already-initialized', String(outcome))
      await checkOneCluster(t, c, [1, 2, 3])
    }
  },
)

t.test(
  'initializing in parallel is safe when nodes crash in the middle of it and are told the same again',
  async (t) => {
    let interrupted = 0
    for (const initializers of subsetsOf([1, 2, 3])) {
      for (const crashAfterMs of [0.05, 0.2, 0.45, 0.7, 1.1, 1.6, 2.4]) {
        const c = new TestCluster(t, [1, 2, 3])
        for (const machine of c.machines.values()) machine.log.writeMs = 0.3 + machine.id / 10
        await c.start(1, 2, 3)
        const calls = initializers.map(async (id) => {
          await c.on(id).initialize(specsOf([1, 2, 3]), 'appended')
        })
        const over = Promise.allSettled(calls)
        await c.pass(crashAfterMs)
        for (const id of initializers) await c.at(id).crash()
        for (const outcome of await over) {
          if (outcome.status === 'rejected' && outcome.reason instanceof ProcessEndedError) interrupted += 1
        }
        for (const id of initializers) await c.at(id).start()
        for (const id of initializers) {
          const again = c.on(id).initialize(specsOf([1, 2, 3]), 'appended')
          const outcome = await again.then(
            () => 'formed',
            (error: { code?: unknown }) => error.code,
          )
          if (outcome !== 'formed' && outcome !== 'already-initialized') throw new Error(String(outcome))
        }
        await checkOneCluster(t, c, [1, 2, 3])
        await Promise.all(c.up.map((machine) => machine.crash()))
      }
    }
    t.ok(interrupted > 20, `${interrupted} calls were cut off by a crash`)
  },
)

t.test(
  'the membership is added at index 0 with log id ((0, 0), 0), without consensus, effective at once',
  async (t) => {
    const c = new TestCluster(t, [1, 2, 3])
    await c.start(1)
    const answer = await c.on(1).initialize(specsOf([1, 2, 3]), 'appended')
    t.same(answer.logId, { term: 0, node: 0, index: 0 })
    t.equal(answer.clusterId, c.on(1).status().clusterId)
    const { effective } = c.at(1).view
    t.same(effective.logId, { leaderId: { term: 0, nodeId: 0 }, index: 0 })
    t.same(effective.membership.configs, [[1, 2, 3]])
    t.match(c.on(1).membership(), { committed: false, joint: false, logId: { term: 0, node: 0, index: 0 } })
    t.ok(entryZeroOf(c.at(1)), 'it is on the disk before the call returns')
    await c.pass(5_000)
    t.equal(c.at(1).view.committed, -1, 'alone it commits nothing')
    t.not(c.at(1).view.state, 'leader')
    await refused(c.on(1).put('a', '1', { timeoutMs: 500 }), 'no-leader')
    await refused(c.on(1).get('a', { timeoutMs: 500 }), 'no-leader')
    await c.restart(1)
    t.same(c.at(1).view.effective.membership.configs, [[1, 2, 3]], 'and it is effective after a restart')
    t.equal(c.on(1).status().clusterId, answer.clusterId)
  },
)

t.test(
  'the leader commits a blank entry, and with it everything before; then it writes down who the members are',
  async (t) => {
    const c = new TestCluster(t, [1, 2, 3])
    await c.form()
    await c.settled()
    for (const id of [1, 2, 3]) {
      const batches = c.at(id).log.synced.flatMap((write) => (write.type === 'append' ? [write.batch] : []))
      const entries = batches.flatMap((batch) => entriesOf(batch).map(({ kind, index }) => `${index} ${kind}`))
      t.same(entries, ['0 membership', '1 blank', '2 membership'])
      t.same(batches[1]?.leaderId, { term: 1, nodeId: 1 })
      t.equal(c.at(id).view.committed, 2)
      t.equal(c.at(id).applied, 2)
      const { nodes } = c.at(id).view.committedMembership.membership
      t.same(
        [...nodes.values()].map(({ incarnation }) => incarnation),
        [1, 2, 3].map((member) => c.at(member).incarnation),
      )
    }
  },
)

t.test('called on a node that is initialized already, it returns an error and the node stays safe', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  const leader = await c.form()
  await c.on(1).put('a', '1')
  await c.settled()
  for (const id of [1, 2, 3]) {
    const before = c.at(id).view
    const written = c.at(id).log.synced.length
    for (const members of [null, specsOf([1, 2, 3]), specsOf([id])]) {
      const { facts } = await refused(c.on(id).initialize(members), 'already-initialized')
      t.match(facts, {
        clusterId: c.on(id).status().clusterId,
        lastLogId: { term: 1, node: leader, index: 3 },
        vote: { term: 1, node: leader, committed: true },
        membership: { configs: [[1, 2, 3]], learners: [] },
      })
    }
    const { vote, last, committed } = c.at(id).view
    t.same({ vote, last, committed }, { vote: before.vote, last: before.last, committed: before.committed })
    t.equal(c.at(id).log.synced.length, written, 'nothing was written')
  }
  t.equal(await c.leader(), leader)
  t.equal(c.at(leader).view.vote.leaderId.term, 1)
})

t.test('nobody is told that a node is initialized before its disk has taken it', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  await c.start(1, 2, 3)
  c.at(1).log.writeMs = 5_000
  const begun = c.clock.now()
  const first = refused(c.on(1).initialize(specsOf([1, 2, 3]), 'appended', 1_000), 'outcome-unknown')
  await c.until('it has begun', () => c.at(1).view.last !== null)
  await refused(c.on(1).initialize(specsOf([1, 2, 3]), 'appended', 500), 'not-ready')
  await first
  t.ok(c.clock.now() - begun < 2_000, 'neither waits for the disk beyond its time')
  await c.at(1).crash()
  c.at(1).log.writeMs = 0
  await c.start(1)
  t.equal(c.at(1).view.last, null, 'the entry is gone')
  await c.on(1).initialize(specsOf([1, 2, 3]), 'appended')
  await refused(c.on(1).initialize(specsOf([1, 2, 3])), 'already-initialized')
  await c.settled()
})

t.test('a node that has given its vote refuses, though its log is empty', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  await c.start(1, 2)
  c.interference.intercept = (message) => (message.type === 'append-request' ? [] : [message])
  await c.on(1).initialize(specsOf([1, 2, 3]), 'appended')
  await c.until('node 2 has voted', () => c.at(2).view.vote.leaderId.term > 0)
  t.equal(c.at(2).view.last, null)
  t.equal(c.at(2).view.state, 'learner', 'a vote alone makes no member')
  for (const members of [null, specsOf([1, 2, 3]), specsOf([2, 3])]) {
    const { facts } = await refused(c.on(2).initialize(members), 'already-initialized')
    t.match(facts, { lastLogId: null, vote: { node: 1 }, clusterId: c.on(1).status().clusterId })
  }
  t.equal(c.at(2).view.last, null)
  await c.pass(10)
  await c.restart(2)
  await refused(c.on(2).initialize(null), 'already-initialized')
  c.interference.intercept = (message) => [message]
  await c.start(3)
  await checkOneCluster(t, c, [1, 2, 3])
})

t.test('an initialize that fails starts no election and changes nothing', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  await c.start(1, 2, 3)
  const cases: [number, Parameters<typeof specsOf>[0] | null, string][] = [
    [1, [2, 3], 'not-in-members'],
    [1, [], 'invalid-request'],
    [1, [1, 2, 2], 'invalid-request'],
    [1, Array.from({ length: 65 }, (_, i) => i + 1), 'invalid-request'],
  ]
  for (const [id, ids, code] of cases)
    await t.rejects(c.on(id).initialize(ids === null ? null : specsOf(ids)), { code })
  const shared = { ...specOf(2), id: 3 }
  await refused(c.on(1).initialize([specOf(1), specOf(2), { ...shared, api: 'http://elsewhere:1' }]), 'invalid-request')
  await refused(c.on(1).initialize([specOf(1), specOf(2), { ...shared, raft: 'elsewhere:1' }]), 'invalid-request')
  const swapped = [specOf(1), { ...specOf(3), id: 2 }, { ...specOf(2), id: 3 }]
  const { facts } = await refused(c.on(1).initialize(swapped), 'member-mismatch')
  t.match(facts, { found: Number }, 'the answer says who answers at the address')
  await refused(c.on(1).initialize([{ ...specOf(2), id: 1 }, specOf(3)]), 'member-mismatch')
  await refused(
    c.on(1).initialize([{ id: 1, raft: 'nowhere:1', api: 'http://nowhere:2' }, specOf(3)]),
    'member-mismatch',
  )
  await c.pass(5_000)
  for (const id of [1, 2, 3]) {
    t.equal(c.on(id).status().node.state, 'learner')
    t.equal(c.on(id).services.health.metrics().elections, 0)
    t.same(c.at(id).log.synced, [])
  }
  await c.on(1).initialize(specsOf([1, 2, 3]))
  await checkOneCluster(t, c, [1, 2, 3])
})

t.test('two requests at once on one node: one forms the cluster, the other is told to come back', async (t) => {
  const c = new TestCluster(t, [1, 2])
  await c.start(1, 2)
  const first = c.on(1).initialize(specsOf([1, 2]))
  await refused(c.on(1).initialize(specsOf([1, 2])), 'not-ready')
  await first
  await refused(c.on(1).initialize(specsOf([1, 2])), 'already-initialized')
  await checkOneCluster(t, c, [1, 2])
})

t.test('with different members a peer that can be reached and belongs to another cluster makes it fail', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4])
  await c.form([1, 2, 3])
  await c.start(4)
  const clusterId = c.on(1).status().clusterId
  for (const ids of [
    [3, 4],
    [1, 4],
    [1, 2, 3, 4],
  ]) {
    const { facts } = await refused(c.on(4).initialize(specsOf(ids)), 'peer-disagrees')
    t.match(facts, { peerClusterId: clusterId, peerMembership: { configs: [[1, 2, 3]] } })
  }
  t.equal(c.on(4).status().node.state, 'learner')
  t.equal(c.on(4).status().clusterId, null)
  await c.on(4).initialize(null)
  t.equal(c.on(4).status().leader, 4, 'alone it may form a cluster of its own')
})

t.test('with another cluster token nothing is shared', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  c.at(2).options = { clusterToken: 'other' }
  await c.start(1, 2, 3)
  const error = await refused(c.on(1).initialize(specsOf([1, 2, 3])), 'peer-disagrees')
  t.match(error.message, /another cluster token than node 2 has.* --cluster-token/)
  await c.at(2).crash()
  await c.on(1).initialize(specsOf([1, 2, 3]), 'appended')
  await c.leader([1, 3])
  await c.start(2)
  await c.pass(2_000)
  t.equal(c.on(2).status().clusterId, null)
  t.equal(c.on(2).status().term, 0, 'it has not voted either')
  t.ok(
    c
      .on(2)
      .status()
      .warnings.some(({ code }) => code === 'foreign-cluster'),
  )
  t.ok(
    c
      .on(1)
      .status()
      .warnings.some(({ code }) => code === 'foreign-cluster'),
  )
})

t.test('a node that is started again with another token stays where it is, and says so', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  await c.form([1, 2, 3])
  const { clusterId } = c.on(2).status()
  t.same(c.on(2).status().warnings, [])
  c.at(2).options = { clusterToken: 'other' }
  await c.restart(2)
  t.match(c.on(2).status(), {
    clusterId,
    warnings: [{ code: 'wrong-token', detail: /Start this node with the token/ }],
  })
  await c.settled()
})

/** Nodes by the cluster they belong to; no leader's quorum reaches into another cluster. */
function checkDisjoint(c: TestCluster): number {
  const clusters = new Map<string, number[]>()
  for (const { id } of c.up) {
    const { clusterId } = c.on(id).status()
    if (clusterId !== null) clusters.set(clusterId, [...(clusters.get(clusterId) ?? []), id])
  }
  const led = new Set<string>()
  for (const { id, view } of c.up) {
    if (view.state !== 'leader' || !view.established) continue
    const clusterId = c.on(id).status().clusterId ?? ''
    if (led.has(clusterId)) throw new Error(`two leaders in cluster ${clusterId}`)
    led.add(clusterId)
    const voters = view.effective.membership.configs[0] ?? []
    const present = voters.filter((voter) => clusters.get(clusterId)?.includes(voter) === true)
    if (present.length * 2 <= voters.length)
      throw new Error(`node ${id} leads with voters ${present.join()} of ${voters.join()}`)
  }
  return led.size
}

t.test('different members in parallel: no two leaders ever share a node, and each cluster is consistent', async (t) => {
  const lists: [number, number[]][][] = [
    [
      [1, [1, 2, 3]],
      [2, [2, 3, 4]],
    ],
    [
      [1, [1, 2, 3]],
      [4, [2, 3, 4]],
    ],
    [
      [1, [1, 2]],
      [3, [2, 3]],
    ],
    [
      [1, [1, 2, 3]],
      [2, [2]],
    ],
    [
      [1, [1, 2, 3, 4, 5]],
      [5, [3, 4, 5]],
    ],
    [
      [1, [1, 2, 3]],
      [2, [1, 2, 4]],
      [3, [2, 3, 5]],
    ],
  ]
  const leaders = new Set<number>()
  let refusals = 0
  for (const list of lists) {
    for (const delayMs of [0, 0.1, 0.2, 0.4, 0.8]) {
      const c = new TestCluster(t, [1, 2, 3, 4, 5])
      for (const machine of c.machines.values()) machine.log.writeMs = 0.2 * machine.id
      await c.start(1, 2, 3, 4, 5)
      const calls: Promise<unknown>[] = []
      for (const [id, ids] of list) {
        calls.push(
          c
            .on(id)
            .initialize(specsOf(ids), 'appended')
            .then(
              () => null,
              (error: { code?: unknown }) => error.code,
            ),
        )
        if (delayMs > 0) await c.pass(delayMs)
      }
      for (const code of await Promise.all(calls)) {
        if (code === null) continue
        t.ok(code === 'peer-disagrees' || code === 'already-initialized', 'a refusal says why')
        refusals += 1
      }
      for (let looks = 0; looks < 40; looks++) {
        await c.pass(50)
        leaders.add(checkDisjoint(c))
      }
      for (const { id, view } of c.up) {
        if (view.state === 'leader') await c.on(id).put('mine', String(id))
      }
      // A restart brings nobody over to the other side.
      for (const { id } of c.up) await c.restart(id)
      await c.pass(3_000)
      checkDisjoint(c)
      await Promise.all(c.up.map((machine) => machine.crash()))
    }
  }
  t.ok(leaders.has(1) && leaders.has(2), 'one and two leaders at a time were seen')
  t.ok(refusals > 0, `${refusals} calls were refused`)
})

t.test('a side that meets another cluster shows its id', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  await c.start(1)
  await c.on(1).initialize(specsOf([1, 2]), 'appended')
  await c.start(2, 3)
  c.cut(2, 1)
  c.cut(1, 2)
  await c.on(3).initialize(specsOf([2, 3]))
  c.heal()
  const foreign = c.on(3).status().clusterId ?? ''
  await c.until('node 1 shows the foreign cluster', () =>
    c
      .on(1)
      .status()
      .warnings.some(({ code, detail }) => code === 'foreign-cluster' && detail.includes(foreign)),
  )
  t.pass()
})

t.test('wait: appended does not wait for a leader, leader and committed do', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  await c.start(1)
  await c.on(1).initialize(specsOf([1, 2, 3]), 'appended', 1_000)
  for (const wait of ['leader', 'committed'] as const) {
    const d = new TestCluster(t, [1, 2, 3])
    await d.start(1)
    const before = d.clock.now()
    const error = await refused(d.on(1).initialize(specsOf([1, 2, 3]), wait, 3_000), 'no-leader')
    const missed = wait === 'leader' ? 'no leader was elected' : 'its first entry was not committed'
    t.match(error.message, `this node is initialized, but ${missed} in time`)
    t.equal(d.on(1).membership().membership.configs[0]?.length, 3, 'and so it is')
    t.ok(d.clock.now() - before >= 2_990 && d.clock.now() - before < 3_100, 'at the end of its time')
    await d.start(2, 3)
    await checkOneCluster(t, d, [1, 2, 3])
    const e = new TestCluster(t, [1, 2, 3])
    await e.start(1, 2)
    await e.on(1).initialize(specsOf([1, 2, 3]), wait)
    if (wait === 'leader') t.equal(e.at(1).view.leader, 1)
    else t.ok(e.at(1).view.committed >= 0)
  }
})

t.test('members that cannot be reached do not stand in the way: they join when they come online', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4, 5])
  await c.start(1, 2)
  await c.on(1).initialize(specsOf([1, 2, 3, 4, 5]), 'appended')
  await c.pass(3_000)
  t.equal(c.leaderOrNull(), null, 'two of five are no majority')
  await c.start(3)
  t.ok(await c.leader([1, 2, 3]))
  await c.on(2).put('a', '1')
  await c.start(4, 5)
  await checkOneCluster(t, c, [1, 2, 3, 4, 5])
  // The silent ones: neither refused nor answering.
  const d = new TestCluster(t, [1, 2, 3])
  await d.start(1, 2, 3)
  d.partition([3])
  const before = d.clock.now()
  await d.on(1).initialize(specsOf([1, 2, 3]))
  t.ok(d.clock.now() - before < 1_500, 'a silent peer is waited for only for a moment')
  d.heal()
  await checkOneCluster(t, d, [1, 2, 3])
})

t.test('a member that does not answer is named everywhere, with what to do and how to start over', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  await c.start(1, 2)
  const wrong = { ...specOf(2), raft: 'nowhere:1' }
  const answer = await c.on(1).initialize([specOf(1), wrong], 'appended')
  t.match(answer.unanswered, [{ id: 2, raft: 'nowhere:1', detail: String }])
  t.equal(answer.unanswered.length, 1)
  const said = /node 2 at nowhere:1.*set-addresses.*empty its data directory.*initialize again$/
  t.ok(
    c.lines.some(
      ({ node, level, facts }) =>
        node === 1 && level === 'warn' && 'detail' in facts && said.test(String(facts.detail)),
    ),
    'the log says it',
  )
  const unformed = () =>
    c
      .on(1)
      .status()
      .warnings.find(({ code }) => code === 'unformed')
  t.match(unformed()?.detail, said)
  const again = await refused(c.on(1).initialize(specsOf([1, 2])), 'already-initialized')
  t.match(again.message, /begun to form another cluster.*empty its data directory/)
  await c.restart(1)
  t.match(unformed()?.detail, said, 'also when it is started again')

  // As it was said.
  await c.at(1).crash()
  c.at(1).wipe()
  await c.start(1)
  t.same((await c.on(1).initialize(specsOf([1, 2]))).unanswered, [])
  await checkOneCluster(t, c, [1, 2])
  t.equal(unformed(), undefined)

  const d = new TestCluster(t, [1, 2, 3])
  await d.start(1)
  const late = await refused(d.on(1).initialize([specOf(1), wrong], 'committed', 2_000), 'no-leader')
  t.match(
    late.message,
    /is initialized, but its first entry was not committed in time.*node 2 at nowhere:1.*empty its data directory/,
  )
  t.match(late.facts, { unanswered: [{ id: 2 }] })
  const e = new TestCluster(t, [1, 2, 3])
  await e.start(1, 2)
  const formed = await e.on(1).initialize(specsOf([1, 2, 3]), 'committed')
  t.match(formed.unanswered, [{ id: 3 }], 'a minority that is missing is named as well')
  t.same(e.on(1).status().warnings, [], 'and no warning stays')
})

t.test('a node that others initialize knows nothing until the first word of a leader', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  await c.start(1, 2, 3)
  c.interference.intercept = (message) => (message.to === 2 ? [] : [message])
  await c.on(1).initialize(specsOf([1, 2, 3]))
  await c.pass(3_000)
  t.equal(c.on(2).status().node.state, 'learner')
  t.equal(c.on(2).status().clusterId, null)
  t.throws(() => c.on(2).membership(), { code: 'not-initialized' })
  c.interference.intercept = (message) => [message]
  await checkOneCluster(t, c, [1, 2, 3])
  t.equal(c.on(2).status().node.state, 'follower')
})

t.test(
  'stopped between the name of its cluster and the first entry, a node has promised nothing: it may be told the same again, or else',
  async (t) => {
    for (const second of [
      [1, 2, 3],
      [1, 2],
    ]) {
      const c = new TestCluster(t, [1, 2, 3])
      c.at(1).log.writeMs = 1
      await c.start(1, 2, 3)
      const call = c.on(1).initialize(specsOf([1, 2, 3]))
      await c.until('the name is stored', () => c.at(1).log.synced.length > 0)
      t.equal(entryZeroOf(c.at(1)), null)
      await Promise.all([t.rejects(call, { name: 'ProcessEndedError' }), c.at(1).crash()])
      await c.start(1)
      t.equal(c.on(1).status().lastLogId, null)
      t.equal(c.on(1).status().clusterId, null)
      await c.on(1).initialize(specsOf(second))
      await checkOneCluster(t, c, second)
      await Promise.all(c.up.map((machine) => machine.crash()))
    }
  },
)

t.test(
  'nodes that come online later: add_learner begins syncing, change_membership makes it a voter; removal needs no preliminary step',
  async (t) => {
    const c = new TestCluster(t, [1, 2, 3, 4])
    const leader = await c.form([1, 2, 3])
    for (let i = 0; i < 50; i++) await c.on(1).put(`k${i}`, String(i))
    await c.start(4)
    await c.pass(2_000)
    t.equal(c.on(4).status().node.state, 'learner', 'until then it is passive')
    const added = await c.on(leader).addLearner(specOf(4))
    t.match(added, { caughtUp: true, membership: { configs: [[1, 2, 3]], learners: [4] } })
    await c.until('the learner has synced', () => c.at(4).applied >= 51)
    t.equal(c.on(4).status().node.state, 'learner')
    t.equal(await c.on(4).get('k49'), '49', 'it serves reads')
    const promoted = await c.on(leader).change([1, 2, 3, 4])
    t.match(promoted, { joint: false, committed: true, membership: { configs: [[1, 2, 3, 4]], learners: [] } })
    await c.until('it votes', () => c.on(4).status().node.state === 'follower')
    const removed = await c.on(leader).change([1, 2, 3, 4].filter((id) => id !== 2 || id === leader))
    t.match(removed, { joint: false, committed: true })
    await c.settled(Object.keys(removed.membership.nodes).map(Number))
  },
)

t.test('a node that has only voted in a cluster that is gone says that it may have to be emptied', async (t) => {
  const c = new TestCluster(t, [1, 2, 3])
  drop(c, ({ type, to }) => type === 'append-request' && to === 2)
  await c.start(1, 2)
  await c.on(1).initialize(specsOf([1, 2, 3]), 'appended')
  await c.until('node 2 has voted', () => c.on(2).status().term > 0)
  const { clusterId } = c.on(1).status()
  await c.at(1).crash()
  await c.restart(2)
  const unformed = () =>
    c
      .on(2)
      .status()
      .warnings.find(({ code }) => code === 'unformed')
  t.equal(c.on(2).status().lastLogId, null)
  t.match(unformed()?.detail, new RegExp(`^this node has voted in cluster ${clusterId},.*empty its data directory`))
  passAll(c)
  await c.start(1)
  await c.leader([1, 2])
  t.equal(unformed(), undefined, 'not when a leader is there')
})
