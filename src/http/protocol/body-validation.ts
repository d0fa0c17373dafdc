import { memberOrigin, reachable } from '../../lib/host-port.ts'
import { isJsonObject } from '../../lib/json.ts'
import { right, wrong, type Parsed } from '../../lib/parsed.ts'
import { tokenSecret } from '../../lib/token-secret.ts'
import { keyFromText } from '../../kv/index.ts'
import { limits } from '../../limits.ts'

/** One mistake, and its place inside the value that the keyword looks at: `/1/raft`. */
interface Finding {
  readonly place: string
  readonly message: string
}

interface KeywordMistake {
  readonly keyword: string
  readonly instancePath: string
  readonly message: string
  readonly params: Record<string, never>
}

interface KeywordCheck {
  (names: unknown, data: unknown, schema: unknown, place: { readonly instancePath: string } | undefined): boolean
  errors?: KeywordMistake[]
}

/** String formats in the schemas of bodies. Addresses have the same notation as in flags. */
export const bodyFormats: Readonly<Record<string, (text: string) => Parsed<string>>> = {
  'raft-address': reachable,
  'api-address': memberOrigin,
  key,
  /** The empty prefix is every key. */
  'key-prefix': (text) => (text === '' ? right(text) : key(text)),
  text: wellFormed,
  'token-secret': tokenSecret,
  base64,
  owner: (text) => {
    if (!text.isWellFormed()) return wrong('has a lone surrogate, which UTF-8 cannot carry')
    const bytes = Buffer.byteLength(text)
    const most = limits.lock.ownerBytesMax
    return bytes <= most ? right(text) : wrong(`has ${bytes} bytes; at most ${most} are allowed`)
  },
}

function key(text: string): Parsed<string> {
  const outcome = keyFromText(text, limits.keyBytesMax)
  return outcome.kind === 'key' ? right(text) : wrong(`is no key: ${outcome.reason}`)
}

/** A value that is text. */
export function wellFormed(text: string): Parsed<string> {
  if (text.isWellFormed()) return right(text)
  return wrong('has a lone surrogate, which UTF-8 cannot carry: send bytes as valueBase64')
}

/** A value of any bytes. */
export function base64(text: string): Parsed<string> {
  return isBase64(text) ? right(text) : wrong('is not base64 (RFC 4648, 4: with + and /, padded with =)')
}

const NO_BASE64 = /[^A-Za-z0-9+/]/

function isBase64(text: string): boolean {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  return text.length % 4 === 0 && !NO_BASE64.test(padding === 0 ? text : text.slice(0, -padding))
}

/** The validator's options. The cost of `allErrors` is bounded by the number of values that a body may have (`jsonBodyValuesMax`). */
export const validatorOptions = {
  coerceTypes: false as const,
  removeAdditional: false as const,
  useDefaults: false as const,
  allErrors: true,
  // An object whose shape depends on one of its members is held against that shape alone.
  discriminator: true,
  // Report the schema and the value that broke it: the message is made from them.
  verbose: true,
  formats: Object.fromEntries(
    Object.entries(bodyFormats).map(([name, parse]) => [name, (text: string): boolean => parse(text).ok]),
  ),
  // Rules that no keyword of JSON Schema can express.
  keywords: [
    keyword('x-distinct', doublesIn),
    keyword('x-disjoint', sharedItemsIn),
    keyword('x-separate-listeners', sharedListenerOf),
    keyword('x-one-of', severalOf),
    keyword('x-range', mistakesOfRange),
  ],
}

function keyword(name: string, find: (names: readonly string[], data: unknown) => readonly Finding[]) {
  const validate: KeywordCheck = (names, data, _schema, place) => {
    const findings = find(Array.isArray(names) ? names : [], data)
    validate.errors = findings.map(({ place: inside, message }) => ({
      keyword: name,
      instancePath: `${place?.instancePath ?? ''}${inside}`,
      message,
      params: {},
    }))
    return findings.length === 0
  }
  return { keyword: name, errors: true as const, validate }
}

/** Items of a list that have the same value in one of the properties `names`. */
function doublesIn(names: readonly string[], data: unknown): Finding[] {
  if (!Array.isArray(data)) return []
  const findings: Finding[] = []
  const seen = new Map<string, Set<unknown>>(names.map((name) => [name, new Set()]))
  for (const [at, item] of data.entries()) {
    if (!isJsonObject(item)) continue
    for (const [name, values] of seen) {
      const value = item[name]
      if (values.has(value)) findings.push({ place: `/${at}/${name}`, message: 'is used twice' })
      else if (value !== undefined) values.add(value)
    }
  }
  return findings
}

/** Items of the first list that also occur in the second. */
function sharedItemsIn([first = '', second = '']: readonly string[], data: unknown): Finding[] {
  if (!isJsonObject(data)) return []
  const others: unknown = data[second]
  const items: unknown = data[first]
  if (!Array.isArray(items) || !Array.isArray(others)) return []
  const known = new Set<unknown>(others)
  return items.flatMap((item, at) =>
    known.has(item) ? [{ place: `/${first}/${at}`, message: `is also in ${second}` }] : [],
  )
}

/** Clients and peers speak different protocols, so a node cannot use one address for both. */
function sharedListenerOf(_names: readonly string[], data: unknown): Finding[] {
  if (!isJsonObject(data)) return []
  const { raft, api } = data
  if (typeof raft !== 'string' || (api !== `http://${raft}` && api !== `https://${raft}`)) return []
  return [{ place: '/api', message: 'is also the address in raft: clients and peers need different ones' }]
}

/** Exactly one of several members stands in an object. */
function severalOf(names: readonly string[], data: unknown): Finding[] {
  if (!isJsonObject(data)) return []
  const given = names.filter((name) => Object.hasOwn(data, name))
  if (given.length === 1) return []
  const message = given.length === 0 ? `lacks ${names.join(' or ')}` : `has ${given.join(' and ')}: give one of them`
  return [{ place: '', message }]
}

/**
 * The keys that an operation is about: those with a prefix, or from `start` to before `end`. One that may also be about one `key` changes
 * what it names, so it has to name something.
 */
function mistakesOfRange(names: readonly string[], data: unknown): Finding[] {
  if (!isJsonObject(data)) return []
  const given = names.filter((name) => Object.hasOwn(data, name))
  if (names.includes('key')) {
    if (given.length === 0) return [{ place: '', message: `names no keys: give ${names.join(', ')}` }]
    if (given.includes('key'))
      return given.length === 1 ? [] : [{ place: '/key', message: 'cannot be combined with a range' }]
    if (Object.hasOwn(data, 'prev')) return [{ place: '/prev', message: 'goes with key, not with a range' }]
    if (data['prefix'] === '') return [{ place: '/prefix', message: 'is empty, which would be every key' }]
  }
  if (given.includes('prefix')) {
    return given.length === 1 ? [] : [{ place: '/prefix', message: 'cannot be combined with start or end' }]
  }
  return isAbove(data['start'], data['end']) ? [{ place: '/start', message: 'is above end' }] : []
}

function isAbove(start: unknown, end: unknown): boolean {
  return (
    typeof start === 'string' && typeof end === 'string' && Buffer.compare(Buffer.from(start), Buffer.from(end)) > 0
  )
}

/** Whether a body holds at most `most` values, counting nested ones. */
export function holdsAtMost(body: unknown, most: number): boolean {
  const open: unknown[] = [body]
  let count = 1
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (typeof value !== 'object' || value === null) continue
    const inside: unknown[] = Object.values(value)
    count += inside.length
    if (count > most) return false
    open.push(...inside)
  }
  return true
}
