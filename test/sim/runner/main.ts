import { parseTask, USAGE, type Task } from './arguments.ts'
import { playCases } from '../scenes/cases.ts'
import { Crew } from './crew.ts'
import type { Focus } from '../world/focus.ts'
import { plantedBug, plantedBugs } from '../planted/catalogue.ts'
import { firstSeedFor } from './first-seed.ts'
import { runSeed, watchRejections } from './run-seed.ts'
import type { SeedReport } from './simulation.ts'
import { Tally } from './tally.ts'
import type { WorkerRequest } from './worker.ts'

/** A campaign stops after this many failures: one is enough to know, a few help to see what they have in common. */
const FAILURES_MAX = 10

function print(line: string): void {
  console.log(line)
}

function printFailure({ seed, violation }: SeedReport, bug: string | null, focus: Focus | null): void {
  if (violation === null) return
  print(`FAILED seed ${seed}: ${violation.oracle}: ${violation.message}`)
  const how = `${focus === null ? '' : ` --focus ${focus}`}${bug === null ? '' : ` --bug ${bug}`}`
  print(`  replay: npm run sim -- --seed ${seed}${how}`)
}

async function campaign(task: Extract<Task, { kind: 'campaign' }>): Promise<boolean> {
  const { focus } = task
  const tally = new Tally(focus)
  const crew = new Crew(task.workers)
  const endsAt = Date.now() + task.minutes * 60_000
  let seed = task.from
  const next = (): WorkerRequest | null => {
    if (seed >= task.from + task.seeds || Date.now() >= endsAt || tally.failures.length >= FAILURES_MAX) return null
    return { seed: seed++, bug: null, focus }
  }
  const startedAt = Date.now()
  await crew.run(next, (report) => {
    tally.add(report)
    printFailure(report, null, focus)
    if (tally.seeds % 500 === 0)
      print(`... ${tally.seeds} seeds after ${Math.round((Date.now() - startedAt) / 1000)} s`)
  })
  await crew.dismiss()
  for (const line of tally.lines()) print(line)
  print(`took ${((Date.now() - startedAt) / 1000).toFixed(1)} s`)
  const problems = tally.problems()
  for (const problem of problems) print(`FAILED: ${problem}`)
  return tally.failures.length === 0 && problems.length === 0
}

async function replay({ seed, bug, quiet, focus }: Extract<Task, { kind: 'replay' }>): Promise<boolean> {
  watchRejections()
  const planted = bug === null ? {} : { bug: plantedBug(bug) }
  const report = await runSeed(seed, quiet ? { ...planted, focus } : { ...planted, focus, print })
  printFailure(report, bug, focus)
  print(
    `seed ${seed}: ${report.violation === null ? 'no violation' : 'VIOLATION'}, ${(report.virtualMs / 1000).toFixed(1)} virtual seconds, ` +
      `${report.events} events, ${report.leaders} leaders, ${report.committed} entries committed, ` +
      `${report.history?.operations ?? 0} operations; run ${report.fingerprint}`,
  )
  return report.violation === null
}

/** Every planted bug must be found within its number of seeds. */
async function planted(task: Extract<Task, { kind: 'planted' }>): Promise<boolean> {
  const crew = new Crew(task.workers)
  let ok = true
  for (const bug of plantedBugs) {
    if (task.only !== null && bug.name !== task.only) continue
    const from = firstSeedFor(bug)
    let seed = from
    let found: SeedReport | null = null
    const next = (): WorkerRequest | null => {
      return found !== null || seed >= from + bug.seedsMax ? null : { seed: seed++, bug: bug.name, focus: null }
    }
    await crew.run(next, (report) => {
      if (report.violation !== null && (found === null || report.seed < found.seed)) found = report
    })
    const first = found as SeedReport | null
    ok &&= first !== null
    const how =
      first === null || first.violation === null
        ? `NOT FOUND in ${bug.seedsMax} seeds`
        : `seed ${first.seed}, by ${first.violation.oracle}`
    print(`${bug.name.padEnd(34)}${how.padEnd(44)}${bug.says}`)
  }
  await crew.dismiss()
  return ok
}

async function main(): Promise<boolean> {
  const task = parseTask(process.argv.slice(2))
  switch (task.kind) {
    case 'campaign':
      return campaign(task)
    case 'replay':
      return replay(task)
    case 'planted':
      return planted(task)
    case 'cases':
      watchRejections()
      return playCases(task, print)
    case 'usage':
      print(task.problem)
      print(USAGE)
      return false
  }
}

process.exitCode = (await main()) ? 0 : 1
