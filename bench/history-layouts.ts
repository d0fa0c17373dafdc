import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import type { Key } from '../src/kv/index.ts'
import {
  changesAfter,
  changesRow,
  encodeChanges,
  recordRow,
  rowBytes,
  versionRow,
  versionsUpTo,
} from '../src/kv/index.ts'
import type { StateWrite } from '../src/ports/state-store.ts'
import { RocksStateStore } from '../src/storage/rocksdb/rocks-state-store.ts'
import type { Bench } from './lib/bench.ts'
import { makeDirectory, removeDirectory } from './lib/children.ts'
import type { Figure } from './lib/report.ts'

/**
 * Three ways to keep history in the store, written through it in batches as a node does.
 *
 *   A  every version at (key, revision) as it is written, and a row for each change
 *   B  a record is copied to (key, revision) when it is superseded, and a row for each change
 *   C  one row for all changes of a batch, with the records that were superseded, and a pointer to it for each version
 */
export interface LayoutOptions {
  readonly changes: number
  readonly keys: number
  /** Changes in one write to the store. */
  readonly batch: number
  readonly sizes: readonly number[]
}

type Layout = 'none' | 'A' | 'B' | 'C'

interface Current {
  readonly revision: number
  readonly row: Buffer
}

const META = Buffer.alloc(200)
const EMPTY = Buffer.alloc(0)

/** The rows of one batch; a row that is written twice in it counts once. */
class Batch {
  readonly writes = new Map<string, StateWrite>()

  put(row: string, value: Uint8Array): void {
    this.writes.set(row, { type: 'put', key: Buffer.from(row, 'latin1'), value })
  }

  remove(row: string): void {
    this.writes.set(row, { type: 'delete', key: Buffer.from(row, 'latin1') })
  }
}

function history(
  layout: Layout,
  batch: Batch,
  key: Key,
  revision: number,
  before: Current | undefined,
  row: Buffer | null,
) {
  if (layout === 'none') return
  const previousRevision = before?.revision ?? 0
  const previousBytes = before?.row.length ?? 0
  const kind = row === null ? 'delete' : 'put'
  if (layout === 'A') batch.put(versionRow(key, revision), row ?? EMPTY)
  if (layout === 'B' && before !== undefined) batch.put(versionRow(key, before.revision), before.row)
  if (layout === 'B' && row === null) batch.put(versionRow(key, revision), EMPTY)
  if (layout !== 'C') batch.put(changesRow(revision), encodeChanges([{ kind, key, previousRevision, previousBytes }]))
}

async function measure(
  layout: Layout,
  valueBytes: number,
  { changes, keys, batch: size }: LayoutOptions,
): Promise<Figure> {
  const directory = makeDirectory()
  const store = new RocksStateStore({ directory: join(directory, 'state'), writeBufferBytes: 64 * 1024 * 1024 })
  await store.open()
  const current = new Map<Key, Current>()
  const at = new Map<Key, number>()
  let [rows, bytes, cpu, random] = [0, 0, 0, 1]
  const startedAt = performance.now()
  const usage = process.cpuUsage()
  for (let revision = 1; revision <= changes;) {
    const batch = new Batch()
    const packed: Buffer[] = []
    const first = revision
    for (; revision < first + size && revision <= changes; revision++) {
      random = (random * 48_271) % 2_147_483_647
      // The first changes create each key; then 90% overwrite one and 10% delete it.
      const key = `key-${revision <= keys ? revision : random % keys}` as Key
      const isDelete = revision > keys && random % 10 === 0
      const before = current.get(key)
      if (isDelete && before === undefined) continue
      const row = isDelete ? null : Buffer.alloc(33 + valueBytes, revision & 0xff)
      history(layout, batch, key, revision, before, row)
      if (layout === 'C') {
        packed.push(Buffer.from(`${revision} ${key} ${before?.revision ?? 0} `, 'latin1'), before?.row ?? EMPTY)
        if (before !== undefined) batch.put(versionRow(key, before.revision), Buffer.from(String(first)))
      }
      if (row === null) {
        current.delete(key)
        batch.remove(recordRow(key))
      } else {
        current.set(key, { revision, row })
        at.set(key, revision)
        batch.put(recordRow(key), row)
      }
    }
    if (layout === 'C' && packed.length > 0) batch.put(changesRow(first), Buffer.concat(packed))
    const writes = [...batch.writes.values()]
    rows += writes.length
    for (const write of writes) bytes += write.key.length + (write.type === 'put' ? write.value.length : 0)
    await store.write(writes, META)
  }
  await store.flush()
  const seconds = (performance.now() - startedAt) / 1000
  const used = process.cpuUsage(usage)
  cpu = (used.user + used.system) / changes
  const read = await reads(layout, store, { changes, keys: [...at.keys()].slice(0, 2_000) })
  await store.close()
  const disk = Number(execFileSync('du', ['-sb', join(directory, 'state')], { encoding: 'utf8' }).split('\t')[0])
  removeDirectory(directory)
  return {
    bench: 'history-layouts',
    settings: { layout, valueBytes, changes },
    values: {
      rowsPerChange: rows / changes,
      bytesPerChange: bytes / changes,
      cpuMicrosPerChange: cpu,
      changesPerSecond: changes / seconds,
      diskMiB: disk / 1024 ** 2,
      ...read,
    },
  }
}

async function reads(
  layout: Layout,
  store: RocksStateStore,
  { changes, keys }: { changes: number; keys: readonly Key[] },
) {
  if (layout === 'none') return {}
  const view = await store.view()
  const range = { reverse: false, limit: 1, bytesMax: 256 * 1024 }
  let startedAt = performance.now()
  for (const key of keys) {
    const { start, end } = versionsUpTo(key, changes / 2)
    const [row] = await view.scan({ ...range, start: rowBytes(start), end: end === null ? null : rowBytes(end) })
    // The pointer leads to a row that holds a whole batch.
    if (layout === 'C' && row !== undefined)
      await view.scan({ ...range, start: rowBytes(changesRow(Number(Buffer.from(row.value).toString()))), end: null })
  }
  const readMicros = ((performance.now() - startedAt) * 1000) / keys.length
  startedAt = performance.now()
  const { start, end } = changesAfter(0)
  const feedEnd = end === null ? null : rowBytes(end)
  let from = rowBytes(start)
  for (;;) {
    const page = await view.scan({ ...range, start: from, end: feedEnd, limit: 512 })
    const last = page.at(-1)
    if (last === undefined) break
    from = Buffer.concat([last.key, Buffer.from([0])])
  }
  const feedMs = performance.now() - startedAt
  await view.close()
  return { readMicros, feedMs }
}

/** What each layout writes, takes and gives, for each size of value. */
async function run(options: LayoutOptions): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const valueBytes of options.sizes) {
    // 16 KiB values: a tenth of the changes writes as much as the others together.
    const scaled = valueBytes > 1024 ? { ...options, changes: options.changes / 10, keys: options.keys / 10 } : options
    for (const layout of ['none', 'A', 'B', 'C'] as const) figures.push(await measure(layout, valueBytes, scaled))
  }
  return figures
}

const usual: LayoutOptions = { changes: 100_000, keys: 20_000, batch: 512, sizes: [32, 256, 16 * 1024] }

export const historyLayouts: Bench<LayoutOptions> = {
  sizes: {
    smoke: { changes: 400, keys: 100, batch: 64, sizes: [32] },
    quick: { ...usual, changes: 20_000 },
    normal: usual,
    full: usual,
  },
  run,
}
