import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkEqual, importInto, type BulkShape } from './bulk.ts'
import { startCluster, type BenchCluster } from './lib/cluster.ts'
import { watchMemory } from './lib/memory.ts'
import type { Figure } from './lib/report.ts'

export interface BackupOptions {
  readonly shapes: readonly BulkShape[]
}

/** A tenth and the whole: memory that grows with the state shows in the difference. */
export const backupDefaults: BackupOptions = {
  shapes: [
    { records: 50_000, valueBytes: 4096 },
    { records: 500_000, valueBytes: 4096 },
  ],
}

const MAIN = join(import.meta.dirname, '../../dist/main.js')

/** Measures a backup of a follower of three nodes, its check, and a restore: time and the memory of every process that takes part. */
export async function backup(options: BackupOptions = backupDefaults): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const shape of options.shapes) {
    const cluster = await startCluster()
    const directory = await mkdtemp(join(tmpdir(), 'quorate-bench-'))
    try {
      figures.push(...(await measureShape(cluster, directory, shape)))
    } finally {
      await cluster.stop()
      await rm(directory, { recursive: true, force: true })
    }
  }
  return figures
}

async function measureShape(cluster: BenchCluster, directory: string, shape: BulkShape): Promise<Figure[]> {
  const leader = await cluster.leader()
  await importInto(leader, shape)
  await checkEqual(cluster)
  const follower = cluster.nodes.find(({ id }) => id !== leader.id) ?? leader
  const file = join(directory, 'cluster.backup')
  const target = join(directory, 'restored')
  const members = ['--id', '1', '--members', '1,127.0.0.1:7101,127.0.0.1:7001']
  const node = watchMemory(follower)
  const taken = await run(['backup', file, '--server', follower.api])
  const { maxMB: nodeMaxMB } = node.stop()
  const { size } = await stat(file)
  const measured = {
    backup: { ...taken, nodeMaxMB },
    verify: await run(['backup', 'verify', file]),
    restore: await run(['restore', file, '--data-dir', target, ...members]),
  }
  return Object.entries(measured).map(([what, values]) => {
    const rates = { MB: size / 1e6, MBPerSecond: size / 1e6 / values.seconds, loadAverage: loadavg()[0] ?? NaN }
    process.stderr.write(`backup, ${what}, ${JSON.stringify(shape)}: ${JSON.stringify({ ...values, ...rates })}\n`)
    return { bench: 'backup', settings: { what, ...shape }, values: { ...values, ...rates } }
  })
}

/** Runs a command to its end. */
async function run(words: readonly string[]): Promise<{ readonly seconds: number; readonly commandMaxMB: number }> {
  const begun = performance.now()
  const child = spawn(process.execPath, [MAIN, ...words], { stdio: ['ignore', 'ignore', 'inherit'] })
  const memory = watchMemory(child)
  const [code] = (await once(child, 'close')) as [number | null]
  const { maxMB: commandMaxMB } = memory.stop()
  if (code !== 0) throw new Error(`quorate ${words.join(' ')} ended with ${code}`)
  return { seconds: (performance.now() - begun) / 1000, commandMaxMB }
}
