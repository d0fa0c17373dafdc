import type { IncomingMessage } from 'node:http'
import { TLSSocket } from 'node:tls'
import { isCertificateName } from '../../kv/index.ts'
import { missingProof } from '../../tls/proof.ts'
import { hashIn, hashOfCertificate } from './secret.ts'

/** A certificate that may stand for a token. */
interface Shown {
  readonly hash: string
  /** Milliseconds of the wall clock. */
  readonly notAfter: number
}

/** Finds what a request shows to say who asks: a secret in its header, or else the certificate of its connection. */
export class Credentials {
  private readonly wall: () => number
  /** Of connections that were looked at. Null: there is no certificate that could stand for a token. */
  private readonly shown = new WeakMap<TLSSocket, Shown | null>()

  /** `wall`: milliseconds of the wall clock. */
  constructor(wall: () => number) {
    this.wall = wall
  }

  /** The hash by which its token is known; null: it shows nothing. A header wins over the certificate, also one that is of no use. */
  of({ headers: { authorization }, socket }: IncomingMessage): string | null {
    if (authorization !== undefined) return hashIn(authorization)
    return socket instanceof TLSSocket ? this.ofCertificate(socket) : null
  }

  private ofCertificate(socket: TLSSocket): string | null {
    const known = this.shown.get(socket)
    const shown = known === undefined ? shownBy(socket) : known
    this.shown.set(socket, shown)
    // A connection may last longer than the certificate with which it began.
    return shown === null || shown.notAfter <= this.wall() ? null : shown.hash
  }
}

function shownBy(socket: TLSSocket): Shown | null {
  const certificate = missingProof(socket) === null ? socket.getPeerX509Certificate() : undefined
  if (certificate === undefined) return null
  // Several common names come as a list: none of them is more valid than the others.
  const name: unknown = certificate.toLegacyObject().subject.CN
  if (typeof name !== 'string' || !isCertificateName(name)) return null
  return { hash: hashOfCertificate(name), notAfter: Date.parse(certificate.validTo) }
}
