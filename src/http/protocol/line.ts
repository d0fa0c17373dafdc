import type { Socket } from 'node:net'
import { limits } from '../../limits.ts'
import { ApiRequest, type BodyLine } from './api-request.ts'
import type { AnswerLine, ApiResponse } from './api-response.ts'

export type Handler = (request: ApiRequest, response: ApiResponse) => void

export interface LineDependencies {
  /** Monotonic milliseconds. */
  readonly now: () => number
  readonly handler: Handler
  /** Bytes of answers that this connection holds more (or fewer) than before. */
  readonly onHeld: (bytes: number) => void
  /** Whether `bytes` of bodies have room beside those in memory, and the taking and giving back of it. */
  readonly hasBodyRoom: (bytes: number) => boolean
  readonly takeBody: (bytes: number) => boolean
  readonly giveBody: (bytes: number) => void
  /** Requests that this connection has under way more (or fewer) than before. */
  readonly onRequests: (count: number) => void
  /** It sends nothing more and reads to the end of what the client still sends. */
  readonly onLingering: (line: Line) => void
}

interface Exchange {
  readonly request: ApiRequest
  readonly response: ApiResponse
}

/** How a client takes what is on its way to it. Times are of the clock, bytes those that the connection has taken by then. */
interface Taking {
  since: number
  bytes: number
  movedAt: number
  movedBytes: number
}

/**
 * One connection of a client, and the order of its requests (RFC 9112, 9.3.2): safe ones run side by side, in a bounded number; one that
 * may change something begins when all before it have their answers, and nothing begins before it has its own.
 */
export class Line implements AnswerLine, BodyLine {
  readonly socket: Socket
  private readonly deps: LineDependencies
  /** Requests that wait for their turn. */
  private queue: Exchange[] = []
  private running = 0
  private isUnsafeRunning = false
  private isBeginning = false
  /** Requests whose answers have not been sent whole, running or not. */
  private open = 0
  private heldBytes = 0
  /** Of the bodies of its requests. */
  private bodyBytes = 0
  /** Whose body came last, and when something of it did. */
  private receiving: { readonly request: ApiRequest; at: number } | null = null
  private isPaused = false
  /** Nothing that arrives from now on is answered. */
  private isClosing = false
  private isClosed = false
  private endedAt: number | null = null
  private taking: Taking | null = null
  private lingering: { readonly since: number; readonly bytes: number } | null = null

  constructor(socket: Socket, deps: LineDependencies) {
    this.socket = socket
    this.deps = deps
    socket.on('end', () => (this.endedAt = deps.now()))
    socket.on('close', () => this.onClose())
    // Node ends a connection by this call, and would reset it: an answer on its way is lost when bytes of the client are unread.
    socket.destroySoon = () => this.closeInStages()
  }

  /** Nobody takes the answers any more: the connection is gone, or the client has ended its side and has not been patient since. */
  get isGone(): boolean {
    if (this.socket.destroyed) return true
    return this.endedAt !== null && this.deps.now() - this.endedAt > limits.httpHalfClosedWaitMs
  }

  /** How many of its requests have not been answered whole. */
  get openRequests(): number {
    return this.open
  }

  get isEnding(): boolean {
    return this.isClosing
  }

  /** Takes a request, which is handled in its turn. */
  take(request: ApiRequest, response: ApiResponse): void {
    // Behind an answer that ends the connection.
    if (this.isClosing) return
    this.admit(response)
    request.attach(this)
    const exchange = { request, response }
    if (this.queue.length > 0 || this.mustWait(exchange)) this.queue.push(exchange)
    else this.begin(exchange)
    if (this.open < limits.httpPipelinedMax || this.isPaused) return
    this.isPaused = true
    // Node has its socket read on at the end of each request, so it is stopped behind those of this packet.
    process.nextTick(() => {
      if (this.isPaused) this.socket.pause()
    })
  }

  /** A request that was answered before it could be handled. */
  admit(response: ApiResponse): void {
    response.attach(this)
    this.open += 1
    this.deps.onRequests(1)
    response.once('close', () => this.onSent(response))
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
    if (this.receiving?.request === request) this.receiving.at = at
    else this.receiving = { request, at }
    return true
  }

  /** For how long nothing has come of a body that is half in memory; 0 when there is none. */
  bodyIdleMs(now: number): number {
    const { receiving } = this
    return receiving === null || receiving.request.complete ? 0 : now - receiving.at
  }

  onAnswered(response: ApiResponse): void {
    if (response.isRunning) this.finish(response)
  }

  /** Sends `text` as the last words. */
  endWith(text: string): void {
    this.socket.write(text)
    this.closeInStages()
  }

  /** Looks at how the client takes its answers: to be called at intervals. `bytesMin`: what it must take for its time to begin anew. */
  watch(now: number, bytesMin: number): void {
    const { socket, taking } = this
    if (socket.writableLength === 0) {
      this.taking = null
      return
    }
    const bytes = socket.bytesWritten - socket.writableLength
    if (taking === null) {
      this.taking = { since: now, bytes, movedAt: now, movedBytes: bytes }
      return
    }
    if (bytes > taking.movedBytes) {
      taking.movedAt = now
      taking.movedBytes = bytes
    }
    if (bytes - taking.bytes < bytesMin) return
    taking.since = now
    taking.bytes = bytes
  }

  /** For how long the client has taken less than it must; 0 while nothing waits for it. */
  slowMs(now: number): number {
    return this.taking === null ? 0 : now - this.taking.since
  }

  /** For how long it has taken nothing at all. */
  idleMs(now: number): number {
    return this.taking === null ? 0 : now - this.taking.movedAt
  }

  /** Whether a client that has its last answer was given enough time to read it. */
  hasLingered(now: number): boolean {
    const { lingering, socket } = this
    if (lingering === null) return false
    return (
      now - lingering.since >= limits.httpLingerMs || socket.bytesRead - lingering.bytes >= limits.httpLingerBytesMax
    )
  }

  private mustWait({ request }: Exchange): boolean {
    if (this.running === 0) return false
    if (this.isUnsafeRunning || !isSafe(request)) return true
    return this.running >= limits.httpParallelMax || this.heldBytes > limits.httpLineAnswerBytesMax
  }

  private begin({ request, response }: Exchange): void {
    response.isRunning = true
    this.running += 1
    this.isUnsafeRunning = !isSafe(request)
    this.deps.handler(request, response)
  }

  /** Its answer is decided, or will never be. */
  private finish(response: ApiResponse): void {
    response.isRunning = false
    this.running -= 1
    this.isUnsafeRunning = false
    if (this.queue.length > 0) this.beginNext()
  }

  private beginNext(): void {
    // One that is answered at once comes by here from within.
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
    this.open -= 1
    this.deps.onRequests(-1)
    const { heldBytes, req } = response
    if (heldBytes > 0) this.onHeld(-heldBytes)
    if (req instanceof ApiRequest && req.bodyBytes > 0) this.giveBody(req)
    if (!response.shouldKeepAlive) this.stopTaking()
    if (response.isRunning) this.finish(response)
    else if (this.queue.length > 0) this.beginNext()
    if (!this.isPaused || this.open > limits.httpPipelinedMax / 2) return
    this.isPaused = false
    this.socket.resume()
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

  /** RFC 9112, 9.6: says that nothing more comes, and reads on until the client has seen it, for a while. */
  private closeInStages(): void {
    const { socket } = this
    this.stopTaking()
    if (socket.destroyed || this.lingering !== null) return
    this.lingering = { since: this.deps.now(), bytes: socket.bytesRead }
    socket.once('end', () => {
      if (socket.writableFinished) socket.destroy()
    })
    socket.resume()
    // When the socket reads again, but no parser: what still comes is no request.
    setImmediate(() => {
      socket.removeAllListeners('data')
      socket.on('data', () => {})
    })
    // Node reads nothing while its writes have not drained, and takes note of that only before the end.
    if (socket.writableNeedDrain) socket.once('drain', () => this.endOwnSide())
    else this.endOwnSide()
    this.deps.onLingering(this)
  }

  private endOwnSide(): void {
    const { socket } = this
    socket.end(() => {
      if (socket.readableEnded) socket.destroy()
    })
  }

  /** Of the answers on their way, only the first is told. */
  private onClose(): void {
    this.isClosed = true
    this.stopTaking()
    this.deps.onRequests(-this.open)
    if (this.heldBytes > 0) this.deps.onHeld(-this.heldBytes)
    if (this.bodyBytes > 0) this.deps.giveBody(this.bodyBytes)
    this.receiving = null
  }
}

function isSafe({ method }: ApiRequest): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS'
}
