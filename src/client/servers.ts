import type { Agent } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { limits } from '../limits.ts'
import { ConnectionError, exchange, type IncomingAnswer, type OutgoingRequest } from './exchange.ts'

export type Query = Readonly<Record<string, string | undefined>>

export interface ServerRequest extends Omit<OutgoingRequest, 'path' | 'silenceMsMax'> {
  /** Without query. */
  readonly path: string
  /** `timeout`, where it is given, is replaced by what is left of the request's time. */
  readonly query: Query
}

/** Why a request is taken to the next server: it said so, nobody listens there, or the connection broke before the answer. */
export type ElsewhereReason =
  { readonly kind: 'answered'; readonly code: string } | { readonly kind: 'refused' | 'broken' }

/** How much longer than the server's own deadline the client waits, so that the server's answer wins. */
const graceMs = 2_000
/** Between two rounds over all servers. */
const pauseMs = 25

/** Codes by which a server says that nothing was done, and that another one may do it. */
const elsewhere = new Set(['no-leader', 'transferring', 'shutting-down', 'removed', 'not-initialized'])

/** The servers that a client knows. It stays with one until that one fails it. */
export class Servers {
  private readonly origins: readonly URL[]
  private readonly agent: Agent
  private readonly onElsewhere: (reason: ElsewhereReason) => void
  private at = 0

  constructor(origins: readonly URL[], agent: Agent, onElsewhere: (reason: ElsewhereReason) => void) {
    this.origins = origins
    this.agent = agent
    this.onElsewhere = onElsewhere
  }

  /** The first answer that another server could not better; rejects with `ConnectionError`. */
  async exchange(request: ServerRequest, timeoutMs: number): Promise<IncomingAnswer> {
    const deadline = performance.now() + timeoutMs
    for (let tries = 1; ; tries++) {
      const isLast = (): boolean => this.origins.length === 1 || performance.now() + pauseMs >= deadline
      try {
        const answer = await this.ask(request, Math.max(1, Math.ceil(deadline - performance.now())))
        const code = codeForAnother(answer, mayRepeat(request))
        if (isLast() || code === null) return answer
        this.onElsewhere({ kind: 'answered', code })
      } catch (error) {
        if (isLast() || !(error instanceof ConnectionError) || !(error.refused || mayRepeat(request))) throw error
        this.onElsewhere({ kind: error.refused ? 'refused' : 'broken' })
      }
      this.at += 1
      if (tries % this.origins.length === 0) await delay(pauseMs)
    }
  }

  private async ask({ query, path, method, headers, body }: ServerRequest, leftMs: number): Promise<IncomingAnswer> {
    const origin = this.origins[this.at % this.origins.length]
    if (origin === undefined) throw new ConnectionError('there is no server to ask', true)
    const deadline = query['timeout'] === undefined ? {} : { timeout: `${leftMs}ms` }
    const parameters = Object.entries({ ...query, ...deadline }).flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
    )
    return await exchange(origin, this.agent, {
      method,
      path: parameters.length === 0 ? path : `${path}?${parameters.join('&')}`,
      headers,
      body,
      silenceMsMax: Math.min(leftMs, limits.requestTimeoutMsMax) + graceMs,
    })
  }
}

function mayRepeat({ method, headers }: ServerRequest): boolean {
  return method === 'GET' || headers['idempotency-key'] !== undefined
}

/** The code of an answer that another server may better; null for one that is final. */
function codeForAnother({ status, body }: IncomingAnswer, isRepeatable: boolean): string | null {
  if (status < 400) return null
  try {
    const problem: unknown = JSON.parse(body.toString('utf8'))
    const code = typeof problem === 'object' && problem !== null && 'code' in problem ? String(problem.code) : ''
    return elsewhere.has(code) || (isRepeatable && code === 'outcome-unknown') ? code : null
  } catch {
    return null
  }
}
