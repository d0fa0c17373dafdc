import type { RequestError } from '../lib/errors.ts'
import type {
  AccessToken,
  AuthTable,
  Change,
  Command,
  Key,
  KeyRecord,
  Lease,
  Lock,
  LockAcquireCommand,
  LockHolder,
  Need,
  ResultOf,
  Retention,
} from '../kv/index.ts'
import type {
  ClusterStatus,
  InitializeAnswer,
  LearnerAnswer,
  LearnerStatus,
  LogIdView,
  MemberSpec,
  MembershipAnswer,
  PurgeAnswer,
  TransferAnswer,
} from './cluster.ts'
import type { Bearer, Caller, Guard } from './caller.ts'
import type { Diagnostics } from './diagnostics.ts'
import type { CertificatesView, NodeHealth } from './health.ts'
import type { Consistency } from './keys.ts'

/* What the front needs from the node. The node implements it and knows nothing of the front. */

export type { Bearer, Caller, Guard }

export interface ReadOptions {
  readonly consistency: Consistency
  /** Wait until the store has reached this revision; null: do not wait. */
  readonly minRevision: number | null
  /** `stale` only: the most time that may have passed since the state that is read was known to be current. */
  readonly maxStalenessMs: number | null
  readonly timeoutMs: number
  /** A read that waits ends when its caller is gone. */
  readonly caller?: Caller
  /** Asked when the state is as recent as the read wants it; left out: everybody may read this. */
  readonly guard?: Guard
  /** Called when nothing is waited for any more, before anything is read. What it rejects with ends the read. */
  readonly prepare?: () => Promise<void>
  /** Read the store as it was at this revision; left out: as it is. Neither `minRevision` nor `maxStalenessMs` goes with it. */
  readonly revision?: number
}

/** The state that an answer reflects. Becomes the `Quorate-*` headers. */
export interface AnswerContext {
  readonly revision: number
  readonly servedBy: number
  readonly leader: number | null
  readonly consistency: Consistency
}

export interface KeyedRecord {
  readonly key: Key
  readonly record: KeyRecord
}

/** `start` inclusive, `end` exclusive, null unbounded. `after`: continue after this key (before it, when `reverse`). */
export interface ScanRange {
  readonly start: Key | null
  readonly end: Key | null
  readonly after: Key | null
  readonly reverse: boolean
}

/** A walk over a range of one consistent view. Hold it for a short time only; always close it. */
export interface Scan {
  readonly context: AnswerContext
  /** The revision that it shows stays readable for a while, so that a later scan can go on with the same one. */
  readonly isRepeatable: boolean
  /**
   * Up to `limit` further records and about `bytesMax` bytes; `done` when the range holds no record after them. At a past revision it may give
   * fewer, or none, before the end: a call looks at a limited number of keys, and some have no record at that revision.
   */
  next(limit: number, bytesMax: number): Promise<{ readonly items: readonly KeyedRecord[]; readonly done: boolean }>
  /** Passes over up to `limit` further records and tells how many there were, without reading their values. */
  count(limit: number): Promise<{ readonly count: number; readonly done: boolean }>
  close(): Promise<void>
}

export interface ExecuteOptions {
  /** Only this node may propose it, as the leader that it is in that moment. Otherwise: `no-leader`, and nothing is changed. */
  readonly isOnlyHere?: boolean
}

/** Every method rejects with `RequestError` (lib/errors) for expected failures. */
export interface KeyValueAccess {
  /** The feature level of the cluster, as far as this node has followed it. */
  readonly level: number
  /**
   * Proposes `command` on whichever node leads, and resolves with its result once this node has applied it. Once its caller is gone, it is
   * no longer proposed.
   */
  execute<Kind extends Command>(
    command: Kind,
    timeoutMs: number,
    caller?: Caller,
    options?: ExecuteOptions,
  ): Promise<{ readonly result: ResultOf<Kind>; readonly context: AnswerContext }>
  /**
   * Why a put or a delete would be refused at present, whatever it writes; null: it would be taken. `underWay`: how many writes of keys the front
   * has let in and not answered.
   */
  overload(underWay: number): RequestError | null
  get(key: Key, options: ReadOptions): Promise<{ readonly record: KeyRecord | null; readonly context: AnswerContext }>
  /** For pages and counts: each piece comes before the time of the read is up, or not at all. */
  scan(range: ScanRange, options: ReadOptions): Promise<Scan>
  /** For streams: only what comes before the first piece has to come in time. */
  walk(range: ScanRange, options: ReadOptions): Promise<Scan>
}

export interface WatchOptions {
  /** One key, or a range of keys: `start` inclusive, `end` exclusive, null unbounded. */
  readonly keys: Key | { readonly start: Key | null; readonly end: Key | null }
  readonly puts: boolean
  readonly deletes: boolean
  /** Whether the records before the changes are wanted. */
  readonly wantsPrevious: boolean
  /** The changes after this revision; null: after the store's revision at the moment of the request. */
  readonly since: number | null
  /** How long it may take until the watch begins. */
  readonly timeoutMs: number
  readonly caller?: Caller
  /** Asked when the watch begins; left out: everybody may watch this. Who opens it looks after what happens later. */
  readonly guard?: Guard
}

/**
 * What a watcher is told next. `changes`: all changes of one revision that it wants. `progress`: nothing up to `revision` is missing from
 * what it was told.
 */
export type WatchItem =
  | { readonly type: 'changes'; readonly revision: number; readonly changes: readonly Change[] }
  | { readonly type: 'progress'; readonly revision: number }

/** A watch that has begun. Always close it. */
export interface Watch {
  /** Its revision is the one after which the watch begins. */
  readonly context: AnswerContext
  /**
   * The next items, at least one, and about `bytesMax` bytes: waits until there are some. One call at a time. Revisions ascend; those of
   * progress may repeat. Rejects with `RequestError` when the watch ends: `compacted`, `removed`, `shutting-down`. Resolves with no item
   * once it is closed.
   */
  next(bytesMax: number): Promise<readonly WatchItem[]>
  close(): void
}

export interface WatchAccess {
  /** Rejects with `RequestError`: `compacted`, `future-revision`, `overloaded`, and those of a read that waits for the leader. */
  open(options: WatchOptions): Promise<Watch>
}

/** What a key was from `revision` on: a record, or null after it was deleted. */
export interface KeyVersion {
  readonly revision: number
  readonly record: KeyRecord | null
}

/** A part of the versions of one key, the newest first. */
export interface VersionPage {
  readonly items: readonly KeyVersion[]
  readonly done: boolean
  readonly compactedRevision: number
  readonly context: AnswerContext
}

/** How much of the past can be read. */
export interface HistoryStatus {
  readonly compactedRevision: number
  readonly revision: number
  readonly changes: number
  readonly bytes: number
  /** Null: not every member of the cluster knows history. */
  readonly retention: Retention | null
}

/** The past of the keys. Every method rejects with `RequestError` for expected failures. */
export interface HistoryAccess {
  /**
   * The versions of `key` that can still be read, below revision `before` if it is given: up to `limit` of them and about `bytesMax` bytes.
   */
  versions(
    key: Key,
    page: {
      readonly before: number | null
      readonly limit: number
      readonly bytesMax: number
    },
    options: ReadOptions,
  ): Promise<VersionPage>
  status(options: ReadOptions): Promise<{ readonly status: HistoryStatus; readonly context: AnswerContext }>
  /** What this node knows, whether it may still serve reads or not: for whoever has just had a change carried out by it. */
  statusHere(): HistoryStatus
}

/** Up to `limit` items after `after`; null: from the first. */
export interface LeasePage<After> {
  readonly after: After | null
  readonly limit: number
}

/** `more`: others follow. */
export interface PageOf<Item> {
  readonly items: readonly Item[]
  readonly more: boolean
}

export interface LeaseView {
  readonly id: number
  readonly lease: Lease
  /** As the leader measures it. */
  readonly remainingMs: number
  readonly keys: PageOf<Key>
}

/** `lock` null: nobody holds it. */
export interface LockView {
  readonly lock: Lock | null
  readonly context: AnswerContext
}

export interface NamedLock {
  readonly name: Key
  readonly lock: Lock
}

/** A request that waits for a lock. */
export interface LockWaiter {
  readonly lease: number
  /** What it says about itself; may be empty. */
  readonly owner: string
}

/** `waiters`: the first of those who wait, in the order in which they came. */
export interface LockQueue extends LockView {
  readonly waiters: readonly LockWaiter[]
}

/**
 * What became of a request for a lock, after its wait. `holder` null: nobody holds the lock by now. `lock-wait-ended`: the lease that waited, or
 * that got the lock and was a retry's to find, is gone.
 */
export interface LockOutcome {
  readonly result:
    | Exclude<ResultOf<LockAcquireCommand>, { type: 'lock-queued' | 'lock-held' }>
    | { readonly type: 'lock-held'; readonly holder: LockHolder | null }
    | { readonly type: 'lock-wait-ended'; readonly lease: number }
  readonly context: AnswerContext
}

/** Every method rejects with `RequestError` for expected failures. What only writes goes through `KeyValueAccess.execute`. */
export interface LeaseAccess {
  get(
    id: number,
    keys: LeasePage<Key>,
    options: ReadOptions,
  ): Promise<{ readonly lease: LeaseView | null; readonly context: AnswerContext }>
  /** In the order of their ids. */
  list(
    page: LeasePage<number>,
    options: ReadOptions,
  ): Promise<PageOf<{ readonly id: number; readonly lease: Lease }> & { readonly context: AnswerContext }>
  lock(name: Key, options: ReadOptions): Promise<LockView>
  lockQueue(name: Key, limit: number, options: ReadOptions): Promise<LockQueue>
  /** The locks that somebody holds, with names in `[start, end)`, in the order of the names. */
  locks(
    range: { readonly start: Key | null; readonly end: Key | null },
    page: LeasePage<Key>,
    options: ReadOptions,
  ): Promise<PageOf<NamedLock> & { readonly context: AnswerContext }>
  /** Resolves when the lock is acquired or the wait is over. A client that leaves while it waits leaves the queue. */
  acquire(command: LockAcquireCommand, timeoutMs: number, caller?: Caller): Promise<LockOutcome>
}

/** `token` null: there are no tokens, or the client has none that is known. `denied`: why the request is refused. */
export interface Admission {
  readonly token: AccessToken | null
  readonly denied?: RequestError
}

/** Tokens and their rights. What changes them goes through `KeyValueAccess.execute`. */
export interface AuthAccess {
  /** Roles and tokens as this node knows them; null: there are none, and everybody may do everything. */
  readonly table: AuthTable | null
  /**
   * Looks up the token whose secret has this hash, and whether it may do all of `needs`. `hash` null: the client sent no token. `timeoutMs`
   * returns how long that may take at most; it is called only when that takes time.
   */
  admit(
    hash: string | null,
    needs: readonly Need[],
    timeoutMs: () => number,
    caller: Caller | null,
  ): Admission | Promise<Admission>
  /** The valid token whose secret has this hash, as far as this node knows; null: there is none. */
  tokenWith(hash: string): AccessToken | null
  /** A guard for what a client is about to be given. */
  guard(bearer: Pick<Bearer, 'token'>, needs: readonly Need[]): Guard
  /** Resolves when this node knows every change that was acknowledged before the call. Rejects with `RequestError`, as a read does. */
  confirm(timeoutMs: number, caller: Caller | null): Promise<void>
  /** `listener` is called after each change of roles and tokens. Returns how to end that. */
  onChange(listener: () => void): () => void
}

export interface VoterChange {
  /** Exactly these voters, or the present ones with some added and some removed. */
  readonly voters: readonly number[] | { readonly add: readonly number[]; readonly remove: readonly number[] }
  readonly retain: boolean
  readonly allowLagging: boolean
  readonly force: boolean
  /** The index of the membership entry that the caller has seen (`If-Match`). */
  readonly ifMembershipAt: number | null
}

export interface AddressChange {
  readonly member: MemberSpec
  readonly force: boolean
  /** As in `VoterChange`. */
  readonly ifMembershipAt: number | null
}

/** The state as a backup. The receiver begins to read it, and closes it by ending the iteration. */
export interface SnapshotStream {
  readonly logId: LogIdView
  readonly revision: number
  /** Roughly how many bytes will come. */
  readonly bytesEstimate: number
  readonly chunks: AsyncIterable<Uint8Array>
}

/**
 * Every method rejects with `RequestError` for expected failures. Each method works on every node; requests for the leader are carried to
 * it, which decides anew whether `by` may do this.
 */
export interface ClusterControl {
  /** The id of the node that answers. */
  readonly id: number
  /** The same node as a member, with the addresses that it tells others. */
  readonly self: MemberSpec
  /** `members` null: this node alone, with its own advertised addresses. */
  initialize(
    members: readonly MemberSpec[] | null,
    wait: 'appended' | 'leader' | 'committed',
    timeoutMs: number,
  ): Promise<InitializeAnswer>
  status(): ClusterStatus
  /** The effective membership as this node sees it. Rejects with `not-initialized` when it knows none. */
  membership(): MembershipAnswer
  /** Resolves when the final configuration is committed. */
  changeVoters(change: VoterChange, timeoutMs: number, by: Bearer): Promise<MembershipAnswer>
  addLearner(member: MemberSpec, wait: boolean, timeoutMs: number, by: Bearer): Promise<LearnerAnswer>
  removeLearner(id: number, timeoutMs: number, by: Bearer): Promise<MembershipAnswer>
  /** Resolves when the membership with the member's new addresses is committed. */
  setAddresses(change: AddressChange, timeoutMs: number, by: Bearer): Promise<MembershipAnswer>
  learners(timeoutMs: number, by: Bearer): Promise<readonly LearnerStatus[]>
  /** The leader and its addresses, or null. */
  leader(): MemberSpec | null
  /** Resolves once the new leader leads. */
  transfer(to: number | null, timeoutMs: number, by: Bearer): Promise<TransferAnswer>
  campaign(): void
  /** `stale`: what this node has, also when it knows no leader. */
  snapshot(consistency: 'linearizable' | 'stale', timeoutMs: number, guard: Guard): Promise<SnapshotStream>
  purge(timeoutMs: number): Promise<PurgeAnswer>
}

export interface Services {
  readonly keys: KeyValueAccess
  readonly watches: WatchAccess
  readonly history: HistoryAccess
  readonly leases: LeaseAccess
  readonly auth: AuthAccess
  readonly cluster: ClusterControl
  readonly health: NodeHealth
  readonly version: string
  readonly valueBytesMax: number
  /** How many lines of the log could not be written. */
  readonly logLinesDropped: () => number
  readonly diagnostics: Diagnostics
  /** For each listener that speaks TLS. */
  readonly certificates: () => readonly CertificatesView[]
}
