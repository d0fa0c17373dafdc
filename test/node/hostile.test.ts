import t from 'tap'
import type { Test } from 'tap'
import { SeededRandom } from '../../src/lib/random.ts'
import type { NodeId } from '../../src/raft/index.ts'
import { logIndex, nodeId, term } from '../../src/raft/index.ts'
import { TermBudget } from '../../src/node/peers/term-budget.ts'
import { TestCluster } from './support/cluster.ts'
import { type Claim, Impostor, Lies } from './support/hostile.ts'
import { addressesOf } from './support/machine.ts'

/** More, or one that failed: HOSTILE_FROM=4129 HOSTILE_SEEDS=1 HOSTILE_LIES=5000 npx tap test/node/hostile.test.ts */
const from = Number(process.env['HOSTILE_FROM'] ?? 1)
const seeds = Number(process.env['HOSTILE_SEEDS'] ?? 4)
const lies = Number(process.env['HOSTILE_LIES'] ?? 600)

/** A cluster of three whose third member is away, and somebody who claims to be `claim` and can speak to the other two. */
async function beset(t: Test, claimOf: (c: TestCluster) => Claim) {
  const c = new TestCluster(t, [1, 2, 3])
  const leader = await c.form([1, 2, 3])
  for (let i = 0; i < 20; i++) await c.on(leader).put(`k${i}`, 'before')
  await c.at(3).crash()
  await c.leader([1, 2])
  const claim = claimOf(c)
  const impostor = new Impostor(claim)
  const transport = c.hub.join(claim.id, addressesOf(claim.id).raft, {
    // It is thrown out all the time.
    limits: { reconnectDelayMsMin: 1, reconnectDelayMsMax: 2 },
  })
  await transport.start(impostor)
  transport.setPeers(new Map([1, 2].map((id) => [nodeId(id), addressesOf(id).raft])))
  return { c, claim, impostor, transport }
}

const memberThree = (c: TestCluster): Claim => ({
  id: nodeId(3),
  clusterId: c.on(1).status().clusterId,
  incarnation: c.at(3).incarnation,
})

async function worksOn(t: Test, c: TestCluster): Promise<void> {
  if (!c.at(3).isUp) await c.at(3).start()
  const leader = await c.leader([1, 2, 3])
  await c.on(leader).put('after', 'all')
  t.equal(c.faults.length, 0)
}

t.test('nobody hears a node of no cluster, however it calls itself', async (t) => {
  for (const claim of [
    { id: nodeId(9), clusterId: null, incarnation: 'nobody' },
    { id: nodeId(3), clusterId: null, incarnation: 'not three' },
    { id: nodeId(9), clusterId: 'some-other-cluster', incarnation: 'nobody' },
  ]) {
    const { c, impostor, transport } = await beset(t, () => claim)
    const before = c.at(1).view.vote
    await c.pass(500)
    t.equal(impostor.connected.size, 0, 'it is let in nowhere')
    for (const id of [1, 2].map(nodeId)) {
      await t.rejects(
        transport.openSnapshot(id, new Lies(new SeededRandom(1), claim.id, id, () => c.at(1).view).header()),
      )
    }
    t.match(
      await transport.probe(addressesOf(1).raft, 1_000),
      claim.clusterId === null && claim.id === 9 ? { kind: 'answered' } : { kind: 'refused' },
    )
    t.same(c.at(1).view.vote, before)
    await transport.stop()
    await worksOn(t, c)
  }
})

t.test('a node of this cluster that is in no membership yet is heard as a leader or candidate only', async (t) => {
  const { c, claim, impostor, transport } = await beset(t, (c) => ({
    ...memberThree(c),
    id: nodeId(9),
    incarnation: 'nine',
  }))
  await c.until('it is let in', () => impostor.connected.size === 2)
  const to = nodeId(1)
  const { vote, last } = c.at(1).view
  const high = { leaderId: { term: term(vote.leaderId.term + 50), nodeId: claim.id }, committed: false }
  const envelope = { from: claim.id, to }
  transport.send({
    ...envelope,
    type: 'vote-response',
    asked: { ...high, leaderId: { ...high.leaderId, nodeId: to } },
    granted: false,
    vote: high,
  })
  transport.send({ ...envelope, type: 'pre-vote-response', asked: vote, granted: false, vote: high })
  transport.send({
    ...envelope,
    type: 'control-request',
    requestId: 1,
    name: 'transfer',
    body: '{"timeoutMs":100,"value":null}',
  })
  await c.pass(200)
  t.same(c.at(1).view.vote, vote, 'its answers raise nothing')
  const later = { leaderId: high.leaderId, committed: true }
  const append = {
    type: 'append-request' as const,
    session: 1,
    batches: [],
    memberships: [],
    committed: logIndex(-1),
    sentAt: 1,
    freshAt: null,
  }
  transport.send({ ...envelope, ...append, vote: later, prev: last })
  await c.until(
    'a leader that was added further on in the log is followed',
    () => c.at(1).view.vote.leaderId.nodeId === claim.id,
  )
  await transport.stop()
  await worksOn(t, c)
})

t.test('a term that no elections explain is refused, reported, and raises nothing', async (t) => {
  const { c, claim, impostor, transport } = await beset(t, memberThree)
  await c.until('it is let in', () => impostor.connected.size === 2)
  const before = c.at(1).view.vote.leaderId.term
  const vote = { leaderId: { term: term(2 ** 40), nodeId: claim.id }, committed: false }
  transport.send({ type: 'vote-request', from: claim.id, to: nodeId(1), vote, last: c.at(1).view.last, transfer: true })
  await c.until('it is reported', () =>
    c
      .on(1)
      .status()
      .warnings.some(({ code }) => code === 'unsound-peer'),
  )
  t.match(c.on(1).status().warnings, [
    { code: 'unsound-peer', detail: /under the id 3.*higher than elections can explain/ },
  ])
  t.equal(c.at(1).view.vote.leaderId.term, before)
  await transport.stop()
  await worksOn(t, c)
})

t.test('terms may rise by what was missed once, and then as time goes by', (t) => {
  let [now, own] = [0, term(5)]
  const budget = new TermBudget(
    () => now,
    () => own,
  )
  t.notOk(budget.isExceededBy(term(2 ** 32)))
  t.ok(budget.isExceededBy(term(2 ** 32 + 6)))
  own = term(2 ** 32)
  t.ok(budget.isExceededBy(term(2 ** 32 + 100)), 'most of it is used up')
  now += 1_000
  t.notOk(budget.isExceededBy(term(2 ** 32 + 100)))
  t.ok(budget.isExceededBy(term(2 ** 32 + 2_000)))
  t.end()
})

/** Says hundreds of things to both nodes, or as many as is asked for, and offers them states. */
async function lie(
  c: TestCluster,
  seed: number,
  claim: Claim,
  transport: ReturnType<TestCluster['hub']['join']>,
): Promise<void> {
  const random = new SeededRandom(seed)
  const targets = [1, 2].map(nodeId)
  const liars = new Map<NodeId, Lies>(targets.map((id) => [id, new Lies(random, claim.id, id, () => c.at(id).view)]))
  for (let i = 0; i < lies; i++) {
    for (const [id, liar] of liars) {
      transport.send(liar.message())
      if (random.fraction() > 0.02) continue
      const sink = transport.openSnapshot(id, liar.header())
      sink
        .then(async (open) => {
          for (let chunks = random.integer(0, 4); chunks > 0; chunks--) await open.write(liar.chunk())
          await open.finish()
        })
        .catch(() => undefined)
    }
    await c.pass(random.fraction() < 0.1 ? 30 : 2)
  }
}

t.test('whatever a member says, no node ends by it', async (t) => {
  for (let seed = from; seed < from + seeds; seed++) {
    const { c, claim, transport } = await beset(t, memberThree)
    await lie(c, seed, claim, transport)
    t.equal(c.faults.length, 0, `seed ${seed}: ${c.faults[0]?.error.stack ?? ''}`)
    for (const id of [1, 2])
      t.ok(c.at(id).view.vote.leaderId.term < 2 ** 33, 'terms rise by what elections explain at most')
    await transport.stop()
    if (c.faults.length > 0) return
  }
})

t.test('whatever a node says that is no member, no node ends by it', async (t) => {
  for (let seed = from; seed < from + seeds; seed++) {
    const { c, claim, transport } = await beset(t, (c) => ({ ...memberThree(c), id: nodeId(9), incarnation: 'nine' }))
    await lie(c, seed, claim, transport)
    t.equal(c.faults.length, 0, `seed ${seed}: ${c.faults[0]?.error.stack ?? ''}`)
    await transport.stop()
    if (c.faults.length > 0) return
  }
})
