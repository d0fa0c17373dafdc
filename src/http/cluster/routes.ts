import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { BYTES_TYPE, sendJson } from '../protocol/answer.ts'
import { begun } from '../protocol/begun.ts'
import * as operations from './operations.ts'
import { leaderQuery, timeoutQuery } from '../protocol/queries.ts'
import type { QueryText } from '../protocol/query.ts'
import { redirectToLeader } from '../protocol/redirect.ts'
import type { InitializeBody, TransferBody } from '../../api/cluster.ts'
import type { ClusterControl, Guard } from '../../api/services.ts'
import type { StreamSlots } from '../protocol/stream-slots.ts'
import { bodyOf, configOf, refuseJsonBody } from '../protocol/json.ts'

interface Plain {
  readonly Querystring: QueryText
}

interface WithBody<Body> extends Plain {
  readonly Body: Body | undefined
}

/** The routes of `/cluster` other than membership: forming, status, leadership, backup. */
export function registerClusterRoutes(app: FastifyInstance, cluster: ClusterControl, slots: StreamSlots): void {
  app.post<WithBody<InitializeBody>>('/cluster/initialize', configOf(operations.initialize), async (request, reply) => {
    const { wait, timeout } = operations.initializeQuery.read(request.query.text)
    const members = bodyOf(request)?.members ?? null
    request.auditedAs = members === null ? undefined : { members }
    sendJson(reply, {}, JSON.stringify(await cluster.initialize(members, wait, timeout)))
  })

  app.get<Plain>('/cluster', configOf(operations.status), (request, reply) => {
    timeoutQuery.read(request.query.text)
    sendJson(reply, {}, JSON.stringify(cluster.status()))
  })

  registerLeaderRoutes(app, cluster)

  app.get<Plain>(
    '/cluster/snapshot',
    { ...configOf(operations.snapshot), exposeHeadRoute: false },
    async (request, reply) => {
      const query = operations.snapshotQuery.read(request.query.text)
      const redirects = query.redirect && query.consistency !== 'stale'
      if (redirects && redirectToLeader(cluster, request, reply)) return reply
      return sendSnapshot(reply, cluster, query, slots)
    },
  )

  app.post<WithBody<never>>('/cluster/purge', configOf(operations.purge), async (request, reply) => {
    const { timeout } = timeoutQuery.read(request.query.text)
    refuseJsonBody(request)
    sendJson(reply, {}, JSON.stringify(await cluster.purge(timeout)))
  })
}

function registerLeaderRoutes(app: FastifyInstance, cluster: ClusterControl): void {
  app.get<Plain>('/cluster/leader', configOf(operations.getLeader), (request, reply) => {
    timeoutQuery.read(request.query.text)
    const leader = cluster.leader()
    const answer = { leader: leader?.id ?? null, raft: leader?.raft ?? null, api: leader?.api ?? null }
    sendJson(reply, {}, JSON.stringify(answer))
  })

  app.post<WithBody<TransferBody>>('/cluster/leader', configOf(operations.transferLeader), async (request, reply) => {
    const { timeout, redirect } = leaderQuery.read(request.query.text)
    const to = bodyOf(request)?.id ?? null
    if (redirect && redirectToLeader(cluster, request, reply)) return
    request.auditedAs = to === null ? undefined : { id: to }
    sendJson(reply, {}, JSON.stringify(await cluster.transfer(to, timeout, request.access)))
  })

  app.post<WithBody<never>>('/cluster/elections', configOf(operations.campaign), (request, reply) => {
    timeoutQuery.read(request.query.text)
    refuseJsonBody(request)
    cluster.campaign()
    sendJson(reply.code(202), {}, JSON.stringify({ node: cluster.id }))
  })
}

type SnapshotQuery = ReturnType<typeof operations.snapshotQuery.read>

async function sendSnapshot(
  reply: FastifyReply,
  cluster: ClusterControl,
  query: SnapshotQuery,
  slots: StreamSlots,
): Promise<FastifyReply> {
  const { logId, revision, bytesEstimate, bytes } = await openSnapshot(cluster, query, {
    slots,
    guard: reply.request.access.guard(operations.backupNeeds),
  })
  const headers = {
    'content-type': BYTES_TYPE,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'content-disposition': `attachment; filename="quorate-${logId.index}.backup"`,
    'quorate-snapshot-term': logId.term,
    'quorate-snapshot-node': logId.node,
    'quorate-snapshot-index': logId.index,
    'quorate-snapshot-bytes': bytesEstimate,
    'quorate-revision': revision,
  }
  return reply.headers(headers).send(bytes)
}

async function openSnapshot(
  cluster: ClusterControl,
  { consistency, timeout }: SnapshotQuery,
  { slots, guard }: { readonly slots: StreamSlots; readonly guard: Guard },
) {
  const slot = slots.take()
  try {
    const { chunks, ...facts } = await cluster.snapshot(consistency, timeout, guard)
    const bytes = Readable.from(await begun(chunks), { objectMode: false })
    bytes.once('close', slot.release)
    return { ...facts, bytes }
  } catch (error) {
    slot.release()
    throw error
  }
}
