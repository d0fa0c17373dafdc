import type {
  ClusterStatus,
  InitializeAnswer,
  LearnerAnswer,
  LearnerStatus,
  MemberSpec,
  MembershipAnswer,
  PurgeAnswer,
  TransferAnswer,
} from '../../api/cluster.ts'
import type { AddressChange, Bearer, ClusterControl, Guard, SnapshotStream, VoterChange } from '../../api/services.ts'
import { RequestError } from '../../lib/errors.ts'
import type { Clock } from '../../ports/clock.ts'
import type { NodeId, TransferOutcome } from '../../raft/index.ts'
import { nodeId } from '../../raft/index.ts'
import type { Warrant } from '../requests/warrant.ts'
import type { CallOptions, Leave } from '../requests/leader-calls.ts'
import { leaderRequests, type LeaderRequest } from '../requests/leader-requests.ts'
import type { Changes } from '../membership/changes.ts'
import type { Bootstrap } from '../membership/bootstrap.ts'
import type { Replica } from '../replica.ts'
import type { Condition } from '../requests/conditions.ts'
import type { Backups } from './backups.ts'
import { noMembership, type Serving } from './serving.ts'
import type { Status } from './status.ts'
import { logIdView, membershipAnswer, votersOfMembership } from '../membership/api-views.ts'

export interface ClusterDependencies {
  readonly self: MemberSpec
  readonly replica: Replica
  readonly bootstrap: Bootstrap
  readonly changes: Changes
  readonly status: Status
  readonly backups: Backups
  readonly clock: Clock
  /** How long after its election a leader may still be waiting to hear from its followers. */
  readonly settlingMs: number
  readonly serving: Serving
}

const LISTEN_MS = 10

/** Null: the node itself. */
type Asker = Bearer | null

/** The cluster's administration, on any node: requests for the leader are carried to it. */
export class Cluster implements ClusterControl {
  /** The id of the node that answers. */
  readonly id: number
  /** The same node as a member, with the addresses that it tells others. */
  readonly self: MemberSpec
  private readonly deps: ClusterDependencies

  constructor(deps: ClusterDependencies) {
    this.deps = deps
    this.id = deps.self.id
    this.self = deps.self
    const { leaderCalls } = deps.replica
    const { changes } = deps
    leaderCalls.handle(leaderRequests.changeVoters, (change, leave) => changes.changeVoters(change, leave))
    leaderCalls.handle(leaderRequests.addLearner, (request, leave) => changes.addLearner(request, leave))
    leaderCalls.handle(leaderRequests.removeLearner, (learner, leave) => changes.removeLearner(learner, leave))
    leaderCalls.handle(leaderRequests.setAddresses, (change, leave) => changes.setAddresses(change, leave))
    leaderCalls.handle(leaderRequests.learners, async () => this.learnersHere())
    leaderCalls.handle(leaderRequests.transfer, (to, leave) => this.transferHere(to, leave))
  }

  initialize(
    members: readonly MemberSpec[] | null,
    wait: 'appended' | 'leader' | 'committed',
    timeoutMs: number,
  ): Promise<InitializeAnswer> {
    return this.deps.bootstrap.initialize(members, wait, timeoutMs)
  }

  status(): ClusterStatus {
    return this.deps.status.cluster()
  }

  membership(): MembershipAnswer {
    const view = this.deps.replica.raft.view()
    const { effective, committedMembership } = view
    if (effective.logId === null) throw noMembership(view)
    return membershipAnswer(effective, committedMembership)
  }

  async changeVoters(change: VoterChange, timeoutMs: number, by: Asker = null): Promise<MembershipAnswer> {
    const { replica, clock } = this.deps
    const deadline = clock.now() + timeoutMs
    const voters = votersOfMembership(replica.raft.effectiveMembership.membership)
    const repeatable = change.ifMembershipAt === null
    let isAgain = false
    const onAgain = (): void => void (isAgain = true)
    for (let rest = change; ;) {
      try {
        const options = { timeoutMs: Math.max(1, deadline - clock.now()), repeatable, by, onAgain }
        return await this.call(leaderRequests.changeVoters, rest, options)
      } catch (error) {
        const left = isAgain ? withoutDone(rest, voters, error) : null
        if (left === null) throw error
        rest = left
      }
    }
  }

  async addLearner(member: MemberSpec, wait: boolean, timeoutMs: number, by: Asker = null): Promise<LearnerAnswer> {
    return this.call(leaderRequests.addLearner, { member, wait }, { timeoutMs, repeatable: true, by })
  }

  async removeLearner(id: number, timeoutMs: number, by: Asker = null): Promise<MembershipAnswer> {
    return this.call(leaderRequests.removeLearner, id, { timeoutMs, repeatable: false, by })
  }

  async setAddresses(change: AddressChange, timeoutMs: number, by: Asker = null): Promise<MembershipAnswer> {
    const repeatable = change.ifMembershipAt === null
    return this.call(leaderRequests.setAddresses, change, { timeoutMs, repeatable, by })
  }

  async learners(timeoutMs: number, by: Asker = null): Promise<readonly LearnerStatus[]> {
    return this.call(leaderRequests.learners, null, { timeoutMs, repeatable: true, by })
  }

  leader(): MemberSpec | null {
    const view = this.deps.replica.raft.view()
    const addresses = view.leader === null ? undefined : view.effective.membership.nodes.get(view.leader)
    if (view.leader === null || addresses === undefined) return null
    return { id: view.leader, raft: addresses.raft, api: addresses.api }
  }

  async transfer(to: number | null, timeoutMs: number, by: Asker = null): Promise<TransferAnswer> {
    const { replica, clock } = this.deps
    const deadline = clock.now() + timeoutMs
    const before = replica.raft.view().leader
    try {
      // A named target may be asked for again: the node that leads by then is the target, or passes leadership on to it.
      return await this.call(leaderRequests.transfer, to, { timeoutMs, repeatable: to !== null, by })
    } catch (error) {
      // The leader was asked, and stopped leading before it answered: the next leader, whichever it is, is the answer.
      if (!(error instanceof RequestError && error.code === 'outcome-unknown') || to !== null) throw error
      await replica.conditions.until((view) => view.leader !== null, deadline - clock.now())
      const { leader } = replica.raft.view()
      if (leader === null || leader === before) throw error
      return { leader }
    }
  }

  campaign(): void {
    this.deps.serving.check()
    const { replica, clock } = this.deps
    const outcome = replica.request(() => replica.raft.campaign(clock.now()))
    if (outcome.kind === 'refused')
      throw new RequestError('no-transfer-target', `this node cannot campaign: ${outcome.reason}`)
  }

  snapshot(
    consistency: 'linearizable' | 'stale',
    timeoutMs: number,
    guard: Guard | null = null,
  ): Promise<SnapshotStream> {
    return this.deps.backups.open(consistency, timeoutMs, guard)
  }

  /** Frees what the durable state of this node covers, and nothing on other nodes. */
  async purge(): Promise<PurgeAnswer> {
    this.deps.serving.check()
    const { replica, clock } = this.deps
    await replica.flusher.flush()
    replica.request(() => replica.raft.purgeTo(clock.now(), null))
    return { purged: logIdView(replica.raft.view().purged) }
  }

  private async call<Body, Answer>(
    request: LeaderRequest<Body, Answer>,
    body: Body,
    { by, ...options }: Omit<CallOptions, 'behalf'> & { readonly by: Asker },
  ): Promise<Answer> {
    this.deps.serving.check()
    const { leaderCalls, conditions } = this.deps.replica
    if (conditions.isFull)
      throw new RequestError('overloaded', 'too many cluster requests are waiting; try again later')
    const behalf = by === null ? 'node' : { hash: by.hash }
    return leaderCalls.call(request, body, { ...options, behalf })
  }

  private learnersHere(): LearnerStatus[] {
    const { replica, status, changes } = this.deps
    const view = replica.raft.view()
    const learners: LearnerStatus[] = []
    for (const id of [...view.effective.membership.nodes.keys()].sort((a, b) => a - b)) {
      const member = status.member(view, id)
      if (member?.role !== 'learner') continue
      learners.push({ id, ...member, caughtUp: changes.isCaughtUp(id) })
    }
    return learners
  }

  private async transferHere(to: number | null, { timeoutMs, warrant }: Leave): Promise<TransferAnswer> {
    const { replica, clock } = this.deps
    const deadline = clock.now() + timeoutMs
    const target: NodeId | null = to === null ? null : nodeId(to)
    if (target !== null && !replica.raft.view().effective.membership.nodes.has(target)) {
      throw new RequestError('node-not-found', `node ${target} is not a member of this cluster`)
    }
    if (target === replica.raft.view().id) return { leader: target }
    const outcome = await this.startTransfer(target, warrant, deadline)
    if (outcome.kind === 'not-leader') throw new RequestError('no-leader', 'the node that was asked is not the leader')
    if (outcome.kind === 'transferring')
      throw new RequestError('transferring', `leadership is already being transferred to node ${outcome.to}`)
    if (outcome.kind === 'no-target') throw new RequestError('no-transfer-target', outcome.reason)
    const { raft } = replica
    const isOver: Condition = ({ state, transferringTo, leader }) =>
      state === 'leader' ? transferringTo === null : leader !== null
    if (!(await replica.conditions.until(isOver, deadline - clock.now()))) {
      throw new RequestError(
        'outcome-unknown',
        `node ${outcome.to} was told to take over, but no leader was known in time`,
      )
    }
    const { leader } = raft.view()
    if (leader === null || leader === raft.view().id) {
      throw new RequestError(
        'no-transfer-target',
        `node ${outcome.to} did not take over in time; this node still leads`,
      )
    }
    return { leader }
  }

  /** A leader that has only just begun to lead waits until its followers have had time to answer before it takes one of them for dead. */
  private async startTransfer(target: NodeId | null, warrant: Warrant, deadline: number): Promise<TransferOutcome> {
    const { replica, clock, settlingMs } = this.deps
    for (;;) {
      const transfer = (): TransferOutcome => replica.request(() => replica.raft.transfer(clock.now(), target))
      const outcome = await warrant.use(transfer, deadline)
      if (outcome.kind !== 'no-target' || clock.now() >= replica.journal.ledSince + settlingMs) return outcome
      await replica.conditions.until(() => false, LISTEN_MS)
    }
  }
}

/**
 * A change of voters that was asked for again, and found a voter gone that it removes: what is left of it. The first try has taken that one out, as
 * it does when it removes the leader. Null: the change was refused for another reason. `voters`: those before the first try.
 */
function withoutDone(change: VoterChange, voters: ReadonlySet<NodeId>, error: unknown): VoterChange | null {
  if (!(error instanceof RequestError) || error.code !== 'unknown-voter' || !('add' in change.voters)) return null
  const { add, remove } = change.voters
  const done = remove.find((id) => id === error.facts['id'] && voters.has(nodeId(id)))
  return done === undefined ? null : { ...change, voters: { add, remove: remove.filter((id) => id !== done) } }
}
