import type { NodeServices } from '../../../src/node/node.ts'
import { callNode, type CallOutcome } from './call.ts'
import type { FaultClass } from '../world/census.ts'
import type { Draw } from '../world/draw.ts'
import { memberOf } from './formation.ts'
import { leaderAmong } from '../machines/leaders.ts'
import type { Machine } from '../machines/machine.ts'
import type { SimulationOptions } from '../world/options.ts'
import type { World } from '../world/world.ts'

export interface OperatorDependencies {
  readonly world: World
  readonly machines: readonly Machine[]
  /** One voter more or less might leave the cluster without a quorum that can be repaired. */
  readonly isFragile: () => boolean
  readonly armCrash: (machine: Machine, fault: FaultClass) => void
}

type Act = 'transfer' | 'campaign' | 'purge' | 'add' | 'promote' | 'remove' | 'replace' | 'set' | 'heal' | 'move'

const LEADERSHIP_ACTS: readonly Act[] = ['transfer', 'transfer', 'campaign', 'purge']
const MEMBERSHIP_ACTS: readonly Act[] = ['add', 'promote', 'remove', 'replace', 'set', 'heal', 'move']

const TIMEOUT_MS = 3_000
const LISTING_MS_MAX = 20_000

/** Changes memberships, hands over leadership, frees logs: what operators and their scripts do, at any time and on any node. */
export class Operator {
  stopped = false
  private moves = 0
  private isMoving = false
  private readonly options: SimulationOptions
  private readonly deps: OperatorDependencies
  private readonly random: Draw

  constructor(options: SimulationOptions, dependencies: OperatorDependencies) {
    this.options = options
    this.deps = dependencies
    this.random = dependencies.world.random.fork()
  }

  async run(): Promise<void> {
    const { faults, membershipEveryMs } = this.options
    const kinds = [
      ...(faults.has('transfers') ? LEADERSHIP_ACTS : []),
      ...(faults.has('memberships') ? MEMBERSHIP_ACTS.filter((act) => act !== 'move' || !this.movesByItself) : []),
    ]
    if (kinds.length === 0) return
    while (!this.stopped) {
      await this.deps.world.sleep(this.random.exponential(membershipEveryMs))
      if (this.stopped) return
      const drawn = this.random.chance(0.15)
        ? [this.random.pick(kinds), this.random.pick(kinds)]
        : [this.random.pick(kinds)]
      if (drawn.length > 1 && drawn.every((kind) => MEMBERSHIP_ACTS.includes(kind))) this.count('member-concurrent')
      await Promise.all(drawn.map((kind) => this.act(kind)))
    }
  }

  /** In this case nobody announces where members are: they find each other. */
  private get movesByItself(): boolean {
    const { faults, automation } = this.options
    return faults.has('relocations') && automation.formation !== null
  }

  private act(kind: Act): Promise<void> {
    switch (kind) {
      case 'transfer':
        return this.transfer()
      case 'campaign':
        return this.campaign()
      case 'purge':
        return this.purge()
      case 'add':
        return this.addLearner()
      case 'promote':
        return this.promote()
      case 'remove':
        return this.remove()
      case 'replace':
        return this.replace()
      case 'set':
        return this.setVoters()
      case 'heal':
        return this.heal()
      case 'move':
        return this.move()
    }
  }

  /** Removes a wiped or lost voter, so that it can be added again as the new node that it is. */
  async heal(): Promise<void> {
    const leader = this.leader()
    if (leader === null) return
    const dead = this.membersSeenBy(leader).find((machine) => machine.lost !== null || this.isWiped(machine, leader))
    if (dead === undefined) return
    this.count('member-wiped-returns')
    await this.ask(leader, ({ cluster }) =>
      cluster.changeVoters(this.change({ add: [], remove: [dead.id] }, { force: true }), TIMEOUT_MS),
    )
    await this.ask(leader, ({ cluster }) => cluster.removeLearner(dead.id, TIMEOUT_MS))
    if (dead.lost !== null) dead.wipe()
    dead.start()
    await this.deps.world.sleep(50)
    await this.ask(leader, ({ cluster }) => cluster.addLearner(memberOf(dead), true, TIMEOUT_MS))
    await this.ask(leader, ({ cluster }) =>
      cluster.changeVoters(this.change({ add: [dead.id], remove: [] }, {}), TIMEOUT_MS),
    )
  }

  /** Moves a member to another address. Only one member moves at a time: the next one waits until the membership has the new address. */
  private async move(): Promise<void> {
    const leader = this.leader()
    // From its new address the member calls the members that it knows. A member that does not know the latest addresses has to
    // catch up first.
    const listedAt = leader?.view?.committedMembership.logId?.index ?? Infinity
    const canCall = ({ view, log }: Machine): boolean =>
      Math.min(view?.effective.logId?.index ?? -1, log.durable.lastIndex) >= listedAt
    const members = leader === null ? [] : this.membersSeenBy(leader).filter(canCall)
    if (this.isMoving || members.length === 0) return
    this.isMoving = true
    this.moves += 1
    const { random } = this
    const machine = random.pick(members)
    const host = `10.1.${this.moves}.${machine.id}`
    const addresses = { raft: `${host}:7100`, api: `http://${host}:7000` }
    const member = { id: Number(machine.id), ...addresses }
    const tell = (): Promise<unknown> =>
      this.ask(this.anyone(), ({ cluster }) =>
        cluster.setAddresses({ member, force: false, ifMembershipAt: null }, TIMEOUT_MS),
      )
    this.count('member-moves')
    if (random.chance(0.3)) await tell()
    machine.move(addresses, random.chance(0.5))
    await this.deps.world.sleep(random.exponential(100))
    machine.start()
    // This continues after the faults have stopped: until a member with an outdated membership is listed, today's voters do not find it.
    const limit = this.deps.world.now() + LISTING_MS_MAX
    while (!this.isListed(machine) && (!this.stopped || this.deps.world.now() < limit)) {
      await tell()
      await this.deps.world.sleep(100)
    }
    if (this.stopped) return
    // Requests without an answer may still be carried out.
    await this.deps.world.sleep(TIMEOUT_MS)
    this.isMoving = false
  }

  /** Whether the membership lists the machine at its current address, or no longer contains it. */
  private isListed(machine: Machine): boolean {
    const leaders = this.deps.machines.filter(({ view }) => view?.state === 'leader')
    const ours = leaders.find(({ clusterId }) => clusterId === machine.clusterId)
    const stored = ours?.view?.committedMembership.membership.nodes
    // Before the first membership is committed no machine is listed. That does not mean that this one was removed.
    if (stored === undefined || stored.size === 0) return false
    const listed = stored.get(machine.id)
    return listed === undefined || listed.raft === machine.addresses.raft
  }

  private async transfer(): Promise<void> {
    const to = this.random.chance(0.3) ? null : this.random.pick(this.deps.machines)
    this.count('transfer')
    if (to !== null && !to.isUp) this.count('transfer-to-dead')
    await this.ask(this.anyone(), ({ cluster }) => cluster.transfer(to?.id ?? null, TIMEOUT_MS))
  }

  private async campaign(): Promise<void> {
    this.count('campaign')
    await this.ask(this.anyone(), ({ cluster }) => {
      cluster.campaign()
      return Promise.resolve()
    })
  }

  private async purge(): Promise<void> {
    this.count('purge')
    await this.ask(this.anyone(), ({ cluster }) => cluster.purge())
  }

  private async addLearner(): Promise<void> {
    const outside = this.outside()
    if (outside.length === 0) return
    const learner = this.random.pick(outside)
    if (learner.clusterId !== '') this.count('member-removed-returns')
    this.count('member-add-learner')
    this.maybeCrash(learner)
    await this.ask(this.anyone(), ({ cluster }) =>
      cluster.addLearner(memberOf(learner), this.random.chance(0.5), TIMEOUT_MS),
    )
  }

  private async promote(): Promise<void> {
    const leader = this.leader()
    if (leader === null) return
    const learners = this.membersSeenBy(leader).filter(({ id }) => !this.votersSeenBy(leader).includes(id))
    if (learners.length === 0) return this.addLearner()
    const add = this.random.sample(learners, this.random.integer(1, learners.length + 1)).map(({ id }) => Number(id))
    this.count('member-promote')
    await this.changeVoters({ add, remove: [] })
  }

  private async remove(): Promise<void> {
    const leader = this.leader()
    if (leader === null || this.deps.isFragile()) return
    const voters = this.votersSeenBy(leader)
    if (voters.length < 2) return
    const victim = this.random.chance(0.4) ? Number(leader.id) : this.random.pick(voters)
    this.count('member-remove')
    if (victim === leader.id) this.count('member-remove-leader')
    await this.changeVoters({ add: [], remove: [victim] })
  }

  private async replace(): Promise<void> {
    const leader = this.leader()
    const outside = this.outside()
    if (leader === null || outside.length === 0 || this.deps.isFragile()) return
    const fresh = this.random.pick(outside)
    const old = this.random.pick(this.votersSeenBy(leader))
    if (old === undefined) return
    this.count('member-replace')
    await this.ask(leader, ({ cluster }) => cluster.addLearner(memberOf(fresh), true, TIMEOUT_MS))
    await this.changeVoters({ add: [fresh.id], remove: [old] })
  }

  /** Makes a random set of members the voters. */
  private async setVoters(): Promise<void> {
    const leader = this.leader()
    if (leader === null || this.deps.isFragile()) return
    const members = this.membersSeenBy(leader).map(({ id }) => Number(id))
    if (members.length === 0) return
    await this.changeVoters(this.random.sample(members, this.random.integer(1, members.length + 1)))
  }

  private async changeVoters(
    voters: readonly number[] | { add: readonly number[]; remove: readonly number[] },
  ): Promise<void> {
    const { random } = this
    const at = random.chance(0.2) ? this.anyone() : (this.leader() ?? this.anyone())
    const membershipAt = at.view?.effective.logId?.index ?? null
    const ifMembershipAt = random.chance(0.2) ? membershipAt : null
    const force = random.chance(0.1)
    if (ifMembershipAt !== null) this.count('member-conditional')
    if (force) this.count('member-forced')
    const change = {
      ...this.change(voters, { force, allowLagging: random.chance(0.3) }),
      retain: random.chance(0.4),
      ifMembershipAt,
    }
    this.maybeCrash(random.chance(0.5) ? at : this.anyone())
    await this.ask(at, ({ cluster }) => cluster.changeVoters(change, TIMEOUT_MS))
  }

  private change(
    voters: readonly number[] | { add: readonly number[]; remove: readonly number[] },
    how: { readonly force?: boolean; readonly allowLagging?: boolean },
  ): Parameters<NodeServices['cluster']['changeVoters']>[0] {
    return {
      voters,
      retain: false,
      force: how.force ?? false,
      allowLagging: how.allowLagging ?? false,
      ifMembershipAt: null,
    }
  }

  private maybeCrash(machine: Machine): void {
    if (!this.options.faults.has('crash-points') || !this.random.chance(0.3)) return
    this.deps.armCrash(machine, 'member-crash-during')
  }

  private async ask<T>(machine: Machine, run: (services: NodeServices) => Promise<T>): Promise<CallOutcome<T>> {
    const call = { delayMs: this.options.delayMs, timeoutMs: TIMEOUT_MS + 500, lostProbability: 0 }
    const outcome = await callNode(this.deps.world, machine, call, run)
    if (this.deps.world.isTracing) {
      const code = 'code' in outcome ? outcome.code : ''
      this.deps.world.note(
        'operator',
        `asked ${machine.name}: ${outcome.kind} ${code} (${run.toString().replace(/\s+/g, ' ').slice(0, 90)})`,
      )
    }
    return outcome
  }

  private anyone(): Machine {
    return this.random.pick(this.deps.machines)
  }

  private leader(): Machine | null {
    return leaderAmong(this.deps.machines)
  }

  private membersSeenBy(machine: Machine): Machine[] {
    const nodes = machine.view?.effective.membership.nodes
    return this.deps.machines.filter(({ id }) => nodes?.has(id) ?? false)
  }

  private votersSeenBy(machine: Machine): number[] {
    return [...new Set(machine.view?.effective.membership.configs.flat() ?? [])]
  }

  private outside(): Machine[] {
    const leader = this.leader()
    if (leader === null) return []
    const members = this.membersSeenBy(leader)
    return this.deps.machines.filter((machine) => !members.includes(machine) && machine.isUp)
  }

  private isWiped(machine: Machine, leader: Machine): boolean {
    return machine.clusterId !== leader.clusterId && machine.log.durable.last === null && machine.wiped
  }

  private count(fault: FaultClass): void {
    this.deps.world.census.count(fault)
  }
}
