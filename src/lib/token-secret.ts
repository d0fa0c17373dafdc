import { limits } from '../limits.ts'
import { right, wrong, type Parsed } from './parsed.ts'

/** The beginning of every secret: programs that look for lost secrets recognize it. */
const MARK = 'quorate_'
/** So many characters of base64url hold `tokenSecretBytes`. */
const DRAWN = /^quorate_([A-Za-z0-9_-]{43})$/

/** How many random bytes a secret of a token has. */
export const tokenSecretBytes = 32

/** The secret of a token that is made of these bytes, `tokenSecretBytes` random ones. */
export function tokenSecretOf(bytes: Uint8Array): string {
  return MARK + Buffer.from(bytes).toString('base64url')
}

/**
 * The secret of a token, as somebody else has drawn it. Nobody can see in a text whether it was drawn at random; what is refused is what cannot
 * have been: of 43 random characters, fewer than 16 different ones come up once in 10^12 times. The reason does not hold the text.
 */
export function tokenSecret(text: string): Parsed<string> {
  const drawn = DRAWN.exec(text)?.[1]
  if (drawn === undefined || text.length !== MARK.length + drawn.length)
    return wrong(
      `is no secret of a token: it must be ${MARK} and 43 of A-Z, a-z, 0-9, - and _, such as 32 random bytes in base64url`,
    )
  const { size } = new Set(drawn)
  return size >= limits.auth.secretCharactersMin
    ? right(text)
    : wrong(`could be guessed: only ${size} of its 43 characters differ; draw 256 random bits`)
}
