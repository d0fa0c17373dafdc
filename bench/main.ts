import { commitThroughput, throughputDefaults } from './commit-throughput.ts'
import { electionDefaults, electionLatency } from './election-latency.ts'
import type { Figure } from './lib/report.ts'
import { printTable, save } from './lib/report.ts'
import { storageBench, storageDefaults } from './storage.ts'

/** `npm run bench -- [name...] [--quick]`. Every bench prints a table; all figures go to bench/results/<date>.json. */
const benches: Record<string, (quick: boolean) => Promise<Figure[]>> = {
  'commit-throughput': (quick) =>
    commitThroughput(quick ? { ...throughputDefaults, seconds: 3, repeat: 1 } : throughputDefaults),
  'election-latency': (quick) =>
    electionLatency(quick ? { rounds: 5, failures: ['SIGKILL', 'SIGTERM'] } : electionDefaults),
  storage: (quick) => storageBench(quick ? { ...storageDefaults, repeat: 1 } : storageDefaults),
}

const names = process.argv.slice(2).filter((argument) => !argument.startsWith('--'))
const quick = process.argv.includes('--quick')
const unknown = names.filter((name) => !(name in benches))
if (unknown.length > 0) {
  process.stderr.write(`unknown bench: ${unknown.join(', ')}; there are ${Object.keys(benches).join(', ')}\n`)
  process.exit(1)
}

const figures: Figure[] = []
for (const name of names.length > 0 ? names : Object.keys(benches)) {
  const measured = await (benches[name]?.(quick) ?? Promise.resolve([]))
  printTable(name, measured)
  figures.push(...measured)
}
process.stdout.write(`\nsaved in ${save(figures, new Date().toISOString().slice(0, 10))}\n`)
