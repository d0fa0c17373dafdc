import type { EntryChanges, KvMachineOptions, LeaseEvent } from '../kv/index.ts'
import { KvMachine } from '../kv/index.ts'
import type { Clock } from '../ports/clock.ts'
import type { LogId, NodeId, RaftEvent } from '../raft/index.ts'
import type { Expiry } from './auth/expiry.ts'
import type { Permissions } from './auth/permissions.ts'
import type { Historian } from './history/historian.ts'
import type { RaftDriver } from './driver/raft-driver.ts'
import type { RaftJournal } from './driver/raft-journal.ts'
import type { Lessor } from './leases/lessor.ts'
import type { LockWaits } from './leases/lock-waits.ts'
import { Identification } from './peers/identification.ts'
import type { Peers } from './peers/peers.ts'
import type { Conditions } from './requests/conditions.ts'
import type { Features } from './requests/features.ts'
import type { Forwarded } from './requests/forwarded.ts'
import type { Freshness } from './requests/freshness.ts'
import type { LeaderCalls } from './requests/leader-calls.ts'
import type { Proposals } from './requests/proposals.ts'
import type { Reads } from './requests/reads.ts'
import type { Removal } from './requests/removal.ts'
import type { Waits } from './requests/waits.ts'
import type { ReceivedSnapshot } from './snapshots/snapshot-receiver.ts'
import type { Applier } from './state/applier.ts'
import type { StateFlusher } from './state/state-flusher.ts'
import type { WatchHub } from './watches/watch-hub.ts'

/**
 * The parts of a replica that are told of something. Some of them are made after those that tell, so they are looked up when there is
 * something to tell: that is never before the first input of the core, when all of them exist.
 */
export interface Concerned {
  readonly driver: RaftDriver
  readonly applier: Applier
  readonly proposals: Proposals
  readonly forwarded: Forwarded
  readonly reads: Reads
  readonly waits: Waits
  readonly leaderCalls: LeaderCalls
  readonly removal: Removal
  readonly flusher: StateFlusher
  readonly features: Features
  readonly watches: WatchHub
  readonly historian: Historian
  readonly lessor: Lessor
  readonly lockWaits: LockWaits
  readonly permissions: Permissions
  readonly expiry: Expiry
}

export interface ConsequencesDependencies {
  readonly concerned: Concerned
  readonly peers: Peers
  readonly journal: RaftJournal
  readonly freshness: Freshness
  readonly conditions: Conditions
  readonly clock: Clock
}

/** Tells the parts of a node, in a fixed order, when the core reports an event, entries are applied, or a state from another node is installed. */
export class Consequences {
  private readonly options: KvMachineOptions
  private readonly deps: ConsequencesDependencies
  private readonly identification: Identification

  constructor(options: KvMachineOptions, deps: ConsequencesDependencies) {
    this.options = options
    this.deps = deps
    this.identification = new Identification({ ...deps, replica: deps.concerned })
  }

  onEvent(event: RaftEvent): void {
    const { journal, concerned } = this.deps
    journal.record(event)
    switch (event.type) {
      case 'state-changed':
        if (event.state === 'leader') concerned.forwarded.onLeading(event.vote.leaderId)
        concerned.removal.onChanged()
        concerned.lessor.onLeading(event.state === 'leader')
        return this.onLeader()
      case 'leader-changed':
      case 'transfer-ended':
        return this.onLeader()
      case 'membership-changed':
        this.connectMembers()
        if (event.committed) this.deps.peers.onCommittedMembership(event.stored.membership)
        this.identification.onChanged()
        return concerned.removal.onChanged()
      default:
    }
  }

  /** Connections follow the membership that the core has now. */
  connectMembers(): void {
    const { effective, committedMembership } = this.deps.concerned.driver.raft.view()
    this.deps.peers.onMembership(effective.membership, committedMembership.membership)
  }

  /** A connection to a peer is up, and the peer has said who it is. */
  onMet(): void {
    this.deps.concerned.features.look()
    this.identification.onChanged()
  }

  /** The leader may be another one, or, if it is `reconnected`, may have missed what it was sent. */
  onLeader(reconnected: NodeId | null = null): void {
    const { proposals, reads, leaderCalls, historian, expiry } = this.deps.concerned
    proposals.onLeader()
    reads.onLeader()
    leaderCalls.onLeader()
    this.identification.onChanged()
    historian.look()
    expiry.look()
    if (reconnected !== null) leaderCalls.onReconnected(reconnected)
  }

  /** A command has changed leases, and its request is answered. */
  onLeaseEvents(events: readonly LeaseEvent[]): void {
    const { lessor, lockWaits } = this.deps.concerned
    lessor.onEvents(events)
    lockWaits.onEvents(events)
  }

  /** Entries up to `logId` are applied, and their requests are answered. */
  onApplied(logId: LogId): void {
    const { proposals, driver } = this.deps.concerned
    proposals.onApplied(logId.leaderId)
    driver.onApplied(logId.index)
    this.onAdvanced(logId)
  }

  get isWatched(): boolean {
    return this.deps.concerned.watches.isWatched
  }

  /** What commands have changed: after `onApplied` for them. */
  onChanged(changes: readonly EntryChanges[]): void {
    this.deps.concerned.watches.onChanges(changes)
  }

  /** A state from another node has taken the place of this node's own, and the applier is paused. */
  onInstalled(snapshot: ReceivedSnapshot): void {
    const { driver, proposals, applier, watches, lockWaits } = this.deps.concerned
    const { from, logId, membership } = snapshot
    const machine = new KvMachine(this.options, snapshot.machine, snapshot.auth)
    // The core comes first: whatever the applier goes on to apply, it reports to the core as applied after the snapshot.
    driver.input(() => driver.raft.installSnapshot(this.deps.clock.now(), from, snapshot))
    proposals.onSnapshot(logId.leaderId)
    watches.onInstalled(snapshot.machine.revision)
    applier.resume({ machine, applied: logId, membership })
    lockWaits.onInstalled()
    this.onAdvanced(logId)
  }

  private onAdvanced({ index }: LogId): void {
    const { freshness, conditions, concerned } = this.deps
    if (concerned.permissions.look()) concerned.expiry.look()
    freshness.onApplied(index)
    concerned.forwarded.onApplied(index)
    concerned.reads.onApplied(index)
    concerned.waits.onApplied()
    concerned.removal.onApplied()
    concerned.features.look()
    this.identification.look()
    conditions.changed()
    concerned.flusher.onApplied(index)
    concerned.historian.look()
  }
}
