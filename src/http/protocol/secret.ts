import { hash, randomBytes } from 'node:crypto'
import { tokenSecretBytes, tokenSecretOf } from '../../lib/token-secret.ts'

const BEARER = /^bearer +(quorate_[A-Za-z0-9_-]{43})$/i

export function newSecret(): string {
  return tokenSecretOf(randomBytes(tokenSecretBytes))
}

/** What is stored of a secret, which has so many random bits that no slow hash is needed. */
export function hashOf(secret: string): string {
  return hash('sha256', secret, 'hex')
}

/** What is stored of the name in a certificate. No secret has this hash: each of them begins with the mark. */
export function hashOfCertificate(name: string): string {
  return hashOf(`certificate ${name}`)
}

/** The hash of the secret in an `Authorization` header; null when it has none. */
export function hashIn(authorization: string): string | null {
  const secret = BEARER.exec(authorization)?.[1]
  return secret === undefined ? null : hashOf(secret)
}
