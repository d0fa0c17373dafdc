import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { failures, isErrorCode, sameUnderKey } from '../lib/errors.ts'
import { toError } from '../lib/to-error.ts'
import { nameFrom } from './arguments.ts'
import { awaited } from './awaited.ts'
import {
  AmbiguousOutcomeError,
  ClosedError,
  CompactedError,
  ConnectionError,
  problemFrom,
  ProblemError,
  type Problem,
  type QuorateError,
} from './errors.ts'
import { changesSomething, pieces, type Method, type OutgoingRequest } from './exchange.ts'
import { checkToken, durationFrom, type ClientSettings, type RequestOptions, type WriteOptions } from './options.ts'
import { isOfGateway, namesNode } from './retry-policy.ts'
import { Servers, type Query, type ServerRequest, type ServersAnswer } from './servers.ts'

/** One call of the API, before it has a deadline, a name and a server. */
export interface Call extends Partial<
  Pick<ServerRequest, 'firstOnly' | 'isForLeader' | 'lane' | 'isIdempotent' | 'waitMs' | 'retry' | 'parting'>
> {
  readonly method: Method
  readonly path: string
  readonly query?: Query
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: OutgoingRequest['body']
  /** The body as JSON; as a function, of what is left of `waitMs`. */
  readonly json?: object | ((waitMs: number) => object)
  /** The server answers it at once, so that there is no time to tell: the client alone ends it when its time is up. */
  readonly hasNoDeadline?: boolean
  /** What the document of a success has, beside other things, where nodes do not name themselves in a header: they do wherever it is about data. */
  readonly members?: readonly string[]
  /** It is many changes, one after the other, so that a refusal of one says nothing of those before it. */
  readonly isInParts?: boolean
  /** The name of the write is one of this client, of which the caller knows nothing. */
  readonly hasDrawnName?: boolean
}

/** A stream of bytes, and what the server said at its beginning. */
export interface ByteStream {
  readonly headers: ServersAnswer['headers']
  readonly pieces: AsyncGenerator<Uint8Array>
}

/** The requests of a client: everything that is the same for all parts of the API. Rejects with `QuorateError`, or the reason of a signal. */
export class Requests {
  private readonly settings: ClientSettings
  private readonly servers: Servers
  private readonly closing = new Set<(why: ClosedError) => void>()
  private closed: ClosedError | null = null

  constructor(settings: ClientSettings) {
    this.settings = settings
    this.servers = new Servers({ ...settings, origins: settings.servers })
  }

  get hasSeveralServers(): boolean {
    return this.settings.servers.length > 1
  }

  /** How long a request may take that says nothing of it. */
  get timeoutMs(): number {
    return this.settings.timeoutMs
  }

  close(): void {
    this.closed ??= new ClosedError()
    this.servers.close()
    for (const tell of this.closing) tell(this.closed)
    this.closing.clear()
  }

  /** Calls `tell` when the client is closed, or at once when it is. Returns a function that calls it off. */
  whenClosed(tell: (why: ClosedError) => void): () => void {
    if (this.closed === null) this.closing.add(tell)
    else tell(this.closed)
    return () => void this.closing.delete(tell)
  }

  /** A read. Resolves with the document of a successful answer. */
  async read<Answer>(call: Call, options: RequestOptions): Promise<Answer> {
    return documentOf<Answer>(call, await this.exchange(call, options))
  }

  /** A change that carries a name, so that it can be sent again. */
  async write<Answer>(call: Call, options: WriteOptions): Promise<Answer> {
    return await this.read<Answer>(named(call, options), options)
  }

  /** A change whose answer has no document. */
  async done(call: Call, options: RequestOptions): Promise<void> {
    const answer = await this.exchange(call, options)
    if (answer.status !== 204) throw failureOf(call, answer)
  }

  /** Whatever the answer is. */
  async exchange(call: Call, options: RequestOptions): Promise<ServersAnswer> {
    return await this.send(call, options, false)
  }

  /** A read whose answer comes as a stream. Rejects when the answer is a failure. */
  async stream(call: Call, options: RequestOptions): Promise<ByteStream> {
    const answer = await this.send({ ...call, lane: 'own' }, options, true)
    const { stream, origin, headers } = answer
    if (stream === null || headers['quorate-revision'] === undefined) {
      stream?.destroy()
      throw failureOf(call, answer)
    }
    const throwIfEnded = (): void => {
      options.signal?.throwIfAborted()
      if (this.closed !== null) throw this.closed
    }
    return { headers, pieces: pieces(origin, stream, throwIfEnded) }
  }

  private async send(call: Call, options: RequestOptions, isStream: boolean): Promise<ServersAnswer> {
    const { method, path, query = {}, json } = call
    const timeoutMs = durationFrom('timeoutMs', options.timeoutMs ?? this.settings.timeoutMs)
    const type = json === undefined ? {} : { 'content-type': 'application/json' }
    const startedAt = performance.now()
    // A program may have any number of requests end with one signal, which Node takes for a leak.
    if (options.signal !== undefined) setMaxListeners(0, options.signal)
    const authorization = await this.authorization(timeoutMs, options.signal ?? null)
    const request: ServerRequest = {
      method,
      path,
      // The servers put in what each of them gets.
      query: call.hasNoDeadline === true ? query : { ...query, timeout: '' },
      headers: { ...type, ...call.headers, ...authorization },
      body: bodyOf(call),
      signal: options.signal ?? null,
      firstOnly: call.firstOnly ?? false,
      isIdempotent: call.isIdempotent ?? false,
      waitMs: call.waitMs ?? 0,
      isForLeader: call.isForLeader ?? false,
      lane: call.lane ?? 'ordinary',
      isStream,
      retry: call.retry ?? this.settings.retry,
      parting: call.parting ?? [],
    }
    const left = (): number => Math.max(0, timeoutMs - (performance.now() - startedAt))
    const answer = await this.servers.exchange(request, left())
    // What the caller has not asked for must not make the request fail. A body that is sent as it comes is not there any more. When an earlier
    // try may have taken effect, the caller has to know that.
    const isOver = call.hasNoDeadline === true || call.body !== undefined || answer.mayHaveHappened
    if (isOver || !knowsNoDeadline(answer)) return answer
    this.settings.onElsewhere({ kind: 'answered', code: 'invalid-request' })
    return await this.servers.exchange({ ...request, query }, left())
  }

  private async authorization(ms: number, signal: AbortSignal | null): Promise<Readonly<Record<string, string>>> {
    const { token } = this.settings
    if (token === null) return {}
    const given = fromProgram(token)
    const secret = typeof given === 'string' ? given : await this.within(ms, signal, given)
    checkToken(secret)
    return { authorization: `Bearer ${secret}` }
  }

  /** The token that a function of the program promises. Rejects when it has none in `ms`, and earlier with the signal or the client. */
  private async within(ms: number, signal: AbortSignal | null, promised: Promise<string>): Promise<string> {
    type Outcome = { readonly secret: string } | { readonly error: Error }
    // It may fail when nobody waits for it any more.
    const settled: Promise<Outcome> = Promise.resolve(promised).then(
      (secret) => ({ secret }),
      (error: unknown) => ({ error: tokenFault(error) }),
    )
    if (this.closed !== null) throw this.closed
    const outcome = await awaited<Outcome>(ms, signal === null ? [] : [signal], (settle) => {
      void settled.then(settle)
      return this.whenClosed((error) => settle({ error }))
    })
    if (outcome === null) {
      signal?.throwIfAborted()
      throw new ConnectionError(`the function \`token\` has given no token within ${ms} ms`, true)
    }
    if ('error' in outcome) throw outcome.error
    return outcome.secret
  }
}

/** What the program's function gives: the next time it may, so a failure of it is like one of a server that is not there. */
function fromProgram(token: () => string | Promise<string>): string | Promise<string> {
  try {
    return token()
  } catch (error) {
    throw tokenFault(error)
  }
}

function tokenFault(error: unknown): ConnectionError {
  return new ConnectionError(`the function \`token\` has failed: ${toError(error).message}`, true, { cause: error })
}

function bodyOf({ json, body = null }: Call): ServerRequest['body'] {
  if (json === undefined) return body
  if (typeof json === 'function') return (waitMs) => Buffer.from(JSON.stringify(json(waitMs)))
  return Buffer.from(JSON.stringify(json))
}

/** Whether a node of an earlier build has refused a request, and done nothing, because this one takes no `timeout` there. */
function knowsNoDeadline({ status, body }: ServersAnswer): boolean {
  if (status !== 400) return false
  const issues: unknown = problemFrom(body)?.['issues']
  if (!Array.isArray(issues) || issues.length !== 1) return false
  const [issue] = issues as readonly { readonly path?: unknown; readonly message?: unknown }[]
  return issue?.path === 'query/timeout' && String(issue.message).startsWith('is unknown')
}

/** The call under its name: the caller's, or one that nobody else uses. */
function named(call: Call, { idempotencyKey }: WriteOptions): Call {
  const name = nameFrom(idempotencyKey ?? randomUUID())
  return { ...call, headers: { ...call.headers, 'idempotency-key': name }, hasDrawnName: idempotencyKey === undefined }
}

/** The document of a successful answer. Throws what the answer says otherwise. Any web server answers 200, and many do so with an object. */
function documentOf<Answer>(call: Call, answer: ServersAnswer): Answer {
  const document = answer.status >= 200 && answer.status < 300 ? parse(answer) : null
  const { members } = call
  const isOfNode =
    members === undefined
      ? namesNode(answer)
      : document !== null && members.every((member) => Object.hasOwn(document, member))
  if (document !== null && isOfNode) return document as Answer
  throw failureOf(call, answer)
}

/** What a failed answer is for the caller. */
export function failureOf(call: Call, answer: ServersAnswer): QuorateError {
  const { headers, hasDrawnName } = call
  const sent = problemIn(call, answer)
  const problem = hasDrawnName === true ? withoutName(sent) : sent
  const error = problem.code === 'compacted' ? new CompactedError(problem) : new ProblemError(problem)
  return problem.ambiguous ? new AmbiguousOutcomeError(error, headers?.['idempotency-key'] ?? null) : error
}

/** Another call carries another name, so that what holds of one name alone says nothing to the caller. */
function withoutName(problem: Problem): Problem {
  const { code, detail } = problem
  if (!detail.endsWith(sameUnderKey) || !isErrorCode(code)) return problem
  return { ...problem, detail: detail.slice(0, -sameUnderKey.length), retryable: failures[code].retryable }
}

/** Null when the body is not a JSON object. */
function parse({ body }: ServersAnswer): object | null {
  try {
    const document: unknown = JSON.parse(body.toString('utf8'))
    return typeof document === 'object' ? document : null
  } catch {
    return null
  }
}

/** Statuses of refusals that the log decided. They cover every attempt under the same name: what was refused once is refused for good. */
const decided = new Set([404, 409, 410, 412, 422])

/** The server's own problem document, or one made of the status alone when the server is not a node. */
function problemIn({ method, isInParts = false }: Call, answer: ServersAnswer): Problem {
  const { status, mayHaveHappened, mayBeServedElsewhere } = answer
  const problem = status >= 400 ? problemFrom(answer.body) : null
  if (problem !== null) {
    // The refusal does not cover an earlier server, which may have carried out the same request.
    const isDecided = decided.has(status) && problem.code !== 'not-initialized' && !isInParts
    const isOpen = mayHaveHappened && !isDecided
    const ambiguous = changesSomething(method) && (problem.ambiguous || isOpen)
    return { ...problem, retryable: problem.retryable || mayBeServedElsewhere, ambiguous }
  }
  const advice = isOfGateway(status)
    ? 'a proxy in front of it says that it cannot reach it'
    : 'make sure that the address is that of the API of a node'
  return {
    status,
    title: `Status ${status}`,
    detail: `this is not an answer of a Quorate node: ${advice}`,
    code: 'unknown',
    retryable: isOfGateway(status),
    ambiguous: changesSomething(method),
  }
}
