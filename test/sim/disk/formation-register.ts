import type { FormationMemory, FormationRegister } from '../../../src/ports/automation.ts'
import { NOTHING_REMEMBERED } from '../../../src/ports/automation.ts'
import type { SimProcess } from '../world/process.ts'
import type { World } from '../world/world.ts'
import { Calls } from './calls.ts'
import type { DiskWeather } from './faults.ts'
import type { WriteMoment } from './log-store.ts'

/** The part of a machine's disk that holds its node's promises and what the node has seen before it belonged to a cluster. */
export class FormationDisk {
  memory: FormationMemory = NOTHING_REMEMBERED
}

export interface FormationRegisterDependencies {
  readonly world: World
  readonly process: SimProcess
  readonly disk: FormationDisk
  readonly weather: DiskWeather
  /** A write is about to begin, or has just become durable but is not acknowledged yet. May end the process. */
  readonly onWrite: (moment: WriteMoment) => void
}

/** A small file that is replaced whole and synced. A crash before the acknowledgement leaves the old content or the new one. */
export class SimFormationRegister implements FormationRegister {
  private readonly deps: FormationRegisterDependencies
  private readonly calls: Calls
  private coming: FormationMemory | null = null

  constructor(dependencies: FormationRegisterDependencies) {
    this.deps = dependencies
    const { process, world, weather } = dependencies
    this.calls = new Calls(process, world, weather)
    process.whenEnded(() => this.crash())
  }

  load(): Promise<FormationMemory> {
    return this.call(() => {
      this.calls.useDisk('read', 'reading what was promised', 'disk-write-error')
      return this.deps.disk.memory
    })
  }

  store(memory: FormationMemory): Promise<void> {
    const { process, disk, onWrite, weather } = this.deps
    onWrite('begin')
    // The callback may have ended the process.
    if (!process.alive) return new Promise(() => undefined)
    this.coming = memory
    return this.call(() => {
      this.coming = null
      this.calls.useDisk('grow', 'writing what was promised', 'disk-write-error')
      disk.memory = memory
      onWrite('end')
    }, weather.writeMs)
  }

  private crash(): void {
    const { world, disk } = this.deps
    if (this.coming === null) return
    if (world.random.chance(0.5)) disk.memory = this.coming
    else world.census.count('disk-lost-pledge')
    this.coming = null
  }

  private call<T>(run: () => T, meanMs = 0.5): Promise<T> {
    return this.calls.run(0.1 + this.deps.process.random.exponential(meanMs), run)
  }
}
