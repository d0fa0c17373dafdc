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

/** Removes every key in `[start, end)`; null is unbounded. */
export interface DeleteRangeCommand {
  readonly type: 'delete-range'
  readonly start: Key | null
  readonly end: Key | null
  readonly idempotency: IdempotencyTag | null
}

export type Command = PutCommand | DeleteCommand | DeleteRangeCommand
