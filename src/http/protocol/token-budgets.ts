import type { FastifyReply, FastifyRequest } from 'fastify'
import type { AccessToken, AuthTable } from '../../kv/index.ts'
import { RequestError } from '../../lib/errors.ts'
import { ApiRequest } from './api-request.ts'
import { ApiResponse } from './api-response.ts'

/** What a token has left. Both grow with time, up to what it may take in a second. */
interface Budget {
  requests: number
  bytes: number
  /** Up to which moment they have grown. */
  grownAt: number
}

/**
 * What tokens with limits take of this node. A request is let in while there is one left, and while the bodies of those before it have not taken
 * more bytes than there were: how many a request takes is known when it is over. That of a stream counts then as well.
 */
export class TokenBudgets {
  private readonly now: () => number
  private readonly budgets = new Map<number, Budget>()

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number) {
    this.now = now
  }

  /** Counts a request; why it is refused, null when it is not. */
  take(token: AccessToken, { raw: asked }: FastifyRequest, { raw: answer }: FastifyReply): RequestError | null {
    const { requestsPerSecond, bytesPerSecond } = token
    if (requestsPerSecond === null && bytesPerSecond === null) return null
    const budget = this.grown(token)
    if (requestsPerSecond !== null && budget.requests < 1)
      return exceeded(`${requestsPerSecond} requests a second`, (1 - budget.requests) / requestsPerSecond)
    if (bytesPerSecond !== null && budget.bytes < 0)
      return exceeded(`${bytesPerSecond} bytes a second`, -budget.bytes / bytesPerSecond)
    budget.requests -= 1
    if (bytesPerSecond !== null && answer instanceof ApiResponse && asked instanceof ApiRequest)
      answer.once('close', () => (budget.bytes -= asked.receivedBytes + answer.sentBytes))
    return null
  }

  /** To be called when tokens have changed. */
  onChange(table: AuthTable | null): void {
    for (const id of this.budgets.keys()) if (table?.tokens.has(id) !== true) this.budgets.delete(id)
  }

  private grown({ id, requestsPerSecond, bytesPerSecond }: AccessToken): Budget {
    const now = this.now()
    const requestsMax = Math.max(1, requestsPerSecond ?? 1)
    const bytesMax = bytesPerSecond ?? 0
    const known = this.budgets.get(id)
    if (known === undefined) {
      const budget = { requests: requestsMax, bytes: bytesMax, grownAt: now }
      this.budgets.set(id, budget)
      return budget
    }
    const seconds = (now - known.grownAt) / 1000
    known.requests = Math.min(requestsMax, known.requests + seconds * (requestsPerSecond ?? 0))
    known.bytes = Math.min(bytesMax, known.bytes + seconds * bytesMax)
    known.grownAt = now
    return known
  }
}

function exceeded(limit: string, seconds: number): RequestError {
  const retryAfterSeconds = Math.max(1, Math.ceil(seconds))
  return new RequestError('rate-limited', `the token may take ${limit} of a node: wait for ${retryAfterSeconds} s`, {
    retryAfterSeconds,
  })
}
