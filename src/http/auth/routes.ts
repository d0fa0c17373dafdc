import type { FastifyInstance } from 'fastify'
import type { BootstrapBody, RoleBody, TokenBody } from '../../api/auth.ts'
import { bodyOf, configOf, refuseJsonBody } from '../protocol/json.ts'
import { invalidRequest, type QueryText } from '../protocol/query.ts'
import type { AuthRequests } from './auth-requests.ts'
import * as operations from './operations.ts'

interface Plain {
  readonly Querystring: QueryText
}

interface WithBody<Body> extends Plain {
  readonly Body: Body
}

interface Named extends Plain {
  readonly Params: { readonly name: string }
}

interface WithId extends Plain {
  readonly Params: { readonly id: string }
}

/** `/auth` */
export function registerAuthRoutes(app: FastifyInstance, auth: AuthRequests): void {
  app.post<WithBody<BootstrapBody | undefined>>(
    '/auth/bootstrap',
    configOf(operations.bootstrap),
    async (request, reply) => {
      await auth.bootstrap(request.query.text, bodyOf(request), request, reply)
    },
  )
  app.get<Plain>('/auth/self', configOf(operations.getSelf), (request, reply) => {
    auth.self(request.query.text, request, reply)
  })
  registerRoleRoutes(app, auth)
  registerTokenRoutes(app, auth)
}

function registerRoleRoutes(app: FastifyInstance, auth: AuthRequests): void {
  app.get<Plain>('/auth/roles', configOf(operations.listRoles), (request, reply) => {
    auth.listRoles(request.query.text, reply)
  })
  app.get<Named>('/auth/roles/:name', configOf(operations.getRole), (request, reply) => {
    auth.getRole(request.params.name, request.query.text, reply)
  })
  app.put<Named & WithBody<RoleBody>>('/auth/roles/:name', configOf(operations.putRole), async (request, reply) => {
    await auth.putRole(request.params.name, request.query.text, request.body, request, reply)
  })
  app.delete<Named>('/auth/roles/:name', configOf(operations.deleteRole), async (request, reply) => {
    refuseJsonBody(request)
    await auth.deleteRole(request.params.name, request.query.text, request, reply)
  })
}

function registerTokenRoutes(app: FastifyInstance, auth: AuthRequests): void {
  app.get<Plain>('/auth/tokens', configOf(operations.listTokens), (request, reply) => {
    auth.listTokens(request.query.text, reply)
  })
  app.get<WithId>('/auth/tokens/:id', configOf(operations.getToken), (request, reply) => {
    auth.getToken(tokenIdIn(request.params.id), request.query.text, reply)
  })
  app.post<WithBody<TokenBody>>('/auth/tokens', configOf(operations.createToken), async (request, reply) => {
    await auth.createToken(request.query.text, request.body, request, reply)
  })
  app.delete<WithId>('/auth/tokens/:id', configOf(operations.deleteToken), async (request, reply) => {
    const id = tokenIdIn(request.params.id)
    refuseJsonBody(request)
    await auth.deleteToken(id, request.query.text, request, reply)
  })
}

const TOKEN_ID = /^[1-9][0-9]{0,15}$/

function tokenIdIn(text: string): number {
  const id = TOKEN_ID.test(text) ? Number(text) : Number.NaN
  if (Number.isSafeInteger(id)) return id
  throw invalidRequest({ path: 'path/id', message: 'must be the id of a token: a whole number from 1 on' })
}
