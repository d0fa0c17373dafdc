import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { lines, type BulkShape } from './bulk.ts'
import type { Bench } from './lib/bench.ts'
import { makeDirectory, removeDirectory, spawnChild } from './lib/children.ts'
import { withCluster, type BenchCluster } from './lib/cluster.ts'
import { eventuallyEqual } from './lib/conditions.ts'
import { importLines } from './lib/fill.ts'
import type { Figure } from './lib/report.ts'
import { watchUsage } from './lib/usage.ts'

export interface BackupOptions {
  readonly nodes: number
  readonly shapes: readonly BulkShape[]
  /** With `valueBytes`, in place of the shapes. */
  readonly keys: number
  readonly valueBytes: number
}

const MAIN = join(import.meta.dirname, '../../dist/main.js')

/** Measures a backup of a follower, its check, and a restore: time and the memory of every process that takes part. */
async function run(options: BackupOptions): Promise<Figure[]> {
  const { keys, valueBytes } = options
  const shapes = keys > 0 && valueBytes > 0 ? [{ records: keys, valueBytes }] : options.shapes
  const figures: Figure[] = []
  for (const shape of shapes) {
    const directory = makeDirectory()
    try {
      figures.push(...(await withCluster(options, (cluster) => measureShape(cluster, directory, shape))))
    } finally {
      removeDirectory(directory)
    }
  }
  return figures
}

async function measureShape(cluster: BenchCluster, directory: string, shape: BulkShape): Promise<Figure[]> {
  const leader = await cluster.leader()
  await importLines(leader, lines(shape), shape.records)
  await eventuallyEqual(cluster.nodes)
  const follower = cluster.nodes.find(({ id }) => id !== leader.id) ?? leader
  const file = join(directory, 'cluster.backup')
  const target = join(directory, 'restored')
  const members = ['--id', '1', '--members', '1,127.0.0.1:7101,127.0.0.1:7001']
  const node = watchUsage(follower.pid)
  const taken = await command(['backup', file, '--server', follower.api])
  const { maxMB: nodeMaxMB } = node.stop()
  const { size } = await stat(file)
  const measured = {
    backup: { ...taken, nodeMaxMB },
    verify: await command(['backup', 'verify', file]),
    restore: await command(['restore', file, '--data-dir', target, ...members]),
  }
  return Object.entries(measured).map(([what, values]) => {
    const rates = { MB: size / 1e6, MBPerSecond: size / 1e6 / values.seconds }
    return { bench: 'backup', settings: { what, ...shape }, values: { ...values, ...rates } }
  })
}

/** Runs a command to its end. */
async function command(words: readonly string[]): Promise<{ readonly seconds: number; readonly commandMaxMB: number }> {
  const begun = performance.now()
  const child = spawnChild(process.execPath, [MAIN, ...words], { stdio: ['ignore', 'ignore', 'inherit'] })
  const usage = watchUsage(child.pid)
  const [code] = (await once(child, 'close')) as [number | null]
  const { maxMB: commandMaxMB } = usage.stop()
  if (code !== 0) throw new Error(`quorate ${words.join(' ')} ended with ${code}`)
  return { seconds: (performance.now() - begun) / 1000, commandMaxMB }
}

/** A tenth and the whole: memory that grows with the state shows in the difference. */
const tenth = { records: 50_000, valueBytes: 4096 }
const whole = { records: 500_000, valueBytes: 4096 }
const usual = { nodes: 3, keys: 0, valueBytes: 0 } as const

export const backup: Bench<BackupOptions> = {
  sizes: {
    smoke: { ...usual, nodes: 1, shapes: [{ records: 100, valueBytes: 256 }] },
    quick: { ...usual, shapes: [tenth] },
    normal: { ...usual, shapes: [tenth, whole] },
    full: { ...usual, shapes: [tenth, whole] },
  },
  run,
}
