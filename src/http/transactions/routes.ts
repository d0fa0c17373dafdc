import type { FastifyInstance } from 'fastify'
import { configOf } from '../protocol/json.ts'
import type { QueryText } from '../protocol/query.ts'
import * as operations from './operations.ts'
import type { TransactionRequests } from './transaction-requests.ts'

/** `/txn` */
export function registerTransactionRoutes(app: FastifyInstance, transactions: TransactionRequests): void {
  // Mistakes that no schema can express are named together with those that the validator finds.
  const options = { ...configOf(operations.transact), attachValidation: true }
  app.post<{ readonly Querystring: QueryText }>('/txn', options, async (request, reply) => {
    await transactions.run(request.query.text, request, reply)
  })
}
