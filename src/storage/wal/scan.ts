import { join } from 'node:path'
import { assert } from '../../lib/assert.ts'
import { StorageError } from '../../lib/errors.ts'
import type { LogBatch, LogId, LogIndex, Term } from '../../raft/index.ts'
import { clipBatch } from '../clip.ts'
import { LogOutline } from '../outline.ts'
import type { LogFiles } from './files.ts'
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES, segmentName } from './format.ts'
import {
  batchesIn,
  RECORD_HEADER_BYTES,
  type RecordView,
  recordAt,
  recordsIn,
  recordTypes,
  resemblesRecord,
} from './record.ts'
import { Segment } from './segments.ts'
import { newerFormat } from './slot.ts'
import { SpanIndex } from './spans.ts'

export interface ScanOptions {
  readonly directory: string
  readonly uuid: Buffer
  readonly salt: number
  /** Numbers of the segment files that exist, ascending. */
  readonly numbers: readonly number[]
  /** The purge mark of the watermark. */
  readonly purged: LogId | null
  /** Aborting it ends the scan between two segments. */
  readonly signal?: AbortSignal | undefined
}

const NOTHING: LogId = { leaderId: { term: 0 as Term, nodeId: 0 }, index: -1 as LogIndex }

/** Valid records found after the place where the chain broke: evidence of writes that can no longer be reached. */
interface Witnesses {
  count: number
  highestSequence: number
  highestIndex: number
  /** One of them belongs to a write after the first missing one. That first write had therefore been acknowledged. */
  laterWrite: boolean
}

/**
 * Reads the segments in order, checks every record and its place in the chain, and stops where the chain ends. The records
 * after that place tell whether a crash tore the last write or the log was damaged.
 */
export class LogScan {
  readonly outline = new LogOutline()
  readonly spans = new SpanIndex()
  readonly segments: Segment[] = []
  readonly findings: string[] = []
  membershipBatches: LogBatch[] = []
  /** Sequence number and checksum of the last record in the chain. */
  sequence = 0
  chain = 0
  /** The sequence number of the last record that changed the entries. */
  entrySequence = 0
  /** Start of the last write that has records in the chain, in the segment `endNumber`. */
  lastWriteAt = 0
  readonly witnesses: Witnesses = { count: 0, highestSequence: 0, highestIndex: -1, laterWrite: false }
  /** The index up to which records say that the log was purged. No entry above it may be missing. */
  private markedPurged: LogId | null = null
  /** Entries up to here cannot be read from the remaining segments. */
  private floor = -1
  private readonly options: ScanOptions
  private readonly files: LogFiles
  private buffer = Buffer.alloc(0)
  /** Segments that may be reused: their headers are valid. */
  readonly intactHeaders = new Set<number>()
  private endsIntact = true
  /** The segment in which the chain ended; 0 when not even its start was found. */
  endNumber = 0

  constructor(options: ScanOptions, files: LogFiles) {
    this.options = options
    this.files = files
  }

  /** Whether records are missing in a way that no crash explains. */
  get damaged(): boolean {
    return this.witnesses.laterWrite
  }

  async run(): Promise<void> {
    let ended = false
    let before: number | null = null
    for (const number of this.options.numbers) {
      this.options.signal?.throwIfAborted()
      if (before !== null && number !== before + 1 && !ended) {
        ended = true
        this.findings.push(`Log segment ${segmentName(before + 1)} is missing.`)
      }
      before = number
      const segment = await this.load(number)
      this.segments.push(segment)
      const content = this.buffer.subarray(0, segment.size)
      if (!this.checkHeader(content, number)) {
        this.searchWitnesses(content, number, 0)
        ended = true
        continue
      }
      this.intactHeaders.add(number)
      if (!ended && this.continuesIn(content, number)) {
        // The chain continues here, so the rest of the previous segment needs no explanation.
        this.endsIntact = true
        this.forgetWitnesses()
        this.walk(content, segment)
        this.endNumber = number
      } else {
        if (!ended && resemblesRecord(content, SEGMENT_HEADER_BYTES, content.length, number)) this.endsIntact = false
        ended = true
      }
      this.searchWitnesses(content, number, number === this.endNumber ? segment.tail : SEGMENT_HEADER_BYTES)
    }
    this.checkBegin()
    this.explainEnd()
    this.buffer = Buffer.alloc(0)
  }

  /** Removes entries from `from` on, which a loss made doubtful. */
  truncate(from: LogIndex): void {
    this.outline.truncate(from)
    this.spans.truncate(from)
    this.clipMemberships()
  }

  /** The sizes of the remaining entries, exact at both ends. */
  async sizes(): Promise<{ last: LogIndex; bytes: number }[]> {
    const first = (this.outline.purgedIndex + 1) as LogIndex
    this.spans.dropThrough(this.outline.purgedIndex)
    const sizes: { last: LogIndex; bytes: number }[] = []
    for (const span of this.spans.all()) {
      let { bytes } = span
      if (span.cut || span.first < first) {
        const segment = this.segments.find((candidate) => candidate.number === span.segment)
        assert(segment !== undefined, 'a span lies in a segment that exists')
        const content = Buffer.allocUnsafe(span.end - span.offset)
        await this.files.read(segment.fd, content, span.offset)
        bytes = 0
        for (const batch of batchesIn(content, span.segment, this.options.salt)) {
          if (batch.last < first || batch.first > span.last) continue
          bytes += clipBatch(batch, first, span.last).body.length
        }
      }
      sizes.push({ last: span.last, bytes })
    }
    return sizes
  }

  private async load(number: number): Promise<Segment> {
    const fd = await this.files.open(join(this.options.directory, segmentName(number)), 'existing')
    // Makes durable what a killed process, or a copy of the directory, left in memory only.
    await this.files.sync(fd)
    const size = await this.files.size(fd)
    if (this.buffer.length < size) this.buffer = Buffer.allocUnsafeSlow(size)
    await this.files.read(fd, this.buffer.subarray(0, size), 0)
    return new Segment(number, fd, size)
  }

  private checkHeader(content: Buffer, number: number): boolean {
    const path = join(this.options.directory, segmentName(number))
    const header = decodeSegmentHeader(content)
    if (header.type === 'newer') throw newerFormat(path, header.version)
    if (header.type === 'damaged') {
      this.findings.push(`The header of log segment ${segmentName(number)} is damaged.`)
      return false
    }
    if (!header.uuid.equals(this.options.uuid)) {
      throw new StorageError(
        'refused',
        `${path} belongs to another log. Restore the directory as it was, or remove this node from its cluster and add it again with an ` +
          'empty directory; it may keep its id.',
      )
    }
    if (header.number !== number) {
      throw new StorageError(
        'refused',
        `${path} is segment ${header.number} under the name of another segment. Restore its name.`,
      )
    }
    return true
  }

  /** Whether the first record of the segment follows the last one found; for the first segment, whether it has one. */
  private continuesIn(content: Buffer, number: number): boolean {
    const start = recordAt(content, SEGMENT_HEADER_BYTES, content.length, number, this.options.salt)
    if (start === null || start.type !== recordTypes.start) return false
    if (this.endNumber === 0) {
      this.sequence = start.sequence - 1
      this.chain = start.chain
      const { purged, last } = start.state()
      this.markedPurged = purged
      // Entries up to `last` were in segments that have been freed. Later records must say that these entries were purged.
      if (last !== null) this.startAfter(last)
      return true
    }
    return start.sequence === this.sequence + 1 && start.chain === this.chain
  }

  private walk(content: Buffer, segment: Segment): void {
    const { salt } = this.options
    segment.baseIndex = this.outline.lastIndex
    for (;;) {
      const record = recordAt(content, segment.tail, content.length, segment.number, salt)
      if (record === null || record.chain !== this.chain) break
      const skips = record.type === recordTypes.session
      if (skips ? record.sequence <= this.sequence : record.sequence !== this.sequence + 1) break
      this.apply(record, segment)
      if (record.place === 0) this.lastWriteAt = record.offset
      this.sequence = record.sequence
      this.chain = record.checksum
      segment.tail += record.length
    }
    this.endsIntact = !resemblesRecord(content, segment.tail, content.length, segment.number)
  }

  private apply(record: RecordView, segment: Segment): void {
    switch (record.type) {
      case recordTypes.start:
      case recordTypes.session:
        return
      case recordTypes.batch:
        this.applyBatch(record, segment)
        break
      case recordTypes.truncate:
        this.applyTruncate(record.first, segment)
        break
      case recordTypes.reset:
        this.startAfter(record.logId)
        this.markedPurged = record.logId
        // A reset directly follows the start of its segment, so nothing in the segment depends on earlier segments.
        segment.baseIndex = record.last
        break
      case recordTypes.purge:
        if (record.last > this.outline.lastIndex) {
          throw this.inconsistent(segment, `it purges up to ${record.last}, beyond its end`)
        }
        this.applyPurge(record.logId)
        return
      default:
        throw this.inconsistent(segment, `it holds a record of unknown type ${record.type}`)
    }
    this.entrySequence = record.sequence
  }

  private applyBatch(record: RecordView, segment: Segment): void {
    const { first, last } = record
    const batch = { leaderId: record.leaderId, first, last }
    const reason = this.outline.ignoreAppend(batch)
    if (reason !== null) throw this.inconsistent(segment, reason)
    this.outline.append(batch)
    const { length } = record
    this.spans.add(segment.number, record.offset, length, first, last, length - RECORD_HEADER_BYTES)
    if (record.membershipCount > 0) {
      this.membershipBatches.push({ ...record.batch(), body: Buffer.from(record.body) })
    }
  }

  private applyTruncate(from: LogIndex, segment: Segment): void {
    if (from > this.outline.purgedIndex) {
      this.truncate(from)
    } else if (from > (this.markedPurged?.index ?? -1)) {
      // The truncation reached into a segment that has since been freed, so the entries before it were purged later;
      // `checkBegin` checks that. Until then only the index is known, not its leader.
      this.startAfter({ ...NOTHING, index: (from - 1) as LogIndex })
    } else {
      throw this.inconsistent(segment, `it truncates from purged entry ${from}`)
    }
  }

  /** Drops every entry. */
  private startAfter(purged: LogId): void {
    this.floor = purged.index
    this.outline.reset(purged)
    this.spans.clear()
    this.membershipBatches = []
  }

  private applyPurge(purged: LogId): void {
    this.markedPurged = purged
    if (purged.index > this.outline.purgedIndex) {
      this.outline.purge(purged)
    } else if (purged.index === this.outline.purgedIndex) {
      // The mark is the same, but its leader may have been unknown until here.
      if (this.outline.lastIndex === purged.index) this.outline.last = purged
      this.outline.purged = purged
    }
    this.spans.dropThrough(purged.index)
    this.clipMemberships()
  }

  private clipMemberships(): void {
    const first = (this.outline.purgedIndex + 1) as LogIndex
    const last = this.outline.lastIndex
    this.membershipBatches = this.membershipBatches
      .filter((batch) => batch.last >= first && batch.first <= last)
      .map((batch) => clipBatch(batch, first, last))
  }

  private inconsistent(segment: Segment, what: string): StorageError {
    return new StorageError(
      'refused',
      `The log in ${this.options.directory} contradicts itself in ${segmentName(segment.number)}: ${what}. ` +
        'Its checksums are right, so this is not a damaged disk. Keep the directory for a report, remove this node from the cluster, ' +
        'and add it again with an empty directory; it may keep its id.',
    )
  }

  private forgetWitnesses(): void {
    Object.assign(this.witnesses, { count: 0, highestSequence: 0, highestIndex: -1, laterWrite: false })
  }

  private searchWitnesses(content: Buffer, number: number, from: number): void {
    const { witnesses } = this
    for (const record of recordsIn(content, from, content.length, number, this.options.salt)) {
      witnesses.highestSequence = Math.max(witnesses.highestSequence, record.sequence)
      // A record that an earlier opening cut off proves nothing: the session record after it skipped its number.
      if (record.sequence <= this.sequence) continue
      witnesses.count += 1
      if (record.type === recordTypes.batch) witnesses.highestIndex = Math.max(witnesses.highestIndex, record.last)
      if (record.sequence - record.place > this.sequence + 1) witnesses.laterWrite = true
    }
  }

  /** Entries below the first segment must have been purged. Otherwise segments were removed, and nothing connects the rest to its past. */
  private checkBegin(): void {
    const { purged } = this.options
    const firstNumber = this.options.numbers[0] ?? 1
    if (purged !== null && purged.index > (this.markedPurged?.index ?? -1)) this.markedPurged = purged
    if (this.markedPurged !== null && this.markedPurged.index >= this.floor) {
      if (this.markedPurged.index <= this.outline.lastIndex) this.applyPurge(this.markedPurged)
      else this.startAfter(this.markedPurged)
    }
    if (this.endNumber === 0 && firstNumber > 1) {
      this.findings.push(`The beginning of log segment ${segmentName(firstNumber)} is damaged.`)
      this.witnesses.laterWrite = true
    }
    if ((this.markedPurged?.index ?? -1) >= this.floor) return
    this.findings.push(
      `The log begins with ${segmentName(firstNumber)}, but entries up to ${this.floor} before it were never purged: segments are missing.`,
    )
    this.witnesses.laterWrite = true
    this.witnesses.highestIndex = Math.max(this.witnesses.highestIndex, this.outline.lastIndex)
    this.startAfter(this.markedPurged ?? NOTHING)
    this.outline.purged = this.markedPurged
    this.outline.last = this.markedPurged
  }

  private explainEnd(): void {
    const { witnesses } = this
    const at = `after entry ${this.outline.lastIndex}, in ${segmentName(Math.max(this.endNumber, this.options.numbers[0] ?? 1))}`
    if (witnesses.laterWrite) {
      this.findings.push(
        `The log is damaged ${at}: ${witnesses.count} intact records lie beyond the damage and are dropped.`,
      )
    } else if (!this.endsIntact || witnesses.count > 0) {
      this.findings.push(`The last write to the log was incomplete and was cut off ${at}.`)
    }
  }
}
