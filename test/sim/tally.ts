import { faultClasses, type FaultClass } from './census.ts'
import type { SeedReport } from './simulation.ts'

/** A run of this many seeds must have seen every fault. */
export const SEEDS_FOR_EVERY_FAULT = 500

/** What many seeds add up to. */
export class Tally {
  seeds = 0
  readonly failures: SeedReport[] = []
  private virtualMs = 0
  private events = 0
  private leaders = 0
  private committed = 0
  private digests = 0
  private histories = 0
  private operations = 0
  private acknowledged = 0
  private keys = 0
  private undecided = 0
  private lively = 0
  private readonly faults = new Map<FaultClass, { times: number; seeds: number }>()

  add(report: SeedReport): void {
    this.seeds += 1
    this.virtualMs += report.virtualMs
    this.events += report.events
    this.leaders += report.leaders
    this.committed += report.committed
    this.digests += report.digestsCompared
    if (report.livenessChecked) this.lively += 1
    if (report.violation !== null) this.failures.push(report)
    for (const [fault, times] of report.faults) {
      const sum = this.faults.get(fault) ?? { times: 0, seeds: 0 }
      this.faults.set(fault, { times: sum.times + times, seeds: sum.seeds + 1 })
    }
    const { history } = report
    if (history === null) return
    this.histories += 1
    this.operations += history.operations
    this.acknowledged += history.acknowledgedWrites
    this.keys += history.keysChecked
    this.undecided += history.keysUndecided
  }

  get missingFaults(): FaultClass[] {
    return faultClasses.filter((fault) => !this.faults.has(fault))
  }

  lines(): string[] {
    const { seeds } = this
    const known = faultClasses.map((fault) => {
      const { times, seeds: in_ } = this.faults.get(fault) ?? { times: 0, seeds: 0 }
      return `  ${fault.padEnd(30)}${String(times).padStart(10)} times in ${in_} seeds`
    })
    return [
      ...known,
      `${seeds} seeds, ${(this.virtualMs / 3_600_000).toFixed(2)} virtual hours, ${this.events} events, ${this.leaders} leaders elected, ${this.committed} entries committed`,
      `${this.histories} histories checked: ${this.operations} operations, ${this.acknowledged} acknowledged writes; linearizability of ${this.keys} keys (${this.undecided} undecided)`,
      `${this.digests} states compared, ${this.lively} seeds with a liveness phase, ${this.failures.length} violations`,
    ]
  }
}
