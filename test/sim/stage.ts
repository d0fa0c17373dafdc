import type { NodeServices } from '../../src/node/node.ts'
import { callNode, type CallOutcome } from './call.ts'
import { Client } from './client.ts'
import { SimCluster } from './cluster.ts'
import { memberOf } from './formation.ts'
import type { Operation } from './history/operation.ts'
import { LivenessPhase } from './liveness.ts'
import type { CrashKind, CrashMoment, Machine } from './machine.ts'
import { drawOptions, type SimulationOptions } from './options.ts'
import { HistoryCheck } from './oracles/history.ts'
import { Trace } from './trace.ts'
import { Violation } from './violation.ts'
import { asViolation, World } from './world.ts'

export interface CrashOrder {
  /** Which machine, from 0. */
  readonly machine: number
  readonly moment: CrashMoment
  /** At which occurrence of that moment, from 1. */
  readonly at: number
  readonly kind: CrashKind
}

export interface SceneOutcome {
  readonly violation: Violation | null
  /** Whether a crash that was ordered came to pass. */
  readonly crashed: boolean
}

const RESTART_MS = 40
const VIRTUAL_MS_MAX = 60_000

/** A cluster on which a test plays a scene of its own, watched by the same oracles: nothing goes wrong but what the scene orders. */
export class Stage {
  readonly world: World
  readonly cluster: SimCluster
  readonly options: SimulationOptions
  readonly liveness: LivenessPhase
  private readonly history: Operation[] = []
  private readonly client: Client
  private readonly orders: { readonly order: CrashOrder; left: number }[] = []
  private crashed = false
  private isOneStore = true

  constructor(seed: number, setting: { readonly machines: number; readonly print?: (line: string) => void }) {
    const trace = new Trace(setting.print ?? null)
    this.world = new World({ seed, eventsMax: 500_000 }, { trace })
    const drawn = drawOptions(seed, this.world.random.fork())
    this.options = {
      ...drawn,
      voters: setting.machines,
      spares: 0,
      faults: new Set(),
      automation: { formation: null, autopilot: { mode: 'off', deadNodeAfterMs: 0, minVoters: 3 }, stabilizationMs: 0 },
      bootMs: 0,
      topology: 'whole',
      delayMs: 0.3,
      writeMs: 0.2,
      workMs: 0,
      keys: 3,
      timeoutMs: 2_000,
      // With none at all a learner that has caught up lags again for as long as the next entry is on its way.
      node: { ...drawn.node, caughtUpEntriesMax: 3 },
    }
    this.cluster = new SimCluster(this.options, this.world)
    for (let i = 0; i < setting.machines; i++) this.cluster.addMachine(this.options, 1, null)
    this.cluster.listener = {
      onMoment: (machine, moment) => this.onMoment(machine, moment),
      onStep: () => undefined,
      onExit: (machine) => this.restart(machine),
    }
    const { world, history, options } = this
    const { machines, network } = this.cluster
    this.client = new Client(1, options, { world, machines, history })
    this.liveness = new LivenessPhase(options, { world, network, machines, probe: this.client })
  }

  get machines(): readonly Machine[] {
    return this.cluster.machines
  }

  machine(at: number): Machine {
    const machine = this.cluster.machines[at]
    if (machine === undefined) throw new Error(`there is no machine ${at}`)
    return machine
  }

  /** Plays the scene, then checks what is left. */
  async play(scene: (stage: Stage) => Promise<void>): Promise<SceneOutcome> {
    let ended = false
    const finish = (): void => {
      ended = true
    }
    this.world.after(0, () => {
      scene(this).then(finish, (error: unknown) => {
        this.world.fail(asViolation(error))
        finish()
      })
    })
    await this.world.runUntil(VIRTUAL_MS_MAX, () => ended)
    if (!ended) this.world.fail(new Violation('bounded-time', 'the scene has not ended'))
    if (this.world.failure() === null && this.isOneStore) this.checkHistory()
    this.cluster.end()
    return { violation: this.world.failure(), crashed: this.crashed }
  }

  startAll(): void {
    for (const machine of this.machines) machine.start()
  }

  order(crash: CrashOrder): void {
    this.orders.push({ order: crash, left: crash.at })
  }

  /** Asks `machine` to initialise a cluster of `members`, again after every restart, until it has answered for good. */
  async initialize(machine: Machine, members: readonly Machine[]): Promise<string> {
    const specs = members.map(memberOf)
    for (;;) {
      const outcome = await this.ask(machine, ({ cluster }) => cluster.initialize(specs, 'appended', 1_500))
      if (outcome.kind === 'answered') {
        this.check(
          machine.log.durable.lastIndex >= 0,
          'formation',
          `${machine.name} answers before its entry is on disk`,
        )
        return 'answered'
      }
      if (outcome.kind === 'failed' && outcome.code === 'already-initialized') return outcome.code
      await this.sleep(20)
    }
  }

  ask<T>(machine: Machine, run: (services: NodeServices) => Promise<T>): Promise<CallOutcome<T>> {
    return callNode(this.world, machine, { delayMs: 0.2, timeoutMs: 4_000, lostProbability: 0 }, run)
  }

  /** Writes through whoever leads until it is acknowledged; returns who that was. */
  async write(): Promise<Machine> {
    const limit = this.world.now() + 15 * this.options.node.electionTimeoutMsMax
    while (this.world.now() < limit) {
      const leader = await this.waitForLeader()
      if (await this.client.writeOnce(leader, this.options.node.electionTimeoutMsMax)) return leader
      await this.sleep(20)
    }
    throw new Violation('liveness', 'no write was acknowledged')
  }

  /** One write, acknowledged or not. Not part of the history: with two clusters there are two stores. */
  async writeThrough(machine: Machine): Promise<void> {
    this.isOneStore = false
    await this.client.writeOnce(machine, this.options.node.electionTimeoutMsMax)
  }

  leader(): Machine | null {
    const leaders = this.machines.filter((machine) => machine.view?.state === 'leader')
    const term = (machine: Machine): number => machine.view?.vote.leaderId.term ?? 0
    return leaders.sort((a, b) => term(b) - term(a))[0] ?? null
  }

  async waitFor(what: string, timeoutMs: number, holds: () => boolean): Promise<void> {
    const limit = this.world.now() + timeoutMs
    while (!holds()) {
      if (this.world.now() >= limit) throw new Violation('scene', `${what} did not come within ${timeoutMs} ms`)
      await this.sleep(0.25)
    }
  }

  async waitForLeader(): Promise<Machine> {
    await this.waitFor(
      'a leader',
      15 * this.options.node.electionTimeoutMsMax,
      () => this.leader()?.view?.established ?? false,
    )
    const leader = this.leader()
    if (leader === null) throw new Violation('scene', 'the leader is gone again')
    return leader
  }

  /** Exactly one cluster has been formed; it makes progress and everybody in it has the same state. */
  async expectOneHealthyCluster(): Promise<void> {
    const limit = 10 * this.options.node.electionTimeoutMsMax + 3_000
    await this.waitFor('a commit', limit, () => this.cluster.formedClusters().length > 0)
    const [ledger, other] = this.cluster.formedClusters()
    this.check(ledger !== undefined && other === undefined, 'formation', 'more than one cluster was formed')
    if (ledger === undefined) return
    await this.liveness.run(ledger)
    await this.liveness.expectConvergence(ledger)
    this.check(this.cluster.formedClusters().length === 1, 'formation', 'another cluster was formed later')
  }

  check(holds: boolean, oracle: string, what: string): void {
    if (!holds) throw new Violation(oracle, what)
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.world.after(delayMs, resolve))
  }

  private checkHistory(): void {
    const { keyedWritesMax } = this.options.node
    const check = new HistoryCheck(
      { keyedWritesMax, leasesHold: true, stepsMax: 100_000 },
      this.cluster.formedClusters()[0] ?? null,
    )
    try {
      check.check(this.history)
    } catch (error) {
      this.world.fail(asViolation(error))
    }
  }

  private onMoment(machine: Machine, moment: CrashMoment): void {
    const at = this.cluster.machines.indexOf(machine)
    for (const one of this.orders) {
      if (one.order.machine !== at || one.order.moment !== moment || one.left === 0) continue
      one.left -= 1
      if (one.left > 0) continue
      this.crashed = true
      machine.crash(one.order.kind)
      this.restart(machine)
      return
    }
  }

  private restart(machine: Machine): void {
    this.world.after(RESTART_MS, () => machine.start())
  }
}
