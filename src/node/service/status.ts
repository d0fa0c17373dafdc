import type { ClusterStatus, LogIdView, MemberStatus } from '../../api/cluster.ts'
import type { FollowerView, LogIndex, NodeId, RaftView } from '../../raft/index.ts'
import { indexOf, logIndex } from '../../raft/index.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Transport } from '../../ports/transport.ts'
import type { Automation } from '../automation/automation.ts'
import { MANUAL } from '../automation/automation.ts'
import type { NodeOptions } from '../options.ts'
import type { Preference } from '../leadership/preference.ts'
import type { Replica } from '../replica.ts'
import { remainingOfLog } from '../snapshots/progress.ts'
import {
  failureToleranceOf,
  logIdView,
  membershipAnswer,
  voteView,
  votersOfMembership,
} from '../membership/api-views.ts'
import { hasOnlyVoted, isUnformed, START_OVER } from '../membership/unformed.ts'
import type { Warning } from '../peers/warnings.ts'
import type { Space } from '../space/space.ts'
import type { Serving } from './serving.ts'

export interface StatusDependencies {
  readonly replica: Replica
  readonly preference: Preference
  readonly serving: Serving
  /** Null for a node that does nothing by itself. */
  readonly automation: Automation | null
  readonly space: Pick<Space, 'view' | 'warnings'>
  readonly transport: Transport
  readonly clock: Clock
  /** Those that others than the node raise. */
  readonly warnings: () => readonly Warning[]
}

type CatchUp = Pick<MemberStatus, 'phase' | 'remainingMs' | 'snapshot'>

const NO_CATCH_UP: CatchUp = { phase: null, remainingMs: null, snapshot: null }

/** The cluster as one node sees it. */
export class Status {
  private readonly options: NodeOptions
  private readonly deps: StatusDependencies
  private readonly startedAt: number

  constructor(options: NodeOptions, deps: StatusDependencies) {
    this.options = options
    this.deps = deps
    this.startedAt = deps.clock.now()
  }

  cluster(): ClusterStatus {
    const { serving, automation, space, warnings } = this.deps
    const { raft, applier, ownCluster, peers } = this.deps.replica
    const view = raft.view()
    const effective = membershipAnswer(view.effective, view.committedMembership)
    return {
      clusterId: ownCluster.id,
      node: {
        id: this.options.id,
        state: serving.state(),
        incarnation: this.options.incarnation,
        version: this.options.version,
        uptimeMs: Math.round(this.deps.clock.now() - this.startedAt),
        disk: space.view,
      },
      leader: view.leader,
      term: view.vote.leaderId.term,
      vote: voteView(view.vote),
      lastLogId: logIdView(view.last),
      committed: this.logIdAt(view.committed),
      applied: logIdView(applier.applied),
      purged: logIdView(view.purged),
      membership:
        view.effective.membership.configs.length === 0
          ? null
          : {
              effective,
              committed: membershipAnswer(view.committedMembership, view.committedMembership),
              joint: effective.joint,
            },
      nodes: this.members(view),
      failureTolerance: failureToleranceOf(view.effective.membership),
      digest: applier.digest,
      warnings: [
        ...peers.warnings,
        ...(isUnformed(view) ? [this.unformed(view)] : []),
        ...space.warnings,
        ...warnings(),
      ],
      ...(automation?.status() ?? MANUAL),
    }
  }

  private unformed(view: RaftView): Warning {
    const { id } = this.options
    const { effective } = view
    if (hasOnlyVoted(view)) {
      const detail =
        `this node has voted in cluster ${this.deps.replica.ownCluster.id}, holds nothing of it, and has not met a leader of it: start the ` +
        'other members of that cluster; if they are gone for good, stop this node, empty its data directory and start it again'
      return { code: 'unformed', detail }
    }
    const { transport } = this.deps
    const missing = [...effective.membership.nodes].filter(([other]) => other !== id && !transport.isConnected(other))
    const names = missing.map(([other, { raft }]) => `node ${other} at ${raft}`).join(', ')
    const who = names === '' ? 'all members are connected' : `not connected: ${names}`
    const detail = `this node has begun to form a cluster, but has not met a leader of it yet; ${who}. ${START_OVER}`
    return { code: 'unformed', detail }
  }

  member(view: RaftView, id: NodeId): MemberStatus | null {
    const { membership } = view.effective
    const addresses = membership.nodes.get(id)
    if (addresses === undefined) return null
    const role = votersOfMembership(membership).has(id) ? 'voter' : 'learner'
    const priority = this.deps.preference.priorityOf(id)
    const base = { raft: addresses.raft, api: addresses.api, role, priority } as const
    if (id === this.options.id) {
      const isLeader = view.state === 'leader'
      return {
        ...base,
        reachable: true,
        matched: isLeader ? indexOf(view.last) : null,
        lag: isLeader ? 0 : null,
        lastContactMs: 0,
        ...NO_CATCH_UP,
      }
    }
    const reachable = this.deps.transport.isConnected(id)
    const follower = view.followers.find((one) => one.id === id)
    if (follower === undefined)
      return { ...base, reachable, matched: null, lag: null, lastContactMs: null, ...NO_CATCH_UP }
    return {
      ...base,
      reachable,
      matched: follower.matched,
      lag: indexOf(view.last) - follower.matched,
      lastContactMs:
        follower.heardAt === null ? null : Math.max(0, Math.round(this.deps.clock.now() - follower.heardAt)),
      ...this.catchUpOf(follower, view),
    }
  }

  private members(view: RaftView): Record<string, MemberStatus> {
    const members: Record<string, MemberStatus> = {}
    for (const id of [...view.effective.membership.nodes.keys()].sort((a, b) => a - b)) {
      const member = this.member(view, id)
      if (member !== null) members[String(id)] = member
    }
    return members
  }

  private catchUpOf(follower: FollowerView, view: RaftView): CatchUp {
    const { id, session, mode, matched } = follower
    if (follower.caughtUp) return { ...NO_CATCH_UP, phase: 'caught-up' }
    const now = this.deps.clock.now()
    const progress = this.deps.replica.snapshotSender.transferTo(id, session)
    const snapshot = progress?.view(now) ?? null
    const delivery = progress?.delivery ?? null
    if (mode === 'snapshot') return { phase: 'snapshot', remainingMs: snapshot?.remainingMs ?? null, snapshot }
    if (delivery === null) return { phase: mode === 'probe' ? 'probe' : 'log', remainingMs: null, snapshot }
    const remainingMs = remainingOfLog(delivery, matched, logIndex(indexOf(view.last)), now)
    return { phase: 'log', remainingMs, snapshot }
  }

  private logIdAt(index: LogIndex): LogIdView | null {
    return logIdView(this.deps.replica.raft.logIdAt(index))
  }
}
