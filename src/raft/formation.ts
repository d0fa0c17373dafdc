import type { RaftState } from './state.ts'
import type { Election } from './election.ts'
import { checkMembership, isVoter } from './membership.ts'
import type { InitializeOutcome } from './requests.ts'
import { compareVotes, LEADER_ID_ZERO, logIndex, VOTE_ZERO, type LogBatch, type Membership } from './types.ts'

const FIRST = logIndex(0)

/**
 * Forms a cluster (raft.md 3): appends the membership entry at index 0 with the smallest possible log id, without consensus, and then holds
 * an election.
 *
 * Every node may do this at once with the same members: the entries are identical, and voting settles the rest. The smallest log id cannot
 * stand above anything committed, and a node that has given no vote does not change a history that others have seen.
 */
export class Formation {
  private readonly raft: RaftState
  private readonly election: Election
  /** The write of the membership entry; null once it is durable. */
  private campaignAfter: number | null = null

  constructor(raft: RaftState, election: Election) {
    this.raft = raft
    this.election = election
  }

  initialize(membership: Membership): InitializeOutcome {
    const { raft } = this
    const { vote, effective, log } = raft
    if (log.last !== null || compareVotes(vote, VOTE_ZERO) !== 0) {
      return { kind: 'already-initialized', last: log.last, vote, membership: effective }
    }
    if (!isVoter(membership, raft.id)) return { kind: 'not-in-members' }
    checkMembership(membership)
    const body = raft.codec.membership(membership)
    const logId = { leaderId: LEADER_ID_ZERO, index: FIRST }
    const batch: LogBatch = { leaderId: LEADER_ID_ZERO, first: FIRST, last: FIRST, body, membershipCount: 1 }
    raft.append(batch, FIRST, [{ logId, membership }])
    this.campaignAfter = raft.outbox.seq
    return { kind: 'appended', logId }
  }

  /** Starts the election at once, without waiting for a timeout, unless this node has meanwhile voted for another initialiser. */
  settle(): void {
    const { raft } = this
    if (this.campaignAfter === null || raft.outbox.durability.seq < this.campaignAfter) return
    this.campaignAfter = null
    if (compareVotes(raft.vote, VOTE_ZERO) === 0) this.election.startCampaign(false)
  }
}
