import type { Refusal } from '../../ports/transport.ts'
import type { NodeId } from '../../raft/index.ts'
import type { OwnCluster } from './own-cluster.ts'
import type { ClusterToken } from './peers-options.ts'
import { foreignCluster, foreignToken } from './refusals.ts'

export interface ClusterBoundsDependencies {
  readonly ownCluster: OwnCluster
  readonly token: ClusterToken
}

/** What a node says about its cluster when it introduces itself. */
export interface Allegiance {
  /** Null for a node that has no cluster. */
  readonly clusterId: string | null
  /** The digest of its token; null when its build does not say. */
  readonly token: string | null
}

/**
 * Tells nodes of other clusters from those that are of this node's cluster, or could be. Of a node that has a cluster, its id counts. Of one
 * that has none, its token counts: ids of nodes and addresses may well be the same in two clusters, which is no mistake of anybody.
 */
export class ClusterBounds {
  private readonly id: NodeId
  private readonly deps: ClusterBoundsDependencies

  constructor(options: { readonly id: NodeId }, dependencies: ClusterBoundsDependencies) {
    this.id = options.id
    this.deps = dependencies
  }

  /** Why node `from` has nothing to do with this node's cluster; null when it may have. */
  refuse(from: NodeId, { clusterId, token }: Allegiance): Refusal | null {
    const ours = this.deps.ownCluster.id
    if (clusterId !== null) {
      const isForeign = ours === null ? !this.deps.token.isCarriedBy(clusterId) : ours !== clusterId
      return isForeign ? foreignCluster(this.id, ours, from, clusterId) : null
    }
    const expected = ours === null ? this.deps.token.digest : this.deps.token.digestOf(ours)
    return token === null || token === expected ? null : foreignToken(this.id, ours, from)
  }
}
