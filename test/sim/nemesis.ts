import type { Draw } from './draw.ts'
import { calmDisk } from './disk/faults.ts'
import { isImpaired, mayDamage } from './impairment.ts'
import type { CrashKind, CrashMoment, Machine } from './machine.ts'
import type { Network } from './network/network.ts'
import type { SnapshotStream } from './network/snapshot-stream.ts'
import { calmDown } from './network/weather.ts'
import type { FaultGroup, SimulationOptions } from './options.ts'
import { logIndex, indexOf } from '../../src/raft/index.ts'
import type { World } from './world.ts'

export interface NemesisDependencies {
  readonly world: World
  readonly network: Network
  readonly machines: readonly Machine[]
}

interface ArmedCrash {
  readonly moment: CrashMoment
  countdown: number
  readonly kind: CrashKind
}

const CRASH_MOMENTS: readonly CrashMoment[] = [
  'write-begin',
  'write-end',
  'send',
  'apply',
  'snapshot-chunk',
  'snapshot-commit',
]

/** Breaks things, within what a seed allows, and mends them again after a while. */
export class Nemesis {
  stopped = false
  private readonly options: SimulationOptions
  private readonly world: World
  private readonly network: Network
  private readonly machines: readonly Machine[]
  private readonly random: Draw
  private readonly armed = new Map<Machine, ArmedCrash>()
  private readonly acts: readonly (() => void)[]

  constructor(options: SimulationOptions, dependencies: NemesisDependencies) {
    this.options = options
    this.world = dependencies.world
    this.network = dependencies.network
    this.machines = dependencies.machines
    this.random = dependencies.world.random.fork()
    this.acts = this.actsOf(options.faults)
  }

  /** The weather of the whole safety phase. */
  begin(): void {
    const { faults } = this.options
    const { weather } = this.network
    const { random } = this
    if (faults.has('loss')) weather.lossProbability = random.pick([0.01, 0.1, 0.3])
    if (faults.has('duplicates')) weather.duplicateProbability = random.pick([0.02, 0.2, 0.5])
    if (faults.has('reordering')) weather.reorderProbability = random.pick([0.02, 0.2])
    if (faults.has('resets')) weather.resetProbability = random.pick([0.001, 0.02])
    if (faults.has('delays')) {
      weather.spikeProbability = random.pick([0.01, 0.1])
      weather.spikeMs = random.pick([20, 200])
    }
    if (faults.has('snapshot-faults')) {
      weather.snapshotCutProbability = random.pick([0.01, 0.1])
      weather.snapshotCorruptProbability = random.pick([0.01, 0.1])
    }
    for (const machine of this.machines) {
      if (!faults.has('slow-disk')) continue
      machine.weather.slowProbability = random.pick([0.01, 0.1])
      machine.weather.slowMs = random.pick([10, 100])
    }
  }

  async run(): Promise<void> {
    if (this.acts.length === 0) return
    while (!this.stopped) {
      await new Promise<void>((resolve) =>
        this.world.after(this.random.exponential(this.options.faultEveryMs), resolve),
      )
      if (!this.stopped) this.random.pick(this.acts)()
    }
  }

  /** Everything that was broken works again; who is down is started. Slow networks and drifting clocks stay. */
  calm(): void {
    this.stopped = true
    this.armed.clear()
    this.network.links.healAll()
    calmDown(this.network.weather)
    for (const machine of this.machines) {
      const { writeMs, readMs } = machine.weather
      Object.assign(machine.weather, calmDisk(), { writeMs, readMs })
      if (machine.process !== null) machine.process.resume(this.random.chance(0.5))
      if (!machine.isUp) this.world.after(this.random.between(0, 50), () => machine.start())
    }
  }

  /** The machine's process dies at a drawn moment of what it does next. */
  arm(machine: Machine): void {
    this.armed.set(machine, {
      moment: this.random.pick(CRASH_MOMENTS),
      countdown: this.random.integer(1, 12),
      kind: this.random.chance(0.3) ? 'power' : 'kill',
    })
  }

  onMoment(machine: Machine, moment: CrashMoment, stream: SnapshotStream | null): void {
    if (this.stopped) return
    if (this.options.faults.has('snapshot-faults')) this.disturbSnapshot(machine, moment, stream)
    const armed = this.armed.get(machine)
    if (armed === undefined || armed.moment !== moment) return
    armed.countdown -= 1
    if (armed.countdown > 0) return
    this.armed.delete(machine)
    if (moment === 'write-begin' || moment === 'write-end') this.world.census.count(`kill-at-${moment}`)
    if (moment === 'send' || moment === 'apply') this.world.census.count(`kill-at-${moment}`)
    if (moment === 'snapshot-chunk') this.world.census.count('snapshot-kill-receiver')
    if (moment === 'snapshot-commit') this.world.census.count('snapshot-kill-at-commit')
    this.kill(machine, armed.kind)
  }

  /** A node has become candidate. */
  onCandidate(machine: Machine): void {
    if (this.stopped || !this.options.faults.has('crash-points') || !this.random.chance(0.03)) return
    this.world.census.count('kill-in-election')
    this.kill(machine, 'kill')
  }

  /** A process has ended by itself: a supervisor starts it again. */
  onExit(machine: Machine): void {
    this.restartLater(machine, this.stopped ? 50 : 500)
  }

  private disturbSnapshot(machine: Machine, moment: CrashMoment, stream: SnapshotStream | null): void {
    if (moment === 'snapshot-commit' && this.random.chance(0.1)) {
      this.world.census.count('snapshot-kill-at-commit')
      return this.kill(machine, this.random.chance(0.5) ? 'power' : 'kill')
    }
    if (moment !== 'snapshot-chunk' || stream === null || !this.random.chance(0.03)) return
    if (this.random.chance(0.5)) {
      this.world.census.count('snapshot-kill-receiver')
      return this.kill(machine, 'kill')
    }
    const sender = this.machines.find(({ id }) => id === stream.sender.id)
    if (sender === undefined) return
    this.world.census.count('snapshot-kill-sender')
    this.kill(sender, 'kill')
  }

  private actsOf(faults: ReadonlySet<FaultGroup>): (() => void)[] {
    const all: Partial<Record<FaultGroup, () => void>> = {
      lies: () => this.lie(),
      partitions: () => this.partition(),
      'one-way': () => this.cutOneWay(),
      partial: () => this.cutPair(),
      flapping: () => this.flap(),
      clogs: () => this.clog(),
      kills: () => this.killSomeone(),
      'crash-points': () => this.arm(this.random.pick(this.machines)),
      'kill-all': () => this.killAll('kill'),
      power: () => this.cutPower(),
      pauses: () => this.pause(),
      stalls: () => this.stall(),
      restarts: () => this.restart(),
      jumps: () => this.jump(),
      'slow-disk': () => this.stickDisk(),
      'disk-errors': () => this.breakDisk(),
      'disk-full': () => this.fillDisk(),
      'log-damage': () => this.damageLog(),
      'vote-damage': () => this.damageVote(),
      'state-damage': () => this.damageState(),
      wipes: () => this.wipe(),
    }
    return [...faults].flatMap((group) => all[group] ?? [])
  }

  private kill(machine: Machine, kind: CrashKind): void {
    if (!machine.isUp) return
    this.world.census.count(kind === 'power' ? 'power-cut' : 'kill')
    if (machine.view?.state === 'leader') this.world.census.count('kill-leader')
    machine.crash(kind)
    this.restartLater(machine, this.random.pick([5, 100, 1000]))
  }

  private restartLater(machine: Machine, meanMs: number): void {
    if (machine.restartPlanned) return
    machine.restartPlanned = true
    this.world.after(1 + this.random.exponential(meanMs), () => {
      machine.restartPlanned = false
      machine.start()
    })
  }

  private someoneUp(): Machine | null {
    const up = this.machines.filter((machine) => machine.isUp)
    return up.length === 0 ? null : this.random.pick(up)
  }

  /** The leader more often than chance would have it. */
  private victim(): Machine | null {
    const leader = this.machines.find((machine) => machine.view?.state === 'leader')
    const share = this.options.huntsLeader ? 0.9 : 0.4
    return leader !== undefined && this.random.chance(share) ? leader : this.someoneUp()
  }

  private duration(): number {
    return 10 + this.random.exponential(this.random.pick([100, 500, 2500]))
  }

  private killSomeone(): void {
    const machine = this.victim()
    if (machine !== null) this.kill(machine, 'kill')
  }

  private killAll(kind: CrashKind): void {
    this.world.census.count(kind === 'power' ? 'power-cut-all' : 'kill-all')
    for (const machine of this.machines) this.kill(machine, kind)
  }

  private cutPower(): void {
    if (this.random.chance(0.3)) return this.killAll('power')
    const machine = this.victim()
    if (machine !== null) this.kill(machine, 'power')
  }

  private pause(): void {
    const machine = this.victim()
    const process = machine?.process ?? null
    if (machine === null || process === null || process.paused) return
    this.world.census.count('pause')
    if (machine.view?.state === 'leader') this.world.census.count('pause-leader')
    this.world.note(machine.name, 'is paused')
    process.pause()
    this.world.after(this.duration(), () => {
      this.world.note(machine.name, 'goes on')
      process.resume(this.random.chance(0.5))
    })
  }

  private stall(): void {
    const machine = this.victim()
    if (machine === null) return
    this.world.census.count('slow-process')
    machine.process?.stall(this.random.exponential(200))
  }

  private restart(): void {
    const machine = this.victim()
    if (machine === null) return
    this.world.census.count('graceful-restart')
    machine.shutDown(() => this.restartLater(machine, 100))
  }

  private jump(): void {
    const machine = this.someoneUp()
    if (machine === null) return
    this.world.census.count('clock-jump')
    machine.process?.clock.jump(this.random.exponential(this.random.pick([100, 5_000, 3_600_000])))
  }

  private lie(): void {
    const machine = this.someoneUp()
    const other = this.victim()
    if (machine === null || other === null || machine === other) return
    const connection = this.network.transportOf(machine.id)?.connectionTo(other.id) ?? null
    if (connection === null || !connection.isUp) return
    this.world.census.count('net-refusal-lies')
    connection.lie()
  }

  // --- network ---------------------------------------------------------------------------------------------------------

  private cutFor(pairs: readonly (readonly [number, number])[], durationMs: number): void {
    for (const [from, to] of pairs) this.network.links.cut(from, to)
    if (this.world.isTracing) this.world.note('network', `cuts ${pairs.map(([from, to]) => `${from}>${to}`).join(' ')}`)
    this.world.after(durationMs, () => {
      for (const [from, to] of pairs) this.network.links.heal(from, to)
      if (this.world.isTracing)
        this.world.note('network', `heals ${pairs.map(([from, to]) => `${from}>${to}`).join(' ')}`)
    })
  }

  private partition(): void {
    const shuffled = this.random.shuffle(this.machines)
    const leader = this.machines.find((machine) => machine.view?.state === 'leader')
    let group: readonly Machine[]
    if (leader !== undefined && (this.options.huntsLeader || this.random.chance(0.4))) {
      this.world.census.count('net-partition-leader')
      group = [leader, ...shuffled.filter((machine) => machine !== leader).slice(0, this.random.integer(0, 2))]
    } else if (this.random.chance(0.4)) {
      this.world.census.count('net-partition-isolate')
      group = shuffled.slice(0, 1)
    } else {
      this.world.census.count('net-partition-halves')
      group = shuffled.slice(0, this.random.integer(1, shuffled.length + 1))
    }
    const others = this.machines.filter((machine) => !group.includes(machine))
    const pairs = group.flatMap(({ id }) => others.flatMap((other) => bothWays(id, other.id)))
    this.cutFor(pairs, this.duration())
  }

  private cutOneWay(): void {
    const victim = this.victim()
    if (victim === null || this.machines.length < 2) return
    this.world.census.count('net-partition-one-way')
    const others = this.machines.filter((machine) => machine !== victim)
    const some = this.random.chance(0.5) ? others : [this.random.pick(others)]
    const outward = this.random.chance(0.5)
    this.cutFor(
      some.map(({ id }) => (outward ? ([victim.id, id] as const) : ([id, victim.id] as const))),
      this.duration(),
    )
  }

  private cutPair(): void {
    if (this.machines.length < 2) return
    const [a, b, c] = this.random.shuffle(this.machines)
    if (a === undefined || b === undefined) return
    this.world.census.count('net-partition-partial')
    if (c !== undefined) this.world.census.count('net-bridge')
    this.cutFor(bothWays(a.id, b.id), this.duration())
  }

  private flap(): void {
    if (this.machines.length < 2) return
    const [a, b] = this.random.shuffle(this.machines)
    if (a === undefined || b === undefined) return
    this.world.census.count('net-flapping')
    for (let i = 0; i < 6; i++) {
      this.world.after(i * 120, () => this.cutFor(bothWays(a.id, b.id), 60))
    }
  }

  private clog(): void {
    if (this.machines.length < 2) return
    const [a, b] = this.random.shuffle(this.machines)
    if (a === undefined || b === undefined) return
    this.world.census.count('net-clog')
    this.cutFor([[a.id, b.id]], this.random.exponential(100))
  }

  // --- disks -----------------------------------------------------------------------------------------------------------

  private stickDisk(): void {
    const machine = this.victim()
    if (machine === null) return
    this.world.census.count('disk-stuck')
    machine.weather.stuckUntil = this.world.now() + this.duration()
  }

  private breakDisk(): void {
    const machine = this.victim()
    if (machine === null) return
    const { weather } = machine
    if (this.random.chance(0.3)) {
      this.world.census.count('disk-write-error-sticky')
      weather.broken = true
      this.world.after(this.duration(), () => {
        weather.broken = false
      })
      return
    }
    const field = this.random.chance(0.7) ? 'writeErrorProbability' : 'readErrorProbability'
    weather[field] = 0.2
    this.world.after(this.random.exponential(200), () => {
      weather[field] = 0
    })
  }

  private fillDisk(): void {
    const machine = this.victim()
    if (machine === null) return
    this.world.census.count('disk-full')
    machine.weather.full = true
    this.world.after(this.duration(), () => {
      machine.weather.full = false
    })
  }

  private damageLog(): void {
    const machine = this.victim()
    if (machine === null || !mayDamage(machine, this.machines)) return
    const { durable } = machine.log
    const first = indexOf(durable.purged) + 1
    const last = durable.lastIndex
    if (last < first) return
    this.world.census.count('disk-flipped-log')
    this.kill(machine, 'kill')
    machine.damaged = true
    const from = logIndex(this.random.chance(0.5) ? last : this.random.integer(first, last + 1))
    this.world.note(machine.name, `log damaged from ${from} on`)
    machine.log.damageFrom(from)
  }

  private damageVote(): void {
    const machine = this.victim()
    if (machine === null) return
    if (this.random.chance(0.7) || !mayDamage(machine, this.machines)) {
      // The other copy is good: the store repairs it and says so.
      this.world.census.count('disk-flipped-vote-slot')
      machine.log.findings.push('one copy of the vote was damaged and is restored from the other')
      return
    }
    this.world.census.count('disk-flipped-vote-both')
    this.kill(machine, 'kill')
    machine.damaged = true
    machine.log.voteUnreadable = true
  }

  private damageState(): void {
    const machine = this.victim()
    if (machine === null || !mayDamage(machine, this.machines)) return
    this.world.census.count('disk-damaged-state')
    this.kill(machine, 'kill')
    machine.damaged = true
    machine.state.damaged = true
  }

  private wipe(): void {
    const machine = this.victim()
    if (machine === null || !mayDamage(machine, this.machines)) return
    this.world.census.count('disk-wiped')
    machine.wipe()
    this.restartLater(machine, 200)
  }

  /** Machines whose data or promises are gone or incomplete. */
  get impaired(): readonly Machine[] {
    return this.machines.filter(isImpaired)
  }
}

function bothWays(a: number, b: number): [number, number][] {
  return [
    [a, b],
    [b, a],
  ]
}
