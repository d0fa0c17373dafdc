import type { ErrorCode } from './api-types.ts'

/**
 * What went wrong, for a program to decide by. `unknown`: the answer is not that of a node. A newer node may send codes that this
 * version does not list.
 */
export type ProblemCode = ErrorCode | 'unknown' | (string & Record<never, never>)

/** The body of a failed request, as the server sent it: a problem document (RFC 9457). */
export interface Problem {
  readonly status: number
  readonly title: string
  readonly detail: string
  readonly code: ProblemCode
  readonly retryable: boolean
  readonly ambiguous: boolean
  readonly [fact: string]: unknown
}

/**
 * The problem document that the body of an answer is. Null: it is none, so that it is not a node that has answered.
 * @internal
 */
export function problemFrom(body: Buffer): Problem | null {
  try {
    const document: unknown = JSON.parse(body.toString('utf8'))
    return isProblem(document) ? document : null
  } catch {
    return null
  }
}

/** What every node puts there. Others have a code and a detail as well, and no more in common with it. */
const problemMembers = {
  status: 'number',
  title: 'string',
  detail: 'string',
  code: 'string',
  retryable: 'boolean',
  ambiguous: 'boolean',
} as const

function isProblem(document: unknown): document is Problem {
  if (typeof document !== 'object' || document === null) return false
  const members = new Map<string, unknown>(Object.entries(document))
  return Object.entries(problemMembers).every(([name, type]) => typeof members.get(name) === type)
}

/** A request that failed. Everything that the client rejects with is one of these, except what an `AbortSignal` gives as its reason. */
export abstract class QuorateError extends Error {
  /** The same request may succeed later. */
  abstract readonly retryable: boolean
}

/** A server refused the request. Nothing was changed. */
export class ProblemError extends QuorateError {
  override readonly name: string = 'ProblemError'
  readonly problem: Problem

  constructor(problem: Problem) {
    super(`${problem.title}: ${problem.detail}`)
    this.problem = problem
  }

  get code(): ProblemCode {
    return this.problem.code
  }

  get status(): number {
    return this.problem.status
  }

  get retryable(): boolean {
    return this.problem.retryable
  }
}

/** The history that was asked for is gone: read the present, and go on from there. */
export class CompactedError extends ProblemError {
  override readonly name = 'CompactedError'

  /** The oldest revision that can be read, and after which a watch can begin. */
  get compactRevision(): number {
    return Number(this.problem['compactRevision'])
  }
}

/** The servers could not be reached, or the connection broke before the answer was complete. Nothing was changed. */
export class ConnectionError extends QuorateError {
  override readonly name = 'ConnectionError'
  readonly retryable = true
  /** No connection was made: the request cannot have had any effect. */
  readonly refused: boolean

  constructor(message: string, refused: boolean, options?: ErrorOptions) {
    super(message, options)
    this.refused = refused
  }
}

/**
 * The change may have taken effect, or may still do so. `cause` is the last failure. To learn more, read; or repeat the same
 * request with `idempotencyKey`, which takes effect once and gets the answer of whichever attempt did.
 */
export class AmbiguousOutcomeError extends QuorateError {
  override readonly name = 'AmbiguousOutcomeError'
  readonly retryable = false
  override readonly cause: ProblemError | ConnectionError
  /** Null: the request had none, and repeating it may do it twice. */
  readonly idempotencyKey: string | null

  constructor(cause: ProblemError | ConnectionError, idempotencyKey: string | null) {
    super(`${cause.message}; the change may have taken effect, or may still do so`)
    this.cause = cause
    this.idempotencyKey = idempotencyKey
  }
}

/** The transaction took effect, but its results were too large to be kept until the retry that got this answer. */
export class ResultsForgottenError extends QuorateError {
  override readonly name = 'ResultsForgottenError'
  readonly retryable = false
  readonly succeeded: boolean
  readonly revision: number

  constructor(succeeded: boolean, revision: number) {
    super(`the transaction took effect at revision ${revision}, but its results are no longer kept: read them`)
    this.succeeded = succeeded
    this.revision = revision
  }
}

/** The reason of the signal of a lease, or of a lock, that is no longer held. */
export class LeaseLostError extends QuorateError {
  override readonly name = 'LeaseLostError'
  readonly retryable = false
  readonly lease: number

  constructor(lease: number, why: string, options?: ErrorOptions) {
    super(`lease ${lease} is lost: ${why}`, options)
    this.lease = lease
  }
}

/** The client was closed. */
export class ClosedError extends QuorateError {
  override readonly name = 'ClosedError'
  readonly retryable = false

  constructor() {
    super('the client was closed')
  }
}
