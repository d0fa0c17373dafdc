import type { FastifyReply, FastifyRequest } from 'fastify'
import type { LeaseEndAnswer, LockAnswer, LockBody, LocksAnswer, LockStatus } from '../../api/leases.ts'
import type { LockOutcome, Services } from '../../api/services.ts'
import { holderOf, keyToText, type Key, type Lock } from '../../kv/index.ts'
import type { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import { cursorFromText, cursorText } from '../keys/cursor.ts'
import { rangeOf } from '../keys/key-range.ts'
import { readOptions } from '../keys/queries.ts'
import { refusalFor, refusalOf, tagged, taggedStep } from '../keys/writes.ts'
import { endLease, type EndingStep } from '../leases/lease-ending.ts'
import { lockHeld, lockNotHeld, lockWaitEnded } from '../leases/refusals.ts'
import type { AnswerRoom } from '../protocol/answer-room.ts'
import { answerHeaders, sendJson } from '../protocol/answer.ts'
import { callerOf, steadyCallerOf } from '../protocol/api-response.ts'
import { refuseConditions } from '../protocol/preconditions.ts'
import { sendProblem } from '../protocol/problem.ts'
import { leaderQuery } from '../protocol/queries.ts'
import { invalidQuery, type RawQuery } from '../protocol/query.ts'
import { redirectToLeader } from '../protocol/redirect.ts'
import { lockQuery, locksQuery, releaseQuery } from './queries.ts'

/** The name of a lock, its holder, and what stands between them. */
const LOCK_BYTES_MAX = limits.keyBytesMax + limits.lock.ownerBytesMax + limits.recordMembersBytesMax

/** The requests on locks, whether the name came in the path or in `?name=`. */
export class LockRequests {
  private readonly services: Services
  private readonly room: AnswerRoom
  private readonly now: () => number

  /** `now`: monotonic milliseconds. */
  constructor(services: Services, room: AnswerRoom, now: () => number) {
    this.services = services
    this.room = room
    this.now = now
  }

  async acquire(name: Key, given: RawQuery, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { timeout, redirect } = leaderQuery.from(given)
    const { headers } = request
    const { ttlMs, waitMs = 0, owner = '' } = request.body as LockBody
    refuseConditions(headers)
    const acquire = { type: 'lock-acquire', name, ttlMs, waitMs, owner, idempotency: null } as const
    const command = tagged(acquire, request, this.services.keys)
    if (redirect && redirectToLeader(this.services.cluster, request, reply)) return
    const { result, context } = await this.services.leases.acquire(command, timeout, callerOf(reply))
    const shown = answerHeaders(context)
    if (result.type === 'lock-acquired') {
      const answer: LockAnswer = { token: result.token, lease: result.lease }
      return void sendJson(reply, shown, JSON.stringify(answer))
    }
    sendProblem(reply.headers(shown), refusalFor(command, notAcquired(name, result)))
  }

  async release(name: Key, given: RawQuery, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { lease, timeout, redirect } = releaseQuery.from(given)
    const { headers } = request
    refuseConditions(headers)
    if (lease === null) throw invalidQuery('lease', 'is missing: give the lease that holds the lock')
    if (redirect && redirectToLeader(this.services.cluster, request, reply)) return
    const { keys } = this.services
    const caller = steadyCallerOf(reply)
    const step = async (at: number, timeoutMs: number): Promise<EndingStep> => {
      const release = { type: 'lock-release', name, lease, idempotency: null } as const
      const named = taggedStep(release, request, keys, at)
      const { result, context } = await keys.execute(named, timeoutMs, caller)
      if (result.type === 'lock-released') return { ending: result, context }
      if (result.type === 'lock-not-held' && at > 0) return { ending: null, context }
      const refusal = result.type === 'key-reused' ? refusalOf(result) : lockNotHeld(name, lease, result)
      throw refusal.reflecting(context)
    }
    const { revision, deleted, context } = await endLease(step, timeout, this.now)
    const answer: LeaseEndAnswer = { revision, deleted }
    sendJson(reply, answerHeaders(context), JSON.stringify(answer))
  }

  async get(name: Key, given: RawQuery, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const query = lockQuery.from(given)
    const options = readOptions(query, reply, [{ access: 'read', key: name }])
    refuseConditions(request.headers)
    const redirects = query.redirect && query.consistency !== 'stale'
    if (redirects && redirectToLeader(this.services.cluster, request, reply)) return
    if (query.waiters) {
      const { waitersShownMax } = limits.lock
      const { lock, waiters, context } = await this.services.leases.lockQueue(name, waitersShownMax, options)
      const status: LockStatus = { ...viewOf(name, lock), waiters }
      return void sendJson(reply, answerHeaders(context), JSON.stringify(status))
    }
    const { lock, context } = await this.services.leases.lock(name, options)
    const status: LockStatus = viewOf(name, lock)
    sendJson(reply, answerHeaders(context), JSON.stringify(status))
  }

  async list(given: RawQuery, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const query = locksQuery.from(given)
    const range = rangeOf(query)
    const options = readOptions(query, reply, [{ access: 'read', range }])
    refuseConditions(request.headers)
    const cursor = query.cursor === null ? null : cursorFromText(query.cursor, 'locks', range, false)
    const redirects = query.redirect && query.consistency !== 'stale'
    if (redirects && redirectToLeader(this.services.cluster, request, reply)) return
    const page = { after: cursor?.after ?? null, limit: query.limit }
    // Pages may come from different nodes. None is of an older revision than the one before.
    const minRevision = cursor === null ? options.minRevision : Math.max(cursor.revision, options.minRevision ?? 0)
    await this.room.page({
      bytesMax: query.limit * LOCK_BYTES_MAX,
      options: { ...options, minRevision },
      read: (given) => this.services.leases.locks(range, page, given),
      textOf: ({ items, more, context: { revision } }) => {
        const last = items.at(-1)
        const next = more && last !== undefined ? { after: last.name, revision, isRepeatable: false } : null
        const answer: LocksAnswer = {
          locks: items.map(({ name, lock }) => viewOf(name, lock)),
          ...(next === null ? {} : { cursor: cursorText(next, 'locks', range, false) }),
        }
        return JSON.stringify(answer)
      },
      send: ({ context }, text) => sendJson(reply, answerHeaders(context), text),
    })
  }
}

function viewOf(name: Key, lock: Lock | null) {
  return { name: keyToText(name), holder: lock === null ? null : holderOf(lock), waiting: lock?.waiting ?? 0 }
}

function notAcquired(name: Key, result: Exclude<LockOutcome['result'], { type: 'lock-acquired' }>): RequestError {
  switch (result.type) {
    case 'lock-held':
      return lockHeld(name, result.holder)
    case 'lock-wait-ended':
      return lockWaitEnded(name, result.lease)
    default:
      return refusalOf(result)
  }
}
