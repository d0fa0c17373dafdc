import type { FastifyReply } from 'fastify'
import type { Need } from '../../kv/index.ts'
import { limits } from '../../limits.ts'
import { callerOf } from '../protocol/api-response.ts'
import { flag, oneOf, optionalDuration, optionalInteger, redirect, timeout } from '../protocol/parameters.ts'
import { invalidQuery, QueryReader, type Query } from '../protocol/query.ts'
import { CONSISTENCIES } from '../../api/keys.ts'
import type { ReadOptions } from '../../api/services.ts'

/** How a read is served; shared by single keys and ranges. */
export const readParameters = {
  consistency: oneOf(
    CONSISTENCIES,
    'linearizable',
    'What the answer guarantees: `linearizable`, `lease` (the leader relies on its clock), or `stale` (whatever this node has).',
  ),
  minRevision: optionalInteger(0, 'Wait until the store has reached this revision.'),
  maxStaleness: optionalDuration(
    limits.maxStalenessMsMax,
    'With `consistency=stale` only: the answer shows every write that was acknowledged longer ago than this. Below three heartbeats and a round trip a follower can often not tell.',
  ),
  timeout,
  redirect,
}

/** The same for reads that can be of the past. */
export const pastParameters = {
  revision: optionalInteger(
    0,
    'Read the store as it was at this revision, as far as history reaches. Not with `minRevision` or `maxStaleness`.',
  ),
  ...readParameters,
}

export const getQuery = new QueryReader(pastParameters)

export const writeQuery = new QueryReader({
  prev: flag('The answer carries the record that was replaced or deleted, or null.'),
  timeout,
  redirect,
})

export const putQuery = new QueryReader({
  ttl: optionalDuration(
    limits.lease.ttlMsMax,
    'The key goes after this time, unless it is written again: it gets a lease of its own. From 1 s to 30 days (`720h`). Not together with `lease`.',
    limits.lease.ttlMsMin,
  ),
  lease: optionalInteger(1, 'The key goes with this lease. Without `ttl` and `lease` it stays until it is deleted.'),
  ...writeQuery.spec,
})

export type WriteQuery = Query<typeof writeQuery.spec>
export type PutQuery = Query<typeof putQuery.spec>

/** `needs`: what the client must be allowed to do when the answer is made. */
export function readOptions(
  query: Query<typeof readParameters>,
  reply: FastifyReply,
  needs: readonly Need[],
): ReadOptions {
  if (query.maxStaleness !== null && query.consistency !== 'stale') {
    throw invalidQuery('maxStaleness', 'needs consistency=stale')
  }
  const options = {
    consistency: query.consistency,
    minRevision: query.minRevision,
    maxStalenessMs: query.maxStaleness,
    timeoutMs: query.timeout,
    guard: reply.request.access.guard(needs),
  }
  const caller = callerOf(reply)
  // What is added comes first: a copy that gets one more property afterwards takes V8 a microsecond.
  return caller === undefined ? options : { caller, ...options }
}

/** Tells whether the time of a read is up, or nobody waits for its answer any more. `now`: monotonic milliseconds. */
export function endOfRead({ timeoutMs, caller }: ReadOptions, now: () => number): () => boolean {
  const deadline = now() + timeoutMs
  return () => now() > deadline || caller?.isGone === true
}

export function pastOptions(
  query: Query<typeof pastParameters>,
  reply: FastifyReply,
  needs: readonly Need[],
): ReadOptions {
  const { revision } = query
  const options = readOptions(query, reply, needs)
  if (revision === null) return options
  for (const name of ['minRevision', 'maxStaleness'] as const) {
    if (query[name] !== null) throw invalidQuery(name, 'cannot be combined with revision: what was then never changes')
  }
  return { ...options, revision }
}
