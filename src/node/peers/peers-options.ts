import type { Clock } from '../../ports/clock.ts'
import type { Transport } from '../../ports/transport.ts'
import type { NodeAddresses, NodeId, StoredMembership } from '../../raft/index.ts'
import type { Logger, PeerRegister } from '../options.ts'

export interface PeersOptions {
  readonly id: NodeId
  readonly incarnation: string
  /** The addresses that this node tells others. */
  readonly addresses: NodeAddresses
  /** How long a node that left the membership stays connected, so that it can learn that it left. */
  readonly lingerMs: number
  readonly callersMax: number
}

export interface PeersDependencies {
  readonly transport: Transport
  readonly clock: Clock
  readonly register: PeerRegister
  readonly logger: Logger
  readonly clusterId: () => string | null
  /** Whether a cluster of this id can be ours: its id carries our token. */
  readonly acceptsClusterId: (clusterId: string) => boolean
  /** Whether this node, while it has no cluster, may take part in this one. `isLed`: the leader of that cluster is calling. */
  readonly mayAdopt: (clusterId: string, isLed: boolean) => boolean
  readonly effective: () => StoredMembership
  /** Whether this node is being sent entries that others have committed. */
  readonly isBehind: () => boolean
  readonly onFault: (error: Error) => void
}

/** A cluster, and the member through which a node came to it. */
export interface Adoption {
  readonly clusterId: string
  readonly from: NodeId
}
