import type { NodeStateView } from '../../api/cluster.ts'
import { RequestError } from '../../lib/errors.ts'
import type { NodeId, RaftView } from '../../raft/index.ts'
import type { Replica } from '../replica.ts'

export interface ServingDependencies {
  readonly replica: Replica
  /** What has broken this node, if anything has. */
  readonly fault: { readonly error: Error | null }
}

/** Whether this node serves clients, or why it does not. */
export class Serving {
  private readonly id: NodeId
  private readonly deps: ServingDependencies
  private stopping = false

  constructor(options: { readonly id: NodeId }, dependencies: ServingDependencies) {
    this.id = options.id
    this.deps = dependencies
  }

  get isStopping(): boolean {
    return this.stopping
  }

  onStopping(): void {
    this.stopping = true
  }

  state(): NodeStateView {
    if (this.stopping) return 'shutdown'
    const { isRemoved, raft } = this.deps.replica
    return isRemoved ? 'removed' : raft.view().state
  }

  /** Throws `RequestError` when this node cannot serve data at all: it is pristine, removed or shutting down. */
  check(): void {
    const { replica, fault } = this.deps
    const isEnding = fault.error !== null || this.stopping
    const { nodes } = replica.raft.effectiveMembership.membership
    if (nodes.has(this.id) && !isEnding && !replica.peers.removal.isValid) return
    if (isEnding) throw new RequestError('shutting-down', 'this node is stopping; ask another one')
    if (this.state() === 'removed') {
      throw new RequestError(
        'removed',
        'this node was removed from its cluster; ask a member, or wipe this node and add it again',
      )
    }
    const view = replica.raft.view()
    if (view.effective.logId === null) throw noMembership(view)
  }
}

/** Why a node that knows no membership cannot say who belongs to its cluster. */
export function noMembership({ recovering }: RaftView): RequestError {
  if (recovering) {
    return new RequestError(
      'no-leader',
      'the log of this node was damaged from its first entry on, and no leader has sent it again yet; ask another node',
      { leader: null },
    )
  }
  return new RequestError(
    'not-initialized',
    'this node belongs to no cluster yet: POST /cluster/initialize, or add it to a cluster with POST /cluster/learners',
  )
}
