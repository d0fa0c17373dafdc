import { faultClasses, type FaultClass } from '../world/census.ts'
import type { Focus } from '../world/focus.ts'
import type { LivenessFigures } from '../faults/liveness.ts'
import { addFigures, noFigures } from '../oracles/figures.ts'
import { IMPORTS_FROM, INSPECTIONS_FROM, LEVEL_1_FROM } from '../world/options.ts'
import type { SeedReport } from './simulation.ts'

/** A run of this many seeds must have met every fault, and must have done enough for the checks to mean something. */
const SEEDS_FOR_EVERYTHING = 500
/** Share of all seeds. Some seeds form two clusters, or none that must work. */
const LIVELY_SHARE_MIN = 0.95
const HISTORY_SHARE_MIN = 0.8
const ACKNOWLEDGED_PER_SEED_MIN = 50
const CALM_CALLS_PER_SEED_MIN = 5
/** What each seed of feature level 1 has on average, at least: a client that has fallen silent would be noticed. */
const LEVEL_1_MIN = {
  transactions: 10,
  upkeep: 3,
  pastReads: 8,
  compactedReads: 8,
  watches: 4,
  watchedChanges: 15,
  watchedProgress: 4,
  watchesCompacted: 1,
  retentions: 0.7,
  leaseEnds: 0.2,
  leasesExpired: 3,
  leasesMeasured: 3,
  leasesGone: 3,
  leasedPuts: 5,
  locksAcquired: 2,
  locksHandedOver: 0.4,
  locksInVain: 0.4,
  locksLeft: 0.4,
  fencedWrites: 0.3,
}

/** What each seed with tokens has on average, at least. */
const AUTH_MIN = {
  tokenAnswers: 100,
  denials: 10,
  lateRequests: 1,
  authChanges: 10,
  watchesDenied: 0.5,
}

/** What each seed in which some clients import, and some look at versions and leases, has on average, at least. */
const IMPORTS_MIN = {
  importsDone: 2,
  importsEnded: 0.7,
  importedChanges: 2,
  halvedChanges: 0.05,
  versionViews: 5,
  leaseViews: 0.2,
}

/** What each seed in which clients may look at leases, locks and the history that is kept has on average, at least. */
const INSPECTIONS_MIN = {
  leaseLooks: 4,
  lockLooks: 3,
  compactionLooks: 8,
  concealedLooks: 0.01,
  looksAtLearners: 0.8,
  looksDuringChanges: 0.02,
}

/** Faults that only discovery with crashes meets. */
const FORMING_FAULTS: readonly FaultClass[] = [
  'form-discovered',
  'form-crash',
  'kill-at-pledge',
  'kill-all',
  'disk-lost-pledge',
  'relocate-all',
  'relocate-some',
  'relocate-swap',
]

/** Faults that seeds of feature level 1 meet: only their nodes refuse writes when a few wait. */
const LEVEL_1_FAULTS: readonly FaultClass[] = ['client-overloaded']
const IMPORT_FAULTS: readonly FaultClass[] = ['import-retry']
const INSPECTION_FAULTS: readonly FaultClass[] = ['freeze-all', 'freeze-all-autopilot']

function lacking(
  counts: Readonly<Record<string, number>>,
  floors: Readonly<Record<string, number>>,
  seeds: number,
  which: string,
): string[] {
  return Object.entries(floors).flatMap(([what, perSeed]) => {
    const [count, least] = [counts[what] ?? 0, Math.ceil(perSeed * seeds)]
    return count < least ? [`only ${count} ${what}, and ${least} are the least in ${seeds} ${which}`] : []
  })
}

/** The sum of many seeds. */
export class Tally {
  seeds = 0
  private readonly focus: Focus | null
  readonly failures: SeedReport[] = []
  private virtualMs = 0
  private events = 0
  private leaders = 0
  private committed = 0
  private digests = 0
  private histories = 0
  private readonly figures = noFigures()
  private lively = 0
  private calmCalls = 0
  private retentions = 0
  private leaseEnds = 0
  private levelOneSeeds = 0
  private authSeeds = 0
  private importSeeds = 0
  private inspectionSeeds = 0
  private readonly worst: LivenessFigures = { progressTimeouts: 0, steadyElections: 0, convergenceMs: 0 }
  private readonly faults = new Map<FaultClass, { times: number; seeds: number }>()

  constructor(focus: Focus | null = null) {
    this.focus = focus
  }

  add(report: SeedReport): void {
    this.seeds += 1
    this.virtualMs += report.virtualMs
    this.events += report.events
    this.leaders += report.leaders
    this.committed += report.committed
    this.digests += report.digestsCompared
    if (report.livenessChecked) this.lively += 1
    this.calmCalls += report.calmCalls
    this.retentions += report.retentionsAwaited
    this.leaseEnds += report.leaseEndsAwaited
    if (report.seed >= LEVEL_1_FROM) this.levelOneSeeds += 1
    if (report.hasAuth) this.authSeeds += 1
    if (report.seed >= IMPORTS_FROM) this.importSeeds += 1
    if (report.seed >= INSPECTIONS_FROM) this.inspectionSeeds += 1
    const { progressTimeouts, steadyElections, convergenceMs } = report.worst
    this.worst.progressTimeouts = Math.max(this.worst.progressTimeouts, progressTimeouts)
    this.worst.steadyElections = Math.max(this.worst.steadyElections, steadyElections)
    this.worst.convergenceMs = Math.max(this.worst.convergenceMs, convergenceMs)
    if (report.violation !== null) this.failures.push(report)
    for (const [fault, times] of report.faults) {
      const sum = this.faults.get(fault) ?? { times: 0, seeds: 0 }
      this.faults.set(fault, { times: sum.times + times, seeds: sum.seeds + 1 })
    }
    const { history } = report
    if (history === null) return
    this.histories += 1
    addFigures(this.figures, history)
  }

  /** Faults that never occurred. */
  get missingFaults(): FaultClass[] {
    const wanted = this.focus === null ? faultClasses : FORMING_FAULTS
    const unexpected = [
      ...(this.levelOneSeeds >= SEEDS_FOR_EVERYTHING ? [] : LEVEL_1_FAULTS),
      ...(this.importSeeds >= SEEDS_FOR_EVERYTHING ? [] : IMPORT_FAULTS),
      ...(this.inspectionSeeds >= SEEDS_FOR_EVERYTHING ? [] : INSPECTION_FAULTS),
    ]
    return wanted.filter((fault) => !this.faults.has(fault) && !unexpected.includes(fault))
  }

  /** Reports what a long run should have done but has not: a check without anything to check finds nothing. */
  problems(): string[] {
    const { seeds } = this
    if (seeds < SEEDS_FOR_EVERYTHING) return []
    const floors: [what: string, count: number, perSeed: number][] = [
      ['seeds with a liveness phase', this.lively, LIVELY_SHARE_MIN],
      ['histories checked', this.histories, HISTORY_SHARE_MIN],
      ...(this.focus === null ? this.useFloors() : []),
    ]
    return [
      ...this.missingFaults.map((fault) => `the fault ${fault} never fired in ${seeds} seeds`),
      ...floors
        .filter(([, count, perSeed]) => count < perSeed * seeds)
        .map(([what, count, perSeed]) => `only ${count} ${what}, and ${Math.ceil(perSeed * seeds)} are the least`),
      ...(this.focus === null ? this.levelOneProblems() : []),
    ]
  }

  private levelOneProblems(): string[] {
    const { levelOneSeeds: seeds, retentions, leaseEnds } = this
    if (seeds < SEEDS_FOR_EVERYTHING) return []
    const counts = { ...this.figures, retentions, leaseEnds }
    return [
      ...lacking(counts, LEVEL_1_MIN, seeds, 'seeds of level 1'),
      ...lacking(counts, AUTH_MIN, this.authSeeds, 'seeds with tokens'),
      ...lacking(counts, IMPORTS_MIN, this.importSeeds, 'seeds with imports'),
      ...lacking(counts, INSPECTIONS_MIN, this.inspectionSeeds, 'seeds in which clients may look'),
    ]
  }

  private useFloors(): [what: string, count: number, perSeed: number][] {
    return [
      ['acknowledged writes', this.figures.acknowledgedWrites, ACKNOWLEDGED_PER_SEED_MIN],
      ['calls while nothing was wrong', this.calmCalls, CALM_CALLS_PER_SEED_MIN],
    ]
  }

  lines(): string[] {
    const { seeds, figures } = this
    const known = faultClasses.map((fault) => {
      const { times, seeds: in_ } = this.faults.get(fault) ?? { times: 0, seeds: 0 }
      return `  ${fault.padEnd(30)}${String(times).padStart(10)} times in ${in_} seeds`
    })
    return [
      ...known,
      `${seeds} seeds, ${(this.virtualMs / 3_600_000).toFixed(2)} virtual hours, ${this.events} events, ${this.leaders} leaders elected, ${this.committed} entries committed`,
      `${this.histories} histories checked (${seeds - this.histories} not): ${figures.operations} operations, ${figures.acknowledgedWrites} acknowledged writes, ${figures.transactions} of them transactions and ${figures.upkeep} upkeep of history, ${figures.pastReads} reads of the past and ${figures.compactedReads} that came too late, ${figures.doublesCompared} answered twice and ${figures.repeatsCompared} again later, ${figures.boundedReads} reads of a bounded age, ${figures.statesCompared} states at the end`,
      `${figures.watches} watches were told of ${figures.watchedChanges} changes and ${figures.watchedProgress} times of their progress, ${figures.watchesCompacted} came too late`,
      `${figures.leasedPuts} puts with a lease; ${figures.leasesExpired} leases ended by their time, ${figures.leasesMeasured} of them measured by the clock of their leader, and ${this.leaseEnds} clusters were seen to end all; ${figures.leasesGone} answers that one is gone`,
      `${figures.locksAcquired} locks acquired, ${figures.locksHandedOver} of them after a wait, ${figures.locksInVain} waits in vain, ${figures.locksLeft} given up; ${figures.fencedWrites} writes behind a lock`,
      `${this.authSeeds} seeds with tokens: ${figures.authChanges} changes of roles and tokens, ${figures.tokenAnswers} answers, ${figures.denials} refusals, ${figures.lateRequests} of them to tokens that were revoked before, ${figures.watchesDenied} watches ended by a refusal`,
      `${this.importSeeds} seeds with imports: ${figures.importsDone} done and ${figures.importsEnded} ended early, ${figures.importedChanges} changes of several records, ${figures.halvedChanges} of them halves; ${figures.versionViews} pages of versions and ${figures.leaseViews} of leases`,
      `${this.inspectionSeeds} seeds in which clients may look: ${figures.leaseLooks} looks at leases, ${figures.lockLooks} at locks and ${figures.compactionLooks} at the history that is kept; ${figures.concealedLooks} did not show all, ${figures.looksAtLearners} were at a node without a vote and ${figures.looksDuringChanges} during a change of voters`,
      `linearizability of ${figures.keysChecked} keys (${figures.keysUndecided} undecided), of ${figures.joinedChecked} groups of keys that transactions join (${figures.joinedUndecided} undecided), with ${figures.executedAgain} named writes that were executed again`,
      `${this.lively} seeds with a liveness phase: progress after at most ${this.worst.progressTimeouts.toFixed(1)} election timeouts, ` +
        `at most ${this.worst.steadyElections} ballots while writes went through, the same state after at most ${Math.round(this.worst.convergenceMs)} ms; ${this.retentions} had as little history as they are to keep`,
      `${this.digests} states compared, ${this.calmCalls} calls answered while nothing was wrong, ${this.failures.length} violations`,
    ]
  }
}
