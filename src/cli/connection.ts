import { AmbiguousOutcomeError, ConnectionError, ProblemError } from '../client/errors.ts'
import type { QuorateClient } from '../client/quorate-client.ts'
import { duration, type DurationRange } from '../lib/duration.ts'
import { failures, type ErrorCode, type ErrorFacts } from '../lib/errors.ts'
import { formatHostPort, hostPort, isWildcard, type HostPort, type Scheme } from '../lib/host-port.ts'
import { limits } from '../limits.ts'
import { connectWith, meansTls, type TlsFiles } from './client-tls.ts'
import type { TokenOptions } from './client-token.ts'
import { printable } from './table.ts'
import { exitCodes, UsageError, type Terminal } from './terminal.ts'
import { wordingOf } from './wording.ts'

/** A request that failed in a way that a command can expect. */
export type ClientFailure = ProblemError | ConnectionError | AmbiguousOutcomeError

export function isClientFailure(error: unknown): error is ClientFailure {
  return error instanceof ProblemError || error instanceof ConnectionError || error instanceof AmbiguousOutcomeError
}

/** Options of every client command. */
export interface ConnectionOptions extends TlsFiles, TokenOptions {
  readonly server?: string
  readonly timeout?: string
  readonly json?: true
}

const serverDefault = '127.0.0.1:7001'

/** Where the servers of a command come from. */
interface ServerSource {
  /** One, or several separated by commas. */
  readonly text: string
  readonly from: 'option' | 'QUORATE_SERVER' | 'QUORATE_API' | 'default'
}

/** The options, else the environment. When the environment is that of a node, as in the node's container, it is that node. */
function serverSource(terminal: Terminal, { server }: ConnectionOptions): ServerSource {
  if (server !== undefined) return { text: server, from: 'option' }
  const variable = terminal.environment['QUORATE_SERVER']
  if (variable !== undefined) return { text: variable, from: 'QUORATE_SERVER' }
  const own = ownServer(terminal)
  return own === null ? { text: serverDefault, from: 'default' } : { text: own, from: 'QUORATE_API' }
}

/** The servers that a command talks to, at least one. */
export function serversOf(terminal: Terminal, options: ConnectionOptions): URL[] {
  const { text, from } = serverSource(terminal, options)
  const given = from === 'QUORATE_SERVER' ? 'QUORATE_SERVER=' : '--server '
  // A user who names a CA or a certificate means https.
  const scheme = meansTls(terminal, options) ? 'https' : 'http'
  return text.split(',').map((server) => {
    const withScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(server) ? server : `${scheme}://${server}`
    const url = URL.canParse(withScheme) ? new URL(withScheme) : null
    const isWeb = url?.protocol === 'http:' || url?.protocol === 'https:'
    if (!isWeb || url.pathname !== '/' || url.search !== '' || url.username !== '') {
      throw new UsageError(
        `${given}${shown(server)}: expected the API of a node, http://HOST:PORT or https://HOST:PORT, or several separated by commas`,
      )
    }
    return url
  })
}

/** Which servers were asked, and who named them, unless the message of a failure and the command line say it already. */
function askedLine(terminal: Terminal, options: ConnectionOptions): string {
  const { from } = serverSource(terminal, options)
  const origins = serversOf(terminal, options).map(({ origin }) => origin)
  if (from === 'option' && origins.length === 1) return ''
  const namedBy = {
    option: '',
    QUORATE_SERVER: ' (QUORATE_SERVER)',
    QUORATE_API: ' (QUORATE_API; --server names others)',
    default: ' (the default; --server or QUORATE_SERVER names others)',
  }[from]
  return `  Asked: ${origins.join(', ')}${namedBy}\n`
}

function ownServer(terminal: Terminal): string | null {
  const api = hostPort(terminal.environment['QUORATE_API'] ?? '')
  const scheme = (terminal.environment['QUORATE_TLS_CERT'] ?? '') === '' ? 'http' : 'https'
  return api.ok && api.value.port !== 0 ? originOf(api.value, scheme) : null
}

/**
 * The origin at which a node that listens at `api` is reached on its own machine. `::` accepts IPv4 and IPv6, but either of
 * them may be switched off.
 */
export function originOf({ host, port }: HostPort, scheme: Scheme = 'http'): string {
  const loopback = host.includes(':') ? 'localhost' : '127.0.0.1'
  return `${scheme}://${formatHostPort({ host: isWildcard(host) ? loopback : host, port })}`
}

/** Milliseconds. */
export function timeoutMsOf({ timeout }: ConnectionOptions): number {
  if (timeout === undefined) return limits.requestTimeoutMsDefault
  return durationMsOf(
    timeout,
    '--timeout',
    { min: 1, max: limits.requestTimeoutMsMax },
    'a duration up to 1m, such as 500ms',
  )
}

/**
 * Parses an argument in the notation of a request's query: a duration, or a whole number of seconds. Milliseconds.
 *
 * @param expected what `name` takes, for the message
 */
export function durationMsOf(text: string, name: string, { min, max }: DurationRange, expected: string): number {
  const parsed = duration(min, max)(/^[0-9]+$/.test(text) ? `${text}s` : text)
  if (parsed.ok) return parsed.value
  throw new UsageError(`${name} ${shown(text)} ${parsed.wrong}; expected ${expected}, or a whole number of seconds`)
}

/** An argument as it appears in a message. Quotes make an empty one visible, such as that of an unset shell variable. */
export function shown(text: string): string {
  return text === '' ? "''" : printable(text)
}

/** Parses an argument as a whole number. `name` is for the message. */
export function wholeNumber(text: string, name: string, min: number): number {
  const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min) return value
  throw new UsageError(`${name} ${shown(text)}: expected a whole number from ${min}`)
}

/**
 * Runs `command` against the server of `options`, and turns every expected failure into a message and an exit code. A user who names one server
 * wants to know at once that it does not serve; with `retry` the same server is asked again until the time is up. `facts` are told with a failure
 * in JSON.
 */
export async function withClient(
  terminal: Terminal,
  options: ConnectionOptions,
  command: (client: QuorateClient) => Promise<void>,
  { retry, facts = {} }: { readonly retry?: true; readonly facts?: Readonly<Record<string, unknown>> } = {},
): Promise<number> {
  const servers = serversOf(terminal, options)
  const timeoutMs = timeoutMsOf(options)
  const connect = await connectWith(terminal, options, servers)
  const client = connect({ servers, timeoutMs, retry: retry ?? servers.length > 1 })
  try {
    await command(client)
    return exitCodes.stopped
  } catch (error) {
    if (!isClientFailure(error)) throw error
    printFailure(terminal, options, error, facts)
    return exitCodeOf(error)
  } finally {
    client.close()
  }
}

export function printFailure(
  terminal: Terminal,
  options: ConnectionOptions,
  error: ClientFailure,
  facts: Readonly<Record<string, unknown>> = {},
): void {
  if (options.json === true) return terminal.printError(failureDocument(error, facts))
  const isUnreached = causeOf(error) instanceof ConnectionError
  terminal.printError(describeFailure(error) + (isUnreached ? askedLine(terminal, options) : ''))
}

/** A code for each kind of failure, so that a script can decide what to do next without reading messages. */
export function exitCodeOf(error: ClientFailure): number {
  if (error instanceof AmbiguousOutcomeError) return exitCodes.outcomeUnknown
  if (error instanceof ConnectionError) return exitCodes.unreachable
  switch (error.code) {
    case 'key-not-found':
    case 'lease-not-found':
      return exitCodes.keyNotFound
    case 'precondition-failed':
      return exitCodes.conditionFailed
    case 'no-leader':
    case 'read-timeout':
      return exitCodes.noQuorum
    default:
      return exitCodes.requestFailed
  }
}

function causeOf(error: ClientFailure): ProblemError | ConnectionError {
  return error instanceof AmbiguousOutcomeError ? error.cause : error
}

function failureDocument(error: ClientFailure, facts: Readonly<Record<string, unknown>>): string {
  const isAmbiguous = error instanceof AmbiguousOutcomeError
  const cause = causeOf(error)
  const document =
    cause instanceof ProblemError
      ? cause.problem
      : { code: 'unreachable', detail: cause.message, retryable: true, ambiguous: isAmbiguous }
  return `${JSON.stringify({ ...document, ...facts })}\n`
}

function describeFailure(error: ClientFailure): string {
  const cause = causeOf(error)
  const unclear =
    error instanceof AmbiguousOutcomeError
      ? '  The change may have taken effect, or may still do so: check before you repeat it.\n'
      : ''
  if (cause instanceof ConnectionError) return `quorate: ${printable(cause.message)}\n${unclear}`
  const { title, code, issues, retryable } = cause.problem
  const { wrong, advice } = wordingOf(cause.problem)
  const hint = unclear || adviceLine(advice ?? (retryable ? 'The same request may succeed later.' : null))
  const listed = Array.isArray(issues) ? issues.map(describeIssue).join('') : ''
  return `quorate: ${printable(`${title}: ${wrong}`)} (${printable(code)})\n${listed}${hint}`
}

function adviceLine(advice: string | null): string {
  return advice === null ? '' : `  ${advice}\n`
}

function describeIssue(issue: unknown): string {
  if (typeof issue !== 'object' || issue === null || !('path' in issue) || !('message' in issue)) return ''
  return `  ${printable(String(issue.path))}: ${printable(String(issue.message))}\n`
}

/** A refusal that the command itself knows of, in the form of a node's own. */
export function refusal(code: ErrorCode, detail: string, facts: ErrorFacts = {}): ProblemError {
  return new ProblemError({ type: `urn:quorate:error:${code}`, ...failures[code], code, detail, ...facts })
}
