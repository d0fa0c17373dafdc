import { randomBytes } from 'node:crypto'
import { ServerResponse, type IncomingMessage, type OutgoingHttpHeader, type OutgoingHttpHeaders } from 'node:http'
import type { Step } from '../../lib/stages.ts'
import { spanBelow, traceContextOf, type Span } from '../../lib/trace-context.ts'
import { limits } from '../../limits.ts'
import { ApiRequest } from './api-request.ts'
import type { Bearer, Caller } from '../../api/services.ts'
import type { Operation } from './operation.ts'
import type { RequestCourse } from './request-course.ts'

/** What a response needs of the connection on which it leaves. */
export interface AnswerLine {
  readonly isGone: boolean
  readonly hasEnded: boolean
  /** The head of the answer is made. */
  onBegun(response: ApiResponse<IncomingMessage>, status: number): void
  /** `bytes` more of an answer are in memory. */
  onHeld(bytes: number): void
  /** The answer is decided, so the next requests on the connection may begin. */
  onAnswered(response: ApiResponse<IncomingMessage>): void
  /** An answer without an end, whose sender looks after readers that are slow, has begun (1) or ended (-1). */
  onContinuous(count: 1 | -1): void
  /** Calls `then` if the connection closes before the answer has left. */
  onUndelivered(response: ApiResponse<IncomingMessage>, then: () => void): void
  /** The answer refuses its request because there is too much to do. */
  onRefused(response: ApiResponse<IncomingMessage>): void
}

/** The client that waits for `reply`; undefined when `reply` belongs to no connection. */
export function callerOf({ raw }: { readonly raw: unknown }): Caller | undefined {
  return raw instanceof ApiResponse ? raw : undefined
}

/** The same, of a request that is carried out to its end even if its client leaves. */
export function steadyCallerOf(reply: { readonly raw: unknown }): Caller | undefined {
  const caller = callerOf(reply)
  if (caller === undefined) return undefined
  return {
    isGone: false,
    span: caller.span ?? null,
    bearer: caller.bearer ?? null,
    onStep: (...step) => caller.onStep?.(...step),
  }
}

/** The span of a request; null when it belongs to no trace. */
function spanFor({ headers: { traceparent } }: IncomingMessage): Span | null {
  const sender = typeof traceparent === 'string' ? traceContextOf(traceparent) : null
  return sender === null ? null : spanBelow(sender, randomBytes(8).toString('hex'))
}

/**
 * A response that hands a large body to its connection piece by piece. This shows how fast the client reads, and the connection
 * buffers only what the client has not taken.
 */
export class ApiResponse<Request extends IncomingMessage = IncomingMessage> extends ServerResponse<Request> {
  /** Bytes of its body that it has put into memory. Their room is given back when the response is closed. */
  heldBytes = 0
  bearer: Bearer | null = null
  /** What its request asks for: null when that is no operation of the API, undefined when no route was looked for. */
  operation: Operation | null | undefined = undefined
  /** When its request had its turn on the connection, in monotonic milliseconds; 0: it had none. */
  startedAt = 0
  /** Where the time of its request goes; null: nobody wants to know. */
  course: RequestCourse | null = null
  /** Bytes of its body so far, in whatever way they leave. */
  sentBytes = 0
  /** All such answers have one body, so that it takes no memory of its own. */
  isShared = false
  /** Its request has had its turn. */
  hasBegun = false
  /** Its request is being handled and has no answer yet. */
  isRunning = false
  private isAnswered = false
  private isContinuous = false
  private line: AnswerLine | null = null
  private rest: Buffer | null = null
  /** Undefined: its request has not been looked at. */
  private ownSpan: Span | null | undefined

  /** The client can no longer receive the answer. */
  get isGone(): boolean {
    return this.line?.isGone === true
  }

  get hasEnded(): boolean {
    return this.line?.hasEnded === true
  }

  get span(): Span | null {
    if (this.ownSpan === undefined) this.ownSpan = spanFor(this.req)
    return this.ownSpan
  }

  onStep(step: Step, since: number, number?: number): void {
    this.course?.onStep(step, since, number)
  }

  onUndelivered(then: () => void): void {
    this.line?.onUndelivered(this, then)
  }

  /** It is going to refuse its request because there is too much to do. */
  refuseForNow(): void {
    this.line?.onRefused(this)
  }

  attach(line: AnswerLine): void {
    this.line = line
  }

  /** Its connection has closed. Node tells only the answer whose turn it is, and one that was sent completely. */
  onLineClosed(): void {
    if (this.socket !== null || this.writableFinished || this.closed) return
    this.destroy()
    // Whoever asks later, for example for a stream that opens only now, has to see it as well.
    Object.defineProperty(this, 'closed', { value: true })
    this.emit('close')
  }

  /** From now on its sender says how slow the client may be. Ends by itself with the response. */
  beginContinuous(): void {
    if (this.isContinuous || this.closed) return
    this.isContinuous = true
    this.line?.onContinuous(1)
    this.once('close', () => this.endContinuous())
  }

  endContinuous(): void {
    if (!this.isContinuous) return
    this.isContinuous = false
    this.line?.onContinuous(-1)
  }

  override writeHead(
    statusCode: number,
    statusMessage?: string | OutgoingHttpHeaders | OutgoingHttpHeader[],
    headers?: OutgoingHttpHeaders | OutgoingHttpHeader[],
  ): this {
    if (this.leavesBodyUnread()) this.setHeader('connection', 'close')
    if (typeof statusMessage === 'string') super.writeHead(statusCode, statusMessage, headers)
    else super.writeHead(statusCode, statusMessage)
    this.line?.onBegun(this, statusCode)
    return this
  }

  override write(
    chunk: unknown,
    encoding?: BufferEncoding | ((error: Error | null | undefined) => void),
    onSent?: (error: Error | null | undefined) => void,
  ): boolean {
    // What `end` was given is counted there.
    if (this.rest === null) this.sentBytes += bytesOf(chunk)
    return typeof encoding === 'string' ? super.write(chunk, encoding, onSent) : super.write(chunk, encoding)
  }

  override end(body?: unknown, encoding?: BufferEncoding | (() => void) | null, onSent?: (() => void) | null): this {
    const bytes = bytesOf(body)
    this.hold(bytes)
    if (!this.isAnswered) {
      this.isAnswered = true
      this.line?.onAnswered(this)
    }
    const sent = typeof encoding === 'function' ? encoding : onSent
    if (typeof sent === 'function') this.once('finish', sent)
    const text = typeof encoding === 'string' ? encoding : 'utf8'
    if (bytes <= limits.httpAnswerPieceBytes || !(typeof body === 'string' || Buffer.isBuffer(body))) {
      return super.end(body, text)
    }
    this.rest = typeof body === 'string' ? Buffer.from(body, text) : body
    this.sendRest()
    return this
  }

  private hold(bytes: number): void {
    this.sentBytes += bytes
    if (bytes === 0 || this.isShared || this.closed) return
    this.heldBytes += bytes
    this.line?.onHeld(bytes)
  }

  private readonly sendRest = (): void => {
    const { rest } = this
    if (rest === null || this.destroyed) return
    const piece = rest.subarray(0, limits.httpAnswerPieceBytes)
    if (piece.length === rest.length) {
      this.rest = null
      super.end(piece)
      return
    }
    this.rest = rest.subarray(piece.length)
    if (this.write(piece)) setImmediate(this.sendRest)
    else this.once('drain', this.sendRest)
  }

  /** Whether the rest of the request is skipped by closing the connection: it is long, of unknown length, or may never arrive. */
  private leavesBodyUnread(): boolean {
    const { req } = this
    if (req.complete) return false
    if (req instanceof ApiRequest && (req.awaitsContinue || req.cutBy !== null)) return true
    const length = req.headers['content-length']
    return length === undefined
      ? req.headers['transfer-encoding'] !== undefined
      : Number(length) > limits.skippedBodyBytesMax
  }
}

function bytesOf(part: unknown): number {
  if (typeof part === 'string') return Buffer.byteLength(part)
  return Buffer.isBuffer(part) ? part.length : 0
}
