import { join } from 'node:path'
import { assert } from '../../lib/assert.ts'
import type { LogIndex } from '../../raft/index.ts'
import { storageFault } from '../fault.ts'
import type { LogFiles } from './files.ts'
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES, segmentName } from './format.ts'

const ZEROS = Buffer.alloc(4 * 1024 * 1024)
const FILL_SYNC_BYTES = 16 * 1024 * 1024

/** One file of the log, fully allocated before its first record. */
export class Segment {
  readonly number: number
  readonly fd: number
  readonly size: number
  /** The position of the next record. */
  tail = SEGMENT_HEADER_BYTES
  /** The end of the log when this segment was started: earlier segments hold only entries up to it. */
  baseIndex = -1 as LogIndex
  private readers = 0
  private onIdle: (() => void) | null = null

  constructor(number: number, fd: number, size: number) {
    this.number = number
    this.fd = fd
    this.size = size
  }

  fits(bytes: number): boolean {
    return this.tail + bytes <= this.size
  }

  /** Keeps the file from being recycled or closed until `endRead`. */
  beginRead(): void {
    this.readers += 1
  }

  endRead(): void {
    this.readers -= 1
    if (this.readers === 0) this.onIdle?.()
  }

  /** Resolves when nobody reads the segment. */
  async idle(): Promise<void> {
    if (this.readers > 0) await new Promise<void>((resolve) => (this.onIdle = resolve))
  }
}

export interface SegmentStockOptions {
  readonly directory: string
  readonly segmentBytes: number
  readonly uuid: Buffer
}

export interface SegmentStockDependencies {
  readonly files: LogFiles
  /** A finding for the node's log. It needs no reaction. */
  readonly onFinding: (finding: string) => void
}

/** Prepares segments before they are needed, out of freed ones where possible, so that the log does not wait for the disk to fill them. */
export class SegmentStock {
  private readonly options: SegmentStockOptions
  private readonly files: LogFiles
  private readonly onFinding: (finding: string) => void
  /** A segment that is ready or being prepared; null after a failure. */
  private next: Promise<Segment | null> | null = null
  /** A freed segment whose file can be reused. At most one is kept. */
  private freed: Segment | null = null
  /** Segments that are being freed, one after the other. */
  private freeing: Promise<void> = Promise.resolve()
  private stopped = false
  private heldBytes = 0

  constructor(options: SegmentStockOptions, dependencies: SegmentStockDependencies) {
    this.options = options
    this.files = dependencies.files
    this.onFinding = dependencies.onFinding
  }

  /** Bytes of files that are not in use. */
  get sizeBytes(): number {
    return this.heldBytes
  }

  /** Takes back a segment that was found ready when the log was opened. */
  adopt(segment: Segment): void {
    assert(this.next === null, 'one segment is kept ready')
    this.hold(segment)
    this.next = Promise.resolve(segment)
  }

  /** Starts to prepare segment `number`. A failure is reported, and retried when the segment is needed: there may be space by then. */
  prepare(number: number): void {
    if (this.next !== null || this.stopped) return
    this.next = this.make(number, this.options.segmentBytes).then(
      (segment) => {
        this.hold(segment)
        return segment
      },
      (error: unknown) => {
        if (this.stopped) return null
        this.onFinding(
          `The next log segment could not be created in advance. ${storageFault(error, 'create it').message}`,
        )
        return null
      },
    )
  }

  /** Segment `number`, empty, with room for at least `bytes` of records. */
  async take(number: number, bytes: number): Promise<Segment> {
    const ready = await (this.next ?? null)
    this.next = null
    if (ready !== null) {
      this.heldBytes -= ready.size
      if (ready.number === number && ready.fits(bytes)) return ready
      await this.remove(ready, segmentName(ready.number))
    }
    try {
      return await this.make(number, Math.max(this.options.segmentBytes, SEGMENT_HEADER_BYTES + bytes))
    } catch (error) {
      throw storageFault(error, `create log segment ${segmentName(number)} in ${this.options.directory}`)
    }
  }

  /**
   * Frees `segment`, which nothing refers to any more: its file is kept for reuse or removed. This runs in the background, one
   * segment after the other, and stops at the first error, so that the remaining files never have a gap.
   */
  retire(segment: Segment, onFault: (error: Error) => void): void {
    this.heldBytes += segment.size
    this.freeing = this.freeing
      .then(async () => this.free(segment))
      .catch((error: unknown) => {
        this.stopped = true
        onFault(storageFault(error, `free log segment ${segmentName(segment.number)}`))
      })
  }

  /** Resolves when no work runs in the background. A segment that is being prepared is abandoned. */
  async stop(): Promise<void> {
    this.stopped = true
    await this.freeing
    await (this.next ?? null)
  }

  private async free(segment: Segment): Promise<void> {
    await segment.idle()
    // The next opening frees the rest.
    if (this.stopped) return
    const name = segmentName(segment.number)
    const isKept = this.freed === null && segment.size === this.options.segmentBytes
    if (isKept) {
      await this.files.rename(this.path(name), this.path(freedName(segment.number)))
    } else {
      await this.remove(segment, name)
      this.heldBytes -= segment.size
    }
    // Names must disappear in order, even in a power cut, and the old name must be gone before the file gets a new number.
    await this.files.syncDirectory(this.options.directory)
    if (isKept) this.freed = segment
  }

  private hold(segment: Segment): void {
    this.heldBytes += segment.size
  }

  private async make(number: number, size: number): Promise<Segment> {
    const { freed } = this
    if (freed !== null && freed.size === size) {
      this.freed = null
      this.heldBytes -= freed.size
      return this.recycle(freed, number)
    }
    return this.create(number, size)
  }

  /** The header and the name change while the file has a temporary name, which an opening removes. So they never contradict each other. */
  private async recycle(freed: Segment, number: number): Promise<Segment> {
    await this.files.write(freed.fd, [encodeSegmentHeader(this.options.uuid, number)], 0)
    await this.publish(freedName(freed.number), number)
    return new Segment(number, freed.fd, freed.size)
  }

  private async create(number: number, size: number): Promise<Segment> {
    const temporary = `${segmentName(number)}.tmp`
    const fd = await this.files.open(this.path(temporary), 'new')
    try {
      await this.fill(this.path(temporary), size)
      await this.files.write(fd, [encodeSegmentHeader(this.options.uuid, number)], 0)
      await this.publish(temporary, number)
      return new Segment(number, fd, size)
    } catch (error) {
      await this.files.close(fd)
      // Frees the space at once. If even that fails, the next opening removes the file.
      await this.files.remove(this.path(temporary)).catch(() => undefined)
      throw error
    }
  }

  /**
   * Fills the file with zeros, so that its blocks are allocated and a full disk shows here and not in the middle of a write. It
   * is synced in few pieces: each sync of new blocks makes the file system commit the writes of other files too.
   */
  private async fill(path: string, size: number): Promise<void> {
    const fd = await this.files.openUnsynced(path)
    try {
      for (let at = 0; at < size; at += ZEROS.length) {
        if (this.stopped) throw new Error('the log is being closed')
        await this.files.write(fd, [ZEROS.subarray(0, Math.min(ZEROS.length, size - at))], at)
        const isPieceDone = (at + ZEROS.length) % FILL_SYNC_BYTES === 0 || at + ZEROS.length >= size
        if (isPieceDone) await this.files.sync(fd)
      }
    } finally {
      await this.files.close(fd)
    }
  }

  private async publish(temporary: string, number: number): Promise<void> {
    await this.files.rename(this.path(temporary), this.path(segmentName(number)))
    await this.files.syncDirectory(this.options.directory)
  }

  private async remove(segment: Segment, name: string): Promise<void> {
    await this.files.close(segment.fd)
    await this.files.remove(this.path(name))
  }

  private path(name: string): string {
    return join(this.options.directory, name)
  }
}

/** The file name of a freed segment. It ends like every temporary name, so an opening removes the file. */
function freedName(number: number): string {
  return `${segmentName(number)}.freed.tmp`
}
