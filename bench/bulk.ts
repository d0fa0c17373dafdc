import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import type { Bench } from './lib/bench.ts'
import { withCluster, type BenchCluster, type BenchNode } from './lib/cluster.ts'
import { eventuallyEqual } from './lib/conditions.ts'
import { importLines, NDJSON } from './lib/fill.ts'
import type { Figure } from './lib/report.ts'
import { runLoad } from './lib/run-load.ts'
import { memoryOver, watchUsage } from './lib/usage.ts'

export interface BulkShape {
  readonly records: number
  readonly valueBytes: number
}

export interface BulkOptions {
  readonly nodes: number
  readonly shapes: readonly BulkShape[]
  /** With `valueBytes`, in place of the shapes. */
  readonly keys: number
  readonly valueBytes: number
  /** How long single writes of the same values are measured, from `connections` clients. */
  readonly putSeconds: number
  readonly connections: number
}

const POOL_BYTES = 4 * 1024 * 1024

/** Text that does not compress, out of which every value is cut. */
const pool = randomBytes((POOL_BYTES * 3) / 4).toString('base64')

/** Measures import and export, each over one connection to the leader, beside single writes of the same values. */
async function run(options: BulkOptions): Promise<Figure[]> {
  const { keys, valueBytes } = options
  const shapes = keys > 0 && valueBytes > 0 ? [{ records: keys, valueBytes }] : options.shapes
  const figures: Figure[] = []
  for (const shape of shapes) {
    figures.push(...(await withCluster(options, (cluster) => measureShape(cluster, shape, options))))
  }
  return figures
}

async function measureShape(cluster: BenchCluster, shape: BulkShape, options: BulkOptions): Promise<Figure[]> {
  const leader = await cluster.leader()
  const { records, valueBytes } = shape
  const figures: Figure[] = []
  const report = (what: string, values: Figure['values']): void => {
    figures.push({ bench: 'bulk', settings: { what, records, valueBytes }, values })
  }
  const imported = await timed(leader, shape, () => importLines(leader, lines(shape), records))
  report('import into new processes', imported)
  await eventuallyEqual(cluster.nodes)
  report('import again', await timed(leader, shape, () => importLines(leader, lines(shape), records)))
  report('export', await timed(leader, shape, () => exportFrom(leader, shape)))

  const { connections, putSeconds: seconds } = options
  const usage = watchUsage(leader.pid)
  const puts = { method: 'PUT', targets: [leader.host], connections, seconds, keys: records, valueBytes } as const
  const { requestsPerSecond, requests, errors } = await runLoad(puts)
  const { maxMB, cpuMs } = usage.stop()
  report('single PUTs', {
    recordsPerSecond: requestsPerSecond,
    MBPerSecond: (requestsPerSecond * valueBytes) / 1e6,
    leaderCpuUs: (cpuMs * 1000) / requests,
    rssMaxMB: maxMB,
    errors,
  })
  return figures
}

/** `work` resolves to the bytes that it has moved. */
async function timed(
  leader: BenchNode,
  shape: BulkShape,
  work: () => Promise<number>,
): Promise<Record<string, number>> {
  const usage = watchUsage(leader.pid)
  const begun = performance.now()
  const bytes = await work()
  const seconds = (performance.now() - begun) / 1000
  const used = usage.stop()
  return {
    recordsPerSecond: shape.records / seconds,
    MBPerSecond: bytes / 1e6 / seconds,
    MB: bytes / 1e6,
    seconds,
    leaderCpuUs: (used.cpuMs * 1000) / shape.records,
    ...memoryOver(used),
  }
}

export function* lines({ records, valueBytes }: BulkShape): Generator<string> {
  for (let n = 0; n < records; n++) {
    const start = (n * 8191) % (pool.length - valueBytes)
    yield `{"key":"bulk/${String(n).padStart(9, '0')}","value":"${pool.slice(start, start + valueBytes)}"}\n`
  }
}

async function exportFrom({ api }: BenchNode, shape: BulkShape): Promise<number> {
  return await new Promise((resolve, reject) => {
    const asked = request(`${api}/kv?prefix=bulk/`, { headers: { accept: NDJSON } }, (response) => {
      let bytes = 0
      let count = 0
      response.on('data', (piece: Buffer) => {
        bytes += piece.length
        for (let at = piece.indexOf(10); at >= 0; at = piece.indexOf(10, at + 1)) count += 1
      })
      response.on('error', reject)
      response.on('end', () => {
        if (count === shape.records) resolve(bytes)
        else reject(new Error(`${count} records instead of ${shape.records}`))
      })
    })
    asked.on('error', reject)
    asked.end()
  })
}

const usual = { nodes: 3, putSeconds: 10, connections: 64, keys: 0, valueBytes: 0 } as const
const MiB = 1024 * 1024

export const bulk: Bench<BulkOptions> = {
  sizes: {
    smoke: { ...usual, nodes: 1, putSeconds: 0.2, connections: 4, shapes: [{ records: 500, valueBytes: 256 }] },
    quick: { ...usual, putSeconds: 3, shapes: [{ records: 20_000, valueBytes: 256 }] },
    normal: {
      ...usual,
      shapes: [
        { records: 200_000, valueBytes: 256 },
        { records: 1_000, valueBytes: MiB },
      ],
    },
    full: {
      ...usual,
      shapes: [
        { records: 200_000, valueBytes: 256 },
        { records: 2_000, valueBytes: MiB },
        { records: 500_000, valueBytes: 4096 },
      ],
    },
  },
  run,
}
