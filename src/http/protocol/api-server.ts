import { createServer, type Server } from 'node:http'
import type { TlsSource } from '../../tls/identity.ts'
import { limits } from '../../limits.ts'
import { ApiRequest } from './api-request.ts'
import { ApiResponse } from './api-response.ts'
import type { Connections } from './connections.ts'
import type { Handler } from './line.ts'
import type { Lines } from './lines.ts'
import type { RestsOptions } from './rests.ts'
import { createSecureServer, guardSecureServer, type OnMistaken } from './secure-server.ts'
import type { TurnsOptions } from './turns.ts'

/** Timeouts that a test may shorten. */
export interface ApiServerOptions {
  readonly headersTimeoutMs: number
  readonly receiveTimeoutMs: number
  readonly connectionsCheckMs: number
  readonly answerStallTimeoutMs: number
  readonly refusedRests: RestsOptions
  readonly turns: TurnsOptions
}

export const apiServerDefaults: ApiServerOptions = {
  headersTimeoutMs: limits.httpHeadersTimeoutMs,
  receiveTimeoutMs: limits.httpReceiveTimeoutMs,
  connectionsCheckMs: limits.httpConnectionsCheckMs,
  answerStallTimeoutMs: limits.httpAnswerStallTimeoutMs,
  refusedRests: {
    ms: limits.httpRefusedRestMs,
    msMax: limits.httpRefusedRestMsMax,
    endsPerSecond: limits.httpRefusedRestEndsPerSecond,
  },
  turns: { msMax: limits.httpTurnMsMax, readAgainMin: limits.httpReadAgainMin },
}

export interface ApiServerDependencies {
  readonly handler: Handler
  readonly connections: Connections
  readonly lines: Lines
  /** The system could not accept a connection. */
  readonly onAcceptFailed: (error: Error) => void
  /** Null: the API speaks http. */
  readonly tls: TlsSource | null
  readonly onMistaken: OnMistaken
  /** Takes what is to be done when the server begins to close: it then waits for every connection. */
  readonly atClosing: (end: () => void) => void
}

/** The listener of the API, with its limits. Node's strict parser stays on: it refuses the request shapes that smuggling uses. */
export function createApiServer(options: ApiServerOptions, dependencies: ApiServerDependencies): Server {
  const { handler, connections, lines, onAcceptFailed, tls, onMistaken, atClosing } = dependencies
  const settings = {
    IncomingMessage: ApiRequest,
    ServerResponse: ApiResponse,
    headersTimeout: options.headersTimeoutMs,
    requestTimeout: options.receiveTimeoutMs,
    connectionsCheckingInterval: options.connectionsCheckMs,
    keepAliveTimeout: limits.httpKeepAliveMs,
    maxHeaderSize: limits.httpHeaderBytesMax,
    insecureHTTPParser: false,
    noDelay: true,
    // Refused with a problem document instead (`protocol-checks.ts`).
    requireHostHeader: false,
  }
  const server = tls === null ? createServer(settings) : createSecureServer(settings, tls)
  // A client that closes its sending side after its request still reads the answer.
  Object.assign(server, { httpAllowHalfOpen: true })
  if (tls === null) server.on('connection', (socket) => connections.onConnection(socket))
  lines.serve(server, tls === null ? 'connection' : 'secureConnection', connections, handler)
  if (tls !== null) {
    const { headersTimeoutMs: handshakeTimeoutMs } = options
    const gate = guardSecureServer(server, { handshakeTimeoutMs }, { connections, tls, onMistaken })
    atClosing(() => gate.close())
  }
  // When a connection cannot be accepted, for example for lack of descriptors, the listener goes on working.
  server.on('error', (error) => {
    if (server.listening) onAcceptFailed(error)
  })
  return server
}
