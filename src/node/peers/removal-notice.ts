import type { NodeReport } from '../../ports/transport.ts'
import type { NodeId, StoredMembership } from '../../raft/index.ts'
import { compareLogIds } from '../../raft/index.ts'
import type { Backlog, MembershipSource } from './peers-options.ts'
import type { Warnings } from './warnings.ts'

export interface RemovalNoticeDependencies {
  readonly id: NodeId
  readonly raft: MembershipSource
  readonly backlog: Backlog
  readonly warned: Warnings
}

/**
 * What peers say about the removal of this node. A node that was away cannot learn of its removal from its own log. But a node that still
 * reads the log from before it was added hears the same from every peer that has not read further either: that is no removal.
 */
export class RemovalNotice {
  private readonly deps: RemovalNoticeDependencies
  /** A membership without this node, as a peer reported it. */
  private told: StoredMembership | null = null

  constructor(deps: RemovalNoticeDependencies) {
    this.deps = deps
  }

  /** Whether a peer reported a membership without this node that is not older than this node's own. */
  get isValid(): boolean {
    const { raft, backlog } = this.deps
    return (
      this.told !== null && compareLogIds(this.told.logId, raft.effectiveMembership.logId) >= 0 && !backlog.isBehind
    )
  }

  onReport({ id, effective }: NodeReport): void {
    const { nodes, configs } = effective.membership
    const ours = this.deps.raft.effectiveMembership
    if (nodes.has(this.deps.id) || configs.length === 0 || ours.membership.configs.length === 0) return
    if (compareLogIds(effective.logId, ours.logId) < 0) return
    this.told = effective
    if (this.isValid) this.deps.warned.raise('removed', 'self', `node ${id} knows a later membership without this node`)
  }

  /** The reported removal may have been undone since. A leader speaks only to members, and for a short while to nodes that leave. */
  onLeaderHeard(): void {
    this.told = null
    this.deps.warned.clear('removed', 'self')
  }
}
