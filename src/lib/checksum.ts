import { crc32 as zlibCrc32 } from 'node:zlib'

/** CRC-32 (IEEE) of `bytes`, continued from `before` (the checksum of the bytes before them, 0 at the start). */
export function crc32(bytes: Uint8Array, before = 0): number {
  return zlibCrc32(bytes, before)
}
