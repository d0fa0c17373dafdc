import { assert } from '../../lib/assert.ts'
import { limits } from '../../limits.ts'
import type { LogStore, LogWrite } from '../../ports/log-store.ts'
import type { Clock } from '../../ports/clock.ts'
import type { HeldMessage, LogIndex, Outgoing, Write } from '../../raft/index.ts'
import { BEFORE_FIRST, logIndex } from '../../raft/index.ts'
import type { Faults } from '../options.ts'
import type { OwnCluster } from '../peers/own-cluster.ts'
import type { LogTail } from './log-tail.ts'
import type { LogTimes } from './log-times.ts'

/** Hears that every write up to number `seq` is durable. */
export interface WriteListener {
  onPersisted(seq: number): void
}

export interface LogWriterDependencies {
  readonly log: LogStore
  readonly tail: LogTail
  readonly clock: Clock
  /** Stored with every vote. */
  readonly ownCluster: OwnCluster
  readonly listener: WriteListener
  /** Takes the messages that have waited for a write. */
  readonly sender: { send(message: Outgoing): void }
  /** Null: nobody wants to know how long entries take. */
  readonly times: LogTimes | null
  readonly faults: Faults
}

/** How long a write may take before its disk counts as hung: `graceMs` when much waits behind it, otherwise `patienceMs`. */
export interface DiskPatience {
  readonly graceMs: number
  readonly patienceMs: number
}

/**
 * The one ordered stream of writes (raft.md 1). One write is in flight; what arrives meanwhile is gathered and goes with the next write, in
 * order. Messages that claim durability leave after the write that they depend on.
 */
export class LogWriter {
  private readonly deps: LogWriterDependencies
  private queue: LogWrite[] = []
  private queuedSeq = 0
  private durableSeq = 0
  private held: HeldMessage[] = []
  private writing = false
  private writingSince = 0
  private writingBytes = 0
  private queuedBytes = 0
  /** The last entry that is queued, and the last that is being written. */
  private queuedLast: LogIndex = BEFORE_FIRST
  private writingLast: LogIndex = BEFORE_FIRST
  private hardStatesQueued = 0
  private hardStatesInFlight = 0
  private stopped = false
  private idle: (() => void)[] = []

  constructor(deps: LogWriterDependencies) {
    this.deps = deps
  }

  /** Adds the core's writes, the last of which has number `lastSeq`, and the messages that wait for them. */
  enqueue(writes: readonly Write[], lastSeq: number, held: readonly HeldMessage[]): void {
    for (const write of writes) this.queue.push(this.translate(write))
    const { times, clock } = this.deps
    if (writes.length > 0) times?.onAppended(this.queuedLast, clock.now())
    this.queuedSeq = lastSeq
    for (const one of held) this.held.push(one)
    if (writes.length > 0) this.writeQueued()
  }

  /** Stores the cluster id (with `vote`) before everything that is added later. */
  enqueueHardState(write: LogWrite & { type: 'hard-state' }): void {
    this.queue.push(write)
    this.hardStatesQueued += 1
    this.writeQueued()
  }

  /** The number of the last write that was added. */
  get lastWrite(): number {
    return this.queuedSeq
  }

  /** Whether everything up to write number `seq`, and the id of this node's cluster, is on disk. */
  isDurable(seq: number): boolean {
    return this.isHardStateDurable && this.durableSeq >= seq
  }

  /** Whether the vote and the cluster id that this node acts under are on disk. */
  get isHardStateDurable(): boolean {
    return this.hardStatesQueued + this.hardStatesInFlight === 0
  }

  /**
   * Whether the write in flight takes longer than `patienceMs`, or than `graceMs` when much waits behind it, and longer beyond that than its
   * bytes account for on a slow disk.
   */
  isHanging(now: number, { graceMs, patienceMs }: DiskPatience): boolean {
    const muchWaits = this.writingBytes + this.queuedBytes > limits.unsyncedBytesMax
    const allowedMs = (muchWaits ? graceMs : patienceMs) + this.writingBytes / limits.diskBytesPerMsMin
    return this.writing && now - this.writingSince > allowedMs
  }

  /** Resolves when nothing is queued or in flight, or this writer was stopped. */
  async drained(): Promise<void> {
    if (this.writing && !this.stopped) await new Promise<void>((resolve) => this.idle.push(resolve))
  }

  stop(): void {
    this.stopped = true
    for (const resolve of this.idle.splice(0)) resolve()
  }

  private translate(write: Write): LogWrite {
    switch (write.type) {
      case 'vote':
        this.hardStatesQueued += 1
        return { type: 'hard-state', state: { vote: write.vote, clusterId: this.deps.ownCluster.id } }
      case 'truncate':
        this.deps.tail.truncate(write.from)
        this.removeFrom(write.from)
        return write
      case 'append': {
        const batch = this.deps.tail.append(write.batch, write.from)
        this.queuedBytes += batch.body.length
        this.queuedLast = batch.last
        return { type: 'append', batch }
      }
      case 'reset':
        this.deps.tail.reset(write.purged.index)
        this.removeFrom(logIndex(write.purged.index + 1))
        return write
      case 'purge':
        return write
    }
  }

  private removeFrom(from: LogIndex): void {
    const last = logIndex(from - 1)
    if (this.queuedLast > last) this.queuedLast = last
    if (this.writingLast > last) this.writingLast = last
    this.deps.times?.onTruncated(from)
  }

  private writeQueued(): void {
    if (this.writing || this.stopped || this.queue.length === 0) return
    const writes = this.queue
    const seq = this.queuedSeq
    this.queue = []
    this.deps.tail.handedOver()
    this.hardStatesInFlight = this.hardStatesQueued
    this.hardStatesQueued = 0
    this.writing = true
    this.writingSince = this.deps.clock.now()
    this.writingBytes = this.queuedBytes
    this.queuedBytes = 0
    this.writingLast = this.queuedLast
    this.deps.times?.onWriting(this.writingLast, this.writingSince)
    this.deps.log
      .write(writes)
      .then(() => this.onWritten(seq))
      .catch((error: unknown) => this.fail(error))
  }

  private onWritten(seq: number): void {
    if (this.stopped) return
    assert(seq >= this.durableSeq, 'writes end in the order they began')
    this.durableSeq = seq
    this.hardStatesInFlight = 0
    this.writing = false
    const { times, clock } = this.deps
    times?.onSynced(this.writingLast, clock.now())
    // The next write begins before anybody is told of this one: the disk is never idle while there is work.
    this.writeQueued()
    const ready = this.held.filter(({ afterSeq }) => afterSeq <= seq)
    if (ready.length > 0) this.held = this.held.filter(({ afterSeq }) => afterSeq > seq)
    for (const { message } of ready) this.deps.sender.send(message)
    this.deps.listener.onPersisted(seq)
    if (!this.writing) for (const resolve of this.idle.splice(0)) resolve()
  }

  private fail(error: unknown): void {
    if (this.stopped) return
    this.stop()
    this.deps.faults.report(error)
  }
}
