import type { FastifyInstance } from 'fastify'
import type { CompactionBody, RetentionBody } from '../../api/history.ts'
import { configOf } from '../protocol/json.ts'
import type { QueryText } from '../protocol/query.ts'
import type { HistoryRequests } from './history-requests.ts'
import * as operations from './operations.ts'

interface Plain {
  readonly Querystring: QueryText
}

interface WithBody<Body> extends Plain {
  readonly Body: Body
}

/** `/history` and `/compaction` */
export function registerHistoryRoutes(app: FastifyInstance, history: HistoryRequests): void {
  app.get<Plain>('/history', configOf(operations.listVersions), (request, reply) =>
    history.list(request.query.text, request, reply),
  )
  app.get<Plain>('/compaction', configOf(operations.getCompaction), (request, reply) =>
    history.show(request.query.text, request, reply),
  )
  app.post<WithBody<CompactionBody>>('/compaction', configOf(operations.compact), (request, reply) =>
    history.compact(request.query.text, request.body, request, reply),
  )
  app.put<WithBody<RetentionBody>>('/compaction', configOf(operations.setRetention), (request, reply) =>
    history.setRetention(request.query.text, request.body, request, reply),
  )
}
