import { FEATURE_LEVEL } from '../../../src/kv/index.ts'
import { limits } from '../../../src/limits.ts'
import { sameLogId, type RaftView } from '../../../src/raft/index.ts'
import { callNode } from '../clients/call.ts'
import type { Client } from '../clients/client.ts'
import { disturb, whole, type Disturbance } from './disturbance.ts'
import type { Draw } from '../world/draw.ts'
import type { Ledger } from '../machines/ledger.ts'
import { leaderAmong } from '../machines/leaders.ts'
import type { Machine } from '../machines/machine.ts'
import type { Network } from '../network/network.ts'
import { AWAITED_AGE_MS, retentionFault } from './retention.ts'
import { LEASE_TTL_MS_MAX, LOCK_WAIT_MS_MAX, type SimulationOptions } from '../world/options.ts'
import { isQuorum } from '../machines/quorum.ts'
import { Violation } from '../world/violation.ts'
import type { World } from '../world/world.ts'

export interface LivenessDependencies {
  readonly world: World
  readonly network: Network
  readonly machines: readonly Machine[]
  /** A client whose writes show that the cluster makes progress. */
  readonly probe: Client
}

/** The worst figures of one seed. */
export interface LivenessFigures {
  /** Time until a write and a read succeeded, in longest election timeouts. */
  progressTimeouts: number
  /** Ballots during the time in which writes succeeded. */
  steadyElections: number
  convergenceMs: number
}

const ELECTION_TIMEOUTS = 10
/** How long faults persist after the first success, while writes must keep succeeding. */
const STEADY_TIMEOUTS = 5
/** One election by request of an operator, one that moves leadership to where a quorum is heard, one for a tie. */
const STEADY_ELECTIONS_MAX = 3
/** The longest that a client asks for: to wait for a lock, and then to have it; and the tenth by which leases last longer. */
const LEASE_MS_MAX = 1.1 * (LOCK_WAIT_MS_MAX + LEASE_TTL_MS_MAX)
/** Time to catch up by snapshots, several times if the log moves on meanwhile. */
const CATCH_UP_MS = 8_000

/**
 * The liveness phase, after the faults have stopped. Within a bounded time there is a leader that commits, and then every
 * member has the same state. This is checked first with one lasting fault that a quorum can tolerate, then without faults.
 */
export class LivenessPhase {
  /** Clusters whose leader was seen to keep no more of the past than it is set to. */
  retentionsAwaited = 0
  /** Clusters in which there were leases when nobody used them any more, and whose last one was seen to end. */
  leaseEndsAwaited = 0
  readonly worst: LivenessFigures = { progressTimeouts: 0, steadyElections: 0, convergenceMs: 0 }
  private readonly options: SimulationOptions
  private readonly deps: LivenessDependencies
  private readonly random: Draw

  constructor(options: SimulationOptions, dependencies: LivenessDependencies) {
    this.options = options
    this.deps = dependencies
    this.random = dependencies.world.random.fork()
  }

  /** Whether the machines of `ledger`'s cluster must be able to work: every known configuration has a majority of sound members. */
  isExpected(ledger: Ledger): boolean {
    const { machines } = this.deps
    const ours = machines.filter((machine) => machine.clusterId === ledger.clusterId)
    const isSound = (id: number): boolean =>
      ours.some((machine) => {
        const view = machine.view
        return (
          machine.id === id && machine.lost === null && view !== null && !view.recovering && this.isKnown(machine, ours)
        )
      })
    return ours.every((machine) => {
      const view = machine.view
      if (view === null) return true
      const configs = [...view.effective.membership.configs, ...view.committedMembership.membership.configs]
      return configs.every((config) => isQuorum(config, isSound))
    })
  }

  async run(ledger: Ledger): Promise<void> {
    const { world, network } = this.deps
    const broken = this.disturb(ledger)
    const how = `with ${broken.topology}`
    // Either before any node has noticed the fault, or after.
    if (this.random.chance(0.5)) await this.expectProgress(ledger, how)
    await this.unseat(ledger, broken)
    await this.expectProgress(ledger, how)
    await this.expectSteadiness(ledger, how)
    broken.mend()
    network.links.healAll()
    world.note('world', 'nothing is broken any more')
    await this.expectProgress(ledger, 'with nothing broken')
  }

  /**
   * Waits until no lease is left: nobody renews any, and nobody asks for a lock. Someone may have waited for the lock that another had, and a
   * leader that has just been elected begins every lease again.
   */
  async expectLeasesEnd(ledger: Ledger): Promise<void> {
    const { world, machines } = this.deps
    const leasesOf = (): number | null => this.leaderOf(ledger)?.machineState?.leases.leases ?? null
    if (this.options.leaseClients === 0 || leasesOf() === 0) return
    const slowest = Math.min(1, ...machines.map(({ clockRate }) => clockRate))
    const limit = world.now() + (2 * LEASE_MS_MAX) / slowest + this.bound() + CATCH_UP_MS
    await this.waitUntil(limit, () => leasesOf() === 0)
    const left = leasesOf()
    if (left !== 0 && world.failure() === null)
      throw new Violation('leases', `${left ?? 'maybe some'} leases are left, though nobody has used any for so long`)
    this.leaseEndsAwaited += 1
  }

  /** Waits until the leader keeps no more of the past than it is set to: nothing is written meanwhile. */
  async expectRetention(ledger: Ledger): Promise<void> {
    const { world } = this.deps
    const { retention } = this.leaderOf(ledger)?.machineState?.history ?? {}
    if (retention === undefined) return
    const ageMs = retention.ageMs <= AWAITED_AGE_MS ? retention.ageMs : 0
    // The leader may have just been elected, and its clock may be slow.
    const limit = world.now() + 2 * ageMs + this.bound() + CATCH_UP_MS
    let fault: string | null = 'has no leader'
    await this.waitUntil(limit, () => {
      const state = this.leaderOf(ledger)?.machineState ?? null
      if (state !== null) fault = retentionFault(state, this.options.node.history ?? limits.history)
      return fault === null
    })
    if (fault !== null) throw new Violation('retention', `the cluster ${fault}`)
    this.retentionsAwaited += 1
  }

  /** Waits until all members have applied the same entries, up to the end of the leader's log. */
  async expectConvergence(ledger: Ledger): Promise<void> {
    const limit = this.deps.world.now() + this.bound() + CATCH_UP_MS
    let problem = ''
    const from = this.deps.world.now()
    await this.waitUntil(limit, () => {
      problem = this.divergence(ledger)
      return problem === ''
    })
    this.worst.convergenceMs = Math.max(this.worst.convergenceMs, this.deps.world.now() - from)
    if (problem !== '')
      throw new Violation('convergence', `${problem} after ${Math.round(this.bound() + CATCH_UP_MS)} ms without faults`)
  }

  private bound(): number {
    return ELECTION_TIMEOUTS * this.options.node.electionTimeoutMsMax
  }

  /**
   * Within the bound, a write and then a read through the leader are answered. One that is on its way keeps its place while
   * the next is sent: a leader that takes longer than an election timeout to execute what others have asked for works
   * nevertheless, and each new request would begin at the end of its queue.
   */
  private async expectProgress(ledger: Ledger, how: string): Promise<void> {
    const { world } = this.deps
    const { electionTimeoutMsMax, heartbeatMs } = this.options.node
    const from = world.now()
    let limit = from + this.bound()
    let answeredAt = Infinity
    while (answeredAt === Infinity && world.now() < limit && world.failure() === null) {
      const leader = this.leaderOf(ledger)
      if (leader?.view && this.awaitsState(leader.view)) limit = from + this.bound() + CATCH_UP_MS
      if (leader !== null) {
        const attempt = this.attempt(leader, limit).then((isAnswered) => {
          if (isAnswered) answeredAt = Math.min(answeredAt, world.now())
        })
        await Promise.race([attempt, world.sleep(electionTimeoutMsMax)])
      }
      if (answeredAt === Infinity) await world.sleep(heartbeatMs)
    }
    if (world.failure() !== null) return
    if (answeredAt < Infinity) {
      const timeouts = (answeredAt - from) / electionTimeoutMsMax
      this.worst.progressTimeouts = Math.max(this.worst.progressTimeouts, timeouts)
      return
    }
    const states = this.members(ledger).map((machine) => `${machine.name} ${this.describe(machine)}`)
    throw new Violation('liveness', `no progress within ${Math.round(limit - from)} ms ${how}: ${states.join('; ')}`)
  }

  private async attempt(leader: Machine, limit: number): Promise<boolean> {
    const { world, probe } = this.deps
    return (
      (await probe.writeOnce(leader, limit - world.now())) &&
      world.now() < limit &&
      (await probe.readOnce(leader, limit - world.now()))
    )
  }

  /** Breaks what stays broken in this seed. */
  private disturb(ledger: Ledger): Disturbance {
    const { world, network, machines } = this.deps
    const { topology, node } = this.options
    const leader = this.leaderOf(ledger)
    if (topology === 'whole' || leader === null) return whole
    const members = this.members(ledger)
    const configs = members.flatMap((machine) => machine.view?.effective.membership.configs ?? [])
    const ids = [...new Set(configs.flat())]
    // Only a cluster of three or more can do without a link or a disk, and all members must know the same voters.
    if (configs.some(({ length }) => length < 3 || length !== ids.length)) return whole
    const voters = machines.filter(({ id }) => ids.includes(id))
    const isSound = (machine: Machine): boolean =>
      machine.lost === null && machine.view?.recovering === false && this.isKnown(machine, members)
    if (!voters.every((machine) => members.includes(machine) && isSound(machine))) return whole
    const parts = { world, network, random: this.random, slowWriteMs: node.electionTimeoutMsMin / 2 }
    return disturb(topology, { voters, leader }, parts)
  }

  /** Kills and restarts the leader, or makes it hand over to any node: the fault affects the next leader too. */
  private async unseat(ledger: Ledger, { topology, victim }: Disturbance): Promise<void> {
    const { world } = this.deps
    const leader = this.leaderOf(ledger)
    if (leader === null || world.failure() !== null) return
    const { delayMs, node } = this.options
    // A bridge could lose unsynced entries without which no other node can be elected.
    if (topology !== 'bridge' && this.random.chance(0.4)) {
      world.note(leader.name, 'dies while it leads')
      leader.crash(this.random.chance(0.5) ? 'kill' : 'power')
      await world.sleep(this.random.between(0, node.electionTimeoutMsMax))
      leader.start()
    } else if (this.random.chance(0.5)) {
      const voters = leader.view?.effective.membership.configs.flat() ?? []
      const target = victim !== null && this.random.chance(0.5) ? victim.id : this.random.pick([leader.id, ...voters])
      world.note(leader.name, `is told to hand over to n${target}`)
      const call = { delayMs, timeoutMs: 50, lostProbability: 0 }
      await callNode(world, leader, call, ({ cluster }) => cluster.transfer(target, 50))
    }
  }

  /** Writes must keep succeeding, and leadership must not move back and forth. */
  private async expectSteadiness(ledger: Ledger, how: string): Promise<void> {
    const { world } = this.deps
    const { electionTimeoutMsMax, heartbeatMs } = this.options.node
    const end = world.now() + STEADY_TIMEOUTS * electionTimeoutMsMax
    const before = this.highestTerm(ledger)
    while (world.now() < end && world.failure() === null) {
      await this.expectProgress(ledger, how)
      await world.sleep(heartbeatMs)
    }
    const elections = this.highestTerm(ledger) - before
    if (elections > STEADY_ELECTIONS_MAX && world.failure() === null)
      throw new Violation('liveness', `${elections} ballots ${how}, while writes went through`)
    this.worst.steadyElections = Math.max(this.worst.steadyElections, elections)
  }

  private highestTerm(ledger: Ledger): number {
    return Math.max(0, ...this.members(ledger).map(({ view }) => view?.vote.leaderId.term ?? 0))
  }

  /**
   * Whether every majority needs a voter that must be sent the whole state before it can hold any entry. Such a voter was
   * promoted by force, or it was away. The lasting fault then separates each possible leader from one of the other voters.
   */
  private awaitsState({ effective, purged }: RaftView): boolean {
    const { machines, network } = this.deps
    const able = machines.filter(
      ({ view, process }) => process?.paused === false && (view?.last?.index ?? -1) >= (purged?.index ?? -1),
    )
    return !able.some((leader) =>
      effective.membership.configs.every((config) =>
        isQuorum(config, (id) =>
          able.some(
            (machine) =>
              machine.id === id && !network.links.isCut(leader.id, id) && !network.links.isCut(id, leader.id),
          ),
        ),
      ),
    )
  }

  private leaderOf(ledger: Ledger): Machine | null {
    return leaderAmong(this.members(ledger))
  }

  private members(ledger: Ledger): Machine[] {
    return this.deps.machines.filter((machine) => machine.clusterId === ledger.clusterId)
  }

  private divergence(ledger: Ledger): string {
    const leader = this.leaderOf(ledger)
    const view = leader?.view ?? null
    if (leader === null || view === null) return 'there is no leader'
    if (view.effective.membership.configs.length > 1) return `${leader.name} leads a joint configuration`
    const applied = view.last?.index ?? -1
    if (view.applied < applied) return `${leader.name} has applied ${view.applied} of ${applied}`
    const members = [...view.effective.membership.nodes.keys()].map((id) => this.machineOf(id))
    const present = members.filter((machine) => this.isPresent(machine, ledger))
    for (const machine of present) {
      const own = machine.view
      if (own === null || own.applied < applied) {
        return `${machine.name} has applied ${own?.applied} of ${applied} (${this.describe(machine)})`
      }
      if (machine.appliedDigest !== leader.appliedDigest)
        return `${machine.name} has another digest than ${leader.name}`
      if (!sameLogId(own.effective.logId, view.effective.logId))
        return `${machine.name} has another membership than ${leader.name} (${this.describe(machine)})`
      const stranger = present.find(({ id, incarnation }) => id !== machine.id && machine.remembers(id) !== incarnation)
      if (stranger !== undefined) return `${machine.name} has not written down who ${stranger.name} is`
    }
    const { featureLevelMax: level = FEATURE_LEVEL } = this.options.node
    if (present.length === members.length && leader.appliedLevel < level)
      return `the feature level is still ${leader.appliedLevel}`
    return ''
  }

  private machineOf(id: number): Machine {
    const machine = this.deps.machines.find((one) => one.id === id)
    if (machine === undefined) throw new Violation('convergence', `no machine has the id ${id}`)
    return machine
  }

  /** A machine that lost its data or never joined waits for an operator. */
  private isPresent(machine: Machine, ledger: Ledger): boolean {
    if (machine.lost !== null || !this.isKnown(machine, this.members(ledger))) return false
    return machine.clusterId === '' || machine.clusterId === ledger.clusterId
  }

  /** Whether the others accept this machine's identity: a wiped one is refused until it is removed and added again. */
  private isKnown(machine: Machine, others: readonly Machine[]): boolean {
    return others.every((other) => {
      const remembered = other.remembers(machine.id)
      return remembered === null || remembered === machine.incarnation
    })
  }

  private describe(machine: Machine): string {
    const view = machine.view
    if (view === null) return machine.lost ?? 'down'
    const configs = view.effective.membership.configs.map((config) => `[${config.join()}]`).join('+')
    const vote = `${view.vote.leaderId.term}.${view.vote.leaderId.nodeId}${view.vote.committed ? '*' : ''}`
    return (
      `${view.state}${view.recovering ? ' recovering' : ''} vote ${vote} leader ${view.leader} last ${view.last?.index ?? '-'} ` +
      `commit ${view.committed} applied ${view.applied} in ${configs}`
    )
  }

  private async waitUntil(limit: number, holds: () => boolean): Promise<void> {
    const { world } = this.deps
    while (!holds() && world.now() < limit && world.failure() === null) await world.sleep(20)
  }
}
