import {
  AmbiguousOutcomeError,
  newTokenSecret,
  type GrantView,
  type NewToken,
  type QuorateClient,
  type RoleView,
  type TokenView,
} from '../client/index.ts'
import { readAtMost } from '../config/bounded-file.ts'
import { duration } from '../lib/duration.ts'
import { toError } from '../lib/to-error.ts'
import { tokenSecret as parseTokenSecret } from '../lib/token-secret.ts'
import { limits } from '../limits.ts'
import { shown, wholeNumber, withClient, type ConnectionOptions } from './connection.ts'
import { shellWord } from './shell.ts'
import { formatTable, printable } from './table.ts'
import { UsageError, type Terminal } from './terminal.ts'

export interface BootstrapOptions extends ConnectionOptions {
  readonly name?: string
  readonly secretFile?: string
  readonly tokenSecretFile?: string
}

export interface RoleOptions extends ConnectionOptions {
  readonly grant?: readonly string[]
  readonly right?: readonly string[]
  /** The role is to allow nothing. */
  readonly nothing?: true
}

export interface TokenOptions extends ConnectionOptions {
  readonly role?: readonly string[]
  readonly certificateName?: string
  readonly ttl?: string
  readonly requestsPerSecond?: string
  readonly bytesPerSecond?: string
}

const RIGHTS = ['cluster:read', 'cluster:admin', 'auth:admin'] as const satisfies readonly RoleView['rights'][number][]

export async function bootstrap(terminal: Terminal, options: BootstrapOptions): Promise<number> {
  const { name, secretFile, tokenSecretFile } = options
  const secret = secretFile === undefined ? undefined : await secretIn('--secret-file', secretFile)
  const own = tokenSecretFile === undefined ? null : await tokenSecretIn(tokenSecretFile)
  const tokenSecret = own ?? newTokenSecret()
  const ask = async ({ auth }: QuorateClient): Promise<void> => {
    // The request may be on its way when a signal comes, and then nobody else has the secret.
    const whenSignalled = own === null ? () => handOver(terminal, tokenSecret, options) : () => undefined
    const stopWaiting = terminal.beforeSignalEnds(whenSignalled)
    try {
      const made = await auth.bootstrap({ name, secret, tokenSecret })
      if (own === null || options.json === true) return printNew(terminal, made, options)
      terminal.printError(`token ${made.id} of ${made.name}; its secret is the one in the file\n`)
    } catch (error) {
      // The token may be there, and then nobody else has its secret.
      if (own === null && error instanceof AmbiguousOutcomeError) handOver(terminal, tokenSecret, options)
      throw error
    } finally {
      stopWaiting()
    }
  }
  return await withClient(terminal, options, ask, { retry: true })
}

/** The secret of a token of which nobody knows whether it was made. */
function handOver(terminal: Terminal, tokenSecret: string, { json, name }: BootstrapOptions): void {
  printSecret(terminal, { name, secret: tokenSecret }, json === true)
  if (json === true) return
  const named = name === undefined ? '' : ` --name ${shellWord(name)}`
  terminal.printError(
    `the token may have been made; its secret is in the output. Keep it in a file, and run this again with${named} --token-secret-file FILE\n`,
  )
}

async function tokenSecretIn(path: string): Promise<string> {
  const parsed = parseTokenSecret(await secretIn('--token-secret-file', path))
  if (parsed.ok) return parsed.value
  throw new UsageError(`--token-secret-file ${printable(path)}: what it holds ${parsed.wrong}`)
}

async function secretIn(flag: string, path: string): Promise<string> {
  const bytes = await readAtMost(path, limits.secretFileBytesMax).catch((error: unknown) => {
    throw new UsageError(`${flag} ${printable(path)} cannot be read: ${toError(error).message}`)
  })
  return bytes.toString('utf8').trim()
}

export async function self(terminal: Terminal, options: ConnectionOptions): Promise<number> {
  return await withClient(terminal, options, async (client) => {
    const self = await client.auth.self()
    if (options.json === true) return terminal.print(`${JSON.stringify(self)}\n`)
    if (!self.enabled) return terminal.print('the cluster has no tokens: everybody may do everything\n')
    const { token, grants, rights } = self
    const who = token === null ? '' : `token ${token.id} of ${token.name}\n`
    terminal.print(`${who}${describeRights(grants, rights)}`)
  })
}

export async function putRole(terminal: Terminal, name: string, options: RoleOptions): Promise<number> {
  const grants = (options.grant ?? []).map(grantFrom)
  const rights = (options.right ?? []).map(rightFrom)
  const isEmpty = grants.length + rights.length === 0
  if (options.nothing === true && !isEmpty)
    throw new UsageError('--nothing makes a role that allows nothing: give it without --grant and --right')
  if (isEmpty && options.nothing !== true) {
    throw new UsageError(
      `without --grant and --right, role ${shown(name)} would allow nothing, whatever it allows now: say what it is to allow, or --nothing`,
    )
  }
  return await withClient(terminal, options, async (client) => {
    const role = await client.auth.putRole(name, { grants, rights })
    terminal.print(options.json === true ? `${JSON.stringify(role)}\n` : describeRole(role))
  })
}

export async function getRole(terminal: Terminal, name: string, options: ConnectionOptions): Promise<number> {
  return await withClient(terminal, options, async (client) => {
    const role = await client.auth.role(name)
    terminal.print(options.json === true ? `${JSON.stringify(role)}\n` : describeRole(role))
  })
}

export async function listRoles(terminal: Terminal, options: ConnectionOptions): Promise<number> {
  return await withClient(terminal, options, async (client) => {
    const roles = await client.auth.roles()
    terminal.print(options.json === true ? lines(roles) : roles.map(describeRole).join(''))
  })
}

export async function deleteRole(terminal: Terminal, name: string, options: ConnectionOptions): Promise<number> {
  return await withClient(terminal, options, async (client) => {
    await client.auth.deleteRole(name)
    terminal.print(options.json === true ? `${JSON.stringify({ name })}\n` : `role ${printable(name)} is deleted\n`)
  })
}

export async function createToken(terminal: Terminal, name: string, options: TokenOptions): Promise<number> {
  const { role: roles = [], certificateName, ttl, requestsPerSecond: requests, bytesPerSecond: bytes } = options
  const limitsOf = {
    ttlMs: ttl === undefined ? undefined : ttlMsOf(ttl),
    requestsPerSecond: requests === undefined ? undefined : wholeNumber(requests, '--requests-per-second', 1),
    bytesPerSecond: bytes === undefined ? undefined : wholeNumber(bytes, '--bytes-per-second', 1),
  }
  if (roles.length === 0) {
    throw new UsageError(
      `without --role, the token of ${shown(name)} could do nothing, and roles cannot be given to it later: name a role (\`quorate auth role list\` shows them)`,
    )
  }
  return await withClient(terminal, options, async ({ auth }) => {
    if (certificateName === undefined) return printNew(terminal, await auth.createToken(name, roles, limitsOf), options)
    const token = await auth.createCertificateToken(name, roles, certificateName, limitsOf)
    if (options.json === true) return terminal.print(`${JSON.stringify(token)}\n`)
    terminal.print(`token ${token.id} of ${token.name}: certificates with the name ${certificateName} stand for it\n`)
  })
}

export async function listTokens(terminal: Terminal, options: ConnectionOptions): Promise<number> {
  return await withClient(terminal, options, async (client) => {
    const tokens = await client.auth.tokens()
    if (options.json === true) return terminal.print(lines(tokens))
    const rows = tokens.map((token) => [String(token.id), token.name, token.roles.join(','), ...restOf(token)])
    terminal.print(formatTable(['TOKEN', 'NAME', 'ROLES', 'ENDS', 'CERTIFICATE', 'LIMITS'], rows))
  })
}

export async function revokeToken(terminal: Terminal, text: string, options: ConnectionOptions): Promise<number> {
  const id = wholeNumber(text, 'the token', 1)
  return await withClient(terminal, options, async (client) => {
    await client.auth.revokeToken(id)
    terminal.print(options.json === true ? `${JSON.stringify({ id })}\n` : `token ${id} is revoked\n`)
  })
}

/** The secret alone goes to the standard output, so that it can be sent on without being seen. */
function printNew(terminal: Terminal, token: NewToken, { json }: ConnectionOptions): void {
  if (json !== true) terminal.printError(`token ${token.id} of ${token.name}; its secret is not shown again\n`)
  printSecret(terminal, token, json === true)
}

/** Nobody else has the secret: when it cannot be printed where it belongs, it is printed as an error. */
function printSecret(
  terminal: Terminal,
  token: { readonly name?: string | undefined; readonly secret: string },
  isJson: boolean,
): void {
  const document = `${JSON.stringify(token)}\n`
  terminal.needOutput(
    isJson ? document : `  The secret of the token is ${token.secret}: keep it in a file, it is not shown again.\n`,
  )
  terminal.print(isJson ? document : `${token.secret}\n`)
}

/** `ACCESS:prefix=TEXT`, `ACCESS:key=TEXT`, or `ACCESS:range=START..END` with either bound left out. */
function grantFrom(text: string): GrantView {
  const parts = /^(read|write|read-write):(prefix|key|range)=(.*)$/s.exec(text)
  const [, access, kind, keys = ''] = parts ?? []
  if (access !== 'read' && access !== 'write' && access !== 'read-write') {
    throw new UsageError(
      `--grant ${shown(text)}: expected read, write or read-write, then :prefix=TEXT, :key=TEXT or :range=START..END, such as read-write:prefix=app/`,
    )
  }
  if (kind !== 'range') return kind === 'key' ? { access, key: keys } : { access, prefix: keys }
  const [start = '', end, ...others] = keys.split('..')
  if (end === undefined || others.length > 0)
    throw new UsageError(
      `--grant ${shown(text)}: expected a range as START..END, with two dots; either bound may be left out`,
    )
  return { access, ...(start === '' ? {} : { start }), ...(end === '' ? {} : { end }) }
}

function rightFrom(text: string): (typeof RIGHTS)[number] {
  const right = RIGHTS.find((one) => one === text)
  if (right !== undefined) return right
  throw new UsageError(`--right ${shown(text)}: expected ${RIGHTS.join(', ')}`)
}

function ttlMsOf(text: string): number {
  const parsed = duration(1, limits.auth.ttlMsMax)(text)
  if (parsed.ok) return parsed.value
  throw new UsageError(`--ttl ${shown(text)} ${parsed.wrong}; expected a duration, such as 12h or 2160h`)
}

function describeRole({ name, grants, rights }: RoleView): string {
  return `role ${name}\n${describeRights(grants, rights)}`
}

function describeRights(grants: readonly GrantView[], rights: readonly string[]): string {
  const rows = [...grants.map((grant) => `${grant.access} ${keysOf(grant)}`), ...rights]
  return rows.length === 0 ? '  nothing\n' : rows.map((row) => `  ${row}\n`).join('')
}

function keysOf({ key, prefix, start, end }: GrantView): string {
  if (key !== undefined) return `key ${printable(key)}`
  if (prefix !== undefined) return prefix === '' ? 'every key' : `prefix ${printable(prefix)}`
  return `range ${printable(start ?? '')}..${printable(end ?? '')}`
}

function restOf({ expiresAt, certificateName, requestsPerSecond, bytesPerSecond }: TokenView): readonly string[] {
  const most = [
    ...(requestsPerSecond === null ? [] : [`${requestsPerSecond} requests/s`]),
    ...(bytesPerSecond === null ? [] : [`${bytesPerSecond} bytes/s`]),
  ]
  return [expiresAt ?? 'never', printable(certificateName ?? ''), most.join(', ')]
}

function lines(documents: readonly object[]): string {
  return documents.map((document) => `${JSON.stringify(document)}\n`).join('')
}
