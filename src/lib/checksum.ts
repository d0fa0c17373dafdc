import { crc32 as zlibCrc32 } from 'node:zlib'

/** CRC-32 (IEEE) of `bytes`, going on from `before` (the checksum of what came before them, 0 at the start). */
export function crc32(bytes: Uint8Array, before = 0): number {
  return zlibCrc32(bytes, before)
}
