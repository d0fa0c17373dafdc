import type { FastifyInstance } from 'fastify'
import type { LeaseBody } from '../../api/leases.ts'
import { configOf, refuseJsonBody } from '../protocol/json.ts'
import type { QueryText } from '../protocol/query.ts'
import { leaseIdIn } from './lease-id.ts'
import type { LeaseRequests } from './lease-requests.ts'
import * as operations from './operations.ts'

interface Plain {
  readonly Querystring: QueryText
}

interface WithId extends Plain {
  readonly Params: { readonly id: string }
}

/** `/leases` */
export function registerLeaseRoutes(app: FastifyInstance, leases: LeaseRequests): void {
  app.post<Plain & { readonly Body: LeaseBody }>('/leases', configOf(operations.grantLease), async (request, reply) => {
    await leases.grant(request.query.text, request.body, request, reply)
  })
  app.get<Plain>('/leases', configOf(operations.listLeases), async (request, reply) => {
    await leases.list(request.query.text, request, reply)
  })
  app.get<WithId>('/leases/:id', configOf(operations.getLease), async (request, reply) => {
    await leases.get(leaseIdIn(request.params.id), request.query.text, request, reply)
  })
  app.delete<WithId>('/leases/:id', configOf(operations.revokeLease), async (request, reply) => {
    const id = leaseIdIn(request.params.id)
    refuseJsonBody(request)
    await leases.revoke(id, request.query.text, request, reply)
  })
  app.post<WithId>('/leases/:id/keepalive', configOf(operations.renewLease), async (request, reply) => {
    const id = leaseIdIn(request.params.id)
    refuseJsonBody(request)
    await leases.renew(id, request.query.text, request, reply)
  })
}
