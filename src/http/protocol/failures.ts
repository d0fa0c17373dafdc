import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { InvariantError } from '../../lib/assert.ts'
import { RequestError, StorageError } from '../../lib/errors.ts'
import type { Span } from '../../lib/trace-context.ts'
import type { AllowedMethods } from './allowed-methods.ts'
import { NDJSON_TYPE } from './answer.ts'
import { callerOf } from './api-response.ts'
import { bodyError, type BodyMistake } from './body-issues.ts'
import type { Operation } from './operation.ts'
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
  dependencies: FailureDependencies,
): void {
  app.setErrorHandler((error: FrameworkError, request, reply) => {
    if (error instanceof RequestError) observer.onFailure(error, request)
    return sendFailure(error, request, reply, dependencies)
  })
  app.setNotFoundHandler((request, reply) => {
    const path = pathOf(request.url)
    const methods = allowed.methodsOf(path)
    // Requests for missing files of the documentation page also end here.
    if (methods.length === 0 || methods.includes(request.method)) {
      return sendProblem(reply, new RequestError('route-not-found', `there is no path ${path}`))
    }
    const detail = `${request.method} is not allowed on ${path}; allowed: ${methods.join(', ')}`
    return sendProblem(reply.header('allow', methods.join(', ')), new RequestError('method-not-allowed', detail))
  })
}

export function sendFailure(
  error: FrameworkError,
  request: FastifyRequest,
  reply: FastifyReply,
  dependencies: FailureDependencies,
): FastifyReply {
  const expected = requestErrorOf(error, request)
  if (expected !== null) return sendProblem(reply, expected)
  const { id, method, routeOptions } = request
  dependencies.onUnexpected(error, { id, method, route: routeOptions.url ?? 'none' }, callerOf(reply)?.span ?? null)
  if (error instanceof InvariantError || error instanceof StorageError) dependencies.onFatal(error)
  return sendProblem(
    reply,
    new RequestError('internal', `an unexpected error; see request ${request.id} in the log of the node`),
  )
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

function typesOf(body: Operation['body']): string {
  switch (body) {
    case 'value':
      return 'send application/octet-stream for a value, or any other well-formed type'
    case 'records':
      return `send ${NDJSON_TYPE}`
    default:
      return 'send application/json'
  }
}

function badUrl(url: string): RequestError {
  return url.startsWith('/kv/')
    ? new RequestError('invalid-key', 'the key in the path is not percent-encoded UTF-8')
    : invalidRequest({ path: 'path', message: 'is not percent-encoded UTF-8' })
}
