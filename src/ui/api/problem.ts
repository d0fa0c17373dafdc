import type { ErrorCode } from '../../client/api-types.ts'

/** The body of a failed request (RFC 9457). A newer node may send codes that this page does not know. */
export interface Problem {
  readonly status: number
  readonly title: string
  readonly detail: string
  readonly code: ErrorCode | (string & Record<never, never>)
  readonly retryable: boolean
  readonly ambiguous: boolean
  readonly [fact: string]: unknown
}

/** The node refused the request, or it failed there. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError'
  readonly problem: Problem

  constructor(problem: Problem) {
    super(`${problem.title}: ${problem.detail}`)
    this.problem = problem
  }

  get code(): Problem['code'] {
    return this.problem.code
  }
}

/** Whether the node wants a token, or another one. */
export function asksForToken(failure: unknown): boolean {
  return failure instanceof ProblemError && failure.problem.status === 401
}

/** The node says something that this page cannot take: to ask again helps nothing. */
export class UnreadableError extends Error {
  override readonly name = 'UnreadableError'
}

interface UnreachableOptions extends ErrorOptions {
  /** The request asks for a change. Default: false. */
  readonly isChange?: boolean
}

/** There was no answer, or no whole one: the node is gone, or the network, or it took too long. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError'
  /** Whether something has changed is not known. */
  readonly isAmbiguous: boolean

  constructor(message: string, { isChange = false, ...options }: UnreachableOptions = {}) {
    super(message, options)
    this.isAmbiguous = isChange
  }
}

/** What a failed answer says. An answer that no node gives, such as that of a proxy, is put into the same shape. */
export async function problemOf(response: Response): Promise<Problem> {
  const text = await response.text().catch(() => '')
  const fallback: Problem = {
    status: response.status,
    title: response.statusText === '' ? `Status ${response.status}` : response.statusText,
    detail: `the answer is not that of a node: ${text.trim() === '' ? 'it is empty' : text.trim().slice(0, 200)}`,
    code: 'unknown',
    retryable: response.status >= 500,
    ambiguous: false,
  }
  try {
    const body: unknown = JSON.parse(text)
    return isProblem(body) ? { ...fallback, ...body } : fallback
  } catch {
    return fallback
  }
}

function isProblem(body: unknown): body is Partial<Problem> {
  return typeof body === 'object' && body !== null && 'code' in body && typeof body.code === 'string'
}
