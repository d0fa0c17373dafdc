import type { NodeOptions, PeerRegister } from '../../../src/node/options.ts'
import type { LogStore } from '../../../src/ports/log-store.ts'
import type { StateStore } from '../../../src/ports/state-store.ts'
import type { Transport } from '../../../src/ports/transport.ts'
import type { ObservedRaft } from './observed-raft.ts'

/** A mistake put in on purpose, to see whether the oracles notice. Only what is given differs from production. */
export interface PlantedBug {
  readonly name: string
  /** One line: what is wrong. */
  readonly says: string
  /** It must be found within this many seeds. */
  readonly seedsMax: number
  readonly raft?: typeof ObservedRaft
  readonly wrapLog?: (log: LogStore) => LogStore
  readonly wrapState?: (state: StateStore) => StateStore
  readonly wrapTransport?: (transport: Transport) => Transport
  readonly wrapPeers?: (peers: PeerRegister) => PeerRegister
  readonly changeOptions?: (options: NodeOptions) => NodeOptions
  readonly hash?: (text: string) => string
}
