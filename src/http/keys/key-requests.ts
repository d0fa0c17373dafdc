import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CommandResult, DeleteCommand, Key, KeyLease, KeyRecord, PutCommand } from '../../kv/index.ts'
import { isLeaseId, keyLeaseId } from '../../kv/index.ts'
import { RequestError } from '../../lib/errors.ts'
import { negotiate } from '../protocol/accept.ts'
import type { AnswerRoom, Reserved } from '../protocol/answer-room.ts'
import { callerOf } from '../protocol/api-response.ts'
import { refuseBody } from '../protocol/body.ts'
import {
  BYTES_TYPE,
  answerHeaders,
  bufferOf,
  etagOf,
  keyOnlyJson,
  recordJson,
  sendJson,
  type AnswerHeaders,
} from '../protocol/answer.ts'
import { deleteCondition, putCondition, readCondition } from '../protocol/preconditions.ts'
import { PROBLEM_TYPE, problemOf, sendProblem } from '../protocol/problem.ts'
import { invalidQuery, type Query } from '../protocol/query.ts'
import { redirectToLeader } from '../protocol/redirect.ts'
import type { AnswerContext, Services } from '../../api/services.ts'
import { pastOptions, type pastParameters, type PutQuery, type WriteQuery } from './queries.ts'
import { refusalFor, refusalOf, tagged } from './writes.ts'

const NO_VALUE = Buffer.alloc(0)
const KEY_ABSENT = JSON.stringify(problemOf(new RequestError('key-not-found', 'the key is absent')))

/** The requests on one key, whether the key came in the path or in `?key=`. */
export class KeyRequests {
  private readonly services: Services
  private readonly room: AnswerRoom

  constructor(services: Services, room: AnswerRoom) {
    this.services = services
    this.room = room
  }

  async get(
    key: Key,
    query: Query<typeof pastParameters>,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<void> {
    const options = pastOptions(query, reply, [{ access: 'read', key }])
    const known = readCondition(request.headers)
    if (query.redirect && query.consistency !== 'stale' && redirectToLeader(this.services.cluster, request, reply))
      return
    const { record, context } = await this.services.keys.get(key, options)
    if (record === null) sendAbsent(reply, context)
    else if (known === 'any' || known?.includes(record.modRevision) === true) sendUnchanged(reply, record, context)
    else this.sendRecord(request, reply, key, record, context)
  }

  private sendRecord(
    request: FastifyRequest,
    reply: FastifyReply,
    key: Key,
    record: KeyRecord,
    context: AnswerContext,
  ): void {
    const headers = recordHeaders(record, context)
    if (negotiate(request.headers.accept, [BYTES_TYPE, 'application/json']) === 'application/json') {
      const text = recordJson(key, record)
      this.room.check(Buffer.byteLength(text))
      sendJson(reply, headers, text)
      return
    }
    const value = bufferOf(record.value)
    this.room.check(value.length)
    headers['content-type'] = BYTES_TYPE
    headers['content-length'] = value.length
    headers['x-content-type-options'] = 'nosniff'
    void reply.headers(headers).send(value)
  }

  async put(key: Key, query: PutQuery, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { body, headers } = request
    const value = Buffer.isBuffer(body) ? body : NO_VALUE
    const condition = putCondition(headers)
    const lease = leaseOf(query)
    const put: PutCommand = { type: 'put', key, value, condition, wantsPrevious: query.prev, idempotency: null }
    const command = tagged(lease === null ? put : { lease, ...put }, request, this.services.keys)
    if (query.redirect && redirectToLeader(this.services.cluster, request, reply)) return
    const room = query.prev ? await this.roomForPrevious(query) : null
    try {
      const { result, context } = await this.services.keys.execute(
        command,
        room?.leftMs ?? query.timeout,
        callerOf(reply),
      )
      const answer = answerHeaders(context)
      if (result.type !== 'put') return void sendProblem(reply.headers(answer), refusalFor(command, refusalOf(result)))
      answer['etag'] = etagOf(result.revision)
      const members = `"revision":${result.revision},"createRevision":${result.createRevision},"version":${result.version}`
      const granted = lease?.type === 'own' ? `,"lease":${keyLeaseId(result.revision)}` : ''
      sendJson(reply, answer, `{${members}${granted}${query.prev ? previousMembers(key, result) : ''}}`)
    } finally {
      room?.give()
    }
  }

  async remove(key: Key, query: WriteQuery, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { headers } = request
    refuseBody(request)
    const condition = deleteCondition(headers)
    const remove: DeleteCommand = { type: 'delete', key, condition, wantsPrevious: query.prev, idempotency: null }
    const command = tagged(remove, request, this.services.keys)
    if (query.redirect && redirectToLeader(this.services.cluster, request, reply)) return
    const room = query.prev ? await this.roomForPrevious(query) : null
    try {
      const { result, context } = await this.services.keys.execute(
        command,
        room?.leftMs ?? query.timeout,
        callerOf(reply),
      )
      const answer = answerHeaders(context)
      if (result.type !== 'deleted') return void sendProblem(reply.headers(answer), refusalOf(result))
      const previous = query.prev ? previousMembers(key, result) : ''
      sendJson(reply, answer, `{"revision":${result.revision},"deleted":${result.deleted}${previous}}`)
    } finally {
      room?.give()
    }
  }

  /** Once the previous value arrives it can no longer be refused, so it has room before the command is executed. */
  private async roomForPrevious({ timeout }: WriteQuery): Promise<Reserved> {
    return await this.room.reserveInTurn(this.services.valueBytesMax, timeout)
  }
}

/** The lease to which a written key is to belong; null: none. */
function leaseOf({ ttl, lease }: PutQuery): KeyLease | null {
  if (ttl !== null && lease !== null) throw invalidQuery('ttl', 'cannot be combined with lease')
  if (ttl !== null) return { type: 'own', ttlMs: ttl }
  if (lease === null) return null
  if (!isLeaseId(lease)) throw invalidQuery('lease', 'is no id of a lease')
  return { type: 'granted', id: lease }
}

function previousMembers(key: Key, result: Extract<CommandResult, { type: 'put' | 'deleted' }>): string {
  const { previous, previousValueForgotten } = result
  if (previous === null) return ',"prev":null'
  if (previousValueForgotten === true) return `,"prev":${keyOnlyJson(key, previous)},"prevValueForgotten":true`
  return `,"prev":${recordJson(key, previous)}`
}

function sendAbsent(reply: FastifyReply, context: AnswerContext): void {
  const headers = answerHeaders(context)
  headers['content-type'] = PROBLEM_TYPE
  headers['content-length'] = KEY_ABSENT.length
  void reply.code(404).headers(headers).send(KEY_ABSENT)
}

function recordHeaders(record: KeyRecord, context: AnswerContext): AnswerHeaders {
  const headers = answerHeaders(context)
  headers['etag'] = etagOf(record.modRevision)
  headers['cache-control'] = 'no-cache'
  headers['vary'] = 'accept, origin'
  headers['quorate-create-revision'] = record.createRevision
  headers['quorate-mod-revision'] = record.modRevision
  headers['quorate-version'] = record.version
  if (record.lease !== 0) headers['quorate-lease'] = record.lease
  return headers
}

function sendUnchanged(reply: FastifyReply, record: KeyRecord, context: AnswerContext): void {
  void reply.code(304).headers(recordHeaders(record, context)).send()
}
