import type { ErrorCode, RequestError } from '../../lib/errors.ts'
import { bodyFormats } from './body-validation.ts'
import { issuesError, type Issue } from './query.ts'

/** One mistake in a body, as the validator reports it. `parentSchema`: the schema that contains the keyword. */
export interface BodyMistake {
  readonly keyword: string
  readonly instancePath: string
  readonly message?: string
  readonly params: Readonly<Record<string, unknown>>
  /** The value that was found. */
  readonly data?: unknown
  readonly parentSchema?: Readonly<Record<string, unknown>>
}

/** What the validator has found, when the route wants to look at it itself. */
export function mistakesIn(validation: { readonly validation?: unknown } | undefined): readonly BodyMistake[] {
  return (validation?.validation ?? []) as readonly BodyMistake[]
}

const types: Readonly<Record<string, string>> = {
  array: 'a list',
  boolean: 'true or false',
  integer: 'a whole number',
  object: 'an object',
  string: 'a string',
}

/** Formats whose mistakes have a code of their own, which is used when there are no mistakes of other kinds. */
const codes: Readonly<Record<string, ErrorCode>> = {
  key: 'invalid-key',
  'key-prefix': 'invalid-key',
  text: 'value-encoding',
  base64: 'value-encoding',
}

/** The failure of a request with these mistakes in its body, and `further` ones that were found otherwise. At least one in all. */
export function bodyError(mistakes: readonly BodyMistake[], further: readonly Issue[] = []): RequestError {
  const [code = 'invalid-request', ...others] = new Set([
    ...mistakes.map(codeOf),
    ...further.map(() => 'invalid-request' as const),
  ])
  return issuesError(others.length > 0 ? 'invalid-request' : code, [...mistakes.map(issueOf), ...further])
}

function codeOf({ keyword, params }: BodyMistake): ErrorCode {
  return (keyword === 'format' ? codes[String(params['format'])] : undefined) ?? 'invalid-request'
}

function issueOf(mistake: BodyMistake): Issue {
  const { keyword, instancePath, params, parentSchema } = mistake
  const path = `body${instancePath}`
  if (keyword === 'discriminator') return { path: `${path}/${String(params['tag'])}`, message: describeTag(mistake) }
  if (keyword !== 'additionalProperties') return { path, message: describe(mistake) }
  const known = Object.keys(propertiesOf(parentSchema)).join(', ')
  return { path: `${path}/${String(params['additionalProperty'])}`, message: `is unknown; expected ${known}` }
}

/** The member decides which of several schemas an object has to match. */
function describeTag({ params, parentSchema }: BodyMistake): string {
  const tag = String(params['tag'])
  const alternatives = (parentSchema?.['oneOf'] ?? []) as readonly BodyMistake['parentSchema'][]
  const values = alternatives.flatMap((one) => {
    const { const: only, enum: several = [only] } = propertiesOf(one)[tag] ?? {}
    return several
  })
  return `must be one of ${values.join(', ')}`
}

interface Values {
  readonly const?: unknown
  readonly enum?: readonly unknown[]
}

function propertiesOf(schema: BodyMistake['parentSchema']): Readonly<Record<string, Values>> {
  return (schema?.['properties'] ?? {}) as Readonly<Record<string, Values>>
}

/** Describes the mistake in words that follow the path. The validator's own texts speak of keywords and regular expressions. */
function describe({ keyword, message = 'is invalid', params, parentSchema, data }: BodyMistake): string {
  switch (keyword) {
    case 'type':
      return `must be ${types[String(params['type'])] ?? String(params['type'])}`
    case 'required':
      return `lacks ${String(params['missingProperty'])}`
    case 'minimum':
      return `must be at least ${String(params['limit'])}`
    case 'maximum':
      return `must be at most ${String(params['limit'])}`
    case 'minItems':
      return params['limit'] === 1 ? 'must not be empty' : `must have at least ${String(params['limit'])} items`
    case 'maxItems':
      return `must have at most ${String(params['limit'])} items`
    case 'minProperties':
    case 'maxProperties':
      return `must have exactly one of ${Object.keys(propertiesOf(parentSchema)).join(', ')}`
    case 'enum':
      return `must be one of ${(params['allowedValues'] as readonly unknown[]).join(', ')}`
    case 'uniqueItems':
      return `has the same item at ${String(params['j'])} and at ${String(params['i'])}`
    case 'format':
      return describeFormat(String(params['format']), data, parentSchema) ?? message
    default:
      return message
  }
}

/** The format parser's message, followed by what is allowed: the title of the schema, if it has one. */
function describeFormat(format: string, data: unknown, schema: BodyMistake['parentSchema']): string | null {
  const parsed = typeof data === 'string' ? bodyFormats[format]?.(data) : undefined
  if (parsed === undefined || parsed.ok) return null
  const { title, examples } = schema ?? {}
  if (typeof title !== 'string') return parsed.wrong
  const [example] = (examples ?? []) as readonly unknown[]
  return `${parsed.wrong}; expected ${title}, such as ${String(example)}`
}
