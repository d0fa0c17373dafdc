import { indexOf, logIndex } from '../../../src/raft/index.ts'
import { isImpaired, mayDamage } from './impairment.ts'
import type { Machine } from '../machines/machine.ts'
import type { Targets } from './targets.ts'

/** Makes disks hang, fail, fill up, rot and vanish. */
export class DiskFaults {
  private readonly targets: Targets

  constructor(targets: Targets) {
    this.targets = targets
  }

  /** Machines whose data or promises are lost or incomplete. */
  get impaired(): readonly Machine[] {
    return this.targets.machines.filter(isImpaired)
  }

  stick(): void {
    const machine = this.targets.victim()
    if (machine === null) return
    this.targets.count('disk-stuck')
    machine.weather.stuckUntil = this.targets.world.now() + this.targets.duration()
  }

  break(): void {
    const { random, world } = this.targets
    const machine = this.targets.victim()
    if (machine === null) return
    const { weather } = machine
    if (random.chance(0.3)) {
      weather.broken = true
      world.after(this.targets.duration(), () => {
        weather.broken = false
      })
      return
    }
    const field = random.chance(0.7) ? 'writeErrorProbability' : 'readErrorProbability'
    weather[field] = 0.2
    world.after(random.exponential(200), () => {
      weather[field] = 0
    })
  }

  fill(): void {
    const machine = this.targets.victim()
    if (machine === null) return
    machine.weather.full = true
    this.targets.world.after(this.targets.duration(), () => {
      machine.weather.full = false
    })
  }

  damageLog(): void {
    const { random, world } = this.targets
    const machine = this.damageable()
    if (machine === null) return
    const { durable } = machine.log
    const first = indexOf(durable.purged) + 1
    const last = durable.lastIndex
    if (last < first) return
    this.targets.count('disk-flipped-log')
    this.targets.kill(machine, 'kill')
    machine.damaged = true
    const from = logIndex(random.chance(0.5) ? last : random.integer(first, last + 1))
    world.note(machine.name, `log damaged from ${from} on`)
    machine.log.damageFrom(from)
  }

  /** Damages both copies. Restoring one from the other is a matter of the store, and tested there. */
  damageVote(): void {
    const machine = this.damageable()
    if (machine === null) return
    this.targets.count('disk-flipped-vote')
    this.targets.kill(machine, 'kill')
    machine.damaged = true
    machine.log.voteUnreadable = true
  }

  damageState(): void {
    const machine = this.damageable()
    if (machine === null) return
    this.targets.count('disk-damaged-state')
    this.targets.kill(machine, 'kill')
    machine.damaged = true
    machine.state.damaged = true
  }

  wipe(): void {
    const machine = this.damageable()
    if (machine === null) return
    this.targets.count('disk-wiped')
    machine.wipe()
    this.targets.restartLater(machine, 200)
  }

  private damageable(): Machine | null {
    const { machines } = this.targets
    const machine = this.targets.victim()
    return machine !== null && mayDamage(machine, machines) ? machine : null
  }
}
