import { checkToken } from '../client/options.ts'
import { readAtMost } from '../config/bounded-file.ts'
import { toError } from '../lib/to-error.ts'
import { limits } from '../limits.ts'
import { printable } from './table.ts'
import { UsageError, type Terminal } from './terminal.ts'

/** Where the token of a client command comes from. */
export interface TokenOptions {
  readonly token?: string
  readonly tokenFile?: string
}

/** The token that the user names; null: none. What is given on the command line counts more than the environment. */
export async function tokenOf({ environment }: Terminal, options: TokenOptions): Promise<string | null> {
  const { token, tokenFile } = options
  if (token !== undefined && tokenFile !== undefined) throw new UsageError('--token and --token-file: give one of them')
  if (token !== undefined) return checked('--token', token)
  if (tokenFile !== undefined) return await tokenIn('--token-file ', tokenFile)
  // A secret that was made from a file ends with a line break.
  const [direct = '', file = ''] = [environment['QUORATE_TOKEN']?.trim(), environment['QUORATE_TOKEN_FILE']]
  if (direct !== '') return checked('QUORATE_TOKEN', direct)
  return file === '' ? null : await tokenIn('QUORATE_TOKEN_FILE=', file)
}

async function tokenIn(by: string, path: string): Promise<string> {
  const bytes = await readAtMost(path, limits.secretFileBytesMax).catch((error: unknown) => {
    throw new UsageError(`${by}${printable(path)} cannot be read: ${toError(error).message}`)
  })
  return checked(`${by}${printable(path)}`, bytes.toString('utf8').trim())
}

/** The message does not hold the token. */
function checked(by: string, token: string): string {
  try {
    checkToken(token)
    return token
  } catch (error) {
    throw new UsageError(`${by}: ${toError(error).message}`)
  }
}
