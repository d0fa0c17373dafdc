import { countEntries, ENTRY_LENGTH_BYTES } from '../lib/entries.ts'
import { limits } from '../limits.ts'
import type {
  AppendOutcome,
  AppendRequest,
  AppendResponse,
  LogBatch,
  LogId,
  LogIndex,
  Moment,
  NodeId,
  PreVoteRequest,
  PreVoteResponse,
  TransferRequest,
  VoteRequest,
  VoteResponse,
} from '../raft/index.ts'
import { DecodeError } from './decode-error.ts'
import type { FieldReader } from './field-reader.ts'
import type { FrameWriter } from './frame-writer.ts'
import {
  readIndex,
  readLeaderId,
  readNodeId,
  readOptionalLogId,
  readVote,
  writeIndex,
  writeLeaderId,
  writeNodeId,
  writeOptionalLogId,
  writeVote,
} from './raft-fields.ts'

/** Bytes of term, node, first, last, membership count and length of the body. */
const BATCH_FIELDS_BYTES = 12 + 8 + 8 + 4 + 4

interface Envelope {
  readonly from: NodeId
  readonly to: NodeId
}

export function writeEnvelope(writer: FrameWriter, message: Envelope): void {
  writeNodeId(writer, message.from)
  writeNodeId(writer, message.to)
}

export function readEnvelope(reader: FieldReader): Envelope {
  const from = readNodeId(reader)
  return { from, to: readNodeId(reader) }
}

export function writeBallotRequest(writer: FrameWriter, message: PreVoteRequest | VoteRequest | TransferRequest): void {
  writeEnvelope(writer, message)
  writeVote(writer, message.vote)
  writeOptionalLogId(writer, message.last)
  if (message.type === 'vote-request') writer.flag(message.transfer)
}

export function readPreVoteRequest(reader: FieldReader): PreVoteRequest {
  const { from, to } = readEnvelope(reader)
  const vote = readVote(reader)
  return { type: 'pre-vote-request', from, to, vote, last: readOptionalLogId(reader) }
}

export function readVoteRequest(reader: FieldReader): VoteRequest {
  const { from, to } = readEnvelope(reader)
  const vote = readVote(reader)
  const last = readOptionalLogId(reader)
  return { type: 'vote-request', from, to, vote, last, transfer: reader.flag() }
}

export function readTransferRequest(reader: FieldReader): TransferRequest {
  const { from, to } = readEnvelope(reader)
  const vote = readVote(reader)
  return { type: 'transfer-request', from, to, vote, last: readOptionalLogId(reader) }
}

export function writeBallotResponse(writer: FrameWriter, message: PreVoteResponse | VoteResponse): void {
  writeEnvelope(writer, message)
  writeVote(writer, message.asked)
  writer.flag(message.granted)
  writeVote(writer, message.vote)
}

export function readBallotResponse<T extends 'pre-vote-response' | 'vote-response'>(
  type: T,
  reader: FieldReader,
): Omit<VoteResponse, 'type'> & { readonly type: T } {
  const { from, to } = readEnvelope(reader)
  const asked = readVote(reader)
  const granted = reader.flag()
  return { type, from, to, asked, granted, vote: readVote(reader) }
}

/** The fields of all batches come first, then their bodies: the same bytes as in the log, without a copy. */
export function writeAppendRequest(writer: FrameWriter, message: AppendRequest): void {
  writeEnvelope(writer, message)
  writeVote(writer, message.vote)
  writer.u64(message.session)
  writeOptionalLogId(writer, message.prev)
  writeIndex(writer, message.committed)
  writer.f64(message.sentAt)
  writer.flag(message.freshAt !== null)
  if (message.freshAt !== null) writeMoment(writer, message.freshAt)
  writer.u32(message.batches.length)
  for (const batch of message.batches) {
    writeLeaderId(writer, batch.leaderId)
    writer.u64(batch.first)
    writer.u64(batch.last)
    writer.u32(batch.membershipCount)
    writer.u32(batch.body.length)
  }
  for (const batch of message.batches) writer.raw(batch.body)
}

export function readAppendRequest(reader: FieldReader): AppendRequest {
  const { from, to } = readEnvelope(reader)
  const vote = readVote(reader)
  const session = reader.u64()
  const prev = readOptionalLogId(reader)
  const committed = readIndex(reader)
  const sentAt = reader.f64()
  const freshAt = reader.flag() ? readMoment(reader) : null
  const batches = readBatches(reader, prev)
  return { type: 'append-request', from, to, vote, session, prev, batches, memberships: [], committed, sentAt, freshAt }
}

function readBatches(reader: FieldReader, prev: LogId | null): readonly LogBatch[] {
  const count = reader.count(BATCH_FIELDS_BYTES + ENTRY_LENGTH_BYTES)
  if (count === 0) return NO_BATCHES
  const batches: LogBatch[] = []
  const bodies = reader.fork(count * BATCH_FIELDS_BYTES)
  let next = prev === null ? 0 : prev.index + 1
  for (let i = 0; i < count; i++) {
    const batch = readBatch(reader, bodies, next)
    batches.push(batch)
    next = batch.last + 1
  }
  reader.join(bodies)
  return batches
}

const NO_BATCHES: readonly LogBatch[] = []

function readBatch(reader: FieldReader, bodies: FieldReader, next: number): LogBatch {
  const leaderId = readLeaderId(reader)
  const first = reader.u64(limits.logIndexMax) as LogIndex
  const last = reader.u64(limits.logIndexMax) as LogIndex
  const membershipCount = reader.u32()
  const bodyBytes = reader.u32()
  if (first !== next) throw new DecodeError(`a batch begins at index ${first} where ${next} follows`)
  if (last < first) throw new DecodeError(`a batch from ${first} ends at ${last}`)
  if (membershipCount > last - first + 1) throw new DecodeError('a batch sets more memberships than it has entries')
  return { leaderId, first, last, body: readEntries(bodies, bodyBytes, last - first + 1), membershipCount }
}

/** Reads `bytes` bytes that are exactly `count` entries. */
export function readEntries(reader: FieldReader, bytes: number, count: number): Uint8Array {
  const body = reader.raw(bytes)
  const found = countEntries(body)
  if (found !== count) throw new DecodeError(`a body holds ${found ?? 'broken'} entries, not ${count}`)
  return body
}

export function writeAppendResponse(writer: FrameWriter, message: AppendResponse): void {
  writeEnvelope(writer, message)
  writeVote(writer, message.vote)
  writeVote(writer, message.asked)
  writer.u64(message.session)
  writer.f64(message.sentAt)
  writeMoment(writer, message.answeredAt)
  writeAppendOutcome(writer, message.outcome)
}

export function readAppendResponse(reader: FieldReader): AppendResponse {
  const { from, to } = readEnvelope(reader)
  const vote = readVote(reader)
  const asked = readVote(reader)
  const session = reader.u64()
  const sentAt = reader.f64()
  const answeredAt = readMoment(reader)
  const outcome = readAppendOutcome(reader)
  return { type: 'append-response', from, to, vote, asked, session, sentAt, answeredAt, outcome }
}

function writeMoment(writer: FrameWriter, { life, at }: Moment): void {
  writer.u32(life)
  writer.f64(at)
}

function readMoment(reader: FieldReader): Moment {
  const life = reader.u32()
  return { life, at: reader.f64() }
}

const OUTCOME_KINDS = ['matched', 'conflict', 'outvoted'] as const

function writeAppendOutcome(writer: FrameWriter, outcome: AppendOutcome): void {
  writer.u8(OUTCOME_KINDS.indexOf(outcome.kind))
  if (outcome.kind === 'matched') writeIndex(writer, outcome.matched)
  if (outcome.kind === 'conflict') {
    writeIndex(writer, outcome.prev)
    writeOptionalLogId(writer, outcome.hint)
  }
}

function readAppendOutcome(reader: FieldReader): AppendOutcome {
  const kind = reader.oneOf(OUTCOME_KINDS)
  switch (kind) {
    case 'matched':
      return { kind, matched: readIndex(reader) }
    case 'conflict': {
      const prev = readIndex(reader)
      if (prev < 0) throw new DecodeError('a conflict is about no entry')
      return { kind, prev, hint: readOptionalLogId(reader) }
    }
    case 'outvoted':
      return { kind }
  }
}
