import type { Key } from './key.ts'

/** What must hold of the current record for a write to happen. */
export type Condition =
  | { readonly type: 'absent' }
  | { readonly type: 'present' }
  | { readonly type: 'mod-revision'; readonly revision: number }

/** A client's name for one write, so that a retry is told from a new one. `fingerprint`: of the request, to catch another request under the same name. */
export interface IdempotencyTag {
  readonly key: string
  readonly fingerprint: number
}

/**
 * The name under which step `step` of a request that takes several entries is executed, from 0; the first has the client's own name.
 * No client can give such a name to a write of its own: a space is no visible character.
 */
export function stepName(key: string, step: number): string {
  return step === 0 ? key : `${key} ${step}`
}

export interface PutCommand {
  readonly type: 'put'
  readonly key: Key
  readonly value: Uint8Array
  readonly condition: Condition | null
  /** The answer carries the record that was replaced. */
  readonly wantsPrevious: boolean
  readonly idempotency: IdempotencyTag | null
}

export interface DeleteCommand {
  readonly type: 'delete'
  readonly key: Key
  readonly condition: Condition | null
  readonly wantsPrevious: boolean
  readonly idempotency: IdempotencyTag | null
}

/** Removes every key in `[start, end)`; null is unbounded. Refused when there are more than one entry may remove. */
export interface DeleteRangeCommand {
  readonly type: 'delete-range'
  readonly start: Key | null
  readonly end: Key | null
  /** Removes as many of the first keys as one entry may, instead of being refused: one step of a deletion in several entries. */
  readonly upToLimit: boolean
  readonly idempotency: IdempotencyTag | null
}

export type Command = PutCommand | DeleteCommand | DeleteRangeCommand
