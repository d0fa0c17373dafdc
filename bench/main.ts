import { parseArgs } from 'node:util'
import { apply, applyDefaults } from './apply.ts'
import { backup, backupDefaults } from './backup.ts'
import { bulk, bulkDefaults } from './bulk.ts'
import { commitThroughput, throughputDefaults } from './commit-throughput.ts'
import { electionDefaults, electionLatency } from './election-latency.ts'
import { historyCost, historyCostDefaults } from './history-cost.ts'
import { historyLayouts, layoutDefaults } from './history-layouts.ts'
import { catchUpDefaults, learnerCatchUp } from './learner-catch-up.ts'
import type { Figure } from './lib/report.ts'
import { printTable, save } from './lib/report.ts'
import { watches, watchesDefaults } from './watches.ts'
import { tlsCost, tlsCostDefaults } from './tls-cost.ts'
import { storageBench, storageDefaults } from './storage.ts'

/** Sizes that some benches accept on the command line. */
const sizes = ['keys', 'value-bytes', 'repeat'] as const
type Sizes = Readonly<Partial<Record<(typeof sizes)[number], number>>>

/** `npm run bench -- [name...] [--quick] [--keys N] [--value-bytes N] [--repeat N]`. Every bench prints a table; all figures go to bench/results/<date>.json. */
const benches: Record<string, (quick: boolean, sizes: Sizes) => Promise<Figure[]>> = {
  apply: (quick, { keys = applyDefaults.keys, 'value-bytes': valueBytes = applyDefaults.valueBytes, repeat }) =>
    apply({ ...applyDefaults, keys, valueBytes, repeat: repeat ?? (quick ? 1 : applyDefaults.repeat) }),
  'commit-throughput': (quick) =>
    commitThroughput(quick ? { ...throughputDefaults, seconds: 3, repeat: 1 } : throughputDefaults),
  'election-latency': (quick) =>
    electionLatency(quick ? { rounds: 5, failures: ['SIGKILL', 'SIGTERM'] } : electionDefaults),
  'history-cost': (quick) =>
    historyCost(quick ? { ...historyCostDefaults, seconds: 3, repeat: 1 } : historyCostDefaults),
  'history-layouts': (quick) => historyLayouts(quick ? { ...layoutDefaults, changes: 20_000 } : layoutDefaults),
  storage: (quick) => storageBench(quick ? { ...storageDefaults, repeat: 1 } : storageDefaults),
  backup: (quick, given) => {
    const { keys, 'value-bytes': valueBytes } = given
    const asked = keys === undefined || valueBytes === undefined ? null : [{ records: keys, valueBytes }]
    return backup({ shapes: asked ?? (quick ? backupDefaults.shapes.slice(0, 1) : backupDefaults.shapes) })
  },
  bulk: (quick, given) => {
    const { keys, 'value-bytes': valueBytes } = given
    const asked = keys === undefined || valueBytes === undefined ? null : [{ records: keys, valueBytes }]
    const some = quick ? [{ records: 20_000, valueBytes: 256 }] : bulkDefaults.shapes
    return bulk({ ...bulkDefaults, shapes: asked ?? some, putSeconds: quick ? 3 : bulkDefaults.putSeconds })
  },
  'tls-cost': (quick) => tlsCost(quick ? { ...tlsCostDefaults, seconds: 3, repeat: 2 } : tlsCostDefaults),
  watches: (quick) => watches(quick ? { ...watchesDefaults, seconds: 3, repeat: 2, most: 1_000 } : watchesDefaults),
  'learner-catch-up': (quick, given) => {
    const shape = quick ? { ...catchUpDefaults, keys: 100_000, repeat: 1, windowSeconds: 5 } : catchUpDefaults
    const { keys = shape.keys, 'value-bytes': valueBytes = shape.valueBytes, repeat = shape.repeat } = given
    return learnerCatchUp({ ...shape, keys, valueBytes, repeat })
  },
}

function complain(text: string): never {
  process.stderr.write(`${text}\n`)
  process.exit(1)
}

const text = { type: 'string' } as const
const options = { quick: { type: 'boolean' }, keys: text, 'value-bytes': text, repeat: text } as const
const { values, positionals: names } = parseArgs({ options, allowPositionals: true })
const unknown = names.filter((name) => !(name in benches))
if (unknown.length > 0) complain(`unknown bench: ${unknown.join(', ')}; there are ${Object.keys(benches).join(', ')}`)
const given: Partial<Record<keyof Sizes, number>> = {}
for (const size of sizes) {
  const written = values[size]
  if (written === undefined) continue
  if (!/^[1-9]\d{0,8}$/.test(written)) complain(`--${size} ${written} is no whole number from 1 on`)
  given[size] = Number(written)
}

const figures: Figure[] = []
for (const name of names.length > 0 ? names : Object.keys(benches)) {
  const measured = await (benches[name]?.(values.quick === true, given) ?? Promise.resolve([]))
  printTable(name, measured)
  figures.push(...measured)
}
process.stdout.write(`\nsaved in ${save(figures, new Date().toISOString().slice(0, 10))}\n`)
