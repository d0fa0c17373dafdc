import { Type } from 'typebox'
import { endOfPrefix, type Key } from '../../kv/index.ts'
import { limits } from '../../limits.ts'
import { optionalKey, requireKey } from '../protocol/parameters.ts'
import { invalidQuery, type Parameter, type Query } from '../protocol/query.ts'

/** `start` inclusive, `end` exclusive, null unbounded. */
export interface KeyRange {
  readonly start: Key | null
  readonly end: Key | null
}

/** The empty prefix matches every key. */
const prefix: Parameter<Key | '' | null> = {
  absent: null,
  schema: Type.String({
    maxLength: limits.keyBytesMax,
    description: 'Every key that starts with this. Cannot be combined with `start` or `end`.',
  }),
  parse: (text) => (text === '' ? '' : requireKey(text)),
}

export const rangeParameters = {
  prefix,
  start: optionalKey('The first key of the range.'),
  end: optionalKey('The end of the range: this key is not in it.'),
}

export function rangeOf(query: Query<typeof rangeParameters>): KeyRange {
  const { prefix, start, end } = query
  if (prefix === null) {
    if (start !== null && end !== null && start > end) throw invalidQuery('start', 'is after end')
    return { start, end }
  }
  if (start !== null || end !== null) throw invalidQuery('prefix', 'cannot be combined with start or end')
  return prefix === '' ? { start: null, end: null } : { start: prefix, end: endOfPrefix(prefix) }
}

export function isUnbounded(range: KeyRange): boolean {
  return range.start === null && range.end === null
}
