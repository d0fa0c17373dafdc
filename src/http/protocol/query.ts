import type { TSchema } from 'typebox'
import { RequestError, type ErrorCode, type ErrorFacts } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'

/** One parameter of a query string: its parser, its value when absent, and its documentation. */
export interface Parameter<T> {
  /** Throws a `ParameterError` that says what is allowed. */
  readonly parse: (text: string) => T
  readonly absent: T
  readonly schema: TSchema
  /** For the OpenAPI document: the route refuses a request without it. */
  readonly required?: true
}

/** The parameters that a route takes; any other is refused. */
export type QuerySpec = Readonly<Record<string, Parameter<unknown>>>

export type Query<Spec extends QuerySpec> = {
  readonly [Name in keyof Spec]: Spec[Name] extends Parameter<infer T> ? T : never
}

/** A mistake in the text of a parameter, in words that follow its name: "must be ...". */
export class ParameterError extends Error {
  override readonly name = 'ParameterError'
}

/** One mistake in a request. `path` says where, such as `query/limit`, `header/if-match`, `body/members/0/id`. */
export interface Issue {
  readonly path: string
  readonly message: string
}

/** At least one issue. Those beyond `issuesMax` are only counted. */
export function invalidRequest(...found: readonly Issue[]): RequestError {
  return issuesError('invalid-request', found)
}

/** The same under a code that says more. */
export function issuesError(code: ErrorCode, found: readonly Issue[], facts: ErrorFacts = {}): RequestError {
  const issues = found.slice(0, limits.issuesMax)
  const words = issues.map(({ path, message }) => `${path} ${message}`)
  if (issues.length < found.length) words.push(`and ${found.length - issues.length} more`)
  return new RequestError(code, words.join('; '), { ...facts, issues })
}

export function invalidQuery(name: string, message: string): RequestError {
  return invalidRequest({ path: `query/${name}`, message })
}

/** The raw query string, where Fastify usually keeps the parsed one. Each route reads it itself. */
export interface QueryText {
  readonly text: string
  readonly [name: string]: unknown
}

const NO_QUERY: QueryText = Object.freeze({ text: '' })

export function keepQueryText(text: string): QueryText {
  return text.length === 0 ? NO_QUERY : { text }
}

export type RawQuery = ReadonlyMap<string, string>

const NO_PARAMETERS: RawQuery = new Map()

/** Names and values, decoded. A name given twice is refused, and so is percent-encoding that is not UTF-8. */
export function splitQuery(text: string): RawQuery {
  if (text.length === 0) return NO_PARAMETERS
  const values = new Map<string, string>()
  for (const part of text.split('&')) {
    if (part.length === 0) continue
    const equals = part.indexOf('=')
    const name = decodePart(equals < 0 ? part : part.slice(0, equals))
    if (values.has(name)) throw invalidQuery(name, 'is given twice')
    values.set(name, equals < 0 ? '' : decodePart(part.slice(equals + 1)))
  }
  return values
}

const UNENCODED = /[^\x21-\x7e]/

function decodePart(text: string): string {
  if (UNENCODED.test(text)) throw invalidQueryText(text)
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw invalidQueryText(text)
  }
}

function invalidQueryText(text: string): RequestError {
  const message = `holds ${JSON.stringify(text.slice(0, 100))}, which is not percent-encoded UTF-8`
  return invalidRequest({ path: 'query', message })
}

/** Reads parameters by `spec`. All requests without a query string share one frozen object, so the common case costs nothing. */
export class QueryReader<Spec extends QuerySpec> {
  readonly spec: Spec
  private readonly absent: Query<Spec>

  constructor(spec: Spec) {
    this.spec = spec
    const absent = Object.entries(spec).map(([name, parameter]) => [name, parameter.absent])
    this.absent = Object.freeze(Object.fromEntries(absent)) as Query<Spec>
  }

  read(text: string): Query<Spec> {
    return text.length === 0 ? this.absent : this.from(splitQuery(text))
  }

  from(values: RawQuery): Query<Spec> {
    if (values.size === 0) return this.absent
    const query: Record<string, unknown> = { ...this.absent }
    const issues: Issue[] = []
    for (const [name, text] of values) {
      const path = `query/${name}`
      const parameter = Object.hasOwn(this.spec, name) ? this.spec[name] : undefined
      if (parameter === undefined) issues.push({ path, message: `is unknown; expected ${this.names()}` })
      else {
        const outcome = parse(text, parameter)
        if (outcome instanceof ParameterError) issues.push({ path, message: outcome.message })
        else query[name] = outcome
      }
    }
    if (issues.length > 0) throw invalidRequest(...issues)
    return query as Query<Spec>
  }

  private names(): string {
    const names = Object.keys(this.spec)
    return names.length === 0 ? 'none' : names.join(', ')
  }
}

function parse(text: string, parameter: Parameter<unknown>): unknown {
  try {
    return parameter.parse(text)
  } catch (error) {
    if (error instanceof ParameterError) return error
    throw error
  }
}
