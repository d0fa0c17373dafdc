import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CompactionAnswer, CompactionBody, RetentionBody } from '../../api/history.ts'
import type { AnswerContext, HistoryStatus, KeyVersion, Services } from '../../api/services.ts'
import type { CompactionCommand, Key, ResultOf, RetentionCommand } from '../../kv/index.ts'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import { cursorFromText, cursorText } from '../keys/cursor.ts'
import { readOptions } from '../keys/queries.ts'
import { refusalFor, refusalOf, tagged } from '../keys/writes.ts'
import type { AnswerRoom } from '../protocol/answer-room.ts'
import { answerHeaders, keyOnlyJson, keyJson, recordJson, sendJson } from '../protocol/answer.ts'
import { callerOf } from '../protocol/api-response.ts'
import { refuseConditions } from '../protocol/preconditions.ts'
import { sendProblem } from '../protocol/problem.ts'
import { leaderQuery } from '../protocol/queries.ts'
import { invalidQuery } from '../protocol/query.ts'
import { redirectToLeader } from '../protocol/redirect.ts'
import { compactionQuery, historyQuery } from './queries.ts'

/** The requests on the past: the versions of a key, and how much of the past is kept. */
export class HistoryRequests {
  private readonly services: Services
  private readonly room: AnswerRoom

  constructor(services: Services, room: AnswerRoom) {
    this.services = services
    this.room = room
  }

  async list(queryText: string, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const query = historyQuery.read(queryText)
    const { key, limit, keysOnly } = query
    if (key === null) throw invalidQuery('key', 'is missing')
    const options = readOptions(query, reply, [{ access: 'read', key }])
    refuseConditions(request.headers)
    // The pages of one key, from the newest version to the oldest.
    const range = { start: key, end: null }
    const cursor = query.cursor === null ? null : cursorFromText(query.cursor, 'versions', range, true)
    const redirects = query.redirect && query.consistency !== 'stale'
    if (redirects && redirectToLeader(this.services.cluster, request, reply)) return reply
    const part = { before: cursor?.revision ?? null, limit, bytesMax: limits.listBytesMax }
    await this.room.page({
      bytesMax: limits.listBytesMax + limit * limits.recordMembersBytesMax,
      options,
      read: (given) => this.services.history.versions(key, part, given),
      textOf: ({ items, done, compactedRevision, context }) => {
        const last = items.at(-1)
        const next = done || last === undefined ? null : { after: key, revision: last.revision, isRepeatable: true }
        const more = next === null ? '' : `,"cursor":"${cursorText(next, 'versions', range, true)}"`
        const versions = items.map((one) => versionJson(key, one, keysOnly)).join(',')
        return `{"items":[${versions}],"revision":${context.revision},"compactRevision":${compactedRevision}${more}}`
      },
      send: ({ context }, text) => sendJson(reply, answerHeaders(context), text),
    })
    return reply
  }

  async show(text: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const query = compactionQuery.read(text)
    const options = readOptions(query, reply, [{ right: 'cluster:read' }])
    refuseConditions(request.headers)
    const redirects = query.redirect && query.consistency !== 'stale'
    if (redirects && redirectToLeader(this.services.cluster, request, reply)) return
    const { status, context } = await this.services.history.status(options)
    this.sendStatus(reply, status, context)
  }

  compact(text: string, { revision }: CompactionBody, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    return this.change(text, { type: 'compaction', revision, idempotency: null }, request, reply)
  }

  setRetention(text: string, body: RetentionBody, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    return this.change(text, { type: 'retention', retention: body, idempotency: null }, request, reply)
  }

  private async change(
    text: string,
    change: CompactionCommand | RetentionCommand,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<void> {
    const { timeout, redirect } = leaderQuery.read(text)
    refuseConditions(request.headers)
    const { keys, history, cluster } = this.services
    const command = tagged(change, request, keys)
    if (redirect && redirectToLeader(cluster, request, reply)) return
    request.auditedAs = request.body
    const { result, context } = await keys.execute(command, timeout, callerOf(reply))
    if (result.type === 'key-reused' || result.type === 'future-revision') {
      const refusal = refusalFor(command, refusalOfChange(command, result))
      return void sendProblem(reply.headers(answerHeaders(context)), refusal)
    }
    // This node has carried the change out, so what it knows is recent enough, and it may say so while it shuts down.
    this.sendStatus(reply, history.statusHere(), context)
  }

  private sendStatus(reply: FastifyReply, status: HistoryStatus, context: AnswerContext): void {
    const { compactedRevision: compactRevision, revision, changes, bytes, retention } = status
    const answer: CompactionAnswer = { compactRevision, revision, changes, bytes, retention }
    sendJson(reply, answerHeaders({ ...context, revision }), JSON.stringify(answer))
  }
}

type Refusal = Extract<ResultOf<CompactionCommand>, { type: 'key-reused' | 'future-revision' }>

function refusalOfChange(command: CompactionCommand | RetentionCommand, result: Refusal): RequestError {
  if (result.type === 'key-reused') return refusalOf(result)
  const { revision: current } = result
  const asked = command.type === 'compaction' ? command.revision : null
  return new RequestError('future-revision', `there is no revision ${asked} yet; the store is at ${current}`, {
    currentRevision: current,
  })
}

function versionJson(key: Key, { revision, record }: KeyVersion, keysOnly: boolean): string {
  if (record === null) return `{"key":${keyJson(key)},"modRevision":${revision},"deleted":true}`
  const json = keysOnly ? keyOnlyJson(key, record) : recordJson(key, record)
  return `${json.slice(0, -1)},"deleted":false}`
}
