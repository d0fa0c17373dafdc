import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import { loadavg } from 'node:os'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { BenchCluster, BenchNode } from './lib/cluster.ts'
import { eventually, startCluster } from './lib/cluster.ts'
import { watchMemory, type Memory } from './lib/memory.ts'
import type { Figure } from './lib/report.ts'
import { getJson } from './lib/rest.ts'
import { hasWrk, runLoad } from './lib/wrk.ts'

export interface BulkShape {
  readonly records: number
  readonly valueBytes: number
}

export interface BulkOptions {
  readonly shapes: readonly BulkShape[]
  /** How long single writes of the same values are measured, from `connections` clients; 0: not at all. */
  readonly putSeconds: number
  readonly connections: number
}

export const bulkDefaults: BulkOptions = {
  shapes: [
    { records: 200_000, valueBytes: 256 },
    { records: 2_000, valueBytes: 1024 * 1024 },
    { records: 500_000, valueBytes: 4096 },
  ],
  putSeconds: 10,
  connections: 64,
}

const NDJSON = 'application/x-ndjson'
const PIECE_BYTES = 256 * 1024
const POOL_BYTES = 4 * 1024 * 1024
const EQUAL_TIMEOUT_MS = 120_000

/** Text that does not compress, out of which every value is cut. */
const pool = randomBytes((POOL_BYTES * 3) / 4).toString('base64')

/** Measures import and export, each over one connection to the leader of three nodes, beside single writes of the same values. */
export async function bulk(options: BulkOptions = bulkDefaults): Promise<Figure[]> {
  if (!hasWrk()) throw new Error('the load generator wrk is missing (Debian: apt-get install wrk)')
  const figures: Figure[] = []
  for (const shape of options.shapes) {
    const cluster = await startCluster()
    try {
      figures.push(...(await measureShape(cluster, shape, options)))
    } finally {
      await cluster.stop()
    }
  }
  return figures
}

async function measureShape(cluster: BenchCluster, shape: BulkShape, options: BulkOptions): Promise<Figure[]> {
  const leader = await cluster.leader()
  const figures: Figure[] = []
  const report = (what: string, values: Figure['values']): void => {
    process.stderr.write(`bulk, ${what}, ${JSON.stringify(shape)}: ${JSON.stringify(values)}\n`)
    const { records, valueBytes } = shape
    figures.push({ bench: 'bulk', settings: { what, records, valueBytes }, values })
  }
  const loadAverage = (): number => loadavg()[0] ?? NaN

  const imported = await timed(leader, shape, () => importInto(leader, shape))
  report('import', { ...imported, loadAverage: loadAverage() })
  await checkEqual(cluster)
  const exported = await timed(leader, shape, () => exportFrom(leader, shape))
  report('export', { ...exported, loadAverage: loadAverage() })
  if (options.putSeconds > 0) {
    const { connections, putSeconds: seconds } = options
    const { records: keys, valueBytes } = shape
    const memory = watchMemory(leader)
    const targets = [leader.api.slice('http://'.length)]
    const { requestsPerSecond, errors } = await runLoad({
      method: 'PUT',
      targets,
      connections,
      seconds,
      keys,
      valueBytes,
    })
    const MBPerSecond = (requestsPerSecond * valueBytes) / 1e6
    const { maxMB: rssMaxMB } = memory.stop()
    report('single PUTs', {
      recordsPerSecond: requestsPerSecond,
      MBPerSecond,
      rssMaxMB,
      errors,
      loadAverage: loadAverage(),
    })
  }
  return figures
}

/** `work` resolves to the bytes that it has moved. */
async function timed(
  leader: BenchNode,
  shape: BulkShape,
  work: () => Promise<number>,
): Promise<Record<string, number>> {
  const memory = watchMemory(leader)
  const begun = performance.now()
  const bytes = await work()
  const seconds = (performance.now() - begun) / 1000
  const rates = { recordsPerSecond: shape.records / seconds, MBPerSecond: bytes / 1e6 / seconds, MB: bytes / 1e6 }
  return { ...rates, seconds, ...rssOf(memory.stop()) }
}

function rssOf({ maxMB, quarterMaxMB }: Memory): Record<string, number> {
  return { rssMaxMB: maxMB, ...Object.fromEntries(quarterMaxMB.map((one, at) => [`rssQuarter${at + 1}MB`, one])) }
}

function* pieces({ records, valueBytes }: BulkShape): Generator<Buffer> {
  let text = ''
  for (let n = 0; n < records; n++) {
    const start = (n * 8191) % (pool.length - valueBytes)
    text += `{"key":"bulk/${String(n).padStart(9, '0')}","value":"${pool.slice(start, start + valueBytes)}"}\n`
    if (text.length < PIECE_BYTES) continue
    yield Buffer.from(text, 'latin1')
    text = ''
  }
  if (text.length > 0) yield Buffer.from(text, 'latin1')
}

export async function importInto({ api }: BenchNode, shape: BulkShape): Promise<number> {
  let bytes = 0
  const source = Readable.from(pieces(shape), { objectMode: true, highWaterMark: 1 })
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
  if (answer.imported !== shape.records) throw new Error(`not imported: ${JSON.stringify(answer)}`)
  return bytes
}

async function exportFrom({ api }: BenchNode, shape: BulkShape): Promise<number> {
  return await new Promise((resolve, reject) => {
    const asked = request(`${api}/kv?prefix=bulk/`, { headers: { accept: NDJSON } }, (response) => {
      let bytes = 0
      let lines = 0
      response.on('data', (piece: Buffer) => {
        bytes += piece.length
        for (let at = piece.indexOf(10); at >= 0; at = piece.indexOf(10, at + 1)) lines += 1
      })
      response.on('error', reject)
      response.on('end', () => {
        if (lines === shape.records) resolve(bytes)
        else reject(new Error(`${lines} records instead of ${shape.records}`))
      })
    })
    asked.on('error', reject)
    asked.end()
  })
}

export async function checkEqual(cluster: BenchCluster): Promise<void> {
  await eventually(
    'every node holds the same',
    async () => {
      const views = await Promise.all(cluster.nodes.map(({ api }) => getJson(`${api}/cluster`)))
      const holdings = views.map((view) => JSON.stringify([view['applied'], view['digest']]))
      return new Set(holdings).size === 1 ? true : null
    },
    EQUAL_TIMEOUT_MS,
  )
}
