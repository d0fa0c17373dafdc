import { RequestError, type ErrorCode } from '../../../src/lib/errors.ts'
import { SeededRandom } from '../../../src/lib/random.ts'
import type { Logger, NodeOptions } from '../../../src/node/options.ts'
import type { MemberSpec } from '../../../src/api/cluster.ts'
import type { NodeAddresses, NodeId } from '../../../src/raft/index.ts'
import { nodeId, sameLeaderId } from '../../../src/raft/index.ts'
import { LoopbackHub } from '../../../src/transport/loopback.ts'
import type { Client } from './client.ts'
import { addressesOf, Machine } from './machine.ts'
import { VirtualClock } from './virtual-clock.ts'
import { noInterference, Wire } from './wire.ts'

/** The part of a tap test that the harness uses. */
export interface Harness {
  teardown(callback: () => Promise<void>): void
}

export interface LogLine {
  readonly node: number
  readonly level: string
  readonly event: string
  readonly facts: object
}

const LINES_MAX = 400

export function specOf(id: number): MemberSpec {
  return { id, ...addressesOf(id) }
}

export function specsOf(ids: readonly number[]): MemberSpec[] {
  return ids.map(specOf)
}

/** Machines on one network inside this process, in virtual time. */
export class TestCluster {
  readonly clock = new VirtualClock()
  readonly hub: LoopbackHub
  readonly interference = noInterference()
  readonly machines = new Map<number, Machine>()
  readonly lines: LogLine[] = []
  private readonly copies: Machine[] = []
  /** Processes that stopped themselves: an error unless a test has arranged for it (and then takes it out). */
  readonly faults: { readonly node: number; readonly error: Error }[] = []

  constructor(t: Harness, ids: readonly number[], options: Partial<NodeOptions> = {}) {
    this.hub = new LoopbackHub({ clock: this.clock, random: new SeededRandom(4711) })
    for (const id of ids) this.machines.set(id, this.machine(id, options))
    this.clock.start()
    t.teardown(async () => {
      for (const machine of [...this.machines.values(), ...this.copies]) if (machine.isUp) await machine.crash()
      this.clock.stop()
      const [fault] = this.faults
      if (fault !== undefined) throw new Error(`node ${fault.node} stopped itself`, { cause: fault.error })
    })
  }

  /** A machine of its own at `addresses` with what is on the disk of machine `id` now. Its lines are logged as those of `name`. */
  copyOf(id: number, addresses: NodeAddresses, name: number): Machine {
    const copy = this.machine(id, {}, name)
    copy.copyFrom(this.at(id))
    copy.addresses = addresses
    this.copies.push(copy)
    return copy
  }

  private machine(id: number, options: Partial<NodeOptions>, name = id): Machine {
    const { clock, hub, interference } = this
    return new Machine(id, {
      clock,
      join: (node, address, life) => new Wire(hub.join(node, address), { interference, life }),
      logger: () => this.loggerOf(name),
      onFault: (node, error) => this.faults.push({ node, error }),
      options,
    })
  }

  at(id: number): Machine {
    const machine = this.machines.get(id)
    if (machine === undefined) throw new Error(`there is no machine ${id}`)
    return machine
  }

  on(id: number): Client {
    return this.at(id).client
  }

  get up(): Machine[] {
    return [...this.machines.values()].filter(({ isUp }) => isUp)
  }

  async start(...ids: readonly number[]): Promise<void> {
    for (const id of ids) await this.at(id).start()
  }

  async restart(id: number): Promise<Client> {
    if (this.at(id).isUp) await this.at(id).crash()
    return this.at(id).start()
  }

  /** Fails with what the nodes said last unless `holds` within `ms` of virtual time. */
  async until(what: string, holds: () => boolean, ms = 20_000): Promise<void> {
    if (await this.clock.until(holds, ms)) return
    const seen = this.up.map(({ id, view }) => `${id}: ${JSON.stringify({ ...view, effective: undefined })}`)
    const lines = this.lines.slice(-60).map(({ node, event, facts }) => `${node} ${event} ${JSON.stringify(facts)}`)
    throw new Error(`not within ${ms} ms: ${what}\n${seen.join('\n')}\n${lines.join('\n')}`)
  }

  pass(ms: number): Promise<boolean> {
    return this.clock.pass(ms)
  }

  /** The node that leads under the highest ballot, if any. */
  leaderOrNull(): Machine | null {
    let best: Machine | null = null
    for (const machine of this.up) {
      if (machine.view.state !== 'leader') continue
      if (best === null || machine.view.vote.leaderId.term > best.view.vote.leaderId.term) best = machine
    }
    return best
  }

  /** Waits until one node of `among` leads, the others of them follow it, and it has committed an entry of its own. */
  async leader(among: readonly number[] = this.up.map(({ id }) => id)): Promise<number> {
    let found = 0
    await this.until(`a leader of ${among.join(', ')}`, () => {
      const machines = among.map((id) => this.at(id)).filter(({ isUp }) => isUp)
      const leader = machines.find(({ view }) => view.state === 'leader' && view.established)
      if (leader === undefined) return false
      const { leaderId } = leader.view.vote
      found = leader.id
      return machines.every(
        ({ view }) => view.leader === leader.id && view.vote.committed && sameLeaderId(view.vote.leaderId, leaderId),
      )
    })
    return found
  }

  /** Starts `ids` and forms one cluster of them; returns the leader, when it has written down who they are. */
  async form(ids: readonly number[] = [...this.machines.keys()]): Promise<number> {
    for (const id of ids) if (!this.at(id).isUp) await this.at(id).start()
    await this.on(ids[0] ?? 1).initialize(specsOf(ids))
    const leader = await this.leader(ids)
    if (ids.length > 1) await this.identified(ids, leader)
    return leader
  }

  /** Waits until the membership that `leader` has committed names the incarnations of `ids`. */
  async identified(ids: readonly number[], leader: number): Promise<void> {
    await this.until(`the membership says who ${ids.join(', ')} are`, () => {
      const { nodes } = this.at(leader).view.committedMembership.membership
      return ids.every((id) => nodes.get(nodeId(id))?.incarnation !== undefined)
    })
  }

  /** Waits until `ids` have applied everything that any of them has committed, and have equal digests. */
  async settled(ids: readonly number[] = this.up.map(({ id }) => id)): Promise<void> {
    await this.until(`nodes ${ids.join(', ')} have applied the same`, () => {
      const machines = ids.map((id) => this.at(id))
      const last = Math.max(...machines.map(({ view }) => view.last?.index ?? -1))
      return machines.every(({ applied, view }) => applied === last && view.committed === last)
    })
    const digests = new Set(ids.map((id) => this.on(id).status().digest))
    if (digests.size !== 1) throw new Error(`the digests of ${ids.join(', ')} differ: ${[...digests].join(' ')}`)
  }

  /** Nobody in `side` hears anybody outside it any more, nor the other way round. */
  partition(side: readonly number[]): void {
    for (const [from, to] of this.pairs()) if (side.includes(from) !== side.includes(to)) this.hub.cut(from, to)
  }

  heal(): void {
    for (const [from, to] of this.pairs()) this.hub.heal(from, to)
  }

  cut(from: number, to: number): void {
    this.hub.cut(nodeId(from), nodeId(to))
  }

  private pairs(): [NodeId, NodeId][] {
    const ids = [...this.machines.values()].map(({ id }) => id)
    return ids.flatMap((from) => ids.filter((to) => to !== from).map((to): [NodeId, NodeId] => [from, to]))
  }

  private loggerOf(node: number): Logger {
    const log =
      (level: string) =>
      (facts: object, event: string): void => {
        if (level === 'debug') return
        this.lines.push({ node, level, event, facts })
        if (this.lines.length > LINES_MAX) this.lines.shift()
      }
    return { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') }
  }
}

/** The error that `promise` rejects with; throws when it resolves, or rejects with anything but a `RequestError` of `code`. */
export async function refused(promise: Promise<unknown>, ...codes: readonly ErrorCode[]): Promise<RequestError> {
  const outcome = await promise.then(
    (value) => ({ value }),
    (error: unknown) => error,
  )
  if (outcome instanceof RequestError && codes.includes(outcome.code)) return outcome
  if (outcome instanceof RequestError)
    throw new Error(`expected ${codes.join(' or ')}, got ${outcome.code}: ${outcome.message}`)
  if (outcome instanceof Error) throw outcome
  throw new Error(`expected ${codes.join(' or ')}, got ${JSON.stringify(outcome)}`)
}
