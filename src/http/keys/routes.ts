import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { limits } from '../../limits.ts'
import { requireKey } from '../protocol/parameters.ts'
import type { Operation } from '../protocol/operation.ts'
import { splitQuery, type QueryText } from '../protocol/query.ts'
import { requireKeyParameter, takeKey } from './key-parameter.ts'
import type { KeyRequests } from './key-requests.ts'
import * as operations from './operations.ts'
import { getQuery, putQuery, writeQuery } from './queries.ts'

interface KeyInPath {
  readonly Params: { readonly '*': string }
  readonly Querystring: QueryText
}

interface KeyInQuery {
  readonly Querystring: QueryText
}

/** `/kv/KEY`, and the operations of `/kv?key=` that exist only for a single key. */
export function registerKeyRoutes(app: FastifyInstance, key: KeyRequests, valueBytesMax: number): void {
  app.put<KeyInPath>(
    '/kv/*',
    { bodyLimit: valueBytesMax, config: { operation: operations.putKey } },
    async (request, reply) => {
      await key.put(requireKey(request.params['*']), putQuery.read(request.query.text), request, reply)
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
    { bodyLimit: valueBytesMax, config: { operation: operations.putKeyByQuery } },
    async (request, reply) => {
      const [name, rest] = takeKey(splitQuery(request.query.text))
      await key.put(requireKeyParameter(name), putQuery.from(rest), request, reply)
    },
  )
  app.head<KeyInQuery>('/kv', { config: documentedHead(operations.headKeyByQuery) }, async (request, reply) => {
    const [name, rest] = takeKey(splitQuery(request.query.text))
    await key.get(requireKeyParameter(name), getQuery.from(rest), request, reply)
  })
}

/** `HEAD` does not appear in the OpenAPI document unless its route says otherwise. */
function documentedHead(operation: Operation) {
  return { operation, swagger: { exposeHeadRoute: true } }
}
