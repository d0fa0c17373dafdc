import type { InitializeAnswer, MemberSpec } from '../../api/cluster.ts'
import { RequestError } from '../../lib/errors.ts'
import { firstDouble } from '../../lib/first-double.ts'
import { limits } from '../../limits.ts'
import type { Pledge } from '../../ports/automation.ts'
import type { NodeReport, Transport } from '../../ports/transport.ts'
import { nodeId, type Membership } from '../../raft/index.ts'
import { clusterIdOf } from '../codec/cluster-id.ts'
import type { Logger, NodeOptions } from '../options.ts'
import type { Replica } from '../replica.ts'
import type { Condition } from '../requests/conditions.ts'
import { logIdView, membershipOfVoters, membershipView, voteView } from './api-views.ts'
import { isUnformed, START_OVER } from './unformed.ts'

/** Knows what this node has promised to form. */
export interface PledgeKeeper {
  /** The pledge that keeps this node from taking part in a cluster of this id; null when there is none. */
  against(clusterId: string): Pledge | null
}

export interface BootstrapDependencies {
  readonly replica: Replica
  readonly transport: Transport
  readonly clock: { now(): number }
  readonly hash: (text: string) => string
  readonly logger: Logger
  readonly pledges: PledgeKeeper
}

type UnansweredMember = InitializeAnswer['unanswered'][number]

/** The cluster that is about to be stored. */
interface NewCluster {
  readonly membership: Membership
  readonly clusterId: string
  readonly unanswered: readonly UnansweredMember[]
}

const PROBE_TIMEOUT_MS = 1_000

/** Forms a new cluster (raft.md 3), on request or as the automation decides. */
export class Bootstrap {
  private readonly options: NodeOptions
  private readonly deps: BootstrapDependencies
  private busy = false

  constructor(options: NodeOptions, deps: BootstrapDependencies) {
    this.options = options
    this.deps = deps
  }

  /** `agreed`: all members have pledged themselves to this very cluster, so none has to be asked any more. */
  async initialize(
    members: readonly MemberSpec[] | null,
    wait: 'appended' | 'leader' | 'committed',
    timeoutMs: number,
    { agreed = false }: { readonly agreed?: boolean } = {},
  ): Promise<InitializeAnswer> {
    const listed = members ?? [{ id: this.options.id, ...this.options.addresses }]
    const deadline = this.deps.clock.now() + timeoutMs
    await this.checkPristine(listed, deadline)
    this.checkMembers(listed)
    this.checkNotLost()
    // Nothing is decided yet: the other attempt may still fail.
    if (this.busy) throw new RequestError('not-ready', 'this node is already about to form a cluster; try again soon')
    this.busy = true
    try {
      const membership = membershipOfVoters(listed)
      const clusterId = clusterIdOf(membership, this.options.clusterToken, this.deps.hash)
      await this.checkCluster(clusterId, deadline)
      this.checkPledge(clusterId)
      const askMs = Math.min(PROBE_TIMEOUT_MS, timeoutMs / 2)
      const unanswered = agreed ? [] : await this.askPeers(listed, clusterId, askMs, false)
      await this.checkPristine(listed, deadline)
      return await this.append({ membership, clusterId, unanswered }, wait, deadline)
    } finally {
      this.busy = false
    }
  }

  /** Asks every member whether it still proposes this cluster. Rejects when one does not, or does not answer. */
  async confirm({ members, clusterId }: Pledge, timeoutMs: number): Promise<void> {
    await this.askPeers(members, clusterId, timeoutMs, true)
  }

  private async append(
    { membership, clusterId, unanswered }: NewCluster,
    wait: 'appended' | 'leader' | 'committed',
    deadline: number,
  ): Promise<InitializeAnswer> {
    const { replica, clock } = this.deps
    this.checkPledge(clusterId)
    replica.driver.adoptCluster(clusterId, null)
    const outcome = replica.request(() => replica.raft.initialize(clock.now(), membership))
    if (outcome.kind === 'not-in-members') throw this.notInMembers()
    if (outcome.kind === 'already-initialized') throw await this.alreadyInitialized([], deadline)
    replica.consequences.connectMembers()
    if (!(await this.isOnDisk(deadline))) {
      throw new RequestError(
        'outcome-unknown',
        'the node stopped, or the time was up, before the first entry was on disk; look at GET /cluster, and try again if the node has no cluster',
      )
    }
    if (unanswered.length > 0) {
      this.deps.logger.warn(
        { clusterId, unanswered, detail: `${describeUnanswered(unanswered)}. ${START_OVER}` },
        'cluster formed, but some members did not answer',
      )
    }
    const { index } = outcome.logId
    const isThere: Condition = wait === 'leader' ? (view) => view.leader !== null : (view) => view.committed >= index
    if (wait !== 'appended' && !(await replica.conditions.until(isThere, deadline - clock.now())))
      throw this.notInTime(
        wait === 'leader' ? 'no leader was elected' : 'its first entry was not committed',
        unanswered,
      )
    return {
      clusterId,
      logId: logIdView(outcome.logId) ?? { term: 0, node: 0, index: 0 },
      membership: membershipView(membership),
      unanswered,
    }
  }

  private notInTime(missed: string, unanswered: readonly UnansweredMember[]): RequestError {
    const who = unanswered.length === 0 ? '' : `; ${describeUnanswered(unanswered)}`
    return new RequestError(
      'no-leader',
      `this node is initialized, but ${missed} in time${who}: a majority of the members has to be up. ${START_OVER}`,
      { unanswered },
    )
  }

  /**
   * Waits until everything that this node has written so far is on disk. False when the deadline passes, or the node stops, before that.
   */
  private isOnDisk(deadline: number): Promise<boolean> {
    const { replica, clock } = this.deps
    const { lastWrite } = replica.driver
    return replica.conditions.until(() => replica.driver.isDurable(lastWrite), deadline - clock.now())
  }

  private async checkPristine(listed: readonly MemberSpec[], deadline: number): Promise<void> {
    const view = this.deps.replica.raft.view()
    const pristine = view.last === null && view.vote.leaderId.term === 0 && view.vote.leaderId.nodeId === 0
    if (!pristine) throw await this.alreadyInitialized(listed, deadline)
  }

  /** A node that was stopped between storing its cluster's id and storing the first entry may try to form the same cluster again. */
  private async checkCluster(clusterId: string, deadline: number): Promise<void> {
    const known = this.deps.replica.ownCluster.id
    if (known !== null && known !== clusterId) throw await this.alreadyInitialized([], deadline)
  }

  /** The members of the other cluster may have formed it already, and may count on this node. */
  private checkPledge(clusterId: string): void {
    const pledge = this.deps.pledges.against(clusterId)
    if (pledge === null) return
    throw new RequestError(
      'peer-disagrees',
      `this node has agreed to form ${describePledge(pledge)}, and others may have agreed to it too: start the members that are missing, with or ` +
        'without their data, or initialize with exactly these members; or empty the data directory of this node, which holds no data yet',
      { peer: this.options.id, peerClusterId: pledge.clusterId, peerMembership: null },
    )
  }

  /** When a cluster waits for this node to be removed and added again, forming another one beside it is never what anybody wants. */
  private checkNotLost(): void {
    const said = this.deps.replica.peers.lostMembership()
    if (said !== null) throw new RequestError('peer-disagrees', `this node is already a member of a cluster: ${said}`)
  }

  /** Anybody who reads this error takes the cluster for formed, so it must not report anything that a crash could still undo. */
  private async alreadyInitialized(listed: readonly MemberSpec[], deadline: number): Promise<RequestError> {
    if (!(await this.isOnDisk(deadline))) {
      return new RequestError(
        'not-ready',
        'this node has begun to form or to join a cluster, but that was not on disk in time; try again',
      )
    }
    const view = this.deps.replica.raft.view()
    const asked = JSON.stringify(membershipView(membershipOfVoters(listed)))
    const isDone = asked === JSON.stringify(membershipView(view.effective.membership))
    const which = isDone ? 'a cluster of exactly these members' : 'a cluster'
    const next = isDone
      ? 'there is nothing left to do'
      : 'add nodes to that cluster, or start this one with an empty data directory'
    return new RequestError(
      'already-initialized',
      isUnformed(view)
        ? `this node has begun to form ${isDone ? which : 'another cluster'}, but has not met a leader of it yet. ${START_OVER}`
        : `this node already belongs to ${which}: ${next}`,
      this.facts(),
    )
  }

  private facts(): Record<string, unknown> {
    const view = this.deps.replica.raft.view()
    return {
      clusterId: this.deps.replica.ownCluster.id,
      lastLogId: logIdView(view.last),
      vote: voteView(view.vote),
      membership: membershipView(view.effective.membership),
    }
  }

  private notInMembers(): RequestError {
    return new RequestError(
      'not-in-members',
      `node ${this.options.id}, which was asked, is not in the list of members; list every member, this node included`,
    )
  }

  private checkMembers(members: readonly MemberSpec[]): void {
    if (members.length === 0) throw new RequestError('invalid-request', 'the list of members is empty')
    if (members.length > limits.membersMax) {
      throw new RequestError(
        'invalid-request',
        `${members.length} members are listed; at most ${limits.membersMax} are allowed`,
      )
    }
    const double = firstDouble(members, ['id', 'raft', 'api'])
    if (double !== null)
      throw new RequestError('invalid-request', `two members have the ${double.field} ${double.value}`)
    if (!members.some(({ id }) => id === this.options.id)) throw this.notInMembers()
  }

  /** Every listed node that can be reached must be the one that the list names, and must belong to no cluster or to this very one. */
  private async askPeers(
    members: readonly MemberSpec[],
    clusterId: string,
    timeoutMs: number,
    agreed: boolean,
  ): Promise<readonly UnansweredMember[]> {
    const { raft } = this.options.addresses
    const asked = members.filter((member) => member.id !== this.options.id || member.raft !== raft)
    const found = await Promise.all(asked.map((member) => this.askPeer(member, clusterId, timeoutMs, agreed)))
    return found.filter((member) => member !== null)
  }

  /** Returns the member when it could not be reached. */
  private async askPeer(
    member: MemberSpec,
    clusterId: string,
    timeoutMs: number,
    agreed: boolean,
  ): Promise<UnansweredMember | null> {
    const outcome = await this.deps.transport.probe(member.raft, timeoutMs)
    if (outcome.kind === 'refused') {
      const { code, detail } = outcome.refusal
      if (member.id === this.options.id && code === 'self') return null
      throw this.disagrees(member, detail, null)
    }
    if (outcome.kind === 'unreachable' && agreed)
      throw new RequestError('not-ready', `node ${member.id} does not answer at ${member.raft}: ${outcome.detail}`)
    // A member that cannot be reached now will have to agree with a majority later.
    if (outcome.kind === 'unreachable' && member.id !== this.options.id)
      return { id: member.id, raft: member.raft, detail: outcome.detail }
    if (outcome.kind === 'unreachable') {
      throw new RequestError(
        'member-mismatch',
        `no node answers at ${member.raft}, which is listed for this node: ${outcome.detail}`,
      )
    }
    const { report } = outcome
    if (report.id !== nodeId(member.id)) {
      throw new RequestError(
        'member-mismatch',
        `node ${report.id} answers at ${member.raft}, which is listed for node ${member.id}; correct the list`,
        { peer: member.id, found: report.id },
      )
    }
    if (member.id === this.options.id && report.incarnation !== this.options.incarnation) {
      throw new RequestError(
        'member-mismatch',
        `another node with the id ${member.id} answers at ${member.raft}; correct the list`,
      )
    }
    if (report.clusterId !== null && report.clusterId !== clusterId) {
      throw this.disagrees(
        member,
        `node ${member.id} belongs to cluster ${report.clusterId}, which has other members or another token`,
        report,
      )
    }
    const pledge = report.candidacy?.pledge ?? null
    if (pledge !== null && pledge.clusterId !== clusterId && report.clusterId === null)
      throw this.disagrees(member, `node ${member.id} has agreed to form ${describePledge(pledge)}`, report)
    if (agreed && report.clusterId !== clusterId && report.candidacy?.proposal !== clusterId)
      throw this.disagrees(member, `node ${member.id} no longer proposes this cluster`, report)
    // Known from the first entry on: it may lose its data before any other member has met it.
    this.deps.replica.peers.expect(nodeId(member.id), report.incarnation)
    return null
  }

  private disagrees(member: MemberSpec, detail: string, report: NodeReport | null): RequestError {
    return new RequestError('peer-disagrees', detail, {
      peer: member.id,
      peerClusterId: report?.clusterId ?? null,
      peerMembership: report === null ? null : membershipView(report.effective.membership),
    })
  }
}

function describeUnanswered(unanswered: readonly UnansweredMember[]): string {
  const whom = unanswered.map(({ id, raft, detail }) => `node ${id} at ${raft} (${detail})`)
  return `${whom.join(', ')} did not answer`
}

function describePledge({ clusterId, members }: Pledge): string {
  return `cluster ${clusterId} of ${members.map(({ id, raft, api }) => `${id},${raft},${api}`).join(' ')}`
}
