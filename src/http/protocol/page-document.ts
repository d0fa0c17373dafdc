/** Examples in the document stand beside the schema. */
interface Exemplified {
  example?: unknown
  examples?: Readonly<Record<string, { readonly value: unknown }>>
}

interface Parameter extends Exemplified {
  description?: string
  readonly schema?: { default?: unknown }
}

interface Operation {
  readonly operationId?: string
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: { readonly content: Readonly<Record<string, Exemplified>> }
}

interface Document {
  readonly paths?: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

/**
 * Changes the OpenAPI document into the one for the page at `/docs`. "Try it out" fills its fields from defaults and examples,
 * and sends whatever a field holds. In this document both are words for the reader. The body that forms a cluster names `self`,
 * the member that serves the page.
 */
export function forPage<Given extends Document>(document: Given, self: object): Given {
  for (const path of Object.values(document.paths ?? {})) {
    for (const { operationId, parameters = [], requestBody } of Object.values(path)) {
      for (const parameter of parameters) putIntoWords(parameter)
      const body = requestBody?.content['application/json']
      if (operationId === 'initializeCluster' && body !== undefined) body.example = { members: [self] }
    }
  }
  return document
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
