import { ConnectionError } from '../client/errors.ts'
import type { ClientOptions, TlsOptions } from '../client/options.ts'
import { QuorateClient } from '../client/quorate-client.ts'
import { readAtMost } from '../config/bounded-file.ts'
import { toError } from '../lib/to-error.ts'
import { limits } from '../limits.ts'
import { tokenOf, type TokenOptions } from './client-token.ts'
import { printable } from './table.ts'
import { UsageError, type Terminal } from './terminal.ts'

/** Paths of PEM files: `--ca`, `--cert`, `--key`. */
export interface TlsFiles {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

interface GivenPath {
  /** The flag or variable that names the file. */
  readonly by: string
  readonly path: string | undefined
}

function tlsPathsOf({ environment }: Terminal, options: TlsFiles): Readonly<Record<'ca' | 'cert' | 'key', GivenPath>> {
  const pathOf = (name: 'ca' | 'cert' | 'key'): GivenPath => {
    const variable = `QUORATE_${name.toUpperCase()}`
    const inEnvironment = environment[variable] === '' ? undefined : environment[variable]
    return options[name] === undefined
      ? { by: `${variable}=`, path: inEnvironment }
      : { by: `--${name} `, path: options[name] }
  }
  return { ca: pathOf('ca'), cert: pathOf('cert'), key: pathOf('key') }
}

/** Whether the user names a CA or a certificate, and so means https. */
export function meansTls(terminal: Terminal, options: TlsFiles): boolean {
  return Object.values(tlsPathsOf(terminal, options)).some(({ path }) => path !== undefined)
}

/** What the files of `--ca`, `--cert` and `--key` hold, or of the variables that stand for them. */
export async function tlsOf(terminal: Terminal, options: TlsFiles): Promise<TlsOptions> {
  const { ca, cert, key } = tlsPathsOf(terminal, options)
  if ((cert.path === undefined) !== (key.path === undefined)) {
    const [there, missing] = cert.path === undefined ? [key, '--cert'] : [cert, '--key']
    throw new UsageError(
      `${there.by}${printable(there.path ?? '')}: expected ${missing} as well, since they belong together`,
    )
  }
  const [caPem, certPem, keyPem] = await Promise.all([
    pemIn(ca, 'CERTIFICATE'),
    pemIn(cert, 'CERTIFICATE'),
    pemIn(key, 'PRIVATE KEY'),
  ])
  return {
    ...(caPem === null ? {} : { ca: caPem }),
    ...(certPem === null || keyPem === null ? {} : { cert: certPem, key: keyPem }),
  }
}

async function pemIn({ by, path }: GivenPath, label: 'CERTIFICATE' | 'PRIVATE KEY'): Promise<string | null> {
  if (path === undefined) return null
  const bytes = await readAtMost(path, limits.tlsFileBytesMax).catch((error: unknown) => {
    throw new UsageError(`${by}${printable(path)} cannot be read: ${toError(error).message}`)
  })
  const text = bytes.toString('latin1')
  if (/ENCRYPTED/.test(text) && label === 'PRIVATE KEY')
    throw new UsageError(`${by}${printable(path)} is encrypted: decrypt it with \`openssl pkey -in ${path} -out FILE\``)
  if (text.includes(`${label}-----`)) return text
  throw new UsageError(`${by}${printable(path)}: expected a PEM file with a ${label.toLowerCase()}`)
}

/**
 * Makes clients that trust and show what the user has named. Each call gives another one, of other servers. Throws `ConnectionError` for servers
 * that must not be asked.
 */
export type Connect = (given: Omit<ClientOptions, 'tls' | 'token'>) => QuorateClient

/** Rejects with `UsageError` when the files are of no use. `named`: the servers that the user has named. */
export async function connectWith(
  terminal: Terminal,
  options: TlsFiles & TokenOptions,
  named: readonly URL[],
): Promise<Connect> {
  const tls = await tlsOf(terminal, options)
  const token = await tokenOf(terminal, options)
  return (given) => {
    for (const server of given.servers) refuseClear(new URL(server), named)
    try {
      return new QuorateClient({ ...given, tls, token })
    } catch (error) {
      if (!(error instanceof TypeError)) throw error
      throw new UsageError(`--ca, --cert and --key: ${error.message}`)
    }
  }
}

/** A member may be listed with an address of http. Whoever named https has not agreed that the token goes there in clear. */
function refuseClear(server: URL, named: readonly URL[]): void {
  const isNamed = named.some(({ origin }) => origin === server.origin)
  if (server.protocol === 'https:' || isNamed || named.every(({ protocol }) => protocol === 'http:')) return
  throw new ConnectionError(
    `${server.origin}: the members list this address, and what goes by https does not go on by http, so nothing was sent there; ` +
      'give the member its https address with `quorate cluster set-addresses`',
    true,
  )
}
