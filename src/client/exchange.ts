import { request, type Agent, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { request as secureRequest } from 'node:https'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { limits } from '../limits.ts'
import { certificateFault, handshakeFault, NO_TLS } from '../lib/tls-words.ts'
import { toError } from '../lib/to-error.ts'
import { ConnectionError } from './errors.ts'

export type Method = 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE'

/** A body that is made while it is sent. */
export interface StreamedBody {
  /** Called once the connection stands. The iteration ends early when the answer comes early. */
  begin(): AsyncIterable<Uint8Array>
  /** Whether each call of `begin` gives the same bytes. */
  readonly isRepeatable: boolean
}

export interface OutgoingRequest {
  readonly method: Method
  /** Includes the query, percent-encoded. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | StreamedBody | null
  /** How long the connection may take, with the look-up of the name and the handshake of TLS. */
  readonly connectMsMax: number
  /** The connection is given up after the server has been silent for this long: before the answer begins, and after that. */
  readonly silenceMsMax: number
  readonly bodySilenceMsMax: number
  /** It is given up after this long in any case, however much comes; null: it may take as long as it gets on. */
  readonly wholeMsMax: number | null
  /** The body of a successful answer is a stream, which may take as long as it gets on. */
  readonly isStream: boolean
  /** Aborting it ends the request: it rejects with the reason of the signal. */
  readonly signal: AbortSignal | null
}

/** An answer whose body is still to be read. It has to be read to its end, or destroyed. */
export interface OpenAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: IncomingMessage
}

export interface IncomingAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** Sends a request and waits for the head of its answer. Redirects are not followed. Rejects with `ConnectionError`. */
export async function open(origin: URL, agent: Agent, outgoing: OutgoingRequest): Promise<OpenAnswer> {
  outgoing.signal?.throwIfAborted()
  try {
    return await new Promise((resolve, reject) => new Exchange(origin, agent, outgoing, resolve, reject))
  } catch (error) {
    outgoing.signal?.throwIfAborted()
    throw error
  }
}

class Exchange {
  private readonly origin: URL
  private readonly outgoing: OutgoingRequest
  private readonly reject: (error: Error) => void
  private readonly outbound: ClientRequest
  private inbound: IncomingMessage | null = null
  private connected = false
  private silenceMs: number
  /** The body waits for whoever makes it, so that the silence is not the server's. */
  private awaitsBody = false

  constructor(
    origin: URL,
    agent: Agent,
    outgoing: OutgoingRequest,
    resolve: (answer: OpenAnswer) => void,
    reject: (error: Error) => void,
  ) {
    this.origin = origin
    this.outgoing = outgoing
    this.reject = reject
    this.silenceMs = outgoing.silenceMsMax
    const { method, path, signal, silenceMsMax: timeout } = outgoing
    const headers = { ...outgoing.headers, ...framing(outgoing) }
    const send = origin.protocol === 'https:' ? secureRequest : request
    const options = { method, path, agent, headers, timeout, maxHeaderSize: limits.clientHeaderBytesMax }
    this.outbound = send(origin, signal === null ? options : { ...options, signal })
    this.outbound.on('response', (inbound) => {
      this.inbound = inbound
      this.silenceMs = outgoing.bodySilenceMsMax
      this.outbound.setTimeout(this.silenceMs)
      // A reader of the body gets its errors; until there is one, nobody else would take them.
      inbound.on('error', () => undefined)
      inbound.once('end', () => {
        // The answer came before the whole body was sent, so the connection is of no more use.
        if (!this.outbound.writableEnded) this.outbound.destroy()
      })
      resolve({ status: inbound.statusCode ?? 0, headers: inbound.headers, body: inbound })
    })
    this.outbound.on('socket', (socket) => this.onSocket(socket))
    this.outbound.on('timeout', () => this.onSilence())
    this.outbound.on('error', (error) => this.fail(error))
    this.limit(outgoing.wholeMsMax)
    if (outgoing.body === null || outgoing.body instanceof Uint8Array) this.outbound.end(outgoing.body ?? undefined)
    else this.outbound.flushHeaders()
  }

  /** Silence alone would not end an answer that comes drop by drop. */
  private limit(ms: number | null): void {
    if (ms === null || ms > limits.timerMsMax) return
    const timer = setTimeout(() => {
      if (this.isStreaming()) return
      if (this.inbound === null) this.outbound.destroy(this.missing('answer', ms))
      else this.inbound.destroy(this.missing('whole answer', ms))
    }, ms)
    this.outbound.once('close', () => clearTimeout(timer))
  }

  private isStreaming(): boolean {
    return this.outgoing.isStream && this.inbound?.statusCode === 200
  }

  private missing(what: string, ms: number): Error {
    return new Error(`no ${this.connected ? what : 'connection'} within ${ms} ms`)
  }

  private onSocket(socket: Socket): void {
    if (!socket.connecting) return this.onConnected()
    const { connectMsMax } = this.outgoing
    const giveUp = (): void => void this.outbound.destroy(this.missing('connection', connectMsMax))
    const timer = setTimeout(giveUp, Math.min(connectMsMax, limits.timerMsMax))
    this.outbound.once('close', () => clearTimeout(timer))
    // Nothing of the request leaves before TLS stands.
    socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => {
      clearTimeout(timer)
      this.onConnected()
    })
  }

  private onConnected(): void {
    this.connected = true
    const { body } = this.outgoing
    if (body !== null && !(body instanceof Uint8Array)) void this.sendStream(body)
  }

  private onSilence(): void {
    // A reader that takes its time is not a silent server.
    const isWaitedFor = this.awaitsBody || (this.inbound !== null && this.inbound.readableLength > 0)
    if (isWaitedFor) {
      this.outbound.setTimeout(this.silenceMs)
      return
    }
    this.outbound.destroy(this.missing('answer', this.silenceMs))
  }

  private async sendStream(body: StreamedBody): Promise<void> {
    const { outbound } = this
    try {
      this.awaitsBody = true
      for await (const chunk of body.begin()) {
        this.awaitsBody = false
        // Nobody takes the rest of it.
        if (outbound.destroyed || this.inbound !== null) return
        if (!outbound.write(chunk)) await takenBy(outbound)
        this.awaitsBody = true
      }
      this.awaitsBody = false
      outbound.end()
    } catch (error) {
      // The failure of the source is the caller's own, and not one of the connection.
      this.reject(toError(error))
      outbound.destroy()
    }
  }

  private fail(error: NodeJS.ErrnoException): void {
    const nobody = !this.connected && error.code !== undefined && error.code !== 'ABORT_ERR'
    const reason =
      describeTls(error) ?? (nobody ? `no server answers there (${error.code})` : describeBreak(error, this.origin))
    this.reject(new ConnectionError(`${this.origin.origin}: ${reason}`, !this.connected, { cause: error }))
  }
}

function framing({ method, body }: OutgoingRequest): Readonly<Record<string, string>> {
  if (body === null) return method === 'GET' ? {} : { 'content-length': '0' }
  return body instanceof Uint8Array ? { 'content-length': String(body.length) } : { 'transfer-encoding': 'chunked' }
}

async function takenBy(outbound: ClientRequest): Promise<void> {
  await new Promise<void>((resolve) => {
    const settle = (): void => {
      for (const event of ['drain', 'close', 'response']) outbound.off(event, settle)
      resolve()
    }
    for (const event of ['drain', 'close', 'response']) outbound.on(event, settle)
  })
}

/**
 * The body of an answer, piece by piece. Rejects with `ConnectionError` when it is cut off. To return ends the connection, also before the first
 * piece. `throwIfEnded`: throws
 * why the caller has ended it, if that is so.
 */
export function pieces(origin: URL, body: IncomingMessage, throwIfEnded: () => void): AsyncGenerator<Buffer> {
  const reading = read(origin, body, throwIfEnded)
  // A generator that has not begun would return without the connection.
  const leave = reading.return.bind(reading)
  reading.return = async (value) => {
    body.destroy()
    return await leave(value)
  }
  return reading
}

async function* read(origin: URL, body: IncomingMessage, throwIfEnded: () => void): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of body) yield chunk as Buffer
  } catch (error) {
    throwIfEnded()
    const reason = `the answer was cut off (${toError(error).message})`
    throw new ConnectionError(`${origin.origin}: ${reason}`, false, { cause: error })
  }
}

/** The whole body of an answer, which is bounded. */
export async function wholeOf(
  origin: URL,
  { status, headers, body }: OpenAnswer,
  signal: AbortSignal | null,
): Promise<IncomingAnswer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of pieces(origin, body, () => signal?.throwIfAborted())) {
    bytes += chunk.length
    if (bytes > limits.clientAnswerBytesMax) {
      const reason = `the answer is larger than ${limits.clientAnswerBytesMax} bytes`
      throw new ConnectionError(`${origin.origin}: ${reason}`, false)
    }
    chunks.push(chunk)
  }
  return { status, headers, body: Buffer.concat(chunks, bytes) }
}

/** Whether a request of this method may change something. */
export function changesSomething(method: Method): boolean {
  return method !== 'GET'
}

/** Peers do not speak HTTP: they close the connection when the raft address was given instead of that of the API. */
function describeBreak({ code, message }: NodeJS.ErrnoException, { protocol }: URL): string {
  if (message === 'socket hang up')
    return 'the connection was closed without an answer; if that happens every time, this may be the raft address of a node, not its API'
  if (code?.startsWith('HPE_') === true)
    return `the answer is not HTTP (${code}): this may be the raft address of a node, not its API${protocol === 'http:' ? ', or a port that speaks TLS' : ''}`
  return message
}

/** Null: the failure is not one of TLS. */
function describeTls(error: NodeJS.ErrnoException): string | null {
  const { code = '', message } = error
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const named = 'cert' in error ? (error.cert as { readonly subjectaltname?: string }).subjectaltname : undefined
    const names = named === undefined ? '' : ` (${named.replaceAll(/\b(DNS|IP Address):/g, '')})`
    return `its certificate is for other names${names}: name the server as its certificate does`
  }
  const fault = certificateFault(code)
  if (fault !== null) {
    const advice = fault.includes('trusted') ? ': name the CA with --ca, QUORATE_CA or the option tls.ca' : ''
    return `its certificate ${fault}${advice}`
  }
  const handshake = handshakeFault(error)
  if (handshake === NO_TLS) return 'it does not speak TLS: use http://'
  if (handshake !== null) return `it ${handshake}`
  if (message.includes('secure TLS connection'))
    return 'it closed the connection during the TLS handshake: this may be the raft address of a node, not its API'
  return null
}
