import { Type } from 'typebox'
import type { ErrorCode } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type { AnswerDoc, Operation } from '../protocol/operation.ts'
import { optionalKey } from '../protocol/parameters.ts'
import type { QuerySpec } from '../protocol/query.ts'
import { getQuery, writeQuery } from './key-routes.ts'
import { deleteRangeQuery, listQuery } from '../ranges/range-routes.ts'
import {
  contextHeaders,
  CountAnswer,
  DeleteAnswer,
  deleteHeaders,
  deleteRangeHeaders,
  etagHeader,
  getHeaders,
  keyPath,
  ListAnswer,
  PutAnswer,
  putHeaders,
  recordHeaders,
} from './schemas.ts'

const bytes = Type.Unsafe<string>({ type: 'string', format: 'binary' })
const json = 'application/json'

/** What a request that needs the leader may meet. */
export const leaderErrors: readonly ErrorCode[] = [
  'overloaded',
  'no-leader',
  'not-ready',
  'transferring',
  'removed',
  'shutting-down',
]

const readErrors: readonly ErrorCode[] = ['invalid-key', 'future-revision', ...leaderErrors, 'read-timeout']

const writeErrors: readonly ErrorCode[] = ['invalid-key', 'idempotency-key-reused', ...leaderErrors, 'outcome-unknown']

export const redirectAnswer: AnswerDoc = {
  description: 'With `redirect=true`: where the leader is.',
  headers: { Location: Type.String(), 'Quorate-Leader': Type.Integer({ description: 'The leader.' }) },
}

const keyParameter: QuerySpec = {
  key: optionalKey('The key, for those that a path cannot carry (`.`, `..`, a doubled slash).'),
}
const rangeNote = 'With `key` it is the operation on that one key instead, and takes the parameters of that.'

const putAnswers = {
  200: {
    description: 'Written.',
    headers: { ...contextHeaders, ...etagHeader },
    content: { [json]: PutAnswer },
  },
  307: redirectAnswer,
}

const getAnswers = {
  200: {
    description: 'The bytes of the value, or the record with `Accept: application/json`.',
    headers: recordHeaders,
    content: { 'application/octet-stream': bytes, [json]: Type.Ref('Record') },
  },
  304: { description: 'The key is at the revision of `If-None-Match`.', headers: recordHeaders },
  307: redirectAnswer,
}

const deleteAnswers = {
  200: {
    description: 'Deleted. A key that was absent gives `deleted: 0`.',
    headers: contextHeaders,
    content: { [json]: DeleteAnswer },
  },
  307: redirectAnswer,
}

export const putKey: Operation = {
  id: 'putKey',
  tag: 'keys',
  summary: 'Write a key',
  description: 'The body is the value, whatever its type; no body is the empty value.',
  path: keyPath,
  query: writeQuery.spec,
  headers: putHeaders,
  body: 'value',
  answers: putAnswers,
  errors: [...writeErrors, 'precondition-failed', 'value-too-large', 'unsupported-media-type'],
}

export const putKeyByQuery: Operation = {
  ...putKey,
  id: 'putKeyByQuery',
  summary: 'Write a key that a path cannot carry',
  path: {},
  query: { ...keyParameter, ...writeQuery.spec },
}

export const getKey: Operation = {
  id: 'getKey',
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
  summary: 'Read what is known of a key, without its value',
}

export const headKeyByQuery: Operation = {
  ...headKey,
  id: 'headKeyByQuery',
  summary: 'The same for a key that a path cannot carry',
  path: {},
  query: { ...keyParameter, ...getQuery.spec },
}

export const deleteKey: Operation = {
  id: 'deleteKey',
  tag: 'keys',
  summary: 'Delete a key',
  path: keyPath,
  query: writeQuery.spec,
  headers: deleteHeaders,
  answers: deleteAnswers,
  errors: [...writeErrors, 'precondition-failed', 'request-too-large', 'unsupported-media-type'],
}

export const listKeys: Operation = {
  id: 'listKeys',
  tag: 'keys',
  summary: 'List a range of keys',
  description: `Without bounds: all keys, in the order of their bytes. ${rangeNote}`,
  query: { ...keyParameter, ...listQuery.spec },
  headers: getHeaders,
  answers: {
    200: {
      description:
        'A page; with `countOnly` the count; with `Accept: application/x-ndjson` the whole range as one consistent view, ' +
        'a record a line; with `key` the value and its headers.',
      headers: recordHeaders,
      content: {
        [json]: Type.Union([ListAnswer, CountAnswer, Type.Ref('Record')]),
        'application/x-ndjson': Type.Ref('Record'),
        'application/octet-stream': bytes,
      },
    },
    304: getAnswers[304],
    307: redirectAnswer,
  },
  errors: [...readErrors, 'key-not-found'],
}

export const deleteKeys: Operation = {
  id: 'deleteKeys',
  tag: 'keys',
  summary: 'Delete a range of keys',
  description:
    `One atomic change, of at most ${limits.rangeDeleteKeysMax} keys: a range that holds more is refused whole. With ` +
    '`chunked=true` it is done in as many changes as it takes, each atomic; when they end early the problem tells in `deleted`, ' +
    '`revision` and `chunks` what was done. A retry with the same `Idempotency-Key` goes on from there, and its answer counts it all. ' +
    `Without bounds only with \`all=true\`. ${rangeNote}`,
  query: { ...keyParameter, ...deleteRangeQuery.spec, prev: writeQuery.spec.prev },
  headers: { ...deleteHeaders, ...deleteRangeHeaders },
  answers: deleteAnswers,
  errors: [...deleteKey.errors, 'range-too-large', 'deletion-unfinished'],
}

function withoutBodies(operation: Operation): Operation {
  const answers: Record<number, AnswerDoc> = {}
  for (const [status, { description, headers }] of Object.entries(operation.answers)) {
    answers[Number(status)] = { description, ...(headers === undefined ? {} : { headers }) }
  }
  return { ...operation, answers }
}
