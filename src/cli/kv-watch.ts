import type { KeyOrRange } from '../client/ranges.ts'
import type { WatchEvent, WatchProgress } from '../client/watch.ts'
import { timeoutMsOf, wholeNumber, withClient, type ConnectionOptions } from './connection.ts'
import { describeValue } from './kv.ts'
import { printable } from './table.ts'
import { UsageError, type Terminal } from './terminal.ts'

export interface WatchOptions extends ConnectionOptions {
  readonly prefix?: string
  readonly start?: string
  readonly end?: string
  readonly since?: string
  readonly prev?: true
}

/** Prints changes as they happen, until Ctrl-C: a line each. It goes on by itself, unless no server can be reached for as long as `--timeout`. */
export async function watch(terminal: Terminal, key: string | undefined, options: WatchOptions): Promise<number> {
  const range = rangeFrom(key, options)
  const since = options.since === undefined ? undefined : wholeNumber(options.since, '--since', 0)
  const interrupted = new AbortController()
  const { signal } = interrupted
  void terminal.untilInterrupted().then(() => interrupted.abort())
  const asked = { since, prev: options.prev, progress: true, unreachableMsMax: timeoutMsOf(options), signal } as const
  return await withClient(terminal, options, async (client) => {
    try {
      for await (const event of client.watch(range, asked)) {
        const line = lineOf(event, options)
        if (line !== null) await terminal.printPiece(Buffer.from(`${line}\n`), signal)
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
  })
}

function rangeFrom(key: string | undefined, { prefix, start, end }: WatchOptions): KeyOrRange {
  if (key === '') throw new UsageError('the key is empty; to watch everything, name none')
  const given = [key, prefix, start ?? end].filter((one) => one !== undefined)
  if (given.length > 1) throw new UsageError('watch a key, --prefix, or --start and --end: only one of these')
  if (key !== undefined) return { key }
  return prefix === undefined ? { start, end } : { prefix }
}

function lineOf(event: WatchEvent | WatchProgress, { json }: WatchOptions): string | null {
  if (json === true) return JSON.stringify(documentOf(event))
  return event.kind === 'progress' ? null : describe(event)
}

/** An event as a node tells of it, a line of NDJSON. */
function documentOf(event: WatchEvent | WatchProgress): object {
  const { kind: type, revision } = event
  if (event.kind === 'progress') return { type, revision }
  const more = event.isLast ? {} : { more: true }
  const record = event.kind === 'put' ? event.record.toJSON() : { key: event.key, modRevision: revision }
  return { type, revision, ...more, ...record, ...(event.prev === undefined ? {} : { prev: event.prev }) }
}

function describe(event: WatchEvent): string {
  const { revision, kind, key, prev } = event
  const values = event.kind === 'put' ? [describeValue(event.record.toJSON())] : []
  const before = prev === undefined ? [] : [prev === null ? '(new)' : `(was ${valueOf(prev)})`]
  return [String(revision), kind, printable(key), ...values, ...before].join('  ')
}

function valueOf(prev: NonNullable<WatchEvent['prev']>): string {
  return 'value' in prev ? describeValue(prev.toJSON()) : 'not kept'
}
