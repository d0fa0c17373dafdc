import { nodeId } from '../../src/raft/index.ts'
import { longestPauseMs } from '../../src/transport/pace.ts'
import { planOf } from './world/automation.ts'
import { Ledgers, type Ledger } from './machines/ledger.ts'
import { Machine, type CrashMoment, type MachineObserver } from './machines/machine.ts'
import { Network } from './network/network.ts'
import type { SnapshotStream } from './network/snapshot-stream.ts'
import type { SimulationOptions } from './world/options.ts'
import type { CoreStep } from './machines/core-step.ts'
import { Oracles } from './oracles/oracles.ts'
import type { PlantedBug } from './machines/planted-bug.ts'
import type { World } from './world/world.ts'

/** Events of a run for the code that stages it, delivered after the oracles. */
export interface ClusterListener {
  onMoment(machine: Machine, moment: CrashMoment, stream: SnapshotStream | null): void
  onStep(machine: Machine, step: CoreStep): void
  onExit(machine: Machine): void
}

/** Machines, the network between them, and the oracles that watch them. Nothing happens on its own. */
export class SimCluster {
  readonly world: World
  readonly network: Network
  readonly machines: Machine[] = []
  readonly ledgers = new Ledgers()
  readonly oracles: Oracles
  listener: ClusterListener | null = null

  constructor(options: SimulationOptions, world: World) {
    this.world = world
    const pauseMsMax = longestPauseMs(options.node.electionTimeoutMsMax)
    this.network = new Network({ usesCodec: options.usesCodec, pauseMsMax }, world)
    this.network.weather.delayMsMean = options.delayMs
    const machineOf = (id: number): Machine | null => this.machines.find((machine) => machine.id === id) ?? null
    const expectsOne = options.automation.formation !== null
    const { autopilot } = options.automation
    const isByAutopilot = autopilot.mode === 'on' && !options.faults.has('memberships')
    this.oracles = new Oracles(world, this.ledgers, machineOf, {
      expectsOne,
      expectsUpgrade: options.upgrade !== null,
      removesAfterMs: isByAutopilot ? autopilot.deadNodeAfterMs : null,
      // The time of leases, of changes of roles and tokens, and of what is looked at, is measured.
      expectsTimes: options.leaseClients > 0 || options.auth !== null || options.viewers + options.inspectors > 0,
    })
  }

  addMachine(options: SimulationOptions, clockRate: number, bug: PlantedBug | null): Machine {
    const id = this.machines.length + 1
    const { world, network } = this
    const machine = new Machine(
      {
        id: nodeId(id),
        addresses: { raft: `10.0.0.${id}:7100`, api: `http://10.0.0.${id}:7000` },
        node: { ...options.node, leaderPriority: world.random.pick([0, 50, 50, 100]) },
        pace: { workMs: options.workMs, turnMs: options.turnMs },
        clockRate,
        cachedProbability: options.cachedProbability,
        automation: planOf(
          options.automation,
          () => this.machines.map(({ addresses }) => addresses.raft),
          world.random,
        ),
      },
      { world, network, bug, observer: this.observer() },
    )
    machine.weather.writeMs = options.writeMs
    machine.weather.readMs = world.random.pick([0.05, 1])
    this.machines.push(machine)
    return machine
  }

  formedClusters(): Ledger[] {
    return this.ledgers.all().filter(({ committed }) => committed.length > 0)
  }

  /** Ends every process. */
  end(): void {
    for (const machine of this.machines) machine.process?.end()
  }

  private observer(): MachineObserver {
    const { oracles } = this
    return {
      onSubmit: (...parts) => oracles.onSubmit(...parts),
      onDurable: (...parts) => oracles.onDurable(...parts),
      onSend: (...parts) => oracles.onSend(...parts),
      onState: (...parts) => oracles.onState(...parts),
      onStart: (...parts) => oracles.onStart(...parts),
      onOpen: (...parts) => oracles.onOpen(...parts),
      onWipe: (...parts) => oracles.onWipe(...parts),
      onMoment: (...parts) => this.listener?.onMoment(...parts),
      onFault: (machine) => this.listener?.onExit(machine),
      onStep: (machine, step) => {
        oracles.onStep(machine, step)
        this.listener?.onStep(machine, step)
      },
    }
  }
}
