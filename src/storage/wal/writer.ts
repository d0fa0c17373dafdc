import { assert } from '../../lib/assert.ts'
import type { LogBatch } from '../../raft/index.ts'
import { LogOutline } from '../outline.ts'
import type { LogFiles } from './files.ts'
import { SEGMENT_HEADER_BYTES } from './format.ts'
import { encodeHeader, RECORD_HEADER_BYTES, type Record, recordBytes, sealRecord, stateRecord } from './record.ts'
import type { Segment, SegmentStock } from './segments.ts'
import type { SpanIndex } from './spans.ts'

/** A group up to this size is copied into one buffer. A larger one is gathered by the system. */
const STAGING_BYTES = 256 * 1024

export interface RecordWriterOptions {
  readonly salt: number
  /** The sequence number and the chain value of the last record. */
  readonly sequence: number
  readonly chain: number
  readonly nextSegment: number
}

export interface RecordWriterDependencies {
  readonly files: LogFiles
  readonly stock: SegmentStock
  readonly spans: SpanIndex
  readonly onSync: (durationMs: number, bytes: number) => void
  readonly now: () => number
}

/** Appends records to the log, several in one write, and starts the next segment when one is full. */
export class RecordWriter {
  /** The state of the log after the records written so far. */
  readonly outline = new LogOutline()
  /** Segments in use, ascending. The last one is written to. */
  readonly segments: Segment[] = []
  /** The sequence number of the last record that changed the entries. */
  entrySequence = 0
  private readonly salt: number
  private readonly dependencies: RecordWriterDependencies
  private sequence: number
  private chain: number
  private nextSegment: number
  private readonly staging = Buffer.allocUnsafeSlow(STAGING_BYTES)
  private group: Record[] = []
  private groupBytes = 0

  constructor(options: RecordWriterOptions, dependencies: RecordWriterDependencies) {
    this.salt = options.salt
    this.sequence = options.sequence
    this.chain = options.chain
    this.nextSegment = options.nextSegment
    this.dependencies = dependencies
  }

  /** Resolves once `records` are on stable storage. */
  async write(records: readonly Record[]): Promise<void> {
    for (const record of records) {
      const bytes = recordBytes(record)
      const active = this.segments.at(-1)
      // A reset starts a new segment, so that all earlier ones can be freed.
      const startsSegment = record.type === 'reset'
      if (active === undefined || startsSegment || !active.fits(this.groupBytes + bytes)) {
        await this.flush()
        await this.roll(bytes)
      }
      this.add(record)
    }
    await this.flush()
  }

  /**
   * Writes the end of the last segment again, from `offset` on. The last write before the opening may have failed: its records
   * can be read, and a sync reports success, but the system does not retry to put them on the disk.
   */
  async repeat(offset: number): Promise<void> {
    const active = this.segments.at(-1)
    if (active === undefined) return
    const { files } = this.dependencies
    const content = Buffer.allocUnsafe(active.tail - offset)
    await files.read(active.fd, content, offset)
    await files.write(active.fd, [content], offset)
  }

  /** Writes the first record after an opening. It skips all numbers below `sequence`, which records that were cut off may have. */
  async writeSession(sequence: number): Promise<void> {
    const session = stateRecord('session', this.outline.purged, this.outline.last)
    if (this.segments.at(-1)?.fits(recordBytes(session)) !== true) {
      await this.roll(recordBytes(session))
      await this.flush()
    }
    this.sequence = Math.max(this.sequence, sequence - 1)
    await this.write([session])
  }

  /** Removes the segments that hold nothing above the purge mark from use, and returns them. */
  takeFreed(): Segment[] {
    const { purgedIndex } = this.outline
    const kept = this.segments.findLastIndex((segment) => segment.baseIndex <= purgedIndex)
    return kept > 0 ? this.segments.splice(0, kept) : []
  }

  private add(record: Record): void {
    const segment = this.active
    switch (record.type) {
      case 'batch':
        this.outline.append(batchOf(record))
        break
      case 'truncate':
        this.outline.truncate(record.first as LogBatch['first'])
        break
      case 'reset':
        this.outline.reset({ leaderId: record.leaderId, index: record.last as LogBatch['last'] })
        segment.baseIndex = record.last as LogBatch['last']
        break
      case 'purge':
        this.outline.purge({ leaderId: record.leaderId, index: record.last as LogBatch['last'] })
        break
      case 'start':
      case 'session':
        break
    }
    this.group.push(record)
    this.groupBytes += recordBytes(record)
  }

  private get active(): Segment {
    const active = this.segments.at(-1)
    assert(active !== undefined, 'a segment is in use')
    return active
  }

  private async roll(bytes: number): Promise<void> {
    const start = stateRecord('start', this.outline.purged, this.outline.last)
    const segment = await this.dependencies.stock.take(this.nextSegment, recordBytes(start) + bytes)
    segment.baseIndex = this.outline.lastIndex
    this.segments.push(segment)
    this.nextSegment = segment.number + 1
    this.dependencies.stock.prepare(this.nextSegment)
    this.add(start)
  }

  /** Writes the group with one call and waits until it is on stable storage. */
  private async flush(): Promise<void> {
    if (this.group.length === 0) return
    const { active, groupBytes } = this
    const { files, onSync, now } = this.dependencies
    const content = groupBytes <= STAGING_BYTES ? this.stage() : this.gather()
    this.group = []
    this.groupBytes = 0
    const begin = now()
    await files.write(active.fd, content, active.tail)
    active.tail += groupBytes
    onSync(now() - begin, groupBytes)
  }

  private stage(): Buffer[] {
    const { staging } = this
    let offset = 0
    for (const [place, record] of this.group.entries()) {
      this.encode(staging, offset, record, place, offset)
      staging.set(record.body, offset + RECORD_HEADER_BYTES)
      offset += recordBytes(record)
    }
    return [staging.subarray(0, offset)]
  }

  private gather(): Uint8Array[] {
    const headers = Buffer.allocUnsafe(this.group.length * RECORD_HEADER_BYTES)
    const content: Uint8Array[] = []
    let position = 0
    for (const [place, record] of this.group.entries()) {
      const offset = place * RECORD_HEADER_BYTES
      this.encode(headers, offset, record, place, position)
      content.push(headers.subarray(offset, offset + RECORD_HEADER_BYTES))
      if (record.body.length > 0) content.push(record.body)
      position += recordBytes(record)
    }
    return content
  }

  /** Writes the header of the next record to `buffer`. The record will be `position` bytes after the segment's tail. */
  private encode(buffer: Buffer, offset: number, record: Record, place: number, position: number): void {
    const { active } = this
    const at = active.tail + position
    this.sequence += 1
    encodeHeader(buffer, offset, record, { segment: active.number, chain: this.chain, sequence: this.sequence, place })
    this.chain = sealRecord(buffer, offset, record.body, this.salt)
    assert(at >= SEGMENT_HEADER_BYTES && at + recordBytes(record) <= active.size, 'a record lies inside its segment')
    const { spans } = this.dependencies
    if (record.type === 'batch') {
      const { first, last } = batchOf(record)
      spans.add(active.number, at, recordBytes(record), first, last, record.body.length)
    } else if (record.type === 'truncate') {
      spans.truncate(record.first as LogBatch['first'])
    } else if (record.type === 'reset') {
      spans.clear()
    } else {
      return
    }
    this.entrySequence = this.sequence
  }
}

function batchOf(record: Record): LogBatch {
  const { leaderId, body, membershipCount } = record
  return {
    leaderId,
    first: record.first as LogBatch['first'],
    last: record.last as LogBatch['last'],
    body,
    membershipCount,
  }
}
