import { encodeCommand, type Key } from '../../../src/kv/index.ts'
import type { SeededRandom } from '../../../src/lib/random.ts'
import { commandEntryBytes, commandEntryInto, entryCodec } from '../../../src/node/codec/entry.ts'
import { encodeMembership } from '../../../src/node/codec/membership-codec.ts'
import type { Hello, NodeReport, PeerMessage, SnapshotHeader, TransportHandlers } from '../../../src/ports/transport.ts'
import {
  logIndex,
  nodeId,
  NO_MEMBERSHIP,
  term,
  VOTE_ZERO,
  type AppendOutcome,
  type LeaderId,
  type LogBatch,
  type LogId,
  type NodeId,
  type RaftView,
  type Vote,
} from '../../../src/raft/index.ts'
import { PROTOCOL_VERSION } from '../../../src/transport/frame-header.ts'
import { addressesOf } from './machine.ts'

/** Whom somebody claims to be. */
export interface Claim {
  readonly id: NodeId
  readonly clusterId: string | null
  readonly incarnation: string
}

/** Passes every handshake, as whoever it claims to be. */
export class Impostor implements TransportHandlers {
  readonly connected = new Set<NodeId>()
  private readonly claim: Claim

  constructor(claim: Claim) {
    this.claim = claim
  }

  onMessage(): null {
    return null
  }

  isMember(): boolean {
    return true
  }

  onConnected(peer: NodeId): void {
    this.connected.add(peer)
  }

  onDisconnected(peer: NodeId): void {
    this.connected.delete(peer)
  }

  onUnreachable(): void {}
  onRefused(): void {}
  onUnanswered(): void {}
  onSnapshot(): void {}

  admit(): null {
    return null
  }

  admitReport(): null {
    return null
  }

  hello(purpose: Hello['purpose'], to: NodeId | 0): Hello {
    const { id, clusterId, incarnation } = this.claim
    return {
      protocol: PROTOCOL_VERSION,
      purpose,
      from: id,
      to,
      clusterId,
      incarnation,
      addresses: addressesOf(id),
      token: null,
    }
  }

  report(): NodeReport {
    const { id, clusterId, incarnation } = this.claim
    return {
      id,
      incarnation,
      clusterId,
      initialized: clusterId !== null,
      vote: VOTE_ZERO,
      last: null,
      leader: null,
      effective: NO_MEMBERSHIP,
      addresses: addressesOf(id),
      version: 'hostile',
      candidacy: null,
      leaderPriority: 0,
      level: 0,
      token: null,
    }
  }
}

const NAMES = [
  'change-voters',
  'add-learner',
  'remove-learner',
  'set-addresses',
  'learners',
  'transfer',
  'join',
  'toString',
]

/** Draws messages of every type that decode well, about what the target knows, and about what nobody knows. */
export class Lies {
  private readonly random: SeededRandom
  private readonly from: NodeId
  private readonly to: NodeId
  private readonly look: () => RaftView

  constructor(random: SeededRandom, from: NodeId, to: NodeId, look: () => RaftView) {
    this.random = random
    this.from = from
    this.to = to
    this.look = look
  }

  message(): PeerMessage {
    const { from, to } = this
    const envelope = { from, to }
    switch (this.random.integer(0, 14)) {
      case 0:
        return { ...envelope, type: 'pre-vote-request', vote: this.vote(), last: this.logIdOrNull() }
      case 1:
        return {
          ...envelope,
          type: 'vote-request',
          vote: this.vote(),
          last: this.logIdOrNull(),
          transfer: this.chance(0.5),
        }
      case 2:
        return {
          ...envelope,
          type: 'pre-vote-response',
          asked: this.asked(),
          granted: this.chance(0.5),
          vote: this.vote(),
        }
      case 3:
        return { ...envelope, type: 'vote-response', asked: this.asked(), granted: this.chance(0.5), vote: this.vote() }
      case 4:
        return { ...envelope, type: 'transfer-request', vote: this.vote(), last: this.logIdOrNull() }
      case 5:
      case 6:
        return this.answer()
      case 7:
        return { ...envelope, type: 'forward-request', vote: this.asked(), batchId: this.number(), ...this.forwarded() }
      case 8:
        return { ...envelope, type: 'forward-refusal', batchId: this.number(), reason: 'not-leader' }
      case 9:
        return { ...envelope, type: 'read-index-request', readId: this.number() }
      case 10:
        return {
          ...envelope,
          type: 'read-index-response',
          readId: this.number(),
          ready: true,
          index: logIndex(this.index()),
        }
      case 11:
        return {
          ...envelope,
          type: 'control-request',
          requestId: this.number(),
          name: this.pick(NAMES),
          body: this.json(),
        }
      case 12:
        return { ...envelope, type: 'control-response', requestId: this.number(), body: this.json() }
      default:
        return this.append()
    }
  }

  header(): SnapshotHeader {
    const { effective } = this.look()
    return {
      vote: { ...this.vote(), committed: this.chance(0.9) },
      session: this.random.integer(0, 4),
      logId: this.logId(),
      membership: this.chance(0.8) ? effective : NO_MEMBERSHIP,
      formatVersion: 1,
      bytesEstimate: this.number(),
    }
  }

  /** Chunks of a state that no machine has written. */
  chunk(): Uint8Array {
    const noise = (length: number): number[] => Array.from({ length }, () => this.random.integer(0, 256))
    const row = this.pick([
      [0, 0, 0, 0, 1, 0, 0, 0, 7],
      [1, 0, 0, 0, 0, 0, 0, 0, 0],
      [2, 0, 0, 0, 1, 0, 0, 0, 1, 65, 7],
      noise(12),
    ])
    return Uint8Array.from(this.pick([[0, ...noise(30)], [1, ...row], [2, ...noise(20)], noise(9), []]))
  }

  private append(): PeerMessage {
    const vote = { ...this.vote(), committed: this.chance(0.95) }
    const prev = this.logIdOrNull()
    const batches: LogBatch[] = []
    let next = prev === null ? 0 : prev.index + 1
    for (let count = this.random.integer(0, 3); count > 0; count--) {
      const { body, count: entries, memberships } = this.entries()
      const leaderId = this.chance(0.8) ? vote.leaderId : this.ballot()
      const last = next + entries - 1
      batches.push({ leaderId, first: logIndex(next), last: logIndex(last), body, membershipCount: memberships })
      next = last + 1
    }
    const { from, to } = this
    const session = this.random.integer(0, 4)
    const committed = logIndex(this.index())
    return {
      type: 'append-request',
      from,
      to,
      vote,
      session,
      prev,
      batches,
      memberships: [],
      committed,
      sentAt: this.number(),
      freshAt: this.pick([null, { life: 1, at: this.number() }]),
    }
  }

  private answer(): PeerMessage {
    const { from, to } = this
    const prev = logIndex(Math.max(0, this.index()))
    const outcome: AppendOutcome = this.chance(0.6)
      ? { kind: 'matched', matched: logIndex(this.index()) }
      : { kind: 'conflict', prev, hint: this.logIdOrNull() }
    const asked = this.asked()
    const vote = this.chance(0.8) ? asked : this.vote()
    const session = this.random.integer(0, 6)
    return {
      type: 'append-response',
      from,
      to,
      vote,
      asked,
      session,
      sentAt: this.pick([-1, 0, this.number()]),
      answeredAt: { life: 1, at: this.number() },
      outcome,
    }
  }

  /** One body of sound, odd and broken entries. */
  private entries(): { body: Uint8Array; count: number; memberships: number } {
    const { membership } = this.look().effective
    const entries: Uint8Array[] = []
    for (let i = this.random.integer(1, 4); i > 0; i--) entries.push(this.entry())
    const odd = { ...membership, configs: this.pick([[], [[]], [[nodeId(9)]], membership.configs]) }
    const isMembership = this.chance(0.3)
    if (isMembership) entries.push(framed(Buffer.concat([Buffer.from([1]), encodeMembership(odd)])))
    const said = this.chance(0.8) === isMembership ? 1 : 0
    return { body: Buffer.concat(entries), count: entries.length, memberships: said }
  }

  private entry(): Uint8Array {
    const noise = Buffer.from(Array.from({ length: this.random.integer(0, 30) }, () => this.random.integer(0, 256)))
    switch (this.random.integer(0, 6)) {
      case 0:
        return framed(noise)
      case 1:
        return framed(Buffer.concat([Buffer.from([2]), Buffer.alloc(14), noise]))
      case 2:
        return entryCodec.blank()
      default:
        return this.command()
    }
  }

  private command(): Uint8Array {
    const key = `hostile-${this.random.integer(0, 9)}` as Key
    const value = Buffer.from('x')
    const command = encodeCommand({ type: 'put', key, value, condition: null, wantsPrevious: false, idempotency: null })
    const body = Buffer.alloc(commandEntryBytes(command.length))
    commandEntryInto(
      body,
      0,
      { node: this.chance(0.8) ? this.from : this.to, nonce: 5 },
      this.random.integer(0, 9),
      command,
    )
    return body
  }

  private forwarded(): { count: number; body: Uint8Array } {
    const entries = Array.from({ length: this.random.integer(1, 4) }, () =>
      this.chance(0.7) ? this.command() : this.entry(),
    )
    return { count: entries.length, body: Buffer.concat(entries) }
  }

  private json(): string {
    const value = this.pick<unknown>([
      null,
      7,
      -1,
      'x',
      [],
      {},
      { voters: [] },
      { voters: ['1', null], retain: false, allowLagging: true, force: true, ifMembershipAt: null },
      { voters: { add: [0.5], remove: [-3] }, retain: 1 },
      { member: { id: 2 ** 40, raft: '', api: 3 }, wait: 'no' },
      { member: null },
      { raft: 5 },
    ])
    return this.pick([
      'no json',
      JSON.stringify(value),
      JSON.stringify({ value, timeoutMs: this.pick<unknown>([5, -5, 'x', 1e300, null]) }),
      JSON.stringify({ error: value }),
      JSON.stringify({ value, timeoutMs: 50 }),
    ])
  }

  private vote(): Vote {
    return {
      leaderId: this.chance(0.9) ? { term: this.term(), nodeId: this.from } : this.ballot(),
      committed: this.chance(0.3),
    }
  }

  /** A ballot of the target, as its answers echo it. */
  private asked(): Vote {
    const { vote } = this.look()
    if (this.chance(0.6)) return vote
    return { leaderId: { term: this.term(), nodeId: this.to }, committed: this.chance(0.5) }
  }

  private ballot(): LeaderId {
    return { term: this.term(), nodeId: this.pick([this.from, this.to, nodeId(2), nodeId(77)]) }
  }

  private term(): LeaderId['term'] {
    const own = this.look().vote.leaderId.term
    const near = Math.max(1, own + this.random.integer(-2, 2))
    return term(this.chance(0.9) ? near : this.pick([1, 2 ** 31, 2 ** 33, 2 ** 47, 2 ** 48]))
  }

  private logIdOrNull(): LogId | null {
    return this.chance(0.1) ? null : this.logId()
  }

  private logId(): LogId {
    const { last } = this.look()
    if (last !== null && this.chance(0.5)) return last
    return { leaderId: this.ballot(), index: logIndex(Math.max(0, this.index())) }
  }

  private index(): number {
    const { last, committed } = this.look()
    const near = this.pick([committed, last?.index ?? 0]) + this.random.integer(-3, 4)
    return Math.max(-1, this.chance(0.9) ? near : this.pick([0, 2 ** 31, 2 ** 48 - 4]))
  }

  private number(): number {
    return this.pick([0, 1, this.random.integer(0, 1_000_000), 2 ** 53 - 1])
  }

  private pick<T>(choices: readonly T[]): T {
    const choice = choices[this.random.integer(0, choices.length)]
    if (choice === undefined) throw new Error('there is something to choose from')
    return choice
  }

  private chance(probability: number): boolean {
    return this.random.fraction() < probability
  }
}

function framed(entry: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(entry.length)
  return Buffer.concat([length, entry])
}
