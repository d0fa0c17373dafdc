import type { WatchEvent } from '../api/watches.ts'
import { ConnectionError } from '../client/exchange.ts'
import { ProblemError } from '../client/quorate-client.ts'
import { watchLines, type WatchQuery } from '../client/watch-lines.ts'
import { exitCodeOf, printFailure, serversOf, timeoutMsOf, wholeNumber, type ConnectionOptions } from './connection.ts'
import { describeValue } from './kv.ts'
import { printable } from './table.ts'
import { exitCodes, UsageError, type Terminal } from './terminal.ts'

export interface WatchOptions extends ConnectionOptions {
  readonly prefix?: string
  readonly start?: string
  readonly end?: string
  readonly since?: string
  readonly prev?: true
}

/** Prints changes as they happen, until Ctrl-C: a line each. It goes on by itself when a node fails. */
export async function watch(terminal: Terminal, key: string | undefined, options: WatchOptions): Promise<number> {
  const query = queryFrom(key, options)
  const servers = serversOf(terminal, options)
  const timeoutMs = timeoutMsOf(options)
  const interrupted = new AbortController()
  void terminal.untilInterrupted().then(() => interrupted.abort())
  try {
    for await (const event of watchLines(query, { servers, timeoutMs, signal: interrupted.signal })) {
      if (options.json === true) terminal.print(`${JSON.stringify(event)}\n`)
      else if (event.type !== 'progress') terminal.print(`${describe(event)}\n`)
    }
    return exitCodes.stopped
  } catch (error) {
    if (!(error instanceof ProblemError || error instanceof ConnectionError)) throw error
    printFailure(terminal, options, error)
    return exitCodeOf(error)
  }
}

function queryFrom(key: string | undefined, { prefix, start, end, since, prev }: WatchOptions): WatchQuery {
  if (key === '') throw new UsageError('the key is empty; to watch everything, name none')
  const given = [key, prefix, start ?? end].filter((one) => one !== undefined)
  if (given.length > 1) throw new UsageError('watch a key, --prefix, or --start and --end: only one of these')
  return { key, prefix, start, end, since: since === undefined ? undefined : wholeNumber(since, '--since', 0), prev }
}

function describe({ revision = 0, type, key = '', value, valueBase64, prev }: WatchEvent): string {
  const values = type === 'put' ? [describeValue({ value, valueBase64 })] : []
  const before = prev === undefined ? [] : [prev === null ? '(new)' : `(was ${describeValue(prev)})`]
  return [String(revision), type, printable(key), ...values, ...before].join('  ')
}
