/** One way a request can fail that is not a bug of ours. */
export interface Failure {
  readonly status: number
  readonly title: string
  /** The same request may succeed later. */
  readonly retryable: boolean
  /** The write may or may not take effect. */
  readonly ambiguous: boolean
}

/** Every code that a client can meet. docs/ERRORS.md and the OpenAPI document are tested against this table. */
export const failures = {
  'invalid-request': { status: 400, title: 'Invalid request', retryable: false, ambiguous: false },
  'https-required': { status: 400, title: 'Https is required', retryable: false, ambiguous: false },
  'invalid-key': { status: 400, title: 'Invalid key', retryable: false, ambiguous: false },
  'value-encoding': { status: 400, title: 'Invalid value encoding', retryable: false, ambiguous: false },
  'future-revision': { status: 400, title: 'Revision not reached yet', retryable: true, ambiguous: false },
  unauthenticated: { status: 401, title: 'A valid token is needed', retryable: false, ambiguous: false },
  forbidden: { status: 403, title: 'Forbidden', retryable: false, ambiguous: false },
  'key-not-found': { status: 404, title: 'Key not found', retryable: false, ambiguous: false },
  'lease-not-found': { status: 404, title: 'Lease not found', retryable: false, ambiguous: false },
  'role-not-found': { status: 404, title: 'Role not found', retryable: false, ambiguous: false },
  'token-not-found': { status: 404, title: 'Token not found', retryable: false, ambiguous: false },
  'learner-not-found': { status: 404, title: 'Learner not found', retryable: false, ambiguous: false },
  'node-not-found': { status: 404, title: 'Node not found', retryable: false, ambiguous: false },
  'route-not-found': { status: 404, title: 'Route not found', retryable: false, ambiguous: false },
  'method-not-allowed': { status: 405, title: 'Method not allowed', retryable: false, ambiguous: false },
  'already-initialized': { status: 409, title: 'Already initialized', retryable: false, ambiguous: false },
  'not-initialized': { status: 409, title: 'Not initialized', retryable: true, ambiguous: false },
  'member-mismatch': { status: 409, title: 'Node is not who it should be', retryable: false, ambiguous: false },
  'peer-disagrees': { status: 409, title: 'A peer disagrees', retryable: false, ambiguous: false },
  'membership-change-in-progress': {
    status: 409,
    title: 'Membership change in progress',
    retryable: true,
    ambiguous: false,
  },
  'address-conflict': { status: 409, title: 'Address conflict', retryable: false, ambiguous: false },
  'learner-lagging': { status: 409, title: 'Learner is lagging', retryable: true, ambiguous: false },
  'lease-exists': { status: 409, title: 'Lease exists', retryable: false, ambiguous: false },
  'lock-held': { status: 409, title: 'Lock is held', retryable: true, ambiguous: false },
  'lock-wait-ended': { status: 409, title: 'Wait for the lock has ended', retryable: false, ambiguous: false },
  'lock-not-held': { status: 409, title: 'Lease does not hold the lock', retryable: false, ambiguous: false },
  'auth-not-begun': { status: 409, title: 'There are no tokens yet', retryable: false, ambiguous: false },
  'auth-begun-before': { status: 409, title: 'There are tokens already', retryable: false, ambiguous: false },
  'certificate-in-use': { status: 409, title: 'Certificate name is in use', retryable: false, ambiguous: false },
  'role-in-use': { status: 409, title: 'Role is in use', retryable: false, ambiguous: false },
  'last-admin': { status: 409, title: 'Nobody would be left to grant rights', retryable: false, ambiguous: false },
  'no-transfer-target': { status: 409, title: 'No node can take over', retryable: true, ambiguous: false },
  compacted: { status: 410, title: 'History is gone', retryable: false, ambiguous: false },
  'precondition-failed': { status: 412, title: 'Precondition failed', retryable: false, ambiguous: false },
  'value-too-large': { status: 413, title: 'Value too large', retryable: false, ambiguous: false },
  'request-too-large': { status: 413, title: 'Request too large', retryable: false, ambiguous: false },
  'unsupported-media-type': { status: 415, title: 'Unsupported media type', retryable: false, ambiguous: false },
  'not-in-members': { status: 422, title: 'This node is not among the members', retryable: false, ambiguous: false },
  'unknown-voter': { status: 422, title: 'Unknown voter', retryable: false, ambiguous: false },
  'empty-membership': { status: 422, title: 'Empty membership', retryable: false, ambiguous: false },
  'range-too-large': { status: 422, title: 'Too much for one change', retryable: false, ambiguous: false },
  'transaction-too-large': {
    status: 422,
    title: 'Transaction reads too much',
    retryable: false,
    ambiguous: false,
  },
  'quorum-at-risk': { status: 422, title: 'Quorum at risk', retryable: true, ambiguous: false },
  'unknown-role': { status: 422, title: 'Unknown role', retryable: false, ambiguous: false },
  'auth-full': { status: 422, title: 'Too many roles or tokens', retryable: false, ambiguous: false },
  'too-many-leases': { status: 422, title: 'Too many leases', retryable: true, ambiguous: false },
  'too-many-attached-keys': {
    status: 422,
    title: 'Too many keys that belong to leases',
    retryable: true,
    ambiguous: false,
  },
  'idempotency-key-reused': { status: 422, title: 'Idempotency key reused', retryable: false, ambiguous: false },
  'rate-limited': { status: 429, title: 'Limit of the token reached', retryable: true, ambiguous: false },
  overloaded: { status: 429, title: 'Overloaded', retryable: true, ambiguous: false },
  'header-too-large': { status: 431, title: 'Request header too large', retryable: false, ambiguous: false },
  'request-timeout': { status: 408, title: 'Request not received in time', retryable: true, ambiguous: false },
  'too-slow': { status: 408, title: 'Reader too slow', retryable: true, ambiguous: false },
  'not-implemented': { status: 501, title: 'Not implemented', retryable: false, ambiguous: false },
  internal: { status: 500, title: 'Internal error', retryable: false, ambiguous: true },
  'no-space': { status: 507, title: 'Disks are nearly full', retryable: true, ambiguous: false },
  'feature-unavailable': {
    status: 503,
    title: 'Not every member knows this yet',
    retryable: true,
    ambiguous: false,
  },
  'no-leader': { status: 503, title: 'No leader', retryable: true, ambiguous: false },
  'not-ready': { status: 503, title: 'Not ready', retryable: true, ambiguous: false },
  'deletion-unfinished': { status: 503, title: 'Deletion not finished in time', retryable: true, ambiguous: false },
  transferring: { status: 503, title: 'Leadership is being transferred', retryable: true, ambiguous: false },
  removed: { status: 503, title: 'Removed from the cluster', retryable: false, ambiguous: false },
  'shutting-down': { status: 503, title: 'Shutting down', retryable: true, ambiguous: false },
  'read-timeout': { status: 503, title: 'Read timed out', retryable: true, ambiguous: false },
  'outcome-unknown': { status: 504, title: 'Outcome unknown', retryable: false, ambiguous: true },
} as const satisfies Record<string, Failure>

export type ErrorCode = keyof typeof failures

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(failures, code)
}

/** Ends the detail of a refusal that the log has decided for a request with an idempotency key. A library that has drawn the key leaves it out. */
export const sameUnderKey = '; under this Idempotency-Key the answer stays the same: to try again, use another one'

/** Additional members of the error document, by code: for instance `{currentRevision: 7}`. */
export type ErrorFacts = Readonly<Record<string, unknown>>

/** The state of the store by which a failure was decided, and how recent it was. */
export interface Reflected {
  readonly revision: number
  readonly consistency: string
}

/** An expected failure on its way to the client. `detail` is for people: what was wrong and what to do. */
export class RequestError extends Error {
  override readonly name = 'RequestError'
  readonly code: ErrorCode
  readonly facts: ErrorFacts
  /** Null: it does not depend on the state of the store. */
  readonly reflects: Reflected | null

  constructor(code: ErrorCode, detail: string, facts: ErrorFacts = {}, reflects: Reflected | null = null) {
    super(detail)
    this.code = code
    this.facts = facts
    this.reflects = reflects
  }

  /** The same failure, as this state of the store decides it. */
  reflecting(state: Reflected): RequestError {
    return new RequestError(this.code, this.message, this.facts, state)
  }
}

/** A failure of storage. The process stops with an exit code for it: 2 when it could not start, 3 when it was running. */
export class StorageError extends Error {
  override readonly name = 'StorageError'
  /** `refused`: the directory must not be used as it is. `failed`: a call to the operating system or the store failed. */
  readonly kind: 'refused' | 'failed'

  constructor(kind: 'refused' | 'failed', message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}
