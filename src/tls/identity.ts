import type { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'

/** Which listener TLS is for: that of clients or that of peers. */
export type Plane = 'api' | 'peer'

/** Certificates, key and trusted CAs as PEM, checked to be of use together. */
export interface TlsIdentity {
  readonly cert: Buffer
  readonly key: Buffer
  /** Null: the other side shows no certificate. */
  readonly ca: Buffer | null
  readonly certificates: readonly DatedCertificate[]
}

/** A certificate in use, and its time. */
export interface DatedCertificate {
  readonly flag: string
  readonly file: string
  readonly role: 'certificate' | 'ca'
  readonly subject: string
  /** Milliseconds since 1970. */
  readonly notBefore: number
  readonly notAfter: number
}

/** An identity that may be replaced while it is in use. */
export interface TlsSource {
  readonly identity: TlsIdentity
  /** Calls `apply` whenever the identity has been replaced. */
  onReplaced(apply: () => void): void
}

/** The host is without brackets. Only alternative names count, as in browsers; the common name does not. */
export function isFor(certificate: X509Certificate, host: string): boolean {
  if (isIP(host) !== 0) return certificate.checkIP(host) !== undefined
  return certificate.checkHost(host, { subject: 'never' }) !== undefined
}

const NAMES_CHARACTERS_MAX = 300

/** The names in it, for messages. */
export function namesOf({ subjectAltName }: Pick<X509Certificate, 'subjectAltName'>): string {
  if (subjectAltName === undefined || subjectAltName === '') return 'no name'
  const names = subjectAltName.replaceAll(/\b(DNS|IP Address):/g, '')
  return names.length > NAMES_CHARACTERS_MAX ? `${names.slice(0, NAMES_CHARACTERS_MAX)}...` : names
}

/** The subject of a certificate in one line, for messages. */
export function subjectOf({ subject }: Pick<X509Certificate, 'subject'>): string {
  const line = (subject ?? '').split('\n').join(', ')
  return line === '' ? 'a certificate without a subject' : line.slice(0, NAMES_CHARACTERS_MAX)
}

/** The flags that name the files of a plane. */
export function flagsOf(plane: Plane): { readonly cert: string; readonly key: string; readonly ca: string } {
  return plane === 'api'
    ? { cert: '--tls-cert', key: '--tls-key', ca: '--tls-client-ca' }
    : { cert: '--peer-tls-cert', key: '--peer-tls-key', ca: '--peer-tls-ca' }
}
