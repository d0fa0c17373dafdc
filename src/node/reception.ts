import type { Hello, NodeReport, PeerMessage, Refusal, SnapshotSource, TransportHandlers } from '../ports/transport.ts'
import type { NodeId } from '../raft/index.ts'
import type { Automation } from './automation/automation.ts'
import type { Preference } from './leadership/preference.ts'
import type { Faults, NodeOptions } from './options.ts'
import type { Replica } from './replica.ts'
import type { Serving } from './service/serving.ts'

/** The version of the protocol between nodes. Nodes of different versions refuse each other. */
const PEER_PROTOCOL = 3

const STOPPING: Refusal = { code: 'shutting-down', detail: 'this node is shutting down' }

export interface ReceptionDependencies {
  readonly replica: Replica
  readonly serving: Serving
  readonly preference: Preference
  /** Null for a node that does nothing by itself. */
  readonly automation: Automation | null
  /** The digest of this node's token. */
  readonly token: string
  readonly faults: Faults
}

/**
 * Where events from peers enter the node, and what it says of itself when they meet. The transport must not get exceptions: one is reported
 * as a fault of the node instead.
 */
export class Reception implements TransportHandlers {
  private readonly options: NodeOptions
  private readonly deps: ReceptionDependencies

  constructor(options: NodeOptions, deps: ReceptionDependencies) {
    this.options = options
    this.deps = deps
  }

  onMessage(message: PeerMessage): string | null {
    return this.guard(() => this.deps.replica.inbox.take(message), null)
  }

  isMember(peer: NodeId): boolean {
    return this.guard(() => this.deps.replica.peers.isMember(peer), false)
  }

  onConnected(peer: NodeId): void {
    this.guard(() => this.deps.replica.onConnected(peer), undefined)
  }

  onDisconnected(peer: NodeId): void {
    this.guard(() => this.deps.replica.onDisconnected(peer), undefined)
  }

  onUnreachable(peer: NodeId): void {
    this.guard(() => this.deps.replica.onUnreachable(peer), undefined)
  }

  onRefused(peer: NodeId, refusal: Refusal, by: 'peer' | 'us'): void {
    this.guard(() => this.deps.replica.peers.onRefused(peer, refusal, by), undefined)
  }

  onUnanswered(peer: NodeId): void {
    this.guard(() => this.deps.replica.peers.onUnanswered(peer), undefined)
  }

  admit(hello: Hello): Refusal | null {
    return this.guard(() => this.admitted(hello), STOPPING)
  }

  admitReport(peer: NodeId, report: NodeReport): Refusal | null {
    return this.guard(() => this.admittedReport(peer, report), STOPPING)
  }

  onSnapshot(source: SnapshotSource): void {
    this.deps.replica.snapshotReceiver.onSnapshot(source)
  }

  hello(purpose: Hello['purpose'], to: NodeId | 0): Hello {
    const { id, incarnation, addresses } = this.options
    const { replica, token } = this.deps
    const { id: clusterId } = replica.ownCluster
    return { protocol: PEER_PROTOCOL, purpose, from: id, to, clusterId, incarnation, addresses, token }
  }

  report(): NodeReport {
    const { id, incarnation, addresses, version } = this.options
    const { replica, automation, preference, token } = this.deps
    const { last, vote, leader, effective } = replica.raft.view()
    return {
      id,
      incarnation,
      clusterId: replica.ownCluster.id,
      initialized: last !== null || vote.leaderId.term > 0,
      vote,
      last,
      leader,
      effective,
      addresses,
      version,
      candidacy: automation?.candidacy() ?? null,
      leaderPriority: preference.own,
      level: replica.features.own,
      token,
    }
  }

  private admitted(hello: Hello): Refusal | null {
    const { replica, serving, automation } = this.deps
    if (serving.isStopping) return STOPPING
    const refusal = replica.peers.admit(hello)
    if (refusal !== null) return refusal
    const { from, purpose, addresses } = hello
    if (from !== 0 && purpose === 'probe') replica.peers.onFound({ ...hello, id: from, raft: addresses.raft })
    automation?.onHello(hello)
    return null
  }

  private admittedReport(peer: NodeId, report: NodeReport): Refusal | null {
    const refusal = this.deps.replica.peers.admitReport(peer, report)
    if (refusal !== null) return refusal
    this.deps.preference.onReport(peer, report.leaderPriority)
    this.deps.replica.features.onReport(peer, report)
    return null
  }

  private guard<T>(step: () => T, otherwise: T): T {
    try {
      return step()
    } catch (error) {
      this.deps.faults.report(error)
      return otherwise
    }
  }
}
