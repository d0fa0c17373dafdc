import { request, type Agent, type IncomingHttpHeaders } from 'node:http'
import { limits } from '../limits.ts'

export interface OutgoingRequest {
  readonly method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE'
  /** Includes the query, percent-encoded. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | null
  /** The connection is given up after the server has been silent for this long. */
  readonly silenceMsMax: number
  /** Aborting it ends the request as if the connection had broken. */
  readonly signal: AbortSignal | null
}

export interface IncomingAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** The server could not be reached, or the connection broke before the answer was complete. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError'
  /** No connection was made: this request cannot have had any effect. */
  readonly refused: boolean
  /** The change may have taken effect, here or on a server that was asked before. Always false for a read. */
  readonly ambiguous: boolean

  constructor(
    message: string,
    outcome: { readonly refused: boolean; readonly ambiguous: boolean },
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.refused = outcome.refused
    this.ambiguous = outcome.ambiguous
  }
}

/** One request and its whole answer. Redirects are not followed: every node serves every request. */
export async function exchange(origin: URL, agent: Agent, outgoing: OutgoingRequest): Promise<IncomingAnswer> {
  return await new Promise((resolve, reject) => {
    const { method, path, body, signal } = outgoing
    let connected = false
    const fail = (reason: string, cause: unknown): void => {
      const outcome = { refused: !connected, ambiguous: connected && changesSomething(method) }
      reject(new ConnectionError(`${origin.origin}: ${reason}`, outcome, { cause }))
    }
    const length = method === 'GET' && body === null ? {} : { 'content-length': String(body?.length ?? 0) }
    const outbound = request(
      origin,
      {
        method,
        path,
        agent,
        headers: { ...outgoing.headers, ...length },
        timeout: outgoing.silenceMsMax,
        ...(signal === null ? {} : { signal }),
      },
      (inbound) => {
        const chunks: Buffer[] = []
        let bytes = 0
        inbound.on('data', (chunk: Buffer) => {
          bytes += chunk.length
          if (bytes > limits.clientAnswerBytesMax) {
            outbound.destroy(new Error(`the answer is larger than ${limits.clientAnswerBytesMax} bytes`))
            return
          }
          chunks.push(chunk)
        })
        inbound.on('error', (error) => fail(`the answer was cut off (${error.message})`, error))
        inbound.on('end', () => {
          resolve({ status: inbound.statusCode ?? 0, headers: inbound.headers, body: Buffer.concat(chunks, bytes) })
        })
      },
    )
    outbound.on('socket', (socket) => {
      if (socket.connecting) socket.once('connect', () => (connected = true))
      else connected = true
    })
    outbound.on('timeout', () => {
      const missing = connected ? 'answer' : 'connection'
      outbound.destroy(new Error(`no ${missing} within ${outgoing.silenceMsMax} ms`))
    })
    outbound.on('error', (error: NodeJS.ErrnoException) => {
      const nobody = !connected && error.code !== undefined && error.code !== 'ABORT_ERR'
      fail(nobody ? `no server answers there (${error.code})` : describeBreak(error), error)
    })
    outbound.end(body ?? undefined)
  })
}

/** Whether a request of this method may change something. */
export function changesSomething(method: OutgoingRequest['method']): boolean {
  return method !== 'GET'
}

/** Peers do not speak HTTP: they close the connection when the raft address was given instead of that of the API. */
function describeBreak({ code, message }: NodeJS.ErrnoException): string {
  if (message === 'socket hang up')
    return 'the connection was closed without an answer; if that happens every time, this may be the raft address of a node, not its API'
  if (code?.startsWith('HPE_') === true)
    return `the answer is not HTTP (${code}): this may be the raft address of a node, not its API`
  return message
}
