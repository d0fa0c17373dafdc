import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { assert, type InvariantError } from '../../lib/assert.ts'
import { StorageError } from '../../lib/errors.ts'
import type { LogContents, LogStore, LogWrite } from '../../ports/log-store.ts'
import type { LogBatch, LogIndex } from '../../raft/index.ts'
import { BatchList } from '../batch-list.ts'
import { storageFault } from '../fault.ts'
import { LogOutline } from '../outline.ts'
import { type LogFiles, nodeFiles, trackOpenFiles } from './files.ts'
import { segmentName } from './format.ts'
import type { HardStateFiles } from './hard-state.ts'
import { batchRecord, markRecord, type Record, truncateRecord } from './record.ts'
import { type RecoveredLog, recoverLog } from './recovery.ts'
import { SegmentStock } from './segments.ts'
import { SpanReader } from './span-reader.ts'
import type { SpanIndex } from './spans.ts'
import type { WatermarkFile } from './watermark.ts'
import { RecordWriter } from './writer.ts'

export interface WalLogStoreOptions {
  /** A directory for the log alone. It is created when it does not exist. */
  readonly directory: string
  readonly segmentBytes: number
  /** Recent batches kept in memory, in bytes of their bodies. Batches that are being written are not counted. */
  readonly cacheBytesMax: number
}

/** All are optional. */
export interface WalLogStoreDependencies {
  /** Told of each problem in the background that needs no reaction, in one line. */
  readonly onFinding?: (finding: string) => void
  /** Called after each synced write of records with its duration and size. */
  readonly onSync?: (durationMs: number, bytes: number) => void
  readonly files?: LogFiles
  readonly now?: () => number
  readonly randomBytes?: (count: number) => Buffer
  /** Aborting it ends an opening, which reads the whole log. */
  readonly signal?: AbortSignal | undefined
}

/** What exists between `open` and `close`. */
interface OpenLog {
  readonly hardState: HardStateFiles
  readonly watermarkFile: WatermarkFile
  readonly spans: SpanIndex
  readonly writer: RecordWriter
  readonly reader: SpanReader
  readonly stock: SegmentStock
}

/**
 * The log in segments of fixed size. A write is visible at once, and durable when it resolves. After the first error every
 * later call rejects with that error.
 */
export class WalLogStore implements LogStore {
  private readonly options: WalLogStoreOptions
  private readonly dependencies: WalLogStoreDependencies
  private readonly files: LogFiles & { closeAll(): Promise<void> }
  /** Everything in the log, durable or not. */
  private readonly outline = new LogOutline()
  /** The end of the log, including everything that is not yet durable. */
  private readonly cache = new BatchList()
  private log: OpenLog | null = null
  private durableIndex = -1 as LogIndex
  private lostUpTo: LogIndex | null = null
  /** Incremented whenever entries disappear, so that a read from disk notices the change. */
  private removals = 0
  /** Settles, and never rejects, when the current write has ended. */
  private writing: Promise<void> | null = null
  private readonly reading = new Set<Promise<void>>()
  private fault: StorageError | InvariantError | null = null
  private closing: Promise<void> | null = null

  constructor(options: WalLogStoreOptions, dependencies: WalLogStoreDependencies = {}) {
    this.options = options
    this.dependencies = dependencies
    this.files = trackOpenFiles(dependencies.files ?? nodeFiles)
  }

  async open(): Promise<LogContents> {
    assert(this.log === null && this.closing === null, 'a log is opened once')
    try {
      return await this.load()
    } catch (error) {
      const fault = this.fail(error, `open the log in ${this.options.directory}`)
      // The reason of the refusal matters more than a file that cannot be closed.
      await this.files.closeAll().catch(() => undefined)
      throw fault
    }
  }

  async write(writes: readonly LogWrite[]): Promise<void> {
    const log = this.checkOpen()
    assert(this.writing === null, 'a write begins after the one before has resolved')
    const work = this.carryOut(log, writes).catch((error: unknown) => {
      throw this.fail(error, `write to the log in ${this.options.directory}`)
    })
    this.writing = work.then(
      () => undefined,
      () => undefined,
    )
    try {
      await work
    } finally {
      this.writing = null
    }
  }

  async read(first: LogIndex, last: LogIndex, bytesMax: number): Promise<readonly LogBatch[] | null> {
    const log = this.checkOpen()
    const cached = this.readCached(first, last, bytesMax)
    if (cached !== null || !this.holds(first) || last < first) return cached
    const work = this.readThrough(log, first, last, bytesMax).catch((error: unknown) => {
      throw this.fail(error, `read the log in ${this.options.directory}`)
    })
    const ended = work.then(
      () => undefined,
      () => undefined,
    )
    this.reading.add(ended)
    try {
      return await work
    } finally {
      this.reading.delete(ended)
    }
  }

  readCached(first: LogIndex, last: LogIndex, bytesMax: number): readonly LogBatch[] | null {
    this.checkOpen()
    return this.holds(first) ? this.cache.select(first, last, bytesMax) : null
  }

  sizeBytes(): number {
    if (this.log === null) return 0
    const inUse = this.log.writer.segments.reduce((sum, segment) => sum + segment.size, 0)
    return inUse + this.log.stock.sizeBytes
  }

  async close(): Promise<void> {
    this.closing ??= this.closeAfterWork()
    return this.closing
  }

  private async closeAfterWork(): Promise<void> {
    await this.writing
    await Promise.all(this.reading)
    await this.log?.stock.stop()
    try {
      await this.files.closeAll()
    } catch (error) {
      throw this.fail(error, `close the log in ${this.options.directory}`)
    }
  }

  private async load(): Promise<LogContents> {
    const { randomBytes: random = randomBytes, signal } = this.dependencies
    const recovered = await recoverLog(this.options.directory, this.files, random, signal)
    const { scan, lostUpTo, findings, hardState } = recovered
    const log = await this.takeOver(recovered)
    this.log = log
    this.outline.copyFrom(scan.outline)
    this.lostUpTo = lostUpTo
    const contents: LogContents = {
      hardState: hardState.state,
      purged: this.outline.purged,
      last: this.outline.last,
      runs: [...this.outline.runs],
      sizes: await scan.sizes(),
      membershipBatches: scan.membershipBatches,
      lostUpTo,
      findings,
    }
    await log.writer.repeat(scan.lastWriteAt)
    await log.writer.writeSession(recovered.nextSequence)
    if (recovered.truncateFrom !== null) await log.writer.write([truncateRecord(recovered.truncateFrom)])
    this.acknowledge(log)
    this.freeSegments(log)
    return contents
  }

  /** Sorts the segments that were found: those in use, one that is ready, and those to remove. */
  private async takeOver({
    scan,
    hardState,
    watermarkFile,
    salt,
    lostUpTo,
    nextSequence,
  }: RecoveredLog): Promise<OpenLog> {
    const { directory, segmentBytes } = this.options
    const { files } = this
    const { onFinding = () => undefined, onSync = () => undefined, now = () => performance.now() } = this.dependencies
    const stock = new SegmentStock({ directory, segmentBytes, uuid: hardState.uuid }, { files, onFinding })
    const found = scan.endNumber > 0
    const lastNumber = scan.segments.at(-1)?.number ?? 0
    const nextSegment = found ? scan.endNumber + 1 : lostUpTo === null ? 1 : lastNumber + 1
    const sequence = found ? scan.sequence : nextSequence - 1
    const options = { salt, sequence, chain: found ? scan.chain : 0, nextSegment }
    const writer = new RecordWriter(options, { files, stock, spans: scan.spans, onSync, now })
    writer.outline.copyFrom(scan.outline)
    writer.entrySequence = scan.entrySequence
    // Removes from the last one backwards, so that a crash leaves no gap.
    for (const segment of scan.segments.toReversed()) {
      const { number } = segment
      if (found && number <= scan.endNumber) {
        writer.segments.unshift(segment)
      } else if (
        number === nextSegment &&
        segment.size === segmentBytes &&
        scan.intactHeaders.has(number) &&
        !scan.damaged
      ) {
        stock.adopt(segment)
      } else {
        await files.close(segment.fd)
        await files.remove(join(directory, segmentName(number)))
      }
    }
    if (found) stock.prepare(nextSegment)
    const reader = new SpanReader(salt, files, scan.spans, writer.segments)
    return { hardState, watermarkFile, spans: scan.spans, writer, reader, stock }
  }

  /** Makes `writes` visible, then durable, in their order. */
  private async carryOut(log: OpenLog, writes: readonly LogWrite[]): Promise<void> {
    let records: Record[] = []
    const steps: (() => Promise<void>)[] = []
    const addRecords = (): void => {
      const group = records
      records = []
      if (group.length > 0) steps.push(async () => log.writer.write(group))
    }
    for (const write of writes) {
      if (write.type === 'hard-state') {
        // On disk, records before and after the vote must stay before and after it.
        addRecords()
        steps.push(async () => log.hardState.write(write.state))
      } else {
        const record = this.show(write)
        if (record !== null) records.push(record)
      }
    }
    addRecords()
    for (const step of steps) await step()
    this.acknowledge(log)
    if (writes.some((write) => write.type === 'purge' || write.type === 'reset')) this.freeSegments(log)
  }

  /** Makes the write visible to readers, and returns the record for the disk. */
  private show(write: Exclude<LogWrite, { type: 'hard-state' }>): Record | null {
    const { outline, cache } = this
    switch (write.type) {
      case 'append':
        outline.append(write.batch)
        cache.push(write.batch)
        return batchRecord(write.batch)
      case 'truncate': {
        const isEmpty = write.from > outline.lastIndex
        outline.truncate(write.from)
        if (isEmpty) return null
        cache.truncate(write.from)
        this.durableIndex = Math.min(this.durableIndex, write.from - 1) as LogIndex
        this.removals += 1
        return truncateRecord(write.from)
      }
      case 'reset':
        outline.reset(write.purged)
        cache.clear()
        this.durableIndex = write.purged.index
        this.removals += 1
        return markRecord('reset', write.purged)
      case 'purge':
        if (write.purged.index <= outline.purgedIndex) return null
        outline.purge(write.purged)
        cache.dropThrough(write.purged.index)
        this.removals += 1
        return markRecord('purge', write.purged)
    }
  }

  /** Everything that is visible has become durable. */
  private acknowledge(log: OpenLog): void {
    const { purged, last, lastIndex } = this.outline
    this.durableIndex = lastIndex
    this.cache.evict(this.options.cacheBytesMax, lastIndex)
    if (this.lostUpTo !== null && lastIndex >= this.lostUpTo) this.lostUpTo = null
    log.watermarkFile.write({
      sequence: log.writer.entrySequence,
      hardStateSequence: log.hardState.sequence,
      last,
      purged,
      lostUpTo: this.lostUpTo,
    })
  }

  private freeSegments(log: OpenLog): void {
    log.spans.dropThrough(this.outline.purgedIndex)
    for (const segment of log.writer.takeFreed()) {
      log.stock.retire(segment, (error) => this.fail(error, 'free a log segment'))
    }
  }

  /** Reads entries from disk that are no longer in memory, and the rest from memory. Starts again when entries disappeared meanwhile. */
  private async readThrough(
    log: OpenLog,
    first: LogIndex,
    last: LogIndex,
    bytesMax: number,
  ): Promise<readonly LogBatch[] | null> {
    for (;;) {
      if (!this.holds(first)) return null
      const to = Math.min(last, this.outline.lastIndex) as LogIndex
      const removals = this.removals
      const batches: LogBatch[] = []
      let bytes = 0
      let next = first
      while (next <= to && (batches.length === 0 || bytes < bytesMax)) {
        const cachedFrom = this.cache.first ?? this.durableIndex + 1
        const part =
          this.cache.select(next, to, bytesMax - bytes) ??
          (await log.reader.read(next, Math.min(to, cachedFrom - 1) as LogIndex, bytesMax - bytes))
        if (removals !== this.removals) break
        if (part === null) throw this.damagedAt(next)
        const fitting = takeFitting(part, batches.length === 0 ? Infinity : bytesMax - bytes)
        batches.push(...fitting)
        bytes += fitting.reduce((sum, batch) => sum + batch.body.length, 0)
        next = ((batches.at(-1)?.last ?? next) + 1) as LogIndex
        if (fitting.length < part.length) break
      }
      if (removals === this.removals) return batches
    }
  }

  private holds(index: LogIndex): boolean {
    return index > this.outline.purgedIndex && index <= this.outline.lastIndex
  }

  private damagedAt(index: LogIndex): StorageError {
    return new StorageError(
      'failed',
      `Entry ${index} of the log in ${this.options.directory} is damaged on the disk. Start the node again: ` +
        'it drops the log from the damage on and fetches the rest from the leader. Check the disk.',
    )
  }

  private checkOpen(): OpenLog {
    if (this.fault !== null) throw this.fault
    if (this.log === null || this.closing !== null) throw new StorageError('failed', 'The log is not open.')
    return this.log
  }

  /** Sets the error of this and every later call. */
  private fail(error: unknown, action: string): StorageError | InvariantError {
    this.fault ??= storageFault(error, action)
    return this.fault
  }
}

/** The leading batches within `bytesMax`; all batches when it is infinite. */
function takeFitting(batches: readonly LogBatch[], bytesMax: number): readonly LogBatch[] {
  let bytes = 0
  const end = batches.findIndex((batch) => (bytes += batch.body.length) > bytesMax)
  return end < 0 ? batches : batches.slice(0, end)
}
