import { limits } from '../../limits.ts'
import type { ProbeOutcome, Refusal } from '../../ports/transport.ts'
import type { NodeAddresses, NodeId } from '../../raft/index.ts'
import type { Faults, Logger } from '../options.ts'
import { twoProcesses } from './refusals.ts'
import type { Warning } from './warnings.ts'

/** A node that calls, as it describes itself. */
export interface Caller {
  readonly id: NodeId
  readonly incarnation: string
  readonly addresses: NodeAddresses
}

export interface DoublesDependencies {
  /** Monotonic milliseconds. */
  readonly now: () => number
  readonly logger: Logger
  readonly probe: (raftAddress: string, timeoutMs: number) => Promise<ProbeOutcome>
  /** Where the membership has a member, for peers; null for who is none. */
  readonly listedAt: (id: NodeId) => string | null
  /** Where the member is dialled, which may be elsewhere. */
  readonly dialledAt: (id: NodeId) => string | null
  /** Nobody else answers under the caller's id and incarnation: it is where it says. */
  readonly onAlone: (caller: Caller) => void
  /** Another process answers, where the membership has the member if possible: that one counts. */
  readonly onDouble: (caller: Caller) => void
  readonly faults: Faults
}

interface Double {
  /** The addresses of the process that counts and of the other one, for peers. */
  readonly heard: string
  readonly raft: string
  /** When the other one called last. */
  calledAt: number
}

const PROBE_TIMEOUT_MS = 500

/**
 * Two processes under the id and the incarnation of one member: somebody has started a copy of its data directory. Both would acknowledge
 * entries and vote as one voter. They are told apart by the addresses that they say they have.
 *
 * A member that calls from elsewhere than the membership has it has moved, or is a copy. Whenever that happens, the process at the known
 * address is asked who it is. Only when it answers as the same node, after the call, are there two.
 */
export class Doubles {
  private readonly deps: DoublesDependencies
  private readonly doubles = new Map<NodeId, Double>()
  /** The latest caller of each id that is being looked into. */
  private readonly callers = new Map<NodeId, Caller>()
  /** The address of the process on whose connection messages of a member come. */
  private readonly connected = new Map<NodeId, string>()

  constructor(dependencies: DoublesDependencies) {
    this.deps = dependencies
  }

  /** Why the process that calls as `id` from `raft` is refused; null when it is not. */
  refuse(id: NodeId, raft: string): Refusal | null {
    const double = this.doubles.get(id)
    if (double?.raft !== raft) return null
    double.calledAt = this.deps.now()
    return this.refusalOf(id, double)
  }

  /** A member has called: finds out whether another process runs as the same node. */
  look(caller: Caller): void {
    const { id } = caller
    const isLooking = this.callers.has(id)
    this.callers.set(id, caller)
    if (!isLooking) this.lookInto(id).catch((error: unknown) => this.deps.faults.report(error))
  }

  /** From now on messages of `id` come on a connection of the process at `raft`. */
  onConnected(id: NodeId, raft: string): void {
    this.connected.set(id, raft)
  }

  /** Whether messages of `id` come from the process that counts as it. */
  isHeard(id: NodeId): boolean {
    const double = this.doubles.get(id)
    return double === undefined || this.connected.get(id) !== double.raft
  }

  /** The membership has changed: an address that it names is no double's. */
  onMembership(): void {
    for (const [id, { raft }] of this.doubles) if (this.deps.listedAt(id) === raft) this.doubles.delete(id)
  }

  /** No membership names `id` any more, or somebody else is met under this id. */
  forget(id: NodeId): void {
    this.doubles.delete(id)
    this.connected.delete(id)
  }

  forgetStrangers(isKept: (id: NodeId) => boolean): void {
    for (const id of this.connected.keys()) if (!isKept(id)) this.connected.delete(id)
  }

  /** Of doubles that have called of late. */
  get warnings(): readonly Warning[] {
    const since = this.deps.now() - limits.doubleMsMax
    return [...this.doubles].flatMap(([id, double]) =>
      double.calledAt < since ? [] : [{ code: 'same-id', detail: this.refusalOf(id, double).detail }],
    )
  }

  private async lookInto(id: NodeId): Promise<void> {
    for (;;) {
      const caller = this.callers.get(id)
      if (caller === undefined) return
      const heard = await this.otherThan(caller)
      // Another call has come meanwhile. It is looked into next, and this caller may be gone.
      if (this.callers.get(id) !== caller) continue
      this.callers.delete(id)
      if (heard === null) this.onAlone(caller)
      else this.onDouble(caller, heard)
      return
    }
  }

  /** The address of another process that answers as the same node, where it is known to be; null when there is none. */
  private async otherThan({ id, incarnation, addresses }: Caller): Promise<string | null> {
    const known = new Set([this.deps.listedAt(id), this.deps.dialledAt(id)])
    for (const place of known) {
      if (place === null || place === addresses.raft) continue
      const outcome = await this.deps.probe(place, PROBE_TIMEOUT_MS)
      if (outcome.kind !== 'answered') continue
      const { report } = outcome
      const isSameNode = report.id === id && report.incarnation === incarnation
      if (isSameNode && report.addresses.raft !== addresses.raft) return report.addresses.raft
    }
    return null
  }

  private onAlone(caller: Caller): void {
    if (this.doubles.get(caller.id)?.raft === caller.addresses.raft) this.doubles.delete(caller.id)
    this.deps.onAlone(caller)
  }

  private onDouble(caller: Caller, heard: string): void {
    const { id, addresses } = caller
    const before = this.doubles.get(id)
    const double = { heard, raft: addresses.raft, calledAt: this.deps.now() }
    this.doubles.set(id, double)
    if (before?.heard !== heard || before.raft !== double.raft) {
      const { detail } = this.refusalOf(id, double)
      this.deps.logger.warn({ code: 'same-id', detail }, 'warning')
    }
    this.deps.onDouble(caller)
  }

  private refusalOf(id: NodeId, { heard, raft }: Double): Refusal {
    return twoProcesses(id, [heard, raft], this.deps.listedAt(id))
  }
}
