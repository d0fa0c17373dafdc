import type { LogWrite } from '../../../src/ports/log-store.ts'
import { logIndex, type LogId, type RaftView } from '../../../src/raft/index.ts'
import type { Ledger, Ledgers } from '../machines/ledger.ts'
import type { CoreStep } from '../machines/core-step.ts'
import type { Machine } from '../machines/machine.ts'
import { describeLogId } from '../network/describe.ts'
import type { World } from '../world/world.ts'
import type { Oracle } from './oracle.ts'

/** What one life of a process has seen, on its own clock. */
interface Life {
  /** When it knew how much to be committed, in this order. */
  readonly committed: { readonly index: number; readonly at: number }[]
  /** Since when it leads; null: it does not. */
  leadsSince: number | null
}

/** The first write of an entry by the leader that has made it. */
interface Origin {
  readonly life: Life
  /** On the clock of its process. */
  readonly at: number
  readonly leadsSince: number
}

/**
 * When entries were written for the first time, and when they were committed: in the time of the world, and on the clock of the leader. It objects
 * to nothing.
 */
export class EntryTimes implements Oracle {
  private readonly world: World
  private readonly ledgers: Ledgers
  private readonly written = new Map<string, number>()
  private readonly committed = new Map<string, number[]>()
  private readonly lives = new Map<string, Life>()
  private readonly origins = new Map<string, Origin>()

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
      if (leaderId.nodeId === machine.id && !this.origins.has(name)) this.noteOrigin(name, machine)
    }
  }

  private noteOrigin(name: string, { lifeName, process }: Machine): void {
    const life = this.lives.get(lifeName)
    if (life === undefined || life.leadsSince === null || process === null) return
    this.origins.set(name, { life, at: process.clock.now(), leadsSince: life.leadsSince })
  }

  private noteStep({ lifeName, process }: Machine, { committed, state }: RaftView): void {
    if (process === null) return
    const life = this.lives.get(lifeName) ?? { committed: [], leadsSince: null }
    this.lives.set(lifeName, life)
    const at = process.clock.now()
    if (state !== 'leader') life.leadsSince = null
    else life.leadsSince ??= at
    if (committed > (life.committed.at(-1)?.index ?? -1)) life.committed.push({ index: committed, at })
  }

  onStep(machine: Machine, { view }: CoreStep): void {
    this.noteStep(machine, view)
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
      leaderWaited: (from, index) => {
        const entry = committed[index]
        const origin = entry === undefined ? undefined : this.origins.get(nameOf(clusterId, entry.logId))
        if (origin === undefined) return null
        const known = origin.life.committed.find((one) => one.index >= from)
        return known === undefined ? null : origin.at - Math.max(known.at, origin.leadsSince)
      },
    }
  }
}

/** The moments of the committed entries of one cluster. */
export interface TimesOfLog {
  writtenAt(index: number): number
  /** Infinity: it was never committed. */
  committedAt(index: number): number
  /**
   * How much time had passed, on the clock of the leader that has made the entry at `index`, since it led and knew the entry at `from` to be
   * committed; null: that is not known.
   */
  leaderWaited(from: number, index: number): number | null
}

export const NO_TIMES: TimesOfLog = { writtenAt: () => 0, committedAt: () => Infinity, leaderWaited: () => null }

function nameOf(clusterId: string, logId: LogId): string {
  return `${clusterId} ${describeLogId(logId)}`
}
