import type { ClusterStatus } from '../../api/cluster.ts'
import { limits } from '../../limits.ts'
import type { AutomationPlan, NodeFacts, NodeEndpoints } from '../../ports/automation.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Candidacy, Hello } from '../../ports/transport.ts'
import { indexOf, nodeId, sameLeaderId } from '../../raft/index.ts'
import { reachable } from '../../lib/host-port.ts'
import { leaderRequests } from '../requests/leader-requests.ts'
import type { Changes } from '../membership/changes.ts'
import type { AdoptionPolicy } from './adoption-policy.ts'
import { AutoBootstrap } from './auto-bootstrap.ts'
import type { Bootstrap } from '../membership/bootstrap.ts'
import type { Faults, Logger, NodeOptions, OwnAudit } from '../options.ts'
import type { Pledges } from './pledges.ts'
import type { Replica } from '../replica.ts'
import type { PeerDiscovery } from './peer-discovery.ts'
import { MembershipAutopilot, type Candidates } from './membership-autopilot.ts'

export interface AutomationDependencies {
  readonly replica: Replica
  readonly bootstrap: Bootstrap
  readonly changes: Changes
  readonly pledges: Pledges
  readonly adoption: AdoptionPolicy
  /** Null when this node does not look for others. */
  readonly peerDiscovery: PeerDiscovery | null
  readonly clock: Clock
  readonly logger: Logger
  readonly audit: OwnAudit
  readonly hash: (text: string) => string
  readonly faults: Faults
}

/** What a node does on its own, in the form that it shows. */
export type AutomationStatus = Pick<ClusterStatus, 'formation' | 'joining' | 'autopilot'>

/** After this many times the longest election timeout without a leader, a member looks for the others where discovery leads. */
const LOST_TIMEOUTS = 2
/** A leader asks around less often than a node that looks for a cluster, by this factor. */
const LEADER_PACE = 4
const PASS_ON_TIMEOUT_MS = 2_000
const NOTHING: ReadonlySet<string> = new Set()

export const MANUAL: AutomationStatus = {
  formation: {
    mode: 'manual',
    decision: 'none',
    reason: 'clusters are formed and joined by request',
    sinceMs: 0,
    seen: 0,
    expected: null,
    failure: null,
    sightings: [],
  },
  joining: { mode: 'off', decision: 'none', reason: 'automatic joining is off', sinceMs: 0, failure: null },
  autopilot: { mode: 'off', decision: 'none', reason: 'the autopilot is off', sinceMs: 0 },
}

/** What a node does about its cluster unasked: looks for peers, forms or joins a cluster, and as leader takes care of the membership. */
export class Automation implements Candidates {
  private readonly plan: AutomationPlan
  private readonly deps: AutomationDependencies
  private readonly peerDiscovery: PeerDiscovery | null
  private readonly autoBootstrap: AutoBootstrap | null
  private readonly membershipAutopilot: MembershipAutopilot
  /** Addresses of nodes that want to join, of which the leader is being told, and until when it need not be told again. */
  private readonly passedOn = new Map<string, number>()
  private stage = ''
  /** Since when no leader has been heard; null while one is heard. */
  private leaderlessSince: number | null = null
  private readonly silentAfterMs: number
  private readonly lostAfterMs: number
  private cancelTurn: (() => void) | null = null
  private stopped = false

  constructor(options: NodeOptions, plan: AutomationPlan, deps: AutomationDependencies) {
    this.plan = plan
    this.deps = deps
    this.silentAfterMs = options.electionTimeoutMsMax
    this.lostAfterMs = this.silentAfterMs * LOST_TIMEOUTS
    const { formation } = plan
    this.peerDiscovery = deps.peerDiscovery
    this.autoBootstrap =
      formation === null || this.peerDiscovery === null
        ? null
        : new AutoBootstrap(options, plan, formation, { ...deps, peerDiscovery: this.peerDiscovery })
    this.membershipAutopilot = new MembershipAutopilot(options, plan, { ...deps, candidates: this })
    deps.replica.leaderCalls.handle(leaderRequests.join, async ({ raft }) => this.invite(raft))
  }

  start(): void {
    this.turn()
  }

  stop(): void {
    this.stopped = true
    this.cancelTurn?.()
    this.peerDiscovery?.stop()
  }

  candidacy(): Candidacy | null {
    return this.autoBootstrap?.candidacy() ?? null
  }

  /** A node was admitted that asks who this node is. If it is not a member, it may want to become one. */
  onHello({ purpose, from, addresses }: Hello): void {
    if (this.peerDiscovery === null || purpose !== 'probe' || from === 0 || addresses.raft === '') return
    const { replica, clock } = this.deps
    const { state, leader, last, effective } = replica.raft.view()
    if (effective.membership.nodes.has(from)) return
    if (state === 'leader') return void this.invite(addresses.raft)
    if (leader === null || last === null || !isAddress(addresses.raft)) return
    const now = clock.now()
    for (const [address, until] of this.passedOn) if (until <= now) this.passedOn.delete(address)
    if (this.passedOn.has(addresses.raft) || this.passedOn.size >= limits.membersMax) return
    this.passedOn.set(addresses.raft, now + PASS_ON_TIMEOUT_MS)
    // If this fails, the node that wants to join asks again.
    replica.leaderCalls
      .call(
        leaderRequests.join,
        { raft: addresses.raft },
        { timeoutMs: PASS_ON_TIMEOUT_MS, repeatable: true, behalf: 'node' },
      )
      .catch(() => undefined)
  }

  status(): AutomationStatus {
    const { autoBootstrap } = this
    const formation =
      autoBootstrap === null ? MANUAL.formation : { mode: 'automatic' as const, ...autoBootstrap.status() }
    return { formation, ...this.membershipAutopilot.status() }
  }

  joinable(): readonly NodeEndpoints[] {
    const sightings = this.peerDiscovery?.sightings() ?? []
    return sightings.flatMap((sighting) => {
      if (sighting.kind !== 'node') return []
      const { id, raft, api } = sighting.node
      return this.isPristine(sighting.node) || this.isStray(sighting.node) ? [{ id, raft, api }] : []
    })
  }

  private turn(): void {
    if (this.stopped) return
    if (this.peerDiscovery !== null) this.lookAround(this.peerDiscovery)
    this.autoBootstrap?.decide()
    this.membershipAutopilot.decide()
    this.cancelTurn = this.deps.clock.after(this.plan.intervalMs, () => this.turn())
  }

  private lookAround(peerDiscovery: PeerDiscovery): void {
    const { state, last, effective } = this.deps.replica.raft.view()
    const isLost = this.isLost()
    // A node that was pristine when it was asked may since have been a member and have been removed. It must not be taken in again.
    const stage = `${state === 'leader'} ${isLost} ${indexOf(effective.logId)}`
    if (stage !== this.stage) peerDiscovery.forget()
    this.stage = stage
    if (last === null) peerDiscovery.look(1, NOTHING)
    else if (this.deps.replica.peers.removal.isValid) peerDiscovery.look(LEADER_PACE, NOTHING)
    // A follower is found by its leader, so it need not look around. Nor need a leader that takes no nodes in.
    else if (state === 'leader' && this.plan.formation?.autoJoin === true)
      peerDiscovery.look(LEADER_PACE, new Set([...effective.membership.nodes.values()].map(({ raft }) => raft)))
    else if (isLost) this.lookForMembers(peerDiscovery)
  }

  /** Whether no leader has been heard for so long that all other members may have moved to other addresses. */
  private isLost(): boolean {
    const { state, leaderHeardAt } = this.deps.replica.raft.view()
    const now = this.deps.clock.now()
    const isLed = state === 'leader' || (leaderHeardAt !== null && now <= leaderHeardAt + this.silentAfterMs)
    if (isLed) this.leaderlessSince = null
    else this.leaderlessSince ??= now
    return this.leaderlessSince !== null && now - this.leaderlessSince >= this.lostAfterMs
  }

  private lookForMembers(peerDiscovery: PeerDiscovery): void {
    for (const sighting of peerDiscovery.sightings())
      if (sighting.kind === 'node') this.deps.replica.peers.onFound({ ...sighting.node, id: nodeId(sighting.node.id) })
    peerDiscovery.look(1, NOTHING)
  }

  /** A node at `raft` wants to join. A leader that takes no nodes in does not ask it anything. */
  private invite(raft: string): null {
    if (this.plan.formation?.autoJoin === true && isAddress(raft)) this.peerDiscovery?.add(raft)
    return null
  }

  /** A node that has agreed to form another cluster would follow no leader of this one. */
  private isPristine({ clusterId, initialized, candidacy }: NodeFacts): boolean {
    if (clusterId !== null || initialized || candidacy === null) return false
    const { token, pledge } = candidacy
    const isFree = pledge === null || pledge.clusterId === this.deps.replica.ownCluster.id
    return isFree && token === this.autoBootstrap?.token
  }

  /**
   * Whether a leader began to take the node in, and was unseated before the others had heard of it: the entry that made the node a learner
   * did not stay in the log, or never came to the node, which has followed the leader and holds nothing. By contrast, the membership entry
   * that a removed node knows is in the log, or was purged from it. Or the node was a voter, and may hold an entry of its own that no other
   * node has.
   */
  private isStray({ id, clusterId, hasLog, hadLeader, members, voters, membershipAt }: NodeFacts): boolean {
    const { raft, ownCluster } = this.deps.replica
    const { established, last } = raft.view()
    if (clusterId !== ownCluster.id || !established) return false
    if (membershipAt === null) return !hasLog && hadLeader
    if (!members.includes(id) || voters.includes(id)) return false
    const leaderId = raft.leaderIdAt(membershipAt.index)
    return leaderId === null ? membershipAt.index > indexOf(last) : !sameLeaderId(leaderId, membershipAt.leaderId)
  }
}

/** Whether `text` is an address at which a node could be reached. It comes from a node that wants to join, and nobody has checked it. */
function isAddress(text: string): boolean {
  return text.length <= limits.probedAddressCharactersMax && reachable(text).ok
}
