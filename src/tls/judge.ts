import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { toError } from '../lib/to-error.ts'
import { flagsOf, isFor, namesOf, subjectOf, type DatedCertificate, type Plane, type TlsIdentity } from './identity.ts'
import type { TlsContents, TlsPaths } from './tls-files.ts'

/** What a certificate has to be for. */
export interface TlsPlace {
  readonly plane: Plane
  readonly paths: TlsPaths
  /** The host that others dial, without brackets. */
  readonly host: string
}

export type Judgement =
  | { readonly kind: 'sound'; readonly identity: TlsIdentity }
  /** A sentence for each, with the flag and the file. */
  | { readonly kind: 'faulty'; readonly faults: readonly string[] }

/** A file, by its flag and path: `--tls-cert /etc/quorate/node.pem`. */
interface Named {
  readonly flag: string
  readonly file: string
}

const SERVER_USE = '1.3.6.1.5.5.7.3.1'
const CLIENT_USE = '1.3.6.1.5.5.7.3.2'
/** Longer chains than this have no place in TLS. */
const CHAIN_MAX = 10

/** Whether the files make an identity with which others can connect, `now` in milliseconds since 1970. */
export function judge(place: TlsPlace, contents: TlsContents, now: number): Judgement {
  const { plane, paths } = place
  const flags = flagsOf(plane)
  const certFile = { flag: flags.cert, file: paths.cert }
  const keyFile = { flag: flags.key, file: paths.key }
  const faults: string[] = []
  const chain = certificatesIn(contents.cert, certFile, faults)
  const key = keyIn(contents.key, keyFile, faults)
  const [leaf] = chain
  if (leaf !== undefined) faults.push(...faultsOfLeaf(place, leaf, certFile))
  if (leaf !== undefined && key !== null && !leaf.checkPrivateKey(key))
    faults.push(`${shown(keyFile)} is not the key of the certificate in ${shown(certFile)}.`)
  faults.push(...chain.flatMap((one) => faultOfTime(one, certFile, now)))

  const authorities: DatedCertificate[] = []
  if (contents.ca !== null && paths.ca !== null) {
    const caFile = { flag: flags.ca, file: paths.ca }
    const anchors = certificatesIn(contents.ca, caFile, faults)
    faults.push(...faultsOfAuthorities(anchors, caFile, now))
    if (plane === 'peer' && leaf !== undefined && anchors.length > 0 && !leadsTo(chain, anchors)) {
      const issuer = `its issuer is ${leaf.issuer.split('\n').join(', ')}`
      const wrong = `was not issued by a CA of ${shown(caFile)} (${issuer}), so no peer would accept it.`
      faults.push(`The certificate in ${shown(certFile)} ${wrong}`)
    }
    authorities.push(...anchors.map((one) => dated(one, caFile, 'ca')))
  }
  if (faults.length === 0) faults.push(...faultsOfContext(contents, certFile))
  if (faults.length > 0) return { kind: 'faulty', faults }
  const certificates = [...chain.map((one) => dated(one, certFile, 'certificate')), ...authorities]
  return { kind: 'sound', identity: { ...contents, certificates } }
}

/** What TLS itself refuses, such as a key that is too short. */
function faultsOfContext({ cert, key, ca }: TlsContents, file: Named): string[] {
  try {
    createSecureContext({ cert, key, ...(ca === null ? {} : { ca }) })
    return []
  } catch (error) {
    return [`The certificate in ${shown(file)} cannot be used for TLS: ${toError(error).message}.`]
  }
}

function shown({ flag, file }: Named): string {
  return `${flag} ${file}`
}

function dated(one: X509Certificate, { flag, file }: Named, role: DatedCertificate['role']): DatedCertificate {
  const [notBefore, notAfter] = [Date.parse(one.validFrom), Date.parse(one.validTo)]
  return { flag, file, role, subject: subjectOf(one), notBefore, notAfter }
}

function certificatesIn(pem: Buffer, file: Named, faults: string[]): readonly X509Certificate[] {
  const text = pem.toString('latin1')
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0) {
    const what = text.includes('PRIVATE KEY-----')
      ? 'holds a private key and no certificate'
      : 'holds no certificate in PEM form'
    faults.push(`${shown(file)} ${what} (-----BEGIN CERTIFICATE-----).`)
    return []
  }
  try {
    return blocks.map((block) => new X509Certificate(block))
  } catch {
    faults.push(`${shown(file)} is damaged: a certificate in it cannot be decoded.`)
    return []
  }
}

function keyIn(pem: Buffer, file: Named, faults: string[]): KeyObject | null {
  const text = pem.toString('latin1')
  if (!text.includes('PRIVATE KEY-----')) {
    const what = text.includes('BEGIN CERTIFICATE') ? 'holds a certificate and no private key' : 'holds no private key'
    faults.push(`${shown(file)} ${what} in PEM form (-----BEGIN PRIVATE KEY-----).`)
    return null
  }
  if (/BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED/.test(text)) {
    const way = `openssl pkey -in ${file.file} -out FILE`
    faults.push(
      `${shown(file)} is encrypted, and a node has nobody to ask for its passphrase: decrypt it with \`${way}\`.`,
    )
    return null
  }
  try {
    return createPrivateKey(pem)
  } catch {
    faults.push(`${shown(file)} is damaged: the private key in it cannot be decoded.`)
    return null
  }
}

function faultOfTime(one: X509Certificate, file: Named, now: number): string[] {
  const which = `The certificate of ${subjectOf(one)} in ${shown(file)}`
  if (now > Date.parse(one.validTo)) return [`${which} has expired (${isoOf(one.validTo)}).`]
  if (now < Date.parse(one.validFrom))
    return [`${which} is not valid before ${isoOf(one.validFrom)}: look at the clock of this machine.`]
  return []
}

function isoOf(date: string): string {
  return new Date(date).toISOString().replace('.000Z', 'Z')
}

function faultsOfLeaf({ plane, host }: TlsPlace, leaf: X509Certificate, file: Named): string[] {
  const faults: string[] = []
  if (!isFor(leaf, host)) {
    const [where, flag] = plane === 'api' ? ['clients reach this node', 'api'] : ['peers reach this node', 'raft']
    faults.push(
      `The certificate in ${shown(file)} is for ${namesOf(leaf)}, not for ${host}, where ${where}: ` +
        `add that name to it, or give one of its names with --${flag}-advertise.`,
    )
  }
  // Absent: the certificate may be used for anything.
  const uses = leaf.keyUsage as readonly string[] | undefined
  if (uses === undefined) return faults
  if (!uses.includes(SERVER_USE))
    faults.push(`The certificate in ${shown(file)} is not for servers (extended key usage serverAuth is missing).`)
  if (plane === 'peer' && !uses.includes(CLIENT_USE)) {
    const missing = 'extended key usage clientAuth is missing'
    faults.push(`The certificate in ${shown(file)} is not for clients (${missing}), but peers call each other.`)
  }
  return faults
}

/** One that has ended does no harm beside others, as after a change of the CA. */
function faultsOfAuthorities(anchors: readonly X509Certificate[], file: Named, now: number): string[] {
  const other = anchors.find(({ ca }) => !ca)
  if (other !== undefined)
    return [`${shown(file)} holds the certificate of ${subjectOf(other)}, which is not one of a CA.`]
  const faults = anchors.flatMap((one) => faultOfTime(one, file, now))
  return faults.length === anchors.length ? faults : []
}

/** Whether the first certificate was issued by one of `anchors`, directly or over the others of its chain. */
function leadsTo(chain: readonly X509Certificate[], anchors: readonly X509Certificate[]): boolean {
  let [current] = chain
  for (let step = 0; step < CHAIN_MAX && current !== undefined; step++) {
    const issued = current
    if (anchors.some((anchor) => isIssuedBy(issued, anchor))) return true
    current = chain.find((one) => one !== issued && isIssuedBy(issued, one))
  }
  return false
}

function isIssuedBy(one: X509Certificate, issuer: X509Certificate): boolean {
  return one.checkIssued(issuer) && one.verify(issuer.publicKey)
}
