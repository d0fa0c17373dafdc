import { NDJSON_TYPE } from './answer.ts'

const LINES = '{"key":"app/1","value":"one"}\n{"key":"app/2","valueBase64":"AP8="}\n'

/** Examples in the document stand beside the schema. */
interface Exemplified {
  example?: unknown
  schema?: unknown
  examples?: Readonly<Record<string, { readonly value: unknown }>>
}

interface Parameter extends Exemplified {
  description?: string
  schema?: { default?: unknown }
}

interface Operation {
  readonly operationId?: string
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: { readonly content: Record<string, Exemplified> }
}

interface Document {
  readonly paths?: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

/**
 * Changes the OpenAPI document into the one for the page at `/docs`. "Try it out" fills its fields from defaults and examples,
 * and sends whatever a field holds. In this document both are words for the reader. The body that forms a cluster names `self`,
 * the member that serves the page, if that may be told.
 */
export function forPage<Given extends Document>(document: Given, self: object | null): Given {
  for (const path of Object.values(document.paths ?? {})) {
    for (const { operationId, parameters = [], requestBody } of Object.values(path)) {
      for (const parameter of parameters) putIntoWords(parameter)
      const body = requestBody?.content['application/json']
      if (operationId === 'initializeCluster' && body !== undefined && self !== null) body.example = { members: [self] }
      if (operationId === 'importRecords' && requestBody !== undefined) offerLines(requestBody.content)
    }
  }
  return document
}

/**
 * The page would spread a record over several lines, because it takes every type with `json` in its name for JSON. Types are the same in upper
 * case, but not for the page, which leaves the text alone then.
 */
function offerLines(content: Record<string, Exemplified>): void {
  delete content[NDJSON_TYPE]
  content[NDJSON_TYPE.replace('json', 'JSON')] = { schema: { type: 'string' }, example: LINES }
}

function putIntoWords(parameter: Parameter): void {
  const { description = '', schema = {}, example, examples = {} } = parameter
  const words = [description]
  if (schema.default !== undefined) words.push(`Default: ${inCode(schema.default)}.`)
  const values = example === undefined ? Object.values(examples).map(({ value }) => value) : [example]
  if (values.length > 0) words.push(`For example ${values.map(inCode).join(', ')}.`)
  parameter.description = words.join(' ')
  delete schema.default
  delete parameter.example
  delete parameter.examples
}

function inCode(value: unknown): string {
  return `\`${String(value)}\``
}
