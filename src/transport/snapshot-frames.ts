import { limits } from '../limits.ts'
import type { SnapshotAnswer, SnapshotHeader } from '../ports/transport.ts'
import type { FieldReader } from './field-reader.ts'
import type { FrameWriter } from './frame-writer.ts'
import { readLogId, readMembership, readVote, writeLogId, writeMembership, writeVote } from './raft-fields.ts'

export interface SnapshotChunk {
  readonly type: 'snapshot-chunk'
  /** Starts at 0 and rises by one, so that a missing, repeated or reordered chunk is noticed. */
  readonly sequence: number
  readonly body: Uint8Array
}

/** Totals of all chunks, so that a truncated stream is never taken for a complete one. */
export interface SnapshotEnd {
  readonly type: 'snapshot-end'
  readonly chunks: number
  readonly bytes: number
  /** CRC-32 of the bodies of all chunks, in order. */
  readonly checksum: number
}

export function writeSnapshotHeader(writer: FrameWriter, header: SnapshotHeader): void {
  writeVote(writer, header.vote)
  writer.u64(header.session)
  writeLogId(writer, header.logId)
  writeMembership(writer, header.membership)
  writer.u32(header.formatVersion)
  writer.u64(header.bytesEstimate)
}

export function readSnapshotHeader(reader: FieldReader): SnapshotHeader {
  const vote = readVote(reader)
  const session = reader.u64()
  const logId = readLogId(reader)
  const membership = readMembership(reader)
  const formatVersion = reader.u32()
  return { vote, session, logId, membership, formatVersion, bytesEstimate: reader.u64() }
}

export function writeSnapshotChunk(writer: FrameWriter, chunk: SnapshotChunk): void {
  writer.u64(chunk.sequence)
  writer.raw(chunk.body)
}

export function readSnapshotChunk(reader: FieldReader): SnapshotChunk {
  const sequence = reader.u64()
  return { type: 'snapshot-chunk', sequence, body: reader.raw(reader.remaining) }
}

export function writeSnapshotEnd(writer: FrameWriter, end: SnapshotEnd): void {
  writer.u64(end.chunks)
  writer.u64(end.bytes)
  writer.u32(end.checksum)
}

export function readSnapshotEnd(reader: FieldReader): SnapshotEnd {
  const chunks = reader.u64()
  const bytes = reader.u64()
  return { type: 'snapshot-end', chunks, bytes, checksum: reader.u32() }
}

export function writeSnapshotAnswer(writer: FrameWriter, answer: SnapshotAnswer): void {
  writer.flag(answer.installed)
  writer.text(answer.detail)
}

export function readSnapshotAnswer(reader: FieldReader): SnapshotAnswer {
  const installed = reader.flag()
  return { installed, detail: reader.text(limits.peerDetailBytesMax) }
}
