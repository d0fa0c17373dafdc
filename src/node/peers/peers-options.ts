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
  /** Whether a cluster of this id can be ours: its id carries our token. */
  readonly acceptsClusterId: (clusterId: string) => boolean
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
