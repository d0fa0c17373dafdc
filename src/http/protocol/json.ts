import type { FastifyInstance, FastifyRequest, RouteShorthandOptions } from 'fastify'
import type { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import { readBody } from './body.ts'
import type { Operation } from './operation.ts'
import { invalidRequest } from './query.ts'
import { holdsAtMost } from './body-validation.ts'

/** The options of a route with JSON bodies: the schema that documents the body also validates it. */
export function configOf(operation: Operation): RouteShorthandOptions {
  const { body } = operation
  const options = { config: { operation }, bodyLimit: limits.jsonBodyBytesMax }
  if (body === undefined || body === 'value') return options
  return { ...options, schema: { body: body.schema }, attachValidation: !body.required }
}

/** The body of a route on which it is optional: `undefined` when there is none. Fastify validates a missing body as null. */
export function bodyOf<Body>(request: { readonly body: Body; readonly validationError?: Error }): Body {
  if (request.body !== undefined && request.validationError !== undefined) throw request.validationError
  return request.body
}

/** Bodies must be JSON and be declared as JSON; others are refused. A form on a web page cannot send that media type. */
export function takeJsonBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', (request, payload, done) => {
    readBody(request, payload, (error, body = Buffer.alloc(0)) => {
      if (error !== null) done(error)
      // Some clients always name the type, even with an empty body.
      else if (body.length === 0) done(null, undefined)
      else void parse(request, body.toString(), (refusal, json) => done(refusal ?? refusalOfSize(json), json))
    })
  })
}

/** The validator looks for all mistakes, which takes long for a body of very many small values. Such a body is refused first. */
function refusalOfSize(json: unknown): RequestError | null {
  const most = limits.jsonBodyValuesMax
  return holdsAtMost(json, most)
    ? null
    : invalidRequest({ path: 'body', message: `holds more than ${most} values, more than any request needs` })
}

/** For a `POST` that takes no body. */
export function refuseJsonBody(request: FastifyRequest): void {
  if (request.body !== undefined) throw invalidRequest({ path: 'body', message: 'is not allowed here' })
}
