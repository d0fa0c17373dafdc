import type { FaultClass } from '../world/census.ts'
import { calmDisk } from '../disk/faults.ts'
import type { CrashKind, CrashMoment, Machine } from '../machines/machine.ts'
import type { SnapshotStream } from '../network/snapshot-stream.ts'
import type { NodeId } from '../../../src/raft/index.ts'
import { LOOK_INTERVAL_MS } from '../world/automation.ts'
import { calmDown } from '../network/weather.ts'
import type { FaultGroup, SimulationOptions } from '../world/options.ts'
import { DiskFaults } from './disk-faults.ts'
import { NetworkFaults } from './network-faults.ts'
import { Targets, type NemesisDependencies } from './targets.ts'

interface ArmedCrash {
  readonly moment: CrashMoment
  countdown: number
  readonly kind: CrashKind
  /** The fault that is counted when the process dies. */
  readonly fault: FaultClass | null
}

/** Moments that occur in every process all the time. */
const COMMON_MOMENTS: readonly CrashMoment[] = ['write-begin', 'write-end', 'send', 'apply']
const CRASH_MOMENTS: readonly CrashMoment[] = [...COMMON_MOMENTS, 'snapshot-chunk', 'snapshot-commit']
/** Moments that occur while nodes that find each other agree on a cluster. */
const FORMING_MOMENTS: readonly CrashMoment[] = ['pledge-begin', 'pledge-end', 'write-begin', 'write-end', 'send']

const FAULT_OF_MOMENT: Readonly<Record<CrashMoment, FaultClass>> = {
  'write-begin': 'kill-at-write-begin',
  'write-end': 'kill-at-write-end',
  send: 'kill-at-send',
  apply: 'kill-at-apply',
  'pledge-begin': 'kill-at-pledge',
  'pledge-end': 'kill-at-pledge',
  'snapshot-chunk': 'snapshot-kill-receiver',
  'snapshot-commit': 'snapshot-kill-at-commit',
}

/** Injects faults within the limits of a seed, and repairs them after a while. */
export class Nemesis {
  private readonly targets: Targets
  private readonly disks: DiskFaults
  private readonly networks: NetworkFaults
  private readonly armed = new Map<Machine, ArmedCrash>()
  private relocations = 0
  private readonly acts: readonly (() => void)[]

  constructor(options: SimulationOptions, dependencies: NemesisDependencies) {
    this.targets = new Targets(options, dependencies)
    this.disks = new DiskFaults(this.targets)
    this.networks = new NetworkFaults(this.targets)
    this.acts = this.actsOf(options.faults)
  }

  /** Machines whose data or promises are lost or incomplete. */
  get impaired(): readonly Machine[] {
    return this.disks.impaired
  }

  /** Sets the network and disk weather of the whole safety phase. */
  begin(): void {
    const { random, network, machines, options } = this.targets
    const { faults } = options
    const { weather } = network
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
    for (const machine of machines) {
      if (!faults.has('slow-disk')) continue
      machine.weather.slowProbability = random.pick([0.01, 0.1])
      machine.weather.slowMs = random.pick([10, 100])
    }
  }

  async run(): Promise<void> {
    if (this.acts.length === 0) return
    const { targets } = this
    while (!targets.stopped) {
      await targets.world.sleep(targets.random.exponential(targets.options.faultEveryMs))
      if (!targets.stopped) targets.random.pick(this.acts)()
    }
  }

  /** No further faults occur. */
  stop(): void {
    this.targets.stopped = true
  }

  /** Repairs all faults and starts the machines that are down. Slow networks and drifting clocks remain. */
  calm(): void {
    const { network, machines, random, world } = this.targets
    this.stop()
    this.armed.clear()
    network.links.healAll()
    calmDown(network.weather)
    for (const machine of machines) {
      const { writeMs, readMs } = machine.weather
      Object.assign(machine.weather, calmDisk(), { writeMs, readMs })
      if (machine.process !== null) machine.process.resume(random.chance(0.5))
      if (!machine.isUp) world.after(random.between(0, 50), () => machine.start())
    }
  }

  /** Makes the machine's process die at a random later moment. The crash is counted as `fault`. */
  arm(machine: Machine, fault: FaultClass | null): void {
    const { random, options } = this.targets
    const isForming = fault === 'form-crash' && options.formation.kind === 'discovered'
    const moment = random.pick(isForming ? FORMING_MOMENTS : fault === null ? CRASH_MOMENTS : COMMON_MOMENTS)
    const isPledge = moment === 'pledge-begin' || moment === 'pledge-end'
    this.armed.set(machine, {
      moment,
      countdown: random.integer(1, isPledge ? 4 : 12),
      kind: random.chance(0.3) ? 'power' : 'kill',
      fault,
    })
  }

  onMoment(machine: Machine, moment: CrashMoment, stream: SnapshotStream | null): void {
    if (this.targets.stopped) return
    if (this.targets.options.faults.has('snapshot-faults')) this.disturbSnapshot(machine, moment, stream)
    const armed = this.armed.get(machine)
    if (armed === undefined || armed.moment !== moment) return
    armed.countdown -= 1
    if (armed.countdown > 0) return
    this.armed.delete(machine)
    this.targets.count(FAULT_OF_MOMENT[moment])
    if (armed.fault !== null) this.targets.count(armed.fault)
    this.targets.kill(machine, armed.kind)
  }

  /** A node has become a candidate. */
  onCandidate(machine: Machine): void {
    const { stopped, options, random } = this.targets
    if (stopped || !options.faults.has('crash-points') || !random.chance(0.03)) return
    this.targets.count('kill-in-election')
    this.targets.kill(machine, 'kill')
  }

  /** A process has ended on its own: a supervisor starts it again. */
  onExit(machine: Machine): void {
    this.targets.restartLater(machine, this.targets.stopped ? 50 : 500)
  }

  private disturbSnapshot(machine: Machine, moment: CrashMoment, stream: SnapshotStream | null): void {
    const { targets } = this
    const { random } = targets
    if (moment === 'snapshot-commit' && random.chance(0.1)) {
      targets.count('snapshot-kill-at-commit')
      return targets.kill(machine, random.chance(0.5) ? 'power' : 'kill')
    }
    if (moment !== 'snapshot-chunk' || stream === null || !random.chance(0.03)) return
    if (random.chance(0.5)) {
      targets.count('snapshot-kill-receiver')
      return targets.kill(machine, 'kill')
    }
    const sender = targets.machines.find(({ id }) => id === stream.sender.id)
    if (sender === undefined) return
    targets.count('snapshot-kill-sender')
    targets.kill(sender, 'kill')
  }

  private actsOf(faults: ReadonlySet<FaultGroup>): (() => void)[] {
    const { disks, networks } = this
    const all: Partial<Record<FaultGroup, () => void>> = {
      lies: () => networks.lie(),
      partitions: () => networks.partition(),
      'one-way': () => networks.oneWay(),
      partial: () => networks.partial(),
      flapping: () => networks.flap(),
      clogs: () => networks.clog(),
      kills: () => this.killSomeone(),
      'crash-points': () => this.arm(this.targets.random.pick(this.targets.machines), null),
      'kill-all': () => this.killAll('kill'),
      power: () => this.cutPower(),
      pauses: () => this.pause(),
      stalls: () => this.stall(),
      restarts: () => this.restart(),
      jumps: () => this.jump(),
      suspends: () => this.suspend(),
      freezes: () => this.freeze(),
      'slow-disk': () => disks.stick(),
      'disk-errors': () => disks.break(),
      'disk-full': () => disks.fill(),
      'log-damage': () => disks.damageLog(),
      'vote-damage': () => disks.damageVote(),
      'state-damage': () => disks.damageState(),
      wipes: () => disks.wipe(),
      // Without discovery, members have to announce their moves one at a time, which the operator does.
      ...(this.targets.options.automation.formation === null ? {} : { relocations: () => this.relocate() }),
    }
    return [...faults].flatMap((group) => all[group] ?? [])
  }

  private killSomeone(): void {
    const machine = this.targets.victim()
    if (machine !== null) this.targets.kill(machine, 'kill')
  }

  private killAll(kind: CrashKind): void {
    this.targets.count(kind === 'power' ? 'power-cut-all' : 'kill-all')
    for (const machine of this.targets.machines) this.targets.kill(machine, kind)
  }

  private cutPower(): void {
    if (this.targets.random.chance(0.3)) return this.killAll('power')
    const machine = this.targets.victim()
    if (machine !== null) this.targets.kill(machine, 'power')
  }

  private pause(): void {
    const { targets } = this
    const machine = targets.victim()
    const process = machine?.process ?? null
    if (machine === null || process === null || process.paused) return
    targets.count('pause')
    if (machine.view?.state === 'leader') targets.count('pause-leader')
    targets.world.note(machine.name, 'is paused')
    process.pause()
    targets.world.after(targets.duration(), () => {
      targets.world.note(machine.name, 'goes on')
      process.resume(targets.random.chance(0.5))
    })
  }

  /** Suspends the machine for a while, or sets its wall clock. For code that compares the two clocks both look the same. */
  private suspend(): void {
    const { targets } = this
    const { random, world } = targets
    const machine = targets.victim()
    const process = machine?.process ?? null
    if (machine === null || process === null || process.paused) return
    if (random.chance(0.3)) {
      targets.count('clock-wall-set')
      return process.clock.setWall((random.chance(0.5) ? 1 : -1) * random.exponential(random.pick([5, 100, 3_600_000])))
    }
    targets.count('clock-suspended')
    if (machine.view?.state === 'leader') targets.count('clock-suspended-leader')
    world.note(machine.name, 'is suspended')
    process.suspend()
    world.after(targets.duration(), () => {
      world.note(machine.name, 'wakes')
      process.resume(random.chance(0.5))
    })
  }

  /**
   * All machines stand still at once, as a laptop that is closed or a host whose guests are copied: their monotonic clocks with them, or not. They
   * go on within a short time, in any order.
   */
  private freeze(): void {
    const { targets } = this
    const { random, world } = targets
    const isSuspended = random.chance(0.5)
    const durationMs = random.pick([200, 3_000, 10_000]) * random.between(0.5, 1.5)
    const spreadMs = random.pick([0, 5, 50])
    targets.count('freeze-all')
    world.note('world', `all machines stand still for ${durationMs.toFixed(0)} ms`)
    for (const machine of targets.machines) {
      const { process } = machine
      if (process === null || process.paused) continue
      const present = this.presentTo(machine)
      if (isSuspended) process.suspend()
      else process.pause()
      world.after(durationMs + random.between(0, spreadMs), () => {
        // It may go on already, because the faults have ended.
        const { paused } = process
        process.resume(random.chance(0.5))
        if (paused && machine.process === process && this.isNoticed(machine, durationMs, isSuspended))
          machine.stoodStill = { until: process.clock.now(), present }
      })
    }
  }

  /** Those whom a leader has heard of lately; null: it does not lead. */
  private presentTo({ view, process }: Machine): ReadonlySet<NodeId> | null {
    if (view?.state !== 'leader' || process === null) return null
    const since = process.clock.now() - this.targets.options.automation.autopilot.deadNodeAfterMs / 2
    return new Set(view.followers.flatMap(({ id, heardAt }) => (heardAt !== null && heardAt >= since ? [id] : [])))
  }

  /** Whether the clocks of the machine show that it stood still: it was for long enough, and nobody sets its wall clock. */
  private isNoticed({ clockRate }: Machine, durationMs: number, isSuspended: boolean): boolean {
    const { faults, automation, node } = this.targets.options
    if (automation.autopilot.mode !== 'on' || (isSuspended && faults.has('suspends'))) return false
    const isLong = durationMs * (isSuspended ? 1 : clockRate) > LOOK_INTERVAL_MS + node.electionTimeoutMsMin
    if (isLong) this.targets.count('freeze-all-autopilot')
    return isLong
  }

  private stall(): void {
    const machine = this.targets.victim()
    if (machine === null) return
    this.targets.count('slow-process')
    machine.process?.stall(this.targets.random.exponential(200))
  }

  private restart(): void {
    const machine = this.targets.victim()
    if (machine === null) return
    this.targets.count('graceful-restart')
    machine.shutDown(() => this.targets.restartLater(machine, 100))
  }

  /** Restarts all or some machines at other addresses at the same time, or at each other's addresses. */
  private relocate(): void {
    const { random, machines } = this.targets
    const chosen = random.chance(0.5) ? [...machines] : random.sample(machines, random.integer(1, machines.length + 1))
    const hosts = random.shuffle(chosen).map(({ addresses }) => addresses)
    const swaps = chosen.length > 1 && random.chance(0.3)
    this.targets.count(swaps ? 'relocate-swap' : chosen.length === machines.length ? 'relocate-all' : 'relocate-some')
    const refuses = random.chance(0.5)
    for (const machine of chosen) {
      this.relocations += 1
      const host = `10.2.${this.relocations}.${machine.id}`
      machine.move({ raft: `${host}:7100`, api: `http://${host}:7000` }, refuses)
    }
    for (const [at, machine] of chosen.entries()) {
      const addresses = hosts[at]
      if (swaps && addresses !== undefined) machine.move(addresses, refuses)
      this.targets.restartLater(machine, 100)
    }
  }

  private jump(): void {
    const { random } = this.targets
    const machine = this.targets.someoneUp()
    if (machine === null) return
    this.targets.count('clock-jump')
    machine.process?.clock.jump(random.exponential(random.pick([100, 5_000, 3_600_000])))
  }
}
