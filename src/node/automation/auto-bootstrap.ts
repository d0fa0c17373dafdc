import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type {
  AutomationPlan,
  FormationDecision,
  FormationRules,
  NodeEndpoints,
  Pledge,
  Sighting,
} from '../../ports/automation.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Candidacy } from '../../ports/transport.ts'
import { clusterIdOf, hasToken, tokenDigest } from '../codec/cluster-id.ts'
import type { Bootstrap } from '../membership/bootstrap.ts'
import type { Faults, Logger, NodeOptions, OwnAudit } from '../options.ts'
import type { AdoptionPolicy } from './adoption-policy.ts'
import type { Pledges } from './pledges.ts'
import type { Replica } from '../replica.ts'
import type { PeerDiscovery } from './peer-discovery.ts'
import { DecisionLog } from './decision-log.ts'
import { membershipOfVoters } from '../membership/api-views.ts'

export interface AutoBootstrapDependencies {
  readonly replica: Replica
  readonly bootstrap: Bootstrap
  readonly peerDiscovery: PeerDiscovery
  readonly pledges: Pledges
  readonly adoption: AdoptionPolicy
  readonly clock: Clock
  readonly logger: Logger
  readonly audit: OwnAudit
  readonly hash: (text: string) => string
  readonly faults: Faults
}

/** How long the first entry may take to reach the disk. */
const FORM_TIMEOUT_MS = 2_000

/** What is shown as the decision. To anybody who asks, a node that gives its pledge or takes it back is still waiting. */
const SHOWN = {
  agree: 'wait',
  withdraw: 'wait',
  wait: 'wait',
  form: 'form',
  join: 'join',
  refuse: 'refuse',
  resume: 'resume',
} as const

/**
 * Forms a cluster when all members agree on one, or waits to be joined to an existing one (raft.md 3).
 *
 * The cluster that this node would form is part of its answers to probes. It may change at any time; the one that the node has pledged itself
 * to may not, until it is proven that nobody can form it any more.
 */
export class AutoBootstrap {
  private readonly options: NodeOptions
  private readonly plan: AutomationPlan
  private readonly deps: AutoBootstrapDependencies
  private readonly rules: FormationRules
  private readonly decisionLog: DecisionLog<(typeof SHOWN)[keyof typeof SHOWN]>
  private readonly startedAt: number
  private published: string | null = null
  /** Members that have given the same pledge as this node, in the same round. */
  private readonly agreed = new Set<number>()
  private agreedOn = ''
  private seen = 1
  /** A step that takes time is in progress: nothing else is decided meanwhile. */
  private acting = false
  private trouble: string | null = null

  constructor(
    options: NodeOptions,
    plan: AutomationPlan,
    { expected, delayMs }: NonNullable<AutomationPlan['formation']>,
    deps: AutoBootstrapDependencies,
  ) {
    this.options = options
    this.plan = plan
    this.deps = deps
    const { clusterToken } = options
    const { hash, clock } = deps
    this.rules = {
      expected,
      delayMs,
      token: tokenDigest(clusterToken, hash),
      carriesToken: (clusterId) => hasToken(clusterId, clusterToken, hash),
      clusterIdOf: (members: readonly NodeEndpoints[]) => clusterIdOf(membershipOfVoters(members), clusterToken, hash),
    }
    this.decisionLog = new DecisionLog('formation', deps)
    this.startedAt = clock.now()
  }

  /** The digest of the token that nodes of this cluster share. */
  get token(): string {
    return this.rules.token
  }

  candidacy(): Candidacy {
    const { current: pledge, round } = this.deps.pledges
    return { token: this.rules.token, proposal: this.published, round, pledge }
  }

  status() {
    const { expected } = this.rules
    const stance = this.decisionLog.view()
    // A member no longer looks around for its cluster: what it knows about the addresses is nothing, or outdated.
    const sightings = stance.decision === 'resume' ? [] : this.deps.peerDiscovery.sightings().map(describe)
    return { ...stance, seen: this.seen, expected, failure: this.trouble, sightings }
  }

  decide(): void {
    if (this.acting) return
    const decision = this.judge()
    const { nodes } = this.deps.replica.raft.effectiveMembership.membership
    this.seen = decision.kind === 'resume' ? Math.max(1, nodes.size) : decision.seen
    // The reasons that kept this node from forming a cluster no longer matter once it forms none.
    if (decision.kind !== 'wait' && decision.kind !== 'form' && decision.kind !== 'agree') this.trouble = null
    this.decisionLog.note(SHOWN[decision.kind], decision.reason, { seen: this.seen, expected: this.rules.expected })
    this.published = decision.proposal?.clusterId ?? null
    switch (decision.kind) {
      case 'agree':
        return this.act(() => this.agree(decision.proposal, decision.round))
      case 'withdraw':
        return this.act(() => this.deps.pledges.withdraw())
      case 'form':
        return this.act(() => this.form(decision.proposal))
      default:
    }
  }

  private judge(): FormationDecision {
    const { replica, peerDiscovery, clock, pledges } = this.deps
    const { id, addresses, incarnation } = this.options
    const { last } = replica.raft.view()
    const sightings = peerDiscovery.sightings()
    if (replica.ownCluster.id === null) this.deps.adoption.remember(sightings)
    this.count(sightings)
    const self = {
      id,
      raft: addresses.raft,
      api: addresses.api,
      incarnation,
      clusterId: replica.ownCluster.id,
      hasLog: last !== null,
      initialized: this.isInitialized,
      proposal: this.published,
      round: pledges.round,
      pledge: pledges.current,
      agreed: this.agreed,
    }
    return this.plan.judges.decideFormation(this.rules, {
      self,
      sinceStartMs: clock.now() - this.startedAt,
      metCluster: pledges.metCluster,
      sightings,
      discoveryProblem: peerDiscovery.problem,
    })
  }

  private get isInitialized(): boolean {
    const { last, vote } = this.deps.replica.raft.view()
    return last !== null || vote.leaderId.term > 0
  }

  /** A node that was heard to agree has agreed for good: its pledge is on its disk. */
  private count(sightings: readonly Sighting[]): void {
    const { current, round } = this.deps.pledges
    const pledge = current === null ? '' : `${round} ${current.clusterId}`
    if (pledge !== this.agreedOn) this.agreed.clear()
    this.agreedOn = pledge
    if (current === null) return
    for (const sighting of sightings) {
      if (sighting.kind !== 'node') continue
      const { id, clusterId, candidacy } = sighting.node
      const isSame = candidacy?.pledge?.clusterId === current.clusterId && candidacy.round === round
      const isMember = current.members.some((member) => member.id === id)
      if (isMember && (isSame || clusterId === current.clusterId)) this.agreed.add(id)
    }
  }

  private act(step: () => Promise<void>): void {
    this.acting = true
    step().then(
      () => {
        this.acting = false
      },
      (error: unknown) => {
        this.acting = false
        if (!(error instanceof RequestError)) return this.deps.faults.report(error)
        this.trouble = `${error.code}: ${error.message}`
        this.deps.logger.info({ code: error.code, detail: error.message }, 'formation postponed')
      },
    )
  }

  /**
   * The members of a list that nobody has agreed to yet are asked once more: sightings may be old, and a pledge that leads nowhere delays
   * everybody.
   */
  private async agree(proposal: Pledge, shared: number | null): Promise<void> {
    const { bootstrap: formation, pledges, logger } = this.deps
    if (shared === null) await formation.confirm(proposal, this.plan.probeTimeoutMs)
    const round = shared ?? Math.max(pledges.round, ...this.roundsOf(proposal)) + 1
    // This node may have been brought into a cluster while it was asking.
    if (this.isInitialized || round <= pledges.round || round > limits.pledgeRoundsMax) return
    await pledges.give(proposal, round)
    this.trouble = null
    logger.info(
      { clusterId: proposal.clusterId, members: proposal.members.map(({ id }) => id), round },
      'cluster formation agreed',
    )
  }

  private roundsOf({ members }: Pledge): number[] {
    return this.deps.peerDiscovery.sightings().flatMap((sighting) => {
      if (sighting.kind !== 'node' || !members.some(({ id }) => id === sighting.node.id)) return []
      return [sighting.node.candidacy?.round ?? 0]
    })
  }

  private async form({ members, clusterId }: Pledge): Promise<void> {
    const { bootstrap: formation, logger, audit } = this.deps
    await formation.initialize(members, 'appended', FORM_TIMEOUT_MS, { agreed: true })
    this.trouble = null
    logger.info({ clusterId, members: members.map(({ id }) => id) }, 'cluster formed')
    const reason = `the members have agreed to form cluster ${clusterId}`
    audit.tell({ operation: 'initializeCluster', by: 'formation', asked: { members }, reason })
  }
}

function describe(sighting: Sighting) {
  const { address } = sighting
  if (sighting.kind !== 'node') return { address, node: null, detail: sighting.detail }
  const { id, clusterId, candidacy } = sighting.node
  if (clusterId !== null) return { address, node: id, detail: `belongs to cluster ${clusterId}` }
  const detail =
    candidacy === null ? 'has no cluster, and waits to be initialized or added by request' : 'has no cluster yet'
  return { address, node: id, detail }
}
