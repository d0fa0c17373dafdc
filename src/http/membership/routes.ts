import type { FastifyInstance, FastifyReply } from 'fastify'
import { etagOf, sendJson, type AnswerHeaders } from '../protocol/answer.ts'
import * as operations from './operations.ts'
import { leaderQuery, timeoutQuery } from '../protocol/queries.ts'
import { membershipCondition } from '../protocol/preconditions.ts'
import { invalidRequest, type QueryText } from '../protocol/query.ts'
import { redirectToLeader } from '../protocol/redirect.ts'
import type {
  AddLearnerBody,
  MembershipAnswer,
  PatchVotersBody,
  SetAddressesBody,
  SetVotersBody,
} from '../../api/cluster.ts'
import type { ClusterControl } from '../../api/services.ts'
import { limits } from '../../limits.ts'
import { configOf } from '../protocol/json.ts'

interface Plain {
  readonly Querystring: QueryText
}

interface WithBody<Body> extends Plain {
  readonly Body: Body
}

interface WithId extends Plain {
  readonly Params: { readonly id: string }
}

/** `/cluster/membership`, `/cluster/learners` and `/cluster/nodes`. */
export function registerMembershipRoutes(app: FastifyInstance, cluster: ClusterControl): void {
  registerVoterRoutes(app, cluster)
  registerLearnerRoutes(app, cluster)
  registerNodeRoutes(app, cluster)
}

function registerVoterRoutes(app: FastifyInstance, cluster: ClusterControl): void {
  app.get<Plain>('/cluster/membership', configOf(operations.getMembership), (request, reply) => {
    timeoutQuery.read(request.query.text)
    sendMembership(reply, cluster.membership())
  })

  app.put<WithBody<SetVotersBody>>(
    '/cluster/membership',
    configOf(operations.putMembership),
    async (request, reply) => {
      const { timeout, redirect } = leaderQuery.read(request.query.text)
      const ifMembershipAt = membershipCondition(request.headers)
      const { voters, retain = false, allowLagging = false, force = false } = request.body
      if (redirect && redirectToLeader(cluster, request, reply)) return
      request.auditedAs = request.body
      const change = { voters, retain, allowLagging, force, ifMembershipAt }
      sendMembership(reply, await cluster.changeVoters(change, timeout, request.access))
    },
  )

  app.patch<WithBody<PatchVotersBody>>(
    '/cluster/membership',
    configOf(operations.patchMembership),
    async (request, reply) => {
      const { timeout, redirect } = leaderQuery.read(request.query.text)
      const ifMembershipAt = membershipCondition(request.headers)
      const { add = [], remove = [], retain = false, allowLagging = false, force = false } = request.body
      if (add.length + remove.length === 0)
        throw invalidRequest({ path: 'body', message: 'must name a node to add or to remove' })
      if (redirect && redirectToLeader(cluster, request, reply)) return
      request.auditedAs = request.body
      const change = { voters: { add, remove }, retain, allowLagging, force, ifMembershipAt }
      sendMembership(reply, await cluster.changeVoters(change, timeout, request.access))
    },
  )
}

function registerLearnerRoutes(app: FastifyInstance, cluster: ClusterControl): void {
  app.get<Plain>('/cluster/learners', configOf(operations.listLearners), async (request, reply) => {
    const { timeout, redirect } = leaderQuery.read(request.query.text)
    if (redirect && redirectToLeader(cluster, request, reply)) return
    sendJson(reply, {}, JSON.stringify({ learners: await cluster.learners(timeout, request.access) }))
  })

  app.post<WithBody<AddLearnerBody>>('/cluster/learners', configOf(operations.addLearner), async (request, reply) => {
    const { timeout, redirect } = leaderQuery.read(request.query.text)
    const { id, raft, api, wait = true } = request.body
    if (redirect && redirectToLeader(cluster, request, reply)) return
    request.auditedAs = request.body
    sendJson(reply, {}, JSON.stringify(await cluster.addLearner({ id, raft, api }, wait, timeout, request.access)))
  })

  app.delete<WithId>('/cluster/learners/:id', configOf(operations.removeLearner), async (request, reply) => {
    const { timeout, redirect } = leaderQuery.read(request.query.text)
    const id = nodeIdIn(request.params.id)
    if (redirect && redirectToLeader(cluster, request, reply)) return
    sendMembership(reply, await cluster.removeLearner(id, timeout, request.access))
  })
}

function registerNodeRoutes(app: FastifyInstance, cluster: ClusterControl): void {
  app.put<WithBody<SetAddressesBody> & WithId>(
    '/cluster/nodes/:id',
    configOf(operations.setAddresses),
    async (request, reply) => {
      const { timeout, redirect } = leaderQuery.read(request.query.text)
      const ifMembershipAt = membershipCondition(request.headers)
      const id = nodeIdIn(request.params.id)
      const { raft, api, force = false } = request.body
      if (redirect && redirectToLeader(cluster, request, reply)) return
      request.auditedAs = request.body
      const change = { member: { id, raft, api }, force, ifMembershipAt }
      sendMembership(reply, await cluster.setAddresses(change, timeout, request.access))
    },
  )
}

const NODE_ID = /^[1-9][0-9]{0,9}$/

function nodeIdIn(text: string): number {
  const id = NODE_ID.test(text) ? Number(text) : Number.NaN
  if (id <= limits.nodeIdMax) return id
  throw invalidRequest({ path: 'path/id', message: `must be a node id: a whole number from 1 to ${limits.nodeIdMax}` })
}

function sendMembership(reply: FastifyReply, answer: MembershipAnswer): void {
  const headers: AnswerHeaders = answer.logId === null ? {} : { etag: etagOf(answer.logId.index) }
  sendJson(reply, headers, JSON.stringify(answer))
}
