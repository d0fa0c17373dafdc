/* What a program gets that imports `quorate`. Nothing else of the package is public. */

export type * from './api-types.ts'
export {
  newTokenSecret,
  type AuthClient,
  type BootstrapOptions,
  type RoleContent,
  type TokenOptions,
} from './auth-client.ts'
export type { ImportRecord, ImportResult, ImportSource, LineStream } from './bulk.ts'
export type { BackupOptions, BackupStream, ClusterClient, VersionAnswer, VoterOptions } from './cluster-client.ts'
export {
  AmbiguousOutcomeError,
  ClosedError,
  CompactedError,
  ConnectionError,
  LeaseLostError,
  ProblemError,
  QuorateError,
  ResultsForgottenError,
  type Problem,
  type ProblemCode,
} from './errors.ts'
export type { History, HistoryView, Retention } from './history.ts'
export type { GrantedLease, Lease, LeaseOptions, Leases, LeaseStatus, LeaseSummary } from './leases.ts'
export type { Lock, LockListOptions, LockOptions, LockStatus, LockStatusOptions } from './locks.ts'
export {
  compare,
  op,
  type Compare,
  type DeleteOutcome,
  type ListOutcome,
  type Operation,
  type OperationListOptions,
  type Operator,
  type OutcomesOf,
  type PutOutcome,
} from './operations.ts'
export type {
  ClientOptions,
  ElsewhereReason,
  ReadConsistency,
  ReadOptions,
  RequestOptions,
  TlsOptions,
  WriteOptions,
} from './options.ts'
export {
  QuorateClient,
  type DeleteOptions,
  type DeleteRangeOptions,
  type DeleteResult,
  type ListOptions,
  type Previous,
  type PutOptions,
  type PutResult,
  type WriteConditions,
} from './quorate-client.ts'
export type { KeyOrRange, Range } from './ranges.ts'
export type { KeyHead, KeyRecord, Value } from './records.ts'
export type { Transaction, TransactionResult } from './transaction.ts'
export type { DeleteEvent, PutEvent, Watch, WatchEvent, WatchOptions, WatchProgress } from './watch.ts'
