import { ENTRY_LENGTH_BYTES } from '../lib/entries.ts'
import type {
  ControlRequest,
  ControlResponse,
  ForwardedSpan,
  ForwardRefusal,
  ForwardRequest,
  ReadIndexRequest,
  ReadIndexResponse,
} from '../ports/transport.ts'
import { DecodeError } from './decode-error.ts'
import type { FieldReader } from './field-reader.ts'
import type { FrameWriter } from './frame-writer.ts'
import { readIndex, readPeerText, readVote, writeIndex, writeVote } from './raft-fields.ts'
import { readEntries, readEnvelope, writeEnvelope } from './raft-frames.ts'

const TRACE_ID_BYTES = 16
const SPAN_ID_BYTES = 8
const SPAN_BYTES = 4 + TRACE_ID_BYTES + SPAN_ID_BYTES + 1

export function writeForwardRequest(writer: FrameWriter, message: ForwardRequest): void {
  writeEnvelope(writer, message)
  writeVote(writer, message.vote)
  writer.u64(message.batchId)
  writer.u32(message.count)
  writer.u32(message.body.length)
  writer.raw(message.body)
  if (message.spans !== undefined) writeSpans(writer, message.spans)
}

function writeSpans(writer: FrameWriter, spans: readonly ForwardedSpan[]): void {
  writer.u32(spans.length)
  for (const { at, traceId, spanId, flags } of spans) {
    writer.u32(at)
    writer.raw(Buffer.from(traceId, 'hex'))
    writer.raw(Buffer.from(spanId, 'hex'))
    writer.u8(flags)
  }
}

export function readForwardRequest(reader: FieldReader): ForwardRequest {
  const { from, to } = readEnvelope(reader)
  const vote = readVote(reader)
  const batchId = reader.u64()
  const count = reader.u32()
  const bytes = reader.u32()
  if (count === 0 || count * ENTRY_LENGTH_BYTES > bytes) {
    throw new DecodeError(`${count} commands are forwarded in ${bytes} bytes`)
  }
  const body = readEntries(reader, bytes, count)
  const request: ForwardRequest = { type: 'forward-request', from, to, vote, batchId, count, body }
  // Where no command belongs to a trace, the frame ends here.
  return reader.remaining === 0 ? request : { ...request, spans: readSpans(reader, count) }
}

function readSpans(reader: FieldReader, commands: number): ForwardedSpan[] {
  const count = reader.count(SPAN_BYTES)
  if (count > commands) throw new DecodeError(`${count} spans belong to ${commands} commands`)
  return Array.from({ length: count }, () => {
    const at = reader.u32()
    if (at >= commands) throw new DecodeError(`a span belongs to command ${at} of ${commands}`)
    const traceId = reader.raw(TRACE_ID_BYTES).toString('hex')
    const spanId = reader.raw(SPAN_ID_BYTES).toString('hex')
    return { at, traceId, spanId, flags: reader.u8() }
  })
}

const REFUSAL_REASONS = ['not-leader', 'transferring', 'overloaded'] as const satisfies ForwardRefusal['reason'][]

export function writeForwardRefusal(writer: FrameWriter, message: ForwardRefusal): void {
  writeEnvelope(writer, message)
  writer.u64(message.batchId)
  writer.u8(REFUSAL_REASONS.indexOf(message.reason))
}

export function readForwardRefusal(reader: FieldReader): ForwardRefusal {
  const { from, to } = readEnvelope(reader)
  const batchId = reader.u64()
  return { type: 'forward-refusal', from, to, batchId, reason: reader.oneOf(REFUSAL_REASONS) }
}

export function writeReadIndexRequest(writer: FrameWriter, message: ReadIndexRequest): void {
  writeEnvelope(writer, message)
  writer.u64(message.readId)
}

export function readReadIndexRequest(reader: FieldReader): ReadIndexRequest {
  const { from, to } = readEnvelope(reader)
  return { type: 'read-index-request', from, to, readId: reader.u64() }
}

export function writeReadIndexResponse(writer: FrameWriter, message: ReadIndexResponse): void {
  writeEnvelope(writer, message)
  writer.u64(message.readId)
  writer.flag(message.ready)
  writeIndex(writer, message.index)
}

export function readReadIndexResponse(reader: FieldReader): ReadIndexResponse {
  const { from, to } = readEnvelope(reader)
  const readId = reader.u64()
  const ready = reader.flag()
  return { type: 'read-index-response', from, to, readId, ready, index: readIndex(reader) }
}

export function writeControlRequest(writer: FrameWriter, message: ControlRequest): void {
  writeEnvelope(writer, message)
  writer.u64(message.requestId)
  writer.text(message.name)
  writer.text(message.body)
}

export function readControlRequest(reader: FieldReader): ControlRequest {
  const { from, to } = readEnvelope(reader)
  const requestId = reader.u64()
  const name = readPeerText(reader)
  return { type: 'control-request', from, to, requestId, name, body: reader.text() }
}

export function writeControlResponse(writer: FrameWriter, message: ControlResponse): void {
  writeEnvelope(writer, message)
  writer.u64(message.requestId)
  writer.text(message.body)
}

export function readControlResponse(reader: FieldReader): ControlResponse {
  const { from, to } = readEnvelope(reader)
  const requestId = reader.u64()
  return { type: 'control-response', from, to, requestId, body: reader.text() }
}
