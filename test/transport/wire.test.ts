import t from 'tap'
import { SeededRandom } from '../../src/lib/random.ts'
import { limits } from '../../src/limits.ts'
import { PROTOCOL_VERSION } from '../../src/transport/frame-header.ts'
import { FrameSplitter } from '../../src/transport/frame-splitter.ts'
import { FrameWriter } from '../../src/transport/frame-writer.ts'
import type { ForwardedSpan } from '../../src/ports/transport.ts'
import { encodeFrame, type Frame } from '../../src/transport/wire.ts'
import { BEFORE_FIRST, logIndex, nodeId, term, VOTE_ZERO } from '../../src/raft/index.ts'
import type { NodeId, StoredMembership } from '../../src/raft/index.ts'
import {
  appendOf,
  bodyOf,
  logIdOf,
  membershipOf,
  RecordingNode,
  snapshotHeader,
  voteOf,
} from '../contract/transport-fixture.ts'

const one = nodeId(1)
const two = nodeId(2)
const largest = Number.MAX_SAFE_INTEGER
const envelope = { from: one, to: nodeId(0x7fffffff) }
const farVote = { leaderId: { term: term(limits.termMax), nodeId: nodeId(0x7fffffff) }, committed: true }
const farLogId = { leaderId: farVote.leaderId, index: logIndex(limits.logIndexMax) }
const joint: StoredMembership = {
  logId: logIdOf(7),
  membership: {
    ...membershipOf(1, 2, 3, 4).membership,
    nodes: new Map(
      [...membershipOf(1, 2, 3, 4).membership.nodes].map(([id, addresses]) =>
        id === two ? [id, { ...addresses, incarnation: 'of-two' }] : [id, addresses],
      ),
    ),
    configs: [
      [one, two],
      [two, nodeId(3)],
    ],
    removing: [one],
  },
}

const report = {
  ...new RecordingNode(two).report(),
  initialized: true,
  vote: voteOf(3, 2, true),
  last: logIdOf(10),
  leader: two,
  effective: joint,
  candidacy: { token: '0a1b2c3d', proposal: null, round: 0, pledge: null },
}

/** At least one of every shape that a frame can have. */
const spanOf = (at: number): ForwardedSpan => ({ at, traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), flags: 1 })

const samples: readonly Frame[] = [
  { type: 'pre-vote-request', ...envelope, vote: voteOf(1, 2), last: null },
  { type: 'pre-vote-response', ...envelope, asked: voteOf(2, 1), granted: true, vote: VOTE_ZERO },
  { type: 'vote-request', ...envelope, vote: farVote, last: farLogId, transfer: true },
  { type: 'vote-request', ...envelope, vote: voteOf(1, 2), last: logIdOf(0, 0, 0), transfer: false },
  { type: 'vote-response', ...envelope, asked: farVote, granted: false, vote: farVote },
  appendOf(one, two, 0),
  appendOf(one, two, 0, 0),
  appendOf(one, two, 41, 5, 0, 70_000, 3),
  {
    ...appendOf(one, two, 3),
    batches: [
      {
        leaderId: voteOf(1, 1).leaderId,
        first: logIndex(3),
        last: logIndex(4),
        body: bodyOf(9, 3000),
        membershipCount: 2,
      },
      { leaderId: voteOf(2, 2).leaderId, first: logIndex(5), last: logIndex(5), body: bodyOf(1), membershipCount: 0 },
    ],
    committed: BEFORE_FIRST,
    sentAt: 0.1 + 0.2,
    freshAt: { life: 0xffff_ffff, at: 0.1 + 0.7 },
  },
  ...(
    [
      { kind: 'matched', matched: BEFORE_FIRST },
      { kind: 'matched', matched: logIndex(limits.logIndexMax) },
      { kind: 'conflict', prev: logIndex(9), hint: null },
      { kind: 'conflict', prev: logIndex(9), hint: farLogId },
      { kind: 'outvoted' },
    ] as const
  ).map((outcome) => {
    return {
      type: 'append-response',
      ...envelope,
      vote: voteOf(3, 1),
      asked: voteOf(2, 1),
      session: largest,
      sentAt: -1.5,
      answeredAt: { life: 0, at: 1e9 + 0.1 },
      outcome,
    } as const
  }),
  { type: 'transfer-request', ...envelope, vote: voteOf(1, 2, true), last: logIdOf(12) },
  { type: 'forward-request', ...envelope, vote: voteOf(9, 1, true), batchId: 12, count: 2, body: bodyOf(100, 0) },
  {
    type: 'forward-request',
    ...envelope,
    vote: voteOf(9, 1, true),
    batchId: 13,
    count: 3,
    body: bodyOf(100, 0, 7),
    spans: [
      { at: 0, traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', flags: 1 },
      { at: 2, traceId: `${'0'.repeat(31)}1`, spanId: 'f'.repeat(16), flags: 0 },
    ],
  },
  { type: 'forward-refusal', ...envelope, batchId: 0, reason: 'not-leader' },
  { type: 'forward-refusal', ...envelope, batchId: 1, reason: 'transferring' },
  { type: 'forward-refusal', ...envelope, batchId: 2, reason: 'overloaded' },
  { type: 'read-index-request', ...envelope, readId: largest },
  { type: 'read-index-response', ...envelope, readId: 0, ready: false, index: BEFORE_FIRST },
  { type: 'read-index-response', ...envelope, readId: 0, ready: true, index: logIndex(4_294_967_296) },
  { type: 'control-request', ...envelope, requestId: 1, name: 'add-learner', body: '{"name":"Zürich 🜁"}' },
  { type: 'control-response', ...envelope, requestId: 1, body: '' },
  { type: 'hello', hello: new RecordingNode(one).hello('messages', two) },
  { type: 'hello', hello: { ...new RecordingNode(one).hello('snapshot', two), clusterId: null } },
  {
    type: 'hello',
    hello: { ...new RecordingNode(one).hello('probe', 0), from: 0, protocol: 77, addresses: { raft: '', api: '' } },
  },
  { type: 'hello-answer', answer: { kind: 'welcome', report } },
  {
    type: 'hello-answer',
    answer: {
      kind: 'welcome',
      report: {
        ...report,
        candidacy: {
          token: '',
          proposal: 'cluster-a',
          round: 3,
          pledge: { clusterId: 'cluster-a', members: [{ id: 1, raft: 'a:1', api: 'http://a:2' }] },
        },
      },
    },
  },
  { type: 'hello-answer', answer: { kind: 'welcome', report: new RecordingNode(one).report() } },
  ...(
    [
      'wrong-node',
      'wrong-cluster',
      'wrong-incarnation',
      'wrong-protocol',
      'self',
      'removed',
      'shutting-down',
      'bad-hello',
      'same-id',
    ] as const
  ).map((code, position) => {
    const answer = {
      kind: 'refused',
      refusal: { code, detail: `why ${code}` },
      report: position % 2 === 0 ? report : null,
    } as const
    return { type: 'hello-answer', answer } as const
  }),
  { type: 'ping', number: 1 },
  { type: 'pong', number: largest },
  { type: 'snapshot-header', header: snapshotHeader },
  { type: 'snapshot-header', header: { ...snapshotHeader, membership: joint, bytesEstimate: largest } },
  { type: 'snapshot-chunk', sequence: 3, body: Buffer.alloc(10_000, 3) },
  { type: 'snapshot-chunk', sequence: 0, body: Buffer.alloc(0) },
  { type: 'snapshot-end', chunks: 5, bytes: largest, checksum: 0xffffffff },
  { type: 'snapshot-alive' },
  { type: 'snapshot-answer', answer: { installed: true, detail: 'done' } },
]

function encode(...frames: Frame[]): Buffer {
  const writer = new FrameWriter()
  for (const frame of frames) encodeFrame(frame, writer)
  return Buffer.concat(writer.take())
}

function decode(bytes: Buffer, chunkBytes = bytes.length): Frame[] {
  const splitter = new FrameSplitter(limits.frameBytesMax)
  const frames: Frame[] = []
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    splitter.push(bytes.subarray(at, at + chunkBytes))
    for (let frame = splitter.next(); frame !== null; frame = splitter.next()) frames.push(frame)
  }
  return frames
}

/** A frame of `type` around `payload`, with the right length and checksum. */
function frameOf(type: number, payload: Uint8Array): Buffer {
  const writer = new FrameWriter()
  writer.begin(type)
  writer.raw(payload)
  writer.end()
  return Buffer.concat(writer.take())
}

function payloadOf(frame: Buffer): Buffer {
  return Buffer.from(frame.subarray(12))
}

function typeOf(frame: Buffer): number {
  return frame.readUInt8(4)
}

/** Decodes one frame; 'refused' when it threw what it may throw. */
function attempt(bytes: Buffer): Frame | 'refused' | 'incomplete' {
  try {
    return decode(bytes)[0] ?? 'incomplete'
  } catch (error) {
    if (error instanceof Error && error.name === 'DecodeError') return 'refused'
    throw error
  }
}

t.test('every frame comes back as it was', async (t) => {
  for (const sample of samples) t.strictSame(plain(decode(encode(sample))), plain([sample]), sample.type)
  t.strictSame(new Set(samples.map(({ type }) => type)).size, 22, 'no type is left out')
})

t.test('a leader priority on the wire is one that can be configured', async (t) => {
  const withPriority = (leaderPriority: number): Frame => ({
    type: 'hello-answer',
    answer: { kind: 'welcome', report: { ...report, leaderPriority } },
  })
  const highest = withPriority(limits.leaderPriorityMax)
  t.strictSame(plain(decode(encode(highest))), plain([highest]))
  t.equal(attempt(encode(withPriority(limits.leaderPriorityMax + 1))), 'refused')
})

t.test('a build before the first feature level does not say which it knows', async (t) => {
  const answer: Frame = { type: 'hello-answer', answer: { kind: 'welcome', report: { ...report, level: 7 } } }
  const bytes = encode(answer)
  const older = attempt(frameOf(typeOf(bytes), payloadOf(bytes).subarray(0, -1 - tokenBytes(report.token))))
  t.match(older, { answer: { report: { level: 0, leaderPriority: report.leaderPriority } } })
})

/** How many bytes a token takes at the end of a hello or an answer. */
function tokenBytes(token: string | null): number {
  return encode(helloWith(token)).length - encode(helloWith(null)).length + 1
}

function helloWith(token: string | null): Frame {
  return { type: 'hello', hello: { ...new RecordingNode(one).hello('probe', 0), token } }
}

/** How many bytes from the end of a sample the frame of an older build ends. */
function olderEnds(sample: Frame): number[] {
  const report = sample.type === 'hello-answer' ? sample.answer.report : null
  if (report !== null) return [tokenBytes(report.token), tokenBytes(report.token) + 1]
  return sample.type === 'hello' ? [tokenBytes(sample.hello.token)] : []
}

t.test('a build that does not say which token it has ends where the others say it', async (t) => {
  for (const sample of [helloWith('blue'), { type: 'hello-answer', answer: { kind: 'welcome', report } } as const]) {
    const bytes = encode(sample)
    const older = attempt(frameOf(typeOf(bytes), payloadOf(bytes).subarray(0, -tokenBytes('blue'))))
    t.match(
      older,
      sample.type === 'hello' ? { hello: { token: null } } : { answer: { report: { token: null, level: 3 } } },
    )
  }
})

t.test('frames come back whole however the stream is cut', async (t) => {
  const bytes = encode(...samples)
  for (const chunkBytes of [1, 2, 3, 7, 11, 12, 13, 64, 1000, 65_536]) {
    t.strictSame(plain(decode(bytes, chunkBytes)), plain(samples), `in pieces of ${chunkBytes}`)
  }
})

/** Each frame as text, its maps and bodies included. */
function plain(frames: readonly Frame[]): readonly string[] {
  return frames.map((frame) =>
    JSON.stringify(frame, (_key, value: unknown) => (value instanceof Map ? [...value] : value)),
  )
}

t.test('bodies are not copied: large ones on the way out, all on the way in', async (t) => {
  const message = appendOf(one, two, 41, 100_000)
  const body = message.batches[0]?.body
  const writer = new FrameWriter()
  encodeFrame(message, writer)
  encodeFrame({ type: 'ping', number: 1 }, writer)
  const whole = writer.bytes
  const chunks = writer.take()
  t.ok(
    chunks.some((chunk) => chunk === body),
    'the very buffer is written',
  )
  t.equal(chunks.length, 3)
  const received = Buffer.concat(chunks)
  t.equal(received.length, whole)
  t.equal(writer.bytes, 0)
  const [decoded] = decode(received)
  if (decoded?.type !== 'append-request') throw new Error('an append request comes back')
  t.equal(decoded.batches[0]?.body.buffer, received.buffer, 'the body is a slice of what was received')
})

t.test('a receiver derives the memberships itself', async (t) => {
  const message = { ...appendOf(one, two, 0, 5), memberships: [membershipOf(1, 2)] }
  t.match(decode(encode(message)), [{ type: 'append-request', memberships: [] }])
})

t.test('a frame whose length was flipped, whose type or any bit was changed, is never delivered', async (t) => {
  for (const sample of samples) {
    const bytes = encode(sample)
    for (let bit = 0; bit < Math.min(bytes.length, 400) * 8; bit++) {
      const flipped = Buffer.from(bytes)
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      const outcome = attempt(flipped)
      if (outcome !== 'refused' && outcome !== 'incomplete')
        t.fail(`${sample.type} with bit ${bit} flipped was accepted`)
    }
  }
})

t.test('a frame that is cut off is not delivered; a payload that is cut off is refused', async (t) => {
  for (const sample of samples) {
    const bytes = encode(sample)
    const payload = payloadOf(bytes)
    for (let length = 0; length < Math.min(payload.length, 300); length++) {
      if (attempt(bytes.subarray(0, 12 + length)) !== 'incomplete')
        t.fail(`${sample.type} was taken at ${length} bytes`)
      const outcome = attempt(frameOf(typeOf(bytes), payload.subarray(0, length)))
      // The contents of a chunk have no length of their own, and older builds have no level in their report, nor a token.
      const isOlder = olderEnds(sample).includes(payload.length - length)
      // Spans come last, and only where there are any.
      const isUntraced =
        sample.type === 'forward-request' && length === payload.length - 4 - 29 * (sample.spans?.length ?? 0)
      if (outcome !== 'refused' && sample.type !== 'snapshot-chunk' && !isOlder && !isUntraced)
        t.fail(`${sample.type} was decoded from ${length} bytes`)
    }
  }
})

t.test('more than there should be is refused, save after a hello, where later protocols put theirs', async (t) => {
  for (const sample of samples) {
    const bytes = encode(sample)
    const outcome = attempt(frameOf(typeOf(bytes), Buffer.concat([payloadOf(bytes), Buffer.alloc(3)])))
    const tolerant = sample.type === 'hello' || sample.type === 'hello-answer' || sample.type === 'snapshot-chunk'
    t.equal(outcome === 'refused', !tolerant, sample.type)
  }
})

t.test('payloads changed at random are refused, or are a frame that a node could have sent', async (t) => {
  const random = new SeededRandom(20_251)
  let accepted = 0
  let refused = 0
  for (let round = 0; round < 12_000; round++) {
    const sample = samples[random.integer(0, samples.length)]
    if (sample === undefined) continue
    const bytes = encode(sample)
    const payload = payloadOf(bytes).subarray(0, 4000)
    for (let changes = random.integer(1, 5); changes > 0 && payload.length > 0; changes--) {
      const extreme = [0, 1, 2, 0x7f, 0x80, 0xff][random.integer(0, 6)] ?? 0
      payload.writeUInt8(random.fraction() < 0.5 ? extreme : random.integer(0, 256), random.integer(0, payload.length))
    }
    const outcome = attempt(frameOf(typeOf(bytes), payload))
    if (outcome === 'refused') refused += 1
    else if (outcome === 'incomplete') t.fail('a whole frame is decoded or refused')
    else {
      accepted += 1
      const [again] = plain(decode(encode(outcome)))
      if (again !== plain([outcome])[0]) t.fail(`${outcome.type} does not come back as it was decoded: ${again}`)
    }
  }
  t.ok(accepted > 100 && refused > 100, `${accepted} accepted, ${refused} refused`)
})

t.test('random bytes, also behind a good header, raise nothing but DecodeError', async (t) => {
  const random = new SeededRandom(7)
  const noise = (length: number): Buffer => Buffer.from(Array.from({ length }, () => random.integer(0, 256)))
  let refused = 0
  for (let round = 0; round < 6_000; round++) {
    if (attempt(noise(random.integer(0, 200))) === 'refused') refused += 1
    if (attempt(frameOf(random.integer(0, 60), noise(random.integer(0, 120)))) === 'refused') refused += 1
  }
  t.ok(refused > 6_000, `${refused} refused`)
})

t.test('headers', async (t) => {
  const ping = encode({ type: 'ping', number: 5 })
  const changed = (at: number, value: number): Buffer => {
    const bytes = Buffer.from(ping)
    bytes.writeUInt8(value, at)
    return bytes
  }
  t.throws(() => decode(changed(4, 200)), { name: 'DecodeError', message: /type 200/ })
  t.throws(() => decode(changed(5, 9)), { name: 'DecodeError', message: /not a frame/ })
  t.throws(() => decode(changed(6, 1)), { name: 'DecodeError', message: /not a frame/ })
  t.throws(() => decode(changed(8, ping.readUInt8(8) ^ 1)), { name: 'DecodeError', message: /checksum/ })
  const splitter = new FrameSplitter(100)
  const large = encode({ type: 'snapshot-chunk', sequence: 0, body: Buffer.alloc(93) })
  splitter.push(large.subarray(0, 12))
  t.throws(() => splitter.next(), { name: 'DecodeError', message: /101 bytes exceeds 100/ }, 'before the payload came')
  t.equal(PROTOCOL_VERSION, 3)
})

t.test('what no node would send is refused', async (t) => {
  const append = appendOf(one, two, 41, 5, 6)
  const [batch] = append.batches
  if (batch === undefined) throw new Error('the sample has a batch')
  const { membership } = joint
  const withMembership = (change: Partial<StoredMembership['membership']>): Frame => {
    return {
      type: 'snapshot-header',
      header: { ...snapshotHeader, membership: { logId: null, membership: { ...membership, ...change } } },
    }
  }
  const broken = bodyOf(5, 6)
  broken.writeUInt32LE(4, 0)
  const cases: readonly (readonly [string, Frame])[] = [
    ['node id 0', { ...append, from: 0 as NodeId }],
    ['node id 2^31', { ...append, to: 0x80000000 as NodeId }],
    ['time that is no number', { ...append, sentAt: Number.NaN }],
    ['time without end', { ...append, sentAt: Number.POSITIVE_INFINITY }],
    ['a moment without end', { ...append, freshAt: { life: 1, at: Number.POSITIVE_INFINITY } }],
    ['a gap after prev', { ...append, prev: logIdOf(39) }],
    ['an overlap with prev', { ...append, prev: logIdOf(41) }],
    ['entries that do not begin at 0', { ...append, prev: null }],
    ['a gap between batches', { ...append, batches: [batch, { ...batch, first: logIndex(44), last: logIndex(45) }] }],
    ['the last before the first', { ...append, batches: [{ ...batch, last: logIndex(40) }] }],
    ['more entries than the body has', { ...append, batches: [{ ...batch, last: logIndex(43) }] }],
    ['fewer entries than the body has', { ...append, batches: [{ ...batch, last: logIndex(41) }] }],
    ['an empty body', { ...append, batches: [{ ...batch, body: Buffer.alloc(0) }] }],
    ['entries whose lengths do not add up', { ...append, batches: [{ ...batch, body: broken }] }],
    ['more memberships than entries', { ...append, batches: [{ ...batch, membershipCount: 3 }] }],
    [
      'an index beyond what can follow',
      {
        ...append,
        prev: logIdOf(limits.logIndexMax),
        batches: [{ ...batch, first: logIndex(limits.logIndexMax + 1), last: logIndex(limits.logIndexMax + 1) }],
      },
    ],
    [
      'no commands forwarded',
      { type: 'forward-request', ...envelope, vote: farVote, batchId: 1, count: 0, body: Buffer.alloc(0) },
    ],
    [
      'more commands than the body has',
      { type: 'forward-request', ...envelope, vote: farVote, batchId: 1, count: 3, body: bodyOf(9, 9) },
    ],
    [
      'billions of commands',
      { type: 'forward-request', ...envelope, vote: farVote, batchId: 1, count: 0xffffffff, body: bodyOf(9) },
    ],
    [
      'a span of a command that is not there',
      {
        type: 'forward-request',
        ...envelope,
        vote: farVote,
        batchId: 1,
        count: 2,
        body: bodyOf(9, 9),
        spans: [spanOf(2)],
      },
    ],
    [
      'more spans than commands',
      {
        type: 'forward-request',
        ...envelope,
        vote: farVote,
        batchId: 1,
        count: 1,
        body: bodyOf(9),
        spans: [spanOf(0), spanOf(0)],
      },
    ],
    [
      'a term beyond the ceiling',
      { type: 'vote-response', ...envelope, asked: voteOf(1, 1), granted: false, vote: voteOf(limits.termMax + 1, 2) },
    ],
    [
      'a term of the largest integer',
      { type: 'vote-response', ...envelope, asked: voteOf(1, 1), granted: false, vote: voteOf(largest, 2) },
    ],
    ['a commit beyond the ceiling', { ...append, committed: logIndex(limits.logIndexMax + 1) }],
    ['an index beyond the ceiling', { ...append, batches: [], prev: logIdOf(limits.logIndexMax + 1) }],
    ['a ballot of nobody', { ...append, vote: { leaderId: { term: term(4), nodeId: 0 }, committed: true } }],
    [
      'a conflict about no entry',
      {
        type: 'append-response',
        ...envelope,
        vote: voteOf(1, 1, true),
        asked: voteOf(1, 1, true),
        session: 1,
        sentAt: 1,
        answeredAt: { life: 1, at: 1 },
        outcome: { kind: 'conflict', prev: logIndex(-1), hint: null },
      },
    ],
    [
      'an incarnation that is too long to be kept',
      { type: 'hello', hello: { ...new RecordingNode(two).hello('messages', one), incarnation: 'x'.repeat(513) } },
    ],
    ['three configurations', withMembership({ configs: [[one], [one], [one]] })],
    ['a configuration without voters', withMembership({ configs: [[]] })],
    ['voters that are not ascending', withMembership({ configs: [[two, one]] })],
    ['a voter twice', withMembership({ configs: [[one, one]] })],
    ['a voter that is no member', withMembership({ configs: [[one, nodeId(9)]] })],
  ]
  for (const [name, frame] of cases) t.throws(() => decode(encode(frame)), { name: 'DecodeError' }, name)

  const patch = (frame: Frame, at: number, bytes: readonly number[]): Buffer => {
    const payload = payloadOf(encode(frame))
    payload.set(bytes, at)
    return frameOf(typeOf(encode(frame)), payload)
  }
  const vote: Frame = { type: 'pre-vote-request', ...envelope, vote: voteOf(1, 2), last: null }
  t.throws(
    () => decode(patch(vote, 8, [0, 0, 0, 0, 0, 0, 0x20, 0])),
    { name: 'DecodeError', message: /not safe/ },
    'term 2^53',
  )
  t.throws(() => decode(patch(vote, 20, [2])), { name: 'DecodeError', message: /flag/ })
  t.throws(() => decode(patch({ type: 'forward-refusal', ...envelope, batchId: 1, reason: 'overloaded' }, 16, [3])), {
    name: 'DecodeError',
    message: /choice 3/,
  })
  t.throws(() => decode(patch({ type: 'control-response', ...envelope, requestId: 1, body: 'abc' }, 20, [0xff])), {
    name: 'DecodeError',
    message: /UTF-8/,
  })
  t.throws(
    () =>
      decode(patch({ type: 'control-response', ...envelope, requestId: 1, body: 'abc' }, 16, [0xff, 0xff, 0xff, 0xff])),
    { name: 'DecodeError', message: /short/ },
  )
  const twins = payloadOf(encode(withMembership({ configs: [], removing: [] })))
  const second = twins.indexOf(Buffer.from([2, 0, 0, 0, 11, 0, 0, 0]))
  t.ok(second > 0)
  twins.writeUInt32LE(1, second)
  t.throws(() => decode(frameOf(48, twins)), { name: 'DecodeError', message: /twice/ })
})

t.test('a writer refuses what a peer would refuse: a broken belief of this node', async (t) => {
  const invariant = { name: 'InvariantError' }
  t.throws(() => encode({ type: 'ping', number: -1 }), invariant)
  t.throws(() => encode({ type: 'ping', number: 2 ** 53 }), invariant)
  t.throws(() => encode({ type: 'ping', number: 0.5 }), invariant)
  t.throws(() => encode({ ...appendOf(one, two, 0), from: (2 ** 32) as NodeId }), invariant)
  t.throws(() => encode({ type: 'snapshot-chunk', sequence: 0, body: Buffer.alloc(limits.frameBytesMax) }), invariant)
})
