import { Type } from 'typebox'
import { contextHeaders } from '../../api/keys.ts'
import { KeepaliveAnswer, LeaseAnswer, LeaseBody, LeaseEndAnswer, LeasesAnswer, LeaseStatus } from '../../api/leases.ts'
import type { ErrorCode } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import { presentErrors } from '../keys/read-errors.ts'
import { leaderErrors, redirectAnswer } from '../protocol/leader-operation.ts'
import { bodyErrors, jsonAnswer, type AnswerDoc, type Operation } from '../protocol/operation.ts'
import { leaderQuery } from '../protocol/queries.ts'
import type { TSchema } from 'typebox'
import { leaseQuery, leasesQuery } from './queries.ts'

const path = { id: Type.Integer({ minimum: 1, description: 'The id of the lease.' }) }

/** Errors of a request that changes a lease or a lock. */
export const leaseWriteErrors: readonly ErrorCode[] = [
  ...bodyErrors,
  'not-initialized',
  'idempotency-key-reused',
  'feature-unavailable',
  ...leaderErrors,
  'outcome-unknown',
]

export const answered = (description: string, schema: TSchema): AnswerDoc => ({
  ...jsonAnswer(description, schema),
  headers: contextHeaders,
})

const write = { access: 'keys', tag: 'leases', query: leaderQuery.spec } as const

export const grantLease: Operation = {
  ...write,
  id: 'grantLease',
  summary: 'Grant a lease',
  description:
    'A lease lasts for `ttlMs`, and as long again from each keepalive on. Keys that are written with `lease=` go with it. A cluster has ' +
    `${limits.leases.leasesMax} leases at most, those of locks and of single keys included, and ${limits.leases.attachedKeysMax} keys ` +
    'that go with leases. The holder has to count from the moment at which it sent its request, by a clock that runs on while its machine sleeps: then the lease never ends before it thinks so.',
  retried:
    'A retry gets the first answer and grants nothing, also when the lease has ended since: keep it alive before you count on it.',
  body: { schema: LeaseBody, required: true },
  answers: { 201: answered('Granted.', LeaseAnswer), 307: redirectAnswer },
  errors: [...leaseWriteErrors, 'no-space', 'lease-exists', 'too-many-leases'],
}

export const renewLease: Operation = {
  ...write,
  id: 'renewLease',
  summary: 'Keep a lease alive',
  description: 'Its time begins again.',
  retried:
    'A retry is carried out as the first try was, since the answer is about the present: it keeps the lease alive once more, or gets ' +
    '`lease-not-found` when the lease has ended since.',
  path,
  answers: { 200: answered('Renewed.', KeepaliveAnswer), 307: redirectAnswer },
  errors: [...leaseWriteErrors, 'lease-not-found'],
}

export const revokeLease: Operation = {
  ...write,
  id: 'revokeLease',
  summary: 'End a lease',
  description:
    `Its keys go in one change, up to ${limits.leases.endKeysMax} of them and ${limits.leases.endBytesMax / 1024 ** 2} MiB, beyond ` +
    'which the last may go; more of them take several changes. A lock that it holds passes on to the next who waits.',
  retried: 'A retry gets the first answer, and does not end another lease that was granted under this id since.',
  path,
  answers: { 200: answered('Ended.', LeaseEndAnswer), 307: redirectAnswer },
  errors: [...leaseWriteErrors, 'lease-not-found', 'deletion-unfinished'],
}

export const getLease: Operation = {
  id: 'getLease',
  access: 'keys',
  tag: 'leases',
  summary: 'A lease and its keys',
  description: '`remainingMs` comes from the leader, which measures the time; a new leader begins every lease again.',
  path,
  query: leaseQuery.spec,
  answers: { 200: answered('The lease, with a page of its keys.', LeaseStatus), 307: redirectAnswer },
  errors: [...presentErrors, 'lease-not-found'],
}

export const listLeases: Operation = {
  id: 'listLeases',
  access: 'keys',
  tag: 'leases',
  summary: 'List the leases',
  description: 'In the order of their ids, those of single keys and of locks included.',
  query: leasesQuery.spec,
  answers: { 200: answered('A page.', LeasesAnswer), 307: redirectAnswer },
  errors: presentErrors,
}
