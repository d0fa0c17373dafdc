import type { RaftState } from './state.ts'
import type { LogIndex } from './types.ts'

interface PendingRead {
  readonly readId: number
  readonly arrivedAt: number
  readonly index: LogIndex
}

/** Linearizable reads that wait until a quorum has confirmed, after they arrived, that this node leads (thesis 6.4). */
export class PendingReads {
  private readonly raft: RaftState
  /** In the order of arrival. */
  private waiting: PendingRead[] = []
  /** When the confirmation in flight was sent; null when there is none. */
  private roundSentAt: number | null = null

  constructor(raft: RaftState) {
    this.raft = raft
  }

  add(readId: number, index: LogIndex): void {
    this.waiting.push({ readId, arrivedAt: this.raft.now, index })
  }

  /** The arrival that a new confirmation round must cover; null when no round is needed, or one is in flight. */
  wantsRound(quorumAckedAt: number): number | null {
    const newest = this.waiting.at(-1)
    if (newest === undefined) return null
    if (this.roundSentAt !== null && quorumAckedAt < this.roundSentAt) return null
    this.roundSentAt = this.raft.now
    return newest.arrivedAt
  }

  /** Releases the reads that arrived no later than `quorumAckedAt`: a quorum has acknowledged a message sent at that time or later. */
  release(quorumAckedAt: number): void {
    let released = 0
    for (const { readId, arrivedAt, index } of this.waiting) {
      if (arrivedAt > quorumAckedAt) break
      this.raft.outbox.release({ readId, kind: 'ready', index })
      released += 1
    }
    if (released > 0) this.waiting.splice(0, released)
  }

  fail(): void {
    for (const { readId } of this.waiting) this.raft.outbox.release({ readId, kind: 'failed' })
    this.waiting = []
  }
}
