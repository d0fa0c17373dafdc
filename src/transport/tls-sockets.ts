import { X509Certificate } from 'node:crypto'
import { isIP, type Server, type Socket } from 'node:net'
import {
  connect,
  createSecureContext,
  createServer,
  TLSSocket,
  type PeerCertificate,
  type SecureContext,
} from 'node:tls'
import { parseHostPort } from '../lib/host-port.ts'
import { certificateFault, handshakeFault } from '../lib/tls-words.ts'
import { limits } from '../limits.ts'
import type { Refusal } from '../ports/transport.ts'
import { isFor, namesOf, type TlsSource } from '../tls/identity.ts'
import { missingProof, NO_SESSIONS } from '../tls/proof.ts'
import { TlsGate } from '../tls/tls-gate.ts'
import { FrameWriter } from './frame-writer.ts'
import type { PeerTlsFaults } from './peer-tls-faults.ts'
import { describeError, socketOptions, type DialTarget, type FarEnd, type Sockets } from './sockets.ts'
import { encodeFrame } from './wire.ts'

export interface TlsSocketsOptions {
  /** A name that any peer may have in its certificate: that of discovery by DNS, which finds bare addresses. */
  readonly sharedName: string | null
}

export interface TlsSocketsDependencies {
  readonly source: TlsSource
  readonly faults: PeerTlsFaults
}

const VERSION_MIN = 'TLSv1.2'

/**
 * Mutual TLS: both ends show a certificate of a trusted CA. That of a peer has to name the host where the peer is dialled, and the host
 * where it says that it lives. Who fails is told why, as far as it can be told anything.
 */
export class TlsSockets implements Sockets {
  private readonly options: TlsSocketsOptions
  private readonly source: TlsSource
  private readonly faults: PeerTlsFaults
  /** For dialling. */
  private context: SecureContext

  constructor(options: TlsSocketsOptions, { source, faults }: TlsSocketsDependencies) {
    this.options = options
    this.source = source
    this.faults = faults
    this.context = createSecureContext(this.materials())
    source.onReplaced(() => (this.context = createSecureContext(this.materials())))
  }

  createServer(onSocket: (socket: Socket, farEnd: FarEnd) => void): Server {
    const server = createServer({
      ...this.materials(),
      ...socketOptions,
      requestCert: true,
      // A caller without a good certificate is refused below, with a reason.
      rejectUnauthorized: false,
      handshakeTimeout: limits.handshakeTimeoutMs,
    })
    this.source.onReplaced(() => server.setSecureContext(this.materials()))
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => this.onHandshakeFailed(error, socket))
    const gate: TlsGate = new TlsGate(
      server,
      { handshakeTimeoutMs: limits.handshakeTimeoutMs },
      {
        admits: () => {
          if (gate.pendingCount >= limits.peerTlsHandshakesMax) gate.dropOldest()
          return true
        },
        onPlain: (raw) => this.refusePlain(raw),
        onSecured: (secured) => {
          const fault = faultOf(secured)
          if (fault === null) onSocket(secured, this.farEndOf(secured))
          else this.refuse(secured, { code: 'wrong-certificate', detail: fault })
        },
      },
    )
    return server
  }

  dial({ host, port, lookup }: DialTarget): { readonly socket: Socket; readonly event: 'secureConnect' } {
    const socket = connect({
      host,
      port,
      lookup,
      secureContext: this.context,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      checkServerIdentity: (_name, certificate) => this.objectionToServer(host, certificate),
    })
    socket.once('connect', () => {
      socket.setNoDelay(socketOptions.noDelay)
      socket.setKeepAlive(socketOptions.keepAlive, socketOptions.keepAliveInitialDelay)
    })
    return { socket, event: 'secureConnect' }
  }

  farEndOf(socket: Socket): FarEnd {
    const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined
    return {
      describe: (error) => describe(error),
      objectionTo: (raftAddress) => this.objectionTo(certificate, raftAddress),
    }
  }

  onDialled(address: string, error: NodeJS.ErrnoException | null): void {
    if (error === null) this.faults.onReached(address)
    else if (isOfTls(error)) this.faults.onDialFailed(address, describe(error))
  }

  /** The trusted CAs are those of the file alone, never those of the system. */
  private materials() {
    const { cert, key, ca } = this.source.identity
    return { cert, key, ca: ca ?? [], minVersion: VERSION_MIN, secureOptions: NO_SESSIONS } as const
  }

  private objectionToServer(host: string, { raw }: PeerCertificate): Error | undefined {
    const certificate = new X509Certificate(raw)
    if (this.speaksFor(certificate, host)) return undefined
    return Object.assign(new Error(`its certificate is for ${namesOf(certificate)}, not for ${host}`), {
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    })
  }

  private objectionTo(certificate: X509Certificate | undefined, raftAddress: string): string | null {
    const host = parseHostPort(raftAddress)?.host ?? ''
    if (certificate === undefined || this.speaksFor(certificate, host)) return null
    return `the certificate is for ${namesOf(certificate)}, not for ${host}, where the node says that it is: correct --peer-tls-cert or --raft-advertise`
  }

  private speaksFor(certificate: X509Certificate, host: string): boolean {
    const { sharedName } = this.options
    return isFor(certificate, host) || (sharedName !== null && isFor(certificate, sharedName))
  }

  /** A frame of this protocol: a node understands it, whether it is one with TLS or without. */
  private refuse(socket: Socket, refusal: Refusal): void {
    this.faults.onCallerRefused(socket.remoteAddress ?? 'unknown', refusal.code, refusal.detail)
    const writer = new FrameWriter()
    encodeFrame({ type: 'hello-answer', answer: { kind: 'refused', refusal, report: null } }, writer)
    socket.on('error', () => undefined)
    socket.end(Buffer.concat(writer.take()))
    // Bytes that still arrive are read and thrown away: closing with unread bytes would reset the connection and lose the answer.
    socket.resume()
    const cut = setTimeout(() => socket.destroy(), limits.peerStopGraceMs)
    socket.once('end', () => socket.destroy())
    socket.once('close', () => clearTimeout(cut))
  }

  private refusePlain(raw: Socket): void {
    const way = 'start it with --peer-tls-cert, --peer-tls-key and --peer-tls-ca, as the others'
    this.refuse(raw, {
      code: 'wrong-protocol',
      detail: `peers speak TLS here, and this node was called without: ${way}`,
    })
  }

  private onHandshakeFailed(error: NodeJS.ErrnoException, socket: TLSSocket): void {
    const fault = handshakeFault(error)
    if (fault !== null) this.faults.onCallerRefused(socket.remoteAddress ?? 'unknown', fault, `it ${fault}`)
    socket.destroy()
  }
}

/** What is wrong with the certificate of a caller, in words for it; null: nothing. */
function faultOf(secured: TLSSocket): string | null {
  const missing = missingProof(secured)
  if (missing === null) return null
  const { subject, fault } = missing
  if (subject === null) return 'peers have to show a certificate here, and this node showed none'
  return `the certificate of ${subject} ${fault}: compare --peer-tls-cert and --peer-tls-ca of both nodes`
}

/** Whether the failure is one of TLS, and not of the network or of a process that is gone. */
function isOfTls(error: NodeJS.ErrnoException): boolean {
  const { code = '' } = error
  return certificateFault(code) !== null || handshakeFault(error) !== null || isClosedEarly(error)
}

function isClosedEarly({ code, message }: NodeJS.ErrnoException): boolean {
  return code === 'ECONNRESET' && message.includes('secure TLS connection')
}

function describe(error: NodeJS.ErrnoException): string {
  const { code = '', message } = error
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return `${message}: correct its --peer-tls-cert, or its address in the membership`
  const fault = certificateFault(code)
  if (fault !== null) return `its certificate ${fault}: compare its --peer-tls-cert with --peer-tls-ca of this node`
  const handshake = handshakeFault(error)
  if (handshake !== null) return `it ${handshake}`
  if (isClosedEarly(error))
    return 'it closed the connection during the TLS handshake: it speaks without TLS, or it stops'
  return describeError(error)
}
