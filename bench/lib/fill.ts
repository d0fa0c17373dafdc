import { request } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { BenchNode } from './cluster.ts'

export const NDJSON = 'application/x-ndjson'
const PIECE_BYTES = 256 * 1024

function* pieces(lines: Iterable<string>): Generator<Buffer> {
  let text = ''
  for (const line of lines) {
    text += line
    if (text.length < PIECE_BYTES) continue
    yield Buffer.from(text, 'latin1')
    text = ''
  }
  if (text.length > 0) yield Buffer.from(text, 'latin1')
}

/** Imports records, one a line, over one connection. Resolves to the bytes sent. */
export async function importLines({ api }: BenchNode, lines: Iterable<string>, records: number): Promise<number> {
  let bytes = 0
  const source = Readable.from(pieces(lines), { objectMode: true, highWaterMark: 1 })
  const sent = request(`${api}/kv?timeout=60s`, { method: 'POST', headers: { 'content-type': NDJSON } })
  const answered = new Promise<string>((resolve, reject) => {
    sent.on('error', reject)
    sent.on('response', (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (piece: string) => (body += piece))
      response.on('end', () => resolve(body)).on('error', reject)
    })
  })
  await pipeline(
    source,
    async function* count(chunks) {
      for await (const chunk of chunks as AsyncIterable<Buffer>) {
        bytes += chunk.length
        yield chunk
      }
    },
    sent,
  ).catch(async (error: unknown) => {
    throw new Error(`the import broke off: ${await answered.catch(() => 'no answer')}`, { cause: error })
  })
  const answer = JSON.parse(await answered) as { imported?: number }
  if (answer.imported !== records) throw new Error(`not imported: ${JSON.stringify(answer)}`)
  return bytes
}

/** Writes the keys that the loads use, each once. */
export async function fill(node: BenchNode, keys: number, valueBytes: number): Promise<void> {
  const value = 'v'.repeat(valueBytes)
  const lines = function* (): Generator<string> {
    for (let n = 1; n <= keys; n++) yield `{"key":"key-${n}","value":"${value}"}\n`
  }
  await importLines(node, lines(), keys)
}
