import { ConnectionError } from '../client/exchange.ts'
import { ProblemError, QuorateClient } from '../client/quorate-client.ts'
import { limits } from '../limits.ts'
import { duration } from '../setting.ts'
import { exitCodes, UsageError, type Terminal } from './terminal.ts'

/** Options that every command of the client has. */
export interface ConnectionOptions {
  readonly server?: string
  readonly timeout?: string
  readonly json?: true
}

const serverDefault = 'http://127.0.0.1:7001'

/** One node, or several with commas between them: from the options, else from the environment. */
export function serversOf(terminal: Terminal, options: ConnectionOptions): URL[] {
  const text = options.server ?? terminal.environment['QUORATE_SERVER'] ?? serverDefault
  return text.split(',').map((server) => {
    const withScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(server) ? server : `http://${server}`
    const url = URL.canParse(withScheme) ? new URL(withScheme) : null
    if (url?.protocol !== 'http:' || url.pathname !== '/' || url.search !== '' || url.username !== '') {
      throw new UsageError(
        `--server ${server}: allowed is the API of a node, http://HOST:PORT, or several with commas between them`,
      )
    }
    return url
  })
}

function timeoutMsFrom(text: string): number {
  const parsed = duration(1, limits.requestTimeoutMsMax)(text)
  if (!parsed.ok) throw new UsageError(`--timeout ${text} ${parsed.wrong}; allowed: a duration up to 1m, such as 500ms`)
  return parsed.value
}

/** A whole number as an argument. `name` is for the message. */
export function wholeNumber(text: string, name: string, min: number): number {
  const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min) return value
  throw new UsageError(`${name} ${text}: allowed is a whole number from ${min}`)
}

/** Runs `command` against the server of `options`, and turns every expected failure into a message and an exit code. */
export async function withClient(
  terminal: Terminal,
  options: ConnectionOptions,
  command: (client: QuorateClient) => Promise<void>,
): Promise<number> {
  const servers = serversOf(terminal, options)
  const timeoutMs = timeoutMsFrom(options.timeout ?? `${limits.requestTimeoutMsDefault}ms`)
  const client = new QuorateClient({ servers, timeoutMs })
  try {
    await command(client)
    return exitCodes.stopped
  } catch (error) {
    if (!(error instanceof ProblemError || error instanceof ConnectionError)) throw error
    printFailure(terminal, options, error)
    return exitCodes.requestFailed
  } finally {
    client.close()
  }
}

export function printFailure(
  terminal: Terminal,
  options: ConnectionOptions,
  error: ProblemError | ConnectionError,
): void {
  terminal.printError(options.json === true ? failureDocument(error) : describeFailure(error))
}

function failureDocument(error: ProblemError | ConnectionError): string {
  const document =
    error instanceof ProblemError
      ? error.problem
      : { code: 'unreachable', detail: error.message, retryable: true, ambiguous: !error.refused }
  return `${JSON.stringify(document)}\n`
}

function describeFailure(error: ProblemError | ConnectionError): string {
  if (error instanceof ConnectionError) {
    return `quorate: ${error.message}\n`
  }
  const { code, ambiguous, retryable } = error.problem
  const issues = Array.isArray(error.problem['issues']) ? error.problem['issues'].map(describeIssue).join('') : ''
  const hint = ambiguous
    ? '  The write may or may not take effect.\n'
    : retryable
      ? '  The same request may succeed later.\n'
      : ''
  return `quorate: ${error.message} (${code})\n${issues}${hint}`
}

function describeIssue(issue: unknown): string {
  if (typeof issue !== 'object' || issue === null || !('path' in issue) || !('message' in issue)) return ''
  return `  ${String(issue.path)}: ${String(issue.message)}\n`
}
