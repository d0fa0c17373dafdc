import { RequestError } from '../lib/errors.ts'
import type {
  AutomationPlan,
  FormationDecision,
  FormationRules,
  Place,
  Proposal,
  Sighting,
} from '../ports/automation.ts'
import type { Clock } from '../ports/clock.ts'
import type { Candidacy } from '../ports/transport.ts'
import { clusterIdOf, hasToken, tokenDigest } from './cluster-id.ts'
import type { Formation } from './formation.ts'
import type { Logger, NodeOptions } from './options.ts'
import type { Replica } from './replica.ts'
import type { Scout } from './scout.ts'
import { Verdict } from './verdict.ts'
import { membershipOfVoters } from './views.ts'

export interface FounderDependencies {
  readonly replica: Replica
  readonly formation: Formation
  readonly scout: Scout
  readonly clock: Clock
  readonly logger: Logger
  readonly hash: (text: string) => string
  readonly onFault: (error: Error) => void
}

/**
 * Forms a cluster when everybody agrees on one, or waits to be joined to one that exists (raft.md 3).
 *
 * What this node would form is part of what it answers to probes. A proposal that does not hold any more is withdrawn for longer
 * than an answer can be on its way before another takes its place: nobody acts on two proposals of one node at the same time.
 */
export class Founder {
  private readonly options: NodeOptions
  private readonly plan: AutomationPlan
  private readonly deps: FounderDependencies
  private readonly rules: FormationRules
  private readonly verdict: Verdict
  private readonly startedAt: number
  private published: string | null = null
  private lastPublished: string | null = null
  private withdrawnUntil = -Infinity
  private metCluster: string | null = null
  private seen = 1
  private forming = false
  private trouble: string | null = null

  constructor(
    options: NodeOptions,
    plan: AutomationPlan,
    { expected, delayMs }: NonNullable<AutomationPlan['formation']>,
    deps: FounderDependencies,
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
      clusterIdOf: (members: readonly Place[]) => clusterIdOf(membershipOfVoters(members), clusterToken, hash),
    }
    this.verdict = new Verdict('formation', deps)
    this.startedAt = clock.now()
  }

  /** The digest of the token that nodes of this cluster share. */
  get token(): string {
    return this.rules.token
  }

  candidacy(): Candidacy {
    return { token: this.rules.token, proposal: this.published }
  }

  /**
   * What this node proposes is a promise to whoever asked last whether it still does: until the time for that is over it takes part in
   * no other cluster. Two lists that share members could otherwise both find a majority. Nor does it help a cluster to its first leader
   * (`isLed` is false) that was begun beside one it has met.
   */
  mayAdopt(clusterId: string, isLed: boolean): boolean {
    const isPromised = this.published !== null || this.deps.clock.now() < this.withdrawnUntil
    if (isPromised && clusterId !== this.lastPublished) return false
    this.remember(this.deps.scout.sightings())
    return isLed || this.metCluster === null || clusterId === this.metCluster
  }

  status() {
    const { expected } = this.rules
    const stance = this.verdict.view()
    // A member does not look around for its cluster any more: what it knows of the addresses is nothing, or old.
    const sightings = stance.decision === 'resume' ? [] : this.deps.scout.sightings().map(describe)
    return { ...stance, seen: this.seen, expected, failure: this.trouble, sightings }
  }

  decide(): void {
    // While the others are asked a last time, what this node proposes must not change.
    if (this.forming) return
    const decision = this.judge()
    const { nodes } = this.deps.replica.raft.effectiveMembership.membership
    this.seen = decision.kind === 'resume' ? Math.max(1, nodes.size) : decision.seen
    // What came in the way of forming a cluster does not matter to a node that forms none.
    if (decision.kind !== 'wait' && decision.kind !== 'form') this.trouble = null
    this.verdict.note(decision.kind, decision.reason, { seen: this.seen, expected: this.rules.expected })
    this.publish(decision.proposal?.clusterId ?? null)
    if (decision.kind === 'form') this.form(decision.proposal)
  }

  private judge(): FormationDecision {
    const { replica, scout, clock } = this.deps
    const { id, addresses, incarnation } = this.options
    const { last, vote } = replica.raft.view()
    const sightings = scout.sightings()
    this.remember(sightings)
    const self = {
      id,
      raft: addresses.raft,
      api: addresses.api,
      incarnation,
      clusterId: replica.clusterIdentity,
      hasLog: last !== null,
      initialized: last !== null || vote.leaderId.term > 0,
      proposal: this.published,
    }
    return this.plan.judges.decideFormation(this.rules, {
      self,
      sinceStartMs: clock.now() - this.startedAt,
      metCluster: this.metCluster,
      sightings,
      discoveryProblem: scout.problem,
    })
  }

  /** A cluster does not end because its members are away for a while: nobody who has met it forms another in its place. */
  private remember(sightings: readonly Sighting[]): void {
    for (const sighting of sightings) {
      if (sighting.kind !== 'node' || !sighting.node.hadLeader) continue
      const { clusterId } = sighting.node
      if (clusterId !== null && this.rules.carriesToken(clusterId)) this.metCluster = clusterId
    }
  }

  private publish(wish: string | null): void {
    if (wish === this.published) return
    const now = this.deps.clock.now()
    if (this.published !== null) {
      this.published = null
      this.withdrawnUntil = now + 2 * this.plan.probeTimeoutMs
    }
    if (wish === null || (wish !== this.lastPublished && now < this.withdrawnUntil)) return
    this.published = wish
    this.lastPublished = wish
  }

  private form({ members, clusterId }: Proposal): void {
    const { formation, logger, onFault } = this.deps
    this.forming = true
    // The others are asked once more within half of this time: no longer than a proposal stays withdrawn.
    const timeoutMs = 2 * this.plan.probeTimeoutMs
    formation.initialize(members, 'appended', timeoutMs, { agreed: true }).then(
      () => {
        this.forming = false
        this.trouble = null
        logger.info({ clusterId, members: members.map(({ id }) => id) }, 'cluster formed')
      },
      (error: unknown) => {
        this.forming = false
        if (!(error instanceof RequestError)) return onFault(error instanceof Error ? error : new Error(String(error)))
        this.trouble = `${error.code}: ${error.message}`
        logger.info({ code: error.code, detail: error.message }, 'formation put off')
      },
    )
  }
}

function describe(sighting: Sighting) {
  const { address } = sighting
  if (sighting.kind !== 'node') return { address, node: null, detail: sighting.detail }
  const { id, clusterId, candidacy } = sighting.node
  if (clusterId !== null) return { address, node: id, detail: `belongs to cluster ${clusterId}` }
  const detail = candidacy === null ? 'has no cluster; waits for a request' : 'has no cluster yet'
  return { address, node: id, detail }
}
