import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AuthAccess, ClusterControl } from '../../api/services.ts'
import { InvariantError } from '../../lib/assert.ts'
import { RequestError, StorageError } from '../../lib/errors.ts'
import type { Span } from '../../lib/trace-context.ts'
import type { AllowedMethods } from './allowed-methods.ts'
import { failureHeaders, NDJSON_TYPE } from './answer.ts'
import { ApiResponse, callerOf } from './api-response.ts'
import { bodyError, type BodyMistake } from './body-issues.ts'
import { writesKeys } from './key-write.ts'
import { isOfData, type Operation } from './operation.ts'
import { pathOf } from './path.ts'
import { sendProblem } from './problem.ts'
import { invalidRequest } from './query.ts'

/** A request without its path and query: they hold keys, which may be secret. */
export interface FailedRequest {
  readonly id: string
  readonly method: string
  /** The pattern of its path. */
  readonly route: string
}

export interface FailureDependencies {
  /** Told of failures that are bugs in the node. */
  readonly onUnexpected: (error: unknown, request: FailedRequest, span: Span | null) => void
  /** Told of a failed assertion or a failed store: the node must stop. */
  readonly onFatal: (error: Error) => void
}

interface FailureReporting extends FailureDependencies {
  /** Whoever answers a request for data is named. */
  readonly server: Pick<ClusterControl, 'id' | 'leader'>
  readonly auth: Pick<AuthAccess, 'table'>
}

/** Told of each failure that is expected. */
export interface FailureObserver {
  onFailure(error: RequestError, request: FastifyRequest): void
}

/** An error thrown by Fastify or one of its plugins, with a code and a status. */
interface FrameworkError extends Error {
  readonly code?: string
  readonly statusCode?: number
  readonly validation?: readonly BodyMistake[]
}

/** Answers every failure with a problem document, whoever raised it. */
export function answerFailures(
  app: FastifyInstance,
  allowed: AllowedMethods,
  observer: FailureObserver,
  dependencies: FailureReporting,
): void {
  const answerNotFound = (request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const path = pathOf(request.url)
    const methods = allowed.methodsOf(path)
    // Requests for missing files of the documentation page also end here.
    if (methods.length === 0 || methods.includes(request.method)) {
      return sendProblem(reply, new RequestError('route-not-found', `there is no path ${path}`))
    }
    const detail = `${request.method} is not allowed on ${path}; allowed: ${methods.join(', ')}`
    return sendProblem(reply.header('allow', methods.join(', ')), new RequestError('method-not-allowed', detail))
  }
  app.setErrorHandler((error: FrameworkError, request, reply) => {
    // Fastify looks at the type of a body for a method that no route has.
    if (error.code === 'FST_ERR_ROUTE_MISSING_CONTENT_TYPE') return answerNotFound(request, reply)
    if (error instanceof RequestError) observer.onFailure(error, request)
    return sendFailure(error, request, reply, dependencies)
  })
  app.setNotFoundHandler(answerNotFound)
}

export function sendFailure(
  error: FrameworkError,
  request: FastifyRequest,
  reply: FastifyReply,
  dependencies: FailureReporting,
): FastifyReply {
  const expected = requestErrorOf(error, request)
  // Somebody without a token is told nothing of the cluster.
  if (concernsData(request) && expected?.code !== 'unauthenticated') {
    const leader = isKnown(request, dependencies) ? dependencies.server.leader() : null
    void reply.headers(failureHeaders(dependencies.server.id, leader, expected?.reflects ?? null))
  }
  if (expected?.code === 'overloaded' && writesKeys(request.raw) && reply.raw instanceof ApiResponse)
    reply.raw.refuseForNow()
  if (expected !== null) return sendProblem(reply, expected)
  const { id, method, routeOptions } = request
  dependencies.onUnexpected(error, { id, method, route: routeOptions.url ?? 'none' }, callerOf(reply)?.span ?? null)
  if (error instanceof InvariantError || error instanceof StorageError) dependencies.onFatal(error)
  return sendProblem(
    reply,
    new RequestError('internal', `an unexpected error; see request ${request.id} in the log of the node`),
  )
}

/** Whether the client has shown a token, where one is needed. Some requests fail before they are looked at for one. */
function isKnown(request: FastifyRequest, { auth }: FailureReporting): boolean {
  return auth.table === null || ('access' in request && request.access.token !== null)
}

/** A path that cannot be decoded finds no route, whatever it begins with. */
const PATH_WITH_KEY = /^\/(?:kv|locks)\//

function concernsData({ routeOptions, raw: { url = '' } }: FastifyRequest): boolean {
  const operation = routeOptions.config?.operation
  return operation === undefined ? PATH_WITH_KEY.test(url) : isOfData(operation)
}

function requestErrorOf(error: FrameworkError, request: FastifyRequest): RequestError | null {
  if (error instanceof RequestError) return error
  if (error.validation !== undefined) return bodyError(error.validation)
  switch (error.code) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return unsupportedMediaType(request)
    case 'FST_ERR_BAD_URL':
      return badUrl(request.raw.url ?? '')
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
      return invalidRequest({ path: 'body', message: 'is not valid JSON' })
    case undefined:
    default:
      return clientError(error)
  }
}

/** Any other error that a plugin blames on the client. */
function clientError(error: FrameworkError): RequestError | null {
  const status = error.statusCode ?? 500
  if (status === 404) return new RequestError('route-not-found', 'there is no such path')
  return status >= 400 && status < 500 ? new RequestError('invalid-request', error.message, { issues: [] }) : null
}

export function unsupportedMediaType({ headers, routeOptions }: FastifyRequest): RequestError {
  const type = headers['content-type']
  const given = type === undefined ? 'there is no Content-Type' : `the Content-Type ${JSON.stringify(type)} is refused`
  return new RequestError('unsupported-media-type', `${given}: ${typesOf(routeOptions.config.operation?.body)}`)
}

const CHARSET = /;[ \t]*charset[ \t]*=[ \t]*"?([^";, \t]*)/i
const READABLE = new Set(['utf-8', 'utf8', 'us-ascii'])

/** Whether a body of text may be read as UTF-8, by what its type says. ASCII is a part of it. */
export function isReadableText({ headers }: FastifyRequest): boolean {
  const [, charset = 'utf-8'] = CHARSET.exec(headers['content-type'] ?? '') ?? []
  return READABLE.has(charset.toLowerCase())
}

function typesOf(body: Operation['body']): string {
  switch (body) {
    case 'value':
      return 'send application/octet-stream for a value, or any other well-formed type'
    case 'records':
      return `send ${NDJSON_TYPE}, in UTF-8`
    default:
      return 'send application/json, in UTF-8'
  }
}

function badUrl(url: string): RequestError {
  return PATH_WITH_KEY.test(url)
    ? new RequestError('invalid-key', 'the key or name in the path is not percent-encoded UTF-8')
    : invalidRequest({ path: 'path', message: 'is not percent-encoded UTF-8' })
}
