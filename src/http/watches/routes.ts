import type { FastifyInstance } from 'fastify'
import type { QueryText } from '../protocol/query.ts'
import * as operations from './operations.ts'
import type { WatchRequests } from './watch-requests.ts'

/** `/watch`: changes as they happen. */
export function registerWatchRoutes(app: FastifyInstance, watches: WatchRequests): void {
  app.get<{ Querystring: QueryText }>(
    '/watch',
    { exposeHeadRoute: false, config: { operation: operations.watchKeys } },
    (request, reply) => watches.watch(request.query.text, request, reply),
  )
}
