import { generateKeyPair } from 'node:crypto'
import { isIP } from 'node:net'
import { promisify } from 'node:util'
import forge from 'node-forge'

/* Certificates for clusters that are tried out: by `quorate dev --tls`, the tests and the benchmarks. Never for anything else. */

export interface Issued {
  /** PEM. */
  readonly cert: string
  readonly key: string
}

export interface CertificateOptions {
  readonly commonName: string
  /** Host names and addresses that it is for. */
  readonly hosts: readonly string[]
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly uses?: { readonly serverAuth?: boolean; readonly clientAuth?: boolean }
}

export interface Authority {
  /** PEM. */
  readonly cert: string
  issue(options: CertificateOptions): Promise<Issued>
}

const DAY_MS = 24 * 3_600_000
/** Clocks of machines differ. */
const SLACK_MS = 5 * 60_000
const KEY_BITS = 2048

const generate = promisify(generateKeyPair)

/** A CA whose key exists in this process alone. It lasts for `days`, as do certificates of it unless they say otherwise. */
export async function createAuthority(commonName: string, days = 365): Promise<Authority> {
  const own = await newKey()
  const subject = [{ name: 'commonName', value: commonName }]
  const until = new Date(Date.now() + days * DAY_MS)
  const begin = new Date(Date.now() - SLACK_MS)
  const root = certificateOf(own.publicKey, { subject, issuer: subject, notBefore: begin, notAfter: until })
  root.setExtensions([
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    { name: 'subjectKeyIdentifier' },
  ])
  root.sign(own.privateKey, forge.md.sha256.create())
  return {
    cert: forge.pki.certificateToPem(root),
    issue: async ({ commonName: name, hosts, notBefore = begin, notAfter = until, uses }) => {
      const key = await newKey()
      const owner = [{ name: 'commonName', value: name }]
      const certificate = certificateOf(key.publicKey, { subject: owner, issuer: subject, notBefore, notAfter })
      certificate.setExtensions([
        { name: 'basicConstraints', cA: false },
        { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
        { name: 'extKeyUsage', ...(uses ?? { serverAuth: true, clientAuth: true }) },
        ...(hosts.length === 0 ? [] : [{ name: 'subjectAltName', altNames: hosts.map(altNameOf) }]),
      ])
      certificate.sign(own.privateKey, forge.md.sha256.create())
      return { cert: forge.pki.certificateToPem(certificate), key: key.pem }
    },
  }
}

interface Key {
  readonly pem: string
  readonly privateKey: forge.pki.rsa.PrivateKey
  readonly publicKey: forge.pki.rsa.PublicKey
}

/** Node makes keys a hundred times faster than the library does. */
async function newKey(): Promise<Key> {
  const { privateKey: pem } = await generate('rsa', {
    modulusLength: KEY_BITS,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  })
  const privateKey = forge.pki.privateKeyFromPem(pem)
  return { pem, privateKey, publicKey: forge.pki.setRsaPublicKey(privateKey.n, privateKey.e) }
}

interface Dates {
  readonly subject: forge.pki.CertificateField[]
  readonly issuer: forge.pki.CertificateField[]
  readonly notBefore: Date
  readonly notAfter: Date
}

function certificateOf(key: forge.pki.rsa.PublicKey, dates: Dates): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = key
  // Positive, as the standard demands.
  certificate.serialNumber = `01${forge.util.bytesToHex(forge.random.getBytesSync(15))}`
  certificate.validity.notBefore = dates.notBefore
  certificate.validity.notAfter = dates.notAfter
  certificate.setSubject(dates.subject)
  certificate.setIssuer(dates.issuer)
  return certificate
}

/** The kinds of alternative names: 2 for host names, 7 for addresses. */
function altNameOf(host: string): object {
  return isIP(host) === 0 ? { type: 2, value: host } : { type: 7, ip: host }
}
