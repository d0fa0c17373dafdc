import type { FastifyReply, FastifyRequest } from 'fastify'
import { assert } from '../../lib/assert.ts'
import type { DeleteRangeCommand } from '../../kv/index.ts'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import { negotiate } from '../protocol/accept.ts'
import type { AnswerRoom } from '../protocol/answer-room.ts'
import { callerOf, steadyCallerOf } from '../protocol/api-response.ts'
import { NDJSON_TYPE, answerHeaders, keyOnlyJson, recordJson, sendJson } from '../protocol/answer.ts'
import { ChunkedDelete } from './chunked-delete.ts'
import { cursorFromText, cursorText, type Cursor } from '../keys/cursor.ts'
import { isUnbounded, rangeOf, type KeyRange } from '../keys/key-range.ts'
import { refuseConditions } from '../protocol/preconditions.ts'
import { sendProblem } from '../protocol/problem.ts'
import { invalidQuery, invalidRequest, type RawQuery } from '../protocol/query.ts'
import { RecordStream } from './record-stream.ts'
import { redirectToLeader } from '../protocol/redirect.ts'
import type { KeyedRecord, ReadOptions, ScanRange, Services } from '../../api/services.ts'
import { keptForBackups, streamsMax, type StreamSlots } from '../protocol/stream-slots.ts'
import { refusalOf, tagged } from '../keys/writes.ts'
import { endOfRead, pastOptions } from '../keys/queries.ts'
import { refuseBody } from '../protocol/body.ts'
import { deleteRangeQuery, listQuery, type ListQuery } from './queries.ts'

export interface RangeDependencies {
  readonly slots: StreamSlots
  readonly room: AnswerRoom
  /** Monotonic milliseconds. */
  readonly now: () => number
}

/** The requests on a range of keys. */
export class RangeRequests {
  private readonly services: Services
  private readonly slots: StreamSlots
  private readonly room: AnswerRoom
  private readonly now: () => number

  constructor(services: Services, { slots, room, now }: RangeDependencies) {
    this.services = services
    this.slots = slots
    this.room = room
    this.now = now
  }

  async list(given: RawQuery, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const query = listQuery.from(given)
    const range = rangeOf(query)
    const options = pastOptions(query, reply, [{ access: 'read', range }])
    refuseConditions(request.headers)
    const stream = negotiate(request.headers.accept, ['application/json', NDJSON_TYPE]) === NDJSON_TYPE
    refuseConflicts(given, query, stream)
    const redirects = query.redirect && query.consistency !== 'stale'
    if (redirects && redirectToLeader(this.services.cluster, request, reply)) return reply
    if (query.countOnly) return this.sendCount(range, options, reply)
    return stream ? this.sendStream(range, query, options, reply) : this.sendPage(range, query, options, reply)
  }

  private async sendPage(
    range: KeyRange,
    query: ListQuery,
    options: ReadOptions,
    reply: FastifyReply,
  ): Promise<FastifyReply> {
    const { reverse, limit } = query
    const cursor = query.cursor === null ? null : cursorFromText(query.cursor, 'keys', range, reverse)
    const wanted = { ...range, after: cursor?.after ?? null, reverse }
    await this.room.page({
      bytesMax: limits.listBytesMax + limit * limits.recordMembersBytesMax,
      options: pageOptions(options, cursor),
      read: (given) => this.firstRecords(wanted, limit, given),
      textOf: ({ items, done, context: { revision }, isRepeatable }) => {
        const last = items.at(-1)
        const next = done || last === undefined ? null : { after: last.key, revision, isRepeatable }
        const more = next === null ? '' : `,"cursor":"${cursorText(next, 'keys', range, reverse)}"`
        return `{"items":[${items.map(lineFor(query.keysOnly)).join(',')}],"revision":${revision}${more}}`
      },
      send: ({ context }, text) => sendJson(reply, answerHeaders(context), text),
    })
    return reply
  }

  /** The first piece that holds a record, or the end. */
  private async firstRecords(range: ScanRange, limit: number, options: ReadOptions) {
    const isOver = endOfRead(options, this.now)
    const scan = await this.services.keys.scan(range, options)
    const { context, isRepeatable } = scan
    try {
      for (;;) {
        const { items, done } = await scan.next(limit, limits.listBytesMax)
        if (items.length > 0 || done) return { items, done, context, isRepeatable }
        if (isOver()) {
          throw new RequestError(
            'read-timeout',
            'the time was up before a record of that revision was found; allow more with timeout=, or name a smaller range',
            {},
            context,
          )
        }
      }
    } finally {
      await scan.close()
    }
  }

  private async sendCount(range: KeyRange, options: ReadOptions, reply: FastifyReply): Promise<FastifyReply> {
    const isOver = endOfRead(options, this.now)
    const scan = await this.services.keys.scan({ ...range, after: null, reverse: false }, options)
    try {
      let count = 0
      for (let done = false; !done;) {
        const piece = await scan.count(limits.countKeysMax)
        count += piece.count
        done = piece.done
        if (!done && isOver()) {
          throw new RequestError(
            'read-timeout',
            `the time was up after ${count} keys were counted; allow more with timeout=`,
            {},
            scan.context,
          )
        }
      }
      return await sendJson(
        reply,
        answerHeaders(scan.context),
        `{"count":${count},"revision":${scan.context.revision}}`,
      )
    } finally {
      await scan.close()
    }
  }

  private async sendStream(
    range: KeyRange,
    query: ListQuery,
    options: ReadOptions,
    reply: FastifyReply,
  ): Promise<FastifyReply> {
    const { scan, records } = await this.openStream(range, query, options)
    const headers = { ...answerHeaders(scan.context), 'content-type': NDJSON_TYPE, 'cache-control': 'no-store' }
    return reply.headers(headers).send(records)
  }

  private async openStream(range: KeyRange, query: ListQuery, options: ReadOptions) {
    const slot = this.slots.take(keptForBackups(streamsMax(this.services.valueBytesMax)))
    try {
      const scan = await this.services.keys.walk({ ...range, after: null, reverse: query.reverse }, options)
      const reader = { caller: options.caller, guard: options.guard ?? null, now: this.now }
      const records = new RecordStream(scan, lineFor(query.keysOnly), reader)
      records.once('close', slot.release)
      return { scan, records }
    } catch (error) {
      slot.release()
      throw error
    }
  }

  async remove(given: RawQuery, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const query = deleteRangeQuery.from(given)
    const { headers } = request
    refuseBody(request)
    refuseConditions(headers)
    const range = rangeOf(query)
    if (query.all && given.size > 0 && !isUnbounded(range)) throw invalidQuery('all', 'cannot be combined with bounds')
    if (!query.all && isUnbounded(range)) {
      throw invalidRequest({
        path: 'query',
        message: 'has no bounds: give prefix, start or end, or all=true for every key',
      })
    }
    if (query.redirect && redirectToLeader(this.services.cluster, request, reply)) return
    if (query.chunked) {
      const options = { range, asker: request, timeoutMs: query.timeout, caller: steadyCallerOf(reply) }
      const { revision, deleted, chunks, context } = await new ChunkedDelete(
        this.services.keys,
        options,
        this.now,
      ).run()
      sendJson(reply, answerHeaders(context), `{"revision":${revision},"deleted":${deleted},"chunks":${chunks}}`)
      return
    }
    const remove: DeleteRangeCommand = { type: 'delete-range', ...range, upToLimit: false, idempotency: null }
    const command = tagged(remove, request, this.services.keys)
    const { result, context } = await this.services.keys.execute(command, query.timeout, callerOf(reply))
    const answer = answerHeaders(context)
    assert(result.type !== 'range-deleted', 'a delete of a range without a limit is answered as such')
    if (result.type !== 'deleted') return void sendProblem(reply.headers(answer), refusalOf(result))
    sendJson(reply, answer, `{"revision":${result.revision},"deleted":${result.deleted}}`)
  }
}

/** Pages may come from different nodes. All of them show the revision of the first, or, without history, nothing older. */
function pageOptions(options: ReadOptions, cursor: Cursor | null): ReadOptions {
  if (cursor === null) return options
  if (options.revision !== undefined && options.revision !== cursor.revision) {
    throw invalidQuery('revision', `is not the one of the first page, which was ${cursor.revision}`)
  }
  if (!cursor.isRepeatable) return { ...options, minRevision: Math.max(cursor.revision, options.minRevision ?? 0) }
  if (options.minRevision !== null && options.minRevision > cursor.revision) {
    throw invalidQuery('minRevision', `is beyond the first page, whose revision ${cursor.revision} all pages show`)
  }
  return { ...options, minRevision: null, maxStalenessMs: null, revision: cursor.revision }
}

function lineFor(keysOnly: boolean): (item: KeyedRecord) => string {
  return keysOnly ? ({ key, record }) => keyOnlyJson(key, record) : ({ key, record }) => recordJson(key, record)
}

function refuseConflicts(given: RawQuery, query: ListQuery, stream: boolean): void {
  const paging = ['limit', 'cursor'].find((name) => given.has(name))
  if (query.countOnly) {
    const other = paging ?? ['reverse', 'keysOnly'].find((name) => given.has(name))
    if (other !== undefined) throw invalidQuery(other, 'cannot be combined with countOnly')
  } else if (stream && paging !== undefined) {
    throw invalidQuery(paging, `cannot be used with a stream (Accept: ${NDJSON_TYPE}), which carries the whole range`)
  }
}
