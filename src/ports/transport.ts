import type { TraceContext } from '../lib/trace-context.ts'
import type { Pledge } from './automation.ts'
import type { LogId, LogIndex, NodeAddresses, NodeId, RaftMessage, StoredMembership, Vote } from '../raft/index.ts'

/** The span of a forwarded command, on the node that forwards it. `at`: its place in the batch, from 0. */
export interface ForwardedSpan extends TraceContext {
  readonly at: number
}

/** Commands to be carried to the leader. `body` holds entries as lib/entries frames them, ready to be appended. */
export interface ForwardRequest {
  readonly type: 'forward-request'
  readonly from: NodeId
  readonly to: NodeId
  /** The ballot of the leader that they are meant for. A node that does not lead under it refuses all of them. */
  readonly vote: Vote
  /** The sender numbers its batches, so that a refusal can name one. */
  readonly batchId: number
  readonly count: number
  readonly body: Uint8Array
  /** Of the commands whose requests belong to a trace; left out when there are none. */
  readonly spans?: readonly ForwardedSpan[]
}

/** Nothing of batch `batchId` was appended, or ever will be. (Success has no answer: the entries themselves arrive.) */
export interface ForwardRefusal {
  readonly type: 'forward-refusal'
  readonly from: NodeId
  readonly to: NodeId
  readonly batchId: number
  readonly reason: 'not-leader' | 'transferring' | 'overloaded'
}

/** A follower asks for an index that is safe to read at (thesis 6.4). One request serves many waiting reads. */
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
  /** False, with index `BEFORE_FIRST`, when the node that was asked does not lead any more. */
  readonly ready: boolean
  readonly index: LogIndex
}

/** A rare request (membership, transfer, ...) that is carried to the leader as JSON. Only the node layer interprets `name` and `body`. */
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
  /** `probe`: the dialler only wants the answer, as a stranger (`to` is not checked then). */
  readonly purpose: 'messages' | 'snapshot' | 'probe'
  /** 0 for a dialler that is not a node. */
  readonly from: NodeId | 0
  /** The node that the dialler means to reach; 0 when it does not know. */
  readonly to: NodeId | 0
  readonly clusterId: string | null
  /** Random, drawn when the data directory was created: a node whose data was wiped has another one. */
  readonly incarnation: string
  /** The dialler's own addresses, so that it can be dialled in return; empty strings in a probe by a stranger. */
  readonly addresses: NodeAddresses
  /** Stands for the cluster token: equal tokens have equal digests. Null for a build that does not say, and for a dialler that is no node. */
  readonly token: string | null
}

/** Facts about a node for anybody who asks: for formation, joining and status. */
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
  /** The feature level that it knows (kv/feature-level.ts); 0 for a build that does not say. */
  readonly level: number
  /** As in `Hello`. */
  readonly token: string | null
}

/** What a node reports that forms and joins clusters by itself; null in the report of a node that leaves this to its operator. */
export interface Candidacy {
  /** Stands for the cluster token: equal tokens have equal digests. */
  readonly token: string
  /** The id of the cluster that it would form now, if all members of it agree; null when it would form none. */
  readonly proposal: string | null
  /** The round of its latest pledge, even if that was withdrawn; 0 before the first. */
  readonly round: number
  /** What it has pledged to form, in that round; null: nothing, or nothing any more. */
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
    | 'wrong-certificate'
  /** For people: what differs and what to do about it. */
  readonly detail: string
}

export type HelloAnswer =
  | { readonly kind: 'welcome'; readonly report: NodeReport }
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly report: NodeReport | null }

export type ProbeOutcome =
  | { readonly kind: 'answered'; readonly report: NodeReport }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  /** No node is there (connection refused, no route, name not found), or no answer came in time. */
  | { readonly kind: 'unreachable'; readonly detail: string }

/** A snapshot that is being received: chunks in order, then the end. `TransportHandlers.admit` has admitted its sender already. */
export interface SnapshotSource {
  readonly from: NodeId
  readonly header: SnapshotHeader
  /** Each chunk as it was sent, its checksum verified. Throws when the stream breaks off or is damaged. */
  chunks(): AsyncIterable<Uint8Array>
  /** Tells the sender that the state is installed (or why not), then closes. */
  finish(answer: SnapshotAnswer): Promise<void>
}

export interface SnapshotHeader {
  readonly vote: Vote
  readonly session: number
  readonly logId: LogId
  readonly membership: StoredMembership
  /** The version of the format of chunks. */
  readonly formatVersion: number
  /** Roughly how much will come, measured as the sender's state takes space on its disk; 0 for a negligible amount. */
  readonly bytesEstimate: number
}

export interface SnapshotAnswer {
  readonly installed: boolean
  readonly detail: string
}

/** A snapshot that is being sent. */
export interface SnapshotSink {
  /** Resolves when there is room for more (back-pressure). Rejects when the connection is gone. */
  write(chunk: Uint8Array): Promise<void>
  /** Marks the end and waits for the receiver's answer. */
  finish(): Promise<SnapshotAnswer>
  abort(): void
}

export interface TransportHandlers {
  /**
   * Called for each message; messages of one peer come in order of arrival. Must not throw. Returns null, also for a message that is
   * ignored; otherwise why no sound member would send the message, and its connection must be closed.
   */
  onMessage(message: PeerMessage): string | null
  /** Whether `peer` is in a membership that this node knows. When room is needed, connections of other peers are closed first. */
  isMember(peer: NodeId): boolean
  /** This node's outgoing connection to `peer` is established. */
  onConnected(peer: NodeId): void
  /** The connection broke or its queue was dropped: messages to `peer` may be lost. */
  onDisconnected(peer: NodeId): void
  /** Nobody listens at `peer`'s address: as far as the kernel knows, its process is gone. */
  onUnreachable(peer: NodeId): void
  /** `by` `peer`: the node that answers at the address of `peer` refuses this node. `by` `us`: that node is not the one it should be. */
  onRefused(peer: NodeId, refusal: Refusal, by: 'peer' | 'us'): void
  /** An attempt to connect failed in a way that says nothing about the peer's process: no answer, or none in time. */
  onUnanswered(peer: NodeId): void
  /** Both sides ask this before they talk: the accepting side about a hello, the dialling side about the report in the answer. */
  admit(hello: Hello): Refusal | null
  admitReport(peer: NodeId, report: NodeReport): Refusal | null
  /** This node's own hello and report, as of now. */
  hello(purpose: Hello['purpose'], to: NodeId | 0): Hello
  report(): NodeReport
  onSnapshot(source: SnapshotSource): void
}

/**
 * The node's connections to its peers. Messages may be lost, never altered. Messages to one peer stay in order while its connection stands.
 */
export interface Transport {
  /** Begins to listen. Rejects when the address is in use. */
  start(handlers: TransportHandlers): Promise<void>
  /** Which peers to keep connections to, by raft address. Peers that are no longer listed are disconnected. */
  setPeers(peers: ReadonlyMap<NodeId, string>): void
  /**
   * Queues `message`; the frames of one turn of the event loop leave together. For a peer that is being dialled, a few messages are kept.
   * Otherwise a message is dropped when the peer is not connected or its queue is full.
   */
  send(message: PeerMessage): void
  isConnected(peer: NodeId): boolean
  probe(raftAddress: string, timeoutMs: number): Promise<ProbeOutcome>
  openSnapshot(to: NodeId, header: SnapshotHeader): Promise<SnapshotSink>
  /** The mean round trip of the latest messages in milliseconds, or null. */
  roundTripMs(peer: NodeId): number | null
  stop(): Promise<void>
}
