/**
 * Every frame begins with 12 bytes, little-endian:
 *
 * | offset | size | field                                        |
 * | ------ | ---- | -------------------------------------------- |
 * | 0      | 4    | length of the payload                        |
 * | 4      | 1    | frame type                                   |
 * | 5      | 1    | `FRAME_VERSION`                              |
 * | 6      | 2    | zero                                         |
 * | 8      | 4    | CRC-32 of the payload, going on from the type |
 *
 * A damaged length shows as a checksum that does not fit, or as a length beyond the maximum.
 */
export const FRAME_HEADER_BYTES = 12

/** The version of the framing. `PROTOCOL_VERSION` in the hello settles the meaning of the payloads. */
export const FRAME_VERSION = 1

/** The version of the messages. A node refuses a hello with another number. */
export const PROTOCOL_VERSION = 3

export interface FrameHeader {
  readonly payloadBytes: number
  readonly type: number
  readonly version: number
  readonly reserved: number
  readonly checksum: number
}

export function writeFrameHeader(
  target: Buffer,
  at: number,
  type: number,
  payloadBytes: number,
  checksum: number,
): void {
  target.writeUInt32LE(payloadBytes, at)
  target[at + 4] = type
  target[at + 5] = FRAME_VERSION
  target.writeUInt16LE(0, at + 6)
  target.writeUInt32LE(checksum, at + 8)
}

export function readFrameHeader(source: Buffer, at: number): FrameHeader {
  return {
    payloadBytes: source.readUInt32LE(at),
    type: source.readUInt8(at + 4),
    version: source.readUInt8(at + 5),
    reserved: source.readUInt16LE(at + 6),
    checksum: source.readUInt32LE(at + 8),
  }
}
