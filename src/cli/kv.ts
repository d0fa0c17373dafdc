import type { DeleteAnswer } from '../api/keys.ts'
import type { ReadConsistency } from '../client/options.ts'
import type { DeleteResult, ListOptions as ClientListOptions, QuorateClient } from '../client/quorate-client.ts'
import type { Range } from '../client/ranges.ts'
import type { KeyHead, KeyRecord } from '../client/records.ts'
import { limits } from '../limits.ts'
import { refusal, wholeNumber, withClient, type ConnectionOptions } from './connection.ts'
import { leaseIdOf, ttlMsOf } from './lease-arguments.ts'
import { jsonLines, printListing, tableLines } from './listing.ts'
import { wholeFile, wholeInput } from './source-file.ts'
import { printable } from './table.ts'
import { UsageError, type Terminal } from './terminal.ts'

export interface GetOptions extends ConnectionOptions {
  readonly consistency?: string
  readonly revision?: string
}

export interface PutOptions extends ConnectionOptions {
  readonly file?: string
  readonly ifRevision?: string
  readonly create?: true
  readonly ttl?: string
  readonly lease?: string
}

export interface DeleteOptions extends ConnectionOptions {
  readonly ifRevision?: string
  readonly prefix?: true
  readonly chunked?: true
  readonly all?: true
}

export interface ListOptions extends GetOptions {
  readonly keysOnly?: true
  readonly reverse?: true
  readonly limit?: string
}

/** Prints exactly the bytes of the value, and on a terminal a line break after them. */
export async function get(terminal: Terminal, key: string, options: GetOptions): Promise<number> {
  checkKey(key)
  const consistency = consistencyFrom(options.consistency)
  const revision = pastFrom(options.revision)
  return await withClient(terminal, options, async (client) => {
    const record = await client.get(key, { consistency, revision })
    if (record === null) throw refusal('key-not-found', 'the key is absent')
    if (options.json === true) return terminal.print(`${JSON.stringify(record)}\n`)
    terminal.print(record.value)
    if (terminal.interactive) terminal.print('\n')
  })
}

export async function put(
  terminal: Terminal,
  key: string,
  value: string | undefined,
  options: PutOptions,
): Promise<number> {
  checkKey(key)
  const ifRevision = revisionFrom(options.ifRevision)
  const ifAbsent = options.create === true
  if (ifAbsent && ifRevision !== undefined) {
    throw new UsageError('--create and --if-revision cannot be combined: an absent key is at no revision')
  }
  const lifetime = lifetimeFrom(options)
  return await withClient(terminal, options, async (client) => {
    // What is wrong with the options is told before the input is waited for.
    const bytes = await valueFrom(terminal, value, options.file)
    const answer = await client.put(key, bytes, { ifRevision, ifAbsent, ...lifetime })
    terminal.print(options.json === true ? `${JSON.stringify(answer)}\n` : `revision ${answer.revision}\n`)
  })
}

/** With what the key goes, if with anything. */
function lifetimeFrom({ ttl, lease }: PutOptions): { readonly ttlMs?: number; readonly lease?: number } {
  if (ttl !== undefined && lease !== undefined)
    throw new UsageError('--ttl and --lease cannot be combined: a key goes with one lease')
  if (ttl !== undefined) return { ttlMs: ttlMsOf(ttl, '--ttl') }
  return lease === undefined ? {} : { lease: leaseIdOf(lease) }
}

export async function remove(terminal: Terminal, key: string | undefined, options: DeleteOptions): Promise<number> {
  const what = deletionFrom(key, options)
  const chunked = options.chunked === true
  if (chunked && what.kind === 'key')
    throw new UsageError('--chunked needs --prefix or --all: a single key is deleted in one change')
  return await withClient(terminal, options, async (client) => {
    const answer = await carryOut(client, what, chunked)
    const text = `${answer.deleted} deleted, revision ${answer.revision}\n`
    terminal.print(options.json === true ? `${JSON.stringify(answer)}\n` : text)
  })
}

type Deletion =
  | { readonly kind: 'key'; readonly key: string; readonly ifRevision: number | undefined }
  | { readonly kind: 'prefix'; readonly prefix: string }
  | { readonly kind: 'all' }

/** An empty prefix would match every key. Deleting all keys has a flag of its own, since an unset shell variable is empty too. */
function deletionFrom(key: string | undefined, options: DeleteOptions): Deletion {
  const ifRevision = revisionFrom(options.ifRevision)
  if (options.all === true) {
    if (key !== undefined || options.prefix === true || ifRevision !== undefined) {
      throw new UsageError('--all deletes every key: it cannot be combined with a key, --prefix or --if-revision')
    }
    return { kind: 'all' }
  }
  if (key === undefined) throw new UsageError('name a key, or use --all to delete every key')
  if (options.prefix !== true) {
    checkKey(key)
    return { kind: 'key', key, ifRevision }
  }
  if (ifRevision !== undefined) {
    throw new UsageError('--prefix and --if-revision cannot be combined: the condition is about a single key')
  }
  if (key === '') throw new UsageError('the prefix is empty, which would delete every key: to do that, use --all')
  return { kind: 'prefix', prefix: key }
}

async function carryOut(client: QuorateClient, what: Deletion, chunked: boolean): Promise<DeleteAnswer | DeleteResult> {
  switch (what.kind) {
    case 'key':
      return await client.delete(what.key, { ifRevision: what.ifRevision })
    case 'prefix':
      return await client.deleteRange({ prefix: what.prefix }, { chunked })
    case 'all':
      return await client.deleteRange('all', { chunked })
  }
}

export function checkKey(key: string): void {
  if (key === '') throw new UsageError('the key is empty')
}

/** Every key with the prefix, printed as the pages come: one table, or one JSON document a line. */
export async function list(terminal: Terminal, prefix: string, options: ListOptions): Promise<number> {
  const consistency = consistencyFrom(options.consistency)
  const limit = options.limit === undefined ? undefined : wholeNumber(options.limit, '--limit', 1)
  const revision = pastFrom(options.revision)
  const how = { consistency, revision, limit, reverse: options.reverse === true }
  return await withClient(terminal, options, async (client) => {
    await printListing(terminal, linesOf(client, { prefix }, how, options))
  })
}

function linesOf(
  client: QuorateClient,
  range: Range,
  how: ClientListOptions,
  { json, keysOnly }: ListOptions,
): AsyncIterable<string> {
  if (json === true) return jsonLines(keysOnly === true ? client.listKeys(range, how) : client.list(range, how))
  if (keysOnly === true) return keyLines(client.listKeys(range, how))
  return tableLines(['KEY', 'REVISION', 'VALUE'], rowsOf(client.list(range, how)), true)
}

async function* keyLines(heads: AsyncIterable<KeyHead>): AsyncGenerator<string> {
  for await (const { key } of heads) yield `${printable(key)}\n`
}

async function* rowsOf(records: AsyncIterable<KeyRecord>): AsyncGenerator<string[]> {
  for await (const record of records) {
    yield [printable(record.key), String(record.modRevision), describeValue(record.toJSON())]
  }
}

const shownCharactersMax = 60

/** A value on one line, shortened. */
export function describeValue(record: {
  readonly value?: string | undefined
  readonly valueBase64?: string | undefined
}): string {
  if (record.valueBase64 !== undefined) return `(${Buffer.from(record.valueBase64, 'base64').length} bytes)`
  const text = printable(record.value ?? '')
  return text.length > shownCharactersMax ? `${text.slice(0, shownCharactersMax)}...` : text
}

async function valueFrom(terminal: Terminal, value: string | undefined, file: string | undefined): Promise<Uint8Array> {
  if (file !== undefined) {
    if (value !== undefined) throw new UsageError('a value and --file cannot be combined')
    return await wholeFile(file, limits.valueBytesMaxCeiling)
  }
  if (value === '-') return await wholeInput(terminal, limits.valueBytesMaxCeiling)
  if (value !== undefined) return Buffer.from(value)
  if (!terminal.hasInput) throw new UsageError('there is no value: give one, --file PATH, or - for the standard input')
  const input = await wholeInput(terminal, limits.valueBytesMaxCeiling)
  // A failed command in front of the pipe leaves the input empty, so an empty value has to be asked for.
  if (input.length === 0) throw new UsageError("the standard input is empty; to write an empty value, give '' or -")
  return input
}

export function consistencyFrom(text: string | undefined): ReadConsistency {
  if (text === undefined || text === 'linearizable') return 'linearizable'
  if (text === 'lease' || text === 'stale') return text
  throw new UsageError(`--consistency ${text}: expected linearizable, lease or stale`)
}

function revisionFrom(text: string | undefined): number | undefined {
  return text === undefined ? undefined : wholeNumber(text, '--if-revision', 1)
}

function pastFrom(text: string | undefined): number | undefined {
  return text === undefined ? undefined : wholeNumber(text, '--revision', 0)
}
