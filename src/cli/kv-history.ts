import type { HistoryView, KeyVersion, Retention } from '../client/history.ts'
import { describeDuration, duration } from '../lib/duration.ts'
import type { Parser } from '../lib/parsed.ts'
import { size } from '../lib/size.ts'
import { limits } from '../limits.ts'
import { shown, wholeNumber, withClient, type ConnectionOptions } from './connection.ts'
import { checkKey, consistencyFrom, describeValue, type GetOptions } from './kv.ts'
import { jsonLines, printListing, tableLines } from './listing.ts'
import { UsageError, type Terminal } from './terminal.ts'

export interface HistoryOptions extends Omit<GetOptions, 'revision'> {
  readonly limit?: string
}

export interface CompactOptions extends ConnectionOptions {
  readonly show?: true
}

export interface RetentionOptions extends ConnectionOptions {
  readonly revisions?: string
  readonly age?: string
  readonly bytes?: string
}

/** The versions of a key, the newest first, printed as the pages come: one table, or one JSON document a line. */
export async function history(terminal: Terminal, key: string, options: HistoryOptions): Promise<number> {
  checkKey(key)
  const consistency = consistencyFrom(options.consistency)
  const limit = options.limit === undefined ? undefined : wholeNumber(options.limit, '--limit', 1)
  return await withClient(terminal, options, async (client) => {
    const versions = client.history.versions(key, { consistency, limit })
    const heads = ['REVISION', 'VERSION', 'VALUE']
    await printListing(
      terminal,
      options.json === true ? jsonLines(versions) : tableLines(heads, rowsOf(versions), true),
    )
  })
}

async function* rowsOf(versions: AsyncIterable<KeyVersion>): AsyncGenerator<string[]> {
  for await (const version of versions) yield rowOf(version)
}

function rowOf(version: KeyVersion): string[] {
  return version.deleted
    ? [String(version.modRevision), '', '(deleted)']
    : [String(version.modRevision), String(version.version ?? ''), describeValue(version)]
}

/** Forgets what is older than a revision, or shows how much there is and how much is kept. */
export async function compact(
  terminal: Terminal,
  revision: string | undefined,
  options: CompactOptions,
): Promise<number> {
  const upTo = revision === undefined ? null : wholeNumber(revision, 'the revision', 1)
  if ((options.show === true) === (upTo !== null)) {
    throw new UsageError(
      upTo === null
        ? 'name the oldest revision that is to stay readable, or use --show'
        : '--show changes nothing: it cannot be combined with a revision',
    )
  }
  return await withClient(terminal, options, async (client) => {
    const answer = upTo === null ? await client.history.status() : await client.history.compact(upTo)
    terminal.print(options.json === true ? `${JSON.stringify(answer)}\n` : describe(answer))
  })
}

/** Shows how much is kept, or changes it: what no option names stays as it is. */
export async function retention(terminal: Terminal, options: RetentionOptions): Promise<number> {
  const wanted = wantedOf(options)
  return await withClient(terminal, options, async (client) => {
    const status = await client.history.status()
    const isChange = Object.keys(wanted).length > 0
    const answer = isChange ? await client.history.retain(merged(status.retention, wanted)) : status
    terminal.print(options.json === true ? `${JSON.stringify(answer)}\n` : describe(answer))
  })
}

function wantedOf({ revisions, age, bytes }: RetentionOptions): Partial<Retention> {
  const { historyRevisionsMax, historyAgeMsMin, historyAgeMsMax, historyBytesMin, historyBytesMax } = limits
  return {
    ...(revisions === undefined ? {} : { revisions: boundedNumber(revisions, '--revisions', historyRevisionsMax) }),
    ...(age === undefined ? {} : { ageMs: parsed(age, '--age', duration(historyAgeMsMin, historyAgeMsMax)) }),
    ...(bytes === undefined ? {} : { bytes: parsed(bytes, '--bytes', size(historyBytesMin, historyBytesMax)) }),
  }
}

function boundedNumber(text: string, name: string, max: number): number {
  const value = wholeNumber(text, name, 0)
  if (value <= max) return value
  throw new UsageError(`${name} ${shown(text)} is above ${max}`)
}

function parsed(text: string, name: string, parser: Parser<number>): number {
  const outcome = parser(text)
  if (outcome.ok) return outcome.value
  throw new UsageError(`${name} ${shown(text)} ${outcome.wrong}`)
}

/** Before every member knows history, nothing is there that could stay as it is; the server says so. */
function merged(present: Retention | null, { revisions, ageMs, bytes }: Partial<Retention>): Retention {
  return {
    revisions: revisions ?? present?.revisions ?? 0,
    ageMs: ageMs ?? present?.ageMs ?? limits.historyAgeMsMin,
    bytes: bytes ?? present?.bytes ?? limits.historyBytesMin,
  }
}

function describe({ compactRevision, revision, changes, bytes, retention }: HistoryView): string {
  const rows = [
    ['readable', `revisions ${compactRevision} to ${revision}`],
    ['recorded', `${changes} changes, ${bytes} bytes`],
    ['kept', describeRetention(retention)],
  ]
  return rows.map(([name = '', text = '']) => `${name.padEnd(10)}${text}\n`).join('')
}

function describeRetention(retention: HistoryView['retention']): string {
  if (retention === null) return 'nothing: not every member of the cluster knows history'
  const { revisions, ageMs, bytes } = retention
  return revisions === 0 ? 'nothing' : `${revisions} changes, ${describeDuration(ageMs)}, ${bytes} bytes at most`
}
