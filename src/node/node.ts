import { InvariantError } from '../lib/assert.ts'
import { RequestError } from '../lib/errors.ts'
import { toError } from '../lib/to-error.ts'
import { limits } from '../limits.ts'
import type { Hello, NodeReport, Refusal, TransportHandlers } from '../ports/transport.ts'
import type { NodeId, TransferOutcome } from '../raft/index.ts'
import { NO_MEMBERSHIP, VOTE_ZERO } from '../raft/index.ts'
import { Automation } from './automation/automation.ts'
import { Changes } from './membership/changes.ts'
import { Cluster } from './service/cluster.ts'
import { hasToken } from './codec/cluster-id.ts'
import { Bootstrap } from './membership/bootstrap.ts'
import { Health } from './service/health.ts'
import { Keys } from './service/keys.ts'
import type { NodeDependencies, NodeOptions } from './options.ts'
import { Peers } from './peers/peers.ts'
import { Pledges } from './automation/pledges.ts'
import { Preference } from './leadership/preference.ts'
import { Replica } from './replica.ts'
import { openStores } from './startup.ts'
import { Status } from './service/status.ts'
import { FailStopClock } from './driver/fail-stop-clock.ts'
import { FailStopStore } from './state/fail-stop-store.ts'
import { RowFetcher } from './state/row-fetcher.ts'

/** The version of the protocol between nodes. Nodes of different versions refuse each other. */
const PEER_PROTOCOL = 3

const STOPPING: Refusal = { code: 'shutting-down', detail: 'this node is shutting down' }

/** What a node offers to its front. */
export interface NodeServices {
  readonly keys: Keys
  readonly cluster: Cluster
  readonly health: Health
  readonly version: string
}

/**
 * One Quorate node: its stores, its peers and the replica that connects them, with the requests that clients make. `start` opens everything
 * or rejects (`StorageError`, or the transport's error); `stop` ends it. A node is started once.
 */
export class Node {
  private readonly options: NodeOptions
  private readonly deps: NodeDependencies
  private readonly peers: Peers
  private readonly pledges: Pledges
  private replica: Replica | null = null
  private status: Status | null = null
  private offered: NodeServices | null = null
  private automation: Automation | null = null
  private readonly preference: Preference
  private faultSeen: Error | null = null
  private stopping = false

  constructor(options: NodeOptions, deps: NodeDependencies) {
    this.options = options
    const state = new FailStopStore(deps.state, (error) => {
      // A failure of something that still runs while the stores are being closed does not matter any more.
      if (!this.stopping) this.onFault(error)
    })
    const clock = new FailStopClock(deps.clock, (error) => this.onFault(toError(error)))
    this.deps = { ...deps, state, clock, onFault: (error) => this.onFault(error) }
    this.notifyFault = deps.onFault
    this.preference = new Preference(options, this.deps)
    const carriesToken = (clusterId: string): boolean => hasToken(clusterId, options.clusterToken, deps.hash)
    this.pledges = new Pledges({
      register: deps.formation,
      carriesToken,
      onFault: (error) => this.onFault(toError(error)),
    })
    this.peers = new Peers(
      {
        id: options.id,
        incarnation: options.incarnation,
        addresses: options.addresses,
        lingerMs: options.electionTimeoutMsMax * 4,
        callersMax: limits.membersMax,
      },
      {
        transport: deps.transport,
        clock,
        register: deps.peers,
        logger: deps.logger,
        clusterId: () => this.replica?.clusterIdentity ?? null,
        acceptsClusterId: carriesToken,
        mayAdopt: (clusterId, isLed) => this.mayAdopt(clusterId, isLed),
        effective: () => this.replica?.raft.effectiveMembership ?? NO_MEMBERSHIP,
        isBehind: () => this.replica?.removal.isBehind ?? false,
        onFault: (error) => this.onFault(error),
      },
    )
  }

  private readonly notifyFault: (error: Error) => void

  async start(): Promise<void> {
    const { options, deps } = this
    await this.peers.load()
    await this.pledges.load()
    const startup = await openStores(options.id, deps.log, deps.state, deps.logger)
    const replica = new Replica(options, deps, this.peers, startup)
    this.replica = replica
    const status = new Status(options, deps, replica, this.peers, this.preference)
    this.status = status
    this.offered = this.buildServices(replica, status)
    await deps.transport.start(this.handlers(replica))
    this.peers.judgeOwnToken()
    this.connectMembers(replica)
    replica.start()
    this.automation?.start()
    this.preference.start(replica)
    deps.logger.info(
      { id: options.id, state: status.state(), clusterId: replica.clusterIdentity, applied: replica.appliedIndex },
      'node started',
    )
  }

  services(): NodeServices {
    if (this.offered === null) throw new InvariantError('services are asked for after the start')
    return this.offered
  }

  /** To be called with the time that each sync of the log took. */
  onLogSync(durationMs: number): void {
    this.offered?.health.onSync(durationMs)
  }

  /** The replica itself, for observers (tests, status pages). */
  get running(): Replica | null {
    return this.replica
  }

  /**
   * Ends the requests that would hold up a stop for as long as their clients are willing to wait. Requests that can still be answered are
   * answered.
   */
  endWaits(): void {
    this.replica?.waits.close(new RequestError('shutting-down', 'this node is shutting down; ask another one'))
  }

  /** Stops serving. `transfer`: a leader hands leadership over first, within one election timeout. */
  async stop({ transfer }: { readonly transfer: boolean }): Promise<void> {
    const { replica, deps } = this
    if (this.stopping) return
    if (replica !== null && transfer && this.faultSeen === null) await this.handOver(replica)
    this.stopping = true
    this.automation?.stop()
    this.preference.stop()
    this.peers.stop()
    this.status?.onStopping()
    if (replica !== null)
      await replica.stop(new RequestError('shutting-down', 'this node is shutting down; ask another one'))
    await deps.transport.stop()
    if (this.faultSeen !== null) return
    await deps.state.flush()
    await deps.state.close()
    await deps.log.close()
  }

  private buildServices(replica: Replica, status: Status): NodeServices {
    const { options, deps } = this
    const { state, clock, transport, log } = deps
    const { electionTimeoutMsMax: settlingMs } = options
    const bootstrap = new Bootstrap(options, {
      replica,
      transport,
      clock,
      hash: deps.hash,
      logger: deps.logger,
      onMembership: () => this.connectMembers(replica),
      lostMembership: () => this.peers.lostMembership(),
      pledgeAgainst: (clusterId) => this.pledges.against(clusterId),
    })
    const changes = new Changes({ replica, peers: this.peers, transport, clock, settlingMs })
    if (deps.automation !== undefined && deps.automation !== null) {
      this.automation = new Automation(options, deps.automation, {
        ...deps,
        replica,
        bootstrap,
        changes,
        pledges: this.pledges,
        peers: this.peers,
        isOutside: () => this.peers.removal.isValid,
      })
      status.onAutomation(this.automation)
    }
    const cluster = new Cluster({
      self: { id: options.id, ...options.addresses },
      replica,
      bootstrap,
      changes,
      status,
      state,
      clock,
      chunkBytes: options.snapshotChunkBytes,
      settlingMs,
      checkInitialized: () => this.checkServing(),
    })
    const fetcher = new RowFetcher(options, { rows: replica.rows, clock })
    const keys = new Keys({ replica, state, clock, fetcher, checkServing: () => this.checkServing(), id: options.id })
    const health = new Health({ replica, status, log, state, transport, clock, fault: () => this.faultSeen })
    return { keys, cluster, health, version: options.version }
  }

  /** A node that has pledged itself to a cluster takes part in no other. The automation may have further objections. */
  private mayAdopt(clusterId: string, isLed: boolean): boolean {
    return this.pledges.against(clusterId) === null && (this.automation?.mayAdopt(clusterId, isLed) ?? true)
  }

  /** Where events from peers enter the node. The transport must not get exceptions: one is reported as a fault of the node instead. */
  private handlers(replica: Replica): TransportHandlers {
    const { peers } = this
    const guard = <T>(step: () => T, otherwise: T): T => {
      try {
        return step()
      } catch (error) {
        this.onFault(toError(error))
        return otherwise
      }
    }
    return {
      onMessage: (message) => guard(() => replica.onMessage(message), null),
      isMember: (peer) => guard(() => peers.isMember(peer), false),
      onConnected: (peer) => guard(() => replica.onConnected(peer), undefined),
      onDisconnected: (peer) => guard(() => replica.onDisconnected(peer), undefined),
      onUnreachable: (peer) => guard(() => replica.onUnreachable(peer), undefined),
      onRefused: (peer, refusal, by) => guard(() => peers.onRefused(peer, refusal, by), undefined),
      onUnanswered: (peer) => guard(() => peers.onUnanswered(peer), undefined),
      admit: (hello) => guard(() => this.admit(hello), STOPPING),
      admitReport: (peer, report) => guard(() => this.admitReport(peer, report), STOPPING),
      hello: (purpose, to) => this.hello(purpose, to),
      report: () => this.report(),
      onSnapshot: (source) => replica.onSnapshot(source),
    }
  }

  private connectMembers(replica: Replica): void {
    const { effective, committedMembership } = replica.raft.view()
    this.peers.onMembership(effective.membership, committedMembership.membership)
  }

  private checkServing(): void {
    const members = this.replica?.raft.effectiveMembership.membership.nodes
    const isMember = members?.has(this.options.id) === true && !this.peers.removal.isValid
    if (isMember && this.faultSeen === null && !this.stopping) return
    const state = this.status?.state()
    if (this.faultSeen !== null || this.stopping) {
      throw new RequestError('shutting-down', 'this node is stopping; ask another one')
    }
    if (state === 'removed') {
      throw new RequestError(
        'removed',
        'this node was removed from its cluster; ask a member, or wipe this node and add it again',
      )
    }
    if (this.replica === null || this.replica.raft.view().effective.logId === null) {
      throw new RequestError(
        'not-initialized',
        'this node belongs to no cluster yet: POST /cluster/initialize, or add it to a cluster with POST /cluster/learners',
      )
    }
  }

  private async handOver(replica: Replica): Promise<void> {
    const view = replica.raft.view()
    if (view.state !== 'leader') return
    const transfer = (to: NodeId | null): TransferOutcome =>
      replica.input(() => replica.raft.transfer(this.deps.clock.now(), to))
    const preferred = transfer(this.preference.successorOf(view))
    // The preferred successor may be away by now.
    const outcome = preferred.kind === 'no-target' ? transfer(null) : preferred
    if (outcome.kind !== 'started' && outcome.kind !== 'transferring') return
    await replica.conditions.until(
      ({ state, leader }) => state !== 'leader' && leader !== null,
      this.options.electionTimeoutMsMax,
    )
  }

  private admit(hello: Hello): Refusal | null {
    if (this.stopping) return STOPPING
    const refusal = this.peers.admit(hello)
    if (refusal !== null) return refusal
    const { from, purpose, addresses } = hello
    if (from !== 0 && purpose === 'probe') this.peers.onFound({ ...hello, id: from, raft: addresses.raft })
    this.automation?.onHello(hello)
    return refusal
  }

  private admitReport(peer: NodeId, report: NodeReport): Refusal | null {
    const refusal = this.peers.admitReport(peer, report)
    if (refusal === null) this.preference.onReport(peer, report.leaderPriority)
    return refusal
  }

  private hello(purpose: Hello['purpose'], to: NodeId | 0): Hello {
    const { id, incarnation, addresses } = this.options
    return {
      protocol: PEER_PROTOCOL,
      purpose,
      from: id,
      to,
      clusterId: this.replica?.clusterIdentity ?? null,
      incarnation,
      addresses,
    }
  }

  private report(): NodeReport {
    const { id, incarnation, addresses, version } = this.options
    const view = this.replica?.raft.view()
    return {
      id,
      incarnation,
      clusterId: this.replica?.clusterIdentity ?? null,
      initialized: view !== undefined && (view.last !== null || view.vote.leaderId.term > 0),
      vote: view?.vote ?? VOTE_ZERO,
      last: view?.last ?? null,
      leader: view?.leader ?? null,
      effective: view?.effective ?? NO_MEMBERSHIP,
      addresses,
      version,
      candidacy: this.automation?.candidacy() ?? null,
      leaderPriority: this.preference.own,
    }
  }

  private onFault(error: Error): void {
    if (this.faultSeen !== null) return
    this.faultSeen = error
    this.notifyFault(error)
  }
}
