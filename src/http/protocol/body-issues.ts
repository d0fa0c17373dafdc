import { bodyFormats } from './body-validation.ts'
import type { Issue } from './query.ts'

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

const types: Readonly<Record<string, string>> = {
  array: 'a list',
  boolean: 'true or false',
  integer: 'a whole number',
  object: 'an object',
  string: 'a string',
}

export function issueOf(mistake: BodyMistake): Issue {
  const { keyword, instancePath, params, parentSchema } = mistake
  const path = `body${instancePath}`
  if (keyword !== 'additionalProperties') return { path, message: describe(mistake) }
  const known = Object.keys((parentSchema?.['properties'] ?? {}) as object).join(', ')
  return { path: `${path}/${String(params['additionalProperty'])}`, message: `is unknown; expected ${known}` }
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
    case 'uniqueItems':
      return `has the same item at ${String(params['j'])} and at ${String(params['i'])}`
    case 'format':
      return describeFormat(String(params['format']), data, parentSchema) ?? message
    default:
      return message
  }
}

/** The format parser's message, followed by what is allowed: the title of the schema. */
function describeFormat(format: string, data: unknown, schema: BodyMistake['parentSchema']): string | null {
  const parsed = typeof data === 'string' ? bodyFormats[format]?.(data) : undefined
  if (parsed === undefined || parsed.ok) return null
  const [example] = (schema?.['examples'] ?? []) as readonly unknown[]
  return `${parsed.wrong}; expected ${String(schema?.['title'])}, such as ${String(example)}`
}
