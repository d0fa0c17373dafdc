import t from 'tap'
import { encodeCommand } from '../../src/kv/index.ts'
import type { JsonReader } from '../../src/lib/json.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { commandEntryBytes, commandEntryInto } from '../../src/node/codec/entry.ts'
import { Forwarded } from '../../src/node/requests/forwarded.ts'
import type { LeaderHint } from '../../src/node/requests/leader-directory.ts'
import { leaderRequests } from '../../src/node/requests/leader-requests.ts'
import { Proposals } from '../../src/node/requests/proposals.ts'
import type { ForwardRefusal, ForwardRequest, PeerMessage } from '../../src/ports/transport.ts'
import { type LeaderId, logIndex, nodeId, term } from '../../src/raft/index.ts'
import { key } from './support/client.ts'
import { refused } from './support/cluster.ts'
import { formed, drop, passAll } from './support/formed.ts'
import { Ledger } from './support/ledger.ts'
import { VirtualClock } from './support/virtual-clock.ts'

t.test('a failure that nobody expected on the leader stops it, and is told to whoever asked', async (t) => {
  const { c, leader, followers } = await formed(t)
  const [one = 0] = followers
  const replica = c.at(leader).node.replica
  const asking = c.at(one).node.replica
  const anything: JsonReader<unknown> = (value) => ({ value })
  const ask = (name: string, body: unknown, timeoutMs = 1_000): Promise<unknown> =>
    asking.leaderCalls.call({ name, body: anything, answer: anything }, body, timeoutMs, false)
  for (const body of [null, 7, 'x', { voters: 'x' }, { voters: [0] }, { voters: [1], retain: 1 }]) {
    await refused(ask('change-voters', body), 'invalid-request')
  }
  await refused(ask('add-learner', { member: { id: 4 }, wait: true }), 'invalid-request')
  await refused(ask('transfer', 'x'), 'invalid-request')
  t.same(c.faults, [], 'what a peer says ends nobody')
  replica.leaderCalls.handle({ name: 'odd', body: anything, answer: anything }, async () => ({ leader: 'x' }))
  await refused(
    asking.leaderCalls.call({ ...leaderRequests.transfer, name: 'odd' }, null, 1_000, false),
    'outcome-unknown',
  )
  const broken = { name: 'broken', body: anything, answer: anything }
  replica.leaderCalls.handle(broken, () => Promise.reject(new TypeError('a bug')))
  const began = c.clock.now()
  await refused(ask('broken', null, 10_000), 'internal')
  t.ok(c.clock.now() - began < 100, 'at once, not at its deadline')
  await c.until('the leader has stopped itself', () => c.faults.length === 1)
  t.match(c.faults.splice(0), [{ node: leader, error: { message: 'a bug' } }])
})

/** The writes of node 1 alone, with whoever leads as `leader` says. */
function proposalsOf(leader: () => LeaderHint) {
  const clock = new VirtualClock()
  const sent: ForwardRequest[] = []
  const options = {
    id: nodeId(1),
    batchEntriesMax: 10,
    batchBytesMax: 1_000,
    pendingMax: 1_000,
    pendingBytesMax: 10_000,
    resendMs: 50,
  }
  const proposals = new Proposals(options, {
    clock,
    random: new SeededRandom(1),
    leaders: { leader },
    core: { propose: () => ({ kind: 'not-leader', leader: null }) },
    outbox: { send: (message) => sent.push(message) },
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

t.test('a write that no leader has taken goes with its client; one that is on its way stays', async (t) => {
  let hint: LeaderHint = { kind: 'none' }
  const { clock, proposals, sent } = proposalsOf(() => hint)
  t.teardown(() => clock.stop())
  const caller = { isGone: false }
  const first = refused(proposals.submit(Buffer.alloc(400), 10_000, caller), 'no-leader')
  await clock.pass(200)
  t.equal(proposals.count, 1)
  caller.isGone = true
  await first
  t.equal(proposals.heldBytes, 0)
  hint = { kind: 'other', leader: nodeId(2), vote: { leaderId: { term: term(1), nodeId: nodeId(2) }, committed: true } }
  const second = proposals.submit(Buffer.alloc(400), 10_000, caller)
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
