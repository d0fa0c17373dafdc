import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { RequestError } from '../lib/errors.ts'
import { limits } from '../limits.ts'
import type { Connections } from './connections.ts'
import { PROBLEM_TYPE, problemOf } from './problem.ts'

/** Times that a test may shorten. */
export interface ApiServerOptions {
  readonly headersTimeoutMs: number
  readonly receiveTimeoutMs: number
  readonly connectionsCheckMs: number
}

export const apiServerDefaults: ApiServerOptions = {
  headersTimeoutMs: limits.httpHeadersTimeoutMs,
  receiveTimeoutMs: limits.httpReceiveTimeoutMs,
  connectionsCheckMs: limits.httpConnectionsCheckMs,
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void

export interface ApiServerDependencies {
  readonly handler: Handler
  readonly connections: Connections
  /** The system could not accept a connection. */
  readonly onAcceptFailed: (error: Error) => void
}

/** The listener of the API, with its limits. The strict parser of Node stays on: it refuses the shapes of request smuggling. */
export function createApiServer(options: ApiServerOptions, dependencies: ApiServerDependencies): Server {
  const { handler, connections, onAcceptFailed } = dependencies
  const server = createServer({
    headersTimeout: options.headersTimeoutMs,
    requestTimeout: options.receiveTimeoutMs,
    connectionsCheckingInterval: options.connectionsCheckMs,
    keepAliveTimeout: limits.httpKeepAliveMs,
    maxHeaderSize: limits.httpHeaderBytesMax,
    insecureHTTPParser: false,
    noDelay: true,
    // Refused below instead, with a problem document.
    requireHostHeader: false,
  })
  server.on('connection', (socket) => connections.onConnection(socket))
  server.on('request', (request, response) => {
    if (!connections.onRequest(request, response)) return
    const refusal = refusalOf(request)
    if (refusal === null) handler(request, response)
    else refuse(response, refusal)
  })
  // An expectation that nobody here knows is no reason to refuse (RFC 9110, 10.1.1).
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    if (connections.onRequest(request, response)) handler(request, response)
  })
  // A connection that could not be accepted, for want of descriptors, say, leaves the listener working.
  server.on('error', (error) => {
    if (server.listening) onAcceptFailed(error)
  })
  return server
}

/** What the parser lets through and the protocol does not. */
function refusalOf({ headers, httpVersion }: IncomingMessage): string | null {
  if (httpVersion === '1.1') return headers.host === undefined ? 'the Host header is missing' : null
  return httpVersion === '1.0' ? null : 'the version of HTTP is missing'
}

function refuse(response: ServerResponse, detail: string): void {
  const body = JSON.stringify(problemOf(new RequestError('invalid-request', detail, { issues: [] })))
  const headers = { 'content-type': PROBLEM_TYPE, 'content-length': Buffer.byteLength(body), connection: 'close' }
  response.writeHead(400, headers).end(body)
}
