import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { limits } from '../src/limits.ts'
import type { StateStore, StateWrite } from '../src/ports/state-store.ts'
import type { LeaderId, LogBatch, LogIndex, NodeId, Term } from '../src/raft/index.ts'
import { RocksStateStore } from '../src/storage/rocksdb/rocks-state-store.ts'
import { WalLogStore } from '../src/storage/wal/wal-log-store.ts'
import type { Bench } from './lib/bench.ts'
import { makeDirectory, removeDirectory } from './lib/children.ts'
import type { Figure } from './lib/report.ts'
import { Latencies, summarize } from './lib/statistics.ts'

/** The stores alone, on a real disk: single appends, state batches, reads, scans, recovery. */

export interface StorageBenchOptions {
  /** Each case runs this many times, and the medians are reported. */
  readonly repeat: number
  /** What every case does is divided by this. */
  readonly divisor: number
}

interface Measure {
  readonly name: string
  /** The duration of each operation, in milliseconds. */
  readonly durationsMs: readonly number[]
  readonly bytes: number
  readonly items: number
}

const LEADER: LeaderId = { term: 1 as Term, nodeId: 1 as NodeId }

function evaluate(measure: Measure): Record<'p50Ms' | 'p99Ms' | 'megabytesPerS' | 'itemsPerS', number> {
  const latencies = new Latencies()
  for (const ms of measure.durationsMs) latencies.record(ms)
  const { p50, p99 } = latencies.quantiles()
  const seconds = measure.durationsMs.reduce((sum, one) => sum + one, 0) / 1000
  return {
    p50Ms: p50,
    p99Ms: p99,
    megabytesPerS: measure.bytes / 1e6 / seconds,
    itemsPerS: measure.items / seconds,
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now()
  await work()
  return performance.now() - begin
}

function batchOf(first: number, count: number, entryBytes: number): LogBatch {
  const body = Buffer.alloc(count * entryBytes, 7)
  for (let i = 0; i < count; i++) body.writeUInt32LE(entryBytes - 4, i * entryBytes)
  return { leaderId: LEADER, first: first as LogIndex, last: (first + count - 1) as LogIndex, body, membershipCount: 0 }
}

function openLog(directory: string): WalLogStore {
  return new WalLogStore({ directory, segmentBytes: limits.segmentBytes, cacheBytesMax: 0 })
}

/** `count` appends of `entries` entries each, in sequence. */
async function appends(directory: string, count: number, entries: number, entryBytes: number): Promise<Measure> {
  const log = openLog(directory)
  await log.open()
  let next = 0
  const append = async (): Promise<void> => {
    const batch = batchOf(next, entries, entryBytes)
    next += entries
    await log.write([{ type: 'append', batch }])
  }
  for (let i = 0; i < 50; i++) await append()
  const durationsMs: number[] = []
  for (let i = 0; i < count; i++) durationsMs.push(await timed(append))
  await log.close()
  const bytes = count * entries * entryBytes
  return { name: `append ${entries} x ${entryBytes} B, synced`, durationsMs, bytes, items: count * entries }
}

/** Opens a log of `count` entries, in batches of `entries`. */
async function recovery(directory: string, count: number, entries: number): Promise<Measure> {
  const entryBytes = 100
  const log = openLog(directory)
  await log.open()
  for (let first = 0; first < count; first += entries * 100) {
    const groups = Math.min(100, Math.ceil((count - first) / entries))
    const writes = Array.from({ length: groups }, (_, i) => ({
      type: 'append' as const,
      batch: batchOf(first + i * entries, entries, entryBytes),
    }))
    await log.write(writes)
  }
  await log.close()
  const again = openLog(directory)
  const durationsMs = [await timed(async () => again.open())]
  await again.close()
  const name = `open a log of ${count.toLocaleString('en')} entries, ${entries} a batch`
  return { name, durationsMs, bytes: count * entryBytes, items: count }
}

function rows(from: number, count: number, valueBytes: number, keys: number): StateWrite[] {
  return Array.from({ length: count }, (_, i) => {
    const key = Buffer.from(`k${String(Math.imul(from + i, 0x9e3779b1) >>> 0).padStart(10, '0')}`)
    key.writeUInt32BE((Math.imul(from + i, 0x9e3779b1) >>> 0) % keys, 1)
    return { type: 'put', key, value: Buffer.alloc(valueBytes, i) }
  })
}

async function stateBatches(directory: string, count: number, size: number, valueBytes: number): Promise<Measure> {
  const state = new RocksStateStore({ directory })
  await state.open()
  const durationsMs: number[] = []
  for (let i = 0; i < count; i++) {
    const writes = rows(i * size, size, valueBytes, 100_000)
    durationsMs.push(await timed(async () => state.write(writes, Buffer.alloc(64))))
  }
  await state.close()
  const name = `state batch of ${size} x ${valueBytes} B`
  return { name, durationsMs, bytes: count * size * valueBytes, items: count * size }
}

async function filled(directory: string, count: number): Promise<StateStore> {
  const state = new RocksStateStore({ directory })
  await state.open()
  for (let at = 0; at < count; at += 1000) await state.write(rows(at, 1000, 256, 2 ** 32), Buffer.alloc(64))
  await state.flush()
  return state
}

async function stateReads(directory: string, count: number, reads: number): Promise<Measure[]> {
  const state = await filled(directory, count)
  const gets: number[] = []
  const single: number[] = []
  for (let i = 0; i < reads; i++) {
    const keys = rows((i * 7919) % (count - 64), 64, 0, 2 ** 32).map(({ key }) => key)
    gets.push(await timed(async () => state.getMany(keys)))
    single.push(await timed(async () => state.getMany(keys.slice(0, 1))))
  }
  const view = await state.view()
  const range = { end: null, reverse: false, limit: 4096, bytesMax: limits.snapshotChunkBytes }
  const scans: number[] = []
  let start: Uint8Array | null = null
  let bytes = 0
  let items = 0
  for (;;) {
    const begin = performance.now()
    const page = await view.scan({ ...range, start })
    scans.push(performance.now() - begin)
    const last = page.at(-1)
    if (last === undefined) break
    items += page.length
    for (const { key, value } of page) bytes += key.length + value.length
    start = Buffer.concat([last.key, Buffer.alloc(1)])
  }
  await view.close()
  await state.close()
  return [
    { name: 'get 1 key', durationsMs: single, bytes: reads * 256, items: reads },
    { name: 'get 64 keys', durationsMs: gets, bytes: 64 * reads * 256, items: 64 * reads },
    { name: 'scan in pages of 256 KiB', durationsMs: scans, bytes, items },
  ]
}

/** Runs everything, each case in a directory of its own. */
async function run({ repeat, divisor }: StorageBenchOptions): Promise<Figure[]> {
  const part = (count: number): number => Math.ceil(count / divisor)
  const cases: ((directory: string) => Promise<Measure[]>)[] = [
    async (at) => [await appends(at, part(2000), 1, 512)],
    async (at) => [await appends(at, part(2000), 1, 16 * 1024)],
    async (at) => [await appends(at, part(2000), 64, 256)],
    async (at) => [await appends(at, part(200), 256, 4096)],
    async (at) => [await recovery(at, part(1_000_000), 64)],
    async (at) => [await recovery(at, part(1_000_000), 1)],
    async (at) => [await stateBatches(at, part(2000), 1, 256)],
    async (at) => [await stateBatches(at, part(1000), 64, 256)],
    async (at) => [await stateBatches(at, part(200), 1024, 256)],
    async (at) => stateReads(at, part(200_000), part(1000)),
  ]
  const figures: Figure[] = []
  for (const measure of cases) {
    const runs: Measure[][] = []
    for (let i = 0; i < repeat; i++) {
      const directory = makeDirectory()
      try {
        runs.push(await measure(join(directory, 'store')))
      } finally {
        removeDirectory(directory)
      }
    }
    for (const [i, { name }] of (runs[0] ?? []).entries()) {
      const measures = runs.map((one) => one[i]).filter((one) => one !== undefined)
      const values = summarize(measures.map(evaluate), 'p50Ms')
      figures.push({ bench: 'storage', settings: { case: name, runs: repeat }, values })
    }
  }
  return figures
}

export const storage: Bench<StorageBenchOptions> = {
  sizes: {
    smoke: { repeat: 1, divisor: 500 },
    quick: { repeat: 1, divisor: 1 },
    normal: { repeat: 3, divisor: 1 },
    full: { repeat: 7, divisor: 1 },
  },
  run,
}
