import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createAuthority, type Authority, type CertificateOptions, type Issued } from '../../src/cli/certificates.ts'
import type { TlsIdentity, TlsSource } from '../../src/tls/identity.ts'

export const LOOPBACK = ['localhost', '127.0.0.1']
export const DAY_MS = 24 * 3_600_000

const authorities = new Map<string, Promise<Authority>>()

/** One of the CAs of this process. Making a key takes a while, so tests share them. */
export async function authority(name = 'test CA'): Promise<Authority> {
  const made = authorities.get(name) ?? createAuthority(name)
  authorities.set(name, made)
  return await made
}

/** A certificate for the loopback interface, unless told otherwise. */
export async function issue(options: Partial<CertificateOptions> = {}, from?: Authority): Promise<Issued> {
  const issuer = from ?? (await authority())
  return await issuer.issue({ commonName: 'node', hosts: LOOPBACK, ...options })
}

export interface PemFiles {
  readonly cert: string
  readonly key: string
  readonly ca: string
}

/** Writes the files of one side, and returns their paths. */
export async function writePems(directory: string, { cert, key }: Issued, ca: string): Promise<PemFiles> {
  await mkdir(directory, { recursive: true })
  const paths = { cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem'), ca: join(directory, 'ca.pem') }
  await Promise.all([writeFile(paths.cert, cert), writeFile(paths.key, key), writeFile(paths.ca, ca)])
  return paths
}

export function identityOf({ cert, key }: Issued, ca: string | null): TlsIdentity {
  return {
    cert: Buffer.from(cert),
    key: Buffer.from(key),
    ca: ca === null ? null : Buffer.from(ca),
    certificates: [],
  }
}

/** An identity that a test replaces when it likes. */
export class GivenIdentity implements TlsSource {
  identity: TlsIdentity
  private readonly applied: (() => void)[] = []

  constructor(identity: TlsIdentity) {
    this.identity = identity
  }

  onReplaced(apply: () => void): void {
    this.applied.push(apply)
  }

  replace(identity: TlsIdentity): void {
    this.identity = identity
    for (const apply of this.applied) apply()
  }
}
