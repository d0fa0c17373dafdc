import type { LeaseEvent } from '../../kv/index.ts'
import {
  decodeLease,
  encodeCommand,
  leaseOfRow,
  leaseRange,
  lengthOf,
  NODE_ITSELF,
  rowFromBytes,
} from '../../kv/index.ts'
import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { StateStore, StateView } from '../../ports/state-store.ts'
import { commandEntries, type Origin } from '../codec/entry.ts'
import type { Faults } from '../options.ts'
import type { Proposer } from '../requests/proposals.ts'
import { rowPages } from '../state/row-pages.ts'
import { LeaseTerms, type OverdueLease } from './lease-terms.ts'

export interface LessorOptions {
  /** How much the clocks of two nodes may differ in speed, as a part: 0.1. */
  readonly leaseDrift: number
}

export interface LessorDependencies {
  readonly clock: Clock
  readonly core: Proposer
  readonly state: StateStore
  /** How many leases there are. `settle` resolves when the store holds all that is applied. */
  readonly applier: { readonly leaseCount: number; settle(): Promise<unknown> }
  /** Whose entries those of this node are. */
  readonly origin: Origin
  /** Tells of a suspension of the machine, by a call to `onWoken`. */
  readonly suspension: { look(): number }
  readonly faults: Faults
}

/** How long after a refused proposal the next one is made, and how far apart looks at the leases are at least. */
const RETRY_MS = 50
const LOOK_MS = 10
/** How long a request that ends a lease with many keys has for its next step, before this node takes that in its place: it counts what it deletes. */
const STEP_MS = 1_000
/** Timers of the platform cannot be set for longer than 24 days, and a lease may last for 30. */
const LOOK_MS_MAX = 3_600_000
/** The entries of the lessor are numbered from here on: no client's request of this process has such a number. */
const FIRST_ENTRY = 2 ** 47

/**
 * Measures the leases while this node leads, and proposes the end of those whose time is up.
 *
 * The machine knows no time. The time of a lease is measured from the moment at which this node applies its grant or renewal, which is later
 * than the moment at which its holder asked for it. A new leader does not know how much of each lease has passed, so all of them begin again at
 * their full length. The end of a lease names the last renewal that this node has seen: when another one is ahead of it in the log, the lease
 * stays. And it is proposed under this node's own ballot only: when it stops leading, nobody else proposes it in its place.
 */
export class Lessor {
  /** How many leases this node has ended because their time was up. */
  expired = 0
  private readonly deps: LessorDependencies
  private readonly terms: LeaseTerms
  /** Leases whose end is proposed, and not executed yet. */
  private readonly ending = new Set<number>()
  /** Leases that a request has begun to end. */
  private readonly released = new Set<number>()
  private entries = FIRST_ENTRY
  /** Counts the times at which this node has begun or ceased to lead. */
  private reign = 0
  private leads = false
  private stopped = false
  private timer: { readonly at: number; readonly cancel: () => void } | null = null

  constructor(options: LessorOptions, deps: LessorDependencies) {
    this.deps = deps
    this.terms = new LeaseTerms(options.leaseDrift)
  }

  /** To be called when this node may have begun or ceased to lead. */
  onLeading(leads: boolean): void {
    if (this.leads === leads || this.stopped) return
    this.leads = leads
    this.reset()
    if (leads && this.deps.applier.leaseCount > 0)
      this.gather(this.reign).catch((error: unknown) => this.deps.faults.report(error))
  }

  /** Entries were executed. */
  onEvents(events: readonly LeaseEvent[]): void {
    if (!this.leads) return
    const now = this.deps.clock.now()
    for (const event of events) this.onEvent(event, now)
    this.arm()
  }

  /** How long ago anything happened is not known any more. */
  onWoken(): void {
    this.terms.restartAll(this.deps.clock.now())
  }

  /** How much time a lease has left; null: this node does not know it. Only the leader knows any. */
  remainingMs(lease: number): number | null {
    return this.terms.remainingMs(lease, this.deps.clock.now())
  }

  stop(): void {
    this.stopped = true
    this.leads = false
    this.reset()
  }

  private reset(): void {
    this.reign += 1
    this.terms.clear()
    this.ending.clear()
    this.released.clear()
    this.timer?.cancel()
    this.timer = null
  }

  private onEvent(event: LeaseEvent, now: number): void {
    switch (event.type) {
      case 'started':
        return this.terms.start(event.lease, event.lengthMs, event.revision, now)
      case 'ending':
        return this.onEnding(event.lease, event.revision, now)
      case 'ended':
        if (this.ending.delete(event.lease) && !this.released.has(event.lease)) this.expired += 1
        this.released.delete(event.lease)
        return this.terms.forget(event.lease)
      case 'kept':
        this.ending.delete(event.lease)
        return
      case 'lock-acquired':
    }
  }

  /** More of its keys are left than one entry removes. */
  private onEnding(lease: number, revision: number, now: number): void {
    this.terms.start(lease, 0, revision, now)
    if (this.ending.delete(lease)) return
    this.released.add(lease)
    this.terms.postpone(lease, now + STEP_MS)
  }

  /** Begins the time of every lease that is there. Those that have changed meanwhile are known by then. */
  private async gather(reign: number): Promise<void> {
    await this.deps.applier.settle()
    if (reign !== this.reign) return
    const view = await this.deps.state.view()
    try {
      await this.gatherFrom(view, reign)
    } finally {
      await view.close()
    }
  }

  private async gatherFrom(view: StateView, reign: number): Promise<void> {
    const page = { limit: limits.streamRecordsMax, bytesMax: limits.streamBytesMax }
    for await (const rows of rowPages(view, leaseRange(0), page)) {
      if (reign !== this.reign) return
      const now = this.deps.clock.now()
      for (const { key, value } of rows) this.take(leaseOfRow(rowFromBytes(key)), value, now)
      this.arm()
    }
  }

  /** A lease that ended after the view was opened comes back here, until the proposal to end it finds that there is no such lease. */
  private take(lease: number | null, row: Uint8Array, now: number): void {
    if (lease === null || this.terms.has(lease)) return
    const found = decodeLease(row)
    this.terms.start(lease, found.isEnding ? 0 : lengthOf(found), found.renewedAt, now)
  }

  private arm(): void {
    const { nextAt } = this.terms
    if (nextAt === null || !this.leads) return
    if (this.timer !== null && this.timer.at <= nextAt) return
    this.timer?.cancel()
    const now = this.deps.clock.now()
    const at = Math.min(nextAt, now + LOOK_MS_MAX)
    const cancel = this.deps.clock.after(Math.max(LOOK_MS, at - now), () => {
      this.timer = null
      this.look()
    })
    this.timer = { at, cancel }
  }

  private look(): void {
    this.deps.suspension.look()
    const now = this.deps.clock.now()
    const overdue = this.terms.takeOverdue(now, limits.lease.endsInFlightMax - this.ending.size)
    if (overdue.length > 0) this.propose(overdue, now)
    this.arm()
  }

  private propose(overdue: readonly OverdueLease[], now: number): void {
    const commands = overdue.map(({ lease: id, revision: ifRenewedAt }) => ({
      number: this.entries++,
      command: encodeCommand({ type: 'lease-revoke', id, ifRenewedAt, token: NODE_ITSELF, idempotency: null }),
    }))
    const body = commandEntries(this.deps.origin, commands)
    // A core that is alone may execute them during the call.
    for (const { lease } of overdue) this.ending.add(lease)
    if (this.deps.core.propose(commands.length, body).kind === 'accepted') return
    for (const { lease } of overdue) {
      this.ending.delete(lease)
      this.terms.postpone(lease, now + RETRY_MS)
    }
  }
}
