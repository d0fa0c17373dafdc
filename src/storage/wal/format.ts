import { crc32 } from 'node:zlib'

/**
 * The layout of the log's files. Numbers are little-endian; `u53` is a u64 below 2^53. Every file begins with a prefix that all
 * versions share: a magic word of 8 bytes, the version (u32), the checksum of those 12 bytes (u32).
 *
 *   segment   prefix, uuid of the log (16), number of the segment (u32), checksum (u32), zeros up to 512, then records
 *   record    see record.ts
 *   hard-state-a, hard-state-b, watermark: see slots.ts
 */
export const FORMAT_VERSION = 1
export const PREFIX_BYTES = 16
export const UUID_BYTES = 16
export const SEGMENT_HEADER_BYTES = 512
const SEGMENT_MAGIC = 'QRMLOG\r\n'

const SEGMENT_NAME = /^(\d{10})\.log$/

export function writeU53(buffer: Buffer, value: number, offset: number): void {
  buffer.writeUInt32LE(value % 0x1_0000_0000, offset)
  buffer.writeUInt32LE(Math.floor(value / 0x1_0000_0000), offset + 4)
}

export function readU53(buffer: Buffer, offset: number): number {
  return buffer.readUInt32LE(offset) + buffer.readUInt32LE(offset + 4) * 0x1_0000_0000
}

export function writePrefix(buffer: Buffer, magic: string): void {
  buffer.write(magic, 0, 8, 'latin1')
  buffer.writeUInt32LE(FORMAT_VERSION, 8)
  buffer.writeUInt32LE(crc32(buffer.subarray(0, 12)), 12)
}

/** The version in a file's prefix; null when the prefix is damaged or not one of ours. */
export function versionOf(buffer: Buffer, magic: string): number | null {
  if (buffer.length < PREFIX_BYTES || buffer.toString('latin1', 0, 8) !== magic) return null
  return crc32(buffer.subarray(0, 12)) === buffer.readUInt32LE(12) ? buffer.readUInt32LE(8) : null
}

export function segmentName(number: number): string {
  return `${String(number).padStart(10, '0')}.log`
}

/** The number in a segment's file name; null for other files. */
export function segmentNumber(name: string): number | null {
  const digits = SEGMENT_NAME.exec(name)?.[1]
  return digits === undefined ? null : Number(digits)
}

export function encodeSegmentHeader(uuid: Buffer, number: number): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES)
  writePrefix(header, SEGMENT_MAGIC)
  uuid.copy(header, PREFIX_BYTES)
  header.writeUInt32LE(number, 32)
  header.writeUInt32LE(crc32(header.subarray(0, 36)), 36)
  return header
}

export type SegmentHeader =
  | { readonly type: 'valid'; readonly uuid: Buffer; readonly number: number }
  | { readonly type: 'damaged' }
  | { readonly type: 'newer'; readonly version: number }

export function decodeSegmentHeader(buffer: Buffer): SegmentHeader {
  const version = versionOf(buffer, SEGMENT_MAGIC)
  if (version === null) return { type: 'damaged' }
  if (version > FORMAT_VERSION) return { type: 'newer', version }
  if (buffer.length < SEGMENT_HEADER_BYTES) return { type: 'damaged' }
  if (crc32(buffer.subarray(0, 36)) !== buffer.readUInt32LE(36)) return { type: 'damaged' }
  return { type: 'valid', uuid: Buffer.from(buffer.subarray(PREFIX_BYTES, 32)), number: buffer.readUInt32LE(32) }
}
