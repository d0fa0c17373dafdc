import { isUtf8 } from 'node:buffer'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { LeaseBody, LeaseEndAnswer, LeasesAnswer, LeaseStatus } from '../../api/leases.ts'
import type { LeasePage, LeaseView, ReadOptions, Services } from '../../api/services.ts'
import { keyFromText, keyToText, type Key, type Lease, type LeaseGrantCommand, type Need } from '../../kv/index.ts'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import { endOfRead, readOptions } from '../keys/queries.ts'
import { refusalFor, refusalOf, tagged, taggedStep } from '../keys/writes.ts'
import type { Access } from '../protocol/access.ts'
import type { AnswerRoom } from '../protocol/answer-room.ts'
import { answerHeaders, sendJson } from '../protocol/answer.ts'
import { callerOf, steadyCallerOf } from '../protocol/api-response.ts'
import { refuseConditions } from '../protocol/preconditions.ts'
import { sendProblem } from '../protocol/problem.ts'
import { leaderQuery } from '../protocol/queries.ts'
import { invalidQuery } from '../protocol/query.ts'
import { redirectToLeader } from '../protocol/redirect.ts'
import { endLease, type EndingStep } from './lease-ending.ts'
import { leaseQuery, leasesQuery } from './queries.ts'
import { leaseExists, leaseNotFound, leaseNotKept } from './refusals.ts'

const ANY_READ: readonly Need[] = [{ access: 'read', any: true }]

/** No lease has its time measured from there. */
const ONLY_IF_ENDING = 0

/** The requests on leases. */
export class LeaseRequests {
  private readonly services: Services
  private readonly room: AnswerRoom
  private readonly now: () => number

  /** `now`: monotonic milliseconds. */
  constructor(services: Services, room: AnswerRoom, now: () => number) {
    this.services = services
    this.room = room
    this.now = now
  }

  async grant(queryText: string, body: LeaseBody, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { timeout, redirect } = leaderQuery.read(queryText)
    const { headers } = request
    refuseConditions(headers)
    const { ttlMs, id = null } = body
    const grant: LeaseGrantCommand = { type: 'lease-grant', id, ttlMs, idempotency: null }
    const command = tagged(grant, request, this.services.keys)
    if (redirect && redirectToLeader(this.services.cluster, request, reply)) return
    const { result, context } = await this.services.keys.execute(command, timeout, callerOf(reply))
    const answer = answerHeaders(context)
    if (result.type === 'lease-granted')
      return void sendJson(reply.code(201), answer, JSON.stringify({ id: result.lease, ttlMs: result.ttlMs }))
    const refusal = result.type === 'lease-exists' ? leaseExists(result) : refusalOf(result)
    sendProblem(reply.headers(answer), refusalFor(command, refusal))
  }

  async renew(id: number, queryText: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { timeout, redirect } = leaderQuery.read(queryText)
    const { headers } = request
    refuseConditions(headers)
    const renew = { type: 'lease-renew', id, idempotency: null } as const
    const command = tagged(renew, request, this.services.keys)
    if (redirect && redirectToLeader(this.services.cluster, request, reply)) return
    const { result, context } = await this.services.keys.execute(command, timeout, callerOf(reply))
    const answer = answerHeaders(context)
    // Its time has begun again after the client asked for it.
    if (result.type === 'lease-renewed')
      return void sendJson(reply, answer, JSON.stringify({ id, remainingMs: result.ttlMs }))
    sendProblem(reply.headers(answer), result.type === 'lease-not-found' ? leaseNotKept(id) : refusalOf(result))
  }

  async revoke(id: number, queryText: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { timeout, redirect } = leaderQuery.read(queryText)
    const { headers } = request
    refuseConditions(headers)
    if (redirect && redirectToLeader(this.services.cluster, request, reply)) return
    const { keys } = this.services
    const caller = steadyCallerOf(reply)
    const step = async (at: number, timeoutMs: number): Promise<EndingStep> => {
      // After the first step it is ending, or gone, and the id may have been granted anew. That lease is not meant.
      const ifRenewedAt = at === 0 ? null : ONLY_IF_ENDING
      const revoke = { type: 'lease-revoke', id, ifRenewedAt, idempotency: null } as const
      const named = taggedStep(revoke, request, keys, at)
      const { result, context } = await keys.execute(named, timeoutMs, caller)
      if (result.type === 'lease-revoked') return { ending: result, context }
      if (result.type !== 'key-reused' && at > 0) return { ending: null, context }
      const refusal = result.type === 'key-reused' ? refusalOf(result) : leaseNotFound(id)
      throw refusal.reflecting(context)
    }
    const { revision, deleted, context } = await endLease(step, timeout, this.now)
    const answer: LeaseEndAnswer = { revision, deleted }
    sendJson(reply, answerHeaders(context), JSON.stringify(answer))
  }

  async get(id: number, queryText: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const query = leaseQuery.read(queryText)
    const options = readOptions(query, reply, ANY_READ)
    refuseConditions(request.headers)
    const { redirect, consistency, limit } = query
    const after = query.cursor === null ? null : keyFromCursor(query.cursor)
    if (redirect && consistency !== 'stale' && redirectToLeader(this.services.cluster, request, reply)) return
    const { access } = request
    // How long the lease lasts is asked of the leader, so no room is reserved: its keys are few bytes beside those of records.
    const { lease, context } = await this.readableOf(id, { after, limit }, options, access)
    const headers = answerHeaders(context)
    if (lease === null) return void sendProblem(reply.headers(headers), leaseNotFound(id))
    const text = JSON.stringify(statusOf(lease, access))
    this.room.check(Buffer.byteLength(text))
    sendJson(reply, headers, text)
  }

  /** The lease, with those of its keys that the client may read: the first page that has any. */
  private async readableOf(id: number, page: LeasePage<Key>, options: ReadOptions, access: Access) {
    const deadline = this.now() + options.timeoutMs
    const isOver = endOfRead(options, this.now)
    let { after } = page
    for (;;) {
      const left = { ...options, timeoutMs: Math.max(1, deadline - this.now()) }
      const found = await this.services.leases.get(id, { ...page, after }, left)
      const { items = [], more = false } = found.lease?.keys ?? {}
      const readable = items.filter((key) => access.mayRead(key))
      const next = items.at(-1)
      if (found.lease === null || readable.length > 0 || !more || next === undefined)
        return found.lease === null
          ? found
          : { ...found, lease: { ...found.lease, keys: { items: readable, more: more && readable.length > 0 } } }
      if (isOver())
        throw new RequestError(
          'read-timeout',
          'the time was up before a key was found that may be read',
          {},
          found.context,
        )
      after = next
    }
  }

  async list(queryText: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const query = leasesQuery.read(queryText)
    const options = readOptions(query, reply, ANY_READ)
    refuseConditions(request.headers)
    const { redirect, consistency, limit, cursor } = query
    if (redirect && consistency !== 'stale' && redirectToLeader(this.services.cluster, request, reply)) return
    await this.room.page({
      bytesMax: limit * (limits.keyBytesMax + limits.recordMembersBytesMax),
      options,
      read: (given) => this.services.leases.list({ after: cursor, limit }, given),
      textOf: ({ items, more }) => {
        const last = items.at(-1)
        const answer: LeasesAnswer = {
          leases: items.map(({ id, lease }) => viewOf(id, lease, request.access)),
          ...(more && last !== undefined ? { cursor: String(last.id) } : {}),
        }
        return JSON.stringify(answer)
      },
      send: ({ context }, text) => sendJson(reply, answerHeaders(context), text),
    })
  }
}

function statusOf({ id, lease, remainingMs, keys: { items, more } }: LeaseView, access: Access): LeaseStatus {
  const last = items.at(-1)
  return {
    ...viewOf(id, lease, access),
    remainingMs,
    keys: items.map(keyToText),
    ...(more && last !== undefined ? { cursor: cursorOf(last) } : {}),
  }
}

const USES = { keys: 'keys', key: 'key', holder: 'lock', waiter: 'lock-wait' } as const

/** The name of a lock is shown to those who may read it. */
function viewOf(id: number, { ttlMs, isEnding, use }: Lease, access: Access) {
  const lock = 'lock' in use && access.mayRead(use.lock) ? { lock: keyToText(use.lock) } : {}
  return { id, ttlMs, use: USES[use.type], ...lock, ending: isEnding }
}

function cursorOf(key: Key): string {
  return Buffer.from(key, 'latin1').toString('base64url')
}

function keyFromCursor(text: string): Key {
  const bytes = Buffer.from(text, 'base64url')
  const isEncoded = bytes.toString('base64url') === text && isUtf8(bytes)
  const found = isEncoded ? keyFromText(bytes.toString(), limits.keyBytesMax) : null
  if (found?.kind !== 'key') throw invalidQuery('cursor', 'is not a cursor of this store')
  return found.key
}
