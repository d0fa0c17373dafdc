import { crc32 } from 'node:zlib'
import { assert } from '../../lib/assert.ts'
import type { LeaderId, LogBatch, LogId, LogIndex, NodeId, Term } from '../../raft/index.ts'
import { readU53, writeU53 } from './format.ts'
import { PrefixChecksums } from './prefix-checksums.ts'

/**
 * A record: a header of 72 bytes and a body.
 *
 *    0 u32 magic                    4 u32 checksum of all that follows, seeded with the log's salt
 *    8 u32 length, header included  12 u32 chain: the checksum of the record before
 *   16 u32 number of the segment    20 u32 place: how many records of the same write come before this one
 *   24 u53 sequence number          32 u53 first index   40 u53 last index
 *   48 u53 term                     56 u32 node id       60 u32 entries that set a membership
 *   64 u32 type                     68 u32 zero
 *
 * The segment's number keeps old content of a recycled file from being taken for new. The chain ties each record to all records
 * before it. Sequence numbers rise by one. Only a session record, the first record of each opening, may skip numbers: those
 * that a torn write used. The salt is secret enough that no client can place a valid record inside a value.
 */
export const RECORD_HEADER_BYTES = 72
const RECORD_MAGIC = 0x52514344
const MAGIC_BYTES = Buffer.alloc(4)
MAGIC_BYTES.writeUInt32LE(RECORD_MAGIC)

export const recordTypes = { start: 1, session: 2, batch: 3, truncate: 4, reset: 5, purge: 6 } as const

/** A record to be written. `first` and `last` are zero where the type does not use them. */
export interface Record {
  readonly type: keyof typeof recordTypes
  readonly first: number
  readonly last: number
  readonly leaderId: LeaderId
  readonly membershipCount: number
  readonly body: Uint8Array
}

/** The position of a record in the chain. */
export interface ChainPosition {
  readonly segment: number
  readonly chain: number
  readonly sequence: number
  readonly place: number
}

const NO_BODY = new Uint8Array(0)
const LOG_ID_BYTES = 21

export function batchRecord(batch: LogBatch): Record {
  return { type: 'batch', ...batch }
}

export function truncateRecord(from: LogIndex): Record {
  return {
    type: 'truncate',
    first: from,
    last: 0,
    leaderId: { term: 0 as Term, nodeId: 0 },
    membershipCount: 0,
    body: NO_BODY,
  }
}

export function markRecord(type: 'reset' | 'purge', purged: LogId): Record {
  return { type, first: 0, last: purged.index, leaderId: purged.leaderId, membershipCount: 0, body: NO_BODY }
}

/** The first record of a segment or of an opening. It states what the log holds at that point. */
export function stateRecord(type: 'start' | 'session', purged: LogId | null, last: LogId | null): Record {
  const body = Buffer.alloc(2 * LOG_ID_BYTES)
  writeLogId(body, purged, 0)
  writeLogId(body, last, LOG_ID_BYTES)
  return { type, first: 0, last: 0, leaderId: { term: 0 as Term, nodeId: 0 }, membershipCount: 0, body }
}

export function recordBytes(record: Record): number {
  return RECORD_HEADER_BYTES + record.body.length
}

/** Writes all header fields except the checksum, which `sealRecord` adds. */
export function encodeHeader(buffer: Buffer, offset: number, record: Record, position: ChainPosition): void {
  buffer.writeUInt32LE(RECORD_MAGIC, offset)
  buffer.writeUInt32LE(recordBytes(record), offset + 8)
  buffer.writeUInt32LE(position.chain, offset + 12)
  buffer.writeUInt32LE(position.segment, offset + 16)
  buffer.writeUInt32LE(position.place, offset + 20)
  writeU53(buffer, position.sequence, offset + 24)
  writeU53(buffer, record.first, offset + 32)
  writeU53(buffer, record.last, offset + 40)
  writeU53(buffer, record.leaderId.term, offset + 48)
  buffer.writeUInt32LE(record.leaderId.nodeId, offset + 56)
  buffer.writeUInt32LE(record.membershipCount, offset + 60)
  buffer.writeUInt32LE(recordTypes[record.type], offset + 64)
  buffer.writeUInt32LE(0, offset + 68)
}

/** Computes and stores the checksum of the record whose header is at `offset`. Returns it: it is the chain value of the next record. */
export function sealRecord(buffer: Buffer, offset: number, body: Uint8Array, salt: number): number {
  const headSum = crc32(buffer.subarray(offset + 8, offset + RECORD_HEADER_BYTES), salt)
  const checksum = crc32(body, headSum)
  buffer.writeUInt32LE(checksum, offset + 4)
  return checksum
}

/** A record in a buffer. Fields are read from the buffer when they are asked for. */
export class RecordView {
  readonly buffer: Buffer
  readonly offset: number

  constructor(buffer: Buffer, offset: number) {
    this.buffer = buffer
    this.offset = offset
  }

  get length(): number {
    return this.buffer.readUInt32LE(this.offset + 8)
  }
  get checksum(): number {
    return this.buffer.readUInt32LE(this.offset + 4)
  }
  get chain(): number {
    return this.buffer.readUInt32LE(this.offset + 12)
  }
  get place(): number {
    return this.buffer.readUInt32LE(this.offset + 20)
  }
  get sequence(): number {
    return readU53(this.buffer, this.offset + 24)
  }
  get first(): LogIndex {
    return readU53(this.buffer, this.offset + 32) as LogIndex
  }
  get last(): LogIndex {
    return readU53(this.buffer, this.offset + 40) as LogIndex
  }
  get type(): number {
    return this.buffer.readUInt32LE(this.offset + 64)
  }
  get leaderId(): LeaderId {
    return readLeaderId(this.buffer, this.offset + 48)
  }
  /** The log id that a reset or purge record names. */
  get logId(): LogId {
    return { leaderId: this.leaderId, index: this.last }
  }
  get body(): Buffer {
    return this.buffer.subarray(this.offset + RECORD_HEADER_BYTES, this.offset + this.length)
  }
  get membershipCount(): number {
    return this.buffer.readUInt32LE(this.offset + 60)
  }

  /** The batch, its body a slice of the buffer. */
  batch(): LogBatch {
    return {
      leaderId: this.leaderId,
      first: this.first,
      last: this.last,
      body: this.body,
      membershipCount: this.membershipCount,
    }
  }

  /** The state of the log that a start or session record holds. */
  state(): { purged: LogId | null; last: LogId | null } {
    const { body } = this
    assert(body.length === 2 * LOG_ID_BYTES, 'a start record holds two log ids')
    return { purged: readLogId(body, 0), last: readLogId(body, LOG_ID_BYTES) }
  }
}

/** The intact record of segment `segment` at `offset`, or null. Its place in the chain is not checked. */
export function recordAt(
  buffer: Buffer,
  offset: number,
  end: number,
  segment: number,
  salt: number,
): RecordView | null {
  const length = claimedLength(buffer, offset, end, segment)
  if (length === null) return null
  if (crc32(buffer.subarray(offset + 8, offset + length), salt) !== buffer.readUInt32LE(offset + 4)) return null
  return new RecordView(buffer, offset)
}

/** How long the record of segment `segment` is that seems to start at `offset`; null when none can be there. */
function claimedLength(buffer: Buffer, offset: number, end: number, segment: number): number | null {
  if (!resemblesRecord(buffer, offset, end, segment)) return null
  const length = buffer.readUInt32LE(offset + 8)
  return length < RECORD_HEADER_BYTES || length > end - offset ? null : length
}

/** Whether a record of this segment seems to start at `offset`, intact or not. */
export function resemblesRecord(buffer: Buffer, offset: number, end: number, segment: number): boolean {
  if (end - offset < RECORD_HEADER_BYTES) return false
  return buffer.readUInt32LE(offset) === RECORD_MAGIC && buffer.readUInt32LE(offset + 16) === segment
}

/** Every intact record of segment `segment` that starts in `[offset, end)`, at any position. */
export function* recordsIn(
  buffer: Buffer,
  offset: number,
  end: number,
  segment: number,
  salt: number,
): Generator<RecordView> {
  const region = buffer.subarray(0, end)
  let checksums: PrefixChecksums | null = null
  for (let at = region.indexOf(MAGIC_BYTES, offset); at >= 0; at = region.indexOf(MAGIC_BYTES, at + 1)) {
    const length = claimedLength(buffer, at, end, segment)
    if (length === null) continue
    checksums ??= new PrefixChecksums(region)
    if (checksums.of(at + 8, at + length, salt) === buffer.readUInt32LE(at + 4)) yield new RecordView(buffer, at)
  }
}

/** The batches in consecutive records; other records are skipped. Stops at the first record that is not intact. */
export function* batchesIn(content: Buffer, segment: number, salt: number): Generator<LogBatch> {
  for (let at = 0; at < content.length;) {
    const record = recordAt(content, at, content.length, segment, salt)
    if (record === null) return
    if (record.type === recordTypes.batch) yield record.batch()
    at += record.length
  }
}

function readLeaderId(buffer: Buffer, offset: number): LeaderId {
  return { term: readU53(buffer, offset) as Term, nodeId: buffer.readUInt32LE(offset + 8) as NodeId | 0 }
}

function writeLogId(buffer: Buffer, id: LogId | null, offset: number): void {
  buffer.writeUInt8(id === null ? 0 : 1, offset)
  if (id === null) return
  writeU53(buffer, id.leaderId.term, offset + 1)
  buffer.writeUInt32LE(id.leaderId.nodeId, offset + 9)
  writeU53(buffer, id.index, offset + 13)
}

function readLogId(buffer: Buffer, offset: number): LogId | null {
  if (buffer.readUInt8(offset) === 0) return null
  return { leaderId: readLeaderId(buffer, offset + 1), index: readU53(buffer, offset + 13) as LogIndex }
}
