import type { Clock } from '../../ports/clock.ts'
import type { Transport } from '../../ports/transport.ts'
import type { NodeAddresses, NodeId, Raft } from '../../raft/index.ts'
import type { Faults, Logger, PeerRegister } from '../options.ts'
import type { OwnCluster } from './own-cluster.ts'

export interface PeersOptions {
  readonly id: NodeId
  readonly incarnation: string
  /** The addresses that this node tells others. */
  readonly addresses: NodeAddresses
  /** How long a node that left the membership stays connected, so that it can learn that it left. */
  readonly lingerMs: number
  readonly callersMax: number
}

/** The token that this node was started with. A cluster can be its own only when the id of the cluster carries it. */
export interface ClusterToken {
  /** Equal tokens have equal digests. Others may be shown it. */
  readonly digest: string
  isCarriedBy(clusterId: string): boolean
  /** The digest of the token that the cluster was named with. */
  digestOf(clusterId: string): string
}

/** Decides which cluster a node that has none takes part in. */
export interface AdoptionRule {
  /** Whether this node may take part in this cluster. `isLed`: the leader of that cluster is calling. */
  mayAdopt(clusterId: string, isLed: boolean): boolean
}

/** What is committed elsewhere and still to come. */
export interface Backlog {
  /** Whether this node is being sent entries that others have committed. */
  readonly isBehind: boolean
}

/** The membership that this node goes by. */
export type MembershipSource = Pick<Raft, 'effectiveMembership'>

export interface PeersDependencies {
  readonly transport: Transport
  readonly clock: Clock
  readonly register: PeerRegister
  /** What the register held when this process started. */
  readonly known: ReadonlyMap<NodeId, string>
  readonly logger: Logger
  readonly ownCluster: OwnCluster
  readonly token: ClusterToken
  readonly adoption: AdoptionRule
  readonly raft: MembershipSource
  readonly backlog: Backlog
  readonly faults: Faults
}

/** A cluster, and the member through which a node came to it. */
export interface Adoption {
  readonly clusterId: string
  readonly from: NodeId
}
