import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type { AnswerRoom } from './answer-room.ts'
import type { ApiRequest } from './api-request.ts'
import type { ApiResponse } from './api-response.ts'
import type { BodyRoom } from './body-room.ts'
import type { Connections } from './connections.ts'
import { Line, type Handler } from './line.ts'
import { originFormOf, pathOf } from './path.ts'
import { problemAnswer, type ProblemAnswer } from './problem.ts'
import { refusalOf, type Refusal } from './protocol-checks.ts'
import type { CourseJudge } from './request-course.ts'
import type { RequestCounts } from './request-counts.ts'
import { isSafeMethod } from './safe-method.ts'
import { lastWordsFor, requestErrorOf, type ClientError } from './raw-failure.ts'
import { Rests, type RestsOptions } from './rests.ts'
import { Turns, type TurnsOptions } from './turns.ts'

export interface LinesOptions {
  /** A client that takes less than `httpAnswerTakenBytesMin` of its answers in this time is cut off. */
  readonly answerStallTimeoutMs: number
  /** How long connections are not read after a refusal for overload. */
  readonly refusedRests: RestsOptions
  readonly turns: TurnsOptions
}

export interface LinesDependencies {
  readonly rooms: { readonly answers: AnswerRoom; readonly bodies: BodyRoom }
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Null: nobody wants to know how long requests take. */
  readonly slow: CourseJudge | null
  readonly counts: RequestCounts
  /** Why a request is refused before its body is read; null: it is not. `isAlone`: no other of its connection is open. */
  readonly overload: { refuse(request: ApiRequest, response: ApiResponse, isAlone: boolean): RequestError | null }
}

/** The interval at which lingering connections are looked at. */
const LINGER_CHECK_MS = 100
/** When others cannot be served for lack of room, a client that takes nothing, or sends nothing more, is left alone this long. */
const PATIENCE_MS = 2_000

/** The connections of all clients: what they may hold together, and the end of those that make no progress. */
export class Lines {
  private readonly options: LinesOptions
  private readonly room: AnswerRoom
  private readonly bodies: BodyRoom
  private readonly lines = new Map<Socket, Line>()
  private readonly lingering = new Set<Line>()
  /** Connections that are not read. */
  private readonly rests: Rests
  /** The same for those on which leases are kept alive: no rest is longer than the shortest. */
  private readonly briefRests: Rests
  private readonly turns: Turns
  /** The answer to the latest overload: the same for as long as it lasts. */
  private overloadAnswer: { readonly error: RequestError; readonly answer: ProblemAnswer } | null = null
  private requests = 0
  private readonly now: () => number
  private readonly slow: CourseJudge | null
  private readonly counts: RequestCounts
  private readonly overload: LinesDependencies['overload']

  constructor(options: LinesOptions, { rooms, now, slow, counts, overload }: LinesDependencies) {
    this.options = options
    this.room = rooms.answers
    this.bodies = rooms.bodies
    this.now = now
    this.slow = slow
    this.counts = counts
    this.overload = overload
    const { refusedRests, turns } = options
    this.rests = new Rests(refusedRests, now)
    this.briefRests = new Rests({ ...refusedRests, msMax: refusedRests.ms }, now)
    this.turns = new Turns(turns, now, () => this.lines.values())
    rooms.answers.onFull = () => this.endIdle((line) => line.taking.idleMs(now()))
    rooms.bodies.onFull = () => this.endIdle((line) => line.bodyIdleMs(now()))
  }

  /** Takes the requests on the accepted connections of `server`. `handler` gets each of them in its turn. */
  serve(
    server: Server<typeof ApiRequest, typeof ApiResponse>,
    event: 'connection' | 'secureConnection',
    connections: Connections,
    handler: Handler,
  ): void {
    const take = (request: ApiRequest, response: ApiResponse): void => {
      if (!connections.onRequest(request, response)) return
      this.onRequest(request, response)
      this.turns.onRequest()
    }
    server.on(event, (socket: Socket) => this.open(socket, handler))
    server.on('request', take)
    // An unknown expectation is no reason to refuse a request (RFC 9110, 10.1.1).
    server.on('checkExpectation', take)
    server.on('checkContinue', (request, response) => {
      request.continueWhenRead(() => {
        if (!response.headersSent) response.writeContinue()
      })
      take(request, response)
    })
    const { answerStallTimeoutMs } = this.options
    const everyMs = Math.min(1_000, answerStallTimeoutMs / 4)
    const check = setInterval(() => this.endSlow(), everyMs)
    check.unref()
    server.once('close', () => clearInterval(check))
  }

  /** The listeners are closing, which waits for every connection: ends those on which nothing has come. */
  close(): void {
    for (const { socket } of this.lines.values()) if (socket.bytesRead === 0) socket.destroy()
  }

  /** The bytes are no HTTP request, or a request did not arrive in time. */
  onClientError(error: ClientError, socket: Socket): void {
    const line = this.lines.get(socket)
    // The parser may still report errors on a connection that is being ended.
    if (line?.isEnding === true) return
    const streamed = line?.streamed ?? null
    if (streamed !== null) {
      // Its reader sees to its time, and its answer says what was done with the part that has come.
      if (error.code !== 'ERR_HTTP_REQUEST_TIMEOUT') streamed.cut(requestErrorOf(error))
      return
    }
    const words = lastWordsFor(error, socket)
    if (words === null || line === undefined) return void socket.destroy()
    line.endWith(words)
  }

  private open(socket: Socket, handler: Handler): void {
    const line = new Line(socket, {
      now: this.now,
      handler,
      slow: this.slow,
      counts: this.counts,
      onHeld: (bytes) => (bytes < 0 ? this.room.give(-bytes) : this.room.take(bytes)),
      hasBodyRoom: (bytes) => this.bodies.fits(bytes),
      takeBody: (bytes) => this.bodies.take(bytes),
      giveBody: (bytes) => this.bodies.give(bytes),
      onRequests: (count) => (this.requests += count),
      onLingering: (one) => this.linger(one),
      onResting: (one) => (one.keepsHolds ? this.briefRests : this.rests).begin(one),
    })
    this.lines.set(socket, line)
    socket.once('close', () => {
      this.lines.delete(socket)
      this.lingering.delete(line)
    })
  }

  private onRequest(request: ApiRequest, response: ApiResponse): void {
    const line = this.lines.get(request.socket)
    if (line === undefined || line.isEnding) return
    const { url = '/' } = request
    // One form for whoever looks at it: both mean the same, and the host is that of this node (RFC 9112, 3.2.2).
    request.url = originFormOf(url)
    const refusal = refusalOf(request)
    if (refusal !== null) return line.take(request, response, (_request, given) => refuse(given, refusal))
    const isFull = line.openRequests >= limits.httpPipelinedMax
    // A few connections with thousands each would take the places of all others.
    if (isFull && this.requests >= limits.httpRequestsCrowded) return void request.socket.destroy()
    const overload = this.judge(request, response, line.openRequests === 0)
    if (overload === null) line.take(request, response)
    else if (isFull) request.socket.destroy()
    else {
      line.admit(response)
      response.refuseForNow()
      this.refuseForNow(response, overload)
    }
  }

  private judge(request: ApiRequest, response: ApiResponse, isAlone: boolean): RequestError | null {
    if (this.requests >= limits.httpRequestsMax) {
      const detail = `this node is working on ${this.requests} requests, as many as it takes at once; try again later`
      return new RequestError('overloaded', detail)
    }
    // The answers to the others are small, or ask for room themselves.
    const mayBeLarge = isSafeMethod(request.method) && !asksForHealth(request)
    return (mayBeLarge ? this.room.refusal : null) ?? this.overload.refuse(request, response, isAlone)
  }

  /** While there is more to do than can be done, each refusal takes time from what is done. */
  private refuseForNow(response: ApiResponse, error: RequestError): void {
    if (this.overloadAnswer?.error !== error) this.overloadAnswer = { error, answer: problemAnswer(error) }
    const { status, headers, text } = this.overloadAnswer.answer
    response.writeHead(status, headers).end(text)
  }

  private endSlow(): void {
    const now = this.now()
    for (const line of this.lines.values()) {
      line.taking.watch(now, limits.httpAnswerTakenBytesMin)
      if (line.taking.slowMs(now) > this.options.answerStallTimeoutMs) line.socket.destroy()
    }
  }

  private endIdle(idleMs: (line: Line) => number): void {
    for (const line of this.lines.values()) if (idleMs(line) > PATIENCE_MS) line.socket.destroy()
  }

  private linger(line: Line): void {
    this.lingering.add(line)
    if (this.lingering.size === 1) this.checkLingering()
  }

  private checkLingering(): void {
    const timer = setTimeout(() => {
      const now = this.now()
      for (const line of this.lingering) if (line.hasLingered(now)) line.socket.destroy()
      if (this.lingering.size > 0) this.checkLingering()
    }, LINGER_CHECK_MS)
    timer.unref()
  }
}

/** A node whose clients read slowly is well. */
function asksForHealth({ url = '' }: ApiRequest): boolean {
  const path = pathOf(url)
  return path === '/livez' || path === '/readyz'
}

function refuse(response: ApiResponse, { error, isSound, headers = {} }: Refusal): void {
  const { status, headers: about, text } = problemAnswer(error)
  const closing = isSound ? {} : { connection: 'close' }
  response.writeHead(status, { ...headers, ...about, ...closing }).end(text)
}
