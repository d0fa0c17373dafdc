import { Type, type TSchema } from 'typebox'
import type { FastifySchema } from 'fastify'
import { idempotencyKey, ImportRecord } from '../../api/keys.ts'
import { ref } from '../../api/schema.ts'
import type { Need } from '../../kv/index.ts'
import { failures, type ErrorCode } from '../../lib/errors.ts'
import { NDJSON_TYPE } from './answer.ts'
import { CHALLENGE, mustSayWhenToRetry, PROBLEM_MEDIA_TYPE } from './problem.ts'
import type { QuerySpec } from './query.ts'

/** One kind of answer of an operation. */
export interface AnswerDoc {
  readonly description: string
  readonly headers?: Readonly<Record<string, TSchema>>
  /** By media type; absent: no body. */
  readonly content?: Readonly<Record<string, TSchema>>
}

/** An answer in JSON. */
export function jsonAnswer(description: string, schema: TSchema): AnswerDoc {
  return { description, content: { 'application/json': schema } }
}

/** Errors of a request with a body: it comes from a page of another site, or the body is not JSON, not valid, or too large. */
export const bodyErrors: readonly ErrorCode[] = ['forbidden', 'unsupported-media-type', 'request-too-large']

/** A body in JSON. */
export interface JsonBody {
  readonly schema: TSchema
  readonly required: boolean
  /** How many bytes it has at most; absent: `jsonBodyBytesMax`. */
  readonly bytesMax?: number
  /** How many values, nested ones included; absent: `jsonBodyValuesMax`. */
  readonly valuesMax?: number
}

/**
 * Who may use a route, once there are tokens. `open`: everybody. `token`: whoever has one. `keys`: whoever may read or write the keys that the
 * request names. Otherwise a token that may do all of `needs`: `isConfirmed`, as a leader confirms it; if not, as this node knows it.
 */
export type OperationAccess =
  'open' | 'token' | 'keys' | { readonly needs: readonly Need[]; readonly isConfirmed: boolean }

export const CLUSTER_READ: OperationAccess = { needs: [{ right: 'cluster:read' }], isConfirmed: false }
export const CLUSTER_ADMIN: OperationAccess = { needs: [{ right: 'cluster:admin' }], isConfirmed: true }
/** For what has to work without a leader as well. */
export const CLUSTER_ADMIN_HERE: OperationAccess = { needs: [{ right: 'cluster:admin' }], isConfirmed: false }
export const AUTH_ADMIN: OperationAccess = { needs: [{ right: 'auth:admin' }], isConfirmed: true }

/**
 * The parameters and answers of a route, for the OpenAPI document. Fastify itself validates only JSON bodies, by the same
 * schema. Paths, query strings and headers are read by the code that this describes, so hot routes pay for nothing else.
 */
export interface Operation {
  readonly id: string
  readonly tag: 'keys' | 'leases' | 'cluster' | 'auth' | 'operating'
  readonly access: OperationAccess
  /** Each request is told of in the log, though it changes nothing, or needs no right. */
  readonly isAudited?: true
  readonly summary: string
  readonly description?: string
  readonly path?: Readonly<Record<string, TSchema>>
  readonly query?: QuerySpec
  readonly headers?: Readonly<Record<string, TSchema>>
  /** Of a write under whose `Idempotency-Key` a first answer is kept: what a retry gets and does, as sentences of the document. */
  readonly retried?: string
  /** Of any other write: what happens when it is sent again, as a sentence of the document. */
  readonly sentAgain?: string
  /** `value`: the bytes of a value, of any media type. `records`: records, a line each. */
  readonly body?: JsonBody | 'value' | 'records'
  readonly answers: Readonly<Record<number, AnswerDoc>>
  /** Errors in addition to those of every operation. */
  readonly errors: readonly ErrorCode[]
  /** It waits for others as long as it takes, for example for a member that catches up. So it is never called slow. */
  readonly isPatient?: true
  /** Failures that are answered with something other than a problem document, by status and media type. */
  readonly failures?: Readonly<Record<number, Readonly<Record<string, TSchema>>>>
}

declare module 'fastify' {
  interface FastifyContextConfig {
    operation?: Operation
  }
}

/** Whether it reads or writes data: its answers tell in headers what they reflect, and who gave them. */
export function isOfData({ answers }: Operation): boolean {
  return Object.values(answers).some(({ headers = {} }) => 'Quorate-Served-By' in headers)
}

/** Errors that any request may get. */
const commonErrors: readonly ErrorCode[] = [
  'invalid-request',
  'https-required',
  'request-timeout',
  'overloaded',
  'header-too-large',
  'not-implemented',
  'internal',
]

/** Errors of a request for which a token is needed. This node may have to catch up before it can tell, or may no longer be able to. */
const tokenErrors: readonly ErrorCode[] = [
  'unauthenticated',
  'rate-limited',
  'read-timeout',
  'removed',
  'shutting-down',
]

function accessErrors(access: OperationAccess): readonly ErrorCode[] {
  if (access === 'open') return []
  return access === 'token' ? tokenErrors : [...tokenErrors, 'forbidden']
}

/** The operation in the form that @fastify/swagger translates. */
export function documentationOf(operation: Operation): FastifySchema {
  const { id, tag, access, summary, description, path, query, body } = operation
  const headers = headersOf(operation)
  return {
    operationId: id,
    tags: [tag],
    // An empty requirement beside it: without tokens in the cluster none is needed.
    security: access === 'open' ? [] : [{ token: [] }, {}],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(path === undefined ? {} : { params: Type.Object(path) }),
    ...(query === undefined ? {} : { querystring: Type.Object(querySchemas(query)) }),
    ...(headers === undefined ? {} : { headers: Type.Object(optional(headers)) }),
    ...(body === undefined ? {} : { body: bodySchema(body) }),
    response: { ...answerSchemas(operation), ...errorSchemas(operation) },
  }
}

function headersOf({ headers, retried, sentAgain }: Operation): Operation['headers'] {
  const named = (description: string) => ({ ...headers, 'Idempotency-Key': idempotencyKey(description) })
  if (retried !== undefined)
    return named(`Names this write: the same request under the same name is a retry of it, on every node. ${retried}`)
  if (sentAgain === undefined) return headers
  return named(
    `It must be well-formed, as on every write, and changes nothing: no first answer is kept under it. ${sentAgain}`,
  )
}

function optional(schemas: Readonly<Record<string, TSchema>>): Record<string, TSchema> {
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, Type.Optional(schema)]))
}

function querySchemas(query: QuerySpec): Record<string, TSchema> {
  return Object.fromEntries(
    Object.entries(query).map(([name, { schema, required }]) => [
      name,
      required === true ? schema : Type.Optional(schema),
    ]),
  )
}

/** The first media type is the one that the page at `/docs` offers for typing. */
const valueBodies = {
  'text/plain': Type.String({ description: 'The value, in UTF-8.', examples: ['hello'] }),
  'application/octet-stream': Type.Unsafe({ type: 'string', format: 'binary', description: 'The bytes of the value.' }),
  '*/*': Type.Unsafe({ description: 'The bytes of the value, which is stored without its type.' }),
}

const recordBodies = { [NDJSON_TYPE]: ref(ImportRecord) }

function bodySchema(body: NonNullable<Operation['body']>): unknown {
  if (body === 'value') return contentOf(valueBodies)
  return body === 'records' ? contentOf(recordBodies) : body.schema
}

function contentOf(content: Readonly<Record<string, TSchema>>): { content: Record<string, { schema: TSchema }> } {
  return { content: Object.fromEntries(Object.entries(content).map(([type, schema]) => [type, { schema }])) }
}

function answerSchemas({ answers }: Operation): Record<string, unknown> {
  const schemas: Record<string, unknown> = {}
  for (const [status, { description, headers, content }] of Object.entries(answers)) {
    schemas[status] = {
      description,
      ...(headers === undefined ? {} : { headers }),
      ...(content === undefined ? { type: 'null' } : contentOf(content)),
    }
  }
  return schemas
}

/** One answer for each status, which lists its error codes. */
function errorSchemas({ access, errors, failures: others = {} }: Operation): Record<string, unknown> {
  const codesOf = new Map<number, ErrorCode[]>()
  for (const code of new Set([...commonErrors, ...accessErrors(access), ...errors])) {
    const { status } = failures[code]
    codesOf.set(status, [...(codesOf.get(status) ?? []), code])
  }
  return Object.fromEntries(
    [...codesOf].map(([status, grouped]) => [String(status), errorSchema(status, grouped, others[status] ?? {})]),
  )
}

function errorSchema(status: number, codes: readonly ErrorCode[], others: Readonly<Record<string, TSchema>>): unknown {
  const code = Type.Unsafe<ErrorCode>({ type: 'string', enum: [...codes] })
  return {
    description: codes.map((name) => `\`${name}\`: ${failures[name].title}`).join('; '),
    ...headersOfError(status),
    ...contentOf({ [PROBLEM_MEDIA_TYPE]: Type.Intersect([Type.Ref('Problem'), Type.Object({ code })]), ...others }),
  }
}

function headersOfError(status: number): { readonly headers?: Readonly<Record<string, TSchema>> } {
  if (status === failures.unauthenticated.status)
    return { headers: { 'WWW-Authenticate': Type.String({ examples: [CHALLENGE] }) } }
  return mustSayWhenToRetry(status) ? { headers: { 'Retry-After': Type.Integer({ description: 'Seconds.' }) } } : {}
}

export function takesOptionalBody({ body }: Operation): boolean {
  return body !== undefined && (typeof body === 'string' || !body.required)
}
