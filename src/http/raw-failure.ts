import type { Socket } from 'node:net'
import { STATUS_CODES, type ServerResponse } from 'node:http'
import { RequestError } from '../lib/errors.ts'
import { mustSayWhenToRetry, PROBLEM_TYPE, problemOf, RETRY_AFTER_SECONDS } from './problem.ts'

/** Answers bytes that are no request, on the bare socket, and closes it: what follows them cannot be told apart. */
export function answerClientError(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable || isOwedAnother(socket)) {
    socket.destroy()
    return
  }
  endWithProblem(socket, requestErrorOf(error.code), () => socket.destroy())
}

/** Answers on the bare socket, ahead of any request, and ends it. */
export function endWithProblem(socket: Socket, error: RequestError, onSent?: () => void): void {
  const problem = problemOf(error)
  const body = JSON.stringify(problem)
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? 'Error'}`,
    `Content-Type: ${PROBLEM_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    ...(mustSayWhenToRetry(problem.status) ? [`Retry-After: ${RETRY_AFTER_SECONDS}`] : []),
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, onSent)
}

/**
 * Whether the next answer on this socket belongs to another request: one that is answered already, in part, or one that
 * arrived in full and is being worked on. A message of ours would be taken for its answer.
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
      return new RequestError('request-too-large', 'the chunk extensions are too large')
    case undefined:
    default:
      return new RequestError('invalid-request', 'this is not an HTTP request', { issues: [] })
  }
}
