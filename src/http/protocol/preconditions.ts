import type { IncomingHttpHeaders } from 'node:http'
import { limits } from '../../limits.ts'
import type { Condition } from '../../kv/index.ts'
import { invalidRequest } from './query.ts'
import type { RequestError } from '../../lib/errors.ts'

const NUMBER = /^(?:0|[1-9][0-9]{0,14})$/
const VISIBLE_ASCII = /^[\x21-\x7e]+$/

function invalidHeader(name: string, message: string): RequestError {
  return invalidRequest({ path: `header/${name}`, message })
}

interface EntityTag {
  readonly isWeak: boolean
  /** Null for a tag that this store did not make. */
  readonly number: number | null
}

const ENTITY_TAG = /(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"/y
/** What is between two tags. Elements that are empty are ignored. */
const SEPARATOR = /[ \t,]*/y

/** The tags of a list (RFC 9110, 8.8.3 and 5.6.1). Any of them may come from elsewhere. */
function tagsIn(name: string, text: string, what: string): readonly EntityTag[] {
  const tags: EntityTag[] = []
  let at = separatorAt(0, text).length
  do {
    ENTITY_TAG.lastIndex = at
    const [whole, weak, opaque = ''] = ENTITY_TAG.exec(text) ?? []
    if (whole === undefined) throw invalidHeader(name, `must be ${what}`)
    tags.push({ isWeak: weak !== undefined, number: NUMBER.test(opaque) ? Number(opaque) : null })
    const separator = separatorAt(at + whole.length, text)
    at += whole.length + separator.length
    if (at < text.length && !separator.includes(',')) throw invalidHeader(name, `must be ${what}`)
  } while (at < text.length)
  return tags
}

function separatorAt(at: number, text: string): string {
  SEPARATOR.lastIndex = at
  return SEPARATOR.exec(text)?.[0] ?? ''
}

/** No key ever has this revision, and no membership this index. */
const NEVER = 0
const NO_MEMBERSHIP = -1

/**
 * The one number that a strong comparison with the tags of `If-Match` can match (RFC 9110, 13.1.1): weak tags and tags from
 * elsewhere match nothing. Null when there is none.
 */
function strongNumberIn(text: string, what: string): number | null {
  const tags = tagsIn('if-match', text, what)
  const numbers = new Set(tags.filter(({ isWeak }) => !isWeak).map(({ number }) => number))
  numbers.delete(null)
  if (numbers.size > 1) throw invalidHeader('if-match', `names several; expected ${what}`)
  const [number = null] = numbers
  return number
}

const REVISION_TAG = 'a revision in quotes, such as "12", or *'

function refuse(headers: IncomingHttpHeaders, name: 'if-match' | 'if-none-match', message: string): void {
  if (headers[name] !== undefined) throw invalidHeader(name, message)
}

/** The condition that a `PUT` places on the current record. */
export function putCondition(headers: IncomingHttpHeaders): Condition | null {
  const ifNoneMatch = headers['if-none-match']
  if (ifNoneMatch === undefined) return headers['if-match'] === undefined ? null : matchCondition(headers['if-match'])
  refuse(headers, 'if-match', 'contradicts If-None-Match; send only one of them')
  if (ifNoneMatch !== '*')
    throw invalidHeader('if-none-match', 'must be * on a write; to replace a revision, send If-Match')
  return { type: 'absent' }
}

/** The condition that a `DELETE` places on the current record. */
export function deleteCondition(headers: IncomingHttpHeaders): Condition | null {
  refuse(headers, 'if-none-match', 'cannot be used with DELETE; send If-Match')
  return headers['if-match'] === undefined ? null : matchCondition(headers['if-match'])
}

function matchCondition(text: string): Condition {
  if (text === '*') return { type: 'present' }
  const revision = strongNumberIn(text, REVISION_TAG)
  if (revision === 0) throw invalidHeader('if-match', 'must be above 0; for an absent key, send If-None-Match: *')
  return { type: 'mod-revision', revision: revision ?? NEVER }
}

/**
 * The revisions that a reader already has, by weak comparison (RFC 9110, 13.1.2): a proxy that compresses makes tags weak.
 * `any`: the reader wants an answer only while the key is absent. Null: no condition.
 */
export function readCondition(headers: IncomingHttpHeaders): readonly (number | null)[] | 'any' | null {
  refuse(headers, 'if-match', 'cannot be used with a read; send If-None-Match')
  const text = headers['if-none-match']
  if (text === undefined) return null
  return text === '*' ? 'any' : tagsIn('if-none-match', text, `${REVISION_TAG}, or a list`).map(({ number }) => number)
}

/** Conditions name a revision of one key. A request on anything else takes none. */
export function refuseConditions(headers: IncomingHttpHeaders): void {
  for (const name of ['if-match', 'if-none-match'] as const)
    refuse(headers, name, 'cannot be used here: it is about a single key')
}

/** The index of the membership that the caller has seen. */
export function membershipCondition(headers: IncomingHttpHeaders): number | null {
  refuse(headers, 'if-none-match', 'cannot be used here; send If-Match')
  const text = headers['if-match']
  return text === undefined
    ? null
    : (strongNumberIn(text, 'the index of a membership in quotes, such as "12"') ?? NO_MEMBERSHIP)
}

/** The key of a write, whether or not its route keeps a first answer under it; null when there is none. */
export function idempotencyKey(headers: IncomingHttpHeaders): string | null {
  const key = headers['idempotency-key']
  if (key === undefined) return null
  // Node joins repeated headers with a comma and a space, and a space is not visible ASCII.
  if (typeof key === 'string' && key.length <= limits.idempotencyKeyBytesMax && VISIBLE_ASCII.test(key)) return key
  throw invalidHeader('idempotency-key', `must be 1 to ${limits.idempotencyKeyBytesMax} visible ASCII characters`)
}
