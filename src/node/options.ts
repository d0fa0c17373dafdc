import type { KvMachineOptions } from '../kv/index.ts'
import type { Random } from '../lib/random.ts'
import type { AutomationPlan, FormationRegister } from '../ports/automation.ts'
import type { Clock } from '../ports/clock.ts'
import type { LogStore } from '../ports/log-store.ts'
import type { StateStore } from '../ports/state-store.ts'
import type { Transport } from '../ports/transport.ts'
import type { NodeAddresses, NodeId, Raft } from '../raft/index.ts'

/** Times in milliseconds. Every field has a place in `Config`, where its defaults are. */
export interface NodeOptions extends KvMachineOptions {
  readonly id: NodeId
  readonly addresses: NodeAddresses
  readonly incarnation: string
  readonly version: string
  /** Part of the cluster id: clusters with another token refuse each other. Empty for none. */
  readonly clusterToken: string
  readonly heartbeatMs: number
  readonly electionTimeoutMsMin: number
  readonly electionTimeoutMsMax: number
  /** 0 to `limits.leaderPriorityMax`: a node of a higher priority leads when it can. A hint, never needed for safety. Left out: 50. */
  readonly leaderPriority?: number
  readonly appendBytesMax: number
  readonly appendEntriesMax: number
  readonly inflightAppendsMax: number
  readonly inflightBytesMax: number
  readonly uncommittedBytesMax: number
  /** Proposals gathered into one batch. */
  readonly batchEntriesMax: number
  readonly batchBytesMax: number
  readonly caughtUpEntriesMax: number
  /** When this many entries or bytes are applied since the last time, the state is flushed and the log below it purged. */
  readonly purgeEveryEntries: number
  readonly purgeEveryBytes: number
  /** What a purge leaves in the log. */
  readonly keepEntries: number
  readonly keepBytes: number
  readonly snapshotHoldMs: number
  readonly snapshotHoldBytes: number
  readonly snapshotBytesPerSecondMax: number
  readonly snapshotChunkBytes: number
  readonly recordCacheBytesMax: number
  /** Rows that reads of single keys may have on their way from the store at once. */
  readonly rowsReadMax: number
  /** Smaller than `limits.forwardedBatchesMax` and `limits.forwardedOriginsMax` in tests only. */
  readonly forwardedBatchesMax?: number
  readonly forwardedOriginsMax?: number
}

/** Which incarnation of each peer this node has met. Survives restarts: a wiped voter must not count (raft.md 4). */
export interface PeerRegister {
  load(): Promise<ReadonlyMap<NodeId, string>>
  remember(id: NodeId, incarnation: string): Promise<void>
  forget(id: NodeId): Promise<void>
}

/** The part of a logger that the node uses; pino fits. */
export interface Logger {
  debug(facts: object, event: string): void
  info(facts: object, event: string): void
  warn(facts: object, event: string): void
  error(facts: object, event: string): void
}

export interface NodeDependencies {
  readonly log: LogStore
  readonly state: StateStore
  readonly transport: Transport
  readonly clock: Clock
  readonly random: Random
  readonly peers: PeerRegister
  readonly formation: FormationRegister
  readonly logger: Logger
  /** A hash of `text` in hexadecimal, at least 32 digits: for the cluster id. */
  readonly hash: (text: string) => string
  /** The node cannot go on: a store failed or an invariant broke. Called once; the node answers nothing any more. */
  readonly onFault: (error: Error) => void
  /** What the node does about its cluster by itself; left out or null: nothing. */
  readonly automation?: AutomationPlan | null
  /** Free space on the disk of the state; left out when it does not matter. */
  readonly freeBytes?: () => Promise<number>
  /** Makes the core. Left out, it is a plain `Raft`; a test gives one that it watches. */
  readonly createRaft?: (...parts: ConstructorParameters<typeof Raft>) => Raft
}
