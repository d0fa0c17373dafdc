import type { FastifyInstance } from 'fastify'
import type { QueryText } from '../protocol/query.ts'
import type { ImportRequests } from './import-requests.ts'
import * as operations from './operations.ts'

/** `POST /kv` */
export function registerImportRoutes(app: FastifyInstance, imports: ImportRequests): void {
  const options = { config: { operation: operations.importRecords } }
  app.post<{ readonly Querystring: QueryText }>('/kv', options, async (request, reply) => {
    await imports.run(request.query.text, request, reply)
  })
}
