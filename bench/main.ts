import { loadavg } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { toError } from '../src/lib/to-error.ts'
import { apply } from './apply.ts'
import { backup } from './backup.ts'
import { bulk } from './bulk.ts'
import { commitThroughput } from './commit-throughput.ts'
import { compare } from './compare.ts'
import { core } from './core.ts'
import { electionLatency } from './election-latency.ts'
import { eventLoop } from './event-loop.ts'
import { growth } from './growth.ts'
import { historyCost } from './history-cost.ts'
import { historyLayouts } from './history-layouts.ts'
import { largeValues } from './large-values.ts'
import { learnerCatchUp } from './learner-catch-up.ts'
import { leases } from './leases.ts'
import { runnable, sizes, type Given, type RunnableBench, type Size } from './lib/bench.ts'
import { saveCharts } from './lib/chart.ts'
import { shareClusters, stopSharedCluster } from './lib/cluster.ts'
import { machine, printTable, RESULTS, save, type Figure } from './lib/report.ts'
import { closedLoopGenerator } from './lib/run-load.ts'
import { overload } from './overload.ts'
import { reads } from './reads.ts'
import { slowFollower } from './slow-follower.ts'
import { storage } from './storage.ts'
import { tlsCost } from './tls-cost.ts'
import { watch } from './watch.ts'

const benches: Readonly<Record<string, RunnableBench>> = {
  'election-latency': runnable(electionLatency),
  'commit-throughput': runnable(commitThroughput),
  reads: runnable(reads),
  core: runnable(core),
  storage: runnable(storage),
  apply: runnable(apply),
  bulk: runnable(bulk),
  backup: runnable(backup),
  watch: runnable(watch),
  compare: runnable(compare),
  overload: runnable(overload),
  'slow-follower': runnable(slowFollower),
  leases: runnable(leases),
  'large-values': runnable(largeValues),
  'event-loop': runnable(eventLoop),
  'learner-catch-up': runnable(learnerCatchUp),
  'tls-cost': runnable(tlsCost),
  'history-cost': runnable(historyCost),
  'history-layouts': runnable(historyLayouts),
  growth: runnable(growth),
}

/** How often a bench is begun before it has failed. */
const ATTEMPTS = 3

const USAGE = `npm run bench -- [name...] [--smoke | --quick | --full] [--keys N] [--value-bytes N] [--repeat N] [--results DIR]
names: ${Object.keys(benches).join(', ')}`

function complain(text: string): never {
  process.stderr.write(`${text}\n${USAGE}\n`)
  process.exit(1)
}

function readCommand() {
  const [text, flag] = [{ type: 'string' }, { type: 'boolean' }] as const
  const wanted = { smoke: flag, quick: flag, full: flag, help: flag }
  const options = { ...wanted, keys: text, 'value-bytes': text, repeat: text, results: text }
  try {
    return parseArgs({ options, allowPositionals: true })
  } catch (error) {
    return complain(error instanceof Error ? error.message : String(error))
  }
}

function whole(name: string, written: string | undefined): number | undefined {
  if (written === undefined) return undefined
  if (!/^[1-9]\d{0,8}$/.test(written)) complain(`--${name} ${written} is no whole number from 1 on`)
  return Number(written)
}

/** Another leader in the middle makes figures worthless, and a busy machine has them now and then. So a bench that breaks off is begun anew. */
async function measureQuietly(name: string): Promise<Figure[]> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return (await benches[name]?.run(size, given)) ?? []
    } catch (error) {
      if (attempt === ATTEMPTS) throw error
      process.stderr.write(`${name} broke off, and begins anew: ${toError(error).message}\n`)
    }
  }
}

const { values, positionals } = readCommand()
if (values.help === true) {
  process.stdout.write(`${USAGE}\n`)
  process.exit(0)
}
const chosen = sizes.filter((size) => size !== 'normal' && values[size] === true)
if (chosen.length > 1) complain(`one size at a time, not ${chosen.map((size) => `--${size}`).join(' and ')}`)
const size: Size = chosen[0] ?? 'normal'
const names = positionals.length > 0 ? positionals : Object.keys(benches)
const unknown = names.filter((name) => !Object.hasOwn(benches, name))
if (unknown.length > 0) complain(`there is no bench ${unknown.join(', ')}`)
const numbers = {
  keys: whole('keys', values.keys),
  valueBytes: whole('value-bytes', values['value-bytes']),
  repeat: whole('repeat', values.repeat),
}
const given: Given = Object.fromEntries(Object.entries(numbers).filter(([, number]) => number !== undefined))
const directory = values.results === undefined ? RESULTS : resolve(values.results)

const startedAt = new Date().toISOString()
const where = { ...machine(), closedLoopsBy: closedLoopGenerator() }
const command = ['npm run bench --', ...process.argv.slice(2)].join(' ')
const figures: Figure[] = []
if (size === 'smoke') shareClusters()
for (const name of names) {
  const begun = performance.now()
  try {
    const measured = await measureQuietly(name)
    figures.push(...measured)
    printTable(name, measured)
    const saved = [save({ startedAt, command, machine: where, figures }, directory)]
    const charts = benches[name]?.charts(measured).filter(({ lines }) => Object.keys(lines).length > 0) ?? []
    saved.push(...(await saveCharts(charts, `${directory}/${startedAt.slice(0, 10)}`)))
    const seconds = Math.round((performance.now() - begun) / 1000)
    process.stdout.write(`${seconds} s, load average ${loadavg()[0]?.toFixed(1)}; saved ${saved.join(' ')}\n`)
  } catch (error) {
    // The others are still worth their time.
    process.stderr.write(`${name} failed: ${toError(error).stack ?? ''}\n`)
    process.exitCode = 1
  }
}
await stopSharedCluster()
// Connections that are kept open would keep this process, too.
process.exit()
