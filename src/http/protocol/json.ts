import type { FastifyInstance, FastifyRequest, RouteShorthandOptions } from 'fastify'
import type { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import { readBody } from './body.ts'
import type { Operation } from './operation.ts'
import { invalidRequest } from './query.ts'
import { holdsAtMost } from './body-validation.ts'

/** The options of a route with JSON bodies: what documents it is what validates it. */
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

/** Bodies are JSON and say so, or are refused: a form on a web page cannot send that type. */
export function takeJsonBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', (request, payload, done) => {
    readBody(request, payload, (error, body = Buffer.alloc(0)) => {
      if (error !== null) done(error)
      // Clients that always name the type send it with an empty body too.
      else if (body.length === 0) done(null, undefined)
      else void parse(request, body.toString(), (refusal, json) => done(refusal ?? refusalOfSize(json), json))
    })
  })
}

/** All mistakes of a body are looked for, which takes its time with a body of very many small values. */
function refusalOfSize(json: unknown): RequestError | null {
  const most = limits.jsonBodyValuesMax
  return holdsAtMost(json, most)
    ? null
    : invalidRequest({ path: 'body', message: `holds more than ${most} values, which no request here needs` })
}

/** For a `POST` that takes no body. */
export function refuseJsonBody(request: FastifyRequest): void {
  if (request.body !== undefined) throw invalidRequest({ path: 'body', message: 'is not allowed here' })
}
