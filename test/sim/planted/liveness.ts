import type { Effects, Membership, NodeId, SnapshotReport } from '../../../src/raft/index.ts'
import { isJoint, sameLeaderId, term } from '../../../src/raft/index.ts'
import { ObservedRaft } from '../machines/observed-raft.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'

type Leadership = NonNullable<ReturnType<ObservedRaft['inspect']>['leadership']>

/** Changes each leadership once, before it makes any decision. */
abstract class LeadsOtherwise extends ObservedRaft {
  private changed: Leadership | null = null

  protected abstract change(leadership: Leadership): void

  protected override plant(effects: Effects): Effects {
    const { leadership } = this.inspect()
    if (leadership !== null && leadership !== this.changed) this.change(leadership)
    this.changed = leadership
    return effects
  }
}

/** A leader without answers from anybody goes on leading. */
class ChecksNoQuorum extends LeadsOtherwise {
  protected override change(leadership: Leadership): void {
    const tick = leadership.tick.bind(leadership)
    leadership.tick = () => {
      const reason = tick()
      return reason === 'no quorum answers' ? null : reason
    }
  }
}

/** Every election timeout raises the term: all pre-votes count as granted and nobody is asked for one. */
class AsksForNoPreVotes extends ObservedRaft {
  override tick(now: number): void {
    super.tick(now)
    const { state } = this.inspect()
    const asked = { leaderId: { term: term(state.vote.leaderId.term + 1), nodeId: state.id }, committed: false }
    for (const from of state.membership.configs.flat()) {
      if (from === state.id || this.state === 'leader') continue
      this.receive(now, { type: 'pre-vote-response', from, to: state.id, asked, granted: true, vote: state.vote })
    }
  }

  protected override plant(effects: Effects): Effects {
    return { ...effects, sends: effects.sends.filter(({ type }) => type !== 'pre-vote-request') }
  }
}

/** A transfer ends only when the target leads or nobody listens at its address, but not by a timeout. */
class TransfersForEver extends ObservedRaft {
  protected override plant(effects: Effects): Effects {
    const handover = this.inspect().leadership?.['transfer']['handover'] ?? null
    if (handover !== null) Object.assign(handover, { deadline: Infinity })
    return effects
  }
}

/** A committed joint configuration is never followed by the new configuration alone. */
class StaysJoint extends LeadsOtherwise {
  protected override change(leadership: Leadership): void {
    const { state } = this.inspect()
    const append = leadership['appendMembership'].bind(leadership)
    leadership['appendMembership'] = (membership: Membership) => {
      const { logId } = state.effective
      const isLastStep = logId !== null && isJoint(state.membership)
      return isLastStep && this.leaves(leadership) ? { kind: 'appended', logId, membership } : append(membership)
    }
  }

  /** Whether the current joint configuration is left as it is. */
  protected leaves(_leadership: Leadership): boolean {
    return true
  }
}

/** A joint configuration is finished only by the leader that started the change. */
class InheritsNoJoint extends StaysJoint {
  protected override leaves(leadership: Leadership): boolean {
    const { logId } = this.inspect().state.effective
    return logId !== null && !sameLeaderId(logId.leaderId, leadership.vote.leaderId)
  }
}

/** A leader whose first attempt to send the state failed makes no second one. */
class SendsStateOnce extends ObservedRaft {
  override snapshotReport(now: number, to: NodeId, session: number, report: SnapshotReport): void {
    super.snapshotReport(now, to, session, report)
    const snapshot = this.inspect().leadership?.replication.progressOf(to)?.snapshot
    if (report === 'failed' && snapshot !== undefined && snapshot.since === null) snapshot.retryAt = Infinity
  }
}

/** Messages that are lost on their way to a follower are not sent again while the connection stands. */
class RepeatsNothing extends LeadsOtherwise {
  protected override change({ replication }: Leadership): void {
    const beat = replication.beat.bind(replication)
    const repair = replication.connectionChanged.bind(replication)
    replication.beat = () => {
      replication.connectionChanged = () => undefined
      beat()
      replication.connectionChanged = repair
    }
  }
}

/** A follower is told of commits in messages that cannot carry them, when the leader has purged the end of the follower's log. */
class TellsInVain extends LeadsOtherwise {
  protected override change({ replication }: Leadership): void {
    const { state } = this.inspect()
    replication['canBeTold'] = ({ mode, matched, toldCommitted }) =>
      mode === 'replicate' && state.committed > toldCommitted && matched > toldCommitted
  }
}

/** Mistakes that never give a wrong answer: the cluster stops answering instead. */
export const livenessBugs: readonly PlantedBug[] = [
  {
    name: 'no-check-quorum',
    says: 'a leader that cannot reach a quorum never steps down',
    seedsMax: 2000,
    raft: ChecksNoQuorum,
  },
  {
    name: 'no-pre-vote',
    says: 'elections begin without asking first: a node that flaps raises the term',
    seedsMax: 2000,
    raft: AsksForNoPreVotes,
  },
  {
    name: 'transfer-never-ends',
    says: 'a transfer of leadership to a node that does not take over is not given up',
    seedsMax: 2000,
    raft: TransfersForEver,
  },
  {
    name: 'joint-never-left',
    says: 'the second step of a change of voters is not appended',
    seedsMax: 2000,
    raft: StaysJoint,
  },
  {
    name: 'joint-not-inherited',
    says: 'a new leader does not finish the change of voters of the one before',
    seedsMax: 2000,
    raft: InheritsNoJoint,
  },
  {
    name: 'snapshot-never-retried',
    says: 'after a broken snapshot the leader does not send another',
    seedsMax: 2000,
    raft: SendsStateOnce,
  },
  {
    name: 'loss-never-repaired',
    says: 'what a follower did not get is not sent again',
    seedsMax: 2000,
    raft: RepeatsNothing,
  },
  {
    name: 'told-in-vain',
    says: 'news that a message cannot carry are sent at every step, and every answer is a step',
    seedsMax: 2000,
    raft: TellsInVain,
  },
]
