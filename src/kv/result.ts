import type { AuthResult } from './auth-result.ts'
import type { Command } from './command.ts'
import type { Denial } from './denial.ts'
import type { Key } from './key.ts'
import type { LeaseResult } from './lease-result.ts'
import type { KeyRecord } from './record.ts'

/**
 * The outcome of a command. `previousValueForgotten`: this answers a retry of a named write. Its previous record is known except for the
 * value, which was too large to be kept for long; the value is empty then.
 */
export type CommandResult =
  | {
      readonly type: 'put'
      readonly revision: number
      readonly createRevision: number
      readonly version: number
      readonly previous: KeyRecord | null
      readonly previousValueForgotten?: true
    }
  /** `deleted` 0: the key was absent, nothing changed, and `revision` is the store's current one. */
  | {
      readonly type: 'deleted'
      readonly revision: number
      readonly deleted: number
      readonly previous: KeyRecord | null
      readonly previousValueForgotten?: true
    }
  /** `currentRevision` null: the key is absent. Nothing changed. */
  | { readonly type: 'condition-failed'; readonly currentRevision: number | null }
  /** The outcome of deleting a range up to the limit. `next`: the first key left in the range, null when none is left. */
  | {
      readonly type: 'range-deleted'
      readonly revision: number
      readonly deleted: number
      readonly next: Key | null
    }
  /** What a transaction has done. `results`: one for each operation of the branch that was carried out. */
  | TransactionResult
  /** The records that a transaction names or lists have more than `limitBytes` bytes. Nothing changed. */
  | { readonly type: 'transaction-too-large'; readonly limitBytes: number }
  /** The range holds more keys than one entry may remove: at least `found`. Nothing changed. */
  | { readonly type: 'range-too-large'; readonly limit: number; readonly found: number }
  /** The records of the range have more than `limitBytes` bytes together, more than one entry may remove. Nothing changed. */
  | { readonly type: 'range-too-heavy'; readonly limitBytes: number }
  | { readonly type: 'level-raised'; readonly level: number }
  /** `done`: no history is left that should be removed. */
  | { readonly type: 'compacted'; readonly compactedRevision: number; readonly done: boolean }
  /** There is no such revision yet; `revision` is the store's current one. Nothing changed. */
  | { readonly type: 'future-revision'; readonly revision: number }
  | { readonly type: 'retention-set' }
  | LeaseResult
  | AuthResult
  /** The idempotency key was used for another request. Nothing changed. */
  | { readonly type: 'key-reused' }
  | LevelTooLow
  | Denial

/** The cluster has `clusterLevel`, and the command needs `level` (feature-level.ts). Nothing changed. */
export interface LevelTooLow {
  readonly type: 'level-too-low'
  readonly level: number
  readonly clusterLevel: number
}

export interface TransactionResult {
  readonly type: 'transaction'
  readonly succeeded: boolean
  /** Of the change; the store's current one when nothing was changed. */
  readonly revision: number
  readonly results: readonly OperationResult[]
  /** This answers a retry of a named transaction. Its results were too large to be kept for long; `results` is empty. */
  readonly resultsForgotten?: true
}

/** The outcome of one operation of a transaction. */
export type OperationResult =
  | {
      readonly type: 'put'
      readonly createRevision: number
      readonly version: number
      readonly previous: KeyRecord | null
    }
  | { readonly type: 'get'; readonly record: KeyRecord | null }
  | { readonly type: 'delete'; readonly deleted: number; readonly previous: KeyRecord | null }
  /** `more`: the range holds records beyond these. Without values, a record's value is empty. */
  | {
      readonly type: 'list'
      readonly items: readonly { readonly key: Key; readonly record: KeyRecord }[]
      readonly more: boolean
    }

/** Why a key cannot belong to the lease that it should. */
const LEASE_REFUSALS = ['lease-not-found', 'too-many-attached-keys'] as const

/** Why the table of roles and tokens stays as it is. */
const AUTH_REFUSALS = ['auth-not-begun', 'last-admin', 'auth-full'] as const

/** The outcomes that each kind of command can have. */
const RESULTS = {
  put: ['put', 'condition-failed', ...LEASE_REFUSALS, 'too-many-leases', 'key-reused'],
  delete: ['deleted', 'condition-failed', 'key-reused'],
  'delete-range': ['deleted', 'range-deleted', 'range-too-large', 'range-too-heavy', 'key-reused'],
  transaction: ['transaction', 'range-too-large', 'transaction-too-large', ...LEASE_REFUSALS, 'key-reused'],
  'raise-level': ['level-raised'],
  compaction: ['compacted', 'future-revision', 'key-reused'],
  retention: ['retention-set', 'key-reused'],
  'lease-grant': ['lease-granted', 'lease-exists', 'too-many-leases', 'key-reused'],
  'lease-renew': ['lease-renewed', 'lease-not-found', 'key-reused'],
  'lease-revoke': ['lease-revoked', 'lease-kept', 'lease-not-found', 'key-reused'],
  'lock-acquire': ['lock-acquired', 'lock-queued', 'lock-held', 'too-many-leases', 'key-reused'],
  'lock-release': ['lock-released', 'lock-not-held', 'key-reused'],
  'auth-bootstrap': ['auth-begun', 'auth-begun-before'],
  'role-put': ['role-put', ...AUTH_REFUSALS],
  'role-delete': ['role-deleted', 'role-not-found', 'role-in-use', ...AUTH_REFUSALS],
  'token-create': ['token-created', 'unknown-role', 'secret-in-use', 'certificate-in-use', ...AUTH_REFUSALS],
  'auth-reset': ['auth-reset', 'auth-not-begun'],
  'token-delete': ['token-deleted', 'token-not-found', ...AUTH_REFUSALS],
} as const satisfies Record<Command['type'], readonly CommandResult['type'][]>

export type ResultOf<Kind extends Command> = Extract<CommandResult, { type: (typeof RESULTS)[Kind['type']][number] }>

export function isResultOf<Kind extends Command>(command: Kind, result: CommandResult): result is ResultOf<Kind> {
  const kinds: readonly CommandResult['type'][] = RESULTS[command.type]
  return kinds.includes(result.type)
}
