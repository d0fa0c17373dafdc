import type { Socket } from 'node:net'
import { STATUS_CODES, type ServerResponse } from 'node:http'
import { RequestError } from '../../lib/errors.ts'
import { handshakeFault } from '../../lib/tls-words.ts'
import { limits } from '../../limits.ts'
import { problemAnswer } from './problem.ts'

/** An error of Node's parser, with the bytes that it could not read, or of TLS. */
export interface ClientError extends Error {
  readonly code?: string
  /** What the parser found wrong, in its own fixed words. */
  readonly reason?: string
  readonly rawPacket?: unknown
}

/** An answer as it is sent. */
export interface LastAnswer {
  readonly status: number
  readonly text: string
}

const { httpChunkExtensionsBytesMax: extensionsMax } = limits

/**
 * The answer to bytes that are no HTTP request, sent before the connection ends: whatever follows them cannot be parsed. Null:
 * no answer is possible.
 */
export function lastWordsFor(error: ClientError, socket: Socket): LastAnswer | null {
  if (error.code === 'ECONNRESET' || !socket.writable || hasBegunToAnswer(socket)) return null
  return lastAnswerOf(requestErrorOf(error))
}

/** What the client has mistaken this port for, or why TLS with it fails; null: it is another failure. */
export function mistakeIn(error: ClientError): string | null {
  if (isTlsHello(error)) return 'it speaks TLS, and this port speaks http'
  const fault = handshakeFault(error)
  return fault === null ? null : `it ${fault}`
}

/** How the first message of TLS begins. */
function isTlsHello({ rawPacket }: ClientError): boolean {
  return rawPacket instanceof Uint8Array && rawPacket[0] === 0x16 && rawPacket[1] === 0x03
}

/** Answers on the bare socket, outside of any request, and ends it. Returns the status. */
export function endWithProblem(socket: Socket, error: RequestError): number {
  const { status, text } = lastAnswerOf(error)
  socket.end(text)
  return status
}

function lastAnswerOf(error: RequestError): LastAnswer {
  const { status, headers, text } = problemAnswer(error)
  const lines = Object.entries({ ...headers, connection: 'close' }).map(([name, value]) => `${name}: ${value}`)
  return { status, text: [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}`, ...lines, '', text].join('\r\n') }
}

/** Whether a request that has not arrived in full is partly answered: a message sent here would be taken for the rest of that answer. */
function hasBegunToAnswer(socket: Socket & { readonly _httpMessage?: ServerResponse | null }): boolean {
  const response = socket._httpMessage
  return response !== undefined && response !== null && response.headersSent && !response.req.complete
}

/** What is wrong with the bytes that the parser refused, or did not get. */
export function requestErrorOf(error: ClientError): RequestError {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return new RequestError('header-too-large', 'the request line and the headers are too large')
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new RequestError('request-timeout', 'the request did not arrive in time')
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new RequestError('request-too-large', `the extensions of a chunk have at most ${extensionsMax} bytes`, {
        limitBytes: extensionsMax,
      })
    case undefined:
    default:
      return new RequestError('invalid-request', wordsFor(error), { issues: [] })
  }
}

function wordsFor(error: ClientError): string {
  if (isTlsHello(error))
    return 'this port speaks http, and the client began with TLS: use http://, or start the node with --tls-cert and --tls-key'
  switch (error.code) {
    case 'HPE_INVALID_EOF_STATE':
      return 'the request is incomplete: the connection ended before it did'
    // A space in the URL is the end of it, and what follows is not the version.
    case 'HPE_INVALID_URL':
    case 'HPE_INVALID_CONSTANT':
      return 'the URL holds a character that has to be percent-encoded, such as a space (%20) or "ü" (%C3%BC)'
    case undefined:
    default:
      return `this is not an HTTP/1.1 request${error.reason === undefined ? '' : `: ${error.reason}`}`
  }
}
