import type { FaultClass } from '../world/census.ts'
import type { Draw } from '../world/draw.ts'
import { leaderAmong } from '../machines/leaders.ts'
import type { CrashKind, Machine } from '../machines/machine.ts'
import type { Network } from '../network/network.ts'
import type { SimulationOptions } from '../world/options.ts'
import type { World } from '../world/world.ts'

export interface NemesisDependencies {
  readonly world: World
  readonly network: Network
  readonly machines: readonly Machine[]
}

/** Chooses the victim and the duration of faults, and holds what every kind of fault needs. */
export class Targets {
  /** The faults are over. Those that were planned and have not occurred yet are cancelled. */
  stopped = false
  readonly options: SimulationOptions
  readonly world: World
  readonly network: Network
  readonly machines: readonly Machine[]
  readonly random: Draw

  constructor(options: SimulationOptions, dependencies: NemesisDependencies) {
    this.options = options
    this.world = dependencies.world
    this.network = dependencies.network
    this.machines = dependencies.machines
    this.random = dependencies.world.random.fork()
  }

  count(fault: FaultClass): void {
    this.world.census.count(fault)
  }

  leader(): Machine | null {
    return leaderAmong(this.machines)
  }

  someoneUp(): Machine | null {
    const up = this.machines.filter((machine) => machine.isUp)
    return up.length === 0 ? null : this.random.pick(up)
  }

  /** A random machine; the leader more often than chance would have it. */
  victim(): Machine | null {
    const leader = this.leader()
    const share = this.options.huntsLeader ? 0.9 : 0.4
    return leader !== null && this.random.chance(share) ? leader : this.someoneUp()
  }

  duration(): number {
    return 10 + this.random.exponential(this.random.pick([100, 500, 2500]))
  }

  kill(machine: Machine, kind: CrashKind): void {
    if (!machine.isUp) return
    this.count(kind === 'power' ? 'power-cut' : 'kill')
    if (machine.view?.state === 'leader') this.count('kill-leader')
    machine.crash(kind)
    this.restartLater(machine, this.random.pick([5, 100, 1000]))
  }

  restartLater(machine: Machine, meanMs: number): void {
    if (machine.restartPlanned) return
    machine.restartPlanned = true
    this.world.after(1 + this.random.exponential(meanMs), () => {
      machine.restartPlanned = false
      machine.start()
    })
  }
}
