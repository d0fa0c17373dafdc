import { createHash, randomBytes } from 'node:crypto'

const SECRET_BYTES = 32
/** The beginning of every secret: programs that look for lost secrets recognize it. */
const MARK = 'quorate_'
const BEARER = /^bearer +(quorate_[A-Za-z0-9_-]{43})$/i

export function newSecret(): string {
  return MARK + randomBytes(SECRET_BYTES).toString('base64url')
}

/** What is stored of a secret. It has so many random bits that no slow hash is needed. */
export function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

/** The hash of the secret in an `Authorization` header; null when it has none. */
export function hashIn(authorization: string | undefined): string | null {
  const secret = authorization === undefined ? undefined : BEARER.exec(authorization)?.[1]
  return secret === undefined ? null : hashOf(secret)
}
