import { Type } from 'typebox'
import { LeaseEndAnswer, LockAnswer, LockBody, LocksAnswer, LockStatus } from '../../api/leases.ts'
import { limits } from '../../limits.ts'
import { presentErrors } from '../keys/read-errors.ts'
import { answered, leaseWriteErrors } from '../leases/operations.ts'
import { redirectAnswer } from '../protocol/leader-operation.ts'
import type { Operation } from '../protocol/operation.ts'
import { optionalKey } from '../protocol/parameters.ts'
import type { QuerySpec } from '../protocol/query.ts'
import { leaderQuery } from '../protocol/queries.ts'
import { lockQuery, locksQuery, releaseQuery } from './queries.ts'

const path = {
  name: Type.String({
    minLength: 1,
    maxLength: limits.keyBytesMax,
    description: `The name of the lock, percent-encoded: 1 to ${limits.keyBytesMax} bytes of UTF-8. A slash may stand as it is.`,
  }),
}

const nameParameter: QuerySpec = {
  name: {
    ...optionalKey('The name, for names that a path cannot carry (`.`, `..`, a doubled slash).'),
    required: true,
  },
}

export const acquireLock: Operation = {
  id: 'acquireLock',
  access: 'keys',
  tag: 'leases',
  summary: 'Acquire a lock',
  description:
    'The lock belongs to a lease of its own, which has to be kept alive. With `waitMs` the request waits for its turn; those who wait are ' +
    'served in the order in which they came, and one whose client leaves, or closes its sending side, gives up its place. The time of the wait comes on top of `timeout=`. ' +
    `${limits.lock.waitsMax} requests at most wait on one node.`,
  path,
  query: leaderQuery.spec,
  retried:
    'A retry never takes a second place: it gets the lock that the first try got, or waits with it. It gets `lock-wait-ended` when the lease of ' +
    'the first try is over, and `lock-held` again when the first try was refused at once, also when the lock is free by then.',
  body: { schema: LockBody, required: true },
  answers: { 200: answered('Acquired.', LockAnswer), 307: redirectAnswer },
  errors: [
    ...leaseWriteErrors,
    'no-space',
    'invalid-key',
    'lock-held',
    'lock-wait-ended',
    'too-many-leases',
    'read-timeout',
  ],
}

export const releaseLock: Operation = {
  id: 'releaseLock',
  access: 'keys',
  tag: 'leases',
  summary: 'Release a lock',
  description: 'Ends the lease that holds it. The next who waits gets the lock in the same change.',
  path,
  query: releaseQuery.spec,
  retried: 'A retry gets the first answer, a refusal included, and releases nothing, whoever holds the lock by then.',
  answers: { 200: answered('Released.', LeaseEndAnswer), 307: redirectAnswer },
  errors: [...leaseWriteErrors, 'invalid-key', 'lock-not-held', 'deletion-unfinished'],
}

export const getLock: Operation = {
  id: 'getLock',
  access: 'keys',
  tag: 'leases',
  summary: 'Who holds a lock',
  path,
  query: lockQuery.spec,
  answers: { 200: answered('The lock; one that nobody holds has no holder.', LockStatus), 307: redirectAnswer },
  errors: ['invalid-key', ...presentErrors],
}

export const listLocks: Operation = {
  id: 'listLocks',
  access: 'keys',
  tag: 'leases',
  summary: 'List the locks',
  description:
    'Those that somebody holds, in the order of the bytes of their names; without bounds all of them. With `name` it is the same as ' +
    '`GET /locks/{name}` instead, for names that a path cannot carry, and takes the parameters of that.',
  query: {
    name: optionalKey('The name of one lock.'),
    ...locksQuery.spec,
    waiters: lockQuery.spec.waiters,
  },
  answers: {
    200: answered('A page; with `name` that lock.', Type.Union([LocksAnswer, LockStatus])),
    307: redirectAnswer,
  },
  errors: ['invalid-key', ...presentErrors],
}

const byQuery = (operation: Operation): Operation => ({
  ...operation,
  id: `${operation.id}ByQuery`,
  summary: `${operation.summary}, by a name that a path cannot carry`,
  path: {},
  query: { ...nameParameter, ...operation.query },
})

export const acquireLockByQuery = byQuery(acquireLock)
export const releaseLockByQuery = byQuery(releaseLock)
