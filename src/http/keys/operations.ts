import { Type } from 'typebox'
import type { ErrorCode } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type { AnswerDoc, Operation } from '../protocol/operation.ts'
import { optionalKey } from '../protocol/parameters.ts'
import type { QuerySpec } from '../protocol/query.ts'
import { leaderErrors, redirectAnswer } from '../protocol/leader-operation.ts'
import { getQuery, putQuery, writeQuery } from './queries.ts'
import { readErrors } from './read-errors.ts'
import {
  contextHeaders,
  DeleteAnswer,
  deleteHeaders,
  etagHeader,
  getHeaders,
  keyPath,
  PutAnswer,
  putHeaders,
  recordHeaders,
  RecordView,
} from '../../api/keys.ts'
import { ref } from '../../api/schema.ts'

export const bytes = Type.Unsafe<string>({ type: 'string', format: 'binary' })
const json = 'application/json'

const writeErrors: readonly ErrorCode[] = [
  'forbidden',
  'invalid-key',
  'not-initialized',
  'idempotency-key-reused',
  ...leaderErrors,
  'no-space',
  'outcome-unknown',
]

const RETRIED =
  'A retry gets the first answer and changes nothing, whatever has become of the key since. A large value of `prev` is not kept as long as ' +
  'the answer; it may be missing then, and `prevValueForgotten` says so.'

const oneKey = optionalKey('The key, for keys that a path cannot carry (`.`, `..`, a doubled slash).')
export const keyParameter: QuerySpec = { key: oneKey }
const requiredKey: QuerySpec = { key: { ...oneKey, required: true } }

const putAnswers = {
  200: {
    description: 'Written.',
    headers: { ...contextHeaders, ...etagHeader },
    content: { [json]: PutAnswer },
  },
  307: redirectAnswer,
}

export const getAnswers = {
  200: {
    description: 'The bytes of the value, or the record with `Accept: application/json`.',
    headers: recordHeaders,
    content: { 'application/octet-stream': bytes, [json]: ref(RecordView) },
  },
  304: { description: 'The key is at the revision of `If-None-Match`.', headers: recordHeaders },
  307: redirectAnswer,
}

export const deleteAnswers = {
  200: {
    description: 'Deleted. A key that was absent gives `deleted: 0`.',
    headers: contextHeaders,
    content: { [json]: DeleteAnswer },
  },
  307: redirectAnswer,
}

export const putKey: Operation = {
  id: 'putKey',
  access: 'keys',
  tag: 'keys',
  summary: 'Write a key',
  description:
    'The body is the value, whatever its type; no body is the empty value. A value has at most ' +
    `${limits.valueBytesMaxDefault} bytes, unless the node was started with another \`--value-bytes-max\`.`,
  path: keyPath,
  query: putQuery.spec,
  headers: putHeaders,
  retried: RETRIED,
  body: 'value',
  answers: putAnswers,
  errors: [
    ...writeErrors,
    'precondition-failed',
    'value-too-large',
    'request-too-large',
    'unsupported-media-type',
    'lease-not-found',
    'too-many-leases',
    'too-many-attached-keys',
    'feature-unavailable',
  ],
}

export const putKeyByQuery: Operation = {
  ...putKey,
  id: 'putKeyByQuery',
  summary: 'Write a key that a path cannot carry',
  path: {},
  query: { ...requiredKey, ...putQuery.spec },
}

export const getKey: Operation = {
  id: 'getKey',
  access: 'keys',
  tag: 'keys',
  summary: 'Read a key',
  path: keyPath,
  query: getQuery.spec,
  headers: getHeaders,
  answers: getAnswers,
  errors: [...readErrors, 'key-not-found'],
}

export const headKey: Operation = {
  ...withoutBodies(getKey),
  id: 'headKey',
  summary: 'Read the headers of a key, without its value',
}

export const headKeyByQuery: Operation = {
  ...headKey,
  id: 'headKeyByQuery',
  summary: 'The same for a key that a path cannot carry',
  path: {},
  query: { ...requiredKey, ...getQuery.spec },
}

export const deleteKey: Operation = {
  id: 'deleteKey',
  access: 'keys',
  tag: 'keys',
  summary: 'Delete a key',
  path: keyPath,
  query: writeQuery.spec,
  headers: deleteHeaders,
  retried: RETRIED,
  answers: deleteAnswers,
  errors: [...writeErrors, 'precondition-failed', 'request-too-large', 'unsupported-media-type'],
}

function withoutBodies(operation: Operation): Operation {
  const answers: Record<number, AnswerDoc> = {}
  for (const [status, { description, headers }] of Object.entries(operation.answers)) {
    answers[Number(status)] = { description, ...(headers === undefined ? {} : { headers }) }
  }
  return { ...operation, answers }
}
