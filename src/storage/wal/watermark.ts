import { join } from 'node:path'
import type { LogId, LogIndex } from '../../raft/index.ts'
import type { LogFiles } from './files.ts'
import { readU53, writeU53 } from './format.ts'
import {
  blankSlot,
  isIntactSlot,
  readSlotLogId,
  sealSlot,
  SLOT_BODY_AT,
  SLOT_BYTES,
  SLOT_LOG_ID_BYTES,
  slotUuid,
  writeSlotLogId,
} from './slot.ts'

export const WATERMARK_FILE = 'watermark'
const MAGIC = 'QRMMARK\n'
/** The two slots are on different pages, so a torn page damages only one. */
const STRIDE = 4096
const FIELDS = {
  writes: SLOT_BODY_AT,
  sequence: SLOT_BODY_AT + 8,
  hardStateSequence: SLOT_BODY_AT + 16,
  lostUpTo: SLOT_BODY_AT + 24,
  last: SLOT_BODY_AT + 32,
  purged: SLOT_BODY_AT + 32 + SLOT_LOG_ID_BYTES,
}

/** How far the log was acknowledged. */
export interface Watermark {
  /** The sequence number of the last record that changed the entries. */
  readonly sequence: number
  readonly hardStateSequence: number
  readonly last: LogId | null
  readonly purged: LogId | null
  /** The index of the last lost entry, until the log reaches it again. It survives a stop in the middle of the recovery. */
  readonly lostUpTo: LogIndex | null
}

/**
 * The file of the watermark: two slots written in turn. Writes are not synced, so a power cut may move the mark back; it never
 * affects the log. The end of the process alone does not move it back, so a log whose tail has disappeared is noticed.
 */
export class WatermarkFile {
  private readonly fd: number
  private readonly files: LogFiles
  private readonly slot: Buffer
  private writes: number

  private constructor(fd: number, files: LogFiles, uuid: Buffer, writes: number) {
    this.fd = fd
    this.files = files
    this.slot = blankSlot(MAGIC, uuid)
    this.writes = writes
  }

  /** The content of a new watermark file. */
  static blank(): Buffer {
    return Buffer.alloc(STRIDE + SLOT_BYTES)
  }

  /** Opens the file and returns the newer one of its intact slots; null when there is none. */
  static async open(
    directory: string,
    uuid: Buffer,
    files: LogFiles,
  ): Promise<{ file: WatermarkFile; watermark: Watermark | null }> {
    const path = join(directory, WATERMARK_FILE)
    const fd = await files.openUnsynced(path)
    await files.sync(fd)
    const content = WatermarkFile.blank()
    const count = await files.read(fd, content, 0)
    let watermark: Watermark | null = null
    let writes = 0
    for (const at of [0, STRIDE]) {
      const slot = content.subarray(at, Math.max(at, Math.min(at + SLOT_BYTES, count)))
      if (!isIntactSlot(slot, MAGIC, path) || !slotUuid(slot).equals(uuid)) continue
      if (readU53(slot, FIELDS.writes) <= writes) continue
      writes = readU53(slot, FIELDS.writes)
      watermark = decode(slot)
    }
    return { file: new WatermarkFile(fd, files, uuid, writes), watermark }
  }

  write(watermark: Watermark): void {
    const { slot } = this
    this.writes += 1
    writeU53(slot, this.writes, FIELDS.writes)
    writeU53(slot, watermark.sequence, FIELDS.sequence)
    writeU53(slot, watermark.hardStateSequence, FIELDS.hardStateSequence)
    writeU53(slot, watermark.lostUpTo === null ? 0 : watermark.lostUpTo + 1, FIELDS.lostUpTo)
    writeSlotLogId(slot, watermark.last, FIELDS.last)
    writeSlotLogId(slot, watermark.purged, FIELDS.purged)
    this.files.writeNow(this.fd, sealSlot(slot), this.writes % 2 === 0 ? 0 : STRIDE)
  }

  /** Writes both slots and waits until they are durable. */
  async writeThrough(watermark: Watermark): Promise<void> {
    this.write(watermark)
    this.write(watermark)
    await this.files.sync(this.fd)
  }
}

function decode(slot: Buffer): Watermark {
  const owed = readU53(slot, FIELDS.lostUpTo)
  return {
    sequence: readU53(slot, FIELDS.sequence),
    hardStateSequence: readU53(slot, FIELDS.hardStateSequence),
    last: readSlotLogId(slot, FIELDS.last),
    purged: readSlotLogId(slot, FIELDS.purged),
    lostUpTo: owed === 0 ? null : ((owed - 1) as LogIndex),
  }
}
