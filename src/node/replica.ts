import { KvMachine } from '../kv/index.ts'
import { RequestError } from '../lib/errors.ts'
import type { SlowLog } from '../lib/slow-log.ts'
import { toError } from '../lib/to-error.ts'
import { limits } from '../limits.ts'
import type { NodeId } from '../raft/index.ts'
import { Raft, indexOf } from '../raft/index.ts'
import { entryCodec } from './codec/entry.ts'
import { Consequences, type Concerned } from './consequences.ts'
import { LogTail } from './driver/log-tail.ts'
import { LogTimes } from './driver/log-times.ts'
import { RaftDriver, type CoreOutlets } from './driver/raft-driver.ts'
import { RaftJournal } from './driver/raft-journal.ts'
import { diskPatience, LEASE_DRIFT, leaseDriftMs, raftOptions } from './driver/raft-options.ts'
import { Suspension } from './driver/suspension.ts'
import { Historian } from './history/historian.ts'
import { Inbox } from './inbox.ts'
import type { Faults, NodeDependencies, NodeOptions, OwnAudit } from './options.ts'
import { OwnCluster } from './peers/own-cluster.ts'
import { Lessor } from './leases/lessor.ts'
import { LockWaits } from './leases/lock-waits.ts'
import { Peers } from './peers/peers.ts'
import type { AdoptionRule, ClusterToken } from './peers/peers-options.ts'
import { Expiry } from './auth/expiry.ts'
import { Permissions } from './auth/permissions.ts'
import { Warrants } from './requests/warrant.ts'
import { Backlog } from './requests/backlog.ts'
import { Conditions } from './requests/conditions.ts'
import { Features } from './requests/features.ts'
import { Forwarded } from './requests/forwarded.ts'
import { ForwardedTimes } from './requests/forwarded-times.ts'
import { Freshness } from './requests/freshness.ts'
import { LeaderCalls } from './requests/leader-calls.ts'
import { LeaderDirectory } from './requests/leader-directory.ts'
import { Outbox } from './requests/outbox.ts'
import { Proposals } from './requests/proposals.ts'
import { Reads } from './requests/reads.ts'
import { Removal } from './requests/removal.ts'
import { Waits } from './requests/waits.ts'
import { SnapshotReceiver } from './snapshots/snapshot-receiver.ts'
import { SnapshotSender } from './snapshots/snapshot-sender.ts'
import type { Startup } from './startup.ts'
import { Applier } from './state/applier.ts'
import { RowCache } from './state/row-cache.ts'
import { Rows } from './state/rows.ts'
import { StateFlusher } from './state/state-flusher.ts'
import { StateFeed } from './watches/state-feed.ts'
import { WatchHub } from './watches/watch-hub.ts'

export interface ReplicaDependencies extends Omit<NodeDependencies, 'onFault'> {
  /** By which incarnations this node knew its peers when it started. */
  readonly knownPeers: ReadonlyMap<NodeId, string>
  readonly adoption: AdoptionRule
  /** The token that this node was started with. */
  readonly token: ClusterToken
  readonly audit: OwnAudit
  readonly faults: Faults
}

/**
 * The parts of one replica around its core. This class makes and ends them; they call each other directly. Each is given those that are made
 * before it. The two that need later ones, `driver` and `consequences`, find them here.
 */
export class Replica implements CoreOutlets, Concerned, Faults {
  readonly raft: Raft
  readonly ownCluster: OwnCluster
  readonly freshness: Freshness
  readonly peers: Peers
  readonly journal: RaftJournal
  readonly conditions: Conditions
  readonly consequences: Consequences
  readonly driver: RaftDriver
  readonly suspension: Suspension
  readonly rows: Rows
  readonly applier: Applier
  readonly proposals: Proposals
  readonly waits: Waits
  readonly reads: Reads
  readonly forwarded: Forwarded
  readonly leaderCalls: LeaderCalls
  readonly removal: Removal
  readonly inbox: Inbox
  readonly snapshotSender: SnapshotSender
  readonly snapshotReceiver: SnapshotReceiver
  readonly flusher: StateFlusher
  readonly features: Features
  readonly watches: WatchHub
  readonly historian: Historian
  readonly lessor: Lessor
  readonly lockWaits: LockWaits
  readonly permissions: Permissions
  readonly expiry: Expiry
  private readonly options: NodeOptions
  private readonly deps: ReplicaDependencies
  private readonly tail: LogTail
  /** Null: nobody wants to know how long requests take. */
  private readonly logTimes: LogTimes | null
  private readonly leaders: LeaderDirectory
  private readonly backlog: Backlog
  private readonly outbox: Outbox
  private stopped = false

  constructor(options: NodeOptions, deps: ReplicaDependencies, startup: Startup) {
    this.options = options
    this.deps = deps
    const { restored, clusterId } = startup
    const { clock, logger, audit, log, state, transport, random, slow = null } = deps
    const life = random.integer(0, 2 ** 32)
    const createRaft = deps.createRaft ?? ((...parts) => new Raft(...parts))
    const raft = createRaft(raftOptions(options, life), restored, { random, codec: entryCodec }, clock.now())
    this.raft = raft
    this.ownCluster = new OwnCluster(clusterId)
    this.leaders = new LeaderDirectory(options.id, raft)
    this.freshness = new Freshness({ life })
    const { freshness } = this
    this.backlog = new Backlog({ heardMsMax: options.electionTimeoutMsMax }, { raft, freshness, clock })
    this.peers = this.makePeers()
    this.journal = new RaftJournal(options, { clock, logger, raft })
    this.conditions = new Conditions(clock, raft)
    const { peers, journal, conditions } = this
    this.consequences = new Consequences(options, { concerned: this, peers, journal, freshness, conditions, clock })
    this.tail = new LogTail(log)
    this.logTimes = slow === null ? null : new LogTimes(slow.thresholdMs)
    this.driver = this.makeDriver()
    const { driver } = this
    this.suspension = new Suspension({ partMsMax: leaseDriftMs(options) }, { clock, core: this })
    this.outbox = new Outbox(transport)
    this.proposals = this.makeProposals()
    this.rows = new Rows(state, new RowCache(options.recordCacheBytesMax, deps.hashKey))
    this.applier = this.makeApplier(startup)
    const { applier, leaders, outbox } = this
    this.watches = this.makeWatches()
    this.lessor = this.makeLessor()
    this.lockWaits = new LockWaits(options, { clock, rows: this.rows, faults: this })
    this.waits = new Waits(clock, applier)
    const { room } = this.waits
    const asking = { id: options.id, retryMs: options.electionTimeoutMsMin }
    const isTimed = slow !== null
    this.reads = new Reads(asking, { clock, random, room, leaders, core: driver, outbox, applier, isTimed })
    this.forwarded = this.makeForwarded(slow)
    const { proposals, reads, backlog } = this
    this.permissions = new Permissions({ applier, clock, faults: this, reads, freshness })
    const warrants = new Warrants({ clock, raft, applier, conditions, permissions: this.permissions })
    this.leaderCalls = new LeaderCalls(asking, { clock, random, leaders, outbox, warrants, faults: this })
    this.features = this.makeFeatures()
    this.removal = new Removal(options, { raft, proposals, reads, backlog, applier })
    this.inbox = this.makeInbox()
    this.snapshotSender = this.makeSnapshotSender()
    this.snapshotReceiver = this.makeSnapshotReceiver()
    this.flusher = new StateFlusher(
      options,
      { log, state, applier, core: driver, faults: this },
      indexOf(restored.purged),
    )
    this.expiry = new Expiry({ clock, raft, applier, proposals, logger, audit })
    this.historian = new Historian(options, { clock, raft, applier, proposals })
  }

  /** Whether this node was removed from its cluster, by its own log or by what its peers say. */
  get isRemoved(): boolean {
    return this.removal.isRemoved || this.peers.removal.isValid
  }

  /** The feature level of the cluster, as far as this node has applied its log. */
  get level(): number {
    return this.applier.level
  }

  /** Carries out what the core wanted when it was constructed, and arms its timer. */
  start(): void {
    this.driver.input(() => undefined)
  }

  input<T>(step: () => T): T {
    return this.driver.input(step)
  }

  /** A step that a request asked for. Throws `RequestError` once the node stops. */
  request<T>(step: () => T): T {
    if (this.stopped) throw new RequestError('shutting-down', 'this node is shutting down; ask another one')
    return this.input(step)
  }

  /** How long ago anything happened is not known any more: the machine was suspended. */
  onWoken(): void {
    this.driver.onWoken()
    this.lessor.onWoken()
  }

  onConnected(peer: NodeId): void {
    if (this.stopped) return
    this.peers.onConnected(peer)
    this.input(() => this.raft.peerConnected(this.deps.clock.now(), peer))
    if (this.raft.leader === peer) this.consequences.onLeader(peer)
    this.consequences.onMet()
  }

  onDisconnected(peer: NodeId): void {
    if (!this.stopped) this.input(() => this.raft.peerDisconnected(this.deps.clock.now(), peer))
  }

  onUnreachable(peer: NodeId): void {
    if (this.stopped || !this.peers.onUnreachable(peer)) return
    this.input(() => this.raft.peerUnreachable(this.deps.clock.now(), peer))
  }

  /** Ends everything; `error` answers the requests that are still open. */
  async stop(error: RequestError): Promise<void> {
    if (this.stopped) return
    this.stopped = true
    this.inbox.close()
    this.outbox.close()
    this.features.stop()
    this.proposals.close(error)
    this.reads.close(error)
    this.waits.close(error)
    this.watches.close(error)
    this.lessor.stop()
    this.lockWaits.close(error)
    this.leaderCalls.close(error)
    this.conditions.giveUp()
    this.rows.close(error)
    this.snapshotSender.stop()
    this.snapshotReceiver.stop()
    this.flusher.stop()
    this.historian.stop()
    this.expiry.stop()
    await this.driver.stop()
    await this.applier.pause()
    this.applier.stop()
  }

  /** One of the parts has failed: nothing that the core wants may be done any more. */
  report(error: unknown): void {
    if (this.stopped) return
    const { logger, faults } = this.deps
    logger.error({ error: toError(error).message }, 'stopping because of a fault')
    faults.report(error)
    this.stop(new RequestError('shutting-down', 'this node has stopped because of a fault')).catch((late: unknown) =>
      logger.error({ error: String(late) }, 'stop after a fault failed'),
    )
  }

  private makePeers(): Peers {
    const { raft, ownCluster, backlog } = this
    const { id, incarnation, addresses, electionTimeoutMsMax } = this.options
    const { transport, clock, logger, peers: register, knownPeers: known, adoption, token, faults } = this.deps
    return new Peers(
      { id, incarnation, addresses, lingerMs: electionTimeoutMsMax * 4, callersMax: limits.membersMax },
      {
        transport,
        clock,
        register,
        known,
        logger,
        ownCluster,
        token,
        adoption,
        raft,
        backlog,
        faults,
      },
    )
  }

  private makeDriver(): RaftDriver {
    const { raft, tail, leaders, ownCluster, peers, conditions, logTimes: times } = this
    const { log, clock, transport, logger } = this.deps
    return new RaftDriver(
      { frameBytesMax: this.options.appendBytesMax * 2, disk: diskPatience(this.options) },
      {
        raft,
        log,
        tail,
        clock,
        transport,
        logger,
        leadership: leaders,
        ownCluster,
        peers,
        outlets: this,
        conditions,
        times,
        faults: this,
      },
    )
  }

  private makeApplier({ meta, auth, restored }: Startup): Applier {
    const { rows, tail, proposals, consequences, logTimes: times } = this
    const { clock } = this.deps
    return new Applier(
      { batchBytesMax: this.options.appendBytesMax * 4 },
      { rows, clock, log: tail, proposals, consequences, times, faults: this },
      {
        machine: new KvMachine(this.options, meta?.machine ?? null, auth),
        applied: restored.applied,
        membership: restored.appliedMembership,
      },
    )
  }

  private makeWatches(): WatchHub {
    const { applier } = this
    const { state, clock } = this.deps
    const source = new StateFeed({ state, applier })
    return new WatchHub(this.options, { clock, source, applier, membership: this, faults: this })
  }

  private makeProposals(): Proposals {
    const { id, batchEntriesMax, batchBytesMax, electionTimeoutMsMin: resendMs } = this.options
    const { pendingProposalsMax: pendingMax, pendingProposalBytesMax: pendingBytesMax } = limits
    const { writeWaitMsMax: waitMsMax = limits.writeWaitMsMax, writesFewMax: fewMax = limits.writesFewMax } =
      this.options
    const admission = { waitMsMax, fewMax, fewBytesMax: limits.writesFewBytesMax }
    const { leaders, driver: core, outbox, logTimes: entryTimes } = this
    const { clock, random } = this.deps
    return new Proposals(
      { id, batchEntriesMax, batchBytesMax, pendingMax, pendingBytesMax, resendMs, admission },
      { clock, random, leaders, core, outbox, cluster: this, entryTimes },
    )
  }

  private makeForwarded(slow: SlowLog | null): Forwarded {
    const { leaders, driver: core, outbox, logTimes: entries } = this
    const { clock, random } = this.deps
    const times = slow === null || entries === null ? null : new ForwardedTimes({ clock, random, entries, slow })
    return new Forwarded(this.options, { leaders, core, outbox, times })
  }

  private makeLessor(): Lessor {
    const { driver: core, applier, suspension } = this
    const { clock, state } = this.deps
    const { origin } = this.proposals
    return new Lessor({ leaseDrift: LEASE_DRIFT }, { clock, core, state, applier, suspension, origin, faults: this })
  }

  private makeFeatures(): Features {
    const { raft, applier, proposals, reads, conditions } = this
    const { transport, clock, logger } = this.deps
    return new Features(this.options, { raft, transport, applier, proposals, reads, conditions, clock, logger })
  }

  private makeInbox(): Inbox {
    const { driver, peers, forwarded, proposals, reads, leaderCalls, freshness, suspension, applier } = this
    const { clock } = this.deps
    return new Inbox({
      driver,
      peers,
      forwarded,
      proposals,
      reads,
      leaderCalls,
      freshness,
      suspension,
      clock,
      applier,
    })
  }

  private makeSnapshotSender(): SnapshotSender {
    const { leaders, applier, raft, driver: core } = this
    const { state, transport, clock, logger } = this.deps
    return new SnapshotSender(this.options, {
      state,
      transport,
      clock,
      logger,
      leaders,
      applier,
      raft,
      core,
      faults: this,
    })
  }

  private makeSnapshotReceiver(): SnapshotReceiver {
    const { inbox: gate, driver: core, applier, rows, consequences } = this
    const { state, logger, diskUsage } = this.deps
    const { idempotentWritesMax } = this.options
    return new SnapshotReceiver({
      state,
      logger,
      gate,
      core,
      applier,
      rows,
      consequences,
      diskUsage,
      idempotentWritesMax,
      faults: this,
    })
  }
}
