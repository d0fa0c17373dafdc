import type { Clock } from '../ports/clock.ts'
import type { PeerMessage, SnapshotSource } from '../ports/transport.ts'
import type { AppendRequest, LogIndex, NodeId, Raft, RaftMessage, Term } from '../raft/index.ts'
import { contradictionIn, membershipProblem, offerContradictionIn, sameLeaderId } from '../raft/index.ts'
import type { LeaderCalls } from './requests/leader-calls.ts'
import type { RaftDriver } from './driver/raft-driver.ts'
import { readAppend } from './codec/entry.ts'
import type { Forwarded } from './requests/forwarded.ts'
import type { Freshness } from './requests/freshness.ts'
import type { Peers } from './peers/peers.ts'
import type { Proposals } from './requests/proposals.ts'
import type { Reads } from './requests/reads.ts'
import type { Suspension } from './driver/suspension.ts'
import { TermBudget } from './peers/term-budget.ts'
import type { SnapshotGate } from './snapshots/snapshot-receiver.ts'

export interface InboxDependencies {
  readonly driver: RaftDriver
  readonly peers: Peers
  readonly forwarded: Forwarded
  readonly proposals: Proposals
  readonly reads: Reads
  readonly leaderCalls: LeaderCalls
  readonly freshness: Freshness
  readonly suspension: Suspension
  readonly clock: Clock
  readonly applier: { readonly appliedIndex: LogIndex }
}

/**
 * Where messages from peers enter the node. Three questions come before anything is believed: whether this peer may say it (`PeerRoles`),
 * whether a sound member can say it at all, and whether elections explain its term. A message that fails the first is ignored, since it may
 * just be late. A message that fails one of the others is refused and reported, and its connection is closed: nothing from a socket reaches
 * an assertion.
 */
export class Inbox implements SnapshotGate {
  private readonly deps: InboxDependencies
  private readonly terms: TermBudget
  private closed = false

  constructor(deps: InboxDependencies) {
    this.deps = deps
    const { clock, driver } = deps
    this.terms = new TermBudget(
      () => clock.now(),
      () => driver.raft.vote.leaderId.term,
    )
  }

  /** Null for a message that was taken or ignored; otherwise why the connection that it came on must be closed. */
  take(message: PeerMessage): string | null {
    const { peers } = this.deps
    if (this.closed || !peers.speaksForUs(message)) return null
    const fault = this.hand(message)
    if (fault !== null) peers.complaints.add(message.from, `${message.type}: ${fault}`)
    return fault
  }

  /** From now on every message is ignored. */
  close(): void {
    this.closed = true
  }

  /** Why no state may be taken from this sender, whatever else is in progress; null when nothing speaks against it. */
  refuse({ from, header }: SnapshotSource): string | null {
    const { peers, driver } = this.deps
    if (!peers.maySendState(from)) return `this node does not know node ${from} as one that may lead this cluster`
    const fault =
      offerContradictionIn(driver.raft, from, header) ??
      membershipProblem(header.membership.membership) ??
      this.termFault(header.vote.leaderId.term)
    if (fault !== null) peers.complaints.add(from, `snapshot: ${fault}`)
    return fault
  }

  /** Whether the core wants a state that was not refused. */
  offer({ from, header }: SnapshotSource): ReturnType<Raft['offerSnapshot']> {
    const { peers, driver, clock } = this.deps
    return driver.input(() => driver.raft.offerSnapshot(clock.now(), from, header), peers.adoptionFrom(from))
  }

  onNewerState(from: NodeId, detail: string): void {
    this.deps.peers.newerBuilds.add(from, `snapshot: ${detail}`)
  }

  private hand(message: PeerMessage): string | null {
    const { forwarded, proposals, reads, leaderCalls, peers } = this.deps
    switch (message.type) {
      case 'forward-request':
        return forwarded.onRequest(message)
      case 'forward-refusal':
        proposals.onRefusal(message)
        return null
      case 'read-index-request':
        reads.onRequest(message)
        return null
      case 'read-index-response':
        reads.onResponse(message)
        return null
      case 'control-request':
      case 'control-response':
        return leaderCalls.onMessage(message)
      case 'append-request': {
        const read = readAppend(message)
        if (read.kind === 'unsound') return read.detail
        if (read.kind === 'sound') return this.onRaftMessage(read.message)
        const fault = this.faultOf(message)
        if (fault === null) peers.newerBuilds.add(message.from, `${message.type}: ${read.detail}`)
        return fault
      }
      default:
        return this.onRaftMessage(message)
    }
  }

  private onRaftMessage(message: RaftMessage): string | null {
    const { driver, clock, peers, suspension } = this.deps
    const { raft } = driver
    suspension.look()
    const fault = this.faultOf(message)
    if (fault !== null) return fault
    const receive = (): void => {
      raft.receive(clock.now(), message)
      // Before the effects are carried out, because they may depend on what else the leader says in this message.
      if (message.type === 'append-request') this.onAppendRequest(message)
    }
    driver.input(receive, peers.adoptionFrom(message.from))
    return null
  }

  private faultOf(message: RaftMessage): string | null {
    return contradictionIn(this.deps.driver.raft, message) ?? this.termFault(message.vote.leaderId.term)
  }

  private termFault(term: Term): string | null {
    return this.terms.isExceededBy(term) ? `term ${term}, which is higher than elections can explain` : null
  }

  private onAppendRequest(message: AppendRequest): void {
    const { driver, peers, freshness, clock, applier } = this.deps
    if (driver.raft.leader !== message.from || !sameLeaderId(driver.raft.vote.leaderId, message.vote.leaderId)) return
    peers.removal.onLeaderHeard()
    freshness.onLeaderHeard(message, clock.now(), applier.appliedIndex)
  }
}
