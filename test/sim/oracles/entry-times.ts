import type { LogWrite } from '../../../src/ports/log-store.ts'
import { logIndex, type LogId } from '../../../src/raft/index.ts'
import type { Ledger, Ledgers } from '../machines/ledger.ts'
import type { Machine } from '../machines/machine.ts'
import { describeLogId } from '../network/describe.ts'
import type { World } from '../world/world.ts'
import type { Oracle } from './oracle.ts'

/** When entries were written for the first time, and when they were committed, in the time of the world. It objects to nothing. */
export class EntryTimes implements Oracle {
  private readonly world: World
  private readonly ledgers: Ledgers
  private readonly written = new Map<string, number>()
  private readonly committed = new Map<string, number[]>()

  constructor(world: World, ledgers: Ledgers) {
    this.world = world
    this.ledgers = ledgers
  }

  onSubmit(machine: Machine, write: LogWrite): void {
    if (write.type !== 'append') return
    const { leaderId, first, last } = write.batch
    for (let index: number = first; index <= last; index++) {
      const name = nameOf(machine.clusterId, { leaderId, index: logIndex(index) })
      if (!this.written.has(name)) this.written.set(name, this.world.now())
    }
  }

  onStep(machine: Machine): void {
    const { clusterId } = machine
    const count = this.ledgers.of(clusterId).committed.length
    let times = this.committed.get(clusterId)
    if (times === undefined) this.committed.set(clusterId, (times = []))
    while (times.length < count) times.push(this.world.now())
  }

  of({ clusterId, committed }: Ledger): TimesOfLog {
    return {
      writtenAt: (index) => {
        const entry = committed[index]
        return (entry === undefined ? undefined : this.written.get(nameOf(clusterId, entry.logId))) ?? 0
      },
      committedAt: (index) => this.committed.get(clusterId)?.[index] ?? Infinity,
    }
  }
}

/** The moments of the committed entries of one cluster. */
export interface TimesOfLog {
  writtenAt(index: number): number
  /** Infinity: it was never committed. */
  committedAt(index: number): number
}

export const NO_TIMES: TimesOfLog = { writtenAt: () => 0, committedAt: () => Infinity }

function nameOf(clusterId: string, logId: LogId): string {
  return `${clusterId} ${describeLogId(logId)}`
}
