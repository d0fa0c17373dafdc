import { dropOldest } from '../../lib/drop-oldest.ts'
import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { NodeId, RaftView, TransferOutcome } from '../../raft/index.ts'
import { futureVotersOf, indexOf, isJoint } from '../../raft/index.ts'
import type { Logger } from '../options.ts'
import { LEADER_PRIORITY_DEFAULT, PRIORITY_WITHOUT_ROOM, successor, takeover, type Candidate } from './priority.ts'
import type { Replica } from '../replica.ts'
import type { Space } from '../space/space.ts'

export interface PreferenceOptions {
  readonly id: NodeId
  readonly leaderPriority?: number
  readonly electionTimeoutMsMax: number
}

export interface PreferenceDependencies {
  readonly replica: Replica
  readonly clock: Clock
  readonly logger: Logger
  readonly space: Pick<Space, 'roomOf'>
}

const LOOK_MS = 1_000

/** Which nodes should preferably lead: remembers what members say about themselves, and moves leadership where `priority.ts` wants it. */
export class Preference {
  private readonly options: PreferenceOptions
  private readonly deps: PreferenceDependencies
  private readonly priorities = new Map<NodeId, number>()
  private readonly steadySince = new Map<NodeId, number>()
  private handedOverAt: number | null = null
  private cancel: (() => void) | null = null

  constructor(options: PreferenceOptions, deps: PreferenceDependencies) {
    this.options = options
    this.deps = deps
  }

  /** This node's own priority. */
  get own(): number {
    return this.options.leaderPriority ?? LEADER_PRIORITY_DEFAULT
  }

  onReport(id: NodeId, priority: number): void {
    this.priorities.set(id, priority)
    // Members report anew on every connection. Of other nodes that were met, only a limited number is remembered.
    dropOldest(this.priorities, limits.membersMax * 2)
  }

  /** Null for a node that has not reported its priority. */
  priorityOf(id: NodeId): number | null {
    return id === this.options.id ? this.own : (this.priorities.get(id) ?? null)
  }

  start(): void {
    this.cancel = this.deps.clock.after(LOOK_MS, () => {
      this.look()
      this.start()
    })
  }

  stop(): void {
    this.cancel?.()
  }

  /** If this node leads, another one is asked to lead. Resolves once it does, or after one election timeout. */
  async handOver(): Promise<void> {
    const { replica, clock } = this.deps
    const view = replica.raft.view()
    if (view.state !== 'leader') return
    const transfer = (to: NodeId | null): TransferOutcome => replica.input(() => replica.raft.transfer(clock.now(), to))
    const preferred = transfer(this.successorOf(view))
    // The preferred successor may be away by now.
    const outcome = preferred.kind === 'no-target' ? transfer(null) : preferred
    if (outcome.kind !== 'started' && outcome.kind !== 'transferring') return
    await replica.conditions.until(
      ({ state, leader }) => state !== 'leader' && leader !== null,
      this.options.electionTimeoutMsMax,
    )
  }

  /** The node that should lead after this one; null: whichever node the core finds. */
  private successorOf(view: RaftView): NodeId | null {
    const now = this.deps.clock.now()
    return successor(this.candidatesOf(view, (id) => (this.isHeard(view, id, now) ? now : null)))
  }

  private look(): void {
    const { replica } = this.deps
    const now = this.deps.clock.now()
    const view = replica.raft.view()
    this.forgetOthers(view)
    if (view.state !== 'leader') return this.steadySince.clear()
    for (const { id } of view.followers) {
      if (!this.isHeard(view, id, now)) this.steadySince.delete(id)
      else if (!this.steadySince.has(id)) this.steadySince.set(id, now)
    }
    const { effective, committed, established, transferringTo } = view
    const isChanging = indexOf(effective.logId) > committed || isJoint(effective.membership)
    const target = takeover({
      now,
      priority: this.effectivePriorityOf(this.options.id),
      ledSince: replica.journal.ledSince,
      handedOverAt: this.handedOverAt,
      busy: !established || transferringTo !== null || isChanging,
      candidates: this.candidatesOf(view, (id) => this.steadySince.get(id) ?? null),
    })
    if (target === null) return
    this.handedOverAt = now
    this.deps.logger.info(
      { to: target, priority: this.priorityOf(target), own: this.own, room: this.deps.space.roomOf(this.options.id) },
      'leadership handed over by priority',
    )
    replica.input(() => replica.raft.transfer(now, target))
  }

  private candidatesOf(view: RaftView, steadySince: (id: NodeId) => number | null): Candidate[] {
    const voters = futureVotersOf(view.effective.membership)
    return view.followers
      .filter(({ id }) => voters.includes(id))
      .map(({ id, mode, matched }) => ({
        id,
        mode,
        priority: this.effectivePriorityOf(id),
        lag: indexOf(view.last) - matched,
        steadySince: steadySince(id),
      }))
  }

  /** A node whose disk is short leads only where all are: leading takes no more space, but a leader that stops is missed most. */
  private effectivePriorityOf(id: NodeId): number {
    if (this.deps.space.roomOf(id) !== 'ample') return PRIORITY_WITHOUT_ROOM
    return this.priorityOf(id) ?? LEADER_PRIORITY_DEFAULT
  }

  private isHeard({ followers }: RaftView, id: NodeId, now: number): boolean {
    const heardAt = followers.find((one) => one.id === id)?.heardAt ?? null
    return heardAt !== null && now <= heardAt + this.options.electionTimeoutMsMax
  }

  private forgetOthers({ effective }: RaftView): void {
    const { nodes, configs } = effective.membership
    if (configs.length === 0) return
    for (const id of this.priorities.keys()) if (!nodes.has(id)) this.priorities.delete(id)
  }
}
