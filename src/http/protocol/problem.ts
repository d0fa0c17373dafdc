import type { FastifyReply } from 'fastify'
import { failures, type ErrorCode, type RequestError } from '../../lib/errors.ts'

/** The body of every failed request (RFC 9457), with the facts of its code in addition to these members. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: ErrorCode
  readonly retryable: boolean
  readonly ambiguous: boolean
}

export const PROBLEM_MEDIA_TYPE = 'application/problem+json'
export const PROBLEM_TYPE = `${PROBLEM_MEDIA_TYPE}; charset=utf-8`

/** How a client says who it is (RFC 6750). */
export const CHALLENGE = 'Bearer realm="quorate"'

/** Seconds in `Retry-After`. Elections take less than this, and a longer wait would be a guess. */
const RETRY_AFTER_SECONDS = '1'

/** Members that a code always has, for a failure that was raised without them. */
const absentFacts: Partial<Record<ErrorCode, Readonly<Record<string, unknown>>>> = {
  'no-leader': { leader: null },
}

export function problemOf(error: RequestError): Problem {
  const { status, title, retryable, ambiguous } = failures[error.code]
  return {
    type: `urn:quorate:error:${error.code}`,
    title,
    status,
    detail: error.message,
    code: error.code,
    retryable,
    ambiguous,
    ...absentFacts[error.code],
    ...error.facts,
  }
}

export function mustSayWhenToRetry(status: number): boolean {
  return status === 429 || status === 503
}

export interface ProblemAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | number>>
  readonly text: string
}

/** The complete answer, for callers that send it themselves. */
export function problemAnswer(error: RequestError): ProblemAnswer {
  const problem = problemOf(error)
  const { status } = problem
  const text = JSON.stringify(problem)
  const headers = { 'content-type': PROBLEM_TYPE, 'content-length': Buffer.byteLength(text) }
  const isLater = mustSayWhenToRetry(status)
  return { status, headers: isLater ? { ...headers, 'retry-after': RETRY_AFTER_SECONDS } : headers, text }
}

/** Sends the problem. Headers that are already set stay, so a failure after a read still tells the revision. */
export function sendProblem(reply: FastifyReply, error: RequestError): FastifyReply {
  const problem = problemOf(error)
  if (mustSayWhenToRetry(problem.status)) sayWhenToRetry(reply, error.facts['retryAfterSeconds'])
  if (error.code === 'unauthenticated') void reply.header('www-authenticate', CHALLENGE)
  return reply.code(problem.status).header('content-type', PROBLEM_TYPE).send(JSON.stringify(problem))
}

/** `seconds`: whatever the failure says of it. */
export function sayWhenToRetry(reply: FastifyReply, seconds?: unknown): FastifyReply {
  return reply.header('retry-after', typeof seconds === 'number' ? String(seconds) : RETRY_AFTER_SECONDS)
}
