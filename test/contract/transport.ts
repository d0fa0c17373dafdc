import type { Test } from 'tap'
import { limits } from '../../src/limits.ts'
import type { Hello, PeerMessage, Refusal, SnapshotSource, Transport } from '../../src/ports/transport.ts'
import { nodeId } from '../../src/raft/index.ts'
import type { NodeId } from '../../src/raft/index.ts'
import type { TransportLimits } from '../../src/transport/transport-options.ts'
import { appendOf, readIndexOf, RecordingNode, snapshotHeader } from './transport-fixture.ts'
import { until } from '../support/until.ts'

/** A transport under test that knows its own address once it is started. */
export interface AddressedTransport extends Transport {
  readonly address: string
}

/** Where transports come from in one test. */
export interface TransportGround {
  /** `address`: where to listen; undefined for any free place. */
  create(id: NodeId, limits?: Partial<TransportLimits>, address?: string): AddressedTransport
}

interface Member {
  readonly id: NodeId
  readonly node: RecordingNode
  readonly transport: AddressedTransport
}

const one = nodeId(1)
const two = nodeId(2)
const three = nodeId(3)

async function startMember(t: Test, ground: TransportGround, id: NodeId, options?: StartOptions): Promise<Member> {
  const node = new RecordingNode(id)
  options?.prepare?.(node)
  const transport = ground.create(id, options?.limits, options?.address)
  t.teardown(() => transport.stop())
  await transport.start(node)
  return { id, node, transport }
}

interface StartOptions {
  readonly limits?: Partial<TransportLimits>
  readonly address?: string
  readonly prepare?: (node: RecordingNode) => void
}

/** Each lists all the others. */
function introduce(...members: Member[]): void {
  for (const { id, transport } of members) {
    transport.setPeers(
      new Map(members.filter((other) => other.id !== id).map((other) => [other.id, other.transport.address])),
    )
  }
}

async function connectPair(t: Test, ground: TransportGround, options?: StartOptions): Promise<[Member, Member]> {
  const a = await startMember(t, ground, one, options)
  const b = await startMember(t, ground, two, options)
  introduce(a, b)
  await until('both are connected', () => a.transport.isConnected(two) && b.transport.isConnected(one))
  return [a, b]
}

/** The promises that every transport keeps. */
export function transportContract(t: Test, name: string, open: (t: Test) => TransportGround): void {
  t.test(`${name}: messages`, (t) => messages(t, open))
  t.test(`${name}: connections come and go`, (t) => connections(t, open))
  t.test(`${name}: refusals`, (t) => refusals(t, open))
  t.test(`${name}: probes`, (t) => probes(t, open))
  t.test(`${name}: snapshots`, (t) => snapshots(t, open))
}

async function messages(t: Test, open: (t: Test) => TransportGround): Promise<void> {
  t.test('arrive whole, in order, with bodies untouched', async (t) => {
    const [a, b] = await connectPair(t, open(t))
    const sent: PeerMessage[] = []
    for (let i = 0; i < 500; i++) {
      const message = i % 3 === 0 ? appendOf(one, two, i, i, 10, 5000) : readIndexOf(one, two, i)
      sent.push(message)
      a.transport.send(message)
    }
    await until('all arrived', () => b.node.messages.length === sent.length)
    t.strictSame(b.node.messages.map(plain), sent.map(plain))
    t.equal(a.node.messages.length, 0)
  })

  t.test('of the largest size arrive among small ones, in both directions', async (t) => {
    const [a, b] = await connectPair(t, open(t))
    const size = 20 * 1024 * 1024
    a.transport.send(readIndexOf(one, two, 1))
    a.transport.send(appendOf(one, two, 0, size))
    a.transport.send(readIndexOf(one, two, 2))
    b.transport.send(appendOf(two, one, 5, 1, size))
    await until('all arrived', () => b.node.messages.length === 3 && a.node.messages.length === 1)
    t.strictSame(
      b.node.messages.map(plain),
      [readIndexOf(one, two, 1), appendOf(one, two, 0, size), readIndexOf(one, two, 2)].map(plain),
    )
    t.strictSame(a.node.messages.map(plain), [appendOf(two, one, 5, 1, size)].map(plain))
  })

  t.test('to a stranger are dropped without a word; in the name of another they are a broken belief', async (t) => {
    const [a, b] = await connectPair(t, open(t))
    a.transport.send(readIndexOf(one, three, 1))
    a.transport.send(readIndexOf(one, two, 2))
    await until('arrived', () => b.node.messages.length > 0)
    t.strictSame(b.node.messages, [readIndexOf(one, two, 2)])
    t.throws(() => a.transport.send(readIndexOf(two, one, 1)), { name: 'InvariantError' })
  })

  t.test('to a peer that is being dialled arrive first, within bounds', async (t) => {
    const ground = open(t)
    const a = await startMember(t, ground, one, { limits: { peerEarlyMessagesMax: 4, peerEarlyBytesMax: 1000 } })
    const b = await startMember(t, ground, two)
    introduce(a, b)
    a.transport.send(appendOf(one, two, 0, 600))
    a.transport.send(appendOf(one, two, 1, 600))
    for (let i = 0; i < 6; i++) a.transport.send(readIndexOf(one, two, i))
    await until('connected', () => a.transport.isConnected(two))
    a.transport.send(readIndexOf(one, two, 9))
    await until('arrived', () => b.node.messages.length === 5)
    const expected = [appendOf(one, two, 0, 600), ...[0, 1, 2, 9].map((readId) => readIndexOf(one, two, readId))]
    t.strictSame(b.node.messages.map(plain), expected.map(plain))
  })

  t.test('to a peer that cannot be reached, or refuses, are lost', async (t) => {
    const ground = open(t)
    const a = await startMember(t, ground, one, { limits: { reconnectDelayMsMin: 1_000 } })
    const refusal: Refusal = { code: 'shutting-down', detail: 'not now' }
    const b = await startMember(t, ground, two, { prepare: (node) => (node.refusal = refusal) })
    // The other one does not call, which would make this one dial again at once.
    a.transport.setPeers(new Map([[two, b.transport.address]]))
    a.transport.send(readIndexOf(one, two, 1))
    await until('refused', () => a.node.refused.length > 0)
    a.transport.send(readIndexOf(one, two, 2))
    b.node.refusal = null
    await until('connected', () => a.transport.isConnected(two))
    a.transport.send(readIndexOf(one, two, 3))
    await until('arrived', () => b.node.messages.length > 0)
    t.strictSame(b.node.messages, [readIndexOf(one, two, 3)])
  })

  t.test('can be answered from within their handler', async (t) => {
    const [a, b] = await connectPair(t, open(t))
    b.node.takeMessage = (message) => {
      if (message.type === 'read-index-request') b.transport.send(readIndexOf(two, one, message.readId + 1))
    }
    for (let i = 0; i < 100; i++) a.transport.send(readIndexOf(one, two, i))
    await until('all are answered', () => a.node.messages.length === 100)
    t.strictSame(a.node.messages[99], readIndexOf(two, one, 100))
  })

  t.test('have a measured round trip while connected', async (t) => {
    const [a] = await connectPair(t, open(t))
    await until('measured', () => a.transport.roundTripMs(two) !== null)
    const roundTripMs = a.transport.roundTripMs(two)
    t.ok(roundTripMs !== null && roundTripMs >= 0 && roundTripMs < 5000)
    t.equal(a.transport.roundTripMs(three), null)
  })
}

/** Buffers of different classes compare by their bytes. */
function plain(message: PeerMessage): unknown {
  if (message.type !== 'append-request') return message
  const batches = message.batches.map((batch) => ({ ...batch, body: Buffer.from(batch.body).toString('base64') }))
  return { ...message, batches }
}

async function connections(t: Test, open: (t: Test) => TransportGround): Promise<void> {
  t.test('are made in both directions, once each', async (t) => {
    const ground = open(t)
    const members = await Promise.all([one, two, three].map((id) => startMember(t, ground, id)))
    introduce(...members)
    await until('all are connected', () => members.every(({ node }) => node.connected.length === 2))
    for (const { node } of members) {
      t.strictSame(
        node.hellos.map((hello) => hello.from).sort((x, y) => x - y),
        [one, two, three].filter((id) => id !== node.id),
      )
      t.strictSame(node.disconnected, [])
    }
  })

  t.test('a listing before the start takes effect at the start; one after the stop does nothing', async (t) => {
    const ground = open(t)
    const b = await startMember(t, ground, two)
    const node = new RecordingNode(one)
    const transport = ground.create(one)
    t.teardown(() => transport.stop())
    transport.setPeers(new Map([[two, b.transport.address]]))
    transport.send(readIndexOf(one, two, 1))
    await transport.start(node)
    await until('connected', () => transport.isConnected(two))
    await transport.stop()
    transport.setPeers(new Map([[two, b.transport.address]]))
    t.equal(transport.isConnected(two), false)
    t.match(await transport.probe(b.transport.address, 100), { kind: 'unreachable' })
    await t.rejects(transport.openSnapshot(two, snapshotHeader))
    t.strictSame(node.disconnected, [], 'nothing is heard of a transport that was stopped')
  })

  t.test(
    'a peer that stops is told of: disconnected, then unreachable; one that returns is connected promptly',
    async (t) => {
      const ground = open(t)
      const [a, b] = await connectPair(t, ground)
      const { address } = b.transport
      await b.transport.stop()
      await until('unreachable', () => a.node.unreachable.length > 0)
      t.strictSame(a.node.disconnected, [two])
      t.equal(a.node.unreachable[0], two)
      t.equal(a.transport.isConnected(two), false)
      t.equal(a.transport.roundTripMs(two), null)
      a.transport.send(readIndexOf(one, two, 1))

      const again = await startMember(t, ground, two, { address })
      again.transport.setPeers(new Map([[one, a.transport.address]]))
      await until('connected again', () => a.transport.isConnected(two))
      a.transport.send(readIndexOf(one, two, 2))
      await until('arrived', () => again.node.messages.some((one) => 'readId' in one && one.readId === 2))
      // Messages sent while no node was there are lost, unless another attempt was in progress just then.
      t.strictSame(again.node.messages.at(-1), readIndexOf(one, two, 2))
      t.strictSame(a.node.connected, [two, two])
    },
  )

  t.test('a hello from a peer that was given up for long calls for an attempt at once', async (t) => {
    const ground = open(t)
    const slow = { reconnectDelayMsMin: 60_000, reconnectDelayMsMax: 60_000 }
    const a = await startMember(t, ground, one, { limits: slow })
    const placeholder = await startMember(t, ground, two)
    const { address } = placeholder.transport
    await placeholder.transport.stop()
    a.transport.setPeers(new Map([[two, address]]))
    await until('unreachable', () => a.node.unreachable.length === 1)
    const b = await startMember(t, ground, two, { address })
    b.transport.setPeers(new Map([[one, a.transport.address]]))
    await until('connected', () => a.transport.isConnected(two), 5_000)
    t.equal(a.node.unreachable.length, 1)
  })

  t.test('a peer that is not listed any more is disconnected, in both directions', async (t) => {
    const [a, b] = await connectPair(t, open(t))
    b.node.refusal = null
    a.node.refusal = { code: 'removed', detail: 'node 2 was removed' }
    a.transport.setPeers(new Map())
    t.equal(a.transport.isConnected(two), false)
    await until('told', () => a.node.disconnected.length === 1)
    await until('the other side is refused', () => b.node.refused.length > 0)
    t.match(b.node.refused[0], { peer: one, refusal: { code: 'removed' } })
    t.equal(b.transport.isConnected(one), false)
    a.node.refusal = null
    introduce(a, b)
    await until('connected again', () => a.transport.isConnected(two) && b.transport.isConnected(one))
  })

  t.test('a peer that moves is followed', async (t) => {
    const ground = open(t)
    const [a, b] = await connectPair(t, ground)
    await b.transport.stop()
    const moved = await startMember(t, ground, two)
    t.not(moved.transport.address, b.node.id)
    a.transport.setPeers(new Map([[two, moved.transport.address]]))
    await until('connected', () => a.transport.isConnected(two))
    a.transport.send(readIndexOf(one, two, 5))
    await until('arrived', () => moved.node.messages.length === 1)
    t.strictSame(b.node.messages, [])
  })

  t.test('a node never dials itself', async (t) => {
    const a = await startMember(t, open(t), one)
    a.transport.setPeers(new Map([[one, a.transport.address]]))
    t.match(await a.transport.probe(a.transport.address, 5_000), { kind: 'answered', report: { id: one } })
    t.strictSame(
      a.node.hellos.map(({ purpose }) => purpose),
      ['probe'],
    )
    t.equal(a.transport.isConnected(one), false)
  })

  t.test('setPeers from within admit and admitReport, even for the peer in question', async (t) => {
    const ground = open(t)
    const a = await startMember(t, ground, one)
    const b = await startMember(t, ground, two)
    const callBack = a.node.admit.bind(a.node)
    a.node.admit = (hello: Hello) => {
      a.transport.setPeers(new Map([[hello.from === 0 ? two : hello.from, b.transport.address]]))
      return callBack(hello)
    }
    b.transport.setPeers(new Map([[one, a.transport.address]]))
    await until('called back', () => a.transport.isConnected(two) && b.transport.isConnected(one))
    b.node.admitReport = () => {
      b.transport.setPeers(new Map())
      return null
    }
    b.transport.setPeers(new Map())
    b.transport.setPeers(new Map([[one, a.transport.address]]))
    const probe = await b.transport.probe(a.transport.address, 5_000)
    t.equal(probe.kind, 'answered')
    await until('the peer is gone', () => !b.transport.isConnected(one))
    t.strictSame(b.node.connected, [one])
  })

  t.test('stop can be called twice and at any time, and start only once', async (t) => {
    const ground = open(t)
    const [a, b] = await connectPair(t, ground)
    await t.rejects(a.transport.start(a.node), { name: 'InvariantError' })
    const sink = await a.transport.openSnapshot(two, snapshotHeader)
    const probe = a.transport.probe(b.transport.address, 5_000)
    const opening = a.transport.openSnapshot(two, snapshotHeader)
    await Promise.all([a.transport.stop(), a.transport.stop(), t.rejects(opening, { name: 'ConnectionError' })])
    t.match(await probe, { kind: 'unreachable' })
    await t.rejects(sink.write(Buffer.alloc(10)), { name: 'ConnectionError' })
    const early = ground.create(three)
    const starting = early.start(new RecordingNode(three))
    await early.stop()
    await t.rejects(starting, { name: 'ConnectionError' })
  })

  t.test('an address in use rejects the start and names it', async (t) => {
    const ground = open(t)
    const a = await startMember(t, ground, one)
    const second = ground.create(two, {}, a.transport.address)
    await t.rejects(second.start(new RecordingNode(two)), {
      message: new RegExp(`${a.transport.address}.*in use.*another`),
    })
    await second.stop()
  })
}

async function refusals(t: Test, open: (t: Test) => TransportGround): Promise<void> {
  const codes = [
    'wrong-cluster',
    'wrong-incarnation',
    'removed',
    'shutting-down',
    'self',
    'bad-hello',
    'same-id',
  ] as const
  for (const code of codes) {
    t.test(`by the accepting node: ${code}`, async (t) => {
      const ground = open(t)
      const refusal: Refusal = { code, detail: `because of ${code}` }
      const a = await startMember(t, ground, one)
      const b = await startMember(t, ground, two, { prepare: (node) => (node.refusal = refusal) })
      a.transport.setPeers(new Map([[two, b.transport.address]]))
      await until('refused', () => a.node.refused.length > 1)
      t.strictSame(a.node.refused[0], { peer: two, refusal, by: 'peer' })
      t.strictSame(a.node.connected, [])
      await t.rejects(a.transport.openSnapshot(two, snapshotHeader), { message: new RegExp(code) })
      t.strictSame(await a.transport.probe(b.transport.address, 5_000), { kind: 'refused', refusal })
      b.node.refusal = null
      await until('connected in the end', () => a.transport.isConnected(two))
    })
  }

  t.test('by the dialling node: the report is of a wiped node', async (t) => {
    const ground = open(t)
    const refusal: Refusal = { code: 'wrong-incarnation', detail: 'node 2 has lost its data' }
    const a = await startMember(t, ground, one, { prepare: (node) => (node.reportRefusal = refusal) })
    const b = await startMember(t, ground, two)
    a.transport.setPeers(new Map([[two, b.transport.address]]))
    await until('refused', () => a.node.refused.length > 0)
    t.strictSame(a.node.refused[0], { peer: two, refusal, by: 'us' })
    t.match(a.node.reports[0], { id: two, incarnation: 'incarnation-2' })
    t.strictSame(a.node.connected, [])
  })

  t.test('by the transport: another node answers at that address', async (t) => {
    const ground = open(t)
    const a = await startMember(t, ground, one)
    const b = await startMember(t, ground, two)
    a.transport.setPeers(new Map([[three, b.transport.address]]))
    await until('refused', () => a.node.refused.length > 0)
    t.match(a.node.refused[0], { peer: three, refusal: { code: 'wrong-node', detail: /this is node 2, not node 3/ } })
    t.strictSame(b.node.hellos, [], 'the node itself is not even asked')
  })

  t.test('by the transport: the address of a peer is its own', async (t) => {
    const a = await startMember(t, open(t), one)
    a.transport.setPeers(new Map([[two, a.transport.address]]))
    await until('refused', () => a.node.refused.length > 0)
    t.match(a.node.refused[0], { peer: two, refusal: { code: 'self', detail: /its own address/ } })
  })

  t.test('by the transport: another protocol', async (t) => {
    const ground = open(t)
    const a = await startMember(t, ground, one, { prepare: (node) => (node.protocol = 4) })
    const b = await startMember(t, ground, two)
    a.transport.setPeers(new Map([[two, b.transport.address]]))
    await until('refused', () => a.node.refused.length > 0)
    t.match(a.node.refused[0], { peer: two, refusal: { code: 'wrong-protocol', detail: /protocol 3, not 4/ } })
    t.match(await a.transport.probe(b.transport.address, 5_000), {
      kind: 'refused',
      refusal: { code: 'wrong-protocol' },
    })
  })
}

async function probes(t: Test, open: (t: Test) => TransportGround): Promise<void> {
  t.test('tell what a node reports', async (t) => {
    const ground = open(t)
    const a = await startMember(t, ground, one)
    const b = await startMember(t, ground, two, { prepare: (node) => (node.clusterId = 'cluster-b') })
    const outcome = await a.transport.probe(b.transport.address, 5_000)
    t.strictSame(outcome, { kind: 'answered', report: b.node.report() })
    t.match(b.node.hellos, [{ purpose: 'probe', from: one, to: 0 }])
    t.strictSame(b.node.connected, [])
    t.strictSame(a.node.reports, [], 'a probe is for whoever asked')
  })

  t.test('find nobody', async (t) => {
    const ground = open(t)
    const a = await startMember(t, ground, one)
    const b = await startMember(t, ground, two)
    const { address } = b.transport
    await b.transport.stop()
    t.match(await a.transport.probe(address, 5_000), { kind: 'unreachable', detail: /./ })
    t.match(await a.transport.probe('not an address', 5_000), { kind: 'unreachable', detail: /not an address/ })
    t.strictSame(a.node.unreachable, [], 'a probe is for whoever asked')
  })
}

async function sinkOfSilentInstall(t: Test, open: (t: Test) => TransportGround): Promise<void> {
  const [a, b] = await connectPair(t, open(t), { limits: { snapshotInstallTimeoutMs: 150 } })
  const sink = await a.transport.openSnapshot(two, snapshotHeader)
  await t.rejects(sink.finish(), {
    name: 'ConnectionError',
    message: /node 2 did not install the snapshot within 150 ms/,
  })
  t.equal(b.node.snapshots.length, 1)
}

function firstSnapshot({ node }: Member, position = 0): SnapshotSource {
  const source = node.snapshots[position]
  if (source === undefined) throw new Error(`snapshot ${position} never came`)
  return source
}

/** `bytes` bytes that are not all alike, in chunks of the usual size. */
function* chunksOf(bytes: number, chunkBytes: number = limits.snapshotChunkBytes): Generator<Buffer> {
  for (let sent = 0, seed = 1; sent < bytes; sent += chunkBytes, seed++) {
    yield Buffer.alloc(Math.min(chunkBytes, bytes - sent), Buffer.from([seed % 251, seed % 241, seed % 239, 1]))
  }
}

async function snapshots(t: Test, open: (t: Test) => TransportGround): Promise<void> {
  t.test('of 50 MB arrive intact, with the header, and the answer comes back', async (t) => {
    const [a, b] = await connectPair(t, open(t))
    const bytes = 50_000_000
    const expected = chunksOf(bytes)
    let received = 0
    let different = 0
    b.node.takeSnapshot = (source) => {
      b.node.snapshots.push(source)
      void (async () => {
        for await (const chunk of source.chunks()) {
          received += chunk.length
          const { value } = expected.next() as { value: Buffer | undefined }
          if (value === undefined || !value.equals(chunk)) different += 1
        }
        await source.finish({ installed: true, detail: 'all of it' })
      })()
    }
    const sink = await a.transport.openSnapshot(two, snapshotHeader)
    for (const chunk of chunksOf(bytes)) await sink.write(chunk)
    t.strictSame(await sink.finish(), { installed: true, detail: 'all of it' })
    t.equal(received, bytes)
    t.equal(different, 0)
    t.equal(b.node.snapshots[0]?.from, one)
    t.strictSame(b.node.snapshots[0]?.header, snapshotHeader)
    a.transport.send(readIndexOf(one, two, 1))
    await until('messages still flow', () => b.node.messages.length === 1)
  })

  t.test('wait for a receiver that is slow, with bounded memory', async (t) => {
    const limited = { snapshotUnreadBytesMax: 500_000 }
    const [a, b] = await connectPair(t, open(t), { limits: limited })
    const sink = await a.transport.openSnapshot(two, snapshotHeader)
    let written = 0
    const bytes = 60_000_000
    const writing = (async () => {
      for (const chunk of chunksOf(bytes)) {
        await sink.write(chunk)
        written += chunk.length
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    await until('it begins', () => b.node.snapshots.length === 1)
    const source = firstSnapshot(b)
    let before = -1
    await until('the sender stands still', () => {
      const still = written === before && written > 0
      before = written
      return still
    })
    t.ok(written < 30_000_000, `${written} bytes were taken by nobody`)
    let received = 0
    const reading = (async () => {
      for await (const chunk of source.chunks()) received += chunk.length
    })()
    await writing
    const answer = sink.finish()
    await reading
    t.equal(received, bytes)
    await source.finish({ installed: false, detail: 'not wanted' })
    t.strictSame(await answer, { installed: false, detail: 'not wanted' })
  })

  t.test('cut off by the sender: the receiver is told', async (t) => {
    const [a, b] = await connectPair(t, open(t))
    const sink = await a.transport.openSnapshot(two, snapshotHeader)
    await sink.write(Buffer.alloc(1000, 1))
    await until('it begins', () => b.node.snapshots.length === 1)
    const source = firstSnapshot(b)
    const chunks = source.chunks()[Symbol.asyncIterator]()
    t.equal((await chunks.next()).done, false)
    const next = chunks.next()
    sink.abort()
    await t.rejects(next, { name: 'ConnectionError', message: /snapshot from node 1 was interrupted/ })
    await t.rejects(sink.write(Buffer.alloc(1)), { name: 'ConnectionError' })
    await t.rejects(sink.finish(), { name: 'ConnectionError' })
    // A receiver that answers all the same does no harm.
    await source.finish({ installed: false, detail: 'broken off' })
  })

  t.test('cut off by the end of the receiver: the sender is told, while writing and while waiting', async (t) => {
    const [a, b] = await connectPair(t, open(t))
    const writer = await a.transport.openSnapshot(two, snapshotHeader)
    const waiter = await a.transport.openSnapshot(two, { ...snapshotHeader, session: 12 })
    await until('both begin', () => b.node.snapshots.length === 2)
    await waiter.write(Buffer.alloc(10))
    const answer = waiter.finish()
    const writing = (async () => {
      for (;;) {
        await writer.write(Buffer.alloc(200_000))
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    await Promise.all([
      t.rejects(writing, { name: 'ConnectionError', message: /node 2/ }),
      t.rejects(answer, { name: 'ConnectionError', message: /node 2/ }),
      b.transport.stop(),
    ])
    const reading = firstSnapshot(b).chunks()[Symbol.asyncIterator]().next()
    await t.rejects(reading, { name: 'ConnectionError' })
  })

  t.test('declined before the end: the sender learns why', async (t) => {
    const [a, b] = await connectPair(t, open(t))
    const sink = await a.transport.openSnapshot(two, snapshotHeader)
    await until('it begins', () => b.node.snapshots.length === 1)
    const writing = (async () => {
      for (;;) {
        await sink.write(Buffer.alloc(200_000))
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    const declining = firstSnapshot(b).finish({ installed: false, detail: 'a later leader is known' })
    await t.rejects(writing, { name: 'ConnectionError', message: /a later leader is known/ })
    t.strictSame(await sink.finish(), { installed: false, detail: 'a later leader is known' })
    await declining
  })

  t.test(
    'that install slowly keep the sender waiting; senders that fall silent do not keep the receiver',
    async (t) => {
      const [a, b] = await connectPair(t, open(t), { limits: { snapshotStallTimeoutMs: 1_000 } })
      const sink = await a.transport.openSnapshot(two, snapshotHeader)
      await sink.write(Buffer.alloc(100))
      const answer = sink.finish()
      await until('it begins', () => b.node.snapshots.length === 1)
      const source = firstSnapshot(b)
      let received = 0
      for await (const chunk of source.chunks()) received += chunk.length
      t.equal(received, 100)
      const began = performance.now()
      await until('three times the stall timeout has passed', () => performance.now() - began > 3_000)
      await source.finish({ installed: true, detail: '' })
      t.strictSame(await answer, { installed: true, detail: '' })

      const silent = await a.transport.openSnapshot(two, snapshotHeader)
      await until('it begins', () => b.node.snapshots.length === 2)
      const next = firstSnapshot(b, 1).chunks()[Symbol.asyncIterator]().next()
      await t.rejects(next, { name: 'ConnectionError', message: /stopped sending/ })
      await t.rejects(silent.finish(), { name: 'ConnectionError' })
    },
  )

  t.test('that nobody takes or answers are given up', async (t) => {
    const [a, b] = await connectPair(t, open(t), {
      limits: { snapshotStallTimeoutMs: 150, snapshotUnreadBytesMax: 1000 },
    })
    const sink = await a.transport.openSnapshot(two, snapshotHeader)
    const writing = (async () => {
      for (;;) {
        await sink.write(Buffer.alloc(200_000))
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    await t.rejects(writing, { name: 'ConnectionError', message: /node 2 does not take the snapshot/ })
    t.equal(b.node.snapshots.length, 1)
    await sinkOfSilentInstall(t, open)
  })

  t.test('to a node that is no peer are rejected', async (t) => {
    const a = await startMember(t, open(t), one)
    await t.rejects(a.transport.openSnapshot(three, snapshotHeader), {
      name: 'ConnectionError',
      message: /node 3 is not a peer/,
    })
  })
}
