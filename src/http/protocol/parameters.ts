import { Type, type TSchema } from 'typebox'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import { describeDuration, msPer } from '../../lib/duration.ts'
import { keyFromText, type Key } from '../../kv/index.ts'
import { ParameterError, splitQuery, type Parameter, type QueryText } from './query.ts'

/** `?name=true` or `?name=false`; absent is false. */
export function flag(description: string): Parameter<boolean> {
  return {
    absent: false,
    schema: Type.Boolean({ default: false, description }),
    parse(text) {
      if (text === 'true') return true
      if (text === 'false') return false
      throw new ParameterError('must be true or false')
    },
  }
}

/** The same, but the bare name also means true, as operators type it: `?verbose`. */
export function bareFlag(description: string): Parameter<boolean> {
  const { parse, ...rest } = flag(description)
  return { ...rest, parse: (text) => text === '' || parse(text) }
}

export function oneOf<const Name extends string>(
  names: readonly Name[],
  absent: Name,
  description: string,
): Parameter<Name> {
  return {
    absent,
    schema: Type.Unsafe<Name>({ type: 'string', enum: [...names], default: absent, description }),
    parse(text) {
      const found = names.find((name) => name === text)
      if (found === undefined) throw new ParameterError(`must be one of ${names.join(', ')}`)
      return found
    },
  }
}

const INTEGER = /^(0|[1-9][0-9]*)$/

function integerIn(text: string, least: number, most: number): number {
  const value = INTEGER.test(text) ? Number(text) : Number.NaN
  if (value >= least && value <= most) return value
  throw new ParameterError(`must be a whole number from ${least} to ${most}`)
}

export function integer(least: number, most: number, absent: number, description: string): Parameter<number> {
  return {
    absent,
    schema: Type.Integer({ minimum: least, maximum: most, default: absent, description }),
    parse: (text) => integerIn(text, least, most),
  }
}

export function optionalInteger(least: number, description: string): Parameter<number | null> {
  return {
    absent: null,
    schema: Type.Integer({ minimum: least, maximum: Number.MAX_SAFE_INTEGER, description }),
    parse: (text) => integerIn(text, least, Number.MAX_SAFE_INTEGER),
  }
}

const DURATION = /^([0-9]{1,15}(?:\.[0-9]{1,6})?)(ms|s|m|h)?$/

function durationIn(text: string, leastMs: number, mostMs: number): number {
  const [, amount, unit = 's'] = DURATION.exec(text) ?? []
  const ms = Math.round(Number(amount) * msPer(unit))
  if (ms >= leastMs && ms <= mostMs) return ms
  throw new ParameterError(
    `must be a duration (a number followed by ms, s, m or h, or of seconds without a unit) from ${describeDuration(leastMs)} to ${describeDuration(mostMs)}`,
  )
}

function durationSchema(absentMs: number | null, description: string): TSchema {
  // Each is taken by every parameter that is a duration.
  const example = { pattern: DURATION.source, examples: ['2500ms', '30s', '0.5m', '10'] }
  return Type.String({ ...example, ...(absentMs === null ? {} : { default: `${absentMs}ms` }), description })
}

export function optionalDuration(mostMs: number, description: string, leastMs = 0): Parameter<number | null> {
  return { absent: null, schema: durationSchema(null, description), parse: (text) => durationIn(text, leastMs, mostMs) }
}

/** The deadline of a request. Every route that waits for something takes it. */
export const timeout: Parameter<number> = {
  absent: limits.requestTimeoutMsDefault,
  schema: durationSchema(
    limits.requestTimeoutMsDefault,
    `How long the request may take: \`500ms\`, \`30s\`, \`1m\` or plain seconds, at most ${limits.requestTimeoutMsMax / 1000} s.`,
  ),
  parse: (text) => durationIn(text, 1, limits.requestTimeoutMsMax),
}

/**
 * The deadline in a query string, in milliseconds, for what happens before the route reads it. Where it cannot be read, the default: the route
 * says what is wrong with it, to a client that may ask.
 */
export function timeoutIn({ text }: QueryText): number {
  if (!text.includes('timeout=')) return timeout.absent
  try {
    const given = splitQuery(text).get('timeout')
    return given === undefined ? timeout.absent : timeout.parse(given)
  } catch {
    return timeout.absent
  }
}

/** For operations that need the leader. */
export const redirect = flag('Answer `307` with the address of the leader instead of forwarding to it.')

/** A client's key, or the failure that says what is wrong with it. */
export function requireKey(text: string): Key {
  const outcome = keyFromText(text, limits.keyBytesMax)
  if (outcome.kind === 'key') return outcome.key
  throw new RequestError('invalid-key', outcome.reason)
}

export function optionalKey(description: string): Parameter<Key | null> {
  return {
    absent: null,
    schema: Type.String({ minLength: 1, maxLength: limits.keyBytesMax, description }),
    parse: requireKey,
  }
}

export function optionalText(description: string): Parameter<string | null> {
  return { absent: null, schema: Type.String({ description }), parse: (text) => text }
}

/** Names separated by commas. */
export function names(description: string): Parameter<readonly string[]> {
  return {
    absent: [],
    schema: Type.String({ description, examples: ['leader,applied'] }),
    parse: (text) => text.split(',').filter((name) => name.length > 0),
  }
}
