import type { RaftState } from './state.ts'
import type { Leadership } from './leadership.ts'
import type { RaftView } from './options.ts'

/** A picture of the core as it is now. */
export function viewOf(
  raft: RaftState,
  leadership: Leadership | null,
  { state, leader, leaderHeardAt }: Pick<RaftView, 'state' | 'leader' | 'leaderHeardAt'>,
): RaftView {
  const quorumAckedAt = leadership?.quorumAckedAt ?? -Infinity
  return {
    id: raft.id,
    state,
    vote: raft.vote,
    leader,
    leaderHeardAt,
    last: raft.log.last,
    committed: raft.committed,
    applied: raft.applied,
    purged: raft.log.purged,
    effective: raft.effective,
    committedMembership: raft.memberships.committed,
    established: leadership?.established ?? false,
    transferringTo: leadership?.transferringTo ?? null,
    recovering: raft.recoverUntil !== null,
    followers: leadership?.replication.view() ?? [],
    quorumAckedAt: quorumAckedAt === -Infinity ? null : quorumAckedAt,
    wokenAt: raft.wokenAt,
  }
}
