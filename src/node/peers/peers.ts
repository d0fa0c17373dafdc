import type { Hello, NodeReport, PeerMessage, Refusal, Transport } from '../../ports/transport.ts'
import { toError } from '../../lib/to-error.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Membership, NodeAddresses, NodeId, StoredMembership } from '../../raft/index.ts'
import { Callers } from './callers.ts'
import { Complaints } from './complaints.ts'
import { Incarnations } from './incarnations.ts'
import { Leavers } from './leavers.ts'
import type { Logger, PeerRegister } from '../options.ts'
import { foreignCluster, idInUse, lostItsData, reachedItself, refusal, sameId, stranger } from './refusals.ts'
import { RefusalLog } from './refusal-log.ts'
import { RemovalNotice } from './removal-notice.ts'
import { DialAddresses } from './dial-addresses.ts'
import { Standings, type Introduction } from './standing.ts'
import { IncarnationAttestations } from './incarnation-attestations.ts'
import { Warnings, wrongToken, type Warning } from './warnings.ts'
import { Whereabouts, type Found } from './whereabouts.ts'

export interface PeersOptions {
  readonly id: NodeId
  readonly incarnation: string
  /** The addresses that this node tells others. */
  readonly addresses: NodeAddresses
  /** How long a node that left the membership stays connected, so that it can learn that it left. */
  readonly lingerMs: number
  readonly callersMax: number
}

export interface PeersDependencies {
  readonly transport: Transport
  readonly clock: Clock
  readonly register: PeerRegister
  readonly logger: Logger
  readonly clusterId: () => string | null
  /** Whether a cluster of this id can be ours: its id carries our token. */
  readonly acceptsClusterId: (clusterId: string) => boolean
  /** Whether this node, while it has no cluster, may take part in this one. `isLed`: the leader of that cluster is calling. */
  readonly mayAdopt: (clusterId: string, isLed: boolean) => boolean
  readonly effective: () => StoredMembership
  /** Whether this node is being sent entries that others have committed. */
  readonly isBehind: () => boolean
  readonly onFault: (error: Error) => void
}

/** A cluster, and the member through which a node came to it. */
export interface Adoption {
  readonly clusterId: string
  readonly from: NodeId
}

const ROUTE_PATIENCE_MS = 500
/** At most this many times `callersMax` nodes are remembered: members, those that leave, callers, and those that called before. */
const STRANGERS_SHARE = 5
const PROBE_TIMEOUT_MS = 2_000

/**
 * Which nodes may talk to this node, and which it keeps connections to.
 *
 * A cluster is identified by its id; a node by its id and its incarnation, which is drawn when its data directory is created. Peers
 * remember the incarnation of every member, also across restarts, so that a voter that lost its data can neither vote nor acknowledge until
 * it has been removed and added again (raft.md 4).
 */
export class Peers {
  private readonly options: PeersOptions
  private readonly deps: PeersDependencies
  private readonly incarnations: Incarnations
  private readonly clusterIds = new Map<NodeId, string>()
  private readonly callers: Callers
  private readonly leavers: Leavers
  private listed: ReadonlyMap<NodeId, NodeAddresses> = new Map()
  /** The members in the last committed membership that this node knows. */
  private confirmed: ReadonlyMap<NodeId, NodeAddresses> = new Map()
  private readonly dials: DialAddresses
  private readonly warned: Warnings
  private readonly complaints: Complaints
  private readonly refusals: RefusalLog
  private readonly attestations: IncarnationAttestations
  private readonly standings: Standings
  readonly whereabouts: Whereabouts
  readonly removal: RemovalNotice

  constructor(options: PeersOptions, deps: PeersDependencies) {
    this.options = options
    this.deps = deps
    this.warned = new Warnings(deps.logger)
    this.complaints = new Complaints(() => deps.clock.now(), deps.logger)
    this.refusals = new RefusalLog(() => deps.clock.now(), deps.logger)
    this.whereabouts = new Whereabouts({
      warned: this.warned,
      isThere: (id) => id === options.id || deps.transport.isConnected(id),
    })
    const { effective, isBehind } = deps
    this.removal = new RemovalNotice({ id: options.id, effective, isBehind, warned: this.warned })
    this.callers = new Callers(options.callersMax)
    this.leavers = new Leavers(options.lingerMs, {
      clock: deps.clock,
      onGone: (id, raft, departed) => this.onGone(id, raft, departed),
    })
    this.incarnations = new Incarnations(options, {
      register: deps.register,
      // The connection leads to a node that no longer has, or does not yet have, the known incarnation: it is made anew, and refused.
      onMistaken: (id) => this.connect(id),
      onFault: (error) => deps.onFault(toError(error)),
    })
    this.attestations = new IncarnationAttestations({
      transport: deps.transport,
      clock: deps.clock,
      addresses: () => this.addressesOfOthers(),
      effectiveAt: () => deps.effective().logId,
      isTrusted: ({ id, clusterId, incarnation }) =>
        clusterId === deps.clusterId() && this.incarnations.of(id) === incarnation,
      onFault: (error) => deps.onFault(toError(error)),
    })
    const { incarnations, attestations } = this
    const { clusterId, acceptsClusterId, mayAdopt } = deps
    const isNamed = (id: NodeId): boolean => this.isNamed(id)
    this.standings = new Standings({ incarnations, attestations, clusterId, acceptsClusterId, mayAdopt, isNamed })
    this.dials = new DialAddresses({
      now: () => deps.clock.now(),
      isConnected: (id) => deps.transport.isConnected(id),
      patienceMs: ROUTE_PATIENCE_MS,
      saidMax: options.callersMax * STRANGERS_SHARE,
    })
  }

  load(): Promise<void> {
    return this.incarnations.load()
  }

  judgeOwnToken(): void {
    const id = this.deps.clusterId()
    if (id !== null && !this.deps.acceptsClusterId(id)) this.warned.raise('wrong-token', 'self', wrongToken(id))
  }

  /** From now on nothing is written down or connected. */
  stop(): void {
    this.leavers.stop()
  }

  get warnings(): readonly Warning[] {
    const { warning } = this.complaints
    return warning === null ? this.warned.all : [...this.warned.all, warning]
  }

  /** `peer` said something that no sound member says. */
  complain(peer: NodeId, detail: string): void {
    this.complaints.add(peer, detail)
  }

  isMember(peer: NodeId): boolean {
    return this.standings.of(peer, this.introductionOf(peer)) === 'member'
  }

  /** Whether `peer` may send this node a state. */
  maySendState(peer: NodeId): boolean {
    return this.standings.maySendState(peer, this.introductionOf(peer))
  }

  /** What members that refuse this node because it lost its data say about it; null when there are none. */
  lostMembership(): string | null {
    return this.warned.detailOf('wiped-voter', 'self-')
  }

  /** The cluster that a message of `peer` would bring this node into; null when the peer has not named one. */
  adoptionFrom(peer: NodeId): Adoption | null {
    const clusterId = this.clusterIds.get(peer)
    return clusterId === undefined ? null : { clusterId, from: peer }
  }

  /**
   * This node has joined a cluster. On its present connections it introduced itself as a node without a cluster. They are made anew, so
   * that nodes of other clusters refuse it. Only the member that brought the cluster, if there was one, knows already.
   */
  onJoined(from: NodeId | null): void {
    const address =
      from === null ? undefined : (this.callers.addressOf(from) ?? this.dials.addressOf(from) ?? undefined)
    this.deps.transport.setPeers(from === null || address === undefined ? new Map() : new Map([[from, address]]))
    this.connect()
  }

  /** Whether `message` may reach the core: its sender has the incarnation that it is known by, and may send such a message. */
  speaksForUs(message: PeerMessage): boolean {
    const { from: peer } = message
    if (!this.standings.maySay(message, this.introductionOf(peer))) return false
    const uncalled = this.callers.takeUncalled(peer)
    if (uncalled !== null) this.addCaller(peer, uncalled)
    if (this.dials.onHeard(peer)) this.connect()
    return true
  }

  admit(hello: Hello): Refusal | null {
    if (hello.purpose === 'probe' && hello.from === 0) return null
    const { from } = hello
    if (from === 0) return refusal('bad-hello', 'only a probe may leave out who it is from')
    if (hello.to !== 0 && hello.to !== this.options.id) {
      return refusal(
        'wrong-node',
        `this is node ${this.options.id}, not node ${hello.to}: correct the address of node ${hello.to}`,
      )
    }
    const reason = this.refuse(from, hello.clusterId, hello.incarnation)
    if (reason !== null || hello.purpose === 'probe') return reason
    // Any node may ask who this node is; only a known peer may say anything.
    if (this.standings.of(from, hello) === 'stranger') return stranger(this.options.id, this.deps.clusterId(), from)
    this.meet(from, hello.clusterId, hello.incarnation)
    this.addCaller(from, hello.addresses.raft)
    this.whereabouts.compare(from, hello.addresses)
    if (this.dials.announce(from, hello.addresses.raft)) this.connect()
    return null
  }

  admitReport(peer: NodeId, report: NodeReport): Refusal | null {
    if (report.id !== peer) {
      const detail = `the address of node ${peer} leads to node ${report.id}: correct the address of node ${peer}`
      this.warned.raise('wrong-node', String(peer), detail)
      return refusal('wrong-node', detail)
    }
    const reason = this.refuse(peer, report.clusterId, report.incarnation)
    if (reason !== null) return reason
    this.meet(peer, report.clusterId, report.incarnation)
    this.removal.onReport(report)
    if (!this.incarnations.isMistaken(peer)) this.attestations.onReport(report)
    return null
  }

  /** At a peer's address, a node refused us or was refused. An operator should know what a peer says about this node. */
  onRefused(peer: NodeId, refused: Refusal, by: 'peer' | 'us'): void {
    const { code, detail } = refused
    this.refusals.add(peer, refused, by)
    if (by === 'peer') this.warned.onRefusedBy(peer, refused)
    if (code !== 'wrong-node') return
    this.warned.raise('wrong-node', String(peer), detail)
    if (this.dials.onFailed(peer)) this.connect()
  }

  /** A node found at `raft`, by discovery or because it asks to join, says that it is this member. The handshake checks whether it is. */
  onFound({ id, clusterId, incarnation, raft }: Found): void {
    if (id === this.options.id || !this.listed.has(id) || (clusterId !== null && clusterId !== this.deps.clusterId()))
      return
    if ((this.incarnations.of(id) ?? incarnation) === incarnation && this.dials.announce(id, raft)) this.connect()
  }

  onConnected(peer: NodeId): void {
    this.refusals.over(peer, 'both')
    this.warned.clearBy(peer)
    this.dials.onConnected(peer)
  }

  /** The membership changed: connections and memory follow it. `confirmed`: the last committed membership. */
  onMembership(membership: Membership, confirmed: Membership): void {
    this.confirmed = confirmed.nodes
    for (const [id, addresses] of this.listed)
      if (!membership.nodes.has(id)) this.leave(id, this.dials.addressOf(id) ?? addresses.raft)
    this.listed = membership.nodes
    const unproven = this.dials.update(membership.nodes)
    for (const [id, { incarnation }] of membership.nodes) {
      // What the leader knew about a member when it added the member outweighs what this node remembers: it may have missed a replacement.
      if (incarnation !== undefined) this.incarnations.replace(id, incarnation)
      this.incarnations.settle(id)
      this.leavers.remove(id)
      this.callers.remove(id)
    }
    this.whereabouts.onMembership(membership.nodes)
    this.whereabouts.compare(this.options.id, this.options.addresses)
    this.connect()
    for (const id of unproven) this.proveAddress(id)
  }

  /** A membership is committed: a node that is not in it may come back with other data. */
  onCommittedMembership(membership: Membership): void {
    for (const id of this.incarnations.knownIds) {
      if (membership.nodes.has(id) || this.listed.has(id)) continue
      // Messages still meant for the member that leaves must not reach a node that has taken its place with an empty disk.
      if (this.leavers.has(id)) this.leavers.depart(id)
      else this.incarnations.forget(id)
    }
  }

  /**
   * No process listens where `id` is dialled. If `id` is a caller, calling it back is pointless until it is heard again. Returns whether
   * its process can be taken for gone.
   */
  onUnreachable(id: NodeId): boolean {
    const isGone = this.dials.isWhereItLives(id)
    const raft = this.callers.addressOf(id)
    if (raft !== undefined) {
      this.callers.giveUp(id, raft)
      this.connect()
    } else if (this.dials.onFailed(id)) {
      this.connect()
    }
    return isGone
  }

  /** No answer came from where `id` is dialled. That says nothing about its process: it may live at its other address. */
  onUnanswered(id: NodeId): void {
    if (this.dials.onFailed(id)) this.connect()
  }

  /** A node was probed as a new learner: from now on this incarnation of it counts. */
  expect(id: NodeId, incarnation: string): void {
    if (!this.listed.has(id)) this.incarnations.meet(id, incarnation)
  }

  /** The incarnation by which a member is known, or null. */
  incarnationOf(id: NodeId): string | null {
    return this.incarnations.of(id)
  }

  private introductionOf(id: NodeId): Introduction {
    return { clusterId: this.clusterIds.get(id) ?? null, incarnation: this.incarnations.metAs(id) }
  }

  /** Whether the effective membership names it, the committed one does, or one that it has only just left. */
  private isNamed(id: NodeId): boolean {
    return this.listed.has(id) || this.confirmed.has(id) || this.leavers.has(id)
  }

  private refuse(from: NodeId, clusterId: string | null, incarnation: string): Refusal | null {
    const { id: self } = this.options
    if (from === self) return incarnation === this.options.incarnation ? reachedItself(from) : sameId(from)
    const ours = this.deps.clusterId()
    if (clusterId !== null && (ours === null ? !this.deps.acceptsClusterId(clusterId) : ours !== clusterId)) {
      const foreign = foreignCluster(self, ours, from, clusterId)
      this.warned.raise('foreign-cluster', String(from), foreign.detail)
      return foreign
    }
    const expected = this.incarnations.of(from)
    if (expected === null || expected === incarnation || this.attestations.vouchFor(from, incarnation)) return null
    if (this.incarnations.metAs(from) === expected && this.deps.transport.isConnected(from)) return idInUse(from)
    this.attestations.ask(from)
    const lost = lostItsData(from, expected, incarnation)
    if (this.listed.has(from)) this.warned.raise('wiped-voter', String(from), lost.detail)
    return lost
  }

  private meet(id: NodeId, clusterId: string | null, incarnation: string): void {
    this.incarnations.meet(id, incarnation)
    this.forgetStrangers()
    if (clusterId === null) this.clusterIds.delete(id)
    else this.clusterIds.set(id, clusterId)
    this.warned.clearOf(id)
    this.refusals.over(id, 'us')
    if (this.listed.has(id)) this.incarnations.settle(id)
  }

  /** Any node may call under any id, so only a limited number of nodes without a connection is remembered. */
  private forgetStrangers(): void {
    if (this.incarnations.metCount <= this.options.callersMax * STRANGERS_SHARE) return
    const isKept = (id: NodeId): boolean => this.isNamed(id) || this.callers.has(id)
    this.incarnations.forgetMet(isKept)
    for (const id of this.clusterIds.keys()) if (!isKept(id)) this.clusterIds.delete(id)
  }

  private addCaller(id: NodeId, raft: string): void {
    if (raft !== '' && !this.listed.has(id) && this.callers.add(id, raft)) this.connect()
  }

  /** Warnings about a member do not apply to a node that left: an operator has done what they asked for, or something else. */
  private leave(id: NodeId, raft: string): void {
    this.warned.clearOf(id)
    this.warned.clearBy(id)
    if (id !== this.options.id) this.leavers.add(id, raft)
  }

  private onGone(id: NodeId, raft: string, departed: boolean): void {
    this.callers.giveUp(id, raft)
    this.connect()
    if (departed) this.incarnations.forget(id)
  }

  /** `anew`: a peer whose connection, if there is one, must be replaced. */
  private connect(anew: NodeId | null = null): void {
    const peers = new Map<NodeId, string>(this.callers.all)
    for (const [id, raft] of this.leavers.addresses()) peers.set(id, raft)
    for (const [id, raft] of this.addressesOfOthers()) peers.set(id, raft)
    peers.delete(this.options.id)
    if (anew !== null) this.deps.transport.setPeers(new Map([...peers].filter(([id]) => id !== anew)))
    this.deps.transport.setPeers(peers)
  }

  private addressesOfOthers(): Map<NodeId, string> {
    const addresses = new Map([...this.listed].map(([id, { raft }]) => [id, this.dials.addressOf(id) ?? raft]))
    addresses.delete(this.options.id)
    return addresses
  }

  /** A connected member is dialled at its new address as soon as it answers there. */
  private proveAddress(id: NodeId): void {
    const raft = this.listed.get(id)?.raft
    if (raft === undefined) return
    this.deps.transport
      .probe(raft, PROBE_TIMEOUT_MS)
      .then((outcome) => {
        if (outcome.kind === 'answered' && outcome.report.id === id && this.dials.prove(id, raft)) this.connect()
      })
      .catch((error: unknown) => this.deps.onFault(toError(error)))
  }
}
