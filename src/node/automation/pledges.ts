import type { FormationMemory, FormationRegister, Pledge } from '../../ports/automation.ts'
import type { Faults } from '../options.ts'

export interface PledgesDependencies {
  readonly register: FormationRegister
  /** What the register held when this process started. */
  readonly memory: FormationMemory
  /** Whether a cluster of this id carries this node's token. What was promised or met under another token does not count. */
  readonly carriesToken: (clusterId: string) => boolean
  readonly faults: Faults
}

/**
 * What this node has promised to form, and which cluster it has met (raft.md 3). Everything is on disk before another node hears of it.
 *
 * A pledge binds from the moment its write begins until its withdrawal is on disk. Others are told of it only once it is on disk.
 */
export class Pledges {
  private readonly deps: PledgesDependencies
  private stored: FormationMemory
  private coming: Pledge | null = null
  private met: string | null
  /** A write of what was met last is waiting for the one before it. So no more than one waits. */
  private meetingWaits = false
  private saving: Promise<void> = Promise.resolve()

  constructor(deps: PledgesDependencies) {
    this.deps = deps
    this.stored = deps.memory
    this.met = this.stored.metCluster
  }

  /** The round of the latest pledge; 0 before the first. */
  get round(): number {
    return this.stored.round
  }

  /** The pledge that others may be told of. */
  get current(): Pledge | null {
    return this.valid(this.stored.pledge)
  }

  /** A cluster of this node's token that had a leader, met at any time. */
  get metCluster(): string | null {
    return this.met !== null && this.deps.carriesToken(this.met) ? this.met : null
  }

  /** The pledge that keeps this node from taking part in cluster `clusterId`; null when none does. */
  against(clusterId: string): Pledge | null {
    const pledge = this.coming ?? this.current
    return pledge === null || pledge.clusterId === clusterId ? null : pledge
  }

  /** Resolves once others may be told of the pledge. Each round is used only once. */
  async give(pledge: Pledge, round: number): Promise<void> {
    this.coming = pledge
    try {
      await this.change((memory) => ({ ...memory, round, pledge }))
    } finally {
      this.coming = null
    }
  }

  /** Resolves once this node is no longer bound. */
  withdraw(): Promise<void> {
    return this.change((memory) => ({ ...memory, pledge: null }))
  }

  meet(clusterId: string): void {
    if (this.met === clusterId) return
    this.met = clusterId
    if (this.meetingWaits) return
    this.meetingWaits = true
    this.change((memory) => {
      this.meetingWaits = false
      return { ...memory, metCluster: this.met }
    }).catch((error: unknown) => this.deps.faults.report(error))
  }

  private change(edit: (memory: FormationMemory) => FormationMemory): Promise<void> {
    const work = this.saving.then(() => this.save(edit))
    this.saving = work.catch(() => undefined)
    return work
  }

  private async save(edit: (memory: FormationMemory) => FormationMemory): Promise<void> {
    const next = edit(this.stored)
    await this.deps.register.store(next)
    this.stored = next
  }

  private valid(pledge: Pledge | null): Pledge | null {
    return pledge !== null && this.deps.carriesToken(pledge.clusterId) ? pledge : null
  }
}
