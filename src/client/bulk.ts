import { limits } from '../limits.ts'
import type { StreamedBody } from './exchange.ts'
import { linesIn, wholeLines } from './lines.ts'
import type { RecordView } from './api-types.ts'
import type { ReadOptions, WriteOptions } from './options.ts'
import { boundsOf, readQuery, type Range } from './ranges.ts'
import { jsonValue, recordFrom, type KeyRecord, type Value } from './records.ts'
import type { Requests } from './requests.ts'

/** What an import writes for one key. A record that was read is one. */
export interface ImportRecord {
  readonly key: string
  readonly value: Value
  /** The record is written without it. */
  readonly lease?: number
}

/**
 * Records, as many as there are. A list, or a function that gives the same records each time, can be sent again when the connection
 * breaks; an iterator can be read once.
 */
export type ImportSource =
  | readonly ImportRecord[]
  | (() => AsyncIterable<ImportRecord> | Iterable<ImportRecord>)
  | AsyncIterable<ImportRecord>
  | Iterable<ImportRecord>

export interface ImportResult {
  /** How many records are written. */
  readonly imported: number
  readonly revision: number
  /** How many of them named a lease, as records do that were read. They are attached to none. */
  readonly leasesDropped: number
}

/** Records as lines of JSON, which are read to their end, or left. */
export interface LineStream {
  /** The revision that the records show. */
  readonly revision: number
  readonly pieces: AsyncIterable<Uint8Array>
}

const ndjson = 'application/x-ndjson'

/**
 * Records in and out as streams, in memory of a fixed size.
 *
 * @internal
 */
export class Bulk {
  private readonly requests: Requests

  constructor(requests: Requests) {
    this.requests = requests
  }

  async import(source: ImportSource, options: WriteOptions): Promise<ImportResult> {
    const isRepeatable = typeof source === 'function' || Array.isArray(source)
    return await this.send(
      { begin: () => linesOf(typeof source === 'function' ? source() : source), isRepeatable },
      options,
    )
  }

  /** The same for lines of JSON as somebody wrote them, which can be read once. */
  async importLines(pieces: AsyncIterable<Uint8Array>, options: WriteOptions): Promise<ImportResult> {
    return await this.send({ begin: () => pieces, isRepeatable: false }, options)
  }

  private async send(body: StreamedBody, options: WriteOptions): Promise<ImportResult> {
    const headers = { 'content-type': ndjson }
    const call = { method: 'POST', path: '/kv', headers, body, lane: 'own', isInParts: true } as const
    return await this.requests.write(call, options)
  }

  async *export(range: Range, options: ReadOptions): AsyncGenerator<KeyRecord, void, undefined> {
    const { pieces } = await this.exportLines(range, options)
    for await (const line of linesIn(pieces)) yield recordFrom(JSON.parse(line) as RecordView)
  }

  /** The same as lines of JSON, and the revision that they show. */
  async exportLines(range: Range, options: ReadOptions): Promise<LineStream> {
    const query = { ...boundsOf(range), ...readQuery(options) }
    const call = {
      method: 'GET',
      path: '/kv',
      query,
      headers: { accept: ndjson },
      isForLeader: isForLeader(options),
    } as const
    const { headers, pieces } = await this.requests.stream(call, options)
    return { revision: Number(headers['quorate-revision']), pieces: wholeLines(pieces) }
  }
}

/**
 * Whether the leader serves the read without a hop.
 *
 * @internal
 */
export function isForLeader({ consistency }: ReadOptions): boolean {
  return consistency !== 'stale'
}

async function* linesOf(records: AsyncIterable<ImportRecord> | Iterable<ImportRecord>): AsyncGenerator<Uint8Array> {
  let lines: string[] = []
  let length = 0
  let number = 0
  for await (const { key, value, lease = 0 } of records) {
    number += 1
    const line = `${JSON.stringify({ key, ...carried(value, number), ...(lease === 0 ? {} : { lease }) })}\n`
    lines.push(line)
    length += line.length
    if (length < limits.clientPieceBytes) continue
    yield Buffer.from(lines.join(''))
    lines = []
    length = 0
  }
  if (lines.length > 0) yield Buffer.from(lines.join(''))
}

/** Ill-formed text goes as it is: the node refuses its line, and says how many records before it are in. */
function carried(value: Value, number: number): ReturnType<typeof jsonValue> {
  return typeof value === 'string' ? { value } : jsonValue(`the value of record ${number}`, value)
}
