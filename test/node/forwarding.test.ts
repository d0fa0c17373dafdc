import t, { type Test } from 'tap'
import type { Caller } from '../../src/api/services.ts'
import { encodeCommand, holderOf, type Command } from '../../src/kv/index.ts'
import { RequestError } from '../../src/lib/errors.ts'
import type { JsonReader } from '../../src/lib/json.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { StageSums, type Step } from '../../src/lib/stages.ts'
import type { Span } from '../../src/lib/trace-context.ts'
import { commandEntryBytes, commandEntryInto } from '../../src/node/codec/entry.ts'
import { Forwarded } from '../../src/node/requests/forwarded.ts'
import type { LeaderHint } from '../../src/node/requests/leader-directory.ts'
import { leaderRequests } from '../../src/node/requests/leader-requests.ts'
import { Proposals } from '../../src/node/requests/proposals.ts'
import type {
  ControlRequest,
  ForwardRefusal,
  ForwardRequest,
  PeerMessage,
  ReadIndexRequest,
} from '../../src/ports/transport.ts'
import { type LeaderId, logIndex, nodeId, type ProposeOutcome, term } from '../../src/raft/index.ts'
import { key, readOptions, revisionOf } from './support/client.ts'
import { refused, specOf, TestCluster, type Harness } from './support/cluster.ts'
import { formed, drop, passAll } from './support/formed.ts'
import { Ledger } from './support/ledger.ts'
import { VirtualClock } from './support/virtual-clock.ts'
import { EVERYTHING } from './support/watching.ts'

const REFUSED = {
  'forward-request': { type: 'forward-refusal', reason: 'not-leader' },
  'read-index-request': { type: 'read-index-response', ready: false },
  'control-request': { type: 'control-response', body: /no-leader/ },
} as const

const asksLeader = (message: PeerMessage): message is ForwardRequest | ReadIndexRequest | ControlRequest =>
  message.type === 'forward-request' || message.type === 'read-index-request' || message.type === 'control-request'

/** Each kind of request that clients have, asked of one node in turn. */
async function askForEverything(t: Test, c: TestCluster, id: number, leader: number): Promise<void> {
  const client = c.on(id)
  const { keys, leases, history, cluster } = c.at(id).node.services
  const options = readOptions({})
  const unnamed = { idempotency: null } as const
  const run = async (command: Command): Promise<string> => (await client.execute(command)).type
  const revision = revisionOf(await client.put('a', 'v'))
  for (const consistency of ['linearizable', 'lease'] as const) t.equal(await client.get('a', { consistency }), 'v')
  t.equal(await client.get('a', { consistency: 'stale', minRevision: revision }), 'v')
  t.equal(await client.get('a', { revision }), 'v')
  t.match(await client.scan(), { items: [['a', 'v']] })
  ;(await client.watch({ ...EVERYTHING, timeoutMs: 5_000 })).close()
  ;(await client.watch({ ...EVERYTHING, since: revision, timeoutMs: 5_000 })).close()
  const get = { type: 'get', key: key('a') } as const
  t.equal(await run({ type: 'transaction', compares: [], success: [get], failure: [], ...unnamed }), 'transaction')
  t.equal((await client.delete('a')).type, 'deleted')
  t.equal((await client.deleteRange('a', null)).type, 'deleted')
  const page = { before: null, limit: 10, bytesMax: 1e6 }
  t.equal((await history.versions(key('a'), page, options)).items[0]?.record, null)
  t.ok((await history.status(options)).status.revision > revision)
  t.equal(await run({ type: 'compaction', revision: 1, ...unnamed }), 'compacted')
  t.equal(await run({ type: 'lease-grant', id, ttlMs: 60_000, ...unnamed }), 'lease-granted')
  t.equal(await run({ type: 'lease-renew', id, ...unnamed }), 'lease-renewed')
  t.match(await leases.get(id, { after: null, limit: 1 }, options), { lease: { id, remainingMs: Number } })
  t.match(await leases.list({ after: null, limit: 1 }, options), { items: [{ id }] })
  t.equal(await run({ type: 'lease-revoke', id, ifRenewedAt: null, ...unnamed }), 'lease-revoked')
  const name = key('l')
  const acquire = { type: 'lock-acquire', name, ttlMs: 60_000, waitMs: 1_000, owner: '', ...unnamed } as const
  const { result } = await leases.acquire(acquire, 5_000)
  const lease = result.type === 'lock-acquired' ? result.lease : 0
  const { lock } = await leases.lock(name, options)
  t.equal(lock === null ? null : holderOf(lock)?.lease, lease)
  t.equal(await run({ type: 'lock-release', name, lease, ...unnamed }), 'lock-released')
  t.match(await client.learners(), [{ id: 4 }])
  t.match(await client.addLearner(specOf(4)), { caughtUp: true })
  t.match(await client.change([1, 2, 3]), { committed: true })
  t.same(await client.transfer(leader), { leader })
  const { chunks } = await cluster.snapshot('linearizable', 5_000)
  for await (const chunk of chunks) t.ok(chunk.length > 0)
  t.equal(keys.overload(0), null)
}

t.test('every node serves everything, a learner too, and what needs the leader goes one hop', async (t) => {
  const c = new TestCluster(t, [1, 2, 3, 4], { featureLevelMax: 1 })
  const leader = await c.form([1, 2, 3])
  await c.start(4)
  await c.on(leader).addLearner(specOf(4))
  await c.until('the level is raised', () => [1, 2, 3, 4].every((id) => c.at(id).node.replica.applier.level === 1))
  const [follower = 0, other = 0] = [1, 2, 3].filter((id) => id !== leader)
  const asked: (ForwardRequest | ReadIndexRequest | ControlRequest)[] = []
  const answered: PeerMessage[] = []
  c.interference.intercept = (message) => {
    if (asksLeader(message)) asked.push(message)
    else answered.push(message)
    return [message]
  }
  for (const id of [leader, follower, 4]) await askForEverything(t, c, id, leader)
  t.same(new Set(asked.map(({ type }) => type)).size, 3)
  t.ok(asked.every(({ from, to }) => from !== leader && to === leader))

  // The same, to a node that does not lead: it says so to whoever asked, and asks nobody else.
  await c.settled()
  const sent = [...asked]
  for (const type of ['forward-request', 'read-index-request', 'control-request'] as const) {
    const strayed = sent.find((message) => message.type === type && message.from === follower)
    if (strayed === undefined) throw new Error(`the follower has sent no ${type}`)
    asked.length = 0
    answered.length = 0
    c.at(follower).send({ ...strayed, to: nodeId(other) })
    await c.pass(100)
    t.same(
      asked.filter(({ from }) => from === other),
      [],
      `${type}: not a second hop`,
    )
    const answer = answered.find((message) => message.from === other && message.type === REFUSED[type].type)
    t.match(answer, { to: follower, ...REFUSED[type] }, type)
  }
})

t.test('a failure that nobody expected on the leader stops it, and is told to whoever asked', async (t) => {
  const { c, leader, followers } = await formed(t)
  const [one = 0] = followers
  const replica = c.at(leader).node.replica
  const asking = c.at(one).node.replica
  const anything: JsonReader<unknown> = (value) => ({ value })
  const odd = { name: 'odd', needs: [], body: anything, answer: anything }
  const once = { timeoutMs: 1_000, repeatable: false, behalf: 'node' } as const
  const ask = (name: string, body: unknown, timeoutMs = 1_000): Promise<unknown> =>
    asking.leaderCalls.call({ ...odd, name }, body, { ...once, timeoutMs })
  for (const body of [null, 7, 'x', { voters: 'x' }, { voters: [0] }, { voters: [1], retain: 1 }]) {
    await refused(ask('change-voters', body), 'invalid-request')
  }
  await refused(ask('add-learner', { member: { id: 4 }, wait: true }), 'invalid-request')
  await refused(ask('transfer', 'x'), 'invalid-request')
  t.same(c.faults, [], 'what a peer says ends nobody')
  replica.leaderCalls.handle(odd, async () => ({ leader: 'x' }))
  await refused(asking.leaderCalls.call({ ...leaderRequests.transfer, name: 'odd' }, null, once), 'outcome-unknown')
  const broken = { ...odd, name: 'broken' }
  replica.leaderCalls.handle(broken, () => Promise.reject(new TypeError('a bug')))
  const began = c.clock.now()
  await refused(ask('broken', null, 10_000), 'internal')
  t.ok(c.clock.now() - began < 100, 'at once, not at its deadline')
  await c.until('the leader has stopped itself', () => c.faults.length === 1)
  t.match(c.faults.splice(0), [{ node: leader, error: { message: 'a bug' } }])
})

/** The writes of node 1 alone, with whoever leads as `leader` says. */
function proposalsOf(
  leader: () => LeaderHint,
  propose: () => ProposeOutcome = () => ({ kind: 'not-leader', leader: null }),
) {
  const clock = new VirtualClock()
  const sent: ForwardRequest[] = []
  const options = {
    id: nodeId(1),
    batchEntriesMax: 10,
    batchBytesMax: 1_000,
    pendingMax: 1_000,
    pendingBytesMax: 10_000,
    resendMs: 50,
    admission: { waitMsMax: 1_000, fewMax: 64, fewBytesMax: 100_000 },
  }
  const proposals = new Proposals(options, {
    clock,
    random: new SeededRandom(1),
    leaders: { leader },
    core: { propose },
    outbox: { send: (message) => sent.push(message) },
    cluster: { level: 1 },
    entryTimes: null,
  })
  clock.start()
  return { clock, proposals, sent }
}

t.test('a forwarded batch counts for as long as it is kept, and so does each command in it', async (t) => {
  const vote = { leaderId: { term: term(1), nodeId: nodeId(2) }, committed: true }
  const { clock, proposals, sent } = proposalsOf(() => ({ kind: 'other', leader: nodeId(2), vote }))
  t.teardown(() => clock.stop())
  const early = refused(proposals.submit(Buffer.alloc(400), 100), 'outcome-unknown')
  const late = refused(proposals.submit(Buffer.alloc(400), 1_000), 'outcome-unknown')
  t.equal(proposals.heldBytes, 800)
  await clock.pass(10)
  const kept = sent[0]?.body.length ?? 0
  t.ok(kept > 800)
  t.equal(proposals.heldBytes, 800 + kept)
  await early
  t.equal(proposals.heldBytes, 400 + kept, 'the batch may have to be sent again whole')
  const more = Array.from({ length: 30 }, () => proposals.submit(Buffer.alloc(400), 1_000))
  const codes = await Promise.all([late, ...more.map((write) => refused(write, 'outcome-unknown', 'overloaded'))])
  t.ok(codes.some(({ code }) => code === 'overloaded'))
  t.equal(proposals.heldBytes, 0)
  t.equal(proposals.count, 0)
})

t.test('what only this node may propose is given to no other leader, before it was proposed and after', async (t) => {
  const leaderId = { term: term(1), nodeId: nodeId(1) }
  const self: LeaderHint = { kind: 'self', leaderId }
  const vote = { leaderId: { term: term(2), nodeId: nodeId(2) }, committed: true }
  const other: LeaderHint = { kind: 'other', leader: nodeId(2), vote }
  let hint: LeaderHint = self
  let outcome: ProposeOutcome = { kind: 'not-leader', leader: null }
  const { clock, proposals, sent } = proposalsOf(
    () => hint,
    () => outcome,
  )
  t.teardown(() => clock.stop())
  const submit = (bytes: number, isOnlyHere: boolean) => proposals.submit(Buffer.alloc(bytes), 5_000, { isOnlyHere })

  const before = refused(submit(10, true), 'no-leader')
  const plain = submit(20, false)
  plain.catch(() => undefined)
  hint = other
  await before
  await clock.pass(10)
  t.same(
    sent.map(({ to, count }) => [to, count]),
    [[2, 1]],
    'the other write went there',
  )

  hint = self
  const between = refused(submit(10, true), 'no-leader')
  await clock.pass(10)
  t.equal(proposals.count, 2, 'the core has just lost the lead')
  hint = other
  await between

  hint = self
  outcome = { kind: 'accepted', leaderId, first: logIndex(1), last: logIndex(1) }
  const lost = refused(submit(10, true), 'no-leader')
  await clock.pass(10)
  hint = other
  await clock.pass(100)
  t.equal(proposals.count, 2, 'it may have taken effect')
  proposals.onApplied(vote.leaderId)
  await lost
  for (const none of [{ kind: 'none' } as const, other]) {
    hint = none
    await refused(submit(10, true), 'no-leader')
  }
  t.equal(new Set(sent.map(({ batchId }) => batchId)).size, 1, 'nothing else was sent')
  t.equal(proposals.count, 1)
  proposals.close(new RequestError('shutting-down', 'it is over'))
})

t.test('a write that no leader has taken goes with its client; one that is on its way stays', async (t) => {
  let hint: LeaderHint = { kind: 'none' }
  const { clock, proposals, sent } = proposalsOf(() => hint)
  t.teardown(() => clock.stop())
  const caller = { isGone: false }
  const first = refused(proposals.submit(Buffer.alloc(400), 10_000, { caller }), 'no-leader')
  await clock.pass(200)
  t.equal(proposals.count, 1)
  caller.isGone = true
  await first
  t.equal(proposals.heldBytes, 0)
  hint = { kind: 'other', leader: nodeId(2), vote: { leaderId: { term: term(1), nodeId: nodeId(2) }, committed: true } }
  const second = proposals.submit(Buffer.alloc(400), 10_000, { caller })
  await clock.pass(200)
  t.ok(sent.length > 0)
  t.equal(proposals.count, 1, 'what may have taken effect is waited for')
  const { node: originNode, nonce: originNonce } = proposals.origin
  // The second write of this process.
  const entry = {
    kind: 'command',
    index: logIndex(1),
    originNode,
    originNonce,
    requestNumber: 1,
    command: Buffer.alloc(0),
  } as const
  proposals.onResult(
    { ...entry, originNonce: originNonce + 1 },
    { type: 'deleted', revision: 1, deleted: 0, previous: null },
  )
  t.equal(proposals.count, 1, 'another process has the same number')
  proposals.onResult(entry, { type: 'deleted', revision: 1, deleted: 0, previous: null })
  t.match(await second, { type: 'deleted' })
})

t.test('writes that were let in and are not submitted yet wait as well', async (t) => {
  const leaderId = { term: term(1), nodeId: nodeId(1) }
  const { clock, proposals } = proposalsOf(
    () => ({ kind: 'self', leaderId }),
    () => ({ kind: 'accepted', leaderId, first: logIndex(1), last: logIndex(1) }),
  )
  t.teardown(() => clock.stop())
  const write = refused(proposals.submit(Buffer.alloc(10), 10_000), 'outcome-unknown')
  await clock.pass(2_000)
  t.equal(proposals.refusal(0, 10_000), null, 'one that waits is not too many')
  t.match(proposals.refusal(0, 10_000, 5_000), { code: 'overloaded' })
  t.equal(proposals.refusal(0, null, 5_000), null, 'upkeep is taken')
  proposals.abandon(new RequestError('shutting-down', 'x'))
  await write
})

t.test('what keeps a lease alive waits for a leader that has no room, while other writes are refused', async (t) => {
  const leaderId = { term: term(1), nodeId: nodeId(2) }
  let hint: LeaderHint = { kind: 'other', leader: nodeId(2), vote: { leaderId, committed: true } }
  let outcome: ProposeOutcome = { kind: 'overloaded' }
  const { clock, proposals, sent } = proposalsOf(
    () => hint,
    () => outcome,
  )
  t.teardown(() => clock.stop())
  const upkeep = { isUpkeep: true }
  const refuse = (batchId: number): void =>
    proposals.onRefusal({ type: 'forward-refusal', from: nodeId(2), to: nodeId(1), batchId, reason: 'overloaded' })
  const write = refused(proposals.submit(Buffer.alloc(10), 10_000), 'overloaded')
  const renewal = proposals.submit(Buffer.alloc(10), 10_000, upkeep)
  await clock.pass(1)
  t.match(sent, [{ count: 2 }])
  refuse(sent[0]?.batchId ?? 0)
  await write
  await clock.pass(60)
  t.match(sent, [{ count: 2 }, { count: 1 }], 'it is proposed again, after a while')
  refuse(sent[1]?.batchId ?? 0)

  hint = { kind: 'self', leaderId }
  const other = refused(proposals.submit(Buffer.alloc(10), 10_000), 'overloaded')
  await other
  const late = refused(proposals.submit(Buffer.alloc(10), 200, upkeep), 'overloaded')
  await late
  t.equal(proposals.count, 1, 'no longer than its client waits')
  outcome = { kind: 'accepted', leaderId, first: logIndex(1), last: logIndex(1) }
  await clock.pass(60)
  const { node: originNode, nonce: originNonce } = proposals.origin
  proposals.onResult(
    { kind: 'command', index: logIndex(1), originNode, originNonce, requestNumber: 1, command: Buffer.alloc(0) },
    { type: 'lease-renewed', lease: 1, ttlMs: 1_000 },
  )
  t.match(await renewal, { type: 'lease-renewed' })
  t.equal(proposals.heldBytes, 0)
})

t.test('a forwarded batch takes effect once, however often and however late its frame arrives', async (t) => {
  const { c, leader } = await formed(t)
  const seen: PeerMessage[] = []
  c.interference.intercept = (message) => {
    if (message.type !== 'forward-request') return [message]
    seen.push(message)
    return [message, message, message]
  }
  const ledger = new Ledger()
  for (let i = 0; i < 20; i++) await Promise.all([1, 2, 3].map((id) => ledger.write(c.on(id))))
  t.equal(ledger.total('acknowledged'), 60)
  t.ok(seen.length >= 20)
  const repeat = async (): Promise<void> => {
    for (const message of seen) if (c.at(message.from).isUp) c.at(message.from).send({ ...message })
    await c.pass(50)
  }
  await repeat()
  // The same after leadership has moved, has come back, and after the leader has lost its memory.
  const next = leader === 1 ? 2 : 1
  await c.on(leader).transfer(next)
  await repeat()
  await c.on(next).transfer(leader)
  await repeat()
  await c.restart(leader)
  await c.leader()
  await repeat()
  for (let i = 0; i < 5; i++) await Promise.all([1, 2, 3].map((id) => ledger.write(c.on(id))))
  await c.settled()
  await ledger.check(c.on(leader))
  for (let i = 0; i < 60; i++) t.equal((await c.on(1).read(`entry-${i}`)).record?.version, 1)
})

t.test('a batch is appended once, however many other processes have forwarded theirs since', (t) => {
  const ballot = { term: term(3), nodeId: nodeId(1) }
  let leading: LeaderId | null = ballot
  let appended: string[] = []
  let refusals: ForwardRefusal[] = []
  const reasons: string[] = []
  const make = (): Forwarded => {
    const forwarded = new Forwarded(
      { id: nodeId(1), forwardedBatchesMax: 2, forwardedOriginsMax: 2, forwardedOriginsInAllMax: 5 },
      {
        leaders: { leading: () => leading },
        core: {
          propose: (_, body) => {
            appended.push(Buffer.from(body).subarray(-2).toString())
            return { kind: 'accepted', leaderId: ballot, first: logIndex(1), last: logIndex(1) }
          },
          stepDown: (reason) => {
            reasons.push(reason)
            leading = null
          },
        },
        outbox: { send: (message) => refusals.push(message) },
        times: null,
      },
    )
    forwarded.onLeading(ballot)
    return forwarded
  }
  const batch = (origin: string, batchId: number): ForwardRequest => {
    const value = Buffer.from(`${origin}${batchId % 10}`)
    const plain = { condition: null, wantsPrevious: false, idempotency: null } as const
    const command = encodeCommand({ type: 'put', key: key('a'), value, ...plain })
    const body = Buffer.alloc(commandEntryBytes(command.length))
    commandEntryInto(body, 0, { node: nodeId(2), nonce: origin.charCodeAt(0) }, batchId, command)
    const vote = { leaderId: ballot, committed: true }
    return { type: 'forward-request', from: nodeId(2), to: nodeId(1), vote, batchId, count: 1, body }
  }
  const send = (forwarded: Forwarded, ...batches: readonly (readonly [string, number])[]): void => {
    appended = []
    refusals = []
    for (const [origin, batchId] of batches) forwarded.onRequest(batch(origin, batchId))
  }

  const forwarded = make()
  send(forwarded, ['a', 101], ['b', 201], ['a', 102], ['c', 301])
  t.same(appended, ['a1', 'b1', 'a2', 'c1'])
  send(forwarded, ['a', 101], ['a', 102])
  t.same([appended, refusals], [[], []], 'the origin that was used last is kept')
  send(forwarded, ['d', 401], ['b', 201], ['c', 301], ['a', 101], ['a', 102], ['d', 401])
  t.same(
    [appended, refusals],
    [['d1'], []],
    'of those that were forgotten nothing is appended twice, and nothing is said',
  )
  send(forwarded, ['a', 103], ['b', 202], ['c', 302], ['a', 103], ['b', 202], ['c', 302])
  t.same(appended, ['a3', 'b2', 'c2'], 'what they send next is taken')
  send(forwarded, ['a', 104], ['a', 105], ['a', 106], ['a', 103])
  t.same(appended, ['a4', 'a5', 'a6'], 'of the batches of one origin the older ones are forgotten likewise')

  send(forwarded, ['e', 501])
  t.same([appended, reasons], [['e1'], []])
  send(forwarded, ['f', 601], ['f', 601])
  t.same(appended, [], 'there is no room for another')
  t.same(reasons, ['too many processes have forwarded writes to it'], 'so another ballot is needed')
  t.match(
    refusals,
    [
      { batchId: 601, reason: 'not-leader' },
      { batchId: 601, reason: 'not-leader' },
    ],
    'it is for certain',
  )
  leading = { term: term(4), nodeId: nodeId(1) }
  forwarded.onLeading(leading)
  send(forwarded, ['f', 601], ['e', 501])
  t.same([appended, refusals], [[], []], 'what became of batches under the former ballot is not known any more')
  t.end()
})

t.test('answers to an earlier life of a process mean nothing to the present one', async (t) => {
  const { c, leader, followers } = await formed(t)
  const [restarted = 0] = followers
  await c.on(leader).put('a', 'old')
  const held: PeerMessage[] = []
  c.interference.intercept = (message) => {
    if (message.to !== restarted || message.type !== 'read-index-response') return [message]
    held.push(message)
    return []
  }
  const lost = c
    .on(restarted)
    .get('a')
    .then(
      () => 'answered',
      (error: Error) => error.name,
    )
  await c.until('the leader has answered', () => held.length > 0)
  await c.restart(restarted)
  t.equal(await lost, 'ProcessEndedError')
  await c.settled()
  drop(c, ({ type, to }) => type === 'append-request' && to === restarted)
  await c.on(leader).put('a', 'new')
  const asked: PeerMessage[] = []
  c.interference.intercept = (message) => {
    if (message.type === 'read-index-request') asked.push(message)
    return message.to === restarted && ['read-index-response', 'append-request'].includes(message.type) ? [] : [message]
  }
  const read = c.on(restarted).get('a')
  await c.until('the present one has asked', () => asked.length > 0)
  for (const message of held) c.at(leader).send(message)
  passAll(c)
  for (const message of held) c.at(leader).send(message)
  t.equal(await read, 'new')
  // Requests to the leader and forwarded batches are numbered apart as well.
  const numbers = {
    'forward-request': new Set<number>(),
    'control-request': new Set<number>(),
    'read-index-request': new Set<number>(),
  }
  let sent = 0
  c.interference.intercept = (message) => {
    if (message.type === 'forward-request') sent += Number(numbers[message.type].add(message.batchId).size > 0)
    if (message.type === 'control-request') sent += Number(numbers[message.type].add(message.requestId).size > 0)
    if (message.type === 'read-index-request') sent += Number(numbers[message.type].add(message.readId).size > 0)
    return [message]
  }
  for (let life = 0; life < 3; life++) {
    for (let i = 0; i < 5; i++) {
      await c.on(restarted).put('b', String(i))
      await c.on(restarted).get('b')
      await c.on(restarted).learners()
    }
    await c.restart(restarted)
    await c.settled()
  }
  for (const [type, distinct] of Object.entries(numbers))
    t.equal(distinct.size, 15, `no number of a ${type} was used twice`)
  t.equal(sent, 45)
})

/** A client whose request may belong to a trace, and where the time of its only step went. */
class TracedCaller implements Caller {
  readonly isGone = false
  readonly span: Span | null
  index: number | undefined
  private step: Step | null = null
  private readonly clock: { now(): number }
  private readonly sums: StageSums

  constructor(clock: { now(): number }, span: Span | null = null) {
    this.clock = clock
    this.span = span
    this.sums = new StageSums(clock.now())
  }

  onStep(step: Step, _since: number, number?: number): void {
    // Its moments are complete only when the answer is made.
    this.step = step
    this.index = number
  }

  /** Milliseconds by stage, without those that took none. */
  times(): Readonly<Record<string, number>> {
    if (this.step !== null) this.sums.add(this.step.ends(this.index), this.clock.now())
    const spent = [...this.sums.times].map(([stage, ms]) => [stage, Math.round(ms)] as const)
    return Object.fromEntries(spent.filter(([, ms]) => ms > 0))
  }
}

/** How late a request may learn that its time is up. */
const SWEEP_MS = 60
const SPAN: Span = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), parentId: 'c'.repeat(16), flags: 1 }

/** A cluster in which 40 ms are slow, at the feature level `level`. */
async function watched(t: Harness, level: 0 | 1 = 1) {
  const c = new TestCluster(t, [1, 2, 3])
  for (const machine of c.machines.values()) machine.slowMs = 40
  const leader = await c.form()
  const [one = 0, two = 0] = [1, 2, 3].filter((id) => id !== leader)
  if (level === 1) await c.on(leader).keepHistory()
  await c.until('the level', () => c.at(one).node.replica.applier.level === level)
  const put = (id: number, caller: Caller, timeoutMs = 5_000) => {
    const plain = { condition: null, wantsPrevious: false, idempotency: null } as const
    const command = { type: 'put', key: key('a'), value: Buffer.from('v'), ...plain } as const
    return c.on(id).guard(c.at(id).node.services.keys.execute(command, timeoutMs, caller))
  }
  const diskMs = (ids: readonly number[], ms: number): void => {
    for (const id of ids) c.at(id).log.writeMs = ms
  }
  const slowLines = () => c.lines.filter(({ event }) => event.startsWith('slow'))
  return { c, leader, one, two, put, diskMs, slowLines }
}

t.test(
  'where the time of a write goes: the disk, the majority, the queue before the log, the way to the leader',
  async (t) => {
    const { c, leader, one, two, put, diskMs } = await watched(t)
    const timed = async (id: number): Promise<Readonly<Record<string, number>>> => {
      const caller = new TracedCaller(c.clock)
      await put(id, caller)
      return caller.times()
    }
    const near = (spent: number | undefined, ms: number, offMs = 12): boolean =>
      spent !== undefined && Math.abs(spent - ms) <= offMs
    diskMs([leader], 100)
    const { sync: own = 0, ...quick } = await timed(leader)
    t.ok(own < 12 && !('commit' in quick), 'a majority without the leader is enough')
    await c.pass(200)
    diskMs([leader], 0)
    diskMs([one, two], 100)
    t.ok(near((await timed(leader))['commit'], 100), 'the disks of the others')
    diskMs([leader, one, two], 100)
    t.ok(near((await timed(leader))['sync'], 100), 'the own disk')
    const [first, second] = [new TracedCaller(c.clock), new TracedCaller(c.clock)]
    const writes = [put(leader, first)]
    await c.pass(30)
    writes.push(put(leader, second))
    await Promise.all(writes)
    t.ok(near(second.times()['queue'], 70), 'what waits for the write in progress')
    t.ok(Number(second.index) > Number(first.index))

    diskMs([leader, one, two], 0)
    c.interference.intercept = (message) => {
      if (message.type !== 'forward-request') return [message]
      c.clock.after(80, () => c.at(message.from).send(message))
      return []
    }
    t.ok(near((await timed(one))['forward'], 80), 'the way to the leader')
    drop(c, ({ type }) => type === 'forward-request')
    const lost = new TracedCaller(c.clock)
    await refused(put(one, lost, 200), 'outcome-unknown')
    t.ok(near(lost.times()['forward'], 200, SWEEP_MS), 'which may have no end')
    drop(c, ({ type }) => type === 'append-request')
    const alone = new TracedCaller(c.clock)
    await refused(put(leader, alone, 200), 'outcome-unknown')
    t.ok(near(alone.times()['commit'], 200, SWEEP_MS), 'nor may the majority answer')
    passAll(c)
    c.partition([one])
    await c.until('it knows no leader', () => c.at(one).view.leader === null)
    const orphan = new TracedCaller(c.clock)
    await refused(put(one, orphan, 200), 'no-leader')
    t.same(Object.keys(orphan.times()), ['leader'])
  },
)

t.test('where the time of a read goes: the leader, its word that it still leads, the state of this node', async (t) => {
  const { c, leader, one } = await watched(t)
  const timed = async (): Promise<Readonly<Record<string, number>>> => {
    const caller = new TracedCaller(c.clock)
    await c.on(one).get('a', { caller })
    return caller.times()
  }
  c.interference.intercept = (message) => {
    if (message.type !== 'read-index-response') return [message]
    c.clock.after(30, () => c.at(message.from).send(message))
    return []
  }
  const late = await timed()
  t.ok((late['confirm'] ?? 0) >= 30 && (late['confirm'] ?? 0) < 40, JSON.stringify(late))
  passAll(c)
  c.cut(leader, one)
  await c.until('it knows no leader', () => c.at(one).view.leader === null)
  const orphan = new TracedCaller(c.clock)
  await refused(c.on(one).get('a', { caller: orphan, timeoutMs: 200 }), 'no-leader', 'read-timeout')
  t.ok((orphan.times()['leader'] ?? 0) > 150, JSON.stringify(orphan.times()))
})

t.test(
  'a slow write has a line on the leader too, with the index and the trace of the request elsewhere',
  async (t) => {
    const { c, leader, one, two, put, diskMs, slowLines } = await watched(t)
    t.same(slowLines(), [])
    diskMs([leader, one, two], 100)
    const callers = [new TracedCaller(c.clock), new TracedCaller(c.clock, SPAN), new TracedCaller(c.clock)]
    await Promise.all(callers.map((caller) => put(one, caller)))
    await c.settled()
    const [traced, others, ...more] = slowLines()
    t.same(more, [])
    t.match(traced, {
      node: leader,
      event: 'slow forwarded write',
      facts: { from: one, index: callers[1]?.index, trace_id: SPAN.traceId, parent_id: SPAN.spanId },
    })
    t.match(Object(traced?.facts).span_id, /^[0-9a-f]{16}$/)
    t.match(others, { node: leader, event: 'slow forwarded writes', facts: { from: one, requests: 2 } })
    t.equal(Object(others?.facts).index, callers[2]?.index, 'the last of them')
    t.ok(Object(traced?.facts).syncMs >= 90, JSON.stringify(traced?.facts))
    diskMs([leader, one, two], 0)
    await put(two, new TracedCaller(c.clock, SPAN))
    await put(leader, new TracedCaller(c.clock, SPAN))
    t.equal(slowLines().length, 2, 'nothing of a write that was fast')
  },
)

t.test('a trace is passed on when every member understands it', async (t) => {
  for (const level of [0, 1] as const) {
    const { c, one, put } = await watched(t, level)
    const spans: unknown[] = []
    c.interference.intercept = (message) => {
      if (message.type === 'forward-request') spans.push(message.spans)
      return [message]
    }
    await put(one, new TracedCaller(c.clock, SPAN))
    await put(one, new TracedCaller(c.clock))
    const { traceId, spanId, flags } = SPAN
    t.same(spans, level === 0 ? [undefined, undefined] : [[{ at: 0, traceId, spanId, flags }], undefined])
  }
})
