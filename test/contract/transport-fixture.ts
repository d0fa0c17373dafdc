import type { Clock } from '../../src/ports/clock.ts'
import type {
  Hello,
  NodeReport,
  PeerMessage,
  Refusal,
  SnapshotHeader,
  SnapshotSource,
  TransportHandlers,
} from '../../src/ports/transport.ts'
import { logIndex, nodeId, NO_MEMBERSHIP, term, VOTE_ZERO } from '../../src/raft/index.ts'
import type { AppendRequest, LogId, NodeId, StoredMembership, Vote } from '../../src/raft/index.ts'
import { PROTOCOL_VERSION } from '../../src/transport/frame-header.ts'

/** The clock of this machine. */
export const machineClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    return () => clearTimeout(timer)
  },
  nextTurn(callback) {
    setImmediate(callback)
  },
}

export function logIdOf(index: number, leaderTerm = 1, leader = 1): LogId {
  return { leaderId: { term: term(leaderTerm), nodeId: nodeId(leader) }, index: logIndex(index) }
}

export function voteOf(leaderTerm: number, leader: number, committed = false): Vote {
  return { leaderId: { term: term(leaderTerm), nodeId: nodeId(leader) }, committed }
}

export function membershipOf(...ids: number[]): StoredMembership {
  const nodes = new Map(ids.map((id) => [nodeId(id), { raft: `node-${id}:7000`, api: `http://node-${id}:8000` }]))
  return { logId: logIdOf(0), membership: { configs: [ids.map(nodeId)], nodes, removing: [] } }
}

/** A batch body of entries of the given sizes; each byte tells the entry it belongs to. */
export function bodyOf(...sizes: number[]): Buffer {
  return Buffer.concat(
    sizes.map((size, position) => {
      const entry = Buffer.alloc(4 + size, position + 1)
      entry.writeUInt32LE(size, 0)
      return entry
    }),
  )
}

export function appendOf(from: NodeId, to: NodeId, first: number, ...sizes: number[]): AppendRequest {
  const { leaderId } = voteOf(3, from)
  const last = logIndex(first + sizes.length - 1)
  const batch = { leaderId, first: logIndex(first), last, body: bodyOf(...sizes), membershipCount: 0 }
  return {
    type: 'append-request',
    from,
    to,
    vote: { leaderId, committed: true },
    session: 7,
    prev: first === 0 ? null : { leaderId, index: logIndex(first - 1) },
    batches: sizes.length === 0 ? [] : [batch],
    memberships: [],
    committed: logIndex(first - 1),
    sentAt: 1234.5678,
    freshAt: null,
  }
}

export function readIndexOf(from: NodeId, to: NodeId, readId: number): PeerMessage {
  return { type: 'read-index-request', from, to, readId }
}

export const snapshotHeader: SnapshotHeader = {
  vote: voteOf(4, 1, true),
  session: 11,
  logId: logIdOf(99, 4, 1),
  membership: membershipOf(1, 2, 3),
  formatVersion: 1,
  bytesEstimate: 50_000_000,
}

/** A node that says yes to everything, unless told otherwise, and remembers what it was told. */
export class RecordingNode implements TransportHandlers {
  readonly id: NodeId
  readonly messages: PeerMessage[] = []
  readonly connected: NodeId[] = []
  readonly disconnected: NodeId[] = []
  readonly unreachable: NodeId[] = []
  readonly refused: { readonly peer: NodeId; readonly refusal: Refusal; readonly by: 'peer' | 'us' }[] = []
  readonly unanswered: NodeId[] = []
  readonly hellos: Hello[] = []
  readonly reports: NodeReport[] = []
  readonly snapshots: SnapshotSource[] = []
  clusterId: string | null = 'cluster-a'
  protocol = PROTOCOL_VERSION
  /** The refusal of the next hellos and reports. */
  refusal: Refusal | null = null
  reportRefusal: Refusal | null = null
  takeMessage: (message: PeerMessage) => void = (message) => this.messages.push(message)
  /** The fault that is found in the next messages; null for none. */
  fault: string | null = null
  /** The nodes that count as members. Others are let in too. */
  members = new Set<NodeId>([1, 2, 3].map(nodeId))
  takeSnapshot: (source: SnapshotSource) => void = (source) => this.snapshots.push(source)

  constructor(id: NodeId) {
    this.id = id
  }

  onMessage(message: PeerMessage): string | null {
    if (this.fault === null) this.takeMessage(message)
    return this.fault
  }

  isMember(peer: NodeId): boolean {
    return this.members.has(peer)
  }

  onConnected(peer: NodeId): void {
    this.connected.push(peer)
  }

  onDisconnected(peer: NodeId): void {
    this.disconnected.push(peer)
  }

  onUnreachable(peer: NodeId): void {
    this.unreachable.push(peer)
  }

  onRefused(peer: NodeId, refusal: Refusal, by: 'peer' | 'us'): void {
    this.refused.push({ peer, refusal, by })
  }

  onUnanswered(peer: NodeId): void {
    this.unanswered.push(peer)
  }

  admit(hello: Hello): Refusal | null {
    this.hellos.push(hello)
    return this.refusal
  }

  admitReport(_peer: NodeId, report: NodeReport): Refusal | null {
    this.reports.push(report)
    return this.reportRefusal
  }

  hello(purpose: Hello['purpose'], to: NodeId | 0): Hello {
    const { protocol, id, clusterId } = this
    const addresses = { raft: `node-${id}:7000`, api: `http://node-${id}:8000` }
    return { protocol, purpose, from: id, to, clusterId, incarnation: `incarnation-${id}`, addresses, token: 'blue' }
  }

  report(): NodeReport {
    const { id, clusterId } = this
    return {
      id,
      incarnation: `incarnation-${id}`,
      clusterId,
      initialized: clusterId !== null,
      vote: VOTE_ZERO,
      last: null,
      leader: null,
      effective: NO_MEMBERSHIP,
      addresses: { raft: `node-${id}:7000`, api: `http://node-${id}:8000` },
      version: '0.0.0',
      candidacy: null,
      leaderPriority: 70,
      level: 3,
      token: 'blue',
    }
  }

  onSnapshot(source: SnapshotSource): void {
    this.takeSnapshot(source)
  }
}
