import { memberOrigin, reachable } from '../../lib/host-port.ts'
import type { Parsed } from '../../lib/parsed.ts'

/** What is wrong at a place inside of what a keyword looks at: `/1/raft`. */
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

type Json = Readonly<Record<string, unknown>>

/** Formats of the schemas of bodies: the notation of addresses is the one that flags have. */
export const bodyFormats: Readonly<Record<string, (text: string) => Parsed<string>>> = {
  'raft-address': reachable,
  'api-address': memberOrigin,
}

/** The validator's options. `allErrors` costs no more than the values that a body may have (`jsonBodyValuesMax`). */
export const validatorOptions = {
  coerceTypes: false as const,
  removeAdditional: false as const,
  useDefaults: false as const,
  allErrors: true,
  // With the schema that was broken and with what broke it, from which the message is made.
  verbose: true,
  formats: Object.fromEntries(
    Object.entries(bodyFormats).map(([name, parse]) => [name, (text: string): boolean => parse(text).ok]),
  ),
  // For what no keyword of JSON Schema can say.
  keywords: [
    keyword('x-distinct', doublesIn),
    keyword('x-disjoint', sharedItemsIn),
    keyword('x-separate-listeners', sharedListenerOf),
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

/** Items of a list that have the same under one of `names`. */
function doublesIn(names: readonly string[], data: unknown): Finding[] {
  if (!Array.isArray(data)) return []
  const findings: Finding[] = []
  const seen = new Map<string, Set<unknown>>(names.map((name) => [name, new Set()]))
  for (const [at, item] of data.entries()) {
    if (!isObject(item)) continue
    for (const [name, values] of seen) {
      const value = item[name]
      if (values.has(value)) findings.push({ place: `/${at}/${name}`, message: 'is used twice' })
      else if (value !== undefined) values.add(value)
    }
  }
  return findings
}

/** Items of the first list that are in the second as well. */
function sharedItemsIn([first = '', second = '']: readonly string[], data: unknown): Finding[] {
  if (!isObject(data)) return []
  const others: unknown = data[second]
  const items: unknown = data[first]
  if (!Array.isArray(items) || !Array.isArray(others)) return []
  const known = new Set<unknown>(others)
  return items.flatMap((item, at) =>
    known.has(item) ? [{ place: `/${first}/${at}`, message: `is in ${second} as well` }] : [],
  )
}

/** Clients and peers speak different protocols, so no node has one address for both. */
function sharedListenerOf(_names: readonly string[], data: unknown): Finding[] {
  if (!isObject(data)) return []
  const { raft, api } = data
  if (typeof raft !== 'string' || (api !== `http://${raft}` && api !== `https://${raft}`)) return []
  return [{ place: '/api', message: 'is the address in raft as well: clients and peers need one each' }]
}

function isObject(json: unknown): json is Json {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}

/** Whether a body holds at most `most` values, those inside of others included. */
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
