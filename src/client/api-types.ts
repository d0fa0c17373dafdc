/* The shapes of the API. Written by scripts/client-types.mjs from the schemas in src/api; not to be edited. */

/** Every code with which a request can fail. docs/ERRORS.md says what each means. */
export type ErrorCode =
  | 'invalid-request'
  | 'https-required'
  | 'invalid-key'
  | 'value-encoding'
  | 'future-revision'
  | 'unauthenticated'
  | 'forbidden'
  | 'key-not-found'
  | 'lease-not-found'
  | 'role-not-found'
  | 'token-not-found'
  | 'learner-not-found'
  | 'node-not-found'
  | 'route-not-found'
  | 'method-not-allowed'
  | 'already-initialized'
  | 'not-initialized'
  | 'member-mismatch'
  | 'peer-disagrees'
  | 'membership-change-in-progress'
  | 'address-conflict'
  | 'learner-lagging'
  | 'lease-exists'
  | 'lock-held'
  | 'lock-wait-ended'
  | 'lock-not-held'
  | 'auth-not-begun'
  | 'auth-begun-before'
  | 'certificate-in-use'
  | 'role-in-use'
  | 'last-admin'
  | 'no-transfer-target'
  | 'compacted'
  | 'precondition-failed'
  | 'value-too-large'
  | 'request-too-large'
  | 'unsupported-media-type'
  | 'not-in-members'
  | 'unknown-voter'
  | 'empty-membership'
  | 'range-too-large'
  | 'transaction-too-large'
  | 'quorum-at-risk'
  | 'unknown-role'
  | 'auth-full'
  | 'too-many-leases'
  | 'too-many-attached-keys'
  | 'idempotency-key-reused'
  | 'rate-limited'
  | 'overloaded'
  | 'header-too-large'
  | 'request-timeout'
  | 'too-slow'
  | 'not-implemented'
  | 'internal'
  | 'no-space'
  | 'feature-unavailable'
  | 'no-leader'
  | 'not-ready'
  | 'deletion-unfinished'
  | 'transferring'
  | 'removed'
  | 'shutting-down'
  | 'read-timeout'
  | 'outcome-unknown'

/** A key with its value: `value` or `valueBase64`, neither with `keysOnly`, nor with `prevValueForgotten`. */
export interface RecordView {
  readonly key: string
  /** The value, when it is valid UTF-8. */
  readonly value?: string
  /** The value in base64, when it is not valid UTF-8. */
  readonly valueBase64?: string
  /** The change that created the key. */
  readonly createRevision: number
  /** The change that wrote this value. */
  readonly modRevision: number
  /** Writes since the key was created. */
  readonly version: number
  /** The lease that the key is attached to; 0: none. */
  readonly lease: number
}

export interface PutAnswer {
  /** The revision of this write. */
  readonly revision: number
  /** The change that created the key. */
  readonly createRevision: number
  readonly version: number
  /** With `ttl`: the lease of the key. */
  readonly lease?: number
  /** With `prev=true`: the record before, or null. */
  readonly prev?: RecordView | null
  /** True in the answer to a retry whose `prev` had a value too large to be kept for so long: it is left out. */
  readonly prevValueForgotten?: boolean
}

export interface DeleteAnswer {
  /** The revision of this change; the current one when nothing was deleted. */
  readonly revision: number
  readonly deleted: number
  /** With `chunked=true`: in how many changes. */
  readonly chunks?: number
  /** With `prev=true`: the record before, or null. */
  readonly prev?: RecordView | null
  /** True in the answer to a retry whose `prev` had a value too large to be kept for so long: it is left out. */
  readonly prevValueForgotten?: boolean
}

export interface ListAnswer {
  readonly items: readonly RecordView[]
  /** What the page reflects. */
  readonly revision: number
  /** Where the next page begins; absent on the last. */
  readonly cursor?: string
}

export interface CountAnswer {
  readonly count: number
  /** What the count reflects. */
  readonly revision: number
}

export interface HistoryAnswer {
  /** The newest first. */
  readonly items: readonly {
    readonly key: string
    /** The value, when it is valid UTF-8. */
    readonly value?: string
    /** The value in base64, when it is not valid UTF-8. */
    readonly valueBase64?: string
    /** The change that created the key. */
    readonly createRevision?: number
    /** The change that made this version. */
    readonly modRevision: number
    /** Writes since the key was created. */
    readonly version?: number
    /** The lease that the key was attached to; 0: none. */
    readonly lease?: number
    /** True: the key was deleted by this change, and the other members of a record are absent. */
    readonly deleted: boolean
  }[]
  /** What the page reflects. */
  readonly revision: number
  /** The oldest revision that can still be read. Older versions are not shown. */
  readonly compactRevision: number
  /** Where the next page begins; absent on the last. */
  readonly cursor?: string
}

export type TransactionCompare =
  | {
      /** The key: 1 to 4096 bytes of UTF-8. */
      readonly key: string
      /** Compares the bytes. No comparison holds of an absent key. */
      readonly target: 'value'
      /** How what the key has stands to what is given here. */
      readonly op: '=' | '!=' | '<' | '>'
      /** The value, when it is text in valid Unicode. */
      readonly value?: string
      /** The value in base64, whatever it is. */
      readonly valueBase64?: string
    }
  | {
      /** The key: 1 to 4096 bytes of UTF-8. */
      readonly key: string
      /** The number of the record to compare. An absent key has 0. */
      readonly target: 'version' | 'createRevision' | 'modRevision' | 'lease'
      /** How what the key has stands to what is given here. */
      readonly op: '=' | '!=' | '<' | '>'
      readonly value: number
    }

/** Exactly one of these. */
export type TransactionOperation =
  | {
      readonly put: {
        /** The key: 1 to 4096 bytes of UTF-8. */
        readonly key: string
        /** The value, when it is text in valid Unicode. */
        readonly value?: string
        /** The value in base64, whatever it is. */
        readonly valueBase64?: string
        /** The lease with which the key goes. Without it, it stays until it is deleted. */
        readonly lease?: number
        /** The result carries the record that was replaced or deleted, or null. Default: false. */
        readonly prev?: boolean
      }
    }
  | {
      readonly get: {
        /** The key: 1 to 4096 bytes of UTF-8. */
        readonly key: string
      }
    }
  | {
      readonly delete: {
        /** The key: 1 to 4096 bytes of UTF-8. */
        readonly key?: string
        /** Every key that starts with this. Not together with `start` or `end`. */
        readonly prefix?: string
        /** The first key of the range. */
        readonly start?: string
        /** The first key behind the range. */
        readonly end?: string
        /** The result carries the record that was replaced or deleted, or null. Default: false. */
        readonly prev?: boolean
      }
    }
  | {
      readonly list: {
        /** Every key that starts with this. Not together with `start` or `end`. */
        readonly prefix?: string
        /** The first key of the range. */
        readonly start?: string
        /** The first key behind the range. */
        readonly end?: string
        /** How many records at most. Default: 100. */
        readonly limit?: number
        /** Records without their values. Default: false. */
        readonly keysOnly?: boolean
      }
    }

export interface TransactionBody {
  /** What is compared. An empty list holds. */
  readonly compare?: readonly TransactionCompare[]
  /** Carried out, in this order, when every comparison holds. */
  readonly success?: readonly TransactionOperation[]
  /** Carried out, in this order, when one of them does not. */
  readonly failure?: readonly TransactionOperation[]
}

export type OperationOutcome =
  | {
      readonly put: {
        /** The change that created the key. */
        readonly createRevision: number
        /** Writes since the key was created. */
        readonly version: number
        /** With `prev`: the record before, or null. */
        readonly prev?: RecordView | null
      }
    }
  | {
      readonly get: {
        /** Null: the key is absent. */
        readonly record: RecordView | null
      }
    }
  | {
      readonly delete: {
        /** How many keys were there, and are gone. */
        readonly deleted: number
        /** With `prev`: the record before, or null. */
        readonly prev?: RecordView | null
      }
    }
  | {
      readonly list: {
        readonly items: readonly RecordView[]
        /** The range holds further records: `limit` was reached, or 1 MiB of records. */
        readonly more: boolean
      }
    }

export interface TransactionAnswer {
  /** Every comparison held, and `success` was carried out; otherwise `failure`. */
  readonly succeeded: boolean
  /** The revision of this change; the current one when nothing was changed. */
  readonly revision: number
  /** Of the operations that were carried out, in their order. */
  readonly results: readonly OperationOutcome[]
  /** True in the answer to a retry whose `results` were too large to be kept for so long: `results` is empty. */
  readonly resultsForgotten?: boolean
}

export interface MemberSpec {
  /** Identifies a node for its whole life. */
  readonly id: number
  /** `host:port` for the peers; a host that they can reach, so no wildcard such as `0.0.0.0`. */
  readonly raft: string
  /** `http://host:port` for clients, without a path. */
  readonly api: string
}

/** An entry of the log: who wrote it, in which term, at which index. */
export interface LogIdView {
  readonly term: number
  readonly node: number
  readonly index: number
}

/** What the node has promised. `committed`: a quorum has granted it. */
export interface VoteView {
  readonly term: number
  readonly node: number
  readonly committed: boolean
}

export interface MembershipView {
  /** The voters; two lists while a change is in progress. */
  readonly configs: readonly (readonly number[])[]
  readonly learners: readonly number[]
  /** Addresses by node id. */
  readonly nodes: Readonly<Record<string, { readonly raft: string; readonly api: string }>>
}

export interface MembershipAnswer {
  readonly membership: MembershipView
  readonly logId: LogIdView | null
  readonly committed: boolean
  readonly joint: boolean
}

export interface InitializeAnswer {
  readonly clusterId: string
  readonly logId: LogIdView
  readonly membership: MembershipView
  /** Members that did not answer when the cluster was formed, and why not. Each joins once it is reached. */
  readonly unanswered: readonly { readonly id: number; readonly raft: string; readonly detail: string }[]
}

export interface LearnerAnswer {
  readonly logId: LogIdView | null
  readonly membership: MembershipView
  /** By how many entries the learner is behind. */
  readonly lag: number
  /** False: the time was up first; the learner stays and goes on catching up. */
  readonly caughtUp: boolean
}

export interface SnapshotProgressView {
  /** Waiting: the last attempt failed, and another one follows. */
  readonly state: 'sending' | 'installing' | 'waiting' | 'delivered'
  /** Since this node began to lead. */
  readonly attempt: number
  readonly bytesSent: number
  /** In total; an estimate that gets better as the transfer goes on. */
  readonly bytesEstimate: number
  readonly percent: number
  readonly rowsSent: number
  /** Until the state has been sent. */
  readonly remainingMs: number | null
  /** Why an earlier attempt failed. */
  readonly lastFailure: string | null
}

/** A node as this node sees it. Null: only the leader knows. */
export interface MemberStatus {
  readonly raft: string
  readonly api: string
  readonly role: 'voter' | 'learner'
  /** A node of a higher priority leads when it can. Null: not known yet. */
  readonly priority: number | null
  readonly reachable: boolean | null
  /** The last index that it is known to hold. */
  readonly matched: number | null
  /** By how many entries it is behind. */
  readonly lag: number | null
  readonly lastContactMs: number | null
  /** How it catches up: the leader finds out where it is, sends it the state if it needs that, then the log. */
  readonly phase: 'probe' | 'snapshot' | 'log' | 'caught-up' | null
  /** About how long the phase will last. Null: not known yet, or nothing remains. */
  readonly remainingMs: number | null
  /** The snapshot that it is being sent, or was sent, until it has caught up. */
  readonly snapshot: SnapshotProgressView | null
}

/** The file system of the data directory, as it was last measured. */
export interface DiskView {
  readonly totalBytes: number
  /** What the node may still take. */
  readonly freeBytes: number
  /** What is to stay free; 0: nothing. */
  readonly reserveBytes: number
  /** Less was free than the reserve, and not yet a quarter of it more since then. */
  readonly short: boolean
}

/** The cluster as this node sees it. */
export interface ClusterStatus {
  readonly clusterId: string | null
  readonly node: {
    readonly id: number
    readonly state: 'learner' | 'follower' | 'candidate' | 'leader' | 'removed' | 'shutdown'
    /** Drawn anew for each data directory. */
    readonly incarnation: string
    readonly version: string
    readonly uptimeMs: number
    /** Null: not measured yet. */
    readonly disk: DiskView | null
  }
  readonly leader: number | null
  readonly term: number
  readonly vote: VoteView
  readonly lastLogId: LogIdView | null
  readonly committed: LogIdView | null
  readonly applied: LogIdView | null
  readonly purged: LogIdView | null
  /** Null while the node knows none. */
  readonly membership: {
    readonly effective: MembershipAnswer
    readonly committed: MembershipAnswer
    readonly joint: boolean
  } | null
  /** By node id. */
  readonly nodes: Readonly<Record<string, MemberStatus>>
  /** How many voters may be down at once before the cluster stops, whether or not some are down now. */
  readonly failureTolerance: number
  /** Of everything applied: equal on all nodes that have applied the same entry last. */
  readonly digest: string
  readonly warnings: readonly { readonly code: string; readonly detail: string }[]
  readonly formation: {
    readonly mode: 'automatic' | 'manual'
    readonly decision: 'none' | 'wait' | 'form' | 'join' | 'refuse' | 'resume'
    /** Why, in a sentence for people. */
    readonly reason: string
    /** How long this has been the decision. */
    readonly sinceMs: number
    /** Nodes with this cluster token that are there, this one included; with `resume` the members of the cluster. */
    readonly seen: number
    /** How many form the cluster. */
    readonly expected: number | null
    /** Why the last attempt to form a cluster failed. */
    readonly failure: string | null
    /** What was found at each address, while this node looks for a cluster; nothing with `resume`. */
    readonly sightings: readonly { readonly address: string; readonly node: number | null; readonly detail: string }[]
  }
  readonly joining: {
    readonly mode: 'on' | 'off'
    readonly decision: 'none' | 'add-learner' | 'promote' | 'move'
    /** Why, in a sentence for people. */
    readonly reason: string
    /** How long this has been the decision. */
    readonly sinceMs: number
    /** Why the last automatic change failed. */
    readonly failure: string | null
  }
  readonly autopilot: {
    readonly mode: 'off' | 'dry-run' | 'on'
    readonly decision: 'none' | 'replace-voter' | 'remove-voter' | 'remove-learner'
    /** Why, in a sentence for people. */
    readonly reason: string
    /** How long this has been the decision. */
    readonly sinceMs: number
  }
}

export interface TransferAnswer {
  readonly leader: number
}

/** A setting of a node, as it took effect when the node started. */
export interface SettingView {
  /** The flag, without its dashes. */
  readonly name: string
  /** In the notation of the flag. Null: it is not set, or secret. */
  readonly value: string | null
  /** What it was set by: `flag`, the variable, the file with the line, or `default`. Null: it is not set. */
  readonly source: string | null
  /** It is set, and its value is not told. */
  readonly secret: boolean
}

/** A line of the log of a node, with its facts. */
export interface LogLine {
  /** 10 trace, 20 debug, 30 info, 40 warn, 50 error, 60 fatal. */
  readonly level: number
  /** Milliseconds since 1970, by the clock of the node. */
  readonly time: number
  /** What has happened, in a few words. */
  readonly msg: string
  readonly [name: string]: unknown
}

/** What a report of a fault needs to know of the node that answers. */
export interface DiagnosticsAnswer {
  /** The node that answers. */
  readonly node: number
  /** Every setting, in the order of `quorate serve --help`. */
  readonly settings: readonly SettingView[]
  readonly log: {
    /** The last lines since the node started, the oldest first. */
    readonly lines: readonly LogLine[]
    /** How many lines before them are not kept any more. */
    readonly forgotten: number
  }
}

/** Access to `key`, or to `prefix`, or to the range from `start` to `end`. */
export interface GrantView {
  /** What may be done with the keys, and with locks of these names. */
  readonly access: 'read' | 'write' | 'read-write'
  /** One key. */
  readonly key?: string
  /** Every key that starts with this; the empty one: every key. */
  readonly prefix?: string
  /** The first key of a range; left out: from the first. */
  readonly start?: string
  /** The end of a range, which is not in it; left out: to the last. */
  readonly end?: string
}

export interface RoleView {
  /** The name. */
  readonly name: string
  readonly grants: readonly GrantView[]
  readonly rights: readonly ('cluster:read' | 'cluster:admin' | 'auth:admin')[]
}

export interface TokenView {
  /** The id. No two tokens ever have the same. */
  readonly id: number
  /** Who holds it. */
  readonly name: string
  readonly roles: readonly string[]
  /** When it ends; null: never. */
  readonly expiresAt: string | null
  readonly requestsPerSecond: number | null
  readonly bytesPerSecond: number | null
  /** The common name of the client certificates that stand for it; null: its holder has a secret. */
  readonly certificateName: string | null
}

export interface NewToken {
  /** The id. No two tokens ever have the same. */
  readonly id: number
  /** Who holds it. */
  readonly name: string
  readonly roles: readonly string[]
  /** When it ends; null: never. */
  readonly expiresAt: string | null
  readonly requestsPerSecond: number | null
  readonly bytesPerSecond: number | null
  /** The common name of the client certificates that stand for it; null: its holder has a secret. */
  readonly certificateName: string | null
  /** What its holder sends as `Authorization: Bearer ...`. It is shown this once: only a hash of it is kept. */
  readonly secret: string
}

export interface SelfAnswer {
  /** Whether there are tokens. If not, everybody may do everything. */
  readonly enabled: boolean
  /** The token of this request; null: it has none, or none is needed. */
  readonly token: TokenView | null
  /** Those of all its roles. */
  readonly grants: readonly GrantView[]
  readonly rights: readonly ('cluster:read' | 'cluster:admin' | 'auth:admin')[]
}
