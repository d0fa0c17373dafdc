import type { FastifyInstance } from 'fastify'
import type { Key } from '../../kv/index.ts'
import { configOf, refuseJsonBody } from '../protocol/json.ts'
import { requireKey } from '../protocol/parameters.ts'
import { invalidQuery, splitQuery, type QueryText, type RawQuery } from '../protocol/query.ts'
import type { LockRequests } from './lock-requests.ts'
import * as operations from './operations.ts'

interface NameInPath {
  readonly Params: { readonly '*': string }
  readonly Querystring: QueryText
}

interface NameInQuery {
  readonly Querystring: QueryText
}

/** `/locks/NAME`, and `/locks?name=NAME` for names that a path cannot carry. */
export function registerLockRoutes(app: FastifyInstance, locks: LockRequests): void {
  app.post<NameInPath>('/locks/*', configOf(operations.acquireLock), async (request, reply) => {
    await locks.acquire(requireKey(request.params['*']), splitQuery(request.query.text), request, reply)
  })
  app.post<NameInQuery>('/locks', configOf(operations.acquireLockByQuery), async (request, reply) => {
    await locks.acquire(...takeName(request.query.text), request, reply)
  })
  app.delete<NameInPath>('/locks/*', configOf(operations.releaseLock), async (request, reply) => {
    refuseJsonBody(request)
    await locks.release(requireKey(request.params['*']), splitQuery(request.query.text), request, reply)
  })
  app.delete<NameInQuery>('/locks', configOf(operations.releaseLockByQuery), async (request, reply) => {
    refuseJsonBody(request)
    await locks.release(...takeName(request.query.text), request, reply)
  })
  app.get<NameInPath>('/locks/*', configOf(operations.getLock), async (request, reply) => {
    await locks.get(requireKey(request.params['*']), splitQuery(request.query.text), request, reply)
  })
  app.get<NameInQuery>('/locks', configOf(operations.listLocks), async (request, reply) => {
    const { text } = request.query
    const given = splitQuery(text)
    if (given.has('name')) await locks.get(...takeName(text), request, reply)
    else await locks.list(given, request, reply)
  })
}

function takeName(text: string): [Key, RawQuery] {
  const values = splitQuery(text)
  const name = values.get('name')
  if (name === undefined) throw invalidQuery('name', 'is missing: give the name here or in the path, as in /locks/name')
  const rest = new Map(values)
  rest.delete('name')
  return [requireKey(name), rest]
}
