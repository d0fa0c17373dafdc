import type { FastifyInstance, FastifyRequest } from 'fastify'
import { failures, type RequestError } from '../../lib/errors.ts'
import { Repeats } from '../../lib/repeats.ts'
import { limits } from '../../limits.ts'
import { isSafeMethod } from './safe-method.ts'

/** One thing that somebody did, or was not allowed to do. It never holds a secret. */
export interface AuditLine {
  readonly operation: string
  /** The token, by its id and its name; null: there was none. */
  readonly token: number | null
  readonly name: string | null
  readonly remote: string
  readonly method: string
  readonly path: string
  readonly status: number
  /** What was asked for, where that says more than the path. */
  readonly asked?: unknown
  /** The code of the failure. */
  readonly code?: string
  /** What was missing of the rights. */
  readonly missing?: unknown
  /** How often the same was refused since the last such line. */
  readonly times?: number
}

export type OnAudit = (line: AuditLine) => void

declare module 'fastify' {
  interface FastifyRequest {
    /** What an audited request asks for, without secrets. */
    auditedAs: unknown
  }
}

/** Tells of requests that change members, roles or tokens, or take a backup, with their outcome; and of those that were refused for want of a right. */
export class Audit {
  private readonly onAudit: OnAudit
  private readonly refusals: Repeats

  /** `now`: monotonic milliseconds. */
  constructor(onAudit: OnAudit, now: () => number) {
    this.onAudit = onAudit
    const { refusalsKnownMax: causesMax, auditRefusalIntervalMs: intervalMs } = limits
    this.refusals = new Repeats({ intervalMs, causesMax }, now)
  }

  watch(app: FastifyInstance): void {
    app.decorateRequest('auditedAs')
    app.addHook('onResponse', (request, reply, done) => {
      const { statusCode } = reply
      // `onFailure` tells of the others.
      if (isAudited(request) && statusCode !== 401 && statusCode !== 403) this.onAudit(lineOf(request, statusCode))
      done()
    })
  }

  /** A request was refused, or a stream cut off. The same refusal is told of once in a while, with its number. */
  onFailure(error: RequestError, request: FastifyRequest): void {
    const { code } = error
    if (code !== 'unauthenticated' && code !== 'forbidden') return
    const line = lineOf(request, failures[code].status)
    const times = this.refusals.add(`${line.token} ${line.token === null ? line.remote : ''} ${line.operation} ${code}`)
    if (times === null) return
    const { missing } = error.facts
    this.onAudit({ ...line, code, times, ...(missing === undefined ? {} : { missing }) })
  }
}

function isAudited({ method, routeOptions }: FastifyRequest): boolean {
  const access = routeOptions.config.operation?.access
  if (routeOptions.config.operation?.isAudited === true) return true
  return typeof access === 'object' && !isSafeMethod(method)
}

function lineOf(request: FastifyRequest, status: number): AuditLine {
  const { method, url, routeOptions, access, ip, auditedAs } = request
  const end = url.indexOf('?')
  return {
    operation: routeOptions.config.operation?.id ?? 'unknown',
    token: access.token?.id ?? null,
    name: access.token?.name ?? null,
    remote: ip,
    method,
    path: (end < 0 ? url : url.slice(0, end)).slice(0, limits.auditPathCharactersMax),
    status,
    ...(auditedAs === undefined ? {} : { asked: auditedAs }),
  }
}
