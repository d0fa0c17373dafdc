import type { ImportWrites } from '../../../src/http/ranges/import-writes.ts'
import type { Node } from '../../../src/node/node.ts'
import type { NodeOptions, PeerRegister } from '../../../src/node/options.ts'
import type { LogStore } from '../../../src/ports/log-store.ts'
import type { StateStore } from '../../../src/ports/state-store.ts'
import type { Transport } from '../../../src/ports/transport.ts'
import type { NodeId } from '../../../src/raft/index.ts'
import type { ObservedRaft } from './observed-raft.ts'

/** A deliberate mistake that the oracles must detect. Members that are left out are as in production. */
export interface PlantedBug {
  readonly name: string
  /** One line that says what is wrong. */
  readonly says: string
  /** The oracles must detect it within this many seeds. */
  readonly seedsMax: number
  /** It shows only in seeds with this feature level. */
  readonly needsLevel?: 1
  /** It shows only where clients send answered writes again. */
  readonly needsRepeats?: true
  /** It shows only where there are tokens. */
  readonly needsAuth?: true
  /** It shows only where clients import records, and list what is beside them. */
  readonly needsImports?: true
  /** It shows only where clients look at single leases, at locks, and at how much history is kept. */
  readonly needsInspections?: true
  readonly raft?: typeof ObservedRaft
  readonly wrapLog?: (log: LogStore) => LogStore
  readonly wrapState?: (state: StateStore) => StateStore
  readonly wrapTransport?: (transport: Transport) => Transport
  readonly wrapPeers?: (peers: PeerRegister) => PeerRegister
  readonly changeOptions?: (options: NodeOptions) => NodeOptions
  /** Changes a node that has just started. */
  readonly plant?: (node: Node) => void
  /** Changes an import that begins on the node with this id. */
  readonly plantImport?: (writes: ImportWrites, id: NodeId) => void
  readonly hash?: (text: string) => string
}
