import { assert } from '../../lib/assert.ts'
import { offsetOfEntry } from '../../lib/entries.ts'
import { toError } from '../../lib/to-error.ts'
import { limits } from '../../limits.ts'
import type { LogStore, LogWrite } from '../../ports/log-store.ts'
import type { HeldMessage, LogBatch, LogIndex, Outgoing, Write } from '../../raft/index.ts'
import { logIndex } from '../../raft/index.ts'
import { membershipsOf } from '../codec/entry.ts'

export interface LogWriterDependencies {
  readonly log: LogStore
  readonly now: () => number
  /** The cluster that this node belongs to at present: stored with every vote. */
  readonly clusterId: () => string | null
  /** Every write up to number `seq` is durable. */
  readonly onPersisted: (seq: number) => void
  readonly send: (message: Outgoing) => void
  readonly onFault: (error: Error) => void
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
  private hardStatesQueued = 0
  private hardStatesInFlight = 0
  private stopped = false
  /** How the queued writes will change the end of the log: batches from `tailFrom` on, which the store does not know yet. */
  private tail: LogBatch[] = []
  private tailFrom = Infinity
  private idle: (() => void)[] = []

  constructor(deps: LogWriterDependencies) {
    this.deps = deps
  }

  /** Adds the core's writes, the last of which has number `lastSeq`, and the messages that wait for them. */
  enqueue(writes: readonly Write[], lastSeq: number, held: readonly HeldMessage[]): void {
    for (const write of writes) this.queue.push(this.translate(write))
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

  /** The batches that hold `[first, last]`, from memory; null when some are not in memory. */
  readCached(first: LogIndex, last: LogIndex, bytesMax: number): readonly LogBatch[] | null {
    if (first >= this.tailFrom) return this.readTail(first, last, bytesMax)
    return this.deps.log.readCached(first, this.lastInStore(last), bytesMax)
  }

  /** The same, from disk if need be. Null when `first` is purged or beyond the end. */
  async read(first: LogIndex, last: LogIndex, bytesMax: number): Promise<readonly LogBatch[] | null> {
    if (first >= this.tailFrom) return this.readTail(first, last, bytesMax)
    return this.deps.log.read(first, this.lastInStore(last), bytesMax)
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

  private lastInStore(last: LogIndex): LogIndex {
    return last >= this.tailFrom ? logIndex(this.tailFrom - 1) : last
  }

  private readTail(first: LogIndex, last: LogIndex, bytesMax: number): readonly LogBatch[] | null {
    const found: LogBatch[] = []
    let bytes = 0
    for (const batch of this.tail) {
      if (batch.last < first) continue
      if (batch.first > last || (found.length > 0 && bytes + batch.body.length > bytesMax)) break
      found.push(clip(batch, first, last))
      bytes += batch.body.length
    }
    return found.length === 0 ? null : found
  }

  private translate(write: Write): LogWrite {
    switch (write.type) {
      case 'vote':
        this.hardStatesQueued += 1
        return { type: 'hard-state', state: { vote: write.vote, clusterId: this.deps.clusterId() } }
      case 'truncate':
        this.cutTail(write.from)
        return write
      case 'append': {
        const batch = clip(write.batch, write.from, write.batch.last)
        this.tail.push(batch)
        if (batch.first < this.tailFrom) this.tailFrom = batch.first
        this.queuedBytes += batch.body.length
        return { type: 'append', batch }
      }
      case 'reset':
        this.tail = []
        this.tailFrom = write.purged.index + 1
        return write
      case 'purge':
        return write
    }
  }

  private cutTail(from: LogIndex): void {
    this.tail = this.tail
      .filter((batch) => batch.first < from)
      .map((batch) => clip(batch, batch.first, min(batch.last, from - 1)))
    if (from < this.tailFrom) this.tailFrom = from
  }

  private writeQueued(): void {
    if (this.writing || this.stopped || this.queue.length === 0) return
    const writes = this.queue
    const seq = this.queuedSeq
    this.queue = []
    this.tail = []
    this.tailFrom = Infinity
    this.hardStatesInFlight = this.hardStatesQueued
    this.hardStatesQueued = 0
    this.writing = true
    this.writingSince = this.deps.now()
    this.writingBytes = this.queuedBytes
    this.queuedBytes = 0
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
    // The next write begins before anybody is told of this one: the disk is never idle while there is work.
    this.writeQueued()
    const ready = this.held.filter(({ afterSeq }) => afterSeq <= seq)
    if (ready.length > 0) this.held = this.held.filter(({ afterSeq }) => afterSeq > seq)
    for (const { message } of ready) this.deps.send(message)
    this.deps.onPersisted(seq)
    if (!this.writing) for (const resolve of this.idle.splice(0)) resolve()
  }

  private fail(error: unknown): void {
    if (this.stopped) return
    this.stop()
    this.deps.onFault(toError(error))
  }
}

function min(a: LogIndex, b: number): LogIndex {
  return a < b ? a : logIndex(b)
}

/** The part of `batch` in `[first, last]`, which overlaps it. The body is a slice. */
function clip(batch: LogBatch, first: LogIndex, last: LogIndex): LogBatch {
  const from = first > batch.first ? first : batch.first
  const to = min(last, batch.last)
  if (from === batch.first && to === batch.last) return batch
  assert(from <= to, 'a clip leaves at least one entry')
  const start = offsetOfEntry(batch.body, from - batch.first)
  const end = offsetOfEntry(batch.body, to - batch.first + 1)
  const body = batch.body.subarray(start, end)
  const clipped: LogBatch = { leaderId: batch.leaderId, first: from, last: to, body, membershipCount: 0 }
  if (batch.membershipCount === 0) return clipped
  const inside = membershipsOf(batch).filter(({ logId }) => logId !== null && logId.index >= from && logId.index <= to)
  return { ...clipped, membershipCount: inside.length }
}
