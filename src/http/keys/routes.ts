import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { limits } from '../../limits.ts'
import { readBody } from '../protocol/body.ts'
import * as operations from './operations.ts'
import type { Operation } from '../protocol/operation.ts'
import { requireKey } from '../protocol/parameters.ts'
import { invalidQuery, splitQuery, type QueryText, type RawQuery } from '../protocol/query.ts'
import type { Services } from '../services.ts'
import { getQuery, KeyRoutes, writeQuery } from './key-routes.ts'
import { RangeRoutes, type RangeDependencies } from '../ranges/range-routes.ts'

interface KeyInPath {
  readonly Params: { readonly '*': string }
  readonly Querystring: QueryText
}

interface KeyInQuery {
  readonly Querystring: QueryText
}

/** `/kv`: one key in the path or in `?key=`, or a range. */
export function registerKeyRoutes(app: FastifyInstance, services: Services, dependencies: RangeDependencies): void {
  const key = new KeyRoutes(services, dependencies.room)
  const range = new RangeRoutes(services, dependencies)
  const valueLimit = services.valueBytesMax

  // A value is bytes whatever its type says, so no type is parsed.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', readBody)

  app.put<KeyInPath>(
    '/kv/*',
    { bodyLimit: valueLimit, config: { operation: operations.putKey } },
    async (request, reply) => {
      await key.put(requireKey(request.params['*']), writeQuery.read(request.query.text), request, reply)
    },
  )
  const get = async (request: FastifyRequest<KeyInPath>, reply: FastifyReply): Promise<void> => {
    await key.get(requireKey(request.params['*']), getQuery.read(request.query.text), request, reply)
  }
  app.get<KeyInPath>('/kv/*', { exposeHeadRoute: false, config: { operation: operations.getKey } }, get)
  app.head<KeyInPath>('/kv/*', { config: documentedHead(operations.headKey) }, get)
  const bodyLimit = limits.jsonBodyBytesMax
  app.delete<KeyInPath>('/kv/*', { bodyLimit, config: { operation: operations.deleteKey } }, async (request, reply) => {
    await key.remove(requireKey(request.params['*']), writeQuery.read(request.query.text), request, reply)
  })

  app.put<KeyInQuery>(
    '/kv',
    { bodyLimit: valueLimit, config: { operation: operations.putKeyByQuery } },
    async (request, reply) => {
      const [name, rest] = takeKey(splitQuery(request.query.text))
      await key.put(requireKeyParameter(name), writeQuery.from(rest), request, reply)
    },
  )
  app.get<KeyInQuery>(
    '/kv',
    { exposeHeadRoute: false, config: { operation: operations.listKeys } },
    async (request, reply) => {
      const [name, rest] = takeKey(splitQuery(request.query.text))
      if (name === null) return range.list(rest, request, reply)
      await key.get(requireKey(name), getQuery.from(rest), request, reply)
      return reply
    },
  )
  app.head<KeyInQuery>('/kv', { config: documentedHead(operations.headKeyByQuery) }, async (request, reply) => {
    const [name, rest] = takeKey(splitQuery(request.query.text))
    await key.get(requireKeyParameter(name), getQuery.from(rest), request, reply)
  })
  app.delete<KeyInQuery>('/kv', { bodyLimit, config: { operation: operations.deleteKeys } }, async (request, reply) => {
    const [name, rest] = takeKey(splitQuery(request.query.text))
    if (name === null) await range.remove(rest, request, reply)
    else await key.remove(requireKey(name), writeQuery.from(rest), request, reply)
  })
}

/** `HEAD` is left out of the document unless its route says otherwise. */
function documentedHead(operation: Operation) {
  return { operation, swagger: { exposeHeadRoute: true } }
}

/** The text of `?key=`, null when absent, and the other parameters. */
function takeKey(values: RawQuery): [string | null, RawQuery] {
  const name = values.get('key')
  if (name === undefined) return [null, values]
  const rest = new Map(values)
  rest.delete('key')
  return [name, rest]
}

function requireKeyParameter(name: string | null) {
  if (name === null) throw invalidQuery('key', 'is missing: give the key here or in the path, as in /kv/name')
  return requireKey(name)
}
