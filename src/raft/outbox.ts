import { assert } from '../lib/assert.ts'
import { Durability } from './durability.ts'
import type { Effects, HeldMessage, Outgoing, RaftEvent, ReadRelease, SnapshotPlan, Write } from './effects.ts'
import type { LogIndex } from './types.ts'

const NONE: readonly never[] = []

/** Gathers what the core asks of the world until the driver takes it. Numbers the writes. */
export class Outbox {
  readonly durability: Durability
  private lastSeq = 0
  private writes: Write[] = []
  private sends: Outgoing[] = []
  private held: HeldMessage[] = []
  private snapshots: SnapshotPlan[] = []
  private reads: ReadRelease[] = []
  private events: RaftEvent[] = []

  constructor(last: LogIndex) {
    this.durability = new Durability(last)
  }

  get seq(): number {
    return this.lastSeq
  }

  /** Returns the number of the write. */
  write(write: Write): number {
    this.writes.push(write)
    this.lastSeq += 1
    return this.lastSeq
  }

  persisted(seq: number): void {
    assert(seq <= this.lastSeq, 'only writes that were asked for become durable')
    this.durability.persisted(seq)
  }

  send(message: Outgoing): void {
    this.sends.push(message)
  }

  /** Sends `message` once write `afterSeq` is durable. */
  sendAfter(afterSeq: number, message: Outgoing): void {
    if (afterSeq <= this.durability.seq) this.sends.push(message)
    else this.held.push({ afterSeq, message })
  }

  snapshot(plan: SnapshotPlan): void {
    this.snapshots.push(plan)
  }

  release(read: ReadRelease): void {
    this.reads.push(read)
  }

  event(event: RaftEvent): void {
    this.events.push(event)
  }

  take(committed: LogIndex): Effects {
    const { writes, lastSeq, sends, held, snapshots, reads, events } = this
    if (writes.length > 0) this.writes = []
    if (sends.length > 0) this.sends = []
    if (held.length > 0) this.held = []
    if (snapshots.length > 0) this.snapshots = []
    if (reads.length > 0) this.reads = []
    if (events.length > 0) this.events = []
    return {
      writes: writes.length > 0 ? writes : NONE,
      lastSeq,
      sends: sends.length > 0 ? sends : NONE,
      held: held.length > 0 ? held : NONE,
      snapshots: snapshots.length > 0 ? snapshots : NONE,
      committed,
      reads: reads.length > 0 ? reads : NONE,
      events: events.length > 0 ? events : NONE,
    }
  }
}
