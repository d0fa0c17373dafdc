import type { FastifyInstance, FastifyReply } from 'fastify'
import { failures, RequestError } from '../../lib/errors.ts'
import { sendJson } from '../protocol/answer.ts'
import { noQuery, timeoutQuery } from '../protocol/queries.ts'
import * as operations from './operations.ts'
import { sayWhenToRetry, sendProblem } from '../protocol/problem.ts'
import { invalidQuery, type QueryText } from '../protocol/query.ts'
import type { HealthCheck } from '../../api/health.ts'
import type { Services } from '../../api/services.ts'
import type { AnswerRoom } from '../protocol/answer-room.ts'
import { diagnosticsJson } from './diagnostics.ts'
import { MetricsPage, type Counted } from './metrics-page.ts'

interface Plain {
  readonly Querystring: QueryText
}

/** Routes for operators and their tools: health, metrics, diagnostics, version. */
export function registerOperatingRoutes(
  app: FastifyInstance,
  services: Services,
  room: AnswerRoom,
  counted: Counted,
): void {
  const { health, version, cluster, diagnostics } = services
  const links = {
    dashboard: '/ui',
    documentation: '/docs',
    openapi: '/openapi.json',
    keys: '/kv',
    cluster: '/cluster',
    live: '/livez',
    ready: '/readyz',
    metrics: '/metrics',
    diagnostics: '/diagnostics',
    version: '/version',
  }
  const root = `${JSON.stringify({ name: 'quorate', version, node: cluster.id, links })}\n`
  app.get<Plain>('/', { config: { operation: operations.root } }, (request, reply) => {
    noQuery.read(request.query.text)
    sendJson(reply, {}, root)
  })

  app.get<Plain>('/livez', { config: { operation: operations.livez } }, (request, reply) => {
    sendHealth(reply, 'livez', health.live(), request.query.text)
  })
  app.get<Plain>('/readyz', { config: { operation: operations.readyz } }, async (request, reply) => {
    // An invalid query is refused before any check runs.
    operations.healthQuery.read(request.query.text)
    sendHealth(reply, 'readyz', await health.ready(), request.query.text)
  })

  const page = new MetricsPage(services, counted)
  app.addHook('onClose', () => page.close())
  app.get<Plain>('/metrics', { config: { operation: operations.metrics } }, async (request, reply) => {
    timeoutQuery.read(request.query.text)
    reply.headers({ 'content-type': page.contentType, 'cache-control': 'no-store' }).send(await page.text())
  })

  app.get<Plain>('/diagnostics', { config: { operation: operations.diagnostics } }, (request, reply) => {
    timeoutQuery.read(request.query.text)
    const json = diagnosticsJson(cluster.id, diagnostics)
    room.check(json.length)
    sendJson(reply, { 'cache-control': 'no-store' }, json)
  })

  app.get<Plain>('/version', { config: { operation: operations.version } }, (request, reply) => {
    noQuery.read(request.query.text)
    sendJson(reply, {}, JSON.stringify({ version, node: process.version }))
  })
}

/** The status code tells the result. With `?verbose` the text lists each check, like the health endpoints of Kubernetes. */
function sendHealth(reply: FastifyReply, name: string, checks: readonly HealthCheck[], queryText: string): void {
  const { verbose, exclude } = operations.healthQuery.read(queryText)
  const unknown = exclude.find((excluded) => !checks.some((check) => check.name === excluded))
  if (unknown !== undefined) {
    throw invalidQuery(
      'exclude',
      `names ${unknown}, which is not a check; the checks are ${checks.map((check) => check.name).join(', ')}`,
    )
  }
  const considered = checks.filter((check) => !exclude.includes(check.name))
  const failed = considered.filter((check) => !check.ok)
  reply.header('cache-control', 'no-store')
  if (!verbose) {
    if (failed.length === 0) return sendText(reply, 'ok\n')
    const detail = `failed: ${failed.map((check) => `${check.name} (${check.detail})`).join(', ')}`
    return void sendProblem(reply, new RequestError('not-ready', detail, { checks: considered }))
  }
  const lines = checks.map((check) => lineOf(check, exclude.includes(check.name)))
  lines.push(`${name} check ${failed.length > 0 ? 'failed' : 'passed'}`)
  if (failed.length > 0) sayWhenToRetry(reply.code(failures['not-ready'].status))
  sendText(reply, `${lines.join('\n')}\n`)
}

function sendText(reply: FastifyReply, text: string): void {
  void reply.headers({ 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' }).send(text)
}

function lineOf(check: HealthCheck, excluded: boolean): string {
  if (excluded) return `[+]${check.name} excluded: ok`
  return check.ok ? `[+]${check.name} ok` : `[-]${check.name} failed: ${check.detail}`
}
