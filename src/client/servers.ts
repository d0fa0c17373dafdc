import { setMaxListeners } from 'node:events'
import { Agent, type AgentOptions } from 'node:http'
import { Agent as SecureAgent } from 'node:https'
import { limits } from '../limits.ts'
import { pause } from './awaited.ts'
import { CallTime, type Patience, type Shares } from './call-time.ts'
import { AmbiguousOutcomeError, ClosedError, ConnectionError, problemFrom, type QuorateError } from './errors.ts'
import {
  changesSomething,
  open,
  wholeOf,
  type IncomingAnswer,
  type OpenAnswer,
  type OutgoingRequest,
  type StreamedBody,
} from './exchange.ts'
import { LeaderHints } from './leader-hints.ts'
import { MeteredBody } from './metered-body.ts'
import { contextOf, type ElsewhereReason, type TlsOptions } from './options.ts'
import { RequestQueues } from './request-queues.ts'
import { isOfOneServer, namesNode, obstacleIn, progressIn, retryAfterMs, Turns, type Obstacle } from './retry-policy.ts'

export type Query = Readonly<Record<string, string | undefined>>

/**
 * Which connections a request takes. `ordinary`: a number of them is shared, and requests wait for one. `urgent`: others of the same number,
 * so that what has to be in time does not wait behind the rest. `own`: one of its own, because it may take long.
 */
export type Lane = (typeof lanesShared)[number] | 'own'

const lanesShared = ['ordinary', 'urgent'] as const

/** The body of a request that tells the server how long to wait: it is made for each attempt, of what is left of the wait. */
type WaitingBody = (waitMs: number) => Uint8Array

export interface ServerRequest extends Omit<
  OutgoingRequest,
  'path' | 'body' | 'connectMsMax' | 'silenceMsMax' | 'bodySilenceMsMax' | 'wholeMsMax'
> {
  readonly body: OutgoingRequest['body'] | WaitingBody
  /** Does not include the query. */
  readonly path: string
  /** A `timeout` in it is replaced by the time that the server gets. */
  readonly query: Query
  /** The request is about the first server itself, so no other one may be asked, and it is asked once. */
  readonly firstOnly: boolean
  /** The leader serves it without a hop, and a server that does not lead answers `redirect=true` with the leader's address. */
  readonly isForLeader: boolean
  readonly lane: Lane
  /** How long servers are asked to wait for something, all attempts together. It comes on top of the timeout. */
  readonly waitMs: number
  /** Doing it twice does no harm, without an idempotency key too. */
  readonly isIdempotent: boolean
  /** Whether it is sent again when it was not served. */
  readonly retry: boolean
  /** Codes that otherwise say that nothing was done, and in answers to this request do not. */
  readonly parting: readonly string[]
}

export interface ServersOptions {
  readonly origins: readonly URL[]
  /** Whether requests go to the leader, once it is known. */
  readonly preferLeader: boolean
  readonly tls: TlsOptions
  readonly onElsewhere: (reason: ElsewhereReason) => void
}

export interface ServersAnswer extends IncomingAnswer {
  readonly origin: URL
  /** A server that was asked before may have carried the change out, whatever this one says. */
  readonly mayHaveHappened: boolean
  /** It is a refusal of this server alone: another of those that were named may serve the request. */
  readonly mayBeServedElsewhere: boolean
  /** For a stream that was opened: its body, which is still to be read. `body` is then empty. */
  readonly stream: OpenAnswer['body'] | null
}

type Asked =
  | { readonly kind: 'answered'; readonly answer: Omit<ServersAnswer, 'mayHaveHappened' | 'mayBeServedElsewhere'> }
  | { readonly kind: 'failed'; readonly error: ConnectionError }

/** The servers that a client knows. The client stays with one server until that server fails. */
export class Servers {
  private readonly options: ServersOptions
  private readonly agents: Readonly<Record<'http:' | 'https:', Readonly<Record<Lane, Agent>>>>
  private readonly hints = new LeaderHints()
  private readonly queues = new RequestQueues()
  /** Servers that gave no answer: until when the others are asked before them. */
  private readonly restUntil = new Map<string, number>()
  private at = 0
  private readonly closing = new AbortController()

  constructor(options: ServersOptions) {
    this.options = options
    const secure = contextOf(options.tls)
    this.agents = {
      'http:': lanes((bounds) => new Agent(bounds)),
      'https:': lanes((bounds) => new SecureAgent({ ...secure, ...bounds })),
    }
    // Any number of requests may wait at the same time.
    setMaxListeners(0, this.closing.signal)
  }

  close(): void {
    this.closing.abort()
    for (const lane of Object.values(this.agents)) for (const agent of Object.values(lane)) agent.destroy()
  }

  /** The first answer on which no other attempt could improve. Rejects with `ConnectionError`, `AmbiguousOutcomeError` or `ClosedError`. */
  async exchange(request: ServerRequest, timeoutMs: number): Promise<ServersAnswer> {
    const time = new CallTime(timeoutMs, request.waitMs)
    const isRepeatable = mayRepeat(request)
    const turns = new Turns(this.options.origins.length)
    let { server, origin } = this.first(request)
    let mayHaveHappened = false
    let progress = 0
    for (;;) {
      if (this.closing.signal.aborted) throw new ClosedError()
      const sentAt = performance.now()
      const shares = sharesOf(request, isRepeatable, turns.left(sentAt))
      const shareMs = time.shareMs(shares.ofAnswer)
      const metered = isSent(request.body) ? new MeteredBody(request.body, sentAt) : null
      const asked = await this.askOrFollow(origin, { ...request, body: metered ?? request.body }, time, shares)
      const now = performance.now()
      if (metered !== null) time.extend(now - sentAt - Math.min(shareMs, metered.untakenMs(now)))
      const obstacle = obstacleOf(asked, request, isRepeatable)
      if (obstacle !== null || asked.kind === 'failed') this.leave(server, origin, now)
      if (obstacle !== null) turns.failed(server, now, restMsOf(asked, obstacle, origin))
      const next = turns.next(this.at, now, (server) => this.rests(server, now))
      if (obstacle === null || !mayGoOn(request, next.at, time.deadline)) {
        const mayBeServedElsewhere = obstacle?.isLasting === true && !request.firstOnly && turns.mayGoOn
        if (asked.kind === 'failed') throw this.failureOf(asked.error, request, mayHaveHappened || progress > 0)
        // What this server tells of its part covers what others have told before, unless they had come further.
        const isBehind = progress > 0 && progressIn(problemFrom(asked.answer.body)) < progress
        return { ...asked.answer, mayHaveHappened: mayHaveHappened || isBehind, mayBeServedElsewhere }
      }
      progress = Math.max(progress, obstacle.progress)
      mayHaveHappened ||= obstacle.mayHaveHappened && changesSomething(request.method)
      this.options.onElsewhere(obstacle.reason)
      await pause(next.at - now, this.endsOf(request))
      request.signal?.throwIfAborted()
      server = next.server
      origin = this.originOf(server)
    }
  }

  private first({ firstOnly, isForLeader }: ServerRequest): { server: number; origin: URL } {
    const { origins, preferLeader } = this.options
    const leader = preferLeader && isForLeader ? this.hints.origin : null
    if (leader === null) {
      const server = firstOnly ? 0 : this.at
      return { server, origin: this.originOf(server) }
    }
    const named = origins.findIndex(({ origin }) => origin === leader.origin)
    return { server: named === -1 ? origins.length : named, origin: leader }
  }

  private originOf(server: number): URL {
    const origin = this.options.origins[server]
    if (origin === undefined) throw new ConnectionError('no server was named', true)
    return origin
  }

  /** Moves on only from the current server: when several requests fail on one server, only the first of them moves on. */
  private leave(server: number, origin: URL, now: number): void {
    this.hints.failed(origin, now)
    if (this.at !== server) return
    const { length } = this.options.origins
    const others = Array.from({ length: length - 1 }, (_, step) => (server + 1 + step) % length)
    this.at = others.find((other) => !this.rests(other, now)) ?? (server + 1) % length
  }

  private rests(server: number, now: number): boolean {
    return now < (this.restUntil.get(this.originOf(server).origin) ?? 0)
  }

  /** The server at this address gave no answer. Those that wait for it and those that come later ask others first. */
  private gaveNoAnswer({ origin }: URL): void {
    const isNamed = this.options.origins.some((named) => named.origin === origin)
    if (isNamed) this.restUntil.set(origin, performance.now() + limits.clientServerRestMs)
    for (const lane of lanesShared) this.queues.turnAway(placeOf(lane, origin))
  }

  private endsOf({ signal }: ServerRequest): readonly AbortSignal[] {
    const closing = this.closing.signal
    return signal === null ? [closing] : [closing, signal]
  }

  private failureOf(
    error: ConnectionError,
    { method, headers }: ServerRequest,
    mayHaveHappened: boolean,
  ): QuorateError {
    if (this.closing.signal.aborted) return new ClosedError()
    const isAmbiguous = mayHaveHappened || (changesSomething(method) && !error.refused)
    return isAmbiguous ? new AmbiguousOutcomeError(error, headers['idempotency-key'] ?? null) : error
  }

  /** Asks the server, or the leader that it names. */
  private async askOrFollow(origin: URL, request: ServerRequest, time: CallTime, shares: Shares): Promise<Asked> {
    const { hints } = this
    const wantsLeader = this.options.preferLeader && request.isForLeader && hints.isWanted(performance.now())
    const query = wantsLeader ? { ...request.query, redirect: 'true' } : request.query
    const asked = await this.ask(origin, { ...request, query }, time, shares)
    if (asked.kind === 'failed') return asked
    hints.heard(origin, asked.answer.headers)
    if (request.isForLeader && !isOfNode(asked.answer)) hints.failed(origin, performance.now())
    const leader = wantsLeader && asked.answer.status === 307 ? hints.redirected(origin, asked.answer.headers) : null
    if (leader === null) return asked
    const followed = await this.ask(leader, request, time, shares)
    if (followed.kind === 'answered') {
      hints.heard(leader, followed.answer.headers)
      if (!isOfNode(followed.answer) || isOfOneServer(problemFrom(followed.answer.body)?.code ?? ''))
        hints.misled(performance.now())
      return followed
    }
    hints.failed(leader, performance.now())
    // The server that was asked first carries it to the leader by itself.
    return followed.error.refused ? await this.ask(origin, request, time, shares) : followed
  }

  /** Asks once it is the request's turn. The wait for that has an end, and counts. */
  private async ask(origin: URL, request: ServerRequest, time: CallTime, shares: Shares): Promise<Asked> {
    const { lane, signal, firstOnly, retry } = request
    if (lane === 'own') return await this.send(origin, request, time, shares)
    const place = placeOf(lane, origin.origin)
    const msMax = time.shareMs(shares.ofConnection)
    const mayGoElsewhere = retry && !firstOnly && this.options.origins.length > 1
    const hasTurn = await this.queues.take(place, { msMax, mayGoElsewhere, signals: this.endsOf(request) })
    if (!hasTurn) {
      signal?.throwIfAborted()
      const reason = `${limits.clientSocketsMax} requests before this one wait for their answers: send fewer at a time, or give them more time`
      return { kind: 'failed', error: new ConnectionError(`${origin.origin}: ${reason}`, true) }
    }
    try {
      return await this.send(origin, request, time, shares)
    } finally {
      this.queues.release(place)
    }
  }

  private async send(origin: URL, request: ServerRequest, time: CallTime, shares: Shares): Promise<Asked> {
    const { signal, lane, isStream } = request
    try {
      const agent = this.agents[origin.protocol === 'https:' ? 'https:' : 'http:'][lane]
      const answer = await open(origin, agent, outgoingOf(request, time, time.patience(shares)))
      this.restUntil.delete(origin.origin)
      if (isStream && answer.status === 200) {
        return { kind: 'answered', answer: { ...answer, origin, body: Buffer.alloc(0), stream: answer.body } }
      }
      return { kind: 'answered', answer: { ...(await wholeOf(origin, answer, signal)), origin, stream: null } }
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error
      if (!this.closing.signal.aborted) this.gaveNoAnswer(origin)
      return { kind: 'failed', error }
    }
  }
}

/** `servers`: how many are still to be asked in this round. */
function sharesOf({ firstOnly, retry }: ServerRequest, isRepeatable: boolean, servers: number): Shares {
  const ofConnection = firstOnly || !retry ? 1 : Math.max(1, servers)
  return { ofConnection, ofAnswer: isRepeatable ? ofConnection : 1 }
}

/** The request as one server gets it. */
function outgoingOf(request: ServerRequest, time: CallTime, patience: Patience): OutgoingRequest {
  const { timeoutMs, connectMsMax, silenceMsMax } = patience
  const { query, path, method, headers, body, signal, isStream } = request
  const deadline = query['timeout'] === undefined ? {} : { timeout: `${timeoutMs}ms` }
  const parameters = Object.entries({ ...query, ...deadline }).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
  )
  const longest = Math.max(silenceMsMax, limits.clientStreamSilenceMsMax)
  return {
    method,
    path: parameters.length === 0 ? path : `${path}?${parameters.join('&')}`,
    headers,
    body: typeof body === 'function' ? body(time.waitMs) : body,
    signal,
    connectMsMax,
    silenceMsMax: isSent(body) ? longest : silenceMsMax,
    bodySilenceMsMax: isStream ? longest : silenceMsMax,
    wholeMsMax: isSent(body) ? null : time.wholeMsMax,
    isStream,
  }
}

/** Whether it is a node that answers a request about data. */
function isOfNode(answer: IncomingAnswer): boolean {
  return namesNode(answer) || problemFrom(answer.body) !== null
}

/** Where requests wait for each other: those of one lane on one server. */
function placeOf(lane: Lane, origin: string): string {
  return `${lane} ${origin}`
}

function lanes(create: (bounds: AgentOptions) => Agent): Readonly<Record<Lane, Agent>> {
  // Requests wait for each other before they come to these. What waits here waits for a connection that is just being closed.
  const shared = { keepAlive: true, maxSockets: limits.clientSocketsMax }
  return { ordinary: create(shared), urgent: create(shared), own: create({ keepAlive: true }) }
}

function mayGoOn({ retry, firstOnly, signal }: ServerRequest, at: number, deadline: number): boolean {
  return retry && !firstOnly && signal?.aborted !== true && at < deadline
}

/** How long the server is not asked again. What another server says, to which it has redirected, does not hold for itself. */
function restMsOf(asked: Asked, { isLasting }: Obstacle, { origin }: URL): number {
  if (asked.kind === 'failed') return 0
  const { headers, origin: by } = asked.answer
  return isLasting && by.origin === origin ? Number.POSITIVE_INFINITY : retryAfterMs(headers)
}

/** Null: what happened is final. */
function obstacleOf(asked: Asked, request: ServerRequest, isRepeatable: boolean): Obstacle | null {
  if (asked.kind === 'answered') {
    const { status, body: said } = asked.answer
    // A body that is made while it is sent has been begun by then.
    return isReplayable(request.body) ? obstacleIn(status, said, isRepeatable, request) : null
  }
  const { refused } = asked.error
  if (!refused && !isRepeatable) return null
  return { reason: { kind: refused ? 'refused' : 'broken' }, mayHaveHappened: !refused, progress: 0, isLasting: false }
}

/** Whether the request may be sent again after a server has taken it. */
function mayRepeat({ method, headers, body, isIdempotent }: ServerRequest): boolean {
  return isReplayable(body) && (method === 'GET' || isIdempotent || headers['idempotency-key'] !== undefined)
}

function isReplayable(body: ServerRequest['body']): boolean {
  return !isSent(body) || body.isRepeatable
}

/** Whether the body is made while it is sent. */
function isSent(body: ServerRequest['body']): body is StreamedBody {
  return body !== null && typeof body !== 'function' && !(body instanceof Uint8Array)
}
