import type { Hello, NodeReport, PeerMessage, Refusal } from '../../ports/transport.ts'
import type { Membership, NodeAddresses, NodeId } from '../../raft/index.ts'
import { Briefing } from './briefing.ts'
import { Callers } from './callers.ts'
import { ClusterBounds, type Allegiance } from './cluster-bounds.ts'
import { Complaints, newerBuild, unsoundPeer } from './complaints.ts'
import { Connector } from './connector.ts'
import { Incarnations } from './incarnations.ts'
import { Leavers } from './leavers.ts'
import type { Adoption, PeersDependencies, PeersOptions } from './peers-options.ts'
import { idInUse, lostItsData, reachedItself, refusal, sameId, stranger } from './refusals.ts'
import { RefusalLog } from './refusal-log.ts'
import { RemovalNotice } from './removal-notice.ts'
import { DialAddresses } from './dial-addresses.ts'
import { Doubles, type Caller } from './doubles.ts'
import { PeerRoles, type Introduction } from './peer-roles.ts'
import { IncarnationAttestations } from './incarnation-attestations.ts'
import { Warnings, wrongToken, type Warning } from './warnings.ts'
import { AnnouncedAddresses, type Found } from './announced-addresses.ts'

const ROUTE_PATIENCE_MS = 500
/** At most this many times `callersMax` nodes are remembered: members, those that leave, callers, and those that called before. */
const STRANGERS_SHARE = 5

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
  private readonly bounds: ClusterBounds
  private readonly callers: Callers
  private readonly leavers: Leavers
  private listed: ReadonlyMap<NodeId, NodeAddresses> = new Map()
  /** The members in the last committed membership that this node knows. */
  private confirmed: ReadonlyMap<NodeId, NodeAddresses> = new Map()
  private readonly dials: DialAddresses
  private readonly connector: Connector
  private readonly doubles: Doubles
  private readonly warned: Warnings
  private readonly refusals: RefusalLog
  private readonly attestations: IncarnationAttestations
  private readonly briefing: Briefing
  private readonly roles: PeerRoles
  readonly announcedAddresses: AnnouncedAddresses
  readonly removal: RemovalNotice
  readonly complaints: Complaints
  readonly newerBuilds: Complaints
  private stopped = false

  constructor(options: PeersOptions, deps: PeersDependencies) {
    this.options = options
    this.deps = deps
    this.warned = new Warnings(deps.logger)
    this.complaints = new Complaints(unsoundPeer, () => deps.clock.now(), deps.logger)
    this.newerBuilds = new Complaints(newerBuild, () => deps.clock.now(), deps.logger)
    this.refusals = new RefusalLog(() => deps.clock.now(), deps.logger)
    this.announcedAddresses = new AnnouncedAddresses({
      warned: this.warned,
      isThere: (id) => id === options.id || deps.transport.isConnected(id),
    })
    const { raft, backlog, ownCluster, token, adoption, faults } = deps
    this.removal = new RemovalNotice({ id: options.id, raft, backlog, warned: this.warned })
    this.bounds = new ClusterBounds(options, deps)
    this.callers = new Callers(options.callersMax)
    this.leavers = new Leavers(options.lingerMs, {
      clock: deps.clock,
      onGone: (id, raft, departed) => this.onGone(id, raft, departed),
    })
    this.incarnations = new Incarnations(options, {
      register: deps.register,
      known: deps.known,
      // The connection leads to a node that no longer has, or does not yet have, the known incarnation: it is made anew, and refused.
      onMistaken: (id) => this.connector.connect(id),
      faults,
    })
    this.attestations = new IncarnationAttestations({
      transport: deps.transport,
      clock: deps.clock,
      addresses: () => this.connector.addressesOfMembers(),
      raft,
      isTrusted: ({ id, clusterId, incarnation }) =>
        clusterId === ownCluster.id && this.incarnations.of(id) === incarnation,
      faults,
    })
    const { incarnations, attestations } = this
    this.briefing = new Briefing({ incarnations, raft })
    const isNamed = (id: NodeId): boolean => this.isNamed(id)
    const hasLostData = (): boolean => this.lostMembership() !== null
    this.roles = new PeerRoles({ incarnations, attestations, ownCluster, token, adoption, isNamed, hasLostData })
    this.dials = new DialAddresses({
      now: () => deps.clock.now(),
      isConnected: (id) => deps.transport.isConnected(id),
      patienceMs: ROUTE_PATIENCE_MS,
      saidMax: options.callersMax * STRANGERS_SHARE,
    })
    const { dials, callers, leavers } = this
    this.connector = new Connector(options.id, {
      transport: deps.transport,
      dials,
      callers,
      leavers,
      listed: () => this.listed,
      faults,
    })
    this.doubles = new Doubles({
      now: () => deps.clock.now(),
      logger: deps.logger,
      probe: (raft, timeoutMs) => deps.transport.probe(raft, timeoutMs),
      listedAt: (id) => this.listed.get(id)?.raft ?? null,
      dialledAt: (id) => this.dials.addressOf(id),
      onAlone: ({ id, addresses }) => {
        if (!this.stopped) this.announcedAddresses.compare(id, addresses)
      },
      onDouble: (caller) => {
        if (!this.stopped) this.onDouble(caller)
      },
      faults,
    })
  }

  judgeOwnToken(): void {
    const id = this.deps.ownCluster.id
    if (id !== null && !this.deps.token.isCarriedBy(id)) this.warned.raise('wrong-token', 'self', wrongToken(id))
  }

  /** From now on nothing is written down or connected. */
  stop(): void {
    this.stopped = true
    this.leavers.stop()
  }

  get warnings(): readonly Warning[] {
    const { warned, doubles, complaints, newerBuilds } = this
    return [...warned.all, ...doubles.warnings, ...complaints.warnings, ...newerBuilds.warnings]
  }

  isMember(peer: NodeId): boolean {
    return this.roles.of(peer, this.introductionOf(peer)) === 'member'
  }

  /** Whether `peer` may send this node a state. */
  maySendState(peer: NodeId): boolean {
    return this.roles.maySendState(peer, this.introductionOf(peer)) && this.briefing.isOver(peer)
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
    this.connector.connect()
  }

  /** Whether `message` may reach the core: its sender has the incarnation that it is known by, and may send such a message. */
  speaksForUs(message: PeerMessage): boolean {
    const { from: peer } = message
    if (!this.roles.maySay(message, this.introductionOf(peer)) || !this.doubles.isHeard(peer)) return false
    const uncalled = this.callers.takeUncalled(peer)
    if (uncalled !== null) this.addCaller(peer, uncalled)
    if (this.dials.onHeard(peer)) this.connector.connect()
    return message.type !== 'append-request' || this.briefing.isOver(peer)
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
    const reason = this.refuse(from, hello, hello.purpose)
    if (reason !== null || hello.purpose === 'probe') return reason
    // Any node may ask who this node is; only a known peer may say anything.
    if (this.roles.of(from, hello) === 'stranger') return stranger(this.options.id, this.deps.ownCluster.id, from)
    const { clusterId, incarnation, addresses } = hello
    this.meet(from, clusterId, incarnation)
    const listed = this.listed.get(from)?.raft ?? addresses.raft
    if (addresses.raft !== '' && addresses.raft !== listed) this.doubles.look({ id: from, incarnation, addresses })
    else this.announcedAddresses.compare(from, addresses)
    const double = this.doubles.refuse(from, addresses.raft)
    if (double !== null) return double
    if (hello.purpose === 'messages') this.doubles.onConnected(from, addresses.raft)
    this.addCaller(from, addresses.raft)
    if (this.dials.announce(from, hello.addresses.raft)) this.connector.connect()
    return null
  }

  admitReport(peer: NodeId, report: NodeReport): Refusal | null {
    if (report.id !== peer) {
      const detail = `the address of node ${peer} leads to node ${report.id}: correct the address of node ${peer}`
      this.warned.raise('wrong-node', String(peer), detail)
      return refusal('wrong-node', detail)
    }
    const reason = this.refuse(peer, report, 'messages')
    if (reason !== null) return reason
    const double = this.doubles.refuse(peer, report.addresses.raft)
    if (double !== null) return double
    this.meet(peer, report.clusterId, report.incarnation)
    this.removal.onReport(report)
    if (this.incarnations.isMistaken(peer)) return null
    this.attestations.onReport(report)
    this.briefing.onReport(report)
    return null
  }

  /** At a peer's address, a node refused us or was refused. An operator should know what a peer says about this node. */
  onRefused(peer: NodeId, refused: Refusal, by: 'peer' | 'us'): void {
    const { code, detail } = refused
    this.refusals.add(peer, refused, by)
    if (by === 'peer') this.warned.onRefusedBy(peer, refused)
    this.compareOwnAddresses()
    if (code === 'wrong-node') this.warned.raise('wrong-node', String(peer), detail)
    else if (code !== 'same-id' || by === 'peer') return
    if (this.dials.onFailed(peer)) this.connector.connect()
  }

  /** A node found at `raft`, by discovery or because it asks to join, says that it is this member. The handshake checks whether it is. */
  onFound({ id, clusterId, incarnation, raft }: Found): void {
    if (id === this.options.id || !this.listed.has(id) || (this.incarnations.of(id) ?? incarnation) !== incarnation)
      return
    if (clusterId !== null && clusterId !== this.deps.ownCluster.id) return
    if (this.doubles.refuse(id, raft) === null && this.dials.announce(id, raft)) this.connector.connect()
  }

  onConnected(peer: NodeId): void {
    this.refusals.over(peer, 'both')
    this.warned.clearBy(peer)
    this.compareOwnAddresses()
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
      // The leader knew the member that it added. This outweighs what this node remembers, which may have missed a replacement.
      if (incarnation !== undefined) this.incarnations.replace(id, incarnation)
      this.incarnations.settle(id)
      this.leavers.remove(id)
      this.callers.remove(id)
    }
    this.announcedAddresses.onMembership(membership.nodes)
    this.doubles.onMembership()
    this.compareOwnAddresses()
    this.connector.connect()
    for (const id of unproven) this.connector.prove(id)
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
      this.connector.connect()
    } else if (this.dials.onFailed(id)) {
      this.connector.connect()
    }
    return isGone
  }

  /** No answer came from where `id` is dialled. That says nothing about its process: it may live at its other address. */
  onUnanswered(id: NodeId): void {
    if (this.dials.onFailed(id)) this.connector.connect()
  }

  /** A node was probed that is about to be a member: this incarnation of it counts then. */
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

  private refuse(from: NodeId, said: Allegiance & Pick<Hello, 'incarnation'>, purpose: Hello['purpose']) {
    const { incarnation } = said
    const { id: self } = this.options
    if (from === self && incarnation === this.options.incarnation) return reachedItself(from)
    const foreign = this.bounds.refuse(from, said)
    if (foreign !== null) {
      // Nodes that look around find those of other clusters as well, which is nothing to correct.
      const isLookingAround = purpose === 'probe' && said.clusterId === null
      if (!isLookingAround) this.warned.raise('foreign-cluster', String(from), foreign.detail)
      return foreign
    }
    if (from === self) return sameId(from)
    const expected = this.incarnations.of(from)
    if (expected === null || expected === incarnation || this.attestations.vouchFor(from, incarnation)) return null
    if (this.incarnations.metAs(from) === expected && this.deps.transport.isConnected(from)) return idInUse(from)
    this.attestations.ask(from)
    const lost = lostItsData(from, expected, incarnation)
    if (this.listed.has(from)) this.warned.raise('wiped-voter', String(from), lost.detail)
    return lost
  }

  private meet(id: NodeId, clusterId: string | null, incarnation: string): void {
    if (this.incarnations.metAs(id) !== incarnation) this.doubles.forget(id)
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
    this.doubles.forgetStrangers(isKept)
    for (const id of this.clusterIds.keys()) if (!isKept(id)) this.clusterIds.delete(id)
  }

  /** A node that others take for a copy should not be listed where it is. */
  private compareOwnAddresses(): void {
    const { id, addresses } = this.options
    if (this.warned.detailOf('same-id', 'self-') === null) this.announcedAddresses.compare(id, addresses)
    else this.announcedAddresses.withdraw(id, addresses.raft)
  }

  /** Two processes run as one member. The caller is the one that does not count. */
  private onDouble({ id, addresses }: Caller): void {
    this.announcedAddresses.withdraw(id, addresses.raft)
    this.connector.prove(id)
  }

  private addCaller(id: NodeId, raft: string): void {
    if (raft !== '' && !this.listed.has(id) && this.callers.add(id, raft)) this.connector.connect()
  }

  /** Warnings about a member do not apply to a node that left: an operator has done what they asked for, or something else. */
  private leave(id: NodeId, raft: string): void {
    this.warned.clearOf(id)
    this.warned.clearBy(id)
    this.doubles.forget(id)
    if (id !== this.options.id) this.leavers.add(id, raft)
  }

  private onGone(id: NodeId, raft: string, departed: boolean): void {
    this.callers.giveUp(id, raft)
    this.connector.connect()
    if (departed) this.incarnations.forget(id)
  }
}
