import type { Pledge } from './automation.ts'
import type { LogId, LogIndex, NodeAddresses, NodeId, RaftMessage, StoredMembership, Vote } from '../raft/index.ts'

/** Commands on their way to the leader. `body` is entries as lib/entries frames them, ready to be appended. */
export interface ForwardRequest {
  readonly type: 'forward-request'
  readonly from: NodeId
  readonly to: NodeId
  /** The ballot of the leader they are meant for; a node that does not lead under it refuses them all. */
  readonly vote: Vote
  /** Numbers the sender's batches, so that a refusal names one. */
  readonly batchId: number
  readonly count: number
  readonly body: Uint8Array
}

/** Nothing of batch `batchId` was appended, nor will be. (Success has no answer: the entries themselves arrive.) */
export interface ForwardRefusal {
  readonly type: 'forward-refusal'
  readonly from: NodeId
  readonly to: NodeId
  readonly batchId: number
  readonly reason: 'not-leader' | 'transferring' | 'overloaded'
}

/** A follower asks for an index that is safe to read at (thesis 6.4). One for many waiting reads. */
export interface ReadIndexRequest {
  readonly type: 'read-index-request'
  readonly from: NodeId
  readonly to: NodeId
  readonly readId: number
}

export interface ReadIndexResponse {
  readonly type: 'read-index-response'
  readonly from: NodeId
  readonly to: NodeId
  readonly readId: number
  /** `BEFORE_FIRST` with `ready` false: the node asked does not lead any more. */
  readonly ready: boolean
  readonly index: LogIndex
}

/** A rare request (membership, transfer, ...) carried to the leader as JSON. `name` and `body` are the node layer's matter. */
export interface ControlRequest {
  readonly type: 'control-request'
  readonly from: NodeId
  readonly to: NodeId
  readonly requestId: number
  readonly name: string
  readonly body: string
}

export interface ControlResponse {
  readonly type: 'control-response'
  readonly from: NodeId
  readonly to: NodeId
  readonly requestId: number
  readonly body: string
}

export type PeerMessage =
  | RaftMessage
  | ForwardRequest
  | ForwardRefusal
  | ReadIndexRequest
  | ReadIndexResponse
  | ControlRequest
  | ControlResponse

/** What two nodes tell each other before anything else. */
export interface Hello {
  readonly protocol: number
  /** `probe`: the dialler wants only the answer, as a stranger (no `to` is checked then). */
  readonly purpose: 'messages' | 'snapshot' | 'probe'
  /** 0 for a dialler that is not a node. */
  readonly from: NodeId | 0
  /** The node the dialler means to reach; 0 when it does not know. */
  readonly to: NodeId | 0
  readonly clusterId: string | null
  /** Random, drawn when the data directory was made: a wiped node has another. */
  readonly incarnation: string
  /** The dialler's own addresses, so that it can be dialled back; empty strings for a probe by a stranger. */
  readonly addresses: NodeAddresses
}

/** Facts about a node for whoever asks: formation, joining, status. */
export interface NodeReport {
  readonly id: NodeId
  readonly incarnation: string
  readonly clusterId: string | null
  readonly initialized: boolean
  readonly vote: Vote
  readonly last: LogId | null
  readonly leader: NodeId | null
  readonly effective: StoredMembership
  readonly addresses: NodeAddresses
  readonly version: string
  readonly candidacy: Candidacy | null
  /** 0 to `limits.leaderPriorityMax`; see `NodeOptions`. */
  readonly leaderPriority: number
}

/** What a node says that forms and joins clusters by itself; null in the report of one that leaves this to its operator. */
export interface Candidacy {
  /** Stands for the cluster token: equal tokens have equal digests. */
  readonly token: string
  /** The id of the cluster that it would form now, if all members of it agree; null when it would form none. */
  readonly proposal: string | null
  /** The round of its latest pledge, also when that was withdrawn; 0 before the first. */
  readonly round: number
  /** What it has promised to form, in that round; null: nothing, or not any more. */
  readonly pledge: Pledge | null
}

export type Refusal = {
  readonly code:
    | 'wrong-node'
    | 'wrong-cluster'
    | 'wrong-incarnation'
    | 'wrong-protocol'
    | 'self'
    | 'removed'
    | 'shutting-down'
    | 'bad-hello'
    | 'same-id'
    | 'stranger'
  /** For people: what differs and what to do. */
  readonly detail: string
}

export type HelloAnswer =
  | { readonly kind: 'welcome'; readonly report: NodeReport }
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly report: NodeReport | null }

export type ProbeOutcome =
  | { readonly kind: 'answered'; readonly report: NodeReport }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  /** Nobody there (`refused connection`, no route, name not found) or no answer in time. */
  | { readonly kind: 'unreachable'; readonly detail: string }

/** A snapshot being received: chunks in order, then the end. Already admitted by `TransportHandlers.admit`. */
export interface SnapshotSource {
  readonly from: NodeId
  readonly header: SnapshotHeader
  /** Each chunk as it was sent; verified by checksum. Throws when the stream breaks off or is damaged. */
  chunks(): AsyncIterable<Uint8Array>
  /** Tells the sender that the state is installed (or why not), then closes. */
  finish(answer: SnapshotAnswer): Promise<void>
}

export interface SnapshotHeader {
  readonly vote: Vote
  readonly session: number
  readonly logId: LogId
  readonly membership: StoredMembership
  /** Of the format of chunks. */
  readonly formatVersion: number
  /** About how much will come, in the size that the sender has on its disk; 0 for nothing to speak of. */
  readonly bytesEstimate: number
}

export interface SnapshotAnswer {
  readonly installed: boolean
  readonly detail: string
}

/** A snapshot being sent. */
export interface SnapshotSink {
  /** Resolves when there is room for more (back-pressure). Rejects when the connection is gone. */
  write(chunk: Uint8Array): Promise<void>
  /** Marks the end and waits for the receiver's word. */
  finish(): Promise<SnapshotAnswer>
  abort(): void
}

export interface TransportHandlers {
  /**
   * Called for each message, in the order of arrival for one peer. Must not throw. Returns null, also for a message that is
   * ignored; otherwise why no sound member says this, and its connection is to be closed.
   */
  onMessage(message: PeerMessage): string | null
  /** Whether `peer` is in a membership that this node knows: connections of others are closed first when room is needed. */
  isMember(peer: NodeId): boolean
  /** This node's outgoing connection to `peer` stands. */
  onConnected(peer: NodeId): void
  /** The connection broke or its queue was dropped: messages to `peer` may be lost. */
  onDisconnected(peer: NodeId): void
  /** Nobody listens at `peer`'s address: its process is gone (as far as the kernel knows). */
  onUnreachable(peer: NodeId): void
  /** `by` peer: whoever answers where `peer` is dialled does not want this node; by us: it is not who it should be. */
  onRefused(peer: NodeId, refusal: Refusal, by: 'peer' | 'us'): void
  /** An attempt to connect came to nothing, and says nothing about the peer's process: no answer, or none in time. */
  onUnanswered(peer: NodeId): void
  /** Both sides ask this before they talk: the accepting side of a hello, the dialling side of the report in the answer. */
  admit(hello: Hello): Refusal | null
  admitReport(peer: NodeId, report: NodeReport): Refusal | null
  /** This node's own hello and report, as of now. */
  hello(purpose: Hello['purpose'], to: NodeId | 0): Hello
  report(): NodeReport
  onSnapshot(source: SnapshotSource): void
}

/** The node's way to its peers. Messages may be lost, never altered; order holds for one peer while its connection stands. */
export interface Transport {
  /** Begins to listen. Rejects when the address is in use. */
  start(handlers: TransportHandlers): Promise<void>
  /** Whom to keep connections to, by raft address. Peers that are not listed any more are disconnected. */
  setPeers(peers: ReadonlyMap<NodeId, string>): void
  /**
   * Queues `message`; frames of one turn of the event loop leave together. A few are kept for a peer that is being dialled.
   * Drops it when the peer is not connected otherwise, or its queue is full.
   */
  send(message: PeerMessage): void
  isConnected(peer: NodeId): boolean
  probe(raftAddress: string, timeoutMs: number): Promise<ProbeOutcome>
  openSnapshot(to: NodeId, header: SnapshotHeader): Promise<SnapshotSink>
  /** Mean round trip of the last messages in milliseconds, or null. */
  roundTripMs(peer: NodeId): number | null
  stop(): Promise<void>
}
