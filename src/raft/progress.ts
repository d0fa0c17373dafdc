import { assert } from '../lib/assert.ts'
import { FollowerClock } from './follower-clock.ts'
import { BEFORE_FIRST, logIndex, type LogIndex, type NodeId } from './types.ts'

/** A message with entries in flight. */
interface Flight {
  readonly last: LogIndex
  readonly bytes: number
  readonly sentAt: number
}

interface SnapshotTransfer {
  /** When the transfer in progress began; null while waiting for the next attempt. */
  since: number | null
  retryAt: number
  failures: number
  /** Once the state has arrived, the node needs the entries after this one; null when no purge has to be held back. */
  needsAfter: LogIndex | null
  /** When the transfer, or the replication of the log after it, last made progress. */
  progressAt: number
}

/** A node that the effective membership no longer names. */
interface Leaving {
  /** The entry that removed the node. Once the node knows that this entry is committed, it knows of its removal. */
  readonly index: LogIndex
  /** When that entry was found to be committed. */
  committedAt: number | null
}

export interface Window {
  readonly appendsMax: number
  readonly bytesMax: number
}

/**
 * How far one follower or learner is, as the leader sees it (thesis 10.2.1; raft.md 6).
 *
 * - probe: it is not known where the logs agree; one message at a time.
 * - replicate: `matched` is known; entries are sent ahead of acknowledgements, within the window.
 * - snapshot: the next entry that the node needs is purged; nothing but heartbeats until the state has arrived.
 *
 * Guarantees: `matched < next`; in-flight messages ascend and come after `matched`; only `replicate` has any.
 */
export class Progress {
  readonly id: NodeId
  /** Tells acknowledgements of this session from those of an earlier session with the same node. */
  readonly session: number
  mode: 'probe' | 'replicate' | 'snapshot' = 'probe'
  /** Everything up to here is on the follower's disk and equal to the leader's. Monotonic. */
  matched: LogIndex = BEFORE_FIRST
  /** When `matched` last rose. */
  matchedAt: number
  /** The first entry of the next message. */
  next: LogIndex
  /** The latest send time that the follower has acknowledged. Monotonic. */
  ackedAt = -Infinity
  heardAt: number | null = null
  readonly clock = new FollowerClock()
  /** When anything was last sent. */
  sentAt = -Infinity
  /** The highest commit index that the follower can have learnt from what it was sent. */
  toldCommitted: LogIndex = BEFORE_FIRST
  leaving: Leaving | null = null
  readonly snapshot: SnapshotTransfer = {
    since: null,
    retryAt: -Infinity,
    failures: 0,
    needsAfter: null,
    progressAt: -Infinity,
  }
  /** `Infinity` when no probe is in flight. */
  private probeSentAt = Infinity
  private probeBytes = 0
  private flights: Flight[] = []
  private flightBytes = 0

  constructor(id: NodeId, session: number, next: LogIndex, now: number) {
    this.id = id
    this.session = session
    this.next = next
    this.matchedAt = now
  }

  /**
   * Whether it is heard and close behind a log that ends at `last`. A node that holds nothing yet, or that needs the state, is not close,
   * however short the log is.
   */
  isCaughtUp(last: LogIndex, entriesMax: number): boolean {
    return this.heardAt !== null && this.matched >= 0 && this.mode !== 'snapshot' && last - this.matched <= entriesMax
  }

  get flightCount(): number {
    return this.flights.length
  }

  /** Whether there is room for a message with entries or, while probing, for the probe. */
  hasRoom(window: Window): boolean {
    if (this.mode === 'probe') return this.probeSentAt === Infinity
    return this.mode === 'replicate' && this.flights.length < window.appendsMax && this.flightBytes < window.bytesMax
  }

  /** Forgets the probe in flight, so that it is sent again. */
  repeatProbe(): void {
    this.probeSentAt = Infinity
  }

  sentProbe(bytes: number, now: number): void {
    assert(this.mode === 'probe' && this.probeSentAt === Infinity, 'one probe at a time')
    this.probeSentAt = now
    this.probeBytes = bytes
  }

  sentEntries(last: LogIndex, bytes: number, now: number): void {
    assert(this.mode === 'replicate' && last >= this.next, 'entries are sent ahead in replicate mode only')
    this.flights.push({ last, bytes, sentAt: now })
    this.flightBytes += bytes
    this.next = logIndex(last + 1)
  }

  /** An acknowledgement covers every entry before it. `purged`: the leader's log begins after it. Returns whether `matched` rose. */
  acknowledge(matched: LogIndex, purged: LogIndex, now: number): boolean {
    const rose = matched > this.matched
    if (rose) {
      this.matched = matched
      this.matchedAt = now
      this.snapshot.progressAt = now
      const { needsAfter } = this.snapshot
      if (needsAfter !== null && matched > needsAfter) this.snapshot.needsAfter = matched
    }
    // A snapshot is no longer needed as soon as the follower's log reaches ours, however it got there.
    const confirmed = this.mode === 'probe' ? matched >= this.next - 1 : this.mode === 'snapshot' && matched >= purged
    if (confirmed) this.becomeReplicate()
    if (this.mode === 'replicate') this.land()
    if (this.next <= this.matched) this.next = logIndex(this.matched + 1)
    return rose
  }

  /** The follower does not hold the entry before `next`; `agreed` may be the last one it holds. */
  stepBack(agreed: LogIndex): void {
    assert(this.mode === 'probe', 'only a probe is moved back')
    this.next = logIndex(Math.max(Math.min(agreed, this.next - 2), this.matched) + 1)
    this.probeSentAt = Infinity
  }

  /** Something in flight was lost: find out where the follower is. */
  becomeProbe(next: LogIndex): void {
    this.mode = 'probe'
    this.next = next
    this.probeSentAt = Infinity
    this.flights = []
    this.flightBytes = 0
    this.toldCommitted = logIndex(Math.min(this.toldCommitted, this.matched))
  }

  becomeSnapshot(): void {
    this.becomeProbe(this.next)
    this.mode = 'snapshot'
    this.snapshot.since = null
    this.snapshot.needsAfter = null
  }

  /** A transfer begins. The state that is sent holds at least everything up to `applied`. */
  sentSnapshot(applied: LogIndex, now: number): void {
    this.snapshot.since = now
    this.snapshot.progressAt = now
    this.snapshot.needsAfter = applied
  }

  /**
   * When the oldest message in flight has to be taken for lost: `patienceMs` after it was sent, or after the follower last made progress,
   * plus what everything in flight takes at `bytesPerMs`. Sending anew what is merely slow would delay it even more. `Infinity` when
   * nothing is in flight.
   */
  lostAt(patienceMs: number, bytesPerMs: number): number {
    if (this.mode === 'probe') return this.probeSentAt + patienceMs + this.probeBytes / bytesPerMs
    const [oldest] = this.flights
    if (oldest === undefined) return Infinity
    return Math.max(oldest.sentAt, this.matchedAt) + patienceMs + this.flightBytes / bytesPerMs
  }

  get isProbing(): boolean {
    return this.probeSentAt !== Infinity
  }

  private becomeReplicate(): void {
    this.mode = 'replicate'
    this.next = logIndex(this.matched + 1)
    this.probeSentAt = Infinity
    this.snapshot.failures = 0
    this.snapshot.since = null
    this.snapshot.retryAt = -Infinity
  }

  private land(): void {
    let landed = 0
    for (const flight of this.flights) {
      if (flight.last > this.matched) break
      this.flightBytes -= flight.bytes
      landed += 1
    }
    if (landed > 0) this.flights.splice(0, landed)
    if (this.flights.length === 0) this.flightBytes = 0
  }
}
