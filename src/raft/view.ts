import type { Core } from './state.ts'
import type { Leadership } from './leadership.ts'
import type { RaftView } from './options.ts'

/** A picture of the core as it is now. */
export function viewOf(
  core: Core,
  leadership: Leadership | null,
  { state, leader }: Pick<RaftView, 'state' | 'leader'>,
): RaftView {
  const quorumAckedAt = leadership?.quorumAckedAt ?? -Infinity
  return {
    id: core.id,
    state,
    vote: core.vote,
    leader,
    last: core.log.last,
    committed: core.committed,
    applied: core.applied,
    purged: core.log.purged,
    effective: core.effective,
    committedMembership: core.memberships.committed,
    established: leadership?.established ?? false,
    transferringTo: leadership?.transferringTo ?? null,
    recovering: core.recoverUntil !== null,
    followers: leadership?.replication.view() ?? [],
    quorumAckedAt: quorumAckedAt === -Infinity ? null : quorumAckedAt,
    wokenAt: core.wokenAt,
  }
}
