import { RequestError } from '../lib/errors.ts'
import type { CommandResult } from '../kv/index.ts'
import { KvMachine } from '../kv/index.ts'
import { limits } from '../limits.ts'
import type { PeerMessage, SnapshotSource } from '../ports/transport.ts'
import type { LogId, LogIndex, NodeId, RaftEvent } from '../raft/index.ts'
import { Raft, indexOf } from '../raft/index.ts'
import { Applier } from './state/applier.ts'
import { Conditions } from './requests/conditions.ts'
import { LeaderCalls } from './requests/leader-calls.ts'
import { RaftDriver } from './driver/raft-driver.ts'
import { Removal } from './requests/removal.ts'
import { entryCodec } from './codec/entry.ts'
import { Forwarded } from './requests/forwarded.ts'
import { Freshness } from './requests/freshness.ts'
import { Inbox } from './inbox.ts'
import type { NodeDependencies, NodeOptions } from './options.ts'
import type { Peers } from './peers/peers.ts'
import type { LeaderHint } from './requests/proposals.ts'
import { Proposals } from './requests/proposals.ts'
import { RaftJournal } from './driver/raft-journal.ts'
import { diskPatience, leaseDriftMs, raftOptions } from './driver/raft-options.ts'
import { Reads } from './requests/reads.ts'
import { Rows } from './state/rows.ts'
import type { ReceivedSnapshot } from './snapshots/snapshot-receiver.ts'
import { SnapshotReceiver } from './snapshots/snapshot-receiver.ts'
import { SnapshotSender } from './snapshots/snapshot-sender.ts'
import { StateFlusher } from './state/state-flusher.ts'
import type { Startup } from './startup.ts'
import { Suspension } from './driver/suspension.ts'
import { Waits } from './requests/waits.ts'

/** The parts of one replica around its core: applying, proposing, reading, sending the state, and what connects them. */
export class Replica {
  readonly driver: RaftDriver
  readonly rows: Rows
  readonly applier: Applier
  readonly proposals: Proposals
  readonly reads: Reads
  readonly waits: Waits
  readonly conditions: Conditions
  readonly leaderCalls: LeaderCalls
  readonly snapshotSender: SnapshotSender
  readonly snapshotReceiver: SnapshotReceiver
  readonly flusher: StateFlusher
  readonly freshness: Freshness
  readonly suspension: Suspension
  readonly journal: RaftJournal
  private readonly options: NodeOptions
  private readonly deps: NodeDependencies
  private readonly peers: Peers
  private readonly forwarded: Forwarded
  private readonly inbox: Inbox
  readonly removal: Removal
  private stopped = false

  constructor(options: NodeOptions, deps: NodeDependencies, peers: Peers, startup: Startup) {
    this.options = options
    this.deps = deps
    this.peers = peers
    const life = deps.random.integer(0, 2 ** 32)
    this.journal = new RaftJournal(deps.clock, deps.logger, () => this.isMember())
    this.conditions = new Conditions(deps.clock, () => this.raft.view())
    this.driver = this.makeDriver(startup, life)
    this.freshness = new Freshness({ life })
    const onWoken = (): void => this.input(() => this.raft.woken(deps.clock.now()))
    this.suspension = new Suspension({ partMsMax: leaseDriftMs(options) }, { clock: deps.clock, onWoken })
    this.rows = new Rows(deps.state, options.recordCacheBytesMax)
    this.applier = this.makeApplier(startup)
    this.proposals = this.makeProposals()
    const applied = (): LogIndex => this.appliedIndex
    this.waits = new Waits(deps.clock, { revision: () => this.applier.revision, applied })
    this.reads = this.makeReads()
    this.forwarded = new Forwarded(options, {
      leading: () => this.driver.leading(),
      propose: (count, body) => this.propose(count, body),
      stepDown: (reason) => this.input(() => this.raft.stepDown(deps.clock.now(), reason)),
      send: (message) => this.send(message),
    })
    this.leaderCalls = new LeaderCalls(
      { id: options.id, retryMs: options.electionTimeoutMsMin },
      {
        clock: deps.clock,
        random: deps.random,
        leader: () => this.leader(),
        send: (message) => this.send(message),
        onFault: (error) => this.fault(error),
      },
    )
    const { raft, proposals, reads, freshness, suspension } = this
    const { clock } = deps
    this.removal = new Removal(options, { raft, proposals, reads, freshness, clock, applied })
    const { driver, forwarded, leaderCalls } = this
    this.inbox = new Inbox({
      driver,
      peers,
      forwarded,
      proposals,
      reads,
      leaderCalls,
      freshness,
      suspension,
      clock,
      applied,
    })
    this.snapshotSender = this.makeSnapshotSender()
    this.snapshotReceiver = this.makeSnapshotReceiver()
    this.flusher = this.makeFlusher(indexOf(startup.restored.purged))
  }

  get raft(): Raft {
    return this.driver.raft
  }

  get clusterIdentity(): string | null {
    return this.driver.clusterIdentity
  }

  get appliedIndex(): LogIndex {
    return indexOf(this.applier.applied)
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

  leader(): LeaderHint {
    const { state, vote, leader, transferringTo } = this.raft
    if (state === 'leader') {
      return transferringTo === null ? { kind: 'self', leaderId: vote.leaderId } : { kind: 'none' }
    }
    return leader === null || leader === this.options.id ? { kind: 'none' } : { kind: 'other', leader, vote }
  }

  onMessage(message: PeerMessage): string | null {
    return this.stopped ? null : this.inbox.take(message)
  }

  onConnected(peer: NodeId): void {
    if (this.stopped) return
    this.peers.onConnected(peer)
    this.input(() => this.raft.peerConnected(this.deps.clock.now(), peer))
    if (this.raft.leader === peer) this.onLeader(peer)
  }

  onDisconnected(peer: NodeId): void {
    if (!this.stopped) this.input(() => this.raft.peerDisconnected(this.deps.clock.now(), peer))
  }

  onUnreachable(peer: NodeId): void {
    if (this.stopped || !this.peers.onUnreachable(peer)) return
    this.input(() => this.raft.peerUnreachable(this.deps.clock.now(), peer))
  }

  onSnapshot(source: SnapshotSource): void {
    this.snapshotReceiver.onSnapshot(source)
  }

  /** Ends everything; `error` answers the requests that are still open. */
  async stop(error: RequestError): Promise<void> {
    if (this.stopped) return
    this.stopped = true
    this.proposals.close(error)
    this.reads.close(error)
    this.waits.close(error)
    this.leaderCalls.close(error)
    this.conditions.giveUp()
    this.rows.close(error)
    this.snapshotSender.stop()
    this.snapshotReceiver.stop()
    this.flusher.stop()
    await this.driver.stop()
    await this.applier.pause()
    this.applier.stop()
  }

  private send(message: PeerMessage): void {
    if (!this.stopped) this.deps.transport.send(message)
  }

  private propose(count: number, body: Uint8Array): ReturnType<Raft['propose']> {
    return this.input(() => this.raft.propose(this.deps.clock.now(), { count, body }))
  }

  private resume(installed: ReceivedSnapshot | null): void {
    if (installed === null) return this.applier.resume()
    const { from, logId, membership } = installed
    const machine = new KvMachine(this.options, installed.machine)
    // The core comes first: whatever the applier goes on to apply, it reports to the core as applied after the snapshot.
    this.input(() => this.raft.installSnapshot(this.deps.clock.now(), from, installed))
    this.proposals.onSnapshot(logId.leaderId)
    this.applier.resume({ machine, applied: logId, membership })
    this.afterApplied(logId)
  }

  private onEvent(event: RaftEvent): void {
    this.journal.record(event)
    switch (event.type) {
      case 'state-changed':
        if (event.state === 'leader') this.forwarded.onLeading(event.vote.leaderId)
        this.removal.onChanged()
        return this.onLeader()
      case 'leader-changed':
      case 'transfer-ended':
        return this.onLeader()
      case 'membership-changed':
        return this.onMembership(event)
      default:
    }
  }

  private isMember(): boolean {
    const { configs, nodes } = this.raft.effectiveMembership.membership
    return configs.length === 0 || nodes.has(this.options.id)
  }

  private onMembership({ committed, stored }: Extract<RaftEvent, { type: 'membership-changed' }>): void {
    const { effective, committedMembership } = this.raft.view()
    this.peers.onMembership(effective.membership, committedMembership.membership)
    if (committed) this.peers.onCommittedMembership(stored.membership)
    this.removal.onChanged()
  }

  private onLeader(reconnected: NodeId | null = null): void {
    this.proposals.onLeader()
    this.reads.onLeader()
    this.leaderCalls.onLeader()
    if (reconnected !== null) this.leaderCalls.onReconnected(reconnected)
  }

  private onResult(node: number, nonce: number, requestNumber: number, result: CommandResult): void {
    const { origin } = this.proposals
    if (node === origin.node && nonce === origin.nonce) this.proposals.onResult(requestNumber, result)
  }

  private onApplied(logId: LogId): void {
    this.proposals.onApplied(logId.leaderId)
    this.input(() => this.raft.applied(this.deps.clock.now(), logId.index))
    this.afterApplied(logId)
  }

  private afterApplied(logId: LogId): void {
    this.freshness.onApplied(logId.index)
    this.reads.onApplied(logId.index)
    this.waits.onApplied()
    this.removal.onApplied()
    this.conditions.changed()
    this.flusher.onApplied(logId.index)
  }

  private fault(error: Error): void {
    if (this.stopped) return
    this.deps.logger.error({ error: error.message }, 'fault: this node stops')
    this.deps.onFault(error)
    this.stop(new RequestError('shutting-down', 'this node has stopped because of a fault')).catch((late: unknown) =>
      this.deps.logger.error({ error: String(late) }, 'stopping after a fault failed'),
    )
  }

  private makeDriver({ restored, clusterId }: Startup, life: number): RaftDriver {
    const { clock, log, transport, logger, random } = this.deps
    const createRaft = this.deps.createRaft ?? ((...parts) => new Raft(...parts))
    const raft = createRaft(raftOptions(this.options, life), restored, { random, codec: entryCodec }, clock.now())
    const deps = {
      raft,
      log,
      clock,
      transport,
      logger,
      onJoined: (from: NodeId | null) => this.peers.onJoined(from),
      onSnapshotPlan: (plan: Parameters<SnapshotSender['start']>[0]) => this.snapshotSender.start(plan),
      onCommitted: (index: LogIndex) => this.applier.commitTo(index),
      onEvent: (event: RaftEvent) => this.onEvent(event),
      onRead: (release: Parameters<Reads['onRelease']>[0]) => this.reads.onRelease(release),
      onChanged: () => this.conditions.changed(),
      onFault: (error: Error) => this.fault(error),
    }
    const { appendBytesMax } = this.options
    return new RaftDriver({ frameBytesMax: appendBytesMax * 2, disk: diskPatience(this.options) }, deps, clusterId)
  }

  private makeApplier({ meta, restored }: Startup): Applier {
    const { driver, rows } = this
    const { appendBytesMax } = this.options
    return new Applier(
      { batchBytesMax: appendBytesMax * 4 },
      {
        rows,
        clock: this.deps.clock,
        readCached: (first, last, bytesMax) => driver.readCached(first, last, bytesMax),
        read: (first, last, bytesMax) => driver.read(first, last, bytesMax),
        onResult: (entry, result) => this.onResult(entry.originNode, entry.originNonce, entry.requestNumber, result),
        onApplied: (logId) => this.onApplied(logId),
        onFault: (error) => this.fault(error),
      },
      {
        machine: new KvMachine(this.options, meta?.machine ?? null),
        applied: restored.applied,
        membership: restored.appliedMembership,
      },
    )
  }

  private makeProposals(): Proposals {
    const { id, batchEntriesMax, batchBytesMax, electionTimeoutMsMin } = this.options
    const { clock, random } = this.deps
    return new Proposals(
      {
        id,
        batchEntriesMax,
        batchBytesMax,
        pendingMax: limits.pendingProposalsMax,
        pendingBytesMax: limits.pendingProposalBytesMax,
        resendMs: electionTimeoutMsMin,
      },
      {
        clock,
        random,
        leader: () => this.leader(),
        propose: (count, body) => this.propose(count, body),
        send: (message) => this.send(message),
      },
    )
  }

  private makeReads(): Reads {
    const { clock, random } = this.deps
    return new Reads(
      { id: this.options.id, retryMs: this.options.electionTimeoutMsMin },
      {
        clock,
        random,
        room: this.waits.room,
        leader: () => this.leader(),
        read: (readId) => this.input(() => this.raft.read(clock.now(), readId)),
        send: (message) => this.send(message),
        applied: () => this.appliedIndex,
      },
    )
  }

  private makeSnapshotSender(): SnapshotSender {
    const { state, transport, clock, logger } = this.deps
    return new SnapshotSender(this.options, {
      state,
      transport,
      clock,
      logger,
      leadsUnder: (vote) => this.driver.leadsUnder(vote),
      settle: () => this.applier.settle(),
      lastIndex: () => indexOf(this.raft.view().last),
      onReport: (to, session, report) => this.input(() => this.raft.snapshotReport(clock.now(), to, session, report)),
      onFault: (error) => this.fault(error),
    })
  }

  private makeSnapshotReceiver(): SnapshotReceiver {
    const { state, logger, clock, freeBytes } = this.deps
    return new SnapshotReceiver({
      state,
      logger,
      freeBytes,
      idempotentWritesMax: this.options.idempotentWritesMax,
      refuse: (source) => this.inbox.refuse(source),
      offer: (source) => this.inbox.offer(source),
      onProgress: (from, vote) => this.input(() => this.raft.snapshotProgress(clock.now(), from, vote)),
      pause: () => this.applier.pause(),
      replace: (commit) => this.rows.replace(commit),
      isAhead: (logId) => logId.index > this.appliedIndex,
      resume: (installed) => this.resume(installed),
      onFault: (error) => this.fault(error),
    })
  }

  private makeFlusher(flushedAt: LogIndex): StateFlusher {
    const { log, state, clock } = this.deps
    const { applier } = this
    const onDurable = (logId: LogId): void => this.input(() => this.raft.stateDurable(clock.now(), logId))
    const deps = { log, state, applier, onDurable, onFault: (error: Error) => this.fault(error) }
    return new StateFlusher(this.options, deps, flushedAt)
  }
}
