import { crc32 } from '../../lib/checksum.ts'
import { limits } from '../../limits.ts'
import {
  BACKUP_FORMAT,
  BACKUP_MAGIC,
  BackupError,
  blockKinds,
  END_BYTES,
  HEAD_BYTES,
  PREFIX_BYTES,
  type BlockKind,
} from './format.ts'
import { isNearlyBackup, productOf, SIGNATURE_BYTES } from './signatures.ts'

export interface Block {
  readonly kind: BlockKind
  readonly body: Buffer
  /** What messages call it, with its place in the file. */
  readonly name: string
}

/** What each kind of block is, for people. */
const describedKinds: Readonly<Record<BlockKind, string>> = {
  header: 'its description',
  meta: 'the facts about its state',
  rows: 'rows',
  trailer: 'the counts of its rows',
  end: 'its end',
}

/** Reads the prefix and the blocks of one backup, and checks that they are what was written. Holds one block at a time in memory. */
export class BlockReader {
  /** Bytes of the file that were read. */
  bytes = 0
  /** The format that the prefix names; 0 before it was read. */
  format = 0
  private readonly source: AsyncIterator<Uint8Array>
  /** What was taken from the source and is not read yet. */
  private held: Uint8Array[] = []
  private heldBytes = 0
  private check = 0
  private blocks = 0

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.source = pieces[Symbol.asyncIterator]()
  }

  /** Throws `BackupError` for whatever is no backup. A newer format is left to the caller, who may read the header first. */
  async prefix(): Promise<void> {
    await this.gather(SIGNATURE_BYTES)
    const start = this.peek(SIGNATURE_BYTES)
    if (start.length === 0) throw new BackupError('empty', 'it is empty')
    const magic = start.subarray(0, BACKUP_MAGIC.length)
    if (!BACKUP_MAGIC.subarray(0, magic.length).every((byte, at) => magic[at] === byte)) throw notOurs(start)
    const prefix = this.take(PREFIX_BYTES)
    if (prefix === null) throw this.cut('in the middle of its first 16 bytes')
    this.check = crc32(prefix.subarray(0, 12))
    if (prefix.readUInt32LE(12) !== this.check) throw new BackupError('damaged', 'its first 16 bytes are damaged')
    this.format = prefix.readUInt32LE(8)
  }

  get isNewer(): boolean {
    return this.format > BACKUP_FORMAT
  }

  /** The next block. Throws `BackupError`. */
  async next(): Promise<Block> {
    const at = this.bytes
    const place = `block ${this.blocks + 1} (at byte ${at})`
    await this.gather(HEAD_BYTES)
    if (this.heldBytes === 0) throw this.cut(`before ${place}`)
    const head = this.take(HEAD_BYTES)
    if (head === null) throw this.cut(`in the head of ${place}`)
    this.check = crc32(head.subarray(0, 8), this.check)
    if (head.readUInt32LE(8) !== this.check) throw new BackupError('damaged', `the head of ${place} is damaged`)
    const kind = blockKinds[head.readUInt32LE(0) - 1]
    const length = head.readUInt32LE(4)
    if (kind === undefined || length > limits.backupBlockBytesMax)
      throw new BackupError('unsound', `${place} is of a kind or size that this version does not know`)
    const name = `block ${this.blocks + 1} (${describedKinds[kind]}, at byte ${at})`
    await this.gather(length)
    const body = this.take(length)
    if (body === null) throw this.cut(`in the middle of ${name}`)
    this.check = crc32(body, this.check)
    if (head.readUInt32LE(12) !== this.check) throw new BackupError('damaged', `${name} is damaged`)
    if (kind === 'end') await this.checkEnd(body, at)
    this.blocks += 1
    return { kind, body, name }
  }

  /** Lets the source go. */
  async close(): Promise<void> {
    await this.source.return?.()
  }

  private async checkEnd(body: Buffer, at: number): Promise<void> {
    const isWhole = body.length === END_BYTES && body.readUInt32LE(0) === this.blocks && body.readDoubleLE(4) === at
    if (!isWhole) throw new BackupError('unsound', `its end counts other blocks than the ${this.blocks} before it`)
    const { bytes } = this
    await this.gather(1)
    if (this.heldBytes > 0)
      throw new BackupError('damaged', `something follows its end at byte ${bytes}: it is not what was written`)
  }

  private cut(where: string): BackupError {
    return new BackupError('cut', `it is cut off: it ends after ${this.bytes + this.heldBytes} bytes, ${where}`)
  }

  /** Takes pieces from the source until `count` bytes are held, or the source has ended. */
  private async gather(count: number): Promise<void> {
    while (this.heldBytes < count) {
      const { value, done } = await this.source.next()
      if (done === true) return
      this.held.push(value)
      this.heldBytes += value.length
    }
  }

  /** Null when not as many are held. */
  private take(count: number): Buffer | null {
    if (this.heldBytes < count) return null
    const bytes = this.peek(count)
    this.drop(count)
    this.bytes += count
    return bytes
  }

  /** The first bytes that are held, without a copy if they lie in one piece. */
  private peek(count: number): Buffer {
    const [first] = this.held
    if (first !== undefined && first.length >= count) return Buffer.from(first.buffer, first.byteOffset, count)
    const bytes = Buffer.allocUnsafe(Math.min(count, this.heldBytes))
    let at = 0
    for (const piece of this.held) {
      if (at === bytes.length) break
      const part = piece.subarray(0, bytes.length - at)
      bytes.set(part, at)
      at += part.length
    }
    return bytes
  }

  private drop(count: number): void {
    let left = count
    let whole = 0
    for (const piece of this.held) {
      if (piece.length > left) break
      left -= piece.length
      whole += 1
    }
    this.held = this.held.slice(whole)
    const [first] = this.held
    if (left > 0 && first !== undefined) this.held[0] = first.subarray(left)
    this.heldBytes -= count
  }
}

function notOurs(start: Uint8Array): BackupError {
  if (isNearlyBackup(start)) return new BackupError('damaged', 'its first bytes are damaged')
  const product = productOf(start)
  return new BackupError('foreign', product === null ? 'it is not a backup of Quorate' : `it is ${product}`)
}
