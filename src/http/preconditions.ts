import type { IncomingHttpHeaders } from 'node:http'
import { limits } from '../limits.ts'
import type { Condition } from '../kv/index.ts'
import { invalidRequest } from './query.ts'
import type { RequestError } from '../lib/errors.ts'

const TAG = /^"(0|[1-9][0-9]{0,15})"$/
const VISIBLE_ASCII = /^[\x21-\x7e]+$/

function invalidHeader(name: string, message: string): RequestError {
  return invalidRequest({ path: `header/${name}`, message })
}

/** The number in one strong entity tag. Lists and weak tags have no use here, so they are mistakes. */
function numberOfTag(name: string, text: string, what: string): number {
  const number = Number(TAG.exec(text)?.[1] ?? Number.NaN)
  if (Number.isSafeInteger(number)) return number
  if (text.startsWith('W/')) throw invalidHeader(name, `is a weak tag; the tags of this store are strong: ${what}`)
  if (text.includes(',')) throw invalidHeader(name, `is a list or was sent twice; one is allowed: ${what}`)
  throw invalidHeader(name, `must be ${what}`)
}

const REVISION_TAG = 'a revision in quotes, such as "12", or *'

function revisionOfTag(name: string, text: string): number {
  const revision = numberOfTag(name, text, REVISION_TAG)
  if (revision === 0) throw invalidHeader(name, 'must be above 0; for an absent key send If-None-Match: *')
  return revision
}

function refuse(headers: IncomingHttpHeaders, name: 'if-match' | 'if-none-match', message: string): void {
  if (headers[name] !== undefined) throw invalidHeader(name, message)
}

/** What a `PUT` demands of the current record. */
export function putCondition(headers: IncomingHttpHeaders): Condition | null {
  const ifNoneMatch = headers['if-none-match']
  if (ifNoneMatch === undefined) return headers['if-match'] === undefined ? null : matchCondition(headers['if-match'])
  refuse(headers, 'if-match', 'contradicts If-None-Match; send one of them')
  if (ifNoneMatch !== '*')
    throw invalidHeader('if-none-match', 'must be * on a write; to replace one revision send If-Match')
  return { type: 'absent' }
}

/** What a `DELETE` demands of the current record. */
export function deleteCondition(headers: IncomingHttpHeaders): Condition | null {
  refuse(headers, 'if-none-match', 'has no meaning on DELETE')
  return headers['if-match'] === undefined ? null : matchCondition(headers['if-match'])
}

function matchCondition(text: string): Condition {
  return text === '*' ? { type: 'present' } : { type: 'mod-revision', revision: revisionOfTag('if-match', text) }
}

/** The revision that a reader has; `any`: it wants an answer only while the key is absent. Null: no condition. */
export function readCondition(headers: IncomingHttpHeaders): number | 'any' | null {
  refuse(headers, 'if-match', 'has no meaning on a read; send If-None-Match')
  const text = headers['if-none-match']
  if (text === undefined) return null
  return text === '*' ? 'any' : revisionOfTag('if-none-match', text)
}

/** Conditions name a revision of one key, so a range takes none. */
export function refuseConditions(headers: IncomingHttpHeaders): void {
  refuse(headers, 'if-match', 'applies to a single key')
  refuse(headers, 'if-none-match', 'applies to a single key')
}

/** The index of the membership that the caller has seen. */
export function membershipCondition(headers: IncomingHttpHeaders): number | null {
  refuse(headers, 'if-none-match', 'has no meaning here; send If-Match')
  const text = headers['if-match']
  return text === undefined ? null : numberOfTag('if-match', text, 'the index of a membership in quotes, such as "12"')
}

export function idempotencyKey(headers: IncomingHttpHeaders): string | null {
  const key = headers['idempotency-key']
  if (key === undefined) return null
  // Node joins a repeated header with a comma and a blank, and a blank is not visible.
  if (typeof key === 'string' && key.length <= limits.idempotencyKeyBytesMax && VISIBLE_ASCII.test(key)) return key
  throw invalidHeader('idempotency-key', `must be 1 to ${limits.idempotencyKeyBytesMax} visible ASCII characters`)
}
