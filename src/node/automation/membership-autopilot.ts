import { dropOldest } from '../../lib/drop-oldest.ts'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type {
  AutomationPlan,
  AutopilotDecision,
  JoiningDecision,
  MemberFacts,
  MembershipFacts,
  NodeEndpoints,
} from '../../ports/automation.ts'
import type { Clock } from '../../ports/clock.ts'
import type { NodeId, RaftView } from '../../raft/index.ts'
import { indexOf } from '../../raft/index.ts'
import type { VoterChange } from '../../api/services.ts'
import { WARRANT_OF_NODE } from '../requests/warrant.ts'
import type { Changes } from '../membership/changes.ts'
import type { Faults, Logger, NodeOptions, OwnAudit, OwnChange } from '../options.ts'
import type { Replica } from '../replica.ts'
import { Attention } from './attention.ts'
import { DecisionLog } from './decision-log.ts'
import { votersOfMembership } from '../membership/api-views.ts'

/** Finds nodes that could become members. */
export interface Candidates {
  /** Those that are there. Some of them may be members already. */
  joinable(): readonly NodeEndpoints[]
}

export interface MembershipAutopilotDependencies {
  readonly replica: Replica
  readonly changes: Changes
  readonly clock: Clock
  readonly logger: Logger
  readonly audit: OwnAudit
  readonly candidates: Candidates
  readonly faults: Faults
}

/** Moments on the monotonic clock. */
interface Look {
  readonly now: number
  /** Silence counts from then on: before that, this node stood still. */
  readonly attentiveSince: number
}

/** A change of the membership that follows from a decision about node `id`. */
interface Step extends Pick<OwnChange, 'operation' | 'by' | 'asked' | 'reason'> {
  readonly id: number
}

const CHANGE_TIMEOUT_MS = 10_000
const LEAVE = { timeoutMs: CHANGE_TIMEOUT_MS, warrant: WARRANT_OF_NODE } as const
/** After this many intervals, a node that could not be taken in is tried again. */
const PUT_OFF_INTERVALS = 10

/** The leader's part of the automation: takes nodes in, promotes them to voters, and removes those that are gone. One change at a time. */
export class MembershipAutopilot {
  private readonly options: NodeOptions
  private readonly plan: AutomationPlan
  private readonly deps: MembershipAutopilotDependencies
  private readonly joining: DecisionLog<JoiningDecision['kind']>
  private readonly autopilot: DecisionLog<AutopilotDecision['kind']>
  private readonly attention: Attention
  /** The node that each log's last decision is about. */
  private readonly subjects = new Map<object, number>()
  /** Since when each learner has kept up. */
  private readonly stableSince = new Map<NodeId, number>()
  /** Since when this leader has had each node among its members: a node is not missed from before that. */
  private readonly memberSince = new Map<NodeId, number>()
  private readonly putOff = new Map<number, number>()
  /** What made the last change of a node fail, by node id; the latest is last. */
  private readonly troubles = new Map<number, string>()
  private changing = false

  constructor(options: NodeOptions, plan: AutomationPlan, deps: MembershipAutopilotDependencies) {
    this.options = options
    this.plan = plan
    this.deps = deps
    this.joining = new DecisionLog('joining', deps)
    this.autopilot = new DecisionLog('autopilot', deps)
    this.attention = new Attention({ gapMsMax: plan.intervalMs + options.electionTimeoutMsMin }, deps)
  }

  status() {
    const { autopilot, formation } = this.plan
    const mode: 'on' | 'off' = formation?.autoJoin === true ? 'on' : 'off'
    return {
      joining: { mode, ...this.joining.view(), failure: [...this.troubles.values()].at(-1) ?? null },
      autopilot: { mode: autopilot.mode, ...this.autopilot.view() },
    }
  }

  decide(): void {
    const facts = this.look()
    if (!facts.leading) this.troubles.clear()
    if (this.changing) return
    const { judges, autopilot, stabilizationMs } = this.plan
    const decision = judges.decideAutopilot({ ...autopilot, stabilizationMs }, facts)
    this.note(this.autopilot, decision, decision.kind === 'none' ? null : decision.id, facts.leading)
    if (decision.kind !== 'none' && autopilot.mode === 'on' && !this.putOff.has(decision.id)) {
      return this.replace(decision)
    }
    const joining = judges.decideJoining(
      {
        autoJoin: this.plan.formation?.autoJoin ?? false,
        votersTarget: this.plan.formation?.votersTarget ?? 0,
        stabilizationMs,
        membersMax: limits.membersMax,
      },
      facts,
    )
    this.note(this.joining, joining, idOf(joining), facts.leading)
    if (joining.kind !== 'none') return this.join(joining)
    // No node is waiting to be tried again.
    if (this.putOff.size === 0) this.troubles.clear()
  }

  /** A change that is tried again and again without success stays the current decision between the attempts, and is logged once. */
  private note<Kind extends string>(
    decisionLog: DecisionLog<Kind>,
    { kind, reason }: { readonly kind: Kind; readonly reason: string },
    id: number | null,
    leading: boolean,
  ): void {
    const last = this.subjects.get(decisionLog)
    const isPause = id === null && leading && last !== undefined && this.putOff.has(last)
    if (isPause || (id !== null && this.troubles.has(id))) return
    if (id === null) this.subjects.delete(decisionLog)
    else this.subjects.set(decisionLog, id)
    decisionLog.note(kind, reason, Object.is(decisionLog, this.autopilot) ? { mode: this.plan.autopilot.mode } : {})
  }

  private replace(decision: Exclude<AutopilotDecision, { kind: 'none' }>): void {
    const { id, reason } = decision
    const why = { id, by: 'autopilot', reason } as const
    switch (decision.kind) {
      case 'replace-voter':
        return this.setVoters(why, { add: [decision.by], remove: [id] })
      case 'remove-voter':
        return this.setVoters(why, { add: [], remove: [id] })
      case 'remove-learner': {
        const step = { ...why, operation: 'removeLearner', asked: { id } }
        return this.change(step, () => this.deps.changes.removeLearner(id, LEAVE))
      }
    }
  }

  private join(decision: Exclude<JoiningDecision, { kind: 'none' }>): void {
    const { changes } = this.deps
    const why = { by: 'joining', reason: decision.reason } as const
    if (decision.kind === 'promote')
      return this.setVoters({ ...why, id: decision.id }, { add: [decision.id], remove: [] })
    if (decision.kind === 'move') {
      const { members } = decision
      const [first] = members
      if (first === undefined) return
      const step = { ...why, id: first.id, operation: 'setAddresses', asked: { members } }
      return this.change(step, () => changes.moveMembers(members, CHANGE_TIMEOUT_MS))
    }
    const { member } = decision
    const step = { ...why, id: member.id, operation: 'addLearner', asked: member }
    this.change(step, () => changes.addLearner({ member, wait: false }, LEAVE))
  }

  private setVoters(why: Pick<Step, 'id' | 'by' | 'reason'>, voters: VoterChange['voters']): void {
    const change = { voters, retain: false, allowLagging: false, force: false, ifMembershipAt: null }
    const step = { ...why, operation: 'changeVoters', asked: voters }
    this.change(step, () => this.deps.changes.changeVoters(change, LEAVE))
  }

  private change({ id, ...told }: Step, begin: () => Promise<unknown>): void {
    const { clock, logger, audit, faults } = this.deps
    this.changing = true
    begin().then(
      () => {
        this.changing = false
        this.troubles.delete(id)
        audit.tell(told)
      },
      (error: unknown) => {
        this.changing = false
        if (!(error instanceof RequestError)) return faults.report(error)
        const { code, message: detail } = error
        this.putOff.set(id, clock.now() + PUT_OFF_INTERVALS * this.plan.intervalMs)
        const isNew = this.remember(id, `node ${id}: ${code}: ${detail}`)
        logger[isNew ? 'warn' : 'debug']({ id, code, detail }, 'automatic membership change failed')
        // The same failure, again and again, is told of once.
        if (isNew) audit.tell({ ...told, code, detail })
      },
    )
  }

  /** Whether this trouble with the node differs from the last one. */
  private remember(id: number, trouble: string): boolean {
    const isNew = this.troubles.get(id) !== trouble
    this.troubles.delete(id)
    this.troubles.set(id, trouble)
    dropOldest(this.troubles, limits.membersMax)
    return isNew
  }

  private look(): MembershipFacts {
    const { replica, clock } = this.deps
    const now = clock.now()
    const attentiveSince = this.attention.look()
    const view = replica.raft.view()
    const leading = view.state === 'leader'
    for (const [id, until] of this.putOff) if (until <= now) this.putOff.delete(id)
    const { membership } = view.effective
    const voters = votersOfMembership(membership)
    const members = [...membership.nodes.keys()].sort((a, b) => a - b)
    for (const since of [this.stableSince, this.memberSince])
      for (const id of since.keys()) if (!leading || !membership.nodes.has(id)) since.delete(id)
    const facts = (ids: readonly NodeId[]): MemberFacts[] =>
      ids.map((id) => this.member(view, id, { now, attentiveSince }))
    return {
      leading,
      ledMs: leading ? now - Math.max(replica.journal.ledSince, attentiveSince) : 0,
      settled: this.isSettled(view),
      voters: facts(members.filter((id) => voters.has(id))),
      learners: facts(members.filter((id) => !voters.has(id))).filter(({ id }) => !this.putOff.has(id)),
      joinable: leading ? this.deps.candidates.joinable().filter(({ id }) => !this.putOff.has(id)) : [],
      moved: leading ? replica.peers.announcedAddresses.moved.filter(({ id }) => !this.putOff.has(id)) : [],
    }
  }

  private isSettled({ effective, committedMembership, established, transferringTo }: RaftView): boolean {
    const isCommitted = indexOf(committedMembership.logId) >= indexOf(effective.logId)
    return isCommitted && effective.membership.configs.length === 1 && established && transferringTo === null
  }

  private member(view: RaftView, id: NodeId, { now, attentiveSince }: Look): MemberFacts {
    if (id === view.id) return { id, self: true, live: true, silentMs: 0, stableMs: 0 }
    const heardAt = view.followers.find((one) => one.id === id)?.heardAt ?? null
    const memberSince = this.memberSince.get(id) ?? now
    if (view.state === 'leader') this.memberSince.set(id, memberSince)
    const silentMs = now - Math.max(heardAt ?? -Infinity, memberSince, attentiveSince)
    const live = heardAt !== null && now - heardAt <= this.options.electionTimeoutMsMax
    const stable = view.state === 'leader' && live && this.deps.changes.isCaughtUp(id)
    if (!stable) this.stableSince.delete(id)
    else if (!this.stableSince.has(id)) this.stableSince.set(id, now)
    const since = this.stableSince.get(id)
    return { id, self: false, live, silentMs, stableMs: since === undefined ? null : now - since }
  }
}

function idOf(decision: JoiningDecision): number | null {
  switch (decision.kind) {
    case 'none':
      return null
    case 'promote':
      return decision.id
    case 'add-learner':
      return decision.member.id
    case 'move':
      return decision.members[0]?.id ?? null
  }
}
