import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import { Compile } from 'typebox/schema'
import { buildApp } from '../../src/http/app.ts'
import type { AuditLine } from '../../src/http/protocol/audit.ts'
import type { FailedRequest } from '../../src/http/protocol/failures.ts'
import type { ApiServerOptions } from '../../src/http/protocol/api-server.ts'
import type { ConnectionsOptions } from '../../src/http/protocol/connections.ts'
import type { ImportOptions } from '../../src/http/ranges/import-requests.ts'
import type { WatchStreamsOptions } from '../../src/http/watches/watch-streams.ts'
import type { SlowLog } from '../../src/lib/slow-log.ts'
import type { TlsSource } from '../../src/tls/identity.ts'
import type { MemoryKeysOptions } from './memory-keys.ts'
import { memoryServices, type MemoryServices } from './memory-services.ts'

type Json = Readonly<Record<string, unknown>>

interface ResponseDoc {
  readonly headers?: Readonly<Record<string, { readonly schema: Json }>>
  readonly content?: Readonly<Record<string, { readonly schema: Json }>>
}

export interface OperationDoc {
  readonly operationId: string
  readonly summary: string
  readonly tags: readonly string[]
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly description?: string }[]
  readonly requestBody?: { readonly required: boolean; readonly content?: Readonly<Record<string, unknown>> }
  readonly responses: Readonly<Record<string, ResponseDoc>>
}

export interface Document {
  readonly openapi: string
  readonly info: { readonly version: string }
  readonly paths: Readonly<Record<string, Readonly<Record<string, OperationDoc>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Json>> }
}

export interface ApiRequest extends InjectOptions {
  readonly url: string
}

/** The HTTP front over services in memory. Every answer that passes through `inject` is checked against the OpenAPI document. */
export interface CheckedApi {
  readonly app: FastifyInstance
  readonly services: MemoryServices
  readonly document: Document
  /** Failures that were reported as bugs of the node. */
  readonly unexpected: unknown[]
  /** The requests that met them. */
  readonly blamed: FailedRequest[]
  readonly fatal: Error[]
  /** Reports about refused connections. */
  readonly refused: (number | Error)[]
  /** Reports about clients of another protocol, or with whom TLS failed. */
  readonly mistaken: string[]
  /** Lines of the audit. */
  readonly audited: AuditLine[]
  readonly inject: (request: ApiRequest | string) => Promise<LightMyRequestResponse>
}

export interface CheckedApiOptions {
  readonly valueBytesMax?: number
  readonly machine?: MemoryKeysOptions
  readonly now?: () => number
  readonly server?: Partial<ApiServerOptions>
  readonly connections?: Partial<ConnectionsOptions>
  readonly imports?: Partial<ImportOptions>
  readonly answerBytesMax?: number
  readonly bodyBytesMax?: number
  readonly origins?: readonly string[]
  readonly watches?: Partial<WatchStreamsOptions>
  readonly tls?: TlsSource
  readonly slow?: SlowLog
  /** Whether failures are reported with the spans of their requests. */
  readonly wantsSpans?: boolean
  readonly bootstrapSecret?: () => Promise<string | null>
  /** May add to the app what a test needs on all its routes. */
  readonly beforeReady?: (app: FastifyInstance) => void
}

interface Test {
  readonly teardown: (close: () => Promise<unknown>) => void
}

export async function openCheckedApi(t: Test, options: CheckedApiOptions = {}): Promise<CheckedApi> {
  const services = memoryServices(options.valueBytesMax, options.machine)
  const unexpected: unknown[] = []
  const blamed: FailedRequest[] = []
  const fatal: Error[] = []
  const refused: (number | Error)[] = []
  const mistaken: string[] = []
  const audited: AuditLine[] = []
  const app = buildApp(
    {
      now: options.now ?? (() => performance.now()),
      server: options.server ?? {},
      connections: options.connections ?? {},
      imports: options.imports ?? {},
      onConnectionsRefused: (reason) => refused.push(reason),
      onClientMistaken: (detail) => mistaken.push(detail),
      tls: options.tls ?? null,
      slow: options.slow ?? null,
      origins: options.origins ?? [],
      onAudit: (line) => audited.push(line),
      wall: () => services.auth.wall(),
      bootstrapSecret: options.bootstrapSecret ?? (async () => null),
      watches: options.watches ?? {},
      ...(options.answerBytesMax === undefined ? {} : { answerBytesMax: options.answerBytesMax }),
      ...(options.bodyBytesMax === undefined ? {} : { bodyBytesMax: options.bodyBytesMax }),
      onUnexpected: (error, request, span) => {
        unexpected.push(options.wantsSpans === true ? { error, span } : error)
        blamed.push(request)
      },
      onFatal: (error) => fatal.push(error),
    },
    services,
  )
  t.teardown(() => app.close())
  options.beforeReady?.(app)
  const document = (await app.inject('/openapi.json')).json<Document>()
  const check = answerChecker(document)
  const inject = async (given: ApiRequest | string): Promise<LightMyRequestResponse> => {
    const request = typeof given === 'string' ? { url: given } : given
    const response = await app.inject(request)
    const method = request.method ?? 'GET'
    const path = request.url.replace(/\?.*$/s, '')
    const wrong = check(method, path, response) ?? unnamedServer(operationOf(document, method, path), response)
    if (wrong !== null) {
      throw new Error(`${method} ${request.url} is not as documented: ${wrong}\n${response.body.slice(0, 500)}`)
    }
    return response
  }
  return { app, services, document, unexpected, blamed, fatal, refused, mistaken, audited, inject }
}

/** Every answer to a request for data names who gave it, unless the client is not known. */
function unnamedServer(operation: OperationDoc | null, { statusCode, headers }: Answer): string | null {
  const name = 'Quorate-Served-By'
  const isOfData = Object.values(operation?.responses ?? {}).some((documented) => name in (documented.headers ?? {}))
  if (!isOfData || [307, 401, 405].includes(statusCode)) return null
  return headers[name.toLowerCase()] === undefined ? `no ${name}` : null
}

/** The parts of an answer that are checked. */
export interface Answer {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string | string[] | number | undefined>>
  readonly body: string
}

type Check = (method: string, path: string, response: Answer) => string | null

/** Quorate's own headers: if an answer has one, it must be documented. */
const OWN_HEADER = /^(quorate-|etag$|location$|retry-after$)/

/** Returns what in an answer differs from the document. */
export function answerChecker(document: Document): Check {
  const validate = schemaValidator(document)
  return (method, path, response) => {
    const { statusCode } = response
    if (statusCode >= 400 && method !== 'HEAD' && !isPlainByChoice(path, response)) {
      const wrong = checkProblem(response, validate)
      if (wrong !== null) return wrong
    }
    const operation = operationOf(document, method, path)
    // A request that matches no operation can only fail because of its route or its method.
    if (operation === null)
      return [404, 405, 400].includes(statusCode) ? null : `status ${statusCode} without an operation`
    const documented = operation.responses[String(statusCode)]
    if (documented === undefined) return statusCode === 405 ? null : `status ${statusCode} is not documented`
    return checkHeaders(response, documented) ?? checkBody(method, response, documented, validate)
  }
}

/** A health check in plain text also fails in plain text. */
function isPlainByChoice(path: string, { statusCode, headers }: Answer): boolean {
  const isHealth = path === '/livez' || path === '/readyz'
  return isHealth && statusCode === 503 && headers['content-type'] === 'text/plain; charset=utf-8'
}

function operationOf(document: Document, method: string, path: string): OperationDoc | null {
  return document.paths[patternOf(document, path)]?.[method.toLowerCase()] ?? null
}

/** The documented path that matches `path`. */
export function patternOf(document: Document, path: string): string {
  if (document.paths[path] !== undefined) return path
  return Object.keys(document.paths).find((one) => matcherOf(one).test(path)) ?? path
}

/** A key or the name of a lock is the rest of the path; other parameters are a part of it. */
function matcherOf(pattern: string): RegExp {
  const text = pattern.replaceAll('.', '\\.').replace(/\{(key|name)\}$/, '.+')
  return new RegExp(`^${text.replace(/\{\w+\}/g, '[^/]+')}$`, 's')
}

type Validate = (schema: Json, value: unknown) => string | null

/** Returns what is wrong with a value; null: it is of the schema. */
export function schemaValidator(document: Document): Validate {
  const compiled = new Map<string, ReturnType<typeof Compile>>()
  return (schema, value) => {
    const key = JSON.stringify(schema)
    // References point into the document, so its components are included.
    const validator = compiled.get(key) ?? Compile({ ...schema, components: document.components })
    compiled.set(key, validator)
    if (validator.Check(value)) return null
    const [, errors] = validator.Errors(value)
    return JSON.stringify(errors.slice(0, 3))
  }
}

function checkProblem(response: Answer, validate: Validate): string | null {
  const type = response.headers['content-type']
  if (type !== 'application/problem+json; charset=utf-8') return `a failure of type ${String(type)}`
  const problem = JSON.parse(response.body) as Json
  if (problem['status'] !== response.statusCode) return 'the status in the problem is another one'
  if (problem['type'] !== `urn:quorate:error:${String(problem['code'])}`) return 'type and code of the problem differ'
  const retryAfter = response.headers['retry-after']
  if ([429, 503].includes(response.statusCode) !== (retryAfter !== undefined))
    return `Retry-After is ${String(retryAfter)}`
  if (/\bat .*:\d+:\d+/.test(response.body)) return 'a stack trace'
  return validate({ $ref: '#/components/schemas/Problem' }, problem)
}

function checkHeaders(response: Answer, documented: ResponseDoc): string | null {
  const names = new Set(Object.keys(documented.headers ?? {}).map((name) => name.toLowerCase()))
  const unknown = Object.keys(response.headers).find((name) => OWN_HEADER.test(name) && !names.has(name))
  // A failure may carry the headers of the answer in whose place it is.
  if (unknown === undefined || (response.statusCode >= 400 && unknown.startsWith('quorate-'))) return null
  return `header ${unknown} is not documented`
}

function checkBody(method: string, response: Answer, documented: ResponseDoc, validate: Validate): string | null {
  if (method === 'HEAD') return null
  const type = String(response.headers['content-type'] ?? '').replace(/;.*$/s, '')
  if (documented.content === undefined) return response.body === '' ? null : 'a body where none is documented'
  const schema = documented.content[type]?.schema
  if (schema === undefined) return `type ${type} is not documented`
  if (type !== 'application/x-ndjson') return type.endsWith('json') ? validate(schema, JSON.parse(response.body)) : null
  for (const line of response.body.split('\n').slice(0, -1)) {
    const wrong = validate(schema, JSON.parse(line))
    if (wrong !== null) return wrong
  }
  return response.body === '' || response.body.endsWith('\n') ? null : 'the last line does not end'
}
