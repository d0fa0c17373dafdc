import { RequestError } from '../lib/errors.ts'
import type { LogIndex, NodeId, Raft } from '../raft/index.ts'
import { indexOf } from '../raft/index.ts'
import type { Proposals } from './proposals.ts'
import type { Reads } from './reads.ts'

export interface DepartureDependencies {
  readonly id: NodeId
  readonly raft: Raft
  readonly proposals: Proposals
  readonly reads: Reads
  readonly applied: () => LogIndex
}

/**
 * What a node that was removed owes to those who asked it before: it learns of nothing that is committed after its removal, so they get
 * their answers once it has applied everything it knows, and do not wait for their deadlines.
 */
export class Departure {
  private readonly deps: DepartureDependencies
  private leaving = false

  constructor(deps: DepartureDependencies) {
    this.deps = deps
  }

  /** The membership or this node's part in it changed. */
  onChanged(): void {
    const { id, raft } = this.deps
    const { effective, committedMembership, state } = raft.view()
    const isCommitted = indexOf(committedMembership.logId) >= indexOf(effective.logId)
    const isKnown = effective.membership.configs.length > 0
    // A leader that removes itself leads until it has handed over.
    this.leaving = isKnown && isCommitted && !effective.membership.nodes.has(id) && state !== 'leader'
    this.settle()
  }

  onApplied(): void {
    if (this.leaving) this.settle()
  }

  private settle(): void {
    const { raft, proposals, reads, applied } = this.deps
    if (!this.leaving || applied() < raft.view().committed) return
    const error = new RequestError('removed', 'this node was removed from its cluster; ask a member')
    proposals.abandon(error)
    reads.abandon(error)
  }
}
