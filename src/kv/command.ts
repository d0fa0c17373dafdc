import type { AccessToken } from './auth-table.ts'
import type { Role } from './grants.ts'
import type { Key } from './key.ts'

/** What must hold of the current record for a write to happen. */
export type Condition =
  | { readonly type: 'absent' }
  | { readonly type: 'present' }
  | { readonly type: 'mod-revision'; readonly revision: number }

/**
 * A client's name for one write, so that a retry can be told from a new write. `fingerprint`: a hash of the request, to detect another
 * request under the same name.
 */
export interface IdempotencyTag {
  readonly key: string
  readonly fingerprint: number
  /**
   * The fingerprint that the same request gets on a node that sees the cluster at another level. No part of the entry: what is not answered
   * under the one is asked for under the other.
   */
  readonly otherFingerprint?: () => number
}

/** The token of a command that the node itself wants: no client can have it. */
export const NODE_ITSELF = 0

/** On whose behalf a command is proposed. */
export interface Asked {
  /** The id of the token under which a client asked for it, or `NODE_ITSELF`. Absent: a client asked for it without one. */
  readonly token?: number
}

/**
 * The name under which step `step`, from 0, of a request that takes several entries is executed. The first step has the client's own name.
 * No client can give one of the other names to a write of its own: they contain a space, which is not a visible character.
 */
export function stepName(key: string, step: number): string {
  return step === 0 ? key : `${key} ${step}`
}

/** The lease to which a written key belongs: one that was granted before, or one of its own, granted by the same write. */
export type KeyLease =
  { readonly type: 'granted'; readonly id: number } | { readonly type: 'own'; readonly ttlMs: number }

export interface PutCommand extends Asked {
  readonly type: 'put'
  readonly key: Key
  readonly value: Uint8Array
  /** Absent: the key belongs to no lease from now on. */
  readonly lease?: KeyLease
  readonly condition: Condition | null
  /** The answer carries the record that was replaced. */
  readonly wantsPrevious: boolean
  readonly idempotency: IdempotencyTag | null
}

export interface DeleteCommand extends Asked {
  readonly type: 'delete'
  readonly key: Key
  readonly condition: Condition | null
  readonly wantsPrevious: boolean
  readonly idempotency: IdempotencyTag | null
}

/** Removes every key in `[start, end)`; null is unbounded. Refused when the range holds more keys than one entry may remove. */
export interface DeleteRangeCommand extends Asked {
  readonly type: 'delete-range'
  readonly start: Key | null
  readonly end: Key | null
  /** Removes the first keys of the range, as many as one entry may, instead of being refused: one step of a deletion in several entries. */
  readonly upToLimit: boolean
  readonly idempotency: IdempotencyTag | null
}

export type CompareOperator = '=' | '!=' | '<' | '>'

/** What a transaction compares of one key. An absent key has the number 0 in every respect, and a value that no comparison holds of. */
export type Compare =
  | { readonly key: Key; readonly target: 'value'; readonly operator: CompareOperator; readonly value: Uint8Array }
  | {
      readonly key: Key
      readonly target: 'version' | 'create-revision' | 'mod-revision' | 'lease'
      readonly operator: CompareOperator
      readonly value: number
    }

export interface PutOperation {
  readonly type: 'put'
  readonly key: Key
  readonly value: Uint8Array
  /** The id of a granted lease. Absent: the key belongs to no lease from now on. */
  readonly lease?: number
  readonly wantsPrevious: boolean
}

export interface GetOperation {
  readonly type: 'get'
  readonly key: Key
}

export interface DeleteOperation {
  readonly type: 'delete'
  readonly key: Key
  readonly wantsPrevious: boolean
}

/** Removes every key in `[start, end)`; null is unbounded. */
export interface DeleteRangeOperation {
  readonly type: 'delete-range'
  readonly start: Key | null
  readonly end: Key | null
}

/** The first records with keys in `[start, end)`; null is unbounded. The list ends early when its values have too many bytes. */
export interface ListOperation {
  readonly type: 'list'
  readonly start: Key | null
  readonly end: Key | null
  /** At least 1. */
  readonly limit: number
  readonly keysOnly: boolean
}

export type Operation = PutOperation | GetOperation | DeleteOperation | DeleteRangeOperation | ListOperation

/**
 * Carries out one of two lists of operations, in their order, as one change with one revision: `success` when all of `compares` hold,
 * otherwise `failure`.
 */
export interface TransactionCommand extends Asked {
  readonly type: 'transaction'
  readonly compares: readonly Compare[]
  readonly success: readonly Operation[]
  readonly failure: readonly Operation[]
  readonly idempotency: IdempotencyTag | null
}

/** How much history is kept. What exceeds any of the three is removed, the oldest first. */
export interface Retention {
  /** Changes. 0: no history at all. */
  readonly revisions: number
  /** The machine knows no time: the leader proposes compactions by age. */
  readonly ageMs: number
  readonly bytes: number
}

/** From here on every member of the cluster knows the commands of `level`. Without effect when the cluster has that level already. */
export interface RaiseLevelCommand extends Asked {
  readonly type: 'raise-level'
  readonly level: number
  /** The build that proposes it, for the message of one that is too old. */
  readonly version: string
  /** How much history is kept at first. */
  readonly retention: Retention
  readonly idempotency: IdempotencyTag | null
}

/** Removes history: what is older than `revision`, if it is given, and what exceeds the retention. Each entry removes a limited part. */
export interface CompactionCommand extends Asked {
  readonly type: 'compaction'
  readonly revision: number | null
  readonly idempotency: IdempotencyTag | null
}

/** How much history is kept from now on. */
export interface RetentionCommand extends Asked {
  readonly type: 'retention'
  readonly retention: Retention
  readonly idempotency: IdempotencyTag | null
}

/** Grants a lease that lasts for `ttlMs` unless it is renewed. `id` null: the entry decides. */
export interface LeaseGrantCommand extends Asked {
  readonly type: 'lease-grant'
  readonly id: number | null
  readonly ttlMs: number
  readonly idempotency: IdempotencyTag | null
}

/** The time of the lease begins again. */
export interface LeaseRenewCommand extends Asked {
  readonly type: 'lease-renew'
  readonly id: number
  readonly idempotency: IdempotencyTag | null
}

/** Ends the lease. `ifRenewedAt`: only if that is the revision from which its time is measured. */
export interface LeaseRevokeCommand extends Asked {
  readonly type: 'lease-revoke'
  readonly id: number
  readonly ifRenewedAt: number | null
  readonly idempotency: IdempotencyTag | null
}

/** Takes a lock with a lease of its own. `waitMs`: how long to wait for it at most; 0: not at all. */
export interface LockAcquireCommand extends Asked {
  readonly type: 'lock-acquire'
  readonly name: Key
  readonly ttlMs: number
  readonly waitMs: number
  /** What the holder says about itself; may be empty. */
  readonly owner: string
  readonly idempotency: IdempotencyTag | null
}

/** Ends the lease that holds the lock. */
export interface LockReleaseCommand extends Asked {
  readonly type: 'lock-release'
  readonly name: Key
  readonly lease: number
  readonly idempotency: IdempotencyTag | null
}

/**
 * Makes the first token, which may do everything. From then on every command needs one. Commands on roles and tokens have no names: a retry of
 * the making of a token would bring another secret.
 */
export interface AuthBootstrapCommand extends Asked {
  readonly type: 'auth-bootstrap'
  /** Of the token. */
  readonly name: string
  readonly hash: string
  readonly idempotency: null
}

/** Makes a role, or puts it in the place of the one with its name. */
export interface RolePutCommand extends Asked {
  readonly type: 'role-put'
  readonly role: Role
  readonly idempotency: null
}

export interface RoleDeleteCommand extends Asked {
  readonly type: 'role-delete'
  readonly name: string
  readonly idempotency: null
}

export interface TokenCreateCommand extends Asked {
  readonly type: 'token-create'
  readonly created: Omit<AccessToken, 'id'>
  readonly idempotency: null
}

/** Revokes a token. */
export interface TokenDeleteCommand extends Asked {
  readonly type: 'token-delete'
  readonly id: number
  readonly idempotency: null
}

/** A command for which a client may have a name. */
export type NameableCommand = Exclude<Command, AuthCommand>

/** Removes all roles and tokens. No client can ask for it: it is for a node whose operator has lost every token. */
export interface AuthResetCommand extends Asked {
  readonly type: 'auth-reset'
  readonly idempotency: null
}

export type AuthCommand =
  AuthBootstrapCommand | RolePutCommand | RoleDeleteCommand | TokenCreateCommand | TokenDeleteCommand | AuthResetCommand

export type LeaseCommand =
  LeaseGrantCommand | LeaseRenewCommand | LeaseRevokeCommand | LockAcquireCommand | LockReleaseCommand

export type Command =
  | PutCommand
  | DeleteCommand
  | DeleteRangeCommand
  | TransactionCommand
  | RaiseLevelCommand
  | CompactionCommand
  | RetentionCommand
  | LeaseCommand
  | AuthCommand

/**
 * Whether a command keeps something alive, or makes less of what there is, rather than more. A node that has too much to do takes these
 * nevertheless: there are few of them. A lease must not end because its holder was refused, nor a token stay because its revocation was.
 */
export function isUpkeep({ type }: Command): boolean {
  switch (type) {
    case 'raise-level':
    case 'compaction':
    case 'retention':
    case 'lease-renew':
    case 'lease-revoke':
    case 'lock-release':
    case 'auth-bootstrap':
    case 'role-put':
    case 'role-delete':
    case 'token-create':
    case 'token-delete':
    case 'auth-reset':
      return true
    default:
      return false
  }
}
