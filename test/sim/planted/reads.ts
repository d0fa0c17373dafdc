import type { Effects, LogIndex, NodeId, RaftMessage, ReadOutcome } from '../../../src/raft/index.ts'
import { BEFORE_FIRST } from '../../../src/raft/index.ts'
import type { PeerMessage } from '../../../src/ports/transport.ts'
import { ObservedRaft } from '../machines/observed-raft.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'
import { TransportDelegate } from './delegates.ts'

interface PendingRead {
  readonly readId: number
  readonly arrivedAt: number
  /** The commit index when the read arrived. */
  readonly committed: LogIndex
}

/** Answers a read as soon as `isConfirmed` says so, instead of waiting for the core. */
abstract class ReadsEarly extends ObservedRaft {
  private waiting: PendingRead[] = []

  protected abstract isConfirmed(read: PendingRead): boolean

  override read(now: number, readId: number): ReadOutcome {
    const outcome = super.read(now, readId)
    const { state } = this.inspect()
    if (outcome.kind === 'pending') this.waiting.push({ readId, arrivedAt: state.now, committed: state.committed })
    return outcome
  }

  protected override plant(effects: Effects): Effects {
    const released = new Set(effects.reads.map(({ readId }) => readId))
    this.waiting = this.waiting.filter(({ readId }) => !released.has(readId))
    const early = this.waiting.filter((read) => this.isConfirmed(read))
    this.waiting = this.waiting.filter((read) => !early.includes(read))
    const extra = early.map((read) => ({ readId: read.readId, kind: 'ready' as const, index: this.indexOf(read) }))
    return { ...effects, reads: [...effects.reads, ...extra] }
  }

  protected indexOf(_read: PendingRead): LogIndex {
    return this.view().committed
  }
}

/** A leader answers reads without confirming that it still leads. */
class ReadsUnconfirmed extends ReadsEarly {
  protected override isConfirmed(): boolean {
    return this.view().established
  }
}

/** A read is confirmed by one node less than a majority: in a cluster of three by no other node. */
class ConfirmsOneShort extends ReadsEarly {
  protected override isConfirmed({ arrivedAt }: PendingRead): boolean {
    const { state, leadership } = this.inspect()
    if (leadership === null || !leadership.established) return false
    const confirms = (id: NodeId): boolean =>
      id === state.id || (leadership.replication.progressOf(id)?.ackedAt ?? -Infinity) >= arrivedAt
    return state.membership.configs.every((config) => config.filter(confirms).length >= Math.floor(config.length / 2))
  }
}

/** A new leader answers before its blank entry is committed, when its commit index may be long out of date. */
class ReadsBeforeOwnBlank extends ReadsEarly {
  protected override isConfirmed({ arrivedAt }: PendingRead): boolean {
    return (this.view().quorumAckedAt ?? -Infinity) >= arrivedAt
  }

  protected override indexOf({ committed }: PendingRead): LogIndex {
    return committed
  }
}

/** A leader trusts its lease for as long as it leads. */
class LeaseNeverEnds extends ObservedRaft {
  override leaseRead(now: number): LogIndex | null {
    super.leaseRead(now)
    const view = this.view()
    return view.state === 'leader' && view.established ? view.committed : null
  }
}

/** The clocks are not compared, so a lease survives a suspension of the machine. */
class SleepsThrough extends ObservedRaft {
  override woken(): void {
    // Does not void the lease.
  }

  override leaseRead(now: number): LogIndex | null {
    return super.leaseRead(now)
  }
}

/** A message from a leader counts as fresh on arrival, however long it was delayed. */
class DatesByReceipt extends ObservedRaft {
  override receive(now: number, message: RaftMessage): void {
    if (message.type === 'append-request' && message.freshAt !== null)
      Object.assign(message, { freshAt: { life: this.inspect().state.options.life, at: now } })
    super.receive(now, message)
  }
}

/** Votes are granted although a leader is heard. */
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

/** A confirmed read is answered at once: the index that it must wait for is ignored. */
class AwaitsNoIndex extends ObservedRaft {
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
    seedsMax: 1000,
    raft: ReadsUnconfirmed,
  },
  {
    name: 'read-quorum-one-short',
    says: 'a read is confirmed by one node less than a majority',
    seedsMax: 2000,
    raft: ConfirmsOneShort,
  },
  {
    name: 'read-before-own-blank',
    says: 'a new leader answers reads before it knows what is committed',
    seedsMax: 200,
    raft: ReadsBeforeOwnBlank,
  },
  { name: 'lease-never-ends', says: 'reads under a lease that has run out', seedsMax: 400, raft: LeaseNeverEnds },
  {
    name: 'lease-sleeps-through',
    says: 'a lease lasts through a suspension of the machine',
    seedsMax: 1000,
    raft: SleepsThrough,
  },
  {
    name: 'fresh-by-receipt',
    says: 'the word of a leader is as fresh as its arrival',
    seedsMax: 2000,
    raft: DatesByReceipt,
  },
  { name: 'lease-not-respected', says: 'votes are given while a leader is heard', seedsMax: 1000, raft: IgnoresLeases },
  {
    name: 'read-index-not-awaited',
    says: 'a read does not wait until its index is applied',
    seedsMax: 200,
    raft: AwaitsNoIndex,
  },
  {
    name: 'follower-read-too-low',
    says: 'a follower reads before it has applied what the leader had committed',
    seedsMax: 50,
    wrapTransport: (transport) => new AnswersReadIndexTooLow(transport),
  },
]
