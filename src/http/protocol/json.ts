import type { FastifyInstance, FastifyRequest, RouteShorthandOptions } from 'fastify'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import { readBody } from './body.ts'
import type { Operation } from './operation.ts'
import { invalidRequest } from './query.ts'

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

/** Bodies are JSON and say so, or are refused: a form on a web page cannot send that type to a node it finds. */
export function takeJsonBodies(app: FastifyInstance): void {
  app.addHook('onRequest', async (request) => refuseOtherSites(request))
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', (request, payload, done) => {
    readBody(request, payload, (error, body = Buffer.alloc(0)) => {
      if (error !== null) done(error)
      // Clients that always name the type send it with an empty body too.
      else if (body.length === 0) done(null, undefined)
      else void parse(request, body.toString(), done)
    })
  })
}

/** A browser says where a request comes from. What another site asks of a node on its visitor's machine is not the visitor's wish. */
function refuseOtherSites(request: FastifyRequest): void {
  const site = request.headers['sec-fetch-site']
  if (site === 'cross-site' || site === 'same-site') {
    throw new RequestError('forbidden', 'cluster operations are not served to pages of other sites')
  }
}

/** For a `POST` that takes no body. */
export function refuseJsonBody(request: FastifyRequest): void {
  if (request.body !== undefined) throw invalidRequest({ path: 'body', message: 'is not allowed here' })
}
