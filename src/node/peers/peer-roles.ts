import type { PeerMessage } from '../../ports/transport.ts'
import type { NodeId } from '../../raft/index.ts'
import type { Incarnations } from './incarnations.ts'
import type { OwnCluster } from './own-cluster.ts'
import type { AdoptionRule, ClusterToken } from './peers-options.ts'
import { isPromise, type IncarnationAttestations } from './incarnation-attestations.ts'

/**
 * The role of a peer, as this node sees it (docs/internals/peers.md):
 *
 *  - `member`: of this cluster, and in a membership that this node knows
 *  - `unlisted`: of this cluster, but in no membership that this node has read so far: it was added later in the log, and may be the leader
 *  - `introducer`: this node has no cluster, and the peer is of one that it may join
 *  - `stranger`: anybody else
 */
export type PeerRole = 'member' | 'unlisted' | 'introducer' | 'stranger'

/** The cluster and incarnation that a peer last introduced itself with; null for what it has not said. */
export interface Introduction {
  readonly clusterId: string | null
  readonly incarnation: string | null
}

export interface PeerRolesDependencies {
  readonly incarnations: Incarnations
  readonly attestations: IncarnationAttestations
  readonly ownCluster: OwnCluster
  readonly token: ClusterToken
  readonly adoption: AdoptionRule
  /** Whether a membership that this node knows names the node, or did so until a moment ago. */
  readonly isNamed: (id: NodeId) => boolean
  /** Whether members of a cluster say that this node has lost the data that it had there. */
  readonly hasLostData: () => boolean
}

/** Tells who may say what to this node. What a peer may say is not thereby believed. */
export class PeerRoles {
  private readonly deps: PeerRolesDependencies

  constructor(deps: PeerRolesDependencies) {
    this.deps = deps
  }

  of(id: NodeId, { clusterId, incarnation }: Introduction): PeerRole {
    const { isNamed, incarnations, token } = this.deps
    const ours = this.deps.ownCluster.id
    if (clusterId === null) {
      // A member that has not been told of its cluster yet answers the nodes that add it, as the node that they found at its address.
      const isItself = incarnation !== null && incarnation === incarnations.of(id)
      return ours !== null && isItself && isNamed(id) ? 'member' : 'stranger'
    }
    if (ours === null) return token.isCarriedBy(clusterId) ? 'introducer' : 'stranger'
    if (ours !== clusterId) return 'stranger'
    return isNamed(id) ? 'member' : 'unlisted'
  }

  maySay({ from, type }: PeerMessage, said: Introduction): boolean {
    const role = this.of(from, said)
    if (!isFor(role, type)) return false
    if (this.isMistaken(from, said) && (isPromise(type) || !this.isVouchedFor(from, said))) return false
    if (role !== 'introducer') return true
    const isLed = type === 'append-request'
    // Who has forgotten what it promised must not vote, and least of all for a candidate that never met the node that it was (raft.md 4).
    return (isLed || !this.deps.hasLostData()) && this.mayAdoptFrom(said, isLed)
  }

  /** A state may come from the leader of the cluster, even if this node has not read yet that it is a member. */
  maySendState(from: NodeId, said: Introduction): boolean {
    const role = this.of(from, said)
    if (said.clusterId === null || role === 'stranger') return false
    if (this.isMistaken(from, said) && !this.isVouchedFor(from, said)) return false
    return role !== 'introducer' || this.mayAdoptFrom(said, true)
  }

  private isMistaken(id: NodeId, { incarnation }: Introduction): boolean {
    return incarnation !== null && this.deps.incarnations.isMistaken(id)
  }

  private isVouchedFor(id: NodeId, { incarnation }: Introduction): boolean {
    return incarnation !== null && this.deps.attestations.vouchFor(id, incarnation)
  }

  private mayAdoptFrom({ clusterId }: Introduction, isLed: boolean): boolean {
    return clusterId !== null && this.deps.adoption.mayAdopt(clusterId, isLed)
  }
}

function isFor(role: PeerRole, type: PeerMessage['type']): boolean {
  switch (role) {
    case 'member':
      return true
    case 'stranger':
      return false
    case 'introducer':
      return isFromAbove(type)
    // Requests that only a leader can serve are not taken from unlisted peers: this node does not lead, or it would know all members.
    case 'unlisted':
      return isFromAbove(type) || isAnswerOfLeader(type)
  }
}

/** What a leader or a candidate sends, even to nodes that have not read yet that it is a member. */
function isFromAbove(type: PeerMessage['type']): boolean {
  return (
    type === 'append-request' || type === 'vote-request' || type === 'pre-vote-request' || type === 'transfer-request'
  )
}

/** The part that asked checks by itself whether it asked this node. */
function isAnswerOfLeader(type: PeerMessage['type']): boolean {
  return type === 'read-index-response' || type === 'forward-refusal' || type === 'control-response'
}
