import type { Effects, NodeId, RaftMessage } from '../../../src/raft/index.ts'
import { logIndex } from '../../../src/raft/index.ts'
import { ObservedRaft } from '../machines/observed-raft.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'

/** Commits the result of `reached` whenever a follower has acknowledged something. */
abstract class CommitsBy extends ObservedRaft {
  protected abstract reached(matchedOf: (id: NodeId) => number): number

  override receive(now: number, message: RaftMessage): void {
    super.receive(now, message)
    const { state, leadership } = this.inspect()
    if (message.type !== 'append-response' || leadership === null) return
    const own = state.outbox.durability.index
    const reached = this.reached((id) =>
      id === state.id ? own : (leadership.replication.progressOf(id)?.matched ?? -1),
    )
    if (reached <= state.committed || reached > state.log.lastIndex) return
    if (this.onlyOwnBallot && state.log.leaderIdAt(logIndex(reached))?.term !== state.vote.leaderId.term) return
    state.commitTo(logIndex(reached))
  }

  protected get onlyOwnBallot(): boolean {
    return true
  }

  /** The `count`-th highest index that the voters of a configuration hold. */
  protected held(config: readonly NodeId[], count: number, matchedOf: (id: NodeId) => number): number {
    const descending = config.map(matchedOf).sort((a, b) => b - a)
    return descending[count - 1] ?? -1
  }
}

class CountsOneShort extends CommitsBy {
  protected override reached(matchedOf: (id: NodeId) => number): number {
    const { configs } = this.view().effective.membership
    return Math.min(
      ...configs.map((config) => this.held(config, Math.max(1, Math.floor(config.length / 2)), matchedOf)),
    )
  }
}

class CountsOldConfigurationOnly extends CommitsBy {
  protected override reached(matchedOf: (id: NodeId) => number): number {
    const [old] = this.view().effective.membership.configs
    return old === undefined ? -1 : this.held(old, Math.floor(old.length / 2) + 1, matchedOf)
  }
}

class CountsNewConfigurationOnly extends CommitsBy {
  protected override reached(matchedOf: (id: NodeId) => number): number {
    const next = this.view().effective.membership.configs.at(-1)
    return next === undefined ? -1 : this.held(next, Math.floor(next.length / 2) + 1, matchedOf)
  }
}

class CountsLearners extends CommitsBy {
  protected override reached(matchedOf: (id: NodeId) => number): number {
    const { configs, nodes } = this.view().effective.membership
    const voters = configs[0]?.length ?? 1
    return this.held([...nodes.keys()], Math.floor(voters / 2) + 1, matchedOf)
  }
}

/** Commits entries of earlier ballots by counting copies: figure 8 of the Raft paper. */
class CommitsEarlierBallots extends CommitsBy {
  protected override get onlyOwnBallot(): boolean {
    return false
  }

  protected override reached(): number {
    return this.inspect().leadership?.replication.heldByQuorum() ?? -1
  }
}

/** A leader counts its own entries as durable as soon as they are written. */
class CountsItselfBeforeSync extends ObservedRaft {
  protected override plant(effects: Effects): Effects {
    if (this.state === 'leader') this.persisted(0, effects.lastSeq)
    return effects
  }
}

/** A follower applies the leader's commit index to entries that it has not compared with the leader's yet. */
class TrustsCommitIndex extends ObservedRaft {
  override receive(now: number, message: RaftMessage): void {
    super.receive(now, message)
    const { state, leadership } = this.inspect()
    if (message.type !== 'append-request' || leadership !== null) return
    state.commitTo(logIndex(Math.min(message.committed, state.log.lastIndex)))
  }
}

/** A follower acknowledges its whole log instead of the part that the leader has sent. */
class AcknowledgesTooMuch extends ObservedRaft {
  protected override plant(effects: Effects): Effects {
    const last = this.inspect().state.outbox.durability.index
    const raise = <T extends Effects['sends'][number]>(message: T): T =>
      message.type === 'append-response' && message.outcome.kind === 'matched'
        ? {
            ...message,
            outcome: { kind: 'matched', matched: last > message.outcome.matched ? last : message.outcome.matched },
          }
        : message
    return {
      ...effects,
      sends: effects.sends.map(raise),
      held: effects.held.map((one) => ({ ...one, message: raise(one.message) })),
    }
  }
}

export const commitBugs: readonly PlantedBug[] = [
  {
    name: 'commit-quorum-one-short',
    says: 'a commit needs one node less than a majority',
    seedsMax: 20,
    raft: CountsOneShort,
  },
  {
    name: 'commit-old-configuration',
    says: 'in a joint configuration only the old voters are counted',
    seedsMax: 400,
    raft: CountsOldConfigurationOnly,
  },
  {
    name: 'commit-new-configuration',
    says: 'in a joint configuration only the new voters are counted',
    seedsMax: 400,
    raft: CountsNewConfigurationOnly,
  },
  { name: 'commit-counts-learners', says: 'learners are counted for commits', seedsMax: 300, raft: CountsLearners },
  {
    name: 'commit-earlier-ballot',
    says: 'entries of an earlier leader are committed by counting (figure 8)',
    seedsMax: 100,
    raft: CommitsEarlierBallots,
  },
  {
    name: 'leader-counts-unsynced',
    says: 'a leader counts itself before its own sync',
    seedsMax: 50,
    raft: CountsItselfBeforeSync,
  },
  {
    name: 'commit-index-trusted',
    says: 'a follower commits entries that it has not compared with the leader',
    seedsMax: 200,
    raft: TrustsCommitIndex,
  },
  {
    name: 'acknowledges-too-much',
    says: 'a follower acknowledges entries that the leader has not sent',
    seedsMax: 1000,
    raft: AcknowledgesTooMuch,
  },
]
