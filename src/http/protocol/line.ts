import type { Socket } from 'node:net'
import { limits } from '../../limits.ts'
import { ApiRequest, type BodyLine } from './api-request.ts'
import type { AnswerLine, ApiResponse } from './api-response.ts'
import { RequestCourse, type CourseJudge } from './request-course.ts'
import { keepsHold } from './key-write.ts'
import type { LastAnswer } from './raw-failure.ts'
import { Reading } from './reading.ts'
import type { RequestCounts } from './request-counts.ts'
import { isSafeMethod } from './safe-method.ts'
import { Taking } from './taking.ts'
import type { Deferrable } from './turns.ts'

export type Handler = (request: ApiRequest, response: ApiResponse) => void

export interface LineDependencies {
  /** Monotonic milliseconds. */
  readonly now: () => number
  readonly handler: Handler
  /** Null: nobody wants to know how long requests take. */
  readonly slow: CourseJudge | null
  readonly counts: Pick<RequestCounts, 'onAnswer' | 'onUnread'>
  /** The connection holds so many bytes of answers more than before (fewer when negative). */
  readonly onHeld: (bytes: number) => void
  /** Whether there is room for `bytes` more of bodies, and functions that take it and give it back. */
  readonly hasBodyRoom: (bytes: number) => boolean
  readonly takeBody: (bytes: number) => boolean
  readonly giveBody: (bytes: number) => void
  /** The connection has so many requests in progress more than before (fewer when negative). */
  readonly onRequests: (count: number) => void
  /** The connection sends nothing more, and reads what the client still sends until the client closes. */
  readonly onLingering: (line: Line) => void
  /** The connection is not read until it is woken. */
  readonly onResting: (line: Line) => void
}

interface Exchange {
  readonly request: ApiRequest
  readonly response: ApiResponse
  readonly handler: Handler
}

/**
 * One connection of a client, and the order of its requests (RFC 9112, 9.3.2). Safe requests run side by side, up to a maximum.
 * A request that may change something begins when all requests before it are answered, and no later one begins before it is
 * answered.
 */
export class Line implements AnswerLine, BodyLine, Deferrable {
  readonly socket: Socket
  readonly taking: Taking
  private readonly deps: LineDependencies
  private readonly reading: Reading
  /** Requests that wait for their turn. */
  private queue: Exchange[] = []
  private running = 0
  /** Requests that have had their turn, and whose answers are not completely sent. */
  private begun = 0
  private isUnsafeRunning = false
  private isBeginning = false
  /** Answers that are not completely sent, whether their requests are running or not. Mostly one, for which a `Set` would get a new table each time. */
  private open: ApiResponse[] = []
  private heldBytes = 0
  /** Bytes of the bodies of its requests in memory. */
  private bodyBytes = 0
  /** The request whose body arrived last, and the time of its last piece. */
  private receiving: { readonly request: ApiRequest; at: number } | null = null
  /** The last request whose body may take any time. */
  private streaming: ApiRequest | null = null
  private keeps = false
  /** No further request on this connection is answered. */
  private isClosing = false
  private isClosed = false
  /** Nothing is read as a request any more: the client has sent something unreadable, or too late. */
  private isDeaf = false
  /** The client was told so, which answers whatever was arriving. */
  private isCutShort = false
  private endedAt: number | null = null
  /** Called if the connection closes before an answer has left, one for each such answer. */
  private readonly undelivered = new Set<() => void>()
  private lingering: { readonly since: number; readonly bytes: number } | null = null

  constructor(socket: Socket, deps: LineDependencies) {
    this.socket = socket
    this.deps = deps
    this.taking = new Taking(socket)
    this.reading = new Reading(socket)
    socket.on('end', () => (this.endedAt = deps.now()))
    socket.on('close', () => this.onClose())
    // Node ends a connection by this call and would reset it: unread bytes of the client would destroy an answer on its way.
    socket.destroySoon = () => this.closeInStages()
  }

  /** No answer can be delivered: the connection is gone, or the client has closed its sending side and waits no longer. */
  get isGone(): boolean {
    if (this.socket.destroyed) return true
    return this.endedAt !== null && this.deps.now() - this.endedAt > limits.httpHalfClosedWaitMs
  }

  /** The client sends nothing more, as one that has left: until something is sent to it, the two look alike. */
  get hasEnded(): boolean {
    return this.endedAt !== null || this.socket.destroyed
  }

  /** The number of its requests that are not completely answered. */
  get openRequests(): number {
    return this.open.length
  }

  get isEnding(): boolean {
    return this.isClosing || this.isDeaf
  }

  /** Whether leases or locks were kept on it, so that it must not rest for long. */
  get keepsHolds(): boolean {
    return this.keeps
  }

  /** Takes a request, and gives it to `handler` when its turn comes. */
  take(request: ApiRequest, response: ApiResponse, handler = this.deps.handler): void {
    // The request follows an answer that ends the connection.
    if (this.isClosing) return
    this.admit(response)
    request.attach(this)
    const exchange = { request, response, handler }
    if (this.queue.length > 0 || this.mustWait(exchange)) this.queue.push(exchange)
    else this.begin(exchange)
    if (this.open.length >= limits.httpPipelinedMax && !this.reading.isStoppedFor('full'))
      this.reading.stopAfterPacket('full')
  }

  /** Counts a request that was answered before it could be handled. */
  admit(response: ApiResponse): void {
    response.attach(this)
    // What is written to a client that has left is lost, and no fault of the node.
    response.on('error', ignore)
    this.open.push(response)
    this.deps.onRequests(1)
    response.once('close', () => this.onSent(response))
  }

  /** Its client should wait, so the next request is not read before `wake`. */
  onRefused(response: ApiResponse): void {
    // Node itself reads on when the answer is sent, and again when what is left of the body is skipped.
    response.once('close', () => setImmediate(() => this.rest()))
  }

  /** Reads on after a rest. */
  wake(): void {
    this.reading.goOn('rest')
  }

  waitForTurn(): boolean {
    if (this.reading.isStopped || this.isClosing || this.keeps || this.open.length > 0) return false
    this.reading.stop('turn')
    return true
  }

  goOn(): void {
    this.reading.goOn('turn')
  }

  onBegun(response: ApiResponse, status: number): void {
    const { startedAt } = response
    const now = this.deps.now()
    if (!this.isCutShort) this.deps.counts.onAnswer(response, status, startedAt === 0 ? null : (now - startedAt) / 1000)
    response.course?.onAnswer(status, now)
  }

  onHeld(bytes: number): void {
    if (this.isClosed) return
    this.heldBytes += bytes
    this.deps.onHeld(bytes)
  }

  hasRoom(bytes: number): boolean {
    return this.deps.hasBodyRoom(bytes)
  }

  onBody(request: ApiRequest, bytes: number): boolean {
    if (this.isClosed || !this.deps.takeBody(bytes)) return false
    this.bodyBytes += bytes
    const at = this.deps.now()
    request.bodyAt = at
    if (this.receiving?.request === request) this.receiving.at = at
    else this.receiving = { request, at }
    return true
  }

  onStream(request: ApiRequest): void {
    this.streaming = request
  }

  /** The request whose body is arriving, and may take any time. */
  get streamed(): ApiRequest | null {
    return this.streaming?.complete === false ? this.streaming : null
  }

  /** How long an incomplete body has received nothing; 0 when no body is incomplete. */
  bodyIdleMs(now: number): number {
    const { receiving } = this
    return receiving === null || receiving.request.complete ? 0 : now - receiving.at
  }

  onAnswered(response: ApiResponse): void {
    if (response.isRunning) this.finish(response)
  }

  onContinuous(count: 1 | -1): void {
    this.taking.onContinuous(count)
    this.endIfEndless()
  }

  onUndelivered(response: ApiResponse, then: () => void): void {
    const { socket } = this
    if (socket.destroyed) return then()
    this.undelivered.add(then)
    // Node also calls an answer finished when its connection was destroyed with the answer still inside.
    response.prependOnceListener('finish', () => {
      if (!socket.destroyed) this.undelivered.delete(then)
    })
  }

  /** Reads no more requests, answers those that have arrived in full, then sends this one and ends the connection. */
  endWith({ status, text }: LastAnswer): void {
    this.isDeaf = true
    this.dropInput()
    this.endIfEndless()
    const owed = new Set(this.open.filter(({ req }) => req.complete))
    const end = (): void => {
      // One of them may have ended the connection.
      if (owed.size > 0 || this.isClosed || this.lingering !== null) return
      this.isCutShort = true
      this.deps.counts.onUnread(status)
      this.socket.write(text)
      this.closeInStages()
    }
    for (const response of owed) {
      response.once('close', () => {
        owed.delete(response)
        end()
      })
    }
    end()
  }

  /** Whether a client that has been sent its last answer has had enough time to read it. */
  hasLingered(now: number): boolean {
    const { lingering, socket } = this
    if (lingering === null) return false
    return (
      now - lingering.since >= limits.httpLingerMs || socket.bytesRead - lingering.bytes >= limits.httpLingerBytesMax
    )
  }

  private mustWait({ request }: Exchange): boolean {
    // Answers that are given at once fill the connection too, and one packet may hold very many requests.
    if (this.begun >= limits.httpPipelinedMax) return true
    if (this.begun > 0 && this.heldBytes > limits.httpLineAnswerBytesMax) return true
    if (this.running === 0) return false
    return this.isUnsafeRunning || !isSafeMethod(request.method) || this.running >= limits.httpParallelMax
  }

  private begin(exchange: Exchange): void {
    const { request, response, handler } = exchange
    const { slow } = this.deps
    response.isRunning = true
    response.hasBegun = true
    this.running += 1
    this.begun += 1
    this.isUnsafeRunning = !isSafeMethod(request.method)
    if (this.isUnsafeRunning && keepsHold(request)) this.keeps = true
    const now = this.deps.now()
    // A request that only takes its turn to be refused has no duration.
    if (handler === this.deps.handler) response.startedAt = now
    response.course = slow === null ? null : new RequestCourse(exchange, slow, now)
    handler(request, response)
  }

  /** The answer of the request is decided, or will never be. */
  private finish(response: ApiResponse): void {
    response.isRunning = false
    this.running -= 1
    this.isUnsafeRunning = false
    if (this.queue.length > 0) this.beginNext()
  }

  private beginNext(): void {
    // A request that is answered while it begins calls this from within the loop below.
    if (this.isBeginning) return
    this.isBeginning = true
    for (let [next] = this.queue; next !== undefined && !this.mustWait(next); [next] = this.queue) {
      this.queue.shift()
      this.begin(next)
    }
    this.isBeginning = false
  }

  private onSent(response: ApiResponse): void {
    if (this.isClosed) return
    this.open.splice(this.open.indexOf(response), 1)
    this.deps.onRequests(-1)
    if (response.hasBegun) this.begun -= 1
    const { heldBytes, req } = response
    if (heldBytes > 0) this.onHeld(-heldBytes)
    if (req instanceof ApiRequest && req.bodyBytes > 0) this.giveBody(req)
    if (!response.shouldKeepAlive) this.stopTaking()
    if (response.isRunning) this.finish(response)
    else if (this.queue.length > 0) this.beginNext()
    if (this.open.length <= limits.httpPipelinedMax / 2) this.reading.goOn('full')
  }

  private rest(): void {
    if (this.isClosing || this.reading.isStoppedFor('rest')) return
    this.reading.stop('rest')
    this.deps.onResting(this)
  }

  private giveBody(request: ApiRequest): void {
    const { bodyBytes } = request
    request.bodyBytes = 0
    this.bodyBytes -= bodyBytes
    this.deps.giveBody(bodyBytes)
    if (this.receiving?.request === request) this.receiving = null
  }

  private stopTaking(): void {
    this.isClosing = true
    this.queue = []
  }

  /** RFC 9112, 9.6: closes the sending side, and reads on for a while until the client has seen that. */
  private closeInStages(): void {
    const { socket } = this
    this.stopTaking()
    if (socket.destroyed || this.lingering !== null) return
    this.lingering = { since: this.deps.now(), bytes: socket.bytesRead }
    socket.once('end', () => {
      if (socket.writableFinished) socket.destroy()
    })
    this.dropInput()
    // Node stops reading until its writes have drained. It resumes on the drain only if the socket has not been ended.
    if (socket.writableNeedDrain) socket.once('drain', () => this.endOwnSide())
    else this.endOwnSide()
    this.deps.onLingering(this)
  }

  /** The socket reads on, but the parser is detached: whatever still arrives is not treated as a request. */
  private dropInput(): void {
    const { socket } = this
    socket.resume()
    setImmediate(() => {
      socket.removeAllListeners('data')
      socket.on('data', () => {})
    })
  }

  /** The last words wait for the answers before them, but not for one without an end. */
  private endIfEndless(): void {
    if (this.isDeaf && this.taking.isContinuous) this.socket.destroy()
  }

  private endOwnSide(): void {
    const { socket } = this
    socket.end(() => {
      if (socket.readableEnded) socket.destroy()
    })
  }

  /** Node reports the close only to the answer whose turn it is, so the others are told here: what they were made of is closed then. */
  private onClose(): void {
    this.isClosed = true
    this.stopTaking()
    this.deps.onRequests(-this.open.length)
    if (this.heldBytes > 0) this.deps.onHeld(-this.heldBytes)
    if (this.bodyBytes > 0) this.deps.giveBody(this.bodyBytes)
    this.receiving = null
    for (const then of this.undelivered) then()
    this.undelivered.clear()
    const { open } = this
    this.open = []
    for (const response of open) response.onLineClosed()
  }
}

function ignore(): void {}
