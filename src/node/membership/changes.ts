import type { LearnerAnswer, MemberSpec, MembershipAnswer } from '../../api/cluster.ts'
import type { AddressChange, VoterChange } from '../../api/services.ts'
import { WARRANT_OF_NODE, type Warrant } from '../requests/warrant.ts'
import type { Leave } from '../requests/leader-calls.ts'
import type { LearnerRequest } from '../requests/leader-requests.ts'
import { RequestError } from '../../lib/errors.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Transport } from '../../ports/transport.ts'
import type {
  ChangeOutcome,
  LogId,
  LogIndex,
  MembershipChange,
  NodeAddresses,
  NodeId,
  RaftView,
} from '../../raft/index.ts'
import { indexOf, logIndex, nodeId, sameLeaderId } from '../../raft/index.ts'
import { MemberProbe } from './member-probe.ts'
import type { Replica } from '../replica.ts'
import type { Condition } from '../requests/conditions.ts'
import { logIdView, membershipAnswer, membershipView, votersOfMembership } from './api-views.ts'

export interface ChangesDependencies {
  readonly replica: Replica
  readonly transport: Transport
  readonly clock: Clock
  /** How long after its election a leader may still be waiting to hear from its followers. */
  readonly settlingMs: number
}

/** What is proposed, and until when. */
interface Proposal {
  /** Called for each attempt. */
  readonly change: () => MembershipChange
  /** The index of the membership that it is to follow; null: any. */
  readonly ifAt: LogIndex | null
  readonly deadline: number
  readonly warrant: Warrant
}

const PROBE_TIMEOUT_MS = 2_000
const LISTEN_MS = 10

/**
 * Membership changes on the leader (raft.md 4). Waits where the core says "not now", and turns the core's refusals into the API's errors.
 */
export class Changes {
  private readonly deps: ChangesDependencies
  private readonly probe: MemberProbe

  constructor(deps: ChangesDependencies) {
    this.deps = deps
    this.probe = new MemberProbe(deps)
  }

  /** Resolves when the final configuration is committed. */
  async changeVoters(change: VoterChange, { timeoutMs, warrant }: Leave): Promise<MembershipAnswer> {
    const deadline = this.deps.clock.now() + timeoutMs
    const ifAt = change.ifMembershipAt === null ? null : logIndex(change.ifMembershipAt)
    const outcome = await this.propose({ change: () => this.voterChange(change), ifAt, deadline, warrant })
    if (outcome.kind === 'appended') return this.settled(outcome.logId, deadline)
    return membershipAnswer(outcome.stored, outcome.stored)
  }

  async addLearner({ member, wait }: LearnerRequest, { timeoutMs, warrant }: Leave): Promise<LearnerAnswer> {
    const { clock, replica } = this.deps
    const deadline = clock.now() + timeoutMs
    const id = nodeId(member.id)
    this.checkConflict(member)
    const found = await this.whoIsAt(member, Math.min(PROBE_TIMEOUT_MS, timeoutMs))
    // Members may have left meanwhile: whether the node is a member is checked at the moment of the proposal.
    const change = (): MembershipChange => ({ type: 'add-learner', id, addresses: this.addressesOf(member, found) })
    const outcome = await this.propose({ change, ifAt: null, deadline, warrant })
    const logId = outcome.kind === 'appended' ? outcome.logId : outcome.stored.logId
    if (outcome.kind === 'appended') await this.settled(outcome.logId, deadline)
    if (wait) await replica.conditions.until((view) => this.isCaughtUpIn(view, id), deadline - clock.now())
    return {
      logId: logIdView(logId),
      membership: membershipView(replica.raft.view().effective.membership),
      lag: this.lagOf(id),
      caughtUp: this.isCaughtUp(id),
    }
  }

  async removeLearner(id: number, { timeoutMs, warrant }: Leave): Promise<MembershipAnswer> {
    const deadline = this.deps.clock.now() + timeoutMs
    const change = (): MembershipChange => ({ type: 'remove-learner', id: nodeId(id) })
    const outcome = await this.propose({ change, ifAt: null, deadline, warrant })
    if (outcome.kind === 'appended') return this.settled(outcome.logId, deadline)
    return membershipAnswer(outcome.stored, outcome.stored)
  }

  /**
   * From now on a member, whether it is up or down, is reached at another address. No node has to answer there yet; but if another node
   * answers, or the member without its data, the change is refused.
   */
  async setAddresses(
    { member, force, ifMembershipAt }: AddressChange,
    { timeoutMs, warrant }: Leave,
  ): Promise<MembershipAnswer> {
    const { clock, replica } = this.deps
    const deadline = clock.now() + timeoutMs
    const { raft, api } = member
    const id = nodeId(member.id)
    const ifAt = ifMembershipAt === null ? null : logIndex(ifMembershipAt)
    const known = (): NodeAddresses => {
      const addresses = replica.raft.effectiveMembership.membership.nodes.get(id)
      if (addresses === undefined) throw notAMember(id)
      return addresses
    }
    if (!force && !isAt(known(), member)) {
      this.checkOwner(member)
      await this.probe.ask(member, Math.min(PROBE_TIMEOUT_MS, timeoutMs))
    }
    const change = (): MembershipChange => {
      known()
      return { type: 'set-addresses', moves: [{ id, addresses: { raft, api } }] }
    }
    const outcome = await this.propose({ change, ifAt, deadline, warrant })
    if (outcome.kind === 'appended') return this.settled(outcome.logId, deadline)
    return membershipAnswer(outcome.stored, outcome.stored)
  }

  /** Members that report other addresses than the listed ones, and answer there, are listed at the new addresses: all in one change. */
  async moveMembers(members: readonly MemberSpec[], timeoutMs: number): Promise<MembershipAnswer> {
    const deadline = this.deps.clock.now() + timeoutMs
    const found = await Promise.all(
      members.map((member) => this.isThere(member, Math.min(PROBE_TIMEOUT_MS, timeoutMs / 2))),
    )
    const moves = members
      .filter((_, at) => found[at] === true)
      .map(({ id, raft, api }) => ({ id: nodeId(id), addresses: { raft, api } }))
    if (moves.length === 0) {
      const named = members.map(({ id, raft }) => `node ${id} at ${raft}`).join(', ')
      throw new RequestError('not-ready', `no answer from ${named}`)
    }
    const change = (): MembershipChange => ({ type: 'set-addresses', moves })
    const outcome = await this.propose({ change, ifAt: null, deadline, warrant: WARRANT_OF_NODE })
    if (outcome.kind === 'appended') return this.settled(outcome.logId, deadline)
    return membershipAnswer(outcome.stored, outcome.stored)
  }

  /** Whether the member answers at its address with the data that it joined with. What this node says about itself is true. */
  private async isThere(member: MemberSpec, timeoutMs: number): Promise<boolean> {
    if (nodeId(member.id) === this.deps.replica.raft.view().id) return true
    return (await this.probe.ask(member, timeoutMs)).kind === 'answered'
  }

  /** How many entries node `id` is behind the leader. */
  lagOf(id: NodeId): number {
    const view = this.deps.replica.raft.view()
    if (id === view.id) return 0
    const follower = view.followers.find((one) => one.id === id)
    return indexOf(view.last) - (follower?.matched ?? -1)
  }

  isCaughtUp(id: NodeId): boolean {
    return this.isCaughtUpIn(this.deps.replica.raft.view(), id)
  }

  private isCaughtUpIn(view: RaftView, id: NodeId): boolean {
    const follower = view.followers.find((one) => one.id === id)
    return follower?.caughtUp ?? id === view.id
  }

  private voterChange(change: VoterChange): MembershipChange {
    const { retain, allowLagging, force } = change
    return { type: 'set-voters', voters: this.votersOf(change), retain, allowLagging, force }
  }

  private votersOf({ voters }: VoterChange): NodeId[] {
    if (!('add' in voters)) return voters.map(nodeId)
    const current = votersOfMembership(this.deps.replica.raft.view().effective.membership)
    for (const id of voters.remove) {
      if (!current.delete(nodeId(id))) {
        throw new RequestError('unknown-voter', `node ${id} is not a voter, so it cannot be removed from the voters`, {
          id,
        })
      }
    }
    for (const id of voters.add) current.add(nodeId(id))
    return [...current]
  }

  /** Waits until the change at `logId` is complete. The answer shows that moment, before any later change. */
  private async settled(logId: LogId, deadline: number): Promise<MembershipAnswer> {
    const { replica, clock } = this.deps
    const seen: { fate: Fate; answer: MembershipAnswer | null } = { fate: 'open', answer: null }
    const isOver: Condition = (view) => {
      if (seen.fate !== 'committed') seen.fate = this.fateOf(view, logId)
      if (seen.fate === 'committed' && isSettled(view, logId.index))
        seen.answer ??= membershipAnswer(view.effective, view.committedMembership)
      return seen.fate === 'lost' || seen.fate === 'unknown' || seen.answer !== null
    }
    await replica.conditions.until(isOver, deadline - clock.now())
    if (seen.fate === 'lost') {
      throw new RequestError(
        'no-leader',
        'this node stopped leading before the change was committed; nothing was changed',
      )
    }
    if (seen.answer === null) throw unsettled()
    return seen.answer
  }

  /** What has become of the entry at `logId`, which may be in the log no longer. */
  private fateOf({ committed, purged }: RaftView, logId: LogId): Fate {
    const leaderId = this.deps.replica.raft.leaderIdAt(logId.index)
    // A state from another leader has taken the place of the log before anybody here saw what was committed at this index.
    if (leaderId === null && indexOf(purged) >= logId.index) return 'unknown'
    if (leaderId === null || committed < logId.index) return 'open'
    return sameLeaderId(leaderId, logId.leaderId) ? 'committed' : 'lost'
  }

  /** Proposes the change until the core takes it or refuses it; waits while an earlier change is in progress. */
  private async propose({
    change: makeChange,
    ifAt,
    deadline,
    warrant,
  }: Proposal): Promise<Extract<ChangeOutcome, { kind: 'appended' | 'unchanged' }>> {
    const { replica, clock } = this.deps
    const incarnationOf = (id: NodeId): string | null => replica.peers.incarnationOf(id)
    for (;;) {
      const attempt = (): ChangeOutcome => {
        // Outside of the input: a request that cannot be turned into a change is the client's mistake, not a fault of the core.
        const change = makeChange()
        return replica.request(() => replica.raft.changeMembership(clock.now(), change, ifAt, incarnationOf))
      }
      const outcome = await warrant.use(attempt, deadline)
      if (outcome.kind === 'appended' || outcome.kind === 'unchanged') return outcome
      const wait = this.waitFor(outcome)
      if (wait === null || deadline <= clock.now()) {
        throw outcome.kind === 'learner-not-found' ? this.notALearner(outcome.id) : errorOf(outcome)
      }
      if (wait === 'to hear its followers') {
        await replica.conditions.until(() => false, LISTEN_MS)
        continue
      }
      const before = replica.raft.view()
      await replica.conditions.until((view) => mayChangeNow(before, view), deadline - clock.now())
    }
  }

  private notALearner(id: NodeId): RequestError {
    const isVoter = votersOfMembership(this.deps.replica.raft.effectiveMembership.membership).has(id)
    const detail = isVoter
      ? `node ${id} is a voter: remove it with PATCH /cluster/membership, or quorate cluster remove ${id}`
      : `node ${id} is not a learner of this cluster`
    return new RequestError('learner-not-found', detail, { id })
  }

  /** What has to happen before a refused change may be taken; null when it is refused for good. */
  private waitFor(outcome: ChangeOutcome): 'for the change before' | 'to hear its followers' | null {
    if (outcome.kind === 'in-progress') return 'for the change before'
    // A new leader knows nothing about its followers yet: a node that seems dead or behind may just not have answered.
    const { replica, clock, settlingMs } = this.deps
    const isNew = clock.now() < replica.journal.ledSince + settlingMs
    const isHearsay = outcome.kind === 'quorum-at-risk' || outcome.kind === 'learner-lagging'
    return isNew && isHearsay ? 'to hear its followers' : null
  }

  /** Whether the id or an address is taken is answered by the membership, without asking the network. */
  private checkConflict(member: MemberSpec): void {
    const id = nodeId(member.id)
    const known = this.deps.replica.raft.effectiveMembership.membership.nodes.get(id)
    if (known !== undefined && !isAt(known, member)) throw errorOf({ kind: 'address-conflict', id, addresses: known })
    this.checkOwner(member)
  }

  private checkOwner({ id, raft, api }: MemberSpec): void {
    for (const [other, addresses] of this.deps.replica.raft.effectiveMembership.membership.nodes) {
      if (other !== nodeId(id) && (addresses.raft === raft || addresses.api === api))
        throw errorOf({ kind: 'address-conflict', id: other, addresses })
    }
  }

  /** A new member's address must lead to that node, and the node must be pristine or ours. */
  private async whoIsAt(member: MemberSpec, timeoutMs: number): Promise<Found> {
    const { replica } = this.deps
    const { peers } = replica
    if (nodeId(member.id) === replica.raft.view().id) return { incarnation: peers.incarnationOf(nodeId(member.id)) }
    const outcome = await this.probe.ask(member, timeoutMs)
    if (outcome.kind !== 'answered') return { incarnation: null, detail: outcome.detail }
    const { id, incarnation } = outcome.report
    peers.expect(id, incarnation)
    return { incarnation }
  }

  /** What the membership is to record about an added node: its incarnation must be known, or another node could come in its place. */
  private addressesOf({ id, raft, api }: MemberSpec, { incarnation, detail = '' }: Found): NodeAddresses {
    if (incarnation !== null) return { raft, api, incarnation }
    // A member stays a member while it is away: if it is added again, the answer is the same.
    if (this.deps.replica.raft.effectiveMembership.membership.nodes.has(nodeId(id))) return { raft, api }
    throw new RequestError(
      'not-ready',
      `no node answers at ${raft}: ${detail}; start node ${id} there first, or correct its address`,
    )
  }
}

/** The node that answers at a new member's address; `incarnation` is null when no node does. */
interface Found {
  readonly incarnation: string | null
  readonly detail?: string
}

/** Of a change in the log: `lost` when another leader's entry is committed in its place, `unknown` when nobody can tell any more. */
type Fate = 'open' | 'committed' | 'lost' | 'unknown'

function isAt(addresses: NodeAddresses | undefined, { raft, api }: MemberSpec): boolean {
  return addresses?.raft === raft && addresses.api === api
}

function notAMember(id: NodeId): RequestError {
  return new RequestError('node-not-found', `node ${id} is not a member of this cluster`, { id })
}

function unsettled(): RequestError {
  return new RequestError(
    'outcome-unknown',
    'the change was in the log, but was not seen to be committed in time; look at GET /cluster/membership',
  )
}

/** Whether the change at `index` is committed and no joint configuration is left of it. */
function isSettled({ effective, committedMembership }: RaftView, index: LogIndex): boolean {
  return (
    indexOf(committedMembership.logId) >= index &&
    indexOf(committedMembership.logId) === indexOf(effective.logId) &&
    effective.membership.configs.length === 1
  )
}

/** Whether a change that was refused before may succeed in another attempt. */
function mayChangeNow(before: RaftView, now: RaftView): boolean {
  return (
    indexOf(now.effective.logId) !== indexOf(before.effective.logId) ||
    indexOf(now.committedMembership.logId) !== indexOf(before.committedMembership.logId) ||
    now.established !== before.established ||
    now.state !== before.state
  )
}

function silence(ids: readonly NodeId[]): string {
  return ids.length === 1 ? `node ${ids[0]} does not answer` : `nodes ${ids.join(', ')} do not answer`
}

function errorOf(
  outcome: Exclude<ChangeOutcome, { kind: 'appended' | 'unchanged' | 'learner-not-found' }>,
): RequestError {
  switch (outcome.kind) {
    case 'not-leader':
      return new RequestError('no-leader', 'this node no longer leads; nothing was changed')
    case 'transferring':
      return new RequestError('transferring', 'leadership is being transferred; nothing was changed, try again')
    case 'in-progress':
      return new RequestError(
        'membership-change-in-progress',
        'an earlier membership change is not committed yet; nothing was changed',
        {
          membershipLogId: logIdView(outcome.stored.logId),
          joint: outcome.stored.membership.configs.length > 1,
        },
      )
    case 'precondition-failed':
      return new RequestError('precondition-failed', 'the membership has changed since; read it again', {
        currentRevision: indexOf(outcome.stored.logId),
      })
    case 'address-conflict':
      return new RequestError(
        'address-conflict',
        `node ${outcome.id} is a member at ${outcome.addresses.raft} and ${outcome.addresses.api}; every member needs an id and addresses of its own`,
        { id: outcome.id, raft: outcome.addresses.raft, api: outcome.addresses.api },
      )
    case 'unknown-voter':
      return new RequestError('unknown-voter', `node ${outcome.id} is not a member; add it as a learner first`, {
        id: outcome.id,
      })
    case 'empty-membership':
      return new RequestError('empty-membership', 'a cluster needs at least one voter; nothing was changed')
    case 'learner-lagging':
      return new RequestError(
        'learner-lagging',
        `node ${outcome.id} is ${outcome.lag} entries behind; wait until it has caught up, or set allowLagging`,
        { id: outcome.id, lag: outcome.lag },
      )
    case 'quorum-at-risk':
      return new RequestError(
        'quorum-at-risk',
        `${silence(outcome.unreachable)}, so the new voters would have no live majority; set force to change them anyway`,
        { unreachable: outcome.unreachable },
      )
  }
}
