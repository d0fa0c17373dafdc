import type { RaftView } from '../../src/raft/index.ts'
import type { Client } from './client.ts'
import type { Draw } from './draw.ts'
import type { Ledger } from './ledger.ts'
import type { Machine } from './machine.ts'
import type { Network } from './network/network.ts'
import type { SimulationOptions } from './options.ts'
import { Violation } from './violation.ts'
import type { World } from './world.ts'

export interface LivenessDependencies {
  readonly world: World
  readonly network: Network
  readonly machines: readonly Machine[]
  /** Somebody whose writes show that the cluster makes progress. */
  readonly probe: Client
}

const ELECTION_TIMEOUTS = 10
/** Fixed costs that have nothing to do with elections: starting processes, connecting, waiting for probes. */
const GRACE_MS = 1_500
/** Catching up by snapshots, several times over when the log moves on meanwhile. */
const CATCH_UP_MS = 8_000

/**
 * After the faults have stopped (reliability: liveness phase): within a bounded time there is a leader that commits, and then
 * every member has the same state. First with one thing still broken that a quorum can live with, then with nothing broken.
 */
export class LivenessPhase {
  private readonly options: SimulationOptions
  private readonly deps: LivenessDependencies
  private readonly random: Draw

  constructor(options: SimulationOptions, dependencies: LivenessDependencies) {
    this.options = options
    this.deps = dependencies
    this.random = dependencies.world.random.fork()
  }

  /** Whether the machines of `ledger`'s cluster can be expected to work: every configuration anybody knows has a sound majority. */
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
      return configs.every((config) => config.filter(isSound).length * 2 > config.length)
    })
  }

  async run(ledger: Ledger): Promise<void> {
    const { world, network } = this.deps
    const restore = this.disturb(ledger)
    await this.expectProgress(ledger, `with ${this.options.topology}`)
    restore()
    network.links.healAll()
    world.note('world', 'nothing is broken any more')
    await this.expectProgress(ledger, 'with nothing broken')
  }

  /** Everybody who is a member has applied the same, up to the end of the leader's log. */
  async expectConvergence(ledger: Ledger): Promise<void> {
    const limit = this.deps.world.now() + this.bound() + CATCH_UP_MS
    let problem = ''
    await this.waitUntil(limit, () => {
      problem = this.divergence(ledger)
      return problem === ''
    })
    if (problem !== '')
      throw new Violation('convergence', `${problem} after ${Math.round(this.bound() + CATCH_UP_MS)} ms without faults`)
  }

  private bound(): number {
    const { node, writeMs, delayMs, workMs } = this.options
    return ELECTION_TIMEOUTS * node.electionTimeoutMsMax + GRACE_MS + 200 * (writeMs + delayMs + workMs)
  }

  private async expectProgress(ledger: Ledger, how: string): Promise<void> {
    const { world, probe } = this.deps
    const from = world.now()
    let limit = from + this.bound()
    while (world.now() < limit && world.failure() === null) {
      const leader = this.leaderOf(ledger)
      if (leader?.view && this.awaitsState(leader.view)) limit = from + this.bound() + CATCH_UP_MS
      if (
        leader !== null &&
        (await probe.writeOnce(leader, this.options.node.electionTimeoutMsMax)) &&
        (await probe.readOnce(leader, 500))
      )
        return
      await this.sleep(this.options.node.heartbeatMs)
    }
    if (world.failure() !== null) return
    const states = this.members(ledger).map((machine) => `${machine.name} ${this.describe(machine)}`)
    throw new Violation('liveness', `no progress within ${Math.round(limit - from)} ms ${how}: ${states.join('; ')}`)
  }

  /** Whether a majority needs a voter, made one by force, that has to be sent the whole state before it can hold any entry. */
  private awaitsState({ effective, purged }: RaftView): boolean {
    const canAppend = (id: number): boolean => {
      const last = this.deps.machines.find((machine) => machine.id === id)?.view?.last?.index ?? -1
      return last >= (purged?.index ?? -1)
    }
    return effective.membership.configs.some((config) => config.filter(canAppend).length * 2 <= config.length)
  }

  private leaderOf(ledger: Ledger): Machine | null {
    const leaders = this.members(ledger).filter((machine) => machine.view?.state === 'leader')
    const term = (machine: Machine): number => machine.view?.vote.leaderId.term ?? 0
    return leaders.sort((a, b) => term(b) - term(a))[0] ?? null
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
    for (const id of view.effective.membership.nodes.keys()) {
      const machine = this.deps.machines.find((one) => one.id === id)
      // Who lost its data or never joined waits for an operator.
      if (machine === undefined || machine.lost !== null || !this.isKnown(machine, this.members(ledger))) continue
      if (machine.clusterId !== '' && machine.clusterId !== ledger.clusterId) continue
      const own = machine.view
      if (own === null || own.applied < applied) {
        return `${machine.name} has applied ${own?.applied} of ${applied} (${this.describe(machine)})`
      }
      if (machine.appliedDigest !== leader.appliedDigest)
        return `${machine.name} has another digest than ${leader.name}`
    }
    return ''
  }

  /** Whether the others take this machine for who it is: a wiped one is refused until it is removed and added again. */
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

  /** Breaks what this seed keeps broken; returns how to mend it. */
  private disturb(ledger: Ledger): () => void {
    const { network, world } = this.deps
    const leader = this.leaderOf(ledger)
    const configs = this.members(ledger).flatMap((machine) => machine.view?.effective.membership.configs ?? [])
    const voters = [...new Set(configs.flat())]
    const none = (): void => undefined
    // A single link or disk is spared by a majority only among three and more; and all must know the same voters.
    if (
      this.options.topology === 'whole' ||
      leader === null ||
      configs.some(({ length }) => length < 3 || length !== voters.length)
    )
      return none
    const machines = this.random.shuffle(
      voters.flatMap((id) => this.deps.machines.filter((machine) => machine.id === id)),
    )
    const [a, b] = machines
    if (
      a === undefined ||
      b === undefined ||
      machines.some((machine) => machine.lost !== null || machine.view?.recovering === true)
    )
      return none
    const members = this.members(ledger)
    if (machines.some((machine) => !members.includes(machine) || !this.isKnown(machine, members))) return none
    switch (this.options.topology) {
      case 'bridge':
        world.census.count('net-bridge')
        network.links.cut(a.id, b.id)
        network.links.cut(b.id, a.id)
        return none
      case 'one-way':
        world.census.count('net-partition-one-way')
        network.links.cut(a.id, b.id)
        return none
      case 'flapping':
        world.census.count('net-flapping')
        return this.flap(a, b)
      case 'slow-disk': {
        world.census.count('disk-slow')
        const { writeMs } = a.weather
        a.weather.writeMs = this.options.node.electionTimeoutMsMin / 2
        return () => {
          a.weather.writeMs = writeMs
        }
      }
    }
  }

  private flap(a: Machine, b: Machine): () => void {
    const { network, world } = this.deps
    let on = true
    let cut = false
    const toggle = (): void => {
      if (!on) return
      cut = !cut
      for (const [from, to] of [
        [a.id, b.id],
        [b.id, a.id],
      ] as const) {
        if (cut) network.links.cut(from, to)
        else network.links.heal(from, to)
      }
      world.after(this.random.between(20, 300), toggle)
    }
    toggle()
    return () => {
      on = false
    }
  }

  private async waitUntil(limit: number, holds: () => boolean): Promise<void> {
    const { world } = this.deps
    while (!holds() && world.now() < limit && world.failure() === null) await this.sleep(20)
  }

  private sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.deps.world.after(delayMs, resolve))
  }
}
