import type { FaultClass } from '../world/census.ts'
import { Client } from '../clients/client.ts'
import { Importer } from '../clients/importer.ts'
import { Inspector } from '../clients/inspector.ts'
import { Keyring, Wallet } from '../clients/keyring.ts'
import { LeaseClient } from '../clients/lease-client.ts'
import { planUpgrade } from '../clients/upgrade.ts'
import { Viewer } from '../clients/viewer.ts'
import { Warden } from '../clients/warden.ts'
import { Watcher } from '../clients/watcher.ts'
import { SimCluster } from '../cluster.ts'
import { historyOf } from '../history/clusters.ts'
import type { ImportSession } from '../history/import-session.ts'
import type { Operation } from '../history/operation.ts'
import type { Views } from '../history/view.ts'
import type { WatchSession } from '../history/watch-session.ts'
import { FormationOperator } from '../clients/formation.ts'
import type { Focus } from '../world/focus.ts'
import type { Ledger } from '../machines/ledger.ts'
import { latestMembersAmong } from '../machines/members.ts'
import { LivenessPhase, type LivenessFigures } from '../faults/liveness.ts'
import type { Machine } from '../machines/machine.ts'
import { Nemesis } from '../faults/nemesis.ts'
import { Operator } from '../clients/operator.ts'
import { describeOptions, drawOptions, type SimulationOptions } from '../world/options.ts'
import { checkCalm } from '../oracles/calm.ts'
import { NO_TIMES } from '../oracles/entry-times.ts'
import type { LeaseOptions } from '../oracles/leases.ts'
import type { LockOptions } from '../oracles/locks.ts'
import { addFigures, noFigures, type HistoryFigures } from '../oracles/figures.ts'
import { HistoryCheck } from '../oracles/history.ts'
import type { CoreStep } from '../machines/core-step.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'
import { Trace } from '../world/trace.ts'
import { Violation } from '../world/violation.ts'
import { asViolation, World } from '../world/world.ts'

export interface SeedReport {
  readonly seed: number
  /** There were tokens. */
  readonly hasAuth: boolean
  readonly violation: { readonly oracle: string; readonly message: string } | null
  readonly virtualMs: number
  readonly events: number
  readonly faults: readonly (readonly [FaultClass, number])[]
  readonly leaders: number
  readonly committed: number
  readonly digestsCompared: number
  readonly history: HistoryFigures | null
  readonly livenessChecked: boolean
  readonly retentionsAwaited: number
  readonly leaseEndsAwaited: number
  readonly worst: LivenessFigures
  /** Calls of a seed without faults. All of them were answered. */
  readonly calmCalls: number
  /** Two runs of one seed must have the same fingerprint. */
  readonly fingerprint: string
}

const EVENTS_MAX = 3_000_000
const LINEARIZABILITY_STEPS_MAX = 200_000
/** More than it takes to look who has left, and to propose something from any node. */
const PROMPT_MS = 500
/** How long watchers are given in the end. */
const WATCH_END_MS = 2_000
/** Clients are numbered; these are apart from those of other kinds. */
const FIRST_IMPORTER = 100
const FIRST_VIEWER = 200
const FIRST_INSPECTOR = 300
/** The longest virtual time of a seed. */
const VIRTUAL_MS_MAX = 300_000

/** One seed: a cluster, its clients, its operators and its faults. */
export class Simulation {
  readonly world: World
  readonly options: SimulationOptions
  private readonly cluster: SimCluster
  private readonly history: Operation[] = []
  private readonly nemesis: Nemesis
  private readonly formation: FormationOperator
  private readonly operator: Operator
  private readonly clients: (Client | Importer)[] = []
  private readonly imports: ImportSession[] = []
  private readonly views: Views = { operations: [], pages: new Map() }
  private readonly watchers: Watcher[] = []
  private readonly sessions: WatchSession[] = []
  /** Null: there are no tokens in this run. */
  private readonly keyring: Keyring | null
  /** A client that no fault keeps from asking. */
  private readonly probe: Client
  private readonly liveness: LivenessPhase
  private readonly driftsBeyondMargin: boolean
  private livenessChecked = false
  private calmCalls = 0
  /** The time in which nothing is wrong, in a seed without faults. */
  private calm: { readonly from: number; readonly to: number } | null = null
  private figures: HistoryFigures | null = null

  constructor(
    seed: number,
    dependencies: {
      readonly print: ((line: string) => void) | null
      readonly bug: PlantedBug | null
      readonly focus: Focus | null
    },
  ) {
    const trace = new Trace(dependencies.print)
    this.world = new World({ seed, eventsMax: EVENTS_MAX }, { trace })
    this.options = drawOptions(seed, this.world.random.fork(), dependencies.focus)
    for (const line of describeOptions(this.options)) this.world.note('options', line)
    this.cluster = new SimCluster(this.options, this.world)
    this.driftsBeyondMargin = this.options.faults.has('drift') && this.world.random.chance(0.4)
    const { world, history, options } = this
    const { network, machines } = this.cluster
    for (let i = 0; i < options.voters + options.spares; i++) {
      this.cluster.addMachine(options, this.drawRate(), dependencies.bug)
    }
    if (options.upgrade !== null) planUpgrade(options.upgrade, machines, world)
    this.nemesis = new Nemesis(options, { world, network, machines })
    const armCrash = (machine: Machine, fault: FaultClass): void => this.nemesis.arm(machine, fault)
    const voters = machines.slice(0, options.voters)
    this.formation = new FormationOperator(options, { world, voters, everybody: machines, armCrash })
    const isFragile = (): boolean => this.nemesis.impaired.length > 0
    this.operator = new Operator(options, { world, machines, isFragile, armCrash })
    this.keyring = options.auth === null ? null : new Keyring()
    const { keyring } = this
    const wallet = (): Wallet | null => (keyring === null ? null : new Wallet(keyring, world.random.fork()))
    for (let id = 1; id <= options.clients; id++)
      this.clients.push(new Client(id, options, { world, machines, history, secrets: wallet() }))
    for (let id = 1; id <= options.leaseClients; id++) {
      const secrets = wallet()
      this.clients.push(new LeaseClient(options.clients + id, options, { world, machines, history, secrets }))
    }
    for (let id = 1; id <= options.watchers; id++)
      this.watchers.push(new Watcher(id, options, { world, machines, sessions: this.sessions, secrets: wallet() }))
    this.probe = new Client(0, options, { world, machines, history, secrets: keyring?.ofRoot ?? null })
    if (options.auth !== null && keyring !== null) {
      const id = options.clients + options.leaseClients + 1
      this.clients.push(new Warden(id, options.auth, options, { world, machines, history, keyring }))
    }
    for (let nth = 1; nth <= options.importers; nth++) {
      const id = FIRST_IMPORTER + nth
      this.clients.push(
        new Importer(id, options, { world, machines, history, imports: this.imports, secrets: wallet() }),
      )
    }
    for (let nth = 1; nth <= options.viewers; nth++)
      this.clients.push(
        new Viewer(FIRST_VIEWER + nth, options, { world, machines, views: this.views, secrets: wallet() }),
      )
    for (let nth = 1; nth <= options.inspectors; nth++)
      this.clients.push(
        new Inspector(FIRST_INSPECTOR + nth, options, { world, machines, views: this.views, secrets: wallet() }),
      )
    this.liveness = new LivenessPhase(options, { world, network, machines, probe: this.probe })
    this.cluster.listener = {
      onMoment: (...parts) => this.nemesis.onMoment(...parts),
      onExit: (machine) => this.nemesis.onExit(machine),
      onStep: (machine, step) => this.onStep(machine, step),
    }
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
    for (const machine of this.cluster.machines)
      world.after(world.random.between(0, options.bootMs), () => machine.start())
    await this.world.sleep(40)
    this.nemesis.begin()
    const formed = this.formation.run()
    const operated = this.operator.run()
    const used = Promise.all(this.clients.map((client) => client.run()))
    for (const watcher of this.watchers) watcher.run().catch((error: unknown) => world.fail(asViolation(error)))
    const disturbed = this.nemesis.run()
    await (this.isCalm ? this.expectCalm() : world.sleep(options.safetyMs))
    world.note('world', 'the faults stop')
    this.nemesis.calm()
    this.operator.stopped = true
    await Promise.all([operated, disturbed])
    await this.settle(used)
    this.formation.stopped = true
    await formed
  }

  /** No fault occurs in this seed, in whatever way the cluster is formed. */
  private get isCalm(): boolean {
    const { faults, formation } = this.options
    return (
      faults.size === 0 && this.formation.isUnanimous && !formation.crashes && formation.kind !== 'unreachable-peer'
    )
  }

  /** The safety phase of a seed without faults. */
  private async expectCalm(): Promise<void> {
    const { world, options } = this
    const { safetyMs, voters, spares, timeoutMs } = options
    const end = world.now() + safetyMs
    const { machines } = this.cluster
    const members = machines.slice(0, voters)
    const isFormed = ({ id, view }: Machine): boolean =>
      view !== null && view.leader !== null && view.effective.membership.nodes.has(id)
    const isReady = (): boolean => members.every(isFormed) && machines.every(({ services }) => services !== null)
    while (world.now() < end && !isReady()) await world.sleep(20)
    const from = world.now()
    this.calm = { from, to: end }
    await world.sleep(end - world.now())
    // A named write is tried for twice as long as one call may take.
    this.calmCalls = checkCalm([...this.history, ...this.views.operations], {
      from,
      to: end - 3 * timeoutMs,
      hasOutsiders: spares > 0,
    })
  }

  /** Runs the liveness phase, then checks the history. */
  private async settle(used: Promise<unknown>): Promise<void> {
    await this.waitForFormation()
    const alive = this.cluster.formedClusters().filter((ledger) => this.liveness.isExpected(ledger))
    for (const ledger of alive) await this.liveness.run(ledger)
    for (const client of this.clients) client.stopped = true
    await used
    for (const ledger of alive) {
      await this.liveness.expectLeasesEnd(ledger)
      await this.liveness.expectRetention(ledger)
      await this.liveness.expectConvergence(ledger)
      await this.readEverything(ledger)
    }
    for (const ledger of alive) await this.letWatchersFinish(ledger)
    this.livenessChecked = alive.length > 0
    if (this.world.failure() === null) this.checkHistory()
  }

  /** With one list of members, the same command on any node, repeated after every restart, forms one cluster and no other. */
  private async waitForFormation(): Promise<void> {
    const limit = this.world.now() + 10 * this.options.node.electionTimeoutMsMax + 5_000
    while (this.cluster.formedClusters().length === 0 && this.world.now() < limit && this.world.failure() === null)
      await this.world.sleep(50)
    if (!this.formation.isUnanimous) return
    const formed = this.cluster.formedClusters().length
    if (formed !== 1)
      throw new Violation('formation', `${formed} clusters were formed by initialisers who were told the same`)
  }

  /** Without faults every member can show all keys. The result becomes part of the history. */
  private async readEverything({ clusterId }: Ledger): Promise<void> {
    for (const machine of this.cluster.machines) {
      const isMember = machine.view?.effective.membership.nodes.has(machine.id) === true
      if (machine.clusterId === clusterId && isMember) await this.probe.scanOnce(machine, this.options.timeoutMs)
    }
  }

  /** Nothing is written any more, and nothing is wrong: who watches has to be told everything. */
  private async letWatchersFinish({ clusterId }: Ledger): Promise<void> {
    if (this.watchers.length === 0) return
    for (const watcher of this.watchers) watcher.stay()
    await this.world.sleep(WATCH_END_MS)
    const ours = this.cluster.machines.filter((machine) => machine.clusterId === clusterId)
    const members = latestMembersAmong(ours)
    const able = ours.filter(({ id, services }) => members.has(id) && services !== null)
    const names = new Set(able.map(({ name }) => name))
    const isOld = ({ invokedAt }: WatchSession): boolean => this.world.now() - invokedAt >= WATCH_END_MS / 2
    for (const session of this.sessions)
      if (session.end === null && names.has(session.machine) && isOld(session)) session.isDue = true
  }

  private checkHistory(): void {
    const formed = this.cluster.formedClusters()
    const { faults, node } = this.options
    const options = {
      machine: node,
      leasesHold: !this.driftsBeyondMargin && !faults.has('jumps') && !faults.has('lies'),
      stepsMax: LINEARIZABILITY_STEPS_MAX,
    }
    const figures = noFigures()
    // Each cluster is a store of its own. When none was formed, no request may have been answered.
    for (const ledger of formed.length === 0 ? [null] : formed) {
      const check = new HistoryCheck(
        options,
        ledger,
        ledger === null ? NO_TIMES : this.cluster.oracles.times.of(ledger),
      )
      const history = ledger === null ? this.history : historyOf(ledger.clusterId, this.history)
      const operations = ledger === null ? this.views.operations : historyOf(ledger.clusterId, this.views.operations)
      check.check(history, { ...this.views, operations })
      check.checkLeases(history, this.leaseOptions())
      const sessions = this.sessions.filter(({ clusterId }) => ledger !== null && clusterId === ledger.clusterId)
      check.checkWatches(sessions, history)
      if (ledger !== null) {
        check.checkImports(this.imports, ledger.clusterId)
        const asked = [...history, ...operations]
        check.checkRights(asked, sessions, { clusterId: ledger.clusterId, calm: this.calm })
      }
      for (const machine of this.cluster.machines) {
        const isOurs = ledger !== null && machine.clusterId === ledger.clusterId
        if (isOurs && !machine.state.damaged) check.checkState(machine.name, machine.state.current())
      }
      addFigures(figures, check.figures)
    }
    this.figures = figures
  }

  private leaseOptions(): LeaseOptions & LockOptions {
    const { faults, node } = this.options
    const clocksHold = !this.driftsBeyondMargin && !faults.has('jumps')
    return { clocksHold, calm: this.calm, promptMs: node.electionTimeoutMsMax + PROMPT_MS }
  }

  private onStep(machine: Machine, { view, before }: CoreStep): void {
    if (view.state === 'candidate' && before?.state !== 'candidate') this.nemesis.onCandidate(machine)
    const begins = view.state === 'leader' && before?.state !== 'leader'
    if (begins && view.effective.membership.configs.length > 1) this.world.census.count('member-joint-inherited')
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
    this.nemesis.stop()
    this.operator.stopped = true
    this.formation.stopped = true
    for (const client of this.clients) client.stopped = true
    for (const watcher of this.watchers) watcher.stopped = true
    this.cluster.end()
  }

  private report(): SeedReport {
    const { world } = this
    const { oracles, ledgers } = this.cluster
    const failure = world.failure()
    return {
      seed: this.options.seed,
      hasAuth: this.options.auth !== null,
      violation: failure === null ? null : { oracle: failure.oracle, message: failure.message },
      virtualMs: world.now(),
      events: world.events,
      faults: world.census.entries(),
      leaders: oracles.elections.leaders,
      committed: ledgers.all().reduce((sum, { committed }) => sum + committed.length, 0),
      digestsCompared: oracles.digests.compared,
      history: this.figures,
      livenessChecked: this.livenessChecked,
      retentionsAwaited: this.liveness.retentionsAwaited,
      leaseEndsAwaited: this.liveness.leaseEndsAwaited,
      worst: this.liveness.worst,
      calmCalls: this.calmCalls,
      fingerprint: `${world.events}/${world.now().toFixed(6)}/${this.history.length}/${world.random.fraction()}`,
    }
  }
}
