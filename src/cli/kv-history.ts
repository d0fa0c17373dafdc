import type { HistoryView, KeyVersion } from '../client/history.ts'
import { describeDuration } from '../lib/duration.ts'
import { wholeNumber, withClient, type ConnectionOptions } from './connection.ts'
import { checkKey, consistencyFrom, describeValue, type GetOptions } from './kv.ts'
import { formatTable } from './table.ts'
import { UsageError, type Terminal } from './terminal.ts'

export interface HistoryOptions extends Omit<GetOptions, 'revision'> {
  readonly limit?: string
}

export interface CompactOptions extends ConnectionOptions {
  readonly show?: true
}

/** The versions of a key, the newest first: one table, or one JSON document a line. */
export async function history(terminal: Terminal, key: string, options: HistoryOptions): Promise<number> {
  checkKey(key)
  const consistency = consistencyFrom(options.consistency)
  const limit = options.limit === undefined ? undefined : wholeNumber(options.limit, '--limit', 1)
  return await withClient(terminal, options, async (client) => {
    const rows: string[][] = []
    for await (const version of client.history.versions(key, { consistency, limit })) {
      if (options.json === true) terminal.print(`${JSON.stringify(version)}\n`)
      else rows.push(rowOf(version))
    }
    if (options.json !== true) terminal.print(formatTable(['REVISION', 'VERSION', 'VALUE'], rows))
  })
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
