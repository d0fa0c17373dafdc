import { limits } from '../../../src/limits.ts'
import type { PeerMessage } from '../../../src/ports/transport.ts'
import { FrameSplitter } from '../../../src/transport/frame-splitter.ts'
import { FrameWriter } from '../../../src/transport/frame-writer.ts'
import { encodeFrame } from '../../../src/transport/wire.ts'

const writer = new FrameWriter()

/** Encodes and decodes `message` as the real transport does. */
export function passThroughCodec(message: PeerMessage): PeerMessage {
  encodeFrame(message, writer)
  const bytes = Buffer.concat(writer.take())
  const splitter = new FrameSplitter(limits.frameBytesMax)
  splitter.push(bytes)
  const frame = splitter.next()
  if (frame === null) throw new Error('an encoded frame decodes at once')
  switch (frame.type) {
    case 'hello':
    case 'hello-answer':
    case 'ping':
    case 'pong':
    case 'snapshot-header':
    case 'snapshot-chunk':
    case 'snapshot-end':
    case 'snapshot-alive':
    case 'snapshot-answer':
      throw new Error(`a ${message.type} decodes as a ${frame.type}`)
    default:
      return frame
  }
}
