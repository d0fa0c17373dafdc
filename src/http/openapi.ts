import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import swagger, { type SwaggerTransform, type SwaggerTransformObject } from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { RequestError } from '../lib/errors.ts'
import { JSON_TYPE, sendShared } from './protocol/answer.ts'
import { documentationOf, takesOptionalBody } from './protocol/operation.ts'
import { pathOf } from './protocol/path.ts'
import { noQuery } from './protocol/queries.ts'
import { openapi } from './operating/operations.ts'
import { registerFiles } from './files.ts'
import { registerPageHeaders } from './page-headers.ts'
import type { QueryText } from './protocol/query.ts'
import * as auth from '../api/auth.ts'
import * as cluster from '../api/cluster.ts'
import * as diagnostics from '../api/diagnostics.ts'
import { ImportRecord, RecordView } from '../api/keys.ts'
import { WatchEvent } from '../api/watches.ts'
import { ProblemSchema } from './protocol/problem-schema.ts'
import { forPage } from './protocol/page-document.ts'

const components = [
  ProblemSchema,
  RecordView,
  ImportRecord,
  WatchEvent,
  auth.GrantView,
  auth.RoleView,
  auth.TokenView,
  cluster.LogIdView,
  cluster.VoteView,
  cluster.MembershipView,
  cluster.MembershipAnswer,
  cluster.MemberStatus,
  cluster.DiskView,
  cluster.ClusterStatus,
  diagnostics.SettingView,
  diagnostics.LogLine,
  diagnostics.DiagnosticsAnswer,
]

const description = `A replicated key-value store on Raft. Every node serves every request.

Failures are \`application/problem+json\` with a stable \`code\`; \`docs/ERRORS.md\` explains each. Those of requests for data have the
\`Quorate-*\` headers of other answers as well: the revision and the consistency when the state of the store decided them.
Unknown parameters and fields are refused.`

/** The page loads its own files only; its style sheets set styles inline. */
const policy = {
  'default-src': ["'none'"],
  'script-src': ["'self'"],
  'style-src': ["'self'", "'unsafe-inline'"],
  'img-src': ["'self'", 'data:', 'blob:'],
  'connect-src': ["'self'"],
  'form-action': ["'none'"],
  'base-uri': ["'none'"],
  'frame-ancestors': ["'none'"],
}

/** Collects the operations of the routes that are registered after it. */
export function registerOpenapi(app: FastifyInstance, version: string): void {
  for (const schema of components) app.addSchema(schema)
  const optionalBodies = new Set<string>()
  const transform: SwaggerTransform = ({ url, route }) => {
    const operation = route.config?.operation
    if (operation === undefined) return { url, schema: { hide: true } }
    if (takesOptionalBody(operation)) optionalBodies.add(operation.id)
    // A key or a name is one parameter, though the router knows it as the rest of the path.
    const [parameter = 'key'] = Object.keys(operation.path ?? {})
    return { url: url.replace(/\*$/, `:${parameter}`), schema: documentationOf(operation) }
  }
  void app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Quorate', version, description, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
      servers: [{ url: '/' }],
      components: {
        securitySchemes: {
          token: {
            type: 'http',
            scheme: 'bearer',
            description: 'The secret of a token. A cluster without tokens needs none.',
          },
        },
      },
      tags: [
        { name: 'keys', description: 'Keys and their values.' },
        { name: 'leases', description: 'Leases, and locks that they hold.' },
        { name: 'auth', description: 'Roles and tokens: who may do what.' },
        { name: 'cluster', description: 'Who is in the cluster, and who leads it.' },
        { name: 'operating', description: 'Health, metrics, diagnostics, documentation.' },
      ],
    },
    refResolver: {
      buildLocalReference: ({ $id }, _base, _fragment, at) => (typeof $id === 'string' ? $id : `def-${at}`),
    },
    transform,
    transformObject: (document) => corrected(document, optionalBodies),
  })
}

/** Adds what the translation cannot express: that a body is optional. */
function corrected(document: Parameters<SwaggerTransformObject>[0], optionalBodies: ReadonlySet<string>) {
  if (!('openapiObject' in document)) return document.swaggerObject
  const { openapiObject } = document
  for (const path of Object.values(openapiObject.paths ?? {})) {
    for (const operation of [path?.put, path?.post]) {
      const body = operation?.requestBody
      if (body === undefined || !('content' in body)) continue
      if (optionalBodies.has(operation?.operationId ?? '')) body.required = false
    }
  }
  return openapiObject
}

export interface Documentation {
  /** This node as a member; null: the page, which is open, does not tell. */
  readonly self: () => object | null
  readonly isSecure: boolean
}

/** The OpenAPI document, and a page to read it and to try the operations. */
export function registerDocumentationRoutes(app: FastifyInstance, { self, isSecure }: Documentation): void {
  void app.register(async (page) => {
    registerPageHeaders(page, { policy, isSecure })
    makeOnce(page, ['/docs/json', '/docs/yaml'], () => JSON.stringify(self()))
    registerPageFiles(page)
    void page.register(swaggerUi, {
      routePrefix: '/docs',
      uiConfig: { docExpansion: 'list', deepLinking: true, validatorUrl: null },
      // `document` is a clone, so it may be changed.
      transformSpecification: (document) => forPage(document, self()),
    })
  })
  let document: Buffer | null = null
  app.get<{ Querystring: QueryText }>('/openapi.json', { config: { operation: openapi } }, (request, reply) => {
    noQuery.read(request.query.text)
    document ??= Buffer.from(JSON.stringify(app.swagger()))
    sendShared(reply, JSON_TYPE, document)
  })
}

/** The files of the page. The plugin would open one for each request; what it serves under these names is overtaken. */
function registerPageFiles(page: FastifyInstance): void {
  const folder = join(dirname(createRequire(import.meta.url).resolve('@fastify/swagger-ui')), 'static')
  registerFiles(page, { folder, prefix: '/docs/static/', except: ['index.html'] })
  page.addHook('onRequest', (request, _reply, done) => {
    const isOther = request.routeOptions.url === '/docs/static/*'
    done(isOther ? new RequestError('route-not-found', 'the page has no such file') : undefined)
  })
}

interface Made {
  readonly version: string
  readonly type: string
  readonly bytes: Buffer
}

/**
 * What the routes at `paths` answer is made once, and again when `versionOf` has changed: everybody may ask for it, and making it takes much more
 * than sending it.
 */
function makeOnce(app: FastifyInstance, paths: readonly string[], versionOf: () => string): void {
  const made = new Map<string, Made>()
  // Without promises: the next request on the same connection has to find what this one has made.
  app.addHook('onRequest', (request, reply, done) => {
    const known = made.get(pathOf(request.url))
    if (known === undefined || known.version !== versionOf()) done()
    else sendShared(reply, known.type, known.bytes)
  })
  app.addHook('onSend', (request, reply, payload, done) => {
    const path = pathOf(request.url)
    if (typeof payload !== 'string' || reply.statusCode !== 200 || !paths.includes(path)) return done(null, payload)
    const bytes = Buffer.from(payload)
    made.set(path, { version: versionOf(), type: String(reply.getHeader('content-type')), bytes })
    done(null, bytes)
  })
}
