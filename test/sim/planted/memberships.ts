import type { PeerRegister } from '../../../src/node/options.ts'
import type { ChangeOutcome, LogIndex, Membership, MembershipChange, NodeId } from '../../../src/raft/index.ts'
import { ObservedRaft } from '../machines/observed-raft.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'

/** The new voters take over in one step, without a joint configuration in between. */
class ChangesInOneStep extends ObservedRaft {
  override changeMembership(now: number, change: MembershipChange, ifMembershipAt: LogIndex | null): ChangeOutcome {
    const { state, leadership } = this.inspect()
    const before = state.effective
    if (change.type !== 'set-voters' || leadership === null || !leadership.established) {
      return super.changeMembership(now, change, ifMembershipAt)
    }
    const isSettled = before.membership.configs.length === 1 && (before.logId?.index ?? -1) <= state.committed
    const isKnown = change.voters.every((id) => before.membership.nodes.has(id))
    if (!isSettled || !isKnown || change.voters.length === 0) return super.changeMembership(now, change, ifMembershipAt)
    return this.append(now, { configs: [ascending(change.voters)], nodes: before.membership.nodes, removing: [] })
  }

  private append(now: number, membership: Membership): ChangeOutcome {
    const { state, leadership } = this.inspect()
    if (leadership === null) return { kind: 'not-leader', leader: null }
    const { leaderId, last: index } = state.appendOwn(
      state.vote.leaderId,
      1,
      state.codec.membership(membership),
      membership,
    )
    leadership.replication.followMembership()
    this.tick(now)
    return { kind: 'appended', logId: { leaderId, index }, membership }
  }
}

/** A change may start while the previous one is not committed. */
class ChangesTooSoon extends ObservedRaft {
  override changeMembership(now: number, change: MembershipChange, ifMembershipAt: LogIndex | null): ChangeOutcome {
    const { state, leadership } = this.inspect()
    const before = state.effective.membership
    const outcome = super.changeMembership(now, change, ifMembershipAt)
    if (outcome.kind !== 'in-progress' || leadership === null || change.type !== 'add-learner') return outcome
    const nodes = new Map(before.nodes).set(change.id, change.addresses)
    const membership = { ...before, nodes }
    const { leaderId, last: index } = state.appendOwn(
      state.vote.leaderId,
      1,
      state.codec.membership(membership),
      membership,
    )
    leadership.replication.followMembership()
    this.tick(now)
    return { kind: 'appended', logId: { leaderId, index }, membership }
  }
}

function ascending(ids: readonly NodeId[]): NodeId[] {
  return [...new Set(ids)].sort((a, b) => a - b)
}

/** The incarnations of peers are never read again, so a node that lost its data votes again. */
class ForgetsIncarnations implements PeerRegister {
  private readonly inner: PeerRegister

  constructor(inner: PeerRegister) {
    this.inner = inner
  }

  load(): Promise<ReadonlyMap<NodeId, string>> {
    return Promise.resolve(new Map())
  }

  remember(id: NodeId, incarnation: string): Promise<void> {
    return this.inner.remember(id, incarnation)
  }

  forget(id: NodeId): Promise<void> {
    return this.inner.forget(id)
  }
}

export const membershipBugs: readonly PlantedBug[] = [
  {
    name: 'membership-in-one-step',
    says: 'voters are replaced without a joint configuration',
    seedsMax: 400,
    raft: ChangesInOneStep,
  },
  {
    name: 'membership-change-too-soon',
    says: 'a second change begins before the first is committed',
    seedsMax: 400,
    raft: ChangesTooSoon,
  },
  {
    name: 'cluster-id-constant',
    says: 'clusters of different members have one name',
    seedsMax: 200,
    hash: () => '0'.repeat(64),
  },
  {
    name: 'incarnations-forgotten',
    says: 'peers forget at their restart who a node was',
    seedsMax: 200,
    wrapPeers: (peers) => new ForgetsIncarnations(peers),
  },
]
