import type { Agent } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { limits } from '../limits.ts'
import { ConnectionError, changesSomething, exchange, type IncomingAnswer, type OutgoingRequest } from './exchange.ts'

export type Query = Readonly<Record<string, string | undefined>>

export interface Routing {
  /** The request is about the first server itself, so no other one may be asked. */
  readonly firstOnly: boolean
  /** Aborting it ends the request. */
  readonly signal: AbortSignal | null
}

export interface ServerRequest extends Omit<OutgoingRequest, 'path' | 'silenceMsMax' | 'signal'>, Routing {
  /** Does not include the query. */
  readonly path: string
  /** A `timeout` in it is replaced by the time that the server gets. */
  readonly query: Query
}

/** How long one server may take. */
interface Patience {
  /** The timeout that is sent to the server, if the request has one. */
  readonly timeoutMs: number
  readonly silenceMsMax: number
}

/** Why a request moves on to the next server: the server said so, nobody listens there, or the connection broke before the answer. */
export type ElsewhereReason =
  { readonly kind: 'answered'; readonly code: string } | { readonly kind: 'refused' | 'broken' }

/** How much longer than the server's own deadline the client waits, so that the server's answer wins. */
export const silenceGraceMs = 2_000
/** The least time that one of several servers gets. A smaller share could give up every server before a healthy one has answered. */
const shareMsMin = 500
/** The pause between two rounds over all servers. */
const pauseMs = 25

/** Error codes that mean that nothing was done and that another server may do it. */
const elsewhere = new Set(['no-leader', 'transferring', 'shutting-down', 'removed', 'not-initialized'])
/** Error codes that mean that the time was too short. Another server may do it, if the request may be repeated. */
const tooLate = new Set(['outcome-unknown', 'read-timeout'])

export interface ServersAnswer extends IncomingAnswer {
  /** A server that was asked before may have carried the change out, whatever this one says. */
  readonly mayHaveHappened: boolean
}

/** The servers that a client knows. The client stays with one server until that server fails. */
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

  /** The first answer that no other server could improve on. Rejects with `ConnectionError`. */
  async exchange(request: ServerRequest, timeoutMs: number): Promise<ServersAnswer> {
    const deadline = performance.now() + timeoutMs
    const isRepeatable = mayRepeat(request)
    const isAlone = request.firstOnly || this.origins.length === 1
    const isLast = (): boolean => isAlone || request.signal?.aborted === true || performance.now() + pauseMs >= deadline
    const asked = new Set<number>()
    let mayHaveHappened = false
    for (;;) {
      const server = request.firstOnly ? 0 : this.next(asked)
      const leftMs = Math.max(1, Math.ceil(deadline - performance.now()))
      const unasked = isAlone || !isRepeatable ? 1 : this.origins.length - asked.size
      try {
        const answer = await this.ask(server, request, patience(leftMs, unasked))
        const code = codeForAnother(answer, isRepeatable)
        if (isLast() || code === null) return { ...answer, mayHaveHappened }
        if (tooLate.has(code)) mayHaveHappened ||= changesSomething(request.method)
        this.onElsewhere({ kind: 'answered', code })
      } catch (error) {
        if (!(error instanceof ConnectionError)) throw error
        mayHaveHappened ||= error.ambiguous
        if (isLast() || !(error.refused || isRepeatable)) {
          throw new ConnectionError(
            error.message,
            { refused: error.refused, ambiguous: mayHaveHappened },
            { cause: error },
          )
        }
        this.onElsewhere({ kind: error.refused ? 'refused' : 'broken' })
      }
      this.leave(server)
      asked.add(server)
      if (asked.size === this.origins.length) {
        asked.clear()
        await delay(pauseMs)
      }
    }
  }

  /** The current server, or the next one that was not asked in this round: other requests may have moved on meanwhile. */
  private next(asked: ReadonlySet<number>): number {
    const order = this.origins.map((_, step) => (this.at + step) % this.origins.length)
    return order.find((server) => !asked.has(server)) ?? this.at
  }

  /** Moves on only from the current server: when several requests fail on one server, only the first of them moves on. */
  private leave(server: number): void {
    if (this.at === server) this.at = (server + 1) % this.origins.length
  }

  private async ask(
    server: number,
    { query, path, method, headers, body, signal }: ServerRequest,
    { timeoutMs, silenceMsMax }: Patience,
  ): Promise<IncomingAnswer> {
    const origin = this.origins[server]
    if (origin === undefined) throw new ConnectionError('no server was named', { refused: true, ambiguous: false })
    const deadline = query['timeout'] === undefined ? {} : { timeout: `${timeoutMs}ms` }
    return await exchange(origin, this.agent, {
      method,
      path: pathWith(path, { ...query, ...deadline }),
      headers,
      body,
      silenceMsMax,
      signal,
    })
  }
}

/** `path` with `query` behind it, percent-encoded. */
export function pathWith(path: string, query: Query): string {
  const parameters = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
  )
  return parameters.length === 0 ? path : `${path}?${parameters.join('&')}`
}

/**
 * An equal share of the time for each server that may still be asked in this round. A server that hangs, or that waits for a
 * leader that it cannot reach, leaves time for the others. A server that gets all the remaining time is also given the grace.
 */
function patience(leftMs: number, unasked: number): Patience {
  const shareMs = Math.max(shareMsMin, Math.ceil(leftMs / unasked))
  if (shareMs < leftMs) return { timeoutMs: shareMs, silenceMsMax: shareMs }
  return { timeoutMs: leftMs, silenceMsMax: Math.min(leftMs, limits.requestTimeoutMsMax) + silenceGraceMs }
}

function mayRepeat({ method, headers }: ServerRequest): boolean {
  return method === 'GET' || headers['idempotency-key'] !== undefined
}

/** The code of an answer that another server may improve on; null when the answer is final. */
function codeForAnother({ status, body }: IncomingAnswer, isRepeatable: boolean): string | null {
  if (status < 400) return null
  try {
    const problem: unknown = JSON.parse(body.toString('utf8'))
    const code = typeof problem === 'object' && problem !== null && 'code' in problem ? String(problem.code) : ''
    return elsewhere.has(code) || (isRepeatable && tooLate.has(code)) ? code : null
  } catch {
    return null
  }
}
