import type { LookupOptions } from 'node:dns'
import t from 'tap'
import type { Test } from 'tap'
import { AddressError, places } from '../../src/lib/address-error.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { limits } from '../../src/limits.ts'
import type { Clock } from '../../src/ports/clock.ts'
import { nodeId } from '../../src/raft/index.ts'
import { formatHostPort, parseHostPort } from '../../src/lib/host-port.ts'
import { type Resolve, sharedLookup } from '../../src/transport/host-lookup.ts'
import { longestPauseMs } from '../../src/transport/pace.ts'
import { TcpTransport } from '../../src/transport/tcp.ts'
import type { TransportLimits, TransportLogger } from '../../src/transport/transport-options.ts'
import type { Frame } from '../../src/transport/wire.ts'
import { transportContract } from '../contract/transport.ts'
import { appendOf, machineClock, readIndexOf, RecordingNode, snapshotHeader } from '../contract/transport-fixture.ts'
import { callAt, encodeFrames, lieAt, type Stranger } from '../contract/transport-stranger.ts'
import { until } from '../support/until.ts'

const one = nodeId(1)
const two = nodeId(2)

transportContract(t, 'tcp', () => ({
  create: (id, limits = {}, listen = '127.0.0.1:0') =>
    new TcpTransport({ id, listen, limits }, { clock: machineClock, random: new SeededRandom(id) }),
}))

t.test('a host name is looked up once at a time, however many attempts wait for it', (t) => {
  const asked: [name: string, answer: Parameters<Resolve>[2]][] = []
  const lookup = sharedLookup((name, _options, answer) => asked.push([name, answer]))
  const answers: unknown[] = []
  const attempt = (name: string, options: LookupOptions): void =>
    lookup(name, options, (error, address, family) => answers.push(error?.message ?? address, family ?? null))
  attempt('db-1', { all: true })
  attempt('db-1', { all: true })
  attempt('db-1', {})
  attempt('db-2', { all: true })
  t.strictSame(
    asked.map(([name]) => name),
    ['db-1', 'db-2'],
  )
  const [first, second] = asked
  const address = { address: '10.0.0.1', family: 4 }
  first?.[1](null, [address])
  t.strictSame(answers.splice(0), [[address], null, [address], null, '10.0.0.1', 4])
  second?.[1](new Error('no such name'), [])
  t.strictSame(answers.splice(0), ['no such name', null])
  attempt('db-1', { all: true })
  attempt('db-1', {})
  t.equal(asked.length, 3, 'what has ended is not remembered')
  asked[2]?.[1](null, [])
  t.strictSame(answers, ['db-1 has no address', null, 'db-1 has no address', null])
  t.end()
})

t.test('the pause between two attempts is no longer than an election timeout, within bounds', (t) => {
  t.equal(longestPauseMs(600), 600)
  t.equal(longestPauseMs(15), 100)
  t.equal(longestPauseMs(60_000), limits.reconnectDelayMsMax)
  t.end()
})

interface Line {
  readonly event: string
  readonly fields: object
}

class RecordingLogger implements TransportLogger {
  readonly lines: Line[] = []

  debug(fields: object, event: string): void {
    this.lines.push({ event, fields })
  }

  info(fields: object, event: string): void {
    this.lines.push({ event, fields })
  }

  warn(fields: object, event: string): void {
    this.lines.push({ event, fields })
  }

  of(event: string): object[] {
    return this.lines.filter((line) => line.event === event).map(({ fields }) => fields)
  }
}

interface Started {
  readonly node: RecordingNode
  readonly transport: TcpTransport
  readonly logger: RecordingLogger
}

async function startNode(
  t: Test,
  limits: Partial<TransportLimits> = {},
  clock: Clock = machineClock,
): Promise<Started> {
  const node = new RecordingNode(one)
  const logger = new RecordingLogger()
  const transport = new TcpTransport(
    { id: one, listen: '127.0.0.1:0', limits },
    { clock, random: new SeededRandom(1), logger },
  )
  t.teardown(() => transport.stop())
  await transport.start(node)
  return { node, transport, logger }
}

function helloOf(purpose: 'messages' | 'snapshot' | 'probe'): Frame {
  return { type: 'hello', hello: new RecordingNode(two).hello(purpose, one) }
}

const welcome: Frame = { type: 'hello-answer', answer: { kind: 'welcome', report: new RecordingNode(two).report() } }

/** A peer that greets as node 2 and then does what the test says. */
function greeter(then: (stranger: Stranger) => void): (stranger: Stranger) => void {
  return (stranger) => {
    stranger.say(welcome)
    then(stranger)
  }
}

t.test('bytes from strangers', async (t) => {
  const tooLarge = Buffer.alloc(12)
  tooLarge.writeUInt32LE(0x7fffffff, 0)
  tooLarge.writeUInt8(32, 4)
  tooLarge.writeUInt8(1, 5)
  const damaged = encodeFrames(helloOf('messages'))
  damaged.writeUInt8(damaged.readUInt8(20) ^ 0x40, 20)
  const largeHello = { ...new RecordingNode(two).hello('messages', one), incarnation: 'x'.repeat(300_000) }
  const random = new SeededRandom(99)
  const noise = Buffer.from(Array.from({ length: 5_000 }, () => random.integer(0, 256)))
  const cases: readonly (readonly [string, Buffer, RegExp])[] = [
    ['noise', noise, /not a frame/],
    ['an HTTP request', Buffer.from('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n'), /not a frame.*"GET \/health/],
    ['a TLS greeting', Buffer.from('16030100f8010000f40303cb34ecb1e78163ba1c38c6dacb', 'hex'), /frame type 248/],
    ['a huge length', tooLarge, /2147483647 bytes exceeds/],
    ['a hello that is damaged', damaged, /checksum/],
    ['a hello that is too large', encodeFrames({ type: 'hello', hello: largeHello }), /exceeds/],
    ['a message in place of a hello', encodeFrames(appendOf(two, one, 0)), /append-request came where none is allowed/],
    ['a second hello', encodeFrames(helloOf('messages'), helloOf('messages')), /hello came among messages/],
    [
      'a snapshot among messages',
      encodeFrames(helloOf('messages'), { type: 'snapshot-alive' }),
      /snapshot-alive came among messages/,
    ],
    [
      'a message in the name of another',
      encodeFrames(helloOf('messages'), readIndexOf(nodeId(3), one, 1)),
      /from node 3 to node 1 came from node 2/,
    ],
    [
      'a message for another',
      encodeFrames(helloOf('messages'), readIndexOf(two, nodeId(3), 1)),
      /from node 2 to node 3/,
    ],
    [
      'messages in place of a snapshot',
      encodeFrames(helloOf('snapshot'), readIndexOf(two, one, 1)),
      /came where none is allowed/,
    ],
  ]
  for (const [name, bytes, reason] of cases) {
    t.test(name, async (t) => {
      const { transport, node, logger } = await startNode(t)
      const stranger = callAt(t, transport.address)
      stranger.socket.write(bytes)
      await until('the connection is closed', () => stranger.closed)
      await until('it is logged', () => logger.of('peer connection rejected').length > 0)
      t.match(logger.of('peer connection rejected')[0], { detail: reason, remote: /127\.0\.0\.1/ })
      t.strictSame([node.messages, node.snapshots, node.connected], [[], [], []])
      // The node goes on as before.
      t.match(await transport.probe(transport.address, 5_000), { kind: 'answered' })
    })
  }

  t.test('behind good messages: those before the damage are delivered, none after', async (t) => {
    const { transport, node } = await startNode(t)
    const stranger = callAt(t, transport.address)
    const good = encodeFrames(helloOf('messages'), readIndexOf(two, one, 1), readIndexOf(two, one, 2))
    const bad = encodeFrames(readIndexOf(two, one, 3))
    bad.writeUInt8(0xff, 15)
    stranger.socket.write(Buffer.concat([good, bad, encodeFrames(readIndexOf(two, one, 4))]))
    await until('the connection is closed', () => stranger.closed)
    t.strictSame(node.messages, [readIndexOf(two, one, 1), readIndexOf(two, one, 2)])
  })

  t.test('silence ends with the handshake timeout', async (t) => {
    const { transport, logger } = await startNode(t, { handshakeTimeoutMs: 50 })
    const silent = callAt(t, transport.address)
    const slow = callAt(t, transport.address)
    slow.socket.write(encodeFrames(helloOf('messages')).subarray(0, 30))
    await until('both are closed', () => silent.closed && slow.closed)
    t.match(logger.of('peer connection rejected')[0], { detail: /no hello came within 50 ms/ })
  })

  t.test('a probe by a stranger that is no node is answered', async (t) => {
    const { transport, node } = await startNode(t)
    const stranger = callAt(t, transport.address)
    stranger.say({ type: 'hello', hello: { ...new RecordingNode(two).hello('probe', 0), from: 0 } })
    await until('answered and closed', () => stranger.frames.length === 1 && stranger.closed)
    t.match(stranger.frames[0], { type: 'hello-answer', answer: { kind: 'welcome', report: { id: one } } })
    t.match(node.hellos, [{ from: 0, purpose: 'probe' }])
    const nameless = callAt(t, transport.address)
    nameless.say({ type: 'hello', hello: { ...new RecordingNode(two).hello('messages', one), from: 0 } })
    await until('answered and closed', () => nameless.frames.length === 1 && nameless.closed)
    t.match(nameless.frames[0], { answer: { kind: 'refused', refusal: { code: 'bad-hello' } } })
  })

  t.test('only a probe may leave out where its node is', async (t) => {
    const { transport, node } = await startNode(t)
    for (const purpose of ['messages', 'snapshot', 'probe'] as const) {
      const caller = callAt(t, transport.address)
      const hello = { ...new RecordingNode(two).hello(purpose, one), addresses: { raft: '', api: '' } }
      caller.say({ type: 'hello', hello })
      await until('it is answered', () => caller.frames.length === 1)
      const answer =
        purpose === 'probe'
          ? { kind: 'welcome' }
          : { kind: 'refused', refusal: { code: 'bad-hello', detail: /where it is/ } }
      t.match(caller.frames[0], { answer }, purpose)
    }
    t.match(node.hellos, [{ purpose: 'probe' }], 'nothing was asked of the node before')
  })

  t.test('a node that is refused again and again is told of once, and then counted', async (t) => {
    const { transport, node, logger } = await startNode(t)
    node.refusal = { code: 'wrong-incarnation', detail: 'node 2 has lost its data' }
    const call = async (): Promise<void> => {
      const caller = callAt(t, transport.address)
      caller.say(helloOf('messages'))
      await until('it is refused', () => caller.frames.length === 1)
    }
    await call()
    const since = performance.now()
    // Longer than any other line about connections is held back.
    for (let calls = 0; calls < 3 || performance.now() - since < 1_200; calls++) await call()
    t.match(logger.of('peer connection rejected'), [{ peer: two, detail: /lost its data/, rejections: 1 }])
    t.equal(logger.of('peer connection rejected').length, 1)
  })

  t.test('strangers in masses neither lock peers out nor fill the log', async (t) => {
    const { transport, node, logger } = await startNode(t, { peerConnectionsMax: 8 })
    const peer = callAt(t, transport.address)
    peer.say(helloOf('messages'))
    await until('the peer is in', () => peer.frames.length === 1)
    const strangers = Array.from({ length: 30 }, () => callAt(t, transport.address))
    await until('most are turned away', () => strangers.filter(({ closed }) => closed).length >= 23)
    t.equal(peer.closed, false)
    const late = callAt(t, transport.address)
    late.say(helloOf('snapshot'))
    await until('a late one gets in', () => late.frames.length === 1)
    for (const { socket } of strangers) socket.write('garbage in quite a lot of bytes')
    await until('all are gone', () => strangers.every(({ closed }) => closed))
    t.ok(logger.of('peer connection rejected').length <= 2)
    peer.say(readIndexOf(two, one, 1))
    await until('the peer is heard', () => node.messages.length === 1)
    const peers = Array.from({ length: 6 }, () => {
      const stranger = callAt(t, transport.address)
      stranger.say(helloOf('snapshot'))
      return stranger
    })
    await until('all are in', () => peers.every(({ frames }) => frames.length === 1))
    const tooMany = callAt(t, transport.address)
    await until('the house is full', () => tooMany.closed)
  })
})

/** The beginning of a frame with a chunk of `bytes`, which never ends. */
function unending(bytes: number): Buffer {
  return encodeFrames(appendOf(two, one, 0, bytes)).subarray(0, 1_000)
}

function helloFrom(id: number, purpose: 'messages' | 'snapshot' = 'messages'): Frame {
  return { type: 'hello', hello: new RecordingNode(nodeId(id)).hello(purpose, one) }
}

async function greeted(t: Test, transport: TcpTransport, id: number): Promise<Stranger> {
  const caller = callAt(t, transport.address)
  caller.say(helloFrom(id))
  await until(`node ${id} is let in`, () => caller.frames.length === 1)
  return caller
}

t.test('whoever is no member takes little, and gives way to members', async (t) => {
  t.test('before the hello, a frame is small', async (t) => {
    const { transport, logger } = await startNode(t)
    const stranger = callAt(t, transport.address)
    stranger.socket.write(encodeFrames({ ...helloFrom(9) }, appendOf(two, one, 0, 100_000)).subarray(0, 4))
    const header = Buffer.from(encodeFrames(helloFrom(9)).subarray(0, 12))
    header.writeUInt32LE(20_000, 0)
    const announcing = callAt(t, transport.address)
    announcing.socket.write(header)
    await until('it is closed', () => announcing.closed)
    t.match(logger.of('peer connection rejected')[0], { detail: /20000 bytes exceeds 16384/ })
    t.equal(stranger.closed, false)
  })

  t.test('frames that never end share one budget, and make room for the frames of members', async (t) => {
    const { transport, node } = await startNode(t, { incomingFramesBytesMax: 1_000_000 })
    const strangers: Stranger[] = []
    for (const id of [7, 8, 9, 10, 11]) {
      const caller = await greeted(t, transport, id)
      caller.socket.write(unending(300_000))
      strangers.push(caller)
    }
    const member = await greeted(t, transport, 2)
    const message = appendOf(two, one, 0, 900_000)
    member.say(message)
    await until('the frame of the member arrives', () => node.messages.length === 1)
    await until('strangers gave way', () => strangers.filter(({ closed }) => closed).length >= 3)
    t.equal(member.closed, false)
  })

  t.test('frames of members that do not fit wait for one another, and all arrive', async (t) => {
    const { transport, node } = await startNode(t, { incomingFramesBytesMax: 1_000_000 })
    node.members = new Set([2, 3, 4, 5].map(nodeId))
    const callers = await Promise.all([2, 3, 4, 5].map((id) => greeted(t, transport, id)))
    const frames = [2, 3, 4, 5].map((id) => encodeFrames(appendOf(nodeId(id), one, 0, 700_000)))
    for (const [i, caller] of callers.entries()) caller.socket.write(frames[i]?.subarray(0, 100_000) ?? '')
    for (const [i, caller] of callers.entries()) caller.socket.write(frames[i]?.subarray(100_000) ?? '')
    await until('all arrive', () => node.messages.length === 4)
    t.notOk(callers.some(({ closed }) => closed))
  })

  t.test('a frame of a stranger that does not go on is given up soon', async (t) => {
    const { transport } = await startNode(t, { strangerSilenceMsMax: 50, peerSilenceMsMax: 60_000 })
    const [stranger, member] = [await greeted(t, transport, 9), await greeted(t, transport, 2)]
    for (const caller of [stranger, member]) caller.socket.write(unending(300_000))
    await until('the stranger is closed', () => stranger.closed)
    t.equal(member.closed, false)
  })

  t.test('strangers that were greeted do not keep members out', async (t) => {
    const { transport } = await startNode(t, { peerConnectionsMax: 4 })
    const strangers: Stranger[] = []
    for (const id of [7, 8, 9, 10]) strangers.push(await greeted(t, transport, id))
    const members = [await greeted(t, transport, 2), await greeted(t, transport, 3)]
    t.strictSame(strangers.map(({ closed }) => closed).slice(2), [false, false], 'the oldest went first')
    t.notOk(members.some(({ closed }) => closed))
  })

  t.test('what no sound member says closes the connection', async (t) => {
    const { transport, node, logger } = await startNode(t)
    const caller = await greeted(t, transport, 2)
    node.fault = 'a lie'
    caller.say(readIndexOf(two, one, 1))
    await until('it is closed', () => caller.closed)
    t.match(logger.of('peer connection rejected')[0], { peer: two, detail: /a lie/ })
  })

  t.test('answers to pings do not pile up for a reader that reads none', async (t) => {
    const { transport } = await startNode(t)
    const caller = await greeted(t, transport, 2)
    caller.socket.pause()
    const pings = encodeFrames(...Array.from({ length: 2_000 }, (_, number): Frame => ({ type: 'ping', number })))
    // Whatever the kernel takes on both sides is not held here.
    let gone = false
    caller.socket.on('error', () => (gone = true))
    await until('it is given up', () => {
      if (!gone && !caller.socket.destroyed) caller.socket.write(pings)
      return gone || caller.closed
    })
    t.pass('closed')
  })

  t.test('a snapshot that is refused is not read', async (t) => {
    const { transport, node } = await startNode(t)
    const caller = callAt(t, transport.address)
    caller.say(helloFrom(2, 'snapshot'), { type: 'snapshot-header', header: snapshotHeader })
    await until('it is offered', () => node.snapshots.length === 1)
    caller.socket.write(
      Buffer.concat(
        Array.from({ length: 40 }, () =>
          encodeFrames({ type: 'snapshot-chunk', sequence: 0, body: Buffer.alloc(1_000_000) }),
        ),
      ),
    )
    const [source] = node.snapshots
    if (source === undefined) throw new Error('it is offered')
    await source.finish({ installed: false, detail: 'not wanted' })
    await until('answered and closed', () => caller.closed)
    t.match(caller.frames.at(-1), { type: 'snapshot-answer', answer: { installed: false } })
  })
})

t.test('peers that misbehave', async (t) => {
  t.test(
    'a reader that is too slow: memory stays bounded, the queue is dropped, the connection made again',
    async (t) => {
      const callers: Stranger[] = []
      const { address } = await lieAt(
        t,
        greeter((stranger) => {
          callers.push(stranger)
          stranger.socket.pause()
        }),
      )
      const { transport, node, logger } = await startNode(t, { peerQueueBytesMax: 4_000_000, reconnectDelayMsMin: 1 })
      transport.setPeers(new Map([[two, address]]))
      await until('connected', () => transport.isConnected(two))
      const message = appendOf(one, two, 0, 1_000_000)
      let sent = 0
      await until('the queue is given up', () => {
        if (transport.isConnected(two)) {
          transport.send(message)
          sent += 1
        }
        return !transport.isConnected(two)
      })
      t.equal(node.disconnected.length, 0, 'the node is not told from within its own call')
      transport.send(message)
      t.ok(sent < 60, `${sent} MB fit into a queue of 4`)
      await until('the node is told', () => node.disconnected.length === 1)
      t.match(logger.of('peer disconnected')[0], { peer: two, detail: /does not keep up/ })
      await until('connected again', () => transport.isConnected(two))
      t.equal(callers.length, 2)
    },
  )

  t.test('a peer that does not answer pings is half-open: given up and dialled again', async (t) => {
    let calls = 0
    const { address } = await lieAt(
      t,
      greeter(() => (calls += 1)),
    )
    const limits = { peerPingIntervalMs: 10, peerPingTimeoutMs: 40, reconnectDelayMsMin: 1 }
    const { transport, node } = await startNode(t, limits)
    transport.setPeers(new Map([[two, address]]))
    await until('given up and connected again', () => node.connected.length >= 2 && calls >= 2)
    t.strictSame(node.disconnected[0], two)
    t.equal(transport.roundTripMs(two), null)
    t.strictSame(node.unreachable, [], 'somebody is there, as far as anybody knows')
  })

  t.test('a dialler that falls silent is given up', async (t) => {
    const { transport, node } = await startNode(t, { peerSilenceMsMax: 50 })
    const silent = callAt(t, transport.address)
    silent.say(helloOf('messages'))
    await until('closed', () => silent.closed)
    const began = performance.now()
    const alive = callAt(t, transport.address)
    alive.say(helloOf('messages'))
    await until('six times the limit has passed', () => {
      if (!alive.closed) alive.say({ type: 'ping', number: 1 })
      return performance.now() - began > 300
    })
    t.equal(alive.closed, false)
    t.match(alive.frames[1], { type: 'pong', number: 1 })
    t.equal(node.hellos.length, 2)
  })

  t.test('a connection that is reset is made again at once', async (t) => {
    const callers: Stranger[] = []
    const { address } = await lieAt(
      t,
      greeter((stranger) => callers.push(stranger)),
    )
    const limits = { reconnectDelayMsMin: 20, reconnectDelayMsMax: 20 }
    const { transport, node } = await startNode(t, limits)
    transport.setPeers(new Map([[two, address]]))
    await until('connected', () => transport.isConnected(two))
    const connectedAt = performance.now()
    await until('it stood for a while', () => performance.now() - connectedAt > 25)
    callers[0]?.socket.resetAndDestroy()
    await until('disconnected and connected again', () => node.disconnected.length === 1 && node.connected.length === 2)
    t.equal(callers.length, 2)
    callers[1]?.socket.destroy()
    await until('and again', () => node.connected.length === 3)
  })

  t.test('a second connection of one peer replaces the first', async (t) => {
    const { transport, node } = await startNode(t)
    const first = callAt(t, transport.address)
    first.say(helloOf('messages'), readIndexOf(two, one, 1))
    await until('heard', () => node.messages.length === 1)
    const second = callAt(t, transport.address)
    second.say(helloOf('messages'))
    await until('the first is closed', () => first.closed)
    second.say(readIndexOf(two, one, 2))
    await until('heard', () => node.messages.length === 2)
    t.equal(second.closed, false)
  })

  const answers: readonly (readonly [string, (stranger: Stranger) => void, RegExp])[] = [
    ['silence', () => undefined, /did not answer the hello within 100 ms/],
    ['the end of the connection', (stranger) => stranger.socket.end(), /no answer to the hello/],
    ['a reset', (stranger) => stranger.socket.resetAndDestroy(), /no answer to the hello|ECONNRESET/],
    [
      'garbage',
      (stranger) => stranger.socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'),
      /no answer.*not a frame.*; it answers with HTTP: this may be the API address of a node/,
    ],
    ['another frame', (stranger) => stranger.say({ type: 'pong', number: 1 }), /a pong came in place of the answer/],
  ]
  for (const [name, answer, reason] of answers) {
    t.test(`a hello answered with ${name}`, async (t) => {
      let calls = 0
      const { address } = await lieAt(t, (stranger) => {
        calls += 1
        answer(stranger)
      })
      // Only silence is told by the time that passes.
      const timeoutMs = name === 'silence' ? 50 : 5_000
      const { transport, node } = await startNode(t, { connectTimeoutMs: timeoutMs, handshakeTimeoutMs: timeoutMs })
      t.match(await transport.probe(address, timeoutMs * 2), { kind: 'unreachable', detail: reason })
      transport.setPeers(new Map([[two, address]]))
      await until('several attempts were made', () => calls > 2)
      await t.rejects(transport.openSnapshot(two, snapshotHeader), { name: 'ConnectionError', message: reason })
      t.strictSame([node.connected, node.disconnected, node.unreachable], [[], [], []])
    })
  }

  t.test('a peer that says more than pongs after its welcome', async (t) => {
    const { address } = await lieAt(
      t,
      greeter((stranger) => stranger.say(readIndexOf(two, one, 1))),
    )
    const { transport, node, logger } = await startNode(t)
    transport.setPeers(new Map([[two, address]]))
    await until('disconnected', () => node.disconnected.length > 0)
    t.match(logger.of('peer disconnected')[0], { reason: 'malformed', detail: /read-index-request came where only/ })
    t.strictSame(node.messages, [])
  })
})

t.test('snapshots that are damaged', async (t) => {
  const chunk = (sequence: number, size = 100): Frame => ({
    type: 'snapshot-chunk',
    sequence,
    body: Buffer.alloc(size, 5),
  })
  const end = (chunks: number, bytes: number, checksum = 0): Frame => ({
    type: 'snapshot-end',
    chunks,
    bytes,
    checksum,
  })
  const flipped = encodeFrames(chunk(1))
  flipped.writeUInt8(6, 50)
  const cases: readonly (readonly [string, Buffer, RegExp])[] = [
    ['a chunk is missing', encodeFrames(chunk(0), chunk(2)), /chunk 2 came where chunk 1 follows/],
    ['a chunk comes twice', encodeFrames(chunk(0), chunk(0)), /chunk 0 came where chunk 1 follows/],
    ['a chunk is changed', Buffer.concat([encodeFrames(chunk(0)), flipped]), /checksum/],
    ['the end comes too early', encodeFrames(chunk(0), end(2, 200)), /totals/],
    ['the bytes are others than were sent', encodeFrames(chunk(0), end(1, 100, 12345)), /totals/],
    ['a message comes in between', encodeFrames(chunk(0), readIndexOf(two, one, 1)), /in the middle of a snapshot/],
    [
      'another header comes in between',
      encodeFrames({ type: 'snapshot-header', header: snapshotHeader }),
      /in the middle/,
    ],
  ]
  for (const [name, bytes, reason] of cases) {
    t.test(name, async (t) => {
      const { transport, node } = await startNode(t)
      const sender = callAt(t, transport.address)
      sender.say(helloOf('snapshot'), { type: 'snapshot-header', header: snapshotHeader })
      await until('it begins', () => node.snapshots.length === 1)
      sender.socket.write(bytes)
      const [source] = node.snapshots
      await t.rejects(
        (async () => {
          for await (const _chunk of source?.chunks() ?? []) t.ok(_chunk.length)
        })(),
        { name: 'ConnectionError', message: reason },
      )
      await until('the sender is cut off', () => sender.closed)
    })
  }

  t.test('a frame after the end', async (t) => {
    const { transport, node } = await startNode(t)
    const sender = callAt(t, transport.address)
    sender.say(helloOf('snapshot'), { type: 'snapshot-header', header: snapshotHeader }, end(0, 0), chunk(0))
    await until('the sender is cut off', () => sender.closed)
    t.equal(node.snapshots.length, 1)
    let chunks = 0
    for await (const _chunk of node.snapshots[0]?.chunks() ?? []) chunks += 1
    t.equal(chunks, 0, 'the state itself was whole')
  })

  t.test('no header follows the hello', async (t) => {
    const { transport, node } = await startNode(t, { snapshotStallTimeoutMs: 50 })
    const sender = callAt(t, transport.address)
    sender.say(helloOf('snapshot'))
    await until('the sender is cut off', () => sender.closed)
    t.strictSame(node.snapshots, [])
  })

  t.test('a receiver that answers with something else', async (t) => {
    const { address } = await lieAt(
      t,
      greeter((stranger) => stranger.say({ type: 'ping', number: 3 })),
    )
    const { transport } = await startNode(t)
    transport.setPeers(new Map([[two, address]]))
    const sink = await transport.openSnapshot(two, snapshotHeader)
    await t.rejects(sink.finish(), { name: 'ConnectionError', message: /node 2 broke: a ping came/ })
  })
})

t.test('listening', async (t) => {
  const listenAt = (listen: string): Promise<void> =>
    new TcpTransport({ id: two, listen }, { clock: machineClock, random: new SeededRandom(1) }).start(
      new RecordingNode(two),
    )
  const { transport } = await startNode(t)
  await t.rejects(listenAt(transport.address), {
    message: new RegExp(`${transport.address} is in use by another process.*--raft`),
  })
  await t.rejects(listenAt('192.0.2.1:7101'), {
    message: /192\.0\.2\.1:7101 is not an address of this machine.*--raft-advertise/,
  })
  for (const [code, mayPass, said] of [
    ['EADDRINUSE', false, /in use by another process \(EADDRINUSE\)/],
    ['EADDRNOTAVAIL', true, /not an address of this machine/],
    ['ENOTFOUND', true, /a:1 has a name that cannot be looked up: .*\(ENOTFOUND\)/],
    ['EAI_AGAIN', true, /a name that cannot be looked up: .*\(EAI_AGAIN\)/],
    ['EACCES', false, /Choose a port above 1023 with --raft/],
    ['EAFNOSUPPORT', false, /cannot be listened on: no such family/],
  ] as const) {
    const error = new AddressError(places.raft, 'a:1', Object.assign(new Error('no such family'), { code }))
    t.match(error, { mayPass, message: said }, code)
  }
  await t.rejects(listenAt('localhost'), { message: /localhost is not of the form host:port/ })
  t.match(transport.address, /^127\.0\.0\.1:\d+$/)
})

t.test('addresses', async (t) => {
  const good = {
    'localhost:7101': ['localhost', 7101],
    '10.0.0.1:0': ['10.0.0.1', 0],
    '[::1]:65535': ['::1', 65535],
  } as const
  for (const [text, [host, port]] of Object.entries(good)) {
    t.strictSame(parseHostPort(text), { host, port })
    t.equal(formatHostPort({ host, port }), text)
  }
  for (const bad of [
    '',
    'localhost',
    ':7101',
    'host:',
    'host:x',
    'host:65536',
    '::1:7101',
    'http://host:1',
    'a b:1',
    '[::1]',
    'host:-1',
  ]) {
    t.equal(parseHostPort(bad), null, bad)
  }
})

t.test('a stop is prompt and leaves nothing behind, whatever is under way', async (t) => {
  const outstanding = new Set<object>()
  /** How long each timer was set that has gone off. */
  const elapsed: number[] = []
  const clock: Clock = {
    ...machineClock,
    after(delayMs, callback) {
      const timer = {}
      outstanding.add(timer)
      const cancel = machineClock.after(delayMs, () => {
        outstanding.delete(timer)
        elapsed.push(delayMs)
        callback()
      })
      return () => {
        outstanding.delete(timer)
        cancel()
      }
    },
  }
  const stuck: Stranger[] = []
  const reader = await lieAt(
    t,
    greeter((stranger) => {
      stuck.push(stranger)
      stranger.socket.pause()
    }),
  )
  const mute = await lieAt(t, () => undefined)
  const { transport, node } = await startNode(t, {}, clock)
  transport.setPeers(
    new Map([
      [two, reader.address],
      [nodeId(3), mute.address],
      [nodeId(4), '127.0.0.1:1'],
    ]),
  )
  await until('connected', () => transport.isConnected(two) && node.unreachable.length > 0)
  for (let i = 0; i < 20; i++) transport.send(appendOf(one, two, 0, 1_000_000))
  const sink = await transport.openSnapshot(two, snapshotHeader)
  const writing = sink.write(Buffer.alloc(20_000_000))
  const finishing = (await transport.openSnapshot(two, snapshotHeader)).finish()
  const probing = transport.probe(mute.address, 60_000)
  const [silent, greeted, bringing] = [0, 1, 2].map(() => callAt(t, transport.address))
  greeted?.say(helloOf('messages'))
  bringing?.say(helloOf('snapshot'), { type: 'snapshot-header', header: snapshotHeader })
  await until('all are in', () => node.snapshots.length === 1 && greeted?.frames.length === 1)
  const reading = node.snapshots[0]?.chunks()[Symbol.asyncIterator]().next()

  elapsed.length = 0
  const stopped = transport.stop()
  await Promise.all([
    t.rejects(writing, { name: 'ConnectionError' }),
    t.rejects(finishing, { name: 'ConnectionError' }),
    t.rejects(Promise.resolve(reading), { name: 'ConnectionError' }),
    t.resolveMatch(probing, { kind: 'unreachable' }),
    stopped,
  ])
  t.ok(Math.max(0, ...elapsed) <= limits.peerStopGraceMs, `it waits for nothing but the last frames: ${elapsed.join()}`)
  await until('the others see it', () => [silent, greeted, bringing].every((stranger) => stranger?.closed))
  await until('no timer is left', () => outstanding.size === 0)
  t.strictSame(node.disconnected, [])
})

t.test('what was sent just before a stop still leaves', async (t) => {
  const a = await startNode(t)
  const node = new RecordingNode(two)
  const b = new TcpTransport({ id: two, listen: '127.0.0.1:0' }, { clock: machineClock, random: new SeededRandom(2) })
  t.teardown(() => b.stop())
  await b.start(node)
  a.transport.setPeers(new Map([[two, b.address]]))
  await until('connected', () => a.transport.isConnected(two))
  for (let i = 0; i < 10; i++) a.transport.send(appendOf(one, two, i, 100_000))
  await a.transport.stop()
  await until('all arrived', () => node.messages.length === 10)
})
