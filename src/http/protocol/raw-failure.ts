import type { Socket } from 'node:net'
import { STATUS_CODES, type ServerResponse } from 'node:http'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import { problemAnswer } from './problem.ts'

const { httpChunkExtensionsBytesMax: extensionsMax } = limits

/**
 * The answer to bytes that are no HTTP request, sent before the connection ends: whatever follows them cannot be parsed. Null:
 * no answer.
 */
export function lastWordsFor(error: Error & { readonly code?: string }, socket: Socket): string | null {
  if (error.code === 'ECONNRESET' || !socket.writable || isOwedAnother(socket)) return null
  return lastAnswerOf(requestErrorOf(error.code))
}

/** Answers on the bare socket, outside of any request, and ends it. */
export function endWithProblem(socket: Socket, error: RequestError): void {
  socket.end(lastAnswerOf(error))
}

/** The answer as it is sent. */
function lastAnswerOf(error: RequestError): string {
  const { status, headers, text } = problemAnswer(error)
  const lines = Object.entries({ ...headers, connection: 'close' }).map(([name, value]) => `${name}: ${value}`)
  return [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}`, ...lines, '', text].join('\r\n')
}

/**
 * Whether the next answer on this socket belongs to another request: one that is partly answered, or one that arrived in full
 * and is in progress. A message sent here would be taken for its answer.
 */
function isOwedAnother(socket: Socket & { readonly _httpMessage?: ServerResponse | null }): boolean {
  const response = socket._httpMessage
  return response !== undefined && response !== null && (response.headersSent || response.req.complete)
}

function requestErrorOf(code: string | undefined): RequestError {
  switch (code) {
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
      return new RequestError('invalid-request', 'this is not an HTTP request', { issues: [] })
  }
}
