import { isUtf8 } from 'node:buffer'
import { isLeaseId, keyFromText, type Key } from '../../kv/index.ts'
import type { ErrorCode, RequestError } from '../../lib/errors.ts'
import { isJsonObject } from '../../lib/json.ts'
import { limits } from '../../limits.ts'
import { base64, wellFormed } from '../protocol/body-validation.ts'
import { issuesError } from '../protocol/query.ts'
import { exceedsValues } from '../protocol/json-size.ts'
import { repeatedNameIn } from '../protocol/repeated-name.ts'
import type { ImportLine } from './import-lines.ts'

/** A record that is to be written. */
export interface ImportRecord {
  /** The number of its line. */
  readonly line: number
  readonly key: Key
  readonly value: Uint8Array
  /** Whether it named a lease. */
  readonly isLeased: boolean
}

interface Mistake {
  readonly code: ErrorCode
  /** The member of the record that is wrong; null: the line as a whole. */
  readonly member: string | null
  readonly message: string
}

/**
 * A listing tells the last four of a record. The store gives a written record its own numbers. A lease is one of the cluster that was listed: in
 * another one its id may be nobody's, or somebody else's, so no record is attached to it, and the answer says of how many that is true.
 */
const MEMBERS = ['key', 'value', 'valueBase64', 'createRevision', 'modRevision', 'version', 'lease']
const KNOWN: ReadonlySet<string> = new Set(MEMBERS)

/** Twice as many as a record has: what a line with more of them holds is not looked at. */
const VALUES_MAX = 16

/** What JSON may need for each byte of a text, and space for names, numbers and punctuation. */
const JSON_BYTES_PER_BYTE = 6
const LINE_SPACE_BYTES = 1024

/** A line is blank when it has no other bytes. */
const BLANKS: ReadonlySet<number> = new Set(Buffer.from(' \t\r'))

/** The longest line that a record with a value of `valueBytesMax` bytes may need. */
export function importLineBytesMax(valueBytesMax: number): number {
  return JSON_BYTES_PER_BYTE * (valueBytesMax + limits.keyBytesMax) + LINE_SPACE_BYTES
}

/** The record in a line; null for a blank line. Throws a `RequestError` that names every mistake in it. */
export function importRecordIn(line: ImportLine, valueBytesMax: number): ImportRecord | null {
  if (line.bytes.every((byte) => BLANKS.has(byte))) return null
  const text = isUtf8(line.bytes) ? line.bytes.toString() : null
  if (text === null) throw lineError(line, [invalid(null, 'is not valid UTF-8')])
  if (exceedsValues(text, VALUES_MAX)) {
    throw lineError(line, [invalid(null, `holds more than ${VALUES_MAX} values, more than any record needs`)])
  }
  const json = parsed(text)
  if (json === undefined) throw lineError(line, [invalid(null, 'is not valid JSON; a line holds one record')])
  if (!isJsonObject(json))
    throw lineError(line, [invalid(null, 'must be an object, with key and value or valueBase64')])
  const mistakes = mistakesOfNames(json, text)
  const key = keyIn(json, mistakes)
  const value = valueIn(json, valueBytesMax, mistakes)
  const isLeased = leaseIn(json, mistakes) !== 0
  checkNumbers(json, mistakes)
  if (key === null || value === null || mistakes.length > 0) throw lineError(line, mistakes, valueBytesMax)
  return { line: line.number, key, value, isLeased }
}

type Members = Readonly<Record<string, unknown>>

function mistakesOfNames(json: Members, text: string): Mistake[] {
  const mistakes: Mistake[] = []
  for (const name of Object.keys(json)) {
    if (!KNOWN.has(name)) mistakes.push(invalid(name, `is unknown; expected ${MEMBERS.join(', ')}`))
  }
  const repeated = repeatedNameIn(text)
  if (repeated !== null) mistakes.push(invalid(null, `has the name ${JSON.stringify(repeated)} twice`))
  return mistakes
}

/** Null when it adds to `mistakes`, as the next one does. */
function keyIn({ key }: Members, mistakes: Mistake[]): Key | null {
  if (typeof key !== 'string') {
    mistakes.push(key === undefined ? invalid(null, 'lacks key') : invalid('key', 'must be a string'))
    return null
  }
  const outcome = keyFromText(key, limits.keyBytesMax)
  if (outcome.kind === 'key') return outcome.key
  mistakes.push({ code: 'invalid-key', member: 'key', message: `is no key: ${outcome.reason}` })
  return null
}

function valueIn(json: Members, bytesMax: number, mistakes: Mistake[]): Buffer | null {
  const { value, valueBase64 } = json
  if ((value === undefined) === (valueBase64 === undefined)) {
    const message = value === undefined ? 'lacks value or valueBase64' : 'has value and valueBase64: give one of them'
    mistakes.push(invalid(null, message))
    return null
  }
  const member = value === undefined ? 'valueBase64' : 'value'
  const text = json[member]
  if (typeof text !== 'string') {
    mistakes.push(invalid(member, 'must be a string'))
    return null
  }
  const encoded = member === 'value' ? wellFormed(text) : base64(text)
  if (!encoded.ok) {
    mistakes.push({ code: 'value-encoding', member, message: encoded.wrong })
    return null
  }
  const bytes = Buffer.from(text, member === 'value' ? 'utf8' : 'base64')
  if (bytes.length <= bytesMax) return bytes
  mistakes.push({
    code: 'value-too-large',
    member,
    message: `has ${bytes.length} bytes; at most ${bytesMax} are allowed`,
  })
  return null
}

/** The numbers are ignored. What is none is no record of a listing, so the line is not what its sender takes it for. */
function checkNumbers(json: Members, mistakes: Mistake[]): void {
  for (const name of ['createRevision', 'modRevision', 'version']) {
    const number = json[name]
    if (number === undefined || (Number.isSafeInteger(number) && Number(number) >= 0)) continue
    mistakes.push(invalid(name, 'must be a whole number'))
  }
}

function leaseIn({ lease = 0 }: Members, mistakes: Mistake[]): number {
  if (typeof lease === 'number' && (lease === 0 || isLeaseId(lease))) return lease
  mistakes.push(invalid('lease', 'must be the id of a lease, or 0 for none'))
  return 0
}

function invalid(member: string | null, message: string): Mistake {
  return { code: 'invalid-request', member, message }
}

/** Undefined when the text is not JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Mistakes of one kind have its code. */
function lineError({ number }: ImportLine, mistakes: readonly Mistake[], valueBytesMax = 0): RequestError {
  const [code = 'invalid-request', ...others] = new Set(mistakes.map((mistake) => mistake.code))
  const issues = mistakes.map(({ member, message }) => ({
    path: member === null ? `line/${number}` : `line/${number}/${member}`,
    message,
  }))
  const limit = code === 'value-too-large' && others.length === 0 ? { limitBytes: valueBytesMax } : {}
  return issuesError(others.length > 0 ? 'invalid-request' : code, issues, limit)
}
