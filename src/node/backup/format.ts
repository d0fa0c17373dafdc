import type { LogIdView, MembershipView } from '../../api/cluster.ts'
import { crc32 } from '../../lib/checksum.ts'

/*
 * A backup is a file for people to keep: it says what it is, and every bit of it is checked.
 *
 *   prefix   the magic word (8 bytes), u32 format version, u32 CRC-32 of these 12 bytes
 *   blocks   u32 kind, u32 length of the body, u32 check of these 8 bytes, u32 check of the body, then the body
 *
 * Numbers are little-endian. A check is a CRC-32 that is continued from the one before it in the file, beginning with that of the prefix. So
 * a block fits only where it was written: none can be lost, doubled, moved, or taken from another backup. The kinds come in this order:
 *
 *   header   JSON: what the backup is (`BackupHeader`)
 *   meta     the chunk of that kind of src/node/snapshots/state-stream.ts
 *   rows     the same; any number of blocks
 *   trailer  the same
 *   end      u32 number of the blocks before, f64 bytes of the file before
 *
 * The prefix and the shape of blocks and header are the same in every format, so that a build can name the version that wrote a newer one.
 */
export const BACKUP_MAGIC: Uint8Array = Buffer.from('\x89QUORBK\n', 'latin1')
export const BACKUP_FORMAT = 1

export const PREFIX_BYTES = 16
export const HEAD_BYTES = 16
export const END_BYTES = 12

/** The last time that JavaScript's calendar has. */
const LAST_TIME_MS = 8.64e15

export const blockKinds = ['header', 'meta', 'rows', 'trailer', 'end'] as const
export type BlockKind = (typeof blockKinds)[number]

/** The number of a kind: 1 for a header. 0 is none, since it is what a lost part of a file often consists of. */
function kindNumber(kind: BlockKind): number {
  return blockKinds.indexOf(kind) + 1
}

/** What a backup says of itself. Nothing of it is needed to read the state. */
export interface BackupHeader {
  /** Different for every backup. */
  readonly id: string
  readonly clusterId: string
  /** The last entry that the state covers. */
  readonly logId: LogIdView
  readonly revision: number
  readonly featureLevel: number
  readonly membership: MembershipView
  /** When it was begun, by the clock of the node that wrote it, in milliseconds since 1970. */
  readonly createdAtMs: number
  readonly node: number
  /** The version of Quorate that wrote it. */
  readonly version: string
}

/**
 * Why a file cannot be used as a backup. `empty`: it has no bytes. `foreign`: it is something else. `newer`: it needs a later version of
 * Quorate. `cut`: its end is missing. `damaged`: it is not what was written. `unsound`: it is what was written, and no node would write it.
 */
export type BackupFault = 'empty' | 'foreign' | 'newer' | 'cut' | 'damaged' | 'unsound'

export class BackupError extends Error {
  override readonly name = 'BackupError'
  readonly fault: BackupFault

  constructor(fault: BackupFault, message: string, options?: ErrorOptions) {
    super(message, options)
    this.fault = fault
  }
}

/** Makes the bytes of one backup, in their order. */
export class BlockWriter {
  private check = 0
  private blocks = 0
  private bytes = 0

  prefix(): Uint8Array {
    const prefix = Buffer.alloc(PREFIX_BYTES)
    prefix.set(BACKUP_MAGIC)
    prefix.writeUInt32LE(BACKUP_FORMAT, 8)
    this.check = crc32(prefix.subarray(0, 12))
    prefix.writeUInt32LE(this.check, 12)
    this.bytes = prefix.length
    return prefix
  }

  /** The head of a block. The body follows it. */
  head(kind: BlockKind, body: Uint8Array): Uint8Array {
    const head = Buffer.allocUnsafe(HEAD_BYTES)
    head.writeUInt32LE(kindNumber(kind), 0)
    head.writeUInt32LE(body.length, 4)
    this.check = crc32(head.subarray(0, 8), this.check)
    head.writeUInt32LE(this.check, 8)
    this.check = crc32(body, this.check)
    head.writeUInt32LE(this.check, 12)
    this.blocks += 1
    this.bytes += head.length + body.length
    return head
  }

  /** The last block, which no backup lacks that is whole. */
  end(): Uint8Array {
    const body = Buffer.allocUnsafe(END_BYTES)
    body.writeUInt32LE(this.blocks, 0)
    body.writeDoubleLE(this.bytes, 4)
    return Buffer.concat([this.head('end', body), body])
  }
}

/** The header in the body of its block; null when it is not one. */
export function headerFrom(body: Uint8Array): BackupHeader | null {
  let json: unknown
  try {
    json = JSON.parse(Buffer.from(body).toString('utf8'))
  } catch {
    return null
  }
  return isHeader(json) ? json : null
}

function isHeader(json: unknown): json is BackupHeader {
  if (typeof json !== 'object' || json === null) return false
  const { id, clusterId, logId, revision, featureLevel, membership, createdAtMs, node, version } = json as Partial<
    Record<keyof BackupHeader, unknown>
  >
  const texts = [id, clusterId, version]
  const numbers = [revision, featureLevel, node]
  return (
    texts.every((text) => typeof text === 'string' && text !== '') &&
    numbers.every((number) => Number.isSafeInteger(number)) &&
    isTime(createdAtMs) &&
    isLogId(logId) &&
    typeof membership === 'object' &&
    membership !== null
  )
}

/** A time that a calendar has. */
function isTime(json: unknown): boolean {
  return typeof json === 'number' && Number.isSafeInteger(json) && json >= 0 && json <= LAST_TIME_MS
}

function isLogId(json: unknown): json is LogIdView {
  if (typeof json !== 'object' || json === null) return false
  const { term, node, index } = json as Partial<Record<keyof LogIdView, unknown>>
  return [term, node, index].every((number) => Number.isSafeInteger(number))
}
