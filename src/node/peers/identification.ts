import type { Clock } from '../../ports/clock.ts'
import type { NodeId, Raft } from '../../raft/index.ts'

interface CoreDriver {
  readonly raft: Pick<Raft, 'state' | 'effectiveMembership' | 'changeMembership'>
  input<T>(step: () => T): T
}

export interface IdentificationDependencies {
  /** Its driver is made later. */
  readonly replica: { readonly driver: CoreDriver }
  readonly peers: { incarnationOf(id: NodeId): string | null }
  readonly clock: Clock
}

/**
 * Writes down in the log who the members are. A cluster is formed by an entry that names no incarnations, because every node that forms it
 * has to write the same bytes. So a member that joins in later would take whoever it meets first for the voter, even a voter that has lost
 * its data (raft.md 4). As soon as a leader is established, it appends a membership with the incarnations that it knows, and another one
 * when it meets a member that was missing.
 */
export class Identification {
  private readonly deps: IdentificationDependencies
  /** Something may be known that the membership lacks. */
  private isDue = true

  constructor(deps: IdentificationDependencies) {
    this.deps = deps
  }

  /** To be called when a member was met, when another node may lead, and when the membership has changed. */
  onChanged(): void {
    this.isDue = true
    this.look()
  }

  /** To be called after entries were applied: then an earlier change may be over that stood in the way. */
  look(): void {
    const { replica, peers, clock } = this.deps
    const { driver } = replica
    const { raft } = driver
    if (!this.isDue || raft.state !== 'leader') return
    this.isDue = false
    // Whoever joins a single node is added by an entry that names the incarnation of both.
    if (raft.effectiveMembership.membership.nodes.size === 1) return
    const outcome = driver.input(() =>
      raft.changeMembership(clock.now(), { type: 'identify' }, null, (id) => peers.incarnationOf(id)),
    )
    this.isDue = outcome.kind === 'in-progress' || outcome.kind === 'transferring'
  }
}
