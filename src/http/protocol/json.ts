import { isUtf8 } from 'node:buffer'
import type { FastifyInstance, FastifyRequest, RouteShorthandOptions } from 'fastify'
import type { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import { readBody } from './body.ts'
import { isReadableText, unsupportedMediaType } from './failures.ts'
import type { Operation } from './operation.ts'
import { invalidRequest } from './query.ts'
import { holdsAtMost } from './body-validation.ts'
import { exceedsValues } from './json-size.ts'
import { repeatedNameIn } from './repeated-name.ts'

/** The options of a route with JSON bodies: the schema that documents the body also validates it. */
export function configOf(operation: Operation): RouteShorthandOptions {
  const { body } = operation
  const options = { config: { operation }, bodyLimit: limits.jsonBodyBytesMax }
  if (body === undefined || typeof body === 'string') return options
  const { schema, required, bytesMax = options.bodyLimit } = body
  return { ...options, bodyLimit: bytesMax, schema: { body: schema }, attachValidation: !required }
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
    if (!isReadableText(request)) return done(unsupportedMediaType(request))
    readBody(request, payload, (error, body = Buffer.alloc(0)) => {
      if (error !== null) done(error)
      // Some clients always name the type, even with an empty body.
      else if (body.length === 0) done(null, undefined)
      // Decoding would put other characters in place of the bytes that are none.
      else if (!isUtf8(body)) done(invalidRequest({ path: 'body', message: 'is not valid UTF-8' }))
      else {
        const text = body.toString()
        const most = valuesMaxOf(request.routeOptions.config.operation)
        if (exceedsValues(text, most)) return done(tooManyValues(most))
        void parse(request, text, (refusal, json) => {
          // A name that could reach into the prototypes of objects is refused like text that is no JSON.
          if (refusal !== null) return done(isJson(text) ? forbiddenName() : refusal)
          done(refusalOfSize(json, most) ?? refusalOfNames(text), json)
        })
      }
    })
  })
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function forbiddenName(): RequestError {
  return invalidRequest({ path: 'body', message: 'holds the name __proto__, or a prototype of a constructor' })
}

function valuesMaxOf(operation: Operation | undefined): number {
  const body = operation?.body
  return (typeof body === 'object' ? body.valuesMax : undefined) ?? limits.jsonBodyValuesMax
}

/** The validator looks for all mistakes, which takes long for a body of very many small values. Such a body is refused first. */
function refusalOfSize(json: unknown, most: number): RequestError | null {
  return holdsAtMost(json, most) ? null : tooManyValues(most)
}

function tooManyValues(most: number): RequestError {
  return invalidRequest({ path: 'body', message: `holds more than ${most} values, more than any request needs` })
}

function refusalOfNames(text: string): RequestError | null {
  const name = repeatedNameIn(text)
  if (name === null) return null
  return invalidRequest({ path: 'body', message: `has an object with the name ${JSON.stringify(name)} twice` })
}

/** For a `POST` that takes no body. */
export function refuseJsonBody(request: FastifyRequest): void {
  if (request.body !== undefined) throw invalidRequest({ path: 'body', message: 'is not allowed here' })
}
