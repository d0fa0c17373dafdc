import { RequestError } from '../../../src/lib/errors.ts'
import type { NodeServices } from '../../../src/node/node.ts'
import type { AutomationOptions } from '../world/automation.ts'
import { callNode, type CallOutcome } from '../clients/call.ts'
import { Client } from '../clients/client.ts'
import { SimCluster } from '../cluster.ts'
import { memberOf } from '../clients/formation.ts'
import type { Operation } from '../history/operation.ts'
import { leaderAmong } from '../machines/leaders.ts'
import { LivenessPhase } from '../faults/liveness.ts'
import type { CrashKind, CrashMoment, Machine } from '../machines/machine.ts'
import { drawOptions, type SimulationOptions } from '../world/options.ts'
import { HistoryCheck } from '../oracles/history.ts'
import type { CoreStep } from '../machines/core-step.ts'
import type { Print, SceneOutcome } from './scene.ts'
import { Trace } from '../world/trace.ts'
import { Violation } from '../world/violation.ts'
import { asViolation, World } from '../world/world.ts'

export interface CrashOrder {
  /** The index of the machine, from 0. */
  readonly machine: number
  readonly moment: CrashMoment
  /** Which occurrence of that moment, from 1. */
  readonly at: number
  readonly kind: CrashKind
}

export type StepWatch = (machine: Machine, step: CoreStep) => void

export interface InitializeOptions {
  /** The condition that the request waits for. */
  readonly wait?: 'appended' | 'leader' | 'committed'
  /** Final refusals, besides the one that says that it is done. */
  readonly settled?: readonly string[]
  readonly attemptsMax?: number
  /** The request has reached the node. */
  readonly onCalled?: () => void
}

const BY_HAND: AutomationOptions = {
  formation: null,
  autopilot: { mode: 'off', deadNodeAfterMs: 0, minVoters: 3 },
  stabilizationMs: 0,
}
const RESTART_MS = 40
const VIRTUAL_MS_MAX = 60_000

/** A cluster on which a test plays a scene, watched by the same oracles. Only the faults that the scene orders occur. */
export class Stage {
  readonly world: World
  readonly cluster: SimCluster
  readonly options: SimulationOptions
  readonly liveness: LivenessPhase
  private readonly history: Operation[] = []
  private readonly client: Client
  private readonly orders: { readonly order: CrashOrder; left: number }[] = []
  private readonly crashes: CrashOrder[] = []
  private readonly marks = new Set<string>()
  private readonly watches = new Set<StepWatch>()
  private readonly away = new Set<Machine>()
  private isOneStore = true

  constructor(
    seed: number,
    setting: { readonly machines: number; readonly automation: AutomationOptions | null; readonly print: Print | null },
  ) {
    const trace = new Trace(setting.print)
    this.world = new World({ seed, eventsMax: 500_000 }, { trace })
    const drawn = drawOptions(seed, this.world.random.fork())
    this.options = {
      ...drawn,
      voters: setting.machines,
      spares: 0,
      faults: new Set(),
      automation: setting.automation ?? BY_HAND,
      bootMs: 0,
      topology: 'whole',
      // In some runs the network is slower than the disks, in others faster.
      delayMs: this.world.random.pick([0.3, 0.3, 3]),
      writeMs: this.world.random.pick([0.2, 0.2, 2]),
      workMs: 0,
      keys: 3,
      timeoutMs: 2_000,
      // With 0, a learner that has caught up would lag again whenever an entry is on its way.
      node: { ...drawn.node, caughtUpEntriesMax: 3 },
    }
    this.cluster = new SimCluster(this.options, this.world)
    for (let i = 0; i < setting.machines; i++) this.cluster.addMachine(this.options, 1, null)
    this.cluster.listener = {
      onMoment: (machine, moment) => this.onMoment(machine, moment),
      onStep: (machine, step) => {
        for (const watch of this.watches) watch(machine, step)
      },
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

  get hasCrashed(): boolean {
    return this.crashes.length > 0
  }

  machine(at: number): Machine {
    const machine = this.cluster.machines[at]
    if (machine === undefined) throw new Error(`there is no machine ${at}`)
    return machine
  }

  /** Plays the scene, then checks the result. */
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
    return { violation: this.world.failure(), crashes: this.crashes, marks: this.marks }
  }

  startAll(): void {
    for (const machine of this.machines) machine.start()
  }

  /** Crashes `machine`, which stays down until it is brought back. */
  takeDown(machine: Machine, kind: CrashKind): void {
    this.away.add(machine)
    machine.crash(kind)
  }

  bringBack(machine: Machine): void {
    this.away.delete(machine)
    machine.start()
  }

  order(crash: CrashOrder): void {
    this.orders.push({ order: crash, left: crash.at })
  }

  /** Cancels ordered crashes that have not taken place. */
  cancelOrders(): void {
    this.orders.length = 0
  }

  /** `run` is called for every step of every core until the returned function is called. */
  watch(run: StepWatch): () => void {
    this.watches.add(run)
    return () => this.watches.delete(run)
  }

  /** Records that the scene met a situation it was made for. */
  mark(what: string): void {
    this.marks.add(what)
  }

  /** Until the links are healed, nothing passes between `side` and the others. */
  split(side: readonly number[]): void {
    const { links } = this.cluster.network
    for (const [at, one] of this.machines.entries()) {
      for (const [otherAt, other] of this.machines.entries()) {
        if (side.includes(at) !== side.includes(otherAt)) links.cut(one.id, other.id)
      }
    }
  }

  heal(): void {
    this.cluster.network.links.healAll()
  }

  /**
   * Asks `machine` to form a cluster of `members`, again after every restart like a start script, until the answer is final.
   * Returns the code of the last answer.
   */
  async initialize(machine: Machine, members: readonly Machine[], options: InitializeOptions = {}): Promise<string> {
    const { wait = 'appended', settled = [], attemptsMax = Infinity, onCalled = () => undefined } = options
    const specs = members.map(memberOf)
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.ask(machine, async ({ cluster }) => {
        onCalled()
        try {
          const answer = await cluster.initialize(specs, wait, 1_500)
          this.checkKept(machine, 'answers initialize', machine.log.durable.lastIndex >= 0)
          return answer
        } catch (error) {
          const isDone = error instanceof RequestError && error.code === 'already-initialized'
          if (isDone)
            this.checkKept(machine, 'calls itself initialised', machine.log.durable.hardState.clusterId !== null)
          throw error
        }
      })
      const code = outcome.kind === 'answered' ? outcome.kind : outcome.code
      const isFinal = outcome.kind === 'answered' || code === 'already-initialized' || settled.includes(code)
      if (isFinal || attempt >= attemptsMax) return code
      await this.sleep(20)
    }
  }

  /** The promise must hold at the moment of the answer, not only when it arrives. */
  private checkKept({ name }: Machine, says: string, isOnDisk: boolean): void {
    if (!isOnDisk) this.world.fail(new Violation('formation', `${name} ${says} before that is on disk`))
  }

  ask<T>(machine: Machine, run: (services: NodeServices) => Promise<T>): Promise<CallOutcome<T>> {
    return callNode(this.world, machine, { delayMs: 0.2, timeoutMs: 4_000, lostProbability: 0 }, run)
  }

  /** Writes through the current leader until the write is acknowledged; returns that leader. */
  async write(): Promise<Machine> {
    const limit = this.world.now() + 15 * this.options.node.electionTimeoutMsMax
    while (this.world.now() < limit) {
      const leader = await this.waitForLeader()
      if (await this.client.writeOnce(leader, this.options.node.electionTimeoutMsMax)) return leader
      await this.sleep(20)
    }
    throw new Violation('liveness', 'no write was acknowledged')
  }

  /** One write, acknowledged or not. It is not part of the history, because two clusters are two stores. */
  async writeThrough(machine: Machine): Promise<void> {
    this.isOneStore = false
    await this.client.writeOnce(machine, this.options.node.electionTimeoutMsMax)
  }

  leader(): Machine | null {
    return leaderAmong(this.machines)
  }

  async waitFor(what: string, timeoutMs: number, holds: () => boolean, lookEveryMs = 0.25): Promise<void> {
    const limit = this.world.now() + timeoutMs
    while (!holds()) {
      if (this.world.now() >= limit) throw new Violation('scene', `${what} did not come within ${timeoutMs} ms`)
      await this.sleep(lookEveryMs)
    }
  }

  /** Waits until the condition holds, but no longer than `timeoutMs`. */
  async waitForOr(timeoutMs: number, holds: () => boolean): Promise<void> {
    const limit = this.world.now() + timeoutMs
    while (!holds() && this.world.now() < limit) await this.sleep(0.25)
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

  /** Exactly one cluster was formed. It makes progress, and all its members have the same state. */
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
    return this.world.sleep(delayMs)
  }

  private checkHistory(): void {
    const check = new HistoryCheck(
      { machine: this.options.node, leasesHold: true, stepsMax: 100_000 },
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
      this.crashes.push(one.order)
      machine.crash(one.order.kind)
      this.restart(machine)
      return
    }
  }

  private restart(machine: Machine): void {
    this.world.after(RESTART_MS, () => {
      if (!this.away.has(machine)) machine.start()
    })
  }
}
