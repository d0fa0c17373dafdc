import { limits } from '../../limits.ts'
import type { CompactionOutcome } from '../../ports/state-store.ts'
import type { Database } from './binding.ts'

export interface CompactionOptions {
  readonly freeBytes: () => Promise<number>
  /** Whether to leave off. */
  readonly isStopping: () => boolean
}

/** `start` inclusive. */
interface Part {
  readonly start: Uint8Array
  readonly end: Uint8Array
}

/** Keys that begin with as many equal bytes are not told apart. */
const SPLIT_BYTES = 128
const MIB = 1024 * 1024
const EVERYTHING: Part = { start: Buffer.alloc(1), end: Buffer.alloc(SPLIT_BYTES, 0xff) }

/**
 * Removes from the files what was deleted or superseded.
 *
 * A compaction writes new files before it removes the old ones, so it needs as much room as the files that it merges have. With less room it
 * works on one part of the keys after the other, each as large as fits.
 */
export class Compaction {
  private readonly database: Database
  private readonly options: CompactionOptions
  private looks = 0
  private parts = 0

  constructor(database: Database, options: CompactionOptions) {
    this.database = database
    this.options = options
  }

  async run(): Promise<CompactionOutcome> {
    const total = Number(await this.database.getProperty('rocksdb.total-sst-files-size'))
    if ((await this.room()) >= total) {
      await this.database.compactRange()
      return 'done'
    }
    return (await this.compactParts([EVERYTHING])) ? 'done' : 'no-room'
  }

  /** From the first part to the last. Returns whether all of them were compacted. */
  private async compactParts(parts: Part[]): Promise<boolean> {
    for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
      if (this.options.isStopping()) return false
      const bytes = await this.sizeOf(part)
      if (bytes === 0) continue
      if (bytes + (await this.unsortedBytes()) <= (await this.room())) {
        await this.database.compactRange(part.start, part.end)
        this.parts += 1
        if (this.parts >= limits.compactionPartsMax) return false
        continue
      }
      const middle = middleOf(part)
      if (middle === null || this.looks >= limits.compactionLooksMax) return false
      parts.push({ start: middle, end: part.end }, { start: part.start, end: middle })
    }
    return true
  }

  private async sizeOf({ start, end }: Part): Promise<number> {
    this.looks += 1
    return this.database.approximateSize(start, end, { includeMemtables: false, includeFiles: true })
  }

  /** Of the files of level 0, each of which may hold any keys: they are merged whole. The property tells whole mebibytes, rounded down. */
  private async unsortedBytes(): Promise<number> {
    const [, files, mebibytes] = /^ *0 +(\d+) +(\d+)/m.exec(await this.database.getProperty('rocksdb.levelstats')) ?? []
    return (Number(files ?? 0) + Number(mebibytes ?? 0)) * MIB
  }

  /** What a compaction may take: the rows in memory need room as well, and more of them come. */
  private async room(): Promise<number> {
    const held = Number(await this.database.getProperty('rocksdb.cur-size-all-mem-tables'))
    return (await this.options.freeBytes()) - 2 * held - limits.compactionSpareBytes
  }
}

/** Null when the keys of the part cannot be told apart. */
function middleOf({ start, end }: Part): Uint8Array | null {
  const sum = numberOf(start) + numberOf(end)
  const middle = sum / 2n
  if (middle <= numberOf(start)) return null
  return Buffer.from(middle.toString(16).padStart(2 * SPLIT_BYTES, '0'), 'hex')
}

function numberOf(key: Uint8Array): bigint {
  const padded = Buffer.alloc(SPLIT_BYTES)
  padded.set(key.subarray(0, SPLIT_BYTES))
  return BigInt(`0x${padded.toString('hex')}`)
}
