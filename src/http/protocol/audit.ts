import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest, preParsingHookHandler } from 'fastify'
import { failures, RequestError } from '../../lib/errors.ts'
import { Repeats } from '../../lib/repeats.ts'
import { limits } from '../../limits.ts'
import { ApiResponse } from './api-response.ts'
import type { Operation } from './operation.ts'
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
  /** Of an answer that is a stream: it has begun, or it is over, and all of it was sent or not. */
  readonly answer?: 'begun' | 'whole' | 'cut'
  /** How many bytes of a stream that is over were given to the connection. */
  readonly bytes?: number
}

export type OnAudit = (line: AuditLine) => void

declare module 'fastify' {
  interface FastifyRequest {
    /** What an audited request asks for, without secrets. */
    auditedAs: unknown
    /** The address of its client. A connection that is closed tells none. */
    remote: string
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

  /** Watches every route that is registered from now on. The address is taken before any hook that is added later can wait. */
  watch(app: FastifyInstance): void {
    app.decorateRequest('auditedAs')
    app.decorateRequest('remote', 'unknown')
    app.addHook('onRequest', (request, _reply, done) => {
      const { remoteAddress } = request.socket
      if (remoteAddress !== undefined) request.remote = remoteAddress
      done()
    })
    app.addHook('onRoute', (route) => {
      if (![route.method].flat().some((method) => isAudited(method, route.config?.operation))) return
      route.preParsing = [...[route.preParsing ?? []].flat(), refuseUnread]
      route.onSend = [
        ...[route.onSend ?? []].flat(),
        (request, reply, payload, done) => {
          this.onAnswer(request, reply, payload)
          done()
        },
      ]
    })
  }

  /** An answer is decided. Whether a client is left to take it makes no difference to what was done. */
  private onAnswer(request: FastifyRequest, reply: FastifyReply, payload: unknown): void {
    const { statusCode } = reply
    // `onFailure` tells of these.
    if (statusCode === 401 || statusCode === 403) return
    const line = lineOf(request, statusCode)
    if (statusCode >= 400 && isOpenToAll(request)) return this.onRefusal(line, String(statusCode), {})
    if (!(payload instanceof Readable)) return this.onAudit(line)
    this.onAudit({ ...line, answer: 'begun' })
    onceOver(request, reply, (answer, bytes) => this.onAudit({ ...line, answer, bytes }))
  }

  /** A request was refused, or a stream cut off. The same refusal is told of once in a while, with its number. */
  onFailure(error: RequestError, request: FastifyRequest): void {
    const { code } = error
    if (code !== 'unauthenticated' && code !== 'forbidden') return
    const { missing } = error.facts
    this.onRefusal(lineOf(request, failures[code].status), code, {
      code,
      ...(missing === undefined ? {} : { missing }),
    })
  }

  /** `why`: what tells a refusal from others of the same client and operation. */
  private onRefusal(line: AuditLine, why: string, more: Pick<AuditLine, 'code' | 'missing'>): void {
    const { token, remote, operation } = line
    const times = this.refusals.add(`${token} ${token === null ? remote : ''} ${operation} ${why}`)
    if (times !== null) this.onAudit({ ...line, ...more, times })
  }
}

function isAudited(method: string, operation: Operation | undefined): boolean {
  if (operation === undefined) return false
  return operation.isAudited === true || (typeof operation.access === 'object' && !isSafeMethod(method))
}

/** Whoever asks has shown nothing, and may ask as often as it likes. */
function isOpenToAll({ routeOptions }: FastifyRequest): boolean {
  return routeOptions.config.operation?.access === 'open'
}

/** A body whose connection ended while the request waited is never read to its end, and its request would have no outcome. */
const refuseUnread: preParsingHookHandler = ({ raw }, _reply, payload, done) => {
  if (!raw.destroyed || raw.readableEnded) return done(null, payload)
  const detail = 'the client left before its request was read; nothing was done'
  done(new RequestError('invalid-request', detail, { issues: [] }))
}

/** Calls `tell` once, when all of the answer was sent or nothing more of it can be. */
function onceOver(
  { socket }: FastifyRequest,
  { raw }: FastifyReply,
  tell: (answer: 'whole' | 'cut', bytes: number) => void,
): void {
  const end = (answer: 'whole' | 'cut'): void => {
    raw.off('finish', onWhole).off('close', onCut)
    tell(answer, raw instanceof ApiResponse ? raw.sentBytes : 0)
  }
  const onWhole = (): void => end('whole')
  const onCut = (): void => end('cut')
  raw.once('finish', onWhole).once('close', onCut)
  if (raw.destroyed || socket.destroyed) onCut()
}

function lineOf(request: FastifyRequest, status: number): AuditLine {
  const { method, url, routeOptions, access, remote, auditedAs } = request
  const end = url.indexOf('?')
  return {
    operation: routeOptions.config.operation?.id ?? 'unknown',
    token: access.token?.id ?? null,
    name: access.token?.name ?? null,
    remote,
    method,
    path: (end < 0 ? url : url.slice(0, end)).slice(0, limits.auditPathCharactersMax),
    status,
    ...(auditedAs === undefined ? {} : { asked: auditedAs }),
  }
}
