import type { IncomingMessage } from 'node:http'
import { RequestError } from '../../lib/errors.ts'
import { invalidRequest } from './query.ts'

/** The answer to a request that is not looked at further. `isSound`: the end of the request is known, so the connection may go on. */
export interface Refusal {
  readonly error: RequestError
  readonly isSound: boolean
  readonly headers?: Readonly<Record<string, string>>
}

function malformed(detail: string): Refusal {
  return { error: new RequestError('invalid-request', detail, { issues: [] }), isSound: false }
}

function meaningless(path: string, message: string): Refusal {
  return { error: invalidRequest({ path, message }), isSound: true }
}

/** Refuses what Node's parser accepts but the protocol forbids, and what this server would ignore although it changes the meaning. */
export function refusalOf(request: IncomingMessage): Refusal | null {
  return refusalOfHead(request) ?? refusalOfBody(request)
}

function refusalOfHead(request: IncomingMessage): Refusal | null {
  const { headers, httpVersion, url = '' } = request
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return malformed('the version of HTTP is missing')
  if (httpVersion === '1.1' && headers.host === undefined) return malformed('the Host header is missing')
  if (isTwice(request, 'host')) return malformed('the Host header is given twice')
  if (!url.includes('#')) return null
  return meaningless('path', 'holds a #, which starts a fragment and is not part of a request: write it as %23')
}

/** For these names Node keeps the first of several lines and drops the others silently. */
function isTwice({ rawHeaders }: IncomingMessage, name: string): boolean {
  let seen = false
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const given = rawHeaders[at]
    if (given === undefined || given.length !== name.length || given.toLowerCase() !== name) continue
    if (seen) return true
    seen = true
  }
  return false
}

const ENDS_CHUNKED = /(?:^|[,\t ])chunked$/i

function refusalOfBody(request: IncomingMessage): Refusal | null {
  const { headers, method, httpVersion } = request
  const coding = headers['transfer-encoding']
  if (coding !== undefined) {
    // RFC 9112, 6.1 and 6.3.
    if (httpVersion === '1.0') return malformed('Transfer-Encoding cannot be used with HTTP/1.0')
    if (!ENDS_CHUNKED.test(coding))
      return malformed('the length of the body is unknown: the last Transfer-Encoding is not chunked')
    if (coding.toLowerCase() !== 'chunked') return unknownCoding(coding)
  }
  const hasBody = coding !== undefined || (headers['content-length'] ?? '0') !== '0'
  if (method === 'GET' || method === 'HEAD') return hasBody ? meaningless('body', `is not allowed on ${method}`) : null
  if (hasBody && isTwice(request, 'content-type')) return meaningless('header/content-type', 'is given twice')
  return refusalOfContent(request)
}

function unknownCoding(coding: string): Refusal {
  const detail = `the Transfer-Encoding ${JSON.stringify(coding)} is unknown: send chunked alone, or a Content-Length`
  return { error: new RequestError('not-implemented', detail), isSound: false }
}

function refusalOfContent({ headers }: IncomingMessage): Refusal | null {
  if (headers['content-range'] !== undefined) {
    // RFC 9110, 14.5.
    return meaningless(
      'header/content-range',
      'cannot be used here: a value cannot be written in parts, send the whole value',
    )
  }
  const coding = headers['content-encoding']
  if (coding === undefined || coding.toLowerCase() === 'identity') return null
  const detail = `the Content-Encoding ${JSON.stringify(coding)} is refused: send the body as it is`
  // RFC 9110, 15.5.16.
  const accepted = { 'accept-encoding': 'identity' }
  return { error: new RequestError('unsupported-media-type', detail), isSound: true, headers: accepted }
}
