import { nodeId } from '../../src/raft/index.ts'
import type { FaultClass } from './census.ts'
import { Client } from './client.ts'
import type { Operation } from './history/operation.ts'
import { FormationOperator } from './formation.ts'
import { Ledgers, type Ledger } from './ledger.ts'
import { LivenessPhase } from './liveness.ts'
import { Machine } from './machine.ts'
import { Nemesis } from './nemesis.ts'
import { Network } from './network/network.ts'
import { Operator } from './operator.ts'
import { describeOptions, drawOptions, type SimulationOptions } from './options.ts'
import { HistoryCheck, type HistoryFigures } from './oracles/history.ts'
import { Oracles } from './oracles/oracles.ts'
import type { PlantedBug } from './planted/bug.ts'
import { Trace } from './trace.ts'
import { Violation } from './violation.ts'
import { asViolation, World } from './world.ts'

export interface SeedReport {
  readonly seed: number
  readonly violation: { readonly oracle: string; readonly message: string } | null
  readonly virtualMs: number
  readonly events: number
  readonly faults: readonly (readonly [FaultClass, number])[]
  readonly leaders: number
  readonly committed: number
  readonly digestsCompared: number
  readonly history: HistoryFigures | null
  readonly livenessChecked: boolean
  /** Differs when two runs of one seed differ. */
  readonly fingerprint: string
}

const EVENTS_MAX = 3_000_000
const LINEARIZABILITY_STEPS_MAX = 200_000
/** No seed takes longer than this of its own time. */
const VIRTUAL_MS_MAX = 300_000

/** One seed: a cluster, its clients, its operators and whatever befalls them. */
export class Simulation {
  readonly world: World
  readonly options: SimulationOptions
  private readonly network: Network
  private readonly machines: Machine[] = []
  private readonly ledgers = new Ledgers()
  private readonly oracles: Oracles
  private readonly history: Operation[] = []
  private readonly nemesis: Nemesis
  private readonly formation: FormationOperator
  private readonly operator: Operator
  private readonly clients: Client[] = []
  private readonly liveness: LivenessPhase
  private readonly driftsBeyondMargin: boolean
  private livenessChecked = false
  private figures: HistoryFigures | null = null

  constructor(
    seed: number,
    dependencies: { readonly print: ((line: string) => void) | null; readonly bug: PlantedBug | null },
  ) {
    const trace = new Trace(dependencies.print)
    this.world = new World({ seed, eventsMax: EVENTS_MAX }, { trace })
    this.options = drawOptions(seed, this.world.random.fork())
    for (const line of describeOptions(this.options)) this.world.note('options', line)
    this.network = new Network({ usesCodec: this.options.usesCodec }, this.world)
    this.network.weather.delayMsMean = this.options.delayMs
    this.oracles = new Oracles(
      this.world,
      this.ledgers,
      (id) => this.machines.find((machine) => machine.id === id) ?? null,
    )
    this.driftsBeyondMargin = this.options.faults.has('drift') && this.world.random.chance(0.4)
    this.buildMachines(dependencies.bug)
    const { world, network, machines, history, options } = this
    this.nemesis = new Nemesis(options, { world, network, machines })
    const armCrash = (machine: Machine): void => this.nemesis.arm(machine)
    const voters = machines.slice(0, options.voters)
    this.formation = new FormationOperator(options, { world, voters, everybody: machines, armCrash })
    const isFragile = (): boolean => this.nemesis.impaired.length > 0
    this.operator = new Operator(options, { world, machines, isFragile, armCrash })
    for (let id = 1; id <= options.clients; id++)
      this.clients.push(new Client(id, options, { world, machines, history }))
    const probe = new Client(0, options, { world, machines, history })
    this.liveness = new LivenessPhase(options, { world, network, machines, probe })
  }

  async run(): Promise<SeedReport> {
    let ended = false
    this.world.after(0, () => {
      this.live().then(
        () => {
          ended = true
        },
        (error: unknown) => {
          this.world.fail(asViolation(error))
          ended = true
        },
      )
    })
    await this.world.runUntil(VIRTUAL_MS_MAX, () => ended)
    if (!ended) this.world.fail(new Violation('bounded-time', `the run has not ended after ${VIRTUAL_MS_MAX} ms`))
    this.stopEverything()
    return this.report()
  }

  private async live(): Promise<void> {
    const { world, options } = this
    for (const machine of this.machines) {
      world.after(world.random.between(0, 30), () => machine.start())
      machine.weather.writeMs = options.writeMs
    }
    await this.sleep(40)
    this.nemesis.begin()
    const formed = this.formation.run()
    const operated = this.operator.run()
    const used = Promise.all(this.clients.map((client) => client.run()))
    const disturbed = this.nemesis.run()
    await this.sleep(options.safetyMs)
    world.note('world', 'the faults stop')
    this.nemesis.calm()
    this.operator.stopped = true
    await Promise.all([operated, disturbed])
    await this.settle(used)
    this.formation.stopped = true
    await formed
  }

  /** The liveness phase, and then the history. */
  private async settle(used: Promise<unknown>): Promise<void> {
    await this.waitForFormation()
    const alive = this.formedClusters().filter((ledger) => this.liveness.isExpected(ledger))
    for (const ledger of alive) await this.liveness.run(ledger)
    for (const client of this.clients) client.stopped = true
    await used
    for (const ledger of alive) await this.liveness.expectConvergence(ledger)
    this.livenessChecked = alive.length > 0
    if (this.world.failure() === null) this.checkHistory()
  }

  private formedClusters(): Ledger[] {
    return this.ledgers.all().filter(({ committed }) => committed.length > 0)
  }

  /** With one list of members the same command on any node, repeated after every restart, forms one cluster and no other. */
  private async waitForFormation(): Promise<void> {
    const limit = this.world.now() + 10 * this.options.node.electionTimeoutMsMax + 5_000
    while (this.formedClusters().length === 0 && this.world.now() < limit && this.world.failure() === null)
      await this.sleep(50)
    if (!this.formation.isUnanimous) return
    const formed = this.formedClusters().length
    if (formed !== 1)
      throw new Violation('formation', `${formed} clusters were formed by initialisers who were told the same`)
  }

  private checkHistory(): void {
    const formed = this.formedClusters()
    // With two clusters there are two stores, and clients do not know which one they spoke to.
    if (formed.length > 1) return
    const { faults, node } = this.options
    const check = new HistoryCheck(
      {
        keyedWritesMax: node.keyedWritesMax,
        leasesHold: !this.driftsBeyondMargin && !faults.has('jumps') && !faults.has('lies'),
        stepsMax: LINEARIZABILITY_STEPS_MAX,
      },
      formed[0] ?? null,
    )
    check.check(this.history)
    this.figures = check.figures
  }

  private buildMachines(bug: PlantedBug | null): void {
    const { world, network, options } = this
    const { random } = world
    for (let id = 1; id <= options.voters + options.spares; id++) {
      const machine = new Machine(
        {
          id: nodeId(id),
          addresses: { raft: `10.0.0.${id}:7100`, api: `http://10.0.0.${id}:7000` },
          node: options.node,
          pace: { workMs: options.workMs, turnMs: options.turnMs },
          clockRate: this.drawRate(),
          cachedProbability: options.cachedProbability,
        },
        {
          world,
          network,
          bug,
          observer: {
            onSubmit: (...parts) => this.oracles.onSubmit(...parts),
            onDurable: (...parts) => this.oracles.onDurable(...parts),
            onSend: (...parts) => this.oracles.onSend(...parts),
            onState: (...parts) => this.oracles.onState(...parts),
            onStart: (...parts) => this.oracles.onStart(...parts),
            onWipe: (...parts) => this.oracles.onWipe(...parts),
            onMoment: (...parts) => this.nemesis.onMoment(...parts),
            onFault: (machine) => this.nemesis.onExit(machine),
            onStep: (one, step) => {
              this.oracles.onStep(one, step)
              if (step.view.state === 'candidate' && step.before?.state !== 'candidate') this.nemesis.onCandidate(one)
              this.countInheritedJoint(step)
            },
          },
        },
      )
      machine.weather.readMs = random.pick([0.05, 1])
      this.machines.push(machine)
    }
  }

  private countInheritedJoint({ view, before }: Parameters<Oracles['onStep']>[1]): void {
    if (view.state !== 'leader' || before?.state === 'leader') return
    if (view.effective.membership.configs.length > 1) this.world.census.count('member-joint-inherited')
  }

  private drawRate(): number {
    const { random, census } = this.world
    if (!this.options.faults.has('drift')) return 1
    if (this.driftsBeyondMargin) {
      census.count('clock-drift-beyond-margin')
      return random.between(0.5, 2)
    }
    census.count('clock-drift')
    return random.between(0.96, 1.04)
  }

  private stopEverything(): void {
    this.nemesis.stopped = true
    this.operator.stopped = true
    this.formation.stopped = true
    for (const client of this.clients) client.stopped = true
    for (const machine of this.machines) machine.process?.end()
  }

  private report(): SeedReport {
    const { world } = this
    const failure = world.failure()
    return {
      seed: this.options.seed,
      violation: failure === null ? null : { oracle: failure.oracle, message: failure.message },
      virtualMs: world.now(),
      events: world.events,
      faults: world.census.entries(),
      leaders: this.oracles.elections.leaders,
      committed: this.ledgers.all().reduce((sum, { committed }) => sum + committed.length, 0),
      digestsCompared: this.oracles.digests.compared,
      history: this.figures,
      livenessChecked: this.livenessChecked,
      fingerprint: `${world.events}/${world.now().toFixed(6)}/${this.history.length}/${world.random.fraction()}`,
    }
  }

  private sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.world.after(delayMs, resolve))
  }
}
