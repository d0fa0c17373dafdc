import type { RaftState } from './state.ts'
import { sameLogId, type LogId, type NodeId, type NodeState } from './types.ts'

/** Turns changes of a node's role, of its leader and of the membership into events. */
export class StateEvents {
  private readonly raft: RaftState
  private state: NodeState = 'learner'
  private leader: NodeId | null = null
  private effective: LogId | null
  private committed: LogId | null

  constructor(raft: RaftState) {
    this.raft = raft
    this.effective = raft.effective.logId
    this.committed = raft.memberships.committed.logId
  }

  begin(state: NodeState, leader: NodeId | null): void {
    this.state = state
    this.leader = leader
  }

  report(state: NodeState, leader: NodeId | null): void {
    const { raft } = this
    const { vote, outbox } = raft
    if (state !== this.state) {
      this.state = state
      outbox.event({ type: 'state-changed', state, vote })
    }
    if (leader !== this.leader) {
      this.leader = leader
      outbox.event({ type: 'leader-changed', leader, vote })
    }
    this.reportMembership()
  }

  private reportMembership(): void {
    const { effective, memberships, outbox } = this.raft
    const { committed } = memberships
    const isCommitted = sameLogId(effective.logId, committed.logId)
    const effectiveChanged = !sameLogId(effective.logId, this.effective)
    if (!sameLogId(committed.logId, this.committed) && !(isCommitted && effectiveChanged)) {
      outbox.event({ type: 'membership-changed', stored: committed, committed: true })
    }
    if (effectiveChanged) outbox.event({ type: 'membership-changed', stored: effective, committed: isCommitted })
    this.effective = effective.logId
    this.committed = committed.logId
  }
}
