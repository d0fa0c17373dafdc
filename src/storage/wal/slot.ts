import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { StorageError } from '../../lib/errors.ts'
import type { LogId, LogIndex, NodeId, Term } from '../../raft/index.ts'
import type { LogFiles } from './files.ts'
import { FORMAT_VERSION, PREFIX_BYTES, readU53, UUID_BYTES, versionOf, writePrefix, writeU53 } from './format.ts'

/**
 * A slot: a small value with the prefix of every file, the uuid of the log, and a checksum in its last four bytes. A slot fits
 * into one sector, which most disks write atomically; the checksum covers those that do not.
 */
export const SLOT_BYTES = 512
export const SLOT_BODY_AT = PREFIX_BYTES + UUID_BYTES
const CHECKSUM_AT = SLOT_BYTES - 4
/** Bytes that `writeSlotLogId` writes. */
export const SLOT_LOG_ID_BYTES = 20

export function blankSlot(magic: string, uuid: Buffer): Buffer {
  const slot = Buffer.alloc(SLOT_BYTES)
  writePrefix(slot, magic)
  uuid.copy(slot, PREFIX_BYTES)
  return slot
}

export function sealSlot(slot: Buffer): Buffer {
  slot.writeUInt32LE(crc32(slot.subarray(0, CHECKSUM_AT)), CHECKSUM_AT)
  return slot
}

export function slotUuid(slot: Buffer): Buffer {
  return Buffer.from(slot.subarray(PREFIX_BYTES, SLOT_BODY_AT))
}

/** Whether `slot` is intact. Refuses a slot of a newer version. */
export function isIntactSlot(slot: Buffer, magic: string, path: string): boolean {
  const version = versionOf(slot, magic)
  if (version === null) return false
  if (version > FORMAT_VERSION) throw newerFormat(path, version)
  return slot.length === SLOT_BYTES && crc32(slot.subarray(0, CHECKSUM_AT)) === slot.readUInt32LE(CHECKSUM_AT)
}

export function newerFormat(path: string, version: number): StorageError {
  return new StorageError(
    'refused',
    `${path} has format ${version}, and this version of Quorate knows formats up to ${FORMAT_VERSION}. ` +
      'Start the newer version that wrote it, or remove this node from its cluster and add it again with an empty directory; it may keep its id.',
  )
}

export function writeSlotLogId(slot: Buffer, id: LogId | null, offset: number): void {
  writeU53(slot, id === null ? 0 : id.index + 1, offset)
  writeU53(slot, id?.leaderId.term ?? 0, offset + 8)
  slot.writeUInt32LE(id?.leaderId.nodeId ?? 0, offset + 16)
}

export function readSlotLogId(slot: Buffer, offset: number): LogId | null {
  const end = readU53(slot, offset)
  if (end === 0) return null
  const leaderId = { term: readU53(slot, offset + 8) as Term, nodeId: slot.readUInt32LE(offset + 16) as NodeId | 0 }
  return { leaderId, index: (end - 1) as LogIndex }
}

/** Creates a file with this content atomically. */
export async function createWhole(files: LogFiles, directory: string, name: string, content: Buffer): Promise<void> {
  const path = join(directory, name)
  const fd = await files.open(`${path}.tmp`, 'new')
  try {
    await files.write(fd, [content], 0)
  } finally {
    await files.close(fd)
  }
  await files.rename(`${path}.tmp`, path)
  await files.syncDirectory(directory)
}
