import { RequestError } from '../../lib/errors.ts'
import type { LogIndex, NodeId, Raft } from '../../raft/index.ts'
import { indexOf } from '../../raft/index.ts'
import type { Backlog } from './backlog.ts'
import type { Proposals } from './proposals.ts'
import type { Reads } from './reads.ts'

export interface RemovalDependencies {
  readonly raft: Raft
  readonly proposals: Proposals
  readonly reads: Reads
  readonly backlog: Backlog
  readonly applier: { readonly appliedIndex: LogIndex }
}

/**
 * Whether this node was removed, as far as its own log shows, and how it answers the requests that it took before. It learns of nothing
 * that is committed after its removal. So these requests are answered once it has applied everything that it knows, and do not wait for
 * their deadlines.
 */
export class Removal {
  private readonly id: NodeId
  private readonly deps: RemovalDependencies
  /** False while the node is known to be a member: then nothing has to be checked for every entry. */
  private mayBeOutside = true

  constructor(options: { readonly id: NodeId }, deps: RemovalDependencies) {
    this.id = options.id
    this.deps = deps
  }

  /**
   * A node that is still being sent entries that others have committed is reading an old membership: it may be a member further on in the
   * log.
   */
  get isRemoved(): boolean {
    return this.isOutside() && !this.deps.backlog.isBehind
  }

  /** The membership, or this node's part in it, has changed. */
  onChanged(): void {
    this.mayBeOutside = this.isOutside()
    if (this.mayBeOutside) this.settle()
  }

  onApplied(): void {
    if (this.mayBeOutside) this.settle()
  }

  private settle(): void {
    const { raft, proposals, reads, applier } = this.deps
    if (!this.isRemoved || applier.appliedIndex < raft.view().committed) return
    const error = new RequestError('removed', 'this node was removed from its cluster; ask a member')
    proposals.abandon(error)
    reads.abandon(error)
  }

  private isOutside(): boolean {
    const { effective, committedMembership, state } = this.deps.raft.view()
    const { configs, nodes } = effective.membership
    // An uncommitted change may still be undone. A leader that removes itself leads until it has handed over.
    const isCommitted = indexOf(committedMembership.logId) >= indexOf(effective.logId)
    return configs.length > 0 && isCommitted && !nodes.has(this.id) && state !== 'leader'
  }
}
