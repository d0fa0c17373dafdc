import type { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { RequestError } from '../../lib/errors.ts'
import { NDJSON_TYPE } from './answer.ts'
import { ApiRequest } from './api-request.ts'
import { bodiesOverload } from './body-room.ts'
import { Gathering } from './gathering.ts'
import { invalidRequest } from './query.ts'

/** A body parser for requests whose body is not wanted: it leaves the body unread. */
export function leaveBody(_request: FastifyRequest, _payload: Readable, done: (error: Error | null) => void): void {
  done(null)
}

/**
 * Reads the body of `request`, within the limit of its route and the room that all bodies share. A body whose stated length
 * does not fit is refused before anything is read. `done` is called once.
 */
export function readBody(
  request: FastifyRequest,
  payload: Readable,
  done: (error: Error | null, body?: Buffer) => void,
): void {
  const { raw } = request
  const { bodyLimit } = request.routeOptions
  const length = request.headers['content-length']
  const said = Number(length ?? 0)
  if (said > bodyLimit) return done(bodyTooLarge(request))
  const holder = raw instanceof ApiRequest ? raw : null
  if (holder?.hasRoom(said) === false) return done(bodiesOverload())

  const gathering = new Gathering()
  const end = (error: Error | null): void => {
    payload.off('data', take).off('end', finish).off('error', fail)
    if (error === null) done(null, gathering.take())
    else done(error)
  }
  const take = (chunk: Buffer): void => {
    if (gathering.bytes + chunk.length > bodyLimit) return end(bodyTooLarge(request))
    if (holder?.hold(chunk.length) === false) return end(bodiesOverload())
    gathering.add(chunk)
  }
  const finish = (): void => {
    const isWhole = length === undefined || gathering.bytes === said
    end(
      isWhole ? null : invalidRequest({ path: 'body', message: 'does not have the length that Content-Length gives' }),
    )
  }
  const fail = (): void => end(invalidRequest({ path: 'body', message: 'is incomplete' }))
  payload.on('data', take).on('end', finish).on('error', fail)
}

/**
 * A value is bytes, whatever its media type says, so no type is parsed. Fastify remembers which types a pattern was found for; for `*` it would
 * take each type apart anew.
 */
export function takeRawBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(/^/u, readBody)
}

/** The body of an import is records, a line each. It is read while it arrives, so the parser leaves it alone. */
export function takeStreamedRecords(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(NDJSON_TYPE, leaveBody)
}

/** A body on a request that does not use one is a client's mistake, such as a `DELETE` meant as a `PUT`. */
export function refuseBody(request: FastifyRequest): void {
  if (Buffer.isBuffer(request.body) && request.body.length > 0) {
    throw invalidRequest({ path: 'body', message: `is not allowed on ${request.method}` })
  }
}

function bodyTooLarge(request: FastifyRequest): RequestError {
  const { bodyLimit: limitBytes, config } = request.routeOptions
  return config.operation?.body === 'value'
    ? new RequestError('value-too-large', `a value has at most ${limitBytes} bytes`, { limitBytes })
    : new RequestError('request-too-large', `a body has at most ${limitBytes} bytes here`, { limitBytes })
}
