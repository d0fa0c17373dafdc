import { unreachable } from '../lib/assert.ts'
import type { Hello, HelloAnswer, PeerMessage, SnapshotAnswer, SnapshotHeader } from '../ports/transport.ts'
import { DecodeError } from './decode-error.ts'
import { FieldReader } from './field-reader.ts'
import type { FrameWriter } from './frame-writer.ts'
import { readHello, readHelloAnswer, writeHello, writeHelloAnswer } from './hello-frames.ts'
import {
  readControlRequest,
  readControlResponse,
  readForwardRefusal,
  readForwardRequest,
  readReadIndexRequest,
  readReadIndexResponse,
  writeControlRequest,
  writeControlResponse,
  writeForwardRefusal,
  writeForwardRequest,
  writeReadIndexRequest,
  writeReadIndexResponse,
} from './node-frames.ts'
import {
  readAppendRequest,
  readAppendResponse,
  readBallotResponse,
  readPreVoteRequest,
  readTransferRequest,
  readVoteRequest,
  writeAppendRequest,
  writeAppendResponse,
  writeBallotRequest,
  writeBallotResponse,
} from './raft-frames.ts'
import {
  readSnapshotAnswer,
  readSnapshotChunk,
  readSnapshotEnd,
  readSnapshotHeader,
  type SnapshotChunk,
  type SnapshotEnd,
  writeSnapshotAnswer,
  writeSnapshotChunk,
  writeSnapshotEnd,
  writeSnapshotHeader,
} from './snapshot-frames.ts'

/** Everything that nodes send to each other. */
export type Frame =
  | PeerMessage
  | { readonly type: 'hello'; readonly hello: Hello }
  | { readonly type: 'hello-answer'; readonly answer: HelloAnswer }
  /** Asks for a pong with the same number. This measures the round trip, and shows that the peer is alive. */
  | { readonly type: 'ping' | 'pong'; readonly number: number }
  | { readonly type: 'snapshot-header'; readonly header: SnapshotHeader }
  | SnapshotChunk
  | SnapshotEnd
  /** The receiver is still processing what it was sent. */
  | { readonly type: 'snapshot-alive' }
  | { readonly type: 'snapshot-answer'; readonly answer: SnapshotAnswer }

/** The numbers of frame types on the wire. A number is never reused for another type. */
const FRAME_TYPES = {
  'pre-vote-request': 1,
  'pre-vote-response': 2,
  'vote-request': 3,
  'vote-response': 4,
  'append-request': 5,
  'append-response': 6,
  'transfer-request': 7,
  'forward-request': 8,
  'forward-refusal': 9,
  'read-index-request': 10,
  'read-index-response': 11,
  'control-request': 12,
  'control-response': 13,
  hello: 32,
  'hello-answer': 33,
  ping: 34,
  pong: 35,
  'snapshot-header': 48,
  'snapshot-chunk': 49,
  'snapshot-end': 50,
  'snapshot-alive': 51,
  'snapshot-answer': 52,
} as const satisfies Record<Frame['type'], number>

const typesByNumber: ReadonlyMap<number, Frame['type']> = new Map(
  Object.entries(FRAME_TYPES).map(([type, number]) => [number, type as Frame['type']]),
)

export function isFrameType(number: number): boolean {
  return typesByNumber.has(number)
}

/** Appends `frame` to the frames in `writer`. */
export function encodeFrame(frame: Frame, writer: FrameWriter): void {
  writer.begin(FRAME_TYPES[frame.type])
  writePayload(frame, writer)
  writer.end()
}

/** Throws only DecodeError, for a payload that is not a frame of that type. */
export function decodeFrame(type: number, payload: Buffer): Frame {
  const name = typesByNumber.get(type)
  if (name === undefined) throw new DecodeError(`frame type ${type} does not exist`)
  const reader = new FieldReader(payload)
  const frame = readPayload(name, reader)
  reader.end()
  return frame
}

function writePayload(frame: Frame, writer: FrameWriter): void {
  switch (frame.type) {
    case 'pre-vote-request':
    case 'vote-request':
    case 'transfer-request':
      return writeBallotRequest(writer, frame)
    case 'pre-vote-response':
    case 'vote-response':
      return writeBallotResponse(writer, frame)
    case 'append-request':
      return writeAppendRequest(writer, frame)
    case 'append-response':
      return writeAppendResponse(writer, frame)
    case 'forward-request':
      return writeForwardRequest(writer, frame)
    case 'forward-refusal':
      return writeForwardRefusal(writer, frame)
    case 'read-index-request':
      return writeReadIndexRequest(writer, frame)
    case 'read-index-response':
      return writeReadIndexResponse(writer, frame)
    case 'control-request':
      return writeControlRequest(writer, frame)
    case 'control-response':
      return writeControlResponse(writer, frame)
    case 'hello':
      return writeHello(writer, frame.hello)
    case 'hello-answer':
      return writeHelloAnswer(writer, frame.answer)
    case 'ping':
    case 'pong':
      return writer.u64(frame.number)
    case 'snapshot-header':
      return writeSnapshotHeader(writer, frame.header)
    case 'snapshot-chunk':
      return writeSnapshotChunk(writer, frame)
    case 'snapshot-end':
      return writeSnapshotEnd(writer, frame)
    case 'snapshot-alive':
      return
    case 'snapshot-answer':
      return writeSnapshotAnswer(writer, frame.answer)
    default:
      unreachable(frame, 'a frame to encode')
  }
}

function readPayload(type: Frame['type'], reader: FieldReader): Frame {
  switch (type) {
    case 'pre-vote-request':
      return readPreVoteRequest(reader)
    case 'vote-request':
      return readVoteRequest(reader)
    case 'transfer-request':
      return readTransferRequest(reader)
    case 'pre-vote-response':
      return readBallotResponse('pre-vote-response', reader)
    case 'vote-response':
      return readBallotResponse('vote-response', reader)
    case 'append-request':
      return readAppendRequest(reader)
    case 'append-response':
      return readAppendResponse(reader)
    case 'forward-request':
      return readForwardRequest(reader)
    case 'forward-refusal':
      return readForwardRefusal(reader)
    case 'read-index-request':
      return readReadIndexRequest(reader)
    case 'read-index-response':
      return readReadIndexResponse(reader)
    case 'control-request':
      return readControlRequest(reader)
    case 'control-response':
      return readControlResponse(reader)
    case 'hello':
      return { type, hello: readHello(reader) }
    case 'hello-answer':
      return { type, answer: readHelloAnswer(reader) }
    case 'ping':
    case 'pong':
      return { type, number: reader.u64() }
    case 'snapshot-header':
      return { type, header: readSnapshotHeader(reader) }
    case 'snapshot-chunk':
      return readSnapshotChunk(reader)
    case 'snapshot-end':
      return readSnapshotEnd(reader)
    case 'snapshot-alive':
      return { type }
    case 'snapshot-answer':
      return { type, answer: readSnapshotAnswer(reader) }
    default:
      return unreachable(type, 'a frame to decode')
  }
}
