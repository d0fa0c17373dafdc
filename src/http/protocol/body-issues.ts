import type { Issue } from './query.ts'

/** What the validator says is wrong with a body. `parentSchema`: the schema that has the keyword. */
export interface BodyMistake {
  readonly keyword: string
  readonly instancePath: string
  readonly message?: string
  readonly params: Readonly<Record<string, unknown>>
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
  return { path: `${path}/${String(params['additionalProperty'])}`, message: `is unknown; known here: ${known}` }
}

/** In words that follow the path. The validator's own speak of keywords and regular expressions. */
function describe({ keyword, message = 'is invalid', params, parentSchema }: BodyMistake): string {
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
      return `has the same at ${String(params['j'])} and at ${String(params['i'])}`
    case 'pattern':
      return describeNotation(parentSchema) ?? message
    default:
      return message
  }
}

/** A schema with a pattern has the notation for people as its title. */
function describeNotation(schema: BodyMistake['parentSchema']): string | null {
  const title = schema?.['title']
  if (typeof title !== 'string') return null
  const examples = schema?.['examples']
  return Array.isArray(examples) ? `must be ${title}, such as ${String(examples[0])}` : `must be ${title}`
}
