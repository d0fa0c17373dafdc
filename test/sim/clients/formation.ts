import { RequestError } from '../../../src/lib/errors.ts'
import type { MemberSpec } from '../../../src/api/cluster.ts'
import type { FaultClass } from '../world/census.ts'
import { callNode } from './call.ts'
import type { Draw } from '../world/draw.ts'
import type { Machine } from '../machines/machine.ts'
import type { SimulationOptions } from '../world/options.ts'
import { Violation } from '../world/violation.ts'
import type { World } from '../world/world.ts'

export interface FormationDependencies {
  readonly world: World
  /** The machines that are to be the first voters. */
  readonly voters: readonly Machine[]
  readonly everybody: readonly Machine[]
  /** Orders `machine` to crash at some later moment. */
  readonly armCrash: (machine: Machine, fault: FaultClass) => void
}

const RETRY_MS = 300

/** Refusals of `initialize` that only mean that it is done already, or that other nodes see it differently. */
const SETTLED = new Set(['already-initialized', 'peer-disagrees', 'member-mismatch'])

export function memberOf(machine: Machine): MemberSpec {
  return { id: machine.id, ...machine.addresses }
}

/** Forms the cluster in one of the ways of a plan, persistently like start scripts: the same command again after every restart. */
export class FormationOperator {
  stopped = false
  /** The members that each initialiser was told. */
  private readonly told = new Map<Machine, readonly Machine[]>()
  private readonly options: SimulationOptions
  private readonly deps: FormationDependencies
  private readonly random: Draw

  constructor(options: SimulationOptions, dependencies: FormationDependencies) {
    this.options = options
    this.deps = dependencies
    this.random = dependencies.world.random.fork()
  }

  /** Whether all initialisers were told the same members. */
  get isUnanimous(): boolean {
    return (
      this.options.formation.kind !== 'different-overlapping' && this.options.formation.kind !== 'different-disjoint'
    )
  }

  async run(): Promise<void> {
    this.plan()
    const { formation } = this.options
    await Promise.all(
      [...this.told].map(async ([machine, members]) => {
        await this.deps.world.sleep(this.random.between(0, formation.spreadMs))
        if (formation.crashes) this.deps.armCrash(machine, 'form-crash')
        await this.initialize(machine, members)
      }),
    )
  }

  private plan(): void {
    const { voters, everybody, world } = this.deps
    const { kind } = this.options.formation
    const { random } = this
    switch (kind) {
      case 'one':
        world.census.count('form-one')
        return this.tell([random.pick(voters)], voters)
      case 'some':
        world.census.count('form-some')
        return this.tell(random.sample(voters, random.integer(1, voters.length + 1)), voters)
      case 'all':
        world.census.count('form-all')
        return this.tell(voters, voters)
      case 'unreachable-peer':
        world.census.count('form-unreachable-peer')
        random.pick(voters).crash('power')
        return this.tell(voters, voters)
      case 'after-vote':
        if (voters.length > 1) world.census.count('form-after-vote')
        return this.tell(random.shuffle(voters), voters)
      case 'discovered':
        world.census.count('form-discovered')
        if (this.options.bootMs > (this.options.automation.formation?.delayMs ?? 0))
          world.census.count('form-discovered-late')
        if (this.options.formation.crashes) {
          for (const machine of everybody) if (random.chance(0.5)) this.deps.armCrash(machine, 'form-crash')
        }
        return
      case 'different-overlapping': {
        world.census.count('form-different-overlapping')
        for (const machine of voters) {
          const others = random.sample(
            everybody.filter((other) => other !== machine),
            random.integer(0, everybody.length),
          )
          this.tell([machine], [machine, ...others])
        }
        return
      }
      case 'different-disjoint': {
        if (everybody.length > 1) world.census.count('form-different-disjoint')
        const shuffled = random.shuffle(everybody)
        const cut = random.integer(1, shuffled.length)
        this.tell(shuffled.slice(0, cut), shuffled.slice(0, cut))
        this.tell(shuffled.slice(cut), shuffled.slice(cut))
      }
    }
  }

  private tell(machines: readonly Machine[], members: readonly Machine[]): void {
    for (const machine of machines) this.told.set(machine, members)
  }

  /** Repeats the request until the node says that it is initialised, or another node finally disagrees. */
  private async initialize(machine: Machine, members: readonly Machine[]): Promise<void> {
    const { world } = this.deps
    if (this.options.formation.kind === 'after-vote') await this.waitForOthersVote(machine)
    for (let attempt = 0; !this.stopped; attempt++) {
      const specs = this.random.shuffle(members).map(memberOf)
      const call = { delayMs: this.options.delayMs, timeoutMs: 3_000, lostProbability: 0 }
      const wait = this.random.pick(['appended', 'leader', 'committed'] as const)
      const outcome = await callNode(world, machine, call, async ({ cluster }) => {
        // The promise: everything that an answer claims is on disk before the answer leaves, even if there was nothing left to do.
        const { durable } = machine.log
        try {
          const answer = await cluster.initialize(specs, wait, 1_500)
          if (durable.lastIndex < 0) throw this.tooEarly(machine, 'answers initialize')
          return answer
        } catch (error) {
          const isDone = error instanceof RequestError && error.code === 'already-initialized'
          if (isDone && durable.hardState.clusterId === null) throw this.tooEarly(machine, 'calls itself initialised')
          throw error
        }
      })
      world.note(
        machine.name,
        `initialize [${members.map(({ id }) => id).join()}] -> ${outcome.kind} ${'code' in outcome ? outcome.code : ''}`,
      )
      if (outcome.kind === 'answered') return
      if (outcome.kind === 'failed' && SETTLED.has(outcome.code) && (this.isUnanimous || attempt >= 5)) {
        // A peer disagrees only temporarily while it is being initialised with the same members.
        if (outcome.code === 'already-initialized') return
        if (!this.isUnanimous) return
      }
      await this.deps.world.sleep(RETRY_MS * this.random.between(0.5, 1.5))
    }
  }

  private tooEarly({ name }: Machine, what: string): Violation {
    return new Violation('formation', `${name} ${what} before that is on disk`)
  }

  /** Waits, on all initialisers but the first, until the node has voted for another. */
  private async waitForOthersVote(machine: Machine): Promise<void> {
    const [first] = this.told.keys()
    if (machine === first) return
    while (!this.stopped && machine.log.durable.hardState.vote.leaderId.term === 0) await this.deps.world.sleep(20)
  }
}
