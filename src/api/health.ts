import type { DiskView } from './cluster.ts'

export interface HealthCheck {
  readonly name: string
  readonly ok: boolean
  readonly detail: string
}

/**
 * Durations in seconds. `counts[i]` is the number of durations above the bound before `bounds[i]` and up to `bounds[i]`, so each duration
 * is counted once. Those above the last bound are in `count` alone. Bounds ascend.
 */
export interface HistogramView {
  readonly bounds: readonly number[]
  readonly counts: readonly number[]
  readonly sum: number
  readonly count: number
}

/** Numbers about watches. */
export interface WatchesView {
  /** Watches that are open. */
  readonly watchers: number
  /** How many may be open at once. */
  readonly watchersMax: number
  /** Of those, the ones that are behind the store: they read what they missed. */
  readonly behind: number
  /** Changes that watchers were given. */
  readonly changesSent: number
  /** How often a watcher has fallen behind what is kept in memory, and has had to go back to the disk. */
  readonly fallenBehind: number
  /** Bytes of recent changes in memory. */
  readonly recentBytes: number
}

/** Numbers about backups of this node. */
export interface BackupsView {
  readonly running: number
  readonly completed: number
  /** Those that broke off, most often because their reader left. */
  readonly failed: number
  /** The last whole one of this node, also before it was restarted; null: there is none. */
  readonly last: {
    /** The moment whose state it holds, by the wall clock, in seconds since 1970. */
    readonly takenAt: number
    /** How long it took. */
    readonly seconds: number
    readonly bytes: number
  } | null
}

/** Numbers about leases and locks. */
export interface LeasesView {
  readonly leases: number
  readonly attachedKeys: number
  readonly locks: number
  readonly lockWaiters: number
  /** How many this node, as leader, has ended because their time was up. */
  readonly expired: number
}

/** Numbers for `/metrics`, read when asked. */
export interface MetricsView {
  readonly hasLeader: boolean
  readonly isLeader: boolean
  readonly isLearner: boolean
  readonly term: number
  readonly committedIndex: number
  readonly appliedIndex: number
  readonly lastIndex: number
  readonly purgedIndex: number
  readonly revision: number
  readonly historyChanges: number
  readonly historyBytes: number
  readonly compactedRevision: number
  readonly leases: LeasesView
  readonly leaderChanges: number
  readonly elections: number
  readonly proposalsCommitted: number
  readonly proposalsApplied: number
  readonly proposalsPending: number
  readonly proposalsFailed: number
  readonly writesRefused: number
  readonly readsPending: number
  /** Reads of keys that were let through: a page or a stream is one. */
  readonly readsServed: number
  readonly logBytes: number
  readonly stateBytes: number
  /** Null: not measured yet. */
  readonly disk: DiskView | null
  /** Whether writes that take space are refused, and how many this node has refused. */
  readonly refusesGrowth: boolean
  readonly growthRefused: number
  readonly snapshotsSent: number
  readonly snapshotsInstalled: number
  readonly backups: BackupsView
  readonly watches: WatchesView
  /** From when a write was taken from a client to when its outcome was known; those that failed are left out. */
  readonly writeSeconds: HistogramView
  readonly logSyncSeconds: HistogramView
  readonly applySeconds: HistogramView
  readonly peers: readonly {
    readonly id: number
    readonly connected: boolean
    readonly roundTripSeconds: number | null
    readonly matchedIndex: number | null
  }[]
}

export interface NodeHealth {
  /** Whether the process responds and its stores work. Never depends on a quorum. */
  live(): readonly HealthCheck[]
  /** Whether linearizable reads would be served. */
  ready(): Promise<readonly HealthCheck[]>
  metrics(): MetricsView
}

/** Numbers about the certificates of one listener: that of clients or that of peers. */
export interface CertificatesView {
  readonly plane: 'api' | 'peer'
  /** For each role the certificate that ends first: when, in seconds since 1970, and for how long it was issued. */
  readonly expiries: readonly {
    readonly role: 'certificate' | 'ca'
    readonly seconds: number
    readonly lifetimeSeconds: number
  }[]
  /** How often new files were taken up, and refused. */
  readonly reloads: number
  readonly failures: number
}
