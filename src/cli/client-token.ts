import { stat } from 'node:fs/promises'
import { checkToken, type ClientOptions } from '../client/options.ts'
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

/**
 * The token that the user names; undefined: none. What is given on the command line counts more than the environment. That of a file is read again
 * while the command runs, so that a token can be exchanged under `quorate lock` or `quorate kv watch`.
 */
export async function tokenOf({ environment }: Terminal, options: TokenOptions): Promise<ClientOptions['token']> {
  const { token, tokenFile } = options
  if (token !== undefined && tokenFile !== undefined) throw new UsageError('--token and --token-file: give one of them')
  if (token !== undefined) return checked('--token', token)
  if (tokenFile !== undefined) return await tokenFrom('--token-file ', tokenFile)
  // A secret that was made from a file ends with a line break.
  const [direct = '', file = ''] = [environment['QUORATE_TOKEN']?.trim(), environment['QUORATE_TOKEN_FILE']]
  if (direct !== '') return checked('QUORATE_TOKEN', direct)
  return file === '' ? undefined : await tokenFrom('QUORATE_TOKEN_FILE=', file)
}

async function tokenFrom(by: string, path: string): Promise<ClientOptions['token']> {
  const first = await tokenIn(by, path)
  // A pipe or a device can be read once.
  const isFile = await stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  )
  return isFile ? rereading(() => tokenIn(by, path), first) : first
}

/** What `read` gives, looked up at most every so often. While it gives no token (the file is being replaced), the last one counts. */
function rereading(read: () => Promise<string>, first: string): () => Promise<string> {
  let last = Promise.resolve(first)
  let readAt = performance.now()
  return async () => {
    if (performance.now() - readAt >= limits.clientTokenFileReadMs) {
      readAt = performance.now()
      const before = last
      last = read().catch(() => before)
    }
    return await last
  }
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
