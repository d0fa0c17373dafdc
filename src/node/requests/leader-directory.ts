import type { LeaderId, NodeId, Raft, Vote } from '../../raft/index.ts'
import { sameLeaderId } from '../../raft/index.ts'

/** The leader, as far as this node knows. `self`: this node leads. */
export type LeaderHint =
  | { readonly kind: 'self'; readonly leaderId: LeaderId }
  | { readonly kind: 'other'; readonly leader: NodeId; readonly vote: Vote }
  | { readonly kind: 'none' }

/** The leader, as this node knows it. */
export class LeaderDirectory {
  private readonly id: NodeId
  private readonly raft: Pick<Raft, 'state' | 'vote' | 'leader' | 'transferringTo'>

  constructor(id: NodeId, raft: Pick<Raft, 'state' | 'vote' | 'leader' | 'transferringTo'>) {
    this.id = id
    this.raft = raft
  }

  /** Where a request for the leader goes now. A leader that hands over takes none. */
  leader(): LeaderHint {
    const { state, vote, leader, transferringTo } = this.raft
    if (state === 'leader') {
      return transferringTo === null ? { kind: 'self', leaderId: vote.leaderId } : { kind: 'none' }
    }
    return leader === null || leader === this.id ? { kind: 'none' } : { kind: 'other', leader, vote }
  }

  /** The ballot under which this node leads; null when it does not. */
  leading(): LeaderId | null {
    return this.raft.state === 'leader' ? this.raft.vote.leaderId : null
  }

  leadsUnder(vote: Vote): boolean {
    const leading = this.leading()
    return leading !== null && sameLeaderId(leading, vote.leaderId)
  }
}
