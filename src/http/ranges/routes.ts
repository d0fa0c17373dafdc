import type { FastifyInstance } from 'fastify'
import { limits } from '../../limits.ts'
import { takeKey } from '../keys/key-parameter.ts'
import type { KeyRequests } from '../keys/key-requests.ts'
import { getQuery, writeQuery } from '../keys/queries.ts'
import { requireKey } from '../protocol/parameters.ts'
import { splitQuery, type QueryText } from '../protocol/query.ts'
import * as operations from './operations.ts'
import type { RangeRequests } from './range-requests.ts'

interface Plain {
  readonly Querystring: QueryText
}

/** `/kv`: operations on a range of keys, or with `?key=` the same operation on a single key. */
export function registerRangeRoutes(app: FastifyInstance, range: RangeRequests, key: KeyRequests): void {
  app.get<Plain>(
    '/kv',
    { exposeHeadRoute: false, config: { operation: operations.listKeys } },
    async (request, reply) => {
      const [name, rest] = takeKey(splitQuery(request.query.text))
      if (name === null) return range.list(rest, request, reply)
      await key.get(requireKey(name), getQuery.from(rest), request, reply)
      return reply
    },
  )
  const bodyLimit = limits.jsonBodyBytesMax
  app.delete<Plain>('/kv', { bodyLimit, config: { operation: operations.deleteKeys } }, async (request, reply) => {
    const [name, rest] = takeKey(splitQuery(request.query.text))
    if (name === null) await range.remove(rest, request, reply)
    else await key.remove(requireKey(name), writeQuery.from(rest), request, reply)
  })
}
