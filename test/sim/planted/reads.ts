import type { Effects, LogIndex, RaftMessage, ReadOutcome } from '../../../src/raft/index.ts'
import { BEFORE_FIRST } from '../../../src/raft/index.ts'
import type { PeerMessage } from '../../../src/ports/transport.ts'
import { ObservedRaft } from '../observed-raft.ts'
import type { PlantedBug } from './bug.ts'
import { TransportDelegate } from './delegates.ts'

/** A leader answers reads without asking anybody whether it still leads. */
class ReadsUnconfirmed extends ObservedRaft {
  private readonly waiting: number[] = []

  override read(now: number, readId: number): ReadOutcome {
    const outcome = super.read(now, readId)
    if (outcome.kind === 'pending') this.waiting.push(readId)
    return outcome
  }

  protected override plant(effects: Effects): Effects {
    if (this.waiting.length === 0 || !this.view().established) return effects
    const released = this.waiting.splice(0)
    const known = new Set(effects.reads.map(({ readId }) => readId))
    const extra = released.filter((readId) => !known.has(readId))
    const index = effects.committed
    return {
      ...effects,
      reads: [...effects.reads, ...extra.map((readId) => ({ readId, kind: 'ready' as const, index }))],
    }
  }
}

/** A leader believes in its lease for as long as it leads. */
class LeaseNeverEnds extends ObservedRaft {
  override leaseRead(now: number): LogIndex | null {
    super.leaseRead(now)
    const view = this.view()
    return view.state === 'leader' && view.established ? view.committed : null
  }
}

/** Votes are given although a leader is heard. */
class IgnoresLeases extends ObservedRaft {
  override receive(now: number, message: RaftMessage): void {
    super.receive(now, message.type === 'vote-request' ? { ...message, transfer: true } : message)
  }

  protected override plant(effects: Effects): Effects {
    const grant = <T extends Effects['sends'][number]>(message: T): T =>
      message.type === 'pre-vote-response' ? { ...message, granted: true } : message
    const held = effects.held.map((one) => ({ ...one, message: grant(one.message) }))
    return { ...effects, sends: effects.sends.map(grant), held }
  }
}

/** A leader counts as confirmed what was acknowledged before the read came. */
class ReadsBeforeOwnBlank extends ObservedRaft {
  protected override plant(effects: Effects): Effects {
    const reads = effects.reads.map((release) =>
      release.kind === 'ready' ? { ...release, index: BEFORE_FIRST } : release,
    )
    return { ...effects, reads }
  }
}

/** Followers are told that everything is safe to read, whatever they have applied. */
class AnswersReadIndexTooLow extends TransportDelegate {
  override send(message: PeerMessage): void {
    this.inner.send(message.type === 'read-index-response' ? { ...message, index: BEFORE_FIRST } : message)
  }
}

export const readBugs: readonly PlantedBug[] = [
  {
    name: 'read-unconfirmed',
    says: 'reads are answered by whoever believes to lead',
    seedsMax: 300,
    raft: ReadsUnconfirmed,
  },
  { name: 'lease-never-ends', says: 'reads under a lease that has run out', seedsMax: 400, raft: LeaseNeverEnds },
  { name: 'lease-not-respected', says: 'votes are given while a leader is heard', seedsMax: 1000, raft: IgnoresLeases },
  {
    name: 'read-index-not-awaited',
    says: 'a read does not wait until its index is applied',
    seedsMax: 200,
    raft: ReadsBeforeOwnBlank,
  },
  {
    name: 'follower-read-too-low',
    says: 'a follower reads before it has applied what the leader had committed',
    seedsMax: 50,
    wrapTransport: (transport) => new AnswersReadIndexTooLow(transport),
  },
]
