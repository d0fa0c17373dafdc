import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectory } from '../storage/directories.ts'
import { createAuthority, type Issued } from './certificates.ts'

/** The files of a development cluster with TLS. */
export interface DevTls {
  readonly caFile: string
  /** What the file holds. */
  readonly ca: string
  /** The flags of any node: all of them run on this machine, and share one certificate. */
  readonly flags: readonly string[]
}

const LOOPBACK = ['localhost', '127.0.0.1', '::1']

/** Makes a CA and a certificate of it, anew at each start. The key of the CA is never written. */
export async function makeDevTls(directory: string): Promise<DevTls> {
  const place = join(directory, 'tls')
  await rm(place, { recursive: true, force: true })
  await makeDirectory(place)
  const authority = await createAuthority('Quorate development CA, thrown away')
  const node: Issued = await authority.issue({ commonName: 'quorate-dev', hosts: LOOPBACK })
  const caFile = join(place, 'ca.pem')
  const cert = join(place, 'node.pem')
  const key = join(place, 'node-key.pem')
  await writeFile(caFile, authority.cert)
  await writeFile(cert, node.cert)
  await writeFile(key, node.key, { mode: 0o600 })
  const api = ['--tls-cert', cert, '--tls-key', key]
  const peers = ['--peer-tls-cert', cert, '--peer-tls-key', key, '--peer-tls-ca', caFile]
  return { caFile, ca: authority.cert, flags: [...api, ...peers] }
}
