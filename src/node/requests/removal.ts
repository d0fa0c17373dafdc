import { RequestError } from '../../lib/errors.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogIndex, Raft } from '../../raft/index.ts'
import { indexOf } from '../../raft/index.ts'
import type { Freshness } from './freshness.ts'
import type { NodeOptions } from '../options.ts'
import type { Proposals } from './proposals.ts'
import type { Reads } from './reads.ts'

export type RemovalOptions = Pick<NodeOptions, 'id' | 'electionTimeoutMsMax'>

export interface RemovalDependencies {
  readonly raft: Raft
  readonly proposals: Proposals
  readonly reads: Reads
  readonly freshness: Freshness
  readonly clock: Clock
  readonly applied: () => LogIndex
}

/**
 * Whether this node was removed, as far as its own log shows, and how it answers the requests that it took before. It learns of nothing
 * that is committed after its removal. So these requests are answered once it has applied everything that it knows, and do not wait for
 * their deadlines.
 */
export class Removal {
  private readonly options: RemovalOptions
  private readonly deps: RemovalDependencies
  /** False while the node is known to be a member: then nothing has to be checked for every entry. */
  private mayBeOutside = true

  constructor(options: RemovalOptions, deps: RemovalDependencies) {
    this.options = options
    this.deps = deps
  }

  /**
   * A node that is still being sent entries that others have committed is reading an old membership: it may be a member further on in the
   * log.
   */
  get isRemoved(): boolean {
    return this.isOutside() && !this.isBehind
  }

  /** Whether entries that others have committed are still to come to this node. */
  get isBehind(): boolean {
    const { raft, freshness, clock } = this.deps
    return freshness.isBehind(indexOf(raft.view().last), clock.now() - this.options.electionTimeoutMsMax)
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
    const { raft, proposals, reads, applied } = this.deps
    if (!this.isRemoved || applied() < raft.view().committed) return
    const error = new RequestError('removed', 'this node was removed from its cluster; ask a member')
    proposals.abandon(error)
    reads.abandon(error)
  }

  private isOutside(): boolean {
    const { effective, committedMembership, state } = this.deps.raft.view()
    const { configs, nodes } = effective.membership
    // An uncommitted change may still be undone. A leader that removes itself leads until it has handed over.
    const isCommitted = indexOf(committedMembership.logId) >= indexOf(effective.logId)
    return configs.length > 0 && isCommitted && !nodes.has(this.options.id) && state !== 'leader'
  }
}
