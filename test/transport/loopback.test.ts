import t from 'tap'
import type { Test } from 'tap'
import { SeededRandom } from '../../src/lib/random.ts'
import { limits } from '../../src/limits.ts'
import { nodeId } from '../../src/raft/index.ts'
import { LoopbackHub } from '../../src/transport/loopback.ts'
import type { PeerTransport } from '../../src/transport/peer-transport.ts'
import { transportContract } from '../contract/transport.ts'
import { ManualClock } from '../contract/transport-clock.ts'
import { machineClock, readIndexOf, RecordingNode, snapshotHeader } from '../contract/transport-fixture.ts'

const one = nodeId(1)
const two = nodeId(2)

transportContract(t, 'loopback', () => {
  const hub = new LoopbackHub({ clock: machineClock, random: new SeededRandom(1) })
  let places = 0
  return { create: (id, limits = {}, address = `place-${++places}`) => hub.join(id, address, { limits }) }
})

interface World {
  readonly clock: ManualClock
  readonly hub: LoopbackHub
  readonly a: PeerTransport
  readonly b: PeerTransport
  readonly nodeA: RecordingNode
  readonly nodeB: RecordingNode
}

/** Two nodes that know each other, under a clock that the test moves. */
async function connectedWorld(t: Test): Promise<World> {
  const clock = new ManualClock()
  const hub = new LoopbackHub({ clock, random: new SeededRandom(3) })
  const a = hub.join(one, 'a')
  const b = hub.join(two, 'b')
  const nodeA = new RecordingNode(one)
  const nodeB = new RecordingNode(two)
  await a.start(nodeA)
  await b.start(nodeB)
  a.setPeers(new Map([[two, 'b']]))
  b.setPeers(new Map([[one, 'a']]))
  await clock.advance(1)
  t.ok(a.isConnected(two) && b.isConnected(one))
  t.teardown(async () => {
    const stopping = Promise.all([a.stop(), b.stop()])
    await clock.settle()
    await stopping
    if (clock.pending > 0) throw new Error(`${clock.pending} timers are left after the stop`)
  })
  return { clock, hub, a, b, nodeA, nodeB }
}

t.test('a cut link loses everything without a sign, until pings show it', async (t) => {
  const { clock, hub, a, b, nodeA, nodeB } = await connectedWorld(t)
  hub.cut(one, two)
  a.send(readIndexOf(one, two, 1))
  b.send(readIndexOf(two, one, 2))
  await clock.advance(10)
  t.strictSame(nodeB.messages, [])
  t.strictSame(nodeA.messages, [readIndexOf(two, one, 2)], 'the other direction works')
  t.ok(a.isConnected(two))
  await clock.advance(limits.peerPingIntervalMs + limits.peerPingTimeoutMs)
  t.equal(a.isConnected(two), true, 'a ping that was answered before the cut does not count')
  await clock.advance(limits.peerPingIntervalMs * 2)
  t.equal(a.isConnected(two), false)
  t.strictSame(nodeA.disconnected, [two])
  await clock.advance(60_000)
  t.strictSame(nodeA.unreachable, [], 'a lost message is no refusal')
  t.strictSame(nodeA.connected, [two])
  hub.heal(one, two)
  await clock.advance(limits.connectTimeoutMs + limits.reconnectDelayMsMax)
  t.ok(a.isConnected(two))
  a.send(readIndexOf(one, two, 3))
  await clock.advance(1)
  t.strictSame(nodeB.messages, [readIndexOf(one, two, 3)])
})

t.test('a process that stood still reads what waits before it judges its peers', async (t) => {
  const { clock, nodeA, nodeB } = await connectedWorld(t)
  await clock.advance(limits.peerPingIntervalMs * 3 + 500)
  for (let stall = 0; stall < 5; stall++) await clock.jump(limits.peerSilenceMsMax * 2)
  await clock.advance(5_000)
  t.strictSame([nodeA.disconnected, nodeB.disconnected], [[], []])
})

t.test('attempts become rarer, up to a limit, and are not in step', async (t) => {
  const { clock, b, nodeA } = await connectedWorld(t)
  await clock.advance(5_000)
  const stoppedAt = clock.now()
  const times: number[] = []
  nodeA.onUnreachable = () => times.push(clock.now() - stoppedAt)
  const stopping = b.stop()
  await clock.settle()
  await stopping
  await clock.advance(30_000)
  const pauses = times.slice(1).map((time, position) => time - (times[position] ?? 0))
  t.equal(times[0], 0, 'the first attempt is made at once')
  for (const [attempt, pause] of pauses.entries()) {
    const fullMs = Math.min(limits.reconnectDelayMsMax, limits.reconnectDelayMsMin * 2 ** (attempt - 3))
    t.ok(pause >= fullMs / 2 && pause <= fullMs, `pause ${attempt} took ${pause} ms`)
  }
  t.ok(times.length > 30 && times.length < 70, `${times.length} attempts in 30 s`)
  t.ok(new Set(pauses.slice(10).map(Math.round)).size > 5, 'the pauses differ')
})

t.test('a connection that breaks is made again at once, however young it was, but not again and again', async (t) => {
  const { clock, hub, nodeA } = await connectedWorld(t)
  hub.disconnect(one, two)
  await clock.advance(1)
  t.strictSame(nodeA.connected, [two, two], 'the young one')
  for (let time = 0; time < 1_000; time++) {
    hub.disconnect(one, two)
    await clock.advance(1)
  }
  t.ok(nodeA.connected.length < 80, `${nodeA.connected.length} connections`)
  await clock.advance(limits.reconnectDelayMsMax)
  const before = nodeA.connected.length
  hub.disconnect(one, two)
  await clock.advance(1)
  t.equal(nodeA.connected.length, before + 1, 'after a while')
})

t.test('two that refuse each other do not dial each other without pause', async (t) => {
  const { clock, hub, nodeA, nodeB } = await connectedWorld(t)
  nodeB.reportRefusal = { code: 'wrong-cluster', detail: 'node 1 is of another cluster' }
  nodeA.hellos.length = 0
  nodeB.hellos.length = 0
  hub.disconnect(one, two)
  await clock.advance(10_000)
  t.ok(nodeB.refused.length > 5 && nodeB.refused.length < 40, `${nodeB.refused.length} attempts`)
  t.ok(nodeB.hellos.length < 40, `${nodeB.hellos.length} hellos`)
})

t.test(
  'a connection that is broken is made again; messages meanwhile are lost, never altered or reordered',
  async (t) => {
    const { clock, hub, a, nodeA, nodeB } = await connectedWorld(t)
    await clock.advance(2_000)
    a.send(readIndexOf(one, two, 1))
    hub.disconnect(one, two)
    a.send(readIndexOf(one, two, 2))
    await clock.advance(1)
    t.strictSame([nodeA.disconnected, nodeA.connected], [[two], [two, two]])
    a.send(readIndexOf(one, two, 3))
    await clock.advance(1)
    t.strictSame(nodeB.messages, [readIndexOf(one, two, 3)])
  },
)

t.test('loss takes single messages and spares the rest', async (t) => {
  const { clock, hub, a, nodeA, nodeB } = await connectedWorld(t)
  hub.lose(0.5)
  for (let i = 0; i < 1_000; i++) a.send(readIndexOf(one, two, i))
  await clock.advance(60_000)
  const arrived = nodeB.messages.map((message) => (message.type === 'read-index-request' ? message.readId : -1))
  t.ok(arrived.length > 350 && arrived.length < 650, `${arrived.length} of 1000`)
  t.strictSame(
    arrived,
    [...arrived].sort((x, y) => x - y),
  )
  t.strictSame(nodeA.disconnected, [])
})

t.test('a snapshot over a link that is cut fails on both sides', async (t) => {
  const { clock, hub, a, nodeB } = await connectedWorld(t)
  const opening = a.openSnapshot(two, snapshotHeader)
  await clock.advance(1)
  const sink = await opening
  const writing = sink.write(Buffer.alloc(10))
  await clock.advance(1)
  await writing
  const chunks = nodeB.snapshots[0]?.chunks()[Symbol.asyncIterator]()
  t.match(await chunks?.next(), { done: false })
  hub.cut(one, two)
  const finishing = t.rejects(sink.finish(), { name: 'ConnectionError' })
  const reading = t.rejects(Promise.resolve(chunks?.next()), { name: 'ConnectionError' })
  await clock.advance(limits.snapshotStallTimeoutMs * 2)
  await Promise.all([finishing, reading])
})
