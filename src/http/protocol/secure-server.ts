import type { Server, ServerOptions } from 'node:http'
import { createServer } from 'node:https'
import type { Socket } from 'node:net'
import { Server as TlsServer, type TLSSocket } from 'node:tls'
import { assert } from '../../lib/assert.ts'
import { RequestError } from '../../lib/errors.ts'
import type { TlsSource } from '../../tls/identity.ts'
import { missingProof, NO_SESSIONS } from '../../tls/proof.ts'
import { TlsGate, type GateOptions } from '../../tls/tls-gate.ts'
import type { ApiRequest } from './api-request.ts'
import type { ApiResponse } from './api-response.ts'
import type { Connections } from './connections.ts'

type ApiServer = Server<typeof ApiRequest, typeof ApiResponse>
type Settings = ServerOptions<typeof ApiRequest, typeof ApiResponse>

/** An https server that takes up a new certificate while it runs. Connections that stand keep the one that they began with. */
export function createSecureServer(settings: Settings, tls: TlsSource): ApiServer {
  const server = createServer<typeof ApiRequest, typeof ApiResponse>({
    ...settings,
    ...materialsOf(tls),
    allowHalfOpen: true,
    requestCert: tls.identity.ca !== null,
    // A client without a good certificate gets an answer that says so, see below.
    rejectUnauthorized: false,
  })
  tls.onReplaced(() => server.setSecureContext(materialsOf(tls)))
  return server
}

function materialsOf({ identity }: TlsSource) {
  const { cert, key, ca } = identity
  return { cert, key, ...(ca === null ? {} : { ca, secureOptions: NO_SESSIONS }), minVersion: 'TLSv1.2' } as const
}

/** Hears of a client that cannot be served: it speaks another protocol, or there is no trust. */
export type OnMistaken = (detail: string, socket: Socket) => void

export interface GuardDependencies {
  readonly connections: Connections
  readonly tls: TlsSource
  readonly onMistaken: OnMistaken
}

/** To be called when all listeners of the server are in their places. The gate is to be closed as soon as the server is closing. */
export function guardSecureServer(
  server: ApiServer,
  options: GateOptions,
  { connections, tls, onMistaken }: GuardDependencies,
): TlsGate {
  assert(server instanceof TlsServer, 'a server with TLS is guarded')
  const end = (socket: Socket, error: RequestError): void => {
    socket.on('error', () => undefined)
    socket.resume()
    connections.endWith(socket, error)
  }
  return new TlsGate(server, options, {
    admits: (raw) => connections.admitUnsecured(raw),
    onPlain: (raw) => {
      onMistaken('it speaks http, and this port speaks https', raw)
      end(raw, spokenPlain())
    },
    onSecured: (secured, raw, pass) => {
      connections.onSecured(secured, raw)
      const refusal = tls.identity.ca === null ? null : refusalOf(secured)
      if (refusal === null) return pass()
      onMistaken(refusal.message, secured)
      end(secured, refusal)
    },
  })
}

function spokenPlain(): RequestError {
  return new RequestError('https-required', 'this port speaks https, and the request came as http: use https://')
}

/** Null: the client has shown a certificate of a trusted CA. */
function refusalOf(secured: TLSSocket): RequestError | null {
  const missing = missingProof(secured)
  if (missing === null) return null
  const { subject, fault } = missing
  const detail =
    subject === null
      ? 'clients have to show a certificate here, and this one showed none: use --cert and --key'
      : `the certificate of the client (${subject}) ${fault}`
  return new RequestError('forbidden', detail)
}
