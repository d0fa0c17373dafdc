import type { WarningView } from '../api/warnings.ts'
import type { KvMachineOptions, Retention } from '../kv/index.ts'
import type { Histogram } from '../lib/histogram.ts'
import type { LogFields } from '../lib/log-fields.ts'
import type { SlowLog } from '../lib/slow-log.ts'
import type { HashKey } from '../lib/keyed-hash.ts'
import type { Random } from '../lib/random.ts'
import type { AutomationPlan, FormationRegister } from '../ports/automation.ts'
import type { Clock } from '../ports/clock.ts'
import type { LogStore } from '../ports/log-store.ts'
import type { StateStore } from '../ports/state-store.ts'
import type { Transport } from '../ports/transport.ts'
import type { NodeAddresses, NodeId, Raft } from '../raft/index.ts'

/** Times in milliseconds. Every field has a place in `Config`, which holds its default. */
export interface NodeOptions extends KvMachineOptions {
  readonly id: NodeId
  readonly addresses: NodeAddresses
  readonly incarnation: string
  readonly version: string
  /** Part of the cluster id: clusters with different tokens refuse each other. Empty for none. */
  readonly clusterToken: string
  readonly heartbeatMs: number
  readonly electionTimeoutMsMin: number
  readonly electionTimeoutMsMax: number
  /** 0 to `limits.leaderPriorityMax`: a node with a higher priority leads when it can. A hint, never needed for safety. Default: 50. */
  readonly leaderPriority?: number
  readonly appendBytesMax: number
  readonly appendEntriesMax: number
  readonly inflightAppendsMax: number
  readonly inflightBytesMax: number
  readonly transferBytesPerMsMin: number
  readonly uncommittedBytesMax: number
  /** The most proposals in one batch. */
  readonly batchEntriesMax: number
  readonly batchBytesMax: number
  /** Smaller than `limits.writeWaitMsMax` and `limits.writesFewMax` in tests only. */
  readonly writeWaitMsMax?: number
  readonly writesFewMax?: number
  readonly caughtUpEntriesMax: number
  /** When this many entries or bytes were applied since the last time, the state is flushed and the log below it purged. */
  readonly purgeEveryEntries: number
  readonly purgeEveryBytes: number
  /** How much of the log a purge leaves. */
  readonly keepEntries: number
  readonly keepBytes: number
  readonly snapshotHoldMs: number
  readonly snapshotHoldBytes: number
  readonly snapshotBytesPerSecondMax: number
  readonly snapshotChunkBytes: number
  /** What stays free on the disk of this node; null: it follows from other sizes; 0: nothing. Left out: the disk is not looked at. */
  readonly diskReserveBytes?: number | null
  /** Of one file of the log; left out where that does not matter. */
  readonly segmentBytes?: number
  /** How much history a cluster keeps at first, if this node raises its feature level to the one that has history. */
  readonly historyRetention: Retention
  readonly recordCacheBytesMax: number
  /** How many rows may be in flight from the store at once for reads of single keys. */
  readonly rowsReadMax: number
  /** The feature level that this node knows. Lower than `FEATURE_LEVEL` in tests only. */
  readonly featureLevelMax?: number
  /** How many watches may be open at once: fewer than `limits.watchersMax` where descriptors are few. */
  readonly watchersMax?: number
  /** Smaller than `limits.watchRecentEntriesMax`, `limits.watchRecentBytesMax` and `limits.watchVisitsMax` in tests only. */
  readonly watchRecentEntriesMax?: number
  readonly watchRecentBytesMax?: number
  readonly watchVisitsMax?: number
  /** Smaller than `limits.lock.waitsMax` in tests only. */
  readonly lockWaitsMax?: number
  /** Smaller than `limits.forwardedBatchesMax` and `limits.forwardedOriginsMax` in tests only. */
  readonly forwardedBatchesMax?: number
  readonly forwardedOriginsMax?: number
}

/**
 * Records which incarnation of each peer this node has met. Survives restarts: a wiped voter must not count (raft.md 4). Changes are made
 * in the order in which they were asked for.
 */
export interface PeerRegister {
  load(): Promise<ReadonlyMap<NodeId, string>>
  remember(id: NodeId, incarnation: string): Promise<void>
  forget(id: NodeId): Promise<void>
}

/** The last whole backup that was read from this node. Times by the wall clock. */
export interface TakenBackup {
  /** Of the state that it holds. */
  readonly takenAtMs: number
  /** How long it took. */
  readonly seconds: number
  readonly bytes: number
}

/** Remembers the last whole backup of this node through restarts. What it rejects with costs an alarm its memory, and nothing else. */
export interface BackupRegister {
  load(): Promise<TakenBackup | null>
  store(backup: TakenBackup): Promise<void>
}

/** Hears of what must not happen: a store that failed, an exception that nobody expected. The node stops because of it. */
export interface Faults {
  report(error: unknown): void
}

/** A file system, in bytes. `freeBytes`: what this process may still take. */
export interface DiskUsage {
  readonly totalBytes: number
  readonly freeBytes: number
}

/** The part of a logger that the node uses; pino fits it. */
export interface Logger {
  debug(facts: LogFields, event: string): void
  info(facts: LogFields, event: string): void
  warn(facts: LogFields, event: string): void
  error(facts: LogFields, event: string): void
}

/** A change of members or tokens that no client has asked for, and how it ended. */
export interface OwnChange {
  /** The operation of the API that does the same. */
  readonly operation: string
  readonly by: 'formation' | 'joining' | 'autopilot' | 'expiry'
  readonly asked: object
  readonly reason: string
  /** Why it failed, or is not known to have been made; absent: it was made. */
  readonly code?: string
  readonly detail?: string
}

/** Writes down what the node changes by itself. */
export interface OwnAudit {
  tell(change: OwnChange): void
}

export interface NodeDependencies {
  readonly log: LogStore
  /** Writes down that the log exists, once it is open. Awaited before this node talks to anybody; left out: nothing is written down. */
  readonly noteLog?: () => Promise<void>
  readonly state: StateStore
  readonly transport: Transport
  readonly clock: Clock
  readonly random: Random
  readonly peers: PeerRegister
  readonly formation: FormationRegister
  /** Left out: the last backup is forgotten with the process. */
  readonly backups?: BackupRegister
  readonly logger: Logger
  /** Left out: nobody wants to know. */
  readonly audit?: OwnAudit
  /** A hash of `text` in hexadecimal, at least 32 digits: for the cluster id. */
  readonly hash: (text: string) => string
  /** For tables of what clients name. Drawn by each process, and told nobody: who knows it can choose names that lie together. */
  readonly hashKey: HashKey
  /** The node cannot go on: a store failed or an invariant broke. Called once; after that the node answers nothing. */
  readonly onFault: (error: Error) => void
  /** What the node does about its cluster on its own; null or left out: nothing. */
  readonly automation?: AutomationPlan | null
  /** Measures the disk of the data directory; left out when it does not matter. */
  readonly diskUsage?: () => Promise<DiskUsage>
  /** How long each sync of the log takes, for the metrics. Whoever makes the log records it; left out: nobody does. */
  readonly logSyncSeconds?: Histogram
  /** Takes lines about requests that were slow; null or left out: nobody wants to know. */
  readonly slow?: SlowLog | null
  /** What else an operator has to look at; left out: nothing. */
  readonly warnings?: () => readonly WarningView[]
  /** Creates the core. By default it is a plain `Raft`; a test supplies one that it watches. */
  readonly createRaft?: (...parts: ConstructorParameters<typeof Raft>) => Raft
}
